"""Integer codes: what they are worth, and the borders at which a function moves from one to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

INFINITY_KEY = 0x7F800000
_KEYS_AT_ONCE, _MOST_PLACES = 2**16, 31


@dataclasses.dataclass(frozen=True)
class Codes:
    """A code book of docs/ops.md: bits, encoding, and the zero point that is subtracted from what codes are worth.

    >>> Codes(2, "bipolar").worths.tolist(), Codes(2, "ternary").worths.tolist()
    ([-3, -1, 1, 3], [-2, -1, 0, 1])
    >>> Codes(2, "unsigned", zero_point=1).worths.tolist()
    [-1, 0, 1, 2]
    """

    bits: int = 1
    encoding: str = "bipolar"
    zero_point: int = 0

    @property
    def worths(self) -> np.ndarray:
        """What the codes are worth, from the least to the greatest; the least ternary one is not used."""
        steps = np.arange(2**self.bits)
        if self.encoding == "bipolar":
            return 2 * steps - (2**self.bits - 1) - self.zero_point
        return steps - self.zero_point - (0 if self.encoding == "unsigned" else 2 ** (self.bits - 1))

    @property
    def signs(self) -> bool:
        """Whether the codes are what version 1 of the ops knows."""
        return self == Codes()

    @property
    def largest(self) -> int:
        """The largest magnitude of what a code is worth."""
        return int(np.abs(self.worths[self.encoding == "ternary" :]).max())

    def hold(self, low: int, high: int) -> bool:
        """Whether all integers from `low` to `high` have codes: of bipolar ones the odd integers."""
        worths = self.worths[self.encoding == "ternary" :]
        return bool(worths[0] <= low and high <= worths[-1])

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """The codes of these values, as unsigned numbers.

        >>> Codes(2, "signed").numbers(np.array([-2, -1, 0, 1])).tolist()
        [2, 3, 0, 1]
        """
        values = values.astype(np.int32) + self.zero_point
        if self.encoding == "bipolar":
            return (values + 2**self.bits - 1) // 2
        return values % 2**self.bits

    def values(self, numbers: np.ndarray) -> np.ndarray:
        """What the codes are worth that are these unsigned numbers: `numbers` undone.

        >>> Codes(2, "signed").values(np.array([2, 3, 0, 1])).tolist()
        [-2, -1, 0, 1]
        """
        if self.encoding == "bipolar":
            return 2 * numbers - (2**self.bits - 1) - self.zero_point
        wrapped = 0 if self.encoding == "unsigned" else 2**self.bits * (numbers >= 2 ** (self.bits - 1))
        return numbers - wrapped - self.zero_point

    def options(self, name: str) -> dict[str, int | str]:
        """The options of an op that say this of its codes `name`, without the zero point."""
        return {f"{name}_bits": self.bits, f"{name}_encoding": self.encoding}


def codes_of(options: dict, name: str) -> Codes:
    """The codes that the options of an op describe; one bipolar bit where nothing is said."""
    bits, encoding = options.get(f"{name}_bits", 1), options.get(f"{name}_encoding", "bipolar")
    return Codes(bits, encoding, options.get(f"{name}_zero_point", 0))


def float_of_key(key: np.ndarray) -> np.ndarray:
    """The float32 numbers in their order, numbered from 0 at zero; negative keys are negative numbers."""
    bits = np.abs(key).astype(np.uint32)
    return np.copysign(bits.view(np.float32), np.where(key < 0, -1, 1)).astype(np.float32)


def first_key(is_set: Callable[[np.ndarray], np.ndarray], limit: np.ndarray) -> np.ndarray:
    """For each element the least key from `-limit` to `limit` at which it is set, `limit + 1` where at none.

    Args:
        is_set: takes int64 keys within these bounds, limit's shape behind one more axis. An element that is set at one
            key is set at every greater one.
        limit: int64.

    >>> first_key(lambda key: key >= np.array([-3, 5]), np.array([4, 4])).tolist()
    [-3, 5]
    """
    # Few elements are looked at in many places at once: a call of `is_set` takes its time however few they are.
    places = int(np.clip(_KEYS_AT_ONCE // max(limit.size, 1), 1, _MOST_PLACES))
    parts = np.arange(1, places + 1).reshape(-1, *[1] * limit.ndim)
    # At `unset` and below nothing is set, from `reached` on everything.
    unset, reached = -limit - 1, limit + 1
    while (reached - unset > 1).any():
        keys = unset + (reached - unset) * parts // (places + 1)
        found = is_set(np.clip(keys, -limit, limit)) & (keys > unset)
        keys = np.concatenate([unset[np.newaxis], keys, reached[np.newaxis]])
        before = (~found).sum(0, keepdims=True)
        unset, reached = (np.take_along_axis(keys, index, 0)[0] for index in (before, before + 1))
    return reached


def float_thresholds(is_set: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """For each element the least float32 at which it is set: -inf where always, NaN where never.

    Args:
        is_set: takes float32 numbers, that shape behind one more axis, and rises with them.
        shape: of the result.
    """
    limit = np.full(shape, INFINITY_KEY, np.int64)
    key = first_key(lambda keys: is_set(float_of_key(keys)), limit)
    found = float_of_key(np.minimum(key, INFINITY_KEY))
    return np.where(key > limit, np.float32(np.nan), found)
