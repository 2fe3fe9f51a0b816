#include <fmt/format.h>

#include <random>

#include "interpret/interpreter.h"
#include "passes/pipeline.h"
#include "passes/specialize.h"
#include "passes/widen_reductions.h"
#include "support/model_builder.h"

namespace sinter::support {

std::vector<int32_t> RandomTokens(size_t count, uint32_t seed, int64_t vocab) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens)
    token = static_cast<int32_t>(random() % static_cast<uint32_t>(vocab));
  return tokens;
}

std::vector<std::vector<double>> ReferenceModel::Logits(const std::vector<int32_t>& tokens,
                                                        bool round) const {
  const auto length = static_cast<int64_t>(tokens.size());
  const std::unique_ptr<graph::Graph> symbolic = graph_->Clone();
  if (spec_.rope == ModelSpec::Rope::kConcatenated) {
    // Applies the provider option multiRotaryCacheConcatOffset; it needs no other rewrite.
    passes::PassOptions options;
    options.disabled = {"last_row_logits"};
    options.multi_rotary_offset = spec_.rope_threshold;
    passes::RunPasses(*symbolic, passes::Stage::kModel, options);
  }
  const auto graph = passes::Specialize(*symbolic, {{"batch_size", 1},
                                                    {"sequence_length", length},
                                                    {"past_sequence_length", 0},
                                                    {"total_sequence_length", length}});
  // Programs keep these values in f32, so they are not rounded to f16 here either.
  if (round) passes::WidenReductions(*graph, {});
  interpret::HostTensors inputs;
  inputs["input_ids"] = {DType::kI64, {1, length}, {tokens.begin(), tokens.end()}, {}};
  inputs["attention_mask"] = {DType::kI64, {1, length}, std::vector<double>(tokens.size(), 1), {}};
  if (spec_.rope == ModelSpec::Rope::kNodes) {
    interpret::HostTensor positions{DType::kI64, {1, length}, {}, {}};
    for (int64_t i = 0; i < length; ++i) positions.values.push_back(static_cast<double>(i));
    inputs["position_ids"] = std::move(positions);
  }
  for (int64_t layer = 0; layer < spec_.layers; ++layer) {
    for (const char* what : {"key", "value"}) {
      inputs[fmt::format("past_key_values.{}.{}", layer, what)] = {
          spec_.dtype, {1, spec_.kv_heads, 0, spec_.head_size}, {}, {}};
    }
  }
  const interpret::HostTensor logits = interpret::Interpret(*graph, inputs, {round}).at("logits");
  std::vector<std::vector<double>> rows;
  for (auto row = logits.values.begin(); row != logits.values.end(); row += spec_.vocab) {
    rows.emplace_back(row, row + spec_.vocab);
  }
  return rows;
}

}  // namespace sinter::support
