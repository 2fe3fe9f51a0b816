// Opens a model folder on a device for one sequence: chooses a length that fits the adapter, and
// the plans.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "engine/model.h"
#include "engine/sequence.h"
#include "gpu/device.h"
#include "model/model_folder.h"
#include "run/program.h"

namespace sinter::engine {

// Source of the kernels' plans.
enum class Plans {
  kGuess,    // best guesses, ignoring earlier measurements
  kKnown,    // plans measured before, else best guesses
  kMeasure,  // unknown plans are measured before the model is used
};

struct OpenOptions {
  ModelOptions model;
  Plans plans = Plans::kKnown;
  // Number of tokens that the KV cache holds, exactly. nullopt: WantedLength(), or fewer if the
  // adapter has no room for that many.
  std::optional<int64_t> max_length;
  // Number of tokens that are known to come; WantedLength() is at least that.
  int64_t expected_length = 0;
  int64_t chunk = 0;  // SequenceOptions::chunk
  run::RunOptions run;
  // Called while plans are measured, with the fraction done; may throw to stop.
  std::function<void(double share)> measuring;
};

// What made a sequence shorter than the model's context.
enum class LengthLimit {
  kNone,     // nothing did, or the length was asked for
  kConfig,   // search.max_length of genai_config.json
  kDefault,  // kDefaultLength
  kBinding,  // the adapter's largest storage binding
  kMemory,   // the adapter's memory
};

struct OpenedModel {
  std::shared_ptr<Model> model;
  std::shared_ptr<Sequence> sequence;
  LengthLimit limit = LengthLimit::kNone;
};

// Opens the folder's model on the device. Throws Error if it does not fit, or if the maximum length
// asked for does not fit; the error says what would.
OpenedModel Open(model::ModelFolder folder, std::shared_ptr<gpu::Device> device,
                 const OpenOptions& options = {});

// Number of tokens that a KV cache holds unless more are asked for. Models have contexts of 131,072
// tokens and more, whose cache would take a multiple of the weights (Llama-3.2-1B: 4.3 GB beside
// 0.7 GB) for conversations that mostly stay below this.
inline constexpr int64_t kDefaultLength = 8192;

// Returns the number of tokens for the KV cache: `asked`, or else kDefaultLength, `expected` if
// that is more, or the config's maximum if that is less. Throws Error (area `model`) for an asked
// number outside 1 to the context length.
int64_t WantedLength(const model::GenaiConfig& config, std::optional<int64_t> asked,
                     int64_t expected = 0);

}  // namespace sinter::engine
