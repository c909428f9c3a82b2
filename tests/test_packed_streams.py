"""Packed data stays packed: a network of k-bit layers has no float tensor between its first and its last layer."""

import functools

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from test_code_conversion import ByChannel, examples, run, static_inputs

import keras_ste
from keras_ste import (
    QuantActivation,
    QuantConv1D,
    QuantConv2D,
    QuantConv3D,
    QuantConv3DTranspose,
    QuantDense,
    QuantDepthwiseConv2D,
)
from keras_ste.converter.graph import STE_OPS, TensorType, read_model
from keras_ste.quantizers import TWN, SteSign, UniformQuantizer

L = keras.layers


def conv(filters, size=3, strides=1, padding="same", **options):
    options = {"kernel_quantizer": TWN(scale_axis=-1), "input_quantizer": UniformQuantizer(2, 0.5), **options}
    return QuantConv2D(filters, size, strides, padding=padding, **options)


def codes(x, bits=3, scale=0.5):
    return QuantActivation(UniformQuantizer(bits, scale))(x)


def norm(x):
    """With factors of both signs."""
    n = x.shape[-1]
    rng = np.random.default_rng(n)

    def values(numbers):
        return lambda shape, dtype=None: keras.ops.convert_to_tensor(numbers, "float32")

    return L.BatchNormalization(
        gamma_initializer=values(rng.choice([-1.5, -0.7, 0, 0.8, 2], n)),
        beta_initializer=values(rng.normal(size=n)),
        moving_mean_initializer=values(rng.normal(size=n)),
        moving_variance_initializer=values(rng.uniform(0.1, 2, n)),
    )(x)


