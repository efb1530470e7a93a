"""What a batch of sums is, publicly: which run, who may take part, how many must be left, how many sums.

Members, threshold and the fewest that may make a batch are in every member's own configuration, so the collector can
invent none of them. The batch's digest is in all that is signed, derived or sealed for it.
"""

from dataclasses import asdict, dataclass
from functools import cached_property

from components.errors import InvalidInput
from components.federated.frame import Octets, canonical, digest, pack, unpack
from components.federated.violation import ProtocolViolation

ANNOUNCEMENT = "announcement"
MOST_MESSAGES = 4096


@dataclass(frozen=True)
class Batch:
    """Sums 0 .. `messages` - 1 of the `number`-th batch of a run; members are in order of their names."""

    run: str
    number: int
    members: tuple[str, ...]
    threshold: int
    messages: int

    @cached_property
    def digest(self) -> bytes:
        return digest("batch", canonical(asdict(self)))

    def point(self, name: str) -> int:
        """The abscissa of a member's shares."""
        return self.members.index(name) + 1

    def encode(self) -> bytes:
        return pack(ANNOUNCEMENT, asdict(self))


def decode_batch(content: Octets, *, sender: str) -> Batch:
    """The batch of an announcement.

    Raises
    ------
    ProtocolViolation
        It is none.
    """
    document, parts = unpack(content, ANNOUNCEMENT, sender=sender)
    kinds = {"run": str, "number": int, "members": list, "threshold": int, "messages": int}
    if parts or {name: type(value) for name, value in document.items()} != kinds:
        raise ProtocolViolation(sender, "sent a damaged announcement")
    if not 1 <= document["messages"] <= MOST_MESSAGES:
        raise ProtocolViolation(sender, f"announced {document['messages']} sums where 1 to {MOST_MESSAGES} can be")
    return Batch(**document | {"members": tuple(document["members"])})


def least_survivors(members: int, *, colluding: int = 0) -> int:
    """The smallest safe threshold t: floor((n + c) / 2) + 1 of n members, c of whom may side with the collector.

    A collector that lies can try to have one member counted as survivor by some and as lost by others, which would
    give it both of the member's secrets. Either story takes t members that tell it; an honest one tells one story
    only, the c others both. Two stories thus need 2 t <= n + c, and t is the least number that makes this false.
    """
    return (members + colluding) // 2 + 1


def survivors_of(roster: int, *, members: int, threshold: int) -> int:
    """The threshold of a batch of only some members, which withstands as many who collude as the one of all does.

    Of n members threshold t withstands c = 2 t - n - 1. Beside them two honest ones are left wherever there are two.
    """
    colluding = max(0, 2 * threshold - members - 1)
    return max(least_survivors(roster, colluding=colluding), min(colluding + 2, roster))


def check_members(members: tuple[str, ...], threshold: int) -> None:
    """Refuse members and thresholds under which a sum would protect nobody.

    Raises
    ------
    InvalidInput
        There are too few members, one is named twice, or the threshold is below `least_survivors` or above them all.
    """
    if len(members) < 2:
        raise InvalidInput(f"'members' names {len(members)}; a sum that hides its parts needs two members or more")
    if twice := [name for name in members if members.count(name) > 1]:
        raise InvalidInput(f"'members' names '{twice[0]}' twice; name everybody once")
    if not least_survivors(len(members)) <= threshold <= len(members):
        raise InvalidInput(
            f"'threshold' is {threshold} of {len(members)} members; use {least_survivors(len(members))} to "
            f"{len(members)}, so that no two sets of survivors can both have that many"
        )
