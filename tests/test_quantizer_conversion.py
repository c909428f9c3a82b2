"""What the converter makes of every quantizer: packed and equal bit for bit, or named in the report and close."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from quantizer_checks import CASES, bits_of, borders, normal

import keras_ste
from keras_ste import QuantActivation, QuantConv2D, QuantDense, quantizers
from keras_ste.quantizers import (
    TTQ,
    TWN,
    AdaBin,
    AdaBinActivation,
    AffineQuantizer,
    ApproxSign,
    BitnetBinary,
    BitnetTernary,
    DorefaActivation,
    DorefaWeight,
    FixedPoint,
    IRNetSign,
    LearnedBitWidth,
    Lsq,
    LsqPlus,
    MagnitudeAwareSign,
    N2uq,
    Pact,
    QuantSpec,
    RSign,
    Sawb,
    SteHeaviside,
    SteSign,
    SteTern,
    StochasticBinary,
    StochasticTernary,
    SwishSign,
    UniformQuantizer,
)

NORMAL = keras.initializers.RandomNormal(stddev=1.0, seed=5)
KERNELS = {
    "approx_sign": ApproxSign,
    "approx_sign_scaled": lambda: ApproxSign(scale="mean_abs"),
    "swish_sign": SwishSign,
    "swish_sign_one_scale": lambda: SwishSign(scale="mean_abs", scale_axis=None),
    "magnitude_aware_sign": MagnitudeAwareSign,
    "irnet_sign": IRNetSign,
    "bitnet_binary": BitnetBinary,
    "stochastic_binary": StochasticBinary,
}
INPUTS = {
    "approx_sign": ApproxSign,
    "swish_sign": SwishSign,
    "stochastic_binary": StochasticBinary,
    "rsign": lambda: RSign(threshold_initializer=NORMAL),
    "rsign_one_threshold": lambda: RSign(axis=None, threshold_initializer=NORMAL),
}
# No bit is lost on the way to integers, whatever their width: between the layers there is nothing but codes.
CODES = {
    "ternary": {"kernel_quantizer": SteTern, "input_quantizer": SteTern},
    "twn": {"kernel_quantizer": lambda: TWN(scale_axis=-1), "input_quantizer": "ste_sign"},
    "bitnet_ternary": {"kernel_quantizer": BitnetTernary, "input_quantizer": lambda: UniformQuantizer(3, 0.7)},
    "stochastic_ternary": {"kernel_quantizer": StochasticTernary, "input_quantizer": StochasticTernary},
    "heaviside": {"kernel_quantizer": "ste_sign", "input_quantizer": SteHeaviside},
    "standardized": {"kernel_quantizer": IRNetSign, "input_quantizer": SteHeaviside},
    "dorefa": {"kernel_quantizer": lambda: DorefaWeight(3), "input_quantizer": lambda: DorefaActivation(2)},
    "learned_steps": {
        "kernel_quantizer": lambda: Lsq(4, scale_axis=-1, initial_step=0.02, narrow_range=True),
        "input_quantizer": lambda: Lsq(4, signed=False, initial_step=0.31),
    },
    "pact": {"kernel_quantizer": Sawb, "input_quantizer": lambda: Pact(4, 3.0)},
    "affine": {
        "kernel_quantizer": lambda: AffineQuantizer(3),
        "input_quantizer": lambda: AffineQuantizer(4, -1.0, 3.0),
    },
    "floor": {"kernel_quantizer": FixedPoint, "input_quantizer": lambda: UniformQuantizer(3, 0.3, rounding="floor")},
    "levels": {"kernel_quantizer": lambda: UniformQuantizer(5), "input_quantizer": N2uq},
}
# Codes of more than 4 bits are made by an op of their own.
BYTES = {
    "dorefa": {"kernel_quantizer": lambda: DorefaWeight(8), "input_quantizer": lambda: DorefaActivation(8)},
    "pact": {"kernel_quantizer": lambda: Sawb(5), "input_quantizer": lambda: Pact(6, 3.0)},
    "affine": {
        "kernel_quantizer": lambda: UniformQuantizer(8, scale_axis=-1),
        "input_quantizer": lambda: AffineQuantizer(8, -1.0, 3.0),
    },
    "floor": {"kernel_quantizer": "ste_sign", "input_quantizer": lambda: UniformQuantizer(6, 0.3, rounding="floor")},
    "learned_width": {"kernel_quantizer": LearnedBitWidth, "input_quantizer": LearnedBitWidth},
}
NOT_PACKED = {
    "ttq": {"kernel_quantizer": lambda: TTQ(scale_initializer=keras.initializers.Constant(0.7))},
    "ada_bin": {"kernel_quantizer": AdaBin, "input_quantizer": AdaBinActivation},
    "offset": {"kernel_quantizer": "ste_sign", "input_quantizer": lambda: LsqPlus(4, None, 0.3, -0.2)},
    "computed_scale": {"kernel_quantizer": "ste_sign", "input_quantizer": lambda: UniformQuantizer(4)},
    "mean_of_inputs": {"kernel_quantizer": "ste_sign", "input_quantizer": lambda: SteTern(0, True)},
    "many_scales": {"kernel_quantizer": "ste_sign", "input_quantizer": lambda: Lsq(4, scale_axis=-1)},
    "sixteen_bits": {"kernel_quantizer": lambda: UniformQuantizer(16)},
    "scaled_inputs": {"kernel_quantizer": "ste_sign", "input_quantizer": MagnitudeAwareSign},
    "centered_inputs": {"kernel_quantizer": "ste_sign", "input_quantizer": BitnetBinary},
    "scale_within_channels": {"kernel_quantizer": lambda: MagnitudeAwareSign(scale_axis=0)},
}


def network(**make):
    """A convolution on pixels, one on signs, pooling and a dense layer, with batch norms as training leaves them."""

    def quantizers():
        return {name: value if isinstance(value, str) else value() for name, value in make.items()}

    layers = [
        keras.Input((8, 8, 3), name="image"),
        QuantConv2D(40, 3, kernel_quantizer="ste_sign", name="first"),
        keras.layers.BatchNormalization(name="norm"),
        QuantConv2D(33, 3, padding="same", pad_values=int(packs(make)), name="conv", **quantizers()),
        keras.layers.MaxPooling2D(2),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        QuantDense(5, name="dense", **quantizers()),
    ]
    model = keras.Sequential(layers, name="net")
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.gamma.assign(rng.choice([-1.5, 0, 0.2, 1], n))
            layer.beta.assign(rng.normal(size=n))
            layer.moving_mean.assign(3 * rng.normal(size=n))
            layer.moving_variance.assign(rng.uniform(0.01, 60, n))
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.normal(size=layer.bias.shape))
    return model


def packs(make):
    return make not in NOT_PACKED.values()


def images(count=3):
    # Multiples of 1/8, so that float sums are exact in any order.
    return (np.random.default_rng(1).integers(-128, 128, (count, 8, 8, 3)) / 8).astype("float32")


def run(converted, x):
    interpreter = keras_ste.Interpreter(model_content=converted.model_content)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def ops(converted):
    return [row.op for row in converted.report.rows]


@pytest.mark.parametrize("make", KERNELS.values(), ids=KERNELS)
def test_binary_kernels_are_packed_and_equal_bit_for_bit(make):
    model = network(kernel_quantizer=make, input_quantizer="ste_sign")
    converted = keras_ste.convert(model, strict=True)
    assert set(ops(converted)) == {"SteConv2D", "SteMaxPool2D", "SteFullyConnected"}
    x = images()
    np.testing.assert_array_equal(run(converted, x), model(x, training=False))


@pytest.mark.parametrize("make", CODES.values(), ids=CODES)
def test_codes_are_packed_and_equal_bit_for_bit(make):
    model = network(**make)
    converted = keras_ste.convert(model, strict=True)
    assert set(ops(converted)) == {"SteConv2D", "SteMaxPool2D", "SteFullyConnected"}
    x = images()
    np.testing.assert_array_equal(run(converted, x), model(x, training=False))


@pytest.mark.parametrize("make", BYTES.values(), ids=BYTES)
def test_codes_of_many_bits_are_equal_bit_for_bit(make):
    model = network(**make)
    converted = keras_ste.convert(model, strict=True)
    # The convolution's are its output; the dense layer's are of what is pooled and normalized in float.
    assert ops(converted).count("SteQuantize") == 1
    x = images()
    np.testing.assert_array_equal(run(converted, x), model(x, training=False))


@pytest.mark.parametrize("make", INPUTS.values(), ids=INPUTS)
def test_binary_inputs_are_packed_and_equal_bit_for_bit(make):
    model = network(kernel_quantizer="xnor_sign", input_quantizer=make)
    converted = keras_ste.convert(model, strict=True)
    x = images()
    np.testing.assert_array_equal(run(converted, x), model(x, training=False))
    # Thresholds behind the flattening keep the dense layer's signs from being taken before it.
    left = [row.layer for row in converted.report.rows if row.op == "SteQuantize"]
    assert left == (["net/dense"] if isinstance(make(), RSign) else [])


def test_a_learned_threshold_becomes_one_of_the_sums_exactly():
    """Thresholds that the batch norm's values hit: one rounding more or less would change the bits."""
    model = network(kernel_quantizer="ste_sign", input_quantizer=RSign)
    conv = model.get_layer("conv")
    x = images(2)
    before = keras.Model(model.inputs, model.get_layer("norm").output)([x]).numpy()
    for image in range(2):
        conv.input_quantizer.threshold.assign(before[image, 1, 2])
        converted = keras_ste.convert(model, strict=True)
        assert ops(converted)[:2] == ["SteConv2D", "SteConv2D"]
        np.testing.assert_array_equal(run(converted, x), model(x, training=False))


