// The kernels as C functions, for tests and benchmarks: tests/kernel_api.py loads them with ctypes. Each names the instruction
// set in its first argument. What the caller passes is taken as right.
#include <string.h>

#include "kernels/choice.h"
#include "kernels/dense.h"
#include "kernels/code_kernels.h"
#include "kernels/outputs.h"

#define API extern "C" __attribute__((visibility("default")))

namespace {

using namespace keras_ste;

// Also a struct of ctypes.
struct DenseArguments {
  int32_t weight_bits, weight_encoding, input_bits, input_encoding, k, n, zero_point, product;
};

Dense DenseOf(const DenseArguments& a) {
  return {{a.weight_bits, static_cast<Encoding>(a.weight_encoding)},
          {a.input_bits, static_cast<Encoding>(a.input_encoding)},
          a.k, a.n, a.zero_point, static_cast<Product>(a.product)};
}

const CodeKernels* KernelsCalled(const char* name) { return CodeKernelsOf(*ChooseKernels(name)); }

// Calls sums(first, count, chunk, out) for every tile, and puts the sums where they belong.
template <typename Sum, typename Sums>
void EveryTile(const Dense& d, const CodeKernels& kernels, int32_t m, Sum* out, const Sums& sums) {
  const int32_t tile = DenseTileRows(d, kernels);
  for (int32_t first = 0; first < m; first += tile) {
    const int32_t count = m - first < tile ? m - first : tile;
    for (int32_t chunk = 0; chunk < DenseChunks(d); ++chunk) {
      alignas(64) Sum values[kMaxTileRows * kChunk];
      sums(first, count, chunk, values);
      const int32_t left = d.n - chunk * kChunk < kChunk ? d.n - chunk * kChunk : kChunk;
      for (int32_t r = 0; r < count; ++r) {
        memcpy(out + static_cast<int64_t>(first + r) * d.n + chunk * kChunk, values + r * kChunk, left * sizeof(Sum));
      }
    }
  }
}

template <typename Sum>
void Codes32(const char* name, const Sum* sums, const Sum* thresholds, int32_t bits, uint32_t* planes) {
  Outputs outputs = {};
  outputs.kind = OutputKind::kPacked;
  outputs.codes = {bits, Encoding::kUnsigned};
  outputs.channels = kChunk;
  void* pixel = planes;
  StoreChunk(outputs, ChooseKernels(name)->output, {nullptr, nullptr, thresholds}, sums, nullptr, 1, 0, kChunk, &pixel);
}

}  // namespace

// Takes n cycles of the processor: each rotation waits for the one before. What it is timed for.
API uint64_t TakeCycles(int64_t n) {
  uint64_t x = 1;
  for (int64_t i = 0; i < n; ++i) {
    x = x << 1 | x >> 63;
    asm("" : "+r"(x));  // compilers do not look into it
  }
  return x;
}

API int32_t HasKernels(const char* name) { return ChooseKernels(name) != nullptr; }

API int32_t DenseIsValid(const DenseArguments* a) {
  const Dense d = DenseOf(*a);
  return ValidCodes(d.weights) && ValidCodes(d.inputs) && DenseFits(d);
}

API int64_t DenseWeightsSize(const DenseArguments* a) { return static_cast<int64_t>(DenseWeightsBytes(DenseOf(*a))); }
API int64_t DenseRowSize(const DenseArguments* a) { return static_cast<int64_t>(DenseRowBytes(DenseOf(*a))); }

API void DenseFillWeights(const DenseArguments* a, const uint32_t* filter, void* weights) {
  FillDenseWeights(DenseOf(*a), filter, weights);
}

API void DenseFillRows(const char* name, const DenseArguments* a, const int8_t* codes, int32_t m, void* rows) {
  const Dense d = DenseOf(*a);
  char* row = static_cast<char*>(rows);
  for (int32_t r = 0; r < m; ++r, codes += d.k, row += DenseRowBytes(d)) {
    FillDenseRow(d, *KernelsCalled(name), codes, row);
  }
}

