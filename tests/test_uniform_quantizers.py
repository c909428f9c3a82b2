"""Uniform quantizers: roundings, scales, and the papers' gradients of learned steps and levels, in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ste.estimators import EWGS
from keras_ste.quantizers import (
    BitnetTernary,
    BlockwiseQuantizer,
    FixedPoint,
    LearnedBitWidth,
    Lsq,
    LsqPlus,
    N2uq,
    Pact,
    UniformQuantizer,
    XnorSign,
)

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(50, 7)) * 2).astype("float32")
G = RNG.normal(size=X.shape).astype("float32")


def gradients(quantizer, *names):
    quantizer.build(X.shape)
    x = tf.constant(X)
    variables = [getattr(quantizer, name).value for name in names]
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = quantizer(x)
    return [d.numpy() for d in tape.gradient(y, [x, *variables], output_gradients=tf.constant(G))]


@pytest.mark.parametrize("axis", [None, -1])
@pytest.mark.parametrize("low, high, signed", [(-4, 3, True), (0, 7, False)])
def test_lsq(low, high, signed, axis):
    dx, ds = gradients(Lsq(3, signed, axis, initial_step=0.4), "step")
    v = X / np.float64(np.float32(0.4))
    inside = (v > low) & (v < high)
    of_s = G * np.where(inside, np.round(v) - v, np.where(v <= low, low, high))
    features = X.size if axis is None else len(X)
    expected = of_s.sum(axis=None if axis is None else 0) / np.sqrt(features * high)
    np.testing.assert_allclose(ds.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dx, G * inside, rtol=1e-6)


def test_lsq_plus():
    dx, ds, db = gradients(LsqPlus(2, initial_step=0.5, initial_offset=-0.75), "step", "offset")
    v = (X + 0.75) / np.float64(0.5)
    inside = (v > 0) & (v < 3)
    factor = 1 / np.sqrt(X.size * 3)
    of_s = G * np.where(inside, np.round(v) - v, np.where(v <= 0, 0, 3))
    np.testing.assert_allclose(ds, of_s.sum() * factor, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(db, (G * ~inside).sum(dtype="float64") * factor, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(dx, G * inside)


def test_pact():
    dx, da = gradients(Pact(3, initial_alpha=1.25), "alpha")
    np.testing.assert_allclose(da, (G * (X >= 1.25)).sum(dtype="float64"), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dx, G * ((X > 0) & (X < 1.25)), rtol=1e-6)


ROUNDINGS = {"nearest": np.rint, "floor": np.floor, "ceil": np.ceil, "to_zero": np.trunc}


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_roundings(rounding, signed):
    x = np.concatenate([X.ravel(), np.arange(-40, 40) / 8, [-0.0, 1e-40, -1e-40, 1e-30]]).astype("float32")
    low, high = (-4, 3) if signed else (0, 7)
    for quantizer in (
        UniformQuantizer(3, 0.5, signed=signed, rounding=rounding),
        FixedPoint(1 + (not signed), 1, signed=signed, rounding=rounding),
        Lsq(3, signed, initial_step=0.5, rounding=rounding),
    ):
        tiny = np.where(np.abs(x) < 1e-38, 0, x)  # TensorFlow takes subnormal numbers for zeros.
        expected = 0.5 * np.clip(ROUNDINGS[rounding](tiny / 0.5), low, high)
        for training in (False, True):
            np.testing.assert_array_equal(quantizer(x, training=training), expected)
        assert not np.signbit(quantizer(x).numpy()[expected == 0]).any()


@pytest.mark.parametrize("make", [UniformQuantizer, Lsq])
@pytest.mark.parametrize("rounding, variance", [("stochastic", 0.21), ("dithered", 0.25)])
def test_random_roundings_have_the_value_as_their_mean_in_training(rounding, variance, make):
    scale = {"scale": 0.5} if make is UniformQuantizer else {"initial_step": 0.5}
    quantizer = make(4, signed=False, rounding=rounding, seed=3, **scale)
    x = tf.fill([40_000], 0.5 * 5.3)
    codes = quantizer(x, training=True).numpy() / 0.5
    assert abs(codes.mean() - 5.3) < 0.015 and codes.var() == pytest.approx(variance, abs=0.01)
    assert (quantizer(x) == 0.5 * 5).numpy().all(), "nothing is drawn outside of training"
    # The bounds hold, and an integer is never moved by a stochastic rounding, 0 included.
    ends = quantizer(tf.constant([-9.0, 0.0, 99.0] * 5000), training=True).numpy().reshape(-1, 3)
    assert ends.min() == 0 and ends.max() == 7.5
    if rounding == "stochastic":
        assert len(np.unique(ends, axis=0)) == 1


def test_seeds_of_random_roundings():
    x = tf.fill([100], 0.4)

    def draws(**arguments):
        quantizer = BlockwiseQuantizer(4, axis=0, rounding="stochastic", **arguments)
        return [quantizer(x + 0.1 * tf.range(100.0), training=True).numpy() for _ in range(2)]

    first, second = draws(seed=5)
    assert (first != second).any()
    np.testing.assert_array_equal([first, second], draws(seed=5))
    keras.utils.set_random_seed(1)
    third = draws()
    keras.utils.set_random_seed(1)
    np.testing.assert_array_equal(third, draws())


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.0, 100.0])
@pytest.mark.parametrize("axis", [None, -1, 0])
def test_percentiles(percent, axis):
    x = X[:50, :5]
    axes = None if axis is None else 1 - axis % 2
    most = np.quantile(np.abs(x), percent / 100, axis=axes, keepdims=True, method="inverted_cdf")
    _, scale = UniformQuantizer(4, "percentile", axis, percentile=percent).encode(x)
    np.testing.assert_allclose(scale, most / 7, rtol=1e-6)


def test_ewgs_measures_the_distance_to_the_integer():
    """g (1 + δ sign(g) (x/s - integer)), in units of the scale; of a sign, x itself and ±1."""
    w, g = X * 0.4, G.astype("float64")
    w64 = w.astype("float64")
    mean = np.abs(w64).mean()
    alpha = np.abs(w64).mean(axis=0)
    units = {
        UniformQuantizer(3, 0.25, surrogate=EWGS(0.5)): (w64 / 0.25, np.clip(np.rint(w64 / 0.25), -4, 3)),
        Lsq(3, initial_step=0.25, surrogate=EWGS(0.5)): (w64 / 0.25, np.clip(np.rint(w64 / 0.25), -4, 3)),
        BitnetTernary(EWGS(0.5)): (w64 / mean, np.clip(np.rint(w64 / (mean + 1e-5)), -1, 1)),
        XnorSign(EWGS(0.5)): (w64, np.where(w64 >= 0, 1, -1)),
    }
    for quantizer, (v, integer) in units.items():
        expected = g * (1 + 0.5 * np.sign(g) * (v - integer))
        if isinstance(quantizer, (UniformQuantizer, Lsq)):
            expected *= (v > -4) & (v < 3)
        if isinstance(quantizer, XnorSign):
            expected = alpha * expected + g / len(w)
        quantizer.build(w.shape)
        x = tf.constant(w)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = quantizer(x)
        np.testing.assert_allclose(tape.gradient(y, x, output_gradients=tf.constant(G)), expected, rtol=1e-5, atol=1e-5)


def test_a_step_smaller_than_adam_s_rate_does_not_end_at_0():
    quantizer = Lsq(8, initial_step=0.004)
    quantizer.build(X.shape)
    optimizer = keras.optimizers.Adam(0.01)
    found = []
    for _ in range(4):
        optimizer.apply([tf.constant(1.0)], [quantizer.step])
        found.append(float(quantizer.step))
    np.testing.assert_allclose(found, [0.006, 0.004, 0.006, 0.004], rtol=1e-3)


@pytest.mark.parametrize(
    "make", [Lsq, lambda: Lsq(scale_axis=-1), LsqPlus, N2uq, Pact, LearnedBitWidth], ids=lambda make: make.__name__
)
def test_scales_come_back_from_below_0(make):
    quantizer = make()
    quantizer(tf.constant(X), training=True)
    scales = [variable for variable in quantizer.trainable_variables if variable.constraint is not None]
    before = [np.asarray(scale) for scale in scales]
    keras.optimizers.SGD(1.0).apply([tf.constant(1.5 * value) for value in before], scales)
    for scale, value in zip(scales, before, strict=True):
        np.testing.assert_allclose(scale, value / 2, rtol=1e-6)
    assert len(scales) and len(np.unique(quantizer(tf.constant(X)))) > 2
