// Tests of the C library and its C++ face on a device: what each function promises, and what it
// refuses. Only through their headers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sinter/sinter.hpp>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>
#include <set>
#include <sstream>

namespace {

using sinter::Device;
using sinter::Engine;
using sinter::Model;
using sinter::Request;
using sinter::Tensor;
using std::chrono::milliseconds;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kSum[] = "What is 7 + 8?";

// Returns the status and the message of the sinter::Error that `call` throws.
template <typename Call>
std::pair<sinter_status, std::string> Failure(Call&& call) {
  try {
    call();
  } catch (const sinter::Error& error) {
    return {error.status(), error.what()};
  }
  return {SINTER_OK, ""};
}

const Device& TheDevice() {
  static const Device device(std::getenv("SINTER_TEST_DEVICE") ? std::getenv("SINTER_TEST_DEVICE")
                                                               : "");
  return device;
}

const Model& Demo() {
  static const Model model(SINTER_DEMO_MODEL);
  return model;
}

std::vector<std::string>& LogLines() {
  static std::vector<std::string> lines;
  return lines;
}

sinter_engine_options SmallEngine() {
  sinter_engine_options options = SINTER_ENGINE_OPTIONS_INIT;
  options.max_batch = 2;
  options.max_length = 128;
  options.kv_tokens = 512;
  options.queue = 3;
  return options;
}

Engine& TheEngine() {
  static Engine engine = [] {
    sinter_engine_options options = SmallEngine();
    options.log = [](void* user, int32_t, const char* line) {
      static_cast<std::vector<std::string>*>(user)->emplace_back(line);
    };
    options.log_user = &LogLines();
    return Engine(Demo(), &TheDevice(), &options);
  }();
  return engine;
}

sinter_request_options Greedy(int64_t max_tokens = 20) {
  sinter_request_options options = SINTER_REQUEST_OPTIONS_INIT;
  options.temperature = 0;
  options.max_tokens = max_tokens;
  return options;
}

// Takes all events and returns the last one; adds the text and the tokens.
sinter_event Drain(Request& request, std::string& text, std::vector<int32_t>* tokens = nullptr) {
  for (;;) {
    const sinter_event event = *request.Next();
    text.append(event.text, event.text_bytes);
    for (size_t i = 0; tokens != nullptr && i < event.token_count; ++i)
      tokens->push_back(event.tokens[i].token);
    if (event.finish != SINTER_FINISH_NONE) return event;
  }
}

TEST(Library, Versions) {
  EXPECT_EQ(sinter_abi_version(), uint32_t{SINTER_ABI_VERSION});
  EXPECT_STREQ(sinter_version(), SINTER_TEST_VERSION);
  EXPECT_STREQ(sinter_status_name(SINTER_QUEUE_FULL), "SINTER_QUEUE_FULL");
  EXPECT_STREQ(sinter_status_name(99), "unknown");
  EXPECT_STREQ(sinter_error_message(nullptr), "");
  EXPECT_EQ(sinter_error_status(nullptr), SINTER_OK);
  sinter_error_free(nullptr);
  sinter_device_free(nullptr);
  sinter_model_free(nullptr);
  sinter_engine_free(nullptr);
  sinter_request_free(nullptr);
  sinter_request_cancel(nullptr);
  sinter_tensor_free(nullptr);
}

TEST(Library, NullIsRefusedByName) {
  sinter_error* error = nullptr;
  EXPECT_EQ(sinter_model_open("x", nullptr, nullptr, &error), SINTER_INVALID_ARGUMENT);
  EXPECT_THAT(sinter_error_message(error), HasSubstr("model: got NULL"));
  EXPECT_EQ(sinter_error_status(error), SINTER_INVALID_ARGUMENT);
  sinter_error_free(error);
  // Nobody needs to take the error.
  sinter_model* model = nullptr;
  EXPECT_EQ(sinter_model_open(nullptr, nullptr, &model, nullptr), SINTER_INVALID_ARGUMENT);
  EXPECT_EQ(sinter_engine_submit(nullptr, nullptr, nullptr, nullptr), SINTER_INVALID_ARGUMENT);
  EXPECT_EQ(sinter_request_next(nullptr, 0, nullptr, nullptr), SINTER_INVALID_ARGUMENT);
}

TEST(Library, StructsOfOtherVersions) {
  // Without a size.
  sinter_device_options none = {};
  EXPECT_THAT(Failure([&] { Device device(none); }).second, HasSubstr("options.size: got 0"));
  // Longer than the library knows: fine while the rest is zeros.
  struct Longer {
    sinter_conversation known = SINTER_CONVERSATION_INIT;
    int64_t more = 0;
  } longer;
  longer.known.size = sizeof(longer);
  longer.known.messages_json = R"([{"role": "user", "content": "Hi"}])";
  const std::string prompt = Demo().ApplyTemplate(longer.known);
  longer.more = 1;
  EXPECT_EQ(Failure([&] { Demo().ApplyTemplate(longer.known); }).first, SINTER_INVALID_ARGUMENT);
  // Shorter, as an older program has it: what it lacks has its default.
  longer.known.size = offsetof(sinter_conversation, arguments_json);
  longer.known.arguments_json = "no JSON";
  EXPECT_EQ(Demo().ApplyTemplate(longer.known), prompt);
  sinter_model_info info = {};
  info.size = offsetof(sinter_model_info, vocabulary);
  info.vocabulary = -7;
  ASSERT_EQ(sinter_model_get_info(Demo().get(), &info, nullptr), SINTER_OK);
  EXPECT_STREQ(info.type, Demo().info().type);
  EXPECT_EQ(info.vocabulary, -7) << "written past the caller's struct";
}

TEST(Library, Devices) {
  const std::vector<sinter::DeviceInfo> infos = Device::List();
  ASSERT_THAT(infos, Not(IsEmpty()));
  std::vector<std::string> names;
  for (const sinter::DeviceInfo& info : infos) names.push_back(info.name);
  EXPECT_THAT(names, Contains(TheDevice().info().name));
  const auto failure = Failure([] { Device device("no such adapter"); });
  EXPECT_EQ(failure.first, SINTER_ERROR);
  EXPECT_THAT(failure.second, HasSubstr(names[0]));
}

TEST(Library, Models) {
  const sinter_model_info info = Demo().info();
  EXPECT_GT(info.context_length, 0);
  EXPECT_GT(info.vocabulary, 100);
  EXPECT_GT(info.weight_bytes, uint64_t{1000000});
  EXPECT_EQ(info.has_template, 1);
  const auto failure = Failure([] { Model model("/nowhere"); });
  EXPECT_EQ(failure.first, SINTER_ERROR);
  EXPECT_THAT(failure.second, StartsWith("[model] '/nowhere'"));
}

// The bundled model's files, kept in memory.
class Files {
 public:
  sinter_files callbacks() { return {sizeof(sinter_files), this, GetBytes, Read}; }

