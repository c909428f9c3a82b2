#include "kernels/average_pool.h"

#include <string.h>

#include "kernels/bit_planes.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace {

constexpr int32_t kLanes = 32;  // channels stored together
constexpr int32_t kGroup = 4;   // words counted together: what every vector holds

// The places of one window that lie inside the image.
struct Window {
  const void* image;
  TapRange rows, columns;
  int32_t top, left;
};

// Whose outputs are stored together. Boards have little room on their stacks.
#if defined(KERAS_STE_DIRECT_ONLY)
constexpr int32_t kMostWindows = 1;
#else
constexpr int32_t kMostWindows = kMaxTileRows;
#endif
struct Windows {
  int32_t count;
  Window at[kMostWindows];
  int64_t pixels[kMostWindows];  // the numbers of their outputs
};

int32_t Places(const Window& w) { return (w.rows.end - w.rows.begin) * (w.columns.end - w.columns.begin); }

// Calls visit(pixel) for each place, `pixel` counted in the image.
template <typename Visit>
void EveryPlace(const AveragePool& p, const Window& w, const Visit& visit) {
  for (int32_t ky = w.rows.begin; ky < w.rows.end; ++ky) {
    const int64_t row = (w.top + ky) * static_cast<int64_t>(p.w.in) + w.left;
    for (int32_t kx = w.columns.begin; kx < w.columns.end; ++kx) visit(row + kx);
  }
}

// Counters of 8 bits for kWords * 32 channels, bit by bit: a lane of plane b is bit b of its counter. What arrives at a
// plane waits for what comes next, and both are added to the plane at once; so each place costs about one addition of
// three bits.
template <int32_t kWords>
class Counters {
 public:
  void Add(const uint32_t* words) {
    uint32_t carry[kWords];
    for (int32_t i = 0; i < kWords; ++i) carry[i] = words[i];
    int32_t b = 0;
    for (++added_; (added_ >> b & 1) == 0; ++b) {
      for (int32_t i = 0; i < kWords; ++i) {
        const uint32_t both = waiting_[b][i] ^ carry[i], one = planes_[b][i];
        planes_[b][i] = one ^ both;
        carry[i] = (waiting_[b][i] & carry[i]) | (one & both);
      }
    }
    for (int32_t i = 0; i < kWords; ++i) waiting_[b][i] = carry[i];
  }
  bool Full() const { return added_ == 255; }

  // Adds what has been counted, times 2^shift and negated or not, and counts anew.
  void Empty(int32_t shift, bool negative, int32_t* sums) {
    const int32_t sign = negative ? -1 : 0;
    for (int32_t i = 0; i < kWords; ++i, sums += kLanes) {
      uint8_t counts[kLanes];
      CodesOfPlanes(Settle(i), 1, 8, counts);
      for (int32_t lane = 0; lane < kLanes; ++lane) sums[lane] += ((counts[lane] << shift) ^ sign) - sign;
    }
    *this = Counters();
  }

 private:
  // Adds what waits to the planes of one word, in `settled_`.
  const uint32_t* Settle(int32_t word) {
    for (int32_t b = 0; b < 8; ++b) settled_[b] = planes_[b][word];
    for (int32_t b = 0; added_ >> b != 0; ++b) {
      uint32_t carry = (added_ >> b & 1) != 0 ? waiting_[b][word] : 0u;
      for (int32_t above = b; above < 8 && carry != 0; ++above) {
        const uint32_t next = settled_[above] & carry;
        settled_[above] ^= carry;
        carry = next;
      }
    }
    return settled_;
  }

  uint32_t planes_[8][kWords] = {}, waiting_[8][kWords] = {}, settled_[8] = {};
  int32_t added_ = 0;
};

// The sums of kWords * 32 channels.
template <int32_t kWords>
void SumCodes(const AveragePool& p, const Window& w, int32_t channel, int32_t* sums) {
  const Codes& codes = p.input.codes;
  const bool bipolar = codes.encoding == Encoding::kBipolar;
  const int32_t least = bipolar ? -((1 << codes.bits) - 1) : 0;
  for (int32_t i = 0; i < kWords * kLanes; ++i) sums[i] = Places(w) * (least - p.input.zero_point);
  const int64_t pixel_words = PixelElements(p.input);
  for (int32_t b = 0; b < codes.bits; ++b) {
    const uint32_t* plane = static_cast<const uint32_t*>(w.image) + b * WordsOf(p.input.channels) + channel / 32;
    const int32_t shift = bipolar ? b + 1 : b;
    const bool negative = PlaneWorth(codes, b) < 0;
    Counters<kWords> counters;
    EveryPlace(p, w, [&](int64_t pixel) {
      counters.Add(plane + pixel * pixel_words);
      if (counters.Full()) counters.Empty(shift, negative, sums);
    });
    counters.Empty(shift, negative, sums);
  }
}

template <typename Byte>
void SumBytes(const AveragePool& p, const Window& w, int32_t channel, int32_t count, int32_t* sums) {
  for (int32_t i = 0; i < kGroup * kLanes; ++i) sums[i] = -Places(w) * p.input.zero_point;
  EveryPlace(p, w, [&](int64_t pixel) {
    const Byte* bytes = static_cast<const Byte*>(w.image) + pixel * p.input.channels + channel;
    for (int32_t i = 0; i < count; ++i) sums[i] += bytes[i];
  });
}

