// Small model folders for tests, in the forms that ONNX Runtime GenAI's model builder writes:
// seeded random weights, two layers, a vocabulary of single characters.
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
  enum class Bias { kNone, kAdd, kInput };  // of the projections: an Add behind, or input 5
  enum class Rope { kPlain, kIf, kConcatenated, kNodes };
  enum class Mlp { kSilu, kGelu, kExperts };

  std::string name;
  DType dtype = DType::kF32;
  uint32_t seed = 1;
  int64_t hidden = 64, layers = 2, vocab = 128, heads = 4, kv_heads = 2, head_size = 16;
  int64_t intermediate = 96, context = 128;

  int64_t bits = 4;  // 4 or 8; 16: not quantized
  int64_t block = 32;
  bool zero_points = false;
  // The embedding reads the quantized head.
  bool tied = false;

  // The form of the mask's subgraph: for graph capture everything comes from its sum.
  bool graph_mask = false;
  Qkv qkv = Qkv::kSeparate;
  QkNorm qk_norm = QkNorm::kNone;
  Bias bias = Bias::kNone;
  Rope rope = Rope::kPlain;
  // kIf and kConcatenated: the longest sequence that the short factors are for.
  int64_t rope_threshold = 0;
  int64_t rotary_dim = 16;
  bool rotary_interleaved = false;
  int64_t local_window = -1;  // of layer 0
  bool sinks = false;
  float attention_softcap = 0, logits_softcap = 0;
  // Gemma's: norms in f32 with casts around them, and behind attention and MLP too.
  bool wide_norms = false;

  Mlp mlp = Mlp::kSilu;
  int64_t experts = 4, top_k = 2, swiglu_fusion = 1;
  bool normalize_routing = true;

  // genai_config.json
  std::vector<int64_t> eos = {126};
  std::string search = R"("do_sample": false)";
};

// One of each form; the names tell which.
std::vector<ModelSpec> AllModels();
// The one of AllModels() by that name.
ModelSpec ModelNamed(const std::string& name);

// The graph as it would be read from the file.
std::unique_ptr<graph::Graph> BuildGraph(const ModelSpec& spec);

// model.onnx with its data, genai_config.json and tokenizer.json.
void WriteModelFolder(const ModelSpec& spec, const std::filesystem::path& folder);

// The graph of a folder, read back from the file.
std::unique_ptr<graph::Graph> ReadGraph(const std::filesystem::path& folder);

// The tokenizer's text of a token: a character from 0 to 93, two letters from 94 to 125; 126 is
// `<|end|>` and 127 `<|pad|>`, both special.
std::string TokenText(int64_t id);

// A folder of its own under the system's temporary one, removed with everything in it.
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

// `count` ids below `vocab`.
std::vector<int32_t> RandomTokens(size_t count, uint32_t seed, int64_t vocab = 128);

// What the model must give: its graph, interpreted in double on whole sequences.
class ReferenceModel {
 public:
  explicit ReferenceModel(const ModelSpec& spec) : spec_(spec), graph_(BuildGraph(spec)) {}

  // The logits after each token, [tokens][vocab]. `round` as in interpret::InterpretOptions.
  std::vector<std::vector<double>> Logits(const std::vector<int32_t>& tokens,
                                          bool round = false) const;

 private:
  ModelSpec spec_;
  std::unique_ptr<graph::Graph> graph_;
};

}  // namespace sinter::support
