"""Broken models, data and files: a clear error from API and command line, and nothing is written."""

import functools
import os

import bad_models
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_ste
from keras_ste.cli import commands
from keras_ste.quantizers import Pact, SteSign

SIGN, LEARNED = SteSign(name="sign"), Pact(bits=2, name="pact")


class Holder:
    def quantize(self, x):
        return x + self.quantizer(x)

    quantizer = SIGN


def by_default(x, quantizer=SIGN):
    return quantizer(x)


def nested(x):
    return 2 * by_default(x)


LAMBDAS = {
    "the quantizer itself": lambda: SIGN,
    "a global": lambda: lambda x: SIGN(x),
    "a closure": lambda quantizer=SIGN: lambda x: quantizer(x) + 1,
    "a default": lambda: by_default,
    "in a function it calls": lambda: nested,
    "partial": lambda: functools.partial(lambda x, q: q(x), q=SIGN),
    "a method": lambda: Holder().quantize,
    "in a list": lambda quantizers=(SIGN,): lambda x: quantizers[0](x),
}


def with_lambda(function):
    layers = [
        keras.Input((40,)),
        keras.layers.Lambda(function, output_shape=(40,), name="hidden"),
        keras_ste.QuantDense(3),
    ]
    return keras.Sequential(layers, name="net")


@pytest.mark.parametrize("make", LAMBDAS.values(), ids=LAMBDAS)
def test_a_lambda_around_a_quantizer_is_refused(make):
    with pytest.raises(ValueError, match=r"Lambda layer 'hidden' calls the quantizer sign.*QuantActivation\('sign'\)"):
        keras_ste.convert(with_lambda(make()))


def test_other_lambdas_convert():
    def shift(x):
        return np.float32(2) * x + by

    by = 1.5
    content = keras_ste.convert(with_lambda(shift)).model_content
    assert keras_ste.inspect(content).ops


@pytest.fixture(scope="module")
def content():
    layers = [keras.Input((40,)), keras_ste.QuantDense(33, input_quantizer=LEARNED, kernel_quantizer="ste_sign")]
    return keras_ste.convert(keras.Sequential(layers)).model_content


@given(data=st.data())
@settings(max_examples=60)
def test_a_file_cut_anywhere_is_refused(content, data):
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(ValueError):
        keras_ste.inspect(cut)
    with pytest.raises((ValueError, RuntimeError)):
        keras_ste.Interpreter(model_content=cut).allocate_tensors()


@given(data=st.data())
@settings(max_examples=100)
def test_a_file_with_a_changed_byte_is_refused_or_read(content, data):
    changed = bytearray(content)
    changed[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        keras_ste.inspect(bytes(changed))
    except ValueError as refused:
        assert str(refused)


@pytest.mark.parametrize("good", bad_models.GOOD, ids=lambda good: good.__name__)
def test_an_unknown_version_is_named_by_all_readers(good):
    node = good()
    node.options["version"] = 99
    content = node.model()
    with pytest.raises(ValueError, match=f"{node.op} has the version 99; this keras_ste knows versions up to"):
        keras_ste.inspect(content)
    with pytest.raises(RuntimeError, match=f"{node.op}: option 'version' is 99, expected"):
        keras_ste.Interpreter(model_content=content).allocate_tensors()


def test_a_write_that_fails_leaves_the_old_file(content, tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")

    def fail(*arguments):
        raise OSError("the disk is full")

    converted = keras_ste.ConvertedModel(content, None)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="the disk is full"):
        converted.save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["model.tflite"] and path.read_bytes() == b"old"
    monkeypatch.undo()
    converted.save(path)
    assert path.read_bytes() == content and len(list(tmp_path.iterdir())) == 1


@keras.saving.register_keras_serializable("test_broken_input")
def hidden(x):
    return SIGN(x)


@keras.saving.register_keras_serializable("test_broken_input")
class Unbuilt(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras_ste.QuantDense(3)

    def call(self, x):
        return self.dense(x)


def test_broken_models_on_the_command_line_write_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with_lambda(hidden).save("hidden.keras")
    with_lambda(keras.ops.tanh).save("good.keras")
    Unbuilt().save("unbuilt.keras")
    whole = (tmp_path / "good.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(whole[: len(whole) // 2])
    np.savez("x.npz", x=np.full((2, 40), "text"))
    before = sorted(os.listdir())
    for arguments, message in (
        (["hidden.keras", "-o", "out.tflite"], "calls the quantizer sign"),
        (["unbuilt.keras", "-o", "out.tflite"], "has no weights yet"),
        (["cut.keras", "-o", "out.tflite"], "cut.keras is not a whole .keras file"),
        (["good.keras", "-o", "out.tflite", "--report", "none/r.html"], "the folder 'none' does not exist"),
        (["good.keras", "-o", "out.tflite", "--verify", "x.npz"], "takes arrays of numbers"),
    ):
        monkeypatch.setattr("sys.argv", ["keras-ste", "convert", *arguments])
        assert commands.run() == 2
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error
        assert sorted(os.listdir()) == before
