"""Thresholds say what the float32 chain says, for every sum there can be."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from keras_ste.converter.chain import (
    ALWAYS,
    NEVER,
    NotFusable,
    Step,
    direction,
    evaluate,
    find_thresholds,
)

CHANNELS = 6
ordinary = st.floats(-100, 100, width=32)
extreme = st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 1e-38, -1e-30, 3e-8, 1e7, -3e12, 1e20, 0.1, -0.1]
)
values = st.one_of(ordinary, extreme)


@st.composite
def steps(draw, numbers=values):
    function = draw(
        st.sampled_from(
            ["multiply", "divide", "add", "subtract", "subtract_from", "maximum", "minimum", "prelu"]
        )
    )
    size = draw(st.sampled_from([1, CHANNELS]))
    constant = np.array(draw(st.lists(numbers, min_size=size, max_size=size)), np.float32)
    if function == "divide":
        constant = np.where(constant == 0, np.float32(3), constant)
    if function == "prelu":
        constant = np.abs(constant)
    return Step(function, constant)


chains = st.lists(steps(), max_size=6)


def said_by_thresholds(sums, thresholds, negated):
    return np.where(negated, -sums, sums) >= thresholds


@hypothesis.settings(max_examples=300)
@hypothesis.given(chains, st.one_of(st.integers(1, 1000), st.just(70_000)))
def test_integer_thresholds_equal_the_chain_at_every_sum(chain, bound):
    sums = np.arange(-bound, bound + 1)[:, np.newaxis].repeat(CHANNELS, 1)
    expected = evaluate(chain, sums.astype(np.float32))
    try:
        thresholds, negated = find_thresholds(chain, CHANNELS, bound)
    except NotFusable:
        assert np.isnan(expected).any()
        return
    assert thresholds.dtype == np.int32
    np.testing.assert_array_equal(said_by_thresholds(sums, thresholds, negated), expected >= 0)
    inside = (np.abs(thresholds.astype(np.int64)) <= bound) | np.isin(thresholds, [ALWAYS, NEVER])
    assert inside.all()


def neighbours(value):
    """The float32 numbers around one."""
    around = [value]
    for towards in (-np.inf, np.inf):
        x = np.float32(value)
        for _ in range(3):
            with np.errstate(over="ignore"):
                x = np.nextafter(x, np.float32(towards))
            around.append(x)
    return around


@hypothesis.settings(max_examples=300)
@hypothesis.given(chains, st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_float_thresholds_equal_the_chain(chain, samples):
    try:
        thresholds, negated = find_thresholds(chain, CHANNELS, None)
    except NotFusable:
        largest = np.finfo(np.float32).max
        ends = np.array([-np.inf, -largest, largest, np.inf], np.float32)[:, np.newaxis]
        assert np.isnan(evaluate(chain, ends.repeat(CHANNELS, 1))).any()
        return
    assert thresholds.dtype == np.float32
    candidates = [0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, *samples]
    for threshold in thresholds[np.isfinite(thresholds)]:
        candidates += neighbours(threshold) + neighbours(-threshold)
    sums = np.array(candidates, np.float32)[:, np.newaxis].repeat(CHANNELS, 1)
    sums = np.where(np.isfinite(sums), sums, np.float32(0))
    np.testing.assert_array_equal(
        said_by_thresholds(sums, thresholds, negated), evaluate(chain, sums) >= 0
    )
    # A NaN is never +1.
    assert not said_by_thresholds(np.full(CHANNELS, np.nan, np.float32), thresholds, negated).any()


@hypothesis.given(chains)
def test_chains_move_in_their_direction(chain):
    sums = np.arange(-50, 51, dtype=np.float32)[:, np.newaxis].repeat(CHANNELS, 1)
    result = evaluate(chain, sums)
    hypothesis.assume(np.isfinite(result).all())
    change = np.diff(result, axis=0) * direction(chain, CHANNELS)
    assert (change >= 0).all()
    assert (np.diff(result, axis=0)[:, direction(chain, CHANNELS) == 0] == 0).all()


def test_constant_channels_have_the_constants_of_the_document():
    chain = [Step("multiply", np.float32([0, 0, -0.0])), Step("add", np.float32([1, -1, 0]))]
    thresholds, negated = find_thresholds(chain, 3, 10)
    assert thresholds.tolist() == [-(2**31), 2**31 - 1, -(2**31)]
    assert not negated.any()
    thresholds, _ = find_thresholds(chain, 3, None)
    assert thresholds[0] == -np.inf and np.isnan(thresholds[1]) and thresholds[2] == -np.inf


def test_a_chain_that_overflows_into_nan_is_refused():
    chain = [Step("multiply", np.float32([1e38])), Step("multiply", np.float32([0]))]
    with pytest.raises(NotFusable, match="overflow"):
        find_thresholds(chain, 1, 100)
    assert find_thresholds(chain, 1, 1)[0].tolist() == [ALWAYS]


def test_sums_beyond_int32_are_refused():
    with pytest.raises(NotFusable, match="2147483647"):
        find_thresholds([], 1, 2**31 - 1)


@hypothesis.settings(max_examples=100)
@hypothesis.given(chains, st.integers(1, 300), st.booleans(), st.integers(0, 2**31))
def test_thresholds_of_several_levels_count_the_levels_reached(chain, bound, by_channel, seed):
    rng = np.random.default_rng(seed)
    levels = np.sort(rng.normal(scale=30, size=(5, CHANNELS if by_channel else 1)), axis=0).astype(np.float32)
    levels[0], levels[4] = -np.inf, np.nan
    sums = np.arange(-bound, bound + 1)[:, np.newaxis].repeat(CHANNELS, 1)
    expected = evaluate(chain, sums.astype(np.float32))
    try:
        thresholds, negated = find_thresholds(chain, CHANNELS, bound, levels)
    except NotFusable:
        assert np.isnan(expected).any()
        return
    assert thresholds.shape == (5, CHANNELS) and (np.diff(thresholds.astype(np.int64), axis=0) >= 0).all()
    assert (thresholds[0] == ALWAYS).all() and (thresholds[4] == NEVER).all()
    for threshold, level in zip(thresholds, levels):
        np.testing.assert_array_equal(said_by_thresholds(sums, threshold, negated), expected >= level)
