// The rows of x of qmoe_decode.wgsl: from storage to the layout in workgroup memory that its
// products read.

#if f16_math
@group(0) @binding(1) var<storage, read> x: array<vec4<u32>>;
#else
@group(0) @binding(1) var<storage, read> x: array<vec4<x_t>>;
#endif

// A phase of x in workgroup memory, kWords entries for each chunk.
#if f16_math
alias entry_t = vec4<u32>;
const kWords = kChunkCodes / 8u;
#else
alias entry_t = vec4<f32>;
const kWords = kChunkCodes / 4u;
#endif
var<workgroup> rows_of_x: array<entry_t, kPhaseSlots * kChunks * kWords>;

// Returns where an entry lies. Lanes read neighbouring chunks at the same time: the XOR swizzle
// puts 8 of them into 8 different groups of banks.
fn swizzled(entry: u32) -> u32 {
  let chunk = entry / kWords;
  return entry ^ ((chunk * kWords / 8u) % kWords);
}

// Eight neighbouring elements of x as they are stored.
#if f16_math
struct Octet {
  all: vec4<u32>,
}

fn load_octet(octet: u32) -> Octet {
  return Octet(x[octet]);
}

fn store_octet(octet: u32, value: Octet) {
  if (octet < kPhaseOctets) {
    rows_of_x[swizzled(octet)] = pairs_of_codes(value.all);
  }
}
#else
struct Octet {
  low: vec4<x_t>,
  high: vec4<x_t>,
}

fn load_octet(octet: u32) -> Octet {
  return Octet(x[2u * octet], x[2u * octet + 1u]);
}

fn store_octet(octet: u32, value: Octet) {
  if (octet < kPhaseOctets) {
    rows_of_x[swizzled(2u * octet)] = vec4<f32>(value.low);
    rows_of_x[swizzled(2u * octet + 1u)] = vec4<f32>(value.high);
  }
}
#endif

// Returns the elements in the pairs in which codes come out of a word.
#if f16_bits4
fn pairs_of_codes(a: vec4<u32>) -> vec4<u32> {
  return vec4<u32>((a.x & 0xffffu) | (a.z << 16u), (a.x >> 16u) | (a.z & 0xffff0000u),
                   (a.y & 0xffffu) | (a.w << 16u), (a.y >> 16u) | (a.w & 0xffff0000u));
}
#endif
#if f16_bits8
fn pairs_of_codes(a: vec4<u32>) -> vec4<u32> {
  return vec4<u32>((a.x & 0xffffu) | (a.y << 16u), (a.x >> 16u) | (a.y & 0xffff0000u),
                   (a.z & 0xffffu) | (a.w << 16u), (a.z >> 16u) | (a.w & 0xffff0000u));
}
#endif

// Loads a phase's rows of x, from octet `first_octet` on, into workgroup memory. A thread issues 4
// loads before it uses the first.
fn stage(first_octet: u32, local: u32) {
  let last = kPhaseOctets - 1u;
  for (var octet = local; octet < kPhaseOctets; octet += 4u * kWorkgroup) {
    let second = octet + kWorkgroup;
    let third = octet + 2u * kWorkgroup;
    let fourth = octet + 3u * kWorkgroup;
    let a = load_octet(first_octet + octet);
    let b = load_octet(first_octet + min(second, last));
    let c = load_octet(first_octet + min(third, last));
    let d = load_octet(first_octet + min(fourth, last));
    store_octet(octet, a);
    store_octet(second, b);
    store_octet(third, c);
    store_octet(fourth, d);
  }
  workgroupBarrier();
}
