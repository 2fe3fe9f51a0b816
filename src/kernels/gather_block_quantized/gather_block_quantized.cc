#include "kernels/gather_block_quantized/gather_block_quantized.h"

#include <fmt/format.h>

#include <bit>
#include <limits>

#include "base/check.h"
#include "base/error.h"

namespace sinter::kernels {
namespace {

constexpr uint32_t kGatherBlockWorkgroup = 64;

void CheckShape(const GatherBlockQuantizedShape& shape) {
  if (shape.data_type != DType::kU8 && shape.data_type != DType::kU4 &&
      shape.data_type != DType::kI4) {
    throw Error("kernels", "data of GatherBlockQuantized: got {}, want u8, u4 or i4",
                DTypeName(shape.data_type));
  }
  const bool bits_fit = shape.data_type == DType::kU8
                            ? shape.bits == 2 || shape.bits == 4 || shape.bits == 8
                            : shape.bits == 4;
  if (!bits_fit) {
    throw Error("kernels", "bits of GatherBlockQuantized with {} data: got {}, want {}",
                DTypeName(shape.data_type), shape.bits,
                shape.data_type == DType::kU8 ? "2, 4 or 8" : "4");
  }
  if (!std::has_single_bit(shape.block_size) || shape.block_size < 16) {
    throw Error("kernels",
                "block size of GatherBlockQuantized: got {}, want a power of two from 16 on",
                shape.block_size);
  }
  SINTER_CHECK(shape.rows > 0 && shape.slice_rows > 0 && shape.cols > 0);
  SINTER_CHECK(shape.rows <= uint32_t{std::numeric_limits<int32_t>::max()});
  SINTER_CHECK(uint64_t{shape.row_begin} + shape.row_count <= shape.rows);
}

bool FitsVec4(const GatherBlockQuantizedShape& shape) { return shape.cols % 4 == 0; }

}  // namespace

std::vector<std::string> GatherBlockQuantizedVariants(const GatherBlockQuantizedShape& shape) {
  if (FitsVec4(shape)) return {"vec4", "scalar"};
  return {"scalar"};
}

KernelPlan PlanGatherBlockQuantized(const Caps& caps, const GatherBlockQuantizedShape& shape,
                                    std::string_view variant) {
  CheckShape(shape);
  if (variant.empty()) variant = FitsVec4(shape) ? "vec4" : "scalar";
  const bool vec4 = variant == "vec4" && FitsVec4(shape);
  if (!vec4 && variant != "scalar") {
    ThrowUnknownVariant("gather_block_quantized", variant, GatherBlockQuantizedVariants(shape));
  }
  const std::string_view act = WgslType(caps, shape.dtype);
  const bool is_signed = shape.data_type == DType::kI4;
  const uint32_t elements = vec4 ? 4 : 1;

  KernelPlan plan;
  plan.wgsl = "gather_block_quantized/gather_block_quantized.wgsl";
  plan.prelude = fmt::format(
      "alias act_t = {};\nconst kBits = {}u;\nconst kBlockSize = {}u;\nconst kElements = {}u;\n"
      "const kSigned = {};\nconst kDefaultZero = {}u;\n",
      act, shape.bits, shape.block_size, elements, is_signed,
      shape.data_type == DType::kU8 ? 1u << (shape.bits - 1) : 0u);
  if (act == "f16") plan.defines.emplace_back("f16");
  if (shape.zero_points) plan.defines.emplace_back("zero_points");
  if (vec4) plan.defines.emplace_back("vec4");
  plan.variant =
      fmt::format("gather_block_quantized.{}.{}.b{}.blk{}{}.{}", act, DTypeName(shape.data_type),
                  shape.bits, shape.block_size, shape.zero_points ? ".zp" : "", variant);

  GatherBlockQuantizedParams params = {};
  params.rows = shape.rows;
  params.slice_rows = shape.slice_rows;
  params.cols = shape.cols;
  params.indices = shape.indices;
  params.row_begin = shape.row_begin;
  params.row_count = shape.row_count == 0 ? shape.rows - shape.row_begin : shape.row_count;
  params.blocks = shape.blocks();
  params.zero_points_stride = shape.zero_points_stride();
  const uint64_t threads = uint64_t{shape.indices} * shape.slice_rows * (shape.cols / elements);
  SINTER_CHECK(threads <= std::numeric_limits<uint32_t>::max() &&
                   uint64_t{params.row_count} * shape.slice_rows * shape.cols <=
                       std::numeric_limits<uint32_t>::max(),
               "elements of the table or of the output pass 32 bits");
  params.threads = static_cast<uint32_t>(threads);
  plan.workgroups = FoldGrid(caps, (threads + kGatherBlockWorkgroup - 1) / kGatherBlockWorkgroup);
  params.grid_x = plan.workgroups[0];
  plan.SetParams(params);
  return plan;
}

std::vector<RowRange> SplitGatherBlockQuantized(const Caps& caps,
                                                const GatherBlockQuantizedShape& shape) {
  CheckShape(shape);
  const uint64_t act_bytes = DTypeBits(DeviceDType(caps, shape.dtype)) / 8;
  const uint64_t zero_points_bits = uint64_t{shape.slice_rows} * shape.zero_points_stride() *
                                    (shape.zero_points ? shape.bits : 0);
  const uint64_t data_bits = uint64_t{shape.slice_rows} * shape.cols * shape.bits;
  // The shader counts elements in 32 bits.
  const uint64_t rows_at_most =
      std::numeric_limits<uint32_t>::max() / (uint64_t{shape.slice_rows} * shape.cols);
  if (data_bits % 8 != 0 || zero_points_bits % 8 != 0) {
    // A row may start inside a byte, but pairs of rows are whole bytes.
    const uint64_t pair_bytes[] = {data_bits / 4, shape.slice_rows * shape.blocks() * act_bytes * 2,
                                   zero_points_bits / 4};
    std::vector<RowRange> ranges =
        SplitRows(caps, (uint64_t{shape.rows} + 1) / 2, pair_bytes, rows_at_most / 2);
    for (RowRange& range : ranges) range = {range.begin * 2, range.count * 2};
    ranges.back().count = shape.rows - ranges.back().begin;
    return ranges;
  }
  const uint64_t row_bytes[] = {data_bits / 8, shape.slice_rows * shape.blocks() * act_bytes,
                                zero_points_bits / 8};
  return SplitRows(caps, shape.rows, row_bytes, rows_at_most);
}

}  // namespace sinter::kernels
