// Print and Parse: every construct survives a round trip, and errors name line and column.
#include "graph/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"

namespace sinter::graph {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kEverything[] = R"(graph main {
  opset ai.onnx 21
  opset com.microsoft 1
  input %x: f32[batch, 4, ?, "total length", "7th"]
  input %any: f16[*]
  input %no_type: ?[2]
  input %initialized: i64[2] = [3, -4]
  input %nothing
  const %scalar: f32[] = [0.1]
  const %half: f16[4] = [1.5, -0, inf, nan]
  const %bfloat: bf16[1] = [3.140625]
  const %double: f64[1] = [0.1]
  const %bits: u4[3] = [1, 2, 15]
  const %bools: bool[2] = [1, 0]
  const %big: i64[2] = [9223372036854775807, -9223372036854775808]
  const %empty: i64[0] = []
  const %weights: f16[100, 2] = elided
  value %loose: f32[1]
  %y: f32[batch, 4], _, %"/odd name [1] \"q\" \\ \x0a" = com.microsoft::Op @/node/name (%x, _, %scalar) {alpha = 1.5f, big = -9223372036854775808, inf = inff, list = ints[1, -2], mode = "tanh \"x\"", none = ints[], reals = floats[0.1, 2], tensor = i64[2] = [1, 2], tensors = tensors[f32[] = [1], u8[1] = [2]], words = strings["a", "b c"], zero = 0f}
  "my domain::Op With Space" ()
  %z = ai.onnx::If @"the if" (%bools) {else_branch = graph {
    const %c: f32[1] = [2]
    return %c
  }, then_branch = graph then {
    opset ai.onnx 20
    capture %y: f32[batch, 4]
    %inner = ai.onnx::Neg (%y)
    return %inner
  }}
  return %z, %y, %z
}
)";

TEST(Text, EverythingRoundTrips) {
  const auto graph = Parse(kEverything);
  EXPECT_EQ(Print(*graph), kEverything);
  EXPECT_EQ(Print(*graph->Clone()), kEverything);
}

TEST(Text, ParseBuildsTheGraph) {
  const auto graph = Parse(kEverything);
  EXPECT_EQ(graph->name, "main");
  EXPECT_EQ(graph->opsets.at(""), 21);
  const Value* x = graph->FindValue("x");
  EXPECT_THAT(*x->dims, ElementsAre(Dim("batch"), Dim(4), Dim(), Dim("total length"), Dim("7th")));
  EXPECT_FALSE(graph->FindValue("any")->dims.has_value());
  EXPECT_EQ(graph->FindValue("no_type")->dtype, DType::kUndefined);
  EXPECT_THAT(graph->FindValue("initialized")->constant->ToInts(), ElementsAre(3, -4));
  EXPECT_THAT(
      graph->FindValue("big")->constant->ToInts(),
      ElementsAre(std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()));
  const Node* op = graph->nodes().front().get();
  EXPECT_EQ(op->Describe(), "node '/node/name' (com.microsoft::Op, version 1)");
  EXPECT_EQ(op->input(1), nullptr);
  EXPECT_EQ(op->output(1), nullptr);
  EXPECT_EQ(op->output(2)->name(), "/odd name [1] \"q\" \\ \n");
  EXPECT_EQ(op->Float("alpha", 0), 1.5f);
  EXPECT_EQ(op->String("mode", ""), "tanh \"x\"");
  EXPECT_THAT(op->Ints("list", {}), ElementsAre(1, -2));
  EXPECT_EQ(graph->outputs().size(), 3u);
  const Node* choice = graph->nodes().back().get();
  const Graph& branch = *std::get<std::shared_ptr<Graph>>(*choice->Find("else_branch"));
  EXPECT_EQ(branch.opsets, graph->opsets);
  EXPECT_THAT(CapturedNames(*choice), ElementsAre("y"));
}

TEST(Text, FloatsAreExact) {
  const std::vector<double> values = {1.0 / 3, std::numeric_limits<float>::denorm_min(), 1e38,
                                      -0.0};
  Graph graph;
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    graph.AddConstant("", Tensor::FromDoubles(dtype, {4}, values));
  }
  const auto again = Parse(Print(graph));
  for (size_t i = 0; i < 4; ++i) {
    const auto before = graph.values()[i]->constant->bytes;
    const auto after = again->values()[i]->constant->bytes;
    EXPECT_TRUE(std::equal(before.begin(), before.end(), after.begin(), after.end())) << i;
  }
}

TEST(Text, BigConstantsComeBackAsZeros) {
  const auto graph = Parse("graph { const %a: f16[8, 16] = zeros const %b: i64[2] = zeros }");
  EXPECT_EQ(graph->FindValue("a")->constant->bytes.size(), 256u);
  EXPECT_THAT(Print(*graph), HasSubstr("%a: f16[8, 16] = elided"));
  EXPECT_THAT(Print(*graph), HasSubstr("%b: i64[2] = [0, 0]"));
}

TEST(Text, HugeConstantsComeBackWithoutBytes) {
  const auto graph = Parse("graph { const %a: f16[8192, 8192] = elided }");
  const Tensor& tensor = *graph->FindValue("a")->constant;
  EXPECT_EQ(tensor.num_elements(), int64_t{1} << 26);
  EXPECT_FALSE(tensor.has_all_bytes());
  EXPECT_EQ(Print(*Parse(Print(*graph))), Print(*graph));
}

