#include "tflite/node.h"

#include <stdlib.h>
#include <string.h>

#include <memory>
#include <new>

#include "ops/checks.h"
#include "tflite/kernels.h"
#include "tflite/thread_pool.h"

namespace keras_ste {
namespace {

// Below this many multiply-adds of one bit (about 10 microseconds of one core) waking a thread costs more than it
// saves.
constexpr double kWorthAThread = 8e6;
// The same of bytes that are staged (a few microseconds).
constexpr double kBytesWorthAThread = 32 << 10;
constexpr int kNoTensor = -1;

struct AlignedDelete {
  void operator()(char* p) const { ::operator delete[](p, std::align_val_t{kMemoryAlignment}); }
};
using Memory = std::unique_ptr<char[], AlignedDelete>;

Memory Allocate(size_t bytes) {
  return Memory(bytes == 0 ? nullptr : static_cast<char*>(::operator new[](
                                               bytes, std::align_val_t{kMemoryAlignment}, std::nothrow)));
}

// What one node keeps between calls.
struct Node {
  const Op* op;
  const uint8_t* options;
  size_t options_size;
  alignas(16) char state[kStateBytes];
  const void* constants[kMaxInputs];     // null where the input is not constant
  Memory aligned_copies[kMaxInputs];     // of constants that the file holds at an odd address
  const void* copied_from[kMaxInputs];
  Memory weights;
  const void* weights_of;                // the filter that `weights` was made from
  Memory tables;
  int scratch;                           // the runtime's tensor, or kNoTensor
};

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

bool IsConstant(const TfLiteTensor& t) {
  return t.allocation_type == kTfLiteMmapRo || t.allocation_type == kTfLitePersistentRo;
}

bool Fail(TfLiteContext* context, const char* reason) {
  context->ReportError(context, "%s", reason);
  return false;
}

TfLiteTensor* TensorAt(TfLiteContext* context, const TfLiteIntArray* indices, int i) {
  const int index = indices->data[i];
  if (index < 0 || static_cast<size_t>(index) >= context->tensors_size) return nullptr;
  return context->tensors + index;
}

// The data of a constant input at an address that the kernels can read words from.
const void* AlignedData(Node* node, int i, const TfLiteTensor& t) {
  if (reinterpret_cast<uintptr_t>(t.data.data) % kConstantAlignment == 0) return t.data.data;
  if (node->copied_from[i] != t.data.data || node->aligned_copies[i] == nullptr) {
    node->aligned_copies[i] = Allocate(t.bytes);
    if (node->aligned_copies[i] == nullptr) return nullptr;
    memcpy(node->aligned_copies[i].get(), t.data.data, t.bytes);
    node->copied_from[i] = t.data.data;
  }
  return node->aligned_copies[i].get();
}

Tensor Describe(Node* node, int i, const TfLiteTensor* t) {
  Tensor tensor = {};
  if (t == nullptr || t->dims == nullptr) return tensor;
  tensor.present = true;
  tensor.constant = IsConstant(*t);
  tensor.type = TypeOf(t->type);
  tensor.rank = t->dims->size;
  for (int d = 0; d < t->dims->size && d < kMaxRank; ++d) tensor.dims[d] = t->dims->data[d];
  tensor.bytes = t->bytes;
  tensor.data = tensor.constant && t->data.data != nullptr ? AlignedData(node, i, *t) : nullptr;
  tensor.name = t->name;
  return tensor;
}

bool HasType(const TfLiteTensor& t, Type type) { return TypeOf(t.type) == type; }

// TFLite frees the arrays it is given with free(). Null where memory ran out.
TfLiteIntArray* NewArray(TfLiteContext* context, int size) {
  auto* array = static_cast<TfLiteIntArray*>(malloc(sizeof(TfLiteIntArray) + static_cast<size_t>(size) * sizeof(int)));
  if (array == nullptr) {
    Fail(context, "keras_ste: out of memory");
  } else {
    array->size = size;
  }
  return array;
}

bool Resize(TfLiteContext* context, TfLiteTensor* tensor, const Output& output) {
  TfLiteIntArray* dims = NewArray(context, output.rank);
  if (dims == nullptr) return false;
  for (int d = 0; d < output.rank; ++d) dims->data[d] = output.dims[d];
  return context->ResizeTensor(context, tensor, dims) == kTfLiteOk;
}

// Asks the runtime for a tensor that lives while the node runs. What the runtime says of alignment is not relied on.
bool AskForScratch(TfLiteContext* context, Node* node, TfLiteIntArray** temporaries) {
  const size_t bytes = node->op->scratch_bytes(node->state);
  if (bytes > 0 && node->scratch == kNoTensor && context->AddTensors(context, 1, &node->scratch) != kTfLiteOk) {
    return Fail(context, "keras_ste: the runtime has no tensor for scratch memory");
  }
  TfLiteIntArray* list = NewArray(context, bytes > 0 ? 1 : 0);
  if (list == nullptr) return false;
  free(*temporaries);
  *temporaries = list;
  if (bytes == 0) return true;
  if (bytes / kMemoryAlignment + 2 > INT32_MAX) return Fail(context, "keras_ste: too much scratch memory");
  list->data[0] = node->scratch;
  TfLiteTensor* tensor = context->tensors + node->scratch;
  tensor->type = kTfLiteInt8;
  tensor->allocation_type = kTfLiteArenaRw;
  Output lines = {};
  lines.rank = 2;
  lines.dims[0] = static_cast<int32_t>(bytes / kMemoryAlignment + 2);
  lines.dims[1] = static_cast<int32_t>(kMemoryAlignment);
  return Resize(context, tensor, lines);
}

void* ScratchOf(TfLiteContext* context, const Node& node) {
  if (node.scratch == kNoTensor) return nullptr;
  char* memory = context->tensors[node.scratch].data.raw;
  return memory + (kMemoryAlignment - reinterpret_cast<uintptr_t>(memory) % kMemoryAlignment) % kMemoryAlignment;
}

bool FillMemory(TfLiteContext* context, Node* node) {
  const void* filter = node->constants[1];
  const size_t weights = node->op->weights_bytes(node->state);
  if (weights > 0 && (node->weights == nullptr || node->weights_of != filter)) {
    node->weights = Allocate(weights);
    if (node->weights == nullptr) return Fail(context, "keras_ste: out of memory for packed weights");
    node->op->fill_weights(node->state, node->constants, node->weights.get());
    node->weights_of = filter;
  }
  const size_t tables = node->op->tables_bytes(node->state);
  if (tables > 0) {
    node->tables = Allocate(tables);
    if (node->tables == nullptr) return Fail(context, "keras_ste: out of memory for padding tables");
    node->op->fill_tables(node->state, node->constants, node->tables.get());
  }
  return true;
}

bool FailKernels(TfLiteContext* context) {
  const KernelTable* tables[kMaxKernelTables];
  const int32_t n = AvailableKernels(tables);
  Error error;
  error.Text("keras_ste: KERAS_STE_ISA=").Name(getenv("KERAS_STE_ISA")).Text(" is not one of this machine's:");
  for (int32_t i = 0; i < n; ++i) error.Text(" ").Text(tables[i]->name);
  return Fail(context, error.c_str());
}

// As many as the op has, of its types.
bool PrepareOutputs(TfLiteContext* context, const Node& node, const TfLiteIntArray* outputs, const Output* prepared) {
  Error error;
  error.Text(node.op->name).Text(": output");
  const int count = CountOutputs(prepared);
  if (outputs->size != count) {
    error.Text("s: expected ").Number(count).Text(", got ").Number(outputs->size);
    return Fail(context, error.c_str());
  }
  for (int i = 0; i < count; ++i) {
    TfLiteTensor* tensor = TensorAt(context, outputs, i);
    if (tensor == nullptr || !HasType(*tensor, prepared[i].type)) {
      if (tensor != nullptr && tensor->name != nullptr) error.Text(" ").Name(tensor->name);
      return Fail(context, error.Text(": expected ").Text(TypeName(prepared[i].type)).c_str());
    }
    if (!Resize(context, tensor, prepared[i])) return false;
  }
  return true;
}

bool PrepareNode(TfLiteContext* context, Node* node, const TfLiteIntArray* inputs, const TfLiteIntArray* outputs,
                 TfLiteIntArray** temporaries) {
  Error error;
  if (inputs->size > kMaxInputs) {
    error.Text(node->op->name).Text(": expected at most ").Number(kMaxInputs).Text(" inputs, got ");
    return Fail(context, error.Number(inputs->size).c_str());
  }
  const KernelTable* kernels = Kernels();
  if (kernels == nullptr) return FailKernels(context);
  Tensor tensors[kMaxInputs] = {};
  for (int i = 0; i < inputs->size; ++i) {
    tensors[i] = Describe(node, i, TensorAt(context, inputs, i));
    node->constants[i] = tensors[i].constant ? tensors[i].data : nullptr;
  }
  Output prepared[kMaxOutputs] = {};
  if (!node->op->prepare(node->options, node->options_size, tensors, inputs->size, kernels, node->state, prepared,
                         &error)) {
    return Fail(context, error.c_str());
  }
  return FillMemory(context, node) && PrepareOutputs(context, *node, outputs, prepared) &&
         AskForScratch(context, node, temporaries);
}

// As many of the threads as work is there for, each beyond the first one's.
int32_t WorthOf(int32_t threads, double work) { return threads > work + 1 ? static_cast<int32_t>(work + 1) : threads; }

bool InvokeNode(TfLiteContext* context, const Node& node, const TfLiteIntArray* inputs,
                const TfLiteIntArray* outputs) {
  Buffers buffers = {};
  for (int i = 0; i < inputs->size; ++i) {
    const TfLiteTensor* t = TensorAt(context, inputs, i);
    if (t != nullptr) buffers.inputs[i] = node.constants[i] != nullptr ? node.constants[i] : t->data.data;
  }
  buffers.output = TensorAt(context, outputs, 0)->data.data;
  if (outputs->size > 1) buffers.second_output = TensorAt(context, outputs, 1)->data.data;
  buffers.weights = node.weights.get();
  buffers.tables = node.tables.get();
  buffers.scratch = ScratchOf(context, node);
  Error error;
  if (node.op->check != nullptr && !node.op->check(node.state, buffers, &error)) return Fail(context, error.c_str());
  const int32_t threads = context->recommended_num_threads;
  const double staged = static_cast<double>(node.op->scratch_bytes(node.state));
  ParallelFor(WorthOf(threads, staged / kBytesWorthAThread), node.op->stage_units(node.state),
              [&](int32_t begin, int32_t end) { node.op->stage(node.state, buffers, begin, end); });
  ParallelFor(WorthOf(threads, node.op->cost(node.state) / kWorthAThread), node.op->units(node.state),
              [&](int32_t begin, int32_t end) { node.op->run(node.state, buffers, begin, end); });
  return true;
}

}  // namespace

void* NewNode(const Op* op, const char* options, size_t size) {
  Node* node = new (std::nothrow) Node();
  if (node == nullptr) return nullptr;
  node->op = op;
  node->scratch = kNoTensor;
  node->options = reinterpret_cast<const uint8_t*>(options);
  node->options_size = size;
  return node;
}

void DeleteNode(void* node) { delete static_cast<Node*>(node); }

TfLiteStatus Prepare(TfLiteContext* context, void* node, const TfLiteIntArray* inputs, const TfLiteIntArray* outputs,
                     TfLiteIntArray** temporaries) {
  if (node == nullptr) {
    Fail(context, "keras_ste: out of memory");
    return kTfLiteError;
  }
  return PrepareNode(context, static_cast<Node*>(node), inputs, outputs, temporaries) ? kTfLiteOk : kTfLiteError;
}

TfLiteStatus Invoke(TfLiteContext* context, void* node, const TfLiteIntArray* inputs, const TfLiteIntArray* outputs) {
  return InvokeNode(context, *static_cast<const Node*>(node), inputs, outputs) ? kTfLiteOk : kTfLiteError;
}

}  // namespace keras_ste
