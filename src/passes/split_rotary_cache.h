// Turns rotary caches that hold a short table followed by a long one into a choice between the two.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Returns the number of nodes whose caches were split. Does nothing without
// options.multi_rotary_offset. Throws Error if the offset lies outside a cache, or if the graph has
// no attention mask from which to read the length.
int SplitRotaryCache(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes
