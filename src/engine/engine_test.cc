// Tests the engine: many requests from many threads, each with the answer that it has alone, and
// what goes wrong with one of them.

#include "engine/engine.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <condition_variable>
#include <deque>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/error.h"
#include "support/engine.h"

namespace sinter::engine {
namespace {

using support::ErrorOf;
using support::LoadModel;
using support::ModelNamed;
using support::RandomTokens;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// Collects what a request gives.
class Collector : public RequestListener {
 public:
  bool OnToken(const ChosenToken& token) override {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(ended_);
    tokens_.push_back(token.token);
    if (token.log_prob) {
      log_probs.emplace_back(1, TokenLogProb{token.token, *token.log_prob});
      log_probs.back().insert(log_probs.back().end(), token.likeliest.begin(),
                              token.likeliest.end());
    }
    changed_.notify_all();
    if (const auto it = at.find(tokens_.size()); it != at.end()) it->second();
    return tokens_.size() < stop_after;
  }
  void OnEnd(const RequestResult& result) override {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(ended_) << "ended twice";
    ended_ = true;
    result_ = result;
    changed_.notify_all();
  }
  // Waits for the end, or for `count` tokens.
  std::vector<int32_t> Wait(size_t count = SIZE_MAX) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ || tokens_.size() >= count; });
    return tokens_;
  }
  RequestResult Result() {
    Wait();
    std::lock_guard lock(mutex_);
    return result_;
  }
  std::string Error() {
    const RequestResult result = Result();
    return ErrorOf([&] {
      if (result.error) std::rethrow_exception(result.error);
    });
  }

  size_t stop_after = SIZE_MAX;
  // By token: its own, then the likeliest.
  std::vector<std::vector<TokenLogProb>> log_probs;
  std::map<size_t, std::function<void()>> at;  // called after so many tokens

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int32_t> tokens_;
  bool ended_ = false;
  RequestResult result_;
};

struct Sent {
  std::shared_ptr<Collector> got = std::make_shared<Collector>();
  Engine::RequestId id = 0;
};

Sent Send(Engine& engine, Request request, std::map<size_t, std::function<void()>> at = {}) {
  Sent sent;
  sent.got->at = std::move(at);
  request.listener = sent.got;
  sent.id = engine.Submit(std::move(request));
  return sent;
}

Request MakeRequest(std::vector<int32_t> prompt, int64_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  return request;
}

Engine::Opener Same(std::shared_ptr<Model> model) {
  return [model] { return model; };
}

TEST(Engine, AnswersAsASequenceDoes) {
  for (const char* name : {"qwen3_f32", "phi3", "gptoss"}) {
    const auto model = LoadModel(ModelNamed(name));
    Engine engine(Same(model), {.max_batch = 1, .max_length = 100, .kv_tokens = 256});
    for (const int64_t length : {1, 20, 70}) {
      SCOPED_TRACE(fmt::format("{}, {} tokens", name, length));
      const std::vector<int32_t> prompt = RandomTokens(length, 5);
      Sequence sequence(model, {.max_length = 100});
      sequence.Append(prompt);
      const std::vector<int32_t> want = support::Generate(sequence, 8);
      EXPECT_EQ(Send(engine, MakeRequest(prompt, 8)).got->Wait(), want);
    }
  }
}

