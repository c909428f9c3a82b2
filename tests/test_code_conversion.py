"""keras_ste.convert on integers of any width: random layers are packed, and the file computes what Keras computes."""

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st

import keras_ste
from keras_ste import (
    QuantConv1D,
    QuantConv1DTranspose,
    QuantConv2D,
    QuantConv2DTranspose,
    QuantDense,
    QuantDepthwiseConv1D,
    QuantDepthwiseConv2D,
    QuantEinsumDense,
)
from keras_ste.codes import Codes, codes_of, float_thresholds
from keras_ste.converter.graph import read_model
from keras_ste.layers.code_books import NoCodes, code_book, quantized_input
from keras_ste.models import bitnet_transformer
from keras_ste.quantizers import (
    TWN,
    AffineQuantizer,
    BitnetActivation,
    BitnetTernary,
    DorefaActivation,
    DorefaWeight,
    Lsq,
    N2uq,
    Pact,
    QuantSpec,
    Sawb,
    SteHeaviside,
    SteSign,
    SteTern,
    UniformQuantizer,
)

ROUNDINGS = st.sampled_from(["nearest", "floor", "ceil", "to_zero"])
scales = st.floats(0.05, 2.0, width=32)
# Weights, the axis of their scales left open.
kernels = st.one_of(
    st.sampled_from([SteSign, BitnetTernary, SteTern]).map(lambda make: lambda axis: make()),
    st.builds(lambda bits: lambda axis: DorefaWeight(bits), st.integers(2, 8)),
    st.builds(lambda bits: lambda axis: Sawb(bits, scale_axis=axis), st.integers(2, 5)),
    st.builds(lambda bits: lambda axis: AffineQuantizer(bits), st.integers(1, 7)),
    st.builds(
        lambda bits, signed: lambda axis: UniformQuantizer(bits, scale_axis=axis, signed=signed),
        st.integers(2, 8),
        st.booleans(),
    ),
    st.just(lambda axis: TWN(scale_axis=axis)),
    st.builds(lambda bits: lambda axis: Lsq(bits, initial_step=0.02), st.integers(2, 8)),
)
static_inputs = st.one_of(
    st.sampled_from([SteSign, SteHeaviside, SteTern, N2uq]).map(lambda make: make),
    st.builds(lambda *a: lambda: UniformQuantizer(a[0], a[1], rounding=a[2]), st.integers(2, 8), scales, ROUNDINGS),
    st.builds(lambda *a: lambda: UniformQuantizer(a[0], a[1], signed=False), st.integers(1, 8), scales),
    st.builds(lambda *a: lambda: AffineQuantizer(a[0], -a[1], 3 * a[2]), st.integers(1, 8), scales, scales),
    st.builds(lambda bits: lambda: DorefaActivation(bits), st.integers(1, 8)),
    st.builds(lambda *a: lambda: Lsq(a[0], signed=a[2], initial_step=a[1]), st.integers(2, 8), scales, st.booleans()),
    st.builds(lambda *a: lambda: Pact(a[0], a[1]), st.integers(1, 8), scales),
)
paddings = st.sampled_from(["same", "valid"])
sizes = st.integers(1, 3)
channel_counts = st.sampled_from([1, 3, 33])
PIXELS = {"uint8": (0, 256), "int8": (-128, 128), "float32": (-128, 128)}


def shape_of(rank, channels):
    return (*(7, 6)[:rank], channels)


@st.composite
def convolutions(draw, rank):
    groups = draw(st.sampled_from([1, 1, 3]))
    padding = draw(paddings)
    cls = QuantConv1D if rank == 1 else QuantConv2D
    options = {"padding": padding, "groups": groups, "pad_values": draw(st.integers(0, 1)) if padding == "same" else 0}
    options |= {"filters": groups * draw(st.sampled_from([1, 11])), "kernel_size": draw(sizes), "strides": draw(sizes)}
    return lambda **quantizers: cls(**options, **quantizers), shape_of(rank, groups * draw(channel_counts)), -1


