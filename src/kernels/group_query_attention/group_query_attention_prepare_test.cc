#include "kernels/group_query_attention/group_query_attention_prepare.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "kernels/group_query_attention/group_query_attention_testing.h"
#include "kernels/testing/kernel_case.h"
#include "kernels/testing/page_tables.h"

namespace sinter::kernels {
namespace {

using Shape = GroupQueryAttentionDecodeShape;

std::vector<Operand> MakeOperands(const Shape& shape, const std::vector<double>& seqlens_k,
                                  bool widen, const std::vector<double>& page_table) {
  const GroupQueryAttentionShape& attention = shape.attention;
  const DType logical = attention.dtype;
  const DType dtype = widen ? DType::kF32 : logical;
  const gqa_testing::Inputs node = gqa_testing::MakeInputs(shape, seqlens_k, page_table);
  const GroupQueryAttentionDecodeInputs inputs = {
      node.query,     node.key, node.value,  node.seqlens_k,
      node.cos,       node.sin, node.q_norm, node.k_norm,
      node.positions, {},       {},          page_table};
  std::vector<double> k_after = node.k_cache, v_after = node.v_cache;
  const auto q = GroupQueryAttentionPrepareReference(shape, inputs, k_after, v_after);
  // Two products below 16 * 5 of values, weights and sines of at most 5, with a few roundings of
  // f32 and that of the mean of squares, and then the rounding to the type.
  const double tolerance = 2 * 16 * 5 * 8 * 0x1p-24;
  std::vector<Operand> operands = gqa_testing::MakeOperands(
      node, dtype, std::move(k_after), std::move(v_after), tolerance, Epsilon(dtype));
  operands.push_back(Operand::Output(dtype, q, tolerance, Epsilon(dtype)));
  operands.push_back(gqa_testing::PageTableOperand(page_table));
  return operands;
}

Shape ShapeOf(DType dtype, uint32_t sequence, uint32_t heads, uint32_t kv_heads, uint32_t size) {
  Shape shape;
  shape.attention = {.sequence = sequence,
                     .heads = heads,
                     .kv_heads = kv_heads,
                     .head_size = size,
                     .capacity = sequence + 20,
                     .dtype = dtype};
  shape.rotary_rows = 40;
  return shape;
}

const bool kRegistered = RegisterKernelCases("group_query_attention_prepare", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](std::string name, const Shape& shape, std::vector<double> seqlens_k,
                       bool widen = false, std::vector<double> page_table = {}) {
    const GroupQueryAttentionShape& attention = shape.attention;
    if (attention.dtype == DType::kF16 && !caps.f16) widen = true;
    KernelCase c;
    c.name = fmt::format("b{}.q{}.n{}.kv{}.h{}.{}{}", attention.batch, attention.sequence,
                         attention.heads, attention.kv_heads, attention.head_size,
                         DTypeName(attention.dtype), name);
    c.variants = GroupQueryAttentionPrepareVariants(caps, shape);
    c.plan = [=](const Caps& device, std::string_view variant) {
      return PlanGroupQueryAttentionPrepare(widen ? WithoutF16(device) : device, shape, variant);
    };
    c.operands = [=] { return MakeOperands(shape, seqlens_k, widen, page_table); };
    c.bytes = 2.0 * attention.batch * attention.sequence *
              (attention.heads + 2 * attention.kv_heads) * attention.head_size *
              (DTypeBits(attention.dtype) / 8);
    cases.push_back(std::move(c));
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    // A plain copy; then various head sizes, packed, normed and rotated.
    add(".move", ShapeOf(dtype, 5, 3, 1, 24), {9});
    for (const uint32_t size : {8u, 16u, 64u, 80u, 96u, 128u, 256u, 512u}) {
      Shape shape = ShapeOf(dtype, 9, 4, 2, size);
      shape.packed = shape.has_norm = true;
      shape.rotary_dim = size / 16 * 16;
      add(".packed.norm", shape, {20});
    }
    for (const bool interleaved : {false, true}) {
      const std::string name = interleaved ? ".interleaved" : ".rotary";
      Shape shape = ShapeOf(dtype, 17, 6, 2, 64);
      shape.rotary_dim = 32;
      shape.interleaved = interleaved;
      add(name + ".partial", shape, {30});
      shape.rotary_dim = 64;
      add(name, shape, {16});
      add(name + ".padded", shape, {10});
      add(name + ".over", shape, {40});
      shape.attention.batch = 2;
      add(name + ".batch", shape, {16, 33});
      shape.positions = RotaryPositions::kPositionIds;
      add(name + ".ids", shape, {16, 33});
    }
  }
  // In pages: from the first row, across pages, and past the end of the table.
  const PageTable pages = MakePageTable(2, {10, 75, 128});
  Shape paged = ShapeOf(DType::kF32, 17, 4, 2, 64);
  paged.attention.batch = 3;
  paged.attention.page_entries = pages.entries;
  paged.attention.capacity = pages.capacity;
  paged.packed = paged.has_norm = true;
  paged.rotary_dim = 64;
  paged.rotary_rows = 120;
  add(".pages", paged, {9, 74, 130}, false, pages.table);
  Shape qwen3 = ShapeOf(DType::kF16, 512, 16, 8, 128);
  qwen3.packed = qwen3.has_norm = true;
  qwen3.rotary_dim = 128;
  qwen3.rotary_rows = 600;
  add(".qwen3", qwen3, {511});
  Shape widened = ShapeOf(DType::kF16, 3, 4, 2, 64);
  widened.rotary_dim = 64;
  add(".widened", widened, {12}, true);
  return cases;
});

TEST(GroupQueryAttentionPrepare, LeavesToOthersWhatItCannotDo) {
  const auto variants = [](const Shape& shape) {
    return GroupQueryAttentionPrepareVariants({}, shape);
  };
  Shape shape = ShapeOf(DType::kF32, 40, 4, 2, 64);
  EXPECT_EQ(variants(shape), std::vector<std::string>{"wg128"});
  shape.rotary_dim = 24;
  EXPECT_TRUE(variants(shape).empty());
  EXPECT_THROW(PlanGroupQueryAttentionPrepare({}, shape), Error);
  EXPECT_TRUE(variants(ShapeOf(DType::kF32, 40, 4, 2, 60)).empty());
  EXPECT_TRUE(variants(ShapeOf(DType::kF32, 40, 4, 2, 520)).empty());
  shape.rotary_dim = 64;
  shape.has_norm = true;  // 11 buffers; an adapter with WebGPU's defaults binds 8
  EXPECT_TRUE(variants(shape).empty());
  EXPECT_THROW(PlanGroupQueryAttentionPrepare({}, ShapeOf(DType::kI32, 40, 4, 2, 64)), Error);
}

}  // namespace
}  // namespace sinter::kernels
