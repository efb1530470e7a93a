"""The one thing layers must keep to: the first axis is the examples, or a unit's gradient could not be told apart."""

from torch import Tensor

from components.errors import InvalidInput
from components.privacy.bookkeeping.tape import Tape


def require_examples(values: Tensor, name: str, tape: Tape) -> None:
    """Refuse values whose first axis is not the examples of the tape."""
    if values.dim() < 2 or len(values) != tape.examples:
        raise InvalidInput(
            f"layer '{name}' was given values of shape {tuple(values.shape)} in a batch of {tape.examples}; private "
            "training needs the examples on the first axis"
        )
