// Fuzz target: any bytes as config.json of a checkpoint, and what follows a NUL character as its
// generation_config.json, must give an Error, or a graph and a genai_config.json that Sinter reads.
//
// Seeds: tests/data/configs.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "convert/architectures.h"
#include "convert/decoder.h"
#include "convert/genai_config.h"
#include "fuzz/require.h"
#include "graph/ops.h"
#include "model/genai_config.h"

namespace {

using namespace sinter;  // NOLINT: a program of one screen

// Upper bound on the sizes of a model whose graph is built. Tables of rotary angles and vectors of
// weights take memory.
constexpr int64_t kMaxBuiltSize = 512;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(text.find('\0'), text.size());
  std::string genai;
  try {
    nlohmann::json generation = nlohmann::json::object();
    if (end < text.size()) generation = ParseJson(text.substr(end + 1), "convert", "generation");
    const nlohmann::json json = ParseJson(text.substr(0, end), "convert", "config.json");
    const convert::HfConfig config = convert::ParseHfConfig(json, "config.json");
    const convert::Architecture& architecture = convert::FindArchitecture(config);
    genai = convert::GenaiConfig(config, generation, "generation",
                                 {.type = std::string(architecture.genai_type)})
                .dump();
    if (config.vocab <= 1 << 18 && config.context <= kMaxBuiltSize && config.layers <= 4 &&
        config.hidden <= kMaxBuiltSize && config.head_size <= 256 &&
        config.intermediate <= kMaxBuiltSize) {
      convert::RandomWeights weights(1);
      const convert::DecoderOptions options;
      convert::Decoder decoder(config, options, weights);
      architecture.build(decoder);
      const convert::Decoder::Result result = decoder.Finish();
      for (const auto& node : result.graph->nodes()) graph::CheckNode(*node);
    }
  } catch (const Error& error) {
    Require(error.area() == "convert" || error.area() == "graph", error.what());
    Require(std::string_view(error.what()).size() < 2000, "the error's text is not short");
    return 0;
  }
  model::ParseGenaiConfig(genai, "genai_config.json");
  return 0;
}
