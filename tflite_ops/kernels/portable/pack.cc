#include "kernels/bits.h"
#include "kernels/pack_loops.h"
#include "kernels/portable/kernels.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace portable {

void PackSigns(const float* x, int64_t n, uint32_t* words) {
  for (int64_t i = 0; i < n; i += 32, ++words) {
    uint32_t bits = 0;
    for (int64_t j = 0; j < 32 && i + j < n; ++j) bits |= ScalarBit(x[i + j] >= 0.0f) << j;
    *words = bits;
  }
}

namespace {

void PackPlanes(const int8_t* codes, int32_t n, int32_t bits, uint32_t* planes) {
  const int32_t words = WordsOf(n);
  for (int32_t i = 0; i < words; ++i, ++planes) {
    const int32_t left = n - 32 * i < 32 ? n - 32 * i : 32;
    for (int32_t p = 0; p < bits; ++p) {
      uint32_t word = 0;
      for (int32_t j = 0; j < left; ++j) word |= ((static_cast<uint32_t>(codes[32 * i + j]) >> p) & 1u) << j;
      planes[static_cast<int64_t>(p) * words] = word;
    }
  }
}

int32_t UnpackPixel(const uint32_t* planes, int64_t words, int32_t n, int32_t bits, int8_t start, const int8_t* worth,
                    int8_t* bytes) {
  return UnpackLoop(planes, words, n, bits, start, worth, bytes);
}

int32_t FlipBytes(const int8_t* codes, int32_t n, int8_t flip, int8_t* bytes) {
  return FlipLoop(codes, n, flip, bytes);
}

float QuantizeRow(const float* x, int32_t n, float limit, float least, int8_t* codes) {
  return QuantizeLoop(x, n, limit, least, codes);
}

}  // namespace

void FillRows(CodeKernels* table) {
  table->pack_planes = PackPlanes;
  table->unpack_planes = UnpackPixels<UnpackPixel>;
  table->flip_bytes = FlipBytes;
  table->quantize_row = QuantizeRow;
}

}  // namespace portable
}  // namespace keras_ste
