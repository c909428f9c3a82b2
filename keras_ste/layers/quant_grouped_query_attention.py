"""`QuantGroupedQueryAttention`: grouped-query attention with quantized projections and products."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers.attention import QuantizedAttention
from keras_ste.layers.common import arguments_of


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantGroupedQueryAttention(QuantizedAttention, keras.layers.GroupQueryAttention):
    """`keras.layers.GroupQueryAttention` with quantizers for its projections and its two products.

        scores = softmax(integers(query) · integers(key) · scales / √head_dim)
        result = projection(integers(scores) · integers(value) · scales)

    The projections of query, key, value, gate and result are `QuantEinsumDense` layers, each with
    quantizers of its own. With none of the quantizers of query, key, value and scores the products
    are those of Keras. Keys and values are quantized after they are repeated for their queries.

    Args:
        *args, **kwargs: as for `keras.layers.GroupQueryAttention`.
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

    >>> layer = QuantGroupedQueryAttention(4, 4, 2, input_quantizer="ste_sign", kernel_quantizer="ste_sign")
    >>> x = keras.ops.ones((1, 5, 6))
    >>> layer(x, x).shape
    TensorShape([1, 5, 6])
    """

    @arguments_of(keras.layers.GroupQueryAttention, QuantizedAttention)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        self.feature_dim = query_shape[-1]
        queries = (self.num_query_heads, self.head_dim)
        keys = (self.num_key_value_heads, self.head_dim)
        split, bias = "...c,chd->...hd", "hd" if self.use_bias else None
        self._query_dense = self._projection("query", split, queries, bias, query_shape)
        self._key_dense = self._projection("key", split, keys, bias, key_shape)
        if self.use_gate:
            self._gate_dense = self._projection("gate", split, queries, bias, query_shape, "sigmoid")
        self._value_dense = self._projection("value", split, keys, bias, value_shape)
        self._softmax = keras.layers.Softmax(axis=-1, dtype=self.dtype_policy)
        self._dropout_layer = keras.layers.Dropout(rate=self.dropout, dtype=self.dtype_policy, seed=self.seed)
        self._dot_product_equation = "bquh,bkuh->buqk"
        self._combine_equation = "buqk,bkuh->bquh"
        merged, bias = (*query_shape[:-1], *queries), "c" if self.use_bias else None
        self._output_dense = self._projection(
            "attention_output", "...hd,hdc->...c", (self.feature_dim,), bias, merged
        )
        self._build_quantizers(
            {
                "query_quantizer": merged,
                "key_quantizer": (*key_shape[:-1], *queries),
                "value_quantizer": (*value_shape[:-1], *queries),
                "scores_quantizer": (query_shape[0], self.num_query_heads, query_shape[1], value_shape[1]),
            }
        )

    @property
    def _temperature(self):
        return self._inverse_sqrt_head_dim

    def _dot_product(self, query, key):
        return keras.ops.einsum(self._dot_product_equation, query, key)

    def _float_attention(self, query, key, value, mask, training, return_scores, **options):
        # Keras's reads from the layer whether scores are wanted.
        return keras.layers.GroupQueryAttention._compute_attention(
            self, query, key, value, mask, training, **options
        )
