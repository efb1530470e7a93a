"""One backward pass through a model as it is, of which the parameters keep no gradients and a tape everything needed.

While the block lasts, each layer with trainable parameters runs by its rule, which passes gradients on to its inputs
but makes none for its weights; that is where the time of private training is won back. What no rule knows is refused: a
layer before it runs, a parameter used in any other way because autograd then made a gradient for it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from components.errors import InvalidInput
from components.privacy.bookkeeping import attention, embedding, layer_norm, linear, lstm
from components.privacy.bookkeeping.tape import Tape

RULES: dict[type[nn.Module], Callable] = {
    nn.Linear: linear.recorded,
    NonDynamicallyQuantizableLinear: linear.recorded,
    nn.Embedding: embedding.recorded,
    nn.LSTM: lstm.recorded,
    nn.LayerNorm: layer_norm.recorded,
    nn.MultiheadAttention: attention.recorded,
}


@contextmanager
def bookkeeping(model: nn.Module, examples: int, *, unit: int = 1) -> Iterator[Tape]:
    """Record one backward pass of `model` on a batch of `examples`, of which `unit` consecutive ones count as one.

    In the block, sum losses over the batch and call `backward()`; after it the tape knows norms and weighted sums.

    Raises
    ------
    InvalidInput
        A layer has trainable parameters and no rule, examples meet in it, or a parameter was used outside its layer.
    """
    tape = Tape(examples, unit=unit)
    recorded = [(layer, RULES[type(layer)](layer, name, tape)) for name, layer in recordable(model)]
    for parameter in model.parameters():
        parameter.grad = None
    try:
        for layer, forward in recorded:
            layer.forward = forward
        yield tape
    finally:
        for layer, _ in recorded:
            del layer.forward
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            parameter.grad = None
            raise InvalidInput(
                f"parameter '{name}' is used outside the forward pass of its layer, so its gradient cannot be told "
                "apart by example; use it through its layer, or freeze it"
            )


def recordable(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers with trainable parameters, by name; refuses those for which there is no rule."""
    layers = []
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm) or (isinstance(layer, _InstanceNorm) and layer.track_running_stats):
            raise InvalidInput(
                f"layer '{name}' ({type(layer).__name__}) mixes the examples of a batch; use nn.LayerNorm in its place"
            )
        trainable = any(parameter.requires_grad for parameter in layer.parameters(recurse=False))
        if type(layer) in RULES:
            if trainable:
                layers.append((name, layer))
        elif trainable:
            known = ", ".join(sorted(kind.__name__ for kind in RULES if kind is not NonDynamicallyQuantizableLinear))
            raise InvalidInput(
                f"layer '{name or 'the model itself'}' ({type(layer).__name__}) has parameters of its own and no rule "
                f"for their gradients by example; build it of {known}, or freeze it"
            )
    return layers
