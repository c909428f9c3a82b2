// An external delegate that takes over exactly the Ste ops, one node at a time, so that stock interpreters run them.
//
// The delegate object holds no state: several interpreters may share it.
#include <stdlib.h>
#include <string.h>

#include <new>
#include <vector>

#include "ops/op.h"
#include "tflite/node.h"
#include "tflite/runtime_abi.h"

namespace keras_ste {
namespace {

// A delegated node sees the inputs without those that are absent or repeated; the original node's lists are kept.
struct DelegatedNode {
  void* node;
  std::vector<int> inputs;   // laid out as a TfLiteIntArray: size, then indices
  std::vector<int> outputs;
};

std::vector<int> Copy(const TfLiteIntArray* array) {
  std::vector<int> copy(static_cast<size_t>(array->size) + 1);
  copy[0] = array->size;
  memcpy(copy.data() + 1, array->data, static_cast<size_t>(array->size) * sizeof(int));
  return copy;
}

const TfLiteIntArray* AsArray(const std::vector<int>& copy) {
  return reinterpret_cast<const TfLiteIntArray*>(copy.data());
}

const Op* OpOf(const TfLiteRegistration* registration) {
  return registration->builtin_code == kCustomOpCode ? FindOp(registration->custom_name) : nullptr;
}

void* Init(TfLiteContext* context, const char* buffer, size_t) {
  const auto* params = reinterpret_cast<const TfLiteDelegateParams*>(buffer);
  TfLiteNode* node = nullptr;
  TfLiteRegistration* registration = nullptr;
  if (context->GetNodeAndRegistration(context, params->nodes_to_replace->data[0], &node, &registration) != kTfLiteOk) {
    return nullptr;
  }
  auto* delegated = new (std::nothrow) DelegatedNode();
  if (delegated == nullptr) return nullptr;
  delegated->node = NewNode(OpOf(registration), static_cast<const char*>(node->custom_initial_data),
                            static_cast<size_t>(node->custom_initial_data_size));
  delegated->inputs = Copy(node->inputs);
  delegated->outputs = Copy(node->outputs);
  return delegated;
}

void Free(TfLiteContext*, void* user_data) {
  auto* delegated = static_cast<DelegatedNode*>(user_data);
  if (delegated != nullptr) DeleteNode(delegated->node);
  delete delegated;
}

TfLiteStatus PrepareDelegated(TfLiteContext* context, TfLiteNode* node) {
  const auto* delegated = static_cast<const DelegatedNode*>(node->user_data);
  if (delegated == nullptr) {
    context->ReportError(context, "keras_ste: a node could not be taken over");
    return kTfLiteError;
  }
  return Prepare(context, delegated->node, AsArray(delegated->inputs), AsArray(delegated->outputs),
                 &node->temporaries);
}

TfLiteStatus InvokeDelegated(TfLiteContext* context, TfLiteNode* node) {
  const auto* delegated = static_cast<const DelegatedNode*>(node->user_data);
  return Invoke(context, delegated->node, AsArray(delegated->inputs), AsArray(delegated->outputs));
}

TfLiteStatus TakeOver(TfLiteContext* context, TfLiteDelegate* delegate) {
  TfLiteIntArray* plan = nullptr;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk) return kTfLiteError;
  const std::vector<int> nodes = Copy(plan);  // the plan changes below
  for (size_t i = 1; i < nodes.size(); ++i) {
    TfLiteNode* node = nullptr;
    TfLiteRegistration* registration = nullptr;
    if (context->GetNodeAndRegistration(context, nodes[i], &node, &registration) != kTfLiteOk) return kTfLiteError;
    const Op* op = OpOf(registration);
    if (op == nullptr) continue;
    TfLiteRegistration ours = {};
    ours.init = Init;
    ours.free = Free;
    ours.prepare = PrepareDelegated;
    ours.invoke = InvokeDelegated;
    ours.custom_name = op->name;
    ours.version = 1;
    const std::vector<int> one = {1, nodes[i]};
    if (context->ReplaceNodeSubsetsWithDelegateKernels(context, ours, AsArray(one), delegate) != kTfLiteOk) {
      return kTfLiteError;
    }
  }
  return kTfLiteOk;
}

}  // namespace
}  // namespace keras_ste

extern "C" {

__attribute__((visibility("default"))) TfLiteDelegate* tflite_plugin_create_delegate(
    const char* const* keys, const char* const*, size_t options, void (*report_error)(const char*)) {
  if (options > 0) {
    keras_ste::Error error;
    error.Text("keras_ste: the delegate has no options, got ").Name(keys[0]);
    if (report_error != nullptr) report_error(error.c_str());
    return nullptr;
  }
  auto* delegate = new (std::nothrow) TfLiteDelegate();
  if (delegate == nullptr) return nullptr;
  delegate->Prepare = keras_ste::TakeOver;
  // Without it unresolved ops are refused before we see them.
  delegate->flags = kTfLiteDelegateFlagsAllowDynamicTensors;
  return delegate;
}

__attribute__((visibility("default"))) void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) {
  delete delegate;
}

}  // extern "C"
