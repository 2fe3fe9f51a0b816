// Rotary caches that hold a short and a long table one behind the other become a choice between the
// two.
#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Returns the number of nodes whose caches were split. Does nothing without
// options.multi_rotary_offset. Throws Error where the offset lies outside a cache, or where the
// graph has no attention mask that could tell the length.
int SplitRotaryCache(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes
