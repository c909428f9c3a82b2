#include "kernels/counted_depthwise.h"

namespace keras_ste {
namespace {

constexpr int32_t kPlanes = 4;
constexpr int32_t kMostTaps = 14;  // one count less than the planes hold: it stands for what is never reached
constexpr int32_t kWords = 4;      // at once: a vector of the oldest machines

bool OneBit(const Codes& c) { return c.bits == 1 && c.encoding == Encoding::kBipolar; }

// A sum is twice the number of matching places, less the places inside of the image. The weights memory has for each
// number of these [taps + 1], and of each plane [kPlanes], the words of the counts that are needed, all bits turned
// over; behind them the words of the filter.
size_t TurnedWords(const Depthwise& d) {
  return kPlanes * static_cast<size_t>(d.h.kernel * d.w.kernel + 1) * static_cast<size_t>(WordsOf(d.input.channels));
}

int32_t NeededCount(int64_t threshold, int32_t places, int32_t taps) {
  const int64_t twice = threshold + places + 1;  // half of it is rounded down
  if (twice < 2) return 0;
  return twice / 2 > taps ? taps + 1 : static_cast<int32_t>(twice / 2);
}

// The counts of `n` words of a pixel.
template <int32_t n>
struct Counts {
  uint32_t planes[kPlanes][n] = {};

  void Add(const uint32_t* bits) {
    uint32_t carry[n];
    for (int32_t i = 0; i < n; ++i) carry[i] = bits[i];
    for (auto& plane : planes) {
      for (int32_t i = 0; i < n; ++i) {
        const uint32_t both = plane[i] & carry[i];
        plane[i] ^= carry[i];
        carry[i] = both;
      }
    }
  }

  // A count reaches another where adding what that lacks to be all ones, and one, carries beyond the highest plane.
  void Compare(const uint32_t* turned, int32_t words, uint32_t* out) const {
    uint32_t carry[n];
    for (uint32_t& c : carry) c = 0xFFFFFFFFu;
    for (int32_t p = 0; p < kPlanes; ++p, turned += words) {
      for (int32_t i = 0; i < n; ++i) {
        carry[i] = (planes[p][i] & turned[i]) | (carry[i] & (planes[p][i] ^ turned[i]));
      }
    }
    for (int32_t i = 0; i < n; ++i) out[i] = carry[i];
  }
};

struct Window {
  TapRange rows, columns;
  const uint32_t* image;
  int64_t top, left;
};

template <int32_t n>
void RunWords(const Depthwise& d, const Window& win, const uint32_t* filter, const uint32_t* turned, int32_t words,
              uint32_t* out) {
  Counts<n> counts;
  for (int32_t ky = 0; ky < d.h.kernel; ++ky) {
    const int64_t row = (win.top + static_cast<int64_t>(ky) * d.h.dilation) * d.w.in + win.left;
    const bool row_inside = ky >= win.rows.begin && ky < win.rows.end;
    for (int32_t kx = 0; kx < d.w.kernel; ++kx, filter += words) {
      uint32_t matches[n];
      if (row_inside && kx >= win.columns.begin && kx < win.columns.end) {
        const uint32_t* x = win.image + (row + static_cast<int64_t>(kx) * d.w.dilation) * words;
        for (int32_t i = 0; i < n; ++i) matches[i] = ~(x[i] ^ filter[i]);
      } else if (d.pad_with_one) {
        for (int32_t i = 0; i < n; ++i) matches[i] = filter[i];
      } else {
        continue;
      }
      counts.Add(matches);
    }
  }
  counts.Compare(turned, words, out);
}

}  // namespace

bool CanCountDepthwise(const Depthwise& d) {
  return d.input.kind == InputKind::kPacked && OneBit(d.input.codes) && d.input.zero_point == 0 && OneBit(d.weights) &&
         d.multiplier == 1 && d.outputs.kind == OutputKind::kPacked && OneBit(d.outputs.codes) &&
         static_cast<int64_t>(d.h.kernel) * d.w.kernel <= kMostTaps;
}

size_t CountedWeightsBytes(const Depthwise& d) {
  const size_t filter = static_cast<size_t>(d.h.kernel * d.w.kernel) * static_cast<size_t>(WordsOf(d.input.channels));
  return sizeof(uint32_t) * (TurnedWords(d) + filter);
}

void FillCountedWeights(const Depthwise& d, const void* filter, const int32_t* thresholds, void* weights) {
  const int32_t words = WordsOf(d.input.channels), taps = d.h.kernel * d.w.kernel;
  uint32_t* turned = static_cast<uint32_t*>(weights);
  CopyInWords(RowsOf(d, filter), 0, taps, turned + TurnedWords(d));
  for (int32_t places = 0; places <= taps; ++places, turned += kPlanes * words) {
    for (int32_t i = 0; i < kPlanes * words; ++i) turned[i] = 0;
    for (int32_t c = 0; c < words * 32; ++c) {
      const int64_t threshold = c < d.input.channels ? thresholds[d.outputs.one_threshold ? 0 : c] : INT32_MAX;
      const uint32_t lacking = ~static_cast<uint32_t>(NeededCount(threshold, places, taps));
      for (int32_t p = 0; p < kPlanes; ++p) turned[p * words + c / 32] |= (lacking >> p & 1u) << (c % 32);
    }
  }
}

void CountedDepthwise(const Depthwise& d, const void* weights, const uint32_t* input, uint32_t* output, int32_t begin,
                      int32_t end) {
  const int32_t words = WordsOf(d.input.channels), taps = d.h.kernel * d.w.kernel;
  const uint32_t* filter = static_cast<const uint32_t*>(weights) + TurnedWords(d);
  for (int32_t pixel = begin; pixel < end; ++pixel) {
    const int32_t x = pixel % d.w.out, y = pixel / d.w.out % d.h.out, image = pixel / d.w.out / d.h.out;
    Window win = {TapsInside(d.h, y), TapsInside(d.w, x), nullptr, static_cast<int64_t>(y) * d.h.stride - d.h.before,
                  static_cast<int64_t>(x) * d.w.stride - d.w.before};
    const uint32_t* first = input + static_cast<int64_t>(image) * d.h.in * d.w.in * words;
    const int32_t inside = (win.rows.end - win.rows.begin) * (win.columns.end - win.columns.begin);
    const int32_t places = d.pad_with_one ? taps : inside;
    const uint32_t* turned = static_cast<const uint32_t*>(weights) + static_cast<int64_t>(places) * kPlanes * words;
    uint32_t* out = output + static_cast<int64_t>(pixel) * words;
    int32_t w = 0;
    for (; w + kWords <= words; w += kWords) {
      win.image = first + w;
      RunWords<kWords>(d, win, filter + w, turned + w, words, out + w);
    }
    for (; w < words; ++w) {
      win.image = first + w;
      RunWords<1>(d, win, filter + w, turned + w, words, out + w);
    }
  }
}

}  // namespace keras_ste
