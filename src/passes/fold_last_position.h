#pragma once

#include "passes/pass.h"

namespace sinter::passes {

// Name of the input that replaces "total length - 1": the position of the run's last row.
inline constexpr char kLastPosition[] = "sinter.last_position";

// Makes the last position an input instead of computing it. Returns the number of nodes replaced.
int FoldLastPosition(graph::Graph& graph, const PassOptions& options);

}  // namespace sinter::passes
