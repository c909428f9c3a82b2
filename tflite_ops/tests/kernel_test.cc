// Each kernel of each set that this machine has, on random sizes, against plain loops, bit for bit. What a kernel may read
// lies at the end of a page behind which no memory is, so that a word too far ends the program.
//
//   kernel_test [seed [number of cases]]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

#include "kernels/conv.h"
#include "kernels/kernel_table.h"
#include "tests/random.h"

namespace keras_ste {
namespace {

// `size` elements right before memory that must not be touched.
template <typename T>
class Fenced {
 public:
  explicit Fenced(int64_t size) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), bytes = size * sizeof(T);
    const size_t whole = (bytes + page - 1) / page * page;
    mapped_ = whole + page;
    memory_ = static_cast<char*>(mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory_ == MAP_FAILED || mprotect(memory_ + whole, page, PROT_NONE) != 0) abort();
    data_ = reinterpret_cast<T*>(memory_ + whole - bytes);
  }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;
  ~Fenced() { munmap(memory_, mapped_); }

  T* data() { return data_; }
  T& operator[](int64_t i) { return data_[i]; }

 private:
  char* memory_;
  size_t mapped_;
  T* data_;
};

[[noreturn]] void Fail(const KernelTable& kernels, const char* kernel, int32_t taps, int32_t steps, int32_t rows) {
  fprintf(stderr, "%s: %s is wrong for %d taps of %d steps, %d rows\n", kernels.name, kernel, taps, steps, rows);
  exit(1);
}

void CheckBitDot(const KernelTable& k, Random* random) {
  const int32_t taps = static_cast<int32_t>(random->Between(1, 4));
  const int32_t words = static_cast<int32_t>(random->Between(1, 80));
  const int32_t rows = static_cast<int32_t>(random->Between(1, k.bitdot_rows));
  const int32_t blocks = static_cast<int32_t>(random->Between(1, 2));
  const int32_t block_words = taps * words * kBlock;
  const bool opposite = random->OneIn(8);  // all bits differ: the largest counts
  Fenced<uint32_t> weights(blocks * block_words), input(taps * rows * words);
  for (int32_t i = 0; i < blocks * block_words; ++i) weights[i] = opposite ? 0 : static_cast<uint32_t>(random->Bits());
  for (int32_t i = 0; i < taps * rows * words; ++i) input[i] = opposite ? ~0u : static_cast<uint32_t>(random->Bits());
  std::vector<const uint32_t*> inputs(taps * rows);
  for (int32_t i = 0; i < taps * rows; ++i) inputs[i] = input.data() + i * words;
  Fenced<int32_t> start(rows * kChunk), sums(rows * kChunk);
  std::vector<const int32_t*> starts(rows);
  for (int32_t i = 0; i < rows * kChunk; ++i) start[i] = static_cast<int32_t>(random->Between(-100000, 100000));
  for (int32_t r = 0; r < rows; ++r) starts[r] = start.data() + r * kChunk;
  k.bitdot[blocks - 1][rows](inputs.data(), taps, words, weights.data(), block_words, starts.data(), sums.data());
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t o = 0; o < blocks * kBlock; ++o) {
      int32_t sum = start[r * kChunk + o];
      for (int32_t step = 0; step < taps * words; ++step) {
        const uint32_t weight = weights[o / kBlock * block_words + step * kBlock + o % kBlock];
        sum -= 2 * static_cast<int32_t>(CountBits(weight ^ inputs[step / words * rows + r][step % words]));
      }
      if (sums[r * kChunk + o] != sum) Fail(k, "bitdot", taps, words, rows);
    }
  }
}

template <typename X>
X RandomInput(bool extreme, Random* random) {
  if (extreme) return random->OneIn(2) ? static_cast<X>(-128) : static_cast<X>(127);
  return static_cast<X>(random->Bits());
}
template <>
float RandomInput(bool, Random* random) {
  return random->OneIn(10) ? -0.0f : random->Real();
}

