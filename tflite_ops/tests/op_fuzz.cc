// Puts random nodes, most of them broken, before every op, without memory of its own and with each set of kernels that
// this machine has; runs those that are accepted. To be built with the sanitizers, which see what must not happen.
//
//   op_fuzz [seed [number of nodes]]
//
// Checked besides: all sets of kernels agree on whether a node is good and on its results, the good nodes are accepted,
// refusals name the op, and no op asks for more memory of its own than kMostOwnBytes. What is printed is the same on
// every machine.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "ops/op.h"
#include "tests/op_cases.h"
#include "tests/random.h"

namespace keras_ste {
namespace {

constexpr uint64_t kMostOwnBytes = uint64_t{1} << 62;
constexpr uint64_t kMostRunBytes = 1 << 20;  // of all memory of a node that is run
constexpr double kMostRunCost = 1e7;

struct Counts {
  int64_t refused = 0;
  int64_t accepted = 0;  // but too large to be run here
  int64_t run = 0;
  uint64_t digest = 14695981039346656037u;  // FNV-1a, of what the good nodes that were run put out
};

[[noreturn]] void Fail(const OpCase& node, const char* kernels, const char* what) {
  fprintf(stderr, "%s with %s kernels: %s\n", node.op->name, kernels, what);
  for (const Option& o : node.options) {
    fprintf(stderr, "  %s = %" PRId64 " %g '%s'\n", o.key.c_str(), o.integer, o.real, o.text.c_str());
  }
  for (const TensorCase& t : node.inputs) {
    fprintf(stderr, "  %s: present %d, constant %d, type %d, [", t.name.c_str(), t.present, t.constant,
            static_cast<int>(t.type));
    for (int32_t d : t.dims) fprintf(stderr, " %d", d);
    fprintf(stderr, " ]\n");
  }
  exit(1);
}

// Memory of exactly this size, so that the sanitizer sees the first byte behind it; aligned as the adapters promise.
struct AlignedDelete {
  void operator()(char* p) const { free(p); }
};
using Memory = std::unique_ptr<char[], AlignedDelete>;

Memory Allocate(uint64_t bytes) {
  void* p = nullptr;
  if (posix_memalign(&p, 64, bytes == 0 ? 1 : bytes) != 0) abort();
  memset(p, 0xA5, bytes);  // what was not written is not zero by chance
  return Memory(static_cast<char*>(p));
}

constexpr float kSpecialFloats[] = {0.0f, -0.0f, 1e-45f, 3e38f, __builtin_inff(), -__builtin_inff(),
                                    __builtin_nanf("")};

Memory RandomData(Type type, uint64_t bytes, Random* random) {
  Memory memory = Allocate(bytes);
  if (type == Type::kFloat32) {
    for (uint64_t i = 0; i + 4 <= bytes; i += 4) {
      const float x = random->OneIn(16) ? random->OneOf(kSpecialFloats) : random->Real();
      memcpy(&memory[i], &x, sizeof(x));
    }
  } else {
    for (uint64_t i = 0; i < bytes; ++i) memory[i] = static_cast<char>(random->Bits());
  }
  return memory;
}

template <typename Number>
void Ascend(const std::vector<int32_t>& dims, char* memory, uint64_t bytes) {
  if (dims.size() != 2) return;
  Number* numbers = reinterpret_cast<Number*>(memory);
  const uint64_t stride = static_cast<uint64_t>(dims[1]);
  for (uint64_t i = stride; i < bytes / sizeof(Number); ++i) {
    if (!(numbers[i] >= numbers[i - stride])) numbers[i] = numbers[i - stride];
  }
}

// Makes random numbers into such as the op takes.
void Restrain(const TensorCase& t, char* memory, uint64_t bytes) {
  int32_t* integers = reinterpret_cast<int32_t*>(memory);
  if (t.numbers == Content::kAscending) {
    if (t.type == Type::kFloat32) Ascend<float>(t.dims, memory, bytes);
    if (t.type == Type::kInt32) Ascend<int32_t>(t.dims, memory, bytes);
    return;
  }
  for (uint64_t i = 0; i < bytes / 4; ++i) {
    const uint32_t bits = static_cast<uint32_t>(integers[i]);
    if (t.below > 0) integers[i] = static_cast<int32_t>(bits % static_cast<uint32_t>(t.below));
    if (t.numbers == Content::kMultipliers) integers[i] = static_cast<int32_t>(1u << 30 | bits >> 2);
    if (t.numbers == Content::kBiases) integers[i] = static_cast<int32_t>(bits >> 2) - (1 << 29);
    if (t.numbers == Content::kShifts) integers[i] = static_cast<int32_t>(bits % 62) - 31;
  }
}

// All NaNs are one: which of them comes out of a sum is the compiler's choice.
void UnifyNaNs(char* floats, uint64_t bytes) {
  for (uint64_t i = 0; i + 4 <= bytes; i += 4) {
    float x = 0;
    memcpy(&x, &floats[i], sizeof(x));
    if (x != x) x = __builtin_nanf("");
    memcpy(&floats[i], &x, sizeof(x));
  }
}

class Node {
 public:
  Node(const OpCase& node, uint64_t seed) : case_(node) {
    Random random(seed);
    for (size_t i = 0; i < node.inputs.size(); ++i) Describe(node.inputs[i], static_cast<int32_t>(i), &random);
    options_ = Allocate(node.bytes.size());
    if (!node.bytes.empty()) memcpy(options_.get(), node.bytes.data(), node.bytes.size());
  }

