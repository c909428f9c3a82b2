"""Lets a layer with float32 output do the scale, shift and clamp behind it, where no bit changes."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_ste.converter.chain import NotFusable, Step, elementwise_steps
from keras_ste.converter.graph import MATMUL_OPS, Graph, Op, TensorType, constant_tensor


@dataclasses.dataclass(frozen=True)
class _Output:
    """`min(max(sum * multiplier + bias, low), high)`: what a layer makes of its sums."""

    multiplier: np.ndarray
    bias: np.ndarray
    low: np.float32
    high: np.float32
    integer_sums: bool
    rows: bool  # each is multiplied by a scale of its own besides, before the bias

    def product_is_plain(self) -> bool:
        """Whether `sum * multiplier` is never -0.0. The sum itself never is."""
        positive = self.integer_sums and (self.multiplier > 0).all()
        return bool(positive or (self.multiplier == 1).all())

    def adds_nothing(self) -> bool:
        """Whether the bias leaves every bit of the product. Adding +0.0 turns -0.0 into +0.0."""
        if (self.bias != 0).any():
            return False
        return bool(np.signbit(self.bias).all()) or self.product_is_plain()

    def then(self, step: Step) -> _Output | None:
        """The output with a step behind it, or None where it is not of this form or differs in a bit."""
        if step.function in ("maximum", "minimum"):
            return self._then_clamp(step)
        if self.low != -np.inf or self.high != np.inf or self.rows:
            return None
        constant = np.broadcast_to(step.constant, self.bias.shape)
        if step.function == "multiply" and (self.multiplier == 1).all() and self.adds_nothing():
            unchanged = np.full(constant.shape, -0.0, np.float32)
            return dataclasses.replace(self, multiplier=constant, bias=unchanged)
        if step.function in ("add", "subtract"):
            return self._then_add(-constant if step.function == "subtract" else constant)
        return None

    def _then_add(self, shift: np.ndarray) -> _Output | None:
        # What +0.0 makes of -0.0 is not seen behind the shift, unless that is -0.0.
        hidden = (self.bias == 0).all() and not (np.signbit(shift) & (shift == 0)).any()
        return dataclasses.replace(self, bias=shift) if hidden or self.adds_nothing() else None

    def _then_clamp(self, step: Step) -> _Output | None:
        if step.constant.size != 1:
            return None
        low, high = step.apply(np.array([self.low, self.high], np.float32))
        return dataclasses.replace(self, low=low, high=high)


def _read(op: Op) -> _Output:
    channels = op.inputs[1].shape[0]
    multiplier, bias = op.input(2), op.input(3)
    ones = np.ones(1 if "row_bits" in op.options else channels, np.float32)
    return _Output(
        ones if multiplier is None else multiplier.data,
        np.zeros(channels, np.float32) if bias is None else bias.data,
        np.float32(op.options.get("activation_min", -np.inf)),
        np.float32(op.options.get("activation_max", np.inf)),
        op.inputs[0].type != TensorType.FLOAT32,
        "row_bits" in op.options,
    )


def _write(op: Op, output: _Output) -> None:
    bias = np.zeros_like(output.bias) if output.adds_nothing() and output.product_is_plain() else output.bias
    name = op.outputs[0].name
    op.inputs = [
        *op.inputs[:2],
        constant_tensor(f"{name}/multiplier", output.multiplier),
        constant_tensor(f"{name}/bias", bias),
    ]
    if output.low != -np.inf:
        op.options["activation_min"] = float(output.low)
    if output.high != np.inf:
        op.options["activation_max"] = float(output.high)


def _next(graph: Graph, op: Op, output: _Output) -> tuple[Op, _Output] | None:
    """The only op that reads the layer's output, and the output with that op taken in."""
    reader = graph.only_reader(op.outputs[0])
    if reader is None:
        return None
    try:
        _, steps = elementwise_steps(reader)
    except NotFusable:
        return None
    for step in steps:
        output = output.then(step)
        if output is None:
            return None
    return reader, output


def fold_output(graph: Graph) -> None:
    """SteConv2D → MUL, ADD, SUB, clamps becomes SteConv2D with multiplier, bias and clamp."""
    for op in graph.select(*MATMUL_OPS):
        if op.options["output"] != "float32":
            continue
        output = _read(op)
        while (taken := _next(graph, op, output)) is not None:
            reader, output = taken
            op.outputs = reader.outputs
            graph.remove(reader)
            _write(op, output)
