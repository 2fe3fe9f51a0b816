#include "passes/step_analysis.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "graph/gqa_inputs.h"
#include "graph/ops.h"
#include "passes/last_row_logits.h"
#include "passes/match.h"
#include "passes/step_rules.h"

namespace sinter::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Shape;
using graph::Tensor;
using graph::Value;

Tensor Ints(DType dtype, const Shape& shape, const std::vector<int64_t>& values) {
  return Tensor::FromInts(dtype, shape, values);
}

// Returns the constant `tensor` of known elements as facts.
Facts FactsOfConstant(const Tensor& tensor) {
  Facts facts;
  facts.axes = {tensor.shape.begin(), tensor.shape.end()};
  const bool whole =
      tensor.dtype == DType::kI64 || tensor.dtype == DType::kI32 || tensor.dtype == DType::kBool;
  if (whole && tensor.num_elements() <= kMaxNumbers) {
    const std::vector<int64_t> values = tensor.ToInts();
    facts.numbers = std::vector<Affine>(values.begin(), values.end());
  }
  return facts;
}

}  // namespace

StepAnalysis::StepAnalysis(Graph& graph, const StepRoles& roles) : graph_(graph), roles_(roles) {
  const auto find = [&](const std::string& name) -> const Value* {
    const Value* value = graph.FindValue(name);
    const auto& inputs = graph.inputs();
    return std::ranges::find(inputs, value) == inputs.end() ? nullptr : value;
  };
  const auto want_rank = [](const Value& input, size_t rank) {
    if (input.shape().size() == rank) return;
    throw StepError(fmt::format("graph input '{}': got {} dimensions, want {}", input.name(),
                                input.shape().size(), rank));
  };
  if (const Value* ids = find(roles.input_ids)) {
    want_rank(*ids, 2);
    batch_ = ids->shape()[0];
    program_rows_ = ids->shape()[1];
  }
  // The only row of a run is always valid, and a prompt of one row cannot be cut.
  cut_ = !roles.exact && program_rows_ > 1;
  rows_ = cut_ ? Affine(0, 1, 0) : Affine(program_rows_);
  const Affine past(0, 0, 1), total(rows_.constant, rows_.tokens, 1);
  for (const Value* input : graph.inputs()) {
    const Shape shape = input->shape();
    Facts facts;
    facts.axes = {shape.begin(), shape.end()};
    if (input->name() == roles.input_ids) {
      facts.axes[1] = rows_;
    } else if (input->name() == roles.position_ids) {
      want_rank(*input, 2);
      facts.axes[1] = rows_;
      facts.iota = Iota{1, past, 1};
    } else if (input->name() == roles.attention_mask) {
      want_rank(*input, 2);
      facts.axes[1] = total;
      facts.is_mask = true;
    } else if (roles.caches.contains(input->name())) {
      want_rank(*input, 4);
      facts.axes[2] = past;
      program_past_ = std::max<int64_t>(0, shape[2] - program_rows_);
    } else if (input->name() == kLastRow) {
      facts.is_last_row = true;
      if (cut_) facts.content = Content::kLast;
    }
    facts_[input] = std::move(facts);
  }
}

Facts& StepAnalysis::FactsOf(const Value* value) {
  const auto found = facts_.find(value);
  if (found != facts_.end()) return found->second;
  Facts facts;
  if (value->constant) {
    facts = FactsOfConstant(*value->constant);
  } else {
    const Shape shape = value->shape();
    facts.axes = {shape.begin(), shape.end()};
  }
  return facts_[value] = std::move(facts);
}

void StepAnalysis::Note(const Value* value, Facts facts) {
  if (value != nullptr) facts_[value] = std::move(facts);
}

std::vector<Facts> StepAnalysis::FactsOfOutputs(const Node& node,
                                                const std::vector<Shape>& shapes) {
  RuleCall call{node, {}, shapes, rows_, cut_};
  for (const Value* input : node.inputs()) {
    RuleInput& operand = call.inputs.emplace_back();
    if (input == nullptr) continue;
    operand.facts = &FactsOf(input);
    operand.shape = input->shape();
  }
  return DeriveFacts(call);
}

Value* StepAnalysis::PastLength() {
  Value* past = graph_.FindValue(kPastLength);
  if (past != nullptr) return past;
  past = graph_.AddInput(kPastLength, DType::kI64, graph::Dims{graph::Dim(1)});
  Facts facts;
  facts.axes = {1};
  facts_[past] = std::move(facts);
  return past;
}

