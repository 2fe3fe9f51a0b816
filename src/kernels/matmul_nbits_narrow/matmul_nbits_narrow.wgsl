// MatMulNBits for 2 to 64 rows of A, or a few such tiles, on the matrix units: Y[m, n] = sum over k
// of h[m, k] * w[n, k], the weights w = (code - zero) * scale rounded to f16, sums in f32.
//
// So few rows take as long as reading B takes, and what counts is how many loads are in flight: a
// thread loads its part of kDepth steps of K, of A and of B, before it uses the first, and the next
// kDepth steps while it uses these (a prefetch). common/matrix_tile.wgsl multiplies a step, which
// all threads store to workgroup memory, B dequantized (matmul_nbits_matrix_weights.wgsl), and
// matmul_nbits_matrix_output.wgsl writes the sums. Workgroup x owns the tile's rows of A, y its
// columns, z a part of K.
//
// With `norm` h = x / rms(x) * norm_scale, rounded to f16, x being A. Every workgroup computes the
// factors of its rows, while its first loads of B are in flight. Without it h = A.
//
// With `join` (split-K) kParts workgroups each multiply a part of K of a tile. They leave their
// sums in `scratch`, and the last to do so adds them, in the order of the parts.
//
// With `glu` B has a gate and an up projection, as in matmul_nbits_matrix.wgsl.
//
// The order of the sum of an element of Y depends on kStep, kSplit, kParts and the matrices' K
// only: not on the number of rows, nor on the element's row and column.

#include "common/activations.wgsl"
#include "common/dequantize.wgsl"
#include "common/matrix_tile.wgsl"
#include "matmul_nbits/interleave.wgsl"
#include "matmul_nbits_matrix/matmul_nbits_matrix_output.wgsl"
#include "matmul_nbits_matrix/matmul_nbits_matrix_weights.wgsl"

struct Params {
  m: u32,
}

// Sizes are constants: an address that depends on a uniform waits for it. Only `thousands`, which
// must not be a constant, depends on this.
@group(0) @binding(0) var<uniform> uniforms: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<u32>>;
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
#if residual_vec4
@group(0) @binding(7) var<storage, read> residual: array<vec4<f16>>;
#endif
#if residual
@group(0) @binding(7) var<storage, read> residual: array<f16>;
#endif
#if norm
@group(0) @binding(8) var<storage, read> norm_scale: array<norm_v>;
#endif
#if join
@group(0) @binding(12) var<storage, read_write> scratch: array<atomic<u32>>;
#endif

struct Sizes {
  m: u32,
  n: u32,
  n_begin: u32,
  n_count: u32,
}

const params = Sizes(kM, kN, kNBegin, kNCount);
const first_b = 0u;

// Steps of a part, in prefetches of kDepth.
const kPrefetches = kPartSteps / kDepth;
const kARowsAtOnce = kThreads / kChunks;
const kTileUnits = kTileN * kUnits;
const kLastRow = kM - 1u;

// Returns the tile's row that this thread's chunk `fetch` of A lies in.
fn row_a(fetch: u32, local: u32) -> u32 {
  return local / kChunks + fetch * kARowsAtOnce;
}

// Returns this thread's chunk `fetch` of A's step at first_k, zeros past the end of a row. Rows
// past the last repeat it.
fn fetch_a(fetch: u32, local: u32, first_m: u32, first_k: u32) -> vec4<u32> {
  if (!kWholeSteps && first_k + local % kChunks * 8u >= kK) {
    return vec4<u32>();
  }
  let row = min(first_m + min(row_a(fetch, local), kTileM - 1u), kLastRow);
  return a[row * (kK / 8u) + local % kChunks + first_k / 8u];
}

// Returns which of the tile's units this thread's unit `fetch` is. Neighbouring threads have
// neighbouring rows of B if these are interleaved, else neighbouring units of a row, and so read
// one contiguous range.
fn index_b(fetch: u32, local: u32) -> u32 {
  return min(local + fetch * kThreads, kTileUnits - 1u);
}

fn row_in_tile(index: u32) -> u32 {
  return index / (kInterleave * kUnits) * kInterleave + index % kInterleave;
}

fn unit_in_step(index: u32) -> u32 {
  return index / kInterleave % kUnits;
}

// Places of a thread's units of the first step of B.
struct Places {
#repeat i 0..kBFetches
  b_$i: u32,
#endrepeat
}

