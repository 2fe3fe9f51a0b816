// The language model of a multimodal checkpoint, which is converted as a model of its own.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "convert/safetensors.h"

namespace sinter::convert {

struct TextPart {
  nlohmann::json config;  // config.json as a text-only checkpoint has it
  std::string
      whole_type;  // model_type of the multimodal checkpoint; empty if it is a text-only one
};

// Returns the configuration of the language model: text_config, the special tokens and other fields
// that only the outer object has, and the defaults that its class in transformers gives absent
// fields. A text-only configuration comes back as it is.
//
// Throws Error("convert") that names the model_type if the language model does not run alone as it
// does behind the others: with cross-attention, say.
TextPart TakeTextPart(nlohmann::json config, const std::string& file);

// Returns the tensors of the language model, under the names that text-only checkpoints use,
// without those of the towers and projectors of other media. Other tensors stay.
CheckpointTensors TextTensors(const CheckpointTensors& tensors);

}  // namespace sinter::convert
