// Binds the symbolic dimensions of a model's graph, so that every shape is a number, and folds the
// values that are then known.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "passes/step_analysis.h"

namespace sinter::passes {

using DimBinding = std::map<std::string, int64_t>;

// Returns a copy of `graph` with the numbers of `dims` in place of the symbols in its inputs'
// shapes. In the copy, every value has a type and a static shape. Nodes whose outputs are known are
// replaced by constants (of at most 16 MiB, or views of other constants' bytes). Each If is
// replaced by the branch that it takes. Dead nodes are removed; all inputs stay.
//
// For the decision of an If, the dimensions of `branch_dims` override those of `dims`: a program
// may have shapes for the whole capacity of the KV cache, while the choice of rotary tables depends
// on the true length. `graph` must pass Verify(). Throws Error naming the symbol that is not bound,
// the node whose inputs do not fit or whose output shape depends on data, or the If whose condition
// depends on data.
//
// With `roles`, the graph is a decoder's, and the copy computes what the decoder's results are on a
// run's real lengths (step_analysis.h), for which it may get the input kPastLength. Throws
// StepError naming the node that is the reason if that is not proved. `one_row` is set to whether
// the logits are one row.
std::unique_ptr<graph::Graph> Specialize(const graph::Graph& graph, const DimBinding& dims,
                                         const DimBinding& branch_dims = {},
                                         const StepRoles* roles = nullptr, bool* one_row = nullptr);

// Returns the branch that each If at the top level of `graph` takes (true: then), in the order of
// the nodes; empty if there is no If. Evaluates only the conditions, which is cheap enough for
// every step. Throws Error as Specialize does.
std::vector<bool> BranchDecisions(const graph::Graph& graph, const DimBinding& dims);

}  // namespace sinter::passes
