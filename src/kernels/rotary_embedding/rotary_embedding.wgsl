// Rotary position embedding of heads, with an optional RMS normalisation of each head before it.
//
//   x = head [* norm_weight / sqrt(mean(head^2) + epsilon)]
//   (y[a], y[b]) = (x[a] cos - x[b] sin, x[b] cos + x[a] sin) for pair i < rotary_half, with
//   (a, b) = (i, i + rotary_half), or (2i, 2i + 1) with kInterleaved; the rest is copied.
//
// Layout: input and output by strides (a head's elements are contiguous); cos and sin [cache_rows,
// rotary_half]. One workgroup owns one head of one row; thread i owns the pairs and the copied
// elements i, i + kWorkgroupSize, ...
//
// The host defines act_t, norm_t, kInterleaved and kWorkgroupSize; `rotary` if rotary_half > 0, and
// then one of position_seqlens, position_ids and position_offset; `norm`; `seqlens` if binding 5
// exists; `cache` if the output is a KV cache, `pages` if that is in pages.

#include "common/workgroup_reduce.wgsl"

struct Params {
  batch: u32,
  sequence: u32,
  heads: u32,
  head_size: u32,
  rotary_half: u32,
  cache_rows: u32,
  grid_x: u32,
  input_offset: u32,
  input_batch: u32,
  input_sequence: u32,
  input_head: u32,
  capacity: u32,
  output_batch: u32,
  output_sequence: u32,
  output_head: u32,
  epsilon: f32,
  head_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<act_t>;
#if rotary
@group(0) @binding(2) var<storage, read> cos_cache: array<act_t>;
@group(0) @binding(3) var<storage, read> sin_cache: array<act_t>;
#endif
#if norm
@group(0) @binding(4) var<storage, read> norm_weight: array<norm_t>;
#endif
#if seqlens
@group(0) @binding(5) var<storage, read> seqlens_k: array<i32>;

fn past_length(b: u32) -> u32 {
  return u32(max(seqlens_k[b] + 1 - i32(params.sequence), 0));
}
#endif
#if position_seqlens
fn position(b: u32, s: u32) -> u32 { return past_length(b) + s; }
#endif
#if position_ids
@group(0) @binding(6) var<storage, read> position_ids: array<i32>;

fn position(b: u32, s: u32) -> u32 {
  return u32(max(position_ids[b * params.sequence + s], 0));
}
#endif
#if position_offset
@group(0) @binding(6) var<storage, read> position_ids: array<i32>;

fn position(b: u32, s: u32) -> u32 { return u32(max(position_ids[0], 0)) + s; }
#endif
@group(0) @binding(7) var<storage, read_write> output: array<act_t>;
#if pages
@group(0) @binding(8) var<storage, read> page_table: array<i32>;

fn page_at(i: u32) -> u32 { return u32(page_table[i]); }
#endif

#include "common/kv_pages.wgsl"

// Returns element d of the head that starts at `begin`; `inv_std` is 1 without normalisation.
#if norm
fn load(begin: u32, d: u32, inv_std: f32) -> f32 {
  return f32(input[begin + d]) * inv_std * f32(norm_weight[d]);
}
#else
fn load(begin: u32, d: u32, inv_std: f32) -> f32 { return f32(input[begin + d]); }
#endif

@compute @workgroup_size(kWorkgroupSize)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>,
#if subgroups
        @builtin(subgroup_size) lanes: u32,
#endif
        @builtin(local_invocation_index) local: u32) {
#if !subgroups
  let lanes = 1u;
#endif
  let item = workgroup.y * params.grid_x + workgroup.x;
  if (item >= params.batch * params.sequence * params.heads) {
    return;
  }
  let h = item % params.heads;
  let s = item / params.heads % params.sequence;
  let b = item / (params.heads * params.sequence);
  var row = s;
#if cache
  row += past_length(b);
#endif
  if (row >= params.capacity) {
    return;
  }
  let begin = params.input_offset + b * params.input_batch + s * params.input_sequence +
              h * params.input_head;
#if cache
  let end = (head_begin(b, h, params.heads) + cache_row(b, row)) * params.head_size;
#else
  let end = b * params.output_batch + row * params.output_sequence + h * params.output_head;
#endif

  var inv_std = 1.0;
#if norm
  var squares = 0.0;
  for (var d = local; d < params.head_size; d += kWorkgroupSize) {
    let x = f32(input[begin + d]);
    squares += x * x;
  }
  let mean = workgroup_sum(squares, local, lanes) / f32(params.head_size);
  inv_std = 1.0 / sqrt(mean + params.epsilon);
#endif

#if rotary
  let angles = min(position(b, s), params.cache_rows - 1u) * params.rotary_half;
  for (var i = local; i < params.rotary_half; i += kWorkgroupSize) {
    let c = f32(cos_cache[angles + i]);
    let sine = f32(sin_cache[angles + i]);
    let d0 = select(i, 2u * i, kInterleaved);
    let d1 = select(i + params.rotary_half, 2u * i + 1u, kInterleaved);
    let x0 = load(begin, d0, inv_std);
    let x1 = load(begin, d1, inv_std);
    output[end + d0] = act_t(x0 * c - x1 * sine);
    output[end + d1] = act_t(x1 * c + x0 * sine);
  }
#endif
  for (var d = 2u * params.rotary_half + local; d < params.head_size; d += kWorkgroupSize) {
    output[end + d] = act_t(load(begin, d, inv_std));
  }
}
