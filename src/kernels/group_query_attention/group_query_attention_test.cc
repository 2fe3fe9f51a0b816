#include "kernels/group_query_attention/group_query_attention.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "kernels/testing/kernel_case.h"
#include "kernels/testing/page_tables.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

int64_t TotalOf(const GroupQueryAttentionShape& shape, const std::vector<double>& lengths,
                size_t b) {
  switch (shape.lengths) {
    case KeyLengths::kSeqlensK:
      return static_cast<int64_t>(lengths[b]) + 1;
    case KeyLengths::kTotal:
      return static_cast<int64_t>(lengths[b]);
    case KeyLengths::kCapacity:
      break;
  }
  return shape.rows();
}

// Returns a bias with masked keys in every row. If `whole_rows`, all keys of the first row are
// masked.
std::vector<double> MakeBias(const GroupQueryAttentionShape& shape, bool whole_rows) {
  const double infinity = std::numeric_limits<double>::infinity();
  auto bias = RandomValues(
      shape.dtype,
      size_t{shape.bias_batch} * shape.bias_heads * shape.rows_of_bias() * shape.bias_total, 5);
  for (size_t i = 0; i < bias.size(); ++i) {
    const bool masked = i % 3 == 0 || (whole_rows && i < shape.bias_total);
    if (shape.bias_is_mask) {
      bias[i] = masked ? 0 : 1;
    } else if (masked) {
      bias[i] = whole_rows ? -infinity : shape.dtype == DType::kF16 ? -65504 : -1e30;
    }
  }
  return bias;
}

std::vector<Operand> MakeOperands(const GroupQueryAttentionShape& shape,
                                  const std::vector<double>& lengths, bool widen, bool whole_rows,
                                  const std::vector<double>& page_table) {
  const DType dtype = widen ? DType::kF32 : shape.dtype;
  const size_t size = shape.head_size;
  const auto q =
      RandomValues(shape.dtype, size_t{shape.batch} * shape.sequence * shape.heads * size, 1);
  const CacheRows rows = {shape.kv_heads, shape.capacity, shape.page_entries, page_table};
  auto k = RandomValues(shape.dtype, rows.Count(shape.batch) * size, 2);
  auto v = RandomValues(shape.dtype, k.size(), 3);
  // Rows after a sequence's end must not be read.
  std::vector<bool> there(rows.Count(shape.batch));
  for (size_t b = 0; b < shape.batch; ++b) {
    const auto total =
        static_cast<size_t>(std::min<int64_t>(TotalOf(shape, lengths, b), shape.limit()));
    for (size_t n = 0; n < shape.kv_heads; ++n) {
      for (size_t t = 0; t < total; ++t) there[rows.At(b, n, t)] = true;
    }
  }
  for (size_t i = 0; i < k.size(); ++i) {
    if (!there[i / size]) k[i] = v[i] = std::numeric_limits<double>::quiet_NaN();
  }
  const auto sink =
      shape.has_head_sink ? RandomValues(shape.dtype, shape.heads, 4) : std::vector<double>{};
  auto bias = MakeBias(shape, whole_rows);

  // Scores are sums of head_size products of normal values: |score| < 8 with the usual scale. Their
  // f32 error is less than 2^-24 * sqrt(head_size) times that; exp is off by 3 + 2 * 16 units in
  // the last place (twice: rescaling); tanh, for a softcap, by 2^-21 of it. A weight's relative
  // error reaches the output at most twice (numerator and denominator) times the largest value, 5.
  const double scale = shape.scale == 0 ? 1 / std::sqrt(double(size)) : shape.scale;
  const double largest = 8 * std::max(1.0, scale * std::sqrt(double(size)));
  const double score = 0x1p-24 * std::sqrt(double(size)) * largest + shape.softcap * 0x1p-21;
  const double weight = score + 0x1p-23 * (3 + 2 * 16) * 2;
  // On the matrix units each weight is rounded to f16 on its own. This moves a weighted mean of
  // values by 2^-11 of their magnitude, which is 0.8 on average and hardly above 2 for any weights.
  const double rounded = dtype == DType::kF16 ? 2 * Epsilon(dtype) : 0;
  Operand output = Operand::Output(
      dtype, GroupQueryAttentionReference(shape, q, k, v, lengths, sink, bias, page_table),
      2 * 5 * weight + rounded, Epsilon(dtype));
  return {Operand::Input(dtype, q),
          Operand::Input(dtype, std::move(k)),
          Operand::Input(dtype, std::move(v)),
          shape.lengths != KeyLengths::kCapacity ? Operand::Input(DType::kI32, lengths)
                                                 : Operand::Absent(),
          shape.has_head_sink ? Operand::Input(dtype, sink) : Operand::Absent(),
          shape.bias_total == 0 ? Operand::Absent()
          : shape.bias_is_mask  ? Operand::Input(DType::kU32, std::move(bias))
                                : Operand::Input(dtype, std::move(bias)),
          std::move(output),
          page_table.empty() ? Operand::Absent() : Operand::Input(DType::kI32, page_table)};
}

