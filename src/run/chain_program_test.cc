// Tests chains on a GPU: results equal to those of separate dispatches, and the error if workgroups
// make no progress.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "graph/text.h"
#include "kernels/layer_chain/layer_chain.h"
#include "run/program.h"
#include "support/device.h"
#include "support/layer_graph.h"

namespace sinter::run {
namespace {

using support::kLayerCacheBytes;
using support::Layer;
using support::LayersOfToken;
using support::SharedDevice;
using ::testing::HasSubstr;

// Runs the program twice and returns the bytes of its outputs x2 and y.
std::vector<std::vector<std::byte>> Results(Program& program) {
  program.Run();
  program.Run();  // The second run waits for new rows.
  program.CheckProgress();
  std::vector<std::vector<std::byte>> results;
  for (const char* name : {"x2", "y"}) {
    const gpu::Buffer& buffer = program.external(name);
    results.push_back(SharedDevice()->Download(buffer, 0, buffer.size_bytes()));
  }
  return results;
}

gpu::Buffer MakeInput(const char* name, int count) {
  std::vector<uint16_t> values;
  for (int i = 0; i < count; ++i) values.push_back(static_cast<uint16_t>(0x3c00 + 16 * i - 512));
  gpu::Buffer buffer = SharedDevice()->CreateBuffer(values.size() * 2, name);
  SharedDevice()->Upload(buffer, 0, std::as_bytes(std::span(values)));
  return buffer;
}

Program MakeProgram(WeightStore& weights, bool chain) {
  const auto graph = graph::Parse(Layer("%x2, %y"));
  Externals externals;
  for (const auto& [name, count] : {std::pair("a", 32), std::pair("x", 64)})
    externals[name] = MakeInput(name, count);
  return Program(SharedDevice(), weights, *graph, externals, {.chain = chain});
}

TEST(Chain, GivesWhatItsPartsGive) {
  WeightStore weights(SharedDevice());
  Program chained = MakeProgram(weights, true), apart = MakeProgram(weights, false);
  EXPECT_TRUE(chained.has_chains());
  EXPECT_FALSE(apart.has_chains());
  EXPECT_EQ(chained.num_dispatches(), 1u);
  // Both compute the same integer sums with the same roundings, so the bits are equal.
  EXPECT_EQ(Results(chained), Results(apart));
}

// Runs several steps, so that each waits for new rows and reads keys of earlier steps, in caches
// that are contiguous and in pages.
TEST(Chain, GivesOverLayersWhatItsPartsGive) {
  constexpr int kLayers = 3;
  // Five pages, of which the sequence has two.
  constexpr int kRows = 5 * 64;
  const std::vector<int32_t> table = {4, 1, 0, 0};
  const uint64_t layer_bytes = kLayerCacheBytes * kRows / 8;
  const uint64_t alignment =
      std::max<uint64_t>(SharedDevice()->caps().limits.min_storage_offset_alignment, layer_bytes);
  const std::string text = support::WithCacheRows(LayersOfToken(kLayers), kRows);
  // With chain and without, contiguous and in pages.
  std::vector<std::vector<std::byte>> results[2][2], cached[2][2];
  WeightStore weights(SharedDevice());
  for (const auto& [chain, paged] :
       {std::pair(true, false), {false, false}, {true, true}, {false, true}}) {
    Externals externals;
    const int32_t token = -3;
    const gpu::Buffer tokens = SharedDevice()->CreateBuffer(4, "token");
    SharedDevice()->Upload(tokens, 0, std::as_bytes(std::span(&token, 1)));
    externals["token"] = tokens;
    const gpu::Buffer seqlens = SharedDevice()->CreateBuffer(4, "seqlens");
    externals["seqlens"] = externals["total"] = seqlens;
    gpu::Buffer caches[2];
    for (const auto& [i, past, present] :
         {std::tuple(0, "pk", "key"), std::tuple(1, "pv", "value")}) {
      caches[i] = SharedDevice()->CreateBuffer(kLayers * alignment, past);
      SharedDevice()->Upload(caches[i], 0, std::vector<std::byte>(kLayers * alignment));
      for (uint64_t layer = 0; layer < kLayers; ++layer) {
        externals[fmt::format("{}{}", past, layer)] =
            externals[fmt::format("{}{}", present, layer)] =
                gpu::BufferRange(caches[i], layer * alignment, layer_bytes);
      }
    }
    if (paged) {
      // The buffer has room for the tables of other sequences.
      const gpu::Buffer pages = SharedDevice()->CreateBuffer(1 << 17, "pages");
      SharedDevice()->Upload(pages, 0, std::as_bytes(std::span(table)));
      externals[std::string(compile::kPageTable)] = pages;
    }
    Program program(SharedDevice(), weights, *graph::Parse(text), externals,
                    {.chain = chain, .page_entries = paged ? 4u : 0u});
    const uint64_t bytes = weights.bytes();
    EXPECT_EQ(program.has_chains(), chain);
    for (const int32_t step : {0, 1, 2, 62, 63, 64, 65}) {
      SharedDevice()->Upload(seqlens, 0, std::as_bytes(std::span(&step, 1)));
      program.Run();
      const gpu::Buffer& x = program.external(fmt::format("x{}", kLayers));
      results[chain][paged].push_back(SharedDevice()->Download(x, 0, x.size_bytes()));
    }
    program.CheckProgress();
    for (const gpu::Buffer& cache : caches)
      cached[chain][paged].push_back(SharedDevice()->Download(cache, 0, cache.size_bytes()));
    // The weights of the single layers are parts of the joined weights, so nothing is uploaded
    // again.
    if (!chain) {
      EXPECT_EQ(weights.bytes(), bytes);
    }
  }
  EXPECT_EQ(results[0][0], results[1][0]);
  EXPECT_EQ(results[0][1], results[1][1]);
  EXPECT_EQ(results[0][0], results[0][1]);
  EXPECT_EQ(cached[0][0], cached[1][0]);
  EXPECT_EQ(cached[0][1], cached[1][1]);
}

TEST(Chain, SaysWhereWorkgroupsWaitedInVain) {
  WeightStore weights(SharedDevice());
  Program chained = MakeProgram(weights, true), apart = MakeProgram(weights, false);
  chained.CheckProgress();
  const uint32_t one = 1;
  SharedDevice()->Upload(chained.compiled()->rows(), kernels::kChainStuckWord * 4,
                         std::as_bytes(std::span(&one, 1)));
  EXPECT_TRUE(chained.IsStuck());
  EXPECT_FALSE(apart.IsStuck());
  try {
    chained.CheckProgress();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("fusion level 'chain': got workgroups that waited in vain"));
    EXPECT_THAT(error.what(), HasSubstr("--fusion layer"));
  }
  apart.CheckProgress();
}

}  // namespace
}  // namespace sinter::run
