// The options that say how codes are made up, and the outputs that sums become: alike for all ops that have them.
#ifndef KERAS_STE_OPS_CODE_OPTIONS_H_
#define KERAS_STE_OPS_CODE_OPTIONS_H_

#include "kernels/codes.h"
#include "kernels/geometry.h"
#include "kernels/numbers.h"
#include "kernels/outputs.h"
#include "ops/checks.h"
#include "ops/op.h"
#include "ops/options.h"

namespace keras_ste {

// Option "version": 1, all of whose codes have one bit, or 2.
int32_t ReadVersion(Options* options);

// "valid", "same" or "causal".
Padding ReadPadding(Options* options);
// "valid" or "same".
bool ReadSamePadding(Options* options);

// Options "<name>_bits" and "<name>_encoding"; where they are absent, one bipolar bit. Version 1 has none.
Codes ReadCodes(const char* name, int32_t version, Options* options);

// The integers that stand for codes in an output: two's complement has negative ones.
int32_t LowestCode(const Codes& codes);
int32_t HighestCode(const Codes& codes);

// The options that say what the sums become. The channels are to be set besides.
Outputs ReadOutputs(int32_t version, Options* options);

// Floats that are not clamped.
Outputs FloatOutputs(int32_t channels);

// Sets what `outputs` leaves open from the tensors multiplier, bias and thresholds, inputs `first` to `first` + 2, and
// checks them. Whether the sums are floats is said by `float_sums`.
bool CheckOutputs(const Tensor* inputs, int32_t first, bool float_sums, Checks* checks, Outputs* outputs);

// Options "<name>_bits", "<name>_encoding" and "<name>_zero_point" of numbers that are floats, bytes or codes. The
// channels are to be set besides.
Numbers ReadNumbers(const char* name, int32_t version, Options* options);

// Sets what `numbers` leaves open from input i, and checks it. Whether it may be FLOAT32 is said by `floats`.
bool CheckNumbers(const Tensor* inputs, int32_t i, bool floats, Checks* checks, Numbers* numbers);

// The product of all dimensions but the last.
int32_t PixelsOf(const Tensor& tensor);

// An output of fewer than 2^31 elements.
bool SetOutput(Type type, int32_t rank, const int32_t* dims, Checks* checks, Output* output);

// The shape of `input` with another last dimension.
bool SetPixelOutput(const Tensor& input, Type type, int32_t last, Checks* checks, Output* output);

// Those of the table, or what works without one.
const OutputKernels* OutputKernelsOf(const KernelTable* kernels);

// The constants, from the node's inputs.
OutputConstants OutputConstantsOf(const void* const* inputs, int32_t first);

// The type of the output tensor; the last of its dimensions is OutputStride().
Type OutputType(const Outputs& outputs);

}  // namespace keras_ste

#endif  // KERAS_STE_OPS_CODE_OPTIONS_H_
