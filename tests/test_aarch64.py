"""The ops on 64-bit ARM, in emulation: an app in C runs a whole model, and random nodes go through every op.

The app is the same on this machine's own processor, where it shows that registered ops need no delegate.
"""

import dataclasses
import functools
import itertools
import os
import re
import subprocess
import sys
import zipfile

import keras
import native_build
import numpy as np
import pytest

import keras_ste

EMULATOR = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")
# Processors, and the kernels that each can run, slowest first.
PROCESSORS = {
    "cortex-a53": ["portable", "neon"],
    "neoverse-n1": ["portable", "neon", "dotprod"],
    "max": ["portable", "neon", "dotprod", "i8mm"],
}
NODES = 3000
TOOLCHAIN = native_build.ROOT / "tflite_ops" / "cmake" / "aarch64-linux-gnu.cmake"
# Wheels that carry TFLite's C library.
WHEEL = "pymicro-wakeword==2.5.0"
WHEEL_HASHES = {
    "aarch64": "6c75b77c936efd19b8c35a094cb7e3fdbd4ebcd0f63635a0851ce591990829f2",
    "x86_64": "3869f536402b1254e3be3549d3a462ecd6ed21ce2c3e77ec8eb501c3c700417c",
}
IMAGES = 50


@dataclasses.dataclass
class Machine:
    """Where a test runs its programs, and the folder they were built in."""

    processor: str
    emulator: tuple
    folder: object

    def on(self, processor):
        """The same programs on another emulated processor."""
        return dataclasses.replace(self, emulator=(*EMULATOR, "-cpu", processor))

    def run(self, program, *arguments, **environment):
        command = [*self.emulator, self.folder / "tests" / program, *arguments]
        return subprocess.run(
            [str(c) for c in command], capture_output=True, text=True, timeout=600, env=os.environ | environment
        )


def fetch_c_library(folder, processor):
    """Downloads the wheel for a processor and returns the path of the C library in it; skips where that cannot be."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_HASHES[processor]}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary", ":all:"]
    command += ["--platform", f"manylinux_2_35_{processor}", "--require-hashes", "-r", requirements, "-d", folder]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert "DO NOT MATCH THE HASHES" not in done.stderr, done.stderr
    if done.returncode != 0:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        pytest.skip(f"{WHEEL} for {processor}, which carries TFLite's C library, cannot be downloaded: {reason}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.extract("pymicro_wakeword/lib/libtensorflowlite_c.so", folder)


@pytest.fixture(scope="module")
def aarch64(tmp_path_factory):
    native_build.find_tool("aarch64-linux-gnu-g++", "apt-get install g++-aarch64-linux-gnu")
    native_build.find_tool("qemu-aarch64", "apt-get install qemu-user")
    folder = tmp_path_factory.mktemp("aarch64")
    toolchain = f"CMAKE_TOOLCHAIN_FILE={TOOLCHAIN}"
    targets = ["keras_ste", "kernel_test", "loops", "op_fuzz"]
    return Machine("aarch64", EMULATOR, native_build.build(folder, targets, toolchain))


@pytest.fixture(scope="module")
def aarch64_app(aarch64, tmp_path_factory):
    library = fetch_c_library(tmp_path_factory.mktemp("aarch64_wheel"), "aarch64")
    native_build.build(aarch64.folder.parent, ["c_app"], f"TFLITE_C_LIBRARY={library}")
    return aarch64


@pytest.fixture(scope="module")
def own_app(tmp_path_factory):
    if (processor := os.uname().machine) not in WHEEL_HASHES:
        pytest.skip(f"no wheel of {WHEEL} for {processor}")
    library = fetch_c_library(tmp_path_factory.mktemp("own_wheel"), processor)
    folder = native_build.build(tmp_path_factory.mktemp("own"), ["c_app"], f"TFLITE_C_LIBRARY={library}")
    return Machine(processor, (), folder)


@pytest.fixture(scope="module", params=["aarch64_app", "own_app"])
def machine(request):
    return request.getfixturevalue(request.param)


@dataclasses.dataclass
class Trained:
    """The example's binary network with random weights; random images, and what Keras computes of them."""

    content: bytes
    images: np.ndarray
    logits: np.ndarray


@pytest.fixture(scope="module")
def trained():
    sys.path.insert(0, str(native_build.ROOT / "examples"))
    import fashion_mnist as example

    keras.utils.set_random_seed(7)
    rng = np.random.default_rng(7)
    model = example.binary_model()
    images = rng.integers(0, 256, (IMAGES, 28, 28, 1), np.uint8)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            gamma = rng.normal(size=shape)
            if layer.name != "logits":
                gamma[rng.random(shape) < 0.1] = 0
            assert np.any(gamma < 0)
            layer.gamma.assign(gamma)
            layer.beta.assign(rng.normal(size=shape))
        elif layer.weights:
            layer.kernel.assign(rng.normal(size=layer.kernel.shape))
    for _ in range(30):  # statistics of the layers' real outputs, so that no bit is the same for all images
        model(images, training=True)
    logits = model.predict(images, batch_size=IMAGES, verbose=0)
    return Trained(keras_ste.convert(model, strict=True).model_content, images, logits)


@pytest.fixture
def run_app_on(trained, tmp_path):
    """Runs the app on a machine, for the images or for other bytes."""
    counter = itertools.count()

    def run(machine, content, *arguments, data=None, **environment):
        model, fed, output = (tmp_path / f"{next(counter)}" for _ in range(3))
        model.write_bytes(content)
        fed.write_bytes(trained.images.tobytes() if data is None else data)
        done = machine.run("c_app", model, fed, output, *arguments, **environment)
        return done, output.read_bytes() if output.exists() else b""

    return run


@pytest.fixture
def run_app(run_app_on, machine):
    """Runs the app on each machine."""
    return functools.partial(run_app_on, machine)


def run_interpreter(trained):
    interpreter = keras_ste.Interpreter(model_content=trained.content)
    detail = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(detail["index"], trained.images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], trained.images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 10])
def test_model_in_c_app(run_app, trained, threads, batch):
    done, output = run_app(trained.content, threads, batch)
    assert done.returncode == 0, done.stderr
    logits = np.frombuffer(output, np.float32).reshape(IMAGES, -1)
    np.testing.assert_array_equal(logits, run_interpreter(trained))
    np.testing.assert_allclose(logits, trained.logits, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(logits.argmax(1), trained.logits.argmax(1))
    assert len(set(logits.argmax(1))) > 3


def test_forced_kernels_in_c_app(run_app, trained):
    done, output = run_app(trained.content, KERAS_STE_ISA="portable")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "kernels: portable\n"
    np.testing.assert_array_equal(np.frombuffer(output, np.float32).reshape(IMAGES, -1), run_interpreter(trained))


@pytest.mark.parametrize(
    ("processor", "forced"), [(p, name) for p, kernels in PROCESSORS.items() for name in ["", *kernels]]
)
def test_kernels_of_each_processor(run_app_on, trained, aarch64_app, processor, forced):
    """The best ones that it has, or those asked for; all compute what this machine does."""
    done, output = run_app_on(aarch64_app.on(processor), trained.content, KERAS_STE_ISA=forced)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"kernels: {forced or PROCESSORS[processor][-1]}\n"
    np.testing.assert_array_equal(np.frombuffer(output, np.float32).reshape(IMAGES, -1), run_interpreter(trained))


def test_kernels_that_a_processor_has_not(run_app_on, trained, aarch64_app):
    done, output = run_app_on(aarch64_app.on("cortex-a53"), trained.content, KERAS_STE_ISA="dotprod")
    assert (done.returncode, output) == (1, b"")
    assert "KERAS_STE_ISA='dotprod' is not one of this machine's: portable neon\n" in done.stderr


def spoil(content, old, new):
    assert len(old) == len(new) and old in content
    return content.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"stride_h\0", b"stride_x\0", "SteConv2D: "),
        (b"units\0", b"unitz\0", "SteFullyConnected: "),
        (b"same\0", b"sane\0", "SteConv2D: "),
        (b"SteFullyConnected\0", b"SteFullyConnectex\0", "SteFullyConnectex"),
    ],
)
def test_spoiled_options_in_c_app(run_app, trained, old, new, message):
    done, output = run_app(spoil(trained.content, old, new))
    assert (done.returncode, output) == (1, b"")
    assert message in done.stderr
    assert "c_app: " in done.stderr


