// Tests the interpreter on graphs small enough to compute by hand.

#include "interpret/interpreter.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "graph/text.h"
#include "passes/specialize.h"
#include "support/fused_graph.h"

namespace sinter::interpret {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Runs the body of a graph without specializing it, so that no node with constant inputs is folded
// away. The text therefore states the outputs' shapes.
HostTensors Outputs(const std::string& body, const HostTensors& inputs,
                    InterpretOptions options = {}) {
  const auto graph = graph::Parse("graph g { opset ai.onnx 24 opset com.microsoft 1 " + body + "}");
  return Interpret(*graph, inputs, options);
}

HostTensor Floats(graph::Shape shape, std::vector<double> values) {
  return {DType::kF32, std::move(shape), std::move(values), {}};
}
HostTensor Ints(graph::Shape shape, std::vector<double> values, DType dtype = DType::kI64) {
  return {dtype, std::move(shape), std::move(values), {}};
}

void ExpectNear(const HostTensor& tensor, const std::vector<double>& want,
                double tolerance = 1e-12) {
  ASSERT_EQ(tensor.values.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(tensor.values[i], want[i], tolerance) << i;
}

TEST(Interpreter, ComputesElementwise) {
  const auto out =
      Outputs(R"(
    input %x: f32[2, 2]
    input %b: f32[2]
    const %two: f32[] = [2]
    %s: f32[2, 2] = ai.onnx::Add (%x, %b)
    %y: f32[2, 2] = ai.onnx::Mul (%s, %two)
    %g: bool[2, 2] = ai.onnx::Greater (%y, %b)
    %w: f32[2, 2] = ai.onnx::Where (%g, %y, %b)
    %t: f32[2, 2] = ai.onnx::Tanh (%x)
    %i: i64[2, 2] = ai.onnx::Cast (%w) {to = 7}
    return %w, %t, %i)",
              {{"x", Floats({2, 2}, {1, -2, 0.25, -4})}, {"b", Floats({2}, {0.5, 1})}});
  EXPECT_THAT(out.at("w").values, ElementsAre(3, 1, 1.5, 1));
  EXPECT_THAT(out.at("i").values, ElementsAre(3, 1, 1, 1));
  ExpectNear(out.at("t"), {std::tanh(1.), std::tanh(-2.), std::tanh(0.25), std::tanh(-4.)});
  EXPECT_EQ(out.at("w").shape, (graph::Shape{2, 2}));
  EXPECT_EQ(out.at("i").dtype, DType::kI64);
}

TEST(Interpreter, ComputesActivations) {
  const auto out = Outputs(R"(
    input %x: f32[2]
    input %b: f32[2]
    %e: f32[2] = ai.onnx::Gelu (%x)
    %t: f32[2] = ai.onnx::Gelu (%x) {approximate = "tanh"}
    %q: f32[2] = com.microsoft::QuickGelu (%x) {alpha = 2f}
    %f: f32[2] = com.microsoft::FastGelu (%x, %b)
    return %e, %t, %q, %f)",
                           {{"x", Floats({2}, {1, -0.5})}, {"b", Floats({2}, {0, 1.5})}});
  const auto tanh_form = [](double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  };
  ExpectNear(out.at("e"),
             {0.5 * (1 + std::erf(std::sqrt(0.5))), -0.25 * (1 + std::erf(-0.5 * std::sqrt(0.5)))});
  ExpectNear(out.at("t"), {tanh_form(1), tanh_form(-0.5)});
  ExpectNear(out.at("q"), {1 / (1 + std::exp(-2.)), -0.5 / (1 + std::exp(1.))});
  ExpectNear(out.at("f"), {tanh_form(1), tanh_form(1)});
}

// Two tokens that take different experts.
TEST(Interpreter, MixesExperts) {
  const auto out =
      Outputs(R"(
    input %x: f32[2, 2]
    input %router: f32[2, 2]
    const %up: f32[2, 1, 2] = [1, 2, 3, 4]
    const %up_bias: f32[2, 1] = [0.5, -20]
    const %down: f32[2, 2, 1] = [5, 6, 7, 8]
    const %down_bias: f32[2, 2] = [0, 1, 2, 3]
    %y: f32[2, 2] = com.microsoft::MoE (%x, %router, %up, %up_bias, %down, %down_bias) {activation_type = "relu", k = 1, normalize_routing_weights = 1}
    return %y)",
              {{"x", Floats({2, 2}, {1, 1, 1, 1})}, {"router", Floats({2, 2}, {2, 1, 0, 1})}});
  ExpectNear(out.at("y"), {3.5 * 5, 3.5 * 6 + 1, 2, 3});
}

