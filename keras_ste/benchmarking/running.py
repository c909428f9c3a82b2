"""Interpreters that are ready to be timed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_ste.runtime.interpreter import Interpreter


def invoker(content: bytes, num_threads: int = 1) -> Callable[[], None]:
    """A function that runs a file on some inputs, at the file's own shapes.

    Args:
      content: the file.
      num_threads: number of threads.

    Raises:
      RuntimeError, ValueError: the interpreter refuses the file.
    """
    interpreter = Interpreter(model_content=content, num_threads=num_threads)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], _values(rng, tuple(detail["shape"]), np.dtype(detail["dtype"])))
    return interpreter.invoke


def _values(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Random numbers; zeros of the types that are packed codes, or places in other tensors."""
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    if dtype.itemsize == 1 and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return np.zeros(shape, dtype)
