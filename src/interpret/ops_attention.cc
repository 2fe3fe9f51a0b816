// Attention and rotary embeddings.

#include <algorithm>

#include "compile/attention_shape.h"
#include "graph/gqa_inputs.h"
#include "interpret/ops.h"
#include "kernels/group_query_attention/group_query_attention.h"
#include "kernels/rotary_embedding/rotary_embedding.h"

namespace sinter::interpret {
namespace {

using kernels::HeadLayout;
using kernels::RotaryEmbeddingShape;
using kernels::RotaryPositions;

using enum graph::GqaInput;

// Returns a past of [batch, kv_heads, rows, head_size] in a cache of `to` rows. The added rows are
// zero.
std::vector<double> Grow(std::span<const double> past, size_t heads, size_t rows, size_t to,
                         size_t head_size) {
  std::vector<double> cache(heads * to * head_size);
  for (size_t h = 0; h < heads && !past.empty(); ++h) {
    const auto from = past.begin() + static_cast<std::ptrdiff_t>(h * rows * head_size);
    std::copy_n(from, rows * head_size,
                cache.begin() + static_cast<std::ptrdiff_t>(h * to * head_size));
  }
  return cache;
}

void GroupQueryAttention(Call& call) {
  const graph::Node& node = call.node();
  const graph::Shape& query = call.shape(kQuery);
  const uint32_t heads = Count(node.Int("num_heads", 0)),
                 kv_heads = Count(node.Int("kv_num_heads", 0));
  const bool packed = !call.has(kKey);
  const uint32_t row = Count(query[2]);
  const uint32_t head_size = row / (packed ? heads + 2 * kv_heads : heads);
  const size_t past_rows = call.has(kPastKey) ? Count(call.shape(kPastKey)[2]) : 0;
  const auto rows = std::max(past_rows, static_cast<size_t>(call.scalar(kTotalSequenceLength)));

  RotaryEmbeddingShape move;
  move.batch = Count(query[0]);
  move.sequence = Count(query[1]);
  move.head_size = head_size;
  move.epsilon = node.Float("qk_norm_epsilon", 1e-6f);
  move.rotary_dim = 0;
  RotaryEmbeddingShape rotate = move;
  if (node.Int("do_rotary", 0) != 0) {
    rotate.rotary_dim = 2 * Count(call.shape(kCosCache)[1]);
    rotate.cache_rows = Count(call.shape(kCosCache)[0]);
    rotate.interleaved = node.Int("rotary_interleaved", 0) != 0;
    if (call.has(kPositionIds)) rotate.positions = RotaryPositions::kPositionIds;
  }
  const auto apply = [&](RotaryEmbeddingShape shape, size_t input, size_t norm,
                         std::span<double> to) {
    shape.has_norm = norm != 0 && call.has(norm);
    kernels::RotaryEmbeddingReference(
        shape, call.values(input), call.values(kCosCache), call.values(kSinCache),
        shape.has_norm ? call.values(norm) : std::span<const double>(), call.values(kSeqlensK),
        call.values(kPositionIds), to);
  };
  const auto cached = [&](RotaryEmbeddingShape shape, size_t past, size_t input, size_t norm,
                          uint32_t first_head) {
    std::vector<double> cache =
        Grow(call.values(past), size_t{shape.batch} * kv_heads, past_rows, rows, head_size);
    shape.heads = kv_heads;
    shape.input_row = packed ? row : kv_heads * head_size;
    shape.input_offset = packed ? first_head * head_size : 0;
    shape.output_layout = HeadLayout::kBNSH;
    shape.output_is_cache = true;
    shape.output_rows = Count(static_cast<int64_t>(rows));
    apply(shape, packed ? kQuery : input, norm, cache);
    return cache;
  };
  std::vector<double> keys = cached(rotate, kPastKey, kKey, kKNormWeight, heads);
  std::vector<double> values = cached(move, kPastValue, kValue, 0, heads + kv_heads);

  rotate.heads = heads;
  rotate.input_row = row;
  std::vector<double> q(size_t{move.batch} * move.sequence * heads * head_size);
  apply(rotate, kQuery, kQNormWeight, q);

  kernels::GroupQueryAttentionShape attention;
  attention.batch = move.batch;
  attention.sequence = move.sequence;
  attention.heads = heads;
  attention.kv_heads = kv_heads;
  attention.head_size = head_size;
  attention.capacity = Count(static_cast<int64_t>(rows));
  attention.scale = node.Float("scale", 0.0f);
  attention.softcap = node.Float("softcap", 0.0f);
  attention.local_window = static_cast<int32_t>(node.Int("local_window_size", -1));
  attention.has_head_sink = call.has(kHeadSink);
  attention.smooth_softmax = node.Int("smooth_softmax", 0) == 1;
  if (call.has(kAttentionBias)) {
    const graph::Shape& bias = call.shape(kAttentionBias);
    attention.bias_batch = Count(bias[0]);
    attention.bias_heads = Count(bias[1]);
    attention.bias_total = Count(bias[3]);
  }
  call.Out(0, kernels::GroupQueryAttentionReference(attention, q, keys, values,
                                                    call.values(kSeqlensK), call.values(kHeadSink),
                                                    call.values(kAttentionBias)));
  const graph::Shape present = {query[0], kv_heads, static_cast<int64_t>(rows), head_size};
  call.Out(1, std::move(keys), present);
  call.Out(2, std::move(values), present);
}

// Returns the keys or values (graph/attention.h): the past followed by the new rows, to which the
// bias from element `first_bias` on is added.
std::vector<double> PastAndNew(Call& call, const graph::AttentionForm& form, size_t input,
                               std::optional<size_t> past, size_t first_bias) {
  const auto heads = static_cast<size_t>(form.kv_heads), size = static_cast<size_t>(form.head_size),
             rows = static_cast<size_t>(form.new_keys), before = static_cast<size_t>(form.past);
  std::vector<double> all = Grow(past ? call.values(*past) : std::span<const double>(),
                                 static_cast<size_t>(form.batch) * heads, before,
                                 static_cast<size_t>(form.total()), size);
  const std::span<const double> from = call.values(input);
  const std::optional<size_t> bias = form.places.projection_bias;
  for (size_t b = 0; b < static_cast<size_t>(form.batch); ++b) {
    for (size_t h = 0; h < heads; ++h) {
      for (size_t r = 0; r < rows; ++r) {
        const size_t at = form.kv_by_head ? (b * heads + h) * rows + r : (b * rows + r) * heads + h;
        double* to = &all[((b * heads + h) * (before + rows) + before + r) * size];
        for (size_t i = 0; i < size; ++i) {
          to[i] = from[at * size + i] + (bias ? call.values(*bias)[first_bias + h * size + i] : 0);
        }
      }
    }
  }
  return all;
}

// Computes ONNX's Attention and com.microsoft's MultiHeadAttention.
void Attention(Call& call) {
  std::vector<std::optional<graph::Shape>> shapes(call.node().inputs().size());
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (call.has(i)) shapes[i] = call.shape(i);
  }
  const graph::AttentionForm form = graph::ReadAttention(call.node(), shapes);
  const auto& [mask, past_key, past_value, lengths, bias] = form.places;
  const bool mask_is_float = mask && IsFloat(call.dtype(*mask));
  const kernels::GroupQueryAttentionShape shape = compile::AttentionShapeOf(
      form, DType::kF32, mask_is_float, [](int64_t n) { return Count(n); });
  const size_t hidden = size_t{shape.heads} * shape.head_size;
  std::vector<double> keys = PastAndNew(call, form, 1, past_key, hidden);
  std::vector<double> values = PastAndNew(call, form, 2, past_value, 2 * hidden);
  std::vector<double> q(call.values(0).begin(), call.values(0).end());
  for (size_t i = 0; bias && i < q.size(); ++i) q[i] += call.values(*bias)[i % hidden];
  const auto input = [&](std::optional<size_t> place) {
    return place ? call.values(*place) : std::span<const double>();
  };
  call.Out(0, kernels::GroupQueryAttentionReference(shape, q, keys, values, input(lengths), {},
                                                    input(mask)));
  call.Out(1, std::move(keys), form.present());
  call.Out(2, std::move(values), form.present());
}

// Computes both RotaryEmbedding operators. x is [batch, sequence, hidden] or [batch, heads,
// sequence, head_size].
void Rotary(Call& call, size_t cos, size_t sin, size_t positions, RotaryPositions from) {
  const graph::Node& node = call.node();
  const graph::Shape &x = call.shape(0), &cache = call.shape(cos);
  RotaryEmbeddingShape shape;
  shape.batch = Count(x[0]);
  shape.interleaved = node.Int("interleaved", 0) != 0;
  shape.rotary_dim = 2 * Count(cache.back());
  shape.cache_rows = Count(cache, 0, cache.size() - 1);
  shape.positions = from;
  if (x.size() == 4) {
    shape.input_layout = shape.output_layout = HeadLayout::kBNSH;
    shape.heads = Count(x[1]);
    shape.sequence = Count(x[2]);
    shape.head_size = Count(x[3]);
  } else {
    // Without num_heads, head_size equals the rotated dimensions.
    const int64_t heads = node.Int("num_heads", 0);
    shape.head_size = heads > 0 ? Count(x[2] / heads) : shape.rotary_dim;
    shape.heads = Count(x[2]) / shape.head_size;
    shape.sequence = Count(x[1]);
  }
  // Without positions, the caches have one row for each token of the batch.
  std::vector<double> each_token;
  std::span<const double> at = call.values(positions);
  if (!call.has(positions)) {
    for (size_t i = 0; i < shape.cache_rows; ++i) each_token.push_back(static_cast<double>(i));
    at = each_token;
  }
  std::vector<double> out(call.values(0).size());
  kernels::RotaryEmbeddingReference(shape, call.values(0), call.values(cos), call.values(sin), {},
                                    {}, at, out);
  call.Out(0, std::move(out));
}

void MicrosoftRotary(Call& call) {
  const bool offset = call.values(1).size() == 1;
  Rotary(call, 2, 3, 1, offset ? RotaryPositions::kOffset : RotaryPositions::kPositionIds);
}

void OnnxRotary(Call& call) { Rotary(call, 1, 2, 3, RotaryPositions::kPositionIds); }

}  // namespace

Operator FindAttention(std::string_view domain, std::string_view op) {
  if (domain.empty()) {
    if (op == "Attention") return Attention;
    return op == "RotaryEmbedding" ? OnnxRotary : nullptr;
  }
  if (op == "MultiHeadAttention") return Attention;
  if (op == "GroupQueryAttention") return GroupQueryAttention;
  return op == "RotaryEmbedding" ? MicrosoftRotary : nullptr;
}

}  // namespace sinter::interpret
