// Up to four products of one row in one dispatch, each of which takes the result of the one before.
// Definition, bindings, and what is asked of a GPU: matmul_nbits_chain.h.
//
// A link's products are cut as those of matmul_nbits_decode.wgsl: a team of kLanes threads (a
// subgroup) owns `rows` rows of B (of a gated link: half of them gate rows, half their up rows); each
// thread takes every kLanes-th chunk of them, 32 codes of 4 bits; the row is in workgroup memory as
// 16-bit integers in units of its chunk's largest element / 32639, in two signed bytes each; products
// with codes are summed up exactly, four at once.
//
// Rows go from link to link in pairs of f16, by atomics: plain stores may be read stale. A store is
// waited for by what atomicExchange returned, before its workgroup counts itself in.
//
// The prelude has kLink0 .. kLink3, which reach every function as constants once it is inlined, and
// kInner0 .. kInner3: where in `counters` the rows lie that nobody else reads.

#include "common/activations.wgsl"

@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> counters: array<atomic<u32>>;

@group(0) @binding(3) var<storage, read> b_0: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> scales_0: array<f16>;
#if bias_0
@group(0) @binding(5) var<storage, read> bias_0: array<f16>;
#endif
#if norm_0
@group(0) @binding(6) var<storage, read> norm_0: array<u32>;
#endif
#if residual_0
@group(0) @binding(7) var<storage, read> residual_0: array<u32>;
#endif
#if kept_0
@group(0) @binding(8) var<storage, read_write> y_0: array<atomic<u32>>;
#endif

#if link_1
@group(0) @binding(9) var<storage, read> b_1: array<vec4<u32>>;
@group(0) @binding(10) var<storage, read> scales_1: array<f16>;
#endif
#if bias_1
@group(0) @binding(11) var<storage, read> bias_1: array<f16>;
#endif
#if norm_1
@group(0) @binding(12) var<storage, read> norm_1: array<u32>;
#endif
#if residual_1
@group(0) @binding(13) var<storage, read> residual_1: array<u32>;
#endif
#if kept_1
@group(0) @binding(14) var<storage, read_write> y_1: array<atomic<u32>>;
#endif

#if link_2
@group(0) @binding(15) var<storage, read> b_2: array<vec4<u32>>;
@group(0) @binding(16) var<storage, read> scales_2: array<f16>;
#endif
#if bias_2
@group(0) @binding(17) var<storage, read> bias_2: array<f16>;
#endif
#if norm_2
@group(0) @binding(18) var<storage, read> norm_2: array<u32>;
#endif
#if residual_2
@group(0) @binding(19) var<storage, read> residual_2: array<u32>;
#endif
#if kept_2
@group(0) @binding(20) var<storage, read_write> y_2: array<atomic<u32>>;
#endif

#if link_3
@group(0) @binding(21) var<storage, read> b_3: array<vec4<u32>>;
@group(0) @binding(22) var<storage, read> scales_3: array<f16>;
#endif
#if bias_3
@group(0) @binding(23) var<storage, read> bias_3: array<f16>;
#endif
#if norm_3
@group(0) @binding(24) var<storage, read> norm_3: array<u32>;
#endif
#if residual_3
@group(0) @binding(25) var<storage, read> residual_3: array<u32>;
#endif
#if kept_3
@group(0) @binding(26) var<storage, read_write> y_3: array<atomic<u32>>;
#endif

struct Link {
  index: u32,
  n: u32,           // outputs
  k: u32,
  rows: u32,        // of B that a team has: 2, or 4
  block: u32,       // chunks of each that a thread asks for at once: 1 to 8
  rounds: u32,      // in which the workgroup brings the row: 1 to 8
  first: u32,       // ticket
  workgroups: u32,
  awaited: u32,     // workgroups of the link before
  gated: bool,
  norm: bool,
  epsilon: f32,
  residual: bool,
  residual_of: i32,  // the link whose Y it is, or -1: bound
}

