// Binds the symbolic dimensions of a model's graph, so that every shape is a number, and folds what
// follows from them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace sinter::passes {

using DimBinding = std::map<std::string, int64_t>;

// A copy of `graph` with `dims` in place of the symbols in its inputs' shapes. In the copy every
// value has a type and a static shape; nodes whose outputs are known are constants (of at most 16
// MiB, or views of other constants' bytes); the branch that each If takes stands in its place; dead
// nodes are gone, the inputs are all there. An If is decided with the dimensions of `branch_dims`
// overriding those of `dims`: a program may have shapes for the whole capacity of the KV cache
// while the rotary tables hang on the true length. `graph` must pass Verify(). Throws Error naming
// the symbol that is not bound, the node whose inputs do not fit or whose output shape depends on
// data, or the If whose condition does.
std::unique_ptr<graph::Graph> Specialize(const graph::Graph& graph, const DimBinding& dims,
                                         const DimBinding& branch_dims = {});

// Which branch (true: then) each If at the top level of `graph` takes, in the order of its nodes;
// empty where there is none. Evaluates the conditions and nothing else: cheap enough for every
// step. Throws Error as Specialize does.
std::vector<bool> BranchDecisions(const graph::Graph& graph, const DimBinding& dims);

}  // namespace sinter::passes
