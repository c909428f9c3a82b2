"""Kernels and ops on microcontroller cores: they compile, need no heap, and compute what this machine computes.

tflite_ops/tests/boards/program.cc runs in QEMU; what it prints on a board is to be what it prints here. Some of its
nodes come from here, with what tests/reference_ops.py computes of them.
"""

import concurrent.futures
import dataclasses
import functools
import os
import pathlib
import re
import subprocess

import bad_models
import numpy as np
import pytest
import reference_ops
import test_code_products as products
from flatbuffers import flexbuffers
from native_build import ROOT, find_tool, run
from test_gapless import without_gaps

SOURCE = ROOT / "tflite_ops"
PROGRAM = SOURCE / "tests" / "boards"
COMPILER_PACKAGES = (
    "apt-get install --no-install-recommends gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib"
)
EMULATOR_PACKAGES = "apt-get install --no-install-recommends qemu-system-arm"

WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]
LANGUAGE = ["-std=c++17", "-fno-exceptions", "-fno-rtti", "-ffp-contract=off"]
# What firmware is usually built with: each function can be dropped, and no locks around what is initialized once.
FIRMWARE = ["-mthumb", "-ffunction-sections", "-fdata-sections", "-fno-threadsafe-statics"]

# The compiler's own helpers for arithmetic, and memory and text functions of the C library.
ALLOWED = re.compile(
    r"__aeabi_(u?[dfil]\w+|mem\w+)|__gnu_thumb1_case_\w+|mem(cmp|cpy|move|set)|str(cmp|len)"
    r"|tflite::.*|MicroPrintf\(.*"  # the runtime that the adapter is made for
)
HEAP = re.compile(r"\b(_?malloc|_?free|_?calloc|_?realloc|_sbrk|abort|__cxa_|_Unwind_|__aeabi_unwind|_Zn[wa]|_Zd[la])")


@dataclasses.dataclass(frozen=True)
class Board:
    machine: str  # of QEMU
    memory: str  # linker script
    core: tuple[str, ...]  # compiler flags


