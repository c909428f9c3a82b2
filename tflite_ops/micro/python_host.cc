// What the adapter calls, over the interpreter inside the PyPI wheel `tflite-micro`, and the entry point that the wheel
// looks for. The wheel's C++ symbols cannot be linked against, but each TfLiteContext has pointers to its functions.
// Their places are those of the one version that keras_ste/runtime/micro.py accepts.
#include <stdarg.h>
#include <stdio.h>

#include "micro/keras_ste_micro.h"
#include "tensorflow/lite/micro/micro_context.h"
#include "tensorflow/lite/micro/micro_log.h"

#define KERAS_STE_EXPORT __attribute__((visibility("default")))

// The wheel's: members that are not called keep their places as untyped pointers.
struct TfLiteContext {
  size_t tensors_size;
  void* get_execution_plan;
  void* tensors;
  void* impl;
  void* resize_tensor;
  void* report_error;
  void* add_tensors;
  void* get_node_and_registration;
  void* replace_node_subsets;
  int recommended_num_threads;
  void* get_external_context;
  void* set_external_context;
  bool allow_fp32_relax_to_fp16;
  void* profiler;
  void* (*AllocatePersistentBuffer)(TfLiteContext* context, size_t bytes);
  void* allocate_buffer_for_eval;
  TfLiteStatus (*RequestScratchBufferInArena)(TfLiteContext* context, size_t bytes, int* buffer_index);
  void* (*GetScratchBuffer)(TfLiteContext* context, int buffer_index);
  void* resize_tensor_explicit;
  void* preview_delegate_partitioning;
  void* get_tensor;
  TfLiteEvalTensor* (*GetEvalTensor)(const TfLiteContext* context, int index);
};

namespace {

// The wheel's op resolver as far as it concerns a custom op.
struct PythonOpsResolver {
  static constexpr unsigned kCapacity = 200;

  void* vtable;
  TFLMRegistration registrations[kCapacity];
  unsigned length;

  TfLiteStatus AddCustom(const char*, const TFLMRegistration* registration) {
    if (length >= kCapacity) return kTfLiteError;
    registrations[length++] = *registration;
    return kTfLiteOk;
  }
};

// The reason of this thread's last failure, which Python puts into its exception; and whether that was the arena's
// size, which Python tries to mend first.
thread_local char last_error[512];
thread_local bool arena_was_full;

TfLiteContext* ContextOf(tflite::MicroContext* micro) { return reinterpret_cast<TfLiteContext*>(micro); }

}  // namespace

namespace tflite {

// The stand-in's MicroContext is a TfLiteContext by another name.
MicroContext* GetMicroContext(const TfLiteContext* context) {
  return reinterpret_cast<MicroContext*>(const_cast<TfLiteContext*>(context));
}

void* MicroContext::AllocatePersistentBuffer(size_t bytes) {
  void* memory = ContextOf(this)->AllocatePersistentBuffer(ContextOf(this), bytes);
  if (memory == nullptr) arena_was_full = true;
  return memory;
}

TfLiteStatus MicroContext::RequestScratchBufferInArena(size_t bytes, int* buffer_index) {
  const TfLiteStatus status = ContextOf(this)->RequestScratchBufferInArena(ContextOf(this), bytes, buffer_index);
  if (status != kTfLiteOk) arena_was_full = true;
  return status;
}

void* MicroContext::GetScratchBuffer(int buffer_index) {
  return ContextOf(this)->GetScratchBuffer(ContextOf(this), buffer_index);
}

TfLiteEvalTensor* MicroContext::GetEvalTensor(int tensor_index) {
  return ContextOf(this)->GetEvalTensor(ContextOf(this), tensor_index);
}

}  // namespace tflite

// To stderr, as the wheel's own does.
void MicroPrintf(const char* format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(last_error, sizeof(last_error), format, args);
  va_end(args);
  fprintf(stderr, "%s\n", last_error);
}

extern "C" {

KERAS_STE_EXPORT bool KerasSteRegister(PythonOpsResolver* resolver) {
  return keras_ste::AddAllOps(*resolver) == kTfLiteOk;
}

// Why an op failed in this thread since the last call; an empty string where none did, or only for want of memory.
// Valid until the next call.
KERAS_STE_EXPORT const char* KerasSteTakeError(void) {
  static thread_local char taken[sizeof(last_error)];
  snprintf(taken, sizeof(taken), "%s", arena_was_full ? "" : last_error);
  last_error[0] = '\0';
  arena_was_full = false;
  return taken;
}

}  // extern "C"
