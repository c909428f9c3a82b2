"""`keras_ste.inspect`: what a `.tflite` file of this package holds."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_ste.converter.convert import METADATA
from keras_ste.converter.graph import LATEST_VERSION, PREFIX, Graph, Model, Op, Tensor, read_model
from keras_ste.converter.report import quantizer_bits
from keras_ste.converter.rows import Row, op_row
from keras_ste.runtime.native import litert
from keras_ste.tables import table_lines


@dataclasses.dataclass(frozen=True)
class TensorRow:
    """A tensor of an op. Sizes that are known only at run time are -1 in its shape.

    Of a tensor with a `scale` an integer q stands for `scale * (q - zero_point)`; without one it is None.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    constant: bool
    scale: float | None = None
    zero_point: int = 0


@dataclasses.dataclass(frozen=True)
class OpInspection:
    """An op of the file.

    Attributes:
      row: as in the report of a conversion: types, bytes, multiply-adds, what is packed, the check of its
        size. Its layer is None where the file does not say.
      options: of this package's ops, what their FlexBuffer map says.
      inputs, outputs: the tensors; None for an input that is absent.
      subgraph: the subgraph's number.
    """

    row: Row
    options: dict[str, Any]
    inputs: tuple[TensorRow | None, ...]
    outputs: tuple[TensorRow, ...]
    subgraph: int = 0


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What a file holds. `str()` is a table, `to_dict()` and `to_json()` say all of it.

    Attributes:
      file_bytes: its size.
      ops: in the order of the file.
      signatures: for each signature the inputs and outputs by name.
      metadata: what the package wrote about the file (docs/ops.md), None where it did not.
      labels: the names of the classes, by the name of their file.
    """

    file_bytes: int
    ops: tuple[OpInspection, ...]
    signatures: dict[str, dict[str, dict[str, TensorRow]]]
    metadata: dict[str, Any] | None
    labels: dict[str, list[str]]

    @property
    def rows(self) -> tuple[Row, ...]:
        """The ops' rows."""
        return tuple(op.row for op in self.ops)

    @property
    def missed_sizes(self) -> tuple[Row, ...]:
        """The ops whose weights take more than 1.02 times their bits, and not because of words of 32 channels."""
        return tuple(row for row in self.rows if row.size is not None and row.size.verdict == "missed")

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain Python values."""
        return dataclasses.asdict(self)

    def to_json(self, **options: Any) -> str:
        """`to_dict()` as JSON; options are those of `json.dumps`."""
        return json.dumps(self.to_dict(), **options)

    def __str__(self) -> str:
        header = ("op", "layer", "input", "output", "packed", "weights", "bits", "bytes", "of bits", "other bytes")
        table = table_lines([header, *(_cells(op.row) for op in self.ops)], right=range(5, len(header)))
        text = table[:2]
        for op, line in zip(self.ops, table[2:], strict=True):
            text.append(line)
            if op.options:
                text.append("    " + ", ".join(f"{key} {value}" for key, value in sorted(op.options.items())))
            if op.row.size is not None and op.row.size.reason:
                text.append(f"    size {op.row.size.verdict}: {op.row.size.reason}")
        for key, signature in self.signatures.items():
            for side, tensors in signature.items():
                text.append(f"{key} {side}: {', '.join(_end(name, tensor) for name, tensor in tensors.items())}")
        text += [f"labels in {name}: {len(labels)}" for name, labels in self.labels.items()]
        written = "keras_ste " + self.metadata["version"] if self.metadata else "a writer that the file does not name"
        text.append(f"{self.file_bytes:,} bytes, written by {written}; {self._sizes()}")
        return "\n".join(text)

    def _sizes(self) -> str:
        verdicts = [row.size.verdict for row in self.rows if row.size is not None]
        counts = {name: verdicts.count(name) for name in ("met", "padded", "missed")}
        return (
            f"packed weights of {len(verdicts)} ops: {counts['met']} within 1.02 of what their bits take, "
            f"{counts['padded']} padded to words of 32 channels, {counts['missed']} missed"
        )


def _cells(row: Row) -> tuple[str, ...]:
    size = row.size
    if size is None:
        figures = ("", "", f"{row.constant_bytes:,}" if row.constant_bytes else "", "", "")
    else:
        numbers = (
            f"{size.weights:,}",
            str(size.bits),
            f"{size.weight_bytes:,}",
            f"{size.ratio:.3f}",
            f"{size.other_bytes:,}",
        )
        figures = numbers
    return (row.op, row.layer or "", row.input, row.output, row.packed, *figures)


def inspect(model: str | os.PathLike | bytes) -> Inspection:
    """Reads a `.tflite` file of this package back.

    Args:
      model: the file's path, or its bytes.

    Returns:
      An `Inspection`: ops, options, bytes, what is packed and whether it takes what its bits take, metadata.

    Raises:
      FileNotFoundError: no such file.
      ValueError: no whole `.tflite` file, or one with an op of a later version of this package.

    Example:
      >>> import keras, keras_ste
      >>> layer = keras_ste.QuantDense(4, input_quantizer="ste_sign", kernel_quantizer="ste_sign")
      >>> content = keras_ste.convert(keras.Sequential([keras.Input((64,)), layer])).model_content
      >>> [(op.row.op, op.row.size and op.row.size.verdict) for op in keras_ste.inspect(content).ops]
      [('SteQuantize', None), ('SteFullyConnected', 'met')]
    """
    content = model_bytes(model)
    with _broken_files_refused():
        return _inspect(content)


def _inspect(content: bytes) -> Inspection:
    graph = read_checked(content)
    metadata = metadata_of(graph)
    bits = quantizer_bits(metadata["layers"]) if metadata else {}
    ops = []
    for number, subgraph in enumerate(graph.graphs):
        for op in subgraph.ops:
            ops.append(_op(subgraph, op, number, bits))
    signatures = {
        signature.key: {
            side: {name: _tensor(tensor) for name, tensor in tensors.items()}
            for side, tensors in (("inputs", signature.inputs), ("outputs", signature.outputs))
        }
        for signature in graph.signatures
    }
    return Inspection(len(content), tuple(ops), signatures, metadata, _labels(content))


@contextlib.contextmanager
def _broken_files_refused() -> Iterator[None]:
    """Whatever a wrong number in a file leads to is a ValueError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, struct.error) as error:
        raise ValueError(f"the .tflite file is broken ({type(error).__name__}: {error})") from error


