"""`custom_gradient`: TensorFlow's, and none of it in graphs that are only exported."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

_traced = contextvars.ContextVar("keras_ste_gradients", default=True)


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """Within it, graphs get the values of functions with a custom gradient, and not that gradient.

    TensorFlow registers every custom gradient of a graph for the life of the process, and with it the
    whole graph: a process that converts one model after the other would keep them all.
    """
    token = _traced.set(False)
    try:
        yield
    finally:
        _traced.reset(token)


def custom_gradient(function: Callable) -> Callable:
    """`tf.custom_gradient`, for a function of tensors; within `without_gradients()`, graphs get its values alone.

    Args:
        function: returns its values, and the function that makes its arguments' gradients of theirs.

    >>> @custom_gradient
    ... def doubled(x):
    ...     return 2 * x, lambda upstream: upstream
    >>> def gradient(x):
    ...     return tf.gradients(doubled(x), x)[0]
    >>> tf.function(gradient)(tf.constant(3.0)).numpy().item()
    1.0
    >>> with without_gradients():
    ...     tf.function(gradient)(tf.constant(3.0)).numpy().item()
    2.0
    """
    with_gradient = tf.custom_gradient(function)

    def values(*tensors: Any) -> Any:
        if _traced.get() or tf.executing_eagerly():
            return with_gradient(*tensors)
        return function(*map(tf.convert_to_tensor, tensors))[0]

    return values