// Of kCount channels, in the order of the places.
template <int32_t kCount>
void SumLanes(const AveragePool& p, const Window& w, int32_t channel, float* sums) {
  float lanes[kCount];  // which the input is not
  for (int32_t i = 0; i < kCount; ++i) lanes[i] = 0.0f;
  EveryPlace(p, w, [&](int64_t pixel) {
    const float* x = static_cast<const float*>(w.image) + pixel * p.input.channels + channel;
    for (int32_t i = 0; i < kCount; ++i) lanes[i] = Scalar(lanes[i] + x[i]);
  });
  memcpy(sums, lanes, sizeof(lanes));
}

// Of 32 channels at most, by numbers of channels that compilers know; of the others there are zeros.
void SumFloats(const AveragePool& p, const Window& w, int32_t channel, int32_t count, float* sums) {
  if (count == kLanes) return SumLanes<kLanes>(p, w, channel, sums);
  memset(sums, 0, kLanes * sizeof(float));
  int32_t i = 0;
  for (; i + 8 <= count; i += 8) SumLanes<8>(p, w, channel + i, sums + i);
  for (; i < count; ++i) SumLanes<1>(p, w, channel + i, sums + i);
}

// Sums up to kGroup * 32 channels; returns for how many there is room from the channel on.
int32_t SumWindow(const AveragePool& p, const Window& w, int32_t channel, int32_t* sums) {
  const int32_t left = p.input.channels - channel;
  if (p.input.kind == InputKind::kPacked) {
    if (WordsOf(left) < kGroup) {
      SumCodes<1>(p, w, channel, sums);
      return kLanes;
    }
    SumCodes<kGroup>(p, w, channel, sums);
    return kGroup * kLanes;
  }
  const int32_t count = left < kGroup * kLanes ? left : kGroup * kLanes;
  if (p.input.kind == InputKind::kInt8) {
    SumBytes<int8_t>(p, w, channel, count, sums);
  } else {
    SumBytes<uint8_t>(p, w, channel, count, sums);
  }
  return kGroup * kLanes;
}

// What becomes of the sums of some windows: sums[window * kLanes + lane].
template <typename Sum>
void StoreSums(const AveragePool& p, const Windows& w, const OutputPlan& plan,
               const Sum* sums, int32_t channel) {
  const int32_t left = p.input.channels - channel;
  const int32_t count = left < kLanes ? left : kLanes;
  if (p.outputs.kind == OutputKind::kInt32) {
    StoreChunk(plan, sums, nullptr, w.count, channel, count, w.pixels);
    return;
  }
  float averages[kMostWindows * kLanes];
  for (int32_t r = 0; r < w.count; ++r) {
    const float places = static_cast<float>(Places(w.at[r]));
    for (int32_t i = r * kLanes; i < (r + 1) * kLanes; ++i) averages[i] = Scalar(static_cast<float>(sums[i]) / places);
  }
  StoreChunk(plan, averages, nullptr, w.count, channel, count, w.pixels);
}

void PoolFloats(const AveragePool& p, const Windows& w, const OutputPlan& plan) {
  float sums[kMostWindows * kLanes];
  for (int32_t channel = 0; channel < p.input.channels; channel += kLanes) {
    const int32_t left = p.input.channels - channel;
    for (int32_t r = 0; r < w.count; ++r) SumFloats(p, w.at[r], channel, left < kLanes ? left : kLanes, sums + r * kLanes);
    StoreSums(p, w, plan, sums, channel);
  }
}

// Of one window: of many channels at once.
void PoolIntegers(const AveragePool& p, const Windows& w, const OutputPlan& plan) {
  int32_t sums[kGroup * kLanes];
  for (int32_t first = 0; first < p.input.channels;) {
    const int32_t end = first + SumWindow(p, w.at[0], first, sums);
    for (int32_t channel = first; channel < end && channel < p.input.channels; channel += kLanes) {
      StoreSums(p, w, plan, sums + (channel - first), channel);
    }
    first = end;
  }
}

}  // namespace

void AveragePoolRows(const AveragePool& p, const void* input, const OutputKernels& kernels,
                     const OutputTensors& tensors, int32_t begin, int32_t end) {
  const OutputPlan plan = PlanOutputs(p.outputs, kernels, tensors, true);
  const int64_t image_bytes = PixelBytes(p.input) * p.h.in * p.w.in;
  const bool floats = p.input.kind == InputKind::kFloat32;
  const int32_t most = floats ? kMostWindows : 1;
  for (int32_t row = begin; row < end; ++row) {
    const int32_t y = row % p.h.out;
    Window window = {static_cast<const char*>(input) + row / p.h.out * image_bytes, TapsInside(p.h, y), {0, 0},
                     y * p.h.stride - p.h.before, 0};
    Windows w = {};
    for (int32_t x = 0; x < p.w.out; ++x) {
      window.columns = TapsInside(p.w, x);
      window.left = x * p.w.stride - p.w.before;
      w.at[w.count] = window;
      w.pixels[w.count++] = static_cast<int64_t>(row) * p.w.out + x;
      if (w.count < most && x + 1 < p.w.out) continue;
      (floats ? PoolFloats : PoolIntegers)(p, w, plan);
      w.count = 0;
    }
  }
}

}  // namespace keras_ste
