"""Everything the collector receives, kept and looked at: what it can compute from it is the sum."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import chi2, ks_2samp

from components.federated.context import add_pair_mask, asked_after, own_mask_key
from components.federated.frame import unpack
from components.federated.keys import public_of
from components.federated.mask import WORD, subtract_mask
from components.federated.shamir import SHARE_BYTES, combine
from components.federated.violation import TooFewMembers

FALSE_ALARM = 1e-9
LENGTH = 4096


def masked(batch, message=0):
    """The masked words each member sent."""
    return {
        name: np.frombuffer(unpack(content, "masked vector", sender=name)[1][0], dtype=WORD)
        for step, number, name, content in batch.heard
        if step == "mask" and number == message
    }


def chi_square(octets: np.ndarray) -> float:
    expected = len(octets) / 256
    statistic = np.sum((np.bincount(octets, minlength=256) - expected) ** 2) / expected
    return chi2.sf(statistic, 255)


INPUTS = {
    "zeros": np.zeros(LENGTH, WORD),
    "counts": np.arange(LENGTH, dtype=WORD),
    "ones": np.full(LENGTH, 2**64 - 1, WORD),
}


@pytest.mark.parametrize("message", [0, 1])
@pytest.mark.parametrize("shape", INPUTS)
def test_what_each_member_sends_is_uniform_in_every_byte(trial, shape, message):
    octets = {}
    for _ in range(12):
        batch = trial(messages=2).set_up()
        for number in range(message + 1):
            batch.sum(dict.fromkeys(batch.names, INPUTS[shape]), message=number)
        for name, words in masked(batch, message).items():
            octets.setdefault(name, []).append(words.view(np.uint8))
    for name, parts in octets.items():
        whole = np.concatenate(parts)
        for lane in range(8):
            assert FALSE_ALARM < chi_square(whole[lane::8]) < 1 - FALSE_ALARM, (name, lane)


def test_what_is_sent_has_one_distribution_whatever_goes_in(trial):
    sent = {}
    for shape in INPUTS:
        batch = trial().set_up()
        batch.sum(dict.fromkeys(batch.names, INPUTS[shape]))
        sent[shape] = masked(batch)["owner00"].astype(float)
    for one, other in product(INPUTS, INPUTS):
        if one < other:
            assert ks_2samp(sent[one], sent[other]).pvalue > FALSE_ALARM


def test_the_same_vector_twice_gives_bytes_that_have_nothing_in_common(trial):
    batch = trial(messages=3).set_up()
    other = trial(messages=3).set_up()
    vectors = dict.fromkeys(batch.names, INPUTS["counts"])
    for message in (0, 1, 2):
        batch.sum(vectors, message=message)
        other.sum(vectors, message=message)
    sent = [masked(one, message)["owner01"] for one in (batch, other) for message in (0, 1, 2)]
    for at, one in enumerate(sent):
        for two in sent[at + 1 :]:
            equal = np.count_nonzero(one.view(np.uint8) == two.view(np.uint8))
            assert equal < 8 * LENGTH / 256 + 8 * np.sqrt(8 * LENGTH / 256)
            assert FALSE_ALARM < chi_square((one - two).view(np.uint8)) < 1 - FALSE_ALARM


def test_sizes_and_order_of_what_is_sent_say_nothing_of_the_vectors(trial):
    schedules = []
    for shape in INPUTS:
        batch = trial().set_up()
        batch.sum(dict.fromkeys(batch.names, INPUTS[shape]))
        # A signature's length depends on its random number alone.
        schedules.append([(step, name, len(part) // 16) for step, _, name, part in batch.heard if step != "sign"])
    assert schedules[0][3:] == schedules[1][3:] == schedules[2][3:]


@pytest.mark.parametrize("lost", [{}, {"owner03": "mask"}])
def test_all_that_is_revealed_leaves_every_vector_one_unknown_mask(trial, lost):
    """The collector's whole knowledge: seeds of survivors, mask keys of the lost; no secret of the other kind."""
    batch = trial(5).set_up()
    rng = np.random.default_rng(3)
    vectors = {name: rng.integers(0, 2**64, 64, dtype=WORD) for name in batch.names}
    result = batch.sum(vectors, lost)
    agreement = batch.collection.agreement
    revealed = {name: {} for name in batch.names}
    for step, _, name, content in batch.heard:
        if step == "unmask":
            part = bytes(unpack(content, "revealed shares", sender=name)[1][0])
            for at, owner in enumerate(batch.names):
                revealed[owner][batch.collection.batch.point(name)] = part[at * SHARE_BYTES : (at + 1) * SHARE_BYTES]
    publics = {agreement.by_name[name].masking for name in batch.names}
    for owner, shares in revealed.items():
        secret = combine(dict(list(shares.items())[: batch.threshold]))
        # A key was given where the owner was lost, a seed where it was not; so pair masks of survivors stay unknown.
        assert (public_of(secret) in publics) == (owner in lost)
    uniform = rng.integers(0, 2**64, 4096, dtype=WORD).astype(float)
    for name, words in masked(batch).items():
        for guess in (words, words - result.total, words + result.total):
            assert not np.isin(guess, vectors[name]).any()
            assert ks_2samp(guess.astype(float), uniform).pvalue > FALSE_ALARM


