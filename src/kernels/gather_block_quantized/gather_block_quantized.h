// com.microsoft.GatherBlockQuantized along axis 0 of data that is quantized along its last axis:
//   out[i, c] = (code[index[i], c] - zero[index[i], c / block_size])
//               * scale[index[i], c / block_size]
//
// Operands:
//   data         [rows, slice_rows, cols] codes of `bits`, from the lowest bits of each byte up
//   indices      [indices] i32; negative ones count from the end; any out of range is clamped
//   scales       [rows, slice_rows, ceil(cols / block_size)] act_t
//   zero_points  (optional) packed like the codes: rows padded to a byte for kU8 data, unpadded for
//                kU4 and kI4
//   out          [indices, slice_rows, cols] act_t
// Without zero points the zero is 2^(bits - 1) for kU8 data, and 0 for kU4 and kI4 data.
// Source: ONNX Runtime, docs/ContribOperators.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "kernels/common/row_split.h"
#include "kernels/kernel_plan.h"
#include "kernels/operand.h"

namespace sinter::kernels {

struct GatherBlockQuantizedRoles {
  static constexpr Role kData{1, Access::kReadRows}, kIndices{2}, kScales{3, Access::kReadRows},
      kZeroPoints{4, Access::kReadRows}, kOut{5, Access::kWrite};
};

struct GatherBlockQuantizedShape {
  uint32_t rows = 1;        // rows of the whole table
  uint32_t slice_rows = 1;  // product of the dimensions between the first and the last
  uint32_t cols = 1;        // codes of a row (twice the bytes for 4-bit codes in kU8 data)
  uint32_t indices = 1;
  uint32_t bits = 4;             // 2, 4 or 8; 4 for kU4 and kI4
  uint32_t block_size = 32;      // a power of two, at least 16
  DType data_type = DType::kU8;  // kU8, kU4 or kI4
  DType dtype = DType::kF32;     // type of scales and out: kF32 or kF16
  bool zero_points = false;
  // Rows of the table that are bound; data, scales and zero_points start at row_begin. Only indices
  // that fall into them are written. row_count 0 means all rows.
  uint32_t row_begin = 0, row_count = 0;

  uint32_t blocks() const { return (cols + block_size - 1) / block_size; }
  // Returns the bytes of one entry of the table. For kU4 and kI4 data these are whole only if
  // slice_rows * cols is even; a table with odd ones cannot be split.
  uint64_t data_row_bytes() const { return (uint64_t{slice_rows} * cols * bits + 7) / 8; }
  // Returns the number of zero points from one row to the next.
  uint32_t zero_points_stride() const {
    const uint32_t per_byte = 8 / bits;
    return data_type == DType::kU8 ? (blocks() + per_byte - 1) / per_byte * per_byte : blocks();
  }
};

// Mirrors struct Params in gather_block_quantized.wgsl.
struct GatherBlockQuantizedParams {
  uint32_t rows, slice_rows, cols, indices;
  uint32_t row_begin, row_count;
  uint32_t blocks, zero_points_stride;
  uint32_t threads;  // threads with work: indices * slice_rows * cols / elements of a thread
  uint32_t grid_x;
  uint32_t pad[2];
};
static_assert(sizeof(GatherBlockQuantizedParams) == 48);
static_assert(offsetof(GatherBlockQuantizedParams, threads) == 32);

// Plans one dispatch. Variants: `vec4` (four codes per thread; cols must be a multiple of 4) and
// `scalar`. Throws Error for an unknown variant, and for a shape that the kernel does not support
// (bits, block size, data type).
KernelPlan PlanGatherBlockQuantized(const Caps& caps, const GatherBlockQuantizedShape& shape,
                                    std::string_view variant = "");

std::vector<std::string> GatherBlockQuantizedVariants(const GatherBlockQuantizedShape& shape);

// Returns the ranges (row_begin, row_count) of the dispatches that together write all of `out`.
std::vector<RowRange> SplitGatherBlockQuantized(const Caps& caps,
                                                const GatherBlockQuantizedShape& shape);

// Returns out in double, from the whole table; ignores row_begin and row_count. `zero_points` is
// empty if there are none.
std::vector<double> GatherBlockQuantizedReference(const GatherBlockQuantizedShape& shape,
                                                  std::span<const std::byte> data,
                                                  std::span<const double> indices,
                                                  std::span<const double> scales,
                                                  std::span<const std::byte> zero_points = {});

}  // namespace sinter::kernels
