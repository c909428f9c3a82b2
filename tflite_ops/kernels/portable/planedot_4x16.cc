#include "kernels/bits.h"
#include "kernels/portable/kernels.h"

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

template <int32_t kMeeting, int32_t kBlocks, int32_t kRows>
void Run(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights, int64_t block_stride,
         int32_t coefficient, const int32_t* const* start, int32_t* sums) {
  for (int32_t b = 0; b < kBlocks; ++b) {
    Block<kMeeting, kRows>(inputs, taps, words, weights + b * block_stride, coefficient, start, b * kBlock, sums);
  }
}

template <int32_t kBlocks, int32_t kRows>
void RunBits(const uint32_t* const* inputs, int32_t taps, int32_t words, const uint32_t* weights, int64_t block_stride,
             const int32_t* const* start, int32_t* sums) {
  Run<kXor, kBlocks, kRows>(inputs, taps, words, weights, block_stride, -2, start, sums);
}

template <int32_t kBlocks>
void Fill(BitDot* by_rows) {
  by_rows[1] = RunBits<kBlocks, 1>;
  by_rows[2] = RunBits<kBlocks, 2>;
  by_rows[3] = RunBits<kBlocks, 3>;
  by_rows[4] = RunBits<kBlocks, 4>;
}

template <int32_t kMeeting, int32_t kBlocks>
void Fill(PlaneDot* by_rows) {
  by_rows[1] = Run<kMeeting, kBlocks, 1>;
  by_rows[2] = Run<kMeeting, kBlocks, 2>;
  by_rows[3] = Run<kMeeting, kBlocks, 3>;
  by_rows[4] = Run<kMeeting, kBlocks, 4>;
}

template <int32_t kMeeting>
void Fill(PlaneDot (*by_blocks)[kMaxTileRows + 1]) {
  Fill<kMeeting, 1>(by_blocks[0]);
  Fill<kMeeting, 2>(by_blocks[1]);
}

}  // namespace

void FillBitDot(KernelTable* table) {
  table->bitdot_rows = kBitDotRows;
  Fill<1>(table->bitdot[0]);
  Fill<2>(table->bitdot[1]);
}

void FillPlaneDot(CodeKernels* table) {
  table->planedot_rows = kBitDotRows;
  Fill<kXor>(table->planedot[kXor]);
  Fill<kAnd>(table->planedot[kAnd]);
  Fill<kMaskedXor>(table->planedot[kMaskedXor]);
}

}  // namespace portable
}  // namespace keras_ste
