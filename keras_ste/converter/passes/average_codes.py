"""Takes averages of codes, not of numbers; and those of numbers as Keras does, where a quantizer reads them."""

from __future__ import annotations

import numpy as np

from keras_ste.codes import codes_of
from keras_ste.converter.chain import NotFusable, activation_steps
from keras_ste.converter.graph import Graph, Op, Tensor, TensorType, constant_tensor, reshape_op, ste_op
from keras_ste.converter.passes.multiply_codes import exact_scale
from keras_ste.converter.passes.requantize import code_values
from keras_ste.converter.shapes import output_shape

_PADDINGS = ("same", "valid")  # in the order of the schema's enumeration
_MOST_SUM = 2**24


def average_codes(graph: Graph) -> None:
    """SteDequantize → AVERAGE_POOL_2D, or MEAN over height and width, becomes SteAveragePool2D.

    Where numbers are multiples of one power of two their float32 sums are exact, and the average of codes is the
    same. Others are rounded sum by sum: there an average of codes, which is rounded once, is as good a float, but no
    codes may depend on it; a SteDequantize says so in its note. An AVERAGE_POOL_2D of floats on which codes depend
    becomes a SteAveragePool2D of floats: TFLite adds up in another order than TensorFlow.
    """
    for op in graph.select("AVERAGE_POOL_2D", "MEAN"):
        restore, window = graph.producer(op.inputs[0]), _window(op)
        codes = restore is not None and restore.name == "SteDequantize" and code_values(restore) is not None
        quantized = _is_quantized(graph, op.outputs[0])
        rounded = codes and exact_scale(restore) is None
        if codes and window is not None and _sums_are_exact(restore, window) and not (rounded and quantized):
            scale = np.ones(1, np.float32) if restore.input(2) is None else restore.inputs[2].data
            _average(graph, op, *_codes_of(restore), scale, window)
            continue
        if rounded and quantized:
            restore.note = "its scale is no power of two, so that averages of codes would be rounded otherwise"
        if op.name == "AVERAGE_POOL_2D" and window is not None and quantized:
            _average(graph, op, op.inputs[0], {}, np.ones(1, np.float32), window)


def _is_quantized(graph: Graph, tensor: Tensor) -> bool:
    """Whether codes depend on a tensor: a last bit that differs may be another code."""
    seen, waiting = set(), [tensor]
    while waiting:
        for op in graph.consumers(waiting.pop()):
            if op.name == "SteQuantize" or "row_bits" in op.options:
                return True
            waiting += [each for each in op.outputs if id(each) not in seen]
            seen |= {id(each) for each in op.outputs}
    return False


def _window(op: Op) -> dict | None:
    """The options that say what is averaged, where an op is known to do it."""
    source = op.inputs[0].signature
    if len(source) != 4 or source[3] < 1:
        return None
    if op.name == "AVERAGE_POOL_2D":
        try:
            if activation_steps(op, op.activation):
                return None
        except NotFusable:
            return None
        pool = op.raw.builtinOptions
        return {
            "pool_h": pool.filterHeight,
            "pool_w": pool.filterWidth,
            "stride_h": pool.strideH,
            "stride_w": pool.strideW,
            "padding": _PADDINGS[pool.padding],
        }
    if not op.inputs[1].constant or sorted(int(a) % 4 for a in op.inputs[1].data.reshape(-1)) != [1, 2]:
        return None
    if -1 in source[1:3]:
        return None
    return {"pool_h": source[1], "pool_w": source[2], "stride_h": 1, "stride_w": 1, "padding": "valid"}


def _sums_are_exact(restore: Op, window: dict) -> bool:
    worths, _ = code_values(restore)
    return int(np.abs(worths).max()) * window["pool_h"] * window["pool_w"] < _MOST_SUM


def _codes_of(restore: Op) -> tuple[Tensor, dict]:
    """What a SteDequantize reads, and the options that say what it is."""
    options = {"input_zero_point": restore.options.get("input_zero_point", 0)}
    if restore.inputs[0].type == TensorType.INT32:
        options |= codes_of(restore.options, "input").options("input")
    return restore.inputs[0], options


def _average(graph: Graph, op: Op, source: Tensor, input_options: dict, scale: np.ndarray, window: dict) -> None:
    channels = op.outputs[0].signature[-1]
    options = {"version": 2, "channels": channels, **input_options, **window, "output": "float32"}
    result = op.outputs[0]
    # Without the image's axes, an average is reshaped.
    whole = len(result.signature) == 4
    average = result if whole else Tensor(f"{result.name}/average", TensorType.FLOAT32, ())
    multiplier = None if (scale == 1).all() else constant_tensor(f"{result.name}/multiplier", scale)
    pool = ste_op("SteAveragePool2D", [source, multiplier], [average], options)
    average.signature = output_shape(pool)
    graph.insert_before(op, pool)
    if not whole:
        graph.insert_before(op, reshape_op(average, result))
    graph.remove(op)