// Returns all variants but one only of the matrix variants, which is enough in most cases because
// they differ by constants.
std::vector<std::string> FewMatrices(const std::vector<std::string>& all) {
  std::vector<std::string> few;
  for (const std::string& variant : all) {
    if (!variant.starts_with("matrix") || few.empty() || !few.back().starts_with("matrix"))
      few.push_back(variant);
  }
  return few;
}

// Adds encoders and attention to another sequence, with heads of 64, so that few pipelines are
// enough.
template <typename Add>
void AddBidirectional(DType dtype, const Add& add) {
  GroupQueryAttentionShape shape{
      .heads = 4, .kv_heads = 2, .dtype = dtype, .causal = false, .lengths = KeyLengths::kCapacity};
  for (const auto& [sequence, keys] : {std::pair(1u, 1u), {2, 63}, {63, 64}, {65, 129}}) {
    shape.sequence = sequence;
    shape.capacity = keys;
    add(".bidirectional", shape, {});
  }
  shape.sequence = 17;
  shape.capacity = 1000;
  shape.key_limit = 700;
  add(".bidirectional.limit", shape, {});
  // Twelve keys to either side are visible.
  shape.sequence = shape.capacity = 128;
  shape.key_limit = 0;
  shape.local_window = 13;
  shape.q_layout = HeadLayout::kBNSH;
  add(".bidirectional.window.bnsh", shape, {});
  shape.output_layout = HeadLayout::kBNSH;
  shape.local_window = -1;
  // Sequences of different lengths, one of them empty.
  shape.batch = 3;
  shape.sequence = 9;
  shape.capacity = 48;
  shape.lengths = KeyLengths::kTotal;
  add(".bidirectional.batch.bnsh", shape, {0, 31, 48});
  // Biases that all rows share, and masks, with rows that see nothing.
  shape.lengths = KeyLengths::kCapacity;
  shape.bias_rows = 1;
  shape.bias_batch = 3;
  shape.bias_total = 48;
  for (const bool mask : {false, true}) {
    shape.bias_is_mask = mask;
    const std::string name = mask ? ".mask" : ".bias";
    add(".bidirectional.keys" + name, shape, {}, false, false, false, true);
    GroupQueryAttentionShape whole = shape;
    whole.bias_rows = 9;
    whole.bias_batch = 1;
    whole.bias_heads = 4;
    whole.softcap = 2;
    whole.output_layout = HeadLayout::kBSNH;
    add(".bidirectional.heads" + name, whole, {}, false, false, false, true);
  }
}

