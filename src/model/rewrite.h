// From the graph of a model folder to the graph of a program, whose shapes are all numbers. Needs
// no GPU.
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

// The sizes that make a symbolic graph a program's: rows of tokens in one run, and rows of the KV
// cache.
struct ProgramShape {
  int64_t sequence = 1;
  int64_t capacity = 1;
};

// How far graphs are rewritten.
struct RewriteOptions {
  // None: as for `layer`.
  std::optional<passes::Fusion> fusion;
  // Names of rewrites to leave out.
  std::set<std::string, std::less<>> disabled_passes;
};

// A symbolic graph's dimension names bound to numbers: batch 1, `shape.sequence` tokens, a cache of
// `shape.capacity` rows in which `total` positions are valid. Throws Error where the graph's inputs
// are not a decoder's.
std::map<std::string, int64_t> BindDims(const graph::Graph& graph, const GenaiConfig& config,
                                        const ProgramShape& shape, int64_t total);

// The rewrites of the symbolic graph, and its turning into a program's graph, without a GPU: what
// Model does, for tools.
void Rewrite(graph::Graph& graph, const GenaiConfig& config, const RewriteOptions& options);
std::unique_ptr<graph::Graph> SpecializeFor(const graph::Graph& graph, const GenaiConfig& config,
                                            const ProgramShape& shape, int64_t length,
                                            const RewriteOptions& options);

}  // namespace sinter::model
