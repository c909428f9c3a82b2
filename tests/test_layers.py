"""QuantDense and QuantConv2D: everything a Keras layer does, on exactly the quantized numbers."""

import inspect
import os
import subprocess
import sys

import keras
import layer_checks
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import keras_ste
from keras_ste import QuantConv2D, QuantDense, SteSign, XnorSign

BINARY = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
XNOR = {"input_quantizer": "ste_sign", "kernel_quantizer": "xnor_sign"}
WEIGHTS_ONLY = {"kernel_quantizer": "ste_sign"}


def tenths(w):
    return tf.round(10 * w) / 10


LAYERS = {
    "dense": (QuantDense, {"units": 4, **BINARY}, (3, 7)),
    "dense_3d": (QuantDense, {"units": 4, **XNOR}, (3, 2, 7)),
    "dense_weights": (QuantDense, {"units": 4, "use_bias": False, **WEIGHTS_ONLY}, (3, 7)),
    "conv": (QuantConv2D, {"filters": 4, "kernel_size": 3, **BINARY}, (3, 6, 5, 2)),
    "conv_xnor": (
        QuantConv2D,
        {"filters": 4, "kernel_size": (3, 2), "strides": 2, "padding": "same", **XNOR},
        (3, 6, 5, 2),
    ),
    "conv_groups": (
        QuantConv2D,
        {"filters": 4, "kernel_size": 2, "groups": 2, "use_bias": False, **BINARY},
        (3, 4, 5, 6),
    ),
    "conv_ones": (
        QuantConv2D,
        {"filters": 3, "kernel_size": 3, "padding": "same", "pad_values": 1, **BINARY},
        (3, 6, 5, 2),
    ),
    "conv_weights": (
        QuantConv2D,
        {"filters": 3, "kernel_size": 3, "dilation_rate": 2, **WEIGHTS_ONLY},
        (3, 7, 6, 2),
    ),
}
each_layer = pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)


def make(case, seed=0):
    cls, arguments, shape = case
    layer = cls(**arguments)
    layer.build(shape)
    layer_checks.randomize(layer, seed)
    rng = np.random.default_rng(seed + 1)
    x = rng.normal(size=shape).astype("float32")
    x[rng.random(shape) < 0.1] = 0.0
    return layer, x


@each_layer
def test_the_effective_kernel_is_the_quantized_one(case):
    cls, arguments, shape = case
    window = shape[-1:]
    if cls is QuantConv2D:
        # One window and no padding: each input place has a weight of its own.
        arguments = {**arguments, "padding": "valid", "pad_values": 0, "dilation_rate": 1}
        size = arguments["kernel_size"]
        window = (*((size, size) if isinstance(size, int) else size), shape[-1])
    layer, _ = make((cls, arguments, (1, *window)))
    layer_checks.check_effective_kernel(layer, window)


@each_layer
def test_gradients(case):
    layer_checks.check_gradients(*make(case))


@each_layer
def test_config(case):
    layer_checks.check_config(*make(case))


@each_layer
def test_saving(case, tmp_path):
    layer_checks.check_saving(*make(case), tmp_path)


@each_layer
def test_compiled(case):
    layer_checks.check_compiled(*make(case))


@each_layer
def test_unknown_sizes(case):
    layer, x = make(case)
    layer_checks.check_unknown_sizes(layer, x, unknown=[0])
    layer_checks.check_unknown_sizes(layer, x, unknown=range(x.ndim - 1))


@each_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(case, policy):
    layer_checks.check_mixed_precision(*make(case), policy)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "float64"])
def test_other_dtypes(policy):
    for name in ("dense_3d", "conv_xnor"):
        cls, arguments, shape = LAYERS[name]
        layer = cls(dtype=policy, **arguments)
        y = layer(np.ones(shape, "float32"))
        assert y.dtype.name == policy and layer.quantized_kernel.dtype.name == policy


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_training(jit_compile, policy):
    for name in ("dense_3d", "conv_groups", "conv_ones"):
        cls, arguments, shape = LAYERS[name]
        layer, x = make((cls, {**arguments, "dtype": policy}, shape))
        layer_checks.check_training(layer, x, jit_compile=jit_compile)


