"""Passes on graphs made by hand: what they fuse, what they leave, and that no bit changes."""

import hypothesis
import keras
import numpy as np
import pytest
import reference_graph
from hypothesis import strategies as st
from sketch import Sketch
from tensorflow.lite.python import schema_py_generated as schema

import keras_ste
from keras_ste.converter.graph import read_model
from keras_ste.converter.passes import PASSES, fuse
from keras_ste.converter.passes.exact_shapes import exact_shapes
from keras_ste.converter.passes.pack_weights import pack_weights
from keras_ste.converter.passes.take_layer_names import take_layer_names

# As little as a file needs to follow docs/ops.md: nothing is fused, folded or moved.
MINIMAL = (take_layer_names, exact_shapes, pack_weights)

CLAMPS = ("activation_min", "activation_max")
RELU = schema.ActivationFunctionType.RELU
ACTIVATIONS = [0, 0, 0, RELU, schema.ActivationFunctionType.RELU6, schema.ActivationFunctionType.RELU_N1_TO_1]


def signs(rng, *shape):
    return rng.choice(np.array([-1, 1], np.int8), shape)


def random_values(rng, size, scale):
    """Numbers of both signs, with some that are zero."""
    numbers = rng.normal(scale=scale, size=size).astype(np.float32)
    return np.where(rng.random(size) < 0.15, np.float32(rng.choice([0.0, -0.0])), numbers)


def random_step(sketch, rng, x, scale):
    """One op that thresholds or multiplier, bias and clamp may take in."""
    channels = x.signature[-1]
    size = rng.choice([1, channels])
    shape = () if size == 1 and rng.random() < 0.5 else (size,)
    constant = random_values(rng, shape, scale)
    kind = rng.choice(["ADD", "SUB", "rSUB", "MUL", "DIV", "RELU", "RELU6", "MAXIMUM", "MINIMUM", "NEG", "LEAKY_RELU"])
    activation = {"fusedActivationFunction": int(rng.choice(ACTIVATIONS))}
    if kind in ("ADD", "MUL"):
        operands = [x, constant] if rng.random() < 0.5 else [constant, x]
        return sketch.builtin(kind, *operands, **activation)
    if kind == "SUB":
        return sketch.builtin("SUB", x, constant, **activation)
    if kind == "rSUB":
        return sketch.builtin("SUB", constant, x, **activation)
    if kind == "DIV":
        return sketch.builtin("DIV", x, np.where(constant == 0, np.float32(0.7), constant), **activation)
    if kind in ("MAXIMUM", "MINIMUM"):
        return sketch.builtin(kind, x, constant)
    if kind == "LEAKY_RELU":
        return sketch.builtin(kind, x, alpha=0.25)
    return sketch.builtin(kind, x)


def random_input(sketch, rng, kind, size, channels):
    """The graph's input `x` as a layer takes it."""
    if kind == "packed":
        return sketch.quantize(sketch.input("x", np.float32, *size, channels))
    return sketch.input("x", kind, *size, channels)


def feed(rng, kind, batch, size, channels):
    shape = (batch, *size, channels)
    if kind in ("packed", "float32"):
        return rng.normal(size=shape).astype(np.float32)
    limits = np.iinfo(kind)
    return rng.integers(limits.min, limits.max + 1, shape).astype(kind)


def conv_options(rng):
    options = {"padding": str(rng.choice(["valid", "same"]))}
    options["pad_value"] = int(rng.integers(2)) if options["padding"] == "same" else 0
    for axis in "hw":
        options[f"stride_{axis}"] = int(rng.integers(1, 3))
        options[f"dilation_{axis}"] = int(rng.integers(1, 3))
    return options


def clamps(op):
    return any(name in op.options for name in CLAMPS) or "imum" in op.options.get("tail", "")