Value* StepAnalysis::LastRow(const Node& node) {
  Value* row = graph_.FindValue(kLastRow);
  if (row == nullptr) row = graph_.AddInput(kLastRow, DType::kI64, graph::Dims{graph::Dim(1)});
  Facts facts;
  facts.axes = {1};
  facts.is_last_row = true;
  facts.content = Content::kLast;
  facts.reason = fmt::format("{}: takes the row of a prompt's last token", node.Describe());
  facts_[row] = std::move(facts);
  return row;
}

// Adds a node of one output, and infers its type. `to` is the element type of a Cast.
Value* StepAnalysis::Emit(const char* op, std::vector<Value*> inputs, Node* before, int64_t to) {
  Value* output = graph_.AddValue("sinter.step");
  Node* node = graph_.AddNode("", "", op, std::move(inputs), {output}, before);
  if (to != 0) node->attributes["to"] = to;
  graph::InferNode(*node);
  return output;
}

// Returns the number, i64 [1], as the run has it: with the program's rows and the run's own past.
Value* StepAnalysis::Compute(const Affine& number, Node* before) {
  const auto constant = [&](int64_t value) {
    return graph_.AddConstant("sinter.number", Ints(DType::kI64, {1}, {value}));
  };
  const int64_t offset = At(number, program_rows_, 0);
  if (number.past == 0) return constant(offset);
  Value* value = PastLength();
  if (number.past != 1) value = Emit("Mul", {value, constant(number.past)}, before);
  return offset == 0 ? value : Emit("Add", {value, constant(offset)}, before);
}

Value* StepAnalysis::MakeTwin(Value* value, Facts& facts, Node* before) {
  const Tensor& folded = *value->constant;
  Value* twin = nullptr;
  Facts known;
  known.axes = facts.axes;
  if (facts.numbers) {
    if (folded.dtype == DType::kBool) {
      facts.reason = "a condition depends on the number of tokens";
      return nullptr;
    }
    std::vector<Value*> parts;
    for (const Affine& number : *facts.numbers) parts.push_back(Compute(number, before));
    if (parts.empty()) return value;
    twin = parts[0];
    if (parts.size() > 1) {
      twin = graph_.AddValue("sinter.step");
      Node* concat = graph_.AddNode("", "", "Concat", parts, {twin}, before);
      concat->attributes["axis"] = int64_t{0};
      graph::InferNode(*concat);
    }
    known.numbers = facts.numbers;
    if (cut_) known.content = Content::kLength;
  } else {
    const Iota& iota = *facts.iota;
    // In a prompt that may be cut, a row's index in its run says nothing; its position does.
    if (cut_ && (iota.base.past != 1 || iota.base.tokens != 0 || iota.step != 1)) {
      facts.reason =
          fmt::format("the numbers {} + {} * i of the tokens i change with the cut of a prompt",
                      Text(iota.base), iota.step);
      return nullptr;
    }
    std::vector<int64_t> steps(static_cast<size_t>(folded.num_elements()));
    for (size_t i = 0; i < steps.size(); ++i)
      steps[i] = At({iota.base.constant, iota.base.tokens, iota.step}, program_rows_,
                    static_cast<int64_t>(i));
    twin = Emit("Add",
                {graph_.AddConstant("sinter.steps", Ints(DType::kI64, folded.shape, steps)),
                 Compute({0, 0, iota.base.past}, before)},
                before);
    known.iota = iota;
  }
  if (twin->shape() != folded.shape) {
    twin = Emit(
        "Reshape",
        {twin, graph_.AddConstant(
                   "sinter.shape",
                   Ints(DType::kI64, {static_cast<int64_t>(folded.shape.size())}, folded.shape))},
        before);
  }
  if (folded.dtype != DType::kI64)
    twin = Emit("Cast", {twin}, before, static_cast<int64_t>(folded.dtype));
  Note(twin, std::move(known));
  return twin;
}

Value* StepAnalysis::TwinOf(Value* value, Node* before) {
  // A reference into the map would not survive what MakeTwin notes.
  Facts facts = FactsOf(value);
  if (facts.twin == nullptr && facts.reason.empty() && (facts.numbers || facts.iota)) {
    facts.twin = MakeTwin(value, facts, before);
    if (!facts.reason.empty())
      facts.reason = fmt::format("{}: '{}': {}", before->Describe(), value->name(), facts.reason);
    Note(value, facts);
  }
  return facts.twin;
}