def test_no_quantizers_no_difference():
    for cls, arguments, shape in LAYERS.values():
        if arguments.get("pad_values"):
            continue
        arguments = {k: v for k, v in arguments.items() if not k.endswith("_quantizer")}
        layer, x = make((cls, arguments, shape))
        float_twin, _ = layer_checks.twin(layer, x)
        np.testing.assert_array_equal(layer(x), float_twin(x))


@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    units=st.integers(1, 6),
    use_bias=st.booleans(),
    quantizers=st.sampled_from([BINARY, WEIGHTS_ONLY, {"kernel_quantizer": tenths}]),
    activation=st.sampled_from([None, "relu", "tanh"]),
    seed=st.integers(0, 1000),
)
def test_dense_is_the_float_layer_on_quantized_numbers(
    shape, units, use_bias, quantizers, activation, seed
):
    arguments = {"units": units, "use_bias": use_bias, "activation": activation, **quantizers}
    layer, x = make((QuantDense, arguments, shape), seed)
    float_twin, x_quantized = layer_checks.twin(layer, x)
    np.testing.assert_array_equal(layer(x), float_twin(x_quantized))


@st.composite
def conv_cases(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    arguments = {
        "filters": groups * draw(st.integers(1, 3)),
        "kernel_size": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        "groups": groups,
        "padding": draw(st.sampled_from(["valid", "same"])),
        "use_bias": draw(st.booleans()),
        **draw(st.sampled_from([BINARY, WEIGHTS_ONLY, XNOR])),
    }
    if draw(st.booleans()):
        arguments["strides"] = (draw(st.integers(1, 3)),) * 2
    else:
        arguments["dilation_rate"] = (draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    if arguments["padding"] == "same":
        arguments["pad_values"] = draw(st.sampled_from([0, 1]))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    if arguments["padding"] == "valid":
        for axis, size in enumerate((height, width)):
            dilation = arguments.get("dilation_rate", (1, 1))[axis]
            assume(size >= (arguments["kernel_size"][axis] - 1) * dilation + 1)
    return arguments, (draw(st.integers(1, 2)), height, width, groups * draw(st.integers(1, 3)))


@settings(max_examples=60)
@given(case=conv_cases(), seed=st.integers(0, 1000))
def test_conv_is_the_float_layer_on_quantized_numbers(case, seed):
    arguments, shape = case
    layer, x = make((QuantConv2D, arguments, shape), seed)
    y = layer(x)
    assert y.shape == layer.compute_output_shape(shape)
    float_twin, x_quantized = layer_checks.twin(layer, x)
    expected = float_twin(x_quantized)
    if type(layer.kernel_quantizer) is XnorSign:
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_array_equal(y, expected)


@given(case=conv_cases(), seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_sums_are_exact_integers(case, seed):
    arguments, shape = case
    layer, x = make((QuantConv2D, {**arguments, **BINARY, "use_bias": False}, shape), seed)
    accumulators = layer(x).numpy()
    np.testing.assert_array_equal(accumulators, np.round(accumulators))
    scaled, _ = make((QuantConv2D, {**arguments, **XNOR, "use_bias": False}, shape), seed)
    _, alpha = scaled.kernel_quantizer.encode(scaled.kernel)
    np.testing.assert_array_equal(scaled(x), accumulators * alpha.numpy().reshape(-1))


@pytest.mark.parametrize("name", ["conv", "conv_xnor", "conv_groups", "conv_ones"])
def test_channels_first(name):
    cls, arguments, shape = LAYERS[name]
    last, x = make(LAYERS[name])
    first = cls(**arguments, data_format="channels_first")
    transposed = x.transpose(0, 3, 1, 2)
    first.build(transposed.shape)
    first.set_weights(last.get_weights())
    y = tf.function(first, jit_compile=True)(transposed)
    np.testing.assert_allclose(tf.transpose(y, [0, 2, 3, 1]), last(x), rtol=1e-5, atol=1e-5)
    assert y.shape == first.compute_output_shape(transposed.shape)


def test_a_bias_is_one_of_channels_where_rows_are_as_long():
    """keras.ops.add, and with it Keras's own layers, takes it for one along the last axis."""
    first = QuantConv2D(5, 1, data_format="channels_first", kernel_quantizer="ste_sign")
    x = np.zeros((1, 2, 3, 5), "float32")
    first.build(x.shape)
    first.bias.assign(np.arange(5))
    np.testing.assert_array_equal(first(x), np.broadcast_to(np.arange(5.0).reshape(5, 1, 1), (1, 5, 3, 5)))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_integer_inputs_are_cast(dtype):
    x = np.arange(-60, 60).astype(dtype).reshape(1, 4, 5, 6)
    for cls, arguments in [
        (QuantDense, {"units": 3}),
        (QuantConv2D, {"filters": 3, "kernel_size": 3, "padding": "same", "pad_values": 1}),
    ]:
        for quantizers in (BINARY, WEIGHTS_ONLY):
            layer, _ = make((cls, {**arguments, **quantizers}, x.shape))
            np.testing.assert_array_equal(layer(x), layer(x.astype("float32")))


def test_input_scales_are_applied():
    """A scale of the inputs: one for all, one an image or row, and one a channel."""
    for scale_axis in (None, 0, -1):
        quantizer = SteSign(scale="mean_abs", scale_axis=scale_axis)
        for name in ("dense_3d", "conv_xnor", "conv_weights"):
            cls, arguments, shape = LAYERS[name]
            layer, x = make((cls, {**arguments, "input_quantizer": quantizer}, shape))
            float_twin, x_quantized = layer_checks.twin(layer, x)
            np.testing.assert_allclose(layer(x), float_twin(x_quantized), rtol=1e-5, atol=1e-5)
    cls, arguments, shape = LAYERS["conv_ones"]
    layer, x = make((cls, {**arguments, "input_quantizer": quantizer}, shape))
    with pytest.raises(ValueError, match=r"pad_values=1 needs.*one scale.*\(1, 1, 1, 2\)"):
        layer(x)


@pytest.mark.parametrize("scale_axis", [None, 0, 1])
def test_kernel_scales_along_any_axis(scale_axis):
    quantizer = SteSign(scale="mean_abs", scale_axis=scale_axis)
    layer, x = make((QuantDense, {"units": 4, "kernel_quantizer": quantizer}, (3, 7)))
    float_twin, _ = layer_checks.twin(layer, x)
    np.testing.assert_allclose(layer(x), float_twin(x), rtol=1e-5, atol=1e-6)


def test_regularizers_constraints_and_masks_are_keras_s():
    arguments = {
        "kernel_regularizer": keras.regularizers.L2(0.5),
        "activity_regularizer": keras.regularizers.L1(0.25),
        "kernel_constraint": keras.constraints.MaxNorm(1.0),
        "bias_initializer": "ones",
    }
    for name in ("dense", "conv"):
        cls, case, shape = LAYERS[name]
        layer, x = make((cls, {**case, **arguments}, shape))
        y = layer(x)
        expected = [
            0.25 * np.abs(y).sum() / len(x),
            0.5 * np.square(layer.kernel.numpy()).sum(),
        ]
        np.testing.assert_allclose(sorted(layer.losses), sorted(expected), rtol=1e-5)
        assert layer.kernel.constraint is layer.kernel_constraint
    masked = QuantDense(3, **BINARY)(keras.layers.Embedding(5, 4, mask_zero=True)(np.eye(2)))
    assert masked._keras_mask.shape == (2, 2)


@pytest.mark.parametrize("cls", [QuantDense, QuantConv2D])
def test_every_argument_of_the_keras_layer_is_there(cls):
    base = layer_checks.float_class(cls)
    ours = inspect.signature(cls).parameters
    expected = [n for n, p in inspect.signature(base).parameters.items() if p.kind != p.VAR_KEYWORD]
    named = [name for name in expected if name in ours]
    assert list(ours)[: len(named)] == named
    for name in named:
        assert ours[name].default == inspect.signature(base).parameters[name].default
    # The others arrive through **kwargs.
    assert set(expected) - set(named) <= {"quantization_config"}
    minimum = (2,) if cls is QuantDense else (2, 3)
    assert set(base(*minimum).get_config()) < set(cls(*minimum).get_config())


def test_lora_is_quantized_with_the_kernel():
    layer, x = make(LAYERS["dense"])
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.random.default_rng(0).normal(size=(2, 4)))
    kernel = layer.kernel.numpy()
    assert (np.sign(kernel) != np.sign(layer._kernel.numpy())).any()
    np.testing.assert_array_equal(layer.quantized_kernel, SteSign()(kernel))
    np.testing.assert_array_equal(layer(x), SteSign()(x) @ SteSign()(kernel) + layer.bias)


def test_keras_s_own_quantization_is_refused():
    layer, x = make(LAYERS["dense"])
    with pytest.raises(NotImplementedError, match="quantized by its own quantizers.*'int8'"):
        layer.quantize("int8")
    model = keras.Sequential([keras.Input((7,)), layer, keras.layers.Dense(3)])
    expected = layer(x).numpy()
    with pytest.warns(UserWarning, match="quantized by its own quantizers"):
        model.quantize("int8")
    np.testing.assert_array_equal(layer(x), expected)
    assert model.layers[-1].quantization_mode == "int8"
    for cls, arguments in [(QuantDense, (2,)), (QuantConv2D, (2, 3))]:
        with pytest.raises(ValueError, match="float dtype policy.*int8_from_float32"):
            cls(*arguments, dtype="int8_from_float32", **BINARY)


def test_registered_functions_are_quantizers_that_can_be_saved(tmp_path):
    @keras.saving.register_keras_serializable(package="tests")
    def quarters(x):
        return keras_ste.straight_through(lambda x: tf.round(4 * x) / 4)(x)

    arguments = {"units": 4, "input_quantizer": quarters, "kernel_quantizer": quarters}
    layer, x = make((QuantDense, arguments, (3, 7)))
    layer_checks.check_saving(layer, x, tmp_path)
    np.testing.assert_array_equal(layer.quantized_kernel, np.round(4 * layer.kernel.numpy()) / 4)


def test_unregistered_functions_are_loaded_as_custom_objects(tmp_path):
    def halves(x):
        return tf.round(2 * x) / 2

    layer, x = make((QuantDense, {"units": 4, "kernel_quantizer": halves}, (3, 7)))
    model = keras.Sequential([keras.Input((7,)), layer])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects={"halves": halves})
    np.testing.assert_array_equal(loaded(x), model(x))


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="Unknown quantizer 'sgn'.*ste_sign"):
        QuantDense(2, kernel_quantizer="sgn")
    with pytest.raises(TypeError, match="quantizer must be.*3"):
        QuantConv2D(2, 3, input_quantizer=3)
    with pytest.raises(ValueError, match="pad_values must be 0 or 1.*-1"):
        QuantConv2D(2, 3, padding="same", pad_values=-1)
    with pytest.raises(ValueError, match="pad_values=1 needs padding='same'.*'valid'"):
        QuantConv2D(2, 3, pad_values=1)
    for wrong in (lambda w: w[0], lambda w: tf.cast(w, "float64")):
        layer = QuantDense(2, kernel_quantizer=wrong, name="wrong")
        with pytest.raises(
            ValueError, match=r"kernel_quantizer of layer 'wrong'.*\(3, 2\) float32"
        ):
            layer(np.ones((1, 3), "float32"))


def test_importing_the_package_loads_neither_converter_nor_native_library():
    program = """
import sys, keras_ste
loaded = [m for m in sys.modules if m.startswith(("keras_ste.converter", "keras_ste.runtime"))]
maps = [line.split()[-1] for line in open("/proc/self/maps") if "libkeras_ste" in line]
assert not loaded and not maps, (loaded, maps)
assert {"convert", "Interpreter", "MicroInterpreter", "ConvertedModel"} <= set(dir(keras_ste))
assert "ai_edge_litert" not in sys.modules
try:
    keras_ste.no_such_name
except AttributeError as error:
    assert "no_such_name" in str(error)
else:
    raise AssertionError("no AttributeError")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.delitem(sys.modules, "keras_ste")
    with pytest.raises(ImportError, match="'jax'.*KERAS_BACKEND=tensorflow"):
        __import__("keras_ste")
