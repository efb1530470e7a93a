import numpy as np
import pytest
from numba import njit
from scipy.special import expit

from components.mpc.fourier import _combine, _turn, exponential, sigmoid
from components.mpc.series import EXPONENTIAL, INVERSE, SIGMOID, SLOPE

UNIT = 2.0**-20


def words(values):
    return np.rint(np.asarray(values, dtype=float) / UNIT).astype(np.int64)


@pytest.mark.parametrize(
    ("series", "function", "interval", "error"),
    [
        (SIGMOID, lambda x: expit(x) - 0.5, (-12.0625, 12.0625), 3e-7),
        (SLOPE, lambda x: expit(x) * expit(-x), (-12.0625, 12.0625), 1.1e-6),
        (EXPONENTIAL, np.exp, (-14.0625, UNIT), 2e-7),
        (INVERSE, lambda x: 1 / x, (1, 4), 1e-7),
    ],
    ids=["sigmoid", "slope", "exponential", "inverse"],
)
def test_a_series_is_its_function_on_the_interval(series, function, interval, error):
    x = np.linspace(*interval, 20001)
    assert np.abs(series(x) - function(x)).max() < error
    everywhere = np.linspace(0, series.period, 20001)
    assert np.abs(series(everywhere)).max() <= series.bound


@pytest.mark.parametrize("parties", [2, 3, 4])
def test_sigmoid_and_slope_are_scipys(computed, parties):
    x = np.concatenate([np.linspace(-30, 30, 20001), [0, UNIT, -UNIT, 12, -12, 11.9375, -12.0625, 1e6, -1e6, 2.0**40]])
    p, slope = (value * UNIT for value in computed(lambda a: sigmoid(a), words(x), parties=parties))
    assert np.abs(p - expit(x)).max() < 5e-6
    assert np.abs(slope - expit(x) * expit(-x)).max() < 5e-6
    inside = np.abs(x) < 11.9
    assert np.abs(p - expit(x))[inside].max() < 2.2e-6
    assert np.abs(slope - expit(x) * expit(-x))[inside].max() < 3.2e-6
    assert p.min() > 0
    assert p.max() < 1
    assert slope.min() > 0


@pytest.mark.parametrize("parties", [2, 3])
def test_exponential_is_numpys_down_to_half_a_unit(computed, parties):
    x = np.concatenate([np.linspace(-20, 0, 20001), [-UNIT, -14, -14.0625, -1e6, -(2.0**40)]])
    found = computed(lambda a: exponential(a, site="s"), words(x), parties=parties) * UNIT
    assert np.abs(found - np.exp(x)).max() < 3e-6
    assert not found[x < -14.0625].any()


def test_shapes_stay(computed):
    x = np.zeros((2, 3, 4), dtype=int)
    p, slope = computed(lambda a: sigmoid(a), x)
    assert p.shape == slope.shape == x.shape
    assert computed(lambda a: exponential(a), x).shape == x.shape


def test_public_sines_are_sines():
    turns = np.arange(2**16, dtype=np.uint64) * np.uint64(2**63 // 2**15 + 12345)
    sine, cosine = np.empty(len(turns)), np.empty(len(turns))
    _turn(turns, 44, sine, cosine)
    angle = 2 * np.pi * (turns % 2**44) / 2**44
    assert max(np.abs(sine - np.sin(angle)).max(), np.abs(cosine - np.cos(angle)).max()) < 1e-15 * 4


def test_public_sines_do_without_fused_operations_which_not_every_machine_has():
    """Two parties whose multipliers differ in the last bit would get noise."""
    turn, combine = njit(_turn.py_func), njit(_combine.py_func)
    words, numbers = np.zeros(1, np.uint64), np.zeros(1)
    turn(words, 25, numbers, numbers)
    combine(words, 25, np.zeros((2, 1), np.uint64), np.zeros((1, 2, 1)), np.zeros((1, 1), np.uint64))
    for code in [*turn.inspect_asm().values(), *combine.inspect_asm().values()]:
        assert "fmadd" not in code
        assert "fmsub" not in code


@pytest.mark.parametrize("protocol", [sigmoid, exponential])
def test_five_rounds(harness, protocol):
    run = harness.run_recorded(lambda engine: protocol(harness.hold(engine, np.zeros(5, dtype=int))))
    assert run.engines[0].network.traffic.rounds == 5


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("protocol", [sigmoid, exponential])
def test_nothing_is_seen(harness, protocol, parties):
    harness.assert_oblivious(
        lambda _, x: protocol(x), [np.zeros(2**14, dtype=int)], [np.full(2**14, -(2**26))], parties=parties
    )
