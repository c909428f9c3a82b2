// The ops as TFLite Micro registrations, for an app on a board:
//
//   tflite::MicroMutableOpResolver<16> resolver;
//   if (keras_ste::AddAllOps(resolver) != kTfLiteOk) return;
//
// or only those that a model has, so that the linker drops the others:
//
//   resolver.AddCustom("SteConv2D", keras_ste::RegisterSteConv2D());
//
// Compiles with TFLite Micro before October 2026, whose types are global, and after, where they are in tflite::micro.
#ifndef KERAS_STE_MICRO_KERAS_STE_MICRO_H_
#define KERAS_STE_MICRO_KERAS_STE_MICRO_H_

#include "tensorflow/lite/micro/micro_common.h"

namespace tflite {
namespace micro {}
}  // namespace tflite

namespace keras_ste {

using namespace ::tflite;         // NOLINT: one of the two holds the runtime's types, or neither
using namespace ::tflite::micro;  // NOLINT

// Each has static lifetime, and the name that files use in `custom_name`.
TFLMRegistration* RegisterSteQuantize();
TFLMRegistration* RegisterSteConv2D();
TFLMRegistration* RegisterSteDepthwiseConv2D();
TFLMRegistration* RegisterSteFullyConnected();
TFLMRegistration* RegisterSteMaxPool2D();
TFLMRegistration* RegisterSteAveragePool2D();
TFLMRegistration* RegisterSteAdd();
TFLMRegistration* RegisterSteDequantize();
TFLMRegistration* RegisterSteNearest();
TFLMRegistration* RegisterSteGather();
TFLMRegistration* RegisterSteConcat();
TFLMRegistration* RegisterStePad();
TFLMRegistration* RegisterSteShuffle();
TFLMRegistration* RegisterSteTransposeConv2D();

// Adds all of them to a MicroMutableOpResolver, or to what has its AddCustom. Fails where the resolver has no room for
// so many more ops.
template <typename Resolver>
TfLiteStatus AddAllOps(Resolver& resolver) {
  TFLMRegistration* const registrations[] = {
      RegisterSteQuantize(),   RegisterSteConv2D(),        RegisterSteDepthwiseConv2D(), RegisterSteTransposeConv2D(),
      RegisterSteFullyConnected(), RegisterSteMaxPool2D(), RegisterSteAveragePool2D(),   RegisterSteAdd(),
      RegisterSteDequantize(), RegisterSteNearest(),       RegisterSteGather(),          RegisterSteConcat(),
      RegisterStePad(),        RegisterSteShuffle()};
  for (TFLMRegistration* r : registrations) {
    const TfLiteStatus status = resolver.AddCustom(r->custom_name, r);
    if (status != kTfLiteOk) return status;
  }
  return kTfLiteOk;
}

}  // namespace keras_ste

#endif  // KERAS_STE_MICRO_KERAS_STE_MICRO_H_
