// The rows of h of matmul_nbits_decode.wgsl: the bindings they are made of, normalization, and
// their layout in workgroup memory.

#include "common/dequantize.wgsl"
#include "common/workgroup_reduce.wgsl"
#include "matmul_nbits/interleave.wgsl"
#include "matmul_nbits/matmul_nbits_integers.wgsl"

@group(0) @binding(1) var<storage, read> input: array<input_v>;
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
@group(0) @binding(6) var<storage, read_write> y: array<output_t>;
#if residual
@group(0) @binding(7) var<storage, read> residual: array<output_t>;
#endif
#if norm
@group(0) @binding(8) var<storage, read> norm_scale: array<norm_v>;
#endif
#if skip
@group(0) @binding(9) var<storage, read> skip: array<skip_v>;
#endif
#if skip_norm
@group(0) @binding(10) var<storage, read> skip_scale: array<skip_norm_v>;
#endif
#if sum
@group(0) @binding(11) var<storage, read_write> sum: array<input_v>;
#endif

const kChunkCodes = kChunkWords * kCodesPerWord;
const kIterationChunks = kLanes * kSplit;
const kIterations = (kChunks + kIterationChunks - 1u) / kIterationChunks;
const kPhaseIterations = (kIterations + kPhases - 1u) / kPhases;
const kPhaseChunks = kPhaseIterations * kIterationChunks;
const kPhaseOctets = kPhaseChunks * kChunkCodes / 8u;

// Entries of a chunk of h in workgroup memory.
#if integers
alias entry_t = vec4<u32>;
const kChunkEntries = kChunkCodes / 8u;

// The unit of a chunk's 16-bit integers.
var<workgroup> chunk_units: array<f32, kM * kPhaseChunks>;
#else
alias entry_t = vec4<f32>;
const kChunkEntries = kChunkCodes / 4u;
#endif
const kRowEntries = kPhaseChunks * kChunkEntries;

var<workgroup> h: array<entry_t, kM * kRowEntries>;

// Returns where entry `entry` of row m of h lies. Lanes read neighbouring chunks at the same time:
// the XOR swizzle puts 8 of them into 8 different groups of banks.
fn swizzled(m: u32, entry: u32) -> u32 {
  let chunk = entry / kChunkEntries;
  return m * kRowEntries + (entry ^ ((chunk * kChunkEntries / 8u) % kChunkEntries));
}

// Eight neighbouring elements of a row.
struct Octet {
  low: vec4<f32>,
  high: vec4<f32>,
}

fn squares_of(x: Octet) -> f32 {
  return dot(x.low, x.low) + dot(x.high, x.high);
}

#if vec4
fn input_quad(row: u32, k: u32) -> vec4<f32> {
  return vec4<f32>(input[(row * kK + k) / 4u]);
}
#else
fn input_quad(row: u32, k: u32) -> vec4<f32> {
  let at = row * kK + k;
  let last = row * kK + kK - 1u;
  let inside = vec4<u32>(k) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(kK);
  let quad = vec4<f32>(f32(input[at]), f32(input[min(at + 1u, last)]),
                       f32(input[min(at + 2u, last)]), f32(input[min(at + 3u, last)]));
  return select(vec4<f32>(), quad, inside);
}
#endif

// Returns octet `octet` of row `row` of the input, zero past K.
fn load_input(row: u32, octet: u32) -> Octet {
  var x = Octet(vec4<f32>(), vec4<f32>());
  let k = 8u * octet;
  if (k < kK) {
    x.low = input_quad(row, k);
  }
  if (k + 4u < kK) {
    x.high = input_quad(row, k + 4u);
  }
  return x;
}

// The sum over a chunk, if zero points need it.
#if zero_points_default
fn chunk_sum(parts: vec4<i32>) -> i32 {
  return 0;
}

fn store_chunk_sum(chunk: u32, total: i32) {}
#else
var<workgroup> chunk_sums: array<f32, kM * kPhaseChunks>;

fn store_chunk_sum(chunk: u32, total: i32) {
  chunk_sums[chunk] = f32(total);
}
#endif
#if integers_zero_points
fn chunk_sum(parts: vec4<i32>) -> i32 {
  var total = parts.x + parts.y + parts.z + parts.w;
  for (var distance = 1u; distance < kChunkEntries; distance *= 2u) {
    total += subgroupShuffleXor(total, distance);
  }
  return total;
}
#endif

