// What the ops of products share: everything but how their options describe a convolution.
#ifndef KERAS_STE_OPS_CONV_OP_H_
#define KERAS_STE_OPS_CONV_OP_H_

#include "kernels/conv.h"
#include "kernels/product.h"
#include "ops/checks.h"
#include "ops/op.h"
#include "ops/options.h"

namespace keras_ste {

struct ConvState {
  Conv conv;
  const KernelTable* kernels;  // null: DirectConv
  bool rows;                   // RowConv
  Way way;                     // of TiledConv
};
static_assert(sizeof(ConvState) <= kStateBytes, "kStateBytes is too small");

extern const char* const kConvRoles[kMaxInputs];
constexpr int32_t kFirstConvConstant = 2;  // of the inputs: the multiplier

// Reads the options about codes and outputs into `conv`.
void ReadCodeOptions(int32_t version, int32_t filters, Options* options, Conv* conv);

// Sets `conv->input` from the type of input 0, and checks that it goes with the options.
bool ReadInputKind(const Tensor& input, Checks* checks, Conv* conv);

// With `conv` complete, checks inputs 1 to 4 and the sizes, and chooses how to compute.
bool FinishConv(const Tensor* inputs, int32_t filter_rank, const int32_t* filter_dims, const KernelTable* kernels,
                Checks* checks, ConvState* state);

// The functions of Op after prepare.
size_t ConvWeightsBytes(const void* state);
void ConvFillWeights(const void* state, const void* const* inputs, void* weights);
size_t ConvTablesBytes(const void* state);
void ConvFillTables(const void* state, const void* const* inputs, void* tables);
size_t ConvScratchBytes(const void* state);
int32_t ConvStageUnits(const void* state);
void ConvStage(const void* state, const Buffers& buffers, int32_t begin, int32_t end);
int32_t ConvUnits(const void* state);
double ConvCost(const void* state);
void ConvRun(const void* state, const Buffers& buffers, int32_t begin, int32_t end);

}  // namespace keras_ste

#endif  // KERAS_STE_OPS_CONV_OP_H_
