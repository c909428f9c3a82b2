"""`QuantConv3DTranspose`: the transposed 3-D convolution on quantized inputs and weights."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers.common import arguments_of
from keras_ste.layers.convolution import TransposedConvolution


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantConv3DTranspose(TransposedConvolution, keras.layers.Conv3DTranspose):
    """`keras.layers.Conv3DTranspose` with a quantizer for its inputs and one for its kernel.

        y = activation(conv_transpose(integers(x), integers(kernel)) · scales + bias)

    The kernel's output channels are its axis -2, not the last one: `scale_axis=-2` gives a scale of its
    own to each of them. One such scale an output channel, or one for all, is multiplied in behind the
    integers; others before. `kernel` stays the float variable that is trained; `quantized_kernel` is
    what the layer computes with.

    Args:
        *args, **kwargs: as for `keras.layers.Conv3DTranspose`.
        input_quantizer: `None`, or a quantizer for the inputs: its name, a config dict, a
            `Quantizer`, or a callable (see `keras_ste.quantizers.get`).
        kernel_quantizer: the same for the kernel, of shape `(*sizes, filters, channels)`.

    Raises:
        ValueError: an unknown quantizer, or a dtype policy that is
            itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantConv3DTranspose(3, 2, strides=2, kernel_quantizer="ste_sign")
    >>> layer(keras.ops.ones((1, 2, 2, 2, 2))).shape
    TensorShape([1, 4, 4, 4, 3])
    """

    @arguments_of(keras.layers.Conv3DTranspose, TransposedConvolution)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
