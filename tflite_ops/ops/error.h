// The reason why an op was refused, put together without a heap.
#ifndef KERAS_STE_OPS_ERROR_H_
#define KERAS_STE_OPS_ERROR_H_

#include <stdint.h>

namespace keras_ste {

class Error {
 public:
  Error& Text(const char* text) {
    while (*text != '\0' && length_ + 1 < kCapacity) text_[length_++] = *text++;
    text_[length_] = '\0';
    return *this;
  }

  Error& Number(int64_t value) {
    char digits[24];
    int n = 0;
    uint64_t rest = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    do {
      digits[n++] = static_cast<char>('0' + rest % 10);
      rest /= 10;
    } while (rest != 0);
    if (value < 0) digits[n++] = '-';
    char text[24];
    int i = 0;
    while (n > 0) text[i++] = digits[--n];
    text[i] = '\0';
    return Text(text);
  }

  const char* c_str() const { return text_; }

 private:
  static constexpr int kCapacity = 320;
  char text_[kCapacity] = {};
  int length_ = 0;
};

}  // namespace keras_ste

#endif  // KERAS_STE_OPS_ERROR_H_
