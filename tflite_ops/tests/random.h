// Random numbers that are the same on every machine.
#ifndef KERAS_STE_TESTS_RANDOM_H_
#define KERAS_STE_TESTS_RANDOM_H_

#include <stdint.h>

namespace keras_ste {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Bits() {  // the generator "splitmix64"
    state_ += 0x9E3779B97F4A7C15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  // Uniform in [low, high].
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Bits() % static_cast<uint64_t>(high - low + 1));
  }

  // True once in `n` times.
  bool OneIn(int32_t n) { return Bits() % static_cast<uint64_t>(n) == 0; }

  // Uniform in [-1, 1).
  float Real() { return static_cast<float>(Between(-(1 << 23), (1 << 23) - 1)) / (1 << 23); }

  template <typename T, int32_t n>
  const T& OneOf(const T (&choices)[n]) {
    return choices[Bits() % n];
  }

 private:
  uint64_t state_;
};

}  // namespace keras_ste

#endif  // KERAS_STE_TESTS_RANDOM_H_
