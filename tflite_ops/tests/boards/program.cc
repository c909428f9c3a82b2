// Random nodes of every op, the same on every machine, computed from the file's weights ("direct") and, unless
// KERAS_STE_DIRECT_ONLY is defined, by the portable tiled kernels ("tiled"). Each output is compared bit for bit with
// its plain definition; the lines printed are to be the same on a board as on the computer that compiled for it. So are
// those of the nodes in cases.h, some of every op.
//
// No heap and no stdio: the smallest board has 16 KB of RAM.
#include <stdint.h>
#include <string.h>

#include <initializer_list>

#include "kernels/kernel_table.h"
#include "ops/op.h"
#include "tests/boards/board.h"
#include "tests/boards/cases.h"
#include "tests/boards/memory.h"
#include "tests/boards/option_writer.h"
#include "tests/boards/product.h"
#include "tests/random.h"

namespace keras_ste {
namespace {

constexpr int32_t kNodes = 24;  // of each kind
constexpr size_t kTiledAlignment = 64;

// Keeps what a function has on the stack away from there while an op runs: the smallest board needs the room.
#define KERAS_STE_APART __attribute__((noinline))

using Line = Error;  // a text put together without a heap

Memory memory;
alignas(16) char state[kStateBytes];
bool failed = false;

class Checksum {  // FNV-1a
 public:
  void Add(const void* data, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) value_ = (value_ ^ static_cast<const uint8_t*>(data)[i]) * 16777619u;
  }
  uint32_t value() const { return value_; }

