"""Takes scales, shifts and clamps into the layer before them, where its output is about to be rounded to int8 anyway."""

from __future__ import annotations

import numpy as np

from keras_ste.converter.chain import NotFusable, Step, elementwise_steps, output_steps
from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, constant_tensor

_AFFINE = {
    "multiply": lambda m, b, c: (m * c, b * c),
    "divide": lambda m, b, c: (m / c, b / c),
    "add": lambda m, b, c: (m, b + c),
    "subtract": lambda m, b, c: (m, b - c),
    "subtract_from": lambda m, b, c: (-m, c - b),
}


class _Output:
    """`min(max(sum * multiplier + bias, low), high)` in double precision."""

    def __init__(self, op: Op):
        self.multiplier, self.bias = np.ones(1), np.zeros(1)
        self.low, self.high = -np.inf, np.inf
        for step in output_steps(op):
            self.take(step)

    def take(self, step: Step) -> bool:
        """Puts a step behind; False where the output is not of this form any more."""
        if step.function in ("maximum", "minimum") and step.constant.size == 1:
            bound = np.maximum if step.function == "maximum" else np.minimum
            self.low, self.high = (float(bound(end, step.constant[0])) for end in (self.low, self.high))
            return True
        if step.function not in _AFFINE or self.low != -np.inf or self.high != np.inf:
            return False
        self.multiplier, self.bias = _AFFINE[step.function](
            self.multiplier, self.bias, step.constant.astype(np.float64)
        )
        return True

    def write(self, op: Op) -> None:
        channels = len(op.inputs[1].data)
        name = op.outputs[0].name
        constants = [np.broadcast_to(each, channels).astype(np.float32) for each in (self.multiplier, self.bias)]
        op.inputs = [
            *op.inputs[:2],
            constant_tensor(f"{name}/multiplier", constants[0]),
            constant_tensor(f"{name}/bias", constants[1]) if constants[1].any() else None,
        ]
        for key, end in (("activation_min", self.low), ("activation_max", self.high)):
            op.options.pop(key, None)
            if np.isfinite(end):
                op.options[key] = end


def _next(graph: Graph, op: Op, output: _Output) -> Op | None:
    """The only op that reads the layer's output, taken in."""
    reader = graph.only_reader(op.outputs[0])
    if reader is None:
        return None
    try:
        _, steps = elementwise_steps(reader)
    except NotFusable:
        return None
    return reader if all(output.take(step) for step in steps) else None


def fold_chains(graph: Graph) -> None:
    """SteConv2D → MUL → ADD → ... becomes SteConv2D with multiplier, bias and clamp, equal but for float rounding."""
    for op in graph.select(*MATMUL_OPS):
        if op.options["output"] != "float32" or "row_bits" in op.options:
            continue
        while True:
            output = _Output(op)
            reader = _next(graph, op, output)
            if reader is None:
                break
            op.outputs = reader.outputs
            graph.remove(reader)
            output.write(op)
