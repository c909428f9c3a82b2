"""`quantized_call`: what the quantized layers compute, and emit for the converter, in layers of tf_keras (Keras 2)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_ste import quantizers
from keras_ste.layers import export
from keras_ste.layers.convolution import DepthwiseConvolution, PaddedConvolution, TransposedConvolution
from keras_ste.layers.quant_dense import DenseProduct


def quantized_call(
    layer: Any,
    inputs: tf.Tensor,
    *,
    kernel_quantizer: Any,
    input_quantizer: Any = None,
    kernel: Any = None,
    training: bool | None = None,
) -> tf.Tensor:
    """The call of a layer of tf_keras on quantized inputs and weights: product, scales, bias and activation.

    A quantized layer of Keras 3 cannot be part of a tf_keras model. A layer of tf_keras that computes by this function computes
    what its counterpart here does, trains with the same gradients, and is packed by `keras_ste.convert` in the same way.

    Args:
        layer: a built `Dense`, `Conv1D`, `Conv2D`, `DepthwiseConv1D`, `DepthwiseConv2D`, `Conv1DTranspose` or
            `Conv2DTranspose` of tf_keras.
        inputs: as for the layer's own call.
        kernel_quantizer: as of `QuantDense`; quantizers with variables of their own are refused, since tf_keras would not
            train or save them.
        input_quantizer: the same for the inputs.
        kernel: the variable that is trained, where it is not the layer's kernel, as in a wrapper that has moved it.
        training: passed on to the quantizers.

    Returns:
        What the layer's own call would, of the same shape.

    Raises:
        TypeError: another layer, or a quantizer with variables.

    >>> import tf_keras
    >>> class SignDense(tf_keras.layers.Dense):
    ...     def call(self, inputs):
    ...         return quantized_call(self, inputs, kernel_quantizer="ste_sign", input_quantizer="ste_sign")
    >>> SignDense(2, kernel_initializer="ones")(tf.constant([[1.0, 2.0, -3.0]])).numpy().tolist()
    [[1.0, 1.0]]
    """
    # One for each layer: the export scope tells layers by their identity.
    adapted = layer.__dict__.get("_keras_ste_adapted")
    if adapted is None:
        adapted = layer.__dict__["_keras_ste_adapted"] = _adapter(layer)(layer)
    adapted.adapt(input_quantizer, kernel_quantizer, kernel, inputs.shape)
    return adapted.call(inputs, training)


class _Adapted:
    """Mixed in before the computation of a layer: attributes that it lacks are those of the tf_keras layer."""

    def __init__(self, layer):
        self.adapted = layer

    def __getattr__(self, name):
        if name == "adapted":  # not yet there, as in a copy that is being made
            raise AttributeError(name)
        return getattr(self.adapted, name)

    @property
    def path(self):
        return self.adapted.name

    def adapt(self, input_quantizer, kernel_quantizer, kernel, shape):
        self.kernel = self._own_kernel() if kernel is None else kernel
        (weights,) = self.quantized_weights
        given = {"input_quantizer": input_quantizer, weights: kernel_quantizer}
        shapes = {"input_quantizer": (None, *shape[1:]), weights: tuple(self.kernel.shape)}
        for argument, identifier in given.items():
            quantizer = quantizers.get(identifier)
            if isinstance(quantizer, quantizers.VariableQuantizer):
                raise TypeError(
                    f"the {argument} of layer '{self.name}', {type(quantizer).__name__}, has variables of its own, which "
                    "a layer of tf_keras would not train or save"
                )
            if isinstance(quantizer, quantizers.Quantizer) and not getattr(quantizer, "built", False):
                quantizer.build(shapes[argument])
            setattr(self, argument, quantizer)

    def _own_kernel(self):
        return self.adapted.kernel


class Dense(_Adapted, DenseProduct):
    """Of tf_keras's `Dense`."""


class Conv(_Adapted, PaddedConvolution):
    """Of tf_keras's `Conv1D` and `Conv2D`."""

    pad_values = 0

    def _emit(self, inputs):
        return export.emit_conv(self, inputs)


class DepthwiseConv(_Adapted, DepthwiseConvolution):
    """Of tf_keras's `DepthwiseConv1D` and `DepthwiseConv2D`."""

    pad_values = 0

    def _own_kernel(self):
        return self.adapted.depthwise_kernel


class ConvTranspose(_Adapted, TransposedConvolution):
    """Of tf_keras's `Conv1DTranspose` and `Conv2DTranspose`."""


_ADAPTERS = {
    "Dense": Dense,
    "DepthwiseConv1D": DepthwiseConv,
    "DepthwiseConv2D": DepthwiseConv,
    "Conv1DTranspose": ConvTranspose,
    "Conv2DTranspose": ConvTranspose,
    "Conv1D": Conv,
    "Conv2D": Conv,
}


def _adapter(layer):
    for base in type(layer).__mro__:
        if base.__module__.partition(".")[0] == "tf_keras" and base.__name__ in _ADAPTERS:
            return _ADAPTERS[base.__name__]
    raise TypeError(f"quantized_call takes a layer of tf_keras: {', '.join(_ADAPTERS)}; got {type(layer).__name__}")
