// The parts that decoders are made of, as nodes of the graph that ONNX Runtime GenAI's model
// builder would write: the same operators, and the same names of inputs, outputs, nodes and
// weights. An architecture's file puts them together.
#pragma once

#include <fmt/format.h>

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
  // lm_head and the first and the last layer at 8 bits.
  bool mixed = false;
  // Of activations, norms and scales: kF16 or kF32.
  DType dtype = DType::kF16;
  // The norms of query and key as nodes instead of inputs of GroupQueryAttention.
  bool separate_qk_norm = false;
  // Everything from the mask's sum, so that all of the graph runs on the GPU; with LongRoPE one
  // table of both halves.
  bool graph_capture = false;
  // Off: weights as they are, in MatMul. What --verify compares with.
  bool quantize = true;
};

struct NormOptions {
  // Gemma's: the weight is stored without its 1, and the stream is f32.
  bool gemma = false;
};

struct MlpOptions {
  bool gelu = false;      // tanh's approximation; else SiLU
  bool fused_up = false;  // the checkpoint has one gate_up_proj, gate first
  bool bias = false;
};

class Decoder {
 public:
  using Value = graph::Value;

  // config and weights must outlive the decoder; weights also the sources.
  Decoder(const HfConfig& config, const DecoderOptions& options, Weights& weights);

  int64_t layers() const { return config_.layers; }
  const HfConfig& config() const { return config_; }

  // A pair of tables.
  struct Rotary {
    Value *cos = nullptr, *sin = nullptr;
  };
  // cos_cache and sin_cache with `suffix`.
  Rotary RotaryCaches(const RopeConfig& rope, const std::string& suffix = "");

  // The residual stream begins as the tokens' embeddings times `scale`.
  void Embed(double scale = 1);
  // Adds to the residual stream, with the next norm.
  void Add(Value* x) { pending_ = x; }

  // The norm of the residual stream; `name` is both the GenAI name and the checkpoint's.
  Value* Norm(int64_t layer, const std::string& name, NormOptions options = {});
  Value* FinalNorm(NormOptions options = {});
  // The norm of `x`, which is not part of the stream yet.
  Value* BranchNorm(int64_t layer, const std::string& name, Value* x, NormOptions options = {});

  struct AttentionOptions {
    const Rotary* rotary = nullptr;  // null: positions are not encoded
    bool qk_norm = false, gemma_norm = false;
    bool qkv_bias = false, output_bias = false;
    bool fused_qkv = false;  // the checkpoint has one qkv_proj
    bool sinks = false;
    std::optional<int64_t> window;
    std::optional<double> scale;  // of the scores; 1 / sqrt(head_size) by default
    double softcap = 0;
  };
  Value* Attention(int64_t layer, Value* x, const AttentionOptions& options);

  Value* GatedMlp(int64_t layer, Value* x, const MlpOptions& options = {});

  struct Experts {
    std::string router;  // the checkpoint's name, without .weight
    bool router_bias = false;
    int64_t count = 0, chosen = 0, intermediate = 0;
    // Gate and up in turn: [count * 2 * intermediate, hidden]; [count * hidden, intermediate].
    Matrix gate_up, down;
    // Of all experts, or empty.
    std::vector<float> gate_up_bias, down_bias;
    bool normalize = true;
    float alpha = 1, beta = 0;
    std::optional<float> limit;
  };
  Value* MixtureOfExperts(int64_t layer, Value* x, const Experts& experts);

  // The logits; `softcap` 0 for none.
  void Head(Value* x, double softcap = 0);

  Weights& weights() { return weights_; }
  static std::string LayerPrefix(int64_t layer) { return fmt::format("model.layers.{}.", layer); }

  struct Result {
    std::unique_ptr<graph::Graph> graph;
    std::map<std::string, onnx::TensorSource, std::less<>> sources;
    // With LongRoPE for graph capture: the row where the long half begins.
    std::optional<int64_t> multi_rotary_offset;
  };
  Result Finish();

 private:
  using Attributes = std::map<std::string, graph::Attribute, std::less<>>;

  void AddInputs();
  void AddMask();
  Value* Op(const std::string& name, const char* domain, const char* op, std::vector<Value*> inputs,
            Attributes attributes, std::vector<std::string> outputs);
  Value* Op(const std::string& name, const char* op, std::vector<Value*> inputs,
            Attributes attributes = {});
  Value* Cast(const std::string& name, Value* x, DType to);
  Value* Ints(std::vector<int64_t> values, DType dtype = DType::kI64);
  Value* Int(int64_t value);
  // Constants: one whose bytes come from a source, one of floats, a norm's weight.
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
  // x times the matrix, plus the bias of the checkpoint tensors `biases` where there are any.
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
  Value* mask_length_ = nullptr;  // i64, in the plain form of the mask
  std::vector<std::pair<Value*, Value*>> past_;
  std::map<std::vector<int64_t>, Value*> ints_;
  // The residual stream, and what the next norm adds to it.
  Value *stream_ = nullptr, *pending_ = nullptr;
  std::optional<QuantizedWeight> head_;
};

}  // namespace sinter::convert
