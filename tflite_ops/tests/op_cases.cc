#include "tests/op_cases.h"

#include <string.h>

#include <limits>

#include "ops/checks.h"

namespace keras_ste {
namespace {

int32_t Words(int64_t bits) { return static_cast<int32_t>((bits + 31) / 32); }

// A size that a test can run, or any up to 2^24.
int32_t Size(bool enormous, int32_t most, Random* random) {
  if (!enormous || random->OneIn(2)) return static_cast<int32_t>(random->Between(1, most));
  const int32_t base = 1 << random->Between(0, 24);
  const int32_t size = base + static_cast<int32_t>(random->Between(-1, 1));
  return size < 1 ? 1 : size > 1 << 24 ? 1 << 24 : size;
}

TensorCase Make(const char* name, Type type, std::vector<int32_t> dims, bool constant) {
  TensorCase tensor;
  tensor.name = name;
  tensor.type = type;
  tensor.dims = static_cast<std::vector<int32_t>&&>(dims);
  tensor.constant = constant;
  return tensor;
}

TensorCase Absent() {
  TensorCase tensor;
  tensor.present = false;
  return tensor;
}

// At most 2^30: that is too many already.
int64_t TapsOf(int32_t height, int32_t width) {
  const int64_t taps = static_cast<int64_t>(height) * width;
  return taps > (1 << 30) ? 1 << 30 : taps;
}

// A filter of so many rows of codes: words of these dimensions, or bytes without gaps.
TensorCase MakeFilter(std::vector<int32_t> dims, int64_t rows, int64_t codes, int64_t bits, Random* random) {
  const int64_t most = INT32_MAX / (bits * codes);
  if (rows > most || random->OneIn(2)) return Make("filter", Type::kInt32, static_cast<std::vector<int32_t>&&>(dims), true);
  return Make("filter", Type::kUInt8, {static_cast<int32_t>((rows * codes * bits + 7) / 8)}, true);
}

bool IsGapless(const OpCase& node) {
  return node.inputs.size() > 1 && node.inputs[1].name == "filter" && node.inputs[1].type == Type::kUInt8;
}

// One axis of a window and the image it slides over, at least as large as the window.
struct WindowCase {
  int32_t kernel, stride, dilation, in;
};

WindowCase Window(bool same, bool enormous, bool dilated, Random* random) {
  WindowCase w;
  w.kernel = Size(enormous, 4, random);
  w.stride = Size(enormous, 3, random);
  w.dilation = dilated ? Size(enormous, 3, random) : 1;
  const int64_t reach = static_cast<int64_t>(w.kernel - 1) * w.dilation + 1;
  const int64_t in = (same ? 1 : reach) + Size(enormous, 7, random) - 1;
  w.in = static_cast<int32_t>(in > INT32_MAX ? INT32_MAX : in);
  return w;
}

// Of a convolution whose image may be smaller than its window where it is padded.
const char* PaddingOf(bool padded, Random* random) {
  return !padded ? "valid" : random->OneIn(3) ? "causal" : "same";
}

struct CodesCase {
  int32_t bits;
  const char* encoding;
};

CodesCase RandomCodes(int32_t most_bits, Random* random) {
  constexpr const char* kNames[] = {"bipolar", "unsigned", "signed", "ternary"};
  CodesCase codes = {static_cast<int32_t>(random->Between(1, most_bits)), random->OneOf(kNames)};
  if (strcmp(codes.encoding, "ternary") == 0) codes.bits = 2;
  return codes;
}

// Adds random codes under the names "<name>_bits" and "<name>_encoding"; returns their bits.
int32_t AddCodesOf(const std::string& name, OptionMap* options, Random* random) {
  const CodesCase codes = RandomCodes(8, random);
  options->emplace_back((name + "_bits").c_str(), int64_t{codes.bits});
  options->emplace_back((name + "_encoding").c_str(), codes.encoding);
  return codes.bits;
}

// The codes of weights and inputs; in version 1 all of them are signs.
struct ProductCodes {
  CodesCase weights, inputs;
};

ProductCodes AddCodes(bool packed, OpCase* node, Random* random) {
  ProductCodes codes = {{1, "bipolar"}, {1, "bipolar"}};
  const bool second = random->OneIn(2);
  node->options.insert(node->options.begin(), {"version", int64_t{second ? 2 : 1}});
  if (!second) return codes;
  codes.weights = RandomCodes(8, random);
  node->options.emplace_back("weight_bits", int64_t{codes.weights.bits});
  node->options.emplace_back("weight_encoding", codes.weights.encoding);
  if (!packed) return codes;
  codes.inputs = RandomCodes(8, random);
  node->options.emplace_back("input_bits", int64_t{codes.inputs.bits});
  node->options.emplace_back("input_encoding", codes.inputs.encoding);
  return codes;
}

const char* TextOf(const char* key, const OptionMap& options) {
  for (const Option& option : options) {
    if (option.key == key) return option.text.c_str();
  }
  return "";
}

int64_t IntegerOf(const char* key, const OptionMap& options) {
  for (const Option& option : options) {
    if (option.key == key) return option.integer;
  }
  return 0;
}

bool IsSecond(const OpCase& node) { return node.options[0].integer == 2; }

// Random bits may be the number that no ternary code has.
bool HasUnusedCode(const ProductCodes& codes) {
  return strcmp(codes.weights.encoding, "ternary") == 0 || strcmp(codes.inputs.encoding, "ternary") == 0;
}

// Constants that an op refuses where they are any numbers.
TensorCase MakeNumbers(const char* name, Content numbers, std::vector<int32_t> dims) {
  TensorCase tensor = Make(name, Type::kInt32, static_cast<std::vector<int32_t>&&>(dims), true);
  tensor.numbers = numbers;
  return tensor;
}

void AddQuantizedOutput(int32_t filters, OpCase* node, Random* random) {
  const bool narrow = random->OneIn(2);
  node->options.emplace_back("output", narrow ? "int8" : "int16");
  if (random->OneIn(2)) {
    node->options.emplace_back("output_zero_point", random->Between(-128, 127));
    node->options.emplace_back("output_min", random->Between(-128, 0));
    node->options.emplace_back("output_max", random->Between(0, 127));
  }
  node->inputs.push_back(MakeNumbers("multiplier", Content::kMultipliers, {filters}));
  node->inputs.push_back(random->OneIn(2) ? Absent() : MakeNumbers("bias", Content::kBiases, {filters}));
  node->inputs.push_back(MakeNumbers("shift", Content::kShifts, {filters}));
}

void AddZeroPoint(Type input, OpCase* node, Random* random) {
  const bool integer = input == Type::kInt8 || input == Type::kUInt8;
  if (integer) node->options.emplace_back("input_zero_point", random->Between(0, 127));
}

// The options and the constants 2 to 4 that both kinds of product have.
void AddOutput(Type input, int32_t filters, OpCase* node, Random* random) {
  const bool floats = input == Type::kFloat32;
  AddZeroPoint(input, node, random);
  if (IsSecond(*node) && !floats && random->OneIn(2)) {
    if (random->OneIn(2)) return AddQuantizedOutput(filters, node, random);
    node->options.emplace_back("output", "int32");
    return;
  }
  if (random->OneIn(2)) {
    node->options.emplace_back("output", "packed");
    node->inputs.push_back(Absent());
    node->inputs.push_back(Absent());
    const Type type = floats ? Type::kFloat32 : Type::kInt32;
    if (!IsSecond(*node) || random->OneIn(2)) {
      node->inputs.push_back(Make("thresholds", type, {filters}, true));
      return;
    }
    const CodesCase codes = RandomCodes(4, random);
    node->options.emplace_back("output_bits", int64_t{codes.bits});
    node->options.emplace_back("output_encoding", codes.encoding);
    std::vector<int32_t> dims = {filters};
    if (codes.bits > 1) dims.insert(dims.begin(), (1 << codes.bits) - 1);
    TensorCase thresholds = Make("thresholds", type, dims, true);
    thresholds.numbers = Content::kAscending;
    node->inputs.push_back(thresholds);
    return;
  }
  node->options.emplace_back("output", "float32");
  if (random->OneIn(2)) {
    node->options.emplace_back("activation_min", random->OneIn(2) ? -0.5 : 0.0);
    node->options.emplace_back("activation_max", int64_t{6});
  }
  const int64_t constants = random->Between(0, 2);
  const int32_t multipliers = IsSecond(*node) && random->OneIn(4) ? 1 : filters;
  if (constants > 0) node->inputs.push_back(Make("multiplier", Type::kFloat32, {multipliers}, true));
  if (constants > 1) node->inputs.push_back(Make("bias", Type::kFloat32, {filters}, true));
}

// Most words of an input pixel that any group of channels touches.
int32_t GroupWords(int32_t groups, int32_t per_group) {
  int32_t most = 0;
  for (int64_t g = 0; g < groups; ++g) {
    const int32_t words = Words((g + 1) * per_group) - static_cast<int32_t>(g * per_group / 32);
    if (words > most) most = words;
  }
  return most;
}

// A multiplier for each channel or for all and a bias, or not.
void AddScales(int32_t channels, OpCase* node, Random* random) {
  const int64_t constants = random->Between(0, 2);
  const int32_t multipliers = random->OneIn(2) ? channels : 1;
  if (constants > 0) node->inputs.push_back(Make("multiplier", Type::kFloat32, {multipliers}, true));
  if (constants > 1) node->inputs.push_back(Make("bias", Type::kFloat32, {channels}, true));
}

// The options and the constants of what sums that are floats become. Constants of enormous size have no bytes to be
// judged by.
void AddFloatOutputs(int32_t channels, bool floats, bool enormous, OpCase* node, Random* random) {
  const int64_t kind = random->Between(enormous ? 1 : 0, floats ? 3 : 2);
  if (kind == 3) {
    node->options.emplace_back("output", "float32");
    if (random->OneIn(2)) node->options.emplace_back("activation_max", int64_t{6});
    return AddScales(channels, node, random);
  }
  if (kind > 0) {
    const bool packed = kind == 1;
    node->options.emplace_back("output", packed ? "packed" : random->OneIn(2) ? "int8" : "int16");
    if (packed) AddCodesOf("output", &node->options, random);
    if (!packed && random->OneIn(2)) node->options.emplace_back("output_zero_point", random->Between(-128, 127));
    return AddScales(channels, node, random);
  }
  node->options.emplace_back("output", "packed");
  const int32_t bits = AddCodesOf("output", &node->options, random);
  node->inputs.push_back(Absent());
  node->inputs.push_back(Absent());
  const int32_t columns = random->OneIn(2) ? channels : 1;
  const std::vector<int32_t> one_bit = {columns}, several = {(1 << bits) - 1, columns};
  TensorCase thresholds = Make("thresholds", Type::kFloat32, bits == 1 ? one_bit : several, true);
  thresholds.numbers = Content::kAscending;
  node->inputs.push_back(thresholds);
}

// Codes or bytes, or floats where they are taken; adds their options, too.
TensorCase AddNumbers(const std::string& name, std::vector<int32_t> dims, bool floats, OptionMap* options,
                      Random* random) {
  static constexpr Type kNumberTypes[] = {Type::kInt32, Type::kInt32, Type::kInt8, Type::kUInt8, Type::kFloat32};
  const Type type = kNumberTypes[random->Between(0, floats ? 4 : 3)];
  if (type == Type::kInt32) dims.back() = AddCodesOf(name, options, random) * Words(dims.back());
  if (type != Type::kFloat32) options->emplace_back((name + "_zero_point").c_str(), random->Between(0, 127));
  return Make(name.c_str(), type, dims, false);
}

constexpr Type kConvTypes[] = {Type::kInt32, Type::kInt32, Type::kFloat32, Type::kInt8, Type::kUInt8};

// A tail, whose outputs are those of sums that are floats, and perhaps a residual. `dims` are the output's, the last of
// them its channels.
void AddTail(const std::vector<int32_t>& dims, bool enormous, OpCase* node, Random* random) {
  static constexpr const char* kSteps[] = {"add", "multiply", "maximum", "minimum", "prelu"};
  const int32_t channels = dims.back();
  node->options[0] = {"version", int64_t{3}};
  AddFloatOutputs(channels, true, enormous, node, random);
  while (node->inputs.size() < 5) node->inputs.push_back(Absent());
  const int64_t own = random->Between(0, 3);
  const bool residual = own == 0 || random->OneIn(2), floats = std::string(TextOf("output", node->options)) == "float32";
  std::vector<std::string> steps(static_cast<size_t>(own));
  for (std::string& step : steps) step = random->OneOf(kSteps);
  for (const char* step : {residual ? "residual" : "", floats || random->OneIn(2) ? "" : "store"}) {
    if (*step != 0) steps.insert(steps.begin() + random->Between(0, static_cast<int64_t>(steps.size())), step);
  }
  std::string tail;
  for (const std::string& step : steps) tail += (tail.empty() ? "" : " ") + step;
  node->options.emplace_back("tail", tail.c_str());
  const int32_t rows = static_cast<int32_t>(own);
  node->inputs.push_back(own == 0 ? Absent() : Make("tail", Type::kFloat32, {rows, channels}, true));
  if (!residual) return;
  node->inputs.push_back(AddNumbers("residual", dims, true, &node->options, random));
  if (random->OneIn(2)) return;
  const int32_t scales = random->OneIn(2) ? channels : 1;
  node->inputs.push_back(Make("residual_scale", Type::kFloat32, {scales}, true));
}

int32_t Places(const WindowCase& w, bool same) {
  const int64_t reach = same ? 0 : static_cast<int64_t>(w.kernel - 1) * w.dilation;
  return static_cast<int32_t>((w.in - reach + w.stride - 1) / w.stride);
}

OpCase GoodConv2D(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  const Type type = random->OneOf(kConvTypes);
  const bool packed = type == Type::kInt32;
  const bool same = random->OneIn(2);
  const WindowCase h = Window(same, enormous, true, random), w = Window(same, enormous, true, random);
  const int32_t groups = random->OneIn(2) ? 1 : Size(enormous, 4, random);
  const int32_t most = (1 << 24) / groups;
  int32_t per_group = Size(enormous, random->OneIn(2) ? 5 : 70, random);
  int32_t group_filters = Size(enormous, 40, random);
  if (per_group > most) per_group = most;
  if (group_filters > most) group_filters = most;
  const int32_t channels = groups * per_group, filters = groups * group_filters;
  node.options = {{"channels", int64_t{channels}},
                  {"filters", int64_t{filters}},   {"kernel_h", int64_t{h.kernel}},
                  {"kernel_w", int64_t{w.kernel}}, {"stride_h", int64_t{h.stride}},
                  {"stride_w", int64_t{w.stride}}, {"dilation_h", int64_t{h.dilation}},
                  {"dilation_w", int64_t{w.dilation}}, {"groups", int64_t{groups}},
                  {"padding", PaddingOf(same, random)}, {"pad_value", same ? random->Between(0, 1) : int64_t{0}}};
  const ProductCodes codes = AddCodes(packed, &node, random);
  const int32_t batch = Size(enormous, 3, random);
  const int32_t pixel = packed ? codes.inputs.bits * Words(channels) : channels;
  const int64_t taps = TapsOf(h.kernel, w.kernel);
  node.inputs.push_back(Make("input", type, {batch, h.in, w.in, pixel}, false));
  if (packed) {
    const int32_t words = codes.weights.bits * GroupWords(groups, per_group);
    node.inputs.push_back(MakeFilter({filters, h.kernel, w.kernel, words}, filters * taps, per_group, codes.weights.bits, random));
  } else {
    const int64_t products = taps > (1 << 30) / per_group ? 1 << 30 : taps * per_group;
    node.inputs.push_back(MakeFilter({filters, codes.weights.bits * Words(products)}, filters, products, codes.weights.bits, random));
  }
  node.tails = (packed && per_group % 32 != 0) || HasUnusedCode(codes);
  if (IsSecond(node) && random->OneIn(3)) {
    AddZeroPoint(type, &node, random);
    AddTail({batch, Places(h, same), Places(w, same), filters}, enormous, &node, random);
    return node;
  }
  AddOutput(type, filters, &node, random);
  return node;
}

// 0 where there are too many.
int64_t TransposedPlaces(int32_t in, int32_t kernel, int32_t stride, int64_t extra, bool same) {
  const int64_t places = (same ? int64_t{in} * stride : (int64_t{in} - 1) * stride + kernel) + extra;
  return places > INT32_MAX ? 0 : places;
}

OpCase GoodTransposeConv2D(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  const Type type = random->OneOf(kConvTypes);
  const bool packed = type == Type::kInt32;
  int32_t kernel[2], stride[2];
  for (int32_t axis = 0; axis < 2; ++axis) {
    kernel[axis] = Size(enormous, 4, random);
    stride[axis] = static_cast<int32_t>(random->Between(1, kernel[axis] < 3 ? kernel[axis] : 3));
  }
  const int32_t channels = Size(enormous, 70, random), filters = Size(enormous, 70, random);
  node.options = {{"channels", int64_t{channels}},   {"filters", int64_t{filters}},
                  {"kernel_h", int64_t{kernel[0]}},  {"kernel_w", int64_t{kernel[1]}},
                  {"stride_h", int64_t{stride[0]}},  {"stride_w", int64_t{stride[1]}},
                  {"padding", random->OneIn(2) ? "same" : "valid"}};
  ProductCodes codes = AddCodes(packed, &node, random);
  node.options[0] = {"version", int64_t{2}};
  for (int32_t axis = 0; axis < 2; ++axis) {
    if (random->OneIn(3)) {
      node.options.emplace_back(axis == 0 ? "extra_h" : "extra_w", random->Between(1 - stride[axis], stride[axis] - 1));
    }
  }
  const int32_t pixel = packed ? codes.inputs.bits * Words(channels) : channels;
  const int32_t batch = Size(enormous, 3, random), h = Size(enormous, 6, random), w = Size(enormous, 6, random);
  node.inputs.push_back(Make("input", type, {batch, h, w, pixel}, false));
  const int32_t words = codes.weights.bits * Words(channels);
  const int64_t taps = TapsOf(kernel[0], kernel[1]);
  node.inputs.push_back(MakeFilter({filters, kernel[0], kernel[1], words}, filters * taps, channels, codes.weights.bits, random));
  node.tails = channels % 32 != 0 || HasUnusedCode(codes);
  if (random->OneIn(3)) {
    const bool same = TextOf("padding", node.options) == std::string("same");
    const int64_t rows = TransposedPlaces(h, kernel[0], stride[0], IntegerOf("extra_h", node.options), same);
    const int64_t columns = TransposedPlaces(w, kernel[1], stride[1], IntegerOf("extra_w", node.options), same);
    if (rows > 0 && columns > 0) {
      AddZeroPoint(type, &node, random);
      AddTail({batch, static_cast<int32_t>(rows), static_cast<int32_t>(columns), filters}, enormous, &node, random);
      return node;
    }
  }
  AddOutput(type, filters, &node, random);
  return node;
}

OpCase GoodFullyConnected(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  const Type type = random->OneOf(kConvTypes);
  const bool packed = type == Type::kInt32;
  const int32_t units = Size(enormous, 70, random);
  const int32_t channels = Size(enormous, 100, random);
  const int32_t height = Size(enormous, 3, random), width = Size(enormous, 3, random);
  const int64_t axes = random->Between(1, 3);
  std::vector<int32_t> dims(static_cast<size_t>(random->Between(0, 2)));
  for (int32_t& d : dims) d = Size(enormous, 4, random);
  int64_t pixels = 1;
  if (axes > 2) {
    dims.push_back(height);
    pixels = height;
  }
  if (axes > 1) {
    dims.push_back(width);
    pixels *= width;
  }
  if (pixels > int64_t{1} << 32) pixels = int64_t{1} << 32;  // too many already
  node.options = {{"units", int64_t{units}}, {"channels", int64_t{channels}}};
  const ProductCodes codes = AddCodes(packed, &node, random);
  dims.push_back(packed ? codes.inputs.bits * Words(channels) : channels);
  const int64_t row = codes.weights.bits * (packed ? pixels * Words(channels) : (pixels * channels + 31) / 32);
  if (axes > 1) {
    node.options.emplace_back("pixels", pixels);
    node.options.emplace_back("input_axes", axes);
  }
  node.inputs.push_back(Make("input", type, dims, false));
  const int32_t words = static_cast<int32_t>(row > INT32_MAX ? INT32_MAX : row);
  const int64_t products = pixels > (1 << 30) / channels ? 1 << 30 : pixels * channels;
  node.inputs.push_back(packed ? MakeFilter({units, words}, units * pixels, channels, codes.weights.bits, random)
                               : MakeFilter({units, words}, units, products, codes.weights.bits, random));
  node.tails = (packed && channels % 32 != 0) || HasUnusedCode(codes);
  const bool by_rows = type == Type::kFloat32 && IsSecond(node) && random->OneIn(2);
  if (by_rows) node.options.emplace_back("row_bits", random->Between(2, 8));
  if (IsSecond(node) && random->OneIn(3)) {
    std::vector<int32_t> output(dims.begin(), dims.end() - axes);
    output.push_back(units);
    AddZeroPoint(type, &node, random);
    AddTail(output, enormous, &node, random);
    return node;
  }
  if (by_rows) {
    node.options.emplace_back("output", "float32");
    return node;
  }
  AddOutput(type, units, &node, random);
  return node;
}

OpCase GoodMaxPool2D(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  const bool same = random->OneIn(2);
  const WindowCase h = Window(same, enormous, false, random), w = Window(same, enormous, false, random);
  const int32_t channels = Size(enormous, 100, random);
  const bool one_bit = random->OneIn(2);
  node.options = {{"version", int64_t{one_bit ? 1 : 2}}, {"channels", int64_t{channels}}, {"pool_h", int64_t{h.kernel}},
                  {"pool_w", int64_t{w.kernel}}, {"stride_h", int64_t{h.stride}}, {"stride_w", int64_t{w.stride}},
                  {"padding", same ? "same" : "valid"}};
  const int32_t bits = one_bit ? 1 : AddCodesOf("input", &node.options, random);
  const int32_t batch = Size(enormous, 3, random);
  node.inputs.push_back(Make("input", Type::kInt32, {batch, h.in, w.in, bits * Words(channels)}, false));
  if (random->OneIn(2)) node.inputs.push_back(Make("minimum", Type::kInt32, {Words(channels)}, true));
  return node;
}

// Of sums that are integers or floats.
void AddSumOutputs(bool float_sums, int32_t channels, bool enormous, OpCase* node, Random* random) {
  if (float_sums) return AddFloatOutputs(channels, true, enormous, node, random);
  const int64_t kind = random->Between(enormous ? 1 : 0, 3);
  if (kind == 0) {
    node->options.emplace_back("output", "packed");
    const int32_t bits = AddCodesOf("output", &node->options, random);
    node->inputs.push_back(Absent());
    node->inputs.push_back(Absent());
    const std::vector<int32_t> one_bit = {channels}, several = {(1 << bits) - 1, channels};
    TensorCase thresholds = Make("thresholds", Type::kInt32, bits == 1 ? one_bit : several, true);
    thresholds.numbers = Content::kAscending;
    node->inputs.push_back(thresholds);
    return;
  }
  if (kind == 3) return AddQuantizedOutput(channels, node, random);
  node->options.emplace_back("output", kind == 1 ? "int32" : "float32");
  if (kind == 2) AddScales(channels, node, random);
}

OpCase GoodDepthwiseConv2D(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  const bool same = random->OneIn(2);
  const WindowCase h = Window(same, enormous, true, random), w = Window(same, enormous, true, random);
  const int32_t channels = Size(enormous, 100, random), multiplier = random->OneIn(2) ? 1 : Size(enormous, 4, random);
  const int32_t outputs = multiplier > (1 << 30) / channels ? 1 << 30 : multiplier * channels;
  node.options = {{"version", int64_t{2}},          {"channels", int64_t{channels}},
                  {"depth_multiplier", int64_t{multiplier}},
                  {"kernel_h", int64_t{h.kernel}},  {"kernel_w", int64_t{w.kernel}},
                  {"stride_h", int64_t{h.stride}},  {"stride_w", int64_t{w.stride}},
                  {"dilation_h", int64_t{h.dilation}}, {"dilation_w", int64_t{w.dilation}},
                  {"padding", PaddingOf(same, random)}, {"pad_value", random->Between(0, 1)}};
  const int64_t taps = TapsOf(h.kernel, w.kernel);
  const std::vector<int32_t> dims = {Size(enormous, 3, random), h.in, w.in, channels};
  if (random->OneIn(4)) {  // bits with bits to bits
    node.inputs.push_back(Make("input", Type::kInt32, {dims[0], h.in, w.in, Words(channels)}, false));
    node.inputs.push_back(MakeFilter({h.kernel, w.kernel, Words(outputs)}, taps, outputs, 1, random));
    node.inputs.push_back(Absent());
    node.inputs.push_back(Absent());
    node.inputs.push_back(Make("thresholds", Type::kInt32, {outputs}, true));
    node.options.emplace_back("output", "packed");
    return node;
  }
  node.inputs.push_back(AddNumbers("input", dims, true, &node.options, random));
  const int32_t bits = AddCodesOf("weight", &node.options, random);
  const int64_t words = int64_t{bits} * Words(outputs);
  node.inputs.push_back(MakeFilter({h.kernel, w.kernel, static_cast<int32_t>(words)}, taps, outputs, bits, random));
  if (random->OneIn(3)) {
    AddTail({dims[0], Places(h, same), Places(w, same), outputs}, enormous, &node, random);
  } else {
    AddSumOutputs(node.inputs[0].type == Type::kFloat32, outputs, enormous, &node, random);
  }
  return node;
}

OpCase GoodAveragePool2D(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  const bool same = random->OneIn(2);
  const WindowCase h = Window(same, enormous, false, random), w = Window(same, enormous, false, random);
  const int32_t channels = Size(enormous, 100, random);
  node.options = {{"version", int64_t{2}},       {"channels", int64_t{channels}}, {"pool_h", int64_t{h.kernel}},
                  {"pool_w", int64_t{w.kernel}}, {"stride_h", int64_t{h.stride}}, {"stride_w", int64_t{w.stride}},
                  {"padding", same ? "same" : "valid"}};
  const std::vector<int32_t> dims = {Size(enormous, 3, random), h.in, w.in, channels};
  node.inputs.push_back(AddNumbers("input", dims, true, &node.options, random));
  if (node.inputs[0].type != Type::kFloat32 && random->OneIn(8)) {
    node.options.emplace_back("output", "int32");
  } else {
    AddFloatOutputs(channels, true, enormous, &node, random);
  }
  return node;
}

std::vector<int32_t> Shape(bool enormous, Random* random) {
  std::vector<int32_t> dims(static_cast<size_t>(random->Between(1, 4)));
  for (int32_t& d : dims) d = Size(enormous, 4, random);
  dims.back() = Size(enormous, 100, random);
  return dims;
}

OpCase GoodDequantize(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  const std::vector<int32_t> dims = Shape(enormous, random);
  node.options = {{"version", int64_t{2}}, {"channels", int64_t{dims.back()}}};
  if (random->OneIn(2)) {
    node.inputs.push_back(AddNumbers("input", dims, false, &node.options, random));
    node.inputs.push_back(Absent());
  } else {
    std::vector<int32_t> packed = dims;
    const int32_t bits = AddCodesOf("input", &node.options, random);
    packed.back() = bits * Words(dims.back());
    node.inputs.push_back(Make("input", Type::kInt32, packed, false));
    const std::vector<int32_t> one_table = {1 << bits}, tables = {dims.back(), 1 << bits};
    node.inputs.push_back(Make("table", Type::kFloat32, random->OneIn(2) ? one_table : tables, true));
  }
  AddScales(dims.back(), &node, random);
  return node;
}

OpCase GoodAdd(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  const std::vector<int32_t> dims = Shape(enormous, random);
  const int32_t channels = dims.back();
  node.options = {{"version", int64_t{2}}, {"channels", int64_t{channels}}};
  for (const char* name : {"a", "b"}) node.inputs.push_back(AddNumbers(name, dims, true, &node.options, random));
  for (const char* name : {"scale_a", "scale_b"}) {
    const int32_t scales = random->OneIn(2) ? channels : 1;
    node.inputs.push_back(random->OneIn(3) ? Absent() : Make(name, Type::kFloat32, {scales}, true));
  }
  AddFloatOutputs(channels, true, enormous, &node, random);
  return node;
}

OpCase GoodConversion(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  const std::vector<int32_t> dims = Shape(enormous, random);
  node.options = {{"version", int64_t{2}}, {"channels", int64_t{dims.back()}}};
  node.inputs.push_back(AddNumbers("input", dims, true, &node.options, random));
  AddFloatOutputs(dims.back(), false, enormous, &node, random);
  return node;
}

OpCase GoodNearest(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  std::vector<int32_t> dims = Shape(enormous, random);
  dims.insert(dims.begin(), Size(enormous, 3, random));
  const int32_t vectors = Size(enormous, 50, random);
  node.options = {{"version", int64_t{2}}, {"channels", int64_t{dims.back()}}, {"vectors", int64_t{vectors}}};
  node.inputs.push_back(Make("input", Type::kFloat32, dims, false));
  node.inputs.push_back(Make("vectors", Type::kFloat32, {vectors, dims.back()}, true));
  return node;
}

OpCase GoodGather(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  const int32_t rows = Size(enormous, 30, random), channels = Size(enormous, 70, random);
  node.options = {{"version", int64_t{4}}, {"rows", int64_t{rows}}, {"channels", int64_t{channels}}};
  const int32_t bits = AddCodesOf("input", &node.options, random);
  std::vector<int32_t> dims = Shape(enormous, random);
  dims.resize(static_cast<size_t>(random->Between(0, static_cast<int64_t>(dims.size()))));
  node.inputs.push_back(Make("indices", Type::kInt32, dims, random->OneIn(8)));
  node.inputs[0].below = rows;
  node.inputs.push_back(MakeFilter({rows, bits * Words(channels)}, rows, channels, bits, random));
  return node;
}

OpCase GoodConcat(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  node.options = {{"version", int64_t{2}}};
  const int32_t bits = AddCodesOf("input", &node.options, random);
  std::vector<int32_t> dims = Shape(enormous, random);
  for (int64_t part = 0, parts = random->Between(1, kMaxInputs); part < parts; ++part) {
    const int32_t channels = Size(enormous, 70, random);
    node.options.emplace_back(("channels_" + std::to_string(part)).c_str(), int64_t{channels});
    dims.back() = bits * Words(channels);
    node.inputs.push_back(Make("part", Type::kInt32, dims, false));
  }
  return node;
}

OpCase GoodPad(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  const int32_t channels = Size(enormous, 70, random);
  node.options = {{"version", int64_t{2}}, {"channels", int64_t{channels}}};
  const int32_t bits = AddCodesOf("input", &node.options, random);
  node.options.emplace_back("pad_value", int64_t{node.options.back().text == "bipolar"});  // of any number of bits
  for (const char* side : {"pad_top", "pad_bottom", "pad_left", "pad_right"}) {
    node.options.emplace_back(side, int64_t{Size(enormous, 4, random)} - 1);
  }
  std::vector<int32_t> dims = {0, 0, 0, bits * Words(channels)};
  for (size_t d = 0; d < 3; ++d) dims[d] = Size(enormous, 4, random);
  node.inputs.push_back(Make("input", Type::kInt32, dims, false));
  return node;
}

OpCase GoodShuffle(const Op* op, bool enormous, Random* random) {
  OpCase node{op, {}, {}, {}};
  const int32_t groups = Size(enormous, 9, random), most = (1 << 24) / groups;
  const int32_t size = Size(enormous, 20, random), group_channels = size < most ? size : most;
  std::vector<int32_t> dims = Shape(enormous, random);
  node.options = {{"version", int64_t{2}}, {"channels", int64_t{groups} * group_channels}, {"groups", int64_t{groups}}};
  dims.back() = AddCodesOf("input", &node.options, random) * Words(int64_t{groups} * group_channels);
  node.inputs.push_back(Make("input", Type::kInt32, dims, false));
  return node;
}

OpCase GoodQuantize(const Op* op, bool enormous, Random* random) {
  if (random->OneIn(2)) return GoodConversion(op, enormous, random);
  OpCase node{op, {}, {}, {}};
  std::vector<int32_t> dims(static_cast<size_t>(random->Between(1, 4)));
  for (int32_t& d : dims) d = Size(enormous, 5, random);
  dims.back() = enormous && random->OneIn(8) ? INT32_MAX : Size(enormous, 100, random);
  node.options = {{"version", int64_t{1}}, {"bits", int64_t{1}}, {"encoding", "bipolar"},
                  {"channels", int64_t{dims.back()}}};
  node.inputs.push_back(Make("input", Type::kFloat32, dims, false));
  return node;
}

constexpr int64_t kOddNumbers[] = {0,         -1,        2,          3,         31,        33,       127,
                                   128,       -128,      255,        256,       1 << 16,   1 << 24,  (1 << 24) + 1,
                                   1 << 28,   1 << 30,   INT32_MAX,  INT32_MIN, 1ll << 31, 1ll << 32, (1ll << 32) + 1,
                                   INT64_MAX, INT64_MIN};
constexpr double kOddReals[] = {0.5, -1e300, 1e300, std::numeric_limits<double>::quiet_NaN(),
                                std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
constexpr const char* kOddTexts[] = {"", "packed", "float32", "same", "valid", "bipolar", "SAME", "packed ",
                                       "ternary", "signed", "int8", "int16", "int32", "residual store",
                                       "add", "store  add", "prelu prelu prelu prelu prelu prelu prelu prelu prelu prelu "
                                       "prelu prelu prelu prelu prelu prelu prelu"};

void SpoilOption(OptionMap* options, Random* random) {
  const size_t i = static_cast<size_t>(random->Between(0, static_cast<int64_t>(options->size()) - 1));
  const std::string key = (*options)[i].key;
  switch (random->Between(0, 4)) {
    case 0:
      options->erase(options->begin() + static_cast<int64_t>(i));
      break;
    case 1:
    case 2:
      (*options)[i] = Option(key.c_str(), random->OneOf(kOddNumbers));
      break;
    case 3:
      (*options)[i] = Option(key.c_str(), random->OneOf(kOddReals));
      break;
    default:
      (*options)[i] = Option(key.c_str(), random->OneOf(kOddTexts));
  }
}

void SpoilBytes(std::vector<uint8_t>* bytes, Random* random) {
  if (bytes->empty()) return;
  const int64_t last = static_cast<int64_t>(bytes->size()) - 1;
  const size_t at = static_cast<size_t>(random->Between(0, last));
  switch (random->Between(0, 4)) {
    case 0:
      bytes->resize(at);
      break;
    case 1:
      bytes->erase(bytes->begin(), bytes->begin() + static_cast<int64_t>(at));
      break;
    case 2:
      (*bytes)[at] = static_cast<uint8_t>((*bytes)[at] ^ 1u << random->Between(0, 7));
      break;
    case 3:  // the map's end, where its offsets, types and widths stand
      (*bytes)[static_cast<size_t>(random->Between(last > 30 ? last - 30 : 0, last))] =
          static_cast<uint8_t>(random->Bits());
      break;
    default:
      for (size_t i = at; i < bytes->size() && i < at + 8; ++i) (*bytes)[i] = random->OneIn(2) ? 0xFF : 0;
  }
}

constexpr Type kTypes[] = {Type::kFloat32, Type::kInt32, Type::kInt8, Type::kUInt8, Type::kOther};
constexpr int32_t kOddDims[] = {0, -1, 1, 2, 31, 32, 33, 1 << 16, 1 << 24, 1 << 30, INT32_MAX, INT32_MIN};

void SpoilDims(std::vector<int32_t>* dims, Random* random) {
  const int64_t change = random->Between(0, 3);
  if (change == 0 || dims->empty()) {
    dims->insert(dims->begin(), static_cast<size_t>(random->Between(1, 6)), 1);
  } else if (change == 1) {
    dims->pop_back();
  } else {
    int32_t& d = (*dims)[static_cast<size_t>(random->Between(0, static_cast<int64_t>(dims->size()) - 1))];
    if (change == 2) d = random->OneOf(kOddDims);
    else if (d < INT32_MAX) ++d;
  }
}

void SpoilTensor(TensorCase* tensor, Random* random) {
  switch (random->Between(0, 7)) {
    case 0:
      *tensor = Absent();
      break;
    case 1:
      tensor->type = random->OneOf(kTypes);
      break;
    case 2:
    case 3:
      SpoilDims(&tensor->dims, random);
      break;
    case 4:
      tensor->constant = !tensor->constant;
      break;
    case 5:
      tensor->missing_bytes = static_cast<uint64_t>(random->Between(1, 8));
      break;
    case 6:
      tensor->below = 0;
      break;
    default:
      tensor->named = random->OneIn(2);
      tensor->name = std::string(400, '%');
  }
}

}  // namespace

uint64_t BytesOf(const TensorCase& tensor) {
  const uint64_t limit = uint64_t{1} << 62;
  uint64_t bytes = tensor.type == Type::kOther ? 4 : static_cast<uint64_t>(BytesOf(tensor.type));
  for (int32_t d : tensor.dims) {
    if (d < 1) return 0;
    bytes = bytes > limit / static_cast<uint64_t>(d) ? limit : bytes * static_cast<uint64_t>(d);
  }
  return bytes;
}

OpCase GoodCase(const Op* op, bool enormous, Random* random) {
  const std::string name = op->name;
  OpCase node = name == "SteConv2D"           ? GoodConv2D(op, enormous, random)
                : name == "SteFullyConnected" ? GoodFullyConnected(op, enormous, random)
                : name == "SteMaxPool2D"      ? GoodMaxPool2D(op, enormous, random)
                : name == "SteDepthwiseConv2D" ? GoodDepthwiseConv2D(op, enormous, random)
                : name == "SteAveragePool2D"  ? GoodAveragePool2D(op, enormous, random)
                : name == "SteAdd"            ? GoodAdd(op, enormous, random)
                : name == "SteDequantize"     ? GoodDequantize(op, enormous, random)
                : name == "SteNearest"        ? GoodNearest(op, enormous, random)
                : name == "SteGather"         ? GoodGather(op, enormous, random)
                : name == "SteConcat"         ? GoodConcat(op, enormous, random)
                : name == "StePad"            ? GoodPad(op, enormous, random)
                : name == "SteShuffle"        ? GoodShuffle(op, enormous, random)
                : name == "SteTransposeConv2D" ? GoodTransposeConv2D(op, enormous, random)
                                              : GoodQuantize(op, enormous, random);
  if (IsGapless(node)) node.options[0] = {"version", int64_t{4}};
  node.bytes = OptionBytes::Of(node.options);
  return node;
}

void Spoil(OpCase* node, Random* random) {
  node->spoiled = true;
  for (int64_t changes = random->Between(1, 3); changes > 0; --changes) {
    const int64_t what = random->Between(0, 9);
    if (what < 4) {
      if (!node->options.empty()) SpoilOption(&node->options, random);
      node->bytes = OptionBytes::Of(node->options);
    } else if (what < 5) {
      SpoilBytes(&node->bytes, random);
    } else if (what < 9) {
      const int64_t last = static_cast<int64_t>(node->inputs.size()) - 1;
      if (last >= 0) SpoilTensor(&node->inputs[static_cast<size_t>(random->Between(0, last))], random);
    } else if (random->OneIn(2) && node->inputs.size() < static_cast<size_t>(kMaxInputs)) {
      const Type type = random->OneOf(kTypes);  // before the next, on every machine
      node->inputs.push_back(Make("extra", type, {1}, random->OneIn(2)));
    } else if (!node->inputs.empty()) {
      node->inputs.pop_back();
    }
  }
}

}  // namespace keras_ste
