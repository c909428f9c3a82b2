"""Cycles and instructions of the inner loops on 64-bit ARM, bits against int8, on a machine of any kind.

    python benchmarks/aarch64.py [--quick] [--json PATH]

Cycles come from llvm-mca's models of six cores and stand for the innermost loop alone: all data are in the first cache.
Instructions are counted in QEMU, by count_instructions.c, for a whole call of the kernel with sums of 2304 products
and what it takes to begin and end it. WxAy are weights of x bits and inputs of y: W2A2 is computed plane by plane, with 8 bits
of inputs packed weights are multiplied by bytes. The int8 loops (tflite_ops/tests/arm) are our own, as carefully made as the
others; "multiplications only" is such a loop without its loads, which no real one can beat.

Needs g++-aarch64-linux-gnu, cmake, ninja, llvm-16 or newer (for llvm-mca) and qemu-user; what is missing is said.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import common

ROOT = pathlib.Path(__file__).resolve().parents[1]
EMULATOR = ["qemu-aarch64", "-cpu", "max", "-L", "/usr/aarch64-linux-gnu"]
PRODUCTS_OF_A_SUM = 2304

# The core, the best kernels that run there, and the most that their cycles for one bit may be of the int8 loop's.
CORES = {
    "neoverse-n1": ("dotprod", 1 / 2),
    "cortex-a55": ("dotprod", 1 / 2),
    "cortex-a72": ("neon", 1 / 5),
    "cortex-a53": ("neon", 1 / 5),
    "neoverse-n2": ("i8mm", 1 / 2),
    "neoverse-v1": ("i8mm", 1 / 2),
}
KERNELS = ["neon", "dotprod", "i8mm"]  # what runs one of them runs those before it
PRODUCTS = ["W1A1", "W2A2", "W1A8", "W2A8", "W4A8"]
DEPTHWISE = ["depthwise16", "depthwise32"]  # nine taps, in sums of so many bits; all sets have NEON's
INT8 = {"neon": "neon int8", "dotprod": "dotprod int8", "i8mm": "dotprod int8"}  # the loop to compare with
OLDEST_LLVM = 16  # the first with a model of Neoverse N1


class Loop:
    """An inner loop: in which file and function it is, and by which instruction its products can be counted."""

    def __init__(self, source, function, instruction, products):
        self.source = source
        self.function = function  # part of the symbol
        self.instruction = instruction
        self.products = products  # of each such instruction


def plane_loop(kernels, meeting, pairs, rows=2):
    function = rf"PlaneDot2x32.*Li{meeting}ELi2ELi{rows}EE"
    return Loop(f"kernels/arm/planedot_{kernels}_2x32.cc", function, "cnt", 128 / pairs)


def byte_loop(kernels, instruction, bits, function="RowsILi2ELi8E"):
    return Loop(f"kernels/arm/bytedot_{kernels}_8x8.cc", rf"ByteDot8x8.*Li{bits}EE\d{function}", instruction, 16)


def pair_loop(bits):
    return Loop("kernels/arm/bytedot_i8mm_8x8.cc", rf"RunPairsILi{bits}ELi2ELi8E", "usmmla", 32)


NEON_BYTES = "kernels/arm/bytedot_neon_4x8.cc"
XOR, AND, MASKED_XOR = 0, 1, 2
LOOPS = {
    "neon W1A1": plane_loop("neon", XOR, 1),
    "neon W2A2": plane_loop("neon", AND, 4),
    "neon W1A8": Loop(NEON_BYTES, "MaskedSumsELi2ELi4E", "sadalp", 16),
    "neon W2A8": Loop(NEON_BYTES, "NarrowSumsILi2EEELi2ELi4E", "smlal", 16),
    "neon W4A8": Loop(NEON_BYTES, "NarrowSumsILi4EEELi2ELi4E", "smlal", 16),
    "neon int8": Loop("tests/arm/int8_neon_4x4.cc", "Int8Neon4x4", "sadalp", 16),
    "dotprod W1A1": plane_loop("dotprod", XOR, 1),
    "dotprod W2A2": plane_loop("dotprod", AND, 4),
    "dotprod W1A8": byte_loop("dotprod", "sdot", 1),
    "dotprod W2A8": byte_loop("dotprod", "sdot", 2),
    "dotprod W4A8": byte_loop("dotprod", "sdot", 4),
    "dotprod int8": Loop("tests/arm/int8_dotprod_6x16.cc", "Int8DotProd6x16", "sdot", 16),
    "i8mm W1A8": pair_loop(1),
    "i8mm W2A8": pair_loop(2),
    "i8mm W4A8": pair_loop(4),
    "i8mm W8A8": pair_loop(8),
}
# What the table of choices (kernels/choice.cc) needs besides: ternary weights, and one row of inputs, as in a product of a
# matrix and a vector.
OTHER_LOOPS = {
    "neon ternary x A1": plane_loop("neon", MASKED_XOR, 1),
    "dotprod ternary x A1": plane_loop("dotprod", MASKED_XOR, 1),
    "neon W1A1, one row": plane_loop("neon", XOR, 1, rows=1),
    "neon ternary x A1, one row": plane_loop("neon", MASKED_XOR, 1, rows=1),
    "neon W1A8, one row": Loop(NEON_BYTES, "MaskedSumsELi2ELi1E", "sadalp", 16),
    "neon W2A8, one row": Loop(NEON_BYTES, "NarrowSumsILi2EEELi2ELi1E", "smlal", 16),
    "neon W4A8, one row": Loop(NEON_BYTES, "NarrowSumsILi4EEELi2ELi1E", "smlal", 16),
    "dotprod W1A1, one row": plane_loop("dotprod", XOR, 1, rows=1),
    "dotprod ternary x A1, one row": plane_loop("dotprod", MASKED_XOR, 1, rows=1),
    "dotprod W1A8, one row": byte_loop("dotprod", "sdot", 1, "OneRowILi2E"),
    "dotprod W2A8, one row": byte_loop("dotprod", "sdot", 2, "OneRowILi2E"),
    "dotprod W4A8, one row": byte_loop("dotprod", "sdot", 4, "OneRowILi2E"),
    "i8mm W1A8, one row": byte_loop("i8mm", "usdot", 1, "OneRowILi2E"),
    "i8mm W2A8, one row": byte_loop("i8mm", "usdot", 2, "OneRowILi2E"),
    "i8mm W4A8, one row": byte_loop("i8mm", "usdot", 4, "OneRowILi2E"),
}
ALL_LOOPS = LOOPS | OTHER_LOOPS


def loop_of(kernels, product):
    """The name of the loop that these kernels have for a product: i8mm's planes are those of dotprod."""
    return name if (name := f"{kernels} {product}") in LOOPS else f"dotprod {product}"


