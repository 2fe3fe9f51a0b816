#include "convert/hf_config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "convert/architectures.h"
#include "convert/json.h"
#include "convert/text_part.h"

namespace sinter::convert {
namespace {

// Upper bounds on sizes. They keep the product of three sizes within int64 and refuse absurd values
// early.
constexpr int64_t kMaxSize = int64_t{1} << 20;
// Upper bound on other numbers, which become f32.
constexpr double kMaxNumber = 1e30;

int64_t Size(const HfConfig& config, std::string_view name, std::optional<int64_t> fallback = {},
             int64_t most = kMaxSize) {
  const int64_t value = config.Int(name, fallback);
  if (value < 1 || value > most) {
    throw Error("convert", "{}: {}: got {}, want 1 to {}", config.file, name, value, most);
  }
  return value;
}

}  // namespace

const nlohmann::json* HfConfig::Find(std::string_view name) const {
  asked.emplace(name);
  return FindField(json, name);
}
bool HfConfig::Flag(std::string_view name, bool fallback) const {
  Find(name);
  return GetBool(json, name, file, fallback);
}
int64_t HfConfig::Int(std::string_view name, std::optional<int64_t> fallback, int64_t most) const {
  Find(name);
  const int64_t value = fallback ? GetInt(json, name, file, *fallback) : GetInt(json, name, file);
  if (value < 0 || value > most) {
    throw Error("convert", "{}: {}: got {}, want 0 to {}", file, name, value, most);
  }
  return value;
}
double HfConfig::Double(std::string_view name, double fallback) const {
  Find(name);
  const double value = GetDouble(json, name, file, fallback);
  if (!(std::abs(value) <= kMaxNumber)) {
    throw Error("convert", "{}: {}: got {}, want {} to {}", file, name, value, -kMaxNumber,
                kMaxNumber);
  }
  return value;
}
void HfConfig::Want(std::string_view name, const nlohmann::json& only) const {
  const nlohmann::json* field = Find(name);
  if (field != nullptr && *field != only) {
    throw Error("convert", "{}: {}: got {}, want {}, the only one implemented", file, name,
                JsonExcerpt(*field), JsonExcerpt(only));
  }
}

void HfConfig::WantSilu() const {
  const nlohmann::json* field = Find("hidden_act");
  if (field != nullptr && *field != "silu" && *field != "swish") {
    throw Error("convert", "{}: hidden_act: got {}, want \"silu\", the only one implemented", file,
                JsonExcerpt(*field));
  }
}

std::vector<bool> HfConfig::SlidingLayers(bool windows,
                                          const std::function<bool(int64_t)>& by_default) const {
  Find("layer_types");
  std::vector<bool> sliding = sliding_layers;
  if (sliding.empty()) {
    for (int64_t layer = 0; layer < layers; ++layer) sliding.push_back(by_default(layer));
  }
  if (!windows && std::find(sliding.begin(), sliding.end(), true) != sliding.end()) {
    throw Error(
        "convert",
        "{}: layer_types: got sliding_attention without a sliding_window, want both or neither",
        file);
  }
  return sliding;
}

std::optional<int64_t> HfConfig::UniformWindow() const {
  const bool windows = sliding_window.value_or(context) < context;
  const std::vector<bool> sliding = SlidingLayers(windows, [&](int64_t) { return windows; });
  if (!windows) return std::nullopt;
  if (!Flag("use_sliding_window", true) ||
      std::find(sliding.begin(), sliding.end(), false) != sliding.end()) {
    throw Error("convert",
                "{}: sliding_window: got {}, but use_sliding_window or layer_types turn it off, "
                "want it in every layer of {}",
                file, *sliding_window, model_type);
  }
  return sliding_window;
}

void HfConfig::WantNoWindow() const {
  SlidingLayers(false, [](int64_t) { return false; });
  if (sliding_window.value_or(context) < context && Flag("use_sliding_window", true)) {
    throw Error("convert", "{}: sliding_window: got {}, want none: {} has no such layers", file,
                *sliding_window, model_type);
  }
}

HfConfig ParseHfConfig(nlohmann::json json, const std::string& file,
                       std::optional<int64_t> layers) {
  if (!json.is_object()) {
    throw Error("convert", "{}: got {}, want an object", file, KindText(json));
  }
  HfConfig config;
  TextPart part = TakeTextPart(std::move(json), file);
  config.json = std::move(part.config);
  config.whole_type = std::move(part.whole_type);
  config.file = file;
  config.model_type = GetString(config.json, "model_type", file);
  if (const nlohmann::json* names = config.Find("architectures");
      names != nullptr && names->is_array() && !names->empty() && names->front().is_string()) {
    config.architecture = names->front().get<std::string>();
  }
  const ModelDefaults& defaults = FindArchitecture(config).defaults;
  config.hidden = Size(config, "hidden_size");
  config.layers = Size(config, "num_hidden_layers", {}, 4096);
  if (layers) {
    if (*layers < 1 || *layers > config.layers) {
      throw LayersError("convert", "--layers: got {}, want 1 to {}", *layers, config.layers);
    }
    config.layers = *layers;
  }
  config.heads = Size(config, "num_attention_heads", {}, 4096);
  config.kv_heads = Size(config, "num_key_value_heads", config.heads, 4096);
  config.head_size =
      Size(config, "head_dim",
           defaults.head_size.value_or(std::max<int64_t>(config.hidden / config.heads, 1)), 4096);
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
  config.norm_epsilon = config.Double("rms_norm_eps", defaults.norm_epsilon);
  if (!(config.norm_epsilon >= 0 && config.norm_epsilon <= 1)) {
    throw Error("convert", "{}: rms_norm_eps: got {}, want 0 to 1", file, config.norm_epsilon);
  }
  config.tied_embeddings = config.Flag("tie_word_embeddings", defaults.tied_embeddings);
  // A window of null is none. A file without the field means the architecture's default.
  if (FindField(config.json, "sliding_window") != nullptr) {
    config.sliding_window = Size(config, "sliding_window", {}, kMaxContext);
  } else if (!config.json.contains("sliding_window")) {
    config.sliding_window = defaults.sliding_window;
  }
  if (const nlohmann::json* types = FindField(config.json, "layer_types")) {
    const auto all_layers = static_cast<size_t>(config.Int("num_hidden_layers"));
    if (!types->is_array() || types->size() != all_layers) {
      throw Error("convert", "{}: layer_types: got {}, want a list of {}", file,
                  types->is_array() ? fmt::format("{}", types->size()) : types->type_name(),
                  all_layers);
    }
    for (const nlohmann::json& type : *types) {
      if (type != "full_attention" && type != "sliding_attention") {
        throw Error("convert", "{}: layer_types: got {}, want full_attention or sliding_attention",
                    file, JsonExcerpt(type));
      }
      config.sliding_layers.push_back(type == "sliding_attention");
    }
    config.sliding_layers.resize(static_cast<size_t>(config.layers));
  }
  config.rope = ReadRope(config, defaults.rope_theta);
  return config;
}

}  // namespace sinter::convert