// What does not depend on the program of the step: a few requests, all of the same length.
TEST(Engine, EndsAsItIsTold) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  Engine engine(Same(model), {.max_batch = 4, .max_length = 40, .kv_tokens = 256});
  EXPECT_EQ(engine.options().max_batch, 4);
  const std::vector<int32_t> prompt = RandomTokens(20, 7);
  const std::vector<int32_t> all = Send(engine, MakeRequest(prompt, 0)).got->Wait();
  EXPECT_EQ(all.size(), 20u);
  {
    const Sent sent = Send(engine, MakeRequest(prompt, 6));
    EXPECT_EQ(sent.got->Result().end, RequestEnd::kMaxTokens);
    EXPECT_EQ(sent.got->Result().generated_tokens, 6);
    EXPECT_EQ(sent.got->Result().prompt_tokens, 20);
  }
  {
    Request request = MakeRequest(prompt, 0);
    request.end_tokens = {all[4]};
    const Sent sent = Send(engine, std::move(request));
    const size_t first = static_cast<size_t>(std::ranges::find(all, all[4]) - all.begin());
    EXPECT_EQ(sent.got->Wait().size(), first + 1);
    EXPECT_EQ(sent.got->Result().end, RequestEnd::kEndToken);
  }
  {
    Sent sent;
    sent.got->stop_after = 3;
    Request request = MakeRequest(prompt, 0);
    request.listener = sent.got;
    engine.Submit(std::move(request));
    EXPECT_EQ(sent.got->Wait().size(), 3u);
    EXPECT_EQ(sent.got->Result().end, RequestEnd::kListener);
  }
  const Sent sent = Send(engine, MakeRequest(RandomTokens(39, 7), 9));
  EXPECT_EQ(sent.got->Result().end, RequestEnd::kMaxLength);
  EXPECT_EQ(sent.got->Wait().size(), 1u);
}

TEST(Engine, RefusesWhatItCannotRun) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  const auto make = [&](const EngineOptions& options) {
    return ErrorOf([&] { Engine(Same(model), options); });
  };
  EXPECT_THAT(make({.max_batch = 0}), HasSubstr("most sequences: got 0, want 1 to 64"));
  EXPECT_THAT(make({.max_batch = 65}), HasSubstr("got 65"));
  EXPECT_THAT(make({.max_length = 129}), HasSubstr("maximum length: got 129, want 2 to 128"));
  EXPECT_THAT(make({.max_length = 100, .kv_tokens = 64}),
              HasSubstr("KV cache: got 64 tokens, want at least the maximum length of 100"));
  EXPECT_THAT(make({.kv_tokens = 1}), HasSubstr("KV cache: got 1 tokens, want at least 2"));
  EXPECT_THAT(make({.queue = 0}), HasSubstr("queue: got 0"));

  Engine engine(Same(model), {.max_batch = 1, .max_length = 40, .kv_tokens = 64, .queue = 2});
  const auto send = [&](std::vector<int32_t> prompt, int64_t count) {
    return ErrorOf([&] { Send(engine, MakeRequest(std::move(prompt), count)); });
  };
  EXPECT_THAT(send({}, 1), HasSubstr("prompt: got no tokens"));
  EXPECT_THAT(send({1, 128}, 1), HasSubstr("token: got 128, want 0 to 127"));
  EXPECT_THAT(send({-1}, 1), HasSubstr("token: got -1"));
  EXPECT_THAT(send(RandomTokens(40, 1), 1), HasSubstr("got 40 tokens, want at most 39"));
  EXPECT_THAT(send({1}, -1), HasSubstr("most tokens: got -1"));
  const auto with = [&](const std::function<void(Request&)>& change) {
    Request request = MakeRequest({1, 2}, 8);
    change(request);
    return ErrorOf([&] { Send(engine, request); });
  };
  EXPECT_THAT(with([](Request& r) {
                r.logit_bias = {{-1, 1}};
              }),
              HasSubstr("token of a bias: got -1, want 0 to 127"));
  EXPECT_THAT(with([](Request& r) { r.logit_bias.resize(513); }), HasSubstr("got 513 tokens"));
  EXPECT_THAT(with([](Request& r) { r.end_tokens = {-9}; }), HasSubstr("end token: got -9"));
  EXPECT_THAT(with([](Request& r) { r.min_tokens = -1; }), HasSubstr("least tokens: got -1"));
  EXPECT_THAT(with([](Request& r) { r.min_tokens = 9; }),
              HasSubstr("least tokens: got 9, want at most 8"));
  EXPECT_THAT(with([](Request& r) { r.log_probs = 21; }),
              HasSubstr("got 21 likeliest tokens, want 0 to 20"));
  EXPECT_THAT(with([](Request& r) {
                r.min_tokens = 1;
                r.end_tokens.assign(17, 1);
              }),
              HasSubstr("end tokens: got 17"));
  // One runs, two wait, and the next is refused. All that were taken end.
  std::deque<Sent> taken;
  bool refused = false;
  for (int i = 0; i < 50 && !refused; ++i) {
    try {
      taken.push_back(Send(engine, MakeRequest(RandomTokens(8, 3), 30)));
    } catch (const QueueFullError& error) {
      EXPECT_THAT(error.what(), HasSubstr("queue: got 3 requests that wait, want at most 2"));
      refused = true;
    }
  }
  EXPECT_TRUE(refused);
  for (const Sent& sent : taken) EXPECT_EQ(sent.got->Wait().size(), 30u);
}

