// Reads genai_config.json, which ONNX Runtime GenAI writes next to a model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_source.h"

namespace sinter::model {

// Values of the `search` object: the default settings for choosing tokens.
struct SearchDefaults {
  bool do_sample = false;
  int64_t max_length = 0;  // prompt and generated tokens together; 0: the context length
  double temperature = 1.0;
  int64_t top_k = 50;  // 0: off
  double top_p = 1.0;
  double min_p = 0.0;
  double repetition_penalty = 1.0;
};

struct GenaiConfig {
  std::string type;  // `qwen3`, `phi3`, ...
  int64_t context_length = 0;
  int64_t vocab_size = 0;
  std::optional<int64_t> bos_token_id, pad_token_id;
  std::vector<int64_t> eos_token_ids;

  // model.decoder
  std::string filename = "model.onnx";
  int64_t head_size = 0, hidden_size = 0;
  int64_t num_attention_heads = 0, num_key_value_heads = 0, num_hidden_layers = 0;
  // Names of graph inputs and outputs; `%d` stands for the layer. The graph may lack position_ids.
  std::string input_ids = "input_ids", attention_mask = "attention_mask",
              position_ids = "position_ids";
  std::string past_key_names = "past_key_values.%d.key",
              past_value_names = "past_key_values.%d.value";
  std::string logits = "logits";
  std::string present_key_names = "present.%d.key", present_value_names = "present.%d.value";
  // Row of the rotary caches where the half for long contexts starts (provider option
  // multiRotaryCacheConcatOffset).
  std::optional<int64_t> multi_rotary_offset;

  SearchDefaults search;
};

// Read the file, that of a model's files, or its text. Throw Error (area `config`) naming the file
// and the field if a field without a default is missing, has a wrong type or is out of range, or if
// an option is unsupported (beam search, n-gram blocking, a minimum length), and so are encoders,
// embeddings of images and speech, pipelines of several graphs, and inputs that slide.
GenaiConfig ReadGenaiConfig(const std::filesystem::path& file);
GenaiConfig ReadGenaiConfig(const FileSource& files);
GenaiConfig ParseGenaiConfig(std::string_view json, std::string_view file_name);

// Returns `pattern` with `%d` replaced by the layer's number.
std::string LayerName(std::string_view pattern, int64_t layer);

}  // namespace sinter::model
