#include "ops/checks.h"

namespace keras_ste {

const char* TypeName(Type type) {
  switch (type) {
    case Type::kFloat32:
      return "FLOAT32";
    case Type::kInt32:
      return "INT32";
    case Type::kInt16:
      return "INT16";
    case Type::kInt8:
      return "INT8";
    case Type::kUInt8:
      return "UINT8";
    case Type::kOther:
      break;
  }
  return "another type";
}

int32_t BytesOf(Type type) {
  switch (type) {
    case Type::kFloat32:
    case Type::kInt32:
      return 4;
    case Type::kInt16:
      return 2;
    case Type::kInt8:
    case Type::kUInt8:
      return 1;
    case Type::kOther:
      break;
  }
  return 0;
}

int32_t CountOutputs(const Output* outputs) {
  int32_t n = 0;
  while (n < kMaxOutputs && outputs[n].rank > 0) ++n;
  return n;
}

void ShapeText(int32_t rank, const int32_t* dims, Error* error) {
  error->Text(" [");
  for (int32_t d = 0; d < rank && d < kMaxRank; ++d) {
    if (d > 0) error->Text(", ");
    error->Number(dims[d]);
  }
  error->Text(rank > kMaxRank ? ", ...]" : "]");
}

bool Multiply(int32_t a, int32_t b, int32_t* product) {
  const int64_t wide = static_cast<int64_t>(a) * b;
  if (wide < 0 || wide > INT32_MAX) return false;
  *product = static_cast<int32_t>(wide);
  return true;
}

bool Checks::Begin(int32_t i) {
  error_->Text(op_).Text(": input ").Number(i).Text(" (").Text(roles_[i]);
  if (i < count_ && inputs_[i].name != nullptr) error_->Text(", ").Name(inputs_[i].name);
  error_->Text("): ");
  return false;
}

bool Checks::Got(int32_t i) {
  error_->Text(", got ").Text(TypeName(inputs_[i].type));
  ShapeText(inputs_[i].rank, inputs_[i].dims, error_);
  return false;
}

bool Checks::Fail(int32_t i, const char* expected) {
  Begin(i);
  error_->Text("expected ").Text(expected);
  return Got(i);
}

bool Checks::Fail(const char* what) {
  error_->Text(op_).Text(": ").Text(what);
  return false;
}

bool Checks::Count(int32_t low, int32_t high) {
  if (count_ >= low && count_ <= high) return true;
  error_->Text(op_).Text(": expected ").Number(low);
  if (high != low) error_->Text(" to ").Number(high);
  error_->Text(high == 1 ? " input, got " : " inputs, got ").Number(count_);
  return false;
}

bool Checks::Present(int32_t i) {
  if (i < count_ && inputs_[i].present) return true;
  Begin(i);
  error_->Text("is missing");
  return false;
}

bool Checks::Absent(int32_t i, const char* why) {
  if (i >= count_ || !inputs_[i].present) return true;
  Begin(i);
  error_->Text("must be absent ").Text(why);
  return false;
}

bool Checks::HasType(int32_t i, Type type) {
  if (!Present(i)) return false;
  return inputs_[i].type == type || Fail(i, TypeName(type));
}

bool Checks::HasRank(int32_t i, int32_t rank) {
  if (!Present(i)) return false;
  if (inputs_[i].rank == rank) return true;
  Begin(i);
  error_->Text("expected rank ").Number(rank);
  return Got(i);
}

bool Checks::HasElements(int32_t i) {
  const Tensor& t = inputs_[i];
  if (t.rank > kMaxRank) return Fail(i, "at most 6 dimensions");
  int32_t elements = 1;
  for (int32_t d = 0; d < t.rank; ++d) {
    if (t.dims[d] < 1 || !Multiply(elements, t.dims[d], &elements)) {
      return Fail(i, "positive dimensions with a product below 2^31");
    }
  }
  return true;
}

bool Checks::HasShape(int32_t i, int32_t rank, const int32_t* dims) {
  const Tensor& t = inputs_[i];
  bool same = t.rank == rank;
  for (int32_t d = 0; same && d < rank; ++d) same = t.dims[d] == dims[d];
  if (same) return true;
  Begin(i);
  error_->Text("expected");
  ShapeText(rank, dims, error_);
  return Got(i);
}

bool Checks::HasBytes(int32_t i) {
  // A size_t of a board is too small, and even 64 bits may be.
  constexpr uint64_t kMostBytes = uint64_t{1} << 62;
  const Tensor& t = inputs_[i];
  uint64_t bytes = static_cast<uint64_t>(BytesOf(t.type));
  for (int32_t d = 0; d < t.rank; ++d) {
    const uint64_t dim = static_cast<uint64_t>(t.dims[d]);
    bytes = bytes > kMostBytes / dim ? kMostBytes : bytes * dim;
  }
  if (!t.constant || t.data == nullptr) return Fail(i, "a constant tensor");
  return t.bytes >= bytes || Fail(i, "as many bytes as its shape says");
}

bool Checks::IsConstant(int32_t i, Type type, int32_t rank, const int32_t* dims) {
  return HasType(i, type) && HasShape(i, rank, dims) && HasBytes(i);
}

}  // namespace keras_ste
