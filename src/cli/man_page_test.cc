#include "cli/man_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sinter::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(ManPageTest, EscapesWhatRoffWouldRead) {
  CommandInfo run = {.name = "run",
                     .description = ".hidden 'files' cost ~1 \\n",
                     .footer = "Examples:\n  .sinter -x\n\nEnd\nof it"};
  run.groups = {{"Options",
                 {{.short_names = {"-n"},
                   .long_names = {"--number"},
                   .value = "N",
                   .description = "Count"}}}};
  CommandInfo program = {.name = "sinter", .description = "Run"};
  program.commands = {run};
  EXPECT_THAT(ManPage(program, "1.2", "2026-01-02"),
              AllOf(HasSubstr(".TH SINTER 1 2026-01-02 \"Sinter 1.2\""),
                    HasSubstr("\n\\&.hidden \\(aqfiles\\(aq cost \\(ti1 \\en.\n"),
                    HasSubstr(".TP\n\\fB\\-n\\fR, \\fB\\-\\-number\\fR \\fIN\\fR\nCount\n"),
                    HasSubstr("Examples:\n.nf\n  .sinter \\-x\n.fi\n.PP\nEnd of it\n")));
}

}  // namespace
}  // namespace sinter::cli
