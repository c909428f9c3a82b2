#include "kernels/direct_conv.h"

#include "kernels/kernel_table.h"
#include "kernels/pack_loops.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace {

// A full adder on 32 independent bit columns: a + b + c = 2 * carry + sum.
inline void AddColumns(uint32_t a, uint32_t b, uint32_t c, uint32_t* carry, uint32_t* sum) {
  const uint32_t half = a ^ b;
  *carry = (a & b) | (half & c);
  *sum = half ^ c;
}

// The number of positions in which `n` words differ. Cores without a popcount instruction spend five operations a word
// on the adders and count only one word in eight.
int32_t CountDifferences(const uint32_t* a, const uint32_t* b, int32_t n) {
  int32_t count = 0;
  int32_t i = 0;
  uint32_t ones = 0, twos = 0, fours = 0;
  for (; i + 8 <= n; i += 8) {
    uint32_t twos_a, twos_b, fours_a, fours_b, eights;
    AddColumns(ones, a[i] ^ b[i], a[i + 1] ^ b[i + 1], &twos_a, &ones);
    AddColumns(ones, a[i + 2] ^ b[i + 2], a[i + 3] ^ b[i + 3], &twos_b, &ones);
    AddColumns(twos, twos_a, twos_b, &fours_a, &twos);
    AddColumns(ones, a[i + 4] ^ b[i + 4], a[i + 5] ^ b[i + 5], &twos_a, &ones);
    AddColumns(ones, a[i + 6] ^ b[i + 6], a[i + 7] ^ b[i + 7], &twos_b, &ones);
    AddColumns(twos, twos_a, twos_b, &fours_b, &twos);
    AddColumns(fours, fours_a, fours_b, &eights, &fours);
    count += 8 * static_cast<int32_t>(CountBits(eights));
  }
  if (i > 0) {
    count += static_cast<int32_t>(4 * CountBits(fours) + 2 * CountBits(twos) + CountBits(ones));
  }
  for (; i < n; ++i) count += static_cast<int32_t>(CountBits(a[i] ^ b[i]));
  return count;
}

// The same on the channels of one group only, whose first and last word may be shared with its neighbours. The filter's
// bits outside the group are zero.
int32_t CountGroupDifferences(const uint32_t* a, const CodeRow& b) {
  int32_t count = 0;
  int32_t done = 0;
  for (int32_t i = 0; done < b.codes; ++i) {
    const int32_t begin = i == 0 ? b.first_bit : 0;
    const int32_t end = begin + (b.codes - done) < 32 ? begin + (b.codes - done) : 32;
    count += static_cast<int32_t>(CountBits((a[i] & BitRange(begin, end)) ^ WordOf(b, 0, i)));
    done += end - begin;
  }
  return count;
}

// An output channel's filter.
struct OutputFilter {
  CodeRows rows;
  int64_t first;  // of its rows
  int32_t group;
};

// Filters without gaps are copied to words where so many hold them, and read there for a few pixels.
constexpr int32_t kNearWords = 96;
constexpr int32_t kPixels = 4;

OutputFilter FilterOf(const Conv& c, const void* filter, int32_t output, uint32_t* near) {
  const int32_t group = output / GroupFilters(c);
  OutputFilter f = {RowsOf(c, filter, group), static_cast<int64_t>(output) * FilterRows(c), group};
  if (c.gapless && FilterRows(c) <= kNearWords / (f.rows.bits * f.rows.words)) {
    CopyInWords(f.rows, f.first, FilterRows(c), near);
    f.rows.data = near;
    f.rows.gapless = false;
    f.first = 0;
  }
  return f;
}

CodeRow TapAt(const Conv& c, const OutputFilter& f, int32_t ky, int32_t kx) {
  return RowAt(f.rows, f.first + TapRow(c, ky, kx));
}

struct Window {
  TapRange rows, columns;
  int32_t image, y, x;  // of tap (0, 0)
};

Window WindowAt(const Conv& c, const Place& place) {
  return {TapsInside(c.h, place.y), TapsInside(c.w, place.x), place.image, place.y * c.h.stride - c.h.before,
          place.x * c.w.stride - c.w.before};
}

