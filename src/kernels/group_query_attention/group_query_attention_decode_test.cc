#include "kernels/group_query_attention/group_query_attention_decode.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "base/error.h"
#include "gpu/device.h"
#include "kernels/group_query_attention/group_query_attention_testing.h"
#include "kernels/testing/kernel_case.h"
#include "kernels/testing/page_tables.h"
#include "run/record_plan.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

using Shape = GroupQueryAttentionDecodeShape;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
using Roles = GroupQueryAttentionDecodeRoles;

// Returns the index of an operand in a case's table.
constexpr size_t PlaceOf(const Role& role) { return role.binding - 1; }

std::vector<Operand> MakeOperands(const Shape& shape, const std::vector<double>& seqlens_k,
                                  uint64_t scratch_words, bool widen,
                                  const std::vector<double>& page_table = {}) {
  const GroupQueryAttentionShape& attention = shape.attention;
  const DType logical = attention.dtype;
  const DType dtype = widen ? DType::kF32 : logical;
  const size_t size = attention.head_size;
  gqa_testing::Inputs node = gqa_testing::MakeInputs(shape, seqlens_k, page_table);
  // Rows that are not in a sequence's past must not be read.
  const CacheRows rows = {attention.kv_heads, attention.capacity, attention.page_entries,
                          page_table};
  std::vector<bool> is_past(rows.Count(attention.batch));
  for (size_t b = 0; b < attention.batch; ++b) {
    const auto past = static_cast<size_t>(
        std::clamp(seqlens_k[b] + 1 - double(attention.sequence), 0.0, double(attention.rows())));
    for (size_t n = 0; n < attention.kv_heads; ++n) {
      for (size_t t = 0; t < past; ++t) is_past[rows.At(b, n, t)] = true;
    }
  }
  for (size_t i = 0; i < node.k_cache.size(); ++i) {
    if (!is_past[i / size]) node.k_cache[i] = node.v_cache[i] = kNaN;
  }
  const auto random = [&](size_t count, uint32_t seed) {
    return RandomValues(logical, count, seed);
  };
  const auto sink = random(attention.has_head_sink ? attention.heads : 0, 9);
  auto bias = random(size_t{attention.bias_batch} * attention.bias_heads * attention.sequence *
                         attention.bias_total,
                     10);
  for (size_t i = 0; i < bias.size(); i += 3) bias[i] = logical == DType::kF16 ? -65504 : -1e30;

  const GroupQueryAttentionDecodeInputs inputs = {
      node.query,  node.key,    node.value,     node.seqlens_k, node.cos, node.sin,
      node.q_norm, node.k_norm, node.positions, sink,           bias,     page_table};
  std::vector<double> k_after = node.k_cache, v_after = node.v_cache;
  auto output = GroupQueryAttentionDecodeReference(shape, inputs, k_after, v_after, dtype);
  if (!page_table.empty()) {
    // Sequences without pages write to page 0, and their results mean nothing.
    for (size_t n = 0; n < attention.kv_heads; ++n) {
      const size_t begin = n * attention.capacity * size;
      std::fill_n(k_after.begin() + begin, kPageRows * size, kNaN);
      std::fill_n(v_after.begin() + begin, kPageRows * size, kNaN);
    }
    const size_t sequence = output.size() / attention.batch;
    for (size_t b = 0; b < attention.batch; ++b) {
      if (page_table[b * attention.page_entries] == 0)
        std::fill_n(output.begin() + b * sequence, sequence, kNaN);
    }
  }

  // A normed and rotated query or key is at most 16 (weights and values are below 4) and off by 8 *
  // 2^-24 of that; the rest is as in group_query_attention_test.cc. Keys that are computed and then
  // rounded to f16 may round differently: 2^-10 of 4, times a query of 4.
  const bool computed = shape.has_norm || shape.rotary_dim > 0;
  const double scale = attention.scale == 0 ? 1 / std::sqrt(double(size)) : attention.scale;
  double score = 0x1p-24 * std::sqrt(double(size)) * 8 + attention.softcap * 0x1p-21;
  if (computed) score += 8 * 0x1p-24 * 16 * 16 * std::sqrt(double(size)) * scale;
  if (computed && dtype == DType::kF16) score += 0x1p-10 * 16 * scale;
  const double weight = score + 0x1p-23 * (3 + 2 * 16) * 2;
  const double cache_tolerance = computed ? 2 * Epsilon(dtype) + 8 * 0x1p-24 : 0;

  // NaN matches anything: only the counters are checked.
  std::vector<double> scratch(scratch_words), scratch_after(scratch_words, kNaN);
  std::fill_n(scratch_after.begin(), kCounterWords, 0.0);
  std::vector<Operand> operands = gqa_testing::MakeOperands(
      node, dtype, std::move(k_after), std::move(v_after), 16 * cache_tolerance);
  operands.push_back(attention.has_head_sink ? Operand::Input(dtype, sink) : Operand::Absent());
  operands.push_back(attention.bias_total > 0 ? Operand::Input(dtype, bias) : Operand::Absent());
  operands.push_back(Operand::Output(dtype, output, 2 * 5 * weight, Epsilon(dtype)));
  operands.push_back(
      {.dtype = DType::kU32, .values = std::move(scratch), .expected = std::move(scratch_after)});
  operands.push_back(gqa_testing::PageTableOperand(page_table));
  return operands;
}

// Returns the default, and one variant without subgroups.
std::vector<std::string> SomeVariants(const std::vector<std::string>& all) {
  std::vector<std::string> some = {all[0]};
  for (const std::string& variant : all) {
    if (!variant.starts_with("sg.") && variant != all[0]) some.push_back(variant);
  }
  return some;
}

Shape ShapeOf(DType dtype, uint32_t sequence, uint32_t heads, uint32_t kv_heads, uint32_t size,
              uint32_t capacity) {
  Shape shape;
  shape.attention = {.sequence = sequence,
                     .heads = heads,
                     .kv_heads = kv_heads,
                     .head_size = size,
                     .capacity = capacity,
                     .dtype = dtype};
  return shape;
}

// Returns the shape with packed, normed and rotated inputs, as in Qwen3.
Shape Packed(Shape shape) {
  shape.packed = shape.has_norm = true;
  shape.rotary_dim = shape.attention.head_size / 16 * 16;
  shape.rotary_rows = 64;
  return shape;
}

// Adds sequences of different lengths whose caches are in pages.
template <typename Add>
void AddPages(Shape shape, const Add& add) {
  GroupQueryAttentionShape& attention = shape.attention;
  const auto add_pages = [&](std::string name, const PageTable& pages,
                             std::vector<double> seqlens_k) {
    attention.batch = static_cast<uint32_t>(seqlens_k.size());
    attention.page_entries = pages.entries;
    attention.capacity = pages.capacity;
    add(".pages" + name, shape, std::move(seqlens_k), pages);
  };
  // One row, a page that is just full, the first row of a page, a full table, and two sequences
  // without pages.
  add_pages("", MakePageTable(4, {1, 64, 65, 256, 0, 150, 0}), {0, 63, 64, 255, 0, 149, 0});
  // Sequences of one page take more entries than they have.
  add_pages(".one", MakePageTable(8, {30, 64}), {29, 50});
  // Two sequences share the first page.
  PageTable shared = MakePageTable(4, {100, 180});
  shared.table[4] = shared.table[0];
  add_pages(".shared", shared, {99, 170});
  for (const auto& [window, softcap, sink] :
       {std::tuple(70, 0.0f, true), {7, 3.0f, false}, {64, 0.0f, false}}) {
    attention.local_window = window;
    attention.softcap = softcap;
    attention.has_head_sink = sink;
    add_pages(fmt::format(".window{}", window), MakePageTable(4, {200, 65, 0, 3}), {199, 64, 0, 2});
  }
  attention.local_window = -1;
  attention.sequence = 4;
  // New rows in two pages, and past the end of the table.
  add_pages(".many", MakePageTable(2, {67, 30, 128, 0}), {66, 29, 129, 3});
}

const bool kRegistered = RegisterKernelCases("group_query_attention_decode", [](const Caps& caps) {
  std::vector<KernelCase> cases;
  enum Which { kDefault, kSome, kAll };
  const auto add = [&](std::string name, const Shape& shape, std::vector<double> seqlens_k,
                       Which which = kSome, bool widen = false,
                       std::vector<double> page_table = {}) {
    const GroupQueryAttentionShape& attention = shape.attention;
    if (attention.dtype == DType::kF16 && !caps.f16) widen = true;
    KernelCase c;
    c.name = fmt::format("b{}.q{}.n{}.kv{}.h{}.c{}.{}{}", attention.batch, attention.sequence,
                         attention.heads, attention.kv_heads, attention.head_size,
                         attention.capacity, DTypeName(attention.dtype), name);
    c.variants = GroupQueryAttentionDecodeVariants(widen ? WithoutF16(caps) : caps, shape);
    if (which == kSome) c.variants = SomeVariants(c.variants);
    if (which == kDefault) c.variants.resize(1);
    c.plan = [=](const Caps& device, std::string_view variant) {
      return PlanGroupQueryAttentionDecode(widen ? WithoutF16(device) : device, shape, variant);
    };
    // The scratch is large enough for every variant.
    uint64_t scratch_words = 0;
    for (const std::string& variant : c.variants) {
      scratch_words = std::max(scratch_words,
                               PlanGroupQueryAttentionDecode(caps, shape, variant).scratch_words);
    }
    c.operands = [=] { return MakeOperands(shape, seqlens_k, scratch_words, widen, page_table); };
    double keys = 0;
    for (const double last : seqlens_k) keys += last + 1;
    c.bytes =
        keys * 2 * attention.kv_heads * attention.head_size * (DTypeBits(attention.dtype) / 8);
    c.flops = keys * 4 * attention.heads * attention.sequence * attention.head_size;
    cases.push_back(std::move(c));
  };
  for (const DType dtype : {DType::kF32, DType::kF16}) {
    const auto shape_of = [dtype](uint32_t sequence, uint32_t heads, uint32_t kv_heads,
                                  uint32_t size, uint32_t capacity) {
      return ShapeOf(dtype, sequence, heads, kv_heads, size, capacity);
    };
    // Such large shaders compile slowly on a CPU. So f16 runs only cases that differ by type, and
    // only some cases run every variant.
    const Which most = dtype == DType::kF32 ? kSome : kDefault;
    // Various lengths, most of them much shorter than the cache.
    for (const double length : {1, 2, 63, 64, 65, 127, 128, 129, 1000}) {
      add(fmt::format(".len{}", length), Packed(shape_of(1, 4, 2, 64, 1024)), {length - 1},
          length == 1000 ? kAll : most);
    }
    // Several rows: after a past, from the start, right-padded, and past the end of the cache.
    for (const uint32_t sequence : {2u, 5u, 8u}) {
      const Shape shape = Packed(shape_of(sequence, 4, 2, 64, 300));
      add(".past", shape, {200}, sequence == 8 ? kAll : most);
      add(".start", shape, {sequence - 1.0}, most);
      add(".padded", shape, {0}, most);
      add(".end", shape, {299}, most);
      add(".over", shape, {300}, most);
    }
    // Head sizes and groups.
    for (const uint32_t size : {8u, 16u, 40u, 64u, 80u, 96u, 128u, 256u, 512u}) {
      add(".size", shape_of(1, 2, 2, size, 150), {140}, most);
      add(".size.packed", Packed(shape_of(3, 4, 2, size, 150)), {140}, most);
    }
    for (const uint32_t group : {1u, 2u, 3u, 4u, 5u, 8u, 16u}) {
      add(".group", Packed(shape_of(1, 2 * group, 2, 64, 150)), {140}, most);
      add(".group", Packed(shape_of(3, 2 * group, 2, 128, 150)), {140}, kDefault);
    }
    // Several sequences of different lengths.
    Shape batch = Packed(shape_of(1, 4, 2, 64, 300));
    batch.attention.batch = 3;
    add(".batch", batch, {0, 130, 299}, kAll);
    batch.attention.sequence = 4;
    add(".batch", batch, {3, 130, 290});
    AddPages(Packed(shape_of(1, 4, 2, 64, 0)),
             [&](std::string name, const Shape& shape, std::vector<double> seqlens_k,
                 const PageTable& pages) {
               add(std::move(name), shape, std::move(seqlens_k), most, false, pages.table);
             });
    if (dtype == DType::kF16) continue;
    // Rotations.
    for (const bool interleaved : {false, true}) {
      Shape shape = shape_of(2, 4, 2, 64, 100);
      shape.rotary_dim = 32;
      shape.rotary_rows = 40;  // later positions take the last row
      shape.interleaved = interleaved;
      add(interleaved ? ".interleaved.partial" : ".rotary.partial", shape, {30});
      add(interleaved ? ".interleaved.clamped" : ".rotary.clamped", shape, {80});
      shape.positions = RotaryPositions::kPositionIds;
      shape.attention.batch = 2;
      add(interleaved ? ".interleaved.ids" : ".rotary.ids", shape, {30, 70});
      shape.rotary_dim = 64;
      add(interleaved ? ".interleaved" : ".rotary", shape, {30, 70});
    }
    Shape norm = shape_of(2, 4, 2, 80, 100);
    norm.has_norm = true;
    norm.epsilon = 0.1f;
    add(".norm", norm, {30});
    // Options.
    for (const uint32_t sequence : {1u, 6u}) {
      Shape shape = shape_of(sequence, 6, 2, 64, 400);
      GroupQueryAttentionShape& attention = shape.attention;
      for (const int window : {1, 7, 64, 65, 128, 399}) {
        attention.local_window = window;
        add(fmt::format(".window{}", window), shape, {350}, window == 128 ? kAll : kDefault);
      }
      add(".window399.short", shape, {20});
      attention.local_window = -1;
      attention.scale = 0.31f;
      add(".scale", shape, {100});
      attention.softcap = 3;
      add(".softcap", shape, {100});
      attention.has_head_sink = true;
      add(".softcap.sink", shape, {100});
      attention.softcap = 0;
      attention.local_window = 128;
      add(".sink.window128", shape, {360});
      attention.has_head_sink = false;
      attention.smooth_softmax = true;
      add(".smooth", shape, {100});
      add(".smooth.short", shape, {sequence - 1.0});
      attention.smooth_softmax = false;
      attention.bias_total = 180;  // fewer than the keys: the others have no bias
      add(".bias", shape, {190});
      attention.batch = 2;
      add(".bias.batch", shape, {190, 100});
      attention.bias_batch = 2;
      attention.bias_heads = 6;
      add(".bias.full", shape, {190, 100});
      attention.has_head_sink = true;
      add(".bias.full.sink", shape, {190, 100});
    }
  }
  add(".widened", Packed(ShapeOf(DType::kF16, 2, 4, 2, 64, 64)), {50}, kSome, true);
  // Models: Qwen3-1.7B, Llama-3.2-1B, Phi-3-mini.
  add(".qwen3", Packed(ShapeOf(DType::kF16, 1, 16, 8, 128, 1024)), {511}, kAll);
  add(".qwen3", Packed(ShapeOf(DType::kF16, 1, 16, 8, 128, 4608)), {4095}, kAll);
  // Many sequences, contiguous and in pages.
  for (const uint32_t batch : {8u, 64u}) {
    Shape qwen3 = Packed(ShapeOf(DType::kF16, 1, 16, 8, 128, 640));
    qwen3.attention.batch = batch;
    const std::vector<double> last(batch, 575);
    add(".qwen3", qwen3, last, kAll);
    cases.back().benchmark_only = true;
    const PageTable pages = MakePageTable(12, std::vector<double>(batch, 576));
    qwen3.attention.page_entries = pages.entries;
    qwen3.attention.capacity = pages.capacity;
    add(".qwen3.pages", qwen3, last, kAll, false, pages.table);
    cases.back().benchmark_only = true;
  }
  for (const uint32_t length : {512u, 4096u}) {
    Shape llama = ShapeOf(DType::kF16, 1, 32, 8, 64, length + 512);
    llama.rotary_dim = 64;
    llama.packed = true;
    add(".llama", llama, {length - 1.0}, kAll);
    Shape phi = ShapeOf(DType::kF16, 1, 32, 32, 96, length + 512);
    phi.rotary_dim = 96;
    phi.packed = true;
    add(".phi3", phi, {length - 1.0}, kAll);
  }
  return cases;
});

// A list that runs the kernel repeatedly must find its counters at zero each time. The results do
// not depend on which split finishes last.
TEST(GroupQueryAttentionDecode, RepeatsInOneList) {
  const Shape shape = Packed(ShapeOf(DType::kF32, 1, 4, 2, 64, 1024));
  gpu::Device& device = TestDevice();
  const auto plan = PlanGroupQueryAttentionDecode(device.caps(), shape);
  const std::vector<Operand> operands = MakeOperands(shape, {700}, plan.scratch_words, false);
  std::vector<gpu::Buffer> buffers(operands.size());
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!operands[i].present) continue;
    const std::vector<std::byte> bytes = EncodeOperand(operands[i]);
    buffers[i] = device.CreateBuffer(bytes.size(), "operand");
    device.Upload(buffers[i], 0, bytes);
  }
  std::vector<gpu::Buffer> outputs;
  gpu::CommandList list(device);
  for (int i = 0; i < 20; ++i) {
    buffers[PlaceOf(Roles::kOutput)] =
        device.CreateBuffer(buffers[PlaceOf(Roles::kOutput)].size_bytes(), "output");
    outputs.push_back(buffers[PlaceOf(Roles::kOutput)]);
    run::RecordPlan(device, plan, buffers, list);
  }
  device.Submit(list);
  const auto first = device.Download(outputs[0], 0, outputs[0].size_bytes());
  EXPECT_EQ(CompareOperand(operands[PlaceOf(Roles::kOutput)], first), "");
  for (const gpu::Buffer& output : outputs) {
    EXPECT_EQ(device.Download(output, 0, output.size_bytes()), first);
  }
}

// Neither pages nor other sequences change a bit of a sequence's result.
TEST(GroupQueryAttentionDecode, OnlyTheSequenceChangesItsBits) {
  const uint32_t size = 64;
  for (const int window : {-1, 90}) {
    Shape shape = Packed(ShapeOf(DType::kF32, 1, 4, 2, size, 256));
    GroupQueryAttentionShape& attention = shape.attention;
    attention.batch = 3;
    attention.local_window = window;
    const std::vector<double> seqlens_k = {255, 64, 130}, rows = {256, 65, 131};
    const PageTable pages = MakePageTable(4, rows);
    const Shape contiguous = shape;
    attention.page_entries = pages.entries;
    attention.capacity = pages.capacity;
    // Tiles of more and of fewer rows than a page, one split and several.
    const auto all = GroupQueryAttentionDecodeVariants(TestDevice().caps(), shape);
    std::vector<std::string> some = SomeVariants(all);
    some.push_back(all.back());
    for (const std::string& variant : some) {
      const auto plan_of = [&](const Shape& which) {
        return PlanGroupQueryAttentionDecode(TestDevice().caps(), which, variant);
      };
      const KernelPlan plan = plan_of(contiguous);
      std::vector<Operand> operands =
          MakeOperands(contiguous, seqlens_k, plan.scratch_words, false);
      const auto want = RunPlan(TestDevice(), plan, operands);
      for (const Role& cache : {Roles::kKeyCache, Roles::kValueCache}) {
        std::vector<double>& values = operands[PlaceOf(cache)].values;
        values = InPages(pages, attention.kv_heads, size, rows, values, kNaN);
      }
      operands[PlaceOf(Roles::kPageTable)] = gqa_testing::PageTableOperand(pages.table);
      const auto got = RunPlan(TestDevice(), plan_of(shape), operands);
      EXPECT_EQ(got[PlaceOf(Roles::kOutput)], want[PlaceOf(Roles::kOutput)]) << variant;
      // The second sequence alone, in the same pages.
      Shape alone = shape;
      alone.attention.batch = 1;
      for (const Role& role : {Roles::kQuery, Roles::kSeqlens, Roles::kPageTable, Roles::kOutput}) {
        Operand& operand = operands[PlaceOf(role)];
        for (std::vector<double>* values : {&operand.values, &operand.expected}) {
          const auto count = static_cast<std::ptrdiff_t>(values->size() / attention.batch);
          *values = std::vector(values->begin() + count, values->begin() + 2 * count);
        }
      }
      const auto one = RunPlan(TestDevice(), plan_of(alone), operands)[PlaceOf(Roles::kOutput)];
      EXPECT_TRUE(std::ranges::equal(
          one, std::span(want[PlaceOf(Roles::kOutput)]).subspan(one.size(), one.size())))
          << variant;
    }
  }
}

