// Attention before a link of layer_chain.wgsl, for one row: norm and rotation of queries and key,
// the append to the cache, flash decoding (arXiv:2311.01282) and its reduction.
// group_query_attention_decode.h has the definition. Queries, key and value are one row: the result
// of the link before, or the input.
//
// An item is one kv head and one split of its keys. Tile j of the keys belongs to split j %
// kSplits, and the new row is the tile after the last one. A team of kLanes threads owns one row of
// a tile; a thread has eight columns of it for all heads of the group, one pair for each (pairs
// past the group repeat the last). In the reduction a workgroup has a slice of the output of a
// group of heads, and kSplits neighbouring threads have one element of it, one thread for each
// split. The result is the row that the link multiplies.
//
// `rows` holds, from kAttentionRow on, the output, two f16 in a word, and, from kPartials on,
// kPartial words of f32 for each item: sums, maxima, denominators.

alias eight = mat2x4<f32>;

const kUnits = 1u;
const kHeadSize = kCols * 8u;
const kTile = kWorkgroupSize / kLanes;
const kValues = kPairs * kHeadSize;
const kPartial = kValues + 2u * kPairs;
const kItems = kKvHeads * kSplits;
const kSlice = kValues / kSplits;
const kMergeLanes = 8u;

var<workgroup> partial_max: array<vec4<f32>, kSubgroups>;
var<workgroup> partial_den: array<vec4<f32>, kSubgroups>;
// A group's queries, then the key and the value that it shares.
var<workgroup> fresh: array<vec4<u32>, (kGroup + 2u) * kCols>;

#include "group_query_attention/group_query_attention_pairs.wgsl"
#include "group_query_attention/group_query_attention_rotation.wgsl"
#include "group_query_attention/group_query_attention_scores.wgsl"

#if rotary
fn cos_unit(i: u32) -> raw8 { return rotary[i]; }
fn sin_unit(i: u32) -> raw8 { return rotary[params.rotary_rows * kRotaryCols + i]; }
#endif
#if norm
var<private> norm_vectors: u32;  // First word of the layer in `vectors`.

fn vector_unit(word: u32) -> raw8 {
  let at = norm_vectors + word;
  return raw8(vectors[at], vectors[at + 1u], vectors[at + 2u], vectors[at + 3u]);
}
fn q_norm_unit(i: u32) -> raw8 { return vector_unit(kQNormAt + 4u * i); }
fn k_norm_unit(i: u32) -> raw8 { return vector_unit(kKNormAt + 4u * i); }
#endif

// The rows of the cache that exist, and how the splits share them.
struct Extent {
  past: u32,
  total: u32,
  old_rows: u32,
  tiles: u32,          // Tiles of old rows.
  first_tile: u32,     // First tile that a query sees.
  active_splits: u32,  // Splits that have a tile.
}

fn extent_of() -> Extent {
  var extent = Extent();
  extent.total = u32(max(seqlens_k + 1, 0));
  extent.past = max(extent.total, 1u) - 1u;
  extent.old_rows = min(extent.past, params.capacity);
  extent.tiles = (extent.old_rows + kTile - 1u) / kTile;
#if window
  extent.first_tile = min(key_range(0u, 0u, extent.past, extent.total).x, extent.old_rows) / kTile;
#endif
  extent.active_splits = min(extent.tiles - extent.first_tile + 1u, kSplits);
  return extent;
}

struct KeyAndValue {
  key: raw8,
  value: raw8,
}

// Looks up the page of a team's row of a tile. A tile of no more rows than a page lies in one page,
// which is the same for all threads.
fn page_of(tile: u32, team: u32) -> u32 {
  return page_begin(0u, tile * kTile + select(team, 0u, kTile <= kPageRows));
}

fn load_tile(cache_begin: u32, page: u32, tile: u32, team: u32, column: u32) -> KeyAndValue {
  let at = (cache_begin + row_in_page(page, tile * kTile + team)) * kCols + column;
  return KeyAndValue(k_cache[at], v_cache[at]);
}

// A column of eight elements, and the column that a rotation pairs with it.
struct Column {
  own: raw8,
  partner: raw8,
}

// Inputs of the queries and of the new row. All of them are loaded before the first is used.
struct Sources {
#repeat i 0..4
  q_$i: Column,
#endrepeat
  key: Column,
  value: raw8,
  q_norm: Column,
  k_norm: Column,
  angles: Angles,
}

// Waits for word `word` of the row of queries, key and value.
fn await_fresh(word: u32) -> u32 {
  if (kQueryRow == kNone) {
    return input_word(word);
  }
  return await_word(layer_rows + kQueryRow + word);
}

