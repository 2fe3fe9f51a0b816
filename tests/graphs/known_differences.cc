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

bool HasNaN(const HostTensor& tensor) {
  return std::ranges::any_of(tensor.values, [](double x) { return std::isnan(x); });
}

// Returns whether a sequence's position ids are not consecutive.
bool HasJumpingPositions(const graph::Node& node, const HostTensors& values) {
  const graph::Value* positions = node.input(9);
  if (positions == nullptr) return false;
  const HostTensor tensor = positions->constant ? HostTensor::FromTensor(*positions->constant)
                                                : values.at(positions->name());
  const auto sequence = static_cast<size_t>(tensor.shape.back());
  for (size_t i = 1; i < tensor.values.size(); ++i) {
    if (i % sequence != 0 && tensor.values[i] != tensor.values[i - 1] + 1) return true;
  }
  return false;
}

bool IsCausalWithOneQuery(const graph::Node& node, const HostTensors& values) {
  if (node.Int("is_causal", 0) == 0) return false;
  const graph::Shape& query = values.at(node.input(0)->name()).shape;
  return query[query.size() - 2] == 1;
}

// Returns whether a token's last chosen expert and the best of the others have equal logits.
bool HasTiedExperts(const graph::Node& node, const HostTensors& values) {
  const auto router = values.find(node.input(1)->name());
  const auto k = static_cast<size_t>(node.Int("k", 1));
  if (router == values.end()) return false;
  const auto experts = static_cast<size_t>(router->second.shape.back());
  if (k >= experts) return false;
  for (size_t row = 0; row < router->second.values.size(); row += experts) {
    const auto first = router->second.values.begin() + static_cast<std::ptrdiff_t>(row);
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
    const graph::Value* value = node.input(input);
    if (value == nullptr) return false;
    if (value->constant) return graph::NumElements(value->constant->shape) == 0;
    const auto found = values.find(value->name());
    return found != values.end() && graph::NumElements(found->second.shape) == 0;
  };
  if (node.op() == "QMoE" && node.Int("normalize_routing_weights", 0) == 0)
    return "QMoE: ONNX Runtime's CPU provider always normalizes the weights of the chosen experts";
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
  if (node.op() == "ReduceMax" && HasNaN(values.at(node.input(0)->name())))
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
