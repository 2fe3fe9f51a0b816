// MatMulNBits for few rows, fused with what precedes and follows it in a transformer layer:
//
//   x = input                                    or input + skip
//                                                or input + skip / rms(skip) * skip_scale
//   h = x                                        or x / rms(x) * norm_scale
//   Y[m, n] = sum over k of h[m, k] * (code[n, k] - zero) * scale (+ bias[n]) (+ residual[m, n])
//                                                or activation(gate row n) * (up row n)
//
// A workgroup loads kM rows of h into workgroup memory, in kPhases phases along K if they do not
// fit. A team of kLanes threads owns a row group: kRows rows of B (with a gate, half gate rows and
// half their up rows), for kM rows of h. A chunk is the widest load (up to 16 bytes) inside one
// block; each thread takes every kLanes-th chunk of the rows. The team's sums are added by shuffles
// (kLanes is at most the smallest subgroup) or through workgroup memory. A team computes kRowGroups
// row groups one after the other, and kSplit teams share the chunks of a row group (split-K).
// Workgroup (x, y) owns kTeams / kSplit * kRowGroups row groups; z selects kM rows of h.
//
// If kInterleave rows of B are interleaved in memory, kInterleave teams form a squad whose threads
// alternate: the threads of a team, and its rows of B, are kInterleave apart, so that a squad loads
// one contiguous range of B.
//
// A step is one chunk of one row group. A team loads kPrefetch steps ahead. It issues the first
// loads before h is there, so that the weights arrive while the rows are normalized.
//
// All sizes are constants: a uniform would have to be fetched before the first load can be issued.
//
// Integer arithmetic (#if integers): a chunk of h is 16-bit integers, two signed bytes each, in
// units of its largest element / 32639. Products with codes are summed exactly, four at a time. The
// rounding of h is below that of f16 for the elements that matter.
//
// Arrays are indexed by constants only: NVIDIA's compiler keeps other arrays in memory.

#include "common/activations.wgsl"
#include "matmul_nbits_decode/matmul_nbits_decode_rows.wgsl"

const kTeams = kWorkgroupSize / kLanes;
const kSquads = kTeams / kInterleave;
const kSteps = kRowGroups * kIterations;
// Outputs from one of a team's row groups to its next.
const kRowGroupStride = kSquads / kSplit * kOutputs * kInterleave;

#if partials
// [row of h][team], or without subgroups [row of h][team][lane] with a lane of padding against bank
// conflicts.
var<workgroup> partials: array<vec4<f32>, kM * kTeams * kPartials>;
#endif

// One chunk of each row of a row group, with its scale and zero point. kRows of the 4 are used.
struct Weights {
#repeat i 0..4
  row_$i: unit_t,
#endrepeat
  scales: vec4<f32>,
#if !zero_points_default
  zeros: vec4<f32>,
#endif
}

#if zero_points_default
fn zeros_of(weights: Weights) -> vec4<f32> {
  return vec4<f32>(f32(kHalfRange));
}
#else
fn zeros_of(weights: Weights) -> vec4<f32> {
  return weights.zeros;
}
#endif

// Returns a row group's rows of B. Rows past the end repeat the last one and are not stored.
#if gate
fn rows_of(first: u32) -> vec4<u32> {
  let last = vec4<u32>(kNCount - 1u);
  if (kRows == 2u) {
    return min(vec4<u32>(first), last) + vec4<u32>(0u, kN, 0u, 0u);
  }
  return min(vec4<u32>(first) + kInterleave * vec4<u32>(0u, 1u, 0u, 1u), last) +
         vec4<u32>(0u, 0u, kN, kN);
}
const kOutputs = kRows / 2u;
#else
fn rows_of(first: u32) -> vec4<u32> {
  return min(vec4<u32>(first) + kInterleave * vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(kNCount - 1u));
}
const kOutputs = kRows;
#endif

// Returns the zero point of block `block` of row `row` of the bound part of B.
#if zero_points_packed
fn zero_point(row: u32, block: u32) -> f32 {
  let bit = block * kBits;
  let byte = interleaved_index(row, bit / 8u, kZeroPointsRowBytes);
  return f32(code_at(zero_points[byte / 4u], byte, bit));
}
#endif
#if zero_points_float
fn zero_point(row: u32, block: u32) -> f32 {
  return f32(zero_points[interleaved_index(row, block, kBlocks)]);
}
#endif

