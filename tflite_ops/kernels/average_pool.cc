#include "kernels/average_pool.h"

#include "kernels/bit_planes.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace {

constexpr int32_t kLanes = 32;  // channels summed up together

// The places of one window that lie inside the image.
struct Window {
  const void* image;
  TapRange rows, columns;
  int32_t top, left;
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

// 32 counters of 8 bits, bit by bit: lane i of plane b is bit b of counter i.
class Counters {
 public:
  void Add(uint32_t lanes) {
    ++added_;
    for (int32_t b = 0; added_ >> b != 0; ++b) {
      const uint32_t carry = planes_[b] & lanes;
      planes_[b] ^= lanes;
      lanes = carry;
    }
  }
  bool Full() const { return added_ == 255; }

  // Adds what has been counted, times `worth`, and counts anew.
  void Empty(int32_t worth, int32_t* sums) {
    uint8_t counts[kLanes];
    CodesOfPlanes(planes_, 1, 8, counts);
    for (int32_t i = 0; i < kLanes; ++i) sums[i] += worth * counts[i];
    *this = Counters();
  }

 private:
  uint32_t planes_[8] = {};
  int32_t added_ = 0;
};

void SumCodes(const AveragePool& p, const Window& w, int32_t channel, int32_t* sums) {
  const Codes& codes = p.input.codes;
  const bool bipolar = codes.encoding == Encoding::kBipolar;
  const int32_t least = bipolar ? -((1 << codes.bits) - 1) : 0;
  for (int32_t i = 0; i < kLanes; ++i) sums[i] = Places(w) * (least - p.input.zero_point);
  const int64_t pixel_words = PixelElements(p.input);
  for (int32_t b = 0; b < codes.bits; ++b) {
    const uint32_t* plane = static_cast<const uint32_t*>(w.image) + b * WordsOf(p.input.channels) + channel / 32;
    const int32_t worth = (bipolar ? 2 : 1) * PlaneWorth(codes, b);
    Counters counters;
    EveryPlace(p, w, [&](int64_t pixel) {
      counters.Add(plane[pixel * pixel_words]);
      if (counters.Full()) counters.Empty(worth, sums);
    });
    counters.Empty(worth, sums);
  }
}

template <typename Byte>
void SumBytes(const AveragePool& p, const Window& w, int32_t channel, int32_t count, int32_t* sums) {
  for (int32_t i = 0; i < kLanes; ++i) sums[i] = -Places(w) * p.input.zero_point;
  EveryPlace(p, w, [&](int64_t pixel) {
    const Byte* bytes = static_cast<const Byte*>(w.image) + pixel * p.input.channels + channel;
    for (int32_t i = 0; i < count; ++i) sums[i] += bytes[i];
  });
}

void SumWindow(const AveragePool& p, const Window& w, int32_t channel, int32_t count, int32_t* sums) {
  if (p.input.kind == InputKind::kPacked) {
    SumCodes(p, w, channel, sums);
  } else if (p.input.kind == InputKind::kInt8) {
    SumBytes<int8_t>(p, w, channel, count, sums);
  } else {
    SumBytes<uint8_t>(p, w, channel, count, sums);
  }
}

void PoolPixel(const AveragePool& p, const Window& w, const OutputKernels& kernels, const OutputConstants& constants,
               void* pixel) {
  const float places = static_cast<float>(Places(w));
  for (int32_t channel = 0; channel < p.input.channels; channel += kLanes) {
    const int32_t left = p.input.channels - channel;
    const int32_t count = left < kLanes ? left : kLanes;
    int32_t sums[kLanes];
    SumWindow(p, w, channel, count, sums);
    if (p.outputs.kind == OutputKind::kInt32) {
      StoreChunk(p.outputs, kernels, constants, sums, nullptr, 1, channel, count, &pixel);
      continue;
    }
    float averages[kLanes] = {};
    for (int32_t i = 0; i < count; ++i) averages[i] = Scalar(static_cast<float>(sums[i]) / places);
    StoreChunk(p.outputs, kernels, constants, averages, nullptr, 1, channel, count, &pixel);
  }
}

}  // namespace

void AveragePoolRows(const AveragePool& p, const void* input, const OutputKernels& kernels,
                     const OutputConstants& constants, void* output, int32_t begin, int32_t end) {
  const int64_t image_bytes = PixelBytes(p.input) * p.h.in * p.w.in;
  const int64_t pixel_bytes = static_cast<int64_t>(ElementBytes(p.outputs)) * OutputStride(p.outputs);
  for (int32_t row = begin; row < end; ++row) {
    const int32_t y = row % p.h.out;
    Window w = {static_cast<const char*>(input) + row / p.h.out * image_bytes, TapsInside(p.h, y), {0, 0},
                y * p.h.stride - p.h.before, 0};
    char* pixel = static_cast<char*>(output) + static_cast<int64_t>(row) * p.w.out * pixel_bytes;
    for (int32_t x = 0; x < p.w.out; ++x, pixel += pixel_bytes) {
      w.columns = TapsInside(p.w, x);
      w.left = x * p.w.stride - p.w.before;
      PoolPixel(p, w, kernels, constants, pixel);
    }
  }
}

}  // namespace keras_ste
