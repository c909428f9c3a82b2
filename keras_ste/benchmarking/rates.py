"""What an op should take: its multiply-adds, or its bytes, at rates measured on this machine.

The rates are those of reference ops, timed when they are first needed: of a product a layer of the same kind and widths
(convolutions of 3x3 on 14x14 pixels of 128 channels, dense layers of 1024 by 1024), of all other ops TFLite's ADD of a
million floats. What every op takes besides is what ADD takes for one float.
"""

from __future__ import annotations

import math

import numpy as np

from keras_ste.benchmarking.models import addition, alone, builtin_twin
from keras_ste.benchmarking.running import invoker
from keras_ste.benchmarking.stopwatch import median_seconds
from keras_ste.codes import Codes, codes_of
from keras_ste.converter.graph import (
    MATMUL_OPS,
    Graph,
    Op,
    Tensor,
    TensorType,
    constant_tensor,
    ste_op,
)
from keras_ste.converter.packing import words_of
from keras_ste.converter.passes.exact_shapes import exact_shapes
from keras_ste.converter.passes.pack_weights import pack_weights
from keras_ste.converter.rows import Row
from keras_ste.converter.shapes import macs

PIXELS, CHANNELS, KERNEL, UNITS = 14, 128, 3, 1024
MOST_ROWS = 32
ELEMENTS = 1 << 20
ROUNDS = 5
_BUILTIN = {"CONV_2D": "SteConv2D", "DEPTHWISE_CONV_2D": "SteDepthwiseConv2D", "FULLY_CONNECTED": "SteFullyConnected"}
_OF_TYPE = {TensorType.INT8: True, TensorType.FLOAT32: False}


class Rates:
    """Measures rates when they are asked for, each once.

    Args:
      num_threads: number of threads.
    """

    def __init__(self, num_threads: int = 1):
        self._num_threads = num_threads
        self._seconds_per_mac: dict[tuple, float] = {}
        self._overhead, vector = (self._time(addition(elements)) for elements in (1, ELEMENTS))
        self._seconds_per_byte = max(vector - self._overhead, 0) / (3 * 4 * ELEMENTS)

    def predict(self, op: Op, row: Row) -> float | None:
        """Seconds that an op should take; None where there is no reference for it.

        Args:
          op: the op, packed.
          row: its row.
        """
        if not row.macs:
            return self._overhead + row.moved_bytes * self._seconds_per_byte
        key = _key(op)
        if key is None:
            return None
        if key not in self._seconds_per_mac:
            reference = _reference(op)
            content = (
                alone(reference) if op.name in MATMUL_OPS else builtin_twin(reference, _OF_TYPE[op.inputs[0].type])
            )
            seconds = max(self._time(content) - self._overhead, 0)
            self._seconds_per_mac[key] = seconds / macs(reference)
        return self._overhead + row.macs * self._seconds_per_mac[key]

    def _time(self, content: bytes) -> float:
        return median_seconds([invoker(content, self._num_threads)], ROUNDS, seconds_per_round=0.005)[0]


def _kind(op: Op) -> str:
    """The op of this package that is of the same kind."""
    return _BUILTIN.get(op.name, op.name)


def _rows(op: Op) -> int:
    return min(MOST_ROWS, math.prod(op.outputs[0].shape[:-1]))


def _key(op: Op) -> tuple | None:
    """What ops of one rate have in common."""
    if op.name in MATMUL_OPS:
        kind = (
            codes_of(op.options, "weight"),
            op.inputs[0].type,
            codes_of(op.options, "input"),
            op.options.get("row_bits"),
        )
    elif op.name in _BUILTIN and op.inputs[0].type in _OF_TYPE:
        kind = (op.inputs[0].type,)
    else:
        return None
    return (op.name, *kind, _rows(op) if _kind(op) == "SteFullyConnected" else 1)


def _reference(op: Op) -> Op:
    """An op of this package of the same kind and widths, and of the reference's size."""
    name = _kind(op)
    taken = ("input_zero_point", "row_bits", "row_epsilon")
    coded = [f"{side}_{what}" for side in ("weight", "input") for what in ("bits", "encoding")]
    options = {key: op.options[key] for key in (*taken, *coded) if key in op.options}
    options |= {"version": min(op.options.get("version", 1), 2), "output": "float32"}
    if name == "SteFullyConnected":
        channels, weights, places = UNITS, (UNITS, UNITS), (_rows(op),)
        options |= {"units": UNITS, "channels": UNITS, "pixels": 1, "input_axes": 1}
    else:
        channels, places = CHANNELS, (1, PIXELS, PIXELS)
        weights = (CHANNELS, KERNEL, KERNEL, CHANNELS)
        options |= {"channels": CHANNELS, "padding": "same"}
        options |= {f"{what}_{axis}": size for what, size in (("kernel", KERNEL), ("stride", 1)) for axis in "hw"}
        if name == "SteDepthwiseConv2D":
            weights = weights[:3]
            options |= {"depth_multiplier": 1}
        else:
            options |= {"filters": CHANNELS}
        if name != "SteTransposeConv2D":
            options |= {"dilation_h": 1, "dilation_w": 1, "pad_value": 0}
        if name == "SteConv2D":
            options |= {"groups": 1}
    kind = op.inputs[0].type
    words = codes_of(options, "input").bits * words_of(channels) if kind == TensorType.INT32 else channels
    reference = ste_op(
        name,
        [
            Tensor("x", kind, (*places, words)),
            constant_tensor("weights", _weights(weights, codes_of(options, "weight"))),
        ],
        [Tensor("y", TensorType.FLOAT32, (*places, channels))],
        options,
    )
    graph = Graph([reference.inputs[0]], reference.outputs, [reference])
    exact_shapes(graph)
    pack_weights(graph)
    return reference


def _weights(shape: tuple[int, ...], codes: Codes) -> np.ndarray:
    worths = codes.worths[codes.encoding == "ternary" :]
    return np.random.default_rng(0).choice(worths, shape).astype(np.int16)
