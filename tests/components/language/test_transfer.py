import torch

from components.data.texts.corpus import Labels
from components.language.transfer import with_labels


def test_all_but_the_last_layers_is_brought_along(small_model):
    task = Labels(("a", "b", "c"), ("city", "day"), public=True)
    moved = with_labels(small_model, task, seed=9)
    assert moved.labels == task
    for name, weight in small_model.trainable.items():
        same = torch.equal(weight, moved.trainable[name])
        assert same != name.startswith(("heads.intent.", "heads.slot."))


def test_the_models_share_no_memory(small_model):
    moved = with_labels(small_model, Labels(("a", "b"), (), public=True), seed=9)
    name = next(name for name in small_model.trainable if "heads" not in name)
    with torch.no_grad():
        moved.trainable[name].zero_()
    assert small_model.trainable[name].abs().sum() > 0
