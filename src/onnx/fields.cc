#include "onnx/fields.h"

#include "onnx/proto.h"
#include "onnx/wire.h"

namespace sinter::onnx {

GraphFields ParseGraph(std::string_view message) {
  GraphFields fields;
  Message m(message);
  while (m.Next()) {
    switch (m.field()) {
      case proto::graph::kNode:
        fields.nodes.push_back(m.Bytes());
        break;
      case proto::graph::kName:
        fields.name = m.Bytes();
        break;
      case proto::graph::kInitializer:
        fields.initializers.push_back(m.Bytes());
        break;
      case proto::graph::kInput:
        fields.inputs.push_back(m.Bytes());
        break;
      case proto::graph::kOutput:
        fields.outputs.push_back(m.Bytes());
        break;
      case proto::graph::kValueInfo:
        fields.value_infos.push_back(m.Bytes());
        break;
      case proto::graph::kSparseInitializer:
        fields.has_sparse_initializer = true;
        m.Skip();
        break;
      default:
        m.Skip();
    }
  }
  return fields;
}

NodeFields ParseNode(std::string_view message, const Source& source) {
  NodeFields node;
  Message m(message);
  while (m.Next()) {
    switch (m.field()) {
      case proto::node::kInput:
        node.inputs.push_back(source.Checked(m.Bytes()));
        break;
      case proto::node::kOutput:
        node.outputs.push_back(source.Checked(m.Bytes()));
        break;
      case proto::node::kName:
        node.name = source.Checked(m.Bytes());
        break;
      case proto::node::kOpType:
        node.op = source.Checked(m.Bytes());
        break;
      case proto::node::kAttribute:
        node.attributes.push_back(m.Bytes());
        break;
      case proto::node::kDomain:
        node.domain = source.Checked(m.Bytes());
        break;
      default:
        m.Skip();
    }
  }
  if (node.domain == "ai.onnx") node.domain = "";
  if (node.op.empty()) source.Fail("node '{}': got no operator, want one", node.name);
  return node;
}

AttributeFields ParseAttribute(std::string_view message, const NodeFields& node,
                               const Source& source) {
  AttributeFields fields;
  Message m(message);
  while (m.Next()) {
    switch (m.field()) {
      case proto::attribute::kName:
        fields.name = source.Checked(m.Bytes());
        break;
      case proto::attribute::kFloat:
        fields.float_value = m.Float();
        break;
      case proto::attribute::kInt:
        fields.int_value = m.Int64();
        break;
      case proto::attribute::kString:
        fields.string = m.Bytes();
        break;
      case proto::attribute::kTensor:
        fields.tensor = m.Bytes();
        break;
      case proto::attribute::kGraph:
        fields.graph = m.Bytes();
        break;
      case proto::attribute::kFloats:
        m.AppendFloat(&fields.floats);
        break;
      case proto::attribute::kInts:
        m.AppendInt64(&fields.ints);
        break;
      case proto::attribute::kStrings:
        fields.strings.push_back(m.Bytes());
        break;
      case proto::attribute::kTensors:
        fields.tensors.push_back(m.Bytes());
        break;
      case proto::attribute::kType:
        fields.type = m.Int32();
        break;
      case proto::attribute::kRefAttrName:
        fields.ref_attr = m.Bytes();
        break;
      default:
        m.Skip();
    }
  }
  if (fields.name.empty()) source.Fail("{}: an attribute: got no name, want one", node.Describe());
  if (!fields.ref_attr.empty()) {
    source.Fail("{}: attribute '{}': got a reference to a function's attribute, want a value",
                node.Describe(), fields.name);
  }
  const auto type = static_cast<proto::AttributeType>(fields.type);
  if ((type == proto::AttributeType::kTensor && !fields.tensor) ||
      (type == proto::AttributeType::kGraph && !fields.graph)) {
    source.Fail("{}: attribute '{}': got no value, want one", node.Describe(), fields.name);
  }
  return fields;
}

}  // namespace sinter::onnx
