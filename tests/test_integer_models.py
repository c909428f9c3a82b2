"""Whole models of integers: int8 between all ops, from an int8 or uint8 input to an int8 or uint8 output."""

import pathlib
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import OpResolverType
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import keras_ste
from keras_ste import QuantConv2D, QuantDense, QuantDepthwiseConv2D
from keras_ste.converter.graph import TensorType, constant_tensor, read_model
from keras_ste.converter.integer.parameters import fixed_point, integer_weights, parameters_of_range
from keras_ste.quantizers import AffineQuantizer, UniformQuantizer

ROOT = pathlib.Path(__file__).parent.parent
SIGN = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
BYTES = {"int8": (np.int8, -128), "uint8": (np.uint8, 0)}


def op_names(converted):
    return [op.name for op in read_model(converted.model_content).graphs[0].ops]


def computed_floats(converted):
    """The names of the tensors of floats that are no constants."""
    graph = read_model(converted.model_content).graphs[0]
    return [t.name for t in graph.tensors() if t.type == TensorType.FLOAT32 and not t.constant]


def run(converted, *arrays, reference=True):
    """The output of the file in LiteRT, with the built-in ops' reference kernels or with XNNPACK's."""
    resolver = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    interpreter = keras_ste.Interpreter(
        model_content=converted.model_content, experimental_op_resolver_type=resolver
    )
    for detail, array in zip(interpreter.get_input_details(), arrays, strict=True):
        interpreter.resize_tensor_input(detail["index"], array.shape)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), arrays, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def run_micro(converted, array):
    """The same in TFLite Micro, one row at a time."""
    pytest.importorskip("tflite_micro")
    interpreter = keras_ste.MicroInterpreter(model_content=converted.model_content)
    rows = []
    for row in array:
        interpreter.set_input(row[np.newaxis], 0)
        interpreter.invoke()
        rows.append(interpreter.get_output(0)[0])
    return np.array(rows)


def details(converted):
    """Type, scale and zero point of the first input and output."""
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    first = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    return [(detail["dtype"], *detail["quantization"]) for detail in first]


def worth(converted, output):
    """What the integers of the output stand for."""
    _, (_, scale, zero_point) = details(converted)
    return scale * (output.astype(np.float64) - zero_point)


def test_codes_of_8_bits_are_kerass():
    """Where codes that were trained follow on a layer, it gives them bit for bit: its roundings are Keras's."""
    rng = np.random.default_rng(0)
    byte = {"input_quantizer": UniformQuantizer(8, 0.04), "kernel_quantizer": UniformQuantizer(8, scale_axis=-1)}
    model = keras.Sequential([
        keras.Input((12, 12, 3)), QuantConv2D(8, 3, **byte), keras.layers.BatchNormalization(), keras.layers.ReLU(),
        keras.layers.MaxPooling2D(), QuantConv2D(6, 3, padding="same", activation="relu6", **byte),
        keras.layers.BatchNormalization(), keras.layers.Flatten(), QuantDense(5, **byte),
    ])  # fmt: skip
    shaken(model, rng)
    x = rng.normal(scale=2, size=(40, 12, 12, 3)).astype(np.float32)
    converted = keras_ste.convert(model, inference_input_type="int8")
    assert op_names(converted) == ["SteConv2D", "MAX_POOL_2D", "SteConv2D", "RESHAPE", "SteFullyConnected"]
    _, scale, zero_point = details(converted)[0]
    assert (scale, zero_point) == (np.float32(0.04), 0)
    codes = np.asarray(byte["input_quantizer"].factors(x)[0]).astype(np.int8)
    output = run(converted, codes)
    assert np.array_equal(output, model.predict(x, verbose=0))
    assert np.array_equal(run_micro(converted, codes[:5]), output[:5])


