// Cases of MatMulNBits with everything that may surround it, and with every division of the work.

#include "kernels/matmul_nbits_decode/matmul_nbits_decode.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/matmul_nbits/matmul_nbits_testing.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

UnaryOp ActivationOp(Glu glu) {
  if (glu == Glu::kSilu) return UnaryOp::kQuickGelu;
  return glu == Glu::kGelu ? UnaryOp::kGelu : UnaryOp::kGeluTanh;
}

// The tolerance is that of the plain product (matmul_nbits_test.cc). After the norm, h is up to 4
// times as large; an activation and a gate of size up to 4 multiply the error.
double AbsTolerance(const MatMulNBitsShape& shape, DType device) {
  const double integers = device == DType::kF16 ? std::ldexp(std::sqrt(shape.k), -13) : 0.0;
  const double f32 = 16.0 * Epsilon(DType::kF32) * (shape.k + 16.0);
  return (integers + f32) * (shape.glu == Glu::kNone ? 1.0 : 8.0);
}

std::vector<Operand> MakeOperands(const Caps& caps, const MatMulNBitsShape& shape) {
  const auto device = [&](DType dtype) { return DeviceDType(caps, dtype); };
  const DType act = device(shape.dtype);
  const MatMulNBitsNorm& norm = shape.norm;
  const size_t rows_k = size_t{shape.m} * shape.k, rows_n = size_t{shape.m} * shape.n;
  const size_t b_rows = shape.b_rows(), blocks = b_rows * shape.blocks();
  const DType input_dtype = norm.present ? norm.input_dtype : shape.dtype;

  const std::vector<double> a = RandomValues(input_dtype, rows_k, 1);
  const std::vector<std::byte> b = RandomBytes(b_rows * shape.b_row_bytes(), 2);
  const std::vector<double> scales =
      RandomValues(shape.dtype, blocks, 3, (shape.k > 1000 ? 0.25 : 1.0) / (1u << shape.bits));
  std::vector<std::byte> zero_points;
  if (shape.zero_points == ZeroPoints::kPacked)
    zero_points = RandomBytes(b_rows * shape.packed_zero_points_row_bytes(), 4);
  std::vector<double> bias, residual, norm_scale, skip, skip_scale;
  if (shape.bias) bias = RandomValues(shape.dtype, b_rows, 5);
  if (shape.residual) residual = RandomValues(shape.dtype, rows_n, 6);

  std::vector<double> sum = a, rows = a;
  if (norm.present) {
    norm_scale = RandomValues(norm.scale_dtype, shape.k, 7);
    if (norm.skip != Skip::kNone) skip = RandomValues(norm.skip_dtype, rows_k, 8);
    std::vector<double> added = skip;
    if (norm.skip == Skip::kNormalized) {
      skip_scale = RandomValues(norm.skip_scale_dtype, shape.k, 9);
      added =
          RmsNormReference(shape.m, shape.k, norm.skip_epsilon, skip, skip_scale, {}, {}).output;
    }
    RmsNormResult result =
        RmsNormReference(shape.m, shape.k, norm.epsilon, a, norm_scale, added, {});
    sum = std::move(result.sum);
    rows = std::move(result.output);
  }
  MatMulNBitsShape product = shape;
  product.n = shape.b_rows();
  product.glu = Glu::kNone;
  const std::vector<double> all =
      MatMulNBitsReference(product, rows, b, scales, zero_points, {}, bias);
  std::vector<double> y(rows_n);
  for (size_t m = 0; m < shape.m; ++m) {
    for (size_t n = 0; n < shape.n; ++n) {
      double& value = y[m * shape.n + n];
      value = all[m * product.n + n];
      if (shape.glu != Glu::kNone) {
        value = UnaryReferenceValue(ActivationOp(shape.glu), DType::kF32, value, 1.0) *
                all[m * product.n + shape.n + n];
      }
      if (shape.residual) value += residual[m * shape.n + n];
    }
  }
  const auto optional = [&](bool present, DType dtype, std::vector<double> values) {
    return present ? Operand::Input(device(dtype), std::move(values)) : Operand::Absent();
  };
  const DType sum_dtype = device(norm.input_dtype);
  return {Operand::Input(device(input_dtype), a),
          Operand::Packed(nbits_testing::CodesInOrder(shape, b)),
          Operand::Input(act, nbits_testing::InOrder(shape, scales)),
          zero_points.empty() ? Operand::Absent()
                              : Operand::Packed(nbits_testing::InOrder(shape, zero_points)),
          optional(shape.bias, shape.dtype, bias),
          Operand::Output(act, y, AbsTolerance(shape, act), 4 * Epsilon(act)),
          optional(shape.residual, shape.dtype, residual),
          optional(norm.present, norm.scale_dtype, norm_scale),
          optional(!skip.empty(), norm.skip_dtype, skip),
          optional(!skip_scale.empty(), norm.skip_scale_dtype, skip_scale),
          norm.keeps_sum
              ? Operand::Output(sum_dtype, sum, 8 * Epsilon(DType::kF32), 2 * Epsilon(sum_dtype))
              : Operand::Absent()};
}

