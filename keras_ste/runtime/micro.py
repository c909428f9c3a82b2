"""`keras_ste.MicroInterpreter`: TFLite Micro on this machine, to see what a board will compute."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import operator
import os
import pathlib
from typing import Any

import numpy as np

from keras_ste.runtime.native import library_path, litert

LIBRARY = "libkeras_ste_micro.so"
# The wheel's binary interface changes without notice: the library knows that of this version.
WHEEL = "tflite-micro"
WHEEL_VERSION = "0.dev20260203175027"
INSTALL = 'pip install "keras_ste[micro]"'

# TFLite Micro crashes where its own first objects do not fit.
SMALLEST_ARENA = 1 << 10
# It has fewer types than TFLite; what the converter asks of it are casts of indices to INT32.
_ITS_OWN_OP = (
    "one of TFLite's own ops failed, its log on stderr says which; a CAST can be of neither INT64 nor UINT8, so that a model "
    "for boards has to take int32 where it takes indices"
)
# An arena of a first guess, and then larger ones: where none of them will do, it is not for want of memory.
ARENA_FACTORS = (1, 8, 64)


class MicroInterpreter:
    """The interpreter of TFLite Micro, with the ops of this package and the kernels that boards have.

    TFLite Micro cannot resize tensors: it takes the shapes stored in the file, whose batch is 1.

    Args:
      model_path: path of a `.tflite` file. Either this or `model_content` is given.
      model_content: the bytes of such a file.
      arena_size: bytes of memory for tensors and ops; by default as many as needed. A board, with pointers of half the
        size, needs less.

    Attributes:
      arena_size: bytes of memory that were reserved.

    Raises:
      TypeError: `model_content` is not bytes.
      ValueError: not exactly one of `model_path` and `model_content`, no valid model, or an `arena_size` below 1024.
      FileNotFoundError: no file at `model_path`, or the native library is missing.
      ImportError: tflite-micro is not installed, or another version than the library was made for.
      RuntimeError: the arena is too small, or TFLite Micro cannot run the model; its log on stderr says more.

    Example:
      >>> import keras, keras_ste, numpy as np
      >>> model = keras.Sequential([keras.Input((4,)), keras_ste.QuantDense(
      ...     2, input_quantizer="ste_sign", kernel_quantizer="ste_sign")])
      >>> content = keras_ste.convert(model).model_content
      >>> interpreter = keras_ste.MicroInterpreter(model_content=content)
      >>> interpreter.set_input(np.ones((1, 4), "float32"), 0)
      >>> interpreter.invoke()
      >>> interpreter.get_output(0).shape
      (1, 2)
    """

    def __init__(
        self,
        model_path: str | os.PathLike | None = None,
        model_content: bytes | None = None,
        arena_size: int | None = None,
    ):
        if (model_path is None) == (model_content is None):
            raise ValueError("MicroInterpreter takes either model_path or model_content")
        if model_path is not None:
            if not os.path.isfile(model_path):
                raise FileNotFoundError(f"there is no model file '{os.fspath(model_path)}'")
            model_content = pathlib.Path(model_path).read_bytes()
        if not isinstance(model_content, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"model_content takes the bytes of a .tflite file, got {type(model_content).__name__}; of a "
                "ConvertedModel these are in its attribute model_content"
            )
        if arena_size is not None and operator.index(arena_size) < SMALLEST_ARENA:
            raise ValueError(f"arena_size is a number of bytes, at least {SMALLEST_ARENA}, got {arena_size}")
        wheel, library = _wheel(), _library()
        content = bytes(model_content)
        file = _read(content)
        self._inputs = [detail["name"] for detail in file.get_input_details()]
        self._outputs = [detail["name"] for detail in file.get_output_details()]
        guess = _first_guess(file)
        sizes = [guess * factor for factor in ARENA_FACTORS] if arena_size is None else [operator.index(arena_size)]
        for self.arena_size in sizes:
            try:
                self._interpreter = _allocate(wheel, content, self.arena_size)
                return
            except RuntimeError as error:
                reason = library.KerasSteTakeError().decode()
                if reason:
                    raise RuntimeError(f"TFLite Micro cannot run the model: {reason}") from error
        raise RuntimeError(
            f"TFLite Micro could not prepare the model in an arena of {self.arena_size} bytes; its log on stderr says "
            "what is missing: memory, or an op"
        )

    def set_input(self, array: np.ndarray, index: int = 0) -> None:
        """Copies an array of exactly the input's type and shape into input `index`."""
        detail = self.get_input_details(index)
        array = np.asarray(array)
        dtype, shape = np.dtype(detail["dtype"]), detail["shape"].tolist()
        if array.dtype != dtype or list(array.shape) != shape:
            raise ValueError(
                f"input {index} ('{detail['name']}') takes {dtype} {shape}, got {array.dtype} {list(array.shape)}"
            )
        self._interpreter.SetInputTensor(array, operator.index(index))

    def invoke(self) -> None:
        """Runs the model.

        Raises:
          RuntimeError: an op fails; where it is one of TFLite's own, the log on stderr says why.
        """
        try:
            self._interpreter.Invoke()
        except RuntimeError as error:
            reason = _library().KerasSteTakeError().decode()
            raise RuntimeError(f"TFLite Micro cannot run the model: {reason or _ITS_OWN_OP}") from error

    def get_output(self, index: int = 0) -> np.ndarray:
        """A copy of output `index`, as the last `invoke()` left it."""
        return self._interpreter.GetOutputTensor(_checked(index, self._outputs, "output"))

    def get_input_details(self, index: int = 0) -> dict[str, Any]:
        """Name, shape, dtype and quantization parameters of input `index`."""
        index = _checked(index, self._inputs, "input")
        return {"name": self._inputs[index], **self._interpreter.GetInputTensorDetails(index)}

    def get_output_details(self, index: int = 0) -> dict[str, Any]:
        """Name, shape, dtype and quantization parameters of output `index`."""
        index = _checked(index, self._outputs, "output")
        return {"name": self._outputs[index], **self._interpreter.GetOutputTensorDetails(index)}

    def reset(self) -> None:
        """Puts the model's state, if it has any, back to what it was before the first `invoke()`."""
        self._interpreter.Reset()


