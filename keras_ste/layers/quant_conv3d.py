"""`QuantConv3D`: the 3-D convolution on quantized inputs and weights."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers import volumes
from keras_ste.layers.common import arguments_of
from keras_ste.layers.convolution import PaddedConvolution


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantConv3D(PaddedConvolution, keras.layers.Conv3D):
    """`keras.layers.Conv3D` with a quantizer for its inputs and one for its kernel.

        y = activation(conv(integers(x), integers(kernel)) · scales + bias)

    Scales of one number, or of one number an output channel, are multiplied in behind the integers;
    others before. `kernel` stays the float variable that is trained; `quantized_kernel` is what the
    layer computes with.

    Args:
        *args, **kwargs: as for `keras.layers.Conv3D`.
        input_quantizer: `None`, or a quantizer for the inputs: its name, a config dict, a
            `Quantizer`, or a callable (see `keras_ste.quantizers.get`).
        kernel_quantizer: the same for the kernel, of shape `(*sizes, channels, filters)`.
        pad_values: what stands outside of the quantized volume with padding="same": 0, as in
            Keras, or the integer 1, which keeps a binary volume binary.

    Raises:
        ValueError: an unknown quantizer, `pad_values` that do not fit, or a dtype policy that is
            itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantConv3D(4, 2, kernel_quantizer="ste_sign")
    >>> layer(keras.ops.ones((1, 5, 5, 5, 2))).shape
    TensorShape([1, 4, 4, 4, 4])
    """

    @arguments_of(keras.layers.Conv3D, PaddedConvolution)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)

    def _emit(self, inputs):
        return volumes.emit_volume(self, inputs)
