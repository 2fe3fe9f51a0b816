// Types and shapes of ONNX Runtime's own operators, and the nodes that inference refuses.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "graph/ops.h"
#include "graph/text.h"

namespace sinter::graph {
namespace {

using ::testing::HasSubstr;

// Builds one node from named inputs, so that a test states only what it changes.
class OneOp {
 public:
  OneOp(std::string op, std::vector<std::pair<std::string, std::string>> inputs,
        std::map<std::string, std::string> attributes, int outputs)
      : op_(std::move(op)),
        inputs_(std::move(inputs)),
        attributes_(std::move(attributes)),
        outputs_(outputs) {}

  // Sets the type of an input. "_" makes the input absent.
  OneOp& Input(const std::string& name, const std::string& type) {
    for (auto& [other, value] : inputs_) {
      if (other == name) {
        value = type;
        return *this;
      }
    }
    inputs_.emplace_back(name, type);
    return *this;
  }
  // Sets an attribute. "" removes it.
  OneOp& Attr(const std::string& name, const std::string& value) {
    attributes_[name] = value;
    if (value.empty()) attributes_.erase(name);
    return *this;
  }
  OneOp& Outputs(int count) {
    outputs_ = count;
    return *this;
  }

  // Returns the output types, or the error's text.
  std::string Infer() const {
    std::string declarations;
    std::vector<std::string> references, outputs, attributes;
    for (const auto& [name, type] : inputs_) {
      references.push_back(type == "_" ? "_" : "%" + name);
      if (type == "_") continue;
      const bool constant = type.find('=') != std::string::npos;
      declarations += fmt::format("{} %{}: {}\n", constant ? "const" : "input", name, type);
    }
    for (int i = 0; i < outputs_; ++i) outputs.push_back(fmt::format("%out{}", i));
    for (const auto& [name, value] : attributes_) {
      attributes.push_back(fmt::format("{} = {}", name, value));
    }
    const auto graph = Parse(fmt::format(
        "graph {{ opset ai.onnx 23 opset com.microsoft 1\n{}{} = {}({}) {{{}}} }}", declarations,
        fmt::join(outputs, ", "), op_, fmt::join(references, ", "), fmt::join(attributes, ", ")));
    try {
      InferNode(*graph->nodes().front());
    } catch (const Error& error) {
      return error.what();
    }
    std::vector<std::string> types;
    for (const Value* value : graph->nodes().front()->outputs()) {
      types.push_back(
          fmt::format("{}[{}]", DTypeName(value->dtype), fmt::join(value->shape(), ", ")));
    }
    return fmt::format("{}", fmt::join(types, " "));
  }

