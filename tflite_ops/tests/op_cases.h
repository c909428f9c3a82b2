// Random nodes for the ops: good ones as docs/ops.md describes them, of sensible or of enormous size, and spoiled ones.
#ifndef KERAS_STE_TESTS_OP_CASES_H_
#define KERAS_STE_TESTS_OP_CASES_H_

#include <stdint.h>

#include <string>
#include <vector>

#include "ops/op.h"
#include "tests/option_map.h"
#include "tests/random.h"

namespace keras_ste {

// What a constant holds: any bits, or numbers that an op checks.
enum class Content { kAny, kAscending, kMultipliers, kBiases, kShifts };

struct TensorCase {
  std::string name;
  Type type = Type::kFloat32;
  std::vector<int32_t> dims;
  bool constant = false;
  bool present = true;
  bool named = true;
  Content numbers = Content::kAny;
  int32_t below = 0;           // where it is not 0, all numbers lie from 0 on and below it
  uint64_t missing_bytes = 0;  // a constant's buffer is this much too short
};

struct OpCase {
  const Op* op;
  OptionMap options;
  std::vector<uint8_t> bytes;  // of the options
  std::vector<TensorCase> inputs;
  bool spoiled = false;
  bool tails = false;  // packed values have unused bits, which must be zero for equal results
};

// Bytes of a tensor with these dimensions; 2^62 where there are more, 0 where a dimension is not positive.
uint64_t BytesOf(const TensorCase& tensor);

// A node that every runtime must take, unless `enormous`: then its sizes may be too much.
OpCase GoodCase(const Op* op, bool enormous, Random* random);

// Changes the options, their bytes or the tensors in one to three places.
void Spoil(OpCase* node, Random* random);

}  // namespace keras_ste

#endif  // KERAS_STE_TESTS_OP_CASES_H_
