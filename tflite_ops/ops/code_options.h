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
// checks them; where there is a tail, its constants besides, input `first` + 3. Whether the sums are floats is said by `float_sums`.
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

// Sets the one or two outputs of a product, `rank` dimensions of which the last is not looked at, and checks that the
// residual, inputs `first` + 4 and `first` + 5, is alike.
bool SetProductOutputs(const Tensor* inputs, int32_t first, int32_t rank, const int32_t* dims, Checks* checks,
                       Outputs* outputs, Output* output);

// The most inputs of a product whose constants begin at `first`.
int32_t MostInputs(const Outputs& outputs, int32_t first);

// Those of the table, or what works without one.
const OutputKernels* OutputKernelsOf(const KernelTable* kernels);

// The output's tensors: the constants are the inputs `first` to `first` + 2.
OutputTensors OutputTensorsOf(const Buffers& buffers, int32_t first);
// Besides, those of a tail, the inputs `first` + 3 to `first` + 5.
OutputTensors TailTensorsOf(const Buffers& buffers, int32_t first);

// The type of the output tensor; the last of its dimensions is OutputStride().
Type OutputType(const Outputs& outputs);

}  // namespace keras_ste

#endif  // KERAS_STE_OPS_CODE_OPTIONS_H_
