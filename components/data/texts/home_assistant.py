"""Commands to a home, drawn from the grammar of Home Assistant in eight languages, slots and all.

The package home-assistant-intents ships templates such as `turn on [the] {name} in {area}`; a random walk through one
writes a sentence and knows where its slots are, so alignment is exact by construction. Rooms, names and free text are
the home's and stand in home_words.yaml. Every user has a home of a few of them and one language, which is the group.
Source: github.com/OHF-Voice/intents (Apache-2.0); templates are parsed by hassil.
"""

import json
import re
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import yaml

from components.data.texts.align import misaligned, words_of
from components.data.texts.corpus import Corpus, Labels, Slot, Utterance
from components.errors import InvalidInput

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt-BR", "sv")
UTTERANCES_OF_A_USER = 20

_ALIKE = {"input_boolean": "switch", "input_button": "button", "script": "scene"}
_FREE_TEXT = {"shopping_list_item": "item", "todo_list_item": "item"}
_HOME_KEEPS = 0.5
"""Share of a language's words that one home knows."""
_TRIES = 50
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Template:
    """One sentence of the grammar: its expression, and the domains a {name} in it may be of (none: any)."""

    expression: object
    domains: tuple[str, ...]


@dataclass(frozen=True)
class Grammar:
    """A language: intent → groups of templates, lists and rules by name, and the words of its homes."""

    language: str
    intents: dict[str, tuple[tuple[Template, ...], ...]]
    lists: dict[str, object]
    rules: dict[str, object]
    words: dict[str, list]


@dataclass
class _Home:
    """What one user's home has, chosen when it is first spoken of."""

    rng: np.random.Generator
    known: dict[str, list[str]] = field(default_factory=dict)

    def one_of(self, key: str, values: list[str]) -> str:
        if key not in self.known:
            kept = max(2, round(len(values) * _HOME_KEEPS))
            self.known[key] = [values[at] for at in self.rng.permutation(len(values))[:kept]]
        return _pick(self.rng, self.known[key])


@dataclass
class _Sentence:
    """A sentence while it is written; white space is folded on the way, so that spans never move."""

    text: str = ""
    slots: list[Slot] = field(default_factory=list)

    def write(self, chunk: str) -> None:
        folded = _SPACES.sub(" ", chunk)
        self.text += folded.lstrip() if not self.text or self.text[-1] == " " else folded


