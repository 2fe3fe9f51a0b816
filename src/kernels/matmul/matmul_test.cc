// Cases of MatMul: sizes off every tile, few and many rows, batches that broadcast.

#include "kernels/matmul/matmul.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

size_t Product(const std::vector<uint32_t>& dims) {
  size_t product = 1;
  for (const uint32_t size : dims) product *= size;
  return product;
}

std::vector<Operand> MakeOperands(const MatMulShape& shape, DType device) {
  const size_t a_count = Product(shape.a_batch) * shape.m * shape.k;
  const size_t b_count = Product(shape.b_batch) * shape.k * shape.n;
  std::vector<double> a = RandomValues(shape.dtype, a_count, 1);
  std::vector<double> b = RandomValues(shape.dtype, b_count, 2);
  std::vector<double> y = MatMulReference(shape, a, b);
  // The f32 sum of K products of unit size rounds at each step by at most an epsilon of the partial
  // sum, which for random signs grows as sqrt(k): K / sqrt(2) epsilons, taken 4 times for the
  // largest of many outputs. The result is then rounded once to the output's type.
  const double abs_tolerance = 4.0 * Epsilon(DType::kF32) * (shape.k + 4.0);
  return {Operand::Input(device, std::move(a)), Operand::Input(device, std::move(b)),
          Operand::Output(device, std::move(y), abs_tolerance, 2 * Epsilon(device))};
}

std::vector<KernelCase> MakeCases(const gpu::Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](const MatMulShape& shape, bool without_f16 = false) -> KernelCase& {
    const DType device = DeviceDType(without_f16 ? WithoutF16(caps) : caps, shape.dtype);
    std::string name =
        fmt::format("m{}.n{}.k{}.{}", shape.m, shape.n, shape.k, DTypeName(shape.dtype));
    if (!shape.a_batch.empty() || !shape.b_batch.empty()) {
      name += fmt::format(".a{}.b{}", fmt::join(shape.a_batch, "x"), fmt::join(shape.b_batch, "x"));
    }
    cases.push_back({.name = name + (without_f16 ? ".widened" : ""),
                     .operands = [=] { return MakeOperands(shape, device); },
                     .variants = MatMulVariants(without_f16 ? WithoutF16(caps) : caps, shape.dtype),
                     .plan =
                         [=](const gpu::Caps& actual, std::string_view variant) {
                           return PlanMatMul(without_f16 ? WithoutF16(actual) : actual, shape,
                                             variant);
                         }});
    return cases.back();
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const uint32_t m : {1u, 2u, 3u, 8u, 9u, 17u, 64u, 130u}) {
      add({.m = m, .n = 77, .k = 143, .dtype = dtype});
    }
    add({.m = 1, .n = 1, .k = 1, .dtype = dtype});
    add({.m = 1, .n = 5005, .k = 6, .dtype = dtype});
    add({.m = 5, .n = 1, .k = 5005, .dtype = dtype});
    add({.m = 65, .n = 65, .k = 33, .dtype = dtype});
    add({.m = 7, .n = 35, .k = 20, .dtype = dtype, .a_batch = {3}, .b_batch = {3}});
    add({.m = 1, .n = 35, .k = 20, .dtype = dtype, .a_batch = {2, 3}, .b_batch = {}});
  }
  // Rows of whole vectors, for the matrix units; whole tiles, and a batch of each.
  add({.m = 128, .n = 128, .k = 64, .dtype = DType::kF16});
  add({.m = 33, .n = 72, .k = 200, .dtype = DType::kF16, .a_batch = {2}, .b_batch = {2}});
  add({.m = 20, .n = 24, .k = 35, .dtype = DType::kF16, .a_batch = {3}, .b_batch = {}});
  // Broadcast on either side, in the middle, and four strides that do not merge.
  add({.m = 3, .n = 5, .k = 7, .a_batch = {}, .b_batch = {4, 2}});
  add({.m = 3, .n = 5, .k = 7, .a_batch = {2, 1, 3}, .b_batch = {2, 5, 3}});
  add({.m = 3, .n = 5, .k = 7, .a_batch = {2, 1, 3, 1}, .b_batch = {1, 4, 1, 5}});
  add({.m = 70, .n = 66, .k = 9, .a_batch = {2, 3}, .b_batch = {1, 3}});
  add({.m = 20, .n = 40, .k = 50, .dtype = DType::kF16, .a_batch = {2}}, true);

  // A 1.7B model's attention output, as a float product.
  for (const uint32_t m : {1u, 128u}) {
    KernelCase& model = add({.m = m, .n = 2048, .k = 2048, .dtype = DType::kF16});
    model.variants = {""};
    model.bytes = 2.0 * (2048.0 * 2048 + 2.0 * m * 2048);
    model.flops = 2.0 * m * 2048 * 2048;
  }
  return cases;
}

