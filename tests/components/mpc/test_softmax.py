import numpy as np
import pytest
from scipy.special import softmax as expected

from components.mpc.softmax import softmax

UNIT = 2.0**-20


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("classes", [1, 2, 3, 5, 20])
def test_softmax_is_scipys(computed, classes, parties):
    margins = np.random.default_rng(classes).normal(0, 5, (300, classes))
    margins[0], margins[1] = 0, np.linspace(-1e5, 1e5, classes)
    margins = np.rint(margins / UNIT) * UNIT
    found = computed(lambda x: softmax(x), (margins.T / UNIT).astype(np.int64), parties=parties).T * UNIT
    assert np.abs(found - expected(margins, axis=1)).max() < 1e-5
    assert np.abs(found.sum(axis=1) - 1).max() < 3e-5


def test_nothing_is_seen(harness):
    same, far = np.zeros((3, 2**14), dtype=int), np.tile([[0], [2**21], [-(2**30)]], 2**14)
    harness.assert_oblivious(lambda _, x: softmax(x), [same], [far])
