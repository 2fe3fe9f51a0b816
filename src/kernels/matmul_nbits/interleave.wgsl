// Returns where a unit of a quantized weight lies (matmul_nbits.h): the first units of kInterleave
// interleaved rows, then their second units, and so on. So threads that have neighbouring rows, or
// few rows and neighbouring units, read one contiguous range.
fn interleaved_index(row: u32, unit: u32, units: u32) -> u32 {
  return (row / kInterleave * units + unit) * kInterleave + row % kInterleave;
}
