// Types and shapes of every operator, and the nodes that inference refuses.
#include "graph/ops.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "base/error.h"
#include "graph/text.h"

namespace sinter::graph {
namespace {

using ::testing::HasSubstr;

std::string TypeText(const Value* value) {
  if (value == nullptr) return "_";
  return fmt::format("{}[{}]", DTypeName(value->dtype), fmt::join(value->shape(), ", "));
}

// Returns the output types of the last node of a graph with the given opset and com.microsoft 1, or
// the error's text.
std::string Infer(const std::string& body, int opset = 23) {
  const auto graph =
      Parse(fmt::format("graph {{ opset ai.onnx {} opset com.microsoft 1\n{} }}", opset, body));
  std::vector<std::string> types;
  try {
    for (const auto& node : graph->nodes()) InferNode(*node);
  } catch (const Error& error) {
    return error.what();
  }
  for (const Value* value : graph->nodes().back()->outputs()) types.push_back(TypeText(value));
  return fmt::format("{}", fmt::join(types, " "));
}

struct Case {
  const char* body;
  const char* want;
};

class InferTest : public testing::TestWithParam<Case> {};

TEST_P(InferTest, Gives) {
  EXPECT_THAT(Infer(GetParam().body), HasSubstr(GetParam().want)) << GetParam().body;
}

const Case kElementwise[] = {
    {"input %a: f16[2, 1, 4] input %b: f16[3, 1] %y = ai.onnx::Add(%a, %b)", "f16[2, 3, 4]"},
    {"input %a: i64[] input %b: i64[3] %y = ai.onnx::Sub(%a, %b)", "i64[3]"},
    {"input %a: f32[0, 4] input %b: f32[1] %y = ai.onnx::Mul(%a, %b)", "f32[0, 4]"},
    {"input %a: f32[2, 4] input %b: f32[3, 4] %y = ai.onnx::Div(%a, %b)", "[2, 4] and [3, 4]"},
    {"input %a: f32[2] input %b: f16[2] %y = ai.onnx::Add @n (%a, %b)",
     "[graph] node 'n' (ai.onnx::Add, version 23): input 1 (B, 'b'): got type f16, want f32"},
    {"input %a: bool[2] %y = ai.onnx::Add(%a, %a)", "got type bool"},
    {"input %a: f32[2] %y = ai.onnx::Add(%a)", "input 1 (B) is missing"},
    {"input %a: f32[2] %y = ai.onnx::Add(%a, _)", "input 1 (B) is missing"},
    {"input %a: f32[2] %y = ai.onnx::Add(%a, %a, %a)", "got input 2 ('a'), want at most 2"},
    {"input %a: f32[2] input %b: f32[1] input %c: f32[3, 1] %y = ai.onnx::Max(%a, %b, %c)",
     "f32[3, 2]"},
    {"input %a: f32[2] %y = ai.onnx::Min(%a)", "f32[2]"},
    {"%y = ai.onnx::Min()", "input 0 (data_0) is missing"},
    {"input %a: f32[2] %y = ai.onnx::Max(%a, _, %a)", "input 1 (data_0) is missing"},
    {"input %a: i32[2] %y = ai.onnx::Neg(%a)", "i32[2]"},
    {"input %a: f16[2] %y = ai.onnx::Sqrt(%a)", "f16[2]"},
    {"input %a: i64[2] %y = ai.onnx::Sqrt(%a)", "got type i64, want f32 or f16"},
    {"input %a: bf16[2] %y = ai.onnx::Sigmoid(%a)", "got type bf16"},
    {"input %a: f16[2] %y = ai.onnx::Reciprocal(%a)", "f16[2]"},
    {"input %a: f16[2] %y = ai.onnx::Sigmoid(%a)", "f16[2]"},
    {"input %a: f16[2] %y = ai.onnx::Tanh(%a)", "f16[2]"},
    {"input %a: f16[2] %y = ai.onnx::Relu(%a)", "f16[2]"},
    {"input %a: f16[2] %y = ai.onnx::Erf(%a)", "f16[2]"},
    {"input %a: f16[2] %y = ai.onnx::Gelu(%a) {approximate = \"tanh\"}", "f16[2]"},
    {"input %a: f16[2] %y = ai.onnx::Gelu(%a) {approximate = \"fast\"}",
     "'approximate': got fast, want none or tanh"},
    {"input %a: f16[2] %y = com.microsoft::Gelu(%a)", "f16[2]"},
    {"input %a: f16[2, 3] input %b: f16[3] %y = com.microsoft::FastGelu(%a, %b)", "f16[2, 3]"},
    {"input %a: f16[2, 3] %y = com.microsoft::FastGelu(%a)", "f16[2, 3]"},
    {"input %a: f16[2, 3] input %b: f16[2] %y = com.microsoft::FastGelu(%a, %b)",
     "got shape [2], want [3]"},
    {"input %a: f16[] input %b: f16[2] %y = com.microsoft::FastGelu(%a, %b)", "got a scalar"},
    {"input %a: f16[2] %y = com.microsoft::QuickGelu(%a) {alpha = 1.702f}", "f16[2]"},
    {"input %a: f16[2] %y = com.microsoft::QuickGelu(%a) {alpha = 2}",
     "'alpha' has the wrong kind, want float"},
    {"input %a: f16[2] input %b: f32[] %y = ai.onnx::Pow(%a, %b)", "f16[2]"},
    {"input %a: i64[2] %y = ai.onnx::Equal(%a, %a)", "bool[2]"},
    {"input %a: i64[2] input %b: i64[3, 1] %y = ai.onnx::Greater(%a, %b)", "bool[3, 2]"},
    {"input %a: i64[2] %y = ai.onnx::GreaterOrEqual(%a, %a)", "bool[2]"},
    {"input %a: i64[2] %y = ai.onnx::Less(%a, %a)", "bool[2]"},
    {"input %a: i64[2] %y = ai.onnx::LessOrEqual(%a, %a)", "bool[2]"},
    {"input %a: bool[2] %y = ai.onnx::Less(%a, %a)", "got type bool"},
    {"input %a: bool[2] %y = ai.onnx::And(%a, %a)", "bool[2]"},
    {"input %a: bool[2] %y = ai.onnx::Or(%a, %a)", "bool[2]"},
    {"input %a: i64[2] %y = ai.onnx::And(%a, %a)", "got type i64, want bool"},
    {"input %a: bool[2] %y = ai.onnx::Not(%a)", "bool[2]"},
    {"input %c: bool[2, 1] input %a: f16[3] input %b: f16[] %y = ai.onnx::Where(%c, %a, %b)",
     "f16[2, 3]"},
    {"input %c: i64[2] input %a: f16[2] %y = ai.onnx::Where(%c, %a, %a)",
     "got type i64, want bool"},
    {"input %c: bool[2] input %a: f16[2] input %b: f32[2] %y = ai.onnx::Where(%c, %a, %b)",
     "got type f32, want f16"},
    {"input %a: i64[2] %y = ai.onnx::Cast(%a) {to = 10}", "f16[2]"},
    {"input %a: bf16[2] %y = ai.onnx::Cast(%a) {to = 1}", "f32[2]"},
    {"input %a: i64[2] %y = ai.onnx::Cast(%a) {to = 8}", "'to': got type 8"},
    {"input %a: i64[2] %y = ai.onnx::Cast(%a) {to = -1}", "'to': got type -1"},
    {"input %a: i64[2] %y = ai.onnx::Cast(%a) {to = 262}", "'to': got type 262"},
    {"input %a: i64[2] %y = ai.onnx::Cast(%a)", "attribute 'to' is missing"},
};

const Case kShapes[] = {
    {"input %a: f16[2, 3] %y = ai.onnx::Identity(%a)", "f16[2, 3]"},
    {"input %a: f16[2, 6] const %s: i64[3] = [0, -1, 3] %y = ai.onnx::Reshape(%a, %s)",
     "f16[2, 2, 3]"},
    {"input %a: f16[2, 6] const %s: i64[1] = [12] %y = ai.onnx::Reshape(%a, %s)", "f16[12]"},
    {"input %a: f16[1] const %s: i64[0] = [] %y = ai.onnx::Reshape(%a, %s)", "f16[]"},
    {"input %a: f16[0, 6] const %s: i64[2] = [3, 0] %y = ai.onnx::Reshape(%a, %s) {allowzero = 1}",
     "f16[3, 0]"},
    {"input %a: f16[2, 6] const %s: i64[2] = [5, -1] %y = ai.onnx::Reshape(%a, %s)",
     "cannot make [5, -1] of [2, 6]"},
    {"input %a: f16[2, 6] const %s: i64[2] = [-1, -1] %y = ai.onnx::Reshape(%a, %s)",
     "cannot make"},
    {"input %a: f16[2, 6] const %s: i64[2] = [-2, -6] %y = ai.onnx::Reshape(%a, %s)",
     "cannot make"},
    {"input %a: f16[2, 6] const %s: i64[3] = [2, 6, 0] %y = ai.onnx::Reshape(%a, %s)",
     "cannot make"},
    {"input %a: f16[2, 6] const %s: i64[1] = [13] %y = ai.onnx::Reshape(%a, %s)", "cannot make"},
    {"input %a: f16[0] const %s: i64[2] = [0, -1] %y = ai.onnx::Reshape(%a, %s)", "cannot make"},
    {"input %a: f16[2] const %s: i64[2] = [4611686018427387904, 4] %y = ai.onnx::Reshape(%a, %s)",
     "2^63"},
    {"input %a: f16[2, 6] input %s: i64[2] %y = ai.onnx::Reshape @n (%a, %s)",
     "node 'n' (ai.onnx::Reshape, version 23): input 1 (shape, 's'): is known only when the model "
     "runs"},
    {"input %a: f16[2] const %s: f32[1] = [2] %y = ai.onnx::Reshape(%a, %s)", "got type f32"},
    {"input %a: f16[2] const %s: i64[1, 1] = [2] %y = ai.onnx::Reshape(%a, %s)",
     "want a list of at most 64"},
    {"input %a: f16[2] const %s: i64[65] = zeros %y = ai.onnx::Reshape(%a, %s)",
     "want a list of at most 64"},
    {"input %a: f16[2, 3, 4] %y = ai.onnx::Flatten(%a)", "f16[2, 12]"},
    {"input %a: f16[2, 3, 4] %y = ai.onnx::Flatten(%a) {axis = 0}", "f16[1, 24]"},
    {"input %a: f16[2, 3, 4] %y = ai.onnx::Flatten(%a) {axis = 3}", "f16[24, 1]"},
    {"input %a: f16[2, 3, 4] %y = ai.onnx::Flatten(%a) {axis = -1}", "f16[6, 4]"},
    {"input %a: f16[2, 3, 4] %y = ai.onnx::Flatten(%a) {axis = 4}", "axis: got 4"},
    {"input %a: f16[2, 3, 4] %y = ai.onnx::Flatten(%a) {axis = -4}", "axis: got -4"},
    {"input %a: f16[2, 3, 4] %y = ai.onnx::Transpose(%a)", "f16[4, 3, 2]"},
    {"input %a: f16[2, 3, 4] %y = ai.onnx::Transpose(%a) {perm = ints[0, 2, 1]}", "f16[2, 4, 3]"},
    {"input %a: f16[2, 3, 4] %y = ai.onnx::Transpose(%a) {perm = ints[0, 2]}", "want 3 axes"},
    {"input %a: f16[2, 3, 4] %y = ai.onnx::Transpose(%a) {perm = ints[0, 2, 2]}",
     "axes: got 2 twice"},
    {"input %a: f16[2, 3, 4] %y = ai.onnx::Transpose(%a) {perm = ints[0, 1, 3]}", "axis: got 3"},
    {"input %a: f16[3, 1] const %s: i64[3] = [2, 1, 4] %y = ai.onnx::Expand(%a, %s)",
     "f16[2, 3, 4]"},
    {"input %a: f16[3] const %s: i64[1] = [4] %y = ai.onnx::Expand(%a, %s)",
     "want a shape that the input broadcasts to"},
    {"input %a: f16[1] const %s: i64[1] = [-4] %y = ai.onnx::Expand(%a, %s)",
     "want a shape that the input broadcasts to"},
    {"input %a: f16[1] const %s: i64[2] = [4611686018427387904, 2] %y = ai.onnx::Expand(%a, %s)",
     "fewer than 2^56"},
    {"input %a: f16[2] const %s: i64[2] = [0, -1] %y = ai.onnx::Unsqueeze(%a, %s)", "f16[1, 2, 1]"},
    {"input %a: f16[2] const %s: i64[2] = [0, -3] %y = ai.onnx::Unsqueeze(%a, %s)",
     " twice, want each axis once"},
    {"input %a: f16[2] const %s: i64[1] = [2] %y = ai.onnx::Unsqueeze(%a, %s)", "axis: got 2"},
    {"input %a: f16[1, 2, 1] %y = ai.onnx::Squeeze(%a)", "f16[2]"},
    {"input %a: f16[1, 2, 1] const %s: i64[1] = [-1] %y = ai.onnx::Squeeze(%a, %s)", "f16[1, 2]"},
    {"input %a: f16[1, 2, 1] const %s: i64[1] = [1] %y = ai.onnx::Squeeze(%a, %s)",
     "dimension 1 of [1, 2, 1] is not 1"},
    {"input %a: f16[1, 2] input %b: f16[1, 3] %y = ai.onnx::Concat(%a, %b, %a) {axis = -1}",
     "f16[1, 7]"},
    {"input %a: f16[1, 2] input %b: f16[2, 3] %y = ai.onnx::Concat(%a, %b) {axis = 1}",
     "want shapes that differ only along axis 1"},
    {"input %a: f16[1, 2] input %b: f16[2] %y = ai.onnx::Concat(%a, %b) {axis = 1}",
     "want 2 dimensions"},
    {"input %a: f16[1] input %b: f32[1] %y = ai.onnx::Concat(%a, %b) {axis = 0}", "got type f32"},
    {"input %a: f16[9223372036854775807] %y = ai.onnx::Concat(%a, %a) {axis = 0}", "overflows"},
    {"input %a: f16[] %y = ai.onnx::Concat(%a, %a) {axis = 0}",
     "axis: got 0, want one of 0 dimensions"},
    {"input %a: f16[2, 8] const %s: i64[3] = [4, 2, 2] %x, %y, %z = ai.onnx::Split(%a, %s) {axis = "
     "-1}",
     "f16[2, 4] f16[2, 2] f16[2, 2]"},
    {"input %a: f16[5] %x, _, %z = ai.onnx::Split(%a) {num_outputs = 3}", "f16[2] _ f16[1]"},
    {"input %a: f16[8] const %s: i64[2] = [4, 5] %x, %y = ai.onnx::Split(%a, %s)",
     "want 2 sizes with the sum 8"},
    {"input %a: f16[8] const %s: i64[2] = [9, -1] %x, %y = ai.onnx::Split(%a, %s)",
     "want 2 sizes with the sum 8"},
    {"input %a: f16[8] const %s: i64[2] = [4, 4] %x = ai.onnx::Split(%a, %s)", "want 1 sizes"},
    {"input %a: f16[8] %x, %y = ai.onnx::Split(%a) {num_outputs = 3}",
     "'num_outputs': got 3, want 2"},
    {"input %a: f16[8, 4] const %s: i64[1] = [1] const %e: i64[1] = [9223372036854775807] "
     "const %x: i64[1] = [-1] %y = ai.onnx::Slice(%a, %s, %e, %x)",
     "f16[8, 3]"},
    {"input %a: f16[8] const %s: i64[1] = [-1] const %e: i64[1] = [-9223372036854775808] const %x: "
     "i64[1] = [0] "
     "const %t: i64[1] = [-3] %y = ai.onnx::Slice(%a, %s, %e, %x, %t)",
     "f16[3]"},
    {"input %a: f16[2] const %s: i64[1] = [-9] const %e: i64[1] = [-9] const %x: i64[1] = [0] "
     "const %t: i64[1] = [-1] %y = ai.onnx::Slice(%a, %s, %e, %x, %t)",
     "f16[1]"},
    {"input %a: f16[0] const %s: i64[1] = [-9] const %e: i64[1] = [-9] const %x: i64[1] = [0] "
     "const %t: i64[1] = [-1] %y = ai.onnx::Slice(%a, %s, %e, %x, %t)",
     "f16[0]"},
    {"input %a: f16[8] const %s: i64[1] = [5] const %e: i64[1] = [2] %y = ai.onnx::Slice(%a, %s, "
     "%e)",
     "f16[0]"},
    {"input %a: f16[0] const %s: i64[1] = [-9] const %e: i64[1] = [9] %y = ai.onnx::Slice(%a, %s, "
     "%e)",
     "f16[0]"},
    {"input %a: f16[8] const %s: i64[1] = [0] const %e: i64[1] = [8] const %x: i64[1] = [0] const "
     "%t: i64[1] = [0] "
     "%y = ai.onnx::Slice(%a, %s, %e, %x, %t)",
     "steps: got 0"},
    {"input %a: f16[8] const %s: i64[1] = [0] const %e: i64[2] = [8, 8] %y = ai.onnx::Slice(%a, "
     "%s, %e)",
     "different lengths"},
    {"input %a: f16[8] const %s: i64[2] = [0, 0] const %x: i64[2] = [0, -1] %y = "
     "ai.onnx::Slice(%a, %s, %s, %x)",
     "got 0 twice"},
    {"input %a: f16[9, 4] input %i: i64[1, 3] %y = ai.onnx::Gather(%a, %i)", "f16[1, 3, 4]"},
    {"input %a: f16[9, 4] input %i: i32[] %y = ai.onnx::Gather(%a, %i) {axis = 1}", "f16[9]"},
    {"input %a: f16[9, 4] input %i: f32[] %y = ai.onnx::Gather(%a, %i)", "got type f32"},
    {"input %a: f16[9, 4] input %i: i64[] %y = ai.onnx::Gather(%a, %i) {axis = 2}", "axis: got 2"},
    {"input %a: f16[9, 4, 2] %y = ai.onnx::Shape(%a)", "i64[3]"},
    {"input %a: f16[9, 4, 2] %y = ai.onnx::Shape(%a) {start = 1}", "i64[2]"},
    {"input %a: f16[9, 4, 2] %y = ai.onnx::Shape(%a) {start = -9, end = -1}", "i64[2]"},
    {"input %a: f16[9, 4, 2] %y = ai.onnx::Shape(%a) {start = 2, end = 1}", "i64[0]"},
    {"const %a: i64[] = [2] const %b: i64[1] = [7] %y = ai.onnx::Range(%a, %b, %a)", "i64[3]"},
    {"const %a: i64[] = [7] const %b: i64[] = [2] %y = ai.onnx::Range(%a, %b, %a)", "i64[0]"},
    {"const %a: f32[] = [0] const %b: f32[] = [1] const %d: f32[] = [0.3] %y = ai.onnx::Range(%a, "
     "%b, %d)",
     "f32[4]"},
    {"const %a: i64[] = [0] const %b: i64[] = [5] %y = ai.onnx::Range(%a, %b, %a)",
     "want at most 2^31 elements"},
    {"const %a: i64[] = [1] const %b: i64[] = [4611686018427387904] %y = ai.onnx::Range(%a, %b, "
     "%a)",
     "2^31"},
    {"const %a: i64[] = [1] const %b: i64[2] = [4, 4] %y = ai.onnx::Range(%a, %b, %a)",
     "want a scalar"},
    {"input %a: i64[] %y = ai.onnx::Range(%a, %a, %a)", "is known only when the model runs"},
    {"%y = ai.onnx::Constant() {value = f16[2] = [1, 2]}", "f16[2]"},
    {"%y = ai.onnx::Constant() {value_int = 3}", "i64[]"},
    {"%y = ai.onnx::Constant() {value_float = 3f}", "f32[]"},
    {"%y = ai.onnx::Constant() {value_ints = ints[3, 4]}", "i64[2]"},
    {"%y = ai.onnx::Constant() {value_floats = floats[3]}", "f32[1]"},
    {"%y = ai.onnx::Constant()", "got 0 attributes, want one"},
    {"%y = ai.onnx::Constant() {value_int = 3, value_float = 1f}", "got 2 attributes, want one"},
    {"%y = ai.onnx::Constant() {value_string = \"a\"}",
     "attribute 'value_string' is not implemented"},
    {"const %s: i64[2] = [2, 3] %y = ai.onnx::ConstantOfShape(%s)", "f32[2, 3]"},
    {"const %s: i64[1] = [2] %y = ai.onnx::ConstantOfShape(%s) {value = i64[1] = [7]}", "i64[2]"},
    {"const %s: i64[1] = [-2] %y = ai.onnx::ConstantOfShape(%s)", "want dimensions >= 0"},
    {"const %s: i64[1] = [2] %y = ai.onnx::ConstantOfShape(%s) {value = i64[2] = [7, 8]}",
     "got 2 elements, want one"},
};

const Case kReductions[] = {
    {"input %a: f16[2, 3, 4] const %x: i64[1] = [-1] %y = ai.onnx::ReduceSum(%a, %x)",
     "f16[2, 3, 1]"},
    {"input %a: i64[2, 3] const %x: i64[1] = [1] %y = ai.onnx::ReduceSum(%a, %x) {keepdims = 0}",
     "i64[2]"},
    {"input %a: i32[2, 3] %y = ai.onnx::ReduceMax(%a) {keepdims = 0}", "i32[]"},
    {"input %a: f32[2, 3] %y = ai.onnx::ReduceMean(%a)", "f32[1, 1]"},
    {"input %a: f32[2, 3] %y = ai.onnx::ReduceMean(%a) {noop_with_empty_axes = 1}", "f32[2, 3]"},
    {"input %a: f32[2, 3] const %x: i64[2] = [1, -1] %y = ai.onnx::ReduceSum(%a, %x)",
     " twice, want each axis once"},
    {"input %a: f32[2, 3] const %x: i64[1] = [2] %y = ai.onnx::ReduceSum(%a, %x)", "axis: got 2"},
    {"input %a: f32[2, 3] %y = ai.onnx::ReduceSum(%a) {axes = ints[1]}",
     "attribute 'axes' is not implemented"},
    {"input %a: bool[2, 3] %y = ai.onnx::ReduceSum(%a)", "got type bool"},
    {"input %a: f16[2, 3] %y = ai.onnx::Softmax(%a) {axis = 1}", "f16[2, 3]"},
    {"input %a: f16[2, 3] %y = ai.onnx::Softmax(%a) {axis = 5}", "axis: got 5"},
    {"input %a: f16[2, 5, 3] input %b: f16[3, 7] %y = ai.onnx::MatMul(%a, %b)", "f16[2, 5, 7]"},
    {"input %a: f16[3] input %b: f16[2, 3, 7] %y = ai.onnx::MatMul(%a, %b)", "f16[2, 7]"},
    {"input %a: f16[4, 3] input %b: f16[3] %y = ai.onnx::MatMul(%a, %b)", "f16[4]"},
    {"input %a: f16[4, 3] input %b: f16[4, 3] %y = ai.onnx::MatMul(%a, %b)",
     "want a matrix product"},
    {"input %a: f16[2, 4, 3] input %b: f16[5, 3, 3] %y = ai.onnx::MatMul(%a, %b)",
     "want a matrix product"},
    {"input %a: f16[] %y = ai.onnx::MatMul(%a, %a)", "got a scalar"},
    {"input %a: f32[2, 3] input %g: f16[3] %y = ai.onnx::SimplifiedLayerNormalization(%a, %g) "
     "{axis = -1, epsilon = 1e-06f, stash_type = 1}",
     "f16[2, 3]"},
    {"input %a: f16[2, 3] input %g: f16[3] %y = com.microsoft::SimplifiedLayerNormalization(%a, "
     "%g)",
     "f16[2, 3]"},
    {"input %a: f16[2, 3] input %g: f16[3] %y = ai.onnx::RMSNormalization(%a, %g)", "f16[2, 3]"},
    {"input %a: f16[2, 3] input %g: f16[2] %y = ai.onnx::RMSNormalization(%a, %g)",
     "got shape [2], want [3]"},
    {"input %a: f16[2, 3] input %g: f16[3] %y = ai.onnx::RMSNormalization(%a, %g) {axis = 0}",
     "got shape [3], want [2, 3]"},
    {"input %a: f16[2, 3, 4] input %g: f32[3, 4] %y = ai.onnx::RMSNormalization(%a, %g) {axis = 1}",
     "f32[2, 3, 4]"},
    {"input %a: f32[2, 3] input %g: f16[3] %y, %m, %s = ai.onnx::LayerNormalization(%a, %g, %g)",
     "f16[2, 3] f32[2, 1] f32[2, 1]"},
    {"input %a: f16[2, 3, 4] input %g: f16[3, 4] %y, %m, %s = ai.onnx::LayerNormalization(%a, %g) "
     "{axis = -2}",
     "f16[2, 3, 4] f32[2, 1, 1] f32[2, 1, 1]"},
    {"input %a: f16[2, 3] input %g: f16[3] input %b: f16[2] %y = ai.onnx::LayerNormalization(%a, "
     "%g, %b)",
     "got shape [2], want [3]"},
    {"input %a: f16[2, 3] input %g: f16[3] %y, %v = ai.onnx::SimplifiedLayerNormalization(%a, %g)",
     "output 1 (inv_std_var): got 'v', want none"},
    {"input %a: f16[2, 3] input %g: f16[3] %y, _, _, %s = "
     "com.microsoft::SkipSimplifiedLayerNormalization(%a, %a, %g)",
     "f16[2, 3] _ _ f16[2, 3]"},
    {"input %a: f16[2, 3] input %g: f16[3] %y, %m, %v, %s = "
     "com.microsoft::SkipSimplifiedLayerNormalization(%a, %a, %g, %g) {epsilon = 1e-05f}",
     "f16[2, 3] f32[2, 1] f32[2, 1] f16[2, 3]"},
    {"input %a: f16[2, 3] input %b: f16[3] %y = "
     "com.microsoft::SkipSimplifiedLayerNormalization(%a, %b, %b)",
     "input 1 (skip, 'b'): got shape [3], want [2, 3]"},
    {"input %a: f16[] input %b: f16[3] %y = com.microsoft::SkipSimplifiedLayerNormalization(%a, "
     "%a, %b)",
     "got a scalar"},
};

INSTANTIATE_TEST_SUITE_P(Elementwise, InferTest, testing::ValuesIn(kElementwise));
INSTANTIATE_TEST_SUITE_P(Shapes, InferTest, testing::ValuesIn(kShapes));
INSTANTIATE_TEST_SUITE_P(Reductions, InferTest, testing::ValuesIn(kReductions));

TEST(Ops, OlderVersionsTakeAxesAsAttribute) {
  EXPECT_EQ(
      Infer("input %a: f32[2, 3] %y = ai.onnx::ReduceSum(%a) {axes = ints[1], keepdims = 0}", 12),
      "f32[2]");
  EXPECT_EQ(Infer("input %a: f32[2, 3] %y = ai.onnx::ReduceMax(%a) {axes = ints[1]}", 17),
            "f32[2, 1]");
  EXPECT_THAT(
      Infer("input %a: f32[2, 3] const %x: i64[1] = [1] %y = ai.onnx::ReduceMax(%a, %x)", 17),
      HasSubstr("want at most 1"));
}

TEST(Ops, UnknownOperatorsAndVersionsAreNamed) {
  EXPECT_EQ(Infer("input %a: f32[2] %y = ai.onnx::Conv @c (%a)"),
            "[graph] node 'c' (ai.onnx::Conv, version 23): this operator is not implemented");
  EXPECT_EQ(Infer("input %a: f32[2] %y = custom.domain::Add @c (%a)"),
            "[graph] node 'c' (custom.domain::Add, version 0): this operator is not implemented");
  EXPECT_EQ(Infer("input %a: f32[2] %y = ai.onnx::Gelu @g (%a)", 19),
            "[graph] node 'g' (ai.onnx::Gelu, version 19): this version is not implemented: got "
            "19, want 20 to 25");
  EXPECT_THAT(Infer("input %a: f32[2] %y = ai.onnx::Add @g (%a, %a)", kMaxOpset + 1),
              HasSubstr("want 7 to 25"));
}

TEST(Ops, DeclaredOutputTypesMustFit) {
  EXPECT_THAT(Infer("input %a: f32[2] %y: f16[2] = ai.onnx::Neg(%a)"),
              HasSubstr("declared f16, but the operator gives f32"));
}

TEST(Ops, InputsMustBeTyped) {
  const auto graph = Parse("graph { opset ai.onnx 21 input %a: f32[n] %y = ai.onnx::Neg(%a) }");
  EXPECT_FALSE(CanInfer(*graph->nodes().front()));
  EXPECT_THROW(InferOutputs(*graph->nodes().front()), BugError);
}

TEST(Ops, AbsurdInputShapesAreErrors) {
  EXPECT_THAT(Infer("input %a: f32[4611686018427387904, 4] %y = ai.onnx::Neg(%a)"),
              HasSubstr("2^63"));
  EXPECT_THAT(Infer("input %a: f32[4611686018427387904] %y = ai.onnx::Neg(%a)"), HasSubstr("2^56"));
}

TEST(Ops, TensorAttributesMustHaveTheirBytes) {
  const auto graph =
      Parse("graph { opset ai.onnx 21 %y = ai.onnx::Constant() {value = f32[1] = [1]} }");
  Node* node = graph->nodes().front().get();
  node->attributes["value"] = Tensor{DType::kF32, {int64_t{1} << 62, 4}, {}, nullptr};
  EXPECT_THROW(CheckNode(*node), Error);
  node->attributes["value"] = Tensor{DType::kF32, {2}, {}, nullptr};
  EXPECT_THROW(CheckNode(*node), Error);
}

}  // namespace
}  // namespace sinter::graph
