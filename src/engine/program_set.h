// The programs of a model, compiled once and shared by all its sequences.
#pragma once

#include <atomic>
#include <compare>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "compile/work.h"
#include "kernels/sample/step_inputs.h"
#include "run/compiled_program.h"
#include "run/plan_book.h"

namespace sinter::engine {

class Model;

// Key that distinguishes the programs of a model.
struct StepKey {
  int64_t rows = 1;            // tokens in one run
  int64_t capacity = 1;        // rows of the KV cache
  std::vector<bool> branches;  // taken by the model's Ifs
  bool chain = false;          // whether layers are joined into chains
  int64_t batch = 1;           // sequences that run side by side, each with `rows` tokens
  // Entries of each sequence's page table, if the KV cache is a pool of pages; otherwise 0.
  int64_t page_entries = 0;
  auto operator<=>(const StepKey&) const = default;
};

struct CompiledStep {
  StepKey key;
  std::shared_ptr<const run::CompiledProgram> program;
  kernels::StepInputsShape inputs;  // the inputs that its graph reads
  std::vector<compile::Work> work;  // by dispatch
};

// The compiled programs of a model. Threads may share one set. The model must outlive it.
class ProgramSet {
 public:
  explicit ProgramSet(Model& model) : model_(model) {}
  // Waits for the compilation in progress.
  ~ProgramSet();

  // Returns a program and compiles it if needed; waits if another thread is compiling it. `length`
  // is any sequence length at which the key's branches are taken. Throws Error if the program
  // cannot be lowered or compiled, and gpu::ResourceError if it does not fit the adapter.
  std::shared_ptr<const CompiledStep> Get(const StepKey& key, int64_t length);
  // Returns the program, or null if it is not compiled yet.
  std::shared_ptr<const CompiledStep> Peek(const StepKey& key) const;
  // Returns the program of one token to use at this time. If the user chose no fusion level, that
  // is the chain once measuring has found it quicker, and the program without chains until then.
  std::shared_ptr<const CompiledStep> GetDecode(int64_t capacity, const std::vector<bool>& branches,
                                                int64_t length, int64_t page_entries = 0);
  // Returns whether a chain of these programs exists, or could be compiled, but was not compared
  // yet.
  bool ChainIsUnknown(int64_t capacity, const std::vector<bool>& branches, int64_t length,
                      int64_t page_entries = 0);
  // Compiles a program again with the plan book's current choices and replaces the old one. Raises
  // version(), so that users of the old program fetch the new one.
  void Refresh(const StepKey& key, int64_t length);

  // Drops a program. Those who use it keep it.
  void Forget(const StepKey& key);

  // Returns the shaders of a program and of all its plans that the plan book does not know.
  std::vector<wgsl::Shader> ShadersToMeasure(const StepKey& key, int64_t length) const;

  struct KindCount {
    size_t known = 0, all = 0;
  };
  // Counts the program's kinds of dispatch that measuring may choose a plan for, and those of them
  // that the plan book knows.
  KindCount CountKinds(const StepKey& key, int64_t length) const;

  // Compiles programs in the background, in this order. Errors are not reported here: Get() throws
  // them when it compiles the program again.
  void Prepare(std::vector<StepKey> keys, int64_t length);
  // Waits until no background compilation is queued or in progress.
  void Settle();
  // Returns whether a background compilation is queued or in progress.
  bool IsPreparing() const;
  // Returns a number that increases whenever a program is added or replaced.
  uint64_t version() const { return version_; }

 private:
  struct Slot {
    std::shared_ptr<const CompiledStep> step;
    bool building = false;
  };
  struct Job {
    StepKey key;
    int64_t length;
  };
  // Returns the graph of a program, lowered with the choices of the plan book.
  compile::Lowered Lower(const graph::Graph& graph, const StepKey& key) const;
  std::shared_ptr<const CompiledStep> Build(const StepKey& key, int64_t length);
  // Builds a program, or returns the one that is there unless `again`. One thread at a time builds
  // the program of a key, so an older program never replaces a newer one.
  std::shared_ptr<const CompiledStep> Make(const StepKey& key, int64_t length, bool again);
  // Returns whether layers may be joined although the user chose no fusion level.
  bool MayChain() const;
  struct Chain {
    bool exists = false;                        // whether lowering joins anything
    std::shared_ptr<const graph::Graph> graph;  // also the graph of the program without chains
    compile::Lowered lowered;
    run::PlanIdentity identity;
  };
  std::shared_ptr<const Chain> ChainOf(int64_t capacity, const std::vector<bool>& branches,
                                       int64_t length, int64_t page_entries);
  void WorkInBackground();

  Model& model_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<StepKey, Slot> slots_;
  std::mutex chain_mutex_;
  std::map<StepKey, std::shared_ptr<const Chain>> chains_;
  std::atomic<uint64_t> version_ = 0;

  std::deque<Job> jobs_;
  bool job_under_way_ = false, closing_ = false;
  std::thread worker_;
};

}  // namespace sinter::engine
