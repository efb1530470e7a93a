"""Protocols run by threads while everything a party receives is written down, and what must hold of it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from unittest.mock import patch

import numpy as np
import pytest
from scipy.stats import chi2

from components.mpc import simulate as simulation
from components.mpc.engine import Engine
from components.mpc.network import LocalNetwork, local_networks
from components.mpc.ring import WORD
from components.mpc.shared import Shared, SharedBits

LANES = 8
FEWEST = 2048
FALSE_ALARM = 1e-12
"""Of one test; a session makes far fewer than 10^5 of them."""


@dataclass
class Received:
    """What one party received: (site, sender, octets) in order, the dealer's site being 'dealt'."""

    messages: list[tuple[str, int, np.ndarray]] = field(default_factory=list)

    def schedule(self) -> list[tuple[str, int, int]]:
        return [(site, sender, len(octets)) for site, sender, octets in self.messages]


class RecordingNetwork(LocalNetwork):
    """A `LocalNetwork` that keeps a copy of what comes in."""

    def round(self, site, outgoing, incoming):
        received = super().round(site, outgoing, incoming)
        for peer, content in received.items():
            self.record.messages.append((site, peer, np.frombuffer(bytes(content), dtype=np.uint8)))
        return received

    def from_dealer(self, size):
        content = super().from_dealer(size)
        self.record.messages.append(("dealt", -1, np.frombuffer(bytes(content), dtype=np.uint8)))
        return content


@dataclass
class Run:
    """Results, and what was received, by party; `engines` for their counts."""

    results: list
    received: list[Received]
    engines: list


def run_recorded(program: Callable[[Engine], object], parties: int = 2, *, timeout: float = 600) -> Run:
    """`simulate`, with a record of every message."""
    records = [Received() for _ in range(parties)]

    def recording(*arguments, **options):
        networks, dealer = local_networks(*arguments, **options)
        for network, record in zip(networks, records, strict=True):
            network.__class__, network.record = RecordingNetwork, record
        return networks, dealer

    with patch.object(simulation, "local_networks", recording):
        results, engines = simulation.simulate(program, parties, timeout=timeout)
    return Run(results, records, engines)


def assert_uniform(runs: Sequence[Run]) -> None:
    """Every octet a party received at a site, from one sender, is uniform in each byte lane of a word.

    Lanes are looked at one by one where there are octets enough, else together; nothing is left out.
    """
    octets = defaultdict(list)
    for run in runs:
        for party, received in enumerate(run.received):
            for site, sender, content in received.messages:
                octets[party, site, sender].append(content)
    for (party, site, sender), parts in octets.items():
        whole = np.concatenate(parts)
        assert len(whole) >= FEWEST, f"{len(whole)} octets of '{site}' are too few to judge"
        lanes = [whole[lane::LANES] for lane in range(LANES)] if len(whole) >= LANES * FEWEST else []
        for lane, content in enumerate([whole, *lanes], start=-1):
            expected = len(content) / 256
            statistic = np.sum((np.bincount(content, minlength=256) - expected) ** 2) / expected
            assert FALSE_ALARM < chi2.sf(statistic, 255) < 1 - FALSE_ALARM, (
                f"party {party} from {sender} at '{site}', lane {lane}: chi-square {statistic:.0f}"
            )


def assert_same_schedule(first: Run, second: Run) -> None:
    """Sites, senders, sizes and their order tell nothing of the values."""
    for one, other in zip(first.received, second.received, strict=True):
        assert one.schedule() == other.schedule()


def assert_fresh(run: Run) -> None:
    """The second half of what each party received, from a second call on equal values, shares no mask with the first.

    With a mask used twice the messages would be equal; by chance one octet in 256 is.
    """
    for received in run.received:
        half = len(received.messages) // 2
        for (site, _, one), (_, _, other) in zip(received.messages[:half], received.messages[half:], strict=True):
            equal, expected = np.count_nonzero(one == other), len(one) / 256
            assert equal < expected + 8 * np.sqrt(expected) + 8, f"'{site}': {equal} of {len(one)} octets are equal"


def assert_oblivious(
    protocol: Callable, first: Sequence, second: Sequence, *, parties: int = 2, repeats: int = 1
) -> None:
    """A protocol hides its inputs, structured as they are, and never uses a mask twice.

    It is run `repeats` times on each, so that every site sees octets enough.

    `protocol(engine, *inputs)` with inputs an array of words each (additively shared, held by party 0) or of bits.
    """

    def program(inputs, times=1):
        def run(engine):
            for _ in range(times):
                protocol(engine, *(hold(engine, array) for array in inputs))

        return run

    once, again = (run_recorded(program(inputs, repeats), parties) for inputs in (first, second))
    assert_same_schedule(once, again)
    assert_uniform([once])
    assert_uniform([again])
    assert_fresh(run_recorded(program(first, times=2), parties))


def hold(engine: Engine, array: np.ndarray, *, owner: int = 0, fraction: int = 20) -> Shared | SharedBits:
    """Words (any integers) or bits (uint8) that `owner` holds, as a sharing."""
    own = np.asarray(array) if engine.party == owner else np.zeros_like(array)
    if own.dtype == np.uint8:
        return SharedBits(engine, own)
    return Shared(engine, own.astype(np.int64, copy=False).view(WORD), fraction)


def split(engine: Engine, array: np.ndarray, *, fraction: int = 20) -> Shared | SharedBits:
    """The same, as a sharing of which every party holds a random part."""
    rng = np.random.default_rng(7)
    kind = np.uint8 if np.asarray(array).dtype == np.uint8 else WORD
    parts = rng.integers(0, 2 if kind == np.uint8 else 2**64, (engine.parties, *np.shape(array)), dtype=kind)
    if kind == np.uint8:
        parts[0] = array ^ np.bitwise_xor.reduce(parts[1:])
        return SharedBits(engine, parts[engine.party])
    parts[0] = np.asarray(array, dtype=np.int64).view(WORD) - parts[1:].sum(axis=0, dtype=WORD)
    return Shared(engine, parts[engine.party], fraction)


def opened(engine: Engine, value: Shared | SharedBits) -> np.ndarray:
    """A value's integers (int64, whatever its fraction) or bits, to look at in a test."""
    if isinstance(value, SharedBits):
        return engine.reveal_bits("result", value)
    if engine.deals:
        return engine.reveal("result", value.rescaled(0))
    (total,) = engine.open("result", value.words + engine.dealt(lambda: None, value.shape))
    return total.view(np.int64)


@pytest.fixture(scope="session")
def harness():
    """The functions above: `harness.run_recorded`, `harness.assert_oblivious`, …"""
    import sys

    return sys.modules[__name__]


@pytest.fixture(scope="session")
def computed():
    """A function: what `protocol` makes of integers or bits, by `parties` parties, with equal results for all."""

    def compute(protocol: Callable, *arrays: np.ndarray, parties: int = 2, fraction: int = 20):
        def program(engine):
            results = protocol(*(split(engine, array, fraction=fraction) for array in arrays))
            several = results if isinstance(results, tuple) else (results,)
            return [None if value is None else opened(engine, value) for value in several]

        results, _ = simulation.simulate(program, parties)
        for other in results[1:]:
            for one, two in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(one, two)
        return results[0][0] if len(results[0]) == 1 else tuple(results[0])

    return compute
