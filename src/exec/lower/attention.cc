// Lowerings of attention and of rotary embeddings.

#include "base/error.h"
#include "exec/lower/ops.h"
#include "graph/gqa_inputs.h"
#include "kernels/group_query_attention/group_query_attention.h"
#include "kernels/rotary_embedding/rotary_embedding.h"

namespace sinter::exec {
namespace {

using enum graph::GqaInput;

void EmitRotary(LowerContext& context, const kernels::RotaryEmbeddingShape& shape, BufferRef input,
                BufferRef cos, BufferRef sin, BufferRef norm, BufferRef seqlens,
                BufferRef positions, BufferRef output) {
  if (shape.rotary_dim == 0) cos = sin = BufferRef{};
  if (!shape.NeedsSeqlens()) seqlens = {};
  if (shape.rotary_dim == 0 || shape.positions == kernels::RotaryPositions::kSeqlens)
    positions = {};
  context.Emit(
      kernels::PlanRotaryEmbedding(context.caps(), shape, context.variant("rotary_embedding")),
      {input, cos, sin, norm, seqlens, positions, output}, {6});
}

}  // namespace

void LowerGroupQueryAttention(LowerContext& context) {
  const graph::Node& node = context.node();
  const graph::Shape query = context.shape(kQuery);
  const uint32_t heads = Count(node.Int("num_heads", 0));
  const uint32_t kv_heads = Count(node.Int("kv_num_heads", 0));
  const bool packed = !context.has(kKey);
  const uint32_t row = Count(query[2]);
  const uint32_t head_size = row / (packed ? heads + 2 * kv_heads : heads);
  if (graph::NumElements(query) == 0) return;

  // Keys and values go into the cache first, rotated; then the rows of the query read it.
  if (!context.has(kPastKey) || !context.has(kPastValue)) {
    throw Error("exec", "{}: got no past key and value, want a KV cache that is updated in place",
                node.Describe());
  }
  context.InPlace(1, kPastKey);
  context.InPlace(2, kPastValue);
  const BufferRef k_cache = context.In(kPastKey), v_cache = context.In(kPastValue);

  kernels::RotaryEmbeddingShape move;
  move.batch = Count(query[0]);
  move.sequence = Count(query[1]);
  move.head_size = head_size;
  move.dtype = context.dtype(kQuery);
  move.epsilon = node.Float("qk_norm_epsilon", 1e-6f);
  move.rotary_dim = 0;
  kernels::RotaryEmbeddingShape rotate = move;
  if (node.Int("do_rotary", 0) != 0) {
    rotate.rotary_dim = 2 * Count(context.shape(kCosCache)[1]);
    rotate.cache_rows = Count(context.shape(kCosCache)[0]);
    rotate.interleaved = node.Int("rotary_interleaved", 0) != 0;
    if (context.has(kPositionIds)) rotate.positions = kernels::RotaryPositions::kPositionIds;
  }
  const auto emit = [&](kernels::RotaryEmbeddingShape shape, size_t norm, BufferRef input,
                        BufferRef output) {
    shape.has_norm = norm != 0 && context.has(norm);
    if (shape.has_norm) shape.norm_dtype = context.dtype(norm);
    EmitRotary(context, shape, input, context.In(kCosCache), context.In(kSinCache),
               shape.has_norm ? context.In(norm) : BufferRef{}, context.In(kSeqlensK),
               context.In(kPositionIds), output);
  };
  const uint32_t capacity = Count(context.shape(kPastKey)[2]);
  const auto into_cache = [&](kernels::RotaryEmbeddingShape shape, uint32_t first_head) {
    shape.heads = kv_heads;
    shape.input_row = packed ? row : kv_heads * head_size;
    shape.input_offset = packed ? first_head * head_size : 0;
    shape.output_layout = kernels::HeadLayout::kBNSH;
    shape.output_is_cache = true;
    shape.output_rows = capacity;
    return shape;
  };
  emit(into_cache(rotate, heads), kKNormWeight, context.In(packed ? kQuery : kKey), k_cache);
  emit(into_cache(move, heads + kv_heads), 0, context.In(packed ? kQuery : kValue), v_cache);

  // A graph may keep a layer only for its cache.
  if (!context.wants(0)) return;
  BufferRef q = context.In(kQuery);
  if (packed || rotate.rotary_dim > 0 || context.has(kQNormWeight)) {
    kernels::RotaryEmbeddingShape shape = rotate;
    shape.heads = heads;
    shape.input_row = row;
    const DType device = kernels::DeviceDType(context.caps(), shape.dtype);
    q = context.Scratch(DTypeBytes(device, size_t{move.batch} * move.sequence * heads * head_size),
                        "q");
    emit(shape, kQNormWeight, context.In(kQuery), q);
  }

  kernels::GroupQueryAttentionShape attention;
  attention.batch = move.batch;
  attention.sequence = move.sequence;
  attention.heads = heads;
  attention.kv_heads = kv_heads;
  attention.head_size = head_size;
  attention.capacity = capacity;
  attention.dtype = move.dtype;
  attention.scale = node.Float("scale", 0.0f);
  attention.softcap = node.Float("softcap", 0.0f);
  attention.local_window = static_cast<int32_t>(node.Int("local_window_size", -1));
  attention.has_head_sink = context.has(kHeadSink);
  attention.smooth_softmax = node.Int("smooth_softmax", 0) == 1;
  if (context.has(kAttentionBias)) {
    const graph::Shape bias = context.shape(kAttentionBias);
    attention.bias_batch = Count(bias[0]);
    attention.bias_heads = Count(bias[1]);
    attention.bias_total = Count(bias[3]);
  }
  context.Emit(kernels::PlanGroupQueryAttention(context.caps(), attention,
                                                context.variant("group_query_attention")),
               {q, k_cache, v_cache, context.In(kSeqlensK), context.In(kHeadSink),
                context.In(kAttentionBias), context.Out(0)},
               {6});
}

namespace {

// Both RotaryEmbedding operators: x [batch, sequence, hidden] or [batch, heads, sequence,
// head_size].
void LowerRotary(LowerContext& context, size_t cos, size_t sin, size_t positions,
                 kernels::RotaryPositions from) {
  const graph::Node& node = context.node();
  const graph::Shape x = context.shape(0);
  if (graph::NumElements(x) == 0) return;
  const graph::Shape cache = context.shape(cos);
  kernels::RotaryEmbeddingShape shape;
  shape.batch = Count(x[0]);
  shape.dtype = context.dtype(0);
  shape.interleaved = node.Int("interleaved", 0) != 0;
  shape.rotary_dim = 2 * Count(cache.back());
  shape.cache_rows = Count(cache, 0, cache.size() - 1);
  shape.positions = from;
  if (x.size() == 4) {
    shape.input_layout = shape.output_layout = kernels::HeadLayout::kBNSH;
    shape.heads = Count(x[1]);
    shape.sequence = Count(x[2]);
    shape.head_size = Count(x[3]);
  } else {
    // Without num_heads the heads are as wide as the rotation.
    const int64_t heads = node.Int("num_heads", 0);
    shape.head_size = heads > 0 ? Count(x[2] / heads) : shape.rotary_dim;
    shape.heads = Count(x[2]) / shape.head_size;
    shape.sequence = Count(x[1]);
  }
  EmitRotary(context, shape, context.In(0), context.In(cos), context.In(sin), {}, {},
             context.In(positions), context.Out(0));
}

}  // namespace

void LowerRotaryEmbedding(LowerContext& context) {
  const bool offset = graph::NumElements(context.shape(1)) == 1;
  LowerRotary(context, 2, 3, 1,
              offset ? kernels::RotaryPositions::kOffset : kernels::RotaryPositions::kPositionIds);
}

void LowerOnnxRotaryEmbedding(LowerContext& context) {
  if (!context.has(3)) {
    throw Error("exec", "{}: got no position_ids, want them (caches by position)",
                context.node().Describe());
  }
  LowerRotary(context, 1, 2, 3, kernels::RotaryPositions::kPositionIds);
}

}  // namespace sinter::exec
