"""Bi-Real Net for small images.

Z. Liu, B. Wu, W. Luo, X. Yang, W. Liu, K.-T. Cheng, *Bi-Real Net: Enhancing the Performance of 1-bit
CNNs With Improved Representational Capability and Advanced Training Algorithm*, arXiv:1808.00278.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_ste.blocks import bireal_block
from keras_ste.models.common import classifier, image_input, stages, stem


def bireal_net(
    input_shape: Sequence[int | None],
    classes: int,
    filters: int = 32,
    blocks: Sequence[int] = (4, 4, 4),
    kernel_quantizer: Any = "magnitude_aware_sign",
    input_quantizer: Any = "approx_sign",
    data_format: str | None = None,
    name: str = "bireal_net",
) -> keras.Model:
    """A network of `bireal_block`s, between a float stem and a float classifier.

    The first block of each stage but the first doubles the channels and halves height and width.
    (The paper's network of 18 layers, for images of 224 by 224, has 64 `filters`, four stages of 4
    blocks, and a stem that makes the images smaller.) With both quantizers `None` it is the float
    twin.

    Args:
        input_shape: of an image.
        classes: number of classes.
        filters: channels of the stem and of the first stage.
        blocks: number of blocks, each of one convolution, of each stage.
        kernel_quantizer, input_quantizer, data_format: as for `bireal_block`.
        name: of the model.

    Returns:
        A model from float images to the logits of the classes.

    Raises:
        ValueError: `input_shape` has not three axes, or `blocks` are not positive.

    >>> bireal_net((28, 28, 1), classes=10).output_shape
    (None, 10)
    """
    inputs = image_input(input_shape)
    x = stem(inputs, filters, data_format)
    for stage, strides in stages(blocks):
        x = bireal_block(
            x,
            filters * 2**stage,
            strides,
            kernel_quantizer=kernel_quantizer,
            input_quantizer=input_quantizer,
            data_format=data_format,
        )
    return keras.Model(inputs, classifier(x, classes, data_format), name=name)
