// Memory whose end is fenced off.
#ifndef KERAS_STE_TESTS_FENCED_H_
#define KERAS_STE_TESTS_FENCED_H_

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

namespace keras_ste {

// `size` elements right before memory that must not be touched.
template <typename T>
class Fenced {
 public:
  explicit Fenced(int64_t size) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), bytes = size * sizeof(T);
    const size_t whole = (bytes + page - 1) / page * page;
    mapped_ = whole + page;
    memory_ = static_cast<char*>(mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory_ == MAP_FAILED || mprotect(memory_ + whole, page, PROT_NONE) != 0) abort();
    data_ = reinterpret_cast<T*>(memory_ + whole - bytes);
  }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;
  ~Fenced() { munmap(memory_, mapped_); }

  T* data() { return data_; }
  T& operator[](int64_t i) { return data_[i]; }

 private:
  char* memory_;
  size_t mapped_;
  T* data_;
};

}  // namespace keras_ste

#endif  // KERAS_STE_TESTS_FENCED_H_
