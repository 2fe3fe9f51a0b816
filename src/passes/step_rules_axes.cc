// Rules of the operators that take the elements along an axis together: reductions, norms,
// products, attention.
#include "graph/gqa_inputs.h"
#include "passes/step_reshape.h"
#include "passes/step_rule_util.h"

namespace sinter::passes {
namespace {

bool AreEqual(const std::vector<Affine>& numbers) {
  return std::ranges::all_of(numbers, [&](const Affine& each) { return each == numbers[0]; }) &&
         !numbers.empty();
}

Facts Reduce(const RuleCall& call) {
  const Facts& from = call.facts(0);
  std::vector<int64_t> axes = call.node.Ints("axes", {});
  if (call.has(1)) {
    const std::optional<std::vector<int64_t>> list = ConstantsOf(call, 1);
    if (!list) return Wrong(call, "its axes depend on the run");
    axes = *list;
  }
  std::vector<bool> reduced(from.axes.size(),
                            axes.empty() && call.node.Int("noop_with_empty_axes", 0) == 0);
  for (const int64_t axis : axes) {
    reduced[static_cast<size_t>(
        graph::NormalizeAxis(call.node, axis, static_cast<int64_t>(from.axes.size())))] = true;
  }
  const bool keep = call.node.Int("keepdims", 1) != 0;
  Facts out;
  Affine count = 1;
  for (size_t d = 0; d < reduced.size(); ++d) {
    if (!reduced[d] || keep) out.axes.push_back(reduced[d] ? Affine(1) : from.axes[d]);
    if (!reduced[d]) continue;
    const std::optional<Affine> product = Product(count, from.axes[d]);
    if (!product) return Mixes(call, from.axes[d]);
    count = *product;
  }
  if (count.is_constant()) {
    if (!from.numbers) return out;
    if (from.numbers->size() == 1) {
      out.numbers = from.numbers;
    } else if (call.node.op() == "ReduceMax" && AreEqual(*from.numbers)) {
      // The longest of a batch of sequences that have lengths of their own.
      out.numbers.emplace(static_cast<size_t>(graph::NumElements(call.outputs[0])),
                          (*from.numbers)[0]);
      out.content = Content::kLength;
    }
    return out;
  }
  // The mask is 0 at the padding, so its sum is the number of valid positions, of each sequence of
  // a batch.
  if (from.is_mask && call.node.op() == "ReduceSum" && AllConstant(out.axes)) {
    const int64_t sums = graph::NumElements(call.outputs[0]);
    if (!IsFloat(call.node.output(0)->dtype) && sums <= kMaxNumbers)
      out.numbers.emplace(static_cast<size_t>(sums), count);
    if (call.cut) out.content = Content::kLength;
    return out;
  }
  return Mixes(call, count);
}

// Facts about an output of the input's axes whose elements along `axis` are computed together.
Facts Along(const RuleCall& call, size_t axis) {
  Facts out;
  out.axes = call.facts(0).axes;
  for (size_t d = axis; d < out.axes.size(); ++d) {
    if (!out.axes[d].is_constant()) return Mixes(call, out.axes[d]);
  }
  return out;
}

Facts Softmax(const RuleCall& call) {
  const std::vector<Affine>& axes = call.facts(0).axes;
  const Affine& axis = axes[AxisOf(call.node, "axis", -1, axes.size())];
  if (!axis.is_constant()) return Mixes(call, axis);
  Facts out;
  out.axes = axes;
  return out;
}

std::vector<Facts> Norm(const RuleCall& call) {
  const size_t rank = call.facts(0).axes.size();
  Facts out = Along(call, AxisOf(call.node, "axis", -1, rank));
  std::vector<Facts> outputs(call.outputs.size(), out);
  // The statistics of SkipSimplifiedLayerNormalization have one element a row.
  for (size_t i = 0; i < outputs.size(); ++i) {
    for (size_t d = 0; d < call.outputs[i].size() && d < outputs[i].axes.size(); ++d) {
      if (outputs[i].axes[d].is_constant()) outputs[i].axes[d] = call.outputs[i][d];
    }
  }
  return outputs;
}

Facts MatMul(const RuleCall& call) {
  std::vector<Affine> a = call.facts(0).axes, b = call.facts(1).axes;
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), 1);
  if (column) b.emplace_back(1);
  if (!a.back().is_constant()) return Mixes(call, a.back());
  if (!b[b.size() - 2].is_constant()) return Mixes(call, b[b.size() - 2]);
  Facts out;
  const size_t rank = std::max(a.size(), b.size());
  for (size_t d = 0; d + 2 < rank; ++d) {
    const Affine x = d + a.size() < rank ? Affine(1) : a[d + a.size() - rank];
    const Affine y = d + b.size() < rank ? Affine(1) : b[d + b.size() - rank];
    if (x != y && !x.is(1) && !y.is(1))
      return Wrong(call, "joins an axis of {} with one of {}", Text(x), Text(y));
    out.axes.push_back(x.is(1) ? y : x);
  }
  if (!row) out.axes.push_back(a[a.size() - 2]);
  if (!column) out.axes.push_back(b.back());
  return out;
}

