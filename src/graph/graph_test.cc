// Changes of a graph: def-use links, names, captures, order.
#include "graph/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/error.h"

namespace sinter::graph {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// The graph x -> Neg -> a -> Sqrt -> y, with y as output.
struct Chain {
  Graph graph;
  Value* x = graph.AddInput("x", DType::kF32, Dims{2});
  Value* a = graph.AddValue("a");
  Value* y = graph.AddValue("y");
  Node* neg = graph.AddNode("neg", "", "Neg", {x}, {a});
  Node* sqrt = graph.AddNode("sqrt", "", "Sqrt", {a}, {y});
  Chain() { graph.AddOutput(y); }
};

std::vector<std::string> NodeNames(const Graph& graph) {
  std::vector<std::string> names;
  for (const auto& node : graph.nodes()) names.push_back(node->name());
  return names;
}

// Adds an If. Its then branch returns the outer value `captured`, its else branch the negated
// value.
Node* AddIf(Graph& graph, Value* condition, const std::string& captured, Value* output) {
  auto then_branch = std::make_shared<Graph>();
  then_branch->AddOutput(then_branch->AddCapture(captured));
  auto else_branch = std::make_shared<Graph>();
  Value* local = else_branch->AddValue("local");
  else_branch->AddNode("inner", "", "Neg", {else_branch->AddCapture(captured)}, {local});
  else_branch->AddOutput(local);
  Node* node = graph.AddNode("if", "", "If", {condition}, {output});
  node->attributes["then_branch"] = then_branch;
  node->attributes["else_branch"] = else_branch;
  return node;
}

TEST(Graph, LinksDefinitionsAndUses) {
  Chain c;
  EXPECT_EQ(c.x->producer(), nullptr);
  EXPECT_EQ(c.a->producer(), c.neg);
  EXPECT_THAT(c.a->uses(), ElementsAre(Pair(c.sqrt, 0)));
  EXPECT_EQ(OnlyUse(c.a), c.sqrt);
  EXPECT_EQ(OnlyUse(c.y), nullptr);
  EXPECT_EQ(c.neg->input(5), nullptr);
  EXPECT_EQ(c.neg->output(5), nullptr);
  EXPECT_EQ(c.graph.FindValue("a"), c.a);
  EXPECT_EQ(c.graph.FindValue("b"), nullptr);
}

TEST(Graph, AValueReadTwiceStandsTwiceInItsUses) {
  Graph graph;
  Value* x = graph.AddInput("x", DType::kF32, Dims{});
  Value* y = graph.AddValue("y");
  Node* mul = graph.AddNode("mul", "", "Mul", {x, x}, {y});
  EXPECT_THAT(x->uses(), ElementsAre(Pair(mul, 0), Pair(mul, 1)));
  EXPECT_EQ(OnlyUse(x), nullptr);
  graph.SetInput(mul, 0, nullptr);
  EXPECT_THAT(x->uses(), ElementsAre(Pair(mul, 1)));
}

TEST(Graph, NamesAreMadeUnique) {
  Graph graph;
  EXPECT_EQ(graph.AddValue("v")->name(), "v");
  EXPECT_NE(graph.AddValue("v")->name(), "v");
  Value* fresh = graph.AddValue("");
  EXPECT_FALSE(fresh->name().empty());
  EXPECT_NE(graph.AddValue("")->name(), fresh->name());
}

TEST(Graph, ASecondProducerIsABug) {
  Chain c;
  EXPECT_THROW(c.graph.AddNode("again", "", "Neg", {c.x}, {c.a}), BugError);
}

TEST(Graph, ValuesOfAnotherGraphAreABug) {
  Chain c, other;
  EXPECT_THROW(c.graph.AddNode("n", "", "Neg", {other.x}, {c.graph.AddValue("")}), BugError);
  EXPECT_THROW(c.graph.SetOutput(c.neg, 1, other.graph.AddValue("")), BugError);
  EXPECT_THROW(c.graph.AddOutput(other.a), BugError);
}

TEST(Graph, NodesTakeTheirDomainsVersion) {
  Graph graph;
  graph.opsets = {{"", 21}, {"com.microsoft", 1}};
  EXPECT_EQ(graph.AddNode("n", "ai.onnx", "Neg", {}, {})->version(), 21);
  EXPECT_EQ(graph.AddNode("m", "com.microsoft", "QMoE", {}, {})->version(), 1);
  EXPECT_EQ(graph.AddNode("o", "other", "X", {}, {})->Describe(), "node 'o' (other::X, version 0)");
  EXPECT_EQ(graph.nodes().front()->Describe(), "node 'n' (ai.onnx::Neg, version 21)");
}

TEST(Graph, AttributesOfTheWrongKindAreNamed) {
  Chain c;
  c.neg->attributes["axis"] = int64_t{3};
  EXPECT_EQ(c.neg->Int("axis", 0), 3);
  EXPECT_EQ(c.neg->Int("other", 7), 7);
  EXPECT_EQ(c.neg->Float("other", 0.5f), 0.5f);
  EXPECT_EQ(c.neg->String("other", "s"), "s");
  EXPECT_THAT(c.neg->Ints("other", {1, 2}), ElementsAre(1, 2));
  const auto message = [&](auto call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message([&] { c.neg->Float("axis", 0); }),
              HasSubstr("node 'neg' (ai.onnx::Neg, version 0): attribute 'axis'"));
  EXPECT_THAT(message([&] { c.neg->String("axis", ""); }), HasSubstr("want string"));
  EXPECT_THAT(message([&] { c.neg->Ints("axis", {}); }), HasSubstr("want ints"));
}

TEST(Graph, ReplaceAllUsesKeepsAnOutputsName) {
  Chain c;
  Value* other = c.graph.AddValue("other");
  c.graph.AddNode("relu", "", "Relu", {c.x}, {other});
  c.graph.ReplaceAllUses(c.y, other);
  EXPECT_EQ(other->name(), "y");
  EXPECT_EQ(c.graph.FindValue("y"), other);
  EXPECT_EQ(c.y->name(), "other");
  EXPECT_THAT(c.graph.outputs(), ElementsAre(other));
  EXPECT_FALSE(c.y->is_graph_output());
  c.graph.RemoveDead();
  EXPECT_THAT(NodeNames(c.graph), ElementsAre("relu"));
  EXPECT_EQ(c.graph.values().size(), 2u);
}

TEST(Graph, AnInputCannotTakeAnOutputsName) {
  Chain c;
  EXPECT_FALSE(c.graph.CanReplaceAllUses(c.y, c.x));
  EXPECT_TRUE(c.graph.CanReplaceAllUses(c.a, c.x));
  EXPECT_THROW(c.graph.ReplaceAllUses(c.y, c.x), BugError);
}

TEST(Graph, RemoveNodeWantsUnreadOutputs) {
  Chain c;
  EXPECT_THROW(c.graph.RemoveNode(c.neg), BugError);
  EXPECT_THROW(c.graph.RemoveNode(c.sqrt), BugError);
  c.graph.ReplaceAllUses(c.a, c.x);
  c.graph.RemoveNode(c.neg);
  EXPECT_EQ(c.graph.FindValue("a"), nullptr);
  EXPECT_THAT(c.x->uses(), ElementsAre(Pair(c.sqrt, 0)));
}

TEST(Graph, RemoveInputWantsAnUnreadInput) {
  Chain c;
  EXPECT_THROW(c.graph.RemoveInput(c.x), BugError);
  EXPECT_THROW(c.graph.RemoveInput(c.a), BugError);
  c.graph.AddInput("unread", DType::kF32, Dims{});
  c.graph.RemoveInput(c.graph.FindValue("unread"));
  EXPECT_EQ(c.graph.inputs().size(), 1u);
}

TEST(Graph, CloneIsDeepAndSharesConstants) {
  Chain c;
  c.graph.opsets[""] = 21;
  Value* one =
      c.graph.AddConstant("one", Tensor::FromInts(DType::kI64, {1}, std::vector<int64_t>{1}));
  c.sqrt->attributes["k"] = int64_t{5};
  const auto clone = c.graph.Clone();
  c.graph.ReplaceAllUses(c.a, c.x);
  EXPECT_THAT(NodeNames(*clone), ElementsAre("neg", "sqrt"));
  Value* a = clone->FindValue("a");
  ASSERT_NE(a, nullptr);
  EXPECT_NE(a, c.a);
  EXPECT_EQ(OnlyUse(a)->Int("k", 0), 5);
  EXPECT_EQ(clone->inputs()[0]->name(), "x");
  EXPECT_EQ(clone->outputs()[0]->name(), "y");
  EXPECT_TRUE(clone->outputs()[0]->is_graph_output());
  EXPECT_EQ(clone->FindValue("one")->constant->bytes.data(), one->constant->bytes.data());
}

TEST(Graph, SortsTopologicallyAndStably) {
  Graph graph;
  Value* x = graph.AddInput("x", DType::kF32, Dims{});
  Value *a = graph.AddValue("a"), *b = graph.AddValue("b"), *d = graph.AddValue("d");
  graph.AddNode("last", "", "Add", {a, b}, {graph.AddValue("y")});
  graph.AddNode("free", "", "Neg", {x}, {d});
  graph.AddNode("b", "", "Neg", {a}, {b});
  graph.AddNode("a", "", "Neg", {x}, {a});
  graph.SortTopologically();
  EXPECT_THAT(NodeNames(graph), ElementsAre("free", "a", "b", "last"));
  graph.SortTopologically();
  EXPECT_THAT(NodeNames(graph), ElementsAre("free", "a", "b", "last"));
}

TEST(Graph, ACycleIsAnErrorThatNamesOneOfItsNodes) {
  Graph graph;
  Value *a = graph.AddValue("a"), *b = graph.AddValue("b");
  graph.AddNode("after", "", "Neg", {b}, {graph.AddValue("y")});
  graph.AddNode("one", "", "Neg", {a}, {b});
  graph.AddNode("two", "", "Neg", {b}, {a});
  try {
    graph.SortTopologically();
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::AnyOf(HasSubstr("'one'"), HasSubstr("'two'")));
  }
  EXPECT_EQ(graph.num_nodes(), 3u);
}

