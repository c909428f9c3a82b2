"""From a Keras model to a SavedModel whose quantized layers are custom ops, and to TensorFlow's `.tflite` file of that."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_ste.converter.lambdas import check_lambdas
from keras_ste.converter.new_axes import spell_out_new_axes
from keras_ste.converter.signature import (
    OTHER_FLOATS,
    call_specs,
    name_inputs,
    output_names,
)
from keras_ste.layers.common import QuantizedLayer
from keras_ste.layers.export import export_scope, labelled_layers

SIGNATURE = "serving_default"


@dataclasses.dataclass(frozen=True)
class Traced:
    """What a trace gives.

    Attributes:
      rows: what the export scope recorded.
      inputs: the specs of the inputs, named, in the order of the model's arguments.
      outputs: the names of the outputs, in the order of the model's results.
      unreached: path and class of quantized layers that the call did not come to.
      layers: the quantized layers by the labels that rows and ops have of them; none of a SavedModel.
      serve: the model's call: of a tensor for each input, it gives the outputs by their names; None of a SavedModel.
    """

    rows: list[dict]
    inputs: list[tf.TensorSpec]
    outputs: list[str]
    unreached: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    layers: dict[str, Any] = dataclasses.field(default_factory=dict)
    serve: Callable[..., dict[str, tf.Tensor]] | None = None


def is_tf_keras(model: Any) -> bool:
    """Whether that is a model of tf_keras (Keras 2)."""
    origin = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    return "tf_keras" in origin and hasattr(model, "call") and hasattr(model, "variables")


def trace(model: Any, input_signature: Any = None) -> tuple[bytes, Traced]:
    """TensorFlow's file of a model, its quantized layers custom ops; and what was found on the way.

    Args:
      model: a built model of Keras 3 or tf_keras.
      input_signature: one spec for each argument of the model's call, or None to take them from the
        model. A spec is a `tf.TensorSpec`, `keras.InputSpec` or `keras.KerasTensor`, or a list, tuple
        or dictionary of them.

    Raises:
      TypeError, ValueError: that is no such model, or it has no weights yet, or does not know its inputs.
    """
    with tempfile.TemporaryDirectory() as folder:
        traced = save_traced(model, input_signature, folder)
        return lite_file(folder, SIGNATURE), traced


def lite_file(folder: str, key: str) -> bytes:
    """TensorFlow's `.tflite` file of a signature of a SavedModel."""
    converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[key])
    converter.allow_custom_ops = True
    return converter.convert()


def save_traced(model: Any, input_signature: Any, folder: str) -> Traced:
    """Runs the model's call once, symbolically, and saves it with the custom ops in place of its quantized layers.

    Args, raises: as `trace`.
    """
    _check_model(model)
    if tf.config.functions_run_eagerly():
        raise ValueError("convert() traces the model: call tf.config.run_functions_eagerly(False) before")
    variables = len(model.variables)
    specs = call_specs(model, input_signature)
    flat = name_inputs(model, specs)

    def serve(*arguments: tf.Tensor) -> dict[str, tf.Tensor]:
        packed = keras.tree.pack_sequence_as(specs, list(arguments))
        outputs = model(*packed, training=False)
        return dict(zip(output_names(model, outputs), keras.tree.flatten(outputs)))

    holder = tf.Module()
    with float32_compute(model), export_scope() as rows:
        function = tf.function(serve, autograph=False).get_concrete_function(*flat)
        if len(model.variables) != variables:
            raise ValueError(
                f"some layers of the model '{model.name}' had no weights yet: call the model on data before convert()"
            )
        holder.serve = function
        holder.state = list(function.graph.variables)
        tf.saved_model.save(holder, folder, signatures={SIGNATURE: function})
        spell_out_new_axes(folder)
        layers = labelled_layers()
    outputs = list(function.structured_outputs)
    return Traced(list(rows), flat, outputs, _unreached(model, rows), layers, serve)


def _unreached(model: Any, rows: list[dict]) -> list[tuple[str, str]]:
    reached = {row["layer"] for row in rows}
    return [
        (layer.path or layer.name, type(layer).__name__)
        for layer in ([] if is_tf_keras(model) else model._flatten_layers(include_self=False))
        if isinstance(layer, QuantizedLayer) and layer.path not in reached
    ]


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model) and not is_tf_keras(model):
        raise TypeError(
            "convert() takes a keras.Model, a model of tf_keras or the path of a SavedModel, got "
            f"{type(model).__name__}"
        )
    if not model.built:
        raise ValueError(
            f"the model '{model.name}' has no weights yet: call it on data, or give it a keras.Input, before convert()"
        )
    check_lambdas(model.submodules if is_tf_keras(model) else model._flatten_layers())
    if is_tf_keras(model):
        other = [layer for layer in model.submodules if getattr(layer, "compute_dtype", None) in OTHER_FLOATS]
        if other:
            raise ValueError(
                f"the layer '{other[0].name}' of tf_keras computes in {other[0].compute_dtype}: make the model of "
                "float32 layers, and give it the trained weights"
            )


class _Float32Compute(keras.DTypePolicy):
    """Computes in float32, whatever the variables have been stored as."""

    def __init__(self, variable_dtype: str):
        super().__init__("float32")
        self._stored = variable_dtype

    @property
    def variable_dtype(self) -> str:
        return self._stored


@contextlib.contextmanager
def float32_compute(model: Any) -> Iterator[None]:
    """Lets layers of Keras 3 that compute in another float type compute in float32, as the device does."""
    changed = []
    try:
        for layer in model._flatten_layers() if isinstance(model, keras.Model) else []:
            if layer.compute_dtype in OTHER_FLOATS and layer.quantization_mode is None:
                changed.append((layer, layer._dtype_policy))
                layer._dtype_policy = _Float32Compute(layer.variable_dtype)
        yield
    finally:
        for layer, policy in changed:
            layer._dtype_policy = policy
