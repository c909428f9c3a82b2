"""Checks that every quantizer has to pass, whatever it computes.

`CASES` are the quantizers that are checked: each that is registered, some with several arguments. A
`Case` says what holds of a quantizer, by default all of it; `CHECKS` are the checks, by name.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import re
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_ste import QuantConv2D, QuantDense, quantizers
from keras_ste.quantizers import (
    TTQ,
    TWN,
    AdaBin,
    AdaBinActivation,
    AffineQuantizer,
    Apot,
    ApproxSign,
    BitnetActivation,
    BitnetBinary,
    BitnetTernary,
    BlockwiseQuantizer,
    DorefaWeight,
    FixedPoint,
    Float8,
    IRNetSign,
    LearnedBitWidth,
    Lsq,
    LsqPlus,
    MagnitudeAwareSign,
    N2uq,
    Pact,
    RSign,
    Sawb,
    SteSign,
    SteTern,
    SwishSign,
    UniformQuantizer,
    XnorSign,
)

HALVES = ("float16", "bfloat16")
DTYPES = ("float32", "float64", *HALVES)


@dataclasses.dataclass(frozen=True)
class Case:
    """A quantizer, and what holds of it.

    Attributes:
        make: makes the quantizer, a new one each time.
        idempotent: q(q(x)) is q(x): `"bits"`, bit for bit in float32; `"nearly"`, with the same codes
            and a scale that is computed anew; `"codes"`, with the same codes only; `""`, not at all.
        along: the axis along which more of x is not less of q(x); `None` where no axis has one scale.
        saturates: ±inf are quantized like large values; else they may make NaN or infinities.
        sums: its scale is a sum of many values, which others add up in another order.
        compiled: XLA finds the same codes.
        weights_only: not for the inputs of a layer, whose batch it would mix.
    """

    make: Callable[[], quantizers.Quantizer]
    idempotent: str = "bits"
    along: int | None = 0
    saturates: bool = True
    sums: bool = False
    compiled: bool = True
    weights_only: bool = False


some = keras.initializers.RandomNormal(seed=3)
uneven = keras.initializers.RandomUniform(0.5, 2.0, seed=3)
# The greatest value is found again, the scale up to rounding.
greatest = functools.partial(Case, idempotent="nearly")
mean = functools.partial(Case, idempotent="nearly", saturates=False, sums=True)
none = functools.partial(Case, idempotent="")

CASES = {
    # One bit.
    "sign_identity": Case(lambda: SteSign(surrogate="identity")),
    "sign_one_scale": mean(lambda: SteSign(scale="mean_abs", scale_axis=None)),
    "sign_first_axis": mean(lambda: SteSign(scale="mean_abs", scale_axis=0), along=1, weights_only=True),
    "xnor_sign": mean(XnorSign),
    "approx_sign_scaled": mean(lambda: ApproxSign(scale="mean_abs")),
    "swish_sign_scaled": mean(lambda: SwishSign(3.0, scale="mean_abs", scale_axis=None)),
    "magnitude_aware_sign": mean(MagnitudeAwareSign),
    "rsign": Case(lambda: RSign(threshold_initializer=some)),
    "rsign_one_threshold": Case(lambda: RSign(axis=None, threshold_initializer=some)),
    "rsign_first_axis": Case(lambda: RSign(axis=0, threshold_initializer=some), along=1, weights_only=True),
    "irnet_sign": mean(IRNetSign, idempotent="codes"),
    "irnet_sign_one_scale": mean(lambda: IRNetSign(scale_axis=None), idempotent="codes"),
    "bitnet_binary": mean(BitnetBinary),
    "bitnet_binary_by_channel": mean(lambda: BitnetBinary(scale_axis=-1)),
    "ada_bin": mean(AdaBin, idempotent="codes"),
    "ada_bin_one_scale": mean(lambda: AdaBin(scale_axis=None), idempotent="codes"),
    "ada_bin_activation": Case(lambda: AdaBinActivation(center_initializer=some, distance_initializer=uneven)),
    # Ternary.
    "ste_tern_of_the_mean": Case(lambda: SteTern(ternary_weight_networks=True), sums=True),
    "twn": mean(TWN),
    "twn_by_channel": mean(lambda: TWN(scale_axis=-1)),
    "ttq": Case(lambda: TTQ(scale_initializer=uneven)),
    "ttq_by_channel": Case(lambda: TTQ(scale_axis=-1, scale_initializer=uneven)),
    "bitnet_ternary": mean(BitnetTernary, idempotent="codes"),
    "bitnet_ternary_by_channel": mean(lambda: BitnetTernary(scale_axis=-1), idempotent="codes"),
    # Integers of k bits.
    "bitnet_activation": greatest(BitnetActivation, along=1, saturates=False),
    "bitnet_activation_2_bits": greatest(lambda: BitnetActivation(bits=2), along=1, saturates=False),
    "bitnet_activation_4_bits": greatest(
        lambda: BitnetActivation(bits=4, axis=(-2, -1)), saturates=False, weights_only=True
    ),
    "uniform_quantizer": greatest(UniformQuantizer),
    "uniform_4_by_channel": greatest(lambda: UniformQuantizer(4, scale_axis=-1)),
    "uniform_first_axis": greatest(lambda: UniformQuantizer(4, scale_axis=0), along=1, weights_only=True),
    "uniform_given": Case(lambda: UniformQuantizer(4, scale=0.3)),
    "uniform_given_by_channel": Case(lambda: UniformQuantizer(4, scale=[0.3, 0.2, 0.07, 1.1], scale_axis=-1)),
    "uniform_narrow": Case(lambda: UniformQuantizer(2, scale=0.5, narrow_range=True)),
    "uniform_unsigned": greatest(lambda: UniformQuantizer(8, signed=False)),
    "uniform_1_bit": Case(lambda: UniformQuantizer(1, signed=False, scale=0.5)),
    "uniform_16_bits": greatest(lambda: UniformQuantizer(16)),
    "uniform_percentile": greatest(lambda: UniformQuantizer(4, "percentile", percentile=90.0)),
    "uniform_percentile_by_channel": greatest(lambda: UniformQuantizer(4, "percentile", scale_axis=-1)),
    "uniform_power_of_two": Case(lambda: UniformQuantizer(4, power_of_two=True, scale_axis=-1)),
    "uniform_floor": none(lambda: UniformQuantizer(4, scale=0.3, rounding="floor")),
    "uniform_ceil": none(lambda: UniformQuantizer(4, signed=False, rounding="ceil", scale_axis=-1)),
    "uniform_to_zero": none(lambda: UniformQuantizer(4, rounding="to_zero")),
    "uniform_stochastic": greatest(lambda: UniformQuantizer(4, rounding="stochastic", seed=7)),
    "uniform_dithered": greatest(lambda: UniformQuantizer(4, signed=False, rounding="dithered")),
    "uniform_surrogate": Case(lambda: UniformQuantizer(4, scale=0.3, surrogate="dsq_round")),
    "lsq": Case(lambda: Lsq(initial_step=0.3)),
    "lsq_from_data": Case(lambda: Lsq(3, rounding="stochastic", seed=1)),
    "lsq_by_channel": Case(lambda: Lsq(2, scale_axis=-1, narrow_range=True, surrogate="ewgs")),
    "lsq_unsigned": Case(lambda: Lsq(8, signed=False, initial_step=0.02)),
    "lsq_plus": Case(lambda: LsqPlus(4, initial_step=0.3, initial_offset=-1.0)),
    "lsq_plus_by_channel": Case(lambda: LsqPlus(8, scale_axis=-1)),
    "pact_by_channel": Case(lambda: Pact(8, initial_alpha=2.0, scale_axis=-1)),
    "dorefa_weight": none(DorefaWeight, compiled=False),
    "dorefa_weight_8_bits": none(lambda: DorefaWeight(8), compiled=False),
    "sawb": mean(Sawb, idempotent=""),
    "sawb_by_channel": mean(lambda: Sawb(4, scale_axis=-1), idempotent=""),
    # Other levels and scales.
    "affine_quantizer": none(AffineQuantizer),
    "affine_given": Case(lambda: AffineQuantizer(4, -1.0, 2.5)),
    "affine_by_channel": none(lambda: AffineQuantizer(5, scale_axis=-1)),
    "fixed_point_12_bits": Case(lambda: FixedPoint(4, 7, rounding="floor")),
    "blockwise_quantizer": greatest(lambda: BlockwiseQuantizer(axis=-1, block_size=3), along=None),
    "blockwise_power_of_two": Case(
        lambda: BlockwiseQuantizer(8, axis=-1, block_size=2, power_of_two=True), along=None
    ),
    "float8_by_channel": greatest(lambda: Float8("e5m2", "max_abs", scale_axis=-1)),
    "float8_given": Case(lambda: Float8(scale=0.3)),
    "apot_unsigned_by_channel": Case(lambda: Apot(5, signed=False, scale_axis=-1)),
    "apot_standardized": mean(lambda: Apot(standardize=True), idempotent=""),
    "n2uq": none(N2uq),
    "n2uq_4_bits": none(lambda: N2uq(4, range=3.0)),
    "learned_bit_width": Case(lambda: LearnedBitWidth(4)),
    "learned_bit_width_unsigned": Case(lambda: LearnedBitWidth(4, signed=False, max_bits=7, penalty=0.1)),
}
# All that are registered, with their default arguments: what is not named above has to hold to everything.
for name in quantizers.names():
    CASES.setdefault(name, Case(functools.partial(quantizers.get, name)))


def tensors():
    """Small arrays of float32: zeros of both signs, ties, subnormals, infinities and NaN among them."""
    edge = st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -1.0, 1e-40, -1e-40, 1e-30, np.inf, -np.inf, np.nan])
    elements = st.floats(-4, 4, width=32) | edge | st.floats(width=32)
    # Few shapes, for each of which a quantizer makes its variables.
    return hnp.arrays(np.float32, st.sampled_from([(0, 4), (3, 4), (2, 3, 4)]), elements=elements)


def built(case, shape):
    """The case's quantizer, built for inputs of this shape."""
    quantizer = case.make()
    if not getattr(quantizer, "built", False):
        quantizer.build(tuple(shape))
    return quantizer


