"""APoT, N2UQ, float8, fixed point, affine, block-wise and learned width, against expressions of their own in float64."""

import itertools

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_ste import QuantDense
from keras_ste.quantizers import (
    AffineQuantizer,
    Apot,
    BlockwiseQuantizer,
    FixedPoint,
    Float8,
    LearnedBitWidth,
    N2uq,
    QuantSpec,
    UniformQuantizer,
)
from keras_ste.quantizers.apot import additive_powers

HALVES = ["float16", "bfloat16"]
seeds = st.integers(0, 2**32 - 1)


def gradients(quantizer, x, g):
    """The gradients to x and to the quantizer's trainable variables, by the name of each."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = quantizer(x)
    variables = quantizer.trainable_variables if hasattr(quantizer, "trainable_variables") else []
    result = tape.gradient(y, [x, *(v.value for v in variables)], output_gradients=tf.cast(g, y.dtype))
    return {name: d.numpy() for name, d in zip(["x", *(v.name for v in variables)], result, strict=True)}


def data(seed, shape=(6, 5), deviation=2.0):
    """float32 values and upstream gradients, and both in float64."""
    rng = np.random.default_rng(seed)
    x, g = (rng.normal(0, d, shape).astype("float32") for d in (deviation, 1.0))
    return x, g, x.astype("float64"), g.astype("float64")


def published_levels(bits):
    """γ Σ p_i with p_i from {0, 2^-i, 2^-(i+n), ..., 2^-(i+2n)}, for n terms of two bits."""
    n = bits // 2
    terms = [[0.0] + [2.0 ** -(i + j * n) for j in range(3)] for i in range(n)]
    sums = {sum(choice) for choice in itertools.product(*terms)}
    return np.array(sorted(sums)) / max(sums)


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
def test_apot_has_the_published_levels(bits):
    levels = additive_powers(bits)
    assert len(levels) == 2**bits
    np.testing.assert_allclose(levels / levels[-1], published_levels(bits), rtol=1e-12)


def test_apot_with_an_odd_number_of_bits_has_every_sum_once():
    assert additive_powers(1).tolist() == [0, 1]
    for bits in (3, 5, 7):
        assert len(set(additive_powers(bits))) == 2**bits
    # Two bits and one: {0, 2^-1, 2^-2, 2^-4} + {0, 2^-3}.
    sums = sorted(a + b for a in (0, 8, 4, 1) for b in (0, 2))
    assert additive_powers(3).tolist() == sums


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("scale_axis", [None, -1, 0])
@given(seed=seeds)
def test_apot_is_the_nearest_level_with_the_published_gradients(signed, scale_axis, seed):
    x, g, x64, g64 = data(seed)
    quantizer = Apot(bits=5 if signed else 4, signed=signed, scale_axis=scale_axis)
    quantizer.build(x.shape)
    alpha = np.random.default_rng(seed + 1).uniform(0.5, 4.0, quantizer.alpha.shape).astype("float32")
    quantizer.alpha.assign(alpha)
    levels = published_levels(4)
    levels = np.concatenate([-levels[:0:-1], levels]) if signed else levels
    v = x64 / alpha
    nearest = levels[np.abs(v[..., None] - levels).argmin(-1)]
    np.testing.assert_allclose(quantizer(x), alpha * nearest, rtol=1e-5, atol=1e-6)
    inside = (v >= levels[0]) & (v <= 1)
    outside = np.sign(x64) if signed else np.where(x64 > 0, 1.0, 0.0)
    d_alpha = g64 * np.where(inside, nearest - v, outside)
    axes = tuple(axis for axis in range(2) if scale_axis is None or axis != scale_axis % 2)
    actual = gradients(quantizer, x, g)
    np.testing.assert_allclose(actual["x"], g64 * inside, rtol=1e-6)
    expected = d_alpha.sum(axes, keepdims=scale_axis is not None)
    np.testing.assert_allclose(actual["alpha"], expected, rtol=1e-4, atol=1e-4)


def test_apot_standardizes_weights():
    x, g, x64, _ = data(3, (40, 30))
    quantizer = Apot(bits=4, standardize=True)
    deviation = x64.std() + 1e-5
    plain = Apot(bits=4)
    same = ((x64 - x64.mean()) / deviation).astype("float32")
    assert np.mean(quantizer(x).numpy() == plain(same).numpy()) > 0.999
    expected = gradients(plain, same, g)["x"] / deviation
    np.testing.assert_allclose(gradients(quantizer, x, g)["x"], expected, rtol=1e-4, atol=1e-4)


def piecewise_linear(x, start, widths, step):
    """The mean of the stochastic quantizer whose derivatives N2UQ takes."""
    edges = start + np.concatenate([[0.0], np.cumsum(widths)])
    return step * np.interp(x, edges, np.arange(len(edges)))


@pytest.mark.parametrize("bits", [1, 2, 3])
@given(seed=seeds)
def test_n2uq_has_the_gradients_of_the_mean(bits, seed):
    rng = np.random.default_rng(seed)
    x, g, x64, g64 = data(seed, deviation=3.0)
    quantizer = N2uq(bits=bits, range=3.0)
    quantizer.build(x.shape)
    n = 2**bits - 1
    start, step = rng.uniform(-1, 1), rng.uniform(0.2, 2)
    widths = rng.uniform(0.3, 2.0, n)
    for variable, value in zip((quantizer.start, quantizer.widths, quantizer.step), (start, widths, step)):
        variable.assign(value)
    edges = start + np.concatenate([[0.0], np.cumsum(widths)])
    middles = (edges[1:] + edges[:-1]) / 2
    # Away from where it breaks, so that differences are derivatives.
    near = np.abs(x64[..., None] - np.concatenate([edges, middles])).min(-1) < 1e-3
    x, x64 = np.where(near, 99.0, x).astype("float32"), np.where(near, 99.0, x64)
    code = (x64[..., None] > middles).sum(-1)
    np.testing.assert_allclose(quantizer(x), step * code, rtol=1e-6)
    actual = gradients(quantizer, x, g)

    def difference(change):
        h = 1e-6
        high, low = (piecewise_linear(*change(sign * h)) for sign in (1, -1))
        return (high - low) / (2 * h)

    d_x = g64 * difference(lambda h: (x64 + h, start, widths, step))
    np.testing.assert_allclose(actual["x"], d_x, rtol=1e-4, atol=1e-6)
    d_start = np.sum(g64 * difference(lambda h: (x64, start + h, widths, step)))
    np.testing.assert_allclose(actual["start"], d_start, rtol=1e-3, atol=1e-4)
    for j in range(n):
        e = np.eye(n)[j]
        d_width = np.sum(g64 * difference(lambda h: (x64, start, widths + h * e, step)))
        np.testing.assert_allclose(actual["widths"][j], d_width, rtol=1e-3, atol=1e-4)
    # The scale's is that of the value itself.
    np.testing.assert_allclose(actual["step"], np.sum(g64 * code), rtol=1e-4, atol=1e-4)


def test_n2uq_starts_from_the_first_data():
    x = np.abs(data(0, (200, 10))[0])
    quantizer = N2uq(bits=2)
    quantizer(x, training=True)
    width = (x.mean() + 3 * x.std()) / 3
    np.testing.assert_allclose(quantizer.widths, [width] * 3, rtol=1e-5)
    np.testing.assert_allclose(quantizer.step, width, rtol=1e-5)
    quantizer(10 * x, training=True)
    np.testing.assert_allclose(quantizer.step, width, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", *HALVES])
@pytest.mark.parametrize("name", ["e4m3", "e5m2"])
def test_float8_is_what_ml_dtypes_rounds_to(name, dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000) * 10.0 ** rng.uniform(-9, 6, 4000)
    quantizer = Float8(name)
    kind, most = {"e4m3": (ml_dtypes.float8_e4m3fn, 448), "e5m2": (ml_dtypes.float8_e5m2, 57344)}[name]
    ties = np.arange(256, dtype="uint8").view(kind).astype("float64")
    ties = np.sort(ties[np.isfinite(ties)])
    x = np.concatenate([x, ties, (ties[1:] + ties[:-1]) / 2, [np.nan, np.inf, -np.inf, -0.0]])
    x = tf.cast(x, dtype)
    exact = np.clip(x.numpy().astype("float64"), -most, most)
    expected = exact.astype(kind)
    y = quantizer(x)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y.numpy().astype("float64"), expected.astype("float64"))
    codes, bits = quantizer.encode(x).numpy(), expected.view("uint8")
    np.testing.assert_array_equal(codes, np.where(bits == 0x80, 0, bits))


@pytest.mark.parametrize("name", ["e4m3", "e5m2"])
def test_float8_decodes_all_codes(name):
    codes = np.arange(256, dtype="uint8")
    values = codes.view({"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}[name])
    values = values.astype("float32")
    values[np.isinf(values)] = np.nan  # What overflows is saturated: there is no infinity.
    np.testing.assert_array_equal(Float8(name).decode(codes), values)


def test_float8_gradient_and_scale():
    x = np.array([[-500.0, 448.0], [3.0, 449.0]], "float32")
    ones = np.ones_like(x)
    assert gradients(Float8(), x, ones)["x"].tolist() == [[0, 1], [1, 0]]
    assert gradients(Float8(scale=2.0), x, ones)["x"].tolist() == [[1, 1], [1, 1]]
    for axis in (None, -1, 0):
        quantizer = Float8(scale="max_abs", scale_axis=axis)
        assert gradients(quantizer, x, ones)["x"].tolist() == [[1, 1], [1, 1]]
        axes = tuple(a for a in range(2) if axis is None or a != axis % 2)
        _, scale = quantizer.encode(x)
        np.testing.assert_allclose(scale, np.abs(x).max(axes, keepdims=True) / 448, rtol=1e-6)
        np.testing.assert_allclose(quantizer(x), x, rtol=2.0**-4)


@pytest.mark.parametrize("m, f, signed", [(0, 7, True), (3, 4, True), (2, 6, False), (-3, 8, True), (8, -2, False)])
@given(seed=seeds)
def test_fixed_point(m, f, signed, seed):
    x, g, x64, g64 = data(seed, deviation=2.0**m)
    quantizer = FixedPoint(m, f, signed=signed)
    low = -(2 ** (m + f)) if signed else 0
    high = 2 ** (m + f) - 1
    codes = np.clip(np.round(x64 * 2.0**f), low, high)
    np.testing.assert_array_equal(quantizer(x), codes * 2.0**-f)
    np.testing.assert_array_equal(quantizer.encode(x), codes)
    inside = (x64 >= low * 2.0**-f) & (x64 <= high * 2.0**-f)
    np.testing.assert_array_equal(gradients(quantizer, x, g)["x"], g64 * inside)
    assert quantizer.spec == QuantSpec(m + f + signed, "signed" if signed else "unsigned")


@pytest.mark.parametrize("limits", [(-1.0, 1.5), (-0.4, 2.6), (0.5, 4.0), (-6.0, -1.0)])
@given(seed=seeds)
def test_affine_with_a_given_range(limits, seed):
    x, g, x64, g64 = data(seed)
    minimum, maximum = min(limits[0], 0.0), max(limits[1], 0.0)
    quantizer = AffineQuantizer(4, *limits)
    scale = (maximum - minimum) / 15
    zero = np.clip(np.round(-minimum / scale), 0, 15)
    v = x64 / scale
    code = np.clip(np.round(v) + zero, 0, 15)
    settled = np.abs(v - np.floor(v) - 0.5) > 1e-4
    np.testing.assert_array_equal(quantizer.encode(x).numpy()[settled], code[settled])
    np.testing.assert_allclose(quantizer(x).numpy()[settled], (scale * (code - zero))[settled], rtol=1e-5)
    inside = (v >= -zero) & (v <= 15 - zero)
    np.testing.assert_allclose(gradients(quantizer, x, g)["x"], g64 * inside, rtol=1e-6)
    assert quantizer([0.0]).numpy() == 0


@pytest.mark.parametrize("scale_axis", [None, -1, 0])
@given(seed=seeds)
def test_affine_with_the_range_of_the_input(scale_axis, seed):
    x, g, x64, g64 = data(seed)
    x, x64 = x + 1, (x + 1).astype("float64")
    axes = tuple(axis for axis in range(2) if scale_axis is None or axis != scale_axis % 2)
    low = np.minimum(x64.min(axes, keepdims=True), 0)
    high = np.maximum(x64.max(axes, keepdims=True), 0)
    quantizer = AffineQuantizer(6, scale_axis=scale_axis)
    codes, (scale, zero) = quantizer.encode(x)
    np.testing.assert_allclose(scale, (high - low) / 63, rtol=1e-5)
    assert np.abs(zero + low / scale.numpy()).max() <= 0.501
    assert codes.numpy().min() == 0 or codes.numpy().max() == 63
    assert np.abs(quantizer(x) - x64).max() <= 1.001 * scale.numpy().max()
    np.testing.assert_allclose(gradients(quantizer, x, g)["x"], g64, rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("block_size", [1, 3, 4, 32])
@pytest.mark.parametrize("power_of_two", [False, True])
def test_blockwise_is_one_quantizer_a_block(axis, block_size, power_of_two):
    x, g, _, _ = data(5, (7, 6, 9))
    quantizer = BlockwiseQuantizer(4, block_size=block_size, axis=axis, power_of_two=power_of_two)
    codes, scales = quantizer.encode(x)
    expected, expected_scales = np.empty_like(x), []
    lines = np.moveaxis(x, axis, -1)
    out = np.moveaxis(expected, axis, -1)
    one = UniformQuantizer(4, power_of_two=power_of_two)
    for i, j in itertools.product(*map(range, lines.shape[:2])):
        for first in range(0, lines.shape[-1], block_size):
            block = lines[i, j, first : first + block_size]
            out[i, j, first : first + block_size] = one(block)
            expected_scales.append(one.encode(block)[1].numpy().item())
    np.testing.assert_array_equal(quantizer(x), expected)
    np.testing.assert_array_equal(np.moveaxis(scales.numpy(), axis, -1).ravel(), expected_scales)
    assert scales.shape[axis] == -(-x.shape[axis] // block_size)
    integers, scale = quantizer.factors(x)
    np.testing.assert_array_equal(integers, codes)
    np.testing.assert_array_equal(integers * scale, expected)
    np.testing.assert_allclose(gradients(quantizer, x, g)["x"], g, rtol=1e-6)


def test_blockwise_wants_to_know_the_size_of_its_axis_alone():
    x = data(1, (4, 8))[0]
    quantizer = BlockwiseQuantizer(block_size=4, axis=-1)
    graph = tf.function(quantizer, input_signature=[tf.TensorSpec((None, 8), tf.float32)])
    np.testing.assert_array_equal(graph(x), quantizer(x))
    with pytest.raises(ValueError, match=r"axis=-1.*known size.*\(8, None\)"):
        tf.function(quantizer, input_signature=[tf.TensorSpec((8, None), tf.float32)])(x.T)


@pytest.mark.parametrize("signed", [True, False])
@given(seed=seeds)
def test_learned_bit_width(signed, seed):
    rng = np.random.default_rng(seed)
    x, g, x64, g64 = data(seed)
    quantizer = LearnedBitWidth(4, signed=signed)
    quantizer.build(x.shape)
    step = np.float32(rng.uniform(0.05, 1.0))
    n = int(rng.integers(1, 100))
    most = np.float32(n * step)
    quantizer.step.assign(step)
    quantizer.range.assign(most)
    v = x64 / step
    low = -n if signed else 0
    np.testing.assert_allclose(quantizer(x), step * np.clip(np.round(v), low, n), rtol=1e-5, atol=1e-6)
    above = x64 > most
    below = x64 < (-most if signed else 0)
    inside = ~above & ~below
    actual = gradients(quantizer, x, g)
    np.testing.assert_allclose(actual["x"], g64 * inside, rtol=1e-6)
    d_step = np.sum(g64 * np.where(inside, np.round(v) - v, 0))
    np.testing.assert_allclose(actual["step"], d_step, rtol=1e-3, atol=1e-4)
    d_range = np.sum(g64 * (above * 1.0 - (below if signed else 0.0)))
    np.testing.assert_allclose(actual["range"], d_range, rtol=1e-4, atol=1e-5)
    width = np.log2(most.astype("float64") / step + 1) + signed
    np.testing.assert_allclose(quantizer.bit_width(), width, rtol=1e-5)
    bits = next(k for k in range(1, 17) if 2**k - 1 >= n) + signed
    assert quantizer.spec == QuantSpec(bits, "signed" if signed else "unsigned")


def test_a_penalty_on_bits_takes_some_away():
    x, _, _, _ = data(0, (64, 8))
    widths = {}
    for penalty in (0.0, 1.0):
        quantizer = LearnedBitWidth(8, penalty=penalty, target_bits=3.0)
        keras.utils.set_random_seed(0)
        layer = QuantDense(4, kernel_quantizer=quantizer)
        model = keras.Sequential([keras.Input((8,)), layer])
        model.compile(keras.optimizers.Adam(1e-3), "mse")
        losses = [model.train_on_batch(x, x[:, :4]) for _ in range(80)]
        widths[penalty] = float(layer.kernel_quantizer.bit_width())
        assert np.isfinite(losses).all()
    assert widths[0.0] > 7 and widths[1.0] < 5
    assert layer.kernel_quantizer.spec.bits < 8
    model(x, training=True)
    (loss,) = model.losses
    np.testing.assert_allclose(loss, layer.kernel_quantizer.bit_width() - 3.0, rtol=1e-6)
    model(x)
    assert model.losses == []


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_keeps_the_gradients_of_large_sums(dtype):
    # 4096 gradients of 32 are more than float16 holds.
    x = tf.fill((64, 64), tf.constant(9.0, dtype))
    g = tf.fill((64, 64), tf.constant(32.0, dtype))
    for quantizer, name in (
        (Apot(initial_alpha=1.0), "alpha"),
        (LearnedBitWidth(4), "range"),
    ):
        quantizer.build(x.shape)
        gradient = gradients(quantizer, x, g)[name]
        np.testing.assert_allclose(gradient, 64 * 64 * 32, rtol=1e-2)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Apot(bits=1), "Apot takes 2 to 8 bits.*bits=1"),
        (lambda: Apot(bits=9), "Apot takes 2 to 8 bits.*bits=9"),
        (lambda: Apot(initial_alpha=0.0), "initial_alpha must be positive.*0.0"),
        (lambda: N2uq(bits=7), "N2uq takes 1 to 6 bits.*bits=7"),
        (lambda: N2uq(range=-1.0), "range must be positive"),
        (lambda: Float8("e3m4"), "format must be 'e4m3' or 'e5m2'.*'e3m4'"),
        (lambda: Float8(scale="mean"), "scale must be a positive number or 'max_abs'.*'mean'"),
        (lambda: Float8(scale=0), "scale must be a positive number.*0"),
        (lambda: FixedPoint(0, 2.5), "fraction_bits must be an integer.*2.5"),
        (lambda: FixedPoint(10, 10), "takes 2 to 16 bits.*bits=21"),
        (lambda: AffineQuantizer(minimum=0.0), "both minimum and maximum or none"),
        (lambda: AffineQuantizer(minimum=1.0, maximum=1.0), "minimum must be less"),
        (lambda: AffineQuantizer(9), "takes 1 to 8 bits"),
        (lambda: BlockwiseQuantizer(block_size=0), "block_size must be a positive integer.*0"),
        (lambda: LearnedBitWidth(bits=9), "at most max_bits=8.*bits=9"),
        (lambda: LearnedBitWidth(penalty=-1.0), "penalty must not be negative.*-1.0"),
    ],
)
def test_errors_say_what_was_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()
