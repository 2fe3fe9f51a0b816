// Tests the plan book: what it keeps and finds, which entries of a file it accepts, and several
// books on one file.

#include "run/plan_book.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "compile/lowering.h"
#include "support/device.h"
#include "support/model_builder.h"
#include "support/product_graph.h"

namespace sinter::run {
namespace {

using support::SharedDevice;
using support::TempFolder;
using ::testing::ElementsAre;
using ::testing::SizeIs;

// A graph with one kind to measure, and the identity under which the book keeps that kind.
struct Products {
  std::unique_ptr<graph::Graph> graph = support::TwoProducts();
  compile::Lowered lowered = compile::Lower(*graph, SharedDevice()->caps(), {});
  PlanIdentity identity = IdentityOf(lowered.dispatches[0], lowered.dispatches[0].plan);
};

const Products& TheProducts() {
  static const Products products;
  return products;
}

PlanRecord Record(const std::string& name, const std::string& variant = "some", double us = 1.5) {
  return {.guess = name, .variant = variant, .microseconds = us, .guess_microseconds = 2};
}

PlanBook OpenIn(const TempFolder& folder) { return {SharedDevice()->adapter(), folder.path()}; }

// Returns the only file in the folder.
std::filesystem::path FileIn(const TempFolder& folder) {
  return std::filesystem::directory_iterator(folder.path())->path();
}

TEST(PlanBook, KeepsChoices) {
  const TempFolder folder;
  const auto& [graph, lowered, identity] = TheProducts();
  PlanBook book = OpenIn(folder);
  EXPECT_EQ(book.size(), 0u);
  EXPECT_THAT(book.UnknownKinds(lowered), ElementsAre(0u)) << "two dispatches of one kind";
  EXPECT_EQ(book.Find(identity), std::nullopt);
  book.Keep(Record(identity.name), identity.source);
  EXPECT_THAT(book.UnknownKinds(lowered), SizeIs(0));
  EXPECT_THAT(book.choices(), ElementsAre(std::pair(identity.name, "some")));
  ASSERT_THAT(book.records(), SizeIs(1));
  EXPECT_FALSE(book.records()[0].from_disk);

  PlanBook again = OpenIn(folder);
  EXPECT_EQ(again.size(), 1u);
  EXPECT_EQ(again.choices(), book.choices());
  EXPECT_THAT(again.records(), SizeIs(0)) << "no program has used it yet";
  EXPECT_FALSE(again.DropStale(lowered, again.choices()));
  ASSERT_THAT(again.records(), SizeIs(1));
  const std::optional<PlanRecord> found = again.Find(identity);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->from_disk);
  EXPECT_EQ(found->variant, "some");
  EXPECT_EQ(found->microseconds, 1.5);
}

TEST(PlanBook, TellsAChoiceOfAChainFromNone) {
  PlanBook book(SharedDevice()->adapter(), {});
  const PlanIdentity identity = {"chain of a test", "source"};
  EXPECT_EQ(book.PrefersChain(identity), std::nullopt);
  book.Keep(Record(identity.name, std::string(PlanBook::kLayered)), identity.source);
  EXPECT_EQ(book.PrefersChain(identity), false);
  book.Keep(Record(identity.name, std::string(PlanBook::kChained)), identity.source);
  EXPECT_EQ(book.PrefersChain(identity), true);
  EXPECT_EQ(book.PrefersChain({identity.name, "other source"}), std::nullopt);
}

TEST(PlanBook, CountsAFileThatItCannotBelieveAsEmpty) {
  const TempFolder folder;
  const auto& [graph, lowered, identity] = TheProducts();
  OpenIn(folder).Keep(Record(identity.name), identity.source);
  std::stringstream text;
  text << std::ifstream(FileIn(folder)).rdbuf();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text.str();
    const size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return changed.replace(at, from.size(), to);
  };
  for (const std::string& content :
       {std::string(), std::string("{"), std::string("[1, 2]"),
        with("\"format\": 2", "\"format\": 99"), with("\"adapter\": \"", "\"adapter\": \"other "),
        with("\"variant\"", "\"variants\""), with("\"plans\": {", "\"plans\": 7, \"old\": {")}) {
    SCOPED_TRACE(content);
    std::ofstream(FileIn(folder), std::ios::trunc) << content;
    PlanBook book = OpenIn(folder);
    EXPECT_EQ(book.size(), 0u);
    EXPECT_EQ(book.Find(identity), std::nullopt);
    // A new measurement replaces the entry.
    book.Keep(Record(identity.name, "anew"), identity.source);
    EXPECT_EQ(OpenIn(folder).choices().at(identity.name), "anew");
  }
  gpu::AdapterInfo other = SharedDevice()->adapter();
  other.driver += " of tomorrow";
  EXPECT_EQ(PlanBook(other, folder.path()).size(), 0u);
}

