#include "cli/usage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cli/checks.h"

namespace sinter::cli {
namespace {

using testing::ElementsAre;

// A parser with the commands `run MODEL [PROMPT]` and `look MODEL`.
class UsageTest : public testing::Test {
 protected:
  UsageTest() : app_("Test", "sinter") {
    app_.require_subcommand(1);
    CLI::App* run = app_.add_subcommand("run", "Run");
    run->add_option("MODEL", model_, "Model")->required();
    prompt_option_ = run->add_option("-p,--prompt", prompt_, "Prompt");
    run->add_option("PROMPT", prompt_, "Prompt")->excludes(prompt_option_);
    run->add_option("--top-p,--nucleus", top_p_, "P")->check(Number(0, 1));
    run->add_option("--device", device_, "Device");
    run->add_option("--system", device_, "System message");
    run->add_flag("--greedy", greedy_, "Greedy");
    app_.add_subcommand("look", "Look")->add_option("MODEL", model_, "Model")->required();
    PrepareCommands(app_);
  }

  // Returns the text about the arguments, or "" if they are right.
  std::string Parse(std::vector<std::string> args) {
    model_ = prompt_ = device_ = "";
    args = NormalizedArguments(app_, args);
    std::ranges::reverse(args);
    try {
      app_.parse(std::move(args));
    } catch (const CLI::ParseError& error) {
      return UsageText(app_, error);
    }
    return "";
  }

  CLI::App app_;
  CLI::Option* prompt_option_;
  std::string model_, prompt_, device_;
  double top_p_ = 0;
  bool greedy_ = false;
};

TEST_F(UsageTest, NamesTheNearestCommandAndOption) {
  EXPECT_EQ(Parse({"rnu"}), "got 'rnu', want a command: run, look; did you mean 'run'?");
  EXPECT_EQ(Parse({"walk"}), "got 'walk', want a command: run, look");
  EXPECT_EQ(Parse({"run", "m", "--promt", "x"}),
            "got '--promt', want an option of sinter run; did you mean '--prompt'?");
  EXPECT_EQ(Parse({"run", "m", "-top-p", "1"}),
            "got '-top-p', want an option of sinter run; did you mean '--top-p'?");
  EXPECT_EQ(Parse({"run", "m", "--nuclues=1"}),
            "got '--nuclues', want an option of sinter run; did you mean '--nucleus'?");
  EXPECT_EQ(Parse({"run", "m", "--frobnicate"}),
            "got '--frobnicate', want an option of sinter run");
  EXPECT_EQ(Parse({"--device", "x"}),
            "got '--device' before any command, want a command first: run, look");
  EXPECT_EQ(Parse({"--device", "run"}),
            "got '--device' before the command, want it after 'sinter run'");
}

TEST_F(UsageTest, SaysWhatValuesAreWrong) {
  EXPECT_EQ(Parse({"run"}), "MODEL: got none, want one");
  EXPECT_EQ(Parse({"run", "m", "--top-p"}), "--top-p: got no value, want one");
  EXPECT_EQ(Parse({"run", "m", "--top-p", "2"}), "--top-p: got 2, want 0 to 1");
  EXPECT_EQ(Parse({"run", "m", "--device", "a", "--device", "b"}),
            "--device: got 2 values, want one");
  EXPECT_EQ(Parse({"run", "m", "-p", "a", "b"}), "--prompt and PROMPT: got both, want one of them");
  EXPECT_EQ(Parse({"run", "m", "what", "is"}),
            "got 'is' after the prompt, want the whole prompt in quotes");
  EXPECT_EQ(Parse({"look", "m", "n"}), "got 'n', want no argument after the others");
}

TEST_F(UsageTest, EmptyValuesAreRefusedButForTexts) {
  EXPECT_EQ(Parse({"run", "m", "--device", ""}), "--device: got '', want a value");
  EXPECT_EQ(Parse({"run", ""}), "MODEL: got '', want a value");
  EXPECT_EQ(Parse({"run", "m", "-p", "", "--system", ""}), "");
  EXPECT_EQ(Parse({"run", "m", ""}), "");
}

TEST_F(UsageTest, UnderscoresInNamesAreDashes) {
  EXPECT_THAT(NormalizedArguments(app_, {"run", "m", "--top_p=a_b", "--top_p", "c_d", "--a_b"}),
              ElementsAre("run", "m", "--top-p=a_b", "--top-p", "c_d", "--a_b"));
  EXPECT_THAT(NormalizedArguments(app_, {"run", "m", "--", "--top_p"}),
              ElementsAre("run", "m", "--", "--top_p"));
  EXPECT_THAT(NormalizedArguments(app_, {"look", "--top_p"}), ElementsAre("look", "--top_p"));
  EXPECT_EQ(Parse({"run", "m", "--top_p", "0.5"}), "");
  EXPECT_EQ(top_p_, 0.5);
}

TEST_F(UsageTest, TheModelMayBeAnOption) {
  EXPECT_EQ(Parse({"run", "-m", "m", "hi"}), "");
  EXPECT_EQ(model_ + "/" + prompt_, "m/hi");
  EXPECT_EQ(Parse({"run", "hi", "--model=m"}), "");
  EXPECT_EQ(model_ + "/" + prompt_, "m/hi");
  EXPECT_EQ(Parse({"run", "-m", "m", "-p", "hi"}), "");
  EXPECT_EQ(model_ + "/" + prompt_, "m/hi");
  EXPECT_EQ(Parse({"look", "-m", "m"}), "");
  EXPECT_EQ(model_, "m");
  EXPECT_EQ(Parse({"look", "n", "-m", "m"}), "MODEL: got 2 values, want one");
  EXPECT_EQ(Parse({"look", "-m", ""}), "--model: got '', want a value");
}

}  // namespace
}  // namespace sinter::cli
