#include "onnx/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/mapped_file.h"
#include "onnx/test_messages.h"

namespace sinter::onnx {
namespace {

using graph::Dim;
using graph::Dims;
using graph::Graph;
using graph::Node;
using graph::Tensor;
using graph::Value;
using testing::ElementsAre;
using testing::HasSubstr;

// Returns a graph that uses everything the format has: constants of every type, every kind of
// attribute, absent inputs, a nested subgraph with captures, symbolic and unknown dimensions, two
// domains.
std::unique_ptr<Graph> EverythingGraph() {
  auto g = std::make_unique<Graph>();
  g->name = "everything";
  g->opsets = {{"", 21}, {"com.microsoft", 1}};
  Value* x = g->AddInput("x", DType::kF32, Dims{Dim(2), Dim("n"), Dim()});
  Value* scalar = g->AddInput("scalar", DType::kI64, Dims{});
  Value* any_rank = g->AddInput("any_rank", DType::kBool, std::nullopt);
  const std::vector<int64_t> ones = {1, 0, 1};
  std::vector<Value*> constants;
  for (const DType dtype : {DType::kF32, DType::kU8, DType::kI8, DType::kU16, DType::kI16,
                            DType::kI32, DType::kI64, DType::kBool, DType::kF16, DType::kF64,
                            DType::kU32, DType::kU64, DType::kBF16, DType::kU4, DType::kI4}) {
    constants.push_back(g->AddConstant(fmt::format("constant_{}", DTypeName(dtype)),
                                       Tensor::FromInts(dtype, {3}, ones)));
  }
  constants.push_back(g->AddConstant("empty", Tensor::FromInts(DType::kF32, {0, 7}, {})));
  constants.push_back(g->AddConstant(
      "large", Tensor::FromInts(DType::kI64, {1000}, std::vector<int64_t>(1000, 42))));

  auto inner = std::make_shared<Graph>();
  inner->name = "inner";
  inner->opsets = g->opsets;
  Value* inner_x = inner->AddCapture("x");
  Value* inner_sum = inner->AddValue("inner_sum", DType::kF32);
  inner->AddNode(
      "add", "", "Add",
      {inner_x, inner->AddConstant("inner_large", Tensor::FromInts(DType::kF32, {400},
                                                                   std::vector<int64_t>(400, 7)))},
      {inner_sum});
  inner->AddOutput(inner_sum);
  auto outer = std::make_shared<Graph>();
  outer->opsets = g->opsets;
  outer->AddCapture("x");
  Value* outer_out = outer->AddValue("outer_out");
  outer
      ->AddNode(
          "inner_if", "", "If",
          {outer->AddConstant("c", Tensor::FromInts(DType::kBool, {}, std::vector<int64_t>{1}))},
          {outer_out})
      ->attributes["then_branch"] = inner;
  outer->AddOutput(outer_out);

  Value* a = g->AddValue("a", DType::kF16, Dims{Dim("n"), Dim(4)});
  Value* b = g->AddValue("b");
  std::vector<Value*> inputs = constants;
  inputs.insert(inputs.begin(), {nullptr, x, scalar, any_rank});
  Node* node = g->AddNode("everything", "com.microsoft", "Everything", inputs, {a, nullptr, b});
  node->attributes["i"] = int64_t{-5};
  node->attributes["f"] = 0.1f;
  node->attributes["s"] = std::string("bytes\0\xff", 7);
  node->attributes["t"] = Tensor::FromInts(DType::kU4, {3}, ones);
  node->attributes["is"] = std::vector<int64_t>{1, -1, INT64_MIN};
  node->attributes["no_is"] = std::vector<int64_t>{};
  node->attributes["fs"] = std::vector<float>{0.5f, -1e30f};
  node->attributes["ss"] = std::vector<std::string>{"", "x"};
  node->attributes["ts"] =
      std::vector<Tensor>{Tensor::FromInts(DType::kI64, {1000}, std::vector<int64_t>(1000, 3))};
  Value* y = g->AddValue("y", DType::kF32, Dims{Dim(), Dim("m")});
  g->AddNode("", "", "If", {b}, {y})->attributes["then_branch"] = outer;
  g->AddOutput(y);
  g->AddOutput(constants[0]);
  return g;
}

void ExpectSame(const Graph& got, const Graph& want);

void ExpectSame(const Tensor& got, const Tensor& want) {
  EXPECT_EQ(got.dtype, want.dtype);
  EXPECT_EQ(got.shape, want.shape);
  EXPECT_TRUE(std::equal(got.bytes.begin(), got.bytes.end(), want.bytes.begin(), want.bytes.end()));
}

void ExpectSame(const Value* got, const Value* want) {
  ASSERT_EQ(got == nullptr, want == nullptr);
  if (want == nullptr) return;
  SCOPED_TRACE(want->name());
  EXPECT_EQ(got->name(), want->name());
  EXPECT_EQ(got->dtype, want->dtype);
  EXPECT_EQ(got->dims, want->dims);
  EXPECT_EQ(got->is_graph_output(), want->is_graph_output());
  ASSERT_EQ(got->constant.has_value(), want->constant.has_value());
  if (want->constant) ExpectSame(*got->constant, *want->constant);
}

void ExpectSame(const std::vector<Value*>& got, const std::vector<Value*>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) ExpectSame(got[i], want[i]);
}

void ExpectSame(const graph::Attribute& got, const graph::Attribute& want) {
  ASSERT_EQ(got.index(), want.index());
  if (const auto* tensor = std::get_if<Tensor>(&want)) {
    ExpectSame(std::get<Tensor>(got), *tensor);
  } else if (const auto* subgraph = std::get_if<std::shared_ptr<Graph>>(&want)) {
    ExpectSame(*std::get<std::shared_ptr<Graph>>(got), **subgraph);
  } else if (const auto* tensors = std::get_if<std::vector<Tensor>>(&want)) {
    const auto& got_tensors = std::get<std::vector<Tensor>>(got);
    ASSERT_EQ(got_tensors.size(), tensors->size());
    for (size_t i = 0; i < tensors->size(); ++i) ExpectSame(got_tensors[i], (*tensors)[i]);
  } else {
    std::visit(
        [&](const auto& value) {
          using T = std::decay_t<decltype(value)>;
          if constexpr (!std::is_same_v<T, Tensor> && !std::is_same_v<T, std::vector<Tensor>>) {
            EXPECT_EQ(std::get<T>(got), value);
          }
        },
        want);
  }
}

void ExpectSame(const Graph& got, const Graph& want) {
  SCOPED_TRACE(want.name);
  EXPECT_EQ(got.name, want.name);
  EXPECT_EQ(got.opsets, want.opsets);
  ExpectSame(got.inputs(), want.inputs());
  ExpectSame(got.outputs(), want.outputs());
  ASSERT_EQ(got.captures().size(), want.captures().size());
  for (size_t i = 0; i < want.captures().size(); ++i)
    EXPECT_EQ(got.captures()[i]->name(), want.captures()[i]->name());
  EXPECT_EQ(got.values().size(), want.values().size());
  ASSERT_EQ(got.num_nodes(), want.num_nodes());
  auto it = got.nodes().begin();
  for (const auto& node : want.nodes()) {
    const Node& read = **it++;
    SCOPED_TRACE(node->Describe());
    EXPECT_EQ(read.Describe(), node->Describe());
    ASSERT_EQ(read.inputs().size(), node->inputs().size());
    for (size_t i = 0; i < node->inputs().size(); ++i) {
      const Value* value = node->input(i);
      const auto& captures = want.captures();
      // The reader gives a capture the type of the outer value.
      if (std::find(captures.begin(), captures.end(), value) == captures.end())
        ExpectSame(read.input(i), value);
    }
    ExpectSame(read.outputs(), node->outputs());
    ASSERT_EQ(read.attributes.size(), node->attributes.size());
    for (const auto& [name, attribute] : node->attributes) {
      SCOPED_TRACE(name);
      ASSERT_NE(read.Find(name), nullptr);
      ExpectSame(*read.Find(name), attribute);
    }
  }
}

std::vector<std::string> FilesOf(const TempFolder& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Writer, BytesRoundTrip) {
  const auto graph = EverythingGraph();
  const std::string bytes = WriteModelBytes(*graph);
  const auto read = ReadBytes(bytes);
  ExpectSame(*read, *graph);
  EXPECT_EQ(WriteModelBytes(*read), bytes);
}

TEST(Writer, FilesRoundTrip) {
  TempFolder folder;
  const auto graph = EverythingGraph();
  WriteModel(*graph, folder / "model.onnx");
  EXPECT_THAT(FilesOf(folder), ElementsAre("model.onnx", "model.onnx.data"));
  EXPECT_EQ(std::filesystem::file_size(folder / "model.onnx.data") >= 8000 + 1600, true);
  ExpectSame(*ReadModel(folder / "model.onnx"), *graph);
}

TEST(Writer, ThresholdAndNameOfTheExternalFile) {
  TempFolder folder;
  const auto graph = EverythingGraph();
  WriteModel(*graph, folder / "all.onnx",
             {.external_file = "weights.bin", .external_threshold_bytes = 0});
  EXPECT_THAT(FilesOf(folder), ElementsAre("all.onnx", "weights.bin"));
  ExpectSame(*ReadModel(folder / "all.onnx"), *graph);
  WriteModel(*graph, folder / "none.onnx", {.external_threshold_bytes = 8001});
  EXPECT_THAT(FilesOf(folder), ElementsAre("all.onnx", "none.onnx", "weights.bin"));
  ExpectSame(*ReadModel(folder / "none.onnx"), *graph);
}

TEST(Writer, ExternalTensorsAreAligned) {
  TempFolder folder;
  Graph graph;
  graph.opsets = {{"", 21}};
  graph.AddOutput(
      graph.AddConstant("a", Tensor::FromInts(DType::kU8, {3}, std::vector<int64_t>{1, 2, 3})));
  graph.AddOutput(
      graph.AddConstant("b", Tensor::FromInts(DType::kU8, {2}, std::vector<int64_t>{4, 5})));
  WriteModel(graph, folder / "model.onnx", {.external_threshold_bytes = 1});
  EXPECT_EQ(std::filesystem::file_size(folder / "model.onnx.data"), 66u);
  const auto read = ReadModel(folder / "model.onnx");
  EXPECT_EQ(
      read->FindValue("b")->constant->bytes.data() - read->FindValue("a")->constant->bytes.data(),
      64);
}

// The constants of the graph being written are views of the files that are replaced.
TEST(Writer, ReplacesTheFilesItReadsFrom) {
  TempFolder folder;
  WriteModel(*EverythingGraph(), folder / "model.onnx");
  const auto mapped = ReadModel(folder / "model.onnx");
  WriteModel(*mapped, folder / "model.onnx", {.external_threshold_bytes = 1});
  ExpectSame(*ReadModel(folder / "model.onnx"), *EverythingGraph());
}

TEST(Writer, KeepsAConstantWithAProducerAsItsNode) {
  Graph graph;
  graph.opsets = {{"", 21}};
  Value* y = graph.AddValue("y");
  graph.AddNode("n", "", "Shape", {graph.AddInput("x", DType::kF32, Dims{Dim(3)})}, {y});
  y->SetConstant(Tensor::FromInts(DType::kI64, {1}, std::vector<int64_t>{3}));
  graph.AddOutput(y);
  const auto read = ReadBytes(WriteModelBytes(graph));
  EXPECT_EQ(read->num_nodes(), 1u);
  EXPECT_FALSE(read->FindValue("y")->constant.has_value());
}

TEST(Writer, RefusesExternalNames) {
  TempFolder folder;
  for (const char* name : {"/tmp/x", "../x", "sub/x", "..", ".", "model.onnx"}) {
    EXPECT_THAT(
        ErrorOf([&] { WriteModel(Graph(), folder / "model.onnx", {.external_file = name}); }),
        HasSubstr(
            fmt::format("external file: got '{}', want a file name other than the model's", name)));
  }
}

TEST(Writer, FolderThatIsNotThere) {
  TempFolder folder;
  EXPECT_THAT(ErrorOf([&] { WriteModel(Graph(), folder / "none/model.onnx"); }),
              testing::AllOf(HasSubstr("cannot write '"), HasSubstr("/none/model.onnx'")));
}

TEST(Writer, TargetThatCannotBeReplaced) {
  TempFolder folder;
  std::filesystem::create_directories(folder / "model.onnx/full");
  EXPECT_THAT(ErrorOf([&] { WriteModel(*EverythingGraph(), folder / "model.onnx"); }),
              HasSubstr("cannot write '"));
  EXPECT_THAT(FilesOf(folder), testing::Not(testing::Contains("model.onnx.part")))
      << "nothing is left behind";
}

TEST(Writer, MakesBytesWhileItWrites) {
  TempFolder folder;
  const std::vector<int64_t> numbers = {1, 2, 3, 4, 5};
  const Tensor want = Tensor::FromInts(DType::kF32, {5}, numbers);
  Graph graph;
  graph.opsets = {{"", 21}};
  graph.AddOutput(graph.AddConstant("lazy", Tensor{DType::kF32, {5}, {}, nullptr}));
  WriteOptions options;
  options.sources["lazy"] = [&](const ByteSink& write) {
    write(want.bytes.first(3));
    write(want.bytes.subspan(3));
  };
  WriteModel(graph, folder / "model.onnx", options);
  EXPECT_EQ(ReadModel(folder / "model.onnx")->FindValue("lazy")->constant->ToInts(), numbers);

  options.sources["lazy"] = [&](const ByteSink& write) { write(want.bytes.first(19)); };
  EXPECT_THROW(WriteModel(graph, folder / "short.onnx", options), BugError);
  options.sources["lazy"] = [](const ByteSink&) { throw Error("onnx", "no bytes"); };
  EXPECT_EQ(ErrorOf([&] { WriteModel(graph, folder / "thrown.onnx", options); }),
            "[onnx] no bytes");
  EXPECT_THAT(FilesOf(folder), testing::UnorderedElementsAre("model.onnx", "model.onnx.data"));
  graph.FindValue("lazy")->SetConstant(want);
  EXPECT_THROW(WriteModel(graph, folder / "both.onnx", options), BugError);
}

TEST(Writer, RefusesModelsBeyondProtobufsBound) {
  TempFolder folder;
  folder.Write("sparse", "");
  std::filesystem::resize_file(folder / "sparse", 2ull << 30);
  const auto file = MappedFile::Open(folder / "sparse");
  Graph graph;
  graph.opsets = {{"", 21}};
  graph.AddOutput(graph.AddConstant("huge", Tensor{DType::kU8, {2ll << 30}, file->bytes(), file}));
  EXPECT_THAT(ErrorOf([&] { WriteModelBytes(graph); }),
              HasSubstr("tensor 'huge' of 2147483648 bytes: got a model file of more than"));
}

TEST(Writer, MissingSubgraphIsABug) {
  Graph graph;
  graph.AddNode("n", "", "If", {}, {})->attributes["then_branch"] = std::shared_ptr<Graph>();
  EXPECT_THROW(WriteModelBytes(graph), BugError);
}

}  // namespace
}  // namespace sinter::onnx
