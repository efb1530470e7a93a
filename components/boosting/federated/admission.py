"""Who may take part: rows and labels are declared once for all, and with more than that a sum could overflow.

Whoever comes late with more is left out. There is room first for those whose rows were declared, whoever answers first.
"""

from collections.abc import Collection, Mapping

from components.boosting.federated.progress import Progress
from components.boosting.histogram import Terms
from components.federated import Federation, Loss

Described = Mapping[str, Mapping]
"""What owners say of themselves, by name: `rows`, `held_out` and, of a regression label, `label_range`."""


def rows_in_all(described: Described) -> int:
    """Training and selection rows together."""
    return sum(one["rows"] + one["held_out"] for one in described.values())


class Admission:
    """Of those who describe themselves, who takes part; `left_out` are the others, each with a sentence on why."""

    def __init__(self, federation: Federation, terms: Terms, progress: Progress):
        self.terms, self.left_out = terms, dict[str, str]()
        self._federation = federation
        begun = progress.begun.members if progress.begun else ()
        self._first = {*progress.declared, *begun, *(name for one in progress.rounds for name in one.members)}

    def admit(self, said: Described, others: Described | None = None) -> dict[str, Mapping]:
        """`others`, who take part, and those of `said` with whom no sum can overflow."""
        kept = {name: one for name, one in (others or {}).items() if name not in said}
        rows = rows_in_all(kept)
        for name in sorted(said, key=lambda name: (name not in self._first, name)):
            its_rows = rows_in_all({name: said[name]})
            if rows + its_rows <= self.terms.rows and self.has_fitting_labels(said[name]):
                kept[name], rows = said[name], rows + its_rows
                self.left_out.pop(name, None)
            else:
                self.leave_out(name)
        return kept

    def admit_each(self, said: Described) -> dict[str, Mapping]:
        """Those of `said` whose own rows fit, where a round is of a few of very many."""
        most = self.terms.rows
        fit = {
            n: one for n, one in said.items() if one["rows"] + one["held_out"] <= most and self.has_fitting_labels(one)
        }
        for name in said.keys() - fit.keys():
            self.leave_out(name)
        for name in self.left_out.keys() & fit.keys():
            del self.left_out[name]
        return fit

    def has_fitting_labels(self, description: Mapping) -> bool:
        low, high = description.get("label_range") or self.terms.label_range
        return self.terms.label_range[0] <= low and high <= self.terms.label_range[1]

    def leave_out(self, name: str) -> None:
        """Say once why an owner takes no part."""
        if name not in self.left_out:
            self.left_out[name] = (
                f"'{name}' came when the training had begun, with more rows or other labels than were declared for "
                "all; with another seed all who are there begin anew"
            )
            self._federation.losses.append(Loss(name, "describe", self.left_out[name]))


def largest(described: Described, among: Collection[str]) -> str:
    """Who of `among` has most rows."""
    return max(among, key=lambda name: rows_in_all({name: described[name]}))