@st.composite
def depthwise(draw, rank):
    cls = QuantDepthwiseConv1D if rank == 1 else QuantDepthwiseConv2D
    options = {"padding": draw(paddings), "kernel_size": draw(sizes), "strides": draw(sizes), "depth_multiplier": draw(sizes)}

    def make(kernel_quantizer, **quantizers):
        return cls(**options, depthwise_quantizer=kernel_quantizer, **quantizers)

    return make, shape_of(rank, draw(channel_counts)), -2


@st.composite
def transposed(draw, rank):
    cls = QuantConv1DTranspose if rank == 1 else QuantConv2DTranspose
    strides = draw(sizes)
    options = {"padding": draw(paddings), "strides": strides, "kernel_size": strides + draw(st.integers(0, 2))}
    options["filters"] = draw(st.sampled_from([1, 5]))
    return lambda **quantizers: cls(**options, **quantizers), shape_of(rank, draw(channel_counts)), -2


@st.composite
def denses(draw):
    shape = (*draw(st.sampled_from([(), (5,), (2, 3)])), draw(channel_counts))
    units = draw(channel_counts)
    return lambda **quantizers: QuantDense(units, **quantizers), shape, -1


@st.composite
def einsums(draw):
    equation, output, shape = draw(
        st.sampled_from(
            [("btc,chd->bthd", (None, 3, 4), (5, 7)), ("bthd,hdc->btc", (None, 6), (5, 3, 4)), ("bc,cd->bd", 9, (35,))]
        )
    )
    return lambda **quantizers: QuantEinsumDense(equation, output, **quantizers), shape, -1


LAYERS = {
    "convolution": st.integers(1, 2).flatmap(convolutions),
    "depthwise": st.integers(1, 2).flatmap(depthwise),
    "transposed": st.integers(1, 2).flatmap(transposed),
    "dense": denses(),
    "einsum": einsums(),
}


def run(converted, x):
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def examples(shape, dtype, seed, count=3):
    x = np.random.default_rng(seed).integers(*PIXELS[dtype], (count, *shape))
    # Floats are multiples of 1/8, so that sums of them are exact in any order.
    return (x / 8).astype(np.float32) if dtype == "float32" else x.astype(dtype)


def model_of(shape, dtype, layers, seed):
    model = keras.Sequential([keras.Input(shape, dtype=dtype, name="x"), *layers])
    rng = np.random.default_rng(seed)
    for layer in layers:
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.normal(size=layer.bias.shape))
    return model


# Building and converting models is too slow to shrink a failing one.
GENERATE = [hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate]


@pytest.mark.parametrize("kind", LAYERS)
@hypothesis.settings(max_examples=12, phases=GENERATE)
@hypothesis.given(
    st.data(), kernels, st.one_of(st.none(), static_inputs), st.sampled_from(list(PIXELS)), st.integers(0, 2**31)
)
def test_random_layers_equal_keras_bit_for_bit(kind, data, kernel, quantizer, dtype, seed):
    keras.utils.set_random_seed(seed)
    make, shape, axis = data.draw(LAYERS[kind])
    if kind == "depthwise" or kind == "einsum":
        # One scale for each input channel is one for several output channels, but not the other way round.
        axis = None
    layer = make(kernel_quantizer=kernel(axis), input_quantizer=None if quantizer is None else quantizer())
    model = model_of(shape, dtype, [layer], seed)
    converted = keras_ste.convert(model, strict=True)
    x = examples(shape, dtype, seed)
    np.testing.assert_array_equal(run(converted, x), model(x))


