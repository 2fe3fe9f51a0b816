// Types and shapes of ONNX Runtime's own operators (com.microsoft): quantized weights, attention,
// mixture of experts.
#include <algorithm>

#include "graph/inference.h"

namespace sinter::graph {
namespace {

using Kind = AttributeSpec::Kind;

// Checks zero points: uint8, packed like the weights, or one number of the scales' type for each
// block.
void CheckZeroPoints(const Inference& in, size_t input, size_t scales, int64_t rows, int64_t blocks,
                     int64_t bits) {
  if (!in.has(input)) return;
  in.WantDType(input, {DType::kU8, in.dtype(scales)});
  const int64_t columns = in.dtype(input) == DType::kU8 ? CeilDiv(blocks * bits, 8) : blocks;
  if (in.shape(input) != Shape{rows, columns} && in.shape(input) != Shape{rows * columns}) {
    in.Fail("input {} (zero_points): got shape {}, want {}", input, ShapeText(in.shape(input)),
            ShapeText({rows, columns}));
  }
}

// Y = A * dequantize(B)^T + bias.
// B: [N, K / block_size, block_size * bits / 8], scales: [N, K / block_size].
void InferMatMulNBits(Inference& in) {
  const int64_t k = PositiveInt(in, "K"), n = PositiveInt(in, "N");
  const int64_t bits = in.node().Int("bits", 4), block = PositiveInt(in, "block_size");
  in.WantDType(0, kFloats);
  if (in.rank(0) == 0 || in.shape(0).back() != k) {
    in.Fail("input 0 (A): got shape {}, want {} columns", ShapeText(in.shape(0)), k);
  }
  CheckNBitsWeight(in, {1, 2, 3, 5}, in.dtype(0), n, k, bits, block);
  Shape shape = in.shape(0);
  shape.back() = n;
  in.Out(0, in.dtype(0), std::move(shape));
}

// Gathers rows of a table that is quantized in blocks along its last dimension.
// data: uint8 [rows, columns * bits / 8], or a 4-bit type [rows, columns].
// scales: [rows, columns / block_size].
void InferGatherBlockQuantized(Inference& in) {
  const int64_t bits = in.node().Int("bits", 4), block = in.node().Int("block_size", 128);
  in.WantDType(0, {DType::kU8, DType::kU4, DType::kI4});
  in.WantDType(1, kInts);
  in.WantDType(2, kFloats);
  in.WantRank(0, 2);
  if (in.Axis(in.node().Int("gather_axis", 0), 2) != 0 ||
      in.Axis(in.node().Int("quantize_axis", 1), 2) != 1) {
    in.Fail("attributes 'gather_axis' and 'quantize_axis': got other values, want 0 and 1");
  }
  if (in.dtype(0) != DType::kU8 && bits != 4)
    in.Fail("attribute 'bits': got {}, want 4 for this data type", bits);
  const int64_t rows = in.shape(0)[0], width = in.shape(0)[1];
  if (rows >= kMaxDim || width >= kMaxDim)
    in.Fail("input 0 (data): got shape {}", ShapeText(in.shape(0)));
  const int64_t columns = in.dtype(0) == DType::kU8 ? width * (8 / bits) : width;
  const int64_t blocks = CeilDiv(columns, block);
  in.WantShape(2, {rows, blocks});
  if (in.has(3)) {
    in.WantSameDType(3, 0);
    in.WantShape(3, {rows, in.dtype(0) == DType::kU8 ? CeilDiv(blocks * bits, 8) : blocks});
  }
  Shape shape = in.shape(1);
  shape.push_back(columns);
  in.Out(0, in.dtype(2), std::move(shape));
}

void CheckRotaryCaches(const Inference& in, size_t cos, size_t sin, DType dtype,
                       int64_t head_size) {
  in.WantDType(cos, {dtype});
  in.WantDType(sin, {dtype});
  in.WantRank(cos, 2);
  in.WantShape(sin, in.shape(cos));
  const int64_t half = in.shape(cos)[1];
  if (half <= 0 || half > head_size / 2) {
    in.Fail("inputs {} and {}: got rotary caches {}, want 1 to {} columns", cos, sin,
            ShapeText(in.shape(cos)), head_size / 2);
  }
}

// Inputs: 0 query, 1 key, 2 value, 3 past_key, 4 past_value, 5 seqlens_k, 6 total_sequence_length,
// 7 cos_cache, 8 sin_cache, 9 position_ids, 10 attention_bias, 11 head_sink, 12 k_scale, 13
// v_scale, 14 q_norm_weight, 15 k_norm_weight.
void InferGroupQueryAttention(Inference& in) {
  const int64_t heads = PositiveInt(in, "num_heads"), kv_heads = PositiveInt(in, "kv_num_heads");
  if (heads % kv_heads != 0)
    in.Fail("attributes 'num_heads' and 'kv_num_heads': {} is not a multiple of {}", heads,
            kv_heads);
  in.WantDType(0, kFloats);
  in.WantRank(0, 3);
  const DType dtype = in.dtype(0);
  const int64_t batch = in.shape(0)[0], sequence = in.shape(0)[1], width = in.shape(0)[2];
  if (in.has(1) != in.has(2))
    in.Fail("inputs 1 (key) and 2 (value): got one of them, want both or none");
  // Without key and value inputs, each row of the query input holds query, key and value.
  const bool packed = !in.has(1);
  const int64_t parts = packed ? heads + 2 * kv_heads : heads;
  if (width == 0 || width % parts != 0) {
    in.Fail("input 0 (query): got shape {}, want columns for {} heads{}", ShapeText(in.shape(0)),
            parts, packed ? " (query, key and value)" : "");
  }
  const int64_t head_size = width / parts;
  if (head_size % 2 != 0 || head_size >= kMaxDim)
    in.Fail("input 0 (query): got head size {}, want an even one", head_size);
  for (size_t i = 1; i <= 2 && !packed; ++i) {
    in.WantSameDType(i, 0);
    in.WantShape(i, {batch, sequence, kv_heads * head_size});
  }
  if (in.has(3) != in.has(4))
    in.Fail("inputs 3 (past_key) and 4 (past_value): got one of them, want both or none");
  int64_t capacity = sequence;
  if (in.has(3)) {
    in.WantSameDType(3, 0);
    in.WantSameDType(4, 0);
    in.WantRank(3, 4);
    capacity = in.shape(3)[2];
    in.WantShape(3, {batch, kv_heads, capacity, head_size});
    in.WantShape(4, in.shape(3));
  }
  in.WantDType(5, {DType::kI32});
  if (in.shape(5) != Shape{batch, 1}) in.WantShape(5, {batch});
  in.WantDType(6, {DType::kI32});
  if (in.rank(6) > 2 || NumElements(in.shape(6)) != 1) {
    in.Fail("input 6 (total_sequence_length): got shape {}, want one element",
            ShapeText(in.shape(6)));
  }
  if (in.is_constant(6)) capacity = std::max(capacity, static_cast<int64_t>(in.ConstantDouble(6)));
  const bool rotary = in.node().Int("do_rotary", 0) != 0;
  if (in.has(7) != in.has(8) || (rotary && !in.has(7))) {
    in.Fail("inputs 7 (cos_cache) and 8 (sin_cache): got {}, want {}",
            in.has(7) || in.has(8) ? "one of them" : "none",
            rotary ? "both: do_rotary is 1" : "both or none");
  }
  if (in.has(7)) CheckRotaryCaches(in, 7, 8, dtype, head_size);
  if (in.has(9)) {
    in.WantDType(9, kInts);
    in.WantShape(9, {batch, sequence});
  }
  if (in.has(10)) {
    in.WantSameDType(10, 0);
    in.WantRank(10, 4);
    const Shape& bias = in.shape(10);
    if ((bias[0] != 1 && bias[0] != batch) || (bias[1] != 1 && bias[1] != heads) ||
        bias[2] != sequence) {
      in.Fail("input 10 (attention_bias): got shape {}, want [batch or 1, heads or 1, {}, total]",
              ShapeText(bias), sequence);
    }
  }
  if (in.has(11)) {
    in.WantSameDType(11, 0);
    in.WantShape(11, {heads});
  }
  if (in.has(14) != in.has(15))
    in.Fail("inputs 14 and 15 (q_norm_weight, k_norm_weight): got one, want both or none");
  for (size_t i = 14; i <= 15 && in.has(14); ++i) {
    in.WantSameDType(i, 0);
    in.WantShape(i, {head_size});
  }
  in.Out(0, dtype, {batch, sequence, heads * head_size});
  in.Out(1, dtype, {batch, kv_heads, capacity, head_size});
  in.Out(2, dtype, {batch, kv_heads, capacity, head_size});
}

// Checks the inputs of a rotary embedding and sets its output. input: [batch, sequence, heads *
// head_size] or [batch, heads, sequence, head_size].
void CheckRotary(Inference& in, size_t positions, size_t cos, size_t sin) {
  in.WantDType(0, kFloats);
  if (in.rank(0) != 3) in.WantRank(0, 4);
  const Shape& shape = in.shape(0);
  const int64_t heads = in.node().Int("num_heads", 0),
                rotary = in.node().Int("rotary_embedding_dim", 0);
  const int64_t batch = shape[0], sequence = shape[in.rank(0) - 2];
  int64_t head_size = shape.back();
  const int64_t length = in.rank(0) == 3 ? shape[1] : sequence;
  in.WantSameDType(cos, 0);
  in.WantSameDType(sin, 0);
  in.WantShape(sin, in.shape(cos));
  const bool by_position = in.has(positions);
  in.WantRank(cos, by_position ? 2 : 3);
  const int64_t half = in.shape(cos).back();
  if (in.rank(0) == 3) {
    if (heads > 0) {
      if (head_size % heads != 0)
        in.Fail("input 0: got shape {}, want columns for {} heads", ShapeText(shape), heads);
      head_size /= heads;
    } else {
      // Without a number of heads the caches give the head size: twice their columns, and all of
      // the head is rotated.
      head_size = half < kMaxDim ? half * 2 : 0;
      if (head_size == 0 || shape[2] % head_size != 0) {
        in.Fail("input 0: got shape {}, want a multiple of {} columns", ShapeText(shape),
                head_size);
      }
    }
  }
  if (half <= 0 || half > head_size / 2 || (rotary != 0 && half != rotary / 2)) {
    in.Fail("rotary caches: got shape {} for head size {} and rotary_embedding_dim {}",
            ShapeText(in.shape(cos)), head_size, rotary);
  }
  if (by_position) {
    in.WantDType(positions, kInts);
    if (in.shape(positions) != Shape{1}) in.WantShape(positions, {batch, length});
  } else {
    in.WantShape(cos, {batch, length, half});
  }
  in.Out(0, in.dtype(0), shape);
}

void InferRotaryEmbedding(Inference& in) { CheckRotary(in, 1, 2, 3); }
void InferOnnxRotaryEmbedding(Inference& in) { CheckRotary(in, 3, 1, 2); }

// Dimensions of a mixture of experts. Input x: [..., hidden]; fc1: [experts, rows, ...]. The
// activation reduces each expert's `rows` to `inner` values.
struct Mixture {
  int64_t experts = 0, hidden = 0, rows = 0, inner = 0;
};

Mixture CheckMixture(Inference& in, size_t x, size_t fc1, int64_t experts) {
  in.WantDType(x, kFloats);
  if (in.rank(x) < 2)
    in.Fail("input {}: got shape {}, want 2 or 3 dimensions", x, ShapeText(in.shape(x)));
  const Shape& shape = in.shape(x);
  Mixture mixture;
  mixture.experts = experts;
  mixture.hidden = shape.back();
  const int64_t k = in.node().Int("k", 1);
  if (k < 1 || k > mixture.experts)
    in.Fail("attribute 'k': got {}, want 1 to {} experts", k, mixture.experts);
  const bool gated = in.node().String("activation_type", "relu") == "swiglu";
  if (gated && in.node().Int("swiglu_fusion", 0) == 0) {
    in.Fail(
        "attribute 'swiglu_fusion': got 0, want 1 or 2: separate gate weights (fc3) are not "
        "implemented");
  }
  in.WantRank(fc1, 3);
  mixture.rows = in.shape(fc1)[1];
  if (mixture.hidden >= kMaxDim || mixture.rows >= kMaxDim)
    in.Fail("input {}: got shape {}", fc1, ShapeText(in.shape(fc1)));
  if (gated && mixture.rows % 2 != 0)
    in.Fail("input {}: got {} rows, want gate and value rows in pairs", fc1, mixture.rows);
  mixture.inner = gated ? mixture.rows / 2 : mixture.rows;
  in.Out(0, in.dtype(x), shape);
  return mixture;
}

// Checks inputs 0 and 1 of QMoE and MoE and returns the number of experts. Input 1: [tokens,
// experts].
int64_t CheckRouterProbabilities(Inference& in) {
  in.WantDType(0, kFloats);
  in.WantSameDType(1, 0);
  const Shape& x = in.shape(0);
  if (x.size() < 2) in.Fail("input 0: got shape {}, want 2 or 3 dimensions", ShapeText(x));
  in.WantRank(1, 2);
  const int64_t experts = in.shape(1)[1];
  in.WantShape(1, {NumElements(Shape(x.begin(), x.end() - 1)), experts});
  return experts;
}

void InferQMoE(Inference& in) {
  // Inputs 8 to 10 and 13 belong to fc3, which is not implemented.
  CheckExperts(in, {0, 2, 3, 4, 5, 6, 7, 11, 12}, CheckRouterProbabilities(in));
}

// fc1: [experts, outputs, hidden], fc2: [experts, hidden, inner].
// Inputs: 0 input, 1 router_probs, 2..3 fc1 weights and bias, 4..5 fc2, 6..7 fc3.
void InferMoE(Inference& in) {
  const Mixture mixture = CheckMixture(in, 0, 2, CheckRouterProbabilities(in));
  const auto check_fc = [&](size_t first, int64_t rows, int64_t columns) {
    in.WantSameDType(first, 0);
    in.WantShape(first, {mixture.experts, rows, columns});
    if (in.has(first + 1)) {
      in.WantSameDType(first + 1, 0);
      in.WantShape(first + 1, {mixture.experts, rows});
    }
  };
  check_fc(2, mixture.rows, mixture.hidden);
  check_fc(4, mixture.hidden, mixture.inner);
}

}  // namespace

// fc1: [experts, outputs, hidden * bits / 8], fc2: [experts, hidden, inner * bits / 8].
// There is one scale for each block of a row, or for each row if there is no block_size.
void CheckExperts(Inference& in, const ExpertInputs& inputs, int64_t experts) {
  const int64_t bits = in.node().Int("expert_weight_bits", 4),
                block = in.node().Int("block_size", 0);
  const Mixture mixture = CheckMixture(in, inputs.x, inputs.fc1, experts);
  const auto check_fc = [&](size_t weight, size_t scales, size_t bias, size_t zero_points,
                            int64_t rows, int64_t columns) {
    in.WantDType(weight, {DType::kU8});
    in.WantDType(scales, kFloats);
    if (columns % (8 / bits) != 0)
      in.Fail("input {}: got {} columns, want whole bytes", weight, columns);
    in.WantShape(weight, {mixture.experts, rows, columns / (8 / bits)});
    const int64_t blocks = block > 0 ? CeilDiv(columns, block) : 1;
    if (block > 0 || in.shape(scales) != Shape{mixture.experts, rows})
      in.WantShape(scales, {mixture.experts, rows, blocks});
    if (in.has(bias)) {
      in.WantSameDType(bias, inputs.x);
      in.WantShape(bias, {mixture.experts, rows});
    }
    if (in.has(zero_points)) {
      in.WantDType(zero_points, {DType::kU8});
      in.WantShape(zero_points, {mixture.experts, rows, CeilDiv(blocks * bits, 8)});
    }
  };
  check_fc(inputs.fc1, inputs.fc1_scales, inputs.fc1_bias, inputs.fc1_zero_points, mixture.rows,
           mixture.hidden);
  check_fc(inputs.fc2, inputs.fc2_scales, inputs.fc2_bias, inputs.fc2_zero_points, mixture.hidden,
           mixture.inner);
}

std::vector<AttributeSpec> ExpertAttributes() {
  const std::vector<int64_t> no = {0}, flag = {0, 1};
  return {attr::String("activation_type", {"relu", "gelu", "silu", "swiglu", "identity"}),
          attr::Float("activation_alpha"),
          attr::Float("activation_beta"),
          attr::Float("swiglu_limit"),
          attr::Int("swiglu_fusion", {0, 1, 2}),
          attr::Int("k"),
          attr::Int("normalize_routing_weights", flag),
          attr::Int("use_sparse_mixer", no),
          attr::Int("expert_weight_bits", {4, 8}),
          attr::Int("block_size", {-1, 0, 16, 32, 64, 128, 256}),
          attr::String("quant_type", {"int"}),
          attr::Int("weights_prepacked", no)};
}

int64_t PositiveInt(const Inference& in, std::string_view name) {
  const int64_t value = in.node().Int(name, 0);
  if (value <= 0 || value >= kMaxDim)
    in.Fail("attribute '{}': got {}, want a number from 1 to 2^31 - 1", name, value);
  return value;
}

void CheckNBitsWeight(const Inference& in, const NBitsInputs& inputs, DType dtype, int64_t n,
                      int64_t k, int64_t bits, int64_t block_size) {
  const int64_t blocks = CeilDiv(k, block_size);
  in.WantDType(inputs.b, {DType::kU8});
  in.WantDType(inputs.scales, {dtype});
  in.WantShape(inputs.b, {n, blocks, block_size * bits / 8});
  if (in.shape(inputs.scales) != Shape{n, blocks}) in.WantShape(inputs.scales, {n * blocks});
  CheckZeroPoints(in, inputs.zero_points, inputs.scales, n, blocks, bits);
  if (in.has(inputs.bias)) {
    in.WantDType(inputs.bias, {dtype});
    in.WantShape(inputs.bias, {n});
  }
}

std::vector<OpSpec> ContribOps() {
  constexpr std::string_view kDomain = "com.microsoft";
  const std::vector<int64_t> no = {0}, flag = {0, 1}, blocks = {16, 32, 64, 128, 256};
  return {
      {kDomain,
       "MatMulNBits",
       1,
       1,
       "A B scales zero_points? g_idx! bias?",
       "Y",
       // Any accuracy_level is accepted: it permits less precise arithmetic but does not require
       // it.
       {attr::RequiredInt("K"), attr::RequiredInt("N"), attr::Int("bits", {2, 4, 8}),
        attr::RequiredInt("block_size", blocks), attr::Int("accuracy_level"),
        attr::Int("weight_prepacked", no)},
       InferMatMulNBits},
      {kDomain,
       "GatherBlockQuantized",
       1,
       1,
       "data indices scales zero_points?",
       "output",
       {attr::Int("bits", {4, 8}), attr::Int("block_size", blocks), attr::Int("gather_axis"),
        attr::Int("quantize_axis")},
       InferGatherBlockQuantized},
      {kDomain,
       "GroupQueryAttention",
       1,
       1,
       "query key? value? past_key? past_value? seqlens_k total_sequence_length cos_cache? "
       "sin_cache? position_ids? "
       "attention_bias? head_sink? k_scale! v_scale! q_norm_weight? k_norm_weight?",
       "output present_key? present_value? output_qk!",
       {attr::RequiredInt("num_heads"), attr::RequiredInt("kv_num_heads"), attr::Float("scale"),
        attr::Float("softcap"), attr::Int("local_window_size"), attr::Int("do_rotary", flag),
        attr::Int("rotary_interleaved", flag), attr::Int("smooth_softmax", {-1, 0, 1}),
        attr::Int("qk_output", no), attr::Float("qk_norm_epsilon"),
        attr::String("k_quant_type", {"NONE"}), attr::String("v_quant_type", {"NONE"}),
        attr::Int("kv_cache_bit_width", {0, 16}), attr::Int("causal", {1}),
        attr::Int("sliding_window_cache", no)},
       InferGroupQueryAttention},
      {kDomain,
       "RotaryEmbedding",
       1,
       1,
       "input position_ids cos_cache sin_cache",
       "output",
       {attr::Int("interleaved", flag), attr::Int("num_heads"), attr::Int("rotary_embedding_dim"),
        attr::Float("scale", {1.0f}), attr::Int("is_packed_batching", no)},
       InferRotaryEmbedding},
      {"",
       "RotaryEmbedding",
       23,
       kMaxOpset,
       "X cos_cache sin_cache position_ids?",
       "Y",
       {attr::Int("interleaved", flag), attr::Int("num_heads"), attr::Int("rotary_embedding_dim")},
       InferOnnxRotaryEmbedding},
      {kDomain, "QMoE", 1, 1,
       "input router_probs fc1_experts_weights fc1_scales fc1_experts_bias? fc2_experts_weights "
       "fc2_scales "
       "fc2_experts_bias? fc3_experts_weights! fc3_scales! fc3_experts_bias! fc1_zero_points? "
       "fc2_zero_points? "
       "fc3_zero_points!",
       "output", ExpertAttributes(), InferQMoE},
      // MoE serves only as a reference; it has no kernel.
      {kDomain,
       "MoE",
       1,
       1,
       "input router_probs fc1_experts_weights fc1_experts_bias? fc2_experts_weights "
       "fc2_experts_bias? fc3_experts_weights! fc3_experts_bias!",
       "output",
       {attr::String("activation_type", {"relu", "gelu", "silu", "swiglu", "identity"}),
        attr::Float("activation_alpha"), attr::Float("activation_beta"),
        attr::Float("swiglu_limit"), attr::Int("swiglu_fusion", {0, 1, 2}), attr::Int("k"),
        attr::Int("normalize_routing_weights", flag), attr::Int("use_sparse_mixer", no)},
       InferMoE},
  };
}

}  // namespace sinter::graph
