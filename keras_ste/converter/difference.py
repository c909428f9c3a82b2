"""How far one tensor is from another, over all batches of samples."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far a tensor of the file is from the Keras model's.

    Attributes:
      name: the output's name, or the layer's path.
      tensor: which one it is: `"output"`, `"input codes"` or `"input"`; of a layer, `"output"` is product and
        bias, before the activation.
      elements: how many there are in all samples.
      differing: how many of them are not equal.
      largest: the largest difference.
      exceeds: whether a difference is above the tolerance.
      sample: the first sample with such a difference, counted from 0, or None.
      index: where in the sample that is.
      expected, found: what Keras and the file have there.
    """

    name: str
    tensor: str
    elements: int = 0
    differing: int = 0
    largest: float = 0.0
    exceeds: bool = False
    sample: int | None = None
    index: tuple[int, ...] | None = None
    expected: float | None = None
    found: float | None = None

    def __str__(self) -> str:
        text = f"{self.name}, {self.tensor}: "
        if not self.differing:
            return text + f"all {self.elements:,} equal"
        text += f"{self.differing:,} of {self.elements:,} differ, by {self.largest:.4g} at most"
        if self.exceeds:
            text += (
                f"; sample {self.sample} at {list(self.index)}: Keras {self.expected:.9g}, the file {self.found:.9g}"
            )
        return text

    def then(self, other: Difference) -> Difference:
        """This and the next batch's, whose samples follow."""
        first = self if self.exceeds else other
        return dataclasses.replace(
            first,
            elements=self.elements + other.elements,
            differing=self.differing + other.differing,
            largest=max(self.largest, other.largest),
        )


def difference(
    name: str, tensor: str, expected: np.ndarray, found: np.ndarray, tolerance: float, first_sample: int
) -> Difference:
    """Compares a batch.

    Args:
      name, tensor: see `Difference`.
      expected, found: arrays of one shape, whose first axis counts the samples. NaNs are equal.
      tolerance: how large a difference may be: that times the largest expected magnitude where that is above 1,
        for floats; for integers the tolerance itself.
      first_sample: number of the first sample.
    """
    floats = expected.dtype.kind == "f"
    expected, found = expected.astype(np.float64), found.astype(np.float64)
    equal = (expected == found) | np.isnan(expected) & np.isnan(found)
    with np.errstate(invalid="ignore"):
        distance = np.where(equal, 0, np.abs(found - expected))
    distance = np.where(np.isnan(distance), np.inf, distance)
    magnitudes = np.abs(expected[np.isfinite(expected)])
    scale = max(1.0, magnitudes.max(initial=0.0)) if floats else 1.0
    beyond = distance > tolerance * scale
    result = Difference(name, tensor, distance.size, int((~equal).sum()), float(distance.max(initial=0.0)))
    if not beyond.any():
        return result
    place = np.unravel_index(int(beyond.argmax()), beyond.shape)
    return dataclasses.replace(
        result,
        exceeds=True,
        sample=first_sample + int(place[0]) if place else first_sample,
        index=tuple(int(i) for i in place[1:]),
        expected=float(expected[place]),
        found=float(found[place]),
    )