TEST(Interpreter, MovesElements) {
  const auto out =
      Outputs(R"(
    input %x: f32[2, 3]
    const %shape: i64[2] = [3, 2]
    const %one: i64[1] = [1]
    const %back: i64[1] = [-1]
    const %far: i64[1] = [-9]
    const %sizes: i64[2] = [1, 2]
    const %wide: i64[3] = [2, 2, 3]
    input %rows: i64[3]
    %r: f32[3, 2] = ai.onnx::Reshape (%x, %shape)
    %t: f32[3, 2] = ai.onnx::Transpose (%x)
    %s: f32[2, 3] = ai.onnx::Slice (%x, %back, %far, %one, %back)
    %a: f32[2, 1], %b: f32[2, 2] = ai.onnx::Split (%x, %sizes) {axis = -1}
    %c: f32[2, 3] = ai.onnx::Concat (%b, %a) {axis = 1}
    %e: f32[2, 2, 3] = ai.onnx::Expand (%x, %wide)
    %g: f32[3, 3] = ai.onnx::Gather (%x, %rows)
    return %r, %t, %s, %c, %e, %g)",
              {{"x", Floats({2, 3}, {0, 1, 2, 3, 4, 5})}, {"rows", Ints({3}, {1, 0, -1})}});
  EXPECT_THAT(out.at("r").values, ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(out.at("t").values, ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(out.at("s").values, ElementsAre(2, 1, 0, 5, 4, 3));
  EXPECT_THAT(out.at("c").values, ElementsAre(1, 2, 0, 4, 5, 3));
  EXPECT_THAT(out.at("e").values, ElementsAre(0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5));
  EXPECT_THAT(out.at("g").values, ElementsAre(3, 4, 5, 0, 1, 2, 3, 4, 5));
}

TEST(Interpreter, Reduces) {
  const auto out = Outputs(R"(
    input %x: f32[2, 2]
    const %last: i64[1] = [-1]
    %sum: f32[2] = ai.onnx::ReduceSum (%x, %last) {keepdims = 0}
    %max: f32[1, 1] = ai.onnx::ReduceMax (%x)
    %mean: f32[2, 1] = ai.onnx::ReduceMean (%x, %last)
    %soft: f32[2, 2] = ai.onnx::Softmax (%x)
    return %sum, %max, %mean, %soft)",
                           {{"x", Floats({2, 2}, {1, 2, 3, 5})}});
  EXPECT_THAT(out.at("sum").values, ElementsAre(3, 8));
  EXPECT_THAT(out.at("max").values, ElementsAre(5));
  EXPECT_THAT(out.at("mean").values, ElementsAre(1.5, 4));
  ExpectNear(out.at("soft"), {1 / (1 + std::exp(1.)), 1 / (1 + std::exp(-1.)),
                              1 / (1 + std::exp(2.)), 1 / (1 + std::exp(-2.))});
}

TEST(Interpreter, Normalizes) {
  const auto out = Outputs(R"(
    input %x: f32[1, 2]
    input %skip: f32[1, 2]
    const %scale: f32[2] = [1, 10]
    %n: f32[1, 2] = ai.onnx::SimplifiedLayerNormalization (%x, %scale) {epsilon = 0.5f}
    %m: f32[1, 2], _, _, %sum: f32[1, 2] = com.microsoft::SkipSimplifiedLayerNormalization (%x, %skip, %scale) {epsilon = 0f}
    return %n, %m, %sum)",
                           {{"x", Floats({1, 2}, {3, 4})}, {"skip", Floats({1, 2}, {-2, 3})}});
  ExpectNear(out.at("n"), {3 / std::sqrt(13.), 40 / std::sqrt(13.)});
  ExpectNear(out.at("m"), {1 / 5., 70 / 5.});
  EXPECT_THAT(out.at("sum").values, ElementsAre(1, 7));
}

