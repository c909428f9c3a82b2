"""`QuantConv2D`: the 2-D convolution on quantized inputs and weights."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers import export
from keras_ste.layers.common import arguments_of
from keras_ste.layers.convolution import PaddedConvolution


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantConv2D(PaddedConvolution, keras.layers.Conv2D):
    """`keras.layers.Conv2D` with a quantizer for its inputs and one for its kernel.

        y = activation(conv(integers(x), integers(kernel)) · scales + bias)

    The products are of small integers and exact in float32 up to 2^24, and the scales come
    afterwards, so that a device which adds up integers gets the same result. `kernel` stays the
    float variable that is trained; `quantized_kernel` is what the layer computes with.

    Args:
        filters, kernel_size, ..., bias_constraint, **kwargs: as for `keras.layers.Conv2D`.
        input_quantizer: `None`, or a quantizer for the inputs: its name, a config dict, a
            `Quantizer`, or a callable (see `keras_ste.quantizers.get`).
        kernel_quantizer: the same for the kernel.
        pad_values: what stands outside of the quantized image with `padding="same"`: 0, as in
            Keras, or the integer 1, which keeps a binary image binary.

    Input shape: `(batch, height, width, channels)`, or as `data_format` says; float or integer;
    integers are cast, not scaled. Output shape: as of `keras.layers.Conv2D`.

    Raises:
        ValueError: an unknown quantizer, another `pad_values` than 0 and 1, `pad_values=1` with
            padding other than "same", or a dtype policy that is itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    >>> layer = QuantConv2D(4, 3, padding="same", pad_values=1, **signs)
    >>> layer(keras.ops.ones((1, 5, 5, 2))).shape
    TensorShape([1, 5, 5, 4])
    """

    @arguments_of(keras.layers.Conv2D, PaddedConvolution)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)

    def _emit(self, inputs):
        return export.emit_conv(self, inputs)
