"""A `.tflite` file as a graph of Python objects, for the passes to change.

Where the file has indices, the graph has references: an op holds its tensors, a constant tensor holds
its values. Whatever no op, input or output refers to any more is left out when the graph is written.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator

import numpy as np
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

BuiltinOperator = schema.BuiltinOperator
TensorType = schema.TensorType
ActivationFunctionType = schema.ActivationFunctionType

# The ops whose options this package reads and writes.
MATMUL_OPS = ("SteConv2D", "SteDepthwiseConv2D", "SteFullyConnected", "SteTransposeConv2D")
# Those that put out the codes that they read.
CODE_MOVES = ("SteMaxPool2D", "SteConcat", "StePad", "SteShuffle", "SteGather")
STE_OPS = ("SteQuantize", "SteDequantize", *MATMUL_OPS, *CODE_MOVES, "SteAdd", "SteAveragePool2D", "SteNearest")
PREFIX = "Ste"
# The last version of the ops' options in docs/ops.md.
LATEST_VERSION = 4

NUMPY_TYPES = {
    TensorType.FLOAT16: np.float16,
    TensorType.FLOAT32: np.float32,
    TensorType.FLOAT64: np.float64,
    TensorType.INT8: np.int8,
    TensorType.INT16: np.int16,
    TensorType.INT32: np.int32,
    TensorType.INT64: np.int64,
    TensorType.UINT8: np.uint8,
    TensorType.UINT16: np.uint16,
    TensorType.UINT32: np.uint32,
    TensorType.UINT64: np.uint64,
    TensorType.BOOL: np.bool_,
}
TENSOR_TYPES = {np.dtype(numpy_type): code for code, numpy_type in NUMPY_TYPES.items()}


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


OPERATOR_NAMES = _names(BuiltinOperator)
TYPE_NAMES = _names(TensorType)
ACTIVATION_NAMES = _names(ActivationFunctionType)


@dataclasses.dataclass(eq=False)
class Tensor:
    """A tensor.

    `signature` is its shape with -1 where a size is known only at run time; there `shape` has that of `sizes`, or 1.
    `data` holds a constant's values, else None. Types that numpy does not have (strings, 4-bit
    integers) are kept as they are in the file, as a vector of bytes.
    """

    name: str
    type: int
    signature: tuple[int, ...]
    data: np.ndarray | None = None
    # What the file says about the tensor beyond the fields above: quantization, sparsity, ...
    raw: schema.TensorT | None = None
    # Its shape with a batch of one, where that is known of a tensor of this signature.
    sizes: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        sizes = self.sizes if self.sizes is not None and len(self.sizes) == len(self.signature) else self.signature
        return tuple(size if size >= 0 else max(one, 1) for size, one in zip(self.signature, sizes))

    @property
    def type_name(self) -> str:
        return TYPE_NAMES[self.type].lower()

    @property
    def constant(self) -> bool:
        return self.data is not None


def constant_tensor(name: str, values: np.ndarray) -> Tensor:
    """A constant with the values, type and shape of an array."""
    values = np.ascontiguousarray(values)
    return Tensor(name, TENSOR_TYPES[values.dtype], tuple(values.shape), values)


@dataclasses.dataclass(eq=False)
class Op:
    """An op. `options` are the options of this package's ops; other ops keep theirs in `raw`."""

    code: int
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    custom_name: str | None = None
    version: int = 1
    options: dict = dataclasses.field(default_factory=dict)
    intermediates: list[Tensor] = dataclasses.field(default_factory=list)
    raw: schema.OperatorT | None = None
    # The Keras layer the op came from, and why a pass left it as it is.
    layer: str | None = None
    note: str | None = None

    @property
    def name(self) -> str:
        """The custom op's name, or the built-in op's as the schema spells it: `MAX_POOL_2D`."""
        return self.custom_name or OPERATOR_NAMES.get(self.code, f"builtin {self.code}")

    @property
    def activation(self) -> str:
        """The activation fused into a built-in op: `NONE`, `RELU`, ..."""
        builtin = None if self.raw is None else self.raw.builtinOptions
        return ACTIVATION_NAMES[getattr(builtin, "fusedActivationFunction", 0)]

    def input(self, index: int) -> Tensor | None:
        """The input, or None where it is absent or the op has fewer."""
        return self.inputs[index] if index < len(self.inputs) else None

    def __repr__(self) -> str:
        where = self.outputs[0].name if self.outputs else ""
        return f"{self.name}({where})"


def ste_op(name: str, inputs: list[Tensor | None], outputs: list[Tensor], options: dict) -> Op:
    """An op of this package."""
    return Op(BuiltinOperator.CUSTOM, inputs, outputs, custom_name=name, options=options)


def reshape_op(source: Tensor, result: Tensor) -> Op:
    """A RESHAPE to the shape of `result`, of which at most one size is unknown. Micro runs it on any type."""
    options = schema.ReshapeOptionsT(newShape=np.array(result.signature, np.int32))
    raw = schema.OperatorT(builtinOptionsType=schema.BuiltinOptions.ReshapeOptions, builtinOptions=options)
    shape = constant_tensor(f"{result.name}/shape", np.array(result.signature, np.int32))
    return Op(BuiltinOperator.RESHAPE, [source, shape], [result], raw=raw)


