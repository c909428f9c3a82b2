"""`QuantDense`: the fully connected layer on quantized inputs and weights."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers import export
from keras_ste.layers.common import ProductLayer, arguments_of, quantized_weight


class DenseProduct(ProductLayer):
    """Mixed in before a fully connected layer."""

    quantized_kernel = quantized_weight("kernel_quantizer")

    def _emit(self, inputs):
        return export.emit_dense(self, inputs)

    def _operand(self, inputs, training):
        x, scale = self._input_factors(inputs, training)
        if scale is not None and scale.shape.rank and scale.shape[-1] != 1:
            x, scale = x * scale, None
        return x, scale

    def _product(self, x, kernel):
        return keras.ops.matmul(x, kernel)


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantDense(DenseProduct, keras.layers.Dense):
    """`keras.layers.Dense` with a quantizer for its inputs and one for its kernel.

        y = activation((integers(x) · integers(kernel)) · scales + bias)

    The products are of small integers and exact in float32 up to 2^24, and the scales come
    afterwards, so that a device which adds up integers gets the same result. `kernel` stays the
    float variable that is trained; `quantized_kernel` is what the layer computes with.

    Args:
        units, activation, ..., lora_alpha, **kwargs: as for `keras.layers.Dense`.
        input_quantizer: `None`, or a quantizer for the inputs: its name, a config dict, a
            `Quantizer`, or a callable (see `keras_ste.quantizers.get`).
        kernel_quantizer: the same for the kernel.

    Input shape: `(batch, ..., channels)`, float or integer; integers are cast, not scaled.
    Output shape: `(batch, ..., units)`.

    Raises:
        ValueError: an unknown quantizer, or a dtype policy that is itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantDense(2, input_quantizer="ste_sign", kernel_quantizer="ste_sign")
    >>> layer(keras.ops.ones((1, 3))).shape
    TensorShape([1, 2])
    >>> bool(keras.ops.all(keras.ops.abs(layer.quantized_kernel) == 1.0))
    True
    """

    @arguments_of(keras.layers.Dense, DenseProduct)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
