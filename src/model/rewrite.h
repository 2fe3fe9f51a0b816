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
  // Whether every run has as many tokens as the program has rows, and a prompt is one run
  // (RunForm::exact).
  bool exact = false;
  // Number of sequences that run side by side, each with `sequence` tokens and a cache of its own.
  int64_t batch = 1;
};

// Options for rewriting graphs.
struct RewriteOptions {
  // Fusion level; nullopt is equivalent to `layer`.
  std::optional<passes::Fusion> fusion;
  // Names of rewrites to skip.
  std::set<std::string, std::less<>> disabled_passes;
};

// Returns the numbers for a symbolic graph's dimension names: `shape.batch` sequences of
// `shape.sequence` tokens, each with a cache of `shape.capacity` rows, of which `total` positions
// are valid. Throws Error if the
// graph's inputs are not a decoder's.
std::map<std::string, int64_t> BindDims(const graph::Graph& graph, const GenaiConfig& config,
                                        const ProgramShape& shape, int64_t total);

// Rewrites the symbolic graph, and specializes it to a program's graph. Model does the same; tools
// can call these without a GPU.
// `one_row` says that the logits are one row (RunForm), so that no row of them is to be chosen.
void Rewrite(graph::Graph& graph, const GenaiConfig& config, const RewriteOptions& options,
             bool one_row = false);
// `length` is a length of the sequence at which each If takes the branch wanted. SpecializeFor
// throws passes::StepError if the program's results could differ from the graph's on real lengths.
std::unique_ptr<graph::Graph> SpecializeFor(const graph::Graph& graph, const GenaiConfig& config,
                                            const ProgramShape& shape, int64_t length,
                                            const RewriteOptions& options);

// How the programs of a graph may run.
struct RunForm {
  // Whether each prompt must be one run of a program with exactly its number of rows. Otherwise a
  // prompt may be cut into runs, and the last one may have padding.
  bool exact = false;
  // The node that is the reason, as text for the user; empty if the form is not exact.
  std::string reason;
  // Whether the logits are one row, not one for each token.
  bool one_row = false;
};

// Returns the form of runs that gives the same results as the graph, as it is in the file, gives on
// real lengths. Throws passes::StepError, naming the node that is the reason, if no form does.
RunForm FindRunForm(const graph::Graph& graph, const GenaiConfig& config);

}  // namespace sinter::model
