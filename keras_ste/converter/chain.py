"""Chains of float32 operations that rise or fall monotonically, and where they cross zero.

Between a binary layer's sum and the next sign stand scale, bias, batch normalization and clamps. Every
one of these operations, rounded to float32, is monotone in its input; so the sign of the whole chain
changes at most once, and comparing the sum with one number per channel says the same bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from keras_ste.codes import INFINITY_KEY, first_key, float_of_key
from keras_ste.converter.graph import Op, Tensor

ALWAYS = -(2**31)  # an int32 sum is never below it
NEVER = 2**31 - 1  # and sums are kept from reaching this one


class NotFusable(Exception):
    """Says why a pass leaves an op as it is."""


@dataclasses.dataclass(frozen=True)
class _Function:
    apply: Callable[[np.ndarray, np.ndarray], np.ndarray]
    # From the constant, for each channel: 1 rises, -1 falls, 0 does not depend on the input.
    direction: Callable[[np.ndarray], np.ndarray]


def _rises(constant: np.ndarray) -> np.ndarray:
    return np.ones(constant.shape, np.int8)


def _falls(constant: np.ndarray) -> np.ndarray:
    return -np.ones(constant.shape, np.int8)


def _sign(constant: np.ndarray) -> np.ndarray:
    return np.sign(constant).astype(np.int8)


def _rises_where_positive(constant: np.ndarray) -> np.ndarray:
    if not (constant >= 0).all():
        raise NotFusable("a PReLU before it has a slope below 0, so that it both rises and falls")
    return _rises(constant)


_FUNCTIONS = {
    "multiply": _Function(np.multiply, _sign),
    "divide": _Function(np.divide, _sign),
    "add": _Function(np.add, _rises),
    "subtract": _Function(np.subtract, _rises),
    "subtract_from": _Function(lambda x, c: c - x, _falls),
    "maximum": _Function(np.maximum, _rises),
    "minimum": _Function(np.minimum, _rises),
    "prelu": _Function(lambda x, c: np.where(x > 0, x, x * c), _rises_where_positive),
}


@dataclasses.dataclass(frozen=True)
class Step:
    """One operation with a constant: float32, of one element or one for each channel."""

    function: str
    constant: np.ndarray

    def apply(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return _FUNCTIONS[self.function].apply(values, self.constant)

    @property
    def direction(self) -> np.ndarray:
        return _FUNCTIONS[self.function].direction(self.constant)


_CLAMPS = {
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU_0_TO_1": (0.0, 1.0),
}
_COMMUTATIVE = {"ADD": "add", "MUL": "multiply", "MAXIMUM": "maximum", "MINIMUM": "minimum"}


def _scalar(value: float) -> np.ndarray:
    return np.array([value], np.float32)


def _clamp(low: float | None, high: float | None) -> list[Step]:
    steps = [] if low is None else [Step("maximum", _scalar(low))]
    return steps if high is None else [*steps, Step("minimum", _scalar(high))]


def activation_steps(op: Op, activation: str) -> list[Step]:
    """The steps of a clamp: a built-in op's name, or the activation fused into `op`."""
    if activation == "NONE":
        return []
    if activation not in _CLAMPS:
        raise NotFusable(f"{op.name} applies {activation}, which is not a clamp")
    return _clamp(*_CLAMPS[activation])


def _constant_of(op: Op, operand: Tensor, other: Tensor) -> np.ndarray:
    """The constant operand, one element or one for each channel of the other operand."""
    if not operand.constant:
        raise NotFusable(f"{op.name} takes two inputs that are computed at run time")
    values = operand.data
    if values.dtype != np.float32:
        raise NotFusable(f"{op.name} works on {operand.type_name}, not float32")
    channels = other.signature[-1] if other.signature else 1
    if values.size != 1 and values.shape[-1:] != (channels,) or values.size not in (1, channels):
        raise NotFusable(f"the constant of {op.name} has a value for each place, not for each channel")
    if not np.isfinite(values).all():
        raise NotFusable(f"the constant of {op.name} has an infinite value or a NaN")
    return values.reshape(-1)


def _same_shape(a: Tensor, b: Tensor) -> bool:
    return len(a.signature) == len(b.signature) and all(
        x == y or x < 0 or y < 0 for x, y in zip(a.signature, b.signature)
    )


def _own_steps(op: Op) -> tuple[Tensor, list[Step]]:
    """The op's input that is not constant, and what it does before its fused activation."""
    first, second = op.inputs[0], op.input(1)
    if op.name in _CLAMPS:
        return first, activation_steps(op, op.name)
    if op.name == "NEG":
        return first, [Step("multiply", _scalar(-1.0))]
    if op.name == "LEAKY_RELU":
        slope = op.raw.builtinOptions.alpha
        if not 0 <= slope < np.inf:
            raise NotFusable(f"LEAKY_RELU has the slope {slope}, so it both rises and falls")
        return first, [Step("prelu", _scalar(slope))]
    if op.name == "PRELU":
        return first, [Step("prelu", _constant_of(op, second, first))]
    if op.name in _COMMUTATIVE:
        data, other = (second, first) if first.constant else (first, second)
        return data, [Step(_COMMUTATIVE[op.name], _constant_of(op, other, data))]
    if op.name == "SUB":
        if first.constant:
            return second, [Step("subtract_from", _constant_of(op, first, second))]
        return first, [Step("subtract", _constant_of(op, second, first))]
    if op.name == "DIV":
        constant = _constant_of(op, second, first)
        if not constant.all():
            raise NotFusable("DIV divides by zero")
        return first, [Step("divide", constant)]
    raise NotFusable(f"its input comes from {op.name}, which is no scale, shift, clamp or max-pool")


def elementwise_steps(op: Op) -> tuple[Tensor, list[Step]]:
    """Reads a built-in op as steps.

    Returns:
      The op's input that is not constant, and the steps from it to the op's output.

    Raises:
      NotFusable: the op is not a monotone function of each element by itself.
    """
    tensor, steps = _own_steps(op)
    if not _same_shape(tensor, op.outputs[0]):
        raise NotFusable(f"{op.name} spreads its input to a larger shape")
    return tensor, steps + activation_steps(op, op.activation)


def output_steps(op: Op) -> list[Step]:
    """The steps from the sum of a SteConv2D or SteFullyConnected to its float32 output."""
    steps = []
    for function, tensor in (("multiply", op.input(2)), ("add", op.input(3))):
        if tensor is not None:
            if not np.isfinite(tensor.data).all():
                raise NotFusable(f"the scale or bias of {op.name} has an infinite value or a NaN")
            steps.append(Step(function, tensor.data))
    return steps + float_clamp(op)


def float_clamp(op: Op) -> list[Step]:
    """The clamp of an op's float32 output."""
    return _clamp(op.options.get("activation_min"), op.options.get("activation_max"))


def evaluate(steps: Sequence[Step], values: np.ndarray) -> np.ndarray:
    """The chain's value, every step rounded to float32.

    Args:
      values: float32, the last axis is the channel.
    """
    for step in steps:
        values = step.apply(values)
    return values


def direction(steps: Sequence[Step], channels: int) -> np.ndarray:
    """For each channel 1 where the chain rises, -1 where it falls, 0 where it is constant."""
    product = np.ones(channels, np.int8)
    for step in steps:
        product = product * step.direction
    return product


def _float_of_int(key: np.ndarray) -> np.ndarray:
    return key.astype(np.float32)


def find_thresholds(
    steps: Sequence[Step], channels: int, bound: int | None, levels: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Turns "the chain of the sum is at least a level" into "the sum is at least a threshold".

    Args:
      steps: the chain.
      channels: number of channels.
      bound: the sum is an integer in `[-bound, bound]`; None where it is a float32.
      levels: float32, one for all channels or one for each along the last axis. -inf is always reached,
        NaN never.

    Returns:
      `(thresholds, negated)`. Where `negated`, one for each channel, is true, `-sum >= threshold` says it.
      Thresholds are int32 (float32 for a float32 sum), in the shape of the levels with a channel each; one
      that is always reached is -2**31 (-inf), one that never is 2**31 - 1 (NaN).

    Raises:
      NotFusable: the chain computes a NaN for some sum, or the bound leaves int32.

    Example:
      >>> chain = [Step("multiply", np.float32([0.5, -0.5, 0])), Step("add", np.float32([1, 1, 1]))]
      >>> thresholds, negated = find_thresholds(chain, 3, bound=9)
      >>> thresholds.tolist(), negated.tolist()
      ([-2, -2, -2147483648], [False, True, False])
    """
    if bound is not None and bound >= NEVER:
        raise NotFusable(f"its sums reach {bound}, more than int32 thresholds can say")
    levels = np.asarray(levels, np.float32)
    shape = (*levels.shape[:-1], channels)
    slope = direction(steps, channels)
    negated = slope < 0
    sign = np.where(negated, -1, 1)
    value = float_of_key if bound is None else _float_of_int

    def chain(keys: np.ndarray) -> np.ndarray:
        return np.broadcast_to(evaluate(steps, value(sign * keys)), keys.shape)

    if bound is None:
        # A channel that does not depend on its sum is judged by its finite sums only: 0 times
        # infinity is a NaN.
        limit = np.where(slope == 0, INFINITY_KEY - 1, INFINITY_KEY).astype(np.int64)
    else:
        limit = np.full(channels, bound, np.int64)
    # An infinite value on the way may become a NaN. By monotony it shows at an end of the range.
    if np.isnan(chain(limit)).any() or np.isnan(chain(-limit)).any():
        raise NotFusable("scale and shift behind it overflow float32")

    limit = np.broadcast_to(limit, shape)
    reached = first_key(lambda keys: chain(keys) >= levels, limit)
    at_zero = chain(np.zeros(shape, np.int64)) >= levels
    always = np.where(slope == 0, at_zero, reached == -limit)
    never = np.where(slope == 0, ~at_zero, reached > limit)
    if bound is None:
        finite = float_of_key(np.minimum(reached, INFINITY_KEY))
        thresholds = np.where(always, -np.inf, np.where(never, np.nan, finite)).astype(np.float32)
    else:
        thresholds = np.where(always, ALWAYS, np.where(never, NEVER, reached)).astype(np.int32)
    return thresholds, negated
