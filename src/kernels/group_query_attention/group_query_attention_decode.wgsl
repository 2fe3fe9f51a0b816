// A whole GroupQueryAttention node for a few rows in one dispatch: norm and rotation of queries and
// keys, the append to the cache, flash decoding (arXiv:2311.01282) and its reduction.
// group_query_attention_decode.h has the definition.
//
// A pair is one row and one head of the group; all pairs of a kv head share its keys and values. A
// workgroup owns a set of kPairs pairs of one (batch, kv head) and one split of the keys. Keys come
// in tiles of kTile rows. Tile j belongs to split j % kSplits, so that short contexts spread over
// all splits too. The rows that are new in this dispatch are the tile after the last one. Its owner
// computes their keys from the input and writes them to the cache, where no other workgroup reads
// them in this dispatch.
//
// In a workgroup a team of kLanes neighbouring threads owns a row of a tile. Lane i holds columns
// i, i + kLanes, ..., each a unit of eight elements, of queries, keys, values and sums alike. A
// thread has kFetches units of keys and as many of values in flight: fetch n is unit n % kUnits of
// row n / kUnits * kTeams + team. Each team has its own softmax; they are merged once at the end.
//
// The splits' results (maximum, denominator and sums in f32) go to `scratch` by atomic stores,
// since other workgroups do not see plain ones. The last split to increment the counter reduces
// them and sets the counter back to 0. If one split has all keys, it writes the output itself.
//
// Indices of arrays are constants (kUnits, kRows and kPairs are at most 4): compilers put arrays
// that are indexed by a loop into memory.
//
// The host defines act_t, raw8 (eight elements in memory), pvec (f32, vec2<f32> or vec4<f32>: one
// value a pair), pmat (vec4<f32> or matPx4<f32>: four columns a pair), upvec (pvec of u32), the
// constants below, one of `pairs1`, `pairs2` and `pairs4`, and `packed`, `norm`, `rotary`,
// `position_ids`, `head_sink`, `smooth`, `bias` and `window` if the node has them.
//   kSequence, kGroup, kHeads, kKvHeads, kCols (head size / 8), kRotaryCols (rotary_dim / 16),
//   kInterleaved, kPairs, kPairSets, kSplits, kWorkgroupSize, kLanes, kUnits, kRows,
//   kMaxPartials (the most softmaxes that the workgroup merges at the end), kSubgroupLanes (0 if
//   the size of a subgroup varies), kCounterWords