const kTeams = kWorkgroupSize / kLanes;
// A chunk's 32 elements of the row are brought by 8 threads, two pairs each.
const kRoundChunks = kWorkgroupSize / 8u;
// Codes in integers come 16 times too large.
const kCodeUnit = 1.0 / 16.0;

// Words of `counters`: the next ticket, then the workgroups of each link that have finished.
const kTicket = 0u;
const kDone = 1u;

var<workgroup> ticket: u32;
// The row: an octet's upper bytes that meet the lower nibbles of a word of codes, those that meet the
// higher ones, and the lower bytes alike.
var<workgroup> h: array<vec4<u32>, kMaxK / 8u>;
var<workgroup> chunk_units: array<f32, kMaxK / 32u>;
var<workgroup> square_sums: array<f32, kTeams>;

// ---- operands by link, which is a constant wherever these are called

fn LoadB(link: u32, at: u32) -> vec4<u32> {
#if link_1
  if (link == 1u) { return b_1[at]; }
#endif
#if link_2
  if (link == 2u) { return b_2[at]; }
#endif
#if link_3
  if (link == 3u) { return b_3[at]; }
#endif
  return b_0[at];
}

fn LoadScale(link: u32, at: u32) -> f32 {
#if link_1
  if (link == 1u) { return f32(scales_1[at]); }
#endif
#if link_2
  if (link == 2u) { return f32(scales_2[at]); }
#endif
#if link_3
  if (link == 3u) { return f32(scales_3[at]); }
#endif
  return f32(scales_0[at]);
}

fn LoadBias(link: u32, row: u32) -> f32 {
#if bias_0
  if (link == 0u) { return f32(bias_0[row]); }
#endif
#if bias_1
  if (link == 1u) { return f32(bias_1[row]); }
#endif
#if bias_2
  if (link == 2u) { return f32(bias_2[row]); }
#endif
#if bias_3
  if (link == 3u) { return f32(bias_3[row]); }
#endif
  return 0.0;
}

fn LoadNorm(link: u32, pair: u32) -> u32 {
#if norm_0
  if (link == 0u) { return norm_0[pair]; }
#endif
#if norm_1
  if (link == 1u) { return norm_1[pair]; }
#endif
#if norm_2
  if (link == 2u) { return norm_2[pair]; }
#endif
#if norm_3
  if (link == 3u) { return norm_3[pair]; }
#endif
  return 0u;
}

// Pair `pair` of the residual that is bound.
fn LoadResidual(link: u32, pair: u32) -> u32 {
#if residual_0
  if (link == 0u) { return residual_0[pair]; }
#endif
#if residual_1
  if (link == 1u) { return residual_1[pair]; }
#endif
#if residual_2
  if (link == 2u) { return residual_2[pair]; }
#endif
#if residual_3
  if (link == 3u) { return residual_3[pair]; }
#endif
  return 0u;
}

// Pair `pair` of a link's Y.
fn LoadResult(link: u32, pair: u32) -> u32 {
#if kept_0
  if (link == 0u) { return atomicLoad(&y_0[pair]); }
#endif
#if inner_0
  if (link == 0u) { return atomicLoad(&counters[kInner0 + pair]); }
#endif
#if kept_1
  if (link == 1u) { return atomicLoad(&y_1[pair]); }
#endif
#if inner_1
  if (link == 1u) { return atomicLoad(&counters[kInner1 + pair]); }
#endif
#if kept_2
  if (link == 2u) { return atomicLoad(&y_2[pair]); }
#endif
#if inner_2
  if (link == 2u) { return atomicLoad(&counters[kInner2 + pair]); }
#endif
  return 0u;
}

