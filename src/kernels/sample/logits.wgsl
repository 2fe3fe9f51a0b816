// Logits of a row, four tokens at a time. The including shader defines params with the members
// vocab and row_stride. The host defines act_t, and `vec4` if row_stride is a multiple of 4: loads
// are vec4s then.

#include "common/finite_logits.wgsl"

#if vec4
@group(0) @binding(1) var<storage, read> logits: array<vec4<act_t>>;

// Returns the logits of tokens 4v to 4v + 3. 4v < params.vocab. Those past the vocabulary mean
// nothing.
fn raw_logits(row: u32, v: u32) -> vec4<f32> {
  return vec4<f32>(logits[row * (params.row_stride / 4u) + v]);
}
#else
@group(0) @binding(1) var<storage, read> logits: array<act_t>;

fn raw_logits(row: u32, v: u32) -> vec4<f32> {
  let begin = row * params.row_stride;
  let last = params.vocab - 1u;
  return vec4<f32>(f32(logits[begin + min(4u * v, last)]),
                   f32(logits[begin + min(4u * v + 1u, last)]),
                   f32(logits[begin + min(4u * v + 2u, last)]),
                   f32(logits[begin + min(4u * v + 3u, last)]));
}
#endif

// Returns the tokens 4v to 4v + 3.
fn tokens_of(v: u32) -> vec4<u32> {
  return 4u * v + vec4<u32>(0u, 1u, 2u, 3u);
}

// Returns the logits of tokens 4v to 4v + 3 as finite numbers, kNone past the vocabulary. 4v <
// params.vocab.
fn row_logits(row: u32, v: u32) -> vec4<f32> {
  return select(vec4<f32>(kNone), finite_logits(raw_logits(row, v)),
                tokens_of(v) < vec4<u32>(params.vocab));
}
