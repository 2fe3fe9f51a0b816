#include "base/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include "base/error.h"

namespace sinter {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class MappedFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "mapped_file_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::filesystem::path Write(std::string_view name, std::string_view content) {
    std::ofstream(dir_ / name, std::ios::binary) << content;
    return dir_ / name;
  }

  // Returns the message of the error that opening `path` throws.
  static std::string OpenError(const std::filesystem::path& path) {
    try {
      MappedFile::Open(path);
    } catch (const Error& e) {
      EXPECT_EQ(e.area(), "file");
      return e.what();
    }
    return "no error";
  }

  std::filesystem::path dir_;
};

std::string_view Text(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST_F(MappedFileTest, HasTheBytesOfTheFile) {
  EXPECT_EQ(Text(*MappedFile::Open(Write("a", std::string("weights\0more", 12)))),
            std::string_view("weights\0more", 12));
}

TEST_F(MappedFileTest, SpansPages) {
  std::string content(3 * 4096 + 1, 'x');
  content.back() = 'y';
  EXPECT_EQ(Text(*MappedFile::Open(Write("a", content))), content);
}

TEST_F(MappedFileTest, ReadsInPieces) {
  std::string content((9 << 20) + 5, 'x');
  for (size_t i = 0; i < content.size(); i += 1000) content[i] = static_cast<char>(i / 1000);
  int pieces = 0;
  const auto file =
      MappedFile::Read("x", content.size(), [&](uint64_t offset, std::span<std::byte> out) {
        ++pieces;
        std::memcpy(out.data(), content.data() + offset, out.size());
      });
  EXPECT_EQ(Text(*file), content);
  EXPECT_EQ(pieces, 3);
  EXPECT_TRUE(MappedFile::Read("x", 0, {})->bytes().empty());
  try {
    MappedFile::Read("large", uint64_t{1} << 60, {});
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(),
                AllOf(StartsWith("[file] memory for 'large'"), HasSubstr("1152921504606846976")));
  }
}

TEST_F(MappedFileTest, EmptyFileHasNoBytes) {
  EXPECT_TRUE(MappedFile::Open(Write("empty", ""))->bytes().empty());
}

TEST_F(MappedFileTest, FollowsSymbolicLinks) {
  Write("a", "target");
  std::filesystem::create_symlink("a", dir_ / "link");
  EXPECT_EQ(Text(*MappedFile::Open(dir_ / "link")), "target");
}

TEST_F(MappedFileTest, OutlivesTheRemovedFile) {
  const auto file = MappedFile::Open(Write("a", "content"));
  std::filesystem::remove(dir_ / "a");
  EXPECT_EQ(Text(*file), "content");
}

TEST_F(MappedFileTest, MissingFile) {
  EXPECT_THAT(OpenError(dir_ / "none"),
              AllOf(StartsWith("[file] cannot open '"),
                    HasSubstr("/none': got no such file, want a regular file")));
}

TEST_F(MappedFileTest, Directory) {
  EXPECT_THAT(OpenError(dir_), HasSubstr("got a directory, want a regular file"));
}

TEST_F(MappedFileTest, FifoDoesNotHang) {
  ASSERT_EQ(mkfifo((dir_ / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(OpenError(dir_ / "fifo"), HasSubstr("got a special file, want a regular file"));
}

TEST_F(MappedFileTest, NoAddressSpaceLeft) {
  const std::filesystem::path path = Write("a", "x");
  std::filesystem::resize_file(path, 1 << 30);
  // The limit leaves room for half of the file, because the sanitizers' own mappings must still
  // succeed.
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  rlimit little = before;
  little.rlim_cur = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + (1 << 29);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &little), 0);
  const std::string message = OpenError(path);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_THAT(message, AllOf(StartsWith("[file] cannot map '"), HasSubstr("of 1073741824 bytes"),
                             HasSubstr("Cannot allocate memory")));
}

}  // namespace
}  // namespace sinter
