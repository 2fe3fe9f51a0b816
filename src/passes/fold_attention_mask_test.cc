#include "passes/fold_attention_mask.h"

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

TEST(FoldAttentionMask, TheSumBecomesAnInput) {
  ExpectRewrite(FoldAttentionMask, {},
                R"(input %attention_mask: i64[1, 512]
                   const %one: i64[1] = [1]
                   %sum: i64[1] = ai.onnx::ReduceSum(%attention_mask, %one) {keepdims = 0}
                   %y: i64[1] = ai.onnx::Sub(%sum, %one)
                   return %y)",
                R"(input %sinter.total_length: i64[1]
                   const %one: i64[1] = [1]
                   %y: i64[1] = ai.onnx::Sub(%sinter.total_length, %one)
                   return %y)",
                1);
}

TEST(FoldAttentionMask, ThroughACast) {
  ExpectRewrite(FoldAttentionMask, {},
                R"(input %attention_mask: i64[1, 512]
                   const %last: i64[1] = [-1]
                   %cast: i32[1, 512] = ai.onnx::Cast(%attention_mask) {to = 6}
                   %sum: i32[1, 1] = ai.onnx::ReduceSum(%cast, %last)
                   %y: i32[] = ai.onnx::ReduceMax(%sum) {keepdims = 0}
                   return %y)",
                R"(input %sinter.total_length: i32[1, 1]
                   %y: i32[] = ai.onnx::ReduceMax(%sinter.total_length) {keepdims = 0}
                   return %y)",
                1);
}

TEST(FoldAttentionMask, OtherReadersKeepTheMask) {
  ExpectRewrite(FoldAttentionMask, {},
                R"(input %attention_mask: i64[1, 512]
                   const %one: i64[1] = [1]
                   %sum: i64[1] = ai.onnx::ReduceSum(%attention_mask, %one) {keepdims = 0}
                   %y: i64[1] = ai.onnx::Sub(%sum, %one)
                   %z: i64[1, 512] = ai.onnx::Neg(%attention_mask)
                   return %y, %z)",
                R"(input %attention_mask: i64[1, 512] input %sinter.total_length: i64[1]
                   const %one: i64[1] = [1]
                   %y: i64[1] = ai.onnx::Sub(%sinter.total_length, %one)
                   %z: i64[1, 512] = ai.onnx::Neg(%attention_mask)
                   return %y, %z)",
                1);
}

TEST(FoldAttentionMask, SumsOfAnotherTypeOrShapeShareTheInput) {
  const auto graph = ParseBody(R"(
    input %attention_mask: i64[1, 512]
    const %one: i64[1] = [1]
    %cast: i32[1, 512] = ai.onnx::Cast(%attention_mask) {to = 6}
    %a: i64[1] = ai.onnx::ReduceSum(%attention_mask, %one) {keepdims = 0}
    %b: i32[1, 1] = ai.onnx::ReduceSum(%cast, %one)
    %y: i64[1] = ai.onnx::Neg(%a)
    %z: i32[1, 1] = ai.onnx::Neg(%b)
    return %y, %z)");
  EXPECT_EQ(FoldAttentionMask(*graph, {}), 2);
  graph::Verify(*graph);
  ASSERT_EQ(graph->inputs().size(), 1u);
  EXPECT_EQ(graph->inputs()[0]->name(), kTotalLength);
  std::vector<std::string> ops;
  for (const auto& node : graph->nodes()) ops.push_back(node->op());
  EXPECT_THAT(ops, testing::ElementsAre("Cast", "Reshape", "Neg", "Neg"));
  EXPECT_THAT(graph->FindValue("z")->producer()->input(0)->shape(), testing::ElementsAre(1, 1));
}

