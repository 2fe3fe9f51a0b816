// GraphProto, NodeProto and AttributeProto as they stand in the file: fields and views of the
// messages inside them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnx/source.h"

namespace sinter::onnx {

// A NodeProto; the views point into the model's bytes.
struct NodeFields {
  std::string_view name, op, domain;
  std::vector<std::string_view> inputs, outputs, attributes;

  // For errors.
  std::string Describe() const { return fmt::format("node '{}' ({})", name, op); }
};

// A GraphProto. Fields may stand in any order, so that they are collected before they are read.
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

// These throw WireError or protozero::exception where the bytes are damaged, and Error("onnx")
// where a name is no text or something that every message of the kind needs is missing.
GraphFields ParseGraph(std::string_view message);
NodeFields ParseNode(std::string_view message, const Source& source);
AttributeFields ParseAttribute(std::string_view message, const NodeFields& node,
                               const Source& source);

}  // namespace sinter::onnx
