"""`QuantConv2D`: the 2-D convolution on quantized inputs and weights."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers import export
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

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        input_quantizer: Any = None,
        kernel_quantizer: Any = None,
        pad_values: int = 0,
        **kwargs: Any,
    ):
        super().__init__(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            groups=groups,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self._set_quantizers(input_quantizer=input_quantizer, kernel_quantizer=kernel_quantizer)
        self._set_pad_values(pad_values)

    def _emit(self, inputs):
        return export.emit_conv(self, inputs)
