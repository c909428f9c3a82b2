// TFLite Micro frees nothing and moves nothing: what a node keeps lies in the arena for as long as the interpreter
// lives, and a tensor has the shape the file says.
#include "micro/keras_ste_micro.h"

#include <stdint.h>
#include <string.h>

#include "kernels/kernel_table.h"
#include "ops/checks.h"
#include "ops/ops.h"
#include "tensorflow/lite/micro/micro_context.h"
#include "tensorflow/lite/micro/micro_log.h"

namespace keras_ste {
namespace {

constexpr int kNoBuffer = -1;
constexpr int32_t kCustomOpCode = 32;  // of BuiltinOperator: CUSTOM

// What one node keeps between calls.
struct Node {
  alignas(16) char state[kStateBytes];
  const uint8_t* options;
  size_t options_size;
  const void* constants[kMaxInputs];  // null where the input is not constant
  void* weights;
  void* tables;
  int scratch;  // the runtime's buffer, or kNoBuffer
};

// With the file's weights only, or with the blocks that the portable kernels read.
const KernelTable* Kernels() {
#if defined(KERAS_STE_DIRECT_ONLY)
  return nullptr;
#else
  return PortableKernels();
#endif
}

Type TypeOf(TfLiteType type) {
  switch (static_cast<int>(type)) {
    case kTfLiteFloat32:
      return Type::kFloat32;
    case kTfLiteInt32:
      return Type::kInt32;
    case kTfLiteInt16:
      return Type::kInt16;
    case kTfLiteInt8:
      return Type::kInt8;
    case kTfLiteUInt8:
      return Type::kUInt8;
    default:
      return Type::kOther;
  }
}

// Bytes of a tensor; 0 where they cannot be counted, which no op accepts.
size_t BytesOf(const TfLiteEvalTensor& t) {
  const Type type = TypeOf(t.type);
  int32_t bytes = BytesOf(type);
  for (int d = 0; d < t.dims->size; ++d) {
    if (!Multiply(bytes, t.dims->data[d], &bytes)) return 0;
  }
  return static_cast<size_t>(bytes);
}

TfLiteStatus Fail(const Error& error) {
  MicroPrintf("%s", error.c_str());
  return kTfLiteError;
}

TfLiteStatus FailMemory(const Op& op, const char* what, size_t bytes) {
  Error error;
  error.Text(op.name).Text(": the arena has no ").Number(static_cast<int64_t>(bytes)).Text(" bytes left for ");
  return Fail(error.Text(what));
}

// The tensor, or null where it is absent.
TfLiteEvalTensor* TensorAt(TfLiteContext* context, const TfLiteIntArray* indices, int i) {
  const int index = indices->data[i];
  if (index < 0) return nullptr;
  TfLiteEvalTensor* t = GetMicroContext(context)->GetEvalTensor(index);
  return t == nullptr || t->dims == nullptr ? nullptr : t;
}

Tensor Describe(const TfLiteEvalTensor& t) {
  Tensor tensor = {};
  tensor.present = true;
  tensor.constant = t.data.data != nullptr;  // in Prepare, before memory is planned, only constants have their data
  tensor.type = TypeOf(t.type);
  tensor.rank = t.dims->size;
  for (int d = 0; d < t.dims->size && d < kMaxRank; ++d) tensor.dims[d] = t.dims->data[d];
  tensor.bytes = BytesOf(t);
  tensor.data = t.data.data;
  return tensor;
}

// Replaces the data of a constant that the file holds at an odd address by a copy that the kernels can read words from.
bool Align(TfLiteContext* context, Tensor* tensor) {
  if (tensor->bytes == 0 || reinterpret_cast<uintptr_t>(tensor->data) % kConstantAlignment == 0) return true;
  void* copy = GetMicroContext(context)->AllocatePersistentBuffer(tensor->bytes);
  if (copy == nullptr) return false;
  memcpy(copy, tensor->data, tensor->bytes);
  tensor->data = copy;
  return true;
}

TfLiteStatus CheckOutput(const Op& op, const TfLiteEvalTensor* t, const Output& output, Error* error) {
  bool same = t != nullptr && TypeOf(t->type) == output.type && t->dims->size == output.rank;
  for (int32_t d = 0; same && d < output.rank; ++d) same = t->dims->data[d] == output.dims[d];
  if (same) return kTfLiteOk;
  error->Text(op.name).Text(": output: expected ").Text(TypeName(output.type));
  ShapeText(output.rank, output.dims, error);
  if (t == nullptr) return Fail(error->Text(", got none"));
  const Tensor got = Describe(*t);
  error->Text(", got ").Text(TypeName(got.type));
  ShapeText(got.rank, got.dims, error);
  return Fail(*error);
}

// The arena's own alignment is less than the kernels want.
void* Aligned(void* memory) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(memory);
  return static_cast<char*>(memory) + (kMemoryAlignment - address % kMemoryAlignment) % kMemoryAlignment;
}

TfLiteStatus AskForScratch(TfLiteContext* context, const Op& op, Node* node) {
  const size_t bytes = op.scratch_bytes(node->state);
  node->scratch = kNoBuffer;
  if (bytes == 0) return kTfLiteOk;
  const TfLiteStatus status =
      GetMicroContext(context)->RequestScratchBufferInArena(bytes + kMemoryAlignment - 1, &node->scratch);
  return status == kTfLiteOk ? kTfLiteOk : FailMemory(op, "scratch memory", bytes);
}

#if defined(KERAS_STE_DIRECT_ONLY)

TfLiteStatus FillMemory(TfLiteContext*, const Op&, Node*) { return kTfLiteOk; }

#else

void* AllocateTiled(TfLiteContext* context, size_t bytes) {
  void* memory = GetMicroContext(context)->AllocatePersistentBuffer(bytes + kMemoryAlignment - 1);
  return memory == nullptr ? nullptr : Aligned(memory);
}

TfLiteStatus FillMemory(TfLiteContext* context, const Op& op, Node* node) {
  const size_t weights = op.weights_bytes(node->state);
  if (weights > 0) {
    node->weights = AllocateTiled(context, weights);
    if (node->weights == nullptr) return FailMemory(op, "packed weights", weights);
    op.fill_weights(node->state, node->constants, node->weights);
  }
  const size_t tables = op.tables_bytes(node->state);
  if (tables > 0) {
    node->tables = AllocateTiled(context, tables);
    if (node->tables == nullptr) return FailMemory(op, "padding tables", tables);
    op.fill_tables(node->state, node->constants, node->tables);
  }
  return kTfLiteOk;
}

#endif

// Null where the arena is full: Prepare says so.
void* Init(TfLiteContext* context, const char* options, size_t size) {
  void* memory = GetMicroContext(context)->AllocatePersistentBuffer(sizeof(Node));
  if (memory == nullptr) return nullptr;
  memset(memory, 0, sizeof(Node));
  Node* node = static_cast<Node*>(memory);
  node->options = reinterpret_cast<const uint8_t*>(options);
  node->options_size = size;
  return node;
}

TfLiteStatus PrepareNode(TfLiteContext* context, const Op& op, TfLiteNode* tflm_node) {
  Node* node = static_cast<Node*>(tflm_node->user_data);
  if (node == nullptr) return FailMemory(op, "the node", sizeof(Node));
  const TfLiteIntArray* inputs = tflm_node->inputs;
  const TfLiteIntArray* outputs = tflm_node->outputs;
  Error error;
  if (inputs->size > kMaxInputs) {
    error.Text(op.name).Text(": expected at most ").Number(kMaxInputs).Text(" inputs, got ");
    return Fail(error.Number(inputs->size));
  }
  Tensor tensors[kMaxInputs] = {};
  for (int i = 0; i < inputs->size; ++i) {
    const TfLiteEvalTensor* t = TensorAt(context, inputs, i);
    if (t == nullptr) continue;
    tensors[i] = Describe(*t);
    if (!Align(context, &tensors[i])) return FailMemory(op, "an aligned copy of a constant", tensors[i].bytes);
    node->constants[i] = tensors[i].data;
  }
  Output prepared[kMaxOutputs] = {};
  if (!op.prepare(node->options, node->options_size, tensors, inputs->size, Kernels(), node->state, prepared, &error)) {
    return Fail(error);
  }
  const int count = CountOutputs(prepared);
  if (outputs->size != count) {
    error.Text(op.name).Text(": outputs: expected ").Number(count).Text(", got ").Number(outputs->size);
    return Fail(error);
  }
  for (int i = 0; i < count; ++i) {
    if (CheckOutput(op, TensorAt(context, outputs, i), prepared[i], &error) != kTfLiteOk) return kTfLiteError;
  }
  if (FillMemory(context, op, node) != kTfLiteOk) return kTfLiteError;
  return AskForScratch(context, op, node);
}

// A function of its own, so that the text of the error takes no stack while an op runs.
__attribute__((noinline)) TfLiteStatus CheckInputs(const Op& op, const Node& node, const Buffers& buffers) {
  Error error;
  return op.check(node.state, buffers, &error) ? kTfLiteOk : Fail(error);
}

TfLiteStatus InvokeNode(TfLiteContext* context, const Op& op, const TfLiteNode* tflm_node) {
  const Node& node = *static_cast<const Node*>(tflm_node->user_data);
  Buffers buffers = {};
  for (int i = 0; i < tflm_node->inputs->size; ++i) {
    buffers.inputs[i] = node.constants[i];
    if (buffers.inputs[i] != nullptr) continue;
    const TfLiteEvalTensor* t = TensorAt(context, tflm_node->inputs, i);
    if (t != nullptr) buffers.inputs[i] = t->data.data;
  }
  buffers.output = TensorAt(context, tflm_node->outputs, 0)->data.data;
  if (tflm_node->outputs->size > 1) buffers.second_output = TensorAt(context, tflm_node->outputs, 1)->data.data;
  buffers.weights = node.weights;
  buffers.tables = node.tables;
  if (node.scratch != kNoBuffer) buffers.scratch = Aligned(GetMicroContext(context)->GetScratchBuffer(node.scratch));
  if (op.check != nullptr && CheckInputs(op, node, buffers) != kTfLiteOk) return kTfLiteError;
  op.stage(node.state, buffers, 0, op.stage_units(node.state));
  op.run(node.state, buffers, 0, op.units(node.state));
  return kTfLiteOk;
}

template <const Op* kOp>
TfLiteStatus Prepare(TfLiteContext* context, TfLiteNode* node) {
  return PrepareNode(context, *kOp, node);
}

template <const Op* kOp>
TfLiteStatus Invoke(TfLiteContext* context, TfLiteNode* node) {
  return InvokeNode(context, *kOp, node);
}

// Assigned at each call: an initializer that runs once would need a guard, for which boards have no use.
template <const Op* kOp>
TFLMRegistration* Registration() {
  static TFLMRegistration registration;
  registration = {};
  registration.init = Init;
  registration.prepare = Prepare<kOp>;
  registration.invoke = Invoke<kOp>;
  registration.builtin_code = kCustomOpCode;
  registration.custom_name = kOp->name;
  return &registration;
}

}  // namespace

