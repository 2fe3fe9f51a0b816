// Random small graphs over the operator table, with inputs. One seed always gives the same graph.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "interpret/interpreter.h"
#include "passes/specialize.h"

namespace sinter::graphs {

struct RandomGraph {
  uint64_t seed = 0;
  // Graph as a model file would hold it: dimensions of inputs may be symbols, and an operator may
  // get its shape from arithmetic on the shapes of other values.
  std::unique_ptr<graph::Graph> graph;
  // Numbers of the graph's symbols.
  passes::DimBinding dims;
  interpret::HostTensors inputs;
  // Outputs that share the memory of an input, which is updated in place: output name -> input
  // name.
  std::map<std::string, std::string> in_place;
  // For output names of in_place: number of rows of each head that are defined. ONNX Runtime leaves
  // the rows after them undefined.
  std::map<std::string, int64_t> defined_rows;
  // Fault that was put into the graph, which must therefore be refused; empty if it is valid.
  std::string fault;
  // Whether the graph is valid but has types for which there need not be a kernel, so that it may
  // be refused when it is loaded.
  bool may_be_refused = false;
};

// Returns the graph of `seed`. `with_faults` puts a fault into one graph of sixteen.
RandomGraph MakeRandomGraph(uint64_t seed, bool with_faults = true);

// An operator of the table that no graph contains, and why.
struct OmittedOperator {
  std::string_view domain, name, reason;
};
const std::vector<OmittedOperator>& OmittedOperators();

// Returns the operators that the generator makes, as `domain::name`, sorted.
std::vector<std::string> GeneratedOperators();

}  // namespace sinter::graphs
