"""keras_ste.convert on integers of any width: random layers are packed, and the file computes what Keras computes."""

import hypothesis
import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import keras_ste
from keras_ste import (
    QuantConv1D,
    QuantConv1DBatchNorm,
    QuantConv1DTranspose,
    QuantConv2D,
    QuantConv2DBatchNorm,
    QuantConv2DTranspose,
    QuantConv3D,
    QuantConv3DTranspose,
    QuantDense,
    QuantDepthwiseConv1D,
    QuantDepthwiseConv2D,
    QuantEinsumDense,
    QuantEmbedding,
    QuantSeparableConv1D,
    QuantSeparableConv2D,
)
from keras_ste.codes import Codes, codes_of, float_thresholds
from keras_ste.converter.graph import read_model
from keras_ste.layers.code_books import NoCodes, code_book, quantized_input
from keras_ste.layers.quant_einsum_dense import over_tokens
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
    Quantizer,
    Sawb,
    SteHeaviside,
    SteSign,
    SteTern,
    UniformQuantizer,
)

ROUNDINGS = st.sampled_from(["nearest", "floor", "ceil", "to_zero"])
scales = st.floats(0.05, 2.0)
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


def shape_of(rank, channels, data_format="channels_last"):
    size = (8, 7)[:rank]
    return (*size, channels) if data_format == "channels_last" else (channels, *size)


def layouts(draw):
    return {"data_format": draw(st.sampled_from(["channels_last", "channels_last", "channels_first"]))}


def steps(draw):
    """Strides or a dilation: TensorFlow has no convolution of both."""
    return {draw(st.sampled_from(["strides", "strides", "dilation_rate"])): draw(sizes)}


@st.composite
def convolutions(draw, rank):
    groups = draw(st.sampled_from([1, 1, 3]))
    padding = draw(st.sampled_from(["same", "valid", "causal"]) if rank == 1 else paddings)
    cls = QuantConv1D if rank == 1 else QuantConv2D
    pad_values = 0 if padding == "valid" else draw(st.integers(0, 1))
    options = {"padding": padding, "groups": groups, "pad_values": pad_values, **steps(draw)}
    options |= {"filters": groups * draw(st.sampled_from([1, 11])), "kernel_size": draw(sizes), **layouts(draw)}
    shape = shape_of(rank, groups * draw(channel_counts), options["data_format"])
    return lambda **quantizers: cls(**options, **quantizers), shape, -1


@st.composite
def depthwise(draw, rank):
    cls = QuantDepthwiseConv1D if rank == 1 else QuantDepthwiseConv2D
    options = {"padding": draw(paddings), "kernel_size": draw(sizes), **steps(draw), **layouts(draw)}
    options["depth_multiplier"] = draw(sizes)

    def make(kernel_quantizer, **quantizers):
        return cls(**options, depthwise_quantizer=kernel_quantizer, **quantizers)

    return make, shape_of(rank, draw(channel_counts), options["data_format"]), -2


@st.composite
def separables(draw, rank):
    cls = QuantSeparableConv1D if rank == 1 else QuantSeparableConv2D
    options = {"padding": draw(paddings), "kernel_size": draw(sizes), **steps(draw), **layouts(draw)}
    options |= {"depth_multiplier": draw(sizes), "filters": draw(st.sampled_from([1, 5, 33]))}
    between, pointwise = draw(static_inputs), draw(kernels)

    def make(kernel_quantizer, **quantizers):
        return cls(
            **options,
            depthwise_quantizer=kernel_quantizer,
            intermediate_quantizer=between(),
            pointwise_quantizer=pointwise(-1),
            **quantizers,
        )

    return make, shape_of(rank, draw(channel_counts), options["data_format"]), -2


@st.composite
def transposed(draw, rank):
    cls = QuantConv1DTranspose if rank == 1 else QuantConv2DTranspose
    strides = draw(sizes)
    kernel = strides + draw(st.integers(0, 2))
    options = {"padding": draw(paddings), "strides": strides, "kernel_size": kernel, **layouts(draw)}
    if strides > 1:
        # With "same" padding the output has to have as many windows as the input has places.
        least = 1 - kernel % 2 if options["padding"] == "same" else 0
        options["output_padding"] = draw(st.one_of(st.none(), st.integers(least, strides - 1)))
    options["filters"] = draw(st.sampled_from([1, 5]))
    shape = shape_of(rank, draw(channel_counts), options["data_format"])
    return lambda **quantizers: cls(**options, **quantizers), shape, -2