def test_bytes_are_pooled_and_reshaped_in_turn():
    rng = np.random.default_rng(0)

    def byte():
        return {"input_quantizer": UniformQuantizer(8, 0.1), "kernel_quantizer": "ste_sign"}

    model = keras.Sequential([
        keras.Input((16, 3)), keras_ste.QuantConv1D(6, 3, **byte()), keras.layers.MaxPooling1D(2),
        keras.layers.Reshape((21, 2)), keras.layers.MaxPooling1D(3), keras.layers.Flatten(), QuantDense(5, **byte()),
    ])  # fmt: skip
    x = rng.normal(size=(5, 16, 3)).astype(np.float32)
    converted = keras_ste.convert(model, strict=True)
    moved = ["RESHAPE", "SteConv2D", "MAX_POOL_2D", "RESHAPE", "MAX_POOL_2D", "RESHAPE", "SteFullyConnected"]
    assert op_names(converted) == ["SteQuantize", *moved]
    assert len(computed_floats(converted)) == 2  # the input and the output
    assert np.array_equal(run(converted, x), model.predict(x, verbose=0))


def test_few_sums_are_rounded_where_they_are():
    """Nine signs have ten sums: no whole number of them is the bias that lies between."""
    rng = np.random.default_rng(0)
    model = keras.Sequential([
        keras.Input((6, 6, 1)), QuantConv2D(4, 3, input_quantizer="ste_sign", kernel_quantizer=UniformQuantizer(2, 0.5)),
        keras.layers.BatchNormalization(),
    ])  # fmt: skip
    shaken(model, rng)
    x = rng.normal(size=(50, 6, 6, 1)).astype(np.float32)
    converted = keras_ste.convert(model, representative_dataset=x, inference_output_type="int8")
    assert op_names(converted) == ["SteQuantize", "SteConv2D"]
    output, step = run(converted, x), details(converted)[1][1]
    assert np.abs(worth(converted, output) - model.predict(x, verbose=0)).max() <= 0.51 * step
    assert np.array_equal(run_micro(converted, x[:5]), output[:5])


def test_a_dense_layer_may_have_a_scale_for_each_unit():
    rng = np.random.default_rng(0)
    byte = {"input_quantizer": UniformQuantizer(8, 0.05), "kernel_quantizer": UniformQuantizer(8, scale_axis=-1)}
    model = keras.Sequential([keras.Input((20,)), QuantDense(7, **byte)])
    x = rng.normal(size=(50, 20)).astype(np.float32)
    options = {"inference_input_type": "int8", "inference_output_type": "int8"}
    # With the argument `verify`, floats are rounded as the file's input says; half a step here, one there.
    converted = keras_ste.convert(model, representative_dataset=x, verify=x, tolerance=1, **options)
    assert op_names(converted) == ["FULLY_CONNECTED"]
    codes = np.clip(np.rint(x / np.float32(0.05)), -128, 127).astype(np.int8)
    assert np.abs(run_micro(converted, codes).astype(int) - run(converted, codes)).max() <= 1


