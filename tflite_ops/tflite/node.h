// One node of a graph, whether the app registered our op for it or the delegate took it over.
#ifndef KERAS_STE_TFLITE_NODE_H_
#define KERAS_STE_TFLITE_NODE_H_

#include "ops/op.h"
#include "tflite/runtime_abi.h"

namespace keras_ste {

// `options` must outlive the node, as a model's buffer does. Null where memory ran out.
void* NewNode(const Op* op, const char* options, size_t size);
void DeleteNode(void* node);
// `temporaries` are the runtime's list for this node.
TfLiteStatus Prepare(TfLiteContext* context, void* node, const TfLiteIntArray* inputs, const TfLiteIntArray* outputs,
                     TfLiteIntArray** temporaries);
TfLiteStatus Invoke(TfLiteContext* context, void* node, const TfLiteIntArray* inputs, const TfLiteIntArray* outputs);

}  // namespace keras_ste

#endif  // KERAS_STE_TFLITE_NODE_H_
