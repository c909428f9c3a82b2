"""`QuantActivation`: a quantizer as a layer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.layers import export
from keras_ste.layers.common import QuantizedLayer


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantActivation(QuantizedLayer, keras.layers.Layer):
    """Quantizes what it is given: `y = q(x)`.

    Before a layer that multiplies, that layer's own `input_quantizer` is better: it multiplies the
    integers, which the converter can pack. For what is pooled, added, joined or padded before it is multiplied,
    this layer keeps codes on the device where numbers would be.

    Args:
        quantizer: its name, a config dict, a `Quantizer`, or a callable (see
            `keras_ste.quantizers.get`); `None` lets everything pass.
        **kwargs: as for `keras.layers.Layer`.

    Input and output shape: any.

    Raises:
        ValueError: an unknown quantizer, or a dtype policy that is itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> QuantActivation("ste_sign")(keras.ops.array([-0.3, 0.0, 2.0])).numpy().tolist()
    [-1.0, 1.0, 1.0]
    """

    quantized_tensors = ("quantizer",)
    quantized_weights = {}
    def __init__(self, quantizer: Any, **kwargs: Any):
        super().__init__(quantizer=quantizer, **kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        self._build_quantizers({"quantizer": input_shape})

    def call(self, inputs, training=None):
        emitted = export.emit_activation(self, inputs)
        if emitted is not None:
            return emitted
        return self._quantized("quantizer", tf.cast(inputs, self.compute_dtype), training)

    def compute_output_shape(self, input_shape):
        return input_shape
