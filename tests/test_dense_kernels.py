"""The kernels for codes of 1 to 8 bits, each against its definition in NumPy. `pytest -m exhaustive` tries all pairs of codes."""

import ctypes
import itertools
import pathlib
import platform
import re

import hypothesis
import kernel_api
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from kernel_api import pointer

from keras_ste.quantizers import BitnetActivation

SIZES = st.one_of(st.integers(1, 70), st.sampled_from([95, 96, 127, 128, 129, 160, 257]))
SEEDS = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return kernel_api.load(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(params=kernel_api.ALL_ISAS, scope="module")
def isa(request, library):
    if not library.HasKernels(request.param.encode()):
        pytest.skip(f"this machine has no {request.param}: its kernels are not tested here")
    return request.param


FLAGS = {
    "avx2": {"avx2"},
    "avxvnni": {"avx2", "avx_vnni"},
    "avx512bw": {"avx512f", "avx512bw", "avx512vl"},
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512_vpopcntdq", "avx512_vnni"},
}


def test_the_processor_is_asked_for_what_the_kernels_need(library):
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not cpuinfo.exists():
        pytest.skip("only Linux on x86-64 says by these names what the processor has")
    has = set(re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE).group(1).split())
    for isa, flags in FLAGS.items():
        assert bool(library.HasKernels(isa.encode())) == (flags <= has), isa


def check_sums(library, isa, weights, inputs, product, sizes, seed):
    """The sums of random codes are those of NumPy."""
    m, n, k = sizes
    rng = np.random.default_rng(seed)
    filters = kernel_api.random_numbers(rng, (n, k), *weights)
    rows = kernel_api.random_numbers(rng, (m, k), *inputs)
    zero_point = int(rng.integers(-128, 129)) if rng.random() < 0.5 else 0
    dense = kernel_api.Dense(library, isa, weights, inputs, filters, product, zero_point)
    expected = (kernel_api.worth(rows, *inputs) - zero_point) @ kernel_api.worth(filters, *weights).T
    np.testing.assert_array_equal(dense.caller(rows)(), expected)


@pytest.mark.parametrize("product", ["planes", "bytes"])
@hypothesis.given(
    st.sampled_from(kernel_api.CODES), st.sampled_from(kernel_api.CODES), st.tuples(SIZES, SIZES, SIZES), SEEDS
)
@hypothesis.settings(max_examples=100)
def test_sums(library, isa, product, weights, inputs, sizes, seed):
    check_sums(library, isa, weights, inputs, product, sizes, seed)


@pytest.mark.exhaustive
@pytest.mark.parametrize("weights", kernel_api.CODES, ids=str)
def test_sums_of_every_pair(library, isa, weights):
    """Each with every number of rows that a tile can have, with all tails of outputs and of words."""
    for inputs, product in itertools.product(kernel_api.CODES, ["planes", "bytes"]):
        for m in range(1, 9):
            for n, k in [(1, 1), (15, 31), (16, 32), (17, 33), (33, 63), (48, 64), (64, 100), (70, 257)]:
                check_sums(library, isa, weights, inputs, product, (m, n, k), seed=m * n * k)


@pytest.mark.parametrize("product", ["planes", "bytes"])
@pytest.mark.parametrize("inputs", [(8, "signed"), (8, "unsigned"), (8, "bipolar"), (1, "unsigned")], ids=str)
@pytest.mark.parametrize("weights", [(8, "signed"), (4, "unsigned"), (2, "ternary"), (1, "bipolar")], ids=str)
def test_the_largest_sums(library, isa, weights, inputs, product):
    """Rows of the largest and the smallest codes, of more products than any narrower counter could hold."""
    k = 9000
    largest = {side: [0, 2 ** (side[0] - 1) - 1, 2 ** (side[0] - 1), 2 ** side[0] - 1] for side in (weights, inputs)}
    largest[(2, "ternary")] = [0, 1, 3]
    filters, rows = (np.repeat(np.array(largest[side])[:, np.newaxis], k, axis=1) for side in (weights, inputs))
    for kept in (np.arange(len(rows)), [1]):  # a single row has a kernel of its own
        dense = kernel_api.Dense(library, isa, weights, inputs, filters, product)
        expected = kernel_api.worth(rows[kept], *inputs) @ kernel_api.worth(filters, *weights).T
        np.testing.assert_array_equal(dense.caller(rows[kept])(), expected)


