// An op's options as a test sees them, and their FlexBuffer bytes.
#ifndef KERAS_STE_TESTS_OPTION_MAP_H_
#define KERAS_STE_TESTS_OPTION_MAP_H_

#include <stdint.h>
#include <string.h>

#include <string>
#include <vector>

namespace keras_ste {

struct Option {
  enum Kind { kInt, kFloat, kString };

  Option(const char* name, int64_t value) : key(name), kind(kInt), integer(value) {}
  Option(const char* name, double value) : key(name), kind(kFloat), real(value) {}
  Option(const char* name, const char* value) : key(name), kind(kString), text(value) {}

  std::string key;
  Kind kind;
  int64_t integer = 0;
  double real = 0;
  std::string text;
};

using OptionMap = std::vector<Option>;

// Every number and offset takes eight bytes; narrower ones come from Python's encoder in the tests of whole models.
class OptionBytes {
 public:
  static std::vector<uint8_t> Of(const OptionMap& options) {
    OptionBytes writer;
    writer.Write(options);
    return writer.bytes_;
  }

 private:
  static constexpr uint64_t kWidth = 8;
  static constexpr uint8_t kWidthBits = 3;  // its logarithm, in packed types

  void Number(uint64_t value) {
    for (uint64_t i = 0; i < kWidth; ++i) bytes_.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
  void OffsetTo(uint64_t position) { Number(bytes_.size() - position); }
  uint64_t Text(const std::string& text) {
    const uint64_t position = bytes_.size();
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    bytes_.push_back(0);
    return position;
  }

  void Write(const OptionMap& options) {
    std::vector<uint64_t> keys, texts;
    for (const Option& option : options) {
      keys.push_back(Text(option.key));
      if (option.kind == Option::kString) Number(option.text.size());
      texts.push_back(option.kind == Option::kString ? Text(option.text) : 0);
    }
    Number(options.size());
    const uint64_t key_vector = bytes_.size();
    for (uint64_t key : keys) OffsetTo(key);
    OffsetTo(key_vector);
    Number(kWidth);
    Number(options.size());
    const uint64_t values = bytes_.size();
    for (size_t i = 0; i < options.size(); ++i) Value(options[i], texts[i]);
    for (const Option& option : options) bytes_.push_back(static_cast<uint8_t>(TypeOf(option) << 2 | kWidthBits));
    OffsetTo(values);
    bytes_.push_back(9 << 2 | kWidthBits);  // a map
    bytes_.push_back(kWidth);
  }

  void Value(const Option& option, uint64_t text) {
    if (option.kind == Option::kString) return OffsetTo(text);
    if (option.kind == Option::kInt) return Number(static_cast<uint64_t>(option.integer));
    uint64_t bits = 0;
    memcpy(&bits, &option.real, sizeof(bits));
    Number(bits);
  }

  static uint8_t TypeOf(const Option& option) {
    return option.kind == Option::kInt ? 1 : option.kind == Option::kFloat ? 3 : 5;
  }

  std::vector<uint8_t> bytes_;
};

}  // namespace keras_ste

#endif  // KERAS_STE_TESTS_OPTION_MAP_H_