def test_thresholds_on_the_model_inputs():
    layer = QuantDense(7, input_quantizer=RSign(threshold_initializer=NORMAL), kernel_quantizer="ste_sign")
    model = keras.Sequential([keras.Input((40,)), layer])
    converted = keras_ste.convert(model, strict=True)
    assert ops(converted) == ["SUB", "SteQuantize", "SteFullyConnected"]
    x = np.random.default_rng(0).normal(size=(50, 40)).astype("float32")
    x[::2] = layer.input_quantizer.threshold
    np.testing.assert_array_equal(run(converted, x), model(x))


@pytest.mark.parametrize("make", NOT_PACKED.values(), ids=NOT_PACKED)
def test_what_has_no_kernel_is_named_and_computes_the_same(make):
    model = network(**make)
    x = images()
    if make in (NOT_PACKED["ada_bin"], NOT_PACKED["many_scales"]):
        model(x, training=True)  # scales that are taken from the first data
    converted = keras_ste.convert(model)
    assert [layer for layer, _ in converted.report.unpacked] == ["net/conv", "net/dense"]
    np.testing.assert_allclose(run(converted, x), model(x, training=False), rtol=1e-4, atol=1e-3)


def test_strict_names_what_is_not_packed():
    with pytest.raises(ValueError, match="strict=True.*\n.*net/conv.*\n.*net/dense"):
        keras_ste.convert(network(**NOT_PACKED["ttq"]), strict=True)


