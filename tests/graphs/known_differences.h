// Differences that are intended, or are ONNX Runtime's, each with its reason.
#pragma once

#include <string>
#include <string_view>

#include "graph/graph.h"
#include "graphs/check_node.h"

namespace sinter::graphs {

// Returns the reason why the node's results may differ from the interpreter's; empty if they must
// not.
std::string KnownDifference(const graph::Node& node, Platform platform,
                            const interpret::HostTensors& values);

// Returns the part of ONNX Runtime's message that says why it refuses a graph, for totals.
std::string ShortRefusal(std::string_view message);

}  // namespace sinter::graphs
