"""straight_through and the surrogates: exact values, closed-form gradients, clear errors."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_ste import estimators, straight_through
from keras_ste.estimators import ClippedIdentity, Identity, Surrogate, surrogates

DTYPES = ["float16", "bfloat16", "float32", "float64"]
MODES = {
    "eager": lambda function: function,
    "graph": tf.function,
    "jit": functools.partial(tf.function, jit_compile=True),
}

# TensorFlow flushes subnormal numbers to zero, so they are no inputs to compare values on.
floats = st.floats(allow_nan=False, allow_subnormal=False, width=32)
arrays = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=5), elements=floats)


def value_and_gradient(function, x, upstream):
    """y and the gradient of sum(y * upstream) with respect to x."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return y, tape.gradient(y, x, output_gradients=upstream)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "surrogate, derivative",
    [
        ("identity", lambda x: np.ones_like(x)),
        ("clipped_identity", lambda x: (np.abs(x) <= 1).astype(x.dtype)),
        (ClippedIdentity(0.5), lambda x: (np.abs(x) <= 0.5).astype(x.dtype)),
        (lambda x: tf.cast(x > 0, x.dtype), lambda x: (x > 0).astype(x.dtype)),
    ],
    ids=["identity", "clipped_identity", "object", "callable"],
)
def test_values_are_exact_and_the_gradient_is_the_surrogates(dtype, mode, surrogate, derivative):
    rng = np.random.default_rng(0)
    special = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, np.inf, -np.inf, 1000.3]
    x = tf.cast(np.concatenate([rng.normal(size=100), special]), dtype)
    upstream = tf.cast(rng.normal(size=x.shape[0]), dtype)
    # A scaled sign: x + (forward - x) does not give these two values back.
    forward = lambda x: tf.where(x >= 0, tf.constant(0.037, x.dtype), tf.constant(-0.037, x.dtype))
    estimator = straight_through(forward, surrogate)
    y, gradient = MODES[mode](lambda x, u: value_and_gradient(estimator, x, u))(x, upstream)
    np.testing.assert_array_equal(y.numpy(), forward(x).numpy())
    assert y.dtype == x.dtype and gradient.dtype == x.dtype
    np.testing.assert_array_equal(gradient.numpy(), upstream.numpy() * derivative(x.numpy()))


@given(x=arrays, width=st.floats(2.0**-9, 2.0**9, width=32))
def test_clipped_identity_is_one_within_its_width(x, width):
    np.testing.assert_array_equal(ClippedIdentity(width)(x).numpy(), np.abs(x) <= np.float32(width))
    np.testing.assert_array_equal(Identity()(x).numpy(), np.ones_like(x))


@given(x=arrays)
def test_the_forward_is_the_functions_bit_for_bit(x):
    for forward in (tf.round, tf.floor, tf.sign, tf.nn.relu):
        y = straight_through(forward)(x)
        assert y.numpy().tobytes() == forward(x).numpy().tobytes()


@pytest.mark.parametrize("mode", MODES)
def test_a_second_gradient_goes_through_the_surrogate(mode):
    cubic = straight_through(tf.round, lambda x: x**3)

    def both(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = cubic(x)
            first = inner.gradient(y, x)
        return first, outer.gradient(first, x)

    x = tf.constant([-1.5, 0.25, 2.0])
    first, second = MODES[mode](both)(x)
    np.testing.assert_allclose(first, x.numpy() ** 3, rtol=1e-6)
    np.testing.assert_allclose(second, 3 * x.numpy() ** 2, rtol=1e-6)


def test_a_second_gradient_goes_through_the_upstream_one():
    square = lambda x: straight_through(tf.round)(x) ** 2
    x = tf.constant([0.6, 2.2])
    with tf.GradientTape() as outer:
        outer.watch(x)
        _, first = value_and_gradient(square, x, tf.ones(2))
    np.testing.assert_array_equal(first, [2.0, 4.0])
    np.testing.assert_array_equal(outer.gradient(first, x), [2.0, 2.0])


@pytest.mark.parametrize("mode", MODES)
def test_forward_and_surrogate_may_read_variables(mode):
    threshold, slope = tf.Variable(0.5), tf.Variable(3.0)
    step = straight_through(lambda x: tf.cast(x > threshold, x.dtype), lambda x: slope)

    @MODES[mode]
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = step(x)
        return y, tape.gradient(y, [x, threshold], unconnected_gradients="zero")

    x = tf.constant([0.0, 1.0])
    y, (gradient, threshold_gradient) = both(x)
    np.testing.assert_array_equal(y, [0.0, 1.0])
    np.testing.assert_array_equal(gradient, [3.0, 3.0])
    assert threshold_gradient == 0.0
    slope.assign(5.0)
    np.testing.assert_array_equal(both(x)[1][0], [5.0, 5.0])


def test_decorator_with_and_without_arguments():
    @straight_through
    def rounded(x):
        """Rounds."""
        return tf.round(x)

    @straight_through(surrogate="clipped_identity")
    def clipped(x):
        return tf.round(x)

    x = tf.constant([0.4, 1.6])
    assert rounded.__name__ == "rounded" and rounded.__doc__ == "Rounds."
    assert value_and_gradient(rounded, x, tf.ones(2))[1].numpy().tolist() == [1.0, 1.0]
    assert value_and_gradient(clipped, x, tf.ones(2))[1].numpy().tolist() == [1.0, 0.0]


def test_a_registered_estimator_is_an_activation_that_can_be_saved(tmp_path):
    @keras.saving.register_keras_serializable(package="tests")
    @straight_through(surrogate="clipped_identity")
    def heaviside(x):
        return tf.cast(x > 0, x.dtype)

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation=heaviside)])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert set(np.unique(loaded(x))) == {0.0, 1.0}


