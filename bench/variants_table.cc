#include "variants_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <regex>
#include <set>

#include "base/error.h"
#include "kernels/shader_source.h"
#include "kernels/testing/kernel_case.h"
#include "run/record_plan.h"
#include "support/kernel_run.h"

namespace sinter::kernels {
namespace {

using Clock = std::chrono::steady_clock;

// Total size of the operands' copies that dispatches rotate over, more than any cache holds.
constexpr double kRotationBytes = 128e6;
constexpr int kMaxCopies = 64;
// A GPU's clock takes 60 ms of work to ramp up; some machines stay slow for longer after a pause.
constexpr double kWarmUpSeconds = 0.3;
constexpr int kRounds = 5;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::regex Compile(const std::string& text) {
  try {
    return std::regex(text);
  } catch (const std::regex_error& error) {
    throw Error("bench", "regular expression '{}': {}", text, error.what());
  }
}

// A plan and the folder that its shaders are read from first; empty for the embedded shaders.
struct Version {
  KernelPlan plan;
  std::filesystem::path wgsl_dir;
};

struct Candidate {
  KernelPlan plan;
  gpu::CommandList list;
  std::vector<double> nanoseconds = {};
  std::string failure = {};     // error that kept it from running; empty if none
  std::string difference = {};  // error in its result; empty if none

