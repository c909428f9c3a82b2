"""Pads codes, not numbers."""

from __future__ import annotations

import numpy as np

from keras_ste.converter.graph import Graph, Op, Tensor, TensorType, reshape_op, ste_op
from keras_ste.converter.passes.quantizing import all_quantize, codes_put_out, quantize_elsewhere, quantized
from keras_ste.converter.shapes import output_shape


def pad_codes(graph: Graph) -> None:
    """PAD → SteQuantize becomes SteQuantize → StePad, around an image or a sequence."""
    for quantize in graph.select("SteQuantize"):
        pad = graph.producer(quantize.inputs[0])
        if pad is not None and pad.name in ("PAD", "PADV2") and all_quantize(graph, pad.outputs[0]):
            _move(graph, quantize, pad)


def _move(graph: Graph, quantize: Op, pad: Op) -> None:
    around = _around(pad)
    if around is None:
        return
    value = np.float32(0) if pad.input(2) is None else pad.inputs[2].data.reshape(-1)[0]
    worths = np.unique(quantized(quantize, np.full(quantize.options["channels"], value, np.float32)))
    if len(worths) != 1:
        quantize.note = "its input is padded with a number that has another code in each channel"
        return
    codes = quantize_elsewhere(graph, quantize, pad.inputs[0])
    image = codes if len(codes.signature) == 4 else _with_height(graph, quantize, codes)
    (top, bottom), (left, right) = around
    options = {
        "version": 2,
        **codes_put_out(quantize).options("input"),
        "channels": quantize.options["channels"],
        "pad_top": top,
        "pad_bottom": bottom,
        "pad_left": left,
        "pad_right": right,
        "pad_value": int(worths[0]),
    }
    padded = Tensor(f"{pad.outputs[0].name}/{codes.name}", TensorType.INT32, ())
    op = ste_op("StePad", [image], [padded], options)
    padded.signature = output_shape(op)
    graph.insert_before(quantize, op)
    if image is not codes:
        n, _, w, words = padded.signature
        flat = Tensor(f"{padded.name}/sequence", TensorType.INT32, (n, w, words))
        graph.insert_before(quantize, reshape_op(padded, flat))
        padded = flat
    graph.replace(quantize.outputs[0], padded)
    graph.remove(quantize)
    if not graph.consumers(pad.outputs[0]):
        graph.remove(pad)


def _around(pad: Op) -> tuple | None:
    """Places before and behind along height and width, where it pads only these."""
    if not pad.inputs[1].constant or (pad.input(2) is not None and not pad.inputs[2].constant):
        return None
    pairs = [tuple(int(n) for n in pair) for pair in pad.inputs[1].data]
    if len(pairs) == 3 and pad.inputs[0].signature.count(-1) <= 1:
        pairs.insert(1, (0, 0))
    if len(pairs) != 4 or pairs[0] != (0, 0) or pairs[3] != (0, 0):
        return None
    return pairs[1], pairs[2]


def _with_height(graph: Graph, quantize: Op, codes: Tensor) -> Tensor:
    n, w, words = codes.signature
    image = Tensor(f"{codes.name}/image", TensorType.INT32, (n, 1, w, words))
    graph.insert_before(quantize, reshape_op(codes, image))
    return image
