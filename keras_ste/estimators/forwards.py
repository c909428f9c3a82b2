"""Forward functions for `straight_through`: signs, steps and roundings.

Each maps a float tensor to discrete values of the same shape and dtype, exactly. A NaN stays a NaN.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def sign(x: Any) -> tf.Tensor:
    """+1 where `x >= 0`, else -1: `sign(0) = sign(-0.0) = +1`.

    >>> sign(tf.constant([-0.5, -0.0, 2.0])).numpy().tolist()
    [-1.0, 1.0, 1.0]
    """
    # tf.sign has three values. These operations work in place and keep a NaN; a comparison and a
    # choice between constants is slower.
    return tf.sign(tf.sign(x) + 0.5)


def heaviside(x: Any, at_zero: float = 1.0) -> tf.Tensor:
    """1 where `x > 0`, 0 where `x < 0`, and `at_zero` where `x` is 0 or -0.0.

    With the default it is `(sign(x) + 1) / 2`. SpikingJelly has 1 at zero as well; Larq and
    snnTorch have 0.

    Args:
        x: float tensor.
        at_zero: 0, 0.5 or 1.

    Raises:
        ValueError: another `at_zero`.

    >>> heaviside(tf.constant([-0.5, 0.0, 2.0])).numpy().tolist()
    [0.0, 1.0, 1.0]
    """
    if at_zero not in (0.0, 0.5, 1.0):
        raise ValueError(f"heaviside's at_zero must be 0, 0.5 or 1. Received: {at_zero!r}.")
    return 0.5 * tf.sign(tf.sign(x) + (at_zero - 0.5)) + 0.5


def ternary_sign(x: Any, threshold: float = 0.0) -> tf.Tensor:
    """+1 where `x > threshold`, -1 where `x < -threshold`, else 0.

    Raises:
        ValueError: a threshold that is not at least 0.

    >>> ternary_sign(tf.constant([-2.0, 0.3, 0.0, 0.6]), 0.5).numpy().tolist()
    [-1.0, 0.0, 0.0, 1.0]
    """
    if not threshold >= 0:
        raise ValueError(f"ternary_sign's threshold must be at least 0. Received: {threshold!r}.")
    x = tf.convert_to_tensor(x)
    # Not a product with 0 or 1: XLA makes a choice of it, and of a NaN a 0.
    inside = tf.abs(x) <= tf.cast(threshold, x.dtype)
    return tf.where(inside, tf.zeros_like(x), tf.sign(x))


def round_half_even(x: Any) -> tf.Tensor:
    """The nearest integer; of two, the even one, as IEEE 754 rounds.

    >>> round_half_even(tf.constant([0.5, 1.5, -2.5])).numpy().tolist()
    [0.0, 2.0, -2.0]
    """
    return tf.round(x)


def floor(x: Any) -> tf.Tensor:
    """The largest integer that is not greater.

    >>> floor(tf.constant([1.5, -1.5])).numpy().tolist()
    [1.0, -2.0]
    """
    return tf.floor(x)


def ceil(x: Any) -> tf.Tensor:
    """The smallest integer that is not less.

    >>> ceil(tf.constant([1.5, -1.5])).numpy().tolist()
    [2.0, -1.0]
    """
    return tf.math.ceil(x)


def round_to_zero(x: Any) -> tf.Tensor:
    """The integer part: floor where `x` is positive, ceil where it is negative.

    >>> round_to_zero(tf.constant([1.5, -1.5])).numpy().tolist()
    [1.0, -1.0]
    """
    return tf.sign(x) * tf.floor(tf.abs(x))


def dpu_round(x: Any) -> tf.Tensor:
    """The nearest integer; of two, the even one where `x` is positive, the upper where negative.

    Brevitas offers it for Xilinx's DPU.

    >>> dpu_round(tf.constant([0.5, 1.5, 2.5, -1.5, -2.5, -2.6])).numpy().tolist()
    [0.0, 2.0, 2.0, -1.0, -2.0, -3.0]
    """
    x = tf.convert_to_tensor(x)
    tie = tf.logical_and(x < 0, tf.equal(x - tf.floor(x), 0.5))
    return tf.where(tie, tf.math.ceil(x), tf.round(x))


def stochastic_round(x: Any, seed: Any = None) -> tf.Tensor:
    """Rounds up with the probability of the fraction: `floor(x + U)`, `U` uniform in [0, 1).

    The expected value is `x`, and the variance `f (1 - f)` with `f = x - floor(x)`. S. Gupta et al.:
    *Deep Learning with Limited Numerical Precision*, arXiv:1502.02551. The fraction is compared
    with a `U` of 24 bits, so that the sum `x + U` is never rounded, and an integer stays what it is.

    Args:
        x: float tensor.
        seed: `None` for Keras's global generator, a `keras.random.SeedGenerator`, or an integer,
            which draws the same numbers each time.

    >>> stochastic_round(tf.constant([2.0, -3.0]), seed=1).numpy().tolist()
    [2.0, -3.0]
    """
    x = tf.convert_to_tensor(x)
    lower = tf.floor(x)
    wide = tf.float64 if x.dtype == tf.float64 else tf.float32
    up = _uniform(x, seed, wide) < tf.cast(x - lower, wide)
    return lower + tf.cast(up, x.dtype)


def dithered_round(x: Any, seed: Any = None, dither: str = "triangular") -> tf.Tensor:
    """The nearest integer to `x` plus noise: `round(x + D)`.

    With `dither="uniform"`, `D` is uniform in [-1/2, 1/2): the mean of the error `y - x` is 0 for
    every `x`, its variance depends on `x`, and the values are distributed as those of
    `stochastic_round`. With `"triangular"`, `D` is the difference of two such, so that the variance
    of the error is 1/4 for every `x` as well. S. Lipshitz, R. Wannamaker, J. Vanderkooy:
    *Quantization and Dither: A Theoretical Survey*, J. Audio Eng. Soc. 40, 1992.

    Args:
        x: float tensor.
        seed: as for `stochastic_round`.
        dither: `"triangular"` or `"uniform"`.

    Raises:
        ValueError: another dither.

    >>> y = dithered_round(tf.zeros(1000), seed=1)
    >>> sorted(set(y.numpy().tolist()))
    [-1.0, 0.0, 1.0]
    """
    if dither not in ("triangular", "uniform"):
        raise ValueError(
            f"dithered_round's dither must be 'triangular' or 'uniform'. Received: {dither!r}."
        )
    x = tf.convert_to_tensor(x)
    wide = tf.float64 if x.dtype == tf.float64 else tf.float32
    # The integer part is set aside: in 16 bits, x + D would be rounded.
    lower = tf.floor(x)
    if dither == "uniform":
        noise = _uniform(x, seed, wide) - 0.5
    else:
        both = _uniform(tf.stack([x, x]), seed, wide)
        noise = both[0] - both[1]
    fraction = tf.cast(x - lower, wide)
    # An infinity has no fraction to add noise to.
    steps = tf.where(tf.math.is_inf(x), tf.zeros_like(noise), tf.round(fraction + noise))
    return lower + tf.cast(steps, x.dtype)


def _uniform(like, seed, dtype):
    return keras.random.uniform(tf.shape(like), dtype=dtype.name, seed=seed)