std::string Name(const MatMulNBitsShape& shape) {
  constexpr std::string_view kGlu[] = {"", ".silu", ".gelu", ".gelu_tanh"};
  constexpr std::string_view kSkip[] = {".norm", ".skip", ".skip_norm"};
  return fmt::format(
      "m{}.n{}.k{}.b{}.blk{}{}.{}{}{}{}{}{}{}", shape.m, shape.n, shape.k, shape.bits,
      shape.block_size, shape.interleave > 1 ? ".by8" : "", DTypeName(shape.dtype),
      shape.norm.present ? kSkip[static_cast<int>(shape.norm.skip)] : "",
      shape.norm.present && shape.norm.input_dtype != shape.dtype ? ".f32_input" : "",
      ZeroPointsTag(shape.zero_points), kGlu[static_cast<int>(shape.glu)],
      shape.bias ? ".bias" : "", shape.residual ? ".residual" : "");
}

MatMulNBitsNorm Norm(DType dtype, Skip skip = Skip::kNone, bool keeps_sum = false) {
  return {.present = true,
          .skip = skip,
          .keeps_sum = keeps_sum,
          .input_dtype = dtype,
          .skip_dtype = dtype,
          .scale_dtype = dtype,
          .skip_scale_dtype = dtype};
}

std::vector<KernelCase> MakeCases(const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](const MatMulNBitsShape& shape, std::vector<std::string> variants = {""},
                       bool without_f16 = false) -> KernelCase& {
    cases.push_back(
        {.name = Name(shape) + (without_f16 ? ".widened" : ""),
         .operands = [=] { return MakeOperands(without_f16 ? WithoutF16(caps) : caps, shape); },
         .variants = std::move(variants),
         .plan =
             [=](const Caps& actual, std::string_view variant) {
               return PlanMatMulNBits(without_f16 ? WithoutF16(actual) : actual, shape, variant);
             }});
    return cases.back();
  };
  const DType f16 = DType::kF16, f32 = DType::kF32;

  // Every division of the work, with rows that are no multiples of anything, plain and with
  // everything around it.
  const MatMulNBitsShape cut = {.m = 1, .n = 4110, .k = 416, .dtype = f16};
  add(cut, MatMulNBitsVariants(caps, cut));
  const MatMulNBitsShape gated = {
      .m = 1, .n = 150, .k = 416, .dtype = f16, .glu = Glu::kSilu, .norm = Norm(f16)};
  add(gated, MatMulNBitsVariants(caps, gated));

  MatMulNBitsShape together = cut;
  together.n = 4104;
  together.interleave = kInterleavedRows;
  add(together, MatMulNBitsVariants(caps, together));
  MatMulNBitsShape gated_together = gated;
  gated_together.n = 152;
  gated_together.interleave = kInterleavedRows;
  add(gated_together, MatMulNBitsVariants(caps, gated_together));

  // Rows of A, and parts around the product.
  for (const DType dtype : {f16, f32}) {
    for (const uint32_t m : {1u, 2u, 3u, 4u, 8u, 11u}) {
      add({.m = m, .n = 77, .k = 288, .dtype = dtype, .norm = Norm(dtype)});
      add({.m = m, .n = 77, .k = 288, .dtype = dtype, .residual = true});
      add({.m = m,
           .n = 77,
           .k = 288,
           .dtype = dtype,
           .bias = true,
           .glu = Glu::kSilu,
           .norm = Norm(dtype, Skip::kPlain, true)});
    }
  }
  for (const uint32_t m : {1u, 3u, 8u}) {
    for (const uint32_t bits : {2u, 4u, 8u}) {
      add({.m = m,
           .n = 72,
           .k = 304,
           .bits = bits,
           .dtype = f16,
           .zero_points = ZeroPoints::kPacked,
           .bias = true,
           .glu = Glu::kSilu,
           .norm = Norm(f16, Skip::kPlain, true),
           .interleave = kInterleavedRows});
    }
    add({.m = m,
         .n = 72,
         .k = 288,
         .dtype = f32,
         .residual = true,
         .interleave = kInterleavedRows});
  }
  for (const Glu glu : {Glu::kSilu, Glu::kGelu, Glu::kGeluTanh}) {
    for (const uint32_t bits : {2u, 4u, 8u}) {
      add({.m = 2,
           .n = 70,
           .k = 200,
           .bits = bits,
           .dtype = f16,
           .zero_points = ZeroPoints::kPacked,
           .glu = glu});
    }
  }
  for (const Skip skip : {Skip::kNone, Skip::kPlain, Skip::kNormalized}) {
    for (const bool sum : {false, true}) {
      add({.m = 1, .n = 40, .k = 640, .dtype = f16, .norm = Norm(f16, skip, sum)});
      // Gemma's types: the residual stream in f32, its addend and the product in f16.
      MatMulNBitsNorm mixed = Norm(f32, skip, sum);
      mixed.skip_dtype = f16;
      add({.m = 2, .n = 40, .k = 640, .dtype = f16, .norm = mixed});
      add({.m = 2, .n = 40, .k = 640, .dtype = f16, .norm = mixed}, {""}, true);
    }
  }
  // Bits, blocks and zero points after a norm; 1 to 4 octets of a row per thread, and a single one.
  for (const uint32_t bits : {2u, 4u, 8u}) {
    for (const uint32_t block_size : {16u, 32u, 128u}) {
      add({.m = 1,
           .n = 33,
           .k = 600,
           .bits = bits,
           .block_size = block_size,
           .dtype = f16,
           .zero_points = ZeroPoints::kPacked,
           .bias = true,
           .norm = Norm(f16)});
    }
  }
  for (const uint32_t k : {8u, 1024u, 1032u, 2048u, 3000u, 4096u}) {
    add({.m = 1, .n = 20, .k = k, .dtype = f16, .norm = Norm(f16, Skip::kPlain, true)});
  }
  // Rows of A that do not fit workgroup memory at once.
  add({.m = 8, .n = 20, .k = 9000, .dtype = f16, .residual = true});
  add({.m = 1, .n = 6, .k = 40'000, .dtype = f32, .residual = true});

  // A layer and a fifth of the head of Qwen3-1.7B, and the MLPs of Llama-3.2-1B and Phi-3-mini;
  // int4 in blocks of 32.
  const auto bench = [&](MatMulNBitsShape shape) {
    shape.dtype = f16;
    // Heads are shared with embeddings, so their rows are not interleaved.
    if (shape.n < 32768) shape.interleave = kInterleavedRows;
    KernelCase& model = add(shape, {""});
    model.bytes =
        shape.b_rows() * (shape.k / 2.0 + shape.k / 32.0 * 2) + 2.0 * shape.n + 2.0 * shape.k;
    model.flops = 2.0 * shape.b_rows() * shape.k;
  };
  bench({.n = 4096, .k = 2048, .norm = Norm(f16)});
  bench({.n = 2048, .k = 2048, .residual = true});
  bench({.n = 6144, .k = 2048, .glu = Glu::kSilu, .norm = Norm(f16)});
  bench({.n = 2048, .k = 6144, .residual = true});
  bench({.n = 32768, .k = 2048, .norm = Norm(f16)});
  bench({.n = 8192, .k = 2048, .glu = Glu::kSilu, .norm = Norm(f16)});
  bench({.n = 8192, .k = 3072, .glu = Glu::kSilu, .norm = Norm(f16)});
  bench({.n = 3072, .k = 8192, .residual = true});
  return cases;
}

const bool kRegistered = RegisterKernelCases("matmul_nbits_decode", MakeCases);

TEST(MatMulNBitsDecode, RefusesWhatDoesNotFitOneDispatch) {
  Caps caps;
  caps.f16 = caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.limits.max_storage_buffers_per_stage = 10;
  const MatMulNBitsShape shape = {
      .n = 64, .k = 2048, .dtype = DType::kF16, .norm = Norm(DType::kF16, Skip::kPlain, true)};
  EXPECT_TRUE(CanFuseMatMulNBits(caps, shape));
  MatMulNBitsShape odd = shape;
  odd.k = 2044;
  EXPECT_FALSE(CanFuseMatMulNBits(caps, odd)) << "octets";
  MatMulNBitsShape wide = shape;
  wide.k = 16384;
  EXPECT_FALSE(CanFuseMatMulNBits(caps, wide)) << "rows that pass workgroup memory";
  EXPECT_THROW(PlanMatMulNBits(caps, wide), Error);
  caps.limits.max_storage_buffers_per_stage = 6;
  EXPECT_FALSE(CanFuseMatMulNBits(caps, shape)) << "bindings";
}

TEST(MatMulNBitsDecode, TriesEveryCutOnce) {
  Caps caps;
  caps.f16 = caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  const MatMulNBitsShape shape = {.n = 4096, .k = 2048, .dtype = DType::kF16};
  std::vector<std::string> variants = MatMulNBitsVariants(caps, shape);
  const size_t count = variants.size();
  EXPECT_GT(count, 6u);
  std::sort(variants.begin(), variants.end());
  EXPECT_EQ(std::unique(variants.begin(), variants.end()) - variants.begin(),
            static_cast<std::ptrdiff_t>(count));
}

}  // namespace
}  // namespace sinter::kernels
