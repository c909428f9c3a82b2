// The memory of one node, taken piece by piece from a fixed block. Behind every piece lies a guard, for boards have no
// sanitizer that would see a write past the end.
#ifndef KERAS_STE_TESTS_BOARDS_MEMORY_H_
#define KERAS_STE_TESTS_BOARDS_MEMORY_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/boards/board.h"

namespace keras_ste {

class Memory {
 public:
  static constexpr size_t kBytes = 8192;

  void Clear() {
    used_ = 0;
    pieces_ = 0;
    memset(bytes_, kDirt, kBytes);  // what was not written is not zero by chance
  }

  // Begins `skew` bytes behind a multiple of `alignment`.
  void* Take(size_t bytes, size_t alignment, size_t skew) {
    const size_t begin = (used_ + alignment - 1) / alignment * alignment + skew;
    if (pieces_ == kMaxPieces || begin + bytes + kGuard > kBytes) Stop("the test's memory is too small for a node");
    used_ = begin + bytes + kGuard;
    ends_[pieces_++] = begin + bytes;
    return bytes_ + begin;
  }

  bool GuardsIntact() const {
    for (int32_t i = 0; i < pieces_; ++i) {
      for (size_t j = 0; j < kGuard; ++j) {
        if (bytes_[ends_[i] + j] != kDirt) return false;
      }
    }
    return true;
  }

 private:
  static constexpr uint8_t kDirt = 0xA5;
  static constexpr size_t kGuard = 8;
  static constexpr int32_t kMaxPieces = 16;

  alignas(64) uint8_t bytes_[kBytes];
  size_t used_;
  size_t ends_[kMaxPieces];
  int32_t pieces_;
};

}  // namespace keras_ste

#endif  // KERAS_STE_TESTS_BOARDS_MEMORY_H_