# All quantizers at once, since a conversion takes seconds: a branch of one model for each.


def branches(layer_of, names):
    """A model with one input and, by the name of each case, the output of a layer."""
    inputs = keras.Input((4,))
    return keras.Model(inputs, {name: layer_of(CASES[name])(inputs) for name in names})


INPUT_CASES = [name for name, case in CASES.items() if not case.weights_only]


def test_every_quantizer_of_inputs_is_the_same_in_the_file():
    """Bit for bit, next to every border between two codes, too; a scale that is a sum, up to rounding."""
    model = branches(lambda case: QuantActivation(case.make()), INPUT_CASES)
    model(normal(0, (50, 4)), training=True)  # scales that are taken from the first data
    quantizers = {layer.name: layer.quantizer for layer in model.layers if isinstance(layer, QuantActivation)}
    x = np.concatenate([borders(quantizer) for quantizer in quantizers.values()])
    # TensorFlow takes subnormal numbers for zeros, LiteRT does not.
    x = np.where(np.abs(x) < 2.0**-126, 0, x).astype("float32")
    expected = model(x)
    found = keras_ste.Interpreter(model_content=keras_ste.convert(model).model_content)
    found = found.get_signature_runner()(**{model.inputs[0].name: x})
    assert found.keys() == expected.keys() == set(INPUT_CASES)
    for name, values in expected.items():
        if CASES[name].sums:
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            # Codes know one zero.
            assert bits_of(found[name] + 0.0) == bits_of(values + np.float32(0)), name


