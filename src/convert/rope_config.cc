#include "convert/rope_config.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/error.h"
#include "convert/hf_config.h"
#include "convert/json.h"

namespace sinter::convert {
namespace {

using nlohmann::json;

// Fields of an object that change nothing for any type.
constexpr std::string_view kRopeAnyType[] = {"rope_type",
                                             "type",
                                             "rope_theta",
                                             "partial_rotary_factor",
                                             "original_max_position_embeddings",
                                             "finetuned",
                                             "max_position_embeddings"};

// Upper bound on bases and factors. The largest published base is 1e11.
constexpr double kMaxRopeNumber = 1e20;

// Reads one object of parameters.
class RopeReader {
 public:
  RopeReader(const json& parameters, std::string_view name, const HfConfig& config)
      : parameters_(parameters), config_(config), what_(fmt::format("{}: {}", config.file, name)) {
    if (!parameters.is_object()) {
      throw Error("convert", "{}: got {}, want an object", what_, KindText(parameters));
    }
  }

  RopeConfig Read(const RopeFallback& fallback);

 private:
  double Positive(std::string_view name, double value) const {
    if (!(value > 0)) {
      throw Error("convert", "{}: {}: got {}, want more than 0", what_, name, value);
    }
    if (value > kMaxRopeNumber) {
      throw Error("convert", "{}: {}: got {}, want at most {}", what_, name, value, kMaxRopeNumber);
    }
    return value;
  }
  double PositiveField(std::string_view name) const {
    return Positive(name, GetDouble(parameters_, name, what_));
  }
  double PositiveField(std::string_view name, double fallback) const {
    return Positive(name, GetDouble(parameters_, name, what_, fallback));
  }
  // Returns the field of the object, else `top_level` of config.json, else `fallback`. Throws if
  // both are there and differ.
  double Agreed(std::string_view name, std::string_view top_level, double fallback) const {
    const json* inner = FindField(parameters_, name);
    const json* outer = config_.Find(top_level);
    if (inner != nullptr && outer != nullptr && *inner != *outer) {
      throw Error("convert", "{}: {}: got {}, want {} to match {}", what_, name,
                  JsonExcerpt(*inner), JsonExcerpt(*outer), top_level);
    }
    return inner != nullptr ? GetDouble(parameters_, name, what_)
                            : config_.Double(top_level, fallback);
  }
  std::string Type() const;
  int64_t RotaryDim(double fallback) const;
  int64_t OriginalPositions() const;
  void ReadLlama3(RopeConfig& rope) const;
  void ReadLongRope(RopeConfig& rope) const;
  void ReadYarn(RopeConfig& rope) const;
  // Throws for a field that is neither in `used` nor in kRopeAnyType.
  void CheckFields(std::string_view type, std::span<const std::string_view> used) const;
  double Extension(const RopeConfig& rope) const {
    return static_cast<double>(config_.context) / static_cast<double>(rope.original_max_positions);
  }