// Each row of the output follows from the same row of input 0 and from constants.
Facts RowByRow(const RuleCall& call) {
  Facts out = Along(call, call.facts(0).axes.size() - 1);
  if (out.content == Content::kWrong) return out;
  out.axes.back() = call.outputs[0].back();
  for (size_t i = 1; i < call.inputs.size(); ++i) {
    if (call.has(i) && !AllConstant(call.facts(i).axes))
      return Wrong(call, "input {}: got an axis that depends on the run", i);
  }
  return out;
}

Facts GatherQuantized(const RuleCall& call) {
  Facts out;
  out.axes = call.facts(1).axes;
  out.axes.push_back(call.outputs[0].back());
  for (const size_t i : {size_t{0}, size_t{2}}) {
    if (!AllConstant(call.facts(i).axes))
      return Wrong(call, "input {}: got an axis that depends on the run", i);
  }
  return out;
}

Facts Experts(const RuleCall& call) {
  const std::vector<Affine>&x = call.facts(0).axes, &router = call.facts(1).axes;
  const std::optional<Affine> tokens = ProductOf({x.begin(), x.end() - 1});
  if (!tokens || !x.back().is_constant() || router[0] != *tokens || !router[1].is_constant())
    return Wrong(call, "input 1: got the router's rows of {}, want {}", Text(router[0]),
                 tokens ? Text(*tokens) : "as many as tokens");
  Facts out;
  out.axes = x;
  return out;
}

Facts Rotary(const RuleCall& call) {
  const size_t positions = call.node.domain().empty() ? 3 : 1;
  const std::vector<Affine>& x = call.facts(0).axes;
  Facts out;
  out.axes = x;
  if (!x.back().is_constant()) return Mixes(call, x.back());
  const Affine& rows = x[x.size() == 3 ? 1 : 2];
  if (!call.has(positions)) return out;
  if (graph::NumElements(call.inputs[positions].shape) == 1 && !rows.is(1)) {
    // One offset for all rows: row i has position offset + i.
    const std::optional<Affine> offset = NumberOf(call, positions);
    const bool follows = offset && offset->past == 1 && offset->tokens == 0;
    if (call.cut && !(follows && rows == call.rows)) return CutMatters(call);
    return out;
  }
  if (call.facts(positions).axes.back() != rows)
    return Wrong(call, "got {} positions for {} rows", Text(call.facts(positions).axes.back()),
                 Text(rows));
  return out;
}

