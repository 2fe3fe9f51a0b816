// Results of int64 that do not fit the 32 bits that integers have on the GPU. The including shader
// has `fault_word`, a number that names the node, in its params, and defines kFaultBinding.

@group(0) @binding(kFaultBinding) var<storage, read_write> faults: array<atomic<u32>>;

// Notes the node if `beyond`: the largest number stays.
fn note_beyond(beyond: bool) {
  if (beyond) {
    atomicMax(&faults[0], params.fault_word);
  }
}

fn add_noted(a: i32, b: i32) -> i32 {
  let sum = a + b;
  note_beyond(((a ^ sum) & (b ^ sum)) < 0);
  return sum;
}

fn sub_noted(a: i32, b: i32) -> i32 {
  let difference = a - b;
  note_beyond(((a ^ b) & (a ^ difference)) < 0);
  return difference;
}

fn mul_noted(a: i32, b: i32) -> i32 {
  let product = a * b;
  // Products below 2^30 in f32, which rounds by 2^-24 of them, fit; of the others the quotient tells.
  if (abs(f32(a) * f32(b)) > 1073741824.0) {
    let least = bitcast<i32>(0x80000000u);
    let wraps = (a == -1 && b == least) || (b == -1 && a == least);
    let divisor = select(b, 1, b == -1);
    note_beyond(wraps || (b != -1 && product / divisor != a));
  }
  return product;
}

// a^b by squaring; the caller handles b < 0. The last square may not be needed and is not taken.
fn pow_noted(a: i32, b: i32) -> i32 {
  var result = 1;
  var base = a;
  var rest = b;
  while (rest != 0) {
    if ((rest & 1) != 0) { result = mul_noted(result, base); }
    rest >>= 1u;
    if (rest != 0) { base = mul_noted(base, base); }
  }
  return result;
}
