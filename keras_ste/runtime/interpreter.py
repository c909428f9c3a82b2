"""`keras_ste.Interpreter`: LiteRT's interpreter with the ops of this package."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from keras_ste.runtime.native import litert, load_delegate


class Interpreter(litert().Interpreter):
    """An `ai_edge_litert.interpreter.Interpreter` that knows the ops of this package.

    Args:
      model_path: path of a `.tflite` file. Either this or `model_content` is given.
      model_content: the bytes of such a file.
      num_threads: number of threads, at least 1; by default 1.
      experimental_delegates: further delegates, which take their ops before ours.
      **kwargs: further arguments of LiteRT's interpreter.

    Raises:
      TypeError: `model_content` is not bytes.
      ValueError: not exactly one of `model_path` and `model_content`, or no valid model.
      FileNotFoundError: no file at `model_path`, or the native library is missing.
      ImportError: ai-edge-litert is not installed.

    Example:
      >>> import keras, keras_ste, numpy as np
      >>> model = keras.Sequential([keras.Input((4,)), keras_ste.QuantDense(
      ...     2, input_quantizer="ste_sign", kernel_quantizer="ste_sign")])
      >>> content = keras_ste.convert(model).model_content
      >>> interpreter = keras_ste.Interpreter(model_content=content)
      >>> interpreter.allocate_tensors()
      >>> interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ones((1, 4), "float32"))
      >>> interpreter.invoke()
      >>> interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).shape
      (1, 2)
    """

    def __init__(
        self,
        model_path: str | os.PathLike | None = None,
        model_content: bytes | None = None,
        experimental_delegates: Sequence[Any] | None = None,
        num_threads: int | None = None,
        **kwargs: Any,
    ):
        if (model_path is None) == (model_content is None):
            raise ValueError("Interpreter takes either model_path or model_content")
        if model_path is not None and not os.path.isfile(model_path):
            raise FileNotFoundError(f"there is no model file '{os.fspath(model_path)}'")
        if model_content is not None and not isinstance(model_content, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"model_content takes the bytes of a .tflite file, got {type(model_content).__name__}; of a "
                "ConvertedModel these are in its attribute model_content"
            )
        super().__init__(
            model_path=None if model_path is None else os.fspath(model_path),
            model_content=None if model_content is None else bytes(model_content),
            experimental_delegates=[*(experimental_delegates or ()), load_delegate("litert")],
            num_threads=num_threads,
            **kwargs,
        )
