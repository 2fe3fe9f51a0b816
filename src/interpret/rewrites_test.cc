// Checks that rewrites change no result: runs whole models on the interpreter with and without each
// pass.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/verify.h"
#include "interpret/interpreter.h"
#include "passes/fold_attention_mask.h"
#include "passes/fold_last_position.h"
#include "passes/last_row_logits.h"
#include "passes/pipeline.h"
#include "passes/specialize.h"
#include "support/model_builder.h"

namespace sinter::interpret {
namespace {

using support::ModelSpec;

constexpr int64_t kLength = 11, kCapacity = 16;

// Returns the logits after the last token, with a cache of more rows than tokens, like the programs
// that run on a GPU.
std::vector<double> LastLogits(const ModelSpec& spec, const std::vector<int32_t>& tokens,
                               std::set<std::string, std::less<>> disabled) {
  passes::PassOptions options;
  options.disabled = std::move(disabled);
  if (spec.rope == ModelSpec::Rope::kConcatenated)
    options.multi_rotary_offset = spec.rope_threshold;
  auto symbolic = support::BuildGraph(spec);
  graph::Verify(*symbolic);
  passes::RunPasses(*symbolic, passes::Stage::kModel, options);
  const passes::DimBinding dims = {{"batch_size", 1},
                                   {"sequence_length", kLength},
                                   {"past_sequence_length", kCapacity},
                                   {"total_sequence_length", kCapacity}};
  auto graph = passes::Specialize(*symbolic, dims, {{"total_sequence_length", kLength}});
  passes::RunPasses(*graph, passes::Stage::kProgram, options);

  HostTensors inputs;
  std::vector<double> mask(kCapacity, 0), positions;
  std::fill_n(mask.begin(), kLength, 1);
  for (int64_t i = 0; i < kLength; ++i) positions.push_back(static_cast<double>(i));
  for (const graph::Value* value : graph->inputs()) {
    HostTensor tensor{value->dtype, value->shape(), {}, {}};
    if (value->name() == "input_ids") {
      tensor.values.assign(tokens.begin(), tokens.end());
    } else if (value->name() == "attention_mask") {
      tensor.values = mask;
    } else if (value->name() == "position_ids") {
      tensor.values = positions;
    } else if (value->name() == passes::kTotalLength) {
      tensor.values = {kLength};
    } else if (value->name() == passes::kLastRow || value->name() == passes::kLastPosition) {
      tensor.values = {kLength - 1};
    } else {
      tensor.values.resize(static_cast<size_t>(graph::NumElements(tensor.shape)));
    }
    inputs[value->name()] = std::move(tensor);
  }
  const std::vector<double> logits = Interpret(*graph, inputs).at("logits").values;
  return {logits.end() - spec.vocab, logits.end()};
}

class Rewrites : public ::testing::TestWithParam<ModelSpec> {};

TEST_P(Rewrites, ChangeNoLogits) {
  const ModelSpec& spec = GetParam();
  const std::vector<int32_t> tokens = support::RandomTokens(kLength, 3, spec.vocab);
  const std::vector<double> want = support::ReferenceModel(spec).Logits(tokens).back();
  double largest = 0;
  for (const double logit : want) largest = std::max(largest, std::fabs(logit));
  ASSERT_GT(largest, 0.5);
  std::vector<std::set<std::string, std::less<>>> choices = {{}};
  for (const passes::Stage stage : {passes::Stage::kModel, passes::Stage::kProgram}) {
    for (const passes::Pass& pass : passes::Passes(stage)) {
      // Without this pass the concatenated caches are read wrongly, because the pass interprets a
      // provider option.
      if (pass.name != "split_rotary_cache") choices.push_back({std::string(pass.name)});
    }
  }
  std::set<std::string, std::less<>> all;
  for (const auto& choice : choices) all.insert(choice.begin(), choice.end());
  choices.push_back(all);
  for (const auto& disabled : choices) {
    SCOPED_TRACE(disabled.empty() ? "all passes" : "without " + *disabled.begin());
    const std::vector<double> got = LastLogits(spec, tokens, disabled);
    for (size_t i = 0; i < want.size(); ++i) {
      // Both graphs sum doubles in the same order, except for cache rows with zero weight.
      ASSERT_NEAR(got[i], want[i], 1e-12 * largest) << i;
    }
  }
}

// Checks that every rewrite changes at least one of the models, so that the test above compares
// different graphs.
TEST(RewritesOfAllModels, EachFires) {
  std::map<std::string, int, std::less<>> changes;
  for (const ModelSpec& spec : support::AllModels()) {
    passes::PassOptions options;
    if (spec.rope == ModelSpec::Rope::kConcatenated)
      options.multi_rotary_offset = spec.rope_threshold;
    const auto symbolic = support::BuildGraph(spec);
    const auto count = [&](const std::vector<passes::PassReport>& reports) {
      for (const passes::PassReport& report : reports)
        changes[std::string(report.name)] += report.changes;
    };
    count(passes::RunPasses(*symbolic, passes::Stage::kModel, options));
    for (const int64_t sequence : {int64_t{1}, kLength}) {
      const auto graph = passes::Specialize(*symbolic, {{"batch_size", 1},
                                                        {"sequence_length", sequence},
                                                        {"past_sequence_length", kCapacity},
                                                        {"total_sequence_length", kCapacity}});
      count(passes::RunPasses(*graph, passes::Stage::kProgram, options));
    }
  }
  for (const auto& [name, count] : changes) {
    // These passes may find nothing: rewrites remove the dead nodes that they leave.
    if (name == "eliminate_dead" || name == "eliminate_identity") continue;
    EXPECT_GT(count, 0) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Rewrites, ::testing::ValuesIn(support::AllModels()),
                         [](const auto& info) { return info.param.name; });

// Checks that writing a model and reading it again preserves it, and that steps with a growing past
// give the results of one run over the whole sequence.
TEST(Interpreter, StepsEqualOneRun) {
  const ModelSpec spec = support::ModelNamed("gptoss");
  const support::TempFolder folder;
  support::WriteModelFolder(spec, folder.path());
  const auto symbolic = support::ReadGraph(folder.path());
  const std::vector<int32_t> tokens = support::RandomTokens(13, 4, spec.vocab);
  const auto want = support::ReferenceModel(spec).Logits(tokens);

  HostTensors cache;
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    for (const char* what : {"key", "value"}) {
      cache[fmt::format("{}.{}", layer, what)] = {
          spec.dtype, {1, spec.kv_heads, 0, spec.head_size}, {}, {}};
    }
  }
  int64_t past = 0;
  for (const int64_t count : {5, 1, 4, 1, 2}) {
    const int64_t total = past + count;
    const auto graph = passes::Specialize(*symbolic, {{"batch_size", 1},
                                                      {"sequence_length", count},
                                                      {"past_sequence_length", past},
                                                      {"total_sequence_length", total}});
    HostTensors inputs;
    inputs["input_ids"] = {
        DType::kI64, {1, count}, {tokens.begin() + past, tokens.begin() + total}, {}};
    inputs["attention_mask"] = {
        DType::kI64, {1, total}, std::vector<double>(static_cast<size_t>(total), 1), {}};
    for (auto& [name, tensor] : cache) inputs["past_key_values." + name] = tensor;
    const HostTensors outputs = Interpret(*graph, inputs);
    for (auto& [name, tensor] : cache) tensor = outputs.at("present." + name);
    for (int64_t row = 0; row < count; ++row) {
      for (int64_t i = 0; i < spec.vocab; ++i) {
        ASSERT_NEAR(outputs.at("logits").values[row * spec.vocab + i], want[past + row][i], 1e-11)
            << past + row << ", " << i;
      }
    }
    past = total;
  }
}

}  // namespace
}  // namespace sinter::interpret
