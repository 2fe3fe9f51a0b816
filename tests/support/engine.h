// Models and sequences for tests of the engine. Included by *_test.cc only.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "engine/model.h"
#include "engine/sequence.h"
#include "support/device.h"
#include "support/model_builder.h"

namespace sinter::support {

// Returns whether to run also the tests that take minutes on a software GPU.
inline bool TestAll() { return std::getenv("SINTER_TEST_ALL") != nullptr; }

// Writes a model to a temporary folder and loads it. The files stay mapped after the folder is
// removed.
inline std::shared_ptr<engine::Model> LoadModel(
    const ModelSpec& spec, std::shared_ptr<gpu::Device> device = SharedDevice(),
    const engine::ModelOptions& options = {}) {
  const TempFolder folder;
  WriteModelFolder(spec, folder.path());
  return engine::Model::Load(folder.path(), std::move(device), options);
}

// Generates `count` greedy tokens with the loop on the device. The sequence keeps all of them.
inline std::vector<int32_t> Generate(engine::Sequence& sequence, int64_t count) {
  sequence.BeginGeneration({});
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) sequence.Step();
  for (int64_t i = 0; i < count; ++i) tokens.push_back(sequence.Token(i));
  sequence.EndGeneration(count);
  return tokens;
}

// Returns the text of the Error that `call` throws, or "" if it throws none.
template <typename F>
std::string ErrorOf(F&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

// Tolerances as a fraction of the logits' range. kRounding is for the same sums in another order in
// f32, with rounding errors of 2^-24 in some 20 results and in sums of at most 192 terms.
// kMeasuredRounding is for measured plans, which may convert activations to 16-bit integers.
inline constexpr float kRounding = 1e-5f, kMeasuredRounding = 1e-4f;
// f16 rounds each of some 20 results by 2^-11.
inline constexpr float kHalfRounding = 20 * 0x1p-11f;

inline void ExpectNear(const std::vector<float>& got, const std::vector<float>& want,
                       float share = kRounding) {
  ASSERT_EQ(got.size(), want.size());
  const auto [low, high] = std::minmax_element(want.begin(), want.end());
  for (size_t i = 0; i < want.size(); ++i)
    ASSERT_NEAR(got[i], want[i], share * (*high - *low)) << "logit " << i;
}

}  // namespace sinter::support
