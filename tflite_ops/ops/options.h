// Reads an op's options, a FlexBuffer map, in place and without trusting it.
#ifndef KERAS_STE_OPS_OPTIONS_H_
#define KERAS_STE_OPS_OPTIONS_H_

#include <stddef.h>
#include <stdint.h>

#include "ops/error.h"

namespace keras_ste {

class Options {
 public:
  // `op` names the op in errors. Errors are appended to `error`; `ok()` says whether there were any.
  Options(const char* op, const uint8_t* bytes, size_t size, Error* error);

  bool ok() const { return ok_; }

  // The integer called `key`, which must lie in [low, high].
  int32_t Int(const char* key, int32_t low, int32_t high);
  // The same, or `absent` where the map has no such key.
  int32_t IntOr(const char* key, int32_t low, int32_t high, int32_t absent);
  // The number called `key`, or `absent` where the map has no such key.
  float FloatOr(const char* key, float absent);
  // Which of `count` words the string called `key` is.
  int32_t OneOf(const char* key, const char* const* words, int32_t count);
  // The same, or `absent` where the map has no such key.
  int32_t OneOfOr(const char* key, const char* const* words, int32_t count, int32_t absent);
  // Which of `count` words the string called `key` consists of, with a space between each two; returns how many there
  // are, no more than `most`, and 0 where the map has no such key.
  int32_t WordsOr(const char* key, const char* const* words, int32_t count, int32_t most, uint8_t* which);
  // Fails with what is said of the option called `key` where the condition does not hold.
  void Require(bool condition, const char* key, const char* otherwise);

 private:
  struct Value {
    uint8_t type;      // FlexBuffer type
    uint8_t width;     // bytes of the value where it stands, or of the vector behind its offset
    const uint8_t* at; // where it stands
    uint8_t parent_width;
  };

  bool Find(const char* key, Value* value) const;
  bool ReadInt(const Value& value, int64_t* out) const;
  bool ReadFloat(const Value& value, double* out) const;
  bool ReadString(const Value& value, const char** text, uint64_t* length) const;

  bool ReadUnsigned(const uint8_t* at, uint8_t width, uint64_t* out) const;
  bool ReadReal(const uint8_t* at, uint8_t width, double* out) const;
  bool Indirect(const Value& value, const uint8_t** target) const;
  const uint8_t* Back(const uint8_t* at, uint64_t distance) const;

  int32_t Fail(const char* key, const char* what);
  int32_t FailWords(const char* key, const char* what, const char* const* words, int32_t count);

  const char* op_;
  const uint8_t* begin_;
  const uint8_t* end_;
  Error* error_;
  bool ok_ = true;

  // The map: `values_` are `size_` elements of `width_` bytes, their types follow; keys likewise.
  const uint8_t* values_ = nullptr;
  const uint8_t* types_ = nullptr;
  const uint8_t* keys_ = nullptr;
  uint64_t size_ = 0;
  uint8_t width_ = 1;
  uint8_t key_width_ = 1;
};

}  // namespace keras_ste

#endif  // KERAS_STE_OPS_OPTIONS_H_
