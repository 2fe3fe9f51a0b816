// Where the parts of a quantized weight lie (matmul_nbits.h): of kInterleave rows together the first unit each, then
// the second. Neighbouring threads that have neighbouring rows, or few rows and neighbouring units, read one stretch.
fn interleaved_index(row: u32, unit: u32, units: u32) -> u32 {
  return (row / kInterleave * units + unit) * kInterleave + row % kInterleave;
}
