// One table of cases a kernel, which drives both its tests and its benchmarks.
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
// and bounds checks on and the outputs poisoned first; the benchmark program times the same cases
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

// One storage buffer of a dispatch, at the binding of its place in KernelCase::operands plus one.
struct Operand {
  // kF16 and kF32 take `values`; kI32, kI64, kBool and kU32 too (narrowed as on the device); kU8
  // takes `raw`.
  DType dtype = DType::kF32;
  std::vector<double> values;
  std::vector<std::byte> raw;
  // Absent: the binding is left out.
  bool present = true;
  // What the buffer must hold afterwards; empty where it is only read. The buffer starts as
  // `values`, or poisoned (NaN) where `values` is empty. NaN in `expected` means: anything.
  std::vector<double> expected;
  // |got - expected| <= abs_tolerance + rel_tolerance * |expected|.
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
  // Shape and types: `m1.n1024.k1024.f16.zp`.
  std::string name;
  // Makes operands (large ones only when the case runs).
  std::function<std::vector<Operand>()> operands;
  // The variants that the adapter can run; {""} for the one that Plan chooses.
  std::vector<std::string> variants = {""};
  std::function<KernelPlan(const Caps&, std::string_view variant)> plan;
  // In place of `plan`: dispatches one behind the other over the same operands.
  std::function<std::vector<KernelPlan>(const Caps&, std::string_view variant)> plans;
  // For benchmarks: the work. Cases with zero bytes are tests only.
  double flops = 0, bytes = 0;
  // Real sizes, too large for the tests on a software GPU; the benchmark checks their results.
  bool benchmark_only = false;
};

using KernelCaseMaker = std::function<std::vector<KernelCase>(const Caps&)>;

bool RegisterKernelCases(std::string_view kernel, KernelCaseMaker maker);

// Every registered (kernel, maker), in the order of registration.
const std::vector<std::pair<std::string, KernelCaseMaker>>& RegisteredKernelCases();

// `values` rounded to what `dtype` can hold (f16 and f32), so that a reference sees what the GPU
// sees.
std::vector<double> RoundTo(DType dtype, std::vector<double> values);

// Reproducible normally distributed values, rounded to `dtype`.
std::vector<double> RandomValues(DType dtype, size_t count, uint32_t seed, double scale = 1.0);
std::vector<std::byte> RandomBytes(size_t count, uint32_t seed);

// The unit roundoff of `dtype`: 2^-11 for f16, 2^-24 for f32.
double Epsilon(DType dtype);

// The caps of the device without shader-f16, so that a case can force the widened path: f16 tensors
// are f32 there.
Caps WithoutF16(Caps caps);
Caps WithoutSubgroups(Caps caps);

}  // namespace sinter::kernels
