// Lowers matrix products.

#include <algorithm>

#include "base/error.h"
#include "compile/lower/ops.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul_nbits/matmul_nbits.h"

namespace sinter::compile {
namespace {

std::vector<uint32_t> BatchDims(const graph::Shape& shape) {
  std::vector<uint32_t> batch;
  for (size_t i = 0; i + 2 < shape.size(); ++i) batch.push_back(Count(shape[i]));
  return batch;
}

}  // namespace

void LowerMatMul(LowerContext& context) {
  graph::Shape a = context.shape(0), b = context.shape(1);
  if (graph::NumElements(context.output_shape(0)) == 0) return;
  if (a.back() == 0) {
    // The sums have no terms: they are the sums of no elements.
    return EmitReduce(context,
                      {kernels::ReduceOp::kSum,
                       context.dtype(0),
                       {graph::NumElements(context.output_shape(0)), 0},
                       {1}},
                      context.In(0), context.Out(0));
  }
  // A one-dimensional A is a row, a one-dimensional B a column.
  if (a.size() == 1) a.insert(a.begin(), 1);
  if (b.size() == 1) b.push_back(1);
  kernels::MatMulShape shape;
  shape.m = Count(a[a.size() - 2]);
  shape.k = Count(a.back());
  shape.n = Count(b.back());
  shape.dtype = context.dtype(0);
  shape.a_batch = BatchDims(a);
  shape.b_batch = BatchDims(b);
  std::vector<kernels::MatMulShape> parts = {shape};
  if (std::all_of(shape.b_batch.begin(), shape.b_batch.end(), [](uint32_t n) { return n == 1; })) {
    // With one B for all batches, A's batches are more rows.
    kernels::MatMulShape whole = shape;
    whole.m = Count(a, 0, a.size() - 1);
    whole.a_batch = whole.b_batch = {};
    if (auto split = kernels::SplitMatMul(context.caps(), whole); split.size() > 1)
      parts = std::move(split);
  }
  BufferRef sums;
  if (parts.size() > 1) {
    sums = context.Scratch(uint64_t{parts[0].rows()} * shape.n * sizeof(float), "sums");
  }
  const uint64_t row_bytes = DTypeBytes(kernels::DeviceDType(context.caps(), shape.dtype), shape.n);
  for (const kernels::MatMulShape& part : parts) {
    BufferRef b_rows = context.In(1);
    if (part.partial()) b_rows = LowerContext::Rows(b_rows, part.k_begin, part.depth(), row_bytes);
    kernels::KernelPlan plan = kernels::PlanMatMul(context.caps(), part, context.variant("matmul"));
    using Roles = kernels::MatMulRoles;
    context.Emit(std::move(plan), {{Roles::kA, context.In(0)},
                                   {Roles::kB, b_rows},
                                   {Roles::kY, part.finishes() ? context.Out(0) : BufferRef{}},
                                   {Roles::kSumsOfParts, sums}});
  }
}

NBitsOperands ReadWeight(LowerContext& context, std::span<const graph::FusedPart> parts,
                         kernels::MatMulNBitsShape& shape) {
  const bool packed = shape.zero_points == kernels::ZeroPoints::kPacked;
  const auto inputs = [&](size_t graph::FusedPart::*place) {
    std::vector<size_t> all;
    for (const graph::FusedPart& part : parts) all.push_back(part.*place);
    return all;
  };
  const std::vector<size_t> codes = inputs(&graph::FusedPart::b),
                            scales = inputs(&graph::FusedPart::scales),
                            zero_points = inputs(&graph::FusedPart::zero_points),
                            bias = inputs(&graph::FusedPart::bias);
  // Rows are stored in groups, except in two cases: a part ends inside a group, or a table of
  // embeddings shares the weight, whose rows are looked up one by one. A CPU reads whole rows
  // faster: on lavapipe, the bundled model makes 400 tokens/s row by row and 150 by groups.
  const auto whole_groups = [&](int64_t rows) { return rows % kernels::kInterleavedRows == 0; };
  const auto of_products = [&](size_t input) { return context.IsOfProductsOnly(input); };
  if (!context.caps().software && whole_groups(shape.n) &&
      std::ranges::all_of(parts, whole_groups, &graph::FusedPart::n) &&
      std::ranges::all_of(codes, of_products) && std::ranges::all_of(scales, of_products) &&
      std::ranges::all_of(zero_points, of_products)) {
    const uint64_t rows = shape.b_rows(), unit_bytes = uint64_t{shape.unit_words()} * 4;
    shape.interleave = kernels::kInterleavedRows;
    return {
        context.InJoinedRaw(codes, rows, unit_bytes), context.InJoined(scales, rows, 1),
        packed ? context.InJoinedRaw(zero_points, rows, 1) : context.InJoined(zero_points, rows, 1),
        context.InJoined(bias)};
  }
  if (parts.size() == 1) {
    const graph::FusedPart& part = parts[0];
    return {context.InRaw(part.b), context.In(part.scales),
            packed ? context.InRaw(part.zero_points) : context.In(part.zero_points),
            context.In(part.bias)};
  }
  return {context.InJoinedRaw(codes), context.InJoined(scales),
          packed ? context.InJoinedRaw(zero_points) : context.InJoined(zero_points),
          context.InJoined(bias)};
}

void EmitMatMulNBits(LowerContext& context, kernels::MatMulNBitsShape shape, BufferRef a,
                     const NBitsOperands& weight, BufferRef y, const NBitsSurroundings& around) {
  const uint64_t elem_bytes = DTypeBytes(kernels::DeviceDType(context.caps(), shape.dtype), 1);
  const uint64_t zero_point_row = shape.zero_points == kernels::ZeroPoints::kFloat
                                      ? shape.blocks() * elem_bytes
                                      : shape.packed_zero_points_row_bytes();
  const std::vector<kernels::RowRange> ranges = kernels::SplitMatMulNBits(context.caps(), shape);
  for (const kernels::RowRange& range : ranges) {
    NBitsOperands rows = weight;
    if (ranges.size() > 1) {
      shape.n_begin = Count(static_cast<int64_t>(range.begin));
      shape.n_count = Count(static_cast<int64_t>(range.count));
      const auto cut = [&](BufferRef& ref, uint64_t row_bytes) {
        ref = LowerContext::Rows(ref, range.begin, range.count, row_bytes);
      };
      cut(rows.codes, shape.b_row_bytes());
      cut(rows.scales, shape.blocks() * elem_bytes);
      cut(rows.zero_points, zero_point_row);
      cut(rows.bias, elem_bytes);
    }
    const kernels::Tunable tunable = kernels::MatMulNBitsTunable(context.caps(), shape);
    TunedPlan plan = context.Tune(tunable);
    const bool joinable = plan.alternatives && ranges.size() == 1;
    // The scratch has room for any plan that measuring may try.
    const uint64_t scratch_words = std::max(plan.plan.scratch_words, tunable.scratch_words);
    BufferRef scratch;
    if (scratch_words > 0) scratch = context.Counters(scratch_words);
    using Roles = kernels::MatMulNBitsRoles;
    Dispatch& dispatch = context.Emit(std::move(plan), {{Roles::kA, a},
                                                        {Roles::kB, rows.codes},
                                                        {Roles::kScales, rows.scales},
                                                        {Roles::kZeroPoints, rows.zero_points},
                                                        {Roles::kBias, rows.bias},
                                                        {Roles::kY, y},
                                                        {Roles::kResidual, around.residual},
                                                        {Roles::kNormScale, around.norm_scale},
                                                        {Roles::kSkip, around.skip},
                                                        {Roles::kSkipScale, around.skip_scale},
                                                        {Roles::kSum, around.sum},
                                                        {Roles::kScratch, scratch}});
    if (joinable) dispatch.part = shape;
  }
}

void LowerMatMulNBits(LowerContext& context) {
  const graph::Node& node = context.node();
  const graph::Shape a = context.shape(0);
  kernels::MatMulNBitsShape shape;
  shape.k = Count(node.Int("K", 0));
  shape.n = Count(node.Int("N", 0));
  shape.m = Count(a, 0, a.size() - 1);
  shape.bits = Count(node.Int("bits", 4));
  shape.block_size = Count(node.Int("block_size", 32));
  shape.dtype = context.dtype(0);
  const graph::FusedPart part = {.b = 1, .scales = 2, .zero_points = 3, .bias = 5, .n = shape.n};
  shape.bias = context.has(part.bias);
  if (context.has(part.zero_points)) {
    shape.zero_points = context.dtype(part.zero_points) == DType::kU8 ? kernels::ZeroPoints::kPacked
                                                                      : kernels::ZeroPoints::kFloat;
  }
  if (shape.m == 0) return;
  const NBitsOperands weight = ReadWeight(context, std::span(&part, 1), shape);
  EmitMatMulNBits(context, shape, context.In(0), weight, context.Out(0));
}

}  // namespace sinter::compile
