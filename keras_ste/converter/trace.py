"""From a Keras model to the `.tflite` file that TensorFlow makes of it inside the export scope."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_ste.layers.export import export_scope, labelled_layers

SIGNATURE = "serving_default"
_OTHER_FLOATS = ("float16", "bfloat16", "float64")


@dataclasses.dataclass(frozen=True)
class Traced:
    """What a trace gives.

    Attributes:
      content: TensorFlow's file.
      rows: what the export scope recorded.
      inputs: the specs of the inputs, named, in the order of the model's arguments.
      outputs: the names of the outputs, in the order of the model's results.
      layers: the quantized layers by the labels that rows and ops have of them.
      serve: the model's call: of a tensor for each input, it gives the outputs by their names.
    """

    content: bytes
    rows: list[dict]
    inputs: list[tf.TensorSpec]
    outputs: list[str]
    layers: dict[str, keras.layers.Layer]
    serve: Callable[..., dict[str, tf.Tensor]]


def trace(model: keras.Model, input_signature: Any = None) -> Traced:
    """Runs the model's call once, symbolically, with its quantized layers emitting custom ops.

    Args:
      model: a built model.
      input_signature: one spec for each argument of the model's call, or None to take them from the
        model. A spec is a `tf.TensorSpec`, `keras.InputSpec` or `keras.KerasTensor`, or a list, tuple
        or dictionary of them.

    Raises:
      TypeError, ValueError: the model is no Keras 3 model, has no weights yet, or does not know its
        inputs.
    """
    _check_model(model)
    if tf.config.functions_run_eagerly():
        raise ValueError("convert() traces the model: call tf.config.run_functions_eagerly(False) before")
    variables = len(model.variables)
    specs = _specs(model, input_signature)
    flat = _name_inputs(model, specs)

    def serve(*arguments: tf.Tensor) -> dict[str, tf.Tensor]:
        packed = keras.tree.pack_sequence_as(specs, list(arguments))
        outputs = model(*packed, training=False)
        return dict(zip(_output_names(model, outputs), keras.tree.flatten(outputs)))

    holder = tf.Module()
    with float32_compute(model), export_scope() as rows:
        function = tf.function(serve, autograph=False).get_concrete_function(*flat)
        if len(model.variables) != variables:
            raise ValueError(
                f"some layers of the model '{model.name}' had no weights yet: call the model on data before convert()"
            )
        holder.serve = function
        holder.state = list(function.graph.variables)
        with tempfile.TemporaryDirectory() as folder:
            tf.saved_model.save(holder, folder, signatures={SIGNATURE: function})
            converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
            converter.allow_custom_ops = True
            content = converter.convert()
        layers = labelled_layers()
    return Traced(content, list(rows), flat, list(function.structured_outputs), layers, serve)


def _check_model(model: keras.Model) -> None:
    if not isinstance(model, keras.Model):
        origin = {base.__module__.partition(".")[0] for base in type(model).__mro__}
        if "tf_keras" in origin:
            raise TypeError(
                f"convert() takes a Keras 3 model, got {type(model).__name__} of tf_keras (Keras 2); build it "
                "with `import keras`, and do not set TF_USE_LEGACY_KERAS"
            )
        raise TypeError(f"convert() takes a keras.Model, got {type(model).__name__}")
    if not model.built:
        raise ValueError(
            f"the model '{model.name}' has no weights yet: call it on data, or give it a keras.Input, "
            "before convert()"
        )


def _specs(model: keras.Model, input_signature: Any) -> list:
    """One structure of tf.TensorSpec for each argument of the model's call."""
    if input_signature is not None:
        if isinstance(input_signature, (list, tuple)):
            arguments = list(input_signature)
        else:
            arguments = [input_signature]
        return keras.tree.map_structure(_tensor_spec, arguments)
    if isinstance(model, keras.Sequential):
        return [_dynamic_batch(model.inputs[0])]
    inputs = getattr(model, "_inputs_struct", None)  # functional models have it
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
    return [_spec_of_shape(shape, model.input_dtype) for shape in shapes.values()]


def _tensor_spec(spec: Any) -> tf.TensorSpec:
    shape, dtype = getattr(spec, "shape", None), getattr(spec, "dtype", None)
    if shape is None or dtype is None:
        raise TypeError(
            "input_signature takes tf.TensorSpec or keras.InputSpec objects with a shape and a dtype, one for "
            f"each argument of the model's call; got {spec!r}"
        )
    return tf.TensorSpec(tuple(shape), dtype, name=getattr(spec, "name", None))


def _dynamic_batch(tensor: keras.KerasTensor) -> tf.TensorSpec:
    return tf.TensorSpec((None, *tensor.shape[1:]), _runtime_dtype(tensor.dtype), name=tensor.name)


def _runtime_dtype(dtype: str) -> str:
    """The converted model takes float32, where training may have used another float type."""
    return "float32" if dtype in _OTHER_FLOATS else dtype


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


def _name_inputs(model: keras.Model, specs: list) -> list[tf.TensorSpec]:
    """The specs in a flat list, each with a name: its own, its key, or that of the call's argument."""
    arguments = [name for name, _ in _call_arguments(model)]
    flat, names = [], []
    for (argument, *path), spec in keras.tree.flatten_with_path(specs):
        first = arguments[argument] if argument < len(arguments) else f"input_{argument}"
        keys = path if any(isinstance(key, str) for key in path) else [first, *path]
        flat.append(spec)
        names.append(spec.name or "_".join(str(key) for key in keys))
    return [
        tf.TensorSpec(spec.shape, spec.dtype, name=name) for spec, name in zip(flat, _unique(names))
    ]


def _call_arguments(model: keras.Model) -> list[tuple[str, bool]]:
    """The arguments of the model's call that take data: name, and whether it must be given."""
    return [
        (name, parameter.default is parameter.empty)
        for name, parameter in inspect.signature(model.call).parameters.items()
        if parameter.kind == parameter.POSITIONAL_OR_KEYWORD and name not in ("training", "mask")
    ]


def _output_names(model: keras.Model, outputs: Any) -> list[str]:
    """A dictionary's keys; otherwise the names of the layers that a functional model's outputs come from."""
    paths = [path for path, _ in keras.tree.flatten_with_path(outputs)]
    if isinstance(outputs, dict):
        return _unique(["_".join(str(part) for part in path) for path in paths])
    names = getattr(getattr(model, "_functional", model), "output_names", None)
    if names is None or len(names) != len(paths):
        names = [f"output_{index}" for index in range(len(paths))]
    return _unique(names)


class _Float32Compute(keras.DTypePolicy):
    """Computes in float32, whatever the variables have been stored as."""

    def __init__(self, variable_dtype: str):
        super().__init__("float32")
        self._stored = variable_dtype

    @property
    def variable_dtype(self) -> str:
        return self._stored


@contextlib.contextmanager
def float32_compute(model: keras.Model) -> Iterator[None]:
    """Lets layers that compute in another float type compute in float32, as the device does."""
    changed = []
    try:
        for layer in model._flatten_layers():
            if layer.compute_dtype in _OTHER_FLOATS and layer.quantization_mode is None:
                changed.append((layer, layer._dtype_policy))
                layer._dtype_policy = _Float32Compute(layer.variable_dtype)
        yield
    finally:
        for layer, policy in changed:
            layer._dtype_policy = policy
