#include "passes/split_rotary_cache.h"

#include "base/error.h"
#include "passes/eliminate_dead.h"
#include "passes/pass_testing.h"
#include "passes/specialize.h"

namespace sinter::passes {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Two layers that share their caches: 3 rows of a short table followed by 5 rows of a long one.
constexpr char kModel[] = R"(
  input %attention_mask: i64[batch, total]
  input %x: f16[batch, sequence, 12]
  input %past: f16[batch, 1, past, 4]
  input %lengths: i32[batch]
  input %length: i32[]
  const %cos: f16[8, 2] = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
  const %sin: f16[8, 2] = [3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]
  %a, %k0, %v0 = com.microsoft::GroupQueryAttention(%x, _, _, %past, %past, %lengths, %length, %cos,
      %sin) {do_rotary = 1, kv_num_heads = 1, num_heads = 1}
  %b, %k1, %v1 = com.microsoft::GroupQueryAttention(%x, _, _, %past, %past, %lengths, %length, %cos,
      %sin) {do_rotary = 1, kv_num_heads = 1, num_heads = 1}
  return %a, %b)";

PassOptions Offset(int64_t offset) {
  PassOptions options;
  options.multi_rotary_offset = offset;
  return options;
}

DimBinding Dims(int64_t total) {
  return {{"batch", 1}, {"sequence", 1}, {"past", 8}, {"total", total}};
}

TEST(SplitRotaryCache, ChoosesByTheTotalLength) {
  const auto graph = ParseBody(kModel);
  const graph::Tensor cos = *graph->FindValue("cos")->constant;
  EXPECT_EQ(SplitRotaryCache(*graph, Offset(3)), 2);
  graph::Verify(*graph);
  // Both layers share one If.
  EXPECT_THAT(BranchDecisions(*graph, Dims(3)), ElementsAre(false));
  EXPECT_THAT(BranchDecisions(*graph, Dims(4)), ElementsAre(true));
  for (const int64_t total : {3, 4}) {
    const auto program = Specialize(*graph, Dims(8), {{"total", total}});
    EXPECT_EQ(program->num_nodes(), 2u);
    for (const auto& node : program->nodes()) {
      const graph::Tensor& chosen = *node->input(7)->constant;
      EXPECT_EQ(chosen.shape[0], total == 3 ? 3 : 5);
      EXPECT_EQ(chosen.bytes.data(), cos.bytes.data() + (total == 3 ? 0 : 3 * 2 * 2));
      EXPECT_EQ(node->input(8)->constant->ToDoubles()[0], total == 3 ? 3 : 4);
    }
  }
}

TEST(SplitRotaryCache, GivesThisGraph) {
  ExpectRewrite(SplitRotaryCache, Offset(1),
                R"(input %attention_mask: i64[batch, total]
                   input %x: f16[1, 1, 4] input %positions: i64[1, 1]
                   const %cos: f16[3, 2] = [1, 1, 2, 2, 2, 2]
                   const %sin: f16[3, 2] = [3, 3, 4, 4, 4, 4]
                   %y: f16[1, 1, 4] = com.microsoft::RotaryEmbedding @r (%x, %positions, %cos, %sin)
                   return %y)",
                R"(input %attention_mask: i64[batch, total]
                   input %x: f16[1, 1, 4] input %positions: i64[1, 1]
                   const %cos: f16[3, 2] = [1, 1, 2, 2, 2, 2]
                   const %sin: f16[3, 2] = [3, 3, 4, 4, 4, 4]
                   const %value.0: i64[] = [1]
                   const %value.1: i64[] = [1]
                   %sinter.mask_shape = ai.onnx::Shape @sinter/mask_shape (%attention_mask)
                   %sinter.mask_length = ai.onnx::Gather @sinter/mask_length (%sinter.mask_shape,
                       %value.0)
                   %sinter.is_long = ai.onnx::Greater @sinter/is_long (%sinter.mask_length, %value.1)
                   %cos.chosen, %sin.chosen = ai.onnx::If @sinter/choose_rotary_cache
                       (%sinter.is_long) {
                     else_branch = graph short {
                       capture %cos capture %sin
                       const %value.0: i64[1] = [0]
                       const %value.1: i64[1] = [1]
                       const %value.2: i64[1] = [0]
                       %cos.short = ai.onnx::Slice @cos/short (%cos, %value.0, %value.1, %value.2)
                       %sin.short = ai.onnx::Slice @sin/short (%sin, %value.0, %value.1, %value.2)
                       return %cos.short, %sin.short },
                     then_branch = graph long {
                       capture %cos capture %sin
                       const %value.0: i64[1] = [1]
                       const %value.1: i64[1] = [3]
                       const %value.2: i64[1] = [0]
                       %cos.long = ai.onnx::Slice @cos/long (%cos, %value.0, %value.1, %value.2)
                       %sin.long = ai.onnx::Slice @sin/long (%sin, %value.0, %value.1, %value.2)
                       return %cos.long, %sin.long }}
                   %y: f16[1, 1, 4] = com.microsoft::RotaryEmbedding @r (%x, %positions, %cos.chosen,
                       %sin.chosen)
                   return %y)",
                1);
}

