// Up to four products of one row in one dispatch, each of which multiplies the result of the one
// before, for one layer after the other. layer_chain.h has the definition, the bindings and what a
// GPU must be able to do.
//
// Every workgroup computes its part of each link, one link after the other. In a link a team of
// `split` subgroups owns groups of kInterleave outputs and the rows of B that these are made of
// (gate rows and up rows in a gated link). A thread has one row of each group, and of that row
// every split * kRowLanes-th chunk of 32 codes of 4 bits. So a subgroup loads one contiguous range
// of B, and kRowLanes chunks of each row. Products of codes with the row's bytes are summed
// exactly, four at a time.
//
// Waiting for the other workgroups takes longer than the arithmetic between two waits. A thread
// therefore issues the first weight loads of the next link before it multiplies those of this one.
//
// Rows go from link to link through `rows`, as words of two f16 with all bits inverted, so that 0
// means that a word has not been written. A reader spins until the word is there. So nothing waits
// for a store, no workgroups are counted, and relaxed atomics suffice; plain loads may return stale
// data. Each layer has its own rows. There are two sets of them: a run writes one and clears the one
// of the run before.
//
// The prelude has kLink0 to kLink3, which are constants in every function once it is inlined. The
// code is written out for each link: a loop over links, with the weights of any link in one
// variable, took NVIDIA's compiler ten seconds, and its code took twice the time of one dispatch a
// link.

#include "common/activations.wgsl"
#include "matmul_nbits/interleave.wgsl"
#include "layer_chain/layer_chain_operands.wgsl"
#include "layer_chain/layer_chain_row.wgsl"
#include "matmul_nbits/matmul_nbits_integers.wgsl"
#if attention
#include "layer_chain/layer_chain_attention.wgsl"
#endif

const kNone = 0xffffffffu;

struct Link {
  index: u32,
  n: u32,  // Outputs.
  k: u32,
  split: u32,     // Subgroups of a team.
  outputs: u32,   // Interleave groups of a team, and so outputs of a thread.
  rows: u32,      // Rows of B of a thread: 1 to 8.
  prefetch: u32,  // Chunks of each row that a thread loads ahead: 1 to 8.
  rounds: u32,    // Rounds in which the workgroup loads the row: 1 to 8.
  parts: u32,     // Workgroups that have a part of the link.
  gated: bool,
  norm: bool,
  epsilon: f32,
  bias: bool,
  residual: bool,        // A residual is bound.
  input_residual: bool,  // The residual is the layer's input.
  // First words of the norm's scales and of the bias in a layer's `vectors`.
  norm_at: u32,
  bias_at: u32,
  // Offsets in the layer's rows: of the row that the link multiplies (kNone: the layer's input), of
  // a residual (kNone: it is not one of these rows), and of Y (kNone: Y goes only to its binding).
  row: u32,
  residual_row: u32,
  result_row: u32,
}

const kSubgroups = kWorkgroupSize / kSubgroup;
const kRowLanes = kSubgroup / kInterleave;
// signed_codes returns 16 times a code.
const kCodeUnit = 1.0 / 16.0;

// Sums of each subgroup's rows of B.
var<workgroup> results: array<f32, kSubgroups * kMaxRows * kInterleave>;

// ---- weights

// One chunk of each of a thread's rows of B, with its scale.
struct Weights {
#repeat i 0..8
  row_$i: vec4<u32>,
#endrepeat
  scales: vec4<f32>,
  more_scales: vec4<f32>,
}

struct Prefetch {
#repeat i 0..8
  step_$i: Weights,
#endrepeat
}

// Returns the number of rows of B in each layer.
fn rows_of_b(link: Link) -> u32 {
  return select(link.n, 2u * link.n, link.gated);
}

// The rows and chunks of a thread.
struct RowPlace {
  team: u32,
  subgroup: u32,    // Index among the team's subgroups.
  row_offset: u32,  // Its row in each interleave group.
  lane: u32,
}

fn place_of_thread(link: Link, local: u32) -> RowPlace {
  let subgroup = local / kSubgroup;
  return RowPlace(subgroup / link.split, subgroup % link.split, local % kInterleave,
                  local % kSubgroup / kInterleave);
}

fn outputs_of_team(link: Link) -> u32 {
  return link.outputs * kInterleave;
}

// Returns the number of outputs of a workgroup.
fn outputs_of_workgroup(link: Link) -> u32 {
  return kSubgroups / link.split * outputs_of_team(link);
}

