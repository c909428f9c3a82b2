"""Composite functions: what TensorFlow's converter replaces by a custom op."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def composite(name: str, options: dict[str, Any], body: Callable, *arguments: Any) -> tf.Tensor:
    """Calls a function that TensorFlow's converter replaces by the custom op `name`.

    Args:
        name: the custom op's.
        options: integers, floats and strings; they become the op's options.
        body: what is called; only the shape and dtype of its result matter.
        arguments: tensors, and numpy arrays that become constants.
    """
    implements = f'name: "{name}" attr {{ key: "tfl_fusable_op" value {{ b: true }} }}'
    for key, value in options.items():
        if isinstance(value, str):
            value = f"s: {json.dumps(value, ensure_ascii=False)}"
        elif isinstance(value, float):
            value = f"f: {value:.9g}"
        else:
            value = f"i: {int(value)}"
        implements += f' attr {{ key: "{key}" value {{ {value} }} }}'
    function = tf.function(body, experimental_implements=implements, autograph=False)
    return function(*(tf.convert_to_tensor(argument) for argument in arguments))


def size(x: tf.Tensor, axis: int) -> Any:
    """The size of an axis: an integer where it is known."""
    known = x.shape[axis]
    return tf.shape(x)[axis] if known is None else known


def leading(x: tf.Tensor) -> list[Any]:
    """The sizes of all axes but the last."""
    return [size(x, axis) for axis in range(x.shape.rank - 1)]
