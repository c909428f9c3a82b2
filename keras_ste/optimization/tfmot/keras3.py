"""`to_keras3`: a quantized tf_keras model, stripped of tensorflow-model-optimization's wrappers, in Keras 3."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras import quantize_layer, quantize_wrapper

from keras_ste import layers, quantizers
from keras_ste.optimization.tfmot.configs import SteQuantizeConfig
from keras_ste.optimization.tfmot.counterparts import (
    activation_of,
    arguments_for,
    check_stripped,
    quantized_counterpart,
    with_variables,
)
from keras_ste.optimization.tfmot.preserved import Preserved
from keras_ste.optimization.tfmot.quantizers import SteQuantizer

_MOVING = (
    tf_keras.layers.Flatten,
    tf_keras.layers.Reshape,
    tf_keras.layers.MaxPooling1D,
    tf_keras.layers.MaxPooling2D,
    tf_keras.layers.GlobalMaxPooling1D,
    tf_keras.layers.GlobalMaxPooling2D,
    tf_keras.layers.Dropout,
)


@dataclasses.dataclass(frozen=True)
class _Quantized:
    """A tensor that was quantized, and how."""

    values: Any
    # What was quantized, and what makes a quantizer of its own that does the same.
    source: Any
    quantizer: Callable[[], quantizers.Quantizer]


def to_keras3(model: Any) -> keras.Model:
    """The Keras 3 model that computes what a quantized tf_keras model does, with quantized layers of this package.

    The wrappers of tensorflow-model-optimization are gone, as after its `strip_pruning`; weights, learned scales and
    statistics are copied. Layers with a `SteQuantizeWrapper` compute the same, bit for bit; those in tfmot's own wrapper
    multiply by their scales earlier, and differ in the last bits of float32. An output quantizer becomes the input
    quantizer of the quantized layers behind it, through flattening and max-pooling.

    Args:
        model: a Sequential or functional model of tf_keras.

    Returns:
        A functional model, for inference and for training on.

    Raises:
        TypeError: no model of tf_keras.
        ValueError: the model is subclassed or has no weights yet; it is annotated, pruned or clustered and not yet
            quantized or stripped; a layer has no counterpart in Keras 3, or is quantized by other quantizers.

    >>> import tensorflow_model_optimization as tfmot
    >>> from keras_ste.optimization.tfmot import QuantizeScheme
    >>> model = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(8,)), tf_keras.layers.Dense(2)])
    >>> annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    >>> quantized = tfmot.quantization.keras.quantize_apply(annotated, scheme=QuantizeScheme("xnor"))
    >>> [type(layer).__name__ for layer in to_keras3(quantized).layers]
    ['InputLayer', 'QuantDense', 'QuantDense']
    """
    if not isinstance(model, tf_keras.Model):
        raise TypeError(f"to_keras3 takes a model of tf_keras. Received: {type(model).__module__}.{type(model).__name__}.")
    if not getattr(model, "_is_graph_network", False):
        raise ValueError(
            f"to_keras3 takes a Sequential or functional model with weights. '{model.name}' is subclassed, or not built yet."
        )
    return _Rebuilt(model).model()


class _Rebuilt:
    def __init__(self, original):
        self.original = original
        self._layers: dict[Any, Any] = {}
        # By the id of the tensors of the original.
        self._tensors: dict[int, Any] = {}

    def model(self):
        inputs = [
            keras.Input(batch_shape=tuple(x.shape), dtype=x.dtype.name, name=layer.name)
            for x, layer in zip(tf.nest.flatten(self.original.inputs), self.original._input_layers, strict=True)
        ]
        for old, new in zip(tf.nest.flatten(self.original.inputs), inputs, strict=True):
            self._tensors[id(old)] = new
        for depth in sorted(self.original._nodes_by_depth, reverse=True):
            for node in self.original._nodes_by_depth[depth]:
                if not node.is_input:
                    self._node(node)
        given = tf.nest.pack_sequence_as(self.original._nested_inputs, inputs)
        outputs = tf.nest.map_structure(lambda x: _values(self._tensors[id(x)]), self.original._nested_outputs)
        return keras.Model(given, outputs, name=self.original.name)

    def _node(self, node):
        call = (node.call_args, node.call_kwargs)
        found = tf.nest.map_structure(lambda x: self._tensors.get(id(x), x), call)
        results = self._called(node.layer, *found)
        for old, new in zip(tf.nest.flatten(node.outputs), results, strict=True):
            self._tensors[id(old)] = new

    def _called(self, layer, arguments, options):
        """The results of a layer's call, in a list."""
        options = {key: value for key, value in options.items() if key != "training" and value is not None}
        if isinstance(layer, quantize_layer.QuantizeLayer):
            return [self._quantized(layer, layer.quantizer, getattr(layer, "quantizer_vars", None), _values(arguments[0]))]
        if isinstance(layer, quantize_wrapper.QuantizeWrapper):
            return [self._wrapped(layer, arguments[0])]
        new = self._once(id(layer), lambda: _plain(layer))
        values = new(*tf.nest.map_structure(_values, arguments), **tf.nest.map_structure(_values, options))
        flat = keras.tree.flatten(values)
        if isinstance(arguments[0], _Quantized) and isinstance(layer, _MOVING) and _moves(arguments[0].quantizer()):
            return [_Quantized(flat[0], new(arguments[0].source), arguments[0].quantizer)]
        return flat

    def _once(self, key, make):
        """What stands for a layer, which may be called several times."""
        if key not in self._layers:
            self._layers[key] = make()
        return self._layers[key]

    def _wrapped(self, wrapper, x):
        config = wrapper.quantize_config
        if not isinstance(config, SteQuantizeConfig):
            raise ValueError(
                f"Layer '{wrapper.name}' is quantized by {type(config).__name__}, not by a config of keras_ste: such models "
                "are for tf.lite.TFLiteConverter."
            )
        if not config.weight_attributes:
            results = self._called(wrapper.layer, [_values(x)], {})[0]
        else:
            takes = isinstance(x, _Quantized) and config.input_quantizer is None
            new = self._once((id(wrapper), takes), lambda: _product(wrapper, x.quantizer() if takes else None))
            results = new(x.source if takes else _values(x))
        if config.output_quantizer is None:
            return results
        return self._quantized(wrapper, config.output_quantizer, wrapper._output_quantizer_vars, results)

    def _quantized(self, layer, quantizer, variables, x):
        """The tensor, quantized by a layer of its own."""
        if quantizer is None:
            return x
        if not isinstance(quantizer, SteQuantizer):
            raise ValueError(
                f"Layer '{layer.name}' quantizes by {type(quantizer).__name__}, not by a quantizer of keras_ste: such models "
                "are for tf.lite.TFLiteConverter."
            )
        shape = (None, *x.shape[1:])

        def copy():
            return with_variables(quantizer.quantizer, shape, variables)

        new = self._once((id(layer), "output"), lambda: layers.QuantActivation(copy(), name=f"{layer.name}_output"))
        return _Quantized(new(x), x, copy)


