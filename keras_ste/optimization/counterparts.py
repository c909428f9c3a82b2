"""What stands for which Keras layer, and what a layer scheme makes of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from keras_ste import layers, quantizers
from keras_ste.layers.batch_norm_folding import BatchNormFolding
from keras_ste.layers.common import QuantizedLayer
from keras_ste.layers.quant_einsum_dense import over_tokens
from keras_ste.layers.rnn import QuantizedRNN
from keras_ste.optimization.schemes import LayerScheme
from keras_ste.training import Gradual

COUNTERPARTS: dict[type, type] = {
    keras.layers.Dense: layers.QuantDense,
    keras.layers.EinsumDense: layers.QuantEinsumDense,
    keras.layers.Conv1D: layers.QuantConv1D,
    keras.layers.Conv2D: layers.QuantConv2D,
    keras.layers.Conv3D: layers.QuantConv3D,
    keras.layers.Conv1DTranspose: layers.QuantConv1DTranspose,
    keras.layers.Conv2DTranspose: layers.QuantConv2DTranspose,
    keras.layers.Conv3DTranspose: layers.QuantConv3DTranspose,
    keras.layers.DepthwiseConv1D: layers.QuantDepthwiseConv1D,
    keras.layers.DepthwiseConv2D: layers.QuantDepthwiseConv2D,
    keras.layers.SeparableConv1D: layers.QuantSeparableConv1D,
    keras.layers.SeparableConv2D: layers.QuantSeparableConv2D,
    keras.layers.Embedding: layers.QuantEmbedding,
    keras.layers.LSTM: layers.QuantLSTM,
    keras.layers.LSTMCell: layers.QuantLSTMCell,
    keras.layers.GRU: layers.QuantGRU,
    keras.layers.GRUCell: layers.QuantGRUCell,
    keras.layers.MultiHeadAttention: layers.QuantMultiHeadAttention,
    keras.layers.GroupQueryAttention: layers.QuantGroupedQueryAttention,
}

FOLDED: dict[type, type] = {
    keras.layers.Dense: layers.QuantDenseBatchNorm,
    keras.layers.Conv1D: layers.QuantConv1DBatchNorm,
    keras.layers.Conv2D: layers.QuantConv2DBatchNorm,
    keras.layers.DepthwiseConv2D: layers.QuantDepthwiseConv2DBatchNorm,
}

# Weights of several axes that scale and shift.
_WITHOUT_KERNEL = (keras.layers.PReLU, keras.layers.LayerNormalization)

# What a quantized layer may be given beside quantizers, by its own name; of attention, the quantizers of its products.
_OF_PRODUCTS = ("query_quantizer", "key_quantizer", "value_quantizer", "scores_quantizer")


def obstacle(layer: keras.layers.Layer, counterparts: Mapping[type, type]) -> str | None:
    """Why a layer cannot be quantized, or `None`.

    Args:
        layer: not a quantized one, and without layers of its own that could be.
        counterparts: classes and what stands for them.
    """
    if type(layer) in counterparts:
        if layer.quantization_mode is not None:
            return f"it is quantized by Keras already, in the mode {layer.quantization_mode!r}"
        if getattr(layer, "lora_enabled", False):
            return "its LoRA matrices are not merged into its kernel"
        if not layer.built:
            return "it has no weights yet: call the model on data"
        return None
    for base in type(layer).__mro__[1:]:
        if base in counterparts:
            return (
                f"{type(layer).__name__} is a subclass of {base.__name__} and may compute something else: if it does "
                "not, name what stands for it in layer_map"
            )
    if any(len(variable.shape) > 1 for variable in layer._trainable_variables) and type(layer) not in _WITHOUT_KERNEL:
        return f"there is no quantized layer for {type(layer).__name__}: name one in layer_map"
    return None


def fold_obstacle(layer: keras.layers.Layer, scheme: LayerScheme) -> str | None:
    """Why no normalization can be a part of a layer, or `None`: its scale has to be found again in the quantized kernel.

    Args:
        layer: one of those in `FOLDED`, built.
        scheme: what quantizes it.
    """
    quantizer = scheme.weights.quantizer if isinstance(scheme.weights, Gradual) else scheme.weights
    if not isinstance(quantizer, quantizers.Quantizer):
        return None
    kernel = tf.convert_to_tensor(layer.kernel)
    # Each with a step of its own.
    once, twice = (float(tf.norm(fresh(quantizer, -1)(size * kernel))) for size in (1.0, 2.0))
    if twice >= 1.5 * once:
        return None
    return (
        f"the values of {type(quantizer).__name__} are the same for a kernel twice as large, so that the scale of the "
        "normalization would be lost"
    )


def quantized_arguments(
    layer: keras.layers.Layer, cls: type, scheme: LayerScheme, nonnegative: bool, integers: bool
) -> dict[str, Any]:
    """The further arguments of the quantized layer, of class `cls`, that stands for `layer`.

    Args:
        layer: the layer, built.
        cls: what stands for it.
        scheme: what quantizes it.
        nonnegative: nothing that enters is negative.
        integers: what enters are integers, which need no quantizer.
    """
    arguments = {}
    inputs = scheme.nonnegative_inputs if nonnegative else scheme.inputs
    attention = issubclass(cls, (layers.QuantMultiHeadAttention, layers.QuantGroupedQueryAttention))
    for name in _input_arguments(cls):
        if name in _OF_PRODUCTS or (integers and name == "input_quantizer"):
            continue
        # A state, or what is between two convolutions, may be negative whatever comes in.
        arguments[name] = fresh(inputs if name == "input_quantizer" else scheme.inputs)
        if issubclass(cls, layers.QuantEinsumDense):
            arguments[name] = over_tokens(arguments[name], layer.equation)
    weights = ("kernel_quantizer",) if attention else tuple(cls.quantized_weights)
    for name in weights:
        arguments[name] = fresh(scheme.weights, _output_axis(layer, cls, name))
    return {**arguments, **{name: fresh(value) for name, value in scheme.arguments.items()}}


def _input_arguments(cls):
    if issubclass(cls, (layers.QuantMultiHeadAttention, layers.QuantGroupedQueryAttention)):
        return ("input_quantizer",)
    return cls.quantized_tensors


def _output_axis(layer, cls, argument):
    """The axis of the weight that counts the output channels; the last of several."""
    if argument == "depthwise_quantizer":
        # With a depth_multiplier, there are two.
        return -2
    if issubclass(cls, (layers.QuantMultiHeadAttention, layers.QuantGroupedQueryAttention, QuantizedRNN)):
        return -1
    axes = cls.output_axes
    if isinstance(axes, property):
        outputs = layer.equation.replace(" ", "").split("->")[1]
        kernel = layer.equation.replace(" ", "").split("->")[0].split(",")[1]
        axes = [axis - len(kernel) for axis, letter in enumerate(kernel) if letter in outputs]
        return axes[-1] if axes else None
    return axes[-1]


def fresh(value: Any, output_axis: int | None = None) -> Any:
    """A quantizer like this one with variables of its own; what is no quantizer, as it is.

    Args:
        value: the prototype.
        output_axis: where a prototype with a scale for each channel is to have its axis; `None` leaves it.
    """
    if not isinstance(value, quantizers.Quantizer):
        return value
    config = value.get_config()
    if isinstance(value, Gradual):
        config["quantizer"] = fresh(value.quantizer, output_axis)
    if output_axis is not None and config.get("scale_axis") is not None:
        config["scale_axis"] = output_axis
    return type(value).from_config(config)


def counterpart(
    layer: keras.layers.Layer, cls: type, scheme: LayerScheme, nonnegative: bool = False, integers: bool = False
) -> keras.layers.Layer:
    """The quantized layer for a Keras layer, not built yet.

    Raises:
        ValueError: the quantized layer does not take an argument, of the scheme's or of the layer's.
        TypeError: likewise.
    """
    config = layer.get_config()
    for name in ("quantization_config", "lora_rank", "lora_alpha"):
        if config.get(name) is None:
            config.pop(name, None)
    return cls.from_config({**config, **quantized_arguments(layer, cls, scheme, nonnegative, integers)})


def is_quantized(layer: Any) -> bool:
    """Whether a layer is one of this package's that quantizes."""
    return isinstance(layer, (QuantizedLayer, QuantizedRNN, BatchNormFolding))
