// For tests: the models' forward passes, written as in Hugging Face transformers, in double and on
// the checkpoint's own tensors. It shares only the reader of the files with the code under test.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "base/half.h"
#include "convert/safetensors.h"

namespace sinter::convert {

class PlainForward {
 public:
  using Vec = std::vector<double>;
  using Rows = std::vector<Vec>;  // one for each token

  PlainForward(const CheckpointTensors& tensors, const nlohmann::json& config)
      : tensors_(tensors), c_(config), type_(config.at("model_type")) {}

  // Returns the logits after each token.
  Rows Logits(const std::vector<int>& tokens) {
    const int64_t hidden = c_["hidden_size"], layers = c_["num_hidden_layers"];
    Rows x;
    const Vec table = Tensor("model.embed_tokens.weight");
    for (const int token : tokens) {
      Vec row(table.begin() + token * hidden, table.begin() + (token + 1) * hidden);
      if (gemma()) Scale(row, std::sqrt(double(hidden)));
      x.push_back(row);
    }
    for (int64_t layer = 0; layer < layers; ++layer) {
      at_ = "model.layers." + std::to_string(layer) + ".";
      Rows y = Attention(Norm(x, at_ + "input_layernorm.weight"), layer);
      if (gemma()) y = Norm(y, at_ + "post_attention_layernorm.weight");
      Add(x, y);
      y = Norm(x, at_ + (gemma() ? "pre_feedforward_layernorm" : "post_attention_layernorm") +
                      ".weight");
      for (Vec& row : y) row = Mlp(row);
      if (gemma()) y = Norm(y, at_ + "post_feedforward_layernorm.weight");
      Add(x, y);
    }
    x = Norm(x, "model.norm.weight");
    const bool tied = c_["tie_word_embeddings"];
    for (Vec& row : x) {
      row = Product(tied ? table : Tensor("lm_head.weight"), row);
      if (const double cap = c_.value("final_logit_softcapping", 0.0); cap != 0) {
        for (double& logit : row) logit = cap * std::tanh(logit / cap);
      }
    }
    return x;
  }

 private:
  bool gemma() const { return type_ == "gemma3_text"; }
  int64_t head_size() const { return c_["head_dim"]; }
  bool Has(const std::string& name) const { return tensors_.contains(name); }

  Vec Tensor(const std::string& name) const {
    const CheckpointTensor& tensor = tensors_.at(name);
    Vec values;
    for (size_t i = 0; i < tensor.bytes.size(); i += 2) {
      uint16_t value;
      std::memcpy(&value, tensor.bytes.data() + i, 2);
      values.push_back(BFloat16ToFloat(value));
    }
    return values;
  }
  static Vec Product(const Vec& weight, const Vec& x) {
    Vec y(weight.size() / x.size());
    for (size_t i = 0; i < y.size(); ++i) {
      y[i] = std::inner_product(x.begin(), x.end(), weight.begin() + long(i * x.size()), 0.0);
    }
    return y;
  }
  Vec Linear(const std::string& name, const Vec& x) const {
    Vec y = Product(Tensor(name + ".weight"), x);
    if (Has(name + ".bias")) {
      const Vec bias = Tensor(name + ".bias");
      for (size_t i = 0; i < y.size(); ++i) y[i] += bias[i];
    }
    return y;
  }
  static void Scale(Vec& x, double factor) {
    for (double& value : x) value *= factor;
  }
  static void Add(Rows& x, const Rows& y) {
    for (size_t i = 0; i < x.size(); ++i) {
      for (size_t j = 0; j < x[i].size(); ++j) x[i][j] += y[i][j];
    }
  }
  Vec NormRow(const Vec& x, const std::string& weight) const {
    const Vec w = Tensor(weight);
    const double mean = std::inner_product(x.begin(), x.end(), x.begin(), 0.0) / double(x.size());
    Vec y = x;
    for (size_t i = 0; i < y.size(); ++i) {
      y[i] *= (gemma() ? 1 + w[i] : w[i]) / std::sqrt(mean + c_["rms_norm_eps"].get<double>());
    }
    return y;
  }
  Rows Norm(const Rows& x, const std::string& weight) const {
    Rows y;
    for (const Vec& row : x) y.push_back(NormRow(row, weight));
    return y;
  }

