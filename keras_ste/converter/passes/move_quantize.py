"""Takes the sign of a feature map before it is flattened, not after.

The sign then stands behind the layer that made the map, where it can become that layer's thresholds.
"""

from __future__ import annotations

import math

from keras_ste.converter.graph import Graph, Op, Tensor
from keras_ste.converter.packing import words_of
from keras_ste.converter.shapes import output_shape


def _flattened_axes(reshape: Op) -> int | None:
    """How many trailing axes the reshape makes into one, or None where it does anything else."""
    before, after = reshape.inputs[0].signature, reshape.outputs[0].signature
    axes = len(before) - len(after) + 1
    lead = len(after) - 1
    if axes < 1 or lead < 0 or before[:lead] != after[:lead] or -1 in before[lead:]:
        return None
    # With one unknown size before the flattened axes, equal numbers of elements make it equal too.
    if before[:lead].count(-1) > 1 or math.prod(before[lead:]) != after[-1]:
        return None
    return axes


def _move(graph: Graph, quantize: Op, reshape: Op) -> None:
    if quantize.options.get("output", "packed") != "packed":
        return
    if any(tensor is not None and tensor.shape[-1] != 1 for tensor in quantize.inputs[1:]):
        quantize.note = "its input is flattened, and its channels are quantized each in its own way"
        return
    readers = graph.consumers(quantize.outputs[0])
    if quantize.outputs[0] in graph.outputs or any(
        op.name != "SteFullyConnected" or op.options.get("input_axes", 1) != 1 for op in readers
    ):
        quantize.note = "the flattened signs are read by an op other than a dense layer"
        return
    axes = _flattened_axes(reshape)
    if axes is None:
        quantize.note = "its input comes from RESHAPE, which is not a flattening of known sizes"
        return
    source = reshape.inputs[0]
    channels = source.signature[-1]
    pixels = math.prod(source.signature[-axes:-1])
    if pixels * words_of(channels) > 2 * words_of(pixels * channels):
        quantize.note = (
            f"its input is flattened from pixels of {channels} channels, which would fill less than "
            "half of their words of 32"
        )
        return
    quantize.inputs[0] = source
    quantize.options["channels"] = channels
    quantize.outputs[0].signature = output_shape(quantize)
    for op in readers:
        op.options.update(channels=channels, pixels=pixels, input_axes=axes)


def _producer_reshape(graph: Graph, tensor: Tensor) -> Op | None:
    producer = graph.producer(tensor)
    return producer if producer is not None and producer.name == "RESHAPE" else None


def move_quantize_above_reshape(graph: Graph) -> None:
    """RESHAPE → SteQuantize → SteFullyConnected becomes SteQuantize → SteFullyConnected(pixels)."""
    for quantize in graph.select("SteQuantize"):
        reshape = _producer_reshape(graph, quantize.inputs[0])
        if reshape is not None:
            _move(graph, quantize, reshape)
