"""Forward functions, the ready-made estimators and the clamp: exact values, moments, gradients."""

import functools
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ste import estimators, straight_through
from keras_ste.estimators import forwards, ste_clamp

DTYPES = ["float16", "bfloat16", "float32", "float64"]
MODES = {
    "eager": lambda function: function,
    "graph": tf.function,
    "jit": functools.partial(tf.function, jit_compile=True),
}
SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 1.0, -1.0, np.inf, -np.inf, 1000.0]


def dpu(x):
    with np.errstate(invalid="ignore"):
        return np.where((x < 0) & (x - np.floor(x) == 0.5), np.ceil(x), np.rint(x))


# What each deterministic function is, in numpy.
FORWARDS = {
    "sign": lambda x: np.where(x >= 0, 1.0, -1.0),
    "heaviside": lambda x: np.where(x >= 0, 1.0, 0.0),
    "ternary_sign": np.sign,
    "round_half_even": np.rint,
    "floor": np.floor,
    "ceil": np.ceil,
    "round_to_zero": np.trunc,
    "dpu_round": dpu,
}
STOCHASTIC = {
    "stochastic_round": forwards.stochastic_round,
    "dithered_round": forwards.dithered_round,
    "uniform": functools.partial(forwards.dithered_round, dither="uniform"),
}


def public(module):
    return {
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and name[0] != "_"
    }


def value_and_gradient(function, x, upstream=None):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return y, tape.gradient(y, x, output_gradients=upstream)


def test_every_function_is_tested():
    assert public(forwards) == set(FORWARDS) | {"stochastic_round", "dithered_round"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORWARDS)
def test_values_are_exact(name, dtype, mode):
    rng = np.random.default_rng(0)
    x = tf.cast(np.concatenate([rng.normal(scale=3, size=300), SPECIAL]), dtype)
    y = MODES[mode](getattr(forwards, name))(x)
    assert y.dtype == x.dtype
    expected = FORWARDS[name](x.numpy().astype("float64"))
    np.testing.assert_array_equal(y.numpy().astype("float64"), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*FORWARDS, *STOCHASTIC])
def test_nan_stays_and_empty_tensors_pass(name, dtype, mode):
    function = MODES[mode](STOCHASTIC.get(name) or getattr(forwards, name))
    y = function(tf.cast([np.nan, 1.0, np.nan], dtype)).numpy().astype("float64")
    assert np.isnan(y).tolist() == [True, False, True]
    for shape in ((0,), (2, 0)):
        assert function(tf.zeros(shape, dtype)).shape == shape
    assert function(tf.constant(2.0, dtype)).shape == ()


@pytest.mark.parametrize("at_zero", [0.0, 0.5, 1.0])
def test_the_value_of_the_step_at_zero(at_zero):
    y = forwards.heaviside(tf.constant([-1e-3, 0.0, -0.0, 1e-3]), at_zero)
    assert y.numpy().tolist() == [0.0, at_zero, at_zero, 1.0]


def test_the_threshold_of_the_ternary_sign():
    x = np.random.default_rng(1).normal(size=500).astype("float32")
    y = forwards.ternary_sign(x, 0.5).numpy()
    np.testing.assert_array_equal(y, np.sign(x) * (np.abs(x) > 0.5))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 0.875])
def test_stochastic_rounding_is_unbiased(fraction, dtype):
    n = 40000
    x = tf.cast(tf.fill([n], -3.0 + fraction), dtype)
    y = forwards.stochastic_round(x, keras.random.SeedGenerator(7))
    y = y.numpy().astype("float64")
    assert set(y) <= ({-3.0, -2.0} if fraction else {-3.0})
    sigma = np.sqrt(fraction * (1 - fraction))
    assert abs(y.mean() - (-3 + fraction)) <= 5 * sigma / np.sqrt(n)
    assert y.var() == pytest.approx(fraction * (1 - fraction), abs=0.01)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 0.875])
