#include "graphs/harness.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "compile/lowering.h"
#include "compile/weight_form.h"
#include "graph/evaluate.h"
#include "graph/ops.h"
#include "graph/text.h"
#include "graph/verify.h"
#include "graphs/known_differences.h"
#include "kernels/kernel_plan.h"
#include "onnx/reader.h"
#include "onnx/writer.h"
#include "passes/pipeline.h"
#include "passes/specialize.h"
#include "run/program.h"

namespace sinter::graphs {
namespace {

using graph::Graph;
using graph::Node;
using graph::Value;
using interpret::HostTensor;
using interpret::HostTensors;

// Makes every result of a node an output of the graph.
void ExposeAll(Graph& graph) {
  for (const auto& node : graph.nodes()) {
    for (Value* output : node->outputs()) {
      if (output != nullptr && !output->is_graph_output()) graph.AddOutput(output);
    }
  }
}

HostTensors Constants(const Graph& graph) {
  HostTensors constants;
  for (const Value* value : graph.values()) {
    if (value->constant) constants[value->name()] = HostTensor::FromTensor(*value->constant);
  }
  return constants;
}

bool IsSameBits(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// Returns the name of an output whose elements differ between two runs of the same kernels.
std::string FirstDifference(const HostTensors& a, const HostTensors& b) {
  for (const auto& [name, tensor] : a) {
    const auto other = b.find(name);
    if (other == b.end()) continue;
    for (size_t i = 0; i < tensor.values.size(); ++i) {
      if (!IsSameBits(tensor.values[i], other->second.values[i]))
        return fmt::format("'{}'[{}]: {} and {}", name, i, tensor.values[i],
                           other->second.values[i]);
    }
  }
  return {};
}

// Returns the first output in which the interpreter's results of two equivalent graphs differ by
// more than the roundings of double allow.
std::string FirstDifferenceInDouble(const HostTensors& a, const HostTensors& b) {
  for (const auto& [name, want] : a) {
    const auto other = b.find(name);
    if (other == b.end()) return fmt::format("'{}' is missing", name);
    double largest = 1e-3;
    for (const double x : want.values) {
      if (std::isfinite(x)) largest = std::max(largest, std::fabs(x));
    }
    for (size_t i = 0; i < want.values.size(); ++i) {
      const double x = want.values[i], y = other->second.values[i];
      if (IsSameBits(x, y) || std::fabs(x - y) <= 1e-9 * largest) continue;
      return fmt::format("'{}'[{}]: {} before, {} after", name, i, x, y);
    }
  }
  return {};
}

// Returns whether an int64 may need more than 32 bits: one does in double, or a float, which a GPU
// may cast, lies beyond them.
bool MayHaveLargeIntegers(const RandomGraph& random, const Graph& model) {
  const auto exposed = model.Clone();
  ExposeAll(*exposed);
  const auto program = passes::Specialize(*exposed, random.dims);
  HostTensors values = interpret::Interpret(*program, random.inputs);
  values.merge(Constants(*program));
  for (const auto& [name, tensor] : values) {
    if (tensor.dtype != DType::kI64 && !IsFloat(tensor.dtype)) continue;
    for (const double x : tensor.values) {
      if (!(x >= INT32_MIN && x <= INT32_MAX)) return true;
    }
  }
  return false;
}

// Returns whether an input differs in shape from what the node was inferred from.
bool HasInputOfAnotherShape(const graph::Node& node, const HostTensors& values) {
  return std::ranges::any_of(node.inputs(), [&](const graph::Value* input) {
    const auto found = input == nullptr ? values.end() : values.find(input->name());
    return found != values.end() && input->has_static_shape() &&
           found->second.shape != input->shape();
  });
}

}  // namespace

std::string ElementsText(const HostTensor& tensor) {
  const size_t shown = std::min<size_t>(tensor.values.size(), 64);
  return fmt::format("{}[{}] = [{}{}]", DTypeName(tensor.dtype), fmt::join(tensor.shape, ", "),
                     fmt::join(tensor.values.begin(),
                               tensor.values.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                     shown < tensor.values.size() ? ", ..." : "");
}

HostTensors Harness::RunOnGpu(const Graph& graph, const RandomGraph& random) {
  const auto on_device = [&](DType dtype) { return kernels::DeviceDType(device_->caps(), dtype); };
  run::Externals externals;
  const auto make = [&](const Value& value) {
    const size_t bytes =
        DTypeBytes(on_device(value.dtype), static_cast<size_t>(graph::NumElements(value.shape())));
    gpu::Buffer buffer = device_->CreateBuffer(std::max<size_t>(bytes, 16), value.name());
    // All bits set: NaN in f32 and f16, -1 in the integers. A result that nothing writes shows.
    device_->Upload(buffer, 0, std::vector<std::byte>(bytes, std::byte{0xff}));
    return buffer;
  };
  for (const Value* input : graph.inputs()) {
    const HostTensor& tensor = random.inputs.at(input->name());
    const gpu::Buffer buffer = make(*input);
    const graph::Tensor elements =
        graph::Tensor::FromDoubles(tensor.dtype, tensor.shape, tensor.values);
    std::vector<std::byte> bytes(DTypeBytes(on_device(tensor.dtype), tensor.values.size()));
    compile::ConvertElements(elements, on_device(tensor.dtype), 0, bytes);
    device_->Upload(buffer, 0, bytes);
    externals[input->name()] = buffer;
  }
  for (const Value* output : graph.outputs()) {
    if (output->constant || externals.contains(output->name())) continue;
    const auto cache = random.in_place.find(output->name());
    if (cache != random.in_place.end()) {
      externals[output->name()] = externals.at(cache->second);
    } else {
      externals[output->name()] = make(*output);
    }
  }
  run::WeightStore weights(device_);
  run::Program program(device_, weights, graph, externals);
  program.Run();
  HostTensors outputs;
  for (const Value* output : graph.outputs()) {
    if (output->constant) {
      outputs[output->name()] = HostTensor::FromTensor(*output->constant);
      continue;
    }
    const auto elems = static_cast<size_t>(graph::NumElements(output->shape()));
    const size_t bytes = DTypeBytes(on_device(output->dtype), elems);
    const std::vector<std::byte> got =
        bytes == 0 ? std::vector<std::byte>()
                   : device_->Download(program.external(output->name()), 0, bytes);
    const graph::Tensor tensor{on_device(output->dtype), output->shape(), got, nullptr};
    outputs[output->name()] = {output->dtype, output->shape(), tensor.ToDoubles(), {}};
  }
  device_->Check();
  return outputs;
}

std::optional<Failure> Harness::CheckNodes(const std::string& stage, const Graph& graph,
                                           const HostTensors& values, CheckOptions options) {
  for (const auto& node : graph.nodes()) {
    if (graph::CheckNode(*node).infer == nullptr) continue;
    // Only behind a known difference.
    if (options.platform == Platform::kOnnxRuntime && HasInputOfAnotherShape(*node, values)) {
      ++totals_.skipped["an input has another shape at ONNX Runtime"];
      continue;
    }
    ++totals_.nodes;
    ++totals_.operators[fmt::format("{}::{}", node->domain(), node->op())];
    NodeResult result = CheckNode(*node, graph.opsets, values, options);
    if (!result.skipped.empty()) ++totals_.skipped[result.skipped];
    if (!result.difference) continue;
    if (const std::string reason = KnownDifference(*node, options.platform, values);
        !reason.empty()) {
      ++totals_.skipped[reason];
      continue;
    }
    return Failure{stage + ": " + result.difference->text, std::move(result.difference->node)};
  }
  return std::nullopt;
}

// Compares the graph with its rewritten form on the interpreter, then the nodes of that form.
std::optional<Failure> Harness::CheckRewritten(const RandomGraph& random, const Graph& model) {
  const auto plain = passes::Specialize(model, random.dims);
  const auto rewritten = plain->Clone();
  int changes = 0;
  std::string rules;
  for (const auto& report : passes::RunPasses(*rewritten, passes::Stage::kProgram, {})) {
    changes += report.changes;
    if (report.changes > 0) rules += fmt::format(" {}", report.name);
  }
  if (changes == 0) return std::nullopt;
  ++totals_.rewritten;
  const std::string difference = FirstDifferenceInDouble(
      interpret::Interpret(*plain, random.inputs), interpret::Interpret(*rewritten, random.inputs));
  if (!difference.empty())
    return Failure{fmt::format("rewrites ({}) on the interpreter: {}\n{}", rules.substr(1),
                               difference, graph::Print(*rewritten)),
                   {}};
  ExposeAll(*rewritten);
  HostTensors values = RunOnGpu(*rewritten, random);
  values.merge(Constants(*rewritten));
  for (const auto& [name, tensor] : random.inputs) values.insert({name, tensor});
  return CheckNodes(fmt::format("GPU, rewritten ({})", rules.substr(1)), *rewritten, values, {});
}

std::optional<Failure> Harness::CheckPeer(const RandomGraph& random, const Graph& model,
                                          const Graph& program) {
  const auto exposed = model.Clone();
  ExposeAll(*exposed);
  std::vector<std::string> names;
  for (const Value* output : exposed->outputs()) names.push_back(output->name());
  std::string refusal;
  HostTensors values = peer_->Run(onnx::WriteModelBytes(*exposed), random.inputs, names, &refusal);
  if (!refusal.empty()) {
    ++totals_.skipped[fmt::format("ONNX Runtime: {}", ShortRefusal(refusal))];
    return std::nullopt;
  }
  ++totals_.compared_with_peer;
  for (const auto& [name, tensor] : random.inputs) values.insert({name, tensor});
  CheckOptions options = {.platform = Platform::kOnnxRuntime, .defined_rows = random.defined_rows};
  for (const Value* value : program.values()) {
    if (!value->constant) continue;
    options.known.insert(value->name());
    values.insert({value->name(), HostTensor::FromTensor(*value->constant)});
  }
  if (auto failure = CheckNodes("ONNX Runtime", program, values, options)) return failure;
  // Nodes that Sinter folded.
  for (const auto& node : exposed->nodes()) {
    const Value* output = node->output(0);
    const Value* folded = output == nullptr ? nullptr : program.FindValue(output->name());
    if (folded == nullptr || !folded->constant || graph::CheckNode(*node).infer == nullptr)
      continue;
    const NodeResult result = CheckNode(*node, exposed->opsets, values, options);
    if (result.difference && KnownDifference(*node, options.platform, values).empty())
      return Failure{"ONNX Runtime, folded: " + result.difference->text, {}};
  }
  return std::nullopt;
}

std::optional<Failure> Harness::CheckValid(const RandomGraph& random, const Graph& model) {
  const auto exposed = model.Clone();
  ExposeAll(*exposed);
  const auto program = passes::Specialize(*exposed, random.dims);
  HostTensors values = RunOnGpu(*program, random);
  const auto plain = passes::Specialize(model, random.dims);
  const std::string difference = FirstDifference(RunOnGpu(*plain, random), values);
  if (!difference.empty())
    return Failure{"GPU, with and without the intermediate results as outputs: " + difference, {}};
  values.merge(Constants(*program));
  for (const auto& [name, tensor] : random.inputs) values.insert({name, tensor});
  // The interpreter runs the whole graph, too.
  interpret::Interpret(*program, random.inputs);
  if (auto failure = CheckNodes("GPU", *program, values, {})) return failure;
  if (auto failure = CheckRewritten(random, model)) return failure;
  return peer_ != nullptr ? CheckPeer(random, model, *program) : std::nullopt;
}

std::unique_ptr<Graph> Harness::Load(const RandomGraph& random) {
  const std::string bytes = onnx::WriteModelBytes(*random.graph);
  std::unique_ptr<Graph> model = onnx::ReadModelBytes(std::as_bytes(std::span(bytes)));
  graph::Verify(*model);
  const auto program = passes::Specialize(*model, random.dims);
  compile::ExternalPlaces places;
  for (const auto& [output, input] : random.in_place) {
    const int memory = static_cast<int>(places.size());
    places[output] = places[input] = {memory, 0};
  }
  Caps caps;
  caps.f16 = true;
  caps.limits.max_buffer_size = caps.limits.max_storage_binding_bytes = uint64_t{1} << 40;
  caps.limits.max_storage_buffers_per_stage = 16;
  compile::Lower(*program, caps, places);
  return model;
}

std::optional<Failure> Harness::Check(const RandomGraph& random) {
  ++totals_.graphs;
  std::unique_ptr<Graph> model;
  try {
    model = Load(random);
  } catch (const Error& error) {
    if (!random.fault.empty()) {
      ++totals_.faults;
      return std::nullopt;
    }
    if (random.may_be_refused) {
      ++totals_.skipped["refused at load: types without kernels, integers beyond 32 bits"];
      return std::nullopt;
    }
    return Failure{fmt::format("a valid graph is refused: {}", error.what()), {}};
  } catch (const std::exception& error) {
    return Failure{fmt::format("loading: {}", error.what()), {}};
  }
  if (!random.fault.empty())
    return Failure{fmt::format("a fault is accepted: {}", random.fault), {}};
  try {
    return CheckValid(random, *model);
  } catch (const Error& error) {
    if (error.area() == "run" && MayHaveLargeIntegers(random, *model)) {
      ++totals_.skipped["refused at run: a result of int64 beyond 32 bits"];
      return std::nullopt;
    }
    return Failure{fmt::format("after loading: {}", error.what()), {}};
  } catch (const std::exception& error) {
    return Failure{fmt::format("after loading: {}", error.what()), {}};
  }
}

std::optional<Failure> Harness::CheckAlone(const IsolatedNode& node) {
  RandomGraph alone;
  alone.graph = node.graph->Clone();
  alone.inputs = node.inputs;
  for (const auto& of : alone.graph->nodes()) {
    if (of->op() != "GroupQueryAttention") continue;
    for (const size_t i : {1, 2}) {
      if (of->output(i) != nullptr && of->input(i + 2) != nullptr)
        alone.in_place[of->output(i)->name()] = of->input(i + 2)->name();
    }
  }
  return Check(alone);
}

}  // namespace sinter::graphs
