"""`summary`: its numbers are those of models small enough to count by hand."""

import json

import keras
import numpy as np
import pytest

import keras_ste
from keras_ste.quantizers import BitnetTernary, Lsq, SteSign


def model():
    x = keras.Input((8, 8, 4))
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    y = keras_ste.QuantConv2D(6, 3, padding="same", strides=2, name="conv", **signs)(x)
    y = keras.layers.BatchNormalization(name="norm")(y)
    y = keras_ste.QuantDepthwiseConv2D(3, depthwise_quantizer=Lsq(4), use_bias=False, name="depthwise")(y)
    y = keras.layers.Conv2D(5, 1, name="plain")(y)
    y = keras.layers.GlobalAveragePooling2D()(y)
    y = keras_ste.QuantDense(3, kernel_quantizer=BitnetTernary(), input_quantizer=Lsq(8), name="dense")(y)
    return keras.Model(x, y, name="net")


def test_widths_sizes_and_multiply_adds():
    rows = {row.layer: row for row in keras_ste.summary(model()).rows}
    conv, norm, depthwise, plain, dense = (rows[name] for name in ("conv", "norm", "depthwise", "plain", "dense"))
    assert (conv.input, conv.kernel, conv.weights, conv.bytes) == ("1 bipolar", "1 bipolar", 222, 216 // 8 + 24)
    assert (conv.macs, conv.mac_width, conv.ones, conv.channels) == (16 * 216, "1x1", 1.0, 6)
    assert (norm.kernel, norm.weights, norm.bytes, norm.macs, norm.ones) == ("", 24, 96, 0, None)
    assert (depthwise.input, depthwise.kernel, depthwise.bytes) == ("float32", "4 signed", 27)
    assert (depthwise.macs, depthwise.mac_width) == (4 * 54, "4x32")
    assert (plain.kernel, plain.bytes, plain.macs, plain.mac_width) == ("float32", 4 * 35, 4 * 30, "32x32")
    assert (dense.input, dense.kernel, dense.bytes, dense.macs) == ("8 signed", "2 ternary", 4 + 12, 15)
    found = keras_ste.summary(model())
    assert found.macs == {"1x1": 3456, "4x32": 216, "32x32": 120, "2x8": 15}
    assert (found.weights, found.bytes) == (222 + 24 + 54 + 35 + 18, 51 + 96 + 27 + 140 + 16)


def test_shares_of_ones_and_dead_channels_are_those_of_the_codes():
    net = model()
    dense = net.get_layer("dense")
    dense.kernel.assign(np.array([[3, 0, 0], [0, 0, -3], [0, 0, 0], [3, 0, 0], [0, 0, 0]]))
    plain = net.get_layer("plain")
    plain.kernel.assign(plain.kernel * np.array([1, 0, 1, 0, 1]))
    rows = {row.layer: row for row in keras_ste.summary(net).rows}
    assert rows["dense"].ones == pytest.approx(3 / 15)
    assert (rows["dense"].dead_channels, rows["dense"].channels) == (1, 3)


@pytest.mark.parametrize("quantized", [False, True])
def test_products_of_other_layers_count(quantized):
    of = keras_ste if quantized else keras.layers
    name = "Quant" * quantized
    x = keras.Input((7, 4))
    y = getattr(of, f"{name}LSTM")(3, return_sequences=True)(x)
    y = getattr(of, f"{name}MultiHeadAttention")(2, 5)(y, y)
    y = getattr(of, f"{name}Conv1DTranspose")(4, 2, strides=2)(y)
    y = getattr(of, f"{name}SeparableConv1D")(6, 3)(y)
    y = getattr(of, f"{name}EinsumDense")("btc,chd->bthd", (12, 2, 3))(y)
    found = keras_ste.summary(keras.Model(x, y))
    counted = {row.class_name.removeprefix("Quant"): row.macs for row in found.rows}
    assert counted["LSTMCell"] == 7 * (4 * 12 + 3 * 12)
    assert counted["MultiHeadAttention"] == 2 * 7 * 7 * (5 + 5)
    assert counted["Conv1DTranspose"] == 7 * 2 * 4 * 3
    assert counted["SeparableConv1D"] == 12 * (3 * 4 + 4 * 6)
    dense = [row.macs for row in found.rows if row.class_name.endswith("EinsumDense")]
    assert sorted(dense) == [7 * 3 * 10] * 4 + [12 * 6 * 6]


def test_the_converted_file_has_the_same_multiply_adds():
    net = keras.Sequential(
        [
            keras.Input((9, 9, 3)),
            keras_ste.QuantConv2D(4, 3, kernel_quantizer="ste_sign", name="conv"),
            keras_ste.QuantDepthwiseConv2D(3, strides=2, input_quantizer="ste_sign", depthwise_quantizer="ste_sign"),
            keras.layers.Flatten(),
            keras_ste.QuantDense(5, input_quantizer=SteSign(), kernel_quantizer="ste_sign"),
        ]
    )
    assert keras_ste.summary(net).macs == keras_ste.convert(net).report.macs


def test_products_of_one_layer_have_widths_of_their_own():
    x = keras.Input((9, 9, 3))
    y = keras_ste.QuantSeparableConv2D(
        8,
        3,
        name="separable",
        input_quantizer=Lsq(4),
        depthwise_quantizer=Lsq(8),
        intermediate_quantizer="ste_sign",
        pointwise_quantizer="ste_sign",
    )(x)
    net = keras.Model(x, y)
    found = keras_ste.summary(net)
    (row,) = found.rows
    assert row.macs_by_width == {"8x4": 49 * 27, "1x1": 49 * 24} == found.macs == keras_ste.convert(net).report.macs
    assert (row.macs, row.mac_width) == (49 * 51, "8x4, 1x1")
    assert json.loads(found.to_json())["rows"][0]["macs_by_width"] == row.macs_by_width
    pytest.importorskip("matplotlib")
    bars = found.plot().axes[1].patches
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [(0, 49 * 27), (49 * 27, 49 * 24)]


def test_a_recurrent_layer_multiplies_inputs_and_states():
    quantized = {"input_quantizer": Lsq(8), "kernel_quantizer": "ste_sign", "state_quantizer": "ste_sign"}
    layer = keras_ste.QuantLSTM(3, recurrent_quantizer=Lsq(4), **quantized)
    found = keras_ste.summary(keras.Sequential([keras.Input((7, 4)), layer]))
    assert found.macs == {"1x8": 7 * 4 * 12, "4x1": 7 * 3 * 12}


def test_as_text_json_and_picture():
    found = keras_ste.summary(model())
    text = str(found).splitlines()
    assert text[0].split()[:8] == ["layer", "class", "input", "kernel", "weights", "bytes", "MACs", "width"]
    assert text[-1] == "total: 353 weights, 330 bytes; MACs: 3,456 1x1, 216 4x32, 120 32x32, 15 2x8"
    assert len(text) == 3 + len(found.rows)
    assert json.loads(found.to_json())["rows"][0]["layer"] == "conv"
    pytest.importorskip("matplotlib")
    left, right = found.plot().axes
    assert sum(bar.get_width() for bar in left.patches) == found.bytes
    assert sum(bar.get_width() for bar in right.patches) == sum(found.macs.values())
    assert [label.get_text() for label in left.get_yticklabels()] == [row.layer for row in found.rows]


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="Keras 3 model"):
        keras_ste.summary(keras.layers.Dense(2))
    with pytest.raises(ValueError, match="no weights yet"):
        keras_ste.summary(keras.Sequential([keras.layers.Dense(2)]))
