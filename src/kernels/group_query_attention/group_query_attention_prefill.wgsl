// Attention for many rows: one workgroup owns kRows pairs (row, head of the group) of one (batch,
// kv head), which share every tile of keys. Pair p is row p / group, head p % group.
//
// For each tile of kKeys keys:
//   1. Scores: thread (r, key) of kWorkgroupSize / kKeys x kKeys takes rows 4 r to 4 r + 3. Queries
//      and keys go through workgroup memory in steps of kStepCols columns.
//   2. Online softmax: 8 threads a row, 4 keys each.
//   3. Values: thread (g, c) of kRowGroups x kCols owns column c of rows g, g + kRowGroups, ... and
//      reads the values from the cache directly, four keys at a time.
// Indices of private arrays are constants: NVIDIA's compiler does not unroll loops over arrays and
// then keeps them in memory.
// Workgroup memory: 2 KiB queries + 4.5 KiB keys + 2 KiB weights + 0.7 KiB statistics.
//
// The host defines what group_query_attention.wgsl says (kVec is 4, kCols <= kWorkgroupSize).

#include "group_query_attention/group_query_attention.wgsl"

const kWorkgroupSize = 128u;
const kRows = 16u;
const kKeys = 32u;
const kStepCols = 8u;
const kKeyStride = kStepCols + 1u;  // Odd, so that neighbouring keys are in different banks.
const kRowsPerScore = 4u;           // kRows * kKeys / kWorkgroupSize
const kThreadsPerRow = 8u;          // kWorkgroupSize / kRows
const kRowGroups = kWorkgroupSize / kCols;
const kRowsPerThread = (kRows + kRowGroups - 1u) / kRowGroups;

var<workgroup> q_tile: array<vec4<f32>, kRows * kStepCols>;
var<workgroup> k_tile: array<vec4<f32>, kKeys * kKeyStride>;
var<workgroup> weights: array<vec4<f32>, kRows * kKeys / 4u>;
var<workgroup> partials: array<f32, kWorkgroupSize>;
var<workgroup> row_max: array<f32, kRows>;
var<workgroup> row_sum: array<f32, kRows>;
var<workgroup> row_shrink: array<f32, kRows>;

// Writes the score of row `row` of the pairs with key `key` of the tile, or kMasked.
fn put_score(dot_product: f32, row: u32, key: u32, start: u32, first_pair: u32, last_pair: u32,
             group: u32, kv_head: u32, b: u32) {
  let pair = min(first_pair + row, last_pair);
  let s = pair / group;
  let keys = key_range(b, s);
  let t = start + key;
  var score = kMasked;
  if (t >= keys.x && t < keys.y) {
    score = finish_score(dot_product, b, kv_head * group + pair % group, s, t);
  }
  weights[(row * kKeys + key) / 4u][key % 4u] = score;
}

alias Sums = array<vec4<f32>, kRowsPerThread>;

fn value_at(row: u32, c: u32) -> vec4<f32> { return vec4<f32>(v_cache[row * kCols + c]); }

// Returns a thread's row j. Rows past the last repeat it.
fn row_of(j: u32, row_group: u32) -> u32 { return min(row_group + j * kRowGroups, kRows - 1u); }

fn shrink_row(sums: ptr<function, Sums>, j: u32, row_group: u32) {
  (*sums)[j] *= row_shrink[row_of(j, row_group)];
}

// Adds keys t to t + 3 of the tile.
fn add_row(sums: ptr<function, Sums>, j: u32, row_group: u32, t: u32, values: mat4x4<f32>) {
  (*sums)[j] += values * weights[row_of(j, row_group) * (kKeys / 4u) + t / 4u];
}

fn write_row(sums: ptr<function, Sums>, j: u32, local: u32, first_pair: u32, pairs: u32, group: u32,
             kv_head: u32, b: u32) {
  let row = local / kCols + j * kRowGroups;
  let pair = first_pair + row;
  if (row < kRows && pair < pairs) {
    let scale = select(0.0, 1.0 / row_sum[row], row_sum[row] > 0.0);
    let h = kv_head * group + pair % group;
    let out_row = output_index(b, h, pair / group);
    output[out_row + local % kCols] = act_v((*sums)[j] * scale);
  }
}

