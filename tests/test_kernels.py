"""Every kernel variant against the plain reference, through the ops and a real interpreter."""

import ctypes

import kernel_api
import numpy as np
import pytest
import reference_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from single_op import Tensor, single_op_model

import keras_ste
from keras_ste.runtime import native

CHANNELS = st.one_of(st.integers(1, 70), st.sampled_from([96, 100, 127, 128, 129, 160, 256]))


def kernels_in_use():
    """What the library says it runs, or None where it cannot run what KERAS_STE_ISA asks for."""
    library = ctypes.CDLL(native.library_path())
    library.KerasSteKernels.restype = ctypes.c_char_p
    name = library.KerasSteKernels()
    return name and name.decode()


@pytest.fixture(params=kernel_api.ISAS, scope="module")
def isa(request):
    """Forces the kernels of one instruction set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_STE_ISA", request.param)
        if kernels_in_use() is None:
            pytest.skip(f"this machine has no {request.param}: its kernels are not tested here")
        yield request.param


def run(model, value, threads=1):
    interpreter = keras_ste.Interpreter(model_content=model, num_threads=threads)
    detail = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(detail["index"], value.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def check(op, options, value, constants, threads=1, misalign=0):
    """Runs one op on one value; its constants may be None. Bit for bit equal to the reference."""
    (expected,) = reference_outputs(op, options, [value, *constants])
    tensors = [None if c is None else Tensor.constant(f"constant{i}", c) for i, c in enumerate(constants)]
    fed = Tensor("input", (1, *value.shape[1:]), value.dtype)
    output = Tensor("output", (1, *expected.shape[1:]), expected.dtype)
    model = single_op_model(op, options, [fed, *tensors], output, misalign=misalign)
    actual = run(model, value, threads)
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


def reference_outputs(op, options, inputs):
    """What the reference computes, as a list: an op with a tail may have two outputs."""
    outputs = reference_ops.OPS[op](inputs, options)
    return list(outputs) if isinstance(outputs, tuple) else [outputs]


def random_bits(rng, shape):
    return reference_ops.pack(rng.random(shape) < 0.5)


def random_input(rng, kind, shape):
    """A value of the kind, and its zero point. The values are small enough to be added up exactly where float."""
    if kind == "packed":
        return random_bits(rng, shape), 0
    if kind == "float32":
        return rng.normal(size=shape).astype(np.float32), 0
    limits = np.iinfo(kind)
    value = rng.integers(limits.min, limits.max, shape, kind, endpoint=True)
    return value, int(rng.integers(limits.min, limits.max))


def random_outputs(rng, kind, packed, filters, products):
    """The constants 2 to 4 and the options of a packed or a float32 output."""
    if packed and kind == "float32":
        thresholds = rng.normal(size=filters).astype(np.float32)
        thresholds[rng.random(filters) < 0.1] = np.nan
        thresholds[rng.random(filters) < 0.1] = -np.inf
        return [None, None, thresholds], {"output": "packed"}
    if packed:
        reach = int(products**0.5 * (1 if kind == "packed" else 100)) + 1
        thresholds = rng.integers(-reach, reach, filters, np.int32)
        thresholds[rng.random(filters) < 0.1] = 2**31 - 1
        thresholds[rng.random(filters) < 0.1] = -(2**31)
        return [None, None, thresholds], {"output": "packed"}
    options = {"output": "float32"}
    if rng.random() < 0.5:
        options |= {"activation_min": 0.0, "activation_max": 6.0}
    multiplier, bias = (rng.normal(size=filters).astype(np.float32) for _ in range(2))
    return [multiplier if rng.random() < 0.7 else None, bias if rng.random() < 0.7 else None], options


def group_aligned_filter(rng, options):
    """A random packed filter: the bits of each group where the group's input words have them."""
    channels, groups, filters = options["channels"], options["groups"], options["filters"]
    per_group = channels // groups
    first_words = [g * per_group // 32 for g in range(groups)]
    words = max(-(-(g + 1) * per_group // 32) - first_words[g] for g in range(groups))
    bits = np.zeros((filters, options["kernel_h"], options["kernel_w"], words * 32), bool)
    for o in range(filters):
        g = o // (filters // groups)
        start = g * per_group - 32 * first_words[g]
        bits[o, :, :, start : start + per_group] = rng.random((*bits.shape[1:3], per_group)) < 0.5
    return reference_ops.pack(bits)


@st.composite
def convolutions(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    per_group = draw(CHANNELS) if groups == 1 else draw(st.sampled_from([1, 5, 31, 32, 33, 64]))
    options = {
        "version": 1,
        "channels": per_group * groups,
        "filters": draw(CHANNELS) if groups == 1 else groups * draw(st.sampled_from([1, 7, 16, 17, 32, 33])),
        "kernel_h": draw(st.integers(1, 4)),
        "kernel_w": draw(st.integers(1, 4)),
        "stride_h": draw(st.integers(1, 3)),
        "stride_w": draw(st.integers(1, 3)),
        "dilation_h": draw(st.integers(1, 3)),
        "dilation_w": draw(st.integers(1, 3)),
        "groups": groups,
        "padding": draw(st.sampled_from(["same", "valid", "causal"])),
    }
    options["pad_value"] = draw(st.integers(0, 1)) if options["padding"] != "valid" else 0
    reach = [(options[f"kernel_{a}"] - 1) * options[f"dilation_{a}"] + 1 for a in "hw"]
    smallest = reach if options["padding"] == "valid" else [1, 1]
    size = [s + draw(st.integers(0, 9)) for s in smallest]
    return options, (draw(st.sampled_from([1, 2, 5])), *size, options["channels"])


@pytest.mark.parametrize("kind", ["packed", "float32", "int8", "uint8"])
@given(case=convolutions(), packed_output=st.booleans(), seed=st.integers(0, 2**31), threads=st.sampled_from([1, 2, 3]))
@settings(max_examples=150, deadline=None)
def test_conv2d(isa, kind, case, packed_output, seed, threads):
    options, shape = case
    rng = np.random.default_rng(seed)
    value, zero_point = random_input(rng, kind, shape)
    products = options["kernel_h"] * options["kernel_w"] * options["channels"] // options["groups"]
    constants, output_options = random_outputs(rng, kind, packed_output, options["filters"], products)
    filters = (
        group_aligned_filter(rng, options) if kind == "packed" else random_bits(rng, (options["filters"], products))
    )
    options = options | output_options | {"input_zero_point": zero_point}
    check("SteConv2D", options, value, [filters, *constants], threads, misalign=seed % 4)


@pytest.mark.parametrize("kind", ["packed", "float32", "int8", "uint8"])
@given(
    batch=st.integers(1, 17),
    pixels=st.sampled_from([1, 1, 4, 9]),
    channels=CHANNELS,
    units=CHANNELS,
    packed_output=st.booleans(),
    seed=st.integers(0, 2**31),
    threads=st.sampled_from([1, 2, 3]),
)
@settings(max_examples=100, deadline=None)
def test_fully_connected(isa, kind, batch, pixels, channels, units, packed_output, seed, threads):
    rng = np.random.default_rng(seed)
    shape = (batch, channels) if pixels == 1 else (batch, int(pixels**0.5), int(pixels**0.5), channels)
    value, zero_point = random_input(rng, kind, shape)
    constants, options = random_outputs(rng, kind, packed_output, units, pixels * channels)
    if kind == "packed":
        filters = random_bits(rng, (units, pixels, channels)).reshape(units, -1)
    else:
        filters = random_bits(rng, (units, pixels * channels))
    options |= {"version": 1, "units": units, "channels": channels, "pixels": pixels}
    options |= {"input_axes": len(shape) - 1, "input_zero_point": zero_point}
    check("SteFullyConnected", options, value, [filters, *constants], threads, misalign=seed % 4)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), CHANNELS),
    pool=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.sampled_from(["same", "valid"]),
    with_minimum=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=150, deadline=None)
def test_max_pool2d(isa, shape, pool, stride, padding, with_minimum, seed):
    if padding == "valid":
        shape = (shape[0], max(shape[1], pool[0]), max(shape[2], pool[1]), shape[3])
    rng = np.random.default_rng(seed)
    options = {"version": 1, "channels": shape[3], "padding": padding}
    options |= {"pool_h": pool[0], "pool_w": pool[1], "stride_h": stride[0], "stride_w": stride[1]}
    constants = [random_bits(rng, shape[3:])] if with_minimum else []
    check("SteMaxPool2D", options, random_bits(rng, shape), constants)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), CHANNELS),
    seed=st.integers(0, 2**31),
    threads=st.sampled_from([1, 2]),
)
@settings(max_examples=150, deadline=None)
def test_quantize(isa, shape, seed, threads):
    rng = np.random.default_rng(seed)
    special = np.array([0.0, -0.0, np.nan, np.inf, -np.inf], np.float32)
    value = np.where(rng.random(shape) < 0.3, rng.choice(special, shape), rng.normal(size=shape)).astype(np.float32)
    check("SteQuantize", {"version": 1, "bits": 1, "encoding": "bipolar", "channels": shape[-1]}, value, [])


def test_each_instruction_set_is_really_forced(isa):
    assert kernels_in_use() == isa


def test_unknown_instruction_set_is_an_error(monkeypatch):
    monkeypatch.setenv("KERAS_STE_ISA", "mmx")
    model = single_op_model(
        "SteQuantize",
        {"version": 1, "bits": 1, "encoding": "bipolar", "channels": 8},
        [Tensor("input", (1, 8))],
        Tensor("output", (1, 1), np.int32),
    )
    with pytest.raises(RuntimeError, match="KERAS_STE_ISA='mmx' is not one of this machine's: portable"):
        run(model, np.zeros((1, 8), np.float32))


def test_large_sums_are_exact(isa):
    """A row of more words than any counter of bytes could hold without being emptied in between."""
    rng = np.random.default_rng(0)
    value = reference_ops.pack(np.ones((1, 20000), bool))
    filters = reference_ops.pack(rng.random((40, 20000)) < np.linspace(0, 1, 40)[:, np.newaxis])
    options = {"version": 1, "units": 40, "channels": 20000, "output": "float32"}
    check("SteFullyConnected", options, value, [filters])