def _checked(index: int, names: list[str], kind: str) -> int:
    index = operator.index(index)
    if not 0 <= index < len(names):
        raise IndexError(f"there is no {kind} {index}: the model has {len(names)}, counted from 0")
    return index


@functools.cache
def _wheel() -> Any:
    """The module with the wheel's interpreter."""
    try:
        version = importlib.metadata.version(WHEEL)
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError(
            f"keras_ste.MicroInterpreter needs the package {WHEEL}, which is there for Python 3.11 and 3.12: {INSTALL}"
        ) from error
    if version != WHEEL_VERSION:
        raise ImportError(
            f"{WHEEL} {version} is installed, but keras_ste.MicroInterpreter was made for {WHEEL_VERSION}, and other "
            f"versions have another binary interface: {INSTALL}"
        )
    from tflite_micro import runtime

    return runtime


@functools.cache
def _library() -> Any:
    """The native library, beside the delegate's. The wheel looks its entry point up among the process's symbols."""
    path = library_path().with_name(LIBRARY)
    if not path.is_file():
        raise FileNotFoundError(
            f"the native library '{path}' is missing. It is built when the package is installed: in the source "
            "tree run `pip install .`, or `pip install -e .` to use the tree in place (both need a C++17 compiler)"
        )
    library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    library.KerasSteTakeError.restype = ctypes.c_char_p
    return library


def _read(content: bytes) -> Any:
    """The model in LiteRT's interpreter, which checks a file where TFLite Micro believes it; it never runs."""
    interpreter = litert()
    return interpreter.Interpreter(
        model_content=content,
        experimental_op_resolver_type=interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )


def _first_guess(file: Any) -> int:
    """An arena with room for everything at once. What is not touched costs no memory."""
    tensors = file.get_tensor_details()
    elements = sum(int(np.prod(tensor["shape"], dtype=np.int64)) for tensor in tensors)
    return (1 << 16) + 1024 * len(tensors) + 16 * elements


def _allocate(wheel: Any, content: bytes, arena_size: int) -> Any:
    """The wheel's interpreter without its Python class, which prints a line for each model."""
    resources = wheel.flatbuffer_utils.count_resource_variables(content)
    config = wheel._runtime.PythonInterpreterConfig.kAllocationRecording
    return wheel._runtime.InterpreterWrapper(content, ["KerasSteRegister"], arena_size, resources, config)
