// The rows of h of matmul_nbits_decode.wgsl: bindings of what they are made of, normalization, and
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
#if !argmax
@group(0) @binding(6) var<storage, read_write> y: array<output_t>;
#endif
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

// Of a chunk of h in workgroup memory.
#if integers
alias slot_t = vec4<u32>;
const kSlots = kChunkCodes / 8u;

// What a chunk's 16-bit integers count.
var<workgroup> chunk_units: array<f32, kM * kPhaseChunks>;
#else
alias slot_t = vec4<f32>;
const kSlots = kChunkCodes / 4u;
#endif
const kRowSlots = kPhaseChunks * kSlots;

var<workgroup> h: array<slot_t, kM * kRowSlots>;

// Where slot `slot` of a row of h lies. Lanes read neighbouring chunks at once: turning the slots
// of a chunk by its place puts 8 of them into 8 different groups of banks.
fn Slot(m: u32, slot: u32) -> u32 {
  let chunk = slot / kSlots;
  return m * kRowSlots + (slot ^ ((chunk * kSlots / 8u) % kSlots));
}

// Eight neighbouring elements of a row.
struct Octet {
  low: vec4<f32>,
  high: vec4<f32>,
}

fn Squares(x: Octet) -> f32 {
  return dot(x.low, x.low) + dot(x.high, x.high);
}

#if vec4
fn InputQuad(row: u32, k: u32) -> vec4<f32> {
  return vec4<f32>(input[(row * kK + k) / 4u]);
}
#else
fn InputQuad(row: u32, k: u32) -> vec4<f32> {
  let at = row * kK + k;
  let last = row * kK + kK - 1u;
  let inside = vec4<u32>(k) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(kK);
  let quad = vec4<f32>(f32(input[at]), f32(input[min(at + 1u, last)]),
                       f32(input[min(at + 2u, last)]), f32(input[min(at + 3u, last)]));
  return select(vec4<f32>(), quad, inside);
}
#endif

// Octet `octet` of row `row` of the input; zero past K.
fn LoadInput(row: u32, octet: u32) -> Octet {
  var x = Octet(vec4<f32>(), vec4<f32>());
  let k = 8u * octet;
  if (k < kK) {
    x.low = InputQuad(row, k);
  }
  if (k + 4u < kK) {
    x.high = InputQuad(row, k + 4u);
  }
  return x;
}

// The sum over a chunk, where zero points need it.
#if zero_points_default
fn ChunkSum(parts: vec4<i32>) -> i32 {
  return 0;
}

fn StoreChunkSum(chunk: u32, total: i32) {}
#else
var<workgroup> chunk_sums: array<f32, kM * kPhaseChunks>;

fn StoreChunkSum(chunk: u32, total: i32) {
  chunk_sums[chunk] = f32(total);
}
#endif
#if integers_zero_points
fn ChunkSum(parts: vec4<i32>) -> i32 {
  var total = parts.x + parts.y + parts.z + parts.w;
  for (var distance = 1u; distance < kSlots; distance *= 2u) {
    total += subgroupShuffleXor(total, distance);
  }
  return total;
}
#endif

// Octet `octet` of this phase of row m of h. All threads of a subgroup come along; those that are
// `outside` store nothing.
#if integers
fn StoreOctet(m: u32, octet: u32, x: Octet, outside: bool) {
  let sizes = max(abs(x.low), abs(x.high));
  var largest = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
  // Neighbouring threads hold a chunk's octets.
  for (var distance = 1u; distance < kSlots; distance *= 2u) {
    largest = max(largest, subgroupShuffleXor(largest, distance));
  }
  // The upper byte of the largest, rounded, must not pass 127.
  let unit = largest / 32639.0;
  let scale = select(1.0 / unit, 0.0, unit < 1e-35);
  let low = vec4<i32>(round(x.low * scale));
  let high = vec4<i32>(round(x.high * scale));
  let total = ChunkSum(low + high);
  if (outside) {
    return;
  }
  // v = 256 * upper + lower, both signed bytes.
  let half = vec4<i32>(128);
  h[Slot(m, octet)] = vec4<u32>(
      PackOctet((low + half) >> vec4<u32>(8u), (high + half) >> vec4<u32>(8u)), PackOctet(low, high));
  if (octet % kSlots == 0u) {
    let chunk = m * kPhaseChunks + octet / kSlots;
    chunk_units[chunk] = unit;
    StoreChunkSum(chunk, total);
  }
}
#else
fn StoreOctet(m: u32, octet: u32, x: Octet, outside: bool) {
  if (outside) {
    return;
  }
  h[Slot(m, 2u * octet)] = x.low;
  h[Slot(m, 2u * octet + 1u)] = x.high;
}
#endif

