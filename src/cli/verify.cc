// sinter verify: compares the logits of a model folder with the reference logits recorded in it.
// Each step gets the recorded token, not the one that the model would choose (teacher forcing).

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/load.h"
#include "cli/model_args.h"
#include "cli/standard_io.h"
#include "model/reference.h"

namespace sinter::cli {
namespace {

constexpr char kVerifyFooter[] =
    R"(reference.json names a file of logits, [case, step, vocabulary] as little-endian f32, and lists for
each case the tokens of its prompt and of its steps.

Examples:
  sinter verify models/demo --max-abs 0.05 --min-cosine 0.999
  sinter verify models/demo --no-capture --chunk 7 --json)";

struct VerifyArgs {
  ModelArgs model;
  std::optional<double> max_abs, min_cosine;
};

struct Difference {
  double max_abs = 0;
  double cosine = 1;
  bool same_token = true;
};

Difference Compare(std::span<const float> got, std::span<const float> want) {
  double max_abs = 0, dot = 0, got_norm = 0, want_norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    // A NaN must not pass as "no difference".
    if (!std::isfinite(got[i]) || !std::isfinite(want[i]))
      max_abs = std::numeric_limits<double>::infinity();
    max_abs = std::max(max_abs, std::abs(double{got[i]} - want[i]));
    dot += double{got[i]} * want[i];
    got_norm += double{got[i]} * got[i];
    want_norm += double{want[i]} * want[i];
  }
  Difference result;
  result.max_abs = max_abs;
  // Vectors of zeros, which have no direction, count as parallel if they are equal.
  if (!std::isfinite(max_abs))
    result.cosine = -1;
  else if (max_abs > 0)
    result.cosine = dot / std::sqrt(std::max(got_norm * want_norm, 1e-300));
  result.same_token = std::max_element(got.begin(), got.end()) - got.begin() ==
                      std::max_element(want.begin(), want.end()) - want.begin();
  return result;
}

void Verify(const VerifyArgs& args) {
  Opening opening(args.model);
  model::ModelFolder folder = ReadModel(args.model);
  const model::ReferenceLogits logits = model::ReadReference(args.model.model);
  const model::Reference& reference = logits.reference;
  if (reference.vocab != static_cast<size_t>(folder.config.vocab_size)) {
    throw Error("verify", "vocabulary: got {} in the reference, want {}", reference.vocab,
                folder.config.vocab_size);
  }
  size_t longest = 0;
  for (const model::ReferenceCase& entry : reference.cases)
    longest = std::max(longest, entry.prompt.size() + reference.steps);
  const Loaded loaded =
      Load(args.model, std::move(folder), std::move(opening), static_cast<int64_t>(longest));
  nlohmann::json rows = nlohmann::json::array();
  Difference worst;
  for (size_t index = 0; index < reference.cases.size(); ++index) {
    const model::ReferenceCase& entry = reference.cases[index];
    Difference of_case;
    size_t agree = 0;
    loaded.session->Rewind(0);
    for (size_t step = 0; step < reference.steps; ++step) {
      CheckInterrupted();
      loaded.session->Append(step == 0 ? std::span<const int32_t>(entry.prompt)
                                       : std::span<const int32_t>(&entry.tokens[step - 1], 1));
      const Difference at = Compare(loaded.session->Logits(), logits.Row(index, step));
      of_case.max_abs = std::max(of_case.max_abs, at.max_abs);
      of_case.cosine = std::min(of_case.cosine, at.cosine);
      agree += at.same_token ? 1 : 0;
    }
    worst.max_abs = std::max(worst.max_abs, of_case.max_abs);
    worst.cosine = std::min(worst.cosine, of_case.cosine);
    if (args.model.json) {
      rows.push_back({{"case", index},
                      {"prompt_tokens", entry.prompt.size()},
                      {"steps", reference.steps},
                      {"max_abs", of_case.max_abs},
                      {"min_cosine", of_case.cosine},
                      {"tokens_agree", agree}});
    } else {
      Out(fmt::format(
          "case {}: {} prompt tokens, {} steps: max abs {:.6f}, min cosine {:.7f}, tokens {}/{}\n",
          index, entry.prompt.size(), reference.steps, of_case.max_abs, of_case.cosine, agree,
          reference.steps));
    }
  }
  const bool past_abs = args.max_abs && !(worst.max_abs <= *args.max_abs);
  const bool past_cosine = args.min_cosine && !(worst.cosine >= *args.min_cosine);
  if (args.model.json) {
    OutJson({{"cases", rows},
             {"max_abs", worst.max_abs},
             {"min_cosine", worst.cosine},
             {"pass", !past_abs && !past_cosine},
             {"device", loaded.model->device()->adapter().name}});
  }
  if (past_abs)
    throw Error("verify", "max abs: got {}, want at most {}", worst.max_abs, *args.max_abs);
  if (past_cosine)
    throw Error("verify", "cosine: got {}, want at least {}", worst.cosine, *args.min_cosine);
}

}  // namespace

void AddVerify(CLI::App& app) {
  auto args = std::make_shared<VerifyArgs>();
  CLI::App* command =
      app.add_subcommand("verify", "Compare a folder's logits with those of its reference.json");
  command->footer(kVerifyFooter);
  command
      ->add_option("--max-abs", args->max_abs,
                   "Fail (exit code 1) if a logit differs by more than this")
      ->check(Number(0));
  command
      ->add_option("--min-cosine", args->min_cosine,
                   "Fail (exit code 1) if the cosine of a step's logits is below this")
      ->check(Number(0, 1));
  AddModelArgs(*command, args->model);
  AddExecutionArgs(*command, args->model);
  command->callback([args] { Verify(*args); });
}

}  // namespace sinter::cli