// A request of a random kind.
Request RandomRequest(std::mt19937& random, const std::vector<std::vector<int32_t>>& beginnings) {
  const auto below = [&](uint32_t n) { return static_cast<int64_t>(random() % n); };
  std::vector<int32_t> prompt = beginnings[random() % beginnings.size()];
  const std::vector<int32_t> rest = RandomTokens(1 + below(30), random());
  prompt.insert(prompt.end(), rest.begin(), rest.end());
  Request request = MakeRequest(std::move(prompt), 1 + below(24));
  request.client = fmt::format("client {}", below(3));
  request.priority = static_cast<int>(below(2));
  request.choice.greedy = below(3) == 0;
  if (!request.choice.greedy) {
    request.choice.options.temperature = 0.8f;
    request.choice.options.top_k = static_cast<uint32_t>(below(20));
    request.choice.options.repetition_penalty = below(2) == 0 ? 1.0f : 1.2f;
    request.choice.seed = static_cast<uint32_t>(below(1000));
  }
  return request;
}

void ExpectIdle(const Engine& engine) {
  // The last turn of the engine's thread may still be under way when the last request has ended.
  for (int i = 0; i < 1000; ++i) {
    const EngineStats stats = engine.stats();
    if (stats.waiting + stats.prompts + stats.decoding + stats.kv_pages_used == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ADD_FAILURE() << "the engine still holds something";
}

class Deterministic : public ::testing::TestWithParam<const char*> {};

// Requests come in random groups, some share long beginnings, some are cancelled. Each has the
// tokens that it has alone, in an engine that ran nothing before.
TEST_P(Deterministic, TokensDependOnTheRequestAlone) {
  const auto model = LoadModel(ModelNamed(GetParam()));
  const EngineOptions options = {
      .max_batch = 4, .max_length = 128, .kv_tokens = 640, .deterministic = true};
  std::mt19937 random(19);
  const std::vector<std::vector<int32_t>> beginnings = {
      {}, RandomTokens(70, 1), RandomTokens(66, 2)};
  std::vector<Request> requests;
  for (int i = 0; i < 50; ++i) requests.push_back(RandomRequest(random, beginnings));

  Engine together(Same(model), options);
  std::vector<Sent> sent;
  std::vector<bool> cancelled;
  for (const Request& request : requests) {
    sent.push_back(Send(together, request));
    cancelled.push_back(random() % 8 == 0);
    if (cancelled.back()) together.Cancel(sent.back().id);
    if (random() % 4 == 0) sent[random() % sent.size()].got->Wait(2);
  }
  for (Sent& each : sent) each.got->Wait();
  EXPECT_GT(together.stats().cached_tokens, 0u);
  ExpectIdle(together);
  Engine alone(Same(model), options);
  for (size_t i = 0; i < requests.size(); ++i) {
    SCOPED_TRACE(fmt::format("request {}", i));
    const std::vector<int32_t> want = Send(alone, requests[i]).got->Wait();
    std::vector<int32_t> got = sent[i].got->Wait();
    if (cancelled[i]) {
      ASSERT_LE(got.size(), want.size());
      EXPECT_TRUE(std::equal(got.begin(), got.end(), want.begin()));
    } else {
      EXPECT_EQ(got, want);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Deterministic, ::testing::Values("qwen3_f32", "gptoss"));

TEST(EngineThreads, CancelsAndSubmitsFromMany) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  Engine engine(Same(model), {.max_batch = 4, .max_length = 64, .kv_tokens = 256});
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 12; ++i) {
        const int64_t count = 1 + static_cast<int64_t>(random() % 20);
        const Sent sent = Send(engine, MakeRequest(RandomTokens(1 + random() % 40, t), count));
        const bool cancel = random() % 3 == 0;
        if (cancel) {
          sent.got->Wait(random() % 4);
          engine.Cancel(sent.id);
        }
        const RequestResult result = sent.got->Result();
        if (!cancel) {
          EXPECT_EQ(sent.got->Wait().size(), static_cast<size_t>(count));
        } else {
          EXPECT_TRUE(result.end == RequestEnd::kCancelled || result.end == RequestEnd::kMaxTokens);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  engine.Cancel(1);
  engine.Cancel(12345);
  ExpectIdle(engine);
}

TEST(Engine, DecodesSideBySide) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  Engine engine(Same(model), {.max_batch = 4, .max_length = 128, .kv_tokens = 512});
  ASSERT_EQ(engine.options().max_batch, 4);
  std::deque<Sent> sent;
  for (uint32_t i = 0; i < 4; ++i)
    sent.push_back(Send(engine, MakeRequest(RandomTokens(9, i), 80)));
  for (const Sent& each : sent) EXPECT_EQ(each.got->Wait().size(), 80u);
  ExpectIdle(engine);
  // One after the other would take 316 steps: the first token of each comes from its prompt.
  EXPECT_LT(engine.stats().steps, 79u + 40);
}

TEST(Engine, SharesTheWorkOfEqualPrompts) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  Engine engine(Same(model), {.max_batch = 4, .max_length = 128, .kv_tokens = 512});
  const std::vector<int32_t> prompt = RandomTokens(100, 4);
  std::deque<Sent> sent;
  for (int i = 0; i < 4; ++i) sent.push_back(Send(engine, MakeRequest(prompt, 5)));
  for (const Sent& each : sent) EXPECT_EQ(each.got->Wait(), sent[0].got->Wait());
  for (size_t i = 1; i < sent.size(); ++i) EXPECT_EQ(sent[i].got->Result().cached_tokens, 64);
  // What was generated counts, too.
  std::vector<int32_t> longer = prompt;
  const std::vector<int32_t> answer = Send(engine, MakeRequest(prompt, 28)).got->Wait();
  longer.insert(longer.end(), answer.begin(), answer.end());
  longer.pop_back();
  EXPECT_EQ(Send(engine, MakeRequest(longer, 1)).got->Result().cached_tokens, 64);
}

// Options that change the choice of a token, beside a request without any.
TEST(Engine, ChoosesByTheOptionsOfEachRequest) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  Engine engine(Same(model), {.max_batch = 4, .max_length = 64, .kv_tokens = 256});
  const std::vector<int32_t> prompt = RandomTokens(20, 7);
  const Sent plain = Send(engine, MakeRequest(prompt, 12));
  const std::vector<int32_t> all = plain.got->Wait();

  Request biased = MakeRequest(prompt, 12);
  biased.logit_bias = {{5, 1000}};
  Request banned = MakeRequest(prompt, 12);
  for (const int32_t token : std::set<int32_t>(all.begin(), all.end()))
    banned.logit_bias.push_back({token, -1000});
  Request ends = MakeRequest(prompt, 12);
  ends.end_tokens = {all[0], all[1]};
  ends.min_tokens = 4;
  Request once = MakeRequest(prompt, 12);
  once.presence_penalty = 1000;
  std::deque<Sent> sent;
  for (const Request& request : {biased, banned, ends, once, MakeRequest(prompt, 12)})
    sent.push_back(Send(engine, request));
  EXPECT_EQ(sent[0].got->Wait(), std::vector<int32_t>(12, 5));
  for (const int32_t token : sent[1].got->Wait()) EXPECT_THAT(all, Not(Contains(token)));
  const std::vector<int32_t> late = sent[2].got->Wait();
  ASSERT_GE(late.size(), 5u);
  for (size_t i = 0; i < 4; ++i) EXPECT_THAT(ends.end_tokens, Not(Contains(late[i])));
  const std::vector<int32_t> different = sent[3].got->Wait();
  EXPECT_EQ(std::set<int32_t>(different.begin(), different.end()).size(), 12u);
  EXPECT_EQ(sent[4].got->Wait(), all);
}

TEST(Engine, GivesLogProbabilities) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  Engine engine(Same(model), {.max_batch = 2, .max_length = 64, .kv_tokens = 128});
  const std::vector<int32_t> prompt = RandomTokens(20, 7);
  std::deque<Sent> sent;
  for (const int count : {0, 5}) {
    Request request = MakeRequest(prompt, 6);
    request.log_probs = count;
    sent.push_back(Send(engine, request));
  }
  const std::vector<int32_t> tokens = sent[0].got->Wait();
  EXPECT_EQ(sent[1].got->Wait(), tokens);
  Sequence sequence(model, {.max_length = 64});
  sequence.Append(prompt);
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::vector<float> logits = sequence.Logits();
    double sum = 0;
    for (const float logit : logits) sum += std::exp(double{logit});
    const auto want = [&](int32_t token) {
      return logits[static_cast<size_t>(token)] - std::log(sum);
    };
    for (const Sent& each : sent)
      EXPECT_NEAR(each.got->log_probs.at(i).at(0).log_prob, want(tokens[i]), 1e-3);
    EXPECT_EQ(sent[0].got->log_probs[i].size(), 1u);
    ASSERT_EQ(sent[1].got->log_probs[i].size(), 6u);
    EXPECT_EQ(sent[1].got->log_probs[i][1].token, tokens[i]) << "the likeliest is chosen";
    for (size_t k = 1; k < 6; ++k) {
      const TokenLogProb& got = sent[1].got->log_probs[i][k];
      EXPECT_NEAR(got.log_prob, want(got.token), 1e-3);
      if (k == 1) continue;
      EXPECT_LE(got.log_prob, sent[1].got->log_probs[i][k - 1].log_prob);
    }
    if (i + 1 < tokens.size()) sequence.Append({&tokens[i], 1});
  }
}

