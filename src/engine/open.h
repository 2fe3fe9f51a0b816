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
  // Number of tokens that the KV cache holds. nullopt: as many as the model's config says, or fewer
  // if the adapter cannot bind that much at once.
  std::optional<int64_t> max_length;
  int64_t chunk = 0;  // SequenceOptions::chunk
  run::RunOptions run;
  // Called while plans are measured, with the fraction done; may throw to stop.
  std::function<void(double share)> measuring;
};

struct OpenedModel {
  std::shared_ptr<Model> model;
  std::shared_ptr<Sequence> sequence;
  // Maximum length that the config asks for; set only if the adapter has room for less.
  std::optional<int64_t> wanted_length;
};

// Opens the folder's model on the device. Throws Error if it does not fit, or if the maximum length
// asked for does not fit.
OpenedModel Open(model::ModelFolder folder, std::shared_ptr<gpu::Device> device,
                 const OpenOptions& options = {});

// Returns the number of tokens for the KV cache: `asked`, or the config's number without it. Throws
// Error (area `model`) for a number outside 1 to the context length.
int64_t WantedLength(const model::GenaiConfig& config, std::optional<int64_t> asked);

}  // namespace sinter::engine
