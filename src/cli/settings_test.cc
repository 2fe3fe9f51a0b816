#include "cli/settings.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "cli/checks.h"

namespace sinter::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SettingsTest : public testing::Test {
 protected:
  SettingsTest() : app_("Test", "sinter") {
    CLI::App* run = app_.add_subcommand("run", "Run");
    run->add_option("--device", device_, "Device");
    run->add_option("-c,--max-length,--ctx-size", max_length_, "Length")->check(WholeNumber(1));
    run->add_option("--stop", stop_, "Stop");
    CLI::Option* greedy = run->add_flag("--greedy", greedy_, "Greedy");
    run->add_flag("--sample", sample_, "Sample")->excludes(greedy);
    run->add_option("--prompt", prompt_, "Prompt")->configurable(false);
    app_.add_subcommand("look", "Look")->add_flag("--all", all_, "All");
  }
  ~SettingsTest() override {
    for (const char* name :
         {"SINTER_DEVICE", "SINTER_CTX_SIZE", "SINTER_SAMPLE", "SINTER_GREEDY"}) {
      unsetenv(name);
    }
  }

  // Parses the arguments of `run`, in reverse, and applies the settings. Returns the error's text.
  std::string Apply(std::string_view json, std::vector<std::string> reversed_args = {}) {
    reversed_args.emplace_back("run");
    app_.parse(reversed_args);
    try {
      ApplySettings(app_, *app_.get_subcommand("run"), ParseConfigFile(json, "c.json"));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  CLI::App app_;
  std::string device_, prompt_;
  int max_length_ = 0;
  std::vector<std::string> stop_;
  bool greedy_ = false, sample_ = false, all_ = false;
};

TEST_F(SettingsTest, TheNearestPlaceWins) {
  const char* json = R"({"defaults": {"device": "shared", "max_length": 5, "stop": ["a", "b"]},
                         "run": {"device": "section", "greedy": true}})";
  EXPECT_EQ(Apply(json), "");
  EXPECT_EQ(device_, "section");
  EXPECT_EQ(max_length_, 5);
  EXPECT_THAT(stop_, ElementsAre("a", "b"));
  EXPECT_TRUE(greedy_);
  setenv("SINTER_DEVICE", "variable", 1);
  setenv("SINTER_CTX_SIZE", "7", 1);
  EXPECT_EQ(Apply(json), "");
  EXPECT_EQ(device_, "variable");
  EXPECT_EQ(max_length_, 7) << "an alias of the option names it, too";
  EXPECT_EQ(Apply(json, {"option", "--device"}), "");
  EXPECT_EQ(device_, "option");
}

TEST_F(SettingsTest, WhatExcludesAnEarlierPlaceStaysUnset) {
  EXPECT_EQ(Apply(R"({"run": {"sample": true}})", {"--greedy"}), "");
  EXPECT_TRUE(greedy_);
  EXPECT_FALSE(sample_);
  greedy_ = false;
  setenv("SINTER_GREEDY", "yes", 1);
  EXPECT_EQ(Apply(R"({"run": {"sample": true}})"), "");
  EXPECT_TRUE(greedy_);
  EXPECT_FALSE(sample_);
  setenv("SINTER_GREEDY", "0", 1);
  greedy_ = false;
  EXPECT_EQ(Apply(R"({"defaults": {"greedy": true}})"), "");
  EXPECT_FALSE(greedy_) << "false in an earlier place decides, too";
  EXPECT_EQ(Apply(R"({"run": {"sample": true, "greedy": true}})"), "");
  unsetenv("SINTER_GREEDY");
  EXPECT_THAT(Apply(R"({"run": {"sample": true, "greedy": true}})"),
              HasSubstr("c.json: run.greedy and c.json: run.sample: got both, want one of them"));
}

TEST_F(SettingsTest, NamesThePlaceOfAWrongValue) {
  EXPECT_EQ(Apply(R"({"run": {"max-length": 0}})"),
            "[settings] c.json: run.max-length: got 0, want 1 or more");
  EXPECT_EQ(Apply(R"({"defaults": {"greedy": "perhaps"}})"),
            "[settings] c.json: defaults.greedy: got 'perhaps', want true or false");
  EXPECT_EQ(Apply(R"({"run": {"device": ["a", "b"]}})").substr(0, 32),
            "[settings] c.json: run.device: A");
  setenv("SINTER_CTX_SIZE", "long", 1);
  EXPECT_EQ(Apply("{}"), "[settings] SINTER_CTX_SIZE: got 'long', want a whole number");
}

TEST_F(SettingsTest, NamesThatDoNotExistAreErrors) {
  EXPECT_EQ(Apply(R"({"rum": {}})"),
            "[settings] c.json: got \"rum\", want one of models, defaults, "
            "run, look; did you mean 'run'?");
  EXPECT_EQ(Apply(R"({"run": {"devcie": "x"}})"),
            "[settings] c.json: run: got \"devcie\", want an option of sinter run that may have a "
            "default; did you mean 'device'?");
  for (const char* section : {"run", "defaults"}) {
    EXPECT_THAT(Apply(fmt::format(R"({{"{}": {{"c": 3}}}})", section)),
                HasSubstr("; did you mean 'max-length'?"));
  }
  EXPECT_THAT(Apply(R"({"look": {"device": "x"}})"), HasSubstr("an option of sinter look"));
  EXPECT_THAT(Apply(R"({"defaults": {"prompt": "x"}})"), HasSubstr("got \"prompt\""));
  EXPECT_EQ(Apply(R"({"defaults": {"all": true}})"), "") << "an option of another command";
}

TEST_F(SettingsTest, FindsMistypedVariables) {
  EXPECT_THAT(MistypedVariables(app_, {"SINTER_DEVCE=x", "SINTER_DEVICE=x", "SINTER_PROGRAM=y",
                                       "SINTER_MODELS=z", "SINTER_TEST_DEVICE=1", "HOME=/"}),
              ElementsAre("SINTER_DEVCE is no setting; did you mean SINTER_DEVICE?"));
  EXPECT_THAT(MistypedVariables(app_, {"SINTER_C=1", "SINTER_RUN_DEVICE=x", "SINTER_Q=1"}),
              ElementsAre("SINTER_C is no setting; did you mean SINTER_MAX_LENGTH?",
                          "SINTER_RUN_DEVICE is no setting; did you mean SINTER_DEVICE?"));
}

TEST_F(SettingsTest, AnErrorOfUsageIsJsonIfASettingSaysSo) {
  bool json = false;
  app_.get_subcommand("run")->add_flag("--json", json);
  setenv("SINTER_CONFIG", "/dev/null/none", 1);
  EXPECT_FALSE(SettingAsksForJson(app_, {"run"})) << "a file that cannot be read";
  for (const auto& [value, want] : {std::pair("1", true), {"false", false}, {"maybe", false}}) {
    setenv("SINTER_JSON", value, 1);
    EXPECT_EQ(SettingAsksForJson(app_, {"--wrong", "run", "x"}), want) << value;
    EXPECT_FALSE(SettingAsksForJson(app_, {"look"})) << "it has no --json";
    EXPECT_FALSE(SettingAsksForJson(app_, {"walk"}));
  }
  unsetenv("SINTER_JSON");
  unsetenv("SINTER_CONFIG");
}

}  // namespace
}  // namespace sinter::cli
