#include "cli/command_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/checks.h"

namespace sinter::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(CommandTreeTest, DescribesOptionsAsTheParserKnowsThem) {
  CLI::App app("Bake", "oven");
  app.set_help_flag("-h,--help", "Print this help and exit");
  CLI::App* bake = app.add_subcommand("bake", "Bake a loaf");
  std::string loaf, kind = "rye";
  std::vector<std::string> seeds;
  int minutes = 3;
  bool hot = false;
  bake->add_flag("--hot", hot, "Rarely needed")->group(kAdvanced);
  bake->add_option("LOAF", loaf, "What to bake")->required()->type_name("DIR");
  bake->add_option("SIDE", loaf, "What else");
  bake->add_option("-t,--time,--minutes", minutes, "How long")->capture_default_str();
  bake->add_option("--kind", kind, "Which flour")->check(OneOf({"rye", "oat"}));
  bake->add_option("--seed", seeds, "Seeds")->group("Toppings");
  bake->add_flag("--secret", hot, "Hidden")->group("");

  const CommandInfo info = Describe(app);
  ASSERT_EQ(info.commands.size(), 1);
  const CommandInfo& command = info.commands[0];
  EXPECT_EQ(UsageLine(command, "oven"), "oven bake LOAF [SIDE] [OPTIONS]");
  ASSERT_EQ(command.groups.size(), 3);
  EXPECT_EQ(command.groups[1].name, "Toppings");
  EXPECT_TRUE(command.groups[1].options[0].repeatable);
  EXPECT_EQ(command.groups[2].name, kAdvanced) << "last, although it was the first to be added";
  const OptionInfo& time = command.groups[0].options[0];
  EXPECT_THAT(time.short_names, ElementsAre("-t"));
  EXPECT_THAT(time.long_names, ElementsAre("--time", "--minutes"));
  EXPECT_EQ(time.value, "N");
  EXPECT_EQ(time.description, "How long (default: 3)");
  EXPECT_THAT(command.groups[0].options[1].choices, ElementsAre("rye", "oat"));
  EXPECT_THAT(command.groups[0].options.back().long_names, ElementsAre("--help"));

  EXPECT_EQ(HelpText(command, "oven"), R"(Bake a loaf.

Usage: oven bake LOAF [SIDE] [OPTIONS]

  LOAF                    What to bake
  SIDE                    What else

Options:
  -t, --time N            How long (default: 3)
      --kind TEXT         Which flour
  -h, --help              Print this help and exit

Toppings:
      --seed TEXT         Seeds

Advanced:
      --hot               Rarely needed
)");
}

TEST(CommandTreeTest, WrapsAtSpaces) {
  EXPECT_THAT(Wrapped("one two three", 7), ElementsAre("one two", "three"));
  EXPECT_THAT(Wrapped("a verylongword b", 4), ElementsAre("a", "verylongword", "b"));
  EXPECT_THAT(Wrapped("one\ntwo three", 5), ElementsAre("one", "two", "three"));
  EXPECT_THAT(Wrapped("", 5), ElementsAre(""));
}

TEST(CommandTreeTest, JoinsTheLinesOfAParagraph) {
  EXPECT_THAT(Paragraphs("a\nb\n\nExamples:\n  x\n  y\nc"),
              ElementsAre("a b", "", "Examples:", "  x", "  y", "c"));
}

TEST(CommandTreeTest, LongNamesStandOnTheirOwnLine) {
  CLI::App app("Bake", "oven");
  std::string value;
  app.add_option("--a-very-long-name-of-an-option", value, std::string(100, 'x') + " y");
  EXPECT_THAT(
      HelpText(Describe(app), ""),
      HasSubstr("      --a-very-long-name-of-an-option TEXT\n" + std::string(26, ' ') + "xxx"));
}

}  // namespace
}  // namespace sinter::cli
