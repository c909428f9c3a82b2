// The kernels as C functions, for tests and benchmarks: tests/kernel_api.py loads them with ctypes. Each names the
// instruction set in its first argument. What the caller passes is taken as right.
#include <string.h>

#include <type_traits>
#include <vector>

#include "kernels/bits.h"
#include "kernels/choice.h"
#include "kernels/code_kernels.h"
#include "kernels/outputs.h"
#include "kernels/product.h"

#if defined(KERAS_STE_X86)
namespace keras_ste::x86 {
void FillByteDotAvxVnniByAvx512(CodeKernels* table);
}
#endif

#define API extern "C" __attribute__((visibility("default")))

namespace {

using namespace keras_ste;

// Also a struct of ctypes.
struct DenseArguments {
  int32_t weight_bits, weight_encoding, input_bits, input_encoding, k, n, zero_point, way;
};

// A matrix of weights, [n][k], times rows of inputs.
Product ProductOf(const DenseArguments& a) {
  Product p = {};
  p.way = static_cast<Way>(a.way);
  p.weights = {a.weight_bits, static_cast<Encoding>(a.weight_encoding)};
  p.inputs = {a.input_bits, static_cast<Encoding>(a.input_encoding)};
  p.zero_point = a.zero_point;
  p.taps = 1;
  p.count = a.k;
  p.words = WordsOf(a.k);
  p.outputs = a.n;
  return p;
}

// Its rows are laid out as codes.h has it.
Filter FilterOf(const Product& p, const uint32_t* words) {
  return {{words, false, p.weights.bits, p.count, 0, p.words}, 0, 1, true, 1, 1, 0, 0};
}

// AVX-VNNI's kernels with its instructions in the encoding of AVX-512, for tests only. Null where the machine does not
// have those.
#if defined(KERAS_STE_X86)
const KernelTable* AvxVnniByAvx512() {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512vnni")) return nullptr;
  static const CodeKernels codes = [] {
    CodeKernels t = *Avx2Kernels()->codes;
    t.name = "avxvnni";
    x86::FillByteDotAvxVnniByAvx512(&t);
    return t;
  }();
  static const KernelTable table = [] {
    KernelTable t = *Avx2Kernels();
    t.codes = &codes;
    return t;
  }();
  return &table;
}
#else
const KernelTable* AvxVnniByAvx512() { return nullptr; }
#endif

const KernelTable* TableCalled(const char* name) {
  return strcmp(name, "avxvnni_by_avx512") == 0 ? AvxVnniByAvx512() : ChooseKernels(name);
}
const CodeKernels* KernelsCalled(const char* name) {
  const KernelTable* table = TableCalled(name);
  return table == nullptr ? nullptr : table->codes;
}

// A row as the kernels read it: planes, or what the sum of its bytes adds to all sums, and the bytes.
size_t RowBytes(const Product& p) {
  if (p.way == Way::kPlanes) {
    return sizeof(uint32_t) * static_cast<size_t>(p.inputs.bits) * static_cast<size_t>(p.words);
  }
  return AlignedBytes(sizeof(int32_t) + static_cast<size_t>(p.count) + kByteSlack);
}

int32_t* StartAt(const Product& p, void* weights) {
  return reinterpret_cast<int32_t*>(static_cast<char*>(weights) + WeightsBytes(p));
}

// Calls sums(first, count, chunk, out) for every tile of so many rows, and puts the sums where they belong.
template <typename Sum, typename Sums>
void EveryTile(const Product& p, int32_t tile, int32_t m, Sum* out, const Sums& sums) {
  for (int32_t first = 0; first < m; first += tile) {
    const int32_t count = m - first < tile ? m - first : tile;
    for (int32_t chunk = 0; chunk < Chunks(p); ++chunk) {
      alignas(64) Sum values[kMaxTileRows * kChunk];
      sums(first, count, chunk, values);
      const int32_t left = p.outputs - chunk * kChunk;
      Sum* to = out + static_cast<int64_t>(first) * p.outputs + chunk * kChunk;
      for (int32_t r = 0; r < count; ++r, to += p.outputs) {
        if (left >= kChunk) {
          memcpy(to, values + r * kChunk, kChunk * sizeof(Sum));  // of a size that compilers know: it is timed, too
        } else {
          memcpy(to, values + r * kChunk, static_cast<size_t>(left) * sizeof(Sum));
        }
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
  OutputTensors tensors = {};
  tensors.thresholds = thresholds;
  tensors.output = planes;
  const int64_t pixel = 0;
  const OutputPlan plan = PlanOutputs(outputs, TableCalled(name)->output, tensors, std::is_same<Sum, float>::value);
  StoreChunk(plan, sums, nullptr, 1, 0, kChunk, &pixel);
}

}  // namespace

// Takes n cycles of the processor, a multiple of 8: each addition waits for the one before. What it is timed for.
API uint64_t TakeCycles(int64_t n) {
  uint64_t x = 0;
  for (int64_t i = 0; i < n; i += 8) {
#pragma GCC unroll 8
    for (int32_t j = 0; j < 8; ++j) {
      x += 1;
      asm volatile("" : "+r"(x));  // compilers do not look into it
    }
  }
  return x;
}

API int32_t HasKernels(const char* name) { return KernelsCalled(name) != nullptr; }

API int32_t DenseIsValid(const DenseArguments* a) {
  const Product p = ProductOf(*a);
  return ValidCodes(p.weights) && ValidCodes(p.inputs) && SumsFit(p.weights, p.inputs, p.zero_point, p.count) &&
         PartsFit(p.way, p.weights, p.inputs, p.zero_point, p.count);
}

// The weights, and the starting sums behind them.
API int64_t DenseWeightsSize(const DenseArguments* a) {
  const Product p = ProductOf(*a);
  return static_cast<int64_t>(WeightsBytes(p) + sizeof(int32_t) * static_cast<size_t>(Chunks(p) * kChunk));
}
API int64_t DenseRowSize(const DenseArguments* a) { return static_cast<int64_t>(RowBytes(ProductOf(*a))); }

API void DenseFillWeights(const DenseArguments* a, const uint32_t* filter, void* weights) {
  const Product p = ProductOf(*a);
  FillWeights(p, FilterOf(p, filter), weights);
  int32_t* start = StartAt(p, weights);
  memset(start, 0, sizeof(int32_t) * static_cast<size_t>(Chunks(p) * kChunk));
  for (int32_t o = 0; o < p.outputs; ++o) start[o] = StartOf(p, TotalsOf(p, FilterOf(p, filter), o));
}

// From one byte a code, unsigned or in two's complement.
API void DenseFillRows(const char* name, const DenseArguments* a, const int8_t* codes, int32_t m, void* rows) {
  const Product p = ProductOf(*a);
  const CodeKernels& kernels = *KernelsCalled(name);
  const InputBytes bytes = InputBytesOf(p.inputs);
  std::vector<uint32_t> planes(static_cast<size_t>(p.words * p.inputs.bits));
  char* row = static_cast<char*>(rows);
  for (int32_t r = 0; r < m; ++r, codes += p.count, row += RowBytes(p)) {
    kernels.pack_planes(codes, p.count, p.inputs.bits, planes.data());
    if (p.way == Way::kPlanes) {
      memcpy(row, planes.data(), planes.size() * sizeof(uint32_t));
      continue;
    }
    int32_t sum = 0;
    kernels.unpack_planes(planes.data(), 1, p.count, p.inputs.bits, bytes.start, bytes.worth,
                          reinterpret_cast<int8_t*>(row) + sizeof(int32_t), &sum);
    const int32_t start = ByteSumFactor(p) * sum;
    memcpy(row, &start, sizeof(start));
  }
}

// The sums of all rows, `repeats` times over, so that what a call costs does not count where it is timed.
API void DenseRun(const char* name, const DenseArguments* a, void* weights, const char* rows, int32_t m,
                  int32_t repeats, int32_t* out) {
  const Product p = ProductOf(*a);
  const KernelTable& kernels = *TableCalled(name);
  const Plan plan = PlanOf(p, kernels);
  const int32_t* start = StartAt(p, weights);
  const size_t row_bytes = RowBytes(p);
  const auto planes = [&](int32_t first, int32_t count, int32_t chunk, int32_t* sums) {
    const uint32_t* inputs[8 * kMaxTileRows];
    const int32_t* starts[kMaxTileRows];
    for (int32_t r = 0; r < count; ++r) {
      starts[r] = start + chunk * kChunk;
      for (int32_t i = 0; i < p.inputs.bits; ++i) {
        inputs[i * count + r] = reinterpret_cast<const uint32_t*>(rows + (first + r) * row_bytes) + i * p.words;
      }
    }
    PlaneSums(plan, weights, inputs, count, chunk, starts, sums);
  };
  const auto bytes = [&](int32_t first, int32_t count, int32_t chunk, int32_t* sums) {
    const int8_t* inputs[kMaxTileRows];
    int32_t row_start[kMaxTileRows];
    for (int32_t r = 0; r < count; ++r) {
      memcpy(row_start + r, rows + (first + r) * row_bytes, sizeof(int32_t));
      inputs[r] = reinterpret_cast<const int8_t*>(rows + (first + r) * row_bytes) + sizeof(int32_t);
    }
    ByteSums(plan, weights, inputs, count, chunk, start + chunk * kChunk, row_start, sums);
  };
  for (int32_t i = 0; i < repeats; ++i) {
    if (p.way == Way::kPlanes) {
      EveryTile(p, TileRows(p, kernels), m, out, planes);
    } else {
      EveryTile(p, TileRows(p, kernels), m, out, bytes);
    }
  }
}

API void DenseRunFloats(const char* name, const DenseArguments* a, const void* weights, const float* rows, int32_t m,
                        int32_t repeats, float* out) {
  const Product p = ProductOf(*a);
  const KernelTable& kernels = *TableCalled(name);
  const Plan plan = PlanOf(p, kernels);
  for (int32_t i = 0; i < repeats; ++i) {
    EveryTile(p, TileRows(p, kernels), m, out, [&](int32_t first, int32_t count, int32_t chunk, float* sums) {
      const float* tile[kMaxTileRows];
      for (int32_t r = 0; r < count; ++r) tile[r] = rows + static_cast<int64_t>(first + r) * p.count;
      FloatSums(plan, weights, tile, count, chunk, sums);
    });
  }
}

// Which way the table picks for so many rows; `a->way` does not matter.
API int32_t DenseChoice(const char* name, const DenseArguments* a, int32_t rows) {
  const Product p = ProductOf(*a);
  return static_cast<int32_t>(ChooseWay(*KernelsCalled(name), p.weights, p.inputs, rows));
}

// Line i of the table as most_rows, most_pairs, most_ternary_pairs; returns its kernels' name, or null behind the last
// line.
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

// For n <= 32 sums, of 32 that can be read.
API void ScaleSums(const char* name, const int32_t* sums, const float* multiplier, const float* bias, float low,
                   float high, int32_t n, float* out) {
  Outputs outputs = {};
  outputs.kind = OutputKind::kFloat32;
  outputs.channels = n;
  outputs.activation_min = low;
  outputs.activation_max = high;
  OutputTensors tensors = {};
  tensors.multiplier = multiplier;
  tensors.bias = bias;
  tensors.output = out;
  const int64_t pixel = 0;
  StoreChunk(PlanOutputs(outputs, TableCalled(name)->output, tensors, false), sums, nullptr, 1, 0, n, &pixel);
}

API void RequantizeInt8(const char* name, const int32_t* sums, const int32_t* multipliers, const int32_t* shifts,
                        int32_t zero_point, int32_t low, int32_t high, int32_t n, int8_t* out) {
  TableCalled(name)->output.requantize_int8(sums, 1, {nullptr, multipliers, shifts, zero_point, low, high}, n, &out);
}

API void RequantizeInt16(const char* name, const int32_t* sums, const int32_t* multipliers, const int32_t* shifts,
                         int32_t zero_point, int32_t low, int32_t high, int32_t n, int16_t* out) {
  TableCalled(name)->output.requantize_int16(sums, 1, {nullptr, multipliers, shifts, zero_point, low, high}, n, &out);
}

// For 32 sums.
API void CodesOfInts(const char* name, const int32_t* sums, const int32_t* thresholds, int32_t bits, uint32_t* planes) {
  Codes32(name, sums, thresholds, bits, planes);
}

API void CodesOfFloats(const char* name, const float* sums, const float* thresholds, int32_t bits, uint32_t* planes) {
  Codes32(name, sums, thresholds, bits, planes);
}