 private:
  std::string op_;
  std::vector<std::pair<std::string, std::string>> inputs_;
  std::map<std::string, std::string> attributes_;
  int outputs_;
};

OneOp MatMulNBits() {
  return OneOp("com.microsoft::MatMulNBits",
               {{"A", "f16[1, 7, 96]"}, {"B", "u8[40, 3, 16]"}, {"scales", "f16[40, 3]"}},
               {{"K", "96"}, {"N", "40"}, {"bits", "4"}, {"block_size", "32"}}, 1);
}

TEST(MatMulNBits, Infers) {
  EXPECT_EQ(MatMulNBits().Infer(), "f16[1, 7, 40]");
  EXPECT_EQ(MatMulNBits().Attr("accuracy_level", "4").Input("scales", "f16[120]").Infer(),
            "f16[1, 7, 40]");
  EXPECT_EQ(MatMulNBits().Attr("bits", "8").Input("B", "u8[40, 3, 32]").Infer(), "f16[1, 7, 40]");
  EXPECT_EQ(MatMulNBits().Attr("bits", "2").Input("B", "u8[40, 3, 8]").Infer(), "f16[1, 7, 40]");
  // 90 columns fill the last block of 32 only partly.
  EXPECT_EQ(MatMulNBits().Attr("K", "90").Input("A", "f16[90]").Infer(), "f16[40]");
}

TEST(MatMulNBits, TakesZeroPointsAndBias) {
  EXPECT_EQ(MatMulNBits().Input("zero_points", "u8[40, 2]").Infer(), "f16[1, 7, 40]");
  EXPECT_EQ(MatMulNBits().Input("zero_points", "u8[80]").Infer(), "f16[1, 7, 40]");
  EXPECT_EQ(MatMulNBits().Input("zero_points", "f16[40, 3]").Infer(), "f16[1, 7, 40]");
  OneOp with_bias = MatMulNBits();
  with_bias.Input("zero_points", "_").Input("g_idx", "_");
  EXPECT_EQ(with_bias.Input("bias", "f16[40]").Infer(), "f16[1, 7, 40]");
  EXPECT_THAT(with_bias.Input("bias", "f16[41]").Infer(), HasSubstr("got shape [41], want [40]"));
  EXPECT_THAT(MatMulNBits().Input("zero_points", "u8[40, 3]").Infer(),
              HasSubstr("(zero_points): got shape [40, 3], want [40, 2]"));
  EXPECT_THAT(MatMulNBits().Input("zero_points", "f32[40, 3]").Infer(), HasSubstr("got type f32"));
}

TEST(MatMulNBits, Refuses) {
  EXPECT_THAT(MatMulNBits().Input("zero_points", "_").Input("g_idx", "i32[96]").Infer(),
              HasSubstr("input 4 (g_idx): got 'g_idx', want none: it is not implemented"));
  EXPECT_THAT(MatMulNBits().Attr("bits", "3").Infer(),
              HasSubstr("'bits': got 3, want 2 or 4 or 8"));
  EXPECT_THAT(MatMulNBits().Attr("block_size", "33").Infer(), HasSubstr("want 16 or 32"));
  EXPECT_THAT(MatMulNBits().Attr("K", "").Infer(), HasSubstr("attribute 'K' is missing"));
  EXPECT_THAT(MatMulNBits().Attr("K", "0").Infer(), HasSubstr("'K': got 0"));
  EXPECT_THAT(MatMulNBits().Attr("N", "-40").Infer(), HasSubstr("'N': got -40"));
  EXPECT_THAT(MatMulNBits().Attr("N", "4611686018427387904").Infer(), HasSubstr("'N': got 4611"));
  EXPECT_THAT(MatMulNBits().Attr("weight_prepacked", "1").Infer(), HasSubstr("weight_prepacked"));
  EXPECT_THAT(MatMulNBits().Attr("new_attribute", "1").Infer(), HasSubstr("not implemented"));
  EXPECT_THAT(MatMulNBits().Input("A", "f16[1, 7, 95]").Infer(), HasSubstr("want 96 columns"));
  EXPECT_THAT(MatMulNBits().Input("A", "f16[]").Infer(), HasSubstr("want 96 columns"));
  EXPECT_THAT(MatMulNBits().Input("B", "u8[40, 4, 16]").Infer(), HasSubstr("want [40, 3, 16]"));
  EXPECT_THAT(MatMulNBits().Input("B", "i8[40, 3, 16]").Infer(), HasSubstr("got type i8, want u8"));
  EXPECT_THAT(MatMulNBits().Input("scales", "f32[40, 3]").Infer(), HasSubstr("got type f32"));
  EXPECT_THAT(MatMulNBits().Input("scales", "f16[40, 4]").Infer(), HasSubstr("want [120]"));
}

OneOp GatherBlockQuantized() {
  return OneOp("com.microsoft::GatherBlockQuantized",
               {{"data", "u8[99, 48]"}, {"indices", "i64[1, 7]"}, {"scales", "f16[99, 3]"}},
               {{"bits", "4"}, {"block_size", "32"}, {"gather_axis", "0"}, {"quantize_axis", "1"}},
               1);
}

TEST(GatherBlockQuantized, Infers) {
  EXPECT_EQ(GatherBlockQuantized().Infer(), "f16[1, 7, 96]");
  EXPECT_EQ(GatherBlockQuantized().Attr("bits", "8").Input("data", "u8[99, 96]").Infer(),
            "f16[1, 7, 96]");
  EXPECT_EQ(GatherBlockQuantized().Input("data", "i4[99, 96]").Infer(), "f16[1, 7, 96]");
  EXPECT_EQ(GatherBlockQuantized().Input("zero_points", "u8[99, 2]").Infer(), "f16[1, 7, 96]");
  EXPECT_EQ(
      GatherBlockQuantized().Input("data", "u4[99, 96]").Input("zero_points", "u4[99, 3]").Infer(),
      "f16[1, 7, 96]");
}

TEST(GatherBlockQuantized, Refuses) {
  EXPECT_THAT(GatherBlockQuantized().Attr("gather_axis", "1").Infer(), HasSubstr("want 0 and 1"));
  EXPECT_THAT(GatherBlockQuantized().Attr("quantize_axis", "2").Infer(), HasSubstr("axis: got 2"));
  EXPECT_THAT(GatherBlockQuantized().Input("data", "u8[99, 48, 1]").Infer(),
              HasSubstr("want 2 dimensions"));
  EXPECT_THAT(GatherBlockQuantized().Input("data", "u4[99, 96]").Attr("bits", "8").Infer(),
              HasSubstr("'bits': got 8, want 4"));
  EXPECT_THAT(GatherBlockQuantized().Input("data", "u8[99, 4611686018427387904]").Infer(),
              HasSubstr("2^63"));
  EXPECT_THAT(GatherBlockQuantized().Input("data", "u8[1, 4611686018427387904]").Infer(),
              HasSubstr("got shape [1, 4611686018427387904]"));
  EXPECT_THAT(GatherBlockQuantized().Input("scales", "f16[99, 2]").Infer(),
              HasSubstr("want [99, 3]"));
  EXPECT_THAT(GatherBlockQuantized().Input("zero_points", "u8[99, 3]").Infer(),
              HasSubstr("want [99, 2]"));
  EXPECT_THAT(GatherBlockQuantized().Input("indices", "f32[1]").Infer(), HasSubstr("got type f32"));
}

// Returns a GroupQueryAttention with 4 query heads and 2 key heads of size 8, and 7 new positions.
OneOp Attention() {
  return OneOp("com.microsoft::GroupQueryAttention",
               {{"query", "f16[1, 7, 32]"},
                {"key", "f16[1, 7, 16]"},
                {"value", "f16[1, 7, 16]"},
                {"past_key", "f16[1, 2, 100, 8]"},
                {"past_value", "f16[1, 2, 100, 8]"},
                {"seqlens_k", "i32[1]"},
                {"total", "i32[]"},
                {"cos", "f16[200, 4]"},
                {"sin", "f16[200, 4]"},
                {"positions", "_"},
                {"bias", "_"},
                {"sink", "_"},
                {"k_scale", "_"},
                {"v_scale", "_"},
                {"q_norm", "_"},
                {"k_norm", "_"}},
               {{"num_heads", "4"}, {"kv_num_heads", "2"}, {"do_rotary", "1"}}, 3);
}

constexpr char kAttentionTypes[] = "f16[1, 7, 32] f16[1, 2, 100, 8] f16[1, 2, 100, 8]";

TEST(GroupQueryAttention, Infers) {
  EXPECT_EQ(Attention().Infer(), kAttentionTypes);
  EXPECT_EQ(
      Attention().Input("query", "f16[1, 7, 64]").Input("key", "_").Input("value", "_").Infer(),
      kAttentionTypes);
  EXPECT_EQ(Attention().Input("cos", "f16[200, 2]").Input("sin", "f16[200, 2]").Infer(),
            kAttentionTypes);
  EXPECT_EQ(Attention().Attr("do_rotary", "0").Input("cos", "_").Input("sin", "_").Infer(),
            kAttentionTypes);
  EXPECT_EQ(Attention().Input("seqlens_k", "i32[1, 1]").Input("total", "i32[1]").Infer(),
            kAttentionTypes);
  EXPECT_EQ(Attention()
                .Attr("scale", "0.5f")
                .Attr("softcap", "30f")
                .Attr("local_window_size", "128")
                .Attr("rotary_interleaved", "1")
                .Attr("smooth_softmax", "1")
                .Attr("qk_norm_epsilon", "1e-6f")
                .Input("sink", "f16[4]")
                .Input("q_norm", "f16[8]")
                .Input("k_norm", "f16[8]")
                .Input("positions", "i64[1, 7]")
                .Input("bias", "f16[1, 1, 7, 100]")
                .Infer(),
            kAttentionTypes);
}

TEST(GroupQueryAttention, PresentHasRoomForTheTotalLength) {
  EXPECT_EQ(Attention().Input("total", "i32[] = [107]").Infer(),
            "f16[1, 7, 32] f16[1, 2, 107, 8] f16[1, 2, 107, 8]");
  EXPECT_EQ(Attention().Input("total", "i32[] = [60]").Infer(), kAttentionTypes);
  EXPECT_EQ(Attention().Input("past_key", "_").Input("past_value", "_").Infer(),
            "f16[1, 7, 32] f16[1, 2, 7, 8] f16[1, 2, 7, 8]");
}

TEST(GroupQueryAttention, Refuses) {
  const auto expect = [](OneOp& op, const char* want) { EXPECT_THAT(op.Infer(), HasSubstr(want)); };
  expect(Attention().Attr("num_heads", "5"), "5 is not a multiple of 2");
  expect(Attention().Attr("num_heads", "0"), "'num_heads': got 0");
  expect(Attention().Attr("kv_num_heads", ""), "'kv_num_heads' is missing");
  expect(Attention().Attr("qk_output", "1"), "'qk_output': got 1, want 0");
  expect(Attention().Attr("k_quant_type", "\"PER_TENSOR\""), "'k_quant_type': got PER_TENSOR");
  expect(Attention().Attr("v_quant_type", "\"PER_CHANNEL\""), "'v_quant_type': got PER_CHANNEL");
  expect(Attention().Attr("kv_cache_bit_width", "8"), "'kv_cache_bit_width': got 8");
  expect(Attention().Attr("sliding_window_cache", "1"), "'sliding_window_cache': got 1");
  expect(Attention().Attr("causal", "0"), "'causal': got 0");
  expect(Attention().Outputs(4), "output 3 (output_qk): got 'out3', want none");
  expect(Attention().Input("k_scale", "f32[1]"), "input 12 (k_scale): got 'k_scale', want none");
  expect(Attention().Input("query", "f16[1, 7, 33]"), "want columns for 4 heads");
  expect(Attention().Input("query", "f16[1, 7, 0]"), "want columns for 4 heads");
  expect(Attention().Input("query", "f16[1, 7, 4]"), "got head size 1, want an even one");
  expect(Attention().Input("query", "f16[7, 32]"), "want 3 dimensions");
  expect(Attention().Input("query", "i64[1, 7, 32]"), "got type i64");
  expect(Attention().Input("query", "f16[1, 7, 36]").Input("key", "_").Input("value", "_"),
         "8 heads (query, key and value)");
  expect(Attention().Input("key", "_"), "inputs 1 (key) and 2 (value): got one of them");
  expect(Attention().Input("key", "f16[1, 7, 32]"), "want [1, 7, 16]");
  expect(Attention().Input("value", "f32[1, 7, 16]"), "got type f32");
  expect(Attention().Input("past_key", "_"), "inputs 3 (past_key) and 4 (past_value): got one");
  expect(Attention().Input("past_key", "f16[1, 4, 100, 8]"), "want [1, 2, 100, 8]");
  expect(Attention().Input("past_value", "f16[1, 2, 99, 8]"), "want [1, 2, 100, 8]");
  expect(Attention().Input("seqlens_k", "i64[1]"), "got type i64, want i32");
  expect(Attention().Input("seqlens_k", "i32[2]"), "got shape [2], want [1]");
  expect(Attention().Input("total", "i32[2]"), "want one element");
  expect(Attention().Input("total", "_"), "input 6 (total_sequence_length) is missing");
  expect(Attention().Input("cos", "_").Input("sin", "_"), "got none, want both: do_rotary is 1");
  expect(Attention().Input("sin", "_"), "got one of them, want both");
  expect(Attention().Input("sin", "f16[200, 3]"), "want [200, 4]");
  expect(Attention().Input("cos", "f16[200, 5]").Input("sin", "f16[200, 5]"),
         "want 1 to 4 columns");
  expect(Attention().Input("positions", "i64[7]"), "want [1, 7]");
  expect(Attention().Input("bias", "f16[1, 3, 7, 100]"), "(attention_bias): got shape");
  expect(Attention().Input("sink", "f16[2]"), "want [4]");
  expect(Attention().Input("q_norm", "f16[8]"), "inputs 14 and 15");
  expect(Attention().Input("q_norm", "f16[4]").Input("k_norm", "f16[8]"), "want [8]");
}

OneOp Rotary() {
  return OneOp("com.microsoft::RotaryEmbedding",
               {{"input", "f16[1, 7, 32]"},
                {"positions", "i64[1, 7]"},
                {"cos", "f16[99, 4]"},
                {"sin", "f16[99, 4]"}},
               {}, 1);
}

TEST(RotaryEmbedding, Infers) {
  EXPECT_EQ(Rotary().Infer(), "f16[1, 7, 32]");
  EXPECT_EQ(Rotary().Input("input", "f16[1, 4, 7, 8]").Input("positions", "i64[1]").Infer(),
            "f16[1, 4, 7, 8]");
  EXPECT_EQ(Rotary().Attr("num_heads", "2").Attr("rotary_embedding_dim", "8").Infer(),
            "f16[1, 7, 32]");
  EXPECT_EQ(Rotary().Attr("interleaved", "1").Attr("scale", "1f").Infer(), "f16[1, 7, 32]");
  EXPECT_EQ(
      OneOp("ai.onnx::RotaryEmbedding",
            {{"X", "f16[1, 4, 7, 8]"}, {"cos", "f16[1, 7, 4]"}, {"sin", "f16[1, 7, 4]"}}, {}, 1)
          .Infer(),
      "f16[1, 4, 7, 8]");
  EXPECT_EQ(OneOp("ai.onnx::RotaryEmbedding",
                  {{"X", "f16[1, 7, 32]"},
                   {"cos", "f16[99, 4]"},
                   {"sin", "f16[99, 4]"},
                   {"positions", "i64[1, 7]"}},
                  {{"num_heads", "4"}}, 1)
                .Infer(),
            "f16[1, 7, 32]");
}

TEST(RotaryEmbedding, Refuses) {
  EXPECT_THAT(Rotary().Attr("scale", "2f").Infer(), HasSubstr("'scale': got 2, want 1"));
  EXPECT_THAT(Rotary().Attr("is_packed_batching", "1").Infer(), HasSubstr("is_packed_batching"));
  EXPECT_THAT(Rotary().Attr("num_heads", "5").Infer(), HasSubstr("want columns for 5 heads"));
  EXPECT_THAT(Rotary().Attr("rotary_embedding_dim", "6").Infer(), HasSubstr("rotary caches"));
  EXPECT_THAT(Rotary().Attr("num_heads", "8").Infer(), HasSubstr("rotary caches"));
  EXPECT_THAT(Rotary().Input("input", "f16[1, 7, 30]").Infer(), HasSubstr("a multiple of 8"));
  EXPECT_THAT(Rotary().Input("input", "f16[7, 32]").Infer(), HasSubstr("want 4 dimensions"));
  EXPECT_THAT(Rotary().Input("positions", "i64[7]").Infer(), HasSubstr("want [1, 7]"));
  EXPECT_THAT(Rotary().Input("sin", "f16[98, 4]").Infer(), HasSubstr("want [99, 4]"));
  EXPECT_THAT(Rotary().Input("cos", "f16[0]").Input("sin", "f16[0]").Infer(),
              HasSubstr("want 2 dimensions"));
}

// Returns a QMoE with 3 tokens of 64 elements and 8 experts with 32 inner elements. Gate and value
// rows together make 64 rows of fc1.
OneOp Experts() {
  return OneOp("com.microsoft::QMoE",
               {{"input", "f16[1, 3, 64]"},
                {"router", "f16[3, 8]"},
                {"fc1", "u8[8, 64, 32]"},
                {"fc1_scales", "f16[8, 64, 2]"},
                {"fc1_bias", "f16[8, 64]"},
                {"fc2", "u8[8, 64, 16]"},
                {"fc2_scales", "f16[8, 64, 1]"},
                {"fc2_bias", "f16[8, 64]"},
                {"fc3", "_"},
                {"fc3_scales", "_"},
                {"fc3_bias", "_"},
                {"fc1_zeros", "_"},
                {"fc2_zeros", "_"}},
               {{"activation_type", "\"swiglu\""},
                {"swiglu_fusion", "1"},
                {"k", "4"},
                {"expert_weight_bits", "4"},
                {"block_size", "32"}},
               1);
}

TEST(QMoE, Infers) {
  EXPECT_EQ(Experts().Infer(), "f16[1, 3, 64]");
  EXPECT_EQ(Experts().Input("input", "f16[3, 64]").Infer(), "f16[3, 64]");
  EXPECT_EQ(Experts().Input("fc1_bias", "_").Input("fc2_bias", "_").Infer(), "f16[1, 3, 64]");
  EXPECT_EQ(Experts()
                .Input("fc1_zeros", "u8[8, 64, 1]")
                .Input("fc2_zeros", "u8[8, 64, 1]")
                .Attr("activation_alpha", "1.702f")
                .Attr("activation_beta", "1f")
                .Attr("swiglu_limit", "7f")
                .Attr("normalize_routing_weights", "1")
                .Infer(),
            "f16[1, 3, 64]");
  EXPECT_EQ(Experts()
                .Attr("block_size", "")
                .Input("fc1_scales", "f16[8, 64]")
                .Input("fc2_scales", "f16[8, 64]")
                .Infer(),
            "f16[1, 3, 64]");
  EXPECT_EQ(Experts()
                .Attr("activation_type", "\"silu\"")
                .Attr("swiglu_fusion", "0")
                .Attr("expert_weight_bits", "8")
                .Input("fc1", "u8[8, 64, 64]")
                .Input("fc2", "u8[8, 64, 64]")
                .Input("fc2_scales", "f16[8, 64, 2]")
                .Infer(),
            "f16[1, 3, 64]");
}

TEST(QMoE, Refuses) {
  const auto expect = [](OneOp& op, const char* want) { EXPECT_THAT(op.Infer(), HasSubstr(want)); };
  expect(Experts().Input("fc3", "u8[8, 32, 32]"), "(fc3_experts_weights): got 'fc3', want none");
  expect(Experts().Attr("swiglu_fusion", "0"), "'swiglu_fusion': got 0, want 1 or 2");
  expect(Experts().Attr("use_sparse_mixer", "1"), "'use_sparse_mixer': got 1");
  expect(Experts().Attr("activation_type", "\"tanh\""), "'activation_type': got tanh");
  expect(Experts().Attr("quant_type", "\"fp4\""), "'quant_type': got fp4");
  expect(Experts().Attr("k", "9"), "'k': got 9, want 1 to 8");
  expect(Experts().Attr("k", "0"), "'k': got 0");
  expect(Experts().Input("router", "f16[2, 8]"), "want [3, 8]");
  expect(Experts().Input("router", "f16[1, 3, 8]"), "want 2 dimensions");
  expect(Experts().Input("input", "f16[64]"), "want 2 or 3 dimensions");
  expect(Experts().Input("fc1", "u8[8, 64]"), "want 3 dimensions");
  expect(Experts().Input("fc1", "u8[8, 65, 32]"), "got 65 rows");
  expect(Experts().Input("fc1", "u8[7, 64, 32]"), "want [8, 64, 32]");
  expect(Experts().Input("fc1", "u8[1, 4611686018427387902, 1]"), "input 2: got shape");
  expect(Experts().Input("fc2", "u8[8, 64, 32]"), "want [8, 64, 16]");
  expect(Experts().Input("fc1_scales", "f16[8, 64]"), "want [8, 64, 2]");
  expect(Experts().Input("fc2_bias", "f16[8, 32]"), "want [8, 64]");
  expect(Experts().Input("fc1_zeros", "u8[8, 64, 2]"), "want [8, 64, 1]");
  expect(Experts().Input("input", "f16[1, 3, 63]").Attr("block_size", ""), "want whole bytes");
}

// Returns the experts of Experts() as a MoE, without quantization.
OneOp PlainExperts() {
  return OneOp("com.microsoft::MoE",
               {{"input", "f32[1, 3, 64]"},
                {"router", "f32[3, 8]"},
                {"fc1", "f32[8, 64, 64]"},
                {"fc1_bias", "f32[8, 64]"},
                {"fc2", "f32[8, 64, 32]"},
                {"fc2_bias", "f32[8, 64]"},
                {"fc3", "_"},
                {"fc3_bias", "_"}},
               {{"activation_type", "\"swiglu\""}, {"swiglu_fusion", "1"}, {"k", "4"}}, 1);
}

TEST(MoE, Infers) {
  EXPECT_EQ(PlainExperts().Infer(), "f32[1, 3, 64]");
  EXPECT_EQ(PlainExperts().Input("fc1_bias", "_").Input("fc2_bias", "_").Infer(), "f32[1, 3, 64]");
  EXPECT_EQ(PlainExperts()
                .Attr("activation_type", "\"silu\"")
                .Attr("swiglu_fusion", "0")
                .Input("fc2", "f32[8, 64, 64]")
                .Infer(),
            "f32[1, 3, 64]");
}

TEST(MoE, Refuses) {
  const auto expect = [](OneOp& op, const char* want) { EXPECT_THAT(op.Infer(), HasSubstr(want)); };
  expect(PlainExperts().Input("fc3", "f32[8, 32, 64]"), "(fc3_experts_weights): got 'fc3'");
  expect(PlainExperts().Attr("swiglu_fusion", "0"), "'swiglu_fusion': got 0, want 1 or 2");
  expect(PlainExperts().Attr("k", "9"), "'k': got 9, want 1 to 8");
  expect(PlainExperts().Input("fc1", "f16[8, 64, 64]"),
         "(fc1_experts_weights, 'fc1'): got type f16");
  expect(PlainExperts().Input("fc1", "f32[8, 64, 32]"), "want [8, 64, 64]");
  expect(PlainExperts().Input("fc1_bias", "f32[8, 32]"), "want [8, 64]");
  expect(PlainExperts().Input("fc2", "f32[8, 32, 32]"), "want [8, 64, 32]");
  expect(PlainExperts().Input("fc2_bias", "f16[8, 64]"),
         "(fc2_experts_bias, 'fc2_bias'): got type f16");
}

}  // namespace
}  // namespace sinter::graph
