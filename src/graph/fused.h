// Sinter's own operators (domain `sinter`): several of ONNX's in one node, made by the rewrites of
// fusion level `layer`. Their meaning is that of their parts:
//
//   x = input                                                   without skip
//       input + skip                                            without skip_scale
//       input + rms_norm(skip, skip_scale, skip_epsilon)        with both
//   h = x, or rms_norm(x, norm_scale, epsilon); rounded to the type of the scales
//
//   MatMulNBitsQkv    Y = h x dequantize(B)^T + bias for each part, joined along the last axis
//   NormMatMulNBits   the same with one part
//   MatMulNBitsMlp    Y = activation(gate) * up, each a product as above; activation: silu, gelu,
//                     gelu_tanh
//   MatMulNBitsAdd    Y = A x dequantize(B)^T + bias + residual
//   NormQMoE          Y = QMoE(h, router product of h), h = rms_norm(input, norm_scale, epsilon)
//
// NormMatMulNBits with the attribute `argmax` 1 gives the logits of one row: a run of the program
// of which nobody wants more than the largest may choose that in their place. It means the same.
//
// Output 1 of the first three is x, in the type of the input. Weights are as MatMulNBits has them;
// all parts of a node have the same K, bits, block size and type, and all or none have zero points
// of one kind, resp. a bias. skip_scale has the type of the input; norm_scale and, under
// skip_scale, skip may have another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace sinter::graph {

inline constexpr std::string_view kFusedDomain = "sinter";
inline constexpr int kFusedVersion = 1;

// Places of the inputs before the parts.
enum FusedInput : size_t {
  kFusedInput,
  kFusedSkip,
  kFusedSkipScale,
  kFusedNormScale,
  kFusedFirstPart,
};
// MatMulNBitsAdd's last input.
inline constexpr size_t kFusedResidual = 5;

// Where one quantized weight stands among a node's inputs, and its rows.
struct FusedPart {
  size_t b = 0, scales = 0, zero_points = 0, bias = 0;
  int64_t n = 0;
};

// A node of this domain, read.
struct FusedProduct {
  // False for MatMulNBitsAdd, whose input 0 goes into the product as it is.
  bool has_prologue = true;
  bool has_residual = false;
  std::vector<FusedPart> parts;
  int64_t k = 0, bits = 4, block_size = 32;
  float epsilon = 0, skip_epsilon = 0;
  // The attribute `argmax`.
  bool chooses = false;
  // Empty where the parts are joined.
  std::string activation;

  // Rows of all parts.
  int64_t n() const;
};

// NormQMoE's inputs: the router as MatMulNBits has its weights (quantized by the attributes
// router_bits and router_block_size; zero points packed), the experts as QMoE has them, whose other
// attributes it shares. All floats have one type.
enum NormQMoEInput : size_t {
  kMoeInput,
  kMoeNormScale,
  kMoeRouter,
  kMoeRouterScales,
  kMoeRouterZeroPoints,
  kMoeRouterBias,
  kMoeFc1,
  kMoeFc1Scales,
  kMoeFc1Bias,
  kMoeFc2,
  kMoeFc2Scales,
  kMoeFc2Bias,
  kMoeFc1ZeroPoints,
  kMoeFc2ZeroPoints,
};

// Any operator of this domain, and those that are a FusedProduct: all but NormQMoE.
bool IsFused(const Node& node);
bool IsFusedProduct(const Node& node);

// What attributes and present inputs of an IsFusedProduct() say. Throws Error naming the node where
// the parts have gaps or are not as many as the attribute `N` says.
FusedProduct ReadFused(const Node& node);

}  // namespace sinter::graph
