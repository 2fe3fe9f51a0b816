#include "graphs/check_node.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/check.h"
#include "graph/ops.h"

namespace sinter::graphs {
namespace {

using graph::Node;
using graph::Shape;
using graph::Value;
using interpret::HostTensor;
using interpret::HostTensors;

// How an operator computes, which says how far a result may be off.
enum class Arithmetic {
  kMoves,     // copies elements, or computes integers and flags: exact
  kRounds,    // one operation per element, rounded once (WGSL: up to 4.5 units in the last place)
  kFunction,  // a function of one element, by exp, by a polynomial, ...
  kSums,      // many terms per element
};

Arithmetic ArithmeticOf(const Node& node) {
  static const std::map<std::string, Arithmetic, std::less<>> of = {
      {"Add", Arithmetic::kRounds},        {"Sub", Arithmetic::kRounds},
      {"Mul", Arithmetic::kRounds},        {"Div", Arithmetic::kRounds},
      {"Sqrt", Arithmetic::kRounds},       {"Reciprocal", Arithmetic::kRounds},
      {"Cast", Arithmetic::kRounds},       {"Sigmoid", Arithmetic::kFunction},
      {"Tanh", Arithmetic::kFunction},     {"Erf", Arithmetic::kFunction},
      {"Gelu", Arithmetic::kFunction},     {"QuickGelu", Arithmetic::kFunction},
      {"FastGelu", Arithmetic::kFunction}, {"Pow", Arithmetic::kFunction},
      {"ReduceMax", Arithmetic::kMoves},   {"ReduceMin", Arithmetic::kMoves}};
  static const std::set<std::string, std::less<>> sums = {"MatMul",
                                                          "Softmax",
                                                          "ReduceSum",
                                                          "ReduceMean",
                                                          "RMSNormalization",
                                                          "SimplifiedLayerNormalization",
                                                          "LayerNormalization"};
  // com.microsoft and sinter have only functions and sums.
  const auto found = of.find(node.op());
  if (found != of.end()) return found->second;
  return !node.domain().empty() || sums.contains(node.op()) || node.op() == "Attention" ||
                 node.op() == "RotaryEmbedding"
             ? Arithmetic::kSums
             : Arithmetic::kMoves;
}

double UnitRoundoff(DType dtype) {
  if (dtype == DType::kF16) return 0x1p-11;
  return dtype == DType::kBF16 ? 0x1p-8 : 0x1p-24;
}
double LargestFinite(DType dtype) {
  if (dtype == DType::kF16) return 65504;
  return dtype == DType::kBF16 ? 0x1.fep127 : 0x1.fffffep127;
}
// Numbers below may become zero on a GPU.
double SmallestNormal(DType dtype) { return dtype == DType::kF16 ? 0x1p-14 : 0x1p-126; }

// Returns whether `got` is `want` within the tolerance. A result that overflows, or is NaN, must be
// so on both sides; what rounds to infinity may be the largest number.
bool IsClose(double got, double want, double tolerance, DType dtype) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got);
  if (got == want) return true;
  if (!IsFloat(dtype)) return false;
  const double largest = LargestFinite(dtype);
  if (std::isinf(want)) return false;
  if (std::isinf(got) || std::fabs(want) > largest) {
    return std::signbit(got) == std::signbit(want) &&
           std::fabs(want) + tolerance >= largest * (1 - 2 * UnitRoundoff(dtype)) &&
           std::fabs(got) >= largest * (1 - 2 * UnitRoundoff(dtype));
  }
  return std::fabs(got - want) <= tolerance;
}

// Evaluates an isolated node in double.
class Evaluator {
 public:
  explicit Evaluator(const IsolatedNode& isolated) : isolated_(isolated) {}

  HostTensors Run(const HostTensors& inputs) const {
    HostTensors outputs = interpret::Interpret(*isolated_.graph, inputs);
    for (auto& [name, tensor] : outputs) Wrap(tensor);
    return outputs;
  }
  HostTensors Run() const { return Run(isolated_.inputs); }