fn places_of(local: u32, first_n: u32) -> Places {
  var places: Places;
#repeat i 0..kBFetches
  places.b_$i = place_of_unit(row_b(first_n, row_in_tile(index_b($i, local))),
                              unit_in_step(index_b($i, local)));
#endrepeat
  return places;
}

// A thread's loads of a step.
struct Step {
#repeat i 0..kAFetches
  a_$i: vec4<u32>,
#endrepeat
#repeat i 0..kBFetches
  b_$i: Unit,
#endrepeat
  norm: NormScale,
}

struct Prefetch {
#repeat d 0..kDepth
  step_$d: Step,
#endrepeat
}

fn fetch_step(places: Places, local: u32, first_m: u32, first_k: u32) -> Step {
  var step: Step;
#repeat i 0..kBFetches
  step.b_$i = load_unit(places.b_$i, unit_in_step(index_b($i, local)), first_k);
#endrepeat
#repeat i 0..kAFetches
  step.a_$i = fetch_a($i, local, first_m, first_k);
#endrepeat
  step.norm = load_norm(min(first_k / 8u + local % kChunks, kK / 8u - 1u));
  return step;
}

fn fetch_steps(places: Places, local: u32, first_m: u32, first_step: u32) -> Prefetch {
  var prefetched: Prefetch;
#repeat d 0..kDepth
  prefetched.step_$d = fetch_step(places, local, first_m, (first_step + $d) * kStep);
#endrepeat
  return prefetched;
}

fn half_of(words: vec2<u32>) -> vec4<f16> {
  return vec4<f16>(bitcast<vec2<f16>>(words.x), bitcast<vec2<f16>>(words.y));
}

// Returns the chunk with elements 0 to 3, then 4 to 7, in the order in which store_unit stores
// those of B.
fn chunk_of_halves(low: vec4<f16>, high: vec4<f16>) -> vec4<u32> {
  if (kBits == 4u) {
    return vec4<u32>(pack_pair(low.x, high.x), pack_pair(low.y, high.y), pack_pair(low.z, high.z),
                     pack_pair(low.w, high.w));
  }
  return vec4<u32>(pack_pair(low.x, low.y), pack_pair(low.z, low.w), pack_pair(high.x, high.y),
                   pack_pair(high.z, high.w));
}

// Norm: the scale of a chunk's columns, and the factors of the tile's rows.
#if norm
struct NormScale {
  low: norm_v,
  high: norm_v,
}

var<workgroup> factors: array<f32, kTileM>;

fn load_norm(chunk: u32) -> NormScale {
  return NormScale(norm_scale[2u * chunk], norm_scale[2u * chunk + 1u]);
}

fn low_half(chunk: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(half_of(chunk.xy));
}

fn high_half(chunk: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(half_of(chunk.zw));
}

// Returns the chunk of h that belongs to a chunk of x, in the order of B.
fn chunk_of_h(chunk: vec4<u32>, scale: NormScale, row: u32) -> vec4<u32> {
  let factor = factors[min(row, kTileM - 1u)];
  return chunk_of_halves(vec4<f16>(low_half(chunk) * factor * vec4<f32>(scale.low)),
                         vec4<f16>(high_half(chunk) * factor * vec4<f32>(scale.high)));
}

// Returns a chunk of row `row` of A, zeros past its end.
fn chunk_of_row(row: u32, chunk: u32) -> vec4<u32> {
  if (kK / 8u % kSubgroup != 0u && chunk >= kK / 8u) {
    return vec4<u32>();
  }
  return a[row * (kK / 8u) + chunk];
}

fn squares_of(x: vec4<u32>) -> f32 {
  return dot(low_half(x), low_half(x)) + dot(high_half(x), high_half(x));
}

// Computes the factors of the tile's rows, a subgroup's two at a time, all of whose chunks are
// loaded before the first is used.
fn find_factors(subgroup: u32, lane: u32, first_m: u32) {
  const kAtOnce = select(1u, 2u, kSubgroups < kTileM);
  for (var first = 0u; first < kTileM; first += kAtOnce * kSubgroups) {
#repeat r 0..2
    let row_$r = first + $ru * kSubgroups + subgroup;
    let row_in_a_$r = min(first_m + min(row_$r, kTileM - 1u), kLastRow);
#repeat i 0..kNormLoads
    var x_$r_$i = vec4<u32>();
    if (kAtOnce > $ru) { x_$r_$i = chunk_of_row(row_in_a_$r, $i * kSubgroup + lane); }
#endrepeat
#endrepeat
#repeat r 0..2
    var squares_$r = 0.0;
#repeat i 0..kNormLoads
    squares_$r += squares_of(x_$r_$i);
#endrepeat
    if (kAtOnce > $ru) {
      let total = subgroupAdd(squares_$r);
      if (lane == 0u && row_$r < kTileM) {
        factors[row_$r] = inverseSqrt(total / f32(kK) + kEpsilon);
      }
    }
#endrepeat
  }
  workgroupBarrier();
}
#else
struct NormScale {
  unused: u32,
}

