// Defines the order of all rewrites, and the driver that runs them.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "passes/pass.h"

namespace sinter::passes {

enum class Stage {
  // Runs once, on the graph as it was read: dimensions are symbols.
  kModel,
  // Runs on each graph that Specialize() returns: every shape is a number.
  kProgram,
};

// Returns the rewrites of a stage, in order.
std::span<const Pass> Passes(Stage stage);

struct PassReport {
  std::string_view name;
  int changes = 0;
  double milliseconds = 0;
};

// Runs the passes of `stage` that belong to the fusion level and are not disabled, and
// graph::Verify after each. Returns one report per pass that ran. Throws Error if a name in
// options.disabled is not a pass of any stage.
std::vector<PassReport> RunPasses(graph::Graph& graph, Stage stage, const PassOptions& options);

}  // namespace sinter::passes
