#include "convert/decoder.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <span>

#include "base/check.h"
#include "base/error.h"
#include "convert/parallel.h"
#include "convert/tensor_sources.h"

namespace sinter::convert {

using graph::Dims;
using graph::Graph;
using graph::Node;
using graph::Shape;
using graph::Tensor;
using graph::Value;

namespace {

constexpr char kMicrosoft[] = "com.microsoft";
constexpr char kMaskAt[] = "/model/attn_mask_reformat/attn_mask_subgraph/";

// "/model/layers.0/mlp/up_proj" -> "model.layers.0.mlp.up_proj".
std::string WeightName(const std::string& node) {
  std::string name = node.substr(1);
  for (char& c : name) {
    if (c == '/') c = '.';
  }
  return name;
}

Tensor TensorOf(DType dtype, Shape shape, std::vector<std::byte> bytes) {
  const auto owner = std::make_shared<std::vector<std::byte>>(std::move(bytes));
  return {dtype, std::move(shape), *owner, owner};
}

}  // namespace

Decoder::Decoder(const HfConfig& config, const DecoderOptions& options, Weights& weights)
    : config_(config),
      options_(options),
      weights_(weights),
      result_{std::make_unique<Graph>(), {}, {}},
      graph_(*result_.graph) {
  graph_.name = "main_graph";
  graph_.opsets = {{"", 21}, {kMicrosoft, 1}};
  AddInputs();
  AddMask();
}

Value* Decoder::Op(const std::string& name, const char* domain, const char* op,
                   std::vector<Value*> inputs, Attributes attributes,
                   const std::vector<std::string>& outputs) {
  std::vector<Value*> values;
  values.reserve(outputs.size());
  for (const std::string& output : outputs) {
    values.push_back(output.empty() ? nullptr : graph_.AddValue(output));
  }
  Node* node = graph_.AddNode(name, domain, op, std::move(inputs), values);
  node->attributes = std::move(attributes);
  return values[0];
}

Value* Decoder::Op(const std::string& name, const char* op, std::vector<Value*> inputs,
                   Attributes attributes) {
  return Op(name, "", op, std::move(inputs), std::move(attributes), {name + "/output_0"});
}

Value* Decoder::Cast(const std::string& name, Value* x, DType to) {
  return Op(name, "Cast", {x}, {{"to", static_cast<int64_t>(to)}});
}

Value* Decoder::Ints(std::vector<int64_t> values, DType dtype) {
  // The type at the end of the key tells lists of different types, and scalars, apart.
  std::vector<int64_t> key = values;
  key.push_back(static_cast<int64_t>(dtype));
  Value*& value = ints_[key];
  if (value == nullptr) {
    value = graph_.AddConstant(
        fmt::format("/model/constants/{}/[{}]", dtype == DType::kI32 ? "INT32" : "INT64",
                    fmt::join(values, ", ")),
        Tensor::FromInts(dtype, {static_cast<int64_t>(values.size())}, values));
  }
  return value;
}

Value* Decoder::Int(int64_t value) {
  Value*& constant = ints_[{value, 0}];
  if (constant == nullptr) {
    constant = graph_.AddConstant(fmt::format("/model/constants/INT64/{}", value),
                                  Tensor::FromInts(DType::kI64, {}, {&value, 1}));
  }
  return constant;
}

Value* Decoder::Lazy(const std::string& name, DType dtype, Shape shape, onnx::TensorSource source) {
  Value* value = graph_.AddConstant(name, Tensor{dtype, std::move(shape), {}, nullptr});
  SINTER_CHECK(value->name() == name, "two weights named '{}'", name);
  result_.sources[name] = std::move(source);
  return value;
}

Value* Decoder::Floats(const std::string& name, DType dtype, Shape shape,
                       std::span<const float> values) {
  return graph_.AddConstant(name,
                            TensorOf(dtype, std::move(shape), FloatBytes(dtype, values, name)));
}

void Decoder::AddInputs() {
  ids_ = graph_.AddInput("input_ids", DType::kI64, Dims{{"batch_size"}, {"sequence_length"}});
  mask_ = graph_.AddInput("attention_mask", DType::kI64,
                          Dims{{"batch_size"}, {"total_sequence_length"}});
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    const Dims dims = {
        {"batch_size"}, config_.kv_heads, {"past_sequence_length"}, config_.head_size};
    const auto input = [&](const char* what) {
      return graph_.AddInput(fmt::format("past_key_values.{}.{}", layer, what), options_.dtype,
                             dims);
    };
    Value* key = input("key");
    past_.emplace_back(key, input("value"));
  }
}

