// Tests which dispatches become one chain and which stay as they are.

#include "compile/chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "compile/lowering.h"
#include "graph/text.h"
#include "support/layer_graph.h"

namespace sinter::compile {
namespace {

using support::AttentionLayer;
using support::kLayerCacheBytes;
using support::Layer;
using support::Layers;
using support::LayersOfToken;
using ::testing::ElementsAre;
using ::testing::SizeIs;
using Roles = kernels::LayerChainRoles;

// Returns a GPU on which chains fit, with enough bindings for any layer.
Caps AmpleCaps() {
  Caps caps;
  caps.f16 = caps.subgroups = caps.packed_dot_product = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.limits.max_workgroup_storage_bytes = 32 << 10;
  caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 1024;
  caps.limits.max_storage_buffers_per_stage = 32;
  return caps;
}

Lowered LowerChained(const std::string& text, const ForcedVariants& variants = {}) {
  return Lower(*graph::Parse(text), AmpleCaps(), {}, {.variants = variants, .chain = true});
}

TEST(Chain, JoinsTheProductsOfALayer) {
  const Lowered lowered = LowerChained(Layer("%x2, %y"));
  ASSERT_THAT(lowered.dispatches, SizeIs(1));
  const Dispatch& chain = lowered.dispatches[0];
  EXPECT_EQ(chain.label, "MatMulNBitsAdd out and 3 more");
  EXPECT_THAT(chain.nodes, SizeIs(4));
  // Input, rows, vectors; codes and scales of four links; the first residual; x2 and y.
  EXPECT_THAT(chain.operands, SizeIs(3 + 8 + 1 + 2));
  EXPECT_FALSE(chain.alternatives().empty());
  // Without chains there is one dispatch per product.
  EXPECT_THAT(Lower(*graph::Parse(Layer("%x2, %y")), AmpleCaps(), {}).dispatches, SizeIs(4));
}

Lowered LowerAttention(const std::string& text) {
  const Caps caps = AmpleCaps();
  const ExternalPlaces caches = {{"pk", {0}}, {"key", {0}}, {"pv", {1}}, {"value", {1}}};
  return Lower(*graph::Parse(text), caps, caches, {.chain = true});
}

TEST(Chain, BeginsWithAnAttention) {
  const Lowered lowered = LowerAttention(AttentionLayer("%x2, %y, %key, %value"));
  ASSERT_THAT(lowered.dispatches, SizeIs(1));
  EXPECT_EQ(lowered.dispatches[0].label, "GroupQueryAttention attend and 4 more");
  EXPECT_THAT(lowered.dispatches[0].nodes, SizeIs(5));
  // The length is a uniform of four bytes, although its buffer may be larger.
  EXPECT_EQ(lowered.dispatches[0].Find(Roles::kSeqlens).bytes, 4u);
}

TEST(Chain, LeavesAnAttentionThatOthersRead) {
  const Lowered lowered = LowerAttention(AttentionLayer("%a, %x2, %y, %key, %value"));
  ASSERT_THAT(lowered.dispatches, SizeIs(2));
  EXPECT_FALSE(lowered.dispatches[0].is_chain());
  EXPECT_THAT(lowered.dispatches[1].nodes, SizeIs(4));
}

// Returns places with the keys of all layers in one memory and the values in another, `places`
// counting in caches of one layer.
ExternalPlaces CachesAt(const std::vector<uint64_t>& places) {
  ExternalPlaces caches;
  for (size_t i = 0; i < places.size(); ++i) {
    for (const auto& [past, present, memory] :
         {std::tuple("pk", "key", 0), std::tuple("pv", "value", 1)}) {
      const ExternalPlace place = {memory, places[i] * kLayerCacheBytes};
      caches[fmt::format("{}{}", past, i)] = caches[fmt::format("{}{}", present, i)] = place;
    }
  }
  return caches;
}

// Returns the number of nodes of each dispatch for a graph of as many layers as there are places.
std::vector<size_t> PartsOfLayers(const std::vector<uint64_t>& places,
                                  uint64_t max_binding = 1 << 20,
                                  const std::string& returned = "") {
  Caps caps = AmpleCaps();
  caps.limits.max_storage_binding_bytes = max_binding;
  const Lowered lowered = Lower(*graph::Parse(Layers(static_cast<int>(places.size()), returned)),
                                caps, CachesAt(places), {.chain = true});
  std::vector<size_t> parts;
  for (const Dispatch& dispatch : lowered.dispatches) parts.push_back(dispatch.nodes.size());
  return parts;
}

TEST(Chain, JoinsLayersThatAreAlike) {
  EXPECT_THAT(PartsOfLayers({0, 1, 2}), ElementsAre(15));
  // The caches may have gaps between them.
  EXPECT_THAT(PartsOfLayers({1, 3, 5}), ElementsAre(15));
  // The chain binds the concatenated constants; those of single layers are gone.
  const Lowered lowered =
      Lower(*graph::Parse(Layers(3)), AmpleCaps(), CachesAt({0, 1, 2}), {.chain = true});
  const auto is_weight = [](const BufferInfo& info) {
    return info.kind == BufferInfo::Kind::kWeight;
  };
  // Codes and scales of four links, and the norm scales.
  EXPECT_EQ(std::count_if(lowered.buffers.begin(), lowered.buffers.end(), is_weight), 9);
}

TEST(Chain, JoinsLayersWithCachesInPages) {
  // The layers' caches get 64 rows, eight times as many.
  const std::string text = support::WithCacheRows(Layers(3), 64);
  const ExternalPlaces places = CachesAt({0, 8, 16});
  const LowerOptions options = {.chain = true, .page_entries = 12};
  const Lowered lowered = Lower(*graph::Parse(text), AmpleCaps(), places, options);
  ASSERT_THAT(lowered.dispatches, SizeIs(1));
  EXPECT_THAT(lowered.dispatches[0].nodes, SizeIs(15));
  // A uniform of twelve entries, although its buffer may be larger.
  const BufferRef table = lowered.dispatches[0].Find(Roles::kPageTable);
  EXPECT_EQ(lowered.buffers.at(static_cast<size_t>(table.buffer)).name, kPageTable);
  EXPECT_EQ(table.bytes, 48u);
  EXPECT_EQ(lowered.dispatches[0].Find(Roles::kKeyCache).bytes, 3 * 8 * kLayerCacheBytes);
}

TEST(Chain, LeavesLayersApartThatDoNotGoTogether) {
  // The caches are in reverse order, at unequal distances, or in the same place.
  EXPECT_THAT(PartsOfLayers({2, 1, 0}), ElementsAre(5, 5, 5));
  EXPECT_THAT(PartsOfLayers({0, 1, 3}), ElementsAre(10, 5));
  EXPECT_THAT(PartsOfLayers({0, 0}), ElementsAre(5, 5));
  // Gate and up of one layer are 8,192 bytes.
  EXPECT_THAT(PartsOfLayers({0, 1, 2, 3, 4}, 2 * 8192), ElementsAre(10, 10, 5));
  // Another reader uses the output of the second layer.
  EXPECT_THAT(PartsOfLayers({0, 1, 2, 3}, 1 << 20, ", %x2"), ElementsAre(10, 10));
}

TEST(Chain, BeginsWithTheLookupOfAToken) {
  const Caps caps = AmpleCaps();
  const auto lower = [&](const std::string& text) {
    return Lower(*graph::Parse(text), caps, CachesAt({0, 1}), {.chain = true});
  };
  const Lowered lowered = lower(LayersOfToken(2));
  ASSERT_THAT(lowered.dispatches, SizeIs(1));
  EXPECT_THAT(lowered.dispatches[0].nodes, SizeIs(11));
  EXPECT_EQ(lowered.dispatches[0].label, "Gather embed and 10 more");
  // The lookup stays if its row is an output too.
  EXPECT_THAT(lower(LayersOfToken(2, ", %x0")).dispatches, SizeIs(2));
}

TEST(Chain, KeepsWhatOthersRead) {
  for (const char* returned : {"%x1, %x2, %y", "%h, %x2, %y"}) {
    const Lowered lowered = LowerChained(Layer(returned));
    ASSERT_THAT(lowered.dispatches, SizeIs(1)) << returned;
    // The buffer of rows and three outputs.
    EXPECT_EQ(std::ranges::count_if(lowered.dispatches[0].operands, &Operand::writes), 1 + 3)
        << returned;
  }
}

TEST(Chain, EndsWhereAnotherRowComesIn) {
  std::string text = Layer("%h, %x2, %y");
  text.replace(text.find("input %x:"), 0, "input %other: f16[1, 1, 96] ");
  text.replace(text.find("@down (%h,"), 10, "@down (%other,");
  const Lowered lowered = LowerChained(text);
  ASSERT_THAT(lowered.dispatches, SizeIs(2));
  EXPECT_THAT(lowered.dispatches[0].nodes, SizeIs(2));
  EXPECT_THAT(lowered.dispatches[1].nodes, SizeIs(2));
}

TEST(Chain, LeavesForcedProductsAlone) {
  EXPECT_THAT(LowerChained(Layer("%x2, %y"), {{"matmul_nbits", "decode"}}).dispatches, SizeIs(4));
  EXPECT_THROW(LowerChained(Layer("%x2, %y"), {{"layer_chain", "fast"}}), Error);
}

}  // namespace
}  // namespace sinter::compile
