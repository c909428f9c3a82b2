"""The gradients of learned steps and levels, against the papers' formulas in float64."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ste.quantizers import Lsq, LsqPlus, Pact

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
