"""`QuantEmbedding`: a table of quantized vectors."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_ste.layers import export
from keras_ste.layers.common import QuantizedLayer, arguments_of, quantized_weight


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantEmbedding(QuantizedLayer, keras.layers.Embedding):
    """`keras.layers.Embedding` with a quantizer for its table.

        y = q(embeddings)[indices]

    `embeddings` stays the float variable that is trained; `quantized_embeddings` is what the vectors
    are taken from.

    Args:
        *args, **kwargs: as for `keras.layers.Embedding`.
        embeddings_quantizer: `None`, or a quantizer for the table, of shape `(input_dim, output_dim)`:
            its name, a config dict, a `Quantizer`, or a callable (see `keras_ste.quantizers.get`).

    Raises:
        ValueError: an unknown quantizer, or a dtype policy that is itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantEmbedding(10, 4, embeddings_quantizer="ste_sign")
    >>> bool(keras.ops.all(keras.ops.abs(layer(keras.ops.array([[1, 2, 3]]))) == 1.0))
    True
    """

    quantized_tensors = ()
    quantized_weights = {"embeddings_quantizer": "embeddings"}
    quantized_embeddings = quantized_weight("embeddings_quantizer")

    @arguments_of(keras.layers.Embedding)
    def __init__(self, *args: Any, embeddings_quantizer: Any = None, **kwargs: Any):
        super().__init__(*args, embeddings_quantizer=embeddings_quantizer, **kwargs)

    def build(self, input_shape=None):
        super().build(input_shape)

    def call(self, inputs, training=None):
        if inputs.dtype not in (tf.int32, tf.int64):
            inputs = tf.cast(inputs, tf.int32)
        emitted = export.emit_table(self, inputs)
        if emitted is not None:
            return emitted
        table = self._quantized("embeddings_quantizer", self.embeddings, training)
        return keras.ops.take(tf.cast(table, self.compute_dtype), inputs, axis=0)
