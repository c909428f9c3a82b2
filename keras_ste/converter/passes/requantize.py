"""Leaves out what turns codes into numbers, where these become codes again."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_ste.codes import Codes, codes_of
from keras_ste.converter.graph import Graph, Op, TensorType, constant_tensor
from keras_ste.converter.passes.drop_dead_ops import drop_dead_ops
from keras_ste.converter.passes.quantizing import codes_put_out, packs, quantized


def requantize(graph: Graph) -> None:
    """SteDequantize → SteQuantize becomes nothing where all codes stay, else a SteQuantize of codes."""
    for quantize in graph.select("SteQuantize"):
        restore = graph.producer(quantize.inputs[0])
        if restore is None or restore.name != "SteDequantize" or not packs(quantize):
            continue
        numbers = code_values(restore)
        if numbers is None:
            continue
        codes, (worths, values) = codes_of(restore.options, "input"), numbers
        found = quantized(quantize, np.broadcast_to(values, (len(worths), quantize.options["channels"])))
        plain = Codes(codes.bits, codes.encoding)
        if restore.inputs[0].type == TensorType.INT32 and plain == codes_put_out(quantize):
            if (found == (worths + codes.zero_point)[:, np.newaxis]).all():
                graph.replace(quantize.outputs[0], restore.inputs[0])
                graph.remove(quantize)
                continue
        _read_codes(quantize, restore, worths, found)


def requantize_bytes(graph: Graph) -> None:
    """SteDequantize → SteQuantize that rounds to bytes becomes a SteQuantize of codes.

    That is, where there is one factor that gives every code its byte.
    """
    for quantize in graph.select("SteQuantize"):
        restore = graph.producer(quantize.inputs[0])
        rounds = not packs(quantize) and quantize.input(1) is not None and quantize.input(2) is None
        if restore is None or restore.name != "SteDequantize" or not rounds or code_values(restore) is None:
            continue
        worths, values = code_values(restore)
        factor = _factor(quantize, worths, values)
        if factor is not None:
            multiplier = constant_tensor(f"{quantize.outputs[0].name}/factor", factor)
            read = {key: value for key, value in restore.options.items() if key.startswith("input_")}
            quantize.inputs = [restore.inputs[0], multiplier]
            quantize.options |= read
    drop_dead_ops(graph)


def _factor(quantize: Op, worths: np.ndarray, values: np.ndarray) -> np.ndarray | None:
    """What codes are multiplied by to round to what their values do: two factors in one, or a float next to it."""
    wanted = quantized(quantize, values)
    scale = np.float32(1) if worths[-1] == 0 else values[-1] / np.float32(worths[-1])
    product = (scale * quantize.inputs[1].data).astype(np.float32)
    for factor in (product, np.nextafter(product, np.float32(np.inf)), np.nextafter(product, np.float32(0))):
        inputs = [quantize.inputs[0], constant_tensor("factor", factor), None, None]
        found = quantized(dataclasses.replace(quantize, inputs=inputs), worths[:, np.newaxis].astype(np.float32))
        if (found == wanted).all():
            return factor
    return None


def code_values(restore: Op) -> tuple[np.ndarray, np.ndarray] | None:
    """`(worths, values)`: what codes are worth, rising, and the float32 that each becomes, `[codes, channels or 1]`.

    None where they do not rise with the codes, or the op has a table or a bias.
    """
    if restore.input(1) is not None or restore.input(3) is not None:
        return None
    codes = codes_of(restore.options, "input")
    if restore.inputs[0].type != TensorType.INT32:
        codes = Codes(8, "signed" if restore.inputs[0].type == TensorType.INT8 else "unsigned", codes.zero_point)
    worths = codes.worths[codes.encoding == "ternary" :]
    multiplier = np.ones(1, np.float32) if restore.input(2) is None else restore.inputs[2].data
    if not (multiplier > 0).all() or not np.isfinite(multiplier).all():
        return None
    return worths, worths[:, np.newaxis].astype(np.float32) * multiplier


def _read_codes(quantize: Op, restore: Op, worths: np.ndarray, found: np.ndarray) -> None:
    """Lets a SteQuantize compare codes: its thresholds are of what they are worth."""
    put_out = codes_put_out(quantize)
    levels = put_out.worths[1:, np.newaxis]
    reached = (found >= level for level in levels)  # for each code and channel
    thresholds = [np.where(row.any(0), worths[row.argmax(0)], np.nan) for row in reached]
    thresholds = np.where(found[0] >= levels, -np.inf, np.array(thresholds)).astype(np.float32)
    if (thresholds.view(np.int32) == thresholds[:, :1].copy().view(np.int32)).all():
        thresholds = thresholds[:, :1]
    name = f"{quantize.outputs[0].name}/thresholds"
    constant = constant_tensor(name, thresholds[0] if put_out.bits == 1 else thresholds)
    quantize.inputs = [restore.inputs[0], None, None, constant]
    read = {key: value for key, value in restore.options.items() if key.startswith("input_")}
    quantize.options = {
        "version": 2,
        "channels": quantize.options["channels"],
        **read,
        "output": "packed",
        **put_out.options("output"),
    }
