// Chains: which dispatches become one, what stays as it is, the same results, and what happens
// where a GPU does not go on.

#include "exec/chain.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.h"
#include "exec/planner.h"
#include "exec/program.h"
#include "graph/text.h"
#include "kernels/matmul_nbits/matmul_nbits_chain.h"
#include "support/device.h"

namespace sinter::exec {
namespace {

using support::SharedDevice;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr std::string_view kAttributes = "bits = 4, block_size = 32";

std::string Weight(const std::string& name, int n, int k) {
  std::string text = fmt::format("const %{0}.b: u8[{1}, {2}, 16] = [", name, n, k / 32);
  for (int i = 0; i < n * k / 2; ++i) text += fmt::format("{}{}", i > 0 ? ", " : "", i * 37 % 256);
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

Lowered LowerChained(const std::string& text, const ForcedVariants& variants = {}) {
  gpu::Caps caps = SharedDevice()->caps();
  // Enough for any layer.
  caps.limits.max_storage_buffers_per_stage = 32;
  return Lower(*graph::Parse(text), caps, {}, variants, {}, true);
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
  std::map<std::string, gpu::Buffer> externals;
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
  gpu::Caps caps = SharedDevice()->caps();
  caps.limits.max_storage_buffers_per_stage = 32;
  const std::map<std::string, int> caches = {{"pk", 0}, {"key", 0}, {"pv", 1}, {"value", 1}};
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

// The layer with a residual that is computed, whose sum somebody reads.
std::string LayerInPlace(std::string_view returned) {
  std::string text = Layer(returned);
  const std::string_view input = "input %x: f16[1, 1, 64] ";
  text.replace(text.find(input), input.size(), "input %x0: f16[1, 1, 64] ");
  text.insert(text.find("%x1:"), "%x: f16[1, 1, 64] = ai.onnx::Add (%x0, %x0) ");
  text.insert(text.find("return "), "%z: f16[1, 1, 64] = ai.onnx::Add (%x2, %x2) ");
  return text;
}

TEST(Chain, WritesAResidualInPlace) {
  const Lowered lowered = LowerChained(LayerInPlace("%z, %y"));
  ASSERT_THAT(lowered.dispatches, SizeIs(3));
  const std::vector<BufferRef>& sum = lowered.dispatches[2].operands;
  const auto is_written = [&](const BufferRef& ref) {
    const Dispatch& add = lowered.dispatches[0];
    for (size_t i = 0; i < add.operands.size(); ++i) {
      if (add.writes[i] && add.operands[i].buffer == ref.buffer) return true;
    }
    return false;
  };
  EXPECT_TRUE(is_written(sum[0]));
  // Not where the residual is read once more.
  std::string text = LayerInPlace("%z, %y, %late");
  text.insert(text.find("return "), "%late: f16[1, 1, 64] = ai.onnx::Add (%x, %x2) ");
  const Lowered apart = LowerChained(text);
  EXPECT_NE(apart.dispatches[2].operands[0].buffer, apart.dispatches[0].operands[2].buffer);
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
  EXPECT_THROW(LowerChained(Layer("%x2, %y"), {{"matmul_nbits_chain", "fast"}}), Error);
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

TEST(Chain, GivesInPlaceWhatItsPartsGive) {
  std::vector<std::vector<std::byte>> results;
  for (const bool chain : {true, false}) {
    WeightStore weights(SharedDevice());
    std::map<std::string, gpu::Buffer> externals;
    for (const auto& [name, count] : {std::pair("a", 32), std::pair("x0", 64)})
      externals[name] = MakeInput(name, count);
    Program program(SharedDevice(), weights, *graph::Parse(LayerInPlace("%z, %y")), externals, {},
                    {}, chain);
    EXPECT_EQ(program.num_dispatches(), chain ? 3u : 6u);
    program.Run();
    program.Run();
    program.CheckProgress();
    for (const char* name : {"z", "y"}) {
      const gpu::Buffer& buffer = program.external(name);
      results.push_back(SharedDevice()->Download(buffer, 0, buffer.size_bytes()));
    }
  }
  EXPECT_EQ(results[0], results[2]);
  EXPECT_EQ(results[1], results[3]);
}

TEST(Chain, SaysWhereWorkgroupsWaitedInVain) {
  WeightStore weights(SharedDevice());
  Program chained = MakeProgram(weights, true), apart = MakeProgram(weights, false);
  chained.CheckProgress();
  const uint32_t one = 1;
  SharedDevice()->Upload(chained.rows(), kernels::kChainStuckWord * 4,
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
}  // namespace sinter::exec
