import json
from collections import Counter
from importlib.resources import files

import pytest
from hassil import recognize_all
from hassil.intents import Intents, TextSlotList

from components.data.texts.align import misaligned, slots_of, tags_of, words_of
from components.data.texts.home_assistant import LANGUAGES, home_labels, read_grammar, sample_home_commands
from components.errors import InvalidInput


@pytest.fixture(scope="module")
def commands():
    return sample_home_commands(4000, seed=3)


def test_there_are_eight_languages_in_equal_shares(commands):
    assert len(LANGUAGES) >= 8
    assert Counter(utterance.group for utterance in commands.utterances) == dict.fromkeys(LANGUAGES, 500)


def test_every_slot_is_the_substring_at_its_span_and_whole_words(commands):
    slots = 0
    for utterance in commands.utterances:
        spans = words_of(utterance.text)
        assert misaligned(utterance, spans) is None
        assert slots_of(tags_of(utterance, spans), spans) == utterance.slots
        for _, text in utterance.frame:
            assert text
            assert text == text.strip()
            slots += 1
    assert slots > 3500


def test_slot_texts_are_values_of_their_lists(commands):
    """Independent of the walk: what stands at an area's or floor's span is a word of that language's homes."""
    checked = 0
    for utterance in commands.utterances:
        known = read_grammar(utterance.group).words
        for name, text in utterance.frame:
            if name in ("area", "floor"):
                assert text in known[name], utterance
                checked += 1
            if name == "minutes" and text.isdigit():
                assert 1 <= int(text) <= 100
    assert checked > 700


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_grammars_own_matcher_reads_the_same_intent_and_slots(language):
    """hassil's recogniser as oracle; it knows what domain a name is of, as a home does."""
    path = files("home_assistant_intents") / "data" / f"{language}.json"
    parsed = Intents.from_dict(json.loads(path.read_text(encoding="utf-8")))
    known = read_grammar(language).words
    named = {"person": known["person"], **known["names"]}
    named |= {"input_boolean": named["switch"], "input_button": named["button"], "script": named["scene"]}
    lists = {key: TextSlotList.from_strings(known[key]) for key in ("area", "floor")}
    lists["name"] = TextSlotList.from_tuples(
        (name, name, {"domain": domain}) for domain, names in named.items() for name in names
    )
    sample = sample_home_commands(25, seed=5, languages=(language,)).utterances
    for utterance in sample:
        said = {(name, text.lower()) for name, text in utterance.frame}
        read = [
            {(slot.name, slot.text_clean.lower()) for slot in found.entities_list if slot.text}
            for found in recognize_all(
                utterance.text, parsed, slot_lists=lists, intent_context={"area": "here"}, language=language
            )
            if found.intent.name == utterance.intent
        ]
        assert any(said <= slots for slots in read), (utterance, read)


def test_labels_are_public_and_cover_every_command(commands):
    labels = home_labels()
    assert labels.public
    assert len(labels.intents) >= 40
    assert {utterance.intent for utterance in commands.utterances} <= set(labels.intents)
    assert {slot.name for utterance in commands.utterances for slot in utterance.slots} <= set(labels.slots)


def test_the_seed_decides():
    one, same, other = (sample_home_commands(200, seed=seed) for seed in (1, 1, 2))
    assert one.digest == same.digest
    assert one.digest != other.digest


def test_users_speak_one_language_and_rows_are_named_once(commands):
    spoken = {}
    for utterance in commands.utterances:
        spoken.setdefault(utterance.user, set()).add(utterance.group)
    assert all(len(languages) == 1 for languages in spoken.values())
    assert len(set(commands.row_ids)) == len(commands)
    assert len(spoken) == 200


def test_chosen_intents_and_languages_alone():
    corpus = sample_home_commands(50, seed=1, languages=("de", "sv"), intents=("HassTurnOn", "HassGetWeather"), users=2)
    assert {utterance.intent for utterance in corpus.utterances} == {"HassTurnOn", "HassGetWeather"}
    assert {utterance.group for utterance in corpus.utterances} == {"de", "sv"}
    assert len(set(corpus.users)) == 2


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"utterances": 0}, "utterances is 0"),
        ({"languages": ("en", "tlh")}, "'tlh'"),
        ({"intents": ("HassTurnOn", "HassMakeTea")}, "'HassMakeTea'"),
        ({"users": 3}, "users is 3"),
    ],
)
def test_mistakes_are_named(wrong, named):
    with pytest.raises(InvalidInput, match=named):
        sample_home_commands(**{"utterances": 10, "seed": 1} | wrong)