BOARDS = {
    # QEMU's microbit has a Cortex-M0: the same instructions, of the architecture Armv6-M.
    "cortex-m0plus": Board("microbit", "microbit.ld", ("-mcpu=cortex-m0plus",)),
    "cortex-m4": Board("mps2-an386", "mps2.ld", ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard")),
    "cortex-m7": Board("mps2-an500", "mps2.ld", ("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard")),
    "cortex-m55": Board("mps3-an547", "mps3-an547.ld", ("-mcpu=cortex-m55", "-mfloat-abi=hard")),
}
VARIANTS = {
    "direct": ["-Os", "-DKERAS_STE_DIRECT_ONLY"],
    "tiled": ["-O3"],  # here compilers use the vectors that a core has
}
# The tiled kernels take 12 KB of stack, of the 16 KB of RAM that the smallest board has.
TOO_LARGE = ("cortex-m0plus", "tiled")
BUILDS = [(board, variant) for board in BOARDS for variant in VARIANTS if (board, variant) != TOO_LARGE]


@dataclasses.dataclass(frozen=True)
class Build:
    ops: list[pathlib.Path]  # objects: kernels and ops
    adapter: pathlib.Path  # object: the registrations for TFLite Micro
    program: pathlib.Path


def good_cases():
    """Of each op: options and inputs, of which the first and a residual are fed."""
    rng = np.random.default_rng(0)

    def value(t, most):
        if t is None or t.data is not None:
            return None if t is None else t.data
        if t.dtype == np.float32:
            return rng.normal(size=t.shape).astype(np.float32)
        return rng.integers(0, most, t.shape).astype(t.dtype)

    for good in bad_models.GOOD:
        node = good()
        most = node.options.get("rows", 128)  # indices, or words that have no unused bits, or bytes
        yield node.op, node.options, [value(t, most) for t in node.inputs]


def tail_cases(seed, kind):
    """A convolution to packed codes and floats, with all that a tail can do. Its residual takes turns."""
    rng = np.random.default_rng(seed)
    options = {"version": 2, "channels": 6, "filters": 35, "groups": 1, "padding": "same", "pad_value": 0}
    options |= {"kernel_h": 3, "kernel_w": 2, "stride_h": 2, "stride_w": 1, "dilation_h": 1, "dilation_w": 1}
    options |= {"weight_bits": 1, "weight_encoding": "bipolar", "output": "float32"}
    if kind == "packed":
        options |= {"input_bits": 2, "input_encoding": "unsigned"}
    options, value, constants = products.conv2d_node(rng, kind, (1, 4, 5, 6), options)
    thresholds = np.sort(5 * rng.normal(size=(3, 35)).astype(np.float32), axis=0)
    rows = rng.normal(size=(5, 35)).astype(np.float32)
    residual = [rng.normal(size=(1, 2, 5, 35)).astype(np.float32), rng.integers(-128, 128, (1, 2, 5, 35), np.int8)][seed % 2]
    scale = [None, rng.normal(size=1).astype(np.float32)][seed % 2]
    options |= {"version": 3, "tail": "multiply minimum residual store add prelu maximum"}
    options |= {"output": "packed", "output_bits": 2, "output_encoding": "signed"}
    yield "SteConv2D", (options, value, [*constants[:3], thresholds, rows, residual, scale])


def product_cases():
    """The same of products with several codes, kinds of input, and outputs of integers."""
    packed = {"input_bits": 3, "input_encoding": "unsigned"}
    widths = [("packed", packed, 2, "signed", "int8"), ("packed", packed, 2, "ternary", "packed")]
    widths += [("int8", {}, 4, "signed", "int8"), ("uint8", {}, 3, "bipolar", "int16")]
    widths += [("float32", {}, 2, "ternary", "float32")]
    for seed, (kind, inputs, bits, encoding, output) in enumerate(widths):
        rng = np.random.default_rng(seed)
        codes = {"version": 2, "weight_bits": bits, "weight_encoding": encoding, "output": output}
        codes |= inputs | {"output_bits": 2, "output_encoding": "unsigned"}
        window = {"kernel_h": 3, "kernel_w": 2, "stride_h": 2, "stride_w": 1, "dilation_h": 1, "dilation_w": 2}
        sizes = {"channels": 6, "filters": 18, "groups": 2, "padding": "same", "pad_value": 0}
        yield "SteConv2D", products.conv2d_node(rng, kind, (1, 4, 5, 6), codes | window | sizes)
        sizes = {"channels": 35, "units": 7, "pixels": 2, "input_axes": 2}
        yield "SteFullyConnected", products.fully_connected_node(rng, kind, (2, 2, 35), codes | sizes)
        sizes = {"channels": 5, "filters": 7, "padding": "valid"}
        yield "SteTransposeConv2D", products.transpose_conv2d_node(rng, kind, (1, 2, 3, 5), codes | window | sizes)
        yield from tail_cases(seed, kind)
    rows = {"version": 2, "weight_bits": 2, "weight_encoding": "ternary", "output": "float32"}
    rows |= {"units": 7, "channels": 35, "pixels": 1, "input_axes": 1}
    yield "SteFullyConnected", products.fully_connected_node(rng, "rows", (2, 35), rows)


def cases():
    """All of these, as (op, options, inputs)."""
    yield from good_cases()
    for op, (options, value, constants) in product_cases():
        yield op, options, [value, *constants]
        filters = without_gaps(op, constants[0], value.dtype == np.int32, options)
        yield op, options | {"version": 4}, [value, filters, *constants[1:]]


TYPES = {"float32": "kFloat32", "int32": "kInt32", "int16": "kInt16", "int8": "kInt8", "uint8": "kUInt8"}


def write_cases(path):
    """The source file that tests/boards/cases.h declares."""
    text = '#include "tests/boards/cases.h"\n\nnamespace keras_ste {\n\n'

    def add_bytes(name, content):
        nonlocal text
        text += f"alignas(4) static const uint8_t {name}[] = {{{', '.join(map(str, content))}}};\n"

    def tensor(array, name, constant):
        dims = ", ".join(map(str, array.shape))
        data = name if constant else "nullptr"
        about = f"true, {str(constant).lower()}, Type::{TYPES[str(array.dtype)]}, {array.ndim}"
        return f"{{{about}, {{{dims}}}, {array.nbytes}, {data}, nullptr}}"

    rows = []
    for n, (op, options, inputs) in enumerate(cases()):
        expected = reference_ops.OPS[op](inputs, options)
        expected = list(expected) if isinstance(expected, tuple) else [expected]
        option_bytes = bytes(flexbuffers.Dumps(options))
        add_bytes(f"options{n}", option_bytes)
        for i, array in enumerate(expected):
            add_bytes(f"expected{n}_{i}", array.tobytes())
        tensors, data = [], []
        for i, array in enumerate(inputs):
            if array is not None:
                add_bytes(f"input{n}_{i}", array.tobytes())
            tensors.append("{}" if array is None else tensor(array, f"input{n}_{i}", i not in (0, 6)))  # 6: a residual
            data.append("nullptr" if array is None else f"input{n}_{i}")
        rows.append(
            f'{{"{op}", options{n}, {len(option_bytes)}, {len(inputs)}, {{{", ".join(tensors)}}}, '
            f"{{{', '.join(data)}}}, {{{', '.join(f'expected{n}_{i}' for i in range(len(expected)))}}}, "
            f"{{{', '.join(str(array.nbytes) for array in expected)}}}}}"
        )
    text += f"\nconst Case kCases[] = {{\n{(',' + chr(10)).join(rows)}}};\n"
    text += f"const int32_t kCaseCount = {len(rows)};\n\n}}  // namespace keras_ste\n"
    path.write_text(text)
    return path


def library_sources():
    folders = (SOURCE / "kernels", SOURCE / "kernels" / "portable", SOURCE / "ops")
    return sorted(source for folder in folders for source in folder.glob("*.cc"))


def compile_all(compiler, flags, sources, folder):
    """The objects of these sources, which must compile without a warning."""

    def compile_one(source):
        inside = source.relative_to(SOURCE) if source.is_relative_to(SOURCE) else pathlib.Path(source.name)
        out = folder / ("-".join(inside.with_suffix(".o").parts))
        run(compiler, *flags, "-I", SOURCE, "-I", SOURCE / "micro" / "standin", "-c", source, "-o", out)
        return out

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sources))


