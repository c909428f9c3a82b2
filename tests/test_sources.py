"""What can be converted: SavedModels and models of tf_keras, and what of their ends is in the file."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import keras_ste
from keras_ste import QuantConv2D, QuantDense
from keras_ste.converter import NotPackedError
from keras_ste.converter.graph import read_model
from keras_ste.layers import quantized_call
from keras_ste.quantizers import UniformQuantizer

SIGN = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
W2A4 = {"input_quantizer": UniformQuantizer(4, 0.25), "kernel_quantizer": UniformQuantizer(2, 0.1)}


def run(converted, inputs):
    """The outputs by name, through the signature."""
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    return interpreter.get_signature_runner()(**inputs)


def ops(converted):
    return [op.name for op in read_model(converted.model_content).graphs[0].ops]


def two_ended():
    """Two inputs, of which the second in the alphabet comes first, and two outputs likewise; any size of image."""
    image = keras.Input((None, None, 3), name="zebra")
    mask = keras.Input((None, None, 8), name="mask")
    x = QuantConv2D(8, 3, padding="same", strides=2, **W2A4)(image)
    x = keras.layers.Multiply()([x, mask])
    pooled = keras.layers.GlobalAveragePooling2D()(x)
    logits = QuantDense(5, name="z_logits", **SIGN)(pooled)
    features = QuantConv2D(4, 3, padding="same", name="a_features", **SIGN)(keras.layers.MaxPooling2D()(x))
    return keras.Model([image, mask], {"z_logits": logits, "a_features": features})


def batch(rng, n, height, width):
    image = rng.normal(size=(n, height, width, 3)).astype(np.float32)
    return {"zebra": image, "mask": rng.normal(size=(n, -(-height // 2), -(-width // 2), 8)).astype(np.float32)}


@pytest.fixture
def saved(tmp_path):
    model = two_ended()
    keras_ste.export_saved_model(model, tmp_path / "saved")
    return model, tmp_path / "saved"


def test_names_order_and_sizes_survive_in_a_saved_model(saved):
    model, folder = saved
    converted = keras_ste.convert(folder, strict=True)
    assert converted.model_content == keras_ste.convert(model).model_content
    (signature,) = read_model(converted.model_content).signatures
    assert list(signature.inputs) == ["zebra", "mask"]
    assert sorted(signature.outputs) == ["a_features", "z_logits"]
    rng = np.random.default_rng(0)
    for n, height, width in ((1, 8, 8), (3, 17, 6), (2, 10, 33)):
        inputs = batch(rng, n, height, width)
        expected, found = model.predict(list(inputs.values()), verbose=0), run(converted, inputs)
        for name in expected:
            assert np.array_equal(found[name], expected[name]), (name, height, width)


def test_another_process_converts_a_saved_model_without_the_models_code(saved, tmp_path):
    model, folder = saved
    program = (
        "import sys, keras_ste\n"
        "converted = keras_ste.convert(sys.argv[1], strict=True)\n"
        "converted.save(sys.argv[2])\n"
        "print([row.layer for row in converted.report.rows if row.op == 'SteConv2D'])\n"
    )
    file = tmp_path / "model.tflite"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(file)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    layers = [layer.path for layer in model.layers if isinstance(layer, QuantConv2D)]
    assert done.stdout.strip() == str(layers)
    assert file.read_bytes() == keras_ste.convert(model).model_content


def test_the_export_scope_works_around_kerass_own_export(tmp_path):
    model = two_ended()
    with keras_ste.export_scope():
        model.export(tmp_path / "saved", verbose=False)
    converted = keras_ste.convert(tmp_path / "saved", strict=True)
    assert {"SteConv2D", "SteFullyConnected"} <= set(ops(converted))
    assert {layer["packed"] for layer in _metadata(converted)} == {True} and len(_metadata(converted)) == 3
    inputs = batch(np.random.default_rng(0), 2, 9, 12)
    found, expected = run(converted, inputs), model.predict(list(inputs.values()), verbose=0)
    assert set(found) == set(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def _metadata(converted):
    return json.loads(read_model(converted.model_content).metadata["keras_ste"])["layers"]


def test_sizes_of_a_model_of_integers_are_free_too():
    rng = np.random.default_rng(0)
    model = keras.Sequential([
        keras.Input((None, None, 3), name="image"), keras.layers.Conv2D(8, 3, activation="relu"),
        QuantConv2D(8, 3, **W2A4), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3),
    ])  # fmt: skip
    images = rng.normal(size=(20, 10, 10, 3)).astype(np.float32)
    options = {"representative_dataset": images, "inference_input_type": "int8", "inference_output_type": "int8"}
    converted = keras_ste.convert(model, **options)
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    scale, zero_point = interpreter.get_input_details()[0]["quantization"]
    out_scale, out_zero_point = interpreter.get_output_details()[0]["quantization"]
    for height, width in ((10, 10), (14, 9)):
        x = rng.normal(size=(2, height, width, 3)).astype(np.float32)
        codes = np.clip(np.rint(x / scale) + zero_point, -128, 127).astype(np.int8)
        (found,) = run(converted, {"image": codes}).values()
        expected = model.predict(x, verbose=0)
        assert np.abs(out_scale * (found.astype(int) - out_zero_point) - expected).max() < 0.3 * np.ptp(expected)


class Scaled(tf_keras.layers.Layer):
    """A layer of tf_keras on estimators of this package."""

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], 4))

    def call(self, inputs):
        return tf.matmul(inputs, keras_ste.quantizers.get("ste_sign")(self.kernel))


def quantized(base, **quantizers):
    """A class of tf_keras layers on quantizers of this package."""

    class Quantized(base):
        def call(self, inputs):
            return quantized_call(self, inputs, **quantizers)

    return Quantized


def tf_keras_model(quantizers):
    layers = tf_keras.layers
    image = tf_keras.Input((12, 12, 3), name="image")
    x = quantized(layers.Conv2D, **quantizers)(16, 3, strides=2, padding="same", name="conv")(image)
    x = layers.BatchNormalization()(x)
    x = layers.Add()([x, quantized(layers.DepthwiseConv2D, **quantizers)(3, padding="same", name="depthwise")(x)])
    x = quantized(layers.Conv2DTranspose, **quantizers)(8, 2, strides=2, activation="relu", name="up")(x)
    x = layers.Reshape((12, -1))(x)
    x = quantized(layers.Conv1D, **quantizers)(6, 3, groups=2, name="sequence")(x)
    logits = quantized(layers.Dense, **quantizers)(5, name="logits")(layers.Flatten()(x))
    return tf_keras.Model({"image": image}, [logits, layers.GlobalAveragePooling1D(name="mean")(x)])


@pytest.mark.parametrize("quantizers", [SIGN, W2A4], ids=["signs", "W2A4"])
def test_layers_of_tf_keras_are_packed_and_equal_its_model(quantizers):
    rng = np.random.default_rng(0)
    model = tf_keras_model(quantizers)
    for layer in model.layers:
        layer.set_weights([np.abs(w) if "variance" in v.name else w + 0.1 * rng.normal(size=w.shape)
                           for v, w in zip(layer.weights, layer.get_weights(), strict=True)])  # fmt: skip
    converted = keras_ste.convert(model, strict=True)
    packed = {layer["layer"] for layer in _metadata(converted) if layer["packed"]}
    assert packed == {"conv", "depthwise", "up", "sequence", "logits"}
    assert not {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"} & set(ops(converted))
    x = rng.normal(size=(6, 12, 12, 3)).astype(np.float32)
    found, expected = run(converted, {"image": x}), model.predict({"image": x}, verbose=0)
    assert set(found) == {"logits", "mean"}
    assert np.array_equal(found["logits"], expected[0])
    np.testing.assert_allclose(found["mean"], expected[1], rtol=1e-5, atol=1e-5)


def test_a_layer_of_tf_keras_computes_and_trains_as_its_counterpart():
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(4, 9, 9, 3)), tf.float32)
    ours = QuantConv2D(5, 3, strides=2, padding="same", activation="tanh", **W2A4)
    theirs = quantized(tf_keras.layers.Conv2D, **W2A4)(5, 3, strides=2, padding="same", activation="tanh")
    theirs.build(x.shape)
    ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    results = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y**2)
        results.append([y, *tape.gradient(loss, [x, *[getattr(v, "_value", v) for v in layer.trainable_variables]])])
    assert len(results[0]) == 4
    for ours, theirs in zip(*results, strict=True):
        assert np.array_equal(ours, theirs)


def test_tf_keras_saves_what_is_converted_elsewhere(tmp_path):
    layers = tf_keras.layers
    model = tf_keras.Sequential([
        tf_keras.Input((6, 6, 3), name="image"), quantized(layers.Conv2D, **SIGN)(32, 3), layers.Flatten(),
        quantized(layers.Dense, **SIGN)(5, name="logits"),
    ])  # fmt: skip
    keras_ste.export_saved_model(model, tmp_path / "ours")
    with keras_ste.export_scope():
        tf.saved_model.save(model, str(tmp_path / "tensorflows"))
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    expected = model.predict(x, verbose=0)
    for folder in ("ours", "tensorflows"):
        converted = keras_ste.convert(tmp_path / folder, strict=True)
        assert ops(converted)[-2:] == ["SteConv2D", "SteFullyConnected"], folder
        assert np.array_equal(run(converted, {"image": x})["logits"], expected)


def test_estimators_in_layers_of_tf_keras_compute_in_float():
    model = tf_keras.Sequential([tf_keras.Input((6,), name="x"), Scaled(), tf_keras.layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    (found,) = run(keras_ste.convert(model), {"x": x}).values()
    np.testing.assert_allclose(found, model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


class Subclassed(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = quantized(tf_keras.layers.Dense, **SIGN)(3)

    def call(self, inputs):
        return {"y": self.dense(inputs)}


def test_a_subclassed_model_of_tf_keras_takes_a_signature():
    model = Subclassed()
    x = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    expected = model(x)["y"]
    with pytest.raises(ValueError, match="input_signature"):
        keras_ste.convert(model)
    converted = keras_ste.convert(model, input_signature=tf.TensorSpec((None, 6), tf.float32, name="x"))
    assert np.array_equal(run(converted, {"x": x})["y"], expected)


def test_a_quantizer_with_variables_is_refused_in_tf_keras():
    layer = quantized(tf_keras.layers.Dense, kernel_quantizer="lsq")(3)
    with pytest.raises(TypeError, match="has variables of its own"):
        layer(tf.ones((1, 4)))
    with pytest.raises(TypeError, match="takes a layer of tf_keras"):
        quantized_call(tf_keras.layers.ReLU(), tf.ones((1, 4)), kernel_quantizer="ste_sign")


def test_a_saved_model_of_plain_layers_converts_but_not_strictly(tmp_path):
    model = keras.Sequential([keras.Input((4,), name="x"), QuantDense(3, **SIGN)])
    model.export(tmp_path / "plain", verbose=False)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    (found,) = run(keras_ste.convert(tmp_path / "plain"), {"x": x}).values()
    np.testing.assert_allclose(found, model.predict(x, verbose=0), rtol=1e-5)
    with pytest.raises(NotPackedError, match="export_saved_model"):
        keras_ste.convert(tmp_path / "plain", strict=True)


def test_signatures_are_chosen_by_their_key(tmp_path):
    module = tf.Module()
    module.double = tf.function(lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec((None, 3), name="x")])
    module.triple = tf.function(lambda x: {"y": 3 * x}, input_signature=[tf.TensorSpec((None, 3), name="x")])
    both = {"double": module.double, "triple": module.triple}
    tf.saved_model.save(module, str(tmp_path / "two"), signatures=both)
    x = np.ones((2, 3), np.float32)
    converted = keras_ste.convert(tmp_path / "two", signature_key="triple")
    assert np.array_equal(run(converted, {"x": x})["y"], 3 * x)
    with pytest.raises(ValueError, match="no signature 'serving_default'; signature_key names one of: double, triple"):
        keras_ste.convert(tmp_path / "two")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_signature": tf.TensorSpec((None, 3))}, "input_signature is for models"),
        ({"verify": np.ones((1, 3))}, "verify compares with a Keras model"),
    ],
)
def test_what_a_saved_model_does_not_have(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        keras_ste.convert(tmp_path, **options)


def test_paths_without_a_saved_model(tmp_path):
    with pytest.raises(ValueError, match="no SavedModel in"):
        keras_ste.convert(tmp_path)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"keras\.models\.load_model"):
        keras_ste.convert(str(tmp_path / "model.keras"))
    with pytest.raises(ValueError, match="this is a model"):
        keras_ste.convert(model, signature_key="serving_default")