fn load_norm(chunk: u32) -> NormScale {
  return NormScale();
}

fn chunk_of_h(chunk: vec4<u32>, scale: NormScale, row: u32) -> vec4<u32> {
  return chunk_of_halves(half_of(chunk.xy), half_of(chunk.zw));
}

fn find_factors(subgroup: u32, lane: u32, first_m: u32) {}
#endif

fn store_a(fetch: u32, local: u32, buffer: u32, chunk: vec4<u32>, scale: NormScale) {
  let row = row_a(fetch, local);
  if (kTileM % kARowsAtOnce == 0u || row < kTileM) {
    tiles[buffer * kBufferSize + row * kStride + local % kChunks] = chunk_of_h(chunk, scale, row);
  }
}

fn store_b(fetch: u32, local: u32, buffer: u32, unit: Unit) {
  if (kTileUnits % kThreads != 0u && local + fetch * kThreads >= kTileUnits) {
    return;
  }
  let index = index_b(fetch, local);
  store_unit(buffer * kBufferSize + (kTileM + row_in_tile(index)) * kStride +
                 unit_in_step(index) * (kUnitCodes / 8u), unit, /* pairs */ true);
}

// sums += a step that is in registers. With one buffer all threads must have multiplied the step
// before.
fn run_step(sums: ptr<function, Sums>, step: Step, local: u32, subgroup: u32, buffer: u32) {
#repeat i 0..kBFetches
  store_b($i, local, buffer, step.b_$i);
#endrepeat
#repeat i 0..kAFetches
  store_a($i, local, buffer, step.a_$i, step.norm);
#endrepeat
  workgroupBarrier();
  multiply(sums, buffer, subgroup);
}

fn run_steps(sums: ptr<function, Sums>, prefetched: Prefetch, local: u32, subgroup: u32,
             first: u32) {
  var buffer = first;
#repeat d 0..kDepth
  run_step(sums, prefetched.step_$d, local, subgroup, buffer);
  buffer = release(buffer);
#endrepeat
}

// All quads of a workgroup's tile of Y, with what is added to them.
struct Output {
#repeat r 0..kRows
  residuals_$r: Residuals,
#endrepeat
}

fn output_of(subgroup: u32, lane: u32, first_m: u32, first_n: u32) -> Output {
  var output: Output;
#repeat r 0..kRows
  output.residuals_$r = residuals_of($r, subgroup, lane, first_m, first_n);
#endrepeat
  return output;
}

#if join
// As in matmul_nbits_matrix_parts.wgsl sums go through `scratch` by atomic stores: by part, then by
// component, then by quad.
const kTileQuads = kTileM * kTileN / 4u;

var<workgroup> parts_parked: u32;

fn parking_of(tile: u32) -> u32 {
  return kCounterWords + tile * kParts * (4u * kTileQuads);
}

// Returns where quad `quad` of row `row` of a subgroup's products lies among the tile's quads.
fn parked_quad(row: u32, quad: u32, subgroup: u32) -> u32 {
  return (row * kPlaces + subgroup % kPlaces) * (kMatM * kQuads) + quad;
}

fn is_own(quad: u32) -> bool {
  return kMatM * kQuads % (kSplit * kSubgroup) == 0u || quad < kMatM * kQuads;
}

fn park_row(sums: ptr<function, Sums>, row: u32, subgroup: u32, lane: u32, at: u32) {
  workgroupBarrier();
  stage(sums, subgroup, row);
  workgroupBarrier();
  for (var i = 0u; i < kQuadsEach; i++) {
    let quad = own_quad(i, subgroup, lane);
    if (is_own(quad)) {
      let value = staged(subgroup % kPlaces, quad / kQuads, quad % kQuads);
      let place = at + parked_quad(row, quad, subgroup);
      atomicStore(&scratch[place], bitcast<u32>(value.x));
      atomicStore(&scratch[place + kTileQuads], bitcast<u32>(value.y));
      atomicStore(&scratch[place + 2u * kTileQuads], bitcast<u32>(value.z));
      atomicStore(&scratch[place + 3u * kTileQuads], bitcast<u32>(value.w));
    }
  }
}

