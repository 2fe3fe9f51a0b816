// The second dispatch of sample: counts tokens and adds probabilities by bin. The last workgroup to
// finish finds the bins in which the bounds of top-k and top-p lie. It does nothing if both filters
// are off. sample.h has the definition.
//
// The bound of top-p depends on which tokens of bin k_bin top-k keeps: the total probability is
// between that of the bins before k_bin and that of the bins up to it. p_begin and p_end are the
// bins for these two totals.
//
// The host defines what token_choice.wgsl says.

#include "sample/sample.wgsl"

const kBinsPerThread = kBins / kWorkgroupSize;

// By bin. In the last workgroup: of all bins up to each.
var<workgroup> counts: array<atomic<u32>, kBins>;
var<workgroup> weights: array<atomic<u32>, kBins>;
var<workgroup> first_bin: atomic<u32>;

// Returns the first bin up to which the tokens' count or probability is at least `least`, or kBins.
fn first_reaching(of_weights: bool, least: u32, local: u32) -> u32 {
  if (local == 0u) {
    atomicStore(&first_bin, kBins);
  }
  workgroupBarrier();
  for (var i = 0u; i < kBinsPerThread; i++) {
    let bin = i * kWorkgroupSize + local;
    let sum = select(atomicLoad(&counts[bin]), atomicLoad(&weights[bin]), of_weights);
    if (sum >= least) {
      atomicMin(&first_bin, bin);
    }
  }
  workgroupBarrier();
  let bin = atomicLoad(&first_bin);
  workgroupBarrier();
  return bin;
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
  bind_all();
  let k = options[seq].top_k;
  let has_k = has_top_k(seq);
  let has_p = has_top_p(seq);
  if (options[seq].idle != 0u || (!has_k && !has_p)) {
    return;
  }
  for (var bin = local; bin < kBins; bin += kWorkgroupSize) {
    atomicStore(&counts[bin], 0u);
    atomicStore(&weights[bin], 0u);
  }
  workgroupBarrier();
  let d = load_spread(seq);
  for (var v = first_load(workgroup.x, local); v < end_load(workgroup.x, local); v++) {
    let x = load_logits(seq, v);
    for (var j = 0u; j < 4u; j++) {
      let weight = weight_of(x[j], d);
      if (weight > 0u) {
        let bin = bin_of(x[j], d);
        atomicAdd(&counts[bin], 1u);
        atomicAdd(&weights[bin], weight);
      }
    }
  }
  workgroupBarrier();
  var before = 0u;
  for (var bin = local; bin < kBins; bin += kWorkgroupSize) {
    let count = atomicLoad(&counts[bin]);
    if (count > 0u) {
      before = max(before, atomicAdd(&scratch[scratch_at(seq, kCounts + bin)], count));
      let weight = atomicLoad(&weights[bin]);
      before = max(before, atomicAdd(&scratch[scratch_at(seq, kWeights + bin)], weight));
    }
  }
  await_atomics(seq, before);
  if (!finish_workgroup(seq, local)) {
    return;
  }

  // Prefix sums over the bins: in each thread over neighbouring ones, then over the threads.
  var count = 0u;
  var weight = 0u;
  for (var i = 0u; i < kBinsPerThread; i++) {
    let bin = local * kBinsPerThread + i;
    count += atomicExchange(&scratch[scratch_at(seq, kCounts + bin)], 0u);
    weight += atomicExchange(&scratch[scratch_at(seq, kWeights + bin)], 0u);
    atomicStore(&counts[bin], count);
    atomicStore(&weights[bin], weight);
  }
  scan(count, local, lanes);
  let counts_before = prefix_sums[local] - count;
  scan(weight, local, lanes);
  let weights_before = prefix_sums[local] - weight;
  for (var i = 0u; i < kBinsPerThread; i++) {
    let bin = local * kBinsPerThread + i;
    atomicAdd(&counts[bin], counts_before);
    atomicAdd(&weights[bin], weights_before);
  }
  workgroupBarrier();

  let last = kBins - 1u;
  let total = atomicLoad(&weights[last]);
  var bounds = Bounds(kMaxTop, kMaxTop, kMaxTop, kMaxTop, kMaxTop, kMaxTop, total);
  var least_weight = total;
  var most_weight = total;
  if (has_k) {
    let bin = first_reaching(false, k, local);
    // Otherwise fewer than k tokens have a probability, and top-k leaves none out.
    if (bin < kBins) {
      let before = max(bin, 1u) - 1u;
      bounds.k_bin = bin;
      bounds.k_rest = k - select(0u, atomicLoad(&counts[before]), bin > 0u);
      bounds.k_weight = select(0u, atomicLoad(&weights[before]), bin > 0u);
      least_weight = bounds.k_weight;
      most_weight = atomicLoad(&weights[bin]);
    }
  }
  if (has_p) {
    bounds.p_begin = min(first_reaching(true, top_p_of(seq, least_weight), local), last);
    bounds.p_end = min(first_reaching(true, top_p_of(seq, most_weight), local), last);
    let before = max(bounds.p_begin, 1u) - 1u;
    bounds.p_weight = select(0u, atomicLoad(&weights[before]), bounds.p_begin > 0u);
  }
  if (local == 0u) {
    let at = scratch_at(seq, kBounds);
    atomicStore(&scratch[at], bounds.k_bin);
    atomicStore(&scratch[at + 1u], bounds.k_rest);
    atomicStore(&scratch[at + 2u], bounds.k_weight);
    atomicStore(&scratch[at + 3u], bounds.p_begin);
    atomicStore(&scratch[at + 4u], bounds.p_end);
    atomicStore(&scratch[at + 5u], bounds.p_weight);
    atomicStore(&scratch[at + 6u], bounds.total);
  }
}
