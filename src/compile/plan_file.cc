#include "compile/plan_file.h"

#include <optional>

#include "base/error.h"
#include "base/json.h"

namespace sinter::compile {
namespace {

constexpr int kPlansFormat = 2;
constexpr int64_t kMaxAlternatives = 1 << 20;
// Upper bound on a time: an hour.
constexpr double kMaxMicroseconds = 3.6e9;

std::optional<StoredPlan> PlanOf(const nlohmann::json& entry) {
  if (!entry.is_object()) return std::nullopt;
  const auto text = [&](const char* name) -> std::optional<std::string> {
    const auto found = entry.find(name);
    if (found == entry.end() || !found->is_string()) return std::nullopt;
    return found->get<std::string>();
  };
  const auto time = [&](const char* name) -> std::optional<double> {
    const auto found = entry.find(name);
    if (found == entry.end() || !found->is_number()) return std::nullopt;
    const auto microseconds = found->get<double>();
    if (!(microseconds >= 0 && microseconds <= kMaxMicroseconds)) return std::nullopt;
    return microseconds;
  };
  const auto alternatives = entry.find("alternatives");
  if (alternatives == entry.end()) return std::nullopt;
  const auto count = JsonInt(*alternatives, 0, kMaxAlternatives);
  const auto variant = text("variant"), source = text("source");
  const auto own = time("us"), guess = time("guess_us");
  if (!count || !variant || !source || !own || !guess) return std::nullopt;
  return StoredPlan{*variant, *own, *guess, static_cast<size_t>(*count), *source};
}

}  // namespace

StoredPlans ParsePlans(std::string_view text, std::string_view adapter) {
  nlohmann::json json;
  try {
    json = ParseJson(text, "plans", "plans");
  } catch (const Error&) {
    return {};
  }
  const auto is = [&](const char* name, const nlohmann::json& want) {
    const auto found = json.find(name);
    return found != json.end() && *found == want;
  };
  if (!json.is_object() || !is("format", kPlansFormat) || !is("adapter", adapter)) return {};
  StoredPlans plans;
  const auto entries = json.find("plans");
  if (entries == json.end() || !entries->is_object()) return {};
  for (const auto& [kind, entry] : entries->items()) {
    if (std::optional<StoredPlan> plan = PlanOf(entry)) plans[kind] = std::move(*plan);
  }
  return plans;
}

std::string PlansText(const StoredPlans& plans, std::string_view adapter) {
  nlohmann::json json = {
      {"format", kPlansFormat}, {"adapter", adapter}, {"plans", nlohmann::json::object()}};
  for (const auto& [kind, plan] : plans) {
    json["plans"][kind] = {{"variant", plan.variant},
                           {"us", plan.microseconds},
                           {"guess_us", plan.guess_microseconds},
                           {"alternatives", plan.alternatives},
                           {"source", plan.source}};
  }
  return json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace sinter::compile
