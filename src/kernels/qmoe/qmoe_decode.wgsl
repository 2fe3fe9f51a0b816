// One layer of the chosen experts for few tokens; each product of a slot is computed in the
// workgroup that needs it. With e = indices[slot], x the slot's row of input, w[e, n, k] = (code[e,
// n, k] - zero) * scale:
//   gate_up  out[slot, i] = activation(w[e, i, :] x + bias[e, i]), or the SwiGLU of qmoe.h
//   down     out[token, n] = sum over the token's slots of
//                            weights[slot] (w[e, n, :] x + bias[e, n])
//
// A workgroup loads its rows of x into workgroup memory: one for gate_up, those of all slots of a
// token for down, kPhaseSlots at a time. A team of kLanes neighbouring threads owns kRows rows of
// the weight. A chunk is the widest load (up to 16 bytes) inside one block; each thread takes every
// kLanes-th chunk of the rows. The team's sums are added by shuffles (kLanes is at most the
// smallest subgroup) or through workgroup memory. Workgroup (i, j) owns kTeams groups of kRows
// rows, for slot j or token j.
//
// A step is one chunk of one slot. A team loads kPrefetch steps ahead, and issues the first loads
// before x is there.
//
// f16 arithmetic (#if f16_math): a code or-ed into the mantissa of an f16 is a number in steps of
// 2^-kBits. Two of them are multiplied at a time, and the sums of 8 products go to f32. Codes come
// out of a word in pairs half a word (4 bits) or a byte (8 bits) apart, so that x lies in workgroup
// memory in these pairs. No product is larger than x / 2, and no sum of 4 than 2 x.
//
// Sizes are constants: a uniform would have to be fetched before the first load can be issued.
// Values are named variables, not arrays indexed by a loop: NVIDIA's compiler keeps such arrays in
// memory.

#include "common/dequantize.wgsl"
#include "qmoe/qmoe_activation.wgsl"
#include "qmoe/qmoe_decode_rows.wgsl"

struct Params {
  alpha: f32,
  beta: f32,
  limit: f32,
  pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> weight: array<unit_t>;
@group(0) @binding(3) var<storage, read> scales: array<act_t>;
#if zero_points
@group(0) @binding(4) var<storage, read> zero_points: array<u32>;
#endif
#if bias
@group(0) @binding(5) var<storage, read> bias: array<act_t>;
#endif
@group(0) @binding(6) var<storage, read> indices: array<i32>;
@group(0) @binding(7) var<storage, read_write> out: array<out_t>;
#if down
@group(0) @binding(8) var<storage, read> weights: array<f32>;
#endif

const kTeams = kWorkgroup / kLanes;
const kChunkCodes = kChunkWords * kCodesPerWord;
const kIterations = (kChunks + kLanes - 1u) / kLanes;
const kSteps = kSlots * kIterations;
const kPhaseSteps = kPhaseSlots * kIterations;
const kPhaseOctets = kPhaseSlots * kK / 8u;
const kOutputs = kRows / kRowsPerOutput;
// Largest magnitude of x for f16 arithmetic; see above.
const kMostF16 = 32752.0;

// The experts of the workgroup's slots, and the weight of each slot in the sum.
var<workgroup> chosen: array<u32, kSlots>;
#if down
var<workgroup> mix: array<f32, kSlots>;
#endif

#if !subgroups
// [team][lane], with a lane of padding against bank conflicts.
var<workgroup> partials: array<vec4<f32>, kTeams * (kLanes + 1u)>;
#endif

#if down
fn slot_weight(slot: u32) -> f32 {
  return mix[slot];
}
#else
fn slot_weight(slot: u32) -> f32 {
  return 1.0;
}
#endif

// One chunk of each of kRows rows of the weight, with its scale and zero point.
struct Weights {
#repeat i 0..4
  row_$i: unit_t,
#endrepeat
  scales: vec4<f32>,
#if zero_points
  zeros: vec4<f32>,
#endif
}

#if zero_points
fn zeros_of(w: Weights) -> vec4<f32> {
  return w.zeros;
}

fn zero_point(expert: u32, row: u32, block: u32) -> f32 {
  let bit = row * kZeroPointsRowBits + block * kBits;
  let byte = expert * kZeroPointsExpertBytes + bit / 8u;
  return f32(code_at(zero_points[byte / 4u], byte, bit));
}
#else
fn zeros_of(w: Weights) -> vec4<f32> {
  return vec4<f32>(f32(kHalfRange));
}
#endif

// Returns a team's rows of the weight, from output `first` on. Rows past the end repeat the last
// one and are not stored.
#if gate_interleaved
fn rows_of(first: u32) -> vec4<u32> {
  let outputs = min(vec4<u32>(first) + vec4<u32>(0u, 0u, 1u, 1u), vec4<u32>(kAllOutputs - 1u));
  return 2u * outputs + vec4<u32>(0u, 1u, 0u, 1u);
}
#endif
#if gate_halves
fn rows_of(first: u32) -> vec4<u32> {
  let outputs = min(vec4<u32>(first) + vec4<u32>(0u, 0u, 1u, 1u), vec4<u32>(kAllOutputs - 1u));
  return outputs + vec4<u32>(0u, kAllOutputs, 0u, kAllOutputs);
}
#endif
#if no_gate
fn rows_of(first: u32) -> vec4<u32> {
  return min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(kAllOutputs - 1u));
}
#endif

