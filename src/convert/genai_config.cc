#include "convert/genai_config.h"

#include "base/error.h"
#include "convert/json.h"

namespace sinter::convert {
namespace {

// Returns one id, a list of ids, or null if neither file has the field. generation_config.json
// comes first. Throws Error("convert") if a value is not a token id below the vocabulary's size.
nlohmann::json TokenIds(const HfConfig& config, const nlohmann::json& generation,
                        const std::string& generation_file, std::string_view name) {
  for (const auto& [object, file] :
       {std::pair(&generation, &generation_file), std::pair(&config.json, &config.file)}) {
    const nlohmann::json* field = FindField(*object, name);
    if (field == nullptr) continue;
    const nlohmann::json list = field->is_array() ? *field : nlohmann::json::array({*field});
    bool valid = !list.empty();
    for (const nlohmann::json& id : list) {
      valid = valid && id.is_number_integer() && id >= 0 && id < config.vocab;
    }
    if (!valid) {
      throw Error("convert", "{}: {}: got {}, want a token's id below {}", *file, name,
                  field->dump(), config.vocab);
    }
    return *field;
  }
  return nullptr;
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
  const auto number = [&](std::string_view name, double fallback) {
    return GetDouble(generation, name, generation_file, fallback);
  };
  return {{"model", model},
          {"search",
           {{"diversity_penalty", 0.0},
            {"do_sample", GetBool(generation, "do_sample", generation_file, false)},
            {"early_stopping", true},
            {"length_penalty", 1.0},
            {"max_length", config.context},
            {"min_length", 0},
            {"no_repeat_ngram_size", 0},
            {"num_beams", 1},
            {"num_return_sequences", 1},
            {"past_present_share_buffer", true},
            {"repetition_penalty", number("repetition_penalty", 1)},
            {"temperature", number("temperature", 1)},
            {"top_k", GetInt(generation, "top_k", generation_file, 50)},
            {"top_p", number("top_p", 1)}}}};
}

}  // namespace sinter::convert
