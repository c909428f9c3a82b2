"""Makes sums and averages of codes write the next layer's codes themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_ste.converter.chain import NotFusable, Step, elementwise_steps, find_thresholds, float_clamp
from keras_ste.converter.graph import Graph, Op, Tensor, TensorType, constant_tensor
from keras_ste.converter.passes.drop_dead_ops import drop_dead_ops
from keras_ste.converter.passes.fuse_thresholds import levels_of
from keras_ste.converter.passes.multiply_codes import is_power_of_two
from keras_ste.converter.passes.quantizing import codes_put_out, packs, quantized, thresholds_behind

# Where each op has its multiplier.
_MULTIPLIER = {"SteAdd": 4, "SteAveragePool2D": 1}


def fuse_sums(graph: Graph) -> None:
    """SteAdd or SteAveragePool2D → scales, shifts, clamps → SteQuantize becomes one op with thresholds.

    Where several quantizers and nothing else read sums of codes, each gets an op of its own.
    """
    _fuse_each(graph, [quantize for quantize in graph.select("SteQuantize") if packs(quantize)], _fuse)


def round_sums(graph: Graph) -> None:
    """SteAdd or SteAveragePool2D → clamps → SteQuantize that rounds to bytes becomes one op that does."""
    _fuse_each(graph, [quantize for quantize in graph.select("SteQuantize") if not packs(quantize)], _fuse_rounding)


def _fuse_each(graph: Graph, quantizers: list[Op], fuse: Callable[[Graph, Op, Op, list[Step]], None]) -> None:
    """Fuses each of the quantizers with its op of sums; one that cannot be gets the reason as its note."""
    for quantize in quantizers:
        found = _path(graph, quantize)
        if found is not None:
            try:
                fuse(graph, quantize, *found)
            except NotFusable as reason:
                quantize.note = str(reason)
    drop_dead_ops(graph)


def _path(graph: Graph, quantize: Op) -> tuple[Op, list[Step]] | None:
    """The op of sums and the steps behind it, where nothing but quantizers reads what is between."""
    steps, tensor = [], quantize.inputs[0]
    while (op := graph.producer(tensor)) is not None:
        alone = graph.only_reader(tensor) is not None
        if op.name in _MULTIPLIER:
            of_codes = op.inputs[0].type != TensorType.FLOAT32
            alone = alone or (of_codes and thresholds_behind(graph, tensor) is not None)
            return (op, steps) if alone and op.options["output"] == "float32" else None
        if not alone and thresholds_behind(graph, tensor) is None:
            return None
        try:
            tensor, own = elementwise_steps(op)
        except NotFusable:
            return None
        steps = own + steps
    return None


def _own_steps(op: Op) -> list[Step]:
    scale = op.input(_MULTIPLIER[op.name])
    return ([] if scale is None else [Step("multiply", scale.data)]) + float_clamp(op)


def _fuse(graph: Graph, quantize: Op, op: Op, steps: list[Step]) -> None:
    codes, channels = codes_put_out(quantize), op.options["channels"]
    thresholds, negated = find_thresholds(_own_steps(op) + steps, channels, None, levels_of(quantize, codes))
    inputs = list(op.inputs)
    if negated.any():
        if op.name != "SteAdd":
            raise NotFusable("it falls where the average before it rises")
        inputs = _negated(op, negated)
    constant = constant_tensor(f"{quantize.outputs[0].name}/thresholds", thresholds)
    _replace(graph, quantize, op, inputs, [None, None, constant], {"output": "packed", **codes.options("output")})


def _fuse_rounding(graph: Graph, quantize: Op, op: Op, steps: list[Step]) -> None:
    multiplier, bias = quantize.input(1), quantize.input(2)
    if multiplier is None or not (multiplier.data > 0).all():
        raise NotFusable("it falls where the sum before it rises")
    factor, steps = multiplier.data, _own_steps(op) + steps
    if steps and steps[0].function == "multiply" and is_power_of_two(steps[0].constant):
        factor, steps = factor * steps[0].constant, steps[1:]
    options = {key: value for key, value in quantize.options.items() if key.startswith("output")}
    for step in steps:
        _limit(quantize, step, options)
    constants = [constant_tensor(f"{quantize.outputs[0].name}/multiplier", factor), bias]
    _replace(graph, quantize, op, list(op.inputs), constants[: 1 + (bias is not None)], options)


def _limit(quantize: Op, step: Step, options: dict) -> None:
    """Clamps codes where numbers were clamped: of the numbers' limit the quantizer makes that of its codes."""
    if step.function not in ("maximum", "minimum"):
        raise NotFusable("there is a scale or a shift between the sum and its rounding")
    codes = quantized(quantize, step.constant)
    low, high = options.get("output_min", -128), options.get("output_max", 127)
    if (codes != codes[0]).any() or not low <= 0 <= high:
        raise NotFusable("its channels are clamped each in its own way")
    if step.function == "maximum":
        options["output_min"] = max(low, int(codes[0]))
    else:
        options["output_max"] = min(high, int(codes[0]))
    if not options.get("output_min", low) <= 0 <= options.get("output_max", high):
        raise NotFusable("its codes have no zero among them")


def _replace(
    graph: Graph, quantize: Op, op: Op, inputs: list[Tensor | None], constants: list[Tensor | None], options: dict
) -> None:
    """Puts a copy of an op of sums, with another output, in the place of a SteQuantize."""
    place = _MULTIPLIER[op.name]
    inputs = [*inputs[:place], *[None] * (place - len(inputs)), *constants]
    kept = {key: value for key, value in op.options.items() if not key.startswith("activation_")}
    copy = dataclasses.replace(op, inputs=inputs, outputs=quantize.outputs, options=kept | options)
    graph.ops[graph.ops.index(quantize)] = copy


def _negated(add: Op, negated: np.ndarray) -> list[Tensor | None]:
    """The inputs of an op that adds, in some channels, the negative numbers."""
    inputs = [*add.inputs, *[None] * (4 - len(add.inputs))]
    sign = np.where(negated, np.float32(-1), np.float32(1))
    for index in (2, 3):
        scale = inputs[index]
        values = sign if scale is None else sign * scale.data
        inputs[index] = constant_tensor(f"{add.outputs[0].name}/scale_{index}", values)
    return inputs