  // Returns the layer's rotary frequencies and sets `scale`, the factor of cosines and sines.
  Vec Frequencies(int64_t layer, size_t length, double& scale) const {
    const int64_t dims = int64_t(double(head_size()) * c_.value("partial_rotary_factor", 1.0));
    double base = c_["rope_theta"];
    if (gemma() && Slides(layer)) base = c_["rope_local_base_freq"];
    const nlohmann::json rope = c_.value("rope_scaling", nlohmann::json::object());
    const std::string kind = rope.value("rope_type", rope.value("type", "default"));
    const double context = c_["max_position_embeddings"];
    scale = 1;
    Vec frequencies;
    for (int64_t i = 0; i < dims / 2; ++i) {
      double f = 1 / std::pow(base, 2.0 * double(i) / double(dims));
      if (kind == "linear") f /= rope["factor"].get<double>();
      if (kind == "llama3") {
        const double original = rope["original_max_position_embeddings"], factor = rope["factor"],
                     low = rope["low_freq_factor"], high = rope["high_freq_factor"];
        const double wavelength = 2 * M_PI / f;
        if (wavelength > original / low) {
          f /= factor;
        } else if (wavelength >= original / high) {
          const double smooth = (original / wavelength - low) / (high - low);
          f = (1 - smooth) * f / factor + smooth * f;
        }
      }
      if (kind == "longrope") {
        const double original = c_["original_max_position_embeddings"];
        f /= rope[double(length) > original ? "long_factor" : "short_factor"][size_t(i)]
                 .get<double>();
        scale = std::sqrt(1 + std::log(context / original) / std::log(original));
      }
      if (kind == "yarn") {
        const double original = rope["original_max_position_embeddings"], factor = rope["factor"];
        const auto dim = [&](double rotations) {
          return double(dims) * std::log(original / (rotations * 2 * M_PI)) / (2 * std::log(base));
        };
        const double low = std::max(dim(rope["beta_fast"]), 0.0),
                     high = std::min(dim(rope["beta_slow"]), double(dims - 1));
        const double ramp = std::clamp((double(i) - low) / (high - low), 0.0, 1.0);
        f = f / factor * ramp + f * (1 - ramp);
        scale = 0.1 * std::log(factor) + 1;
      }
      frequencies.push_back(f);
    }
    return frequencies;
  }

  // Rotates element i together with element i + dims / 2, as rotate_half of transformers does.
  static void Rotate(double* head, const Vec& frequencies, double scale, size_t position) {
    const size_t half = frequencies.size();
    for (size_t i = 0; i < half; ++i) {
      const double cos = scale * std::cos(double(position) * frequencies[i]),
                   sin = scale * std::sin(double(position) * frequencies[i]);
      const double a = head[i], b = head[i + half];
      head[i] = a * cos - b * sin;
      head[i + half] = b * cos + a * sin;
    }
  }

  bool Slides(int64_t layer) const {
    if (gemma()) return (layer + 1) % c_["sliding_window_pattern"].get<int64_t>() != 0;
    if (type_ == "gpt_oss") return c_["layer_types"][size_t(layer)] == "sliding_attention";
    if (type_ == "qwen2") return layer >= c_["max_window_layers"].get<int64_t>();
    return type_ == "mistral" || type_ == "phi3";
  }

