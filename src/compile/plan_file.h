// Text of the file that keeps measured plans. What it says is checked, never trusted.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

namespace sinter::compile {

// What the file says about one kind of dispatch.
struct StoredPlan {
  std::string variant;                              // the quickest
  double microseconds = 0, guess_microseconds = 0;  // its time, and the best guess's
  size_t alternatives = 0;                          // number of variants that were measured
  std::string source;                               // hash of the kernels' sources
};

// Stored plans by kind.
using StoredPlans = std::map<std::string, StoredPlan, std::less<>>;

// Returns the plans in the file of this adapter. Entries with missing or mistyped fields, or with
// times that no measurement gives, are left out. A text that is no such file, that another version
// wrote, or that belongs to another adapter has no plans.
StoredPlans ParsePlans(std::string_view text, std::string_view adapter);

// Returns the text that ParsePlans() reads.
std::string PlansText(const StoredPlans& plans, std::string_view adapter);

}  // namespace sinter::compile
