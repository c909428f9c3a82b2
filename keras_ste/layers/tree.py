"""The layers within a layer."""

from __future__ import annotations

from collections.abc import Iterator

import keras


def layers_within(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """The layers that a layer or model has, with theirs behind each, in the order in which they were added; each once.

    Keras's `_flatten_layers` turns that order round from the second level on.

    >>> inner = keras.Sequential([keras.layers.Dense(2, name="a"), keras.layers.Dense(2, name="b")], name="inner")
    >>> model = keras.Sequential([inner, keras.layers.Dense(2, name="c")])
    >>> [layer.name for layer in layers_within(model)]
    ['inner', 'a', 'b', 'c']
    """
    seen = set()

    def walk(parent):
        for part in parent._layers:
            if id(part) not in seen:
                seen.add(id(part))
                yield part
                yield from walk(part)

    yield from walk(layer)
