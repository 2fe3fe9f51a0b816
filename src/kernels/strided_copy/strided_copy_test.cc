#include "kernels/strided_copy/strided_copy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "base/error.h"
#include "kernels/common/indexing_testing.h"
#include "kernels/testing/kernel_case.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

using Dims = std::vector<int64_t>;

// Returns numbers that every type holds exactly.
std::vector<double> Numbers(DType dtype, int64_t elems) {
  std::vector<double> values(elems);
  for (int64_t i = 0; i < elems; ++i) values[i] = dtype == DType::kBool ? i % 2 : i % 2048;
  return values;
}

// Returns the operands. y starts as -1s (1s for bool), so that wrong writes show.
std::vector<Operand> Operands(const Caps& caps, const StridedCopyShape& shape, int64_t x_elems,
                              int64_t y_elems) {
  const DType device = DeviceDType(caps, shape.dtype);
  const std::vector<double> x = Numbers(shape.dtype, x_elems);
  Operand y{.dtype = device,
            .values = std::vector<double>(y_elems, shape.dtype == DType::kBool ? 1 : -1)};
  y.expected = y.values;
  StridedCopyReference(shape, x, y.expected);
  return {Operand::Input(device, x), y};
}

void AddCase(std::string_view name, const StridedCopyShape& shape, int64_t x_elems, int64_t y_elems,
             std::vector<KernelCase>& cases) {
  for (const bool widened : {false, true}) {
    // Only f16 has another form there; one such case of each kind is enough.
    if (widened && shape.dtype != DType::kF16) continue;
    KernelCase c;
    c.name = fmt::format("{}.{}{}", name, DTypeName(shape.dtype), widened ? ".widened" : "");
    c.variants = StridedCopyVariants(shape);
    c.operands = [=] {
      Caps caps = TestDevice().caps();
      return Operands(widened ? WithoutF16(caps) : caps, shape, x_elems, y_elems);
    };
    c.plan = [=](const Caps& on, std::string_view variant) {
      return PlanStridedCopy(widened ? WithoutF16(on) : on, shape, variant);
    };
    const double item = shape.dtype == DType::kF16 && !widened ? 2 : 4;
    c.bytes = y_elems > 100000 ? 2 * item * static_cast<double>(NumElems(shape.sizes)) : 0;
    cases.push_back(std::move(c));
  }
}

const bool kRegistered = RegisterKernelCases("strided_copy", [](const Caps&) {
  std::vector<KernelCase> cases;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kI32, DType::kI64, DType::kBool}) {
    const Dims odd = {5, 7, 11, 13};
    AddCase("transpose_odd", TransposeCopy(dtype, odd, Dims{3, 1, 0, 2}), 5005, 5005, cases);
    AddCase("transpose_heads", TransposeCopy(dtype, Dims{1, 17, 4, 64}, Dims{0, 2, 1, 3}), 4352,
            4352, cases);
    AddCase("transpose_scalar", TransposeCopy(dtype, Dims{}, Dims{}), 1, 1, cases);
    AddCase("slice_backwards",
            SliceCopy(dtype, odd, Dims{4, 1, 10, 12}, Dims{-2, 2, -3, -1}, Dims{3, 3, 4, 13}), 5005,
            3 * 3 * 4 * 13, cases);
    AddCase("slice_one", SliceCopy(dtype, Dims{7}, Dims{3}, Dims{1}, Dims{1}), 7, 1, cases);
    AddCase("split", SplitCopy(dtype, Dims{3, 24, 5}, 1, 8, 12), 360, 180, cases);
    AddCase("split_last", SplitCopy(dtype, Dims{9, 192}, 1, 64, 64), 9 * 192, 9 * 64, cases);
    AddCase("split_misaligned", SplitCopy(dtype, Dims{9, 192}, 1, 65, 64), 9 * 192, 9 * 64, cases);
    AddCase("concat", ConcatCopy(dtype, Dims{3, 2, 5}, Dims{3, 9, 5}, 1, 4), 30, 135, cases);
    AddCase("concat_first", ConcatCopy(dtype, Dims{3, 5}, Dims{8, 5}, 0, 4), 15, 40, cases);
    AddCase("concat_last", ConcatCopy(dtype, Dims{9, 64}, Dims{9, 192}, 1, 128), 9 * 64, 9 * 192,
            cases);
    AddCase("expand", ExpandCopy(dtype, Dims{3, 1, 5}, Dims{2, 3, 7, 5}), 15, 210, cases);
    AddCase("expand_inner", ExpandCopy(dtype, Dims{3, 1}, Dims{3, 8}), 3, 24, cases);
    AddCase("expand_scalar", ExpandCopy(dtype, Dims{}, Dims{64}), 1, 64, cases);
    AddCase("whole", ExpandCopy(dtype, odd, odd), 5005, 5005, cases);
    AddCase("whole_aligned", ExpandCopy(dtype, Dims{4, 5, 7}, Dims{4, 5, 7}), 140, 140, cases);
  }
  AddCase("transpose_odd", TransposeCopy(DType::kF32, Dims{5, 7, 11, 13}, Dims{3, 1, 0, 2}), 5005,
          5005, cases);
  cases.back() = WithFoldedGrid(cases.back(), 6);
  // Queries of Qwen3-1.7B, 512 tokens: heads before tokens.
  AddCase("transpose_prefill", TransposeCopy(DType::kF16, Dims{1, 512, 16, 128}, Dims{0, 2, 1, 3}),
          1 << 20, 1 << 20, cases);
  AddCase("transpose_matrix", TransposeCopy(DType::kF16, Dims{1024, 1024}, Dims{1, 0}), 1 << 20,
          1 << 20, cases);
  return cases;
});