def variables_of(quantizer):
    return [v.value for v in getattr(quantizer, "trainable_variables", [])]


def codes_of(quantizer, x):
    encoded = quantizer.encode(x)
    return encoded[0] if quantizer.spec.dynamic_scale else encoded


def bits_of(x):
    """The bits of all values, those of every NaN the same."""
    x = tf.convert_to_tensor(x).numpy()
    return np.where(np.isnan(x.astype("float64")), x.dtype.type(np.nan), x).tobytes()


def double(x):
    return tf.cast(x, tf.float64).numpy()


def normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def check_values(case):
    """Whatever is quantized: codes and values go together, no NaN is hidden, and q(q(x)) is as it should be."""
    # Each of the few shapes is built once.
    quantizer_for = functools.cache(functools.partial(built, case))

    @settings(max_examples=15)
    @given(x=tensors(), dtype=st.sampled_from(DTYPES))
    def check(x, dtype):
        quantizer = quantizer_for(x.shape)
        check_codes(case, quantizer, tf.cast(x, dtype))
        check_idempotent(case, quantizer, x)

    check()


def check_codes(case, quantizer, x):
    """q(x) is decode(encode(x)) bit for bit, and integers times scale; no NaN is hidden."""
    y = quantizer(x)
    encoded = quantizer.encode(x)
    codes, decoded = encoded[0] if quantizer.spec.dynamic_scale else encoded, quantizer.decode(encoded, dtype=x.dtype)
    assert y.dtype == x.dtype == decoded.dtype and y.shape == x.shape == decoded.shape == codes.shape
    check_range(quantizer, codes)
    nan = np.isnan(double(y))
    assert nan[np.isnan(double(x))].all()
    # A NaN has a code, too; what it stands for is another number.
    assert bits_of(tf.where(nan, y, decoded)) == bits_of(y)
    if (case.saturates and not np.isnan(double(x)).any()) or (np.abs(double(x)) < 1e4).all():
        assert np.isfinite(double(y)).all()
    values, scale = quantizer.factors(x)
    assert values.dtype == x.dtype and values.shape == x.shape
    product = values if scale is None else values * scale
    np.testing.assert_array_equal(double(product), double(y))
    check_integers(quantizer, values, scale, codes)


