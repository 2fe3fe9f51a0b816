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
  // Another reader.
  ExpectUnchanged(FoldBias, {}, Inputs(bias) + Product("p", "x", 4) + add + ", %p");
  // A bias of its own.
  ExpectUnchanged(FoldBias, {}, Inputs(bias) + Product("p", "x", 4, ", _, _, %c") + add);
  // A scalar, a number for each row, and a value that is no constant.
  for (const char* other :
       {"const %c: f16[] = [1] ", "const %c: f16[2, 1] = [1, 2] ", "input %c: f16[4] "}) {
    ExpectUnchanged(FoldBias, {}, Inputs(other) + Product("p", "x", 4) + add);
  }
  // As many elements as a row, but not along it.
  ExpectUnchanged(FoldBias, {},
                  kX + Weight("p", 2) + "const %c: f16[2, 1] = [1, 2] " + Product("p", "x", 2) +
                      "%y: f16[1, 2, 2] = ai.onnx::Add(%p, %c) return %y");
  // One more dimension.
  ExpectUnchanged(FoldBias, {},
                  Inputs("const %c: f16[1, 1, 1, 4] = [1, 2, 3, 4] ") + Product("p", "x", 4) +
                      "%y: f16[1, 1, 2, 4] = ai.onnx::Add(%p, %c) return %y");
  // A product whose weight is computed.
  ExpectUnchanged(
      FoldBias, {},
      kX + bias + "input %p.b: u8[4, 1, 8] input %p.s: f16[4, 1] " + Product("p", "x", 4) + add);
}

}  // namespace
}  // namespace sinter::passes