def volume_of(channels, data_format):
    return (4, 3, 5, channels) if data_format == "channels_last" else (channels, 4, 3, 5)


@st.composite
def volumes(draw):
    groups = draw(st.sampled_from([1, 1, 3]))
    kernel = draw(st.one_of(st.tuples(sizes, sizes, sizes), st.tuples(sizes, st.just(1), st.just(1))))
    options = {"kernel_size": kernel, "padding": draw(paddings), "groups": groups, **layouts(draw)}
    if options["padding"] == "same":
        options["pad_values"] = draw(st.integers(0, 1))
    if draw(st.booleans()):
        options["strides"] = draw(st.sampled_from([(2, 1, 1), (1, 2, 3), 2, (3, 1, 2)]))
    elif options["padding"] == "same":
        options["dilation_rate"] = draw(st.sampled_from([1, (2, 1, 1), (1, 2, 2), 2]))
    options["filters"] = groups * draw(st.sampled_from([1, 11]))
    shape = volume_of(groups * draw(channel_counts), options["data_format"])
    return lambda **quantizers: QuantConv3D(**options, **quantizers), shape, -1


@st.composite
def transposed_volumes(draw):
    kernel, padding = tuple(draw(st.tuples(*[sizes] * 3))), draw(paddings)
    options = {"kernel_size": kernel, "padding": padding, **layouts(draw), "filters": draw(st.sampled_from([1, 5]))}
    if draw(st.integers(0, 3)):
        strides = options["strides"] = tuple(draw(st.tuples(*[sizes] * 3)))
        if padding == "valid":
            options["output_padding"] = draw(st.sampled_from([None, tuple(n - 1 for n in strides)]))
    else:
        options["dilation_rate"] = draw(st.sampled_from([(2, 1, 1), (1, 2, 2), 2]))
    shape = volume_of(draw(channel_counts), options["data_format"])
    return lambda **quantizers: QuantConv3DTranspose(**options, **quantizers), shape, -2


@st.composite
def denses(draw):
    shape = (*draw(st.sampled_from([(), (5,), (2, 3)])), draw(channel_counts))
    units = draw(channel_counts)
    return lambda **quantizers: QuantDense(units, **quantizers), shape, -1


@st.composite
def einsums(draw):
    equation, output, shape = draw(
        st.sampled_from(
            [
                ("btc,chd->bthd", (None, 3, 4), (5, 7)),
                ("bthd,hdc->btc", (None, 6), (5, 3, 4)),
                ("bc,cd->bd", 9, (35,)),
                # Kernels that lie otherwise than a matrix.
                ("btc,hcd->bthd", (None, 3, 4), (5, 7)),
                ("bthd,cdh->btc", (None, 6), (5, 3, 4)),
            ]
        )
    )
    return lambda **quantizers: QuantEinsumDense(equation, output, **quantizers), shape, -1


LAYERS = {
    "convolution": st.integers(1, 2).flatmap(convolutions),
    "depthwise": st.integers(1, 2).flatmap(depthwise),
    "separable": st.integers(1, 2).flatmap(separables),
    "transposed": st.integers(1, 2).flatmap(transposed),
    "volume": volumes(),
    "transposed_volume": transposed_volumes(),
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
@hypothesis.settings(max_examples=8, phases=GENERATE)
@hypothesis.given(
    st.data(), kernels, st.one_of(st.none(), static_inputs), st.sampled_from(list(PIXELS)), st.integers(0, 2**31)
)
def test_random_layers_equal_keras_bit_for_bit(kind, data, kernel, quantizer, dtype, seed):
    keras.utils.set_random_seed(seed)
    make, shape, axis = data.draw(LAYERS[kind])
    if kind == "einsum":
        axis = None  # the last one may not be an output channel by itself
    layer = make(kernel_quantizer=kernel(axis), input_quantizer=None if quantizer is None else quantizer())
    model = model_of(shape, dtype, [layer], seed)
    if _has_holes(layer):  # which odd weights of 8 bits have no code for
        hypothesis.assume(not isinstance(layer.kernel_quantizer, DorefaWeight) or layer.kernel_quantizer.bits < 8)
    converted = keras_ste.convert(model, strict=True)
    x = examples(shape, dtype, seed)
    np.testing.assert_array_equal(run(converted, x), model(x))


def _has_holes(layer):
    """Whether a transposed kernel is stored with zeros between its places."""
    if not isinstance(layer, (QuantConv1DTranspose, QuantConv2DTranspose, QuantConv3DTranspose)):
        return False
    reach = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    return max(layer.dilation_rate) > 1 or any(s > r for s, r in zip(layer.strides, reach, strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2, "strides": 3},
        {"kernel_size": 2, "strides": 3, "padding": "same"},
        {"kernel_size": 1, "strides": (2, 1), "output_padding": (1, 0)},
        {"kernel_size": 3, "dilation_rate": 2},
        {"kernel_size": 2, "dilation_rate": 3, "padding": "same", "data_format": "channels_first"},
    ],
)
def test_transposed_kernels_with_holes(options):
    layer = QuantConv2DTranspose(5, input_quantizer=UniformQuantizer(3, 0.7), kernel_quantizer="ste_sign", **options)
    model = model_of((4, 5, 6), "float32", [layer], 0)
    converted = keras_ste.convert(model, strict=True)
    x = examples((4, 5, 6), "float32", 0)
    np.testing.assert_array_equal(run(converted, x), model(x))


