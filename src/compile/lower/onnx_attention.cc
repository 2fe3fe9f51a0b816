// Lowers ONNX's Attention and com.microsoft's MultiHeadAttention: first concatenates past and new
// keys and values by head, then emits the attention kernel.

#include <optional>

#include "compile/attention_shape.h"
#include "compile/lower/ops.h"
#include "kernels/elementwise/elementwise.h"

namespace sinter::compile {
namespace {

uint64_t BytesOf(LowerContext& context, const graph::Shape& shape) {
  return DTypeBytes(kernels::DeviceDType(context.caps(), context.dtype(0)),
                    static_cast<size_t>(graph::NumElements(shape)));
}

// Returns input i (query, key or value) plus its part of the joined biases.
BufferRef Biased(LowerContext& context, const graph::AttentionForm& form, size_t i) {
  const std::optional<size_t> bias = form.places.projection_bias;
  if (!bias) return context.In(i);
  const DType dtype = context.dtype(i);
  const int64_t hidden = form.heads * form.head_size;
  const BufferRef part = context.Scratch(BytesOf(context, {hidden}), "bias");
  EmitCopy(
      context,
      kernels::SplitCopy(dtype, context.shape(*bias), 0, static_cast<int64_t>(i) * hidden, hidden),
      context.In(*bias), part);
  const BufferRef sum = context.Scratch(BytesOf(context, context.shape(i)), "biased");
  EmitBinary(context, {kernels::BinaryOp::kAdd, dtype, context.shape(i), {hidden}}, context.In(i),
             part, sum);
  return sum;
}

// Returns keys (input 1) or values (input 2) as [batch, kv_heads, total, head_size]. They are
// written to output `input` if that is read.
BufferRef PastAndNew(LowerContext& context, const graph::AttentionForm& form, size_t input,
                     std::optional<size_t> past) {
  if (form.kv_by_head && form.past == 0) {
    context.Alias(input, input);
    return context.In(input);
  }
  const BufferRef from = Biased(context, form, input);
  const DType dtype = context.dtype(input);
  const graph::Shape all = form.present();
  const BufferRef to =
      context.wants(input) ? context.Out(input) : context.Scratch(BytesOf(context, all), "all");
  if (form.past > 0) {
    EmitCopy(context, kernels::ConcatCopy(dtype, context.shape(*past), all, 2, 0),
             context.In(*past), to);
  }
  const int64_t heads = form.kv_heads, rows = form.new_keys, size = form.head_size;
  kernels::StridedCopyShape copy{.dtype = dtype,
                                 .sizes = {form.batch, heads, rows, size},
                                 .x_strides = {heads * rows * size, size, heads * size, 1},
                                 .y_strides = {heads * all[2] * size, all[2] * size, size, 1},
                                 .y_offset = form.past * size};
  if (form.kv_by_head) {
    copy.x_strides[1] = rows * size;
    copy.x_strides[2] = size;
  }
  EmitCopy(context, copy, from, to);
  return to;
}

}  // namespace

void LowerAttention(LowerContext& context) {
  std::vector<std::optional<graph::Shape>> shapes(context.node().inputs().size());
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (context.has(i)) shapes[i] = context.shape(i);
  }
  const graph::AttentionForm form = graph::ReadAttention(context.node(), shapes);
  if (form.batch == 0) return;
  const auto& [mask, past_key, past_value, lengths, bias] = form.places;
  if (past_key && context.page_entries() > 0) {
    throw Error("compile", "{}: got a past, want GroupQueryAttention for KV caches in pages",
                context.node().Describe());
  }
  const BufferRef keys = PastAndNew(context, form, 1, past_key);
  const BufferRef values = PastAndNew(context, form, 2, past_value);
  if (form.sequence == 0 || !context.wants(0)) return;
  const kernels::GroupQueryAttentionShape shape =
      AttentionShapeOf(form, context.dtype(0), mask && IsFloat(context.dtype(*mask)),
                       [](int64_t n) { return Count(n); });
  const auto input = [&](std::optional<size_t> place) {
    return place ? context.In(*place) : BufferRef{};
  };
  using Roles = kernels::GroupQueryAttentionRoles;
  context.Emit(kernels::PlanGroupQueryAttention(context.caps(), shape,
                                                context.variant("group_query_attention")),
               {{Roles::kQuery, Biased(context, form, 0)},
                {Roles::kKeyCache, keys},
                {Roles::kValueCache, values},
                {Roles::kLengths, input(lengths)},
                {Roles::kAttentionBias, input(mask)},
                {Roles::kOutput, context.Out(0)}});
}

}  // namespace sinter::compile
