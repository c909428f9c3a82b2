"""BitNet's quantizers, the ternary, stochastic and AdaBin's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ste.quantizers import (
    TTQ,
    TWN,
    AdaBin,
    AdaBinActivation,
    BitnetActivation,
    BitnetBinary,
    BitnetTernary,
    QuantSpec,
    SteTern,
    StochasticBinary,
    StochasticTernary,
)

uneven = keras.initializers.RandomUniform(0.5, 2.0, seed=3)
SCALED = [BitnetTernary, BitnetBinary, BitnetActivation, TWN]


def triangle(x):
    return tf.nn.relu(2 - 2 * tf.abs(x))


def gradients_of(quantizer, x, upstream, *variables):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = quantizer(x)
    gradients = tape.gradient(y, [x, *variables], output_gradients=tf.cast(upstream, y.dtype))
    return [g.numpy().astype("float64") for g in gradients]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_infinities_saturate_where_the_scale_is_not_computed_from_them():
    x = tf.constant([np.inf, -np.inf, 0.0, -0.0])
    for quantizer in (SteTern(), StochasticTernary()):
        assert quantizer(x).numpy().tolist() == [1, -1, 0, 0]
        assert quantizer.encode(x).numpy().tolist() == [1, -1, 0, 0]
    assert StochasticBinary()(x).numpy().tolist() == [1, -1, 1, 1]
    assert StochasticTernary()(x, training=True).numpy().tolist() == [1, -1, 0, 0]


def test_values_in_float64():
    w = normal(3, 3, 4, 5)
    w64 = w.astype("float64")
    axes = (0, 1, 2)
    gamma = np.abs(w64).mean()
    expected = gamma * np.clip(np.round(w64 / (gamma + 1e-5)), -1, 1)
    np.testing.assert_allclose(BitnetTernary()(w), expected, rtol=1e-6)
    expected = gamma * np.where(w64 >= w64.mean(), 1, -1)
    np.testing.assert_allclose(BitnetBinary()(w), expected, rtol=1e-6)
    delta = 0.7 * np.abs(w64).mean(axis=axes, keepdims=True)
    kept = np.abs(w64) > delta
    alpha = (np.abs(w64) * kept).sum(axis=axes, keepdims=True) / kept.sum(axis=axes, keepdims=True)
    np.testing.assert_allclose(TWN(scale_axis=-1)(w), alpha * np.sign(w64) * kept, rtol=1e-5)
    expected = np.sign(w64) * (np.abs(w64) > 0.7 * np.abs(w64).mean())
    np.testing.assert_array_equal(SteTern(ternary_weight_networks=True)(w), expected)
    largest = np.abs(w64).max(axis=-1, keepdims=True)
    expected = np.round(w64 * 127 / largest) * largest / 127
    np.testing.assert_allclose(BitnetActivation()(w), expected, rtol=1e-5, atol=1e-7)
    beta, alpha = w64.mean(axis=axes), w64.std(axis=axes)
    expected = np.where(w64 >= beta, beta + alpha, beta - alpha)
    np.testing.assert_allclose(AdaBin()(w), expected, rtol=1e-4, atol=1e-6)


def test_boundaries():
    # mean |x| is 1 and ε too small to count: the quotients are ±0.5 and ±1.5, and halves go to even.
    halves = BitnetTernary(epsilon=1e-30).encode([0.5, -0.5, 1.5, -1.5])
    assert halves[0].numpy().tolist() == [0, 0, 1, -1] and halves[1].numpy().tolist() == [1.0]
    assert SteTern(0.25)([0.25, -0.25, 0.26, -0.26]).numpy().tolist() == [0, 0, 1, -1]
    assert SteTern(0.0)([0.0, -0.0, 1e-30]).numpy().tolist() == [0, 0, 1]
    assert TTQ(0.5).encode([0.5, -0.5, 1.0, -0.51]).numpy().tolist() == [1, 1, 2, 0]
    assert StochasticTernary()([0.5, -0.5, 0.51]).numpy().tolist() == [0, 0, 1]
    assert BitnetBinary().encode([1.0, 1.0])[0].numpy().tolist() == [1, 1]
    codes, scale = BitnetActivation().encode([[127.0, 0.5, 1.5, 2.5, -0.5, -127.0]])
    assert codes.numpy().tolist() == [[127, 0, 2, 2, 0, -127]] and scale.numpy() == np.float32(127) * np.float32(1 / 127)
    codes, scale = BitnetActivation(bits=2).encode([[1.0, -1.0, 0.4]])
    assert codes.numpy().tolist() == [[1, -1, 0]] and scale.numpy().tolist() == [[1.0]]
    # Below ε the scale stays.
    assert BitnetActivation().encode(tf.zeros((2, 3)))[1].numpy() == pytest.approx(1e-5 / 127)


@pytest.mark.parametrize("cls", SCALED)
@pytest.mark.parametrize("surrogate", ["identity", "clipped_identity"])
def test_the_gradient_of_scaled_values_is_the_surrogate(cls, surrogate):
    x, g = normal(6, 5), normal(6, 5, seed=1)
    (gradient,) = gradients_of(cls(surrogate=surrogate), tf.constant(x), g)
    inside = 1 if surrogate == "identity" else np.abs(x) <= 1
    np.testing.assert_allclose(gradient, g * inside, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", [SteTern, StochasticBinary, StochasticTernary])
def test_the_gradient_of_unscaled_values_is_the_surrogate(cls):
    x, g = normal(1000), normal(1000, seed=1)
    x[:4] = [1, -1, np.nextafter(1, 2), 0]
    quantizer = cls()
    for training in (False, True):
        (gradient,) = gradients_of(lambda x: quantizer(x, training=training), tf.constant(x), g)
        np.testing.assert_array_equal(gradient.astype("float32"), g * (np.abs(x) <= 1))


@pytest.mark.parametrize("scale_axis", [None, -1])
def test_the_gradients_of_ttq(scale_axis):
    w, g = normal(6, 5), normal(6, 5, seed=1)
    quantizer = TTQ(0.3, scale_axis=scale_axis, scale_initializer=uneven)
    quantizer.build(w.shape)
    quantizer.negative_scale.assign(0.5 * quantizer.negative_scale)
    dw, dp, dn = gradients_of(quantizer, tf.constant(w), g, quantizer.positive_scale.value,
                              quantizer.negative_scale.value)  # fmt: skip
    w64, g64 = w.astype("float64"), g.astype("float64")
    axes = None if scale_axis is None else 0
    delta = 0.3 * np.abs(w64).max(axis=axes, keepdims=True)
    above, below = w64 > delta, w64 < -delta
    p, n = (s.numpy().astype("float64") for s in (quantizer.positive_scale, quantizer.negative_scale))
    np.testing.assert_allclose(dw, g64 * np.where(above, p, np.where(below, n, 1.0)), rtol=1e-6)
    keep = {} if scale_axis is None else {"axis": 0, "keepdims": True}
    np.testing.assert_allclose(dp, (g64 * above).sum(**keep), rtol=1e-5)
    np.testing.assert_allclose(dn, -(g64 * below).sum(**keep), rtol=1e-5)

    # The same by differences, with the codes as they are.
    def loss(p, n):
        return (g64 * (p * above - n * below)).sum()

    total = (loss(p + 1e-3, n) - loss(p - 1e-3, n)) / 2e-3
    np.testing.assert_allclose(dp.sum(), total, rtol=1e-4)
    total = (loss(p, n + 1e-3) - loss(p, n - 1e-3)) / 2e-3
    np.testing.assert_allclose(dn.sum(), total, rtol=1e-4)


def clipped(u):
    return (np.abs(u) <= 1).astype("float64")


@pytest.mark.parametrize("scale_axis", [None, -1])
def test_the_gradient_of_ada_bin(scale_axis):
    w, g = normal(8, 5), normal(8, 5, seed=1)
    (gradient,) = gradients_of(AdaBin(scale_axis=scale_axis), tf.constant(w), g)
    w, g = w.astype("float64"), g.astype("float64")
    keep = {"axis": None if scale_axis is None else 0, "keepdims": True}
    u = (w - w.mean(**keep)) / w.std(**keep)
    d, sign = clipped(u), np.where(u >= 0, 1, -1)
    expected = g * d + (g * (1 - d)).mean(**keep) + u * (g * (sign - u * d)).mean(**keep)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_the_gradients_of_ada_bin_activation():
    x, g = 2 * normal(40, 5), normal(40, 5, seed=1)
    quantizer = AdaBinActivation(triangle, center_initializer=uneven, distance_initializer=uneven)
    quantizer.build(x.shape)
    quantizer.distance.assign(0.75)
    gradients = gradients_of(quantizer, tf.constant(x), g, quantizer.center.value, quantizer.distance.value)
    x, g = x.astype("float64"), g.astype("float64")
    u = (x - float(quantizer.center)) / float(quantizer.distance)
    d, sign = np.maximum(0, 2 - 2 * np.abs(u)), np.where(u >= 0, 1, -1)
    for gradient, expected in zip(
        gradients, (g * d, (g * (1 - d)).sum(), (g * (sign - u * d)).sum()), strict=True
    ):
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("quantizer", [StochasticBinary(seed=5), StochasticTernary(seed=5)])
def test_drawn_values_have_the_clipped_input_as_their_mean(quantizer):
    x = np.array([-2.0, -1.0, -0.6, 0.0, 0.25, 1.0, 3.0], "float32")
    many = tf.tile(x[np.newaxis], [20_000, 1])
    y = quantizer(many, training=True).numpy()
    assert set(np.unique(y)) <= {-1.0, 0.0, 1.0}
    assert (0.0 in y) == isinstance(quantizer, StochasticTernary)
    # Six standard deviations of a mean of 20,000 draws.
    np.testing.assert_allclose(y.mean(axis=0), np.clip(x, -1, 1), atol=6 / np.sqrt(20_000))
    assert len(np.unique(y[:, [0, 1, 5, 6]], axis=0)) == 1
    assert not np.array_equal(quantizer(many, training=True), y)
    for _ in range(2):
        np.testing.assert_array_equal(quantizer(many), quantizer.decode(quantizer.encode(many)))


def test_a_seed_is_where_the_draws_begin_and_compiled_draws_go_on():
    x = tf.zeros(100)
    first, second = (StochasticBinary(seed=3) for _ in range(2))
    np.testing.assert_array_equal(first(x, training=True), second(x, training=True))
    for jit_compile in (False, True):
        draw = tf.function(lambda x: first(x, training=True), jit_compile=jit_compile)
        draws = [draw(x).numpy() for _ in range(2)]
        assert set(np.unique(draws)) == {-1.0, 1.0} and not np.array_equal(*draws)


def test_specs():
    assert BitnetTernary().spec == QuantSpec(2, "ternary", dynamic_scale=True)
    assert BitnetBinary(scale_axis=-1).spec == QuantSpec(1, "bipolar", scale_axis=-1, dynamic_scale=True)
    assert BitnetActivation(bits=4).spec == QuantSpec(4, "signed", dynamic_scale=True)
    assert SteTern().spec == StochasticTernary().spec == QuantSpec(2, "ternary")
    assert TTQ(scale_axis=-1).spec == QuantSpec(2, "lookup", scale_axis=-1)
    assert AdaBin().spec == QuantSpec(1, "lookup", scale_axis=-1, dynamic_scale=True)
    assert StochasticBinary().spec == QuantSpec(1, "bipolar")


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="bits must be 2 to 8.*9"):
        BitnetActivation(bits=9)
    for cls in (BitnetActivation, BitnetTernary):
        with pytest.raises(ValueError, match="epsilon must be positive.*0"):
            cls(epsilon=0)
    with pytest.raises(ValueError, match="threshold_value must not be negative.*-1"):
        SteTern(-1)
    with pytest.raises(ValueError, match="threshold must not be negative.*-1"):
        TWN(-1)
    with pytest.raises(ValueError, match=r"threshold must be in \[0, 1\).*1"):
        TTQ(1)
    with pytest.raises(TypeError, match="TTQ needs a surrogate of x alone.*EWGS"):
        TTQ(surrogate="ewgs")
    with pytest.raises(ValueError, match=r"scale_axis=1, whose size.*\(2, None\)"):
        TTQ(scale_axis=1).build((2, None))
    for quantizer in (TTQ(), AdaBinActivation(surrogate="identity")):
        with pytest.raises(ValueError, match="yet: call it on data, or build it"):
            quantizer.decode([1])