MULTIPLICATIONS = {"smull", "smlal2", "sadalp", "sdot"}


def run(*command):
    """Runs a command that has to succeed, and returns what it printed and what it reported as errors."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def find(name):
    """The path of a program, on the PATH or beside this Python."""
    beside = os.path.dirname(sys.executable)
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), beside]))


def find_mca():
    """The newest llvm-mca and its version as text; None where there is none that is new enough."""
    newest = (0, None, "")
    for name in ["llvm-mca", *(f"llvm-mca-{n}" for n in range(OLDEST_LLVM, 40))]:
        if (path := find(name)) is None:
            continue
        version = re.search(r"LLVM version (\d+)(\S*)", run(path, "--version")[0])
        newest = max(newest, (int(version[1]), path, version[1] + version[2]))
    return newest[1:] if newest[0] >= OLDEST_LLVM else None


def build(folder):
    """Builds the program that runs the loops; returns its path and the compiler's command for each source."""
    toolchain = ROOT / "tflite_ops" / "cmake" / "aarch64-linux-gnu.cmake"
    options = [f"CMAKE_TOOLCHAIN_FILE={toolchain}", f"CMAKE_MAKE_PROGRAM={find('ninja')}", "KERAS_STE_TESTS=ON",
               "CMAKE_EXPORT_COMPILE_COMMANDS=ON"]
    run(find("cmake"), "-S", ROOT, "-B", folder, "-G", "Ninja", *(f"-D{option}" for option in options))
    run(find("cmake"), "--build", folder, "--target", "loops")
    commands = json.loads((folder / "compile_commands.json").read_text())
    return folder / "tflite_ops" / "tests" / "loops", {entry["file"]: entry["command"] for entry in commands}


