// %y = F(%a, %b)               ->  %a1 = Gather(%a, %rows, axis)
// %z = Gather(%y, %rows, axis)     %b1 = Gather(%b, %rows, axis)
//                                  %z = F(%a1, %b1)
//
// This applies to nodes that work row by row and whose results are read only through the gather:
// norms, products with constants, elementwise operators. Only the logits of the last row are wanted
// (last_row_logits.h), so in the last layer everything except the attention and its inputs is
// computed for one row. For a prompt of 512 tokens this saves 4% with 16 layers and 2% with 32.
#include "passes/hoist_gather.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "graph/ops.h"
#include "passes/match.h"

namespace sinter::passes {
namespace {

using graph::Node;
using graph::Value;

// A Gather that selects rows of values [.., rows, ..] with `rank` dimensions and the rows along
// `axis`.
struct Choice {
  Node* gather = nullptr;
  size_t rank = 0, axis = 0;
  int64_t rows = 0, chosen = 0;
  bool one_sequence = false;  // values are [1, rows, ..]
};

std::optional<Choice> ChoiceOf(Node* node) {
  if (!Is(node, "", "Gather")) return {};
  const Value *x = node->input(0), *index = node->input(1);
  // An index that a node computes may be computed too late. An index of another rank changes the
  // shape.
  if (!x->has_static_shape() || !index->has_static_shape() || index->producer() != nullptr ||
      index->shape().size() != 1) {
    return {};
  }
  const graph::Shape shape = x->shape();
  const int64_t axis =
      graph::NormalizeAxis(*node, node->Int("axis", 0), static_cast<int64_t>(shape.size()));
  const Choice choice = {node,
                         shape.size(),
                         static_cast<size_t>(axis),
                         shape[static_cast<size_t>(axis)],
                         index->shape()[0],
                         axis == 1 && shape[0] == 1};
  if (choice.chosen >= choice.rows) return {};
  return choice;
}

// Returns the dimension of `value` that holds the rows: the choice's axis, or 0 if there is only
// one sequence and `value` has no dimension for it. Returns nothing if `value` has no such rows or
// is a constant.
std::optional<size_t> RowAxis(const Value* value, const Choice& choice) {
  if (value->constant || !value->has_static_shape()) return {};
  const graph::Shape shape = value->shape();
  if (shape.size() == choice.rank && shape[choice.axis] == choice.rows) return choice.axis;
  if (choice.one_sequence && shape.size() + 1 == choice.rank && shape[0] == choice.rows) return 0;
  return {};
}

// Returns whether `value` is a constant that is the same for all rows.
bool IsSameForRows(const Value* value, const Choice& choice) {
  if (!value->constant) return false;
  const graph::Shape& shape = value->constant->shape;
  const size_t behind = choice.rank - choice.axis;  // dimensions from the rows on
  return shape.size() < behind || shape[shape.size() - behind] == 1;
}

// Returns whether the Reshape turns [1, rows, n] into [rows, n] or back, for any number of rows:
// its target has -1 for the rows.
bool LeavesRows(const Node& reshape, const Choice& choice) {
  const Value* target = reshape.input(1);
  const std::optional<size_t> from = RowAxis(reshape.input(0), choice),
                              to = RowAxis(reshape.output(0), choice);
  return from && to && target->constant && target->constant->ToInts()[*to] == -1 &&
         reshape.input(0)->shape().back() == reshape.output(0)->shape().back();
}

// Returns the number of inputs, counted from the first, that have rows, if the node computes each
// row of its outputs from the same row of these inputs and from constants. Returns 0 otherwise.
size_t InputsWithRows(const Node& node, const Choice& choice) {
  if (Is(&node, "", "Reshape")) return LeavesRows(node, choice) ? 1 : 0;
  // The operators below combine the elements of the last dimension, so rows cannot be along it.
  if (choice.axis + 1 == choice.rank) return 0;
  if (IsNorm(&node) || IsProduct(&node)) return 1;
  if (Is(&node, "", "MatMul"))
    return node.input(1)->constant && node.input(1)->constant->shape.size() == 2 ? 1 : 0;
  // The second input with rows is the skip, or the router's logits of the experts.
  if (Is(&node, "com.microsoft", "SkipSimplifiedLayerNormalization")) return 2;
  if (Is(&node, "com.microsoft", "QMoE")) return 2;
  return 0;
}

// Returns whether the node computes each row of its outputs from the same row of its inputs and
// from inputs that are the same for all rows.
bool GoesByRow(const Node& node, const Choice& choice) {
  const bool by_element = IsElementwise(&node);
  const size_t with_rows = by_element ? 0 : InputsWithRows(node, choice);
  if (!by_element && with_rows == 0) return false;
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    const Value* input = node.input(i);
    if (input == nullptr) continue;
    const bool has_rows = RowAxis(input, choice).has_value();
    if (by_element      ? !has_rows && !IsSameForRows(input, choice)
        : i < with_rows ? !has_rows
                        : !input->constant) {
      return false;
    }
  }
  return std::ranges::all_of(node.outputs(), [&](const Value* output) {
    return output == nullptr || RowAxis(output, choice);
  });
}

using Region = std::set<const Node*>;

// Returns whether the node's outputs are read, and only by `gather` as its data and by nodes of the
// region.
bool IsReadWithin(const graph::Graph& graph, const Node& node, const Region& region,
                  const Node* gather) {
  bool read = false;
  for (const Value* output : node.outputs()) {
    if (output == nullptr) continue;
    if (output->is_graph_output() || graph.IsCaptured(output)) return false;
    for (const auto& [user, i] : output->uses()) {
      if (!region.contains(user) && !(user == gather && i == 0)) return false;
      read = true;
    }
  }
  return read;
}

bool Hoist(graph::Graph& graph, const Choice& choice) {
  Value *x = choice.gather->input(0), *index = choice.gather->input(1),
        *chosen = choice.gather->output(0);
  Region region;
  // Visits readers before the nodes whose outputs they read.
  for (auto it = graph.nodes().rbegin(); it != graph.nodes().rend(); ++it) {
    const Node& node = **it;
    if (IsReadWithin(graph, node, region, choice.gather) && GoesByRow(node, choice))
      region.insert(&node);
  }
  if (region.empty() || !graph.CanReplaceAllUses(chosen, x)) return false;
  std::map<Value*, Value*> rows_of;
  for (const auto& node : graph.nodes()) {
    if (!region.contains(node.get())) continue;
    for (size_t i = 0; i < node->inputs().size(); ++i) {
      Value* input = node->input(i);
      if (input == nullptr || region.contains(input->producer())) continue;
      const std::optional<size_t> axis = RowAxis(input, choice);
      if (!axis) continue;
      Value*& rows = rows_of[input];
      if (rows == nullptr) {
        graph::Shape shape = input->shape();
        shape[*axis] = choice.chosen;
        rows = graph.AddValue(input->name() + ".rows", input->dtype);
        rows->set_shape(shape);
        Node* gather = graph.AddNode("", "", "Gather", {input, index}, {rows}, node.get());
        gather->attributes["axis"] = static_cast<int64_t>(*axis);
      }
      graph.SetInput(node.get(), i, rows);
    }
  }
  for (const auto& node : graph.nodes()) {
    if (!region.contains(node.get())) continue;
    for (Value* output : node->outputs()) {
      if (output == nullptr) continue;
      const size_t axis = RowAxis(output, choice).value();
      (*output->dims)[axis] = graph::Dim(choice.chosen);
    }
  }
  graph.ReplaceAllUses(chosen, x);
  graph.RemoveNode(choice.gather);
  return true;
}

}  // namespace

int HoistGather(graph::Graph& graph, const PassOptions&) {
  std::vector<Choice> choices;
  for (const auto& node : graph.nodes()) {
    if (const std::optional<Choice> choice = ChoiceOf(node.get())) choices.push_back(*choice);
  }
  return static_cast<int>(
      std::ranges::count_if(choices, [&](const Choice& choice) { return Hoist(graph, choice); }));
}

}  // namespace sinter::passes
