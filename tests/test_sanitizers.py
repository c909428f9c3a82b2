"""The native code with the sanitizers on, on machines without wide instructions, and with threads watched."""

import os
import pathlib
import re
import subprocess
import sys

import bad_models
import native_build
import numpy as np
import pytest
import reference_ops
from single_op import Tensor

HERE = pathlib.Path(__file__).parent
NODES = 40000


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """The folder of native tests and of the library, built with the address and undefined-behaviour sanitizers."""
    folder = tmp_path_factory.mktemp("sanitized")
    return native_build.build(folder, ["kernel_test", "op_fuzz", "keras_ste"], "KERAS_STE_SANITIZE=ON")


def check_fuzz(*command):
    """Runs op_fuzz. It fails unless each op refused, took and ran some nodes; a report ends it with another code."""
    lines = native_build.run(*command).splitlines()
    assert {line.split(":")[0] for line in lines} == set(reference_ops.OPS)
    counts = [int(number) for line in lines for number in re.findall(r"(\d+) (?:refused|accepted)", line)]
    assert sum(counts) == int(command[-1])


@pytest.mark.parametrize("seed", [1, 2])
def test_random_nodes(sanitized, seed):
    check_fuzz(sanitized / "tests" / "op_fuzz", seed, NODES)


@pytest.mark.parametrize("build", ["sanitized", "plain"])
def test_kernels_alone(request, build):
    """Each kernel against plain loops. Without the sanitizers, memory ends where a kernel's inputs end."""
    lines = native_build.run(request.getfixturevalue(build) / "tests" / "kernel_test").splitlines()
    assert lines[0] == "portable: 300 cases" and all(line.endswith(": 300 cases") for line in lines)


def test_the_sanitizers_are_on(sanitized):
    """Or the tests above and below would say nothing."""
    for name in ("libkeras_ste.so", "tests/op_fuzz"):
        content = (sanitized / name).read_bytes()
        assert b"__asan_report_store4" in content and b"__ubsan_handle_add_overflow" in content, name


def good_node(good):
    """The good node with all its images fed, so that one image more can be."""
    node = good()
    second = 1 if node.op in ("SteAdd", "SteConcat") else 6 if "tail" in node.options else 0
    node.inputs[second] = Tensor(node.inputs[second].name, node.inputs[second].shape, node.inputs[second].dtype)
    return node


def write_models(folder):
    """Bad models, good ones with constants at every address modulo 4, and good ones with some options' bits flipped."""
    count = 0

    def write(content):
        nonlocal count
        (folder / f"{count:04}.tflite").write_bytes(content)
        count += 1

    bad = [node for _, node, _ in bad_models.bad_nodes()]
    for node in bad:
        write(node.model())
    for good in bad_models.GOOD:
        for misalign in range(4):
            write(good_node(good).model(misalign=misalign))
            node = good()
            node.inputs[0] = Tensor.constant("x", np.zeros(node.inputs[0].shape, node.inputs[0].dtype))
            write(node.model(misalign=misalign))
        for seed in range(60):
            node = good_node(good)
            rng = np.random.default_rng(seed)
            spoiled = bytearray(node.option_bytes())
            for at in rng.integers(0, len(spoiled), rng.integers(1, 3)):
                spoiled[at] ^= 1 << rng.integers(0, 8)
            node.options = bytes(spoiled)
            write(node.model())
    return len(bad), 8 * len(bad_models.GOOD), count


def test_whole_models(sanitized, tmp_path):
    """The adapter too: the library is loaded into LiteRT with the sanitizer's own allocator."""
    bad, good, count = write_models(tmp_path)
    libraries = ["libasan.so", "libstdc++.so.6"]
    preload = [native_build.run("c++", f"-print-file-name={name}").strip() for name in libraries]
    done = subprocess.run(
        [sys.executable, HERE / "run_models.py", sanitized / "libkeras_ste.so", tmp_path],
        env=os.environ
        | {"LD_PRELOAD": " ".join(preload), "ASAN_OPTIONS": "detect_leaks=0"},  # Python leaves some
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr[-5000:]
    ran, refused = (int(number) for number in re.findall(r"\d+", done.stdout))
    assert ran + refused == count and ran >= good and refused >= bad


def test_machine_without_wide_instructions(plain):
    """What is built on any x86-64 machine runs on any other: here on one from 2008, with portable kernels only."""
    if os.uname().machine != "x86_64":
        pytest.skip("this machine is no x86-64")
    qemu = native_build.find_tool("qemu-x86_64", "apt-get install qemu-user")
    check_fuzz(qemu, "-cpu", "Nehalem", plain / "tests" / "op_fuzz", 3, NODES // 8)


# A vector instruction of AVX or later begins with v, and so does none of the older ones.
WIDE = re.compile(r"^\s+[0-9a-f]+:\t(v[a-z0-9]+|k(mov|or|and)[a-z0-9]*)\b", re.MULTILINE)


def test_wide_instructions_stay_in_their_files(plain):
    """No common file has them, and no file with them defines a function that the linker may take for another file's."""
    if os.uname().machine != "x86_64":
        pytest.skip("this machine is no x86-64")
    objects = sorted((plain / "CMakeFiles" / "keras_ste_static.dir").rglob("*.o"))
    wide = [o for o in objects if "avx" in o.name]
    assert len(objects) > 20 and len(wide) == 20
    for path in objects:
        code = native_build.run("objdump", "-d", "--no-show-raw-insn", path)
        assert (WIDE.search(code) is not None) == (path in wide), path
        for instruction, name in ("vpopcntd", "vpopcntdq"), ("vpdpbusd", "vnni"), ("%zmm", "avx512"):
            assert (instruction in code) == (name in path.name), (path, instruction)
    for path in wide:
        symbols = native_build.run("nm", "--defined-only", "--extern-only", "--demangle", path).splitlines()
        assert symbols and all(re.search(" [TDR] keras_ste::x86::", symbol) for symbol in symbols), symbols


def test_threads_are_watched(tmp_path):
    """Under the thread sanitizer, which needs an address space laid out as it knows it."""
    test = native_build.build(tmp_path, ["thread_test"], "KERAS_STE_SANITIZE_THREADS=ON") / "tests" / "thread_test"
    done = subprocess.run([test], capture_output=True, text=True)
    if "unexpected memory mapping" in done.stderr:
        setarch = native_build.find_tool("setarch", "apt-get install util-linux")
        done = subprocess.run([setarch, "--addr-no-randomize", test], capture_output=True, text=True)
    if "unexpected memory mapping" in done.stderr or "personality" in done.stderr:
        pytest.skip(f"the thread sanitizer does not run in this kernel or container: {done.stderr.strip()}")
    assert done.returncode == 0 and done.stdout == "every unit was done once\n", done.stderr[-5000:]


@pytest.mark.parametrize("arguments", [[], ["starved"]])
def test_threads_that_start_and_that_do_not(plain, arguments):
    done = subprocess.run([plain / "tests" / "thread_test", *arguments], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "every unit was done once\n"), done.stderr