def test_half_a_file_in_c_app(run_app, trained):
    done, output = run_app(trained.content[: len(trained.content) // 2])
    assert (done.returncode, output) == (1, b"")
    assert "c_app: not a model" in done.stderr


def test_wrong_input_size_in_c_app(run_app, trained):
    done, output = run_app(trained.content, data=trained.images.tobytes()[:-1])
    assert (done.returncode, output) == (1, b"")
    assert "c_app: the input is not a whole number of batches" in done.stderr


def test_unknown_kernels_in_c_app(run_app, trained):
    done, output = run_app(trained.content, KERAS_STE_ISA="mmx")
    assert (done.returncode, output) == (1, b"")
    assert "KERAS_STE_ISA='mmx' is not one of this machine's: portable" in done.stderr


def test_library_needs_only_libc(aarch64):
    readelf = native_build.find_tool("aarch64-linux-gnu-readelf", "apt-get install binutils-aarch64-linux-gnu")
    header = native_build.run(readelf, "--file-header", aarch64.folder / "libkeras_ste.so")
    dynamic = native_build.run(readelf, "--dynamic", "--wide", aarch64.folder / "libkeras_ste.so")
    assert "AArch64" in header
    needed = {line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "(NEEDED)" in line}
    assert needed <= {"libc.so.6", "libm.so.6", "ld-linux-aarch64.so.1"}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_random_nodes(aarch64, plain, processor):
    """All kernels agree on each node, and the processor with this machine on all of them."""
    done = aarch64.on(processor).run("op_fuzz", 1, NODES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SteConv2D: " in done.stdout
    assert done.stdout == native_build.run(plain / "tests" / "op_fuzz", 1, NODES)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_kernels_alone(aarch64, processor):
    done = aarch64.on(processor).run("kernel_test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [f"{name}: 300 cases" for name in PROCESSORS[processor]]


@pytest.mark.parametrize("kernels", ["neon", "dotprod"])
def test_int8_loops(aarch64, kernels):
    """What benchmarks/aarch64.py measures against; the program compares the sums."""
    done = aarch64.on("max").run("loops", kernels, "int8", 2304, 1)
    assert done.returncode == 0, done.stdout + done.stderr


# The dot product, and the atomic instructions that processors have since the same time; what i8mm adds.
NEWER = re.compile(r"\t([us]dot|ld(add|clr|eor|set|[us]max|[us]min)[abhl]*|casp?[abhl]*|swp[abhl]*)\s")
I8MM = re.compile(r"\t(us|su)dot\s|\t(us|[us])mmla\s")


def test_newer_instructions_stay_in_their_files(aarch64):
    """No common file has them, and no file with them defines a function that the linker may take for another file's."""
    objdump = native_build.find_tool("aarch64-linux-gnu-objdump", "apt-get install binutils-aarch64-linux-gnu")
    readelf = native_build.find_tool("aarch64-linux-gnu-readelf", "apt-get install binutils-aarch64-linux-gnu")
    objects = sorted((aarch64.folder / "CMakeFiles" / "keras_ste_static.dir").rglob("*.o"))
    kernels = [o for o in objects if re.search("neon|dotprod|i8mm", o.name)]
    assert len(objects) > 20 and len(kernels) == 11
    for path in objects:
        instructions = native_build.run(objdump, "-d", "--no-show-raw-insn", path)
        assert ("i8mm" in path.name) == (I8MM.search(instructions) is not None), path
        if "i8mm" not in path.name:
            assert ("dotprod" in path.name) == (NEWER.search(instructions) is not None), path
    for path in kernels:
        symbols = native_build.run(readelf, "--symbols", "--wide", path).splitlines()
        defined = [s.split()[-1] for s in symbols if re.search(r"\b(GLOBAL|WEAK)\b", s) and "UND" not in s]
        assert defined and all(symbol.startswith("_ZN9keras_ste3arm") for symbol in defined), defined