// Returns the chunk that a thread multiplies in an iteration.
fn chunk_of_step(link: Link, place: RowPlace, iteration: u32) -> u32 {
  return (iteration * link.split + place.subgroup) * kRowLanes + place.lane;
}

// Returns row `row` of the rows of B of the thread whose first output is `first`. Outputs past the
// end repeat the last one and are not stored.
fn row_of_thread(link: Link, layer: u32, first: u32, row: u32) -> u32 {
  let first_of_layer = layer * rows_of_b(link);
  if (link.gated) {
    return first_of_layer + min(first + row / 2u * kInterleave, link.n - 1u) + row % 2u * link.n;
  }
  return first_of_layer + min(first + row * kInterleave, link.n - 1u);
}

fn load_chunk(link: Link, row: u32, chunk: u32) -> vec4<u32> {
  return load_b(link.index, interleaved_index(row, chunk, link.k / 32u));
}

fn load_scale_of_chunk(link: Link, row: u32, chunk: u32) -> f32 {
  return load_scale(link.index,
                    interleaved_index(row, chunk / kBlockChunks, link.k / 32u / kBlockChunks));
}

fn load_step(link: Link, layer: u32, first: u32, place: RowPlace, iteration: u32) -> Weights {
  let chunk = min(chunk_of_step(link, place, iteration), link.k / 32u - 1u);
  var weights = Weights();
  weights.row_0 = load_chunk(link, row_of_thread(link, layer, first, 0u), chunk);
  weights.scales[0] = load_scale_of_chunk(link, row_of_thread(link, layer, first, 0u), chunk);
#repeat i 1..4
  if (link.rows > $i) {
    weights.row_$i = load_chunk(link, row_of_thread(link, layer, first, $i), chunk);
    weights.scales[$i] = load_scale_of_chunk(link, row_of_thread(link, layer, first, $i), chunk);
  }
#endrepeat
#repeat i 4..8
  if (link.rows > $i) {
    weights.row_$i = load_chunk(link, row_of_thread(link, layer, first, $i), chunk);
    weights.more_scales[$i - 4] =
        load_scale_of_chunk(link, row_of_thread(link, layer, first, $i), chunk);
  }
#endrepeat
  return weights;
}

fn prefetch_steps(link: Link, layer: u32, part: u32, local: u32, base: u32) -> Prefetch {
  let place = place_of_thread(link, local);
  let first = part * outputs_of_workgroup(link) + place.team * outputs_of_team(link) +
      place.row_offset;
  var prefetched = Prefetch();
  prefetched.step_0 = load_step(link, layer, first, place, base);
#repeat i 1..8
  if (link.prefetch > $i) { prefetched.step_$i = load_step(link, layer, first, place, base + $i); }
#endrepeat
  return prefetched;
}

// ---- products

// Returns the exact products of a word of codes, less half their range, with the upper and the
// lower bytes of the row.
fn dot_codes(word: u32, x: vec4<u32>) -> vec2<i32> {
  let codes = signed_codes(word);
  return vec2<i32>(dot4I8Packed(codes.x, x.x) + dot4I8Packed(codes.y, x.y),
                   dot4I8Packed(codes.x, x.z) + dot4I8Packed(codes.y, x.w));
}

// A chunk of the row.
struct Chunk {
  x_0: vec4<u32>,
  x_1: vec4<u32>,
  x_2: vec4<u32>,
  x_3: vec4<u32>,
}

fn row_product(codes: vec4<u32>, chunk: Chunk) -> f32 {
  let sums = dot_codes(codes.x, chunk.x_0) + dot_codes(codes.y, chunk.x_1) +
             dot_codes(codes.z, chunk.x_2) + dot_codes(codes.w, chunk.x_3);
  return f32(sums.x * 256 + sums.y);
}

// A sum for each of a thread's rows of B.
struct Sums {
  low: vec4<f32>,
  high: vec4<f32>,
}

