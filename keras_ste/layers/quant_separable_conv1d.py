"""`QuantSeparableConv1D`: the 1-D separable convolution on quantized inputs and weights."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers.common import arguments_of
from keras_ste.layers.convolution import SeparableConvolution


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantSeparableConv1D(SeparableConvolution, keras.layers.SeparableConv1D):
    """`keras.layers.SeparableConv1D` with quantizers for its inputs, both kernels, and in between.

        z = depthwise_conv(integers(x), integers(depthwise_kernel)) · scales
        y = activation(conv(integers(z), integers(pointwise_kernel)) · scales + bias)

    Scales of one number, or of one number an output channel, are multiplied in behind the integers;
    others before. `depthwise_kernel` and `pointwise_kernel` stay the float variables that are trained;
    `quantized_depthwise_kernel` and `quantized_pointwise_kernel` are what the layer computes with.

    Args:
        *args, **kwargs: as for `keras.layers.SeparableConv1D`.
        input_quantizer: `None`, or a quantizer for the inputs: its name, a config dict, a
            `Quantizer`, or a callable (see `keras_ste.quantizers.get`).
        depthwise_quantizer: the same for the depthwise kernel, `(*sizes, channels, depth_multiplier)`;
            its output channels are axes -2 and -1.
        pointwise_quantizer: the same for the pointwise kernel.
        intermediate_quantizer: the same for what the depthwise convolution gives to the pointwise one.

    Raises:
        ValueError: an unknown quantizer, or a dtype policy that is itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantSeparableConv1D(4, 3, depthwise_quantizer="ste_sign", pointwise_quantizer="ste_sign")
    >>> layer(keras.ops.ones((1, 5, 2))).shape
    TensorShape([1, 3, 4])
    """

    @arguments_of(keras.layers.SeparableConv1D, SeparableConvolution)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
