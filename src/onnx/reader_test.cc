#include "onnx/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "onnx/test_messages.h"

namespace sinter::onnx {
namespace {

using graph::Dim;
using graph::Dims;
using graph::Graph;
using graph::Node;
using graph::Tensor;
using graph::Value;
using proto::AttributeType;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const Node& FirstNode(const Graph& graph) { return *graph.nodes().front(); }

std::vector<std::string> Ops(const Graph& graph) {
  std::vector<std::string> ops;
  for (const auto& node : graph.nodes()) ops.push_back(node->op());
  return ops;
}

Proto Constant(std::string_view output, const Proto& attribute) {
  return NodeMessage("Constant", {}, {output}, {attribute});
}

TEST(Reader, NodesValuesAndTypes) {
  const auto graph = ReadBytes(Model(ReluGraph()).bytes);
  EXPECT_EQ(graph->name, "g");
  EXPECT_EQ(graph->opsets.at(""), 21);
  ASSERT_EQ(graph->inputs().size(), 1u);
  ASSERT_EQ(graph->outputs().size(), 1u);
  const Value* x = graph->inputs()[0];
  EXPECT_EQ(x->name(), "x");
  EXPECT_EQ(x->dtype, DType::kF32);
  EXPECT_EQ(*x->dims, (Dims{Dim(1), Dim("n")}));
  const Node& relu = FirstNode(*graph);
  EXPECT_EQ(relu.name(), "the_Relu");
  EXPECT_EQ(relu.op(), "Relu");
  EXPECT_EQ(relu.domain(), "");
  EXPECT_EQ(relu.version(), 21);
  EXPECT_THAT(relu.inputs(), ElementsAre(x));
  EXPECT_EQ(relu.output(0), graph->outputs()[0]);
  EXPECT_EQ(relu.output(0)->dtype, DType::kF32);
}

TEST(Reader, ShapesNumbersSymbolsUnknownAndAbsent) {
  Proto no_shape =
      Proto()
          .Bytes(proto::value_info::kName, "c")
          .Sub(proto::value_info::kType,
               Proto().Sub(proto::type::kTensor, Proto().Int(proto::tensor_type::kElemType, 7)));
  const auto graph =
      ReadBytes(Model(Proto()
                          .Sub(proto::graph::kInput, ValueInfo("a", 10, {0, "seq", ""}))
                          .Sub(proto::graph::kInput, ValueInfo("b", 9))
                          .Sub(proto::graph::kInput, no_shape))
                    .bytes);
  EXPECT_EQ(*graph->FindValue("a")->dims, (Dims{Dim(0), Dim("seq"), Dim()}));
  EXPECT_TRUE(graph->FindValue("b")->dims->empty());
  EXPECT_FALSE(graph->FindValue("c")->dims.has_value());
}

TEST(Reader, AbsentInputsAndOutputs) {
  const auto graph =
      ReadBytes(Model(Proto()
                          .Sub(proto::graph::kInput, ValueInfo("x", 1))
                          .Sub(proto::graph::kNode, NodeMessage("Op", {"", "x", ""}, {"", "y"})))
                    .bytes);
  const Node& node = FirstNode(*graph);
  EXPECT_THAT(node.inputs(), ElementsAre(nullptr, graph->FindValue("x"), nullptr));
  EXPECT_THAT(node.outputs(), ElementsAre(nullptr, graph->FindValue("y")));
}

TEST(Reader, ValueInfoTypesInnerValues) {
  const auto graph =
      ReadBytes(Model(ReluGraph()
                          .Sub(proto::graph::kNode, NodeMessage("Abs", {"x"}, {"z"}))
                          .Sub(proto::graph::kValueInfo, ValueInfo("z", 1, {"m"}))
                          .Sub(proto::graph::kValueInfo, ValueInfo("y", 1, {5, 5}))
                          .Sub(proto::graph::kValueInfo, ValueInfo("left_behind", 1)))
                    .bytes);
  EXPECT_EQ(*graph->FindValue("z")->dims, Dims{Dim("m")});
  EXPECT_EQ(*graph->FindValue("y")->dims, (Dims{Dim(1), Dim("n")}))
      << "the output's own shape comes first";
  EXPECT_EQ(graph->FindValue("left_behind"), nullptr);
}

TEST(Reader, SortsNodes) {
  const auto graph = ReadBytes(Model(Proto()
                                         .Sub(proto::graph::kNode, NodeMessage("C", {"b"}, {"c"}))
                                         .Sub(proto::graph::kNode, NodeMessage("B", {"a"}, {"b"}))
                                         .Sub(proto::graph::kNode, NodeMessage("A", {"x"}, {"a"}))
                                         .Sub(proto::graph::kInput, ValueInfo("x", 1)))
                                   .bytes);
  EXPECT_THAT(Ops(*graph), ElementsAre("A", "B", "C"));
}

TEST(Reader, Domains) {
  const Proto graph =
      Proto()
          .Sub(proto::graph::kNode,
               NodeMessage("A", {}, {"a"}).Bytes(proto::node::kDomain, "com.microsoft"))
          .Sub(proto::graph::kNode,
               NodeMessage("B", {}, {"b"}).Bytes(proto::node::kDomain, "ai.onnx"));
  const auto read = ReadBytes(Model(graph)
                                  .Sub(proto::model::kOpsetImport, Opset("com.microsoft", 1))
                                  .Sub(proto::model::kOpsetImport, Opset("ai.onnx", 21))
                                  .bytes);
  EXPECT_EQ(read->nodes().front()->domain(), "com.microsoft");
  EXPECT_EQ(read->nodes().front()->version(), 1);
  EXPECT_EQ(read->nodes().back()->domain(), "");
  EXPECT_EQ(read->nodes().back()->version(), 21);
}

TEST(Reader, AttributesOfEveryKind) {
  using namespace proto::attribute;
  const Proto tensor = RawTensor("t", 2, {2}, "ab");
  const Proto node = NodeMessage(
      "Op", {}, {"y"},
      {AttributeMessage("f", AttributeType::kFloat).Float(kFloat, 0.5f),
       AttributeMessage("i", AttributeType::kInt).Int(kInt, -7),
       AttributeMessage("s", AttributeType::kString).Bytes(kString, std::string("\xff\0b", 3)),
       AttributeMessage("t", AttributeType::kTensor).Sub(proto::attribute::kTensor, tensor),
       AttributeMessage("g", AttributeType::kGraph)
           .Sub(proto::attribute::kGraph, Proto().Bytes(proto::graph::kName, "sub")),
       AttributeMessage("fs", AttributeType::kFloats).Float(kFloats, 1).Float(kFloats, 2),
       AttributeMessage("is", AttributeType::kInts).Int(kInts, 1).Int(kInts, -1),
       AttributeMessage("ss", AttributeType::kStrings).Bytes(kStrings, "a").Bytes(kStrings, ""),
       AttributeMessage("ts", AttributeType::kTensors).Sub(kTensors, tensor).Sub(kTensors, tensor),
       AttributeMessage("packed_fs", AttributeType::kFloats).PackedFixed<float>(kFloats, {1, 2, 3}),
       AttributeMessage("packed_is", AttributeType::kInts).PackedInts(kInts, {1, -2, 3})});
  const auto graph = ReadBytes(Model(Proto().Sub(proto::graph::kNode, node)).bytes);
  const Node& read = FirstNode(*graph);
  EXPECT_EQ(read.Float("f", 0), 0.5f);
  EXPECT_EQ(read.Int("i", 0), -7);
  EXPECT_EQ(read.String("s", ""), std::string("\xff\0b", 3));
  EXPECT_THAT(std::get<Tensor>(*read.Find("t")).ToInts(), ElementsAre('a', 'b'));
  EXPECT_EQ(std::get<std::shared_ptr<Graph>>(*read.Find("g"))->name, "sub");
  EXPECT_THAT(std::get<std::vector<float>>(*read.Find("fs")), ElementsAre(1, 2));
  EXPECT_THAT(read.Ints("is", {}), ElementsAre(1, -1));
  EXPECT_THAT(std::get<std::vector<std::string>>(*read.Find("ss")), ElementsAre("a", ""));
  EXPECT_EQ(std::get<std::vector<Tensor>>(*read.Find("ts")).size(), 2u);
  EXPECT_THAT(std::get<std::vector<float>>(*read.Find("packed_fs")), ElementsAre(1, 2, 3));
  EXPECT_THAT(read.Ints("packed_is", {}), ElementsAre(1, -2, 3));
}

// Writers that use the proto3 form of onnx.proto leave out fields that are zero.
TEST(Reader, AttributesWithoutValueAreZero) {
  const auto graph =
      ReadBytes(Model(Proto().Sub(proto::graph::kNode,
                                  NodeMessage("Op", {}, {"y"},
                                              {AttributeMessage("i", AttributeType::kInt),
                                               AttributeMessage("f", AttributeType::kFloat),
                                               AttributeMessage("s", AttributeType::kString),
                                               AttributeMessage("is", AttributeType::kInts)})))
                    .bytes);
  const Node& node = FirstNode(*graph);
  EXPECT_EQ(node.Int("i", 1), 0);
  EXPECT_EQ(node.Float("f", 1), 0);
  EXPECT_EQ(node.String("s", "x"), "");
  EXPECT_THAT(node.Ints("is", {1}), ElementsAre());
}

TEST(Reader, ConstantNodesAreConstants) {
  using namespace proto::attribute;
  const auto graph = ReadBytes(
      Model(
          Proto()
              .Sub(proto::graph::kNode,
                   Constant("t", AttributeMessage("value", AttributeType::kTensor)
                                     .Sub(proto::attribute::kTensor, RawTensor("", 2, {2}, "ab"))))
              .Sub(proto::graph::kNode,
                   Constant("i", AttributeMessage("value_int", AttributeType::kInt).Int(kInt, -7)))
              .Sub(proto::graph::kNode,
                   Constant("is", AttributeMessage("value_ints", AttributeType::kInts)
                                      .Int(kInts, 1)
                                      .Int(kInts, 2)))
              .Sub(proto::graph::kNode,
                   Constant(
                       "f",
                       AttributeMessage("value_float", AttributeType::kFloat).Float(kFloat, 0.5)))
              .Sub(proto::graph::kNode,
                   Constant("fs", AttributeMessage("value_floats", AttributeType::kFloats)
                                      .Float(kFloats, 0.5)))
              .Sub(proto::graph::kOutput, ValueInfo("i", 7)))
          .bytes);
  EXPECT_EQ(graph->num_nodes(), 0u);
  const auto constant = [&](std::string_view name) { return *graph->FindValue(name)->constant; };
  EXPECT_EQ(constant("t").dtype, DType::kU8);
  EXPECT_THAT(constant("t").ToInts(), ElementsAre('a', 'b'));
  EXPECT_EQ(constant("i").dtype, DType::kI64);
  EXPECT_TRUE(constant("i").shape.empty());
  EXPECT_THAT(constant("i").ToInts(), ElementsAre(-7));
  EXPECT_THAT(constant("is").shape, ElementsAre(2));
  EXPECT_THAT(constant("is").ToInts(), ElementsAre(1, 2));
  EXPECT_EQ(constant("f").dtype, DType::kF32);
  EXPECT_THAT(constant("f").ToDoubles(), ElementsAre(0.5));
  EXPECT_THAT(constant("fs").shape, ElementsAre(1));
  EXPECT_THAT(graph->outputs(), ElementsAre(graph->FindValue("i")));
}

TEST(Reader, InputWithInitializerIsAConstant) {
  const auto graph =
      ReadBytes(Model(ReluGraph()
                          .Sub(proto::graph::kInput, ValueInfo("w", 2, {2}))
                          .Sub(proto::graph::kInitializer, RawTensor("w", 2, {2}, "ab")),
                      3)
                    .bytes);
  EXPECT_EQ(graph->inputs().size(), 1u);
  EXPECT_TRUE(graph->FindValue("w")->constant.has_value());
}

TEST(Reader, ConstantKeepsItsShapeAgainstItsDeclaration) {
  const auto graph =
      ReadBytes(Model(ReluGraph()
                          .Sub(proto::graph::kInitializer, RawTensor("w", 2, {2}, "ab"))
                          .Sub(proto::graph::kValueInfo, ValueInfo("w", 2)))
                    .bytes);
  EXPECT_THAT(graph->FindValue("w")->shape(), ElementsAre(2));
}

// Model graph: w (constant), x -> If(x) { If(x) { Add(x, w) } }. The innermost graph reads x and w
// of the model graph.
TEST(Reader, SubgraphsCaptureOnEveryLevel) {
  using namespace proto::attribute;
  const Proto inner = Proto()
                          .Bytes(proto::graph::kName, "inner")
                          .Sub(proto::graph::kNode, NodeMessage("Add", {"x", "w"}, {"sum"}))
                          .Sub(proto::graph::kOutput, ValueInfo("sum", 1));
  const auto branch = [](const Proto& graph) {
    return AttributeMessage("then_branch", AttributeType::kGraph)
        .Sub(proto::attribute::kGraph, graph);
  };
  const Proto middle =
      Proto()
          .Bytes(proto::graph::kName, "middle")
          .Sub(proto::graph::kNode, NodeMessage("If", {"x"}, {"mid"}, {branch(inner)}))
          .Sub(proto::graph::kOutput, ValueInfo("mid", 1));
  const auto graph = ReadBytes(
      Model(Proto()
                // x is produced after the node whose subgraph reads it.
                .Sub(proto::graph::kNode, NodeMessage("If", {"c"}, {"y"}, {branch(middle)}))
                .Sub(proto::graph::kNode, NodeMessage("Neg", {"c"}, {"x"}))
                .Sub(proto::graph::kValueInfo, ValueInfo("x", 1, {3}))
                .Sub(proto::graph::kInput, ValueInfo("c", 1))
                .Sub(proto::graph::kInitializer, RawTensor("w", 1, {}, "abcd"))
                .Sub(proto::graph::kOutput, ValueInfo("y", 1)))
          .bytes);
  EXPECT_THAT(Ops(*graph), ElementsAre("Neg", "If")) << "what a subgraph reads comes before it";
  const auto names = [](const std::vector<Value*>& values) {
    std::vector<std::string> out;
    for (const Value* value : values) out.push_back(value->name());
    return out;
  };
  const auto& read_middle =
      *std::get<std::shared_ptr<Graph>>(*graph->nodes().back()->Find("then_branch"));
  const auto& read_inner =
      *std::get<std::shared_ptr<Graph>>(*FirstNode(read_middle).Find("then_branch"));
  EXPECT_THAT(names(read_middle.captures()), ElementsAre("x", "w"));
  EXPECT_THAT(names(read_inner.captures()), ElementsAre("x", "w"));
  EXPECT_EQ(FirstNode(read_inner).input(1), read_inner.captures()[1]);
  EXPECT_EQ(read_inner.captures()[0]->dtype, DType::kF32);
  EXPECT_EQ(*read_inner.captures()[0]->dims, Dims{Dim(3)});
  EXPECT_EQ(FirstNode(read_inner).version(), 21);
}

TEST(Reader, SubgraphMayHideAnOuterName) {
  const Proto sub = Proto()
                        .Sub(proto::graph::kNode, NodeMessage("Abs", {"x"}, {"y"}))
                        .Sub(proto::graph::kOutput, ValueInfo("y", 1))
                        .Sub(proto::graph::kOutput, ValueInfo("x", 1));
  const auto graph =
      ReadBytes(Model(ReluGraph().Sub(proto::graph::kNode,
                                      NodeMessage("If", {"x"}, {"z"},
                                                  {AttributeMessage("g", AttributeType::kGraph)
                                                       .Sub(proto::attribute::kGraph, sub)})))
                    .bytes);
  const auto& read = *std::get<std::shared_ptr<Graph>>(*graph->nodes().back()->Find("g"));
  EXPECT_EQ(read.FindValue("y")->producer(), read.nodes().front().get());
  EXPECT_EQ(read.outputs()[1], read.captures()[0]) << "an outer value may be an output as it is";
}

TEST(Reader, TensorsNobodyReadsMayBeOfAnyType) {
  const Proto graph =
      ReluGraph()
          .Sub(proto::graph::kInitializer,
               TensorHeader("s", 8, {1}).Bytes(proto::tensor::kStringData, "a"))
          .Sub(proto::graph::kInput, ValueInfo("f8", 1))
          .Sub(proto::graph::kInitializer, RawTensor("f8", 17, {1}, "a"))
          .Sub(proto::graph::kNode,
               Constant("vs", AttributeMessage("value_string", AttributeType::kString)));
  EXPECT_EQ(ReadBytes(Model(graph).bytes)->FindValue("s"), nullptr);
  for (const auto& [name, reason] : {std::pair("s", "element type string (8)"),
                                     {"f8", "element type float8e4m3fn (17)"},
                                     {"vs", "attribute 'value_string' of kind 3"}}) {
    Proto reading = graph;
    EXPECT_EQ(ReadError(Model(reading.Sub(proto::graph::kNode, NodeMessage("Op", {name}, {"z"})))),
              fmt::format("[onnx] model: constant '{}': got {}, want a tensor of numbers or bools",
                          name, reason));
  }
}

TEST(Reader, SkipsUnknownFieldsAndMetadata) {
  Proto graph =
      ReluGraph().Bytes(10, "doc").Bytes(14, "quantization").Bytes(16, "metadata").Int(999, 1);
  Proto model = Model(graph)
                    .Bytes(2, "producer")
                    .Bytes(6, "doc")
                    .Bytes(14, "metadata")
                    .Bytes(26, "devices")
                    .Float(500, 1);
  EXPECT_EQ(ReadBytes(model.bytes)->num_nodes(), 1u);
}

TEST(Reader, ReadsFilesAndNamesThemInErrors) {
  TempFolder folder;
  folder.Write("weights", "abcd");
  const Proto graph =
      ReluGraph()
          .Sub(proto::graph::kInitializer, ExternalTensor("v", 1, {}, {{"location", "weights"}}))
          .Sub(proto::graph::kInitializer, RawTensor("w", 2, {2}, "ab"));
  std::filesystem::path path = folder.Write("model.onnx", Model(graph).bytes);
  const auto read = ReadModel(path);
  std::filesystem::remove(path);
  EXPECT_THAT(read->FindValue("w")->constant->ToInts(), ElementsAre('a', 'b'))
      << "the mapping outlives the file";
  path = folder.Write("bad.onnx", "garbage");
  EXPECT_THAT(ErrorOf([&] { ReadModel(path); }),
              StartsWith("[onnx] " + path.string() + ": not a valid ONNX file: "));
  try {
    ReadModel(folder / "none.onnx");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.area(), "file");
  }
}

}  // namespace
}  // namespace sinter::onnx
