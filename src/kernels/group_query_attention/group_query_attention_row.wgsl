// Attention for few rows: one workgroup owns one (batch, head, row).
//
// It walks along the row's keys in steps of kWorkgroupSize. First thread i takes the whole dot
// product with key i of the step. Then the threads form kTeams teams of kCols, and thread c of team
// g adds column c of the values of keys g, g + kTeams, ... (coalesced). In the end the teams' sums
// are added. If a head has more columns than there are threads, there is one team, whose threads
// own kColsPerThread columns each.
//
// The host defines what group_query_attention.wgsl says, and kWorkgroupSize.

#include "group_query_attention/group_query_attention.wgsl"
#include "common/workgroup_reduce.wgsl"

const kTeams = max(1u, kWorkgroupSize / kCols);
const kColsPerThread = (kCols + kWorkgroupSize - 1u) / kWorkgroupSize;

var<workgroup> q_row: array<acc_v, kCols>;
var<workgroup> weights: array<f32, kWorkgroupSize>;
var<workgroup> team_sums: array<acc_v, kWorkgroupSize>;

#if vec4
fn dot_product(a: acc_v, b: acc_v) -> f32 { return dot(a, b); }
#else
fn dot_product(a: acc_v, b: acc_v) -> f32 { return a * b; }
#endif

@compute @workgroup_size(kWorkgroupSize)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>,
#if subgroups
        @builtin(subgroup_size) lanes: u32,
#endif
        @builtin(local_invocation_index) local: u32) {
#if !subgroups
  let lanes = 1u;
#endif
  let item = workgroup.y * params.grid_x + workgroup.x;
  if (item >= params.batch * params.heads * params.sequence) {
    return;
  }
  let s = item % params.sequence;
  let h = item / params.sequence % params.heads;
  let b = item / (params.sequence * params.heads);
  let kv_head = h / (params.heads / params.kv_heads);
  let cache_begin = head_begin(b, kv_head, params.kv_heads);
  let keys = key_range(b, s);

  for (var c = local; c < kCols; c += kWorkgroupSize) {
    q_row[c] = acc_v(q[q_index(b, h, s) + c]);
  }
  workgroupBarrier();

  var largest = initial_max(h);
  var sum = select(0.0, initial_sum(), local == 0u);
  var acc: array<acc_v, kColsPerThread>;
  let team = local / kCols;
  for (var start = keys.x; start < keys.y; start += kWorkgroupSize) {
    let t = start + local;
    var score = kMasked;
    if (t < keys.y) {
      let row = (cache_begin + cache_row(b, t)) * kCols;
      var product = 0.0;
      for (var c = 0u; c < kCols; c++) {
        product += dot_product(q_row[c], acc_v(k_cache[row + c]));
      }
      score = finish_score(product, b, h, s, t);
    }
    let new_largest = max(largest, workgroup_max(score, local, lanes));
    let shrink = exp(largest - new_largest);
    let own_weight = weight(score, new_largest);
    largest = new_largest;
    sum = sum * shrink + own_weight;
    weights[local] = own_weight;
    workgroupBarrier();

    let count = min(kWorkgroupSize, keys.y - start);
    for (var j = 0u; j < kColsPerThread; j++) {
      let c = local % kCols + j * kWorkgroupSize;
      if (team < kTeams && c < kCols) {
        var value = acc[j] * shrink;
        for (var k = team; k < count; k += kTeams) {
          let row = cache_begin + cache_row(b, start + k);
          value += weights[k] * acc_v(v_cache[row * kCols + c]);
        }
        acc[j] = value;
      }
    }
    // The next step's workgroup_max has a barrier before `weights` changes.
  }

  let total = workgroup_sum(sum, local, lanes);
  let scale = select(0.0, 1.0 / total, total > 0.0);
  team_sums[local] = acc[0];
  workgroupBarrier();
  let out_row = output_index(b, h, s);
  for (var j = 0u; j < kColsPerThread; j++) {
    let c = local + j * kWorkgroupSize;
    if (c < kCols) {
      var value = acc[j];
      for (var g = 1u; g < kTeams; g++) {
        value += team_sums[g * kCols + c];
      }
      output[out_row + c] = act_v(value * scale);
    }
  }
}