def test_what_transposed_kernels_with_holes_cannot():
    bits = {"kernel_quantizer": DorefaWeight(8)}
    for options, reason in [
        ({"kernel_size": 3, "dilation_rate": 2, **bits}, "8 bits do not hold, with the zeros between its places"),
        ({"kernel_size": 2, "strides": 4, "padding": "same", "output_padding": 3, **bits}, "leave output_padding out"),
    ]:
        layer = QuantConv2DTranspose(2, **options)
        with pytest.raises(ValueError, match=reason):
            keras_ste.convert(model_of((4, 5, 3), "float32", [layer], 0), strict=True)


@pytest.mark.parametrize("cls, axis", [(QuantConv3D, -1), (QuantConv3DTranspose, -2)])
@pytest.mark.parametrize("sizes", [(None, 3, 5), (4, None, None), (None, None, None)])
def test_volumes_of_unknown_sizes(cls, axis, sizes):
    layer = cls(5, 2, padding="same", kernel_quantizer=TWN(scale_axis=axis), input_quantizer=UniformQuantizer(3, 0.7))
    model = model_of((*sizes, 6), "float32", [layer], 0)
    converted = keras_ste.convert(model, strict=True)
    x = examples((4, 3, 5, 6), "float32", 0)
    np.testing.assert_array_equal(run(converted, x), model(x))


def test_a_volume_of_unknown_depth_has_no_known_padding_for_strides():
    def model(size):
        layer = QuantConv3D(2, 2, strides=2, padding="same", kernel_quantizer="ste_sign")
        return model_of((size, 4, 4, 3), "float32", [layer], 0)

    with pytest.raises(ValueError, match="depends on the depth of its input, which is unknown"):
        keras_ste.convert(model(None), strict=True)
    keras_ste.convert(model(4), strict=True)


def test_a_kernel_that_is_one_place_wide_and_high_moves_over_columns():
    """Nothing is joined or padded: signs stay signs, whatever stands outside of the volume."""
    signs = {"kernel_quantizer": "ste_sign", "input_quantizer": "ste_sign"}
    layer = QuantConv3D(6, (3, 1, 1), strides=(2, 1, 1), padding="same", groups=2, **signs)
    model = model_of((None, 3, 5, 6), "float32", [layer], 0)
    converted = keras_ste.convert(model, strict=True)
    assert [row.op for row in converted.report.rows if row.op.startswith("Ste")] == ["SteQuantize", "SteConv2D"]
    assert [row.mac_width for row in converted.report.rows if row.op == "SteConv2D"] == ["1x1"]
    x = examples((4, 3, 5, 6), "float32", 0)
    np.testing.assert_array_equal(run(converted, x), model(x))


def test_the_planes_of_a_transposed_volume_are_read_without_holes():
    """Each op has the places of the kernel that meet its planes of the output: together they have every weight once."""
    layer = QuantConv3DTranspose(5, (5, 2, 2), strides=(2, 2, 2), kernel_quantizer="ste_sign", input_quantizer="ste_sign")
    report = keras_ste.convert(model_of((4, 3, 5, 32), "float32", [layer], 0), strict=True).report
    products = [row for row in report.rows if row.op == "SteTransposeConv2D"]
    assert [row.size.weights for row in products] == [5 * 3 * 2 * 2 * 32, 5 * 2 * 2 * 2 * 32]
    assert all(row.size.verdict == "met" for row in products)
    # Of kernels as large as the strides none reaches out of the volume: signs stay signs.
    layer = QuantConv3DTranspose(5, 2, strides=2, kernel_quantizer="ste_sign", input_quantizer="ste_sign")
    report = keras_ste.convert(model_of((4, 3, 5, 32), "float32", [layer], 0), strict=True).report
    assert {row.mac_width for row in report.rows if row.op == "SteTransposeConv2D"} == {"1x1"}