def test_dither_makes_the_error_independent_of_the_value(fraction, dtype):
    n = 40000
    x = tf.cast(tf.fill([n], 5.0 + fraction), dtype)
    seed = keras.random.SeedGenerator(8)
    error = forwards.dithered_round(x, seed).numpy().astype("float64") - (5 + fraction)
    assert abs(error.mean()) <= 5 * 0.5 / np.sqrt(n)
    assert (error**2).mean() == pytest.approx(0.25, abs=0.01)
    error = forwards.dithered_round(x, seed, "uniform").numpy().astype("float64") - (5 + fraction)
    assert abs(error.mean()) <= 5 * 0.5 / np.sqrt(n)
    assert (error**2).mean() == pytest.approx(fraction * (1 - fraction), abs=0.01)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", STOCHASTIC)
def test_large_numbers_and_infinities_are_not_moved_far(name, dtype):
    largest = 60000.0 if dtype == "float16" else 1e9
    x = tf.cast([np.inf, -np.inf, largest, -largest], dtype)
    y = STOCHASTIC[name](x).numpy().astype("float64")
    np.testing.assert_allclose(y, x.numpy().astype("float64"), rtol=1e-8 if dtype != "float16" else 1e-3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STOCHASTIC)
def test_seeds(name, mode):
    x = tf.fill([100], 0.5)
    draw = MODES[mode](lambda x: STOCHASTIC[name](x, seed=5))
    np.testing.assert_array_equal(draw(x), draw(x))
    first, second = keras.random.SeedGenerator(5), keras.random.SeedGenerator(5)
    one, other = (MODES[mode](functools.partial(STOCHASTIC[name], seed=g)) for g in (first, second))
    a, b = one(x).numpy(), one(x).numpy()
    assert (a != b).any()
    np.testing.assert_array_equal(other(x), a)
    unseeded = MODES[mode](STOCHASTIC[name])
    assert (unseeded(x).numpy() != unseeded(x).numpy()).any()


READY = {
    "ste_sign": (forwards.sign, {}),
    "ste_heaviside": (forwards.heaviside, {}),
    "ste_ternary_sign": (functools.partial(forwards.ternary_sign, threshold=0.5), {"threshold": 0.5}),
    "ste_round": (forwards.round_half_even, {}),
    "ste_floor": (forwards.floor, {}),
    "ste_ceil": (forwards.ceil, {}),
    "ste_round_to_zero": (forwards.round_to_zero, {}),
    "ste_dpu_round": (forwards.dpu_round, {}),
    "ste_stochastic_round": (functools.partial(forwards.stochastic_round, seed=2), {"seed": 2}),
    "ste_dithered_round": (functools.partial(forwards.dithered_round, seed=2), {"seed": 2}),
}


