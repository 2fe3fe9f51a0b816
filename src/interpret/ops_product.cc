// Matrix products (float and quantized) and mixtures of experts.

#include <cmath>
#include <limits>

#include "graph/fused.h"
#include "interpret/ops.h"
#include "kernels/gather_block_quantized/gather_block_quantized.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul_nbits/matmul_nbits.h"
#include "kernels/qmoe/qmoe.h"
#include "kernels/rms_norm/rms_norm.h"

namespace sinter::interpret {
namespace {

void MatMul(Call& call) {
  graph::Shape a = call.shape(0), b = call.shape(1);
  // A one-dimensional left operand is a row, a right one a column.
  if (a.size() == 1) a.insert(a.begin(), 1);
  if (b.size() == 1) b.push_back(1);
  kernels::MatMulShape shape;
  shape.m = Count(a[a.size() - 2]);
  shape.k = Count(a.back());
  shape.n = Count(b.back());
  for (size_t i = 0; i + 2 < a.size(); ++i) shape.a_batch.push_back(Count(a[i]));
  for (size_t i = 0; i + 2 < b.size(); ++i) shape.b_batch.push_back(Count(b[i]));
  call.Out(0, kernels::MatMulReference(shape, call.values(0), call.values(1)));
}

void MatMulNBits(Call& call) {
  const graph::Node& node = call.node();
  kernels::MatMulNBitsShape shape;
  shape.k = Count(node.Int("K", 0));
  shape.n = Count(node.Int("N", 0));
  shape.m = Count(static_cast<int64_t>(call.values(0).size()) / shape.k);
  shape.bits = Count(node.Int("bits", 4));
  shape.block_size = Count(node.Int("block_size", 32));
  shape.bias = call.has(5);
  if (call.has(3)) {
    shape.zero_points =
        call.dtype(3) == DType::kU8 ? kernels::ZeroPoints::kPacked : kernels::ZeroPoints::kFloat;
  }
  call.Out(0, kernels::MatMulNBitsReference(shape, call.values(0), call.raw(1), call.values(2),
                                            call.raw(3), call.values(3), call.values(5)));
}

void GatherBlockQuantized(Call& call) {
  const graph::Node& node = call.node();
  const graph::Shape& data = call.shape(0);
  kernels::GatherBlockQuantizedShape shape;
  shape.data_type = call.dtype(0);
  shape.bits = Count(node.Int("bits", 4));
  shape.block_size = Count(node.Int("block_size", 128));
  shape.rows = Count(data[0]);
  shape.slice_rows = Count(data, 1, data.size() - 1);
  shape.cols = Count(call.out_shape(0).back());
  shape.indices = Count(static_cast<int64_t>(call.values(1).size()));
  shape.zero_points = call.has(3);
  call.Out(0, kernels::GatherBlockQuantizedReference(shape, call.raw(0), call.values(1),
                                                     call.values(2), call.raw(3)));
}

// Maps the names that graph::CheckNode allows.
kernels::QMoEActivation ActivationOf(std::string_view name) {
  if (name == "gelu") return kernels::QMoEActivation::kGelu;
  if (name == "silu") return kernels::QMoEActivation::kSilu;
  if (name == "swiglu") return kernels::QMoEActivation::kSwiGlu;
  return name == "identity" ? kernels::QMoEActivation::kIdentity : kernels::QMoEActivation::kRelu;
}

// Returns the shape that all mixtures of experts share. `fc1` and `fc2` are the indices of the
// weight inputs. The last dimension of fc2 counts the inner elements, or their bytes if packed.
kernels::QMoEShape MixtureShape(const Call& call, size_t fc1, size_t fc2) {
  const graph::Node& node = call.node();
  const graph::Shape& x = call.shape(0);
  kernels::QMoEShape shape;
  shape.hidden = Count(x.back());
  shape.tokens = Count(x, 0, x.size() - 1);
  shape.experts = Count(call.shape(fc1)[0]);
  shape.top_k = Count(node.Int("k", 1));
  shape.intermediate = Count(call.shape(fc2)[2]);
  shape.activation = ActivationOf(node.String("activation_type", "relu"));
  shape.fusion = static_cast<kernels::SwiGluFusion>(node.Int("swiglu_fusion", 1));
  shape.alpha = node.Float("activation_alpha", 1.0f);
  shape.beta = node.Float("activation_beta", 0.0f);
  shape.limit = node.Float("swiglu_limit", std::numeric_limits<float>::infinity());
  shape.normalize = node.Int("normalize_routing_weights", 0) != 0;
  return shape;
}

// Returns a quantized mixture's shape. The last dimension of `fc2` is in bytes.
kernels::QMoEShape QuantizedMixtureShape(const Call& call, size_t fc1, size_t fc2) {
  kernels::QMoEShape shape = MixtureShape(call, fc1, fc2);
  shape.bits = Count(call.node().Int("expert_weight_bits", 4));
  shape.intermediate *= 8 / shape.bits;
  shape.block_size = Count(std::max<int64_t>(0, call.node().Int("block_size", 0)));
  return shape;
}

void QMoE(Call& call) {
  const kernels::QMoEWeight fc1 = {call.raw(2), call.values(3), call.raw(11), call.values(4)};
  const kernels::QMoEWeight fc2 = {call.raw(5), call.values(6), call.raw(12), call.values(7)};
  call.Out(0, kernels::QMoEReference(QuantizedMixtureShape(call, 2, 5), call.values(0),
                                     call.values(1), fc1, fc2));
}

// Computes NormQMoE, which graph/fused.h defines.
void NormQMoE(Call& call) {
  const kernels::QMoEShape shape = QuantizedMixtureShape(call, graph::kMoeFc1, graph::kMoeFc2);
  const std::vector<double> h =
      kernels::RmsNormReference(shape.tokens, shape.hidden, call.node().Float("epsilon", 1e-5f),
                                call.values(graph::kMoeInput), call.values(graph::kMoeNormScale),
                                {}, {})
          .output;
  kernels::MatMulNBitsShape router;
  router.m = shape.tokens;
  router.n = shape.experts;
  router.k = shape.hidden;
  router.bits = Count(call.node().Int("router_bits", 4));
  router.block_size = Count(call.node().Int("router_block_size", 32));
  router.bias = call.has(graph::kMoeRouterBias);
  if (call.has(graph::kMoeRouterZeroPoints)) router.zero_points = kernels::ZeroPoints::kPacked;
  const std::vector<double> logits = kernels::MatMulNBitsReference(
      router, h, call.raw(graph::kMoeRouter), call.values(graph::kMoeRouterScales),
      call.raw(graph::kMoeRouterZeroPoints), {}, call.values(graph::kMoeRouterBias));
  const kernels::QMoEWeight fc1 = {call.raw(graph::kMoeFc1), call.values(graph::kMoeFc1Scales),
                                   call.raw(graph::kMoeFc1ZeroPoints),
                                   call.values(graph::kMoeFc1Bias)};
  const kernels::QMoEWeight fc2 = {call.raw(graph::kMoeFc2), call.values(graph::kMoeFc2Scales),
                                   call.raw(graph::kMoeFc2ZeroPoints),
                                   call.values(graph::kMoeFc2Bias)};
  call.Out(0, kernels::QMoEReference(shape, h, logits, fc1, fc2));
}

void MoE(Call& call) {
  const kernels::QMoEWeight fc1 = {.bias = call.values(3), .plain = call.values(2)};
  const kernels::QMoEWeight fc2 = {.bias = call.values(5), .plain = call.values(4)};
  call.Out(0, kernels::QMoEReference(MixtureShape(call, 2, 4), call.values(0), call.values(1), fc1,
                                     fc2));
}

}  // namespace

Operator FindProduct(std::string_view domain, std::string_view op) {
  if (domain.empty()) return op == "MatMul" ? MatMul : nullptr;
  if (op == "MatMulNBits") return MatMulNBits;
  if (op == "GatherBlockQuantized") return GatherBlockQuantized;
  if (op == "MoE") return MoE;
  if (op == "NormQMoE") return NormQMoE;
  return op == "QMoE" ? QMoE : nullptr;
}

}  // namespace sinter::interpret
