// The parts of a decoder's layer: norms, attention, MLP and mixture of experts.
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "convert/decoder.h"
#include "convert/tensor_sources.h"

namespace sinter::convert {

using graph::Dims;
using graph::Node;
using graph::Value;

namespace {

constexpr char kMicrosoftDomain[] = "com.microsoft";

std::string NodePrefix(int64_t layer) { return fmt::format("/model/layers.{}/", layer); }

}  // namespace

Value* Decoder::NormWeight(const std::string& name, const std::string& tensor, int64_t count,
                           const NormOptions& options) {
  std::vector<float> weight = weights_.Vector(tensor, count, options.gemma ? 0 : 1, 0.1);
  if (options.gemma) {
    for (float& value : weight) value += 1;
  }
  // Norms of Gemma's f32 residual stream have f32 weights; q_norm and k_norm have the activations'
  // type.
  const bool wide = options.gemma && count == config_.hidden;
  return Floats(name, wide ? DType::kF32 : options_.dtype, {count}, weight);
}

Value* Decoder::NormOf(const std::string& name, Value* x, Value* weight) {
  return Op(name, "SimplifiedLayerNormalization", {x, weight},
            {{"axis", int64_t{-1}},
             {"epsilon", static_cast<float>(config_.norm_epsilon)},
             {"stash_type", int64_t{1}}});
}

Value* Decoder::Norm(int64_t layer, const std::string& name, NormOptions options) {
  const bool is_final = layer == config_.layers;
  const std::string at = NodePrefix(layer) + name, weight_name = LayerPrefix(layer) + name;
  Value* weight =
      NormWeight(weight_name + ".weight", is_final ? "model.norm.weight" : weight_name + ".weight",
                 config_.hidden, options);
  const bool cast = options.gemma && options_.dtype != DType::kF32;
  Value* y = nullptr;
  if (pending_ == nullptr) {
    if (cast) stream_ = Cast("/model/embed_tokens/Cast", stream_, DType::kF32);
    y = Op(at + "/LayerNorm", "", "SimplifiedLayerNormalization", {stream_, weight},
           {{"axis", int64_t{-1}},
            {"epsilon", static_cast<float>(config_.norm_epsilon)},
            {"stash_type", int64_t{1}}},
           {at + (cast ? "/LayerNorm/output_0" : "/output_0")});
  } else {
    std::vector<std::string> outputs = {at + (cast ? "/SkipLayerNorm/output_0" : "/output_0")};
    if (!is_final) outputs.insert(outputs.end(), {"", "", at + "/output_3"});
    y = Op(at + "/SkipLayerNorm", kMicrosoftDomain, "SkipSimplifiedLayerNormalization",
           {stream_, pending_, weight}, {{"epsilon", static_cast<float>(config_.norm_epsilon)}},
           outputs);
    stream_ = y->producer()->output(3);
    pending_ = nullptr;
  }
  if (!cast) return y;
  return Op(at + "/Cast", "", "Cast", {y}, {{"to", static_cast<int64_t>(options_.dtype)}},
            {at + "/output_0"});
}

Value* Decoder::FinalNorm(NormOptions options) {
  return Norm(config_.layers, "final_norm_layernorm", options);
}

Value* Decoder::BranchNorm(int64_t layer, const std::string& name, Value* x, NormOptions options) {
  const std::string at = NodePrefix(layer) + name, weight_name = LayerPrefix(layer) + name;
  Value* weight =
      NormWeight(weight_name + ".weight", weight_name + ".weight", config_.hidden, options);
  if (options.gemma && options_.dtype != DType::kF32) {
    x = Cast(at + "/LayerNorm/root_input/Cast", x, DType::kF32);
  }
  return NormOf(at + "/LayerNorm", x, weight);
}

Value* Decoder::QkNorm(const std::string& name, Value* x, int64_t heads, Value* weight) {
  x = Op(name + "/Reshape_1", "Reshape", {x, Ints({0, -1, config_.head_size})});
  x = NormOf(name + "/SimplifiedLayerNormalization", x, weight);
  return Op(name + "/Reshape_2", "Reshape", {x, Ints({0, -1, heads * config_.head_size})});
}

Value* Decoder::Attention(int64_t layer, Value* x, const AttentionOptions& options) {
  const std::string at = NodePrefix(layer) + "attn", from = LayerPrefix(layer) + "self_attn.";
  const int64_t q_rows = config_.heads * config_.head_size,
                kv_rows = config_.kv_heads * config_.head_size;
  struct Part {
    const char* name;
    int64_t rows;
    Matrix matrix;
    std::string bias;
  };
  std::vector<Part> parts = {
      {"q_proj", q_rows, {}, {}}, {"k_proj", kv_rows, {}, {}}, {"v_proj", kv_rows, {}, {}}};
  Matrix all;
  std::vector<std::string> biases;
  if (options.fused_qkv) {
    SINTER_CHECK(!options.qkv_bias && !options.qk_norm);
    all = weights_.Rows(from + "qkv_proj.weight", q_rows + 2 * kv_rows, config_.hidden);
  } else {
    std::vector<Matrix> matrices;
    for (Part& part : parts) {
      part.matrix =
          weights_.Rows(fmt::format("{}{}.weight", from, part.name), part.rows, config_.hidden);
      part.bias = fmt::format("{}{}.bias", from, part.name);
      matrices.push_back(part.matrix);
      if (options.qkv_bias) biases.push_back(part.bias);
    }
    all = Stack(std::move(matrices));
  }
  Value *q = nullptr, *k = nullptr, *v = nullptr, *q_norm = nullptr, *k_norm = nullptr;
  if (options.qk_norm) {
    const auto weight = [&](const char* name) {
      return NormWeight(fmt::format("{}attn.{}.layernorm.weight", LayerPrefix(layer), name),
                        fmt::format("{}{}.weight", from, name), config_.head_size,
                        {.gemma = options.gemma_norm});
    };
    q_norm = weight("q_norm");
    k_norm = weight("k_norm");
  }
  if (options.qk_norm && options_.separate_qk_norm) {
    const auto linear = [&](const Part& part) {
      return Linear(fmt::format("{}/{}", at, part.name), layer, x, part.matrix,
                    options.qkv_bias ? std::vector{part.bias} : std::vector<std::string>{});
    };
    q = linear(parts[0]);
    k = linear(parts[1]);
    v = linear(parts[2]);
    q = QkNorm(at + "/q_norm", q, config_.heads, q_norm);
    k = QkNorm(at + "/k_norm", k, config_.kv_heads, k_norm);
    q_norm = k_norm = nullptr;
  } else {
    q = Linear(at + "/qkv_proj", layer, x, all, biases);
    if (options.qk_norm) {
      const std::string split = at + "/qkv_proj/Split";
      q = Op(split, "", "Split", {q, Ints({q_rows, kv_rows, kv_rows})}, {{"axis", int64_t{-1}}},
             {split + "/output_0", split + "/output_1", split + "/output_2"});
      k = q->producer()->output(1);
      v = q->producer()->output(2);
    }
  }
  std::vector<Value*> inputs = {q, k, v, past_[layer].first, past_[layer].second, seqlens_, total_};
  inputs.resize(16);
  if (options.rotary != nullptr) {
    inputs[7] = options.rotary->cos;
    inputs[8] = options.rotary->sin;
  }
  if (options.sinks) {
    const std::vector<float> sinks = weights_.Vector(from + "sinks", config_.heads, 0, 1);
    inputs[11] = Floats(LayerPrefix(layer) + "attn.sinks", options_.dtype, {config_.heads}, sinks);
  }
  inputs[14] = q_norm;
  inputs[15] = k_norm;
  while (inputs.back() == nullptr) inputs.pop_back();
  const double scale =
      options.scale.value_or(1 / std::sqrt(static_cast<double>(config_.head_size)));
  Attributes attributes = {{"num_heads", config_.heads},
                           {"kv_num_heads", config_.kv_heads},
                           {"scale", static_cast<float>(scale)},
                           {"softcap", 0.0f},
                           {"local_window_size", options.window.value_or(-1)},
                           {"do_rotary", int64_t{options.rotary != nullptr}},
                           {"rotary_interleaved", int64_t{0}}};
  if (q_norm != nullptr) {
    attributes["qk_norm_epsilon"] = static_cast<float>(config_.norm_epsilon);
  }
  const std::string name = at + "/GroupQueryAttention";
  Value* y =
      Op(name, kMicrosoftDomain, "GroupQueryAttention", std::move(inputs), std::move(attributes),
         {name + "/output_0", fmt::format("present.{}.key", layer),
          fmt::format("present.{}.value", layer)});
  for (size_t i = 1; i <= 2; ++i) {
    Value* present = y->producer()->output(i);
    present->dtype = options_.dtype;
    present->dims =
        Dims{{"batch_size"}, config_.kv_heads, {"total_sequence_length"}, config_.head_size};
  }
  std::vector<std::string> output_bias;
  if (options.output_bias) output_bias.push_back(from + "o_proj.bias");
  return Linear(at + "/o_proj", layer, y,
                weights_.Rows(from + "o_proj.weight", config_.hidden, q_rows), output_bias);
}

Value* Decoder::GatedMlp(int64_t layer, Value* x, const MlpOptions& options) {
  const std::string at = NodePrefix(layer) + "mlp", from = LayerPrefix(layer) + "mlp.";
  const int64_t width = config_.intermediate;
  Matrix gate_matrix, up_matrix;
  if (options.fused_up) {
    const Matrix both = weights_.Rows(from + "gate_up_proj.weight", 2 * width, config_.hidden);
    gate_matrix = Slice(both, 0, width);
    up_matrix = Slice(both, width, width);
  } else {
    gate_matrix = weights_.Rows(from + "gate_proj.weight", width, config_.hidden);
    up_matrix = weights_.Rows(from + "up_proj.weight", width, config_.hidden);
  }
  const auto bias = [&](const char* name) {
    return options.bias ? std::vector{fmt::format("{}{}.bias", from, name)}
                        : std::vector<std::string>{};
  };
  Value* gate = Linear(at + "/gate_proj", layer, x, gate_matrix, bias("gate_proj"));
  Value* up = Linear(at + "/up_proj", layer, x, up_matrix, bias("up_proj"));
  if (options.gelu) {
    gate = Op(at + "/act_fn/FastGelu", "Gelu", {gate}, {{"approximate", std::string("tanh")}});
  } else {
    gate = Op(at + "/act_fn/Mul", "Mul", {gate, Op(at + "/act_fn/Sigmoid", "Sigmoid", {gate})});
  }
  return Linear(at + "/down_proj", layer, Op(at + "/Mul", "Mul", {gate, up}),
                weights_.Rows(from + "down_proj.weight", config_.hidden, width), bias("down_proj"));
}

Value* Decoder::MixtureOfExperts(int64_t layer, Value* x, const Experts& experts) {
  const std::string at = NodePrefix(layer) + "moe", to = LayerPrefix(layer) + "moe.experts.";
  if (experts.chosen < 1 || experts.chosen > experts.count) {
    throw Error("convert", "{}: num_experts_per_tok: got {}, want 1 to {}, the number of experts",
                config_.file, experts.chosen, experts.count);
  }
  std::vector<std::string> router_bias;
  if (experts.router_bias) router_bias.push_back(experts.router + ".bias");
  Value* logits =
      Linear(at + "/router", layer, x,
             weights_.Rows(experts.router + ".weight", experts.count, config_.hidden), router_bias);
  logits = Op(at + "/router/Reshape", "Reshape", {logits, Ints({-1, experts.count})});
  Attributes attributes = {{"activation_type", std::string("swiglu")},
                           {"activation_alpha", experts.alpha},
                           {"activation_beta", experts.beta},
                           {"swiglu_fusion", int64_t{1}},
                           {"k", experts.chosen},
                           {"normalize_routing_weights", int64_t{experts.normalize}},
                           {"use_sparse_mixer", int64_t{0}}};
  if (experts.limit) attributes["swiglu_limit"] = *experts.limit;
  const auto bias = [&](const char* name, const Matrix& matrix, const std::vector<float>& values) {
    return values.empty() ? nullptr
                          : Floats(fmt::format("{}{}.bias", to, name), options_.dtype,
                                   {experts.count, matrix.rows / experts.count}, values);
  };
  Value* gate_up_bias = bias("gate_up_proj", experts.gate_up, experts.gate_up_bias);
  Value* down_bias = bias("down_proj", experts.down, experts.down_bias);
  if (!options_.quantize) {
    const auto plain = [&](const char* name, const Matrix& matrix) {
      return Lazy(fmt::format("{}{}.weight", to, name), options_.dtype,
                  {experts.count, matrix.rows / experts.count, matrix.columns},
                  Plain(options_.dtype, matrix, matrix.deviation));
    };
    std::vector<Value*> inputs = {x, logits, plain("gate_up_proj", experts.gate_up), gate_up_bias,
                                  plain("down_proj", experts.down)};
    if (down_bias != nullptr) inputs.push_back(down_bias);
    return Op(at + "/MoE", kMicrosoftDomain, "MoE", std::move(inputs), std::move(attributes),
              {at + "/MoE/output_0"});
  }
  const QuantFormat format = FormatOf(layer);
  attributes["expert_weight_bits"] = int64_t{format.bits};
  attributes["block_size"] = format.block_size;
  std::vector<Value*> inputs = {x, logits};
  inputs.resize(14);
  const auto add = [&](size_t first, size_t zero_points, const char* name, const Matrix& matrix) {
    const QuantRow row(format, matrix.columns, /*whole_blocks=*/false);
    const int64_t rows = matrix.rows / experts.count;
    QuantizedSources sources = Quantized(format, row, matrix);
    inputs[first] = Lazy(fmt::format("{}{}.qweight", to, name), DType::kU8,
                         {experts.count, rows, row.code_bytes}, std::move(sources.codes));
    inputs[first + 1] = Lazy(fmt::format("{}{}.scales", to, name), format.scale_dtype,
                             {experts.count, rows, row.blocks}, std::move(sources.scales));
    if (format.zero_points) {
      inputs[zero_points] =
          Lazy(fmt::format("{}{}.qzeros", to, name), DType::kU8,
               {experts.count, rows, row.zero_point_bytes}, std::move(sources.zero_points));
    }
  };
  add(2, 11, "gate_up_proj", experts.gate_up);
  add(5, 12, "down_proj", experts.down);
  inputs[4] = gate_up_bias;
  inputs[7] = down_bias;
  while (inputs.back() == nullptr) inputs.pop_back();
  return Op(at + "/QMoE", kMicrosoftDomain, "QMoE", std::move(inputs), std::move(attributes),
            {at + "/QMoE/output_0"});
}

}  // namespace sinter::convert
