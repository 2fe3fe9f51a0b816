// Fuzz target: any bytes as genai_config.json must give a configuration within its ranges, or an
// Error("config").
//
// Seeds: genai_config.json of models/demo.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/file.h"
#include "fuzz/require.h"
#include "model/genai_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sinter;  // NOLINT: a program of one screen
  try {
    const model::GenaiConfig config =
        model::ParseGenaiConfig({reinterpret_cast<const char*>(data), size}, "genai_config.json");
    Require(StaysInFolder(config.filename), "the model's file is outside of the folder");
    Require(config.context_length > 0 && config.vocab_size > 0 && config.head_size > 0,
            "a size is not positive");
    for (const int64_t id : config.eos_token_ids) Require(id >= 0, "a negative token");
    Require(config.bos_token_id.value_or(0) >= 0, "a negative token");
    Require(config.search.top_p >= 0 && config.search.top_p <= 1, "top_p is out of range");
    model::LayerName(config.past_key_names, config.num_hidden_layers);
  } catch (const Error& error) {
    RequireErrorOf(error, "config");
  }
  return 0;
}
