#include "convert/text_part.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/excerpt.h"
#include "convert/json.h"

namespace sinter::convert {
namespace {

// Multimodal architectures whose language model is an ordinary one: without images it computes what
// the text-only model computes. `defaults` are those of text_config's class in transformers for
// fields without which convert cannot go on.
struct Multimodal {
  std::string_view model_type;
  std::string_view defaults;
};
constexpr std::array<Multimodal, 5> kMultimodal = {{
    // Gemma3TextConfig; google/gemma-3-4b-it leaves out all that equals them.
    {"gemma3", R"({"model_type": "gemma3_text", "vocab_size": 262208, "hidden_size": 2304,
      "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8,
      "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072})"},
    {"internvl", "{}"},
    {"llava", "{}"},
    {"llava_next", "{}"},
    {"mistral3", "{}"},
}};

// Fields of the outer object that belong to the language model, too.
constexpr std::array<std::string_view, 7> kShared = {
    "bos_token_id",        "eos_token_id",       "pad_token_id",        "tie_word_embeddings",
    "quantization_config", "compression_config", "transformers_version"};

// Names under which transformers saves the language model: since release 4.52, and before.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kPrefixes = {{
    {"model.language_model.", "model."},
    {"language_model.model.", "model."},
    {"language_model.lm_head.", "lm_head."},
}};

// Beginnings of the names of tensors that text needs none of.
constexpr std::array<std::string_view, 4> kOtherMedia = {"vision_tower.", "vision_model.",
                                                         "multi_modal_projector.", "image_newline"};

bool IsOfOtherMedia(std::string_view name) {
  if (name.starts_with("model.")) name.remove_prefix(std::string_view("model.").size());
  return std::ranges::any_of(kOtherMedia, [&](auto begin) { return name.starts_with(begin); });
}

}  // namespace

TextPart TakeTextPart(nlohmann::json config, const std::string& file) {
  if (!config.is_object()) return {std::move(config), ""};
  const nlohmann::json* text = FindField(config, "text_config");
  const nlohmann::json* type = FindField(config, "model_type");
  if (text == nullptr || !text->is_object() || type == nullptr || !type->is_string()) {
    return {std::move(config), ""};
  }
  const auto known =
      std::ranges::find(kMultimodal, type->get_ref<const std::string&>(), &Multimodal::model_type);
  if (known == kMultimodal.end()) {
    std::string names;
    for (const Multimodal& kind : kMultimodal) {
      names += (names.empty() ? "" : ", ") + std::string(kind.model_type);
    }
    throw Error("convert",
                "{}: model_type: got '{}', a multimodal model whose language model cannot be taken "
                "out, want a text-only checkpoint of the family, or one of {}",
                file, Excerpt(type->get_ref<const std::string&>()), names);
  }
  TextPart part = {nlohmann::json::parse(known->defaults), type->get<std::string>()};
  for (const std::string_view name : kShared) {
    if (const nlohmann::json* field = FindField(config, name)) part.config[name] = *field;
  }
  part.config.update(*text);
  return part;
}

CheckpointTensors TextTensors(const CheckpointTensors& tensors) {
  CheckpointTensors result;
  for (const auto& [name, tensor] : tensors) {
    if (IsOfOtherMedia(name)) continue;
    std::string renamed = name;
    for (const auto& [before, after] : kPrefixes) {
      if (!name.starts_with(before)) continue;
      renamed = std::string(after) + name.substr(before.size());
      break;
    }
    if (!result.emplace(renamed, tensor).second) {
      throw Error("convert", "tensor '{}': got it under two names, want one", renamed);
    }
  }
  return result;
}

}  // namespace sinter::convert
