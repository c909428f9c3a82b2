#include "tests/boards/product.h"

#include <string.h>

namespace keras_ste {
namespace {

// Of the tensors and of what the tiled kernels keep, which leaves some for options.
constexpr int32_t kMostBytes = 7400;

int32_t RoundUp(int32_t a, int32_t b) { return (a + b - 1) / b * b; }
int32_t Words(int32_t bits) { return (bits + 31) / 32; }
int32_t Reach(const WindowAxis& a) { return (a.kernel - 1) * a.dilation + 1; }
int32_t Taps(const Product& p) { return p.h.kernel * p.w.kernel; }
int32_t GroupChannels(const Product& p) { return p.channels / p.groups; }
int32_t GroupFilters(const Product& p) { return p.filters / p.groups; }
bool PackedInput(const Product& p) { return p.input == Type::kInt32; }

int32_t OutputSize(const Product& p, const WindowAxis& a) {
  return p.same ? (a.in + a.stride - 1) / a.stride : (a.in - Reach(a)) / a.stride + 1;
}

// Where window `position` begins; negative in the padding.
int32_t WindowStart(const Product& p, const WindowAxis& a, int32_t position) {
  const int32_t total = (OutputSize(p, a) - 1) * a.stride + Reach(a) - a.in;
  return position * a.stride - (p.same && total > 0 ? total / 2 : 0);
}

int32_t PixelElements(const Product& p) { return PackedInput(p) ? Words(p.channels) : p.channels; }

int32_t InputElements(const Product& p) { return p.batch * p.h.in * p.w.in * PixelElements(p); }

int32_t FirstWord(const Product& p, int32_t group) { return group * GroupChannels(p) / 32; }

// Words of one tap of a filter for packed input: the most that any group touches.
int32_t TapWords(const Product& p) {
  int32_t most = 0;
  for (int32_t g = 0; g < p.groups; ++g) {
    const int32_t words = Words((g + 1) * GroupChannels(p)) - FirstWord(p, g);
    if (words > most) most = words;
  }
  return most;
}

int32_t FilterWords(const Product& p) {
  return PackedInput(p) ? Taps(p) * TapWords(p) : Words(Taps(p) * GroupChannels(p));
}

// At least what the tiled kernels take: blocks of 32 filters, starting sums for each kind of border, and the staged input,
// whose padding is written out, with a sum of each pixel. Computed here so that the nodes are the same whether or not the
// program has those kernels.
int32_t TiledBytes(const Product& p) {
  const int32_t step = 4 * (PackedInput(p) ? TapWords(p) : Words(GroupChannels(p)));
  const int32_t padded = p.groups * RoundUp(GroupFilters(p), 32);
  const int32_t rows = OutputSize(p, p.h), columns = OutputSize(p, p.w);
  const int32_t starts = 4 * padded * (p.same ? rows * columns : 1);
  const int32_t covered = ((rows - 1) * p.h.stride + Reach(p.h)) * ((columns - 1) * p.w.stride + Reach(p.w));
  const int32_t staged = p.batch * covered * 4 * (PixelElements(p) + p.groups);
  return padded * Taps(p) * step + 8 * padded + starts + staged + 4 * (rows + columns) + 10 * 64;
}

bool Fits(const Product& p) {
  if (OutputSize(p, p.h) < 1 || OutputSize(p, p.w) < 1) return false;
  return 4 * (InputElements(p) + p.filters * FilterWords(p) + OutputElements(p)) + TiledBytes(p) <= kMostBytes;
}

int32_t Pick(int32_t low, int32_t high, Random* random) { return static_cast<int32_t>(random->Between(low, high)); }

WindowAxis RandomAxis(bool same, Random* random) {
  WindowAxis a;
  a.kernel = Pick(1, 3, random);
  a.stride = Pick(1, 3, random);
  a.dilation = random->OneIn(3) ? 2 : 1;
  a.in = Pick(same ? 1 : Reach(a), Reach(a) + 4, random);
  return a;
}

void RandomShape(Product* p, Random* random) {
  const bool wide = PackedInput(*p) || random->OneIn(4);
  if (p->fully_connected) {
    p->same = false;
    p->pad_value = 0;
    p->h = {1, 1, 1, 1};
    const int32_t pixels = random->OneIn(2) ? 1 : Pick(2, 4, random);
    p->w = {pixels, pixels, 1, 1};
    p->groups = 1;
  } else {
    p->same = random->OneIn(2);
    p->pad_value = p->same ? Pick(0, 1, random) : 0;
    p->h = RandomAxis(p->same, random);
    p->w = RandomAxis(p->same, random);
    p->groups = random->OneIn(2) ? 1 : Pick(2, 4, random);
  }
  p->batch = Pick(1, 3, random);
  // Every other time whole words, which have kernels of their own where there are groups, as have eight in a row.
  const bool whole = PackedInput(*p) && random->OneIn(2);
  const int32_t most_words = p->fully_connected ? 12 : 4;
  p->channels = p->groups * (whole ? 32 * Pick(1, most_words, random) : Pick(1, wide ? 100 : 8, random));
  p->filters = p->groups * (random->OneIn(4) ? 32 : Pick(1, 40, random));
}

// Of very different sizes, some of them subnormal, but all sums finite.
float RandomFloat(int32_t magnitude, Random* random) {
  const float x = random->Real();
  return magnitude == 0 ? x * 1e-38f : magnitude == 1 ? x * 1e30f : x;
}

void* TakeFloats(int32_t n, Random* random, Memory* memory) {
  float* x = static_cast<float*>(memory->Take(sizeof(float) * static_cast<size_t>(n), kConstantAlignment, 0));
  const int32_t magnitude = Pick(0, 4, random);
  for (int32_t i = 0; i < n; ++i) x[i] = RandomFloat(magnitude, random);
  return x;
}

// Packed pixels: one row of `channels` bits each, the unused ones zero.
void* TakePacked(int32_t pixels, int32_t channels, Random* random, Memory* memory) {
  const int32_t words = Words(channels);
  uint32_t* x = static_cast<uint32_t*>(
      memory->Take(sizeof(uint32_t) * static_cast<size_t>(pixels * words), kConstantAlignment, 0));
  for (int32_t i = 0; i < pixels * words; ++i) {
    const int32_t bits = channels - i % words * 32;
    x[i] = static_cast<uint32_t>(random->Bits()) & (bits >= 32 ? 0xFFFFFFFFu : (1u << bits) - 1u);
  }
  return x;
}

void* TakeBytes(int32_t n, Random* random, Memory* memory) {
  uint8_t* x = static_cast<uint8_t*>(memory->Take(static_cast<size_t>(n), 1, 0));
  for (int32_t i = 0; i < n; ++i) x[i] = static_cast<uint8_t>(random->Bits());
  return x;
}

// For packed input: the bits of a filter's group, at the places of the input's words.
void* TakeGroupFilter(const Product& p, Random* random, Memory* memory) {
  const int32_t tap_words = TapWords(p), words = p.filters * FilterWords(p);
  uint32_t* x = static_cast<uint32_t*>(
      memory->Take(sizeof(uint32_t) * static_cast<size_t>(words), kConstantAlignment, 0));
  for (int32_t i = 0; i < words; ++i) {
    const int32_t group = i / FilterWords(p) / GroupFilters(p);
    const uint32_t bits = static_cast<uint32_t>(random->Bits());
    x[i] = 0;
    for (int32_t b = 0; b < 32; ++b) {
      const int32_t channel = (FirstWord(p, group) + i % tap_words) * 32 + b;
      if (channel / GroupChannels(p) == group) x[i] |= bits & 1u << b;
    }
  }
  return x;
}

// Of the sums' size, and the two that stand for channels without a choice.
void* TakeThresholds(const Product& p, Random* random, Memory* memory) {
  const size_t bytes = 4 * static_cast<size_t>(p.filters);
  void* memory_of_all = memory->Take(bytes, kConstantAlignment, 0);
  const int32_t most = PackedInput(p) ? 8 : 500;
  for (int32_t o = 0; o < p.filters; ++o) {
    const bool fixed = random->OneIn(8), always = random->OneIn(2);
    if (p.input == Type::kFloat32) {
      float t = random->Real() * 2;
      if (fixed) t = always ? -__builtin_inff() : __builtin_nanf("");
      static_cast<float*>(memory_of_all)[o] = t;
    } else {
      int32_t t = Pick(-most, most, random);
      if (fixed) t = always ? INT32_MIN : INT32_MAX;
      static_cast<int32_t*>(memory_of_all)[o] = t;
    }
  }
  return memory_of_all;
}

Tensor Describe(Type type, const char* name, int32_t rank, const int32_t* dims) {
  Tensor t = {};
  t.present = true;
  t.type = type;
  t.rank = rank;
  for (int32_t d = 0; d < rank; ++d) t.dims[d] = dims[d];
  t.name = name;
  return t;
}

void DescribeConstant(Type type, const char* name, int32_t rank, const int32_t* dims, const void* data, Tensor* t) {
  *t = Describe(type, name, rank, dims);
  t->constant = true;
  t->bytes = 4;
  for (int32_t d = 0; d < rank; ++d) t->bytes *= static_cast<size_t>(dims[d]);
  t->data = data;
}

bool BitOf(const void* words, int32_t i) { return (static_cast<const uint32_t*>(words)[i / 32] >> (i % 32)) & 1u; }

// +1 or -1: the weight of output channel `o` under a tap for the channel `ic` of its group.
int32_t WeightAt(const Product& p, const void* filter, int32_t o, int32_t tap, int32_t ic) {
  const uint32_t* own = static_cast<const uint32_t*>(filter) + o * FilterWords(p);
  if (!PackedInput(p)) return BitOf(own, tap * GroupChannels(p) + ic) ? 1 : -1;
  const int32_t group = o / GroupFilters(p);
  const int32_t bit = group * GroupChannels(p) + ic - 32 * FirstWord(p, group);
  return BitOf(own + tap * TapWords(p), bit) ? 1 : -1;
}

template <typename Sum>
Sum InputAt(const Product& p, const void* input, int32_t pixel, int32_t channel) {
  const int32_t i = pixel * PixelElements(p) + channel;
  switch (p.input) {
    case Type::kFloat32:
      return static_cast<Sum>(static_cast<const float*>(input)[i]);
    case Type::kInt8:
      return static_cast<Sum>(static_cast<const int8_t*>(input)[i] - p.zero_point);
    case Type::kUInt8:
      return static_cast<Sum>(static_cast<const uint8_t*>(input)[i] - p.zero_point);
    default:
      return static_cast<Sum>(BitOf(input, pixel * PixelElements(p) * 32 + channel) ? 1 : -1);
  }
}

template <typename Sum>
Sum SumAt(const Product& p, const void* const* data, int32_t output_pixel, int32_t o) {
  const int32_t columns = OutputSize(p, p.w), rows = OutputSize(p, p.h);
  const int32_t left = WindowStart(p, p.w, output_pixel % columns);
  const int32_t top = WindowStart(p, p.h, output_pixel / columns % rows);
  const int32_t image = output_pixel / columns / rows;
  const int32_t first_channel = o / GroupFilters(p) * GroupChannels(p);
  Sum sum = 0;
  for (int32_t tap = 0; tap < Taps(p); ++tap) {
    const int32_t y = top + tap / p.w.kernel * p.h.dilation;
    const int32_t x = left + tap % p.w.kernel * p.w.dilation;
    const bool inside = y >= 0 && y < p.h.in && x >= 0 && x < p.w.in;
    const int32_t pixel = (image * p.h.in + y) * p.w.in + x;
    for (int32_t ic = 0; ic < GroupChannels(p); ++ic) {
      if (!inside && p.pad_value == 0) continue;
      const Sum value = inside ? InputAt<Sum>(p, data[0], pixel, first_channel + ic) : static_cast<Sum>(1);
      sum = sum + value * static_cast<Sum>(WeightAt(p, data[1], o, tap, ic));
    }
  }
  return sum;
}

constexpr float kClampMin = -0.5f, kClampMax = 6.0f;

template <typename Sum>
uint32_t FloatElement(const Product& p, const void* const* data, int32_t pixel, int32_t o) {
  float y = static_cast<float>(SumAt<Sum>(p, data, pixel, o));
  y = y * (p.has_multiplier ? static_cast<const float*>(data[2])[o] : 1.0f);
  y = y + (p.has_bias ? static_cast<const float*>(data[3])[o] : 0.0f);
  if (p.clamped && y < kClampMin) y = kClampMin;
  if (p.clamped && y > kClampMax) y = kClampMax;
  uint32_t bits;
  memcpy(&bits, &y, sizeof(bits));
  return bits;
}

template <typename Sum>
uint32_t PackedElement(const Product& p, const void* const* data, int32_t pixel, int32_t word) {
  uint32_t bits = 0;
  for (int32_t b = 0; b < 32 && 32 * word + b < p.filters; ++b) {
    const int32_t o = 32 * word + b;
    if (SumAt<Sum>(p, data, pixel, o) >= static_cast<const Sum*>(data[4])[o]) bits |= 1u << b;
  }
  return bits;
}

int32_t OutputStride(const Product& p) { return p.packed_output ? Words(p.filters) : p.filters; }

}  // namespace

Product RandomProduct(bool fully_connected, Type input, bool packed_output, Random* random) {
  Product p = {};
  p.fully_connected = fully_connected;
  p.input = input;
  p.packed_output = packed_output;
  do {
    RandomShape(&p, random);
  } while (!Fits(p));
  if (input == Type::kInt8) p.zero_point = Pick(-128, 127, random);
  if (input == Type::kUInt8) p.zero_point = Pick(0, 255, random);
  if (!packed_output) {
    p.clamped = random->OneIn(2);
    p.has_multiplier = random->OneIn(2);
    p.has_bias = random->OneIn(2);
  }
  return p;
}

void WriteOptions(const Product& p, OptionWriter* options) {
  options->Int("version", 1);
  if (p.fully_connected) {
    options->Int("units", p.filters);
    options->Int("channels", p.channels);
    if (p.w.kernel > 1) {
      options->Int("pixels", p.w.kernel);
      options->Int("input_axes", 2);
    }
  } else {
    options->Int("channels", p.channels);
    options->Int("filters", p.filters);
    options->Int("kernel_h", p.h.kernel);
    options->Int("kernel_w", p.w.kernel);
    options->Int("stride_h", p.h.stride);
    options->Int("stride_w", p.w.stride);
    options->Int("dilation_h", p.h.dilation);
    options->Int("dilation_w", p.w.dilation);
    options->Int("groups", p.groups);
    options->String("padding", p.same ? "same" : "valid");
    options->Int("pad_value", p.pad_value);
  }
  options->String("output", p.packed_output ? "packed" : "float32");
  if (p.zero_point != 0) options->Int("input_zero_point", p.zero_point);
  if (p.clamped) {
    options->Float("activation_min", kClampMin);
    options->Float("activation_max", kClampMax);
  }
}

int32_t MakeInputs(const Product& p, Random* random, Memory* memory, Tensor* tensors, const void** data) {
  const int32_t pixels = p.batch * p.h.in * p.w.in;
  data[0] = PackedInput(p)               ? TakePacked(pixels, p.channels, random, memory)
            : p.input == Type::kFloat32  ? TakeFloats(InputElements(p), random, memory)
                                         : TakeBytes(InputElements(p), random, memory);
  const int32_t image[4] = {p.batch, p.h.in, p.w.in, PixelElements(p)};
  const int32_t rows[3] = {p.batch, p.w.in, PixelElements(p)};
  const int32_t row[2] = {p.batch, PixelElements(p)};
  tensors[0] = !p.fully_connected ? Describe(p.input, "input", 4, image)
               : p.w.kernel > 1   ? Describe(p.input, "input", 3, rows)
                                  : Describe(p.input, "input", 2, row);

  data[1] = PackedInput(p) ? TakeGroupFilter(p, random, memory)
                           : TakePacked(p.filters, Taps(p) * GroupChannels(p), random, memory);
  const int32_t taps[4] = {p.filters, p.h.kernel, p.w.kernel, TapWords(p)};
  const int32_t plain[2] = {p.filters, FilterWords(p)};
  const bool by_taps = PackedInput(p) && !p.fully_connected;
  DescribeConstant(Type::kInt32, "filter", by_taps ? 4 : 2, by_taps ? taps : plain, data[1], &tensors[1]);

  if (p.has_multiplier) {
    data[2] = TakeFloats(p.filters, random, memory);
    DescribeConstant(Type::kFloat32, "multiplier", 1, &p.filters, data[2], &tensors[2]);
  }
  if (p.has_bias) {
    data[3] = TakeFloats(p.filters, random, memory);
    DescribeConstant(Type::kFloat32, "bias", 1, &p.filters, data[3], &tensors[3]);
  }
  if (p.packed_output) {
    data[4] = TakeThresholds(p, random, memory);
    const Type type = p.input == Type::kFloat32 ? Type::kFloat32 : Type::kInt32;
    DescribeConstant(type, "thresholds", 1, &p.filters, data[4], &tensors[4]);
  }
  return p.packed_output ? 5 : p.has_bias ? 4 : p.has_multiplier ? 3 : 2;
}

int32_t OutputElements(const Product& p) {
  return p.batch * OutputSize(p, p.h) * OutputSize(p, p.w) * OutputStride(p);
}

uint32_t ExpectedElement(const Product& p, const void* const* data, int32_t i) {
  const int32_t pixel = i / OutputStride(p), element = i % OutputStride(p);
  if (p.input == Type::kFloat32) {
    return p.packed_output ? PackedElement<float>(p, data, pixel, element)
                           : FloatElement<float>(p, data, pixel, element);
  }
  return p.packed_output ? PackedElement<int32_t>(p, data, pixel, element)
                         : FloatElement<int32_t>(p, data, pixel, element);
}

}  // namespace keras_ste