// A caller that says so has sequences without padding on the left.
TEST(FoldAttentionMask, FoldsTheSumsOfABatch) {
  const auto graph = ParseBody(R"(
    input %attention_mask: i64[3, 9]
    const %k: i64[1] = [1]
    %a: i64[3, 1] = ai.onnx::ReduceSum(%attention_mask, %k)
    %y: i64[3, 1] = ai.onnx::Neg(%a)
    return %y)");
  EXPECT_EQ(FoldAttentionMask(*graph, {.sequences = 2}), 0);
  EXPECT_EQ(FoldAttentionMask(*graph, {.sequences = 3}), 1);
  graph::Verify(*graph);
  ASSERT_EQ(graph->inputs().size(), 1u);
  EXPECT_EQ(graph->inputs()[0]->name(), kTotalLength);
  EXPECT_THAT(graph->inputs()[0]->shape(), testing::ElementsAre(3, 1));
}

TEST(FoldAttentionMask, LeavesOtherSums) {
  for (const char* body : {
           // The sum is over both dimensions.
           "input %attention_mask: i64[1, 9] %a: i64[1, 1] = ai.onnx::ReduceSum(%attention_mask) "
           "%y: i64[1, 1] = ai.onnx::Neg(%a) return %y",
           // The sum is over the batch.
           "input %attention_mask: i64[1, 9] const %k: i64[1] = [0] "
           "%a: i64[1, 9] = ai.onnx::ReduceSum(%attention_mask, %k) "
           "%y: i64[1, 9] = ai.onnx::Neg(%a) return %y",
           // The mask has two sequences, which may be padded on the left.
           "input %attention_mask: i64[2, 9] const %k: i64[1] = [1] "
           "%a: i64[2, 1] = ai.onnx::ReduceSum(%attention_mask, %k) "
           "%y: i64[2, 1] = ai.onnx::Neg(%a) return %y",
           // The sum is of another input.
           "input %other: i64[1, 9] const %k: i64[1] = [1] "
           "%a: i64[1, 1] = ai.onnx::ReduceSum(%other, %k) "
           "%y: i64[1, 1] = ai.onnx::Neg(%a) return %y",
           // The axes are known only at run time.
           "input %attention_mask: i64[1, 9] input %k: i64[1] "
           "%a = ai.onnx::ReduceSum(%attention_mask, %k) %y = ai.onnx::Neg(%a) return %y",
           // The batch is still a symbol.
           "input %attention_mask: i64[batch, 9] const %k: i64[1] = [1] "
           "%a = ai.onnx::ReduceSum(%attention_mask, %k) %y = ai.onnx::Neg(%a) return %y",
           // The mask is not of an integer type.
           "input %attention_mask: f32[1, 9] const %k: i64[1] = [1] "
           "%a: f32[1, 1] = ai.onnx::ReduceSum(%attention_mask, %k) "
           "%y: f32[1, 1] = ai.onnx::Neg(%a) return %y",
           // The Cast is to a type that rounds.
           "input %attention_mask: i64[1, 9] const %k: i64[1] = [1] "
           "%c: f16[1, 9] = ai.onnx::Cast(%attention_mask) {to = 10} "
           "%a: f16[1, 1] = ai.onnx::ReduceSum(%c, %k) %y: f16[1, 1] = ai.onnx::Neg(%a) return %y",
           // The sum is a graph output.
           "input %attention_mask: i64[1, 9] const %k: i64[1] = [1] "
           "%y: i64[1, 1] = ai.onnx::ReduceSum(%attention_mask, %k) return %y",
           // The reduction is not a sum.
           "input %attention_mask: i64[1, 9] const %k: i64[1] = [1] "
           "%a: i64[1, 1] = ai.onnx::ReduceMax(%attention_mask, %k) "
           "%y: i64[1, 1] = ai.onnx::Neg(%a) return %y",
       }) {
    ExpectUnchanged(FoldAttentionMask, {}, body);
  }
}

TEST(FoldAttentionMask, TheMaskMayHaveAnotherName) {
  const auto graph = ParseBody(
      "input %mask: i64[1, 9] const %k: i64[1] = [1] %a: i64[1, 1] = ai.onnx::ReduceSum(%mask, %k) "
      "%y: i64[1, 1] = ai.onnx::Neg(%a) return %y");
  EXPECT_EQ(FoldAttentionMask(*graph, {}), 0);
  PassOptions options;
  options.attention_mask = "mask";
  EXPECT_EQ(FoldAttentionMask(*graph, options), 1);
}

}  // namespace
}  // namespace sinter::passes
