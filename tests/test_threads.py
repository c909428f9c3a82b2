"""Threads inside an op, and interpreters in several threads: the same results as on one."""

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest
import reference_ops
from ai_edge_litert.interpreter import Interpreter as LiteRTInterpreter
from single_op import Tensor, single_op_model

import keras_ste
from keras_ste.runtime import library_path, load_delegate


class Case:
    """A model of one op with work for four threads, an input and the result."""

    def __init__(self, op, options, value, constants=()):
        self.value = value
        self.expected = reference_ops.OPS[op]([value, *constants], options)
        tensors = [None if c is None else Tensor.constant(f"constant{i}", c) for i, c in enumerate(constants)]
        inputs = [Tensor("input", value.shape, value.dtype), *tensors]
        self.model = single_op_model(op, options, inputs, Tensor("output", self.expected.shape, self.expected.dtype))

    def interpreter(self, threads):
        return prepared(keras_ste.Interpreter(model_content=self.model, num_threads=threads), self.value)

    def check(self, interpreter):
        np.testing.assert_array_equal(result(interpreter), self.expected)


def prepared(interpreter, value):
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    return interpreter


def result(interpreter):
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def bits(rng, *shape):
    return reference_ops.pack(rng.random(shape) < 0.5)


def conv_options(channels, filters, **others):
    options = {"version": 1, "channels": channels, "filters": filters, "kernel_h": 3, "kernel_w": 3}
    options |= {"stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "groups": 1}
    return options | {"padding": "same", "pad_value": 0, "output": "float32"} | others


def scales(rng, n):
    return [rng.normal(size=n).astype(np.float32), rng.normal(size=n).astype(np.float32)]


def packed_conv(rng):
    options = conv_options(64, 96)
    return Case("SteConv2D", options, bits(rng, 2, 25, 25, 64), [bits(rng, 96, 3, 3, 64), *scales(rng, 96)])


def packed_conv_to_bits(rng):
    options = conv_options(64, 100, output="packed", pad_value=1)
    thresholds = rng.integers(-50, 50, 100, np.int32)
    return Case("SteConv2D", options, bits(rng, 2, 25, 25, 64), [bits(rng, 100, 3, 3, 64), None, None, thresholds])


def grouped_conv_to_shared_words(rng):
    """The groups' outputs lie across words: no two threads may write one of them."""
    options = conv_options(128, 80, output="packed", groups=4)
    thresholds = rng.integers(-20, 20, 80, np.int32)
    return Case("SteConv2D", options, bits(rng, 2, 30, 30, 128), [bits(rng, 80, 3, 3, 32), None, None, thresholds])


def groups_inside_words(rng):
    """Words that two groups share are read under masks."""
    options = conv_options(48, 48, groups=2)
    filters = np.zeros((48, 3, 3, 48), bool)
    filters[:24, ..., :24] = rng.random((24, 3, 3, 24)) < 0.5
    filters[24:, ..., 24:] = rng.random((24, 3, 3, 24)) < 0.5
    words = reference_ops.pack(filters)
    # Both groups begin in the first word and the second ends in the second.
    return Case("SteConv2D", options, bits(rng, 4, 30, 30, 48), [words, *scales(rng, 48)])


def float_conv(rng):
    value = rng.normal(size=(1, 30, 30, 8)).astype(np.float32)
    return Case("SteConv2D", conv_options(8, 40), value, [bits(rng, 40, 72), *scales(rng, 40)])


def pixel_conv(rng):
    value = rng.integers(0, 256, (1, 90, 90, 3), np.uint8)
    return Case("SteConv2D", conv_options(3, 64, input_zero_point=7), value, [bits(rng, 64, 27), *scales(rng, 64)])


def fully_connected_rows(rng):
    options = {"version": 1, "units": 500, "channels": 700, "output": "float32"}
    return Case("SteFullyConnected", options, bits(rng, 150, 700), [bits(rng, 500, 700)])


def fully_connected_one_row(rng):
    """Threads share out the units."""
    options = {"version": 1, "units": 8000, "channels": 5000, "output": "packed"}
    thresholds = rng.integers(-50, 50, 8000, np.int32)
    return Case("SteFullyConnected", options, bits(rng, 1, 5000), [bits(rng, 8000, 5000), None, None, thresholds])


def codes(rng, shape, number):
    return reference_ops.pack_numbers(rng.integers(0, 2**number, shape), number)


def staged_conv(rng):
    """Threads share out the rows that are unpacked to bytes, then the tiles."""
    options = conv_options(40, 64, version=2, weight_bits=4, weight_encoding="signed", input_bits=4)
    options |= {"input_encoding": "unsigned", "output": "packed", "output_bits": 2, "output_encoding": "unsigned"}
    thresholds = np.sort(rng.integers(-500, 500, (3, 64)), axis=0).astype(np.int32)
    value = codes(rng, (2, 30, 30, 40), 4)
    return Case("SteConv2D", options, value, [codes(rng, (64, 3, 3, 40), 4), None, None, thresholds])


def quantized_rows(rng):
    options = {"version": 2, "units": 300, "channels": 700, "output": "float32", "row_bits": 8}
    options |= {"weight_bits": 3, "weight_encoding": "signed"}
    value = rng.normal(size=(50, 700)).astype(np.float32)
    return Case("SteFullyConnected", options, value, [codes(rng, (300, 700), 3), *scales(rng, 300)])


def quantize(rng):
    options = {"version": 1, "bits": 1, "encoding": "bipolar", "channels": 33}
    return Case("SteQuantize", options, rng.normal(size=(20, 30, 30, 33)).astype(np.float32))


def max_pool2d(rng):
    options = {"version": 1, "channels": 70, "pool_h": 3, "pool_w": 3, "stride_h": 1, "stride_w": 1, "padding": "same"}
    return Case("SteMaxPool2D", options, bits(rng, 20, 30, 30, 70), [bits(rng, 70)])


CODES = {"version": 2, "input_bits": 2, "input_encoding": "unsigned"}


def quantize_codes(rng):
    options = {"version": 2, "channels": 33, "output": "packed", "output_bits": 2, "output_encoding": "unsigned"}
    value = rng.normal(size=(10, 30, 30, 33)).astype(np.float32)
    return Case("SteQuantize", options, value, [np.float32([2.0]), *scales(rng, 33)[:1]])


def dequantize(rng):
    return Case("SteDequantize", CODES | {"channels": 33}, codes(rng, (10, 30, 30, 33), 2), [None, *scales(rng, 33)])


def average_pool2d(rng):
    options = CODES | {"channels": 70, "pool_h": 3, "pool_w": 3, "stride_h": 1, "stride_w": 1, "padding": "same"}
    return Case("SteAveragePool2D", options | {"output": "float32"}, codes(rng, (4, 30, 30, 70), 2))


def add(rng):
    options = {"version": 2, "channels": 33, "a_bits": 2, "a_encoding": "unsigned", "output": "int8"}
    other = rng.normal(size=(10, 30, 30, 33)).astype(np.float32)
    return Case("SteAdd", options, codes(rng, (10, 30, 30, 33), 2), [other, scales(rng, 33)[0]])


def nearest(rng):
    value, vectors = (rng.normal(size=shape).astype(np.float32) for shape in [(500, 64), (300, 64)])
    return Case("SteNearest", {"version": 2, "channels": 64, "vectors": 300}, value, [vectors])


def gather(rng):
    options = {"version": 4, "rows": 500, "channels": 1001, "input_bits": 3, "input_encoding": "signed"}
    table = rng.integers(0, 256, -(-500 * 1001 * 3 // 8)).astype(np.uint8)
    table[-1] &= 15  # the unused bits
    return Case("SteGather", options, rng.integers(0, 500, (20, 30), np.int32), [table])


def concat(rng):
    options = CODES | {"channels_0": 70, "channels_1": 45}
    return Case("SteConcat", options, codes(rng, (10, 30, 30, 70), 2), [codes(rng, (10, 30, 30, 45), 2)])


def pad(rng):
    options = CODES | {"channels": 70, "pad_value": 2, "pad_top": 1, "pad_bottom": 2, "pad_left": 3, "pad_right": 0}
    return Case("StePad", options, codes(rng, (50, 30, 30, 70), 2))


def shuffle(rng):
    return Case("SteShuffle", CODES | {"channels": 66, "groups": 3}, codes(rng, (5, 30, 30, 66), 2))


def depthwise_to_codes(rng):
    """Staged by several threads, too."""
    options = conv_options(72, 72, version=2, depth_multiplier=1, weight_bits=3, weight_encoding="signed")
    options |= {"output": "packed", "output_bits": 2, "output_encoding": "unsigned"}
    value = rng.integers(-128, 128, (3, 40, 40, 72), np.int8)
    thresholds = np.sort(rng.integers(-900, 900, (3, 72), np.int32), axis=0)
    filters = rng.integers(0, 2**8, (3, 3, 3 * 3)).astype(np.int32)
    return Case("SteDepthwiseConv2D", options, value, [filters, None, None, thresholds])


CASES = [
    packed_conv, packed_conv_to_bits, grouped_conv_to_shared_words, groups_inside_words, float_conv, pixel_conv,
    fully_connected_rows, fully_connected_one_row, staged_conv, quantized_rows, quantize, max_pool2d,
    quantize_codes, dequantize, average_pool2d, add, nearest, gather, concat, pad, shuffle, depthwise_to_codes,
]  # fmt: skip


@pytest.fixture(scope="module")
def cases():
    return {make.__name__: make(np.random.default_rng(seed)) for seed, make in enumerate(CASES)}


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("name", [make.__name__ for make in CASES])
def test_same_result_on_any_number_of_threads(cases, name, threads):
    interpreter = cases[name].interpreter(threads)
    for _ in range(5):
        cases[name].check(interpreter)


# Prints how many threads the process has more after the first run than before it.
COUNT_THREADS = """
import os, sys
from ai_edge_litert.interpreter import Interpreter, load_delegate
model, library, threads = sys.argv[1:]
interpreter = Interpreter(model, num_threads=int(threads), experimental_delegates=[load_delegate(library)])
interpreter.allocate_tensors()
before = len(os.listdir("/proc/self/task"))
interpreter.invoke()
print(len(os.listdir("/proc/self/task")) - before)
"""


def threads_started(model, folder, threads):
    path = folder / "model.tflite"
    path.write_bytes(model)
    command = [sys.executable, "-c", COUNT_THREADS, path, library_path(), str(threads)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.parametrize("name", [make.__name__ for make in CASES])
def test_threads_start_where_there_is_work(cases, name, tmp_path):
    assert threads_started(cases[name].model, tmp_path, 4) == 3


def test_no_thread_starts_where_there_is_none(cases, tmp_path):
    assert threads_started(cases["packed_conv"].model, tmp_path, 1) == 0
    rng = np.random.default_rng(0)
    small = Case("SteConv2D", conv_options(64, 32), bits(rng, 1, 6, 6, 64), [bits(rng, 32, 3, 3, 64)])
    assert threads_started(small.model, tmp_path, 4) == 0


def in_threads(*functions):
    """Runs functions at the same time, and raises what the first that failed raised."""
    start = threading.Barrier(len(functions))
    failures = []

    def run(function):
        start.wait()
        try:
            function()
        except BaseException as failure:
            failures.append(failure)

    running = [threading.Thread(target=run, args=[function]) for function in functions]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        raise failures[0]


def test_interpreters_in_several_threads(cases):
    """One may have the threads of the pool; the others then do without."""

    def work(case, threads):
        def run():
            interpreter = case.interpreter(threads)
            for _ in range(30):
                case.check(interpreter)

        return run

    chosen = ["packed_conv", "packed_conv_to_bits", "pixel_conv", "fully_connected_one_row", "max_pool2d"]
    in_threads(*[work(cases[name], 1 + i % 4) for i, name in enumerate(chosen, start=1)])


def test_one_delegate_for_several_interpreters(cases):
    delegate = load_delegate()
    interpreters = [
        (case, prepared(LiteRTInterpreter(model_content=case.model, experimental_delegates=[delegate]), case.value))
        for case in (cases["packed_conv"], cases["quantize"], cases["packed_conv"])
    ]
    del delegate

    def work(case, interpreter):
        return lambda: [case.check(interpreter) for _ in range(20)]

    in_threads(*[work(*pair) for pair in interpreters])
    while interpreters:
        case, interpreter = interpreters.pop()
        case.check(interpreter)
        del interpreter
        gc.collect()


def test_interpreters_come_and_go_while_another_works(cases):
    done = threading.Event()

    def works():
        interpreter = cases["packed_conv"].interpreter(4)
        rounds = 0
        while not done.is_set() or rounds < 3:
            cases["packed_conv"].check(interpreter)
            rounds += 1

    def come_and_go():
        try:
            for name in ["packed_conv", "max_pool2d", "fully_connected_rows"] * 10:
                cases[name].check(cases[name].interpreter(3))
                gc.collect()
        finally:
            done.set()

    in_threads(works, come_and_go)