def innermost_loops(assembly):
    """The loops that hold no label and no other branch: the function, and a list of instructions that ends with the branch."""
    loops, function, label, body = [], "", None, []
    for line in (line.strip() for line in assembly.splitlines()):
        if re.match(r"[\w.$]+:", line):
            label, body = line.split(":")[0], []
            function = label if label.startswith("_Z") else function
        elif line and line[0] not in ".#/":
            body.append(line)
            if re.match(r"(b|b\.?[a-z]{2}|cbn?z|tbn?z|ret|bl|br|blr)\s|ret$", line):
                if line.endswith(label or "?"):
                    loops.append((function, body))
                label, body = None, []
    return loops


def compile_source(source, commands, folder):
    """The innermost loops of a source file, as the compiler makes them with the library's own options."""
    command = re.sub(r" -o \S+ -c ", " ", commands[str(ROOT / "tflite_ops" / source)])
    run(*command.split(), "-S", "-o", folder / "loop.s")
    return innermost_loops((folder / "loop.s").read_text())


def compile_loops(commands, folder):
    """The instructions of each loop: of its function's innermost loops that with the most products."""
    of_source = {loop.source: None for loop in ALL_LOOPS.values()}
    for source in of_source:
        of_source[source] = compile_source(source, commands, folder)
    bodies = {}
    for name, loop in ALL_LOOPS.items():
        found = [body for function, body in of_source[loop.source] if re.search(loop.function, function)]
        assert found, name
        bodies[name] = max(found, key=lambda body: count(body, loop.instruction))
        assert count(bodies[name], loop.instruction) > 0, name
    return bodies


def count(body, instruction):
    return sum(line.split()[0] == instruction for line in body)


def cycles(mca, core, body, iterations, folder):
    """Cycles of one pass of the loop."""
    (folder / "body.s").write_text("\n".join(re.sub(r"\.L\w+$", "0", line) for line in body) + "\n")
    printed, _ = run(mca, "-mtriple=aarch64", f"-mcpu={core}", "-mattr=+dotprod,+i8mm", f"-iterations={iterations}",
                     folder / "body.s")
    return int(re.search(r"Total Cycles:\s+(\d+)", printed)[1]) / iterations


def add_ratio(rows, case, metric, ours, theirs, at_most=None):
    rows.add(case, metric, ours / theirs, at_most=at_most)
    return ours / theirs


