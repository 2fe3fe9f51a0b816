// Tests sequences: limits, errors, several at once, generation on the device, and loss of the
// device.

#include "engine/sequence.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "base/error.h"
#include "onnx/writer.h"
#include "passes/pipeline.h"
#include "passes/specialize.h"
#include "support/engine.h"

namespace sinter::engine {
namespace {

using support::ErrorOf;
using support::ExpectNear;
using support::Generate;
using support::kHalfRounding;
using support::kMeasuredRounding;
using support::kRounding;
using support::LoadModel;
using support::ModelNamed;
using support::ModelSpec;
using support::SharedDevice;
using ::testing::HasSubstr;

int32_t Argmax(const std::vector<float>& logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

TEST(SequenceErrors, RefuseWhatDoesNotFit) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  EXPECT_THAT(ErrorOf([&] { Sequence(model, {.max_length = 129}); }),
              HasSubstr("maximum length: got 129, want 1 to 128"));
  EXPECT_THAT(ErrorOf([&] { Sequence(model, {.max_length = -1}); }), HasSubstr("maximum length"));
  EXPECT_THAT(ErrorOf([&] { Sequence(model, {.chunk = -1}); }), HasSubstr("chunk: got -1"));

  Sequence sequence(model, {.max_length = 20});
  EXPECT_THAT(ErrorOf([&] { sequence.Append({}); }), HasSubstr("got no tokens"));
  EXPECT_THAT(ErrorOf([&] {
                sequence.Append(std::vector<int32_t>{1, 128});
              }),
              HasSubstr("token: got 128, want 0 to 127"));
  EXPECT_THAT(ErrorOf([&] { sequence.Append(std::vector<int32_t>{-1}); }),
              HasSubstr("token: got -1"));
  EXPECT_THAT(ErrorOf([&] { sequence.Append(support::RandomTokens(21, 1)); }),
              HasSubstr("prompt: got 21 tokens, want at most 20"));
  EXPECT_THAT(ErrorOf([&] { sequence.BeginGeneration({}); }), HasSubstr("want a prompt"));
  EXPECT_EQ(sequence.length(), 0);

  sequence.Append(support::RandomTokens(20, 1));
  EXPECT_THAT(ErrorOf([&] { sequence.Append(std::vector<int32_t>{1}); }),
              HasSubstr("got 21 tokens including those before it, want at most 20"));
  EXPECT_THAT(ErrorOf([&] { sequence.Rewind(21); }), HasSubstr("rewind: got 21, want 0 to 20"));
  EXPECT_THAT(ErrorOf([&] { sequence.Rewind(-1); }), HasSubstr("rewind: got -1"));
}

// A token can still be chosen when the cache is full; only the next one would have to run there.
TEST(SequenceErrors, GenerationEndsAtTheMaximumLength) {
  Sequence sequence(LoadModel(ModelNamed("qwen3_f32")), {.max_length = 20});
  sequence.Append(support::RandomTokens(19, 1));
  sequence.BeginGeneration({});
  sequence.Step();
  sequence.Step();
  EXPECT_THAT(ErrorOf([&] { sequence.Step(); }), HasSubstr("got 21 tokens, want at most 20"));
  sequence.AbandonGeneration();
  EXPECT_EQ(sequence.length(), 19);
}

TEST(SequenceErrors, ACacheThatIsTooLargeNamesTheLengthThatFits) {
  const auto small = support::OpenDevice({.max_storage_binding_bytes = 32 << 10});
  // 2 heads of 16 elements of 4 bytes are 128 bytes a row, so a binding holds 256 rows.
  ModelSpec wide = ModelNamed("qwen3_f32");
  wide.context = 512;
  const auto long_model = LoadModel(wide, small);
  const std::string too_long =
      ErrorOf([&] { Sequence(long_model, {.max_length = 400, .chunk = 16}); });
  EXPECT_THAT(too_long, HasSubstr("KV cache of a layer"));
  EXPECT_THAT(too_long, HasSubstr("choose a maximum length of 240 or less"));
  Sequence sequence(long_model, {.max_length = 240, .chunk = 16});
  EXPECT_EQ(sequence.max_length(), 240);
}

TEST(ModelFolders, RefuseWhatIsMissing) {
  const support::TempFolder folder;
  const auto load = [&] { Model::Load(folder.path(), SharedDevice()); };
  EXPECT_THAT(ErrorOf([&] { Model::Load(folder.path() / "none", SharedDevice()); }),
              HasSubstr("got nothing there, want a model folder"));
  EXPECT_THAT(ErrorOf(load), HasSubstr("genai_config.json"));
  support::WriteModelFolder(ModelNamed("phi3"), folder.path());
  EXPECT_THAT(ErrorOf([&] { Model::Load(folder.path() / "model.onnx", SharedDevice()); }),
              HasSubstr("got a file, want a model folder"));
  EXPECT_EQ(ErrorOf(load), "");
  std::filesystem::resize_file(folder.path() / "model.onnx.data", 5000);
  EXPECT_THAT(ErrorOf(load), HasSubstr("model.onnx.data"));
  std::filesystem::remove(folder.path() / "model.onnx.data");
  EXPECT_THAT(ErrorOf(load), HasSubstr("model.onnx.data"));
  std::filesystem::remove(folder.path() / "model.onnx");
  EXPECT_THAT(ErrorOf(load), HasSubstr("model.onnx"));
}

// Files must not contain the nodes that only rewrites make, because no other program could read
// them.
TEST(ModelFolders, RefuseSintersOwnOperators) {
  const support::TempFolder folder;
  support::WriteModelFolder(ModelNamed("phi3"), folder.path());
  const auto symbolic = support::ReadGraph(folder.path());
  const auto graph = passes::Specialize(*symbolic, {{"batch_size", 1},
                                                    {"sequence_length", 1},
                                                    {"past_sequence_length", 8},
                                                    {"total_sequence_length", 8}});
  passes::RunPasses(*graph, passes::Stage::kProgram, {});
  onnx::WriteModel(*graph, folder.path() / "model.onnx");
  EXPECT_THAT(
      ErrorOf([&] { Model::Load(folder.path(), SharedDevice()); }),
      AllOf(HasSubstr("(sinter::MatMulNBits"), HasSubstr("got an internal operator of Sinter")));
}

// genai_config.json and the graph must describe the same model.
TEST(ModelFolders, RefuseAConfigOfAnotherModel) {
  const ModelSpec graph = ModelNamed("qwen3_f32");
  const auto error_with = [&](ModelSpec config, std::string from = "", const std::string& to = "") {
    const support::TempFolder folder;
    support::WriteModelFolder(config, folder.path());
    support::TempFolder other;
    support::WriteModelFolder(graph, other.path());
    for (const char* file : {"model.onnx", "model.onnx.data"}) {
      std::filesystem::copy_file(other.path() / file, folder.path() / file,
                                 std::filesystem::copy_options::overwrite_existing);
    }
    if (!from.empty()) {
      std::ifstream in(folder.path() / "genai_config.json");
      std::string text(std::istreambuf_iterator<char>(in), {});
      text.replace(text.find(from), from.size(), to);
      std::ofstream(folder.path() / "genai_config.json") << text;
    }
    return ErrorOf([&] { Sequence(Model::Load(folder.path(), SharedDevice()), {}); });
  };
  EXPECT_EQ(error_with(graph), "");
  ModelSpec more_layers = graph;
  more_layers.layers = 3;
  EXPECT_THAT(error_with(more_layers), HasSubstr(".2.key"));
  ModelSpec other_heads = graph;
  other_heads.kv_heads = 1;
  EXPECT_THAT(error_with(other_heads), HasSubstr("0.key"));
  EXPECT_THAT(error_with(graph, R"("logits": "logits")", R"("logits": "probabilities")"),
              HasSubstr("graph output 'probabilities'"));
  EXPECT_THAT(
      error_with(graph, R"("input_ids": "input_ids")", R"("input_ids": "ids")"),
      HasSubstr("graph input 'input_ids': got an input that genai_config.json does not name, "
                "want only 'ids'"));
}

TEST(Loading, ReportsProgressAndCanBeStopped) {
  std::vector<uint64_t> done;
  uint64_t total = 0;
  ModelOptions options;
  options.progress = [&](uint64_t bytes, uint64_t of) {
    done.push_back(bytes);
    total = of;
  };
  Sequence sequence(LoadModel(ModelNamed("gptoss"), SharedDevice(), options), {.max_length = 32});
  ASSERT_FALSE(done.empty());
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_LE(done.back(), total);
  EXPECT_GT(done.back(), total / 2);

  options.progress = [](uint64_t, uint64_t) { throw Error("test", "enough"); };
  const auto stopped = LoadModel(ModelNamed("gptoss"), SharedDevice(), options);
  EXPECT_THAT(ErrorOf([&] { Sequence(stopped, {.max_length = 32}); }), HasSubstr("enough"));
  SharedDevice()->Check();
}

// Returns the logits after each of `tokens`, which run one by one.
std::vector<std::vector<float>> OneByOne(const std::shared_ptr<Model>& model,
                                         const std::vector<int32_t>& tokens) {
  Sequence sequence(model, {.chunk = 1});
  std::vector<std::vector<float>> logits;
  for (const int32_t token : tokens) {
    sequence.Append({&token, 1});
    logits.push_back(sequence.Logits());
  }
  return logits;
}

TEST(SequenceChunks, GiveTheSameLogitsAtEveryLength) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  const std::vector<int32_t> tokens = support::RandomTokens(128, 9);
  const std::vector<std::vector<float>> want = OneByOne(model, tokens);
  for (const int64_t chunk : {0, 3, 16, 50, 512}) {
    Sequence sequence(model, {.chunk = chunk});
    EXPECT_EQ(sequence.chunk(), chunk == 0 ? 128 : std::min<int64_t>(chunk, 128));
    for (const size_t length : {1, 2, 15, 16, 17, 24, 63, 64, 65, 90, 127, 128}) {
      SCOPED_TRACE(fmt::format("chunk {}, prompt of {}", chunk, length));
      sequence.Rewind(0);
      sequence.Append(std::span(tokens).first(length));
      ExpectNear(sequence.Logits(), want[length - 1]);
    }
  }
}

// Tuning leaves arbitrary bits, even NaN, in the rows after a sequence, and no run clears them.
TEST(SequenceCache, MayHoldAnythingBehindTheSequence) {
  for (const ModelSpec& spec : support::AllModels()) {
    SCOPED_TRACE(spec.name);
    const auto model = LoadModel(spec);
    Sequence clean(model, {.max_length = 64, .chunk = 16}),
        dirty(model, {.max_length = 64, .chunk = 16});
    for (const auto& [name, range] : dirty.cache()->externals()) {
      SharedDevice()->Upload(range.buffer, range.offset,
                             std::vector<std::byte>(range.size_bytes(), std::byte{0xff}));
    }
    // 21 tokens are a run of 16 rows and single ones; 30 tokens have padding.
    for (const size_t length : {21, 1, 30}) {
      const std::vector<int32_t> tokens = support::RandomTokens(length, length);
      clean.Append(tokens);
      dirty.Append(tokens);
      EXPECT_EQ(dirty.Logits(), clean.Logits()) << length;
    }
    // No run has written to the last row.
    const gpu::BufferRange last = dirty.cache()->externals().begin()->second;
    EXPECT_EQ(SharedDevice()->Download(last.buffer, last.offset + last.size_bytes() - 4, 4),
              std::vector<std::byte>(4, std::byte{0xff}));
  }
}

// Padding must fit after a sequence of the maximum length, in one run or several.
TEST(SequenceChunks, FillTheCacheToTheLastToken) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  const std::vector<int32_t> tokens = support::RandomTokens(128, 9);
  const std::vector<std::vector<float>> want = OneByOne(model, tokens);
  for (const int64_t max_length : {1, 5, 33, 70, 128}) {
    for (const int64_t chunk : {0, 2, 40}) {
      SCOPED_TRACE(fmt::format("maximum length {}, chunk {}", max_length, chunk));
      Sequence sequence(model, {.max_length = max_length, .chunk = chunk});
      const auto all = std::span(tokens).first(static_cast<size_t>(max_length));
      sequence.Append(all);
      ExpectNear(sequence.Logits(), want[all.size() - 1]);
      if (max_length < 5) continue;
      for (const size_t second : {1, 3, 17}) {
        sequence.Rewind(0);
        const size_t first = all.size() - std::min(second, all.size() - 1);
        sequence.Append(all.first(first));
        sequence.Append(all.subspan(first));
        ExpectNear(sequence.Logits(), want[all.size() - 1]);
      }
    }
  }
}

// Programs of 1,024 rows are used on GPUs that are quick enough, and if the user asks for them.
TEST(SequenceChunks, ALongProgramThatDoesNotFitIsDoneWithout) {
  ModelSpec spec = ModelNamed("qwen3_f32");
  spec.context = 1100;
  // The last layer's MLP runs for one row only, so a second layer is needed: the first one has a
  // gate and an up of 768 bytes for every row.
  spec.layers = 2;
  const auto model = LoadModel(spec, support::OpenDevice({.max_storage_binding_bytes = 512 << 10}));
  Sequence sequence(model), asked(model, {.chunk = 1024});
  EXPECT_EQ(asked.chunk(), 1024);
  const std::vector<int32_t> before = support::RandomTokens(20, 3),
                             prompt = support::RandomTokens(1020, 4);
  for (Sequence* each : {&sequence, &asked}) each->Append(before);
  sequence.Append(prompt);
  EXPECT_EQ(sequence.chunk(), 512);
  EXPECT_EQ(sequence.length(), 1040);
  EXPECT_THROW(asked.Append(prompt), gpu::ResourceError);
  if (!support::TestAll()) return;
  Sequence long_runs(LoadModel(spec), {.chunk = 1024});
  for (const auto& tokens : {before, prompt}) long_runs.Append(tokens);
  ExpectNear(sequence.Logits(), long_runs.Logits());
}

// The tokens chosen on the device equal the argmax of the logits, one by one.
TEST(SequenceGeneration, IsTheArgmaxChain) {
  for (const char* name : {"qwen3_f32", "gptoss"}) {
    const auto model = LoadModel(ModelNamed(name));
    Sequence sequence(model, {.max_length = 64, .chunk = 16});
    std::vector<int32_t> all = support::RandomTokens(18, 6);
    sequence.Append(all);
    const std::vector<int32_t> generated = Generate(sequence, 12);
    EXPECT_EQ(sequence.length(), 30);

    Sequence chain(model, {.max_length = 64, .chunk = 16});
    chain.Append(all);
    for (const int32_t token : generated) {
      EXPECT_EQ(token, Argmax(chain.Logits())) << name;
      chain.Append(std::vector<int32_t>{token});
    }
    // Tokens appended later see all generated tokens, including the last one.
    const std::vector<int32_t> more = support::RandomTokens(5, 7);
    sequence.Append(more);
    chain.Append(more);
    all.insert(all.end(), generated.begin(), generated.end());
    all.insert(all.end(), more.begin(), more.end());
    EXPECT_EQ(sequence.length(), static_cast<int64_t>(all.size()));
    Sequence fresh(model, {.max_length = 64, .chunk = 16});
    fresh.Append(all);
    const std::vector<float> want = fresh.Logits(), got = sequence.Logits();
    const auto [low, high] = std::minmax_element(want.begin(), want.end());
    const float tolerance =
        (*high - *low) * (std::string(name) == "gptoss" ? kHalfRounding : kRounding);
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], tolerance) << name;
  }
}

// Tokens queued past those that are kept leave no trace.
TEST(SequenceGeneration, KeepsWhatItIsToldTo) {
  const auto model = LoadModel(ModelNamed("qwen3_graph"));
  const std::vector<int32_t> prompt = support::RandomTokens(9, 6), next = {5, 6, 7};
  Sequence plain(model, {.max_length = 64, .chunk = 16});
  plain.Append(prompt);
  const std::vector<int32_t> two = Generate(plain, 2);
  plain.Append(next);
  for (const int64_t kept : {int64_t{0}, int64_t{2}}) {
    Sequence sequence(model, {.max_length = 64, .chunk = 16});
    sequence.Append(prompt);
    sequence.BeginGeneration({});
    for (int i = 0; i < 6; ++i) sequence.Step();
    sequence.EndGeneration(kept);
    EXPECT_EQ(sequence.length(), 9 + kept);
    if (kept == 0) sequence.Append(two);
    sequence.Append(next);
    EXPECT_EQ(sequence.length(), 14);
    if (kept == 2) {
      EXPECT_EQ(sequence.Logits(), plain.Logits());
    }
  }
}

class LongRope : public ::testing::TestWithParam<const char*> {};

// Past the threshold of 24 tokens, results are as if the long factors had been used from the start.
TEST_P(LongRope, GenerationAcrossTheThresholdEqualsAFreshPrefill) {
  const auto model = LoadModel(ModelNamed(GetParam()));
  Sequence sequence(model, {.max_length = 64, .chunk = 16});
  std::vector<int32_t> all = support::RandomTokens(20, 11);
  sequence.Append(all);
  const std::vector<int32_t> generated = Generate(sequence, 10);
  for (const int32_t token : generated) {
    Sequence fresh(model, {.max_length = 64, .chunk = 16});
    fresh.Append(all);
    EXPECT_EQ(Argmax(fresh.Logits()), token) << "after " << all.size();
    all.push_back(token);
  }
  EXPECT_NE(model->BranchDecisions(24), model->BranchDecisions(25));
}

// Crosses the threshold token by token, and returns by Rewind.
TEST_P(LongRope, AppendingAcrossTheThresholdEqualsAFreshPrefill) {
  const ModelSpec spec = ModelNamed(GetParam());
  const auto model = LoadModel(spec);
  const support::ReferenceModel reference(spec);
  const std::vector<int32_t> tokens = support::RandomTokens(27, 12);
  Sequence sequence(model, {.max_length = 64, .chunk = 16});
  const auto check = [&](size_t n) {
    const std::vector<int32_t> prefix(tokens.begin(),
                                      tokens.begin() + static_cast<std::ptrdiff_t>(n));
    const std::vector<double> want = reference.Logits(prefix).back();
    const std::vector<float> got = sequence.Logits();
    // The other factors change logits by 0.1 or more.
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 0.03) << n;
  };
  sequence.Append(std::span(tokens).first(22));
  for (size_t n = 23; n <= tokens.size(); ++n) {
    sequence.Append(std::span(tokens).subspan(n - 1, 1));
    check(n);
  }
  sequence.Rewind(23);
  sequence.Append(std::span(tokens).subspan(23, 1));
  check(24);
  sequence.Append(std::span(tokens).subspan(24, 3));
  check(27);
}

INSTANTIATE_TEST_SUITE_P(Models, LongRope,
                         ::testing::Values("longrope_if", "longrope_concatenated"));

// A prompt and eight generated tokens on one sequence, run in small pieces.
struct Script {
  explicit Script(std::shared_ptr<Model> model, uint32_t seed)
      : sequence(std::move(model), {.max_length = 64, .chunk = 16}), seed(seed) {}
  void Piece(int i) {
    if (i == 0) sequence.Append(support::RandomTokens(20 + seed % 5, seed));
    if (i == 1) tokens = Generate(sequence, 8);
    if (i == 2) sequence.Append(support::RandomTokens(3, seed + 1));
    if (i == 3) logits = sequence.Logits();
  }
  Sequence sequence;
  uint32_t seed;
  std::vector<int32_t> tokens;
  std::vector<float> logits;
};

TEST(SeveralSequences, InterleavedGiveWhatTheyGiveAlone) {
  const auto model = LoadModel(ModelNamed("gptoss"));
  Script alone_a(model, 21), alone_b(model, 22);
  for (int i = 0; i < 4; ++i) alone_a.Piece(i);
  for (int i = 0; i < 4; ++i) alone_b.Piece(i);
  Script a(model, 21), b(model, 22);
  for (int i = 0; i < 4; ++i) {
    a.Piece(i);
    b.Piece(i);
  }
  EXPECT_EQ(a.tokens, alone_a.tokens);
  EXPECT_EQ(b.tokens, alone_b.tokens);
  EXPECT_EQ(a.logits, alone_a.logits);
  EXPECT_EQ(b.logits, alone_b.logits);
}

// Returns the finished scripts of the seeds 31 and 32, run one after the other.
std::deque<Script> Alone(const std::shared_ptr<Model>& model) {
  std::deque<Script> alone;
  for (uint32_t seed : {31u, 32u}) {
    alone.emplace_back(model, seed);
    for (int i = 0; i < 4; ++i) alone.back().Piece(i);
  }
  return alone;
}

// Runs both scripts three times, each in a thread of its own, on the model that `model_of` returns
// for that thread. Expects the results of `alone`.
void ExpectFromThreads(const std::deque<Script>& alone,
                       const std::function<std::shared_ptr<Model>(size_t thread)>& model_of) {
  std::vector<std::unique_ptr<Script>> scripts(2);
  std::vector<std::string> errors(2);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      try {
        const std::shared_ptr<Model> model = model_of(t);
        for (int round = 0; round < 3; ++round) {
          scripts[t] = std::make_unique<Script>(model, 31 + static_cast<uint32_t>(t));
          for (int i = 0; i < 4; ++i) scripts[t]->Piece(i);
        }
      } catch (const std::exception& error) {
        errors[t] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t t = 0; t < 2; ++t) {
    ASSERT_EQ(errors[t], "");
    EXPECT_EQ(scripts[t]->tokens, alone[t].tokens);
    EXPECT_EQ(scripts[t]->logits, alone[t].logits);
  }
}

// Programs of every length read one copy of each constant, in any order of its rows.
TEST(Weights, AreOnTheDeviceOnce) {
  for (const char* name : {"qwen3_f32", "qwen3_graph", "phi3", "gptoss"}) {
    const ModelSpec spec = ModelNamed(name);
    uint64_t bytes = 0;
    const auto graph = support::BuildGraph(spec);
    for (const auto& value : graph->values()) {
      if (value->constant) bytes += value->constant->bytes.size();
    }
    const auto model = LoadModel(spec);
    Sequence sequence(model, {.max_length = 96, .chunk = 32});
    sequence.Append(std::vector<int32_t>(40, 1));
    sequence.Append(std::vector<int32_t>(1, 1));
    EXPECT_LE(model->weights().bytes(), bytes) << name;
  }
}

