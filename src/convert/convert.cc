#include "convert/convert.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "convert/architectures.h"
#include "convert/config_fields.h"
#include "convert/genai_config.h"
#include "convert/json.h"
#include "convert/new_folder.h"
#include "convert/random_tokenizer.h"
#include "convert/text_part.h"
#include "convert/weights.h"
#include "graph/ops.h"

namespace sinter::convert {
namespace {

namespace fs = std::filesystem;

uint64_t BytesOf(const graph::Tensor& tensor) {
  return DTypeBytes(tensor.dtype, static_cast<size_t>(tensor.num_elements()));
}

// Wraps each source so that it reports the bytes it writes to options.progress.
void AddProgress(const ConvertOptions& options, Decoder::Result& result) {
  if (!options.progress) return;
  uint64_t total = 0;
  for (const auto& [name, source] : result.sources) {
    total += BytesOf(*result.graph->FindValue(name)->constant);
  }
  const auto done = std::make_shared<uint64_t>(0);
  for (auto& [name, source] : result.sources) {
    source = [inner = std::move(source), done, total,
              progress = options.progress](const onnx::ByteSink& write) {
      inner([&](std::span<const std::byte> bytes) {
        write(bytes);
        progress(*done += bytes.size(), total);
      });
    };
  }
}

// Returns whether a tensor may stay unused: rotary frequencies, which are recomputed, a head that
// is tied to the embedding, and the layers that --layers cuts off.
bool IsExpected(const std::string& name, const HfConfig& config) {
  if (name.ends_with("rotary_emb.inv_freq")) return true;
  if (config.tied_embeddings && name == "lm_head.weight") return true;
  constexpr std::string_view kLayers = "model.layers.";
  if (!name.starts_with(kLayers)) return false;
  const int64_t all_layers = config.Int("num_hidden_layers");
  const int64_t layer = std::atoll(name.c_str() + kLayers.size());
  return layer >= config.layers && layer < all_layers;
}

// Throws if the checkpoint has a head of its own although config.json ties it to the embedding. A
// copy of the embedding may be there.
void CheckTiedHead(const CheckpointTensors& tensors, const HfConfig& config) {
  const auto head = tensors.find("lm_head.weight"),
             table = tensors.find("model.embed_tokens.weight");
  if (!config.tied_embeddings || head == tensors.end() || table == tensors.end()) return;
  if (head->second.dtype != table->second.dtype ||
      !std::ranges::equal(head->second.bytes, table->second.bytes)) {
    throw Error("convert",
                "tensor 'lm_head.weight': got values that differ from model.embed_tokens.weight, "
                "want the same ones, because {} says tie_word_embeddings",
                config.file);
  }
}

void CheckUnused(const CheckpointWeights& weights, const HfConfig& config) {
  for (const std::string& name : weights.Unused()) {
    if (IsExpected(name, config)) continue;
    throw Error("convert", "tensor '{}': got a tensor that {} does not ask for, want only {}'s own",
                name, config.file, config.model_type);
  }
}

Decoder::Result BuildDecoder(const HfConfig& config, const ConvertOptions& options,
                             Weights& weights) {
  Decoder decoder(config, options.decoder, weights);
  FindArchitecture(config).build(decoder);
  Decoder::Result result = decoder.Finish();
  for (const auto& node : result.graph->nodes()) graph::CheckNode(*node);
  CheckIgnoredFields(config);
  return result;
}

ConvertReport ReportOf(const HfConfig& config, uint64_t bytes) {
  return {config.model_type,    config.whole_type, config.layers, config.vocab, bytes,
          UnknownFields(config)};
}

nlohmann::ordered_json GenaiConfigOf(const HfConfig& config, const nlohmann::json& generation,
                                     const std::string& file, const ConvertOptions& options,
                                     const Decoder::Result& result) {
  return GenaiConfig(config, generation, file,
                     {.type = FindArchitecture(config).genai_type,
                      .graph_capture = options.decoder.graph_capture,
                      .multi_rotary_offset = result.multi_rotary_offset});
}

void WriteGraph(const Decoder::Result& result, const NewFolder& folder) {
  onnx::WriteOptions write;
  write.sources = result.sources;
  onnx::WriteModel(*result.graph, folder.path() / "model.onnx", write);
}

HfConfig ReadConfig(const fs::path& checkpoint, const ConvertOptions& options) {
  std::error_code ignored;  // of links in a circle, say
  if (!fs::is_directory(checkpoint, ignored)) {
    throw Error("convert", "'{}': got {}, want a checkpoint's folder", checkpoint.string(),
                fs::exists(checkpoint, ignored) ? "a file" : "nothing there");
  }
  const fs::path file = checkpoint / "config.json";
  HfConfig config = ParseHfConfig(ReadJson(file), file.string(), options.layers);
  CheckQuantization(config);
  return config;
}

CheckpointTensors ReadTensors(const fs::path& checkpoint, const HfConfig& config) {
  CheckpointTensors tensors = ReadCheckpoint(checkpoint);
  return config.whole_type.empty() ? tensors : TextTensors(tensors);
}

// Copies the tokenizer's files. A chat template that only tokenizer_config.json or, for a
// multimodal model's processor, chat_template.json holds is written to chat_template.jinja.
void CopyTokenizer(const fs::path& checkpoint, NewFolder& folder) {
  if (!IsPresent(checkpoint / "tokenizer.json")) {
    throw Error("convert", "'{}': got no tokenizer.json, want one; is the download complete?",
                checkpoint.string());
  }
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                           "added_tokens.json", "chat_template.jinja", "generation_config.json"}) {
    if (IsPresent(checkpoint / name)) folder.Copy(checkpoint / name);
  }
  if (IsPresent(checkpoint / "chat_template.jinja")) return;
  for (const char* name : {"tokenizer_config.json", "chat_template.json"}) {
    if (!IsPresent(checkpoint / name)) continue;
    const nlohmann::json json = ReadJson(checkpoint / name);
    const nlohmann::json* text = FindField(json, "chat_template");
    if (text == nullptr) continue;
    if (text->is_string()) folder.Write("chat_template.jinja", text->get<std::string>());
    return;
  }
}

