#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/error.h"

namespace sinter {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "file_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::filesystem::path Write(std::string_view name, std::string_view content) {
    std::ofstream(dir_ / name, std::ios::binary) << content;
    return dir_ / name;
  }
  static std::string ReadError(const std::filesystem::path& path, uint64_t max_bytes = 100) {
    try {
      ReadSmallFile(path, "config", "a configuration", max_bytes);
    } catch (const Error& error) {
      EXPECT_EQ(error.area(), "config");
      return error.what();
    }
    return "no error";
  }

  std::filesystem::path dir_;
};

TEST_F(FileTest, ReadsRegularFilesUpToTheLimit) {
  const std::string text("a\0b", 3);
  EXPECT_EQ(ReadSmallFile(Write("a", text), "x", "y", 3), text);
  EXPECT_EQ(ReadSmallFile(Write("empty", ""), "x", "y", 0), "");
  EXPECT_THAT(ReadError(Write("b", "four"), 3), EndsWith("/b: got 4 bytes, want at most 3"));
  const std::string large(100'000, 'x');
  EXPECT_EQ(ReadSmallFile(Write("c", large), "x", "y"), large);
  std::filesystem::create_symlink("a", dir_ / "link");
  EXPECT_EQ(ReadSmallFile(dir_ / "link", "x", "y"), text);
  // Files of /proc say that they have 0 bytes.
  EXPECT_THAT(ReadSmallFile("/proc/self/maps", "x", "y"), HasSubstr("[stack]"));
  EXPECT_THAT(ReadError("/proc/self/maps"), EndsWith("got more than 100 bytes, want at most that"));
}

TEST_F(FileTest, RefusesWhatIsNoSmallFileAtOnce) {
  EXPECT_THAT(ReadError(dir_ / "none"), StartsWith("[config] " + dir_.string()));
  EXPECT_THAT(ReadError(dir_ / "none"), EndsWith("/none: got no such file, want a configuration"));
  EXPECT_THAT(ReadError(dir_), EndsWith(": got a directory, want a configuration"));
  ASSERT_EQ(mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(ReadError(dir_ / "fifo"), EndsWith("got a special file, want a configuration"));
  EXPECT_THAT(ReadError("/dev/zero"), EndsWith("got a special file, want a configuration"));
  std::filesystem::create_symlink("/dev/zero", dir_ / "zero");
  EXPECT_THAT(ReadError(dir_ / "zero"), EndsWith("got a special file, want a configuration"));
  std::filesystem::create_symlink("loop", dir_ / "loop");
  EXPECT_THAT(ReadError(dir_ / "loop"), HasSubstr("got 'Too many levels of symbolic links'"));
  std::filesystem::resize_file(Write("sparse", ""), uint64_t{1} << 40);
  EXPECT_THAT(ReadError(dir_ / "sparse"), EndsWith("got 1099511627776 bytes, want at most 100"));
  const std::string with_nul = Write("a", "x").string() + std::string("\0b", 2);
  EXPECT_THAT(ReadError(with_nul), HasSubstr("a\\x00b: got a NUL character in the name"));
}

TEST(StaysInFolder, RefusesWhatLeavesIt) {
  for (const char* name : {"model.onnx", "a/b.onnx", "./a", "..a", "a..b", "weights (1).bin"})
    EXPECT_TRUE(StaysInFolder(name)) << name;
  for (const char* name : {"", "/etc/passwd", "..", "../a", "a/../../b", "a/..", "a/", "a\nb"})
    EXPECT_FALSE(StaysInFolder(name)) << name;
  EXPECT_FALSE(StaysInFolder(std::string("a\0b", 3)));
}

TEST_F(FileTest, LinksThatLeadNowhereArePresent) {
  EXPECT_FALSE(IsPresent(dir_ / "lost"));
  std::filesystem::create_symlink(dir_ / "nothing", dir_ / "lost");
  EXPECT_TRUE(IsPresent(dir_ / "lost"));
  EXPECT_THAT(ReadError(dir_ / "lost"), HasSubstr("got no such file"));
}

TEST_F(FileTest, ReplacesFilesWhole) {
  const std::filesystem::path path = dir_ / "new" / "file";
  EXPECT_TRUE(ReplaceFile(path, "one"));
  EXPECT_TRUE(ReplaceFile(path, "two"));
  EXPECT_EQ(ReadSmallFile(path, "x", "y"), "two");
  // Neither the folder in the file's place nor the file in a folder's place can be replaced.
  std::filesystem::create_directories(dir_ / "folder" / "full");
  EXPECT_FALSE(ReplaceFile(dir_ / "folder", "text"));
  EXPECT_FALSE(ReplaceFile(path / "file", "text"));
  size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_))
    files += entry.is_regular_file() ? 1 : 0;
  EXPECT_EQ(files, 1u);
}

}  // namespace
}  // namespace sinter
