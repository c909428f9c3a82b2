#include "tests/code_kernel_checks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "kernels/bits.h"
#include "tests/fenced.h"

namespace keras_ste {
namespace {

[[noreturn]] void Fail(const CodeKernels& kernels, const char* kernel, int32_t taps, int32_t steps, int32_t rows) {
  fprintf(stderr, "%s: %s is wrong for %d taps of %d steps, %d rows\n", kernels.name, kernel, taps, steps, rows);
  exit(1);
}

int32_t Between(Random* random, int32_t low, int32_t high) { return static_cast<int32_t>(random->Between(low, high)); }

// The row of each tap and pixel, as the kernels take them.
template <typename X>
std::vector<const X*> RowsOf(Fenced<X>* memory, int32_t rows, int32_t size) {
  std::vector<const X*> of(rows);
  for (int32_t i = 0; i < rows; ++i) of[i] = memory->data() + i * size;
  return of;
}

void CheckPlaneDot(const CodeKernels& k, Random* random) {
  const int32_t meeting = Between(random, 0, kPlaneMeetings - 1);
  const int32_t vectors = meeting == kMaskedXor ? 2 : 1;
  const int32_t taps = Between(random, 1, 4), words = Between(random, 1, 80);
  const int32_t rows = Between(random, 1, k.planedot_rows), blocks = Between(random, 1, 2);
  const int32_t block_words = taps * words * vectors * kBlock;
  const bool largest = random->OneIn(8);  // all bits count
  Fenced<uint32_t> weights(blocks * block_words), input(taps * rows * words);
  for (int32_t i = 0; i < blocks * block_words; ++i) {
    const bool zero = meeting == kXor || (meeting == kMaskedXor && i / kBlock % 2 == 1);
    weights[i] = !largest ? static_cast<uint32_t>(random->Bits()) : zero ? 0u : ~0u;
  }
  for (int32_t i = 0; i < taps * rows * words; ++i) input[i] = largest ? ~0u : static_cast<uint32_t>(random->Bits());
  const std::vector<const uint32_t*> inputs = RowsOf(&input, taps * rows, words);
  const int32_t coefficient = Between(random, -128, 128);
  Fenced<int32_t> start(rows * kChunk), sums(rows * kChunk);
  std::vector<int32_t> first(rows * kChunk);
  for (int32_t i = 0; i < rows * kChunk; ++i) first[i] = start[i] = sums[i] = Between(random, -100000, 100000);
  const bool in_place = random->OneIn(2);
  std::vector<const int32_t*> starts(rows);
  for (int32_t r = 0; r < rows; ++r) starts[r] = (in_place ? sums : start).data() + r * kChunk;
  k.planedot[meeting][blocks - 1][rows](inputs.data(), taps, words, weights.data(), block_words, coefficient,
                                        starts.data(), sums.data());
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t o = 0; o < blocks * kBlock; ++o) {
      int32_t count = 0;
      for (int32_t step = 0; step < taps * words; ++step) {
        const uint32_t* w = weights.data() + o / kBlock * block_words + step * vectors * kBlock + o % kBlock;
        const uint32_t a = inputs[step / words * rows + r][step % words];
        const uint32_t met = meeting == kXor ? *w ^ a : meeting == kAnd ? *w & a : (w[kBlock] ^ a) & *w;
        count += static_cast<int32_t>(CountBits(met));
      }
      if (sums[r * kChunk + o] != first[r * kChunk + o] + coefficient * count) Fail(k, "planedot", taps, words, rows);
    }
  }
}

float Combined(Combination how, float x, float lane) {
  if (how == Combination::kAdd) return x + lane;
  if (how == Combination::kMultiply) return x * lane;
  if (how == Combination::kMaximum) return x < lane ? lane : x;
  if (how == Combination::kMinimum) return x > lane ? lane : x;
  return x > 0 ? x : x * lane;
}

// The combinations of a test, and what they make of a sum.
struct Combinations {
  static constexpr int32_t kMost = 6;
  Fenced<float> lanes;
  Combine steps[kMost + 1] = {};
  int32_t count;

  explicit Combinations(Random* random) : lanes(kMost * kChunk), count(Between(random, 0, kMost)) {
    constexpr Combination kHow[] = {Combination::kAdd, Combination::kMultiply, Combination::kMaximum,
                                    Combination::kMinimum, Combination::kPrelu};
    for (int32_t i = 0; i < kMost * kChunk; ++i) lanes[i] = random->OneIn(10) ? random->OneIn(2) ? NAN : -0.0f : random->Real();
    for (int32_t i = 0; i < count; ++i) steps[i] = {random->OneOf(kHow), false, lanes.data() + i * kChunk, nullptr};
  }