// Each token must be the one before plus one.
class Counting : public Collector {
 public:
  void MaskTokens(std::span<uint32_t> allowed) override {
    std::ranges::fill(allowed, 0u);
    allowed[next_ / 32] |= 1u << (next_ % 32);
    next_ = (next_ + 1) % 128;
  }

 private:
  size_t next_ = 100;
};

TEST(Engine, MasksTokens) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  Engine engine(Same(model), {.max_batch = 4, .max_length = 80, .kv_tokens = 320});
  const std::vector<int32_t> prompt = RandomTokens(20, 7);
  const Sent plain = Send(engine, MakeRequest(prompt, 40));
  Request request = MakeRequest(prompt, 40);
  request.masks = true;
  std::deque<std::shared_ptr<Counting>> masked;
  for (int i = 0; i < 2; ++i) {
    masked.push_back(std::make_shared<Counting>());
    request.listener = masked.back();
    engine.Submit(request);
  }
  for (const auto& each : masked) {
    const std::vector<int32_t> tokens = each->Wait();
    ASSERT_EQ(tokens.size(), 40u);
    for (size_t i = 0; i < tokens.size(); ++i) EXPECT_EQ(tokens[i], (100 + i) % 128);
  }
  EXPECT_EQ(Send(engine, MakeRequest(prompt, 40)).got->Wait(), plain.got->Wait());
}

