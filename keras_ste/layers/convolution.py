"""What the quantized convolutions share: integers first, scales and bias behind them."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.layers import export, volumes
from keras_ste.layers.common import ProductLayer, quantized_weight


class QuantizedConvolution(ProductLayer):
    """Mixed in before a Keras convolution."""

    quantized_kernel = quantized_weight("kernel_quantizer")

    def convolution_op(self, inputs, kernel):
        """The convolution of the integers, padding included."""
        raise NotImplementedError(f"{type(self).__name__} has to implement convolution_op.")

    def _pixel_strides(self, argument):
        """The strides of windows of one pixel each, over what `argument` quantizes; `None` where they are larger."""
        return None

    def _operand(self, inputs, training, argument="input_quantizer"):
        """The quantized input, and its scale where there is one for all, one an image, or one a window."""
        x, scale = self._input_factors(inputs, training, argument)
        if scale is not None and any(size != 1 for size in scale.shape[1:]):
            strides = self._pixel_strides(argument)
            first = 1 if self.data_format == "channels_last" else 2
            if strides is not None and scale.shape[-1 if first == 1 else 1] == 1:
                return x, scale[(slice(None),) * first + tuple(slice(None, None, stride) for stride in strides)]
            if getattr(self, "pad_values", 0):
                raise ValueError(
                    f"Layer '{self.name}': pad_values=1 needs an input quantizer with one scale an "
                    f"image. Received a scale of shape {scale.shape}."
                )
            x, scale = x * scale, None
        return x, scale

    def _product(self, x, kernel):
        return self.convolution_op(x, kernel)

    def _along_channels(self, vector):
        if self.data_format == "channels_last":
            return vector
        return tf.reshape(vector, [-1] + [1] * self.rank)


class PaddedConvolution(QuantizedConvolution):
    """A convolution that can pad with ones: the argument `pad_values`.

    Attributes:
        paddings_with_ones: the values of `padding` that can be padded with ones.
    """

    paddings_with_ones: tuple[str, ...] = ("same",)

    def __init__(self, *args: Any, pad_values: int = 0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        name = type(self).__name__
        if pad_values not in (0, 1):
            raise ValueError(f"{name}'s pad_values must be 0 or 1. Received: {pad_values!r}.")
        if pad_values and self.padding not in self.paddings_with_ones:
            raise ValueError(
                f"{name}'s pad_values=1 needs padding={' or '.join(map(repr, self.paddings_with_ones))}. "
                f"Received: padding={self.padding!r}."
            )
        self.pad_values = int(pad_values)

    def convolution_op(self, inputs, kernel):
        padding = self.padding
        if self.pad_values or padding == "causal":
            inputs = tf.pad(inputs, self._paddings(inputs), constant_values=self.pad_values)
            padding = "valid"
        return self._convolution(
            inputs,
            kernel,
            strides=self.strides,
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )

    def get_config(self):
        return {**super().get_config(), "pad_values": self.pad_values}

    def _convolution(self, inputs, kernel, **arguments):
        return keras.ops.conv(inputs, kernel, **arguments)

    def _pixel_strides(self, argument):
        return self.strides if all(size == 1 for size in self.kernel_size) else None

    def _paddings(self, inputs):
        """Where TensorFlow's `"same"` and Keras's `"causal"` pad, for static and unknown sizes."""
        first = 1 if self.data_format == "channels_last" else 2
        paddings = [[0, 0] for _ in range(self.rank + 2)]
        for i in range(self.rank):
            reach = (self.kernel_size[i] - 1) * self.dilation_rate[i]
            if self.padding == "causal":
                paddings[first + i] = [reach, 0]
                continue
            size, stride = inputs.shape[first + i], self.strides[i]
            if stride == 1:  # whatever the size
                paddings[first + i] = [reach // 2, reach - reach // 2]
                continue
            size = tf.shape(inputs)[first + i] if size is None else size
            total = (-(-size // stride) - 1) * stride + reach + 1 - size
            total = tf.maximum(total, 0) if tf.is_tensor(total) else max(total, 0)
            paddings[first + i] = [total // 2, total - total // 2]
        return paddings


class DepthwiseConvolution(PaddedConvolution):
    """A convolution of each channel by itself."""

    quantized_weights = {"depthwise_quantizer": "kernel"}
    output_axes = (-2, -1)

    quantized_kernel = quantized_weight("depthwise_quantizer")

    def _emit(self, inputs):
        return export.emit_depthwise(self, inputs)

    def _convolution(self, inputs, kernel, **arguments):
        return keras.ops.depthwise_conv(inputs, kernel, **arguments)

    def _pixel_strides(self, argument):
        return None  # whatever their size, SteDepthwiseConv2D has one scale


class TransposedConvolution(QuantizedConvolution):
    """The gradient of a convolution, whose kernel has the output channels before the inputs'."""

    output_axes = (-2,)

    def _emit(self, inputs):
        return (volumes.emit_transposed_volume if self.rank == 3 else export.emit_transposed)(self, inputs)

    def convolution_op(self, inputs, kernel):
        return keras.ops.conv_transpose(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )


class SeparableConvolution(QuantizedConvolution):
    """A depthwise convolution, then one of size 1 over the channels."""

    quantized_tensors = ("input_quantizer", "intermediate_quantizer")
    quantized_weights = {
        "depthwise_quantizer": "depthwise_kernel",
        "pointwise_quantizer": "pointwise_kernel",
    }
    quantized_depthwise_kernel = quantized_weight("depthwise_quantizer")
    quantized_pointwise_kernel = quantized_weight("pointwise_quantizer")

    def _emit(self, inputs):
        return export.emit_separable(self, inputs)

    def _build_quantizers(self, shapes):
        # The image between the two convolutions has the output's size and channels of its own.
        shape = list(self.compute_output_shape(shapes["input_quantizer"]))
        shape[-1 if self.data_format == "channels_last" else 1] = self.pointwise_kernel.shape[-2]
        super()._build_quantizers({**shapes, "intermediate_quantizer": shape})

    def _pixel_strides(self, argument):
        return (1,) * self.rank if argument == "intermediate_quantizer" else None

    def _compute(self, inputs, training):
        return self._pointwise(self._depthwise(inputs, training), training)

    def _depthwise(self, inputs, training):
        x, x_scale = self._operand(inputs, training)
        kernel, kernel_scale = self._weight_factors(
            "depthwise_quantizer", self.depthwise_kernel, training, (-2, -1)
        )
        outputs = keras.ops.depthwise_conv(
            x,
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self._scaled(outputs, kernel_scale, x_scale)

    def _pointwise(self, between, training):
        z, z_scale = self._operand(between, training, "intermediate_quantizer")
        kernel, kernel_scale = self._weight_factors(
            "pointwise_quantizer", self.pointwise_kernel, training
        )
        outputs = keras.ops.conv(z, kernel, padding="valid", data_format=self.data_format)
        return self._with_bias(self._scaled(outputs, kernel_scale, z_scale), self.bias)