// Returns a thread's products in iteration `iteration`.
fn products_of_step(link: Link, place: RowPlace, iteration: u32, w: Weights) -> Sums {
  var sums = Sums();
  let at = chunk_of_step(link, place, iteration);
  if (at >= link.k / 32u) {
    return sums;
  }
  let chunk = Chunk(h[swizzled(4u * at)], h[swizzled(4u * at + 1u)], h[swizzled(4u * at + 2u)],
                    h[swizzled(4u * at + 3u)]);
  sums.low[0] = row_product(w.row_0, chunk);
#repeat i 1..4
  if (link.rows > $i) { sums.low[$i] = row_product(w.row_$i, chunk); }
#endrepeat
#repeat i 4..8
  if (link.rows > $i) { sums.high[$i - 4] = row_product(w.row_$i, chunk); }
#endrepeat
  let unit = chunk_units[at];
  return Sums(sums.low * (w.scales * unit), sums.high * (w.more_scales * unit));
}

fn add_step(sums: ptr<function, Sums>, link: Link, place: RowPlace, iteration: u32, w: Weights) {
  let products = products_of_step(link, place, iteration, w);
  (*sums).low += products.low;
  (*sums).high += products.high;
}

// Returns the sums over the lanes that have the same rows.
fn lanes_sum(lane_sums: vec4<f32>) -> vec4<f32> {
  var sums = lane_sums;
  for (var distance = kRowLanes / 2u; distance > 0u; distance /= 2u) {
    sums += subgroupShuffleXor(sums, distance * kInterleave);
  }
  return sums;
}

// ---- results

// Values that a thread keeps from its products until it stores its two results.
struct State {
  sums: Sums,
  bias: vec2<f32>,
  up_bias: vec2<f32>,
  residual: u32,
}

// Returns the first of the two outputs that a thread stores.
fn output_of(link: Link, part: u32, local: u32) -> u32 {
  return part * outputs_of_workgroup(link) + 2u * local;
}

fn load_two_biases(link: Link, layer: u32, n: u32) -> vec2<f32> {
  if (!link.bias) {
    return vec2<f32>();
  }
  return unpack_f16(load_vector(layer, link.bias_at + n / 2u));
}

fn multiply_link(link: Link, layer: u32, part: u32, first_steps: Prefetch, local: u32) -> State {
  if (part >= link.parts) {
    return State();
  }
  let place = place_of_thread(link, local);
  let chunks_at_once = link.split * kRowLanes;
  let iterations = (link.k / 32u + chunks_at_once - 1u) / chunks_at_once;
  let norms = load_norms(link, layer, local);
  var state = State();
  let n = min(output_of(link, part, local), link.n - 2u);
  state.bias = load_two_biases(link, layer, n);
  if (link.gated) {
    state.up_bias = load_two_biases(link, layer, link.n + n);
  }
  if (link.residual) {
    state.residual = load_residual(link.index, n / 2u);
  }
  let row = load_row(link, layer, local);
  if (local < outputs_of_workgroup(link) / 2u) {
    if (link.residual_row != kNone) {
      state.residual = await_word(layer_rows + link.residual_row + n / 2u);
    }
    if (link.input_residual) {
      state.residual = await_input(layer, n / 2u);
    }
  }
  stage(link, local, row, norms);

  var prefetched = first_steps;
  for (var base = 0u; base < iterations; base += link.prefetch) {
    let steps = prefetched;
    if (base + link.prefetch < iterations) {
      prefetched = prefetch_steps(link, layer, part, local, base + link.prefetch);
    }
    add_step(&state.sums, link, place, base, steps.step_0);
#repeat i 1..8
    if (link.prefetch > $i) { add_step(&state.sums, link, place, base + $i, steps.step_$i); }
#endrepeat
  }
  return state;
}

#if gated
fn apply_gate(gate_sums: vec2<f32>, up_sums: vec2<f32>, state: State) -> vec2<f32> {
  let gate = gate_sums + state.bias;
  return vec2<f32>(activation(gate.x), activation(gate.y)) * (up_sums + state.up_bias);
}
#else
fn apply_gate(gate_sums: vec2<f32>, up_sums: vec2<f32>, state: State) -> vec2<f32> {
  return gate_sums;
}
#endif

// Returns the sum for output `output` of the workgroup, over row `row` of the threads that have it.
fn output_sum(link: Link, output: u32, row: u32) -> f32 {
  let team = output / outputs_of_team(link);
  let at = row * kInterleave + output % kInterleave;
  var sum = 0.0;
  for (var i = 0u; i < link.split; i++) {
    sum += results[(team * link.split + i) * (link.rows * kInterleave) + at];
  }
  return sum;
}

