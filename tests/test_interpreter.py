"""keras_ste.Interpreter and the delegate in stock interpreters: whole models, and what goes wrong."""

import builtins
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ste
from keras_ste import QuantConv2D, QuantDense
from keras_ste.runtime import library_path, load_delegate

BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "use_bias": False}


def convnet():
    """First layer on pixels, binary layers behind it, channel counts that fill no word, one float head."""
    layers = [
        keras.Input((12, 10, 3), dtype="uint8"),
        QuantConv2D(33, 3, strides=2, padding="same", kernel_quantizer="ste_sign"),
        keras.layers.BatchNormalization(),
        QuantConv2D(100, 3, padding="same", pad_values=1, **BINARY),
        keras.layers.MaxPooling2D(),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        QuantDense(31, **BINARY),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(4),
    ]
    model = keras.Sequential(layers)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.gamma.assign(rng.choice([-1.0, 0.0, 0.5, 2.0], n))
            layer.beta.assign(rng.normal(size=n))
            layer.moving_mean.assign(3 * rng.normal(size=n))
            layer.moving_variance.assign(rng.uniform(0.1, 50, n))
    return model


@pytest.fixture(scope="module")
def model():
    return convnet()


@pytest.fixture(scope="module")
def converted(model):
    return keras_ste.convert(model, strict=True)


def pixels(batch, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (batch, 12, 10, 3), np.uint8)


def predict(interpreter, x):
    (detail,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(detail["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("runtime", ["litert", "tflite"])
def test_one_interpreter_for_any_batch_size(model, converted, runtime):
    if runtime == "litert":
        interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    else:
        interpreter = tf.lite.Interpreter(
            model_content=converted.model_content, experimental_delegates=[load_delegate("tflite")]
        )
    for batch in (1, 5, 2, 64):
        x = pixels(batch, seed=batch)
        np.testing.assert_allclose(predict(interpreter, x), model(x), rtol=0, atol=1e-4)


def test_both_runtimes_and_any_number_of_threads_give_the_same_bits(converted):
    x = pixels(16)
    content = converted.model_content
    stock = tf.lite.Interpreter(model_content=content, experimental_delegates=[load_delegate("tflite")])
    expected = predict(stock, x)
    for threads in (None, 1, 2, 3):
        result = predict(keras_ste.Interpreter(model_content=content, num_threads=threads), x)
        np.testing.assert_array_equal(result, expected)


def test_interpreters_run_side_by_side(converted):
    batches = [pixels(4, seed) for seed in range(4)]
    expected = [predict(keras_ste.Interpreter(model_content=converted.model_content), x) for x in batches]
    results = [None] * len(batches)

    def work(i):
        interpreter = keras_ste.Interpreter(model_content=converted.model_content, num_threads=2)
        for _ in range(20):
            results[i] = predict(interpreter, batches[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


def test_signatures(model, converted):
    runner = keras_ste.Interpreter(model_content=converted.model_content).get_signature_runner()
    x = pixels(3)
    (name,) = runner.get_input_details()
    (result,) = runner(**{name: x}).values()
    np.testing.assert_allclose(result, model(x), rtol=0, atol=1e-4)


def test_a_path_is_as_good_as_bytes(converted, tmp_path):
    path = tmp_path / "model.tflite"
    converted.save(path)
    x = pixels(2)
    expected = predict(keras_ste.Interpreter(model_content=converted.model_content), x)
    for named in (path, str(path)):
        np.testing.assert_array_equal(predict(keras_ste.Interpreter(model_path=named), x), expected)
    np.testing.assert_array_equal(predict(keras_ste.Interpreter(str(path)), x), expected)


def test_float_models_run_too():
    float_model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    content = tf.lite.TFLiteConverter.from_keras_model(float_model).convert()
    x = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    np.testing.assert_allclose(
        predict(keras_ste.Interpreter(model_content=content), x), float_model(x), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "either model_path or model_content"),
        ({"model_path": "a", "model_content": b"b"}, ValueError, "either model_path or model_content"),
        ({"model_path": "no/such.tflite"}, FileNotFoundError, "no model file 'no/such.tflite'"),
        ({"model_content": "text"}, TypeError, "takes the bytes of a .tflite file, got str"),
        ({"model_content": b"no model at all"}, ValueError, "(?i)model"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        keras_ste.Interpreter(**arguments)


def test_a_converted_model_in_place_of_its_bytes(converted):
    with pytest.raises(TypeError, match="attribute model_content"):
        keras_ste.Interpreter(model_content=converted)


def test_a_missing_library_says_how_to_get_it(converted, monkeypatch):
    monkeypatch.setenv("KERAS_STE_LIBRARY", "/no/such/library.so")
    with pytest.raises(FileNotFoundError, match="KERAS_STE_LIBRARY names '/no/such/library.so'"):
        keras_ste.Interpreter(model_content=converted.model_content)
    monkeypatch.delenv("KERAS_STE_LIBRARY")
    monkeypatch.setattr("keras_ste.runtime.native.LIBRARY", "not_built.so")
    with pytest.raises(FileNotFoundError, match=r"pip install \."):
        library_path()


def test_a_library_named_by_the_environment(converted, monkeypatch):
    monkeypatch.setenv("KERAS_STE_LIBRARY", str(library_path()))
    assert predict(keras_ste.Interpreter(model_content=converted.model_content), pixels(1)).shape == (1, 4)


def test_litert_missing(monkeypatch):
    real_import = builtins.__import__

    def without_litert(name, *args, **kwargs):
        if name.startswith("ai_edge_litert"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_litert)
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        load_delegate()


def test_unknown_runtime():
    with pytest.raises(ValueError, match='"litert" or "tflite", got \'onnx\''):
        load_delegate("onnx")


def test_a_stock_interpreter_without_the_delegate_names_the_op(converted):
    with pytest.raises((RuntimeError, ValueError), match="SteConv2D"):
        interpreter = tf.lite.Interpreter(model_content=converted.model_content)
        interpreter.allocate_tensors()


def test_the_file_is_a_sixth_of_int8_where_binary_layers_dominate():
    def net(conv, **binary):
        layers = [keras.Input((28, 28, 1)), keras.layers.Conv2D(32, 3), keras.layers.BatchNormalization()]
        for filters in (64, 128, 256):
            layers += [conv(filters, 3, padding="same", use_bias=False, **binary), keras.layers.BatchNormalization()]
            layers += [] if binary else [keras.layers.ReLU()]
        return keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)])

    binary = net(QuantConv2D, input_quantizer="ste_sign", kernel_quantizer="ste_sign")
    converter = tf.lite.TFLiteConverter.from_keras_model(net(keras.layers.Conv2D))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    rng = np.random.default_rng(0)
    converter.representative_dataset = lambda: ([rng.normal(size=(1, 28, 28, 1)).astype(np.float32)] for _ in range(5))
    int8 = converter.convert()
    assert len(keras_ste.convert(binary).model_content) <= len(int8) / 6
