// Chains: which dispatches become one, what stays as it is, the same results, and what happens
// where a GPU does not go on.

#include "compile/chain.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <tuple>

#include "base/error.h"
#include "graph/text.h"
#include "kernels/layer_chain/layer_chain.h"
#include "run/planner.h"
#include "run/program.h"
#include "support/device.h"

namespace sinter::run {
namespace {

using compile::BufferInfo;
using compile::BufferRef;
using compile::Choices;
using compile::Dispatch;
using compile::ExternalPlace;
using compile::ExternalPlaces;
using compile::ForcedVariants;
using compile::Lower;
using compile::Lowered;
using support::SharedDevice;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr std::string_view kAttributes = "bits = 4, block_size = 32";

std::string Weight(const std::string& name, int n, int k, int seed = 0) {
  std::string text = fmt::format("const %{0}.b: u8[{1}, {2}, 16] = [", name, n, k / 32);
  for (int i = 0; i < n * k / 2; ++i)
    text += fmt::format("{}{}", i > 0 ? ", " : "", (i + seed) * 37 % 256);
  text += fmt::format("] const %{}.s: f16[{}, {}] = [", name, n, k / 32);
  for (int i = 0; i < n * k / 32; ++i) text += fmt::format("{}0.0{}", i > 0 ? ", " : "", 1 + i % 3);
  return text + "] ";
}

// Output projection, gate and up, down, and the next layer's QKV of a hidden size of 64; `returned`
// follows.
std::string Layer(std::string_view returned) {
  std::string body =
      "graph g { opset ai.onnx 23 opset com.microsoft 1 opset sinter 1 "
      "input %a: f16[1, 1, 32] input %x: f16[1, 1, 64] const %n: f16[64] = [";
  for (int i = 0; i < 64; ++i)
    body += fmt::format("{}{}", i > 0 ? ", " : "", i % 2 == 0 ? "1" : "0.5");
  body += "] " + Weight("o", 64, 32) + Weight("g", 96, 64) + Weight("u", 96, 64) +
          Weight("d", 64, 96) + Weight("q", 32, 64);
  body += fmt::format(
      "%x1: f16[1, 1, 64] = sinter::MatMulNBitsAdd @out (%a, %o.b, %o.s, _, _, %x) {{K = 32, N = "
      "64, {0}}} "
      "%h: f16[1, 1, 96] = sinter::MatMulNBitsMlp @mlp (%x1, _, _, %n, %g.b, %g.s, _, _, %u.b, "
      "%u.s) "
      "{{K = 64, N = ints[96, 96], epsilon = 0.00001f, activation = \"silu\", {0}}} "
      "%x2: f16[1, 1, 64] = sinter::MatMulNBitsAdd @down (%h, %d.b, %d.s, _, _, %x1) {{K = 96, N = "
      "64, {0}}} "
      "%y: f16[1, 1, 32] = sinter::NormMatMulNBits @qkv (%x2, _, _, %n, %q.b, %q.s) "
      "{{K = 64, N = ints[32], epsilon = 0.00001f, {0}}} ",
      kAttributes);
  return body + fmt::format("return {} }}", returned);
}

// With bindings enough for any layer.
Caps AmpleCaps() {
  Caps caps = SharedDevice()->caps();
  caps.limits.max_storage_buffers_per_stage = 32;
  return caps;
}

Lowered LowerChained(const std::string& text, const ForcedVariants& variants = {}) {
  return Lower(*graph::Parse(text), AmpleCaps(), {}, variants, {}, true);
}

// Bytes of the outputs x2 and y.
std::vector<std::vector<std::byte>> Results(Program& program) {
  program.Run();
  program.Run();  // It waits for rows anew.
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
  return Program(SharedDevice(), weights, *graph, externals, {}, {}, chain);
}

TEST(Chain, JoinsTheProductsOfALayer) {
  const Lowered lowered = LowerChained(Layer("%x2, %y"));
  ASSERT_THAT(lowered.dispatches, SizeIs(1));
  const Dispatch& chain = lowered.dispatches[0];
  EXPECT_EQ(chain.label, "MatMulNBitsAdd out and 3 more");
  EXPECT_THAT(chain.parts, SizeIs(4));
  // Row, rows, vectors; codes and scales of each; the first residual; x2 and y.
  EXPECT_EQ(std::count_if(chain.operands.begin(), chain.operands.end(),
                          [](const BufferRef& ref) { return static_cast<bool>(ref); }),
            3 + 8 + 1 + 2);
  EXPECT_FALSE(chain.alternatives().empty());
  // Without it: a dispatch each.
  EXPECT_THAT(Lower(*graph::Parse(Layer("%x2, %y")), SharedDevice()->caps(), {}, {}).dispatches,
              SizeIs(4));
}

// The layer behind an attention of two heads that share a key, in a cache of 8 rows.
std::string AttentionLayer(std::string_view returned) {
  std::string text = Layer(returned);
  const std::string_view input = "input %a: f16[1, 1, 32] ";
  text.replace(text.find(input), input.size(),
               "input %qkv: f16[1, 1, 64] input %pk: f16[1, 1, 8, 16] input %pv: f16[1, 1, 8, 16] "
               "input %seqlens: i32[1] input %total: i32[1] ");
  text.insert(text.find("%x1:"),
              "%a: f16[1, 1, 32], %key: f16[1, 1, 8, 16], %value: f16[1, 1, 8, 16] = "
              "com.microsoft::GroupQueryAttention @attend (%qkv, _, _, %pk, %pv, %seqlens, %total) "
              "{num_heads = 2, kv_num_heads = 1} ");
  return text;
}

Lowered LowerAttention(const std::string& text) {
  const Caps caps = AmpleCaps();
  const ExternalPlaces caches = {{"pk", {0}}, {"key", {0}}, {"pv", {1}}, {"value", {1}}};
  return Lower(*graph::Parse(text), caps, caches, {}, {}, true);
}

TEST(Chain, BeginsWithAnAttention) {
  const Lowered lowered = LowerAttention(AttentionLayer("%x2, %y, %key, %value"));
  ASSERT_THAT(lowered.dispatches, SizeIs(1));
  EXPECT_EQ(lowered.dispatches[0].label, "GroupQueryAttention attend and 4 more");
  EXPECT_THAT(lowered.dispatches[0].parts, SizeIs(5));
  // The length, a uniform, whatever memory it lies in.
  EXPECT_EQ(lowered.dispatches[0].operands[5].bytes, 4u);
}

TEST(Chain, LeavesAnAttentionThatOthersRead) {
  const Lowered lowered = LowerAttention(AttentionLayer("%a, %x2, %y, %key, %value"));
  ASSERT_THAT(lowered.dispatches, SizeIs(2));
  EXPECT_FALSE(lowered.dispatches[0].is_chain());
  EXPECT_THAT(lowered.dispatches[1].parts, SizeIs(4));
}

// Whole layers of a hidden size of 64, four heads of 16 and two of keys, caches of 8 rows, of which
// each takes what the one before gives: x0 to x<count>.
std::string Layers(int count, const std::string& returned = "") {
  std::string text =
      "graph g { opset ai.onnx 23 opset com.microsoft 1 opset sinter 1 "
      "input %x0: f16[1, 1, 64] input %seqlens: i32[1] input %total: i32[1] const %n: f16[64] = [";
  for (int i = 0; i < 64; ++i)
    text += fmt::format("{}{}", i > 0 ? ", " : "", i % 2 == 0 ? "1" : "0.5");
  text += "] ";
  std::string body, outputs = fmt::format("%x{}", count);
  for (int i = 0; i < count; ++i) {
    text += fmt::format("input %pk{0}: f16[1, 2, 8, 16] input %pv{0}: f16[1, 2, 8, 16] ", i);
    for (const auto& [name, n, k] :
         {std::tuple("q", 128, 64), std::tuple("o", 64, 64), std::tuple("g", 128, 64),
          std::tuple("u", 128, 64), std::tuple("d", 64, 128)}) {
      text += Weight(fmt::format("{}{}", name, i), n, k, i);
    }
    body += fmt::format(
        "%qkv{0}: f16[1, 1, 128] = sinter::NormMatMulNBits @qkv{0} (%x{0}, _, _, %n, %q{0}.b, "
        "%q{0}.s) {{K = 64, N = ints[128], epsilon = 0.00001f, {2}}} "
        "%a{0}: f16[1, 1, 64], %key{0}: f16[1, 2, 8, 16], %value{0}: f16[1, 2, 8, 16] = "
        "com.microsoft::GroupQueryAttention @attend{0} (%qkv{0}, _, _, %pk{0}, %pv{0}, %seqlens, "
        "%total) {{num_heads = 4, kv_num_heads = 2}} "
        "%y{0}: f16[1, 1, 64] = sinter::MatMulNBitsAdd @out{0} (%a{0}, %o{0}.b, %o{0}.s, _, _, "
        "%x{0}) {{K = 64, N = 64, {2}}} "
        "%h{0}: f16[1, 1, 128] = sinter::MatMulNBitsMlp @mlp{0} (%y{0}, _, _, %n, %g{0}.b, "
        "%g{0}.s, "
        "_, _, %u{0}.b, %u{0}.s) {{K = 64, N = ints[128, 128], epsilon = 0.00001f, "
        "activation = \"silu\", {2}}} "
        "%x{1}: f16[1, 1, 64] = sinter::MatMulNBitsAdd @down{0} (%h{0}, %d{0}.b, %d{0}.s, _, _, "
        "%y{0}) {{K = 128, N = 64, {2}}} ",
        i, i + 1, kAttributes);
    outputs += fmt::format(", %key{0}, %value{0}", i);
  }
  return text + body + "return " + outputs + returned + " }";
}

constexpr uint64_t kLayerCacheBytes = 2 * 8 * 16 * 2;

// Keys in one memory and values in another, by `places` for each layer.
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

// The numbers of parts of the dispatches of as many layers.
std::vector<size_t> PartsOfLayers(const std::vector<uint64_t>& places,
                                  uint64_t max_binding = 1 << 20,
                                  const std::string& returned = "") {
  Caps caps = AmpleCaps();
  caps.limits.max_storage_binding_bytes = max_binding;
  const Lowered lowered = Lower(*graph::Parse(Layers(static_cast<int>(places.size()), returned)),
                                caps, CachesAt(places), {}, {}, true);
  std::vector<size_t> parts;
  for (const Dispatch& dispatch : lowered.dispatches) parts.push_back(dispatch.parts.size());
  return parts;
}

TEST(Chain, JoinsLayersThatAreAlike) {
  EXPECT_THAT(PartsOfLayers({0, 1, 2}), ElementsAre(15));
  // With a gap from each cache to the next.
  EXPECT_THAT(PartsOfLayers({1, 3, 5}), ElementsAre(15));
  // Their constants are those of all layers, and no longer those of each.
  const Lowered lowered =
      Lower(*graph::Parse(Layers(3)), AmpleCaps(), CachesAt({0, 1, 2}), {}, {}, true);
  const auto is_weight = [](const BufferInfo& info) {
    return info.kind == BufferInfo::Kind::kWeight;
  };
  // Codes and scales of four links, and the scales of norms.
  EXPECT_EQ(std::count_if(lowered.buffers.begin(), lowered.buffers.end(), is_weight), 9);
}

TEST(Chain, LeavesLayersApartThatDoNotGoTogether) {
  // Caches that lie in another order, unevenly, or in the same place.
  EXPECT_THAT(PartsOfLayers({2, 1, 0}), ElementsAre(5, 5, 5));
  EXPECT_THAT(PartsOfLayers({0, 1, 3}), ElementsAre(10, 5));
  EXPECT_THAT(PartsOfLayers({0, 0}), ElementsAre(5, 5));
  // Gate and up of one layer are 8,192 bytes.
  EXPECT_THAT(PartsOfLayers({0, 1, 2, 3, 4}, 2 * 8192), ElementsAre(10, 10, 5));
  // Somebody else reads what the second layer gives.
  EXPECT_THAT(PartsOfLayers({0, 1, 2, 3}, 1 << 20, ", %x2"), ElementsAre(10, 10));
}

// The layers behind the lookup of a token in a table of ten.
std::string LayersOfToken(int count, const std::string& returned = "") {
  std::string text = Layers(count, returned);
  const std::string_view input = "input %x0: f16[1, 1, 64] ";
  std::string table = "input %token: i32[1, 1] const %table: f16[10, 64] = [";
  for (int i = 0; i < 640; ++i) table += fmt::format("{}0.{}", i > 0 ? ", " : "", 1 + i % 9);
  text.replace(text.find(input), input.size(), table + "] ");
  text.insert(text.find("%qkv0:"),
              "%x0: f16[1, 1, 64] = ai.onnx::Gather @embed (%table, %token) {axis = 0} ");
  return text;
}

TEST(Chain, BeginsWithTheLookupOfAToken) {
  const Caps caps = AmpleCaps();
  const auto lower = [&](const std::string& text) {
    return Lower(*graph::Parse(text), caps, CachesAt({0, 1}), {}, {}, true);
  };
  const Lowered lowered = lower(LayersOfToken(2));
  ASSERT_THAT(lowered.dispatches, SizeIs(1));
  EXPECT_THAT(lowered.dispatches[0].parts, SizeIs(11));
  EXPECT_EQ(lowered.dispatches[0].label, "Gather embed and 10 more");
  // Not where the row is an output too.
  EXPECT_THAT(lower(LayersOfToken(2, ", %x0")).dispatches, SizeIs(2));
}

TEST(Chain, KeepsWhatOthersRead) {
  for (const char* returned : {"%x1, %x2, %y", "%h, %x2, %y"}) {
    const Lowered lowered = LowerChained(Layer(returned));
    ASSERT_THAT(lowered.dispatches, SizeIs(1)) << returned;
    EXPECT_EQ(
        std::count(lowered.dispatches[0].writes.begin(), lowered.dispatches[0].writes.end(), true),
        1 + 3)
        << returned;
  }
}

TEST(Chain, EndsWhereAnotherRowComesIn) {
  std::string text = Layer("%h, %x2, %y");
  text.replace(text.find("input %x:"), 0, "input %other: f16[1, 1, 96] ");
  text.replace(text.find("@down (%h,"), 10, "@down (%other,");
  const Lowered lowered = LowerChained(text);
  ASSERT_THAT(lowered.dispatches, SizeIs(2));
  EXPECT_THAT(lowered.dispatches[0].parts, SizeIs(2));
  EXPECT_THAT(lowered.dispatches[1].parts, SizeIs(2));
}

TEST(Chain, LeavesForcedProductsAlone) {
  EXPECT_THAT(LowerChained(Layer("%x2, %y"), {{"matmul_nbits", "decode"}}).dispatches, SizeIs(4));
  EXPECT_THROW(LowerChained(Layer("%x2, %y"), {{"layer_chain", "fast"}}), Error);
}

TEST(Chain, GivesWhatItsPartsGive) {
  WeightStore weights(SharedDevice());
  Program chained = MakeProgram(weights, true), apart = MakeProgram(weights, false);
  EXPECT_TRUE(chained.has_chains());
  EXPECT_FALSE(apart.has_chains());
  EXPECT_EQ(chained.num_dispatches(), 1u);
  // The same sums of integers, and the same roundings: the same bits.
  EXPECT_EQ(Results(chained), Results(apart));
}

// Several steps, so that rows are waited for anew and keys of earlier steps are read.
TEST(Chain, GivesOverLayersWhatItsPartsGive) {
  constexpr int kLayers = 3;
  const uint64_t alignment = std::max<uint64_t>(
      SharedDevice()->caps().limits.min_storage_offset_alignment, kLayerCacheBytes);
  std::vector<std::vector<std::byte>> results[2];
  WeightStore weights(SharedDevice());
  for (const bool chain : {true, false}) {
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
                gpu::BufferRange(caches[i], layer * alignment, kLayerCacheBytes);
      }
    }
    Program program(SharedDevice(), weights, *graph::Parse(LayersOfToken(kLayers)), externals, {},
                    {}, chain);
    const uint64_t bytes = weights.bytes();
    EXPECT_EQ(program.has_chains(), chain);
    for (int32_t step = 0; step < 6; ++step) {
      SharedDevice()->Upload(seqlens, 0, std::as_bytes(std::span(&step, 1)));
      program.Run();
      const gpu::Buffer& x = program.external(fmt::format("x{}", kLayers));
      results[chain].push_back(SharedDevice()->Download(x, 0, x.size_bytes()));
    }
    program.CheckProgress();
    for (const gpu::Buffer& cache : caches)
      results[chain].push_back(SharedDevice()->Download(cache, 0, cache.size_bytes()));
    // The weights of the layers apart are parts of those that lie together.
    if (!chain) {
      EXPECT_EQ(weights.bytes(), bytes);
    }
  }
  EXPECT_EQ(results[0], results[1]);
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
  // Such a program is never the quicker one.
  PlanBook book(SharedDevice()->adapter(), {});
  EXPECT_FALSE(book.MeasureChain(*SharedDevice(), chained, apart));
}

TEST(Chain, IsChosenByMeasurementAndKept) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("chain_test.{}", getpid());
  std::filesystem::create_directories(folder);
  WeightStore weights(SharedDevice());
  Program chained = MakeProgram(weights, true), apart = MakeProgram(weights, false);
  bool prefers = false;
  {
    PlanBook book(SharedDevice()->adapter(), folder);
    EXPECT_EQ(book.PrefersChain(chained), std::nullopt);
    prefers = book.MeasureChain(*SharedDevice(), chained, apart);
    EXPECT_EQ(book.PrefersChain(chained), prefers);
    ASSERT_THAT(book.records(), SizeIs(1));
    EXPECT_EQ(book.records()[0].variant, prefers ? "chain" : "layer");
  }
  PlanBook again(SharedDevice()->adapter(), folder);
  EXPECT_EQ(again.PrefersChain(chained), prefers);
  EXPECT_EQ(again.PrefersChain(apart), std::nullopt);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sinter::run