// Makes two inputs of GroupQueryAttention from the mask: seqlens_k, each sequence's number of
// tokens minus 1, and total_sequence_length, the number of tokens of the longest sequence.
void Decoder::AddMask() {
  const std::string at = kMaskAt;
  const Attributes flat = {{"keepdims", int64_t{0}}};
  if (options_.graph_capture) {
    Value* mask = Cast(at + "Cast", mask_, DType::kI32);
    Value* sum = Op(at + "ReduceSum", "ReduceSum", {mask, Ints({1})}, flat);
    seqlens_ = Op(at + "Sub", "Sub", {sum, Ints({1}, DType::kI32)});
    total_ = Op(at + "ReduceMax", "ReduceMax", {sum}, flat);
    return;
  }
  Value* sum = Op(at + "ReduceSum", "ReduceSum", {mask_, Ints({1})}, flat);
  seqlens_ = Cast(at + "Sub/Cast", Op(at + "Sub", "Sub", {sum, Ints({1})}), DType::kI32);
  mask_length_ = Op(at + "Gather", "Gather", {Op(at + "Shape", "Shape", {mask_}), Int(1)},
                    {{"axis", int64_t{0}}});
  total_ = Cast(at + "Gather/Cast", mask_length_, DType::kI32);
}

Tensor Decoder::RotaryTable(const RotaryAngles& angles, int64_t rows, bool sine) const {
  const auto half = static_cast<int64_t>(angles.frequencies.size());
  std::vector<float> table(static_cast<size_t>(rows * half));
  ParallelFor(rows, 256, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(row) * angles.frequencies[i];
        table[row * half + i] =
            static_cast<float>(angles.scale * (sine ? std::sin(angle) : std::cos(angle)));
      }
    }
  });
  return TensorOf(options_.dtype, {rows, half},
                  FloatBytes(options_.dtype, table, sine ? "sin_cache" : "cos_cache"));
}

Decoder::Rotary Decoder::RotaryCaches(const RopeConfig& rope, const std::string& suffix) {
  if (rope.type == RopeConfig::Type::kLongRope) return LongRopeCaches(rope, suffix);
  const RotaryAngles angles = AnglesFor(rope, config_.context, false);
  return {graph_.AddConstant("cos_cache" + suffix, RotaryTable(angles, config_.context, false)),
          graph_.AddConstant("sin_cache" + suffix, RotaryTable(angles, config_.context, true))};
}

