// Provides pieces of graphs for the tests of the fusing rewrites. Included by *_test.cc only.
#pragma once

#include <fmt/format.h>

#include <string>

#include "passes/pass_testing.h"

namespace sinter::passes {

// Returns the constants %NAME.b and %NAME.s: an f16 weight [n, 16] in 4 bits, one block per row.
inline std::string Weight(const std::string& name, int n) {
  return fmt::format("const %{0}.b: u8[{1}, 1, 8] = zeros const %{0}.s: f16[{1}, 1] = zeros ", name,
                     n);
}

// Returns the node %y = MatMulNBits @y (%x, weight of y), whose result is [1, 2, n].
inline std::string Product(const std::string& y, const std::string& x, int n,
                           const std::string& more = "") {
  return fmt::format(
      "%{0}: f16[1, 2, {2}] = com.microsoft::MatMulNBits @{0} (%{1}, %{0}.b, %{0}.s{3}) "
      "{{K = 16, N = {2}, bits = 4, block_size = 16}} ",
      y, x, n, more);
}

// Returns the attributes of a fused node made of such products.
inline std::string FusedAttributes(const std::string& n, const std::string& more = "") {
  return fmt::format("{{K = 16, N = {}, bits = 4, block_size = 16{}}} ", n, more);
}

inline constexpr char kX[] = "input %x: f16[1, 2, 16] const %scale: f16[16] = zeros ";
inline constexpr char kSkip[] = "input %r: f16[1, 2, 16] ";
inline constexpr char kNorm[] =
    "%h: f16[1, 2, 16] = ai.onnx::SimplifiedLayerNormalization @norm (%x, %scale) "
    "{epsilon = 0.5f} ";
inline constexpr char kSkipNorm[] =
    "%h: f16[1, 2, 16], _, _, %sum: f16[1, 2, 16] = "
    "com.microsoft::SkipSimplifiedLayerNormalization @norm (%x, %r, %scale) {epsilon = 0.5f} ";

}  // namespace sinter::passes