// Returns the bytes of the process that are in main memory.
int64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST(Engine, TakesNoMoreMemoryWithEachRequest) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  Engine engine(Same(model), {.max_batch = 8, .max_length = 64, .kv_tokens = 512});
  std::mt19937 random(1);
  const auto run = [&](int count) {
    std::deque<Sent> sent;
    for (int i = 0; i < count; ++i) {
      Request request = MakeRequest(RandomTokens(1 + random() % 40, random() % 1000),
                                    1 + static_cast<int64_t>(random() % 4));
      request.client = fmt::format("client {}", random());
      request.presence_penalty = random() % 2 == 0 ? 0 : 0.5f;
      if (random() % 2 == 0) request.log_probs = static_cast<int>(random() % 4);
      sent.push_back(Send(engine, std::move(request)));
      if (sent.size() < 50) continue;
      sent.front().got->Wait();
      sent.pop_front();
    }
    for (const Sent& each : sent) each.got->Wait();
    ExpectIdle(engine);
  };
  run(300);
  const uint64_t gpu = model->device()->allocated_bytes();
  const int64_t main = ResidentBytes();
  run(support::TestAll() ? 10000 : 500);
  EXPECT_EQ(model->device()->allocated_bytes(), gpu);
  // What the driver keeps varies, but by less than 1 KiB a request.
  EXPECT_LE(ResidentBytes(), main + (support::TestAll() ? 10 << 20 : 4 << 20));
}

