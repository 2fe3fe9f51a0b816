// Lowers attention and rotary embeddings.

#include <numeric>

#include "base/error.h"
#include "compile/lower/ops.h"
#include "graph/gqa_inputs.h"
#include "kernels/group_query_attention/group_query_attention.h"
#include "kernels/group_query_attention/group_query_attention_decode.h"
#include "kernels/group_query_attention/group_query_attention_prepare.h"
#include "kernels/rotary_embedding/rotary_embedding.h"

namespace sinter::compile {
namespace {

using graph::GqaInput;
using enum graph::GqaInput;

void EmitRotary(LowerContext& context, const kernels::RotaryEmbeddingShape& shape, BufferRef input,
                BufferRef cos, BufferRef sin, BufferRef norm, BufferRef seqlens,
                BufferRef positions, BufferRef output, BufferRef page_table = {}) {
  if (shape.rotary_dim == 0) cos = sin = BufferRef{};
  if (!shape.NeedsSeqlens()) seqlens = {};
  if (shape.rotary_dim == 0 || shape.positions == kernels::RotaryPositions::kSeqlens)
    positions = {};
  using Roles = kernels::RotaryEmbeddingRoles;
  context.Emit(
      kernels::PlanRotaryEmbedding(context.caps(), shape, context.variant("rotary_embedding")),
      {{Roles::kInput, input},
       {Roles::kCos, cos},
       {Roles::kSin, sin},
       {Roles::kNormWeight, norm},
       {Roles::kSeqlens, seqlens},
       {Roles::kPositionIds, positions},
       {Roles::kOutput, output},
       {Roles::kPageTable, page_table}});
}

// Returns the operands of the kernels that read the node's inputs and append to the caches. `Roles`
// are the roles of one of these kernels.
template <typename Roles>
std::vector<Operand> NodeInputs(LowerContext& context,
                                const kernels::GroupQueryAttentionDecodeShape& shape) {
  const bool rotary = shape.rotary_dim > 0;
  const auto input = [&](GqaInput which, bool there) {
    return there ? context.In(which) : BufferRef{};
  };
  const bool position_ids = rotary && shape.positions == kernels::RotaryPositions::kPositionIds;
  return {{Roles::kQuery, context.In(kQuery)},
          {Roles::kKey, input(kKey, !shape.packed)},
          {Roles::kValue, input(kValue, !shape.packed)},
          {Roles::kKeyCache, context.In(kPastKey)},
          {Roles::kValueCache, context.In(kPastValue)},
          {Roles::kSeqlens, context.In(kSeqlensK)},
          {Roles::kCos, input(kCosCache, rotary)},
          {Roles::kSin, input(kSinCache, rotary)},
          {Roles::kQNormWeight, input(kQNormWeight, shape.has_norm)},
          {Roles::kKNormWeight, input(kKNormWeight, shape.has_norm)},
          {Roles::kPositionIds, input(kPositionIds, position_ids)},
          {Roles::kPageTable, context.PageTable(shape.attention.batch)}};
}

// Emits one dispatch for the whole node.
void EmitDecode(LowerContext& context, const kernels::GroupQueryAttentionDecodeShape& shape) {
  TunedPlan plan = context.Tune(kernels::GroupQueryAttentionDecodeTunable(context.caps(), shape));
  const bool joinable = static_cast<bool>(plan.alternatives);
  using Roles = kernels::GroupQueryAttentionDecodeRoles;
  std::vector<Operand> operands = NodeInputs<Roles>(context, shape);
  operands.push_back({Roles::kHeadSink, context.In(kHeadSink)});
  operands.push_back({Roles::kAttentionBias, context.In(kAttentionBias)});
  operands.push_back({Roles::kOutput, context.Out(0)});
  operands.push_back({Roles::kScratch, context.Counters(plan.plan.scratch_words)});
  Dispatch& dispatch = context.Emit(std::move(plan), std::move(operands));
  if (joinable) dispatch.part = shape;
}

// Returns the shape of the rotation that `shape` asks for, with a norm of each head before it if
// `has_norm`.
kernels::RotaryEmbeddingShape RotationOf(LowerContext& context,
                                         const kernels::GroupQueryAttentionDecodeShape& shape,
                                         bool has_norm) {
  kernels::RotaryEmbeddingShape rotate;
  rotate.batch = shape.attention.batch;
  rotate.sequence = shape.attention.sequence;
  rotate.head_size = shape.attention.head_size;
  rotate.dtype = shape.attention.dtype;
  rotate.rotary_dim = shape.rotary_dim;
  rotate.cache_rows = shape.rotary_rows;
  rotate.interleaved = shape.interleaved;
  rotate.positions = shape.positions;
  rotate.epsilon = shape.epsilon;
  rotate.has_norm = has_norm;
  if (has_norm) rotate.norm_dtype = context.dtype(kQNormWeight);
  return rotate;
}

// Emits the dispatches that write rotated new keys and new values to the caches.
void EmitAppend(LowerContext& context, const kernels::GroupQueryAttentionDecodeShape& shape) {
  const kernels::GroupQueryAttentionShape& attention = shape.attention;
  const auto append = [&](bool keys, uint32_t first_head) {
    kernels::RotaryEmbeddingShape move = RotationOf(context, shape, keys && shape.has_norm);
    if (!keys) move.rotary_dim = 0;
    move.heads = attention.kv_heads;
    move.input_row = shape.packed ? shape.row() : attention.kv_heads * attention.head_size;
    move.input_offset = shape.packed ? first_head * attention.head_size : 0;
    move.output_layout = kernels::HeadLayout::kBNSH;
    move.output_is_cache = true;
    move.output_rows = attention.capacity;
    move.page_entries = attention.page_entries;
    EmitRotary(context, move,
               context.In(shape.packed ? kQuery
                          : keys       ? kKey
                                       : kValue),
               context.In(kCosCache), context.In(kSinCache),
               move.has_norm ? context.In(kKNormWeight) : BufferRef{}, context.In(kSeqlensK),
               context.In(kPositionIds), context.In(keys ? kPastKey : kPastValue),
               context.PageTable(attention.batch));
  };
  append(true, attention.heads);
  append(false, attention.heads + attention.kv_heads);
}

// Returns scratch for queries that differ from the node's input.
BufferRef QueryScratch(LowerContext& context, const kernels::GroupQueryAttentionShape& attention) {
  const DType device = kernels::DeviceDType(context.caps(), attention.dtype);
  return context.Scratch(DTypeBytes(device, size_t{attention.batch} * attention.sequence *
                                                attention.heads * attention.head_size),
                         "q");
}

// Emits the dispatches for many rows: first queries and caches, in one dispatch if that kernel
// supports the shape and its parts are not forced; then the attention.
void EmitAttention(LowerContext& context, const kernels::GroupQueryAttentionDecodeShape& shape) {
  const kernels::GroupQueryAttentionShape& attention = shape.attention;
  BufferRef q = context.In(kQuery);
  const bool prepares = shape.packed || shape.rotary_dim > 0 || shape.has_norm;
  if (prepares && context.variant("rotary_embedding").empty() &&
      !kernels::GroupQueryAttentionPrepareVariants(context.caps(), shape).empty()) {
    q = QueryScratch(context, attention);
    using Roles = kernels::GroupQueryAttentionPrepareRoles;
    std::vector<Operand> operands = NodeInputs<Roles>(context, shape);
    operands.push_back({Roles::kQ, q});
    context.Emit(kernels::PlanGroupQueryAttentionPrepare(
                     context.caps(), shape, context.variant("group_query_attention_prepare")),
                 std::move(operands));
  } else {
    EmitAppend(context, shape);
    if (prepares) {
      q = QueryScratch(context, attention);
      kernels::RotaryEmbeddingShape rotate = RotationOf(context, shape, shape.has_norm);
      rotate.heads = attention.heads;
      rotate.input_row = shape.row();
      EmitRotary(context, rotate, context.In(kQuery), context.In(kCosCache), context.In(kSinCache),
                 shape.has_norm ? context.In(kQNormWeight) : BufferRef{}, context.In(kSeqlensK),
                 context.In(kPositionIds), q);
    }
  }
  using Roles = kernels::GroupQueryAttentionRoles;
  context.Emit(kernels::PlanGroupQueryAttention(context.caps(), attention,
                                                context.variant("group_query_attention")),
               {{Roles::kQuery, q},
                {Roles::kKeyCache, context.In(kPastKey)},
                {Roles::kValueCache, context.In(kPastValue)},
                {Roles::kLengths, context.In(kSeqlensK)},
                {Roles::kHeadSink, context.In(kHeadSink)},
                {Roles::kAttentionBias, context.In(kAttentionBias)},
                {Roles::kOutput, context.Out(0)},
                {Roles::kPageTable, context.PageTable(attention.batch)}});
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
  if (!context.has(kPastKey) || !context.has(kPastValue)) {
    throw Error("compile",
                "{}: got no past key and value, want a KV cache that is updated in place",
                node.Describe());
  }
  context.InPlace(1, kPastKey);
  context.InPlace(2, kPastValue);
  context.InPages(kPastKey, 1);
  context.InPages(kPastValue, 2);

  kernels::GroupQueryAttentionDecodeShape shape;
  shape.packed = packed;
  shape.epsilon = node.Float("qk_norm_epsilon", 1e-6f);
  shape.has_norm = context.has(kQNormWeight);
  if (node.Int("do_rotary", 0) != 0) {
    shape.rotary_dim = 2 * Count(context.shape(kCosCache)[1]);
    shape.rotary_rows = Count(context.shape(kCosCache)[0]);
    shape.interleaved = node.Int("rotary_interleaved", 0) != 0;
    if (context.has(kPositionIds)) shape.positions = kernels::RotaryPositions::kPositionIds;
  }
  kernels::GroupQueryAttentionShape& attention = shape.attention;
  attention.batch = Count(query[0]);
  attention.sequence = Count(query[1]);
  attention.heads = heads;
  attention.kv_heads = kv_heads;
  attention.head_size = head_size;
  attention.capacity = Count(context.shape(kPastKey)[2]);
  attention.page_entries = context.page_entries();
  attention.dtype = context.dtype(kQuery);
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

  // A graph may use a layer only for its cache. Then EmitAppend alone is enough.
  const bool wants_output = context.wants(0);
  // A forced variant of the attention kernel selects the composition, because only that uses the
  // kernel.
  if (wants_output && context.variant("group_query_attention").empty() &&
      !kernels::GroupQueryAttentionDecodeVariants(context.caps(), shape).empty()) {
    EmitDecode(context, shape);
    return;
  }
  if (wants_output) {
    EmitAttention(context, shape);
  } else {
    EmitAppend(context, shape);
  }
}

namespace {

// Lowers either RotaryEmbedding operator: x is [batch, sequence, hidden] or [batch, heads,
// sequence, head_size]. Without positions the caches have a row for each row of x.
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
    // Without num_heads a head has the width of the rotation.
    const int64_t heads = node.Int("num_heads", 0);
    shape.head_size = heads > 0 ? Count(x[2] / heads) : shape.rotary_dim;
    shape.heads = Count(x[2]) / shape.head_size;
    shape.sequence = Count(x[1]);
  }
  BufferRef rows = context.In(positions);
  if (!context.has(positions)) {
    std::vector<int64_t> in_order(shape.cache_rows);
    std::iota(in_order.begin(), in_order.end(), 0);
    rows = context.Constant(
        graph::Tensor::FromInts(DType::kI32, {static_cast<int64_t>(in_order.size())}, in_order),
        "position_ids");
  }
  EmitRotary(context, shape, context.In(0), context.In(cos), context.In(sin), {}, {}, rows,
             context.Out(0));
}

}  // namespace

void LowerRotaryEmbedding(LowerContext& context) {
  const bool offset = graph::NumElements(context.shape(1)) == 1;
  LowerRotary(context, 2, 3, 1,
              offset ? kernels::RotaryPositions::kOffset : kernels::RotaryPositions::kPositionIds);
}

void LowerOnnxRotaryEmbedding(LowerContext& context) {
  LowerRotary(context, 1, 2, 3, kernels::RotaryPositions::kPositionIds);
}

}  // namespace sinter::compile
