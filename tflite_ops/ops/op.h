// What an op is to every runtime. An adapter (tflite/, micro/) turns its runtime's tensors into these, and never looks
// inside an op.
//
// The life of an op:
//   prepare   checks options and tensors, infers the output, fills the state; again after every change of shape
//   weights   memory that depends on the constant inputs only, filled once
//   tables    memory that depends on shapes too, filled after each prepare
//   check     at each call and before all else, where an op has it: whether the inputs hold what the op can compute
//   stage     at each call, brings the inputs into the form that `run` reads, in scratch memory; may be called from
//             several threads for some of its independent units each
//   run       when all is staged, computes some of the op's independent units; likewise
#ifndef KERAS_STE_OPS_OP_H_
#define KERAS_STE_OPS_OP_H_

#include <stddef.h>
#include <stdint.h>

#include "ops/error.h"

namespace keras_ste {

struct KernelTable;

constexpr int32_t kMaxInputs = 8;
constexpr int32_t kMaxOutputs = 2;
constexpr int32_t kMaxRank = 6;
constexpr size_t kStateBytes = 320;   // every op's state fits
constexpr size_t kMemoryAlignment = 64;  // of weights, tables and scratch
constexpr size_t kConstantAlignment = 4;

enum class Type : uint8_t { kFloat32, kInt32, kInt16, kInt8, kUInt8, kOther };

struct Tensor {
  bool present;
  bool constant;
  Type type;
  int32_t rank;  // may exceed kMaxRank; then dims holds the first ones only
  int32_t dims[kMaxRank];
  size_t bytes;
  const void* data;  // of a constant, aligned to kConstantAlignment; else null
  const char* name;  // in the file, or null
};

struct Output {
  Type type;
  int32_t rank;
  int32_t dims[kMaxRank];
};

// The constant inputs as they lie in memory, and where `run` finds its own.
struct Buffers {
  const void* inputs[kMaxInputs];  // null where absent
  void* output;
  void* second_output;  // null where there is none
  const void* weights;
  const void* tables;
  void* scratch;
};

struct Op {
  const char* name;

  // `kernels` is null where the op must work from the file's weights without memory of its own. `inputs` has kMaxInputs
  // elements, of which the node has `count`; so has `outputs` kMaxOutputs, of rank 0 where prepare finds none. On failure the reason is in `error` and the state is not to be used.
  bool (*prepare)(const uint8_t* options, size_t size, const Tensor* inputs, int32_t count, const KernelTable* kernels,
                  void* state, Output* outputs, Error* error);

  size_t (*weights_bytes)(const void* state);
  void (*fill_weights)(const void* state, const void* const* inputs, void* weights);
  size_t (*tables_bytes)(const void* state);
  void (*fill_tables)(const void* state, const void* const* inputs, void* tables);

  // Memory whose content lasts for one call only; what is staged lies there.
  size_t (*scratch_bytes)(const void* state);
  int32_t (*stage_units)(const void* state);
  void (*stage)(const void* state, const Buffers& buffers, int32_t begin, int32_t end);

  int32_t (*units)(const void* state);
  // Roughly, in multiply-adds of one bit: what threads are worth starting for.
  double (*cost)(const void* state);
  void (*run)(const void* state, const Buffers& buffers, int32_t begin, int32_t end);

  // Null where all inputs will do. On failure the reason is in `error`, and nothing is to be staged or run.
  bool (*check)(const void* state, const Buffers& buffers, Error* error) = nullptr;
};

// The op called `name`, or null.
const Op* FindOp(const char* name);

constexpr int32_t kOpCount = 14;
extern const Op* const kOps[kOpCount];

}  // namespace keras_ste

#endif  // KERAS_STE_OPS_OP_H_
