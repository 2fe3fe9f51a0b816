#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "text/testing.h"

namespace sinter::text {
namespace {

const std::vector<ChatMessage> kHello = {{"system", "Be brief."}, {"user", "Hi!"}};

std::string Render(const std::string& source, const ChatTemplateOptions& options = {},
                   const std::vector<ChatMessage>& messages = kHello) {
  return ChatTemplate::FromSource(source, {{"bos_token", "<s>"}, {"eos_token", "</s>"}})
      .Render(messages, options);
}

TEST(ChatTemplate, ChatMl) {
  const std::string source =
      "{% for m in messages %}<|im_start|>{{m.role}}\n{{m.content}}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  EXPECT_EQ(Render(source),
            "<|im_start|>system\nBe "
            "brief.<|im_end|>\n<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(Render(source, {.add_generation_prompt = false}, {}), "");
}

// Llama 2's template: bos and eos, loop controls, raise_exception, trimming.
TEST(ChatTemplate, RolesMustAlternate) {
  const std::string source = R"({%- for message in messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
      {{- raise_exception('Conversation roles must alternate') -}}
    {%- endif -%}
    {%- if message['role'] == 'user' -%}
      {{- bos_token + '[INST] ' + message['content'] | trim + ' [/INST]' -}}
    {%- else -%}
      {{- ' ' + message['content'] + ' ' + eos_token -}}
    {%- endif -%}
  {%- endfor -%})";
  EXPECT_EQ(Render(source, {}, {{"user", " a "}, {"assistant", "b"}, {"user", "c"}}),
            "<s>[INST] a [/INST] b </s><s>[INST] c [/INST]");
  EXPECT_ERROR(Render(source, {}, {{"user", "a"}, {"user", "b"}}),
               "[chat_template] rendering, line 3: Conversation roles must alternate");
}

TEST(ChatTemplate, ToolsAndContext) {
  ChatTemplateOptions options;
  options.tools_json = R"([{"type":"function","function":{"name":"add"}}])";
  options.arguments = {{"enable_thinking", "false"}};
  EXPECT_EQ(
      Render("{% if tools %}{{ tools[0].function.name }}{% endif %} {{ enable_thinking is false }}",
             options),
      "add True");
  // transformers passes None for tools and documents that are not given.
  EXPECT_EQ(Render("{{ tools }}|{{ documents }}|{{ enable_thinking is defined }}"),
            "None|None|False");
  EXPECT_EQ(Render("{{ tools | tojson }}", options),
            R"([{"type": "function", "function": {"name": "add"}}])");
  options.tools_json = "{";
  EXPECT_ERROR(Render("", options), "tools: got no valid JSON");
  options.tools_json = "";
  options.arguments = {{"x", "{"}};
  EXPECT_ERROR(Render("", options), "argument \"x\": got no valid JSON");
}

TEST(ChatTemplate, MessagesAsJson) {
  const ChatTemplate chat = ChatTemplate::FromSource("{{ messages[0].tool_calls[0].name }}");
  EXPECT_EQ(chat.RenderJson(R"([{"role":"assistant","tool_calls":[{"name":"add"}]}])"), "add");
  EXPECT_ERROR(chat.RenderJson("{}"), "messages: got object, want an array of messages");
  EXPECT_ERROR(chat.RenderJson("{"), "messages: got no valid JSON");
  EXPECT_ERROR(chat.RenderJson(std::string_view("[]\0[]", 5)), "messages: got a NUL byte");
}

TEST(ChatTemplate, StrftimeNow) {
  ChatTemplateOptions options;
  std::tm noon = {};
  noon.tm_year = 126, noon.tm_mon = 10, noon.tm_mday = 20, noon.tm_hour = 12;
  options.now = std::chrono::system_clock::from_time_t(std::mktime(&noon));
  EXPECT_EQ(Render("{{ strftime_now('%d %b %Y') }}", options), "20 Nov 2026");
  EXPECT_ERROR(Render("{{ strftime_now() }}"),
               "strftime_now() missing the required argument 'format'");
}

TEST(ChatTemplate, IllFormedContent) {
  EXPECT_EQ(Render("{{ messages[0].content }}", {}, {{"user", "a\xFF"}}), "a\uFFFD");
  EXPECT_EQ(Render("{{ messages[0].content | tojson }}", {}, {{"user", "\xFF"}}), "\"\uFFFD\"");
  // Braces in the content are data, not template code.
  EXPECT_EQ(Render("{{ messages[0].content }}", {}, {{"user", "{{ 1 }}"}}), "{{ 1 }}");
}

TEST(ChatTemplate, Macros) {
  EXPECT_EQ(Render("{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{{ twice('ab') }}"), "abab");
}

TEST(ChatTemplate, ErrorsNameTheLine) {
  for (const char* source : {"{% if %}", "{{ 1 + }}", "{% for x in %}{% endfor %}", "{% endif %}",
                             "{{ 'a", "{% if 1 %}", "{# never closed"}) {
    EXPECT_ERROR(Render(source), "[chat_template] template, line 1: ");
  }
  EXPECT_ERROR(Render("\n\n{{ messages.nothing.more }}"),
               "[chat_template] rendering, line 3: 'list object' has no attribute 'nothing'");
  EXPECT_ERROR(Render("{{ raise_exception('x' * 1000) }}"), std::string(400, 'x'));
}

TEST(ChatTemplate, HostileTemplatesEndInAnError) {
  EXPECT_ERROR(Render("{% for m in messages recursive %}{{ loop([1]) }}{% endfor %}"), "too deep");
  EXPECT_ERROR(Render("{{ 7 % (messages|length - 2) }}"), "modulo by zero");
  EXPECT_ERROR(Render("{{ 'a'.split('') }}"), "empty separator");
  EXPECT_EQ(Render("a" + std::string(50'000, ' ') + "{%- if 1 %}b{% endif %}"), "ab");
}

class ChatTemplateFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              fmt::format("sinter_chat_{}_{}", getpid(),
                          testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void Write(const char* name, const std::string& content) const {
    std::ofstream(folder_ / name) << content;
  }

  std::filesystem::path folder_;
};

TEST_F(ChatTemplateFolder, JinjaFileComesFirst) {
  EXPECT_FALSE(ChatTemplate::FromFolder(folder_));
  Write("tokenizer_config.json", R"({"bos_token":"<s>","eos_token":{"content":"</s>"}})");
  EXPECT_FALSE(ChatTemplate::FromFolder(folder_));
  Write(
      "tokenizer_config.json",
      R"({"bos_token":"<s>","eos_token":{"content":"</s>"},"chat_template":"config{{eos_token}}"})");
  EXPECT_EQ(ChatTemplate::FromFolder(folder_)->Render(kHello), "config</s>");
  Write("chat_template.jinja", "file{{bos_token}}{{eos_token}}\n");
  EXPECT_EQ(ChatTemplate::FromFolder(folder_)->Render(kHello), "file<s></s>");
  Write("other.jinja", "other{{eos_token}}");
  EXPECT_EQ(ChatTemplate::FromFile(folder_ / "other.jinja", folder_).Render(kHello), "other</s>");
  EXPECT_ERROR(ChatTemplate::FromFile(folder_ / "none", folder_),
               "none: got no such file, want a chat template");
  // A link that leads nowhere does not count as a folder without a template.
  std::filesystem::remove(folder_ / "chat_template.jinja");
  std::filesystem::create_symlink("nothing", folder_ / "chat_template.jinja");
  EXPECT_ERROR(ChatTemplate::FromFolder(folder_), "chat_template.jinja: got no such file");
}

TEST_F(ChatTemplateFolder, SpecialTokens) {
  Write("chat_template.jinja",
        "{{ bos_token is defined }} {{ eos_token is defined }} {{ pad_token }} {{ unk_token }}");
  EXPECT_EQ(ChatTemplate::FromFolder(folder_)->Render(kHello), "True True  ");
  Write("tokenizer_config.json", R"({"bos_token":null,"pad_token":"<pad>"})");
  EXPECT_EQ(ChatTemplate::FromFolder(folder_)->Render(kHello), "False True <pad> ");
}

TEST_F(ChatTemplateFolder, NamedTemplates) {
  Write(
      "tokenizer_config.json",
      R"({"chat_template":[{"name":"default","template":"d"},{"name":"tool_use","template":"t"}]})");
  EXPECT_EQ(ChatTemplate::FromFolder(folder_)->Render(kHello), "d");
  EXPECT_EQ(ChatTemplate::FromFolder(folder_, "tool_use")->Render(kHello), "t");
  EXPECT_ERROR(ChatTemplate::FromFolder(folder_, "rag"),
               "got the templates default, tool_use, want one named rag");
}

TEST_F(ChatTemplateFolder, Errors) {
  Write("tokenizer_config.json", "{");
  EXPECT_ERROR(ChatTemplate::FromFolder(folder_), "tokenizer_config.json: line 1, column ");
  Write("tokenizer_config.json", "[]");
  EXPECT_ERROR(ChatTemplate::FromFolder(folder_), "got array, want an object");
  Write("tokenizer_config.json", R"({"chat_template":7})");
  EXPECT_ERROR(ChatTemplate::FromFolder(folder_), "\"chat_template\": got number");
  Write("tokenizer_config.json", R"({"chat_template":[{"name":"default"}]})");
  EXPECT_ERROR(ChatTemplate::FromFolder(folder_), "entry without the strings");
  Write("tokenizer_config.json", R"({"chat_template":"","bos_token":[]})");
  EXPECT_ERROR(ChatTemplate::FromFolder(folder_), "field \"bos_token\": got array, want a string");
  std::filesystem::create_directory(folder_ / "chat_template.jinja");
  Write("tokenizer_config.json", "{}");
  EXPECT_ERROR(ChatTemplate::FromFolder(folder_), "chat_template.jinja: got a directory");
}

}  // namespace
}  // namespace sinter::text
