// Cases of GatherBlockQuantized: all packings, indices of every sign and past the table, and tables
// that are bound in part.

#include "kernels/gather_block_quantized/gather_block_quantized.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "kernels/testing/kernel_case.h"

namespace sinter::kernels {
namespace {

// Rows that are not bound must keep their values.
constexpr double kUntouched = 7.0;

// Returns the first index, the last, negative ones, indices past both ends of the table, and then a
// walk over it.
std::vector<double> Indices(const GatherBlockQuantizedShape& shape) {
  const double rows = shape.rows;
  std::vector<double> indices = {0, rows - 1, -1, -rows, -rows - 5, rows + 3};
  while (indices.size() < shape.indices) {
    indices.push_back(static_cast<double>(indices.size() * 7919 % shape.rows));
  }
  indices.resize(shape.indices);
  return indices;
}

// Returns the part of a packed or plain tensor that holds the bound rows.
template <typename T>
std::vector<T> Rows(const std::vector<T>& values, const GatherBlockQuantizedShape& shape) {
  if (shape.row_count == 0) return values;
  const size_t row = values.size() / shape.rows;
  return {values.begin() + shape.row_begin * row,
          values.begin() + (shape.row_begin + shape.row_count) * row};
}

std::vector<Operand> MakeOperands(const GatherBlockQuantizedShape& shape, DType device) {
  const size_t rows = size_t{shape.rows} * shape.slice_rows;
  const auto data = RandomBytes((rows * shape.cols * shape.bits + 7) / 8, 1);
  const auto scales = RandomValues(shape.dtype, rows * shape.blocks(), 2);
  const auto zero_points =
      shape.zero_points ? RandomBytes((rows * shape.zero_points_stride() * shape.bits + 7) / 8, 3)
                        : std::vector<std::byte>();
  const std::vector<double> indices = Indices(shape);
  // The difference of whole numbers is exact; the product and the conversion round once each.
  Operand out = Operand::Output(
      device, GatherBlockQuantizedReference(shape, data, indices, scales, zero_points), 0,
      2 * Epsilon(device) + Epsilon(DType::kF32));
  if (shape.row_count != 0) {
    out.values.assign(out.expected.size(), kUntouched);
    const size_t slice = out.expected.size() / shape.indices;
    for (size_t i = 0; i < shape.indices; ++i) {
      const double from_start = indices[i] < 0 ? indices[i] + shape.rows : indices[i];
      const double row = std::clamp(from_start, 0.0, shape.rows - 1.0);
      if (row >= shape.row_begin && row < shape.row_begin + shape.row_count) continue;
      std::fill_n(out.expected.begin() + i * slice, slice, kUntouched);
    }
  }
  return {Operand::Packed(Rows(data, shape)), Operand::Input(DType::kI32, indices),
          Operand::Input(device, Rows(scales, shape)),
          shape.zero_points ? Operand::Packed(Rows(zero_points, shape)) : Operand::Absent(),
          std::move(out)};
}

std::vector<KernelCase> MakeCases(const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](const GatherBlockQuantizedShape& shape,
                       bool without_f16 = false) -> KernelCase& {
    const DType device = DeviceDType(without_f16 ? WithoutF16(caps) : caps, shape.dtype);
    cases.push_back({.name = fmt::format(
                         "{}x{}x{}.i{}.{}.b{}.blk{}.{}{}{}{}", shape.rows, shape.slice_rows,
                         shape.cols, shape.indices, DTypeName(shape.data_type), shape.bits,
                         shape.block_size, DTypeName(shape.dtype), shape.zero_points ? ".zp" : "",
                         shape.row_count == 0 ? "" : fmt::format(".from{}", shape.row_begin),
                         without_f16 ? ".widened" : ""),
                     .operands = [=] { return MakeOperands(shape, device); },
                     .variants = GatherBlockQuantizedVariants(shape),
                     .plan =
                         [=](const Caps& actual, std::string_view variant) {
                           return PlanGatherBlockQuantized(
                               without_f16 ? WithoutF16(actual) : actual, shape, variant);
                         }});
    return cases.back();
  };
  constexpr std::pair<DType, uint32_t> kPackings[] = {
      {DType::kU8, 2}, {DType::kU8, 4}, {DType::kU8, 8}, {DType::kU4, 4}, {DType::kI4, 4}};
  for (const auto& [data_type, bits] : kPackings) {
    for (const DType dtype : {DType::kF32, DType::kF16}) {
      for (const bool zero_points : {false, true}) {
        // Three blocks of 32 with a tail: the zero points of a row end inside a byte.
        add({.rows = 19,
             .cols = 88,
             .indices = 11,
             .bits = bits,
             .data_type = data_type,
             .dtype = dtype,
             .zero_points = zero_points});
      }
    }
    add({.rows = 9,
         .slice_rows = 3,
         .cols = 76,
         .indices = 7,
         .bits = bits,
         .block_size = 16,
         .data_type = data_type,
         .dtype = DType::kF16,
         .zero_points = true});
  }
  // Odd columns: 8-bit codes, and 4-bit codes that are packed across rows.
  add({.rows = 13, .cols = 77, .indices = 8, .bits = 8, .zero_points = true});
  add({.rows = 13, .cols = 77, .indices = 8, .data_type = DType::kU4, .zero_points = true});
  add({.rows = 1, .cols = 2, .indices = 1, .block_size = 16});
  add({.rows = 50, .cols = 128, .indices = 1, .block_size = 128, .dtype = DType::kF16});
  // Binds only rows [8, 24).
  for (const bool zero_points : {false, true}) {
    add({.rows = 40,
         .cols = 96,
         .indices = 30,
         .dtype = DType::kF16,
         .zero_points = zero_points,
         .row_begin = 8,
         .row_count = 16});
  }
  add({.rows = 30, .cols = 64, .indices = 9, .dtype = DType::kF16, .zero_points = true}, true);

