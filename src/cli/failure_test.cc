#include "cli/failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/check.h"
#include "base/error.h"

namespace sinter::cli {
namespace {

nlohmann::json ObjectOf(const Failure& failure) {
  const std::string line = FailureText(failure, /*json=*/true);
  EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
  nlohmann::json object = nlohmann::json::parse(line);
  EXPECT_EQ(object.size(), 1u);
  return object.at("error");
}

TEST(Failure, IsALineOrAnObject) {
  const Failure failure = ToFailure(Error("onnx", "a\nb: got {}, want [2] x", 1));
  EXPECT_EQ(FailureText(failure, false), "sinter: [onnx] a\\x0ab: got 1, want [2] x\n");
  EXPECT_EQ(
      ObjectOf(failure),
      nlohmann::json({{"area", "onnx"}, {"message", "a\nb: got 1, want [2] x"}, {"code", 1}}));
}

TEST(Failure, KeepsTheLinesOfDriversAndBugs) {
  const Failure lost = ToFailure(DeviceLostError("lost:\n  reset"));
  EXPECT_EQ(FailureText(lost, false), "sinter: [gpu] lost:\n  reset\n");
  EXPECT_EQ(ObjectOf(lost).at("area"), "gpu");
  EXPECT_EQ(ObjectOf(lost).at("message"), "lost:\n  reset");
  const Failure bug = ToFailure(BugError("[bug] a.cc:1: x does not hold"));
  EXPECT_EQ(ObjectOf(bug),
            nlohmann::json({{"area", "bug"}, {"message", "a.cc:1: x does not hold"}, {"code", 1}}));
}

TEST(Failure, OfTheStandardLibraryIsTheCommandLines) {
  EXPECT_EQ(ObjectOf(ToFailure(std::runtime_error("[x] y"))),
            nlohmann::json({{"area", "cli"}, {"message", "[x] y"}, {"code", 1}}));
}

TEST(Failure, OfASignalIsSilentWithoutJson) {
  const Failure failure = SignalFailure(128 + SIGTERM);
  EXPECT_EQ(FailureText(failure, false), "");
  EXPECT_EQ(ObjectOf(failure),
            nlohmann::json({{"area", "signal"}, {"message", "ended by SIGTERM"}, {"code", 143}}));
  EXPECT_EQ(ObjectOf(SignalFailure(128 + SIGINT)).at("message"), "ended by SIGINT (Ctrl-C)");
  EXPECT_EQ(ObjectOf(SignalFailure(128 + SIGHUP)).at("code"), 129);
}

TEST(Failure, IsCutAndWellFormed) {
  const Failure failure = {"model", "\xff" + std::string(1 << 20, 'x')};
  EXPECT_LT(FailureText(failure, false).size(), 5000u);
  EXPECT_LT(FailureText(failure, true).size(), 5000u);
  EXPECT_EQ(ObjectOf(failure).at("message").get<std::string>().substr(0, 4), "\xef\xbf\xbdx");
}

TEST(Failure, AsksForJsonBeforeTheEndOfOptions) {
  const auto asks = [](std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "sinter");
    return AsksForJson(static_cast<int>(arguments.size()), arguments.data());
  };
  EXPECT_TRUE(asks({"run", "--frobnicate", "--json"}));
  EXPECT_TRUE(asks({"--json=true"}));
  EXPECT_FALSE(asks({}));
  EXPECT_FALSE(asks({"tokenize", "models/demo", "--", "--json"}));
  EXPECT_FALSE(asks({"run", "-p", "json", "--json=false"}));
}

}  // namespace
}  // namespace sinter::cli