  float Of(int32_t sum, int32_t lane) const {
    float x = static_cast<float>(sum);
    for (int32_t i = 0; i < count; ++i) x = Combined(steps[i].how, x, steps[i].lanes[lane]);
    return x;
  }
};

bool Same(float a, float b) { return isnan(a) ? isnan(b) : memcmp(&a, &b, sizeof(a)) == 0; }

// What becomes of the sums that planedot gives.
void CheckPlaneDotEnds(const CodeKernels& k, Random* random) {
  const int32_t taps = Between(random, 1, 4), words = Between(random, 1, 40), rows = Between(random, 1, k.planedot_rows);
  if (k.planedot_ends[rows] == nullptr) return;
  const int32_t block_words = taps * words * kBlock, coefficient = Between(random, -2, 2);
  Fenced<uint32_t> weights(2 * block_words), input(taps * rows * words);
  for (int32_t i = 0; i < 2 * block_words; ++i) weights[i] = static_cast<uint32_t>(random->Bits());
  for (int32_t i = 0; i < taps * rows * words; ++i) input[i] = static_cast<uint32_t>(random->Bits());
  const std::vector<const uint32_t*> inputs = RowsOf(&input, taps * rows, words);
  Fenced<int32_t> start(rows * kChunk), sums(rows * kChunk);
  for (int32_t i = 0; i < rows * kChunk; ++i) start[i] = Between(random, -1000, 1000);
  const std::vector<const int32_t*> starts = RowsOf(&start, rows, kChunk);
  k.planedot[kXor][1][rows](inputs.data(), taps, words, weights.data(), block_words, coefficient, starts.data(), sums.data());
  const auto run = [&](const Combine* steps, int32_t count, const CombinedRows& where) {
    k.planedot_ends[rows](inputs.data(), taps, words, weights.data(), block_words, coefficient, starts.data(), steps, count,
                          where);
  };

  const int32_t channel = Between(random, 0, 2) * kChunk, step = channel + kChunk + Between(random, 0, 8);
  const bool one = random->OneIn(3);
  Fenced<int32_t> thresholds(one ? 1 : channel + kChunk);
  for (int32_t i = 0; i < (one ? 1 : channel + kChunk); ++i) {
    thresholds[i] = random->OneIn(9) ? random->OneIn(2) ? INT32_MIN : INT32_MAX : sums[Between(random, 0, rows * kChunk - 1)];
  }
  Fenced<uint32_t> reached((rows - 1) * step + channel / 32 + 1);
  Fenced<float> floats((rows - 1) * step + channel + kChunk);
  int64_t places[kMaxTileRows];
  for (int32_t r = 0; r < rows; ++r) places[r] = (rows - 1 - r) * step;
  CombinedRows where = {rows, channel, kChunk, places, places, nullptr, nullptr, nullptr, nullptr};
  Combine reach = {Combination::kReachSums, one, nullptr, reached.data()};
  reach.thresholds = thresholds.data();
  run(&reach, 1, where);
  Combinations combinations(random);
  combinations.steps[combinations.count] = {Combination::kStore, false, nullptr, floats.data() + channel};
  where.channel = 0;
  run(combinations.steps, combinations.count + 1, where);
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t o = 0; o < kChunk; ++o) {
      const int32_t sum = sums[r * kChunk + o], place = static_cast<int32_t>(places[r]);
      const bool bit = (reached[place + channel / 32] >> o & 1) != 0;
      if (bit != (sum >= thresholds[one ? 0 : channel + o])) Fail(k, "planedot_ends in thresholds", taps, words, rows);
      if (!Same(combinations.Of(sum, o), floats[place + channel + o])) Fail(k, "planedot_ends", taps, words, rows);
    }
  }
}

// The unsigned weight of input number i of a lane of packed weights, `block` of them a step.
int32_t WeightAt(const uint32_t* weights, int32_t bits, int32_t lane, int32_t i) {
  const int32_t step = 32 / bits, in_step = i % step;
  const uint32_t packed = weights[i / step * kBlock + lane];
  return static_cast<int32_t>(packed >> (8 * (in_step % 4) + bits * (in_step / 4)) & ((1u << bits) - 1u));
}

