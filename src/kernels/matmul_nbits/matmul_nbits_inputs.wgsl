// Bindings of MatMulNBits for many rows, and functions that read them. matmul_nbits.h has the
// layouts.
//
// The prelude gives act_t, kBits, kBlockSize, kInterleave, unit_t, the type in which B is loaded,
// and kUnitsTogether, how many units of a row are contiguous.

#include "common/dequantize.wgsl"
#include "matmul_nbits/interleave.wgsl"
#include "matmul_nbits/matmul_nbits_bias.wgsl"

struct Params {
  m: u32,
  n: u32,
  k: u32,
  n_begin: u32,
  n_count: u32,
  blocks: u32,
  row_units: u32,
  zero_points_row_bytes: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if a_vec4
@group(0) @binding(1) var<storage, read> a: array<vec4<act_t>>;
#else
@group(0) @binding(1) var<storage, read> a: array<act_t>;
#endif
@group(0) @binding(2) var<storage, read> b: array<unit_t>;
@group(0) @binding(3) var<storage, read> scales: array<act_t>;
#if zero_points_packed
@group(0) @binding(4) var<storage, read> zero_points: array<u32>;
#endif
#if zero_points_float
@group(0) @binding(4) var<storage, read> zero_points: array<act_t>;
#endif
#if bias
@group(0) @binding(5) var<storage, read> bias: array<act_t>;
#endif
@group(0) @binding(6) var<storage, read_write> y: array<act_t>;
#if experts
@group(0) @binding(8) var<storage, read> tile_experts: array<u32>;
#endif

// Returns which of several weights a tile of rows of A belongs to.
#if experts
fn weight_of_tile(tile: u32) -> u32 {
  return tile_experts[tile];
}
#else
fn weight_of_tile(tile: u32) -> u32 {
  return 0u;
}
#endif

// Returns A[row, k .. k + 3], zeros outside of A. k is a multiple of 4.
#if a_vec4
fn load_a(row: u32, k: u32) -> vec4<f32> {
  if (row >= params.m || k >= params.k) {
    return vec4<f32>();
  }
  return vec4<f32>(a[(row * params.k + k) / 4u]);
}
#else
fn load_one_a(at: u32, k: u32) -> f32 {
  if (k >= params.k) {
    return 0.0;
  }
  return f32(a[at + k]);
}

fn load_a(row: u32, k: u32) -> vec4<f32> {
  if (row >= params.m) {
    return vec4<f32>();
  }
  let at = row * params.k;
  return vec4<f32>(load_one_a(at, k), load_one_a(at, k + 1u), load_one_a(at, k + 2u),
                   load_one_a(at, k + 3u));
}
#endif

// Returns where unit `unit` of row `row` of the bound part of B lies.
fn place_of_unit(row: u32, unit: u32) -> u32 {
  return interleaved_index(row, unit / kUnitsTogether, params.row_units / kUnitsTogether) *
             kUnitsTogether + unit % kUnitsTogether;
}

fn load_scale(row: u32, block: u32) -> f32 {
  return f32(scales[interleaved_index(row, block, params.blocks)]);
}

// Returns the zero point of a block of row `row` of the bound part of B.
#if zero_points_packed
fn zero_point(row: u32, block: u32) -> f32 {
  let bit = block * kBits;
  let byte = interleaved_index(row, bit / 8u, params.zero_points_row_bytes);
  return f32(code_at(zero_points[byte / 4u], byte, bit));
}
#endif
#if zero_points_float
fn zero_point(row: u32, block: u32) -> f32 {
  return f32(zero_points[interleaved_index(row, block, params.blocks)]);
}
#endif
#if zero_points_default
fn zero_point(row: u32, block: u32) -> f32 {
  return f32(kHalfRange);
}
#endif

// Returns quad `quad` of a word of codes, less their zero point.
#if zero_points_float
fn quad_less_zero(word: u32, quad: u32, zero: f32) -> vec4<f32> {
  return quad_less(word, quad, zero);
}
#else
fn quad_less_zero(word: u32, quad: u32, zero: f32) -> vec4<f32> {
  return quad_less_whole(word, quad, zero);
}
#endif

// Y[m, n_begin + row] = value (+ bias), where inside. The weight's rows of B begin at first_b.
fn store_y(m: u32, first_b: u32, row: u32, value: f32) {
  if (m >= params.m || row >= params.n_count) {
    return;
  }
  y[m * params.n + params.n_begin + row] = act_t(value + load_bias(first_b + row));
}
