"""keras_ste.benchmark: each op by itself is the op of the file, and its twin has its shape. No time is asserted."""

import keras
import numpy as np
import pytest
import reference_ops

import keras_ste
from keras_ste import quantizers
from keras_ste.benchmarking.models import alone, builtin_twin
from keras_ste.benchmarking.rates import Rates, _reference
from keras_ste.benchmarking.stopwatch import median_seconds
from keras_ste.converter.graph import MATMUL_OPS, read_model
from keras_ste.converter.rows import op_row
from keras_ste.converter.shapes import macs

SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
K4 = {"kernel_quantizer": quantizers.UniformQuantizer(bits=4), "input_quantizer": quantizers.Pact(bits=4)}


@pytest.fixture(scope="module")
def graph():
    """One op of each kind of product."""
    layers = [
        keras.Input((9, 8, 32), dtype="uint8"),
        keras_ste.QuantConv2D(33, (3, 2), strides=(1, 2), padding="same", kernel_quantizer="ste_sign"),
        keras_ste.QuantConv2D(32, 3, dilation_rate=2, padding="same", **SIGNS),
        keras_ste.QuantDepthwiseConv2D(
            3,
            padding="same",
            depth_multiplier=2,
            input_quantizer=quantizers.Pact(bits=4),
            depthwise_quantizer="ste_sign",
        ),
        keras_ste.QuantConv2D(64, 1, groups=2, **SIGNS),
        keras_ste.QuantConv2DTranspose(32, 2, **K4),
        keras.layers.Dense(5),
        keras_ste.QuantDense(48, input_quantizer=quantizers.BitnetActivation(), kernel_quantizer="ste_sign"),
    ]
    return read_model(keras_ste.convert(keras.Sequential(layers), strict=True).model_content).graphs[0]


def allocated(content):
    interpreter = keras_ste.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return interpreter


def test_an_op_alone_computes_what_it_computes_in_the_file(graph):
    rng = np.random.default_rng(0)
    for op in graph.select("SteConv2D"):
        interpreter = allocated(alone(op))
        (detail,) = interpreter.get_input_details()
        if op.inputs[0].type_name == "uint8":
            x = rng.integers(0, 256, op.inputs[0].shape).astype(np.uint8)
        else:
            bits = op.options.get("input_bits", 1)
            numbers = rng.integers(0, 2**bits, (*op.inputs[0].shape[:-1], op.options["channels"]))
            x = reference_ops.pack_numbers(numbers, bits)
        interpreter.set_tensor(detail["index"], x)
        interpreter.invoke()
        constants = [None if tensor is None else tensor.data for tensor in op.inputs[1:]]
        expected = reference_ops.OPS[op.name]([x, *constants], op.options)
        np.testing.assert_array_equal(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), expected)


@pytest.mark.parametrize("int8", [True, False])
def test_twins_have_the_shapes_of_their_ops(graph, int8):
    found = 0
    for op in graph.select(*MATMUL_OPS):
        content = builtin_twin(op, int8)
        if content is None:
            assert op.name == "SteTransposeConv2D"
            continue
        found += 1
        (twin,) = read_model(content).graphs[0].ops
        assert op_row(read_model(content).graphs[0], twin).macs == macs(op)
        assert twin.inputs[0].type_name == ("int8" if int8 else "float32")
        allocated(content).invoke()
    assert found == 5


def test_references_run_and_have_the_widths_of_their_ops(graph):
    for op in graph.select(*MATMUL_OPS):
        reference = _reference(op)
        assert reference.name == op.name and macs(reference) >= 2**17
        assert reference.inputs[0].type == op.inputs[0].type
        for key in ("weight_bits", "input_bits", "row_bits"):
            assert reference.options.get(key) == op.options.get(key)
        allocated(alone(reference)).invoke()


def test_predictions_grow_with_the_work(graph):
    rates = Rates()
    for op in graph.ops:
        row = op_row(graph, op)
        seconds = rates.predict(op, row)
        assert seconds > 0
        if row.macs:
            more = rates.predict(op, op_row(graph, op).__class__(op=row.op, layer=None, macs=3 * row.macs))
            assert more >= seconds


def test_functions_have_their_turn():
    calls = []
    seconds = median_seconds([lambda: calls.append(0), lambda: calls.append(1)], rounds=3, seconds_per_round=0)
    assert len(seconds) == 2 and calls == [0, 0, 1, 1, 0, 1, 0, 1, 0, 1]


def test_what_cannot_be_timed_alone_is_unknown():
    x = keras.Input((4,))
    model = keras.Model(
        x,
        keras.layers.Lambda(lambda x: keras.ops.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2), (0, x))[1])(
            x
        ),
    )
    content = keras_ste.convert(model).model_content
    found = keras_ste.benchmark(content, rounds=1)
    unknown = [op for op in found.ops if op.measured_us is None]
    assert unknown and all(op.reason for op in unknown)
    assert "unknown" in str(found) and found.model_us > 0
