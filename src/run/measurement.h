// Measures kernel plans one sample at a time, so that the caller can stop between any two samples.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/device.h"
#include "run/plan_book.h"
#include "run/program.h"

namespace sinter::run {

// Returns the shaders needed to measure the kinds of `lowered` that the book does not know.
// Compiling takes most of the time, so a caller that measures several programs should compile all
// their shaders at once.
std::vector<wgsl::Shader> ShadersToMeasure(const PlanBook& book, const compile::Lowered& lowered);

// A queue of kinds of dispatch to measure. The alternatives of a kind are timed in turn, round by
// round, and the least time of each counts. GPUs take time to clock up (an H200's first 60 ms of
// work are up to 8 times as slow), and an alternative that was slow by chance gets other chances.
// The result is written to the book as soon as a kind is done.
//
// Measuring runs the programs' dispatches on their own memory. Inputs must hold the values of a
// real run, and the dispatches overwrite external memory (rows of a KV cache).
class Measurement {
 public:
  // Takes `rounds` samples of each alternative. `warm` says that the GPU is already busy and needs
  // no warm-up.
  explicit Measurement(PlanBook& book, int rounds = kRounds, bool warm = false)
      : book_(book), rounds_(rounds), warm_(warm) {}

  // Adds the kinds of a program that the book does not know.
  void AddKinds(const std::shared_ptr<const Program>& program);
  // Adds the choice between two equivalent programs, unless the book knows it. A program with
  // chains whose workgroups get stuck on this adapter is never chosen.
  void AddChain(const std::shared_ptr<const Program>& chained,
                const std::shared_ptr<const Program>& layered);
  // Adds the time of a program's run, unless the book knows it.
  void AddRun(const std::shared_ptr<const Program>& program, std::string_view what);

  bool done() const { return kinds_.empty(); }
  // Returns an upper bound on the remaining samples, apart from those that warm the GPU up or try a
  // chain.
  size_t samples_left() const;
  // Runs the next sample, waits for it and returns its microseconds. Must not be called once
  // done().
  double Sample();
  // Records that the GPU idled since the last sample, so that it must warm up again.
  void Cool() { warm_ = false; }

  static constexpr int kRounds = 7;

 private:
  struct Candidate {
    std::string variant;
    gpu::CommandList list;
    gpu::Buffer rows;  // rows exchanged within chains
    bool is_guess = false;
    bool tried = false;
    double microseconds = 0;
  };
  // One entry of the queue: alternatives that are compared with each other.
  struct Kind {
    PlanRecord record;
    std::vector<std::string> sources;  // by candidate, as the book keeps them
    std::string default_source;        // for record.variant if nothing could be timed
    double dispatches = 1;             // in each candidate's list
    int max_runs = 1;
    bool is_choice_of_chain = false;
    std::shared_ptr<const Program> program;
    std::vector<Candidate> candidates;
    int runs = 0, round = 0;
    size_t next = 0;
  };
  void Add(Kind kind);
  double Time(const Kind& kind, const gpu::CommandList& list, int runs) const;
  void Finish(Kind& kind);

  PlanBook& book_;
  const int rounds_;
  bool warm_ = false;
  double warm_microseconds_ = 0;
  std::vector<Kind> kinds_;  // the next to measure is the last element
};

}  // namespace sinter::run