class EngineLongRope : public ::testing::TestWithParam<const char*> {};

// Sequences on both sides of the threshold of 24 tokens, and some that cross it.
TEST_P(EngineLongRope, RowsOfOtherBranchesRunApart) {
  const auto model = LoadModel(ModelNamed(GetParam()));
  Engine alone(Same(model), {.max_batch = 1, .max_length = 64, .kv_tokens = 64});
  Engine together(Same(model), {.max_batch = 4, .max_length = 64, .kv_tokens = 256});
  std::vector<Request> requests;
  for (const int64_t length : {4, 20, 22, 30, 40})
    requests.push_back(MakeRequest(RandomTokens(length, 11), 10));
  std::deque<Sent> sent;
  for (const Request& request : requests) sent.push_back(Send(together, request));
  for (size_t i = 0; i < requests.size(); ++i) {
    SCOPED_TRACE(fmt::format("request {}", i));
    const std::vector<int32_t> want = Send(alone, requests[i]).got->Wait();
    EXPECT_EQ(sent[i].got->Wait(), want);
    Sequence sequence(model, {.max_length = 64, .chunk = 16});
    sequence.Append(requests[i].prompt);
    EXPECT_EQ(support::Generate(sequence, 10), want);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EngineLongRope,
                         ::testing::Values("longrope_if", "longrope_concatenated"));

TEST(EngineLoss, LosesAndRepeatsNoToken) {
  const support::TempFolder folder;
  support::WriteModelFolder(ModelNamed("qwen3_f32"), folder.path());
  std::shared_ptr<gpu::Device> device;
  int opened = 0;
  const auto open = [&] {
    device = support::OpenDevice();
    ++opened;
    return Model::Load(folder.path(), device);
  };
  // Runs on the engine's thread, as `open` does.
  const auto lose = [&] { device->SimulateLoss(); };
  std::vector<Request> requests;
  std::mt19937 random(3);
  for (int i = 0; i < 6; ++i) requests.push_back(RandomRequest(random, {{}, RandomTokens(30, 1)}));
  for (Request& request : requests) request.max_tokens = 40;
  const EngineOptions options = {.max_batch = 4, .max_length = 128, .kv_tokens = 640};
  std::vector<std::vector<int32_t>> want;
  {
    Engine engine(open, options);
    for (const Request& request : requests) want.push_back(Send(engine, request).got->Wait());
  }
  Engine engine(open, options);
  std::deque<Sent> sent;
  for (size_t i = 0; i < requests.size(); ++i) {
    std::map<size_t, std::function<void()>> at;
    if (i == 1) at[5] = lose;
    if (i == 5) at[12] = lose;
    sent.push_back(Send(engine, requests[i], std::move(at)));
  }
  for (size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(sent[i].got->Wait(), want[i]) << i;
  EXPECT_EQ(engine.stats().losses, 2u);
  EXPECT_EQ(opened, 4);
  // The third within a minute is one too many.
  const Sent last = Send(engine, requests[0], {{3, lose}});
  EXPECT_THAT(last.got->Error(), HasSubstr("got 3 losses within a minute"));
  EXPECT_THAT(ErrorOf([&] { Send(engine, requests[0]); }), HasSubstr("got 3 losses"));
}

}  // namespace
}  // namespace sinter::engine
