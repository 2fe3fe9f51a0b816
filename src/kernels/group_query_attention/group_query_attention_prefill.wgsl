// Attention where rows are many: one workgroup owns kRows pairs (row, head of the group) of one
// (batch, kv head), which share every tile of keys: pair p is row p / group, head p % group.
//
// For each tile of kKeys keys:
//   1. scores: thread (r, key) of kScoreRows x kKeys takes rows r * 4 .. r * 4 + 3; queries and
//      keys come through workgroup memory in chunks of kChunk columns;
//   2. online softmax: 8 threads a row, 4 keys each;
//   3. values: thread (g, c) of kRowGroups x kCols owns column c of the rows g, g + kRowGroups, ...
//      and reads the values from the cache directly.
// Workgroup memory: 2 KiB queries + 4.5 KiB keys + 2 KiB weights + 0.7 KiB statistics.
//
// The host defines what group_query_attention.wgsl says (kVec is 4, kCols <= kWorkgroupSize).

#include "group_query_attention/group_query_attention.wgsl"

const kWorkgroupSize = 128u;
const kRows = 16u;
const kKeys = 32u;
const kChunk = 8u;
const kKeyStride = kChunk + 1u;  // Off the power of two: neighbouring keys in different banks.
const kRowsPerScore = 4u;        // kRows * kKeys / kWorkgroupSize
const kThreadsPerRow = 8u;       // kWorkgroupSize / kRows
const kKeysPerThread = 4u;       // kKeys / kThreadsPerRow
const kRowGroups = kWorkgroupSize / kCols;
const kRowsPerThread = (kRows + kRowGroups - 1u) / kRowGroups;

var<workgroup> q_tile: array<vec4<f32>, kRows * kChunk>;
var<workgroup> k_tile: array<vec4<f32>, kKeys * kKeyStride>;
var<workgroup> weights: array<f32, kRows * kKeys>;
var<workgroup> partials: array<f32, kWorkgroupSize>;
var<workgroup> row_max: array<f32, kRows>;
var<workgroup> row_sum: array<f32, kRows>;
var<workgroup> row_shrink: array<f32, kRows>;

@compute @workgroup_size(kWorkgroupSize)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let item = wid.y * params.grid_x + wid.x;
  if (item >= params.batch * params.kv_heads * params.tiles) {
    return;
  }
  let group = params.heads / params.kv_heads;
  let pairs = params.sequence * group;
  let first_pair = item % params.tiles * kRows;
  let kv_head = item / params.tiles % params.kv_heads;
  let b = item / (params.tiles * params.kv_heads);
  let cache_begin = (b * params.kv_heads + kv_head) * params.capacity;
  // The union of the pairs' keys: ranges only move up with the row.
  let last_pair = min(first_pair + kRows, pairs) - 1u;
  let begin = key_range(b, first_pair / group).x;
  let end = key_range(b, last_pair / group).y;

  if (lid < kRows) {
    row_max[lid] = initial_max(kv_head * group + (first_pair + lid) % group);
    row_sum[lid] = initial_sum();
  }
  var acc: array<vec4<f32>, kRowsPerThread>;

  for (var start = begin; start < end; start += kKeys) {
    let key = lid % kKeys;
    let score_row = lid / kKeys * kRowsPerScore;
    var scores = vec4<f32>(0.0);
    for (var chunk = 0u; chunk < kCols; chunk += kChunk) {
      workgroupBarrier();  // The tiles may still be read.
      {
        let row = lid / kChunk;
        let c = chunk + lid % kChunk;
        let pair = first_pair + row;
        var value = vec4<f32>(0.0);
        if (pair < pairs && c < kCols) {
          value = vec4<f32>(q[q_index(b, kv_head * group + pair % group, pair / group) + c]);
        }
        q_tile[lid] = value;
      }
      for (var i = lid; i < kKeys * kChunk; i += kWorkgroupSize) {
        let row = i / kChunk;
        let c = chunk + i % kChunk;
        var value = vec4<f32>(0.0);
        if (start + row < end && c < kCols) {
          value = vec4<f32>(k_cache[(cache_begin + start + row) * kCols + c]);
        }
        k_tile[row * kKeyStride + i % kChunk] = value;
      }
      workgroupBarrier();
      for (var i = 0u; i < kChunk; i++) {
        let k = k_tile[key * kKeyStride + i];
        for (var j = 0u; j < kRowsPerScore; j++) {
          scores[j] += dot(q_tile[(score_row + j) * kChunk + i], k);
        }
      }
    }
    for (var j = 0u; j < kRowsPerScore; j++) {
      let pair = min(first_pair + score_row + j, last_pair);
      let s = pair / group;
      let keys = key_range(b, s);
      let t = start + key;
      var score = kMasked;
      if (t >= keys.x && t < keys.y) {
        score = finish_score(scores[j], b, kv_head * group + pair % group, s, t);
      }
      weights[(score_row + j) * kKeys + key] = score;
    }
    workgroupBarrier();

    let softmax_row = lid / kThreadsPerRow;
    let own = softmax_row * kKeys + lid % kThreadsPerRow * kKeysPerThread;
    var largest = kMasked;
    for (var i = 0u; i < kKeysPerThread; i++) {
      largest = max(largest, weights[own + i]);
    }
    partials[lid] = largest;
    workgroupBarrier();
    let old_max = row_max[softmax_row];
    largest = old_max;
    for (var i = 0u; i < kThreadsPerRow; i++) {
      largest = max(largest, partials[softmax_row * kThreadsPerRow + i]);
    }
    var sum = 0.0;
    for (var i = 0u; i < kKeysPerThread; i++) {
      let w = weight(weights[own + i], largest);
      weights[own + i] = w;
      sum += w;
    }
    workgroupBarrier();  // All have read row_max and partials.
    partials[lid] = sum;
    workgroupBarrier();
    if (lid % kThreadsPerRow == 0u) {
      let shrink = exp(old_max - largest);
      sum = 0.0;
      for (var i = 0u; i < kThreadsPerRow; i++) {
        sum += partials[lid + i];
      }
      row_sum[softmax_row] = row_sum[softmax_row] * shrink + sum;
      row_max[softmax_row] = largest;
      row_shrink[softmax_row] = shrink;
    }
    workgroupBarrier();

    if (lid < kRowGroups * kCols) {
      let c = lid % kCols;
      let row_group = lid / kCols;
      for (var j = 0u; j < kRowsPerThread; j++) {
        acc[j] *= row_shrink[min(row_group + j * kRowGroups, kRows - 1u)];
      }
      let count = min(kKeys, end - start);
      for (var t = 0u; t < count; t++) {
        let value = vec4<f32>(v_cache[(cache_begin + start + t) * kCols + c]);
        for (var j = 0u; j < kRowsPerThread; j++) {
          acc[j] += weights[min(row_group + j * kRowGroups, kRows - 1u) * kKeys + t] * value;
        }
      }
    }
    // The next tile's first barrier comes before the weights and statistics change.
  }

  workgroupBarrier();
  if (lid < kRowGroups * kCols) {
    for (var j = 0u; j < kRowsPerThread; j++) {
      let row = lid / kCols + j * kRowGroups;
      let pair = first_pair + row;
      if (row < kRows && pair < pairs) {
        let scale = select(0.0, 1.0 / row_sum[row], row_sum[row] > 0.0);
        let h = kv_head * group + pair % group;
        let out_row = ((b * params.sequence + pair / group) * params.heads + h) * kCols;
        output[out_row + lid % kCols] = act_v(acc[j] * scale);
      }
    }
  }
}