// A sequence longer than the original context uses the long table from its first token on.
Decoder::Rotary Decoder::LongRopeCaches(const RopeConfig& rope, const std::string& suffix) {
  const int64_t original = rope.original_max_positions;
  const auto table = [&](bool is_long, bool sine) {
    return RotaryTable(AnglesFor(rope, config_.context, is_long),
                       is_long ? config_.context : original, sine);
  };
  if (options_.graph_capture) {
    result_.multi_rotary_offset = original;
    const auto both = [&](bool sine) {
      const Tensor before = table(false, sine), after = table(true, sine);
      std::vector<std::byte> bytes(before.bytes.begin(), before.bytes.end());
      bytes.insert(bytes.end(), after.bytes.begin(), after.bytes.end());
      return TensorOf(options_.dtype, {original + config_.context, before.shape[1]},
                      std::move(bytes));
    };
    return {graph_.AddConstant("cos_cache" + suffix, both(false)),
            graph_.AddConstant("sin_cache" + suffix, both(true))};
  }
  const auto branch = [&](const std::string& name, bool is_long) {
    auto body = std::make_shared<Graph>();
    body->name = name + "_rotemb_caches_graph";
    body->opsets = graph_.opsets;
    for (const bool sine : {false, true}) {
      const std::string what = sine ? "sin_cache" : "cos_cache";
      Tensor tensor = table(is_long, sine);
      Value* value = body->AddValue(fmt::format("{}_{}", what, name), options_.dtype,
                                    Dims(tensor.shape.begin(), tensor.shape.end()));
      body->AddNode(fmt::format("/{}/{}/Constant", name, what), "", "Constant", {}, {value})
          ->attributes["value"] = std::move(tensor);
      body->AddOutput(value);
    }
    return body;
  };
  const std::string at = "/model/rope_caches_subgraph/";
  Value* is_long = Op(at + "Greater", "Greater", {mask_length_, Int(original)});
  Value* cos = Op(at + "If", "", "If", {is_long},
                  {{"then_branch", branch("large", true)}, {"else_branch", branch("small", false)}},
                  {"cos_cache" + suffix, "sin_cache" + suffix});
  return {cos, cos->producer()->output(1)};
}

QuantFormat Decoder::FormatOf(std::optional<int64_t> layer) const {
  QuantFormat format = options_.format;
  format.scale_dtype = options_.dtype;
  if (options_.mixed && (!layer || *layer == 0 || *layer == config_.layers - 1)) format.bits = 8;
  return format;
}

Decoder::QuantizedWeight Decoder::AddQuantized(const std::string& name, const QuantFormat& format,
                                               const Matrix& matrix) {
  const QuantRow row(format, matrix.columns, /*whole_blocks=*/true);
  QuantizedSources sources = Quantized(format, row, matrix);
  QuantizedWeight weight;
  weight.format = format;
  // The codes come first because writing them computes the scales and the zero points.
  weight.codes = Lazy(fmt::format("{}.weight_Q{}", name, format.bits), DType::kU8,
                      {matrix.rows, row.blocks, format.block_size * format.bits / 8},
                      std::move(sources.codes));
  weight.scales = Lazy(name + ".weight_scales", format.scale_dtype, {matrix.rows, row.blocks},
                       std::move(sources.scales));
  if (format.zero_points) {
    weight.zero_points = Lazy(name + ".weight_zp", DType::kU8, {matrix.rows, row.zero_point_bytes},
                              std::move(sources.zero_points));
  }
  return weight;
}

Value* Decoder::MatMul(const std::string& name, Value* x, const QuantizedWeight& weight, int64_t n,
                       int64_t k, const std::string& output) {
  std::vector<Value*> inputs = {x, weight.codes, weight.scales};
  if (weight.zero_points != nullptr) inputs.push_back(weight.zero_points);
  return Op(fmt::format("{}/MatMul_Q{}", name, weight.format.bits), kMicrosoft, "MatMulNBits",
            std::move(inputs),
            {{"K", k},
             {"N", n},
             {"accuracy_level", options_.accuracy_level},
             {"bits", int64_t{weight.format.bits}},
             {"block_size", weight.format.block_size}},
            {output.empty() ? name + "/MatMul/output_0" : output});
}

Value* Decoder::Linear(const std::string& name, std::optional<int64_t> layer, Value* x,
                       const Matrix& matrix, const std::vector<std::string>& biases) {
  const std::string weight = WeightName(name);
  Value* y = nullptr;
  if (options_.quantize) {
    y = MatMul(name, x, AddQuantized(weight + ".MatMul", FormatOf(layer), matrix), matrix.rows,
               matrix.columns);
  } else {
    y = Op(name + "/MatMul", "MatMul",
           {x, Lazy(weight + ".MatMul.weight", options_.dtype, {matrix.columns, matrix.rows},
                    Transposed(options_.dtype, matrix))});
  }
  if (biases.empty()) return y;
  std::vector<float> values;
  for (const std::string& bias : biases) {
    // Several biases belong to a stack of query, key and value, and have those parts' sizes.
    const int64_t rows = biases.size() == 1    ? matrix.rows
                         : &bias == &biases[0] ? config_.heads * config_.head_size
                                               : config_.kv_heads * config_.head_size;
    const std::vector<float> part = weights_.Vector(bias, rows, 0, 0.05);
    values.insert(values.end(), part.begin(), part.end());
  }
  Value* bias = Floats(weight + ".Add.bias", options_.dtype, {matrix.rows}, values);
  return Op(name + "/Add", "Add", {y, bias});
}