// Stores it; gives what was there, which it takes the whole way to memory to know.
fn StoreResult(link: u32, pair: u32, value: u32) -> u32 {
#if kept_0
  if (link == 0u) { return atomicExchange(&y_0[pair], value); }
#endif
#if inner_0
  if (link == 0u) { return atomicExchange(&counters[kInner0 + pair], value); }
#endif
#if kept_1
  if (link == 1u) { return atomicExchange(&y_1[pair], value); }
#endif
#if inner_1
  if (link == 1u) { return atomicExchange(&counters[kInner1 + pair], value); }
#endif
#if kept_2
  if (link == 2u) { return atomicExchange(&y_2[pair], value); }
#endif
#if inner_2
  if (link == 2u) { return atomicExchange(&counters[kInner2 + pair], value); }
#endif
#if kept_3
  if (link == 3u) { return atomicExchange(&y_3[pair], value); }
#endif
  return 0u;
}

// ---- weights

// A chunk of each of a team's rows of B, with its scales.
struct Weights {
  row_0: vec4<u32>,
  row_1: vec4<u32>,
  row_2: vec4<u32>,
  row_3: vec4<u32>,
  scales: vec4<f32>,
}

struct Block {
  step_0: Weights,
  step_1: Weights,
  step_2: Weights,
  step_3: Weights,
  step_4: Weights,
  step_5: Weights,
  step_6: Weights,
  step_7: Weights,
}

// A team's rows of B. Rows past the end repeat the last one, and are not stored.
fn RowsOf(link: Link, first: u32) -> vec4<u32> {
  let last = vec4<u32>(link.n - 1u);
  if (link.gated) {
    return min(vec4<u32>(first) + vec4<u32>(0u, 1u, 0u, 1u), last) +
           vec4<u32>(0u, 0u, link.n, link.n);
  }
  return min(vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u), last);
}

fn LoadStep(link: Link, rows: vec4<u32>, lane: u32, iteration: u32) -> Weights {
  let chunks = link.k / 32u;
  let chunk = min(iteration * kLanes + lane, chunks - 1u);
  let blocks = chunks / kBlockChunks;
  let block = chunk / kBlockChunks;
  var weights = Weights();
  weights.row_0 = LoadB(link.index, rows.x * chunks + chunk);
  weights.row_1 = LoadB(link.index, rows.y * chunks + chunk);
  weights.scales.x = LoadScale(link.index, rows.x * blocks + block);
  weights.scales.y = LoadScale(link.index, rows.y * blocks + block);
  if (link.rows > 2u) {
    weights.row_2 = LoadB(link.index, rows.z * chunks + chunk);
    weights.row_3 = LoadB(link.index, rows.w * chunks + chunk);
    weights.scales.z = LoadScale(link.index, rows.z * blocks + block);
    weights.scales.w = LoadScale(link.index, rows.w * blocks + block);
  }
  return weights;
}

fn LoadBlock(link: Link, rows: vec4<u32>, lane: u32, base: u32) -> Block {
  var block = Block();
  block.step_0 = LoadStep(link, rows, lane, base);
  if (link.block > 1u) {
    block.step_1 = LoadStep(link, rows, lane, base + 1u);
  }
  if (link.block > 2u) {
    block.step_2 = LoadStep(link, rows, lane, base + 2u);
  }
  if (link.block > 3u) {
    block.step_3 = LoadStep(link, rows, lane, base + 3u);
  }
  if (link.block > 4u) {
    block.step_4 = LoadStep(link, rows, lane, base + 4u);
  }
  if (link.block > 5u) {
    block.step_5 = LoadStep(link, rows, lane, base + 5u);
  }
  if (link.block > 6u) {
    block.step_6 = LoadStep(link, rows, lane, base + 6u);
  }
  if (link.block > 7u) {
    block.step_7 = LoadStep(link, rows, lane, base + 7u);
  }
  return block;
}

// ---- the row

// Where slot `slot` (an octet) lies. Lanes read neighbouring chunks at once: turning a chunk's slots
// by its place puts 8 of them into 8 different groups of banks.
fn Slot(slot: u32) -> u32 {
  return slot ^ ((slot / 8u) % 4u);
}