bool Inside(const Window& win, int32_t ky, int32_t kx) {
  return ky >= win.rows.begin && ky < win.rows.end && kx >= win.columns.begin && kx < win.columns.end;
}

int64_t InputOffset(const Conv& c, const Window& win, int32_t ky, int32_t kx) {
  const int64_t row = static_cast<int64_t>(win.image) * c.h.in + win.y + ky * c.h.dilation;
  return (row * c.w.in + win.x + kx * c.w.dilation) * PixelStride(c);
}

// The sum of products of one-bit bipolar codes: no number is looked at alone.
int32_t SignProducts(const Conv& c, const uint32_t* input, const OutputFilter& filter, const Window& win) {
  const bool words = c.groups == 1 && !filter.rows.gapless;
  const int32_t columns = win.columns.end - win.columns.begin;
  const int32_t inside = columns * (win.rows.end - win.rows.begin);
  int32_t differences = 0;
  for (int32_t ky = win.rows.begin; ky < win.rows.end; ++ky) {
    if (columns == 0) break;
    const uint32_t* a = input + InputOffset(c, win, ky, win.columns.begin) + GroupFirstWord(c, filter.group);
    if (words && c.w.dilation == 1 && c.taps.column == 1) {  // one run of words covers the whole kernel row
      differences += CountDifferences(a, TapAt(c, filter, ky, win.columns.begin).words, columns * c.filter_words);
      continue;
    }
    const int64_t step = static_cast<int64_t>(c.w.dilation) * PixelStride(c);
    for (int32_t kx = win.columns.begin; kx < win.columns.end; ++kx, a += step) {
      const CodeRow b = TapAt(c, filter, ky, kx);
      differences += words ? CountDifferences(a, b.words, c.filter_words) : CountGroupDifferences(a, b);
    }
  }
  return inside * GroupChannels(c) - 2 * differences;
}

// A code is worth scale * u + offset, u being the sum of what its set bits are worth.
struct Affine {
  int32_t scale, offset;
};

Affine AffineOf(const Codes& c) {
  return c.encoding == Encoding::kBipolar ? Affine{2, 1 - (1 << c.bits)} : Affine{1, 0};
}

// The sums of u over the weights, over the inputs and over their products, of one tap of one group.
struct TapSums {
  int32_t weights, inputs, products;
};

template <bool gapless>
TapSums SumTap(const Conv& c, const uint32_t* input, const CodeRow& tap) {
  const int32_t first = tap.first_bit, end = first + tap.codes;
  const int32_t input_words = WordsOf(c.channels);
  TapSums sums = {0, 0, 0};
  for (int32_t i = 0; 32 * i < end; ++i) {
    const int32_t left = end - 32 * i;
    const uint32_t mask = BitRange(i == 0 ? first : 0, left < 32 ? left : 32);
    for (int32_t p = 0; p < c.weights.bits; ++p) {
      const uint32_t w = (gapless ? GaplessWord(tap, p, i) : tap.words[p * c.filter_words + i]) & mask;
      const int32_t worth = PlaneWorth(c.weights, p);
      sums.weights += worth * static_cast<int32_t>(CountBits(w));
      for (int32_t q = 0; input != nullptr && q < c.inputs.bits; ++q) {
        const uint32_t a = input[q * input_words + i];
        sums.products += worth * PlaneWorth(c.inputs, q) * static_cast<int32_t>(CountBits(w & a));
      }
    }
    for (int32_t q = 0; input != nullptr && q < c.inputs.bits; ++q) {
      sums.inputs += PlaneWorth(c.inputs, q) * static_cast<int32_t>(CountBits(input[q * input_words + i] & mask));
    }
  }
  return sums;
}

