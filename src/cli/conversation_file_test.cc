#include "cli/conversation_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace sinter::cli {
namespace {

TEST(ConversationFile, IsWhatMessagesReads) {
  EXPECT_EQ(ConversationText({}, ""), "[]\n");
  const std::string first = R"({"role":"user","content":"a\nb"})", second = R"({"role":"tool"})";
  EXPECT_EQ(ConversationText({first, second}, ""), "[\n" + first + ",\n" + second + "\n]\n");
  const auto json = nlohmann::json::parse(ConversationText({first}, R"([{"name": "f"}])"));
  EXPECT_EQ(json["messages"][0]["content"], "a\nb");
  EXPECT_EQ(json["tools"][0]["name"], "f");
  EXPECT_EQ(nlohmann::json::parse(ConversationText({}, "[]"))["messages"].size(), 0u);
}

TEST(ConversationFile, ASessionIsNotOverwritten) {
  char name[] = "/tmp/sinter-session-XXXXXX";
  const std::filesystem::path folder = mkdtemp(name), path = folder / "a";
  const auto read = [&] {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  SessionFile session(path);
  session.Write("one");
  session.Write("two");
  EXPECT_EQ(read(), "two");
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms(0600));
  SessionFile other(path);
  other.Write("other");
  for (int i = 0; i < 2; ++i) {
    try {
      session.Write("three");
      FAIL();
    } catch (const Error& error) {
      EXPECT_TRUE(
          std::string(error.what()).starts_with("[chat] --session: got a file that another"));
    }
    EXPECT_EQ(read(), "other");
  }
  std::filesystem::remove(path);
  session.Write("four");
  EXPECT_EQ(read(), "four");
  std::filesystem::remove_all(folder);
}

TEST(ConversationFile, ACopyReplacesNoOther) {
  char name[] = "/tmp/sinter-copy-XXXXXX";
  const std::filesystem::path folder = mkdtemp(name), path = folder / "a";
  EXPECT_EQ(KeepCopy(path, "one"), folder / "a.bak");
  EXPECT_EQ(KeepCopy(path, "two"), folder / "a.bak2");
  EXPECT_EQ(KeepCopy(path, "one"), folder / "a.bak");
  EXPECT_EQ(KeepCopy(path, "three"), folder / "a.bak3");
  EXPECT_EQ(std::filesystem::file_size(folder / "a.bak"), 3u);
  EXPECT_THROW(KeepCopy(folder / "none" / "a", "one"), Error);
  std::filesystem::remove_all(folder);
}

TEST(ConversationFile, ASessionAdoptsItsOwnFileOnly) {
  char name[] = "/tmp/sinter-adopt-XXXXXX";
  const std::filesystem::path folder = mkdtemp(name), path = folder / "a";
  SessionFile session(path);
  session.Write("one");
  std::filesystem::create_symlink("a", folder / "link");
  EXPECT_TRUE(session.Is(folder / "link"));
  EXPECT_FALSE(session.Is(folder / "b"));
  std::ofstream(path) << "another text";
  EXPECT_THROW(session.Write("two"), Error);
  session.Adopt();
  session.Write("two");
  EXPECT_EQ(std::filesystem::file_size(path), 3u);
  std::filesystem::remove_all(folder);
}

TEST(ConversationFile, HasContents) {
  char name[] = "/tmp/sinter-conversation-XXXXXX";
  const std::filesystem::path folder = mkdtemp(name);
  EXPECT_FALSE(HasContents(folder / "a"));
  std::ofstream(folder / "a").close();
  EXPECT_FALSE(HasContents(folder / "a"));
  std::ofstream(folder / "a") << "x";
  EXPECT_TRUE(HasContents(folder / "a"));
  EXPECT_TRUE(HasContents(folder));
  // A link that leads nowhere is not taken for a new file.
  std::filesystem::create_symlink("nowhere", folder / "link");
  EXPECT_TRUE(HasContents(folder / "link"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sinter::cli
