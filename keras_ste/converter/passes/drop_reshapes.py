"""Takes the reshapes out of the way by which layers make images of sequences and volumes, and these of images again."""

from __future__ import annotations

import dataclasses

from keras_ste.converter.chain import NotFusable, elementwise_steps
from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, Tensor, reshape_op

RESHAPES = ("EXPAND_DIMS", "RESHAPE", "SQUEEZE")


def drop_reshapes(graph: Graph) -> None:
    """SQUEEZE → scales, shifts, clamps → EXPAND_DIMS becomes scales, shifts, clamps; likewise RESHAPE.

    Only what leaves the channels as they are is moved. Of two RESHAPEs one behind the other the second is enough, and
    ADD of two that reshape alike becomes a RESHAPE of the sum.
    """
    while any(_drop(graph, op) or _skip(graph, op) or _sink(graph, op) for op in graph.select(*RESHAPES)) or any(
        _sink_both(graph, op) for op in graph.select("ADD")
    ):
        pass


def _drop(graph: Graph, op: Op) -> bool:
    """Lets the readers read what an op before this one has reshaped, where it comes to the same."""
    source, result = op.inputs[0], op.outputs[0]
    before = graph.producer(source)
    if source.signature == result.signature:
        original = source
    elif before is not None and before.name in RESHAPES and before.inputs[0].signature == result.signature:
        original = before.inputs[0]
    else:
        return False
    if result in graph.outputs or result.signature.count(-1) > 1:
        return False
    graph.replace(result, original)
    graph.remove(op)
    if before is not None and not graph.consumers(source) and source not in graph.outputs:
        if before.name in RESHAPES:
            graph.remove(before)
    return True


def _skip(graph: Graph, op: Op) -> bool:
    """Lets a RESHAPE read what the one before it reads."""
    before = graph.producer(op.inputs[0])
    if before is None or before.name not in RESHAPES or op.name != "RESHAPE" or op.outputs[0].signature.count(-1) > 1:
        return False
    if graph.only_reader(before.outputs[0]) is not op:
        return False
    graph.ops[graph.ops.index(op)] = reshape_op(before.inputs[0], op.outputs[0])
    graph.remove(before)
    return True


def _sink(graph: Graph, op: Op) -> bool:
    """Moves the reshape behind its only reader, where that treats each number or channel alike, wherever it is.

    Behind that has to stand what changes places with the reshape, or before it a layer that can do what the reader does.
    """
    source, result = op.inputs[0], op.outputs[0]
    reader = graph.only_reader(result)
    if reader is None or not _same_channels(source, result):
        return False
    try:
        data, steps = elementwise_steps(reader)
    except NotFusable:
        return False
    maker = graph.producer(source)
    of_layer = maker is not None and maker.name in MATMUL_OPS and graph.only_reader(source) is op
    if data is not result or not (of_layer or _reaches_reshape(graph, reader)):
        return False
    for index, tensor in enumerate(reader.inputs):
        if tensor is not result and tensor.data.size > 1:
            constant = Tensor(tensor.name, tensor.type, (tensor.data.size,), tensor.data.reshape(-1))
            reader.inputs[index] = constant
    moved = Tensor(f"{reader.outputs[0].name}/moved", result.type, source.signature)
    reader.inputs = [source if tensor is result else tensor for tensor in reader.inputs]
    op.inputs[0], op.outputs, reader.outputs = moved, reader.outputs, [moved]
    graph.remove(op)
    graph.ops.insert(graph.ops.index(reader) + 1, op)
    return True


def _sink_both(graph: Graph, add: Op) -> bool:
    """Moves two reshapes behind the op that adds what they reshape; of codes' numbers the codes can be reshaped."""
    makers, (result,) = [graph.producer(tensor) for tensor in add.inputs], add.outputs
    if any(op is None or op.outputs[0].signature != result.signature for op in makers):
        return False
    reshapes = [op for op in makers if op.name in RESHAPES]
    if not reshapes or not _same_channels(reshapes[0].inputs[0], result) or result.signature.count(-1) > 1:
        return False
    shape = reshapes[0].inputs[0].signature
    if not all(op.inputs[0].signature == shape if op in reshapes else op.name == "SteDequantize" for op in makers):
        return False
    total = Tensor(f"{result.name}/moved", result.type, shape)
    add.inputs = [op.inputs[0] if op in reshapes else _reshaped_numbers(graph, add, op, shape) for op in makers]
    add.outputs = [total]
    graph.ops.insert(graph.ops.index(add) + 1, reshape_op(total, result))
    graph.remove(*(op for op in makers if not graph.consumers(op.outputs[0]) and op.outputs[0] not in graph.outputs))
    return True


def _reshaped_numbers(graph: Graph, before: Op, restore: Op, shape: tuple[int, ...]) -> Tensor:
    """What a SteDequantize makes of its codes, reshaped before it does."""
    codes = restore.inputs[0]
    reshaped = Tensor(f"{codes.name}/{before.outputs[0].name}", codes.type, (*shape[:-1], codes.signature[-1]))
    numbers = Tensor(f"{restore.outputs[0].name}/{before.outputs[0].name}", restore.outputs[0].type, shape)
    copy = dataclasses.replace(restore, inputs=[reshaped, *restore.inputs[1:]], outputs=[numbers])
    graph.insert_before(before, reshape_op(codes, reshaped))
    graph.insert_before(before, copy)
    return numbers


def _same_channels(before: Tensor, after: Tensor) -> bool:
    """Whether the last axis is the same."""
    return before.signature[-1:] == after.signature[-1:] != (-1,) and len(after.signature) > 0


def _reaches_reshape(graph: Graph, op: Op) -> bool:
    """Whether behind this op, and others like it, stand only reshapes, which may undo the one before, and what changes
    places with one: quantizers, and sums with what may be reshaped alike.
    """
    (result,) = op.outputs
    readers = graph.consumers(result)
    if not readers or result in graph.outputs:
        return False
    for reader in readers:
        adds = reader.name == "ADD" and not any(tensor.constant for tensor in reader.inputs)
        if adds or reader.name in (*RESHAPES, "SteQuantize"):
            continue
        try:
            elementwise_steps(reader)
        except NotFusable:
            return False
        if not _reaches_reshape(graph, reader):
            return False
    return True
