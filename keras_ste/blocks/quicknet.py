"""QuickNet's blocks: a binary convolution with a shortcut, and a transition that blurs before it halves.

T. Bannink, A. Bakhtiari, A. Hillier, L. Geiger, T. de Bruin, L. Overweel, J. Neeven, K. Helwegen,
*Larq Compute Engine: Design, Benchmark, and Deploy State-of-the-Art Binarized Neural Networks*,
arXiv:2011.09398. The blur before halving: R. Zhang, *Making Convolutional Networks Shift-Invariant
Again*, arXiv:1904.11486.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_ste.blocks.common import batch_norm, binary_conv, channels_of, check_strides, mixed

# The binomial filter of size 3, for one channel.
_BLUR = np.outer([1, 2, 1], [1, 2, 1]).reshape(3, 3, 1, 1) / 16


def quicknet_block(
    x: Any,
    kernel_quantizer: Any = "ste_sign",
    input_quantizer: Any = "ste_sign",
    data_format: str | None = None,
) -> Any:
    """A residual block of QuickNet, which keeps its number of channels.

        y = BN(ReLU(conv3x3(x))) + x

    The convolution multiplies signs by signs, and ones stand outside of the image, so that all it
    reads are signs. The ReLU comes before the batch normalization.

    With both quantizers `None` it is the float twin, layer by layer, with zeros outside.

    Args:
        x: Keras tensor of images.
        kernel_quantizer: of the weights of the convolution; `None` for float weights.
        input_quantizer: of its input; `None` for float inputs.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for Keras's default.

    Returns:
        Keras tensor of x's shape.

    Raises:
        ValueError: `x` are no images.

    >>> quicknet_block(keras.Input((None, None, 16))).shape
    (None, None, None, 16)
    """
    y = binary_conv(
        x,
        channels_of(x, data_format),
        3,
        activation="relu",
        kernel_quantizer=kernel_quantizer,
        input_quantizer=input_quantizer,
        pad_values=0 if input_quantizer is None else 1,
        data_format=data_format,
    )
    return keras.layers.Add()([batch_norm(y, data_format), x])


def quicknet_transition(
    x: Any,
    filters: int,
    strides: int = 2,
    data_format: str | None = None,
    kernel_quantizer: Any = None,
    input_quantizer: Any = None,
) -> Any:
    """What is between two stages of QuickNet: other channels, and half the size.

        y = BN(conv1x1(blur(max(ReLU(x)))))

    max is over squares of `strides` by `strides`, one at each place; blur averages with the weights
    1, 2, 1 along height and width, which are not trained, and takes every `strides`-th place. An odd
    height or width is rounded down.

    Args:
        x: Keras tensor of images.
        filters: number of output channels.
        strides: 1, or 2 to halve height and width.
        data_format: `"channels_last"`, `"channels_first"`, or `None` for Keras's default.
        kernel_quantizer: of the weights of the convolution; `None` for float weights, as in the
            paper. At 8 bits it can be computed in integers.
        input_quantizer: of its input; `None` for float inputs.

    Returns:
        Keras tensor of images.

    Raises:
        ValueError: `strides` is neither 1 nor 2, or `x` are no images.

    >>> quicknet_transition(keras.Input((28, 28, 16)), 32).shape
    (None, 14, 14, 32)
    """
    channels_of(x, data_format)
    check_strides(strides)
    x = keras.layers.ReLU()(x)
    x = keras.layers.MaxPooling2D(strides, 1, data_format=data_format)(x)
    x = keras.layers.DepthwiseConv2D(
        3,
        strides=strides,
        padding="same",
        data_format=data_format,
        use_bias=False,
        depthwise_initializer=keras.initializers.Constant(_BLUR),
        trainable=False,
    )(x)
    quantizers = {"kernel_quantizer": kernel_quantizer, "input_quantizer": input_quantizer}
    return batch_norm(mixed(x, filters, data_format, **quantizers), data_format)
