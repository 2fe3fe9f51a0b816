// Tests programs: every operator's lowering against the interpreter, external buffers, errors,
// times.

#include "run/program.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "base/error.h"
#include "base/half.h"
#include "graph/text.h"
#include "interpret/interpreter.h"
#include "kernels/common/matrix_config.h"
#include "passes/specialize.h"
#include "support/device.h"
#include "support/fused_graph.h"

namespace sinter::run {
namespace {

using compile::ConvertElements;
using compile::Lower;
using interpret::HostTensor;
using interpret::HostTensors;
using interpret::Interpret;
using support::SharedDevice;
using ::testing::HasSubstr;

std::unique_ptr<graph::Graph> ParseBody(const std::string& body) {
  const auto graph =
      graph::Parse("graph g { opset ai.onnx 24 opset com.microsoft 1 opset sinter 1 " + body + "}");
  return passes::Specialize(*graph, {});
}

DType OnDevice(DType dtype) { return kernels::DeviceDType(SharedDevice()->caps(), dtype); }

std::vector<std::byte> Encode(const HostTensor& tensor) {
  graph::Tensor bytes = graph::Tensor::FromDoubles(tensor.dtype, tensor.shape, tensor.values);
  std::vector<std::byte> out(DTypeBytes(OnDevice(tensor.dtype), tensor.values.size()));
  ConvertElements(bytes, OnDevice(tensor.dtype), 0, out);
  return out;
}

std::vector<double> Decode(DType dtype, const std::vector<std::byte>& bytes, size_t count) {
  graph::Tensor tensor{OnDevice(dtype), {static_cast<int64_t>(count)}, bytes, nullptr};
  return tensor.ToDoubles();
}

// Fills a tensor with small whole numbers for integers and with multiples of 1/8 in [-2, 2) for
// floats, which f16 represents exactly.
HostTensor RandomTensor(const graph::Value& value, std::mt19937& random) {
  HostTensor tensor{value.dtype, value.shape(), {}, {}};
  tensor.values.resize(static_cast<size_t>(graph::NumElements(tensor.shape)));
  for (double& x : tensor.values) {
    if (value.dtype == DType::kBool) {
      x = random() % 2;
    } else if (IsFloat(value.dtype)) {
      x = (static_cast<double>(random() % 32) - 16) / 8;
    } else {
      x = random() % 3;
    }
  }
  return tensor;
}

struct Case {
  const char* name;
  const char* body;
};

// Integer inputs are 0, 1 or 2.
const Case kCases[] = {
    {"arithmetic", R"(input %a: f32[3, 5] input %b: f32[5]
      %s: f32[3, 5] = ai.onnx::Add (%a, %b)
      %d: f32[3, 5] = ai.onnx::Sub (%b, %s)
      %m: f32[3, 5] = ai.onnx::Max (%d, %a)
      %y: f32[3, 5] = ai.onnx::Mul (%m, %s) return %y, %d)"},
    {"integers", R"(input %a: i64[7] input %b: i32[7]
      %c: i32[7] = ai.onnx::Cast (%a) {to = 6}
      %s: i32[7] = ai.onnx::Add (%c, %b)
      %g: bool[7] = ai.onnx::GreaterOrEqual (%s, %b)
      %e: bool[7] = ai.onnx::Equal (%c, %b)
      %o: bool[7] = ai.onnx::Or (%g, %e)
      %f: f16[7] = ai.onnx::Cast (%o) {to = 10} return %s, %o, %f, %c)"},
    {"activations", R"(input %x: f32[9] input %b: f32[9]
      %g: f32[9] = ai.onnx::Gelu (%x)
      %t: f32[9] = ai.onnx::Gelu (%x) {approximate = "tanh"}
      %q: f32[9] = com.microsoft::QuickGelu (%x) {alpha = 1.5f}
      %f: f32[9] = com.microsoft::FastGelu (%x, %b)
      %h: f32[9] = com.microsoft::FastGelu (%x)
      %s: f32[9] = ai.onnx::Sigmoid (%x)
      %r: f32[9] = ai.onnx::Relu (%x) return %g, %t, %q, %f, %h, %s, %r)"},
    {"where", R"(input %c: bool[3, 1] input %a: f16[3, 4] input %b: f16[4]
      %y: f16[3, 4] = ai.onnx::Where (%c, %a, %b) return %y)"},
    {"movement", R"(input %x: f16[2, 3, 4]
      const %starts: i64[2] = [-1, 3] const %ends: i64[2] = [-9, 0] const %axes: i64[2] = [1, 2]
      const %steps: i64[2] = [-1, -2] const %sizes: i64[2] = [1, 3] const %wide: i64[4] = [2, 2, 3, 4]
      %t: f16[4, 2, 3] = ai.onnx::Transpose (%x) {perm = ints[2, 0, 1]}
      %s: f16[2, 3, 2] = ai.onnx::Slice (%x, %starts, %ends, %axes, %steps)
      %a: f16[2, 3, 1], %b: f16[2, 3, 3] = ai.onnx::Split (%x, %sizes) {axis = -1}
      %c: f16[2, 3, 4] = ai.onnx::Concat (%b, %a) {axis = 2}
      %e: f16[2, 2, 3, 4] = ai.onnx::Expand (%x, %wide) return %t, %s, %a, %c, %e)"},
    // Views have no dispatch of their own unless they are outputs.
    {"views", R"(input %x: f32[2, 6] const %shape: i64[2] = [4, 3] const %front: i64[1] = [0]
      %r: f32[4, 3] = ai.onnx::Reshape (%x, %shape)
      %u: f32[1, 4, 3] = ai.onnx::Unsqueeze (%r, %front)
      %q: f32[4, 3] = ai.onnx::Squeeze (%u, %front)
      %y: f32[4, 3] = ai.onnx::Add (%q, %r)
      %i: f32[4, 3] = ai.onnx::Identity (%y) return %r, %i, %y)"},
    {"gather", R"(input %x: f32[3, 4, 5] input %i: i64[2, 2]
      %y: f32[2, 2, 4, 5] = ai.onnx::Gather (%x, %i)
      %z: f32[3, 2, 2, 5] = ai.onnx::Gather (%x, %i) {axis = 1} return %y, %z)"},
    {"reductions", R"(input %x: f32[3, 4, 5] const %last: i64[1] = [-1] const %two: i64[2] = [0, 2]
      %s: f32[3, 4] = ai.onnx::ReduceSum (%x, %last) {keepdims = 0}
      %m: f32[1, 4, 1] = ai.onnx::ReduceMax (%x, %two)
      %a: f32[1, 1, 1] = ai.onnx::ReduceMean (%x)
      %n: f32[3, 4, 5] = ai.onnx::ReduceSum (%x) {noop_with_empty_axes = 1}
      %p: f32[3, 4, 5] = ai.onnx::Softmax (%x) {axis = 1} return %s, %m, %a, %n, %p)"},
    {"norms", R"(input %x: f32[3, 8] input %skip: f32[3, 8] input %scale: f32[8] input %bias: f32[8]
      input %half: f16[8]
      %n: f32[3, 8] = ai.onnx::SimplifiedLayerNormalization (%x, %scale) {epsilon = 0.01f}
      %h: f16[3, 8] = ai.onnx::SimplifiedLayerNormalization (%x, %half)
      %y: f32[3, 8], _, _, %sum: f32[3, 8] = com.microsoft::SkipSimplifiedLayerNormalization (%x, %skip, %scale, %bias)
      %unread: f32[3, 8], _, _, %only: f32[3, 8] = com.microsoft::SkipSimplifiedLayerNormalization (%x, %skip, %scale)
      %r: f32[3, 8] = ai.onnx::RMSNormalization (%x, %scale) return %n, %h, %y, %sum, %only, %r)"},
    // Over more dimensions than the last one, and with every output.
    {"more_norms", R"(input %x: f32[3, 2, 8] input %scale: f32[2, 8] input %bias: f32[2, 8]
      input %row: f32[8] input %h: f16[3, 8] input %half: f16[8]
      %r: f32[3, 2, 8] = ai.onnx::RMSNormalization (%x, %scale) {axis = 1}
      %y: f32[3, 2, 8], %mean: f32[3, 1, 1], %inv: f32[3, 1, 1] = ai.onnx::LayerNormalization (%x, %scale, %bias) {axis = -2, epsilon = 0.01f}
      %z: f32[3, 2, 8] = ai.onnx::LayerNormalization (%x, %row)
      %w: f16[3, 8] = ai.onnx::LayerNormalization (%h, %half, %half)
      %unread: f32[3, 2, 8], %only: f32[3, 2, 1] = ai.onnx::LayerNormalization (%x, %row)
      return %r, %y, %mean, %inv, %z, %w, %only)"},
    {"matmul",
     R"(input %a: f32[2, 3, 4] input %b: f32[4, 5] input %v: f32[4] input %m: f32[2, 1, 4, 3]
      %y: f32[2, 3, 5] = ai.onnx::MatMul (%a, %b)
      %r: f32[5] = ai.onnx::MatMul (%v, %b)
      %c: f32[2, 3] = ai.onnx::MatMul (%a, %v)
      %w: f32[2, 2, 3, 3] = ai.onnx::MatMul (%a, %m) return %y, %r, %c, %w)"},
    {"quantized", R"(input %x: f32[2, 3, 32] input %i: i64[2]
      const %codes: u8[3, 2, 8] = [1, 22, 133, 44, 255, 66, 77, 88, 9, 10, 211, 12, 13, 14, 15, 16,
        101, 122, 33, 144, 155, 166, 177, 188, 19, 110, 11, 112, 113, 114, 115, 116,
        201, 222, 233, 244, 55, 6, 7, 8, 99, 100, 111, 120, 130, 140, 150, 160]
      const %flat: u8[3, 16] = [1, 22, 133, 44, 255, 66, 77, 88, 9, 10, 211, 12, 13, 14, 15, 16,
        101, 122, 33, 144, 155, 166, 177, 188, 19, 110, 11, 112, 113, 114, 115, 116,
        201, 222, 233, 244, 55, 6, 7, 8, 99, 100, 111, 120, 130, 140, 150, 160]
      const %scales: f32[3, 2] = [0.5, 0.25, -0.5, 0.125, 1, 0.75]
      const %zeros: u8[3, 1] = [135, 121, 104] const %places: f32[3, 2] = [7.5, 8, 9, 7, 8, 6.25]
      const %bias: f32[3] = [1, -1, 0.5]
      %y: f32[2, 3, 3] = com.microsoft::MatMulNBits (%x, %codes, %scales) {K = 32, N = 3, bits = 4, block_size = 16}
      %z: f32[2, 3, 3] = com.microsoft::MatMulNBits (%x, %codes, %scales, %zeros, _, %bias) {K = 32, N = 3, bits = 4, block_size = 16}
      %w: f32[2, 3, 3] = com.microsoft::MatMulNBits (%x, %codes, %scales, %places) {K = 32, N = 3, bits = 4, block_size = 16}
      %g: f32[2, 32] = com.microsoft::GatherBlockQuantized (%flat, %i, %scales, %zeros) {bits = 4, block_size = 16}
      return %y, %z, %w, %g)"},
    {"rotary",
     R"(input %x: f32[1, 3, 8] input %h: f32[1, 2, 3, 4] input %at: i64[1, 3] input %from: i64[1]
      const %cos: f32[6, 2] = [1, 1, 0.5, 0.25, 0, 0.5, -0.5, 0.75, -1, 0.125, 0.5, -0.25]
      const %sin: f32[6, 2] = [0, 0, 0.75, 0.5, 1, 0.25, 0.5, -0.75, 0, 0.5, 1, -0.125]
      %y: f32[1, 3, 8] = com.microsoft::RotaryEmbedding (%x, %at, %cos, %sin) {num_heads = 2}
      %o: f32[1, 3, 8] = com.microsoft::RotaryEmbedding (%x, %from, %cos, %sin) {interleaved = 1}
      %p: f32[1, 3, 8] = com.microsoft::RotaryEmbedding (%x, %at, %cos, %sin) {num_heads = 1, rotary_embedding_dim = 4}
      %r: f32[1, 2, 3, 4] = com.microsoft::RotaryEmbedding (%h, %at, %cos, %sin)
      %n: f32[1, 3, 8] = ai.onnx::RotaryEmbedding (%x, %cos, %sin, %at) {num_heads = 2}
      return %y, %o, %p, %r, %n)"},
    // Caches with a row for each row of x.
    {"rotary_without_positions",
     R"(input %x: f32[2, 3, 8] input %cos: f32[2, 3, 2] input %sin: f32[2, 3, 2]
      %y: f32[2, 3, 8] = ai.onnx::RotaryEmbedding (%x, %cos, %sin) {num_heads = 2} return %y)"},
    {"any_number_of_inputs", R"(input %a: f32[2, 3] input %b: f32[3] input %c: f32[2, 1]
      input %d: f16[5] input %i: i64[4] input %j: i64[1] input %k: i64[4]
      %one: f16[5] = ai.onnx::Max (%d)
      %two: f32[2, 3] = ai.onnx::Min (%b, %c)
      %three: f32[2, 3] = ai.onnx::Max (%b, %c, %a)
      %four: f32[2, 3] = ai.onnx::Min (%b, %a, %c, %three)
      %ints: i64[4] = ai.onnx::Max (%j, %i, %k)
      %again: f16[5] = ai.onnx::Min (%one) %used: f16[5] = ai.onnx::Add (%again, %d)
      return %one, %two, %three, %four, %ints, %used)"},
    {"exponents", R"(input %x: f32[6] input %h: f16[6] input %i: i64[6] input %n: i32[6]
      const %two: i64[] = [2] const %half: f32[1] = [0.5] const %cube: f16[] = [3]
      %a: f32[6] = ai.onnx::Pow (%x, %two)
      %b: f32[6] = ai.onnx::Pow (%x, %n)
      %c: i64[6] = ai.onnx::Pow (%i, %half)
      %d: f16[6] = ai.onnx::Pow (%h, %n)
      %e: f32[6] = ai.onnx::Pow (%x, %cube)
      %f: i32[6] = ai.onnx::Pow (%n, %i) return %a, %b, %c, %d, %e, %f)"},
    // Constants beyond 32 bits that decide a comparison, a maximum or a minimum. %n has the
    // largest number of 32 bits.
    {"int64_beyond_32_bits", R"(input %x: i64[3] const %big: i64[] = [4294967296]
      const %low: i64[1] = [-9223372036854775808] const %ends: i64[3] = [2147483647, 1, -2147483647]
      const %far: i64[3] = [2147483648, 4294967297, 9223372036854775807]
      %n: i64[3] = ai.onnx::Max (%ends, %x)
      %a: bool[3] = ai.onnx::Less (%n, %far) %b: bool[3] = ai.onnx::LessOrEqual (%far, %n)
      %c: bool[3] = ai.onnx::Equal (%n, %big) %d: bool[3] = ai.onnx::Greater (%n, %low)
      %e: bool[3] = ai.onnx::GreaterOrEqual (%low, %n) %f: bool[3] = ai.onnx::Greater (%far, %n)
      %g: bool[3] = ai.onnx::GreaterOrEqual (%n, %big) %h: bool[3] = ai.onnx::Less (%low, %n)
      %i: i64[3] = ai.onnx::Min (%n, %far) %j: i64[3] = ai.onnx::Max (%low, %x)
      %k: bool[3] = ai.onnx::Equal (%low, %n) %l: bool[3] = ai.onnx::LessOrEqual (%n, %low)
      return %a, %b, %c, %d, %e, %f, %g, %h, %i, %j, %k, %l)"},
    // Products and reductions of nothing.
    {"nothing", R"(input %a: f32[2, 3, 0] input %b: f32[0, 4] input %h: f16[0] input %i: i32[3, 0]
      input %s: f32[2, 4] const %last: i64[1] = [-1]
      %y: f32[2, 3, 4] = ai.onnx::MatMul (%a, %b)
      %z: f16[] = ai.onnx::MatMul (%h, %h)
      %sum: f32[2, 3] = ai.onnx::ReduceSum (%a, %last) {keepdims = 0}
      %max: i32[3, 1] = ai.onnx::ReduceMax (%i, %last)
      %mean: f32[2, 3, 1] = ai.onnx::ReduceMean (%a, %last)
      %e: f32[2, 3, 0] = ai.onnx::Add (%a, %a)
      %c: f32[2, 4] = ai.onnx::Concat (%s, %b) {axis = 0}
      return %y, %z, %sum, %max, %mean, %e, %c)"},
};

class Lowering : public ::testing::TestWithParam<Case> {};

// Runs the graph on random inputs and expects the interpreter's results. Inputs are short binary
// fractions, so only functions, means and f16 results round. The tolerances `f16_unit` and
// `f32_unit` (a few units of f32) are relative to sums of at most 32 products below 64.
void ExpectInterpreted(const graph::Graph& graph, double f16_unit, double f32_unit,
                       const std::shared_ptr<gpu::Device>& device,
                       const compile::ForcedVariants& variants = {}) {
  std::mt19937 random(7);
  HostTensors inputs;
  Externals externals;
  for (const graph::Value* input : graph.inputs()) {
    const HostTensor tensor = RandomTensor(*input, random);
    const std::vector<std::byte> bytes = Encode(tensor);
    const gpu::Buffer buffer = device->CreateBuffer(bytes.size(), input->name());
    device->Upload(buffer, 0, bytes);
    externals[input->name()] = buffer;
    inputs[input->name()] = tensor;
  }
  WeightStore weights(device);
  Program program(device, weights, graph, externals, {.variants = variants});
  const HostTensors want = Interpret(graph, inputs);
  for (const bool capture : {true, false}) {
    program.Run({.capture = capture});
    for (const auto& [name, tensor] : want) {
      const gpu::Buffer& buffer = program.external(name);
      const size_t count = tensor.values.size();
      const std::vector<double> got =
          Decode(tensor.dtype,
                 device->Download(buffer, 0, DTypeBytes(OnDevice(tensor.dtype), count)), count);
      for (size_t i = 0; i < count; ++i) {
        const double unit = tensor.dtype == DType::kF16 ? f16_unit : f32_unit;
        ASSERT_NEAR(got[i], tensor.values[i], unit * std::max(1.0, std::fabs(tensor.values[i])))
            << name << "[" << i << "], capture " << capture;
      }
    }
  }
}

void ExpectInterpreted(const std::string& body, double f16_unit = 0x1p-10,
                       double f32_unit = 0x1p-19) {
  ExpectInterpreted(*ParseBody(body), f16_unit, f32_unit, SharedDevice());
}

TEST_P(Lowering, GivesWhatTheInterpreterGives) { ExpectInterpreted(GetParam().body); }

INSTANTIATE_TEST_SUITE_P(Operators, Lowering, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.name; });

const Case kAttentions[] = {
    {"by_head", R"(input %q: f32[2, 4, 3, 8] input %k: f32[2, 2, 3, 8] input %v: f32[2, 2, 3, 8]
      input %pk: f32[2, 2, 5, 8] input %pv: f32[2, 2, 5, 8] input %m: f32[4, 1, 8]
      %y: f32[2, 4, 3, 8], %key: f32[2, 2, 8, 8], %value: f32[2, 2, 8, 8] = ai.onnx::Attention (%q, %k, %v, %m, %pk, %pv) {is_causal = 1, scale = 0.5f}
      %z: f32[2, 4, 3, 8], %same: f32[2, 2, 3, 8] = ai.onnx::Attention (%q, %k, %v) {softcap = 1.5f}
      %twice: f32[2, 2, 3, 8] = ai.onnx::Add (%same, %same)
      return %y, %key, %value, %z, %twice)"},
    // The rows outnumber the keys, and the keys outnumber the rows.
    {"by_row", R"(input %q: f16[2, 9, 12] input %k: f16[2, 7, 6] input %v: f16[2, 7, 6]
      input %m: bool[9, 6] input %pk: f16[2, 2, 30, 3] input %pv: f16[2, 2, 30, 3]
      %y: f16[2, 9, 12], %key: f16[2, 2, 7, 3] = ai.onnx::Attention (%q, %k, %v, %m) {q_num_heads = 4, kv_num_heads = 2}
      %c: f16[2, 9, 12] = ai.onnx::Attention (%q, %k, %v) {q_num_heads = 4, kv_num_heads = 2, is_causal = 1}
      %p: f16[2, 9, 12] = ai.onnx::Attention (%q, %k, %v, _, %pk, %pv) {q_num_heads = 4, kv_num_heads = 2, is_causal = 1}
      return %y, %key, %c, %p)"},
    {"lengths", R"(input %q: f32[3, 2, 2, 8] input %k: f32[3, 1, 6, 8] input %v: f32[3, 1, 6, 8]
      input %n: i64[3] input %m: bool[3, 1, 1, 6]
      %y: f32[3, 2, 2, 8] = ai.onnx::Attention (%q, %k, %v, _, _, _, %n)
      %c: f32[3, 2, 2, 8] = ai.onnx::Attention (%q, %k, %v, %m, _, _, %n) {is_causal = 1}
      return %y, %c)"},
    {"multi_head", R"(input %q: f32[3, 9, 16] input %k: f32[3, 5, 16] input %v: f32[3, 5, 16]
      input %bias: f32[48] input %n: i32[3] input %keys: i32[3, 5] input %a: f32[1, 2, 9, 5]
      input %pk: f32[3, 2, 4, 8] input %pv: f32[3, 2, 4, 8] input %turned: f32[3, 2, 5, 8]
      %y: f32[3, 9, 16], %key: f32[3, 2, 5, 8] = com.microsoft::MultiHeadAttention (%q, %k, %v, %bias, %keys) {num_heads = 2}
      %l: f32[3, 9, 16] = com.microsoft::MultiHeadAttention (%q, %k, %v, _, %n, %a) {num_heads = 2, scale = 0.25f}
      %p: f32[3, 9, 16] = com.microsoft::MultiHeadAttention (%q, %k, %v, %bias, _, _, %pk, %pv) {num_heads = 2, unidirectional = 1}
      %t: f32[3, 9, 16] = com.microsoft::MultiHeadAttention (%q, %turned, %turned) {num_heads = 2}
      %u: f32[3, 9, 16] = com.microsoft::MultiHeadAttention (%q, %k, %v, _, %n) {num_heads = 2, unidirectional = 1}
      return %y, %key, %l, %p, %t, %u)"},
};

class AttentionLowering : public ::testing::TestWithParam<Case> {};

// exp and its rescaling are each off by 3 + 2 * 16 units in the last place. This moves a weighted
// mean of values up to 4 (up to 2, with a bias of 2) by twice that. On the matrix units the weights
// are rounded to f16, and so is a result.
TEST_P(AttentionLowering, GivesWhatTheInterpreterGives) {
  const double f32_unit = 2 * 4 * 2 * 35 * 0x1p-23;
  ExpectInterpreted(GetParam().body, f32_unit + 2 * 0x1p-11 + 0x1p-11, f32_unit);
}

INSTANTIATE_TEST_SUITE_P(Operators, AttentionLowering, ::testing::ValuesIn(kAttentions),
                         [](const auto& info) { return info.param.name; });

TEST(FusedLowering, GivesWhatTheInterpreterGives) {
  ExpectInterpreted(support::MakeFusedGraph("f32", "f32").body);
  // Norms and products are f16 in memory between dispatches. Each of the 32 terms is off by 2^-11
  // of up to 2, in the worst case all in the same direction, and the gate multiplies that by up to
  // 2.
  ExpectInterpreted(support::MakeFusedGraph("f16", "f32").body, 0x1p-4);
  ExpectInterpreted(support::MakeFusedGraph("f16", "f16").body, 0x1p-4);
}

// B is split into 48 and 24 rows (along K), and the f32 sums into as many rows of A as fit one
// binding. All sums are exact in f32, so Y is off by one rounding. It would be off by more if the
// parts' sums were rounded to f16.
TEST(Lowering, SplitsAWeightOfAPlainProduct) {
  const auto small = support::OpenDevice({.max_storage_binding_bytes = 4096});
  const bool halves = small->caps().f16;
  const auto graph =
      ParseBody(fmt::format("input %a: {0}[2, {1}, 72] const %b: {0}[72, {2}] = zeros "
                            "%y: {0}[2, {1}, {2}] = ai.onnx::MatMul (%a, %b) return %y",
                            halves ? "f16" : "f32", halves ? 13 : 7, halves ? 40 : 20));
  graph::Value* b = graph->FindValue("b");
  std::mt19937 random(3);
  const HostTensor values = RandomTensor(*b, random);
  b->SetConstant(graph::Tensor::FromDoubles(values.dtype, values.shape, values.values));
  std::vector<std::string> variants = {"vec", "tile"};
  if (kernels::FindMatrixConfig(small->caps())) variants.push_back("matrix");
  for (const std::string& variant : variants) {
    SCOPED_TRACE(variant);
    const compile::ForcedVariants forced = {{"matmul", variant}};
    const compile::Lowered lowered = Lower(*graph, small->caps(), {}, {.variants = forced});
    EXPECT_EQ(lowered.dispatches.size(), halves ? 4u : 2u);
    ExpectInterpreted(*graph, 0x1p-11, 0x1p-19, small, forced);
  }
}

constexpr char kAttention[] = R"(
  input %q: f32[1, 1, 4] input %k: f32[1, 1, 4] input %v: f32[1, 1, 4]
  input %pk: f32[1, 1, 8, 4] input %pv: f32[1, 1, 8, 4] input %seqlens: i32[1] input %total: i32[1]
  %y: f32[1, 1, 4], %key: f32[1, 1, 8, 4], %value: f32[1, 1, 8, 4] = com.microsoft::GroupQueryAttention @the_attention (%q, %k, %v, %pk, %pv, %seqlens, %total) {num_heads = 1, kv_num_heads = 1}
  return %y, %key, %value)";

