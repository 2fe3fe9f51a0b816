#include "convert/genai_config.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "convert/json.h"

namespace sinter::convert {
namespace {

// Returns whether the value stands for no token: some files have -1 or an empty list for it.
bool IsNoToken(const nlohmann::json& field) {
  if (field.is_array()) return std::all_of(field.begin(), field.end(), IsNoToken);
  return field.is_number_integer() && field < 0;
}

// Returns one id, a list of ids, or null if neither file has the field. generation_config.json
// comes first. Throws Error("convert") if a value is not a token id below the vocabulary's size.
nlohmann::json TokenIds(const HfConfig& config, const nlohmann::json& generation,
                        const std::string& generation_file, std::string_view name) {
  for (const auto& [object, file] :
       {std::pair(&generation, &generation_file), std::pair(&config.json, &config.file)}) {
    const nlohmann::json* field = FindField(*object, name);
    if (field == nullptr || IsNoToken(*field)) continue;
    const nlohmann::json list = field->is_array() ? *field : nlohmann::json::array({*field});
    bool valid = !list.empty();
    for (const nlohmann::json& id : list) {
      valid = valid && JsonInt(id, 0, config.vocab - 1);
    }
    if (!valid) {
      throw Error("convert", "{}: {}: got {}, want a token's id below {}", *file, name,
                  JsonExcerpt(*field), config.vocab);
    }
    return *field;
  }
  return nullptr;
}

// The defaults for choosing tokens that generation_config.json gives.
struct Sampling {
  bool do_sample = false;
  double temperature = 1, top_p = 1, min_p = 0, repetition_penalty = 1;
  int64_t top_k = 50;  // 0: off
};

// Returns a number of generation_config.json. Throws Error("convert") if it is not in [low, high].
double NumberIn(const nlohmann::json& generation, std::string_view name, const std::string& file,
                double fallback, double low, double high) {
  const double value = GetDouble(generation, name, file, fallback);
  if (!(value >= low && value <= high)) {
    throw Error("convert", "{}: {}: got {}, want {} to {}", file, name, value, low, high);
  }
  return value;
}

// Ways to choose tokens that Sinter does not have, with the values that turn them off. Null always
// does.
struct OtherChoice {
  std::string_view name;
  std::string_view off;
};
constexpr std::string_view kZero = R"([0, false, []])";
constexpr OtherChoice kOtherChoices[] = {
    {"bad_words_ids", kZero},
    {"begin_suppress_tokens", kZero},
    {"constraints", kZero},
    {"dola_layers", kZero},
    {"encoder_no_repeat_ngram_size", kZero},
    {"encoder_repetition_penalty", "[1]"},
    {"epsilon_cutoff", kZero},
    {"eta_cutoff", kZero},
    {"exponential_decay_length_penalty", kZero},
    {"force_words_ids", kZero},
    {"forced_bos_token_id", kZero},
    {"forced_eos_token_id", kZero},
    {"frequency_penalty", kZero},
    {"guidance_scale", "[1]"},
    {"min_length", kZero},
    {"min_new_tokens", kZero},
    {"no_repeat_ngram_size", kZero},
    {"num_beam_groups", "[1]"},
    {"num_beams", "[1]"},
    {"num_return_sequences", "[1]"},
    {"penalty_alpha", kZero},
    {"presence_penalty", kZero},
    {"sequence_bias", "[{}, []]"},
    {"stop_strings", R"(["", []])"},
    {"suppress_tokens", kZero},
    {"top_h", kZero},
    {"typical_p", "[1]"},
    {"watermarking_config", kZero},
};

void RefuseOtherChoices(const nlohmann::json& generation, const std::string& file) {
  for (const OtherChoice& choice : kOtherChoices) {
    const nlohmann::json* field = FindField(generation, choice.name);
    if (field == nullptr) continue;
    const nlohmann::json off = nlohmann::json::parse(choice.off);
    if (std::find(off.begin(), off.end(), *field) != off.end()) continue;
    throw Error("convert", "{}: {}: got {}, want {} or none: it is not implemented", file,
                choice.name, JsonExcerpt(*field), off[0].dump());
  }
}

// top_k of -1 or 0 means no limit, and temperature 0 the likeliest token, as in other engines.
Sampling ReadSampling(const nlohmann::json& generation, const std::string& file) {
  RefuseOtherChoices(generation, file);
  const auto number = [&](std::string_view name, double fallback, double low, double high) {
    return NumberIn(generation, name, file, fallback, low, high);
  };
  Sampling sampling;
  sampling.temperature = number("temperature", 1, 0, 1e6);
  sampling.do_sample = GetBool(generation, "do_sample", file, false) && sampling.temperature != 0;
  if (sampling.temperature == 0) sampling.temperature = 1;
  constexpr int64_t kMaxTopK = int64_t{1} << 30;
  const int64_t top_k = GetInt(generation, "top_k", file, sampling.top_k);
  if (top_k < -1 || top_k > kMaxTopK) {
    throw Error("convert", "{}: top_k: got {}, want -1 or 0 (off) to {}", file, top_k, kMaxTopK);
  }
  sampling.top_k = std::max<int64_t>(top_k, 0);
  sampling.top_p = number("top_p", 1, 1e-6, 1);
  sampling.min_p = number("min_p", 0, 0, 1);
  sampling.repetition_penalty = number("repetition_penalty", 1, 1e-3, 1e3);
  return sampling;
}

nlohmann::json FirstOf(const nlohmann::json& ids) { return ids.is_array() ? ids[0] : ids; }

}  // namespace

nlohmann::ordered_json GenaiConfig(const HfConfig& config, const nlohmann::json& generation,
                                   const std::string& generation_file,
                                   const GenaiOptions& options) {
  using Json = nlohmann::ordered_json;
  Json webgpu = {{"enableGraphCapture", options.graph_capture ? "1" : "0"},
                 {"validationMode", options.graph_capture ? "disabled" : "basic"}};
  if (options.multi_rotary_offset) {
    webgpu["multiRotaryCacheConcatOffset"] = std::to_string(*options.multi_rotary_offset);
  }
  const Json decoder = {{"session_options",
                         {{"log_id", "onnxruntime-genai"},
                          {"provider_options", Json::array({Json{{"webgpu", webgpu}}})}}},
                        {"filename", "model.onnx"},
                        {"head_size", config.head_size},
                        {"hidden_size", config.hidden},
                        {"inputs",
                         {{"input_ids", "input_ids"},
                          {"attention_mask", "attention_mask"},
                          {"past_key_names", "past_key_values.%d.key"},
                          {"past_value_names", "past_key_values.%d.value"}}},
                        {"outputs",
                         {{"logits", "logits"},
                          {"present_key_names", "present.%d.key"},
                          {"present_value_names", "present.%d.value"}}},
                        {"num_attention_heads", config.heads},
                        {"num_hidden_layers", config.layers},
                        {"num_key_value_heads", config.kv_heads}};
  const auto ids = [&](std::string_view name) {
    return TokenIds(config, generation, generation_file, name);
  };
  const nlohmann::json bos = FirstOf(ids("bos_token_id")), eos = ids("eos_token_id");
  if (eos.is_null()) {
    throw Error("convert", "{}: eos_token_id: got none, want the token that ends an answer",
                config.file);
  }
  nlohmann::json pad = FirstOf(ids("pad_token_id"));
  if (pad.is_null()) pad = FirstOf(eos);
  Json model = {{"bos_token_id", bos},       {"context_length", config.context},
                {"decoder", decoder},        {"eos_token_id", eos},
                {"pad_token_id", pad},       {"type", options.type},
                {"vocab_size", config.vocab}};
  if (bos.is_null()) model.erase("bos_token_id");
  const Sampling sampling = ReadSampling(generation, generation_file);
  Json search = {{"diversity_penalty", 0.0},
                 {"do_sample", sampling.do_sample},
                 {"early_stopping", true},
                 {"length_penalty", 1.0},
                 {"max_length", config.context},
                 {"min_length", 0},
                 {"no_repeat_ngram_size", 0},
                 {"num_beams", 1},
                 {"num_return_sequences", 1},
                 {"past_present_share_buffer", true},
                 {"repetition_penalty", sampling.repetition_penalty},
                 {"temperature", sampling.temperature},
                 {"top_k", sampling.top_k},
                 {"top_p", sampling.top_p}};
  // GenAI has no such option and refuses fields that it does not know, so only models that use
  // min_p have the field.
  if (sampling.min_p != 0) search["min_p"] = sampling.min_p;
  return {{"model", model}, {"search", search}};
}

}  // namespace sinter::convert
