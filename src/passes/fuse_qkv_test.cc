#include "passes/fuse_qkv.h"

#include "passes/fusion_testing.h"

namespace sinter::passes {
namespace {

const std::string kAttentionInputs = "input %l: i32[1] input %t: i32[1] ";
const std::string kWeights = Weight("q", 8) + Weight("k", 4) + Weight("v", 4);
const std::string kProducts = Product("q", "h", 8) + Product("k", "h", 4) + Product("v", "h", 4);

std::string Attention(const std::string& inputs) {
  return "%y: f16[1, 2, 8] = com.microsoft::GroupQueryAttention @att (" + inputs +
         ", _, _, %l, %t) {num_heads = 2, kv_num_heads = 1} ";
}
std::string Qkv(const std::string& outputs, const std::string& prologue,
                const std::string& more = ", epsilon = 0.5f") {
  return outputs + " = sinter::MatMulNBitsQkv @q (" + prologue +
         ", %q.b, %q.s, _, _, %k.b, %k.s, _, _, %v.b, %v.s) " +
         FusedAttributes("ints[8, 4, 4]", more);
}

TEST(FuseQkv, JoinsNormAndThreeProducts) {
  const std::string inputs = kX + kAttentionInputs + kWeights;
  ExpectRewrite(FuseQkv, {}, inputs + kNorm + kProducts + Attention("%q, %k, %v") + "return %y",
                inputs + Qkv("%att/qkv: f16[1, 2, 16]", "%x, _, _, %scale") +
                    Attention("%att/qkv, _, _") + "return %y",
                1);
}

TEST(FuseQkv, PassesTheSkipSumOn) {
  const std::string inputs = kX + std::string(kSkip) + kAttentionInputs + kWeights;
  const std::string use = "%z: f16[1, 2, 16] = ai.onnx::Neg(%sum) return %y, %z";
  ExpectRewrite(FuseQkv, {}, inputs + kSkipNorm + kProducts + Attention("%q, %k, %v") + use,
                inputs + Qkv("%att/qkv: f16[1, 2, 16], %sum: f16[1, 2, 16]", "%x, %r, _, %scale") +
                    Attention("%att/qkv, _, _") + use,
                1);
}

TEST(FuseQkv, TakesThePackedProduct) {
  const std::string inputs = kX + kAttentionInputs + Weight("p", 16);
  ExpectRewrite(
      FuseQkv, {}, inputs + kNorm + Product("p", "h", 16) + Attention("%p, _, _") + "return %y",
      inputs + "%p: f16[1, 2, 16] = sinter::MatMulNBitsQkv @p (%x, _, _, %scale, %p.b, %p.s) " +
          FusedAttributes("ints[16]", ", epsilon = 0.5f") + Attention("%p, _, _") + "return %y",
      1);
}

TEST(FuseQkv, TakesACastBehindTheNorm) {
  const std::string inputs =
      "input %x: f32[1, 2, 16] const %scale: f32[16] = zeros " + kAttentionInputs + Weight("p", 16);
  ExpectRewrite(
      FuseQkv, {},
      inputs +
          "%n: f32[1, 2, 16] = ai.onnx::SimplifiedLayerNormalization(%x, %scale) {epsilon = 0.5f} "
          "%h: f16[1, 2, 16] = ai.onnx::Cast(%n) {to = 10} " +
          Product("p", "h", 16) + Attention("%p, _, _") + "return %y",
      inputs + "%p: f16[1, 2, 16] = sinter::MatMulNBitsQkv @p (%x, _, _, %scale, %p.b, %p.s) " +
          FusedAttributes("ints[16]", ", epsilon = 0.5f") + Attention("%p, _, _") + "return %y",
      1);
}

TEST(FuseQkv, JoinsTheProductsAloneWhereOthersReadTheNorm) {
  const std::string inputs = kX + kAttentionInputs + kWeights;
  ExpectRewrite(FuseQkv, {}, inputs + kNorm + kProducts + Attention("%q, %k, %v") + "return %y, %h",
                inputs + kNorm + Qkv("%att/qkv: f16[1, 2, 16]", "%h, _, _, _", "") +
                    Attention("%att/qkv, _, _") + "return %y, %h",
                1);
}

TEST(FuseQkv, LeavesALoneProductWithoutANorm) {
  const std::string inputs = kX + std::string(kSkip) + kAttentionInputs + Weight("p", 16);
  const std::string rest = Product("p", "h", 16) + Attention("%p, _, _") + "return %y";
  // The norm's result or the Cast's operand has another reader.
  ExpectUnchanged(FuseQkv, {}, inputs + kNorm + rest + ", %h");
  ExpectUnchanged(FuseQkv, {},
                  "input %x: f32[1, 2, 16] const %scale: f32[16] = zeros " + kAttentionInputs +
                      Weight("p", 16) +
                      "%n: f32[1, 2, 16] = ai.onnx::SimplifiedLayerNormalization(%x, %scale) "
                      "%h: f16[1, 2, 16] = ai.onnx::Cast(%n) {to = 10} " +
                      rest + ", %n");
  // The norm adds a bias to the sum, or its statistics are read.
  ExpectUnchanged(FuseQkv, {},
                  inputs +
                      "%h: f16[1, 2, 16] = com.microsoft::SkipSimplifiedLayerNormalization "
                      "(%x, %r, %scale, %scale) " +
                      rest);
  ExpectUnchanged(FuseQkv, {},
                  inputs +
                      "%h: f16[1, 2, 16], %mean: f32[1, 2, 1] = "
                      "com.microsoft::SkipSimplifiedLayerNormalization (%x, %r, %scale) " +
                      rest + ", %mean");
  // There is no norm.
  ExpectUnchanged(FuseQkv, {}, inputs + "%h: f16[1, 2, 16] = ai.onnx::Neg(%x) " + rest);
}

TEST(FuseQkv, LeavesProductsThatDoNotFitTogether) {
  const std::string inputs = kX + kAttentionInputs + Weight("q", 8) + Weight("v", 4);
  const std::string q = Product("q", "h", 8), v = Product("v", "h", 4);
  const std::string rest = Attention("%q, %k, %v") + "return %y";
  // One product has another reader.
  ExpectUnchanged(FuseQkv, {},
                  inputs + Weight("k", 4) + kNorm + q + Product("k", "h", 4) + v + rest + ", %k");
  // One product differs: other bits, a bias, zero points, another input.
  ExpectUnchanged(FuseQkv, {},
                  inputs + "const %k.b: u8[4, 1, 16] = zeros const %k.s: f16[4, 1] = zeros " +
                      kNorm + q +
                      "%k: f16[1, 2, 4] = com.microsoft::MatMulNBits(%h, %k.b, %k.s) {K = 16, N = "
                      "4, bits = 8, block_size = 16} " +
                      v + rest);
  ExpectUnchanged(FuseQkv, {},
                  inputs + Weight("k", 4) + "const %bias: f16[4] = zeros " + kNorm + q +
                      Product("k", "h", 4, ", _, _, %bias") + v + rest);
  ExpectUnchanged(FuseQkv, {},
                  inputs + Weight("k", 4) + "const %zero: u8[4, 1] = zeros " + kNorm + q +
                      Product("k", "h", 4, ", %zero") + v + rest);
  ExpectUnchanged(FuseQkv, {},
                  inputs + Weight("k", 4) + kNorm + q + Product("k", "x", 4) + v + rest);
}

}  // namespace
}  // namespace sinter::passes