fn load_weights(place: Place, rows: vec4<u32>, iteration: u32) -> Weights {
  let chunk = min(iteration * kIterationChunks + place.in_iteration, kChunks - 1u);
  let block = chunk * kChunkCodes / kBlockSize;
  var weights = Weights();
#repeat i 0..kRows
  weights.row_$i = b[interleaved_index(rows[$i], chunk, kChunks)];
  weights.scales[$i] = f32(scales[interleaved_index(rows[$i], block, kBlocks)]);
#endrepeat
#if !zero_points_default
#repeat i 0..kRows
  weights.zeros[$i] = zero_point(rows[$i], block);
#endrepeat
#endif
  return weights;
}

// Adds the exact products of a word of codes, less half their range, with the upper and the lower
// bytes of h.
#if integers_bits4
fn dot_codes(sums: vec2<i32>, word: u32, x: vec4<u32>) -> vec2<i32> {
  let codes = signed_codes(word);
  return sums + vec2<i32>(dot4I8Packed(codes.x, x.x) + dot4I8Packed(codes.y, x.y),
                          dot4I8Packed(codes.x, x.z) + dot4I8Packed(codes.y, x.w));
}

fn load_word_of_h(m: u32, chunk: u32, word: u32) -> vec4<u32> {
  return h[swizzled(m, chunk * kChunkEntries + word)];
}
#endif
#if integers_bits8
fn dot_codes(sums: vec2<i32>, word: u32, x: vec2<u32>) -> vec2<i32> {
  let codes = signed_codes(word);
  return sums + vec2<i32>(dot4I8Packed(codes, x.x), dot4I8Packed(codes, x.y));
}

fn load_word_of_h(m: u32, chunk: u32, word: u32) -> vec2<u32> {
  let both = h[swizzled(m, chunk * kChunkEntries + word / 2u)];
  return select(both.xz, both.yw, word % 2u == 1u);
}
#endif

// Returns the correction for zero points that differ from half the codes' range, which dot_codes
// subtracts.
#if integers_zero_points
fn less_zeros(weights: Weights, chunk: u32) -> vec4<f32> {
  return (f32(kHalfRange) - weights.zeros) * (chunk_sums[chunk] / kCodeUnit);
}
#else
fn less_zeros(weights: Weights, chunk: u32) -> vec4<f32> {
  return vec4<f32>();
}
#endif

#if integers
// Integer sums for each row of B: of upper bytes and of lower bytes.
struct Dots {
#repeat i 0..4
  row_$i: vec2<i32>,
#endrepeat
}

fn add_word(dots: Dots, m: u32, chunk: u32, word: u32, words: vec4<u32>) -> Dots {
  let x = load_word_of_h(m, chunk, word);
  var result = dots;
#repeat i 0..kRows
  result.row_$i = dot_codes(dots.row_$i, words[$i], x);
#endrepeat
  return result;
}

// Returns 256 * upper + lower. |upper| <= 64 codes * 128 * 128, so that 256 times it fits 31 bits.
fn join_bytes(sums: vec2<i32>) -> f32 {
  return f32(sums.x * 256 + sums.y);
}

// Returns the products of a chunk with row m of h. `chunk` counts from the phase's first one.
fn dot_chunk(m: u32, chunk: u32, weights: Weights) -> vec4<f32> {
  var dots = add_word(Dots(), m, chunk, 0u, word_of(weights, 0u));
#repeat i 1..kChunkWords
  dots = add_word(dots, m, chunk, $i, word_of(weights, $i));
#endrepeat
  var sums = vec4<f32>(join_bytes(dots.row_0), join_bytes(dots.row_1), join_bytes(dots.row_2),
                       join_bytes(dots.row_3));
  let at = m * kPhaseChunks + chunk;
  sums += less_zeros(weights, at);
  return sums * (weights.scales * chunk_units[at]);
}
#else
fn dot_word(m: u32, chunk: u32, word: u32, words: vec4<u32>, zeros: vec4<f32>) -> vec4<f32> {
  var dots = vec4<f32>();
  for (var quad = 0u; quad < kQuadsPerWord; quad++) {
    let x = h[swizzled(m, chunk * kChunkEntries + word * kQuadsPerWord + quad)];
#repeat i 0..kRows
    dots[$i] += dot(x, quad_less(words[$i], quad, zeros[$i]));
#endrepeat
  }
  return dots;
}

// Returns the products of a chunk with row m of h. `chunk` counts from the phase's first one.
fn dot_chunk(m: u32, chunk: u32, weights: Weights) -> vec4<f32> {
  let zeros = zeros_of(weights);
  var dots = dot_word(m, chunk, 0u, word_of(weights, 0u), zeros);
#repeat i 1..kChunkWords
  dots += dot_word(m, chunk, $i, word_of(weights, $i), zeros);
#endrepeat
  return dots * weights.scales;
}
#endif

