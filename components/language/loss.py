"""The joint loss, one number an utterance: what private training clips is the gradient of each.

An utterance's loss is the cross-entropy of its intent plus the mean cross-entropy of its words' tags, so that no long
utterance weighs more than a short one and none's gradient grows with its length.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from components.language.encode import IGNORED, Batch

Outputs = tuple[torch.Tensor, torch.Tensor]
"""(B, K) intent and (B, T, S) slot logits."""
Losses = Callable[[Outputs, Batch], torch.Tensor]
"""From a batch's outputs to (B,)."""


def joint_losses(outputs: Outputs, batch: Batch) -> torch.Tensor:
    """(B,) intent plus slot loss of each utterance."""
    intent_logits, slot_logits = outputs
    of_intents = functional.cross_entropy(intent_logits, batch.intents, reduction="none")
    of_tags = functional.cross_entropy(slot_logits.transpose(1, 2), batch.tags, reduction="none", ignore_index=IGNORED)
    words = (batch.tags != IGNORED).sum(dim=1).clamp(min=1)
    return of_intents + of_tags.sum(dim=1) / words


def congruent_losses(
    old: Callable[[Batch], Outputs], old_right: torch.Tensor, pull: Callable[..., torch.Tensor]
) -> Losses:
    """`joint_losses` plus a pull of the intent, and of every word's tag, to the model that is to be replaced.

    Parameters
    ----------
    old
        The old model's outputs on a batch.
    old_right
        (n,) bool over the training corpus: where the old model's intent is right, on held-out folds at best.
    pull
        (new logits, old logits, right) to a distance each: `components.compatibility.networks.focal_pull`.
    """

    def losses(outputs: Outputs, batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            old_intents, old_tags = old(batch)
        right = old_right[batch.rows]
        words = batch.tags != IGNORED
        tags_right = (old_tags.argmax(dim=2) == batch.tags) & words
        of_tags = pull(outputs[1], old_tags, tags_right) * words
        of_intents = pull(outputs[0], old_intents, right)
        return joint_losses(outputs, batch) + of_intents + of_tags.sum(dim=1) / words.sum(dim=1).clamp(min=1)

    return losses


def outputs_of(network: nn.Module) -> Callable[[Batch], Outputs]:
    """The network as a function of batches, in evaluation mode."""
    network.eval()
    return lambda batch: network(batch.inputs, batch.mask)
