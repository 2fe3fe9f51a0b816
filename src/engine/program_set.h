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

// What tells one program of a model from another.
struct StepKey {
  int64_t rows = 1;            // tokens in one run
  int64_t capacity = 1;        // rows of the KV cache
  std::vector<bool> branches;  // taken by the model's Ifs
  bool chain = false;          // whether layers are joined into chains
  auto operator<=>(const StepKey&) const = default;
};

struct CompiledStep {
  StepKey key;
  std::shared_ptr<const run::CompiledProgram> program;
  kernels::StepInputsShape inputs;  // the inputs that its graph reads
  std::vector<compile::Work> work;  // by dispatch
};

// Threads may share one. The model must outlive it.
class ProgramSet {
 public:
  explicit ProgramSet(Model& model) : model_(model) {}
  // Waits for the compilation under way.
  ~ProgramSet();

  // Returns a program, made now where it is not there yet; waits where another thread makes it.
  // `length` is any length of a sequence at which the branches are taken. Throws Error for what
  // cannot be lowered or compiled, gpu::ResourceError where it does not fit the adapter.
  std::shared_ptr<const CompiledStep> Get(const StepKey& key, int64_t length);
  // Returns the same, or null where it is not there yet.
  std::shared_ptr<const CompiledStep> Peek(const StepKey& key) const;
  // Returns the program of one token to be used now. Where nobody chose how far to fuse, that is
  // the chain where measuring found it quicker; the program without chains while that is not known.
  std::shared_ptr<const CompiledStep> GetDecode(int64_t capacity, const std::vector<bool>& branches,
                                                int64_t length);
  // Returns whether a chain of these programs is made, or could be made, but was not compared yet.
  bool ChainIsUnknown(int64_t capacity, const std::vector<bool>& branches, int64_t length);
  // Makes a program anew where the plan book has other choices for it by now, and tells everybody
  // who holds the one before.
  void Refresh(const StepKey& key, int64_t length);

  // Returns the shaders of a program and of all the plans that the plan book does not know for it.
  std::vector<wgsl::Shader> ShadersToMeasure(const StepKey& key, int64_t length) const;

  struct KindCount {
    size_t known = 0, all = 0;
  };
  // Counts the kinds of dispatch of a program that measuring may choose a plan for, and those of
  // them that the plan book knows.
  KindCount CountKinds(const StepKey& key, int64_t length) const;

  // Makes programs in the background, in this order. Errors wait for Get.
  void Prepare(std::vector<StepKey> keys, int64_t length);
  // Waits until nothing is made in the background any more.
  void Settle();
  // Returns whether something is.
  bool IsPreparing() const;
  // Goes up whenever a program is added or made anew.
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
  // The graph of a program, lowered with the choices of the plan book.
  compile::Lowered Lower(const graph::Graph& graph, const StepKey& key) const;
  std::shared_ptr<const CompiledStep> Build(const StepKey& key, int64_t length);
  // Whether layers may be joined where nobody chose how far to fuse.
  bool MayChain() const;
  struct Chain {
    bool exists = false;                        // lowering joins something
    std::shared_ptr<const graph::Graph> graph;  // that of the program without chains, too
    compile::Lowered lowered;
    run::PlanIdentity identity;
  };
  const Chain& ChainOf(int64_t capacity, const std::vector<bool>& branches, int64_t length);
  void WorkInBackground();

  Model& model_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<StepKey, Slot> slots_;
  std::mutex chain_mutex_;
  std::map<StepKey, Chain> chains_;
  std::atomic<uint64_t> version_ = 0;

  std::deque<Job> jobs_;
  bool job_under_way_ = false, closing_ = false;
  std::thread worker_;
};

}  // namespace sinter::engine
