// Declares the lowerings of all operators, by file. Internal to src/compile.
#pragma once

#include <string_view>

#include "compile/lower/context.h"
#include "graph/fused.h"
#include "graph/shape_math.h"
#include "kernels/cast/cast.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/matmul_nbits/matmul_nbits.h"
#include "kernels/reduce/reduce.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/strided_copy/strided_copy.h"

namespace sinter::compile {

using graph::Count;

// elementwise.cc
void EmitBinary(LowerContext& context, const kernels::BinaryShape& shape, BufferRef a, BufferRef b,
                BufferRef y);
void EmitCast(LowerContext& context, const kernels::CastShape& shape, BufferRef x, BufferRef y);
void LowerUnary(LowerContext& context);
void LowerBinary(LowerContext& context);
void LowerFastGelu(LowerContext& context);
void LowerCast(LowerContext& context);
void LowerWhere(LowerContext& context);
// Returns the lowering of ONNX's own unary or binary operator of that name, or null.
void (*FindElementwiseLowering(std::string_view op))(LowerContext&);

// movement.cc
// Emits a copy between views; nothing if they are empty.
void EmitCopy(LowerContext& context, const kernels::StridedCopyShape& shape, BufferRef from,
              BufferRef to);
void LowerView(LowerContext& context);
void LowerTranspose(LowerContext& context);
void LowerSlice(LowerContext& context);
void LowerSplit(LowerContext& context);
void LowerConcat(LowerContext& context);
void LowerExpand(LowerContext& context);
void LowerGather(LowerContext& context);
void LowerGatherBlockQuantized(LowerContext& context);

// reduction.cc
// Operands of RmsNorm. The shape says which ones are present.
struct RmsNormOperands {
  BufferRef input, scale, skip, bias, output, inv_std, sum;
};
void EmitRmsNorm(LowerContext& context, const kernels::RmsNormShape& shape,
                 const RmsNormOperands& operands);
void EmitReduce(LowerContext& context, const kernels::ReduceShape& shape, BufferRef x, BufferRef y);
void LowerReduce(LowerContext& context);
void LowerSoftmax(LowerContext& context);
void LowerLayerNormalization(LowerContext& context);
void LowerSimplifiedLayerNormalization(LowerContext& context);
void LowerSkipSimplifiedLayerNormalization(LowerContext& context);

// product.cc
void LowerMatMul(LowerContext& context);
void LowerMatMulNBits(LowerContext& context);

// qmoe.cc
void LowerQMoE(LowerContext& context);
void LowerNormQMoE(LowerContext& context);

// A quantized weight [n, k] and its bias. References are empty if the part is absent.
struct NBitsOperands {
  BufferRef codes, scales, zero_points, bias;
};
// Returns the parts of a quantized weight, concatenated by rows. Sets the order of the rows in
// `shape`, of which everything but m must be set.
NBitsOperands ReadWeight(LowerContext& context, std::span<const graph::FusedPart> parts,
                         kernels::MatMulNBitsShape& shape);
// Operands of a product's dispatch besides the product's own (kernels/matmul_nbits/matmul_nbits.h).
// The shape says which ones are present.
struct NBitsSurroundings {
  BufferRef residual, norm_scale, skip, skip_scale, sum;
};
// Emits Y = A x dequantize(weight)^T + bias in as many dispatches as the size of the weight
// requires (one, if it has a gate). `y` may be external or scratch.
void EmitMatMulNBits(LowerContext& context, kernels::MatMulNBitsShape shape, BufferRef a,
                     const NBitsOperands& weight, BufferRef y,
                     const NBitsSurroundings& around = {});

// fused.cc
void LowerFusedProduct(LowerContext& context);

// onnx_attention.cc: ONNX's Attention and com.microsoft's MultiHeadAttention
void LowerAttention(LowerContext& context);

// attention.cc
void LowerGroupQueryAttention(LowerContext& context);
void LowerRotaryEmbedding(LowerContext& context);
void LowerOnnxRotaryEmbedding(LowerContext& context);

}  // namespace sinter::compile
