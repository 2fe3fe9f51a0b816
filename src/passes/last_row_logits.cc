// %logits = MatMulNBits(%x, weights)  ->  %row = Gather(%x, %sinter.last_row, axis = 1)
//                                         %logits = MatMulNBits(%row, weights)
//
// The next token is chosen from the logits of the prompt's last token. The product of all other
// rows of a chunk with the vocabulary's matrix would be discarded: with 512 tokens of Qwen3-1.7B it
// is 27 % of the multiplications. %x is [batch, sequence, hidden]. Nodes between the product and
// the output (bias, softcap, a Cast) are elementwise and then process one row too.
#include "passes/last_row_logits.h"

#include <algorithm>

#include "passes/match.h"

namespace sinter::passes {
namespace {

using graph::Node;
using graph::Value;

bool IsLogitsProduct(const Node& node) {
  if (node.domain() == "com.microsoft") return node.op() == "MatMulNBits";
  return node.domain().empty() && node.op() == "MatMul";
}

// Returns whether each row of the output depends only on the same row of input 0 and on constants
// along the last axis.
bool KeepsRows(const Node& node) {
  if (!IsElementwise(&node)) return false;
  // A constant must not have a dimension for rows.
  return std::all_of(node.inputs().begin() + 1, node.inputs().end(), [](const Value* input) {
    return input->constant && input->constant->shape.size() <= 1;
  });
}

// Returns the product that the logits are computed from. Returns null if a node in between combines
// rows, or if another node reads all rows.
Node* FindProduct(const Value* logits) {
  const Value* value = logits;
  while (Node* node = value->producer()) {
    if (value != logits && (graph::OnlyUse(value) == nullptr)) return nullptr;
    if (node->outputs().size() != 1) return nullptr;
    if (IsLogitsProduct(*node)) return node;
    if (!KeepsRows(*node)) return nullptr;
    value = node->input(0);
  }
  return nullptr;
}

}  // namespace

int LastRowLogits(graph::Graph& graph, const PassOptions& options) {
  Value* logits = graph.FindValue(options.logits);
  if (logits == nullptr || !logits->is_graph_output() || !logits->uses().empty()) return 0;
  if (!logits->dims || logits->dims->size() != 3) return 0;
  Node* product = FindProduct(logits);
  if (product == nullptr) return 0;
  // The weight must be a constant matrix: a computed one could have rows of the sequence.
  if (product->op() == "MatMul" &&
      !(product->input(1)->constant && product->input(1)->constant->shape.size() == 2)) {
    return 0;
  }
  Value* x = product->input(0);
  if (x->constant) return 0;
  Value* row_index = graph.AddInput(kLastRow, DType::kI64, graph::Dims{graph::Dim(1)});
  Value* row = graph.AddValue(x->name() + ".last_row", x->dtype);
  Node* gather = graph.AddNode("", "", "Gather", {x, row_index}, {row}, product);
  gather->attributes["axis"] = int64_t{1};
  graph.SetInput(product, 0, row);
  // The file's declared shapes of the values after the product no longer hold.
  for (Value* value = product->output(0); value != logits;) {
    value->dims.reset();
    value = graph::OnlyUse(value)->output(0);
  }
  (*logits->dims)[1] = graph::Dim(1);
  return 1;
}

}  // namespace sinter::passes
