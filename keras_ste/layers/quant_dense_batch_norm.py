"""`QuantDenseBatchNorm`: the fully connected layer with batch normalization, quantized as one."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers.batch_norm_folding import BatchNormFolding
from keras_ste.layers.common import arguments_of
from keras_ste.layers.quant_dense import QuantDense


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantDenseBatchNorm(BatchNormFolding, QuantDense):
    """`QuantDense` and `keras.layers.BatchNormalization`, folded before the kernel is quantized.

        folded_kernel = kernel · γ / √(variance + ε)
        folded_bias = β + (bias - mean) · γ / √(variance + ε)
        y = activation((integers(x) · integers(folded_kernel)) · scales + folded_bias)

    R. Krishnamoorthi, arXiv:1806.08342, section 3.2.2. What mean and variance are in training, and all else,
    is said of `QuantConv2DBatchNorm`. Places that a mask excludes count in the batch's statistics.

    Args:
        units, activation, ..., kernel_quantizer, **kwargs: as for `QuantDense`.
        folding, freeze_after, momentum, ..., gamma_constraint: as for `QuantConv2DBatchNorm`.

    Raises:
        ValueError: an unknown quantizer or folding, a `freeze_after` that is no number of steps,
            or a dtype policy that is itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantDenseBatchNorm(4, use_bias=False, kernel_quantizer="xnor_sign")
    >>> layer(keras.ops.ones((3, 2)), training=True).shape
    TensorShape([3, 4])
    >>> layer.folded_kernel.shape, layer.folded_bias.shape
    (TensorShape([2, 4]), TensorShape([4]))
    """

    plain_class = QuantDense

    @arguments_of(QuantDense, BatchNormFolding)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
