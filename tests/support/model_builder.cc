#include "support/model_builder.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <random>

#include "base/check.h"
#include "onnx/reader.h"
#include "onnx/writer.h"

namespace sinter::support {
namespace {

using graph::Attribute;
using graph::Dims;
using graph::Graph;
using graph::Node;
using graph::Shape;
using graph::Tensor;
using graph::Value;

constexpr char kMicrosoft[] = "com.microsoft";
using Attributes = std::map<std::string, Attribute, std::less<>>;

class Builder {
 public:
  explicit Builder(const ModelSpec& spec) : spec_(spec), random_(spec.seed) {
    graph_->name = "main_graph";
    graph_->opsets = {{"", spec.rope == ModelSpec::Rope::kNodes ? 23 : 21}, {kMicrosoft, 1}};
  }

  std::unique_ptr<Graph> Build();

 private:
  // Returns a uniform number in [-1, 1).
  double Random() { return static_cast<double>(random_()) * 0x1p-31 - 1; }
  Value* Floats(const std::string& name, DType dtype, Shape shape, double mean, double spread) {
    std::vector<double> values(static_cast<size_t>(graph::NumElements(shape)));
    for (double& value : values) value = mean + spread * Random();
    return graph_->AddConstant(name, Tensor::FromDoubles(dtype, std::move(shape), values));
  }
  Value* Bytes(const std::string& name, Shape shape) {
    std::vector<int64_t> values(static_cast<size_t>(graph::NumElements(shape)));
    for (int64_t& value : values) value = random_() >> 24;
    return graph_->AddConstant(name, Tensor::FromInts(DType::kU8, std::move(shape), values));
  }
  Value* Ints(const std::vector<int64_t>& values, DType dtype = DType::kI64) {
    return graph_->AddConstant(
        "", Tensor::FromInts(dtype, {static_cast<int64_t>(values.size())}, values));
  }
  Value* Scalar(double value, DType dtype) {
    return graph_->AddConstant("", Tensor::FromDoubles(dtype, {}, std::vector<double>{value}));
  }

  // Adds a node with `outputs` outputs and returns the first.
  Value* Op(const std::string& name, const char* domain, const char* op, std::vector<Value*> inputs,
            Attributes attributes = {}, size_t outputs = 1) {
    std::vector<Value*> results;
    for (size_t i = 0; i < outputs; ++i) {
      results.push_back(graph_->AddValue(fmt::format("{}/output_{}", name, i)));
    }
    Node* node = graph_->AddNode(name, domain, op, std::move(inputs), results);
    node->attributes = std::move(attributes);
    return results[0];
  }
  Value* Cast(const std::string& name, Value* x, DType to) {
    return Op(name, "", "Cast", {x}, {{"to", static_cast<int64_t>(to)}});
  }
  Value* OutputOf(Value* first, size_t i) { return first->producer()->output(i); }

  void AddInputs();
  void AddMask();
  void AddRotaryCaches();
  std::pair<Tensor, Tensor> RotaryTables(int64_t short_rows, int64_t long_rows, double base) const;
  struct Quantized {
    Value *codes, *scales, *zero_points;
  };
  Quantized AddQuantized(const std::string& name, int64_t n, int64_t k, double gain);
  Value* Linear(const std::string& name, Value* x, int64_t n, int64_t k, double gain, bool bias);
  Value* Embed();
  Value* Norm(const std::string& name, Value* x);
  Value* SpelledNorm(const std::string& name, Value* x);
  // Returns the RMS norm of residual + add. The sum becomes the residual.
  Value* AddAndNorm(const std::string& name, Value** residual, Value* add);
  Value* QkNorm(const std::string& name, Value* x, int64_t heads, Value* weight);
  Value* Attention(const std::string& name, Value* x, int64_t layer);
  Value* Mlp(const std::string& name, Value* x);
  Value* Experts(const std::string& name, Value* x);

