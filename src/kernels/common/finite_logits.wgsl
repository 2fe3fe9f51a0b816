// Logits as finite numbers, in which a search for the largest also finds NaN and +inf.

// Stands for a logit that must not be chosen: -inf, and indices past the vocabulary.
const kNone = -3.4028234663852886e+38f;
// The largest finite logit, and what stands for NaN and +inf: larger than every finite logit, so
// that the search for the largest one finds it.
const kLargest = 3.4028232635611926e+38f;
const kBad = 3.4028234663852886e+38f;

// Tells which logits are NaN or +inf.
fn bad_logits(raw: vec4<f32>) -> vec4<bool> {
  // Checked by its bits: a compiler may assume that there is neither NaN nor infinity.
  let bits = bitcast<vec4<u32>>(raw);
  return ((bits & vec4<u32>(0x7fffffffu)) >= vec4<u32>(0x7f800000u)) &
         (bits != vec4<u32>(0xff800000u));
}

// Replaces NaN and +inf by kBad, and clamps the others to finite numbers below it.
fn finite_logits(raw: vec4<f32>) -> vec4<f32> {
  return select(clamp(raw, vec4<f32>(kNone), vec4<f32>(kLargest)), vec4<f32>(kBad),
                bad_logits(raw));
}
