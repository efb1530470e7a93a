"""From what a person typed to the typed parameters of the language flow."""

from pathlib import Path

import yaml

from components.data.schema import validated
from components.errors import InvalidInput
from components.language.learn import LearningParameters
from components.language.model import AdaptedParameters, BiLSTMParameters, FrozenParameters, TransformerParameters
from components.language.protection import PrivacyParameters
from tasks.language.audit import AuditParameters
from tasks.language.course import LanguagePlan
from tasks.language.inputs import Clinc, HomeCommands, OwnTexts, Snips, TextSource
from tasks.language.privatise import Rewriting, WordExchange

_SECTIONS = {
    "learning": LearningParameters,
    "privacy": PrivacyParameters,
    "audits": AuditParameters,
    "candidates": LanguagePlan,
}
_NETWORKS = {
    "frozen": FrozenParameters,
    "adapted": AdaptedParameters,
    "bilstm": BiLSTMParameters,
    "transformer": TransformerParameters,
}
_LONGEST = 2_000
"""Characters of a value; no parameter needs more, and a longer number could not even be repeated."""


def text_source_of(
    source: str | None,
    data: Path | None,
    labels: Path | None,
    utterances: int | None,
    languages: str | None,
    name: str | None,
) -> TextSource:
    """The texts a command line names."""
    called = {} if name is None else {"name": name}
    spoken = called | ({"languages": tuple(languages.split(","))} if languages else {})
    if data is not None:
        if source is not None:
            raise InvalidInput(f"both --data {data} and --source {source} are given; use one")
        _leave_out("--utterances", utterances, "--source home_commands")
        if not data.expanduser().exists():
            raise InvalidInput(f"--data {data} cannot be read: there is no such file")
        known = {"labels": str(labels.expanduser().resolve())} if labels else {}
        return validated(OwnTexts, {"path": str(data.expanduser().resolve())} | known | spoken, "--data")
    _leave_out("--labels", labels, "--data FILE")
    kind, _, folder = (source or "home_commands").partition(":")
    match kind:
        case "home_commands" if not folder:
            drawn = {} if utterances is None else {"utterances": utterances}
            return validated(HomeCommands, drawn | spoken, "--source home_commands")
        case "snips" | "clinc" if folder:
            _leave_out("--utterances", utterances, "--source home_commands")
            _leave_out("--languages", languages, "--source home_commands or --data FILE")
            place = {"folder": str(Path(folder).expanduser().resolve())}
            return validated(Snips if kind == "snips" else Clinc, place | called, f"--source {kind}")
    raise InvalidInput(
        f"--source {source} is not known; use home_commands, snips:FOLDER or clinc:FOLDER, or --data FILE"
    )


def parameters_of(
    assignments: list[str], *, network: str, mode: str, epsilon: float, delta: float, unit: str, budget: float
) -> dict:
    """The flow's parameters from its options and `--set section.name=value`; values are read as YAML."""
    if network not in _NETWORKS:
        raise InvalidInput(f"--network {network} is not known; use {', '.join(_NETWORKS)}")
    if mode not in ("private", "plain"):
        raise InvalidInput(f"--mode {mode} is not known; use private or plain")
    if not 0 < budget <= 1000:
        raise InvalidInput(f"--budget {budget:g} makes no sense; it is above 0 and at most 1000")
    given: dict[str, dict] = {section: {} for section in (*_SECTIONS, "network")}
    given["privacy"] = {"epsilon": epsilon, "delta": delta, "unit": unit}
    given["network"] = {"kind": network}
    # What was typed as an option is told as one.
    validated(PrivacyParameters, given["privacy"], "--epsilon, --delta and --unit")
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not dot or section not in given:
            raise InvalidInput(
                f"--set {_short(assignment)} is not known; write it like --set learning.epochs=20, with one of the "
                f"sections {', '.join(given)}"
            )
        given[section][key] = _read(value, assignment)
    sections = {name: validated(model, given[name], f"--set {name}") for name, model in _SECTIONS.items()}
    return sections | {
        "network": validated(_NETWORKS[network], given["network"], "--set network"),
        "mode": mode,
        "budget": budget,
    }


def _read(value: str, assignment: str) -> object:
    try:
        if len(value) <= _LONGEST:
            return yaml.safe_load(value)
        why = f"it has {len(value):,} characters"
    # Beside syntax: dates that are none, tags whose value does not fit them, and brackets without end.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        why = getattr(error, "problem", None) or "it is no value of its kind"
    raise InvalidInput(
        f"the value of --set {_short(assignment)} cannot be read as YAML ({why}); write a number, a word, [a, b] or "
        "{name: value}"
    )


def _short(text: str) -> str:
    """What was typed, so that it fits a sentence and can be printed."""
    return (text if len(text) <= 80 else f"{text[:80]}…").encode(errors="replace").decode()


def privatisation_of(text: str) -> WordExchange | Rewriting:
    """How texts are made private, from `words:8` or `rewriting:200`."""
    kind, _, epsilon = text.partition(":")
    ways = {"words": WordExchange, "rewriting": Rewriting}
    if kind not in ways:
        raise InvalidInput(f"--privatise {text} is not known; write it like words:8 or rewriting:200")
    return validated(ways[kind], {"epsilon": epsilon} if epsilon else {}, f"--privatise {text}")


def _leave_out(option: str, given: object, goes_with: str) -> None:
    if given is not None:
        raise InvalidInput(f"{option} {given} goes with {goes_with}; leave it out")
