#include "graphs/known_differences.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "graph/tensor.h"

namespace sinter::graphs {
namespace {

using interpret::HostTensor;
using interpret::HostTensors;

// Returns whether QMoE's scales have one block a row, and there are zero points.
bool HasOneBlock(const graph::Node& node, size_t scales, size_t zero_points) {
  return node.input(zero_points) != nullptr && node.input(scales)->shape().back() == 1;
}

// Returns the elements of an input, none if it is absent.
HostTensor InputOf(const graph::Node& node, size_t input, const HostTensors& values) {
  const graph::Value* value = node.input(input);
  if (value == nullptr) return {};
  return value->constant ? HostTensor::FromTensor(*value->constant) : values.at(value->name());
}

bool IsFinite(const HostTensor& tensor) {
  return std::ranges::all_of(tensor.values, [](double x) { return std::isfinite(x); });
}

bool HasNaN(const HostTensor& tensor) {
  return std::ranges::any_of(tensor.values, [](double x) { return std::isnan(x); });
}

// Returns whether the position ids are others than what one count gives all sequences.
bool HasJumpingPositions(const graph::Node& node, const HostTensors& values) {
  const HostTensor positions = InputOf(node, 9, values);
  for (size_t i = 1; i < positions.values.size(); ++i) {
    const size_t row = i % static_cast<size_t>(positions.shape.back());
    if (positions.values[i] != positions.values[0] + static_cast<double>(row)) return true;
  }
  return false;
}

bool IsCausalWithOneQuery(const graph::Node& node, const HostTensors& values) {
  if (node.Int("is_causal", 0) == 0) return false;
  const graph::Shape query = InputOf(node, 0, values).shape;
  return query[query.size() - 2] == 1;
}

// Returns whether integers are made of floats that they do not hold.
bool CastsBeyondIntegers(const graph::Node& node, const HostTensors& values) {
  const DType to = node.output(0)->dtype;
  if (node.op() != "Cast" || (to != DType::kI64 && to != DType::kI32)) return false;
  const double most = to == DType::kI64 ? 0x1p63 : 0x1p31;
  const HostTensor from = InputOf(node, 0, values);
  return IsFloat(from.dtype) &&
         std::ranges::any_of(from.values, [&](double x) { return !(std::fabs(x) < most); });
}

// Returns whether a token's last chosen expert and the best of the others have equal logits.
bool HasTiedExperts(const graph::Node& node, const HostTensors& values) {
  const HostTensor router = InputOf(node, 1, values);
  const auto k = static_cast<size_t>(node.Int("k", 1));
  const auto experts = static_cast<size_t>(router.shape.back());
  if (k >= experts) return false;
  for (size_t row = 0; row < router.values.size(); row += experts) {
    const auto first = router.values.begin() + static_cast<std::ptrdiff_t>(row);
    std::vector<double> logits(first, first + static_cast<std::ptrdiff_t>(experts));
    std::ranges::sort(logits, std::greater<>());
    if (logits[k - 1] == logits[k]) return true;
  }
  return false;
}

}  // namespace

std::string KnownDifference(const graph::Node& node, Platform platform, const HostTensors& values) {
  if (platform != Platform::kOnnxRuntime) return {};
  const auto is_empty = [&](size_t input) {
    return node.input(input) != nullptr &&
           graph::NumElements(InputOf(node, input, values).shape) == 0;
  };
  if (CastsBeyondIntegers(node, values))
    return "Cast: C++ leaves open what becomes of floats beyond the integers' range";
  if (node.op() == "QMoE" && node.Int("normalize_routing_weights", 0) == 0)
    return "QMoE: ONNX Runtime's CPU provider always normalizes the weights of the chosen experts";
  if (node.op() == "QMoE" && !IsFinite(InputOf(node, 1, values)))
    return "QMoE: ONNX Runtime has zeros where the router's logits are not finite";
  if (node.op() == "QMoE" && HasTiedExperts(node, values))
    return "QMoE: ONNX Runtime chooses another of the experts with equal logits";
  if (node.op() == "QMoE" && (HasOneBlock(node, 3, 11) || HasOneBlock(node, 6, 12)))
    return "QMoE: ONNX Runtime reads the zero points of rows with one block in another layout";
  if (node.op() == "GroupQueryAttention" && HasJumpingPositions(node, values))
    return "GroupQueryAttention: ONNX Runtime counts on from a prompt's first position id";
  if (IsCausalWithOneQuery(node, values))
    return "Attention: ONNX Runtime's CPU provider masks nothing for one query";
  // ONNX's own shape inference removes the dimensions that are listed, and all only without a list.
  if (node.op() == "Squeeze" && is_empty(1))
    return "Squeeze: ONNX Runtime takes an empty list of axes for none";
  if (node.op() == "ReduceMax" && HasNaN(InputOf(node, 0, values)))
    return "ReduceMax: ONNX Runtime loses NaN where the axes are not neighbours";
  if (node.op().starts_with("Reduce") && is_empty(0))
    return "ONNX Runtime keeps the input's shape where it reduces a tensor without elements";
  if (node.op() == "MatMul" && is_empty(0) && is_empty(1))
    return "MatMul: ONNX Runtime leaves sums without a term as memory was";
  return {};
}

std::string ShortRefusal(std::string_view message) {
  // Numbers and names of nodes would make every message a reason of its own.
  std::string text;
  for (const char c : message.substr(0, message.find('\n'))) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) {
      text += c;
    } else if (text.empty() || text.back() != '#') {
      text += '#';
    }
  }
  return text.substr(0, 200);
}

}  // namespace sinter::graphs
