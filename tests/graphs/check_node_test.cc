// The comparison of one node must find what is wrong, and must not find roundings.
#include "graphs/check_node.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "graph/text.h"

namespace sinter::graphs {
namespace {

using interpret::HostTensor;
using interpret::HostTensors;
using ::testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Returns what CheckNode says about the only node of a graph if its output y has these elements;
// empty if it is right.
std::string Check(const std::string& body, HostTensors values, std::vector<double> y,
                  Platform platform = Platform::kGpu) {
  const auto graph = graph::Parse("graph g { opset ai.onnx 21 opset com.microsoft 1 " + body + "}");
  const graph::Value& output = *graph->FindValue("y");
  values["y"] = {output.dtype, output.shape(), std::move(y), {}};
  const NodeResult result =
      CheckNode(*graph->nodes().front(), graph->opsets, values, {.platform = platform});
  EXPECT_TRUE(result.skipped.empty());
  return result.difference ? result.difference->text : "";
}

HostTensor F32(std::vector<double> values) {
  return {DType::kF32, {static_cast<int64_t>(values.size())}, std::move(values), {}};
}

constexpr char kAdd[] =
    "input %a: f32[2] input %b: f32[2] %y: f32[2] = ai.onnx::Add (%a, %b) return %y";

TEST(CheckNode, AllowsARoundingOfOneOperationAndNoMore) {
  const HostTensors inputs = {{"a", F32({1, 0.5})}, {"b", F32({2, 0.25})}};
  EXPECT_EQ(Check(kAdd, inputs, {3, 0.75}), "");
  EXPECT_EQ(Check(kAdd, inputs, {3 + 0x1p-22, 0.75}), "");
  EXPECT_THAT(Check(kAdd, inputs, {3, 0.75001}), HasSubstr("[1]: got 0.75001, want 0.75"));
}

TEST(CheckNode, KeepsInfinityAndNaNApart) {
  const double nan = std::nan("");
  const HostTensors inputs = {{"a", F32({nan, 1e38})}, {"b", F32({2, kInfinity})}};
  EXPECT_EQ(Check(kAdd, inputs, {nan, kInfinity}), "");
  EXPECT_THAT(Check(kAdd, inputs, {0, kInfinity}), HasSubstr("1 of 2 elements differ"));
  EXPECT_THAT(Check(kAdd, inputs, {nan, nan}), HasSubstr("1 of 2 elements differ"));
  EXPECT_THAT(Check(kAdd, inputs, {nan, -kInfinity}), HasSubstr("1 of 2 elements differ"));
}

TEST(CheckNode, AllowsWhatOverflowsToBeInfinity) {
  const HostTensors inputs = {{"a", F32({3e38, 3e38})}, {"b", F32({3e38, 1e38})}};
  EXPECT_THAT(Check(kAdd, inputs, {kInfinity, kInfinity}), "");
  EXPECT_THAT(Check(kAdd, {{"a", F32({3e38, 3})}, {"b", F32({3e38, 1})}}, {kInfinity, kInfinity}),
              HasSubstr("[1]: got inf, want 4"));
}

TEST(CheckNode, AllowsSubnormalNumbersToBeZero) {
  const std::string reciprocal = "input %a: f32[1] %y: f32[1] = ai.onnx::Reciprocal (%a) return %y";
  EXPECT_EQ(Check(reciprocal, {{"a", F32({0x1p-130})}}, {kInfinity}), "");
  EXPECT_THAT(Check(reciprocal, {{"a", F32({0x1p-120})}}, {kInfinity}), HasSubstr("got inf"));
}

TEST(CheckNode, MeasuresSumsByTheirTerms) {
  const std::string product =
      "input %a: f32[2] input %b: f32[2] %y: f32[] = ai.onnx::MatMul (%a, %b) return %y";
  // The terms are 1e4 and -1e4: their sum of 1 may be off by some 1e-3, one of small terms may not.
  EXPECT_EQ(Check(product, {{"a", F32({1e4, -1e4})}, {"b", F32({1.0001, 1})}}, {1.001}), "");
  EXPECT_THAT(Check(product, {{"a", F32({0.5, 0.5})}, {"b", F32({1, 1})}}, {1.001}),
              HasSubstr("got 1.001, want 1"));
}

TEST(CheckNode, WantsMovedElementsExactly) {
  const std::string relu = "input %a: f32[2] %y: f32[2] = ai.onnx::Relu (%a) return %y";
  EXPECT_EQ(Check(relu, {{"a", F32({-1, 0.1})}}, {0, 0.1}), "");
  EXPECT_THAT(Check(relu, {{"a", F32({-1, 0.1})}}, {0, std::nextafter(0.1, 1)}),
              HasSubstr("1 of 2"));
}

TEST(CheckNode, WrapsIntegersOf32Bits) {
  const std::string add =
      "input %a: i32[1] input %b: i32[1] %y: i32[1] = ai.onnx::Add (%a, %b) return %y";
  const HostTensor big = {DType::kI32, {1}, {2147483647}, {}};
  const HostTensor one = {DType::kI32, {1}, {1}, {}};
  EXPECT_EQ(Check(add, {{"a", big}, {"b", one}}, {-2147483648.0}), "");
  EXPECT_THAT(Check(add, {{"a", big}, {"b", one}}, {2147483647}), HasSubstr("want -2147483648"));
}

}  // namespace
}  // namespace sinter::graphs
