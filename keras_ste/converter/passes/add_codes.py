"""Adds codes, not numbers."""

from __future__ import annotations

import numpy as np

from keras_ste.codes import codes_of
from keras_ste.converter.chain import NotFusable, activation_steps
from keras_ste.converter.graph import Graph, Op, Tensor, TensorType, ste_op
from keras_ste.converter.passes.requantize import code_values


def add_codes(graph: Graph) -> None:
    """ADD of what two SteDequantize give becomes a SteAdd of their codes."""
    for op in graph.select("ADD"):
        restores = [graph.producer(tensor) for tensor in op.inputs]
        if all(map(_gives_codes, restores)):
            _add(graph, op, *restores)


def _gives_codes(op: Op | None) -> bool:
    return op is not None and op.name == "SteDequantize" and code_values(op) is not None


def _add(graph: Graph, op: Op, a: Op, b: Op) -> None:
    if a.outputs[0].signature != b.outputs[0].signature:
        return
    try:
        clamps = activation_steps(op, op.activation)
    except NotFusable:
        return
    options = {"version": 2, "channels": a.options["channels"], "output": "float32"}
    for name, restore in (("a", a), ("b", b)):
        if restore.inputs[0].type == TensorType.INT32:
            options |= codes_of(restore.options, "input").options(name)
        options[f"{name}_zero_point"] = restore.options.get("input_zero_point", 0)
    for clamp in clamps:
        limit = "activation_min" if clamp.function == "maximum" else "activation_max"
        options[limit] = float(np.float32(clamp.constant[0]))
    inputs: list[Tensor | None] = [a.inputs[0], b.inputs[0], a.input(2), b.input(2)]
    graph.insert_before(op, ste_op("SteAdd", inputs, op.outputs, options))
    graph.remove(op)