  const json& parameters_;
  const HfConfig& config_;
  const std::string what_;
};

std::string RopeReader::Type() const {
  const std::string older = GetString(parameters_, "type", what_, "default");
  std::string type = GetString(parameters_, "rope_type", what_, older);
  if (FindField(parameters_, "type") != nullptr && type != older) {
    throw Error("convert", "{}: rope_type and type: got '{}' and '{}', want the same", what_, type,
                older);
  }
  return type;
}

int64_t RopeReader::RotaryDim(double fallback) const {
  const double part = Agreed("partial_rotary_factor", "partial_rotary_factor", fallback);
  const int64_t head = config_.head_size;
  const auto dim =
      part > 0 && part <= 1 ? static_cast<int64_t>(part * static_cast<double>(head)) : 0;
  if (dim < 2 || dim % 2 != 0) {
    throw Error("convert", "{}: partial_rotary_factor: got {}, want an even part of {}",
                config_.file, part, head);
  }
  return dim;
}

int64_t RopeReader::OriginalPositions() const {
  constexpr char kField[] = "original_max_position_embeddings";
  const double value = Agreed(kField, kField, static_cast<double>(config_.context));
  if (value != std::floor(value) || value < 1 || value > static_cast<double>(kMaxContext)) {
    throw Error("convert", "{}: {}: got {}, want 1 to {}", what_, kField, value, kMaxContext);
  }
  return static_cast<int64_t>(value);
}

void RopeReader::CheckFields(std::string_view type, std::span<const std::string_view> used) const {
  const auto has = [](std::span<const std::string_view> names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const auto& [name, value] : parameters_.items()) {
    if (value.is_null() || has(used, name) || has(kRopeAnyType, name)) continue;
    if (name == "factor" && value == 1) continue;
    throw Error("convert", "{}: {}: got {}, want none: rope_type {} has no such parameter", what_,
                JsonExcerpt(name), JsonExcerpt(value), type);
  }
}

void RopeReader::ReadLlama3(RopeConfig& rope) const {
  rope.type = RopeConfig::Type::kLlama3;
  rope.factor = PositiveField("factor");
  rope.low_freq_factor = PositiveField("low_freq_factor");
  rope.high_freq_factor = PositiveField("high_freq_factor");
  if (rope.high_freq_factor <= rope.low_freq_factor) {
    throw Error("convert", "{}: high_freq_factor: got {}, want more than low_freq_factor, {}",
                what_, rope.high_freq_factor, rope.low_freq_factor);
  }
}

void RopeReader::ReadLongRope(RopeConfig& rope) const {
  rope.type = RopeConfig::Type::kLongRope;
  rope.short_factor = GetDoubles(parameters_, "short_factor", what_);
  rope.long_factor = GetDoubles(parameters_, "long_factor", what_);
  for (const auto* factors : {&rope.short_factor, &rope.long_factor}) {
    if (factors->size() != static_cast<size_t>(rope.rotary_dim / 2)) {
      throw Error("convert", "{}: short_factor and long_factor: got {} numbers, want {}", what_,
                  factors->size(), rope.rotary_dim / 2);
    }
    for (const double value : *factors) Positive("short_factor and long_factor", value);
  }
  if (rope.original_max_positions >= config_.context) {
    throw Error("convert",
                "{}: original_max_position_embeddings: got {}, want less than the context, {}",
                what_, rope.original_max_positions, config_.context);
  }
  rope.factor = PositiveField("factor", Extension(rope));
  // Releases of transformers disagree about which of the two the scale of cosines and sines comes
  // from.
  if (!rope.attention_factor && std::abs(rope.factor / Extension(rope) - 1) > 1e-6) {
    throw Error("convert",
                "{}: factor: got {}, want {}, max_position_embeddings divided by "
                "original_max_position_embeddings, or an attention_factor",
                what_, rope.factor, Extension(rope));
  }
}

void RopeReader::ReadYarn(RopeConfig& rope) const {
  rope.type = RopeConfig::Type::kYarn;
  rope.factor = PositiveField("factor", Extension(rope));
  rope.beta_fast = PositiveField("beta_fast", 32);
  rope.beta_slow = PositiveField("beta_slow", 1);
  rope.truncate = GetBool(parameters_, "truncate", what_, true);
  const double mscale = GetDouble(parameters_, "mscale", what_, 0),
               all = GetDouble(parameters_, "mscale_all_dim", what_, 0);
  if (mscale == 0 || all == 0 || rope.attention_factor) return;
  const auto scale = [&](double weight) {
    return rope.factor <= 1 ? 1 : 0.1 * weight * std::log(rope.factor) + 1;
  };
  rope.attention_factor = Positive("mscale", scale(mscale) / scale(all));
}

RopeConfig RopeReader::Read(const RopeFallback& fallback) {
  RopeConfig rope;
  const std::string type = Type();
  rope.theta = Positive("rope_theta", Agreed("rope_theta", fallback.theta_field, fallback.theta));
  rope.rotary_dim = RotaryDim(fallback.partial_rotary_factor);
  const int64_t original = OriginalPositions();
  std::vector<std::string_view> used;
  const auto scaled = [&] {
    rope.original_max_positions = original;
    if (FindField(parameters_, "attention_factor") != nullptr && type != "llama3") {
      rope.attention_factor = PositiveField("attention_factor");
    }
  };
  if (type == "default") {
    rope.type = RopeConfig::Type::kDefault;
  } else if (type == "linear") {
    used = {"factor"};
    rope.type = RopeConfig::Type::kLinear;
    rope.factor = PositiveField("factor");
  } else if (type == "llama3") {
    used = {"factor", "low_freq_factor", "high_freq_factor"};
    scaled();
    ReadLlama3(rope);
  } else if (type == "longrope" || type == "su") {
    used = {"factor", "attention_factor", "short_factor", "long_factor"};
    scaled();
    ReadLongRope(rope);
  } else if (type == "yarn") {
    used = {"factor",   "attention_factor", "beta_fast",     "beta_slow",
            "truncate", "mscale",           "mscale_all_dim"};
    scaled();
    ReadYarn(rope);
  } else {
    throw Error("convert",
                "{}: rope_type: got '{}', want default, linear, llama3, longrope or yarn", what_,
                type);
  }
  CheckFields(type, used);
  return rope;
}

// Returns the field if it is there and not empty.
const json* FindParameters(const HfConfig& config, std::string_view name) {
  const json* field = config.Find(name);
  return field != nullptr && field->is_object() && field->empty() ? nullptr : field;
}

}  // namespace

RopeConfig ParseRope(const json& parameters, std::string_view name, const HfConfig& config,
                     const RopeFallback& fallback) {
  return RopeReader(parameters, name, config).Read(fallback);
}

RopeConfig ReadRope(const HfConfig& config, double theta) {
  const json* newer = FindParameters(config, "rope_parameters");
  const json* older = FindParameters(config, "rope_scaling");
  const json none = json::object();
  RopeFallback fallback{.theta = theta};
  const json* full = newer != nullptr ? FindField(*newer, "full_attention") : nullptr;
  if (full != nullptr) {
    if (config.model_type != "gemma3_text") {
      throw Error("convert",
                  "{}: rope_parameters: got some for each type of layer, want a single set for {}",
                  config.file, config.model_type);
    }
    for (const auto& [name, value] : newer->items()) {
      if (name != "full_attention" && name != "sliding_attention" && !value.is_null()) {
        throw Error("convert",
                    "{}: rope_parameters: {}: got one, want full_attention and sliding_attention",
                    config.file, JsonExcerpt(name));
      }
    }
    newer = full;
  }
  if (newer == nullptr && older == nullptr) return ParseRope(none, "rope", config, fallback);
  if (newer == nullptr) return ParseRope(*older, "rope_scaling", config, fallback);
  RopeConfig rope = ParseRope(*newer, "rope_parameters", config, fallback);
  if (older == nullptr) return rope;
  fallback.theta = rope.theta;
  fallback.partial_rotary_factor =
      static_cast<double>(rope.rotary_dim) / static_cast<double>(config.head_size);
  if (rope != ParseRope(*older, "rope_scaling", config, fallback)) {
    throw Error(
        "convert",
        "{}: rope_parameters and rope_scaling: got {} and {}, want only one, or two that agree",
        config.file, JsonExcerpt(*newer), JsonExcerpt(*older));
  }
  return rope;
}

RopeConfig ReadSlidingRope(const HfConfig& config, std::string_view theta_field, double theta) {
  const json* both = FindParameters(config, "rope_parameters");
  const json* sliding = both != nullptr ? FindField(*both, "sliding_attention") : nullptr;
  const json none = json::object();
  return ParseRope(sliding != nullptr ? *sliding : none, "rope_parameters.sliding_attention",
                   config, {.theta_field = theta_field, .theta = theta});
}

}  // namespace sinter::convert
