#include "passes/fuse_rotary.h"

#include <fmt/format.h>

#include "passes/pass_testing.h"

namespace sinter::passes {
namespace {

const std::string kInputs =
    "input %a: f16[1, 2, 8] input %b: f16[1, 2, 4] input %v: f16[1, 2, 4] input %l: i32[1] "
    "input %t: i32[1] input %at: i64[1, 2] input %cos: f16[9, 2] input %sin: f16[9, 2] ";

std::string Rotate(const std::string& y, const std::string& x, int heads, int width,
                   const std::string& tables = "%cos, %sin", const std::string& more = "") {
  return fmt::format(
      "%{}: f16[1, 2, {}] = com.microsoft::RotaryEmbedding(%{}, %at, {}) {{num_heads = {}{}}} ", y,
      width, x, tables, heads, more);
}
std::string OnnxRotate(const std::string& y, const std::string& x, int heads, int width) {
  return fmt::format(
      "%{}: f16[1, 2, {}] = ai.onnx::RotaryEmbedding(%{}, %cos, %sin, %at) {{num_heads = {}}} ", y,
      width, x, heads);
}
std::string Attention(const std::string& inputs, const std::string& rotary = "",
                      const std::string& more = "") {
  return "%y: f16[1, 2, 8] = com.microsoft::GroupQueryAttention (" + inputs + ", _, _, %l, %t" +
         more + ") {num_heads = 2, kv_num_heads = 1" + rotary + "} return %y";
}

const std::string kQ = Rotate("q", "a", 2, 8), kK = Rotate("k", "b", 1, 4);

TEST(FuseRotary, LetsAttentionRotate) {
  const auto after = [](int interleaved) {
    return kInputs + Attention("%a, %b, %v",
                               fmt::format(", do_rotary = 1, rotary_interleaved = {}", interleaved),
                               ", %cos, %sin, %at");
  };
  ExpectRewrite(FuseRotary, {}, kInputs + kQ + kK + Attention("%q, %k, %v"), after(0), 1);
  ExpectRewrite(
      FuseRotary, {},
      kInputs + OnnxRotate("q", "a", 2, 8) + OnnxRotate("k", "b", 1, 4) + Attention("%q, %k, %v"),
      after(0), 1);
  // Without num_heads, heads are as wide as the rotation.
  ExpectRewrite(FuseRotary, {},
                kInputs + Rotate("q", "a", 0, 8) + Rotate("k", "b", 0, 4) + Attention("%q, %k, %v"),
                after(0), 1);
  ExpectRewrite(FuseRotary, {},
                kInputs + Rotate("q", "a", 2, 8, "%cos, %sin", ", interleaved = 1") +
                    Rotate("k", "b", 1, 4, "%cos, %sin", ", interleaved = 1") +
                    Attention("%q, %k, %v"),
                after(1), 1);
}

TEST(FuseRotary, LeavesWhatAttentionDoesOtherwise) {
  // Only the query is rotated, or a rotated value has another reader.
  ExpectUnchanged(FuseRotary, {}, kInputs + kQ + Attention("%q, %b, %v"));
  ExpectUnchanged(FuseRotary, {}, kInputs + kQ + kK + Attention("%q, %k, %v") + ", %k");
  // The rotations differ in their tables or in interleaving.
  ExpectUnchanged(FuseRotary, {},
                  kInputs + "input %cos2: f16[9, 2] " + kQ + Rotate("k", "b", 1, 4, "%cos2, %sin") +
                      Attention("%q, %k, %v"));
  ExpectUnchanged(FuseRotary, {},
                  kInputs + kQ + Rotate("k", "b", 1, 4, "%cos, %sin", ", interleaved = 1") +
                      Attention("%q, %k, %v"));
  // The rotation's heads have another width.
  ExpectUnchanged(FuseRotary, {}, kInputs + Rotate("q", "a", 1, 8) + kK + Attention("%q, %k, %v"));
  // One position is given, from which all others are counted.
  ExpectUnchanged(FuseRotary, {},
                  "input %a: f16[1, 2, 8] input %b: f16[1, 2, 4] input %v: f16[1, 2, 4] "
                  "input %l: i32[1] input %t: i32[1] input %at: i64[1] input %cos: f16[9, 2] "
                  "input %sin: f16[9, 2] " +
                      kQ + kK + Attention("%q, %k, %v"));
  // The tables have one row per token.
  ExpectUnchanged(
      FuseRotary, {},
      kInputs +
          "input %rows: f16[1, 2, 2] "
          "%q: f16[1, 2, 8] = ai.onnx::RotaryEmbedding(%a, %rows, %rows) {num_heads = 2} "
          "%k: f16[1, 2, 4] = ai.onnx::RotaryEmbedding(%b, %rows, %rows) {num_heads = 1} " +
          Attention("%q, %k, %v"));
  // Attention already rotates, or normalizes first.
  ExpectUnchanged(FuseRotary, {},
                  kInputs + kQ + kK + Attention("%q, %k, %v", ", do_rotary = 1", ", %cos, %sin"));
  ExpectUnchanged(FuseRotary, {},
                  kInputs + "input %w: f16[4] " + kQ + kK +
                      Attention("%q, %k, %v", "", ", _, _, _, _, _, _, _, %w, %w"));
  // Attention reads the packed form.
  ExpectUnchanged(
      FuseRotary, {},
      "input %p: f16[1, 2, 16] input %l: i32[1] input %t: i32[1] " + Attention("%p, _, _"));
}

}  // namespace
}  // namespace sinter::passes
