"""The checks of what is received must themselves notice a protocol that leaks."""

import numpy as np
import pytest

from components.mpc.compare import negative

ZEROS = [np.zeros(2**14, dtype=int)]


def masked_by(draw):
    def protocol(engine, x):
        mask = draw(engine, x.shape)
        if not engine.deals:
            engine.open("leak", x.words + mask)

    return protocol


def narrow(engine, shape):
    return engine.uniform(shape) >> np.uint64(39)


def nothing(engine, shape):
    return np.zeros(shape, dtype=np.uint64)


def used_before(engine, shape):
    if not hasattr(engine, "kept"):
        engine.kept = engine.uniform(shape)
    return engine.kept


@pytest.mark.parametrize("draw", [narrow, nothing, used_before])
def test_a_weak_mask_is_noticed(harness, draw):
    with pytest.raises(AssertionError):
        harness.assert_oblivious(masked_by(draw), ZEROS, ZEROS)


def test_one_unmasked_bit_an_octet_is_noticed(harness):
    def protocol(engine, x):
        mask = engine.uniform_bits(x.shape)
        if not engine.deals:
            engine.open_bits("leak", mask & np.uint8(0xFE))

    with pytest.raises(AssertionError, match="leak"):
        harness.assert_oblivious(protocol, ZEROS, ZEROS)


def test_another_schedule_is_noticed(harness):
    first, second = (
        harness.run_recorded(lambda engine, size=size: negative(harness.hold(engine, np.zeros(size, dtype=int))))
        for size in (3, 1000)
    )
    harness.assert_same_schedule(first, first)
    with pytest.raises(AssertionError):
        harness.assert_same_schedule(first, second)


def test_masks_that_are_fresh_pass(harness):
    harness.assert_oblivious(masked_by(lambda engine, shape: engine.uniform(shape)), ZEROS, [ZEROS[0] + 1])
