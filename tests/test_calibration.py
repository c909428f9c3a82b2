"""Calibration and quantization after training: steps, biases and roundings are those that their rules say."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import keras_ste
from keras_ste.optimization import (
    LayerScheme,
    Scheme,
    calibrate,
    correct_bias,
    post_training_quantize,
    quantize_model,
    round_adaptively,
    schemes,
)
from keras_ste.optimization.calibration import METHODS, step_of
from keras_ste.quantizers import Lsq, UniformQuantizer
from keras_ste.training import Gradual


def network():
    """A network whose weights mean something: of a random teacher's kind, with outliers."""
    rng = np.random.default_rng(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(8, 3, use_bias=False, name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.ReLU(),
            keras.layers.DepthwiseConv2D(3, name="depthwise", activation="relu"),
            keras.layers.Conv2D(12, 1, name="pointwise", activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="relu", name="middle"),
            keras.layers.Dense(5, name="head"),
        ]
    )
    for variable in model.weights:
        spread = 1 + 4 * (rng.uniform(size=variable.shape) > 0.97)
        variable.assign(variable.numpy() * spread + rng.uniform(0, 0.1, variable.shape))
    return model


def images(count=64):
    return np.random.default_rng(1).normal(size=(count, 8, 8, 3)).astype("float32")


values = arrays.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(2, 20)), elements=st.floats(-8, 8))


@given(values, st.sampled_from([(-8, 7), (0, 15), (-2, 1), (0, 1)]))
def test_steps_are_what_their_rules_say(x, codes):
    low, high = codes

    def error(step):
        step = np.maximum(step, 2.0**-30)[:, np.newaxis]
        return np.square(np.clip(np.rint(x / step), low, high) * step - x).mean(1)

    widest = step_of(x, low, high, "min_max")
    # The cut is at half a code beyond the last: nothing moves by more than a rounding does.
    inside = x if low else np.maximum(x, 0)
    step = np.maximum(widest, 2.0**-30)[:, np.newaxis]
    assert np.all(np.abs(np.clip(np.rint(inside / step), low, high) * step - inside) <= step * 0.5 + 1e-9)
    np.testing.assert_allclose(step_of(x, low, high, "percentile", 100), np.abs(inside).max(1) / high)
    np.testing.assert_allclose(step_of(x, low, high, "lsq"), 2 * np.abs(x).mean(1) / np.sqrt(high))
    best = step_of(x, low, high, "mse")
    assert np.all(error(best) <= error(widest) + 1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_learned_steps_start_from_weights_and_data(method):
    reference = network()
    model = quantize_model(reference, schemes.get("lsq(4, 8)").replace(fold_batch_norm=True))
    found = calibrate(model, images(), inputs=method, weights=method, batch_size=16, verbose=0)
    layer = model.get_layer("depthwise")
    assert layer.depthwise_quantizer.initialized.numpy() == layer.input_quantizer.initialized.numpy() == 1
    kernel = np.moveaxis(layer.kernel.numpy(), 2, 0).reshape(8, -1)
    step = layer.depthwise_quantizer.step.numpy().ravel()
    np.testing.assert_allclose(step, step_of(kernel, -7, 7, method), rtol=1e-5)
    # The float network's activations: the quantizers before were off. All of them were seen.
    before = keras.Sequential(reference.layers[:3])(images()).numpy().reshape(1, -1)
    (expected,) = step_of(before, 0, 255, method)
    np.testing.assert_allclose(layer.input_quantizer.step.numpy(), expected, rtol=1e-3)
    assert sum(name.endswith("/input_quantizer") for name in found) == 5
    steps = {name: step.copy() for name, step in found.items()}
    model(images(), training=True)
    np.testing.assert_array_equal(layer.input_quantizer.step.numpy(), steps[f"{layer.path}/input_quantizer"])


def test_data_sets_and_several_inputs_are_taken():
    x = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    y = keras.layers.Dense(2, name="head")(keras.layers.Concatenate()([x["a"], x["b"]]))
    model = quantize_model(keras.Model(x, y), LayerScheme(Lsq(4), Lsq(4)))
    data = {name: np.random.default_rng(0).normal(size=(12, 4)).astype("float32") for name in "ab"}
    step = calibrate(model, data, inputs="min_max", verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices((data, np.zeros(12))).batch(5)
    again = calibrate(model, dataset, inputs="min_max", verbose=0)
    assert step.keys() == again.keys() and step
    assert all(np.array_equal(step[name], again[name]) for name in step)


def test_a_progress_bar_counts_the_batches(capsys):
    model = quantize_model(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), "int8")
    x = np.ones((12, 4), "float32")
    calibrate(model, x, batch_size=5)
    assert "3/3" in capsys.readouterr().out
    calibrate(model, x, verbose=0)
    assert not capsys.readouterr().out


def test_a_gradual_quantizer_and_scales_by_channel_are_calibrated():
    inputs = keras.Input((4, 3))
    layer = keras_ste.QuantDense(2, input_quantizer=Gradual(Lsq(8, scale_axis=-1)), kernel_quantizer="ste_sign")
    model = keras.Model(inputs, layer(inputs))
    x = np.random.default_rng(0).normal(size=(16, 4, 3)).astype("float32") * np.array([1, 10, 0.1], "float32")
    calibrate(model, x, inputs="min_max", verbose=0)
    step = layer.input_quantizer.quantizer.step.numpy().ravel()
    expected = np.maximum(x.max((0, 1)) / 127, -x.min((0, 1)) / 128)
    np.testing.assert_allclose(step, expected, rtol=1e-6)


def distance(model, reference, x):
    return float(np.mean(np.square(np.asarray(model(x)) - np.asarray(reference(x)))) / np.var(np.asarray(reference(x))))


def test_without_training_8_bits_are_near_the_float_network_and_4_near_enough():
    reference, x = network(), images()
    assert distance(post_training_quantize(reference, x, "int8", verbose=0), reference, x) < 1e-3
    w4a8 = post_training_quantize(reference, x, "w4a8", verbose=0)
    assert distance(w4a8, reference, x) < 0.05
    spread = post_training_quantize(reference, x, "w4a8", weights="min_max", verbose=0)
    assert distance(w4a8, reference, x) < distance(spread, reference, x)
    keras_ste.convert(w4a8, strict=True)


def test_corrected_biases_give_the_means_of_the_float_network():
    reference, x = network(), images()
    model = post_training_quantize(reference, x, "lsq(2, 8)", verbose=0)
    wrong = np.abs(np.mean(model(x) - reference(x), 0)).max()
    added = correct_bias(model, x)
    assert len(added) == 5
    assert np.abs(np.mean(model(x) - reference(x), 0)).max() < 1e-4 < wrong


EVERYWHERE = LayerScheme(Lsq(3, scale_axis=-1))
WEIGHTS = Scheme("weights", EVERYWHERE, first=EVERYWHERE, last=EVERYWHERE)


def test_rounding_for_the_layer_beats_rounding_to_the_nearest():
    rng = np.random.default_rng(0)
    # Inputs that hang together, so that errors of several weights can make up for each other.
    x = (rng.normal(size=(256, 6)) @ rng.normal(size=(6, 16))).astype("float32")
    reference = keras.Sequential([keras.Input((16,)), keras.layers.Dense(32, name="dense")])
    model = quantize_model(reference, WEIGHTS)
    calibrate(model, x, verbose=0)
    nearest = distance(model, reference, x)
    moved = round_adaptively(model, x, steps=200, learning_rate=0.05, verbose=0)
    assert distance(model, reference, x) < 0.6 * nearest
    assert 0 < moved[model.layers[0].path] < 0.5


def test_rounding_and_biases_are_for_the_float_network_not_for_the_one_that_is_rounded_so_far():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(256, 4)) @ rng.normal(size=(4, 32))).astype("float32")
    reference = keras.Sequential([keras.Input((32,)), *(keras.layers.Dense(32) for _ in range(4))])
    for variable in reference.weights:
        variable.assign(rng.normal(size=variable.shape) * 0.2)
    nearest = post_training_quantize(reference, x, WEIGHTS, verbose=0)
    rounded = post_training_quantize(reference, x, WEIGHTS, adaround=200, verbose=0)
    assert distance(rounded, reference, x) < 0.25 * distance(nearest, reference, x)
    corrected = post_training_quantize(reference, x, WEIGHTS, adaround=20, bias_correction=True, verbose=0)
    assert np.abs(np.mean(corrected(x) - reference(x), 0)).max() < 1e-5


