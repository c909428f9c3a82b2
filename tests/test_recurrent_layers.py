"""QuantLSTM and QuantGRU: Keras's layers on quantized numbers, whatever their arguments, and never a fused path."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ste
from keras_ste.layers import QuantGRU, QuantGRUCell, QuantLSTM, QuantLSTMCell

SIGNS = {"kernel_quantizer": "ste_sign", "recurrent_quantizer": "ste_sign"}
SCALED = {"kernel_quantizer": "xnor_sign", "recurrent_quantizer": "xnor_sign"}
CASES = {
    "lstm": (QuantLSTM, keras.layers.LSTM, {}),
    "lstm_no_bias": (QuantLSTM, keras.layers.LSTM, {"use_bias": False, "return_sequences": True}),
    "gru": (QuantGRU, keras.layers.GRU, {}),
    "gru_reset_before": (QuantGRU, keras.layers.GRU, {"reset_after": False}),
    "gru_backwards": (QuantGRU, keras.layers.GRU, {"implementation": 1, "go_backwards": True, "unroll": True}),
}
each_layer = pytest.mark.parametrize("cls, base, arguments", CASES.values(), ids=CASES)
X = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")


def sign(x):
    return np.where(x >= 0, 1, -1).astype("float32")


@each_layer
@pytest.mark.parametrize("quantizers", [SIGNS, SCALED], ids=["signs", "scaled"])
def test_it_is_the_float_layer_on_quantized_numbers(cls, base, arguments, quantizers):
    layer = cls(6, input_quantizer="ste_sign", **quantizers, **arguments)
    y = layer(X)
    twin = base(6, **arguments)
    twin.build(X.shape)
    twin.set_weights(layer.get_weights())
    twin.cell.kernel.assign(layer.quantized_kernel)
    twin.cell.recurrent_kernel.assign(layer.quantized_recurrent_kernel)
    np.testing.assert_allclose(y, twin(sign(X)), rtol=1e-5, atol=1e-6)
    assert not np.array_equal(layer.kernel, layer.quantized_kernel)
    compiled = tf.function(layer, jit_compile=True)(tf.constant(X))
    np.testing.assert_allclose(compiled, y, rtol=1e-5, atol=1e-5)


def test_states_are_quantized_where_they_meet_the_kernel():
    layer = QuantGRU(6, state_quantizer="ste_sign", return_sequences=True, **SIGNS)
    y = layer(X).numpy()
    kernel, recurrent = layer.quantized_kernel.numpy(), layer.quantized_recurrent_kernel.numpy()
    h = np.zeros((3, 6))
    for step in range(5):
        x_parts = np.split(X[:, step] @ kernel, 3, axis=1)
        h_parts = np.split(sign(h) @ recurrent, 3, axis=1)
        update, reset = (1 / (1 + np.exp(-(x_parts[i] + h_parts[i]))) for i in range(2))
        h = update * h + (1 - update) * np.tanh(x_parts[2] + reset * h_parts[2])
        np.testing.assert_allclose(y[:, step], h, rtol=1e-4, atol=1e-5)


def test_dropped_inputs_count_nothing():
    """Quantized after the mask, a dropped input would be sign(0) = 1."""
    layer = QuantLSTM(6, input_quantizer="ste_sign", dropout=1 - 1e-7, unit_forget_bias=False, **SIGNS)
    np.testing.assert_array_equal(layer(X, training=True), np.zeros((3, 6)))
    assert np.abs(layer(X, training=False)).max() > 0


@each_layer
@pytest.mark.parametrize("jit_compile", [False, True])
def test_training_and_saving(cls, base, arguments, jit_compile, tmp_path):
    layer = cls(6, input_quantizer="ste_sign", state_quantizer="ste_sign", **SCALED, **arguments)
    model = keras.Sequential([keras.Input((5, 4)), layer, keras.layers.Dense(2)])
    before = [layer.kernel.numpy(), layer.recurrent_kernel.numpy()]
    model.compile("sgd", "mse", jit_compile=jit_compile)
    history = model.fit(X, np.ones(model(X).shape), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert not np.array_equal(before[0], layer.kernel) and not np.array_equal(before[1], layer.recurrent_kernel)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(X), model(X))
    model.save_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(model)
    clone.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(clone(X), model(X))
    assert cls.from_config(layer.get_config()).get_config() == layer.get_config()


@each_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(cls, base, arguments, policy):
    layer = cls(6, input_quantizer="ste_sign", dtype=policy, **SIGNS, **arguments)
    assert layer(X).dtype.name == policy.removeprefix("mixed_") and layer.kernel.dtype == "float32"
    assert set(np.unique(layer.quantized_kernel)) == {-1.0, 1.0}


def test_cells_work_in_keras_s_layer():
    for cell_class, layer_class in [(QuantLSTMCell, QuantLSTM), (QuantGRUCell, QuantGRU)]:
        layer = layer_class(6, **SCALED)
        y = layer(X)
        plain = keras.layers.RNN(cell_class(6, **SCALED))
        plain.build(X.shape)
        plain.set_weights(layer.get_weights())
        np.testing.assert_array_equal(plain(X), y)


def test_cudnn_is_refused_and_a_mask_is_kept():
    with pytest.raises(ValueError, match="cannot use cuDNN"):
        QuantLSTM(4, use_cudnn=True)
    layer = QuantLSTM(6, **SIGNS)
    mask = np.array([[True] * 5, [True] * 3 + [False] * 2, [True] * 5])
    y = layer(X, mask=mask)
    np.testing.assert_allclose(y[1], layer(X[:, :3])[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("unroll", [False, True])
def test_conversion(unroll):
    """A loop needs a fixed batch in TFLite, an unrolled one does not."""
    for cls in (QuantLSTM, QuantGRU):
        layer = cls(6, input_quantizer="ste_sign", unroll=unroll, **SIGNS)
        model = keras.Sequential([keras.Input((5, 4)), layer])
        signature = None if unroll else tf.TensorSpec(X.shape, tf.float32)
        converted = keras_ste.convert(model, input_signature=signature)
        assert not converted.report.unpacked
        ops = [row.op for row in converted.report.rows]
        assert ops.count("SteFullyConnected") == (2 * 5 if unroll else 2)
        interpreter = keras_ste.Interpreter(model_content=converted.model_content)
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], X.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], X)
        interpreter.invoke()
        result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        np.testing.assert_allclose(result, model(X), atol=1e-6)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("cls", [QuantLSTM, QuantGRU])
def test_conversion_for_a_board(cls, unroll):
    """TFLite Micro runs both with a batch of fixed size, loops too."""
    pytest.importorskip("tflite_micro")
    layer = cls(6, input_quantizer="ste_sign", state_quantizer="ste_sign", unroll=unroll, **SIGNS)
    model = keras.Sequential([keras.Input((5, 4)), layer])
    converted = keras_ste.convert(model, strict=True, input_signature=tf.TensorSpec((1, 5, 4), tf.float32))
    micro = keras_ste.MicroInterpreter(model_content=converted.model_content)
    micro.set_input(X[:1], 0)
    micro.invoke()
    np.testing.assert_allclose(micro.get_output(0), model(X[:1]), atol=1e-6)
