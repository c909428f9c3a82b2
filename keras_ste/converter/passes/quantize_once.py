"""Quantizes numbers that several quantizers read once, finely enough for all of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_ste.codes import Codes
from keras_ste.converter.chain import NotFusable, Step, elementwise_steps, find_thresholds
from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, Tensor, TensorType, constant_tensor, ste_op
from keras_ste.converter.passes.drop_dead_ops import drop_dead_ops
from keras_ste.converter.passes.fuse_thresholds import levels_of
from keras_ste.converter.passes.quantizing import MOST_THRESHOLDS, codes_put_out, packs, thresholds_behind
from keras_ste.converter.shapes import output_shape


@dataclasses.dataclass
class _Reader:
    """A SteQuantize, the numbers at which its codes change, and the channels in which it falls."""

    quantize: Op
    thresholds: np.ndarray  # float32 [codes - 1, channels]: of the numbers, or of their negatives where it falls
    falls: np.ndarray

    @property
    def borders(self) -> np.ndarray:
        """The least numbers with the code behind each threshold, or where it falls with the code before."""
        with np.errstate(over="ignore"):  # behind the largest number is infinity
            beyond = np.nextafter(-self.thresholds, np.float32(np.inf))
        return np.where(self.falls, beyond, self.thresholds)


def quantize_once(graph: Graph) -> None:
    """Numbers → scales, shifts, clamps → SteQuantize, several times, becomes a SteQuantize, and for each one of codes.

    The codes number all intervals between the thresholds of all quantizers. Nothing else may read the numbers, and a
    layer has to make them, which can put out the codes in their place.
    """
    for tensor in [tensor for op in graph.ops for tensor in op.outputs]:
        several = len(graph.consumers(tensor)) > 1 and thresholds_behind(graph, tensor) is not None
        if several and _is_of_layer(graph, tensor):
            try:
                _share(graph, tensor, _readers(graph, tensor, []))
            except NotFusable:  # a chain overflows, or bytes or joined channels are behind it
                continue
    drop_dead_ops(graph)


def _is_of_layer(graph: Graph, tensor: Tensor) -> bool:
    """Whether a layer makes the tensor, by its tail at last, and nobody reads what is between."""
    op = graph.producer(tensor)
    if op.name in MATMUL_OPS:
        return op.options["output"] == "float32"
    if op.name == "ADD" and len(op.inputs) == 2:
        sources = [t for t in op.inputs if not t.constant]
    else:
        try:
            sources = [elementwise_steps(op)[0]]
        except NotFusable:
            return False
    alone = [t for t in sources if graph.only_reader(t) is op and graph.producer(t) is not None]
    return any(_is_of_layer(graph, t) for t in alone)


def _readers(graph: Graph, tensor: Tensor, steps: list[Step]) -> list[_Reader]:
    """All quantizers that read the numbers, behind these steps."""
    found = []
    for op in graph.consumers(tensor):
        if op.name == "SteQuantize":
            if not packs(op):
                raise NotFusable("it gives bytes")
            levels = levels_of(op, codes_put_out(op))
            levels = levels.reshape(-1, levels.shape[-1])  # of one bit they have no axis for the codes
            found.append(_Reader(op, *find_thresholds(steps, tensor.signature[-1], None, levels)))
        else:
            found += _readers(graph, op.outputs[0], steps + elementwise_steps(op)[1])
    return found


def _share(graph: Graph, tensor: Tensor, readers: list[_Reader]) -> None:
    borders = np.concatenate([reader.borders for reader in readers])
    columns = [np.unique(column[np.isfinite(column)]) for column in borders.T]
    codes = Codes(max(1, int(max(map(len, columns))).bit_length()), "unsigned")
    if 2**codes.bits - 1 > MOST_THRESHOLDS:
        return
    thresholds = np.full((2**codes.bits - 1, len(columns)), np.nan, np.float32)
    for channel, column in enumerate(columns):
        thresholds[: len(column), channel] = column
    name = f"{tensor.name}/once"
    options = {"version": 2, "channels": len(columns), "output": "packed", **codes.options("output")}
    shared = Tensor(f"{name}/codes", TensorType.INT32, ())
    constant = constant_tensor(f"{name}/thresholds", thresholds[0] if codes.bits == 1 else thresholds)
    once = ste_op("SteQuantize", [tensor, None, None, constant], [shared], options)
    shared.signature = output_shape(once)
    graph.ops.insert(graph.ops.index(graph.producer(tensor)) + 1, once)
    for reader in readers:
        _read_codes(reader, shared, codes, thresholds)


def _read_codes(reader: _Reader, shared: Tensor, codes: Codes, thresholds: np.ndarray) -> None:
    """Lets a SteQuantize compare codes."""
    # The code of a border is the number of thresholds up to it.
    border = (thresholds[np.newaxis] <= reader.borders[:, np.newaxis]).sum(1).astype(np.float32)
    own = np.where(reader.falls, 1 - border, border)
    at_end = np.where(np.isnan(reader.thresholds), np.nan, -np.inf)  # never, or always
    own = np.where(np.isfinite(reader.borders), own, at_end).astype(np.float32)
    op, put_out = reader.quantize, codes_put_out(reader.quantize)
    constant = constant_tensor(f"{op.outputs[0].name}/thresholds", own[0] if put_out.bits == 1 else own)
    options = {"version": 2, "channels": thresholds.shape[1], "output": "packed", **put_out.options("output")}
    op.note = None
    if not reader.falls.any():
        op.inputs = [shared, None, None, constant]
        op.options = options | codes.options("input")
        return
    # Their negatives where it falls: a SteQuantize has no factor before thresholds.
    op.custom_name = "SteAdd"
    sign = constant_tensor(f"{op.outputs[0].name}/sign", np.where(reader.falls, np.float32(-1), np.float32(1)))
    nothing = constant_tensor(f"{op.outputs[0].name}/nothing", np.zeros(1, np.float32))
    op.inputs = [shared, shared, sign, nothing, None, None, constant]
    op.options = options | codes.options("a") | codes.options("b")