void Decoder::Embed(double scale) {
  const std::string name = "/model/embed_tokens";
  const Matrix table = weights_.Rows("model.embed_tokens.weight", config_.vocab, config_.hidden);
  const QuantFormat format = FormatOf({});
  // MatMulNBits pads rows to whole blocks, but the embedding's rows must not be padded: the two
  // share a weight only if hidden is a multiple of the block size.
  if (config_.tied_embeddings && options_.quantize && config_.hidden % format.block_size == 0) {
    head_ = AddQuantized("lm_head.MatMul", format, table);
    Value* codes = Op(name + "/Reshape", "Reshape",
                      {head_->codes, Ints({config_.vocab, config_.hidden * format.bits / 8})});
    std::vector<Value*> inputs = {codes, ids_, head_->scales};
    if (head_->zero_points != nullptr) inputs.push_back(head_->zero_points);
    stream_ =
        Op(name + "/GatherBlockQuantized", kMicrosoft, "GatherBlockQuantized", std::move(inputs),
           {{"bits", int64_t{format.bits}},
            {"block_size", format.block_size},
            {"gather_axis", int64_t{0}},
            {"quantize_axis", int64_t{1}}},
           {name + "/GatherBlockQuantized/output_0"});
  } else {
    Value* weight = Lazy("model.embed_tokens.weight", options_.dtype,
                         {config_.vocab, config_.hidden}, Plain(options_.dtype, table, 0.5));
    stream_ = Op(name + "/Gather", "Gather", {weight, ids_});
  }
  if (scale != 1) {
    const auto factor = static_cast<float>(scale);
    Value* constant =
        Floats(fmt::format("/model/constants/{}", scale), options_.dtype, {}, {&factor, 1});
    stream_ = Op(name + "/Mul", "Mul", {stream_, constant});
  }
}

void Decoder::Head(Value* x, double softcap) {
  const std::string name = "/lm_head";
  const bool capped = softcap != 0;
  Value* logits = nullptr;
  if (head_) {
    logits = MatMul(name, x, *head_, config_.vocab, config_.hidden, capped ? "" : "logits");
  } else {
    const char* tensor = config_.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
    logits = Linear(name, {}, x, weights_.Rows(tensor, config_.vocab, config_.hidden));
  }
  if (capped) {
    const auto cap = static_cast<float>(softcap);
    Value* constant = Floats("/lm_head/softcap", options_.dtype, {}, {&cap, 1});
    logits = Op(name + "/softcap/Div", "Div", {logits, constant});
    logits = Op(name + "/softcap/Tanh", "Tanh", {logits});
    logits = Op(name + "/softcap/Mul", "Mul", {logits, constant});
  }
  if (logits->name() != "logits") {
    Node* last = logits->producer();
    Value* named = graph_.AddValue("logits");
    graph_.SetOutput(last, 0, named);
    logits = named;
  }
  logits->dtype = options_.dtype;
  logits->dims = Dims{{"batch_size"}, {"sequence_length"}, config_.vocab};
  graph_.AddOutput(logits);
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    for (const char* what : {"key", "value"}) {
      graph_.AddOutput(graph_.FindValue(fmt::format("present.{}.{}", layer, what)));
    }
  }
}

Decoder::Result Decoder::Finish() {
  // Removes the values whose output Head() renamed to "logits".
  graph_.RemoveDead();
  return std::move(result_);
}

}  // namespace sinter::convert
