// Fields of GraphProto, NodeProto and AttributeProto as the file has them. Nested messages stay
// unparsed views.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnx/source.h"

namespace sinter::onnx {

// Fields of a NodeProto. The views point into the model's bytes.
struct NodeFields {
  std::string_view name, op, domain;
  std::vector<std::string_view> inputs, outputs, attributes;

  // Returns the node's name and operator for error messages.
  std::string Describe() const { return fmt::format("node '{}' ({})", name, op); }
};

// Fields of a GraphProto. They may come in any order in the file, so they are all collected before
// any is interpreted.
struct GraphFields {
  std::string_view name;
  std::vector<std::string_view> nodes, initializers, inputs, outputs, value_infos;
  bool has_sparse_initializer = false;
};

struct AttributeFields {
  std::string_view name, ref_attr, string;
  int32_t type = 0;
  float float_value = 0;
  int64_t int_value = 0;
  std::optional<std::string_view> tensor, graph;
  std::vector<float> floats;
  std::vector<int64_t> ints;
  std::vector<std::string_view> strings, tensors;
};

// Parse one message. All three throw WireError or protozero::exception if the bytes are damaged.
// ParseNode and ParseAttribute also throw Error("onnx") if a name is not printable text, if a node
// lacks its operator, or if an attribute lacks its name or value or refers to a function's
// attribute.
GraphFields ParseGraph(std::string_view message);
NodeFields ParseNode(std::string_view message, const Source& source);
AttributeFields ParseAttribute(std::string_view message, const NodeFields& node,
                               const Source& source);

}  // namespace sinter::onnx