gpu::Buffer Filled(const std::vector<float>& values) {
  const gpu::Buffer buffer = SharedDevice()->CreateBuffer(values.size() * 4, "test");
  SharedDevice()->Upload(buffer, 0, std::as_bytes(std::span(values)));
  return buffer;
}

Externals AttentionBuffers() {
  Externals buffers;
  for (const char* name : {"q", "k", "v"}) buffers[name] = Filled({1, 2, 3, 4});
  buffers["pk"] = buffers["key"] = Filled(std::vector<float>(32, 0.5f));
  buffers["pv"] = buffers["value"] = Filled(std::vector<float>(32, 0.25f));
  // Bit patterns of the integers 2 and 3: the cache holds two past rows.
  buffers["seqlens"] = Filled({std::bit_cast<float>(2)});
  buffers["total"] = Filled({std::bit_cast<float>(3)});
  return buffers;
}

TEST(Program, UpdatesACacheInPlace) {
  const auto graph = ParseBody(kAttention);
  WeightStore weights(SharedDevice());
  Program program(SharedDevice(), weights, *graph, AttentionBuffers());
  EXPECT_TRUE(program.external("pk") == program.external("key"));
  program.Run();
  const std::vector<double> keys =
      Decode(DType::kF32, SharedDevice()->Download(program.external("pk"), 0, 128), 32);
  EXPECT_THAT(std::vector<double>(keys.begin() + 8, keys.begin() + 12),
              ::testing::ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(std::count(keys.begin(), keys.end(), 0.5), 28);
}

template <typename F>
std::string ErrorOf(F&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

// Two sequences give the same bits in pages, with all kernels that attend or append.
TEST(Program, AttendsInPages) {
  const auto graph_of = [](int rows) {
    return ParseBody(fmt::format(R"(
  input %q: f32[2, 1, 96] input %pk: f32[2, 1, {0}, 16] input %pv: f32[2, 1, {0}, 16]
  input %seqlens: i32[2] input %total: i32[1]
  %y: f32[2, 1, 64], %key: f32[2, 1, {0}, 16], %value: f32[2, 1, {0}, 16] = com.microsoft::GroupQueryAttention (%q, _, _, %pk, %pv, %seqlens, %total) {{num_heads = 4, kv_num_heads = 1}}
  return %y, %key, %value)",
                                 rows));
  };
  const std::vector<int32_t> last = {199, 70}, table = {5, 2, 7, 3, 4, 1, 0, 0};
  std::mt19937 random(1);
  const auto noise = [&](size_t count) {
    std::vector<float> values(count);
    for (float& x : values) x = static_cast<float>(random() % 64) / 32 - 1;
    return values;
  };
  const auto ints = [](const std::vector<int32_t>& values) {
    const gpu::Buffer buffer = SharedDevice()->CreateBuffer(values.size() * 4, "ints");
    SharedDevice()->Upload(buffer, 0, std::as_bytes(std::span(values)));
    return buffer;
  };
  const std::vector<float> q = noise(2 * 96), keys = noise(2 * 256 * 16),
                           values = noise(2 * 256 * 16);
  // A pool of eight pages for both sequences.
  const auto in_pages = [&](const std::vector<float>& cache) {
    std::vector<float> pool(8 * 64 * 16);
    for (size_t entry = 0; entry < table.size(); ++entry) {
      std::copy_n(cache.begin() + static_cast<ptrdiff_t>(entry * 64 * 16), 64 * 16,
                  pool.begin() + table[entry] * 64 * 16);
    }
    return pool;
  };
  WeightStore weights(SharedDevice());
  const auto externals = [&](const std::vector<float>& k, const std::vector<float>& v) {
    Externals buffers = {{"q", Filled(q)}, {"seqlens", ints(last)}, {"total", ints({200})}};
    buffers["pk"] = buffers["key"] = Filled(k);
    buffers["pv"] = buffers["value"] = Filled(v);
    return buffers;
  };
  const auto run = [&](Program& program) {
    program.Run();
    return SharedDevice()->Download(program.external("y"), 0, 2 * 64 * 4);
  };
  Externals paged_buffers = externals(in_pages(keys), in_pages(values));
  EXPECT_THAT(ErrorOf([&] {
                Program(SharedDevice(), weights, *graph_of(512), paged_buffers,
                        {.page_entries = 4});
              }),
              HasSubstr("input 'sinter.page_table': got no buffer, want one of 32 bytes"));
  for (const compile::ForcedVariants& variants : std::vector<compile::ForcedVariants>{
           {},
           {{"group_query_attention", "row"}},
           {{"group_query_attention", "prefill"}, {"rotary_embedding", "wg64"}}}) {
    paged_buffers = externals(in_pages(keys), in_pages(values));
    paged_buffers[std::string(compile::kPageTable)] = ints(table);
    Program apart(SharedDevice(), weights, *graph_of(256), externals(keys, values),
                  {.variants = variants});
    Program paged(SharedDevice(), weights, *graph_of(512), paged_buffers,
                  {.variants = variants, .page_entries = 4});
    EXPECT_EQ(run(paged), run(apart));
  }
}

// Attention of at most eight rows is one dispatch. Its counters have their initial values after
// every run.
TEST(Program, AttendsInOneDispatch) {
  const auto graph = ParseBody(R"(
  input %q: f32[1, 1, 96] input %pk: f32[1, 1, 700, 16] input %pv: f32[1, 1, 700, 16]
  input %seqlens: i32[1] input %total: i32[1]
  %y: f32[1, 1, 64], %key: f32[1, 1, 700, 16], %value: f32[1, 1, 700, 16] = com.microsoft::GroupQueryAttention (%q, _, _, %pk, %pv, %seqlens, %total) {num_heads = 4, kv_num_heads = 1}
  return %y, %key, %value)");
  const auto noise = [](size_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<float> values(count);
    for (float& x : values) x = static_cast<float>(random() % 64) / 32 - 1;
    return values;
  };
  const auto run = [&](const compile::ForcedVariants& variants, size_t dispatches) {
    Externals buffers;
    buffers["q"] = Filled(noise(96, 1));
    buffers["pk"] = buffers["key"] = Filled(noise(700 * 16, 2));
    buffers["pv"] = buffers["value"] = Filled(noise(700 * 16, 3));
    buffers["seqlens"] = Filled({std::bit_cast<float>(600)});
    buffers["total"] = Filled({std::bit_cast<float>(601)});
    WeightStore weights(SharedDevice());
    Program program(SharedDevice(), weights, *graph, buffers, {.variants = variants});
    EXPECT_EQ(program.num_dispatches(), dispatches);
    std::vector<std::vector<double>> outputs;
    for (int i = 0; i < 3; ++i) {
      program.Run();
      outputs.push_back(
          Decode(DType::kF32, SharedDevice()->Download(program.external("y"), 0, 256), 64));
    }
    EXPECT_EQ(outputs[0], outputs[1]);
    EXPECT_EQ(outputs[0], outputs[2]);
    return outputs[0];
  };
  const std::vector<double> one = run({}, 1), two = run({{"group_query_attention", "row"}}, 2),
                            parts = run(
                                {{"group_query_attention", "row"}, {"rotary_embedding", "wg64"}},
                                4);
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_NEAR(one[i], parts[i], 1e-5);
    EXPECT_NEAR(two[i], parts[i], 1e-5);
  }
}

