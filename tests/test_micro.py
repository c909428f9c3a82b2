"""The ops in TFLite Micro: the wheel's interpreter runs the adapter that boards compile."""

import importlib.metadata
import os
import re
import shutil
import struct
import subprocess
import sys
import tomllib

import bad_models
import keras
import native_build
import numpy as np
import pytest
import reference_ops
import test_code_ops as code_ops
import test_code_products as products
import test_depthwise as depthwise
import test_kernels as kernels
from hypothesis import given, settings
from hypothesis import strategies as st
from single_op import Tensor, schema, single_op_model

import keras_ste
from keras_ste import MicroInterpreter, QuantConv2D, QuantDense
from keras_ste.runtime import library_path, micro

pytest.importorskip("tflite_micro", reason=f"{micro.WHEEL} is missing: {micro.INSTALL} (Python 3.11 or 3.12)")

QUANTIZE = {"version": 1, "bits": 1, "encoding": "bipolar", "channels": 40}
KINDS = ["packed", "float32", "int8", "uint8"]


def quantize_model(**options):
    output = Tensor("signs", (1, 2), np.int32)
    return single_op_model("SteQuantize", QUANTIZE | options, [Tensor("x", (1, 40))], output)


@st.composite
def nodes(draw, op):
    """An op's options, its fed input and its constants."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    kind, packed_output = draw(st.sampled_from(KINDS)), draw(st.booleans())
    if op == "SteQuantize":
        shape = (draw(st.integers(1, 3)), draw(kernels.CHANNELS))
        special = rng.choice(np.array([0.0, -0.0, np.nan], np.float32), shape)
        value = np.where(rng.random(shape) < 0.2, special, rng.normal(size=shape).astype(np.float32))
        return QUANTIZE | {"channels": shape[-1]}, value, []
    if op == "SteMaxPool2D":
        height, width, channels = draw(st.integers(2, 7)), draw(st.integers(2, 7)), draw(kernels.CHANNELS)
        options = {"version": 1, "channels": channels, "padding": draw(st.sampled_from(["same", "valid"]))}
        options |= {key: draw(st.integers(1, 2)) for key in ("pool_h", "pool_w", "stride_h", "stride_w")}
        constants = [kernels.random_bits(rng, (channels,))] if draw(st.booleans()) else []
        return options, kernels.random_bits(rng, (1, height, width, channels)), constants
    if op == "SteConv2D":
        options, shape = draw(kernels.convolutions())
        filters = options["filters"]
        products = options["kernel_h"] * options["kernel_w"] * options["channels"] // options["groups"]
    else:
        filters, channels, pixels = draw(kernels.CHANNELS), draw(kernels.CHANNELS), draw(st.sampled_from([1, 4]))
        options = {"version": 1, "units": filters, "channels": channels, "pixels": pixels, "input_axes": 2}
        shape, products = (draw(st.integers(1, 3)), pixels, channels), pixels * channels
    value, zero_point = kernels.random_input(rng, kind, shape)
    outputs, output_options = kernels.random_outputs(rng, kind, packed_output, filters, products)
    if kind != "packed":
        weights = kernels.random_bits(rng, (filters, products))
    elif op == "SteConv2D":
        weights = kernels.group_aligned_filter(rng, options)
    else:
        weights = kernels.random_bits(rng, (filters, pixels, channels)).reshape(filters, -1)
    return options | output_options | {"input_zero_point": zero_point}, value, [weights, *outputs]


def model_of(op, options, value, constants, odd=0):
    """The model of a node, its constants `odd` bytes off the address of a word, and the reference's output."""
    expected = reference_ops.OPS[op]([value, *constants], options)
    tensors = [None if c is None else Tensor.constant(f"constant{i}", c) for i, c in enumerate(constants)]
    for tensor in tensors:
        if odd and tensor is not None:  # an inner vector, with its own length, inside of the buffer's data
            raw = tensor.data.tobytes()
            tensor.data = np.frombuffer(bytes(odd) + struct.pack("<I", len(raw)) + raw, np.uint8)
    fed = Tensor("input", value.shape, value.dtype)
    model = single_op_model(op, options, [fed, *tensors], Tensor("output", expected.shape, expected.dtype))
    if odd:
        model = bytearray(model)
        file = schema.Model.GetRootAs(model, 0)
        for i in range(1, file.BuffersLength()):
            table = file.Buffers(i)._tab
            field = table.Pos + table.Offset(4)
            struct.pack_into("<I", model, field, struct.unpack_from("<I", model, field)[0] + 4 + odd)
    return bytes(model), expected


