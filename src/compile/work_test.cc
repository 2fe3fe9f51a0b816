// Tests the bytes and operations that dispatches are said to take.

#include "compile/work.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compile/lowering.h"
#include "graph/text.h"
#include "support/layer_graph.h"

namespace sinter::compile {
namespace {

using ::testing::SizeIs;

Caps AmpleCaps() {
  Caps caps;
  caps.f16 = caps.subgroups = caps.packed_dot_product = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.limits.max_workgroup_storage_bytes = 32 << 10;
  caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 1024;
  caps.limits.max_storage_buffers_per_stage = 32;
  return caps;
}

std::vector<Work> WorkOfText(const std::string& text, const Caps& caps, bool chain = false,
                             const ExternalPlaces& places = {}) {
  const auto graph = graph::Parse(text);
  const Lowered lowered = Lower(*graph, caps, places, {.chain = chain});
  return WorkOf(*graph, lowered, [&](const std::string& name) { return places.contains(name); });
}

// In pages, sequences have the rows of their page tables, whatever the size of the pool.
TEST(Work, CountsTheRowsOfPageTables) {
  const auto graph = graph::Parse(
      "graph g { opset ai.onnx 23 opset com.microsoft 1 input %q: f32[2, 1, 64] "
      "input %pk: f32[2, 1, 6400, 16] input %pv: f32[2, 1, 6400, 16] input %n: i32[2] "
      "input %t: i32[1] %y: f32[2, 1, 32], %k: f32[2, 1, 6400, 16], %v: f32[2, 1, 6400, 16] = "
      "com.microsoft::GroupQueryAttention (%q, _, _, %pk, %pv, %n, %t) "
      "{num_heads = 2, kv_num_heads = 1} return %y, %k, %v }");
  const ExternalPlaces places = {{"pk", {0}}, {"k", {0}}, {"pv", {1}}, {"v", {1}}};
  const Lowered lowered = Lower(*graph, AmpleCaps(), places, {.page_entries = 4});
  const std::vector<Work> works =
      WorkOf(*graph, lowered, [&](const std::string& name) { return places.contains(name); });
  ASSERT_THAT(works, SizeIs(1));
  EXPECT_EQ(works[0].cache_bytes, 2 * 2 * 256 * 16 * 4);
  EXPECT_EQ(works[0].attention_flops, 4 * 64 * 256);
}

// A table counts the rows that go to the output.
TEST(Work, CountsRowsOfATable) {
  const std::vector<Work> works = WorkOfText(
      "graph g { opset ai.onnx 23 const %t: f32[100, 8] = zeros input %i: i64[3] "
      "%y: f32[3, 8] = ai.onnx::Gather (%t, %i) return %y }",
      AmpleCaps());
  ASSERT_THAT(works, SizeIs(1));
  EXPECT_EQ(works[0].weight_bytes, 3 * 8 * 4);
  EXPECT_EQ(works[0].other_bytes, 3 * 4 + 3 * 8 * 4);
  EXPECT_EQ(works[0].flops, 0);
}

// Two nodes with one name have their own work.
TEST(Work, KnowsNodesOfOneName) {
  const std::string weight = support::Weight("a", 64, 64) + support::Weight("b", 32, 64);
  const auto product = [](const char* y, const char* w, int n) {
    return fmt::format(
        "%{0}: f16[1, {2}] = com.microsoft::MatMulNBits @same (%x, %{1}.b, %{1}.s) "
        "{{K = 64, N = {2}, bits = 4, block_size = 32}} ",
        y, w, n);
  };
  const std::vector<Work> works =
      WorkOfText("graph g { opset com.microsoft 1 input %x: f16[1, 64] " + weight +
                     product("y", "a", 64) + product("z", "b", 32) + "return %y, %z }",
                 AmpleCaps());
  ASSERT_THAT(works, SizeIs(2));
  EXPECT_EQ(works[0].flops, 2 * 64 * 64);
  EXPECT_EQ(works[0].weight_bytes, 64 * 32 + 64 * 2 * 2);
  EXPECT_EQ(works[1].flops, 2 * 64 * 32);
}

// A product that is split by rows over dispatches is counted once.
TEST(Work, SplitsANodeOverItsDispatches) {
  Caps caps;
  caps.limits.max_storage_binding_bytes = 1024;
  const std::vector<Work> works = WorkOfText(
      "graph g { opset com.microsoft 1 input %x: f16[1, 64] " + support::Weight("a", 64, 64) +
          "%y: f16[1, 64] = com.microsoft::MatMulNBits (%x, %a.b, %a.s) "
          "{K = 64, N = 64, bits = 4, block_size = 32} return %y }",
      caps);
  ASSERT_GT(works.size(), 1u);
  double flops = 0;
  for (const Work& work : works) flops += work.flops;
  EXPECT_EQ(flops, 2 * 64 * 64);
}

// A chain has the work of the dispatches that it replaces.
TEST(Work, OfAChainIsThatOfItsParts) {
  const std::string text = support::Layers(2);
  ExternalPlaces places;
  for (uint64_t i = 0; i < 2; ++i) {
    const uint64_t offset = i * support::kLayerCacheBytes;
    places[fmt::format("pk{}", i)] = places[fmt::format("key{}", i)] = {0, offset};
    places[fmt::format("pv{}", i)] = places[fmt::format("value{}", i)] = {1, offset};
  }
  const std::vector<Work> apart = WorkOfText(text, AmpleCaps(), false, places),
                          chained = WorkOfText(text, AmpleCaps(), true, places);
  ASSERT_THAT(apart, SizeIs(10));
  ASSERT_THAT(chained, SizeIs(1));
  Work sum;
  for (const Work& work : apart) {
    sum.weight_bytes += work.weight_bytes;
    sum.cache_bytes += work.cache_bytes;
    sum.flops += work.flops;
    sum.attention_flops += work.attention_flops;
  }
  EXPECT_EQ(chained[0].weight_bytes, sum.weight_bytes);
  EXPECT_EQ(chained[0].cache_bytes, sum.cache_bytes);
  EXPECT_EQ(chained[0].flops, sum.flops);
  EXPECT_EQ(chained[0].attention_flops, sum.attention_flops);
  EXPECT_EQ(sum.cache_bytes, 2 * 2 * support::kLayerCacheBytes);
  EXPECT_GT(sum.attention_flops, 0);
}

}  // namespace
}  // namespace sinter::compile