@hypothesis.settings(max_examples=12, phases=GENERATE)
@hypothesis.given(
    kernels, st.integers(2, 8), st.sampled_from([1e-5, 3.0]), denses(), st.booleans(), st.integers(0, 2**31)
)
def test_rows_are_quantized_by_the_op(kernel, bits, epsilon, dense, one_scale, seed):
    keras.utils.set_random_seed(seed)
    make, shape, axis = dense
    rows = BitnetActivation(bits=bits, epsilon=epsilon)
    layer = make(kernel_quantizer=kernel(None if one_scale else axis), input_quantizer=rows)
    model = model_of(shape, "float32", [layer], seed)
    converted = keras_ste.convert(model, strict=True)
    assert [row.op for row in converted.report.rows] == ["SteFullyConnected"]
    x = np.random.default_rng(seed).normal(size=(4, *shape)).astype(np.float32)
    x[0] = 0
    np.testing.assert_array_equal(run(converted, x), model(x))


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_the_stem_of_an_image_network_reads_pixels(dtype):
    stem = QuantConv2D(64, 7, strides=2, padding="same", kernel_quantizer=UniformQuantizer(8, scale_axis=-1))
    model = model_of((16, 18, 3), dtype, [stem], 0)
    converted = keras_ste.convert(model, strict=True)
    (row,) = converted.report.rows
    assert (row.op, row.input, row.weight_bits, row.mac_width) == ("SteConv2D", dtype, 8, "8x8")
    assert row.constant_bytes == 64 * 8 * 5 * 4 + 2 * 64 * 4  # planes of 147 weights, multiplier and bias
    x = examples((16, 18, 3), dtype, 0)
    np.testing.assert_array_equal(run(converted, x), model(x))


def test_pixels_are_quantized_without_a_cast():
    layer = QuantDense(3, input_quantizer=UniformQuantizer(4, 17.0, signed=False), kernel_quantizer=BitnetTernary())
    model = model_of((40,), "uint8", [layer], 0)
    converted = keras_ste.convert(model, strict=True)
    assert [(row.op, row.input) for row in converted.report.rows] == [
        ("SteQuantize", "uint8"),
        ("SteFullyConnected", "packed 4-bit unsigned"),
    ]
    x = examples((40,), "uint8", 0)
    np.testing.assert_array_equal(run(converted, x), model(x))


@hypothesis.settings(max_examples=12, phases=GENERATE)
@hypothesis.given(kernels, static_inputs, static_inputs, st.sampled_from([None, "relu", "relu6"]), st.integers(0, 2**31))
def test_chains_of_layers_equal_keras_bit_for_bit(kernel, first, second, activation, seed):
    keras.utils.set_random_seed(seed)
    layers = [
        QuantConv2D(33, 3, kernel_quantizer=UniformQuantizer(8), activation=activation),
        keras.layers.BatchNormalization(),
        keras.layers.MaxPooling2D(2, strides=1),
        QuantDepthwiseConv2D(2, depthwise_quantizer=kernel(None), input_quantizer=first(), activation=activation),
        keras.layers.BatchNormalization(),
        QuantConv2D(34, 2, kernel_quantizer=kernel(-1), input_quantizer=second()),
        keras.layers.Flatten(),
        QuantDense(5, kernel_quantizer=kernel(-1), input_quantizer=second()),
    ]
    model = model_of((8, 7, 3), "uint8", layers, seed)
    rng = np.random.default_rng(seed)
    for norm in (layers[1], layers[4]):
        n = norm.gamma.shape[0]
        norm.gamma.assign(rng.choice([-1.5, -0.3, 0, 0.2, 1], n))
        norm.beta.assign(rng.normal(size=n))
        norm.moving_mean.assign(3 * rng.normal(size=n))
        norm.moving_variance.assign(rng.uniform(0.01, 60, n))
    converted = keras_ste.convert(model, strict=True)
    x = examples((8, 7, 3), "uint8", seed)
    np.testing.assert_array_equal(run(converted, x), model(x))