TEST(Interpreter, MultipliesMatrices) {
  const auto out = Outputs(R"(
    input %a: f32[2, 2]
    const %b: f32[2, 1] = [10, 1]
    %y: f32[2, 1] = ai.onnx::MatMul (%a, %b)
    return %y)",
                           {{"a", Floats({2, 2}, {1, 2, 3, 4})}});
  EXPECT_THAT(out.at("y").values, ElementsAre(12, 34));
}

// K = 16 codes: the first is 8 + 3, all others are 9. The default zero point is 8 and the scale
// 0.5.
TEST(Interpreter, MultipliesQuantizedWeights) {
  const auto graph = graph::Parse(R"(graph g { opset com.microsoft 1
    input %a: f32[1, 16]
    input %b: u8[1, 1, 8]
    const %s: f32[1, 1] = [0.5]
    const %bias: f32[1] = [100]
    %y: f32[1, 1] = com.microsoft::MatMulNBits (%a, %b, %s, _, _, %bias) {K = 16, N = 1, bits = 4, block_size = 16}
    return %y })");
  HostTensor codes{DType::kU8, {1, 1, 8}, {}, std::vector<std::byte>(8, std::byte{0x99})};
  codes.raw[0] = std::byte{0x9b};
  std::vector<double> a(16, 1);
  a[0] = 10;
  const auto out = Interpret(*graph, {{"a", Floats({1, 16}, a)}, {"b", codes}});
  // 0.5 * (10 * 3 + 15 * 1) + 100
  EXPECT_THAT(out.at("y").values, ElementsAre(122.5));
}

// Checks that Sinter's own operators equal the composition of their parts.
TEST(Interpreter, FusedOperatorsAreTheirCompositions) {
  for (const char* in_type : {"f32", "f16"}) {
    const support::FusedGraph fused = support::MakeFusedGraph("f16", in_type);
    const auto graph = graph::Parse(
        "graph g { opset ai.onnx 23 opset com.microsoft 1 opset sinter 1 " + fused.body + "}");
    HostTensors inputs;
    for (const graph::Value* input : graph->inputs()) {
      HostTensor tensor{input->dtype, input->shape(), {}, {}};
      for (int i = 0; i < 96; ++i) tensor.values.push_back(std::sin(i + 10 * inputs.size()));
      inputs[input->name()] = tensor;
    }
    const HostTensors out = Interpret(*graph, inputs);
    for (const auto& [got, want] : fused.outputs) {
      SCOPED_TRACE(got);
      ExpectNear(out.at(got), out.at(want).values);
    }
  }
}

constexpr char kAttention[] = R"(
    input %q: f32[1, 1, 2]
    input %k: f32[1, 1, 2]
    input %v: f32[1, 1, 2]
    input %pk: f32[1, 1, ROWS, 2]
    input %pv: f32[1, 1, ROWS, 2]
    input %seqlens: i32[1]
    input %total: i32[1]
    %y: f32[1, 1, 2], %key: f32[1, 1, ROWS, 2], %value: f32[1, 1, ROWS, 2] = com.microsoft::GroupQueryAttention (%q, %k, %v, %pk, %pv, %seqlens, %total) {num_heads = 1, kv_num_heads = 1, scale = 1f}
    return %y, %key, %value)";

HostTensors Attend(const std::string& rows, HostTensor past_key, HostTensor past_value,
                   double past) {
  std::string body = kAttention;
  for (size_t at; (at = body.find("ROWS")) != std::string::npos;) body.replace(at, 4, rows);
  return Outputs(body, {{"q", Floats({1, 1, 2}, {1, 0})},
                        {"k", Floats({1, 1, 2}, {2, 5})},
                        {"v", Floats({1, 1, 2}, {0, 1})},
                        {"pk", std::move(past_key)},
                        {"pv", std::move(past_value)},
                        {"seqlens", Ints({1}, {past}, DType::kI32)},
                        {"total", Ints({1}, {past + 1}, DType::kI32)}});
}

// One query over two keys with scores 1 and 2.
TEST(Interpreter, GrowsAPastThatIsFull) {
  const auto out = Attend("1", Floats({1, 1, 1, 2}, {1, 7}), Floats({1, 1, 1, 2}, {1, 0}), 1);
  EXPECT_EQ(out.at("key").shape, (graph::Shape{1, 1, 2, 2}));
  EXPECT_THAT(out.at("key").values, ElementsAre(1, 7, 2, 5));
  EXPECT_THAT(out.at("value").values, ElementsAre(1, 0, 0, 1));
  ExpectNear(out.at("y"), {1 / (1 + std::exp(1.)), 1 / (1 + std::exp(-1.))});
}