@pytest.mark.parametrize("forward", [3, "round", None, [tf.round]])
def test_forward_must_be_callable(forward):
    if forward is None:
        with pytest.raises(TypeError, match="function as its first argument"):
            straight_through(surrogate="identity")(3)
    else:
        with pytest.raises(TypeError, match="function as its first argument"):
            straight_through(forward)


def test_an_unknown_surrogate_lists_the_known_ones():
    with pytest.raises(ValueError, match="'foo'.*clipped_identity.*identity"):
        straight_through(tf.round, "foo")
    with pytest.raises(TypeError, match="surrogate.*clipped_identity.*identity.*3 of type int"):
        straight_through(tf.round, 3)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "complex64"])
def test_only_floats_have_gradients(dtype):
    with pytest.raises(TypeError, match=f"floating-point.*{dtype}"):
        straight_through(tf.identity)(tf.cast([0, 1], dtype))


def test_forward_and_surrogate_must_keep_shape_and_dtype():
    x = tf.zeros([2, 3])
    with pytest.raises(ValueError, match=r"total must return x's shape \(2, 3\).*returned \(3,\)"):
        total = lambda x: tf.reduce_sum(x, axis=0)
        total.__name__ = "total"
        straight_through(total)(x)
    with pytest.raises(TypeError, match="must return x's dtype float32. It returned int32"):
        straight_through(lambda x: tf.cast(x, "int32"))(x)
    with pytest.raises(ValueError, match=r"surrogate.*x's shape \(2, 3\).*returned \(2,\)"):
        value_and_gradient(straight_through(tf.round, lambda x: x[:, 0]), x, x)
    with pytest.raises(TypeError, match="surrogate.*x's dtype float32. It returned bool"):
        value_and_gradient(straight_through(tf.round, lambda x: x > 0), x, x)


@pytest.mark.parametrize("width", [0, -1.0, float("nan")])
def test_the_width_must_be_positive(width):
    with pytest.raises(ValueError, match="positive width"):
        ClippedIdentity(width)


@pytest.mark.parametrize("name", surrogates.names())
def test_surrogates_by_name_and_config(name):
    surrogate = surrogates.get(name)
    assert isinstance(surrogate, Surrogate)
    assert type(surrogates.get(type(surrogate).__name__)) is type(surrogate)
    assert type(surrogates.get(type(surrogate))) is type(surrogate)
    again = surrogates.get(surrogates.serialize(surrogate))
    assert type(again) is type(surrogate) and again.get_config() == surrogate.get_config()
    short = {"class_name": type(surrogate).__name__, "config": surrogate.get_config()}
    assert repr(surrogates.get(short)) == repr(surrogate)


def test_a_surrogate_of_ones_own():
    @keras.saving.register_keras_serializable(package="tests")
    class Halved(Surrogate):
        def derivative(self, x):
            return tf.fill(tf.shape(x), tf.constant(0.5, x.dtype))

    x = tf.constant([1.0, 2.0])
    for surrogate in (Halved(), "tests>Halved", surrogates.serialize(Halved())):
        _, gradient = value_and_gradient(straight_through(tf.round, surrogate), x, tf.ones(2))
        assert gradient.numpy().tolist() == [0.5, 0.5]
    with pytest.raises(NotImplementedError, match="Surrogate has to implement derivative"):
        Surrogate()(x)


def test_the_module_says_what_it_offers():
    for name in estimators.__all__:
        assert getattr(estimators, name) is not None