def test_channels_with_thresholds_of_their_own():
    layer = QuantDense(4, input_quantizer=N2uq(3, scale_axis=-1), kernel_quantizer=TWN())
    model = model_of((9,), "float32", [layer], 0)
    quantizer = layer.input_quantizer
    rng = np.random.default_rng(0)
    for variable in quantizer.trainable_variables:
        if variable.shape.rank and variable.shape[-1] == 9 or 9 in variable.shape:
            variable.assign(variable * rng.uniform(0.5, 1.5, variable.shape))
    x = rng.normal(size=(50, 9)).astype(np.float32) * 3
    try:
        converted = keras_ste.convert(model, strict=True)
    except ValueError as error:
        assert "several scales" in str(error)
    else:
        np.testing.assert_array_equal(run(converted, x), model(x))


def test_a_bitnet_transformer_has_dense_ops_of_ternary_weights_and_eight_bit_rows():
    model = bitnet_transformer(vocabulary=11, context=6, channels=32, heads=2, hidden=48, blocks=2)
    report = keras_ste.convert(model).report
    dense = [row for row in report.rows if row.op == "SteFullyConnected"]
    assert len(dense) == 14 and {row.mac_width for row in dense} == {"2x8"}
    assert all("attention" in reason for _, reason in report.unpacked)


def test_one_bit_layers_are_written_in_version_1():
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "xnor_sign"}
    layers = [QuantConv2D(33, 3, **signs), keras.layers.MaxPooling2D(2), keras.layers.Flatten(), QuantDense(5, **signs)]
    content = keras_ste.convert(model_of((8, 8, 3), "float32", layers, 0), strict=True).model_content
    ops = [op for op in read_model(content).graphs[0].ops if op.name.startswith("Ste")]
    assert {op.options["version"] for op in ops} == {1} and len(ops) >= 3
    assert not any(key.endswith(("_bits", "_encoding")) for op in ops for key in op.options)


# Code books.


def test_code_books_hold_what_they_say():
    assert code_book(np.array([-3.0, 1.0]), QuantSpec(2, "bipolar")) == Codes(2, "bipolar")
    assert code_book(np.array([-2.0, 1.0]), QuantSpec(2, "bipolar")) == Codes(2, "signed")
    assert code_book(np.array([-1.0, 0.0]), QuantSpec(4, "lookup")) == Codes(2, "ternary")
    assert code_book(np.array([0.0, 9.0]), QuantSpec(4, "lookup")) == Codes(4, "unsigned")
    assert code_book(np.array([-5.0, 10.0]), QuantSpec(4, "lookup")) == Codes(5, "signed")
    for values in ([0.5], [-1.0, 200.0], [300.0]):
        with pytest.raises(NoCodes):
            code_book(np.array(values), QuantSpec(8, "lookup"))


def test_bytes_and_their_zero_points():
    how = quantized_input(AffineQuantizer(8, -1.0, 3.0), rank=2, channels=3)
    assert not how.packed and how.codes == Codes(8, "signed", 64 - 128)
    how = quantized_input(UniformQuantizer(4, 0.5), rank=4, channels=3)
    assert how.packed and how.codes == Codes(4, "signed") and how.multiplier == 2 and how.thresholds is None
    how = quantized_input(UniformQuantizer(3, 0.5, rounding="floor"), rank=2, channels=3)
    assert how.multiplier is None and how.thresholds.shape == (7, 1)


def test_thresholds_are_the_least_numbers():
    levels = np.array([-np.inf, -1.5, 0, 1e-20, 7, np.inf, np.nan], np.float32)
    found = float_thresholds(lambda x: x >= levels, levels.shape)
    np.testing.assert_array_equal(found, levels)


def test_codes_of_options():
    assert codes_of({}, "input") == Codes() and Codes().signs
    options = Codes(3, "unsigned").options("input") | {"input_zero_point": 2}
    assert codes_of(options, "input") == Codes(3, "unsigned", 2)
