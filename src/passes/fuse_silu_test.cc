#include "passes/fuse_silu.h"

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

TEST(FuseSilu, MakesOneNode) {
  for (const char* operands : {"%x, %s", "%s, %x"}) {
    ExpectRewrite(FuseSilu, {},
                  std::string("input %x: f16[2] %s: f16[2] = ai.onnx::Sigmoid(%x) "
                              "%y: f16[2] = ai.onnx::Mul @silu (") +
                      operands + ") return %y",
                  "input %x: f16[2] "
                  "%y: f16[2] = com.microsoft::QuickGelu @silu (%x) {alpha = 1f} return %y",
                  1);
  }
}

TEST(FuseSilu, LeavesOtherGates) {
  // The factor is another value, or the Sigmoid has another reader.
  ExpectUnchanged(FuseSilu, {},
                  "input %x: f16[2] input %z: f16[2] %s: f16[2] = ai.onnx::Sigmoid(%x) "
                  "%y: f16[2] = ai.onnx::Mul(%z, %s) return %y");
  ExpectUnchanged(FuseSilu, {},
                  "input %x: f16[2] %s: f16[2] = ai.onnx::Sigmoid(%x) "
                  "%y: f16[2] = ai.onnx::Mul(%x, %s) return %y, %s");
}

}  // namespace
}  // namespace sinter::passes
