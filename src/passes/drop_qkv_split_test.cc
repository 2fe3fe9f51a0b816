#include "passes/drop_qkv_split.h"

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

const std::string kInputs = "input %p: f16[1, 2, 16] input %l: i32[1] input %t: i32[1] ";
const std::string kSizes = "const %sizes: i64[3] = [8, 4, 4] ";
const std::string kSplit =
    "%q: f16[1, 2, 8], %k: f16[1, 2, 4], %v: f16[1, 2, 4] = ai.onnx::Split(%p, %sizes) ";

std::string Attention(const std::string& inputs) {
  return "%y: f16[1, 2, 8] = com.microsoft::GroupQueryAttention (" + inputs +
         ", _, _, %l, %t) {num_heads = 2, kv_num_heads = 1} return %y";
}

TEST(DropQkvSplit, GivesAttentionThePackedForm) {
  for (const char* axis : {"{axis = -1} ", "{axis = 2} "}) {
    ExpectRewrite(DropQkvSplit, {}, kInputs + kSizes + kSplit + axis + Attention("%q, %k, %v"),
                  kInputs + Attention("%p, _, _"), 1);
  }
}

TEST(DropQkvSplit, LeavesOtherSplits) {
  // Cases in order: a part has another reader, the parts are in another order, the Split is along
  // another axis.
  for (const char* read : {"%q", "%k", "%v"}) {
    ExpectUnchanged(
        DropQkvSplit, {},
        kInputs + kSizes + kSplit + "{axis = -1} " + Attention("%q, %k, %v") + ", " + read);
  }
  ExpectUnchanged(DropQkvSplit, {},
                  kInputs + kSizes + kSplit + "{axis = -1} " + Attention("%q, %v, %k"));
  ExpectUnchanged(DropQkvSplit, {},
                  "input %p: f16[1, 6, 4] input %l: i32[1] input %t: i32[1] "
                  "const %sizes: i64[3] = [2, 2, 2] "
                  "%q: f16[1, 2, 4], %k: f16[1, 2, 4], %v: f16[1, 2, 4] = "
                  "ai.onnx::Split(%p, %sizes) {axis = 1} "
                  "%y: f16[1, 2, 4] = com.microsoft::GroupQueryAttention (%q, %k, %v, _, _, %l, "
                  "%t) {num_heads = 1, kv_num_heads = 1} return %y");
}

}  // namespace
}  // namespace sinter::passes
