#include "kernels/numbers.h"

#include <string.h>

#include "kernels/bit_planes.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace {

template <typename Byte>
void LoadBytes(const Numbers& n, const void* pixel, int32_t channel, int32_t count, float* lanes) {
  const Byte* bytes = static_cast<const Byte*>(pixel) + channel;
  for (int32_t i = 0; i < count; ++i) lanes[i] = Scalar(static_cast<float>(bytes[i] - n.zero_point));
}

// 32 channels that share a word.
void LoadWord(const Numbers& n, const void* pixel, int32_t channel, float* lanes) {
  uint8_t codes[32];
  int32_t worths[32];
  CodesOfPlanes(static_cast<const uint32_t*>(pixel) + channel / 32, WordsOf(n.channels), n.codes.bits, codes);
  LoadWorths(n.codes, n.zero_point, codes, worths);
  for (int32_t i = 0; i < 32; ++i) lanes[i] = Scalar(static_cast<float>(worths[i]));
}

void LoadCodes(const Numbers& n, const void* pixel, int32_t channel, int32_t count, float* lanes) {
  const int32_t first = channel % 32;
  if (first == 0) return LoadWord(n, pixel, channel, lanes);
  float both[64];
  LoadWord(n, pixel, channel - first, both);
  if (first + count > 32) LoadWord(n, pixel, channel - first + 32, both + 32);
  memcpy(lanes, both + first, static_cast<size_t>(count) * sizeof(float));
}

}  // namespace

void LoadFloats(const Numbers& n, const void* pixel, int32_t channel, int32_t count, float* lanes) {
  switch (n.kind) {
    case InputKind::kFloat32:
      memcpy(lanes, static_cast<const float*>(pixel) + channel, static_cast<size_t>(count) * sizeof(float));
      break;
    case InputKind::kPacked:
      LoadCodes(n, pixel, channel, count, lanes);
      break;
    case InputKind::kInt8:
      LoadBytes<int8_t>(n, pixel, channel, count, lanes);
      break;
    case InputKind::kUInt8:
      LoadBytes<uint8_t>(n, pixel, channel, count, lanes);
      break;
  }
}

// As codes.h has it, without a branch: two's complement is an unsigned number whose highest bit is turned over, less
// that bit.
void LoadWorths(const Codes& how, int32_t zero_point, const uint8_t* codes, int32_t* lanes) {
  const bool bipolar = how.encoding == Encoding::kBipolar;
  const int32_t turned = TwosComplement(how) ? 1 << (how.bits - 1) : 0;
  const int32_t twice = bipolar ? 1 : 0;
  const int32_t less = (bipolar ? (1 << how.bits) - 1 : turned) + zero_point;
  for (int32_t i = 0; i < 32; ++i) lanes[i] = ((codes[i] ^ turned) << twice) - less;
}

}  // namespace keras_ste