void StepAnalysis::Repeat(Node* node, std::vector<Facts>& outputs) {
  const auto fail = [&](const std::string& why) {
    for (Facts& facts : outputs) {
      if (facts.content == Content::kStale) facts.reason = why;
    }
  };
  std::vector<Value*> inputs = node->inputs(), twins;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == nullptr || IsShapeOperand(*node, i) ||
        FactsOf(inputs[i]).content != Content::kStale) {
      continue;
    }
    Value* twin = TwinOf(inputs[i], node);
    if (twin == nullptr) return fail(FactsOf(inputs[i]).reason);
    inputs[i] = twin;
  }
  for (const Value* output : node->outputs())
    twins.push_back(output == nullptr ? nullptr : graph_.AddValue(output->name()));
  Node* repeated = graph_.AddNode(node->name(), node->domain(), node->op(), inputs, twins, node);
  repeated->attributes = node->attributes;
  graph::InferNode(*repeated);
  Derive(*repeated);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (twins[i] == nullptr || outputs[i].content != Content::kStale) continue;
    const Facts& facts = FactsOf(twins[i]);
    if (facts.content == Content::kWrong) {
      outputs[i].reason = facts.reason;
    } else {
      outputs[i].twin = twins[i];
    }
  }
}

void StepAnalysis::BindLastRow(Node* node) {
  const bool is_gather = Is(node, "", "Gather"), is_slice = Is(node, "", "Slice");
  if (!cut_ || (!is_gather && !is_slice) || !IsKnown(node->input(0))) return;
  const auto number = [&](size_t i) -> std::optional<int64_t> {
    const Value* list = node->input(i);
    if (list == nullptr || !list->constant || list->constant->num_elements() != 1) return {};
    const Facts& facts = FactsOf(list);
    if (!facts.numbers || !(*facts.numbers)[0].is_constant()) return {};
    return (*facts.numbers)[0].constant;
  };
  const Facts& data = FactsOf(node->input(0));
  const auto rank = static_cast<int64_t>(data.axes.size());
  const int64_t axis = is_gather ? node->Int("axis", 0) : number(3).value_or(0);
  if (number(1) != -1 || data.content == Content::kWrong ||
      data.axes.at(static_cast<size_t>(graph::NormalizeAxis(*node, axis, rank))) != rows_) {
    return;
  }
  if (is_gather) {
    Value* row = LastRow(*node);
    const Shape shape = node->input(1)->shape();
    if (shape != row->shape()) {
      const auto dims = static_cast<int64_t>(shape.size());
      Value* target = graph_.AddConstant("sinter.shape", Ints(DType::kI64, {dims}, shape));
      row = Emit("Reshape", {row, target}, node);
      Facts facts = FactsOf(graph_.FindValue(kLastRow));
      facts.axes = {shape.begin(), shape.end()};
      Note(row, std::move(facts));
    }
    graph_.SetInput(node, 1, row);
    return;
  }
  if (number(2).value_or(0) < std::numeric_limits<int32_t>::max() || number(4).value_or(1) != 1)
    return;
  // The slice is then of an axis of one row, all of it.
  Value* rows = graph_.AddValue(node->input(0)->name());
  Node* gather =
      graph_.AddNode(node->name(), "", "Gather", {node->input(0), LastRow(*node)}, {rows}, node);
  gather->attributes["axis"] = axis;
  graph::InferNode(*gather);
  Derive(*gather);
  graph_.SetInput(node, 0, rows);
}

void StepAnalysis::Bind(Node* node) {
  using enum graph::GqaInput;
  BindLastRow(node);
  const bool is_attention = Is(node, "com.microsoft", "GroupQueryAttention");
  for (size_t i = 0; i < node->inputs().size(); ++i) {
    Value* input = node->input(i);
    if (input == nullptr || !IsKnown(input) || IsShapeOperand(*node, i)) continue;
    const Facts& facts = FactsOf(input);
    if (facts.content != Content::kStale) continue;
    if (is_attention && i == kTotalSequenceLength && facts.numbers && node->input(kPastKey)) {
      // Attention takes from it only how many rows the present has: those of the past, whose memory
      // it is. The numbers stay those of the run.
      Facts known = facts;
      known.content = Content::kLength;
      Value* rows = graph_.AddConstant(
          "sinter.cache_rows",
          Ints(input->dtype, input->shape(), {node->input(kPastKey)->shape().at(2)}));
      Note(rows, known);
      graph_.SetInput(node, i, rows);
      continue;
    }
    if (Value* twin = TwinOf(input, node)) graph_.SetInput(node, i, twin);
  }
}

