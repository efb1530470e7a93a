"""Plain training: epochs of shuffled batches, the best epoch by validation kept.

The loop knows nothing of how a step is made: `fit` takes a step and the batches of an epoch, so private training brings
its own of both (Poisson samples, clipped and noised gradients) and shares all else.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from components.data.texts.corpus import Corpus
from components.language.answer import answer, metrics_of
from components.language.encode import Batch, Encoded
from components.language.loss import Losses, joint_losses
from components.language.metrics import TextMetrics
from components.language.model import LanguageModel

Step = Callable[[Batch], float]
"""Learn from a batch; returns its mean loss."""


class TrainingParameters(BaseModel):
    """How long and how fast."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(20, ge=1, le=10_000)
    batch: int = Field(64, ge=1, le=100_000, description="Utterances a step.")
    rate: float = Field(1e-3, gt=0, le=10, description="Adam's learning rate, falling to zero as a cosine.")
    patience: int = Field(4, ge=1, description="Epochs without a better one after which training stops.")


@dataclass(frozen=True)
class Epoch:
    """What an epoch gave: its number from 1, mean training loss, and figures on the selection part."""

    number: int
    loss: float
    validation: TextMetrics

    @property
    def score(self) -> float:
        """What epochs are compared by: intent accuracy plus slot F1."""
        return self.validation.intent_accuracy + self.validation.slot_f1


def train(
    model: LanguageModel,
    encoded: Encoded,
    selection: Corpus,
    parameters: TrainingParameters,
    *,
    seed: int,
    losses: Losses = joint_losses,
    selection_encoded: Encoded | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> tuple[Epoch, ...]:
    """Train `model` in place on `encoded` utterances with Adam; returns its epochs, the best of which it now is.

    Parameters
    ----------
    losses
        One number an utterance; `congruent_losses` for an update of an older model.
    selection_encoded
        `selection` encoded, or with its features, where it is at hand.
    """
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(model.trainable.values(), lr=parameters.rate)
    steps = parameters.epochs * -(-len(encoded) // parameters.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps)

    def step(batch: Batch) -> float:
        optimiser.zero_grad(set_to_none=True)
        loss = losses(model.network(batch.inputs, batch.mask), batch).mean()
        loss.backward()
        optimiser.step()
        schedule.step()
        return loss.item()

    def validate() -> TextMetrics:
        return metrics_of(answer(model, selection, encoded=selection_encoded), selection)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return fit(
            model,
            step,
            lambda: shuffled(encoded, parameters.batch, rng),
            validate,
            epochs=parameters.epochs,
            patience=parameters.patience,
            on_epoch=on_epoch,
        )


def fit(
    model: LanguageModel,
    step: Step,
    batches: Callable[[], Iterable[Batch]],
    validate: Callable[[], TextMetrics],
    *,
    epochs: int,
    patience: int,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> tuple[Epoch, ...]:
    """Up to `epochs` rounds over `batches()`; stops when `patience` epochs bring no better, and keeps the best weights.

    Early stopping looks at the selection part: where that is private too, its choice is outside the training's epsilon.
    """
    history: list[Epoch] = []
    best, kept = -np.inf, {}
    since = 0
    for number in range(1, epochs + 1):
        model.network.train()
        losses = [step(batch) for batch in batches()]
        history.append(Epoch(number, float(np.mean(losses)) if losses else float("nan"), validate()))
        if on_epoch is not None:
            on_epoch(history[-1])
        if history[-1].score > best:
            best, since = history[-1].score, 0
            kept = {name: weight.detach().clone() for name, weight in model.trainable.items()}
        else:
            since += 1
            if since >= patience:
                break
    model.network.load_state_dict(kept, strict=False)
    return tuple(history)


def shuffled(encoded: Encoded, size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Every utterance once, in batches of `size` in random order."""
    order = rng.permutation(len(encoded))
    for start in range(0, len(order), size):
        yield encoded.batch(order[start : start + size])
