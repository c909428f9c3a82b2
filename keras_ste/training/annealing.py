"""Widths that fall in the course of the training, and quantization that sets in for weights first, then for inputs."""

from __future__ import annotations

from typing import Any

import keras

from keras_ste.quantizers.integers import RoundedCodes
from keras_ste.training.gradual import Gradual, gradual_quantizers
from keras_ste.training.monitor import weight_quantizers


class BitWidthAnnealing(keras.callbacks.Callback):
    """Begins with wide codes, and takes a bit off every so many epochs until quantizers have their own widths.

    It is for quantizers with a rounding and a width (`Lsq`, `UniformQuantizer`): their codes are widened when the
    training begins, and a learned step goes with them, so that the range stays. After every change the training step
    is traced anew. However the training ends, afterwards the widths are the model's own. Progressive widths as of
    B. Zhuang et al., *Towards Effective Low-bitwidth Convolutional Neural Networks*, arXiv:1711.00205, section 3.2.

    Args:
        start: the width of the first epochs, for all that are narrower.
        every: how many epochs it takes to lose a bit.

    Raises:
        ValueError: a start outside 2 to 16, an `every` below 1; and, when the training begins, a model without such
            quantizers narrower than `start`.

    >>> annealing = BitWidthAnnealing(start=8, every=2)
    >>> [annealing.width(final=4, epoch=epoch) for epoch in (0, 1, 2, 5, 8, 20)]
    [8, 8, 7, 6, 4, 4]
    """

    def __init__(self, start: int = 8, every: int = 1):
        super().__init__()
        if start not in range(2, 17) or every < 1:
            raise ValueError(
                "BitWidthAnnealing starts with 2 to 16 bits, and keeps them for an epoch or more. "
                f"Received: start={start!r}, every={every!r}."
            )
        self.start, self.every = int(start), int(every)
        self._widths: list[tuple[RoundedCodes, int]] = []

    def width(self, final: int, epoch: int) -> int:
        """The width in this epoch, counted from 0, of a quantizer that is to have `final` bits."""
        return max(min(final, self.start), self.start - epoch // self.every)

    def on_train_begin(self, logs=None):
        found = {id(q): q for q in _quantizers(self.model) if isinstance(q, RoundedCodes) and q.bits < self.start}
        if not found:
            raise ValueError(
                f"BitWidthAnnealing(start={self.start}) needs Lsq or UniformQuantizer of fewer bits, and the model "
                f"'{self.model.name}' has none."
            )
        self._widths = [(quantizer, quantizer.bits) for quantizer in found.values()]

    def on_epoch_begin(self, epoch, logs=None):
        self._set([self.width(final, epoch) for _, final in self._widths])

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["bits"] = float(max(quantizer.bits for quantizer, _ in self._widths))

    def on_train_end(self, logs=None):
        self._set([final for _, final in self._widths])

    def _set(self, widths):
        changed = False
        for (quantizer, _), bits in zip(self._widths, widths, strict=True):
            if quantizer.bits != bits:
                quantizer.set_bits(bits)
                changed = True
        if changed:
            # What is traced has the old widths in it.
            self.model.test_function = self.model.predict_function = None
            self.model.make_train_function(force=True)


class ProgressiveQuantization(keras.callbacks.Callback):
    """Quantizes the weights first and the inputs afterwards, or the other way round, each little by little.

    It moves the strength of the model's `Gradual` quantizers from 0 to 1 in a straight line between two training
    steps, those of weights between one pair, the others between another one. `scheme.gradual()` makes a
    scheme of such quantizers. Weights first: B. Zhuang et al., *Towards Effective Low-bitwidth Convolutional Neural
    Networks*, arXiv:1711.00205, section 3.1; `TwoStageTraining` begins with the inputs.

    Args:
        weights: the training steps with which the quantization of the weights begins and ends.
        inputs: the same for everything else.

    Raises:
        ValueError: a pair that ends before it begins; and, when the training begins, a model without `Gradual`.

    >>> progressive = ProgressiveQuantization(weights=(0, 100), inputs=(100, 200))
    >>> progressive.strengths(150)
    (1.0, 0.5)
    """

    def __init__(self, weights: tuple[int, int], inputs: tuple[int, int]):
        super().__init__()
        for name, (start, end) in (("weights", weights), ("inputs", inputs)):
            if not 0 <= start <= end:
                raise ValueError(f"ProgressiveQuantization needs 0 <= start <= end. Received: {name}={(start, end)}.")
        self.weights, self.inputs = tuple(weights), tuple(inputs)

    def strengths(self, step: int) -> tuple[float, float]:
        """λ of weights and of inputs in the step with this number, counted from 0."""
        return _between(step, *self.weights), _between(step, *self.inputs)

    def on_train_begin(self, logs=None):
        if not gradual_quantizers(self.model):
            raise ValueError(
                "ProgressiveQuantization needs a model with Gradual quantizers, as of scheme.gradual(); "
                f"'{self.model.name}' has none."
            )
        of_weights = {id(quantizer) for quantizer, _ in weight_quantizers(self.model).values()}
        self._parts: tuple[list[Gradual], list[Gradual]] = ([], [])
        for quantizer in gradual_quantizers(self.model):
            self._parts[id(quantizer) not in of_weights].append(quantizer)

    def on_train_batch_begin(self, batch, logs=None):
        # The optimizer's count goes on where a saved training is resumed.
        step = int(self.model.optimizer.iterations.numpy())
        for strength, quantizers in zip(self.strengths(step), self._parts, strict=True):
            for quantizer in quantizers:
                quantizer.strength.assign(strength)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            for name, quantizers in zip(("weight_strength", "input_strength"), self._parts, strict=True):
                if quantizers:
                    logs[name] = float(quantizers[0].strength.numpy())


def _between(step, start, end):
    if step >= end:
        return 1.0
    return 0.0 if step <= start else (step - start) / (end - start)


def _quantizers(model: keras.Model) -> list[Any]:
    """All quantizers of a model's layers, those inside of `Gradual` in their place."""
    found = []
    for layer in model._flatten_layers():
        for argument in getattr(layer, "quantizer_arguments", ()):
            quantizer = getattr(layer, argument)
            while isinstance(quantizer, Gradual):
                quantizer = quantizer.quantizer
            found.append(quantizer)
    return found