// Checks that every dispatch has a label and a time that a timestamp could have measured.
TEST(Program, ProfileTimesEveryDispatch) {
  const auto graph = ParseBody(kAttention);
  WeightStore weights(SharedDevice());
  Program program(SharedDevice(), weights, *graph, AttentionBuffers());
  const std::vector<DispatchTime> times = program.Profile();
  ASSERT_EQ(times.size(), program.num_dispatches());
  for (size_t i = 0; i < times.size(); ++i) {
    EXPECT_EQ(times[i].label, program.lowered().dispatches[i].label);
    EXPECT_EQ(times[i].variant, program.lowered().dispatches[i].plan.variant);
    EXPECT_GE(times[i].nanoseconds, 0);
    EXPECT_LT(times[i].nanoseconds, 1e9);
  }
  EXPECT_THAT(times[0].label, HasSubstr("GroupQueryAttention the_attention"));
}

std::string BuildError(const std::string& body, Externals externals,
                       std::shared_ptr<gpu::Device> device = SharedDevice(),
                       compile::ForcedVariants variants = {}) {
  return ErrorOf([&] {
    WeightStore weights(device);
    Program(device, weights, *ParseBody(body), std::move(externals), {.variants = variants});
  });
}

// On the GPU int64 has 32 bits. A result beyond is an error that names the node, and only of that
// run.
TEST(ProgramErrors, NameTheNodeWhoseInt64DoesNotFit) {
  for (const char* node : {"%y: i64[2] = ai.onnx::Cast @the_node (%x) {to = 7}",
                           "%i: i64[2] = ai.onnx::Cast (%x) {to = 7} "
                           "%y: i64[2] = ai.onnx::Add @the_node (%i, %i)",
                           "%i: i64[2] = ai.onnx::Cast (%x) {to = 7} "
                           "%y: i64[2] = ai.onnx::Pow @the_node (%i, %four)",
                           "%i: i64[2] = ai.onnx::Cast (%x) {to = 7} "
                           "%y: i64[1] = ai.onnx::ReduceSum @the_node (%i)"}) {
    const auto graph =
        ParseBody(fmt::format("input %x: f32[2] const %four: i64[] = [4] {} return %y", node));
    const std::string op = std::string(node).find("Add") != std::string::npos         ? "Add"
                           : std::string(node).find("Pow") != std::string::npos       ? "Pow"
                           : std::string(node).find("ReduceSum") != std::string::npos ? "ReduceSum"
                                                                                      : "Cast";
    WeightStore weights(SharedDevice());
    const float large = op == "Cast" ? 3e9f : 1610612736.0f;
    const gpu::Buffer x = Filled({1, 2});
    Program program(SharedDevice(), weights, *graph, {{"x", x}});
    const auto run = [&](std::vector<float> values, bool capture) {
      SharedDevice()->Upload(x, 0, std::as_bytes(std::span(values)));
      return ErrorOf([&] { program.Run({.capture = capture}); });
    };
    for (const bool capture : {true, false}) {
      EXPECT_EQ(run({1, 2}, capture), "");
      EXPECT_THAT(run({large, large}, capture),
                  ::testing::AllOf(HasSubstr(op + " the_node"),
                                   HasSubstr("got a result of int64 beyond 32 bits")));
    }
    EXPECT_EQ(run({3, 4}, true), "");
  }
}

