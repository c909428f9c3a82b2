#include "kernels/bits.h"
#include "kernels/portable/kernels.h"
#include "kernels/tiles.h"

namespace keras_ste {
namespace portable {
namespace {

template <int32_t kMeeting>
inline uint32_t Meet(uint32_t a, const uint32_t* w) {
  if constexpr (kMeeting == kXor) return w[0] ^ a;
  if constexpr (kMeeting == kAnd) return w[0] & a;
  return (w[kBlock] ^ a) & w[0];
}

template <int32_t kMeeting, int32_t kRows>
void Block(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights, int32_t coefficient,
           const int32_t* const* start, int32_t first_lane, int32_t* sums) {
  uint32_t count[kRows][kBlock] = {};
  for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
    for (int32_t i = 0; i < words; ++i, weights += kMeeting == kMaskedXor ? 2 * kBlock : kBlock) {
      for (int32_t r = 0; r < kRows; ++r) {
        const uint32_t a = inputs[r][i];
        for (int32_t lane = 0; lane < kBlock; ++lane) count[r][lane] += CountBits(Meet<kMeeting>(a, weights + lane));
      }
    }
  }
  for (int32_t r = 0; r < kRows; ++r) {
    for (int32_t lane = 0; lane < kBlock; ++lane) {
      const int32_t column = first_lane + lane;
      sums[r * kChunk + column] = start[r][column] + coefficient * static_cast<int32_t>(count[r][lane]);
    }
  }
}

template <int32_t kMeeting>
struct Planes {
  template <int32_t kBlocks, int32_t kRows>
  static void Run(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights,
                  int64_t block_stride, int32_t coefficient, const int32_t* const* start, int32_t* sums) {
    for (int32_t b = 0; b < kBlocks; ++b) {
      Block<kMeeting, kRows>(inputs, taps, words, weights + b * block_stride, coefficient, start, b * kBlock, sums);
    }
  }
};

}  // namespace

void FillPlaneDot(CodeKernels* table) {
  table->planedot_rows = kPlaneDotRows;
  FillTiles<Planes<kXor>, kPlaneDotRows>(table->planedot[kXor]);
  FillTiles<Planes<kAnd>, kPlaneDotRows>(table->planedot[kAnd]);
  FillTiles<Planes<kMaskedXor>, kPlaneDotRows>(table->planedot[kMaskedXor]);
}

}  // namespace portable
}  // namespace keras_ste
