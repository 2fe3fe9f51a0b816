// Scores of keys and their weights, for every pair of group_query_attention_pairs.wgsl. `params`
// has scale and softcap.

// A masked key's score, below every score that counts.
const kMasked = -3.4028234663852886e+38f;

fn finish_scores(products: pvec, bias: pvec, t: u32, begin: upvec, end: upvec) -> pvec {
  var score = products * params.scale;
  if (params.softcap > 0.0) {
    // The bound keeps tanh's argument where every implementation is finite; tanh(20) rounds to 1.
    score = params.softcap * tanh(clamp(score / params.softcap, pvec(-20.0), pvec(20.0)));
  }
  return select(pvec(kMasked), score + bias, (upvec(t) >= begin) & (upvec(t) < end));
}

// Returns the weights of scores. A masked key's weight is 0, even if every key of the row is
// masked.
fn weights_of(score: pvec, largest: pvec) -> pvec {
  return select(pvec(0.0), exp(score - largest), score > pvec(kMasked));
}