// Of (p u + q)(s y + t - z) over a tap. Outside the image an input is worth what stands for `pad_value`.
int32_t TapProducts(const Conv& c, const uint32_t* input, const CodeRow& tap) {
  const Affine w = AffineOf(c.weights), a = AffineOf(c.inputs);
  const TapSums sums = tap.words == nullptr ? SumTap<true>(c, input, tap) : SumTap<false>(c, input, tap);
  const int32_t worth = w.scale * sums.weights + w.offset * tap.codes;
  if (input == nullptr) return c.pad_value * worth;
  return w.scale * a.scale * sums.products + w.offset * a.scale * sums.inputs + (a.offset - c.zero_point) * worth;
}

bool OneBitSigns(const Codes& c) { return c.bits == 1 && c.encoding == Encoding::kBipolar; }

int32_t PackedSum(const Conv& c, const uint32_t* input, const OutputFilter& filter, const Window& win) {
  const bool signs = OneBitSigns(c.weights) && OneBitSigns(c.inputs) && c.zero_point == 0;
  int32_t sum = signs ? SignProducts(c, input, filter, win) : 0;
  if (signs && c.pad_value == 0) return sum;
  for (int32_t ky = 0; ky < c.h.kernel; ++ky) {
    for (int32_t kx = 0; kx < c.w.kernel; ++kx) {
      const bool inside = Inside(win, ky, kx);
      if (inside ? signs : c.pad_value == 0) continue;
      const uint32_t* x = inside ? input + InputOffset(c, win, ky, kx) + GroupFirstWord(c, filter.group) : nullptr;
      sum += TapProducts(c, x, TapAt(c, filter, ky, kx));
    }
  }
  return sum;
}

constexpr int32_t kMostBits = 8;

// Adds the products one after the other. `Sum` is float or int32_t.
template <typename Sum, typename X>
Sum SumOfProducts(const Conv& c, const X* input, const OutputFilter& filter, const Window& win) {
  const int32_t channels = GroupChannels(c);
  const Sum zero_point = static_cast<Sum>(c.zero_point);
  const bool signs = OneBitSigns(c.weights);
  uint32_t planes[kMostBits];  // one word of each
  Sum sum = 0;
  int32_t at = 0;
  for (int32_t ky = 0; ky < c.h.kernel; ++ky) {
    for (int32_t kx = 0; kx < c.w.kernel; ++kx) {
      const bool inside = Inside(win, ky, kx);
      const CodeRow codes = TapAt(c, filter, ky, kx);
      if (c.filter_in_taps) at = 0;
      if (!inside && c.pad_value == 0) {
        at += channels;
        continue;
      }
      const X* x = inside ? input + InputOffset(c, win, ky, kx) + filter.group * channels : nullptr;
      for (int32_t begin = 0; begin < channels;) {
        const int32_t left = 32 - at % 32;
        const int32_t end = channels - begin < left ? channels : begin + left;
        for (int32_t p = 0; p < c.weights.bits; ++p) planes[p] = WordOf(codes, p, at / 32);
        for (int32_t i = begin; i < end; ++i, ++at) {
          const Sum value = inside ? static_cast<Sum>(x[i]) - zero_point : Sum{1};
          if (signs) {
            sum = (planes[0] >> (at % 32) & 1u) != 0 ? sum + value : sum - value;
          } else {
            sum = Scalar(sum + Scalar(value * static_cast<Sum>(WorthAt(c.weights, planes, 1, at % 32))));
          }
        }
        begin = end;
      }
    }
  }
  return sum;
}

// Output pixels that are computed together.
struct Pixels {
  int32_t count;
  Window windows[kPixels];
  int64_t numbers[kPixels];
  float scales[kPixels];  // where rows are quantized
};

Pixels PixelsFrom(const Conv& c, const float* scales, int32_t begin, int32_t end) {
  Pixels p;
  p.count = end - begin < kPixels ? end - begin : kPixels;
  for (int32_t r = 0; r < p.count; ++r) {
    const Place place = PlaceOf(c, begin + r);
    p.windows[r] = WindowAt(c, place);
    p.numbers[r] = OutputIndex(c, place.image, place.y, place.x);
    p.scales[r] = scales == nullptr ? 0 : scales[place.image];
  }
  return p;
}