def check_range(quantizer, codes):
    spec = quantizer.spec
    if spec.bits > 8:
        expected = tf.int32
    else:
        unsigned = spec.encoding in ("unsigned", "bipolar", "lookup") and spec.bits == 8
        expected = tf.uint8 if unsigned else tf.int8
    assert codes.dtype == expected
    low, high = {
        "signed": (-(2 ** (spec.bits - 1)), 2 ** (spec.bits - 1) - 1),
        "ternary": (-1, 1),
    }.get(spec.encoding, (0, 2**spec.bits - 1))
    codes = codes.numpy().astype("int64")
    assert ((codes >= low) & (codes <= high)).all()


def check_integers(quantizer, values, scale, codes):
    """What is multiplied by a scale, or needs none, are the integers that the codes stand for."""
    spec = quantizer.spec
    if spec.encoding == "lookup" or (scale is None and spec.bits > 2):
        return
    codes, values = codes.numpy().astype("float64"), double(values)
    levels = 2 * codes - (2**spec.bits - 1) if spec.encoding == "bipolar" else codes
    np.testing.assert_array_equal(values, np.where(np.isnan(values), values, levels))


def check_idempotent(case, quantizer, x):
    """Quantizing again changes nothing, in as far as the case says so."""
    # Where neither the scale nor its reciprocal meets the end of the range, nor an epsilon counts.
    x = np.where(np.abs(x) < 2.0**-8, 0, np.clip(np.nan_to_num(x), -(2.0**60), 2.0**60)).astype("float32")
    equal = x.size and np.ptp(x, axis=tuple(range(x.ndim - 1))).min() == 0
    if not case.idempotent or (isinstance(quantizer, BitnetBinary) and equal):
        return  # What equal values differ from their mean by is rounding.
    once = quantizer(tf.constant(x))
    twice = quantizer(once)
    if case.idempotent == "bits":
        assert bits_of(twice) == bits_of(once)
    else:
        np.testing.assert_array_equal(codes_of(quantizer, once), codes_of(quantizer, x))
    if case.idempotent == "nearly":
        np.testing.assert_allclose(twice, once, rtol=1e-6)


