"""QuantMultiHeadAttention and QuantGroupedQueryAttention: Keras's layers on quantized numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ste
from keras_ste import SteSign
from keras_ste.layers import QuantGroupedQueryAttention, QuantMultiHeadAttention

ONE_SCALE = SteSign(scale="mean_abs", scale_axis=None)
PRODUCTS = {"query_quantizer": "ste_sign", "key_quantizer": ONE_SCALE, "value_quantizer": "xnor_sign"}
CASES = {
    "multi_head": (QuantMultiHeadAttention, keras.layers.MultiHeadAttention, {"num_heads": 2, "key_dim": 3}),
    "gated": (
        QuantMultiHeadAttention,
        keras.layers.MultiHeadAttention,
        {"num_heads": 2, "key_dim": 3, "value_dim": 4, "use_gate": True, "output_shape": (3, 2), "use_bias": False},
    ),
    "grouped": (
        QuantGroupedQueryAttention,
        keras.layers.GroupQueryAttention,
        {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
    ),
}
each_layer = pytest.mark.parametrize("cls, base, arguments", CASES.values(), ids=CASES)
X = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")


def projections(layer):
    names = ("_query_dense", "_key_dense", "_value_dense", "_output_dense", "_gate_dense")
    return [getattr(layer, name) for name in names if hasattr(layer, name)]


@each_layer
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("quantizer", ["ste_sign", "xnor_sign"])
def test_it_is_the_float_layer_with_quantized_kernels(cls, base, arguments, causal, quantizer):
    layer = cls(**arguments, kernel_quantizer=quantizer)
    y = layer(X, X, use_causal_mask=causal)
    twin = base(**arguments)
    twin.build(X.shape, X.shape)
    twin.set_weights(layer.get_weights())
    for ours, theirs in zip(projections(layer), projections(twin), strict=True):
        assert len(np.unique(np.abs(ours.quantized_kernel))) < ours.kernel.shape[-1] + 1
        theirs.kernel.assign(ours.quantized_kernel)
    np.testing.assert_allclose(y, twin(X, X, use_causal_mask=causal), rtol=1e-5, atol=1e-5)
    # The products that quantize are the same computation where the quantizer changes nothing.
    explicit = cls(**arguments, kernel_quantizer=quantizer, query_quantizer=tf.identity)
    explicit.build(X.shape, X.shape)
    explicit.set_weights(layer.get_weights())
    np.testing.assert_allclose(explicit(X, X, use_causal_mask=causal), y, rtol=1e-5, atol=1e-5)


def test_products_of_attention_are_of_quantized_numbers():
    def eighths(x):
        return tf.round(x * 8) / 8

    layer = QuantMultiHeadAttention(2, 3, **PRODUCTS, scores_quantizer=eighths)
    y = layer(X, X)
    q, k, v = (projection(X) for projection in projections(layer)[:3])
    q, k, v = layer.query_quantizer(q), layer.key_quantizer(k), layer.value_quantizer(v)
    scores = tf.nn.softmax(tf.einsum("bthd,bshd->bhts", q, k) / np.sqrt(3.0))
    expected = layer.output_dense(tf.einsum("bhts,bshd->bthd", eighths(scores), v))
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@each_layer
def test_training_saving_and_conversion(cls, base, arguments, tmp_path):
    layer = cls(**arguments, input_quantizer="ste_sign", kernel_quantizer="xnor_sign", **PRODUCTS)
    inputs = keras.Input((5, 6))
    model = keras.Model(inputs, layer(inputs, inputs))
    before = [projection.kernel.numpy() for projection in projections(layer)]
    model.compile("sgd", "mse")
    history = model.fit(X, np.ones(model(X).shape), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for old, projection in zip(before, projections(layer), strict=True):
        assert not np.array_equal(old, projection.kernel)
    assert cls.from_config(layer.get_config()).get_config() == layer.get_config()
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(X), model(X))
    model.save_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(model)
    clone.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(clone(X), model(X))

    converted = keras_ste.convert(model)
    ((_, reason),) = converted.report.unpacked
    assert reason.startswith("there is no custom op for the products of attention: without quantizers")
    packed = [row for row in converted.report.rows if row.op == "SteFullyConnected"]
    assert len(packed) == len(projections(layer))
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], X.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], X)
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(result, model(X), atol=1e-4)
    with pytest.raises(ValueError, match="products of attention"):
        keras_ste.convert(model, strict=True)


@each_layer
def test_compiled_and_in_mixed_precision(cls, base, arguments):
    layer = cls(**arguments, kernel_quantizer="xnor_sign", query_quantizer=tf.identity)
    expected = layer(X, X)
    compiled = tf.function(layer, jit_compile=True)(tf.constant(X), tf.constant(X))
    np.testing.assert_allclose(compiled, expected, rtol=1e-4, atol=1e-5)
    mixed = cls(**arguments, input_quantizer="ste_sign", kernel_quantizer="ste_sign", dtype="mixed_bfloat16", **PRODUCTS)
    assert mixed(X, X).dtype == "bfloat16"
    assert {projection.kernel.dtype for projection in projections(mixed)} == {"float32"}


def test_flash_attention_with_quantizers_is_refused():
    with pytest.raises(ValueError, match="flash attention knows no quantizers"):
        QuantMultiHeadAttention(2, 3, flash_attention=True, query_quantizer="ste_sign")


@each_layer
def test_the_scale_of_a_token_is_one_where_its_heads_are_joined(cls, base, arguments):
    inputs = keras.Input(X.shape[1:])
    layer = cls(**arguments, input_quantizer="bitnet_activation", kernel_quantizer="bitnet_ternary")
    model = keras.Model(inputs, layer(inputs, inputs))
    assert layer._query_dense.input_quantizer.axis == -1
    assert layer._output_dense.input_quantizer.axis == (-2, -1)
    report = keras_ste.convert(model, strict=True, verify=X).report
    packed = [row for row in report.rows if row.op == "SteFullyConnected"]
    assert len(packed) == len(projections(layer)) and {row.mac_width for row in packed} == {"2x8"}