// A thread's pairs l and l + 8 of the row's chunk `round` * kRoundChunks + local / 8, l = local % 8,
// by round.
struct Pairs {
  round_0: vec2<u32>,
  round_1: vec2<u32>,
  round_2: vec2<u32>,
  round_3: vec2<u32>,
  round_4: vec2<u32>,
  round_5: vec2<u32>,
  round_6: vec2<u32>,
  round_7: vec2<u32>,
}

fn PairOf(link: Link, local: u32, turn: u32) -> u32 {
  return min(turn * kRoundChunks + local / 8u, link.k / 32u - 1u) * 16u + local % 8u;
}

fn LoadRowRound(link: Link, local: u32, turn: u32) -> vec2<u32> {
  let pair = PairOf(link, local, turn);
  if (link.index == 0u) {
    return vec2<u32>(input[pair], input[pair + 8u]);
  }
  return vec2<u32>(LoadResult(link.index - 1u, pair), LoadResult(link.index - 1u, pair + 8u));
}

fn LoadNormRound(link: Link, local: u32, turn: u32) -> vec2<u32> {
  let pair = PairOf(link, local, turn);
  return vec2<u32>(LoadNorm(link.index, pair), LoadNorm(link.index, pair + 8u));
}

fn LoadRow(link: Link, local: u32) -> Pairs {
  var pairs = Pairs();
  pairs.round_0 = LoadRowRound(link, local, 0u);
  if (link.rounds > 1u) {
    pairs.round_1 = LoadRowRound(link, local, 1u);
  }
  if (link.rounds > 2u) {
    pairs.round_2 = LoadRowRound(link, local, 2u);
  }
  if (link.rounds > 3u) {
    pairs.round_3 = LoadRowRound(link, local, 3u);
  }
  if (link.rounds > 4u) {
    pairs.round_4 = LoadRowRound(link, local, 4u);
  }
  if (link.rounds > 5u) {
    pairs.round_5 = LoadRowRound(link, local, 5u);
  }
  if (link.rounds > 6u) {
    pairs.round_6 = LoadRowRound(link, local, 6u);
  }
  if (link.rounds > 7u) {
    pairs.round_7 = LoadRowRound(link, local, 7u);
  }
  return pairs;
}

fn LoadNorms(link: Link, local: u32) -> Pairs {
  var pairs = Pairs();
  if (!link.norm) {
    return pairs;
  }
  pairs.round_0 = LoadNormRound(link, local, 0u);
  if (link.rounds > 1u) {
    pairs.round_1 = LoadNormRound(link, local, 1u);
  }
  if (link.rounds > 2u) {
    pairs.round_2 = LoadNormRound(link, local, 2u);
  }
  if (link.rounds > 3u) {
    pairs.round_3 = LoadNormRound(link, local, 3u);
  }
  if (link.rounds > 4u) {
    pairs.round_4 = LoadNormRound(link, local, 4u);
  }
  if (link.rounds > 5u) {
    pairs.round_5 = LoadNormRound(link, local, 5u);
  }
  if (link.rounds > 6u) {
    pairs.round_6 = LoadNormRound(link, local, 6u);
  }
  if (link.rounds > 7u) {
    pairs.round_7 = LoadNormRound(link, local, 7u);
  }
  return pairs;
}

fn HalvesOf(pair: u32) -> vec2<f32> {
  return vec2<f32>(bitcast<vec2<f16>>(pair));
}

// Byte `source` of `word` as byte `goal`.
fn MoveByte(word: u32, source: u32, goal: u32) -> u32 {
  return ((word >> (8u * source)) & 255u) << (8u * goal);
}

