"""What the quantized attention layers share: projections that quantize, and attention on quantized numbers."""

from __future__ import annotations

import types
from typing import Any

import keras

from keras_ste import quantizers
from keras_ste.layers import export
from keras_ste.layers.common import QuantizedLayer
from keras_ste.layers.quant_einsum_dense import QuantEinsumDense, over_tokens

NOT_PACKED = (
    "there is no custom op for the products of attention: without quantizers of query, key, value and scores, which "
    "change nothing on the device, its projections are all that is quantized, and they are packed"
)


class QuantizedAttention(QuantizedLayer):
    """Mixed in before a Keras attention layer.

    `input_quantizer` and `kernel_quantizer` are for the projections: where they have variables, the first
    takes them and the others copies. A scale of each token (`BitnetActivation`) is one of all heads where they are
    joined. The others are for the two products of attention.
    """

    in_attention = ("query_quantizer", "key_quantizer", "value_quantizer", "scores_quantizer")
    quantized_tensors = in_attention
    quantized_weights: dict[str, str] = {}

    def __init__(self, *args: Any, input_quantizer: Any = None, kernel_quantizer: Any = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # In a namespace, because Keras would track what is set on the layer itself.
        self._of_projections = types.SimpleNamespace(
            input_quantizer=quantizers.get(input_quantizer),
            kernel_quantizer=quantizers.get(kernel_quantizer),
        )
        if self._flash_attention and self._quantizes_attention:
            raise ValueError(
                f"{type(self).__name__}: flash attention knows no quantizers of query, key, value and scores. "
                "Received: flash_attention=True."
            )

    @property
    def input_quantizer(self) -> Any:
        return self._of_projections.input_quantizer

    @property
    def kernel_quantizer(self) -> Any:
        return self._of_projections.kernel_quantizer

    @property
    def _quantizes_attention(self):
        return any(getattr(self, argument) is not None for argument in self.in_attention)

    def _projection(self, name, equation, output_shape, bias_axes, input_shape, activation=None):
        """A built projection; `name` and shapes as in the Keras layer."""
        projection = QuantEinsumDense(
            equation,
            output_shape=output_shape,
            bias_axes=bias_axes,
            activation=activation,
            name=name,
            input_quantizer=over_tokens(self.input_quantizer, equation),
            kernel_quantizer=self.kernel_quantizer,
            **self._get_common_kwargs_for_sublayer(),
        )
        projection.build(input_shape)
        return projection

    def _compute_attention(
        self, query, key, value, attention_mask=None, training=None, return_attention_scores=False, **options
    ):
        # The projections leave rows of their own; this one says of the products that they are in float.
        export.leave_in_float(self, query, NOT_PACKED)
        if not self._quantizes_attention:
            return self._float_attention(
                query, key, value, attention_mask, training, return_attention_scores, **options
            )
        query, query_scale = self._one_scale("query_quantizer", query, training)
        key, key_scale = self._one_scale("key_quantizer", key, training)
        value, value_scale = self._one_scale("value_quantizer", value, training)
        scores = self._dot_product(query, key)
        for scale in (query_scale, key_scale, self._temperature):
            if scale is not None:
                scores = scores * keras.ops.cast(scale, scores.dtype)
        scores = self._masked_softmax(scores, attention_mask)
        weights, weights_scale = self._one_scale("scores_quantizer", scores, training)
        weights = self._dropout_layer(weights, training=training)
        outputs = keras.ops.einsum(self._combine_equation, weights, value)
        for scale in (weights_scale, value_scale):
            if scale is not None:
                outputs = outputs * scale
        return outputs, scores

    def _one_scale(self, argument, x, training):
        """Integers and a scale that is one number, or the values and no scale."""
        values, scale = self._input_factors(x, training, argument)
        if scale is None or scale.shape.num_elements() != 1:
            return values if scale is None else values * scale, None
        return values, keras.ops.reshape(scale, ())

    def get_config(self) -> dict[str, Any]:
        own = {name: quantizers.serialize(q) for name, q in vars(self._of_projections).items()}
        return {**super().get_config(), **own}
