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

  // A name in quotes. It comes from a file: what follows must fit behind a name of any length, and who prints the text
  // may insist on UTF-8.
  Error& Name(const char* name) {
    Text("'");
    int n = 0;
    for (; name[n] != '\0' && n < kMostOfName; ++n) {
      const char shown[2] = {name[n] < ' ' || name[n] > '~' ? '?' : name[n], '\0'};
      Text(shown);
    }
    return Text(name[n] == '\0' ? "'" : "...'");
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
  static constexpr int kMostOfName = 100;
  char text_[kCapacity] = {};
  int length_ = 0;
};

}  // namespace keras_ste

#endif  // KERAS_STE_OPS_ERROR_H_
