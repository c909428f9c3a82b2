#include "kernels/staged_input.h"

#include <string.h>

#include "kernels/code_kernels.h"

namespace keras_ste {
namespace {

// From the first place that a window covers to the last.
int32_t Covered(const Axis& a) { return (a.out - 1) * a.stride + (a.kernel - 1) * a.dilation + 1; }
bool Inside(const Axis& a) { return a.before == 0 && Covered(a) <= a.in; }

size_t ElementBytes(Way way) { return way == Way::kBytes ? 1 : 4; }

bool NeedsSums(const StagedInput& s, const Product& p) { return s.way == Way::kBytes && ByteSumFactor(p) != 0; }

constexpr int32_t kFewChannels = 4;
// Of fewer channels than a vector has bytes, a call for each pixel would take longer than its work.
constexpr int32_t kNarrowPixel = 32;

// The byte that stands for a code with these bits.
int8_t ByteOf(const Codes& codes, int32_t number) {
  const InputBytes b = InputBytesOf(codes);
  uint8_t byte = static_cast<uint8_t>(b.start);
  for (int32_t p = 0; p < codes.bits; ++p) {
    if ((number >> p) & 1) byte = static_cast<uint8_t>(byte + static_cast<uint8_t>(b.worth[p]));
  }
  return static_cast<int8_t>(byte);
}

struct Job {
  const Conv& c;
  const StagedInput& s;
  const CodeKernels& k;
  const void* input;
  char* scratch;
  int32_t padding;  // the number whose bits a padding pixel has

  int32_t* SumsAt(int32_t image, int32_t y, int32_t x) const {
    const int64_t pixel = (static_cast<int64_t>(image) * s.height + y) * s.width + x;
    return reinterpret_cast<int32_t*>(scratch + s.sums) + pixel * c.groups;
  }
  bool HasSums() const { return s.scales > s.sums; }

  // -- Planes --

  uint32_t PadWord(int32_t plane, int32_t word) const {
    if (((padding >> plane) & 1) == 0) return 0;
    const int32_t left = c.channels - 32 * word;
    return BitRange(0, left < 32 ? left : 32);
  }

  int32_t Limit(int32_t x) const { return x < 0 ? 0 : x < s.width ? x : s.width; }

  void PadPlane(int32_t plane, int32_t begin, int32_t end, uint32_t* out) const {
    for (int32_t x = begin; x < end; ++x) {
      for (int32_t i = 0; i < s.pixel; ++i) out[static_cast<int64_t>(x) * s.pixel + i] = PadWord(plane, i);
    }
  }

  void PlaneRow(const uint32_t* row, int32_t plane, uint32_t* out) const {
    if (row == nullptr) return PadPlane(plane, 0, s.width, out);
    const int32_t begin = Limit(c.w.before), end = Limit(c.w.before + c.w.in);
    PadPlane(plane, 0, begin, out);
    PadPlane(plane, end, s.width, out);
    const int32_t stride = PixelStride(c);
    row += static_cast<int64_t>(begin - c.w.before) * stride;
    uint32_t* inside = out + static_cast<int64_t>(begin) * s.pixel;
    if (stride == s.pixel) {
      memcpy(inside, row, static_cast<size_t>(end - begin) * static_cast<size_t>(s.pixel) * sizeof(uint32_t));
      return;
    }
    row += plane * s.pixel;
    for (int32_t x = begin; x < end; ++x, row += stride, inside += s.pixel) {
      for (int32_t i = 0; i < s.pixel; ++i) inside[i] = row[i];
    }
  }

  // -- Bytes --

  void SumPixel(const int8_t* bytes, int32_t* sums) const {
    const int32_t per_group = GroupChannels(c);
    for (int32_t g = 0; g < c.groups; ++g, bytes += per_group) {
      int32_t sum = 0;
      for (int32_t i = 0; i < per_group; ++i) sum += bytes[i];
      sums[g] = sum;
    }
  }

  int8_t Flip() const { return c.input == InputKind::kUInt8 ? INT8_MIN : 0; }

  // A row of the image whose pixels are narrow, all at once.
  void NarrowRow(int64_t first, int8_t pad_byte, int32_t* sums, int8_t* out) const {
    const int64_t begin = static_cast<int64_t>(Limit(c.w.before)) * c.channels;
    const int64_t end = static_cast<int64_t>(Limit(c.w.before + c.w.in)) * c.channels;
    const int8_t* bytes = static_cast<const int8_t*>(input) + (first - c.w.before) * c.channels;  // of the staged row's first
    memset(out, pad_byte, static_cast<size_t>(begin));
    for (int64_t i = begin; i < end; i += kMaxByteDotK) {
      k.flip_bytes(bytes + i, static_cast<int32_t>(end - i < kMaxByteDotK ? end - i : kMaxByteDotK), Flip(), out + i);
    }
    memset(out + end, pad_byte, static_cast<size_t>(s.row_step - end));
    if (sums == nullptr) return;
    if (c.groups == 1 && c.channels <= kFewChannels) {
      SumFewChannels<kFewChannels>(out, sums);
      return;
    }
    for (int32_t x = 0; x < s.width; ++x, out += c.channels, sums += c.groups) SumPixel(out, sums);
  }

