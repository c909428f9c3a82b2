"""Times the kernels for codes of 1 to 8 bits against our own kernel for int8, on one thread and outside of any interpreter.

    python benchmarks/kernels.py [--quick] [--json PATH] [--plot PATH]

A matrix product (K=2304, N=256, 196 rows: a 3x3 convolution of 256 channels at 14x14) and a matrix-vector product (4096x4096),
from inputs in the form that the kernels read to int32 sums. Medians of alternating rounds. W2A8 with ternary weights is a
linear layer of BitNet b1.58. `--plot` also draws how time grows with each size and with the widths.
"""

import os
import sys

import common
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "tests"))
import kernel_api  # noqa: E402

FOLDER = kernel_api.native_build.ROOT / "build" / "kernels"
INT8 = ((8, "signed"), (8, "signed"), "bytes")
ONE_BIT, TERNARY, TWO_BITS, FOUR_BITS = (1, "bipolar"), (2, "ternary"), (2, "signed"), (4, "signed")
BYTES = (8, "signed")
# Weights, inputs, how they are multiplied, and what the time of int8 must at least be of theirs: for AVX-512's kernels.
MATRIX = [
    (ONE_BIT, ONE_BIT, "planes", 4.8),
    (ONE_BIT, (2, "unsigned"), "planes", 2.4),
    (TERNARY, (2, "unsigned"), "planes", None),
    (TWO_BITS, (2, "unsigned"), "planes", 1.2),
    (ONE_BIT, BYTES, "bytes", 0.97),
    (TERNARY, BYTES, "bytes", 0.97),
    (FOUR_BITS, (4, "unsigned"), "bytes", 0.97),
    (FOUR_BITS, BYTES, "bytes", 0.97),
]
VECTOR = [
    (ONE_BIT, ONE_BIT, "planes", 6.0),
    (ONE_BIT, BYTES, "bytes", 2.0),
    (TERNARY, BYTES, "bytes", 2.0),
    (FOUR_BITS, BYTES, "bytes", 1.7),
]
AVX2_ONE_BIT = 3.5
SHAPES = {"2304x256, 196 rows": (2304, 256, 196), "4096x4096, 1 row": (4096, 4096, 1)}


def prepare(library, isa, case, shape):
    """A function that computes the product of random codes so many times."""
    weights, inputs, product = case[:3]
    k, n, m = shape
    rng = np.random.default_rng(0)
    filters = kernel_api.random_numbers(rng, (n, k), *weights).astype(np.uint8)
    rows = kernel_api.random_numbers(rng, (m, k), *inputs)
    return kernel_api.Dense(library, isa, weights, inputs, filters, product).caller(rows)


def seconds_of(calls, rounds, repeats=8):
    """Median seconds of each of these products; several a call, so that calling does not count."""
    return [s / repeats for s in common.time_in_turn([lambda c=c: c(repeats) for c in calls], rounds)]


def cycles_and_seconds_of(library, calls, rounds):
    """Seconds of a cycle of the processor, measured in the same rounds; and those of these products."""
    cycles = 2**16
    clock, *seconds = seconds_of([lambda repeats: library.TakeCycles(repeats * cycles), *calls], rounds)
    return clock / cycles, seconds


def name_of(case):
    (weights, encoding), (inputs, _) = case[:2]
    return f"W{weights}A{inputs}" + (" ternary" if encoding == "ternary" else "")


def compare(library, isa, shape_name, cases, rounds, rows):
    """One table: each case against int8."""
    k, n, m = shape = SHAPES[shape_name]
    cases = [(*INT8, None), *cases]
    calls = [prepare(library, isa, case, shape) for case in cases]
    cycle, times = cycles_and_seconds_of(library, calls, rounds)
    print(f"\n{isa}, {shape_name}, {1e-9 / cycle:.2f} GHz")
    print(f"{'case':<14}{'as':<8}{'us':>9}{'GMAC/s':>9}{'MAC/cycle':>11}{'int8 / it':>11}{'weight bytes':>14}")
    for case, seconds in zip(cases, times):
        ratio = times[0] / seconds
        per_cycle = k * n * m * cycle / seconds
        size = kernel_api.planes(np.zeros((1, k), np.int64), case[0][0]).nbytes * n
        print(f"{name_of(case):<14}{case[2]:<8}{seconds * 1e6:>9.1f}{k * n * m / seconds / 1e9:>9.0f}{per_cycle:>11.1f}"
              f"{ratio:>11.2f}{size:>14,}")
        label = f"{isa}, {shape_name}, {name_of(case)}"
        rows.add(label, "us", seconds * 1e6)
        rows.add(label, "MAC/cycle", per_cycle)
        rows.add(label, "int8 / it", ratio, at_least=case[3])


