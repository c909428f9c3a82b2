// What is done to rows of inputs, as loops that compilers turn into the vector instructions of the file that includes
// them. Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_PACK_LOOPS_H_
#define KERAS_STE_KERNELS_PACK_LOOPS_H_

#include <stdint.h>
#include <string.h>

#include "kernels/bits.h"
#include "kernels/scalar.h"

namespace keras_ste {

static inline int32_t FlipLoop(const int8_t* codes, int32_t n, int8_t flip, int8_t* bytes) {
  int32_t sum = 0;
  for (int32_t i = 0; i < n; ++i) {
    const int8_t byte = static_cast<int8_t>(codes[i] ^ flip);
    bytes[i] = byte;
    sum += byte;
  }
  return sum;
}

static inline int32_t UnpackLoop(const uint32_t* planes, int64_t words, int32_t n, int32_t bits, int8_t start,
                                 const int8_t* worth, int8_t* bytes) {
  int32_t sum = 0;
  for (int32_t i = 0; i < n; ++i) {
    const uint32_t* word = planes + i / 32;
    uint8_t byte = static_cast<uint8_t>(start);
    for (int32_t p = 0; p < bits; ++p, word += words) {
      const uint32_t set = (*word >> (i % 32)) & 1u;
      byte = static_cast<uint8_t>(byte + set * static_cast<uint8_t>(worth[p]));
    }
    bytes[i] = static_cast<int8_t>(byte);
    sum += bytes[i];
  }
  return sum;
}

// unpack_planes from a function that unpacks one pixel, of planes `words` words apart, and returns the sum of its bytes.
template <int32_t (*kUnpack)(const uint32_t*, int64_t, int32_t, int32_t, int8_t, const int8_t*, int8_t*)>
static inline void UnpackPixels(const uint32_t* planes, int32_t pixels, int32_t n, int32_t bits, int8_t start,
                                const int8_t* worth, int8_t* bytes, int32_t* sums) {
  const int64_t words = WordsOf(n);
  for (int32_t i = 0; i < pixels; ++i, planes += bits * words, bytes += n) {
    const int32_t sum = kUnpack(planes, words, n, bits, start, worth, bytes);
    if (sums != nullptr) sums[i] = sum;
  }
}

// Of absolute values the order of the bits is that of the numbers, with NaN above all.
static inline float LargestLoop(const float* x, int32_t n, float least) {
  uint32_t largest = 0;
  memcpy(&largest, &least, sizeof(largest));
  for (int32_t i = 0; i < n; ++i) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof(bits));
    bits &= 0x7FFFFFFFu;
    largest = bits > largest ? bits : largest;
  }
  memcpy(&least, &largest, sizeof(least));
  return least;
}

// No product is larger than `limit` by more than its rounding, so that nothing is to be clamped, and adding 1.5 * 2^23
// rounds it to an integer.
static inline float QuantizeLoop(const float* x, int32_t n, float limit, float least, int8_t* codes) {
  const float largest = LargestLoop(x, n, least);
  const float factor = limit / largest;
  constexpr float kRound = 12582912.0f;
  for (int32_t i = 0; i < n; ++i) {
    const float rounded = Scalar((x[i] * factor + kRound) - kRound);
    codes[i] = static_cast<int8_t>(static_cast<int32_t>(rounded == rounded ? rounded : 0.0f));
  }
  return largest;
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_PACK_LOOPS_H_
