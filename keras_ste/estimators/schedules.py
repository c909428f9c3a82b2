"""Schedules: values that change in the course of the training, such as the sharpness of a surrogate.

A schedule keeps its present value in a variable that is not trained, so that a change retraces
nothing. `keras_ste.training.SurrogateScheduler` moves it on.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from keras_ste.registry import Registry


class Schedule:
    """A number that depends on how far the training has come.

    A subclass implements `value`.

    Args:
        progress: how far it has come: 0 at the start, 1 at the end.

    Raises:
        ValueError: a progress outside [0, 1].
    """

    def __init__(self, progress: float = 0.0):
        # Not a Keras variable: a model has the same weights whether its surrogates have schedules.
        with tf.init_scope():
            self.variable = tf.Variable(0.0, trainable=False, dtype=tf.float32, name="schedule")
        self.progress = progress

    def value(self, progress: float) -> float:
        """The value at this progress."""
        raise NotImplementedError(f"{type(self).__name__} has to implement value(progress).")

    @property
    def progress(self) -> float:
        """How far the training has come; to set it sets the variable."""
        return self._progress

    @progress.setter
    def progress(self, progress: float) -> None:
        if not 0 <= progress <= 1:
            raise ValueError(
                f"{type(self).__name__}'s progress must be from 0 to 1. Received: {progress!r}."
            )
        self._progress = float(progress)
        self.variable.assign(self.value(self._progress))

    def __float__(self) -> float:
        return float(self.value(self._progress))

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal schedule."""
        return {"progress": self.progress}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Schedule:
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


_REGISTRY = Registry("schedule", Schedule)
serialize = _REGISTRY.serialize


def get(identifier: Any) -> Schedule:
    """The schedule that `identifier`, a config dict or a schedule, stands for."""
    # A schedule is no callable, which is what the registry hands out.
    return identifier if isinstance(identifier, Schedule) else _REGISTRY.from_config(identifier)


@_REGISTRY.register
class Linear(Schedule):
    """From `start` to `end` in a straight line.

        value(p) = start + (end - start) p

    >>> Linear(1.0, 3.0).value(0.5)
    2.0
    """

    def __init__(self, start: float, end: float, progress: float = 0.0):
        self.start, self.end = float(start), float(end)
        super().__init__(progress)

    def value(self, progress: float) -> float:
        return self.start + (self.end - self.start) * progress

    def get_config(self) -> dict[str, Any]:
        return {"start": self.start, "end": self.end, **super().get_config()}


@_REGISTRY.register
class Exponential(Schedule):
    """From `start` to `end`, growing or shrinking by the same factor in equal times.

        value(p) = start (end / start)^p

    As slope annealing it was used by J. Chung, S. Ahn, Y. Bengio: *Hierarchical Multiscale
    Recurrent Neural Networks*, arXiv:1609.01704.

    Raises:
        ValueError: `start` or `end` is not positive.

    >>> Exponential(1.0, 100.0).value(0.5)
    10.0
    """

    def __init__(self, start: float, end: float, progress: float = 0.0):
        if not (start > 0 and end > 0):
            raise ValueError(
                f"{type(self).__name__} goes between two positive values. "
                f"Received: start={start!r}, end={end!r}."
            )
        self.start, self.end = float(start), float(end)
        super().__init__(progress)

    def value(self, progress: float) -> float:
        return self.start * math.pow(self.end / self.start, progress)

    def get_config(self) -> dict[str, Any]:
        return {"start": self.start, "end": self.end, **super().get_config()}


@_REGISTRY.register(name="ede_schedule")
class EDESchedule(Exponential):
    """The sharpness of IR-Net's error decay estimator: exponential, from 0.1 to 10.

        t(p) = start · 10^(p log10(end / start)),  p = epoch / number of epochs

    H. Qin et al.: *Forward and Backward Information Retention for Accurate Binary Neural Networks*,
    arXiv:1909.10788.

    >>> EDESchedule().value(0.5)
    1.0
    """

    def __init__(self, start: float = 0.1, end: float = 10.0, progress: float = 0.0):
        super().__init__(start, end, progress)
