// Prepares the attention of many rows in one dispatch: writes queries to `q` and keys to k_cache,
// both after norm and rotation, and values unchanged to v_cache.
// group_query_attention_prepare.h has the definition.
//
// A team of kLanes neighbouring threads owns one head of one row, thread i the eight elements of
// column i. A workgroup has kTeams consecutive heads; a row has queries, then keys, then values.
//
// The host defines what group_query_attention_decode.wgsl says, with one pair and one unit, and
// kBatch.

struct Params {
  capacity: u32,
  local_window: u32,
  rotary_rows: u32,
  q_row: u32,
  kv_row: u32,
  k_offset: u32,
  v_offset: u32,
  grid_x: u32,
  epsilon: f32,
  head_rows: u32,
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
@group(0) @binding(12) var<storage, read_write> q: array<raw8>;
#if pages
@group(0) @binding(13) var<storage, read> page_table: array<i32>;

fn page_at(i: u32) -> u32 { return u32(page_table[i]); }
#endif

alias eight = mat2x4<f32>;

const kHeadSize = kCols * 8u;
const kTeams = kWorkgroupSize / kLanes;
const kHeadsOfRow = kHeads + 2u * kKvHeads;

#include "group_query_attention/group_query_attention_pairs.wgsl"
#include "group_query_attention/group_query_attention_inputs.wgsl"
#include "group_query_attention/group_query_attention_tables.wgsl"

@compute @workgroup_size(kWorkgroupSize)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let item = (workgroup.y * params.grid_x + workgroup.x) * kTeams + local / kLanes;
  let column = local % kLanes;
  let there = item < kBatch * kSequence * kHeadsOfRow && column < kCols;
  let row = min(item / kHeadsOfRow, kBatch * kSequence - 1u);
  let head = item % kHeadsOfRow;
  let b = row / kSequence;
  let s = row % kSequence;
  let past = u32(max(seqlens_k[b] + 1 - i32(kSequence), 0));
  let at = min(column, kCols - 1u);
  let is_query = head < kHeads;
  let is_key = !is_query && head < kHeads + kKvHeads;
  let kv_head = select(head - kHeads, head - kHeads - kKvHeads, head >= kHeads + kKvHeads);

  // First unit of the head in its input.
  let begin = select(row * params.kv_row + kv_head * kCols, row * params.q_row + head * kCols,
                     is_query);
  var own = eight();
  var partner = eight();
  if (is_query) {
    own = unpack(query[begin + at]);
    partner = unpack(query[begin + partner_of(at)]);
  } else if (is_key) {
    own = unpack(key_at(begin + at));
    partner = unpack(key_at(begin + partner_of(at)));
  }
  var inv_std = 1.0;
#if norm
  let sum = team_sum(select(0.0, squares(own), column < kCols), local);
  inv_std = 1.0 / sqrt(sum / f32(kHeadSize) + params.epsilon);
#endif
  if (!there) {
    return;
  }
  let angle = position(b, s, past);
  let cache_at = (head_begin(b, kv_head, kKvHeads) + cache_row(b, past + s)) * kCols + column;
  if (is_query) {
    own = norm_query(own, at, inv_std);
    partner = norm_query(partner, partner_of(at), inv_std);
    q[(row * kHeads + head) * kCols + column] = pack(rotate(own, partner, column, angle));
  } else if (past + s < params.capacity) {
    if (is_key) {
      own = norm_key(own, at, inv_std);
      partner = norm_key(partner, partner_of(at), inv_std);
      k_cache[cache_at] = pack(rotate(own, partner, column, angle));
    } else {
      v_cache[cache_at] = value_at(begin + column);
    }
  }
}
