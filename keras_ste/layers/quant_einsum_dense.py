"""`QuantEinsumDense`: a product by an equation, on quantized inputs and weights."""

from __future__ import annotations

import string
from typing import Any

import keras
import tensorflow as tf

from keras_ste.layers import export
from keras_ste.layers.common import ProductLayer, arguments_of, quantized_weight
from keras_ste.quantizers import BitnetActivation


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantEinsumDense(ProductLayer, keras.layers.EinsumDense):
    """`keras.layers.EinsumDense` with a quantizer for its inputs and one for its kernel.

        y = activation(einsum(equation, integers(x), integers(kernel)) · scales + bias)

    A scale that does not change along an axis that is summed over is multiplied in behind the
    integers, others before. `kernel` stays the float variable that is trained; `quantized_kernel` is
    what the layer computes with.

    Args:
        *args, **kwargs: as for `keras.layers.EinsumDense`.
        input_quantizer: `None`, or a quantizer for the inputs: its name, a config dict, a
            `Quantizer`, or a callable (see `keras_ste.quantizers.get`).
        kernel_quantizer: the same for the kernel, whose axes are those of the equation.

    Raises:
        ValueError: an unknown quantizer, or a dtype policy that is itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantEinsumDense("btc,chd->bthd", (None, 2, 4), kernel_quantizer="ste_sign")
    >>> layer(keras.ops.ones((1, 5, 3))).shape
    TensorShape([1, 5, 2, 4])
    """

    quantized_kernel = quantized_weight("kernel_quantizer")

    @arguments_of(keras.layers.EinsumDense, ProductLayer)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)

    @property
    def output_axes(self) -> tuple[int, ...]:
        """The axes of the kernel that count the output channels."""
        _, kernel, outputs = self._letters(self.input_spec.ndim)
        return tuple(axis for axis, letter in enumerate(kernel) if letter in outputs)

    def _emit(self, inputs):
        return export.emit_einsum(self, inputs)

    def _compute(self, inputs, training):
        letters = self._letters(inputs.shape.rank)
        x, x_scale = _behind(*self._input_factors(inputs, training), letters[0], letters[2])
        kernel, kernel_scale = _behind(
            *self._factors("kernel_quantizer", tf.convert_to_tensor(self.kernel), training),
            letters[1],
            letters[2],
        )
        kernel, kernel_scale, x_scale = (
            None if each is None else tf.cast(each, self.compute_dtype) for each in (kernel, kernel_scale, x_scale)
        )
        outputs = self._scaled(keras.ops.einsum(self.equation, x, kernel), kernel_scale, x_scale)
        # Not keras.ops.add: it may take TensorFlow's bias_add, which converts for images only.
        return outputs if self.bias is None else outputs + tf.convert_to_tensor(self.bias)

    def _letters(self, rank):
        """The axes of input, kernel and output, each a letter; those behind an ellipsis included."""
        inputs, kernel, outputs = self.equation.replace(" ", "").replace("->", ",").split(",")
        unused = [letter for letter in string.ascii_letters if letter not in self.equation]
        elided = "".join(unused[: rank - len(inputs.replace("...", ""))])
        return inputs.replace("...", elided), kernel, outputs.replace("...", elided)


def over_tokens(quantizer: Any, equation: str) -> Any:
    """What quantizes the input of an equation token by token: all that is added up for a result is one token.

    A `BitnetActivation` of the last axis, also in a `Gradual`, becomes one of all axes that the equation adds up, which
    behind the heads of an attention are two. Everything else stays as it is.

    >>> from keras_ste.quantizers import BitnetActivation
    >>> over_tokens(BitnetActivation(), "bthd,hdc->btc").axis
    (-2, -1)
    """
    inputs, kernel, outputs = equation.replace(" ", "").replace("->", ",").split(",")
    axes = tuple(i - len(inputs) for i, letter in enumerate(inputs) if letter in kernel and letter not in outputs)
    inner = getattr(quantizer, "quantizer", quantizer)
    if len(axes) < 2 or not isinstance(inner, BitnetActivation) or inner.axis not in (-1, (-1,)):
        return quantizer
    quantizer = type(quantizer).from_config(quantizer.get_config())
    getattr(quantizer, "quantizer", quantizer).axis = axes
    return quantizer


def _behind(values, scale, letters, outputs):
    """Values and scale; the scale so that it broadcasts against the output, or multiplied in."""
    if scale is None or not scale.shape.rank:
        return values, scale
    kept = [letter for letter, size in zip(letters, scale.shape, strict=True) if size != 1]
    if not set(kept) <= set(outputs):
        return values * scale, None
    ones = [axis for axis, size in enumerate(scale.shape) if size == 1]
    if ones:
        scale = tf.squeeze(scale, ones)
    scale = tf.transpose(scale, sorted(range(len(kept)), key=lambda i: outputs.index(kept[i])))
    for axis, letter in enumerate(outputs):
        if letter not in kept:
            # Not by tf.newaxis: TFLite has no op for several of them behind axes of unknown size.
            scale = tf.expand_dims(scale, axis)
    return values, scale
