"""Parameters of surrogates: a number, a variable, or a schedule, which owns a variable."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from keras_ste.estimators import schedules


def check(
    owner: str, name: str, value: Any, above: float = -math.inf, at_least: float = -math.inf
) -> Any:
    """A parameter as it was given; a number as a float, a schedule's config as the schedule.

    Args:
        owner: the class's name, for the error message.
        name: the argument's name.
        value: a number, a `tf.Variable`, a `keras.Variable`, a `Schedule` or its config.
        above: numbers, and the first and last value of a schedule, must be greater.
        at_least: they must not be less.

    Raises:
        ValueError: a number that is not finite, or out of range.
        TypeError: none of the kinds above.

    >>> check("Tanh", "alpha", 2, above=0)
    2.0
    """
    if isinstance(value, dict):
        value = schedules.get(value)
    if isinstance(value, (tf.Variable, keras.Variable)):
        return value
    if isinstance(value, schedules.Schedule):
        numbers = (value.value(0.0), value.value(1.0))
    else:
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise TypeError(
                f"{owner}'s {name} must be a number, a variable or a schedule. "
                f"Received: {name}={value!r}."
            ) from None
        numbers = (value,)
    if not all(math.isfinite(n) and n > above and n >= at_least for n in numbers):
        if above == 0:
            wanted = f"a positive {name}"
        elif max(above, at_least) == -math.inf:
            wanted = f"a finite {name}"
        else:
            wanted = f"{name} " + (f"> {above:g}" if above > at_least else f">= {at_least:g}")
        raise ValueError(f"{owner} needs {wanted}. Received: {name}={value!r}.")
    return value


def variable_of(value: Any) -> Any:
    """The variable behind a parameter; `None` for a number."""
    if isinstance(value, schedules.Schedule):
        return value.variable
    return value if isinstance(value, (tf.Variable, keras.Variable)) else None


def present(value: Any) -> Any:
    """The present value of a parameter as a Python number."""
    variable = variable_of(value)
    if variable is None:
        return value
    with tf.init_scope():
        return float(keras.ops.convert_to_numpy(variable))


def in_dtype(value: Any, dtype: tf.DType) -> Any:
    """The parameter to compute with: a number stays one, a variable is read and cast."""
    variable = variable_of(value)
    return value if variable is None else tf.cast(tf.convert_to_tensor(variable), dtype)


def serialize(value: Any) -> Any:
    """What `check` takes to make the parameter again; a variable becomes its present value."""
    return schedules.serialize(value) if isinstance(value, schedules.Schedule) else present(value)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two numbers, either of which may be a tensor."""
    return tf.maximum(a, b) if tf.is_tensor(a) or tf.is_tensor(b) else max(a, b)


def log(a: Any) -> Any:
    """The natural logarithm of a number or a tensor."""
    return tf.math.log(a) if tf.is_tensor(a) else math.log(a)
