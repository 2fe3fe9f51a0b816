// Results of measurements on one adapter, kept on disk: the quickest plan for each kind of
// dispatch, whether chains are quicker, and how long a run takes.
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

// The choice for one kind of dispatch, with the times behind it.
struct PlanRecord {
  std::string guess;    // best plan without measuring; names the kind
  std::string variant;  // the quickest
  double microseconds = 0, guess_microseconds = 0;
  size_t alternatives = 0;
  bool from_disk = false;
};

// Name of a kind, and a hash of the sources that its measurement depends on.
struct PlanIdentity {
  std::string name, source;
};

// Returns the hash of a plan's shader.
std::string SourceHash(const kernels::KernelPlan& plan);
// Returns the identity of a kind of dispatch whose plan is `chosen`.
PlanIdentity IdentityOf(const compile::Dispatch& dispatch, const kernels::KernelPlan& chosen);
// Returns the identity of the choice between a program with chains and one without.
PlanIdentity ChainIdentityOf(const compile::Lowered& chained);
// Returns the identity of the time of a program's run. It depends on the sizes of the program's
// weights and dispatches, but not on the size of the KV cache, because a run reads little of it.
// `what` names the run in records.
PlanIdentity RunIdentityOf(const compile::Lowered& lowered, std::string_view what);

// The choices for one adapter and driver. Several programs and threads may share one book. No call
// takes longer than writing a small file.
class PlanBook {
 public:
  // Reads this adapter's file in `dir`. An empty `dir` keeps nothing on disk. A file that cannot be
  // read, or that another version wrote, counts as empty.
  PlanBook(const gpu::AdapterInfo& adapter, const std::filesystem::path& dir);

  // Returns all known choices, including those of earlier processes.
  compile::Choices choices() const;
  // Returns the records that programs of this process use, in the order of their first use.
  std::vector<PlanRecord> records() const;
  // Returns the number of all known records, including those read from disk.
  size_t size() const;

  // Marks the records of the program's kinds as used. `choices` are those with which the program
  // was lowered. Forgets the choices that were measured with other sources of their kernels.
  // Returns whether there were any: the program must then be lowered again.
  bool DropStale(const compile::Lowered& lowered, const compile::Choices& choices);

  // Returns the index of the first dispatch of each kind that `lowered` offers to measuring and the
  // book does not know.
  std::vector<size_t> UnknownKinds(const compile::Lowered& lowered) const;

  // Returns the record with this identity, or nullopt if it is unknown or was measured with other
  // sources.
  std::optional<PlanRecord> Find(const PlanIdentity& identity);
  // Returns whether the program of this ChainIdentityOf() is quicker than the one without chains,
  // or nullopt if that is unknown.
  std::optional<bool> PrefersChain(const PlanIdentity& chained);
  // Forgets everything, and clears the file on disk.
  void Forget();
  // Stores a record, also on disk.
  void Keep(PlanRecord record, const std::string& source);

  static constexpr std::string_view kChained = "chain", kLayered = "layer";

 private:
  void Use(const std::string& name);
  // Reads the file's entries whose kinds are not known in memory.
  void ReadUnknown();
  void Save();

  std::filesystem::path path_;
  std::string adapter_;
  mutable std::mutex mutex_;
  std::map<std::string, PlanRecord, std::less<>> by_guess_;
  std::map<std::string, std::string, std::less<>> source_of_;  // hash of the kernels' sources
  std::vector<std::string> order_;                             // names of the records in use
  std::set<std::string, std::less<>> dropped_;                 // names dropped by DropStale
};

}  // namespace sinter::run
