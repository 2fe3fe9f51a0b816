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

Program MakeProgram(WeightStore& weights, bool chain) {
  const auto graph = graph::Parse(Layer("%x2, %y"));
  std::map<std::string, gpu::Buffer> externals;
  for (const auto& [name, count] : {std::pair("a", 32), std::pair("x", 64)}) {
    std::vector<uint16_t> values;
    for (int i = 0; i < count; ++i) values.push_back(static_cast<uint16_t>(0x3c00 + 16 * i - 512));
    externals[name] = SharedDevice()->CreateBuffer(values.size() * 2, name);
    SharedDevice()->Upload(externals[name], 0, std::as_bytes(std::span(values)));
  }
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
