#include "passes/fold_total_sequence_length.h"

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

const std::string kInputs =
    "input %q: f16[1, 2, 16] input %pk: f16[1, 1, 32, 4] input %pv: f16[1, 1, 32, 4] "
    "input %l: i32[1] ";
const std::string kOutputs =
    "%y: f16[1, 2, 8], %k: f16[1, 1, 32, 4], %v: f16[1, 1, 32, 4] = "
    "com.microsoft::GroupQueryAttention ";
const std::string kRest = ") {num_heads = 2, kv_num_heads = 1} return %y, %k, %v";

TEST(FoldTotalSequenceLength, TakesTheRowsOfTheCache) {
  const std::string inputs = kInputs + "input %n: i32[1] ";
  ExpectRewrite(FoldTotalSequenceLength, {},
                inputs + "%t: i32[] = ai.onnx::ReduceMax(%n) {keepdims = 0} " + kOutputs +
                    "(%q, _, _, %pk, %pv, %l, %t" + kRest,
                inputs + "const %sinter.cache_rows: i32[] = [32] " + kOutputs +
                    "(%q, _, _, %pk, %pv, %l, %sinter.cache_rows" + kRest,
                1);
}

TEST(FoldTotalSequenceLength, LeavesConstantsAndAttentionWithoutAPast) {
  ExpectUnchanged(
      FoldTotalSequenceLength, {},
      kInputs + "const %t: i32[1] = [9] " + kOutputs + "(%q, _, _, %pk, %pv, %l, %t" + kRest);
  ExpectUnchanged(FoldTotalSequenceLength, {},
                  "input %q: f16[1, 2, 16] input %l: i32[1] input %t: i32[1] "
                  "%y: f16[1, 2, 8] = com.microsoft::GroupQueryAttention (%q, _, _, _, _, %l, %t) "
                  "{num_heads = 2, kv_num_heads = 1} return %y");
}

TEST(FoldTotalSequenceLength, LeavesAPastThatGrows) {
  ExpectUnchanged(FoldTotalSequenceLength, {},
                  "input %q: f16[1, 2, 16] input %pk: f16[1, 1, 0, 4] input %pv: f16[1, 1, 0, 4] "
                  "input %l: i32[1] input %t: i32[1] "
                  "%y: f16[1, 2, 8], %k: f16[1, 1, 0, 4], %v: f16[1, 1, 0, 4] = "
                  "com.microsoft::GroupQueryAttention (%q, _, _, %pk, %pv, %l, %t" +
                      kRest);
}

}  // namespace
}  // namespace sinter::passes
