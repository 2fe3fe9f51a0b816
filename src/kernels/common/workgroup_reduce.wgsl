// Sums and maxima over all threads of a workgroup. The including shader defines kWorkgroupSize, a
// power of two. Every thread must call, from uniform control flow, and gets the result, which is
// the same in each run. `lanes` is the builtin subgroup_size with subgroups, else unused.
//
// With subgroups thread i is in subgroup i / lanes. This holds on every backend for a
// one-dimensional workgroup.

const kLowest = -3.4028234663852886e+38f;

var<workgroup> reduce_scratch: array<f32, kWorkgroupSize>;

#if subgroups
fn workgroup_sum(value: f32, local: u32, lanes: u32) -> f32 {
  let sum = subgroupAdd(value);
  workgroupBarrier();  // Threads may still read the last call's values.
  if (local % lanes == 0u) {
    reduce_scratch[local / lanes] = sum;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i * lanes < kWorkgroupSize; i++) {
    total += reduce_scratch[i];
  }
  return total;
}

fn workgroup_max(value: f32, local: u32, lanes: u32) -> f32 {
  let largest = subgroupMax(value);
  workgroupBarrier();
  if (local % lanes == 0u) {
    reduce_scratch[local / lanes] = largest;
  }
  workgroupBarrier();
  var result = kLowest;
  for (var i = 0u; i * lanes < kWorkgroupSize; i++) {
    result = max(result, reduce_scratch[i]);
  }
  return result;
}
#else
fn workgroup_sum(value: f32, local: u32, lanes: u32) -> f32 {
  workgroupBarrier();
  reduce_scratch[local] = value;
  workgroupBarrier();
  for (var stride = kWorkgroupSize / 2u; stride > 0u; stride /= 2u) {
    if (local < stride) {
      reduce_scratch[local] += reduce_scratch[local + stride];
    }
    workgroupBarrier();
  }
  return reduce_scratch[0];
}

fn workgroup_max(value: f32, local: u32, lanes: u32) -> f32 {
  workgroupBarrier();
  reduce_scratch[local] = value;
  workgroupBarrier();
  for (var stride = kWorkgroupSize / 2u; stride > 0u; stride /= 2u) {
    if (local < stride) {
      reduce_scratch[local] = max(reduce_scratch[local], reduce_scratch[local + stride]);
    }
    workgroupBarrier();
  }
  return reduce_scratch[0];
}
#endif
