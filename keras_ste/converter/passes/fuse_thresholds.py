"""Makes a layer write the next layer's signs itself, by comparing its sums with thresholds."""

from __future__ import annotations

import numpy as np

from keras_ste.converter.chain import (
    NotFusable,
    Step,
    activation_steps,
    direction,
    elementwise_steps,
    find_thresholds,
    output_steps,
)
from keras_ste.converter.graph import (
    MATMUL_OPS,
    Graph,
    Op,
    Tensor,
    TensorType,
    constant_tensor,
    ste_op,
)
from keras_ste.converter.packing import pack_bits
from keras_ste.converter.shapes import output_shape

_PADDINGS = ("same", "valid")  # in the order of the schema's enumeration


def _largest_input(op: Op) -> int | None:
    """The largest magnitude that an element of the input can count for; None for float32."""
    zero_point = op.options.get("input_zero_point", 0)
    ranges = {
        TensorType.INT32: (-1, 1),  # packed signs
        TensorType.INT8: (-128 - zero_point, 127 - zero_point),
        TensorType.UINT8: (-zero_point, 255 - zero_point),
    }
    limits = ranges.get(op.inputs[0].type)
    # Padding counts as 1 at most.
    return None if limits is None else max(1, *(abs(limit) for limit in limits))


def _bound(op: Op) -> int | None:
    largest = _largest_input(op)
    return None if largest is None else largest * int(np.prod(op.inputs[1].shape[1:]))


def _only_reader(graph: Graph, tensor: Tensor, reader: Op) -> None:
    """Checks that nothing else sees a tensor that is to disappear."""
    others = [op for op in graph.consumers(tensor) if op is not reader]
    if others:
        names = ", ".join(sorted({op.name for op in others}))
        raise NotFusable(f"its input has another consumer: {names}")
    if tensor in graph.outputs:
        raise NotFusable("its input is also an output of the model")


class _Path:
    """What stands between a layer's sum and a SteQuantize."""

    def __init__(self, graph: Graph, quantize: Op):
        self.ops: list[Op] = []
        self.steps: list[Step] = []
        self.pools: list[tuple[Op, list[Step]]] = []  # each with the steps behind it, in order
        reader, tensor = quantize, quantize.inputs[0]
        while True:
            _only_reader(graph, tensor, reader)
            reader = graph.producer(tensor)
            if reader is None:
                raise NotFusable("its input is an input of the model")
            if reader.name in MATMUL_OPS:
                break
            tensor = self._add(reader)
        self.matmul = reader
        self.steps = output_steps(reader) + self.steps

    def _add(self, op: Op) -> Tensor:
        """Puts an op before the path so far, and says what it reads."""
        if op.name == "MAX_POOL_2D":
            self.steps = activation_steps(op, op.activation) + self.steps
            self.pools.insert(0, (op, self.steps))
            tensor = op.inputs[0]
        else:
            tensor, steps = elementwise_steps(op)
            self.steps = steps + self.steps
        self.ops.append(op)
        return tensor


def _packed_tensor(name: str) -> Tensor:
    return Tensor(name, TensorType.INT32, ())


def _pool_op(pool: Op, steps: list[Step], channels: int, source: Tensor) -> Op:
    """The pool, on signs. Where the chain behind it falls, the largest value has the smallest sign."""
    falls = direction(steps, channels) < 0
    minimum = None
    if falls.any():
        minimum = constant_tensor(f"{pool.outputs[0].name}/minimum", pack_bits(falls))
    builtin = pool.raw.builtinOptions
    options = {
        "version": 1,
        "channels": channels,
        "pool_h": builtin.filterHeight,
        "pool_w": builtin.filterWidth,
        "stride_h": builtin.strideH,
        "stride_w": builtin.strideW,
        "padding": _PADDINGS[builtin.padding],
    }
    op = ste_op("SteMaxPool2D", [source, minimum], [_packed_tensor(pool.outputs[0].name)], options)
    op.outputs[0].signature = output_shape(op)
    return op


def _fuse(graph: Graph, quantize: Op) -> None:
    path = _Path(graph, quantize)
    matmul = path.matmul
    channels = matmul.inputs[1].shape[0]
    thresholds, negated = find_thresholds(path.steps, channels, _bound(matmul))

    source, signs = matmul.inputs[:2]
    if negated.any():
        flipped = np.where(negated.reshape(-1, *[1] * (signs.data.ndim - 1)), -signs.data, signs.data)
        signs = constant_tensor(f"{signs.name}/negated", flipped)
    matmul.inputs = [
        source,
        signs,
        None,
        None,
        constant_tensor(f"{quantize.outputs[0].name}/thresholds", thresholds),
    ]
    matmul.options.pop("activation_min", None)
    matmul.options.pop("activation_max", None)
    matmul.options["output"] = "packed"
    packed = _packed_tensor(matmul.outputs[0].name)
    matmul.outputs = [packed]
    packed.signature = output_shape(matmul)
    for pool, steps in path.pools:
        op = _pool_op(pool, steps, channels, packed)
        graph.insert_before(quantize, op)
        packed = op.outputs[0]
    graph.replace(quantize.outputs[0], packed)
    graph.remove(quantize, *path.ops)


def fuse_thresholds(graph: Graph) -> None:
    """SteConv2D → scales, shifts, clamps, max-pools → SteQuantize becomes SteConv2D (→ SteMaxPool2D).

    A SteQuantize that stays gets the reason as its note.
    """
    for quantize in graph.select("SteQuantize"):
        try:
            _fuse(graph, quantize)
        except NotFusable as reason:
            quantize.note = quantize.note or str(reason)
