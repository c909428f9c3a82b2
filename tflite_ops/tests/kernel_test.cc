// Each kernel of each set that this machine has, on random sizes, against plain loops, bit for bit. What a kernel may
// read lies at the end of a page behind which no memory is, so that a word too far ends the program.
//
//   kernel_test [seed [number of cases]]
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "kernels/conv.h"
#include "kernels/kernel_table.h"
#include "tests/code_kernel_checks.h"
#include "tests/fenced.h"
#include "tests/random.h"

namespace keras_ste {
namespace {

[[noreturn]] void Fail(const KernelTable& kernels, const char* kernel, int32_t taps, int32_t steps, int32_t rows) {
  fprintf(stderr, "%s: %s is wrong for %d taps of %d steps, %d rows\n", kernels.name, kernel, taps, steps, rows);
  exit(1);
}

void CheckSignSum(const KernelTable& k, Random* random) {
  const int32_t taps = static_cast<int32_t>(random->Between(1, 3));
  const int32_t channels = static_cast<int32_t>(random->Between(1, random->OneIn(2) ? 600 : 20));
  const int32_t rows = static_cast<int32_t>(random->Between(1, k.signsum_rows));
  const bool same = random->OneIn(8);
  Fenced<uint16_t> weights(taps * channels);
  Fenced<float> input(taps * rows * channels), sums(rows * kChunk);
  for (int32_t i = 0; i < taps * channels; ++i) {
    weights[i] = static_cast<uint16_t>(random->Bits() | (same ? 0xFFFF : 0));
  }
  for (int32_t i = 0; i < taps * rows * channels; ++i) input[i] = random->OneIn(10) ? -0.0f : random->Real();
  std::vector<const float*> inputs(taps * rows);
  for (int32_t i = 0; i < taps * rows; ++i) inputs[i] = input.data() + i * channels;
  k.signsum[rows](inputs.data(), taps, channels, weights.data(), sums.data());
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t o = 0; o < kBlock; ++o) {
      float sum = 0;
      for (int32_t step = 0; step < taps * channels; ++step) {
        const float x = inputs[step / channels * rows + r][step % channels];
        sum += (weights[step] >> o) & 1 ? x : -x;
      }
      if (memcmp(&sums[r * kChunk + o], &sum, sizeof(sum)) != 0) Fail(k, "signsum", taps, channels, rows);
    }
  }
}

void CheckThresholds(const KernelTable& k, Random* random) {
  Fenced<int32_t> sums(kChunk), thresholds(kChunk);
  Fenced<float> float_sums(kChunk), float_thresholds(kChunk);
  const int32_t limits[] = {INT32_MIN, -1, 0, 1, INT32_MAX};
  const float float_limits[] = {-__builtin_inff(), -0.0f, 0.0f, __builtin_inff(), __builtin_nanf("")};
  uint32_t bits = 0, float_bits = 0;
  for (int32_t i = 0; i < kChunk; ++i) {
    sums[i] = random->OneIn(3) ? random->OneOf(limits) : static_cast<int32_t>(random->Bits());
    thresholds[i] = random->OneIn(3) ? sums[i] : random->OneOf(limits);
    float_sums[i] = random->OneIn(3) ? random->OneOf(float_limits) : random->Real();
    float_thresholds[i] = random->OneIn(3) ? float_sums[i] : random->OneOf(float_limits);
    bits |= (sums[i] >= thresholds[i] ? 1u : 0u) << i;
    float_bits |= (float_sums[i] >= float_thresholds[i] ? 1u : 0u) << i;
  }
  uint32_t word = 0;
  void* words[] = {&word};
  k.output.codes_int32(sums.data(), 1, thresholds.data(), 0, {1, 0, words, 0, 0});
  if (word != bits) Fail(k, "codes_int32", 1, kChunk, 1);
  k.output.codes_float(float_sums.data(), 1, float_thresholds.data(), 0, {1, 0, words, 0, 0});
  if (word != float_bits) Fail(k, "codes_float", 1, kChunk, 1);
}