 private:
  uint32_t value_ = 2166136261u;
};

// What a line tells of the nodes of one kind.
struct Tally {
  int32_t elements = 0, wrong = 0, refused = 0;
  Checksum outputs, refusals;
};

struct Node {
  const Op* op;
  const KernelTable* kernels;
  const uint8_t* options;
  size_t options_size;
  Tensor inputs[kMaxInputs];
  int32_t count;
  const void* data[kMaxInputs];
  Output outputs[kMaxOutputs];
  const void* second_output;  // when it has run, or null
};

KERAS_STE_APART void CopyOptions(OptionWriter* writer, Node* node) {
  node->options_size = writer->Finish();
  void* copy = memory.Take(node->options_size, 4, 1);  // at an odd address: files promise nothing about it
  memcpy(copy, writer->bytes(), node->options_size);
  node->options = static_cast<const uint8_t*>(copy);
}

bool Prepare(Node* node, Error* error) {
  return node->op->prepare(node->options, node->options_size, node->inputs, node->count, node->kernels, state,
                           node->outputs, error);
}

KERAS_STE_APART void PrepareGood(Node* node) {
  Error error;
  if (!Prepare(node, &error)) Stop(error.c_str());
}

KERAS_STE_APART void CheckGood(const Op& op, const Buffers& buffers) {
  Error error;
  if (op.check != nullptr && !op.check(state, buffers, &error)) Stop(error.c_str());
}

int32_t OutputBytes(const Output& output) {
  if (output.rank == 0) return 0;
  int32_t bytes = output.type == Type::kInt8 ? 1 : output.type == Type::kInt16 ? 2 : 4;
  for (int32_t d = 0; d < output.rank; ++d) bytes *= output.dims[d];
  return bytes;
}

// Runs the node, the last of its units first, and returns the first output.
const void* Run(Node* node, int32_t expected_bytes, int32_t second_bytes = 0) {
  PrepareGood(node);
  if (OutputBytes(node->outputs[0]) != expected_bytes || OutputBytes(node->outputs[1]) != second_bytes) Stop("an output of another size than defined");

  const Op& op = *node->op;
  Buffers buffers = {};
  const void* constants[kMaxInputs] = {};
  for (int32_t i = 0; i < kMaxInputs; ++i) {
    buffers.inputs[i] = node->data[i];
    if (node->inputs[i].constant) constants[i] = node->data[i];
  }
  if (const size_t bytes = op.weights_bytes(state)) {
    void* weights = memory.Take(bytes, kTiledAlignment, 0);
    op.fill_weights(state, constants, weights);
    buffers.weights = weights;
  }
  if (const size_t bytes = op.tables_bytes(state)) {
    void* tables = memory.Take(bytes, kTiledAlignment, 0);
    op.fill_tables(state, constants, tables);
    buffers.tables = tables;
  }
  buffers.output = memory.Take(static_cast<size_t>(expected_bytes), 4, 0);
  if (second_bytes > 0) buffers.second_output = memory.Take(static_cast<size_t>(second_bytes), 4, 0);
  node->second_output = buffers.second_output;
  if (const size_t bytes = op.scratch_bytes(state)) buffers.scratch = memory.Take(bytes, kTiledAlignment, 0);
  CheckGood(op, buffers);
  const int32_t stage_units = op.stage_units(state);
  for (int32_t i = stage_units - 1; i >= 0; --i) op.stage(state, buffers, i, i + 1);
  const int32_t units = op.units(state);
  op.run(state, buffers, units - 1, units);
  op.run(state, buffers, 0, units - 1);
  if (!memory.GuardsIntact()) Stop("written past the end of a piece of memory");
  return buffers.output;
}

const uint32_t* RunWords(Node* node, int32_t expected) { return static_cast<const uint32_t*>(Run(node, 4 * expected)); }

void Compare(uint32_t actual, uint32_t expected, Tally* tally) {
  ++tally->elements;
  tally->wrong += actual != expected;
  tally->outputs.Add(&actual, sizeof(actual));
}

// Puts the node before its op once more with one bit of the options changed. The verdict counts, and the reason given.
KERAS_STE_APART void Spoil(Node* node, Random* random, Tally* tally) {
  const size_t at = static_cast<size_t>(random->Between(0, static_cast<int64_t>(node->options_size) - 1));
  const_cast<uint8_t*>(node->options)[at] ^= static_cast<uint8_t>(1u << random->Between(0, 7));
  Error error;
  if (!Prepare(node, &error)) ++tally->refused;
  tally->refusals.Add(error.c_str(), strlen(error.c_str()) + 1);
}

KERAS_STE_APART void Report(const KernelTable* kernels, const char* kind, const Tally& tally) {
  Line line;
  line.Text(kernels == nullptr ? "direct " : "tiled ").Text(kind).Text(": nodes ").Number(kNodes);
  line.Text(", elements ").Number(tally.elements).Text(", checksum ").Number(tally.outputs.value());
  line.Text(", refused when spoiled ").Number(tally.refused).Text(", checksum ").Number(tally.refusals.value());
  line.Text(", wrong ").Number(tally.wrong).Text("\n");
  Print(line.c_str());
  if (tally.wrong > 0) failed = true;
}

struct Features {
  int32_t same = 0, pad_one = 0, groups = 0, stride = 0, dilation = 0, clamp = 0, constants = 0;
};

void Count(const Product& p, Features* f) {
  f->same += p.same;
  f->pad_one += p.pad_value;
  f->groups += p.groups > 1;
  f->stride += p.h.stride > 1 || p.w.stride > 1;
  f->dilation += (p.h.dilation > 1 && p.h.kernel > 1) || (p.w.dilation > 1 && p.w.kernel > 1);
  f->clamp += p.clamped;
  f->constants += p.has_multiplier || p.has_bias;
}

KERAS_STE_APART void Report(const Features& f) {
  Line line;
  line.Text("convolutions: same padding ").Number(f.same).Text(", padded with one ").Number(f.pad_one);
  line.Text(", groups ").Number(f.groups).Text(", stride ").Number(f.stride).Text(", dilation ").Number(f.dilation);
  line.Text(", clamp ").Number(f.clamp).Text(", multiplier or bias ").Number(f.constants).Text("\n");
  Print(line.c_str());
}

KERAS_STE_APART void MakeNode(const Product& product, const KernelTable* kernels, Random* random, Node* node) {
  node->op = FindOp(product.fully_connected ? "SteFullyConnected" : "SteConv2D");
  node->kernels = kernels;
  OptionWriter options;
  WriteOptions(product, &options);
  CopyOptions(&options, node);
  node->count = MakeInputs(product, random, &memory, node->inputs, node->data);
}

KERAS_STE_APART void ReportProducts(const KernelTable* kernels, bool fully_connected, const char* input,
                                    bool packed_output, const Tally& tally) {
  Line kind;
  kind.Text(fully_connected ? "SteFullyConnected " : "SteConv2D ").Text(input);
  kind.Text(packed_output ? " to packed" : " to float32");
  Report(kernels, kind.c_str(), tally);
}

void TestProducts(const KernelTable* kernels, bool fully_connected, Type input, const char* input_name,
                  bool packed_output, Features* features) {
  Random random(static_cast<uint64_t>(input) * 4 + (fully_connected ? 2 : 0) + (packed_output ? 1 : 0));
  Tally tally;
  for (int32_t i = 0; i < kNodes; ++i) {
    const Product product = RandomProduct(fully_connected, input, packed_output, &random);
    if (!fully_connected) Count(product, features);
    memory.Clear();
    Node node = {};
    MakeNode(product, kernels, &random, &node);
    const int32_t elements = OutputElements(product);
    const uint32_t* output = RunWords(&node, elements);
    for (int32_t e = 0; e < elements; ++e) Compare(output[e], ExpectedElement(product, node.data, e), &tally);
    Spoil(&node, &random, &tally);
  }
  ReportProducts(kernels, fully_connected, input_name, packed_output, tally);
}

Tensor Describe(Type type, int32_t rank, const int32_t* dims) {
  Tensor t = {};
  t.present = true;
  t.type = type;
  t.rank = rank;
  for (int32_t d = 0; d < rank; ++d) t.dims[d] = dims[d];
  return t;
}

uint32_t* TakeWords(int32_t n, Random* random) {
  uint32_t* words = static_cast<uint32_t*>(memory.Take(4 * static_cast<size_t>(n), 4, 0));
  for (int32_t i = 0; i < n; ++i) words[i] = static_cast<uint32_t>(random->Bits());
  return words;
}

KERAS_STE_APART void TestQuantize(const KernelTable* kernels) {
  // The signs of which a comparison may be wrong.
  const float odd[] = {0.0f, -0.0f, 1e-45f, -1e-45f, __builtin_inff(), -__builtin_inff(), __builtin_nanf("")};
  Random random(1);
  Tally tally;
  for (int32_t i = 0; i < kNodes; ++i) {
    const int32_t pixels = static_cast<int32_t>(random.Between(1, 6));
    const int32_t channels = random.OneIn(4) ? 64 : static_cast<int32_t>(random.Between(1, 100));
    const int32_t dims[2] = {pixels, channels};
    const int32_t words = (channels + 31) / 32;
    memory.Clear();
    float* x = static_cast<float*>(memory.Take(sizeof(float) * static_cast<size_t>(pixels * channels), 4, 0));
    for (int32_t j = 0; j < pixels * channels; ++j) x[j] = random.OneIn(4) ? random.OneOf(odd) : random.Real();
    Node node = {};
    node.op = FindOp("SteQuantize");
    node.kernels = kernels;
    OptionWriter options;
    options.Int("version", 1);
    options.Int("bits", 1);
    options.String("encoding", "bipolar");
    options.Int("channels", channels);
    CopyOptions(&options, &node);
    node.inputs[0] = Describe(Type::kFloat32, 2, dims);
    node.data[0] = x;
    node.count = 1;
    const uint32_t* output = RunWords(&node, pixels * words);
    for (int32_t e = 0; e < pixels * words; ++e) {
      uint32_t expected = 0;
      for (int32_t b = 0; b < 32 && e % words * 32 + b < channels; ++b) {
        if (x[e / words * channels + e % words * 32 + b] >= 0.0f) expected |= 1u << b;
      }
      Compare(output[e], expected, &tally);
    }
    Spoil(&node, &random, &tally);
  }
  Report(kernels, "SteQuantize", tally);
}

// One axis of a pooling window: the first place of window `position`, and how many windows there are.
struct PoolAxis {
  int32_t in, pool, stride;
  bool same;

