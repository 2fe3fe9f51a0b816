// Defines a rewrite: a named function from graph to graph. pipeline.h runs them in order.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "graph/graph.h"

namespace sinter::passes {

// Amount of work that goes into one dispatch. Each level includes the previous ones.
enum class Fusion {
  kNone,   // one node of the model at a time: the reference
  kLayer,  // the nodes of graph/fused.h: about five dispatches a layer
  kChain,  // the same nodes; for one token, those of a layer and of the equal layers after it are
           // one dispatch, inside which workgroups wait for each other (compile/chain.h)
};

// Facts about the model from outside the graph that rewrites depend on.
struct PassOptions {
  Fusion fusion = Fusion::kLayer;
  // Names of the passes to leave out.
  std::set<std::string, std::less<>> disabled;
  // Row where the second table of a rotary cache begins, for a model whose caches hold the table
  // for short contexts in their first rows and the table for long contexts after it
  // (genai_config.json, provider option `multiRotaryCacheConcatOffset`).
  std::optional<int64_t> multi_rotary_offset;
  // Name of the graph input whose sum is the number of valid positions: it is 1 at valid positions
  // and 0 elsewhere.
  std::string attention_mask = "attention_mask";
  // Name of the graph output from which tokens are chosen: one row of it per run.
  std::string logits = "logits";
  // Number of sequences in the batch. Each begins at position 0 of its cache: their masks have no
  // padding on the left.
  int64_t sequences = 1;
};

struct Pass {
  // Name, as in `--disable-pass=NAME`.
  std::string_view name;
  // Rewrites `graph` and returns the number of places changed.
  int (*run)(graph::Graph& graph, const PassOptions& options);
  // Lowest fusion level at which the pass runs.
  Fusion from = Fusion::kNone;
};

}  // namespace sinter::passes
