"""`straight_through`: a function's exact values, with a gradient of one's own choice."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_ste.estimators import surrogates
from keras_ste.estimators.gradients import custom_gradient


def straight_through(
    forward: Callable[[tf.Tensor], tf.Tensor] | None = None,
    surrogate: Any = "identity",
) -> Callable:
    """Gives an element-wise function a surrogate gradient.

    The result computes `y = forward(x)`, and its gradient is `dL/dx = dL/dy · d(x)`, where `d` is
    the surrogate (an `UpstreamSurrogate`, such as `EWGS`, says how it is computed from `dL/dy`
    instead). The values are those of `forward` bit for bit in every float dtype, at infinities
    too; `x + stop_gradient(forward(x) - x)`, the way it is mostly written, rounds twice. A second
    gradient goes through `d`. Whatever `forward` computes with besides `x` gets no gradient.

    Y. Bengio, N. Léonard, A. Courville: *Estimating or Propagating Gradients Through Stochastic
    Neurons for Conditional Computation*, arXiv:1308.3432.

    Args:
        forward: maps a float tensor to one of the same shape and dtype.
        surrogate: a name such as `"clipped_identity"` (see `surrogates.names()`), a `Surrogate`, or
            a callable that maps `x` to the derivative `d(x)`: a tensor of x's dtype, of x's shape
            or a scalar.

    Returns:
        A function of one float tensor, whose attribute `surrogate` is the surrogate; without
        `forward`, a decorator that makes one.

    Raises:
        TypeError: `forward` cannot be called; and, when the result is called, for an `x` that is
            not floating point, or a `forward` or surrogate that returns another dtype than x's.
        ValueError: the surrogate's name is unknown; and, when the result is called, for a
            `forward` or surrogate that returns another shape than x's.

    >>> rounded = straight_through(tf.round, surrogate="clipped_identity")
    >>> x = tf.constant([-2.4, 0.3, 0.7])
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = rounded(x)
    >>> y.numpy().tolist(), tape.gradient(y, x).numpy().tolist()
    ([-2.0, 0.0, 1.0], [0.0, 1.0, 1.0])
    """
    if forward is None:
        return functools.partial(straight_through, surrogate=surrogate)
    if not callable(forward):
        raise TypeError(
            "straight_through needs a function as its first argument. "
            f"Received: {forward!r} of type {type(forward).__name__}."
        )
    derivative = surrogates.get(surrogate)

    def estimator(x):
        x = tf.convert_to_tensor(x)
        if not x.dtype.is_floating:
            raise TypeError(
                f"{_name(forward)} with a surrogate gradient takes a floating-point tensor. "
                f"Received: dtype {x.dtype.name}."
            )
        # Outside the custom gradient, so that `forward` may read variables.
        value = tf.stop_gradient(tf.convert_to_tensor(forward(tf.stop_gradient(x))))
        _check_like(x, value, _name(forward), allow_scalar=False)
        return _with_derivative(x, value, derivative)

    # Not functools.wraps: TensorFlow would follow `__wrapped__` back to `forward`.
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        if hasattr(forward, attribute):
            setattr(estimator, attribute, getattr(forward, attribute))
    estimator.surrogate = derivative
    return estimator


def _with_derivative(x, value, derivative):
    @custom_gradient
    def with_derivative(x, value):
        def gradient(upstream):
            return backward(derivative, upstream, x, value), None

        return tf.identity(value), gradient

    return with_derivative(x, value)


def backward(surrogate: Callable, upstream: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """`dL/dx` for `upstream = dL/dy`: what the surrogate makes of it, for custom gradients.

    Args:
        surrogate: what `surrogates.get` returns.
        upstream: the gradient of the forward value.
        x: the float tensor.
        y: its forward value, which an `UpstreamSurrogate` looks at.

    Raises:
        TypeError, ValueError: the surrogate returns another dtype or shape than x's.

    >>> x = tf.constant([0.5, 2.0])
    >>> backward(surrogates.get("clipped_identity"), 3 * tf.ones(2), x, tf.round(x)).numpy().tolist()
    [3.0, 0.0]
    """
    if isinstance(surrogate, surrogates.UpstreamSurrogate):
        return surrogate.gradient(upstream, x, y)
    d = tf.convert_to_tensor(surrogate(x), dtype_hint=x.dtype)
    _check_like(x, d, f"The surrogate {_name(surrogate)}", allow_scalar=True)
    return upstream * d


def _check_like(x, y, who, allow_scalar):
    if y.dtype != x.dtype:
        raise TypeError(f"{who} must return x's dtype {x.dtype.name}. It returned {y.dtype.name}.")
    if not (allow_scalar and y.shape.rank == 0) and not y.shape.is_compatible_with(x.shape):
        raise ValueError(f"{who} must return x's shape {x.shape}. It returned {y.shape}.")


def _name(function):
    return getattr(function, "__name__", None) or repr(function)