  std::set<std::string> missing;
  int reads_until_failure = -1;
  int reads = 0;

 private:
  static int GetBytes(void* user, const char* name, uint64_t* bytes) {
    auto& self = *static_cast<Files*>(user);
    if (self.missing.count(name) != 0) return 1;
    std::ifstream file(std::string(SINTER_DEMO_MODEL) + "/" + name, std::ios::binary);
    if (!file) return 1;
    std::ostringstream content;
    content << file.rdbuf();
    self.contents_[name] = content.str();
    *bytes = self.contents_[name].size();
    return 0;
  }
  static int Read(void* user, const char* name, uint64_t offset, uint64_t bytes, void* out) {
    auto& self = *static_cast<Files*>(user);
    if (self.reads_until_failure == self.reads++) return -5;
    std::memcpy(out, self.contents_.at(name).data() + offset, bytes);
    return 0;
  }
  std::map<std::string, std::string> contents_;
};

TEST(Library, ModelsFromCallbacks) {
  Files files;
  const sinter_files callbacks = files.callbacks();
  sinter_model_options options = SINTER_MODEL_OPTIONS_INIT;
  options.files = &callbacks;
  {
    const Model model("in memory", &options);
    EXPECT_EQ(model.info().weight_bytes, Demo().info().weight_bytes);
    EXPECT_EQ(model.info().has_template, 1);
    const sinter_engine_options small = SmallEngine();
    for (int i = 0; i < 2; ++i) {
      Engine engine(model, &TheDevice(), &small);
      EXPECT_EQ(engine.Submit({{"user", kSum}}, Greedy()).Text(), "7 + 8 = 15.");
    }
  }
  const auto error = [&] { return Failure([&] { Model model("in memory", &options); }).second; };
  for (const int reads : {0, 1, 2, 3}) {
    files.reads = 0;
    files.reads_until_failure = reads;
    EXPECT_THAT(error(), HasSubstr("got -5 from read"));
  }
  files.reads_until_failure = -1;
  for (const char* name : {"genai_config.json", "model.onnx", "tokenizer.json"}) {
    files.missing = {name};
    EXPECT_THAT(error(), HasSubstr(std::string("in memory/") + name));
  }
  sinter_files none = {};
  none.size = sizeof(none);
  options.files = &none;
  EXPECT_THAT(error(), HasSubstr("files.get_bytes: got NULL"));
}

TEST(Library, TokensAndText) {
  const std::string text = "Once upon a time, there was a girl.";
  const std::vector<int32_t> tokens = Demo().Tokenize(text);
  ASSERT_GT(tokens.size(), 3U);
  EXPECT_EQ(Demo().Detokenize(tokens), text);
  EXPECT_THAT(Demo().Tokenize(""), IsEmpty());
  EXPECT_EQ(Demo().Detokenize({}), "");
  std::string longer;
  for (int i = 0; i < 50; ++i) longer += text;
  EXPECT_EQ(Demo().Detokenize(Demo().Tokenize(longer)), longer);

  // Too little room tells how much is wanted, and keeps within what there is.
  std::vector<int32_t> few(tokens.size(), -1);
  size_t count = 0;
  EXPECT_EQ(sinter_model_tokenize(Demo().get(), text.data(), text.size(), 0, few.data(), 2, &count,
                                  nullptr),
            SINTER_TOO_SMALL);
  EXPECT_EQ(count, tokens.size());
  EXPECT_EQ(few[1], tokens[1]);
  EXPECT_EQ(few[2], -1);
  std::string exact(text.size() + 1, 'x');
  size_t bytes = 0;
  EXPECT_EQ(sinter_model_detokenize(Demo().get(), tokens.data(), tokens.size(), 1, exact.data(),
                                    text.size(), &bytes, nullptr),
            SINTER_TOO_SMALL);
  EXPECT_EQ(bytes, text.size());
  EXPECT_EQ(sinter_model_detokenize(Demo().get(), tokens.data(), tokens.size(), 1, exact.data(),
                                    text.size() + 1, &bytes, nullptr),
            SINTER_OK);
  EXPECT_STREQ(exact.c_str(), text.c_str());
}

TEST(Library, Conversations) {
  const sinter_message messages[] = {{"user", kSum}};
  sinter_conversation list = SINTER_CONVERSATION_INIT, json = SINTER_CONVERSATION_INIT;
  list.messages = messages;
  list.message_count = 1;
  json.messages_json =
      R"([{"role": "user", "content": [{"type": "text", "text": "What is 7 + 8?"}]}])";
  EXPECT_THAT(Demo().ApplyTemplate(list), HasSubstr(kSum));
  EXPECT_EQ(Demo().ApplyTemplate(json), Demo().ApplyTemplate(list));
  const auto error = [](const sinter_conversation& given) {
    return Failure([&] { Demo().ApplyTemplate(given); }).second;
  };
  json.messages = messages;
  json.message_count = 1;
  EXPECT_THAT(error(json), HasSubstr("got both"));
  EXPECT_THAT(error(SINTER_CONVERSATION_INIT), HasSubstr("got none"));
  list.tools_json = "{}";
  EXPECT_THAT(error(list), HasSubstr("tools_json: got object"));
  list.tools_json = nullptr;
  list.arguments_json = "[1]";
  EXPECT_THAT(error(list), HasSubstr("arguments_json: got array"));
  json = SINTER_CONVERSATION_INIT;
  json.messages_json = "[{]";
  EXPECT_THAT(error(json), HasSubstr("messages_json"));
}

TEST(Library, Answers) {
  std::string text;
  std::vector<int32_t> tokens;
  Request request = TheEngine().Submit({{"user", kSum}}, Greedy());
  const sinter_event last = Drain(request, text, &tokens);
  EXPECT_EQ(text, "7 + 8 = 15.");
  EXPECT_EQ(last.finish, SINTER_FINISH_END_TOKEN);
  EXPECT_EQ(last.generated_tokens, static_cast<int64_t>(tokens.size()));
  EXPECT_GT(last.prompt_tokens, 5);
  EXPECT_THAT(LogLines(), Contains(HasSubstr("loaded in")));
  // The last event stays.
  EXPECT_EQ(request.Next(milliseconds(0))->finish, SINTER_FINISH_END_TOKEN);
  EXPECT_EQ(request.Next()->text_bytes, 0U);

  // The same prompt as text and as tokens.
  sinter_conversation conversation = SINTER_CONVERSATION_INIT;
  const sinter_message message = {"user", kSum};
  conversation.messages = &message;
  conversation.message_count = 1;
  const std::vector<int32_t> prompt = Demo().Tokenize(Demo().ApplyTemplate(conversation));
  EXPECT_EQ(last.prompt_tokens, static_cast<int64_t>(prompt.size()));
  sinter_request_options options = Greedy();
  options.tokens = prompt.data();
  options.token_count = prompt.size();
  EXPECT_EQ(TheEngine().Submit(options).Text(), text);
}

TEST(Library, FinishReasons) {
  const auto finish = [](sinter_request_options options, std::string* text = nullptr) {
    std::string ignored;
    Request request = TheEngine().Submit({{"user", kSum}}, options);
    return Drain(request, text == nullptr ? ignored : *text).finish;
  };
  EXPECT_EQ(finish(Greedy(3)), SINTER_FINISH_MAX_TOKENS);
  std::string text;
  sinter_request_options stopped = Greedy();
  const char* const stop[] = {"never", "= 1"};
  stopped.stop = stop;
  stopped.stop_count = 2;
  EXPECT_EQ(finish(stopped, &text), SINTER_FINISH_STOP);
  EXPECT_EQ(text, "7 + 8 ");
  // No token is an end token but one that does not come.
  sinter_request_options endless = Greedy(0);
  const int32_t end = 0;
  endless.end_tokens = &end;
  endless.end_token_count = 1;
  EXPECT_EQ(finish(endless), SINTER_FINISH_MAX_LENGTH);

  Request cancelled = TheEngine().Submit({{"user", "Write a story."}}, Greedy(100));
  EXPECT_NO_THROW(cancelled.Text([](std::string_view) { return false; }));
  EXPECT_THAT(cancelled.Next()->finish, AnyOf(SINTER_FINISH_CANCELLED, SINTER_FINISH_END_TOKEN));
}

TEST(Library, LogProbabilities) {
  sinter_request_options options = Greedy(4);
  options.log_probs = 2;
  Request request = TheEngine().Submit({{"user", kSum}}, options);
  int tokens = 0;
  for (sinter_event event = SINTER_EVENT_INIT; event.finish == SINTER_FINISH_NONE;) {
    event = *request.Next();
    for (size_t i = 0; i < event.token_count; ++i, ++tokens) {
      const sinter_token& token = event.tokens[i];
      ASSERT_EQ(token.likeliest_count, 2U);
      // Greedy choice takes the likeliest.
      EXPECT_EQ(token.likeliest[0].token, token.token);
      EXPECT_FLOAT_EQ(token.likeliest[0].log_prob, token.log_prob);
      EXPECT_LE(token.likeliest[1].log_prob, token.log_prob);
      EXPECT_LE(token.log_prob, 0);
    }
  }
  EXPECT_EQ(tokens, 4);
  options.log_probs = -1;
  Request none = TheEngine().Submit({{"user", kSum}}, options);
  const sinter_event event = *none.Next();
  ASSERT_GE(event.token_count, 1U);
  EXPECT_TRUE(std::isnan(event.tokens[0].log_prob));
  EXPECT_EQ(event.tokens[0].likeliest_count, 0U);
}

TEST(Library, MasksAndBiases) {
  // Only one token is allowed.
  static const int32_t kOnly = Demo().Tokenize("7")[0];
  sinter_request_options options = Greedy(3);
  int calls = 0;
  options.mask = [](void* user, uint32_t* allowed, size_t words) {
    ++*static_cast<int*>(user);
    for (size_t i = 0; i < words; ++i) allowed[i] = 0;
    allowed[kOnly / 32] = 1U << (kOnly % 32);
  };
  options.mask_user = &calls;
  EXPECT_EQ(TheEngine().Submit({{"user", kSum}}, options).Text(), "777");
  EXPECT_GE(calls, 3);
  options = Greedy(3);
  const sinter_token_bias bias = {kOnly, 1000};
  options.logit_bias = &bias;
  options.logit_bias_count = 1;
  EXPECT_EQ(TheEngine().Submit({{"user", kSum}}, options).Text(), "777");
}

TEST(Library, RequestsThatCannotRunAreRefused) {
  const auto error = [](const sinter_request_options& options) {
    return Failure([&] { TheEngine().Submit(options); });
  };
  EXPECT_THAT(error(Greedy()).second, HasSubstr("got 0 of prompt, tokens and messages"));
  sinter_request_options options = Greedy();
  options.prompt = "a";
  options.top_p = 1.5;
  EXPECT_THAT(error(options).second, HasSubstr("top_p: got 1.5"));
  options = Greedy(-1);
  options.prompt = "a";
  EXPECT_EQ(error(options).first, SINTER_ERROR);
  options = Greedy();
  options.stop_count = 1;
  options.prompt = "a";
  EXPECT_EQ(error(options).first, SINTER_INVALID_ARGUMENT);
  const std::vector<int32_t> many(500, 5);
  options = Greedy();
  options.tokens = many.data();
  options.token_count = many.size();
  EXPECT_THAT(error(options).second, HasSubstr("prompt: got 500 tokens"));
}

TEST(Library, AFullQueueIsAStatusOfItsOwn) {
  std::vector<Request> requests;
  std::pair<sinter_status, std::string> failure;
  for (int i = 0; i < 100 && failure.first == SINTER_OK; ++i) {
    failure = Failure([&] {
      requests.push_back(TheEngine().Submit({{"user", "Write a story."}}, Greedy(100)));
    });
  }
  EXPECT_EQ(failure.first, SINTER_QUEUE_FULL);
  EXPECT_THAT(failure.second, StartsWith("[queue] the engine's queue: got "));
  EXPECT_GE(TheEngine().info().waiting, 1);
  requests.clear();
  // There is room again as soon as the engine has seen that they are gone.
  while (failure.first == SINTER_QUEUE_FULL) {
    failure = Failure([&] { requests.push_back(TheEngine().Submit({{"user", kSum}}, Greedy())); });
  }
  ASSERT_EQ(failure.first, SINTER_OK) << failure.second;
  EXPECT_EQ(requests[0].Text(), "7 + 8 = 15.");
}

TEST(Library, Memory) {
  sinter_engine_options options = SmallEngine();
  const sinter_memory estimate = Demo().EstimateMemory(TheDevice(), &options);
  const sinter_memory used = TheEngine().memory();
  EXPECT_EQ(estimate.cache_bytes, used.cache_bytes);
  EXPECT_NEAR(static_cast<double>(estimate.weight_bytes), static_cast<double>(used.weight_bytes),
              0.1 * static_cast<double>(used.weight_bytes));
  EXPECT_EQ(used.total_bytes, used.weight_bytes + used.cache_bytes + used.workspace_bytes);
  const sinter_engine_info info = TheEngine().info();
  EXPECT_EQ(info.max_length, 128);
  EXPECT_EQ(info.kv_tokens, 512);
  EXPECT_EQ(info.kv_pages, 8);
}

TEST(Library, ALoadTellsItsProgressAndCanBeStopped) {
  struct Progress {
    uint64_t done = 0, total = 0, stop_at = UINT64_MAX;
    static int Call(void* user, uint64_t done, uint64_t total) {
      auto& progress = *static_cast<Progress*>(user);
      EXPECT_GE(done, progress.done);
      EXPECT_LE(done, total);
      progress.done = done;
      progress.total = total;
      return done >= progress.stop_at ? 1 : 0;
    }
  };
  Progress stopped{.stop_at = 1};
  sinter_engine_options options = SmallEngine();
  options.progress = Progress::Call;
  options.progress_user = &stopped;
  EXPECT_EQ(Failure([&] { Engine engine(Demo(), &TheDevice(), &options); }).first,
            SINTER_CANCELLED);
  EXPECT_LT(stopped.done, stopped.total);
  options.max_length = 1 << 30;
  const auto failure = Failure([&] { Engine engine(Demo(), &TheDevice(), &options); });
  EXPECT_EQ(failure.first, SINTER_ERROR);
  EXPECT_THAT(failure.second, HasSubstr("maximum length"));
}

TEST(Library, Tensors) {
  // An odd number of bytes beyond a multiple of 4.
  Tensor a(TheDevice(), SINTER_F16, {3, 5}), b(TheDevice(), SINTER_U8, {30});
  EXPECT_EQ(a.bytes(), 30U);
  std::vector<uint8_t> bytes(30), got(30);
  std::iota(bytes.begin(), bytes.end(), uint8_t{1});
  a.Upload(bytes.data(), 30);
  a.CopyTo(b);
  const uint8_t changed[4] = {101, 102, 103, 104};
  a.Upload(changed, 4, 8);  // after the copy
  b.Download(got.data(), 30);
  EXPECT_EQ(got, bytes);
  a.Download(got.data(), 22, 8);
  EXPECT_EQ(got[0], 101);
  EXPECT_EQ(got[21], 30);

  const auto status = [](auto&& call) { return Failure(call).first; };
  EXPECT_EQ(status([&] { a.Upload(bytes.data(), 31); }), SINTER_INVALID_ARGUMENT);
  EXPECT_EQ(status([&] { a.Upload(bytes.data(), 2, 0); }), SINTER_INVALID_ARGUMENT);
  EXPECT_EQ(status([&] { a.Download(got.data(), 4, 30); }), SINTER_INVALID_ARGUMENT);
  EXPECT_EQ(status([&] { a.CopyTo(a); }), SINTER_INVALID_ARGUMENT);
  EXPECT_EQ(status([] { Tensor t(TheDevice(), 99, {1}); }), SINTER_INVALID_ARGUMENT);
  EXPECT_EQ(status([] { Tensor t(TheDevice(), SINTER_F32, {0}); }), SINTER_INVALID_ARGUMENT);
  EXPECT_EQ(status([] { Tensor t(TheDevice(), SINTER_F32, {int64_t{1} << 45}); }),
            SINTER_OUT_OF_MEMORY);
  EXPECT_EQ(status([] {
              Tensor t(TheDevice(), SINTER_F32, {INT64_MAX, INT64_MAX});
            }),
            SINTER_OUT_OF_MEMORY);
}

}  // namespace