template <typename X, typename Sum>
void CheckSignSum(const KernelTable& k, const SignSum<X, Sum>* by_rows, const char* kernel, Random* random) {
  const int32_t taps = static_cast<int32_t>(random->Between(1, 3));
  const int32_t channels = static_cast<int32_t>(random->Between(1, random->OneIn(2) ? 600 : 20));
  const int32_t rows = static_cast<int32_t>(random->Between(1, k.signsum_rows));
  const bool extreme = random->OneIn(4), same = random->OneIn(8);
  Fenced<uint16_t> weights(taps * channels);
  Fenced<X> input(taps * rows * channels);
  for (int32_t i = 0; i < taps * channels; ++i) {
    weights[i] = static_cast<uint16_t>(random->Bits() | (same ? 0xFFFF : 0));
  }
  for (int32_t i = 0; i < taps * rows * channels; ++i) input[i] = RandomInput<X>(extreme, random);
  std::vector<const X*> inputs(taps * rows);
  for (int32_t i = 0; i < taps * rows; ++i) inputs[i] = input.data() + i * channels;
  Fenced<Sum> start(kBlock), sums(rows * kChunk);
  for (int32_t o = 0; o < kBlock; ++o) start[o] = static_cast<Sum>(random->Between(-1000, 1000));
  const bool from_zero = sizeof(X) == sizeof(float) && random->OneIn(2);
  by_rows[rows](inputs.data(), taps, channels, weights.data(), from_zero ? nullptr : start.data(), sums.data());
  for (int32_t r = 0; r < rows; ++r) {
    for (int32_t o = 0; o < kBlock; ++o) {
      Sum sum = from_zero ? Sum{0} : start[o];
      for (int32_t step = 0; step < taps * channels; ++step) {
        const Sum x = static_cast<Sum>(inputs[step / channels * rows + r][step % channels]);
        sum += (weights[step] >> o) & 1 ? x : -x;
      }
      if (memcmp(&sums[r * kChunk + o], &sum, sizeof(sum)) != 0) Fail(k, kernel, taps, channels, rows);
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
  uint32_t planes[1][kMaxTileRows];
  k.output.codes_int32(sums.data(), 1, thresholds.data(), 0, 1, planes);
  if (planes[0][0] != bits) Fail(k, "codes_int32", 1, kChunk, 1);
  k.output.codes_float(float_sums.data(), 1, float_thresholds.data(), 0, 1, planes);
  if (planes[0][0] != float_bits) Fail(k, "codes_float", 1, kChunk, 1);
}

void CheckScale(const KernelTable& k, Random* random) {
  const int32_t n = static_cast<int32_t>(random->Between(1, kChunk));
  Fenced<int32_t> sums(n);
  Fenced<float> float_sums(n), multiplier(n), bias(n), out(n), float_out(n);
  for (int32_t i = 0; i < n; ++i) {
    sums[i] = static_cast<int32_t>(random->Bits());
    float_sums[i] = 100 * random->Real();
    multiplier[i] = random->Real();
    bias[i] = random->Real();
  }
  const float low = random->OneIn(2) ? 0.0f : -__builtin_inff(), high = random->OneIn(2) ? 6.0f : __builtin_inff();
  k.output.scale_int32(sums.data(), multiplier.data(), bias.data(), low, high, n, out.data());
  k.output.scale_float(float_sums.data(), multiplier.data(), bias.data(), low, high, n, float_out.data());
  for (int32_t i = 0; i < n; ++i) {
    const float expected = Clamp(static_cast<float>(sums[i]) * multiplier[i] + bias[i], low, high);
    const float float_expected = Clamp(float_sums[i] * multiplier[i] + bias[i], low, high);
    if (memcmp(&out[i], &expected, sizeof(float)) != 0) Fail(k, "scale_int32", 1, n, 1);
    if (memcmp(&float_out[i], &float_expected, sizeof(float)) != 0) Fail(k, "scale_float", 1, n, 1);
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
      CheckBitDot(k, &random);
      CheckSignSum(k, k.signsum_float, "signsum_float", &random);
      CheckSignSum(k, k.signsum_int8, "signsum_int8", &random);
      CheckSignSum(k, k.signsum_uint8, "signsum_uint8", &random);
      CheckThresholds(k, &random);
      CheckScale(k, &random);
      CheckPackSigns(k, &random);
    }
    printf("%s: %d cases\n", k.name, cases);
  }
  return 0;
}