// Adds cases in which the past of the first row is not the sequence's length minus the rows.
template <typename Add>
void AddPasts(DType dtype, const Add& add) {
  GroupQueryAttentionShape shape{.sequence = 17,
                                 .heads = 4,
                                 .kv_heads = 2,
                                 .capacity = 64,
                                 .dtype = dtype,
                                 .lengths = KeyLengths::kCapacity};
  shape.past_max = 0;
  add(".past0", shape, {});
  shape.past_min = shape.past_max = 900;
  shape.capacity = 1000;
  add(".past900", shape, {});
  // Sequences shorter than the rows: their first rows are before key 0.
  shape.batch = 3;
  shape.capacity = 40;
  shape.lengths = KeyLengths::kTotal;
  shape.past_min = INT32_MIN;
  shape.past_max = INT32_MAX;
  add(".before", shape, {3, 17, 39});
}

// Adds sequences of different lengths whose caches are in pages.
template <typename Add>
void AddPages(DType dtype, const Add& add) {
  const PageTable pages = MakePageTable(4, {256, 65, 40});
  GroupQueryAttentionShape shape{.batch = 3,
                                 .heads = 4,
                                 .kv_heads = 2,
                                 .head_size = 32,
                                 .capacity = pages.capacity,
                                 .page_entries = pages.entries,
                                 .dtype = dtype};
  for (const uint32_t sequence : {1u, 40u}) {
    shape.sequence = sequence;
    for (const int window : {-1, 70}) {
      shape.local_window = window;
      add(fmt::format(".pages.window{}", window), shape, {255, 64, 39}, false, false, true, false,
          pages.table);
    }
  }
}