  bool Prepare(const KernelTable* kernels, Error* error) {
    state_ = Allocate(kStateBytes);
    for (Output& output : outputs_) output = {};
    const auto* options = reinterpret_cast<const uint8_t*>(options_.get());
    return case_.op->prepare(case_.bytes.empty() ? nullptr : options, case_.bytes.size(), tensors_,
                             static_cast<int32_t>(case_.inputs.size()), kernels, state_.get(), outputs_, error);
  }

  uint64_t WeightsBytes() const { return case_.op->weights_bytes(state_.get()); }
  uint64_t TablesBytes() const { return case_.op->tables_bytes(state_.get()); }
  uint64_t ScratchBytes() const { return case_.op->scratch_bytes(state_.get()); }

  // 0 where there is no such output.
  uint64_t OutputBytes(int32_t i) const {
    if (outputs_[i].rank == 0) return 0;
    TensorCase output;
    output.type = outputs_[i].type;
    output.dims.assign(outputs_[i].dims, outputs_[i].dims + outputs_[i].rank);
    return BytesOf(output);
  }
  uint64_t OutputBytes() const { return OutputBytes(0) + OutputBytes(1); }

  bool SmallEnough() const {
    return fits_ && case_.op->cost(state_.get()) <= kMostRunCost &&
           input_bytes_ + OutputBytes() + WeightsBytes() + TablesBytes() + ScratchBytes() <= kMostRunBytes;
  }

  // Whether the op takes what the inputs hold.
  bool Takes(Error* error) const {
    return case_.op->check == nullptr || case_.op->check(state_.get(), Inputs(), error);
  }

  // In a few ranges of units; returns the outputs, one behind the other.
  std::string Run(Random* random) {
    const Memory weights = Allocate(WeightsBytes()), tables = Allocate(TablesBytes());
    const Memory outputs[kMaxOutputs] = {Allocate(OutputBytes(0)), Allocate(OutputBytes(1))};
    const Memory scratch = Allocate(ScratchBytes());
    Buffers buffers = Inputs();
    const void* constants[kMaxInputs] = {};
    for (int32_t i = 0; i < kMaxInputs; ++i) {
      if (tensors_[i].constant) constants[i] = data_[i].get();
    }
    if (WeightsBytes() > 0) case_.op->fill_weights(state_.get(), constants, weights.get());
    if (TablesBytes() > 0) case_.op->fill_tables(state_.get(), constants, tables.get());
    buffers.output = outputs[0].get();
    buffers.second_output = OutputBytes(1) > 0 ? outputs[1].get() : nullptr;
    buffers.weights = WeightsBytes() > 0 ? weights.get() : nullptr;
    buffers.tables = TablesBytes() > 0 ? tables.get() : nullptr;
    buffers.scratch = ScratchBytes() > 0 ? scratch.get() : nullptr;
    InRanges(case_.op->stage_units(state_.get()), case_.op->stage, buffers, random);
    InRanges(case_.op->units(state_.get()), case_.op->run, buffers, random);
    std::string all;
    for (int32_t i = 0; i < kMaxOutputs; ++i) {
      if (outputs_[i].type == Type::kFloat32) UnifyNaNs(outputs[i].get(), OutputBytes(i));
      all.append(outputs[i].get(), OutputBytes(i));
    }
    return all;
  }

 private:
  Buffers Inputs() const {
    Buffers buffers = {};
    for (int32_t i = 0; i < kMaxInputs; ++i) buffers.inputs[i] = data_[i].get();
    return buffers;
  }

  void InRanges(int32_t units, void (*work)(const void*, const Buffers&, int32_t, int32_t), const Buffers& buffers,
                Random* random) const {
    for (int32_t begin = 0; begin < units;) {
      const int32_t end = begin + static_cast<int32_t>(random->Between(1, units - begin));
      work(state_.get(), buffers, begin, end);
      begin = end;
    }
  }

