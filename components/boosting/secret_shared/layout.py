"""Who holds which columns and rows, told from names and counts alone: what turns owners' parts into blocks.

Owners who hold the same columns are a side. One side is a horizontal split; sides of one owner each a vertical one; one
side of several owners next to others a mixed one. Rows come in groups: those of each owner of the divided side, or one
group where none is divided. Only inside a group must rows be matched by person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.boosting.parameters import BoostingParameters, objective_of
from components.boosting.secret_shared.agreement import MOST_BINS, Agreement, Block, FeatureShape
from components.data.schema import Schema
from components.errors import InvalidInput


@dataclass(frozen=True)
class Layout:
    """`parties` in the order of their numbers; `columns` of each; `groups` of parties whose rows are matched."""

    parties: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    groups: tuple[tuple[str, ...], ...]

    def holders(self, column: str) -> list[str]:
        """The parties that hold a column."""
        return [party for party in self.parties if column in self.columns[party]]

    def features(self, schema: Schema, party: str) -> tuple[int, ...]:
        """Positions of the features a party holds."""
        return tuple(position for position, name in enumerate(schema.features) if name in self.columns[party])

    def divided(self, schema: Schema) -> tuple[int, ...]:
        """Positions of the features whose rows lie with several owners."""
        return tuple(p for p, name in enumerate(schema.features) if len(self.holders(name)) > 1)

    def cut_together(self, schema: Schema) -> tuple[int, ...]:
        """Those of them that are numeric: cut points are found from all owners' values."""
        kinds = [feature.kind for feature in schema.features.values()]
        return tuple(position for position in self.divided(schema) if kinds[position] != "categorical")


def layout_of(columns: Mapping[str, Sequence[str]], schema: Schema) -> Layout:
    """The layout of owners' columns.

    Raises
    ------
    InvalidInput
        Fewer than two owners, two divided sides, a column that two sides hold, or a feature of too many categories.
    """
    parties = tuple(columns)
    if len(parties) < 2:
        raise InvalidInput(
            f"all rows lie with '{parties[0]}'; mode secret_shared needs two owners or more, deal the table to them "
            "(partition)"
        )
    roles = {*schema.features, schema.label.column, *(group.column for group in schema.groups.values())}
    if shared := sorted(roles & set(schema.keys)):
        raise InvalidInput(
            f"column '{shared[0]}' is a key that every owner holds, and a feature, label or group too; in mode "
            "secret_shared a column has one owner, give the owners a copy under another name"
        )
    for name, feature in schema.features.items():
        if feature.kind == "categorical" and len(feature.categories or ()) > MOST_BINS:
            raise InvalidInput(
                f"feature '{name}' has {len(feature.categories)} categories; mode secret_shared has a bin for each and "
                f"at most {MOST_BINS}, merge the rare ones"
            )
    own = {party: tuple(name for name in columns[party] if name not in schema.keys) for party in parties}
    sides: dict[frozenset[str], list[str]] = {}
    for party in parties:
        sides.setdefault(frozenset(own[party]), []).append(party)
    for name in schema.columns:
        holding = [side for side in sides if name in side]
        if len(holding) > 1:
            odd = min(holding[0] ^ holding[1])
            has, lacks = (sides[side][0] for side in sorted(holding[:2], key=lambda side: odd not in side))
            raise InvalidInput(
                f"owner '{lacks}' lacks column '{odd}' and has '{name}', of which '{has}' has both; owners have all "
                f"columns alike or share none: give '{lacks}' the column, or let one side alone have '{name}'"
            )
    divided = [owners for owners in sides.values() if len(owners) > 1]
    if len(divided) > 1:
        raise InvalidInput(f"sides {divided[0]} and {divided[1]} are both divided by rows; only one side may be")
    singles = [owners[0] for owners in sides.values() if len(owners) == 1]
    groups = tuple((owner, *singles) for owner in divided[0]) if divided else (tuple(singles),)
    return Layout(parties, own, groups)


def agreement_of(
    schema: Schema,
    layout: Layout,
    rows: Sequence[int],
    shapes: Sequence[FeatureShape],
    parameters: BoostingParameters,
    label_range: tuple[float, float] = (0.0, 1.0),
) -> Agreement:
    """The agreement on `rows` of each group and `shapes` of each feature."""
    number = {party: position for position, party in enumerate(layout.parties)}
    blocks, labels, start = [], [], 0
    for group, count in zip(layout.groups, rows, strict=True):
        # A group without rows has no blocks: the first block of a feature gives its cuts.
        for party in group if count else ():
            place = {"owner": number[party], "start": start, "stop": start + count}
            if features := layout.features(schema, party):
                blocks.append(Block(**place, features=features))
            if schema.label.column in layout.columns[party]:
                labels.append(Block(**place, features=()))
        start += count
    objective = objective_of(schema.label)
    return Agreement(
        parties=layout.parties,
        rows=start,
        features=tuple(shapes),
        blocks=tuple(blocks),
        labels=tuple(labels),
        objective=objective["objective"],
        outputs=objective.get("num_class", 1),
        label_range=label_range,
        parameters=parameters,
    )
