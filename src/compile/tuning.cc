#include "compile/tuning.h"

#include <fmt/format.h>

#include <algorithm>

namespace sinter::compile {

std::string_view ForcedVariant(const ForcedVariants& variants, std::string_view kernel) {
  const auto it = variants.find(kernel);
  return it == variants.end() ? std::string_view{} : std::string_view(it->second);
}

TunedPlan Tune(const kernels::Tunable& tunable, const ForcedVariants& variants,
               const Choices& choices, std::string_view otherwise) {
  if (const std::string_view forced = ForcedVariant(variants, tunable.kernel); !forced.empty())
    return {.plan = tunable.plan(forced)};
  TunedPlan tuned = {.plan = tunable.plan({})};
  const std::string guess = tuned.plan.variant;
  tuned.kind = tunable.sizes.empty() ? guess : fmt::format("{} {}", guess, tunable.sizes);
  tuned.alternatives = [tunable, guess] {
    std::vector<Alternative> all;
    for (const std::string& variant : tunable.variants()) {
      Alternative& one = all.emplace_back(Alternative{variant, tunable.plan(variant)});
      one.is_guess = one.plan.variant == guess;
    }
    return all;
  };
  const auto choice = choices.find(tuned.kind);
  const std::string_view chosen = choice == choices.end() ? otherwise : choice->second;
  if (chosen.empty()) return tuned;
  const std::vector<std::string> known = tunable.variants();
  if (std::ranges::find(known, chosen) != known.end()) tuned.plan = tunable.plan(chosen);
  return tuned;
}

}  // namespace sinter::compile