fn stage_fresh(kv_head: u32, local: u32) {
  const row_words = kCols * 4u;
  // Threads may still read the old contents. For CPUs that act as GPUs see load_row.
  workgroupBarrier();
  for (var i = local; i < (kGroup + 2u) * row_words; i += kWorkgroupSize) {
    let row = i / row_words;
    let head = select(kv_head * kGroup + row, kKvHeads * row + kv_head, row >= kGroup);
    fresh[i / 4u][i % 4u] = await_fresh(head * row_words + i % row_words);
  }
  workgroupBarrier();
}

// Returns a column of row `row` of `fresh`.
fn fresh_column(row: u32, column: u32) -> Column {
  return Column(fresh[row * kCols + column], fresh[row * kCols + partner_of(column)]);
}

// Returns a column of the query of the group's head i; heads past the last repeat it.
fn load_query(i: u32, column: u32) -> Column {
  return fresh_column(min(i, kGroup - 1u), column);
}

fn load_sources(column: u32, past: u32) -> Sources {
  let partner = partner_of(column);
  var sources = Sources();
#repeat i 0..kPairs
  sources.q_$i = load_query($i, column);
#endrepeat
  sources.key = fresh_column(kGroup, column);
  sources.value = fresh[(kGroup + 1u) * kCols + column];
#if norm
  sources.q_norm = Column(q_norm_unit(column), q_norm_unit(partner));
  sources.k_norm = Column(k_norm_unit(column), k_norm_unit(partner));
#endif
  sources.angles = angles_of(column, past);
  return sources;
}

#if norm
fn apply_norm(x: Column, inv_std: f32, weights: Column) -> array<eight, 2> {
  return array<eight, 2>(times(unpack(x.own), unpack(weights.own), inv_std),
                         times(unpack(x.partner), unpack(weights.partner), inv_std));
}
#else
fn apply_norm(x: Column, inv_std: f32, weights: Column) -> array<eight, 2> {
  return array<eight, 2>(unpack(x.own), unpack(x.partner));
}
#endif

// Returns a column after norm and rotation. Columns past the last are zeros.
fn apply_rotation(x: Column, inv_std: f32, weights: Column, lane: u32, angles: Angles) -> eight {
  let normed = apply_norm(x, inv_std, weights);
  let rotated = rotate_by(normed[0], normed[1], min(lane, kCols - 1u), angles);
  if (lane >= kCols) {
    return eight();
  }
  return rotated;
}

fn squares_of(x: Column, lane: u32) -> f32 {
  return select(0.0, squares(unpack(x.own)), lane < kCols);
}

// 1 / sqrt(mean of squares) of the queries and of the key.
struct InvStds {
  q: vec4<f32>,
  k: f32,
}

#if norm
fn inv_stds_of(sources: Sources, lane: u32, local: u32) -> InvStds {
  var q = vec4<f32>(squares_of(sources.q_0, lane));
#repeat i 1..kPairs
  q[$i] = squares_of(sources.q_$i, lane);
#endrepeat
  let q_sums = pair_vec4(team_sum(pair_vector(q.x, q.y, q.z, q.w), local));
  let k_sum = pair_vec4(team_sum(pvec(squares_of(sources.key, lane)), local)).x;
  return InvStds(1.0 / sqrt(q_sums / f32(kHeadSize) + params.epsilon),
                 1.0 / sqrt(k_sum / f32(kHeadSize) + params.epsilon));
}
#else
fn inv_stds_of(sources: Sources, lane: u32, local: u32) -> InvStds {
  return InvStds(vec4<f32>(1.0), 1.0);
}
#endif

fn queries_of(sources: Sources, inv_std: vec4<f32>, lane: u32) -> Unit {
  let a = apply_rotation(sources.q_0, inv_std.x, sources.q_norm, lane, sources.angles);
  var a1 = a;
  var a2 = a;
  var a3 = a;
#repeat i 1..kPairs
  a$i = apply_rotation(sources.q_$i, inv_std[$i], sources.q_norm, lane, sources.angles);
#endrepeat
  return Unit(pair_matrix(a[0], a1[0], a2[0], a3[0]), pair_matrix(a[1], a1[1], a2[1], a3[1]));
}

// The softmax over a team's rows so far, for every pair.
struct Softmax {
  largest: pvec,
  den: pvec,
  sums: Unit,
}