@dataclasses.dataclass(eq=False)
class Graph:
    """One subgraph: its ops in the order they run in, its inputs and outputs."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    ops: list[Op]
    name: str | None = None

    def producer(self, tensor: Tensor) -> Op | None:
        return next((op for op in self.ops if tensor in op.outputs), None)

    def consumers(self, tensor: Tensor) -> list[Op]:
        return [op for op in self.ops if tensor in op.inputs]

    def only_reader(self, tensor: Tensor) -> Op | None:
        """The op that alone sees a tensor, so that the tensor may change or go; None where others do, or the model's user."""
        readers = self.consumers(tensor)
        return readers[0] if len(readers) == 1 and tensor not in self.outputs else None

    def select(self, *names: str) -> list[Op]:
        """The ops with one of these names. The list is the caller's: the graph may change meanwhile."""
        return [op for op in self.ops if op.name in names]

    def replace(self, old: Tensor, new: Tensor) -> None:
        """Makes every reader of `old` read `new`."""
        for op in self.ops:
            op.inputs = [new if tensor is old else tensor for tensor in op.inputs]
        self.outputs = [new if tensor is old else tensor for tensor in self.outputs]

    def insert_before(self, op: Op, new: Op) -> None:
        self.ops.insert(self.ops.index(op), new)

    def remove(self, *ops: Op) -> None:
        self.ops = [op for op in self.ops if not any(op is gone for gone in ops)]

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that is in use, once, in the order of first use."""
        seen: set[int] = set()
        uses = [self.inputs, self.outputs]
        uses += [use for op in self.ops for use in (op.inputs, op.outputs, op.intermediates)]
        for tensor in (tensor for use in uses for tensor in use):
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor


@dataclasses.dataclass(eq=False)
class Signature:
    """Names for the inputs and outputs of a graph, in the order of the model's arguments."""

    key: str
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    graph: int = 0


@dataclasses.dataclass(eq=False)
class Model:
    """A whole file."""

    graphs: list[Graph]
    signatures: list[Signature]
    metadata: dict[str, bytes]
    description: str | None = None
    version: int = 3


def _text(value: bytes | str | None) -> str | None:
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _indices(values) -> list[int]:
    return [] if values is None else [int(value) for value in values]


def _read_tensor(raw: schema.TensorT, buffers: list[schema.BufferT]) -> Tensor:
    shape = tuple(_indices(raw.shape))
    signature = tuple(_indices(raw.shapeSignature)) or shape
    data = buffers[raw.buffer].data
    if data is not None and len(data) == 0 and 0 not in shape:
        data = None  # an empty vector says the same as none
    if data is not None:
        data = np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.uint8)
        if raw.type in NUMPY_TYPES:
            data = data.view(NUMPY_TYPES[raw.type]).reshape(shape)
    return Tensor(_text(raw.name) or "", raw.type, signature, data, raw, shape)


def _read_op(raw: schema.OperatorT, codes: list[schema.OperatorCodeT], tensors: list[Tensor]) -> Op:
    code = codes[raw.opcodeIndex]
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)  # old files have only the latter
    inputs = [None if index < 0 else tensors[index] for index in _indices(raw.inputs)]
    op = Op(
        builtin,
        inputs,
        [tensors[index] for index in _indices(raw.outputs)],
        custom_name=_text(code.customCode) if builtin == BuiltinOperator.CUSTOM else None,
        version=code.version,
        intermediates=[tensors[index] for index in _indices(raw.intermediates)],
        raw=raw,
    )
    if (op.custom_name or "").startswith(PREFIX):
        op.options = _read_options(op.custom_name, raw.customOptions)
    return op


def _read_options(name: str, content: np.ndarray | None) -> dict:
    try:
        options = flexbuffers.Loads(b"" if content is None else bytes(bytearray(content)))
    except (IndexError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"the options of {name} cannot be read: {error}") from error
    if not isinstance(options, dict):
        raise ValueError(f"the options of {name} are no map, but {type(options).__name__}")
    return options


def read_model(content: bytes) -> Model:
    """The graph of a `.tflite` file.

    Raises:
      ValueError: the bytes are no `.tflite` file, or one whose constants lie outside of the flatbuffer
        (files over 2 GB).
    """
    if content[4:8] != b"TFL3":
        raise ValueError("these bytes are not a .tflite file: the identifier TFL3 is missing")
    raw = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    if any(buffer.offset > 1 for buffer in raw.buffers):
        raise ValueError("the model is too large: its constants do not fit into 2 GB")
    graphs, tensor_lists = [], []
    for subgraph in raw.subgraphs:
        tensors = [_read_tensor(tensor, raw.buffers) for tensor in subgraph.tensors or []]
        ops = [_read_op(op, raw.operatorCodes, tensors) for op in subgraph.operators or []]
        inputs = [tensors[index] for index in _indices(subgraph.inputs)]
        outputs = [tensors[index] for index in _indices(subgraph.outputs)]
        graphs.append(Graph(inputs, outputs, ops, _text(subgraph.name)))
        tensor_lists.append(tensors)
    signatures = []
    for entry in raw.signatureDefs or []:
        tensors = tensor_lists[entry.subgraphIndex]
        inputs = {_text(item.name): tensors[item.tensorIndex] for item in entry.inputs or []}
        outputs = {_text(item.name): tensors[item.tensorIndex] for item in entry.outputs or []}
        signatures.append(Signature(_text(entry.signatureKey), inputs, outputs, entry.subgraphIndex))
    metadata = {}
    for entry in raw.metadata or []:
        data = raw.buffers[entry.buffer].data
        metadata[_text(entry.name)] = b"" if data is None else bytes(bytearray(data))
    return Model(graphs, signatures, metadata, _text(raw.description), raw.version)
