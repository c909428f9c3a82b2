"""What the networks for images share: their input, a stem for small images, the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_ste.blocks.common import batch_norm


def image_input(input_shape: Sequence[int | None]) -> Any:
    """The input of a network: float images of a shape without the batch.

    Raises:
        ValueError: the shape has not three axes.
    """
    if len(input_shape) != 3:
        raise ValueError(
            "input_shape is that of one image, three numbers. "
            f"Received: input_shape={tuple(input_shape)}."
        )
    return keras.Input(tuple(input_shape), name="image")


def stages(blocks: Sequence[int]) -> list[tuple[int, int]]:
    """`(stage, strides)` of every block: the first of each stage but the first has strides 2.

    Raises:
        ValueError: there is no stage, or one without a block.
    """
    if not blocks or any(count < 1 for count in blocks):
        raise ValueError(
            "blocks are the numbers of blocks of one stage or more, each positive. "
            f"Received: blocks={blocks!r}."
        )
    return [
        (stage, 2 if stage and not block else 1)
        for stage, count in enumerate(blocks)
        for block in range(count)
    ]


def stem(x: Any, filters: int, data_format: str | None) -> Any:
    """The first layer for small images: a float 3x3 convolution, normalized, which keeps their size."""
    x = keras.layers.Conv2D(filters, 3, padding="same", data_format=data_format, use_bias=False)(x)
    return batch_norm(x, data_format)


def classifier(x: Any, classes: int, data_format: str | None) -> Any:
    """The logits of the classes, in float, from the mean of each channel."""
    x = keras.layers.GlobalAveragePooling2D(data_format=data_format)(x)
    return keras.layers.Dense(classes, name="logits")(x)
