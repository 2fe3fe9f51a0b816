// QMoE routing: the kTopK largest logits of each token in descending order (equal ones by ascending
// index), and weights exp(logit) / sum of exp, over the chosen logits or over all.
//
// A workgroup owns a token. For each rank it finds the first logit in that order after the one
// chosen last, so that no logit has to be removed. NaN is never chosen while other logits are left.

struct Params {
  tokens: u32,
  experts: u32,
  normalize: u32,
  grid_x: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<act_t>;
@group(0) @binding(2) var<storage, read_write> indices: array<i32>;
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;

const kThreads = 64u;
const kNone = 0xffffffffu;

var<workgroup> best_logit: array<f32, kThreads>;
var<workgroup> best_index: array<u32, kThreads>;
var<workgroup> chosen_logit: array<f32, kTopK>;
var<workgroup> chosen_index: array<u32, kTopK>;
var<workgroup> sums: array<f32, kThreads>;

// Returns whether (logit, index) comes before (other_logit, other_index); kNone comes last.
fn comes_before(logit: f32, index: u32, other_logit: f32, other_index: u32) -> bool {
  if (index == kNone || other_index == kNone) {
    return index != kNone;
  }
  return logit > other_logit || (logit == other_logit && index < other_index);
}

@compute @workgroup_size(kThreads)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let token = workgroup.y * params.grid_x + workgroup.x;
  if (token >= params.tokens) {
    return;
  }
  let at = token * params.experts;
  for (var rank = 0u; rank < kTopK; rank++) {
    var logit = 0.0;
    var index = kNone;
    for (var i = local; i < params.experts; i += kThreads) {
      let candidate = f32(logits[at + i]);
      // All comparisons with NaN are false.
      if (!(candidate == candidate)) {
        continue;
      }
      if (rank > 0u) {
        let last = rank - 1u;
        if (!comes_before(chosen_logit[last], chosen_index[last], candidate, i)) {
          continue;
        }
      }
      if (comes_before(candidate, i, logit, index)) {
        logit = candidate;
        index = i;
      }
    }
    best_logit[local] = logit;
    best_index[local] = index;
    workgroupBarrier();
    for (var stride = kThreads / 2u; stride > 0u; stride /= 2u) {
      if (local < stride) {
        let other = local + stride;
        if (comes_before(best_logit[other], best_index[other], best_logit[local],
                         best_index[local])) {
          best_logit[local] = best_logit[other];
          best_index[local] = best_index[other];
        }
      }
      workgroupBarrier();
    }
    if (local == 0u) {
      chosen_logit[rank] = best_logit[0];
      chosen_index[rank] = best_index[0];
    }
    workgroupBarrier();
  }

  // chosen_logit[0] is the largest: no exponential overflows.
  let largest = chosen_logit[0];
  var sum = 0.0;
  if (params.normalize == 0u) {
    for (var i = local; i < params.experts; i += kThreads) {
      sum += exp(f32(logits[at + i]) - largest);
    }
  } else {
    for (var i = local; i < kTopK; i += kThreads) {
      sum += exp(chosen_logit[i] - largest);
    }
  }
  sums[local] = sum;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < kThreads; i++) {
    total += sums[i];
  }
  for (var i = local; i < kTopK; i += kThreads) {
    // Ranks without a logit remain only if logits are NaN: a valid index keeps later reads inside
    // the weights.
    indices[token * kTopK + i] = i32(min(chosen_index[i], params.experts - 1u));
    weights[token * kTopK + i] = exp(chosen_logit[i] - largest) / total;
  }
}