// Codes of all widths, of several rows.
void CheckCodes(const KernelTable& k, Random* random) {
  const int32_t bits = static_cast<int32_t>(random->Between(1, 8)), levels = 1 << bits;
  const int32_t rows = static_cast<int32_t>(random->Between(1, kMaxTileRows)), step = static_cast<int32_t>(random->Between(1, 3));
  const uint32_t flip = random->OneIn(2) ? static_cast<uint32_t>(random->Bits()) : 0;
  Fenced<int32_t> sums(rows * kChunk), thresholds((levels - 1) * kChunk);
  for (int32_t i = 0; i < rows * kChunk; ++i) sums[i] = static_cast<int32_t>(random->Between(-2 * levels, 2 * levels));
  for (int32_t lane = 0; lane < kChunk; ++lane) {
    int32_t threshold = -levels;
    for (int32_t t = 0; t < levels - 1; ++t) {
      threshold += static_cast<int32_t>(random->Between(0, 3));
      thresholds[t * kChunk + lane] = threshold;
    }
  }
  Fenced<uint32_t> out(rows * ((bits - 1) * step + 1));
  void* words[kMaxTileRows];
  for (int32_t r = 0; r < rows; ++r) words[r] = out.data() + r * ((bits - 1) * step + 1);
  const PlaneWords to = {bits, flip, words, 0, step};
  k.output.codes_int32(sums.data(), rows, thresholds.data(), kChunk, to);
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t lane = 0; lane < kChunk; ++lane) {
      int32_t code = 0, found = 0;
      for (int32_t t = 0; t < levels - 1; ++t) code += sums[r * kChunk + lane] >= thresholds[t * kChunk + lane] ? 1 : 0;
      for (int32_t p = 0; p < bits; ++p) {
        const uint32_t turned = p == bits - 1 ? flip : 0;
        found |= static_cast<int32_t>((to.At(r)[p * step] ^ turned) >> lane & 1u) << p;
      }
      if (found != code) Fail(k, "codes_int32", bits, lane, r);
    }
  }
}

// kRound, in doubles.
int8_t Rounded(float x, const Rounding& how) {
  if (x != x) return 0;
  const double clamped = fmin(fmax(static_cast<double>(x), static_cast<double>(how.low)), static_cast<double>(how.high));
  return static_cast<int8_t>(static_cast<int32_t>(nearbyint(clamped)) + how.zero_point);
}

