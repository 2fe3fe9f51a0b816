// The order of all rewrites, and the driver that runs them.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "passes/pass.h"

namespace sinter::passes {

enum class Stage {
  // Once, on the graph as it was read: dimensions are symbols.
  kModel,
  // On each graph that Specialize() returns: every shape is a number.
  kProgram,
};

// The rewrites of a stage, in order.
std::span<const Pass> Passes(Stage stage);

struct PassReport {
  std::string_view name;
  int changes = 0;
  double milliseconds = 0;
};

// Runs the passes of `stage` that the fusion level has and that are not disabled; graph::Verify
// after each. Throws Error where a name in options.disabled is no pass of any stage.
std::vector<PassReport> RunPasses(graph::Graph& graph, Stage stage, const PassOptions& options);

}  // namespace sinter::passes
