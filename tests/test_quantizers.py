"""The sign's values and gradients, quantizers by name, and the base class."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_ste import quantizers
from keras_ste.quantizers import Quantizer, QuantSpec, SteSign, XnorSign

DTYPES = ["float16", "bfloat16", "float32", "float64"]
# TensorFlow computes with subnormal numbers as zeros.
floats = st.floats(-(2.0**99), 2.0**99, allow_subnormal=False, width=32)
matrices = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=floats
)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_signs_of_zeros_and_of_nan(dtype):
    x = tf.cast([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-4, -1e-4], dtype)
    expected = [1, 1, np.nan, 1, -1, 1, -1]
    np.testing.assert_array_equal(tf.cast(SteSign()(x), tf.float32), expected)
    compiled = tf.function(SteSign(), jit_compile=True)(x)
    np.testing.assert_array_equal(tf.cast(compiled, tf.float32), expected)
    assert (2 * SteSign().encode(x) - 1).numpy().tolist() == [1, 1, -1, 1, -1, 1, -1]


def gradient_of(quantizer, x, upstream):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = quantizer(x)
    return tape.gradient(y, x, output_gradients=upstream).numpy()


@given(x=matrices, seed=st.integers(0, 99))
def test_the_gradient_of_the_sign(x, seed):
    g = np.random.default_rng(seed).normal(size=x.shape).astype("float32")
    expected = g * (np.abs(x) <= 1)
    np.testing.assert_array_equal(gradient_of(SteSign(), tf.constant(x), g), expected)


@pytest.mark.parametrize("scale_axis", [-1, 0, None])
@pytest.mark.parametrize(
    "dtype, tolerance", [("float32", 1e-5), ("float16", 4e-3), ("bfloat16", 3e-2)]
)
def test_the_gradient_of_the_scaled_sign_is_the_published_one(scale_axis, dtype, tolerance):
    rng = np.random.default_rng(1)
    w = tf.cast(rng.normal(size=(3, 3, 4, 5)), dtype)
    g = tf.cast(rng.normal(size=w.shape), dtype)
    w64, g64 = w.numpy().astype("float64"), g.numpy().astype("float64")
    axes = tuple(a for a in range(4) if scale_axis is None or a != scale_axis % 4)
    alpha = np.abs(w64).mean(axis=axes, keepdims=True)
    n = w64.size / alpha.size
    expected = g64 * (1 / n + alpha * (np.abs(w64) <= 1))
    gradient = gradient_of(SteSign(scale="mean_abs", scale_axis=scale_axis), w, g)
    np.testing.assert_allclose(gradient.astype("float64"), expected, rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_channel_of_zeros_has_a_finite_gradient(dtype):
    w = tf.cast(np.stack([np.zeros(4), np.linspace(-1, 1, 4)], axis=-1), dtype)
    assert XnorSign()(w).numpy()[:, 0].tolist() == [0.0] * 4
    gradient = gradient_of(XnorSign(), w, tf.ones_like(w))
    assert np.isfinite(gradient).all()
    assert gradient[:, 0].tolist() == [0.0] * 4 and (gradient[:, 1] != 0).all()


def test_other_surrogates():
    x = tf.constant([-3.0, 0.5])
    assert gradient_of(SteSign("identity"), x, tf.ones(2)).tolist() == [1.0, 1.0]
    assert gradient_of(SteSign(lambda x: 2 * x), x, tf.ones(2)).tolist() == [-6.0, 1.0]


def test_specs():
    assert SteSign().spec == QuantSpec(1, "bipolar")
    assert XnorSign().spec == QuantSpec(1, "bipolar", scale_axis=-1, dynamic_scale=True)
    assert SteSign(scale="mean_abs", scale_axis=None).spec.scale_axis is None
    with pytest.raises(AttributeError):
        SteSign().spec.bits = 2
    with pytest.raises(ValueError, match="at least one bit.*bits=0"):
        QuantSpec(0, "bipolar")
    with pytest.raises(ValueError, match="bipolar, unsigned, signed, ternary.*'base3'"):
        QuantSpec(1, "base3")


def test_configs_keep_arguments():
    quantizer = SteSign(
        surrogate={"class_name": "ClippedIdentity", "config": {"width": 0.25}},
        scale="mean_abs",
        scale_axis=1,
        name="mine",
    )
    again = quantizers.get(quantizers.serialize(quantizer))
    assert again.name == "mine" and again.scale_axis == 1 and again.surrogate.width == 0.25
    assert repr(again) == repr(quantizer)
    assert "ClippedIdentity(width=0.25" in repr(again)


def test_none_and_plain_callables_stay_what_they_are():
    assert quantizers.get(None) is None and quantizers.serialize(None) is None
    assert quantizers.get(tf.sign) is tf.sign


def test_registered_functions_by_name_and_config():
    @keras.saving.register_keras_serializable(package="tests")
    def tripled(x):
        return 3 * x

    assert quantizers.get("tests>tripled") is tripled
    assert quantizers.get(quantizers.serialize(tripled)) is tripled


def test_errors_say_what_was_wrong():
    with pytest.raises(ValueError, match="Unknown quantizer 'sgn'.*ste_sign.*xnor_sign"):
        quantizers.get("sgn")
    with pytest.raises(TypeError, match="quantizer must be.*3 of type int"):
        quantizers.get(3)
    with pytest.raises(TypeError, match="quantizer must be"):
        quantizers.get(dict)
    with pytest.raises(ValueError, match="scale must be None or 'mean_abs'.*'max'"):
        SteSign(scale="max")
    with pytest.raises(ValueError, match=r"scale_axis=2.*\(3, 3\)"):
        SteSign(scale="mean_abs", scale_axis=2)(tf.zeros((3, 3)))


def test_the_base_class_names_what_is_missing():
    class Empty(Quantizer):
        pass

    for use in ("factors", "encode", "decode"):
        with pytest.raises(NotImplementedError, match=f"Empty has to implement {use}"):
            getattr(Empty(), use)([1.0])
    with pytest.raises(NotImplementedError, match="Empty has to implement the property spec"):
        _ = Empty().spec
    assert Empty().name == "empty" and repr(Empty()) == "Empty(name='empty')"
