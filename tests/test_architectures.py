"""Networks that no one here wrote, of keras.applications and keras_hub, from `quantize_model` to the interpreter."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ste
from keras_ste.layers.common import QuantizedLayer
from keras_ste.optimization import LayerScheme, Scheme, quantize_model, schemes

SIZE = (32, 32, 3)
SMALL = {"weights": None, "input_shape": SIZE, "classes": 4}
NETWORKS = {
    "MobileNet": functools.partial(keras.applications.MobileNet, alpha=0.25, **SMALL),
    "MobileNetV2": functools.partial(keras.applications.MobileNetV2, alpha=0.35, **SMALL),
    "ResNet50": functools.partial(keras.applications.ResNet50, **SMALL),
    "EfficientNetB0": functools.partial(keras.applications.EfficientNetB0, **SMALL),
}
SCHEMES = ["binary", "xnor", "ternary", "bitnet", "dorefa(1, 2)", "lsq(4, 4)", "w4a8", "int8"]
FLOAT = LayerScheme()
NOTHING = Scheme("nothing", FLOAT, first=FLOAT, last=FLOAT, embeddings=FLOAT)


def images(count=6):
    return np.random.default_rng(0).uniform(0, 1, (count, *SIZE)).astype("float32")


def train_a_step(model, x):
    """One step without a graph, which takes longer to make than to run; returns the gradients by variable."""
    model(x, training=True)
    with tf.GradientTape() as tape:
        result = model(x, training=True)
        weights = np.random.default_rng(1).normal(size=result.shape).astype("float32")
        loss = tf.reduce_mean(tf.square(result - weights))
    variables = model.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    assert all(gradient is not None for gradient in gradients)
    keras.optimizers.SGD(1e-3).apply([tf.convert_to_tensor(gradient) for gradient in gradients], variables)
    return {v.path: tf.convert_to_tensor(gradient) for v, gradient in zip(variables, gradients, strict=True)}


def check_kernels(model, gradients):
    """Every kernel is quantized, and hears of the loss."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, QuantizedLayer)]
    for layer in layers:
        for argument in layer.quantized_weights:
            kernel = tf.convert_to_tensor(layer._weight(argument))
            quantizer = getattr(layer, argument)
            integers, _ = quantizer.factors(kernel)
            assert np.array_equal(integers, np.rint(integers)), layer.path
            assert len(np.unique(integers)) <= 2**quantizer.spec.bits, layer.path
    heard = [np.any(gradient) for path, gradient in gradients.items() if path.endswith(("kernel", "step", "gamma"))]
    # Some channels and whole kernels of a deep random network are dead by chance.
    assert len(heard) and np.mean(heard) > 0.8
    return len(layers)


def run(content, x):
    interpreter = keras_ste.Interpreter(model_content=content)
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(result["index"])


@functools.cache
def network(name):
    keras.utils.set_random_seed(0)
    return NETWORKS[name]()


def whole_way(name, scheme, folder):
    model = quantize_model(network(name), scheme, strict=True)
    x = images()
    layers = check_kernels(model, train_a_step(model, x))
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    expected = model(x)
    np.testing.assert_array_equal(loaded(x), expected)
    converted = keras_ste.convert(loaded, strict=True)
    packed = {row.layer for row in converted.report.rows if row.op.startswith("Ste") and row.weight_bits}
    assert len(packed) == layers
    np.testing.assert_allclose(run(converted.model_content, x), expected, rtol=1e-3, atol=1e-3)


def test_a_mobile_network_goes_the_whole_way(tmp_path):
    whole_way("MobileNet", "int8", tmp_path)


@pytest.mark.parametrize(("name", "scheme"), [("MobileNetV2", "lsq(4, 4)"), ("EfficientNetB0", "xnor")])
def test_every_kernel_is_quantized_and_trained(name, scheme):
    model = quantize_model(network(name), scheme, strict=True)
    assert check_kernels(model, train_a_step(model, images())) > 50


def test_resnet_is_the_same_network_with_its_normalizations_folded():
    model = quantize_model(network("ResNet50"), NOTHING.replace(fold_batch_norm=True), strict=True)
    assert sum(row.folded is not None for row in model.quantization_report.rows) == 53
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    np.testing.assert_allclose(model(images()), network("ResNet50")(images()), rtol=1e-3, atol=1e-4)


@pytest.mark.exhaustive
@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_goes_the_whole_way_with_every_scheme(name, scheme, fold, tmp_path):
    whole_way(name, schemes.get(scheme).replace(fold_batch_norm=fold), tmp_path)


# Transformers

TOKENS = 6


def gpt2():
    keras_hub = pytest.importorskip("keras_hub", reason="pip install keras-hub")
    return keras_hub.models.GPT2Backbone(
        vocabulary_size=20, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16, max_sequence_length=TOKENS
    )


def gemma():
    keras_hub = pytest.importorskip("keras_hub", reason="pip install keras-hub")
    return keras_hub.models.GemmaBackbone(
        vocabulary_size=20,
        num_layers=1,
        num_query_heads=2,
        num_key_value_heads=1,
        hidden_dim=8,
        intermediate_dim=16,
        head_dim=4,
    )


def tokens():
    ids = np.random.default_rng(0).integers(1, 20, (2, TOKENS)).astype("int32")
    return {"token_ids": ids, "padding_mask": np.ones_like(ids)}


@pytest.mark.parametrize("make", [gpt2, gemma])
def test_a_transformer_becomes_bitnet(make, tmp_path):
    model = make()
    nothing = quantize_model(model, NOTHING.keep("*embedding*"))
    np.testing.assert_allclose(nothing(tokens()), model(tokens()), rtol=1e-4, atol=1e-5)
    quantized = quantize_model(model, "bitnet")
    assert {reason for _, reason in quantized.quantization_report.impossible} <= {
        "there is no quantized layer for PositionEmbedding: name one in layer_map"
    }
    kernels = [row for row in quantized.quantization_report.rows if row.class_name in ("Dense", "EinsumDense")]
    assert len(kernels) >= 6 and all(row.weights == "2 ternary" for row in kernels)
    check_kernels(quantized, train_a_step(quantized, tokens()))
    quantized.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(tokens()), quantized(tokens()))


def test_gpt2_converts_but_for_its_attention():
    model = quantize_model(gpt2(), "bitnet")
    converted = keras_ste.convert(model)
    products = {row.layer for row in converted.report.rows if row.op == "SteFullyConnected"}
    assert products >= {"query", "key", "value", "feedforward_intermediate_dense", "feedforward_output_dense"}
    # What is left in float is the projection behind the heads, whose tokens are two axes.
    assert {layer for layer, _ in converted.report.unpacked} <= {"attention_output"}
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    runner = interpreter.get_signature_runner("serving_default")
    (result,) = runner(**tokens()).values()
    np.testing.assert_allclose(result, model(tokens()), rtol=1e-3, atol=1e-3)
