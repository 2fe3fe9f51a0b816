// Sinter's own operators, computed by composing the references of their parts (graph/fused.h).

#include "graph/fused.h"
#include "interpret/ops.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/matmul_nbits/matmul_nbits.h"
#include "kernels/rms_norm/rms_norm.h"

namespace sinter::interpret {
namespace {

using namespace graph;  // NOLINT: the operators' definition

std::vector<double> Sum(std::span<const double> a, std::span<const double> b) {
  std::vector<double> sum(a.begin(), a.end());
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += b[i];
  return sum;
}

std::vector<double> Norm(const FusedProduct& product, float epsilon, std::span<const double> x,
                         std::span<const double> scale) {
  const auto rows = static_cast<int64_t>(x.size()) / product.k;
  return kernels::RmsNormReference(Count(rows), Count(product.k), epsilon, x, scale, {}, {}).output;
}

std::vector<double> PartProduct(const Call& call, const FusedProduct& product,
                                const FusedPart& part, std::span<const double> a) {
  kernels::MatMulNBitsShape shape;
  shape.k = Count(product.k);
  shape.n = Count(part.n);
  shape.m = Count(static_cast<int64_t>(a.size()) / product.k);
  shape.bits = Count(product.bits);
  shape.block_size = Count(product.block_size);
  shape.bias = call.has(part.bias);
  if (call.has(part.zero_points)) {
    shape.zero_points = call.dtype(part.zero_points) == DType::kU8 ? kernels::ZeroPoints::kPacked
                                                                   : kernels::ZeroPoints::kFloat;
  }
  return kernels::MatMulNBitsReference(shape, a, call.raw(part.b), call.values(part.scales),
                                       call.raw(part.zero_points), call.values(part.zero_points),
                                       call.values(part.bias));
}

kernels::UnaryOp ActivationOf(const FusedProduct& product) {
  if (product.activation == "silu") return kernels::UnaryOp::kSilu;
  return product.activation == "gelu" ? kernels::UnaryOp::kGelu : kernels::UnaryOp::kGeluTanh;
}

void Fused(Call& call) {
  const FusedProduct product = ReadFused(call.node());
  const std::span<const double> input = call.values(kFusedInput);
  std::vector<double> x(input.begin(), input.end());
  std::vector<double> h = x;
  if (product.has_prologue) {
    if (call.has(kFusedSkipScale)) {
      x = Sum(x, Norm(product, product.skip_epsilon, call.values(kFusedSkip),
                      call.values(kFusedSkipScale)));
    } else if (call.has(kFusedSkip)) {
      x = Sum(x, call.values(kFusedSkip));
    }
    h = call.has(kFusedNormScale) ? Norm(product, product.epsilon, x, call.values(kFusedNormScale))
                                  : x;
    call.Out(1, x);
  }
  std::vector<std::vector<double>> parts;
  for (const FusedPart& part : product.parts) parts.push_back(PartProduct(call, product, part, h));
  if (product.has_residual) return call.Out(0, Sum(parts[0], call.values(kFusedResidual)));
  if (!product.activation.empty()) {
    std::vector<double> y =
        kernels::UnaryReference(ActivationOf(product), call.out_dtype(0), parts[0]);
    for (size_t i = 0; i < y.size(); ++i) y[i] *= parts[1][i];
    return call.Out(0, std::move(y));
  }
  std::vector<double> y;
  for (size_t row = 0; row < h.size() / static_cast<size_t>(product.k); ++row) {
    for (size_t i = 0; i < parts.size(); ++i) {
      const auto n = static_cast<std::ptrdiff_t>(product.parts[i].n);
      const auto begin = parts[i].begin() + static_cast<std::ptrdiff_t>(row) * n;
      y.insert(y.end(), begin, begin + n);
    }
  }
  call.Out(0, std::move(y));
}

}  // namespace

Operator FindFused(std::string_view domain, std::string_view op) {
  if (domain != kFusedDomain || op == "NormQMoE") return nullptr;
  return Fused;
}

}  // namespace sinter::interpret
