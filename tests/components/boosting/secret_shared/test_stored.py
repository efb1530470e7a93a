"""A training that was interrupted goes on from the shares on every party's disk, and ends as it would have."""

import secrets
import shutil
import stat

import numpy as np
import pytest

from components.boosting.secret_shared import Rows, open_model, predict_margins, train
from components.boosting.secret_shared.booster import to_booster
from components.boosting.secret_shared.programs import model_shape
from components.boosting.secret_shared.stored import finished_rounds, keep_round, restored, stored_model
from components.errors import InvalidInput
from components.mpc.hello import Hello, resume_from
from components.mpc.simulate import simulate

KIND = {"rows": 1200, "missing": 0.1, "categorical": 1}


class Interrupted(Exception):
    """What ends a training on purpose."""


@pytest.fixture
def going_on(boosting, tmp_path):
    """A function: train until every party has kept its round of `until`, from `start` on; margins if it ends."""

    def go(objective="binary:logistic", *, start=0, until=(99, 99), rounds=5, **changes):
        data = boosting.draw_bins(objective=objective, **KIND)
        agreement = boosting.agree(data, "vertical", 2, boosting.settings(rounds=rounds, **changes))
        tag = secrets.token_hex(8)

        def program(engine):
            folder = tmp_path / f"party{engine.party}"

            def keep(done, state):
                if not engine.deals:
                    if done > until[engine.party]:
                        raise Interrupted
                    keep_round(folder, done, state, tag)
                if done >= max(until):
                    raise Interrupted

            state = restored(engine, folder, start, model_shape(agreement))
            holding = boosting.held_by(agreement, data, engine.party)
            try:
                model = train(engine, agreement, holding, start=state, keep=keep)
            except Interrupted:
                if engine.deals:
                    # It is ahead of all, who have yet to read what it dealt.
                    return None
                raise
            opened = open_model(engine, agreement, model, 0)
            again = stored_model(engine, folder, rounds, model_shape(agreement))
            reread = engine.reveal("again", predict_margins(agreement, Rows(engine, agreement, holding), again))
            return opened, reread

        try:
            results, _ = simulate(program, 2, timeout=5)
        except Interrupted:
            return None
        opened, reread = results[0]
        trained = boosting.Trained(agreement, opened, to_booster(agreement, opened), None, [])
        return boosting.opened_margins(trained, data), boosting.in_label_units(agreement, reread)

    return go


def folders(tmp_path):
    return [tmp_path / f"party{number}" for number in range(2)]


def finished(tmp_path) -> list[list[int]]:
    return [list(finished_rounds(folder)) for folder in folders(tmp_path)]


def together(tmp_path) -> int:
    """The round that the parties agree to go on from when they meet."""
    return resume_from(
        [Hello(folder.name, {}, finished=sorted(finished_rounds(folder).items())) for folder in folders(tmp_path)]
    )


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob", "reg:squarederror"])
def test_an_interrupted_training_ends_as_if_it_had_not_been(boosting, trained_once, going_on, tmp_path, objective):
    assert going_on(objective, until=(2, 2), subsample=0.8, colsample_bytree=0.7, seed=1) is None
    assert finished(tmp_path) == [[1, 2], [1, 2]]
    assert together(tmp_path) == 2
    margins, reread = going_on(objective, start=2, subsample=0.8, colsample_bytree=0.7, seed=1)
    whole = trained_once(data={"objective": objective, **KIND}, rounds=5, subsample=0.8, colsample_bytree=0.7, seed=1)
    wanted = boosting.opened_margins(whole, boosting.draw_bins(objective=objective, **KIND))
    scale = 95 if objective == "reg:squarederror" else 1
    np.testing.assert_allclose(margins, wanted, rtol=0, atol=1e-4 * scale)
    np.testing.assert_allclose(reread.T.squeeze(), margins, rtol=0, atol=1e-4 * scale)


def test_one_party_may_be_a_round_behind(boosting, trained_once, going_on, tmp_path):
    assert going_on(until=(3, 2)) is None
    assert finished(tmp_path) == [[2, 3], [1, 2]]
    assert together(tmp_path) == 2
    margins, _ = going_on(start=2)
    wanted = boosting.opened_margins(trained_once(data=KIND, rounds=5), boosting.draw_bins(**KIND))
    np.testing.assert_allclose(margins, wanted, rtol=0, atol=1e-4)


