#include "model/model.h"

#include <algorithm>

#include "base/error.h"
#include "graph/fused.h"
#include "graph/ops.h"
#include "onnx/reader.h"
#include "passes/pipeline.h"
#include "passes/specialize.h"

namespace sinter::model {
namespace {

void CheckNodes(const graph::Graph& graph) {
  for (const auto& node : graph.nodes()) {
    graph::CheckNode(*node);
    if (graph::IsFused(*node)) {
      throw Error("model", "{}: got an operator that only Sinter's rewrites make, want ONNX's own",
                  node->Describe());
    }
    for (const auto& [name, attribute] : node->attributes) {
      if (const auto* body = std::get_if<std::shared_ptr<graph::Graph>>(&attribute))
        CheckNodes(**body);
    }
  }
}

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

// The outputs that genai_config.json names, where the sizes of the logits are its own.
void CheckOutputs(const graph::Graph& graph, const GenaiConfig& config) {
  const auto output = [&](const std::string& name) -> const graph::Value& {
    const graph::Value* value = graph.FindValue(name);
    if (value == nullptr || !value->is_graph_output()) {
      throw Error("model",
                  "graph output '{}': got none of that name, want it as genai_config.json says",
                  name);
    }
    return *value;
  };
  const graph::Value& logits = output(config.logits);
  if (logits.dims && !logits.dims->empty() && logits.dims->back().known() &&
      logits.dims->back().value != config.vocab_size) {
    throw Error(
        "model",
        "graph output '{}': got {} logits a token, want {} (vocab_size of genai_config.json)",
        config.logits, logits.dims->back().value, config.vocab_size);
  }
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    output(LayerName(config.present_key_names, layer));
    output(LayerName(config.present_value_names, layer));
  }
}

passes::PassOptions PassOptionsFor(const GenaiConfig& config, const ModelOptions& options) {
  passes::PassOptions pass_options;
  pass_options.fusion = options.fusion.value_or(passes::Fusion::kLayer);
  pass_options.disabled = options.disabled_passes;
  pass_options.multi_rotary_offset = config.multi_rotary_offset;
  pass_options.attention_mask = config.attention_mask;
  pass_options.logits = config.logits;
  return pass_options;
}

uint64_t ConstantBytes(const graph::Graph& graph) {
  uint64_t bytes = 0;
  for (const graph::Value* value : graph.values()) {
    if (value->constant) bytes += value->constant->bytes.size();
  }
  for (const auto& node : graph.nodes()) {
    for (const auto& [name, attribute] : node->attributes) {
      if (const auto* body = std::get_if<std::shared_ptr<graph::Graph>>(&attribute))
        bytes += ConstantBytes(**body);
    }
  }
  return bytes;
}

}  // namespace

ModelFolder ModelFolder::Read(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) {
    throw Error("model",
                "'{}': got {}, want a model folder (genai_config.json, model.onnx, tokenizer.json)",
                path.string(), std::filesystem::exists(path) ? "a file" : "nothing there");
  }
  ModelFolder folder;
  folder.path = path;
  folder.config = ReadGenaiConfig(path / "genai_config.json");
  const std::filesystem::path file = path / folder.config.filename;
  folder.graph = onnx::ReadModel(file);
  CheckNodes(*folder.graph);
  CheckOutputs(*folder.graph, folder.config);
  return folder;
}

uint64_t ModelFolder::weight_bytes() const { return ConstantBytes(*graph); }

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
  // The rewrites may have made the mask superfluous, but its length is still what the real length
  // is called by.
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

void Rewrite(graph::Graph& graph, const GenaiConfig& config, const ModelOptions& options) {
  passes::RunPasses(graph, passes::Stage::kModel, PassOptionsFor(config, options));
}

std::unique_ptr<graph::Graph> SpecializeFor(const graph::Graph& graph, const GenaiConfig& config,
                                            const ProgramShape& shape, int64_t length,
                                            const ModelOptions& options) {
  std::unique_ptr<graph::Graph> special =
      passes::Specialize(graph, BindDims(graph, config, shape, shape.capacity),
                         BindDims(graph, config, shape, length));
  passes::RunPasses(*special, passes::Stage::kProgram, PassOptionsFor(config, options));
  return special;
}

std::shared_ptr<Model> Model::Load(const std::filesystem::path& path,
                                   std::shared_ptr<gpu::Device> device,
                                   const ModelOptions& options) {
  return std::make_shared<Model>(ModelFolder::Read(path), std::move(device), options);
}

Model::Model(ModelFolder folder, std::shared_ptr<gpu::Device> device, const ModelOptions& options)
    : folder_(std::move(folder)),
      device_(std::move(device)),
      options_(options),
      weights_(device_),
      plans_(device_->adapter(), device_->options().cache_dir) {
  Rewrite(*folder_.graph, folder_.config, options_);
  if (options_.progress) {
    weights_.set_progress(
        [progress = options_.progress, total = folder_.weight_bytes()](uint64_t done) {
          // Widened and narrowed elements make the bytes uploaded differ from the file's.
          progress(std::min(done, total), total);
        });
  }
}

std::unique_ptr<graph::Graph> Model::Specialize(const ProgramShape& shape, int64_t length) const {
  return SpecializeFor(graph(), config(), shape, length, options_);
}

std::vector<bool> Model::BranchDecisions(int64_t length) const {
  return passes::BranchDecisions(graph(), BindDims(graph(), config(), {1, length}, length));
}

}  // namespace sinter::model