// Adds a team's row, at position t, to its softmax. The row counts if begin <= t < end.
fn add_row(softmax: ptr<function, Softmax>, row: KeyAndValue, q: Unit, t: u32, begin: u32, end: u32,
          local: u32) {
  let score = finish_scores(team_sum(score_part(row.key, q), local), pvec(0.0), t, upvec(begin),
                            upvec(end));
  let largest = max((*softmax).largest, score);
  let shrink = exp((*softmax).largest - largest);
  let weight = weights_of(score, largest);
  (*softmax).largest = largest;
  (*softmax).den = (*softmax).den * shrink + weight;
  (*softmax).sums = add_values(scale_unit((*softmax).sums, shrink), row.value, weight, t < end);
}

// Returns where sums 4 quad to 4 quad + 3 of pair i lie in partial result `partial`. They use the
// memory of the links' rows.
fn partial_at(partial: u32, i: u32, quad: u32) -> u32 {
  return (partial * kPairs + i) * kCols * 2u + quad;
}

fn keep_partial(partial: u32, i: u32, lane: u32, sums: Unit) {
  h[partial_at(partial, i, 2u * lane)] = bitcast<vec4<u32>>(pair_column(sums.lo, i));
  h[partial_at(partial, i, 2u * lane + 1u)] = bitcast<vec4<u32>>(pair_column(sums.hi, i));
}

// Returns the index of an item's split among the active splits of its head.
fn place_of(item: u32, extent: Extent) -> u32 {
  return (item % kSplits + kSplits - extent.first_tile % kSplits) % kSplits;
}

// Returns a team's softmax over the rows of an item.
fn attend_split(layer: u32, item: u32, extent: Extent, local: u32) -> Softmax {
  let kv_head = item / kSplits;
  let lane = local % kLanes;
  let team = local / kLanes;
  let column = min(lane, kCols - 1u);
  let cache_begin = layer * params.cache_layer + head_begin(0u, kv_head, kKvHeads);
  let place = place_of(item, extent);
  var tile = extent.first_tile + place;
  var next = load_tile(cache_begin, page_of(tile, team), tile, team, column);
  // Pages are looked up one tile before their rows are loaded.
  var page = page_of(tile + kSplits, team);
  var softmax = Softmax(pvec(kMasked), pvec(0.0), Unit());
  if (place >= extent.active_splits) {
    return softmax;
  }
  stage_fresh(kv_head, local);
  let sources = load_sources(column, extent.past);
  let inv_stds = inv_stds_of(sources, lane, local);
  let q = queries_of(sources, inv_stds.q, lane);
  let range = key_range(0u, 0u, extent.past, extent.total);

  for (; tile < extent.tiles; tile += kSplits) {
    let now = next;
    if (tile + kSplits < extent.tiles) {
      next = load_tile(cache_begin, page, tile + kSplits, team, column);
      page = page_of(tile + 2u * kSplits, team);
    }
    add_row(&softmax, now, q, tile * kTile + team, range.x, min(extent.old_rows, range.y), local);
  }
  if (tile == extent.tiles) {
    let new_key = apply_rotation(sources.key, inv_stds.k, sources.k_norm, lane, sources.angles);
    let new_row = KeyAndValue(pack(new_key), sources.value);
    append(0u, cache_begin, extent.past, team, lane, new_row.key, new_row.value);
    add_row(&softmax, new_row, q, extent.past + team, range.x, min(extent.past + 1u, range.y),
            local);
  }
  return softmax;
}

// Merges the teams' softmaxes of an item and publishes the result.
fn publish_split(item: u32, extent: Extent, softmax: Softmax, local: u32) {
  let place = place_of(item, extent);
  if (place >= extent.active_splits) {
    return;
  }
  // Merge the teams of a subgroup.
  var largest = softmax.largest;
  for (var offset = kLanes; offset < kSubgroup; offset *= 2u) {
    largest = max(largest, subgroupShuffleXor(largest, offset));
  }
  let factor = exp(softmax.largest - largest);
  var den = softmax.den * factor;
  var sums = scale_unit(softmax.sums, factor);
  for (var offset = kLanes; offset < kSubgroup; offset *= 2u) {
    den += subgroupShuffleXor(den, offset);
    sums = add_across(sums, offset);
  }
  let lane = local % kLanes;
  let partial = local / kSubgroup;
  if (local % kSubgroup < kCols) {
#repeat i 0..kPairs
    keep_partial(partial, $i, lane, sums);
#endrepeat
    if (lane == 0u) {
      partial_max[partial] = pair_vec4(largest);
      partial_den[partial] = pair_vec4(den);
    }
  }
  workgroupBarrier();
  merge_partials(kPartials + (item / kSplits * kSplits + place) * kPartial, local);
  workgroupBarrier();
}

