"""BitNet's quantizers, the ternary, stochastic and AdaBin's; and that only plain signs are packed as such."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import keras_ste
from keras_ste import QuantConv2D, QuantDense, quantizers
from keras_ste.quantizers import (
    TTQ,
    TWN,
    AdaBin,
    AdaBinActivation,
    BitnetActivation,
    BitnetBinary,
    BitnetTernary,
    QuantSpec,
    SteSign,
    SteTern,
    StochasticBinary,
    StochasticTernary,
)

DTYPES = ["float16", "bfloat16", "float32", "float64"]
# TensorFlow computes with subnormal numbers as zeros.
floats = st.floats(-(2.0**60), 2.0**60, allow_subnormal=False, width=32)
matrices = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=floats
)
uneven = keras.initializers.RandomUniform(0.5, 2.0, seed=3)
VARIANTS = {
    "bitnet_ternary": BitnetTernary,
    "bitnet_ternary_channels": lambda: BitnetTernary(scale_axis=-1),
    "bitnet_binary": BitnetBinary,
    "bitnet_binary_channels": lambda: BitnetBinary(scale_axis=-1),
    "bitnet_activation": BitnetActivation,
    "bitnet_activation_4": lambda: BitnetActivation(bits=4, axis=(-2, -1)),
    "tern": SteTern,
    "tern_twn": lambda: SteTern(ternary_weight_networks=True),
    "twn": TWN,
    "twn_channels": lambda: TWN(scale_axis=-1),
    "ttq": lambda: TTQ(scale_initializer=uneven),
    "ttq_channels": lambda: TTQ(scale_axis=-1, scale_initializer=uneven),
    "ada_bin": AdaBin,
    "ada_bin_tensor": lambda: AdaBin(scale_axis=None),
    "ada_bin_activation": lambda: AdaBinActivation(
        surrogate=triangle, center_initializer=uneven, distance_initializer=uneven
    ),
    "stochastic_binary": StochasticBinary,
    "stochastic_ternary": StochasticTernary,
}
ALL = pytest.mark.parametrize("make", VARIANTS.values(), ids=VARIANTS)
SCALED = ["bitnet_ternary", "bitnet_ternary_channels", "bitnet_binary", "bitnet_activation", "twn", "twn_channels"]


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


@pytest.mark.parametrize("dtype", DTYPES)
@ALL
def test_decode_of_encode_is_the_quantizer(make, dtype):
    @settings(max_examples=30)
    @given(x=matrices)
    def check(x):
        quantizer = make()
        x = tf.cast(np.clip(x, -1e4, 1e4), dtype)
        y = quantizer(x)
        assert y.dtype == x.dtype and y.shape == x.shape
        encoded = quantizer.encode(x)
        codes = encoded[0] if quantizer.spec.dynamic_scale else encoded
        assert codes.dtype == tf.int8 and codes.shape == x.shape
        decoded = quantizer.decode(encoded, dtype=dtype)
        assert decoded.dtype == x.dtype
        assert decoded.numpy().tobytes() == y.numpy().tobytes()
        values, scale = quantizer.factors(x)
        product = values if scale is None else values * scale
        assert product.numpy().tobytes() == y.numpy().tobytes()
        if quantizer.spec.encoding in ("ternary", "signed"):
            np.testing.assert_array_equal(values.numpy().astype("float64"), codes.numpy())
        if quantizer.spec.encoding == "ternary":
            assert set(np.unique(codes)) <= {-1, 0, 1}

    check()


@ALL
def test_in_graphs_and_compiled(make):
    quantizer, x = make(), tf.constant(normal(4, 3, 6, 5))
    y = quantizer(x)
    np.testing.assert_array_equal(tf.function(quantizer)(x), y)
    # XLA adds up means in an order of its own.
    np.testing.assert_allclose(tf.function(quantizer, jit_compile=True)(x), y, rtol=1e-6, atol=1e-6)


@ALL
def test_a_nan_shows_and_has_a_code(make):
    x = normal(4, 5)
    x[1, 2] = np.nan
    quantizer = make()
    assert np.isnan(quantizer(x).numpy()[1, 2])
    codes = quantizer.encode(x)[0] if quantizer.spec.dynamic_scale else quantizer.encode(x)
    assert codes.numpy()[1, 2] == (1 if isinstance(quantizer, TTQ) else 0)


@ALL
def test_a_channel_of_zeros_has_finite_values_and_gradients(make):
    x = np.stack([np.zeros(6), np.linspace(-1, 1, 6)], axis=-1).astype("float32")
    for x in (x, np.zeros((3, 4), "float32")):
        assert np.isfinite(make()(x)).all()
        assert np.isfinite(gradients_of(make(), tf.constant(x), np.ones(x.shape))[0]).all()


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


def test_no_zero_is_negative():
    x = tf.constant([[-0.1, 0.1, 3.0, -127.0]])
    for quantizer in (BitnetActivation(bits=4), BitnetTernary(), TWN(), SteTern(0.2)):
        y = quantizer(x).numpy()
        assert (y == 0).any() and not np.signbit(y[y == 0]).any()


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("surrogate", ["identity", "clipped_identity"])
def test_the_gradient_of_scaled_values_is_the_surrogate(name, surrogate):
    x, g = normal(6, 5), normal(6, 5, seed=1)
    cls = type(VARIANTS[name]())
    (gradient,) = gradients_of(cls(surrogate=surrogate), tf.constant(x), g)
    inside = 1 if surrogate == "identity" else np.abs(x) <= 1
    np.testing.assert_allclose(gradient, g * inside, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["tern", "stochastic_binary", "stochastic_ternary"])
def test_the_gradient_of_unscaled_values_is_the_surrogate(name):
    x, g = normal(1000), normal(1000, seed=1)
    x[:4] = [1, -1, np.nextafter(1, 2), 0]
    quantizer = VARIANTS[name]()
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
    quantizer = VARIANTS["ada_bin_activation"]()
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


@pytest.mark.parametrize("jit_compile", [False, True])
def test_layers_save_and_train_the_variables(jit_compile, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((8,)),
            QuantDense(
                6,
                input_quantizer=AdaBinActivation(surrogate="clipped_identity"),
                kernel_quantizer=TTQ(scale_axis=-1),
            ),
            QuantDense(4, input_quantizer=BitnetActivation(), kernel_quantizer=StochasticTernary(seed=2)),
            QuantDense(1, input_quantizer=BitnetActivation(), kernel_quantizer=BitnetTernary()),
        ]
    )
    x = normal(16, 8)
    learned = [
        v for v in model.trainable_variables if v.name in ("center", "distance", "positive_scale", "negative_scale")
    ]
    assert len(learned) == 4
    before = [v.numpy() for v in learned]
    model.compile("sgd", "mse", jit_compile=jit_compile)
    history = model.fit(x, x.sum(axis=1, keepdims=True), epochs=2, batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert all(not np.array_equal(a, v) for a, v in zip(before, learned, strict=True))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    for a, b in zip(loaded.variables, model.variables, strict=True):
        np.testing.assert_array_equal(a, b)


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
    with pytest.raises(ValueError, match=r"scale_axis=1, whose size.*\(2, None\)"):
        TTQ(scale_axis=1).build((2, None))
    for quantizer in (TTQ(), AdaBinActivation(surrogate="identity")):
        with pytest.raises(ValueError, match="yet: call it on data, or build it"):
            quantizer.decode([1])
    for make in VARIANTS.values():
        for method in (make(), make().encode):
            with pytest.raises(TypeError, match="floating-point.*int8"):
                method(tf.zeros((2, 2), tf.int8))


# What is packed: see test_quantizer_conversion.py for each quantizer; here, for those that say wrong things of themselves.


def compare(layer, shape, strict=True):
    """Converts a model of the layer and compares it with Keras."""
    model = keras.Sequential([keras.Input(shape), layer])
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype("float32")
    x.flat[::7] = 0
    content = keras_ste.convert(model, strict=strict).model_content
    interpreter = keras_ste.Interpreter(model_content=content)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, x)
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    if strict:
        np.testing.assert_array_equal(y, model(x))
    else:
        np.testing.assert_allclose(y, model(x), rtol=1e-4, atol=1e-4)


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


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"input_quantizer": Plain()}, "does not say what its values are the signs of"),
        ({"input_quantizer": Shifted()}, "other values than the sign of its sign_argument"),
        ({"input_quantizer": Levels()}, "other values than the sign of its sign_argument"),
        ({"input_quantizer": Halved()}, "its input_quantizer has a scale"),
        ({"kernel_quantizer": Levels()}, "its kernel_quantizer gives other values than signs"),
    ],
)
def test_what_is_no_plain_sign_is_not_packed_as_one(arguments, reason):
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    for layer, shape in (
        (QuantDense(4, **{**signs, **arguments}), (12,)),
        (QuantConv2D(4, 2, **{**signs, **arguments}), (4, 5, 3)),
    ):
        with pytest.raises(ValueError, match=reason):
            keras_ste.convert(keras.Sequential([keras.Input(shape), layer]), strict=True)
        compare(layer, shape, strict=False)


@pytest.mark.parametrize("quantizer", [Plain(), Shifted(), Halved()])
def test_kernels_are_packed_as_the_layer_computes_with_them(quantizer):
    compare(QuantDense(4, input_quantizer="ste_sign", kernel_quantizer=quantizer), (12,))


@pytest.mark.parametrize("name", quantizers.names())
def test_who_is_a_sign_of_something_is_the_sign_of_it(name):
    try:
        quantizer = quantizers.get(name)
    except ValueError as error:
        pytest.fail(f"{name} cannot be made by its name: {error}")
    x = tf.constant(normal(3, 4, 4, 5))
    quantizer.build(x.shape)
    argument = quantizer.sign_argument(x)
    if argument is None:
        return
    assert quantizer.spec == QuantSpec(1, "bipolar")
    integers, scale = quantizer.factors(x)
    assert scale is None
    np.testing.assert_array_equal(integers, np.where(argument >= 0, 1, -1))
