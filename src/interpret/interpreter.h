// CPU reference interpreter: runs a specialized graph node by node in double. It is slow and
// simple; GPU programs are checked against it.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace sinter::interpret {

// Tensor on the host. Elements are row-major; bools are 0 and 1.
struct HostTensor {
  DType dtype = DType::kUndefined;
  graph::Shape shape;
  std::vector<double> values;
  // Bytes of packed weights (u8, u4, i4) in ONNX's format, which replace `values`.
  std::vector<std::byte> raw;

  static HostTensor FromTensor(const graph::Tensor& tensor);
};

using HostTensors = std::map<std::string, HostTensor>;

struct InterpretOptions {
  // Rounds each node's outputs to their type in the graph (f16, f32), like a device that stores
  // every result in memory. The difference to the unrounded result is the part of an error that no
  // kernel can avoid, which gives a scale for tolerances. If false, floats stay doubles throughout,
  // even in a Cast between float types.
  bool round = false;
};

// Returns the graph's outputs by name, given its inputs by name. Every shape in the graph must be a
// number (passes::Specialize). GroupQueryAttention follows ONNX Runtime: `present` has max(rows of
// the past, total_sequence_length) rows, so a past with the full capacity is updated in place and a
// shorter one grows.
//
// Throws Error naming the node if the interpreter does not support its operator. Throws Error
// naming the input if it is missing or its type or shape differs from the graph's.
HostTensors Interpret(const graph::Graph& graph, const HostTensors& inputs,
                      const InterpretOptions& options = {});

}  // namespace sinter::interpret
