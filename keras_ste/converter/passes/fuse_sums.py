"""Makes sums and averages of codes write the next layer's codes themselves."""

from __future__ import annotations

import numpy as np

from keras_ste.converter.chain import NotFusable, Step, elementwise_steps, find_thresholds, float_clamp
from keras_ste.converter.graph import Graph, Op, Tensor, TensorType, constant_tensor
from keras_ste.converter.passes.fuse_thresholds import levels_of
from keras_ste.converter.passes.quantizing import codes_put_out, packs
from keras_ste.converter.shapes import output_shape

# Where each op has its multiplier.
_MULTIPLIER = {"SteAdd": 4, "SteAveragePool2D": 1}


def fuse_sums(graph: Graph) -> None:
    """SteAdd or SteAveragePool2D → scales, shifts, clamps → SteQuantize becomes one op with thresholds."""
    for quantize in graph.select("SteQuantize"):
        found = _path(graph, quantize) if packs(quantize) else None
        if found is not None:
            try:
                _fuse(graph, quantize, *found)
            except NotFusable as reason:
                quantize.note = str(reason)


def _path(graph: Graph, quantize: Op) -> tuple[Op, list[Op], list[Step]] | None:
    """The op of sums, the ops behind it and their steps, where nothing else reads what is between."""
    ops, steps, tensor = [], [], quantize.inputs[0]
    while graph.only_reader(tensor) is not None:
        op = graph.producer(tensor)
        if op is None:
            return None
        if op.name in _MULTIPLIER:
            return (op, ops, steps) if op.options["output"] == "float32" else None
        try:
            tensor, own = elementwise_steps(op)
        except NotFusable:
            return None
        ops.append(op)
        steps = own + steps
    return None


def _fuse(graph: Graph, quantize: Op, op: Op, between: list[Op], steps: list[Step]) -> None:
    codes, channels, place = codes_put_out(quantize), op.options["channels"], _MULTIPLIER[op.name]
    own = []
    if op.input(place) is not None:
        own = [Step("multiply", op.input(place).data)]
    own += float_clamp(op)
    thresholds, negated = find_thresholds(own + steps, channels, None, levels_of(quantize, codes))
    if negated.any():
        if op.name != "SteAdd":
            raise NotFusable("it falls where the average before it rises")
        _negate(op, negated)
    op.inputs = [*op.inputs[:place], *[None] * (place + 2 - len(op.inputs[:place]))]
    op.inputs.append(constant_tensor(f"{quantize.outputs[0].name}/thresholds", thresholds))
    op.options.pop("activation_min", None)
    op.options.pop("activation_max", None)
    op.options |= {"output": "packed", **codes.options("output")}
    op.outputs = [Tensor(op.outputs[0].name, TensorType.INT32, ())]
    op.outputs[0].signature = output_shape(op)
    graph.replace(quantize.outputs[0], op.outputs[0])
    graph.remove(quantize, *between)


def _negate(add: Op, negated: np.ndarray) -> None:
    """Lets the sums of some channels be those of the negative numbers."""
    add.inputs += [None] * (4 - len(add.inputs))
    sign = np.where(negated, np.float32(-1), np.float32(1))
    for index in (2, 3):
        scale = add.inputs[index]
        values = sign if scale is None else sign * scale.data
        add.inputs[index] = constant_tensor(f"{add.outputs[0].name}/scale_{index}", values)
