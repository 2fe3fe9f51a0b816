#include "model/rewrite.h"

#include <algorithm>

#include "base/error.h"
#include "passes/pipeline.h"
#include "passes/specialize.h"

namespace sinter::model {
namespace {

const graph::Value& Input(const graph::Graph& graph, const std::string& name, size_t rank) {
  const graph::Value* value = graph.FindValue(name);
  if (value == nullptr ||
      std::find(graph.inputs().begin(), graph.inputs().end(), value) == graph.inputs().end()) {
    throw Error("model",
                "graph input '{}': got none of that name, want it as genai_config.json says", name);
  }
  if (!value->dims || value->dims->size() != rank) {
    throw Error("model", "graph input '{}': got {} dimensions, want {}", name,
                value->dims ? value->dims->size() : 0, rank);
  }
  return *value;
}

passes::PassOptions PassOptionsFor(const GenaiConfig& config, const RewriteOptions& options) {
  passes::PassOptions pass_options;
  pass_options.fusion = options.fusion.value_or(passes::Fusion::kLayer);
  pass_options.disabled = options.disabled_passes;
  pass_options.multi_rotary_offset = config.multi_rotary_offset;
  pass_options.attention_mask = config.attention_mask;
  pass_options.logits = config.logits;
  return pass_options;
}

}  // namespace

std::map<std::string, int64_t> BindDims(const graph::Graph& graph, const GenaiConfig& config,
                                        const ProgramShape& shape, int64_t total) {
  std::map<std::string, int64_t> dims;
  const auto bind = [&](const graph::Value& value, size_t axis, int64_t number) {
    const graph::Dim& dim = (*value.dims)[axis];
    if (dim.known()) {
      if (dim.value != number) {
        throw Error("model", "graph input '{}', dimension {}: got {}, want {} or a symbol",
                    value.name(), axis, dim.value, number);
      }
      return;
    }
    if (dim.symbol.empty()) {
      throw Error("model", "graph input '{}', dimension {}: got neither a number nor a symbol",
                  value.name(), axis);
    }
    const auto [it, fresh] = dims.try_emplace(dim.symbol, number);
    if (!fresh && it->second != number) {
      throw Error(
          "model",
          "graph input '{}', dimension {}: got '{}' as {} and as {}, want one size a symbol",
          value.name(), axis, dim.symbol, it->second, number);
    }
  };
  const graph::Value& ids = Input(graph, config.input_ids, 2);
  bind(ids, 0, 1);
  bind(ids, 1, shape.sequence);
  // Binds the mask's length even if the rewrites no longer need the mask, because other dimensions
  // use its symbol for the real length.
  if (graph.FindValue(config.attention_mask) != nullptr) {
    const graph::Value& mask = Input(graph, config.attention_mask, 2);
    bind(mask, 0, 1);
    bind(mask, 1, total);
  }
  if (graph.FindValue(config.position_ids) != nullptr) {
    const graph::Value& positions = Input(graph, config.position_ids, 2);
    bind(positions, 0, 1);
    bind(positions, 1, shape.sequence);
  }
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    for (const std::string& pattern : {config.past_key_names, config.past_value_names}) {
      const graph::Value& past = Input(graph, LayerName(pattern, layer), 4);
      bind(past, 0, 1);
      bind(past, 1, config.num_key_value_heads);
      bind(past, 2, shape.capacity);
      bind(past, 3, config.head_size);
    }
  }
  return dims;
}

void Rewrite(graph::Graph& graph, const GenaiConfig& config, const RewriteOptions& options) {
  passes::RunPasses(graph, passes::Stage::kModel, PassOptionsFor(config, options));
}

std::unique_ptr<graph::Graph> SpecializeFor(const graph::Graph& graph, const GenaiConfig& config,
                                            const ProgramShape& shape, int64_t length,
                                            const RewriteOptions& options) {
  std::unique_ptr<graph::Graph> special =
      passes::Specialize(graph, BindDims(graph, config, shape, shape.capacity),
                         BindDims(graph, config, shape, length));
  passes::RunPasses(*special, passes::Stage::kProgram, PassOptionsFor(config, options));
  return special;
}

}  // namespace sinter::model
