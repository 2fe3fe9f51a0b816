#include "kernels/rotary_embedding/rotary_embedding.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "kernels/testing/kernel_case.h"
#include "kernels/testing/page_tables.h"

namespace sinter::kernels {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Positions {
  std::vector<double> seqlens_k;
  std::vector<double> position_ids;
};

std::vector<Operand> MakeOperands(const RotaryEmbeddingShape& shape, const Positions& positions,
                                  bool widen, const std::vector<double>& page_table) {
  const auto device = [&](DType dtype) { return widen ? DType::kF32 : dtype; };
  const size_t hidden = size_t{shape.heads} * shape.head_size;
  const size_t row = shape.input_row == 0 ? hidden : shape.input_row;
  const size_t half = shape.rotary_dim / 2;
  const auto input = RandomValues(shape.dtype,
                                  shape.input_layout == HeadLayout::kBSNH
                                      ? shape.batch * shape.sequence * row
                                      : shape.input_offset + shape.batch * shape.sequence * hidden,
                                  1);
  std::vector<double> cos, sin;
  for (size_t position = 0; half > 0 && position < shape.cache_rows; ++position) {
    for (size_t i = 0; i < half; ++i) {
      const double angle = position / std::pow(10000.0, double(i) / half);
      cos.push_back(std::cos(angle));
      sin.push_back(std::sin(angle));
    }
  }
  cos = RoundTo(shape.dtype, cos);
  sin = RoundTo(shape.dtype, sin);
  const auto weight = RandomValues(shape.norm_dtype, shape.head_size, 2);
  const size_t output_rows = shape.output_rows == 0 ? shape.sequence : shape.output_rows;
  // The cache starts as sevens, so that wrong writes show.
  const CacheRows rows = {shape.heads, output_rows, shape.page_entries, page_table};
  std::vector<double> start(rows.Count(shape.batch) * shape.head_size, 7.0);
  std::vector<double> want = start;
  RotaryEmbeddingReference(shape, input, cos, sin, weight, positions.seqlens_k,
                           positions.position_ids, want, page_table);

  const DType dtype = device(shape.dtype);
  const auto ints = [](bool present, const std::vector<double>& values) {
    return present ? Operand::Input(DType::kI32, values) : Operand::Absent();
  };
  const bool rotary = shape.rotary_dim > 0;
  // Two products of up to 5 (25 after normalization with a weight of 5) and their sum, each rounded
  // in f32; the mean of squares adds a relative error of head_size / 64 + 8 roundings.
  const double largest = shape.has_norm ? 25 : 5;
  Operand output =
      Operand::Output(dtype, std::move(want),
                      0x1p-24 * largest * (8 + shape.head_size / 64.0) + 0x1p-25, Epsilon(dtype));
  output.values = std::move(start);
  return {Operand::Input(dtype, input),
          rotary ? Operand::Input(dtype, cos) : Operand::Absent(),
          rotary ? Operand::Input(dtype, sin) : Operand::Absent(),
          shape.has_norm ? Operand::Input(device(shape.norm_dtype), weight) : Operand::Absent(),
          ints(shape.NeedsSeqlens(), positions.seqlens_k),
          ints(rotary && shape.positions != RotaryPositions::kSeqlens, positions.position_ids),
          std::move(output),
          ints(!page_table.empty(), page_table)};
}

const bool kRegistered = RegisterKernelCases("rotary_embedding", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](std::string name, RotaryEmbeddingShape shape, Positions positions,
                       bool widen = false, bool plain = false,
                       std::vector<double> page_table = {}) {
    if ((shape.dtype == DType::kF16 || shape.norm_dtype == DType::kF16) && !caps.f16) widen = true;
    KernelCase c;
    c.name = fmt::format("b{}.s{}.n{}.h{}.r{}.{}{}", shape.batch, shape.sequence, shape.heads,
                         shape.head_size, shape.rotary_dim, DTypeName(shape.dtype), name);
    c.operands = [=] { return MakeOperands(shape, positions, widen, page_table); };
    c.variants = plain ? std::vector<std::string>{""} : RotaryEmbeddingVariants(caps);
    c.plan = [=](Caps device, std::string_view variant) {
      if (widen) device = WithoutF16(device);
      if (plain) device = WithoutSubgroups(device);
      return PlanRotaryEmbedding(device, shape, variant);
    };
    c.bytes = double(shape.batch) * shape.sequence * shape.heads * shape.head_size * 2 *
              (DTypeBits(shape.dtype) / 8);
    cases.push_back(std::move(c));
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    // GroupQueryAttention's Q, K and V from a packed row of 4 + 2 + 2 heads.
    for (const auto& [size, rotary] :
         {std::pair{64u, 64u}, {80u, 32u}, {96u, 96u}, {128u, 128u}, {256u, 256u}, {7u, 4u}}) {
      for (const bool interleaved : {false, true}) {
        RotaryEmbeddingShape q{.batch = 2,
                               .sequence = 3,
                               .heads = 4,
                               .head_size = size,
                               .rotary_dim = rotary,
                               .interleaved = interleaved,
                               .dtype = dtype,
                               .cache_rows = 40,
                               .norm_dtype = dtype,
                               .input_row = 8 * size};
        const Positions positions{.seqlens_k = {2, 18}};
        const std::string suffix = interleaved ? ".interleaved" : "";
        add(".q" + suffix, q, positions);
        RotaryEmbeddingShape k = q;
        k.heads = 2;
        k.input_offset = 4 * size;
        k.output_layout = HeadLayout::kBNSH;
        k.output_is_cache = true;
        k.output_rows = 20;
        add(".k" + suffix, k, positions);
        k.has_norm = true;
        add(".k.norm" + suffix, k, positions);
        q.has_norm = true;
        q.epsilon = 0.3f;  // large enough to be seen
        add(".q.norm" + suffix, q, positions);
      }
    }
    RotaryEmbeddingShape v{.batch = 2,
                           .sequence = 5,
                           .heads = 2,
                           .head_size = 64,
                           .rotary_dim = 0,
                           .dtype = dtype,
                           .input_row = 512,
                           .input_offset = 384,
                           .output_layout = HeadLayout::kBNSH,
                           .output_is_cache = true,
                           .output_rows = 16};
    // A right-padded prompt of 3 tokens, and one whose last two rows are past the capacity.
    add(".v.padded_and_past_capacity", v, {.seqlens_k = {2, 17}});
    // Rows in two pages, in the first page, and past the last one.
    const PageTable pages = MakePageTable(2, {67, 5, 128});
    RotaryEmbeddingShape paged = v;
    paged.batch = 3;
    paged.output_rows = pages.capacity;
    paged.page_entries = pages.entries;
    add(".v.pages", paged, {.seqlens_k = {66, 4, 129}}, false, false, pages.table);
    v.output_is_cache = false;
    v.output_rows = 0;
    add(".v.dense", v, {});

    // com.microsoft.RotaryEmbedding.
    for (const HeadLayout layout : {HeadLayout::kBSNH, HeadLayout::kBNSH}) {
      RotaryEmbeddingShape x{.batch = 2,
                             .sequence = 65,
                             .heads = 3,
                             .head_size = 32,
                             .rotary_dim = 32,
                             .dtype = dtype,
                             .positions = RotaryPositions::kOffset,
                             .cache_rows = 100,
                             .input_layout = layout,
                             .output_layout = layout};
      const std::string suffix = layout == HeadLayout::kBSNH ? ".bsnh" : ".bnsh";
      add(".offset" + suffix, x, {.position_ids = {7}});
      x.positions = RotaryPositions::kPositionIds;
      Positions ids;
      for (int i = 0; i < 130; ++i)
        ids.position_ids.push_back(i * 37 % 103);  // some past the cache
      add(".ids" + suffix, x, ids);
    }

    // Rows of the cache come from seqlens_k, angles from position_ids.
    RotaryEmbeddingShape both{.sequence = 3,
                              .heads = 2,
                              .head_size = 64,
                              .rotary_dim = 64,
                              .dtype = dtype,
                              .positions = RotaryPositions::kPositionIds,
                              .cache_rows = 50,
                              .output_layout = HeadLayout::kBNSH,
                              .output_is_cache = true,
                              .output_rows = 9};
    add(".cache.ids", both, {.seqlens_k = {7}, .position_ids = {40, 0, 12}});
    add("",
        {.sequence = 1000,
         .heads = 8,
         .head_size = 128,
         .rotary_dim = 128,
         .dtype = dtype,
         .cache_rows = 1000},
        {.seqlens_k = {999}});
  }
  RotaryEmbeddingShape mixed{.sequence = 2,
                             .heads = 2,
                             .head_size = 64,
                             .rotary_dim = 64,
                             .dtype = DType::kF16,
                             .cache_rows = 8,
                             .has_norm = true,
                             .norm_dtype = DType::kF32};
  add(".norm_f32", mixed, {.seqlens_k = {3}});
  add(".widened", mixed, {.seqlens_k = {3}}, true);
  add(".no_subgroups", mixed, {.seqlens_k = {3}}, false, true);
  return cases;
});

