"""`QuantDepthwiseConv2D`: the 2-D depthwise convolution on quantized inputs and weights."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers.common import arguments_of
from keras_ste.layers.convolution import DepthwiseConvolution


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantDepthwiseConv2D(DepthwiseConvolution, keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` with a quantizer for its inputs and one for its kernel.

        y = activation(depthwise_conv(integers(x), integers(kernel)) · scales + bias)

    A scale of `depthwise_quantizer` is one number, or one for each output channel: along `scale_axis=-2`
    the channels of the input, along -1 the `depth_multiplier` channels made of each. Such scales are
    multiplied in behind the integers; others before. `kernel` stays the float variable that is trained;
    `quantized_kernel` is what the layer computes with.

    Args:
        *args, **kwargs: as for `keras.layers.DepthwiseConv2D`.
        input_quantizer: `None`, or a quantizer for the inputs: its name, a config dict, a
            `Quantizer`, or a callable (see `keras_ste.quantizers.get`).
        depthwise_quantizer: the same for the kernel, of shape `(*sizes, channels, depth_multiplier)`.
        pad_values: what stands outside of the quantized image with padding="same": 0, as in
            Keras, or the integer 1, which keeps a binary image binary.

    Raises:
        ValueError: an unknown quantizer, `pad_values` that do not fit, or a dtype policy that is
            itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantDepthwiseConv2D(3, depthwise_quantizer="ste_sign")
    >>> layer(keras.ops.ones((1, 5, 5, 2))).shape
    TensorShape([1, 3, 3, 2])
    """

    @arguments_of(keras.layers.DepthwiseConv2D, DepthwiseConvolution)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