TEST(Interpreter, StartsFromNoPast) {
  const auto out = Attend("0", Floats({1, 1, 0, 2}, {}), Floats({1, 1, 0, 2}, {}), 0);
  EXPECT_THAT(out.at("key").values, ElementsAre(2, 5));
  ExpectNear(out.at("y"), {0, 1});
}

TEST(Interpreter, UpdatesACacheOfTheWholeCapacityInPlace) {
  const auto out = Attend("3", Floats({1, 1, 3, 2}, {1, 7, 8, 8, 9, 9}),
                          Floats({1, 1, 3, 2}, {1, 0, 8, 8, 9, 9}), 1);
  EXPECT_EQ(out.at("key").shape, (graph::Shape{1, 1, 3, 2}));
  EXPECT_THAT(out.at("key").values, ElementsAre(1, 7, 2, 5, 9, 9));
  EXPECT_THAT(out.at("value").values, ElementsAre(1, 0, 0, 1, 9, 9));
  ExpectNear(out.at("y"), {1 / (1 + std::exp(1.)), 1 / (1 + std::exp(-1.))});
}

// All scores are equal and each value identifies its key, so each row gives the mean of the keys
// that it sees.
TEST(Interpreter, AttendsToTheKeysThatOnnxSays) {
  const auto out = Outputs(R"(
    input %q: f32[1, 2, 2] input %k: f32[1, 3, 1] input %v: f32[1, 3, 1]
    input %pk: f32[1, 1, 1, 1] input %pv: f32[1, 1, 1, 1] input %n: i64[1] input %one: i64[1]
    input %mask: bool[2, 3] input %bias: f32[2, 1, 3]
    %all: f32[1, 2, 2] = ai.onnx::Attention (%q, %k, %v) {q_num_heads = 2, kv_num_heads = 1}
    %causal: f32[1, 2, 2] = ai.onnx::Attention (%q, %k, %v) {q_num_heads = 2, kv_num_heads = 1, is_causal = 1}
    %past: f32[1, 2, 2], %key: f32[1, 1, 4, 1], %value: f32[1, 1, 4, 1] = ai.onnx::Attention (%q, %k, %v, _, %pk, %pv) {q_num_heads = 2, kv_num_heads = 1, is_causal = 1}
    %masked: f32[1, 2, 2] = ai.onnx::Attention (%q, %k, %v, %mask, %pk, %pv) {q_num_heads = 2, kv_num_heads = 1}
    %biased: f32[1, 2, 2] = ai.onnx::Attention (%q, %k, %v, %bias) {q_num_heads = 2, kv_num_heads = 1}
    %length: f32[1, 2, 2] = ai.onnx::Attention (%q, %k, %v, _, _, _, %n) {q_num_heads = 2, kv_num_heads = 1, is_causal = 1}
    %short: f32[1, 2, 2] = ai.onnx::Attention (%q, %k, %v, _, _, _, %one) {q_num_heads = 2, kv_num_heads = 1, is_causal = 1}
    return %all, %causal, %past, %key, %value, %masked, %biased, %length, %short)",
                           {{"q", Floats({1, 2, 2}, {0, 0, 0, 0})},
                            {"k", Floats({1, 3, 1}, {5, 6, 7})},
                            {"v", Floats({1, 3, 1}, {1, 2, 4})},
                            {"pk", Floats({1, 1, 1, 1}, {9})},
                            {"pv", Floats({1, 1, 1, 1}, {8})},
                            {"n", Ints({1}, {3})},
                            {"one", Ints({1}, {1})},
                            {"mask", Ints({2, 3}, {0, 1, 1, 0, 0, 0}, DType::kBool)},
                            {"bias", Floats({2, 1, 3}, {0, std::log(3.), -INFINITY, 0, 0, 0})}});
  ExpectNear(out.at("all"), {7 / 3., 7 / 3., 7 / 3., 7 / 3.});
  ExpectNear(out.at("causal"), {1, 1, 3 / 2., 3 / 2.});
  ExpectNear(out.at("past"), {9 / 2., 9 / 2., 11 / 3., 11 / 3.});
  EXPECT_THAT(out.at("key").values, ElementsAre(9, 5, 6, 7));
  EXPECT_THAT(out.at("value").values, ElementsAre(8, 1, 2, 4));
  // The mask covers the first three of four keys; its second row masks all of them.
  ExpectNear(out.at("masked"), {3 / 2., 3 / 2., 0, 0});
  // One value per head.
  ExpectNear(out.at("biased"), {7 / 4., 7 / 3., 7 / 4., 7 / 3.});
  // The last row aligns with the last key. Rows before the first key see no keys.
  ExpectNear(out.at("length"), {3 / 2., 3 / 2., 7 / 3., 7 / 3.});
  ExpectNear(out.at("short"), {0, 0, 1, 1});
}

TEST(Interpreter, AttendsByHeadWithBiasesOfProjections) {
  const auto out = Outputs(R"(
    input %q: f32[1, 1, 2] input %k: f32[1, 2, 2] input %bias: f32[6] input %keys: i32[1, 2]
    input %n: i32[1]
    %y: f32[1, 1, 2], %key: f32[1, 2, 2, 1], %value: f32[1, 2, 2, 1] = com.microsoft::MultiHeadAttention (%q, %k, %k, %bias) {num_heads = 2}
    %m: f32[1, 1, 2] = com.microsoft::MultiHeadAttention (%q, %k, %k, _, %keys) {num_heads = 2}
    %l: f32[1, 1, 2] = com.microsoft::MultiHeadAttention (%q, %k, %k, _, %n) {num_heads = 2}
    return %y, %key, %value, %m, %l)",
                           {{"q", Floats({1, 1, 2}, {0, 1})},
                            {"k", Floats({1, 2, 2}, {1, 2, 3, 4})},
                            {"bias", Floats({6}, {1, -1, 10, 20, 100, 200})},
                            {"keys", Ints({1, 2}, {0, 1}, DType::kI32)},
                            {"n", Ints({1}, {1}, DType::kI32)}});
  EXPECT_THAT(out.at("key").values, ElementsAre(11, 13, 22, 24));
  EXPECT_THAT(out.at("value").values, ElementsAre(101, 103, 202, 204));
  // The queries are 1 and 0: the first head's scores differ by two, the second's are equal.
  ExpectNear(out.at("y"), {101 + 2 / (1 + std::exp(-2.)), 203});
  ExpectNear(out.at("m"), {3, 4});
  ExpectNear(out.at("l"), {1, 2});
}

// ONNX Runtime's CPU provider masks no key of the last row, and the rows begin at the first key.
TEST(Interpreter, AttendsInOneDirection) {
  const auto out = Outputs(R"(
    input %one: f32[1, 1, 1] input %three: f32[1, 3, 1] input %k: f32[1, 3, 1] input %v: f32[1, 3, 1]
    input %n: i32[1]
    %y: f32[1, 1, 1] = com.microsoft::MultiHeadAttention (%one, %k, %v) {num_heads = 1, unidirectional = 1}
    %z: f32[1, 3, 1] = com.microsoft::MultiHeadAttention (%three, %k, %v) {num_heads = 1, unidirectional = 1}
    %w: f32[1, 3, 1] = com.microsoft::MultiHeadAttention (%three, %k, %v, _, %n) {num_heads = 1, unidirectional = 1}
    return %y, %z, %w)",
                           {{"one", Floats({1, 1, 1}, {0})},
                            {"three", Floats({1, 3, 1}, {0, 0, 0})},
                            {"k", Floats({1, 3, 1}, {1, 2, 3})},
                            {"v", Floats({1, 3, 1}, {0, 1, 5})},
                            {"n", Ints({1}, {2}, DType::kI32)}});
  ExpectNear(out.at("y"), {2});
  ExpectNear(out.at("z"), {0, 0.5, 2});
  ExpectNear(out.at("w"), {0, 0.5, 0.5});
}