// Of the words of four neighbouring threads, place i of which has bytes (i, 0..3): the bytes
// (0..3, place).
fn Turn(word: u32, place: u32) -> u32 {
  return MoveByte(word, place, place) |
         MoveByte(subgroupShuffleXor(word, 1u), place, place ^ 1u) |
         MoveByte(subgroupShuffleXor(word, 2u), place, place ^ 2u) |
         MoveByte(subgroupShuffleXor(word, 3u), place, place ^ 3u);
}

// A round of the row to workgroup memory, times the norm's scale; gives the sum of the thread's
// squares. All threads of a subgroup come along.
fn StageRound(link: Link, local: u32, turn: u32, pairs: vec2<u32>, scales: vec2<u32>) -> f32 {
  let chunk = turn * kRoundChunks + local / 8u;
  let outside = chunk >= link.k / 32u;
  var x = vec4<f32>(HalvesOf(pairs.x), HalvesOf(pairs.y));
  let squares = select(dot(x, x), 0.0, outside);
  if (link.norm) {
    x *= vec4<f32>(HalvesOf(scales.x), HalvesOf(scales.y));
  }
  let sizes = abs(x);
  var largest = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
  largest = max(largest, subgroupShuffleXor(largest, 1u));
  largest = max(largest, subgroupShuffleXor(largest, 2u));
  largest = max(largest, subgroupShuffleXor(largest, 4u));
  // The upper byte of the largest, rounded, must not pass 127.
  let unit = largest / 32639.0;
  let v = vec4<i32>(round(x * select(1.0 / unit, 0.0, unit < 1e-35)));
  // v = 256 * upper + lower, both signed bytes.
  let upper = (v + vec4<i32>(128)) >> vec4<u32>(8u);
  let place = local % 4u;
  let low = Turn(pack4xI8(vec4<i32>(upper.x, upper.y, v.x, v.y)), place);
  let high = Turn(pack4xI8(vec4<i32>(upper.z, upper.w, v.z, v.w)), place);
  if (!outside) {
    let slot = 4u * chunk + local % 8u / 4u;
    h[Slot(slot)][place] = low;
    h[Slot(slot + 2u)][place] = high;
    if (local % 8u == 0u) {
      chunk_units[chunk] = unit;
    }
  }
  return squares;
}

fn Stage(link: Link, local: u32, row: Pairs, norms: Pairs) {
  var squares = StageRound(link, local, 0u, row.round_0, norms.round_0);
  if (link.rounds > 1u) {
    squares += StageRound(link, local, 1u, row.round_1, norms.round_1);
  }
  if (link.rounds > 2u) {
    squares += StageRound(link, local, 2u, row.round_2, norms.round_2);
  }
  if (link.rounds > 3u) {
    squares += StageRound(link, local, 3u, row.round_3, norms.round_3);
  }
  if (link.rounds > 4u) {
    squares += StageRound(link, local, 4u, row.round_4, norms.round_4);
  }
  if (link.rounds > 5u) {
    squares += StageRound(link, local, 5u, row.round_5, norms.round_5);
  }
  if (link.rounds > 6u) {
    squares += StageRound(link, local, 6u, row.round_6, norms.round_6);
  }
  if (link.rounds > 7u) {
    squares += StageRound(link, local, 7u, row.round_7, norms.round_7);
  }
  if (link.norm) {
    let part = subgroupAdd(squares);
    if (local % kLanes == 0u) {
      square_sums[local / kLanes] = part;
    }
  }
  workgroupBarrier();
}

// What the products of the row are still to be multiplied with.
fn RowFactor(link: Link) -> f32 {
  if (!link.norm) {
    return kCodeUnit;
  }
  var total = 0.0;
  for (var i = 0u; i < kTeams; i++) {
    total += square_sums[i];
  }
  return kCodeUnit * inverseSqrt(total / f32(link.k) + link.epsilon);
}

// ---- products

