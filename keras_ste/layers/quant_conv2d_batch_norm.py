"""`QuantConv2DBatchNorm`: the 2-D convolution with batch normalization, quantized as one."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.layers.batch_norm_folding import BatchNormFolding
from keras_ste.layers.common import arguments_of
from keras_ste.layers.quant_conv2d import QuantConv2D


@keras.saving.register_keras_serializable(package="keras_ste")
class QuantConv2DBatchNorm(BatchNormFolding, QuantConv2D):
    """`QuantConv2D` and `keras.layers.BatchNormalization`, folded before the kernel is quantized.

        folded_kernel = kernel · γ / √(variance + ε)
        folded_bias = β + (bias - mean) · γ / √(variance + ε)
        y = activation(conv(integers(x), integers(folded_kernel)) · scales + folded_bias)

    What is quantized in training is the kernel that the device has: R. Krishnamoorthi, *Quantizing deep
    convolutional networks for efficient inference*, arXiv:1806.08342, section 3.2.2; B. Jacob et al.,
    *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*,
    arXiv:1712.05877, figure C.8. Mean and variance, one of each output channel, are the batch's in
    training, of the product with the float kernel, and the moving ones otherwise. `kernel`, `gamma` and
    `beta` stay the float variables that are trained; `quantized_kernel` and `folded_bias` are what the
    layer computes with outside of training. `folded()` is the `QuantConv2D` that computes the same.

    A quantizer without a scale, as `"ste_sign"`, loses the size of what is folded into the kernel. The
    convolution's own bias is one more shift before the normalization, which takes it away again:
    `use_bias=False` saves it. A `keras.layers.BatchNormalization` behind a `QuantConv2D` needs no folding for
    `keras_ste.convert`, which takes it into scale and bias.

    Args:
        filters, kernel_size, ..., pad_values, **kwargs: as for `QuantConv2D`.
        folding: what the kernel is folded with in training: `"moving"`, the moving variance, its product
            rescaled to the batch's variance, or `"batch"`, the batch's.
        freeze_after: the number of training steps after which mean and variance are the moving ones in
            training too and stay as they are, or `None`.
        momentum, epsilon, center, scale, beta_initializer, gamma_initializer, moving_mean_initializer,
            moving_variance_initializer, beta_regularizer, gamma_regularizer, beta_constraint,
            gamma_constraint: as for `keras.layers.BatchNormalization`.

    Raises:
        ValueError: an unknown quantizer or folding, a `freeze_after` that is no number of steps,
            `pad_values` that do not fit, or a dtype policy that is itself a quantization.
        TypeError: a quantizer that cannot be called.

    >>> layer = QuantConv2DBatchNorm(4, 3, use_bias=False, kernel_quantizer="xnor_sign")
    >>> layer(keras.ops.ones((1, 5, 5, 2)), training=True).shape
    TensorShape([1, 3, 3, 4])
    >>> layer.folded_kernel.shape, layer.folded_bias.shape
    (TensorShape([3, 3, 2, 4]), TensorShape([4]))
    """

    plain_class = QuantConv2D

    @arguments_of(QuantConv2D, BatchNormFolding)
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
