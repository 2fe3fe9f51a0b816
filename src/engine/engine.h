// Many sequences on one model: takes requests from any thread and runs them side by side.
//
// A thread of the engine's own repeats: take new requests and cancellations, queue a decode step of
// all sequences, queue a run of at most one waiting prompt, hand out the tokens of earlier steps.
// The GPU computes a few steps behind what is queued, so that it never waits for the CPU.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "engine/model.h"
#include "engine/request.h"
#include "run/program.h"
#include "schedule/scheduler.h"

namespace sinter::engine {

struct EngineOptions {
  // Most sequences that run side by side, at most kMaxBatch.
  int64_t max_batch = 64;
  // Most tokens of a sequence, prompt and generated ones; 0 for 8,192 or the model's context if
  // that is less. At most the context and kv_tokens.
  int64_t max_length = 0;
  // Tokens whose keys and values the KV cache holds, of all sequences together; 0 for 65,536, or
  // fewer where memory or the adapter's bindings have no room for that many.
  int64_t kv_tokens = 0;
  // Most requests that wait. A request beyond is refused.
  int64_t queue = 1024;
  // Whether the tokens of a request depend on nothing but the request: not on others that run
  // beside it, nor on whether the keys of its prompt were there already. Then every step computes
  // max_batch rows, so that few sequences are slower than they need to be, and only prompts of
  // similar length share beginnings.
  bool deterministic = false;
  run::RunOptions run;
};

inline constexpr int64_t kMaxBatch = 64;

// A request was refused because too many wait. It may be submitted again later.
using schedule::QueueFullError;

struct EngineStats {
  int64_t waiting = 0, prompts = 0, decoding = 0;  // requests by what they do
  int64_t queued_tokens = 0;  // of these requests, prompts to run and answers to generate at most
  int64_t kv_pages = 0, kv_pages_used = 0, kv_pages_cached = 0;
  uint64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;  // since the start
  uint64_t steps = 0;  // decode steps, each of one or more sequences
  uint64_t requests = 0, losses = 0;
};

class Engine {
 public:
  using RequestId = uint64_t;
  // Returns the model on a newly opened device. Called when the engine is made, and again when its
  // device was lost.
  using Opener = std::function<std::shared_ptr<Model>()>;

  // Opens the model and compiles its programs. Throws what `open` throws, and Error if the options
  // are out of range or the adapter has no room.
  Engine(Opener open, const EngineOptions& options);
  // Cancels all requests and waits for the thread.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const EngineOptions& options() const;  // with numbers in place of zeros
  const model::GenaiConfig& config() const;

  // Queues a request. Throws Error for a request that the engine can never run, and QueueFullError
  // if too many wait. May be called by any thread.
  RequestId Submit(Request request);
  // Ends a request soon. Does nothing if it has ended. May be called by any thread.
  void Cancel(RequestId id);
  // May be called by any thread.
  EngineStats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sinter::engine