def test_shares_of_two_tries_are_never_put_together(boosting, trained_once, going_on, tmp_path):
    """One party is ahead, and in the next try dies before it has shared that round anew, while the other has."""
    assert going_on(until=(3, 2)) is None
    assert going_on(start=2, until=(2, 3)) is None
    margins, _ = going_on(start=together(tmp_path))
    wanted = boosting.opened_margins(trained_once(data=KIND, rounds=5), boosting.draw_bins(**KIND))
    np.testing.assert_allclose(margins, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("restored_files", ["*", "round_*", "margins_*"])
def test_a_backup_of_another_try_is_not_gone_on_from(boosting, trained_once, going_on, tmp_path, restored_files):
    """Both have a third round, but one of them that of the first try: alone and together they look finished."""
    first, second = folders(tmp_path)
    assert going_on(until=(3, 3)) is None
    shutil.copytree(second, tmp_path / "backup")
    (first / "round_00003.npz").unlink()
    assert together(tmp_path) == 2
    assert going_on(start=2, until=(3, 3)) is None
    assert together(tmp_path) == 3
    for path in (tmp_path / "backup").glob(restored_files):
        shutil.copy(path, second)
    assert finished(tmp_path) == [[2, 3], [2, 3]]
    assert together(tmp_path) == 2
    if restored_files == "round_*":
        margins, _ = going_on(start=2)
        wanted = boosting.opened_margins(trained_once(data=KIND, rounds=5), boosting.draw_bins(**KIND))
        np.testing.assert_allclose(margins, wanted, rtol=0, atol=1e-4)


def test_what_a_process_that_was_given_up_still_writes_is_not_gone_on_from(going_on, tmp_path):
    """It keeps its round after the next try has begun, which then fails in that round."""
    first, second = folders(tmp_path)
    assert going_on(until=(3, 3)) is None
    late = {path.name: path.read_bytes() for path in second.glob("*_00003.npz")}
    assert going_on(start=2, until=(3, 2)) is None
    for name, content in late.items():
        (second / name).write_bytes(content)
    assert together(tmp_path) == 2


def test_a_party_with_an_old_backup_is_told_and_the_others_lose_nothing(going_on, tmp_path):
    """Margins are kept for two rounds: from further back nobody can go on."""
    assert going_on(until=(4, 4)) is None
    with pytest.raises(InvalidInput, match=r"margins_00001\.npz"):
        going_on(start=1)
    assert finished(tmp_path) == [[3, 4], [3, 4]]


def test_files_are_few_and_their_owners_alone(going_on, tmp_path):
    going_on()
    for folder in folders(tmp_path):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        assert sorted(path.name for path in folder.iterdir()) == [
            "base.npz",
            *(f"margins_{number:05d}.npz" for number in (4, 5)),
            *(f"round_{number:05d}.npz" for number in range(1, 6)),
        ]


@pytest.fixture
def shares(tmp_path):
    """Three rounds of one try, as far as their names and tags go."""
    names = ["base", "margins_00002", "margins_00003", *(f"round_{number:05d}" for number in (1, 2, 3))]
    for name in names:
        np.savez(tmp_path / f"{name}.npz", tag=np.array("try"))
    return tmp_path


def test_a_gap_ends_what_is_finished(shares):
    assert list(finished_rounds(shares)) == [2, 3]
    (shares / "round_00003.npz").rename(shares / "round_00004.npz")
    (shares / "round_00003.try.part").touch()
    assert list(finished_rounds(shares)) == [2]
    assert finished_rounds(shares / "nowhere") == {}


@pytest.mark.parametrize("harm", ["torn", "empty", "no archive", "no tag", "gone"])
@pytest.mark.parametrize(
    ("name", "left"), [("base", []), ("round_00003", [2]), ("margins_00003", [2]), ("margins_00002", [3])]
)
def test_a_file_that_is_not_whole_is_not_there(shares, harm, name, left):
    path = shares / f"{name}.npz"
    match harm:
        case "torn":
            path.write_bytes(path.read_bytes()[:-40])
        case "empty":
            path.write_bytes(b"")
        case "no archive":
            path.write_bytes(b"shares")
        case "no tag":
            np.savez(path, words=np.zeros(3))
        case _:
            path.unlink()
    assert list(finished_rounds(shares)) == left


def test_what_was_left_half_written_is_cleared_away(going_on, tmp_path):
    assert going_on(until=(1, 1)) is None
    halves = [folder / "round_00002.gone.part" for folder in folders(tmp_path)]
    for half in halves:
        half.touch()
    assert going_on(start=1, until=(2, 2)) is None
    assert not any(half.exists() for half in halves)


def test_what_one_party_keeps_is_uniform(going_on, tmp_path):
    """Files of one party alone are noise: shares of everything, the labels' margins above all."""
    going_on()
    for folder in folders(tmp_path):
        with np.load(folder / "margins_00005.npz") as stored:
            words = stored["margins"].reshape(-1)
        octets = np.bincount(words.view(np.uint8), minlength=256)
        assert ((octets - octets.mean()) ** 2).sum() / octets.mean() < 400
