// What both attention shaders share: operands, the keys that a row sees, a score after the dot
// product. Definition: group_query_attention.h.
//
// Layout, in units of act_v (kVec elements; kCols of them in a head): q by strides, k_cache and
// v_cache [batch, kv_heads, capacity, kCols], output [batch, sequence, heads, kCols].
//
// The host defines act_t, act_v (kVec elements in memory), acc_v (the same of f32), kVec, kCols;
// `head_sink`, `smooth` and `bias` where the operand or option is there.

struct Params {
  batch: u32,
  sequence: u32,
  heads: u32,
  kv_heads: u32,
  capacity: u32,
  local_window: u32,
  q_batch: u32,
  q_sequence: u32,
  q_head: u32,
  bias_batch: u32,
  bias_head: u32,
  bias_total: u32,
  scale: f32,
  softcap: f32,
  grid_x: u32,
  tiles: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<act_v>;
@group(0) @binding(2) var<storage, read> k_cache: array<act_v>;
@group(0) @binding(3) var<storage, read> v_cache: array<act_v>;
@group(0) @binding(4) var<storage, read> seqlens_k: array<i32>;
#if head_sink
@group(0) @binding(5) var<storage, read> head_sink: array<act_t>;
#endif
#if bias
@group(0) @binding(6) var<storage, read> attention_bias: array<act_t>;
#endif
@group(0) @binding(7) var<storage, read_write> output: array<act_v>;

// Below every score that counts; a masked key's score.
const kMasked = -3.4028234663852886e+38f;

// Row s of batch b sees the keys [x, y).
fn key_range(b: u32, s: u32) -> vec2<u32> {
  let total = u32(max(seqlens_k[b] + 1, 0));
  let past = max(total, params.sequence) - params.sequence;
  let end = min(min(past + s + 1u, total), params.capacity);
  let begin = select(0u, end - min(end, params.local_window), params.local_window > 0u);
  return vec2<u32>(begin, end);
}

fn q_index(b: u32, h: u32, s: u32) -> u32 {
  return (b * params.q_batch + h * params.q_head + s * params.q_sequence) / kVec;
}

fn finish_score(dot_product: f32, b: u32, h: u32, s: u32, t: u32) -> f32 {
  var score = dot_product * params.scale;
  if (params.softcap > 0.0) {
    // The bound keeps tanh's argument where every implementation is finite; tanh(20) rounds to 1.
    score = params.softcap * tanh(clamp(score / params.softcap, -20.0, 20.0));
  }
#if bias
  if (t < params.bias_total) {
    let row = b * params.bias_batch + h * params.bias_head + s * params.bias_total;
    score += f32(attention_bias[row + t]);
  }
#endif
  return score;
}

// A masked key weighs nothing, even where every key of the row is masked.
fn weight(score: f32, largest: f32) -> f32 {
  return select(0.0, exp(score - largest), score > kMasked);
}

// The row's maximum and denominator before the first key: the sink, a logit without a value.
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