@pytest.fixture(scope="module")
def case_source(tmp_path_factory):
    return write_cases(tmp_path_factory.mktemp("cases") / "cases.cc")


@pytest.fixture(scope="module")
def host_lines(case_source, tmp_path_factory):
    """What the program prints on this machine; it has compared its results with their plain definition."""
    folder = tmp_path_factory.mktemp("host")
    compiler = find_tool("g++", "apt-get install g++")
    sources = [*library_sources(), PROGRAM / "program.cc", PROGRAM / "product.cc", PROGRAM / "host.cc", case_source]
    objects = compile_all(compiler, [*WARNINGS, *LANGUAGE, "-O2"], sources, folder)
    run(compiler, *objects, "-o", folder / "program")
    return run(folder / "program").splitlines()


def arm_tool(name):
    return find_tool(f"arm-none-eabi-{name}", COMPILER_PACKAGES)


def arm_compiler():
    compiler = arm_tool("g++")
    for file in ("nano.specs", "libstdc++_nano.a"):
        if not pathlib.Path(run(compiler, f"-print-file-name={file}").strip()).is_absolute():
            pytest.skip(f"{compiler} has no {file}, so boards are not tested here: {COMPILER_PACKAGES}")
    return compiler


@pytest.fixture(scope="module")
def build(case_source, tmp_path_factory):
    """A function that builds all for a board, once in each variant."""

    @functools.cache
    def build_once(board, variant):
        compiler = arm_compiler()
        folder = tmp_path_factory.mktemp(f"{board}-{variant}")
        target = [*BOARDS[board].core, *FIRMWARE]
        flags = [*WARNINGS, *LANGUAGE, *VARIANTS[variant], *target]
        ops = compile_all(compiler, flags, library_sources(), folder)
        (adapter,) = compile_all(compiler, flags, [SOURCE / "micro" / "keras_ste_micro.cc"], folder)
        sources = [PROGRAM / f"{name}.cc" for name in ("startup", "program", "product")]
        own = compile_all(compiler, flags, [*sources, case_source], folder)
        linking = ["-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections,--fatal-warnings"]
        script = ["-L", PROGRAM, "-T", BOARDS[board].memory]
        run(compiler, *target, *linking, *script, *own, *ops, "-o", folder / "program.elf")
        return Build(ops, adapter, folder / "program.elf")

    return build_once


def partial_link(build, out, *options):
    run(arm_tool("ld"), "-r", *options, *build.ops, build.adapter, "-o", out)
    return out


every_build = pytest.mark.parametrize(("board", "variant"), BUILDS)


def test_the_program_covers_the_ops(host_lines):
    (convolutions,) = [line for line in host_lines if line.startswith("convolutions: ")]
    assert all(int(number) >= 20 for number in re.findall(r"\d+", convolutions)), convolutions
    for way in ("direct", "tiled"):
        lines = [line for line in host_lines if line.startswith(f"{way} Ste")]
        kinds = [line.removeprefix(f"{way} ").split(":")[0] for line in lines]
        inputs, outputs = ("packed", "float32", "int8", "uint8"), ("float32", "packed")
        named = [f"{op} {i} to {o}" for op in ("SteConv2D", "SteFullyConnected") for i in inputs for o in outputs]
        assert kinds == ["SteQuantize", *named, "SteMaxPool2D"]
        for line in lines:
            assert re.search(r"nodes 24, elements [1-9]\d+, .* refused when spoiled [1-9]\d*, .* wrong 0$", line), line