def _values(x):
    return x.values if isinstance(x, _Quantized) else x


def _moves(quantizer):
    """Whether flattening and maxima may come before the quantizer as well: it treats all channels alike."""
    return quantizer.spec.scale_axis is None and not quantizer.spec.dynamic_scale and getattr(quantizer, "axis", None) is None


def _plain(layer):
    """The Keras 3 layer for one of tf_keras, with its weights."""
    check_stripped(layer)
    cls = getattr(keras.layers, type(layer).__name__, None)
    if cls is None or getattr(tf_keras.layers, type(layer).__name__, None) is not type(layer) or cls is keras.layers.Lambda:
        raise ValueError(
            f"Layer '{layer.name}' of class {type(layer).__name__} has no counterpart in Keras 3: use layers of tf_keras, or "
            "build the Keras 3 model yourself."
        )
    arguments = arguments_for(layer, cls)
    if hasattr(layer, "activation"):
        arguments["activation"] = activation_of(layer)
    new = cls(**arguments)
    if layer.built and layer.weights and not isinstance(layer, tf_keras.layers.Normalization):
        new.build(_input_shape(layer))
        new.set_weights(layer.get_weights())
    return new


def _product(wrapper, taken):
    """The quantized Keras 3 layer for a wrapped one, with its weights and scales."""
    config, layer = wrapper.quantize_config, wrapper.layer
    given, latent = {}, {}
    arguments = [argument for argument, value in config.weight_quantizers.items() if value is not None]
    for argument, (weight, quantizer, variables) in zip(arguments, wrapper._weight_vars, strict=True):
        given[argument] = with_variables(quantizer.quantizer, tuple(weight.shape), variables)
        bound = quantizer.bound(variables)
        latent[config.weight_attributes[argument]] = bound.preserve(weight) if isinstance(bound, Preserved) else weight
    shape = _input_shape(wrapper)
    source = taken
    if config.input_quantizer is not None:
        variables = wrapper._input_quantizer_vars
        source = with_variables(config.input_quantizer.quantizer, (None, *shape[1:]), variables)
    new = quantized_counterpart(layer, config, given, source)
    new.build(shape)
    for attribute in config.weight_attributes.values():
        weight = latent.get(attribute, getattr(layer, attribute))
        (new.kernel if not hasattr(new, attribute) else getattr(new, attribute)).assign(tf.convert_to_tensor(weight).numpy())
    if layer.use_bias:
        new.bias.assign(layer.bias.numpy())
    return new


def _input_shape(layer):
    """The shape that a layer of tf_keras was built for."""
    return keras.tree.map_shape_structure(tuple, layer.get_build_config()["input_shape"])