TEST(Graph, ANodeThatReadsItselfIsACycle) {
  Graph graph;
  Value* a = graph.AddValue("a");
  graph.AddNode("self", "", "Neg", {a}, {a});
  EXPECT_THROW(graph.SortTopologically(), Error);
}

TEST(Graph, CapturesAreDependencies) {
  Graph graph;
  Value* condition = graph.AddInput("condition", DType::kBool, Dims{});
  Value *outer = graph.AddValue("outer"), *y = graph.AddValue("y");
  AddIf(graph, condition, "outer", y);
  graph.AddNode("producer", "", "Neg", {graph.AddInput("x", DType::kF32, Dims{})}, {outer});
  graph.AddOutput(y);
  graph.SortTopologically();
  EXPECT_THAT(NodeNames(graph), ElementsAre("producer", "if"));
  graph.RemoveDead();
  EXPECT_EQ(graph.num_nodes(), 2u);
  EXPECT_TRUE(graph.IsCaptured(outer));
  EXPECT_EQ(OnlyUse(outer), nullptr);
}

TEST(Graph, ReplaceAllUsesReachesSubgraphsAndLeavesClonesAlone) {
  Graph graph;
  Value* condition = graph.AddInput("condition", DType::kBool, Dims{});
  Value* x = graph.AddInput("local", DType::kF32,
                            Dims{});  // The else branch has a value of the same name.
  Value *outer = graph.AddValue("outer"), *y = graph.AddValue("y");
  graph.AddNode("producer", "", "Neg", {x}, {outer});
  Node* node = AddIf(graph, condition, "outer", y);
  graph.AddOutput(y);
  const auto clone = graph.Clone();
  graph.ReplaceAllUses(outer, x);
  EXPECT_THAT(CapturedNames(*node), ElementsAre("local", "local"));
  const Graph& branch = *std::get<std::shared_ptr<Graph>>(*node->Find("else_branch"));
  EXPECT_EQ(branch.nodes().front()->input(0), branch.captures()[0]);
  EXPECT_EQ(branch.outputs()[0]->producer(), branch.nodes().front().get());
  const Graph& then_branch = *std::get<std::shared_ptr<Graph>>(*node->Find("then_branch"));
  EXPECT_EQ(then_branch.outputs()[0], then_branch.captures()[0]);
  graph.RemoveDead();
  EXPECT_EQ(graph.num_nodes(), 1u);
  EXPECT_THAT(CapturedNames(*clone->nodes().back()), ElementsAre("outer", "outer"));
}