  // Returns the outputs for inputs whose subnormal numbers are zero, as a GPU may read them.
  HostTensors RunFlushed() const {
    HostTensors inputs = isolated_.inputs;
    for (auto& [name, tensor] : inputs) {
      if (!IsFloat(tensor.dtype)) continue;
      for (double& x : tensor.values) {
        if (std::fabs(x) < SmallestNormal(tensor.dtype)) x = std::copysign(0, x);
      }
    }
    return Run(inputs);
  }

  // Returns for each element of the outputs how much they change, relative to the size of small
  // random relative changes of all float inputs: about the root of the sum of (df/dx_i x_i)^2.
  // This is the error per unit roundoff of an algorithm that is backward stable. `norm_share` adds
  // changes relative to the largest element of each input, for algorithms that scale a whole block
  // (packed dot products).
  HostTensors Condition(double norm_share) const {
    constexpr double kStep = 0x1p-16;
    constexpr int kProbes = 12;
    const HostTensors at = Run();
    HostTensors condition = at;
    for (auto& [name, tensor] : condition) std::ranges::fill(tensor.values, 0);
    std::mt19937 random(1);
    for (int probe = 0; probe < kProbes; ++probe) {
      HostTensors inputs = isolated_.inputs;
      for (auto& [name, tensor] : inputs) {
        if (!IsFloat(tensor.dtype)) continue;
        double largest = 0;
        for (const double x : tensor.values) {
          if (std::isfinite(x)) largest = std::max(largest, std::fabs(x));
        }
        for (double& x : tensor.values) {
          const double step = std::fabs(x) + norm_share * largest;
          x += (random() % 2 == 0 ? kStep : -kStep) * step;
        }
      }
      for (const auto& [name, tensor] : Run(inputs)) {
        for (size_t i = 0; i < tensor.values.size(); ++i) {
          const double change = std::fabs(tensor.values[i] - at.at(name).values[i]) / kStep;
          double& most = condition.at(name).values[i];
          if (change > most) most = change;
        }
      }
    }
    return condition;
  }

 private:
  // Integers of 32 bits wrap around.
  static void Wrap(HostTensor& tensor) {
    if (tensor.dtype != DType::kI32) return;
    for (double& x : tensor.values) {
      if (std::fabs(x) < 0x1p53)
        x = static_cast<int32_t>(static_cast<uint32_t>(static_cast<int64_t>(x)));
    }
  }

  const IsolatedNode& isolated_;
};

// Returns the largest finite float element of the inputs, and the number of elements of the largest
// one.
std::pair<double, size_t> LargestInput(const HostTensors& inputs) {
  double largest = 0;
  size_t elems = 1;
  for (const auto& [name, tensor] : inputs) {
    elems = std::max(elems, tensor.values.size());
    if (!IsFloat(tensor.dtype)) continue;
    for (const double x : tensor.values) {
      if (std::isfinite(x)) largest = std::max(largest, std::fabs(x));
    }
  }
  return {largest, elems};
}

// Returns |gate * up| for each element of MatMulNBitsMlp's output: its activation loses the digits
// of a small result, and is off by a share of the gate.
std::vector<double> GateTimesUp(const Node& node, const IsolatedNode& isolated) {
  if (node.op() != "MatMulNBitsMlp" || !node.domain().starts_with("sinter")) return {};
  const auto both = isolated.graph->Clone();
  Node* mlp = both->nodes().front().get();
  Value* y = both->AddValue("both");
  Node* qkv = both->AddNode("both", mlp->domain(), "MatMulNBitsQkv", mlp->inputs(), {y});
  qkv->attributes = mlp->attributes;
  qkv->attributes.erase("activation");
  graph::InferNode(*qkv);
  both->AddOutput(y);
  const std::vector<double> parts = interpret::Interpret(*both, isolated.inputs).at("both").values;
  const auto n = static_cast<size_t>(y->shape().back() / 2);
  std::vector<double> product;
  for (size_t row = 0; row < parts.size(); row += 2 * n) {
    for (size_t i = 0; i < n; ++i)
      product.push_back(std::fabs(parts[row + i] * parts[row + n + i]));
  }
  return product;
}

