"""Processes that die at every step of a promotion, and two that promote at once."""

import multiprocessing
import os
from pathlib import Path

import pytest

from components.ledger import Ledger
from tasks.loader import champion_of, load
from tasks.promotion import promote_by_hand, rollback
from tasks.promotion_ledger import examine, ledger_of
from tasks.promotion_steps import desk_of
from tests.tasks.conftest import NAME, Place, copied

ROOT = Path(__file__).parents[2]
MUTATING = ("set_", "delete_", "create_", "update_")
DIED = 86


class Mortal:
    """A client with whose `steps`-th write (to the registry or to the ledger) the process is gone before it happens."""

    def __init__(self, client, steps: int):
        self.client, self.left = client, steps
        append = Ledger.append
        Ledger.append = lambda *arguments: self._live(append, *arguments)

    def __getattr__(self, name):
        method = getattr(self.client, name)
        if not name.startswith(MUTATING):
            return method
        return lambda *arguments, **options: self._live(method, *arguments, **options)

    def _live(self, call, *arguments, **options):
        self.left -= 1
        if self.left < 0:
            os._exit(DIED)
        return call(*arguments, **options)


OPERATIONS = {
    "promote": lambda place, client: place.decide("2", over="1", client=client),
    "hold": lambda place, client: place.decide("3", "HOLD", over="1", client=client),
    "reject": lambda place, client: place.decide("2", "REJECT", over="1", client=client),
    "override": lambda place, client: promote_by_hand(client, place.settings, name=NAME, version="2", why="w"),
    "rollback": lambda place, client: rollback(client, place.settings, name=NAME, why="w", leaving="1"),
}
CHAMPION = {"promote": ("1", "2"), "hold": ("1",), "reject": ("1",), "override": ("1", "2"), "rollback": ("1", "4")}
"""Who may be champion after a crash; the last one is it in the end."""


def die_at(place: Place, operation: str, steps: int) -> None:
    OPERATIONS[operation](place, Mortal(place.client, steps))


def compete(place: Place, version: str, barrier, outcomes) -> None:
    barrier.wait()
    outcomes.put((version, place.decide(version, over="1").action))


@pytest.fixture(scope="module")
def processes():
    """Fresh processes at little cost: forked off a server that has imported what they need and started nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        patch.setenv("PYTHONPATH", str(ROOT))
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.forked", "tests.tasks.test_promotion_crash"])
        yield context


@pytest.fixture(scope="module")
def reigning(template, tmp_path_factory) -> Place:
    """Version 4 was champion, 1 is, 2 is challenger."""
    place = copied(template, tmp_path_factory)
    place.decide("4")
    place.decide("1", over="4")
    place.decide("2", "HOLD", over="1")
    return place


@pytest.fixture
def new_place(reigning, tmp_path_factory):
    return lambda: copied(reigning, tmp_path_factory)


@pytest.mark.parametrize("steps", [1, 4, 5, 11], ids=["intent written", "previous set", "champion set", "ended"])
def test_a_crashed_promotion_leaves_a_champion_and_a_second_run_finishes(steps, new_place, processes):
    assert survives("promote", steps, new_place(), processes)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_step_of_every_operation_may_be_the_last(operation, new_place, processes):
    steps = 0
    while survives(operation, steps, new_place(), processes):
        steps += 1
    assert steps >= {"promote": 10, "override": 10, "rollback": 10, "hold": 8, "reject": 8}[operation]


def survives(operation: str, steps: int, place: Place, processes) -> bool:
    """Whether the process died, and check that the model did not."""
    child = processes.Process(target=die_at, args=(place, operation, steps))
    child.start()
    child.join()
    assert child.exitcode in (0, DIED)

    # As it was left, with nobody repairing anything.
    assert load(f"models:/{NAME}@champion", place.settings).version in CHAMPION[operation]
    assert examine(place.client, place.settings, NAME).findings == ()

    OPERATIONS[operation](place, place.client)
    found = examine(place.client, place.settings, NAME)
    assert (found.findings, found.standing.pending, found.is_mirrored) == ((), None, True)
    assert found.standing.champion == found.aliases["champion"] == CHAMPION[operation][-1]
    assert found.standing.previous == found.aliases.get("previous")
    end = {"promote": "promoted", "override": "promoted", "rollback": "rolled_back"}.get(operation, operation)
    assert [entry.action for entry in found.entries[5:]].count(end) == 1
    return child.exitcode == DIED


def test_a_promotion_is_given_up_when_its_version_is_gone(new_place, processes):
    place = new_place()
    child = processes.Process(target=die_at, args=(place, "promote", 5))
    child.start()
    child.join()
    assert place.alias("champion") == "2"
    place.client.delete_model_version(NAME, "2")
    with desk_of(place.client, place.settings, NAME) as desk:
        assert desk.finished.action == "abandon"
    assert (place.alias("champion"), place.alias("previous")) == ("1", "4")
    assert champion_of(place.client, place.settings, NAME).version == "1"


def test_of_two_promotions_at_once_one_wins_and_the_other_is_stale(new_place, processes):
    place = new_place()
    barrier, outcomes = processes.Barrier(2), processes.Queue()
    rivals = [processes.Process(target=compete, args=(place, version, barrier, outcomes)) for version in ("2", "3")]
    for rival in rivals:
        rival.start()
    results = dict(outcomes.get(timeout=120) for _ in rivals)
    for rival in rivals:
        rival.join()
    assert sorted(results.values()) == ["promoted", "refuse"]
    winner = next(version for version, action in results.items() if action == "promoted")
    found = examine(place.client, place.settings, NAME)
    assert found.findings == ()
    assert found.standing.champion == place.alias("champion") == winner
    assert [entry.action for entry in ledger_of(place.settings, NAME).entries()][-3:].count("refuse") == 1
