"""Models of one SteConv2D or SteFullyConnected op with random weights of any width, for the benchmarks to time."""

import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "tests"))
import kernel_api  # noqa: E402
import single_op  # noqa: E402

# Inputs that are not packed codes: int8 numbers, and floats that the op quantizes to int8 by the largest value of each row.
INT8, ROWS = "int8", "rows"


def conv_model(image, channels, weights, inputs, seed=0):
    """A 3x3 convolution with same padding, whose output has the form of its input.

    Args:
        image: height and width.
        channels: of the input and of the output.
        weights: bits and encoding.
        inputs: bits and encoding of packed codes, or `INT8`.
        seed: of the weights and of what the sums become.
    """
    options = {"channels": channels, "filters": channels, "kernel_h": 3, "kernel_w": 3, "stride_h": 1, "stride_w": 1,
               "dilation_h": 1, "dilation_w": 1, "groups": 1, "padding": "same", "pad_value": 0}
    return _model("SteConv2D", options, (1, image, image), channels, channels, (3, 3), weights, inputs, seed)


def dense_model(rows, k, n, weights, inputs, seed=0):
    """A product of rows with a matrix, whose output has the form of its input; `inputs` may be `ROWS` too."""
    return _model("SteFullyConnected", {"channels": k, "units": n}, (rows,), k, n, (), weights, inputs, seed)


def weight_bytes(model):
    """The size of the weights, the largest constant of the model."""
    buffers = single_op.schema.ModelT.InitFromPackedBuf(model, 0).buffers
    return max(len(buffer.data) for buffer in buffers if buffer.data is not None)


def _model(op, options, pixels, k, n, taps, weights, inputs, seed):
    rng = np.random.default_rng(seed)
    packed = inputs not in (INT8, ROWS)
    constants, output = _after_sums(rng, n, pixels, inputs, options)
    options |= {"version": 2, "weight_bits": weights[0], "weight_encoding": weights[1]}
    if packed:
        options |= {"input_bits": inputs[0], "input_encoding": inputs[1]}
        source = single_op.Tensor("input", (*pixels, inputs[0] * -(-k // 32)), np.int32)
    else:
        source = single_op.Tensor("input", (*pixels, k), np.int8 if inputs == INT8 else np.float32)
    tensors = [source, _filter(rng, n, k, taps, weights, packed), *constants]
    return single_op.single_op_model(op, options, tensors, output)


def _filter(rng, n, k, taps, weights, packed):
    """Planes of each tap where these meet packed codes, else of all taps together."""
    rows = (n * int(np.prod(taps)), k) if packed else (n, int(np.prod(taps)) * k)
    planes = kernel_api.planes(kernel_api.random_numbers(rng, rows, *weights), weights[0]).view(np.int32)
    return single_op.Tensor.constant("filter", planes.reshape(n, *(taps if packed else ()), -1))


def _after_sums(rng, n, pixels, inputs, options):
    """The constants that say what the sums become, and the output."""
    if inputs == ROWS:
        options |= {"row_bits": 8, "output": "float32"}
        scales = rng.uniform(0.5, 1.5, n).astype(np.float32)
        constants = [single_op.Tensor.constant("multiplier", scales), None, None]
        return constants, single_op.Tensor("output", (*pixels, n), np.float32)
    if inputs == INT8:
        options |= {"output": "int8"}
        multipliers = rng.integers(2**30, 2**31, n).astype(np.int32)
        shifts = np.full(n, -9, np.int32)
        constants = [single_op.Tensor.constant("multiplier", multipliers), None, single_op.Tensor.constant("shifts", shifts)]
        return constants, single_op.Tensor("output", (*pixels, n), np.int8)
    bits, encoding = inputs
    options |= {"output": "packed", "output_bits": bits, "output_encoding": encoding}
    thresholds = np.sort(rng.integers(-99, 99, (2**bits - 1, n)).astype(np.int32), axis=0)
    constants = [None, None, single_op.Tensor.constant("thresholds", thresholds[0] if bits == 1 else thresholds)]
    return constants, single_op.Tensor("output", (*pixels, bits * -(-n // 32)), np.int32)