def shaken(model, rng):
    """The model with batch normalizations that scale, move and, here and there, negate."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape
            layer.set_weights([*(rng.normal(size=size) for _ in range(3)), rng.uniform(0.5, 2, size)])
    return model


def pixels(rng, *shape):
    return rng.integers(0, 256, shape).astype(np.uint8)


def as_bytes(images, kind):
    dtype, zero_point = BYTES[kind]
    return (images.astype(int) + zero_point).astype(dtype)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_parameters_reach_over_the_range_and_hold_zero(a, b):
    low, high = min(a, b), max(a, b)
    parameters = parameters_of_range(low, high)
    scale = float(parameters.scale)
    assert -128 <= parameters.zero_point <= 127
    if low == high == 0:
        return
    # The zero point is rounded, which moves both ends by half a step at most.
    assert parameters.range[0] <= min(low, 0) + 0.51 * scale and parameters.range[1] >= max(high, 0) - 0.51 * scale
    assert parameters.quantize(np.float64(0)) == parameters.zero_point


@given(st.lists(st.floats(2.0**-30, 2.0**29), min_size=1))
def test_fixed_point_factors_are_right_to_31_bits(factors):
    multipliers, shifts = fixed_point(np.array(factors))
    assert ((multipliers >= 2**30) & (shifts <= 30)).all()
    np.testing.assert_allclose(multipliers * 2.0 ** (shifts - 31.0), factors, rtol=2.0**-31)


@given(st.integers(0, 2**31))
def test_weights_are_symmetric_and_off_by_half_a_step(seed):
    values = np.random.default_rng(seed).normal(size=(3, 2, 2, 5)).astype(np.float32)
    for axis in (None, 0, 3):
        integers, scales = integer_weights(constant_tensor("w", values), axis)
        each = scales.reshape([-1 if i == axis else 1 for i in range(4)])
        assert np.abs(integers.data).max() == 127
        assert (np.abs(integers.data * each - values) <= 0.501 * each).all()


def packed_network(rng, outputs=7):
    """From pixels to the sums of a packed layer: nothing else is computed in floats."""
    model = keras.Sequential([
        keras.Input((9, 9, 3), dtype="uint8"),
        QuantConv2D(32, 3, kernel_quantizer="ste_sign"),
        keras.layers.BatchNormalization(),
        QuantConv2D(16, 3, strides=2, **SIGN),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        QuantDense(outputs, **SIGN),
    ])  # fmt: skip
    return shaken(model, rng)


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_a_packed_network_needs_no_data(kind):
    """The last layer's sums are bounded by the number of its inputs."""
    rng = np.random.default_rng(0)
    model = packed_network(rng)
    images = pixels(rng, 30, 9, 9, 3)
    converted = keras_ste.convert(model, inference_input_type=kind, inference_output_type=kind)
    bound = np.prod(model.layers[-2].output.shape[1:])
    (dtype, scale, zero_point), (out_dtype, out_scale, out_zero_point) = details(converted)
    moved = BYTES[kind][1]
    assert (dtype, scale, zero_point) == (BYTES[kind][0], 1.0, moved)
    assert out_dtype == BYTES[kind][0] and out_scale == np.float32(2 * bound / 255)
    assert not computed_floats(converted)
    inputs = as_bytes(images, kind)
    output = run(converted, inputs)
    sums = run(keras_ste.convert(model), images)
    # A code is the sum divided by the scale, rounded: the float file's sums are exact.
    expected = np.floor(sums.astype(np.float64) / out_scale + 0.5) + out_zero_point
    assert np.array_equal(output, expected)
    assert np.array_equal(run_micro(converted, inputs), output)
    assert np.array_equal(run(converted, inputs, reference=False), output)


def test_the_whole_scale_is_used_where_data_are_given():
    rng = np.random.default_rng(0)
    model = packed_network(rng)
    images = pixels(rng, 40, 9, 9, 3)
    sums = run(keras_ste.convert(model), images)
    converted = keras_ste.convert(
        model,
        representative_dataset=lambda: ([image[np.newaxis]] for image in images),
        inference_input_type=tf.int8,
        inference_output_type=tf.int8,
    )
    low, high = min(sums.min(), 0), max(sums.max(), 0)
    expected = parameters_of_range(low, high)
    assert details(converted)[1][1:] == (expected.scale, expected.zero_point)
    assert np.abs(worth(converted, run(converted, as_bytes(images, "int8"))) - sums).max() <= 0.51 * expected.scale


