// sinter tune: measures the plans of a model's kernels on this GPU, so that later starts are at
// full speed.

#include <fmt/core.h>

#include <chrono>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/load.h"
#include "cli/model_args.h"
#include "cli/standard_io.h"
#include "cli/status.h"
#include "cli/status_text.h"

namespace sinter::cli {
namespace {

constexpr char kTuneFooter[] =
    R"(Programs start with the best guesses for this GPU; measuring on it finds what is quicker. What was found
is kept on disk, by GPU, driver and shape, and later runs use it. sinter chat measures, too, while it waits
for you. What is known already is not measured again: --again does that.

Examples:
  sinter tune models/demo
  sinter tune ~/qwen3-1.7b --device nvidia --explain)";

struct TuneArgs {
  ModelArgs model;
  bool again = false;
};

std::string TuningText(const gpu::Device& device, double share,
                       std::chrono::steady_clock::time_point start) {
  const gpu::CompileProgress shaders = device.compile_progress();
  std::string text =
      fmt::format("tuning: {:.0f}%, shaders {} of {}", share * 100, shaders.done, shaders.begun);
  // The beginning is spent compiling, from which the remaining time cannot be estimated.
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  if (share > 0.1 && passed.count() > 1) {
    text += fmt::format(", about {:.0f} s left", passed.count() / share * (1 - share));
  }
  return text;
}

void Tune(const TuneArgs& args) {
  if (args.again) {
    const StatusLine status("opening the GPU");
    const auto device = gpu::Device::Open(ToDeviceOptions(args.model));
    run::PlanBook(device->adapter(), device->options().cache_dir).Forget();
  }
  ModelArgs known = args.model;
  known.plan = "known";
  const auto start = std::chrono::steady_clock::now();
  Opening opening(known);
  const Loaded loaded = Load(known, ReadModel(args.model), std::move(opening));
  gpu::Device& device = *loaded.model->device();
  std::atomic<double> share = 0;
  engine::Tuner tuner(loaded.model, loaded.session->cache(), loaded.session->chunk());
  {
    const StatusLine status(
        [&](size_t columns) { return FitColumns(TuningText(device, share, start), columns); });
    tuner.RunAll([&](double done) {
      CheckInterrupted();
      share = done;
    });
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const std::vector<run::PlanRecord> records = loaded.model->plans().records();
  size_t measured = 0;
  for (const run::PlanRecord& record : records) measured += record.from_disk ? 0 : 1;
  if (args.model.json) {
    nlohmann::json plans = nlohmann::json::array();
    for (const run::PlanRecord& record : records) {
      plans.push_back({{"kind", record.guess},
                       {"chosen", record.variant},
                       {"microseconds", record.microseconds},
                       {"guess_microseconds", record.guess_microseconds},
                       {"alternatives", record.alternatives},
                       {"measured_earlier", record.from_disk}});
    }
    return OutJson({{"device", device.adapter().name},
                    {"seconds", seconds},
                    {"measured", measured},
                    {"known", records.size() - measured},
                    {"plans", plans}});
  }
  Out(fmt::format("{} on {}: {} plans measured, {} known from before, {:.1f} s\n", args.model.model,
                  device.adapter().name, measured, records.size() - measured, seconds));
  if (args.model.explain) Explain(loaded);
}

}  // namespace

void AddTune(CLI::App& app) {
  auto args = std::make_shared<TuneArgs>();
  CLI::App* command =
      app.add_subcommand("tune", "Find the fastest kernels for a model on this GPU, once");
  command->footer(kTuneFooter);
  AddModelArgs(*command, args->model);
  AddExecutionArgs(*command, args->model);
  // Tuning measures, whatever is known.
  command->remove_option(command->get_option("--plan"));
  command
      ->add_flag("--again", args->again,
                 "Forget what was measured on this GPU before, for all models")
      ->configurable(false);
  command->callback([args] { Tune(*args); });
}

}  // namespace sinter::cli
