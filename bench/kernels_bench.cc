// Times every variant of every registered kernel case that states its work, by GPU timestamps.
//
// SINTER_TEST_DEVICE chooses the device, which is unchecked as in production. The dispatches rotate
// over copies of the operands that are larger than any cache. Each result is checked once before it
// is timed.
//
//   kernels_bench [OPTIONS OF GOOGLE BENCHMARK]     --benchmark_filter=REGEX chooses cases
//   kernels_bench --table=CASES [--variants=REGEX] [--wgsl-dir=DIR]...
//                                                   prints the table of variants_table.h; also with
//                                                   the shaders of each DIR
//
// Without --table, --wgsl-dir=DIR makes the program read shaders from DIR first.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/device.h"
#include "kernels/shader_source.h"
#include "kernels/testing/kernel_case.h"
#include "support/kernel_run.h"
#include "variants_table.h"

namespace sinter::kernels {
namespace {

// Total size of the operands' copies. The largest second-level cache, the H200's, holds 60 MB.
constexpr double kRotationBytes = 256e6;
constexpr int kMaxCopies = 64;

std::shared_ptr<gpu::Device> OpenDevice() {
  gpu::DeviceOptions options;
  options.cache_dir = gpu::DefaultCacheDir();
  if (const char* name = std::getenv("SINTER_TEST_DEVICE")) options.adapter = name;
  return gpu::Device::Open(options);
}

void Time(benchmark::State& state, gpu::Device& device, const KernelCase& kernel_case,
          const std::string& variant) {
  // A software GPU gets one copy: its memory bandwidth is not of interest, and memory may be
  // scarce.
  const int copies =
      device.adapter().software
          ? 1
          : std::clamp(static_cast<int>(kRotationBytes / std::max(kernel_case.bytes, 1.0)), 1,
                       kMaxCopies);
  std::vector<PreparedCase> prepared;
  gpu::CommandList list(device);
  for (int i = 0; i < copies; ++i) {
    prepared.push_back(PrepareCase(device, kernel_case, variant));
    list.Append(prepared.back().list);
  }
  device.Submit(list);
  for (size_t i = 0; i < prepared[0].operands.size(); ++i) {
    const Operand& operand = prepared[0].operands[i];
    if (operand.expected.empty() || !operand.present) continue;
    const gpu::Buffer& buffer = prepared[0].buffers[i];
    const std::string difference =
        CompareOperand(operand, device.Download(buffer, 0, buffer.size_bytes()));
    if (!difference.empty()) return state.SkipWithError(difference.c_str());
  }
  for (auto _ : state) {
    const std::vector<double> by_dispatch = device.SubmitProfiled(list);
    const size_t dispatches = by_dispatch.size() / prepared.size();
    std::vector<double> nanoseconds(prepared.size());
    for (size_t i = 0; i < by_dispatch.size(); ++i) nanoseconds[i / dispatches] += by_dispatch[i];
    std::nth_element(nanoseconds.begin(),
                     nanoseconds.begin() + static_cast<std::ptrdiff_t>(nanoseconds.size() / 2),
                     nanoseconds.end());
    state.SetIterationTime(std::max(nanoseconds[nanoseconds.size() / 2], 1.0) * 1e-9);
  }
  const auto per_second = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["GB/s"] = benchmark::Counter(kernel_case.bytes * 1e-9, per_second);
  state.counters["TFLOP/s"] = benchmark::Counter(kernel_case.flops * 1e-12, per_second);
  state.SetLabel(prepared[0].variant);
}

}  // namespace
}  // namespace sinter::kernels

int main(int argc, char** argv) {
  using namespace sinter;  // NOLINT: a main of one screen
  std::string table, variants;
  std::vector<std::filesystem::path> wgsl_dirs;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with("--table=")) table = argument.substr(8);
    if (argument.starts_with("--variants=")) variants = argument.substr(11);
    if (argument.starts_with("--wgsl-dir=")) {
      const std::filesystem::path dir = argument.substr(11);
      // A missing folder is an error: the embedded shaders would be timed in its place.
      if (!std::filesystem::is_directory(dir)) {
        std::fprintf(stderr, "--wgsl-dir: got '%s', want a folder of shaders\n", dir.c_str());
        return 1;
      }
      kernels::SetWgslOverrideDir(dir);
      wgsl_dirs.push_back(dir);
    }
  }
  std::shared_ptr<gpu::Device> device;
  try {
    device = kernels::OpenDevice();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  if (!table.empty()) {
    try {
      return kernels::PrintVariantsTable(*device, table, variants, wgsl_dirs) == 0 ? 0 : 1;
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      return 1;
    }
  }
  benchmark::AddCustomContext("device", device->adapter().name);
  benchmark::AddCustomContext("driver", device->adapter().driver);
  for (const auto& [kernel, make_cases] : kernels::RegisteredKernelCases()) {
    for (const kernels::KernelCase& kernel_case : make_cases(device->caps())) {
      if (kernel_case.bytes == 0) continue;
      for (const std::string& variant : kernel_case.variants) {
        const std::string name =
            kernel + "/" + kernel_case.name + (variant.empty() ? "" : "/" + variant);
        benchmark::RegisterBenchmark(
            name.c_str(),
            [=](benchmark::State& state) { kernels::Time(state, *device, kernel_case, variant); })
            ->UseManualTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
