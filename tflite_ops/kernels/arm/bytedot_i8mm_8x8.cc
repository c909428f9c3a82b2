// One pixel by USDOT, which multiplies unsigned weights by signed inputs as they are. Several pixels two by two: USMMLA adds to
// a vector the products of two pixels and two channels over eight inputs, twice what USDOT does. It wants the eight weights of a
// channel side by side, so those of two quarters of the inputs are zipped: 16 accumulators, 8 vectors of inputs.
#include "kernels/arm/bytedot_8x8.h"
#include "kernels/arm/kernels.h"

namespace keras_ste {
namespace arm {
namespace {

struct MixedDot {
  static constexpr bool kSigned = false;

  template <int32_t kQuarter>
  static void AddQuarter(uint8x16_t w, int8x16_t y, int32x4_t* sum) {
    asm volatile("usdot %0.4s, %1.16b, %2.4b[%3]" : "+w"(*sum) : "w"(w), "w"(y), "i"(kQuarter));
  }
  static void Add(uint8x16_t w, int8x16_t y, int32x4_t* sum) { *sum = vusdotq_s32(*sum, w, y); }
};

inline uint8x16_t ZipLow(uint8x16_t a, uint8x16_t b) {
  uint8x16_t v;
  asm volatile("zip1 %0.4s, %1.4s, %2.4s" : "=w"(v) : "w"(a), "w"(b));
  return v;
}

inline uint8x16_t ZipHigh(uint8x16_t a, uint8x16_t b) {
  uint8x16_t v;
  asm volatile("zip2 %0.4s, %1.4s, %2.4s" : "=w"(v) : "w"(a), "w"(b));
  return v;
}

inline void AddProducts(uint8x16_t w, int8x16_t y, int32x4_t* sum) {
  asm volatile("usmmla %0.4s, %1.16b, %2.16b" : "+w"(*sum) : "w"(w), "w"(y));
}

// The first `count` bytes, 4 or 8, and zeros.
template <int32_t kCount>
inline int8x8_t LoadFew(const int8_t* p) {
  uint64_t few = 0;
  __builtin_memcpy(&few, p, kCount);
  return vcreate_s8(few);
}

template <int32_t kBits, int32_t kRows>
struct Pairs {
  static constexpr int32_t kPairs = (kRows + 1) / 2;  // the last pixel is its own neighbour where their number is odd
  static constexpr int32_t kVectors = 2;
  static constexpr int32_t kPhases = 8 / kBits;
  static constexpr int32_t kQuarters = kPhases > 4 ? kPhases : 4;
  static constexpr int32_t kSteps = kQuarters / kPhases;

  const int8_t* in[2 * kPairs];
  int64_t offset;
  const uint32_t* weights;
  int32x4_t sum[kPairs][2 * kVectors];  // of two pixels by two channels, those of the first channel before the second's
  int8x16_t y[kPairs][2];               // eight inputs of both pixels, and the next eight
  uint8x16_t mask;

  template <int32_t kPhase>
  uint8x16_t Cut(uint8x16_t packed) const {
    if constexpr (kBits == 8) return packed;
    if constexpr (kPhase == 0) return Common(packed, mask);
    const uint8x16_t shifted = ShiftRight<kPhase * kBits % 8>(packed);
    return kPhase + 1 == kPhases ? shifted : Common(shifted, mask);
  }