TFLMRegistration* RegisterSteQuantize() { return Registration<&kQuantize>(); }
TFLMRegistration* RegisterSteConv2D() { return Registration<&kConv2D>(); }
TFLMRegistration* RegisterSteDepthwiseConv2D() { return Registration<&kDepthwiseConv2D>(); }
TFLMRegistration* RegisterSteFullyConnected() { return Registration<&kFullyConnected>(); }
TFLMRegistration* RegisterSteMaxPool2D() { return Registration<&kMaxPool2D>(); }
TFLMRegistration* RegisterSteAveragePool2D() { return Registration<&kAveragePool2D>(); }
TFLMRegistration* RegisterSteAdd() { return Registration<&kAdd>(); }
TFLMRegistration* RegisterSteDequantize() { return Registration<&kDequantize>(); }
TFLMRegistration* RegisterSteNearest() { return Registration<&kNearest>(); }
TFLMRegistration* RegisterSteGather() { return Registration<&kGather>(); }
TFLMRegistration* RegisterSteConcat() { return Registration<&kConcat>(); }
TFLMRegistration* RegisterStePad() { return Registration<&kPad>(); }
TFLMRegistration* RegisterSteShuffle() { return Registration<&kShuffle>(); }
TFLMRegistration* RegisterSteTransposeConv2D() { return Registration<&kTransposeConv2D>(); }

}  // namespace keras_ste