  Rows Attention(const Rows& x, int64_t layer) const {
    const int64_t heads = c_["num_attention_heads"], kv_heads = c_["num_key_value_heads"],
                  size = head_size();
    double rope_scale;
    const Vec frequencies = Frequencies(layer, x.size(), rope_scale);
    const bool turns = !c_.contains("no_rope_layers") || c_["no_rope_layers"][size_t(layer)] == 1;
    Rows q, k, v;
    for (size_t t = 0; t < x.size(); ++t) {
      const std::string from = at_ + "self_attn.";
      Vec all;
      if (Has(from + "qkv_proj.weight")) {
        all = Linear(from + "qkv_proj", x[t]);
        q.emplace_back(all.begin(), all.begin() + heads * size);
        k.emplace_back(all.begin() + heads * size, all.begin() + (heads + kv_heads) * size);
        v.emplace_back(all.begin() + (heads + kv_heads) * size, all.end());
      } else {
        q.push_back(Linear(from + "q_proj", x[t]));
        k.push_back(Linear(from + "k_proj", x[t]));
        v.push_back(Linear(from + "v_proj", x[t]));
      }
      for (const auto& [rows, count, norm] : {std::tuple(&q[t], heads, "q_norm.weight"),
                                              std::tuple(&k[t], kv_heads, "k_norm.weight")}) {
        for (int64_t h = 0; h < count; ++h) {
          double* head = rows->data() + h * size;
          if (Has(from + norm)) {
            const Vec normed = NormRow(Vec(head, head + size), from + norm);
            std::copy(normed.begin(), normed.end(), head);
          }
          if (turns) Rotate(head, frequencies, rope_scale, t);
        }
      }
    }
    const double scale =
        1 / std::sqrt(gemma() ? c_["query_pre_attn_scalar"].get<double>() : double(size));
    const int64_t window =
        Slides(layer) ? c_.value("sliding_window", int64_t{1} << 30) : int64_t{1} << 30;
    const Vec sinks = Has(at_ + "self_attn.sinks") ? Tensor(at_ + "self_attn.sinks") : Vec();
    Rows y;
    for (int64_t t = 0; t < int64_t(x.size()); ++t) {
      Vec mixed(size_t(heads * size));
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t kv = h / (heads / kv_heads);
        double sum = sinks.empty() ? 0 : std::exp(sinks[size_t(h)]);
        Vec out(static_cast<size_t>(size));
        for (int64_t s = std::max<int64_t>(0, t - window + 1); s <= t; ++s) {
          double score = 0;
          for (int64_t i = 0; i < size; ++i) {
            score += q[size_t(t)][size_t(h * size + i)] * k[size_t(s)][size_t(kv * size + i)];
          }
          const double weight = std::exp(score * scale);
          sum += weight;
          for (int64_t i = 0; i < size; ++i) {
            out[size_t(i)] += weight * v[size_t(s)][size_t(kv * size + i)];
          }
        }
        for (int64_t i = 0; i < size; ++i) mixed[size_t(h * size + i)] = out[size_t(i)] / sum;
      }
      y.push_back(Linear(at_ + "self_attn.o_proj", mixed));
    }
    return y;
  }

  static double Silu(double x) { return x / (1 + std::exp(-x)); }
  static double GeluTanh(double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }

  Vec Mlp(const Vec& x) const {
    if (Has(at_ + "mlp.gate.weight") || Has(at_ + "mlp.router.weight")) return Experts(x);
    const std::string from = at_ + "mlp.";
    Vec gate, up;
    if (Has(from + "gate_up_proj.weight")) {
      const Vec both = Linear(from + "gate_up_proj", x);
      gate.assign(both.begin(), both.begin() + long(both.size() / 2));
      up.assign(both.begin() + long(both.size() / 2), both.end());
    } else {
      gate = Linear(from + "gate_proj", x);
      up = Linear(from + "up_proj", x);
    }
    for (size_t i = 0; i < up.size(); ++i) up[i] *= gemma() ? GeluTanh(gate[i]) : Silu(gate[i]);
    return Linear(from + "down_proj", up);
  }

