"""The signs beyond SteSign, and the Heaviside step: values, gradients, learned thresholds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ste import QuantDense
from keras_ste.estimators import surrogates
from keras_ste.quantizers import (
    ApproxSign,
    IRNetSign,
    MagnitudeAwareSign,
    QuantSpec,
    RSign,
    SteHeaviside,
    SwishSign,
)
from keras_ste.quantizers.irnet import nearest_power_of_two

DTYPES = ["float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [ApproxSign, SwishSign, RSign, SteHeaviside])
def test_zeros_infinities_and_nan(make, dtype):
    x = tf.cast([0.0, -0.0, np.inf, -np.inf, np.nan], dtype)
    quantizer = make()
    zero, low = (0, 0) if make is SteHeaviside else (1, -1)
    np.testing.assert_array_equal(tf.cast(quantizer(x), "float32"), [zero, zero, 1, low, np.nan])
    assert quantizer.encode(x).numpy().tolist() == [int(zero > 0)] * 2 + [1, 0, 0]


def gradient_of(quantizer, x, upstream, variable=None):
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = quantizer(x)
    sources = x if variable is None else (x, variable)
    gradients = tape.gradient(y, sources, output_gradients=tf.cast(upstream, y.dtype))
    return tf.nest.map_structure(lambda g: g.numpy().astype("float64"), gradients)


def triangle(x):
    return np.maximum(0, 2 - 2 * np.abs(x))


def swish(x, beta):
    return beta * (2 - beta * x * np.tanh(beta * x / 2)) / (1 + np.cosh(beta * x))


def clipped(x):
    return (np.abs(x) <= 1).astype("float64")


KINKS = np.array([0.0, -0.0, 1.0, -1.0, np.nextafter(1, 2), -np.nextafter(1, 2), 0.5, 3.0, -3.0])


@pytest.mark.parametrize(
    "quantizer, derivative",
    [
        (ApproxSign(), triangle),
        (SwishSign(), lambda x: swish(x, 5)),
        (SwishSign(2.0), lambda x: swish(x, 2)),
        (SwishSign(tf.Variable(3.0)), lambda x: swish(x, 3)),
        (SteHeaviside(), clipped),
        (SteHeaviside("identity"), np.ones_like),
    ],
)
def test_gradients_are_the_published_ones(quantizer, derivative):
    rng = np.random.default_rng(0)
    x = np.concatenate([KINKS, rng.normal(size=1000)])
    g = rng.normal(size=x.shape)
    np.testing.assert_allclose(gradient_of(quantizer, x, g), g * derivative(x), rtol=0, atol=1e-12)
    x = x.astype("float32")
    gradient = gradient_of(quantizer, x, np.ones_like(x))
    np.testing.assert_allclose(gradient, derivative(x.astype("float64")), rtol=1e-6, atol=1e-6)


def test_swish_sign_does_not_overflow():
    gradient = gradient_of(SwishSign(), np.float32([-1e30, -200, 200, 1e30]), np.ones(4))
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("axis", [-1, 0, None])
@pytest.mark.parametrize("derivative, surrogate", [(triangle, ApproxSign), (lambda x: swish(x, 5), SwishSign)])
def test_with_a_scale_the_gradient_goes_through_it_too(derivative, surrogate, axis):
    rng = np.random.default_rng(1)
    w, g = rng.normal(size=(2, 3, 3, 4, 5))
    axes = tuple(a for a in range(4) if axis is None or a != axis % 4)
    alpha = np.abs(w).mean(axis=axes, keepdims=True)
    expected = g * (alpha.size / w.size + alpha * derivative(w))
    gradient = gradient_of(surrogate(scale="mean_abs", scale_axis=axis), np.float32(w), g)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [-1, 0, None])
def test_magnitude_aware_sign_has_no_gradient_through_its_scale(axis):
    rng = np.random.default_rng(1)
    w, g = 2 * rng.normal(size=(2, 3, 3, 4, 5))
    axes = tuple(a for a in range(4) if axis is None or a != axis % 4)
    alpha = np.abs(w).mean(axis=axes, keepdims=True)
    quantizer = MagnitudeAwareSign(scale_axis=axis)
    np.testing.assert_allclose(quantizer(np.float32(w)), alpha * np.sign(w), rtol=1e-6)
    gradient = gradient_of(quantizer, np.float32(w), g)
    np.testing.assert_allclose(gradient, g * alpha * clipped(w), rtol=1e-5, atol=1e-7)


# RSign


@pytest.mark.parametrize("axis", [-1, 1, 0, None])
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float16", 1e-2), ("bfloat16", 5e-2)])
def test_the_threshold_of_rsign_gets_minus_the_sum(axis, dtype, tolerance):
    rng = np.random.default_rng(4)
    x = tf.cast(rng.normal(size=(3, 5, 6, 4)), dtype)
    g = tf.cast(rng.normal(size=x.shape), dtype)
    quantizer = RSign(axis=axis, threshold_initializer=keras.initializers.RandomNormal(seed=1))
    quantizer.build(x.shape)
    t = quantizer.threshold.numpy().astype("float64")
    assert quantizer.threshold.dtype == "float32"
    assert t.shape == (() if axis is None else (x.shape[axis],))
    if axis is not None:
        t = t.reshape([-1 if a == axis % 4 else 1 for a in range(4)])
    x64, g64 = x.numpy().astype("float64"), g.numpy().astype("float64")
    np.testing.assert_array_equal(quantizer(x), np.where(x64 >= t, 1, -1))
    dx, dt = gradient_of(quantizer, x, g, quantizer.threshold)
    expected = g64 * triangle(x64 - t)
    np.testing.assert_allclose(dx, expected, rtol=0, atol=tolerance)
    axes = tuple(a for a in range(4) if axis is None or a != axis % 4)
    np.testing.assert_allclose(dt, -expected.sum(axis=axes), rtol=1e-4, atol=1e-4)


def test_the_value_on_the_threshold_is_positive():
    quantizer = RSign(axis=None, threshold_initializer=keras.initializers.Constant(0.3))
    t = np.float32(0.3)
    x = np.array([np.nextafter(t, -1), t, np.nextafter(t, 1)], np.float32)
    assert quantizer(x).numpy().tolist() == [-1, 1, 1]
    assert quantizer.encode(x).numpy().tolist() == [0, 1, 1]


def test_rsign_needs_a_known_axis():
    with pytest.raises(ValueError, match=r"RSign has axis=3.*\(2, 3\)"):
        RSign(axis=3)(tf.zeros((2, 3)))
    with pytest.raises(ValueError, match="size has to be known"):
        RSign().build((2, None))


def test_thresholds_are_trained_saved_and_loaded(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 8)).astype("float32")
    # What the layer computes with thresholds of 0.5; it starts with 0, and all else is right already.
    y = (x > 0.5).mean(axis=1, keepdims=True).astype("float32")
    layer = QuantDense(
        1,
        kernel_initializer=keras.initializers.Constant(1 / 16),
        bias_initializer=keras.initializers.Constant(0.5),
        input_quantizer=RSign(),
    )
    model = keras.Sequential([keras.Input((8,)), layer])
    assert [v.path.split("/")[-1] for v in layer.trainable_variables] == ["kernel", "bias", "threshold"]
    layer.kernel.trainable = layer.bias.trainable = False
    model.compile(keras.optimizers.Adam(0.02), "mse")
    model.fit(np.tile(x, (30, 1)), np.tile(y, (30, 1)), batch_size=64, verbose=0)
    threshold = layer.input_quantizer.threshold.numpy()
    assert (0.25 < threshold).all() and (threshold < 0.75).all()
    path = tmp_path / "model.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    np.testing.assert_array_equal(again.layers[0].input_quantizer.threshold, layer.input_quantizer.threshold)


# IR-Net


def test_the_nearest_power_of_two():
    rng = np.random.default_rng(0)
    x = np.concatenate([2.0 ** rng.uniform(-24, 0, 10_000), 2.0 ** np.arange(-24, 1.0)]).astype("float32")
    expected = 2.0 ** np.round(np.log2(x.astype("float64")))
    np.testing.assert_array_equal(nearest_power_of_two(tf.constant(x)), expected)
    assert nearest_power_of_two(tf.constant(0.0)) == 0
    assert np.isnan(nearest_power_of_two(tf.constant(np.nan)))


def ede(x, t=1.0):
    return max(1 / t, 1) * t * (1 - np.tanh(t * x) ** 2)


@pytest.mark.parametrize("axis", [-1, None])
@pytest.mark.parametrize(
    "surrogate, derivative",
    [("clipped_identity", clipped), ("ede", ede), (surrogates.EDE(3.0), lambda x: ede(x, 3.0))],
)
def test_irnet_by_the_papers_formulas(axis, surrogate, derivative):
    rng = np.random.default_rng(5)
    # A channel of few large weights: its standardized ones have a mean magnitude far below 1.
    w = rng.normal(size=(3, 3, 8, 4)) * [1, 0.01, 30, 0.1] + 0.02
    w[..., 3] **= 5
    g = rng.normal(size=w.shape)
    axes = (0, 1, 2) if axis == -1 else None

    def mean(values):
        return values.mean(axis=axes, keepdims=True)

    w = w.astype("float32").astype("float64")
    sigma = np.sqrt(mean((w - mean(w)) ** 2))
    u = (w - mean(w)) / sigma
    scale = 2.0 ** np.round(np.log2(mean(np.abs(u))))
    assert len(np.unique(scale)) == (2 if axis == -1 else 1)
    quantizer = IRNetSign(surrogate, axis)
    np.testing.assert_array_equal(quantizer(np.float32(w)), scale * np.where(u >= 0, 1, -1))
    h = g * scale * derivative(u)
    expected = (h - mean(h) - u * mean(h * u)) / sigma
    gradient = gradient_of(quantizer, np.float32(w), g)
    np.testing.assert_allclose(gradient * sigma, expected * sigma, rtol=1e-4, atol=2e-5)


def test_equal_weights_have_no_irnet_value_and_no_gradient():
    w = np.stack([np.full(7, 0.1), np.linspace(-1, 1, 7)], axis=-1).astype("float32")
    assert (IRNetSign()(w).numpy()[:, 0] == 0).all()
    gradient = gradient_of(IRNetSign(), w, np.ones(w.shape))
    assert (gradient[:, 0] == 0).all() and np.isfinite(gradient).all()


# Arguments


def test_specs():
    for plain in (ApproxSign(), SwishSign(), RSign()):
        assert plain.spec == QuantSpec(1, "bipolar")
    for scaled in (ApproxSign("mean_abs"), SwishSign(scale="mean_abs"), MagnitudeAwareSign(), IRNetSign()):
        assert scaled.spec == QuantSpec(1, "bipolar", scale_axis=-1, dynamic_scale=True)
        assert scaled.sign_argument(tf.zeros((2, 2))) is None
    assert SteHeaviside().spec == QuantSpec(1, "unsigned")


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="SwishSign needs a positive beta.*beta=0"):
        SwishSign(beta=0)
    with pytest.raises(ValueError, match="ApproxSign's scale must be None or 'mean_abs'.*'max'"):
        ApproxSign(scale="max")
    for quantizer in (MagnitudeAwareSign(scale_axis=2), IRNetSign(scale_axis=2)):
        with pytest.raises(ValueError, match=r"scale_axis=2.*\(3, 3\)"):
            quantizer(tf.zeros((3, 3)))