// Returns word `i` of the chunks of all rows.
#if chunk4
fn word_of(weights: Weights, i: u32) -> vec4<u32> {
  return vec4<u32>(weights.row_0[i], weights.row_1[i], weights.row_2[i], weights.row_3[i]);
}
#endif
#if chunk2
fn word_of(weights: Weights, i: u32) -> vec4<u32> {
  return vec4<u32>(weights.row_0[i], weights.row_1[i], weights.row_2[i], weights.row_3[i]);
}
#endif
#if chunk1
fn word_of(weights: Weights, i: u32) -> vec4<u32> {
  return vec4<u32>(weights.row_0, weights.row_1, weights.row_2, weights.row_3);
}
#endif

// A sum for each row of the row group, for each row of h.
alias Sums = array<vec4<f32>, 8>;

fn add_chunk(sums: ptr<function, Sums>, chunk: u32, weights: Weights) {
#repeat m 0..kM
  (*sums)[$m] += dot_chunk($m, chunk, weights);
#endrepeat
}

// Terms that are added to one output. They are loaded as soon as their address is known.
struct Added {
  bias: f32,
  up_bias: f32,
  residual: f32,
}

// Returns what is added to output `n` of row m, n < n_count in the bound part of B.
fn load_added(m: u32, n: u32) -> Added {
  var added = Added();
#if bias
  added.bias = f32(bias[n]);
#endif
#if gate_bias
  added.up_bias = f32(bias[kN + n]);
#endif
#if residual
  added.residual = f32(residual[min(m, kRowsA - 1u) * kN + kNBegin + n]);
#endif
  return added;
}

// Returns Y from the sums of its rows of B. Integer sums of codes lack the factor kCodeUnit.
#if gate
fn output_of(sums: vec4<f32>, i: u32, added: Added) -> f32 {
  let gate = select(sums.x, sums.y, kRows > 2u && i == 1u);
  let up = select(select(sums.z, sums.w, i == 1u), sums.y, kRows == 2u);
  return activation(gate * kCodeUnit + added.bias) * (up * kCodeUnit + added.up_bias) +
         added.residual;
}
#else
fn output_of(sums: vec4<f32>, i: u32, added: Added) -> f32 {
  let sum = select(select(sums.x, sums.y, i == 1u), select(sums.z, sums.w, i == 3u), i > 1u);
  return sum * kCodeUnit + added.bias + added.residual;
}
#endif

// Stores the outputs of row m of a row group that begins at output `first`: lane i stores the
// team's i-th output, and more of them if the lanes are fewer.
fn store_row_group(m: u32, first: u32, lane: u32, sums: vec4<f32>, added: Added) {
  store_output(m, first, lane, sums, added);
  if (kLanes < kOutputs) {
    for (var i = lane + kLanes; i < kOutputs; i += kLanes) {
      store_output(m, first, i, sums, added_of(m, first, i));
    }
  }
}

fn store_output(m: u32, first: u32, i: u32, sums: vec4<f32>, added: Added) {
  let n = first + kInterleave * i;
  if (i < kOutputs && n < kNCount && m < kRowsA) {
    y[m * kN + kNBegin + n] = output_t(output_of(sums, i, added));
  }
}

// The part of the work that a thread has. The squads of the kSplit teams of a row group are
// neighbours.
struct Place {
  first_m: u32,
  first_row: u32,
  squad: u32,
  team: u32,  // Among all teams; those of a squad are neighbours.
  lane: u32,
  // Its chunk among those of an iteration.
  in_iteration: u32,
  // Lanes of the subgroup.
  lanes: u32,
}

// Adds the lanes' sums for row i of h and stores the result, or leaves it in workgroup memory for
// finish_left.
#if subgroups
fn team_sum(lane_sums: vec4<f32>) -> vec4<f32> {
  var sums = lane_sums;
  for (var distance = kLanes / 2u; distance > 0u; distance /= 2u) {
    sums += subgroupShuffleXor(sums, distance * kInterleave);
  }
  return sums;
}
#endif
#if !partials
fn finish_sums(i: u32, place: Place, first: u32, lane_sums: vec4<f32>, added: Added) {
  store_row_group(place.first_m + i, first, place.lane,
                  team_sum(lane_sums) * row_factor(i, place.lanes),
             added);
}

