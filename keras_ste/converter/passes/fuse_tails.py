"""Lets a layer do the steps behind it that are no scale and no threshold of its sums: its tail (docs/ops.md).

These are the shortcuts of residual networks, and what is computed between them and the next quantizer; and quantizers
whose floats are read by others too, or of so many codes that each would need too many thresholds.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_ste.codes import codes_of
from keras_ste.converter.chain import NotFusable, Step, activation_steps, elementwise_steps
from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, Tensor, TensorType, constant_tensor
from keras_ste.converter.passes.drop_dead_ops import drop_dead_ops

_MOST_STEPS = 12
_INPUTS = 8  # of a product with a tail
_TAIL, _RESIDUAL_INPUT, _RESIDUAL_SCALE = 5, 6, 7

_Steps = list[tuple[str, np.ndarray | None]]
_RESIDUAL, _STORE = ("residual", None), ("store", None)


@dataclasses.dataclass(frozen=True)
class _Residual:
    """What a step `residual` adds: numbers, or codes and their scale, and the options that describe them."""

    tensor: Tensor
    scale: Tensor | None = None
    options: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class _Tail:
    """The steps so far, each with its constants or None, and the tensor that they have made."""

    tensor: Tensor
    channels: int
    steps: _Steps = dataclasses.field(default_factory=list)
    residual: _Residual | None = None

    def has_room(self, more: _Steps) -> bool:
        return len(self.steps) + len(more) <= _MOST_STEPS


def _tail_steps(step: Step, channels: int) -> _Steps:
    """A step of a chain as steps of a tail that round alike."""
    constant = np.broadcast_to(step.constant, channels).astype(np.float32)
    if step.function == "subtract":
        return [("add", -constant)]
    if step.function == "subtract_from":
        return [("multiply", np.full(channels, -1, np.float32)), ("add", constant)]
    if step.function == "divide":
        raise NotFusable("a division is no step of a tail")
    return [(step.function, constant)]


def _own_steps(op: Op, tail: _Tail) -> _Steps:
    """What an op does to the tail's tensor, which it reads."""
    others = [tensor for tensor in op.inputs if tensor is not tail.tensor]
    adds = op.name == "ADD" and len(op.inputs) == 2 and len(others) == 1 and not others[0].constant
    if not adds:
        tensor, steps = elementwise_steps(op)
        if tensor is not tail.tensor:
            raise NotFusable(f"{op.name} reads the layer's output as a constant")
        return [each for step in steps for each in _tail_steps(step, tail.channels)]
    tensors = (tail.tensor, others[0], op.outputs[0])
    if any(t.type != TensorType.FLOAT32 or t.signature != tail.tensor.signature for t in tensors):
        raise NotFusable("ADD spreads one of its inputs to the shape of the other")
    if tail.residual is not None:
        raise NotFusable("a tail adds one residual only")
    clamp = [each for step in activation_steps(op, op.activation) for each in _tail_steps(step, tail.channels)]
    return [_RESIDUAL, *clamp]


def _residual_of(graph: Graph, tensor: Tensor) -> _Residual:
    """The numbers that are added, or the codes that a SteDequantize makes them of: the op of the tail does the same."""
    restore = graph.producer(tensor)
    if restore is None or restore.name != "SteDequantize":
        return _Residual(tensor)
    if restore.input(1) is not None or restore.input(3) is not None:  # a table, a bias
        return _Residual(tensor)
    codes = codes_of(restore.options, "input")
    options = {"residual_zero_point": codes.zero_point} if codes.zero_point else {}
    if restore.inputs[0].type == TensorType.INT32:
        options |= codes.options("residual")
    return _Residual(restore.inputs[0], restore.input(2), options)


def _take(graph: Graph, tail: _Tail) -> Op | None:
    """The only op that reads the tail's tensor, its steps taken into the tail; None where it is none of these."""
    reader = graph.only_reader(tail.tensor)
    if reader is None:
        return None
    try:
        steps = _own_steps(reader, tail)
    except NotFusable:
        return None
    if not tail.has_room(steps):
        return None
    if steps[:1] == [_RESIDUAL]:
        tail.residual = _residual_of(graph, next(tensor for tensor in reader.inputs if tensor is not tail.tensor))
    tail.steps += steps
    tail.tensor = reader.outputs[0]
    return reader


def _path_to_quantizer(graph: Graph, tail: _Tail, reader: Op) -> tuple[list[Op], _Steps] | None:
    """The ops from the tail's tensor to a SteQuantize that is the last of them, and their steps."""
    tensor, ops, steps = tail.tensor, [], []
    while reader.name != "SteQuantize":
        try:
            source, own = elementwise_steps(reader)
            steps += [each for step in own for each in _tail_steps(step, tail.channels)]
        except NotFusable:
            return None
        following = graph.only_reader(reader.outputs[0])
        if source is not tensor or following is None:
            return None
        ops.append(reader)
        tensor, reader = reader.outputs[0], following
    return [*ops, reader], steps


