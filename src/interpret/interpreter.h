// The CPU reference interpreter: runs a specialized graph node by node in double. Slow and plain;
// what programs on the GPU are checked against.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace sinter::interpret {

// A tensor on the host. Elements are row-major; bool is 0 and 1.
struct HostTensor {
  DType dtype = DType::kUndefined;
  graph::Shape shape;
  std::vector<double> values;
  // In place of `values` for packed weights (u8, u4, i4): the bytes as ONNX has them.
  std::vector<std::byte> raw;

  static HostTensor FromTensor(const graph::Tensor& tensor);
};

using HostTensors = std::map<std::string, HostTensor>;

struct InterpretOptions {
  // Rounds what each node gives to its type in the graph (f16, f32), as a device that keeps every
  // result in memory does. What that changes is the part of an error that no kernel can avoid: a
  // yardstick for tolerances. Off: floats stay doubles throughout, a Cast between them too.
  bool round = false;
};

// The graph's outputs by name, from its inputs by name. Every shape in the graph must be a number
// (passes::Specialize). GroupQueryAttention is ONNX Runtime's: `present` has as many rows as the
// past or total_sequence_length, whichever is more, so that a past of the whole capacity is updated
// in place and a shorter one grows.
//
// Throws Error naming the node where the operator is not one that the interpreter has, and naming
// the input where it is missing or has another type or shape than the graph says.
HostTensors Interpret(const graph::Graph& graph, const HostTensors& inputs,
                      const InterpretOptions& options = {});

}  // namespace sinter::interpret
