// Lowers operators that move elements and compute nothing.

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "compile/lower/ops.h"
#include "graph/ops.h"
#include "kernels/gather/gather.h"
#include "kernels/gather_block_quantized/gather_block_quantized.h"
#include "kernels/strided_copy/strided_copy.h"

namespace sinter::compile {

void EmitCopy(LowerContext& context, const kernels::StridedCopyShape& shape, BufferRef from,
              BufferRef to) {
  if (std::any_of(shape.sizes.begin(), shape.sizes.end(), [](int64_t size) { return size == 0; }))
    return;
  using Roles = kernels::StridedCopyRoles;
  context.Emit(kernels::PlanStridedCopy(context.caps(), shape, context.variant("strided_copy")),
               {{Roles::kX, from}, {Roles::kY, to}});
}

void LowerView(LowerContext& context) { context.Alias(0, 0); }

void LowerTranspose(LowerContext& context) {
  const graph::Shape shape = context.shape(0);
  std::vector<int64_t> reversed(shape.size());
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  const std::vector<int64_t> permutation = context.node().Ints("perm", reversed);
  EmitCopy(context, kernels::TransposeCopy(context.dtype(0), shape, permutation), context.In(0),
           context.Out(0));
}

void LowerSlice(LowerContext& context) {
  const graph::Shape shape = context.shape(0);
  std::vector<int64_t> starts(shape.size()), steps(shape.size(), 1);
  const std::vector<int64_t> given_starts = context.ConstantInts(1);
  std::vector<int64_t> axes = context.ConstantInts(3);
  const std::vector<int64_t> given_steps = context.ConstantInts(4);
  if (!context.has(3)) {
    axes.resize(given_starts.size());
    std::iota(axes.begin(), axes.end(), 0);
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(
        graph::NormalizeAxis(context.node(), axes[i], static_cast<int64_t>(shape.size())));
    const int64_t size = shape[axis];
    const int64_t step = given_steps.empty() ? 1 : given_steps[i];
    int64_t start = given_starts[i] < 0 ? given_starts[i] + size : given_starts[i];
    start = std::clamp<int64_t>(start, 0, step > 0 ? size : size - 1);
    starts[axis] = start;
    steps[axis] = step;
  }
  const graph::Shape to = context.output_shape(0);
  if (graph::NumElements(to) == 0) return;
  EmitCopy(context, kernels::SliceCopy(context.dtype(0), shape, starts, steps, to), context.In(0),
           context.Out(0));
}

void LowerSplit(LowerContext& context) {
  const graph::Shape shape = context.shape(0);
  const int64_t axis = graph::NormalizeAxis(context.node(), context.node().Int("axis", 0),
                                            static_cast<int64_t>(shape.size()));
  int64_t start = 0;
  for (size_t i = 0; i < context.node().outputs().size(); ++i) {
    const int64_t size = context.output_shape(i)[static_cast<size_t>(axis)];
    if (context.wants(i)) {
      EmitCopy(context, kernels::SplitCopy(context.dtype(0), shape, axis, start, size),
               context.In(0), context.Out(i));
    }
    start += size;
  }
}

void LowerConcat(LowerContext& context) {
  const graph::Shape to = context.output_shape(0);
  const int64_t axis = graph::NormalizeAxis(context.node(), context.node().Int("axis", 0),
                                            static_cast<int64_t>(to.size()));
  int64_t start = 0;
  for (size_t i = 0; i < context.node().inputs().size(); ++i) {
    const graph::Shape from = context.shape(i);
    EmitCopy(context, kernels::ConcatCopy(context.dtype(i), from, to, axis, start), context.In(i),
             context.Out(0));
    start += from[static_cast<size_t>(axis)];
  }
}

void LowerExpand(LowerContext& context) {
  const graph::Shape to = context.output_shape(0);
  EmitCopy(context, kernels::ExpandCopy(context.dtype(0), context.shape(0), to), context.In(0),
           context.Out(0));
}

void LowerGather(LowerContext& context) {
  const graph::Shape data = context.shape(0);
  const auto axis = static_cast<size_t>(graph::NormalizeAxis(
      context.node(), context.node().Int("axis", 0), static_cast<int64_t>(data.size())));
  kernels::GatherShape shape;
  shape.outer = Count(data, 0, axis);
  shape.axis = Count(data[axis]);
  shape.inner = Count(data, axis + 1, data.size());
  shape.indices = Count(graph::NumElements(context.shape(1)));
  shape.dtype = context.dtype(0);
  if (graph::NumElements(context.output_shape(0)) == 0) return;
  const uint64_t row_bytes =
      DTypeBytes(kernels::DeviceDType(context.caps(), shape.dtype), shape.inner);
  using Roles = kernels::GatherRoles;
  const std::vector<kernels::RowRange> ranges = kernels::SplitGather(context.caps(), shape);
  for (const kernels::RowRange& range : ranges) {
    BufferRef table = context.In(0);
    if (ranges.size() > 1) {
      shape.row_begin = Count(static_cast<int64_t>(range.begin));
      shape.row_count = Count(static_cast<int64_t>(range.count));
      table = LowerContext::Rows(table, range.begin, range.count, row_bytes);
    }
    Dispatch& dispatch = context.Emit(
        kernels::PlanGather(context.caps(), shape, context.variant("gather")),
        {{Roles::kData, table}, {Roles::kIndices, context.In(1)}, {Roles::kOut, context.Out(0)}});
    if (context.variant("gather").empty())
      dispatch.part = kernels::ChainTableOf(context.caps(), shape);
  }
}

void LowerGatherBlockQuantized(LowerContext& context) {
  const graph::Node& node = context.node();
  const graph::Shape data = context.shape(0);
  kernels::GatherBlockQuantizedShape shape;
  shape.data_type = context.dtype(0);
  shape.bits = Count(node.Int("bits", 4));
  shape.block_size = Count(node.Int("block_size", 128));
  shape.rows = Count(data[0]);
  shape.slice_rows = Count(data, 1, data.size() - 1);
  shape.cols = Count(context.output_shape(0).back());
  shape.indices = Count(graph::NumElements(context.shape(1)));
  shape.dtype = context.dtype(2);
  shape.zero_points = context.has(3);
  if (graph::NumElements(context.output_shape(0)) == 0) return;
  const uint64_t scale_row = uint64_t{shape.slice_rows} * shape.blocks() *
                             DTypeBytes(kernels::DeviceDType(context.caps(), shape.dtype), 1);
  const uint64_t zero_point_row =
      uint64_t{shape.slice_rows} * shape.zero_points_stride() * shape.bits / 8;
  using Roles = kernels::GatherBlockQuantizedRoles;
  const std::vector<kernels::RowRange> ranges =
      kernels::SplitGatherBlockQuantized(context.caps(), shape);
  for (const kernels::RowRange& range : ranges) {
    BufferRef codes = context.InRaw(0), scales = context.In(2), zero_points = context.InRaw(3);
    if (ranges.size() > 1) {
      shape.row_begin = Count(static_cast<int64_t>(range.begin));
      shape.row_count = Count(static_cast<int64_t>(range.count));
      codes = LowerContext::Rows(codes, range.begin, range.count, shape.data_row_bytes());
      scales = LowerContext::Rows(scales, range.begin, range.count, scale_row);
      zero_points = LowerContext::Rows(zero_points, range.begin, range.count, zero_point_row);
    }
    const std::string_view forced = context.variant("gather_block_quantized");
    Dispatch& dispatch =
        context.Emit(kernels::PlanGatherBlockQuantized(context.caps(), shape, forced),
                     {{Roles::kData, codes},
                      {Roles::kIndices, context.In(1)},
                      {Roles::kScales, scales},
                      {Roles::kZeroPoints, zero_points},
                      {Roles::kOut, context.Out(0)}});
    if (forced.empty()) dispatch.part = kernels::ChainTableOf(context.caps(), shape);
  }
}

}  // namespace sinter::compile
