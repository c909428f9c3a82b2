"""ReActNet for small images.

Z. Liu, Z. Shen, M. Savvides, K.-T. Cheng, *ReActNet: Towards Precise Binary Neural Network with
Generalized Activation Functions*, arXiv:2003.03488.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_ste.blocks import reactnet_block
from keras_ste.models.common import classifier, image_input, stages, stem


def reactnet(
    input_shape: Sequence[int | None],
    classes: int,
    filters: int = 32,
    blocks: Sequence[int] = (1, 2, 2),
    kernel_quantizer: Any = "magnitude_aware_sign",
    input_quantizer: Any = "rsign",
    data_format: str | None = None,
    name: str = "reactnet",
) -> keras.Model:
    """A network of `reactnet_block`s, between a float stem and a float classifier.

    The first block of each stage doubles the channels and, but for the first stage, halves height
    and width. (The paper's stem, for images of 224 by 224, halves them too; there `blocks` are
    1, 2, 2, 6, 2.) With both quantizers `None` it is the float twin.

    Args:
        input_shape: of an image.
        classes: number of classes.
        filters: channels of the stem.
        blocks: number of blocks of each stage.
        kernel_quantizer, input_quantizer, data_format: as for `reactnet_block`.
        name: of the model.

    Returns:
        A model from float images to the logits of the classes.

    Raises:
        ValueError: `input_shape` has not three axes, or `blocks` are not positive.

    >>> reactnet((28, 28, 1), classes=10).output_shape
    (None, 10)
    """
    inputs = image_input(input_shape)
    x = stem(inputs, filters, data_format)
    for stage, strides in stages(blocks):
        x = reactnet_block(
            x,
            filters * 2 ** (stage + 1),
            strides,
            kernel_quantizer=kernel_quantizer,
            input_quantizer=input_quantizer,
            data_format=data_format,
        )
    return keras.Model(inputs, classifier(x, classes, data_format), name=name)
