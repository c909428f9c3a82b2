"""`HyperparameterScheduler`: moves any variable that is not trained by a schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class HyperparameterScheduler(keras.callbacks.Callback):
    """Sets an attribute of the optimizer, or of another object, as a function of the time.

    The attribute must be one that a running training sees: a variable, or a property that sets one,
    such as `Bop.threshold`, `learning_rate`, or the `strength` of a `Gradual` quantizer.

    Args:
        schedule: maps the epoch or step, counted from 0, to the value.
        hyperparameter: name of the attribute.
        target: the object that has it; by default the model's optimizer.
        update_freq: `"epoch"` or `"step"`.
        log_name: under what name the value is put into the logs of an epoch; by default
            the attribute's.

    Raises:
        ValueError: another `update_freq`, or, when the training begins, a target without the
            attribute or one whose value a training would not see changed.

    >>> decay = HyperparameterScheduler(lambda epoch: 1e-4 * 0.1**epoch, "gamma")
    >>> decay.hyperparameter, decay.update_freq
    ('gamma', 'epoch')
    """

    def __init__(
        self,
        schedule: Callable[[int], Any],
        hyperparameter: str,
        target: Any = None,
        update_freq: str = "epoch",
        log_name: str | None = None,
    ):
        super().__init__()
        if update_freq not in ("epoch", "step"):
            raise ValueError(f'update_freq is "epoch" or "step". Received: {update_freq!r}.')
        self.schedule = schedule
        self.hyperparameter = hyperparameter
        self.target = target
        self.update_freq = update_freq
        self.log_name = log_name or hyperparameter

    def on_train_begin(self, logs=None):
        self._object = self.model.optimizer if self.target is None else self.target
        kind = type(self._object)
        if not hasattr(self._object, self.hyperparameter):
            raise ValueError(f"{kind.__name__} has no hyperparameter '{self.hyperparameter}'.")
        value = getattr(self._object, self.hyperparameter)
        settable = getattr(getattr(kind, self.hyperparameter, None), "fset", None) is not None
        if not hasattr(value, "assign") and not settable:
            raise ValueError(
                f"{kind.__name__}.{self.hyperparameter} is a plain {type(value).__name__}, which a training "
                "step reads only once; it has to be a variable."
            )

    def on_epoch_begin(self, epoch, logs=None):
        if self.update_freq == "epoch":
            self._set(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        if self.update_freq == "step":
            # The optimizer's count goes on where a saved training is resumed.
            self._set(int(self.model.optimizer.iterations.numpy()))

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs[self.log_name] = float(getattr(self._object, self.hyperparameter))

    def _set(self, time):
        value = float(self.schedule(time))
        variable = getattr(self._object, self.hyperparameter)
        if hasattr(variable, "assign"):
            variable.assign(value)
        else:
            setattr(self._object, self.hyperparameter, value)
