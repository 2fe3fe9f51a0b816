// Code that the three dispatches of sample share. sample.h has the definition.
//
//   sample_spread  the largest and the smallest logit, and the sum of exp over all tokens
//   sample_bounds  the bins of logits in which the bounds of top-k and top-p lie
//   sample_draw    the bounds themselves, the draw, the step to the next run
//
// Probabilities are integers, p * 2^31 rounded to nearest. Their sums are exact in any order, so
// that one (logits, options, seed, position) always gives one token on one device. p is a token's
// share of all tokens, before any filter, so that no sum exceeds 32 bits. A token whose probability
// rounds to 0 is never chosen.
//
// The bins divide the logits evenly, from the largest down to the smallest, or to where no token
// has a probability. Bin 0 has the largest.

#include "sample/token_choice.wgsl"

const kBins = 1024u;
const kMaxTop = 0xffffffffu;

// Words of `scratch`, for each sequence. The host clears the buffer once. Counters are back at 0
// when a token has been chosen.
const kListed = 1u;                                   // Tokens in the list.
const kSpread = 2u;                                   // Spread.
const kBounds = 5u;                                   // Bounds.
const kCounts = kFirstPartial + 3u * kMaxWorkgroups;  // By bin: tokens.
const kWeights = kCounts + kBins;                     // By bin: probability.
const kList = kWeights + kBins;                       // Pairs of a logit and its token.

// Numbers that turn a logit into a probability, exp((x - largest) * inv_temperature) * inv_z, and
// into a bin.
struct Spread {
  largest: f32,
  inv_z: f32,
  bins_per_logit: f32,
  inv_temperature: f32,
}

// Places of the bounds of the filters. A filter that is off has kMaxTop everywhere.
struct Bounds {
  k_bin: u32,     // Bin of the k-th largest logit.
  k_rest: u32,    // k less the tokens in the bins before it.
  k_weight: u32,  // Probability of the bins before it.
  p_begin: u32,   // The bound of top-p is in the bins [p_begin, p_end].
  p_end: u32,
  p_weight: u32,  // Probability of the bins before them.
  total: u32,     // Probability of all bins.
}

// A greedy sequence keeps the tokens with the largest logit and takes the first of them, as argmax
// does. It has no other filter.
fn is_greedy(seq: u32) -> bool {
  return options[seq].temperature <= 0.0;
}

fn inv_temperature(seq: u32) -> f32 {
  return select(1.0 / options[seq].temperature, 1.0, is_greedy(seq));
}

fn has_top_k(seq: u32) -> bool {
  return options[seq].top_k > 0u && options[seq].top_k < params.vocab && !is_greedy(seq);
}

fn has_top_p(seq: u32) -> bool {
  return options[seq].top_p < 1.0 && !is_greedy(seq);
}

fn load_spread(seq: u32) -> Spread {
  let at = scratch_at(seq, kSpread);
  return Spread(bitcast<f32>(atomicLoad(&scratch[at])), bitcast<f32>(atomicLoad(&scratch[at + 1u])),
                bitcast<f32>(atomicLoad(&scratch[at + 2u])), inv_temperature(seq));
}

fn weight_of(x: f32, d: Spread) -> u32 {
  let p = exp((x - d.largest) * d.inv_temperature) * d.inv_z;
  return select(0u, u32(p * 2147483648.0 + 0.5), x > kNone);
}

fn bin_of(x: f32, d: Spread) -> u32 {
  return u32(min((d.largest - x) * d.bins_per_logit, f32(kBins - 1u)));
}

// Returns the probability that top-p keeps of `total`.
fn top_p_of(seq: u32, total: u32) -> u32 {
  return max(u32(options[seq].top_p * f32(total)), 1u);
}

var<workgroup> prefix_sums: array<u32, kWorkgroupSize>;

// Writes inclusive sums over the threads to prefix_sums. Every thread must call, from uniform
// control flow.
#if subgroups
fn scan(value: u32, local: u32, lanes: u32) {
  let sum = subgroupInclusiveAdd(value);
  workgroupBarrier();
  if (local % lanes == lanes - 1u) {
    prefix_sums[local / lanes] = sum;
  }
  workgroupBarrier();
  var before = 0u;
  for (var i = 0u; i < local / lanes; i++) {
    before += prefix_sums[i];
  }
  workgroupBarrier();
  prefix_sums[local] = before + sum;
  workgroupBarrier();
}
#else
fn scan(value: u32, local: u32, lanes: u32) {
  workgroupBarrier();
  prefix_sums[local] = value;
  workgroupBarrier();
  for (var reach = 1u; reach < kWorkgroupSize; reach *= 2u) {
    let before = select(0u, prefix_sums[max(local, reach) - reach], local >= reach);
    workgroupBarrier();
    prefix_sums[local] += before;
    workgroupBarrier();
  }
}
#endif