def check_monotone(case):
    """Along an axis that has one scale, sorted values stay sorted."""
    if case.along is None:
        return
    x = tf.constant(np.sort(normal(0, (40, 6 if case.along else 4)) * 2, axis=case.along))
    assert (np.diff(built(case, x.shape)(x).numpy(), axis=case.along) >= 0).all()


def check_zeros(case):
    """-0.0 is quantized as 0.0, and zeros, in one channel or all, have finite values and gradients."""
    some = np.linspace(-1, 1, 8).reshape(2, 4) * [0, 1, 1, 1]
    for dtype, x in itertools.product(DTYPES, (np.zeros((2, 4)), some)):
        quantizer = built(case, (2, 4))
        y, gradients = values_and_gradients(quantizer, tf.cast(x, dtype))
        assert bits_of(quantizer(tf.cast(np.where(x == 0, -0.0, x), dtype))) == bits_of(y)
        assert np.isfinite(double(y)).all() and all(np.isfinite(double(g)).all() for g in gradients)


def check_errors(case):
    """Integers are refused, and arguments out of their range."""
    x = tf.zeros((2, 4), tf.int8)
    for method in (built(case, x.shape), built(case, x.shape).encode):
        with pytest.raises(TypeError, match="floating-point.*int8"):
            method(x)
    cls = type(case.make())
    wrong = {
        "bits": (0, 99, 2.5, "4"),
        "surrogate": ("no_surrogate",),
        "rounding": ("up",),
        "initial_step": (0.0, -1.0, np.inf),
        "initial_alpha": (0.0, -1.0, np.inf),
    }
    arguments = inspect.signature(cls).parameters
    for argument in wrong.keys() & arguments.keys():
        for value in wrong[argument]:
            with pytest.raises(ValueError, match=re.escape(str(value))):
                cls(**{argument: value})
    if "scale_axis" in arguments and case.make().spec.scale_axis is not None:
        with pytest.raises(ValueError, match="scale_axis=5"):
            cls(**{**case.make().get_config(), "scale_axis": 5})(tf.zeros((2, 4)))