def sample_home_commands(
    utterances: int,
    *,
    seed: int,
    languages: tuple[str, ...] = LANGUAGES,
    intents: tuple[str, ...] | None = None,
    users: int | None = None,
) -> Corpus:
    """Draw `utterances` commands, language by language as even as can be.

    Parameters
    ----------
    intents
        Those to draw, by name; None for all. One is drawn uniformly, then one of its templates, then its words.
    users
        How many people speak, each in one language; None for one to twenty utterances.

    Raises
    ------
    InvalidInput
        No utterances or languages, a language without words here, an intent no grammar has, fewer users than languages.
    """
    if utterances < 1 or not languages:
        raise InvalidInput(f"utterances is {utterances} in {len(languages)} languages; draw at least 1, in at least 1")
    users = max(len(languages), -(-utterances // UTTERANCES_OF_A_USER)) if users is None else users
    if users < len(languages):
        raise InvalidInput(f"users is {users}; each of the {len(languages)} languages needs one at least")
    grammars = [read_grammar(language) for language in languages]
    known = {intent for grammar in grammars for intent in grammar.intents}
    for intent in intents or ():
        if intent not in known:
            raise InvalidInput(f"intent '{intent}' is in no grammar of {', '.join(languages)}; see home_labels()")
    drawn_from = [[intent for intent in grammar.intents if not intents or intent in intents] for grammar in grammars]
    for language, some in zip(languages, drawn_from, strict=True):
        if not some:
            raise InvalidInput(f"language '{language}' has none of the intents {', '.join(intents)}; leave it out")
    rng = np.random.default_rng(seed)
    homes = [_Home(rng) for _ in range(users)]
    said = [0] * users
    drawn = []
    for number in range(utterances):
        at = number % len(grammars)
        grammar = grammars[at]
        user = int(rng.choice(range(at, users, len(grammars))))
        said[user] += 1
        intent, sentence = _draw(grammar, drawn_from[at], homes[user])
        name = f"{grammar.language}-{user:05d}"
        drawn.append(
            Utterance(f"{name}@{said[user]}", sentence.text, intent, tuple(sentence.slots), grammar.language, name)
        )
    return Corpus(tuple(drawn))


@cache
def home_labels(languages: tuple[str, ...] = LANGUAGES) -> Labels:
    """Every intent and slot of the grammars: public, since the grammars are."""
    grammars = [read_grammar(language) for language in languages]
    intents = {intent for grammar in grammars for intent in grammar.intents}
    slots = {
        reference.slot_name
        for grammar in grammars
        for groups in grammar.intents.values()
        for group in groups
        for template in group
        for reference in template.expression.list_references(grammar.rules)
    }
    return Labels(tuple(sorted(intents)), tuple(sorted(slots)), public=True)


@cache
def read_grammar(language: str) -> Grammar:
    """The grammar of one language, from the installed package; parsed once."""
    words = _home_words()
    if language not in LANGUAGES:
        raise InvalidInput(f"language '{language}' has no words here; use some of {', '.join(LANGUAGES)}")
    package = find_spec("home_assistant_intents")
    if package is None or find_spec("hassil") is None:
        raise InvalidInput("home commands need the packages home-assistant-intents and hassil; install them")
    from hassil.intents import Intents

    parsed = Intents.from_dict(
        json.loads((Path(package.origin).parent / "data" / f"{language}.json").read_text(encoding="utf-8"))
    )
    intents = {
        name: tuple(
            tuple(Template(sentence.expression, _domains(group.requires_context)) for sentence in group.sentences)
            for group in intent.data
            if group.sentence_texts
        )
        for name, intent in sorted(parsed.intents.items())
    }
    return Grammar(
        language,
        {name: groups for name, groups in intents.items() if groups},
        parsed.slot_lists,
        parsed.expansion_rules,
        {**words["everyone"], **words[language]},
    )


@cache
def _home_words() -> dict:
    return yaml.safe_load(Path(__file__).with_name("home_words.yaml").read_text(encoding="utf-8"))


def _domains(context: dict | None) -> tuple[str, ...]:
    named = (context or {}).get("domain") or ()
    named = (named,) if isinstance(named, str) else named
    return tuple(dict.fromkeys(_ALIKE.get(domain, domain) for domain in named))


def _draw(grammar: Grammar, intents: list[str], home: _Home) -> tuple[str, _Sentence]:
    """A command whose slots are whole words (a grammar may also build compounds: `{area}lampe`).

    Walks are repeated until one is so; an intent is drawn anew with every walk, so that none can be stuck.
    """
    for _ in range(_TRIES):
        intent = _pick(home.rng, intents)
        template = _pick(home.rng, _pick(home.rng, grammar.intents[intent]))
        sentence = _Sentence()
        _walk(template.expression, template, grammar, home, sentence)
        sentence.text = sentence.text.rstrip()
        utterance = Utterance("", sentence.text, intent, tuple(sentence.slots))
        if sentence.text and misaligned(utterance, words_of(sentence.text)) is None:
            return intent, sentence
    raise RuntimeError(f"no walk of {_TRIES} through the grammar of {grammar.language} gave whole words")


def _walk(expression, template: Template, grammar: Grammar, home: _Home, sentence: _Sentence) -> None:
    match type(expression).__name__:
        case "TextChunk":
            sentence.write(expression.original_text)
        case "Sequence":
            for item in expression.items:
                _walk(item, template, grammar, home, sentence)
        case "Alternative":
            _walk(_pick(home.rng, expression.items), template, grammar, home, sentence)
        case "Permutation":
            for at in home.rng.permutation(len(expression.items)):
                _walk(expression.items[at], template, grammar, home, sentence)
        case "RuleReference":
            _walk(grammar.rules[expression.rule_name].expression, template, grammar, home, sentence)
        case _:
            _fill(expression, template, grammar, home, sentence)


def _fill(reference, template: Template, grammar: Grammar, home: _Home, sentence: _Sentence) -> None:
    """Write a value of a list and note its slot; what a list leaves to the home comes from the home's words."""
    start, name = len(sentence.text), reference.list_name
    values = grammar.lists.get(name)
    match type(values).__name__:
        case "TextSlotList":
            said = _pick(home.rng, values.values).text_in
            _walk(getattr(said, "expression", said), template, grammar, home, sentence)
        case "RangeSlotList":
            steps = (values.stop - values.start) // values.step
            number = values.start + values.step * int(home.rng.integers(steps + 1))
            sentence.write(str(number))
        case _ if name == "name":
            domain = _pick(home.rng, template.domains or tuple(grammar.words["names"]))
            words = grammar.words["person"] if domain == "person" else grammar.words["names"][domain]
            sentence.write(home.one_of(domain, words))
        case _:
            free_text = _FREE_TEXT.get(name, name)
            sentence.write(home.one_of(free_text, grammar.words[free_text]))
    written = sentence.text[start:]
    start += len(written) - len(written.lstrip())
    end = start + len(written.strip())
    if end > start:
        sentence.slots.append(Slot(reference.slot_name, start, end))


def _pick(rng: np.random.Generator, values):
    return values[int(rng.integers(len(values)))]