// Stores octet `octet` of this phase of row m of h. All threads of a subgroup must call; those that
// are `outside` store nothing.
#if integers
fn store_octet(m: u32, octet: u32, x: Octet, outside: bool) {
  let sizes = max(size_bits(x.low), size_bits(x.high));
  var largest = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
  // The octets of a chunk are in neighbouring threads.
  for (var distance = 1u; distance < kChunkEntries; distance *= 2u) {
    largest = max(largest, subgroupShuffleXor(largest, distance));
  }
  // The upper byte of the largest element must not exceed 127 after rounding.
  let unit = bitcast<f32>(largest) / 32639.0;
  let scale = select(1.0 / unit, 0.0, unit < 1e-35);
  let low = vec4<i32>(round(x.low * scale));
  let high = vec4<i32>(round(x.high * scale));
  let total = chunk_sum(low + high);
  if (outside) {
    return;
  }
  // v = 256 * upper + lower, both signed bytes.
  let half = vec4<i32>(128);
  h[swizzled(m, octet)] = vec4<u32>(
      pack_octet((low + half) >> vec4<u32>(8u), (high + half) >> vec4<u32>(8u)),
      pack_octet(low, high));
  if (octet % kChunkEntries == 0u) {
    let chunk = m * kPhaseChunks + octet / kChunkEntries;
    chunk_units[chunk] = unit;
    store_chunk_sum(chunk, total);
  }
}
#else
fn store_octet(m: u32, octet: u32, x: Octet, outside: bool) {
  if (outside) {
    return;
  }
  h[swizzled(m, 2u * octet)] = x.low;
  h[swizzled(m, 2u * octet + 1u)] = x.high;
}
#endif

// A thread's part of a row: octets local, local + kWorkgroupSize, ..., kOctets of them.
struct Octets {
#repeat i 0..kOctets
  x_$i: Octet,
#endrepeat
}

fn octet_at(local: u32, i: u32) -> u32 {
  return local + i * kWorkgroupSize;
}

fn load_input_octets(row: u32, local: u32) -> Octets {
  var all = Octets();
#repeat i 0..kOctets
  all.x_$i = load_input(row, octet_at(local, $i));
#endrepeat
  return all;
}

fn sum_of_squares(all: Octets) -> f32 {
  return squares_of(all.x_0)
#repeat i 1..kOctets
         + squares_of(all.x_$i)
#endrepeat
         ;
}

// Sums of squares of the rows of x, one from each subgroup. The factor of a normalized row is
// applied to its sums of products, so that no product waits for them.
var<workgroup> square_sums: array<f32, kM * kSubgroups>;

#if subgroups
// Sums of squares of the rows of skip.
var<workgroup> skip_square_sums: array<f32, kM * kSubgroups>;

fn store_squares(m: u32, value: f32, local: u32, lanes: u32) {
  let subgroup_sum = subgroupAdd(value);
  if (local % lanes == 0u) {
    square_sums[m * kSubgroups + local / lanes] = subgroup_sum;
  }
}

fn skip_squares(m: u32, value: f32, local: u32, lanes: u32) -> f32 {
  let subgroup_sum = subgroupAdd(value);
  if (local % lanes == 0u) {
    skip_square_sums[m * kSubgroups + local / lanes] = subgroup_sum;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i * lanes < kWorkgroupSize; i++) {
    total += skip_square_sums[m * kSubgroups + i];
  }
  return total;
}
#else
fn store_squares(m: u32, value: f32, local: u32, lanes: u32) {
  let sum = workgroup_sum(value, local, lanes);
  if (local == 0u) {
    square_sums[m] = sum;
  }
}

fn skip_squares(m: u32, value: f32, local: u32, lanes: u32) -> f32 {
  return workgroup_sum(value, local, lanes);
}
#endif

// Returns the factor that the products of row m still lack.
#if norm
fn row_factor(m: u32, lanes: u32) -> f32 {
  var total = 0.0;
  for (var i = 0u; i < kSubgroups && i * lanes < kWorkgroupSize; i++) {
    total += square_sums[m * kSubgroups + i];
  }
  return inverseSqrt(total / f32(kK) + kEpsilon);
}
#else
fn row_factor(m: u32, lanes: u32) -> f32 {
  return 1.0;
}
#endif

// Returns all + other * scale * factor, element by element.
fn add_product(all: Octet, other: Octet, scale: Octet, factor: f32) -> Octet {
  return Octet(all.low + other.low * scale.low * factor,
               all.high + other.high * scale.high * factor);
}

#if skip
fn load_skip(row: u32, octet: u32) -> Octet {
  let at = (row * kK + 8u * octet) / 4u;
  return Octet(vec4<f32>(skip[at]), vec4<f32>(skip[at + 1u]));
}

