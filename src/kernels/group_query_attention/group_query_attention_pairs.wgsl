// Arithmetic of group_query_attention_decode.wgsl, which says what the host defines: one value or
// one column for each of kPairs pairs (query row, head), and sums over the kLanes threads of a
// team.

#if pairs1
fn pair_vector(a: f32, b: f32, c: f32, d: f32) -> pvec { return a; }
fn pair_counts(a: u32, b: u32, c: u32, d: u32) -> upvec { return a; }
fn pair_matrix(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> pmat { return a; }
fn pair_column(m: pmat, i: u32) -> vec4<f32> { return m; }
fn pair_vec4(v: pvec) -> vec4<f32> { return vec4<f32>(v, 0.0, 0.0, 0.0); }
fn dots(x: vec4<f32>, m: pmat) -> pvec { return dot(x, m); }
fn outer(x: vec4<f32>, w: pvec) -> pmat { return x * w; }
fn scale_pairs(m: pmat, w: pvec) -> pmat { return m * w; }
#endif
#if pairs2
fn pair_vector(a: f32, b: f32, c: f32, d: f32) -> pvec { return vec2<f32>(a, b); }
fn pair_counts(a: u32, b: u32, c: u32, d: u32) -> upvec { return vec2<u32>(a, b); }
fn pair_matrix(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> pmat {
  return mat2x4<f32>(a, b);
}
fn pair_column(m: pmat, i: u32) -> vec4<f32> { return m[i]; }
fn pair_vec4(v: pvec) -> vec4<f32> { return vec4<f32>(v, 0.0, 0.0); }
fn dots(x: vec4<f32>, m: pmat) -> pvec { return x * m; }
fn outer(x: vec4<f32>, w: pvec) -> pmat { return mat2x4<f32>(x * w.x, x * w.y); }
fn scale_pairs(m: pmat, w: pvec) -> pmat { return mat2x4<f32>(m[0] * w.x, m[1] * w.y); }
#endif
#if pairs4
fn pair_vector(a: f32, b: f32, c: f32, d: f32) -> pvec { return vec4<f32>(a, b, c, d); }
fn pair_counts(a: u32, b: u32, c: u32, d: u32) -> upvec { return vec4<u32>(a, b, c, d); }
fn pair_matrix(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> pmat {
  return mat4x4<f32>(a, b, c, d);
}
fn pair_column(m: pmat, i: u32) -> vec4<f32> { return m[i]; }
fn pair_vec4(v: pvec) -> vec4<f32> { return v; }
fn dots(x: vec4<f32>, m: pmat) -> pvec { return x * m; }
fn outer(x: vec4<f32>, w: pvec) -> pmat {
  return mat4x4<f32>(x * w.x, x * w.y, x * w.z, x * w.w);
}
fn scale_pairs(m: pmat, w: pvec) -> pmat {
  return mat4x4<f32>(m[0] * w.x, m[1] * w.y, m[2] * w.z, m[3] * w.w);
}
#endif

// ---- eight elements

#if f16
fn unpack(x: raw8) -> eight {
  return eight(vec4<f32>(bitcast<vec4<f16>>(x.xy)), vec4<f32>(bitcast<vec4<f16>>(x.zw)));
}
fn pack(x: eight) -> raw8 {
  return raw8(bitcast<vec2<u32>>(vec4<f16>(x[0])), bitcast<vec2<u32>>(vec4<f16>(x[1])));
}
#else
fn unpack(x: raw8) -> eight { return x; }
fn pack(x: eight) -> raw8 { return x; }
#endif

// Eight columns of every pair.
struct Unit {
  lo: pmat,
  hi: pmat,
}

fn score_part(k: raw8, q: Unit) -> pvec {
  let x = unpack(k);
  return dots(x[0], q.lo) + dots(x[1], q.hi);
}

// Adds a value times its weight. `on` is whether the row exists: memory past the last row may hold
// NaN.
fn add_values(sum: Unit, v: raw8, weight: pvec, on: bool) -> Unit {
  let x = unpack(v);
  return Unit(sum.lo + outer(select(vec4<f32>(0.0), x[0], on), weight),
              sum.hi + outer(select(vec4<f32>(0.0), x[1], on), weight));
}

fn scale_unit(x: Unit, factor: pvec) -> Unit {
  return Unit(scale_pairs(x.lo, factor), scale_pairs(x.hi, factor));
}

fn squares(x: eight) -> f32 { return dot(x[0], x[0]) + dot(x[1], x[1]); }

fn times(x: eight, weight: eight, factor: f32) -> eight {
  return eight(x[0] * weight[0] * factor, x[1] * weight[1] * factor);
}

#if subgroups
fn team_sum(value: pvec, local: u32) -> pvec {
  var sum = value;
#repeat d 1 2 4 8 16
  if (kLanes > $d) { sum += subgroupShuffleXor(sum, $d); }
#endrepeat
  return sum;
}

// Returns the columns of this lane plus those of the lane `offset` away.
fn across(m: pmat, offset: u32) -> pmat {
  let a = subgroupShuffleXor(pair_column(m, 0u), offset);
  var a1 = a;
  var a2 = a;
  var a3 = a;
#repeat i 1..kPairs
  a$i = subgroupShuffleXor(pair_column(m, $i), offset);
#endrepeat
  return m + pair_matrix(a, a1, a2, a3);
}

fn add_across(x: Unit, offset: u32) -> Unit {
  return Unit(across(x.lo, offset), across(x.hi, offset));
}
#else
var<workgroup> team_scratch: array<pvec, kWorkgroupSize>;

fn team_sum(value: pvec, local: u32) -> pvec {
  workgroupBarrier();  // Threads may still read the last call's values.
  team_scratch[local] = value;
  workgroupBarrier();
  var sum = pvec(0.0);
  let team = local / kLanes * kLanes;
  for (var i = 0u; i < kLanes; i++) {
    sum += team_scratch[team + i];
  }
  return sum;
}
#endif
