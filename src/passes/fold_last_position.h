#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// The input that replaces "total length less one": the position of the run's last row.
inline constexpr char kLastPosition[] = "sinter.last_position";

// Reads the last position from outside instead of computing it. Returns the number of nodes
// replaced.
int FoldLastPosition(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes
