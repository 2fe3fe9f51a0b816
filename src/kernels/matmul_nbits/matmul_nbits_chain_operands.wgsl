// Bindings of matmul_nbits_chain.wgsl: those of link i carry its number; matmul_nbits_chain.h.

@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read_write> old_rows: array<u32>;

@group(0) @binding(4) var<storage, read> b_0: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> scales_0: array<f16>;
#if bias_0
@group(0) @binding(6) var<storage, read> bias_0: array<f16>;
#endif
#if norm_0
@group(0) @binding(7) var<storage, read> norm_0: array<u32>;
#endif
#if residual_0
@group(0) @binding(8) var<storage, read> residual_0: array<u32>;
#endif
#if kept_0
@group(0) @binding(9) var<storage, read_write> y_0: array<u32>;
#endif

#if link_1
@group(0) @binding(10) var<storage, read> b_1: array<vec4<u32>>;
@group(0) @binding(11) var<storage, read> scales_1: array<f16>;
#endif
#if bias_1
@group(0) @binding(12) var<storage, read> bias_1: array<f16>;
#endif
#if norm_1
@group(0) @binding(13) var<storage, read> norm_1: array<u32>;
#endif
#if residual_1
@group(0) @binding(14) var<storage, read> residual_1: array<u32>;
#endif
#if kept_1
@group(0) @binding(15) var<storage, read_write> y_1: array<u32>;
#endif

#if link_2
@group(0) @binding(16) var<storage, read> b_2: array<vec4<u32>>;
@group(0) @binding(17) var<storage, read> scales_2: array<f16>;
#endif
#if bias_2
@group(0) @binding(18) var<storage, read> bias_2: array<f16>;
#endif
#if norm_2
@group(0) @binding(19) var<storage, read> norm_2: array<u32>;
#endif
#if residual_2
@group(0) @binding(20) var<storage, read> residual_2: array<u32>;
#endif
#if kept_2
@group(0) @binding(21) var<storage, read_write> y_2: array<u32>;
#endif

#if link_3
@group(0) @binding(22) var<storage, read> b_3: array<vec4<u32>>;
@group(0) @binding(23) var<storage, read> scales_3: array<f16>;
#endif
#if bias_3
@group(0) @binding(24) var<storage, read> bias_3: array<f16>;
#endif
#if norm_3
@group(0) @binding(25) var<storage, read> norm_3: array<u32>;
#endif
#if residual_3
@group(0) @binding(26) var<storage, read> residual_3: array<u32>;
#endif
#if kept_3
@group(0) @binding(27) var<storage, read_write> y_3: array<u32>;
#endif

// A link's operands, by its number: a constant wherever these are called.

fn LoadB(link: u32, at: u32) -> vec4<u32> {
#if link_1
  if (link == 1u) { return b_1[at]; }
#endif
#if link_2
  if (link == 2u) { return b_2[at]; }
#endif
#if link_3
  if (link == 3u) { return b_3[at]; }
#endif
  return b_0[at];
}

fn LoadScale(link: u32, at: u32) -> f32 {
#if link_1
  if (link == 1u) { return f32(scales_1[at]); }
#endif
#if link_2
  if (link == 2u) { return f32(scales_2[at]); }
#endif
#if link_3
  if (link == 3u) { return f32(scales_3[at]); }
#endif
  return f32(scales_0[at]);
}

fn LoadBias(link: u32, row: u32) -> f32 {
#if bias_0
  if (link == 0u) { return f32(bias_0[row]); }
#endif
#if bias_1
  if (link == 1u) { return f32(bias_1[row]); }
#endif
#if bias_2
  if (link == 2u) { return f32(bias_2[row]); }
#endif
#if bias_3
  if (link == 3u) { return f32(bias_3[row]); }
#endif
  return 0.0;
}

fn LoadNorm(link: u32, pair: u32) -> u32 {
#if norm_0
  if (link == 0u) { return norm_0[pair]; }
#endif
#if norm_1
  if (link == 1u) { return norm_1[pair]; }
#endif
#if norm_2
  if (link == 2u) { return norm_2[pair]; }
#endif
#if norm_3
  if (link == 3u) { return norm_3[pair]; }
#endif
  return 0u;
}

// Pair `pair` of the residual that is bound.
fn LoadResidual(link: u32, pair: u32) -> u32 {
#if residual_0
  if (link == 0u) { return residual_0[pair]; }
#endif
#if residual_1
  if (link == 1u) { return residual_1[pair]; }
#endif
#if residual_2
  if (link == 2u) { return residual_2[pair]; }
#endif
#if residual_3
  if (link == 3u) { return residual_3[pair]; }
#endif
  return 0u;
}

// Stores pair `pair` of a link's Y for whoever reads it after this dispatch.
fn StoreResult(link: u32, pair: u32, value: u32) {
#if kept_0
  if (link == 0u) { y_0[pair] = value; }
#endif
#if kept_1
  if (link == 1u) { y_1[pair] = value; }
#endif
#if kept_2
  if (link == 2u) { y_2[pair] = value; }
#endif
#if kept_3
  if (link == 3u) { y_3[pair] = value; }
#endif
}
