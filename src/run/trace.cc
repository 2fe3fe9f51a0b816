#include "run/trace.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace sinter::run {

std::vector<KernelTime> SumByKernel(std::span<const DispatchTime> times) {
  std::map<std::string, KernelTime> by_variant;
  double total = 0;
  for (const DispatchTime& time : times) {
    KernelTime& kernel = by_variant[time.variant];
    kernel.variant = time.variant;
    ++kernel.count;
    kernel.nanoseconds += time.nanoseconds;
    kernel.bytes += time.bytes;
    kernel.flops += time.flops;
    total += time.nanoseconds;
  }
  std::vector<KernelTime> kernels;
  for (auto& [variant, kernel] : by_variant) {
    kernel.share = total > 0 ? kernel.nanoseconds / total : 0;
    kernels.push_back(std::move(kernel));
  }
  std::stable_sort(kernels.begin(), kernels.end(), [](const KernelTime& a, const KernelTime& b) {
    return a.nanoseconds > b.nanoseconds;
  });
  return kernels;
}

void WriteChromeTrace(std::span<const TraceTrack> tracks, std::ostream& stream) {
  const auto put = [&](const nlohmann::json& event, bool first) {
    // Names come from model files, so ill-formed UTF-8 is replaced by replacement characters.
    stream << (first ? "" : ",\n")
           << event.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  };
  stream << "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n";
  for (size_t track = 0; track < tracks.size(); ++track) {
    const int process = static_cast<int>(track) + 1;
    put({{"name", "process_name"},
         {"ph", "M"},
         {"pid", process},
         {"args", {{"name", tracks[track].name}}}},
        track == 0);
    double zero = 0;
    for (size_t i = 0; i < tracks[track].times.size(); ++i) {
      const double begin = tracks[track].times[i].begin_nanoseconds;
      zero = i == 0 ? begin : std::min(zero, begin);
    }
    for (const DispatchTime& time : tracks[track].times) {
      put({{"name", time.variant},
           {"cat", "dispatch"},
           {"ph", "X"},
           {"pid", process},
           {"tid", 1},
           {"ts", (time.begin_nanoseconds - zero) / 1e3},
           {"dur", time.nanoseconds / 1e3},
           {"args", {{"node", time.label}, {"bytes", time.bytes}, {"flops", time.flops}}}},
          false);
    }
  }
  stream << "\n]}\n";
}

}  // namespace sinter::run