  const ModelSpec& spec_;
  std::mt19937 random_;
  std::unique_ptr<Graph> graph_ = std::make_unique<Graph>();
  Value *ids_ = nullptr, *mask_ = nullptr, *positions_ = nullptr, *seqlens_ = nullptr,
        *total_ = nullptr, *cos_ = nullptr, *sin_ = nullptr;
  std::vector<std::pair<Value*, Value*>> past_;
  Quantized head_ = {};
  int spelled_ = 0;  // norms spelled out so far
};

void Builder::AddInputs() {
  ids_ = graph_->AddInput("input_ids", DType::kI64, Dims{{"batch_size"}, {"sequence_length"}});
  mask_ = graph_->AddInput("attention_mask", DType::kI64,
                           Dims{{"batch_size"}, {"total_sequence_length"}});
  if (spec_.rope == ModelSpec::Rope::kNodes) {
    positions_ =
        graph_->AddInput("position_ids", DType::kI64, Dims{{"batch_size"}, {"sequence_length"}});
  }
  for (int64_t layer = 0; layer < spec_.layers; ++layer) {
    const Dims dims = {{"batch_size"}, spec_.kv_heads, {"past_sequence_length"}, spec_.head_size};
    Value* key = graph_->AddInput(fmt::format("past_key_values.{}.key", layer), spec_.dtype, dims);
    past_.emplace_back(
        key, graph_->AddInput(fmt::format("past_key_values.{}.value", layer), spec_.dtype, dims));
  }
}

void Builder::AddMask() {
  const std::string at = "/model/attn_mask_reformat/attn_mask_subgraph/";
  if (spec_.graph_mask) {
    Value* mask = Cast(at + "Cast", mask_, DType::kI32);
    Value* sum =
        Op(at + "ReduceSum", "", "ReduceSum", {mask, Ints({1})}, {{"keepdims", int64_t{0}}});
    seqlens_ = Op(at + "Sub", "", "Sub", {sum, Ints({1}, DType::kI32)});
    total_ = Op(at + "ReduceMax", "", "ReduceMax", {sum}, {{"keepdims", int64_t{0}}});
    return;
  }
  Value* sum =
      Op(at + "ReduceSum", "", "ReduceSum", {mask_, Ints({1})}, {{"keepdims", int64_t{0}}});
  seqlens_ = Cast(at + "Sub/Cast", Op(at + "Sub", "", "Sub", {sum, Ints({1})}), DType::kI32);
  Value* shape = Op(at + "Shape", "", "Shape", {mask_});
  total_ = Op(at + "Gather", "", "Gather", {shape, Scalar(1, DType::kI64)}, {{"axis", int64_t{0}}});
}

// Returns cosines and sines of `short_rows` rows followed by `long_rows` rows. The long rows have
// other frequencies, and their cosines and sines are scaled.
std::pair<Tensor, Tensor> Builder::RotaryTables(int64_t short_rows, int64_t long_rows,
                                                double base) const {
  const int64_t half = spec_.rotary_dim / 2;
  std::vector<double> cos, sin;
  for (int64_t row = 0; row < short_rows + long_rows; ++row) {
    const bool is_long = row >= short_rows;
    const auto position = static_cast<double>(is_long ? row - short_rows : row);
    for (int64_t i = 0; i < half; ++i) {
      const double frequency = std::pow(base, -static_cast<double>(i) / static_cast<double>(half));
      const double angle = position * frequency / (is_long ? 1.5 : 1);
      cos.push_back(std::cos(angle) * (is_long ? 1.1 : 1));
      sin.push_back(std::sin(angle) * (is_long ? 1.1 : 1));
    }
  }
  const Shape shape = {short_rows + long_rows, half};
  return {Tensor::FromDoubles(spec_.dtype, shape, cos),
          Tensor::FromDoubles(spec_.dtype, shape, sin)};
}

void Builder::AddRotaryCaches() {
  using Rope = ModelSpec::Rope;
  if (spec_.rope != Rope::kIf) {
    const int64_t short_rows =
        spec_.rope == Rope::kConcatenated ? spec_.rope_threshold : spec_.context;
    auto [cos, sin] =
        RotaryTables(short_rows, spec_.rope == Rope::kConcatenated ? spec_.context : 0, 10000);
    cos_ = graph_->AddConstant("cos_cache", std::move(cos));
    sin_ = graph_->AddConstant("sin_cache", std::move(sin));
    return;
  }
  const auto branch = [&](const char* name, int64_t short_rows, int64_t long_rows) {
    auto body = std::make_shared<Graph>();
    body->name = fmt::format("{}_rope_caches_graph", name);
    body->opsets = graph_->opsets;
    auto [cos, sin] = RotaryTables(short_rows, long_rows, 10000);
    body->AddOutput(body->AddConstant(fmt::format("cos_cache_{}", name), std::move(cos)));
    body->AddOutput(body->AddConstant(fmt::format("sin_cache_{}", name), std::move(sin)));
    return body;
  };
  Value* is_long = Op("/model/rope_caches_subgraph/Greater", "", "Greater",
                      {total_, Scalar(static_cast<double>(spec_.rope_threshold), DType::kI64)});
  cos_ = Op("/model/rope_caches_subgraph/If", "", "If", {is_long},
            {{"then_branch", branch("large", 0, spec_.context)},
             {"else_branch", branch("small", spec_.rope_threshold, 0)}},
            2);
  sin_ = OutputOf(cos_, 1);
}

// Adds random codes, with scales that give a product the variance of its input times gain^2.
Builder::Quantized Builder::AddQuantized(const std::string& name, int64_t n, int64_t k,
                                         double gain) {
  const int64_t blocks = (k + spec_.block - 1) / spec_.block;
  const double scale = gain * std::sqrt(12.0 / static_cast<double>(k)) / std::exp2(spec_.bits);
  Quantized weight = {};
  weight.codes = Bytes(name + ".weight_Q4", {n, blocks, spec_.block * spec_.bits / 8});
  weight.scales = Floats(name + ".weight_scales", spec_.dtype, {n, blocks}, scale, scale / 2);
  if (spec_.zero_points) {
    // Zero points lie close to the middle code. Otherwise the blocks' means would dominate the
    // products.
    const int64_t row = (blocks * spec_.bits + 7) / 8;
    std::vector<int64_t> packed(static_cast<size_t>(n * row));
    for (int64_t& byte : packed) {
      byte =
          spec_.bits == 4 ? (7 + random_() % 3) | (7 + random_() % 3) << 4 : 120 + random_() % 16;
    }
    weight.zero_points =
        graph_->AddConstant(name + ".weight_zp", Tensor::FromInts(DType::kU8, {n, row}, packed));
  }
  return weight;
}

Value* Builder::Linear(const std::string& name, Value* x, int64_t n, int64_t k, double gain,
                       bool bias) {
  const std::string weight = "model." + name;
  Value* added = bias ? Floats(weight + ".bias", spec_.dtype, {n}, 0, 0.2) : nullptr;
  Value* y = nullptr;
  if (spec_.bits == 16) {
    const double spread = gain * std::sqrt(3.0 / static_cast<double>(k));
    y = Op(name + "/MatMul", "", "MatMul",
           {x, Floats(weight + ".weight", spec_.dtype, {k, n}, 0, spread)});
  } else {
    const Quantized q =
        name == "/lm_head" && head_.codes ? head_ : AddQuantized(weight, n, k, gain);
    std::vector<Value*> inputs = {x, q.codes, q.scales};
    if (q.zero_points) inputs.push_back(q.zero_points);
    if (added && spec_.bias == ModelSpec::Bias::kInput) {
      inputs.resize(5);
      inputs.push_back(added);
      added = nullptr;
    }
    y = Op(name + "/MatMul_Q4", kMicrosoft, "MatMulNBits", inputs,
           {{"K", k},
            {"N", n},
            {"bits", spec_.bits},
            {"block_size", spec_.block},
            {"accuracy_level", int64_t{4}}});
  }
  return added ? Op(name + "/Add", "", "Add", {y, added}) : y;
}

Value* Builder::Embed() {
  Value* x = nullptr;
  if (spec_.tied) {
    head_ = AddQuantized("model./lm_head", spec_.vocab, spec_.hidden, 2);
    Value* table = Op("/model/embed_tokens/Reshape", "", "Reshape",
                      {head_.codes, Ints({spec_.vocab, spec_.hidden * spec_.bits / 8})});
    std::vector<Value*> inputs = {table, ids_, head_.scales};
    if (head_.zero_points) inputs.push_back(head_.zero_points);
    x = Op("/model/embed_tokens/GatherBlockQuantized", kMicrosoft, "GatherBlockQuantized", inputs,
           {{"bits", spec_.bits},
            {"block_size", spec_.block},
            {"gather_axis", int64_t{0}},
            {"quantize_axis", int64_t{1}}});
  } else {
    x = Op("/model/embed_tokens/Gather", "", "Gather",
           {Floats("model.embed_tokens.weight", spec_.dtype, {spec_.vocab, spec_.hidden}, 0, 0.5),
            ids_});
  }
  if (!spec_.wide_norms) return x;
  x = Op("/model/embed_tokens/Mul", "", "Mul", {x, Scalar(std::sqrt(spec_.hidden), spec_.dtype)});
  return Cast("/model/embed_tokens/Cast", x, DType::kF32);
}

Value* Builder::SpelledNorm(const std::string& name, Value* x) {
  const bool centered = spelled_++ % 2 == 1;
  const auto mean = [&](const std::string& what, Value* of) {
    return Op(name + what, "", "ReduceMean", {of, Ints({-1})}, {{"keepdims", int64_t{1}}});
  };
  Value* t = Op(name + "/Mul", "", "Mul", {x, Scalar(200, spec_.dtype)});
  if (centered) t = Op(name + "/Sub", "", "Sub", {t, mean("/ReduceMean", t)});
  Value* square = Op(name + "/Pow", "", "Pow", {t, Scalar(2, spec_.dtype)});
  Value* variance =
      Op(name + "/Add", "", "Add", {mean("/ReduceMean_1", square), Scalar(0.01, spec_.dtype)});
  Value* root = Op(name + "/Sqrt", "", "Sqrt", {variance});
  Value* y = Op(name + "/Div", "", "Div", {t, root});
  const std::string weight = "model." + name;
  y = Op(name + "/Mul_1", "", "Mul",
         {y, Floats(weight + ".weight", spec_.dtype, {spec_.hidden}, 1, 0.3)});
  if (!centered) return y;
  return Op(name + "/Add_1", "", "Add",
            {y, Floats(weight + ".bias", spec_.dtype, {spec_.hidden}, 0, 0.1)});
}

// Adds a norm. With wide_norms it computes in f32 and its result is cast to the model's type.
Value* Builder::Norm(const std::string& name, Value* x) {
  if (spec_.spelled_norms) return SpelledNorm(name, x);
  const DType dtype = spec_.wide_norms ? DType::kF32 : spec_.dtype;
  Value* y = Op(name + "/LayerNorm", "", "SimplifiedLayerNormalization",
                {x, Floats("model." + name + ".weight", dtype, {spec_.hidden}, 1, 0.3)},
                {{"axis", int64_t{-1}}, {"epsilon", 1e-6f}, {"stash_type", int64_t{1}}});
  return spec_.wide_norms ? Cast(name + "/Cast", y, spec_.dtype) : y;
}

Value* Builder::AddAndNorm(const std::string& name, Value** residual, Value* add) {
  if (spec_.spelled_norms) {
    *residual = Op(name + "/Add_2", "", "Add", {*residual, add});
    return SpelledNorm(name, *residual);
  }
  const DType dtype = spec_.wide_norms ? DType::kF32 : spec_.dtype;
  if (spec_.wide_norms) {
    // Gemma normalizes the output of attention and MLP before it is added.
    add = Op(name + "/before/LayerNorm", "", "SimplifiedLayerNormalization",
             {Cast(name + "/before/Cast", add, DType::kF32),
              Floats("model." + name + ".before.weight", dtype, {spec_.hidden}, 0.5, 0.2)},
             {{"axis", int64_t{-1}}, {"epsilon", 1e-6f}, {"stash_type", int64_t{1}}});
  }
  Value* weight = Floats("model." + name + ".weight", dtype, {spec_.hidden}, 1, 0.3);
  Value* y = graph_->AddValue(name + "/output_0");
  Value* sum = graph_->AddValue(name + "/output_3");
  Node* node =
      graph_->AddNode(name + "/SkipLayerNorm", kMicrosoft, "SkipSimplifiedLayerNormalization",
                      {*residual, add, weight}, {y, nullptr, nullptr, sum});
  node->attributes["epsilon"] = 1e-6f;
  *residual = sum;
  return spec_.wide_norms ? Cast(name + "/Cast", y, spec_.dtype) : y;
}

Value* Builder::QkNorm(const std::string& name, Value* x, int64_t heads, Value* weight) {
  x = Op(name + "/Reshape_1", "", "Reshape", {x, Ints({0, -1, spec_.head_size})});
  x = Op(name + "/SimplifiedLayerNormalization", "", "SimplifiedLayerNormalization", {x, weight},
         {{"axis", int64_t{-1}}, {"epsilon", 1e-6f}});
  return Op(name + "/Reshape_2", "", "Reshape", {x, Ints({0, -1, heads * spec_.head_size})});
}

Value* Builder::Attention(const std::string& name, Value* x, int64_t layer) {
  using Qkv = ModelSpec::Qkv;
  const int64_t q_width = spec_.heads * spec_.head_size,
                kv_width = spec_.kv_heads * spec_.head_size;
  const bool bias = spec_.bias != ModelSpec::Bias::kNone;
  Value *q = nullptr, *k = nullptr, *v = nullptr;
  if (spec_.qkv == Qkv::kSeparate) {
    q = Linear(name + "/q_proj", x, q_width, spec_.hidden, 1, bias);
    k = Linear(name + "/k_proj", x, kv_width, spec_.hidden, 1, bias);
    v = Linear(name + "/v_proj", x, kv_width, spec_.hidden, 1, bias);
  } else {
    q = Linear(name + "/qkv_proj", x, q_width + 2 * kv_width, spec_.hidden, 1, bias);
    if (spec_.qkv == Qkv::kPackedSplit) {
      q = Op(name + "/qkv_proj/Split", "", "Split", {q, Ints({q_width, kv_width, kv_width})},
             {{"axis", int64_t{-1}}}, 3);
      k = OutputOf(q, 1);
      v = OutputOf(q, 2);
    }
  }
  Value *q_norm = nullptr, *k_norm = nullptr;
  if (spec_.qk_norm != ModelSpec::QkNorm::kNone) {
    q_norm = Floats("model." + name + ".q_norm.weight", spec_.dtype, {spec_.head_size}, 1, 0.3);
    k_norm = Floats("model." + name + ".k_norm.weight", spec_.dtype, {spec_.head_size}, 1, 0.3);
  }
  if (spec_.qk_norm == ModelSpec::QkNorm::kNodes) {
    q = QkNorm(name + "/q_norm", q, spec_.heads, q_norm);
    k = QkNorm(name + "/k_norm", k, spec_.kv_heads, k_norm);
    q_norm = k_norm = nullptr;
  }
  const bool nodes = spec_.rope == ModelSpec::Rope::kNodes;
  if (nodes) {
    const auto rotate = [&](const char* what, Value* y, int64_t heads) {
      return Op(name + what, kMicrosoft, "RotaryEmbedding", {y, positions_, cos_, sin_},
                {{"interleaved", int64_t{spec_.rotary_interleaved}},
                 {"num_heads", heads},
                 {"rotary_embedding_dim", spec_.rotary_dim}});
    };
    q = rotate("/q_rotary/RotaryEmbedding", q, spec_.heads);
    k = rotate("/k_rotary/RotaryEmbedding", k, spec_.kv_heads);
  }
  Value* total =
      total_->producer()->op() == "Gather" ? Cast(name + "/total", total_, DType::kI32) : total_;
  std::vector<Value*> inputs = {q, k, v, past_[layer].first, past_[layer].second, seqlens_, total};
  inputs.resize(16);
  if (!nodes) inputs[7] = cos_, inputs[8] = sin_;
  if (spec_.sinks) {
    inputs[11] = Floats("model." + name + ".sinks", spec_.dtype, {spec_.heads}, 0, 1);
  }
  inputs[14] = q_norm;
  inputs[15] = k_norm;
  while (inputs.back() == nullptr) inputs.pop_back();
  Value* out = graph_->AddValue(name + "/GroupQueryAttention/output_0");
  const Dims dims = {{"batch_size"}, spec_.kv_heads, {"total_sequence_length"}, spec_.head_size};
  Value* key = graph_->AddValue(fmt::format("present.{}.key", layer), spec_.dtype, dims);
  Value* value = graph_->AddValue(fmt::format("present.{}.value", layer), spec_.dtype, dims);
  Node* node = graph_->AddNode(name + "/GroupQueryAttention", kMicrosoft, "GroupQueryAttention",
                               inputs, {out, key, value});
  node->attributes = {{"num_heads", spec_.heads},
                      {"kv_num_heads", spec_.kv_heads},
                      {"do_rotary", int64_t{!nodes}},
                      {"rotary_interleaved", int64_t{spec_.rotary_interleaved && !nodes}},
                      {"scale", 1 / std::sqrt(static_cast<float>(spec_.head_size))},
                      {"softcap", spec_.attention_softcap},
                      {"local_window_size", layer == 0 ? spec_.local_window : int64_t{-1}}};
  return Linear(name + "/o_proj", out, spec_.hidden, q_width, 1,
                bias && spec_.mlp == ModelSpec::Mlp::kExperts);
}

Value* Builder::Mlp(const std::string& name, Value* x) {
  Value* gate = Linear(name + "/gate_proj", x, spec_.intermediate, spec_.hidden, 1, false);
  Value* up = Linear(name + "/up_proj", x, spec_.intermediate, spec_.hidden, 1, false);
  if (spec_.mlp == ModelSpec::Mlp::kGelu) {
    gate =
        Op(name + "/act_fn/FastGelu", "", "Gelu", {gate}, {{"approximate", std::string("tanh")}});
  } else {
    gate = Op(name + "/act_fn/Mul", "", "Mul",
              {gate, Op(name + "/act_fn/Sigmoid", "", "Sigmoid", {gate})});
  }
  return Linear(name + "/down_proj", Op(name + "/Mul", "", "Mul", {gate, up}), spec_.hidden,
                spec_.intermediate, 1, false);
}

Value* Builder::Experts(const std::string& name, Value* x) {
  Value* logits = Linear(name + "/router", x, spec_.experts, spec_.hidden, 1, true);
  logits = Op(name + "/router/Reshape", "", "Reshape", {logits, Ints({-1, spec_.experts})});
  std::vector<Value*> inputs = {x, logits};
  inputs.resize(14);
  const auto add = [&](size_t first, size_t zero_points, const std::string& what, int64_t n,
                       int64_t k) {
    const int64_t blocks = (k + spec_.block - 1) / spec_.block;
    const double scale = std::sqrt(12.0 / static_cast<double>(k)) / std::exp2(spec_.bits);
    const std::string weight = "model." + name + what;
    inputs[first] = Bytes(weight + ".qweight", {spec_.experts, n, k * spec_.bits / 8});
    inputs[first + 1] =
        Floats(weight + ".scales", spec_.dtype, {spec_.experts, n, blocks}, scale, scale / 2);
    inputs[first + 2] = Floats(weight + ".bias", spec_.dtype, {spec_.experts, n}, 0, 0.2);
    if (!spec_.zero_points) return;
    const int64_t row = (blocks * spec_.bits + 7) / 8;
    const std::vector<int64_t> packed(static_cast<size_t>(spec_.experts * n * row),
                                      spec_.bits == 4 ? 0x79 : 125);
    inputs[zero_points] = graph_->AddConstant(
        weight + ".zp", Tensor::FromInts(DType::kU8, {spec_.experts, n, row}, packed));
  };
  add(2, 11, ".gate_up_proj", 2 * spec_.intermediate, spec_.hidden);
  add(5, 12, ".down_proj", spec_.hidden, spec_.intermediate);
  return Op(name + "/QMoE", kMicrosoft, "QMoE", inputs,
            {{"activation_type", std::string("swiglu")},
             {"activation_alpha", 1.702f},
             {"activation_beta", 1.0f},
             {"swiglu_limit", 7.0f},
             {"swiglu_fusion", spec_.swiglu_fusion},
             {"k", spec_.top_k},
             {"normalize_routing_weights", int64_t{spec_.normalize_routing}},
             {"expert_weight_bits", spec_.bits},
             {"block_size", spec_.block}});
}

std::unique_ptr<Graph> Builder::Build() {
  AddInputs();
  AddMask();
  AddRotaryCaches();
  Value* residual = Embed();
  Value* x = Norm("/model/layers.0/input_layernorm", residual);
  for (int64_t layer = 0; layer < spec_.layers; ++layer) {
    const std::string at = fmt::format("/model/layers.{}", layer);
    x = Attention(at + "/attn", x, layer);
    x = AddAndNorm(at + "/post_attention_layernorm", &residual, x);
    x = spec_.mlp == ModelSpec::Mlp::kExperts ? Experts(at + "/moe", x) : Mlp(at + "/mlp", x);
    x = AddAndNorm(layer + 1 < spec_.layers
                       ? fmt::format("/model/layers.{}/input_layernorm", layer + 1)
                       : "/model/final_norm",
                   &residual, x);
  }
  x = Linear("/lm_head", x, spec_.vocab, spec_.hidden, 2, false);
  if (spec_.logits_softcap > 0) {
    Value* cap = Scalar(spec_.logits_softcap, spec_.dtype);
    x = Op("/lm_head/Div", "", "Div", {x, cap});
    x = Op("/lm_head/Tanh", "", "Tanh", {x});
    x = Op("/lm_head/Mul", "", "Mul", {x, cap});
  }
  Node* last = x->producer();
  Value* logits = graph_->AddValue("logits", spec_.dtype,
                                   Dims{{"batch_size"}, {"sequence_length"}, spec_.vocab});
  graph_->SetOutput(last, 0, logits);
  graph_->AddOutput(logits);
  for (int64_t layer = 0; layer < spec_.layers; ++layer) {
    graph_->AddOutput(graph_->FindValue(fmt::format("present.{}.key", layer)));
    graph_->AddOutput(graph_->FindValue(fmt::format("present.{}.value", layer)));
  }
  graph_->RemoveDead();
  return std::move(graph_);
}

}  // namespace

std::vector<ModelSpec> AllModels() {
  using S = ModelSpec;
  constexpr DType kHalf = DType::kF16;
  return {
      {.name = "qwen3_f32", .tied = true, .qk_norm = S::QkNorm::kNodes},
      {.name = "qwen3_graph",
       .dtype = kHalf,
       .tied = true,
       .graph_mask = true,
       .qkv = S::Qkv::kPackedSplit,
       .qk_norm = S::QkNorm::kAttentionInputs},
      {.name = "phi3",
       .dtype = kHalf,
       .block = 16,
       .zero_points = true,
       .qkv = S::Qkv::kPacked,
       .rotary_dim = 8},
      {.name = "longrope_if",
       .bits = 8,
       .block = 64,
       .qkv = S::Qkv::kPacked,
       .rope = S::Rope::kIf,
       .rope_threshold = 24},
      {.name = "longrope_concatenated",
       .dtype = kHalf,
       .bits = 8,
       .zero_points = true,
       .graph_mask = true,
       .qkv = S::Qkv::kPacked,
       .rope = S::Rope::kConcatenated,
       .rope_threshold = 24},
      {.name = "gptoss",
       .dtype = kHalf,
       .qkv = S::Qkv::kPacked,
       .bias = S::Bias::kAdd,
       .local_window = 8,
       .sinks = true,
       .mlp = S::Mlp::kExperts},
      {.name = "experts_8bit",
       .bits = 8,
       .block = 16,
       .zero_points = true,
       .qkv = S::Qkv::kPackedSplit,
       .bias = S::Bias::kInput,
       .sinks = true,
       .mlp = S::Mlp::kExperts,
       .top_k = 3,
       .swiglu_fusion = 2,
       .normalize_routing = false},
      {.name = "gemma3",
       .dtype = kHalf,
       .tied = true,
       .qkv = S::Qkv::kPackedSplit,
       .qk_norm = S::QkNorm::kAttentionInputs,
       .local_window = 16,
       .attention_softcap = 5,
       .logits_softcap = 8,
       .wide_norms = true,
       .mlp = S::Mlp::kGelu},
      {.name = "position_ids",
       .block = 128,
       .zero_points = true,
       .bias = S::Bias::kInput,
       .rope = S::Rope::kNodes},
      {.name = "spelled_norms", .dtype = kHalf, .spelled_norms = true},
      {.name = "plain_weights",
       .dtype = kHalf,
       .vocab = 131,
       .kv_heads = 4,
       .bits = 16,
       .bias = S::Bias::kAdd,
       .rotary_interleaved = true},
  };
}

ModelSpec ModelNamed(const std::string& name) {
  for (const ModelSpec& spec : AllModels()) {
    if (spec.name == name) return spec;
  }
  SINTER_CHECK(false, "no model '{}'", name);
}

std::unique_ptr<Graph> BuildGraph(const ModelSpec& spec) { return Builder(spec).Build(); }

std::string TokenText(int64_t id) {
  if (id < 94) return std::string(1, static_cast<char>('!' + id));
  if (id >= 126) return id == 126 ? "<|end|>" : "<|pad|>";
  return {static_cast<char>('a' + (id - 94) / 8), static_cast<char>('a' + (id - 94) % 8)};
}

namespace {

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string TokenizerJson() {
  std::string vocab, added;
  for (int64_t id = 0; id < 126; ++id) {
    vocab += fmt::format("{}{}: {}", id == 0 ? "" : ", ", Quoted(TokenText(id)), id);
  }
  for (int64_t id = 126; id < 128; ++id) {
    added += fmt::format(
        R"({}{{"id": {}, "content": {}, "single_word": false, "lstrip": false, "rstrip": false,)"
        R"( "normalized": false, "special": true}})",
        id == 126 ? "" : ", ", id, Quoted(TokenText(id)));
  }
  constexpr char kByteLevel[] =
      R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false})";
  return fmt::format(
      R"({{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{}],)"
      R"( "normalizer": null, "pre_tokenizer": {}, "post_processor": null, "decoder": {},)"
      R"( "model": {{"type": "BPE", "dropout": null, "unk_token": null, "vocab": {{{}}}, "merges": []}}}})",
      added, kByteLevel, kByteLevel, vocab);
}