def check_config(case):
    """By its name, its class's, or its config, alone or serialized, the same quantizer comes again."""
    quantizer = built(case, (5, 4))
    cls, config = type(quantizer), quantizer.get_config()
    assert set(config) == set(inspect.signature(cls).parameters)
    again = quantizers.get(quantizers.serialize(quantizer))
    short = {"class_name": cls.__name__, "config": config}
    for other in (again, quantizers.get(short)):
        assert type(other) is cls and other.get_config() == config
    assert again.spec == quantizer.spec and hash(again.spec) == hash(quantizer.spec)
    assert cls.__name__ in repr(quantizer) and repr(case.make()) == repr(quantizer)
    for identifier in (cls.__name__, cls, case.make().name):
        assert type(quantizers.get(identifier)) is cls
    assert quantizers.get(quantizer) is quantizer
    if not getattr(again, "built", False):
        again.build((5, 4))
    x = tf.constant(normal(8, (5, 4)))
    for a, b in zip(values_and_gradients(quantizer, x), values_and_gradients(again, x), strict=True):
        assert [bits_of(v) for v in tf.nest.flatten(a)] == [bits_of(v) for v in tf.nest.flatten(b)]


def values_and_gradients(quantizer, x, training=False):
    """q(x), and the gradients of the sum of its squares by x and by every variable."""
    variables = variables_of(quantizer)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = quantizer(x, training=training)
        loss = tf.reduce_sum(tf.square(y))
    return y, tape.gradient(loss, [x, *variables])


def borders(quantizer, shape=(12, 4)):
    """Neighbouring float32 numbers with different codes, found by bisection; half of them are above.

    Where the codes depend on other values as well, just numbers.
    """
    low, high = (np.sort(normal(6, (2, *shape)), axis=0) * 3).view("int32").astype("int64")
    ordered = lambda bits: np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    floats = lambda n: np.where(n < 0, -n | 0x80000000, n).astype("uint32").view("float32")
    low, high = ordered(low), ordered(high)
    codes = codes_of(quantizer, floats(low)).numpy()
    while (high - low > 1).any():
        middle = (low + high) // 2
        same = codes_of(quantizer, floats(middle)).numpy() == codes
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return floats(np.concatenate([low, high]))


def check_graphs(case):
    """Graphs for any batch find eager's values and gradients, and XLA the same codes."""
    quantizer = built(case, (None, 4)) if not case.weights_only else built(case, (24, 4))
    x = tf.constant(normal(2, (24, 4)) if case.weights_only or case.sums else borders(quantizer))
    quantizer(x, training=True)  # A scale may be taken from the first data.
    expected_codes, (expected, expected_gradients) = codes_of(quantizer, x), values_and_gradients(quantizer, x)

    def run(x):
        return quantizer(x, training=True), codes_of(quantizer, x), *values_and_gradients(quantizer, x)

    for compiled in (False, True):
        shape = x.shape if compiled or case.weights_only else (None, 4)
        graph = tf.function(run, input_signature=[tf.TensorSpec(shape, tf.float32)], jit_compile=compiled)
        trained, codes, y, gradients = graph(x)
        assert trained.shape == x.shape and np.isfinite(trained).all()
        if not compiled:
            np.testing.assert_array_equal(codes, expected_codes)
            assert bits_of(y) == bits_of(expected)
        elif case.compiled:
            np.testing.assert_array_equal(codes, expected_codes)
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
        if not compiled or case.compiled:
            for gradient, other in zip(gradients, expected_gradients, strict=True):
                np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-4)


