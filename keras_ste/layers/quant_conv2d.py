"""`QuantConv2D`: the 2-D convolution on quantized inputs and weights."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.layers import export
from keras_ste.layers.common import QuantizedLayer


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantConv2D(QuantizedLayer, keras.layers.Conv2D):
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
    >>> layer(tf.ones((1, 5, 5, 2))).shape
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
        self._set_quantizers(input_quantizer, kernel_quantizer)
        if pad_values not in (0, 1):
            raise ValueError(f"QuantConv2D's pad_values must be 0 or 1. Received: {pad_values!r}.")
        if pad_values and self.padding != "same":
            raise ValueError(
                "QuantConv2D's pad_values=1 needs padding='same'. "
                f"Received: padding={self.padding!r}."
            )
        self.pad_values = int(pad_values)

    def call(self, inputs, training=None):
        outputs = export.emit_conv2d(self, inputs)
        if outputs is None:
            outputs = self._convolve(inputs, training)
        return outputs if self.activation is None else self.activation(outputs)

    def convolution_op(self, inputs, kernel):
        """The convolution of the integers, padding included."""
        padding = self.padding
        if self.pad_values:
            inputs = tf.pad(inputs, self._same_padding(inputs), constant_values=self.pad_values)
            padding = "valid"
        return keras.ops.conv(
            inputs,
            kernel,
            strides=list(self.strides),
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pad_values": self.pad_values}

    def _convolve(self, inputs, training):
        x, x_scale = self._input_factors(inputs, training)
        if x_scale is not None and any(size != 1 for size in x_scale.shape[1:]):
            if self.pad_values:
                raise ValueError(
                    f"Layer '{self.name}': pad_values=1 needs an input quantizer with one scale an "
                    f"image. Received a scale of shape {x_scale.shape}."
                )
            x, x_scale = x * x_scale, None
        kernel, kernel_scale = self._kernel_factors(training)
        outputs = self.convolution_op(x, kernel)
        if kernel_scale is not None:
            outputs = outputs * self._along_channels(kernel_scale)
        if x_scale is not None:
            outputs = outputs * x_scale
        if self.use_bias:
            outputs = keras.ops.add(outputs, self._along_channels(tf.convert_to_tensor(self.bias)))
        return outputs

    def _along_channels(self, vector):
        return vector if self.data_format == "channels_last" else tf.reshape(vector, [-1, 1, 1])

    def _same_padding(self, inputs):
        """Where TensorFlow's `"same"` pads, for static and for unknown sizes."""
        first = 1 if self.data_format == "channels_last" else 2
        paddings = [[0, 0] for _ in range(4)]
        for i in range(2):
            size = inputs.shape[first + i]
            size = tf.shape(inputs)[first + i] if size is None else size
            stride = self.strides[i]
            window = (self.kernel_size[i] - 1) * self.dilation_rate[i] + 1
            total = (-(-size // stride) - 1) * stride + window - size
            total = tf.maximum(total, 0) if tf.is_tensor(total) else max(total, 0)
            paddings[first + i] = [total // 2, total - total // 2]
        return paddings