  Vec Experts(const Vec& x) const {
    const bool oss = type_ == "gpt_oss";
    const Vec logits = Linear(at_ + (oss ? "mlp.router" : "mlp.gate"), x);
    std::vector<size_t> order(logits.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return logits[a] > logits[b]; });
    double sum = 0;
    if (!oss && !c_["norm_topk_prob"].get<bool>()) {
      for (const double logit : logits) sum += std::exp(logit);
      order.resize(c_["num_experts_per_tok"]);
    } else {
      order.resize(c_["num_experts_per_tok"]);
      for (const size_t expert : order) sum += std::exp(logits[expert]);
    }
    Vec y(x.size());
    for (const size_t expert : order) {
      const Vec out = oss ? OssExpert(x, expert) : QwenExpert(x, expert);
      for (size_t i = 0; i < y.size(); ++i) y[i] += std::exp(logits[expert]) / sum * out[i];
    }
    return y;
  }
  Vec QwenExpert(const Vec& x, size_t expert) const {
    const std::string from = at_ + "mlp.experts." + std::to_string(expert) + ".";
    const Vec gate = Linear(from + "gate_proj", x);
    Vec up = Linear(from + "up_proj", x);
    for (size_t i = 0; i < up.size(); ++i) up[i] *= Silu(gate[i]);
    return Linear(from + "down_proj", up);
  }
  // Returns element `i` of the packed experts. A code is a sign bit, two bits of exponent (bias 1)
  // and one bit of mantissa.
  double Mxfp4(const std::string& name, size_t i) const {
    const auto byte = [&](const std::string& part, size_t at) {
      return std::to_integer<int>(tensors_.at(name + part).bytes[at]);
    };
    const int code = byte("_blocks", i / 2) >> (i % 2 * 4) & 15, exponent = code >> 1 & 3;
    const double magnitude =
        exponent == 0 ? 0.5 * (code & 1) : std::ldexp(1 + 0.5 * (code & 1), exponent - 1);
    return std::ldexp(code & 8 ? -magnitude : magnitude, byte("_scales", i / 32) - 127);
  }
  // Returns x times the expert's matrix plus its bias. The matrix is [inputs, outputs], or
  // [outputs, inputs] in the packed form.
  Vec OssProduct(const std::string& name, const Vec& x, size_t expert) const {
    Vec y = Tensor(name + "_bias");
    const size_t outputs = size_t(tensors_.at(name + "_bias").shape[1]);
    y = Vec(y.begin() + long(expert * outputs), y.begin() + long((expert + 1) * outputs));
    if (Has(name + "_blocks")) {
      for (size_t i = 0; i < outputs; ++i) {
        for (size_t j = 0; j < x.size(); ++j) {
          y[i] += x[j] * Mxfp4(name, (expert * outputs + i) * x.size() + j);
        }
      }
      return y;
    }
    const Vec weight = Tensor(name);
    for (size_t j = 0; j < x.size(); ++j) {
      for (size_t i = 0; i < outputs; ++i) {
        y[i] += x[j] * weight[(expert * x.size() + j) * outputs + i];
      }
    }
    return y;
  }
  Vec OssExpert(const Vec& x, size_t expert) const {
    const Vec both = OssProduct(at_ + "mlp.experts.gate_up_proj", x, expert);
    const double limit = c_["swiglu_limit"];
    Vec inner;
    for (size_t i = 0; i < both.size(); i += 2) {
      const double gate = std::min(both[i], limit), up = std::clamp(both[i + 1], -limit, limit);
      inner.push_back((up + 1) * gate / (1 + std::exp(-1.702 * gate)));
    }
    return OssProduct(at_ + "mlp.experts.down_proj", inner, expert);
  }

  const CheckpointTensors& tensors_;
  const nlohmann::json c_;
  std::string type_, at_;
};

}  // namespace sinter::convert
