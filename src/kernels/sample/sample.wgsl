// Random choice: repetition penalty, temperature, top-k, top-p, min-p, one draw, then the step to
// the next run. Definition: sample.h.
//
// One workgroup, which goes over the row up to 12 times, out of the cache after the first:
//   1. the largest logit;
//   2. top-k: the k-th largest logit by a radix search, 8 bits a pass, on the key, a u32 in the
//      order of the floats;
//   3. z, the sum of exp((logit - largest) / temperature) of what is left;
//   4. top-p: the same radix search by probability in place of count;
//   5. the draw: every thread adds up its own tokens; a prefix sum over the threads finds the one
//      whose share the draw falls into, and that thread finds the token in its share. The order of
//      tokens is thus (v % 256, v / 256, token % 4), v = token / 4.
// Probabilities are integers, floor(p * 2^31): their sums are exact in any order, so that one
// (logits, options, seed, position) always gives one token on one device.
//
// The host defines what token_choice.wgsl says.

#include "sample/token_choice.wgsl"
#include "common/workgroup_reduce.wgsl"

var<workgroup> histogram: array<atomic<u32>, 256>;
var<workgroup> prefix_sums: array<u32, 256>;
var<workgroup> found: vec2<u32>;
var<workgroup> drawn_token: u32;

// What turns a logit into a probability, exp((x - largest) * inv_temperature) * inv_z.
struct Distribution {
  largest: f32,
  inv_temperature: f32,
  inv_z: f32,
}

// In the order of the floats. Every filter is a bound on it: what is left has
// key_of(x) >= floor_key.
fn key_of(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return bits ^ select(0x80000000u, 0xffffffffu, bits >= 0x80000000u);
}

// floor(p * 2^31)
fn weight_of(x: f32, d: Distribution) -> u32 {
  return u32(exp((x - d.largest) * d.inv_temperature) * d.inv_z * 2147483648.0);
}

// Inclusive sums over the threads, in prefix_sums.
fn scan(value: u32, lid: u32) {
  workgroupBarrier();
  prefix_sums[lid] = value;
  workgroupBarrier();
  for (var reach = 1u; reach < kWorkgroupSize; reach *= 2u) {
    let before = select(0u, prefix_sums[max(lid, reach) - reach], lid >= reach);
    workgroupBarrier();
    prefix_sums[lid] += before;
    workgroupBarrier();
  }
}

// The largest key T such that the tokens with floor_key <= key and T <= key have together, by
// count at least `count`, or where that is 0, by weight at least `share` of all of them.
fn find_bound(count: u32, share: f32, floor_key: u32, d: Distribution, lid: u32) -> u32 {
  var bound = 0u;  // The bits that are settled, from the top.
  var settled = 0u;
  var remaining = count;
  for (var level = 0u; level < 4u; level++) {
    let shift = 24u - 8u * level;
    atomicStore(&histogram[lid], 0u);
    workgroupBarrier();
    for (var v = lid; 4u * v < params.vocab; v += kWorkgroupSize) {
      let x = load_logits(v);
      for (var j = 0u; j < 4u; j++) {
        let key = key_of(x[j]);
        if (x[j] > kNone && key >= floor_key && (key & settled) == bound) {
          let amount = select(weight_of(x[j], d), 1u, count > 0u);
          if (amount > 0u) {
            atomicAdd(&histogram[(key >> shift) & 0xffu], amount);
          }
        }
      }
    }
    workgroupBarrier();
    // Thread i looks at digit 255 - i, so that the sums run from the largest key down.
    let own = atomicLoad(&histogram[255u - lid]);
    scan(own, lid);
    let total = prefix_sums[255];
    if (level == 0u) {
      if (count == 0u) {
        remaining = max(u32(share * f32(total)), 1u);
      }
      remaining = min(remaining, total);
    }
    let here = prefix_sums[lid];
    if (here >= remaining && here - own < remaining) {
      found = vec2<u32>(255u - lid, remaining - (here - own));
    }
    let digit = workgroupUniformLoad(&found);
    bound |= digit.x << shift;
    settled |= 0xffu << shift;
    remaining = digit.y;
  }
  return bound;
}

// The upper word of a * b, from products of halves.
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

@compute @workgroup_size(kWorkgroupSize)
fn main(
#if subgroups
    @builtin(subgroup_size) lanes: u32,
#endif
    @builtin(local_invocation_index) lid: u32) {
#if !subgroups
  let lanes = 1u;
#endif
  var d: Distribution;
  let greedy = options.temperature <= 0.0;
  d.inv_temperature = select(1.0 / options.temperature, 1.0, greedy);
  let top_k = select(options.top_k, 1u, greedy);

  var largest = kNone;
  for (var v = lid; 4u * v < params.vocab; v += kWorkgroupSize) {
    let x = load_logits(v);
    largest = max(largest, max(max(x.x, x.y), max(x.z, x.w)));
  }
  d.largest = workgroup_max(largest, lid, lanes);
  if (lid == 0u) {
    drawn_token = 0u;
  }

  var floor_key = key_of(kNone) + 1u;
  if (top_k > 0u && top_k < params.vocab) {
    floor_key = max(floor_key, find_bound(top_k, 0.0, floor_key, d, lid));
  }

  var z = 0.0;
  for (var v = lid; 4u * v < params.vocab; v += kWorkgroupSize) {
    let x = load_logits(v);
    for (var j = 0u; j < 4u; j++) {
      if (key_of(x[j]) >= floor_key) {
        z += exp((x[j] - d.largest) * d.inv_temperature);
      }
    }
  }
  d.inv_z = 1.0 / max(workgroup_sum(z, lid, lanes), 1.0);  // 1 where no logit is finite.

  if (options.top_p < 1.0) {
    floor_key = max(floor_key, find_bound(0u, options.top_p, floor_key, d, lid));
  }
  if (options.min_p > 0.0) {
    let least = d.largest + min(log(options.min_p), 0.0) / d.inv_temperature;
    floor_key = max(floor_key, key_of(max(least, kNone)));
  }

  var own = 0u;
  for (var v = lid; 4u * v < params.vocab; v += kWorkgroupSize) {
    let x = load_logits(v);
    for (var j = 0u; j < 4u; j++) {
      if (key_of(x[j]) >= floor_key) {
        own += weight_of(x[j], d);
      }
    }
  }
  scan(own, lid);
  let draw = mul_high(philox(state.seed, state.position), prefix_sums[255]);
  let before = prefix_sums[lid] - own;
  if (draw >= before && draw - before < own) {
    var rest = draw - before;
    for (var v = lid; 4u * v < params.vocab; v += kWorkgroupSize) {
      let x = load_logits(v);
      for (var j = 0u; j < 4u; j++) {
        if (key_of(x[j]) >= floor_key) {
          let weight = weight_of(x[j], d);
          if (rest < weight) {
            drawn_token = 4u * v + j;
            v = params.vocab;  // Ends both loops.
            break;
          }
          rest -= weight;
        }
      }
    }
  }
  workgroupBarrier();
  if (lid == 0u) {
    take_step(drawn_token);
  }
}
