#include "convert/hf_config.h"

#include <algorithm>

#include "base/error.h"
#include "convert/json.h"

namespace sinter::convert {
namespace {

// Upper bounds on sizes. They keep the product of three sizes within int64 and refuse absurd values
// early.
constexpr int64_t kMaxSize = int64_t{1} << 20;
constexpr int64_t kMaxContext = int64_t{1} << 24;

int64_t Size(const HfConfig& config, std::string_view name, std::optional<int64_t> fallback = {},
             int64_t most = kMaxSize) {
  const int64_t value = config.Int(name, fallback);
  if (value < 1 || value > most) {
    throw Error("convert", "{}: {}: got {}, want 1 to {}", config.file, name, value, most);
  }
  return value;
}

}  // namespace

bool HfConfig::Flag(std::string_view name, bool fallback) const {
  return GetBool(json, name, file, fallback);
}
int64_t HfConfig::Int(std::string_view name, std::optional<int64_t> fallback) const {
  return fallback ? GetInt(json, name, file, *fallback) : GetInt(json, name, file);
}
double HfConfig::Double(std::string_view name, double fallback) const {
  return GetDouble(json, name, file, fallback);
}
void HfConfig::Want(std::string_view name, const nlohmann::json& only) const {
  const nlohmann::json* field = FindField(json, name);
  if (field != nullptr && *field != only) {
    throw Error("convert", "{}: {}: got {}, want {}: nothing else is implemented", file, name,
                field->dump(), only.dump());
  }
}

RopeConfig ParseRope(const nlohmann::json& parameters, const HfConfig& config, double theta) {
  RopeConfig rope;
  const std::string what = config.file + ": rope_scaling";
  rope.theta = GetDouble(parameters, "rope_theta", what, theta);
  const std::string type =
      GetString(parameters, "rope_type", what, GetString(parameters, "type", what, "default"));
  rope.original_max_positions =
      GetInt(parameters, "original_max_position_embeddings", what,
             config.Int("original_max_position_embeddings", config.context));
  const auto positive = [&](std::string_view name, double value) {
    if (!(value > 0)) throw Error("convert", "{}: {}: got {}, want more than 0", what, name, value);
    return value;
  };
  if (rope.original_max_positions < 1 || rope.original_max_positions > kMaxContext) {
    throw Error("convert", "{}: original_max_position_embeddings: got {}, want 1 to {}", what,
                rope.original_max_positions, kMaxContext);
  }
  const auto factor = [&] { return positive("factor", GetDouble(parameters, "factor", what)); };
  const double extension =
      static_cast<double>(config.context) / static_cast<double>(rope.original_max_positions);
  if (FindField(parameters, "attention_factor") != nullptr) {
    rope.attention_factor = GetDouble(parameters, "attention_factor", what);
  }
  positive("rope_theta", rope.theta);
  if (type == "default") {
    rope.type = RopeConfig::Type::kDefault;
  } else if (type == "linear") {
    rope.type = RopeConfig::Type::kLinear;
    rope.factor = factor();
  } else if (type == "llama3") {
    rope.type = RopeConfig::Type::kLlama3;
    rope.factor = factor();
    rope.low_freq_factor =
        positive("low_freq_factor", GetDouble(parameters, "low_freq_factor", what));
    rope.high_freq_factor =
        positive("high_freq_factor", GetDouble(parameters, "high_freq_factor", what));
    if (rope.high_freq_factor <= rope.low_freq_factor) {
      throw Error("convert", "{}: high_freq_factor: got {}, want more than low_freq_factor, {}",
                  what, rope.high_freq_factor, rope.low_freq_factor);
    }
  } else if (type == "longrope" || type == "su") {
    rope.type = RopeConfig::Type::kLongRope;
    rope.factor = positive("factor", GetDouble(parameters, "factor", what, extension));
    rope.short_factor = GetDoubles(parameters, "short_factor", what);
    rope.long_factor = GetDoubles(parameters, "long_factor", what);
    for (const auto* factors : {&rope.short_factor, &rope.long_factor}) {
      if (factors->size() != static_cast<size_t>(config.rotary_dim / 2)) {
        throw Error("convert", "{}: short_factor and long_factor: got {} numbers, want {}", what,
                    factors->size(), config.rotary_dim / 2);
      }
      for (const double value : *factors) positive("short_factor and long_factor", value);
    }
    if (rope.original_max_positions >= config.context) {
      throw Error("convert",
                  "{}: original_max_position_embeddings: got {}, want less than the context, {}",
                  what, rope.original_max_positions, config.context);
    }
  } else if (type == "yarn") {
    rope.type = RopeConfig::Type::kYarn;
    rope.factor = positive("factor", GetDouble(parameters, "factor", what, extension));
    rope.beta_fast = positive("beta_fast", GetDouble(parameters, "beta_fast", what, 32));
    rope.beta_slow = positive("beta_slow", GetDouble(parameters, "beta_slow", what, 1));
    rope.truncate = GetBool(parameters, "truncate", what, true);
    for (const char* name : {"mscale", "mscale_all_dim"}) {
      if (FindField(parameters, name) != nullptr) {
        throw Error("convert", "{}: {}: got one, want none: it is not implemented", what, name);
      }
    }
  } else {
    throw Error("convert",
                "{}: rope_type: got '{}', want default, linear, llama3, longrope or yarn", what,
                type);
  }
  return rope;
}

HfConfig ParseHfConfig(nlohmann::json json, const std::string& file,
                       std::optional<int64_t> layers) {
  if (!json.is_object()) {
    throw Error("convert", "{}: got a {}, want an object", file, json.type_name());
  }
  HfConfig config;
  config.json = std::move(json);
  config.file = file;
  config.model_type = GetString(config.json, "model_type", file);
  if (const nlohmann::json* names = FindField(config.json, "architectures");
      names != nullptr && names->is_array() && !names->empty() && names->front().is_string()) {
    config.architecture = names->front().get<std::string>();
  }
  config.hidden = Size(config, "hidden_size");
  config.layers = Size(config, "num_hidden_layers", {}, 4096);
  if (layers) {
    if (*layers < 1 || *layers > config.layers) {
      throw Error("convert", "--layers: got {}, want 1 to {}", *layers, config.layers);
    }
    config.layers = *layers;
  }
  config.heads = Size(config, "num_attention_heads", {}, 4096);
  config.kv_heads = Size(config, "num_key_value_heads", config.heads, 4096);
  config.head_size =
      Size(config, "head_dim", std::max<int64_t>(config.hidden / config.heads, 1), 4096);
  config.intermediate = Size(config, "intermediate_size");
  config.vocab = Size(config, "vocab_size", {}, int64_t{1} << 24);
  config.context = Size(config, "max_position_embeddings", {}, kMaxContext);
  if (config.heads % config.kv_heads != 0) {
    throw Error("convert", "{}: num_key_value_heads: got {}, want a divisor of {}", file,
                config.kv_heads, config.heads);
  }
  if (config.head_size % 2 != 0) {
    throw Error("convert", "{}: head_dim: got {}, want an even number", file, config.head_size);
  }
  config.norm_epsilon = config.Double("rms_norm_eps", 1e-6);
  // Defaults of the configuration classes in transformers for a file without the field.
  const bool tied_by_default = config.model_type == "gemma3_text" || config.model_type == "smollm3";
  config.tied_embeddings = config.Flag("tie_word_embeddings", tied_by_default);
  if (FindField(config.json, "sliding_window") != nullptr) {
    config.sliding_window = Size(config, "sliding_window", {}, kMaxContext);
  }
  if (const nlohmann::json* types = FindField(config.json, "layer_types")) {
    if (!types->is_array() || types->size() < static_cast<size_t>(config.layers)) {
      throw Error("convert", "{}: layer_types: got {}, want a list of {}", file,
                  types->is_array() ? fmt::format("{}", types->size()) : types->type_name(),
                  config.layers);
    }
    for (const nlohmann::json& type : *types) {
      if (type != "full_attention" && type != "sliding_attention") {
        throw Error("convert", "{}: layer_types: got {}, want full_attention or sliding_attention",
                    file, type.dump());
      }
      config.sliding_layers.push_back(type == "sliding_attention");
    }
  }
  const nlohmann::json* parameters = FindField(config.json, "rope_parameters");
  if (parameters == nullptr) parameters = FindField(config.json, "rope_scaling");
  // Gemma 3 has parameters for each type of layer. gemma3.cc reads those of the sliding layers.
  if (parameters != nullptr) {
    if (const nlohmann::json* full = FindField(*parameters, "full_attention")) parameters = full;
  }
  const nlohmann::json none = nlohmann::json::object();
  if (parameters == nullptr) parameters = &none;
  const double part = GetDouble(*parameters, "partial_rotary_factor", file,
                                config.Double("partial_rotary_factor", 1));
  config.rotary_dim = static_cast<int64_t>(part * static_cast<double>(config.head_size));
  if (config.rotary_dim < 2 || config.rotary_dim > config.head_size || config.rotary_dim % 2 != 0) {
    throw Error("convert", "{}: partial_rotary_factor: got {}, want an even part of {}", file, part,
                config.head_size);
  }
  config.rope = ParseRope(*parameters, config, config.Double("rope_theta", 10000));
  return config;
}

}  // namespace sinter::convert