def test_every_quantizer_of_kernels_converts():
    model = branches(lambda case: QuantDense(4, kernel_quantizer=case.make()), CASES)
    x = normal(1, (5, 4))
    found = keras_ste.Interpreter(model_content=keras_ste.convert(model).model_content)
    found = found.get_signature_runner()(**{model.inputs[0].name: x})
    for name, values in model(x).items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5, err_msg=name)


# Quantizers that say wrong things of themselves.


def compare(model, exact=True):
    """Converts a model and compares it with Keras."""
    x = normal(1, (3, *model.input_shape[1:]))
    x.flat[::7] = 0
    converted = keras_ste.convert(model, strict=exact)
    np.testing.assert_allclose(run(converted, x), model(x), rtol=0 if exact else 1e-4, atol=0 if exact else 1e-4)
    return converted


class Plain(quantizers.Quantizer):
    """One bipolar bit, and nothing said about what it is the sign of."""

    @property
    def spec(self):
        return QuantSpec(1, "bipolar")

    def factors(self, x, training=False):
        return tf.where(x >= 0.5, tf.ones_like(x), -tf.ones_like(x)), None

    def encode(self, x):
        return tf.cast(tf.convert_to_tensor(x) >= 0.5, tf.int8)


class Shifted(SteSign):
    """Says that it is the sign of its input, which it is not."""

    def factors(self, x, training=False):
        return super().factors(x - 0.5)


class Halved(SteSign):
    """A scale that is neither in the spec nor in the codes."""

    def factors(self, x, training=False):
        integers, _ = super().factors(x)
        return integers, tf.constant(0.5)


class Levels(SteSign):
    def factors(self, x, training=False):
        return super().factors(x)[0] * 0.5, None


class Neighbours(SteSign):
    """Elements that depend on each other."""

    def factors(self, x, training=False):
        return super().factors(x - tf.reduce_mean(x, axis=-1, keepdims=True))


class Falling(SteSign):
    def factors(self, x, training=False):
        return super().factors(-x)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"input_quantizer": Levels()}, "its input_quantizer gives other values than integers"),
        ({"input_quantizer": Neighbours()}, "its input_quantizer gives other values than integers"),
        ({"input_quantizer": Falling()}, "other values than integers that rise with each number by itself"),
        ({"kernel_quantizer": Levels()}, "its kernel_quantizer gives other values than integers"),
    ],
)
def test_what_has_no_codes_is_not_packed(arguments, reason):
    unpacked = dict(compare(two_layers(**arguments), exact=False).report.unpacked)
    assert unpacked.keys() == {"net/conv", "net/dense"}
    assert all(reason in why for why in unpacked.values())


@pytest.mark.parametrize(
    "name, value, reason",
    [
        ("kernel", np.nan, "the kernel of layer 'dense' has a NaN or an infinite value"),
        ("kernel", np.inf, "the kernel of layer 'dense' has a NaN or an infinite value"),
        ("bias", np.inf, "its scales or its biases are not finite"),
        ("step", np.nan, "its input_quantizer gives a scale that is not finite: nan"),
        ("step", -0.5, "other values than integers that rise with each number by itself: its scale is -0.5"),
    ],
)
def test_weights_that_training_spoilt_are_named(name, value, reason):
    layer = QuantDense(4, input_quantizer=Lsq(4, initial_step=0.5), kernel_quantizer="ste_sign", name="dense")
    model = keras.Sequential([keras.Input((12,)), layer], name="net")
    (spoilt,) = (variable for variable in model.weights if variable.name == name)
    spoilt.assign(tf.fill(spoilt.shape, value))
    with pytest.raises(ValueError, match=reason):
        keras_ste.convert(model, strict=True)


@pytest.mark.parametrize("quantizer", [Plain(), Shifted(), Halved()])
def test_inputs_are_packed_as_they_are_quantized(quantizer):
    compare(two_layers(input_quantizer=quantizer))


def two_layers(**arguments):
    arguments = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", **arguments}
    layers = [QuantConv2D(4, 2, name="conv", **arguments), QuantDense(4, name="dense", **arguments)]
    return keras.Sequential([keras.Input((4, 5, 3)), *layers], name="net")


@pytest.mark.parametrize("quantizer", [Plain(), Shifted(), Halved()])
def test_kernels_are_packed_as_the_layer_computes_with_them(quantizer):
    layer = QuantDense(4, input_quantizer="ste_sign", kernel_quantizer=quantizer)
    compare(keras.Sequential([keras.Input((12,)), layer]))