const bool kRegistered = RegisterKernelCases("group_query_attention", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  const auto add = [&](std::string name, GroupQueryAttentionShape shape,
                       std::vector<double> lengths, bool widen = false, bool plain = false,
                       bool every = false, bool whole_rows = false,
                       std::vector<double> page_table = {}) {
    if (shape.dtype == DType::kF16 && !caps.f16) widen = true;
    KernelCase c;
    c.name =
        fmt::format("b{}.s{}.n{}.kv{}.h{}.c{}.{}{}", shape.batch, shape.sequence, shape.heads,
                    shape.kv_heads, shape.head_size, shape.capacity, DTypeName(shape.dtype), name);
    c.operands = [=] { return MakeOperands(shape, lengths, widen, whole_rows, page_table); };
    c.variants = plain ? std::vector<std::string>{""}
                       : GroupQueryAttentionVariants(widen ? WithoutF16(caps) : caps, shape);
    if (!every) c.variants = FewMatrices(c.variants);
    c.plan = [=](Caps device, std::string_view variant) {
      if (widen) device = WithoutF16(device);
      if (plain) device = WithoutSubgroups(device);
      return PlanGroupQueryAttention(device, shape, variant);
    };
    double keys = 0;
    for (size_t b = 0; b < shape.batch; ++b) {
      keys += static_cast<double>(std::min<int64_t>(TotalOf(shape, lengths, b), shape.limit()));
    }
    // The other cases only have to try every variant.
    if (keys >= 200 && shape.causal) {
      c.bytes = keys * 2 * shape.kv_heads * shape.head_size * (DTypeBits(shape.dtype) / 8);
      c.flops = keys * 4 * shape.heads * shape.sequence * shape.head_size;
    }
    cases.push_back(std::move(c));
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    const auto shape_of = [dtype](uint32_t sequence, uint32_t heads, uint32_t kv_heads,
                                  uint32_t size, uint32_t capacity) {
      return GroupQueryAttentionShape{.sequence = sequence,
                                      .heads = heads,
                                      .kv_heads = kv_heads,
                                      .head_size = size,
                                      .capacity = capacity,
                                      .dtype = dtype};
    };
    // One row over various lengths.
    for (const double length : {1, 2, 63, 64, 65, 127, 128, 129, 1000}) {
      add(fmt::format(".len{}", length), shape_of(1, 4, 2, 64, 1024), {length - 1});
    }
    // Prompts, and one that the matrix variants tile in all their ways, unrolled too.
    for (const uint32_t length : {2u, 17u, 63u, 64u, 65u, 127u, 128u, 129u}) {
      add("", shape_of(length, 2, 1, 64, 130), {length - 1.0});
    }
    add(".every", shape_of(129, 2, 1, 32, 130), {128}, false, false, true);
    // A chunk after a long past.
    add(".past", shape_of(65, 4, 2, 64, 1030), {999});
    add(".past.every", shape_of(40, 2, 1, 24, 300), {290}, false, false, true);
    // Head sizes and groups.
    for (const uint32_t size : {5u, 8u, 80u, 96u, 128u, 256u}) {
      add(".extend", shape_of(3, 2, 2, size, 50), {40});
    }
    // Sizes that no model has, for the limits of the layout of threads.
    for (const uint32_t size : {1u, 65u, 300u, 512u, 520u, 1024u}) {
      if (dtype == DType::kF32) add(".extend", shape_of(3, 2, 2, size, 50), {40});
    }
    for (const uint32_t group : {1u, 2u, 3u, 5u, 8u, 16u}) {
      add(".group", shape_of(7, 2 * group, 2, 64, 80), {70});
    }
    // Several sequences of different lengths: a right-padded prompt and the full cache.
    GroupQueryAttentionShape batch = shape_of(9, 4, 2, 64, 48);
    batch.batch = 3;
    add(".batch", batch, {4, 30, 47});
    batch.q_layout = HeadLayout::kBNSH;
    add(".bnsh", batch, {4, 30, 47});
    // Options.
    for (const uint32_t sequence : {1u, 40u}) {
      GroupQueryAttentionShape shape = shape_of(sequence, 6, 2, 64, 200);
      for (const int window : {1, 7, 32, 128, 199}) {
        shape.local_window = window;
        add(fmt::format(".window{}", window), shape, {180});
      }
      shape.local_window = -1;
      // Maxima that grow from tile to tile, so that sums are rescaled.
      shape.scale = 2;
      add(".steep", shape, {190});
      shape.scale = 0.31f;
      add(".scale", shape, {100});
      shape.softcap = 3;
      add(".softcap", shape, {100});
      shape.has_head_sink = true;
      add(".softcap.sink", shape, {100});
      shape.softcap = 0;
      shape.local_window = 128;
      add(".sink.window128", shape, {160});
      shape.has_head_sink = false;
      shape.smooth_softmax = true;
      add(".smooth", shape, {100});
      shape.smooth_softmax = false;
      shape.bias_total = 180;  // fewer than the keys: the others have no bias
      add(".bias", shape, {190});
      shape.batch = 2;
      add(".bias.batch", shape, {190, 100});
      shape.bias_batch = 2;
      shape.bias_heads = 6;
      add(".bias.full", shape, {190, 100});
      shape.has_head_sink = true;
      add(".bias.full.sink", shape, {190, 100});
    }
    AddPages(dtype, add);
    AddBidirectional(dtype, add);
    AddPasts(dtype, add);
    add("", shape_of(200, 16, 8, 128, 256), {199});  // Qwen3's heads
    if (dtype == DType::kF16) add("", shape_of(512, 16, 8, 128, 640), {511});
  }
  // Llama-3.2-1B's and Phi-3-mini's heads.
  for (const auto& [kv_heads, size] : {std::pair{8u, 64u}, {32u, 96u}}) {
    add("",
        {.sequence = 512,
         .heads = 32,
         .kv_heads = kv_heads,
         .head_size = size,
         .capacity = 640,
         .dtype = DType::kF16},
        {511});
    cases.back().benchmark_only = true;
  }
  GroupQueryAttentionShape shape{.sequence = 2,
                                 .heads = 4,
                                 .kv_heads = 2,
                                 .head_size = 64,
                                 .capacity = 64,
                                 .dtype = DType::kF16};
  add(".widened", shape, {50}, true);
  add(".no_subgroups", shape, {50}, false, true);
  return cases;
});

