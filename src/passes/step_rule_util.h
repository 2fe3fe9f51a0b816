// Helpers of the rules in step_rules*.cc. Internal to src/passes.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/ops.h"
#include "passes/step_rules.h"

namespace sinter::passes {

using Rule = std::vector<Facts> (*)(const RuleCall&);

// Returns the rule of an operator of ONNX's own domain (empty) or com.microsoft, or null if the
// file has none.
Rule FindElementwiseRule(std::string_view domain,
                         std::string_view op);                        // step_rules_elementwise.cc
Rule FindMovementRule(std::string_view domain, std::string_view op);  // step_rules_movement.cc
Rule FindAxisRule(std::string_view domain, std::string_view op);      // step_rules_axes.cc

inline constexpr std::string_view kMicrosoftDomain = "com.microsoft";

template <typename... Args>
Facts Wrong(const RuleCall& call, fmt::format_string<Args...> format, Args&&... args) {
  return Facts::Wrong(fmt::format("{}: {}", call.node.Describe(),
                                  fmt::format(format, std::forward<Args>(args)...)));
}

// Facts about a node that takes the elements along an axis together.
inline Facts Mixes(const RuleCall& call, const Affine& size) {
  if (size.past == 0) return Wrong(call, "combines the rows of several tokens");
  return Wrong(
      call,
      "combines the elements along {}, of which a program has as many as the KV cache has rows",
      Text(size));
}

inline Facts CutMatters(const RuleCall& call) {
  return Wrong(call, "depends on a token's index in its run, not on its position");
}

inline std::vector<Affine> ConstantAxes(const graph::Shape& shape) {
  return {shape.begin(), shape.end()};
}

inline bool AllConstant(const std::vector<Affine>& axes) {
  return std::ranges::all_of(axes, &Affine::is_constant);
}

// Returns whether an axis counts from the first row of the run, wherever the run begins.
inline bool CountsFromRun(const Affine& axis) { return !axis.is_constant() && axis.past == 0; }

inline size_t AxisOf(const graph::Node& node, const char* attribute, int64_t fallback,
                     size_t rank) {
  return static_cast<size_t>(
      graph::NormalizeAxis(node, node.Int(attribute, fallback), static_cast<int64_t>(rank)));
}

// Returns the constant integers of an input, or nullopt if they are not known or not constant.
inline std::optional<std::vector<int64_t>> ConstantsOf(const RuleCall& call, size_t i) {
  if (!call.has(i) || !call.facts(i).numbers) return std::nullopt;
  std::vector<int64_t> values;
  for (const Affine& number : *call.facts(i).numbers) {
    if (!number.is_constant()) return std::nullopt;
    values.push_back(number.constant);
  }
  return values;
}

inline std::optional<Affine> NumberOf(const RuleCall& call, size_t i) {
  if (!call.has(i) || !call.facts(i).numbers || call.facts(i).numbers->size() != 1)
    return std::nullopt;
  return (*call.facts(i).numbers)[0];
}

inline std::optional<bool> IsLess(const Affine& a, const Affine& b, bool or_equal) {
  const std::optional<Affine> d = Difference(a, b);
  if (!d) return std::nullopt;
  const int64_t bound = or_equal ? 1 : 0;
  if (d->Largest() && *d->Largest() < bound) return true;
  if (d->Least() && *d->Least() >= bound) return false;
  return std::nullopt;
}

inline std::optional<bool> AreEqual(const Affine& a, const Affine& b) {
  const std::optional<Affine> d = Difference(a, b);
  if (!d) return std::nullopt;
  if (d->is(0)) return true;
  if (d->Least().value_or(0) > 0 || d->Largest().value_or(0) < 0) return false;
  return std::nullopt;
}

using Operands = std::vector<Affine>;

// Makes a rule for all outputs of one for the only output.
template <Facts (*rule)(const RuleCall&)>
std::vector<Facts> One(const RuleCall& call) {
  return {rule(call)};
}

}  // namespace sinter::passes
