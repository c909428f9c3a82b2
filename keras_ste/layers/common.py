"""What the quantized layers share: their quantizer arguments, and how integers and scales part."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste import quantizers


class QuantizedLayer:
    """Mixed in before a Keras layer that has a `kernel`: adds the two quantizer arguments."""

    def _set_quantizers(self, input_quantizer, kernel_quantizer):
        """To be called at the end of `__init__`."""
        if self.quantization_mode is not None:
            raise ValueError(
                f"{type(self).__name__} quantizes by its own quantizers and takes a float dtype "
                f"policy. Received: dtype={self.dtype_policy.name!r}."
            )
        self.input_quantizer = quantizers.get(input_quantizer)
        self.kernel_quantizer = quantizers.get(kernel_quantizer)

    def build(self, input_shape):
        super().build(input_shape)
        for argument, shape in (
            ("input_quantizer", input_shape),
            ("kernel_quantizer", self._kernel.shape),
        ):
            quantizer = getattr(self, argument)
            # One quantizer given to several layers is built by the first.
            if isinstance(quantizer, quantizers.Quantizer) and not getattr(quantizer, "built", False):
                with keras.name_scope(argument):
                    quantizer.build(tuple(shape))

    def add_weight(self, *args, name=None, **kwargs):
        # In mixed precision Keras would cast the kernel before the quantizer sees it, and a small
        # negative weight that float16 rounds to -0.0 would become +1.
        if name == "kernel":
            kwargs["autocast"] = False
        return super().add_weight(*args, name=name, **kwargs)

    @property
    def quantized_kernel(self) -> tf.Tensor:
        """The kernel the layer computes with, scale included: its shape, the variable dtype."""
        kernel = tf.convert_to_tensor(self.kernel)
        return kernel if self.kernel_quantizer is None else self.kernel_quantizer(kernel)

    def quantize(self, mode=None, type_check=True, config=None):
        """Keras's post-training quantization, which would replace this layer's own: refused.

        Raises:
            NotImplementedError: always; `Model.quantize` passes over a layer that raises it.
        """
        raise NotImplementedError(
            f"Layer '{self.name}' ({type(self).__name__}) is quantized by its own quantizers; "
            f"Keras's quantize({mode!r}) does not apply to it."
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_quantizer": quantizers.serialize(self.input_quantizer),
            "kernel_quantizer": quantizers.serialize(self.kernel_quantizer),
        }

    def _input_factors(self, inputs, training):
        """The quantized input as `(integers, scale or None)`, in the compute dtype."""
        inputs = tf.cast(inputs, self.compute_dtype)
        return self._factors("input_quantizer", inputs, training)

    def _kernel_factors(self, training=False):
        """The quantized kernel as `(integers, scale or None)`, in the compute dtype.

        The scale is one number or one for each output channel: a vector to multiply the result by.
        A scale that changes within an output channel cannot wait that long and is multiplied in.
        """
        kernel = tf.convert_to_tensor(self.kernel)
        integers, scale = self._factors("kernel_quantizer", kernel, training)
        if scale is not None and any(size != 1 for size in scale.shape[:-1]):
            integers, scale = integers * scale, None
        integers = tf.cast(integers, self.compute_dtype)
        if scale is not None:
            scale = tf.cast(tf.reshape(scale, [-1]), self.compute_dtype)
        return integers, scale

    def _factors(self, argument, x, training):
        quantizer = getattr(self, argument)
        if quantizer is None:
            return x, None
        if isinstance(quantizer, quantizers.Quantizer):
            return quantizer.factors(x, training=bool(training))
        values = tf.convert_to_tensor(quantizer(x))
        if values.dtype != x.dtype or not values.shape.is_compatible_with(x.shape):
            raise ValueError(
                f"The {argument} of layer '{self.name}' must return the shape and dtype it gets, "
                f"{x.shape} {x.dtype.name}. It returned {values.shape} {values.dtype.name}."
            )
        return values, None
