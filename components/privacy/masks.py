"""Masks of dropout from a secret keystream, in place of torch's generator, whose whole state follows from 32 bits.

A mask follows from a row's place in its batch. Under a state that somebody can find, a unit more or less gives every
other one another mask, and two neighbouring sums differ by all of them, which is a multiple of the sensitivity that is
accounted. Masks that nobody can find are alike in distribution at every place, so those of the other units can be taken
as equal in both worlds, and given the masks the sums differ by one clipped gradient.

Every call of torch's dropout is answered here, whichever layer, rule or engine makes it. What draws from torch's
generator in another way (noise of its own, dropout of whole channels, an `nn.LSTM` run as a whole) is found by the
generator's state, and refused before anything of the step is released.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from components.errors import InvalidInput
from components.privacy.randomness import Randomness, SecureRandomness


@contextmanager
def masked_in_secret(randomness: Randomness) -> Iterator[None]:
    """Draw masks from `randomness` where it protects; repeatable randomness leaves them to torch.

    Raises
    ------
    InvalidInput
        Something else was drawn from torch's generator.
    """
    if not randomness.private:
        yield
        return
    before, on_device = torch.get_rng_state(), _device_states()
    with _Masked(randomness):
        yield
    unchanged = all(torch.equal(*states) for states in zip(on_device, _device_states(), strict=True))
    if not (unchanged and torch.equal(before, torch.get_rng_state())):
        torch.set_rng_state(before)
        raise InvalidInput(
            "a layer of the model draws random numbers from torch's generator, which can be repeated; let nn.Dropout "
            "be the only random layer of a private training"
        )


def _device_states() -> list[Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


class _Masked(TorchFunctionMode):
    """While it lasts, dropout is ours."""

    def __init__(self, randomness: SecureRandomness):
        super().__init__()
        self._randomness = randomness

    def __torch_function__(self, called, types, args=(), kwargs=None):
        if called is functional.dropout or called is torch.dropout:
            return self._dropout(*args, **(kwargs or {}))
        return called(*args, **(kwargs or {}))

    def _dropout(
        self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, train: bool | None = None
    ) -> Tensor:
        """As torch's; `train` is what `torch.dropout` calls `training`."""
        if not (training if train is None else train) or not p:
            return input
        kept, share = self._randomness.kept(input.numel(), 1 - p)
        mask = torch.from_numpy(kept).view(input.shape).to(input)
        if share:
            mask.div_(share)
        return input.mul_(mask) if inplace else input * mask
