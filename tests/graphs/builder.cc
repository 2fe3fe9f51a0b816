#include "graphs/builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "base/check.h"
#include "graph/evaluate.h"
#include "kernels/cast/cast.h"

namespace sinter::graphs {
namespace {

// Upper bound on the elements of a value, so that a graph takes microseconds.
constexpr int64_t kMaxElems = 2048;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double RoundTo(DType dtype, double value) {
  return kernels::CastReference(dtype, std::vector<double>{value})[0];
}

}  // namespace

Builder::Builder(uint64_t seed) : random_(seed) {
  // A seed of few bits gives engines that begin alike.
  random_.discard(16);
  result_.seed = seed;
  result_.graph = std::make_unique<graph::Graph>();
  result_.graph->name = fmt::format("seed_{}", seed);
  opset_ = static_cast<int>(Pick({13, 14, 17, 18, 20, 21, 23, 24}));
  result_.graph->opsets = {{"", opset_}, {"com.microsoft", 1}};
  special_ = Chance(0.15);
  symbolic_ = Chance(0.3);
}

Shape Builder::RandomShape(int64_t min_rank, int64_t max_rank) {
  const int64_t rank = Int(min_rank, std::min<int64_t>(max_rank, Chance(0.9) ? 3 : 4));
  Shape shape;
  for (int64_t i = 0; i < std::max(rank, min_rank); ++i) {
    const double kind = Uniform();
    if (kind < 0.03) {
      shape.push_back(0);
    } else if (kind < 0.06) {
      shape.push_back(Pick({33, 64, 65, 130}));
    } else {
      shape.push_back(Pick({1, 2, 3, 3, 4, 5, 8}));
    }
  }
  if (graph::NumElements(shape) > kMaxElems) return RandomShape(min_rank, max_rank);
  return shape;
}

Shape Builder::Partner(const Shape& shape) {
  if (Chance(0.5)) return shape;
  Shape partner(shape.begin() + Int(0, static_cast<int64_t>(shape.size())), shape.end());
  int64_t elems = graph::NumElements(shape);
  for (int64_t& dim : partner) {
    if (Chance(0.3)) {
      dim = 1;
    } else if (dim == 1 && Chance(0.3) && elems * 5 <= kMaxElems) {
      dim = Pick({2, 3, 5});
      elems *= dim;
    }
  }
  if (partner.size() == shape.size() && partner.size() < 4 && Chance(0.15) &&
      elems * 3 <= kMaxElems)
    partner.insert(partner.begin(), Pick({1, 2, 3}));
  return partner;
}

double Builder::FloatElement(DType dtype, const Fill& fill) {
  const double spread = Uniform() * 2 - 1;
  switch (fill.kind) {
    case Fill::Kind::kScale:
      return static_cast<double>(Int(1, 4)) / 64;
    case Fill::Kind::kPositive:
      return Uniform() * 4;
    case Fill::Kind::kConstant:
      return static_cast<double>(fill.low);
    case Fill::Kind::kMild:
      return spread * 2;
    default:
      break;
  }
  const bool zero = fill.kind != Fill::Kind::kNonZero;
  if (special_ && Chance(0.15)) {
    const double tiny = dtype == DType::kF16 ? 0x1p-20 : 0x1p-135;
    const double huge = dtype == DType::kF16 ? 60000 : 1e38;
    const double special[] = {std::nan(""), kInfinity, -kInfinity, tiny, -tiny,
                              huge,         -huge,     -0.0,       88,   -90};
    const double value = special[Int(0, 9)];
    return value == 0 && !zero ? 1 : value;
  }
  const double kind = Uniform();
  if (kind < 0.1 && zero) return 0;
  if (kind < 0.4) return static_cast<double>(Int(-16, 16)) / 4 + (zero ? 0 : 9);
  if (kind < 0.45) return spread * 40;
  const double value = spread * 4;
  return value == 0 && !zero ? 0.5 : value;
}

double Builder::IntElement(const Fill& fill) {
  switch (fill.kind) {
    case Fill::Kind::kIndices:
      return static_cast<double>(Int(fill.low, fill.high - 1));
    case Fill::Kind::kPositive:
      return static_cast<double>(Int(0, 3));
    case Fill::Kind::kConstant:
      return static_cast<double>(fill.low);
    case Fill::Kind::kNonZero: {
      const int64_t value = Int(-5, 4);
      return static_cast<double>(value >= 0 ? value + 1 : value);
    }
    default:
      return static_cast<double>(Chance(0.05) ? Int(-30000, 30000) : Int(-5, 9));
  }
}

interpret::HostTensor Builder::Elements(DType dtype, const Shape& shape, const Fill& fill) {
  interpret::HostTensor tensor{dtype, shape, {}, {}};
  tensor.values.resize(static_cast<size_t>(graph::NumElements(shape)));
  for (double& value : tensor.values) {
    if (dtype == DType::kBool) {
      value = fill.kind == Fill::Kind::kConstant ? static_cast<double>(fill.low)
                                                 : static_cast<double>(Int(0, 1));
    } else {
      value = IsFloat(dtype) ? RoundTo(dtype, FloatElement(dtype, fill)) : IntElement(fill);
    }
  }
  return tensor;
}

Value* Builder::Input(DType dtype, const Shape& shape, Fill fill) {
  const std::string name = fmt::format("x{}", names_++);
  graph::Dims dims(shape.begin(), shape.end());
  if (symbolic_ && !dims.empty() && shape[0] > 0 && Chance(0.5)) {
    const std::string symbol = fmt::format("n{}", shape[0]);
    dims[0] = graph::Dim(symbol);
    result_.dims[symbol] = shape[0];
  }
  Value* value = result_.graph->AddInput(name, dtype, std::move(dims));
  result_.inputs[name] = Elements(dtype, shape, fill);
  known_[value] = {dtype, shape, {}};
  pool_.push_back(value);
  return value;
}

Value* Builder::Constant(Tensor tensor) {
  Value* value = result_.graph->AddConstant(fmt::format("c{}", names_++), tensor);
  known_[value] = {tensor.dtype, tensor.shape, tensor};
  return value;
}

Value* Builder::Constant(DType dtype, const Shape& shape, Fill fill) {
  std::vector<double> elements = Elements(dtype, shape, fill).values;
  if (dtype == DType::kI64 && fill.kind == Fill::Kind::kAny && !elements.empty() && Chance(0.1)) {
    // Integers have 32 bits on the GPU.
    Pick(elements) = static_cast<double>(Int(-3, 3)) * 0x1p32 + static_cast<double>(Int(0, 9));
    result_.may_be_refused = true;
  }
  Value* value = Constant(Tensor::FromDoubles(dtype, shape, elements));
  pool_.push_back(value);
  return value;
}

Value* Builder::Ints(const std::vector<int64_t>& values) {
  return Constant(Tensor::FromInts(DType::kI64, {static_cast<int64_t>(values.size())}, values));
}

Value* Builder::Codes(DType dtype, const Shape& shape) {
  const auto bytes = std::make_shared<std::vector<std::byte>>(
      DTypeBytes(dtype, static_cast<size_t>(graph::NumElements(shape))));
  for (std::byte& byte : *bytes) byte = static_cast<std::byte>(Int(0, 255));
  return Constant(Tensor{dtype, shape, *bytes, bytes});
}

Value* Builder::Cache(DType dtype, const Shape& shape) {
  Value* value = Input(dtype, shape, {Fill::Kind::kMild});
  pool_.pop_back();
  return value;
}

void Builder::InPlace(const Value* output, const Value* input, int64_t defined_rows) {
  result_.in_place[output->name()] = input->name();
  result_.defined_rows[output->name()] = defined_rows;
}

Value* Builder::FindOperand(DType dtype, const Shape& shape) {
  std::vector<Value*> fitting;
  for (Value* value : pool_) {
    if (this->dtype(value) == dtype && this->shape(value) == shape) fitting.push_back(value);
  }
  return fitting.empty() ? nullptr : Pick(fitting);
}

Value* Builder::Operand(DType dtype, const Shape& shape, Fill fill) {
  if (fill.kind == Fill::Kind::kAny && Chance(0.6)) {
    if (Value* value = FindOperand(dtype, shape)) return value;
  }
  return Chance(0.3) ? Constant(dtype, shape, fill) : Input(dtype, shape, fill);
}

Value* Builder::Base(std::initializer_list<DType> types, int64_t min_rank, int64_t max_rank) {
  std::vector<Value*> fitting;
  for (Value* value : pool_) {
    if (std::ranges::find(types, dtype(value)) == types.end() || rank(value) < min_rank ||
        rank(value) > max_rank || graph::NumElements(shape(value)) > kMaxElems)
      continue;
    fitting.push_back(value);
    // Results of nodes are chosen more often than inputs, so that nodes form chains.
    if (value->producer() != nullptr) fitting.insert(fitting.end(), 3, value);
  }
  if (!fitting.empty() && Chance(0.8)) return Pick(fitting);
  return Operand(Pick(types), RandomShape(min_rank, max_rank));
}

std::vector<Value*> Builder::Add(std::string_view domain, std::string_view op,
                                 const std::vector<Value*>& inputs, Attributes attributes,
                                 const std::vector<bool>& wanted) {
  graph::Graph& graph = *result_.graph;
  std::vector<Value*> outputs;
  for (const bool wants : wanted)
    outputs.push_back(wants ? graph.AddValue(fmt::format("v{}", names_++)) : nullptr);
  Node* node = graph.AddNode(fmt::format("node_{}", names_++), domain, op, inputs, outputs);
  node->attributes = std::move(attributes);
  std::vector<graph::TensorType> types;
  for (const Value* input : inputs) {
    if (input == nullptr) {
      types.emplace_back();
      continue;
    }
    const Known& known = known_.at(input);
    types.push_back({known.dtype, known.shape, known.constant ? &*known.constant : nullptr});
  }
  const std::vector<graph::TensorType> inferred = graph::InferOutputs(*node, types);
  const std::optional<std::vector<Tensor>> folded = graph::Evaluate(*node, types);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] == nullptr) continue;
    Known known = {inferred[i].dtype, inferred[i].shape, {}};
    if (folded) known.constant = (*folded)[i];
    outputs[i]->dtype = known.dtype;
    known_[outputs[i]] = std::move(known);
    pool_.push_back(outputs[i]);
  }
  return outputs;
}

