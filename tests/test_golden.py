"""Files that each version wrote open and run in this one, bit for bit; what a released version wrote stays as it is."""

import make_golden
import numpy as np
import pytest
from single_op import Tensor, single_op_model

import keras_ste
from keras_ste.converter.graph import STE_OPS, read_model

FILES = sorted(make_golden.GOLDEN.glob("*/*.tflite"))
OPS = {
    "SteAdd", "SteAveragePool2D", "SteConcat", "SteConv2D", "SteDepthwiseConv2D", "SteDequantize", "SteFullyConnected",
    "SteMaxPool2D", "SteNearest", "StePad", "SteQuantize", "SteShuffle", "SteTransposeConv2D",
}  # fmt: skip
IN_VERSION_4 = {"SteGather"}
IN_VERSION_1 = {"SteConv2D", "SteFullyConnected", "SteMaxPool2D", "SteQuantize"}
# Which have tails in version 3, and filters without gaps in version 4.
PRODUCTS = {"SteConv2D", "SteDepthwiseConv2D", "SteFullyConnected", "SteTransposeConv2D"}


def arrays(path):
    """Inputs and outputs."""
    with np.load(path.with_suffix(".npz")) as file:
        return [
            [file[f"{side}_{i}"] for i in range(sum(key.startswith(side) for key in file))]
            for side in ("input", "output")
        ]


def same_bits(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_array_equal(found.view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
@pytest.mark.parametrize("threads", [1, 2])
def test_it_opens_and_computes_what_it_did(path, threads):
    inputs, outputs = arrays(path)
    interpreter = keras_ste.Interpreter(model_path=path, num_threads=threads)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    for detail, expected in zip(interpreter.get_output_details(), outputs, strict=True):
        same_bits(interpreter.get_tensor(detail["index"]), expected)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_tflite_micro_computes_it_too(path):
    pytest.importorskip("tflite_micro")
    inputs, outputs = arrays(path)
    interpreter = keras_ste.MicroInterpreter(model_path=path)
    for i, array in enumerate(inputs):
        interpreter.set_input(array, i)
    interpreter.invoke()
    for i, expected in enumerate(outputs):
        same_bits(interpreter.get_output(i), expected)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_inspect_reads_it(path):
    found = keras_ste.inspect(path)
    assert all(op.row.op.startswith("Ste") == bool(op.options) for op in found.ops) and found.ops


def test_every_op_and_version_is_there():
    found = {
        (op.custom_name, op.options["version"])
        for path in FILES
        for op in read_model(path.read_bytes()).graphs[0].ops
        if op.custom_name
    }
    products = {(op, version) for op in PRODUCTS for version in (3, 4)}
    assert found >= {(op, 2) for op in OPS} | {(op, 1) for op in IN_VERSION_1} | products | {(op, 4) for op in IN_VERSION_4}
    assert set(STE_OPS) <= OPS | IN_VERSION_4


@pytest.mark.parametrize("folder", sorted(make_golden.GOLDEN.iterdir()), ids=lambda folder: folder.name)
def test_what_is_sealed_is_as_it_was(folder):
    seal = folder / make_golden.SEAL
    # Only the version that is being made has a folder without a seal.
    assert seal.exists() or folder.name == keras_ste.__version__
    assert not seal.exists() or seal.read_text() == make_golden.sums(folder)
    assert {path.stem for path in folder.glob("*.tflite")} == {path.stem for path in folder.glob("*.npz")}


def test_a_file_is_written_once_and_nothing_in_a_sealed_folder(tmp_path):
    def case(channels):
        options = {"version": 1, "bits": 1, "encoding": "bipolar", "channels": channels}
        inputs = [np.ones((1, channels), np.float32)]
        tensors = [Tensor("x", (1, channels))], Tensor("y", (1, 1), np.int32)
        return [("quantize_v1", single_op_model("SteQuantize", options, *tensors), inputs)]

    folder = tmp_path / "1.0.0"
    assert make_golden.write(folder, case(3)) == ["quantize_v1"]
    first = make_golden.sums(folder)
    assert make_golden.write(folder, case(4)) == [] and make_golden.sums(folder) == first
    assert make_golden.write(folder, case(4), replace=True) == ["quantize_v1"] and make_golden.sums(folder) != first
    make_golden.seal(folder)
    sealed = make_golden.sums(folder)
    for write in (lambda: make_golden.write(folder, case(5), replace=True), lambda: make_golden.seal(folder)):
        with pytest.raises(ValueError, match="released|sealed"):
            write()
    assert make_golden.sums(folder) == sealed == (folder / make_golden.SEAL).read_text()
