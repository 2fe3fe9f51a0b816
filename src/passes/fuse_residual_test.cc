#include "passes/fuse_residual.h"

#include "passes/fusion_testing.h"

namespace sinter::passes {
namespace {

const std::string kInputs = kX + std::string(kSkip) + Weight("p", 16);
const std::string kProduct = Product("p", "x", 16);
const std::string kFused =
    "f16[1, 2, 16] = sinter::MatMulNBitsAdd @p (%x, %p.b, %p.s, _, _, %r) " + FusedAttributes("16");

TEST(FuseResidual, JoinsAnAddition) {
  for (const char* operands : {"%p, %r", "%r, %p"}) {
    ExpectRewrite(FuseResidual, {},
                  kInputs + kProduct +
                      fmt::format("%y: f16[1, 2, 16] = ai.onnx::Add({}) return %y", operands),
                  kInputs + "%y: " + kFused + "return %y", 1);
  }
}

TEST(FuseResidual, KeepsTheBias) {
  ExpectRewrite(
      FuseResidual, {},
      kInputs + Product("p", "x", 16, ", _, _, %scale") +
          "%y: f16[1, 2, 16] = ai.onnx::Add(%p, %r) return %y",
      kInputs + "%y: f16[1, 2, 16] = sinter::MatMulNBitsAdd @p (%x, %p.b, %p.s, _, %scale, %r) " +
          FusedAttributes("16") + "return %y",
      1);
}

TEST(FuseResidual, LeavesTheNormOfTheSum) {
  for (const char* operands : {"%r, %p", "%p, %r"}) {
    const std::string norm = fmt::format(
        "com.microsoft::SkipSimplifiedLayerNormalization @norm ({}, %scale) {{epsilon = 0.5f}} ",
        operands);
    const std::string left =
        "com.microsoft::SimplifiedLayerNormalization @norm (%sum, %scale) {epsilon = 0.5f} ";
    ExpectRewrite(FuseResidual, {},
                  kInputs + kProduct + "%h: f16[1, 2, 16], _, _, %sum: f16[1, 2, 16] = " + norm +
                      "return %h, %sum",
                  kInputs + "%sum: " + kFused + "%h: f16[1, 2, 16] = " + left + "return %h, %sum",
                  1);
  }
}

TEST(FuseResidual, MakesTheSumThatNobodyElseReads) {
  ExpectRewrite(FuseResidual, {},
                kInputs + kProduct +
                    "%h: f16[1, 2, 16] = com.microsoft::SkipSimplifiedLayerNormalization @norm "
                    "(%r, %p, %scale) return %h",
                kInputs + "%norm/sum: " + kFused +
                    "%h: f16[1, 2, 16] = com.microsoft::SimplifiedLayerNormalization @norm "
                    "(%norm/sum, %scale) {epsilon = 1e-05f} return %h",
                1);
}

TEST(FuseResidual, LeavesWhatItMust) {
  const std::string add = "%y: f16[1, 2, 16] = ai.onnx::Add(%p, %r) return %y";
  // The product has another reader, or both operands are the same product.
  ExpectUnchanged(FuseResidual, {}, kInputs + kProduct + add + ", %p");
  ExpectUnchanged(FuseResidual, {},
                  kInputs + kProduct + "%y: f16[1, 2, 16] = ai.onnx::Add(%p, %p) return %y");
  // The other operand is broadcast.
  ExpectUnchanged(FuseResidual, {},
                  kX + Weight("p", 16) + "input %r: f16[1, 1, 16] " + kProduct + add);
  // The norm has a bias, or its statistics are read.
  ExpectUnchanged(FuseResidual, {},
                  kInputs + kProduct +
                      "%h: f16[1, 2, 16] = com.microsoft::SkipSimplifiedLayerNormalization "
                      "(%r, %p, %scale, %scale) return %h");
  ExpectUnchanged(FuseResidual, {},
                  kInputs + kProduct +
                      "%h: f16[1, 2, 16], _, %std: f32[1, 2, 1] = "
                      "com.microsoft::SkipSimplifiedLayerNormalization (%r, %p, %scale) "
                      "return %h, %std");
  // There is no product.
  ExpectUnchanged(FuseResidual, {}, kX + std::string(kSkip) + kSkipNorm + "return %h, %sum");
}

}  // namespace
}  // namespace sinter::passes
