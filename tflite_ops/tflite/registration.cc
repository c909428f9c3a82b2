#include "tflite/registration.h"

#include <utility>

#include "ops/op.h"
#include "tflite/kernels.h"
#include "tflite/node.h"

namespace keras_ste {
namespace {

template <int kIndex>
void* Init(TfLiteContext*, const char* options, size_t size) {
  return NewNode(kOps[kIndex], options, size);
}

void Free(TfLiteContext*, void* node) { DeleteNode(node); }

TfLiteStatus PrepareRegistered(TfLiteContext* context, TfLiteNode* node) {
  return Prepare(context, node->user_data, node->inputs, node->outputs, &node->temporaries);
}

TfLiteStatus InvokeRegistered(TfLiteContext* context, TfLiteNode* node) {
  return Invoke(context, node->user_data, node->inputs, node->outputs);
}

template <int kIndex>
TfLiteRegistration Registration() {
  TfLiteRegistration r = {};
  r.init = Init<kIndex>;
  r.free = Free;
  r.prepare = PrepareRegistered;
  r.invoke = InvokeRegistered;
  r.builtin_code = kCustomOpCode;
  r.custom_name = kOps[kIndex]->name;
  r.version = 1;
  return r;
}

template <int... kIndices>
TfLiteRegistration* Registrations(std::integer_sequence<int, kIndices...>) {
  static TfLiteRegistration registrations[] = {Registration<kIndices>()...};
  return registrations;
}

}  // namespace
}  // namespace keras_ste

extern "C" {

#define KERAS_STE_EXPORT __attribute__((visibility("default")))

KERAS_STE_EXPORT int KerasSteOpCount(void) { return keras_ste::kOpCount; }

KERAS_STE_EXPORT const char* KerasSteOpName(int index) {
  return index < 0 || index >= keras_ste::kOpCount ? nullptr : keras_ste::kOps[index]->name;
}

KERAS_STE_EXPORT TfLiteRegistration* KerasSteOpRegistration(int index) {
  using Indices = std::make_integer_sequence<int, keras_ste::kOpCount>;
  return index < 0 || index >= keras_ste::kOpCount ? nullptr : keras_ste::Registrations(Indices()) + index;
}

KERAS_STE_EXPORT const char* KerasSteKernels(void) {
  const keras_ste::KernelTable* kernels = keras_ste::Kernels();
  return kernels == nullptr ? nullptr : kernels->name;
}

}  // extern "C"