def _rounding_steps(quantize: Op, channels: int) -> _Steps:
    """What a SteQuantize without thresholds does before it rounds."""
    steps = [("multiply", quantize.input(1)), ("add", quantize.input(2))]
    return [(name, np.broadcast_to(t.data, channels)) for name, t in steps if t is not None]


def _thresholds(quantize: Op, channels: int) -> np.ndarray | None:
    """Of each channel; None where it rounds."""
    if quantize.options["version"] == 1:
        return np.zeros(channels, np.float32)
    thresholds = quantize.input(3)
    if thresholds is None:
        return None
    return np.broadcast_to(thresholds.data, (*thresholds.data.shape[:-1], channels))


def _take_quantizer(graph: Graph, tail: _Tail) -> tuple[list[Op], Op] | None:
    """The steps to a quantizer of the tail's tensor, taken into the tail; the ops that do them, and the quantizer."""
    readers = graph.consumers(tail.tensor)
    for reader in readers:
        path = _path_to_quantizer(graph, tail, reader)
        if path is None:
            continue
        ops, steps = path
        quantize = ops[-1]
        if _thresholds(quantize, tail.channels) is None:
            steps = [*steps, *_rounding_steps(quantize, tail.channels)]
        if len(readers) > 1 or tail.tensor in graph.outputs:
            steps = [_STORE, *steps]
        if not tail.steps and not steps:  # only what has a tail is quantized by floats
            steps = [("add", np.full(tail.channels, -0.0, np.float32))]
        if tail.has_room(steps):
            tail.steps += steps
            return ops, quantize
    return None


def _write(op: Op, tail: _Tail, quantize: Op | None) -> None:
    name = tail.tensor.name
    rows = [constants for _, constants in tail.steps if constants is not None]
    op.inputs += [None] * (_INPUTS - len(op.inputs))
    op.inputs[_TAIL] = constant_tensor(f"{name}/tail", np.stack(rows)) if rows else None
    if tail.residual is not None:
        op.inputs[_RESIDUAL_INPUT : _RESIDUAL_SCALE + 1] = tail.residual.tensor, tail.residual.scale
        op.options |= tail.residual.options
    op.options |= {"version": 3, "tail": " ".join(step for step, _ in tail.steps)}
    op.outputs = [tail.tensor]
    if quantize is not None:
        thresholds = _thresholds(quantize, tail.channels)
        if thresholds is not None:
            op.inputs[4] = constant_tensor(f"{quantize.outputs[0].name}/thresholds", thresholds)
        op.options |= {key: value for key, value in quantize.options.items() if key.startswith("output")}
        if quantize.options["version"] == 1:
            op.options["output"] = "packed"
        stored = any(step == "store" for step, _ in tail.steps)
        op.outputs = [quantize.outputs[0], tail.tensor] if stored else [quantize.outputs[0]]
    while op.inputs[-1] is None:
        op.inputs.pop()


def _fuse(graph: Graph, op: Op) -> None:
    tail = _Tail(op.outputs[0], op.inputs[1].shape[0])
    while (reader := _take(graph, tail)) is not None:
        graph.remove(op)  # the layer runs when all that it reads is there
        graph.ops[graph.ops.index(reader)] = op
    taken = _take_quantizer(graph, tail)
    if not tail.steps:
        return
    ops, quantize = taken or ([], None)
    graph.remove(*ops)
    _write(op, tail, quantize)


def fuse_tails(graph: Graph) -> None:
    """SteConv2D → ADD(shortcut) → PRELU, ... → SteQuantize becomes a SteConv2D with a tail, whose outputs are those
    of its tensors that others read. A shortcut of codes is read as codes.
    """
    for op in graph.select(*MATMUL_OPS):
        if op.options["output"] == "float32":
            _fuse(graph, op)
    drop_dead_ops(graph)  # what made numbers of a shortcut's codes


def fuse_roundings(graph: Graph) -> None:
    """SteConv2D → scales, shifts, clamps → SteQuantize becomes a SteConv2D that rounds, where nobody else reads floats."""
    for op in graph.select(*MATMUL_OPS):
        if op.options["output"] != "float32" or graph.only_reader(op.outputs[0]) is None:
            continue
        tail = _Tail(op.outputs[0], op.inputs[1].shape[0])
        taken = _take_quantizer(graph, tail)
        if taken is not None:
            ops, quantize = taken
            graph.remove(*ops)
            _write(op, tail, quantize)
