"""Makes a layer write the next layer's codes itself, by comparing its sums with thresholds."""

from __future__ import annotations

import numpy as np

from keras_ste.codes import Codes, codes_of, float_thresholds
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
from keras_ste.converter.passes.quantizing import codes_put_out, packs
from keras_ste.converter.shapes import output_shape

_PADDINGS = ("same", "valid")  # in the order of the schema's enumeration
_MOST_BITS = 4


def _largest_input(op: Op) -> int | None:
    """The largest magnitude that an element of the input can count for; None for float32."""
    zero_point = op.options.get("input_zero_point", 0)
    codes = {
        TensorType.INT32: codes_of(op.options, "input"),
        TensorType.INT8: Codes(8, "signed", zero_point),
        TensorType.UINT8: Codes(8, "unsigned", zero_point),
    }.get(op.inputs[0].type)
    # Padding counts as 1 at most.
    return None if codes is None else max(1, codes.largest)


def _bound(op: Op) -> int | None:
    """The largest magnitude of a sum; None for float32."""
    largest = _largest_input(op)
    if largest is None:
        return None
    weights = np.abs(op.inputs[1].data.astype(np.int64))
    return largest * int(weights.reshape(len(weights), -1).sum(1).max())


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
                if reader.options["output"] != "float32":
                    raise NotFusable("what it quantizes are codes of another quantizer")
                if "row_bits" in reader.options:
                    raise NotFusable("the sums before it are of rows that are scaled at run time")
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


def pool_op(pool: Op, steps: list[Step], channels: int, source: Tensor, codes: Codes) -> Op:
    """The pool, on codes. Where the chain behind it falls, the largest value has the smallest code."""
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
    if not codes.signs:
        options |= {"version": 2, **codes.options("input")}
    op = ste_op("SteMaxPool2D", [source, minimum], [_packed_tensor(pool.outputs[0].name)], options)
    op.outputs[0].signature = output_shape(op)
    return op


def _few_codes(quantize: Op) -> Codes:
    codes = codes_put_out(quantize)
    if not packs(quantize) or codes.bits > _MOST_BITS:
        raise NotFusable(f"its codes have more than {_MOST_BITS} bits: too many thresholds for each channel")
    return codes


def levels_of(quantize: Op, codes: Codes) -> np.ndarray:
    """The least numbers that a SteQuantize gives each code but the lowest: one, or one for each channel."""
    if quantize.options["version"] == 1:
        return np.zeros(1, np.float32)
    multiplier, bias, thresholds = (quantize.input(index) for index in (1, 2, 3))
    if thresholds is not None:
        return thresholds.data
    options, worths = quantize.options, codes.worths[1:, np.newaxis]
    zero_point = options.get("output_zero_point", 0)
    low = options.get("output_min", codes.worths[codes.encoding == "ternary"])
    high = options.get("output_max", codes.worths[-1])

    def is_set(x: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):
            y = x if multiplier is None else x * multiplier.data
            y = y if bias is None else y + bias.data
            return np.clip(np.rint(y) + zero_point, low, high) >= worths

    channels = 1 if bias is None and (multiplier is None or multiplier.data.size == 1) else options["channels"]
    levels = float_thresholds(is_set, (len(worths), channels))
    return levels[0] if codes.bits == 1 else levels


def _negated(op: Op, negated: np.ndarray) -> Tensor:
    """The weights, those of the channels that fall negated. Codes get more bits where a negative has none."""
    weights, codes = op.inputs[1], codes_of(op.options, "weight")
    if not negated.any():
        return weights
    falling = negated.reshape(-1, *[1] * (weights.data.ndim - 1))
    flipped = np.where(falling, -weights.data.astype(np.int32), weights.data)
    if not np.isin(flipped, codes.worths).all():
        op.options |= {"version": 2, **_signed_codes(flipped).options("weight")}
    return constant_tensor(f"{weights.name}/negated", flipped.astype(np.int16))


def _signed_codes(weights: np.ndarray) -> Codes:
    """The code book of fewest bits that holds these integers of both signs."""
    low, high = int(weights.min()), int(weights.max())
    for codes in (Codes(2, "ternary"), *(Codes(bits, "signed") for bits in range(2, 9))):
        if codes.hold(low, high):
            return codes
    raise NotFusable(
        f"it falls where the sums before it rise, and with the negatives of weights these are {low} to {high}, which 8 "
        "bits do not hold: a narrow range of weights, or a batch normalization with positive factors, has no such"
    )


def _fuse(graph: Graph, quantize: Op) -> None:
    codes = _few_codes(quantize)
    path = _Path(graph, quantize)
    matmul = path.matmul
    channels = matmul.inputs[1].shape[0]
    levels = levels_of(quantize, codes)
    thresholds, negated = find_thresholds(path.steps, channels, _bound(matmul), levels)

    matmul.inputs = [
        matmul.inputs[0],
        _negated(matmul, negated),
        None,
        None,
        constant_tensor(f"{quantize.outputs[0].name}/thresholds", thresholds),
    ]
    matmul.options.pop("activation_min", None)
    matmul.options.pop("activation_max", None)
    matmul.options["output"] = "packed"
    if not codes.signs:
        matmul.options |= {"version": 2, **codes.options("output")}
    packed = _packed_tensor(matmul.outputs[0].name)
    matmul.outputs = [packed]
    packed.signature = output_shape(matmul)
    for pool, steps in path.pools:
        op = pool_op(pool, steps, channels, packed, codes)
        graph.insert_before(quantize, op)
        packed = op.outputs[0]
    graph.replace(quantize.outputs[0], packed)
    graph.remove(quantize, *path.ops)


def fuse_thresholds(graph: Graph) -> None:
    """SteConv2D → scales, shifts, clamps, max-pools → SteQuantize becomes SteConv2D (→ SteMaxPool2D).

    A SteQuantize that stays gets the reason as its note.
    """
    for quantize in graph.select("SteQuantize"):
        if quantize.inputs[0].type == TensorType.INT32:  # codes, no numbers
            continue
        try:
            _fuse(graph, quantize)
        except NotFusable as reason:
            quantize.note = quantize.note or str(reason)
