// Measures plans a sample at a time, so that whoever measures can stop between any two samples.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/device.h"
#include "run/plan_book.h"
#include "run/program.h"

namespace sinter::run {

// Returns the shaders that measuring the unknown kinds of `lowered` needs. Compiling takes most of
// the time: whoever measures several programs compiles all of them at once.
std::vector<wgsl::Shader> ShadersToMeasure(const PlanBook& book, const compile::Lowered& lowered);

// A queue of kinds to measure. All alternatives of a kind are timed in turn, round by round, and
// the least time of each counts: GPUs take their time to clock up (an H200's first 60 ms of work
// are up to 8 times as slow), and an alternative that was slow by chance gets other chances. The
// result goes to the book as soon as a kind is done.
//
// Measuring runs the programs' dispatches on their own memory: inputs must hold what they do in a
// run, and what the dispatches write to external memory (rows of a KV cache) is lost.
class Measurement {
 public:
  // `rounds` of samples for each alternative. `warm`: the GPU is at work already.
  explicit Measurement(PlanBook& book, int rounds = kRounds, bool warm = false)
      : book_(book), rounds_(rounds), warm_(warm) {}

  // Adds the kinds of a program that the book does not know.
  void AddKinds(const std::shared_ptr<const Program>& program);
  // Adds the choice between two programs that do the same, unless the book knows it. A program with
  // chains whose workgroups get stuck on this adapter is never chosen.
  void AddChain(const std::shared_ptr<const Program>& chained,
                const std::shared_ptr<const Program>& layered);
  // Adds the time of a program's run, unless the book knows it.
  void AddRun(const std::shared_ptr<const Program>& program, std::string_view what);

  bool done() const { return kinds_.empty(); }
  // Upper bound on the calls of Sample() until done().
  size_t samples_left() const;
  // Runs the next sample and waits for it; gives its microseconds. Call it unless done().
  double Sample();
  // Tells that the GPU idled since the last sample, so that it must warm up again.
  void Cool() { warm_ = false; }

  static constexpr int kRounds = 7;

 private:
  struct Candidate {
    std::string variant;
    gpu::CommandList list;
    gpu::Buffer rows;  // of chains
    bool is_guess = false;
    bool tried = false;
    double microseconds = 0;
  };
  // What is measured at once.
  struct Kind {
    PlanRecord record;
    std::vector<std::string> sources;  // by candidate, as the book keeps them
    std::string default_source;        // of record.variant, where nothing could be timed
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
  std::vector<Kind> kinds_;  // the next one last
};

}  // namespace sinter::run
