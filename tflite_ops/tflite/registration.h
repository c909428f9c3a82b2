// The ops as TFLite registrations, for C and C++ apps that build their own interpreter:
//
//   for (int i = 0; i < KerasSteOpCount(); ++i)
//     TfLiteInterpreterOptionsAddCustomOp(options, KerasSteOpName(i), KerasSteOpRegistration(i), 1, 1);
//
// or, in C++, resolver.AddCustom(KerasSteOpName(i), KerasSteOpRegistration(i)).
#ifndef KERAS_STE_TFLITE_REGISTRATION_H_
#define KERAS_STE_TFLITE_REGISTRATION_H_

#if defined(__cplusplus)
extern "C" {
#endif

struct TfLiteRegistration;

int KerasSteOpCount(void);
// The name that files use for op `index`, 0 <= index < KerasSteOpCount().
const char* KerasSteOpName(int index);
// A registration with static lifetime.
struct TfLiteRegistration* KerasSteOpRegistration(int index);

// The instruction set whose kernels run: "portable", "avx2", "avxvnni", "avx512bw", "avx512", "neon", "dotprod" or
// "i8mm"; or what the environment variable KERAS_STE_ISA asks for, and null where that is not available on this
// machine.
const char* KerasSteKernels(void);

#if defined(__cplusplus)
}
#endif

#endif  // KERAS_STE_TFLITE_REGISTRATION_H_
