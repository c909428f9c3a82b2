"""Cycles and instructions of the inner loops on 64-bit ARM, bits against int8, on a machine of any kind.

    python benchmarks/aarch64.py [--quick] [--json PATH]

Cycles come from llvm-mca's models of four cores and stand for the innermost loop alone: all data are in the first cache.
Instructions are counted in QEMU, by count_instructions.c, for a whole call of the kernel with sums of 2304 products
and what it takes to begin and end it. The int8 loops (tflite_ops/tests/arm) are our own, as carefully made as the binary
ones; "multiplications only" is such a loop without its loads, which no real one can beat.

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

# The core, the kernels that run there, and the most that their cycles may be of the int8 loop's. Only the first two have the
# dot product.
CORES = {
    "neoverse-n1": ("dotprod", 1 / 2),
    "cortex-a55": ("dotprod", 1 / 2),
    "cortex-a72": ("neon", 1 / 5),
    "cortex-a53": ("neon", 1 / 5),
}
OLDEST_LLVM = 16  # the first with a model of Neoverse N1


class Loop:
    """An inner loop: where it is, and by which instruction its products can be counted."""

    def __init__(self, source, instruction, products):
        self.source = source
        self.instruction = instruction
        self.products = products  # of each such instruction


LOOPS = {
    "neon": Loop("kernels/arm/bitdot_neon_2x32.cc", "cnt", 128),
    "dotprod": Loop("kernels/arm/bitdot_dotprod_2x32.cc", "cnt", 128),
    "int8_neon": Loop("tests/arm/int8_neon_4x4.cc", "sadalp", 16),
    "int8_dotprod": Loop("tests/arm/int8_dotprod_6x16.cc", "sdot", 16),
}
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
    """The loops that hold no label and no other branch, each a list of instructions that ends with its branch."""
    loops, label, body = [], None, []
    for line in (line.strip() for line in assembly.splitlines()):
        if re.match(r"[\w.$]+:", line):
            label, body = line.split(":")[0], []
        elif line and line[0] not in ".#/":
            body.append(line)
            if re.match(r"(b|b\.?[a-z]{2}|cbn?z|tbn?z|ret|bl|br|blr)\s|ret$", line):
                if line.endswith(label or "?"):
                    loops.append(body)
                label, body = None, []
    return loops


def compile_loop(loop, commands, folder):
    """The loop's instructions, as the compiler makes them with the library's own options: that of the largest tile."""
    source = ROOT / "tflite_ops" / loop.source
    command = re.sub(r" -o \S+ -c ", " ", commands[str(source)])
    run(*command.split(), "-S", "-o", folder / "loop.s")
    found = innermost_loops((folder / "loop.s").read_text())
    largest = max(found, key=lambda body: count(body, loop.instruction))
    assert count(largest, loop.instruction) > 0, loop.source
    return largest


def count(body, instruction):
    return sum(line.split()[0] == instruction for line in body)


def cycles(mca, core, body, iterations, folder):
    """Cycles of one pass of the loop."""
    (folder / "body.s").write_text("\n".join(re.sub(r"\.L\w+$", "0", line) for line in body) + "\n")
    printed, _ = run(mca, "-mtriple=aarch64", f"-mcpu={core}", "-mattr=+dotprod", f"-iterations={iterations}",
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
        products = count(body, LOOPS[name].instruction) * LOOPS[name].products
        variants = {name: body}
        if name.startswith("int8"):
            variants[f"{name}, multiplications only"] = [s for s in body if s.split()[0] in MULTIPLICATIONS]
        for variant, instructions in variants.items():
            line = f"{variant:<36}"
            for core, (kernels, _) in CORES.items():
                if "dotprod" in name and kernels != "dotprod":
                    line += f"{'-':>13}"
                    continue
                value = 1000 * cycles(mca[0], core, instructions, iterations, folder) / products
                of_core[core][variant] = value
                rows.add(core, f"cycles for 1000 products, {variant}", value)
                line += f"{value:>13.1f}"
            print(line)
    for core, (kernels, at_most) in CORES.items():
        value = of_core[core]
        against = f"int8_{kernels}"
        whole = add_ratio(rows, core, f"cycles, {kernels} / {against}", value[kernels], value[against], at_most)
        best = f"{against}, multiplications only"
        bare = add_ratio(rows, core, f"cycles, {kernels} / {best}", value[kernels], value[best])
        print(f"{core}: {kernels} / {against} = {whole:.3f} (at most {at_most}); of multiplications only {bare:.3f}")


def count_instructions(plugin, loops, name, calls):
    """What the whole program executes, and the products of one call."""
    printed, reported = run(*EMULATOR, "-plugin", plugin, loops, name, PRODUCTS_OF_A_SUM, calls)
    return int(re.search(r"instructions: (\d+)", reported)[1]), int(printed)


def measure_instructions(rows, loops, calls, folder):
    plugin = folder / "count_instructions.so"
    run("cc", "-O2", "-shared", "-fPIC", "-o", plugin, pathlib.Path(__file__).with_name("count_instructions.c"))
    emulator = run("qemu-aarch64", "--version")[0].split(" (")[0]
    print(f"instructions for 1000 products, sums of {PRODUCTS_OF_A_SUM}, {emulator}")
    per_product = {}
    for name in ["portable", *LOOPS]:
        few, products = count_instructions(plugin, loops, name, calls)
        many, _ = count_instructions(plugin, loops, name, 2 * calls)
        per_product[name] = 1000 * (many - few) / calls / products
        rows.add("instructions", f"for 1000 products, {name}", per_product[name])
        print(f"{name:<36}{per_product[name]:>13.1f}")
    for kernels, at_most in dict.fromkeys(CORES.values()):
        against = f"int8_{kernels}"
        ratio = add_ratio(rows, "instructions", f"{kernels} / {against}", per_product[kernels], per_product[against],
                          at_most)
        print(f"{kernels} / {against} = {ratio:.3f} (at most {at_most})")


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
        bodies = {name: compile_loop(loop, commands, folder) for name, loop in LOOPS.items()}
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