TEST(Text, ASubgraphMayHaveNoOpsets) {
  const auto graph = Parse(R"(graph { opset ai.onnx 21 input %c: bool[1]
    %y = ai.onnx::If(%c) {then_branch = graph { opset _ }, else_branch = graph { }} })");
  const Node& node = *graph->nodes().front();
  EXPECT_TRUE(std::get<std::shared_ptr<Graph>>(*node.Find("then_branch"))->opsets.empty());
  EXPECT_EQ(std::get<std::shared_ptr<Graph>>(*node.Find("else_branch"))->opsets, graph->opsets);
  EXPECT_THAT(Print(*graph), HasSubstr("then_branch = graph {\n    opset _\n"));
  EXPECT_EQ(Print(*Parse(Print(*graph))), Print(*graph));
}

TEST(Text, CommentsAndForwardReferencesAreRead) {
  const auto graph = Parse(R"(
    graph {  # two nodes in the wrong order
      input %in
      %y = ai.onnx::Neg(%x)
      %x: f32[1] = ai.onnx::Neg(%in)
      input %unused  # the end
    })");
  EXPECT_EQ(graph->FindValue("x")->dtype, DType::kF32);
  EXPECT_EQ(graph->nodes().front()->input(0), graph->FindValue("x"));
}

struct BadText {
  const char* text;
  const char* want;
};

class BadTextTest : public testing::TestWithParam<BadText> {};

TEST_P(BadTextTest, NamesThePlace) {
  try {
    Parse(GetParam().text);
    FAIL() << GetParam().text;
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(GetParam().want)) << GetParam().text;
  }
}

const BadText kBadTexts[] = {
    {"", "line 1:1: got the end, want graph"},
    {"graph", "line 1:6: got the end, want a name"},
    {"graph {", "line 1:8: got the end, want a name"},
    {"graph { } x", "line 1:11: got 'x', want the end"},
    {"graph {\n  input x\n}", "line 2:9: got 'x', want '%'"},
    {"graph { input %x: g32[1] }", "line 1:19: got 'g32', want an element type"},
    {"graph { input %x: f32 }", "want '['"},
    {"graph { input %x: f32[1 2] }", "line 1:25: got '2', want ']'"},
    {"graph { input %x: f32[1a] }", "got '1a', want a dimension"},
    {"graph { input %x: f32[99999999999999999999] }", "want a dimension"},
    {"graph { input %x input %x }", "got 'x', want a name that is not used before"},
    {"graph { capture %x capture %x }", "want a name that is not used before"},
    {"graph { const %x: f32[2] }", "want '='"},
    {"graph { const %x: f32[2] = [1] }", "want 2 elements"},
    {"graph { const %x: f32[n] = [1] }", "want a type with numbers only before a constant"},
    {"graph { const %x: string[1] = [1] }", "want a type with numbers only"},
    {"graph { const %x: ?[1] = [1] }", "want a type with numbers only"},
    {"graph { const %x = [1] }", "want a type with numbers only"},
    {"graph { const %x: i64[1] = [1.5] }", "got '1.5', want an integer"},
    {"graph { const %x: f32[1] = [one] }", "got 'one', want a number"},
    {"graph { const %x: f32[4611686018427387904] = zeros }", "want at most 2^25 zeros"},
    {"graph { const %x: f32[4611686018427387904, 4] = zeros }", "2^63"},
    {"graph { const %x: i64[1] = [1] const %x: i64[1] = [1] }", "want one definition of 'x'"},
    {"graph { %x = ai.onnx::A() %x = ai.onnx::A() }", "want one definition of 'x'"},
    {"graph { return %y }", "line 1:16: got '%', want a definition of 'y'"},
    {"graph { %x = Neg() }", "got 'Neg', want DOMAIN::OPERATOR"},
    {"graph { %x = ai.onnx::A(%y) }", "want a definition of 'y'"},
    {"graph { %x = ai.onnx::A(1) }", "want '%'"},
    {"graph { %\"\" = ai.onnx::A() }", "want a name"},
    {"graph { ai.onnx::A() {k = } }", "want an element type"},
    {"graph { ai.onnx::A() {k = 1.5} }", "got '1.5', want an attribute's value"},
    {"graph { ai.onnx::A() {k = xf} }", "want a number before 'f'"},
    {"graph { ai.onnx::A() {k = ints[x]} }", "want an integer"},
    {"graph { opset ai.onnx x }", "got 'x', want a version"},
    {"graph { %x = ai.onnx::A @(%x) }", "want a name"},
    {"graph \"open", "want a closing quote"},
    {"graph \"\\xzz\" {}", "two hexadecimal digits"},
    {"graph \"\\x", "two hexadecimal digits"},
    {"graph \"\\", "want a closing quote"},
};

INSTANTIATE_TEST_SUITE_P(Text, BadTextTest, testing::ValuesIn(kBadTexts));

TEST(Text, DeepNestingIsRefused) {
  std::string text = "graph {";
  for (int i = 0; i < 20; ++i) text += "ai.onnx::If() {then_branch = graph {";
  for (int i = 0; i < 20; ++i) text += "}}";
  EXPECT_THROW(Parse(text + "}"), Error);
}

TEST(Text, NoPrefixOfATextCrashes) {
  const std::string text = kEverything;
  for (size_t i = 0; i + 2 < text.size(); ++i) {
    EXPECT_THROW(Parse(std::string_view(text).substr(0, i)), Error) << i;
  }
}

}  // namespace
}  // namespace sinter::graph