def build(seed, kind, groups, channels, filters, steps, pool_at, passes):
    """input → conv → steps with a max-pool among them → sign → dense → steps; and what to feed it."""
    rng = np.random.default_rng(seed)
    size = tuple(int(n) for n in rng.integers(6, 10, 2))
    sketch = Sketch()
    x = random_input(sketch, rng, kind, size, channels * groups)
    kernel = rng.integers(1, 4, 2)
    weights = signs(rng, filters * groups, *kernel, channels)
    options = conv_options(rng)
    if kind in ("int8", "uint8"):
        options["input_zero_point"] = int(rng.choice([0, 3]))
    multiplier = random_values(rng, len(weights), 1.0) if rng.random() < 0.5 else None
    bias = random_values(rng, len(weights), 5.0) if rng.random() < 0.5 else None
    x = sketch.conv(x, weights, channels * groups, multiplier, bias, groups=groups, **options)
    scale = float(rng.choice([0.5, 5.0, 50.0]))
    for step in range(steps + 1):
        if step == pool_at:
            x = sketch.max_pool(x, 2, int(rng.integers(1, 3)), str(rng.choice(["valid", "same"])), int(rng.choice(ACTIVATIONS)))
        if step < steps:
            x = random_step(sketch, rng, x, scale)
    if min(x.signature[1:]) < 1:
        return None
    _, h, w, c = x.signature
    flat = sketch.builtin("RESHAPE", x, np.array([-1, h * w * c], np.int32), shape=(-1, h * w * c))
    y = sketch.dense(sketch.quantize(flat), signs(rng, 5, h * w * c))
    for _ in range(int(rng.integers(4))):
        y = random_step(sketch, rng, y, 3.0)
    content = sketch.write(passes, y=y)
    return content, feed(rng, kind, int(rng.choice([1, 5])), size, channels * groups)


@hypothesis.settings(max_examples=150)
@hypothesis.given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["packed", "packed", "packed", "uint8", "int8", "float32"]),
    st.integers(1, 3),
    st.sampled_from([1, 5, 31, 33]),
    st.sampled_from([17, 32, 33, 100]),
    st.integers(0, 4),
    st.sampled_from([None, 0, 1, 2]),
)
def test_no_bit_changes(seed, kind, groups, channels, filters, steps, pool_at):
    plain = build(seed, kind, groups, channels, filters, steps, pool_at, MINIMAL)
    hypothesis.assume(plain is not None)
    content, x = plain
    expected = reference_graph.run(content, x=x)["y"]
    fused, _ = build(seed, kind, groups, channels, filters, steps, pool_at, PASSES)
    result = reference_graph.run(fused, x=x)["y"]
    if not any(clamps(op) for op in read_model(fused).graphs[0].ops):
        # Bits, so that -0.0 and 0.0 differ. Of these two a clamp may return either.
        result, expected = result.view(np.int32), expected.view(np.int32)
    np.testing.assert_array_equal(result, expected)
    names = reference_graph.op_names(fused)
    assert names[-1] == "SteFullyConnected" or "SteFullyConnected" in names
    inside = names[: names.index("SteFullyConnected")]
    if kind == "float32" and "SteQuantize" in inside:
        return  # A float32 sum may be so large that the chain behind it overflows; then there is no threshold.
    assert set(inside) <= {"SteQuantize", "SteConv2D", "SteMaxPool2D"}
    assert inside.count("SteQuantize") == (kind == "packed")


def run_both(make):
    """The files of a sketch with minimal and with all passes; `make` returns (sketch, outputs)."""
    contents = []
    for passes in (MINIMAL, PASSES):
        sketch, outputs = make()
        contents.append(sketch.write(passes, **outputs))
    return contents


def notes(sketch):
    return [op.note for op in sketch.graph.ops if op.name == "SteQuantize"]


def dense_then(behind, channels=8, multiplier=None, bias=None, kind="packed"):
    """input `x` → dense → what `behind(sketch, y)` adds; twice, for minimal and all passes."""

    def make():
        rng = np.random.default_rng(0)
        sketch = Sketch()
        x = random_input(sketch, rng, kind, (), 40)
        y = sketch.dense(x, signs(rng, channels, 40), multiplier, bias)
        return sketch, behind(sketch, y)

    return run_both(make)


def equal_bits(contents, batch=64, kind="packed"):
    x = feed(np.random.default_rng(1), kind, batch, (), 40)
    plain, full = (reference_graph.run(content, x=x) for content in contents)
    for name in plain:
        np.testing.assert_array_equal(full[name].view(np.int32), plain[name].view(np.int32))
    return reference_graph.op_names(contents[1])


