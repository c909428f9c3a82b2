"""The kernels of the native library called from Python, and what their codes are worth."""

import ctypes

import native_build
import numpy as np

ENCODINGS = ["bipolar", "unsigned", "signed", "ternary"]
PRODUCTS = ["planes", "bytes", "floats"]
CODES = [(bits, encoding) for encoding in ENCODINGS[:3] for bits in range(1, 9)] + [(2, "ternary")]
ISAS = ["portable", "avx2", "avx512"]


def load(folder):
    """Builds the kernels in a folder, and returns them as functions."""
    library = ctypes.CDLL(native_build.build(folder, ["kernel_api"]) / "libkernel_api.so")
    library.DenseWeightsSize.restype = library.DenseRowSize.restype = ctypes.c_int64
    library.QuantizeRow.restype = ctypes.c_float
    library.ChoiceLine.restype = ctypes.c_char_p
    return library


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


def aligned(size, alignment=64):
    """Bytes of a size at an address that is a multiple of the alignment, and not zero."""
    memory = np.full(size + alignment, 0x5A, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + size]


def random_numbers(rng, shape, bits, encoding):
    """The bits of random codes, as unsigned numbers."""
    numbers = rng.integers(0, 2**bits, shape, dtype=np.int64)
    return np.where(numbers == 2, 0, numbers) if encoding == "ternary" else numbers


def worth(numbers, bits, encoding):
    """What codes are worth whose bits, as unsigned numbers, are these."""
    if encoding == "bipolar":
        return 2 * numbers - (2**bits - 1)
    if encoding == "unsigned":
        return numbers
    return np.where(numbers >= 2 ** (bits - 1), numbers - 2**bits, numbers)


def as_bytes(numbers, bits, encoding):
    """The codes as the kernels take them: unsigned, or in two's complement."""
    values = worth(numbers, bits, encoding) if encoding in ("signed", "ternary") else numbers
    return np.ascontiguousarray(values.astype(np.uint8))


def planes(numbers, bits):
    """The planes of rows of codes: `[rows, k]` numbers to `[rows, bits, ceil(k / 32)]` words."""
    rows, k = numbers.shape
    spread = np.zeros((rows, bits, -(-k // 32) * 32), np.uint8)
    for plane in range(bits):
        spread[:, plane, :k] = (numbers >> plane) & 1
    return np.packbits(spread, axis=-1, bitorder="little").view(np.uint32)


class Arguments(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int32)
        for name in "weight_bits weight_encoding input_bits input_encoding k n zero_point way".split()
    ]


class Dense:
    """A product of a matrix of codes, `[n, k]`, with rows of codes or of floats."""

    def __init__(self, library, isa, weights, inputs, filter_numbers, product, zero_point=0):
        n, k = filter_numbers.shape
        self.library, self.isa, self.inputs = library, isa.encode(), inputs
        self.arguments = Arguments(
            weights[0], ENCODINGS.index(weights[1]), inputs[0], ENCODINGS.index(inputs[1]), k, n, zero_point,
            PRODUCTS.index(product),
        )
        self._about = ctypes.byref(self.arguments)
        if not library.DenseIsValid(self._about):
            raise ValueError(f"The kernels do not take {weights} x {inputs} with k={k}, zero point {zero_point}.")
        filters = planes(filter_numbers, weights[0])
        self.weights = aligned(library.DenseWeightsSize(self._about))
        library.DenseFillWeights(self._about, pointer(filters), pointer(self.weights))

    def caller(self, rows):
        """A function that computes the sums of these rows, floats or numbers of codes, as often as it is told."""
        rows = np.ascontiguousarray(rows)
        m = len(rows)
        floats = rows.dtype == np.float32
        function = self.library.DenseRunFloats if floats else self.library.DenseRun
        if not floats:
            codes = as_bytes(rows, *self.inputs)
            rows = aligned(m * self.library.DenseRowSize(self._about))
            self.library.DenseFillRows(self.isa, self._about, pointer(codes), m, pointer(rows))
        sums = np.zeros((m, self.arguments.n), np.float32 if floats else np.int32)

        def call(repeats=1):
            function(self.isa, self._about, pointer(self.weights), pointer(rows), m, repeats, pointer(sums))
            return sums

        return call

    def choice(self, rows):
        """What the table picks for so many rows."""
        return PRODUCTS[self.library.DenseChoice(self.isa, self._about, rows)]


def choice_table(library):
    """The lines of the table: kernels, most rows, most pairs of planes, the same for ternary weights."""
    lines = []
    numbers = (ctypes.c_int32 * 3)()
    while name := library.ChoiceLine(len(lines), numbers):
        lines.append((name.decode(), *numbers))
    return lines
