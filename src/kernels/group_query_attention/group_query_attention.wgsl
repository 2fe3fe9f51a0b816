// Code that the attention shaders for separate caches share: operands, the keys that a row sees,
// and scores. group_query_attention.h has the definition.
//
// Layout, in units of act_v (kVec elements, kCols of them in a head): q and output by strides,
// k_cache and v_cache as common/kv_pages.wgsl says.
//
// The host defines act_t, act_v (kVec elements in memory), acc_v (kVec elements of f32), kVec,
// kCols; `head_sink`, `smooth`, `lengths` and `bias` if the node has them; with `bias` also bias_t
// and kBiasIsMask; `pages` if the caches are in pages.

struct Params {
  batch: u32,
  sequence: u32,
  heads: u32,
  kv_heads: u32,
  capacity: u32,
  key_limit: u32,
  local_window: u32,
  keys_after: i32,
  past_min: i32,
  past_max: i32,
  total_offset: i32,
  q_batch: u32,
  q_sequence: u32,
  q_head: u32,
  out_batch: u32,
  out_sequence: u32,
  out_head: u32,
  bias_batch: u32,
  bias_head: u32,
  bias_row: u32,
  bias_total: u32,
  scale: f32,
  softcap: f32,
  grid_x: u32,
  tiles: u32,
  head_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<act_v>;
@group(0) @binding(2) var<storage, read> k_cache: array<act_v>;
@group(0) @binding(3) var<storage, read> v_cache: array<act_v>;
#if lengths
@group(0) @binding(4) var<storage, read> seqlens_k: array<i32>;
#endif
#if head_sink
@group(0) @binding(5) var<storage, read> head_sink: array<act_t>;
#endif
#if bias
@group(0) @binding(6) var<storage, read> attention_bias: array<bias_t>;
#endif
@group(0) @binding(7) var<storage, read_write> output: array<act_v>;
#if pages
@group(0) @binding(8) var<storage, read> page_table: array<i32>;

fn page_at(i: u32) -> u32 { return u32(page_table[i]); }
#endif

#include "common/kv_pages.wgsl"

// A masked key's score, below every score that counts.
const kMasked = -3.4028234663852886e+38f;

#if lengths
fn total_of(b: u32) -> i32 { return seqlens_k[b] + params.total_offset; }
#else
fn total_of(b: u32) -> i32 { return i32(params.capacity); }
#endif

// Row s of batch b sees the keys [x, y). Both bounds move only up with s.
fn key_range(b: u32, s: u32) -> vec2<u32> {
  let total = total_of(b);
  let limit = clamp(total, 0, i32(params.key_limit));
  let past = clamp(total - i32(params.sequence), params.past_min, params.past_max);
  let own = past + i32(s) + 1;  // Position after the row's own key.
  let until_own = u32(clamp(own, 0, limit));
  let begin = select(0u, until_own - min(until_own, params.local_window),
                     params.local_window > 0u);
  return vec2<u32>(begin, u32(clamp(own + params.keys_after, 0, limit)));
}

fn q_index(b: u32, h: u32, s: u32) -> u32 {
  return (b * params.q_batch + h * params.q_head + s * params.q_sequence) / kVec;
}

fn output_index(b: u32, h: u32, s: u32) -> u32 {
  return (b * params.out_batch + h * params.out_head + s * params.out_sequence) / kVec;
}

#if bias
// Returns a key's bias. A masked key's bias is kMasked, and so are sums with it.
fn bias_of(b: u32, h: u32, s: u32, t: u32) -> f32 {
  let row = b * params.bias_batch + h * params.bias_head + s * params.bias_row;
  let x = f32(attention_bias[row + min(t, params.bias_total - 1u)]);
  let bias = select(max(x, kMasked), select(0.0, kMasked, x == 0.0), kBiasIsMask);
  return select(0.0, bias, t < params.bias_total);
}
#else
fn bias_of(b: u32, h: u32, s: u32, t: u32) -> f32 { return 0.0; }
#endif

fn finish_score(dot_product: f32, b: u32, h: u32, s: u32, t: u32) -> f32 {
  var score = dot_product * params.scale;
  if (params.softcap > 0.0) {
    // The bound keeps tanh's argument where every implementation is finite; tanh(20) rounds to 1.
    score = params.softcap * tanh(clamp(score / params.softcap, -20.0, 20.0));
  }
  return score + bias_of(b, h, s, t);
}

// Returns the weight of a score. It is 0 for a masked key, even if every key of the row is masked.
fn weight(score: f32, largest: f32) -> f32 {
  return select(0.0, exp(score - largest), score > kMasked);
}

// Returns the row's maximum before the first key: the sink, a logit without a value.
fn initial_max(h: u32) -> f32 {
  var largest = kMasked;
#if smooth
  largest = 0.0;
#endif
#if head_sink
  largest = f32(head_sink[h]);
#endif
  return largest;
}

fn initial_sum() -> f32 {
  var sum = 0.0;
#if smooth
  sum = 1.0;
#endif
#if head_sink
  sum = 1.0;
#endif
  return sum;
}
