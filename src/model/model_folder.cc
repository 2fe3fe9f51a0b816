#include "model/model_folder.h"

#include <set>
#include <system_error>

#include "base/error.h"
#include "compile/lowering.h"
#include "graph/evaluate.h"
#include "graph/fused.h"
#include "graph/gqa_inputs.h"
#include "graph/ops.h"
#include "model/check_lowering.h"
#include "onnx/reader.h"

namespace sinter::model {
namespace {

void CheckNodes(const graph::Graph& graph) {
  for (const auto& node : graph.nodes()) {
    const graph::OpSpec& spec = graph::CheckNode(*node);
    if (graph::IsFused(*node)) {
      throw Error("model",
                  "{}: got an internal operator of Sinter, want one of ONNX or com.microsoft",
                  node->Describe());
    }
    // CheckLowering sees only the nodes of the branch that is taken. An If needs no kernel:
    // Specialize replaces it with one of its branches. It is the only operator without inference.
    if (spec.infer != nullptr && !compile::CanLower(node->domain(), node->op()) &&
        !graph::CanEvaluate(node->domain(), node->op())) {
      throw Error("model", "{}: got an operator without a GPU kernel, want a supported one",
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
      throw Error(
          "model",
          "graph output '{}': got no such output, want it, because genai_config.json names it",
          name);
    }
    return *value;
  };
  const graph::Value& logits = output(config.logits);
  if (logits.dims && !logits.dims->empty() && logits.dims->back().known() &&
      logits.dims->back().value != config.vocab_size) {
    throw Error(
        "model",
        "graph output '{}': got {} logits per token, want {} (vocab_size of genai_config.json)",
        config.logits, logits.dims->back().value, config.vocab_size);
  }
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    output(LayerName(config.present_key_names, layer));
    output(LayerName(config.present_value_names, layer));
  }
}

// Checks that the configuration names every input that a node reads.
void CheckInputs(const graph::Graph& graph, const GenaiConfig& config) {
  std::set<std::string> known = {config.input_ids, config.attention_mask, config.position_ids};
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    known.insert(LayerName(config.past_key_names, layer));
    known.insert(LayerName(config.past_value_names, layer));
  }
  for (const graph::Value* input : graph.inputs()) {
    if (known.contains(input->name())) continue;
    if (input->uses().empty() && !input->is_graph_output() && !graph.IsCaptured(input)) continue;
    throw Error("model",
                "graph input '{}': got an input that genai_config.json does not name, want only "
                "'{}', '{}', '{}' and the KV cache of {} layers ('{}', '{}')",
                input->name(), config.input_ids, config.attention_mask, config.position_ids,
                config.num_hidden_layers, config.past_key_names, config.past_value_names);
  }
}

// Checks that attention updates each layer's cache in place. A branch of an If may do so, too; then
// FindRunForm checks the branch.
void CheckCache(const graph::Graph& graph, const GenaiConfig& config) {
  const auto check = [&](const std::string& present, const std::string& past, size_t input) {
    const graph::Node* node = graph.FindValue(present)->producer();
    if (node != nullptr && node->op() == "If" && node->domain().empty()) return;
    const bool in_place = node != nullptr && node->op() == "GroupQueryAttention" &&
                          node->domain() == "com.microsoft" && node->input(input) != nullptr &&
                          node->input(input)->name() == past;
    if (in_place) return;
    throw Error("model",
                "graph output '{}': got {}, want a GroupQueryAttention that updates the cache '{}' "
                "in place (Sinter has no other KV cache)",
                present, node == nullptr ? "no node" : node->Describe(), past);
  };
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    check(LayerName(config.present_key_names, layer), LayerName(config.past_key_names, layer),
          graph::kPastKey);
    check(LayerName(config.present_value_names, layer), LayerName(config.past_value_names, layer),
          graph::kPastValue);
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
  std::error_code ignored;  // of links in a circle, say
  if (!std::filesystem::is_directory(path, ignored)) {
    throw Error("model",
                "'{}': got {}, want a model folder (genai_config.json, model.onnx, tokenizer.json)",
                path.string(), std::filesystem::exists(path, ignored) ? "a file" : "nothing there");
  }
  return Read(std::make_shared<FolderFiles>(path), path);
}

ModelFolder ModelFolder::Read(const std::shared_ptr<const FileSource>& files,
                              std::filesystem::path path) {
  ModelFolder folder;
  folder.path = std::move(path);
  folder.config = ReadGenaiConfig(*files);
  folder.graph = onnx::ReadModel(files, folder.config.filename);
  CheckNodes(*folder.graph);
  CheckOutputs(*folder.graph, folder.config);
  CheckInputs(*folder.graph, folder.config);
  CheckCache(*folder.graph, folder.config);
  folder.run_form = FindRunForm(*folder.graph, folder.config);
  CheckLowering(*folder.graph, folder.config, folder.run_form);
  return folder;
}

uint64_t ModelFolder::weight_bytes() const { return ConstantBytes(*graph); }

}  // namespace sinter::model
