#include "passes/fuse_post_norm.h"

#include "passes/fusion_testing.h"

namespace sinter::passes {
namespace {

const std::string kInputs =
    "input %x: f32[1, 2, 16] input %p: f16[1, 2, 16] const %scale: f32[16] = zeros "
    "const %post: f32[16] = zeros " +
    Weight("y", 4);
const std::string kCast = "%c: f32[1, 2, 16] = ai.onnx::Cast(%p) {to = 1} ";
const std::string kPostNorm =
    "%s: f32[1, 2, 16] = ai.onnx::SimplifiedLayerNormalization(%c, %post) {epsilon = 0.25f} ";

std::string Fused(const std::string& prologue, const std::string& more = "") {
  return "%y: f16[1, 2, 4], %sum: f32[1, 2, 16] = sinter::NormMatMulNBits @y (" + prologue +
         ", %scale, %y.b, %y.s) " + FusedAttributes("ints[4]", ", epsilon = 0.5f" + more) +
         "return %y, %sum";
}

TEST(FusePostNorm, TakesNormAndCastOnEitherSide) {
  for (const char* operands : {"%x, %s, _", "%s, %x, _"}) {
    ExpectRewrite(FusePostNorm, {}, kInputs + kCast + kPostNorm + Fused(operands),
                  kInputs + Fused("%x, %p, %post", ", skip_epsilon = 0.25f"), 1);
  }
}

TEST(FusePostNorm, KeepsACastWithOtherReaders) {
  ExpectRewrite(FusePostNorm, {}, kInputs + kCast + kPostNorm + Fused("%x, %s, _") + ", %c",
                kInputs + kCast + Fused("%x, %c, %post", ", skip_epsilon = 0.25f") + ", %c", 1);
}

TEST(FusePostNorm, LeavesWhatItMust) {
  // Cases in order: the norm's result has another reader, there is no norm, the node already has a
  // norm of the skip.
  ExpectUnchanged(FusePostNorm, {}, kInputs + kCast + kPostNorm + Fused("%x, %s, _") + ", %s");
  ExpectUnchanged(FusePostNorm, {}, kInputs + kCast + Fused("%x, %c, _"));
  ExpectUnchanged(FusePostNorm, {}, kInputs + kCast + kPostNorm + Fused("%x, %s, %post"));
}

}  // namespace
}  // namespace sinter::passes
