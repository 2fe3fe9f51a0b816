// Interface between a node and the interpreter's operators. Internal to src/interpret.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "graph/shape_math.h"
#include "interpret/interpreter.h"

namespace sinter::interpret {

using graph::Count;

class Call {
 public:
  Call(const graph::Node& node, std::vector<const HostTensor*> inputs)
      : node_(node), inputs_(std::move(inputs)), outputs_(node.outputs().size()) {}

  const graph::Node& node() const { return node_; }
  bool has(size_t input) const { return input < inputs_.size() && inputs_[input] != nullptr; }
  // Returns the input. Fails a SINTER_CHECK if it is absent.
  const HostTensor& in(size_t input) const;
  // Returns the input's elements, or its packed bytes; empty if the input is absent.
  std::span<const double> values(size_t input) const;
  std::span<const std::byte> raw(size_t input) const;
  const graph::Shape& shape(size_t input) const { return in(input).shape; }
  DType dtype(size_t input) const { return in(input).dtype; }
  // Returns the only element, or all elements as integers.
  double scalar(size_t input) const;
  std::vector<int64_t> ints(size_t input) const;

  // Returns the shape or type that the graph gives for an output.
  graph::Shape out_shape(size_t output) const { return node_.output(output)->shape(); }
  DType out_dtype(size_t output) const { return node_.output(output)->dtype; }
  // Stores an output; does nothing if the output is absent. The shape is the graph's unless given.
  void Out(size_t output, std::vector<double> values);
  void Out(size_t output, std::vector<double> values, graph::Shape shape);
  void OutRaw(size_t output, std::vector<std::byte> raw);

  std::vector<HostTensor> Take() { return std::move(outputs_); }

 private:
  const graph::Node& node_;
  std::vector<const HostTensor*> inputs_;
  std::vector<HostTensor> outputs_;
};

using Operator = void (*)(Call&);

// Returns the operator's function, or null if the named file does not implement it.
Operator FindMovement(std::string_view op);                             // ops_movement.cc
Operator FindArithmetic(std::string_view domain, std::string_view op);  // ops_arithmetic.cc
Operator FindProduct(std::string_view domain, std::string_view op);     // ops_product.cc
Operator FindAttention(std::string_view domain, std::string_view op);   // ops_attention.cc
Operator FindFused(std::string_view domain, std::string_view op);       // ops_fused.cc

}  // namespace sinter::interpret
