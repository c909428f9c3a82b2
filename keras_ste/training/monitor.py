"""What happens to the codes of a model while it is trained: as values, in the logs, in TensorBoard."""

from __future__ import annotations

import importlib.util
import itertools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ste.quantizers import Quantizer


def codes_of(quantizer: Quantizer, x: Any) -> np.ndarray:
    """The integer codes of `x`, without the scale.

    >>> from keras_ste import SteSign
    >>> codes_of(SteSign(), [0.5, -0.5]).tolist()
    [1, 0]
    """
    codes = quantizer.encode(tf.convert_to_tensor(x))
    return (codes[0] if quantizer.spec.dynamic_scale else codes).numpy()


def flip_ratio(before: Any, after: Any) -> float:
    """The share of codes that are not what they were.

    Raises:
        ValueError: the shapes differ.

    >>> flip_ratio([0, 1, 1, 0], [0, 1, 0, 0])
    0.25
    """
    before, after = np.asarray(before), np.asarray(after)
    if before.shape != after.shape:
        raise ValueError(f"flip_ratio compares equal shapes. Received: {before.shape} and {after.shape}.")
    return float(np.mean(before != after)) if before.size else 0.0


def saturated_share(quantizer: Any, x: Any) -> float:
    """The share of values that the quantizer gives no gradient, so that they cannot move.

    >>> from keras_ste import SteSign
    >>> saturated_share(SteSign(), [0.5, -1.5, 3.0, 0.0])
    0.5
    """
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = quantizer(x)
    # Of random sign, so that no two parts of a gradient cancel.
    upstream = tf.constant(np.random.default_rng(0).uniform(1, 2, x.shape), x.dtype)
    gradient = tape.gradient(y, x, output_gradients=upstream)
    return float(np.mean(gradient.numpy() == 0)) if gradient is not None and x.shape.num_elements() else 0.0


def code_histogram(quantizer: Quantizer, x: Any) -> dict[int, int]:
    """How often each code occurs, in the order of the codes.

    >>> from keras_ste import SteSign
    >>> code_histogram(SteSign(), [0.5, -1.5, 3.0])
    {0: 1, 1: 2}
    """
    codes, counts = np.unique(codes_of(quantizer, x), return_counts=True)
    return {int(code): int(count) for code, count in zip(codes, counts, strict=True)}


def weight_quantizers(model: keras.Model) -> dict[str, tuple[Quantizer, Any]]:
    """By the path of a variable: its quantizer, where that has codes, and the variable.

    Layers of the same name have variables of the same path: from the second on it ends in `_1`, `_2`, ...

    >>> import keras_ste
    >>> layer = keras_ste.QuantDense(2, kernel_quantizer="ste_sign", name="dense")
    >>> list(weight_quantizers(keras.Sequential([keras.Input((3,)), layer], name="net")))
    ['net/dense/kernel']
    """
    found = {}
    # A layer that is used twice counts once.
    layers = {id(layer): layer for layer in model._flatten_layers()}
    for layer in layers.values():
        for argument, weight in getattr(layer, "quantized_weights", {}).items():
            quantizer = getattr(layer, argument)
            if isinstance(quantizer, Quantizer):
                variable = getattr(layer, weight)
                path = getattr(variable, "path", f"{layer.path}/{weight}")
                names = itertools.chain([path], (f"{path}_{number}" for number in itertools.count(1)))
                found[next(name for name in names if name not in found)] = (quantizer, variable)
    return found


class QuantizationMonitor(keras.callbacks.Callback):
    """After every epoch: how many codes changed, how many weights stand still, which codes there are.

    Puts `flip_ratio` and `saturated_share`, over all quantized weights, into the epoch's logs (and so
    into `History`, progress bar and TensorBoard), and keeps them by weight, with the histogram of the
    codes, in `history`: a list with one dictionary an epoch.

    Args:
        log_dir: where to write the values of each weight for TensorBoard as well.

    Raises:
        ValueError: when the training begins, for a model without quantized weights.
        ImportError: then too, where `log_dir` is given and TensorBoard is not installed.

    >>> QuantizationMonitor().history
    []
    """

    def __init__(self, log_dir: Any = None):
        super().__init__()
        self.log_dir = log_dir
        self.history: list[dict[str, dict]] = []
        self._writer = None

    def on_train_begin(self, logs=None):
        if not weight_quantizers(self.model):
            raise ValueError(f"The model '{self.model.name}' has no quantized weights to monitor.")
        if self.log_dir is not None:
            if importlib.util.find_spec("tensorboard") is None:
                raise ImportError("QuantizationMonitor's log_dir needs TensorBoard: pip install tensorboard")
            self._writer = tf.summary.create_file_writer(str(self.log_dir))
        self._codes = self._all_codes()

    def on_epoch_end(self, epoch, logs=None):
        codes = self._all_codes()
        record, sizes = {}, []
        for path, (quantizer, variable) in weight_quantizers(self.model).items():
            values, counts = np.unique(codes[path], return_counts=True)
            record[path] = {
                "flip_ratio": flip_ratio(self._codes[path], codes[path]),
                "saturated_share": saturated_share(quantizer, variable),
                "code_histogram": dict(zip(values.tolist(), counts.tolist(), strict=True)),
            }
            sizes.append(codes[path].size)
        self._codes = codes
        self.history.append(record)
        if logs is not None:
            for name in ("flip_ratio", "saturated_share"):
                logs[name] = float(np.average([row[name] for row in record.values()], weights=sizes))
        if self._writer is not None:
            self._write(epoch, record, codes)

    def on_train_end(self, logs=None):
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _all_codes(self):
        return {path: codes_of(*pair) for path, pair in weight_quantizers(self.model).items()}

    def _write(self, epoch, record, codes):
        with self._writer.as_default():
            for path, row in record.items():
                tf.summary.scalar(f"flip_ratio/{path}", row["flip_ratio"], step=epoch)
                tf.summary.scalar(f"saturated_share/{path}", row["saturated_share"], step=epoch)
                tf.summary.histogram(f"codes/{path}", codes[path].ravel(), step=epoch)
        self._writer.flush()
