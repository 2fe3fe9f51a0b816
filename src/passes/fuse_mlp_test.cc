#include "passes/fuse_mlp.h"

#include "passes/fusion_testing.h"

namespace sinter::passes {
namespace {

const std::string kWeights = Weight("g", 4) + Weight("u", 4);
const std::string kProducts = Product("g", "h", 4) + Product("u", "h", 4);
const std::string kSilu = "%a: f16[1, 2, 4] = com.microsoft::QuickGelu(%g) {alpha = 1f} ";
const std::string kMul = "%y: f16[1, 2, 4] = ai.onnx::Mul(%a, %u) ";

std::string Mlp(const std::string& outputs, const std::string& prologue,
                const std::string& activation, const std::string& more = ", epsilon = 0.5f") {
  return outputs + " = sinter::MatMulNBitsMlp @g (" + prologue +
         ", %g.b, %g.s, _, _, %u.b, %u.s) " +
         FusedAttributes("ints[4, 4]", ", activation = \"" + activation + "\"" + more);
}

TEST(FuseMlp, KnowsTheActivations) {
  const std::pair<const char*, const char*> activations[] = {
      {"com.microsoft::QuickGelu(%g) {alpha = 1f}", "silu"},
      {"ai.onnx::Gelu(%g)", "gelu"},
      {"ai.onnx::Gelu(%g) {approximate = \"none\"}", "gelu"},
      {"com.microsoft::Gelu(%g)", "gelu"},
      {"ai.onnx::Gelu(%g) {approximate = \"tanh\"}", "gelu_tanh"},
      {"com.microsoft::FastGelu(%g)", "gelu_tanh"},
  };
  for (const auto& [node, name] : activations) {
    for (const char* operands : {"%a, %u", "%u, %a"}) {
      ExpectRewrite(FuseMlp, {},
                    kX + kWeights + kNorm + kProducts +
                        fmt::format("%a: f16[1, 2, 4] = {} %y: f16[1, 2, 4] = ai.onnx::Mul({}) "
                                    "return %y",
                                    node, operands),
                    kX + kWeights + Mlp("%y: f16[1, 2, 4]", "%x, _, _, %scale", name) + "return %y",
                    1);
    }
  }
}

TEST(FuseMlp, PassesTheSkipSumOn) {
  const std::string inputs = kX + std::string(kSkip) + kWeights;
  ExpectRewrite(FuseMlp, {}, inputs + kSkipNorm + kProducts + kSilu + kMul + "return %y, %sum",
                inputs + Mlp("%y: f16[1, 2, 4], %sum: f16[1, 2, 16]", "%x, %r, _, %scale", "silu") +
                    "return %y, %sum",
                1);
}

TEST(FuseMlp, LeavesTheNormToItsOtherReaders) {
  ExpectRewrite(
      FuseMlp, {}, kX + kWeights + kNorm + kProducts + kSilu + kMul + "return %y, %h",
      kX + kWeights + kNorm + Mlp("%y: f16[1, 2, 4]", "%h, _, _, _", "silu", "") + "return %y, %h",
      1);
}

TEST(FuseMlp, CutsThePackedWeight) {
  const std::string more =
      " const %zero: u8[4, 1] = [1, 2, 3, 4] const %bias: f16[4] = [5, 6, 7, 8] ";
  const std::string rest =
      "%g: f16[1, 2, 2], %u: f16[1, 2, 2] = ai.onnx::Split(%p) {axis = -1, "
      "num_outputs = 2} ";
  ExpectRewrite(
      FuseMlp, {},
      kX + Weight("p", 4) + more + kNorm + Product("p", "h", 4, ", %zero, _, %bias") + rest +
          "%a: f16[1, 2, 2] = com.microsoft::QuickGelu(%g) {alpha = 1f} "
          "%y: f16[1, 2, 2] = ai.onnx::Mul(%a, %u) return %y",
      kX +
          std::string("const %p.b.gate: u8[2, 1, 8] = zeros const %p.s.gate: f16[2, 1] = zeros "
                      "const %zero.gate: u8[2, 1] = [1, 2] const %bias.gate: f16[2] = [5, 6] "
                      "const %p.b.up: u8[2, 1, 8] = zeros const %p.s.up: f16[2, 1] = zeros "
                      "const %zero.up: u8[2, 1] = [3, 4] const %bias.up: f16[2] = [7, 8] "
                      "%y: f16[1, 2, 2] = sinter::MatMulNBitsMlp @p (%x, _, _, %scale, %p.b.gate, "
                      "%p.s.gate, %zero.gate, %bias.gate, %p.b.up, %p.s.up, %zero.up, %bias.up) ") +
          FusedAttributes("ints[2, 2]", ", activation = \"silu\", epsilon = 0.5f") + "return %y",
      1);
}

TEST(FuseMlp, LeavesOtherMultiplications) {
  const std::string inputs = kX + kWeights + kNorm;
  // Activations that do not match: another alpha, a bias, none of the known ones.
  for (const char* node : {"com.microsoft::QuickGelu(%g) {alpha = 1.5f}",
                           "com.microsoft::FastGelu(%g, %g.s1)", "ai.onnx::Tanh(%g)"}) {
    ExpectUnchanged(FuseMlp, {},
                    kX + std::string("const %g.s1: f16[4] = zeros ") + kWeights + kNorm +
                        kProducts + "%a: f16[1, 2, 4] = " + node + " " + kMul + "return %y");
  }
  // Gate, up or the activation has another reader.
  for (const char* read : {"%g", "%u", "%a"}) {
    ExpectUnchanged(FuseMlp, {}, inputs + kProducts + kSilu + kMul + "return %y, " + read);
  }
  // Weights that cannot be joined: other bits, and an `up` of one column.
  ExpectUnchanged(FuseMlp, {},
                  kX + Weight("g", 4) +
                      "const %u.b: u8[4, 1, 16] = zeros const %u.s: f16[4, 1] = zeros " + kNorm +
                      Product("g", "h", 4) +
                      "%u: f16[1, 2, 4] = com.microsoft::MatMulNBits(%h, %u.b, %u.s) {K = 16, N = "
                      "4, bits = 8, block_size = 16} " +
                      kSilu + kMul + "return %y");
  ExpectUnchanged(FuseMlp, {},
                  kX + Weight("g", 4) + Weight("u", 1) + kNorm + Product("g", "h", 4) +
                      Product("u", "h", 1) + kSilu + kMul + "return %y");
}

TEST(FuseMlp, LeavesOtherSplits) {
  const std::string inputs = kX + Weight("p", 4) + kNorm;
  const std::string silu = "%a: f16[1, 2, 2] = com.microsoft::QuickGelu(%g) {alpha = 1f} ";
  const std::string mul = "%y: f16[1, 2, 2] = ai.onnx::Mul(%a, %u) return %y";
  const std::string product = Product("p", "h", 4);
  // The second half of the Split is the gate.
  ExpectUnchanged(FuseMlp, {},
                  inputs + product +
                      "%u: f16[1, 2, 2], %g: f16[1, 2, 2] = ai.onnx::Split(%p) {axis = -1, "
                      "num_outputs = 2} " +
                      silu + mul);
  // The Split is along another axis.
  ExpectUnchanged(FuseMlp, {},
                  inputs + product +
                      "%g: f16[1, 1, 4], %u: f16[1, 1, 4] = ai.onnx::Split(%p) {axis = 1, "
                      "num_outputs = 2} "
                      "%a: f16[1, 1, 4] = com.microsoft::QuickGelu(%g) {alpha = 1f} "
                      "%y: f16[1, 1, 4] = ai.onnx::Mul(%a, %u) return %y");
  // The whole product or one half has another reader.
  const std::string split =
      "%g: f16[1, 2, 2], %u: f16[1, 2, 2] = ai.onnx::Split(%p) {axis = -1, num_outputs = 2} ";
  for (const char* read : {"%p", "%g", "%u"}) {
    ExpectUnchanged(FuseMlp, {}, inputs + product + split + silu + mul + ", " + read);
  }
}

}  // namespace
}  // namespace sinter::passes
