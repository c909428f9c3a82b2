"""Runs a converted `.tflite` file in numpy: the custom ops of reference_ops.py and some built-in ops.

`run(content, **inputs)` gives the outputs by name, and `run(..., keep=True)` every tensor by name too.
"""

import numpy as np
import reference_ops
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

TYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.UINT8: np.uint8,
}
CODES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
ACTIVATIONS = {
    schema.ActivationFunctionType.NONE: (None, None),
    schema.ActivationFunctionType.RELU: (0, None),
    schema.ActivationFunctionType.RELU6: (0, 6),
    schema.ActivationFunctionType.RELU_N1_TO_1: (-1, 1),
}


def parse(content):
    """The flatbuffer as an object tree."""
    return schema.ModelT.InitFromPackedBuf(bytearray(content), 0)


def op_names(content):
    """The names of the main graph's ops, in running order."""
    model = parse(content)
    return [_name(model.operatorCodes[op.opcodeIndex]) for op in model.subgraphs[0].operators]


def _name(code):
    if code.customCode:
        return code.customCode.decode()
    return CODES[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _activate(values, options):
    low, high = ACTIVATIONS[getattr(options, "fusedActivationFunction", 0)]
    if low is not None:
        values = np.maximum(values, np.float32(low))
    return values if high is None else np.minimum(values, np.float32(high))


def _pool(x, options, reduce):
    padding = "same" if options.padding == schema.Padding.SAME else "valid"
    kernel, stride = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
    windows = reference_ops._windows(x, kernel, stride, (1, 1), padding, np.nan)
    return reduce([values for _, _, values in windows], axis=0)


def _softmax(x, beta):
    e = np.exp(beta * (x - x.max(-1, keepdims=True)))
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


def _fully_connected(inputs, _):
    x, weights, bias = (list(inputs) + [None])[:3]
    y = x.reshape(-1, weights.shape[1]) @ weights.T
    y = y if bias is None else y + bias
    return y.reshape(*x.shape[:-1], -1) if x.shape[-1] == weights.shape[1] else y


def _mean(inputs, options):
    axes = tuple(int(axis) for axis in inputs[1].reshape(-1))
    return inputs[0].mean(axis=axes, keepdims=bool(options.keepDims), dtype=np.float32)


BUILTINS = {
    "ADD": lambda i, o: i[0] + i[1],
    "SUB": lambda i, o: i[0] - i[1],
    "MUL": lambda i, o: i[0] * i[1],
    "DIV": lambda i, o: i[0] / i[1],
    "MAXIMUM": lambda i, o: np.maximum(*i),
    "MINIMUM": lambda i, o: np.minimum(*i),
    "RELU": lambda i, o: np.maximum(i[0], np.float32(0)),
    "RELU6": lambda i, o: np.clip(i[0], np.float32(0), np.float32(6)),
    "RELU_N1_TO_1": lambda i, o: np.clip(i[0], np.float32(-1), np.float32(1)),
    "NEG": lambda i, o: -i[0],
    "LEAKY_RELU": lambda i, o: np.where(i[0] > 0, i[0], i[0] * np.float32(o.alpha)),
    "PRELU": lambda i, o: np.where(i[0] > 0, i[0], i[0] * i[1]),
    "LOGISTIC": lambda i, o: 1 / (1 + np.exp(-i[0])),
    "CAST": lambda i, o: i[0].astype(TYPES[o.outDataType]),
    "RESHAPE": lambda i, o: i[0].reshape(i[1]),
    "CONCATENATION": lambda i, o: np.concatenate(i, o.axis),
    "MAX_POOL_2D": lambda i, o: _pool(i[0], o, np.nanmax),
    "AVERAGE_POOL_2D": lambda i, o: _pool(i[0], o, np.nanmean),
    "MEAN": _mean,
    "FULLY_CONNECTED": _fully_connected,
    "SOFTMAX": lambda i, o: _softmax(i[0], o.beta),
}


def _run_op(name, op, inputs):
    if name in reference_ops.OPS:
        return reference_ops.OPS[name](inputs, flexbuffers.Loads(bytes(bytearray(op.customOptions))))
    if name not in BUILTINS:
        raise NotImplementedError(f"reference_graph does not know {name}")
    return _activate(BUILTINS[name](inputs, op.builtinOptions), op.builtinOptions)


def run(content, keep=False, **inputs):
    """Runs the model.

    Args:
      content: the file's bytes.
      keep: whether to return `(outputs, tensors)`, both by name, in place of the outputs.
      **inputs: an array for each input of the signature.
    """
    model = parse(content)
    graph = model.subgraphs[0]
    (signature,) = model.signatureDefs
    assert {item.name.decode() for item in signature.inputs} == set(inputs)
    values = _values(model, {item.tensorIndex: inputs[item.name.decode()] for item in signature.inputs})
    outputs = {item.name.decode(): values[item.tensorIndex] for item in signature.outputs}
    if not keep:
        return outputs
    return outputs, {graph.tensors[i].name.decode(): v for i, v in values.items() if i >= 0}


def run_unnamed(content, inputs):
    """Runs a model without a signature on arrays in the order of its inputs, and returns a list of its outputs."""
    model = parse(content)
    graph = model.subgraphs[0]
    values = _values(model, dict(zip(graph.inputs, inputs, strict=True)))
    return [values[index] for index in graph.outputs]


def _values(model, fed):
    """The value of every tensor by its index, from those of the inputs."""
    graph = model.subgraphs[0]
    values = {-1: None}
    for index, tensor in enumerate(graph.tensors):
        data = model.buffers[tensor.buffer].data
        if data is not None and len(data):
            values[index] = np.array(data, np.uint8).view(TYPES[tensor.type]).reshape(tensor.shape)
    for index, array in fed.items():
        assert array.dtype == TYPES[graph.tensors[index].type]
        values[index] = array
    for op in graph.operators:
        name = _name(model.operatorCodes[op.opcodeIndex])
        result = _run_op(name, op, [values[index] for index in op.inputs])
        for output, array in zip(op.outputs, result if isinstance(result, tuple) else [result], strict=True):
            tensor = graph.tensors[output]
            shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
            assert array.dtype == TYPES[tensor.type], name
            assert len(shape) == array.ndim, name
            assert all(want in (-1, got) for want, got in zip(shape, array.shape)), (name, shape, array.shape)
            values[output] = array
    return values