def run(interpreter, value):
    interpreter.set_input(value, 0)
    interpreter.invoke()
    return interpreter.get_output(0)


@pytest.mark.parametrize("op", ["SteQuantize", "SteConv2D", "SteFullyConnected", "SteMaxPool2D"])
@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_an_op_equals_the_reference(op, data):
    options, value, constants = data.draw(nodes(op))
    model, expected = model_of(op, options, value, constants)
    actual = run(MicroInterpreter(model_content=model), value)
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


def product_nodes(op):
    """As code_ops.NODES has them."""
    kinds = st.sampled_from([kind for name, kind in products.KINDS if name == op])
    return kinds.flatmap(products.NODES[op]).map(lambda node: (node[0], [node[1]], node[2]))


NODES_ON_CODES = (
    code_ops.NODES
    | {"SteDepthwiseConv2D": depthwise.depthwise_nodes(depthwise.KINDS)}
    | {op: product_nodes(op) for op in products.NODES}
)


@pytest.mark.parametrize("op", NODES_ON_CODES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_an_op_on_codes_equals_the_reference(op, data):
    options, fed, constants = data.draw(NODES_ON_CODES[op])
    fed = [value[:1] for value in fed]  # boards do not resize
    model, expected = code_ops.model_of(op, options, fed, constants)
    interpreter = MicroInterpreter(model_content=model)
    for i, value in enumerate(fed):
        interpreter.set_input(value, i)
    interpreter.invoke()
    actual = interpreter.get_output(0)
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("op", ["SteConv2D", "SteFullyConnected", "SteMaxPool2D"])
@given(data=st.data(), odd=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_constants_at_odd_addresses(op, data, odd):
    options, value, constants = data.draw(nodes(op))
    model, expected = model_of(op, options, value, constants, odd)
    aligned, _ = model_of(op, options, value, constants)
    read = micro._read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(micro, "_read", lambda content: read(aligned))  # LiteRT refuses to read such a file
        interpreter = MicroInterpreter(model_content=model)
    np.testing.assert_array_equal(run(interpreter, value), expected)


def test_with_the_tiled_kernels(tmp_path):
    """The adapter without KERAS_STE_DIRECT_ONLY, in a process of its own: a process finds one library's entry point."""
    folder = native_build.build(tmp_path / "build", ["keras_ste_micro"], "KERAS_STE_MICRO_DIRECT_ONLY=OFF")
    shutil.copy(folder / "micro" / micro.LIBRARY, tmp_path)
    delegate = shutil.copy(library_path(), tmp_path)
    environment = os.environ | {"KERAS_STE_LIBRARY": str(delegate)}
    tests = ["equals_the_reference", "test_constants_at_odd_addresses", "test_a_converted_model"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", " or ".join(tests)]
    done = subprocess.run(command, env=environment, cwd=native_build.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{8 + len(NODES_ON_CODES)} passed" in done.stdout


@pytest.fixture(scope="module")
def converted():
    binary = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "use_bias": False}
    layers = [
        keras.Input((12, 10, 3), dtype="uint8"),
        QuantConv2D(33, 3, strides=2, padding="same", kernel_quantizer="ste_sign", use_bias=False),
        keras.layers.BatchNormalization(),
        QuantConv2D(100, 3, padding="same", **binary),
        keras.layers.MaxPooling2D(),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        QuantDense(31, **binary),
        keras.layers.BatchNormalization(),
        QuantDense(4, **binary),
    ]
    model = keras.Sequential(layers)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.beta.assign(rng.normal(size=layer.beta.shape))
            layer.moving_mean.assign(5 * rng.normal(size=layer.beta.shape))
    return keras_ste.convert(model, strict=True).model_content


def test_a_converted_model_computes_what_litert_computes(converted, tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (20, 12, 10, 3), np.uint8)
    litert = keras_ste.Interpreter(model_content=converted)
    litert.resize_tensor_input(litert.get_input_details()[0]["index"], images.shape)
    litert.allocate_tensors()
    litert.set_tensor(litert.get_input_details()[0]["index"], images)
    litert.invoke()
    expected = litert.get_tensor(litert.get_output_details()[0]["index"])
    path = tmp_path / "model.tflite"
    path.write_bytes(converted)
    interpreter = MicroInterpreter(path)
    other = MicroInterpreter(model_content=bytearray(converted))
    for image, row in zip(images, expected, strict=True):
        np.testing.assert_array_equal(run(interpreter, image[np.newaxis]), row[np.newaxis])
        np.testing.assert_array_equal(run(other, image[np.newaxis]), row[np.newaxis])
    interpreter.reset()
    np.testing.assert_array_equal(run(interpreter, images[:1]), expected[:1])


def test_details(converted):
    interpreter = MicroInterpreter(model_content=converted)
    detail = interpreter.get_input_details(0)
    assert (detail["shape"].tolist(), detail["dtype"]) == ([1, 12, 10, 3], np.uint8)
    expected = keras_ste.Interpreter(model_content=converted)
    assert detail["name"] == expected.get_input_details()[0]["name"]
    detail = interpreter.get_output_details(0)
    assert (detail["shape"].tolist(), detail["dtype"]) == ([1, 4], np.float32)
    assert detail["name"] == expected.get_output_details()[0]["name"]


BAD = list(bad_models.bad_nodes())


@pytest.mark.parametrize("node, message", [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_model_is_refused_with_the_reason_in_the_log(node, message, capfd):
    # The runtime for boards keeps no names of tensors.
    roles = "input|filter|multiplier|bias|thresholds|minimum|table|a|b|scale_b|vectors|indices|input 0|input 1|tail|residual"
    message = re.sub(rf"(\((?:{roles}|residual_scale)), '.*?'\)", r"\1)", message)
    message = re.sub(r"output 'y': expected (\w+).*", r"output: expected \1", message)
    with pytest.raises(RuntimeError) as refused:
        MicroInterpreter(model_content=node.model())
    assert str(refused.value).startswith(f"TFLite Micro cannot run the model: {message}")
    assert message in capfd.readouterr().err


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (2,), (1, 1, 2)])
def test_wrong_output_dimensions_are_refused(shape, capfd):
    model = single_op_model("SteQuantize", QUANTIZE, [Tensor("x", (1, 40))], Tensor("signs", shape, np.int32))
    message = f"SteQuantize: output: expected INT32 [1, 2], got INT32 {list(shape)}"
    with pytest.raises(RuntimeError, match=re.escape(message)):
        MicroInterpreter(model_content=model)
    assert message in capfd.readouterr().err


def test_an_error_does_not_outlive_its_model():
    with pytest.raises(RuntimeError, match="option 'bits' is 2"):
        MicroInterpreter(model_content=quantize_model(bits=2))
    unknown = single_op_model("SteBogus", QUANTIZE, [Tensor("x", (1, 40))], Tensor("signs", (1, 2), np.int32))
    with pytest.raises(RuntimeError, match="its log on stderr says what is missing"):
        MicroInterpreter(model_content=unknown)


def test_an_arena_that_is_too_small_is_an_error_and_never_a_crash(converted, capfd):
    size = micro.SMALLEST_ARENA
    refused = 0
    while True:
        try:
            interpreter = MicroInterpreter(model_content=converted, arena_size=size)
            break
        except RuntimeError as error:
            assert f"in an arena of {size} bytes" in str(error)
            assert capfd.readouterr().err  # TFLite Micro words it in several ways
            refused += 1
            size += 100
    assert refused > 20
    assert interpreter.arena_size == size
    zeros = np.zeros((1, 12, 10, 3), np.uint8)
    np.testing.assert_array_equal(run(interpreter, zeros), run(MicroInterpreter(model_content=converted), zeros))


def test_an_arena_grows_where_the_first_guess_is_too_small(converted, monkeypatch):
    monkeypatch.setattr(micro, "_first_guess", lambda file: micro.SMALLEST_ARENA)
    assert MicroInterpreter(model_content=converted).arena_size > micro.SMALLEST_ARENA


def test_arguments():
    model = quantize_model()
    with pytest.raises(ValueError, match="either model_path or model_content"):
        MicroInterpreter()
    with pytest.raises(ValueError, match="either model_path or model_content"):
        MicroInterpreter("model.tflite", model_content=model)
    with pytest.raises(FileNotFoundError, match=r"no model file 'missing\.tflite'"):
        MicroInterpreter("missing.tflite")
    with pytest.raises(TypeError, match="got list"):
        MicroInterpreter(model_content=[1, 2])
    with pytest.raises(ValueError, match="not a valid Flatbuffer"):
        MicroInterpreter(model_content=model[:-40])
    with pytest.raises(ValueError, match="at least 1024, got 1023"):
        MicroInterpreter(model_content=model, arena_size=1023)
    with pytest.raises(TypeError):
        MicroInterpreter(model_content=model, arena_size=1e6)


def test_inputs_and_indices():
    interpreter = MicroInterpreter(model_content=quantize_model())
    with pytest.raises(ValueError, match=r"input 0 \('x'\) takes float32 \[1, 40\], got float64 \[1, 40\]"):
        interpreter.set_input(np.zeros((1, 40)), 0)
    with pytest.raises(ValueError, match=r"input 0 \('x'\) takes float32 \[1, 40\], got float32 \[2, 40\]"):
        interpreter.set_input(np.zeros((2, 40), np.float32), 0)
    with pytest.raises(IndexError, match="there is no input 1: the model has 1, counted from 0"):
        interpreter.set_input(np.zeros((1, 40), np.float32), 1)
    with pytest.raises(IndexError, match="there is no input -1"):
        interpreter.get_input_details(-1)
    with pytest.raises(IndexError, match="there is no output 1"):
        interpreter.get_output(1)
    with pytest.raises(IndexError, match="there is no output 1"):
        interpreter.get_output_details(1)
    transposed = np.asfortranarray(np.random.default_rng(0).normal(size=(1, 40)).astype(np.float32))
    np.testing.assert_array_equal(run(interpreter, transposed), reference_ops.pack(transposed >= 0))


@pytest.fixture
def another_wheel(monkeypatch):
    """Makes the metadata of the installed wheel say something else."""
    micro._wheel.cache_clear()
    yield lambda version: monkeypatch.setattr(importlib.metadata, "version", version)
    micro._wheel.cache_clear()


def test_another_version_of_the_wheel_is_refused(another_wheel):
    another_wheel(lambda name: "0.dev20261023182759")
    with pytest.raises(ImportError, match=r'tflite-micro 0\.dev20261023182759 is installed, but .*keras_ste\[micro\]'):
        MicroInterpreter(model_content=quantize_model())


def test_a_missing_wheel_says_how_to_get_it(another_wheel):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    another_wheel(version)
    with pytest.raises(ImportError, match=r'pip install "keras_ste\[micro\]"'):
        MicroInterpreter(model_content=quantize_model())


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_STE_LIBRARY", shutil.copy(library_path(), tmp_path))
    micro._library.cache_clear()
    with pytest.raises(FileNotFoundError, match=rf"{re.escape(str(tmp_path))}.*{micro.LIBRARY}' is missing"):
        MicroInterpreter(model_content=quantize_model())


def test_the_extra_installs_the_version_that_the_library_knows():
    project = tomllib.loads((native_build.ROOT / "pyproject.toml").read_text())
    (requirement,) = project["project"]["optional-dependencies"]["micro"]
    assert requirement.startswith(f"tflite-micro=={micro.WHEEL_VERSION};")


def test_the_adapter_compiles_with_the_types_in_a_namespace(tmp_path):
    """As TFLite Micro has them since October 2026."""
    ops = native_build.ROOT / "tflite_ops"
    standin = shutil.copytree(ops / "micro" / "standin", tmp_path / "standin")
    folder = standin / "tensorflow" / "lite" / "micro"

    def rewrite(name, *replacements):
        text = (folder / name).read_text()
        for old, new in replacements:
            assert text.count(old) == 1
            text = text.replace(old, new)
        (folder / name).write_text(text)

    aliases = "using micro::TfLiteContext;\nusing micro::TFLMRegistration;\n"
    rewrite(
        "micro_common.h",
        ("enum TfLiteStatus {", "namespace tflite {\nnamespace micro {\nenum TfLiteStatus {"),
        ("#endif", f"}}\n{aliases}}}\n#endif"),
    )
    rewrite(
        "micro_context.h",
        ("namespace tflite {", "namespace tflite {\nnamespace micro {"),
        ("}  // namespace tflite", "}\n}"),
    )
    compiler = native_build.find_tool("g++", "apt-get install g++")
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-fsyntax-only"]
    native_build.run(compiler, *flags, "-I", ops, "-I", standin, ops / "micro" / "keras_ste_micro.cc")
