#include "cli/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace sinter::cli {
namespace {

using ::testing::ElementsAre;

class HistoryFile : public ::testing::Test {
 protected:
  HistoryFile() {
    char name[] = "/tmp/sinter-history-XXXXXX";
    folder_ = mkdtemp(name);
    path_ = folder_ / "state/sinter/history";
  }
  ~HistoryFile() override { std::filesystem::remove_all(folder_); }

  std::string Read() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Write(const std::string& text) const {
    std::filesystem::create_directories(path_.parent_path());
    std::ofstream(path_) << text;
  }

  std::filesystem::path folder_, path_;
};

TEST_F(HistoryFile, KeepsMessagesWithTheirLineEnds) {
  {
    History history(path_);
    history.Add("one\ntwo");
    history.Add("one\ntwo");  // again
    history.Add("");
    history.Add("C:\\new \\\\ \xc3\xa9");
  }
  History other(path_);
  other.Add("three");
  EXPECT_THAT(History(path_).entries(), ElementsAre("one\ntwo", "C:\\new \\\\ \xc3\xa9", "three"));
  EXPECT_EQ(Read(), "one\\ntwo\nC:\\\\new \\\\\\\\ \xc3\xa9\nthree\n");
  struct stat status = {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(path_.parent_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(HistoryFile, IsBounded) {
  std::string text;
  for (int i = 0; i < 2001; ++i) text += std::to_string(i) + "\n";
  Write(text);
  History history(path_);
  EXPECT_EQ(history.entries().size(), kMaxHistoryEntries);
  EXPECT_EQ(history.entries().front(), "1001");
  EXPECT_EQ(Read().substr(0, 10), "1001\n1002\n");
  history.Add(std::string(kMaxHistoryEntryBytes + 1, 'x'));
  EXPECT_EQ(history.entries().size(), kMaxHistoryEntries + 1);
  EXPECT_EQ(History(path_).entries().size(), kMaxHistoryEntries);
}

TEST_F(HistoryFile, ReadsWhatOthersWrote) {
  Write("a\\\n\n\\x\\n\xff\nlast");
  EXPECT_THAT(History(path_).entries(), ElementsAre("a\\", "x\n\xef\xbf\xbd", "last"));
}

TEST_F(HistoryFile, DoesWithoutAFile) {
  for (const std::filesystem::path& path :
       {std::filesystem::path(), std::filesystem::path("/dev/null"), folder_,
        std::filesystem::path("/proc/none/history"), path_ / "below"}) {
    Write("one\n");
    History history(path);
    history.Add("two");
    EXPECT_THAT(history.entries(), ElementsAre("two")) << path;
  }
  std::filesystem::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  History history(path_);
  history.Add("two");
  EXPECT_THAT(history.entries(), ElementsAre("two"));
}

TEST_F(HistoryFile, Place) {
  ::setenv("HOME", "/home/me", 1);
  ::unsetenv("XDG_STATE_HOME");
  EXPECT_EQ(HistoryPath(), "/home/me/.local/state/sinter/history");
  ::setenv("XDG_STATE_HOME", "/state", 1);
  EXPECT_EQ(HistoryPath(), "/state/sinter/history");
  ::setenv("XDG_STATE_HOME", "relative", 1);
  EXPECT_EQ(HistoryPath(), "/home/me/.local/state/sinter/history");
  ::unsetenv("HOME");
  EXPECT_EQ(HistoryPath(), "");
}

}  // namespace
}  // namespace sinter::cli
