// Turns the graph of a model folder into the graph of a program, whose shapes are all numbers.
// Needs no GPU.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "graph/graph.h"
#include "model/genai_config.h"
#include "passes/pass.h"

namespace sinter::model {

// Sizes that turn a symbolic graph into a program's graph: rows of tokens in one run and rows of
// the KV cache.
struct ProgramShape {
  int64_t sequence = 1;
  int64_t capacity = 1;
};

// Options for rewriting graphs.
struct RewriteOptions {
  // Fusion level; nullopt is equivalent to `layer`.
  std::optional<passes::Fusion> fusion;
  // Names of rewrites to skip.
  std::set<std::string, std::less<>> disabled_passes;
};

// Returns the numbers for a symbolic graph's dimension names: batch 1, `shape.sequence` tokens and
// a cache of `shape.capacity` rows, of which `total` positions are valid. Throws Error if the
// graph's inputs are not a decoder's.
std::map<std::string, int64_t> BindDims(const graph::Graph& graph, const GenaiConfig& config,
                                        const ProgramShape& shape, int64_t total);

// Rewrites the symbolic graph, and specializes it to a program's graph. Model does the same; tools
// can call these without a GPU.
void Rewrite(graph::Graph& graph, const GenaiConfig& config, const RewriteOptions& options);
std::unique_ptr<graph::Graph> SpecializeFor(const graph::Graph& graph, const GenaiConfig& config,
                                            const ProgramShape& shape, int64_t length,
                                            const RewriteOptions& options);

}  // namespace sinter::model
