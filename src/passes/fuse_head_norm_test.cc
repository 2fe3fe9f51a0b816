#include "passes/fuse_head_norm.h"

#include "passes/fusion_testing.h"

namespace sinter::passes {
namespace {

TEST(FuseHeadNorm, JoinsNormAndProduct) {
  const std::string inputs = kX + Weight("p", 4);
  ExpectRewrite(
      FuseHeadNorm, {}, inputs + kNorm + Product("p", "h", 4) + "return %p",
      inputs + "%p: f16[1, 2, 4] = sinter::NormMatMulNBits @p (%x, _, _, %scale, %p.b, %p.s) " +
          FusedAttributes("ints[4]", ", epsilon = 0.5f") + "return %p",
      1);
}

TEST(FuseHeadNorm, KeepsSkipZeroPointsBiasAndAccuracyLevel) {
  const std::string inputs = kX + std::string(kSkip) + Weight("p", 4) +
                             "const %zero: u8[4, 1] = zeros const %bias: f16[4] = zeros ";
  ExpectRewrite(FuseHeadNorm, {},
                inputs + kSkipNorm +
                    "%p: f16[1, 2, 4] = com.microsoft::MatMulNBits @p (%h, %p.b, %p.s, %zero, _, "
                    "%bias) {K = 16, N = 4, accuracy_level = 4, bits = 4, block_size = 16} "
                    "return %p",
                inputs +
                    "%p: f16[1, 2, 4] = sinter::NormMatMulNBits @p (%x, %r, _, %scale, %p.b, %p.s, "
                    "%zero, %bias) " +
                    FusedAttributes("ints[4]", ", accuracy_level = 4, epsilon = 0.5f") +
                    "return %p",
                1);
}

TEST(FuseHeadNorm, LeavesANormWithOtherReaders) {
  const std::string inputs = kX + Weight("p", 4) + Weight("z", 4);
  ExpectUnchanged(FuseHeadNorm, {}, inputs + kNorm + Product("p", "h", 4) + "return %p, %h");
  ExpectUnchanged(FuseHeadNorm, {},
                  inputs + kNorm + Product("p", "h", 4) + Product("z", "h", 4) + "return %p, %z");
}

}  // namespace
}  // namespace sinter::passes