TEST(Graph, AnOutputsNewNameReachesSubgraphs) {
  Graph graph;
  Value* condition = graph.AddInput("condition", DType::kBool, Dims{});
  Value* x = graph.AddInput("x", DType::kF32, Dims{});
  Value *a = graph.AddValue("a"), *b = graph.AddValue("b"), *y = graph.AddValue("y");
  graph.AddNode("a", "", "Neg", {x}, {a});
  graph.AddNode("b", "", "Identity", {a}, {b});
  Node* node = AddIf(graph, condition, "a", y);
  graph.AddOutput(b);
  graph.AddOutput(y);
  graph.ReplaceAllUses(b, a);
  EXPECT_EQ(a->name(), "b");
  EXPECT_THAT(CapturedNames(*node), ElementsAre("b", "b"));
}

TEST(Graph, AddCaptureKeepsItsName) {
  Graph graph;
  graph.AddValue("x");
  EXPECT_THROW(graph.AddCapture("x"), BugError);
}

TEST(Value, ShapesMayBeUnknown) {
  Graph graph;
  Value* v = graph.AddValue("v");
  EXPECT_FALSE(v->has_static_shape());
  EXPECT_THROW(v->shape(), BugError);
  v->dims = Dims{2, Dim("n")};
  EXPECT_FALSE(v->has_static_shape());
  v->set_shape({2, 3});
  EXPECT_THAT(v->shape(), ElementsAre(2, 3));
}

}  // namespace
}  // namespace sinter::graph
