#include "cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sinter::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

CommandInfo Program() {
  const OptionInfo plan = {.long_names = {"--plan", "--tuning"},
                           .value = "PLAN",
                           .choices = {"auto", "guess"},
                           .description = "How it's tuned [in short]: guess. More"};
  const OptionInfo file = {
      .short_names = {"-f"}, .long_names = {"--file"}, .value = "FILE", .type = "FILE"};
  const OptionInfo json = {.long_names = {"--json"}, .description = "Print JSON"};
  const OptionInfo stop = {.long_names = {"--stop"}, .value = "TEXT", .repeatable = true};
  CommandInfo run = {.name = "run", .description = "Answer one prompt"};
  run.positionals = {{.value = "MODEL", .type = "MODEL"}};
  run.groups = {{"Options", {plan, file, json, stop}}};
  CommandInfo program = {.name = "sinter", .description = "Run"};
  CommandInfo remove = {.name = "rm", .description = "Remove models"};
  remove.positionals = {{.value = "NAME", .type = "MODEL_NAME"}};
  program.commands = {run, remove};
  return program;
}

TEST(CompletionTest, Bash) {
  EXPECT_THAT(
      CompletionScript(Program(), "bash"),
      AllOf(
          HasSubstr("run:--plan|run:--tuning) mapfile -t COMPREPLY < <(compgen -W 'auto guess'"),
          HasSubstr("run:-f|run:--file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f"),
          HasSubstr("run) names='--plan -f --file --json --stop' ;;"),
          HasSubstr("run) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -W \"$(\""),
          HasSubstr("rm) mapfile -t COMPREPLY < <(compgen -W \"$("),
          HasSubstr("run:--stop) :; return ;;"), Not(HasSubstr("run:--json"))));
}

TEST(CompletionTest, Zsh) {
  EXPECT_THAT(
      CompletionScript(Program(), "zsh"),
      AllOf(HasSubstr(R"('(--plan)--plan=[How it'\''s tuned \[in short\]]:PLAN:(auto guess)')"),
            HasSubstr("'(-f --file)-f+[]:FILE:_files'"), HasSubstr("'*--stop=[]:TEXT: '"),
            HasSubstr("'(--json)--json[Print JSON]'"), HasSubstr("'1:MODEL:{ compadd -- "),
            HasSubstr("list --names 2> /dev/null)\"} }"), HasSubstr("'run:Answer one prompt'")));
}

TEST(CompletionTest, Fish) {
  EXPECT_THAT(
      CompletionScript(Program(), "fish"),
      AllOf(HasSubstr("-n '__fish_seen_subcommand_from run' -l plan -x -a 'auto guess' -d "
                      R"('How it\'s tuned [in short]')"),
            HasSubstr("-s f -l file -r -F"), HasSubstr("-l stop -x -d"),
            HasSubstr("-a run -d 'Answer one prompt'"),
            HasSubstr("rm' -x -a '(sinter list --names 2> /dev/null)'\n"),
            HasSubstr(
                "run' -x -a '(sinter list --names 2> /dev/null; __fish_complete_directories)'\n")));
}

}  // namespace
}  // namespace sinter::cli
