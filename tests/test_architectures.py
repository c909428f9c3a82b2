"""Networks that no one here wrote, of keras.applications and keras_hub, from `quantize_model` to the interpreter."""

import functools
import json
import math

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


def images(name, count=6):
    """Pixels as the network takes them: EfficientNet divides them by 255 itself, to the others they are given scaled."""
    highest = 255 if name.startswith("EfficientNet") else 1
    return np.random.default_rng(0).uniform(0, highest, (count, *SIZE)).astype("float32")


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
    x = images(name)
    layers = check_kernels(model, train_a_step(model, x))
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    expected = model(x)
    np.testing.assert_array_equal(loaded(x), expected)
    converted = keras_ste.convert(loaded, strict=True)
    packed = {row.layer for row in converted.report.rows if row.op.startswith("Ste") and row.weight_bits}
    assert len(packed) == layers
    assert keras_ste.summary(loaded).macs == converted.report.macs
    np.testing.assert_allclose(run(converted.model_content, x), expected, rtol=1e-3, atol=1e-3)


def test_a_mobile_network_goes_the_whole_way(tmp_path):
    whole_way("MobileNet", "int8", tmp_path)


@pytest.mark.parametrize(("name", "scheme"), [("MobileNetV2", "lsq(4, 4)"), ("EfficientNetB0", "xnor")])
def test_every_kernel_is_quantized_and_trained(name, scheme):
    model = quantize_model(network(name), scheme, strict=True)
    assert check_kernels(model, train_a_step(model, images(name))) > 50


def test_resnet_is_the_same_network_with_its_normalizations_folded():
    model = quantize_model(network("ResNet50"), NOTHING.replace(fold_batch_norm=True), strict=True)
    assert sum(row.folded is not None for row in model.quantization_report.rows) == 53
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    x = images("ResNet50")
    np.testing.assert_allclose(model(x), network("ResNet50")(x), rtol=1e-3, atol=1e-4)


def test_the_summary_of_a_resnet_counts_what_its_layers_have():
    original = network("ResNet50")
    model = quantize_model(original, "ternary", strict=True)
    quiet = model.get_layer("conv3_block1_1_conv")
    quiet.kernel.assign(quiet.kernel * (np.arange(128) % 4 > 0))
    found = keras_ste.summary(model)
    rows = {row.layer.split("/")[-1]: row for row in found.rows}
    macs = {"8x8": 0, "2x8": 0}
    products = [layer for layer in original.layers if hasattr(layer, "kernel")]
    for layer in products:
        row, copy, count = rows[layer.name], model.get_layer(layer.name), math.prod(layer.kernel.shape)
        bits, encoding = (8, "signed") if layer in (products[0], products[-1]) else (2, "ternary")
        assert (row.kernel, row.channels) == (f"{bits} {encoding}", layer.kernel.shape[-1])
        assert (row.weights, row.kernel_bytes) == (count + row.channels, -(-count * bits // 8))
        assert row.bytes == row.kernel_bytes + 4 * row.channels
        assert row.macs == count * math.prod(layer.output.shape[1:-1])
        macs[row.mac_width] += row.macs
        if bits == 2:
            values = np.asarray(copy.quantized_kernel)
            assert row.ones == np.mean(values != 0)
            assert row.dead_channels == np.sum(~np.any(values, axis=(0, 1, 2)))
    assert found.macs == macs and rows[quiet.name].dead_channels == 32
    assert len(products) == 54 and len(found.rows) == len(rows) == 54 + 53
    assert str(found).count("BatchNormalization") == 53
    assert json.loads(found.to_json())["bytes"] == found.bytes == sum(row.bytes for row in found.rows)
    assert sum(bar.get_width() for bar in found.plot().axes[1].patches) == sum(macs.values())
    # Every layer with weights is in the report, and what is in float says why.
    report = model.quantization_report.rows
    assert len(report) == 54 + 53
    assert all(bool(row.reason) == (row.status != "quantized") for row in report)
    reasons = {row.reason for row in report if row.class_name == "BatchNormalization"}
    assert reasons == {"it has no kernel: its weights scale and shift"}


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


def tokens(length=TOKENS):
    ids = np.random.default_rng(0).integers(1, 20, (2, length)).astype("int32")
    return {"token_ids": ids, "padding_mask": np.ones_like(ids)}


@pytest.mark.parametrize("make", [gpt2, gemma])
def test_a_transformer_goes_the_whole_way_in_bitnet(make, tmp_path):
    model = make()
    nothing = quantize_model(model, NOTHING.keep("*embedding*"))
    np.testing.assert_allclose(nothing(tokens()), model(tokens()), rtol=1e-4, atol=1e-5)
    # Its positions are a table that is sliced, not multiplied.
    quantized = quantize_model(model, schemes.bitnet().keep("*position_embedding"), strict=True)
    kernels = [row for row in quantized.quantization_report.rows if row.class_name in ("Dense", "EinsumDense")]
    assert len(kernels) >= 6 and all(row.weights == "2 ternary" for row in kernels)
    check_kernels(quantized, train_a_step(quantized, tokens()))
    quantized.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(tokens()), quantized(tokens()))
    converted = keras_ste.convert(loaded, strict=True)
    packed = {row.layer for row in converted.report.rows if row.op == "SteFullyConnected"}
    assert packed == {row.layer.rpartition("/")[2] for row in kernels}
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    runner = interpreter.get_signature_runner("serving_default")
    for length in (TOKENS, TOKENS - 2):
        (result,) = runner(**tokens(length)).values()
        # A sum that is rounded otherwise can move a token's code by one.
        np.testing.assert_allclose(result, quantized(tokens(length)), rtol=1e-3, atol=1e-3)


def test_what_cannot_be_quantized_in_a_transformer_is_listed_and_strict_raises():
    report = quantize_model(gpt2(), "bitnet").quantization_report
    ((layer, reason),) = report.impossible
    assert layer.endswith("position_embedding")
    assert reason == "there is no quantized layer for PositionEmbedding: name one in layer_map"
    with pytest.raises(ValueError, match="there is no quantized layer for PositionEmbedding"):
        quantize_model(gpt2(), "bitnet", strict=True)