// Of four steps at most, of channels behind others, with rows in any order.
template <typename Sum>
void CheckCombine(const KernelTable& k, void (*run)(const Sum*, const Combine*, int32_t, const CombinedRows&),
                  const char* kernel, Random* random) {
  constexpr Combination kAll[] = {Combination::kAdd,          Combination::kMultiply, Combination::kMaximum,
                                  Combination::kMinimum,      Combination::kPrelu,    Combination::kAddRows,
                                  Combination::kMultiplyRows, Combination::kStore,    Combination::kReach,
                                  Combination::kRound};
  constexpr int32_t kMost = 4;
  const int32_t rows = static_cast<int32_t>(random->Between(1, kMaxTileRows)), size = rows * kChunk;
  const int32_t count = static_cast<int32_t>(random->Between(0, kMost)), lanes_of_row = random->OneIn(2) ? kBlock : kChunk;
  const int32_t channel = static_cast<int32_t>(random->Between(0, 2)) * kChunk, channels = channel + kChunk;
  Fenced<Sum> sums(size);
  Fenced<float> constants(kMost * channels), residual(size), scales(rows), stored(kMost * rows * channels), floats(size);
  std::vector<float> x(size), expected(kMost * rows * channels);
  for (int32_t i = 0; i < size; ++i) {
    sums[i] = static_cast<Sum>(random->OneIn(9) ? 0 : 100 * random->Real());
    x[i] = static_cast<float>(sums[i]);
    residual[i] = random->OneIn(9) ? -0.0f : random->Real();
  }
  for (int32_t i = 0; i < kMost * channels; ++i) constants[i] = random->OneIn(9) ? -0.0f : random->Real();
  const int32_t zero_point = static_cast<int32_t>(random->Between(-128, 127));
  const Rounding rounding = {static_cast<float>(-128 - zero_point), static_cast<float>(127 - zero_point), zero_point};
  for (int32_t r = 0; r < rows; ++r) scales[r] = random->Real();
  memset(stored.data(), 0, expected.size() * sizeof(float));
  int64_t places[kMaxTileRows], words[kMaxTileRows], residual_places[kMaxTileRows];
  for (int32_t r = 0; r < rows; ++r) {
    places[r] = static_cast<int64_t>(rows - 1 - r) * channels;
    words[r] = static_cast<int64_t>(r) * channels / kChunk;
    residual_places[r] = (r + 1) % rows * kChunk;
  }
  Combine steps[kMost];
  for (int32_t s = 0; s < count; ++s) {
    Combination how = random->OneOf(kAll);
    if (lanes_of_row < kChunk && how == Combination::kReach) how = Combination::kRound;
    const bool rowwise = how == Combination::kAddRows || how == Combination::kMultiplyRows;
    const bool one = !rowwise && random->OneIn(3);
    const float* lanes = constants.data() + s * channels;
    steps[s] = {how, one, rowwise ? nullptr : lanes, stored.data() + s * rows * channels, &rounding};
    float* out = expected.data() + s * rows * channels;
    for (int32_t i = 0; i < size; ++i) {
      const int32_t r = i / kChunk, lane = i % kChunk;
      if (lane >= lanes_of_row) continue;
      const float y = lanes[one ? 0 : channel + lane];
      if (how == Combination::kAdd) x[i] = x[i] + y;
      if (how == Combination::kMultiply) x[i] = x[i] * y;
      if (how == Combination::kMaximum) x[i] = x[i] < y ? y : x[i];
      if (how == Combination::kMinimum) x[i] = x[i] > y ? y : x[i];
      if (how == Combination::kPrelu) x[i] = x[i] > 0 ? x[i] : x[i] * y;
      if (how == Combination::kMultiplyRows) x[i] = x[i] * scales[r];
      if (how == Combination::kAddRows) x[i] = x[i] + residual[static_cast<int32_t>(residual_places[r]) + lane];
      if (how == Combination::kStore) out[places[r] + channel + lane] = x[i];
      if (how == Combination::kRound) reinterpret_cast<int8_t*>(out)[places[r] + channel + lane] = Rounded(x[i], rounding);
      if (how == Combination::kReach) {
        uint32_t word = 0;
        memcpy(&word, out + words[r] + channel / 32, sizeof(word));
        word |= (x[i] >= y ? 1u : 0u) << lane;
        memcpy(out + words[r] + channel / 32, &word, sizeof(word));
      }
    }
  }
  const bool keeps = random->OneIn(2);
  run(sums.data(), steps, count, {rows, channel, lanes_of_row, places, words, scales.data(), residual.data(), residual_places,
                                  keeps ? floats.data() : nullptr});
  const bool same = memcmp(stored.data(), expected.data(), expected.size() * sizeof(float)) == 0;
  bool kept = true;
  for (int32_t r = 0; keeps && r < rows; ++r) {
    kept &= memcmp(floats.data() + r * kChunk, x.data() + r * kChunk, static_cast<size_t>(lanes_of_row) * sizeof(float)) == 0;
  }
  if (!same || !kept) Fail(k, kernel, rows, count, 1);
}

// Halves, what is out of range, and what is no number.
void CheckRound(const KernelTable& k, Random* random) {
  constexpr float kOdd[] = {NAN, INFINITY, -INFINITY, -0.0f, 3e38f, -3e38f, 1e-45f};
  const int32_t rows = static_cast<int32_t>(random->Between(1, kMaxTileRows)), lanes = random->OneIn(2) ? kBlock : kChunk;
  const int32_t zero_point = static_cast<int32_t>(random->Between(-128, 127));
  const float low = static_cast<float>(random->Between(-128, 127) - zero_point);
  const float high = low + static_cast<float>(random->Between(0, 127 - zero_point - static_cast<int32_t>(low)));
  const Rounding rounding = {low, high, zero_point};
  Fenced<float> floats((rows - 1) * kChunk + lanes);
  Fenced<int8_t> out(rows * lanes);
  int64_t places[kMaxTileRows];
  for (int32_t r = 0; r < rows; ++r) {
    places[r] = r * lanes;
    for (int32_t i = 0; i < lanes; ++i) {
      const float half = 0.5f * static_cast<float>(random->Between(-600, 600));
      floats[r * kChunk + i] = random->OneIn(5) ? random->OneOf(kOdd) : random->OneIn(2) ? half : half + random->Real();
    }
  }
  const Combine round = {Combination::kRound, false, nullptr, out.data(), &rounding};
  k.output.combine_float(floats.data(), &round, 1, {rows, 0, lanes, places, nullptr, nullptr, nullptr, nullptr, nullptr});
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t i = 0; i < lanes; ++i) {
      if (out[r * lanes + i] != Rounded(floats[r * kChunk + i], rounding)) Fail(k, "round", rows, lanes, i);
    }
  }
}

