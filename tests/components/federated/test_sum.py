"""Sums: right for any number of members, threshold and loss, and given up where too few are left."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import InvalidInput
from components.federated.batch import Batch, check_members, least_survivors
from components.federated.collector import Collection
from components.federated.violation import MembersChanged, ProtocolViolation, TooFewMembers

SETTING_UP, SUMMING = ("advertise", "share", "receive"), ("mask", "sign", "unmask")


def drawn(names, length=5, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 2**64, length, dtype=np.uint64) for name in names}


def plain_sum(vectors, names):
    return np.sum([vectors[name] for name in names], axis=0, dtype=np.uint64)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_the_sum_is_that_of_the_survivors_whoever_is_lost_and_when(trial, data):
    count = data.draw(st.integers(2, 7), label="members")
    threshold = data.draw(st.integers(least_survivors(count), count), label="threshold")
    batch = trial(count, threshold=threshold)
    lost = data.draw(
        st.dictionaries(st.sampled_from(batch.names), st.sampled_from(SETTING_UP + SUMMING), max_size=count)
    )
    vectors = drawn(batch.names, data.draw(st.integers(1, 9000), label="length"))
    if len(lost) > count - threshold:
        with pytest.raises(TooFewMembers):
            batch.set_up(lost).sum(vectors, lost)
        return
    result = batch.set_up(lost).sum(vectors, lost)
    survivors = tuple(name for name in batch.names if lost.get(name, "unmask") in ("sign", "unmask"))
    assert result.survivors == survivors
    np.testing.assert_array_equal(result.total, plain_sum(vectors, survivors))


@pytest.mark.parametrize("step", SETTING_UP + SUMMING)
def test_one_of_three_may_be_lost_at_any_step_and_two_may_not(trial, step):
    once = trial()
    vectors = drawn(once.names)
    result = once.set_up({"owner01": step}).sum(vectors, {"owner01": step})
    np.testing.assert_array_equal(result.total, plain_sum(vectors, result.survivors))
    again = trial()
    with pytest.raises(TooFewMembers, match="1 of"):
        again.set_up({"owner01": step, "owner02": step}).sum(vectors, {"owner01": step, "owner02": step})


def test_many_sums_of_a_batch_are_right(trial):
    batch = trial(4, messages=4).set_up()
    for message in range(4):
        vectors = drawn(batch.names, length=3 + message, seed=message)
        result = batch.sum(vectors, message=message)
        assert result.survivors == batch.names
        np.testing.assert_array_equal(result.total, plain_sum(vectors, batch.names))


def test_all_sums_of_a_batch_are_of_those_who_gave_to_the_first(trial):
    batch, vectors = trial(4, messages=3).set_up(), drawn(trial(4).names)
    first = batch.sum(vectors, {"owner02": "mask"}, message=0)
    assert first.survivors == ("owner00", "owner01", "owner03")
    batch.gone.clear()
    second = batch.sum(drawn(batch.names, seed=1), message=1)
    assert second.survivors == first.survivors
    np.testing.assert_array_equal(second.total, plain_sum(drawn(batch.names, seed=1), first.survivors))


@pytest.mark.parametrize("step", SUMMING)
def test_who_has_not_seen_how_the_first_sum_ended_gives_to_no_other(trial, step):
    batch, vectors = trial(4, messages=2).set_up(), drawn(trial(4).names)
    batch.sum(vectors, {"owner02": step}, message=0)
    one = batch.members["owner02"]
    if step == "mask":
        one.mask(0, vectors["owner02"])
    with pytest.raises(ProtocolViolation, match="before it was settled"):
        one.mask(1, vectors["owner02"])


def test_of_those_who_gave_to_the_first_all_must_give_to_the_others(trial):
    batch, vectors = trial(5, messages=3).set_up(), drawn(trial(5).names)
    batch.sum(vectors, {"owner04": "mask"}, message=0)
    with pytest.raises(MembersChanged, match="'owner02'"):
        batch.sum(vectors, {"owner02": "mask"}, message=1)
    with pytest.raises(TooFewMembers, match="2 of 4 members"):
        batch.sum(vectors, {"owner03": "mask"}, message=2)


def test_nothing_is_summed_before_the_first_sum_is_known(trial):
    batch, vectors = trial(messages=2).set_up(), drawn(trial().names)
    with pytest.raises(TooFewMembers):
        batch.sum(vectors, {"owner01": "sign", "owner02": "sign"})
    with pytest.raises(InvalidInput, match="not finished"):
        batch.sum(vectors, message=1)


def test_batches_follow_one_another_and_a_message_may_be_left_out(trial, project):
    first = trial(messages=3).set_up()
    first.sum(drawn(first.names), message=2)
    second = trial(number=1)
    second.members = first.members
    vectors = drawn(first.names, seed=1)
    np.testing.assert_array_equal(second.set_up().sum(vectors).total, plain_sum(vectors, first.names))


def test_bytes_are_counted(trial):
    batch = trial().set_up()
    result = batch.sum(drawn(batch.names, length=1000))
    assert result.received == sum(len(content) for _, message, _, content in batch.heard if message is not None)
    assert 3 * 8000 < result.received < 3 * 9000
    assert batch.collection.received == sum(len(content) for _, message, _, content in batch.heard if message is None)


@pytest.mark.parametrize(("members", "colluding", "least"), [(2, 0, 2), (3, 0, 2), (3, 1, 3), (4, 0, 3), (10, 3, 7)])
def test_no_two_sets_of_survivors_can_both_be_told_by_a_threshold(members, colluding, least):
    assert least_survivors(members, colluding=colluding) == least
    # Honest members tell one story each, colluding ones both.
    stories = {(2 * (least - colluding) <= members - colluding), (2 * (least - 1 - colluding) > members - colluding)}
    assert stories == {False}


@pytest.mark.parametrize(
    ("members", "threshold"), [(("a",), 1), (("a", "b"), 1), (("a", "b", "b"), 2), (("a", "b", "c"), 4)]
)
def test_members_and_thresholds_that_protect_nobody_are_refused(members, threshold, project):
    with pytest.raises(InvalidInput):
        check_members(members, threshold)
    with pytest.raises(InvalidInput):
        Collection(Batch("run", 0, members, threshold, 1), authority=project.authority.certificate)


@pytest.mark.parametrize(
    "vector", [np.zeros(3), np.zeros((2, 2), np.uint64), np.zeros(0, np.uint64), np.zeros(3, np.int64)]
)
def test_a_vector_of_another_kind_is_refused_before_anything_is_spent(trial, vector):
    batch = trial().set_up()
    with pytest.raises(InvalidInput, match="sum 0"):
        batch.members["owner00"].mask(0, vector)
    vectors = drawn(batch.names)
    np.testing.assert_array_equal(batch.sum(vectors).total, plain_sum(vectors, batch.names))


def test_a_message_is_summed_once_only(trial):
    batch = trial().set_up()
    batch.sum(drawn(batch.names))
    for message in (0, 1, -1):
        with pytest.raises(InvalidInput, match=f"sum {message}"):
            batch.collection.sum(message, 5)
