// MatMul for many rows of A on the matrix units: Y[m, n] = sum over k of A[m, k] * B[k, n], f16
// with f32 sums.
//
// common/matrix_tile.wgsl multiplies. This file loads A and B into workgroup memory, in chunks of 8
// f16, and stores the sums. The loads of the next step are in flight while this one is multiplied.

#include "common/matrix_tile.wgsl"
#include "matmul/matmul_inputs.wgsl"

const kChunksB = kTileN / 8u;
const kAFetches = (kTileM * kChunks + kThreads - 1u) / kThreads;
const kBFetches = (kStep * kChunksB + kThreads - 1u) / kThreads;

// Returns this thread's chunk `fetch` of A's step at first_k, zeros past the end of a row. Rows
// past the last repeat it and are not stored.
fn fetch_a(tile: Tile, fetch: u32, local: u32, first_k: u32) -> vec4<u32> {
  let index = fetch * kThreads + local;
  let m = min(tile.first_m + index / kChunks, params.m - 1u);
  let k = first_k + index % kChunks * 8u;
  if (k >= params.k) {
    return vec4<u32>();
  }
  let at = tile.a_at + m * params.a_row + k;
#if a_vec8
  return a[at / 8u];
#else
  let rest = params.k - k;
  return vec4<u32>(pair_a(at, rest, 0u), pair_a(at, rest, 2u), pair_a(at, rest, 4u),
                   pair_a(at, rest, 6u));
#endif
}

// Returns this thread's chunk `fetch` of B's step at first_k, zeros past its last row and column.
fn fetch_b(tile: Tile, fetch: u32, local: u32, first_k: u32) -> vec4<u32> {
  let index = fetch * kThreads + local;
  let k = first_k + index / kChunksB;
  let n = tile.first_n + index % kChunksB * 8u;
  if (k >= params.k || n >= params.n) {
    return vec4<u32>();
  }
  let at = tile.b_at + k * params.n + n;
#if b_vec8
  return b[at / 8u];
#else
  let rest = params.n - n;
  return vec4<u32>(pair_b(at, rest, 0u), pair_b(at, rest, 2u), pair_b(at, rest, 4u),
                   pair_b(at, rest, 6u));
#endif
}

// Returns elements i and i + 1 after `at`, of which `rest` are inside.
#if !a_vec8
fn pair_a(at: u32, rest: u32, i: u32) -> u32 {
  var pair = vec2<f16>();
  if (i < rest) {
    pair.x = a[at + i];
  }
  if (i + 1u < rest) {
    pair.y = a[at + i + 1u];
  }
  return bitcast<u32>(pair);
}
#endif

#if !b_vec8
fn pair_b(at: u32, rest: u32, i: u32) -> u32 {
  var pair = vec2<f16>();
  if (i < rest) {
    pair.x = b[at + i];
  }
  if (i + 1u < rest) {
    pair.y = b[at + i + 1u];
  }
  return bitcast<u32>(pair);
}
#endif

fn store_a(fetch: u32, local: u32, buffer: u32, chunk: vec4<u32>) {
  let index = fetch * kThreads + local;
  if (kTileM * kChunks % kThreads == 0u || index < kTileM * kChunks) {
    tiles[buffer * kBufferSize + index / kChunks * kStride + index % kChunks] = chunk;
  }
}

fn store_b(fetch: u32, local: u32, buffer: u32, chunk: vec4<u32>) {
  let index = fetch * kThreads + local;
  if (kStep * kChunksB % kThreads == 0u || index < kStep * kChunksB) {
    let at = buffer * kBufferSize + kTileM * kStride;
    tiles[at + index / kChunksB * kBStride + index % kChunksB] = chunk;
  }
}

// A thread's loads of a step, indexed by constants.
struct Step {
  a: array<vec4<u32>, 8>,
  b: array<vec4<u32>, 8>,
}

fn fetch_step(step: ptr<function, Step>, tile: Tile, local: u32, first_k: u32) {
#repeat i 0..8
  if (kAFetches > $i) { (*step).a[$i] = fetch_a(tile, $i, local, first_k); }
  if (kBFetches > $i) { (*step).b[$i] = fetch_b(tile, $i, local, first_k); }
#endrepeat
}

fn store_step(step: ptr<function, Step>, local: u32, buffer: u32) {
#repeat i 0..8
  if (kAFetches > $i) { store_a($i, local, buffer, (*step).a[$i]); }
  if (kBFetches > $i) { store_b($i, local, buffer, (*step).b[$i]); }
#endrepeat
}

// Stores row `row` of the subgroup's products to Y.
fn finish_rows(sums: ptr<function, Sums>, tile: Tile, row: u32, subgroup: u32, lane: u32) {
  workgroupBarrier();
  stage(sums, subgroup, row);
  workgroupBarrier();
  const quads = kSubCols / 4u;
  let place = subgroup % kPlaces;
  let top = tile.first_m + place / kPlacesN * kSubRows + row * kMatM;
  let left = tile.first_n + place % kPlacesN * kSubCols;
  for (var i = subgroup / kPlaces * kSubgroup + lane; i < kMatM * quads; i += kSplit * kSubgroup) {
    let m = top + i / quads;
    let n = left + i % quads * 4u;
    if (m >= params.m || n >= params.n) {
      continue;
    }
    let values = staged(place, i / quads, i % quads);
    let at = tile.y_at + m * params.n + n;
    for (var j = 0u; j < min(4u, params.n - n); j++) {
      store_sum(at + j, values[j]);
    }
  }
}

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  // Workgroups past the last tile return.
  let tile = find_tile(workgroup.y * params.grid_x + workgroup.x, kTileM, kTileN);
  if (!tile.inside) {
    return;
  }
  var sums = Sums();
  var step = Step();
  fetch_step(&step, tile, local, 0u);
  store_step(&step, local, 0u);
  workgroupBarrier();
  var buffer = 0u;
  for (var next_k = kStep; ; next_k += kStep) {
    let more = next_k < params.k;
    if (more) {
      fetch_step(&step, tile, local, next_k);
    }
    multiply(&sums, buffer, subgroup);
    if (!more) {
      break;
    }
    buffer = release(buffer);
    store_step(&step, local, buffer);
    workgroupBarrier();
  }
#repeat r 0..kRows
  finish_rows(&sums, tile, $r, subgroup, lane);
#endrepeat
}
