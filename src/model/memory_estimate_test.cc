#include "model/memory_estimate.h"

#include <gtest/gtest.h>

#include "model/kv_cache.h"
#include "model/model_folder.h"
#include "support/model_builder.h"

namespace sinter::model {
namespace {

Caps CapsOf(bool f16) {
  Caps caps;
  caps.f16 = f16;
  caps.limits.max_storage_binding_bytes = caps.limits.max_buffer_size = UINT32_MAX;
  caps.limits.max_storage_buffers_per_stage = 16;
  caps.limits.max_workgroup_storage_bytes = 32 << 10;
  caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 1024;
  return caps;
}

class MemoryEstimateTest : public testing::Test {
 protected:
  MemoryEstimateTest() {
    support::ModelSpec spec = support::ModelNamed("qwen3_f32");
    spec.context = 4096;
    const support::TempFolder temp;
    support::WriteModelFolder(spec, temp.path());
    folder_ = ModelFolder::Read(temp.path());
    Rewrite(*folder_.graph, folder_.config, {}, folder_.run_form.one_row);
  }
  MemoryEstimate Estimate(int64_t max_length, int64_t chunk = 0) const {
    return EstimateMemory(*folder_.graph, folder_.config, folder_.run_form, caps_,
                          {.max_length = max_length, .chunk = chunk});
  }
  uint64_t CacheBytes(int64_t rows) const {
    return LayOutKvCache(folder_.config, *folder_.graph, caps_, rows).total_bytes();
  }
  int64_t Longest(uint64_t bytes, int64_t max_length = 4096, int64_t chunk = 0) const {
    return LongestInMemory(*folder_.graph, folder_.config, caps_, bytes, max_length, chunk);
  }

  Caps caps_ = CapsOf(/*f16=*/true);
  ModelFolder folder_;
};

TEST_F(MemoryEstimateTest, CoversTheProgramsOfALoad) {
  const MemoryEstimate estimate = Estimate(4096);
  // Up to 256 rows may be padding.
  EXPECT_EQ(estimate.cache, CacheBytes(4096 + 256));
  EXPECT_GT(estimate.weights, 0u);
  EXPECT_GT(estimate.workspace, 0u);
  EXPECT_EQ(estimate.total(), estimate.weights + estimate.cache + estimate.workspace);
  EXPECT_EQ(estimate.token_graph->inputs().front()->shape(), (std::vector<int64_t>{1, 1}));
  EXPECT_FALSE(estimate.token_program.dispatches.empty());
  // Short programs take less, and weights do not depend on the length.
  const MemoryEstimate shorter = Estimate(100, 16);
  EXPECT_EQ(shorter.weights, estimate.weights);
  EXPECT_LT(shorter.workspace, estimate.workspace);
  EXPECT_EQ(shorter.cache, CacheBytes(100 + 16));
  EXPECT_EQ(Estimate(1).cache, CacheBytes(2));
}

TEST_F(MemoryEstimateTest, FindsTheLongestThatFits) {
  EXPECT_EQ(Longest(UINT64_MAX), 4096);
  EXPECT_EQ(Longest(CacheBytes(4096 + 256)), 4096);
  EXPECT_EQ(Longest(CacheBytes(4096 + 256) - 1), 3840) << "a multiple of 256";
  EXPECT_EQ(Longest(CacheBytes(4096 + 256), 1000), 1000);
  EXPECT_EQ(Longest(CacheBytes(200)), 100) << "as many rows of padding as tokens";
  EXPECT_EQ(Longest(CacheBytes(116), 4096, 16), 100);
  EXPECT_EQ(Longest(CacheBytes(2) - 1), 0);
  EXPECT_EQ(Longest(0), 0);
}

}  // namespace
}  // namespace sinter::model
