// One sequence of tokens on a model: its KV cache, its programs, the loop on the GPU.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compile/work.h"
#include "engine/model.h"
#include "gpu/device.h"
#include "kernels/sample/step_inputs.h"
#include "kernels/sample/step_state.h"
#include "kernels/sample/token_choice.h"
#include "model/chunking.h"
#include "run/program.h"

namespace sinter::engine {

struct SessionOptions {
  // Tokens that the KV cache holds, prompt and generated ones; 0: search.max_length of the model's
  // config. At most the context length.
  int64_t max_length = 0;
  // Largest number of prompt tokens in one run. 0: 512, or 1,024 or 2,048 where plans are measured
  // and the adapter is quick enough for such runs to stay short (chunking.h).
  int64_t chunk = 0;
  run::RunOptions run;
};

// How Step chooses tokens.
struct TokenChoice {
  bool greedy = true;
  kernels::SamplingOptions options;
  uint32_t seed = 0;
};

class Session {
 public:
  // Allocates the KV cache and compiles the programs of up to model::kLoadedChunk rows. Throws
  // Error where the cache does not fit the adapter.
  Session(std::shared_ptr<Model> model, const SessionOptions& options = {});

  const model::GenaiConfig& config() const { return model_->config(); }
  int64_t max_length() const { return max_length_; }
  // Largest number of prompt tokens in one run: what was asked for, or chosen, and max_length() at
  // most.
  int64_t chunk() const { return chunks_.back(); }
  // Tokens of the sequence, whether they have run yet or not.
  int64_t length() const { return static_cast<int64_t>(tokens_.size()) + (has_pending_ ? 1 : 0); }
  const gpu::Device& device() const { return *device_; }
  // Waits until everything queued is done. Throws what the device met.
  void Wait() { device_->Wait(); }
  // Bytes of the KV cache.
  uint64_t cache_bytes() const { return cache_bytes_; }
  // Dispatches of a decode step but for the choice of its token.
  size_t decode_dispatches();
  // Of a step that chooses greedily, without a penalty: all of them.
  size_t greedy_dispatches();
  // The sum over one decode run's dispatches where `total` tokens are in the cache, the run's own
  // with them.
  compile::Work DecodeWork(int64_t total);

  // Runs `tokens` behind what there is. The first prompt that needs a program of more than
  // model::kLoadedChunk rows waits until it is made. Throws Error: no tokens, an id outside the
  // vocabulary, past max_length().
  void Append(std::span<const int32_t> tokens);
  // The same with a timestamp around every dispatch, run by run; gives all of them in order. Throws
  // Error, too, where the adapter has no timestamps.
  std::vector<run::DispatchTime> ProfileAppend(std::span<const int32_t> tokens);
  // The logits after the last token, [vocab_size].
  std::vector<float> Logits();
  // Forgets everything from the token at `length` on.
  void Rewind(int64_t length);

  // Generation without the CPU in the loop: each Step queues one more token and returns at once;
  // Token(i) waits for the i-th. Several steps may be queued before the first is read.
  void BeginGeneration(const TokenChoice& choice);
  void Step();
  // The same with a timestamp around every dispatch, as ProfileAppend.
  std::vector<run::DispatchTime> ProfileStep();
  // Steps queued since BeginGeneration.
  int64_t steps() const { return static_cast<int64_t>(pending_tokens_.size()); }
  int32_t Token(int64_t step);
  // Ends it: of the queued tokens the first `kept` belong to the sequence.
  void EndGeneration(int64_t kept);
  // Ends it after an error, whatever state the device is in; the sequence is as it was before
  // BeginGeneration.
  void AbandonGeneration() noexcept;

 private:
  // A program of one length, with the dispatch that derives its inputs from StepState before it.
  struct StepProgram {
    std::unique_ptr<run::Program> program;
    gpu::CommandList inputs;
    gpu::CommandList captured;  // inputs, then the program
    gpu::Buffer input_ids;
    kernels::StepInputsShape inputs_shape;
    std::vector<compile::Work> work;  // by dispatch of the program
  };

  void ClearCache();
  StepProgram& ProgramFor(int64_t sequence);
  // Whether the program's plans are chosen by measurement.
  bool Measures(int64_t sequence) const;
  // Where there are plans to measure: compiles all that the programs of a load need for it at once.
  // Each by itself would wait for its slowest shader.
  void CompileAhead();
  // Gives a program the inputs under which plans are measured.
  void PrepareMeasuring(const gpu::CommandList& inputs, int64_t sequence);
  // The chunk where none was asked for.
  int64_t ChooseChunk();
  // The runs for `count` tokens behind what is in the cache, for which all programs are made.
  std::vector<int64_t> PlanRuns(int64_t count);
  // Queues a program for `rows` tokens behind the `past` ones in the cache. `inputs_made`: the
  // choice of the token has made the program's inputs.
  void Run(const StepProgram& program, int64_t past, int64_t rows, bool inputs_made = false);
  // Queues a list that has a program's dispatches from the one at `first` on; under profiling waits
  // and notes their times.
  void Submit(const gpu::CommandList& list, const StepProgram* program, size_t first, int64_t past,
              int64_t rows);
  void RunTokens(std::span<const int32_t> tokens);
  void UploadState(uint32_t past, uint32_t total, uint32_t last_row);
  void UpdateBranches(int64_t length);
  // Whether the choice of a token makes the inputs of the program that runs it.
  bool ChoiceMakesInputs(const StepProgram& decode) const;
  // The choice of tokens as the program of one token is bound, and its operands from binding 1 on.
  kernels::TokenChoiceShape ChoiceShape(const StepProgram& decode) const;
  std::vector<gpu::Buffer> ChoiceOperands(const kernels::TokenChoiceShape& shape) const;
  // Queues the choice of a token from the logits.
  void Choose();
  void RecordChoice();
  void KeepNone() noexcept;

  std::shared_ptr<Model> model_;
  std::shared_ptr<gpu::Device> device_;
  SessionOptions options_;
  int64_t max_length_ = 0, capacity_ = 0;
  uint64_t cache_bytes_ = 0;
  std::vector<int64_t> chunks_;  // program lengths, ascending
  model::RunCosts run_costs_;
  int64_t logits_rows_ = 1;  // rows that a run leaves in logits_

  std::vector<gpu::Buffer> cache_buffers_;
  run::Externals cache_;  // by past and present names
  gpu::Buffer state_, sampling_, seen_, ring_, logits_, attention_mask_, total_length_, last_row_,
      last_position_, decode_input_ids_, decode_position_ids_, choice_scratch_;
  std::map<std::pair<int64_t, std::vector<bool>>, StepProgram> programs_;
  std::vector<bool> branches_;
  int64_t branch_length_ = 1;  // a length with these decisions

  std::vector<int32_t> tokens_;  // in the cache
  bool cache_lost_ = false;      // but measuring has overwritten it since
  bool has_pending_ = false;     // a token that belongs to the sequence and has not run yet
  int32_t pending_ = 0;
  uint32_t logits_row_ = 0;  // the row of logits_ after the last token
  bool logits_valid_ = false;

  TokenChoice choice_;
  std::optional<gpu::CommandList> choose_;
  std::optional<gpu::CommandList> decode_and_choose_;
  std::vector<gpu::Readback> pending_tokens_;
  std::vector<int32_t> generated_;  // those read so far, in order
  bool generating_ = false;
  // Where dispatches' times go while profiling.
  std::vector<run::DispatchTime>* profile_ = nullptr;
};

}  // namespace sinter::engine
