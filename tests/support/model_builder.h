// Small model folders for tests, in the forms that ONNX Runtime GenAI's model builder writes. They
// have seeded random weights, two layers, and tokens of one or two characters.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace sinter::support {

struct ModelSpec {
  enum class Qkv { kSeparate, kPacked, kPackedSplit };
  enum class QkNorm { kNone, kNodes, kAttentionInputs };
  enum class Bias { kNone, kAdd, kInput };  // bias of a projection: an Add after it, or input 5
  enum class Rope { kPlain, kIf, kConcatenated, kNodes };
  enum class Mlp { kSilu, kGelu, kExperts };

  std::string name;
  DType dtype = DType::kF32;
  uint32_t seed = 1;
  int64_t hidden = 64, layers = 2, vocab = 128, heads = 4, kv_heads = 2, head_size = 16;
  int64_t intermediate = 96, context = 128;

  int64_t bits = 4;  // 4 or 8; 16 for weights that are not quantized
  int64_t block = 32;
  bool zero_points = false;
  // Lets the embedding read the quantized head.
  bool tied = false;

  // Writes the mask's subgraph in the form for graph capture, where all lengths come from its sum.
  bool graph_mask = false;
  Qkv qkv = Qkv::kSeparate;
  QkNorm qk_norm = QkNorm::kNone;
  Bias bias = Bias::kNone;
  Rope rope = Rope::kPlain;
  // Longest sequence that uses the short factors, for kIf and kConcatenated.
  int64_t rope_threshold = 0;
  int64_t rotary_dim = 16;
  bool rotary_interleaved = false;
  int64_t local_window = -1;  // attention window of layer 0; -1 for none
  bool sinks = false;
  float attention_softcap = 0, logits_softcap = 0;
  // Writes Gemma's norms: in f32 with casts around them, and also after attention and MLP.
  bool wide_norms = false;
  // Writes norms as products, means, roots and quotients: RMS norms and layer norms by turns. Their
  // squares are beyond f16.
  bool spelled_norms = false;

  Mlp mlp = Mlp::kSilu;
  int64_t experts = 4, top_k = 2, swiglu_fusion = 1;
  bool normalize_routing = true;

  // genai_config.json
  std::vector<int64_t> eos = {126};
  std::string search = R"("do_sample": false)";
};

// Returns one model of each form, which its name describes.
std::vector<ModelSpec> AllModels();
// Returns the model of AllModels() with that name. Fails a check if there is none.
ModelSpec ModelNamed(const std::string& name);

// Builds the graph as it would be read from the file.
std::unique_ptr<graph::Graph> BuildGraph(const ModelSpec& spec);

// Writes model.onnx with its data, genai_config.json and tokenizer.json.
void WriteModelFolder(const ModelSpec& spec, const std::filesystem::path& folder);

// Reads the graph of a folder back from its file.
std::unique_ptr<graph::Graph> ReadGraph(const std::filesystem::path& folder);

// Returns the tokenizer's text of a token. Tokens 0 to 93 are one character and 94 to 125 two
// letters; 126 is `<|end|>` and 127 `<|pad|>`, both special.
std::string TokenText(int64_t id);

// A new folder under the system's temporary one, which the destructor removes with its contents.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Returns `count` random ids below `vocab`.
std::vector<int32_t> RandomTokens(size_t count, uint32_t seed, int64_t vocab = 128);

// Reference for a model's results: its graph, interpreted in double on whole sequences.
class ReferenceModel {
 public:
  explicit ReferenceModel(const ModelSpec& spec) : spec_(spec), graph_(BuildGraph(spec)) {}

  // Returns the logits after each token, [tokens][vocab]. `round` is interpret::InterpretOptions'
  // field.
  std::vector<std::vector<double>> Logits(const std::vector<int32_t>& tokens,
                                          bool round = false) const;

 private:
  ModelSpec spec_;
  std::unique_ptr<graph::Graph> graph_;
};

}  // namespace sinter::support