Value* Builder::AddIf(Value* condition, Value* x, std::string_view then_op,
                      std::string_view else_op) {
  graph::Graph& graph = *result_.graph;
  const auto branch = [&](std::string_view name, std::string_view op) {
    auto body = std::make_shared<graph::Graph>();
    body->name = name;
    body->opsets = graph.opsets;
    Value* outer = body->AddCapture(x->name());
    Value* y = body->AddValue(fmt::format("{}_{}", name, names_), dtype(x));
    body->AddNode(fmt::format("{}_node", name), "", op, {outer}, {y});
    body->AddOutput(y);
    return body;
  };
  Value* y = graph.AddValue(fmt::format("v{}", names_++), dtype(x));
  Node* node = graph.AddNode(fmt::format("node_{}", names_++), "", "If", {condition}, {y});
  node->attributes["then_branch"] = branch("then", then_op);
  node->attributes["else_branch"] = branch("else", else_op);
  known_[y] = {dtype(x), shape(x), {}};
  pool_.push_back(y);
  return y;
}

std::string Builder::Damage(graph::Graph& graph, std::mt19937_64& random) {
  std::vector<Node*> nodes;
  for (const auto& node : graph.nodes()) {
    if (!node->inputs().empty()) nodes.push_back(node.get());
  }
  if (nodes.empty()) return {};
  Node* node = nodes[random() % nodes.size()];
  const auto say = [&](std::string_view what) {
    return fmt::format("{} of {}", what, node->Describe());
  };
  switch (random() % 5) {
    case 0:
      node->attributes["no_such_attribute"] = int64_t{1};
      return say("an attribute that does not exist");
    case 1:
      if (node->input(0) == nullptr) return {};
      graph.SetInput(node, 0, nullptr);
      return say("no first input");
    case 2:
      for (auto& [name, value] : node->attributes) {
        if (name != "to" && name != "axis") continue;
        value = std::string("first");
        return say("a text as an attribute that is a number");
      }
      return {};
    case 3:
      for (auto& [name, value] : node->attributes) {
        if (name != "axis") continue;
        value = int64_t{7};
        return say("an axis beyond the dimensions");
      }
      return {};
    default: {
      const std::vector<Value*> outputs = node->outputs();
      Node* other = graph.AddNode("extra", "", "NoSuchOperator", {node->input(0)},
                                  {graph.AddValue("extra_output", DType::kF32)});
      graph.AddOutput(other->output(0));
      return "an operator that does not exist";
    }
  }
}

RandomGraph Builder::Finish() {
  graph::Graph& graph = *result_.graph;
  for (const auto& node : graph.nodes()) {
    for (Value* output : node->outputs()) {
      if (output == nullptr) continue;
      const bool leaf = output->uses().empty() && !graph.IsCaptured(output);
      if (leaf || Chance(0.1) || result_.in_place.contains(output->name())) graph.AddOutput(output);
    }
  }
  return std::move(result_);
}

}  // namespace sinter::graphs
