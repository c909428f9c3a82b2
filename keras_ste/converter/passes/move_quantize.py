"""Quantizes a feature map before it is reshaped or flattened, not after.

The quantizer then stands behind the layer that made the map, where it can become that layer's thresholds.
"""

from __future__ import annotations

import math

from keras_ste.converter.graph import Graph, Op, Tensor, TensorType, reshape_op
from keras_ste.converter.packing import words_of
from keras_ste.converter.passes.drop_reshapes import RESHAPES
from keras_ste.converter.passes.quantizing import packs, same_for_all_channels
from keras_ste.converter.passes.reshape_codes import holds_codes
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


def _move(graph: Graph, quantize: Op, reshape: Op) -> str | None:
    """Lets dense layers read what is flattened. Returns why they cannot, or None where they do."""
    if not packs(quantize):
        return "its input is flattened, and each number is quantized to a byte in its own way"
    if not same_for_all_channels(quantize):
        return "its input is flattened, and its channels are quantized each in its own way"
    readers = graph.consumers(quantize.outputs[0])
    if quantize.outputs[0] in graph.outputs or any(
        op.name != "SteFullyConnected" or op.options.get("input_axes", 1) != 1 for op in readers
    ):
        return "the flattened signs are read by an op other than a dense layer"
    axes = _flattened_axes(reshape)
    if axes is None:
        return "its input comes from RESHAPE, which is not a flattening of known sizes"
    source = reshape.inputs[0]
    channels = source.signature[-1]
    pixels = math.prod(source.signature[-axes:-1])
    if pixels * words_of(channels) > 2 * words_of(pixels * channels):
        return (
            f"its input is flattened from pixels of {channels} channels, which would fill less than "
            "half of their words of 32"
        )
    quantize.inputs[0] = source
    quantize.options["channels"] = channels
    quantize.outputs[0].signature = output_shape(quantize)
    for op in readers:
        op.options.update(channels=channels, pixels=pixels, input_axes=axes)
    return None


def quantize_before_reshape(graph: Graph, quantize: Op, reshape: Op) -> bool:
    """Reshapes codes in place of numbers, where the channels stay as they are. Returns whether they do.

    Bytes that are all quantized alike are reshaped as numbers are.
    """
    before, after = reshape.inputs[0], reshape.outputs[0]
    codes = quantize.outputs[0]
    bytes_alike = not packs(quantize) and same_for_all_channels(quantize)
    if before.signature[-1:] < (1,) or after.signature.count(-1) > 1:
        return False
    if before.signature[-1:] != after.signature[-1:] and not bytes_alike:
        return False
    quantize.inputs[0] = before
    quantize.options["channels"] = before.signature[-1]
    quantized = Tensor(f"{codes.name}/before_reshape", codes.type, before.signature)
    quantize.outputs = [quantized]
    quantized.signature = output_shape(quantize)
    codes.signature = (*after.signature[:-1], quantized.signature[-1]) if packs(quantize) else after.signature
    graph.ops.insert(graph.ops.index(quantize) + 1, reshape_op(quantized, codes))
    return True


def move_quantize_above_reshape(graph: Graph) -> None:
    """RESHAPE → SteQuantize → SteFullyConnected becomes SteQuantize → SteFullyConnected(pixels).

    A RESHAPE, EXPAND_DIMS or SQUEEZE that leaves the channels as they are, or whose numbers are all quantized to bytes
    alike, changes places with the SteQuantize.
    """
    for quantize in graph.select("SteQuantize"):
        if quantize.inputs[0].type == TensorType.INT32:  # codes, no numbers
            continue
        reshape = graph.producer(quantize.inputs[0])
        while reshape is not None and reshape.name in RESHAPES and not holds_codes(graph, reshape.inputs[0]):
            reason = _move(graph, quantize, reshape)
            if reason is not None and not quantize_before_reshape(graph, quantize, reshape):
                quantize.note = reason
                break
            reshape = graph.producer(quantize.inputs[0])