void StepAnalysis::Derive(const Node& node) {
  std::vector<Shape> shapes;
  for (const Value* output : node.outputs())
    shapes.push_back(output == nullptr ? Shape() : output->shape());
  std::vector<Facts> outputs = FactsOfOutputs(node, shapes);
  for (size_t i = 0; i < outputs.size(); ++i) {
    Facts& facts = outputs[i];
    if (facts.content == Content::kStale) {
      std::string why;
      for (size_t k = 0; k < node.inputs().size() && why.empty(); ++k) {
        if (node.input(k) != nullptr && FactsOf(node.input(k)).content == Content::kStale)
          why = FactsOf(node.input(k)).reason;
      }
      facts = Facts::Wrong(!why.empty() ? why
                                        : fmt::format("{}: reads a number that is known only when "
                                                      "the model runs",
                                                      node.Describe()));
    }
    Note(node.output(i), std::move(facts));
  }
}

void StepAnalysis::Fold(Node* node, std::vector<Tensor>& tensors) {
  const bool follows = std::ranges::any_of(
      node->inputs(), [&](const Value* input) { return input != nullptr && IsKnown(input); });
  // Constants of constants need no note.
  if (!follows) return;
  std::vector<Shape> shapes;
  shapes.reserve(tensors.size());
  for (const Tensor& tensor : tensors) shapes.push_back(tensor.shape);
  std::vector<Facts> outputs = FactsOfOutputs(*node, shapes);
  if (Is(node, "", "Shape") && outputs[0].numbers) {
    std::vector<int64_t> sizes;
    for (const Affine& size : *outputs[0].numbers)
      sizes.push_back(At(size, program_rows_, program_past_));
    tensors[0] = Ints(DType::kI64, tensors[0].shape, sizes);
  }
  const bool repeat = std::ranges::any_of(outputs, [](const Facts& facts) {
    return facts.content == Content::kStale && !facts.numbers && !facts.iota;
  });
  if (repeat) Repeat(node, outputs);
  for (size_t i = 0; i < outputs.size(); ++i) Note(node->output(i), std::move(outputs[i]));
}

bool StepAnalysis::ReadsStale(const Node& node) {
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    const Value* input = node.input(i);
    if (input != nullptr && IsKnown(input) && FactsOf(input).content == Content::kStale)
      return true;
  }
  return false;
}

std::optional<bool> StepAnalysis::Decision(const Node& node) {
  const Value* condition = node.input(0);
  const Facts& facts = FactsOf(condition);
  if (facts.content == Content::kWrong) throw StepError(facts.reason);
  if (facts.content == Content::kEqual) {
    if (!condition->constant || condition->constant->num_elements() != 1) return std::nullopt;
    return condition->constant->ToInts()[0] != 0;
  }
  // Programs of one row are those of a graph that was found to be right with more rows.
  if (roles_.exact || (cut_ && facts.uses_parts)) {
    throw StepError(fmt::format(
        "{}: its condition '{}': got one that depends on the number of tokens before the run or of "
        "new ones, want one that depends on their sum only",
        node.Describe(), condition->name()));
  }
  return std::nullopt;
}

void StepAnalysis::CheckResults() {
  for (const Value* output : graph_.outputs()) {
    if (!roles_.results.contains(output->name())) continue;
    const Facts& facts = FactsOf(output);
    const bool is_logits = output->name() == roles_.logits;
    if (facts.content != Content::kEqual && !(is_logits && facts.content == Content::kLast)) {
      throw StepError(!facts.reason.empty()
                          ? facts.reason
                          : fmt::format("graph output '{}': got numbers of the run's lengths, want "
                                        "them computed from the tokens",
                                        output->name()));
    }
    if (!is_logits) continue;
    const bool one = facts.axes.size() == 3 && facts.axes[1].is(1);
    has_one_row_ = one;
    if (facts.axes.size() != 3 || !facts.axes[0].is(batch_) || (!one && facts.axes[1] != rows_)) {
      std::vector<std::string> axes;
      for (const Affine& axis : facts.axes) axes.push_back(Text(axis));
      throw StepError(fmt::format("graph output '{}': got [{}], want [batch, tokens, vocabulary]",
                                  output->name(), fmt::join(axes, ", ")));
    }
  }
}

}  // namespace sinter::passes