void ExpectCopies(const StridedCopyShape& shape, int64_t x_elems, int64_t y_elems) {
  gpu::Device& device = TestDevice();
  const std::vector<Operand> operands = Operands(device.caps(), shape, x_elems, y_elems);
  for (const std::string& variant : StridedCopyVariants(shape)) {
    const auto result = RunPlan(device, PlanStridedCopy(device.caps(), shape, variant), operands);
    EXPECT_EQ(CompareOperand(operands[1], result[1]), "")
        << fmt::format("[{}]", fmt::join(shape.sizes, ", "));
  }
}

TEST(StridedCopy, TakesAnyTransposeAndSlice) {
  std::mt19937 engine(17);
  const int64_t sizes[] = {1, 2, 3, 4, 8};
  for (int round = 0; round < 80; ++round) {
    Dims x_shape, permutation, starts, steps, y_shape;
    for (size_t rank = engine() % 7; rank > 0; --rank) {
      const int64_t size = sizes[engine() % 5];
      permutation.push_back(static_cast<int64_t>(permutation.size()));
      x_shape.push_back(size);
      const int64_t start = engine() % size,
                    step = engine() % 2 == 0 ? 1 : -1 - static_cast<int64_t>(engine() % 2);
      starts.push_back(start);
      steps.push_back(step);
      y_shape.push_back(step > 0 ? size - start : start / -step + 1);
    }
    std::shuffle(permutation.begin(), permutation.end(), engine);
    const DType dtype = engine() % 2 == 0 ? DType::kF16 : DType::kI32;
    const int64_t elems = NumElems(x_shape);
    ExpectCopies(TransposeCopy(dtype, x_shape, permutation), elems, elems);
    ExpectCopies(SliceCopy(dtype, x_shape, starts, steps, y_shape), elems, NumElems(y_shape));
  }
}