// A word of codes, less half their range, with the upper and the lower bytes of the row: exact.
// Flipping the highest bit of a nibble in the upper half of a byte makes the byte 16 (code - 8).
fn Dot(sums: vec2<i32>, word: u32, x: vec4<u32>) -> vec2<i32> {
  let even = ((word << 4u) ^ 0x80808080u) & 0xf0f0f0f0u;
  let odd = (word ^ 0x80808080u) & 0xf0f0f0f0u;
  return sums + vec2<i32>(dot4I8Packed(even, x.x) + dot4I8Packed(odd, x.y),
                          dot4I8Packed(even, x.z) + dot4I8Packed(odd, x.w));
}

struct Dots {
  row_0: vec2<i32>,
  row_1: vec2<i32>,
  row_2: vec2<i32>,
  row_3: vec2<i32>,
}

fn AddWord(link: Link, dots: Dots, slot: u32, words: vec4<u32>) -> Dots {
  let x = h[Slot(slot)];
  var result = dots;
  result.row_0 = Dot(dots.row_0, words.x, x);
  result.row_1 = Dot(dots.row_1, words.y, x);
  if (link.rows > 2u) {
    result.row_2 = Dot(dots.row_2, words.z, x);
    result.row_3 = Dot(dots.row_3, words.w, x);
  }
  return result;
}

fn Whole(sums: vec2<i32>) -> f32 {
  return f32(sums.x * 256 + sums.y);
}

// The products of iteration `iteration` of a lane.
fn Products(link: Link, lane: u32, iteration: u32, w: Weights) -> vec4<f32> {
  let chunk = iteration * kLanes + lane;
  if (chunk >= link.k / 32u) {
    return vec4<f32>();
  }
  let slot = 4u * chunk;
  var dots = AddWord(link, Dots(), slot, vec4<u32>(w.row_0.x, w.row_1.x, w.row_2.x, w.row_3.x));
  dots = AddWord(link, dots, slot + 1u, vec4<u32>(w.row_0.y, w.row_1.y, w.row_2.y, w.row_3.y));
  dots = AddWord(link, dots, slot + 2u, vec4<u32>(w.row_0.z, w.row_1.z, w.row_2.z, w.row_3.z));
  dots = AddWord(link, dots, slot + 3u, vec4<u32>(w.row_0.w, w.row_1.w, w.row_2.w, w.row_3.w));
  return vec4<f32>(Whole(dots.row_0), Whole(dots.row_1), Whole(dots.row_2), Whole(dots.row_3)) *
         (w.scales * chunk_units[chunk]);
}

fn TeamSum(lane_sums: vec4<f32>) -> vec4<f32> {
  var sums = lane_sums;
  for (var distance = kLanes / 2u; distance > 0u; distance /= 2u) {
    sums += subgroupShuffleXor(sums, distance);
  }
  return sums;
}

// ---- from link to link

// Waits until all workgroups of the link before have finished.
fn Await(link: Link, local: u32) {
  if (link.index == 0u) {
    return;
  }
  if (local == 0u) {
    var spins = 0u;
    while (atomicLoad(&counters[kDone + link.index - 1u]) < link.awaited) {
      spins++;
      if (spins == kMaxSpins) {
        atomicStore(&counters[kStuck], 1u);
        break;
      }
    }
  }
  storageBarrier();
}

// Counts the workgroup in, once its stores, which gave `before`, are where others see them. The last
// one of all leaves the counters at zero: nobody waits any more.
fn Finish(link: Link, local: u32, before: u32) {
  if (before == 0xffffffffu) {
    // Never needed for the result: it makes the compiler wait for `before`.
    atomicMin(&counters[kTicket], 0xffffffffu);
  }
  storageBarrier();
  if (local > 0u) {
    return;
  }
  let done = atomicAdd(&counters[kDone + link.index], 1u) + 1u;
  if (link.index == kLast && done == link.workgroups) {
    for (var i = 0u; i <= kLast; i++) {
      atomicStore(&counters[kDone + i], 0u);
    }
    atomicStore(&counters[kTicket], 0u);
  }
}

