// Builder for the parts of a decoder. It makes the graph that ONNX Runtime GenAI's model builder
// would write, with the same operators and the same names of inputs, outputs, nodes and weights.
// Each architecture's file calls these parts in order.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "convert/hf_config.h"
#include "convert/quantize.h"
#include "convert/rotary.h"
#include "convert/weights.h"
#include "graph/graph.h"
#include "onnx/writer.h"

namespace sinter::convert {

struct DecoderOptions {
  QuantFormat format;
  int64_t accuracy_level = 0;
  // Quantizes lm_head and the first and last layers to 8 bits instead of format.bits.
  bool mixed = false;
  // Type of activations, norms and scales: kF16 or kF32.
  DType dtype = DType::kF16;
  // Writes the norms of query and key as nodes of their own instead of as inputs of
  // GroupQueryAttention.
  bool separate_qk_norm = false;
  // Derives all lengths from the mask's sum, so that the whole graph can run on the GPU. With
  // LongRoPE, concatenates the short and the long table instead of choosing one with an If.
  bool graph_capture = false;
  // Quantizes the weights. Without it they stay plain, in MatMul and MoE nodes, which is the form
  // that --verify compares with.
  bool quantize = true;
};

struct NormOptions {
  // Gemma's norm: the checkpoint stores the weight minus 1, and the residual stream is f32.
  bool gemma = false;
};

struct MlpOptions {
  bool gelu = false;      // GELU in its tanh approximation instead of SiLU
  bool fused_up = false;  // the checkpoint has one gate_up_proj, gate first
  bool bias = false;
};

class Decoder {
 public:
  using Value = graph::Value;

  // config, options and weights must outlive the decoder. weights must also outlive the sources of
  // the result.
  Decoder(const HfConfig& config, const DecoderOptions& options, Weights& weights);

  int64_t layers() const { return config_.layers; }
  const HfConfig& config() const { return config_; }

  // Tables of cosines and sines, each [rows, rotary_dim / 2].
  struct Rotary {
    Value *cos = nullptr, *sin = nullptr;
  };
  // Adds the tables as values named cos_cache and sin_cache plus `suffix`.
  Rotary RotaryCaches(const RopeConfig& rope, const std::string& suffix = "");

  // Starts the residual stream with the tokens' embeddings times `scale`.
  void Embed(double scale = 1);
  // Adds `x` to the residual stream. The next norm's SkipSimplifiedLayerNormalization does it.
  void Add(Value* x) { pending_ = x; }

  // Returns the norm of the residual stream. The graph and the checkpoint both call it `name`.
  Value* Norm(int64_t layer, const std::string& name, NormOptions options = {});
  Value* FinalNorm(NormOptions options = {});
  // Returns the norm of `x`, a branch that is not yet added to the residual stream.
  Value* BranchNorm(int64_t layer, const std::string& name, Value* x, NormOptions options = {});

  struct AttentionOptions {
    const Rotary* rotary = nullptr;  // null: positions are not encoded
    bool qk_norm = false, gemma_norm = false;
    bool qkv_bias = false, output_bias = false;
    bool fused_qkv = false;  // the checkpoint has one qkv_proj
    bool sinks = false;
    std::optional<int64_t> window;
    std::optional<double> scale;  // factor of the scores; 1 / sqrt(head_size) by default
  };
  Value* Attention(int64_t layer, Value* x, const AttentionOptions& options);

  Value* GatedMlp(int64_t layer, Value* x, const MlpOptions& options = {});

  struct Experts {
    std::string router;  // the checkpoint's name, without .weight
    bool router_bias = false;
    int64_t count = 0, chosen = 0, intermediate = 0;
    // gate_up is [count * 2 * intermediate, hidden]; its rows alternate between gate and up. down
    // is [count * hidden, intermediate].
    Matrix gate_up, down;
    // Biases of all experts concatenated, or empty.
    std::vector<float> gate_up_bias, down_bias;
    bool normalize = true;
    float alpha = 1, beta = 0;
    std::optional<float> limit;
  };
  Value* MixtureOfExperts(int64_t layer, Value* x, const Experts& experts);

  // Adds the logits and the other outputs. With a `softcap` c other than 0 the logits become
  // c * tanh(logits / c).
  void Head(Value* x, double softcap = 0);

  Weights& weights() { return weights_; }
  static std::string LayerPrefix(int64_t layer) { return fmt::format("model.layers.{}.", layer); }

  struct Result {
    std::unique_ptr<graph::Graph> graph;
    std::map<std::string, onnx::TensorSource, std::less<>> sources;
    // Row where the long table begins in the concatenated LongRoPE tables; set for graph capture.
    std::optional<int64_t> multi_rotary_offset;
  };
  Result Finish();

 private:
  using Attributes = std::map<std::string, graph::Attribute, std::less<>>;

  void AddInputs();
  void AddMask();
  Value* Op(const std::string& name, const char* domain, const char* op, std::vector<Value*> inputs,
            Attributes attributes, const std::vector<std::string>& outputs);
  Value* Op(const std::string& name, const char* op, std::vector<Value*> inputs,
            Attributes attributes = {});
  Value* Cast(const std::string& name, Value* x, DType to);
  Value* Ints(std::vector<int64_t> values, DType dtype = DType::kI64);
  Value* Int(int64_t value);
  // Add a constant: one whose bytes come from `source` when the model is written, one of floats,
  // and a norm's weight.
  Value* Lazy(const std::string& name, DType dtype, graph::Shape shape, onnx::TensorSource source);
  Value* Floats(const std::string& name, DType dtype, graph::Shape shape,
                std::span<const float> values);
  Value* NormWeight(const std::string& name, const std::string& tensor, int64_t count,
                    const NormOptions& options);

  struct QuantizedWeight {
    QuantFormat format;
    Value *codes = nullptr, *scales = nullptr, *zero_points = nullptr;
  };
  QuantFormat FormatOf(std::optional<int64_t> layer) const;
  QuantizedWeight AddQuantized(const std::string& name, const QuantFormat& format,
                               const Matrix& matrix);
  Value* MatMul(const std::string& name, Value* x, const QuantizedWeight& weight, int64_t n,
                int64_t k, const std::string& output = "");
  // Returns x times the matrix, plus the concatenation of the checkpoint's bias tensors `biases` if
  // there are any.
  Value* Linear(const std::string& name, std::optional<int64_t> layer, Value* x,
                const Matrix& matrix, const std::vector<std::string>& biases = {});
  Value* QkNorm(const std::string& name, Value* x, int64_t heads, Value* weight);
  Value* NormOf(const std::string& name, Value* x, Value* weight);

  graph::Tensor RotaryTable(const RotaryAngles& angles, int64_t rows, bool sine) const;
  Rotary LongRopeCaches(const RopeConfig& rope, const std::string& suffix);

  const HfConfig& config_;
  const DecoderOptions& options_;
  Weights& weights_;
  Result result_;
  graph::Graph& graph_;
  Value *ids_ = nullptr, *mask_ = nullptr, *seqlens_ = nullptr, *total_ = nullptr;
  Value* mask_length_ = nullptr;  // length of the mask, i64; null for graph capture
  std::vector<std::pair<Value*, Value*>> past_;
  std::map<std::vector<int64_t>, Value*> ints_;
  // The residual stream, and the branch that the next norm adds to it.
  Value *stream_ = nullptr, *pending_ = nullptr;
  std::optional<QuantizedWeight> head_;
};

}  // namespace sinter::convert
