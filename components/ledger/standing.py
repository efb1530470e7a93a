"""Who is champion according to the ledger: a fold over its entries.

A champion takes over in two entries, the intent and its completion. Between them the transition is pending, and either
model may be found under the alias.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from components.ledger.entry import Action, Entry

INTENTS = (Action.PROMOTE, Action.OVERRIDE, Action.ROLLBACK)


@dataclass(frozen=True)
class Standing:
    """`reign` holds the entries that made each champion, the current one last; a rollback takes its last one off.

    `pending` is an intent without completion.
    """

    reign: tuple[Entry, ...] = ()
    pending: Entry | None = None

    @property
    def champion(self) -> str | None:
        """The version of the last completed transition."""
        return self.reign[-1].version if self.reign else None

    @property
    def previous(self) -> str | None:
        """The version a rollback returns to."""
        return self.reign[-2].version if len(self.reign) > 1 else None

    def backing(self, version: str) -> Entry | None:
        """The entry by which `version` may be served now: the champion's, or the pending intent's."""
        if self.pending and self.pending.version == version:
            return self.pending
        return self.reign[-1] if self.champion == version else None

    def after(self, entry: Entry) -> "Standing":
        """The standing once `entry` is in the ledger."""
        match entry.action:
            case Action.PROMOTE | Action.OVERRIDE | Action.ROLLBACK:
                return Standing(self.reign, pending=entry)
            case Action.PROMOTED if entry.version == self.champion:
                return Standing((*self.reign[:-1], entry))
            case Action.PROMOTED:
                return Standing((*self.reign, entry))
            case Action.ROLLED_BACK:
                return Standing((*self.reign[:-2], entry))
            case Action.ABANDON:
                return Standing(self.reign)
            case _:
                return self


def standing(entries: Sequence[Entry]) -> Standing:
    """The standing after all of `entries`, which are in order."""
    current = Standing()
    for entry in entries:
        current = current.after(entry)
    return current
