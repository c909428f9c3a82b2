"""`QuantConv1DBatchNorm`: the 1-D convolution with batch normalization, quantized as one."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers.batch_norm_folding import BatchNormFolding
from keras_ste.layers.common import arguments_of
from keras_ste.layers.quant_conv1d import QuantConv1D


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantConv1DBatchNorm(BatchNormFolding, QuantConv1D):
    """`QuantConv1D` and `keras.layers.BatchNormalization`, folded before the kernel is quantized.

        folded_kernel = kernel · γ / √(variance + ε)
        folded_bias = β + (bias - mean) · γ / √(variance + ε)
        y = activation(conv(integers(x), integers(folded_kernel)) · scales + folded_bias)

    R. Krishnamoorthi, arXiv:1806.08342, section 3.2.2. What mean and variance are in training, and all else,
    is said of `QuantConv2DBatchNorm`.

    Args:
        filters, kernel_size, ..., pad_values, **kwargs: as for `QuantConv1D`.
        folding, freeze_after, momentum, ..., gamma_constraint: as for `QuantConv2DBatchNorm`.

    Raises:
        ValueError: an unknown quantizer or folding, a `freeze_after` that is no number of steps,
            `pad_values` that do not fit, or a dtype policy that is itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantConv1DBatchNorm(4, 3, use_bias=False, kernel_quantizer="xnor_sign")
    >>> layer(keras.ops.ones((1, 5, 2)), training=True).shape
    TensorShape([1, 3, 4])
    >>> layer.folded_kernel.shape, layer.folded_bias.shape
    (TensorShape([3, 2, 4]), TensorShape([4]))
    """

    plain_class = QuantConv1D

    @arguments_of(QuantConv1D, BatchNormFolding)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
