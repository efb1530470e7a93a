"""What is public must be whole and must leave room: anything that could wrap around is refused before training."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.boosting.parameters import BoostingParameters
from components.boosting.secret_shared import Agreement, Block, FeatureShape, Holding, train
from components.boosting.secret_shared.agreement import GAIN_BITS
from components.errors import InvalidInput
from components.mpc.simulate import simulate


def agreement(rows=100, *, objective="binary:logistic", features=2, changes=None, **parameters) -> Agreement:
    whole = {"start": 0, "stop": rows}
    described = {
        "parties": ("a", "b"),
        "rows": rows,
        "features": [FeatureShape(name=f"x{position}", bins=4) for position in range(features)],
        "blocks": [Block(owner=position % 2, **whole, features=(position,)) for position in range(features)],
        "labels": [Block(owner=0, **whole, features=())],
        "objective": objective,
        "parameters": BoostingParameters(**parameters),
    }
    return Agreement(**described | (changes or {}))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 2**24 - 1),
    st.floats(0, 1e6) | st.floats(0, 1e-3) | st.just(0.0),
    st.floats(0, 1e9) | st.floats(0, 0.1),
    st.sampled_from(["binary:logistic", "multi:softprob", "reg:squarederror"]),
)
def test_what_is_accepted_cannot_wrap_around(rows, penalty, weight, objective):
    public = agreement(rows, objective=objective, reg_lambda=penalty, min_child_weight=weight)
    try:
        public.require_fits()
    except InvalidInput:
        assert weight + penalty < 0.01
        return
    # A leaf's weight: |G| <= n g, and H + lambda is n times what each row weighs at least, or what a side must.
    each = 1.0 if objective == "reg:squarederror" else max(0.0, public.floor - 2**-17)
    largest = rows * public.gradient_bound / max(penalty + max(weight, 1e-6), rows * each)
    assert public.weight_bound >= largest * (1 - 1e-6)
    # Two sides of two candidates, and the penalties of light ones: a difference of four scores within 63 bits.
    score = rows * public.gradient_bound * public.weight_bound + 1
    assert 4 * score * 2.0**public.gain_bits <= 2.0**62
    assert public.gain_bits >= GAIN_BITS
    # x s and y s of a quotient, with x up to the next power of four.
    power = 4.0 ** (math.ceil(math.log(max(public.hessian_bound, public.lightest), 4)) + 1)
    assert power * 2.0**20 < 2.0**62
    assert power * 2.0**20 * public.weight_bound < 2.0**62


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob", "reg:squarederror"])
@pytest.mark.parametrize("rows", [1, 40, 1000, 65_000])
def test_hessians_are_xgboosts_unless_rows_are_very_many(objective, rows):
    assert agreement(rows, objective=objective).floor == 0
    assert agreement(10**6, objective=objective).floor < 3e-4


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"reg_alpha": 0.5}, "reg_alpha"),
        ({"early_stopping_rounds": 5}, "early_stopping_rounds"),
        ({"max_depth": 9}, "max_depth is 9"),
        ({"reg_lambda": 0, "min_child_weight": 0}, "reg_lambda and min_child_weight"),
    ],
)
def test_what_this_mode_cannot_do_is_refused_by_name(parameters, names):
    public = agreement(**parameters)
    with pytest.raises(InvalidInput, match=names):
        public.require_fits()
    with pytest.raises(InvalidInput, match=names):
        simulate(lambda engine: train(engine, public, Holding()), 2, timeout=1)


WHOLE = {"start": 0, "stop": 100}


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"blocks": [Block(owner=0, **WHOLE, features=(0,))]}, "feature 'x1'"),
        ({"blocks": [Block(owner=0, **WHOLE, features=(0, 1)), Block(owner=1, **WHOLE, features=(1,))]}, "'x1'"),
        ({"blocks": [Block(owner=0, start=0, stop=99, features=(0, 1))]}, "feature 'x0'"),
        (
            {
                "blocks": [
                    Block(owner=0, start=0, stop=60, features=(0, 1)),
                    Block(owner=1, start=50, stop=100, features=(0, 1)),
                ]
            },
            "feature 'x0'",
        ),
        ({"labels": []}, "the label"),
        ({"labels": [Block(owner=0, start=0, stop=50, features=())]}, "the label"),
        ({"parties": ("a",)}, "parties"),
        ({"rows": 2**24}, "rows"),
        ({"outputs": 65}, "outputs"),
        ({"features": []}, "features"),
        ({"hidden": 1}, "hidden"),
    ],
)
def test_blocks_cover_every_cell_once_and_limits_hold(changes, names):
    with pytest.raises(ValidationError, match=names):
        agreement(changes=changes)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(1, 3))
def test_any_division_of_rows_covers_them(counts, owners):
    assume(sum(counts))
    ends = np.cumsum([0, *counts]).tolist()
    blocks = [
        Block(owner=number % owners, start=start, stop=stop, features=(0, 1))
        for number, (start, stop) in enumerate(zip(ends, ends[1:], strict=False))
    ]
    labels = [block.model_copy(update={"features": ()}) for block in blocks]
    public = agreement(sum(counts), changes={"blocks": blocks[::-1], "labels": labels})
    assert sum(block.rows for block in public.blocks) == public.rows


def test_a_label_outside_the_ring_is_refused():
    whole = {"start": 0, "stop": 2}
    public = agreement(
        2,
        objective="reg:squarederror",
        changes={"labels": [Block(owner=0, **whole, features=())], "label_range": (0, 1)},
    )
    with pytest.raises(OverflowError, match="fixed point"):
        simulate(
            lambda engine: train(
                engine,
                public,
                Holding(
                    bins={engine.party: np.zeros((2, 1), dtype=np.uint16)} if engine.party >= 0 else {},
                    labels={0: np.array([0.0, 1e13])},
                ),
            ),
            2,
            timeout=5,
        )