def shuffle(x, groups):
    *sizes, channels = x.shape[1:]
    x = L.Permute((1, 2, 4, 3))(L.Reshape((*sizes, groups, channels // groups))(x))
    return L.Reshape((*sizes, channels))(x)


def head(x):
    """The last layers: a feature map, flattened, to numbers."""
    return QuantDense(5, kernel_quantizer=TWN(), input_quantizer=UniformQuantizer(3, 1.0))(L.Flatten()(x))


def pooled(x):
    x = L.MaxPooling2D(2)(L.ReLU()(norm(conv(40)(x))))
    x = conv(33, padding="valid")(L.ZeroPadding2D(((1, 0), (2, 1)))(x))
    return head(L.AveragePooling2D(2)(codes(norm(x))))


def densenet(x):
    x = L.MaxPooling2D(3, 2, padding="same")(conv(33)(x))
    for _ in range(3):
        x = L.Concatenate()([x, norm(conv(12)(x))])
    x = L.Concatenate()([x] + [conv(1 + i)(x) for i in range(9)])
    return head(norm(conv(40)(x)))


def shufflenet(x):
    x = conv(36)(x)
    x = shuffle(norm(conv(36, 1, groups=3)(x)), 3)
    depthwise = QuantDepthwiseConv2D(
        3, 2, depthwise_quantizer=TWN(scale_axis=-2), input_quantizer=UniformQuantizer(4, 0.5, signed=False)
    )
    x = norm(depthwise(x))
    return head(conv(40, 1, groups=2)(shuffle(x, 2)))


def residual(x):
    x = codes(norm(conv(40)(x)))
    for strides in (1, 2):
        y = codes(norm(conv(40)(L.ReLU()(norm(conv(40, strides=strides)(x))))), 4)
        x = L.AveragePooling2D(2)(x) if strides == 2 else x
        x = codes(x, 3, 0.25) if strides == 2 else x
        x = codes(L.ReLU()(norm(L.Add()([x, y]))), 3, 0.5)
    return head(x)


def mobilenet(x):
    """Of 8 bits, with pools."""
    byte = {"kernel_quantizer": UniformQuantizer(8, 2**-6), "input_quantizer": UniformQuantizer(8, 2**-5)}
    x = L.MaxPooling2D(2, 1)(L.ReLU()(conv(16, strides=1, **byte)(x)))
    x = QuantDepthwiseConv2D(
        3, 2, padding="same", depthwise_quantizer=UniformQuantizer(8, 2**-6), input_quantizer=UniformQuantizer(8, 2**-5)
    )(x)
    x = L.MaxPooling2D(2)(L.ReLU(6)(conv(40, 1, **byte)(x)))
    return QuantDense(5, **byte)(L.Flatten()(x))


def volume(cls, filters, size=3, **options):
    """With scales of its own for each filter."""
    axis = -1 if cls is QuantConv3D else -2
    options = {"kernel_quantizer": TWN(scale_axis=axis), "input_quantizer": UniformQuantizer(2, 0.5), **options}
    return cls(filters, size, **{"padding": "same", **options})


def video(x):
    x = norm(volume(QuantConv3D, 33)(x))
    x = norm(volume(QuantConv3D, 12, strides=2, input_quantizer="ste_sign")(x))
    x = L.ReLU()(norm(volume(QuantConv3D, 36, 2, padding="valid", groups=3)(x)))
    return head(norm(volume(QuantConv3D, 40, (1, 2, 2), input_quantizer=UniformQuantizer(8, 0.1))(x)))


def unet(x):
    """Down and up again, with a shortcut."""
    first = norm(volume(QuantConv3D, 12)(x))
    x = norm(volume(QuantConv3D, 33, strides=2)(first))
    x = L.ReLU()(norm(volume(QuantConv3DTranspose, 20, strides=2)(x)))
    x = norm(volume(QuantConv3D, 9)(L.Concatenate()([x, first])))
    return head(norm(volume(QuantConv3DTranspose, 7, strides=(2, 1, 1), padding="valid", input_quantizer="ste_sign")(x)))


def sequence(filters, size=3, **options):
    options = {"kernel_quantizer": TWN(scale_axis=-1), "input_quantizer": UniformQuantizer(2, 0.5), **options}
    return QuantConv1D(filters, size, padding="same", **options)


def residual_of(layer):
    """A residual network of these layers, whose stream is quantized."""

    def build(x):
        x = codes(norm(layer(40)(x)))
        for strides in (1, 2):
            y = norm(layer(40)(L.ReLU()(norm(layer(40, strides=strides)(x)))))
            x = x if strides == 1 else codes(norm(layer(40, 1, strides=strides)(x)))
            x = codes(L.ReLU()(norm(L.Add()([x, y]))), 3, 0.5)
        return head(x)

    return build


RESHAPED = {
    "video": (video, (4, 6, 6, 3)),
    "unet": (unet, (4, 6, 6, 3)),
    "residual_volumes": (residual_of(functools.partial(volume, QuantConv3D)), (4, 6, 6, 3)),
    "residual_sequences": (residual_of(sequence), (16, 3)),
}
NETWORKS = {"mobilenet": mobilenet, "pooled": pooled, "densenet": densenet, "shufflenet": shufflenet, "residual": residual}


def floats_inside(content):
    """The names of the float tensors that are neither constants, inputs nor outputs."""
    (graph,) = read_model(content).graphs
    ends = [*graph.inputs, *graph.outputs]
    tensors = [tensor for op in graph.ops for tensor in op.outputs if tensor not in ends]
    return [tensor.name for tensor in tensors if tensor.type == TensorType.FLOAT32]


def model_of(build, shape):
    keras.utils.set_random_seed(3)
    x = keras.Input(shape, name="x")
    return keras.Model(x, build(x))


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_no_float_tensor_between_the_first_and_the_last_layer(build):
    model = model_of(build, (12, 12, 3))
    converted = keras_ste.convert(model, strict=True)
    assert floats_inside(converted.model_content) == []
    x = examples((12, 12, 3), "float32", 0, 20)
    expected = model(x).numpy()
    np.testing.assert_array_equal(run(converted, x), expected)
    assert len(np.unique(expected)) > 20


@pytest.mark.parametrize("build, shape", RESHAPED.values(), ids=RESHAPED)
def test_no_float_tensor_where_layers_reshape_what_they_read(build, shape):
    model = model_of(build, shape)
    converted = keras_ste.convert(model, strict=True)
    assert floats_inside(converted.model_content) == []
    x = examples(shape, "float32", 0, 20)
    expected = model(x).numpy()
    np.testing.assert_array_equal(run(converted, x), expected)
    assert len(np.unique(expected)) > 20


def test_a_sequence_is_padded_and_joined_in_codes():
    def layer(filters):
        return QuantConv1D(filters, 3, kernel_quantizer=TWN(), input_quantizer=UniformQuantizer(2, 0.5))

    def build(x):
        x = layer(40)(x)
        y = layer(33)(L.ZeroPadding1D((2, 0))(x))
        return layer(5)(L.MaxPooling1D(2)(L.Concatenate()([x, y])))

    model = model_of(build, (20, 4))
    converted = keras_ste.convert(model, strict=True)
    assert floats_inside(converted.model_content) in ([], [converted_output(converted)])
    x = examples((20, 4), "float32", 0)
    np.testing.assert_array_equal(run(converted, x), model(x))


def converted_output(converted):
    """What the last op reshapes into the output."""
    (graph,) = read_model(converted.model_content).graphs
    return graph.ops[-1].inputs[0].name


def ops_of(build, shape=(8, 8, 3), exact=True):
    """The names of the ops of a converted model, and its report; compares it with Keras."""
    model = model_of(build, shape)
    converted = keras_ste.convert(model, strict=True)
    x = examples(shape, "float32", 0)
    np.testing.assert_allclose(run(converted, x), model(x), rtol=0 if exact else 1e-4, atol=0 if exact else 1e-4)
    return [row.op for row in converted.report.rows], converted.report


def test_codes_that_are_quantized_again_alike_stay_as_they_are():
    ops, _ = ops_of(lambda x: conv(4)(QuantActivation(UniformQuantizer(2, 0.5))(conv(40)(x))))
    assert ops == ["SteQuantize", "SteConv2D", "SteConv2D"]


@pytest.mark.parametrize(
    "second", [UniformQuantizer(2, 0.5), SteSign(), ByChannel(), UniformQuantizer(3, 0.3, signed=False)]
)
def test_codes_that_are_quantized_again_are_read_as_codes(second):
    ops, _ = ops_of(lambda x: conv(4, input_quantizer=second)(codes(conv(40)(x), 4, 0.3)))
    assert ops == ["SteQuantize", "SteConv2D", "SteQuantize", "SteConv2D"]


@pytest.mark.parametrize("options", [{}, {"pad_values": 1}])
def test_a_layer_without_a_quantizer_of_its_own_multiplies_codes(options):
    signs = QuantActivation("ste_sign")
    ops, report = ops_of(lambda x: conv(4, input_quantizer=None, **options)(signs(conv(40)(x))))
    assert ops == ["SteQuantize", "SteConv2D", "SteConv2D"] and report.rows[-1].mac_width == "2x1"
    # A padded one is no code of what is worth a fourth.
    ops, _ = ops_of(lambda x: conv(4, input_quantizer=None, **options)(codes(conv(40)(x), 3, 0.25)))
    assert ops == ["SteQuantize", "SteConv2D", *(["SteDequantize"] if options else []), "SteConv2D"]


def test_averages_of_codes_that_are_quantized_need_a_scale_that_is_a_power_of_two():
    def build(scale, last):
        return lambda x: last(L.GlobalAveragePooling2D()(codes(conv(40)(x), 4, scale)))

    quantized = QuantDense(3, kernel_quantizer=TWN(), input_quantizer=UniformQuantizer(4, 0.37))
    for scale, last in [(0.25, L.Dense(3)), (0.3, L.Dense(3)), (0.25, quantized)]:
        ops, _ = ops_of(build(scale, last), exact=last is quantized)
        assert "SteAveragePool2D" in ops and "MEAN" not in ops and "SteDequantize" not in ops
    ops, report = ops_of(build(0.3, quantized), exact=False)
    assert "MEAN" in ops
    assert [row.reason for row in report.rows if row.op == "SteDequantize"] == [
        "its scale is no power of two, so that averages of codes would be rounded otherwise"
    ]


@pytest.mark.parametrize("quantizer", [SteSign(), ByChannel(), UniformQuantizer(2, 0.5), UniformQuantizer(8, 0.1)])
def test_an_average_is_quantized_where_it_is_made(quantizer):
    def build(x, read_twice=False):
        average = L.AveragePooling2D(2)(x)
        y = conv(4, input_quantizer=quantizer)(average)
        return L.Concatenate()([y, average]) if read_twice else y

    ops, _ = ops_of(build)
    assert ops == ["SteAveragePool2D", "SteConv2D"]
    ops, _ = ops_of(lambda x: build(x, read_twice=True))
    assert ops[:2] == ["SteAveragePool2D", "SteQuantize"]


def test_bytes_are_added():
    ops, _ = ops_of(lambda x: conv(4)(L.Add()([codes(conv(4)(x), 8, 0.3), codes(conv(4)(x), 3, 0.7)])))
    assert ops.count("SteAdd") == 1 and "SteDequantize" not in ops


def test_padding_that_is_another_code_in_each_channel_stays_in_float():
    ops, report = ops_of(lambda x: conv(4, input_quantizer=ByChannel())(L.ZeroPadding2D(1)(conv(9)(x))))
    assert "PAD" in ops
    assert "padded with a number that has another code in each channel" in report.rows[-2].reason


def test_what_else_reads_the_numbers_gets_them():
    def build(x):
        x = conv(8)(x)
        y = L.Concatenate()([x, conv(4)(x)])
        return L.Concatenate()([L.Flatten()(y), L.Flatten()(conv(4)(norm(y))), L.Flatten()(L.MaxPooling2D(2)(y))])

    ops_of(build)


@pytest.mark.parametrize("name", ["pooled", "residual"])
def test_whole_models_of_integers(name):
    model = model_of(NETWORKS[name], (12, 12, 3))
    x = examples((12, 12, 3), "float32", 0, 20)
    converted = keras_ste.convert(
        model, representative_dataset=x, inference_input_type="int8", inference_output_type="int8"
    )
    (graph,) = read_model(converted.model_content).graphs
    assert not any(t.type == TensorType.FLOAT32 for op in graph.ops for t in op.outputs)
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = source["quantization"]
    found = run(converted, np.clip(np.rint(x / scale) + zero_point, -128, 127).astype(np.int8))
    scale, zero_point = result["quantization"]
    np.testing.assert_allclose((found.astype(np.float32) - zero_point) * scale, model(x), atol=3 * scale)


# Filters, the quantizers of the two layers, how the feature map is reshaped, and whether it is normalized.
packed = static_inputs.filter(lambda make: make().spec.bits <= 4)
narrow_maps = st.tuples(st.integers(1, 15), packed, packed, st.integers(0, 2), st.booleans())


def reshaped(x, filters, first, second, move, normed):
    """A layer of few filters, of whose 4 x 4 pixels another layer reads numbers in another shape."""
    x = conv(filters, 3, 2, input_quantizer=first())(x)
    x = L.ReLU()(norm(x)) if normed else x
    x = L.Reshape([(-1,), (4 * filters, 4), (2, 2 * filters, 4)][move])(x)
    options = {"kernel_quantizer": TWN(), "input_quantizer": second()}
    layer = [QuantDense(5, **options), QuantConv1D(5, 3, **options), QuantConv2D(5, 2, **options)][move]
    return L.Flatten()(layer(x))


@hypothesis.settings(max_examples=3, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
@hypothesis.given(st.lists(narrow_maps, min_size=4, max_size=4), st.integers(0, 2**31))
def test_codes_of_pixels_that_do_not_fill_words_are_reshaped_as_bytes(maps, seed):
    keras.utils.set_random_seed(seed)
    x = keras.Input((8, 8, 3), name="x", dtype="uint8")
    stem = codes(norm(QuantConv2D(16, 3, padding="same", kernel_quantizer=TWN())(x)))
    model = keras.Model(x, [reshaped(stem, *each) for each in maps])
    images = np.random.default_rng(seed).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    expected = [y.numpy() for y in model(images)]

    converted = keras_ste.convert(model, strict=True)
    (graph,) = read_model(converted.model_content).graphs
    for op in graph.select("RESHAPE"):
        assert op.inputs[0].type != TensorType.FLOAT32 or not any(each.name in STE_OPS for each in graph.consumers(op.outputs[0]))
    assert "less than half of their words" not in str(converted.report)
    found = keras_ste.Interpreter(model_content=converted.model_content).get_signature_runner()(x=images)
    for name, values in zip(converted_outputs(converted), expected, strict=True):
        np.testing.assert_array_equal(found[name], values)

    # In a model of integers too the codes are Keras's, and only the last sums are rounded.
    whole = keras_ste.convert(model, strict=True, inference_output_type="int8")
    micro = keras_ste.MicroInterpreter(model_content=whole.model_content)
    micro.set_input(images[:1], 0)
    micro.invoke()
    interpreter = keras_ste.Interpreter(model_content=whole.model_content)
    runner, details = interpreter.get_signature_runner(), interpreter.get_signature_runner().get_output_details()
    found = runner(x=images)
    for index, (name, values) in enumerate(zip(converted_outputs(whole), expected, strict=True)):
        scale, zero_point = details[name]["quantization"]
        numbers = scale * (found[name].astype(np.float64) - zero_point)
        np.testing.assert_allclose(numbers, values, rtol=0, atol=0.51 * scale)
        np.testing.assert_array_equal(micro.get_output(index), found[name][:1])


def converted_outputs(converted):
    """The names of the outputs in their order."""
    (signature,) = read_model(converted.model_content).signatures
    return list(signature.outputs)