def mixed_network(rng):
    """Float layers, packed ones, branches, pools and a softmax."""
    inputs = keras.Input((16, 16, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    shortcut = x = keras.layers.MaxPooling2D()(x)
    x = QuantConv2D(8, 3, padding="same", input_quantizer=UniformQuantizer(2, 0.2), kernel_quantizer="ste_sign")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Add()([x, shortcut])
    x = keras.layers.Concatenate()([x, keras.layers.MaxPooling2D(3, 1, "same")(x)])
    x = keras.layers.DepthwiseConv2D(3, activation="relu6")(x)
    x = keras.layers.AveragePooling2D(2)(x)
    x = keras.layers.Dense(5)(keras.layers.Flatten()(x))
    return shaken(keras.Model(inputs, keras.layers.Softmax()(x)), rng)


def test_a_check_moves_pixels_as_the_file_wants_them():
    rng = np.random.default_rng(0)
    model = packed_network(rng)
    images = pixels(rng, 8, 9, 9, 3)
    converted = keras_ste.convert(model, inference_input_type="int8", verify=images, verify_layers=True)
    verification = converted.report.verification
    assert verification.passed and len(verification.layers) == 4
    assert all(row.differing == 0 for row in (*verification.outputs, *verification.layers))


def test_float_layers_become_int8_ops():
    rng = np.random.default_rng(0)
    model = mixed_network(rng)
    images = pixels(rng, 40, 16, 16, 1)
    converted = keras_ste.convert(
        model,
        representative_dataset=images[:20],
        inference_input_type="int8",
        inference_output_type="int8",
    )
    assert not computed_floats(converted)
    names = op_names(converted)
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "CONCATENATION", "SOFTMAX"} <= set(names)
    assert {"MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "SteQuantize", "SteConv2D"} <= set(names)
    assert details(converted)[1] == (np.int8, 1 / 256, -128)
    inputs = as_bytes(images, "int8")
    output = run(converted, inputs)
    assert np.abs(run_micro(converted, inputs).astype(int) - output).max() <= 1
    # XNNPACK's kernels round halves another way, and the next layer may see it.
    assert np.abs(run(converted, inputs, reference=False).astype(int) - output).max() <= 4
    assert np.abs(worth(converted, output) - model.predict(images, verbose=0)).max() < 0.1


@pytest.mark.parametrize(("input_type", "output_type"), [("int8", None), (None, "uint8"), (None, None), ("uint8", None)])
def test_ends_keep_their_type_where_none_is_asked_for(input_type, output_type):
    rng = np.random.default_rng(0)
    model = keras.Sequential([
        keras.Input((6,)), keras.layers.Dense(8, activation="relu"), QuantDense(4, **SIGN), keras.layers.ReLU(),
        keras.layers.Dense(3),
    ])  # fmt: skip
    x = rng.normal(size=(50, 6)).astype(np.float32)
    converted = keras_ste.convert(
        model,
        representative_dataset=x,
        inference_input_type=input_type,
        inference_output_type=output_type,
    )
    (dtype, scale, zero_point), (out_dtype, *_) = details(converted)
    assert (dtype, out_dtype) == tuple(np.dtype(kind or "float32").type for kind in (input_type, output_type))
    inputs = x
    if input_type is not None:
        limits = np.iinfo(dtype)
        inputs = np.clip(np.rint(x / scale) + zero_point, limits.min, limits.max).astype(dtype)
    names = op_names(converted)
    assert (names[0] == "QUANTIZE") == (input_type != "int8")
    assert names[-1] == ("FULLY_CONNECTED" if output_type == "int8" else "DEQUANTIZE" if output_type is None else "QUANTIZE")
    output = run(converted, inputs)
    got = output if output_type is None else worth(converted, output)
    expected = run(keras_ste.convert(model), x)
    # A sign of a number near zero may differ.
    assert np.median(np.abs(got - expected)) < 0.02 * np.ptp(expected)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_an_input_that_is_quantized_in_training_has_its_quantizers_scale(bits):
    """No data are needed, and what is multiplied is what was trained: the sums are Keras's."""
    rng = np.random.default_rng(bits)
    quantizer = AffineQuantizer(8, -1.0, 2.0)
    layer = QuantDense(5, input_quantizer=quantizer, kernel_quantizer=UniformQuantizer(bits, 0.25))
    model = keras.Sequential([keras.Input((40,)), layer])
    converted = keras_ste.convert(model, inference_input_type="int8")
    (dtype, scale, zero_point), (out_dtype, *_) = details(converted)
    assert dtype == np.int8 and out_dtype == np.float32
    assert op_names(converted) == ["SteFullyConnected"]
    np.testing.assert_allclose(scale, 3 / 255, rtol=1e-6)
    x = rng.normal(size=(64, 40)).astype(np.float32)
    integers, _ = quantizer.factors(x)
    codes = np.asarray(integers, np.int32) + zero_point
    assert codes.min() >= -128 and codes.max() <= 127
    assert np.array_equal(run(converted, codes.astype(np.int8)), model.predict(x, verbose=0))


def test_layers_of_8_bits_become_tflites_own():
    rng = np.random.default_rng(0)
    byte = {"input_quantizer": UniformQuantizer(8, 0.05), "kernel_quantizer": UniformQuantizer(8, scale_axis=-1)}
    depthwise = {"input_quantizer": UniformQuantizer(8, 0.05), "depthwise_quantizer": UniformQuantizer(8, 0.01)}
    dense = {"input_quantizer": UniformQuantizer(8, 0.05), "kernel_quantizer": UniformQuantizer(8)}
    x = rng.normal(size=(30, 8, 8, 3)).astype(np.float32)
    for layer, name in (
        (QuantConv2D(5, 3, strides=2, padding="same", activation="relu", **byte), "CONV_2D"),
        (QuantDepthwiseConv2D(3, dilation_rate=2, depth_multiplier=2, **depthwise), "DEPTHWISE_CONV_2D"),
        (QuantDense(7, **dense), "FULLY_CONNECTED"),
    ):
        model = keras.Sequential([keras.Input((8, 8, 3)), layer])
        converted = keras_ste.convert(
            model, representative_dataset=x, inference_input_type="int8", inference_output_type="int8"
        )
        assert op_names(converted) == [name]
        _, scale, zero_point = details(converted)[0]
        assert (scale, zero_point) == (np.float32(0.05), 0)
        codes = np.clip(np.rint(x / np.float32(0.05)), -128, 127).astype(np.int8)
        output, step = run(converted, codes), details(converted)[1][1]
        assert np.abs(worth(converted, output) - model.predict(x, verbose=0)).max() <= 0.55 * step
        # Runtimes multiply the three scales of a layer in another order, and XNNPACK does in floats.
        for other in (run_micro(converted, codes), run(converted, codes, reference=False)):
            differing = np.abs(other.astype(int) - output)
            assert differing.max() <= 1 and differing.mean() < 0.05


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_codes_of_int8_are_those_of_the_numbers_they_stand_for(bits):
    """SteQuantize behind an int8 op gives each integer the code that Keras gives its number."""
    quantizer = "ste_sign" if bits == 1 else UniformQuantizer(bits, 0.3)
    model = keras.Sequential([
        keras.Input((1,)), keras.layers.Reshape((1, 1)), keras.layers.ZeroPadding1D((0, 1)), keras.layers.Flatten(),
        QuantDense(1, input_quantizer=quantizer, kernel_quantizer="ste_sign", kernel_initializer="ones"),
    ])  # fmt: skip
    data = np.float32([[-1.7], [2.3]])
    converted = keras_ste.convert(model, representative_dataset=data, inference_input_type="int8")
    _, scale, zero_point = details(converted)[0]
    codes = np.arange(-128, 128).astype(np.int8)[:, np.newaxis]
    numbers = np.float32(scale) * (codes.astype(np.float32) - zero_point)
    assert np.array_equal(run(converted, codes), model.predict(numbers, verbose=0))


@settings(max_examples=5, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.data())
def test_random_networks_run_alike_everywhere(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    x = inputs = keras.Input((8, 8, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 128, offset=-1)(x)
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["float", "packed", "byte", "depthwise", "residual", "pool", "pad"]))
        channels = x.shape[-1]
        if kind == "float":
            x = keras.layers.Conv2D(4, 3, padding="same", activation=data.draw(st.sampled_from([None, "relu"])))(x)
        elif kind == "packed":
            x = keras.layers.BatchNormalization()(QuantConv2D(5, 3, padding="same", **SIGN)(x))
        elif kind == "byte":
            eight = {"input_quantizer": UniformQuantizer(8, 0.02), "kernel_quantizer": UniformQuantizer(8)}
            x = QuantConv2D(4, 1, **eight)(x)
        elif kind == "depthwise":
            x = QuantDepthwiseConv2D(3, padding="same", depthwise_quantizer="ste_sign", input_quantizer="ste_sign")(x)
        elif kind == "residual":
            x = keras.layers.Add()([x, QuantConv2D(channels, 3, padding="same", **SIGN)(x)])
        else:
            x = keras.layers.AveragePooling2D(2, 1)(x) if kind == "pool" else keras.layers.ZeroPadding2D(1)(x)
    model = shaken(keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x))), rng)
    images = pixels(rng, 4, 8, 8, 3)
    kind = data.draw(st.sampled_from(sorted(BYTES)))
    converted = keras_ste.convert(
        model, representative_dataset=images, inference_input_type=kind, inference_output_type="int8"
    )
    assert not computed_floats(converted)
    codes = as_bytes(images, kind)
    # The last layer is TFLite's FULLY_CONNECTED, whose scales are multiplied in another order by the two.
    assert np.abs(run_micro(converted, codes).astype(int) - run(converted, codes)).max() <= 1


