"""The command keras-ste: what it writes, and its exit codes."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_ste
from keras_ste.cli import commands
from keras_ste.converter.graph import read_model
from keras_ste.converter.writer import write_model
from keras_ste.inspection import stands_for

SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model that packs, one that does not, the first one's file, and data."""
    folder = tmp_path_factory.mktemp("models")
    layers = [keras.Input((40,), name="x"), keras_ste.QuantDense(32, name="dense", **SIGNS)]
    model = keras.Sequential([*layers, keras_ste.QuantDense(3, name="classes", **SIGNS)], name="net")
    model.save(folder / "packs.keras")
    loose = keras.Sequential([*layers, keras_ste.QuantDense(3, name="loose", input_quantizer="ste_sign")], name="loose")
    loose.save(folder / "loose.keras")
    keras_ste.convert(model).save(folder / "packs.tflite")
    x = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    np.savez(folder / "x.npz", x=x)
    np.savez(folder / "y.npz", y=x)
    np.savez(folder / "narrow.npz", x=x[:, :7])
    (folder / "labels.txt").write_text("a\nb\nc\n")
    (folder / "cut.tflite").write_bytes((folder / "packs.tflite").read_bytes()[:500])
    (folder / "text.keras").write_text("not a model")
    return folder


@pytest.fixture
def cli(folder, tmp_path, monkeypatch, capsys):
    """Runs the command in this process, in an empty folder, and returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        paths = {path.name for path in folder.iterdir()}
        monkeypatch.setattr(sys, "argv", ["keras-ste", *(str(folder / a) if a in paths else a for a in arguments)])
        code = commands.run()
        return code, *capsys.readouterr()

    return call


def written():
    return sorted(path.name for path in pathlib.Path().iterdir())


def test_convert_writes_file_and_report(cli, folder):
    code, out, _ = cli(
        "convert", "packs.keras", "-o", "out.tflite", "--strict", "--verify", "x.npz", "--verify-layers",
        "--labels", "labels.txt", "--report", "r.html",
    )  # fmt: skip
    assert code == 0 and written() == ["out.tflite", "r.html"]
    assert "verified on 5 samples" in out and "dense, input codes: all 200 equal" in out
    found = keras_ste.inspect("out.tflite")
    assert found.labels == {"labels.txt": ["a", "b", "c"]}
    assert pathlib.Path("r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert cli("convert", "packs.keras", "-o", "quiet.tflite", "--quiet")[:2] == (0, "")
    code, out, _ = cli("convert", "packs.keras", "-o", "timed.tflite", "--time")
    assert code == 0 and "measured µs" in out and "unknown" not in out


def test_int8_io_makes_inputs_and_outputs_int8(cli):
    code, _, _ = cli(
        "convert", "packs.keras", "-o", "out.tflite", "--int8-io", "--representative", "x.npz", "--verify", "x.npz",
        "--tolerance", "1",
    )  # fmt: skip
    assert code == 0
    signature = keras_ste.inspect("out.tflite").signatures["serving_default"]
    assert [tensor.type for side in signature.values() for tensor in side.values()] == ["int8", "int8"]
    # What its integers stand for is said, where it is inspected and where floats are given to it.
    detail = keras_ste.Interpreter(model_path="out.tflite").get_input_details()[0]["quantization"]
    (x,) = signature["inputs"].values()
    assert (np.float32(x.scale), x.zero_point) == detail
    worth = stands_for(x.scale, x.zero_point)
    assert f"inputs: x int8[-1, 40] ({worth})" in cli("inspect", "out.tflite")[1]
    code, _, err = cli("run", "out.tflite", "--inputs", "x.npz", "-o", "y.npz")
    assert code == 2 and worth in err and written() == ["out.tflite"]


def test_a_saved_model_converts(cli, folder):
    keras_ste.export_saved_model(keras.saving.load_model(folder / "packs.keras"), "saved")
    assert cli("convert", "saved", "-o", "out.tflite", "--strict", "--labels", "labels.txt", "--quiet")[:2] == (0, "")
    assert [row.op for row in keras_ste.inspect("out.tflite").rows].count("SteFullyConnected") == 2


def test_a_check_that_fails_is_exit_code_1_and_writes_nothing(cli, monkeypatch):
    code, _, err = cli("convert", "loose.keras", "-o", "out.tflite", "--strict", "--report", "r.html")
    assert code == 1 and "strict=True, but these quantized layers cannot be packed" in err and "loose" in err
    # A tolerance that nothing meets.
    code, _, err = cli("convert", "loose.keras", "-o", "out.tflite", "--verify", "x.npz", "--tolerance", "-1")
    assert code == 1 and "differs from the Keras model by more than -1" in err
    assert written() == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["convert", "none.keras", "-o", "out.tflite"], "does not exist"),
        (["convert", "text.keras", "-o", "out.tflite"], "text.keras is not a whole .keras file"),
        (["convert", "packs.keras"], "Missing option '-o'"),
        (["convert", "packs.keras", "-o", "none/out.tflite"], "the folder 'none' does not exist"),
        (["convert", "packs.keras", "-o", "out.tflite", "--verify-layers"], "--verify-layers needs --verify"),
        (["convert", "packs.keras", "-o", "out.tflite", "--verify", "none.npz"], "none.npz is no readable .npz"),
        (["convert", "packs.keras", "-o", "out.tflite", "--verify", "labels.txt"], "is no readable .npz"),
        (["convert", "packs.keras", "-o", "out.tflite", "--verify", "narrow.npz"], "the input 'x' takes"),
        (["inspect", "none.tflite"], "there is no model file"),
        (["inspect", "cut.tflite"], "not a whole .tflite file"),
        (["benchmark", "cut.tflite"], "not a whole .tflite file"),
        (["benchmark", "packs.tflite", "--peer", "cut.tflite", "--rounds", "1"], "not a whole .tflite file"),
        (["run", "cut.tflite", "--inputs", "x.npz", "-o", "y.npz"], "not a whole .tflite file"),
        (["run", "packs.tflite", "--inputs", "y.npz", "-o", "out.npz"], "has y; the model's inputs are x"),
        (["run", "packs.tflite", "--inputs", "narrow.npz", "-o", "out.npz"], "'x' takes [-1, 40]"),
        (["run", "packs.tflite", "--inputs", "x.npz", "-o", "out.npz", "--threads", "0"], "--threads"),
        (["frobnicate"], "No such command"),
    ],
)
def test_wrong_usage_and_broken_files_are_exit_code_2_and_write_nothing(cli, arguments, message):
    code, _, err = cli(*arguments)
    assert code == 2 and message in err and "Traceback" not in err
    assert written() == []


def test_inspect_prints_a_table_or_json(cli):
    code, out, _ = cli("inspect", "packs.tflite", "--check")
    assert code == 0 and "SteFullyConnected" in out and "net/dense" in out and "channels 40" in out
    code, out, _ = cli("inspect", "packs.tflite", "--json")
    assert code == 0 and [op["row"]["op"] for op in json.loads(out)["ops"]].count("SteFullyConnected") == 2


def test_check_fails_where_weights_take_more_than_their_bits(cli, folder):
    layer = keras_ste.QuantDense(32, kernel_quantizer=keras_ste.quantizers.UniformQuantizer(bits=4))
    graph = read_model(keras_ste.convert(keras.Sequential([keras.Input((40,)), layer])).model_content)
    graph.metadata["keras_ste"] = graph.metadata["keras_ste"].replace(b'"signed4"', b'"signed2"')
    (folder / "wide.tflite").write_bytes(write_model(graph))
    code, _, err = cli("inspect", "wide.tflite", "--check")
    assert code == 1 and "its quantizer has 2 bits, but its values have codes of 4" in err
    assert cli("inspect", "wide.tflite")[0] == 0


def test_run_writes_what_the_interpreter_computes(cli, folder):
    code, out, _ = cli("run", "packs.tflite", "--inputs", "x.npz", "-o", "y_out.npz", "--threads", "2")
    assert code == 0 and "classes: float32 [5, 3]" in out
    x = np.load(folder / "x.npz")["x"]
    model = keras.saving.load_model(folder / "packs.keras")
    np.testing.assert_array_equal(np.load("y_out.npz")["classes"], model(x, training=False))


def test_benchmark_times_the_ops_and_a_peer(cli):
    code, out, _ = cli("benchmark", "packs.tflite", "--rounds", "1", "--peer", "packs.tflite", "--report", "r.json")
    assert code == 0 and "XNNPACK int8" in out and "peer: " in out
    assert all(row["measured_us"] > 0 for row in json.loads(pathlib.Path("r.json").read_text())["rows"])
    code, out, _ = cli("benchmark", "packs.tflite", "--rounds", "1", "--json")
    assert code == 0 and json.loads(out)["peer_us"] is None


def test_the_command_as_a_program(folder, tmp_path):
    command = [sys.executable, "-m", "keras_ste.cli"]
    done = subprocess.run([*command, "inspect", folder / "cut.tflite"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "keras-ste: these bytes are not a whole .tflite file" in done.stderr
    # Without click or rich, a line says what to install.
    hide = "import sys; sys.modules['click'] = None; from keras_ste.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "keras-ste needs the package click: pip install click" in done.stderr
