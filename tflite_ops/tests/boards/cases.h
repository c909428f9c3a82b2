// Nodes with their results, which tests/test_boards.py computes from the definition in Python and writes as a source file.
#ifndef KERAS_STE_TESTS_BOARDS_CASES_H_
#define KERAS_STE_TESTS_BOARDS_CASES_H_

#include <stddef.h>
#include <stdint.h>

#include "ops/op.h"

namespace keras_ste {

struct Case {
  const char* op;
  const uint8_t* options;
  size_t options_size;
  int32_t count;  // of inputs
  Tensor inputs[kMaxInputs];
  const void* data[kMaxInputs];
  const uint8_t* expected[kMaxOutputs];  // null where there is no such output
  int32_t bytes[kMaxOutputs];
};

extern const Case kCases[];
extern const int32_t kCaseCount;

}  // namespace keras_ste

#endif  // KERAS_STE_TESTS_BOARDS_CASES_H_
