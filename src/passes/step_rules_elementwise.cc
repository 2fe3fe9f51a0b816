// Rules of the operators that compute each element from the elements at the same place.
#include "passes/step_rule_util.h"

namespace sinter::passes {
namespace {

std::optional<Affine> Decide(std::optional<bool> value) {
  return value ? std::optional(Affine(*value ? 1 : 0)) : std::nullopt;
}

std::optional<Affine> Compute(const std::string& op, const Operands& x, bool to_bool) {
  const auto compare = [&](const Affine& a, const Affine& b, bool or_equal) {
    return Decide(IsLess(a, b, or_equal));
  };
  if (op == "Identity" || (op == "Cast" && !to_bool)) return x[0];
  if (op == "Cast") {
    const std::optional<bool> zero = AreEqual(x[0], 0);
    return zero ? Decide(!*zero) : std::nullopt;
  }
  if (op == "Neg") return Difference(0, x[0]);
  if (op == "Add") return Sum(x[0], x[1]);
  if (op == "Sub") return Difference(x[0], x[1]);
  if (op == "Mul") return Product(x[0], x[1]);
  if (op == "Div") return Quotient(x[0], x[1]);
  if (op == "Equal") return Decide(AreEqual(x[0], x[1]));
  if (op == "Less") return compare(x[0], x[1], false);
  if (op == "LessOrEqual") return compare(x[0], x[1], true);
  if (op == "Greater") return compare(x[1], x[0], false);
  if (op == "GreaterOrEqual") return compare(x[1], x[0], true);
  if (op == "Min" || op == "Max") {
    Affine best = x[0];
    for (const Affine& other : x) {
      const std::optional<bool> less = IsLess(other, best, true);
      if (!less) return std::nullopt;
      if (*less == (op == "Min")) best = other;
    }
    return best;
  }
  if (op == "Where" && x[0].is_constant()) return x[0].constant != 0 ? x[1] : x[2];
  if (op == "Not" && x[0].is_constant()) return Affine(x[0].constant == 0 ? 1 : 0);
  if ((op == "And" || op == "Or") && x[0].is_constant() && x[1].is_constant()) {
    const bool a = x[0].constant != 0, b = x[1].constant != 0;
    return Affine((op == "And" ? a && b : a || b) ? 1 : 0);
  }
  return std::nullopt;
}

std::optional<std::vector<Affine>> ElementwiseNumbers(const RuleCall& call) {
  const graph::Value* output = call.node.output(0);
  const DType to =
      call.node.op() == "Cast" ? static_cast<DType>(call.node.Int("to", 0)) : output->dtype;
  if (IsFloat(to)) return std::nullopt;
  const int64_t count = graph::NumElements(call.outputs[0]);
  if (count > kMaxNumbers) return std::nullopt;
  for (const RuleInput& input : call.inputs) {
    if (input.facts == nullptr || !input.facts->numbers) return std::nullopt;
    const auto have = static_cast<int64_t>(input.facts->numbers->size());
    if (have != 1 && have != count) return std::nullopt;
  }
  std::vector<Affine> numbers;
  for (int64_t i = 0; i < count; ++i) {
    Operands operands;
    for (const RuleInput& input : call.inputs) {
      const std::vector<Affine>& of = *input.facts->numbers;
      operands.push_back(of[of.size() == 1 ? 0 : static_cast<size_t>(i)]);
    }
    const std::optional<Affine> number = Compute(call.node.op(), operands, to == DType::kBool);
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  return numbers;
}

// Returns a sequence base + step * i of which the node changes the base or the step.
std::optional<Iota> ElementwiseIota(const RuleCall& call, const std::vector<Affine>& axes) {
  const std::string& op = call.node.op();
  std::optional<size_t> with;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    if (!call.has(i)) return std::nullopt;
    if (!call.facts(i).iota) {
      if (!NumberOf(call, i)) return std::nullopt;
    } else if (with) {
      return std::nullopt;
    } else {
      with = i;
    }
  }
  if (!with) return std::nullopt;
  Iota iota = *call.facts(*with).iota;
  iota.axis += axes.size() - call.facts(*with).axes.size();
  for (size_t i = 0; i < axes.size(); ++i) {
    if (i != iota.axis && !axes[i].is(1)) return std::nullopt;
  }
  if (op == "Identity") return iota;
  if (op == "Cast") {
    const auto to = static_cast<DType>(call.node.Int("to", 0));
    return to == DType::kI64 || to == DType::kI32 ? std::optional(iota) : std::nullopt;
  }
  if (call.inputs.size() != 2) return std::nullopt;
  const Affine other = *NumberOf(call, 1 - *with);
  std::optional<Affine> base;
  if (op == "Add") base = Sum(iota.base, other);
  if (op == "Sub") base = *with == 0 ? Difference(iota.base, other) : Difference(other, iota.base);
  if (op == "Mul" && other.is_constant()) base = Product(iota.base, other);
  if (!base) return std::nullopt;
  if (op == "Sub" && *with == 1) iota.step = -iota.step;
  if (op == "Mul" && __builtin_mul_overflow(iota.step, other.constant, &iota.step))
    return std::nullopt;
  iota.base = *base;
  return iota;
}

Facts Elementwise(const RuleCall& call) {
  Facts out;
  const size_t rank = call.outputs[0].size();
  for (size_t d = 0; d < rank; ++d) {
    std::optional<Affine> size;
    for (const RuleInput& input : call.inputs) {
      if (input.facts == nullptr) continue;
      const std::vector<Affine>& axes = input.facts->axes;
      if (d + axes.size() < rank) continue;
      const Affine& axis = axes[d + axes.size() - rank];
      if (axis.is(1)) continue;
      if (size && *size != axis)
        return Wrong(call, "joins an axis of {} with one of {}", Text(*size), Text(axis));
      size = axis;
    }
    out.axes.push_back(size.value_or(1));
  }
  out.numbers = ElementwiseNumbers(call);
  out.iota = ElementwiseIota(call, out.axes);
  const bool moves = call.node.op() == "Cast" || call.node.op() == "Identity";
  out.is_mask = moves && call.facts(0).is_mask;
  out.is_last_row = moves && call.facts(0).is_last_row;
  return out;
}

}  // namespace

Rule FindElementwiseRule(std::string_view domain, std::string_view op) {
  constexpr std::string_view kOnnx[] = {"Abs",         "Add",     "And",        "Cast",
                                        "Ceil",        "Clip",    "Cos",        "Div",
                                        "Elu",         "Equal",   "Erf",        "Exp",
                                        "Floor",       "Gelu",    "Greater",    "GreaterOrEqual",
                                        "Identity",    "IsNaN",   "LeakyRelu",  "Less",
                                        "LessOrEqual", "Log",     "Max",        "Min",
                                        "Mod",         "Mul",     "Neg",        "Not",
                                        "Or",          "Pow",     "Reciprocal", "Relu",
                                        "Round",       "Sigmoid", "Sign",       "Sin",
                                        "Softplus",    "Sqrt",    "Sub",        "Tanh",
                                        "Where",       "Xor"};
  // The bias of the last two runs along the last axis.
  constexpr std::string_view kContrib[] = {"Gelu", "QuickGelu", "FastGelu", "BiasGelu"};
  const bool found = domain.empty() ? std::ranges::find(kOnnx, op) != std::end(kOnnx)
                                    : std::ranges::find(kContrib, op) != std::end(kContrib);
  return found ? One<Elementwise> : nullptr;
}

}  // namespace sinter::passes