// Merges the subgroups' partial results: kMergeLanes neighbouring threads have four columns of a
// pair, and each takes some of the partial results.
fn merge_partials(result: u32, local: u32) {
  const quads = kWorkgroupSize / kMergeLanes;  // Quads at a time.
  let lane = local % kMergeLanes;
  for (var first = 0u; first < kValues / 4u; first += quads) {
    let quad = min(first + local / kMergeLanes, kValues / 4u - 1u);
    let i = quad / (kHeadSize / 4u);
    var lane_largest = kMasked;
    for (var partial = lane; partial < kSubgroups; partial += kMergeLanes) {
      lane_largest = max(lane_largest, partial_max[partial][i]);
    }
    var largest = lane_largest;
    for (var offset = 1u; offset < kMergeLanes; offset *= 2u) {
      largest = max(largest, subgroupShuffleXor(largest, offset));
    }
    var den = 0.0;
    var sums = vec4<f32>();
    for (var partial = lane; partial < kSubgroups; partial += kMergeLanes) {
      let weight = exp(partial_max[partial][i] - largest);
      den += weight * partial_den[partial][i];
      sums += weight * bitcast<vec4<f32>>(h[partial_at(partial, i, quad % (kHeadSize / 4u))]);
    }
    for (var offset = 1u; offset < kMergeLanes; offset *= 2u) {
      den += subgroupShuffleXor(den, offset);
      sums += subgroupShuffleXor(sums, offset);
    }
    if (first + local / kMergeLanes < kValues / 4u) {
      if (lane < 4u) {
        publish(result + 4u * quad + lane, bitcast<u32>(component(sums, lane)));
      } else if (lane == 4u && quad % (kHeadSize / 4u) == 0u) {
        publish(result + kValues + i, bitcast<u32>(largest));
        publish(result + kValues + kPairs + i, bitcast<u32>(den));
      }
    }
  }
}

// Waits for a split's sum, maximum and denominator of one element.
fn await_partial(result: u32, value: u32) -> vec3<f32> {
  let i = value / kHeadSize;
  let at = vec3<u32>(value, kValues + i, kValues + kPairs + i) + result;
  var words = vec3<u32>();
  for (var looks = 0u; ; looks++) {
    words = vec3<u32>(peek(at.x), peek(at.y), peek(at.z));
    if (!is_missing(max(max(words.x, words.y), words.z)) || is_stuck(looks)) {
      break;
    }
  }
  return bitcast<vec3<f32>>(words);
}

fn reduce_slice(item: u32, extent: Extent, local: u32) {
  let kv_head = item / kSplits;
  let place = local % kSplits;
  const values = kWorkgroupSize / kSplits;  // Values at a time.
  for (var first = 0u; first < kSlice; first += values) {
    let element = first + local / kSplits;
    let value = item % kSplits * kSlice + min(element, kSlice - 1u);
    var partial = vec3<f32>(0.0, kMasked, 0.0);
    if (place < extent.active_splits) {
      partial = await_partial(layer_rows + kPartials + (kv_head * kSplits + place) * kPartial,
                              value);
    }
    var largest = partial.y;
    for (var offset = 1u; offset < kSplits; offset *= 2u) {
      largest = max(largest, subgroupShuffleXor(largest, offset));
    }
    var sums = partial.xz * exp(partial.y - largest);
    for (var offset = 1u; offset < kSplits; offset *= 2u) {
      sums += subgroupShuffleXor(sums, offset);
    }
    let output = select(0.0, sums.x / sums.y, sums.y > 0.0);
    let neighbour = subgroupShuffleXor(output, kSplits);
    let i = value / kHeadSize;
    if (place == 0u && element % 2u == 0u && element < kSlice && i < kGroup) {
      let word = ((kv_head * kGroup + i) * kHeadSize + value % kHeadSize) / 2u;
      publish(kAttentionRow + word, bitcast<u32>(vec2<f16>(vec2<f32>(output, neighbour))));
    }
  }
}

fn attend(layer: u32, part: u32, local: u32) {
#if norm
  norm_vectors = layer * kVectorWords;
#endif
  let extent = extent_of();
  for (var item = part; item < kItems; item += kWorkgroups) {
    let softmax = attend_split(layer, item, extent, local);
    publish_split(item, extent, softmax, local);
  }
  // For CPUs that act as GPUs: see load_row.
  workgroupBarrier();
  for (var item = part; item < kItems; item += kWorkgroups) {
    reduce_slice(item, extent, local);
  }
}