def test_pool_before_and_behind_a_falling_channel():
    """The largest value has the smallest sign where what follows falls; negative weights do not fall."""
    rng = np.random.default_rng(3)
    gamma = np.where(np.arange(40) % 3 == 0, -1, 1).astype(np.float32) * np.float32(0.3)
    weights, beta = signs(rng, 40, 3, 3, 33), rng.normal(size=40).astype(np.float32)

    def make(pool_first):
        sketch = Sketch()
        x = sketch.conv(sketch.quantize(sketch.input("x", np.float32, 9, 9, 33)), weights, 33)
        if pool_first:
            x = sketch.max_pool(x, 3, 2, "same")
        x = sketch.builtin("ADD", sketch.builtin("MUL", x, gamma), beta)
        if not pool_first:
            x = sketch.max_pool(x, 3, 2, "same")
        return sketch, {"bits": sketch.quantize(x)}

    x = rng.normal(size=(2, 9, 9, 33)).astype(np.float32)
    for pool_first in (True, False):
        plain, full = run_both(lambda: make(pool_first))
        expected = reference_graph.run(plain, x=x)["bits"]
        np.testing.assert_array_equal(reference_graph.run(full, x=x)["bits"], expected)
        pool = read_model(full).graphs[0].ops[-1]
        assert pool.name == "SteMaxPool2D"
        minimum = pool.input(1)
        if pool_first:
            np.testing.assert_array_equal(
                np.unpackbits(minimum.data.view(np.uint8), bitorder="little")[:40], gamma < 0
            )
        else:
            assert minimum is None


@pytest.mark.parametrize("both_are_outputs", [False, True])
def test_pools_over_one_place_are_left_out(both_are_outputs):
    """Of two in a row LiteRT computes none with a batch of another size than the file's."""
    inputs = keras.Input((4, 3, 33))
    y = keras_ste.QuantConv2D(8, 1, input_quantizer="ste_sign", kernel_quantizer="ste_sign")(inputs)
    first = keras.layers.MaxPooling2D(1)(y)
    second = keras.layers.MaxPooling2D(1, padding="same")(first)
    model = keras.Model(inputs, [first, second] if both_are_outputs else second)
    x = np.random.default_rng(0).normal(size=(3, 4, 3, 33)).astype(np.float32)
    converted = keras_ste.convert(model, strict=True, verify=x, tolerance=0)
    pools = [row for row in converted.report.rows if "POOL" in row.op]
    assert len(pools) == (2 if both_are_outputs else 1)


def test_thresholds_keep_shared_weights_as_they_are():
    """One layer called twice shares its constants; only the call behind a falling scale is negated."""

    def make():
        rng = np.random.default_rng(0)
        sketch = Sketch()
        x = sketch.quantize(sketch.input("x", np.float32, 40))
        shared = sketch.constant(signs(rng, 8, 40))
        outputs = {}
        for name, gamma in (("rises", 1.0), ("falls", -1.0)):
            y = sketch.dense(x, shared.data)
            sketch.graph.ops[-1].inputs[1] = shared
            y = sketch.builtin("ADD", sketch.builtin("MUL", y, np.float32([gamma])), np.float32([2.5]))
            outputs[name] = sketch.quantize(y)
        return sketch, outputs

    contents = run_both(make)
    names = equal_bits(contents)
    assert names == ["SteQuantize", "SteFullyConnected", "SteFullyConnected"]


@pytest.mark.parametrize(
    ("behind", "reason"),
    [
        (lambda s, y: {"a": s.quantize(y), "b": s.builtin("RELU", y)}, "another consumer: RELU"),
        (lambda s, y: {"a": s.quantize(y), "b": y}, "also an output"),
        (lambda s, y: {"a": s.quantize(s.builtin("LOGISTIC", y))}, "LOGISTIC"),
        (lambda s, y: {"a": s.quantize(s.builtin("LEAKY_RELU", y, alpha=-0.5))}, "both rises and falls"),
        (lambda s, y: {"a": s.quantize(s.builtin("DIV", y, np.float32([0.0])))}, "divides by zero"),
        (lambda s, y: {"a": s.quantize(s.builtin("MUL", y, np.float32([np.inf])))}, "infinite value or a NaN"),
        (lambda s, y: {"a": s.quantize(s.builtin("ADD", y, np.float32([np.nan])))}, "infinite value or a NaN"),
        (lambda s, y: {"a": s.quantize(s.builtin("MUL", y, y))}, "two inputs"),
        (
            lambda s, y: {"a": s.quantize(s.builtin("MUL", y, np.float32([0]), fusedActivationFunction=4))},
            "TANH",
        ),
    ],
)
def test_what_cannot_be_thresholds_stays_and_says_why(behind, reason):
    rng = np.random.default_rng(0)
    sketch = Sketch()
    y = sketch.dense(sketch.quantize(sketch.input("x", np.float32, 40)), signs(rng, 8, 40))
    outputs = behind(sketch, y)
    sketch.graph.outputs = list(outputs.values())
    fuse(sketch.graph)
    assert reason in notes(sketch)[1]
    assert sketch.graph.select("SteFullyConnected")[0].options["output"] == "float32"


