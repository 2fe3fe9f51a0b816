// What is added to a product's output of row `row` of the bound part of B.
#if bias
fn load_bias(row: u32) -> f32 {
  return f32(bias[row]);
}
#else
fn load_bias(row: u32) -> f32 {
  return 0.0;
}
#endif
