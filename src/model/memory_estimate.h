// Memory that a model will take on an adapter, from the same planning that builds its programs.
// Needs no GPU.
#pragma once

#include <cstdint>
#include <memory>

#include "base/caps.h"
#include "compile/lowering.h"
#include "graph/graph.h"
#include "model/genai_config.h"
#include "model/rewrite.h"

namespace sinter::model {

struct MemoryEstimate {
  // Bytes of the programs that are made at load, or of all programs up to the chunk asked for.
  uint64_t weights = 0, cache = 0, workspace = 0;
  // The program of one token: its graph, and the dispatches for it.
  std::unique_ptr<graph::Graph> token_graph;
  compile::Lowered token_program;

  uint64_t total() const { return weights + cache + workspace; }
};

struct EstimateOptions {
  RewriteOptions rewrite;
  compile::ForcedVariants variants;
  int64_t max_length = 1;  // tokens that the KV cache holds
  int64_t chunk = 0;       // as engine::SequenceOptions has it; 0 for an automatic one
};

// Estimates the memory of a sequence and its programs. `graph` has gone through Rewrite().
MemoryEstimate EstimateMemory(const graph::Graph& graph, const GenaiConfig& config,
                              const RunForm& form, const Caps& caps,
                              const EstimateOptions& options);

// Returns the longest length, at most `max_length`, whose KV cache has at most `bytes` bytes: a
// multiple of 256 if it is longer than that and less than max_length. Returns 0 if not even one
// token fits.
int64_t LongestInMemory(const graph::Graph& graph, const GenaiConfig& config, const Caps& caps,
                        uint64_t bytes, int64_t max_length, int64_t chunk);

}  // namespace sinter::model
