// Evaluate: arithmetic on constants, and results that are views because elements keep their order.
#include "graph/evaluate.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "graph/text.h"

namespace sinter::graph {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::optional<std::vector<Tensor>> RunLast(const Graph& graph,
                                           int64_t max_bytes = kMaxFoldedBytes) {
  const Node& node = *graph.nodes().back();
  std::vector<TensorType> inputs;
  for (const Value* value : node.inputs()) {
    TensorType& type = inputs.emplace_back();
    if (value == nullptr) continue;
    type = {value->dtype, value->shape(), value->constant ? &*value->constant : nullptr};
  }
  return Evaluate(node, inputs, max_bytes);
}

// Returns the results of the last node as "type[shape] = [elements]", "none", or the error's text.
std::string Evaluate(const std::string& body) {
  const auto graph = Parse("graph { opset ai.onnx 21 " + body + "}");
  std::optional<std::vector<Tensor>> results;
  try {
    results = RunLast(*graph);
  } catch (const Error& error) {
    return error.what();
  }
  if (!results) return "none";
  std::vector<std::string> texts;
  for (const Tensor& tensor : *results) {
    if (tensor.dtype == DType::kUndefined) {
      texts.push_back("_");
      continue;
    }
    const std::string elements = IsFloat(tensor.dtype)
                                     ? fmt::format("{}", fmt::join(tensor.ToDoubles(), ", "))
                                     : fmt::format("{}", fmt::join(tensor.ToInts(), ", "));
    texts.push_back(fmt::format("{}[{}] = [{}]", DTypeName(tensor.dtype),
                                fmt::join(tensor.shape, ", "), elements));
  }
  return fmt::format("{}", fmt::join(texts, "; "));
}

struct Case {
  const char* body;
  const char* want;
};

class EvaluateTest : public testing::TestWithParam<Case> {};

TEST_P(EvaluateTest, Gives) {
  EXPECT_THAT(Evaluate(GetParam().body), HasSubstr(GetParam().want)) << GetParam().body;
}

const Case kArithmetic[] = {
    {"const %a: i64[2, 1] = [1, 2] const %b: i64[3] = [10, 20, 30] %y = ai.onnx::Add(%a, %b)",
     "i64[2, 3] = [11, 21, 31, 12, 22, 32]"},
    {"const %a: f16[2] = [1.5, 2] const %b: f16[] = [0.5] %y = ai.onnx::Sub(%a, %b)",
     "f16[2] = [1, 1.5]"},
    {"const %a: i32[2] = [3, -4] %y = ai.onnx::Mul(%a, %a)", "i32[2] = [9, 16]"},
    {"const %a: i32[] = [2147483647] %y = ai.onnx::Add(%a, %a)", "i32[] = [-2]"},
    {"const %a: i64[] = [9223372036854775807] const %b: i64[] = [1] %y = ai.onnx::Add(%a, %b)",
     "i64[] = [-9223372036854775808]"},
    {"const %a: i64[3] = [7, -7, 6] const %b: i64[] = [2] %y = ai.onnx::Div(%a, %b)",
     "i64[3] = [3, -3, 3]"},
    {"const %a: i64[] = [-9223372036854775808] const %b: i64[] = [-1] %y = ai.onnx::Div(%a, %b)",
     "i64[] = [-9223372036854775808]"},
    {"const %a: i64[] = [7] const %b: i64[] = [0] %y = ai.onnx::Div @d (%a, %b)",
     "node 'd' (ai.onnx::Div, version 21): divides 7 by zero"},
    {"const %a: f32[] = [1] const %b: f32[] = [0] %y = ai.onnx::Div(%a, %b)", "f32[] = [inf]"},
    {"const %a: i64[2] = [1, 5] const %b: i64[] = [3] %y = ai.onnx::Min(%a, %b)",
     "i64[2] = [1, 3]"},
    {"const %a: f32[2] = [1, 5] const %b: f32[] = [3] const %c: f32[2, 1] = [4, nan] "
     "%y = ai.onnx::Max(%a, %b, %c)",
     "f32[2, 2] = [4, 5, nan, nan]"},
    {"const %a: i64[2] = [1, -5] %y = ai.onnx::Neg(%a)", "i64[2] = [-1, 5]"},
    {"const %a: f32[1] = [2.5] %y = ai.onnx::Neg(%a)", "f32[1] = [-2.5]"},
    {"const %a: i64[3] = [1, 2, 3] const %b: i64[] = [2] %y = ai.onnx::Equal(%a, %b)",
     "bool[3] = [0, 1, 0]"},
    {"const %a: i64[3] = [1, 2, 3] const %b: i64[] = [2] %y = ai.onnx::Greater(%a, %b)",
     "bool[3] = [0, 0, 1]"},
    {"const %a: i64[3] = [1, 2, 3] const %b: i64[] = [2] %y = ai.onnx::GreaterOrEqual(%a, %b)",
     "bool[3] = [0, 1, 1]"},
    {"const %a: i64[3] = [1, 2, 3] const %b: i64[] = [2] %y = ai.onnx::Less(%a, %b)",
     "bool[3] = [1, 0, 0]"},
    {"const %a: f32[3] = [1, 2, 3] const %b: f32[] = [2] %y = ai.onnx::LessOrEqual(%a, %b)",
     "bool[3] = [1, 1, 0]"},
    {"const %a: bool[2] = [1, 0] const %b: bool[] = [1] %y = ai.onnx::And(%a, %b)",
     "bool[2] = [1, 0]"},
    {"const %a: bool[2] = [1, 0] const %b: bool[] = [0] %y = ai.onnx::Or(%a, %b)",
     "bool[2] = [1, 0]"},
    {"const %a: bool[2] = [1, 0] %y = ai.onnx::Not(%a)", "bool[2] = [0, 1]"},
    {"const %a: f32[4] = [1.9, -1.9, 1e30, nan] %y = ai.onnx::Cast(%a) {to = 6}",
     "i32[4] = [1, -1, 2147483647, 0]"},
    {"const %a: f32[2] = [0.5, 0] %y = ai.onnx::Cast(%a) {to = 9}", "bool[2] = [1, 0]"},
    {"const %a: i64[1] = [3] %y = ai.onnx::Cast(%a) {to = 10}", "f16[1] = [3]"},
    {"const %a: i64[1] = [3] %y = ai.onnx::Cast(%a) {to = 7}", "i64[1] = [3]"},
    {"const %c: bool[2, 1] = [1, 0] const %a: i64[2] = [1, 2] const %b: i64[] = [9] "
     "%y = ai.onnx::Where(%c, %a, %b)",
     "i64[2, 2] = [1, 2, 9, 9]"},
    {"const %c: bool[1] = [0] const %a: f16[1] = [1] const %b: f16[1] = [2] "
     "%y = ai.onnx::Where(%c, %a, %b)",
     "f16[1] = [2]"},
};

const Case kReductions[] = {
    {"const %a: i64[2, 3] = [1, 2, 3, 4, 5, 6] const %x: i64[1] = [-1] "
     "%y = ai.onnx::ReduceSum(%a, %x) {keepdims = 0}",
     "i64[2] = [6, 15]"},
    {"const %a: i64[2, 3] = [1, 2, 3, 4, 5, 6] const %x: i64[1] = [0] %y = ai.onnx::ReduceMax(%a, "
     "%x)",
     "i64[1, 3] = [4, 5, 6]"},
    {"const %a: f32[2, 2] = [1, 2, 3, 6] %y = ai.onnx::ReduceMean(%a)", "f32[1, 1] = [3]"},
    {"const %a: f32[2] = [1, 2] %y = ai.onnx::ReduceSum(%a) {noop_with_empty_axes = 1}",
     "f32[2] = [1, 2]"},
    {"const %a: f32[0] = [] %y = ai.onnx::ReduceSum(%a)", "f32[1] = [0]"},
    {"const %a: f32[0] = [] %y = ai.onnx::ReduceMax(%a)", "f32[1] = [-inf]"},
    {"const %a: i32[0] = [] %y = ai.onnx::ReduceMax(%a)", "i32[1] = [-2147483648]"},
    {"const %a: i64[0] = [] %y = ai.onnx::ReduceMax(%a)", "i64[1] = [-9223372036854775808]"},
    {"const %a: f32[0] = [] %y = ai.onnx::ReduceMean(%a)", "f32[1] = [0]"},
    {"const %a: i64[2] = [-5, -3] %y = ai.onnx::ReduceMax(%a)", "i64[1] = [-3]"},
    {"const %a: i64[] = [3] %y = ai.onnx::ReduceMax(%a)", "i64[] = [3]"},
};

const Case kMoves[] = {
    {"input %a: f32[5, 7, 2] %y = ai.onnx::Shape(%a)", "i64[3] = [5, 7, 2]"},
    {"input %a: f32[5, 7, 2] %y = ai.onnx::Shape(%a) {start = -2, end = 2}", "i64[1] = [7]"},
    {"input %a: f32[5, 7, 2] %y = ai.onnx::Shape(%a) {start = 3}", "i64[0] = []"},
    {"const %a: i64[4] = [1, 2, 3, 4] const %s: i64[2] = [2, -1] %y = ai.onnx::Reshape(%a, %s)",
     "i64[2, 2] = [1, 2, 3, 4]"},
    {"const %a: i64[] = [1] const %s: i64[1] = [0] %y = ai.onnx::Unsqueeze(%a, %s)",
     "i64[1] = [1]"},
    {"const %a: i64[1, 2] = [1, 2] %y = ai.onnx::Squeeze(%a)", "i64[2] = [1, 2]"},
    {"const %a: i64[1, 2] = [1, 2] %y = ai.onnx::Flatten(%a) {axis = 2}", "i64[2, 1] = [1, 2]"},
    {"const %a: i64[1] = [1] %y = ai.onnx::Identity(%a)", "i64[1] = [1]"},
    {"const %a: i32[2, 3] = [1, 2, 3, 4, 5, 6] %y = ai.onnx::Transpose(%a)",
     "i32[3, 2] = [1, 4, 2, 5, 3, 6]"},
    {"const %a: u8[1, 2, 2] = [1, 2, 3, 4] %y = ai.onnx::Transpose(%a) {perm = ints[2, 0, 1]}",
     "u8[2, 1, 2] = [1, 3, 2, 4]"},
    {"const %a: i64[2, 1] = [1, 2] const %s: i64[2] = [1, 3] %y = ai.onnx::Expand(%a, %s)",
     "i64[2, 3] = [1, 1, 1, 2, 2, 2]"},
    {"const %a: i64[5] = [0, 1, 2, 3, 4] const %s: i64[1] = [-1] const %e: i64[1] = [-9] "
     "const %x: i64[1] = [0] const %t: i64[1] = [-2] %y = ai.onnx::Slice(%a, %s, %e, %x, %t)",
     "i64[3] = [4, 2, 0]"},
    {"const %a: i64[2, 3] = [0, 1, 2, 3, 4, 5] const %s: i64[1] = [1] const %e: i64[1] = [9] "
     "const %x: i64[1] = [1] %y = ai.onnx::Slice(%a, %s, %e, %x)",
     "i64[2, 2] = [1, 2, 4, 5]"},
    {"const %a: i64[2] = [7, 8] const %s: i64[1] = [1] const %e: i64[1] = [2] const %x: i64[1] = "
     "[0] "
     "const %t: i64[1] = [9223372036854775807] %y = ai.onnx::Slice(%a, %s, %e, %x, %t)",
     "i64[1] = [8]"},
    {"const %a: i64[5] = [0, 1, 2, 3, 4] const %s: i64[2] = [3, 2] %x, %y = ai.onnx::Split(%a, %s)",
     "i64[3] = [0, 1, 2]; i64[2] = [3, 4]"},
    {"const %a: i64[2, 2] = [0, 1, 2, 3] %x, %y = ai.onnx::Split(%a) {axis = 1, num_outputs = 2}",
     "i64[2, 1] = [0, 2]; i64[2, 1] = [1, 3]"},
    {"const %a: i64[2, 1] = [0, 1] const %b: i64[2, 2] = [2, 3, 4, 5] "
     "%y = ai.onnx::Concat(%a, %b) {axis = 1}",
     "i64[2, 3] = [0, 2, 3, 1, 4, 5]"},
    {"const %a: i64[0] = [] const %b: i64[1] = [2] %y = ai.onnx::Concat(%a, %b, %a) {axis = 0}",
     "i64[1] = [2]"},
    {"const %a: i64[4611686018427387904, 0] = [] %y = ai.onnx::Concat(%a, %a) {axis = 1}",
     "i64[4611686018427387904, 0] = []"},
    {"const %a: i64[3] = [5, 6, 7] const %i: i64[] = [-1] %y = ai.onnx::Gather(%a, %i)",
     "i64[] = [7]"},
    {"const %a: i64[2, 2] = [5, 6, 7, 8] const %i: i32[1] = [1] %y = ai.onnx::Gather(%a, %i) {axis "
     "= 1}",
     "i64[2, 1] = [6, 8]"},
    {"const %a: i64[3] = [5, 6, 7] const %i: i64[] = [3] %y = ai.onnx::Gather @g (%a, %i)",
     "node 'g' (ai.onnx::Gather, version 21): index: got 3, want one of 3 elements"},
    {"const %a: i64[3] = [5, 6, 7] const %i: i64[] = [-4] %y = ai.onnx::Gather(%a, %i)", "got -4"},
    {"const %a: i64[4611686018427387904, 0] = [] const %i: i64[0] = [] "
     "%y = ai.onnx::Gather(%a, %i) {axis = 1}",
     "i64[4611686018427387904, 0] = []"},
    {"const %a: i64[] = [3] const %b: i64[] = [9] const %d: i64[] = [2] %y = ai.onnx::Range(%a, "
     "%b, %d)",
     "i64[3] = [3, 5, 7]"},
    {"const %a: i32[] = [3] const %b: i32[] = [0] const %d: i32[] = [-1] %y = ai.onnx::Range(%a, "
     "%b, %d)",
     "i32[3] = [3, 2, 1]"},
    {"const %a: f32[] = [0] const %b: f32[] = [1] const %d: f32[] = [0.5] %y = ai.onnx::Range(%a, "
     "%b, %d)",
     "f32[2] = [0, 0.5]"},
    {"%y = ai.onnx::Constant() {value = i64[1] = [3]}", "i64[1] = [3]"},
    {"%y = ai.onnx::Constant() {value_int = 4}", "i64[] = [4]"},
    {"%y = ai.onnx::Constant() {value_ints = ints[4, 5]}", "i64[2] = [4, 5]"},
    {"%y = ai.onnx::Constant() {value_float = 4.5f}", "f32[] = [4.5]"},
    {"%y = ai.onnx::Constant() {value_floats = floats[4.5]}", "f32[1] = [4.5]"},
    {"const %s: i64[2] = [1, 2] %y = ai.onnx::ConstantOfShape(%s)", "f32[1, 2] = [0, 0]"},
    {"const %s: i64[1] = [2] %y = ai.onnx::ConstantOfShape(%s) {value = i64[1] = [7]}",
     "i64[2] = [7, 7]"},
    {"const %a: i4[4] = [1, -2, 3, -4] const %s: i64[2] = [2, 2] %y = ai.onnx::Reshape(%a, %s)",
     "i4[2, 2] = [1, -2, 3, -4]"},
};

const Case kNone[] = {
    {"input %a: i64[2] %y = ai.onnx::Neg(%a)", "none"},
    {"const %a: f32[1] = [4] %y = ai.onnx::Sqrt(%a)", "none"},
    {"const %a: f32[1] = [4] %y = custom::Add(%a, %a)", "none"},
    {"const %a: i4[2, 2] = [1, 2, 3, 4] %y = ai.onnx::Transpose(%a)", "none"},
    {"const %s: i64[2] = [65536, 65536] %y = ai.onnx::ConstantOfShape(%s)", "none"},
    {"const %a: f32[1] = [4] const %s: i64[1] = [1099511627776] %y = ai.onnx::Expand(%a, %s)",
     "none"},
    {"const %a: i64[] = [0] const %b: i64[] = [1073741824] const %d: i64[] = [1] "
     "%y = ai.onnx::Range(%a, %b, %d)",
     "none"},
};

INSTANTIATE_TEST_SUITE_P(Arithmetic, EvaluateTest, testing::ValuesIn(kArithmetic));
INSTANTIATE_TEST_SUITE_P(Reductions, EvaluateTest, testing::ValuesIn(kReductions));
INSTANTIATE_TEST_SUITE_P(Moves, EvaluateTest, testing::ValuesIn(kMoves));
INSTANTIATE_TEST_SUITE_P(None, EvaluateTest, testing::ValuesIn(kNone));

TEST(Evaluate, RowsOfAConstantAreAViewOfIt) {
  const auto graph = Parse(
      "graph { opset ai.onnx 21 const %a: f16[100, 3] = zeros const %s: i64[1] = [40] "
      "const %e: i64[1] = [90] %y = ai.onnx::Slice(%a, %s, %e) }");
  const auto rows = RunLast(*graph, 16);
  ASSERT_TRUE(rows.has_value());
  const Tensor& table = *graph->FindValue("a")->constant;
  EXPECT_EQ((*rows)[0].bytes.data(), table.bytes.data() + 40 * 3 * 2);
  EXPECT_EQ((*rows)[0].bytes.size(), 50u * 3 * 2);
  EXPECT_EQ((*rows)[0].owner, table.owner);
}

TEST(Evaluate, CopiesStayBelowTheLimit) {
  const std::string head = "graph { opset ai.onnx 21 const %a: f16[4, 4] = zeros ";
  const auto transpose = Parse(head + "%y = ai.onnx::Transpose(%a) }");
  EXPECT_TRUE(RunLast(*transpose, 32).has_value());
  EXPECT_FALSE(RunLast(*transpose, 31).has_value());
  const auto add = Parse(head + "%y = ai.onnx::Add(%a, %a) }");
  EXPECT_TRUE(RunLast(*add, 32).has_value());
  EXPECT_FALSE(RunLast(*add, 31).has_value());
  const auto reshape = Parse(head + "const %s: i64[1] = [16] %y = ai.onnx::Reshape(%a, %s) }");
  EXPECT_TRUE(RunLast(*reshape, 1).has_value());
}

}  // namespace
}  // namespace sinter::graph
