// The first largest logit of all threads of a workgroup. The including shader defines
// kWorkgroupSize, a power of two, and includes finite_logits.wgsl. workgroup_reduce.wgsl says what
// `lanes` is.

struct Best {
  logit: f32,
  token: u32,  // Any if no logit is above kNone.
}

const kNothing = Best(kNone, 0xffffffffu);

fn better(a: Best, b: Best) -> Best {
  let second = b.logit > a.logit || (b.logit == a.logit && b.token < a.token);
  return Best(select(a.logit, b.logit, second), select(a.token, b.token, second));
}

var<workgroup> best_of: array<Best, kWorkgroupSize>;

// Returns the best of all threads.
#if subgroups
fn workgroup_best(own: Best, local: u32, lanes: u32) -> Best {
  let logit = subgroupMax(own.logit);
  let token = subgroupMin(select(kNothing.token, own.token, own.logit == logit));
  workgroupBarrier();  // Threads may still read the last call's values.
  if (local % lanes == 0u) {
    best_of[local / lanes] = Best(logit, token);
  }
  workgroupBarrier();
  var best = best_of[0];
  for (var i = 1u; i * lanes < kWorkgroupSize; i++) {
    best = better(best, best_of[i]);
  }
  return best;
}
#else
fn workgroup_best(own: Best, local: u32, lanes: u32) -> Best {
  workgroupBarrier();
  best_of[local] = own;
  workgroupBarrier();
  for (var stride = kWorkgroupSize / 2u; stride > 0u; stride /= 2u) {
    if (local < stride) {
      best_of[local] = better(best_of[local], best_of[local + stride]);
    }
    workgroupBarrier();
  }
  return best_of[0];
}
#endif