def test_every_ready_made_estimator_is_tested():
    assert {n for n in estimators.__all__ if n.startswith("ste_")} == {*READY, "ste_abs", "ste_clamp"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", READY)
def test_ready_made_estimators(name, dtype, mode):
    estimator, (forward, keywords) = getattr(estimators, name), READY[name]
    x = tf.cast(np.random.default_rng(3).normal(scale=2, size=200), dtype)
    run = lambda x: value_and_gradient(functools.partial(estimator, **keywords), x)
    y, gradient = MODES[mode](run)(x)
    np.testing.assert_array_equal(y, MODES[mode](forward)(x))
    default = inspect.signature(estimator).parameters["surrogate"].default
    wanted = estimators.surrogates.get(default)(x).numpy().astype("float64")
    np.testing.assert_allclose(gradient.numpy().astype("float64"), wanted, rtol=1e-2, atol=1e-6)
    _, gradient = value_and_gradient(
        functools.partial(estimator, surrogate=lambda x: 3 * x, **keywords), x
    )
    np.testing.assert_array_equal(gradient, 3 * x)


def test_the_size_with_a_gradient_at_zero():
    x = tf.constant([-2.0, 0.0, -0.0, 3.0])
    y, gradient = value_and_gradient(estimators.ste_abs, x)
    assert y.numpy().tolist() == [2.0, 0.0, 0.0, 3.0]
    assert gradient.numpy().tolist() == [-1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("forward", [forwards.stochastic_round, forwards.dithered_round])
def test_random_roundings_train_in_keras(forward):
    inputs = keras.Input([4])
    outputs = keras.layers.Dense(1)(keras.layers.Activation(straight_through(forward))(inputs))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse", jit_compile=True)
    before = model.get_weights()[0]
    model.fit(np.full([32, 4], 0.5), np.ones([32, 1]), batch_size=8, verbose=0)
    assert (model.get_weights()[0] != before).any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outside", [True, False])
def test_the_gradients_of_the_clamp(outside, dtype, mode):
    rng = np.random.default_rng(4)
    x = tf.cast(np.concatenate([rng.normal(size=(6, 4, 3)), np.full((1, 4, 3), 0.5)]), dtype)
    g = tf.cast(rng.normal(size=x.shape), dtype)
    lower = tf.cast([[-0.5], [-1.0], [0.0], [-0.25]], dtype)
    upper = tf.cast(0.5, dtype)

    def run(x, lower, upper):
        with tf.GradientTape() as tape:
            tape.watch([x, lower, upper])
            y = ste_clamp(x, lower, upper, outside=outside)
        return y, tape.gradient(y, [x, lower, upper], output_gradients=g)

    y, gradients = MODES[mode](run)(x, lower, upper)
    x64, g64, lower64 = (np.asarray(v.numpy(), "float64") for v in (x, g, lower))
    np.testing.assert_array_equal(y.numpy().astype("float64"), np.clip(x64, lower64, 0.5))
    below, above = x64 <= lower64, x64 >= 0.5
    wanted = [
        g64 if outside else g64 * ~(below | above),
        (g64 * below).sum(axis=(0, 2))[:, None],
        (g64 * above).sum(),
    ]
    tolerance = {"float16": 1e-2, "bfloat16": 1e-1}.get(dtype, 1e-5)
    for gradient, expected in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(
            gradient.numpy().astype("float64"), expected, rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("kind", [tf.Variable, keras.Variable])
def test_the_clamp_learns_bounds_that_are_variables(kind):
    alpha = kind(1.0)
    variable = alpha if kind is tf.Variable else alpha.value
    x = tf.constant([-1.0, 0.5, 1.0, 4.0])
    with tf.GradientTape() as tape:
        y = ste_clamp(x, 0.0, alpha, outside=False)
    assert y.numpy().tolist() == [0.0, 0.5, 1.0, 1.0]
    assert float(tape.gradient(y, variable)) == 2.0


def test_the_clamp_with_numbers():
    x = tf.constant([np.nan, -np.inf, np.inf, -0.0, 2.0])
    y, gradient = value_and_gradient(lambda x: ste_clamp(x, -1, 1.5), x)
    np.testing.assert_array_equal(y, [np.nan, -1.0, 1.5, 0.0, 1.5])
    assert gradient.numpy().tolist() == [1.0] * 5
    assert ste_clamp(tf.zeros([0, 3]), 0, 1).shape == (0, 3)
    assert ste_clamp(0.25, 0, 1).numpy() == 0.25


def test_a_second_gradient_goes_through_the_clamps_upstream_one():
    x = tf.constant([-2.0, 0.5])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = ste_clamp(x, -1.0, 1.0) ** 2
        first = inner.gradient(y, x)
    assert first.numpy().tolist() == [-2.0, 1.0]
    assert outer.gradient(first, x).numpy().tolist() == [2.0, 2.0]


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="at_zero must be 0, 0.5 or 1.*0.25"):
        forwards.heaviside(tf.zeros(1), 0.25)
    with pytest.raises(ValueError, match="threshold must be at least 0.*-1"):
        forwards.ternary_sign(tf.zeros(1), -1)
    with pytest.raises(ValueError, match="'triangular' or 'uniform'.*'gauss'"):
        forwards.dithered_round(tf.zeros(1), dither="gauss")
    with pytest.raises(TypeError, match="floating-point.*int32"):
        ste_clamp(tf.constant([1]), 0, 1)
    with pytest.raises(ValueError, match="lower=2, upper=1"):
        ste_clamp(tf.zeros(1), 2, 1)
