// Models that the reader refuses: one case for each error that it throws.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "onnx/reader.h"
#include "onnx/test_messages.h"

namespace sinter::onnx {
namespace {

using proto::AttributeType;
using testing::HasSubstr;

Proto Constant(std::string_view output, const Proto& attribute) {
  return NodeMessage("Constant", {}, {output}, {attribute});
}

// Returns a model of one node with the given attribute.
Proto WithAttribute(const Proto& attribute) {
  return Model(Proto().Sub(proto::graph::kNode, NodeMessage("Op", {}, {"y"}, {attribute})));
}

TEST(ReaderRefuses, EmptyFile) {
  EXPECT_EQ(ReadError(Proto()), "[onnx] model: IR version: got 0, want 3 to 13");
}

TEST(ReaderRefuses, IrVersions) {
  for (const int64_t version : {-1ll, 0ll, 2ll, 14ll, 1ll << 40}) {
    EXPECT_EQ(ReadError(Model(ReluGraph(), version)),
              fmt::format("[onnx] model: IR version: got {}, want 3 to 13", version));
  }
}

TEST(ReaderRefuses, NoGraphOrSeveral) {
  EXPECT_EQ(ReadError(Proto().Int(proto::model::kIrVersion, 10)),
            "[onnx] model: got no graph, want one");
  EXPECT_EQ(ReadError(Model(ReluGraph()).Sub(proto::model::kGraph, ReluGraph())),
            "[onnx] model: got several graphs, want one");
}

TEST(ReaderRefuses, FunctionsTrainingAndSparse) {
  EXPECT_THAT(ReadError(Model(ReluGraph()).Bytes(proto::model::kFunctions, "")),
              HasSubstr("got model-local functions"));
  EXPECT_THAT(ReadError(Model(ReluGraph()).Bytes(proto::model::kTrainingInfo, "")),
              HasSubstr("got training info"));
  EXPECT_THAT(ReadError(Model(ReluGraph().Bytes(proto::graph::kSparseInitializer, ""))),
              HasSubstr("graph 'g': got a sparse initializer"));
}

TEST(ReaderRefuses, Opsets) {
  for (const int64_t version : {0ll, -1ll, 1ll << 31}) {
    EXPECT_THAT(
        ReadError(Model(ReluGraph()).Sub(proto::model::kOpsetImport, Opset("d", version))),
        HasSubstr(fmt::format("version of operator set 'd': got {}, want 1 or more", version)));
  }
  EXPECT_THAT(ReadError(Model(ReluGraph()).Sub(proto::model::kOpsetImport, Opset("ai.onnx", 20))),
              HasSubstr("operator set '': got versions 21 and 20, want one"));
  EXPECT_THAT(ReadError(Model(Proto().Sub(
                  proto::graph::kNode,
                  NodeMessage("Op", {}, {"y"}).Bytes(proto::node::kDomain, "com.microsoft")))),
              HasSubstr("node 'the_Op' (Op): operator set 'com.microsoft': got no version in the "
                        "model, want one"));
}

TEST(ReaderRefuses, Nodes) {
  EXPECT_THAT(
      ReadError(Model(Proto().Sub(proto::graph::kNode, Proto().Bytes(proto::node::kName, "n")))),
      HasSubstr("node 'n': got no operator, want one"));
  EXPECT_THAT(
      ReadError(Model(Proto().Sub(proto::graph::kNode, NodeMessage("Op", {"nobody"}, {"y"})))),
      HasSubstr("node 'the_Op' (Op): input 'nobody': got nothing that produces it, want a node, "
                "input or initializer"));
}

TEST(ReaderRefuses, ASecondMaker) {
  const std::string second = "value 'y': got node 'the_Relu' (Relu) and another source, want one";
  EXPECT_THAT(
      ReadError(Model(ReluGraph().Sub(proto::graph::kNode, NodeMessage("Abs", {"x"}, {"y"})))),
      HasSubstr(second));
  EXPECT_THAT(
      ReadError(Model(ReluGraph().Sub(proto::graph::kNode, NodeMessage("Abs", {"x"}, {"z", "z"})))),
      HasSubstr("value 'z': got node 'the_Abs' (Abs) and another source"));
  EXPECT_THAT(
      ReadError(Model(ReluGraph().Sub(proto::graph::kInitializer, RawTensor("y", 2, {1}, "a")))),
      HasSubstr("value 'y': got an initializer and another source"));
  EXPECT_THAT(
      ReadError(Model(ReluGraph().Sub(proto::graph::kNode, NodeMessage("Abs", {"x"}, {"x"})))),
      HasSubstr("value 'x': got an input and another source"));
  const Proto constant = Constant("y", AttributeMessage("value_int", AttributeType::kInt));
  EXPECT_THAT(ReadError(Model(ReluGraph().Sub(proto::graph::kNode, constant))), HasSubstr(second));
  EXPECT_THAT(ReadError(Model(ReluGraph()
                                  .Sub(proto::graph::kInitializer, RawTensor("w", 2, {1}, "a"))
                                  .Sub(proto::graph::kInitializer, RawTensor("w", 2, {1}, "a")))),
              HasSubstr("value 'w': got an initializer and another source"));
}

TEST(ReaderRefuses, Cycles) {
  const Proto self = Proto().Sub(proto::graph::kNode, NodeMessage("Abs", {"y"}, {"y"}));
  EXPECT_THAT(ReadError(Model(self)),
              HasSubstr("graph '' has a cycle: [graph] node 'the_Abs' (ai.onnx::Abs, version 21)"));
  EXPECT_THAT(ReadError(Model(ReluGraph()
                                  .Sub(proto::graph::kNode, NodeMessage("A", {"b"}, {"a"}))
                                  .Sub(proto::graph::kNode, NodeMessage("B", {"a"}, {"b"})))),
              HasSubstr("graph 'g' has a cycle"));
  // The cycle goes through a subgraph that reads the output of its own node.
  const Proto sub = Proto().Sub(proto::graph::kNode, NodeMessage("Abs", {"z"}, {"inner"}));
  EXPECT_THAT(ReadError(Model(ReluGraph().Sub(
                  proto::graph::kNode, NodeMessage("If", {"x"}, {"z"},
                                                   {AttributeMessage("g", AttributeType::kGraph)
                                                        .Sub(proto::attribute::kGraph, sub)})))),
              HasSubstr("graph 'g' has a cycle: [graph] node 'the_If'"));
}

TEST(ReaderRefuses, DeepNesting) {
  const auto nested = [](int depth) {
    Proto graph = ReluGraph();
    for (int i = 0; i < depth; ++i) {
      graph = Proto().Sub(
          proto::graph::kNode,
          NodeMessage(
              "If", {}, {"y"},
              {AttributeMessage("g", AttributeType::kGraph).Sub(proto::attribute::kGraph, graph)}));
    }
    return Model(graph);
  };
  EXPECT_EQ(ReadBytes(nested(kMaxSubgraphDepth).bytes)->num_nodes(), 1u);
  EXPECT_THAT(ReadError(nested(kMaxSubgraphDepth + 1)),
              HasSubstr("subgraphs: got more than 16 levels"));
  EXPECT_THAT(ReadError(nested(1000)), HasSubstr("subgraphs: got more than 16 levels"));
}

TEST(ReaderRefuses, InputsAndOutputs) {
  const auto with = [](uint32_t field, const Proto& message) {
    return Model(ReluGraph().Sub(field, message));
  };
  EXPECT_THAT(ReadError(with(proto::graph::kInput, ValueInfo("", 1))),
              HasSubstr("an input of graph 'g': got no name"));
  EXPECT_THAT(ReadError(with(proto::graph::kInput, ValueInfo("x", 1))),
              HasSubstr("input 'x': got it twice"));
  EXPECT_THAT(ReadError(with(proto::graph::kInput, Proto().Bytes(proto::value_info::kName, "z"))),
              HasSubstr("input 'z': got no element type, want one"));
  EXPECT_THAT(ReadError(with(proto::graph::kOutput, ValueInfo("y", 1))),
              HasSubstr("output 'y' of graph 'g': got it twice"));
  EXPECT_THAT(ReadError(with(proto::graph::kOutput, ValueInfo("z", 1))),
              HasSubstr("output 'z' of graph 'g': got no node"));
  EXPECT_THAT(ReadError(with(proto::graph::kOutput, ValueInfo("", 1))),
              HasSubstr("output '' of graph 'g': got no node"));
  EXPECT_THAT(ReadError(with(proto::graph::kInitializer, RawTensor("", 2, {1}, "a"))),
              HasSubstr("an initializer: got no name, want one"));
}

TEST(ReaderRefuses, Types) {
  const auto with_type = [](const Proto& type) {
    return Model(ReluGraph().Sub(
        proto::graph::kInput,
        Proto().Bytes(proto::value_info::kName, "z").Sub(proto::value_info::kType, type)));
  };
  for (const auto& [field, name] : {std::pair(proto::type::kSequence, "a sequence"),
                                    {proto::type::kMap, "a map"},
                                    {proto::type::kOpaque, "an opaque type"},
                                    {proto::type::kSparseTensor, "a sparse tensor"},
                                    {proto::type::kOptional, "an optional"}}) {
    EXPECT_THAT(ReadError(with_type(Proto().Sub(field, TensorType(1, {})))),
                HasSubstr(fmt::format("type of value 'z': got {}, want a tensor", name)));
  }
  for (const auto& [type, name] :
       {std::pair(8, "string (8)"), {17, "float8e4m3fn (17)"}, {99, "unknown (99)"}}) {
    EXPECT_THAT(ReadError(with_type(Proto().Sub(proto::type::kTensor, TensorType(type, {})))),
                HasSubstr(fmt::format("type of value 'z': got {}, want a number or bool", name)));
  }
  EXPECT_THAT(ReadError(with_type(Proto().Sub(proto::type::kTensor, TensorType(1, {2, -5})))),
              HasSubstr("shape of value 'z': got dimension -5, want >= 0"));
  EXPECT_THAT(ReadError(with_type(Proto().Sub(proto::type::kTensor, TensorType(1, {"a\nb"})))),
              HasSubstr("a name: got 'a\\x0ab'"));
}

TEST(ReaderRefuses, ContradictingTypes) {
  EXPECT_EQ(ReadError(Model(ReluGraph()
                                .Sub(proto::graph::kInput, ValueInfo("w", 1, {2}))
                                .Sub(proto::graph::kInitializer, RawTensor("w", 2, {2}, "ab")))),
            "[onnx] model: type of value 'w': got u8, want f32 as declared");
  EXPECT_THAT(ReadError(Model(ReluGraph().Sub(proto::graph::kValueInfo, ValueInfo("y", 10)))),
              HasSubstr("type of value 'y': got f32, want f16 as declared"));
}

TEST(ReaderRefuses, Attributes) {
  using namespace proto::attribute;
  EXPECT_THAT(ReadError(WithAttribute(AttributeMessage("", AttributeType::kInt))),
              HasSubstr("node 'the_Op' (Op): an attribute: got no name"));
  EXPECT_THAT(ReadError(WithAttribute(
                  AttributeMessage("a", AttributeType::kInt).Bytes(kRefAttrName, "outer"))),
              HasSubstr("attribute 'a': got a reference to a function's attribute"));
  for (const AttributeType type : {AttributeType::kTensor, AttributeType::kGraph}) {
    EXPECT_THAT(ReadError(WithAttribute(AttributeMessage("a", type))),
                HasSubstr("attribute 'a': got no value, want one"));
  }
  for (const AttributeType type :
       {AttributeType::kUndefined, AttributeType::kGraphs, AttributeType::kSparseTensor,
        AttributeType::kSparseTensors, AttributeType::kTypeProto, AttributeType::kTypeProtos,
        static_cast<AttributeType>(15), static_cast<AttributeType>(-1)}) {
    EXPECT_THAT(ReadError(WithAttribute(AttributeMessage("a", type))),
                HasSubstr(fmt::format("attribute 'a': got kind {}, want a number, string",
                                      static_cast<int>(type))));
  }
  EXPECT_THAT(
      ReadError(Model(Proto().Sub(proto::graph::kNode,
                                  NodeMessage("Op", {}, {"y"},
                                              {AttributeMessage("a", AttributeType::kInt),
                                               AttributeMessage("a", AttributeType::kFloat)})))),
      HasSubstr("attribute 'a': got it twice, want it once"));
  EXPECT_THAT(
      ReadError(WithAttribute(AttributeMessage("a", AttributeType::kTensor)
                                  .Sub(proto::attribute::kTensor, RawTensor("", 8, {1}, "")))),
      HasSubstr("tensor 'a': got element type string (8)"));
}

TEST(ReaderRefuses, ConstantNodes) {
  const Proto value = AttributeMessage("value_int", AttributeType::kInt);
  const auto graph = [](const Proto& node) {
    return Model(Proto().Sub(proto::graph::kNode, node));
  };
  EXPECT_THAT(ReadError(graph(NodeMessage("Constant", {"x"}, {"y"}, {value}))),
              HasSubstr("got 1 inputs, 1 outputs and 1 attributes, want none, one and one"));
  EXPECT_THAT(ReadError(graph(NodeMessage("Constant", {}, {"y", "z"}, {value}))),
              HasSubstr("got 0 inputs, 2 outputs"));
  EXPECT_THAT(ReadError(graph(NodeMessage("Constant", {}, {""}, {value}))),
              HasSubstr("got 0 inputs, 1 outputs"));
  EXPECT_THAT(ReadError(graph(NodeMessage("Constant", {}, {"y"}))), HasSubstr("0 attributes"));
}

TEST(ReaderRefuses, NamesThatAreNoText) {
  EXPECT_EQ(
      ReadError(Model(ReluGraph().Sub(proto::graph::kNode, NodeMessage("Op", {}, {"z\xff"})))),
      "[onnx] model: a name: got 'z\\xff', want UTF-8 without control characters");
  EXPECT_THAT(ReadError(Model(Proto().Bytes(proto::graph::kName, "\x1b[2J"))),
              HasSubstr("got '\\x1b[2J'"));
  EXPECT_THAT(
      ReadError(Model(ReluGraph().Sub(proto::graph::kInitializer, RawTensor("\xff", 2, {1}, "a")))),
      HasSubstr("a name: got '\\xff'"));
}

TEST(ReaderRefuses, DamagedMessages) {
  const std::string damaged = "not a valid ONNX file: ";
  // Fields with a wrong wire type: a varint, a fixed-size number, bytes.
  EXPECT_THAT(ReadError(Proto().Bytes(proto::model::kIrVersion, "x")),
              HasSubstr(damaged + "a field's wire type does not match"));
  EXPECT_THAT(ReadError(Proto().Int(proto::model::kGraph, 1)),
              HasSubstr(damaged + "a field's wire type does not match"));
  EXPECT_THAT(ReadError(WithAttribute(
                  AttributeMessage("f", AttributeType::kFloat).Int(proto::attribute::kFloat, 1))),
              HasSubstr(damaged + "a field's wire type does not match"));
  EXPECT_THAT(ReadError(WithAttribute(
                  AttributeMessage("f", AttributeType::kFloats).Int(proto::attribute::kFloats, 1))),
              HasSubstr(damaged + "a field's wire type does not match"));
  EXPECT_THAT(
      ReadError(WithAttribute(
          AttributeMessage("f", AttributeType::kFloats).Bytes(proto::attribute::kFloats, "abc"))),
      HasSubstr(damaged + "packed numbers end in the middle of one"));
  EXPECT_THAT(ReadError(WithAttribute(Proto().Int(proto::attribute::kType, 1ll << 32))),
              HasSubstr(damaged + "a 32-bit field holds a larger number"));
  EXPECT_THAT(
      ReadError(WithAttribute(
          AttributeMessage("i", AttributeType::kInts).Bytes(proto::attribute::kInts, "\xff"))),
      HasSubstr(damaged));
  EXPECT_THAT(ReadError(Proto{"\x07"}), HasSubstr(damaged));
  EXPECT_THAT(ReadError(Proto{std::string("\0", 1)}), HasSubstr(damaged));
  EXPECT_THAT(ReadError(Proto{"\x3a\xff\xff\xff\xff\x0f"}), HasSubstr(damaged))
      << "a graph of 4 GiB";
}

}  // namespace
}  // namespace sinter::onnx