std::vector<Facts> GroupQueryAttention(const RuleCall& call) {
  using enum graph::GqaInput;
  const std::vector<Affine>& query = call.facts(kQuery).axes;
  const auto all = [&](const Facts& facts) {
    return std::vector<Facts>(call.outputs.size(), facts);
  };
  if (query[1] != call.rows || !query[0].is_constant() || !query[2].is_constant()) {
    return all(
        Wrong(call, "input 0 (query): got {} rows, want {}", Text(query[1]), Text(call.rows)));
  }
  const bool has_past = call.has(kPastKey);
  if (!has_past && call.cut) return all(Mixes(call, call.rows));
  const Affine total = has_past ? call.total() : call.rows;
  for (const size_t i : {kPastKey, kPastValue}) {
    if (call.has(i) && call.facts(i).axes[2] != Affine(0, 0, 1))
      return all(Wrong(call, "input {}: got a past of {} rows, want the KV cache's", i,
                       Text(call.facts(i).axes[2])));
  }
  const auto want = [&](size_t i, const char* name, const Affine& length) -> std::optional<Facts> {
    // A batch has a number for each of its sequences.
    std::optional<Affine> got;
    if (call.has(i) && call.facts(i).numbers && AreEqual(*call.facts(i).numbers))
      got = (*call.facts(i).numbers)[0];
    if (got == length) return std::nullopt;
    return Wrong(call, "input {} ({}): got {}, want {}", i, name,
                 got ? Text(*got) : "a number that is not followed", Text(length));
  };
  if (auto wrong = want(kSeqlensK, "seqlens_k", Difference(total, 1).value_or(total)))
    return all(*wrong);
  if (auto wrong = want(kTotalSequenceLength, "total_sequence_length", total)) return all(*wrong);
  if (call.has(kPositionIds) && call.facts(kPositionIds).axes.back() != call.rows)
    return all(Wrong(call, "input {}: got {} positions", +kPositionIds,
                     Text(call.facts(kPositionIds).axes.back())));
  if (call.has(kAttentionBias)) {
    const std::vector<Affine>& bias = call.facts(kAttentionBias).axes;
    if (bias[2] != call.rows || bias[3] != total)
      return all(Wrong(call, "input {}: got a bias of {} by {}, want {} by {}", +kAttentionBias,
                       Text(bias[2]), Text(bias[3]), Text(call.rows), Text(total)));
  }
  std::vector<Facts> outputs(call.outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    outputs[i].axes = ConstantAxes(call.outputs[i]);
    if (outputs[i].axes.empty()) continue;
    outputs[i].axes[i == 0 ? 1 : 2] = i == 0 ? call.rows : total;
  }
  return outputs;
}

}  // namespace

Rule FindAxisRule(std::string_view domain, std::string_view op) {
  constexpr std::pair<std::string_view, Rule> kOnnx[] = {
      {"Softmax", One<Softmax>},  {"SimplifiedLayerNormalization", Norm},
      {"RMSNormalization", Norm}, {"LayerNormalization", Norm},
      {"MatMul", One<MatMul>},    {"RotaryEmbedding", One<Rotary>},
  };
  constexpr std::pair<std::string_view, Rule> kContrib[] = {
      {"MatMulNBits", One<RowByRow>},
      {"GatherBlockQuantized", One<GatherQuantized>},
      {"QMoE", One<Experts>},
      {"MoE", One<Experts>},
      {"SimplifiedLayerNormalization", Norm},
      {"SkipSimplifiedLayerNormalization", Norm},
      {"SkipLayerNormalization", Norm},
      {"RotaryEmbedding", One<Rotary>},
      {"GroupQueryAttention", GroupQueryAttention},
  };
  if (domain.empty() && op.starts_with("Reduce")) return One<Reduce>;
  const std::span<const std::pair<std::string_view, Rule>> rules =
      domain.empty() ? std::span(kOnnx)
                     : std::span<const std::pair<std::string_view, Rule>>(kContrib);
  for (const auto& [name, rule] : rules) {
    if (name == op) return rule;
  }
  return nullptr;
}

}  // namespace sinter::passes