TEST(Interpreter, FoldsAnyNumberOfInputs) {
  const auto out = Outputs(R"(
    input %a: f32[2] input %b: f32[2, 1] input %c: f32[1] input %d: f64[2]
    %one: f32[2] = ai.onnx::Max (%a)
    %three: f32[2, 2] = ai.onnx::Max (%a, %c, %b)
    %min: f32[2, 2] = ai.onnx::Min (%c, %b, %a)
    %doubles: f64[2] = ai.onnx::Min (%d, %d)
    return %one, %three, %min, %doubles)",
                           {{"a", Floats({2}, {1, 5})},
                            {"b", Floats({2, 1}, {0, NAN})},
                            {"c", Floats({1}, {3})},
                            {"d", {DType::kF64, {2}, {1e300, -1e300}, {}}}});
  EXPECT_THAT(out.at("one").values, ElementsAre(1, 5));
  EXPECT_THAT(out.at("three").values, ElementsAre(3, 5, ::testing::IsNan(), ::testing::IsNan()));
  EXPECT_THAT(out.at("min").values, ElementsAre(0, 0, ::testing::IsNan(), ::testing::IsNan()));
  EXPECT_THAT(out.at("doubles").values, ElementsAre(1e300, -1e300));
}

// ONNX's Cast keeps the low bits of an integer; a float saturates, as on the GPU.
TEST(Interpreter, CastsToEveryIntegerType) {
  const auto cast = [](const HostTensor& x, DType to) {
    const auto out =
        Outputs(fmt::format("input %x: {}[3] %y: {}[3] = ai.onnx::Cast (%x) {{to = {}}} return %y",
                            DTypeName(x.dtype), DTypeName(to), static_cast<int>(to)),
                {{"x", x}});
    return out.at("y").values;
  };
  const HostTensor integers = Ints({3}, {-1, 300, -40000});
  EXPECT_THAT(cast(integers, DType::kU8), ElementsAre(255, 44, 192));
  EXPECT_THAT(cast(integers, DType::kI8), ElementsAre(-1, 44, -64));
  EXPECT_THAT(cast(integers, DType::kU16), ElementsAre(65535, 300, 25536));
  EXPECT_THAT(cast(integers, DType::kI16), ElementsAre(-1, 300, 25536));
  EXPECT_THAT(cast(integers, DType::kI32), ElementsAre(-1, 300, -40000));
  EXPECT_THAT(cast(integers, DType::kU32), ElementsAre(4294967295, 300, 4294927296));
  const HostTensor floats = Floats({3}, {-1.5, 300.7, 1e20});
  EXPECT_THAT(cast(floats, DType::kU8), ElementsAre(0, 255, 255));
  EXPECT_THAT(cast(floats, DType::kI16), ElementsAre(-1, 300, 32767));
  EXPECT_THAT(cast(floats, DType::kU32), ElementsAre(0, 300, 4294967295));
}

TEST(Interpreter, RaisesToExponentsOfAnotherType) {
  const auto out = Outputs(R"(
    input %x: f32[3] input %n: i64[3] input %e: f32[3]
    %a: f32[3] = ai.onnx::Pow (%x, %n)
    %b: i64[3] = ai.onnx::Pow (%n, %e)
    return %a, %b)",
                           {{"x", Floats({3}, {2, 1.5, -3})},
                            {"n", Ints({3}, {5, -1, 3})},
                            {"e", Floats({3}, {0.5, 2, 3})}});
  ExpectNear(out.at("a"), {32, 1 / 1.5, -27});
  EXPECT_THAT(out.at("b").values, ElementsAre(2, 1, 27));
}

TEST(Interpreter, ReducesAndMultipliesNothing) {
  const auto out = Outputs(R"(
    input %a: f32[2, 0] input %b: f32[0, 3] input %i: i64[2, 0] const %axis: i64[1] = [1]
    input %nan: f32[3]
    %y: f32[2, 3] = ai.onnx::MatMul (%a, %b)
    %max: f32[2, 1] = ai.onnx::ReduceMax (%a, %axis)
    %most: i64[2, 1] = ai.onnx::ReduceMax (%i, %axis)
    %mean: f32[2, 1] = ai.onnx::ReduceMean (%a, %axis)
    %kept: f32[1] = ai.onnx::ReduceMax (%nan)
    return %y, %max, %most, %mean, %kept)",
                           {{"a", Floats({2, 0}, {})},
                            {"b", Floats({0, 3}, {})},
                            {"i", Ints({2, 0}, {})},
                            {"nan", Floats({3}, {1, NAN, 2})}});
  EXPECT_THAT(out.at("y").values, ElementsAre(0, 0, 0, 0, 0, 0));
  EXPECT_THAT(out.at("max").values, ElementsAre(-INFINITY, -INFINITY));
  EXPECT_THAT(out.at("most").values, ElementsAre(-0x1p63, -0x1p63));
  EXPECT_THAT(out.at("mean").values, ElementsAre(0, 0));
  EXPECT_THAT(out.at("kept").values, ElementsAre(::testing::IsNan()));
}

