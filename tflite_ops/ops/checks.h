// Checks of an op's tensors. Each names the op, the tensor and what was expected.
#ifndef KERAS_STE_OPS_CHECKS_H_
#define KERAS_STE_OPS_CHECKS_H_

#include "ops/op.h"

namespace keras_ste {

class Checks {
 public:
  Checks(const char* op, const char* const* roles, const Tensor* inputs, int32_t count, Error* error)
      : op_(op), roles_(roles), inputs_(inputs), count_(count), error_(error) {}

  // The node has between `low` and `high` inputs.
  bool Count(int32_t low, int32_t high);
  // Input i is there.
  bool Present(int32_t i);
  // Input i is not there.
  bool Absent(int32_t i, const char* why);
  bool HasType(int32_t i, Type type);
  bool HasRank(int32_t i, int32_t rank);
  // All dimensions of input i, which may be checked for data type first, are positive and its elements countable.
  bool HasElements(int32_t i);
  bool HasShape(int32_t i, int32_t rank, const int32_t* dims);
  // Constant input i, whose dimensions are positive, has all its bytes.
  bool HasBytes(int32_t i);
  // Input i is constant, of this type and shape.
  bool IsConstant(int32_t i, Type type, int32_t rank, const int32_t* dims);

  // Says what is wrong with input i; returns false.
  bool Fail(int32_t i, const char* expected);
  // Says what is wrong with the op; returns false.
  bool Fail(const char* what);

 private:
  bool Got(int32_t i);
  bool Begin(int32_t i);

  const char* op_;
  const char* const* roles_;
  const Tensor* inputs_;
  int32_t count_;
  Error* error_;
};

const char* TypeName(Type type);
// Of one element; 0 of kOther.
int32_t BytesOf(Type type);

// Those that prepare has found.
int32_t CountOutputs(const Output* outputs);

// Appends " [1, 2, 3]".
void ShapeText(int32_t rank, const int32_t* dims, Error* error);

// Multiplies, and returns false where the product is not below 2^31.
bool Multiply(int32_t a, int32_t b, int32_t* product);

}  // namespace keras_ste

#endif  // KERAS_STE_OPS_CHECKS_H_