fn load_step(rows: vec4<u32>, step: u32, lane: u32) -> Weights {
  let expert = chosen[min(step / kIterations, kSlots - 1u)];
  let chunk = min(step % kIterations * kLanes + lane, kChunks - 1u);
  let block = chunk * kChunkCodes / kBlockSize;
  let at = rows + expert * kExpertRows;
  var w = Weights();
#repeat i 0..kRows
  w.row_$i = weight[at[$i] * kChunks + chunk];
  w.scales[$i] = f32(scales[at[$i] * kBlocks + block]);
#endrepeat
#if zero_points
#repeat i 0..kRows
  w.zeros[$i] = zero_point(expert, rows[$i], block);
#endrepeat
#endif
  return w;
}

// Returns word `i` of the chunks of all rows.
#if chunk1
fn word_of(w: Weights, i: u32) -> vec4<u32> {
  return vec4<u32>(w.row_0, w.row_1, w.row_2, w.row_3);
}
#else
fn word_of(w: Weights, i: u32) -> vec4<u32> {
  return vec4<u32>(w.row_0[i], w.row_1[i], w.row_2[i], w.row_3[i]);
}
#endif

// Returns sums over 8 codes (a word of 4-bit codes, two of 8-bit ones), less their zero point and
// divided by kCodeUnit, times x.
#if f16_bits4
fn dot_octet(w: Weights, octet: u32, at: u32, zeros: vec4<f32>) -> vec4<f32> {
  let pairs = rows_of_x[swizzled(at + octet)];
  let words = word_of(w, octet);
  var dots = vec4<f32>();
#repeat i 0..kRows
  dots[$i] = dot_word(words[$i], pairs, zeros[$i]);
#endrepeat
  return dots;
}

