// sinter inspect: shows what a model folder holds and how much memory it will take, without loading
// it.

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/bytes_text.h"
#include "base/error.h"
#include "cli/commands.h"
#include "cli/load.h"
#include "cli/model_args.h"
#include "cli/standard_io.h"
#include "cli/status.h"
#include "graph/attention.h"
#include "graph/text.h"
#include "model/chunking.h"
#include "model/memory_estimate.h"

namespace sinter::cli {
namespace {

constexpr char kInspectFooter[] =
    R"(Nothing is loaded and no GPU is needed; with --device the estimate is for that adapter. What a
prompt needs in runs of more than 512 tokens, as quick GPUs take them, is in it with --chunk only.

Examples:
  sinter inspect models/demo
  sinter inspect models/demo --max-length 256 --json
  sinter inspect models/demo --graph | less
  sinter inspect models/demo --program --fusion none | less)";

struct InspectArgs {
  ModelArgs model;
  bool tensors = false;
  bool graph = false;
  bool program = false;
};

// Returns for each node of the graph, in order, whether it is a layer's attention.
std::vector<bool> AttentionNodes(const graph::Graph& graph) {
  std::vector<bool> attends;
  for (const auto& node : graph.nodes()) {
    attends.push_back(graph::IsAttention(*node) ||
                      (node->domain() == "com.microsoft" && node->op() == "GroupQueryAttention"));
  }
  return attends;
}

// Returns the dispatches from the first layer's attention to the last layer's, divided by the
// number of layers between. Returns all dispatches if there is only one layer.
double DispatchesPerLayer(const graph::Graph& graph, const compile::Lowered& lowered) {
  const std::vector<bool> attends = AttentionNodes(graph);
  std::vector<size_t> begins;
  std::optional<size_t> last;
  for (size_t i = 0; i < lowered.dispatches.size(); ++i) {
    // A node may have several dispatches; they are consecutive and count once.
    for (const size_t node : lowered.dispatches[i].nodes) {
      if (attends[node] && node != last) begins.push_back(i);
      last = node;
    }
  }
  if (begins.size() < 2) return static_cast<double>(lowered.dispatches.size());
  return static_cast<double>(begins.back() - begins.front()) /
         static_cast<double>(begins.size() - 1);
}

// Returns the largest number of layers that one dispatch runs.
size_t LayersPerDispatch(const graph::Graph& graph, const compile::Lowered& lowered) {
  const std::vector<bool> attends = AttentionNodes(graph);
  std::ptrdiff_t most = 1;
  for (const compile::Dispatch& dispatch : lowered.dispatches) {
    most = std::max(
        most, std::ranges::count_if(dispatch.nodes, [&](size_t node) { return attends[node]; }));
  }
  return static_cast<size_t>(most);
}

void CountOperators(const graph::Graph& graph, std::map<std::string, size_t>& operators) {
  for (const auto& node : graph.nodes()) {
    ++operators[node->domain().empty() ? node->op() : node->domain() + "::" + node->op()];
    for (const auto& [name, attribute] : node->attributes) {
      if (const auto* body = std::get_if<std::shared_ptr<graph::Graph>>(&attribute))
        CountOperators(**body, operators);
    }
  }
}

// Returns the capabilities of the adapter that --device names, or those of a common GPU with f16.
Caps CapsFor(const ModelArgs& args) {
  Caps caps;
  if (!args.device.empty()) {
    caps = gpu::Device::Open({.adapter = args.device})->caps();
  } else {
    caps.f16 = true;
    caps.subgroups = true;
    caps.subgroup_min_size = caps.subgroup_max_size = 32;
    caps.limits.max_storage_binding_bytes = caps.limits.max_buffer_size = UINT32_MAX;
    caps.limits.max_storage_buffers_per_stage = 16;
    caps.packed_dot_product = true;
    caps.limits.max_workgroup_storage_bytes = 32 << 10;
    caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 1024;
  }
  if (args.f32) caps.f16 = false;
  return caps;
}

model::MemoryEstimate Estimate(const model::ModelFolder& folder, const ModelArgs& args,
                               int64_t max_length) {
  const engine::ModelOptions options = ToModelOptions(args);
  return model::EstimateMemory(
      *folder.graph, folder.config, folder.run_form, CapsFor(args),
      {options.rewrite(), options.variants, max_length, args.chunk.value_or(0)});
}

// Returns a table of the memory at one length, or at two if `longer` is there.
std::string MemoryText(const model::MemoryEstimate& memory, int64_t max_length,
                       const model::MemoryEstimate* longer, int64_t longer_length,
                       uint64_t file_bytes) {
  std::string text = "\nmemory on the GPU, by tokens of the KV cache (--max-length):\n";
  const auto line = [&](const std::string& here, const std::string& there, std::string_view what) {
    text += fmt::format("  {:>10}", here);
    if (longer != nullptr) text += fmt::format("  {:>10}", there);
    text += fmt::format("  {}\n", what);
  };
  const auto bytes_line = [&](auto&& get, std::string_view what) {
    line(BytesText(get(memory)), longer != nullptr ? BytesText(get(*longer)) : "", what);
  };
  line(fmt::format("{}", max_length), fmt::format("{}", longer_length),
       longer != nullptr ? "tokens: the default, and the model's context" : "tokens");
  bytes_line([](const auto& estimate) { return estimate.weights; },
             fmt::format("weights ({} in the files)", BytesText(file_bytes)));
  bytes_line([](const auto& estimate) { return estimate.cache; }, "KV cache");
  bytes_line([](const auto& estimate) { return estimate.workspace; }, "workspace");
  bytes_line([](const auto& estimate) { return estimate.total(); }, "in all");
  return text;
}

std::string DimsText(const graph::Value& value) {
  std::vector<std::string> dims;
  if (!value.dims) return "?";
  for (const graph::Dim& dim : *value.dims) {
    dims.push_back(dim.known() ? std::to_string(dim.value) : dim.symbol.empty() ? "?" : dim.symbol);
  }
  return fmt::format("[{}]", fmt::join(dims, ", "));
}

nlohmann::json ValuesJson(const std::vector<graph::Value*>& values) {
  nlohmann::json list = nlohmann::json::array();
  for (const graph::Value* value : values) {
    list.push_back(
        {{"name", value->name()}, {"type", DTypeName(value->dtype)}, {"shape", DimsText(*value)}});
  }
  return list;
}

std::vector<const graph::Value*> Tensors(const graph::Graph& graph) {
  std::vector<const graph::Value*> tensors;
  for (const graph::Value* value : graph.values()) {
    if (value->constant && value->constant->bytes.size() >= 64) tensors.push_back(value);
  }
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const graph::Value* a, const graph::Value* b) {
                     return a->constant->bytes.size() > b->constant->bytes.size();
                   });
  return tensors;
}

