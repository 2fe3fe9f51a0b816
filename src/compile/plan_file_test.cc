#include "compile/plan_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace sinter::compile {
namespace {

using nlohmann::json;
using testing::IsEmpty;
using testing::SizeIs;

const StoredPlans kPlans = {{"kind a", {"tile", 1.5, 2, 3, "0123"}}, {"b", {"", 0, 0, 0, ""}}};

TEST(PlanFile, ReadsWhatItWrites) {
  const StoredPlans plans = ParsePlans(PlansText(kPlans, "some GPU"), "some GPU");
  ASSERT_THAT(plans, SizeIs(2));
  const StoredPlan& plan = plans.at("kind a");
  EXPECT_EQ(plan.variant, "tile");
  EXPECT_EQ(plan.microseconds, 1.5);
  EXPECT_EQ(plan.guess_microseconds, 2);
  EXPECT_EQ(plan.alternatives, 3u);
  EXPECT_EQ(plan.source, "0123");
}

TEST(PlanFile, IsEmptyUnlessItIsOneOfThisAdapter) {
  const json good = json::parse(PlansText(kPlans, "GPU"));
  EXPECT_THAT(ParsePlans(good.dump(), "other GPU"), IsEmpty());
  for (const json& value : {json(), json(1), json(3), json("2"), json(2.5), json::array({2}),
                            json::object(), json(true)}) {
    for (const char* field : {"format", "adapter", "plans"}) {
      json bad = good;
      bad[field] = value;
      EXPECT_THAT(ParsePlans(bad.dump(), "GPU"), IsEmpty()) << bad;
      bad.erase(field);
      EXPECT_THAT(ParsePlans(bad.dump(), "GPU"), IsEmpty()) << bad;
    }
    EXPECT_THAT(ParsePlans(value.dump(), "GPU"), IsEmpty()) << value;
  }
  const std::string text = good.dump();
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_THAT(ParsePlans(text.substr(0, size), "GPU"), IsEmpty()) << size;
  EXPECT_THAT(ParsePlans(std::string(75'000, '['), "GPU"), IsEmpty());
}

TEST(PlanFile, LeavesOutEntriesThatAreNoMeasurements) {
  const json good = json::parse(PlansText(kPlans, "GPU"));
  const auto plans_with = [&](const char* field, const json& value) {
    json bad = good;
    bad["plans"]["kind a"][field] = value;
    return ParsePlans(bad.dump(), "GPU");
  };
  EXPECT_THAT(plans_with("us", 7), SizeIs(2));
  for (const char* field : {"variant", "us", "guess_us", "alternatives", "source"}) {
    for (const json& value : {json(), json(true), json::array(), json::object()})
      EXPECT_THAT(plans_with(field, value), SizeIs(1)) << field << value;
    json bad = good;
    bad["plans"]["kind a"].erase(field);
    EXPECT_THAT(ParsePlans(bad.dump(), "GPU"), SizeIs(1)) << field;
  }
  for (const json& value : {json("1"), json(-1), json(1e300)}) {
    for (const char* field : {"us", "guess_us", "alternatives"})
      EXPECT_THAT(plans_with(field, value), SizeIs(1)) << field << value;
  }
  EXPECT_THAT(plans_with("alternatives", UINT64_MAX), SizeIs(1));
  json bad = good;
  bad["plans"]["kind a"] = "tile";
  EXPECT_THAT(ParsePlans(bad.dump(), "GPU"), SizeIs(1));
}

}  // namespace
}  // namespace sinter::compile
