#include "passes/fold_bias.h"

#include "passes/fusion_testing.h"

namespace sinter::passes {
namespace {

std::string Inputs(const std::string& bias) {
  return "input %x: f16[1, 2, 16] " + Weight("p", 4) + bias;
}

TEST(FoldBias, FoldsConstantsOnEitherSide) {
  const std::string bias = "const %c: f16[4] = [1, 2, 3, 4] ";
  for (const char* operands : {"%p, %c", "%c, %p"}) {
    ExpectRewrite(FoldBias, {},
                  Inputs(bias) + Product("p", "x", 4) +
                      fmt::format("%y: f16[1, 2, 4] = ai.onnx::Add({}) return %y", operands),
                  Inputs(bias) +
                      "%y: f16[1, 2, 4] = com.microsoft::MatMulNBits @p (%x, %p.b, %p.s, _, _, %c) "
                      "{K = 16, N = 4, bits = 4, block_size = 16} return %y",
                  1);
  }
}

TEST(FoldBias, TakesLeadingOnesAway) {
  ExpectRewrite(FoldBias, {},
                Inputs("const %c: f16[1, 1, 4] = [1, 2, 3, 4] ") + Product("p", "x", 4) +
                    "%y: f16[1, 2, 4] = ai.onnx::Add(%p, %c) return %y",
                Inputs("const %c.0: f16[4] = [1, 2, 3, 4] ") +
                    "%y: f16[1, 2, 4] = com.microsoft::MatMulNBits @p (%x, %p.b, %p.s, _, _, %c.0) "
                    "{K = 16, N = 4, bits = 4, block_size = 16} return %y",
                1);
}

TEST(FoldBias, LeavesWhatIsNoBias) {
  const std::string add = "%y: f16[1, 2, 4] = ai.onnx::Add(%p, %c) return %y";
  const std::string bias = "const %c: f16[4] = [1, 2, 3, 4] ";
  // The product has another reader.
  ExpectUnchanged(FoldBias, {}, Inputs(bias) + Product("p", "x", 4) + add + ", %p");
  // The product already has a bias.
  ExpectUnchanged(FoldBias, {}, Inputs(bias) + Product("p", "x", 4, ", _, _, %c") + add);
  // The other operand is a scalar, has one element per row, or is not a constant.
  for (const char* other :
       {"const %c: f16[] = [1] ", "const %c: f16[2, 1] = [1, 2] ", "input %c: f16[4] "}) {
    ExpectUnchanged(FoldBias, {}, Inputs(other) + Product("p", "x", 4) + add);
  }
  // The constant has as many elements as a row, but along the other axis.
  ExpectUnchanged(FoldBias, {},
                  kX + Weight("p", 2) + "const %c: f16[2, 1] = [1, 2] " + Product("p", "x", 2) +
                      "%y: f16[1, 2, 2] = ai.onnx::Add(%p, %c) return %y");
  // The constant has one dimension more than the product.
  ExpectUnchanged(FoldBias, {},
                  Inputs("const %c: f16[1, 1, 1, 4] = [1, 2, 3, 4] ") + Product("p", "x", 4) +
                      "%y: f16[1, 1, 2, 4] = ai.onnx::Add(%p, %c) return %y");
  // The product's weight is not a constant.
  ExpectUnchanged(
      FoldBias, {},
      kX + bias + "input %p.b: u8[4, 1, 8] input %p.s: f16[4, 1] " + Product("p", "x", 4) + add);
}

}  // namespace
}  // namespace sinter::passes