// Returns for each element the largest finite element of its row.
std::vector<double> LargestOfRows(const HostTensor& tensor) {
  const auto columns = static_cast<size_t>(tensor.shape.back());
  std::vector<double> largest(tensor.values.size(), 0);
  for (size_t first = 0; first < largest.size(); first += columns) {
    double most = 0;
    for (size_t i = first; i < first + columns; ++i) {
      if (std::isfinite(tensor.values[i])) most = std::max(most, std::fabs(tensor.values[i]));
    }
    std::fill_n(largest.begin() + static_cast<std::ptrdiff_t>(first), columns, most);
  }
  return largest;
}

bool HasInfiniteHalf(const HostTensors& inputs) {
  return std::ranges::any_of(inputs, [](const auto& input) {
    return input.second.dtype == DType::kF16 &&
           std::ranges::any_of(input.second.values, [](double x) { return std::isinf(x); });
  });
}

// Tolerance of one output, element by element.
std::vector<double> Tolerances(const Node& node, const IsolatedNode& isolated,
                               const Evaluator& evaluator, const std::string& output,
                               const HostTensor& want, Platform platform) {
  const Arithmetic arithmetic = ArithmeticOf(node);
  std::vector<double> tolerance(want.values.size(), 0);
  if (!IsFloat(want.dtype) || arithmetic == Arithmetic::kMoves) return tolerance;
  // The result is rounded to either neighbour. A GPU computes in f32, and has results below the
  // smallest normal number as zero.
  const double result = 2 * UnitRoundoff(want.dtype), tiny = SmallestNormal(want.dtype);
  HostTensors condition;
  double constant = 0;
  const bool half = std::ranges::any_of(
      isolated.inputs, [](const auto& input) { return input.second.dtype == DType::kF16; });
  if (arithmetic == Arithmetic::kFunction || arithmetic == Arithmetic::kSums) {
    condition = evaluator.Condition(half ? 0x1p-4 : 0);
    // f16 operators may keep parts in f16: weights of attention, norms between parts.
    const double unit = half ? 0x1p-11 : 0x1p-24;
    const auto [largest, elems] = LargestInput(isolated.inputs);
    constant = unit * (16 + 4 * std::sqrt(static_cast<double>(elems)));
  } else if (half && platform == Platform::kOnnxRuntime) {
    // ONNX Runtime's CPU provider hands f16 results of a node to the next one as unrounded f32.
    condition = evaluator.Condition(0);
    constant = 2 * 0x1p-11;
  }
  std::vector<double> gated;
  if (node.output(0) != nullptr && output == node.output(0)->name())
    gated = GateTimesUp(node, isolated);
  std::vector<double> argument;
  if (arithmetic == Arithmetic::kFunction && node.op() != "Pow") {
    argument = isolated.inputs.at(node.input(0)->name()).values;
    // FastGelu adds a bias along the last dimension.
    if (const Value* bias = node.input(1)) {
      const std::vector<double>& values = isolated.inputs.at(bias->name()).values;
      for (size_t i = 0; i < argument.size(); ++i) argument[i] += values[i % values.size()];
    }
  }
  // The terms of an expert's sum are activations, each with an error of its own. They are about as
  // large in all outputs of a token.
  std::vector<double> row_sizes;
  if (node.op().ends_with("QMoE")) row_sizes = LargestOfRows(want);
  for (size_t i = 0; i < tolerance.size(); ++i) {
    const double size = std::fabs(want.values[i]);
    tolerance[i] = tiny + size * (result + 16 * 0x1p-24);
    if (condition.empty()) continue;
    const double change = condition.at(output).values[i];
    if (std::isfinite(change)) tolerance[i] += constant * (change + size);
    // exp(x) is off by 3 + 2 |x| units in the last place, and a result of e^-r comes from it.
    if (size > 0 && size < 1) tolerance[i] += size * 4 * -std::log(size) * 0x1p-23;
    if (!gated.empty()) tolerance[i] += gated[i] * 0x1p-20;
    if (!row_sizes.empty()) tolerance[i] += row_sizes[i] * 0x1p-20;
    // 1 + erf(x), 1 + tanh(x) lose the digits of a small result: it is off by |x| times theirs.
    // ONNX Runtime's sigmoid and tanh are rational functions with an absolute error.
    if (!argument.empty() && std::isfinite(argument[i])) {
      const double x = std::fabs(argument[i]);
      tolerance[i] += (platform == Platform::kOnnxRuntime ? std::max(1.0, x) : 2 * x) * 0x1p-20;
    }
  }
  return tolerance;
}

