"""Ready-made straight-through estimators: a forward function each, and the surrogate to choose."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste.estimators import forwards
from keras_ste.estimators.straight_through import straight_through


def ste_sign(x: Any, surrogate: Any = "clipped_identity") -> tf.Tensor:
    """`forwards.sign` with a surrogate gradient.

    >>> ste_sign([-0.5, 0.0]).numpy().tolist()
    [-1.0, 1.0]
    """
    return straight_through(forwards.sign, surrogate)(x)


def ste_heaviside(x: Any, surrogate: Any = "sigmoid", at_zero: float = 1.0) -> tf.Tensor:
    """`forwards.heaviside` with a surrogate gradient.

    >>> ste_heaviside([-0.5, 0.0]).numpy().tolist()
    [0.0, 1.0]
    """
    return straight_through(lambda x: forwards.heaviside(x, at_zero), surrogate)(x)


def ste_ternary_sign(x: Any, threshold: float = 0.0, surrogate: Any = "identity") -> tf.Tensor:
    """`forwards.ternary_sign` with a surrogate gradient.

    >>> ste_ternary_sign([-0.7, 0.3], threshold=0.5).numpy().tolist()
    [-1.0, 0.0]
    """
    return straight_through(lambda x: forwards.ternary_sign(x, threshold), surrogate)(x)


def ste_abs(x: Any) -> tf.Tensor:
    """`|x|` with the gradient `sign(x)`, `sign(0) = +1`: a 0 can move.

    Brevitas's `abs_binary_sign_grad`.

    >>> x = tf.constant([-2.0, 0.0])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = ste_abs(x)
    >>> tape.gradient(y, x).numpy().tolist()
    [-1.0, 1.0]
    """
    return straight_through(tf.abs, forwards.sign)(x)


def ste_round(x: Any, surrogate: Any = "identity") -> tf.Tensor:
    """`forwards.round_half_even` with a surrogate gradient.

    >>> ste_round([0.5, 1.5, 2.4]).numpy().tolist()
    [0.0, 2.0, 2.0]
    """
    return straight_through(forwards.round_half_even, surrogate)(x)


def ste_floor(x: Any, surrogate: Any = "identity") -> tf.Tensor:
    """`forwards.floor` with a surrogate gradient.

    >>> ste_floor([1.5, -1.5]).numpy().tolist()
    [1.0, -2.0]
    """
    return straight_through(forwards.floor, surrogate)(x)


def ste_ceil(x: Any, surrogate: Any = "identity") -> tf.Tensor:
    """`forwards.ceil` with a surrogate gradient.

    >>> ste_ceil([1.5, -1.5]).numpy().tolist()
    [2.0, -1.0]
    """
    return straight_through(forwards.ceil, surrogate)(x)


def ste_round_to_zero(x: Any, surrogate: Any = "identity") -> tf.Tensor:
    """`forwards.round_to_zero` with a surrogate gradient.

    >>> ste_round_to_zero([1.5, -1.5]).numpy().tolist()
    [1.0, -1.0]
    """
    return straight_through(forwards.round_to_zero, surrogate)(x)


def ste_dpu_round(x: Any, surrogate: Any = "identity") -> tf.Tensor:
    """`forwards.dpu_round` with a surrogate gradient.

    >>> ste_dpu_round([0.5, -1.5]).numpy().tolist()
    [0.0, -1.0]
    """
    return straight_through(forwards.dpu_round, surrogate)(x)


def ste_stochastic_round(x: Any, seed: Any = None, surrogate: Any = "identity") -> tf.Tensor:
    """`forwards.stochastic_round` with a surrogate gradient.

    >>> ste_stochastic_round([2.0], seed=1).numpy().tolist()
    [2.0]
    """
    return straight_through(lambda x: forwards.stochastic_round(x, seed), surrogate)(x)


def ste_dithered_round(
    x: Any, seed: Any = None, dither: str = "triangular", surrogate: Any = "identity"
) -> tf.Tensor:
    """`forwards.dithered_round` with a surrogate gradient.

    >>> float(ste_dithered_round([2.0], seed=1, dither="uniform")[0])
    2.0
    """
    return straight_through(lambda x: forwards.dithered_round(x, seed, dither), surrogate)(x)