def packed_step(draw, x):
    """A layer of k bits, or what moves codes on the way to the next one, behind numbers that are not quantized."""
    L, channels = keras.layers, x.shape[-1]
    scale, signed = 2.0 ** draw(st.integers(-2, 4)), draw(st.booleans())
    source = draw(st.sampled_from([UniformQuantizer(2, scale), UniformQuantizer(4, scale, signed=signed), "ste_sign"]))
    kernel = draw(st.sampled_from(["ste_sign", UniformQuantizer(2, scale_axis=-1), UniformQuantizer(4, 0.25)]))
    kind = draw(st.sampled_from(["conv", "depthwise", "norm", "max", "average", "pad", "shuffle", "concat", "add"]))
    if kind == "conv":
        return QuantConv2D(6, 3, padding="same", input_quantizer=source, kernel_quantizer=kernel)(x)
    if kind == "depthwise":
        return QuantDepthwiseConv2D(3, padding="same", input_quantizer=source, depthwise_quantizer="ste_sign")(x)
    if kind == "norm":
        return L.ReLU()(L.BatchNormalization()(x))
    if kind == "max":
        return L.MaxPooling2D(2, 1)(x)
    codes = keras_ste.QuantActivation(source)(x)
    if kind == "average":
        return L.AveragePooling2D(2, 1)(codes)
    if kind == "pad":
        # Signs have no code for 0, and padded numbers would be rounded to int8.
        codes = codes if source != "ste_sign" else keras_ste.QuantActivation(UniformQuantizer(2, scale))(x)
        return L.ZeroPadding2D(((1, 0), (0, 1)))(codes)
    if kind == "shuffle":
        sizes = x.shape[1:-1]
        apart = L.Permute((1, 2, 4, 3))(L.Reshape((*sizes, 3, channels // 3))(codes))
        return L.Reshape((*sizes, channels))(apart)
    other = QuantConv2D(channels, 1, input_quantizer=source, kernel_quantizer=kernel)(x)
    join = L.Concatenate() if kind == "concat" else L.Add()
    return join([codes, keras_ste.QuantActivation(source)(other)])


@settings(max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.data(), st.sampled_from(sorted(BYTES)), st.sampled_from(sorted(BYTES)), st.booleans())
def test_random_packed_networks_need_no_data(data, kind, out_kind, with_data):
    """From bytes to bytes; only the sums of the last layer are rounded, in LiteRT and TFLite Micro alike."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    inputs = keras.Input((6, 6, 3), dtype="uint8")
    x = QuantConv2D(9, 3, padding="same", kernel_quantizer=UniformQuantizer(3, 0.1))(inputs)
    for _ in range(data.draw(st.integers(1, 4))):
        x = packed_step(data.draw, x)
    # A Flatten of few channels cannot move packed codes: numbers would be rounded to int8 in front of it.
    x = QuantConv2D(5, x.shape[1:3], **SIGN)(x)
    model = shaken(keras.Model(inputs, keras.layers.Flatten()(x)), rng)
    images = pixels(rng, 4, 6, 6, 3)
    converted = keras_ste.convert(
        model,
        strict=True,
        representative_dataset=images if with_data else None,
        inference_input_type=kind,
        inference_output_type=out_kind,
    )
    assert not computed_floats(converted)
    codes = as_bytes(images, kind)
    output = run(converted, codes)
    assert np.abs(worth(converted, output) - model.predict(images, verbose=0)).max() <= 0.51 * details(converted)[1][1]
    assert np.array_equal(run_micro(converted, codes), output)


def fashion_network():
    byte = {"input_quantizer": UniformQuantizer(8, 0.05), "kernel_quantizer": UniformQuantizer(8)}
    return keras.Sequential([
        keras.Input((28, 28, 1), dtype="uint8"),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(16, 3, strides=2, use_bias=False),
        keras.layers.BatchNormalization(momentum=0.9),
        QuantConv2D(32, 3, use_bias=False, **SIGN),
        keras.layers.MaxPooling2D(),
        keras.layers.BatchNormalization(momentum=0.9),
        QuantConv2D(32, 3, use_bias=False, **SIGN),
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.GlobalAveragePooling2D(),
        QuantDense(10, **byte),
    ])  # fmt: skip


def test_accuracy_on_fashion_mnist_is_that_of_the_float_file():
    sys.path.insert(0, str(ROOT / "examples"))
    import fashion_data

    if not pathlib.Path(fashion_data.DEBIAN_DATA).is_dir():
        pytest.skip("needs the Debian package dataset-fashion-mnist")
    (images, labels), (tests, test_labels) = (
        fashion_data.load_split(fashion_data.DEBIAN_DATA, split) for split in ("train", "t10k")
    )
    model = fashion_network()
    model.compile(keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images[:8000], labels[:8000], batch_size=64, epochs=1, verbose=0)
    converted = keras_ste.convert(
        model,
        representative_dataset=lambda: ([image[np.newaxis]] for image in images[:100]),
        inference_input_type="int8",
        inference_output_type="int8",
    )
    assert not computed_floats(converted)
    inputs = as_bytes(tests, "int8")
    output, logits = run(converted, inputs, reference=False), run(keras_ste.convert(model), tests)
    integer, float_ = (np.mean(each.argmax(-1) == test_labels) for each in (output, logits))
    assert float_ > 0.6
    assert abs(integer - float_) <= 0.01
    assert np.abs(run_micro(converted, inputs[:20]).astype(int) - run(converted, inputs[:20])).max() <= 1


def test_a_block_of_a_binary_network():
    """Its RPReLU is a comparison with zero, a product and a choice."""
    rng = np.random.default_rng(0)
    inputs = keras.Input((8, 8, 4))
    x = QuantConv2D(4, 3, padding="same", **SIGN)(keras_ste.LearnableBias()(inputs))
    x = keras.layers.Add()([keras.layers.BatchNormalization()(x), inputs])
    model = shaken(keras.Model(inputs, keras_ste.RPReLU()(x)), rng)
    x = rng.normal(size=(20, 8, 8, 4)).astype(np.float32)
    converted = keras_ste.convert(
        model, representative_dataset=x, inference_input_type="int8", inference_output_type="int8"
    )
    assert not computed_floats(converted)
    _, scale, zero_point = details(converted)[0]
    codes = np.clip(np.rint(x / scale) + zero_point, -128, 127).astype(np.int8)
    numbers = np.float32(scale) * (codes.astype(np.float32) - zero_point)
    error = worth(converted, run(converted, codes)) - model.predict(numbers, verbose=0)
    assert np.abs(error).max() < 3 * details(converted)[1][1]


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_several_inputs_and_outputs(kind):
    rng = np.random.default_rng(0)
    a, b = keras.Input((6, 6, 4), name="z"), keras.Input((6, 6, 4), dtype="uint8", name="a")
    x = keras.layers.Add()([a, keras.layers.Rescaling(1 / 255)(b)])
    packed = QuantConv2D(5, 3, name="packed", **SIGN)(x)
    model = keras.Model([a, b], [packed, keras.layers.Dense(3, name="dense")(keras.layers.Flatten()(packed))])
    arrays = {"z": rng.normal(size=(20, 6, 6, 4)).astype(np.float32), "a": pixels(rng, 20, 6, 6, 4)}
    converted = keras_ste.convert(
        model, representative_dataset=arrays, inference_input_type=kind, inference_output_type=kind
    )
    assert not computed_floats(converted)
    runner = keras_ste.Interpreter(model_content=converted.model_content).get_signature_runner()
    ends = {**runner.get_input_details(), **runner.get_output_details()}
    assert set(ends) == {"z", "a", "packed", "dense"}
    assert {detail["dtype"] for detail in ends.values()} == {BYTES[kind][0]}
    assert ends["a"]["quantization"] == (1.0, BYTES[kind][1])
    limits = np.iinfo(BYTES[kind][0])
    scale, zero_point = ends["z"]["quantization"]
    z = np.clip(np.rint(arrays["z"] / scale) + zero_point, limits.min, limits.max).astype(limits.dtype)
    found = runner(z=z, a=as_bytes(arrays["a"], kind))
    expected = dict(zip(("packed", "dense"), model.predict([arrays["z"], arrays["a"]], verbose=0), strict=True))
    for name, output in found.items():
        scale, zero_point = ends[name]["quantization"]
        error = np.abs(scale * (output.astype(float) - zero_point) - expected[name])
        assert np.median(error) < 0.1 * np.ptp(expected[name]), name


def doubled(x):
    """x, doubled three times in a loop."""
    return tf.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, 2 * x), [0, x])[1]


def dense(*layers, shape=(4,), **options):
    return keras.Sequential([keras.Input(shape, **options), *layers])


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (lambda: dense(QuantDense(2, **SIGN)), {"inference_input_type": "int8"}, ValueError, "the range of the tensor '"),
        (lambda: dense(keras.layers.Dense(2)), {"inference_output_type": "int8"}, ValueError, "representative_dataset"),
        (lambda: dense(keras.layers.Dense(2)), {"inference_input_type": "int4"}, ValueError, "got 'int4'"),
        (lambda: dense(keras.layers.Dense(2)), {"representative_dataset": "abc"}, TypeError, "got str"),
        (lambda: dense(keras.layers.Dense(2)), {"representative_dataset": []}, ValueError, "has 0 arrays"),
        (
            lambda: dense(keras.layers.Dense(2)),
            {"representative_dataset": [np.ones((1, 3), np.float32)]},
            ValueError,
            "representative_dataset: the input 'keras_tensor",
        ),
        (
            lambda: dense(keras.layers.Dense(2)),
            {"representative_dataset": [np.full((1, 4), np.nan, np.float32)]},
            ValueError,
            "has a NaN or an infinite number",
        ),
        (
            lambda: dense(keras.layers.Lambda(keras.ops.sin)),
            {"representative_dataset": [np.ones((1, 4), np.float32)]},
            ValueError,
            "SIN, which computes",
        ),
        (
            lambda: dense(QuantDense(2, input_quantizer="bitnet_activation", kernel_quantizer="bitnet_ternary")),
            {"representative_dataset": [np.ones((1, 4), np.float32)], "inference_input_type": "int8"},
            ValueError,
            "scales each row of its input at run time",
        ),
        (
            lambda: dense(keras.layers.Lambda(lambda x: keras.ops.where(x > 200.0, x, 0.5 * x))),
            {"representative_dataset": np.full((1, 4), 300, np.float32)},
            ValueError,
            "range is too wide",
        ),
        (
            lambda: dense(keras.layers.Lambda(doubled)),
            {"representative_dataset": [np.ones((1, 4), np.float32)]},
            ValueError,
            "loops or conditions",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_integer_says_why(model, options, error, message):
    with pytest.raises(error, match=message):
        keras_ste.convert(model(), **options)
