// Runs one inner loop a number of times, for counting its instructions in emulation; checks the int8 loops on the way.
//
//   loops KERNELS PRODUCT K CALLS
//     KERNELS   portable, neon, dotprod or i8mm
//     PRODUCT   WxAy, one-bit planes or packed weights times bytes; int8, neon's or dotprod's; or depthwise16 or
//               depthwise32, nine taps in sums of so many bits
//     K         products of a sum, a multiple of 32; depthwise ones have nine
//
// Prints the number of products of one call.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "kernels/code_kernels.h"
#include "kernels/depthwise_kernels.h"
#include "tests/arm/int8_loops.h"
#include "tests/random.h"

namespace keras_ste {
namespace {

// Codes of `pairs` pairs of planes, which meet by XOR where it is one pair and else by AND.
int RunPlanes(const CodeKernels& kernels, int32_t pairs, int32_t k, int32_t calls) {
  const int32_t rows = kernels.planedot_rows, words = k / 32;
  const std::vector<uint32_t> input(words, 0x12345678u), weights(2 * words * kBlock, 0x9ABCDEF0u);
  std::vector<int32_t> sums(rows * kChunk);
  const std::vector<const uint32_t*> inputs(rows, input.data());
  const std::vector<const int32_t*> starts(rows, sums.data());
  const PlaneDot dot = kernels.planedot[pairs == 1 ? kXor : kAnd][1][rows];
  for (int32_t i = 0; i < calls * pairs; ++i) {
    dot(inputs.data(), 1, words, weights.data(), words * kBlock, 1, starts.data(), sums.data());
  }
  printf("%d\n", rows * kChunk * k);
  return 0;
}

int RunBytes(const CodeKernels& kernels, int32_t width, int32_t k, int32_t calls) {
  const int32_t rows = kernels.bytedot_rows, steps = (k << width) / 32;
  const std::vector<int8_t> input(k, 3);
  const std::vector<uint32_t> weights(2 * steps * kBlock, 0x9ABCDEF0u);
  const std::vector<int32_t> start(kChunk), row_start(rows);
  std::vector<int32_t> sums(rows * kChunk);
  const std::vector<const int8_t*> inputs(rows, input.data());
  for (int32_t i = 0; i < calls; ++i) {
    kernels.bytedot[width][1][rows](inputs.data(), 1, steps, weights.data(), steps * kBlock, 0, start.data(),
                                    row_start.data(), sums.data());
  }
  printf("%d\n", rows * kChunk * k);
  return 0;
}

// Nine taps, in sums of 16 bits or of 32.
int RunDepthwise(const DepthwiseKernels& kernels, bool narrow, int32_t calls) {
  constexpr int32_t kTaps = 9;
  const int32_t pixels = kernels.pixels, taps = narrow ? kTaps : kTaps + 1;
  const std::vector<int16_t> input((pixels + taps) * kChunk, 3), weights(taps * kChunk, 1);
  std::vector<int32_t> offsets(taps), sums(pixels * kChunk);
  for (int32_t tap = 0; tap < taps; ++tap) offsets[tap] = tap * kChunk;
  const auto dot = narrow ? kernels.narrow[pixels] : kernels.wide[pixels];
  for (int32_t i = 0; i < calls; ++i) {
    dot(input.data(), kChunk, offsets.data(), taps, weights.data(), sums.data());
  }
  printf("%d\n", pixels * kChunk * kTaps);
  return 0;
}

using Int8Loop = void (*)(const int8_t* const* inputs, int32_t k, const int8_t* weights, int32_t* sums);

// `step`: products of one channel that lie next to each other in the weights.
int RunInt8(Int8Loop loop, int32_t rows, int32_t channels, int32_t step, int32_t k, int32_t calls) {
  Random random(1);
  std::vector<int8_t> input(rows * k), weights(channels * k);
  for (int8_t& x : input) x = static_cast<int8_t>(random.Between(-128, 127));
  for (int8_t& w : weights) w = static_cast<int8_t>(random.Between(-127, 127));
  std::vector<const int8_t*> inputs(rows);
  for (int32_t r = 0; r < rows; ++r) inputs[r] = input.data() + r * k;
  std::vector<int32_t> sums(rows * channels);
  for (int32_t i = 0; i < calls; ++i) loop(inputs.data(), k, weights.data(), sums.data());
  for (int32_t r = 0; calls > 0 && r < rows; ++r) {
    for (int32_t c = 0; c < channels; ++c) {
      int32_t sum = 0;
      for (int32_t i = 0; i < k; ++i) sum += inputs[r][i] * weights[(i / step * channels + c) * step + i % step];
      if (sum == sums[r * channels + c]) continue;
      fprintf(stderr, "row %d, channel %d: %d instead of %d\n", r, c, sums[r * channels + c], sum);
      return 1;
    }
  }
  printf("%d\n", rows * channels * k);
  return 0;
}

}  // namespace
}  // namespace keras_ste

int main(int argc, char** argv) {
  using namespace keras_ste;
  const int32_t k = argc == 5 ? atoi(argv[3]) : 0, calls = argc == 5 ? atoi(argv[4]) : 0;
  if (k <= 0 || k % 32 != 0) {
    fprintf(stderr, "usage: loops KERNELS PRODUCT K CALLS\n");
    return 2;
  }
  const auto is = [&](int32_t i, const char* name) { return strcmp(argv[i], name) == 0; };
  if (is(2, "int8") && is(1, "neon")) return RunInt8(Int8Neon4x4, kInt8NeonRows, kInt8NeonChannels, 16, k, calls);
  if (is(2, "int8") && is(1, "dotprod")) {
    return RunInt8(Int8DotProd6x16, kInt8DotProdRows, kInt8DotProdChannels, 4, k, calls);
  }
  const KernelTable* table = ChooseKernels(argv[1]);
  if (table == nullptr) {
    fprintf(stderr, "this machine has no kernels called %s\n", argv[1]);
    return 2;
  }
  const CodeKernels& kernels = *table->codes;
  if (is(2, "W1A1")) return RunPlanes(kernels, 1, k, calls);
  if (is(2, "W2A2")) return RunPlanes(kernels, 4, k, calls);
  if (is(2, "W1A8")) return RunBytes(kernels, 0, k, calls);
  if (is(2, "W2A8")) return RunBytes(kernels, 1, k, calls);
  if (is(2, "W4A8")) return RunBytes(kernels, 2, k, calls);
  if (is(2, "W8A8")) return RunBytes(kernels, 3, k, calls);
  if (is(2, "depthwise16")) return RunDepthwise(*table->depthwise, true, calls);
  if (is(2, "depthwise32")) return RunDepthwise(*table->depthwise, false, calls);
  fprintf(stderr, "no product is called %s\n", argv[2]);
  return 2;
}
