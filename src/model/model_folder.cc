#include "model/model_folder.h"

#include "base/error.h"
#include "compile/lowering.h"
#include "graph/evaluate.h"
#include "graph/fused.h"
#include "graph/ops.h"
#include "onnx/reader.h"

namespace sinter::model {
namespace {

void CheckNodes(const graph::Graph& graph) {
  for (const auto& node : graph.nodes()) {
    const graph::OpSpec& spec = graph::CheckNode(*node);
    if (graph::IsFused(*node)) {
      throw Error("model", "{}: got an operator that only Sinter's rewrites make, want ONNX's own",
                  node->Describe());
    }
    // An If needs no kernel: Specialize replaces it with one of its branches. It is the only
    // operator without inference.
    if (spec.infer != nullptr && !compile::CanLower(node->domain(), node->op()) &&
        !graph::CanEvaluate(node->domain(), node->op())) {
      throw Error("model", "{}: got an operator without a GPU kernel, want one that has one",
                  node->Describe());
    }
    for (const auto& [name, attribute] : node->attributes) {
      if (const auto* body = std::get_if<std::shared_ptr<graph::Graph>>(&attribute))
        CheckNodes(**body);
    }
  }
}

// Checks the outputs that genai_config.json names and the sizes of the logits.
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

}  // namespace sinter::model
