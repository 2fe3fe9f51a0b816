// Types and shapes of Sinter's own operators, and the nodes that inference refuses.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "graph/fused.h"
#include "graph/ops.h"
#include "graph/text.h"
#include "graph/verify.h"

namespace sinter::graph {
namespace {

using ::testing::HasSubstr;

constexpr char kInputs[] = R"(
  input %x: f32[1, 2, 32] input %skip: f32[1, 2, 32] input %half: f16[1, 2, 32]
  input %norm: f32[32] input %norm16: f16[32] input %short: f32[31]
  input %a.b: u8[4, 2, 8] input %a.s: f16[4, 2] input %a.z: u8[4, 1] input %a.f: f16[4, 2]
  input %a.c: f16[4] input %b.b: u8[3, 2, 8] input %b.s: f16[3, 2] input %b.z: u8[3, 1]
  input %b.c: f16[3] input %wide.s: f32[3, 2] input %y: f16[1, 2, 4] input %y32: f32[1, 2, 4]
)";
constexpr char kA[] = "%a.b, %a.s";

// Returns the output types of a node, or the error's text.
std::string Infer(const std::string& node, const std::string& n, const std::string& more = "") {
  try {
    const auto graph = Parse(fmt::format(
        "graph {{ opset sinter 1 {} %out, %sum = sinter::{} {{K = 32, N = {}, bits = 4, "
        "block_size = 16{}}} return %out }}",
        kInputs, node, n, more));
    const auto types = InferOutputs(*graph->nodes().front());
    std::string text;
    for (const TensorType& type : types) {
      if (type.dtype == DType::kUndefined) continue;
      text += fmt::format("{}{}[{}]", text.empty() ? "" : " ", DTypeName(type.dtype),
                          fmt::join(type.shape, ", "));
    }
    return text;
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(FusedOps, Infer) {
  EXPECT_EQ(Infer("MatMulNBitsQkv (%x, _, _, %norm, %a.b, %a.s)", "ints[4]"),
            "f16[1, 2, 4] f32[1, 2, 32]");
  EXPECT_EQ(Infer("MatMulNBitsQkv (%x, %skip, _, _, %a.b, %a.s, %a.z, %a.c, %b.b, %b.s, %b.z, "
                  "%b.c, %a.b, %a.s, %a.z, %a.c)",
                  "ints[4, 3, 4]"),
            "f16[1, 2, 11] f32[1, 2, 32]");
  EXPECT_EQ(Infer("NormMatMulNBits (%x, %half, %norm, %norm16, %a.b, %a.s, %a.f)", "ints[4]",
                  ", epsilon = 1f, skip_epsilon = 2f, accuracy_level = 4"),
            "f16[1, 2, 4] f32[1, 2, 32]");
  EXPECT_EQ(Infer("MatMulNBitsMlp (%half, _, _, _, %a.b, %a.s, _, _, %a.b, %a.s)", "ints[4, 4]",
                  ", activation = \"gelu\""),
            "f16[1, 2, 4] f16[1, 2, 32]");
  const auto add = Parse(fmt::format(
      "graph {{ opset sinter 1 {} %out = sinter::MatMulNBitsAdd (%half, {}, _, %a.c, %y) {{K = 32, "
      "N = 4, bits = 4, block_size = 16}} return %out }}",
      kInputs, kA));
  Verify(*add);
  EXPECT_EQ(InferOutputs(*add->nodes().front())[0].shape, (Shape{1, 2, 4}));
}

TEST(FusedOps, PrintAndParse) {
  const auto graph = Parse(fmt::format(
      "graph {{ opset sinter 1 {} %out: f16[1, 2, 4], %sum: f32[1, 2, 32] = "
      "sinter::NormMatMulNBits @head (%x, %skip, _, %norm, {}) {{K = 32, N = ints[4], bits = 4, "
      "block_size = 16, epsilon = 1e-06f}} return %out, %sum }}",
      kInputs, kA));
  Verify(*graph);
  const std::string text = Print(*graph);
  EXPECT_EQ(Print(*Parse(text)), text);
}

TEST(FusedOps, RefuseWhatDoesNotFit) {
  const auto qkv = [](const std::string& inputs, const std::string& n = "ints[4]") {
    return Infer("MatMulNBitsQkv (" + inputs + ")", n);
  };
  EXPECT_THAT(qkv("%x, _, _, %norm, %a.b, %a.s", "ints[5]"), HasSubstr("want [5, 2, 8]"));
  EXPECT_THAT(qkv("%x, _, _, %norm, %a.b, %a.s", "ints[0]"), HasSubstr("'N': got 0"));
  EXPECT_THAT(qkv("%x, _, _, %norm, %a.b, %a.s", "ints[4, 4]"),
              HasSubstr("attribute 'N': got 2 numbers, want 1, one for each weight"));
  EXPECT_THAT(qkv("%x, _, _, %norm, %a.b, %a.s, _, _, %b.b, %b.s"), HasSubstr("got 1 numbers"));
  EXPECT_THAT(qkv("%x, _, _, %norm, %a.b, %a.s, _, _, _, _, _, _, %b.b, %b.s", "ints[4, 3]"),
              HasSubstr("inputs 12 to 15: got an incomplete weight, want all its parts"));
  EXPECT_THAT(qkv("%x, _, _, %norm, %a.b, %a.s, _, _, %b.b", "ints[4, 3]"),
              HasSubstr("inputs 8 to 11: got an incomplete weight"));
  EXPECT_THAT(qkv("%x, _, _, %norm, %a.b, %a.s, _, _, %b.b, %wide.s", "ints[4, 3]"),
              HasSubstr("got type f32"));
  EXPECT_THAT(qkv("%x, _, _, %norm, %a.b, %a.s, %a.z, _, %b.b, %b.s", "ints[4, 3]"),
              HasSubstr("inputs 6 and 10 (zero_points): got only one of them or different types"));
  EXPECT_THAT(qkv("%x, _, _, %norm, %a.b, %a.s, _, _, %b.b, %b.s, _, %b.c", "ints[4, 3]"),
              HasSubstr("inputs 7 and 11 (bias): got one of them"));
  EXPECT_THAT(qkv("%x, _, _, %norm, %a.b, %a.s, %b.z"),
              HasSubstr("(zero_points): got shape [3, 1]"));
  EXPECT_THAT(qkv("%y, _, _, _, %a.b, %a.s"),
              HasSubstr("input 0: got shape [1, 2, 4], want 32 columns"));
  EXPECT_THAT(qkv("%x, %half, _, _, %a.b, %a.s"), HasSubstr("got type f16, want f32"));
  EXPECT_THAT(qkv("%x, %half, %norm16, _, %a.b, %a.s"), HasSubstr("got type f16, want f32"));
  EXPECT_THAT(qkv("%x, _, %norm, _, %a.b, %a.s"),
              HasSubstr("input 2 (skip_scale): got one without input 1 (skip)"));
  EXPECT_THAT(qkv("%x, _, _, %short, %a.b, %a.s"), HasSubstr("got shape [31], want [32]"));
  EXPECT_THAT(Infer("NormMatMulNBits (%x, _, _, _, %a.b, %a.s)", "ints[4]"),
              HasSubstr("input 3 (norm_scale) is missing"));
  const auto mlp = [](const std::string& n, const std::string& more) {
    return Infer("MatMulNBitsMlp (%x, _, _, _, %a.b, %a.s, _, _, %b.b, %b.s)", n, more);
  };
  EXPECT_THAT(mlp("ints[4, 3]", ", activation = \"silu\""),
              HasSubstr("'N': got 4 and 3 rows, want as many for gate as for up"));
  EXPECT_THAT(mlp("ints[4, 3]", ", activation = \"relu\""), HasSubstr("'activation': got relu"));
  EXPECT_THAT(mlp("ints[4, 3]", ""), HasSubstr("attribute 'activation' is missing"));
  const auto add = [](const std::string& inputs) {
    return Infer("MatMulNBitsAdd (" + inputs + ")", "4");
  };
  EXPECT_THAT(add("%half, %a.b, %a.s, _, _, %y"),
              HasSubstr("got output 1 ('sum'), want at most 1"));
  const auto one_output = [](const std::string& inputs) -> std::string {
    try {
      const auto graph = Parse(fmt::format(
          "graph {{ opset sinter 1 {} %out = sinter::MatMulNBitsAdd ({}) {{K = 32, N = 4, bits = "
          "4, block_size = 16}} return %out }}",
          kInputs, inputs));
      InferOutputs(*graph->nodes().front());
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(one_output("%half, %a.b, %a.s, _, _, %y"), "");
  EXPECT_THAT(one_output("%half, %a.b, %a.s, _, _, %y32"), HasSubstr("got type f32, want f16"));
  EXPECT_THAT(one_output("%x, %a.b, %a.s, _, _, %y"), HasSubstr("got type f32, want f16"));
  EXPECT_THAT(one_output("%half, %a.b, %a.s, _, _, %half"), HasSubstr("want [1, 2, 4]"));
}

// Returns the output type of a NormQMoE with 2 tokens of 32 elements and 4 experts with 16 inner
// elements, or the error's text.
std::string InferMixture(const std::string& inputs, const std::string& more = "") {
  try {
    const auto graph = Parse(fmt::format(
        "graph {{ opset sinter 1 {} input %fc1: u8[4, 32, 16] input %fc1.s: f16[4, 32] "
        "input %fc2: u8[4, 32, 8] input %fc2.s: f16[4, 32] %out = sinter::NormQMoE ({}) "
        "{{activation_type = \"swiglu\", swiglu_fusion = 1, k = 2, router_block_size = 16{}}} "
        "return %out }}",
        kInputs, inputs, more));
    const std::vector<TensorType> types = InferOutputs(*graph->nodes().front());
    return fmt::format("{}[{}]", DTypeName(types[0].dtype), fmt::join(types[0].shape, ", "));
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(NormQMoE, Infers) {
  const std::string experts = ", %fc1, %fc1.s, _, %fc2, %fc2.s";
  EXPECT_EQ(InferMixture("%half, %norm16, %a.b, %a.s, _, _" + experts), "f16[1, 2, 32]");
  EXPECT_EQ(InferMixture("%half, %norm16, %a.b, %a.s, %a.z, %a.c" + experts,
                         ", epsilon = 1f, router_bits = 4"),
            "f16[1, 2, 32]");
}

TEST(NormQMoE, RefusesWhatDoesNotFit) {
  const std::string experts = ", %fc1, %fc1.s, _, %fc2, %fc2.s";
  EXPECT_THAT(InferMixture("%half, %norm, %a.b, %a.s, _, _" + experts), HasSubstr("f32"));
  EXPECT_THAT(InferMixture("%x, %norm, %a.b, %a.s, _, _" + experts), HasSubstr("f16"));
  EXPECT_THAT(InferMixture("%half, %norm16, %b.b, %b.s, _, _" + experts),
              HasSubstr("want [3, 32, 16]"));
  EXPECT_THAT(InferMixture("%half, %norm16, %a.b, %a.s, %a.f, _" + experts), HasSubstr("u8"));
  EXPECT_THAT(InferMixture("%half, %norm16, %a.b, %a.s, _, _" + experts, ", router_bits = 3"),
              HasSubstr("router_bits"));
}

}  // namespace
}  // namespace sinter::graph
