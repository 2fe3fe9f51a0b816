#include "cli/status_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sinter::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(StatusStyle, OnlyATerminalWithEscapeCodesIsRedrawn) {
  EXPECT_EQ(StyleOf(true, "xterm-256color"), StatusStyle::kRedrawn);
  EXPECT_EQ(StyleOf(true, "dumb"), StatusStyle::kLines);
  EXPECT_EQ(StyleOf(true, nullptr), StatusStyle::kLines);
  EXPECT_EQ(StyleOf(false, "xterm"), StatusStyle::kLog);
}

TEST(FitColumns, CountsCharactersAndDropsControlCharacters) {
  EXPECT_EQ(FitColumns("loading", 40), "loading");
  EXPECT_EQ(FitColumns("loading", 4), "load");
  EXPECT_EQ(FitColumns("\xC3\xA4\xC3\xB6\xC3\xBC", 2), "\xC3\xA4\xC3\xB6");
  EXPECT_EQ(FitColumns("a\x1b[31mb\r\n", 40), "a[31mb");
  EXPECT_EQ(FitColumns("loading", 0), "");
}

TEST(ProgressBar, HasItsColumns) {
  EXPECT_EQ(ProgressBar(0.5, 12), "[=====     ]");
  EXPECT_EQ(ProgressBar(0, 6), "[    ]");
  EXPECT_EQ(ProgressBar(1, 6), "[====]");
  EXPECT_EQ(ProgressBar(7, 6), "[====]");
  EXPECT_EQ(ProgressBar(1, 5), "");
}

TEST(BytesProgressText, FitsEveryWidth) {
  EXPECT_EQ(BytesProgressText("loading", 1'200'000'000, 2'400'000'000, 60),
            "loading [=============              ]  50%  1.2 GB of 2.4 GB");
  EXPECT_EQ(BytesProgressText("loading", 1'200'000'000, 2'400'000'000, 40),
            "loading [============             ]  50%");
  EXPECT_EQ(BytesProgressText("loading", 1'200'000'000, 2'400'000'000, 20), "loading [==   ]  50%");
  EXPECT_EQ(BytesProgressText("loading", 1, 1, 12), "loading 100%");
  EXPECT_EQ(BytesProgressText("loading", 9, 3, 12), "loading 100%");
  EXPECT_EQ(BytesProgressText("loading", 0, 0, 12), "loading 100%");
  // 100% means all of it.
  EXPECT_EQ(BytesProgressText("loading", 999, 1000, 12), "loading  99%");
  for (size_t columns = 0; columns < 200; ++columns)
    EXPECT_LE(BytesProgressText("writing", 5'123'456, 812'345'678'901, columns).size(), columns);
}

TEST(WaitText, ExplainsWhereThereIsRoom) {
  EXPECT_EQ(WaitText(3, true, 100),
            "waiting for the first token: 3 s (a software GPU compiles new shaders)");
  EXPECT_EQ(WaitText(3, true, 39), "waiting for the first token: 3 s");
  EXPECT_EQ(WaitText(3, false, 100), "waiting for the first token: 3 s");
}

TEST(LoadText, NamesThePhase) {
  LoadProgress progress;
  EXPECT_EQ(LoadText(progress, 80), "opening the GPU");
  progress.device_open = true;
  EXPECT_EQ(LoadText(progress, 80), "reading the model");
  progress.loading = true;
  progress.total_bytes = 1000;
  EXPECT_EQ(LoadText(progress, 80), "preparing the model");
  progress.shaders_begun = 12;
  progress.shaders_done = 3;
  EXPECT_EQ(LoadText(progress, 80), "compiling shaders: 3 of 12");
  EXPECT_EQ(LoadText(progress, 9), "compiling");
  progress.done_bytes = 500;
  EXPECT_THAT(LoadText(progress, 80), testing::HasSubstr("50%  500 B of 1.0 kB"));
  progress.measured = 0.5;
  EXPECT_EQ(LoadText(progress, 80), "measuring plans  50%, shaders 3 of 12");
}

TEST(AnswersText, LeavesOutWhatDoesNotFit) {
  AnswersProgress progress{.done = 5, .total = 20};
  EXPECT_EQ(AnswersText(progress, 31), "answering [==         ] 5 of 20");
  progress.failed = 2;
  progress.tokens_per_second = 850.4;
  progress.seconds_left = 130;
  EXPECT_THAT(AnswersText(progress, 120),
              testing::EndsWith("] 5 of 20, 2 failed, 850 tokens/s, 3 min left"));
  EXPECT_THAT(AnswersText(progress, 50), testing::EndsWith("] 5 of 20, 2 failed, 3 min left"));
  EXPECT_THAT(AnswersText(progress, 42), testing::EndsWith("] 5 of 20, 2 failed"));
  EXPECT_EQ(AnswersText(progress, 18), "answering 5 of 20");
  progress.seconds_left = 7.2;
  EXPECT_THAT(AnswersText(progress, 120), testing::EndsWith(", 8 s left"));
  progress.seconds_left = 10000;
  EXPECT_THAT(AnswersText(progress, 120), testing::EndsWith(", 3 h left"));
}

TEST(LineSchedule, PrintsPhasesAndThenSeldom) {
  LineSchedule lines(StatusStyle::kLines);
  EXPECT_FALSE(lines.IsDue(milliseconds(100), "opening"));
  EXPECT_FALSE(lines.IsDue(milliseconds(150), "reading")) << "short phases are not told";
  EXPECT_TRUE(lines.IsDue(milliseconds(250), "reading"));
  EXPECT_FALSE(lines.IsDue(milliseconds(300), "reading"));
  EXPECT_TRUE(lines.IsDue(milliseconds(400), "loading"));
  EXPECT_FALSE(lines.IsDue(seconds(5), "loading"));
  EXPECT_TRUE(lines.IsDue(seconds(6), "loading"));
  EXPECT_FALSE(lines.IsDue(seconds(12), "loading"));
  EXPECT_TRUE(lines.IsDue(seconds(17), "loading"));
}

TEST(LineSchedule, ALogHasFewLines) {
  LineSchedule log(StatusStyle::kLog);
  int lines = 0;
  for (int tenths = 0; tenths < 36'000; ++tenths) {
    const bool due =
        log.IsDue(milliseconds(100) * tenths, tenths % 2 == 0 ? "loading" : "compiling");
    EXPECT_TRUE(!due || tenths >= 100);
    lines += due ? 1 : 0;
  }
  EXPECT_GE(lines, 3);
  EXPECT_LE(lines, 9);  // in an hour
}

}  // namespace
}  // namespace sinter::cli