def test_rounded_weights_are_multiples_of_their_steps_next_to_the_float_ones():
    reference, x = network(), images()
    model = quantize_model(reference, WEIGHTS)
    calibrate(model, x, verbose=0)
    moved = round_adaptively(model, x, steps=20, learning_rate=0.1, verbose=0)
    layers = {layer.name: layer for layer in model.layers if layer.name in ("conv", "depthwise", "pointwise", "middle")}
    assert {layer.path for layer in layers.values()} <= set(moved)
    for name, layer in layers.items():
        (argument,) = layer.quantized_weights
        step = getattr(layer, argument).step.numpy()
        codes = layer.kernel.numpy() / step
        np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
        was = reference.get_layer(name).kernel.numpy() / step
        assert np.all(np.abs(np.clip(was, -4, 3) - codes) < 1 + 1e-4)


def test_folded_kernels_are_rounded_too():
    reference, x = network(), images()
    each = LayerScheme(Lsq(3, scale_axis=-1), Lsq(8), Lsq(8, signed=False))
    model = post_training_quantize(reference, x, Scheme("all", each, first=each, last=each), adaround=40, verbose=0)
    conv = model.get_layer("conv")
    codes = conv.folded_kernel / conv.kernel_quantizer.step
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)


def test_bad_arguments_are_refused():
    model = quantize_model(network(), "int8")
    with pytest.raises(ValueError, match="inputs must be one of"):
        calibrate(model, images(), inputs="max")
    with pytest.raises(ValueError, match="percentile must be"):
        calibrate(model, images(), percentile=0)
    with pytest.raises(ValueError, match="equally many examples"):
        calibrate(model, [images(2), images(3)])
    computed = LayerScheme(UniformQuantizer(4))
    with pytest.raises(ValueError, match="learned steps"):
        round_adaptively(quantize_model(network(), Scheme("computed", computed, first=None, last=None)), images())