std::string Describe(const Node& node, const Value& output, const HostTensor& got,
                     const HostTensor& want, const HostTensor& flushed,
                     const std::vector<double>& tolerance, const std::vector<size_t>& wrong) {
  std::string text = fmt::format("{}, output '{}': {} of {} elements differ", node.Describe(),
                                 output.name(), wrong.size(), want.values.size());
  for (size_t i = 0; i < std::min<size_t>(wrong.size(), 6); ++i) {
    const size_t at = wrong[i];
    text += fmt::format("\n  [{}]: got {}, want {} (off by {:.3g}, tolerance {:.3g})", at,
                        got.values[at], want.values[at],
                        std::fabs(got.values[at] - want.values[at]), tolerance[at]);
    if (flushed.values[at] != want.values[at] && !std::isnan(want.values[at]))
      text += fmt::format(", or {} without subnormal inputs", flushed.values[at]);
  }
  return text;
}

// Returns whether element `index` of a [batch, heads, rows, size] output is among the first `rows`
// rows.
bool IsDefined(const Shape& shape, size_t index, int64_t rows) {
  return static_cast<int64_t>(index) / shape[3] % shape[2] < rows;
}

}  // namespace

IsolatedNode Isolate(const Node& node, const std::map<std::string, int>& opsets,
                     const HostTensors& values, const std::set<std::string>& known) {
  IsolatedNode isolated{std::make_unique<graph::Graph>(), {}};
  graph::Graph& graph = *isolated.graph;
  graph.name = "isolated";
  graph.opsets = opsets;
  std::map<const Value*, Value*> twin = {{nullptr, nullptr}};
  std::vector<Value*> inputs, outputs;
  for (const Value* value : node.inputs()) {
    if (twin.contains(value)) {
      inputs.push_back(twin.at(value));
      continue;
    }
    // Floats are inputs, so that they can be changed; inference needs integers and Range's bounds.
    const bool needed =
        value->dtype == DType::kI64 || value->dtype == DType::kI32 || node.op() == "Range";
    const bool constant = needed && (value->constant || known.contains(value->name()));
    const auto given = values.find(value->name());
    if (constant) {
      twin[value] = graph.AddConstant(
          value->name(), value->constant
                             ? *value->constant
                             : graph::Tensor::FromDoubles(value->dtype, given->second.shape,
                                                          given->second.values));
    } else {
      SINTER_CHECK(given != values.end() || value->constant, "'{}' has no elements", value->name());
      HostTensor tensor =
          given != values.end() ? given->second : HostTensor::FromTensor(*value->constant);
      twin[value] = graph.AddInput(value->name(), tensor.dtype,
                                   graph::Dims(tensor.shape.begin(), tensor.shape.end()));
      isolated.inputs[value->name()] = std::move(tensor);
    }
    inputs.push_back(twin.at(value));
  }
  for (const Value* value : node.outputs()) {
    outputs.push_back(value == nullptr ? nullptr : graph.AddValue(value->name(), value->dtype));
  }
  Node* copy = graph.AddNode(node.name(), node.domain(), node.op(), inputs, outputs);
  copy->attributes = node.attributes;
  graph::InferNode(*copy);
  for (Value* value : outputs) {
    if (value != nullptr) graph.AddOutput(value);
  }
  return isolated;
}

