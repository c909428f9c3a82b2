// Runs one inner loop a number of times, for counting its instructions in emulation; checks the int8 loops on the way.
//
//   loops NAME K CALLS
//     NAME   portable, neon or dotprod (bits), int8_neon or int8_dotprod
//     K      products of a sum, a multiple of 32
//
// Prints the number of products of one call.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "kernels/kernel_table.h"
#include "tests/arm/int8_loops.h"
#include "tests/random.h"

namespace keras_ste {
namespace {

int RunBits(const KernelTable& kernels, int32_t k, int32_t calls) {
  const int32_t rows = kernels.bitdot_rows, words = k / 32;
  const std::vector<uint32_t> input(words, 0x12345678u), weights(2 * words * kBlock, 0x9ABCDEF0u);
  const std::vector<int32_t> start(kChunk);
  std::vector<int32_t> sums(rows * kChunk);
  const std::vector<const uint32_t*> inputs(rows, input.data());
  const std::vector<const int32_t*> starts(rows, start.data());
  for (int32_t i = 0; i < calls; ++i) {
    kernels.bitdot[1][rows](inputs.data(), 1, words, weights.data(), words * kBlock, starts.data(), sums.data());
  }
  printf("%d\n", rows * kChunk * k);
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
  const int32_t k = argc == 4 ? atoi(argv[2]) : 0, calls = argc == 4 ? atoi(argv[3]) : 0;
  if (k <= 0 || k % 32 != 0) {
    fprintf(stderr, "usage: loops NAME K CALLS\n");
    return 2;
  }
  if (strcmp(argv[1], "int8_neon") == 0) {
    return RunInt8(Int8Neon4x4, kInt8NeonRows, kInt8NeonChannels, 16, k, calls);
  }
  if (strcmp(argv[1], "int8_dotprod") == 0) {
    return RunInt8(Int8DotProd6x16, kInt8DotProdRows, kInt8DotProdChannels, 4, k, calls);
  }
  const KernelTable* kernels = ChooseKernels(argv[1]);
  if (kernels == nullptr) {
    fprintf(stderr, "this machine has no kernels called %s\n", argv[1]);
    return 2;
  }
  return RunBits(*kernels, k, calls);
}
