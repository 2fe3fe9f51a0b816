// Compares the outputs of one node with the interpreter's, in double, on the very inputs that the
// node had. Errors of earlier nodes therefore do not count, and a tolerance follows from one
// operator alone.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "graph/graph.h"
#include "interpret/interpreter.h"

namespace sinter::graphs {

// Program whose results are compared.
enum class Platform { kGpu, kOnnxRuntime };

// One node as a graph of its own, with the inputs that it had.
struct IsolatedNode {
  std::unique_ptr<graph::Graph> graph;
  interpret::HostTensors inputs;
};

struct NodeDifference {
  // Names of node and output, the elements that differ, expected values and tolerances.
  std::string text;
  IsolatedNode node;
};

struct CheckOptions {
  Platform platform = Platform::kGpu;
  // Names of integer values that are known before the graph runs, besides the graph's constants.
  std::set<std::string> known;
  // For outputs whose rows are only defined up to a number: [batch, heads, rows, size].
  std::map<std::string, int64_t> defined_rows;
};

// Result of CheckNode.
struct NodeResult {
  std::optional<NodeDifference> difference;
  // Reason why the values were not compared; empty if they were.
  std::string skipped;
};

// Returns the node with its inputs from `values`, which must hold every input that is no constant.
IsolatedNode Isolate(const graph::Node& node, const std::map<std::string, int>& opsets,
                     const interpret::HostTensors& values, const std::set<std::string>& known);

// Compares the node's outputs in `values` with the interpreter's.
NodeResult CheckNode(const graph::Node& node, const std::map<std::string, int>& opsets,
                     const interpret::HostTensors& values, const CheckOptions& options);

}  // namespace sinter::graphs
