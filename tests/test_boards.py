"""Kernels and ops on microcontroller cores: they compile, need no heap, and compute what this machine computes.

tflite_ops/tests/boards/program.cc runs in QEMU; what it prints on a board is to be what it prints here.
"""

import concurrent.futures
import dataclasses
import functools
import os
import pathlib
import re
import subprocess

import pytest
import reference_ops
from native_build import ROOT, find_tool, run

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


@dataclasses.dataclass(frozen=True)
class Build:
    ops: list[pathlib.Path]  # objects: kernels and ops
    adapter: pathlib.Path  # object: the registrations for TFLite Micro
    program: pathlib.Path


def library_sources():
    folders = (SOURCE / "kernels", SOURCE / "kernels" / "portable", SOURCE / "ops")
    return sorted(source for folder in folders for source in folder.glob("*.cc"))


def compile_all(compiler, flags, sources, folder):
    """The objects of these sources, which must compile without a warning."""

    def compile_one(source):
        out = folder / ("-".join(source.relative_to(SOURCE).with_suffix(".o").parts))
        run(compiler, *flags, "-I", SOURCE, "-I", SOURCE / "micro" / "standin", "-c", source, "-o", out)
        return out

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sources))


@pytest.fixture(scope="module")
def host_lines(tmp_path_factory):
    """What the program prints on this machine; it has compared its results with their plain definition."""
    folder = tmp_path_factory.mktemp("host")
    compiler = find_tool("g++", "apt-get install g++")
    sources = [*library_sources(), PROGRAM / "program.cc", PROGRAM / "product.cc", PROGRAM / "host.cc"]
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
def build(tmp_path_factory):
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
        own = compile_all(compiler, flags, sources, folder)
        linking = ["-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections,--fatal-warnings"]
        script = ["-L", PROGRAM, "-T", BOARDS[board].memory]
        run(compiler, *target, *linking, *script, *own, *ops, "-o", folder / "program.elf")
        return Build(ops, adapter, folder / "program.elf")

    return build_once


def partial_link(build, out, *options):
    run(arm_tool("ld"), "-r", *options, *build.ops, build.adapter, "-o", out)
    return out


on_every_board = pytest.mark.parametrize("board", BOARDS)
in_both_variants = pytest.mark.parametrize("variant", VARIANTS)


def test_the_program_covers_the_ops(host_lines):
    (convolutions,) = [line for line in host_lines if line.startswith("convolutions: ")]
    assert all(int(number) >= 20 for number in re.findall(r"\d+", convolutions)), convolutions
    for way in ("direct", "tiled"):
        lines = [line for line in host_lines if line.startswith(f"{way} Ste")]
        kinds = [line.removeprefix(f"{way} ").split(":")[0] for line in lines]
        inputs, outputs = ("packed", "float32", "int8", "uint8"), ("float32", "packed")
        products = [f"{op} {i} to {o}" for op in ("SteConv2D", "SteFullyConnected") for i in inputs for o in outputs]
        assert kinds == ["SteQuantize", *products, "SteMaxPool2D"]
        for line in lines:
            assert re.search(r"nodes 24, elements [1-9]\d+, .* refused when spoiled [1-9]\d*, .* wrong 0$", line), line


def test_direct_and_tiled_agree(host_lines):
    direct = [line.removeprefix("direct ") for line in host_lines if line.startswith("direct ")]
    tiled = [line.removeprefix("tiled ") for line in host_lines if line.startswith("tiled ")]
    assert direct == tiled


@on_every_board
@in_both_variants
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


@on_every_board
@in_both_variants
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


@on_every_board
@in_both_variants
def test_code_size(build, board, variant, tmp_path, capsys):
    """All ops and the adapter, without the runtime and the compiler's helpers for arithmetic."""
    built = build(board, variant)
    functions = [line.split()[2] for line in run(arm_tool("nm"), built.adapter).splitlines() if " T " in line]
    roots = [name for name in functions if "RegisterSte" in name]
    assert len(roots) == len(reference_ops.OPS)
    used = partial_link(built, tmp_path / "used.o", "--gc-sections", *(f"--undefined={name}" for name in roots))
    text, data, bss = map(int, run(arm_tool("size"), used).splitlines()[1].split()[:3])
    with capsys.disabled():
        print(f"\n{board}, {variant}: {text} bytes of code and constants, {data + bss} bytes of RAM")
    assert 4096 < text < (40960 if variant == "direct" else 131072)
    assert data + bss < 512
