#include "passes/fuse_qk_norm.h"

#include <fmt/format.h>

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

const std::string kInputs =
    "input %a: f16[1, 2, 8] input %b: f16[1, 2, 4] input %v: f16[1, 2, 4] input %l: i32[1] "
    "input %t: i32[1] const %qw: f16[4] = zeros const %kw: f16[4] = zeros ";
const std::string kShapes =
    "const %heads: i64[3] = [1, -1, 4] const %q8: i64[3] = [0, -1, 8] const %k4: i64[3] = [0, -1, "
    "4] ";

// Returns nodes that normalize each head of %x into %y.
std::string Norm(const std::string& y, const std::string& x, int heads, const std::string& weight,
                 const std::string& shape, const std::string& epsilon = "0.5f") {
  return fmt::format(
      "%{0}.h: f16[1, {2}, 4] = ai.onnx::Reshape(%{1}, %heads) "
      "%{0}.n: f16[1, {2}, 4] = ai.onnx::SimplifiedLayerNormalization(%{0}.h, {3}) "
      "{{epsilon = {5}}} "
      "%{0}: f16[1, 2, {6}] = ai.onnx::Reshape(%{0}.n, {4}) ",
      y, x, 2 * heads, weight, shape, epsilon, 4 * heads);
}
std::string Attention(const std::string& inputs, const std::string& attributes = "",
                      const std::string& more = "") {
  return "%y: f16[1, 2, 8] = com.microsoft::GroupQueryAttention (" + inputs + ", _, _, %l, %t" +
         more + ") {num_heads = 2, kv_num_heads = 1" + attributes + "} return %y";
}

const std::string kQ = Norm("q", "a", 2, "%qw", "%q8"), kK = Norm("k", "b", 1, "%kw", "%k4");

TEST(FuseQkNorm, LetsAttentionNormalize) {
  ExpectRewrite(FuseQkNorm, {}, kInputs + kShapes + kQ + kK + Attention("%q, %k, %v"),
                kInputs + Attention("%a, %b, %v", ", qk_norm_epsilon = 0.5f",
                                    ", _, _, _, _, _, _, _, %qw, %kw"),
                1);
}

TEST(FuseQkNorm, LeavesWhatAttentionDoesOtherwise) {
  const std::string inputs = kInputs + kShapes;
  // Only the query is normalized, or the two norms have different epsilons.
  ExpectUnchanged(FuseQkNorm, {}, inputs + kQ + Attention("%q, %b, %v"));
  ExpectUnchanged(FuseQkNorm, {},
                  inputs + kQ + Norm("k", "b", 1, "%kw", "%k4", "0.25f") + Attention("%q, %k, %v"));
  // A value between the norm and attention has another reader.
  for (const char* read : {"%q", "%q.h", "%k.n"}) {
    ExpectUnchanged(FuseQkNorm, {}, inputs + kQ + kK + Attention("%q, %k, %v") + ", " + read);
  }
  // The norms' rows are not heads.
  ExpectUnchanged(FuseQkNorm, {},
                  kInputs +
                      "const %halves: i64[3] = [1, -1, 2] const %w: f16[2] = zeros "
                      "const %q8: i64[3] = [0, -1, 8] const %k4: i64[3] = [0, -1, 4] "
                      "%qh: f16[1, 8, 2] = ai.onnx::Reshape(%a, %halves) "
                      "%qn: f16[1, 8, 2] = ai.onnx::SimplifiedLayerNormalization(%qh, %w) "
                      "%q: f16[1, 2, 8] = ai.onnx::Reshape(%qn, %q8) "
                      "%kh: f16[1, 4, 2] = ai.onnx::Reshape(%b, %halves) "
                      "%kn: f16[1, 4, 2] = ai.onnx::SimplifiedLayerNormalization(%kh, %w) "
                      "%k: f16[1, 2, 4] = ai.onnx::Reshape(%kn, %k4) " +
                      Attention("%q, %k, %v"));
  // Attention already normalizes.
  ExpectUnchanged(
      FuseQkNorm, {},
      inputs + kQ + kK + Attention("%q, %k, %v", "", ", _, _, _, _, _, _, _, %qw, %kw"));
  // Attention reads the packed form.
  ExpectUnchanged(
      FuseQkNorm, {},
      "input %p: f16[1, 2, 16] input %l: i32[1] input %t: i32[1] " + Attention("%p, _, _"));
}

}  // namespace
}  // namespace sinter::passes