def model_bytes(model: str | os.PathLike | bytes) -> bytes:
    """The bytes of a file that is given by its path or its bytes.

    Raises:
      TypeError, FileNotFoundError: neither, or no such file.
    """
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model)
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"a model is the path of a .tflite file or its bytes, got {type(model).__name__}")
    if not os.path.isfile(model):
        raise FileNotFoundError(f"there is no model file '{os.fspath(model)}'")
    with open(model, "rb") as file:
        return file.read()


def read_checked(content: bytes) -> Model:
    """The graph of a file, its ops with the layers that its metadata names.

    Raises:
      ValueError: no whole `.tflite` file, or one with an op of a later version of this package.
    """
    runtime = litert()
    try:
        # LiteRT checks every offset; the Python reader believes them.
        runtime.Interpreter(
            model_content=content,
            experimental_op_resolver_type=runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
    except ValueError as error:
        raise ValueError(f"these bytes are not a whole .tflite file: {error}") from error
    with _broken_files_refused():
        return _read(content)


def _read(content: bytes) -> Model:
    graph = read_model(content)
    metadata = metadata_of(graph)
    layers = metadata.get("ops", []) if metadata else []
    for subgraph, names in zip(graph.graphs, layers):
        for op, layer in zip(subgraph.ops, names):
            op.layer = layer
    for op in (op for subgraph in graph.graphs for op in subgraph.ops):
        version = op.options.get("version")
        if (op.custom_name or "").startswith(PREFIX) and version not in range(1, LATEST_VERSION + 1):
            raise ValueError(
                f"{op.name} has the version {version}; this keras_ste knows versions up to {LATEST_VERSION}: was the file "
                "written by a later one?"
            )
    return graph


def metadata_of(graph: Model) -> dict[str, Any] | None:
    """What the package wrote about the file, None where it did not."""
    if METADATA not in graph.metadata:
        return None
    try:
        return json.loads(graph.metadata[METADATA])
    except ValueError as error:
        raise ValueError(f"the metadata '{METADATA}' cannot be read: {error}") from error


def _op(graph: Graph, op: Op, subgraph: int, bits: dict[str, int]) -> OpInspection:
    try:
        row = op_row(graph, op, bits.get(op.layer))
    except KeyError as error:
        raise ValueError(f"{op.name} lacks the option {error}") from error
    return OpInspection(
        row,
        {key: value.item() if isinstance(value, np.generic) else value for key, value in op.options.items()},
        tuple(None if tensor is None else _tensor(tensor) for tensor in op.inputs),
        tuple(_tensor(tensor) for tensor in op.outputs),
        subgraph,
    )


def _end(name: str, tensor: TensorRow) -> str:
    """An input or output as it is printed."""
    worth = "" if tensor.scale is None else f" ({stands_for(tensor.scale, tensor.zero_point)})"
    return f"{name} {tensor.type}{list(tensor.shape)}{worth}"


def stands_for(scale: float, zero_point: int) -> str:
    """What the integers of a quantized tensor mean.

    >>> stands_for(0.5, -128)
    'q stands for 0.5 * (q + 128)'
    """
    return f"q stands for {scale:g} * (q {'-' if zero_point > 0 else '+'} {abs(zero_point)})"


def _tensor(tensor: Tensor) -> TensorRow:
    row = TensorRow(tensor.name, tensor.type_name, tensor.signature, tensor.constant)
    quantization = None if tensor.raw is None else tensor.raw.quantization
    if quantization is None or quantization.scale is None or len(quantization.scale) != 1:
        return row  # of weights there is a scale for each channel, which are listed nowhere
    (zero_point,) = [0] if quantization.zeroPoint is None else quantization.zeroPoint
    return dataclasses.replace(row, scale=float(quantization.scale[0]), zero_point=int(zero_point))


def _labels(content: bytes) -> dict[str, list[str]]:
    """The label files of the archive behind the model."""
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        return {}
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if name.endswith(".txt")]
            return {name: archive.read(name).decode("utf-8").splitlines() for name in names}
    except (EOFError, NotImplementedError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"the label files behind the model cannot be read: {error}") from error
