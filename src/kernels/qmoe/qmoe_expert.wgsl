// One quantized layer of each slot's expert. With e = indices[slot], x the slot's row of input:
//   gate_up  out[slot, i] = activation(w[e, i, :] x + bias[e, i]), or for a SwiGLU of gate g and up
//            u: min(g, limit) * sigmoid(alpha * min(g, limit)) * (clamp(u, -limit, limit) + beta)
//   down     out[slot, i] = w[e, i, :] x + bias[e, i]
//   w[e, n, k] = (code[e, n, k] - zero) * scale
//
// A team of kLanes threads owns 4 rows of the weight, which make 4 / kRowsPerOutput neighbouring
// outputs of a slot. Each thread takes every kLanes-th chunk of the rows; a chunk is the widest
// aligned load (up to 16 bytes) inside one block. A vec4 holds a value for each of the 4 rows. The
// team's partial sums are added by shuffles inside a subgroup (kLanes is at most the smallest
// subgroup) or through workgroup memory. A workgroup is kTeams teams of one slot. Outputs of slots
// whose expert is not bound are not written.

#include "common/dequantize.wgsl"
#include "qmoe/qmoe_activation.wgsl"

struct Params {
  slots: u32,
  slots_per_x: u32,
  rows: u32,
  outputs: u32,
  k: u32,
  expert_begin: u32,
  expert_count: u32,
  blocks: u32,
  block_size: u32,
  row_bytes: u32,
  row_chunks: u32,
  zero_points_expert_bytes: u32,
  zero_points_row_bits: u32,
  alpha: f32,
  beta: f32,
  limit: f32,
  grid_x: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if x_vec4
@group(0) @binding(1) var<storage, read> x: array<vec4<x_t>>;
#else
@group(0) @binding(1) var<storage, read> x: array<x_t>;
#endif
#if unaligned
@group(0) @binding(2) var<storage, read> weight: array<u32>;
#else
@group(0) @binding(2) var<storage, read> weight: array<unit_t>;
#endif
@group(0) @binding(3) var<storage, read> scales: array<act_t>;
#if zero_points
@group(0) @binding(4) var<storage, read> zero_points: array<u32>;
#endif
#if bias
@group(0) @binding(5) var<storage, read> bias: array<act_t>;
#endif
@group(0) @binding(6) var<storage, read> indices: array<i32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;

const kTeams = kWorkgroup / kLanes;
const kChunk = kChunkWords * kCodesPerWord;
const kOutputs = 4u / kRowsPerOutput;

#if !subgroups
// [team][lane], with a lane of padding against bank conflicts.
var<workgroup> partials: array<vec4<f32>, kTeams * (kLanes + 1u)>;
#endif

// Returns x[row, k .. k + 3], zeros past the end. k is a multiple of 4.
#if x_vec4
fn load_x(row: u32, k: u32) -> vec4<f32> {
  if (k >= params.k) {
    return vec4<f32>();
  }
  return vec4<f32>(x[(row * params.k + k) / 4u]);
}
#else
fn load_one_x(at: u32, k: u32) -> f32 {
  if (k >= params.k) {
    return 0.0;
  }
  return f32(x[at + k]);
}

fn load_x(row: u32, k: u32) -> vec4<f32> {
  let at = row * params.k;
  return vec4<f32>(load_one_x(at, k), load_one_x(at, k + 1u), load_one_x(at, k + 2u),
                   load_one_x(at, k + 3u));
}
#endif

// Returns chunk `chunk` of row `row` of all bound experts' weights. Words past the chunk are zero.
#if unaligned
fn load_chunk(row: u32, chunk: u32) -> vec4<u32> {
  // Rows start at any byte: a word of codes comes from two words.
  let byte = row * params.row_bytes + 4u * chunk;
  let shift = byte % 4u * 8u;
  var word = weight[byte / 4u] >> shift;
  if (shift != 0u) {
    word |= weight[min(byte / 4u + 1u, arrayLength(&weight) - 1u)] << (32u - shift);
  }
  return vec4<u32>(word, 0u, 0u, 0u);
}
#else
fn load_chunk(row: u32, chunk: u32) -> vec4<u32> {
  return widen(weight[row * params.row_chunks + chunk]);
}
#endif

#if chunk4
fn widen(unit: vec4<u32>) -> vec4<u32> {
  return unit;
}
#endif
#if chunk2
fn widen(unit: vec2<u32>) -> vec4<u32> {
  return vec4<u32>(unit, 0u, 0u);
}
#endif
#if chunk1
fn widen(unit: u32) -> vec4<u32> {
  return vec4<u32>(unit, 0u, 0u, 0u);
}
#endif

#if zero_points
fn zero_point(expert: u32, row: u32, block: u32) -> f32 {
  let bit = row * params.zero_points_row_bits + block * kBits;
  let byte = expert * params.zero_points_expert_bytes + bit / 8u;
  return f32(code_at(zero_points[byte / 4u], byte, bit));
}
#else
fn zero_point(expert: u32, row: u32, block: u32) -> f32 {
  return f32(kHalfRange);
}
#endif

// Returns the row of the weight for half `half` (0 gate, 1 up) of output `output`.
fn weight_row(output: u32, half: u32) -> u32 {
  if (kInterleaved) {
    return output * kRowsPerOutput + half;
  }
  return half * params.outputs + output;
}

fn load_bias(expert: u32, row: u32) -> f32 {
#if bias
  return f32(bias[expert * params.rows + row]);
#else
  return 0.0;
#endif
}

// Stores output `output` of the slot. `second` is the up row's sum for a SwiGLU.
fn store_output(slot: u32, expert: u32, output: u32, first: f32, second: f32) {
  if (output >= params.outputs) {
    return;
  }
  let sum = first + load_bias(expert, weight_row(output, 0u));
  if (kRowsPerOutput == 2u) {
    out[slot * params.outputs + output] =
        swiglu(sum, second + load_bias(expert, weight_row(output, 1u)));
  } else {
    out[slot * params.outputs + output] = activate(sum);
  }
}

// Stores the outputs of 4 rows' sums.
fn store_rows(slot: u32, expert: u32, first_output: u32, sums: vec4<f32>) {
  if (kRowsPerOutput == 2u) {
    store_output(slot, expert, first_output, sums.x, sums.y);
    store_output(slot, expert, first_output + 1u, sums.z, sums.w);
  } else {
#repeat i 0..4
    store_output(slot, expert, first_output + $i, sums[$i], 0.0);
#endrepeat
  }
}

// Returns the products of a word of each of the 4 rows, whose first code is at k, with x[x_row, k
// ..].
fn dot_word(words: vec4<u32>, zeros: vec4<f32>, x_row: u32, k: u32) -> vec4<f32> {
  var dots = vec4<f32>();
  for (var quad = 0u; quad < kQuadsPerWord; quad++) {
    let w = mat4x4<f32>(
        quad_less_whole(words.x, quad, zeros.x), quad_less_whole(words.y, quad, zeros.y),
        quad_less_whole(words.z, quad, zeros.z), quad_less_whole(words.w, quad, zeros.w));
    dots += load_x(x_row, k + 4u * quad) * w;
  }
  return dots;
}

@compute @workgroup_size(kWorkgroup)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let groups = (params.outputs + kTeams * kOutputs - 1u) / (kTeams * kOutputs);
  let index = workgroup.y * params.grid_x + workgroup.x;
  let slot = index / groups;
  if (slot >= params.slots) {
    return;
  }
  let lane = local % kLanes;
  let team = local / kLanes;
  let first_output = (index % groups * kTeams + team) * kOutputs;
  // Below expert_begin this wraps around to a value above any count.
  let expert = u32(indices[slot]) - params.expert_begin;
  let bound = expert < params.expert_count;
  let chunks = select(0u, params.row_chunks, bound);
  let x_row = slot / params.slots_per_x;