fn dot_word(word: u32, pairs: vec4<u32>, zero: f32) -> f32 {
  // In the mantissa's lowest bits a code counts sixteenths of 64, four bits higher sixteenths of 4.
  let low_zero = vec2<f16>(f16(64.0 + zero / 16.0));
  let high_zero = vec2<f16>(f16(4.0 + zero / 16.0));
  let next = word >> 8u;
  var sum = (bitcast<vec2<f16>>((word & 0x000f000fu) | 0x54005400u) - low_zero) *
            bitcast<vec2<f16>>(pairs.x);
  sum = fma(bitcast<vec2<f16>>((word & 0x00f000f0u) | 0x44004400u) - high_zero,
            bitcast<vec2<f16>>(pairs.y), sum);
  sum = fma(bitcast<vec2<f16>>((next & 0x000f000fu) | 0x54005400u) - low_zero,
            bitcast<vec2<f16>>(pairs.z), sum);
  sum = fma(bitcast<vec2<f16>>((next & 0x00f000f0u) | 0x44004400u) - high_zero,
            bitcast<vec2<f16>>(pairs.w), sum);
  return f32(sum.x) + f32(sum.y);
}
#endif
#if f16_bits8
fn dot_octet(w: Weights, octet: u32, at: u32, zeros: vec4<f32>) -> vec4<f32> {
  let pairs = rows_of_x[swizzled(at + octet)];
  let first = word_of(w, 2u * octet);
  let second = word_of(w, 2u * octet + 1u);
  var dots = vec4<f32>();
#repeat i 0..kRows
  dots[$i] = dot_words(first[$i], second[$i], pairs, zeros[$i]);
#endrepeat
  return dots;
}

fn dot_words(first: u32, second: u32, pairs: vec4<u32>, zero: f32) -> f32 {
  // A code counts 256ths of 4.
  let zeros = vec2<f16>(f16(4.0 + zero / 256.0));
  var sum = (bitcast<vec2<f16>>((first & 0x00ff00ffu) | 0x44004400u) - zeros) *
            bitcast<vec2<f16>>(pairs.x);
  sum = fma(bitcast<vec2<f16>>(((first >> 8u) & 0x00ff00ffu) | 0x44004400u) - zeros,
            bitcast<vec2<f16>>(pairs.y), sum);
  sum = fma(bitcast<vec2<f16>>((second & 0x00ff00ffu) | 0x44004400u) - zeros,
            bitcast<vec2<f16>>(pairs.z), sum);
  sum = fma(bitcast<vec2<f16>>(((second >> 8u) & 0x00ff00ffu) | 0x44004400u) - zeros,
            bitcast<vec2<f16>>(pairs.w), sum);
  return f32(sum.x) + f32(sum.y);
}
#endif

// Returns the products of a chunk of each row with x; `at` is the chunk's first entry of x.
#if f16_math
fn dot_chunk(w: Weights, at: u32) -> vec4<f32> {
  let zeros = zeros_of(w);
  var dots = dot_octet(w, 0u, at, zeros);
#repeat i 1..4
  if (kWords > $i) { dots += dot_octet(w, $i, at, zeros); }
#endrepeat
  return dots * w.scales;
}
#else
fn dot_word(w: Weights, word: u32, at: u32, zeros: vec4<f32>) -> vec4<f32> {
  let words = word_of(w, word);
  var dots = vec4<f32>();
  for (var quad = 0u; quad < kQuadsPerWord; quad++) {
    let value = rows_of_x[swizzled(at + word * kQuadsPerWord + quad)];
#repeat i 0..kRows
    dots[$i] += dot(value, quad_less_whole(words[$i], quad, zeros[$i]));
#endrepeat
  }
  return dots;
}

fn dot_chunk(w: Weights, at: u32) -> vec4<f32> {
  let zeros = zeros_of(w);
  var dots = dot_word(w, 0u, at, zeros);
#repeat i 1..kChunkWords
  dots += dot_word(w, $i, at, zeros);
#endrepeat
  return dots * w.scales;
}
#endif

// Returns the products of step `step`, times the slot's weight in the sum.
fn dot_step(w: Weights, step: u32, lane: u32) -> vec4<f32> {
  let slot = step / kIterations;
  let chunk = step % kIterations * kLanes + lane;
  if (step >= kSteps || chunk >= kChunks) {
    return vec4<f32>();
  }
  return slot_weight(slot) * dot_chunk(w, (slot % kPhaseSlots * kChunks + chunk) * kWords);
}

// Steps that are loaded together.
struct Prefetch {
#repeat i 0..kPrefetch
  step_$i: Weights,
#endrepeat
}

fn prefetch_steps(rows: vec4<u32>, step: u32, lane: u32) -> Prefetch {
  var prefetched = Prefetch();
#repeat i 0..kPrefetch
  prefetched.step_$i = load_step(rows, step + $i, lane);
#endrepeat
  return prefetched;
}

