"""TFLite models of one custom op, made by hand: what tests feed to the runtimes, good and bad."""

import dataclasses

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

TENSOR_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.int64): schema.TensorType.INT64,
}


@dataclasses.dataclass
class Tensor:
    """A tensor of the model: constant where `data` is given, else fed or computed."""

    name: str
    shape: tuple
    dtype: object = np.float32
    data: np.ndarray | None = None

    @classmethod
    def constant(cls, name, array):
        array = np.ascontiguousarray(array)
        return cls(name, array.shape, array.dtype, array)


def single_op_model(op, options, inputs, output, *, misalign=0):
    """Returns the bytes of a model with one custom op.

    Args:
        op: name of the custom op.
        options: dict for the op's FlexBuffer map, or bytes to put there as they are.
        inputs: list of `Tensor` or None (absent).
        output: `Tensor`, or a list of them.
        misalign: the constants' addresses modulo 4. Where it is not 0 they lie behind the flatbuffer, as in files of
            more than 2 GB.
    """
    model = schema.ModelT()
    model.version = 3
    code = schema.OperatorCodeT()
    code.deprecatedBuiltinCode = code.builtinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = op
    code.version = 1
    model.operatorCodes = [code]
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs = [], [], []

    def add(tensor):
        t = schema.TensorT()
        t.name = tensor.name
        t.shape = np.array(tensor.shape, np.int32)
        t.type = TENSOR_TYPES[np.dtype(tensor.dtype)]
        t.buffer = 0
        if tensor.data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(tensor.data.tobytes(), np.uint8)
            model.buffers.append(buffer)
            t.buffer = len(model.buffers) - 1
        graph.tensors.append(t)
        return len(graph.tensors) - 1

    operator = schema.OperatorT()
    operator.opcodeIndex = 0
    operator.inputs = []
    for tensor in inputs:
        operator.inputs.append(-1 if tensor is None else add(tensor))
        if tensor is not None and tensor.data is None:
            graph.inputs.append(operator.inputs[-1])
    operator.outputs = [add(tensor) for tensor in (output if isinstance(output, list) else [output])]
    graph.outputs = list(operator.outputs)
    raw = options if isinstance(options, bytes) else bytes(flexbuffers.Dumps(options))
    operator.customOptions = np.frombuffer(raw, np.uint8)
    graph.operators = [operator]
    model.subgraphs = [graph]
    return pack(model) if misalign == 0 else pack_misaligned(model, misalign)


def pack(model):
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def pack_misaligned(model, misalign):
    buffers = [buffer for buffer in model.buffers if buffer.data is not None]
    data = [buffer.data.tobytes() for buffer in buffers]
    for buffer, content in zip(buffers, data, strict=True):
        buffer.data, buffer.size, buffer.offset = None, len(content), 2  # any offset, to see how long the rest is
    end = -(-len(pack(model)) // 4) * 4
    behind = b""
    for buffer, content in zip(buffers, data, strict=True):
        behind += b"\0" * ((misalign - len(behind)) % 4)
        buffer.offset = end + len(behind)
        behind += content
    return pack(model).ljust(end, b"\0") + behind
