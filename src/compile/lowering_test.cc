// Tests the dispatches that nodes become: operands and their roles, plans, shared weights, and
// errors that name nodes.

#include "compile/lowering.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "graph/text.h"
#include "kernels/layer_chain/layer_chain.h"
#include "passes/specialize.h"
#include "support/fused_graph.h"
#include "support/layer_graph.h"

namespace sinter::compile {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Property;
using ::testing::SizeIs;

// Returns the minimum of every WebGPU adapter.
Caps SmallCaps() { return {}; }

Caps GpuCaps() {
  Caps caps;
  caps.f16 = caps.subgroups = caps.packed_dot_product = true;
  caps.subgroup_min_size = caps.subgroup_max_size = 32;
  caps.limits.max_workgroup_storage_bytes = 32 << 10;
  caps.limits.max_invocations_per_workgroup = caps.limits.max_workgroup_size_x = 1024;
  caps.limits.max_storage_buffers_per_stage = 16;
  return caps;
}

std::unique_ptr<graph::Graph> ParseBody(const std::string& body) {
  const auto graph =
      graph::Parse("graph g { opset ai.onnx 23 opset com.microsoft 1 opset sinter 1 " + body + "}");
  return passes::Specialize(*graph, {});
}

Lowered LowerBody(const std::string& body, const Caps& caps = SmallCaps(),
                  const ForcedVariants& variants = {}, const Choices& choices = {}) {
  return Lower(*ParseBody(body), caps, {}, {.variants = variants, .choices = choices});
}

// Returns a product of `rows` rows with a weight [64, 64].
std::string ProductBody(int rows) {
  return fmt::format(
      "input %x: f16[{0}, 64] const %b: u8[64, 2, 16] = zeros const %s: f16[64, 2] = zeros "
      "%y: f16[{0}, 64] = com.microsoft::MatMulNBits @the_node (%x, %b, %s) "
      "{{K = 64, N = 64, bits = 4, block_size = 32}} return %y",
      rows);
}

constexpr char kAttention[] = R"(
  input %q: f32[1, 1, 4] input %k: f32[1, 1, 4] input %v: f32[1, 1, 4]
  input %pk: f32[1, 1, 8, 4] input %pv: f32[1, 1, 8, 4] input %seqlens: i32[1] input %total: i32[1]
  %y: f32[1, 1, 4], %key: f32[1, 1, 8, 4], %value: f32[1, 1, 8, 4] = com.microsoft::GroupQueryAttention @the_attention (%q, %k, %v, %pk, %pv, %seqlens, %total) {num_heads = 1, kv_num_heads = 1}
  return %y, %key, %value)";

template <typename F>
std::string ErrorOf(F&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

// Each operand is present, has a binding of its own, and lies within its buffer.
TEST(Lowering, BindsEachOperandOnce) {
  const std::string bodies[] = {support::MakeFusedGraph("f16", "f32").body, ProductBody(1),
                                ProductBody(100), kAttention};
  for (const Caps& caps : {SmallCaps(), GpuCaps()}) {
    for (const std::string& body : bodies) {
      const ExternalPlaces caches = {{"pk", {0}}, {"key", {0}}, {"pv", {1}}, {"value", {1}}};
      const Lowered lowered = Lower(*ParseBody(body), caps, caches);
      EXPECT_FALSE(lowered.dispatches.empty());
      for (const Dispatch& dispatch : lowered.dispatches) {
        std::set<uint32_t> bindings = {0};
        for (const Operand& operand : dispatch.operands) {
          EXPECT_TRUE(bindings.insert(operand.role.binding).second) << dispatch.label;
          const BufferInfo& info = lowered.buffers.at(static_cast<size_t>(operand.buffer.buffer));
          // Buffers are padded to 16 bytes.
          EXPECT_LE(operand.buffer.offset + operand.buffer.bytes, (info.bytes + 15) / 16 * 16);
        }
        EXPECT_EQ(std::ranges::count_if(dispatch.operands, &Operand::writes) > 0, true);
      }
    }
  }
}

TEST(Lowering, FindsOperandsByRole) {
  const Lowered lowered = LowerBody(ProductBody(1));
  ASSERT_THAT(lowered.dispatches, SizeIs(1));
  using Roles = kernels::MatMulNBitsRoles;
  const Dispatch& product = lowered.dispatches[0];
  const auto name = [&](const kernels::Role& role) {
    return lowered.buffers.at(static_cast<size_t>(product.Find(role).buffer)).name;
  };
  EXPECT_EQ(name(Roles::kA), "x");
  EXPECT_EQ(name(Roles::kB), "b");
  EXPECT_EQ(name(Roles::kScales), "s");
  EXPECT_EQ(name(Roles::kY), "y");
  EXPECT_FALSE(product.Find(Roles::kBias));
  EXPECT_THAT(product.nodes, ElementsAre(0));
  EXPECT_EQ(product.label, "MatMulNBits the_node");
}

// Two nodes with one name are told apart.
TEST(Lowering, KnowsItsNodesByPlace) {
  const Lowered lowered = LowerBody(
      "input %x: f32[4] %a: f32[4] = ai.onnx::Neg @n (%x) %b: f32[4] = ai.onnx::Neg @n (%a) "
      "return %b");
  ASSERT_THAT(lowered.dispatches, SizeIs(2));
  EXPECT_THAT(lowered.dispatches[0].nodes, ElementsAre(0));
  EXPECT_THAT(lowered.dispatches[1].nodes, ElementsAre(1));
}

// Returns attention of two sequences over caches of 128 rows; `more` follows it.
std::string PagedBody(int rows, int head_size, std::string_view more = "return %y, %key, %value") {
  return fmt::format(
      "input %q: f32[2, {0}, {2}] input %pk: f32[2, 1, 128, {1}] input %pv: f32[2, 1, 128, {1}] "
      "input %seqlens: i32[2] input %total: i32[1] const %cos: f32[128, {3}] = zeros "
      "const %sin: f32[128, {3}] = zeros const %n: f32[{1}] = zeros const %sink: f32[2] = zeros "
      "%y: f32[2, {0}, {4}], %key: f32[2, 1, 128, {1}], %value: f32[2, 1, 128, {1}] = "
      "com.microsoft::GroupQueryAttention @the_attention (%q, _, _, %pk, %pv, %seqlens, %total, "
      "%cos, %sin, _, _, %sink, _, _, %n, %n) {{num_heads = 2, kv_num_heads = 1, do_rotary = 1}} "
      "{5}",
      rows, head_size, 4 * head_size, head_size / 2, 2 * head_size, more);
}

const ExternalPlaces kPagedPlaces = {
    {"pk", {0}}, {"key", {0}}, {"pv", {1}}, {"value", {1}}, {std::string(kPageTable), {2, 256}}};

// Every dispatch that uses a cache has the page table and fits the adapter: the one for few rows,
// those for many rows, and those for what the others cannot do.
TEST(Lowering, KeepsCachesInPages) {
  for (const Caps& caps : {SmallCaps(), GpuCaps()}) {
    for (const auto& [rows, head_size] : {std::pair(1, 16), {40, 16}, {1, 20}, {40, 20}}) {
      const auto graph = ParseBody(PagedBody(rows, head_size));
      const Lowered lowered = Lower(*graph, caps, kPagedPlaces, {.page_entries = 4});
      const auto find = [&](std::string_view name) {
        return std::ranges::find(lowered.buffers, name, &BufferInfo::name) -
               lowered.buffers.begin();
      };
      const auto keys = find("pk"), values = find("pv"), table = find(kPageTable);
      const auto bytes = [&](ptrdiff_t i) {
        return lowered.buffers.at(static_cast<size_t>(i)).bytes;
      };
      EXPECT_EQ(bytes(keys), 128u * static_cast<unsigned>(head_size) * 4u);
      EXPECT_EQ(bytes(values), bytes(keys));
      EXPECT_EQ(bytes(table), 2u * 4u * 4u);
      EXPECT_EQ(lowered.buffers.at(static_cast<size_t>(table)).place, (ExternalPlace{2, 256}));
      for (const Dispatch& dispatch : lowered.dispatches) {
        const auto binds = [&](ptrdiff_t buffer) {
          return std::ranges::any_of(dispatch.operands, [&](const Operand& operand) {
            return operand.buffer.buffer == buffer;
          });
        };
        EXPECT_EQ(binds(keys) || binds(values), binds(table)) << dispatch.plan.variant;
        EXPECT_LE(dispatch.operands.size(), caps.limits.max_storage_buffers_per_stage);
      }
    }
  }
}

TEST(Lowering, RefusesCachesThatCannotBeInPages) {
  const auto error = [](std::string body) {
    return ErrorOf([&] { Lower(*ParseBody(body), GpuCaps(), kPagedPlaces, {.page_entries = 4}); });
  };
  EXPECT_THAT(error(PagedBody(1, 16, "%z: f32[2, 1, 128, 16] = ai.onnx::Neg (%key) return %z")),
              HasSubstr("Neg"));
  EXPECT_THAT(error(kAttention), HasSubstr("got a KV cache of 8 rows, want a multiple of 64"));
  EXPECT_THAT(error("input %q: f32[1, 2, 1, 4] input %p: f32[1, 2, 64, 4] "
                    "%y: f32[1, 2, 1, 4], %k: f32[1, 2, 65, 4], %v: f32[1, 2, 65, 4] = "
                    "ai.onnx::Attention (%q, %q, %q, _, %p, %p) return %y, %k, %v"),
              HasSubstr("got a past, want GroupQueryAttention for KV caches in pages"));
}

TEST(Lowering, MakesNothingOfNoElements) {
  for (const char* body :
       {"input %x: f32[0, 4] %y: f32[0, 4] = ai.onnx::Neg (%x) return %y",
        "input %x: f32[0, 4] input %z: f32[4] %y: f32[0, 4] = ai.onnx::Add (%x, %z) return %y",
        "input %x: f32[2, 0] %y: f32[2, 0] = ai.onnx::Softmax (%x) return %y",
        "input %x: f32[2, 0] %y: f32[0, 2] = ai.onnx::Transpose (%x) return %y",
        "input %x: f32[4, 3] input %i: i64[0] %y: f32[0, 3] = ai.onnx::Gather (%x, %i) return %y",
        "input %x: f32[0, 3] input %w: f32[3, 2] %y: f32[0, 2] = ai.onnx::MatMul (%x, %w) return "
        "%y",
        "input %x: f32[2, 0] %y: f16[2, 0] = ai.onnx::Cast (%x) {to = 10} return %y"}) {
    EXPECT_THAT(LowerBody(body).dispatches, IsEmpty()) << body;
  }
}

// A weight larger than a binding is split: each dispatch binds its own rows.
TEST(Lowering, SplitsAWeightByRows) {
  Caps caps = SmallCaps();
  caps.limits.max_storage_binding_bytes = 1024;
  const Lowered lowered = LowerBody(ProductBody(1), caps);
  using Roles = kernels::MatMulNBitsRoles;
  ASSERT_GT(lowered.dispatches.size(), 1u);
  uint64_t next = 0;
  for (const Dispatch& dispatch : lowered.dispatches) {
    const BufferRef b = dispatch.Find(Roles::kB);
    EXPECT_EQ(b.offset, next);
    EXPECT_LE(b.bytes, 1024u);
    next += b.bytes;
    // A chain cannot contain a part of a product.
    EXPECT_FALSE(dispatch.part);
  }
  EXPECT_EQ(next, 64u * 32);
}

TEST(Lowering, TellsWhatChainsTake) {
  const auto part_of = [](const std::string& body, const ForcedVariants& variants = {}) {
    return LowerBody(body, GpuCaps(), variants).dispatches.at(0).part;
  };
  const auto product = part_of(ProductBody(1));
  ASSERT_TRUE(product);
  EXPECT_EQ(std::get<kernels::MatMulNBitsShape>(*product).n, 64u);
  EXPECT_FALSE(part_of(ProductBody(1), {{"matmul_nbits", "decode"}}));
  const auto lookup = [](int tokens, std::string_view type) {
    return fmt::format(
        "const %t: {1}[5, 8] = zeros input %i: i32[{0}] %y: {1}[{0}, 8] = ai.onnx::Gather (%t, %i) "
        "return %y",
        tokens, type);
  };
  const auto table = part_of(lookup(1, "f16"));
  ASSERT_TRUE(table);
  EXPECT_EQ(std::get<kernels::ChainTable>(*table), (kernels::ChainTable{.rows = 5}));
  EXPECT_FALSE(part_of(lookup(2, "f16")));
  EXPECT_FALSE(part_of(lookup(1, "f32")));
  EXPECT_FALSE(part_of(lookup(1, "f16"), {{"gather", "b4"}}));
}

// A forced variant wins over a chosen one, and that over the guess.
TEST(Tuning, TakesTheForcedThenTheChosenThenTheGuess) {
  const auto lower = [](const ForcedVariants& variants, const Choices& choices) {
    return LowerBody(ProductBody(1), GpuCaps(), variants, choices).dispatches.at(0);
  };
  const Dispatch guess = lower({}, {});
  ASSERT_TRUE(guess.alternatives);
  const std::vector<Alternative> all = guess.alternatives();
  ASSERT_GT(all.size(), 1u);
  EXPECT_EQ(std::ranges::count_if(all, &Alternative::is_guess), 1);
  const auto is_guess = std::ranges::find_if(all, &Alternative::is_guess);
  EXPECT_EQ(is_guess->plan.variant, guess.plan.variant);
  const auto other = std::ranges::find_if_not(all, &Alternative::is_guess);
  const Dispatch chosen = lower({}, {{guess.kind, other->variant}});
  EXPECT_EQ(chosen.plan.variant, other->plan.variant);
  EXPECT_EQ(chosen.kind, guess.kind);
  EXPECT_TRUE(chosen.alternatives);
  const Dispatch forced =
      lower({{"matmul_nbits", is_guess->variant}}, {{guess.kind, other->variant}});
  EXPECT_EQ(forced.plan.variant, guess.plan.variant);
  EXPECT_FALSE(forced.alternatives);
  EXPECT_EQ(forced.kind, "");
  // A variant that the kernel does not have, and a choice for another kind, have no effect.
  EXPECT_EQ(lower({}, {{guess.kind, "gone"}}).plan.variant, guess.plan.variant);
  EXPECT_EQ(lower({}, {{"other", other->variant}}).plan.variant, guess.plan.variant);
}

TEST(Tuning, TellsKindsApartBySize) {
  std::set<std::string> kinds;
  for (const int rows : {9, 10, 100}) {
    const Lowered lowered = LowerBody(ProductBody(rows), GpuCaps());
    kinds.insert(lowered.dispatches.at(0).kind);
  }
  EXPECT_THAT(kinds, SizeIs(3));
}

TEST(LoweringErrors, NameTheNodeThatCannotBeLowered) {
  const auto error_of = [&](const std::string& body, const ForcedVariants& variants = {}) {
    const auto graph =
        graph::Parse("graph g { opset ai.onnx 23 opset com.microsoft 1 " + body + "}");
    return ErrorOf([&] { Lower(*graph, SmallCaps(), {}, {.variants = variants}); });
  };
  const std::string unknown =
      error_of("input %x: f32[1] %y: f32[1] = com.example::Frobnicate @the_node (%x) return %y");
  EXPECT_THAT(unknown, HasSubstr("node 'the_node' (com.example::Frobnicate"));
  EXPECT_THAT(error_of("input %x: f64[1] %y: f64[1] = ai.onnx::Neg @the_node (%x) return %y"),
              HasSubstr("the_node"));
  EXPECT_THAT(error_of(R"(input %a: f32[1, 16] input %b: u8[1, 1, 8] input %s: f32[1, 1]
                %y: f32[1, 1] = com.microsoft::MatMulNBits @the_node (%a, %b, %s) {K = 16, N = 1, bits = 4, block_size = 16} return %y)"),
              HasSubstr("the_node' (com.microsoft::MatMulNBits, version 1): input 'b': got a value "
                        "computed at run time"));
  EXPECT_THAT(error_of(R"(input %x: f32[2, 2] input %axes: i64[1]
                %y: f32[2, 1] = ai.onnx::ReduceSum @the_node (%x, %axes) return %y)"),
              HasSubstr("input 'axes': got a value computed at run time, want a constant"));
  EXPECT_THAT(error_of(R"(input %x: f32[2, 0] input %s: f32[0]
                %y: f32[2, 0], %m: f32[2, 1] = ai.onnx::LayerNormalization @the_node (%x, %s) return %y, %m)"),
              HasSubstr("Mean and InvStdDev: got rows of 0 elements"));
  // int64 has 32 bits on the GPU.
  for (const char* node :
       {"Add @the_node (%x, %c)", "Sub @the_node (%c, %x)", "Pow @the_node (%x, %c)",
        "Max @the_node (%x, %c)", "Where @the_node (%b, %c, %x)"}) {
    EXPECT_THAT(
        error_of(fmt::format("input %x: i64[2] input %b: bool[2] const %c: i64[2] = "
                             "[5, 4294967296] %y: i64[2] = ai.onnx::{} return %y",
                             node)),
        AllOf(HasSubstr("the_node"), HasSubstr("input 'c': got the int64 constant 4294967296, "
                                               "want -2147483648 to 2147483647")));
  }
  EXPECT_THAT(error_of("input %x: i64[2] const %c: i64[2] = [5, -4294967296] "
                       "%y: bool[2] = ai.onnx::Less @the_node (%x, %c) return %y"),
              HasSubstr("got the int64 constant -4294967296"));
  EXPECT_THAT(error_of("input %x: i64[2] const %c: i64[] = [-4294967296] "
                       "%y: i64[2] = ai.onnx::Min @the_node (%x, %c) return %y"),
              HasSubstr("got the int64 constant -4294967296"));
  EXPECT_EQ(error_of("input %x: i64[4] const %s: i64[1] = [1] const %e: i64[1] = "
                     "[9223372036854775807] %y: i64[3] = ai.onnx::Slice (%x, %s, %e) return %y"),
            "");
  EXPECT_THAT(error_of(R"(input %q: f32[1, 1, 12] input %l: i32[1] input %t: i32[1]
                %y: f32[1, 1, 4], %k: f32[1, 1, 1, 4], %v: f32[1, 1, 1, 4] = com.microsoft::GroupQueryAttention @the_node (%q, _, _, _, _, %l, %t) {num_heads = 1, kv_num_heads = 1} return %y)"),
              HasSubstr("want a KV cache that is updated in place"));
  EXPECT_THAT(
      error_of(R"(opset sinter 1 input %a: f32[1, 16] input %b: u8[1, 1, 8] input %s: f32[1, 1]
                %y: f32[1, 1] = sinter::MatMulNBitsAdd @the_node (%a, %b, %s, _, _, %s) {K = 16, N = 1, bits = 4, block_size = 16} return %y)"),
      HasSubstr("the_node' (sinter::MatMulNBitsAdd, version 1): input 'b': got a value computed at "
                "run time"));
  const std::string two = error_of(kAttention);
  EXPECT_THAT(two, HasSubstr("the_attention"));
  EXPECT_THAT(two, HasSubstr("'pk' and 'key': got two buffers"));
  EXPECT_THAT(error_of("input %x: f32[1] %y: f32[1] = ai.onnx::Neg @the_node (%x) return %y",
                       {{"unary", "fast"}}),
              AllOf(HasSubstr("the_node"), HasSubstr("'fast'")));
  EXPECT_THAT(
      error_of("input %x: f32[1] %y: f32[1] = ai.onnx::Neg (%x) return %y", {{"unery", "vec4"}}),
      HasSubstr("forced variant: got kernel 'unery', want one of: "));
}

// Concatenated parts of weights are one buffer, and all readers share it.
TEST(Lowering, JoinsWeightsAndSharesThem) {
  std::string body = "input %x: f32[1, 16] ";
  for (const char* name : {"g", "u", "t"})
    body += fmt::format("const %{0}.b: u8[2, 1, 8] = zeros const %{0}.s: f32[2, 1] = zeros ", name);
  const auto mlp = [](const char* y, const char* gate, const char* up) {
    return fmt::format(
        "%{0}: f32[1, 2] = sinter::MatMulNBitsMlp (%x, _, _, _, %{1}.b, %{1}.s, _, _, %{2}.b, "
        "%{2}.s) {{K = 16, N = ints[2, 2], bits = 4, block_size = 16, activation = \"silu\"}} ",
        y, gate, up);
  };
  body += mlp("a", "g", "u") + mlp("b", "g", "u") + mlp("c", "u", "g");
  body +=
      "%d: f32[1, 2] = com.microsoft::MatMulNBits (%x, %t.b, %t.s) {K = 16, N = 2, bits = 4, "
      "block_size = 16} "
      "%e: f32[1, 2] = sinter::MatMulNBitsAdd (%x, %t.b, %t.s, _, _, %d) {K = 16, N = 2, bits = 4, "
      "block_size = 16} return %a, %b, %c, %d, %e";
  const auto graph = ParseBody(body);
  const Lowered lowered = Lower(*graph, SmallCaps(), {});
  // Codes and scales of three weights: gate and up, up and gate, and the separate one.
  std::vector<std::pair<std::string, uint64_t>> weights;
  for (const BufferInfo& buffer : lowered.buffers) {
    if (buffer.kind == BufferInfo::Kind::kWeight) weights.emplace_back(buffer.name, buffer.bytes);
  }
  using ::testing::Pair;
  EXPECT_THAT(weights,
              ::testing::UnorderedElementsAre(Pair("g.b", 32), Pair("g.s", 16), Pair("u.b", 32),
                                              Pair("u.s", 16), Pair("t.b", 16), Pair("t.s", 8)));
}

// Parts of one tensor, which the graph split, are that tensor again on the GPU.
TEST(Lowering, JoinsHalvesToTheirWhole) {
  const auto graph = ParseBody(R"(input %x: f32[1, 16]
    const %g.b: u8[2, 1, 8] = zeros const %u.b: u8[2, 1, 8] = zeros
    const %g.s: f32[2, 1] = zeros const %u.s: f32[2, 1] = zeros
    %y: f32[1, 2] = sinter::MatMulNBitsMlp (%x, _, _, _, %g.b, %g.s, _, _, %u.b, %u.s) {K = 16, N = ints[2, 2], bits = 4, block_size = 16, activation = "silu"}
    return %y)");
  const graph::Tensor whole =
      graph::Tensor::FromInts(DType::kU8, {4, 1, 8}, std::vector<int64_t>(32, 7));
  for (const auto& [name, begin] : {std::pair("g.b", 0), {"u.b", 16}}) {
    graph::Tensor half = whole;
    half.shape[0] = 2;
    half.bytes = half.bytes.subspan(static_cast<size_t>(begin), 16);
    graph->FindValue(name)->SetConstant(half);
  }
  const Lowered lowered = Lower(*graph, SmallCaps(), {});
  const auto found = std::find_if(lowered.buffers.begin(), lowered.buffers.end(),
                                  [](const BufferInfo& info) { return info.name == "g.b"; });
  ASSERT_NE(found, lowered.buffers.end());
  ASSERT_EQ(found->tensors.size(), 1u);
  EXPECT_EQ(found->tensors[0].bytes.data(), whole.bytes.data());
  EXPECT_EQ(found->tensors[0].bytes.size(), whole.bytes.size());
}

TEST(LoweringErrors, NameANodeWithoutAName) {
  const auto graph = graph::Parse(
      "graph g { opset ai.onnx 23 input %x: f32[1] %y: f32[1] = ai.onnx::Neg (%x) return %y }");
  EXPECT_THAT(ErrorOf([&] {
                Lower(*graph, SmallCaps(), {}, {.variants = {{"unary", "fast"}}});
              }),
              HasSubstr("(ai.onnx::Neg, version 23): "));
}

TEST(CanLower, KnowsTheOperators) {
  EXPECT_TRUE(CanLower("com.microsoft", "MatMulNBits"));
  EXPECT_TRUE(CanLower("", "Add"));
  EXPECT_TRUE(CanLower("", "Attention"));
  EXPECT_TRUE(CanLower("com.microsoft", "MultiHeadAttention"));
  EXPECT_FALSE(CanLower("com.microsoft", "Add"));
  EXPECT_FALSE(CanLower("", "If"));
}

}  // namespace
}  // namespace sinter::compile