@pytest.mark.parametrize("lost", [{}, {"owner03": "mask"}])
def test_what_the_first_sum_reveals_opens_nothing_of_the_others(trial, lost):
    """Seeds of survivors and the key of a lost member are known by then; masks of pairs of survivors are left."""
    batch = trial(5, messages=2).set_up()
    rng = np.random.default_rng(4)
    vectors = {name: rng.integers(0, 2**64, 64, dtype=WORD) for name in batch.names}
    keys = {}
    for name, member in batch.members.items():
        keys[name] = {peer: bytes(key) for peer, key in member._held.pairs.items()}
    seeds = {name: bytes(member._held.seed) for name, member in batch.members.items()}
    survivors = batch.sum(vectors, lost).survivors
    batch.sum(vectors, message=1)
    sent, digest = masked(batch, 1), batch.collection.agreement.digest
    place = {"message": 1, "asked": asked_after(asked_after(b"", b""), b"")}
    assert set(sent) == set(survivors)
    for name, words in sent.items():
        # What can be derived from what was revealed, taken away in every combination.
        guess = words.copy()
        subtract_mask(guess, own_mask_key(seeds[name], agreement=digest, message=1, name=name))
        guesses = [words, guess]
        for other in lost:
            for one in list(guesses):
                guesses.append(one.copy())
                add_pair_mask(guesses[-1], keys[other][name], **place, name=other, peer=name)
        for one in guesses:
            assert not np.isin(one, vectors[name]).any()
        # The test knows: the pairs of survivors are all there is, and one of them is enough to hide it.
        bare = words.copy()
        for number, peer in enumerate(one for one in survivors if one != name):
            assert not np.isin(bare, vectors[name]).any(), number
            add_pair_mask(bare, keys[name][peer], **place, name=peer, peer=name)
        np.testing.assert_array_equal(bare, vectors[name])


def test_with_one_vector_missing_a_later_sum_says_nothing(trial):
    left = []
    for _ in range(12):
        batch = trial(messages=2).set_up()
        batch.sum(dict.fromkeys(batch.names, INPUTS["zeros"]))
        summing = batch.collection.sum(1, LENGTH)
        for name in batch.names[:2]:
            summing.masked(name, batch.members[name].mask(1, INPUTS["zeros"]))
        with pytest.raises(TooFewMembers):
            summing.close()
        left.append(summing._total.view(np.uint8))
    assert FALSE_ALARM < chi_square(np.concatenate(left)) < 1 - FALSE_ALARM


def test_with_one_mask_missing_no_vector_and_no_sum_can_be_had(trial, monkeypatch):
    """Everything the collector holds but one survivor's seed: what is left over is uniform."""
    from components.federated import collector

    left = []
    for _ in range(12):
        batch = trial().set_up()
        true = collector.subtract_mask
        calls = []

        def all_but_the_last(vector, key, true=true, calls=calls):
            calls.append(1)
            if len(calls) < 3:
                true(vector, key)

        monkeypatch.setattr(collector, "subtract_mask", all_but_the_last)
        result = batch.sum(dict.fromkeys(batch.names, INPUTS["zeros"]))
        monkeypatch.setattr(collector, "subtract_mask", true)
        assert len(calls) == 3
        left.append(result.total.view(np.uint8))
    assert FALSE_ALARM < chi_square(np.concatenate(left)) < 1 - FALSE_ALARM


def test_no_secret_is_in_a_text(trial):
    batch = trial(messages=2).set_up()
    batch.sum(dict.fromkeys(batch.names, INPUTS["counts"]))
    member = batch.members["owner00"]
    held = member._held
    secrets = [bytes(one) for one in held.secrets]
    for shown in (member, held, member._identity, batch.collection):
        for text in (repr(shown), str(shown)):
            assert not any(secret.hex() in text or repr(secret)[2:-1] in text for secret in secrets if any(secret))
            assert "bytearray" not in text
    with pytest.raises(TypeError, match="never copied"):
        member.__reduce__()


def test_secrets_are_overwritten_once_they_have_done_their_work(trial):
    batch = trial(messages=2).set_up()
    member = batch.members["owner00"]
    held = member._held
    assert not any(held.sealing)
    assert not any(held.masking)
    lost = held.pairs["owner02"]
    assert any(lost)
    batch.sum(dict.fromkeys(batch.names, INPUTS["zeros"]), {"owner02": "mask"})
    assert not any(held.seed)
    assert not any(map(any, held.dealt.values()))
    assert not any(lost)
    kept = held.secrets
    assert any(map(any, kept))
    member.forget()
    assert not any(map(any, kept))
