// A small graph whose plans can be measured. Included by *_test.cc only.
#pragma once

#include <memory>

#include "graph/graph.h"
#include "graph/text.h"
#include "passes/specialize.h"

namespace sinter::support {

// Returns two quantized products of one kind: outputs y and z, [1, 2], of the input x, [1, 32].
inline std::unique_ptr<graph::Graph> TwoProducts() {
  constexpr char kText[] = R"(graph g { opset ai.onnx 23 opset com.microsoft 1
  input %x: f32[1, 32]
  const %codes: u8[2, 1, 16] = [1, 22, 133, 44, 255, 66, 77, 88, 9, 10, 211, 12, 13, 14, 15, 16,
    101, 122, 33, 144, 155, 166, 177, 188, 19, 110, 11, 112, 113, 114, 115, 116]
  const %a: f32[2, 1] = [0.5, 0.25]
  const %b: f32[2, 1] = [1, -0.5]
  %y: f32[1, 2] = com.microsoft::MatMulNBits (%x, %codes, %a) {K = 32, N = 2, bits = 4, block_size = 32}
  %z: f32[1, 2] = com.microsoft::MatMulNBits (%x, %codes, %b) {K = 32, N = 2, bits = 4, block_size = 32}
  return %y, %z })";
  return passes::Specialize(*graph::Parse(kText), {});
}

}  // namespace sinter::support
