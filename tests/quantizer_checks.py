"""Checks that every quantizer has to pass, whatever it computes.

`CASES` names the quantizers that are checked: several for some classes, at least one for each that is
registered. A `Case` says what holds of a quantizer; `CHECKS` are the checks, by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_ste import QuantConv2D, QuantDense, quantizers
from keras_ste.quantizers import (
    AffineQuantizer,
    Apot,
    BlockwiseQuantizer,
    DorefaActivation,
    DorefaWeight,
    FixedPoint,
    Float8,
    LearnedBitWidth,
    Lsq,
    LsqPlus,
    N2uq,
    Pact,
    Sawb,
    UniformQuantizer,
)

HALVES = ("float16", "bfloat16")
DTYPES = ("float32", "float64", *HALVES)


@dataclasses.dataclass(frozen=True)
class Case:
    """A quantizer, and what holds of it.

    Attributes:
        make: makes the quantizer, a new one each time.
        idempotent: q(q(x)) is q(x), bit for bit in float32; a scale computed anew may be another.
        monotone: more of x is not less of q(x).
        saturates: ±inf are quantized like large values; else they are NaN.
        compiled: XLA finds the same codes; else nearly the same values (sums in another order).
        needs_rank: how many axes an input has at least.
        weights_only: not for the inputs of a layer, whose batch it would mix.
    """

    make: Callable[[], quantizers.Quantizer]
    idempotent: bool = True
    monotone: bool = True
    saturates: bool = True
    compiled: bool = True
    needs_rank: int = 1
    weights_only: bool = False


CASES = {
    "uniform": Case(UniformQuantizer, idempotent=False),
    "uniform_4_by_channel": Case(lambda: UniformQuantizer(4, scale_axis=-1), idempotent=False),
    "uniform_first_axis": Case(lambda: UniformQuantizer(4, scale_axis=0), idempotent=False, weights_only=True),
    "uniform_given": Case(lambda: UniformQuantizer(4, scale=0.3)),
    "uniform_narrow": Case(lambda: UniformQuantizer(2, scale=0.5, narrow_range=True)),
    "uniform_unsigned": Case(lambda: UniformQuantizer(8, signed=False), idempotent=False),
    "uniform_1_bit": Case(lambda: UniformQuantizer(1, signed=False, scale=0.5)),
    "uniform_16_bits": Case(lambda: UniformQuantizer(16), idempotent=False),
    "uniform_percentile": Case(lambda: UniformQuantizer(4, "percentile", percentile=90.0), idempotent=False),
    "uniform_percentile_by_channel": Case(
        lambda: UniformQuantizer(4, "percentile", scale_axis=-1), idempotent=False
    ),
    "uniform_power_of_two": Case(lambda: UniformQuantizer(4, power_of_two=True, scale_axis=-1), idempotent=False),
    "uniform_stochastic": Case(lambda: UniformQuantizer(4, rounding="stochastic"), idempotent=False),
    "uniform_surrogate": Case(lambda: UniformQuantizer(4, scale=0.3, surrogate="clipped_identity")),
    "lsq": Case(lambda: Lsq(initial_step=0.25)),
    "lsq_from_data": Case(lambda: Lsq(3)),
    "lsq_by_channel": Case(lambda: Lsq(2, scale_axis=-1)),
    "lsq_unsigned": Case(lambda: Lsq(8, signed=False, initial_step=0.02)),
    "lsq_plus": Case(lambda: LsqPlus(4, initial_step=0.25, initial_offset=-1.0)),
    "lsq_plus_by_channel": Case(lambda: LsqPlus(8, scale_axis=-1)),
    "pact": Case(Pact),
    "pact_by_channel": Case(lambda: Pact(8, initial_alpha=2.0, scale_axis=-1)),
    "dorefa_weight": Case(DorefaWeight, idempotent=False, compiled=False),
    "dorefa_weight_8_bits": Case(lambda: DorefaWeight(8), idempotent=False, compiled=False),
    "dorefa_activation": Case(DorefaActivation),
    "sawb": Case(Sawb, idempotent=False, saturates=False, compiled=False),
    "sawb_by_channel": Case(
        lambda: Sawb(4, scale_axis=-1), idempotent=False, saturates=False, compiled=False
    ),
    "affine": Case(AffineQuantizer, idempotent=False),
    "affine_given": Case(lambda: AffineQuantizer(4, -1.0, 2.5)),
    "affine_by_channel": Case(lambda: AffineQuantizer(5, scale_axis=-1), idempotent=False),
    "fixed_point": Case(FixedPoint),
    "fixed_point_12_bits": Case(lambda: FixedPoint(4, 7)),
    "blockwise": Case(lambda: BlockwiseQuantizer(axis=-1, block_size=3), idempotent=False, monotone=False),
    "blockwise_power_of_two": Case(
        lambda: BlockwiseQuantizer(8, axis=-1, block_size=2, power_of_two=True), idempotent=False, monotone=False
    ),
    "float8": Case(Float8),
    "float8_e5m2_by_channel": Case(lambda: Float8("e5m2", "max_abs", scale_axis=-1), idempotent=False),
    "apot": Case(Apot),
    "apot_unsigned_by_channel": Case(lambda: Apot(5, signed=False, scale_axis=-1)),
    "apot_standardized": Case(lambda: Apot(standardize=True), idempotent=False, saturates=False, compiled=False),
    "n2uq": Case(N2uq, idempotent=False),
    "n2uq_4_bits": Case(lambda: N2uq(4, range=3.0), idempotent=False),
    "learned_bit_width": Case(lambda: LearnedBitWidth(4)),
    "learned_bit_width_unsigned": Case(lambda: LearnedBitWidth(4, signed=False, max_bits=7, penalty=0.1)),
}


def tensors(min_dims=1):
    """Small arrays of float32, zeros of both signs, ties and subnormal numbers among them."""
    edge = st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -1.0, 1e-40, -1e-40, 1e-30, 3e4, -3e4])
    elements = edge | st.floats(-3e4, 3e4, width=32) | st.floats(-4, 4, width=32)
    shapes = hnp.array_shapes(min_dims=max(min_dims, 2), max_dims=3, max_side=5)
    return hnp.arrays(np.float32, shapes, elements=elements)


def built(case, shape):
    """The case's quantizer, built for inputs of this shape."""
    quantizer = case.make()
    if not getattr(quantizer, "built", False):
        quantizer.build(tuple(shape))
    return quantizer


