#include "passes/fuse_argmax.h"

#include "passes/fusion_testing.h"

namespace sinter::passes {
namespace {

const PassOptions kOptions = {.logits = "p"};

std::string Head(int rows, const std::string& more = "") {
  return fmt::format(
      "input %x: f16[1, {0}, 16] const %scale: f16[16] = zeros {1}"
      "%p: f16[1, {0}, 4] = sinter::NormMatMulNBits @p (%x, _, _, %scale, %p.b, %p.s) "
      "{{K = 16, N = ints[4]{2}, bits = 4, block_size = 16}} ",
      rows, Weight("p", 4), more);
}

TEST(FuseArgmax, MarksTheHead) {
  ExpectRewrite(FuseArgmax, kOptions, Head(1) + "return %p", Head(1, ", argmax = 1") + "return %p",
                1);
  ExpectUnchanged(FuseArgmax, kOptions, Head(1, ", argmax = 1") + "return %p");
}

TEST(FuseArgmax, LeavesSeveralRows) {
  ExpectUnchanged(FuseArgmax, kOptions, Head(2) + "return %p");
}

TEST(FuseArgmax, LeavesLogitsThatAreReadOrMadeOtherwise) {
  ExpectUnchanged(FuseArgmax, kOptions,
                  Head(1) + "%q: f16[1, 1, 4] = ai.onnx::Tanh @q (%p) return %p, %q");
  ExpectUnchanged(FuseArgmax, {.logits = "q"},
                  Head(1) + "%q: f16[1, 1, 4] = ai.onnx::Tanh @q (%p) return %q");
  ExpectUnchanged(FuseArgmax, {.logits = "other"}, Head(1) + "return %p");
}

}  // namespace
}  // namespace sinter::passes
