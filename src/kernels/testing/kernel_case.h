// Table of cases of a kernel, which its tests and its benchmarks share.
//
// A kernel's test file registers its cases once:
//
//   const bool kRegistered = RegisterKernelCases("rms_norm", [](const Caps& caps) {
//     std::vector<KernelCase> cases;
//     ...
//     return cases;
//   });
//
// The test program runs every case with every variant against the expected values, with validation
// and bounds checks on and the outputs poisoned first. The benchmark program times the same cases
// on an unchecked device.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/caps.h"
#include "kernels/kernel_plan.h"

namespace sinter::kernels {

// One storage buffer of a dispatch. Its binding is its index in KernelCase::operands plus one.
struct Operand {
  // Element type. kF16, kF32, kI32, kI64, kBool and kU32 take `values` (narrowed as on the device);
  // kU8 takes `raw`.
  DType dtype = DType::kF32;
  std::vector<double> values;
  std::vector<std::byte> raw;
  // If false, the binding is left out.
  bool present = true;
  // Expected contents of the buffer afterwards; empty if it is only read. The buffer starts as
  // `values`, or poisoned (NaN) if `values` is empty. NaN in `expected` matches anything.
  std::vector<double> expected;
  // Tolerances: |got - expected| <= abs_tolerance + rel_tolerance * |expected|.
  double abs_tolerance = 0, rel_tolerance = 0;

  static Operand Input(DType dtype, std::vector<double> values) {
    return {.dtype = dtype, .values = std::move(values)};
  }
  static Operand Packed(std::vector<std::byte> raw) {
    return {.dtype = DType::kU8, .raw = std::move(raw)};
  }
  static Operand Absent() { return {.present = false}; }
  static Operand Output(DType dtype, std::vector<double> expected, double abs_tolerance,
                        double rel_tolerance = 0) {
    return {.dtype = dtype,
            .expected = std::move(expected),
            .abs_tolerance = abs_tolerance,
            .rel_tolerance = rel_tolerance};
  }
};

struct KernelCase {
  // Name of shape and types, such as `m1.n1024.k1024.f16.zp`.
  std::string name;
  // Returns the operands. Called only when the case runs, because they may be large.
  std::function<std::vector<Operand>()> operands;
  // Variants that the adapter can run; {""} stands for the one that Plan chooses.
  std::vector<std::string> variants = {""};
  std::function<KernelPlan(const Caps&, std::string_view variant)> plan;
  // Returns several dispatches, run in order over the same operands. Used in place of `plan`.
  std::function<std::vector<KernelPlan>(const Caps&, std::string_view variant)> plans;
  // Work for benchmarks. Cases with zero bytes are tests only.
  double flops = 0, bytes = 0;
  // Tells whether the sizes are too large for the tests on a software GPU. The benchmark checks
  // their results.
  bool benchmark_only = false;
};

using KernelCaseMaker = std::function<std::vector<KernelCase>(const Caps&)>;

bool RegisterKernelCases(std::string_view kernel, KernelCaseMaker maker);

// Returns every registered (kernel, maker) in the order of registration.
const std::vector<std::pair<std::string, KernelCaseMaker>>& RegisteredKernelCases();

// Returns `values` rounded to what `dtype` can hold (f16 and f32), so that a reference sees what
// the GPU sees.
std::vector<double> RoundTo(DType dtype, std::vector<double> values);

// Returns reproducible normally distributed values, rounded to `dtype`.
std::vector<double> RandomValues(DType dtype, size_t count, uint32_t seed, double scale = 1.0);
std::vector<std::byte> RandomBytes(size_t count, uint32_t seed);

// Returns the unit roundoff of `dtype`: 2^-11 for f16, 2^-24 for f32.
double Epsilon(DType dtype);

// Returns the caps without shader-f16, so that a case can force the widened path, in which f16
// tensors are f32.
Caps WithoutF16(Caps caps);
Caps WithoutSubgroups(Caps caps);

}  // namespace sinter::kernels
