#include "cli/prompt_lines.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/excerpt.h"
#include "base/json.h"
#include "cli/nearest.h"

namespace sinter::cli {
namespace {

using LineJson = nlohmann::ordered_json;

// Upper bound on a number of tokens.
constexpr int64_t kMostLineTokens = int64_t{1} << 30;

// Fields that ask for what is not there, and the one value of each that asks for nothing.
struct Neutral {
  std::string_view name;
  std::string_view json;
  std::string_view why;
};
constexpr std::array<Neutral, 12> kNeutral = {{
    {"n", "1", "each line has one answer"},
    {"best_of", "1", "each line has one answer"},
    {"stream", "false", "each answer is one line"},
    {"echo", "false", "answers do not repeat the prompt"},
    {"logprobs", "false", "answers have no log probabilities"},
    {"top_logprobs", "0", "answers have no log probabilities"},
    {"suffix", "\"\"", "text is not inserted"},
    {"response_format", R"({"type":"text"})", "answers are text"},
    {"tool_choice", "\"auto\"", "the model chooses"},
    {"parallel_tool_calls", "true", "the model chooses"},
    {"store", "false", "nothing is stored"},
    {"service_tier", "\"auto\"", "there is one"},
}};
// Fields that change nothing about an answer.
constexpr std::array<std::string_view, 4> kNotes = {"model", "user", "metadata",
                                                    "safety_identifier"};

// The fields of an object. Each is looked for once; those that nobody has looked for are errors.
class Fields {
 public:
  // `place` begins messages, such as "line 3".
  Fields(const LineJson& object, std::string place) : object_(object), place_(std::move(place)) {
    if (!object.is_object()) Fail("", Quote(object), "an object");
  }

  [[noreturn]] void Fail(std::string_view name, std::string_view got, std::string_view want) const {
    throw Error("cli", "{}: {}{}got {}, want {}", place_, name, name.empty() ? "" : ": ", got,
                want);
  }
  static std::string Quote(const LineJson& value) { return JsonExcerpt(nlohmann::json(value)); }

  // Returns the field; null if it is absent or null.
  const LineJson* Find(const char* name) {
    known_.emplace_back(name);
    const auto it = object_.find(name);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  std::optional<std::string> String(const char* name) {
    const LineJson* value = Find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) Fail(name, Quote(*value), "a string");
    return value->get<std::string>();
  }
  std::optional<int64_t> Int(const char* name, int64_t low, int64_t high) {
    const LineJson* value = Find(name);
    if (value == nullptr) return std::nullopt;
    const std::optional<int64_t> number = JsonInt(nlohmann::json(*value), low, high);
    if (!number) Fail(name, Quote(*value), fmt::format("a whole number from {} to {}", low, high));
    return number;
  }
  std::optional<double> Number(const char* name, double low, double high) {
    const LineJson* value = Find(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high))
      Fail(name, Quote(*value), fmt::format("a number from {} to {}", low, high));
    return value->get<double>();
  }

  // Refuses fields that ask for something that is not there.
  void RefuseWishes() {
    for (const Neutral& neutral : kNeutral) {
      const LineJson* value = Find(neutral.name.data());
      if (value == nullptr || *value == LineJson::parse(neutral.json)) continue;
      Fail(neutral.name, Quote(*value), fmt::format("{}: {}", neutral.json, neutral.why));
    }
    for (const std::string_view name : kNotes) known_.emplace_back(name);
  }
  // Refuses the fields that nobody has looked for.
  void RefuseOthers() const {
    for (const auto& [key, value] : object_.items()) {
      if (std::ranges::find(known_, key) != known_.end()) continue;
      Fail("field", fmt::format("\"{}\"", Excerpt(key)),
           "one that --batch knows" + Suggestion(key, known_));
    }
  }

 private:
  const LineJson& object_;
  std::string place_;
  std::vector<std::string> known_;
};

void ReadId(Fields& fields, PromptLine& line) {
  const LineJson* id = fields.Find("id");
  const LineJson* custom = fields.Find("custom_id");
  if (id != nullptr && custom != nullptr) fields.Fail("custom_id", "id, too", "one of them");
  if (custom != nullptr) id = custom;
  if (id == nullptr) return;
  if (!id->is_string() && !id->is_number_integer())
    fields.Fail(custom == nullptr ? "id" : "custom_id", Fields::Quote(*id),
                "a string or a whole number");
  line.id = *id;
}

void ReadStop(Fields& fields, PromptLine& line) {
  const LineJson* stop = fields.Find("stop");
  if (stop == nullptr) return;
  line.stop.emplace();
  const auto add = [&](const LineJson& text) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty())
      fields.Fail("stop", Fields::Quote(text), "a string that is not empty, or an array of them");
    line.stop->push_back(text.get<std::string>());
  };
  if (!stop->is_array()) return add(*stop);
  for (const LineJson& text : *stop) add(text);
}