#if gated
fn Gated(gate: vec2<f32>, up: vec2<f32>) -> vec2<f32> {
  return vec2<f32>(activation(gate.x), activation(gate.y)) * up;
}
#else
fn Gated(gate: vec2<f32>, up: vec2<f32>) -> vec2<f32> {
  return gate;
}
#endif

fn BiasOf(link: Link, n: u32) -> vec2<f32> {
  return vec2<f32>(LoadBias(link.index, n), LoadBias(link.index, n + 1u));
}

fn Run(link: Link, mine: u32, local: u32) {
  let lane = local % kLanes;
  let outputs = select(link.rows, link.rows / 2u, link.gated);
  let first = ((mine - link.first) * kTeams + local / kLanes) * outputs;
  let rows = RowsOf(link, first);
  let iterations = (link.k / 32u + kLanes - 1u) / kLanes;
  var block = LoadBlock(link, rows, lane, 0u);
  let norms = LoadNorms(link, local);
  // The outputs n and n + 1 are this lane's to store.
  let n = min(first + 2u * min(lane, outputs / 2u - 1u), link.n - 2u);
  let bias = BiasOf(link, n);
  var up_bias = vec2<f32>();
  if (link.gated) {
    up_bias = BiasOf(link, link.n + n);
  }
  var residual = 0u;
  if (link.residual && link.residual_of < 0) {
    residual = LoadResidual(link.index, n / 2u);
  }
  Await(link, local);
  let row = LoadRow(link, local);
  if (link.residual && link.residual_of >= 0) {
    residual = LoadResult(u32(link.residual_of), n / 2u);
  }
  Stage(link, local, row, norms);

  var sums = vec4<f32>();
  for (var base = 0u; base < iterations; base += link.block) {
    let steps = block;
    if (base + link.block < iterations) {
      block = LoadBlock(link, rows, lane, base + link.block);
    }
    sums += Products(link, lane, base, steps.step_0);
    if (link.block > 1u) {
      sums += Products(link, lane, base + 1u, steps.step_1);
    }
    if (link.block > 2u) {
      sums += Products(link, lane, base + 2u, steps.step_2);
    }
    if (link.block > 3u) {
      sums += Products(link, lane, base + 3u, steps.step_3);
    }
    if (link.block > 4u) {
      sums += Products(link, lane, base + 4u, steps.step_4);
    }
    if (link.block > 5u) {
      sums += Products(link, lane, base + 5u, steps.step_5);
    }
    if (link.block > 6u) {
      sums += Products(link, lane, base + 6u, steps.step_6);
    }
    if (link.block > 7u) {
      sums += Products(link, lane, base + 7u, steps.step_7);
    }
  }
  let total = TeamSum(sums) * RowFactor(link);
  var before = 0u;
  if (lane < outputs / 2u && first + 2u * lane < link.n) {
    var y = select(total.xy, total.zw, lane == 1u) + bias;
    if (link.gated) {
      y = Gated(total.xy + bias, total.zw + up_bias);
    }
    y += HalvesOf(residual);
    before = StoreResult(link.index, n / 2u, bitcast<u32>(vec2<f16>(y)));
  }
  Finish(link, local, before);
}

@compute @workgroup_size(kWorkgroupSize)
fn main(@builtin(local_invocation_index) local: u32) {
  if (local == 0u) {
    ticket = atomicAdd(&counters[kTicket], 1u);
  }
  let mine = workgroupUniformLoad(&ticket);
  if (mine < kLink0.workgroups) {
    Run(kLink0, mine, local);
    return;
  }
#if link_1
  if (mine < kLink1.first + kLink1.workgroups) {
    Run(kLink1, mine, local);
    return;
  }
#endif
#if link_2
  if (mine < kLink2.first + kLink2.workgroups) {
    Run(kLink2, mine, local);
    return;
  }
#endif
#if link_3
  Run(kLink3, mine, local);
#endif
}