  int32_t Out() const { return same ? (in + stride - 1) / stride : (in - pool) / stride + 1; }
  int32_t Start(int32_t position) const {
    const int32_t total = (Out() - 1) * stride + pool - in;
    return position * stride - (same && total > 0 ? total / 2 : 0);
  }
};

PoolAxis RandomPoolAxis(bool same, Random* random) {
  PoolAxis a;
  a.same = same;
  a.pool = static_cast<int32_t>(random->Between(1, 3));
  a.stride = static_cast<int32_t>(random->Between(1, 3));
  a.in = static_cast<int32_t>(random->Between(same ? 1 : a.pool, 7));
  return a;
}

struct Pool {
  PoolAxis h, w;
  int32_t words;
  const uint32_t* input;
  const uint32_t* minimum;  // or null
};

// One bit after the other: the largest, or the smallest, of those that the window covers.
uint32_t ExpectedPool(const Pool& p, int32_t element) {
  const int32_t word = element % p.words, pixel = element / p.words;
  const int32_t left = p.w.Start(pixel % p.w.Out()), top = p.h.Start(pixel / p.w.Out() % p.h.Out());
  const int32_t image = pixel / p.w.Out() / p.h.Out();
  uint32_t result = 0;
  for (int32_t b = 0; b < 32; ++b) {
    bool any = false, all = true;
    for (int32_t y = top < 0 ? 0 : top; y < top + p.h.pool && y < p.h.in; ++y) {
      for (int32_t x = left < 0 ? 0 : left; x < left + p.w.pool && x < p.w.in; ++x) {
        const bool bit = (p.input[((image * p.h.in + y) * p.w.in + x) * p.words + word] >> b) & 1u;
        any = any || bit;
        all = all && bit;
      }
    }
    const bool smallest = p.minimum != nullptr && ((p.minimum[word] >> b) & 1u);
    if (smallest ? all : any) result |= 1u << b;
  }
  return result;
}

KERAS_STE_APART void TestPool(const KernelTable* kernels) {
  Random random(2);
  Tally tally;
  for (int32_t i = 0; i < kNodes; ++i) {
    const bool same = random.OneIn(2);
    Pool p = {RandomPoolAxis(same, &random), RandomPoolAxis(same, &random), 0, nullptr, nullptr};
    p.words = static_cast<int32_t>(random.Between(1, 3));
    const int32_t batch = static_cast<int32_t>(random.Between(1, 2));
    const int32_t dims[4] = {batch, p.h.in, p.w.in, p.words};
    memory.Clear();
    Node node = {};
    node.op = FindOp("SteMaxPool2D");
    node.kernels = kernels;
    OptionWriter options;
    options.Int("version", 1);
    options.Int("channels", 32 * p.words);
    options.Int("pool_h", p.h.pool);
    options.Int("pool_w", p.w.pool);
    options.Int("stride_h", p.h.stride);
    options.Int("stride_w", p.w.stride);
    options.String("padding", same ? "same" : "valid");
    CopyOptions(&options, &node);
    node.data[0] = p.input = TakeWords(batch * p.h.in * p.w.in * p.words, &random);
    node.inputs[0] = Describe(Type::kInt32, 4, dims);
    node.count = 1;
    if (random.OneIn(2)) {
      node.data[1] = p.minimum = TakeWords(p.words, &random);
      node.inputs[1] = Describe(Type::kInt32, 1, &p.words);
      node.inputs[1].constant = true;
      node.inputs[1].data = p.minimum;
      node.inputs[1].bytes = 4 * static_cast<size_t>(p.words);
      node.count = 2;
    }
    const int32_t elements = batch * p.h.Out() * p.w.Out() * p.words;
    const uint32_t* output = RunWords(&node, elements);
    for (int32_t e = 0; e < elements; ++e) Compare(output[e], ExpectedPool(p, e), &tally);
    Spoil(&node, &random, &tally);
  }
  Report(kernels, "SteMaxPool2D", tally);
}

// A filter of 2^34 bytes, of which the file has none: on 32-bit machines its size must not come out as 0.
KERAS_STE_APART void TestEnormousFilter(const KernelTable* kernels) {
  const int32_t image[4] = {1, 4, 4, 4096}, filter[4] = {1 << 16, 4, 4, 4096};
  OptionWriter options;
  options.Int("version", 1);
  options.Int("channels", 32 * 4096);
  options.Int("filters", filter[0]);
  options.Int("kernel_h", 4);
  options.Int("kernel_w", 4);
  for (const char* key : {"stride_h", "stride_w", "dilation_h", "dilation_w", "groups"}) options.Int(key, 1);
  options.String("padding", "valid");
  options.Int("pad_value", 0);
  options.String("output", "float32");
  memory.Clear();
  Node node = {};
  node.op = FindOp("SteConv2D");
  node.kernels = kernels;
  CopyOptions(&options, &node);
  node.inputs[0] = Describe(Type::kInt32, 4, image);
  node.inputs[1] = Describe(Type::kInt32, 4, filter);
  node.inputs[1].constant = true;
  node.inputs[1].data = node.options - 1;
  node.count = 2;
  Error error;
  if (Prepare(&node, &error)) Stop("a filter that is not there was accepted");
  Line line;
  line.Text(kernels == nullptr ? "direct " : "tiled ").Text("enormous filter: ").Text(error.c_str()).Text("\n");
  Print(line.c_str());
}

KERAS_STE_APART void TestCase(const KernelTable* kernels, const Case& c) {
  memory.Clear();
  Node node = {};
  node.op = FindOp(c.op);
  node.kernels = kernels;
  node.options = c.options;
  node.options_size = c.options_size;
  node.count = c.count;
  memcpy(node.inputs, c.inputs, sizeof(node.inputs));
  memcpy(node.data, c.data, sizeof(node.data));
  const void* first = Run(&node, c.bytes[0], c.bytes[1]);
  const void* outputs[kMaxOutputs] = {first, node.second_output};
  int32_t wrong = 0;
  Checksum sum;
  for (int32_t o = 0; o < kMaxOutputs && c.expected[o] != nullptr; ++o) {
    const uint8_t* output = static_cast<const uint8_t*>(outputs[o]);
    for (int32_t i = 0; i < c.bytes[o]; ++i) wrong += output[i] != c.expected[o][i];
    sum.Add(output, static_cast<size_t>(c.bytes[o]));
  }
  if (wrong > 0) failed = true;
  Line line;
  line.Text(kernels == nullptr ? "direct " : "tiled ").Text("case of ").Text(c.op).Text(": bytes ").Number(c.bytes[0] + c.bytes[1]);
  line.Text(", checksum ").Number(sum.value()).Text(", wrong ").Number(wrong).Text("\n");
  Print(line.c_str());
}

void TestAll(const KernelTable* kernels) {
  const struct {
    Type type;
    const char* name;
  } inputs[] = {
      {Type::kInt32, "packed"}, {Type::kFloat32, "float32"}, {Type::kInt8, "int8"}, {Type::kUInt8, "uint8"}};
  Features features;
  TestQuantize(kernels);
  for (const bool fully_connected : {false, true}) {
    for (const auto& input : inputs) {
      for (const bool packed_output : {false, true}) {
        TestProducts(kernels, fully_connected, input.type, input.name, packed_output, &features);
      }
    }
  }
  TestPool(kernels);
  TestEnormousFilter(kernels);
  for (int32_t i = 0; i < kCaseCount; ++i) TestCase(kernels, kCases[i]);
  if (kernels == nullptr) Report(features);
}

}  // namespace
}  // namespace keras_ste

int main() {
  keras_ste::TestAll(nullptr);
#if !defined(KERAS_STE_DIRECT_ONLY)
  keras_ste::TestAll(keras_ste::PortableKernels());
#endif
  return keras_ste::failed ? 1 : 0;
}
