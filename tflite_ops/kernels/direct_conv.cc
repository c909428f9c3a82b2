#include "kernels/direct_conv.h"

namespace keras_ste {
namespace {

// A full adder on 32 independent bit columns: a + b + c = 2 * carry + sum.
inline void AddColumns(uint32_t a, uint32_t b, uint32_t c, uint32_t* carry, uint32_t* sum) {
  const uint32_t half = a ^ b;
  *carry = (a & b) | (half & c);
  *sum = half ^ c;
}

// The number of positions in which `n` words differ. Cores without a popcount instruction spend five operations a word on
// the adders and count only one word in eight.
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
int32_t CountGroupDifferences(const uint32_t* a, const uint32_t* b, int32_t first_bit, int32_t channels) {
  int32_t count = 0;
  int32_t done = 0;
  for (int32_t i = 0; done < channels; ++i) {
    const int32_t begin = i == 0 ? first_bit : 0;
    const int32_t end = begin + (channels - done) < 32 ? begin + (channels - done) : 32;
    count += static_cast<int32_t>(CountBits((a[i] & BitRange(begin, end)) ^ b[i]));
    done += end - begin;
  }
  return count;
}

// The sum of the +1 and -1 of a filter's tap.
int32_t SumOfSigns(const uint32_t* filter, int32_t words, int32_t channels) {
  int32_t positive = 0;
  for (int32_t i = 0; i < words; ++i) positive += static_cast<int32_t>(CountBits(filter[i]));
  return 2 * positive - channels;
}

struct Window {
  TapRange rows, columns;
  int32_t image, y, x;  // of tap (0, 0)
};

Window WindowAt(const Conv& c, int32_t pixel) {
  const Place place = PlaceOf(c, pixel);
  return {TapsInside(c.h, place.y), TapsInside(c.w, place.x), place.image, place.y * c.h.stride - c.h.before,
          place.x * c.w.stride - c.w.before};
}

bool Inside(const Window& win, int32_t ky, int32_t kx) {
  return ky >= win.rows.begin && ky < win.rows.end && kx >= win.columns.begin && kx < win.columns.end;
}

int64_t InputOffset(const Conv& c, const Window& win, int32_t ky, int32_t kx) {
  const int64_t row = static_cast<int64_t>(win.image) * c.h.in + win.y + ky * c.h.dilation;
  return (row * c.w.in + win.x + kx * c.w.dilation) * c.pixel_stride;
}

int32_t PackedSum(const Conv& c, const uint32_t* input, const uint32_t* filter, const Window& win, int32_t group) {
  const int32_t channels = GroupChannels(c);
  const int32_t first_word = GroupFirstWord(c, group);
  const int32_t columns = win.columns.end - win.columns.begin;
  const int32_t inside = columns * (win.rows.end - win.rows.begin);
  int32_t differences = 0;
  for (int32_t ky = win.rows.begin; ky < win.rows.end; ++ky) {
    if (columns == 0) break;
    const uint32_t* a = input + InputOffset(c, win, ky, win.columns.begin) + first_word;
    const uint32_t* b = filter + (ky * c.w.kernel + win.columns.begin) * c.filter_words;
    if (c.groups == 1 && c.w.dilation == 1) {  // one run of words covers the whole kernel row
      differences += CountDifferences(a, b, columns * c.filter_words);
      continue;
    }
    const int64_t step = static_cast<int64_t>(c.w.dilation) * c.pixel_stride;
    for (int32_t i = 0; i < columns; ++i, a += step, b += c.filter_words) {
      differences += c.groups == 1 ? CountDifferences(a, b, c.filter_words)
                                   : CountGroupDifferences(a, b, group * channels % 32, channels);
    }
  }
  int32_t sum = inside * channels - 2 * differences;
  if (c.pad_with_one && inside < Taps(c)) {
    for (int32_t ky = 0; ky < c.h.kernel; ++ky) {
      for (int32_t kx = 0; kx < c.w.kernel; ++kx) {
        if (Inside(win, ky, kx)) continue;
        sum += SumOfSigns(filter + (ky * c.w.kernel + kx) * c.filter_words, c.filter_words, channels);
      }
    }
  }
  return sum;
}

// Adds +x or -x for each bit of a filter, in order. `Sum` is float or int32_t.
template <typename Sum, typename X>
Sum SignedSum(const Conv& c, const X* input, const uint32_t* filter, const Window& win, int32_t group) {
  const int32_t channels = GroupChannels(c);
  const Sum zero_point = static_cast<Sum>(c.zero_point);
  Sum sum = 0;
  int32_t bit = 0;
  for (int32_t ky = 0; ky < c.h.kernel; ++ky) {
    for (int32_t kx = 0; kx < c.w.kernel; ++kx) {
      const bool inside = Inside(win, ky, kx);
      if (!inside && !c.pad_with_one) {
        bit += channels;
        continue;
      }
      const X* x = inside ? input + InputOffset(c, win, ky, kx) + group * channels : nullptr;
      for (int32_t i = 0; i < channels; ++i, ++bit) {
        const Sum value = inside ? static_cast<Sum>(x[i]) - zero_point : Sum{1};
        sum = (filter[bit / 32] >> (bit % 32)) & 1u ? sum + value : sum - value;
      }
    }
  }
  return sum;
}

template <typename Sum>
bool AtLeast(const void* thresholds, int32_t o, Sum sum) {
  return sum >= static_cast<const Sum*>(thresholds)[o];
}

template <typename Sum>
float ToFloat(const Conv& c, const ConvConstants& k, int32_t o, Sum sum) {
  float value = static_cast<float>(sum);
  if (k.multiplier != nullptr) value = value * k.multiplier[o];
  value = value + (k.bias == nullptr ? 0.0f : k.bias[o]);  // also adding 0 changes something: -0
  return Clamp(value, c.activation_min, c.activation_max);
}

// Runs `sum_of(window, filter, group)` for all filters of the pixels [begin, end) and stores what the output wants.
template <typename Sum, typename SumOf>
void ForEachOutput(const Conv& c, const ConvConstants& k, void* output, int32_t begin, int32_t end, SumOf sum_of) {
  const int32_t stride = OutputStride(c);
  const int32_t filter_step = c.input == InputKind::kPacked ? Taps(c) * c.filter_words : c.filter_words;
  for (int32_t pixel = begin; pixel < end; ++pixel) {
    const Window win = WindowAt(c, pixel);
    float* floats = static_cast<float*>(output) + static_cast<int64_t>(pixel) * stride;
    uint32_t* words = static_cast<uint32_t*>(output) + static_cast<int64_t>(pixel) * stride;
    uint32_t bits = 0;
    for (int32_t o = 0; o < c.filters; ++o) {
      const Sum sum = sum_of(win, k.filter + static_cast<int64_t>(o) * filter_step, o / GroupFilters(c));
      if (!c.packed_output) {
        floats[o] = ToFloat(c, k, o, sum);
        continue;
      }
      bits |= (AtLeast<Sum>(k.thresholds, o, sum) ? 1u : 0u) << (o % 32);
      if (o % 32 == 31 || o + 1 == c.filters) {
        words[o / 32] = bits;
        bits = 0;
      }
    }
  }
}

template <typename Sum, typename X>
void RunUnpacked(const Conv& c, const ConvConstants& k, const void* input, void* output, int32_t begin, int32_t end) {
  const X* x = static_cast<const X*>(input);
  ForEachOutput<Sum>(c, k, output, begin, end, [&](const Window& win, const uint32_t* filter, int32_t group) {
    return SignedSum<Sum, X>(c, x, filter, win, group);
  });
}

}  // namespace

void DirectConv(const Conv& c, const ConvConstants& k, const void* input, void* output, int32_t begin, int32_t end) {
  switch (c.input) {
    case InputKind::kPacked: {
      const uint32_t* x = static_cast<const uint32_t*>(input);
      ForEachOutput<int32_t>(c, k, output, begin, end, [&](const Window& win, const uint32_t* filter, int32_t group) {
        return PackedSum(c, x, filter, win, group);
      });
      break;
    }
    case InputKind::kFloat32:
      RunUnpacked<float, float>(c, k, input, output, begin, end);
      break;
    case InputKind::kInt8:
      RunUnpacked<int32_t, int8_t>(c, k, input, output, begin, end);
      break;
    case InputKind::kUInt8:
      RunUnpacked<int32_t, uint8_t>(c, k, input, output, begin, end);
      break;
  }
}

}  // namespace keras_ste
