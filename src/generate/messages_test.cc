#include "generate/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace sinter::generate {
namespace {

using ::testing::ElementsAre;

constexpr char kParts[] = R"([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])";

std::string Message(const std::string& role, const std::string& content_json) {
  return R"({"role": ")" + role + R"(", "content": )" + content_json + "}";
}

TEST(Messages, MakeMessage) {
  EXPECT_EQ(MakeMessage("user", "a\"\n\xFF"), "{\"role\":\"user\",\"content\":\"a\\\"\\n\uFFFD\"}");
}

TEST(Messages, FromJson) {
  EXPECT_THAT(MessagesFromJson(R"([{"role": "user", "content": "a", "name": 1}])", "file"),
              ElementsAre(R"({"role":"user","content":"a","name":1})"));
  const auto error = [](const char* json) {
    try {
      MessagesFromJson(json, "file");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(error("{}"), "[generate] file: got object, want an array of messages");
  EXPECT_EQ(error(R"([{"role": "a"}, {"role": 1}])"),
            "[generate] file[1]: got {\"role\":1}, want an object with a role that is a string");
  EXPECT_EQ(error("[1]"), "[generate] file[0]: got 1, want an object with a role that is a string");
  EXPECT_NE(error("["), "");
}

TEST(Messages, PartsBecomeAStringWhereTheTemplateDoesNotReadThem) {
  const auto plain = text::ChatTemplate::FromSource(
      "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}");
  EXPECT_THAT(WithReadableContent(plain, {Message("user", kParts), Message("user", "\"c\"")}),
              ElementsAre(R"({"role":"user","content":"a\nb"})", Message("user", "\"c\"")));
  // What is not text stays, and so do the other fields.
  const Messages kept = {Message("user", R"([{"type": "image"}])"), Message("user", "[]"),
                         Message("assistant", "null"), R"({"role": "assistant"})"};
  EXPECT_EQ(WithReadableContent(plain, kept), kept);
  EXPECT_EQ(RenderMessages(plain, {MakeMessage("user", "a"), MakeMessage("assistant", "b")}),
            "user:a;assistant:b;");
}

TEST(Messages, PartsStayWhereTheTemplateReadsThem) {
  // Reads parts of the user only.
  const auto reader = text::ChatTemplate::FromSource(
      "{% for m in messages %}{% if m.content is string or m.role != 'user' %}{{ m.content }}"
      "{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %};{% endfor %}");
  const Messages messages =
      WithReadableContent(reader, {Message("system", kParts), Message("user", kParts)});
  EXPECT_EQ(RenderMessages(reader, messages), "a\nb;ab;");
  // A template that takes no string at all gives no reason to keep a list either.
  const auto refuses = text::ChatTemplate::FromSource("{{ raise_exception('no') }}");
  EXPECT_THAT(WithReadableContent(refuses, {Message("user", kParts)}),
              ElementsAre(R"({"role":"user","content":"a\nb"})"));
}

}  // namespace
}  // namespace sinter::generate
