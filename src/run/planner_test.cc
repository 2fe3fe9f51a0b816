// Plans by measurement: what is chosen, kept and believed of a file; results stay the same.

#include "run/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "graph/text.h"
#include "passes/specialize.h"
#include "support/device.h"

namespace sinter::run {
namespace {

using support::SharedDevice;

// Two products of one kind.
constexpr char kGraph[] = R"(graph g { opset ai.onnx 23 opset com.microsoft 1
  input %x: f32[1, 32]
  const %codes: u8[2, 1, 16] = [1, 22, 133, 44, 255, 66, 77, 88, 9, 10, 211, 12, 13, 14, 15, 16,
    101, 122, 33, 144, 155, 166, 177, 188, 19, 110, 11, 112, 113, 114, 115, 116]
  const %a: f32[2, 1] = [0.5, 0.25]
  const %b: f32[2, 1] = [1, -0.5]
  %y: f32[1, 2] = com.microsoft::MatMulNBits (%x, %codes, %a) {K = 32, N = 2, bits = 4, block_size = 32}
  %z: f32[1, 2] = com.microsoft::MatMulNBits (%x, %codes, %b) {K = 32, N = 2, bits = 4, block_size = 32}
  return %y, %z })";

class TempFolder {
 public:
  TempFolder() {
    path_ = std::filesystem::temp_directory_path() / ("planner_test." + std::to_string(getpid()));
    std::filesystem::create_directories(path_);
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }
  // The one file in it.
  std::filesystem::path file() const { return std::filesystem::directory_iterator(path_)->path(); }

 private:
  std::filesystem::path path_;
};

Program MakeProgram(WeightStore& weights, const compile::Choices& choices = {}) {
  const auto graph = passes::Specialize(*graph::Parse(kGraph), {});
  const gpu::Buffer x = SharedDevice()->CreateBuffer(128, "x");
  const std::vector<float> values(32, 1.5f);
  SharedDevice()->Upload(x, 0, std::as_bytes(std::span(values)));
  return Program(SharedDevice(), weights, *graph, {{"x", x}}, {}, choices);
}

std::vector<std::byte> Results(Program& program) {
  program.Run();
  std::vector<std::byte> all = SharedDevice()->Download(program.external("y"), 0, 8);
  const std::vector<std::byte> z = SharedDevice()->Download(program.external("z"), 0, 8);
  all.insert(all.end(), z.begin(), z.end());
  return all;
}

TEST(PlanBook, MeasuresOnceAndKeepsTheChoice) {
  const TempFolder folder;
  WeightStore weights(SharedDevice());
  Program program = MakeProgram(weights);
  const std::vector<std::byte> expected = Results(program);

  PlanBook book(SharedDevice()->adapter(), folder.path());
  EXPECT_TRUE(book.choices().empty());
  EXPECT_GT(book.UnknownPipelines(program.lowered()).size(), 1u);
  Measured measured = book.Measure(*SharedDevice(), program);
  EXPECT_TRUE(measured.added && measured.ran);
  ASSERT_EQ(book.records().size(), 1u) << "two dispatches of one kind";
  const PlanRecord record = book.records()[0];
  EXPECT_GT(record.alternatives, 1u);
  EXPECT_GT(record.microseconds, 0);
  EXPECT_GE(record.guess_microseconds, record.microseconds);
  EXPECT_FALSE(record.from_disk);
  measured = book.Measure(*SharedDevice(), program);
  EXPECT_FALSE(measured.added || measured.ran) << "nothing is new";
  EXPECT_TRUE(book.UnknownPipelines(program.lowered()).empty());
  // Measuring leaves the program as it was, and the choice gives the same sums.
  EXPECT_EQ(Results(program), expected);
  Program chosen = MakeProgram(weights, book.choices());
  EXPECT_EQ(Results(chosen), expected);

  PlanBook again(SharedDevice()->adapter(), folder.path());
  measured = again.Measure(*SharedDevice(), program);
  EXPECT_TRUE(measured.added && !measured.ran) << "new to this book, though not to the disk";
  EXPECT_TRUE(again.records()[0].from_disk);
  EXPECT_EQ(again.records()[0].variant, record.variant);
  EXPECT_EQ(again.choices(), book.choices());
}

TEST(PlanBook, MeasuresAnewWhatItCannotBelieve) {
  const TempFolder folder;
  WeightStore weights(SharedDevice());
  Program program = MakeProgram(weights);
  PlanBook(SharedDevice()->adapter(), folder.path()).Measure(*SharedDevice(), program);
  std::stringstream text;
  text << std::ifstream(folder.file()).rdbuf();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text.str();
    const size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return changed.replace(at, from.size(), to);
  };
  for (const std::string& content :
       {std::string(), std::string("{"), std::string("[1, 2]"),
        with("\"format\": 1", "\"format\": 99"), with("\"source\": \"", "\"source\": \"0"),
        with("\"variant\"", "\"variants\""), with("\"plans\": {", "\"plans\": 7, \"old\": {")}) {
    SCOPED_TRACE(content);
    std::ofstream(folder.file(), std::ios::trunc) << content;
    PlanBook book(SharedDevice()->adapter(), folder.path());
    EXPECT_TRUE(book.Measure(*SharedDevice(), program).ran);
    EXPECT_FALSE(book.records()[0].from_disk);
  }
}

TEST(PlanBook, KeepsTheTimeOfARun) {
  const TempFolder folder;
  WeightStore weights(SharedDevice());
  const Program program = MakeProgram(weights);
  PlanBook book(SharedDevice()->adapter(), folder.path());
  EXPECT_EQ(book.RunMicroseconds(program, "one row"), std::nullopt);
  const double time = book.MeasureRun(*SharedDevice(), program, "one row");
  EXPECT_GT(time, 0);
  EXPECT_EQ(book.RunMicroseconds(program, "one row"), time);
  EXPECT_EQ(book.RunMicroseconds(program, "two rows"), std::nullopt);

  PlanBook again(SharedDevice()->adapter(), folder.path());
  const std::optional<double> kept = again.RunMicroseconds(program, "one row");
  ASSERT_TRUE(kept);
  EXPECT_NEAR(*kept, time, 1e-6 * time);
  ASSERT_EQ(again.records().size(), 1u);
  EXPECT_TRUE(again.records()[0].from_disk);
}

TEST(PlanBook, KeepsNothingWithoutAFolder) {
  WeightStore weights(SharedDevice());
  Program program = MakeProgram(weights);
  PlanBook book(SharedDevice()->adapter(), {});
  EXPECT_TRUE(book.Measure(*SharedDevice(), program).ran);
  // A folder that cannot be made is no error either.
  PlanBook unwritable(SharedDevice()->adapter(), "/dev/null/plans");
  EXPECT_TRUE(unwritable.Measure(*SharedDevice(), program).ran);
  EXPECT_EQ(unwritable.records().size(), 1u);
}

}  // namespace
}  // namespace sinter::run
