"""The C structs that the library declares for itself, against TFLite's own headers."""

import os
import pathlib
import re
import subprocess
import sys

import keras
import native_build
import numpy as np
import pytest

import keras_ste

ENVIRONMENT = "KERAS_STE_TFLITE_INCLUDE_DIR"
PACKAGE = "libtensorflow-lite-dev"
SOURCE = "http://deb.debian.org/debian unstable main"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
OPS = native_build.ROOT / "tflite_ops"
STRUCTS = OPS / "tflite" / "runtime_structs.inc"


def fetch_headers(folder):
    """Downloads Debian's package of the headers, leaving the machine's apt as it is; skips where that cannot be."""
    install = f"set {ENVIRONMENT} to a folder with TFLite's headers instead"
    apt_get, apt_config, dpkg_deb = (native_build.find_tool(t, install) for t in ("apt-get", "apt-config", "dpkg-deb"))

    def command(*parts):
        environment = os.environ | {"APT_CONFIG": str(folder / "apt.conf")}
        done = subprocess.run(parts, capture_output=True, text=True, cwd=folder, env=environment, timeout=300)
        if done.returncode != 0:
            reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
            pytest.skip(f"Debian's {PACKAGE}, with TFLite's headers, cannot be had ({reason}): {install}")

    # A root of apt's own; of the machine's settings only those of downloads: proxies, and what its mirrors need.
    for name in ("etc/apt", "var/lib/dpkg", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "var/lib/dpkg/status").touch()
    (folder / "etc/apt/sources.list").write_text(f"deb [signed-by={KEYRING}] {SOURCE}\n")
    downloads = native_build.run(apt_config, "dump", "Acquire")
    settings = [f'Dir "{folder}"', 'APT::Sandbox::User "root"', 'Acquire::Languages "none"']
    (folder / "apt.conf").write_text(downloads + "".join(f"{setting};\n" for setting in settings))
    command(apt_get, "update", "--error-on=any")
    command(apt_get, "download", PACKAGE)
    (package,) = folder.glob(f"{PACKAGE}_*.deb")
    command(dpkg_deb, "--extract", str(package), "headers")
    return folder / "headers" / "usr" / "include"


@pytest.fixture(scope="module")
def include_dir(tmp_path_factory):
    named = os.environ.get(ENVIRONMENT)
    folder = pathlib.Path(named) if named else fetch_headers(tmp_path_factory.mktemp("headers"))
    assert (folder / "tensorflow/lite/core/c/common.h").is_file(), f"no headers of TFLite in {folder}"
    return folder


def compile_only(compiler, include_dir, *arguments):
    """Returns the exit status and the messages of a compiler that sees TFLite's headers behind the library's own."""
    compiler = native_build.find_tool(compiler, "apt-get install g++")
    command = [compiler, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *arguments, "-I", OPS, "-isystem", include_dir]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    return done.returncode, done.stderr


def check_layout(include_dir, *arguments):
    source = OPS / "tests" / "runtime_abi_test.cc"
    return compile_only("g++", include_dir, "-std=c++17", "-D", "KERAS_STE_TFLITE_HEADERS", *arguments, source)


def test_layout(include_dir):
    assert check_layout(include_dir) == (0, "")


def mutants(text):
    """Yields what was changed, and the declarations with that change.

    A field misses or stands behind another, an enumerator has another value, a function other parameters.
    """
    for enumerator in re.finditer(r"kTfLite\w+ = (\d+)", text):
        yield enumerator[0], f"{text[: enumerator.start(1)]}9{text[enumerator.start(1) :]}"
    for struct in re.finditer(r"^typedef (?:struct|union) \w+ \{\n(.*?)^\}", text, re.DOTALL | re.MULTILINE):
        for field in re.finditer(r"^  (\w[^;]*);\n", struct[1], re.MULTILINE):
            start, end = (struct.start(1) + at for at in field.span())
            yield f"without {field[1]}", text[:start] + text[end:]
            yield f"more before {field[1]}", f"{text[:start]}  char more[64];\n{text[start:]}"
            if parameters := re.search(r"\)\(.*\);\n$", field[0], re.DOTALL):
                yield f"parameters of {field[1]}", text[: start + parameters.start()] + ")(void);\n" + text[end:]


def test_every_wrong_declaration_is_noticed(include_dir, tmp_path):
    changed = tmp_path / "tflite" / STRUCTS.name
    changed.parent.mkdir()
    unnoticed, count = [], 0
    for what, text in mutants(STRUCTS.read_text()):
        changed.write_text(text)
        status, _ = check_layout(include_dir, "-I", tmp_path)
        count += 1
        if status == 0:
            unnoticed.append(what)
    assert not unnoticed
    assert count > 140
    changed.write_text(STRUCTS.read_text())
    assert check_layout(include_dir, "-I", tmp_path) == (0, "")


def test_functions_of_the_c_app(include_dir, tmp_path):
    """Its declarations stand behind those of the headers, where one that differs is an error."""

    def check(source):
        include = ("-include", "tensorflow/lite/c/c_api_experimental.h", "-D", "KERAS_STE_TFLITE_HEADERS")
        return compile_only("gcc", include_dir, "-std=c11", *include, source)

    source = OPS / "tests" / "c_app.c"
    assert check(source) == (0, "")
    wrong = tmp_path / "c_app.c"
    wrong.write_text(source.read_text().replace("int32_t dim_index)", "int64_t dim_index)"))
    status, messages = check(wrong)
    assert status != 0
    assert "conflicting types" in messages


def small_model():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((9, 7, 3), dtype="uint8"),
            keras_ste.QuantConv2D(40, 3, kernel_quantizer="ste_sign", use_bias=False),
            keras.layers.BatchNormalization(),
            keras_ste.QuantConv2D(33, 3, padding="same", input_quantizer="ste_sign", kernel_quantizer="ste_sign"),
            keras.layers.Flatten(),
            keras_ste.QuantDense(10, input_quantizer="ste_sign", kernel_quantizer="ste_sign"),
        ]
    )


CHILD = """
import sys
import numpy as np
import keras_ste

model, fed, result = sys.argv[1:]
interpreter = keras_ste.Interpreter(model_path=model)
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.load(fed))
interpreter.invoke()
np.save(result, interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
with open("/proc/self/maps") as maps:
    print(*{line.split()[-1] for line in maps if "libkeras_ste" in line})
"""


def test_library_built_with_the_headers(include_dir, tmp_path):
    targets = ["keras_ste", "runtime_abi_test"]
    library = native_build.build(tmp_path / "build", targets, f"TFLITE_INCLUDE_DIR={include_dir}") / "libkeras_ste.so"
    rules = (tmp_path / "build" / "build.ninja").read_text()
    assert f"-isystem {include_dir}" in rules and "-DKERAS_STE_TFLITE_HEADERS" in rules

    model = small_model()
    image = np.random.default_rng(3).integers(0, 256, (1, 9, 7, 3), np.uint8)
    converted = keras_ste.convert(model, strict=True)
    converted.save(tmp_path / "model.tflite")
    np.save(tmp_path / "image.npy", image)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, tmp_path / "model.tflite", tmp_path / "image.npy", tmp_path / "result.npy"],
        capture_output=True, text=True, cwd=native_build.ROOT, env=os.environ | {"KERAS_STE_LIBRARY": str(library)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(library)]
    expected = model.predict(image, verbose=0)
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(np.load(tmp_path / "result.npy"), expected, rtol=0, atol=1e-4)