// A quarter turn maps (1, 0) to (0, 1). Only position 1 of the caches rotates.
TEST(Interpreter, Rotates) {
  const auto out = Outputs(R"(
    input %x: f32[1, 2, 2]
    input %at: i64[1, 2]
    const %cos: f32[2, 1] = [1, 0]
    const %sin: f32[2, 1] = [0, 1]
    %y: f32[1, 2, 2] = com.microsoft::RotaryEmbedding (%x, %at, %cos, %sin)
    %z: f32[1, 2, 2] = ai.onnx::RotaryEmbedding (%x, %cos, %sin, %at) {num_heads = 1}
    return %y, %z)",
                           {{"x", Floats({1, 2, 2}, {1, 0, 1, 0})}, {"at", Ints({1, 2}, {1, 0})}});
  EXPECT_THAT(out.at("y").values, ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(out.at("z").values, ElementsAre(0, 1, 1, 0));
}

TEST(Interpreter, EvaluatesShapes) {
  const auto out = Outputs(R"(
    input %x: f32[2, 3]
    %s: i64[2] = ai.onnx::Shape (%x)
    %f: f32[2, 3] = ai.onnx::ConstantOfShape (%s)
    %y: f32[2, 3] = ai.onnx::Add (%x, %f)
    return %s, %y)",
                           {{"x", Floats({2, 3}, {1, 2, 3, 4, 5, 6})}});
  EXPECT_THAT(out.at("s").values, ElementsAre(2, 3));
  EXPECT_THAT(out.at("y").values, ElementsAre(1, 2, 3, 4, 5, 6));
}

// 1 + 2^-11 is halfway between two f16 values and rounds to even.
TEST(Interpreter, RoundsOnlyWhenAsked) {
  const std::string body = R"(
    input %x: f16[1]
    %y: f16[1] = ai.onnx::Mul (%x, %x)
    %w: f32[1] = ai.onnx::Cast (%y) {to = 1}
    return %w)";
  const HostTensors inputs = {{"x", {DType::kF16, {1}, {1 + 0x1p-10}, {}}}};
  const double square = (1 + 0x1p-10) * (1 + 0x1p-10);
  EXPECT_EQ(Outputs(body, inputs).at("w").values[0], square);
  EXPECT_EQ(Outputs(body, inputs, {.round = true}).at("w").values[0], 1 + 0x1p-9);
}

std::string ErrorOf(const std::string& body, const HostTensors& inputs) {
  try {
    Outputs(body, inputs);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Interpreter, NamesWhatItCannotRun) {
  const std::string error = ErrorOf(R"(
    input %x: f32[1]
    %y: f32[1] = com.example::Frobnicate @the_node (%x)
    return %y)",
                                    {{"x", Floats({1}, {1})}});
  EXPECT_THAT(error, HasSubstr("the_node"));
  EXPECT_THAT(error, HasSubstr("com.example::Frobnicate"));
}

TEST(Interpreter, ChecksInputs) {
  const std::string body = "input %x: f32[2] %y: f32[2] = ai.onnx::Neg (%x) return %y";
  EXPECT_THAT(ErrorOf(body, {}), HasSubstr("input 'x': got nothing"));
  EXPECT_THAT(ErrorOf(body, {{"x", Ints({2}, {1, 2})}}), HasSubstr("input 'x': got i64, want f32"));
  EXPECT_THAT(ErrorOf(body, {{"x", Floats({3}, {1, 2, 3})}}), HasSubstr("input 'x'"));
  EXPECT_THAT(ErrorOf(body, {{"x", Floats({2}, {1})}}), HasSubstr("input 'x'"));
}

}  // namespace
}  // namespace sinter::interpret
