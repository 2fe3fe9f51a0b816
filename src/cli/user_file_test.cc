#include "cli/user_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "base/error.h"

namespace sinter::cli {
namespace {

class UserFile : public ::testing::Test {
 protected:
  UserFile() {
    char name[] = "/tmp/sinter-user-file-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~UserFile() override { std::filesystem::remove_all(folder_); }

  static std::string Read(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static int Mode(const std::filesystem::path& path) {
    struct stat status = {};
    return stat(path.c_str(), &status) == 0 ? static_cast<int>(status.st_mode & 0777) : -1;
  }
  static std::string ErrorOf(const std::filesystem::path& path) {
    try {
      ReplaceUserFile(path, "new");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  size_t Files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

  std::filesystem::path folder_;
};

TEST_F(UserFile, MakesAndReplaces) {
  const auto path = folder_ / "a";
  ReplaceUserFile(path, "one", 0600);
  EXPECT_EQ(Read(path), "one");
  EXPECT_EQ(Mode(path), 0600);
  chmod(path.c_str(), 0640);
  ReplaceUserFile(path, "", 0600);
  EXPECT_EQ(Read(path), "");
  EXPECT_EQ(Mode(path), 0640);
  EXPECT_EQ(Files(), 1u);
}

TEST_F(UserFile, FollowsALink) {
  ReplaceUserFile(folder_ / "a", "one");
  std::filesystem::create_symlink("a", folder_ / "link");
  ReplaceUserFile(folder_ / "link", "two");
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "link"));
  EXPECT_EQ(Read(folder_ / "a"), "two");
}

TEST_F(UserFile, RefusesWhatIsNoFile) {
  EXPECT_THAT(ErrorOf(folder_), ::testing::HasSubstr("got 'a directory', want a file"));
  EXPECT_THAT(ErrorOf("/dev/null"), ::testing::HasSubstr("a special file"));
  EXPECT_THAT(ErrorOf(folder_ / "no" / "a"), ::testing::HasSubstr("No such file"));
  ReplaceUserFile(folder_ / "a", "one");
  EXPECT_THAT(ErrorOf(folder_ / "a" / "b"), ::testing::HasSubstr("Not a directory"));
  EXPECT_EQ(Files(), 1u);
}

TEST_F(UserFile, HomeFolder) {
  ::setenv("HOME", "/home/me", 1);
  EXPECT_EQ(UserPath("~/a b"), "/home/me/a b");
  EXPECT_EQ(UserPath("~other/a"), "~other/a");
  EXPECT_EQ(UserPath("./~/a"), "./~/a");
}

}  // namespace
}  // namespace sinter::cli