def growth(library, isa, rounds):
    """Seconds by each size, the others kept, of one-bit planes and of bytes; and by the pairs of planes."""
    base = (2304, 256, 196)
    results = {}
    for axis, sizes in ((0, (576, 1152, 2304, 4608)), (1, (64, 128, 256, 512)), (2, (49, 98, 196, 392))):
        shapes = [tuple(size if i == axis else b for i, b in enumerate(base)) for size in sizes]
        for case in (MATRIX[0], INT8):
            calls = [prepare(library, isa, case, shape) for shape in shapes]
            results["KNM"[axis], name_of(case)] = sizes, seconds_of(calls, rounds, repeats=2)
    pairs = [(w, a) for w in range(1, 5) for a in range(1, 5)]
    cases = [((w, "signed"), (a, "unsigned"), "planes") for w, a in pairs]
    seconds = seconds_of([prepare(library, isa, case, base) for case in cases], rounds, repeats=1)
    results["W x A", "planes"] = [w * a for w, a in pairs], seconds
    return results


def add_growth(results, rows):
    """How far the time of the largest size is from what the smallest one's rate makes of it."""
    print("\ntime of the largest size / time of the smallest, over the ratio of the sizes")
    for (axis, case), (sizes, seconds) in results.items():
        small, large = np.argmin(sizes), np.argmax(sizes)
        ratio = seconds[large] / seconds[small] / (sizes[large] / sizes[small])
        print(f"{axis:<8}{case:<10}{ratio:>6.2f}")
        rows.add(f"growth with {axis}, {case}", "time over size", ratio, at_most=1.25)


def draw(results, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    axes = list(dict.fromkeys(axis for axis, _ in results))
    figure, plots = plt.subplots(1, len(axes), figsize=(4 * len(axes), 3.5), constrained_layout=True)
    for plot, axis in zip(plots, axes):
        for (of, case), (sizes, seconds) in results.items():
            if of == axis:
                plot.plot(sizes, np.array(seconds) * 1e6, "o" if case == "planes" else "o-", label=case)
        plot.set(xlabel=axis, ylabel="microseconds", xlim=(0, None), ylim=(0, None))
        plot.legend()
    figure.savefig(path, dpi=100)


def main():
    parser = common.argument_parser(__doc__.split("\n")[0])
    parser.add_argument("--plot", metavar="PATH", help="draw how time grows into this PNG")
    options = parser.parse_args()
    rounds = 7 if options.quick else 31
    rows = common.Rows()
    library = kernel_api.load(FOLDER)
    common.print_header(["numpy"])
    matrix, vector = SHAPES
    if library.HasKernels(b"avx512"):
        compare(library, "avx512", matrix, MATRIX, rounds, rows)
        compare(library, "avx512", vector, VECTOR, rounds, rows)
    for isa in ("avx512bw", "avxvnni", "avx2"):
        if library.HasKernels(isa.encode()):
            first = (*MATRIX[0][:3], AVX2_ONE_BIT if isa == "avx2" else None)
            compare(library, isa, matrix, [first, *((*case[:3], None) for case in MATRIX[1:])], rounds, rows)
    if options.plot:
        isa = [name for name in kernel_api.ISAS if library.HasKernels(name.encode())][-1]
        results = growth(library, isa, rounds)
        add_growth(results, rows)
        draw(results, options.plot)
    rows.finish(options.json)


if __name__ == "__main__":
    main()
