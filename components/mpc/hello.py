"""What parties tell one another before anything secret: who they are, which version they speak, what they agree on.

The agreement is the caller's public document (parameters, number of rows, names of features, …). It is sent whole, so
that a difference can be named by its key; two parties that would compute different things never start. They also say
which steps of earlier tries they have on their disks: shares of two tries do not add up, so each comes with its tag.
"""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version

from components.mpc.network import PartyLost

PROTOCOL = 4
"""Of the frames and of the order of messages; raised with every change that an older party would misread."""

Json = None | bool | int | float | str | list | dict


@dataclass(frozen=True)
class Hello:
    """One member's introduction; `session` is new each time it starts."""

    name: str
    agreement: Mapping[str, Json]
    owners: Sequence[str] = ()
    """As its parties.yaml lists them: their order is their numbers."""
    finished: Sequence[tuple[int, str]] | None = None
    """The steps this owner could go on from, and tags of the tries they are of; None at the dealer."""
    product: str = field(default_factory=lambda: version("troth"))
    protocol: int = PROTOCOL
    session: str = field(default_factory=lambda: secrets.token_hex(16))

    def encode(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False).encode()


def decode(content: bytes) -> Hello:
    """The hello in a message.

    Raises
    ------
    ValueError
        It is not one.
    """
    document = json.loads(content)
    if not isinstance(document, dict) or not isinstance(document.get("agreement"), dict):
        raise ValueError("not a hello")
    try:
        return Hello(**document)
    except TypeError as error:
        raise ValueError("not a hello") from error


def difference(theirs: Hello, ours: Hello) -> str | None:
    """What stands between two parties, as the end of a sentence that begins with their name; None if nothing does."""
    if theirs.protocol != ours.protocol or theirs.product != ours.product:
        return (
            f"runs troth {theirs.product} (protocol {theirs.protocol}) where '{ours.name}' runs {ours.product} "
            f"(protocol {ours.protocol}); install one version everywhere"
        )
    if list(theirs.owners) != list(ours.owners):
        return (
            f"lists the owners {', '.join(theirs.owners)} where '{ours.name}' lists {', '.join(ours.owners)}; "
            "give every machine the same parties.yaml"
        )
    # As they arrive: JSON knows no tuples, and its numbers are compared as numbers.
    apart = list(_differences("", theirs.agreement, json.loads(json.dumps(ours.agreement))))
    if not apart:
        return None
    key, their_value, our_value = apart[0]
    more = f" (and {len(apart) - 1} more)" if len(apart) > 1 else ""
    return (
        f"has {key} = {their_value} where '{ours.name}' has {our_value}{more}; "
        "start all with the same parameters and rows"
    )


def resume_from(hellos: Sequence[Hello]) -> int:
    """The last step that all owners have of the same tries; 0 where one has none at all.

    Raises
    ------
    PartyLost
        All have some, and none is the same everywhere.
    """
    stored = {hello.name: {tuple(step) for step in hello.finished} for hello in hellos if hello.finished is not None}
    if not all(stored.values()):
        return 0
    if together := set.intersection(*stored.values()):
        return max(number for number, _ in together)
    told = ", ".join(f"'{name}' {sorted(number for number, _ in steps)}" for name, steps in sorted(stored.items()))
    raise PartyLost(
        f"no finished step is of one try at all owners ({told}); restore the folder of shares that is older than the "
        "others as it was last, or let every owner remove its own, and the run begins anew"
    )


def _differences(key: str, theirs: Json, ours: Json) -> Iterator[tuple[str, str, str]]:
    match theirs, ours:
        case dict(), dict():
            for name in sorted(theirs.keys() | ours.keys()):
                below = f"{key}.{name}" if key else name
                if name not in theirs or name not in ours:
                    yield below, _shown(theirs, name), _shown(ours, name)
                else:
                    yield from _differences(below, theirs[name], ours[name])
        case list(), list() if len(theirs) == len(ours):
            for position, (one, other) in enumerate(zip(theirs, ours, strict=True)):
                yield from _differences(f"{key}[{position}]", one, other)
        case list(), list():
            yield f"{key} (length)", str(len(theirs)), str(len(ours))
        case _ if theirs != ours or isinstance(theirs, bool) != isinstance(ours, bool):
            yield key, _brief(theirs), _brief(ours)


def _shown(document: dict, name: str) -> str:
    return _brief(document[name]) if name in document else "nothing"


def _brief(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"