  // The 4 rows of the weight, counted over all bound experts. Outputs past the end repeat the last
  // one and are not stored.
  let numbers = vec4<u32>(0u, 1u, 2u, 3u);
  let outputs =
      min(vec4<u32>(first_output) + numbers / kRowsPerOutput, vec4<u32>(params.outputs - 1u));
  let rows = vec4<u32>(weight_row(outputs.x, 0u), weight_row(outputs.y, 1u % kRowsPerOutput),
                       weight_row(outputs.z, 2u % kRowsPerOutput),
                       weight_row(outputs.w, 3u % kRowsPerOutput));
  let expert_rows = rows + expert * params.rows;

  var sums = vec4<f32>();
  // All lanes of a team run the same iterations, since they shuffle together afterwards.
  for (var first = 0u; first < chunks; first += kLanes) {
    let chunk = first + lane;
    if (chunk >= chunks) {
      continue;
    }
    let k = chunk * kChunk;
    let block = k / params.block_size;
    let x = load_chunk(expert_rows.x, chunk);
    let y = load_chunk(expert_rows.y, chunk);
    let z = load_chunk(expert_rows.z, chunk);
    let w = load_chunk(expert_rows.w, chunk);
    let at = expert_rows * params.blocks + block;
    let block_scales =
        vec4<f32>(f32(scales[at.x]), f32(scales[at.y]), f32(scales[at.z]), f32(scales[at.w]));
    let zeros = vec4<f32>(zero_point(expert, rows.x, block), zero_point(expert, rows.y, block),
                          zero_point(expert, rows.z, block), zero_point(expert, rows.w, block));
    var dots = dot_word(vec4<u32>(x.x, y.x, z.x, w.x), zeros, x_row, k);
#repeat i 1..kChunkWords
    dots += dot_word(vec4<u32>(x[$i], y[$i], z[$i], w[$i]), zeros, x_row, k + $i * kCodesPerWord);
#endrepeat
    sums += block_scales * dots;
  }

#if subgroups
  for (var distance = kLanes / 2u; distance > 0u; distance /= 2u) {
    sums += subgroupShuffleXor(sums, distance);
  }
  if (bound && lane == 0u) {
    store_rows(slot, expert, first_output, sums);
  }
#else
  partials[team * (kLanes + 1u) + lane] = sums;
  workgroupBarrier();
  if (bound && lane == 0u) {
    var total = vec4<f32>();
    for (var other = 0u; other < kLanes; other++) {
      total += partials[team * (kLanes + 1u) + other];
    }
    store_rows(slot, expert, first_output, total);
  }
#endif
}
