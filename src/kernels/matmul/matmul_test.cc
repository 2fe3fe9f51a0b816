// Cases of MatMul: sizes that are no multiples of a tile, few and many rows, batches that
// broadcast.

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
  // sum, which for random signs grows as sqrt(k): K / sqrt(2) epsilons, times 4 for the largest of
  // many outputs. The result is then rounded once to the output's type.
  const double abs_tolerance = 4.0 * Epsilon(DType::kF32) * (shape.k + 4.0);
  return {Operand::Input(device, std::move(a)), Operand::Input(device, std::move(b)),
          Operand::Output(device, std::move(y), abs_tolerance, 2 * Epsilon(device))};
}

// Returns the operands of one part: B has only its rows, and the sums so far are those of the rows
// before it.
std::vector<Operand> MakePart(const MatMulShape& shape, DType device) {
  const std::vector<double> a = RandomValues(shape.dtype, size_t{shape.m} * shape.k, 1);
  const std::vector<double> b = RandomValues(shape.dtype, size_t{shape.k} * shape.n, 2);
  // Multiplies rows [begin, end) of B with the part's rows of A.
  const auto product = [&](uint32_t begin, uint32_t end) {
    std::vector<double> a_part, b_part(b.begin() + begin * shape.n, b.begin() + end * shape.n);
    for (uint32_t m = shape.m_begin; m < shape.m_begin + shape.rows(); ++m)
      a_part.insert(a_part.end(), a.begin() + m * shape.k + begin, a.begin() + m * shape.k + end);
    return MatMulReference({.m = shape.rows(), .n = shape.n, .k = end - begin}, a_part, b_part);
  };
  const uint32_t end = shape.k_begin + shape.depth();
  std::vector<double> want = product(0, end);
  std::vector<double> before;
  if (shape.k_begin > 0) before = RoundTo(DType::kF32, product(0, shape.k_begin));
  const double abs_tolerance = 4.0 * Epsilon(DType::kF32) * (shape.k + 4.0);
  std::vector<Operand> operands = {
      Operand::Input(device, a),
      Operand::Input(device, {b.begin() + shape.k_begin * shape.n, b.begin() + end * shape.n}),
      Operand::Absent(), Operand::Input(DType::kF32, before)};
  if (shape.finishes()) {
    // The other rows of Y keep their values.
    std::vector<double> y(size_t{shape.m} * shape.n, 7);
    operands[2] = Operand::Input(device, y);
    std::copy(want.begin(), want.end(), y.begin() + shape.m_begin * shape.n);
    operands[2].expected = y;
    operands[2].abs_tolerance = abs_tolerance;
    operands[2].rel_tolerance = 2 * Epsilon(device);
  } else {
    operands[3].expected = want;
    operands[3].abs_tolerance = abs_tolerance;
  }
  return operands;
}

std::vector<KernelCase> MakeCases(const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](const MatMulShape& shape, bool without_f16 = false) -> KernelCase& {
    const DType device = DeviceDType(without_f16 ? WithoutF16(caps) : caps, shape.dtype);
    std::string name =
        fmt::format("m{}.n{}.k{}.{}", shape.m, shape.n, shape.k, DTypeName(shape.dtype));
    if (!shape.a_batch.empty() || !shape.b_batch.empty()) {
      name += fmt::format(".a{}.b{}", fmt::join(shape.a_batch, "x"), fmt::join(shape.b_batch, "x"));
    }
    if (shape.partial()) {
      name += fmt::format(".rows{}to{}.part{}to{}", shape.m_begin, shape.m_begin + shape.rows(),
                          shape.k_begin, shape.k_begin + shape.depth());
    }
    cases.push_back(
        {.name = name + (without_f16 ? ".widened" : ""),
         .operands =
             [=] {
               return shape.partial() ? MakePart(shape, device) : MakeOperands(shape, device);
             },
         .variants = MatMulVariants(without_f16 ? WithoutF16(caps) : caps, shape.dtype),
         .plan =
             [=](const Caps& actual, std::string_view variant) {
               return PlanMatMul(without_f16 ? WithoutF16(actual) : actual, shape, variant);
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
  // Broadcasting on either side, in the middle, and with four strides that do not merge.
  add({.m = 3, .n = 5, .k = 7, .a_batch = {}, .b_batch = {4, 2}});
  add({.m = 3, .n = 5, .k = 7, .a_batch = {2, 1, 3}, .b_batch = {2, 5, 3}});
  add({.m = 3, .n = 5, .k = 7, .a_batch = {2, 1, 3, 1}, .b_batch = {1, 4, 1, 5}});
  add({.m = 70, .n = 66, .k = 9, .a_batch = {2, 3}, .b_batch = {1, 3}});
  add({.m = 20, .n = 40, .k = 50, .dtype = DType::kF16, .a_batch = {2}}, true);

  // The first part of K, a middle one and the last, of some of the rows; with sizes that are no
  // whole vectors.
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    for (const auto& [begin, count] : {std::pair(0u, 16u), {16u, 24u}, {40u, 32u}}) {
      add({.m = 11,
           .n = 40,
           .k = 72,
           .dtype = dtype,
           .m_begin = 2,
           .m_count = 9,
           .k_begin = begin,
           .k_count = count});
    }
  }
  add({.m = 3, .n = 35, .k = 21, .dtype = DType::kF16, .k_begin = 10, .k_count = 11});

  // The attention output of a 1.7B model, as a float product.
  for (const uint32_t m : {1u, 128u, 512u}) {
    KernelCase& model = add({.m = m, .n = 2048, .k = 2048, .dtype = DType::kF16});
    if (m < 512) model.variants = {""};
    model.benchmark_only = m == 512;
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
  Caps caps;
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

TEST(MatMul, SplitsWhatDoesNotFitABinding) {
  Caps caps;
  caps.f16 = true;
  caps.limits.max_storage_binding_bytes = 4096;
  caps.limits.min_storage_offset_alignment = 256;
  using Part = std::array<uint32_t, 4>;
  const auto parts = [&](const MatMulShape& shape) {
    std::vector<Part> result;
    for (const MatMulShape& part : SplitMatMul(caps, shape))
      result.push_back({part.m_begin, part.rows(), part.k_begin, part.depth()});
    return result;
  };
  // 64 rows of 64 bytes fit. Of rows of 80 bytes 48 fit: 8 rows are 640 bytes, and ranges begin
  // aligned every 16.
  EXPECT_EQ(parts({.m = 3, .n = 32, .k = 64, .dtype = DType::kF16}),
            (std::vector<Part>{{0, 3, 0, 64}}));
  EXPECT_EQ(parts({.m = 3, .n = 40, .k = 72, .dtype = DType::kF16}),
            (std::vector<Part>{{0, 3, 0, 48}, {0, 3, 48, 24}}));
  // Without whole vectors of A any row may be the first: rows of 128 bytes are aligned every two.
  EXPECT_EQ(parts({.m = 1, .n = 64, .k = 35, .dtype = DType::kF16}),
            (std::vector<Part>{{0, 1, 0, 32}, {0, 1, 32, 3}}));
  // 25 rows of 40 sums in f32 fit.
  EXPECT_EQ(parts({.m = 30, .n = 40, .k = 72, .dtype = DType::kF16}),
            (std::vector<Part>{{0, 25, 0, 48}, {0, 25, 48, 24}, {25, 5, 0, 48}, {25, 5, 48, 24}}));
  EXPECT_THROW(SplitMatMul(caps, {.n = 300, .k = 72, .dtype = DType::kF16}), Error);
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
