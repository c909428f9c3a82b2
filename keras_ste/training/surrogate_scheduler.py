"""`SurrogateScheduler`: moves the schedules of a model's surrogates on as the training goes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from keras_ste.estimators import Schedule, Surrogate
from keras_ste.quantizers import Quantizer


class SurrogateScheduler(keras.callbacks.Callback):
    """Sets the progress of schedules: `epoch / epochs`, or `step / steps`.

    The first epoch or step has the progress 0, as with the error decay estimator of H. Qin et al.,
    *Forward and Backward Information Retention for Accurate Binary Neural Networks*,
    arXiv:1909.10788; what comes after the last has 1. The schedules' variables are assigned to, so
    nothing is traced again. A training that is resumed goes on where it was: epochs are counted
    from `initial_epoch`, steps by the optimizer.

    Args:
        schedules: which ones; by default those that `schedules_of(model)` finds.
        update_freq: `"epoch"` or `"step"`.
        total: how many epochs or steps it takes to the end; by default those of this `fit`. For a
            data set of unknown length, steps have to be given.

    Raises:
        ValueError: another `update_freq`, or a total that is not positive; and, when the training
            begins, a model without schedules, or a number of steps that nobody knows.

    >>> scheduler = SurrogateScheduler(update_freq="step", total=10_000)
    >>> scheduler.update_freq, scheduler.total
    ('step', 10000)
    """

    def __init__(
        self,
        schedules: Iterable[Schedule] | None = None,
        update_freq: str = "epoch",
        total: int | None = None,
    ):
        super().__init__()
        if update_freq not in ("epoch", "step"):
            raise ValueError(f'update_freq is "epoch" or "step". Received: {update_freq!r}.')
        if total is not None and not total > 0:
            raise ValueError(f"The total must be positive. Received: total={total!r}.")
        self.schedules = None if schedules is None else list(schedules)
        self.update_freq = update_freq
        self.total = total

    def on_train_begin(self, logs=None):
        found = schedules_of(self.model) if self.schedules is None else self.schedules
        if not found:
            raise ValueError(
                "SurrogateScheduler found no schedule in the model: give a surrogate one, as in "
                "EDE(t=EDESchedule())."
            )
        self._moved = found
        self._total = self.total or self._length_of_fit()

    def _length_of_fit(self):
        epochs = self.params["epochs"]
        if self.update_freq == "epoch":
            return epochs
        if self.params.get("steps") is None:
            raise ValueError(
                "The data set does not say how many steps an epoch has: "
                'give SurrogateScheduler(update_freq="step", total=...).'
            )
        return epochs * self.params["steps"]

    def on_epoch_begin(self, epoch, logs=None):
        if self.update_freq == "epoch":
            self._set(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        if self.update_freq == "step":
            self._set(int(self.model.optimizer.iterations.numpy()))

    def _set(self, time):
        for schedule in self._moved:
            schedule.progress = min(time / self._total, 1.0)


def schedules_of(model: keras.Model) -> list[Schedule]:
    """The schedules of the surrogates in a model's layers, quantizers and activations, each once.

    >>> from keras_ste.estimators import EDE, schedules
    >>> from keras_ste.layers import QuantDense
    >>> from keras_ste.quantizers import SteSign
    >>> sign = SteSign(surrogate=EDE(t=schedules.EDESchedule()))
    >>> schedules_of(keras.Sequential([keras.Input((4,)), QuantDense(2, kernel_quantizer=sign)]))
    [EDESchedule(start=0.1, end=10.0, progress=0.0)]
    """
    found: dict[int, Schedule] = {}
    seen: set[int] = set()

    def search(value: Any) -> None:
        if id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, Schedule):
            found[id(value)] = value
        elif isinstance(value, (Surrogate, Quantizer)):
            for attribute in vars(value).values():
                search(attribute)
        elif not isinstance(value, type) and isinstance(getattr(value, "surrogate", None), Surrogate):
            # An estimator made by straight_through.
            search(value.surrogate)

    for layer in model._flatten_layers():
        for attribute in vars(layer).values():
            search(attribute)
    return list(found.values())