TEST(RotaryEmbedding, ReferenceRotatesByTheAngle) {
  RotaryEmbeddingShape shape{.heads = 1, .head_size = 3, .rotary_dim = 2, .cache_rows = 3};
  const double c = std::cos(0.5), s = std::sin(0.5);
  std::vector<double> output(3, kNan);
  RotaryEmbeddingReference(shape, std::vector<double>{1, 2, 9}, std::vector<double>{1, 1, c},
                           std::vector<double>{0, 0, s}, {}, std::vector<double>{2}, {}, output);
  EXPECT_DOUBLE_EQ(output[0], c - 2 * s);
  EXPECT_DOUBLE_EQ(output[1], 2 * c + s);
  EXPECT_EQ(output[2], 9);
}

TEST(RotaryEmbedding, RefusesWhatItCannotRotate) {
  const RotaryEmbeddingShape good{.heads = 1, .head_size = 8, .rotary_dim = 8};
  EXPECT_NO_THROW(PlanRotaryEmbedding({}, good));
  RotaryEmbeddingShape shape = good;
  shape.rotary_dim = 3;
  EXPECT_THROW(PlanRotaryEmbedding({}, shape), Error);
  shape.rotary_dim = 10;
  EXPECT_THROW(PlanRotaryEmbedding({}, shape), Error);
  shape = good;
  shape.output_is_cache = true;
  EXPECT_THROW(PlanRotaryEmbedding({}, shape), Error);
  shape = good;
  shape.dtype = DType::kI64;
  EXPECT_THROW(PlanRotaryEmbedding({}, shape), Error);
  EXPECT_THROW(PlanRotaryEmbedding({}, good, "wg1"), Error);
}

}  // namespace
}  // namespace sinter::kernels
