#include "interpret/interpreter.h"

#include <unordered_map>

#include "base/check.h"
#include "base/error.h"
#include "graph/evaluate.h"
#include "interpret/ops.h"
#include "kernels/cast/cast.h"

namespace sinter::interpret {
namespace {

bool IsPacked(DType dtype) {
  return dtype == DType::kU8 || dtype == DType::kU4 || dtype == DType::kI4;
}

Operator FindOperator(const graph::Node& node) {
  const std::string &domain = node.domain(), &op = node.op();
  if (domain.empty()) {
    if (const Operator found = FindMovement(op)) return found;
  }
  if (const Operator found = FindFused(domain, op)) return found;
  if (const Operator found = FindArithmetic(domain, op)) return found;
  if (const Operator found = FindProduct(domain, op)) return found;
  return FindAttention(domain, op);
}

// Handles the remaining operators, which compute shapes and indices (Shape, Range, ConstantOfShape,
// ...).
std::vector<HostTensor> RunOnShapes(const graph::Node& node,
                                    const std::vector<const HostTensor*>& inputs) {
  std::vector<graph::Tensor> tensors(inputs.size());
  std::vector<graph::TensorType> types(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == nullptr) continue;
    if (!IsPacked(inputs[i]->dtype)) {
      tensors[i] =
          graph::Tensor::FromDoubles(inputs[i]->dtype, inputs[i]->shape, inputs[i]->values);
    }
    types[i] = {inputs[i]->dtype, inputs[i]->shape,
                IsPacked(inputs[i]->dtype) ? nullptr : &tensors[i]};
  }
  const auto outputs = graph::Evaluate(node, types);
  if (!outputs) {
    throw Error("interpreter", "{}: got an operator that the interpreter does not support",
                node.Describe());
  }
  std::vector<HostTensor> results;
  for (const graph::Tensor& output : *outputs) {
    results.push_back(output.dtype == DType::kUndefined ? HostTensor{}
                                                        : HostTensor::FromTensor(output));
  }
  return results;
}

void CheckInput(const graph::Value& value, const HostTensor& tensor) {
  if (tensor.dtype != value.dtype) {
    throw Error("interpreter", "input '{}': got {}, want {}", value.name(), DTypeName(tensor.dtype),
                DTypeName(value.dtype));
  }
  const int64_t elems = graph::NumElements(value.shape());
  const size_t have = IsPacked(tensor.dtype) ? tensor.raw.size() * 8 / DTypeBits(tensor.dtype)
                                             : tensor.values.size();
  if (tensor.shape != value.shape() || have < static_cast<size_t>(elems)) {
    throw Error("interpreter", "input '{}': got {} dimensions and {} elements, want the graph's {}",
                value.name(), tensor.shape.size(), have, elems);
  }
}

}  // namespace

HostTensor HostTensor::FromTensor(const graph::Tensor& tensor) {
  HostTensor host{tensor.dtype, tensor.shape, {}, {}};
  if (IsPacked(tensor.dtype)) {
    host.raw.assign(tensor.bytes.begin(), tensor.bytes.end());
  } else {
    host.values = tensor.ToDoubles();
  }
  return host;
}

const HostTensor& Call::in(size_t input) const {
  SINTER_CHECK(has(input), "{}: input {}", node_.Describe(), input);
  return *inputs_[input];
}

std::span<const double> Call::values(size_t input) const {
  return has(input) ? std::span<const double>(in(input).values) : std::span<const double>();
}

std::span<const std::byte> Call::raw(size_t input) const {
  return has(input) ? std::span<const std::byte>(in(input).raw) : std::span<const std::byte>();
}

double Call::scalar(size_t input) const {
  SINTER_CHECK(values(input).size() == 1, "{}: input {}", node_.Describe(), input);
  return values(input)[0];
}

std::vector<int64_t> Call::ints(size_t input) const {
  // INT64_MAX, which stands for an open end, is 2^63 as a double.
  std::vector<int64_t> integers;
  for (const double x : values(input))
    integers.push_back(x >= 0x1p63 ? INT64_MAX : static_cast<int64_t>(x));
  return integers;
}

void Call::Out(size_t output, std::vector<double> values) {
  if (node_.output(output) != nullptr) Out(output, std::move(values), out_shape(output));
}

void Call::Out(size_t output, std::vector<double> values, graph::Shape shape) {
  if (node_.output(output) == nullptr) return;
  SINTER_CHECK(static_cast<int64_t>(values.size()) == graph::NumElements(shape),
               "{}: output {}: {} elements", node_.Describe(), output, values.size());
  outputs_[output] = {out_dtype(output), std::move(shape), std::move(values), {}};
}

void Call::OutRaw(size_t output, std::vector<std::byte> raw) {
  if (node_.output(output) == nullptr) return;
  outputs_[output] = {out_dtype(output), out_shape(output), {}, std::move(raw)};
}

HostTensors Interpret(const graph::Graph& graph, const HostTensors& inputs,
                      const InterpretOptions& options) {
  std::unordered_map<const graph::Value*, HostTensor> known;
  for (const graph::Value* value : graph.inputs()) {
    const auto it = inputs.find(value->name());
    if (it == inputs.end()) {
      // Rewrites may leave an input that no node reads. Such an input may be missing.
      if (value->uses().empty() && !value->is_graph_output()) continue;
      throw Error("interpreter", "input '{}': got nothing, want a tensor", value->name());
    }
    CheckInput(*value, it->second);
    known[value] = it->second;
  }
  const auto get = [&](const graph::Value* value) -> const HostTensor& {
    const auto it = known.find(value);
    if (it != known.end()) return it->second;
    SINTER_CHECK(value->constant, "'{}' has no producer before its reader", value->name());
    return known[value] = HostTensor::FromTensor(*value->constant);
  };
  for (const auto& node : graph.nodes()) {
    std::vector<const HostTensor*> operands;
    for (const graph::Value* value : node->inputs()) {
      operands.push_back(value == nullptr ? nullptr : &get(value));
    }
    std::vector<HostTensor> results;
    if (const Operator run = FindOperator(*node)) {
      Call call(*node, std::move(operands));
      run(call);
      results = call.Take();
    } else {
      results = RunOnShapes(*node, operands);
    }
    for (size_t i = 0; i < results.size(); ++i) {
      if (node->output(i) == nullptr) continue;
      if (options.round && IsFloat(results[i].dtype)) {
        results[i].values = kernels::CastReference(results[i].dtype, results[i].values);
      }
      known[node->output(i)] = std::move(results[i]);
    }
  }
  HostTensors outputs;
  for (const graph::Value* value : graph.outputs()) outputs[value->name()] = get(value);
  return outputs;
}

}  // namespace sinter::interpret