class OddNumbers(Quantizer):
    """Two bits, all of which are odd."""

    spec = QuantSpec(2, "bipolar")

    def factors(self, x, training=False):
        return 2 * tf.clip_by_value(tf.floor(x), -2.0, 1.0) + 1, None

    def encode(self, x):
        return tf.cast((self.factors(tf.convert_to_tensor(x))[0] + 3) / 2, tf.int8)


@pytest.mark.parametrize(
    "quantizer, pad_values, width",
    [
        (SteSign(), 0, "1x2"),
        (SteSign(), 1, "1x1"),
        (SteHeaviside(), 0, "1x1"),
        (UniformQuantizer(4, 0.5), 0, "1x4"),
        (OddNumbers(), 0, "1x3"),
        (OddNumbers(), 1, "1x2"),
    ],
)
def test_what_stands_outside_of_a_volume_is_one_of_its_codes(quantizer, pad_values, width):
    layer = QuantConv3D(
        3, 3, padding="same", pad_values=pad_values, kernel_quantizer="ste_sign", input_quantizer=quantizer
    )
    model = model_of((4, 3, 5, 6), "float32", [layer], 0)
    converted = keras_ste.convert(model, strict=True)
    assert [row.mac_width for row in converted.report.rows if row.op == "SteConv2D"] == [width]
    x = examples((4, 3, 5, 6), "float32", 0)
    np.testing.assert_array_equal(run(converted, x), model(x))


@pytest.mark.parametrize(
    "layer, dtype",
    [
        (QuantConv3D(6, 3, padding="same", groups=2, kernel_quantizer="ste_sign", input_quantizer="ste_sign"), "float32"),
        (QuantConv3D(6, 2, padding="same", groups=3, kernel_quantizer=TWN()), "int8"),
        (QuantConv3DTranspose(5, 3, strides=2, kernel_quantizer="ste_sign", input_quantizer=Lsq(2)), "float32"),
    ],
    ids=["groups", "bytes", "transposed"],
)
def test_a_volume_on_a_board(layer, dtype):
    pytest.importorskip("tflite_micro")
    model = model_of((4, 3, 5, 6), dtype, [layer], 0)
    micro = keras_ste.MicroInterpreter(model_content=keras_ste.convert(model, strict=True).model_content)
    x = examples((4, 3, 5, 6), dtype, 0, 1)
    micro.set_input(x, 0)
    micro.invoke()
    np.testing.assert_array_equal(micro.get_output(0), model(x))


def test_volumes_are_verified_layer_by_layer():
    """The planes that are joined as channels are not taken for what the layer is called on."""
    layers = [
        QuantConv3D(4, (2, 2, 1), strides=(2, 1, 1), kernel_quantizer=TWN(), input_quantizer=UniformQuantizer(2, 0.5)),
        QuantConv3D(3, (1, 2, 2), kernel_quantizer=TWN(), input_quantizer=UniformQuantizer(2, 0.5)),
    ]
    model = model_of((4, 3, 5, 6), "float32", layers, 0)
    converted = keras_ste.convert(model, verify=examples((4, 3, 5, 6), "float32", 0), verify_layers=True)
    rows = [(row.name, row.tensor) for row in converted.report.verification.layers]
    assert (layers[1].path, "input codes") in rows and (layers[0].path, "input codes") not in rows
    assert all(row.differing == 0 for row in converted.report.verification.layers)