// A GPU stores rows of quantized weights in interleaved groups, a software GPU row by row.
TEST(Weights, GiveTheSameInEveryOrder) {
  const auto as_gpu = support::OpenDevice({.as_gpu = true});
  const ModelOptions by_layer{.fusion = passes::Fusion::kLayer};
  for (const auto& [name, share] : {std::pair{"qwen3_f32", kMeasuredRounding},
                                    {"phi3", kHalfRounding},
                                    {"gptoss", kHalfRounding}}) {
    Sequence want(LoadModel(ModelNamed(name), SharedDevice(), by_layer),
                  {.max_length = 96, .chunk = 32});
    Sequence got(LoadModel(ModelNamed(name), as_gpu, by_layer), {.max_length = 96, .chunk = 32});
    for (const size_t length : {40, 1, 3}) {
      // A software GPU takes 15 s to compile a GPU's shaders for prompts through experts.
      if (name == std::string("gptoss") && length == 40 && !support::TestAll()) continue;
      SCOPED_TRACE(fmt::format("{}, {} tokens", name, length));
      const std::vector<int32_t> tokens = support::RandomTokens(length, length);
      want.Append(tokens);
      got.Append(tokens);
      ExpectNear(got.Logits(), want.Logits(), share);
    }
  }
}

// Both threads create sequences, upload weights and compile programs at the same time.
TEST(SeveralSequences, ThreadsGiveWhatOneGives) {
  const auto alone_model = LoadModel(ModelNamed("qwen3_graph"));
  const std::deque<Script> alone = Alone(alone_model);
  const auto model = LoadModel(ModelNamed("qwen3_graph"));
  ExpectFromThreads(alone, [&](size_t) { return model; });
  EXPECT_EQ(model->weights().bytes(), alone_model->weights().bytes());
}

// Each thread opens a device and loads the model while the other one does the same.
TEST(SeveralDevices, ThreadsGiveWhatOneGives) {
  const std::deque<Script> alone = Alone(LoadModel(ModelNamed("qwen3_graph")));
  ExpectFromThreads(
      alone, [](size_t) { return LoadModel(ModelNamed("qwen3_graph"), support::OpenDevice()); });
}

// Runs prompts of every chunk's length and single tokens in turn in a sequence that replays, and
// compares with a sequence that records every dispatch again.
TEST(Captures, OfEveryLengthShareASequence) {
  const auto model = LoadModel(ModelNamed("qwen3_f32"));
  Sequence replayed(model, {.max_length = 96, .chunk = 32});
  Sequence recorded(model, {.max_length = 96, .chunk = 32, .run = {.capture = false}});
  for (int round = 0; round < 2; ++round) {
    replayed.Rewind(0);
    recorded.Rewind(0);
    uint32_t seed = 50;
    for (const size_t length : {1, 2, 16, 1, 32, 5, 17}) {
      const std::vector<int32_t> tokens = support::RandomTokens(length, ++seed);
      replayed.Append(tokens);
      recorded.Append(tokens);
      EXPECT_EQ(replayed.Logits(), recorded.Logits()) << "after " << length << " tokens";
      EXPECT_EQ(Generate(replayed, 3), Generate(recorded, 3));
    }
  }
}

TEST(DeviceLoss, EndsGenerationWithAnErrorAndANewDeviceWorks) {
  const ModelSpec spec = ModelNamed("qwen3_f32");
  const std::vector<int32_t> prompt = support::RandomTokens(18, 6);
  Sequence healthy(LoadModel(spec), {.max_length = 64, .chunk = 16});
  healthy.Append(prompt);
  const std::vector<int32_t> want = Generate(healthy, 6);

  const auto device = support::OpenDevice();
  Sequence sequence(LoadModel(spec, device), {.max_length = 64, .chunk = 16});
  sequence.Append(prompt);
  sequence.BeginGeneration({});
  sequence.Step();
  EXPECT_EQ(sequence.Token(0), want[0]);
  sequence.Step();
  device->SimulateLoss();
  EXPECT_THROW(
      {
        for (int i = 0; i < 4; ++i) sequence.Step();
        sequence.Token(5);
      },
      DeviceLostError);
  sequence.AbandonGeneration();
  EXPECT_EQ(sequence.length(), 18);
  EXPECT_THROW(sequence.Append(prompt), DeviceLostError);

  Sequence again(LoadModel(spec, support::OpenDevice()), {.max_length = 64, .chunk = 16});
  again.Append(prompt);
  EXPECT_EQ(Generate(again, 6), want);
}

}  // namespace
}  // namespace sinter::engine
