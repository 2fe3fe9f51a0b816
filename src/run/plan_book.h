// What was learnt by measuring on one adapter: which plan of a kernel is the quickest for a kind of
// dispatch, whether chains are quicker, how long a run takes. Kept on disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "compile/lowering.h"
#include "gpu/device.h"
#include "run/compiled_program.h"

namespace sinter::run {

// What was chosen for one kind of dispatch, and why.
struct PlanRecord {
  std::string guess;    // the best guess without measuring, by which the kind is known
  std::string variant;  // the quickest
  double microseconds = 0, guess_microseconds = 0;
  size_t alternatives = 0;
  bool from_disk = false;
};

// Name of a kind and hash of the sources that its measurement depends on.
struct PlanIdentity {
  std::string name, source;
};

// Returns the hash of a plan's shader.
std::string SourceHash(const kernels::KernelPlan& plan);
// Returns the identity of a kind of dispatch for which `chosen` is the plan.
PlanIdentity IdentityOf(const compile::Dispatch& dispatch, const kernels::KernelPlan& chosen);
// Returns the identity of the choice between a program with chains and one without.
PlanIdentity ChainIdentityOf(const compile::Lowered& chained);
// Returns the identity of the time of a program's run, to which the sizes of its weights and of its
// dispatches count. The size of the KV cache does not, as little of it is read. `what` tells of the
// run in records.
PlanIdentity RunIdentityOf(const compile::Lowered& lowered, std::string_view what);

// The choices for one adapter and driver. Several programs and threads may share it. No call takes
// longer than writing a small file.
class PlanBook {
 public:
  // Reads `dir`'s file for this adapter; an empty `dir` keeps nothing on disk. A file that cannot
  // be read, or that another version wrote, counts as empty.
  PlanBook(const gpu::AdapterInfo& adapter, std::filesystem::path dir);

  // Every choice that is known, also from earlier processes.
  compile::Choices choices() const;
  // Records that programs of this process use, in the order of their first use.
  std::vector<PlanRecord> records() const;
  // Number of records on disk and in memory together.
  size_t size() const;

  // Notes that a program uses the choices for its kinds. `choices`: those with which it was
  // lowered. Forgets those of them that were measured with other sources of their kernels, and
  // returns whether there were any: the program is then to be lowered anew.
  bool DropStale(const compile::Lowered& lowered, const compile::Choices& choices);

  // Kinds of dispatch that `lowered` offers to measuring and the book does not know: the index of
  // the first dispatch of each.
  std::vector<size_t> UnknownKinds(const compile::Lowered& lowered) const;

  // Returns the record with this identity; none where it is unknown or was made of other sources.
  std::optional<PlanRecord> Find(const PlanIdentity& identity);
  // Returns whether the program of this ChainIdentityOf() is quicker than the one without chains;
  // none where that is unknown.
  std::optional<bool> PrefersChain(const PlanIdentity& chained);
  // Forgets everything, on disk too.
  void Forget();
  // Keeps a record, on disk too.
  void Keep(PlanRecord record, const std::string& source);

  static constexpr std::string_view kChained = "chain", kLayered = "layer";

 private:
  void Use(const std::string& name);
  // Takes the entries of the file whose kinds are not known here.
  void ReadUnknown();
  void Save();

  std::filesystem::path path_;
  std::string adapter_;
  mutable std::mutex mutex_;
  std::map<std::string, PlanRecord, std::less<>> by_guess_;
  std::map<std::string, std::string, std::less<>> source_of_;  // hash of the kernels' sources
  std::vector<std::string> order_;                             // those in use
  std::set<std::string, std::less<>> dropped_;                 // by DropStale
};

}  // namespace sinter::run
