"""Graphs made by hand, as TensorFlow's converter writes them, for tests of single passes."""

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from keras_ste.converter.graph import (
    TENSOR_TYPES,
    Graph,
    Model,
    Op,
    Signature,
    Tensor,
    constant_tensor,
    ste_op,
)
from keras_ste.converter.shapes import output_shape
from keras_ste.converter.writer import write_model

BATCH = -1
_OPTIONS = {
    "ADD": "AddOptions",
    "CAST": "CastOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "DIV": "DivOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "RESHAPE": "ReshapeOptions",
}


class Sketch:
    """Collects ops; every method returns the tensor that the op puts out."""

    def __init__(self):
        self.graph = Graph([], [], [])
        self.inputs = {}

    def input(self, name, dtype, *shape):
        tensor = Tensor(name, TENSOR_TYPES[np.dtype(dtype)], (BATCH, *shape))
        self.graph.inputs.append(tensor)
        self.inputs[name] = tensor
        return tensor

    def _name(self, op):
        return f"{op}_{len(self.graph.ops)}"

    def constant(self, values):
        return constant_tensor(f"constant_{id(values)}", np.asarray(values))

    def builtin(self, name, *inputs, shape=None, **options):
        """A built-in op. Arrays among the inputs become constants."""
        inputs = [x if isinstance(x, Tensor) else self.constant(x) for x in inputs]
        raw = schema.OperatorT()
        if name in _OPTIONS:
            raw.builtinOptionsType = getattr(schema.BuiltinOptions, _OPTIONS[name])
            raw.builtinOptions = getattr(schema, f"{_OPTIONS[name]}T")()
            for key, value in options.items():
                assert hasattr(raw.builtinOptions, key)
                setattr(raw.builtinOptions, key, value)
        data = next(x for x in inputs if not x.constant)
        output = Tensor(self._name(name), TENSOR_TYPES[np.dtype(np.float32)], shape or data.signature)
        code = getattr(schema.BuiltinOperator, name)
        self.graph.ops.append(Op(code, inputs, [output], raw=raw))
        return output

    def max_pool(self, x, size, stride, padding, activation=0):
        n, h, w, c = x.signature
        if padding == "same":
            h, w = -(-h // stride), -(-w // stride)
        else:
            h, w = (h - size) // stride + 1, (w - size) // stride + 1
        return self.builtin(
            "MAX_POOL_2D",
            x,
            shape=(n, h, w, c),
            filterHeight=size,
            filterWidth=size,
            strideH=stride,
            strideW=stride,
            padding=getattr(schema.Padding, padding.upper()),
            fusedActivationFunction=activation,
        )

    def _ste(self, name, inputs, dtype, options):
        output = Tensor(self._name(name), TENSOR_TYPES[np.dtype(dtype)], ())
        op = ste_op(name, inputs, [output], {"version": 1, **options, "layer": name})
        output.signature = output_shape(op)
        self.graph.ops.append(op)
        return output

    def quantize(self, x):
        options = {"bits": 1, "encoding": "bipolar", "channels": x.signature[-1]}
        return self._ste("SteQuantize", [x], np.int32, options)

    def conv(self, x, signs, channels, multiplier=None, bias=None, **options):
        """A SteConv2D with float32 output; signs: int8 `[O, kh, kw, channels / groups]`."""
        filters, kernel_h, kernel_w, _ = signs.shape
        options = {
            "channels": channels,
            "filters": filters,
            "kernel_h": kernel_h,
            "kernel_w": kernel_w,
            **{f"{what}_{axis}": 1 for what in ("stride", "dilation") for axis in "hw"},
            "groups": 1,
            "padding": "valid",
            "pad_value": 0,
            "input_zero_point": 0,
            "output": "float32",
            **options,
        }
        return self._matmul("SteConv2D", x, signs, multiplier, bias, options)

    def dense(self, x, signs, multiplier=None, bias=None, **options):
        """A SteFullyConnected with float32 output; signs: int8 `[units, channels]`."""
        units, channels = signs.shape
        options = {
            "units": units,
            "channels": channels,
            "pixels": 1,
            "input_axes": 1,
            "input_zero_point": 0,
            "output": "float32",
            **options,
        }
        return self._matmul("SteFullyConnected", x, signs, multiplier, bias, options)

    def _matmul(self, name, x, signs, multiplier, bias, options):
        filters = signs.shape[0]
        multiplier = np.ones(filters, np.float32) if multiplier is None else multiplier
        bias = np.zeros(filters, np.float32) if bias is None else bias
        constants = [self.constant(values) for values in (signs, multiplier, bias)]
        return self._ste(name, [x, *constants], np.float32, options)

    def write(self, passes, **outputs):
        """The file after these passes."""
        self.graph.outputs = list(outputs.values())
        signature = Signature("serving_default", self.inputs, outputs)
        model = Model([self.graph], [signature], {})
        for run in passes:
            run(self.graph)
        # A pass may put another tensor in an output's place.
        signature.outputs = dict(zip(outputs, self.graph.outputs))
        return write_model(model)
