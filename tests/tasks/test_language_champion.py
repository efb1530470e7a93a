"""What is said of labels that keep two models apart: names only where both sets are public."""

import pytest

from components.data.texts.corpus import Labels
from components.errors import InvalidInput
from components.language.model import BiLSTMParameters, blank_model
from components.language.vocabulary import WordVocabulary
from tasks.language.champion import LanguageChampion, require_same_labels

OURS = Labels(("call", "sing"), ("person",), public=True)
SECRET = "abort"


def champion(labels: Labels) -> LanguageChampion:
    parameters = BiLSTMParameters(embedding=2, hidden=2)
    model = blank_model(parameters, labels, WordVocabulary(("a",), endings=1), seed=0)
    return LanguageChampion("3", model, None, {}, None)


@pytest.mark.parametrize(
    ("slots", "intents", "what"), [(("person",), ("call", SECRET, "sing"), "intent"), ((SECRET,), OURS.intents, "slot")]
)
@pytest.mark.parametrize("public", [(True, True), (True, False), (False, True), (False, False)])
def test_a_label_is_named_only_where_both_sets_are_public(slots, intents, what, public):
    old = champion(Labels(OURS.intents, OURS.slots, public=public[0]))
    with pytest.raises(InvalidInput, match=f"{what}.* version 3") as refused:
        require_same_labels(old, Labels(intents, slots, public=public[1]))
    assert (SECRET in str(refused.value)) == all(public)
    assert any(name in str(refused.value) for name in (SECRET, "person")) == all(public)


def test_the_same_labels_may_be_compared():
    require_same_labels(champion(OURS), OURS)
    require_same_labels(None, OURS)