TEST(ProgramErrors, NameTheBufferThatDoesNotFit) {
  const std::string body = "input %x: f32[4] %y: f32[4] = ai.onnx::Neg @the_node (%x) return %y";
  EXPECT_EQ(BuildError(body, {{"x", Filled({1, 2, 3, 4})}}), "");
  EXPECT_THAT(BuildError(body, {}), HasSubstr("input 'x': got no buffer, want one of 16 bytes"));
  const std::string wide = "input %x: f32[40] %y: f32[40] = ai.onnx::Neg (%x) return %y";
  EXPECT_THAT(BuildError(wide, {{"x", Filled({1})}}),
              HasSubstr("'x': got a buffer of 16 bytes, want 160"));
  const gpu::Buffer x = Filled(std::vector<float>(40));
  EXPECT_THAT(BuildError(wide, {{"x", x}, {"y", Filled({1})}}),
              HasSubstr("'y': got a buffer of 16 bytes, want 160"));
}

TEST(ProgramErrors, NameTheDispatchWhoseBindingIsTooLarge) {
  const auto small = support::OpenDevice({.max_storage_binding_bytes = 4096});
  const std::string error =
      BuildError("input %x: f32[2048] %y: f32[2048] = ai.onnx::Neg @the_node (%x) return %y",
                 {{"x", small->CreateBuffer(8192, "x")}}, small);
  EXPECT_THAT(error, HasSubstr("Neg the_node"));
  EXPECT_THAT(error, HasSubstr("got 8192 bytes, want at most 4096"));
}

}  // namespace
}  // namespace sinter::run
