"""Finds the native library with the custom ops, and loads its delegate."""

from __future__ import annotations

import os
import pathlib
from typing import Any

LIBRARY = "libkeras_ste.so"
ENVIRONMENT = "KERAS_STE_LIBRARY"

INSTALL_LITERT = "pip install ai-edge-litert"


def library_path() -> pathlib.Path:
    """The native library: the one the environment variable KERAS_STE_LIBRARY names, else the package's.

    Raises:
      FileNotFoundError: it is not there; the message says how to build it.

    Example:
      >>> from keras_ste.runtime import library_path
      >>> library_path().suffix
      '.so'
    """
    named = os.environ.get(ENVIRONMENT)
    if named:
        path = pathlib.Path(named)
        if not path.is_file():
            raise FileNotFoundError(
                f"the environment variable {ENVIRONMENT} names '{named}', which is not a file; it should be "
                f"the path of {LIBRARY}"
            )
        return path
    path = pathlib.Path(__file__).parent / "lib" / LIBRARY
    if not path.is_file():
        raise FileNotFoundError(
            f"the native library '{path}' is missing. It is built when the package is installed: in the source "
            "tree run `pip install .`, or `pip install -e .` to use the tree in place (both need a C++17 "
            f"compiler); or set {ENVIRONMENT} to the path of a built {LIBRARY}."
        )
    return path


def load_delegate(runtime: str = "litert") -> Any:
    """Loads the delegate that gives a stock interpreter the ops of this package.

    Args:
      runtime: whose interpreter it is for: `"litert"` (ai_edge_litert) or `"tflite"` (tf.lite).

    Returns:
      A delegate for the argument `experimental_delegates`.

    Raises:
      ValueError: an unknown runtime, or a library that cannot be loaded.
      FileNotFoundError: the native library is missing.
      ImportError: the runtime is not installed.

    Example:
      >>> import tensorflow as tf
      >>> from keras_ste.runtime import load_delegate
      >>> delegate = load_delegate("tflite")
      >>> # tf.lite.Interpreter(model_path="model.tflite", experimental_delegates=[delegate])
    """
    if runtime == "litert":
        load = litert().load_delegate
    elif runtime == "tflite":
        # Needed for this runtime only, and slow to import.
        import tensorflow as tf

        load = tf.lite.experimental.load_delegate
    else:
        raise ValueError(f'runtime is "litert" or "tflite", got {runtime!r}')
    return load(str(library_path()))


def litert() -> Any:
    """The module `ai_edge_litert.interpreter`.

    Raises:
      ImportError: it is not installed, and how to install it.
    """
    try:
        from ai_edge_litert import interpreter
    except ImportError as error:
        raise ImportError(
            f"keras_ste.Interpreter needs the package ai-edge-litert: {INSTALL_LITERT}"
        ) from error
    return interpreter