// Runs `sum_of(window, filter)` for all filters of the pixels [begin, end) and stores what the output wants.
template <typename Sum, typename SumOf>
void ForEachOutput(const Conv& c, const ConvTensors& k, const float* scales, int32_t begin, int32_t end,
                   SumOf sum_of) {
  const OutputPlan plan = PlanOutputs(c.outputs, portable::kOutput, k.outputs, FloatSumsOf(c), scales != nullptr);
  for (int32_t pixel = begin; pixel < end; pixel += kPixels) {
    const Pixels pixels = PixelsFrom(c, scales, pixel, end);
    for (int32_t first = 0; first < Filters(c); first += kChunk) {
      const int32_t count = Filters(c) - first < kChunk ? Filters(c) - first : kChunk;
      Sum sums[kPixels * kChunk] = {};
      for (int32_t i = 0; i < count; ++i) {
        uint32_t near[kNearWords];
        const OutputFilter filter = FilterOf(c, k.filter, first + i, near);
        for (int32_t r = 0; r < pixels.count; ++r) sums[r * kChunk + i] = sum_of(pixels.windows[r], filter);
      }
      StoreChunk(plan, sums, scales == nullptr ? nullptr : pixels.scales, pixels.count, first, count, pixels.numbers);
    }
  }
}

template <typename Sum, typename X>
void RunUnpacked(const Conv& c, const ConvTensors& k, const void* input, const float* scales, int32_t begin,
                 int32_t end) {
  const X* x = static_cast<const X*>(input);
  ForEachOutput<Sum>(c, k, scales, begin, end, [&](const Window& win, const OutputFilter& filter) {
    return SumOfProducts<Sum, X>(c, x, filter, win);
  });
}

// Of quantized rows the scratch memory holds the scales, then the codes.
size_t ScalesBytes(const Conv& c) { return sizeof(float) * static_cast<size_t>(c.batch); }
size_t RowBytes(const Conv& c) { return static_cast<size_t>(c.w.in) * static_cast<size_t>(c.channels); }

}  // namespace

size_t DirectScratchBytes(const Conv& c) {
  return c.quantize_rows ? ScalesBytes(c) + static_cast<size_t>(c.batch) * RowBytes(c) : 0;
}

int32_t DirectStageUnits(const Conv& c) { return c.quantize_rows ? c.batch : 0; }

void DirectStage(const Conv& c, const void* input, void* scratch, int32_t begin, int32_t end) {
  float* scales = static_cast<float*>(scratch);
  int8_t* codes = static_cast<int8_t*>(scratch) + ScalesBytes(c);
  const int32_t n = static_cast<int32_t>(RowBytes(c));
  for (int32_t image = begin; image < end; ++image) {
    const float* x = static_cast<const float*>(input) + static_cast<int64_t>(image) * n;
    scales[image] = RowScale(QuantizeLoop(x, n, c.row_limit, c.row_least, codes + static_cast<int64_t>(image) * n), c);
  }
}

void DirectConv(const Conv& c, const ConvTensors& k, const void* input, const void* scratch, int32_t begin,
                int32_t end) {
  if (c.quantize_rows) {
    RunUnpacked<int32_t, int8_t>(c, k, static_cast<const char*>(scratch) + ScalesBytes(c),
                                 static_cast<const float*>(scratch), begin, end);
    return;
  }
  switch (c.input) {
    case InputKind::kPacked: {
      const uint32_t* x = static_cast<const uint32_t*>(input);
      ForEachOutput<int32_t>(c, k, nullptr, begin, end,
                             [&](const Window& win, const OutputFilter& filter) { return PackedSum(c, x, filter, win); });
      break;
    }
    case InputKind::kFloat32:
      RunUnpacked<float, float>(c, k, input, nullptr, begin, end);
      break;
    case InputKind::kInt8:
      RunUnpacked<int32_t, int8_t>(c, k, input, nullptr, begin, end);
      break;
    case InputKind::kUInt8:
      RunUnpacked<int32_t, uint8_t>(c, k, input, nullptr, begin, end);
      break;
  }
}

}  // namespace keras_ste