template <typename Out>
void CheckRequantize(const KernelTable& k,
                     void (*run)(const int32_t*, int32_t, const Requantize&, int32_t, Out* const*), const char* kernel,
                     Random* random) {
  const int32_t n = static_cast<int32_t>(random->Between(1, kChunk)), limit = sizeof(Out) == 1 ? 127 : 32767;
  const int32_t rows = static_cast<int32_t>(random->Between(1, kMaxTileRows));
  const bool halves = random->OneIn(2);  // are likely
  Fenced<int32_t> sums((rows - 1) * kChunk + n), bias(n), multipliers(n), shifts(n);
  Fenced<Out> out(rows * n);
  Out* of_row[kMaxTileRows];
  for (int32_t r = 0; r < rows; ++r) of_row[r] = out.data() + r * n;
  for (int32_t i = 0; i < n; ++i) {
    shifts[i] = static_cast<int32_t>(halves ? random->Between(-4, 0) : random->Between(-31, 8));
    multipliers[i] = random->OneIn(3) ? 1 << 30 : static_cast<int32_t>(random->Between(1 << 30, INT32_MAX));
    if (random->OneIn(20)) multipliers[i] = 0;
    bias[i] = static_cast<int32_t>(random->Between(-99, 99));
    for (int32_t r = 0; r < rows; ++r) {
      const int32_t any = static_cast<int32_t>(random->Bits()) / 2 >> (shifts[i] > 0 ? shifts[i] : 0);
      sums[r * kChunk + i] = halves ? static_cast<int32_t>(random->Between(-999, 999)) : any;
    }
  }
  const int32_t zero_point = static_cast<int32_t>(random->Between(-128, 127));
  const bool biased = random->OneIn(2);
  const Requantize q = {biased ? bias.data() : nullptr, multipliers.data(), shifts.data(), zero_point,
                        -limit + 3, limit - 5};
  run(sums.data(), rows, q, n, of_row);
  for (int32_t i = 0; i < rows * n; ++i) {
    const int32_t o = i % n, right = 31 - shifts[o];
    const int64_t sum = sums[i / n * kChunk + o] + (biased ? bias[o] : 0);
    const int64_t moved = ((sum * multipliers[o] + (int64_t{1} << (right - 1))) >> right) + zero_point;
    const int64_t expected = moved < q.low ? q.low : moved > q.high ? q.high : moved;
    if (out[i] != expected) Fail(k, kernel, 1, n, rows);
  }
}

void CheckPackSigns(const KernelTable& k, Random* random) {
  const int32_t n = static_cast<int32_t>(random->Between(1, 200)), words = WordsOf(n);
  const float special[] = {-__builtin_inff(), -0.0f, 0.0f, __builtin_inff(), __builtin_nanf("")};
  Fenced<float> x(n);
  Fenced<uint32_t> packed(words);
  std::vector<uint32_t> expected(words);
  for (int32_t i = 0; i < n; ++i) {
    x[i] = random->OneIn(4) ? random->OneOf(special) : random->Real();
    expected[i / 32] |= (x[i] >= 0.0f ? 1u : 0u) << (i % 32);
  }
  k.pack_signs(x.data(), n, packed.data());
  if (memcmp(packed.data(), expected.data(), words * sizeof(uint32_t)) != 0) Fail(k, "pack_signs", 1, n, 1);
}

}  // namespace
}  // namespace keras_ste

int main(int argc, char** argv) {
  using namespace keras_ste;
  const uint64_t seed = argc > 1 ? strtoull(argv[1], nullptr, 10) : 1;
  const int32_t cases = argc > 2 ? atoi(argv[2]) : 300;
  const KernelTable* tables[kMaxKernelTables];
  const int32_t n = AvailableKernels(tables);
  for (int32_t t = 0; t < n; ++t) {
    const KernelTable& k = *tables[t];
    Random random(seed);
    for (int32_t i = 0; i < cases; ++i) {
      CheckSignSum(k, &random);
      CheckThresholds(k, &random);
      CheckCodes(k, &random);
      CheckCombine(k, k.output.combine_int32, "combine_int32", &random);
      CheckCombine(k, k.output.combine_float, "combine_float", &random);
      CheckRound(k, &random);
      CheckRequantize(k, k.output.requantize_int8, "requantize_int8", &random);
      CheckRequantize(k, k.output.requantize_int16, "requantize_int16", &random);
      CheckPackSigns(k, &random);
      CheckCodeKernels(*k.codes, &random);
    }
    printf("%s: %d cases\n", k.name, cases);
  }
  return 0;
}
