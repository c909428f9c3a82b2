#include "ops/options.h"

#include <string.h>

namespace keras_ste {
namespace {

// FlexBuffer value types. A packed type byte is type << 2 | log2(width).
enum : uint8_t {
  kInt = 1,
  kUInt = 2,
  kFloat = 3,
  kString = 5,
  kIndirectInt = 6,
  kIndirectUInt = 7,
  kIndirectFloat = 8,
  kMap = 9,
  kBool = 26,
};

uint8_t TypeOf(uint8_t packed) { return packed >> 2; }
uint8_t WidthOf(uint8_t packed) { return static_cast<uint8_t>(1u << (packed & 3u)); }

// `count` where it is none of them.
int32_t FindWord(const char* text, uint64_t length, const char* const* words, int32_t count) {
  int32_t i = 0;
  while (i < count && (length != strlen(words[i]) || memcmp(text, words[i], length) != 0)) ++i;
  return i;
}

}  // namespace

Options::Options(const char* op, const uint8_t* bytes, size_t size, Error* error)
    : op_(op), begin_(bytes), end_(bytes == nullptr ? nullptr : bytes + size), error_(error) {
  if (bytes == nullptr || size < 3) {
    Fail(nullptr, "are missing");
    return;
  }
  // The end of the buffer: the root value, its packed type, its width.
  const uint8_t root_width = bytes[size - 1];
  const uint8_t root_type = bytes[size - 2];
  uint64_t offset = 0;
  const bool known_width = root_width == 1 || root_width == 2 || root_width == 4 || root_width == 8;
  if (!known_width || size < 2u + root_width || TypeOf(root_type) != kMap ||
      !ReadUnsigned(end_ - 2 - root_width, root_width, &offset)) {
    Fail(nullptr, "are not a FlexBuffer map");
    return;
  }
  width_ = WidthOf(root_type);
  values_ = Back(end_ - 2 - root_width, offset);
  // Before the values: offset to the keys, width of the keys, number of elements.
  uint64_t key_offset = 0, key_width = 0;
  const uint8_t* header = values_ == nullptr ? nullptr : Back(values_, 3u * width_);
  if (header == nullptr || !ReadUnsigned(header, width_, &key_offset) ||
      !ReadUnsigned(header + width_, width_, &key_width) || !ReadUnsigned(header + 2 * width_, width_, &size_) ||
      (key_width != 1 && key_width != 2 && key_width != 4 && key_width != 8) ||
      size_ > static_cast<uint64_t>(end_ - values_) / (width_ + 1u)) {
    Fail(nullptr, "are not a FlexBuffer map");
    return;
  }
  key_width_ = static_cast<uint8_t>(key_width);
  types_ = values_ + size_ * width_;
  keys_ = Back(header, key_offset);
  if (keys_ == nullptr || size_ > static_cast<uint64_t>(end_ - keys_) / key_width_) {
    Fail(nullptr, "are not a FlexBuffer map");
  }
}

int32_t Options::Fail(const char* key, const char* what) {
  if (!ok_) return 0;  // the first error says it
  ok_ = false;
  error_->Text(op_).Text(": option");
  if (key == nullptr) {
    error_->Text("s ").Text(what);
  } else {
    error_->Text(" '").Text(key).Text("' ").Text(what);
  }
  return 0;
}

const uint8_t* Options::Back(const uint8_t* at, uint64_t distance) const {
  return distance > static_cast<uint64_t>(at - begin_) ? nullptr : at - distance;
}

bool Options::ReadUnsigned(const uint8_t* at, uint8_t width, uint64_t* out) const {
  if (at == nullptr || at < begin_ || static_cast<uint64_t>(end_ - at) < width) return false;
  uint64_t value = 0;
  for (int i = width - 1; i >= 0; --i) value = value << 8 | at[i];
  *out = value;
  return true;
}

bool Options::ReadReal(const uint8_t* at, uint8_t width, double* out) const {
  uint64_t bits = 0;
  if (!ReadUnsigned(at, width, &bits)) return false;
  if (width == 4) {
    const uint32_t bits32 = static_cast<uint32_t>(bits);
    float value = 0;
    memcpy(&value, &bits32, sizeof(value));
    *out = static_cast<double>(value);
    return true;
  }
  if (width == 8) {
    memcpy(out, &bits, sizeof(*out));
    return true;
  }
  return false;
}

bool Options::Find(const char* key, Value* value) const {
  if (!ok_) return false;
  const uint64_t key_length = strlen(key);
  for (uint64_t i = 0; i < size_; ++i) {
    const uint8_t* at = keys_ + i * key_width_;
    uint64_t offset = 0;
    if (!ReadUnsigned(at, key_width_, &offset)) return false;
    const uint8_t* text = Back(at, offset);
    if (text == nullptr || static_cast<uint64_t>(end_ - text) <= key_length) continue;
    if (memcmp(text, key, key_length + 1) != 0) continue;
    const uint8_t packed = types_[i];
    *value = {TypeOf(packed), WidthOf(packed), values_ + i * width_, width_};
    return true;
  }
  return false;
}

bool Options::Indirect(const Value& value, const uint8_t** target) const {
  uint64_t offset = 0;
  if (!ReadUnsigned(value.at, value.parent_width, &offset)) return false;
  *target = Back(value.at, offset);
  return *target != nullptr;
}

bool Options::ReadInt(const Value& value, int64_t* out) const {
  const uint8_t* at = value.at;
  uint8_t width = value.parent_width;
  if (value.type == kIndirectInt || value.type == kIndirectUInt) {
    if (!Indirect(value, &at)) return false;
    width = value.width;
  } else if (value.type != kInt && value.type != kUInt && value.type != kBool) {
    return false;
  }
  uint64_t bits = 0;
  if (!ReadUnsigned(at, width, &bits)) return false;
  const bool is_signed = value.type == kInt || value.type == kIndirectInt;
  if (is_signed && width < 8 && (bits >> (8 * width - 1)) & 1u) bits |= ~uint64_t{0} << (8 * width);
  if (!is_signed && bits > INT64_MAX) return false;
  memcpy(out, &bits, sizeof(*out));
  return true;
}

bool Options::ReadFloat(const Value& value, double* out) const {
  const uint8_t* at = value.at;
  if (value.type == kFloat) return ReadReal(at, value.parent_width, out);
  if (value.type == kIndirectFloat) return Indirect(value, &at) && ReadReal(at, value.width, out);
  int64_t integer = 0;
  if (!ReadInt(value, &integer)) return false;
  *out = static_cast<double>(integer);
  return true;
}

bool Options::ReadString(const Value& value, const char** text, uint64_t* length) const {
  const uint8_t* at = nullptr;
  if (value.type != kString || !Indirect(value, &at)) return false;
  if (!ReadUnsigned(Back(at, value.width), value.width, length)) return false;
  if (*length > static_cast<uint64_t>(end_ - at)) return false;
  *text = reinterpret_cast<const char*>(at);
  return true;
}

int32_t Options::Int(const char* key, int32_t low, int32_t high) {
  Value value;
  if (!ok_) return low;
  if (!Find(key, &value)) {
    Fail(key, "is missing");
    return low;
  }
  int64_t number = 0;
  if (!ReadInt(value, &number)) {
    Fail(key, "is not an integer");
    return low;
  }
  if (number < low || number > high) {
    Fail(key, "is ");
    error_->Number(number).Text(", expected ").Number(low);
    if (high != low) error_->Text(" to ").Number(high);
    return low;
  }
  return static_cast<int32_t>(number);
}

int32_t Options::IntOr(const char* key, int32_t low, int32_t high, int32_t absent) {
  Value value;
  return Find(key, &value) ? Int(key, low, high) : absent;
}

float Options::FloatOr(const char* key, float absent) {
  Value value;
  if (!Find(key, &value)) return absent;
  double number = 0;
  if (!ReadFloat(value, &number)) {
    Fail(key, "is not a number");
    return absent;
  }
  if (number != number) {
    Fail(key, "is not a number (NaN)");
    return absent;
  }
  return static_cast<float>(number);
}

int32_t Options::OneOf(const char* key, const char* const* words, int32_t count) {
  Value value;
  if (!ok_) return 0;
  if (!Find(key, &value)) return Fail(key, "is missing");
  const char* text = nullptr;
  uint64_t length = 0;
  if (!ReadString(value, &text, &length)) return Fail(key, "is not a string");
  const int32_t word = FindWord(text, length, words, count);
  return word < count ? word : FailWords(key, "is not ", words, count);
}

int32_t Options::WordsOr(const char* key, const char* const* words, int32_t count, int32_t most, uint8_t* which) {
  Value value;
  if (!ok_ || !Find(key, &value)) return 0;
  const char* text = nullptr;
  uint64_t left = 0;
  if (!ReadString(value, &text, &left)) return Fail(key, "is not a string");
  int32_t n = 0;
  for (bool more = left > 0; more;) {
    uint64_t length = 0;
    while (length < left && text[length] != ' ') ++length;
    const int32_t word = FindWord(text, length, words, count);
    if (word == count) return FailWords(key, "has a word that is not ", words, count);
    if (n == most) return Fail(key, "has too many words");
    which[n++] = static_cast<uint8_t>(word);
    more = length < left;
    text += length + 1;
    left -= more ? length + 1 : length;
  }
  return n;
}

int32_t Options::FailWords(const char* key, const char* what, const char* const* words, int32_t count) {
  if (!ok_) return 0;
  Fail(key, what);
  for (int32_t i = 0; i < count; ++i) {
    error_->Text(i == 0 ? "\"" : i + 1 < count ? ", \"" : " or \"").Text(words[i]).Text("\"");
  }
  return 0;
}

void Options::Require(bool condition, const char* key, const char* otherwise) {
  if (!condition) Fail(key, otherwise);
}

int32_t Options::OneOfOr(const char* key, const char* const* words, int32_t count, int32_t absent) {
  Value value;
  return Find(key, &value) ? OneOf(key, words, count) : absent;
}

}  // namespace keras_ste