TEST(SplitRotaryCache, LeavesOtherGraphs) {
  ExpectUnchanged(SplitRotaryCache, {}, kModel);
  for (const char* body : {
           // The attention does not rotate.
           R"(input %attention_mask: i64[1, 4] input %x: f16[1, 1, 12] input %n: i32[1]
              const %cos: f16[3, 2] = zeros
              %y = com.microsoft::GroupQueryAttention(%x, _, _, _, _, %n, %n, %cos, %cos)
                   {kv_num_heads = 1, num_heads = 1} return %y)",
           // The caches are computed.
           R"(input %attention_mask: i64[1, 4] input %x: f16[1, 1, 4] input %p: i64[1, 1]
              input %cos: f16[3, 2]
              %y = com.microsoft::RotaryEmbedding(%x, %p, %cos, %cos) return %y)",
           // The caches hold one row per token.
           R"(input %attention_mask: i64[1, 4] input %x: f16[1, 1, 1, 4]
              const %cos: f16[1, 1, 2] = zeros
              %y = ai.onnx::RotaryEmbedding(%x, %cos, %cos) return %y)",
       }) {
    ExpectUnchanged(SplitRotaryCache, Offset(1), body);
  }
}

TEST(SplitRotaryCache, OnnxRotaryEmbeddingByPositionsIsSplitToo) {
  const auto graph = ParseBody(R"(
    input %attention_mask: i64[1, 4] input %x: f16[1, 1, 1, 4] input %p: i64[1, 1]
    const %cos: f16[3, 2] = zeros
    %y = ai.onnx::RotaryEmbedding(%x, %cos, %cos, %p) return %y)");
  EXPECT_EQ(SplitRotaryCache(*graph, Offset(1)), 1);
  graph::Verify(*graph);
  EXPECT_EQ(Specialize(*graph, {})->nodes().front()->input(1)->shape()[0], 2);
}

TEST(SplitRotaryCache, RefusesAnOffsetThatDoesNotFit) {
  for (const int64_t offset : {-1, 0, 8, 9}) {
    const auto graph = ParseBody(kModel);
    try {
      SplitRotaryCache(*graph, Offset(offset));
      FAIL() << offset;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("rotary cache 'cos': got 8 rows for an offset of"));
    }
  }
}

TEST(SplitRotaryCache, RefusesAGraphWithoutMask) {
  const auto graph = ParseBody(R"(
    input %x: f16[1, 1, 4] input %p: i64[1, 1] const %cos: f16[3, 2] = zeros
    %y = com.microsoft::RotaryEmbedding(%x, %p, %cos, %cos) return %y)");
  EXPECT_THROW(SplitRotaryCache(*graph, Offset(1)), Error);
}

}  // namespace
}  // namespace sinter::passes
