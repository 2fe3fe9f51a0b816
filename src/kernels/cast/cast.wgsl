// y[i] = x[i] as another type.
//
// Thread t casts elements [4 t, 4 t + 4). The buffers are padded to 16 bytes, so that the last
// vector may be partial. The prelude gives from_t, to_t and
//   fn convert(x: from_t) -> to_t

#include "common/indexing.wgsl"

struct Params {
  elems: u32,
  grid_x: u32,
  fault_word: u32,
  padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<from_t>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<to_t>>;

#if faults
const kFaultBinding = 3u;
#include "common/int64_fault.wgsl"

// Notes the elements from `first` on that are NaN or do not fit 32 bits.
fn note_floats(first: u32, v: vec4<f32>) {
  let there = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.elems);
  let fits = (v >= vec4<f32>(-2147483648.0)) & (v < vec4<f32>(2147483648.0));
  note_beyond(any(there & !fits));
}
#else
fn note_floats(first: u32, v: vec4<f32>) {}
#endif

// Rounds towards zero. Saturates past the range of i32 (2147483520 is the largest f32 below 2^31);
// NaN gives 0.
fn saturate_i32(x: f32) -> i32 {
  let inside = i32(clamp(x, -2147483648.0, 2147483520.0));
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  return select(select(inside, 2147483647, x >= 2147483648.0), 0, bits > 0x7f800000u);
}

// Returns 0 for zero of either sign, else 1. It compares bits: devices differ in whether NaN != 0
// holds.
fn is_true(x: f32) -> u32 {
  return select(0u, 1u, (bitcast<u32>(x) & 0x7fffffffu) != 0u);
}

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let id = folded_thread(workgroup, local, params.grid_x);
  if (id >= (params.elems + 3u) / 4u) {
    return;
  }
  let v = x[id];
  note_floats(4u * id, vec4<f32>(v));
  y[id] = vec4<to_t>(convert(v.x), convert(v.y), convert(v.z), convert(v.w));
}