const bool kRegistered = RegisterKernelCases("matmul", MakeCases);

TEST(MatMul, MergesBatchDimensions) {
  const auto strides = [](std::vector<uint32_t> a, std::vector<uint32_t> b) {
    const KernelPlan plan = PlanMatMul({}, {.a_batch = std::move(a), .b_batch = std::move(b)});
    MatMulParams params;
    std::memcpy(&params, plan.params.data(), sizeof(params));
    return std::make_tuple(params.batch, params.a_stride, params.b_stride);
  };
  using Dims = std::array<uint32_t, 4>;
  EXPECT_EQ(strides({2, 3, 4}, {2, 3, 4}),
            std::make_tuple(Dims{1, 1, 1, 24}, Dims{0, 0, 0, 1}, Dims{0, 0, 0, 1}));
  EXPECT_EQ(strides({2, 3, 4}, {}),
            std::make_tuple(Dims{1, 1, 1, 24}, Dims{0, 0, 0, 1}, Dims{0, 0, 0, 0}));
  EXPECT_EQ(strides({2, 1, 4}, {2, 3, 4}),
            std::make_tuple(Dims{1, 2, 3, 4}, Dims{0, 4, 0, 1}, Dims{0, 12, 4, 1}));
}

TEST(MatMul, ChoosesMatricesThatAreNotEmulated) {
  gpu::Caps caps;
  caps.f16 = caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.subgroup_matrix = {{DType::kF16, DType::kF32, 16, 16, 16}};
  caps.limits.max_workgroup_storage_bytes = 48 << 10;
  const auto variant = [&](uint32_t m, uint32_t n, DType dtype) {
    return PlanMatMul(caps, {.m = m, .n = n, .k = 64, .dtype = dtype}).variant;
  };
  EXPECT_EQ(variant(512, 8192, DType::kF16), "matmul.f16.matrix.128x128x32.4x4.sg32.16x16x16");
  EXPECT_EQ(variant(512, 2048, DType::kF16), "matmul.f16.matrix.128x64x32.4x2.sg32.16x16x16");
  EXPECT_EQ(variant(9, 2049, DType::kF16), "matmul.f16.odd_n.matrix.16x64x64.1x1.sg32.16x16x16");
  EXPECT_EQ(variant(8, 2048, DType::kF16), "matmul.f16.vec.m8");
  EXPECT_EQ(variant(512, 2048, DType::kF32), "matmul.f32.tile");
  caps.software = true;
  EXPECT_EQ(variant(512, 2048, DType::kF16), "matmul.f16.tile");
}

TEST(MatMul, RefusesWhatItDoesNotHave) {
  EXPECT_THROW(PlanMatMul({}, {.a_batch = {2}, .b_batch = {3}}), Error);
  EXPECT_THROW(PlanMatMul({}, {.a_batch = {2, 1, 2, 1, 2, 1}, .b_batch = {1, 2, 1, 2, 1, 2}}),
               Error);
  EXPECT_THROW(PlanMatMul({}, {}, "wide"), Error);
  EXPECT_THROW(PlanMatMul({}, {.dtype = DType::kF16}, "matrix"), Error);
}

}  // namespace
}  // namespace sinter::kernels