fn finish_left(place: Place, first: u32, added: Added) {}
#endif
#if split
fn finish_sums(i: u32, place: Place, first: u32, lane_sums: vec4<f32>, added: Added) {
  let sums = team_sum(lane_sums);
  if (place.lane == 0u) {
    partials[i * kTeams + place.team] = sums;
  }
}
#endif
#if !subgroups
fn finish_sums(i: u32, place: Place, first: u32, lane_sums: vec4<f32>, added: Added) {
  partials[(i * kTeams + place.team) * kPartials + place.lane] = lane_sums;
}
#endif
#if partials
fn finish_left(place: Place, first: u32, added: Added) {
  workgroupBarrier();
  if (place.squad % kSplit == 0u && place.lane < kOutputs) {
    for (var i = 0u; i < kM; i++) {
      var sums = vec4<f32>();
      for (var split = 0u; split < kSplit; split++) {
        for (var other = 0u; other < max(kPartials - 1u, 1u); other++) {
          sums += partials[(i * kTeams + place.team + split * kInterleave) * kPartials + other];
        }
      }
      var own_added = added;
      if (i > 0u) {
        own_added = added_of(place.first_m + i, first, place.lane);
      }
      store_row_group(place.first_m + i, first, place.lane, sums * row_factor(i, place.lanes),
                      own_added);
    }
  }
  workgroupBarrier();
}
#endif

// Returns what is added to the i-th output of a row group.
fn added_of(m: u32, first: u32, i: u32) -> Added {
  return load_added(m, min(first + kInterleave * min(i, kOutputs - 1u), kNCount - 1u));
}

fn finish_row(i: u32, place: Place, first: u32, sums: vec4<f32>) {
  finish_sums(i, place, first, sums, added_of(place.first_m + i, first, place.lane));
}

fn finish_row_group(place: Place, first: u32, sums: ptr<function, Sums>, added: Added) {
  finish_sums(0u, place, first, (*sums)[0], added);
#repeat m 1..kM
  finish_row($m, place, first, (*sums)[$m]);
#endrepeat
  finish_left(place, first, added);
}

// Steps base to base + kPrefetch - 1 of a team.
struct Prefetch {
#repeat i 0..kPrefetch
  step_$i: Weights,
#endrepeat
}

fn load_step(place: Place, step: u32) -> Weights {
  return load_weights(place, rows_of(place.first_row + step / kIterations * kRowGroupStride),
                     step % kIterations);
}

fn prefetch_steps(place: Place, base: u32) -> Prefetch {
  var prefetched = Prefetch();
#repeat i 0..kPrefetch
  prefetched.step_$i = load_step(place, base + $i);
#endrepeat
  return prefetched;
}

// A team's sums so far, and what is added to its row group's outputs.
struct State {
  sums: Sums,
  added: Added,
}

fn run_step(state: ptr<function, State>, place: Place, step: u32, weights: Weights) {
  let iteration = step % kIterations;
  if (step < kSteps && iteration * kIterationChunks + place.in_iteration < kChunks) {
    add_chunk(&(*state).sums, iteration % kPhaseIterations * kIterationChunks + place.in_iteration,
             weights);
  }
  if (iteration == kIterations - 1u && step < kSteps) {
    let first = place.first_row + step / kIterations * kRowGroupStride;
    finish_row_group(place, first, &(*state).sums, (*state).added);
    (*state).sums = Sums();
    if (kRowGroups > 1u) {
      (*state).added = added_of(place.first_m, first + kRowGroupStride, place.lane);
    }
  }
}

@compute @workgroup_size(kWorkgroupSize)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>,
#if subgroups_vary
        @builtin(subgroup_size) lanes: u32,
#endif
        @builtin(local_invocation_index) local: u32) {
#if !subgroups_vary
  let lanes = kSubgroup;
#endif
  let index = workgroup.y * kGridX + workgroup.x;
  let squad = local / (kLanes * kInterleave);
  let row_offset = local % kInterleave;
  let lane = local / kInterleave % kLanes;
  let first_row = index * kRowGroups * kRowGroupStride + squad / kSplit * kOutputs * kInterleave +
      row_offset;
  let place = Place(workgroup.z * kM, first_row, squad, squad * kInterleave + row_offset, lane,
                    squad % kSplit * kLanes + lane, lanes);

  var prefetched = prefetch_steps(place, 0u);
  var state = State(Sums(), added_of(place.first_m, place.first_row, place.lane));
  stage(place.first_m, 0u, index == 0u, local, lanes);
  for (var base = 0u; base < kSteps; base += kPrefetch) {
    if (kPhases > 1u && base > 0u && base % kPhaseIterations == 0u) {
      workgroupBarrier();
      stage(place.first_m, base / kPhaseIterations, false, local, lanes);
    }
    let steps = prefetched;
    if (base + kPrefetch < kSteps) {
      prefetched = prefetch_steps(place, base + kPrefetch);
    }
#repeat i 0..kPrefetch
    run_step(&state, place, base + $i, steps.step_$i);
#endrepeat
  }
}