TEST(GroupQueryAttention, ReferenceMatchesHandComputedRows) {
  // Two keys of one element; the second row sees both, with scores 0 and ln 3.
  GroupQueryAttentionShape shape{.sequence = 2, .head_size = 1, .capacity = 2, .scale = 1};
  const std::vector<double> q = {1, 1}, k = {0, std::log(3.0)}, v = {8, 4}, last = {1};
  EXPECT_EQ(GroupQueryAttentionReference(shape, q, k, v, last, {}, {}),
            (std::vector<double>{8, 5}));
  shape.local_window = 1;
  EXPECT_EQ(GroupQueryAttentionReference(shape, q, k, v, last, {}, {}),
            (std::vector<double>{8, 4}));
  shape.smooth_softmax = true;
  const auto smooth = GroupQueryAttentionReference(shape, q, k, v, last, {}, {});
  EXPECT_DOUBLE_EQ(smooth[0], 4);
  EXPECT_DOUBLE_EQ(smooth[1], 3);
}

TEST(GroupQueryAttention, ReferenceSeesTheKeysThatTheShapeSays) {
  // Each value is the number of its key, and scores are equal, so the output is the mean of the
  // visible keys.
  GroupQueryAttentionShape shape{.sequence = 3,
                                 .head_size = 1,
                                 .capacity = 5,
                                 .causal = false,
                                 .lengths = KeyLengths::kCapacity};
  const std::vector<double> q(3, 0), k(5, 0), v = {1, 2, 4, 8, 16};
  std::vector<double> lengths, bias;
  const auto keys = [&] { return GroupQueryAttentionReference(shape, q, k, v, lengths, {}, bias); };
  EXPECT_EQ(keys(), (std::vector<double>{31 / 5., 31 / 5., 31 / 5.}));
  shape.key_limit = 4;
  EXPECT_EQ(keys(), (std::vector<double>{15 / 4., 15 / 4., 15 / 4.}));
  shape.key_limit = 0;
  // The rows are at positions 2, 3 and 4, and see one key to either side.
  shape.local_window = 2;
  EXPECT_EQ(keys(), (std::vector<double>{14 / 3., 28 / 3., 24 / 2.}));
  shape.local_window = -1;
  shape.causal = true;
  EXPECT_EQ(keys(), (std::vector<double>{7 / 3., 15 / 4., 31 / 5.}));
  shape.past_max = 0;
  EXPECT_EQ(keys(), (std::vector<double>{1, 3 / 2., 7 / 3.}));
  // There are two keys; the first row is before them.
  lengths = {2};
  shape.lengths = KeyLengths::kTotal;
  EXPECT_EQ(keys(), (std::vector<double>{1, 3 / 2., 3 / 2.}));
  shape.past_min = -9;
  EXPECT_EQ(keys(), (std::vector<double>{0, 1, 3 / 2.}));
  shape.causal = false;
  shape.bias_is_mask = true;
  shape.bias_total = 2;
  bias = {0, 1, 1, 1, 0, 0};
  EXPECT_EQ(keys(), (std::vector<double>{2, 3 / 2., 0}));
  shape.bias_rows = 1;
  bias = {7, 0};
  EXPECT_EQ(keys(), (std::vector<double>{1, 1, 1}));
}

TEST(GroupQueryAttention, PlanPicksByRowsAndHeadSize) {
  const auto variant = [](uint32_t sequence, uint32_t size) {
    return PlanGroupQueryAttention({}, {.sequence = sequence, .head_size = size}).variant;
  };
  EXPECT_EQ(variant(1, 64), "group_query_attention.f32.h64.row");
  EXPECT_EQ(variant(512, 64), "group_query_attention.f32.h64.prefill");
  EXPECT_EQ(variant(512, 65), "group_query_attention.f32.h65.row");
}