struct Params {
  capacity: u32,
  local_window: u32,
  rotary_rows: u32,  // Rows of the cos and sin caches.
  q_row: u32,        // Strides and offsets of the inputs, in units of eight elements.
  kv_row: u32,
  k_offset: u32,
  v_offset: u32,
  bias_batch: u32,  // Strides of attention_bias in elements, 0 if it broadcasts.
  bias_head: u32,
  bias_total: u32,
  scale: f32,
  softcap: f32,
  epsilon: f32,
  head_rows: u32,  // Rows of a head of the caches.
  pad0: u32,
  pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> query: array<raw8>;
#if !packed
@group(0) @binding(2) var<storage, read> key: array<raw8>;
@group(0) @binding(3) var<storage, read> value: array<raw8>;
#endif
@group(0) @binding(4) var<storage, read_write> k_cache: array<raw8>;
@group(0) @binding(5) var<storage, read_write> v_cache: array<raw8>;
@group(0) @binding(6) var<storage, read> seqlens_k: array<i32>;
#if rotary
@group(0) @binding(7) var<storage, read> cos_cache: array<raw8>;
@group(0) @binding(8) var<storage, read> sin_cache: array<raw8>;
#endif
#if norm
@group(0) @binding(9) var<storage, read> q_norm_weight: array<raw8>;
@group(0) @binding(10) var<storage, read> k_norm_weight: array<raw8>;
#endif
#if position_ids
@group(0) @binding(11) var<storage, read> position_ids: array<i32>;
#endif
#if head_sink
@group(0) @binding(12) var<storage, read> head_sink: array<act_t>;
#endif
#if bias
@group(0) @binding(13) var<storage, read> attention_bias: array<act_t>;
#endif
@group(0) @binding(14) var<storage, read_write> output: array<act_t>;
@group(0) @binding(15) var<storage, read_write> scratch: array<atomic<u32>>;
#if pages
@group(0) @binding(16) var<storage, read> page_table: array<i32>;

fn page_at(i: u32) -> u32 { return u32(page_table[i]); }
#endif

alias eight = mat2x4<f32>;

const kHeadSize = kCols * 8u;
const kTeams = kWorkgroupSize / kLanes;
const kTile = kTeams * kRows;
const kFetches = kUnits * kRows;
const kValues = kPairs * kHeadSize;      // Sums of a workgroup.
const kPartial = kValues + 2u * kPairs;  // Words of a split's result: sums, maxima, denominators.
const kReduce = 16u;                     // Splits whose results a thread has in flight.
const kStats = (kSplits + kReduce - 1u) / kReduce * kReduce;

var<workgroup> partial_sums: array<vec4<f32>, kMaxPartials * kPairs * kCols * 2u>;
var<workgroup> partial_max: array<vec4<f32>, kMaxPartials>;
var<workgroup> partial_den: array<vec4<f32>, kMaxPartials>;
var<workgroup> split_max: array<f32, kStats * kPairs>;
var<workgroup> split_den: array<f32, kStats * kPairs>;
var<workgroup> is_last: u32;

#include "group_query_attention/group_query_attention_pairs.wgsl"
#include "group_query_attention/group_query_attention_inputs.wgsl"
#include "group_query_attention/group_query_attention_tables.wgsl"
#include "group_query_attention/group_query_attention_scores.wgsl"

// ---- fetches

fn fetch_column(n: u32, lane: u32) -> u32 { return min(lane + n % kUnits * kLanes, kCols - 1u); }
fn fetch_row(n: u32, team: u32) -> u32 { return n / kUnits * kTeams + team; }

// Looks up the page of row `row` of the tile that begins with row `base`.
fn fetch_page(b: u32, base: u32, row: u32) -> u32 {
  // A tile of no more rows than a page lies in one page: one lookup is enough for all its rows.
  return page_begin(b, base + select(row, 0u, kTile <= kPageRows));
}

fn cache_index(begin: u32, page: u32, row: u32, column: u32) -> u32 {
  return (begin + row_in_page(page, row)) * kCols + column;
}

#if bias
fn bias_at(i: u32) -> f32 { return f32(attention_bias[i]); }

fn pair_bias(b: u32, pair_set: u32, kv_head: u32, t: u32) -> pvec {
  let at = b * params.bias_batch + min(t, params.bias_total - 1u);
  let a = bias_at(at + pair_head(pair_set, 0u, kv_head) * params.bias_head +
                  pair_row(pair_set, 0u) * params.bias_total);
  var b1 = 0.0;
  var b2 = 0.0;
  var b3 = 0.0;
#repeat i 1..kPairs
  b$i = bias_at(at + pair_head(pair_set, $i, kv_head) * params.bias_head +
                pair_row(pair_set, $i) * params.bias_total);
#endrepeat
  return select(pvec(0.0), pair_vector(a, b1, b2, b3), t < params.bias_total);
}
#else
fn pair_bias(b: u32, pair_set: u32, kv_head: u32, t: u32) -> pvec { return pvec(0.0); }
#endif

// ---- results

fn keep_column(partial: u32, i: u32, column: u32, lo: vec4<f32>, hi: vec4<f32>) {
  let at = ((partial * kPairs + i) * kCols + column) * 2u;
  partial_sums[at] = lo;
  partial_sums[at + 1u] = hi;
}

fn keep_unit(partial: u32, column: u32, x: Unit) {
  if (column < kCols) {
#repeat i 0..kPairs
    keep_column(partial, $i, column, pair_column(x.lo, $i), pair_column(x.hi, $i));
#endrepeat
  }
}

// Writes element `j` of the output, counted pair by pair. `sum` and the denominator `den` are
// relative to exp(largest). The sink is a logit without a value.
fn write_output(b: u32, pair_set: u32, kv_head: u32, j: u32, sum: f32, den: f32, largest: f32) {
  let i = j / kHeadSize;
  if (pair_set * kPairs + i >= kGroup * kSequence) {
    return;
  }
  let h = pair_head(pair_set, i, kv_head);
  var denominator = den;
  var numerator = sum;
#if head_sink
  let sink = f32(head_sink[h]);
  let with_sink = max(largest, sink);
  denominator = den * exp(largest - with_sink) + exp(sink - with_sink);
  numerator = sum * exp(largest - with_sink);
#endif
#if smooth
  let with_zero = max(largest, 0.0);
  denominator = den * exp(largest - with_zero) + exp(-with_zero);
  numerator = sum * exp(largest - with_zero);
#endif
  let at = ((b * kSequence + pair_row(pair_set, i)) * kHeads + h) * kHeadSize + j % kHeadSize;
  output[at] = act_t(select(0.0, numerator / denominator, denominator > 0.0));
}

fn scratch_at(i: u32) -> f32 { return bitcast<f32>(atomicLoad(&scratch[i])); }

// Returns value j of splits i to i + 3.
fn load4(item: u32, i: u32, j: u32, count: u32) -> vec4<f32> {
  let last = count - 1u;
  return vec4<f32>(scratch_at(item + min(i, last) * kPartial + j),
                   scratch_at(item + min(i + 1u, last) * kPartial + j),
                   scratch_at(item + min(i + 2u, last) * kPartial + j),
                   scratch_at(item + min(i + 3u, last) * kPartial + j));
}

fn load16(item: u32, i: u32, j: u32, count: u32) -> mat4x4<f32> {
  return mat4x4<f32>(load4(item, i, j, count), load4(item, i + 4u, j, count),
                     load4(item, i + 8u, j, count), load4(item, i + 12u, j, count));
}

fn stats4(i: u32, pair: u32, den: bool) -> vec4<f32> {
  let at = i * kPairs + pair;
  if (den) {
    return vec4<f32>(split_den[at], split_den[at + kPairs], split_den[at + 2u * kPairs],
                     split_den[at + 3u * kPairs]);
  }
  return vec4<f32>(split_max[at], split_max[at + kPairs], split_max[at + 2u * kPairs],
                   split_max[at + 3u * kPairs]);
}

@compute @workgroup_size(kWorkgroupSize)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>,
#if subgroups
        @builtin(subgroup_size) subgroup_lanes: u32,
#endif
        @builtin(local_invocation_index) local: u32) {
  let split = workgroup.x;
  let kv_head = workgroup.y;
  let b = workgroup.z / kPairSets;
  let pair_set = workgroup.z % kPairSets;
  let lane = local % kLanes;
  let team = local / kLanes;
  let cache_begin = head_begin(b, kv_head, kKvHeads);
#repeat i 0..4
  let col$i = fetch_column($i, lane);
  let row$i = fetch_row($i, team);
#endrepeat

  let total = u32(max(seqlens_k[b] + 1, 0));
  let past = max(total, kSequence) - kSequence;
  let old_rows = min(past, params.capacity);
  let tiles = (old_rows + kTile - 1u) / kTile;
  var first_tile = 0u;
#if window
  first_tile = min(key_range(pair_set, 0u, past, total).x, old_rows) / kTile;
#endif
  // `place` is the index of this split among the active splits. Tiles first_tile to `tiles` have
  // keys; the last of them is the new rows.
  let place = (split + kSplits - first_tile % kSplits) % kSplits;
  let active_splits = min(tiles - first_tile + 1u, kSplits);

  // The first keys and values are loaded before anything that depends on another load is known,
  // unless a window moves them. Rows that do not exist yet are masked below.
  var tile = split;
#if window
  tile = first_tile + place;
#endif
  let base0 = tile * kTile;
#repeat i 0..4
  var page$i = fetch_page(b, base0, row$i);
#endrepeat
  var next_k0 = k_cache[cache_index(cache_begin, page0, base0 + row0, col0)];
  var next_v0 = v_cache[cache_index(cache_begin, page0, base0 + row0, col0)];
#repeat i 1..4
  var next_k$i = next_k0;
  var next_v$i = next_v0;
#endrepeat
#repeat c k v
#repeat i 1..4
  if (kFetches > $i) {
    next_$c$i = $c_cache[cache_index(cache_begin, page$i, base0 + row$i, col$i)];
  }
#endrepeat
#endrepeat
  // Pages are looked up one tile before their rows are loaded.
#repeat i 0..4
  page$i = fetch_page(b, base0 + kSplits * kTile, row$i);
#endrepeat

  if (place >= active_splits) {
    return;
  }

  // The queries after norm and rotation. Every team has all of them, a lane its columns.
  var inv_std = vec4<f32>(1.0);
#if norm
  var square = unit_squares(b, pair_set, kv_head, lane);
#repeat i 1..kUnits
  square += unit_squares(b, pair_set, kv_head, lane + $i * kLanes);
#endrepeat
  inv_std = 1.0 / sqrt(pair_vec4(team_sum(square, local)) / f32(kHeadSize) + params.epsilon);
#endif
  var q = array<Unit, kUnits>();
#repeat i 0..kUnits
  q[$i] = query_unit(b, pair_set, kv_head, lane + $i * kLanes, inv_std, past);
#endrepeat

#repeat i 0..4
  let range$i = key_range(pair_set, $i, past, total);
#endrepeat
  let begin = pair_counts(range0.x, range1.x, range2.x, range3.x);
  let end = pair_counts(range0.y, range1.y, range2.y, range3.y);

  var largest = pvec(kMasked);
  var den = pvec(0.0);
  var acc = array<Unit, kUnits>();
  for (; tile <= tiles; tile += kSplits) {
#repeat i 0..4
    var k$i = next_k$i;
    var v$i = next_v$i;
#endrepeat
    if (tile + kSplits < tiles) {
      let next = (tile + kSplits) * kTile;
#repeat c k v
#repeat i 0..4
      if (kFetches > $i) {
        next_$c$i = $c_cache[cache_index(cache_begin, page$i, next + row$i, col$i)];
      }
#endrepeat
#endrepeat
#repeat i 0..4
      page$i = fetch_page(b, next + kSplits * kTile, row$i);
#endrepeat
    }
    var base = tile * kTile;
    var rows_end = old_rows;
    if (tile == tiles) {
      base = past;
      rows_end = past + kSequence;
      var k_inv = array<f32, kRows>();
      k_inv[0] = key_inv_std(b, kv_head, team, lane, local);
#repeat i 1..kRows
      if ($i * kTeams < kSequence) {
        k_inv[$i] = key_inv_std(b, kv_head, $i * kTeams + team, lane, local);
      }
#endrepeat
      k0 = new_key(b, kv_head, row0, col0, k_inv[0], past);
      v0 = value_at(new_row(b, kv_head, row0) + col0);
#repeat i 1..4
      if (kFetches > $i && $i / kUnits * kTeams < kSequence) {
        k$i = new_key(b, kv_head, row$i, col$i, k_inv[$i / kUnits % kRows], past);
        v$i = value_at(new_row(b, kv_head, row$i) + col$i);
      }
#endrepeat
      if (pair_set == 0u) {
#repeat i 0..4
        if (kFetches > $i) {
          append(b, cache_begin, past, row$i, lane + $i % kUnits * kLanes, k$i, v$i);
        }
#endrepeat
      }
    }

    var s = array<pvec, kRows>();
    s[0] = score_part(k0, q[0]);
#repeat i 1..4
    if (kFetches > $i) { s[$i / kUnits % kRows] += score_part(k$i, q[$i % kUnits]); }
#endrepeat

    let visible = min(end, upvec(rows_end));
    let t = base + team;
    var new_largest = largest;
#repeat i 0..kRows
    s[$i] = finish_scores(team_sum(s[$i], local), pair_bias(b, pair_set, kv_head, t + $i * kTeams),
                          t + $i * kTeams, begin, visible);
    new_largest = max(new_largest, s[$i]);
#endrepeat

    let shrink = exp(largest - new_largest);
    largest = new_largest;
    s[0] = weights_of(s[0], largest);
    den = den * shrink + s[0];
#repeat i 1..kRows
    s[$i] = weights_of(s[$i], largest);
    den += s[$i];
#endrepeat

#repeat i 0..kUnits
    acc[$i] = scale_unit(acc[$i], shrink);
#endrepeat
#repeat i 0..4
    if (kFetches > $i) {
      acc[$i % kUnits] =
          add_values(acc[$i % kUnits], v$i, s[$i / kUnits % kRows], base + row$i < rows_end);
    }
#endrepeat
  }

  // Merge the teams of a subgroup into one partial result, then the partial results into the
  // split's result.
  var partial = team;
  var keeps = true;
  var partials = kTeams;
#if subgroups
  // A constant for the compiler if every subgroup has as many lanes.
  let lanes = select(subgroup_lanes, kSubgroupLanes, kSubgroupLanes > 0u);
  var partial_largest = largest;
  for (var offset = kLanes; offset < lanes; offset *= 2u) {
    partial_largest = max(partial_largest, subgroupShuffleXor(partial_largest, offset));
  }
  let factor = exp(largest - partial_largest);
  largest = partial_largest;
  den *= factor;
#repeat i 0..kUnits
  acc[$i] = scale_unit(acc[$i], factor);
#endrepeat
  for (var offset = kLanes; offset < lanes; offset *= 2u) {
    den += subgroupShuffleXor(den, offset);
#repeat i 0..kUnits
    acc[$i] = add_across(acc[$i], offset);
#endrepeat
  }
  partial = local / lanes;
  keeps = local % lanes < kLanes;
  partials = kWorkgroupSize / lanes;
#endif
  if (keeps) {
#repeat i 0..kUnits
    keep_unit(partial, lane + $i * kLanes, acc[$i]);
#endrepeat
    if (lane == 0u) {
      partial_max[partial] = pair_vec4(largest);
      partial_den[partial] = pair_vec4(den);
    }
  }
  workgroupBarrier();

  let counter = (b * kKvHeads + kv_head) * kPairSets + pair_set;
  let item = kCounterWords + counter * kSplits * kPartial;
  let own = item + place * kPartial;
  for (var j = local; j < kValues; j += kWorkgroupSize) {
    let i = j / kHeadSize;
    var split_largest = partial_max[0][i];
    for (var p = 1u; p < partials; p++) {
      split_largest = max(split_largest, partial_max[p][i]);
    }
    var sum = 0.0;
    var split_sum = 0.0;
    for (var p = 0u; p < partials; p++) {
      let w = exp(partial_max[p][i] - split_largest);
      sum += w * partial_sums[p * (kValues / 4u) + j / 4u][j % 4u];
      split_sum += w * partial_den[p][i];
    }
    if (active_splits == 1u) {
      write_output(b, pair_set, kv_head, j, sum, split_sum, split_largest);
    } else {
      atomicStore(&scratch[own + j], bitcast<u32>(sum));
      if (j % kHeadSize == 0u) {
        atomicStore(&scratch[own + kValues + i], bitcast<u32>(split_largest));
        atomicStore(&scratch[own + kValues + kPairs + i], bitcast<u32>(split_sum));
      }
    }
  }
  if (active_splits == 1u) {
    return;
  }

  // The last split to finish reduces them all.
  storageBarrier();
  workgroupBarrier();
  if (local == 0u) {
    let before = atomicAdd(&scratch[counter], 1u);
    is_last = select(0u, 1u, before + 1u == active_splits);
    if (before + 1u == active_splits) {
      atomicStore(&scratch[counter], 0u);
    }
  }
  if (workgroupUniformLoad(&is_last) == 0u) {
    return;
  }
  storageBarrier();
  // A thread loads its first results while the statistics arrive.
  var values = load16(item, 0u, min(local, kValues - 1u), active_splits);
  let padded = (active_splits + kReduce - 1u) / kReduce * kReduce;
  for (var x = local; x < padded * kPairs; x += kWorkgroupSize) {
    let at = item + min(x / kPairs, active_splits - 1u) * kPartial + kValues + x % kPairs;
    let there = x / kPairs < active_splits;
    split_max[x] = select(kMasked, scratch_at(at), there);
    split_den[x] = select(0.0, scratch_at(at + kPairs), there);
  }
  workgroupBarrier();
  for (var j = local; j < kValues; j += kWorkgroupSize) {
    let i = j / kHeadSize;
    var all_largest = kMasked;
    for (var first = 0u; first < active_splits; first += 4u) {
      let m = stats4(first, i, false);
      all_largest = max(all_largest, max(max(m.x, m.y), max(m.z, m.w)));
    }
    var sum = 0.0;
    var all_den = 0.0;
    for (var first = 0u; first < active_splits; first += kReduce) {
      if (first > 0u) {
        values = load16(item, first, j, active_splits);
      }
      let w0 = exp(stats4(first, i, false) - all_largest);
      let w1 = exp(stats4(first + 4u, i, false) - all_largest);
      let w2 = exp(stats4(first + 8u, i, false) - all_largest);
      let w3 = exp(stats4(first + 12u, i, false) - all_largest);
      // Past the last split a result repeats the last one. Its weight must be 0 even if every
      // maximum is kMasked.
      let behind = vec4<u32>(0u, 1u, 2u, 3u) + first;
      sum += dot(values[0], select(vec4<f32>(0.0), w0, behind < vec4<u32>(active_splits))) +
             dot(values[1], select(vec4<f32>(0.0), w1, behind + 4u < vec4<u32>(active_splits))) +
             dot(values[2], select(vec4<f32>(0.0), w2, behind + 8u < vec4<u32>(active_splits))) +
             dot(values[3], select(vec4<f32>(0.0), w3, behind + 12u < vec4<u32>(active_splits)));
      all_den += dot(stats4(first, i, true), w0) + dot(stats4(first + 4u, i, true), w1) +
                 dot(stats4(first + 8u, i, true), w2) + dot(stats4(first + 12u, i, true), w3);
    }
    write_output(b, pair_set, kv_head, j, sum, all_den, all_largest);
    values = load16(item, 0u, min(j + kWorkgroupSize, kValues - 1u), active_splits);
  }
}