  // As many functions as there can be numbers of channels: a loop over three bytes would take longer than their sum.
  template <int32_t kChannels>
  void SumFewChannels(const int8_t* bytes, int32_t* sums) const {
    if constexpr (kChannels > 1) {
      if (c.channels < kChannels) return SumFewChannels<kChannels - 1>(bytes, sums);
    }
    for (int32_t x = 0; x < s.width; ++x, bytes += kChannels) {
      int32_t sum = 0;
      for (int32_t i = 0; i < kChannels; ++i) sum += bytes[i];
      sums[x] = sum;
    }
  }

  // Makes the sums of a row's pixels those of all pixels under a kernel row that begins at each of them, if it ends inside.
  // From one to the next a pixel leaves and another comes.
  void AddUnderKernel(int32_t* sums) const {
    if (c.w.kernel == 1) return;
    const int64_t step = static_cast<int64_t>(c.w.dilation) * c.groups, under = c.w.kernel * step;
    const int64_t end = static_cast<int64_t>(s.width) * c.groups;
    // Where the kernel is dilated, windows that end outside may begin before the others' second pixel.
    for (int64_t first = 0; first < step && first + under - step < end; ++first) {
      int32_t sum = 0;
      for (int64_t i = first; i < first + under; i += step) sum += sums[i];
      int64_t i = first;
      for (; i + under < end; i += step) {
        const int32_t leaves = sums[i];
        sums[i] = sum;
        sum += sums[i + under] - leaves;
      }
      sums[i] = sum;
    }
  }

  // `first` is the first pixel of the image's row; there is none where `row_inside` is false.
  void ByteRow(bool row_inside, int64_t first, int32_t image, int32_t y, int8_t* out) const {
    int32_t* sums = HasSums() ? SumsAt(image, y, 0) : nullptr;
    const int8_t pad_byte = ByteOf(c.inputs, padding);
    if (row_inside && !Packed(c) && c.channels < kNarrowPixel) {
      NarrowRow(first, pad_byte, sums, out);
    } else {
      WideRow(row_inside, first, pad_byte, sums, out);
    }
    if (sums != nullptr) AddUnderKernel(sums);
  }

  // The same of pixels as wide as vectors. The sums of their bytes are by-products where there is one group.
  void WideRow(bool row_inside, int64_t first, int8_t pad_byte, int32_t* sums, int8_t* out) const {
    const int32_t begin = row_inside ? Limit(c.w.before) : 0, end = row_inside ? Limit(c.w.before + c.w.in) : 0;
    int32_t* pixel_sums = c.groups == 1 ? sums : nullptr;
    PadPixels(0, begin, pad_byte, pixel_sums, out);
    PadPixels(end, s.width, pad_byte, pixel_sums, out);
    if (begin < end) {
      BytesOfPixels(first + begin - c.w.before, end - begin, out + static_cast<int64_t>(begin) * c.channels,
                    pixel_sums == nullptr ? nullptr : pixel_sums + begin);
    }
    if (sums == nullptr || c.groups == 1) return;
    for (int32_t x = 0; x < s.width; ++x, out += c.channels, sums += c.groups) SumPixel(out, sums);
  }

  void PadPixels(int32_t begin, int32_t end, int8_t pad_byte, int32_t* sums, int8_t* out) const {
    const int64_t bytes = static_cast<int64_t>(end - begin) * c.channels;
    memset(out + static_cast<int64_t>(begin) * c.channels, pad_byte, static_cast<size_t>(bytes));
    for (int32_t x = begin; sums != nullptr && x < end; ++x) sums[x] = pad_byte * c.channels;
  }

  void BytesOfPixels(int64_t pixel, int32_t count, int8_t* out, int32_t* sums) const {
    if (Packed(c)) {
      const InputBytes b = InputBytesOf(c.inputs);
      const uint32_t* planes = static_cast<const uint32_t*>(input) + pixel * PixelStride(c);
      k.unpack_planes(planes, count, c.channels, c.inputs.bits, b.start, b.worth, out, sums);
      return;
    }
    const int8_t* bytes = static_cast<const int8_t*>(input) + pixel * c.channels;
    for (int32_t i = 0; i < count; ++i, bytes += c.channels, out += c.channels) {
      const int32_t sum = k.flip_bytes(bytes, c.channels, Flip(), out);
      if (sums != nullptr) sums[i] = sum;
    }
  }