void ReadBias(Fields& fields, PromptLine& line) {
  const LineJson* biases = fields.Find("logit_bias");
  if (biases == nullptr) return;
  if (!biases->is_object())
    fields.Fail("logit_bias", Fields::Quote(*biases), "an object of token ids and numbers");
  for (const auto& [key, bias] : biases->items()) {
    const bool digits =
        !key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) fields.Fail("logit_bias", fmt::format("\"{}\"", Excerpt(key)), "token ids");
    if (!bias.is_number() || !(std::abs(bias.get<double>()) <= 100))
      fields.Fail("logit_bias", Fields::Quote(bias), "numbers from -100 to 100");
    line.logit_bias.emplace_back(std::stoi(key), bias.get<float>());
  }
}

// Reads the prompt: text, tokens or messages.
void ReadInput(Fields& fields, PromptLine& line) {
  const LineJson* prompt = fields.Find("prompt");
  const LineJson* messages = fields.Find("messages");
  if (prompt != nullptr && messages != nullptr)
    fields.Fail("prompt", "messages, too", "one of them");
  if (prompt == nullptr && messages == nullptr) fields.Fail("prompt", "none", "one, or messages");
  if (messages != nullptr) {
    if (!messages->is_array() || messages->empty())
      fields.Fail("messages", Fields::Quote(*messages), "an array of at least one message");
    line.messages = *messages;
    return;
  }
  if (prompt->is_string()) {
    line.prompt = prompt->get<std::string>();
    return;
  }
  if (!prompt->is_array() || prompt->empty())
    fields.Fail("prompt", Fields::Quote(*prompt), "a string, or an array of token ids");
  for (const LineJson& token : *prompt) {
    const std::optional<int64_t> id = JsonInt(nlohmann::json(token), 0, INT32_MAX);
    if (!id) fields.Fail("prompt", Fields::Quote(token), "token ids (one prompt in each line)");
    line.tokens.push_back(static_cast<int32_t>(*id));
  }
}

void ReadMaxTokens(Fields& fields, PromptLine& line) {
  const char* given = nullptr;
  for (const char* name : {"max_tokens", "max_completion_tokens", "max_new_tokens"}) {
    const std::optional<int64_t> value = fields.Int(name, 1, kMostLineTokens);
    if (!value) continue;
    if (given != nullptr) fields.Fail(name, fmt::format("{}, too", given), "one of them");
    given = name;
    line.max_tokens = value;
  }
}

// Reads the prompt and the options.
void ReadRequest(Fields& fields, PromptLine& line) {
  ReadInput(fields, line);
  ReadMaxTokens(fields, line);
  line.min_tokens = fields.Int("min_tokens", 0, kMostLineTokens);
  line.temperature = fields.Number("temperature", 0, 1e6);
  line.top_p = fields.Number("top_p", 0, 1);
  line.min_p = fields.Number("min_p", 0, 1);
  line.top_k = fields.Int("top_k", 0, 1 << 30);
  line.repetition_penalty = fields.Number("repetition_penalty", 1e-3, 1e3);
  line.presence_penalty = fields.Number("presence_penalty", -100, 100).value_or(0);
  line.frequency_penalty = fields.Number("frequency_penalty", -100, 100).value_or(0);
  if (const auto seed = fields.Int("seed", 0, UINT32_MAX)) line.seed = static_cast<uint32_t>(*seed);
  ReadStop(fields, line);
  ReadBias(fields, line);
  const bool chat = line.messages.is_array();
  if (const LineJson* tools = fields.Find("tools")) {
    if (!chat) fields.Fail("tools", "a prompt", "messages");
    line.tools = *tools;
  }
  if (const LineJson* arguments = fields.Find("chat_template_kwargs")) {
    if (!arguments->is_object())
      fields.Fail("chat_template_kwargs", Fields::Quote(*arguments), "an object");
    for (const auto& [key, value] : arguments->items()) {
      if (key == "messages" || key == "tools")
        fields.Fail("chat_template_kwargs", fmt::format("\"{}\"", key), "other names");
      line.arguments[key] = value.dump();
    }
  }
  fields.RefuseWishes();
}