NodeResult CheckNode(const Node& node, const std::map<std::string, int>& opsets,
                     const HostTensors& values, const CheckOptions& options) {
  NodeResult result;
  IsolatedNode isolated = Isolate(node, opsets, values, options.known);
  const Evaluator evaluator(isolated);
  const HostTensors want = evaluator.Run();
  std::optional<HostTensors> flushed;
  for (const Value* output : node.outputs()) {
    if (output == nullptr || !values.contains(output->name())) continue;
    const HostTensor &got = values.at(output->name()), &expected = want.at(output->name());
    if (got.shape != expected.shape || got.dtype != expected.dtype) {
      result.difference = {
          fmt::format("{}, output '{}': got {}[{}], want {}[{}]", node.Describe(), output->name(),
                      DTypeName(got.dtype), fmt::join(got.shape, ", "), DTypeName(expected.dtype),
                      fmt::join(expected.shape, ", ")),
          std::move(isolated)};
      return result;
    }
    if (!got.raw.empty()) continue;
    const auto rows = options.defined_rows.find(output->name());
    const bool rows_without_keys =
        options.platform == Platform::kOnnxRuntime && node.op() == "MultiHeadAttention";
    // Most results are within one rounding; the tolerance is computed for the others.
    std::vector<size_t> wrong;
    const double quick = ArithmeticOf(node) == Arithmetic::kMoves ? 0 : UnitRoundoff(got.dtype);
    for (size_t i = 0; i < got.values.size(); ++i) {
      if (rows != options.defined_rows.end() && !IsDefined(got.shape, i, rows->second)) continue;
      // Where a mask hides every key, ONNX Runtime's masks cancel out; ONNX's Attention and Sinter
      // give 0.
      if (rows_without_keys && expected.values[i] == 0) continue;
      // A double does not tell such integers apart, and has no overflow.
      if (expected.dtype == DType::kI64 && std::fabs(expected.values[i]) >= 0x1p53) continue;
      if (!IsClose(got.values[i], expected.values[i], quick * std::fabs(expected.values[i]),
                   got.dtype))
        wrong.push_back(i);
    }
    if (wrong.empty()) continue;
    const auto [largest, elems] = LargestInput(isolated.inputs);
    if (ArithmeticOf(node) == Arithmetic::kSums && largest > 0x1p40) {
      result.skipped = "squares and products may overflow f32";
      continue;
    }
    if (!flushed) flushed = evaluator.RunFlushed();
    const HostTensor& other = flushed->at(output->name());
    const std::vector<double> tolerance =
        Tolerances(node, isolated, evaluator, output->name(), expected, options.platform);
    // ONNX Runtime's CPU provider hands f16 results of a node to the next one as f32, in which they
    // did not overflow.
    const bool wider_inputs =
        options.platform == Platform::kOnnxRuntime && HasInfiniteHalf(isolated.inputs);
    // Of several infinite terms the order decides whether they become infinity or NaN.
    const bool sums = ArithmeticOf(node) == Arithmetic::kSums;
    // What lies between the experts' two products is f16 on a GPU, and infinite where it overflows.
    // It is large only if the input or the results are.
    const bool narrow = options.platform == Platform::kGpu && node.op().ends_with("QMoE") &&
                        got.dtype == DType::kF16 &&
                        (largest > 1024 || std::ranges::any_of(expected.values, [](double x) {
                           return std::fabs(x) > 1024;
                         }));
    std::erase_if(wrong, [&](size_t i) {
      if (sums && !std::isfinite(expected.values[i]) && !std::isfinite(got.values[i])) return true;
      if (wider_inputs && !std::isfinite(expected.values[i])) return true;
      if (narrow && !std::isfinite(got.values[i])) return true;
      return IsClose(got.values[i], expected.values[i], tolerance[i], got.dtype) ||
             IsClose(got.values[i], other.values[i], tolerance[i], got.dtype);
    });
    if (wrong.empty()) continue;
    result.difference = {Describe(node, *output, got, expected, other, tolerance, wrong),
                         std::move(isolated)};
    return result;
  }
  return result;
}

}  // namespace sinter::graphs