fn load_skip_octets(row: u32, local: u32) -> Octets {
  var all = Octets();
#repeat i 0..kOctets
  if (8u * octet_at(local, $i) < kK) { all.x_$i = load_skip(row, octet_at(local, $i)); }
#endrepeat
  return all;
}
#endif

// Returns a row of x: the input with what is added to it.
#if skip_none
fn load_row(m: u32, row: u32, local: u32, lanes: u32) -> Octets {
  return load_input_octets(row, local);
}
#endif
#if skip_plain
fn load_row(m: u32, row: u32, local: u32, lanes: u32) -> Octets {
  var x = load_input_octets(row, local);
  let other = load_skip_octets(row, local);
  let one = Octet(vec4<f32>(1.0), vec4<f32>(1.0));
#repeat i 0..kOctets
  x.x_$i = add_product(x.x_$i, other.x_$i, one, 1.0);
#endrepeat
  return x;
}
#endif
#if skip_norm
fn load_skip_scale(octet: u32) -> Octet {
  let at = min(2u * octet, kK / 4u - 2u);
  return Octet(vec4<f32>(skip_scale[at]), vec4<f32>(skip_scale[at + 1u]));
}

fn load_row(m: u32, row: u32, local: u32, lanes: u32) -> Octets {
  var x = load_input_octets(row, local);
  let other = load_skip_octets(row, local);
  let squares = skip_squares(m, sum_of_squares(other), local, lanes);
  let factor = inverseSqrt(squares / f32(kK) + kSkipEpsilon);
#repeat i 0..kOctets
  x.x_$i = add_product(x.x_$i, other.x_$i, load_skip_scale(octet_at(local, $i)), factor);
#endrepeat
  return x;
}
#endif

// One of the workgroups that have the same rows stores x for later nodes.
#if sum
fn store_sum_octet(row: u32, octet: u32, x: Octet) {
  if (8u * octet < kK) {
    let at = (row * kK + 8u * octet) / 4u;
    sum[at] = input_v(x.low);
    sum[at + 1u] = input_v(x.high);
  }
}

fn store_sum(row: u32, local: u32, all: Octets) {
#repeat i 0..kOctets
  store_sum_octet(row, octet_at(local, $i), all.x_$i);
#endrepeat
}
#else
fn store_sum(row: u32, local: u32, all: Octets) {}
#endif

// Loads phase `phase` of kM rows of h, from row first_m on, into workgroup memory.
#if norm
fn load_norm_scale(octet: u32) -> Octet {
  let at = min(2u * octet, kK / 4u - 2u);
  return Octet(vec4<f32>(norm_scale[at]), vec4<f32>(norm_scale[at + 1u]));
}

fn store_scaled(m: u32, octet: u32, x: Octet, scale: Octet) {
  store_octet(m, octet, Octet(x.low * scale.low, x.high * scale.high), octet >= kPhaseOctets);
}

fn stage(first_m: u32, phase: u32, keeps_sum: bool, local: u32, lanes: u32) {
#repeat i 0..kOctets
  let scale_$i = load_norm_scale(octet_at(local, $i));
#endrepeat
  for (var m = 0u; m < kM; m++) {
    let row = min(first_m + m, kRowsA - 1u);
    let x = load_row(m, row, local, lanes);
    store_squares(m, sum_of_squares(x), local, lanes);
#repeat i 0..kOctets
    store_scaled(m, octet_at(local, $i), x.x_$i, scale_$i);
#endrepeat
    if (keeps_sum) {
      store_sum(row, local, x);
    }
  }
  workgroupBarrier();
}
#endif
#if whole_rows
fn store_octets(m: u32, local: u32, x: Octets) {
#repeat i 0..kOctets
  store_octet(m, octet_at(local, $i), x.x_$i, octet_at(local, $i) >= kPhaseOctets);
#endrepeat
}

// A thread issues all loads before it uses the first.
fn stage(first_m: u32, phase: u32, keeps_sum: bool, local: u32, lanes: u32) {
  for (var m = 0u; m < kM; m++) {
    store_octets(m, local, load_input_octets(min(first_m + m, kRowsA - 1u), local));
  }
  workgroupBarrier();
}
#endif
#if parted_rows
fn stage(first_m: u32, phase: u32, keeps_sum: bool, local: u32, lanes: u32) {
  for (var m = 0u; m < kM; m++) {
    let row = min(first_m + m, kRowsA - 1u);
    for (var first = 0u; first < kPhaseOctets; first += kWorkgroupSize) {
      let octet = first + local;
      store_octet(m, octet, load_input(row, phase * kPhaseOctets + octet), octet >= kPhaseOctets);
    }
  }
  workgroupBarrier();
}
#endif
