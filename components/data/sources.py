"""The tables Troth knows by name, so that a flow's parameter or a command can ask for one."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from components.data.multiple_sclerosis import (
    MULTIPLE_SCLEROSIS,
    MULTIPLE_SCLEROSIS_OWNERS,
    simulate_multiple_sclerosis,
)
from components.data.rand_hie import RAND_HIE, RAND_HIE_OWNERS, load_rand_hie
from components.data.schema import Schema
from components.data.table import Table
from components.errors import InvalidInput


@dataclass(frozen=True)
class Source:
    """A named table: its schema, what loads it, and who holds which columns when they are split."""

    schema: Schema
    load: Callable[..., Table]
    owners: Mapping[str, tuple[str, ...]]

    @property
    def options(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.load).parameters)


SOURCES: Mapping[str, Source] = {
    "rand_hie": Source(RAND_HIE, load_rand_hie, RAND_HIE_OWNERS),
    "multiple_sclerosis": Source(MULTIPLE_SCLEROSIS, simulate_multiple_sclerosis, MULTIPLE_SCLEROSIS_OWNERS),
}


def source_named(name: str) -> Source:
    """The source called `name`.

    Raises
    ------
    InvalidInput
        There is none; lists those there are.
    """
    if name not in SOURCES:
        raise InvalidInput(f"there is no source '{name}'; the sources are {', '.join(sorted(SOURCES))}")
    return SOURCES[name]


def load_source(name: str, **options) -> Table:
    """Load a source with its options (`years` for rand_hie; `rows`, `seed`, `year`, `case_share` for the simulator).

    Raises
    ------
    InvalidInput
        No such source or option, or an option is missing or out of range.
    """
    source = source_named(name)
    for option in options:
        if option not in source.options:
            raise InvalidInput(f"source '{name}' has no option '{option}'; its options are {', '.join(source.options)}")
    needed = [key for key, p in inspect.signature(source.load).parameters.items() if p.default is p.empty]
    for option in needed:
        if option not in options:
            raise InvalidInput(f"source '{name}' needs the option '{option}'")
    return source.load(**options)
