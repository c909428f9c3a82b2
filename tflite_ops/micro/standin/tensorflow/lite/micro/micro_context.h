#ifndef KERAS_STE_STANDIN_MICRO_CONTEXT_H_
#define KERAS_STE_STANDIN_MICRO_CONTEXT_H_

#include "tensorflow/lite/micro/micro_common.h"

namespace tflite {

// In TFLite Micro these are virtual; whoever links against the stand-in defines them.
class MicroContext {
 public:
  void* AllocatePersistentBuffer(size_t bytes);
  TfLiteEvalTensor* GetEvalTensor(int tensor_index);
  TfLiteStatus RequestScratchBufferInArena(size_t bytes, int* buffer_index);
  void* GetScratchBuffer(int buffer_index);
};

MicroContext* GetMicroContext(const TfLiteContext* context);

}  // namespace tflite

#endif  // KERAS_STE_STANDIN_MICRO_CONTEXT_H_
