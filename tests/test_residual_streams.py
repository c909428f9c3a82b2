"""Residual networks whose stream is quantized have no float tensor between their first and their last layer."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_code_conversion import examples, run
from test_packed_streams import floats_inside, model_of, norm

import keras_ste
from keras_ste import QuantActivation, QuantConv2D, QuantDense
from keras_ste.converter.graph import read_model
from keras_ste.optimization import calibrate, quantize_model, schemes
from keras_ste.quantizers import Lsq, UniformQuantizer

L = keras.layers
SHAPE = (12, 12, 3)


def conv(x, filters, bits, size=3, strides=1, step=0.5):
    """A convolution of a step of its own, and batch normalization."""
    layer = QuantConv2D(
        filters, size, strides, padding="same", use_bias=False,
        kernel_quantizer=Lsq(bits, initial_step=0.1, narrow_range=True, scale_axis=-1),
        input_quantizer=Lsq(bits, initial_step=step, signed=False),
    )  # fmt: skip
    return norm(layer(x))


def codes(x, bits, step, signed=False):
    return QuantActivation(Lsq(bits, initial_step=step, signed=signed))(x)


def head(x, bits):
    """The last layer, of 8 bits as schemes have it."""
    return QuantDense(5, kernel_quantizer=UniformQuantizer(8, 0.01), input_quantizer=Lsq(8, initial_step=0.02))(
        L.Flatten()(codes(x, bits, 0.4))
    )


def one_quantizer(x, bits):
    """A quantizer behind each addition, of a scale that is no power of two."""
    x = codes(conv(x, 33, bits, step=0.4), bits, 0.6)
    for filters, strides in ((33, 1), (40, 2), (40, 1)):
        y = conv(L.ReLU()(conv(x, filters, bits, strides=strides)), filters, bits)
        shortcut = x if strides == 1 else codes(conv(x, filters, bits, 1, 2, 0.7), bits, 0.9, signed=True)
        x = codes(L.ReLU()(L.Add()([shortcut, y])), bits, 0.6)
    return head(x, bits)


def pooled_shortcuts(x, bits):
    """Shortcuts without weights, through pools."""
    x = codes(conv(x, 20, bits, step=0.4), bits, 0.6)
    for _ in range(2):
        y = conv(L.ReLU()(conv(x, 20, bits, strides=2)), 20, bits)
        x = codes(L.Add()([y, L.MaxPooling2D(2)(x)]), bits, 0.6)
    return head(x, bits)


def several_readers(x, bits):
    """A stream of numbers that layers and shortcuts quantize each in its own way."""
    x = conv(x, 33, bits, step=0.4)
    for step in (0.5, 0.7):
        y = codes(conv(L.ReLU()(conv(x, 33, bits, step=step)), 33, bits, step=0.3), bits, 0.8, signed=True)
        x = L.ReLU()(L.Add()([y, codes(x, bits, 0.9, signed=True)]))
    return head(x, bits)


def normalized(x, bits):
    """A DenseNet: everything so far, normalized and quantized anew for every layer."""
    x = conv(x, 20, bits, step=0.4)
    for step in (0.5, 0.7)[: 3 - bits // 2]:
        x = L.Concatenate()([x, conv(L.ReLU()(norm(x)), 9, bits, step=step)])
    return QuantDense(5, kernel_quantizer=UniformQuantizer(8, 0.01), input_quantizer=Lsq(bits, initial_step=0.3))(
        L.Flatten()(L.MaxPooling2D(2)(x))
    )


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("network", [one_quantizer, pooled_shortcuts, several_readers, normalized])
def test_no_float_tensor_between_the_first_and_the_last_layer(network, bits):
    check(model_of(lambda x: network(x, bits), SHAPE))


def check(model):
    converted = keras_ste.convert(model, strict=True)
    assert floats_inside(converted.model_content) == []
    x = examples(SHAPE, "float32", 0, 20)
    expected = model(x).numpy()
    np.testing.assert_array_equal(run(converted, x), expected)
    assert len(np.unique(expected)) > 20


def float_network():
    """ResNet's blocks, in float."""

    def layer(x, filters, size=3, strides=1):
        return L.BatchNormalization()(L.Conv2D(filters, size, strides, padding="same", use_bias=False)(x))

    inputs = keras.Input(SHAPE, name="x")
    x = L.ReLU()(layer(inputs, 20))
    for filters, strides in ((20, 1), (33, 2)):
        y = layer(L.ReLU()(layer(x, filters, strides=strides)), filters)
        x = L.ReLU()(L.Add()([y, x if strides == 1 else layer(x, filters, 1, 2)]))
    return keras.Model(inputs, L.Dense(5)(L.Flatten()(x)))


@pytest.mark.parametrize("bits", [2, 4])
def test_schemes_with_quantizers_at_additions(bits):
    keras.utils.set_random_seed(5)
    scheme = schemes.lsq(bits, bits, merge=Lsq(bits, initial_step=0.5))
    model = quantize_model(float_network(), scheme)
    calibrate(model, examples(SHAPE, "float32", 1, 20))
    check(model)


quantizers = st.builds(
    lambda bits, step, signed: UniformQuantizer(bits + signed, step, signed=signed),
    st.integers(1, 3), st.floats(0.1, 2), st.booleans(),
)  # fmt: skip


@settings(max_examples=8)
@given(st.lists(st.tuples(quantizers, st.booleans(), st.booleans()), min_size=2, max_size=4), st.integers(0, 99))
def test_a_stream_is_quantized_once_for_all_readers(readers, seed):
    """Behind normalizations that rise and fall, and clamps."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((6, 6, 8), dtype="int8", name="x")
    kernel = UniformQuantizer(3, 0.5)
    x = QuantConv2D(9, 3, kernel_quantizer=kernel, kernel_initializer="random_normal")(x)
    results = []
    for quantizer, normalized, clamped in readers:
        y = norm(x) if normalized else x
        y = L.ReLU()(y) if clamped else y
        y = QuantConv2D(4, 1, kernel_quantizer=kernel, input_quantizer=quantizer, kernel_initializer="random_normal")(y)
        results.append(L.Flatten()(y))
    model = keras.Model(inputs, L.Concatenate()(results))
    converted = keras_ste.convert(model, strict=True)
    x = examples((6, 6, 8), "int8", seed)
    np.testing.assert_array_equal(run(converted, x), model(x).numpy())
    (graph,) = read_model(converted.model_content).graphs
    first = next(op for op in graph.ops if op.name == "SteConv2D")
    borders = sum(2**quantizer.bits - 1 for quantizer, *_ in readers)
    if borders <= 31:
        assert [tensor.type_name for tensor in first.outputs] == ["int32"]


def test_codes_are_rounded_to_bytes_as_codes():
    def build(x):
        x = conv(x, 20, 4, step=0.4)
        bytes_of = lambda x, step: codes(x, 8, step, signed=True)  # noqa: E731
        x = L.Add()([bytes_of(bytes_of(x, 0.03), 0.05), codes(codes(x, 4, 0.3), 8, 0.07)])
        return QuantDense(5, kernel_quantizer=UniformQuantizer(8, 0.01), input_quantizer=Lsq(8, initial_step=0.02))(x)

    model = model_of(build, SHAPE)
    converted = keras_ste.convert(model, strict=True)
    x = examples(SHAPE, "float32", 0, 20)
    np.testing.assert_array_equal(run(converted, x), model(x).numpy())
    assert "SteDequantize" not in [row.op for row in converted.report.rows]