def test_sums_that_do_not_fit_are_refused(library):
    filters = np.zeros((1, 40000), np.int64)
    with pytest.raises(ValueError, match="do not take"):
        kernel_api.Dense(library, "portable", (8, "signed"), (8, "unsigned"), filters, "bytes")
    filters = np.zeros((1, 2**16 + 1), np.int64)
    kernel_api.Dense(library, "portable", (1, "bipolar"), (1, "bipolar"), filters, "planes")
    with pytest.raises(ValueError, match="do not take"):
        kernel_api.Dense(library, "portable", (1, "bipolar"), (1, "bipolar"), filters, "bytes")


@hypothesis.given(st.sampled_from(kernel_api.CODES), st.tuples(st.integers(1, 9), SIZES, SIZES), SEEDS)
@hypothesis.settings(max_examples=100)
def test_float_rows(library, isa, weights, sizes, seed):
    """Products and sums are rounded in the order of the inputs, on every machine."""
    m, n, k = sizes
    rng = np.random.default_rng(seed)
    filters = kernel_api.random_numbers(rng, (n, k), *weights)
    rows = rng.normal(size=(m, k)).astype(np.float32)
    dense = kernel_api.Dense(library, isa, weights, (8, "signed"), filters, "floats")
    worth = kernel_api.worth(filters, *weights).astype(np.float32)
    expected = np.zeros((m, n), np.float32)
    for i in range(k):
        expected += rows[:, i : i + 1] * worth[:, i]
    np.testing.assert_array_equal(dense.caller(rows)(), expected)


@hypothesis.given(st.sampled_from(["plain", "special", "tiny", "even"]), SIZES, st.integers(2, 8), SEEDS)
@hypothesis.settings(max_examples=50)
def test_rows_are_quantized_as_bitnet_does(library, isa, kind, n, bits, seed):
    rng = np.random.default_rng(seed)
    row = rng.normal(size=n).astype(np.float32)
    if kind == "special":
        row = np.where(rng.random(n) < 0.1, rng.choice(np.array([0, -0.0, np.inf, np.nan], np.float32), n), row)
    if kind == "tiny":
        row *= np.float32(10.0) ** rng.integers(-45, -3)
    if kind == "even":  # halves between two codes
        row = rng.integers(-255, 256, n).astype(np.float32) / 2
        row[0] = 127
    quantizer = BitnetActivation(bits=bits)
    codes, scale = quantizer.encode(row)
    limit = 2 ** (bits - 1) - 1
    actual = np.full(n, 99, np.int8)
    largest = library.QuantizeRow(
        isa.encode(), pointer(row), n, ctypes.c_float(limit), ctypes.c_float(quantizer.epsilon), pointer(actual)
    )
    np.testing.assert_array_equal(np.float32(largest) * np.float32(1 / limit), scale[0])
    np.testing.assert_array_equal(actual, codes)