  void LoadInputs() {
    for (int32_t p = 0; p < kPairs; ++p) {
      const int64x2_t a = vreinterpretq_s64_s8(LoadInput(in[2 * p], offset));
      const int64x2_t b = vreinterpretq_s64_s8(LoadInput(in[2 * p + 1], offset));
      y[p][0] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
      y[p][1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
    }
    offset += 16;
  }

  // Eight inputs, whose weights are two vectors of four.
  __attribute__((always_inline)) void AddHalf(int32_t half, int32_t v, uint8x16_t first, uint8x16_t second) {
    const uint8x16_t low = ZipLow(first, second), high = ZipHigh(first, second);
#pragma GCC unroll 4
    for (int32_t p = 0; p < kPairs; ++p) {
      AddProducts(low, y[p][half], &sum[p][2 * v]);
      AddProducts(high, y[p][half], &sum[p][2 * v + 1]);
    }
  }

  template <int32_t kAt>
  __attribute__((always_inline)) void Halves() {
    if constexpr (kAt < kQuarters) {
      if (kAt % 4 == 0) LoadInputs();
      const uint32_t* first = weights + kAt / kPhases * kBlock;
      const uint32_t* second = weights + (kAt + 1) / kPhases * kBlock;
#pragma GCC unroll 2
      for (int32_t v = 0; v < kVectors; ++v) {
        AddHalf(kAt / 2 % 2, v, Cut<kAt % kPhases>(LoadPacked(first + 4 * v)),
                Cut<(kAt + 1) % kPhases>(LoadPacked(second + 4 * v)));
      }
      Halves<kAt + 2>();
    }
  }

  // A word of weights that has less than 16 inputs: of four bits it has eight, of eight bits four.
  __attribute__((always_inline)) void AddStep() {
    constexpr int32_t kCount = 32 / kBits;
    if constexpr (kCount < 16) {
      for (int32_t p = 0; p < kPairs; ++p) {
        y[p][0] = vcombine_s8(LoadFew<kCount>(in[2 * p] + offset), LoadFew<kCount>(in[2 * p + 1] + offset));
      }
#pragma GCC unroll 2
      for (int32_t v = 0; v < kVectors; ++v) {
        const uint8x16_t packed = LoadPacked(weights + 4 * v);
        AddHalf(0, v, Cut<0>(packed), kBits == 8 ? vdupq_n_u8(0) : Cut<1>(packed));
      }
      offset += kCount;
      weights += kBlock;
    }
  }

  __attribute__((always_inline)) void Run(const int8_t* const* inputs, int32_t taps, int32_t steps) {
    mask = vdupq_n_u8((1 << kBits) - 1);
    for (int32_t p = 0; p < kPairs; ++p) {
      for (int32x4_t& s : sum[p]) s = vdupq_n_s32(0);
    }
    for (int32_t tap = 0; tap < taps; ++tap, inputs += kRows) {
      for (int32_t r = 0; r < 2 * kPairs; ++r) in[r] = inputs[r < kRows ? r : kRows - 1];
      offset = 0;
      int32_t left = steps;
      for (; left >= kSteps; left -= kSteps, weights += kSteps * kBlock) Halves<0>();
      for (; left > 0; --left) AddStep();
    }
  }
};

template <int32_t kBits, int32_t kBlocks, int32_t kRows>
void RunPairs(const int8_t* const* inputs, int32_t taps, int32_t steps, const uint32_t* weights, int64_t block_stride,
              int32_t shift, const int32_t* start, const int32_t* row_start, int32_t* sums) {
  constexpr int32_t kLanes = 8;
  for (int32_t lane = 0; lane < kBlocks * kBlock; lane += kLanes) {
    Pairs<kBits, kRows> tile;
    tile.weights = weights + lane / kBlock * block_stride + lane % kBlock;
    tile.Run(inputs, taps, steps);
#pragma GCC unroll 8
    for (int32_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int32_t v = 0; v < 2; ++v) {
        const int32x4_t first = tile.sum[r / 2][2 * v], second = tile.sum[r / 2][2 * v + 1];
        const int32x4_t of_row = r % 2 == 0 ? vuzp1q_s32(first, second) : vuzp2q_s32(first, second);
        StoreSums(of_row, shift, start + lane + 4 * v, row_start[r], sums + r * kChunk + lane + 4 * v);
      }
    }
  }
}

template <int32_t kBits, int32_t kBlocks>
void FillRows(ByteDot* by_rows) {
  by_rows[1] = ByteDot8x8<MixedDot, kBits>::template OneRow<kBlocks>;
  by_rows[2] = RunPairs<kBits, kBlocks, 2>;
  by_rows[3] = RunPairs<kBits, kBlocks, 3>;
  by_rows[4] = RunPairs<kBits, kBlocks, 4>;
  by_rows[5] = RunPairs<kBits, kBlocks, 5>;
  by_rows[6] = RunPairs<kBits, kBlocks, 6>;
  by_rows[7] = RunPairs<kBits, kBlocks, 7>;
  by_rows[8] = RunPairs<kBits, kBlocks, 8>;
}

template <int32_t kBits>
void FillWidth(ByteDot (*by_blocks)[kMaxTileRows + 1]) {
  FillRows<kBits, 1>(by_blocks[0]);
  FillRows<kBits, 2>(by_blocks[1]);
}

}  // namespace

void FillByteDotI8mm(CodeKernels* table) {
  table->bytedot_rows = 8;
  FillWidth<1>(table->bytedot[0]);
  FillWidth<2>(table->bytedot[1]);
  FillWidth<4>(table->bytedot[2]);
  FillWidth<8>(table->bytedot[3]);
}

}  // namespace arm
}  // namespace keras_ste