void Inspect(const InspectArgs& args) {
  StatusLine status("reading the model");
  model::ModelFolder folder = ReadModel(args.model);
  const auto out_graph = [&](const char* name, const graph::Graph& graph) {
    status.End();
    args.model.json ? OutJson({{name, graph::Print(graph)}}) : Out(graph::Print(graph));
  };
  if (args.graph) return out_graph("graph", *folder.graph);
  const model::GenaiConfig& config = folder.config;
  const int64_t max_length = MaxLength(args.model, config);
  std::map<std::string, size_t> operators;
  CountOperators(*folder.graph, operators);
  const uint64_t file_bytes = folder.weight_bytes();
  const std::vector<const graph::Value*> tensors = Tensors(*folder.graph);
  nlohmann::json tensor_list = nlohmann::json::array();
  for (const graph::Value* tensor : tensors) {
    tensor_list.push_back({{"name", tensor->name()},
                           {"type", DTypeName(tensor->dtype)},
                           {"shape", tensor->constant->shape},
                           {"bytes", tensor->constant->bytes.size()}});
  }
  const nlohmann::json inputs = ValuesJson(folder.graph->inputs()),
                       outputs = ValuesJson(folder.graph->outputs());
  const size_t nodes = folder.graph->num_nodes();
  model::Rewrite(*folder.graph, config, ToModelOptions(args.model).rewrite(),
                 folder.run_form.one_row);
  if (args.program) {
    const model::ProgramShape shape = {1,
                                       model::CacheRows(max_length, args.model.chunk.value_or(0))};
    return out_graph("program", *model::SpecializeFor(*folder.graph, config, shape, 1,
                                                      ToModelOptions(args.model).rewrite()));
  }
  const model::MemoryEstimate memory = Estimate(folder, args.model, max_length);
  // What the whole context would take, where the default is less.
  std::optional<model::MemoryEstimate> whole;
  if (!args.model.max_length && max_length < config.context_length)
    whole = Estimate(folder, args.model, config.context_length);
  const size_t dispatches_per_token = memory.token_program.dispatches.size();
  const double dispatches_per_layer = DispatchesPerLayer(*memory.token_graph, memory.token_program);
  const size_t layers_per_dispatch = LayersPerDispatch(*memory.token_graph, memory.token_program);

  status.End();
  if (args.model.json) {
    nlohmann::json json = {{"type", config.type},
                           {"context_length", config.context_length},
                           {"vocab_size", config.vocab_size},
                           {"layers", config.num_hidden_layers},
                           {"heads", config.num_attention_heads},
                           {"kv_heads", config.num_key_value_heads},
                           {"head_size", config.head_size},
                           {"hidden_size", config.hidden_size},
                           {"nodes", nodes},
                           {"operators", operators},
                           {"inputs", inputs},
                           {"outputs", outputs},
                           {"file_bytes", file_bytes},
                           {"max_length", max_length},
                           {"weight_bytes", memory.weights},
                           {"kv_cache_bytes", memory.cache},
                           {"workspace_bytes", memory.workspace},
                           {"total_bytes", memory.total()},
                           {"dispatches_per_token", dispatches_per_token},
                           {"dispatches_per_layer", dispatches_per_layer},
                           {"layers_per_dispatch", layers_per_dispatch},
                           {"prompts", folder.run_form.exact ? "exact" : "padded"},
                           {"prompts_reason", folder.run_form.reason}};
    if (whole) {
      json["whole_context"] = {{"kv_cache_bytes", whole->cache},
                               {"workspace_bytes", whole->workspace},
                               {"total_bytes", whole->total()}};
    }
    if (args.tensors) json["tensors"] = tensor_list;
    OutJson(json);
    return;
  }
  std::string text;
  text += fmt::format(
      "{}: {} layers, {} heads ({} for keys and values) of {}, hidden size {}, vocabulary {}, "
      "context {}\n",
      config.type, config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads,
      config.head_size, config.hidden_size, config.vocab_size, config.context_length);
  text += fmt::format("\ngraph: {} nodes\n", nodes);
  for (const auto& [name, count] : operators) text += fmt::format("  {:6}  {}\n", count, name);
  for (const auto& [what, list] : {std::pair("inputs", &inputs), std::pair("outputs", &outputs)}) {
    text += fmt::format("{}:\n", what);
    for (const nlohmann::json& value : *list) {
      text += fmt::format("  {:32} {:5} {}\n", value["name"].get<std::string>(),
                          value["type"].get<std::string>(), value["shape"].get<std::string>());
    }
  }
  const size_t shown = args.tensors ? tensors.size() : std::min<size_t>(tensors.size(), 8);
  text += fmt::format("tensors: {} of 64 bytes or more{}\n", tensors.size(),
                      shown < tensors.size() ? "; the largest (all: --tensors)" : "");
  for (size_t i = 0; i < shown; ++i) {
    text +=
        fmt::format("  {:>10}  {:5} [{}]  {}\n", BytesText(tensor_list[i]["bytes"].get<uint64_t>()),
                    tensor_list[i]["type"].get<std::string>(),
                    fmt::join(tensor_list[i]["shape"].get<std::vector<int64_t>>(), ", "),
                    tensor_list[i]["name"].get<std::string>());
  }
  text += fmt::format("\n{}\n", RunFormText(folder.run_form));
  text +=
      MemoryText(memory, max_length, whole ? &*whole : nullptr, config.context_length, file_bytes);
  text += fmt::format("dispatches per token: {}, ", dispatches_per_token);
  text += layers_per_dispatch > 1
              ? fmt::format("one of them for {} layers\n", layers_per_dispatch)
              : fmt::format("{:.3g} of them for each layer\n", dispatches_per_layer);
  Out(text);
}

}  // namespace

void AddInspect(CLI::App& app) {
  auto args = std::make_shared<InspectArgs>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Show a model's operators, tensors and the memory it will take");
  command->footer(kInspectFooter);
  AddModelArgs(*command, args->model);
  command->get_option("--device")
      ->description(
          "Estimate for this GPU: an index, a part of its name, or 'software' (default: a common "
          "one with f16)");
  command->add_flag("--tensors", args->tensors, "List every tensor")->configurable(false);
  command
      ->add_flag("--graph", args->graph,
                 "Print the graph as text, as it is in the file, and nothing else")
      ->configurable(false);
  command
      ->add_flag("--program", args->program,
                 "Print the graph that one token runs, after all rewrites, and nothing else")
      ->excludes("--graph")
      ->configurable(false);
  command->callback([args] { Inspect(*args); });
}

}  // namespace sinter::cli
