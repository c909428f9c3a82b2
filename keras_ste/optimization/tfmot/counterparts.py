"""Keras 3 layers for layers of tf_keras."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import tf_keras

from keras_ste import quantizers

# What a Keras 3 layer has no argument for, and computes the same without.
_WITHOUT_MEANING = ("batch_input_shape", "dtype", "implementation", "sparse", "ragged", "filters", "depth_multiplier", "groups")
_OF_TRAINING = ("_initializer", "_regularizer", "_constraint")
_STRIPPED_BY = {
    "QuantizeAnnotate": "tfmot.quantization.keras.quantize_apply",
    "PruneLowMagnitude": "tfmot.sparsity.keras.strip_pruning",
    "ClusterWeights": "tfmot.clustering.keras.strip_clustering",
}


def check_stripped(layer: Any) -> None:
    """Raises: ValueError: the layer is wrapped by another tool of tensorflow-model-optimization, or only annotated."""
    kind = type(layer).__name__
    if kind in _STRIPPED_BY:
        raise ValueError(f"Layer '{layer.name}' is still a {kind}: call {_STRIPPED_BY[kind]} first.")


def arguments_for(layer: Any, cls: type) -> dict[str, Any]:
    """The arguments that make a Keras 3 layer that computes what the tf_keras layer does, but for its activation.

    Raises:
        ValueError: the layer has an argument that the Keras 3 layer does not have.
    """
    known = inspect.signature(cls.__init__).parameters
    arguments = {}
    for key, value in layer.get_config().items():
        if key == "activation" or key.endswith(_OF_TRAINING):
            continue
        if key in known or key in ("name", "trainable"):
            arguments[key] = value
        elif key not in _WITHOUT_MEANING and value not in (None, False):
            raise ValueError(
                f"Layer '{layer.name}' has {key}={value!r}, for which keras.layers.{cls.__name__} has no argument."
            )
    if isinstance(layer, tf_keras.layers.BatchNormalization):
        (arguments["axis"],) = layer.axis
    if isinstance(layer, tf_keras.layers.Normalization):
        # In Keras 3, what was given and what was learned of the data are different variables.
        arguments.update(mean=layer.mean.numpy().reshape(-1), variance=layer.variance.numpy().reshape(-1))
    return arguments


def quantized_counterpart(layer: Any, config: Any, given: dict[str, Any], input_quantizer: Any = None) -> Any:
    """The Keras 3 layer, not yet built, that computes what a tf_keras layer does with these quantizers.

    Args:
        layer: a layer of tf_keras, built.
        config: its `SteQuantizeConfig`.
        given: the quantizers of the weights, by argument.
        input_quantizer: that of the input.

    Raises:
        ValueError: as `arguments_for`.
    """
    cls = next(cls for kind, cls in config.counterparts.items() if isinstance(layer, kind))
    arguments = arguments_for(layer, cls)
    new = cls(**arguments, **given, input_quantizer=input_quantizer)
    new.activation = activation_of(layer)
    return new


def activation_of(layer: Any) -> Callable:
    """The activation of a layer: Keras 3's, where it is one of tf_keras's own."""
    activation = getattr(layer, "activation", None) or tf_keras.activations.linear
    name = getattr(activation, "__name__", "")
    return keras.activations.get(name) if getattr(tf_keras.activations, name, None) is activation else activation


def with_variables(quantizer: quantizers.Quantizer, shape: Any, values: dict[str, Any]) -> quantizers.Quantizer:
    """A copy of a quantizer for a Keras 3 layer, with these values of its variables, by their names."""
    copied = type(quantizer).from_config(quantizer.get_config())
    if isinstance(copied, quantizers.VariableQuantizer):
        copied.build(shape)
        for variable in copied.variables:
            if variable.name in values:
                variable.assign(values[variable.name].numpy())
    return copied
