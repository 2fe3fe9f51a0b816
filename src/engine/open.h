// A model folder opened on a device for one sequence: what fits the adapter, which plans are used.
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

// Which plans of kernels programs take.
enum class Plans {
  kGuess,    // the best guesses, whatever was measured before
  kKnown,    // what was measured before, else the best guesses
  kMeasure,  // what is not known is measured before the model is used
};

struct OpenOptions {
  ModelOptions model;
  Plans plans = Plans::kKnown;
  // Tokens that the KV cache holds. None: as many as the model's config says, or fewer where the
  // adapter cannot bind that much at once.
  std::optional<int64_t> max_length;
  int64_t chunk = 0;  // SequenceOptions::chunk
  run::RunOptions run;
  // Called while plans are measured, with the share done; may throw to stop.
  std::function<void(double share)> measuring;
};

struct OpenedModel {
  std::shared_ptr<Model> model;
  std::shared_ptr<Sequence> sequence;
  // The maximum length that the config asks for, where the adapter has room for less only.
  std::optional<int64_t> wanted_length;
};

// Puts the folder's model on the device. Throws Error where it does not fit, a maximum length that
// was asked for included.
OpenedModel Open(model::ModelFolder folder, std::shared_ptr<gpu::Device> device,
                 const OpenOptions& options = {});

// Tokens that the KV cache is to hold: `asked`, or else what the config says. Throws Error (area
// `model`) for a number outside 1 to the context length.
int64_t WantedLength(const model::GenaiConfig& config, std::optional<int64_t> asked);

}  // namespace sinter::engine
