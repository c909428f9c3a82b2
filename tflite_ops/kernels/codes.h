// Codes: small integers of 1 to 8 bits, what they are worth, and how they lie in planes of bits.
//
// A row of k codes of b bits is b planes of ceil(k / 32) words, the plane of the lowest bits first; bit i of word j of
// a plane belongs to code 32 j + i, and unused bits are zero.
//
// Internal linkage, for the reason given in bits.h.
#ifndef KERAS_STE_KERNELS_CODES_H_
#define KERAS_STE_KERNELS_CODES_H_

#include <stdint.h>

namespace keras_ste {

enum class Encoding : uint8_t {
  kBipolar,   // u is worth 2 u - (2^bits - 1): one bit is -1 or +1
  kUnsigned,  // u is worth u
  kSigned,    // two's complement
  kTernary,   // two's complement of two bits without -2: the planes are "is not zero" and "is negative"
};
constexpr int32_t kEncodings = 4;

struct Codes {
  int32_t bits;
  Encoding encoding;
};

static inline bool ValidCodes(const Codes& c) {
  return c.bits >= 1 && c.bits <= 8 && (c.encoding != Encoding::kTernary || c.bits == 2);
}

static inline bool TwosComplement(const Codes& c) {
  return c.encoding == Encoding::kSigned || c.encoding == Encoding::kTernary;
}

// What a set bit of a plane adds to a code; twice that to what a bipolar one is worth.
static inline int32_t PlaneWorth(const Codes& c, int32_t plane) {
  return TwosComplement(c) && plane == c.bits - 1 ? -(1 << plane) : 1 << plane;
}

// What a code is worth whose bits, as an unsigned number, are u.
static inline int32_t Worth(const Codes& c, int32_t u) {
  if (c.encoding == Encoding::kBipolar) return 2 * u - ((1 << c.bits) - 1);
  return TwosComplement(c) && u >> (c.bits - 1) != 0 ? u - (1 << c.bits) : u;
}

// What code `i` of a row is worth, whose planes are `words` words apart.
static inline int32_t WorthAt(const Codes& c, const uint32_t* planes, int32_t words, int32_t i) {
  uint32_t u = 0;
  for (int32_t p = 0; p < c.bits; ++p) u |= (planes[p * words + i / 32] >> (i % 32) & 1u) << p;
  return Worth(c, static_cast<int32_t>(u));
}

// The largest absolute value of what a code is worth.
static inline int32_t LargestWorth(const Codes& c) {
  if (c.encoding == Encoding::kTernary) return 1;
  return c.encoding == Encoding::kSigned ? 1 << (c.bits - 1) : (1 << c.bits) - 1;
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_CODES_H_
