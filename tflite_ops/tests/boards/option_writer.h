// Writes an op's options, a FlexBuffer map, without a heap. Every number and offset takes four bytes.
#ifndef KERAS_STE_TESTS_BOARDS_OPTION_WRITER_H_
#define KERAS_STE_TESTS_BOARDS_OPTION_WRITER_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/boards/board.h"

namespace keras_ste {

class OptionWriter {
 public:
  void Int(const char* key, int32_t value) { Add(key, kInt, static_cast<uint32_t>(value)); }
  void Float(const char* key, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    Add(key, kFloat, bits);
  }
  void String(const char* key, const char* text) {
    Number(static_cast<uint32_t>(strlen(text)));
    const uint32_t position = static_cast<uint32_t>(size_);
    Text(text);
    Add(key, kString, position);
  }

  // Writes the map itself; returns the size of all.
  size_t Finish() {
    const uint32_t keys = static_cast<uint32_t>(size_) + kWidth;
    Number(count_);
    for (uint32_t i = 0; i < count_; ++i) OffsetTo(options_[i].key);
    OffsetTo(keys);
    Number(kWidth);
    Number(count_);
    const uint32_t values = static_cast<uint32_t>(size_);
    for (uint32_t i = 0; i < count_; ++i) {
      if (options_[i].type == kString) OffsetTo(options_[i].value);
      else Number(options_[i].value);
    }
    for (uint32_t i = 0; i < count_; ++i) Byte(static_cast<uint8_t>(options_[i].type << 2 | kWidthBits));
    OffsetTo(values);
    Byte(kMap << 2 | kWidthBits);
    Byte(kWidth);
    return size_;
  }

  const uint8_t* bytes() const { return bytes_; }

 private:
  static constexpr uint8_t kInt = 1, kFloat = 3, kString = 5, kMap = 9;
  static constexpr uint32_t kWidth = 4;
  static constexpr uint8_t kWidthBits = 2;  // its logarithm, in packed types
  static constexpr uint32_t kMaxOptions = 16;

  void Byte(uint8_t byte) {
    if (size_ == sizeof(bytes_)) Stop("the options are too long");
    bytes_[size_++] = byte;
  }
  void Number(uint32_t value) {
    for (uint32_t i = 0; i < kWidth; ++i) Byte(static_cast<uint8_t>(value >> (8 * i)));
  }
  void OffsetTo(uint32_t position) { Number(static_cast<uint32_t>(size_) - position); }
  void Text(const char* text) {
    for (; *text != '\0'; ++text) Byte(static_cast<uint8_t>(*text));
    Byte(0);
  }
  void Add(const char* key, uint8_t type, uint32_t value) {
    if (count_ == kMaxOptions) Stop("too many options");
    options_[count_++] = {static_cast<uint32_t>(size_), value, type};
    Text(key);
  }

  struct {
    uint32_t key, value;  // positions; the value itself where it is a number
    uint8_t type;
  } options_[kMaxOptions];
  uint32_t count_ = 0;
  uint8_t bytes_[512];
  size_t size_ = 0;
};

}  // namespace keras_ste

#endif  // KERAS_STE_TESTS_BOARDS_OPTION_WRITER_H_