TEST(StridedCopy, PicksVectorsOnlyWhereTheyStayInside) {
  const auto first = [](const StridedCopyShape& shape) {
    return StridedCopyVariants(shape).front();
  };
  EXPECT_EQ(first(ConcatCopy(DType::kF16, Dims{9, 64}, Dims{9, 192}, 1, 128)), "vec4");
  EXPECT_EQ(first(ConcatCopy(DType::kF16, Dims{9, 64}, Dims{9, 192}, 1, 2)), "strided");
  EXPECT_EQ(first(ConcatCopy(DType::kF16, Dims{9, 64}, Dims{9, 191}, 1, 0)), "strided");
  EXPECT_EQ(first(ConcatCopy(DType::kF16, Dims{5}, Dims{9}, 0, 0)), "strided");
  EXPECT_EQ(first(SplitCopy(DType::kF16, Dims{9, 192}, 1, 2, 64)), "strided");
  // An element that is copied to all four may be anywhere.
  StridedCopyShape splat = ExpandCopy(DType::kF16, Dims{3, 1}, Dims{3, 8});
  splat.x_offset = 1;
  EXPECT_EQ(first(splat), "vec4");
  // A column of y is not written by vectors.
  EXPECT_EQ(first({DType::kF32, {8}, {1}, {3}}), "strided");
  EXPECT_EQ(first({DType::kF32, {8}, {1}, {0}}), "strided");
}

TEST(StridedCopy, FoldsGridsAndEmptyTensors) {
  const Dims large = {65535 * 256 + 1};
  const KernelPlan plan = PlanStridedCopy({}, ExpandCopy(DType::kF32, large, large));
  EXPECT_EQ(plan.workgroups, (std::array<uint32_t, 3>{32768, 2, 1}));
  StridedCopyParams params;
  std::memcpy(&params, PlanStridedCopy({}, ExpandCopy(DType::kF32, Dims{1}, Dims{0})).params.data(),
              sizeof params);
  EXPECT_EQ(params.threads, 0u);
  // An empty slice may start anywhere.
  const StridedCopyShape nothing = SliceCopy(DType::kF32, Dims{4}, Dims{4}, Dims{1}, Dims{0});
  std::memcpy(&params, PlanStridedCopy({}, nothing).params.data(), sizeof params);
  EXPECT_EQ(params.threads, 0u);
  EXPECT_EQ(params.x_offset, 0);
}

TEST(StridedCopy, RefusesWhatItCannotDo) {
  EXPECT_THROW(TransposeCopy(DType::kF32, Dims{2, 3}, Dims{0, 0}), Error);
  EXPECT_THROW(TransposeCopy(DType::kF32, Dims{2, 3}, Dims{0, 2}), Error);
  EXPECT_THROW(TransposeCopy(DType::kF32, Dims{2, 3}, Dims{0}), Error);
  EXPECT_THROW(SliceCopy(DType::kF32, Dims{4}, Dims{2}, Dims{1}, Dims{3}), Error);
  EXPECT_THROW(SliceCopy(DType::kF32, Dims{4}, Dims{2}, Dims{-1}, Dims{4}), Error);
  EXPECT_THROW(SplitCopy(DType::kF32, Dims{4}, 1, 0, 2), Error);
  EXPECT_THROW(SplitCopy(DType::kF32, Dims{4}, -1, 0, 2), Error);
  EXPECT_THROW(SplitCopy(DType::kF32, Dims{4}, 0, 3, 2), Error);
  EXPECT_THROW(ConcatCopy(DType::kF32, Dims{4, 2}, Dims{4, 3}, 0, 0), Error);
  EXPECT_THROW(ConcatCopy(DType::kF32, Dims{4}, Dims{5}, 0, 2), Error);
  EXPECT_THROW(ConcatCopy(DType::kF32, Dims{4}, Dims{5}, 1, 0), Error);
  EXPECT_THROW(ExpandCopy(DType::kF32, Dims{3}, Dims{4}), Error);
  EXPECT_THROW(
      PlanStridedCopy({}, {.dtype = DType::kF64, .sizes = {}, .x_strides = {}, .y_strides = {}}),
      Error);
  EXPECT_THROW(PlanStridedCopy({}, ExpandCopy(DType::kF32, Dims{3}, Dims{3}), "vec4"), Error);
  EXPECT_THROW(PlanStridedCopy({}, {DType::kF32, {2}, {1}, {1}, -1, 0}), Error);
  EXPECT_THROW(PlanStridedCopy({}, {DType::kF32, {2}, {1}, {1}, 0, int64_t{1} << 31}), Error);
}

}  // namespace
}  // namespace sinter::kernels