  // The row is the whole image. Its scale is the number that 1 stands for.
  void QuantizedRow(int32_t image, int8_t* out) const {
    const int32_t n = s.width * c.channels;
    const float* x = static_cast<const float*>(input) + static_cast<int64_t>(image) * n;
    const float largest = k.quantize_row(x, n, c.row_limit, c.row_least, out);
    reinterpret_cast<float*>(scratch + s.scales)[image] = RowScale(largest, c);
    if (!HasSums()) return;
    for (int32_t pixel = 0; pixel < s.width; ++pixel) {
      *SumsAt(image, 0, pixel) = k.flip_bytes(out + pixel * c.channels, c.channels, 0, out + pixel * c.channels);
    }
    AddUnderKernel(SumsAt(image, 0, 0));
  }

  // -- Floats --

  void FloatRow(const float* row, float* out) const {
    const int32_t inside_end = c.w.in + c.w.before;
    for (int32_t x = 0; x < s.width; ++x, out += c.channels) {
      if (row == nullptr || x < c.w.before || x >= inside_end) {
        for (int32_t i = 0; i < c.channels; ++i) out[i] = static_cast<float>(c.pad_value);
      } else {
        const float* pixel = row + static_cast<int64_t>(x - c.w.before) * c.channels;
        memcpy(out, pixel, static_cast<size_t>(c.channels) * sizeof(float));
      }
    }
  }

  void Row(int32_t image, int32_t y) const {
    const int32_t from = y - c.h.before;
    const bool inside = from >= 0 && from < c.h.in;
    const int64_t first = (static_cast<int64_t>(image) * c.h.in + from) * c.w.in;  // pixel of the image's row
    const int64_t at = image * s.image_step + y * s.row_step;
    if (s.way == Way::kPlanes) {
      const uint32_t* row = inside ? static_cast<const uint32_t*>(input) + first * PixelStride(c) : nullptr;
      for (int32_t p = 0; p < s.planes; ++p) {
        PlaneRow(row, p, reinterpret_cast<uint32_t*>(scratch) + p * s.plane_step + at);
      }
    } else if (s.way != Way::kBytes) {
      FloatRow(inside ? static_cast<const float*>(input) + first * c.channels : nullptr,
               reinterpret_cast<float*>(scratch) + at);
    } else if (c.quantize_rows) {
      QuantizedRow(image, reinterpret_cast<int8_t*>(scratch) + at);
    } else {
      ByteRow(inside, first, image, y, reinterpret_cast<int8_t*>(scratch) + at);
    }
  }
};

}  // namespace

PadCode PadCodeOf(const Conv& c) {
  const int32_t worth = c.zero_point + c.pad_value;
  for (int32_t number = 0; number < 1 << c.inputs.bits; ++number) {
    const bool unused = c.inputs.encoding == Encoding::kTernary && number == 2;
    if (!unused && Worth(c.inputs, number) == worth) return {number, true};
  }
  return {0, false};
}

StagedInput StagedInputOf(const Conv& c, const Product& p) {
  StagedInput s = {};
  s.way = p.way;
  s.planes = p.way == Way::kPlanes ? c.inputs.bits : 1;
  s.pixel = p.way == Way::kPlanes ? WordsOf(c.channels) : c.channels;
  s.height = Covered(c.h);
  s.width = Covered(c.w);
  const bool apart = p.way == Way::kPlanes && ((s.planes > 1 && Taps(c) > 1) || p.shared_words);
  s.in_place = p.way != Way::kBytes && Inside(c.h) && Inside(c.w) && !apart;
  s.column_step = s.in_place ? PixelStride(c) : s.pixel;
  s.row_step = s.column_step * (s.in_place ? c.w.in : s.width);
  s.image_step = s.row_step * (s.in_place ? c.h.in : s.height);
  s.plane_step = s.in_place ? s.pixel : s.image_step * c.batch;
  if (s.in_place) return s;
  // Tiles read a little beyond the last pixel.
  const size_t elements = static_cast<size_t>(s.plane_step) * static_cast<size_t>(s.planes);
  s.sums = AlignedBytes(elements * ElementBytes(p.way) + kByteSlack);
  const size_t pixels = static_cast<size_t>(c.batch) * static_cast<size_t>(s.height) * static_cast<size_t>(s.width);
  s.scales = s.sums + (NeedsSums(s, p) ? AlignedBytes(sizeof(int32_t) * pixels * static_cast<size_t>(c.groups)) : 0);
  s.end = s.scales + (c.quantize_rows ? AlignedBytes(sizeof(float) * static_cast<size_t>(c.batch)) : 0);
  return s;
}

int32_t StageUnits(const Conv& c, const StagedInput& s) { return s.in_place ? 0 : c.batch * s.height; }

void StageInput(const Conv& c, const StagedInput& s, const KernelTable& kernels, const void* input, void* scratch,
                int32_t begin, int32_t end) {
  const Job job = {c, s, *kernels.codes, input, static_cast<char*>(scratch), PadCodeOf(c).number};
  for (int32_t unit = begin; unit < end; ++unit) job.Row(unit / s.height, unit % s.height);
}

}  // namespace keras_ste