// Returns row `row` of the rows_an_output rows of outputs 2 local and 2 local + 1.
fn two_output_sums(link: Link, local: u32, row: u32, rows_an_output: u32) -> vec2<f32> {
  let first = 2u * local;
  let second = first + 1u;
  let in_team = outputs_of_team(link);
  return vec2<f32>(output_sum(link, first, first % in_team / kInterleave * rows_an_output + row),
                   output_sum(link, second, second % in_team / kInterleave * rows_an_output + row));
}

// Returns component i. NVIDIA's compiler puts vectors that are indexed by a variable into memory.
fn component(x: vec4<f32>, i: u32) -> f32 {
  return select(select(x.x, x.y, i == 1u), select(x.z, x.w, i == 3u), i > 1u);
}

fn finish_link(link: Link, layer: u32, part: u32, state: State, local: u32) {
  if (part >= link.parts) {
    return;
  }
  let low = lanes_sum(state.sums.low);
  var high = vec4<f32>();
  if (link.rows > 4u) {
    high = lanes_sum(state.sums.high);
  }
  let place = place_of_thread(link, local);
  let results_at = local / kSubgroup * (link.rows * kInterleave) + place.row_offset;
  for (var row = place.lane; row < link.rows; row += kRowLanes) {
    results[results_at + row * kInterleave] =
        select(component(low, row), component(high, row - 4u), row > 3u);
  }
  workgroupBarrier();
  let n = output_of(link, part, local);
  if (local < outputs_of_workgroup(link) / 2u && n < link.n) {
    let factor = row_factor(link);
    var y = vec2<f32>();
    if (link.gated) {
      y = apply_gate(factor * two_output_sums(link, local, 0u, 2u),
                     factor * two_output_sums(link, local, 1u, 2u), state);
    } else {
      y = factor * two_output_sums(link, local, 0u, 1u) + state.bias;
    }
    y += unpack_f16(state.residual);
    let word = bitcast<u32>(vec2<f16>(y));
    if (link.result_row != kNone) {
      publish(link.result_row + n / 2u, word);
    }
    if (layer + 1u == params.layers) {
      store_result(link.index, n / 2u, word);
    }
  }
}

fn clear_rows(begin: u32, layer: u32, part: u32, local: u32) {
  let stride = kWorkgroups * kWorkgroupSize;
  for (var i = layer * stride + part * kWorkgroupSize + local; i < params.layers * kLayerWords;
       i += params.layers * stride) {
    atomicStore(&rows[begin + i], 0u);
  }
}

@compute @workgroup_size(kWorkgroupSize)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let part = workgroup.x;
  // There are two sets of rows. Each run writes the one that the run before has cleared.
  let runs = atomicLoad(&rows[params.rows + part]);
  let sets = params.rows + kWorkgroups;
  let set_words = params.layers * kLayerWords;
  layer_rows = sets + runs % 2u * set_words;
  let old_rows = sets + (runs + 1u) % 2u * set_words;
  var steps_0 = prefetch_steps(kLink0, 0u, part, local, 0u);
  for (var layer = 0u; layer < params.layers; layer++) {
#if attention_at_0
    attend(layer, part, local);
#endif
#if link_1
    let steps_1 = prefetch_steps(kLink1, layer, part, local, 0u);
#endif
    let state_0 = multiply_link(kLink0, layer, part, steps_0, local);
    finish_link(kLink0, layer, part, state_0, local);
    // Other workgroups finish their part of the link meanwhile.
    clear_rows(old_rows, layer, part, local);
#if attention_at_1
    attend(layer, part, local);
#endif
#if link_2
    let steps_2 = prefetch_steps(kLink2, layer, part, local, 0u);
#endif
#if link_1
    let state_1 = multiply_link(kLink1, layer, part, steps_1, local);
    finish_link(kLink1, layer, part, state_1, local);
#endif
#if link_3
    let steps_3 = prefetch_steps(kLink3, layer, part, local, 0u);
#endif
#if link_2
    let state_2 = multiply_link(kLink2, layer, part, steps_2, local);
    finish_link(kLink2, layer, part, state_2, local);
#endif
    if (layer + 1u < params.layers) {
      steps_0 = prefetch_steps(kLink0, layer + 1u, part, local, 0u);
    }
#if link_3
    let state_3 = multiply_link(kLink3, layer, part, steps_3, local);
    finish_link(kLink3, layer, part, state_3, local);
#endif
    layer_rows += kLayerWords;
  }
  workgroupBarrier();
  if (local == 0u) {
    atomicStore(&rows[params.rows + part], runs + 1u);
  }
}
