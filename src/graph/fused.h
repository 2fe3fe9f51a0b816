// Sinter's own operators (domain `sinter`). Each node stands for several ONNX nodes; the rewrites
// of fusion level `layer` create them. They mean the same as the nodes they replace:
//
//   x = input                                                   without skip
//       input + skip                                            without skip_scale
//       input + rms_norm(skip, skip_scale, skip_epsilon)        with both
//   h = x without norm_scale, else rms_norm(x, norm_scale, epsilon); rounded to the scales' type
//
//   MatMulNBitsQkv    Y = h x dequantize(B)^T + bias, the parts concatenated along the last axis
//   NormMatMulNBits   Y as for MatMulNBitsQkv, with one part
//   MatMulNBitsMlp    Y = activation(gate) * up, where gate and up are such products of h;
//                     activation: silu, gelu, gelu_tanh
//   MatMulNBitsAdd    Y = A x dequantize(B)^T + bias + residual
//   NormQMoE          Y = QMoE(h, router product of h), h = rms_norm(input, norm_scale, epsilon)
//
// Output 1 of the first three operators is x, in the type of the input. Weights have the form of
// MatMulNBits. All parts of a node have the same K, bits, block size and type; either all or none
// have a bias, and either all or none have zero points, of one type. skip_scale has the type of the
// input. norm_scale may have another float type, and so may skip if there is a skip_scale.
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

// Indices of the inputs before those of the parts.
enum FusedInput : size_t {
  kFusedInput,
  kFusedSkip,
  kFusedSkipScale,
  kFusedNormScale,
  kFusedFirstPart,
};
// Index of the last input of MatMulNBitsAdd.
inline constexpr size_t kFusedResidual = 5;

// Input indices of one quantized weight, and `n`, the number of its rows.
struct FusedPart {
  size_t b = 0, scales = 0, zero_points = 0, bias = 0;
  int64_t n = 0;
};

// Attributes and parts of a node for which IsFusedProduct() is true.
struct FusedProduct {
  // False for MatMulNBitsAdd, whose input 0 is multiplied without skip or norm.
  bool has_prologue = true;
  bool has_residual = false;
  std::vector<FusedPart> parts;
  int64_t k = 0, bits = 4, block_size = 32;
  float epsilon = 0, skip_epsilon = 0;
  // Activation of MatMulNBitsMlp. Empty for the operators that concatenate their parts.
  std::string activation;

  // Returns the number of rows of all parts together.
  int64_t n() const;
};

// Input indices of NormQMoE. The router's weight has the form of MatMulNBits, quantized as the
// attributes router_bits and router_block_size say, with packed zero points. The experts' inputs
// and the remaining attributes are those of QMoE. All floats have one type.
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

// IsFused returns whether the node is an operator of this domain. IsFusedProduct returns whether a
// FusedProduct describes it: all of them except NormQMoE.
bool IsFused(const Node& node);
bool IsFusedProduct(const Node& node);

// Reads attributes and inputs of a node for which IsFusedProduct() is true. Throws Error that names
// the node if parts have gaps or if their number differs from the number of entries of the
// attribute `N`.
FusedProduct ReadFused(const Node& node);

}  // namespace sinter::graph
