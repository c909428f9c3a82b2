"""Measures all ways of computing a product, and says where the table of choices (tflite_ops/kernels/choice.cc) is wrong.

    python benchmarks/tune.py [--quick] [--json PATH] [--isa NAME] [--k K] [--n N] [--m M]

By default a matrix product and a matrix-vector product. The table is printed first. It is wrong where another way is faster by
more than a twentieth.
"""

import os
import sys

import common
import kernels
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "tests"))
import kernel_api  # noqa: E402

WEIGHTS = [(1, "bipolar"), (2, "ternary"), (2, "signed"), (3, "signed"), (4, "signed"), (8, "signed")]
INPUTS = [(bits, "unsigned") for bits in (1, 2, 3, 4, 5, 6)]
MOST_PAIRS = 8  # beyond, planes are tried by no one
TOLERANCE = 1.05


def print_table(library):
    print(f"\n{'kernels':<12}{'rows up to':>12}{'planes up to W x A':>20}{'ternary':>9}")
    for name, most_rows, pairs, ternary in kernel_api.choice_table(library):
        print(f"{name:<12}{most_rows if most_rows < 2**31 - 1 else 'any':>12}{pairs:>20}{ternary:>9}")


def tune(library, isa, shape, rounds, rows):
    """One line for each pair of widths: the time of both ways, and whether the table picks the faster one."""
    k, n, m = shape
    print(f"\n{isa}, {k}x{n}, {m} rows: microseconds")
    print(f"{'case':<14}{'planes':>9}{'bytes':>9}  table")
    for weights in WEIGHTS:
        for inputs in INPUTS:
            pairs = (1 if weights[1] == "ternary" else weights[0]) * inputs[0]
            if pairs > MOST_PAIRS:
                continue
            cases = [(weights, inputs, product) for product in kernel_api.PRODUCTS[:2]]
            calls = [kernels.prepare(library, isa, case, shape) for case in cases]
            times = dict(zip(kernel_api.PRODUCTS, kernels.seconds_of(calls, rounds, repeats=1)))
            zeros = np.zeros((1, k), np.int64)
            choice = kernel_api.Dense(library, isa, weights, inputs, zeros, "bytes").choice(m)
            loss = times[choice] / min(times.values())
            verdict = f"WRONG by {loss:.2f}" if loss > TOLERANCE else ""
            name = kernels.name_of(cases[0])
            print(f"{name:<14}{times['planes'] * 1e6:>9.1f}{times['bytes'] * 1e6:>9.1f}  {choice:<7}{verdict}")
            rows.add(f"{isa}, {k}x{n}, {m} rows, {name}", "time of the table's choice / best", loss, at_most=TOLERANCE)


def main():
    parser = common.argument_parser(__doc__.split("\n")[0])
    parser.add_argument("--isa", choices=kernel_api.ALL_ISAS, help="this instruction set only")
    for size in ("k", "n", "m"):
        parser.add_argument(f"--{size}", type=int, help=f"the product's {size}")
    options = parser.parse_args()
    rounds = 5 if options.quick else 15
    rows = common.Rows()
    library = kernel_api.load(kernels.FOLDER)
    common.print_header(["numpy"])
    print_table(library)
    shapes = list(kernels.SHAPES.values())
    if options.k or options.n or options.m:
        shapes = [tuple(given or usual for given, usual in zip((options.k, options.n, options.m), shapes[0]))]
    for isa in [options.isa] if options.isa else kernel_api.ALL_ISAS:
        if not library.HasKernels(isa.encode()):
            print(f"\nthis machine has no {isa}")
            continue
        for shape in shapes:
            tune(library, isa, shape, rounds, rows)
    rows.finish(options.json)


if __name__ == "__main__":
    main()
