// The C structs through which TFLite and LiteRT call an op or a delegate: only what this library touches, laid out as
// the runtimes lay it out. No header of theirs is needed to build; with -DTFLITE_INCLUDE_DIR theirs are used instead,
// and a test holds the two against each other.
#ifndef KERAS_STE_TFLITE_RUNTIME_ABI_H_
#define KERAS_STE_TFLITE_RUNTIME_ABI_H_

#include <stddef.h>
#include <stdint.h>

#if defined(KERAS_STE_TFLITE_HEADERS)

#include "tensorflow/lite/core/c/common.h"

#else

#include "tflite/runtime_structs.inc"

#endif

constexpr int kCustomOpCode = 32;  // of BuiltinOperator: CUSTOM

#endif  // KERAS_STE_TFLITE_RUNTIME_ABI_H_
