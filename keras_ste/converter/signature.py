"""What a model is called on and what it gives: specs, and names that the file has too."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

OTHER_FLOATS = ("float16", "bfloat16", "float64")


def call_specs(model: Any, input_signature: Any) -> list:
    """One structure of tf.TensorSpec for each argument of the model's call.

    Args:
      model: of Keras 3 or tf_keras.
      input_signature: what the user says, or None.

    Raises:
      TypeError, ValueError: it is no signature, or there is none and the model does not know its inputs.
    """
    if input_signature is not None:
        if isinstance(input_signature, (list, tuple)):
            arguments = list(input_signature)
        else:
            arguments = [input_signature]
        return keras.tree.map_structure(_tensor_spec, arguments)
    if isinstance(model, keras.Sequential):
        return [_dynamic_batch(model.inputs[0])]
    inputs = getattr(model, "_inputs_struct", getattr(model, "_nested_inputs", None))  # functional models have one
    if inputs is not None:
        return [keras.tree.map_structure(_dynamic_batch, inputs)]
    # What Keras remembers of a subclassed model's call is the shape of its first argument.
    shapes = getattr(model, "_build_shapes_dict", None)
    needed = sum(required for _, required in _call_arguments(model))
    if not shapes or needed > len(shapes):
        raise ValueError(
            f"the inputs of the model '{model.name}' are not known: call it on data first, or, where "
            "its call takes several arguments, say "
            "convert(model, input_signature=[tf.TensorSpec((None, ...), tf.float32), ...])"
        )
    return [_spec_of_shape(shape, getattr(model, "input_dtype", "float32")) for shape in shapes.values()]


def _tensor_spec(spec: Any) -> tf.TensorSpec:
    shape, dtype = getattr(spec, "shape", None), getattr(spec, "dtype", None)
    if shape is None or dtype is None:
        raise TypeError(
            "input_signature takes tf.TensorSpec or keras.InputSpec objects with a shape and a dtype, one for "
            f"each argument of the model's call; got {spec!r}"
        )
    return tf.TensorSpec(tuple(shape), dtype, name=getattr(spec, "name", None))


def _dynamic_batch(tensor: Any) -> tf.TensorSpec:
    return tf.TensorSpec((None, *tensor.shape[1:]), _runtime_dtype(tf.as_dtype(tensor.dtype).name), name=tensor.name)


def _runtime_dtype(dtype: str) -> str:
    """The converted model takes float32, where training may have used another float type."""
    return "float32" if dtype in OTHER_FLOATS else dtype


def _spec_of_shape(shape: Any, dtype: str) -> Any:
    """The specs of what a subclassed model's build recorded: shapes, in lists and dictionaries."""
    if isinstance(shape, dict):
        return {key: _spec_of_shape(value, dtype) for key, value in shape.items()}
    if all(size is None or isinstance(size, int) for size in shape):
        return tf.TensorSpec((None, *shape[1:]), _runtime_dtype(dtype))
    return [_spec_of_shape(value, dtype) for value in shape]


def _unique(names: Sequence[str]) -> list[str]:
    """Names that are words and differ from each other."""
    result: list[str] = []
    for name in names:
        word = re.sub(r"\W", "_", name)
        candidate, number = word, 1
        while candidate in result:
            candidate, number = f"{word}_{number}", number + 1
        result.append(candidate)
    return result


def name_inputs(model: Any, specs: list) -> list[tf.TensorSpec]:
    """The specs in a flat list, each with a name: its own, its key, or that of the call's argument."""
    arguments = [name for name, _ in _call_arguments(model)]
    flat, names = [], []
    for (argument, *path), spec in keras.tree.flatten_with_path(specs):
        first = arguments[argument] if argument < len(arguments) else f"input_{argument}"
        keys = path if any(isinstance(key, str) for key in path) else [first, *path]
        flat.append(spec)
        names.append(spec.name or "_".join(str(key) for key in keys))
    return [tf.TensorSpec(spec.shape, spec.dtype, name=name) for spec, name in zip(flat, _unique(names))]


def _call_arguments(model: Any) -> list[tuple[str, bool]]:
    """The arguments of the model's call that take data: name, and whether it must be given."""
    return [
        (name, parameter.default is parameter.empty)
        for name, parameter in inspect.signature(model.call).parameters.items()
        if parameter.kind == parameter.POSITIONAL_OR_KEYWORD and name not in ("training", "mask")
    ]


def output_names(model: Any, outputs: Any) -> list[str]:
    """A dictionary's keys; otherwise the names of the layers that a functional model's outputs come from."""
    paths = [path for path, _ in keras.tree.flatten_with_path(outputs)]
    if isinstance(outputs, dict):
        return _unique(["_".join(str(part) for part in path) for path in paths])
    names = getattr(getattr(model, "_functional", model), "output_names", None)
    if names is None or len(names) != len(paths):
        names = [f"output_{index}" for index in range(len(paths))]
    return _unique(names)