// One thread's part of a row that is normalized: octets `local`, `local` + kWorkgroupSize, .., of
// which there are kOctets (1 to 4; the others stay zero).
struct Octets {
#repeat i 0..kOctets
  x_$i: Octet,
#endrepeat
}

fn OctetAt(local: u32, i: u32) -> u32 {
  return local + i * kWorkgroupSize;
}

fn LoadInputOctets(row: u32, local: u32) -> Octets {
  var all = Octets();
#repeat i 0..kOctets
  all.x_$i = LoadInput(row, OctetAt(local, $i));
#endrepeat
  return all;
}

fn SumOfSquares(all: Octets) -> f32 {
  return Squares(all.x_0)
#repeat i 1..kOctets
         + Squares(all.x_$i)
#endrepeat
         ;
}

// Sums of squares of the rows of x, in parts that nobody waits for before the first result: a
// normalized row's factor is applied to the sums of its products.
var<workgroup> square_sums: array<f32, kM * kSubgroups>;

#if subgroups
// The same of rows of skip, for all threads at once.
var<workgroup> skip_square_sums: array<f32, kM * kSubgroups>;

fn StoreSquares(m: u32, value: f32, local: u32, lanes: u32) {
  let part = subgroupAdd(value);
  if (local % lanes == 0u) {
    square_sums[m * kSubgroups + local / lanes] = part;
  }
}

fn SkipSquares(m: u32, value: f32, local: u32, lanes: u32) -> f32 {
  let part = subgroupAdd(value);
  if (local % lanes == 0u) {
    skip_square_sums[m * kSubgroups + local / lanes] = part;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i * lanes < kWorkgroupSize; i++) {
    total += skip_square_sums[m * kSubgroups + i];
  }
  return total;
}
#else
fn StoreSquares(m: u32, value: f32, local: u32, lanes: u32) {
  let sum = workgroup_sum(value, local, lanes);
  if (local == 0u) {
    square_sums[m] = sum;
  }
}

fn SkipSquares(m: u32, value: f32, local: u32, lanes: u32) -> f32 {
  return workgroup_sum(value, local, lanes);
}
#endif

// What the products of row m are still to be multiplied with.
#if norm
fn RowFactor(m: u32, lanes: u32) -> f32 {
  var total = 0.0;
  for (var i = 0u; i < kSubgroups && i * lanes < kWorkgroupSize; i++) {
    total += square_sums[m * kSubgroups + i];
  }
  return inverseSqrt(total / f32(kK) + kEpsilon);
}
#else
fn RowFactor(m: u32, lanes: u32) -> f32 {
  return 1.0;
}
#endif

// all + other * scale * factor, element by element.
fn AddProduct(all: Octet, other: Octet, scale: Octet, factor: f32) -> Octet {
  return Octet(all.low + other.low * scale.low * factor, all.high + other.high * scale.high * factor);
}

#if skip
fn LoadSkip(row: u32, octet: u32) -> Octet {
  let at = (row * kK + 8u * octet) / 4u;
  return Octet(vec4<f32>(skip[at]), vec4<f32>(skip[at + 1u]));
}

fn LoadSkipOctets(row: u32, local: u32) -> Octets {
  var all = Octets();
#repeat i 0..kOctets
  if (8u * OctetAt(local, $i) < kK) { all.x_$i = LoadSkip(row, OctetAt(local, $i)); }
#endrepeat
  return all;
}
#endif

// The row of x: the input with what is added to it.
#if skip_none
fn LoadRow(m: u32, row: u32, local: u32, lanes: u32) -> Octets {
  return LoadInputOctets(row, local);
}
#endif
#if skip_plain
fn LoadRow(m: u32, row: u32, local: u32, lanes: u32) -> Octets {
  var x = LoadInputOctets(row, local);
  let other = LoadSkipOctets(row, local);
  let one = Octet(vec4<f32>(1.0), vec4<f32>(1.0));
#repeat i 0..kOctets
  x.x_$i = AddProduct(x.x_$i, other.x_$i, one, 1.0);
#endrepeat
  return x;
}
#endif
#if skip_norm
fn LoadSkipScale(octet: u32) -> Octet {
  let at = min(2u * octet, kK / 4u - 2u);
  return Octet(vec4<f32>(skip_scale[at]), vec4<f32>(skip_scale[at + 1u]));
}

fn LoadRow(m: u32, row: u32, local: u32, lanes: u32) -> Octets {
  var x = LoadInputOctets(row, local);
  let other = LoadSkipOctets(row, local);
  let squares = SkipSquares(m, SumOfSquares(other), local, lanes);
  let factor = inverseSqrt(squares / f32(kK) + kSkipEpsilon);
#repeat i 0..kOctets
  x.x_$i = AddProduct(x.x_$i, other.x_$i, LoadSkipScale(OctetAt(local, $i)), factor);
#endrepeat
  return x;
}
#endif

// One workgroup of those that have the same rows keeps x for later nodes.
#if sum
fn StoreSumOctet(row: u32, octet: u32, x: Octet) {
  if (8u * octet < kK) {
    let at = (row * kK + 8u * octet) / 4u;
    sum[at] = input_v(x.low);
    sum[at + 1u] = input_v(x.high);
  }
}

fn StoreSum(row: u32, local: u32, all: Octets) {
#repeat i 0..kOctets
  StoreSumOctet(row, OctetAt(local, $i), all.x_$i);
#endrepeat
}
#else
fn StoreSum(row: u32, local: u32, all: Octets) {}
#endif

// Brings phase `phase` of kM rows of h, from row first_m on, into workgroup memory.
#if norm
fn LoadNormScale(octet: u32) -> Octet {
  let at = min(2u * octet, kK / 4u - 2u);
  return Octet(vec4<f32>(norm_scale[at]), vec4<f32>(norm_scale[at + 1u]));
}

fn StoreScaled(m: u32, octet: u32, x: Octet, scale: Octet) {
  StoreOctet(m, octet, Octet(x.low * scale.low, x.high * scale.high), octet >= kPhaseOctets);
}

fn Stage(first_m: u32, phase: u32, keeps_sum: bool, local: u32, lanes: u32) {
#repeat i 0..kOctets
  let scale_$i = LoadNormScale(OctetAt(local, $i));
#endrepeat
  for (var m = 0u; m < kM; m++) {
    let row = min(first_m + m, kRowsA - 1u);
    let x = LoadRow(m, row, local, lanes);
    StoreSquares(m, SumOfSquares(x), local, lanes);
#repeat i 0..kOctets
    StoreScaled(m, OctetAt(local, $i), x.x_$i, scale_$i);
#endrepeat
    if (keeps_sum) {
      StoreSum(row, local, x);
    }
  }
  workgroupBarrier();
}
#endif
#if whole_rows
fn StoreOctets(m: u32, local: u32, x: Octets) {
#repeat i 0..kOctets
  StoreOctet(m, OctetAt(local, $i), x.x_$i, OctetAt(local, $i) >= kPhaseOctets);
#endrepeat
}

// A thread's octets are all on their way before it waits for the first.
fn Stage(first_m: u32, phase: u32, keeps_sum: bool, local: u32, lanes: u32) {
  for (var m = 0u; m < kM; m++) {
    StoreOctets(m, local, LoadInputOctets(min(first_m + m, kRowsA - 1u), local));
  }
  workgroupBarrier();
}
#endif
#if parted_rows
fn Stage(first_m: u32, phase: u32, keeps_sum: bool, local: u32, lanes: u32) {
  for (var m = 0u; m < kM; m++) {
    let row = min(first_m + m, kRowsA - 1u);
    for (var first = 0u; first < kPhaseOctets; first += kWorkgroupSize) {
      let octet = first + local;
      StoreOctet(m, octet, LoadInput(row, phase * kPhaseOctets + octet), octet >= kPhaseOctets);
    }
  }
  workgroupBarrier();
}
#endif