def test_constants_of_other_shapes_are_not_per_channel():
    rng = np.random.default_rng(0)
    sketch = Sketch()
    x = sketch.quantize(sketch.input("x", np.float32, 4, 4, 40))
    y = sketch.conv(x, signs(rng, 8, 1, 1, 40), 40)
    y = sketch.builtin("ADD", y, rng.normal(size=(4, 4, 8)).astype(np.float32))
    sketch.write(PASSES, bits=sketch.quantize(y))
    assert "for each place" in notes(sketch)[1]


def test_a_constant_that_spreads_its_input_is_not_taken_in():
    rng = np.random.default_rng(0)
    sketch = Sketch()
    y = sketch.dense(sketch.quantize(sketch.input("x", np.float32, 40)), signs(rng, 1, 40))
    y = sketch.builtin("ADD", y, rng.normal(size=3).astype(np.float32), shape=(-1, 3))
    sketch.write(PASSES, bits=sketch.quantize(y))
    assert "spreads" in notes(sketch)[1] or "for each place" in notes(sketch)[1]


def test_equal_signs_are_taken_once():
    def behind(sketch, y):
        rng = np.random.default_rng(5)
        y = sketch.builtin("ADD", y, np.float32([0.5]))
        return {name: sketch.dense(sketch.quantize(y), signs(rng, 3, 8)) for name in "ab"}

    names = equal_bits(dense_then(behind))
    assert names == ["SteQuantize"] + ["SteFullyConnected"] * 3


@pytest.mark.parametrize("channels", [1, 8, 16, 33, 64])
def test_flattened_signs_are_taken_before_flattening(channels):
    """Unless the pixels would be mostly padding."""

    def make():
        rng = np.random.default_rng(2)
        sketch = Sketch()
        x = sketch.quantize(sketch.input("x", np.float32, 5, 4, 7))
        y = sketch.conv(x, signs(rng, channels, 2, 2, 7), 7)
        length = 4 * 3 * channels
        shape = sketch.builtin("RELU", y)  # stands for the ops that compute the shape at run time
        y = sketch.builtin("RESHAPE", y, np.array([-1, length], np.int32), shape=(-1, length))
        return sketch, {"y": sketch.dense(sketch.quantize(y), signs(rng, 3, length)), "z": shape}

    plain, full = run_both(make)
    x = np.random.default_rng(1).normal(size=(3, 5, 4, 7)).astype(np.float32)
    np.testing.assert_array_equal(
        reference_graph.run(full, x=x)["y"], reference_graph.run(plain, x=x)["y"]
    )
    last = read_model(full).graphs[0].ops[-1]
    assert ("RESHAPE" in reference_graph.op_names(full)) == (channels < 16)
    assert last.options["pixels"] == (12 if channels >= 16 else 1)
    assert last.options["input_axes"] == (3 if channels >= 16 else 1)


def test_a_flattening_that_others_read_keeps_its_signs():
    rng = np.random.default_rng(0)
    sketch = Sketch()
    x = sketch.input("x", np.float32, 4, 4, 32)
    flat = sketch.quantize(sketch.builtin("RESHAPE", x, np.array([-1, 512], np.int32), shape=(-1, 512)))
    content = sketch.write(PASSES, y=sketch.dense(flat, signs(rng, 3, 512)), flat=flat)
    assert reference_graph.op_names(content) == ["RESHAPE", "SteQuantize", "SteFullyConnected"]
    assert "read by an op other than a dense layer" in notes(sketch)[0]


@pytest.mark.parametrize("gamma", [0.3, -0.3, 0.0, -0.0, 1e-30])
@pytest.mark.parametrize("beta", [None, 0.0, -0.0, 0.7])
@pytest.mark.parametrize("kind", ["packed", "float32"])
def test_scale_and_shift_are_folded_bit_for_bit(gamma, beta, kind):
    def behind(sketch, y):
        y = sketch.builtin("MUL", y, np.float32([gamma]))
        return {"y": y if beta is None else sketch.builtin("SUB", y, np.float32([beta] * 8))}

    names = equal_bits(dense_then(behind, kind=kind), kind=kind)
    # The sum of a row of 40 signs is 0 in some of 64 rows, so -0.0 appears.
    assert names == ["SteQuantize"] * (kind == "packed") + ["SteFullyConnected"]


