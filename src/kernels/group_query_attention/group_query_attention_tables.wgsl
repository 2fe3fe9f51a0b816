// Units of eight elements of cos, sin and the norm weights, from bindings of their own, for
// group_query_attention_inputs.wgsl.

#if rotary
fn cos_unit(i: u32) -> raw8 { return cos_cache[i]; }
fn sin_unit(i: u32) -> raw8 { return sin_cache[i]; }
#endif
#if norm
fn q_norm_unit(i: u32) -> raw8 { return q_norm_weight[i]; }
fn k_norm_unit(i: u32) -> raw8 { return k_norm_weight[i]; }
#endif