void CheckByteDot(const CodeKernels& k, Random* random) {
  const int32_t width = Between(random, 0, kByteDotWidths - 1), bits = 1 << width;
  const int32_t taps = Between(random, 1, 3), steps = Between(random, 1, random->OneIn(2) ? 7 : 70);
  const int32_t rows = Between(random, 1, k.bytedot_rows), blocks = Between(random, 1, 2);
  const int32_t block_words = taps * steps * kBlock, size = steps * 32 / bits;
  const bool largest = random->OneIn(4);
  const int8_t extreme = random->OneIn(2) ? -128 : 127;
  Fenced<uint32_t> weights(blocks * block_words);
  Fenced<int8_t> input(taps * rows * size);
  for (int32_t i = 0; i < blocks * block_words; ++i) weights[i] = largest ? ~0u : static_cast<uint32_t>(random->Bits());
  for (int32_t i = 0; i < taps * rows * size; ++i) input[i] = largest ? extreme : static_cast<int8_t>(random->Bits());
  const std::vector<const int8_t*> inputs = RowsOf(&input, taps * rows, size);
  const int32_t shift = Between(random, 0, 2);
  Fenced<int32_t> start(blocks * kBlock), row_start(rows), sums(rows * kChunk);
  for (int32_t o = 0; o < blocks * kBlock; ++o) start[o] = Between(random, -100000, 100000);
  for (int32_t r = 0; r < rows; ++r) row_start[r] = Between(random, -100000, 100000);
  k.bytedot[width][blocks - 1][rows](inputs.data(), taps, steps, weights.data(), block_words, shift, start.data(),
                                     row_start.data(), sums.data());
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t o = 0; o < blocks * kBlock; ++o) {
      int32_t sum = 0;
      for (int32_t i = 0; i < taps * size; ++i) {
        sum += WeightAt(weights.data() + o / kBlock * block_words, bits, o % kBlock, i) *
               inputs[i / size * rows + r][i % size];
      }
      const int32_t expected = start[o] + row_start[r] + sum * (1 << shift);
      if (sums[r * kChunk + o] != expected) Fail(k, "bytedot", taps, steps, rows);
    }
  }
}

void CheckByteRow(const CodeKernels& k, Random* random) {
  if (k.byterow_rows == 0) return;
  const int32_t taps = Between(random, 1, 4), steps = Between(random, 1, random->OneIn(2) ? 7 : 70);
  const int32_t rows = Between(random, 1, k.byterow_rows), blocks = Between(random, 1, 2);
  const int32_t pixel_step = Between(random, 1, 20), tap_step = Between(random, 1, 300);
  const int32_t block_bytes = taps * steps * kBlock * 4;
  const bool largest = random->OneIn(4);
  const int8_t extreme = random->OneIn(2) ? -128 : 127;
  Fenced<int8_t> weights(blocks * block_bytes);
  Fenced<uint8_t> input((rows - 1) * pixel_step + (taps - 1) * tap_step + 4 * steps);
  for (int32_t i = 0; i < blocks * block_bytes; ++i) weights[i] = largest ? extreme : static_cast<int8_t>(random->Bits());
  for (int32_t i = 0; i < (rows - 1) * pixel_step + (taps - 1) * tap_step + 4 * steps; ++i) {
    input[i] = largest ? UINT8_MAX : static_cast<uint8_t>(random->Bits());
  }
  Fenced<int32_t> start(blocks * kBlock), sums((rows - 1) * kChunk + blocks * kBlock);
  for (int32_t o = 0; o < blocks * kBlock; ++o) start[o] = Between(random, -100000, 100000);
  const int32_t out_step = blocks * kBlock + Between(random, 0, 8);
  Fenced<float> floats((rows - 1) * out_step + blocks * kBlock);
  Combinations combinations(random);
  combinations.steps[combinations.count] = {Combination::kStore, false, nullptr, floats.data()};
  int64_t places[kMaxTileRows];
  for (int32_t r = 0; r < rows; ++r) places[r] = r * out_step;
  const CombinedRows combined = {rows, 0, blocks * kBlock, places, nullptr, nullptr, nullptr, nullptr, nullptr};
  const ByteRow row = {input.data(),   pixel_step,  tap_step,    taps, steps,
                       weights.data(), block_bytes, start.data()};
  k.byterow_sums[blocks - 1][rows](row, sums.data());
  k.byterow_floats[blocks - 1][rows](row, combinations.steps, combinations.count + 1, combined);
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t o = 0; o < blocks * kBlock; ++o) {
      int32_t sum = start[o];
      for (int32_t i = 0; i < taps * steps * 4; ++i) {
        const int8_t weight = weights[o / kBlock * block_bytes + i / 4 * kBlock * 4 + o % kBlock * 4 + i % 4];
        sum += weight * input[r * pixel_step + i / (4 * steps) * tap_step + i % (4 * steps)];
      }
      if (sums[r * kChunk + o] != sum) Fail(k, "byterow_sums", taps, steps, rows);
      if (!Same(combinations.Of(sum, o), floats[r * out_step + o])) Fail(k, "byterow_floats", taps, steps, rows);
    }
  }
}