  double median() const {
    std::vector<double> sorted = nanoseconds;
    std::ranges::sort(sorted);
    return sorted[sorted.size() / 2];
  }
};

struct Entry {
  std::string name;
  KernelCase kernel_case;
  std::vector<Version> versions;  // every variant with every shader folder
};

std::vector<Entry> FindEntries(const Caps& caps, const std::regex& cases,
                               const std::regex& variants,
                               const std::vector<std::filesystem::path>& wgsl_dirs) {
  std::vector<Entry> entries;
  for (const auto& [kernel, make_cases] : RegisteredKernelCases()) {
    for (KernelCase& kernel_case : make_cases(caps)) {
      Entry entry = {kernel + "/" + kernel_case.name, std::move(kernel_case), {}};
      // Cases of several dispatches have no single variant to compare.
      if (entry.kernel_case.bytes == 0 || !entry.kernel_case.plan) continue;
      if (!std::regex_search(entry.name, cases)) continue;
      std::set<std::string> seen;
      for (const std::string& variant : entry.kernel_case.variants) {
        KernelPlan plan = entry.kernel_case.plan(caps, variant);
        if (!std::regex_search(plan.variant, variants) || !seen.insert(plan.variant).second)
          continue;
        entry.versions.push_back({plan, {}});
        for (const std::filesystem::path& dir : wgsl_dirs) {
          Version& version = entry.versions.emplace_back(plan, dir);
          version.plan.variant = fmt::format("{}@{}", plan.variant, dir.filename().string());
        }
      }
      if (!entry.versions.empty()) entries.push_back(std::move(entry));
    }
  }
  return entries;
}

// Compiles the pipelines of all entries. Recording reports later which variant failed to compile.
void CompileAll(gpu::Device& device, const std::vector<Entry>& entries) {
  std::vector<wgsl::Shader> specs;
  for (const Entry& entry : entries) {
    for (const auto& [plan, wgsl_dir] : entry.versions) {
      SetWgslOverrideDir(wgsl_dir);
      specs.push_back(ExpandPlan(plan));
    }
  }
  const Clock::time_point start = Clock::now();
  try {
    device.GetPipelines(specs);
  } catch (const Error& error) {
    fmt::print("{}\n", error.what());
  }
  fmt::print("{} pipelines in {:.1f} s\n", device.pipelines_created(), SecondsSince(start));
}

// Restores the first copy's outputs, runs the list and compares the outputs with the expected ones.
// Returns the difference, or an empty string.
std::string CheckResult(gpu::Device& device, const Candidate& candidate,
                        const std::vector<Operand>& operands,
                        const std::vector<std::vector<std::byte>>& bytes,
                        const std::vector<gpu::Buffer>& buffers) {
  const auto is_output = [&](size_t i) {
    return operands[i].present && !operands[i].expected.empty();
  };
  for (size_t i = 0; i < operands.size(); ++i) {
    if (is_output(i)) device.Upload(buffers[i], 0, bytes[i]);
  }
  device.Submit(candidate.list);
  for (size_t i = 0; i < operands.size(); ++i) {
    if (!is_output(i)) continue;
    std::string difference =
        CompareOperand(operands[i], device.Download(buffers[i], 0, buffers[i].size_bytes()));
    if (!difference.empty()) return difference;
  }
  device.Check();
  return {};
}

std::vector<Candidate> Measure(gpu::Device& device, const Entry& entry) {
  const std::vector<Operand> operands = entry.kernel_case.operands();
  std::vector<std::vector<std::byte>> bytes;
  for (const Operand& operand : operands)
    bytes.push_back(operand.present ? EncodeOperand(operand) : std::vector<std::byte>());
  const bool software = device.adapter().software;
  const int copies =
      software
          ? 1
          : std::clamp(static_cast<int>(kRotationBytes / entry.kernel_case.bytes), 1, kMaxCopies);
  std::vector<std::vector<gpu::Buffer>> buffers(copies);
  for (std::vector<gpu::Buffer>& copy : buffers) {
    copy.resize(operands.size());
    for (size_t i = 0; i < operands.size(); ++i) {
      if (!operands[i].present) continue;
      copy[i] = device.CreateBuffer(bytes[i].size(), fmt::format("operand {}", i));
      device.Upload(copy[i], 0, bytes[i]);
    }
  }
  std::vector<Candidate> candidates;
  for (const auto& [plan, wgsl_dir] : entry.versions) {
    SetWgslOverrideDir(wgsl_dir);
    Candidate& candidate = candidates.emplace_back(plan, gpu::CommandList(device));
    try {
      for (const std::vector<gpu::Buffer>& copy : buffers)
        run::RecordPlan(device, plan, copy, candidate.list);
      candidate.difference = CheckResult(device, candidate, operands, bytes, buffers[0]);
    } catch (const Error& error) {
      candidate.failure = error.what();
    }
  }
  const auto run_all = [&](bool counts) {
    for (Candidate& candidate : candidates) {
      if (!candidate.failure.empty()) continue;
      const std::vector<double> times = device.SubmitProfiled(candidate.list);
      if (counts)
        candidate.nanoseconds.insert(candidate.nanoseconds.end(), times.begin(), times.end());
    }
  };
  const Clock::time_point start = Clock::now();
  if (!software) {
    while (SecondsSince(start) < kWarmUpSeconds) run_all(/*counts=*/false);
  }
  for (int round = 0; round < (software ? 1 : kRounds); ++round) run_all(/*counts=*/true);
  std::erase_if(candidates, [](const Candidate& candidate) {
    return candidate.failure.empty() && candidate.nanoseconds.empty();
  });
  std::ranges::stable_sort(candidates, [](const Candidate& x, const Candidate& y) {
    if (x.failure.empty() != y.failure.empty()) return x.failure.empty();
    return x.failure.empty() && x.median() < y.median();
  });
  return candidates;
}

std::string Line(const Entry& entry, const Candidate& candidate) {
  if (!candidate.failure.empty())
    return fmt::format("  failed  {}: {}\n", candidate.plan.variant, candidate.failure);
  const double ns = std::max(candidate.median(), 1.0);
  const std::string wrong =
      candidate.difference.empty() ? "" : fmt::format(", wrong: {}", candidate.difference);
  return fmt::format("{:9.1f} us {:7.1f} TFLOP/s  {}{}\n", ns * 1e-3,
                     entry.kernel_case.flops / ns * 1e-3, candidate.plan.variant, wrong);
}

}  // namespace

int PrintVariantsTable(gpu::Device& device, const std::string& cases, const std::string& variants,
                       const std::vector<std::filesystem::path>& wgsl_dirs) {
  const std::vector<Entry> entries =
      FindEntries(device.caps(), Compile(cases), Compile(variants), wgsl_dirs);
  if (entries.empty()) {
    fmt::print("no case is like '{}' with a variant like '{}'\n", cases, variants);
    return 1;
  }
  fmt::print("{}, {}\n", device.adapter().name, device.adapter().driver);
  CompileAll(device, entries);
  int failures = 0;
  std::string best;
  for (const Entry& entry : entries) {
    const std::vector<Candidate> candidates = Measure(device, entry);
    fmt::print("{}\n", entry.name);
    for (const Candidate& candidate : candidates) {
      fmt::print("{}", Line(entry, candidate));
      if (!candidate.failure.empty() || !candidate.difference.empty()) ++failures;
    }
    std::fflush(stdout);
    if (!candidates.empty())
      best += fmt::format("{}\n{}", entry.name, Line(entry, candidates.front()));
  }
  fmt::print("\nbest\n{}", best);
  return failures;
}

}  // namespace sinter::kernels