@hypothesis.settings(max_examples=12, phases=GENERATE)
@hypothesis.given(kernels, st.sampled_from([None, 0, 1]), channel_counts, st.integers(0, 2**31))
def test_tables_of_embeddings_are_packed_and_equal_bit_for_bit(kernel, axis, channels, seed):
    keras.utils.set_random_seed(seed)
    layer = QuantEmbedding(50, channels, embeddings_quantizer=kernel(axis))
    model = model_of((5,), "int32", [layer], seed)
    converted = keras_ste.convert(model, strict=True)
    x = np.random.default_rng(seed).integers(0, 50, (3, 5), np.int32)
    np.testing.assert_array_equal(run(converted, x), model(x))
    (restored,) = [row for row in converted.report.rows if row.op == "SteDequantize"]
    (table,) = [row for row in converted.report.rows if row.output == restored.input]
    if restored.input.startswith("packed"):
        bits = int(restored.input.split()[1][0])
        said = layer.embeddings_quantizer.spec.bits
        assert (table.op, table.weight_bits, table.constant_bytes) == ("SteGather", bits, -(-50 * channels * bits // 8))
        assert (table.size.weights, table.size.bits) == (50 * channels, min(bits, said)) and "weights" in table.packed
        assert table.size.verdict == ("met" if bits <= said else "missed")
    else:
        assert restored.input in ("int8", "uint8") and (table.op, table.constant_bytes) == ("GATHER", 50 * channels)


@pytest.mark.parametrize(
    "kernel, power_of_two",
    [(UniformQuantizer(4, 0.5), True), (UniformQuantizer(3, 0.3, signed=False), False), (TWN(), False), (Lsq(8), False)],
)
def test_codes_of_embeddings_are_read_as_codes(kernel, power_of_two):
    """They are quantized again, added, and multiplied where their scale is a power of two."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((5,), dtype="int32", name="x")
    x = QuantEmbedding(50, 20, embeddings_quantizer=kernel, embeddings_initializer="random_normal")(x)
    quantizer = UniformQuantizer(2, 0.4)
    results = [QuantDense(7, kernel_quantizer=TWN(), input_quantizer=quantizer)(x)]
    results.append(QuantDense(7, kernel_quantizer=TWN(), input_quantizer=quantizer)(keras.layers.Add()([x, x])))
    if power_of_two:
        results.append(QuantDense(7, kernel_quantizer=TWN())(x))
    model = keras.Model(inputs, keras.layers.Concatenate()(results))
    converted = keras_ste.convert(model, strict=True)
    x = np.random.default_rng(0).integers(0, 50, (3, 5), np.int32)
    np.testing.assert_array_equal(run(converted, x), model(x))
    assert "SteDequantize" not in [row.op for row in converted.report.rows]
    assert not any(row.input in ("int16", "int32") for row in converted.report.rows[1:] if row.op.startswith("Ste"))


@pytest.mark.parametrize("kernel", [Lsq(8), UniformQuantizer(8, 0.1), TWN()])
def test_tables_run_on_boards(kernel):
    pytest.importorskip("tflite_micro")
    layers = [QuantEmbedding(50, 20, embeddings_quantizer=kernel), QuantDense(7, kernel_quantizer=TWN(), input_quantizer=Lsq(2))]
    model = model_of((5,), "int32", layers, 0)
    content = keras_ste.convert(model, strict=True).model_content
    micro = keras_ste.MicroInterpreter(model_content=content)
    x = np.random.default_rng(0).integers(0, 50, (1, 5), np.int32)
    micro.set_input(x, 0)
    micro.invoke()
    np.testing.assert_array_equal(micro.get_output(0), model(x))


def test_a_sequence_of_bytes_on_a_board():
    pytest.importorskip("tflite_micro")
    model = model_of((9, 5), "uint8", [QuantConv1D(4, 3, padding="causal", kernel_quantizer=TWN())], 0)
    micro = keras_ste.MicroInterpreter(model_content=keras_ste.convert(model, strict=True).model_content)
    x = examples((9, 5), "uint8", 0, 1)
    micro.set_input(x, 0)
    micro.invoke()
    np.testing.assert_array_equal(micro.get_output(0), model(x))


def test_a_sequence_has_no_axis_of_height_between_layers():
    def layer(cls, *arguments):
        return cls(*arguments, kernel_quantizer=TWN(), input_quantizer=UniformQuantizer(2, 0.7))

    layers = [
        layer(QuantDense, 40),
        keras.layers.ReLU(),
        layer(QuantConv1D, 33, 3),
        keras.layers.BatchNormalization(),
        keras.layers.MaxPooling1D(2),
        keras.layers.LeakyReLU(0.25),
        QuantSeparableConv1D(
            5,
            3,
            depthwise_quantizer=TWN(),
            pointwise_quantizer=TWN(),
            input_quantizer=N2uq(),
            intermediate_quantizer=UniformQuantizer(4, 2.0),
        ),
        layer(QuantDense, 3),
    ]
    model = model_of((20, 9), "float32", layers, 0)
    converted = keras_ste.convert(model, strict=True)
    assert [row.op for row in converted.report.rows if row.op != "RESHAPE"] == [
        "SteQuantize",
        "SteFullyConnected",
        "SteConv2D",
        "SteMaxPool2D",
        "SteDepthwiseConv2D",
        "SteConv2D",
        "SteFullyConnected",
    ]
    x = examples((20, 9), "float32", 0)
    np.testing.assert_array_equal(run(converted, x), model(x))


@hypothesis.settings(max_examples=12, phases=GENERATE)
@hypothesis.given(
    kernels,
    st.integers(2, 8),
    st.sampled_from([1e-5, 3.0]),
    st.one_of(denses(), einsums()),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_rows_are_quantized_by_the_op(kernel, bits, epsilon, product, one_scale, seed):
    keras.utils.set_random_seed(seed)
    make, shape, axis = product
    rows = BitnetActivation(bits=bits, epsilon=epsilon)
    layer = make(kernel_quantizer=kernel(None if one_scale else axis), input_quantizer=rows)
    if isinstance(layer, QuantEinsumDense):
        # A row is all that is added up, which may be two axes.
        rows = over_tokens(rows, layer.equation)
        layer = make(kernel_quantizer=kernel(None), input_quantizer=rows)
    model = model_of(shape, "float32", [layer], seed)
    converted = keras_ste.convert(model, strict=True)
    ops = [row.op for row in converted.report.rows]
    assert [op for op in ops if op not in ("SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE")] == ["SteFullyConnected"]
    x = np.random.default_rng(seed).normal(size=(4, *shape)).astype(np.float32)
    x[0] = 0
    np.testing.assert_array_equal(run(converted, x), model(x))


@st.composite
def single_pixels(draw):
    """A convolution of single pixels, or one behind another; the shape of its input; the axis of what is one pixel."""
    rank, data_format = draw(st.integers(1, 3)), layouts(draw)["data_format"]
    channels, axis = draw(channel_counts), -1 if data_format == "channels_last" else 1
    shape = volume_of(channels, data_format) if rank == 3 else shape_of(rank, channels, data_format)
    options = {"filters": draw(st.sampled_from([1, 5, 33])), "strides": draw(sizes), "data_format": data_format}
    options["padding"] = draw(paddings)
    if rank < 3 and draw(st.booleans()):
        cls = (QuantSeparableConv1D, QuantSeparableConv2D)[rank - 1]
        options |= {"kernel_size": 2, "depthwise_quantizer": TWN(), "input_quantizer": UniformQuantizer(2, 0.5)}
        names = ("pointwise_quantizer", "intermediate_quantizer")
    else:
        cls, names = (QuantConv1D, QuantConv2D, QuantConv3D)[rank - 1], ("kernel_quantizer", "input_quantizer")
        options["kernel_size"] = 1

    def make(*quantizers):
        return cls(**options, **dict(zip(names, quantizers, strict=True)))

    return make, shape, axis


@hypothesis.settings(max_examples=16, phases=GENERATE)
@hypothesis.given(
    kernels, st.integers(2, 8), st.sampled_from([1e-5, 3.0]), single_pixels(), st.booleans(), st.integers(0, 2**31)
)
def test_pixels_are_quantized_by_the_op(kernel, bits, epsilon, product, one_scale, seed):
    keras.utils.set_random_seed(seed)
    make, shape, axis = product
    layer = make(kernel(None if one_scale else -1), BitnetActivation(bits=bits, axis=axis, epsilon=epsilon))
    model = model_of(shape, "float32", [layer], seed)
    converted = keras_ste.convert(model, strict=True)
    assert [row.op for row in converted.report.rows if row.op.startswith("Ste")][-1] == "SteFullyConnected"
    x = np.random.default_rng(seed).normal(size=(4, *shape)).astype(np.float32)
    x[0] = 0
    np.testing.assert_array_equal(run(converted, x), model(x))


@pytest.mark.parametrize("cls", [QuantConv1DBatchNorm, QuantConv2DBatchNorm])
def test_normalized_convolutions_of_pixels_are_quantized_by_the_op(cls):
    layer = cls(5, 1, strides=2, kernel_quantizer=BitnetTernary(), input_quantizer=BitnetActivation())
    shape = (6, 5, 7)[: layer.rank] + (9,)
    model = model_of(shape, "float32", [layer], 0)
    converted = keras_ste.convert(model, strict=True)
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    np.testing.assert_array_equal(run(converted, x), model(x))


# Convolutions of windows that meet several scales, and of images that have one scale each.
WINDOWS = [
    (QuantConv1D, {"filters": 5, "kernel_size": 3, "padding": "causal"}, (7, 6)),
    (QuantConv2D, {"filters": 6, "kernel_size": (1, 2), "groups": 2, "strides": 2}, (7, 5, 6)),
    (QuantConv2D, {"filters": 6, "kernel_size": 3, "padding": "same", "dilation_rate": 2}, (7, 5, 6)),
    (QuantConv3D, {"filters": 5, "kernel_size": 2, "padding": "same"}, (3, 5, 4, 6)),
    (QuantConv2DTranspose, {"filters": 5, "kernel_size": 3, "strides": 2}, (4, 5, 6)),
    (QuantConv3DTranspose, {"filters": 5, "kernel_size": 2, "strides": 2}, (3, 2, 4, 6)),
    (QuantDepthwiseConv2D, {"kernel_size": 3, "padding": "same"}, (7, 5, 6)),
    (QuantSeparableConv2D, {"filters": 5, "kernel_size": 2}, (7, 5, 6)),
]


@pytest.mark.parametrize("one_scale", [False, True])
@pytest.mark.parametrize("cls, options, shape", WINDOWS, ids=lambda value: getattr(value, "__name__", ""))
def test_windows_of_bitnet_inputs_multiply_floats(cls, options, shape, one_scale):
    rows = BitnetActivation(bits=6, axis=tuple(range(1, len(shape) + 1)) if one_scale else -1)
    # What a separable one has between its parts are sums of floats: rounded in another order, another code may be next.
    quantizers = {name: BitnetTernary() for name in cls.quantized_weights}
    model = model_of(shape, "float32", [cls(**options, **quantizers, input_quantizer=rows)], 0)
    converted = keras_ste.convert(model, strict=True)
    products = [row for row in converted.report.rows if row.macs]
    assert products and {row.weight_bits for row in products} == {2} and products[0].input == "float32"
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    np.testing.assert_allclose(run(converted, x), model(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "layer, shape, reason",
    [
        (QuantConv3D(4, 2, kernel_quantizer=TWN(), input_quantizer=BitnetActivation(axis=1)), (3, 6, 5, 4), "give it axis"),
        (
            QuantConv2D(
                4, 2, padding="same", pad_values=1, kernel_quantizer=TWN(), input_quantizer=BitnetActivation(axis=(1, 2, 3))
            ),
            (6, 5, 4),
            "what pad_values=1 is worth depends on the scale",
        ),
    ],
)
def test_what_convolutions_do_not_quantize(layer, shape, reason):
    with pytest.raises(ValueError, match=reason):
        keras_ste.convert(model_of(shape, "float32", [layer], 0), strict=True)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_the_stem_of_an_image_network_reads_pixels(dtype):
    stem = QuantConv2D(64, 7, strides=2, padding="same", kernel_quantizer=UniformQuantizer(8, scale_axis=-1))
    model = model_of((16, 18, 3), dtype, [stem], 0)
    converted = keras_ste.convert(model, strict=True)
    (row,) = converted.report.rows
    assert (row.op, row.input, row.weight_bits, row.mac_width) == ("SteConv2D", dtype, 8, "8x8")
    assert row.constant_bytes == 64 * 147 + 2 * 64 * 4  # weights of 8 bits, multiplier and bias
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
@hypothesis.given(
    kernels, static_inputs, static_inputs, st.sampled_from([None, "relu", "relu6"]), st.integers(0, 2**31)
)
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


@pytest.mark.parametrize(
    "kernel, bits", [(UniformQuantizer(3, signed=False), 4), (UniformQuantizer(1, signed=False), 2), (TWN(), 2)]
)
def test_channels_that_fall_have_weights_of_a_bit_more_where_they_need_it(kernel, bits):
    """A factor below zero turns the weights' signs, and unsigned codes have only one."""
    norm = keras.layers.BatchNormalization(gamma_initializer=keras.initializers.Constant(-0.7))
    layers = [
        QuantConv2D(8, 2, kernel_quantizer=kernel, input_quantizer=SteSign()),
        norm,
        QuantConv2D(3, 2, kernel_quantizer=TWN(), input_quantizer=UniformQuantizer(2, 0.5)),
    ]
    model = model_of((6, 5, 4), "float32", layers, 0)
    converted = keras_ste.convert(model, strict=True)
    assert [row.op for row in converted.report.rows] == ["SteQuantize", "SteConv2D", "SteConv2D"]
    assert converted.report.rows[1].weight_bits == bits
    x = examples((6, 5, 4), "float32", 0)
    np.testing.assert_array_equal(run(converted, x), model(x))


def test_channels_that_fall_have_thresholds_of_floats_where_eight_bits_hold_no_negative():
    # Of these weights the least is -128.
    kernel = UniformQuantizer(8, 1 / 128)
    layers = [
        QuantConv2D(4, 2, kernel_quantizer=kernel, input_quantizer=SteSign()),
        keras.layers.BatchNormalization(gamma_initializer=keras.initializers.Constant(-1.0)),
        QuantConv2D(3, 2, kernel_quantizer=TWN(), input_quantizer=SteSign()),
    ]
    model = model_of((6, 5, 4), "float32", layers, 0)
    layers[0].kernel.assign(-np.ones(layers[0].kernel.shape))
    converted = keras_ste.convert(model, strict=True)
    assert [row.op for row in converted.report.rows] == ["SteQuantize", "SteConv2D", "SteConv2D"]
    x = examples((6, 5, 4), "float32", 0)
    np.testing.assert_array_equal(run(converted, x), model(x))


class ByChannel(Quantizer):
    """Two bits, with borders that are each channel's own."""

    spec = QuantSpec(2, "unsigned")

    def factors(self, x, training=False):
        shift = tf.range(x.shape[-1], dtype=tf.float32) * 0.3 - 1
        return tf.clip_by_value(tf.round(x - shift), 0.0, 3.0), None

    def encode(self, x):
        return tf.cast(self.factors(tf.convert_to_tensor(x))[0], tf.int8)


@pytest.mark.parametrize(
    "layers, shape",
    [
        ([lambda: QuantDense(4, input_quantizer=ByChannel(), kernel_quantizer=TWN())], (5, 9)),
        (
            [lambda: QuantEinsumDense("bthd,hdc->btc", (None, 6), input_quantizer=ByChannel(), kernel_quantizer=TWN())],
            (5, 3, 4),
        ),
        (
            [
                lambda: QuantConv2D(34, 2, kernel_quantizer=TWN()),
                lambda: QuantConv2D(3, 2, input_quantizer=ByChannel(), kernel_quantizer=TWN()),
            ],
            (5, 4, 3),
        ),
        (
            [
                lambda: QuantConv2D(34, 2, kernel_quantizer=TWN()),
                keras.layers.Flatten,
                lambda: QuantDense(3, input_quantizer=ByChannel(), kernel_quantizer=TWN()),
            ],
            (3, 4, 3),
        ),
    ],
    ids=["dense", "einsum", "convolutions", "flattened"],
)
def test_channels_with_borders_of_their_own(layers, shape):
    model = model_of(shape, "float32", [make() for make in layers], 0)
    converted = keras_ste.convert(model, strict=True)
    x = examples(shape, "float32", 0, 20)
    np.testing.assert_array_equal(run(converted, x), model(x))
    quantizes = [row for row in converted.report.rows if row.op == "SteQuantize"]
    assert len(quantizes) == (0 if len(layers) == 2 else 1)


def test_a_bitnet_transformer_has_dense_ops_of_ternary_weights_and_eight_bit_rows():
    model = bitnet_transformer(vocabulary=11, context=6, channels=32, heads=2, hidden=48, blocks=2)
    report = keras_ste.convert(model, strict=True).report
    dense = [row for row in report.rows if row.op == "SteFullyConnected"]
    assert len(dense) == 14 and {row.mac_width for row in dense} == {"2x8"}


def test_one_bit_layers_are_written_in_version_1():
    """In version 4 where rows do not fill their words."""
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "xnor_sign"}
    layers = [QuantConv2D(33, 3, **signs), keras.layers.MaxPooling2D(2), keras.layers.Flatten(), QuantDense(5, **signs)]
    content = keras_ste.convert(model_of((8, 8, 32), "float32", layers, 0), strict=True).model_content
    ops = [op for op in read_model(content).graphs[0].ops if op.name.startswith("Ste")]
    assert [(op.name, op.options["version"]) for op in ops] == [
        ("SteQuantize", 1), ("SteConv2D", 1), ("SteMaxPool2D", 1), ("SteFullyConnected", 4),
    ]  # fmt: skip
    assert not any(key.endswith(("_bits", "_encoding")) for op in ops for key in op.options)


# Code books.


def test_code_books_hold_what_they_say():
    assert code_book(np.array([-3.0, 1.0]), QuantSpec(2, "bipolar")) == Codes(2, "bipolar")
    assert code_book(np.array([-2.0, 1.0]), QuantSpec(2, "bipolar")) == Codes(2, "signed")
    assert code_book(np.array([-1.0, 1.0]), QuantSpec(4, "lookup")) == Codes(2, "ternary")
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