void CheckFloatDot(const CodeKernels& k, Random* random) {
  const int32_t width = Between(random, 0, kFloatDotWidths - 1), bits = 2 << width;
  const int32_t taps = Between(random, 1, 3), count = Between(random, 1, 100), steps = CeilDiv(count, 32 / bits);
  const int32_t rows = Between(random, 1, k.floatdot_rows), blocks = Between(random, 1, 2);
  const int32_t block_words = taps * steps * kBlock;
  Fenced<uint32_t> weights(blocks * block_words);
  Fenced<float> input(taps * rows * count), sums(rows * kChunk);
  for (int32_t i = 0; i < blocks * block_words; ++i) weights[i] = static_cast<uint32_t>(random->Bits());
  for (int32_t i = 0; i < taps * rows * count; ++i) input[i] = random->OneIn(10) ? -0.0f : random->Real();
  const std::vector<const float*> inputs = RowsOf(&input, taps * rows, count);
  const int32_t scale = Between(random, 1, 2), offset = Between(random, -255, 0);
  k.floatdot[width][blocks - 1][rows](inputs.data(), taps, count, weights.data(), block_words, scale, offset,
                                      sums.data());
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t o = 0; o < blocks * kBlock; ++o) {
      float sum = 0.0f;
      for (int32_t i = 0; i < taps * count; ++i) {
        const uint32_t* tap = weights.data() + o / kBlock * block_words + i / count * steps * kBlock;
        const int32_t u = WeightAt(tap, bits, o % kBlock, i % count);
        sum += static_cast<float>(scale * u + offset) * inputs[i / count * rows + r][i % count];
      }
      if (memcmp(&sums[r * kChunk + o], &sum, sizeof(sum)) != 0) Fail(k, "floatdot", taps, count, rows);
    }
  }
}

void CheckNearest(const CodeKernels& k, Random* random) {
  const int32_t rows = Between(random, 1, k.nearest_rows), size = Between(random, 1, 20);
  const int32_t count = Between(random, 1, 70), blocks = CeilDiv(count, kBlock);
  const bool integers = random->OneIn(2);  // of which many are equally far
  const auto number = [&] { return integers ? static_cast<float>(random->Between(-1, 1)) : random->Real(); };
  Fenced<float> input(rows * size), vectors(blocks * size * kBlock), norms(blocks * kBlock);
  for (int32_t i = 0; i < rows * size; ++i) input[i] = number();
  for (int32_t i = 0; i < blocks * size * kBlock; ++i) vectors[i] = number();
  for (int32_t c = 0; c < blocks * kBlock; ++c) {
    norms[c] = c < count ? 0.0f : INFINITY;
    for (int32_t i = 0; i < size; ++i) {
      const float v = vectors[(c / kBlock * size + i) * kBlock + c % kBlock];
      norms[c] += v * v;
    }
  }
  const std::vector<const float*> of = RowsOf(&input, rows, size);
  Fenced<int32_t> nearest(rows);
  k.nearest[rows](of.data(), size, vectors.data(), norms.data(), blocks, nearest.data());
  for (int32_t r = 0; r < rows; ++r) {
    float least = INFINITY;
    int32_t best = 0;
    for (int32_t c = 0; c < count; ++c) {
      float product = 0.0f;
      for (int32_t i = 0; i < size; ++i) product += vectors[(c / kBlock * size + i) * kBlock + c % kBlock] * of[r][i];
      const float distance = norms[c] - 2.0f * product;
      if (distance < least) {
        least = distance;
        best = c;
      }
    }
    if (nearest[r] != best) Fail(k, "nearest", blocks, size, rows);
  }
}

void CheckPackPlanes(const CodeKernels& k, Random* random) {
  const int32_t n = Between(random, 1, 200), bits = Between(random, 1, 8), words = WordsOf(n);
  Fenced<int8_t> codes(n);
  Fenced<uint32_t> planes(bits * words);
  std::vector<uint32_t> expected(bits * words);
  for (int32_t i = 0; i < n; ++i) {
    codes[i] = static_cast<int8_t>(random->Bits());
    for (int32_t p = 0; p < bits; ++p) {
      expected[p * words + i / 32] |= (static_cast<uint32_t>(codes[i]) >> p & 1u) << (i % 32);
    }
  }
  k.pack_planes(codes.data(), n, bits, planes.data());
  if (memcmp(planes.data(), expected.data(), expected.size() * sizeof(uint32_t)) != 0) {
    Fail(k, "pack_planes", bits, n, 1);
  }
}