fn load_parked(at: u32) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(
      atomicLoad(&scratch[at]), atomicLoad(&scratch[at + kTileQuads]),
      atomicLoad(&scratch[at + 2u * kTileQuads]), atomicLoad(&scratch[at + 3u * kTileQuads])));
}

// Returns a thread's quad `i` of a row of products, the sum of all parts.
fn joined_quad(row: u32, i: u32, subgroup: u32, lane: u32, at: u32) -> vec4<f32> {
  let quad = min(own_quad(min(i, kQuadsEach - 1u), subgroup, lane), kMatM * kQuads - 1u);
  let place = at + parked_quad(row, quad, subgroup);
#repeat p 0..kParts
  let part_$p = load_parked(place + $p * 4u * kTileQuads);
#endrepeat
  var sum = part_0;
#repeat p 1..kParts
  sum += part_$p;
#endrepeat
  return sum;
}

fn store_joined(row: u32, i: u32, subgroup: u32, lane: u32, first_m: u32, first_n: u32,
                sum: vec4<f32>, residuals: Residuals) {
  let quad = own_quad(i, subgroup, lane);
  if (!is_own(quad)) {
    return;
  }
  let top_left = corner_of(row, subgroup, first_m, first_n);
  let column = top_left.y + 4u * (quad % kQuads);
  store_quad(top_left.x + quad / kQuads, column, with_bias(sum, column), residuals[i]);
}

// Parks a part's sums, and writes Y if all parts have parked theirs.
fn finish(sums: ptr<function, Sums>, output: Output, subgroup: u32, lane: u32, local: u32,
          first_m: u32, first_n: u32, tile: u32, part: u32) {
  let at = parking_of(tile);
#repeat r 0..kRows
  park_row(sums, $r, subgroup, lane, at + part * (4u * kTileQuads));
#endrepeat
  storageBarrier();
  workgroupBarrier();
  if (local == 0u) {
    parts_parked = atomicAdd(&scratch[tile], 1u) + 1u;
    if (parts_parked == kParts) {
      atomicStore(&scratch[tile], 0u);
    }
  }
  if (workgroupUniformLoad(&parts_parked) != kParts) {
    return;
  }
  storageBarrier();
  var joined: array<vec4<f32>, kRows * kQuadsEach>;
#repeat r 0..kRows
#repeat i 0..8
  if (kQuadsEach > $i) {
    joined[$r * kQuadsEach + min($iu, kQuadsEach - 1u)] = joined_quad($ru, $iu, subgroup, lane, at);
  }
#endrepeat
#endrepeat
#repeat r 0..kRows
#repeat i 0..8
  if (kQuadsEach > $i) {
    store_joined($r, $i, subgroup, lane, first_m, first_n,
                 joined[$r * kQuadsEach + min($iu, kQuadsEach - 1u)], output.residuals_$r);
  }
#endrepeat
#endrepeat
}
#else
fn finish(sums: ptr<function, Sums>, output: Output, subgroup: u32, lane: u32, local: u32,
          first_m: u32, first_n: u32, tile: u32, part: u32) {
#repeat r 0..kRows
  finish_rows(sums, $r, subgroup, lane, first_m, first_n, output.residuals_$r);
#endrepeat
}
#endif

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let first_m = workgroup.x * kTileM;
#if glu
  let first_n = workgroup.y * (kTileN / 2u);
#else
  let first_n = workgroup.y * kTileN;
#endif
  let places = places_of(local, first_n);
  let first_step = workgroup.z * kPartSteps;
  var prefetched = fetch_steps(places, local, first_m, first_step);
  let output = output_of(subgroup, lane, first_m, first_n);
  find_factors(subgroup, lane, first_m);
  thousands = 0x64006400u + (uniforms.m >> 31u);  // m is below 2^31.
  var sums = Sums();
  var buffer = 0u;
  for (var i = 1u; i < kPrefetches; i++) {
    let next = fetch_steps(places, local, first_m, first_step + i * kDepth);
    run_steps(&sums, prefetched, local, subgroup, buffer);
    prefetched = next;
    if (kBuffers == 2u && kDepth % 2u == 1u) {
      buffer = 1u - buffer;
    }
  }
  run_steps(&sums, prefetched, local, subgroup, buffer);
  finish(&sums, output, subgroup, lane, local, first_m, first_n,
         workgroup.y * kTilesM + workgroup.x, workgroup.z);
}