@pytest.mark.parametrize("way", ["direct", "tiled"])
def test_the_cases_cover_the_ops(host_lines, way):
    lines = [line for line in host_lines if line.startswith(f"{way} case of ")]
    assert {line.split()[3].rstrip(":") for line in lines} == set(reference_ops.OPS)
    assert all(line.endswith(", wrong 0") for line in lines), lines


def test_direct_and_tiled_agree(host_lines):
    direct = [line.removeprefix("direct ") for line in host_lines if line.startswith("direct ")]
    tiled = [line.removeprefix("tiled ") for line in host_lines if line.startswith("tiled ")]
    assert direct == tiled


@every_build
def test_needs_no_heap(build, board, variant, tmp_path):
    built = build(board, variant)
    whole = partial_link(built, tmp_path / "whole.o")
    needed = [line.split(maxsplit=1)[1] for line in run(arm_tool("nm"), "-C", "-u", whole).splitlines()]
    assert "memset" in needed
    assert [name for name in needed if not ALLOWED.fullmatch(name)] == []
    # Nor do the helpers of the compiler and the C library bring one along.
    linked = run(arm_tool("nm"), built.program)
    assert "Reset" in linked
    assert HEAP.findall(linked) == []


@every_build
def test_computes_what_the_host_computes(build, board, variant, host_lines):
    emulator = find_tool("qemu-system-arm", EMULATOR_PACKAGES)
    program = build(board, variant).program
    semihosting = ["-semihosting-config", "enable=on,target=native"]
    silent = ["-nographic", "-monitor", "none", "-serial", "none"]
    command = [emulator, "-M", BOARDS[board].machine, *silent, *semihosting, "-kernel", str(program)]
    done = subprocess.run(  # the time limit ends a core that hangs
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    expected = host_lines if variant == "tiled" else [line for line in host_lines if not line.startswith("tiled ")]
    assert done.stdout.splitlines() == expected
    assert done.returncode == 0


def test_cortex_m55_keeps_floats_out_of_vectors(build):
    # Its vectors take subnormal numbers for zero: kernels/scalar.h.
    instructions = "".join(run(arm_tool("objdump"), "-d", o) for o in build("cortex-m55", "tiled").ops)
    assert re.search(r"\tvadd\.i32\tq", instructions)
    assert re.findall(r"\tv(?!mov|ldr|str)\w+\.f(?:16|32)\S*\tq.*", instructions) == []


def registrations(build):
    """The functions of the adapter that an app calls for each op."""
    listed = run(arm_tool("nm"), build.adapter)
    return {op: symbol for symbol, op in re.findall(r" T (\w+?Register(Ste\w+)Ev)$", listed, re.M)}


def linked_for(build, out, names):
    """What the linker keeps of all ops and the adapter where these functions are called."""
    return partial_link(build, out, "--gc-sections", *(f"--undefined={name}" for name in names))


# The ops of networks whose codes have one bit, which is what docs/boards.md names the size of.
OPS_OF_BITS = ["SteQuantize", "SteConv2D", "SteFullyConnected", "SteMaxPool2D"]


@every_build
def test_code_size(build, board, variant, tmp_path, capsys):
    """All ops and the adapter, or some, without the runtime and the compiler's helpers for arithmetic."""
    built = build(board, variant)
    symbols = registrations(built)
    assert set(symbols) == set(reference_ops.OPS)

    def size(names):
        used = linked_for(built, tmp_path / "used.o", [symbols[name] for name in names])
        text, data, bss = map(int, run(arm_tool("size"), used).splitlines()[1].split()[:3])
        return text, data + bss

    (text, ram), (text_of_bits, _) = size(symbols), size(OPS_OF_BITS)
    with capsys.disabled():
        print(f"\n{board}, {variant}: {text} bytes of code and constants, {text_of_bits} for bits; {ram} of RAM")
    assert 4096 < text_of_bits < text < (51200 if variant == "direct" else 235520)
    assert ram < (512 if variant == "direct" else 2048)


def test_ops_that_are_not_registered_are_not_linked(build, tmp_path):
    built = build("cortex-m4", "direct")
    symbols = registrations(built)
    for op, symbol in symbols.items():
        listed = run(arm_tool("nm"), "-C", "--defined-only", linked_for(built, tmp_path / "one.o", [symbol]))
        linked = re.findall(r" keras_ste::k(\w+)$", listed, re.M)
        assert [f"Ste{name}" for name in linked if f"Ste{name}" in symbols] == [op]