def measure_cycles(rows, mca, bodies, iterations, folder):
    print(f"cycles for 1000 products, innermost loop, llvm-mca {mca[1]}")
    print(f"{'':<36}" + "".join(f"{core:>13}" for core in CORES))
    of_core = {core: {} for core in CORES}
    for name, body in bodies.items():
        products = count(body, ALL_LOOPS[name].instruction) * ALL_LOOPS[name].products
        variants = {name: body}
        if name.endswith("int8"):
            variants[f"{name}, multiplications only"] = [s for s in body if s.split()[0] in MULTIPLICATIONS]
        for variant, instructions in variants.items():
            line = f"{variant:<36}"
            for core, (kernels, _) in CORES.items():
                if KERNELS.index(name.split()[0]) > KERNELS.index(kernels):
                    line += f"{'-':>13}"
                    continue
                value = 1000 * cycles(mca[0], core, instructions, iterations, folder) / products
                of_core[core][variant] = value
                rows.add(core, f"cycles for 1000 products, {variant}", value)
                line += f"{value:>13.1f}"
            print(line)
    for core, (kernels, at_most) in CORES.items():
        value = of_core[core]
        against = INT8[kernels]
        best = f"{against}, multiplications only"
        for product in PRODUCTS:
            name = loop_of(kernels, product)
            bound = at_most if product == "W1A1" else None
            whole = add_ratio(rows, core, f"cycles, {name} / {against}", value[name], value[against], bound)
            bare = add_ratio(rows, core, f"cycles, {name} / {best}", value[name], value[best])
            said = f" (at most {bound})" if bound else ""
            print(f"{core}: {name} / {against} = {whole:.3f}{said}; of multiplications only {bare:.3f}")


def count_instructions(plugin, loops, name, calls):
    """What the whole program executes, and the products of one call."""
    printed, reported = run(*EMULATOR, "-plugin", plugin, loops, *name.split(), PRODUCTS_OF_A_SUM, calls)
    return int(re.search(r"instructions: (\d+)", reported)[1]), int(printed)


def measure_instructions(rows, loops, calls, folder):
    plugin = folder / "count_instructions.so"
    run("cc", "-O2", "-shared", "-fPIC", "-o", plugin, pathlib.Path(__file__).with_name("count_instructions.c"))
    emulator = run("qemu-aarch64", "--version")[0].split(" (")[0]
    print(f"instructions for 1000 products, sums of {PRODUCTS_OF_A_SUM}, {emulator}")
    per_product = {}
    depthwise = [f"{kernels} {product}" for kernels in ("portable", "neon") for product in DEPTHWISE]
    for name in [*(f"portable {product}" for product in PRODUCTS), *LOOPS, *depthwise]:
        few, products = count_instructions(plugin, loops, name, calls)
        many, _ = count_instructions(plugin, loops, name, 2 * calls)
        per_product[name] = 1000 * (many - few) / calls / products
        rows.add("instructions", f"for 1000 products, {name}", per_product[name])
        print(f"{name:<36}{per_product[name]:>13.1f}")
    for kernels, at_most in dict.fromkeys(CORES.values()):
        name, against = loop_of(kernels, "W1A1"), INT8[kernels]
        ratio = add_ratio(rows, "instructions", f"{name} / {against}", per_product[name], per_product[against], at_most)
        print(f"{kernels}: {name} / {against} = {ratio:.3f} (at most {at_most})")


def main():
    options = common.argument_parser(__doc__.split("\n")[0]).parse_args()
    common.print_header(packages=("keras_ste",))
    for program in ("aarch64-linux-gnu-g++", "cmake", "ninja"):
        if find(program) is None:
            sys.exit(f"{program} is missing: apt-get install g++-aarch64-linux-gnu; pip install cmake ninja")
    rows = common.Rows()
    mca = find_mca()
    emulated = find("qemu-aarch64") is not None and find("cc") is not None
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        loops, commands = build(folder)
        print(run("aarch64-linux-gnu-g++", "--version")[0].splitlines()[0])
        bodies = compile_loops(commands, folder)
        if mca:
            measure_cycles(rows, mca, bodies, 100 if options.quick else 1000, folder)
        if emulated:
            measure_instructions(rows, loops, 10 if options.quick else 100, folder)
    if not mca:
        print(f"CYCLES NOT ESTIMATED: llvm-mca {OLDEST_LLVM} or newer is missing: apt-get install llvm-19")
    if not emulated:
        print("INSTRUCTIONS NOT COUNTED: qemu-aarch64 or cc is missing: apt-get install qemu-user gcc")
    rows.finish(options.json)


if __name__ == "__main__":
    main()
