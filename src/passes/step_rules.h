// How the facts about a node's outputs follow from those about its inputs, by operator. Internal to
// src/passes.
#pragma once

#include <vector>

#include "graph/graph.h"
#include "passes/step_facts.h"

namespace sinter::passes {

struct RuleInput {
  const Facts* facts = nullptr;  // null for an absent input
  graph::Shape shape;            // of the program
};

struct RuleCall {
  const graph::Node& node;
  std::vector<RuleInput> inputs;
  std::vector<graph::Shape> outputs;  // shapes of the program; empty for an absent output
  Affine rows;                        // tokens of the run: a symbol, or a number in exact runs
  // Whether a prompt may be cut into several runs. Rows of a run then have the same content as in
  // one run of the whole prompt only if it does not depend on their index in the run.
  bool cut = false;

  Affine total() const { return {rows.constant, rows.tokens, 1}; }
  bool has(size_t i) const { return i < inputs.size() && inputs[i].facts != nullptr; }
  const Facts& facts(size_t i) const { return *inputs[i].facts; }
};

// Returns whether the node takes the shape of an output, not its elements, from input `i`. Such an
// input may be stale if its numbers are known: the axes of the output say what they stand for.
bool IsShapeOperand(const graph::Node& node, size_t i);

// Returns the facts about the node's outputs, one for each. An operator without a rule is right
// only on inputs that have no padding.
std::vector<Facts> DeriveFacts(const RuleCall& call);

}  // namespace sinter::passes
