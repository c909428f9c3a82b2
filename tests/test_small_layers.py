"""The layers without a Keras counterpart: what they compute and learn, by their formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ste import LearnableBias, QuantActivation, RPReLU


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("axis", "shape"), [(-1, (5, 4, 3)), (1, (5, 3, 4, 2)), (1, (5, 3, 4, 3))])
def test_rprelu(axis, shape):
    layer = RPReLU(axis=axis)
    x = random(shape)
    layer.build(shape)
    shift, slope, offset = (random(3, seed) for seed in (1, 2, 3))
    for variable, value in zip((layer.shift, layer.slope, layer.offset), (shift, slope, offset), strict=True):
        assert tuple(variable.shape) == (3,)
        variable.assign(value)
    place = [1] * len(shape)
    place[axis] = 3
    shift, slope, offset = (value.reshape(place) for value in (shift, slope, offset))
    moved = x - shift
    np.testing.assert_allclose(layer(x), np.where(moved > 0, moved, slope * moved) + offset, rtol=1e-5, atol=1e-6)
    with tf.GradientTape() as tape:
        y = layer(x)
    upstream = random(shape, 4)
    gradients = tape.gradient(y, [layer.shift.value, layer.slope.value, layer.offset.value], upstream)
    others = tuple(i for i in range(len(shape)) if i != axis % len(shape))
    expected = (
        -(upstream * np.where(moved > 0, 1, slope)).sum(others),
        (upstream * np.minimum(moved, 0)).sum(others),
        upstream.sum(others),
    )
    for gradient, value in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, value, rtol=1e-4, atol=1e-5)


def test_learnable_bias():
    layer = LearnableBias()
    x = random((5, 4, 3))
    np.testing.assert_array_equal(layer(x), x)
    (bias,) = layer.trainable_variables
    assert tuple(bias.shape) == (3,)
    bias.assign([1.0, 2.0, 3.0])
    np.testing.assert_allclose(layer(x), x + np.float32([1, 2, 3]), rtol=1e-6)


def test_a_learnable_bias_is_one_along_its_axis_whatever_the_other_sizes():
    layer = LearnableBias(axis=1)
    x = random((5, 3, 4, 3))
    layer(x)
    layer.bias.assign([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(layer(x), x + np.float32([1, 2, 3]).reshape(3, 1, 1))


def test_quant_activation():
    layer = QuantActivation("ste_sign")
    x = random((5, 3))
    np.testing.assert_array_equal(layer(x), np.where(x >= 0, 1, -1))
    x = tf.constant([-2.0, 0.5])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    assert tape.gradient(y, x).numpy().tolist() == [0.0, 1.0]


@pytest.mark.parametrize("make", [RPReLU, LearnableBias, lambda: QuantActivation("lsq")])
def test_saved_and_loaded(make, tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), make(), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(random((8, 4, 3)), random((8, 4, 2), 1), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = random((2, 6, 3), 2)
    np.testing.assert_array_equal(again(x), model(x))
