// What a rewrite is: a named function from graph to graph. pipeline.h runs them in order.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "graph/graph.h"

namespace sinter::passes {

// How much goes into one dispatch. Every level does what those before it do.
enum class Fusion {
  kNone,   // each node of the model by itself: the reference
  kLayer,  // the nodes of graph/fused.h: about five dispatches a layer
  kChain,  // the same nodes; those of a token from one attention to the next are one dispatch,
           // inside which workgroups wait for others (exec/chain.h): one a layer
};

// Facts from outside the graph that rewrites depend on.
struct PassOptions {
  Fusion fusion = Fusion::kLayer;
  // Passes to leave out, by name.
  std::set<std::string, std::less<>> disabled;
  // Where one rotary cache holds the table for short contexts in its first rows and the table for
  // long ones behind them (genai_config.json, provider option `multiRotaryCacheConcatOffset`): the
  // row where the second begins.
  std::optional<int64_t> multi_rotary_offset;
  // The graph input whose sum is the number of valid positions: ones over them, nothing else.
  std::string attention_mask = "attention_mask";
  // The graph output from which tokens are chosen: one row of it a run.
  std::string logits = "logits";
};

struct Pass {
  // As in `--disable-pass=NAME`.
  std::string_view name;
  // Rewrites `graph`; returns how many places changed.
  int (*run)(graph::Graph& graph, const PassOptions& options);
  // The level from which on it runs.
  Fusion from = Fusion::kNone;
};

}  // namespace sinter::passes
