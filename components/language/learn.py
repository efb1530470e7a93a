"""Learning from texts, private or plain: the one loop that candidates, their twins and their references go through.

Private learning takes the samples of its plan and keeps the last weights: no choice among epochs looks at anything, so
nothing but the plan is spent. Plain learning is the same without sampling, clipping and noise, for comparison. After
every epoch the state is on the disk before the epoch is told to anyone, so that a training that was cut off goes on
where it was; steps after the last state were seen by nobody, and are taken again with fresh noise.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from components.durable import flush
from components.errors import InvalidInput
from components.language.encode import Encoded
from components.language.loss import Losses, joint_losses
from components.language.model import LanguageModel
from components.language.protection import Protection
from components.privacy import PrivateTraining, Rows
from components.privacy.clipping import Clipping, Flat, Quantile

LARGEST_BATCH = 1024
"""Unless told otherwise. Of few units a fifth leaves five steps an epoch, and chance to hide who takes part."""
STATE, WEIGHTS = "state.json", "state.safetensors"


class LearningParameters(BaseModel):
    """How long and how fast."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(20, ge=1, le=10_000)
    batch: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Utterances, or users, expected in a step; empty: 1024, or a fifth of all where that is less.",
    )
    rate: float = Field(3e-2, gt=0, le=10, description="Adam's learning rate, falling to zero as a cosine.")

    def batch_of(self, units: int) -> int:
        """How many of `units` utterances or users are expected in a step."""
        return self.batch or max(1, min(LARGEST_BATCH, units // 5))


@dataclass(frozen=True)
class Learnt:
    """How a training went: the steps it took, private ones as their wrapper counted, and the clipping it ended with."""

    steps: int
    clipping: Clipping | None


def learn(
    model: LanguageModel,
    encoded: Encoded,
    parameters: LearningParameters,
    protection: Protection | None,
    *,
    seed: int,
    losses: Losses = joint_losses,
    folder: Path | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> Learnt:
    """Train `model` in place on `encoded` utterances; private under a protection, plain without.

    Parameters
    ----------
    seed
        Of plain learning: its order and dropout. A private training has nothing that can be repeated.
    losses
        One number an utterance, which must depend on that utterance alone.
    folder
        Where the state is kept; a training finds there where it was cut off.
    on_epoch
        Is told the number of every epoch, from 1, once its state is kept.

    Raises
    ------
    InvalidInput
        As `components.privacy.PrivateTraining`; a gradient is not finite; or what is kept of a training that was cut
        off cannot be read.
    """
    network, weights = model.network, list(model.trainable.values())
    optimiser = torch.optim.Adam(weights, lr=parameters.rate)
    done, clipping = _restored(folder, model, optimiser, protection)
    batch_size = parameters.batch_of(len(encoded))
    steps_an_epoch = protection.plan.steps_an_epoch if protection else -(-len(encoded) // batch_size)

    def of_rows(network, rows) -> torch.Tensor:
        batch = encoded.batch(rows.numpy())
        return losses(network(batch.inputs, batch.mask), batch)

    if protection:
        private = PrivateTraining(
            network,
            optimiser,
            of_rows,
            units=protection.units,
            plan=protection.plan,
            clipping=clipping,
            engine=protection.engine,
            taken=done * steps_an_epoch,
        )
        samples, step = private.epoch, private.step
    else:
        samples = lambda: _shuffled(len(encoded), batch_size, np.random.default_rng([seed, epoch]))  # noqa: E731
        step = lambda rows: _plain_step(network, optimiser, of_rows, rows)  # noqa: E731

    with torch.random.fork_rng(devices=[]):
        for epoch in range(done, parameters.epochs):
            if not protection:
                # Of dropout, anew in every epoch. Private steps draw their masks from secrets, never from a seed.
                torch.manual_seed(seed * 1_000_003 + epoch)
            network.train()
            for number, rows in enumerate(samples()):
                progress = (epoch * steps_an_epoch + number) / (parameters.epochs * steps_an_epoch)
                for group in optimiser.param_groups:
                    group["lr"] = parameters.rate * (1 + math.cos(math.pi * progress)) / 2
                try:
                    step(rows)
                except FloatingPointError as failure:
                    raise InvalidInput(f"epoch {epoch + 1}: {failure} (learning.rate is {parameters.rate:g})") from None
            network.eval()
            clipping = private.clipping if protection else None
            if folder is not None:
                _keep(folder, epoch + 1, model, optimiser, clipping)
            if on_epoch is not None:
                on_epoch(epoch + 1)
    network.eval()
    return Learnt(private.taken if protection else parameters.epochs * steps_an_epoch, clipping)


def _shuffled(count: int, size: int, rng: np.random.Generator) -> Iterator[Rows]:
    order = rng.permutation(count)
    for start in range(0, count, size):
        rows = order[start : start + size, None]
        yield Rows(rows, np.ones(rows.shape))


def _plain_step(network, optimiser, of_rows, rows: Rows) -> None:
    optimiser.zero_grad(set_to_none=True)
    of_rows(network, torch.from_numpy(rows.rows[:, 0])).mean().backward()
    optimiser.step()


def _keep(
    folder: Path, epochs: int, model: LanguageModel, optimiser: torch.optim.Adam, clipping: Clipping | None
) -> None:
    """Weights, Adam's moments and the clipping's bound, whole or not at all."""
    if not folder.exists():
        folder.mkdir(parents=True)
        flush(folder.parent)
    tensors = {f"weight.{name}": weight.detach().contiguous() for name, weight in model.trainable.items()}
    for name, weight in model.trainable.items():
        tensors |= {f"{key}.{name}": value for key, value in optimiser.state[weight].items()}
    bound = clipping.bound if isinstance(clipping, Flat | Quantile) else None
    # The weights' file is named by its epoch, so that the two are of one epoch whenever the power fails. It is on the
    # disk before the state names it, and the state is before the old one goes.
    name = f"{epochs}.{WEIGHTS}"
    save_file(tensors, folder / name)
    flush(folder / name)
    _written(folder / STATE, json.dumps({"epochs": epochs, "weights": name, "bound": bound}))
    for old in folder.glob(f"*.{WEIGHTS}"):
        if old.name != name:
            old.unlink()


def _restored(
    folder: Path | None, model: LanguageModel, optimiser: torch.optim.Adam, protection: Protection | None
) -> tuple[int, Clipping | None]:
    """Put model and optimiser where they were cut off: epochs done, and the clipping."""
    clipping = protection.clipping if protection else None
    if folder is None or not (folder / STATE).exists():
        return 0, clipping
    try:
        state = json.loads((folder / STATE).read_text())
        tensors = load_file(folder / state["weights"])
        with torch.no_grad():
            for name, weight in model.trainable.items():
                weight.copy_(tensors[f"weight.{name}"])
                kept = {key: tensors[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
                optimiser.state[weight] = kept
        epochs, bound = state["epochs"], state["bound"]
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as failure:
        # Beginning again would spend what was paid once a second time; a person decides.
        raise InvalidInput(
            f"what {folder} keeps of a training that was cut off cannot be read ({type(failure).__name__}); restore it "
            "from a copy, or delete it, and the run trains, and pays, anew"
        ) from failure
    if isinstance(clipping, Quantile):
        clipping = Quantile(bound, clipping.quantile, clipping.rate, clipping.count_noise)
    return epochs, clipping


def _written(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    flush(beside)
    beside.replace(path)
    flush(path.parent)
