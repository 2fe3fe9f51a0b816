// QMoE routing fused with the norm before it: h = x / rms(x) * norm_scale, logits = router h + bias
// (quantized like MatMulNBits, rounded like its output), then the kTopK largest logits of each
// token in descending order (equal ones by ascending index) and weights exp(logit) / sum of exp,
// over the chosen logits or over all.
//
// A workgroup owns a token: the router is small, and nothing has to pass between workgroups. It
// loads h into workgroup memory. A team of kLanes neighbouring threads owns every kTeams-th row of
// the router, and each thread every kLanes-th chunk of it; a chunk is the widest load (up to 16
// bytes) inside one block. A team's first steps (chunks) are loaded before h is there. At the end
// each thread counts how many logits come before its own.

#include "common/dequantize.wgsl"
#include "common/workgroup_reduce.wgsl"

struct Params {
  tokens: u32,
  normalize: u32,
  epsilon: f32,
  pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<act_t>>;
@group(0) @binding(2) var<storage, read> norm_scale: array<vec4<act_t>>;
@group(0) @binding(3) var<storage, read> weight: array<unit_t>;
@group(0) @binding(4) var<storage, read> scales: array<act_t>;
#if zero_points
@group(0) @binding(5) var<storage, read> zero_points: array<u32>;
#endif
#if bias
@group(0) @binding(6) var<storage, read> bias: array<act_t>;
#endif
@group(0) @binding(7) var<storage, read_write> h: array<vec4<act_t>>;
@group(0) @binding(8) var<storage, read_write> indices: array<i32>;
@group(0) @binding(9) var<storage, read_write> weights: array<f32>;

const kTeams = kWorkgroupSize / kLanes;
const kChunkCodes = kChunkWords * kCodesPerWord;
const kChunkQuads = kChunkCodes / 4u;
const kIterations = (kChunks + kLanes - 1u) / kLanes;
const kTeamRows = (kExperts + kTeams - 1u) / kTeams;
const kSteps = kTeamRows * kIterations;
const kQuads = kK / 4u;
// Less than every logit.
const kNone = -3.4028234663852886e+38f;

// Padded with zeros to whole blocks.
var<workgroup> row: array<vec4<f32>, kChunks * kChunkQuads>;
var<workgroup> logits: array<f32, kExperts>;
var<workgroup> chosen_logits: array<f32, kTopK>;

#if !subgroups
// [team][lane], with a lane of padding against bank conflicts.
var<workgroup> partials: array<f32, kTeams * (kLanes + 1u)>;
#endif

// One chunk of a row of the router.
struct Step {
  codes: unit_t,
  scale: f32,
  zero: f32,
}

#if zero_points
fn zero_point(n: u32, block: u32) -> f32 {
  let bit = block * kBits;
  let byte = n * kZeroPointsRowBytes + bit / 8u;
  return f32(code_at(zero_points[byte / 4u], byte, bit));
}
#else
fn zero_point(n: u32, block: u32) -> f32 {
  return f32(kHalfRange);
}
#endif

fn load_step(step: u32, team: u32, lane: u32) -> Step {
  let n = min(team + step / kIterations * kTeams, kExperts - 1u);
  let chunk = min(step % kIterations * kLanes + lane, kChunks - 1u);
  let block = chunk * kChunkCodes / kBlockSize;
  return Step(weight[n * kChunks + chunk], f32(scales[n * kBlocks + block]), zero_point(n, block));
}

#if chunk1
fn word_of(codes: unit_t, i: u32) -> u32 {
  return codes;
}
#else
fn word_of(codes: unit_t, i: u32) -> u32 {
  return codes[i];
}
#endif

fn dot_step(step_data: Step, step: u32, lane: u32) -> f32 {
  let chunk = step % kIterations * kLanes + lane;
  if (chunk >= kChunks) {
    return 0.0;
  }
  var sum = 0.0;
  for (var word = 0u; word < kChunkWords; word++) {
    for (var quad = 0u; quad < kQuadsPerWord; quad++) {
      sum += dot(row[chunk * kChunkQuads + word * kQuadsPerWord + quad],
                 quad_less_whole(word_of(step_data.codes, word), quad, step_data.zero));
    }
  }
  return sum * step_data.scale;
}

// Steps that are loaded before h is there.
struct Prefetch {
#repeat i 0..4
  step_$i: Step,
#endrepeat
}

fn step_of(prefetched: Prefetch, step: u32, team: u32, lane: u32) -> Step {
  switch (step) {
#repeat i 0..4
    case $i: {
      return prefetched.step_$i;
    }
#endrepeat
    default: {
      return load_step(step, team, lane);
    }
  }
}

// Returns the sum of a team's values to each of its lanes.
#if subgroups
fn team_sum(value: f32, team: u32, lane: u32) -> f32 {
  var sum = value;
  for (var distance = kLanes / 2u; distance > 0u; distance /= 2u) {
    sum += subgroupShuffleXor(sum, distance);
  }
  return sum;
}
#else
fn team_sum(value: f32, team: u32, lane: u32) -> f32 {
  workgroupBarrier();
  partials[team * (kLanes + 1u) + lane] = value;
  workgroupBarrier();
  var sum = 0.0;
  for (var other = 0u; other < kLanes; other++) {
    sum += partials[team * (kLanes + 1u) + other];
  }
  return sum;
}
#endif

#if bias
fn load_bias(n: u32) -> f32 {
  return f32(bias[n]);
}
#else
fn load_bias(n: u32) -> f32 {
  return 0.0;
}
#endif

@compute @workgroup_size(kWorkgroupSize)
fn main(
#if subgroups
    @builtin(subgroup_size) lanes: u32,
#endif
    @builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
#if !subgroups
  let lanes = 1u;
#endif
  let token = workgroup.x;
  let lane = local % kLanes;
  let team = local / kLanes;
  let first = Prefetch(load_step(0u, team, lane), load_step(1u, team, lane),
                       load_step(2u, team, lane), load_step(3u, team, lane));

  var squares = 0.0;
  for (var i = local; i < kQuads; i += 2u * kWorkgroupSize) {
    let other = i + kWorkgroupSize;
    let a = vec4<f32>(x[token * kQuads + i]);
    let b = vec4<f32>(x[token * kQuads + min(other, kQuads - 1u)]);
    row[i] = a;
    squares += dot(a, a);
    if (other < kQuads) {
      row[other] = b;
      squares += dot(b, b);
    }
  }
  for (var i = kQuads + local; i < kChunks * kChunkQuads; i += kWorkgroupSize) {
    row[i] = vec4<f32>();
  }
  let factor = inverseSqrt(workgroup_sum(squares, local, lanes) / f32(kK) + params.epsilon);
  for (var i = local; i < kQuads; i += kWorkgroupSize) {
    let normalized = vec4<act_t>(row[i] * factor * vec4<f32>(norm_scale[i]));
    h[token * kQuads + i] = normalized;
    row[i] = vec4<f32>(normalized);
  }
  workgroupBarrier();

  for (var r = 0u; r < kTeamRows; r++) {
    var sum = 0.0;
    for (var i = 0u; i < kIterations; i++) {
      let step = r * kIterations + i;
      sum += dot_step(step_of(first, step, team, lane), step, lane);
    }
    let total = team_sum(sum, team, lane);
    let n = team + r * kTeams;
    if (lane == 0u && n < kExperts) {
      let logit = f32(act_t(total + load_bias(n)));
      // All comparisons with NaN are false.
      logits[n] = select(kNone, max(logit, kNone), logit == logit);
    }
  }
  workgroupBarrier();

  for (var n = local; n < kExperts; n += kWorkgroupSize) {
    let own = logits[n];
    var before = 0u;
    for (var other = 0u; other < kExperts; other++) {
      let logit = logits[other];
      before += select(0u, 1u, logit > own || (logit == own && other < n));
    }
    if (before < kTopK) {
      chosen_logits[before] = own;
      indices[token * kTopK + before] = i32(n);
    }
  }
  workgroupBarrier();
  // chosen_logits[0] is the largest: no exponential overflows.
  let largest = chosen_logits[0];
  var share = 0.0;
  if (params.normalize == 0u) {
    for (var n = local; n < kExperts; n += kWorkgroupSize) {
      share += exp(logits[n] - largest);
    }
  } else if (local < kTopK) {
    share = exp(chosen_logits[local] - largest);
  }
  let total = workgroup_sum(share, local, lanes);
  if (local < kTopK) {
    weights[token * kTopK + local] = exp(chosen_logits[local] - largest) / total;
  }
}
