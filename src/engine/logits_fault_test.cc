// Tests that logits from which no token can be chosen are an error from every way to choose one.

#include "engine/logits_fault.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "engine/sequence.h"
#include "onnx/writer.h"
#include "support/engine.h"

namespace sinter::engine {
namespace {

using support::ErrorOf;
using support::ModelSpec;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// Returns the model with `added` added to the logits of each token.
std::shared_ptr<Model> WithLogits(const ModelSpec& spec, const std::vector<double>& added,
                                  const ModelOptions& options = {}) {
  const support::TempFolder folder;
  support::WriteModelFolder(spec, folder.path());
  const auto graph = support::ReadGraph(folder.path());
  graph::Value* logits = graph->FindValue("logits");
  graph::Node* head = logits->producer();
  graph::Value* before = graph->AddValue("before", logits->dtype, logits->dims);
  graph->SetOutput(head, 0, before);
  graph::Value* constant =
      graph->AddConstant("added", graph::Tensor::FromDoubles(logits->dtype, {spec.vocab}, added));
  graph->AddNode("add", "", "Add", {before, constant}, {logits});
  onnx::WriteModel(*graph, folder.path() / "model.onnx");
  return Model::Load(folder.path(), support::SharedDevice(), options);
}

// Returns numbers of which the one of token 70 is `value` and the others are `rest`.
std::vector<double> AllBut(double value, double rest, const ModelSpec& spec) {
  std::vector<double> added(static_cast<size_t>(spec.vocab), rest);
  added[70] = value;
  return added;
}

TokenChoice Greedy() { return {}; }
TokenChoice Sampling(const kernels::SamplingOptions& options) {
  return {.greedy = false, .options = options, .seed = 1};
}

std::vector<TokenChoice> AllChoices() {
  TokenChoice penalty = Greedy();
  penalty.options.repetition_penalty = 1.5f;
  return {Greedy(),
          penalty,
          Sampling({}),
          Sampling({.temperature = 0}),
          Sampling({.top_k = 5}),
          Sampling({.top_p = 0.9f}),
          Sampling({.min_p = 0.1f}),
          Sampling({.top_p = 0.9f, .min_p = 0.1f, .repetition_penalty = 1.2f, .top_k = 5})};
}

TEST(LogitsFaults, AreErrorsFromEveryChoice) {
  const ModelSpec spec = support::ModelNamed("qwen3_f32");
  struct Case {
    std::vector<double> added;
    std::string got;
  };
  for (const Case& c : {Case{AllBut(kNan, 0, spec), "got NaN or infinity"},
                        Case{AllBut(kNan, kNan, spec), "got NaN or infinity"},
                        Case{AllBut(kInf, 0, spec), "got NaN or infinity"},
                        Case{AllBut(-kInf, -kInf, spec), "got -infinity for every token"}}) {
    Sequence sequence(WithLogits(spec, c.added), {.max_length = 64, .chunk = 16});
    sequence.Append(support::RandomTokens(18, 6));
    const auto matches = AllOf(HasSubstr("logits after token 18"), HasSubstr(c.got),
                               HasSubstr("want finite numbers"), Not(HasSubstr("--f32")));
    EXPECT_THAT(ErrorOf([&] { sequence.Logits(); }), matches);
    bool first = true;
    for (const TokenChoice& choice : AllChoices()) {
      // An abandoned generation takes back the logits, but no token.
      if (!first) sequence.Append({});
      first = false;
      sequence.BeginGeneration(choice);
      for (int i = 0; i < 3; ++i) sequence.Step();
      EXPECT_THAT(ErrorOf([&] { sequence.Token(0); }), matches);
      EXPECT_THAT(ErrorOf([&] { sequence.Token(0); }), matches) << "again";
      EXPECT_THAT(ErrorOf([&] { sequence.Token(2); }), matches) << "of a later token";
      sequence.AbandonGeneration();
      EXPECT_EQ(sequence.length(), 18);
    }
  }
}

// Masked tokens have -infinity; the others can be chosen.
TEST(LogitsFaults, AreNotMaskedTokens) {
  const ModelSpec spec = support::ModelNamed("qwen3_f32");
  Sequence sequence(WithLogits(spec, AllBut(0, -kInf, spec)), {.max_length = 64, .chunk = 16});
  for (const TokenChoice& choice : AllChoices()) {
    sequence.Rewind(0);
    sequence.Append(support::RandomTokens(18, 6));
    EXPECT_EQ(sequence.Logits()[71], -kInf);
    sequence.BeginGeneration(choice);
    for (int i = 0; i < 3; ++i) sequence.Step();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(sequence.Token(i), 70);
    sequence.EndGeneration(3);
  }
}

TEST(LogitsFaults, NameTheTokenAndAdviseF32) {
  const ModelSpec spec = support::ModelNamed("phi3");
  ASSERT_EQ(spec.dtype, DType::kF16);
  const auto model = WithLogits(spec, AllBut(kInf, 0, spec));
  EXPECT_THAT(
      LogitsError(*model, kernels::TokenFault::kNotFinite, 41).what(),
      AllOf(HasSubstr("[model] logits after token 41"),
            HasSubstr(support::SharedDevice()->caps().f16 ? "try --f32" : "in f32 either")));
}

TEST(LogitsFaults, EndChains) {
  ModelOptions options;
  options.fusion = passes::Fusion::kChain;
  const ModelSpec spec = support::ModelNamed("qwen3_f32");
  Sequence sequence(WithLogits(spec, AllBut(kNan, 0, spec), options), {.max_length = 64});
  sequence.Append(support::RandomTokens(5, 6));
  sequence.BeginGeneration({});
  sequence.Step();
  sequence.Step();
  EXPECT_THAT(ErrorOf([&] { sequence.Token(1); }), HasSubstr("logits after token 5"));
  sequence.AbandonGeneration();
}

}  // namespace
}  // namespace sinter::engine
