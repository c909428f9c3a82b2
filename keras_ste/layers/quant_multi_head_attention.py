"""`QuantMultiHeadAttention`: multi-head attention with quantized projections and products."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers.attention import QuantizedAttention
from keras_ste.layers.common import arguments_of


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantMultiHeadAttention(QuantizedAttention, keras.layers.MultiHeadAttention):
    """`keras.layers.MultiHeadAttention` with quantizers for its projections and its two products.

        scores = softmax(integers(query) · integers(key) · scales / √key_dim)
        result = projection(integers(scores) · integers(value) · scales)

    The projections of query, key, value, gate and result are `QuantEinsumDense` layers, each with
    quantizers of its own. With none of the quantizers of query, key, value and scores the products
    are those of Keras.

    Args:
        *args, **kwargs: as for `keras.layers.MultiHeadAttention`.
        input_quantizer: `None`, or a quantizer for what enters each projection: its name, a config
            dict, a `Quantizer`, or a callable (see `keras_ste.quantizers.get`).
        kernel_quantizer: the same for the kernel of each projection.
        query_quantizer, key_quantizer, value_quantizer: the same for what the projections give.
        scores_quantizer: the same for the scores behind the softmax; numbers from 0 to 1, so that a
            sign would make them all alike.

    Raises:
        ValueError: an unknown quantizer, flash attention together with quantizers in it, or a dtype
            policy that is itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantMultiHeadAttention(2, 4, input_quantizer="ste_sign", kernel_quantizer="ste_sign")
    >>> x = keras.ops.ones((1, 5, 6))
    >>> layer(x, x).shape
    TensorShape([1, 5, 6])
    """

    @arguments_of(keras.layers.MultiHeadAttention, QuantizedAttention)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                "All axes of value and key but the last must be equal. "
                f"Received: value_shape={value_shape}, key_shape={key_shape}."
            )
        queries = (self.num_heads, self.key_dim)
        values = (self.num_heads, self.value_dim)
        split, bias = "...c,chd->...hd", "hd" if self.use_bias else None
        self._query_dense = self._projection("query", split, queries, bias, query_shape)
        self._key_dense = self._projection("key", split, queries, bias, key_shape)
        if self._use_gate:
            self._gate_dense = self._projection("gate", split, values, bias, query_shape, "sigmoid")
        self._value_dense = self._projection("value", split, values, bias, value_shape)
        self._build_attention(len(value_shape) + 1)
        result = self._output_shape or (query_shape[-1],)
        letters = "opqrstuvw"[: len(result)]
        merged = (*query_shape[:-1], *values)
        equation, bias = f"...hd,hd{letters}->...{letters}", letters if self.use_bias else None
        self._output_dense = self._projection("attention_output", equation, result, bias, merged)
        rows, columns = self._attended(query_shape), self._attended(value_shape)
        self._build_quantizers(
            {
                "query_quantizer": (*query_shape[:-1], *queries),
                "key_quantizer": (*key_shape[:-1], *queries),
                "value_quantizer": (*value_shape[:-1], *values),
                "scores_quantizer": (query_shape[0], self.num_heads, *rows, *columns),
            }
        )

    def _attended(self, shape):
        return [shape[axis] for axis in self._attention_axes]

    @property
    def _temperature(self):
        return self._inverse_sqrt_key_dim

    def _dot_product(self, query, key):
        return keras.ops.einsum(self._dot_product_equation, key, query)

    def _float_attention(self, *args, **options):
        return keras.layers.MultiHeadAttention._compute_attention(self, *args, **options)