std::string GenaiConfigJson(const ModelSpec& spec) {
  std::string eos, provider, positions;
  for (const int64_t id : spec.eos) eos += fmt::format("{}{}", eos.empty() ? "" : ", ", id);
  if (spec.rope == ModelSpec::Rope::kConcatenated) {
    provider = fmt::format(R"({{"webgpu": {{"multiRotaryCacheConcatOffset": "{}"}}}})",
                           spec.rope_threshold);
  }
  if (spec.rope == ModelSpec::Rope::kNodes) positions = R"("position_ids": "position_ids", )";
  return fmt::format(
      R"({{"model": {{"type": "test", "context_length": {}, "vocab_size": {}, "bos_token_id": 127,
  "eos_token_id": [{}], "pad_token_id": 127,
  "decoder": {{"session_options": {{"provider_options": [{}]}}, "filename": "model.onnx",
    "head_size": {}, "hidden_size": {}, "num_attention_heads": {}, "num_key_value_heads": {},
    "num_hidden_layers": {},
    "inputs": {{"input_ids": "input_ids", "attention_mask": "attention_mask", {}
      "past_key_names": "past_key_values.%d.key", "past_value_names": "past_key_values.%d.value"}},
    "outputs": {{"logits": "logits", "present_key_names": "present.%d.key",
      "present_value_names": "present.%d.value"}}}}}},
  "search": {{{}}}}})",
      spec.context, spec.vocab, eos, provider, spec.head_size, spec.hidden, spec.heads,
      spec.kv_heads, spec.layers, positions, spec.search);
}

void WriteText(const std::filesystem::path& file, const std::string& text) {
  std::ofstream stream(file, std::ios::binary);
  stream << text;
  SINTER_CHECK(stream.flush(), "{} cannot be written", file.string());
}

}  // namespace

void WriteModelFolder(const ModelSpec& spec, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  onnx::WriteModel(*BuildGraph(spec), folder / "model.onnx");
  WriteText(folder / "genai_config.json", GenaiConfigJson(spec));
  WriteText(folder / "tokenizer.json", TokenizerJson());
}

std::unique_ptr<Graph> ReadGraph(const std::filesystem::path& folder) {
  return onnx::ReadModel(folder / "model.onnx");
}

TempFolder::TempFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "sinter-test-XXXXXX").string();
  SINTER_CHECK(mkdtemp(name.data()) != nullptr, "{}", name);
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace sinter::support
