#include "cli/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"

namespace sinter::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Sets a variable of the environment, or removes it, until the end of a test.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    Set(value);
  }
  ~ScopedVariable() { Set(old_ ? old_->c_str() : nullptr); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  void Set(const char* value) {
    if (value != nullptr) {
      setenv(name_, value, 1);
    } else {
      unsetenv(name_);
    }
  }
  const char* name_;
  std::optional<std::string> old_;
};

std::string ParseError(std::string_view text) {
  try {
    ParseConfigFile(text, "c.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ConfigFileTest, ReadsEveryKindOfValue) {
  const ScopedVariable home("HOME", "/home/lily");
  const ConfigFile config = ParseConfigFile(R"({
      "models": ["~/models", "/data"],
      "defaults": {"device": "nvidia", "max_length": 4096},
      "run": {"temperature": 0.5, "quiet": true, "stop": ["\n", "END"]}})",
                                            "/c.json");
  EXPECT_EQ(config.path, "/c.json");
  EXPECT_THAT(config.models, ElementsAre("/home/lily/models", "/data"));
  EXPECT_THAT(config.sections.at("defaults").at("device"), ElementsAre("nvidia"));
  EXPECT_THAT(config.sections.at("defaults").at("max-length"), ElementsAre("4096"));
  EXPECT_THAT(config.sections.at("run").at("temperature"), ElementsAre("0.5"));
  EXPECT_THAT(config.sections.at("run").at("quiet"), ElementsAre("true"));
  EXPECT_THAT(config.sections.at("run").at("stop"), ElementsAre("\n", "END"));
  EXPECT_THAT(ParseConfigFile("{}", "c.json").sections, IsEmpty());
}

TEST(ConfigFileTest, NamesThePlaceOfAnError) {
  EXPECT_THAT(ParseError("{"), HasSubstr("[settings] c.json: line 1, column 1: got no valid JSON"));
  EXPECT_EQ(ParseError("[]"), "[settings] c.json: got [], want an object");
  EXPECT_THAT(ParseError(R"({"run": 3})"), HasSubstr("c.json: run: got 3, want an object"));
  EXPECT_THAT(ParseError(R"({"run": {"a": {}}})"), HasSubstr("run.a: got {}, want text, a number"));
  EXPECT_THAT(ParseError(R"({"run": {"a": [[]]}})"), HasSubstr("run.a: got [], want text"));
  EXPECT_THAT(ParseError(R"({"run": {"a": null}})"), HasSubstr("run.a: got null, want text"));
  EXPECT_THAT(ParseError(R"({"run": {"top_k": 1, "top-k": 2}})"), HasSubstr("twice, want it once"));
  EXPECT_THAT(ParseError(R"({"models": "/data"})"),
              HasSubstr("models: got \"/data\", want an array"));
  EXPECT_THAT(ParseError(R"({"models": ["data"]})"), HasSubstr("beginning with / or ~/"));
  EXPECT_THAT(ParseError(R"({"models": [7]})"), HasSubstr("models: got 7"));
}

TEST(ConfigFileTest, FindsTheFile) {
  const ScopedVariable home("HOME", "/home/lily");
  const ScopedVariable no_file("SINTER_CONFIG", nullptr);
  {
    const ScopedVariable xdg("XDG_CONFIG_HOME", nullptr);
    EXPECT_EQ(ConfigPath(), "/home/lily/.config/sinter/config.json");
    const ScopedVariable no_home("HOME", "");
    EXPECT_EQ(ConfigPath(), "");
    EXPECT_EQ(ReadConfigFile().path, "");
  }
  const ScopedVariable xdg("XDG_CONFIG_HOME", "/xdg");
  EXPECT_EQ(ConfigPath(), "/xdg/sinter/config.json");
  EXPECT_EQ(ReadConfigFile().path, "") << "a file that is not there is none";
  const ScopedVariable named("SINTER_CONFIG", "/no/such/file.json");
  EXPECT_EQ(ConfigPath(), "/no/such/file.json");
  EXPECT_THROW(ReadConfigFile(), Error) << "a file that is named has to be there";
}

TEST(ConfigFileTest, TheVariableReplacesTheModelFoldersOfTheFile) {
  const ScopedVariable home("HOME", "/home/lily");
  const ConfigFile config = ParseConfigFile(R"({"models": ["/data"]})", "c.json");
  {
    const ScopedVariable none("SINTER_MODELS", nullptr);
    EXPECT_THAT(ModelFolders(config), ElementsAre("/data"));
  }
  const ScopedVariable models("SINTER_MODELS", ":/a:~/b::/c");
  EXPECT_THAT(ModelFolders(config), ElementsAre("/a", "/home/lily/b", "/c"));
  const ScopedVariable relative("SINTER_MODELS", "/a:rel");
  EXPECT_THROW(ModelFolders(config), Error) << "as in the file";
}

TEST(ConfigFileTest, NamesTheVariableOfAnOption) {
  EXPECT_EQ(VariableName("max-length"), "SINTER_MAX_LENGTH");
}

}  // namespace
}  // namespace sinter::cli
