"""Times what it is worth to bring the file's rows of weights into blocks when the interpreter allocates its tensors.

    python benchmarks/row_layout.py [--quick] [--json PATH]

Signs times signs on one thread: our kernel, which reads blocks of 16 outputs, against one for the rows as they lie in the file
(row_layout.cc; needs a C++ compiler and AVX-512 VPOPCNTDQ), and how many products the filling of the blocks takes.
Medians of alternating rounds.
"""

import ctypes
import os
import subprocess
import sys

import common
import kernels
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "tests"))
import kernel_api  # noqa: E402

BITS = (1, "bipolar")
MEASURABLY_FASTER = 1.1  # below it the blocks would not be worth a step of their own


def build():
    source = os.path.join(os.path.dirname(__file__), "row_layout.cc")
    target = kernels.FOLDER / "librow_layout.so"
    flags = ["-O3", "-std=c++17", "-shared", "-fPIC", "-mavx512f", "-mavx512vpopcntdq"]
    subprocess.run([os.environ.get("CXX", "g++"), *flags, source, "-o", target], check=True)
    return ctypes.CDLL(target)


def compare(library, rows_library, shape_name, rounds, rows):
    k, n, m = kernels.SHAPES[shape_name]
    rng = np.random.default_rng(0)
    filters, inputs = (kernel_api.random_numbers(rng, (count, k), *BITS) for count in (n, m))
    dense = kernel_api.Dense(library, "avx512", BITS, BITS, filters, "planes")
    in_blocks = dense.caller(inputs)
    packed_filters, packed_inputs = kernel_api.planes(filters, 1), kernel_api.planes(inputs, 1)
    sums = np.zeros((m, n), np.int32)

    def in_rows(repeats=1):
        rows_library.RowLayoutSums(*map(kernel_api.pointer, (packed_inputs, packed_filters)), m, n, k, repeats,
                                   kernel_api.pointer(sums))
        return sums

    def fill(repeats):
        for _ in range(repeats):
            library.DenseFillWeights(ctypes.byref(dense.arguments), kernel_api.pointer(packed_filters),
                                     kernel_api.pointer(dense.weights))

    np.testing.assert_array_equal(in_rows(), in_blocks())
    block, row, filling = kernels.seconds_of([in_blocks, in_rows, fill], rounds)
    print(f"{shape_name:<22}{1e6 * block:>11.1f}{1e6 * row:>11.1f}{row / block:>15.2f}{1e6 * filling:>12.1f}{filling / block:>18.1f}")
    rows.add(shape_name, "rows / blocks", row / block, at_least=MEASURABLY_FASTER)
    rows.add(shape_name, "filling / product", filling / block)


def main():
    options = common.argument_parser(__doc__.split("\n")[0]).parse_args()
    library = kernel_api.load(kernels.FOLDER)
    common.print_header(["numpy"])
    if not library.HasKernels(b"avx512"):
        sys.exit("this machine has no AVX-512 VPOPCNTDQ: nothing is measured")
    rows_library, rows = build(), common.Rows()
    print(f"{'us':<22}{'blocks':>11}{'rows':>11}{'rows / blocks':>15}{'filling':>12}{'filling / product':>18}")
    for shape_name in kernels.SHAPES:
        compare(library, rows_library, shape_name, 7 if options.quick else 31, rows)
    rows.finish(options.json)


if __name__ == "__main__":
    main()