@compute @workgroup_size(kWorkgroupSize)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let item = workgroup.y * params.grid_x + workgroup.x;
  if (item >= params.batch * params.kv_heads * params.tiles) {
    return;
  }
  let group = params.heads / params.kv_heads;
  let pairs = params.sequence * group;
  let first_pair = item % params.tiles * kRows;
  let kv_head = item / params.tiles % params.kv_heads;
  let b = item / (params.tiles * params.kv_heads);
  let cache_begin = head_begin(b, kv_head, params.kv_heads);
  // The union of the pairs' keys, from the beginning of a tile on, so that a tile lies in one page.
  // Ranges move only up with the row.
  let last_pair = min(first_pair + kRows, pairs) - 1u;
  let begin = key_range(b, first_pair / group).x / kKeys * kKeys;
  let end = key_range(b, last_pair / group).y;

  if (local < kRows) {
    row_max[local] = initial_max(kv_head * group + (first_pair + local) % group);
    row_sum[local] = initial_sum();
  }
  var acc = Sums();

  for (var start = begin; start < end; start += kKeys) {
    let tile_begin = cache_begin + cache_row(b, start);
    let key = local % kKeys;
    let score_row = local / kKeys * kRowsPerScore;
    var scores = vec4<f32>(0.0);
    for (var first_col = 0u; first_col < kCols; first_col += kStepCols) {
      workgroupBarrier();  // Threads may still read the tiles.
      {
        let row = local / kStepCols;
        let c = first_col + local % kStepCols;
        let pair = first_pair + row;
        var value = vec4<f32>(0.0);
        if (pair < pairs && c < kCols) {
          value = vec4<f32>(q[q_index(b, kv_head * group + pair % group, pair / group) + c]);
        }
        q_tile[local] = value;
      }
      for (var i = local; i < kKeys * kStepCols; i += kWorkgroupSize) {
        let row = i / kStepCols;
        let c = first_col + i % kStepCols;
        var value = vec4<f32>(0.0);
        if (start + row < end && c < kCols) {
          value = vec4<f32>(k_cache[(tile_begin + row) * kCols + c]);
        }
        k_tile[row * kKeyStride + i % kStepCols] = value;
      }
      workgroupBarrier();
      for (var i = 0u; i < kStepCols; i++) {
        let k = k_tile[key * kKeyStride + i];
        let at = score_row * kStepCols + i;
        scores += vec4<f32>(dot(q_tile[at], k), dot(q_tile[at + kStepCols], k),
                            dot(q_tile[at + 2u * kStepCols], k),
                            dot(q_tile[at + 3u * kStepCols], k));
      }
    }
    put_score(scores.x, score_row, key, start, first_pair, last_pair, group, kv_head, b);
    put_score(scores.y, score_row + 1u, key, start, first_pair, last_pair, group, kv_head, b);
    put_score(scores.z, score_row + 2u, key, start, first_pair, last_pair, group, kv_head, b);
    put_score(scores.w, score_row + 3u, key, start, first_pair, last_pair, group, kv_head, b);
    workgroupBarrier();

    let softmax_row = local / kThreadsPerRow;
    let own = softmax_row * (kKeys / 4u) + local % kThreadsPerRow;
    let own_scores = weights[own];
    var largest = max(max(own_scores.x, own_scores.y), max(own_scores.z, own_scores.w));
    partials[local] = largest;
    workgroupBarrier();
    let old_max = row_max[softmax_row];
    largest = old_max;
    for (var i = 0u; i < kThreadsPerRow; i++) {
      largest = max(largest, partials[softmax_row * kThreadsPerRow + i]);
    }
    let own_weights = vec4<f32>(weight(own_scores.x, largest), weight(own_scores.y, largest),
                                weight(own_scores.z, largest), weight(own_scores.w, largest));
    weights[own] = own_weights;
    var sum = dot(own_weights, vec4<f32>(1.0));
    workgroupBarrier();  // All threads have read row_max and partials.
    partials[local] = sum;
    workgroupBarrier();
    if (local % kThreadsPerRow == 0u) {
      let shrink = exp(old_max - largest);
      sum = 0.0;
      for (var i = 0u; i < kThreadsPerRow; i++) {
        sum += partials[local + i];
      }
      row_sum[softmax_row] = row_sum[softmax_row] * shrink + sum;
      row_max[softmax_row] = largest;
      row_shrink[softmax_row] = shrink;
    }
    workgroupBarrier();

    if (local < kRowGroups * kCols) {
      let c = local % kCols;
      let row_group = local / kCols;
#repeat j 0..16
      if (kRowsPerThread > $j) { shrink_row(&acc, $j, row_group); }
#endrepeat
      let last = end - 1u - start;
      for (var t = 0u; t < kKeys && start + t < end; t += 4u) {
        // Past the last key weights are 0, and values repeat the last key's.
        let v0 = value_at(tile_begin + t, c);
        let v1 = value_at(tile_begin + min(t + 1u, last), c);
        let v2 = value_at(tile_begin + min(t + 2u, last), c);
        let v3 = value_at(tile_begin + min(t + 3u, last), c);
        let values = mat4x4<f32>(v0, v1, v2, v3);
#repeat j 0..16
        if (kRowsPerThread > $j) { add_row(&acc, $j, row_group, t, values); }
#endrepeat
      }
    }
    // The next tile's first barrier comes before the weights and statistics change.
  }

  workgroupBarrier();
  if (local < kRowGroups * kCols) {
#repeat j 0..16
    if (kRowsPerThread > $j) { write_row(&acc, $j, local, first_pair, pairs, group, kv_head, b); }
#endrepeat
  }
}