ConvertOptions PlainOptions(ConvertOptions options) {
  options.decoder.quantize = false;
  options.decoder.graph_capture = false;
  options.decoder.dtype = DType::kF32;
  return options;
}

}  // namespace

void CheckOptions(const ConvertOptions& options) {
  const QuantFormat& format = options.decoder.format;
  if (format.bits != 4 && format.bits != 8) {
    throw Error("convert", "--bits: got {}, want 4 or 8", format.bits);
  }
  if (format.block_size < 16 || format.block_size > 256 ||
      (format.block_size & (format.block_size - 1)) != 0) {
    throw Error("convert", "--block-size: got {}, want 16, 32, 64, 128 or 256", format.block_size);
  }
  if (options.decoder.accuracy_level < 0 || options.decoder.accuracy_level > 4) {
    throw Error("convert", "--accuracy-level: got {}, want 0 to 4", options.decoder.accuracy_level);
  }
}

ConvertReport ConvertCheckpoint(const fs::path& checkpoint, const fs::path& out,
                                const ConvertOptions& options) {
  CheckOptions(options);
  NewFolder folder(out);
  const HfConfig config = ReadConfig(checkpoint, options);
  nlohmann::json generation = nlohmann::json::object();
  const fs::path generation_file = checkpoint / "generation_config.json";
  if (IsPresent(generation_file)) generation = ReadJson(generation_file);
  const CheckpointTensors tensors = ReadTensors(checkpoint, config);
  CheckpointWeights weights(tensors);
  Decoder::Result result = BuildDecoder(config, options, weights);
  CheckUnused(weights, config);
  CheckTiedHead(tensors, config);
  const nlohmann::ordered_json genai =
      GenaiConfigOf(config, generation, generation_file.string(), options, result);
  AddProgress(options, result);
  CopyTokenizer(checkpoint, folder);
  folder.Write("genai_config.json", genai.dump(4) + "\n");
  WriteGraph(result, folder);
  return ReportOf(config, folder.Finish());
}

ConvertReport ConvertRandom(const nlohmann::json& json, const std::string& config_name,
                            uint64_t seed, const fs::path& out, const ConvertOptions& options) {
  CheckOptions(options);
  NewFolder folder(out);
  const HfConfig config = ParseHfConfig(json, config_name, options.layers);
  RandomWeights weights(seed);
  Decoder::Result result = BuildDecoder(config, options, weights);
  const nlohmann::ordered_json genai =
      GenaiConfigOf(config, nlohmann::json::object(), config_name, options, result);
  const std::string tokenizer = RandomTokenizer(config.vocab, genai);
  AddProgress(options, result);
  folder.Write("tokenizer.json", tokenizer);
  folder.Write("tokenizer_config.json", RandomTokenizerConfig(genai));
  folder.Write("chat_template.jinja", RandomChatTemplate());
  folder.Write("genai_config.json", genai.dump(4) + "\n");
  WriteGraph(result, folder);
  return ReportOf(config, folder.Finish());
}

std::unique_ptr<graph::Graph> ReferenceGraph(const fs::path& checkpoint,
                                             const ConvertOptions& options) {
  const ConvertOptions plain = PlainOptions(options);
  const HfConfig config = ReadConfig(checkpoint, plain);
  const CheckpointTensors tensors = ReadTensors(checkpoint, config);
  CheckpointWeights weights(tensors);
  Decoder::Result result = BuildDecoder(config, plain, weights);
  for (const auto& [name, source] : result.sources) {
    graph::Tensor tensor = *result.graph->FindValue(name)->constant;
    const auto bytes = std::make_shared<std::vector<std::byte>>();
    bytes->reserve(BytesOf(tensor));
    source([&](std::span<const std::byte> piece) {
      bytes->insert(bytes->end(), piece.begin(), piece.end());
    });
    tensor.bytes = *bytes;
    tensor.owner = bytes;
    result.graph->FindValue(name)->SetConstant(std::move(tensor));
  }
  return std::move(result.graph);
}

int64_t CountWeights(const fs::path& checkpoint, const ConvertOptions& options) {
  const ConvertOptions plain = PlainOptions(options);
  const HfConfig config = ReadConfig(checkpoint, plain);
  RandomWeights weights(0);
  const Decoder::Result result = BuildDecoder(config, plain, weights);
  int64_t count = 0;
  for (const auto& [name, source] : result.sources) {
    count += result.graph->FindValue(name)->constant->num_elements();
  }
  return count;
}

}  // namespace sinter::convert