void CheckUnpackPlanes(const CodeKernels& k, Random* random) {
  const int32_t n = Between(random, 1, 200), bits = Between(random, 1, 8), words = WordsOf(n), pixels = Between(random, 1, 3);
  Fenced<uint32_t> planes(pixels * bits * words);
  Fenced<int8_t> worth(bits), bytes(pixels * n);
  Fenced<int32_t> sums(pixels);
  for (int32_t i = 0; i < pixels * bits * words; ++i) planes[i] = static_cast<uint32_t>(random->Bits());
  for (int32_t p = 0; p < bits; ++p) worth[p] = static_cast<int8_t>(random->Bits());
  const int8_t start = static_cast<int8_t>(random->Bits());
  const bool adds = random->OneIn(2);
  k.unpack_planes(planes.data(), pixels, n, bits, start, worth.data(), bytes.data(), adds ? sums.data() : nullptr);
  for (int32_t pixel = 0; pixel < pixels; ++pixel) {
    int32_t expected = 0;
    for (int32_t i = 0; i < n; ++i) {
      int32_t byte = start;
      for (int32_t p = 0; p < bits; ++p) {
        byte += planes[(pixel * bits + p) * words + i / 32] >> (i % 32) & 1u ? worth[p] : 0;
      }
      if (bytes[pixel * n + i] != static_cast<int8_t>(byte)) Fail(k, "unpack_planes", bits, n, pixel);
      expected += static_cast<int8_t>(byte);
    }
    if (adds && sums[pixel] != expected) Fail(k, "unpack_planes", bits, n, pixel);
  }
}

void CheckFlipBytes(const CodeKernels& k, Random* random) {
  const int32_t n = Between(random, 1, 200);
  const int8_t flip = random->OneIn(2) ? -128 : 0;
  Fenced<int8_t> codes(n), bytes(n);
  int32_t sum = 0;
  for (int32_t i = 0; i < n; ++i) {
    codes[i] = static_cast<int8_t>(random->Bits());
    sum += static_cast<int8_t>(codes[i] ^ flip);
  }
  if (k.flip_bytes(codes.data(), n, flip, bytes.data()) != sum) Fail(k, "flip_bytes", 1, n, 1);
  for (int32_t i = 0; i < n; ++i) {
    if (bytes[i] != static_cast<int8_t>(codes[i] ^ flip)) Fail(k, "flip_bytes", 1, n, 1);
  }
}

void CheckQuantizeRow(const CodeKernels& k, Random* random) {
  const int32_t n = Between(random, 1, 100);
  const float special[] = {-0.0f, 0.0f, INFINITY, -INFINITY, NAN};
  const bool halves = random->OneIn(2), has_special = random->OneIn(3);
  const float limit = static_cast<float>((1 << Between(random, 1, 7)) - 1), least = 1e-5f;
  Fenced<float> x(n);
  Fenced<int8_t> codes(n);
  float largest = least;
  for (int32_t i = 0; i < n; ++i) {
    x[i] = halves ? 0.5f * static_cast<float>(Between(random, -255, 255)) : random->Real();
    if (i == 0 && halves) x[i] = limit;
    if (has_special && random->OneIn(10)) x[i] = random->OneOf(special);
    if (fabsf(x[i]) > largest || isnan(x[i])) largest = fabsf(x[i]);
  }
  const float actual = k.quantize_row(x.data(), n, limit, least, codes.data());
  if (isnan(largest) ? !isnan(actual) : actual != largest) Fail(k, "quantize_row", 1, n, 1);
  const float factor = limit / largest;
  for (int32_t i = 0; i < n; ++i) {
    const float scaled = x[i] * factor;
    const int32_t expected = isnan(scaled) ? 0 : static_cast<int32_t>(lrintf(scaled));
    if (codes[i] != expected) Fail(k, "quantize_row", 1, n, 1);
  }
}

}  // namespace

void CheckCodeKernels(const CodeKernels& k, Random* random) {
  CheckPlaneDot(k, random);
  CheckPlaneDotEnds(k, random);
  CheckByteDot(k, random);
  CheckByteRow(k, random);
  CheckFloatDot(k, random);
  CheckNearest(k, random);
  CheckPackPlanes(k, random);
  CheckUnpackPlanes(k, random);
  CheckFlipBytes(k, random);
  CheckQuantizeRow(k, random);
}

}  // namespace keras_ste