TEST(GroupQueryAttentionDecode, LeavesToOthersWhatItCannotDo) {
  Caps caps;
  caps.limits.max_storage_buffers_per_stage = 16;
  const auto variants = [&](const Shape& shape) {
    return GroupQueryAttentionDecodeVariants(caps, shape);
  };
  const Shape shape = Packed(ShapeOf(DType::kF32, 1, 4, 2, 64, 128));
  EXPECT_EQ(variants(shape), std::vector<std::string>{"s5.wg64"});
  EXPECT_TRUE(variants(ShapeOf(DType::kF32, 9, 4, 2, 64, 128)).empty());
  EXPECT_TRUE(variants(ShapeOf(DType::kF32, 1, 4, 2, 60, 128)).empty());
  EXPECT_TRUE(variants(ShapeOf(DType::kF32, 1, 4, 2, 520, 128)).empty());
  EXPECT_EQ(variants(ShapeOf(DType::kF32, 1, 4095, 4095, 64, 8)).size(), 1);
  EXPECT_TRUE(variants(ShapeOf(DType::kF32, 1, 4096, 4096, 64, 8)).empty());
  Shape quarter = shape;
  quarter.rotary_dim = 24;
  EXPECT_TRUE(variants(quarter).empty());
  // 10 buffers, and the page table.
  caps.limits.max_storage_buffers_per_stage = 10;
  EXPECT_EQ(variants(shape).size(), 1);
  Shape pages = shape;
  pages.attention.page_entries = 4;
  EXPECT_TRUE(variants(pages).empty());
  caps.limits.max_storage_buffers_per_stage = 11;
  EXPECT_EQ(variants(pages).size(), 1);
  caps.limits.max_storage_buffers_per_stage = 9;
  EXPECT_TRUE(variants(shape).empty());
  EXPECT_THROW(PlanGroupQueryAttentionDecode(caps, shape), Error);
}

TEST(GroupQueryAttentionDecode, PlanSplitsByTheAdaptersWidth) {
  Caps caps;
  caps.subgroups = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.limits.max_storage_buffers_per_stage = 16;
  caps.limits.max_workgroup_storage_bytes = 48 << 10;
  const auto variant = [&](uint32_t heads, uint32_t kv_heads, uint32_t size, uint32_t capacity) {
    const Shape shape = ShapeOf(DType::kF32, 1, heads, kv_heads, size, capacity);
    return GroupQueryAttentionDecodeVariants(caps, shape)[0];
  };
  EXPECT_EQ(variant(16, 8, 128, 4096), "sg.s32.wg256");
  EXPECT_EQ(variant(16, 8, 128, 640), "sg.s11.wg256");
  EXPECT_EQ(variant(32, 32, 96, 4096), "sg.s9.wg256");
  // Several sequences need fewer splits each. Pages count by the rows that a sequence can have.
  Shape many = ShapeOf(DType::kF32, 1, 16, 8, 128, 1 << 20);
  many.attention.page_entries = 64;
  for (const auto& [batch, splits] :
       {std::pair(1u, 32), {2u, 32}, {4u, 16}, {8u, 8}, {16u, 4}, {32u, 2}, {64u, 1}}) {
    many.attention.batch = batch;
    const auto variants = GroupQueryAttentionDecodeVariants(caps, many);
    EXPECT_EQ(variants[0], fmt::format("sg.s{}.wg{}", splits, batch == 1 ? 256 : 128));
    // No plan has more than 16 workgroups for each of 132 multiprocessors.
    EXPECT_EQ(std::ranges::count(variants, "sg.s64.wg256"), batch <= 4) << batch;
    EXPECT_EQ(std::ranges::count(variants, "sg.s1.wg256"), batch > 1) << batch;
    // Any number of splits can be asked for by name, so that all batches can have the same.
    EXPECT_EQ(PlanGroupQueryAttentionDecode(caps, many, "sg.s64.wg256").workgroups[0], 64u);
  }
  EXPECT_THROW(
      PlanGroupQueryAttentionDecode(caps, ShapeOf(DType::kF32, 1, 16, 8, 128, 4096), "sg.s5.wg256"),
      Error);
  EXPECT_THROW(PlanGroupQueryAttentionDecode(caps, ShapeOf(DType::kI32, 1, 16, 8, 128, 4096)),
               Error);
}

}  // namespace
}  // namespace sinter::kernels