// The sums of all rows, `repeats` times over, so that what a call costs does not count where it is timed.
API void DenseRun(const char* name, const DenseArguments* a, const void* weights, const void* rows, int32_t m,
                  int32_t repeats, int32_t* out) {
  const Dense d = DenseOf(*a);
  const CodeKernels& kernels = *KernelsCalled(name);
  const size_t row_bytes = DenseRowBytes(d);
  for (int32_t i = 0; i < repeats; ++i) {
    EveryTile(d, kernels, m, out, [&](int32_t first, int32_t count, int32_t chunk, int32_t* sums) {
      DenseSums(d, kernels, weights, static_cast<const char*>(rows) + first * row_bytes, count, chunk, sums);
    });
  }
}

API void DenseRunFloats(const char* name, const DenseArguments* a, const void* weights, const float* rows, int32_t m,
                        int32_t repeats, float* out) {
  const Dense d = DenseOf(*a);
  const CodeKernels& kernels = *KernelsCalled(name);
  for (int32_t i = 0; i < repeats; ++i) {
    EveryTile(d, kernels, m, out, [&](int32_t first, int32_t count, int32_t chunk, float* sums) {
      const float* tile[kMaxTileRows];
      for (int32_t r = 0; r < count; ++r) tile[r] = rows + static_cast<int64_t>(first + r) * d.k;
      DenseFloatSums(d, kernels, weights, tile, count, chunk, sums);
    });
  }
}

// Which product the table picks for so many rows; `a->product` does not matter.
API int32_t DenseChoice(const char* name, const DenseArguments* a, int32_t rows) {
  const Dense d = DenseOf(*a);
  return static_cast<int32_t>(ChooseProduct(*KernelsCalled(name), d.weights, d.inputs, rows));
}

// Line i of the table as most_rows, most_pairs, most_ternary_pairs; returns its kernels' name, or null behind the last line.
API const char* ChoiceLine(int32_t i, int32_t* numbers) {
  if (i >= kChoices) return nullptr;
  const Choice& c = kChoiceTable[i];
  numbers[0] = c.most_rows;
  numbers[1] = c.most_pairs;
  numbers[2] = c.most_ternary_pairs;
  return c.kernels;
}

API float QuantizeRow(const char* name, const float* x, int32_t n, float limit, float least, int8_t* codes) {
  return KernelsCalled(name)->quantize_row(x, n, limit, least, codes);
}

API void NearestVectors(const char* name, const float* rows, int32_t m, int32_t size, const float* vectors,
                        const float* norms, int32_t blocks, int32_t* nearest) {
  const CodeKernels& kernels = *KernelsCalled(name);
  for (int32_t first = 0; first < m; first += kernels.nearest_rows) {
    const int32_t count = m - first < kernels.nearest_rows ? m - first : kernels.nearest_rows;
    const float* tile[kMaxTileRows];
    for (int32_t r = 0; r < count; ++r) tile[r] = rows + static_cast<int64_t>(first + r) * size;
    kernels.nearest[count](tile, size, vectors, norms, blocks, nearest + first);
  }
}

// For n <= 32 sums.
API void ScaleSums(const char* name, const int32_t* sums, const float* multiplier, const float* bias, float low,
                   float high, int32_t n, float* out) {
  ChooseKernels(name)->output.scale_int32(sums, multiplier, bias, low, high, n, out);
}

API void RequantizeInt8(const char* name, const int32_t* sums, const int32_t* multipliers, const int32_t* shifts,
                        int32_t zero_point, int32_t low, int32_t high, int32_t n, int8_t* out) {
  ChooseKernels(name)->output.requantize_int8(sums, {multipliers, shifts, zero_point, low, high}, n, out);
}

API void RequantizeInt16(const char* name, const int32_t* sums, const int32_t* multipliers, const int32_t* shifts,
                         int32_t zero_point, int32_t low, int32_t high, int32_t n, int16_t* out) {
  ChooseKernels(name)->output.requantize_int16(sums, {multipliers, shifts, zero_point, low, high}, n, out);
}

// For 32 sums.
API void CodesOfInts(const char* name, const int32_t* sums, const int32_t* thresholds, int32_t bits, uint32_t* planes) {
  Codes32(name, sums, thresholds, bits, planes);
}

API void CodesOfFloats(const char* name, const float* sums, const float* thresholds, int32_t bits, uint32_t* planes) {
  Codes32(name, sums, thresholds, bits, planes);
}
