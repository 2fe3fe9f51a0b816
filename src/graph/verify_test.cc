// Graphs that Verify refuses. Broken links, which only a bug in Graph could cause, cannot be built
// here.
#include "graph/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "graph/text.h"

namespace sinter::graph {
namespace {

using ::testing::HasSubstr;

std::string Check(const Graph& graph) {
  try {
    Verify(graph);
  } catch (const Error& error) {
    return error.what();
  }
  return "fine";
}

std::string Check(const std::string& body) {
  return Check(*Parse("graph { opset ai.onnx 21 " + body + "}"));
}

TEST(Verify, AcceptsAWholeGraph) {
  EXPECT_EQ(
      Check("input %c: bool[] input %x: f32[n, 4] const %b: f32[4] = [1, 2, 3, 4] "
            "%a: f32[n, 4] = ai.onnx::Add(%x, %b) %y = ai.onnx::If(%c) {"
            "then_branch = graph { capture %a return %a }, "
            "else_branch = graph { capture %x %z = ai.onnx::Neg(%x) return %z }} return %y, %a"),
      "fine");
}

TEST(Verify, NodesMustBeKnown) {
  EXPECT_THAT(Check("input %x: f32[1] %y = ai.onnx::Conv(%x)"), HasSubstr("not implemented"));
  EXPECT_THAT(Check("input %x: f32[1] %y = ai.onnx::Neg(%x) {k = 1}"), HasSubstr("attribute 'k'"));
  EXPECT_THAT(Check("input %x: f32[1] %y = ai.onnx::Neg(%x, %x)"), HasSubstr("want at most 1"));
  EXPECT_THAT(Check("input %x: f32[1] ai.onnx::Neg(%x)"), HasSubstr("output 0 (Y) is missing"));
}

TEST(Verify, DefinitionsComeBeforeUses) {
  EXPECT_THAT(Check("input %x: f32[1] %z = ai.onnx::Neg @z (%y) %y = ai.onnx::Neg @y (%x)"),
              HasSubstr("'z' (ai.onnx::Neg, version 21): input 'y': comes from node 'y'"));
  EXPECT_THAT(Check("value %x: f32[1] %y = ai.onnx::Neg(%x)"),
              HasSubstr("input 'x': nothing produces it"));
  EXPECT_THAT(Check("value %x: f32[1] return %x"), HasSubstr("output 'x': nothing produces it"));
  EXPECT_THAT(Check("%a = ai.onnx::Neg @a (%a)"), HasSubstr("which is not before it"));
}

TEST(Verify, DeclaredTypesMustFit) {
  EXPECT_THAT(Check("input %x: f32[2] %y: f16[2] = ai.onnx::Neg(%x)"),
              HasSubstr("output 'y': declared differently from what the operator gives: f32[2]"));
  EXPECT_THAT(Check("input %x: f32[2] %y: f32[3] = ai.onnx::Neg(%x)"), HasSubstr("f32[2]"));
  EXPECT_THAT(Check("input %x: f32[2] %y: f32[2, 1] = ai.onnx::Neg(%x)"), HasSubstr("f32[2]"));
  EXPECT_EQ(Check("input %x: f32[2] %y: f32[n] = ai.onnx::Neg(%x)"), "fine");
  EXPECT_THAT(Check("input %x: f32[2] input %z: f32[3] %y = ai.onnx::Add(%x, %z)"),
              HasSubstr("want shapes that broadcast"));
  EXPECT_THAT(Check("input %x: f32[4611686018427387904, 4]"), HasSubstr("2^63"));
}

TEST(Verify, ShapesThatHangOnDataAreLeftOpen) {
  EXPECT_EQ(Check("input %x: f32[2] input %s: i64[2] %y = ai.onnx::Reshape(%x, %s)"), "fine");
}

TEST(Verify, ConstantsMustBeWhole) {
  const auto graph = Parse(
      "graph { opset ai.onnx 21 input %x: f32[1] %y = ai.onnx::Neg(%x) "
      "const %c: f32[2] = [1, 2] }");
  Value* c = graph->FindValue("c");
  const Tensor whole = *c->constant;
  c->constant->bytes = c->constant->bytes.first(7);
  EXPECT_THAT(Check(*graph), HasSubstr("constant 'c': got 7 bytes for f32[2]"));
  c->constant = whole;
  c->constant->shape = {int64_t{1} << 62, 4};
  c->set_shape({1});
  EXPECT_THAT(Check(*graph), HasSubstr("its declared type or shape differs"));
  c->SetConstant(whole);
  EXPECT_EQ(Check(*graph), "fine");
  c->dtype = DType::kF16;
  EXPECT_THAT(Check(*graph), HasSubstr("its declared type or shape differs"));
  c->SetConstant(whole);
  graph->FindValue("y")->SetConstant(whole);
  EXPECT_THAT(Check(*graph), HasSubstr("value 'y': is a constant, but node"));
}

TEST(Verify, SubgraphsAreCheckedToo) {
  const auto with_branch = [](const std::string& branch) {
    return Check(
        "input %c: bool[] input %x: f32[1] %y = ai.onnx::If @i (%c) {then_branch = graph { "
        "capture %x return %x }, else_branch = graph { " +
        branch + " }} %late = ai.onnx::Neg(%x) return %y");
  };
  EXPECT_EQ(with_branch("const %k: f32[1] = [1] return %k"), "fine");
  EXPECT_THAT(with_branch("capture %k return %k"),
              HasSubstr("reads 'k', which is not a value of an enclosing"));
  EXPECT_THAT(with_branch("capture %late return %late"), HasSubstr("which is not before it"));
  EXPECT_THAT(with_branch(""), HasSubstr("else_branch gives 0 outputs, want 1"));
  EXPECT_THAT(with_branch("%k = ai.onnx::Foo() return %k"), HasSubstr("ai.onnx::Foo"));
  EXPECT_THAT(with_branch("%k = ai.onnx::Neg(%k) return %k"), HasSubstr("not before it"));
  EXPECT_THAT(
      Check("input %c: bool[] %y = ai.onnx::If(%c) {then_branch = graph {return %c value %c}}"),
      HasSubstr("attribute 'else_branch' is missing"));
}

TEST(Verify, SubgraphsMustNotNestEndlessly) {
  auto inner = std::make_shared<Graph>();
  inner->opsets[""] = 21;
  inner->AddOutput(
      inner->AddConstant("k0", Tensor::FromInts(DType::kI64, {1}, std::vector<int64_t>{1})));
  for (int depth = 1; depth < 20; ++depth) {
    auto outer = std::make_shared<Graph>();
    outer->opsets[""] = 21;
    Value* condition = outer->AddConstant(
        fmt::format("c{}", depth), Tensor::FromInts(DType::kBool, {1}, std::vector<int64_t>{1}));
    Value* result = outer->AddValue(fmt::format("k{}", depth));
    Node* node = outer->AddNode("", "", "If", {condition}, {result});
    node->attributes["then_branch"] = inner;
    node->attributes["else_branch"] = inner;
    outer->AddOutput(result);
    if (depth < 5) {
      EXPECT_EQ(Check(*outer), "fine");
    }
    inner = outer;
  }
  EXPECT_THAT(Check(*inner), HasSubstr("nest deeper than 16"));
}

}  // namespace
}  // namespace sinter::graph
