#include "passes/step_rules.h"

#include "graph/gqa_inputs.h"
#include "passes/step_rule_util.h"

namespace sinter::passes {
namespace {

using graph::Node;

std::vector<Facts> Unknown(const RuleCall& call) {
  std::vector<Facts> outputs;
  for (const graph::Shape& shape : call.outputs) {
    outputs.emplace_back().axes = ConstantAxes(shape);
    for (const RuleInput& input : call.inputs) {
      if (input.facts == nullptr) continue;
      const auto at = std::ranges::find_if_not(input.facts->axes, &Affine::is_constant);
      if (at != input.facts->axes.end()) {
        outputs.back() =
            Wrong(call, "is not known to keep the elements along an axis of {} apart", Text(*at));
        break;
      }
    }
  }
  return outputs;
}

Rule RuleOf(const Node& node) {
  if (node.domain().empty() || node.domain() == kMicrosoftDomain) {
    for (const auto find : {FindElementwiseRule, FindMovementRule, FindAxisRule}) {
      if (const Rule rule = find(node.domain(), node.op())) return rule;
    }
  }
  return Unknown;
}

// Returns whether the rule itself checks a length that the program's own run gives.
bool IsLength(const Node& node, size_t i) {
  if (node.domain() != kMicrosoftDomain) return false;
  if (node.op() == "GroupQueryAttention")
    return i == graph::kSeqlensK || i == graph::kTotalSequenceLength;
  return node.op() == "RotaryEmbedding" && i == 1;
}

// Adds to the facts what follows from the content of the inputs.
void JoinContent(const RuleCall& call, Facts& out) {
  if (out.content == Content::kWrong) return;
  Content worst = out.content;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    if (!call.has(i)) continue;
    const Facts& input = call.facts(i);
    if (input.content == Content::kStale || call.node.op() == "Shape") {
      out.uses_parts |= input.uses_parts;
    }
    if (IsShapeOperand(call.node, i)) continue;
    if (input.content == Content::kLength && IsLength(call.node, i)) continue;
    if (input.content == Content::kLast && out.content != Content::kStale)
      out.reason = input.reason;
    worst = std::max(worst, input.content);
  }
  if (out.numbers) {
    out.uses_parts = false;
    for (const Affine& number : *out.numbers) {
      if (number.is_constant()) continue;
      out.uses_parts |= number.past != number.tokens;
    }
    if (AllConstant(*out.numbers)) worst = Content::kEqual;
  }
  if (worst == Content::kLength && !out.numbers) {
    out = Wrong(call,
                "computes with the number of tokens, which padding and the cut of a prompt change");
    return;
  }
  if (worst != Content::kLast) out.reason.clear();
  out.content = worst;
}

}  // namespace

bool IsShapeOperand(const Node& node, size_t i) {
  if (!node.domain().empty()) return false;
  const std::string& op = node.op();
  if (op == "Range" || op == "ConstantOfShape" || op == "Shape") return true;
  if (i == 0) return false;
  return op == "Reshape" || op == "Expand" || op == "Unsqueeze" || op == "Squeeze" ||
         op == "Slice" || op == "Split" || op == "Tile" || op == "Pad" || op.starts_with("Reduce");
}

std::vector<Facts> DeriveFacts(const RuleCall& call) {
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    if (call.has(i) && call.facts(i).content == Content::kWrong)
      return {call.outputs.size(), Facts::Wrong(call.facts(i).reason)};
  }
  std::vector<Facts> outputs = RuleOf(call.node)(call);
  outputs.resize(call.outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    // Outputs that a rule does not tell apart are absent or have no padding.
    if (outputs[i].axes.empty() && outputs[i].content != Content::kWrong)
      outputs[i].axes = ConstantAxes(call.outputs[i]);
    JoinContent(call, outputs[i]);
  }
  return outputs;
}

}  // namespace sinter::passes