def codes_of(quantizer, x):
    encoded = quantizer.encode(x)
    return encoded[0] if quantizer.spec.dynamic_scale else encoded


def bits_of(x):
    return tf.convert_to_tensor(x).numpy().tobytes()


def check_codes(case):
    """q(x) is decode(encode(x)) bit for bit, is integers times scale, and the codes are as promised."""

    @given(x=tensors(case.needs_rank), dtype=st.sampled_from(DTYPES))
    def check(x, dtype):
        quantizer = built(case, x.shape)
        x = tf.cast(x, dtype)
        y = quantizer(x)
        assert y.dtype == x.dtype and y.shape == x.shape
        assert np.isfinite(tf.cast(y, tf.float64)).all()
        assert bits_of(quantizer.decode(quantizer.encode(x), dtype=dtype)) == bits_of(y)
        values, scale = quantizer.factors(x)
        assert values.dtype == x.dtype and values.shape == x.shape
        product = values if scale is None else values * scale
        np.testing.assert_array_equal(tf.cast(product, tf.float64), tf.cast(y, tf.float64))
        check_range(quantizer, codes_of(quantizer, x))

    check()


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


def check_idempotent(case):
    @given(x=tensors(case.needs_rank))
    def check(x):
        quantizer = built(case, x.shape)
        once = quantizer(tf.constant(x))
        if case.idempotent:
            assert bits_of(quantizer(once)) == bits_of(once)

    check()


def check_monotone(case):
    """Along an axis that has one scale, sorted values stay sorted."""
    axis = case.make().spec.scale_axis
    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32") * 2
    along = 1 if axis in (0, -2) else 0
    x = tf.constant(np.sort(x, axis=along))
    steps = np.diff(built(case, x.shape)(x).numpy(), axis=along)
    assert not case.monotone or (steps >= 0).all()


def check_special_values(case):
    """A NaN stays one, and has a code; ±inf saturate; -0.0 is quantized as 0.0."""
    x = np.random.default_rng(1).normal(size=(8, 4)).astype("float32")
    x[3, 2] = np.nan
    for dtype in DTYPES:
        quantizer = built(case, x.shape)
        with_nan = tf.cast(x, dtype)
        y = tf.cast(quantizer(with_nan), tf.float64).numpy()
        assert np.isnan(y[3, 2])
        check_range(quantizer, codes_of(quantizer, with_nan))
        for value in (np.inf, -np.inf):
            x_inf = np.nan_to_num(x)
            x_inf[3, 2] = value
            x_inf = tf.cast(x_inf, dtype)
            y = tf.cast(quantizer(x_inf), tf.float64).numpy()
            if case.saturates:
                assert np.isfinite(y).all()
                assert bits_of(quantizer.decode(quantizer.encode(x_inf), dtype=dtype)) == bits_of(
                    quantizer(x_inf)
                )
        zeros = np.zeros((2, 4), "float32")
        assert bits_of(quantizer(tf.cast(-zeros, dtype))) == bits_of(quantizer(tf.cast(zeros, dtype)))


def check_empty(case):
    quantizer = built(case, (None, 4))
    x = tf.zeros((0, 4))
    assert quantizer(x).shape == (0, 4)
    assert codes_of(quantizer, x).shape == (0, 4)
    assert quantizer.decode(quantizer.encode(x)).shape == (0, 4)


def check_errors(case):
    x = tf.zeros((2, 4), tf.int8)
    for method in (built(case, x.shape), built(case, x.shape).encode):
        try:
            method(x)
        except TypeError as error:
            assert "floating-point" in str(error) and "int8" in str(error)
        else:
            raise AssertionError("An int8 tensor was quantized.")