TEST(PlanBook, DropsWhatWasMeasuredWithOtherSources) {
  const TempFolder folder;
  const auto& [graph, lowered, identity] = TheProducts();
  OpenIn(folder).Keep(Record(identity.name), "another kernel's");
  PlanBook book = OpenIn(folder);
  EXPECT_EQ(book.size(), 1u);
  EXPECT_EQ(book.Find(identity), std::nullopt);
  EXPECT_TRUE(book.DropStale(lowered, book.choices()));
  EXPECT_EQ(book.size(), 0u);
  EXPECT_THAT(book.UnknownKinds(lowered), SizeIs(1));
  EXPECT_FALSE(book.DropStale(lowered, book.choices())) << "once";
  // Writing another record does not bring the dropped one back.
  book.Keep(Record("something else"), "source");
  EXPECT_THAT(book.choices(), SizeIs(1));
  EXPECT_THAT(OpenIn(folder).choices(), ElementsAre(std::pair("something else", "some")));
  book.Keep(Record(identity.name, "anew"), identity.source);
  EXPECT_FALSE(book.DropStale(lowered, book.choices()));
  EXPECT_EQ(OpenIn(folder).choices().at(identity.name), "anew");
}

// One thread stores a choice while another lowers a program without that choice.
TEST(PlanBook, DropsNothingThatCameSinceTheProgramWasLowered) {
  const auto& [graph, lowered, identity] = TheProducts();
  PlanBook book(SharedDevice()->adapter(), {});
  const compile::Choices none = book.choices();
  book.Keep(Record(identity.name), "another plan's");
  EXPECT_FALSE(book.DropStale(lowered, none));
  EXPECT_FALSE(book.DropStale(lowered, {{identity.name, "an older one"}}));
  EXPECT_EQ(book.size(), 1u);
}

TEST(PlanBook, BooksOfOneFileMergeWhatTheyFound) {
  const TempFolder folder;
  PlanBook one = OpenIn(folder), other = OpenIn(folder);
  one.Keep(Record("a", "one's"), "source");
  other.Keep(Record("b", "other's"), "source");
  EXPECT_THAT(other.choices(), ElementsAre(std::pair("a", "one's"), std::pair("b", "other's")));
  // On disk the last writer wins; a book keeps its own record.
  other.Keep(Record("a", "other's"), "source");
  one.Keep(Record("c", "one's"), "source");
  EXPECT_EQ(one.choices().at("a"), "one's");
  EXPECT_EQ(one.choices().at("b"), "other's");
  EXPECT_EQ(OpenIn(folder).size(), 3u);
}

TEST(PlanBook, Forgets) {
  const TempFolder folder;
  const auto& [graph, lowered, identity] = TheProducts();
  PlanBook book = OpenIn(folder);
  book.Keep(Record(identity.name), identity.source);
  book.Forget();
  EXPECT_EQ(book.size(), 0u);
  EXPECT_THAT(book.records(), SizeIs(0));
  EXPECT_THAT(book.UnknownKinds(lowered), SizeIs(1));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_EQ(OpenIn(folder).size(), 0u);
  book.Forget();  // has nothing to forget
  book.Keep(Record(identity.name), identity.source);
  EXPECT_EQ(OpenIn(folder).size(), 1u);
}

TEST(PlanBook, KeepsNothingOnDiskWithoutAFolder) {
  for (const char* folder : {"", "/dev/null/plans"}) {
    SCOPED_TRACE(folder);
    PlanBook book(SharedDevice()->adapter(), folder);
    book.Keep(Record("a"), "source");
    EXPECT_EQ(book.size(), 1u);
    EXPECT_THAT(book.records(), SizeIs(1));
    EXPECT_EQ(PlanBook(SharedDevice()->adapter(), folder).size(), 0u);
    book.Forget();
  }
}

TEST(PlanBookThreads, ShareOneBook) {
  const TempFolder folder;
  const auto& [graph, lowered, identity] = TheProducts();
  PlanBook book = OpenIn(folder);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 8; ++i) {
        book.Keep(Record(fmt::format("{} of {}", i, t)), "source");
        book.DropStale(lowered, book.choices());
        book.Find({fmt::format("{} of {}", i, (t + 1) % 4), "source"});
        EXPECT_GT(book.choices().size(), static_cast<size_t>(i));
        EXPECT_LE(book.records().size(), 4u * 8);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(book.size(), 4u * 8);
  EXPECT_EQ(OpenIn(folder).size(), 4u * 8);
}

}  // namespace
}  // namespace sinter::run
