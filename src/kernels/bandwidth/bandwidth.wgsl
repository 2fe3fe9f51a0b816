// Reads a buffer from end to end as fast as the adapter can: the roof for kernels that are bound by
// memory.
//
// sums[t] = the exclusive or of the 32-bit words of every vec4 whose index is t modulo the number
// of threads. Thread t owns sums[t]. Neighbouring threads read neighbouring vec4s, and each thread
// has four of them in flight.

struct Params {
  count: u32,    // vec4s in `data`.
  threads: u32,  // Threads of the whole grid.
  pad0: u32,
  pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> sums: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let stride = params.threads;
  var sum = vec4<u32>(0u);
  var i = id.x;
  // The host keeps count + 4 * threads below 2^32.
  for (; i + 3u * stride < params.count; i += 4u * stride) {
    sum ^= data[i] ^ data[i + stride] ^ data[i + 2u * stride] ^ data[i + 3u * stride];
  }
  for (; i < params.count; i += stride) {
    sum ^= data[i];
  }
  sums[id.x] = sum.x ^ sum.y ^ sum.z ^ sum.w;
}
