// MatMulNBits for many rows of A on the matrix units: Y[m, n] = sum over k of A[m, k] * w[n, k],
// the weights w = (code - zero) * scale rounded to f16, sums in f32.
//
// common/matrix_tile.wgsl multiplies. This file loads A and B into workgroup memory,
// matmul_nbits_matrix_weights.wgsl dequantizes B, and matmul_nbits_matrix_output.wgsl writes the
// sums. All threads load a step's part of A, in chunks of 8 f16, and of B, in units of up to 16
// bytes inside one block, which they dequantize. Loads of the next steps are in flight while this
// one is multiplied. Workgroup x owns the tile's rows of A, y its columns, so that neighbours share
// B.
//
// With several weights (#if experts) all rows of A in a tile belong to one of them; see
// matmul_nbits.h.
//
// With `parts` (split-K) two workgroups, z = 0 and 1, each multiply a part of K of a tile, for
// products with too few tiles for the GPU. The first one to finish leaves its sums in `scratch`,
// and the other adds them to its own.
//
// With `glu` B has a gate and an up projection, 2 * n rows, and Y = activation(gate) * up. Half of
// a subgroup's columns are the gate's, the other half are the same columns of up.

#include "common/activations.wgsl"
#include "common/dequantize.wgsl"
#include "common/matrix_tile.wgsl"
#include "matmul_nbits/interleave.wgsl"
#include "matmul_nbits_matrix/matmul_nbits_matrix_output.wgsl"
#include "matmul_nbits_matrix/matmul_nbits_matrix_weights.wgsl"