// Pages only say where rows are.
TEST(GroupQueryAttention, PagesDoNotChangeBits) {
  gpu::Device& device = TestDevice();
  const std::vector<double> lengths = {255, 64, 39}, rows = {256, 65, 40};
  const PageTable pages = MakePageTable(4, rows);
  for (const int window : {-1, 70}) {
    GroupQueryAttentionShape shape{.batch = 3,
                                   .sequence = 40,
                                   .heads = 4,
                                   .kv_heads = 2,
                                   .head_size = 32,
                                   .capacity = 256,
                                   .dtype = DType::kF16,
                                   .local_window = window};
    const GroupQueryAttentionShape contiguous = shape;
    shape.page_entries = pages.entries;
    shape.capacity = pages.capacity;
    std::vector<Operand> apart = MakeOperands(contiguous, lengths, !device.caps().f16, false, {});
    std::vector<Operand> paged = apart;
    using Roles = GroupQueryAttentionRoles;
    for (const Role& cache : {Roles::kKeyCache, Roles::kValueCache}) {
      std::vector<double>& values = paged[cache.binding - 1].values;
      values = InPages(pages, shape.kv_heads, shape.head_size, rows, values,
                       std::numeric_limits<double>::quiet_NaN());
    }
    paged[Roles::kPageTable.binding - 1] = Operand::Input(DType::kI32, pages.table);
    for (const std::string& variant :
         FewMatrices(GroupQueryAttentionVariants(device.caps(), shape))) {
      const auto run = [&](const GroupQueryAttentionShape& which,
                           std::span<const Operand> operands) {
        return RunPlan(device, PlanGroupQueryAttention(device.caps(), which, variant),
                       operands)[Roles::kOutput.binding - 1];
      };
      EXPECT_EQ(run(shape, paged), run(contiguous, apart)) << variant;
    }
  }
}

// An H200 has matrices of 16 x 16, subgroups of 32 and 48 KiB of workgroup memory.
TEST(GroupQueryAttention, PlanTakesMatrixUnitsThatAreThere) {
  Caps caps;
  caps.f16 = caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.limits.max_workgroup_storage_bytes = 48 << 10;
  caps.subgroup_matrix = {{DType::kF16, DType::kF16, 16, 16, 16},
                          {DType::kF16, DType::kF32, 16, 8, 16},
                          {DType::kF16, DType::kF32, 16, 16, 16}};
  const auto variant = [&](uint32_t size, DType dtype) {
    GroupQueryAttentionShape shape{.sequence = 512, .head_size = size, .dtype = dtype};
    return PlanGroupQueryAttention(caps, shape).variant;
  };
  const std::string name = "group_query_attention.f16.h";
  EXPECT_EQ(variant(64, DType::kF16), name + "64.matrix.r64.k32.sg32.16x16.g1");
  EXPECT_EQ(variant(80, DType::kF16), name + "80.matrix.r64.k32.sg32.16x16.g1");
  EXPECT_EQ(variant(128, DType::kF16), name + "128.matrix.r64.k32.sg32.16x16.g1");
  EXPECT_EQ(variant(256, DType::kF16), name + "256.matrix.r64.k32.sg32.16x16.g1");
  EXPECT_EQ(variant(72, DType::kF16), name + "72.prefill");
  EXPECT_EQ(variant(128, DType::kF32), "group_query_attention.f32.h128.prefill");
  caps.software = true;
  EXPECT_EQ(variant(128, DType::kF16), name + "128.prefill");
  caps.software = false;
  caps.subgroup_min_size = 16;
  EXPECT_EQ(variant(128, DType::kF16), name + "128.prefill");
}

TEST(GroupQueryAttention, RefusesWhatItCannotDo) {
  EXPECT_THROW(PlanGroupQueryAttention({}, {.heads = 3, .kv_heads = 2}), Error);
  EXPECT_THROW(PlanGroupQueryAttention({}, {.head_size = 1025}), Error);
  EXPECT_THROW(PlanGroupQueryAttention({}, {.head_size = 65}, "prefill"), Error);
  EXPECT_THROW(PlanGroupQueryAttention({}, {.dtype = DType::kI32}), Error);
}

}  // namespace
}  // namespace sinter::kernels
