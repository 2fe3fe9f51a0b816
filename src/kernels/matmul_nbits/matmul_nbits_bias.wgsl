// Returns the bias of row `row` of the bound part of B, 0 without one.
#if bias
fn load_bias(row: u32) -> f32 {
  return f32(bias[row]);
}
#else
fn load_bias(row: u32) -> f32 {
  return 0.0;
}
#endif