def check_config(case):
    """By its config, alone or serialized, the same quantizer comes again."""
    quantizer = built(case, (5, 4))
    again = quantizers.get(quantizers.serialize(quantizer))
    assert type(again) is type(quantizer) and again.get_config() == quantizer.get_config()
    short = {"class_name": type(quantizer).__name__, "config": quantizer.get_config()}
    assert quantizers.get(short).get_config() == quantizer.get_config()
    assert again.spec == quantizer.spec and hash(again.spec) == hash(quantizer.spec)
    assert type(quantizer).__name__ in repr(quantizer) and repr(case.make()) == repr(quantizer)


def check_graphs(case):
    """Graphs for any batch find eager's values, and XLA the same or nearly the same ones."""
    x = tf.constant(np.random.default_rng(2).normal(size=(9, 4)), tf.float32)
    quantizer = built(case, x.shape)
    expected = quantizer(x)
    signature = [tf.TensorSpec((None, 4), tf.float32)]
    np.testing.assert_array_equal(tf.function(quantizer, input_signature=signature)(x), expected)
    codes = tf.function(lambda x: codes_of(quantizer, x), input_signature=signature)(x)
    np.testing.assert_array_equal(codes, codes_of(quantizer, x))
    compiled = tf.function(quantizer, jit_compile=True)(x)
    np.testing.assert_allclose(compiled, expected, rtol=1e-5, atol=1e-6 if case.compiled else 2)


def check_gradients(case):
    """There is a finite gradient for x and for every variable, in every dtype, compiled too."""
    x = np.random.default_rng(3).normal(size=(9, 4))
    for dtype, compiled in ((DTYPES[0], True), *((dtype, False) for dtype in DTYPES)):
        quantizer = built(case, x.shape)
        variables = [v.value for v in getattr(quantizer, "trainable_variables", [])]

        @tf.function(jit_compile=compiled)
        def gradients(x, quantizer=quantizer, variables=variables):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(tf.square(quantizer(x, training=True)))
            return tape.gradient(loss, [x, *variables])

        for gradient, of in zip(gradients(tf.cast(x, dtype)), [x, *variables], strict=True):
            assert gradient is not None and gradient.shape == of.shape
            assert np.isfinite(tf.cast(gradient, tf.float64)).all()


def check_behind_a_product(case):
    """The gradients through integers and a scale behind a product are those through the values."""
    rng = np.random.default_rng(4)
    w = tf.constant(rng.normal(size=(6, 4)), tf.float32)
    x = tf.constant(rng.normal(size=(5, 6)), tf.float32)
    upstream = tf.constant(rng.normal(size=(5, 4)), tf.float32)
    quantizer = built(case, w.shape)
    variables = [v.value for v in getattr(quantizer, "trainable_variables", [])]

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
        results.append(tape.gradient(y, [w, *variables], output_gradients=upstream))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def layers_of(case):
    """Layers that use the quantizer where it is meant to be, and inputs for each."""
    rng = np.random.default_rng(5)
    arguments = {"kernel_quantizer": case.make()}
    if not case.weights_only:
        arguments["input_quantizer"] = case.make()
    yield QuantDense(3, **arguments), rng.normal(size=(8, 6)).astype("float32")
    arguments = {argument: case.make() for argument in arguments}
    x = rng.normal(size=(4, 5, 5, 2)).astype("float32")
    yield QuantConv2D(3, 3, padding="same", **arguments), x


def check_layers(case, folder):
    """In layers: effective kernel, fit, saved and loaded, and the weights alone."""
    for number, (layer, x) in enumerate(layers_of(case)):
        model = keras.Sequential([keras.Input(x.shape[1:]), layer, keras.layers.Flatten()])
        model.compile(optimizer=keras.optimizers.SGD(1e-2), loss="mse")
        targets = np.ones(model(x).shape, "float32")
        history = model.fit(x, targets, epochs=1, batch_size=len(x), verbose=0)
        assert np.isfinite(history.history["loss"]).all()
        assert len(layer.trainable_variables) == 2 + sum(
            len(getattr(q, "trainable_variables", ()))
            for q in (layer.input_quantizer, layer.kernel_quantizer)
        )
        np.testing.assert_array_equal(
            layer.quantized_kernel, layer.kernel_quantizer(tf.convert_to_tensor(layer.kernel))
        )
        expected = model(x).numpy()
        path = folder / f"{number}.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
        np.testing.assert_array_equal(loaded(x), expected)
        assert loaded.layers[0].get_config() == layer.get_config()
        path = folder / f"{number}.weights.h5"
        model.save_weights(path)
        cloned = keras.models.clone_model(model)
        cloned.load_weights(path)
        np.testing.assert_array_equal(cloned(x), expected)


CHECKS = {
    "codes": check_codes,
    "idempotent": check_idempotent,
    "monotone": check_monotone,
    "special_values": check_special_values,
    "empty": check_empty,
    "errors": check_errors,
    "config": check_config,
    "graphs": check_graphs,
    "gradients": check_gradients,
    "behind_a_product": check_behind_a_product,
}