void ReadLine(const LineJson& json, const std::string& place, PromptLine& line) {
  Fields fields(json, place);
  ReadId(fields, line);
  const LineJson* body = fields.Find("body");
  if (body == nullptr) {
    ReadRequest(fields, line);
    line.system = fields.String("system");
    if (line.system && !line.prompt) fields.Fail("system", "no text as prompt", "one");
    return fields.RefuseOthers();
  }
  const std::string method = fields.String("method").value_or("POST");
  if (method != "POST") fields.Fail("method", Fields::Quote(method), "\"POST\"");
  const std::string chat_path = "/v1/chat/completions", prompt_path = "/v1/completions";
  const std::optional<std::string> url = fields.String("url");
  if (url && *url != chat_path && *url != prompt_path) {
    fields.Fail("url", Fields::Quote(*url),
                fmt::format("\"{}\" or \"{}\"", chat_path, prompt_path));
  }
  Fields request(*body, place + ": body");
  ReadRequest(request, line);
  const bool chat = line.messages.is_array();
  const std::string& path = chat ? chat_path : prompt_path;
  if (url && *url != path) {
    fields.Fail("url", Fields::Quote(*url),
                fmt::format("\"{}\" for {}", path, chat ? "messages" : "a prompt"));
  }
  line.raw = !chat;
  request.RefuseOthers();
  fields.RefuseOthers();
}

// Parses one line. Messages name the line and the column.
LineJson ParseLine(std::string_view text, const std::string& place) {
  try {
    return ParseOrderedJson(text, "cli", place);
  } catch (const Error& error) {
    const Failure failure = ToFailure(error);
    const std::string first = place + ": line 1, column";
    if (!failure.message.starts_with(first)) throw;
    throw Error("cli", "{}, column{}", place, failure.message.substr(first.size()));
  }
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r") == std::string_view::npos;
}

// Calls `each` with the number and the text of each line that is not blank.
template <typename Each>
void ForEachLine(std::string_view text, const Each& each) {
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (!IsBlank(text.substr(0, end))) each(number, text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

PromptLine ReadPromptLine(std::string_view text, int64_t number) {
  PromptLine line;
  line.number = number;
  try {
    const std::string place = fmt::format("line {}", number);
    ReadLine(ParseLine(text, place), place, line);
  } catch (const Error& error) {
    line.failure = ToFailure(error);
  }
  return line;
}

std::vector<PromptLine> ReadPromptLines(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<PromptLine> lines;
  std::map<std::string, int64_t> ids;
  ForEachLine(text, [&](int64_t number, std::string_view line) {
    lines.push_back(ReadPromptLine(line, number));
    PromptLine& read = lines.back();
    if (read.id.is_null()) return;
    const auto [earlier, is_new] = ids.emplace(read.id.dump(), number);
    if (is_new) return;
    read.failure =
        Failure{"cli", fmt::format("line {}: id: got {}, which line {} has, want another", number,
                                   Fields::Quote(read.id), earlier->second)};
  });
  return lines;
}

EarlierAnswers ReadAnswers(std::string_view text, std::string_view file) {
  EarlierAnswers answers;
  answers.whole_bytes = text.rfind('\n') == std::string_view::npos ? 0 : text.rfind('\n') + 1;
  std::map<std::string, bool> answered;
  ForEachLine(text.substr(0, answers.whole_bytes), [&](int64_t number, std::string_view line) {
    const std::string place = fmt::format("{}: line {}", file, number);
    const LineJson json = ParseLine(line, place);
    const bool is_answer = json.is_object() && json.contains("id") &&
                           (json.contains("text") || json.contains("error"));
    if (!is_answer) {
      throw Error("cli", "{}: got {}, want an answer that sinter run --batch wrote", place,
                  Fields::Quote(json));
    }
    if (!json["id"].is_null()) answered[json["id"].dump()] |= json.contains("text");
  });
  for (auto& [id, is_answer] : answered) {
    if (is_answer) answers.answered.push_back(id);
  }
  return answers;
}

}  // namespace sinter::cli