  // Embeddings of a prompt of 512 tokens, 2048 wide.
  KernelCase& model = add({.rows = 8192, .cols = 2048, .indices = 512, .dtype = DType::kF16});
  model.bytes = 512.0 * (2048 / 2.0 + 2048 / 32.0 * 2 + 2048 * 2.0);
  return cases;
}

const bool kRegistered = RegisterKernelCases("gather_block_quantized", MakeCases);

TEST(GatherBlockQuantized, SplitsTablesThatDoNotFitABinding) {
  Caps caps;
  caps.limits.max_storage_binding_bytes = 128u << 20;
  const auto ranges =
      SplitGatherBlockQuantized(caps, {.rows = 262144, .cols = 1152, .bits = 4, .block_size = 32});
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].count + ranges[1].count, 262144u);
}

TEST(GatherBlockQuantized, SplitsRowsThatEndInsideAByte) {
  Caps caps;
  caps.limits.max_storage_binding_bytes = 1u << 20;
  const GatherBlockQuantizedShape shape = {
      .rows = 100001, .cols = 77, .data_type = DType::kU4, .zero_points = true};
  const auto ranges = SplitGatherBlockQuantized(caps, shape);
  ASSERT_GT(ranges.size(), 1u);
  uint64_t next = 0;
  for (const RowRange& range : ranges) {
    EXPECT_EQ(range.begin, next);
    EXPECT_EQ(range.begin * shape.cols * 4 / 8 % 256, 0u);
    next += range.count;
  }
  EXPECT_EQ(next, 100001u);
}

TEST(GatherBlockQuantized, RefusesWhatItDoesNotHave) {
  EXPECT_THROW(PlanGatherBlockQuantized({}, {.bits = 3}), Error);
  EXPECT_THROW(PlanGatherBlockQuantized({}, {.bits = 8, .data_type = DType::kI4}), Error);
  EXPECT_THROW(PlanGatherBlockQuantized({}, {.data_type = DType::kF32}), Error);
  EXPECT_THROW(PlanGatherBlockQuantized({}, {.block_size = 24}), Error);
  EXPECT_THROW(PlanGatherBlockQuantized({}, {.cols = 6}, "vec4"), Error);
  EXPECT_THROW(PlanGatherBlockQuantized({}, {}, "wide"), Error);
}

}  // namespace
}  // namespace sinter::kernels