def last_options(contents):
    return read_model(contents[1]).graphs[0].ops[-1].options


def test_scales_are_not_multiplied_together():
    """(sum * a) * b is rounded twice, sum * (a * b) once."""
    scale = np.random.default_rng(0).normal(size=8).astype(np.float32)
    contents = dense_then(lambda s, y: {"y": s.builtin("MUL", y, scale)}, multiplier=scale)
    assert equal_bits(contents)[-1] == "SteFullyConnected"
    assert last_options(contents)["tail"] == "multiply"


def test_biases_are_not_added_together():
    bias = np.random.default_rng(0).normal(size=8).astype(np.float32)
    contents = dense_then(lambda s, y: {"y": s.builtin("ADD", y, bias)}, bias=bias)
    assert equal_bits(contents)[-1] == "SteFullyConnected"
    assert last_options(contents)["tail"] == "add"


def test_clamps_become_one_and_end_the_folding():
    def behind(sketch, y):
        y = sketch.builtin("MUL", y, np.float32([0.5] * 8), fusedActivationFunction=RELU)
        y = sketch.builtin("MINIMUM", y, np.float32([2.25]))
        y = sketch.builtin("MAXIMUM", y, np.float32([-7]))
        return {"y": sketch.builtin("MUL", y, np.float32([3.0]))}

    contents = dense_then(behind)
    assert equal_bits(contents)[-1] == "SteFullyConnected"
    options = last_options(contents)
    assert (options["activation_min"], options["activation_max"], options["tail"]) == (0.0, 2.25, "multiply")


def test_folding_stops_at_what_others_read():
    contents = dense_then(lambda s, y: {"y": y, "z": s.builtin("MUL", y, np.float32([0.5] * 8))})
    assert equal_bits(contents)[-1] == "MUL"


def test_ones_and_zeros_are_absent():
    ones, zeros = np.ones(8, np.float32), np.zeros(8, np.float32)
    sketch = Sketch()
    rng = np.random.default_rng(0)
    x = sketch.quantize(sketch.input("x", np.float32, 40))
    a = sketch.dense(x, signs(rng, 8, 40), ones, zeros)
    b = sketch.dense(x, signs(rng, 8, 40), 2 * ones, -zeros)
    graph = read_model(sketch.write(PASSES, a=a, b=b)).graphs[0]
    first, second = graph.select("SteFullyConnected")
    assert first.inputs[2:] == [None, None]
    assert second.input(2) is not None and np.signbit(second.input(3).data).all()


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("other_reader", [False, True])
def test_pixels_are_read_as_they_are(kind, other_reader):
    rng = np.random.default_rng(0)
    contents = []
    for passes in (MINIMAL, PASSES):
        sketch = Sketch()
        pixels = sketch.input("x", kind, 40)
        types = (schema.TensorType.UINT8 if kind == np.uint8 else schema.TensorType.INT8, schema.TensorType.FLOAT32)
        x = sketch.builtin("CAST", pixels, inDataType=types[0], outDataType=types[1])
        outputs = {"y": sketch.dense(x, signs(np.random.default_rng(1), 8, 40))}
        outputs |= {"z": sketch.builtin("NEG", x)} if other_reader else {}
        contents.append(sketch.write(passes, **outputs))
    names = ["CAST", "SteFullyConnected", "NEG"] if other_reader else ["SteFullyConnected"]
    assert reference_graph.op_names(contents[1]) == names
    x = feed(rng, kind, 5, (), 40)
    for name, value in reference_graph.run(contents[0], x=x).items():
        np.testing.assert_array_equal(reference_graph.run(contents[1], x=x)[name], value)


def test_a_computed_flattening_becomes_constant_and_its_ops_vanish():
    sketch = Sketch()
    x = sketch.input("x", np.float32, 2, 3)
    computed = sketch.builtin("RELU", x)
    y = sketch.builtin("RESHAPE", sketch.builtin("NEG", x), computed, shape=(-1, 6))
    content = sketch.write(PASSES, y=y)
    assert reference_graph.op_names(content) == ["NEG", "RESHAPE"]
    assert read_model(content).graphs[0].ops[1].inputs[1].data.tolist() == [-1, 6]


def test_weights_without_a_code_are_refused():
    sketch = Sketch()
    y = sketch.dense(sketch.input("x", np.float32, 3), np.array([[1, 0, -1]], np.int8))
    with pytest.raises(RuntimeError, match="has values that bipolar codes of 1 bits do not stand for"):
        sketch.write(PASSES, y=y)
