#include "model/rewrite.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "compile/lowering.h"
#include "passes/pipeline.h"
#include "passes/specialize.h"
#include "passes/step_analysis.h"

namespace sinter::model {
namespace {

const graph::Value& Input(const graph::Graph& graph, const std::string& name, size_t rank) {
  const graph::Value* value = graph.FindValue(name);
  if (value == nullptr ||
      std::find(graph.inputs().begin(), graph.inputs().end(), value) == graph.inputs().end()) {
    throw Error("model",
                "graph input '{}': got no such input, want it, because genai_config.json names it",
                name);
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

// Sizes of a program that stands for all when a graph is checked. They are odd and different, so
// that no operator takes one for another or for a size of the model.
constexpr ProgramShape kProbe = {.sequence = 7, .capacity = 13};

// Returns the graph of a program before its rewrites. Sets `one_row` unless it is null.
std::unique_ptr<graph::Graph> SpecializeOnly(const graph::Graph& graph, const GenaiConfig& config,
                                             const ProgramShape& shape, int64_t length,
                                             bool* one_row) {
  passes::StepRoles roles;
  roles.input_ids = config.input_ids;
  roles.attention_mask = config.attention_mask;
  roles.position_ids = config.position_ids;
  roles.logits = config.logits;
  roles.results = {config.logits};
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    for (const std::string& names : {config.past_key_names, config.past_value_names})
      roles.caches.insert(LayerName(names, layer));
    for (const std::string& names : {config.present_key_names, config.present_value_names})
      roles.results.insert(LayerName(names, layer));
  }
  roles.exact = shape.exact;
  // Conditions depend on the sequence's total length only, so one new token after the others stands
  // for every run that ends at this length.
  return passes::Specialize(
      graph, BindDims(graph, config, shape, shape.capacity),
      BindDims(graph, config, {.sequence = 1, .capacity = length - 1}, length), &roles, one_row);
}

// Throws StepError if a node has no GPU kernel: one that is folded in other graphs, but here
// computes with numbers that change from run to run.
void CheckKernels(const graph::Graph& graph) {
  for (const auto& node : graph.nodes()) {
    if (compile::CanLower(node->domain(), node->op())) continue;
    throw passes::StepError(fmt::format(
        "{}: got numbers that are known only when the model runs, want constants: the operator has "
        "no GPU kernel",
        node->Describe()));
  }
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
          "graph input '{}', dimension {}: got '{}' as {} and as {}, want one size for each symbol",
          value.name(), axis, dim.symbol, it->second, number);
    }
  };
  const graph::Value& ids = Input(graph, config.input_ids, 2);
  bind(ids, 0, shape.batch);
  bind(ids, 1, shape.sequence);
  // Binds the mask's length even if the rewrites no longer need the mask, because other dimensions
  // use its symbol for the real length.
  if (graph.FindValue(config.attention_mask) != nullptr) {
    const graph::Value& mask = Input(graph, config.attention_mask, 2);
    bind(mask, 0, shape.batch);
    bind(mask, 1, total);
  }
  if (graph.FindValue(config.position_ids) != nullptr) {
    const graph::Value& positions = Input(graph, config.position_ids, 2);
    bind(positions, 0, shape.batch);
    bind(positions, 1, shape.sequence);
  }
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    for (const std::string& pattern : {config.past_key_names, config.past_value_names}) {
      const graph::Value& past = Input(graph, LayerName(pattern, layer), 4);
      bind(past, 0, shape.batch);
      bind(past, 1, config.num_key_value_heads);
      bind(past, 2, shape.capacity);
      bind(past, 3, config.head_size);
    }
  }
  return dims;
}

void Rewrite(graph::Graph& graph, const GenaiConfig& config, const RewriteOptions& options,
             bool one_row) {
  passes::PassOptions pass_options = PassOptionsFor(config, options);
  if (one_row) pass_options.disabled.insert("last_row_logits");
  passes::RunPasses(graph, passes::Stage::kModel, pass_options);
}

std::unique_ptr<graph::Graph> SpecializeFor(const graph::Graph& graph, const GenaiConfig& config,
                                            const ProgramShape& shape, int64_t length,
                                            const RewriteOptions& options) {
  std::unique_ptr<graph::Graph> special = SpecializeOnly(graph, config, shape, length, nullptr);
  passes::PassOptions pass_options = PassOptionsFor(config, options);
  pass_options.sequences = shape.batch;
  passes::RunPasses(*special, passes::Stage::kProgram, pass_options);
  return special;
}

RunForm FindRunForm(const graph::Graph& graph, const GenaiConfig& config) {
  RunForm form;
  ProgramShape shape = kProbe;
  const auto specialize = [&] {
    const auto special = SpecializeOnly(graph, config, shape, kProbe.capacity, &form.one_row);
    CheckKernels(*special);
  };
  try {
    specialize();
    return form;
  } catch (const passes::StepError& error) {
    form.reason = error.reason();
  }
  form.exact = shape.exact = true;
  specialize();
  return form;
}

}  // namespace sinter::model