  // Tensors that are too large for a test are described all the same; their bytes are never looked at.
  void Describe(const TensorCase& t, int32_t i, Random* random) {
    Tensor& tensor = tensors_[i];
    if (!t.present) return;
    tensor.present = true;
    tensor.constant = t.constant;
    tensor.type = t.type;
    tensor.rank = static_cast<int32_t>(t.dims.size());
    for (size_t d = 0; d < t.dims.size() && d < static_cast<size_t>(kMaxRank); ++d) tensor.dims[d] = t.dims[d];
    tensor.name = t.named ? t.name.c_str() : nullptr;
    const uint64_t whole = BytesOf(t);
    const bool small = whole <= kMostRunBytes;
    const uint64_t missing = i == 0 ? 0 : t.missing_bytes;  // the runtimes check activations
    tensor.bytes = whole < missing ? 0 : whole - missing;
    if (!t.constant) tensor.bytes = 0;  // not known before there is memory for it
    data_[i] = RandomData(t.type, !small ? 4 : t.constant ? tensor.bytes : whole, random);
    if (small && (t.constant || t.below > 0)) Restrain(t, data_[i].get(), t.constant ? tensor.bytes : whole);
    // Those that an op reads before it takes the node have to be there as a whole.
    const bool readable = small || t.numbers == Content::kAny;
    tensor.data = t.constant && readable ? data_[i].get() : nullptr;
    fits_ = fits_ && small;
    input_bytes_ += whole;
  }

  const OpCase& case_;
  Memory options_;
  Memory state_;
  Memory data_[kMaxInputs];
  Tensor tensors_[kMaxInputs] = {};
  Output outputs_[kMaxOutputs] = {};
  bool fits_ = true;
  uint64_t input_bytes_ = 0;
};

void CheckRefusal(const OpCase& node, const char* kernels, const Error& error) {
  const std::string text = error.c_str();
  const std::string begin = std::string(node.op->name) + ": ";
  if (text.compare(0, begin.size(), begin) != 0 || text.size() < begin.size() + 10) {
    Fail(node, kernels, ("a refusal that does not say what is wrong: '" + text + "'").c_str());
  }
}

void Check(const OpCase& node, bool enormous, uint64_t seed, Counts* counts) {
  const KernelTable* tables[kMaxKernelTables + 1] = {nullptr};
  const int32_t n = 1 + AvailableKernels(tables + 1);
  std::string first_output, first_refusal;
  bool ran = false;
  for (int32_t i = 0; i < n; ++i) {
    const char* kernels = i == 0 ? "no" : tables[i]->name;
    Node prepared(node, seed);
    Error error;
    const bool prepares = prepared.Prepare(tables[i], &error), small = prepares && prepared.SmallEnough();
    const bool accepted = prepares && (!small || prepared.Takes(&error));
    if (!accepted) CheckRefusal(node, kernels, error);
    if (!accepted && !node.spoiled && !enormous) Fail(node, kernels, error.c_str());
    if (i == 0) first_refusal = error.c_str();
    if (first_refusal != error.c_str()) Fail(node, kernels, "judged otherwise than without kernels");
    if (!accepted) continue;
    if (prepared.WeightsBytes() + prepared.TablesBytes() + prepared.ScratchBytes() > kMostOwnBytes) {
      Fail(node, kernels, "wants too much memory");
    }
    if (prepared.OutputBytes(0) == 0 || prepared.OutputBytes() > uint64_t{1} << 34) Fail(node, kernels, "odd output");
    if (!small) continue;
    Random random(seed);
    const std::string output = prepared.Run(&random);
    if (!ran) first_output = output;
    if (!node.spoiled && !node.tails && output != first_output) Fail(node, kernels, "another result than before");
    ran = true;
  }
  ++(!first_refusal.empty() ? counts->refused : ran ? counts->run : counts->accepted);
  if (node.spoiled || node.tails) return;
  for (char byte : first_output) counts->digest = (counts->digest ^ static_cast<uint8_t>(byte)) * 1099511628211u;
}

}  // namespace
}  // namespace keras_ste

int main(int argc, char** argv) {
  using namespace keras_ste;
  const uint64_t seed = argc > 1 ? strtoull(argv[1], nullptr, 10) : 1;
  const int64_t nodes = argc > 2 ? strtoll(argv[2], nullptr, 10) : 20000;
  Counts counts[kOpCount];
  for (int64_t i = 0; i < nodes; ++i) {
    const uint64_t own_seed = Random(seed * 1000003 + static_cast<uint64_t>(i)).Bits();
    Random random(own_seed);
    const int32_t op = static_cast<int32_t>(i % kOpCount);
    const bool enormous = random.OneIn(4);
    OpCase node = GoodCase(kOps[op], enormous, &random);
    if (!random.OneIn(4)) Spoil(&node, &random);
    Check(node, enormous, own_seed, &counts[op]);
  }
  bool all_kinds = true;
  for (int32_t op = 0; op < kOpCount; ++op) {
    const Counts& c = counts[op];
    printf("%s: %" PRId64 " refused, %" PRId64 " accepted and run, %" PRId64 " accepted but too large to run, ",
           kOps[op]->name, c.refused, c.run, c.accepted);
    printf("results %" PRIx64 "\n", c.digest);
    all_kinds = all_kinds && c.refused > 0 && c.run > 0 && c.accepted > 0;
  }
  if (!all_kinds) fprintf(stderr, "not every kind of node came up: raise the number of nodes\n");
  return all_kinds ? 0 : 1;
}