def check_gradients(case):
    """There is a finite gradient for x and for every variable, in every dtype."""
    for dtype in DTYPES:
        quantizer = built(case, (9, 4))
        x = tf.cast(normal(3, (9, 4)), dtype)
        _, gradients = values_and_gradients(quantizer, x, training=True)
        for gradient, of in zip(gradients, [x, *variables_of(quantizer)], strict=True):
            assert gradient is not None and gradient.shape == of.shape and gradient.dtype == of.dtype
            assert np.isfinite(double(gradient)).all()


def check_behind_a_product(case):
    """The gradients through integers and a scale behind a product are those through the values."""
    w, x, upstream = tf.constant(normal(4, (6, 4))), tf.constant(normal(5, (5, 6))), tf.constant(normal(6, (5, 4)))
    quantizer = built(case, w.shape)

    def behind(w):
        values, scale = quantizer.factors(w)
        if scale is None:
            return x @ values
        if scale.shape.rank and scale.shape[0] != 1:
            return x @ (values * scale)
        return (x @ values) * scale

    results = []
    for function in (lambda w: x @ quantizer(w), behind):
        with tf.GradientTape() as tape:
            tape.watch(w)
            y = function(w)
        results.append(tape.gradient(y, [w, *variables_of(quantizer)], output_gradients=upstream))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def check_sign_argument(case):
    """What says that it is the sign of something is the sign of it."""
    quantizer = built(case, (3, 4))
    x = tf.constant(normal(7, (3, 4)))
    argument = quantizer.sign_argument(x)
    if argument is None:
        return
    values, scale = quantizer.factors(x)
    assert quantizer.spec == quantizers.QuantSpec(1, "bipolar") and scale is None
    np.testing.assert_array_equal(values, np.where(argument >= 0, 1, -1))


CHECKS = {
    "values": check_values,
    "monotone": check_monotone,
    "zeros": check_zeros,
    "errors": check_errors,
    "config": check_config,
    "graphs": check_graphs,
    "gradients": check_gradients,
    "behind_a_product": check_behind_a_product,
    "sign_argument": check_sign_argument,
}


def cases_by_class():
    """A case for every class, so that what costs time is done once for each."""
    return {type(case.make()): name for name, case in reversed(CASES.items())}.values()


def check_layers(case, folder):
    """In layers: effective kernel, fit, saved and loaded, and the weights alone."""
    arguments = [{"kernel_quantizer": case.make()} for _ in range(2)]
    if not case.weights_only:
        for layer in arguments:
            layer["input_quantizer"] = case.make()
    convolution, dense = QuantConv2D(3, 2, **arguments[0]), QuantDense(4, **arguments[1])
    model = keras.Sequential([keras.Input((4, 4, 4)), convolution, dense, keras.layers.Flatten()])
    x = normal(5, (8, 4, 4, 4))
    model.compile(optimizer=keras.optimizers.SGD(1e-3), loss="mse", run_eagerly=True)
    loss = model.train_on_batch(x, np.ones((8, 36), "float32"))
    assert np.isfinite(loss)
    for layer in (convolution, dense):
        used = [q for q in (layer.input_quantizer, layer.kernel_quantizer) if q is not None]
        assert len(layer.trainable_variables) == 2 + sum(len(variables_of(q)) for q in used)
        kernel = tf.convert_to_tensor(layer.kernel)
        np.testing.assert_array_equal(layer.quantized_kernel, layer.kernel_quantizer(kernel))
    expected = model(x).numpy()
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    np.testing.assert_array_equal(loaded(x), expected)
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]
    model.save_weights(folder / "model.weights.h5")
    cloned = keras.models.clone_model(model)
    cloned.load_weights(folder / "model.weights.h5")
    np.testing.assert_array_equal(cloned(x), expected)
