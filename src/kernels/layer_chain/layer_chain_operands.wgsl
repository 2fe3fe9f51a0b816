// Bindings of layer_chain.wgsl and functions that read them. Bindings of link i have its number.
// layer_chain.h describes them.

struct Params {
  // Parameters of the attention, as in group_query_attention_decode.wgsl.
  capacity: u32,
  local_window: u32,
  rotary_rows: u32,
  q_row: u32,
  kv_row: u32,
  k_offset: u32,
  v_offset: u32,
  bias_batch: u32,
  bias_head: u32,
  bias_total: u32,
  scale: f32,
  softcap: f32,
  epsilon: f32,
  head_rows: u32,
  pad0: u32,
  pad1: u32,
  rows: u32,         // First of this dispatch's words in `rows`.
  layers: u32,       // Layers, which run one after the other.
  cache_layer: u32,  // Rows of the caches from one layer to the next.
  pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<atomic<u32>>;
#if vectors
@group(0) @binding(3) var<storage, read> vectors: array<u32>;
#endif
#if attention
@group(0) @binding(4) var<storage, read_write> k_cache: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read_write> v_cache: array<vec4<u32>>;
@group(0) @binding(6) var<uniform> seqlens_k: i32;
#endif
#if pages
@group(0) @binding(26) var<uniform> page_table: array<vec4<i32>, kPageVectors>;

fn page_at(i: u32) -> u32 { return u32(page_table[i / 4u][i % 4u]); }
#endif
#if rotary
@group(0) @binding(7) var<storage, read> rotary: array<vec4<u32>>;
#endif

#repeat i 0..4
#if link_$i
@group(0) @binding(8 + 4 * $i) var<storage, read> b_$i: array<vec4<u32>>;
@group(0) @binding(9 + 4 * $i) var<storage, read> scales_$i: array<f16>;
#endif
#if residual_$i
@group(0) @binding(10 + 4 * $i) var<storage, read> residual_$i: array<u32>;
#endif
#if bound_$i
@group(0) @binding(11 + 4 * $i) var<storage, read_write> y_$i: array<u32>;
#endif
#endrepeat

#if table
@group(0) @binding(24) var<uniform> token: i32;
#endif
#if table_codes
@group(0) @binding(25) var<storage, read> table_scales: array<f16>;
#endif

// Returns word `at`, two f16, of the input, or of the table's elements.
#if table_codes
fn load_input(at: u32) -> u32 {
  let codes = input[at / 4u] >> (at % 4u * 8u);
  let values = vec2<f32>(vec2<u32>(codes & 15u, (codes >> 4u) & 15u)) - 8.0;
  return bitcast<u32>(vec2<f16>(values * f32(table_scales[at / (kTableBlock / 2u)])));
}
#else
fn load_input(at: u32) -> u32 { return input[at]; }
#endif

// Returns word `word` of the first layer's input.
#if table
fn input_word(word: u32) -> u32 {
  let row = clamp(select(token, token + i32(kTableRows), token < 0), 0, i32(kTableRows) - 1);
  return load_input(u32(row) * (kTableCols / 2u) + word);
}
#else
fn input_word(word: u32) -> u32 { return load_input(word); }
#endif

// Operands of a link by its number, which is a constant in every call.

fn load_b(link: u32, at: u32) -> vec4<u32> {
#repeat i 1..4
#if link_$i
  if (link == $i) { return b_$i[at]; }
#endif
#endrepeat
  return b_0[at];
}

fn load_scale(link: u32, at: u32) -> f32 {
#repeat i 1..4
#if link_$i
  if (link == $i) { return f32(scales_$i[at]); }
#endif
#endrepeat
  return f32(scales_0[at]);
}

#if vectors
// Returns word `at` of a layer's biases and norm scales.
fn load_vector(layer: u32, at: u32) -> u32 {
  return vectors[layer * kVectorWords + at];
}
#else
fn load_vector(layer: u32, at: u32) -> u32 {
  return 0u;
}
#endif

// Returns word `word` of the bound residual.
fn load_residual(link: u32, word: u32) -> u32 {
#repeat i 0..4
#if residual_$i
  if (link == $i) { return residual_$i[word]; }
#endif
#endrepeat
  return 0u;
}

// Stores word `word` of a link's Y for the dispatches after this one.
fn store_result(link: u32, word: u32, value: u32) {
#repeat i 0..4
#if bound_$i
  if (link == $i) { y_$i[word] = value; }
#endif
#endrepeat
}