@hypothesis.given(st.integers(1, 9), st.integers(1, 40), st.integers(1, 70), st.booleans(), SEEDS)
@hypothesis.settings(max_examples=100)
def test_nearest_code_vector(library, isa, m, size, count, integers, seed):
    """The one with the least |c|² - 2 x·c, summed up in order; of equal ones the first."""
    rng = np.random.default_rng(seed)
    shapes = (m, size), (count, size)
    # Of small integers, many are equally far.
    drawn = [rng.integers(-1, 2, shape) if integers else rng.normal(size=shape) for shape in shapes]
    rows, vectors = (values.astype(np.float32) for values in drawn)
    norms = np.sum(vectors * vectors, axis=1, dtype=np.float32)
    blocks = -(-count // 16)
    lanes = np.zeros((blocks * 16, size), np.float32)
    lanes[:count] = vectors
    lanes = np.ascontiguousarray(lanes.reshape(blocks, 16, size).swapaxes(1, 2))
    lane_norms = np.full(blocks * 16, np.inf, np.float32)
    lane_norms[:count] = norms
    product = np.zeros((m, count), np.float32)
    for i in range(size):
        product += rows[:, i : i + 1] * vectors[:, i]
    nearest = np.full(m, -1, np.int32)
    library.NearestVectors(
        isa.encode(), pointer(rows), m, size, pointer(lanes), pointer(lane_norms), blocks, pointer(nearest)
    )
    np.testing.assert_array_equal(nearest, np.argmin(norms - 2 * product, axis=1))


def multiply_like_tflite(sums, multipliers, shifts):
    """MultiplyByQuantizedMultiplier: to the nearest integer, halves up."""
    right = 31 - shifts.astype(np.int64)
    return (sums.astype(np.int64) * multipliers + (np.int64(1) << (right - 1))) >> right


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@hypothesis.given(st.integers(1, 32), SEEDS)
@hypothesis.settings(max_examples=100)
def test_requantized_sums(library, isa, dtype, n, seed):
    rng = np.random.default_rng(seed)
    shifts = rng.integers(-31, 9, n, np.int32)
    sums = (rng.integers(-(2**31), 2**31, n) >> np.maximum(shifts, 0)).astype(np.int32)
    if rng.random() < 0.5:  # where halves are likely
        shifts, sums = rng.integers(-4, 1, n, np.int32), rng.integers(-999, 999, n, np.int32)
    multipliers = rng.integers(2**30, 2**31, n).astype(np.int32)
    multipliers[rng.random(n) < 0.3] = 2**30
    zero_point = int(rng.integers(-128, 128))
    low, high = np.iinfo(dtype).min + 3, np.iinfo(dtype).max - 5
    out = np.full(n, 99, dtype)
    function = library.RequantizeInt8 if dtype == np.int8 else library.RequantizeInt16
    function(
        isa.encode(), pointer(sums), pointer(multipliers), pointer(shifts), zero_point, low, high, n, pointer(out)
    )
    expected = multiply_like_tflite(sums, multipliers, shifts) + zero_point
    np.testing.assert_array_equal(out, np.clip(expected, low, high))


def fully_connected_in_tflite(weights, scale, rows):
    """An int8 layer of TensorFlow's, run by TFLite's reference kernels; its quantization, and what it computes."""
    rng = np.random.default_rng(0)
    layer = tf.function(lambda x: tf.matmul(x, weights * scale), input_signature=[tf.TensorSpec((1, len(weights)))])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([layer.get_concrete_function()])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    samples = rng.uniform(-1, 1, (8, 1, len(weights))).astype(np.float32)
    converter.representative_dataset = lambda: ([sample] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    resolver = tf.lite.experimental.OpResolverType.BUILTIN_REF
    interpreter = tf.lite.Interpreter(model_content=converter.convert(), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    (constant,) = [d for d in interpreter.get_tensor_details() if tuple(d["shape"]) == weights.T.shape]
    outputs = []
    for row in rows:
        interpreter.set_tensor(source["index"], row[np.newaxis])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"])[0])
    return source, interpreter.get_tensor(constant["index"]), constant, target, np.array(outputs)


def test_requantized_sums_are_tflites(library, isa):
    """Not of the formula, but of the runtime itself."""
    rng = np.random.default_rng(1)
    rows = rng.integers(-128, 128, (200, 24)).astype(np.int8)
    weights = rng.normal(size=(24, 32)).astype(np.float32)
    source, filters, constant, target, expected = fully_connected_in_tflite(weights, np.float32(0.3), rows)
    sums = ((rows.astype(np.int64) - source["quantization"][1]) @ filters.T.astype(np.int64)).astype(np.int32)
    filter_scales = np.broadcast_to(constant["quantization_parameters"]["scales"], 32).astype(np.float64)
    # TFLite divides float32 scales in float64, and rounds the mantissa to 31 bits.
    input_scale, output_scale = (np.float64(np.float32(side["quantization"][0])) for side in (source, target))
    mantissa, shifts = np.frexp(input_scale * filter_scales / output_scale)
    multipliers, shifts = np.rint(mantissa * 2**31).astype(np.int32), shifts.astype(np.int32)
    for row, out in zip(sums, expected):
        actual = np.zeros(32, np.int8)
        library.RequantizeInt8(
            isa.encode(), pointer(np.ascontiguousarray(row)), pointer(multipliers), pointer(shifts),
            target["quantization"][1], -128, 127, 32, pointer(actual),
        )
        np.testing.assert_array_equal(actual, out)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@hypothesis.given(st.integers(1, 8), SEEDS)
def test_codes_by_thresholds(library, isa, dtype, bits, seed):
    """The code is the number of thresholds reached."""
    rng = np.random.default_rng(seed)
    sums = rng.integers(-300, 300, 32).astype(dtype)
    thresholds = np.sort(rng.integers(-300, 300, (2**bits - 1, 32)), axis=0).astype(dtype)
    words = np.zeros(bits, np.uint32)
    function = library.CodesOfInts if dtype == np.int32 else library.CodesOfFloats
    function(isa.encode(), pointer(sums), pointer(thresholds), bits, pointer(words))
    bits_of_codes = np.unpackbits(words.view(np.uint8), bitorder="little").reshape(bits, 32)
    codes = np.sum(bits_of_codes.astype(int) << np.arange(bits)[:, np.newaxis], axis=0)
    np.testing.assert_array_equal(codes, np.sum(sums >= thresholds, axis=0))


@hypothesis.given(st.integers(1, 32), SEEDS)
def test_scaled_sums(library, isa, n, seed):
    rng = np.random.default_rng(seed)
    sums = rng.integers(-(2**24), 2**24, n).astype(np.int32)
    multiplier, bias = rng.normal(size=(2, n)).astype(np.float32)
    out = np.zeros(n, np.float32)
    low, high = ctypes.c_float(-1e6), ctypes.c_float(2e6)
    library.ScaleSums(isa.encode(), pointer(sums), pointer(multiplier), pointer(bias), low, high, n, pointer(out))
    expected = np.clip(sums.astype(np.float32) * multiplier + bias, np.float32(-1e6), np.float32(2e6))
    np.testing.assert_array_equal(out, expected)


def test_the_table_of_choices(library):
    """Every line can be reached, and each instruction set has a last one for any number of rows."""
    lines = kernel_api.choice_table(library)
    by_isa = {isa: [line[1:] for line in lines if line[0] == isa] for isa in kernel_api.ISAS}
    assert sum(map(len, by_isa.values())) == len(lines)
    filters = np.zeros((1, 1), np.int64)
    for isa, of_isa in by_isa.items():
        rows = [most_rows for most_rows, _, _ in of_isa]
        assert rows == sorted(set(rows)) and rows[-1] == 2**31 - 1
        if not library.HasKernels(isa.encode()):
            continue
        for most_rows, pairs, ternary_pairs in of_isa:
            for bits, most in [((1, "bipolar"), pairs), ((2, "ternary"), ternary_pairs)]:
                for width in range(1, 9):
                    dense = kernel_api.Dense(library, isa, bits, (width, "unsigned"), filters, "planes")
                    assert dense.choice(most_rows) == ("planes" if width <= most else "bytes")