// Returns the biases to add to the sums, spread over the lanes: lane i has row i % kRows of slot i
// / kRows, then those kLanes further on.
#if bias
fn load_bias(rows: vec4<u32>, lane: u32) -> vec4<f32> {
  var sums = vec4<f32>();
  for (var i = lane; i < kRows * kSlots; i += kLanes) {
    let row = i % kRows;
    let slot = i / kRows;
    let n = select(select(rows.x, rows.y, row == 1u), select(rows.z, rows.w, row == 3u), row > 1u);
    let share = slot_weight(slot) * f32(bias[chosen[slot] * kExpertRows + n]) / kCodeUnit;
    sums += select(vec4<f32>(), vec4<f32>(share), vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(row));
  }
  return sums;
}
#else
fn load_bias(rows: vec4<u32>, lane: u32) -> vec4<f32> {
  return vec4<f32>();
}
#endif

// Returns output `i` of a team from the sums of its rows.
fn output_of(sums: vec4<f32>, i: u32) -> f32 {
  let all = sums * kCodeUnit;
  if (kRowsPerOutput == 2u) {
    return swiglu(select(all.x, all.z, i == 1u), select(all.y, all.w, i == 1u));
  }
  let sum = select(select(all.x, all.y, i == 1u), select(all.z, all.w, i == 3u), i > 1u);
  return activate(sum);
}

// Lane i stores output `first` + i of row `row` of out.
fn store_outputs(row: u32, first: u32, lane: u32, sums: vec4<f32>) {
  if (lane >= kOutputs || first + lane >= kAllOutputs) {
    return;
  }
  var value = output_of(sums, lane);
#if hidden_f16
  // What the second product's sums cannot hold becomes infinite, so that it shows in the result.
  if (abs(value) > kMostF16) {
    value *= 0x1p64;
  }
#endif
  out[row * kAllOutputs + first + lane] = out_t(value);
}

@compute @workgroup_size(kWorkgroup)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let lane = local % kLanes;
  let team = local / kLanes;
  let first = (workgroup.x * kTeams + team) * kOutputs;
  for (var slot = local; slot < kSlots; slot += kWorkgroup) {
    // While plans are measured, indices may have any value: they must not lead outside the weights.
    chosen[slot] = min(u32(indices[workgroup.y * kSlots + slot]), kExperts - 1u);
#if down
    mix[slot] = weights[workgroup.y * kSlots + slot];
#endif
  }
  workgroupBarrier();
  let rows = rows_of(first);
  var prefetched = prefetch_steps(rows, 0u, lane);
  var sums = load_bias(rows, lane);
  let first_octet = workgroup.y / kSlotsPerX * kSlots * (kK / 8u);
  stage(first_octet, local);
  for (var base = 0u; base < kSteps; base += kPrefetch) {
    if (kPhaseSlots < kSlots && base > 0u && base % kPhaseSteps == 0u) {
      workgroupBarrier();
      stage(first_octet + base / kIterations * (kK / 8u), local);
    }
    let steps = prefetched;
    if (base + kPrefetch < kSteps) {
      prefetched = prefetch_steps(rows, base + kPrefetch, lane);
    }
#repeat i 0..kPrefetch
    sums += dot_step(steps.step_$i, base + $i, lane);
#endrepeat
  }

#if subgroups
  for (var distance = kLanes / 2u; distance > 0u; distance /= 2u) {
    sums += subgroupShuffleXor(sums, distance);
  }
  store_outputs(workgroup.y, first, lane, sums);
#else
  partials[team * (kLanes + 1u) + lane] = sums;
  workgroupBarrier();
  if (lane < kOutputs) {
    var total = vec4<f32>();
    for (var other = 0u; other < kLanes; other++) {
      total += partials[team * (kLanes + 1u) + other];
    }
    store_outputs(workgroup.y, first, lane, total);
  }
#endif
}
