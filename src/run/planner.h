// Choosing plans by measurement: each kind of dispatch of a program runs with every plan that its
// kernel has for it, on the program's own weights, and the quickest is kept, on disk too. So is
// what else is known by measurement only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compile/lowering.h"
#include "gpu/device.h"
#include "run/program.h"

namespace sinter::run {

// What was chosen for one kind of dispatch, and why.
struct PlanRecord {
  std::string guess;    // the best guess without measuring, by which the kind is known
  std::string variant;  // the quickest
  double microseconds = 0, guess_microseconds = 0;
  size_t alternatives = 0;
  bool from_disk = false;
};

struct Measured {
  bool added = false;  // a program made anew uses what the book did not have
  bool ran = false;    // results of the program and caches that it writes are of no use any more
};

// The choices for one adapter and driver. Several programs and threads may share it.
class PlanBook {
 public:
  // Reads `dir`'s file for this adapter; an empty `dir` keeps nothing on disk. A file that cannot
  // be read, or that another version wrote, counts as empty.
  PlanBook(const gpu::AdapterInfo& adapter, std::filesystem::path dir);

  compile::Choices choices() const;
  // In the order of their making.
  std::vector<PlanRecord> records() const;

  // What Measure() of a program of `lowered` will compile: alternatives of kinds that the book has
  // not by name (it may still find that a known one's kernel has changed). Compiling takes most of
  // a first load; whoever makes several programs asks for all of it at once.
  std::vector<wgsl::Shader> UnknownPipelines(const compile::Lowered& lowered) const;

  // Measures what `program` offers and neither the book nor the disk has, and keeps it. The
  // program's inputs must be bound and hold what they do in a run.
  Measured Measure(gpu::Device& device, const Program& program);

  // Whether `chained` (a program with chains) is the quicker one of two that do the same, as far as
  // the book knows.
  std::optional<bool> PrefersChain(const Program& chained);
  // Measures both, under the conditions of Measure(), and keeps the answer. A chained program whose
  // dispatches get stuck on this adapter is never the quicker one.
  bool MeasureChain(gpu::Device& device, Program& chained, const Program& layered);

  // How long one run of `program` takes, as far as the book knows; `what` tells of it in records.
  std::optional<double> RunMicroseconds(const Program& program, std::string_view what);
  // Measures it, under the conditions of Measure(), and keeps it.
  double MeasureRun(gpu::Device& device, const Program& program, std::string_view what);

 private:
  // The record of that name, made of that source, which is in use from now on; null where there is
  // none.
  const PlanRecord* Find(const std::string& name, const std::string& source);
  void Keep(PlanRecord record, const std::string& source);
  void Save() const;

  std::filesystem::path path_;
  std::string adapter_;
  mutable std::mutex mutex_;
  std::map<std::string, PlanRecord, std::less<>> by_guess_;
  std::map<std::string, std::string, std::less<>> source_of_;  // hash of the kernel's source
  std::vector<std::string> order_;                             // those in use
};

}  // namespace sinter::run