struct Params {
  m: u32,
  n: u32,
  n_begin: u32,
  n_count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if a_vec8
@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
#else
@group(0) @binding(1) var<storage, read> a: array<f16>;
#endif
@group(0) @binding(2) var<storage, read> b: array<unit_t>;
@group(0) @binding(3) var<storage, read> scales: array<f16>;
#if zero_points_packed
@group(0) @binding(4) var<storage, read> zero_points: array<u32>;
#endif
#if zero_points_float
@group(0) @binding(4) var<storage, read> zero_points: array<f16>;
#endif
#if bias
@group(0) @binding(5) var<storage, read> bias: array<f16>;
#endif
#if y_vec4
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f16>>;
#else
@group(0) @binding(6) var<storage, read_write> y: array<f16>;
#endif
#if experts
@group(0) @binding(8) var<storage, read> tile_experts: array<u32>;
#endif
#if residual_vec4
@group(0) @binding(7) var<storage, read> residual: array<vec4<f16>>;
#endif
#if residual
@group(0) @binding(7) var<storage, read> residual: array<f16>;
#endif

#if parts
@group(0) @binding(12) var<storage, read_write> scratch: array<atomic<u32>>;
#endif

const kAFetches = (kTileM * kChunks + kThreads - 1u) / kThreads;
const kBFetches = (kTileN * kUnits + kThreads - 1u) / kThreads;
// Rows that all threads load at a time. A thread's place in a row is the same in all of its
// fetches, and the distance between them is a constant: address arithmetic costs as much as the
// products.
const kARowsAtOnce = kThreads / kChunks;
const kBRowsAtOnce = kThreads / kUnits;
const kLastK = (kK - 1u) / kStep * kStep;             // First k of the last step.
// The first row of the weight that the tile's rows of A belong to. find_weight returns whether
// there is one.
var<private> first_b: u32;

#if experts
fn find_weight(tile: u32) -> bool {
  let weight = tile_experts[tile];
  first_b = weight * params.n;
  return weight < kExperts;
}
#else
fn find_weight(tile: u32) -> bool {
  return true;
}
#endif

// Returns the tile's row of A that this thread's chunk `fetch` lies in. With four chunks a row, 8
// threads write two rows at the same time. Neighbouring rows are 5 vec4 apart and would share some
// of the 8 vec4 of banks; rows four apart do not.
fn row_a(fetch: u32, local: u32) -> u32 {
  var row = local / kChunks;
  if (kChunks == 4u) {
    row = row / 8u * 8u + row % 2u * 4u + row / 2u % 4u;
  }
  return row + fetch * kARowsAtOnce;
}

// Tells whether all rows that the threads load in a fetch are rows of A. The last fetch may go past
// the tile.
fn has_whole_rows(fetch: u32) -> bool {
  return kWholeRows && (fetch + 1u) * kARowsAtOnce <= kTileM;
}

// Returns that row's number in A. Rows past the last repeat it.
fn row_of_a(fetch: u32, local: u32, first_m: u32) -> u32 {
  let row = first_m + row_a(fetch, local);
  return select(min(row, params.m - 1u), row, has_whole_rows(fetch));
}

// Returns where this thread's chunk `fetch` of the first step lies in A, in chunks (a_vec8).
fn place_a(fetch: u32, local: u32, first_m: u32) -> u32 {
  return row_of_a(fetch, local, first_m) * (kK / 8u) + local % kChunks;
}

// Returns this thread's chunk `fetch` of A's step at first_k, zeros past the end of a row. Rows
// past the last repeat it and are not stored.
fn fetch_a(fetch: u32, local: u32, place: u32, first_m: u32, first_k: u32) -> vec4<u32> {
  let k = first_k + local % kChunks * 8u;
  if (!kWholeSteps && k >= kK) {
    return vec4<u32>();
  }
#if a_vec8
  if (has_whole_rows(fetch)) {
    return a[place + fetch * (kARowsAtOnce * (kK / 8u)) + first_k / 8u];
  }
  return a[place_a(fetch, local, first_m) + first_k / 8u];
#else
  let at = row_of_a(fetch, local, first_m) * kK;
  return vec4<u32>(pair_a(at, k), pair_a(at, k + 2u), pair_a(at, k + 4u), pair_a(at, k + 6u));
#endif
}

#if !a_vec8
fn pair_a(at: u32, k: u32) -> u32 {
  var pair = vec2<f16>();
  if (k < kK) {
    pair.x = a[at + k];
  }
  if (k + 1u < kK) {
    pair.y = a[at + k + 1u];
  }
  return bitcast<u32>(pair);
}
#endif

fn store_a(fetch: u32, local: u32, buffer: u32, chunk: vec4<u32>) {
  let row = row_a(fetch, local);
  if (kTileM % kARowsAtOnce == 0u || row < kTileM) {
    tiles[buffer * kBufferSize + row * kStride + local % kChunks] = chunk;
  }
}

// Returns where this thread's unit `fetch` of the first step lies in B.
fn place_b(fetch: u32, local: u32, first_n: u32) -> u32 {
  let row = row_b(first_n, (local / kUnits + fetch * kBRowsAtOnce) % kTileN);
  return place_of_unit(row, local % kUnits);
}

// Returns the unit of B's step at first_k that lies at `place` in the first step.
fn fetch_b(place: u32, local: u32, first_k: u32) -> Unit {
  return load_unit(place, local % kUnits, first_k);
}

fn store_b(fetch: u32, local: u32, buffer: u32, unit: Unit) {
  let row = local / kUnits + fetch * kBRowsAtOnce;
  if (kTileN % kBRowsAtOnce != 0u && row >= kTileN) {
    return;
  }
  store_unit(buffer * kBufferSize + (kTileM + row) * kStride + local % kUnits * (kUnitCodes / 8u),
             unit, /* pairs */ false);
}

// A thread's loads of a step: up to 8 chunks of A and 4 units of B, indexed by constants.
struct Step {
  a: array<vec4<u32>, 8>,
  b: array<Unit, 4>,
}

// Places of a thread's loads of the first step: the first chunk of A, from which the others follow
// where has_whole_rows, and each unit of B.
struct Places {
  a: u32,
  b: array<u32, 4>,
}

fn places_of(local: u32, first_m: u32, first_n: u32) -> Places {
  var places: Places;
  places.a = place_a(0u, local, first_m);
#repeat i 0..4
  if (kBFetches > $i) { places.b[$i] = place_b($i, local, first_n); }
#endrepeat
  return places;
}

fn fetch_step(step: ptr<function, Step>, places: Places, local: u32, first_m: u32, first_k: u32) {
#repeat i 0..4
  if (kBFetches > $i) { (*step).b[$i] = fetch_b(places.b[$i], local, first_k); }
#endrepeat
#repeat i 0..8
  if (kAFetches > $i) { (*step).a[$i] = fetch_a($i, local, places.a, first_m, first_k); }
#endrepeat
}

fn store_step(step: ptr<function, Step>, local: u32, buffer: u32) {
#repeat i 0..4
  if (kBFetches > $i) { store_b($i, local, buffer, (*step).b[$i]); }
#endrepeat
#repeat i 0..8
  if (kAFetches > $i) { store_a($i, local, buffer, (*step).a[$i]); }
#endrepeat
}

// sums = the tile's products, step by step. A step is loaded to registers, stored to workgroup
// memory when all threads have multiplied the step before, and multiplied. NVIDIA's compiler
// depends on how this is written. Without a branch around any load or store it moves loads up into
// the products before them, at the price of copies, so that they have a whole step's time, and it
// dequantizes between products. With `late` a branch holds the loads in place: this takes fewer
// registers and has the products, which are much code on a software GPU, only once.
fn multiply_tile(sums: ptr<function, Sums>, local: u32, subgroup: u32, first_m: u32, first_n: u32,
                 begin_k: u32, end_k: u32) {
  let places = places_of(local, first_m, first_n);
  var step = Step();
  var buffer = 0u;
  fetch_step(&step, places, local, first_m, begin_k);
  store_step(&step, local, buffer);
#if late
  workgroupBarrier();
  for (var next_k = begin_k + kStep; ; next_k += kStep) {
    let more = next_k < end_k;
    if (more) {
      fetch_step(&step, places, local, first_m, next_k);
    }
    multiply(sums, buffer, subgroup);
    if (!more) {
      break;
    }
    buffer = release(buffer);
    store_step(&step, local, buffer);
    workgroupBarrier();
  }
#else
  fetch_step(&step, places, local, first_m, min(begin_k + kStep, kLastK));
  workgroupBarrier();
  for (var next_k = begin_k + kStep; next_k < end_k; next_k += kStep) {
    multiply(sums, buffer, subgroup);
    buffer = release(buffer);
    store_step(&step, local, buffer);
    fetch_step(&step, places, local, first_m, min(next_k + kStep, kLastK));
    workgroupBarrier();
  }
  multiply(sums, buffer, subgroup);
#endif
}

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  if (!find_weight(workgroup.x)) {
    return;
  }
  let first_m = workgroup.x * kTileM;
#if glu
  let first_n = workgroup.y * (kTileN / 2u);
#else
  let first_n = workgroup.y * kTileN;
#endif
  thousands = 0x64006400u + (params.m >> 31u);  // m is below 2^31.
  var sums = Sums();
#if parts
  const first_part = (((kK + kStep - 1u) / kStep + 1u) / 2u - kHeadStart) * kStep;
  multiply_tile(&sums, local, subgroup, first_m, first_n, workgroup.z * first_part,
               select(first_part, kK, workgroup.z == 1u));
  finish_parts(&sums, subgroup, lane, local, first_m, first_n,
              parking_of(workgroup.y * kTilesM + workgroup.x, workgroup.z));
#else
  multiply_tile(&sums, local, subgroup, first_m, first_n, 0u, kK);
  finish_all(&sums, subgroup, lane, first_m, first_n);
#endif
}
