// The third dispatch of sample: the bounds themselves, the draw, the step to the next run. sample.h
// has the definition.
//
// Each workgroup adds the probabilities of its tokens above every bound, and lists the tokens in
// the bins of the bounds. The last one to finish
//   1. finds the k-th largest logit and the bound of top-p among the listed tokens, by radix
//      searches, 8 bits a pass, on the key, a u32 in the order of the floats;
//   2. adds the listed tokens that are kept to their workgroups' sums;
//   3. draws: prefix sums find the workgroup whose share the draw falls into, then, over its
//      tokens again, the thread and the token. So tokens are in the order of their index.
//
// The host defines what token_choice.wgsl says.

#include "sample/sample.wgsl"

var<workgroup> group_sum: atomic<u32>;
var<workgroup> group_sums: array<atomic<u32>, kMaxWorkgroups>;
var<workgroup> histogram: array<atomic<u32>, 256>;
var<workgroup> found: vec2<u32>;
var<workgroup> shared_bounds: Bounds;

// Returns a u32 in the order of the floats.
fn key_of(x: f32) -> u32 {
  let bits = bitcast<u32>(select(x, 0.0, x == 0.0));  // Turns -0 into 0.
  return bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u);
}

// Returns the largest key T such that the listed tokens in bins [begin, end] with floor_key <= key
// and T <= key have at least `least` together, by count or by weight, or all of them. The list of
// `listed` tokens begins at word `list` of the scratch.
fn find_bound(by_weight: bool, least: u32, begin: u32, end: u32, floor_key: u32, list: u32,
              listed: u32, d: Spread, local: u32, lanes: u32) -> u32 {
  var bound = 0u;  // The bits found so far, from the top.
  var settled = 0u;
  var remaining = least;
  for (var level = 0u; level < 4u; level++) {
    let shift = 24u - 8u * level;
    atomicStore(&histogram[local], 0u);
    if (local == 0u) {
      found = vec2<u32>();
    }
    workgroupBarrier();
    for (var i = local; i < listed; i += kWorkgroupSize) {
      let x = bitcast<f32>(atomicLoad(&scratch[list + 2u * i]));
      let key = key_of(x);
      let bin = bin_of(x, d);
      if (bin >= begin && bin <= end && key >= floor_key && (key & settled) == bound) {
        atomicAdd(&histogram[(key >> shift) & 0xffu], select(1u, weight_of(x, d), by_weight));
      }
    }
    workgroupBarrier();
    // Thread i looks at digit 255 - i, so that the sums run from the largest key down.
    let own = atomicLoad(&histogram[255u - local]);
    scan(own, local, lanes);
    remaining = min(remaining, prefix_sums[kWorkgroupSize - 1u]);
    let here = prefix_sums[local];
    if (here >= remaining && here - own < remaining) {
      found = vec2<u32>(255u - local, remaining - (here - own));
    }
    let digit = workgroupUniformLoad(&found);
    bound |= digit.x << shift;
    settled |= 0xffu << shift;
    remaining = digit.y;
  }
  return bound;
}

// Returns the upper word of a * b, from products of halves.
fn mul_high(a: u32, b: u32) -> u32 {
  let a0 = a & 0xffffu;
  let a1 = a >> 16u;
  let b0 = b & 0xffffu;
  let b1 = b >> 16u;
  let middle = a1 * b0 + ((a0 * b0) >> 16u);
  let low = a0 * b1 + (middle & 0xffffu);
  return a1 * b1 + (middle >> 16u) + (low >> 16u);
}

// Philox2x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
fn philox(seed: u32, position: u32) -> u32 {
  var x = vec2<u32>(position, 0u);
  var key = seed;
  for (var i = 0u; i < 10u; i++) {
    x = vec2<u32>(mul_high(0xd256d193u, x.x) ^ key ^ x.y, 0xd256d193u * x.x);
    key += 0x9e3779b9u;
  }
  return x.x;
}

// Returns the thread into whose share of the sums in prefix_sums the draw falls, and how far;
// thread 0 if the sums are 0. `own` is the value of the calling thread.
fn find_share(draw: u32, own: u32, local: u32) -> vec2<u32> {
  if (local == 0u) {
    found = vec2<u32>();
  }
  workgroupBarrier();
  let before = prefix_sums[local] - own;
  if (draw >= before && draw - before < own) {
    found = vec2<u32>(local, draw - before);
  }
  return workgroupUniformLoad(&found);
}

@compute @workgroup_size(kWorkgroupSize)
fn main(
#if subgroups
    @builtin(subgroup_size) lanes: u32,
#endif
    @builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
#if !subgroups
  let lanes = 1u;
#endif
  let seq = workgroup.y;
  if (options[seq].idle != 0u) {
    return;
  }
  let d = load_spread(seq);
  let has_p = has_top_p(seq);
  if (local == 0u) {
    atomicStore(&group_sum, 0u);
    shared_bounds = Bounds(kMaxTop, kMaxTop, kMaxTop, kMaxTop, kMaxTop, kMaxTop, kMaxTop);
    if (has_top_k(seq) || has_p) {
      let at = scratch_at(seq, kBounds);
      shared_bounds =
          Bounds(atomicLoad(&scratch[at]), atomicLoad(&scratch[at + 1u]),
                 atomicLoad(&scratch[at + 2u]), atomicLoad(&scratch[at + 3u]),
                 atomicLoad(&scratch[at + 4u]), atomicLoad(&scratch[at + 5u]),
                 atomicLoad(&scratch[at + 6u]));
    }
  }
  let bounds = workgroupUniformLoad(&shared_bounds);
  let has_k = bounds.k_bin < kBins;
  let first_listed = min(bounds.k_bin, bounds.p_begin);
  var least = kNone;
  if (is_greedy(seq)) {
    least = d.largest;
  } else if (options[seq].min_p > 0.0) {
    least = max(d.largest + min(log(options[seq].min_p), 0.0) / d.inv_temperature, kNone);
  }

  let list = scratch_at(seq, kList);
  let listed_at = scratch_at(seq, kListed);
  var own = 0u;
  var before = kNever - 1u;
  for (var v = first_load(workgroup.x, local); v < end_load(workgroup.x, local); v++) {
    let x = load_logits(seq, v);
    for (var j = 0u; j < 4u; j++) {
      let weight = weight_of(x[j], d);
      let bin = bin_of(x[j], d);
      if (weight == 0u) {
        continue;
      }
      if (bin < first_listed) {
        own += select(0u, weight, x[j] >= least);
      } else if (bin == bounds.k_bin || (bin >= bounds.p_begin && bin <= bounds.p_end)) {
        let at = list + 2u * atomicAdd(&scratch[listed_at], 1u);
        before = min(before, atomicExchange(&scratch[at], bitcast<u32>(x[j])));
        before = min(before, atomicExchange(&scratch[at + 1u], 4u * v + j));
      }
    }
  }
  await_atomics(seq, before);
  if (own > 0u) {
    atomicAdd(&group_sum, own);
  }
  workgroupBarrier();
  if (local == 0u) {
    atomicStore(&scratch[scratch_at(seq, kFirstPartial + workgroup.x)], atomicLoad(&group_sum));
  }
  if (!finish_workgroup(seq, local)) {
    return;
  }

  // The list has room for every token.
  let listed = atomicLoad(&scratch[listed_at]);
  var floor_key = 0u;
  if (has_k) {
    floor_key = find_bound(false, bounds.k_rest, bounds.k_bin, bounds.k_bin, 0u, list, listed, d,
                           local, lanes);
  }
  if (has_p) {
    var total = bounds.total;
    if (has_k) {
      var weight = 0u;
      for (var i = local; i < listed; i += kWorkgroupSize) {
        let x = bitcast<f32>(atomicLoad(&scratch[list + 2u * i]));
        if (bin_of(x, d) == bounds.k_bin && key_of(x) >= floor_key) {
          weight += weight_of(x, d);
        }
      }
      scan(weight, local, lanes);
      total = bounds.k_weight + prefix_sums[kWorkgroupSize - 1u];
    }
    let wanted = top_p_of(seq, total);
    let rest = max(wanted, bounds.p_weight + 1u) - bounds.p_weight;
    floor_key = max(floor_key, find_bound(true, rest, bounds.p_begin, bounds.p_end, floor_key,
                                          list, listed, d, local, lanes));
  }

  atomicStore(&group_sums[local], 0u);
  workgroupBarrier();
  let tokens_per_group = 4u * kWorkgroupSize * params.loads;
  for (var i = local; i < listed; i += kWorkgroupSize) {
    let x = bitcast<f32>(atomicLoad(&scratch[list + 2u * i]));
    if (key_of(x) >= floor_key && x >= least) {
      let token = atomicLoad(&scratch[list + 2u * i + 1u]);
      atomicAdd(&group_sums[token / tokens_per_group], weight_of(x, d));
    }
  }
  workgroupBarrier();
  var group_weight = atomicLoad(&group_sums[local]);
  if (local < params.workgroups) {
    group_weight += atomicLoad(&scratch[scratch_at(seq, kFirstPartial + local)]);
  }
  scan(group_weight, local, lanes);
  let random = select(philox(state[seq].seed, state[seq].position), 0u, is_greedy(seq));
  let draw = mul_high(random, prefix_sums[kWorkgroupSize - 1u]);
  let chosen_group = find_share(draw, group_weight, local);

  own = 0u;
  let begin = first_load(chosen_group.x, local);
  let end = end_load(chosen_group.x, local);
  for (var v = begin; v < end; v++) {
    let x = load_logits(seq, v);
    for (var j = 0u; j < 4u; j++) {
      if (key_of(x[j]) >= floor_key && x[j] >= least) {
        own += weight_of(x[j], d);
      }
    }
  }
  scan(own, local, lanes);
  let chosen_thread = find_share(chosen_group.y, own, local);
  if (local == 0u) {
    atomicStore(&scratch[listed_at], 0u);
    found = vec2<u32>();
  }
  workgroupBarrier();
  if (local == chosen_thread.x && own > 0u) {
    var rest = chosen_thread.y;
    for (var v = begin; v < end; v++) {
      let x = load_logits(seq, v);
      for (var j = 0u; j < 4u; j++) {
        if (key_of(x[j]) >= floor_key && x[j] >= least) {
          let weight = weight_of(x[j], d);
          if (rest < weight) {
            found = vec2<u32>(4u * v + j, 0u);
            v = end;  // Ends both loops.
            break;
          }
          rest -= weight;
        }
      }
    }
  }
  let token = workgroupUniformLoad(&found);
  take_step(token_or_fault(token.x, d.largest), seq, local);
}
