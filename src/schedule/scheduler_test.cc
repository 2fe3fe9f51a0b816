#include "schedule/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"

namespace sinter::schedule {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int64_t kChunk = 512;
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

Time At(double s) {
  return Time() + std::chrono::duration_cast<Time::duration>(std::chrono::duration<double>(s));
}

Room Always(uint64_t) { return Room::kYes; }

// Returns the ids in the order in which their first chunk runs, if each runs to its end.
std::vector<uint64_t> OrderOf(Scheduler& scheduler, Time now) {
  std::vector<uint64_t> order;
  while (const auto choice = scheduler.Next(now, Always)) {
    if (choice->admitted) order.push_back(choice->id);
    scheduler.ChargePrompt(choice->id, kChunk);
  }
  return order;
}

std::string ErrorOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Scheduler, ShortPromptsFirstWithinAClient) {
  Scheduler scheduler;
  scheduler.Push({.id = 1, .client = "a", .prompt_tokens = 3000, .submitted = At(10)});
  scheduler.Push({.id = 2, .client = "a", .prompt_tokens = 200, .submitted = At(10)});
  scheduler.Push({.id = 3, .client = "a", .prompt_tokens = 1000, .submitted = At(10)});
  scheduler.Push({.id = 4, .client = "a", .prompt_tokens = 200, .submitted = At(10)});
  EXPECT_EQ(OrderOf(scheduler, At(10)), (std::vector<uint64_t>{2, 4, 3, 1}));
}

TEST(Scheduler, AShortPromptPassesARunningLongOne) {
  Scheduler scheduler;
  scheduler.Push({.id = 1, .client = "a", .prompt_tokens = 3000});
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 1u);
  scheduler.ChargePrompt(1, kChunk);
  scheduler.Push({.id = 2, .client = "a", .prompt_tokens = 100});
  const auto choice = scheduler.Next(At(0), Always);
  EXPECT_EQ(choice->id, 2u);
  EXPECT_TRUE(choice->admitted);
  scheduler.ChargePrompt(2, 100);
  const auto again = scheduler.Next(At(0), Always);
  EXPECT_EQ(again->id, 1u);
  EXPECT_FALSE(again->admitted);
  // One that is longer than what remains waits.
  scheduler.Push({.id = 3, .client = "a", .prompt_tokens = 2600});
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 1u);
}

TEST(Scheduler, HigherPrioritiesFirstWithinAClientOnly) {
  Scheduler scheduler;
  scheduler.Push({.id = 1, .client = "a", .prompt_tokens = 10});
  scheduler.Push({.id = 2, .client = "a", .priority = -1, .prompt_tokens = 5});
  scheduler.Push(
      {.id = 3, .client = "a", .priority = std::numeric_limits<int>::max(), .prompt_tokens = 20});
  scheduler.Push(
      {.id = 4, .client = "a", .priority = std::numeric_limits<int>::min(), .prompt_tokens = 1});
  EXPECT_EQ(OrderOf(scheduler, At(0)), (std::vector<uint64_t>{3, 1, 2, 4}));

  scheduler.Push({.id = 5, .client = "b", .prompt_tokens = 512});
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 5u);
  scheduler.ChargePrompt(5, 512);
  scheduler.Push({.id = 6, .client = "b", .priority = 1000, .prompt_tokens = 512});
  scheduler.Push({.id = 7, .client = "c", .prompt_tokens = 512});
  scheduler.ChargeGenerated(5, 1);  // so b is ahead of c
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 7u);
}

// A prompt of L tokens is passed only by requests submitted less than L / aging seconds later.
TEST(Scheduler, AgingBoundsWhoPasses) {
  std::mt19937 random(7);
  const auto up = [&](int64_t most) {
    return std::uniform_int_distribution<int64_t>(0, most)(random);
  };
  Scheduler scheduler({.aging_tokens_per_second = 1000});
  std::map<uint64_t, Request> waiting;
  uint64_t next = 1;
  int64_t passed = 0;
  for (int step = 0; step < 3000; ++step) {
    const double now = step * 0.2;
    // More arrives than runs, so that something always waits.
    for (int64_t i = up(2); i > 0 && waiting.size() < 200; --i) {
      const Request request{.id = next++,
                            .client = "a",
                            .prompt_tokens = up(3) == 0 ? 1 + up(20000) : 1 + up(500),
                            .submitted = At(now)};
      scheduler.Push(request);
      waiting[request.id] = request;
    }
    const auto choice = scheduler.Next(At(now), Always);
    if (!choice) continue;
    const Request chosen = waiting[choice->id];
    for (const auto& [id, other] : waiting) {
      const std::chrono::duration<double> later = chosen.submitted - other.submitted;
      if (later.count() > 0) ++passed;
      ASSERT_LE(later.count(), static_cast<double>(other.prompt_tokens) / 1000) << id;
    }
    waiting.erase(choice->id);
    scheduler.Remove(choice->id);
  }
  EXPECT_GT(passed, 100);
}

TEST(Scheduler, AClientWithOneRequestWaitsForOneChunkOfOneWithAHundred) {
  Scheduler scheduler;
  for (uint64_t id = 1; id <= 100; ++id) {
    scheduler.Push({.id = id, .client = "many", .prompt_tokens = 2000, .max_new_tokens = 100});
  }
  for (int i = 0; i < 37; ++i) {
    const auto choice = scheduler.Next(At(1), Always);
    scheduler.ChargePrompt(choice->id, kChunk);
    for (uint64_t id = 1; id <= 9; ++id) scheduler.ChargeGenerated(id, 1);
  }
  scheduler.Push({.id = 1000, .client = "one", .prompt_tokens = 1000, .submitted = At(1)});
  int before = 0;
  while (true) {
    const auto choice = scheduler.Next(At(1), Always);
    scheduler.ChargePrompt(choice->id, kChunk);
    if (choice->id == 1000) break;
    ++before;
  }
  EXPECT_LE(before, 1);
  // They then take turns.
  EXPECT_LT(scheduler.Next(At(1), Always)->id, 1000u);
}

// Clients that always have prompts to run differ by a chunk and what was generated at once.
TEST(Scheduler, SharesAreEqualWhateverTheSizes) {
  Scheduler scheduler;
  const std::vector<int64_t> sizes = {30, 512, 700, 9000};  // prompts of each client
  const int64_t answer = 40;
  std::vector<int64_t> served(sizes.size());
  uint64_t next = 0;
  const auto push = [&](size_t client) {
    scheduler.Push({.id = next * 4 + client,
                    .client = std::to_string(client),
                    .prompt_tokens = sizes[client],
                    .max_new_tokens = answer});
    ++next;
  };
  for (size_t client = 0; client < sizes.size(); ++client) {
    for (int i = 0; i < 3; ++i) push(client);
  }
  std::map<uint64_t, int64_t> left;
  for (int step = 0; step < 5000; ++step) {
    const auto choice = scheduler.Next(At(0), Always);
    ASSERT_TRUE(choice);
    const uint64_t id = choice->id;
    const size_t client = id % 4;
    if (choice->admitted) left[id] = sizes[client];
    const int64_t chunk = std::min(left[id], kChunk);
    scheduler.ChargePrompt(id, chunk);
    served[client] += chunk;
    left[id] -= chunk;
    if (left[id] == 0) {
      scheduler.ChargeGenerated(id, answer);
      served[client] += answer;
      scheduler.Remove(id);
      left.erase(id);
      push(client);
    }
    const auto [least, most] = std::minmax_element(served.begin(), served.end());
    ASSERT_LE(*most - *least, kChunk + answer) << "step " << step;
  }
}

TEST(Scheduler, HavingHadTheEngineAloneIsNotPunished) {
  Scheduler scheduler;
  scheduler.Push({.id = 1, .client = "a", .prompt_tokens = 100, .max_new_tokens = 1000000});
  scheduler.Next(At(0), Always);
  scheduler.ChargePrompt(1, 100);
  scheduler.ChargeGenerated(1, 500000);
  for (uint64_t id = 10; id < 50; ++id) {
    scheduler.Push({.id = id, .client = "b", .prompt_tokens = kChunk});
  }
  scheduler.Push({.id = 2, .client = "a", .prompt_tokens = kChunk});
  std::map<bool, int> chosen;
  for (int i = 0; i < 20; ++i) {
    const auto choice = scheduler.Next(At(0), Always);
    scheduler.ChargePrompt(choice->id, kChunk);
    ++chosen[choice->id < 10];
    if (choice->id == 2) break;
  }
  EXPECT_EQ(chosen[true], 1);
  EXPECT_LE(chosen[false], 1);
}

TEST(Scheduler, PausingDoesNotDropTheCount) {
  Scheduler scheduler;
  scheduler.Push({.id = 1, .client = "a", .prompt_tokens = 20 * kChunk});
  scheduler.Push({.id = 2, .client = "b", .prompt_tokens = 1, .max_new_tokens = 5 * kChunk});
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 1u);
  scheduler.ChargePrompt(1, kChunk);
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 2u);
  scheduler.ChargePrompt(2, 1);
  scheduler.ChargeGenerated(2, 5 * kChunk);
  scheduler.Remove(2);
  scheduler.Push({.id = 9, .client = "c", .prompt_tokens = 1});
  scheduler.Remove(9);
  scheduler.Push({.id = 3, .client = "b", .prompt_tokens = 1});
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(scheduler.Next(At(0), Always)->id, 1u);
    scheduler.ChargePrompt(1, kChunk);
  }
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 3u);
}

TEST(Scheduler, ServiceIsNotSavedUp) {
  Scheduler scheduler;
  scheduler.Push({.id = 1, .client = "slow", .prompt_tokens = 1, .max_new_tokens = 100});
  scheduler.Next(At(0), Always);
  scheduler.ChargePrompt(1, 1);
  scheduler.Push({.id = 2, .client = "busy", .prompt_tokens = 1000 * kChunk});
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(scheduler.Next(At(0), Always)->id, 2u);
    scheduler.ChargePrompt(2, kChunk);
  }
  scheduler.Push({.id = 3, .client = "slow", .prompt_tokens = 1000 * kChunk});
  int slow = 0;
  for (int i = 0; i < 20; ++i) {
    const auto choice = scheduler.Next(At(0), Always);
    scheduler.ChargePrompt(choice->id, kChunk);
    slow += choice->id == 3;
  }
  EXPECT_GE(slow, 10);
  EXPECT_LE(slow, 12);
}

// A pool of tokens, as an engine has it.
struct Pool {
  int64_t free;
  std::map<uint64_t, int64_t> wants;

  Room operator()(uint64_t id) const { return wants.at(id) <= free ? Room::kYes : Room::kNotNow; }
};

TEST(Scheduler, SmallOnesPassABigOneButNotForEver) {
  Scheduler scheduler({.passing = milliseconds(500)});
  Pool pool{.free = 60};
  const auto push = [&](uint64_t id, const char* client, int64_t tokens, double now) {
    scheduler.Push({.id = id, .client = client, .prompt_tokens = tokens, .submitted = At(now)});
    pool.wants[id] = tokens;
  };
  push(1, "big", 100, 0);  // waits for all of the pool, of which 40 are in use
  double now = 0;
  uint64_t next = 2;
  std::map<uint64_t, double> ends;
  int passed = 0;
  double admitted = -1;
  for (; now < 10 && admitted < 0; now += 0.01) {
    push(next++, "small", 20, now);
    for (auto one = ends.begin(); one != ends.end();) {
      if (one->second > now) {
        ++one;
        continue;
      }
      pool.free += pool.wants[one->first];
      scheduler.Remove(one->first);
      one = ends.erase(one);
    }
    if (now > 0.3 && pool.wants.count(0) == 0) {
      pool.wants[0] = 0;
      pool.free += 40;
    }
    const auto choice = scheduler.Next(At(now), std::ref(pool));
    if (!choice) continue;
    if (choice->admitted) {
      pool.free -= pool.wants[choice->id];
      ends[choice->id] = now + 0.1;
      ++passed;
      if (choice->id == 1) admitted = now;
    }
    scheduler.ChargePrompt(choice->id, 20);
  }
  EXPECT_GT(passed, 10);
  EXPECT_GE(admitted, 0.4);
  EXPECT_LE(admitted, 0.5 + 0.1 + 0.02);  // the passing, and the last one that was admitted before
}

TEST(Scheduler, ABlockedRequestStopsAdmissionsOnlyBehindIt) {
  Scheduler scheduler({.passing = milliseconds(500)});
  scheduler.Push({.id = 1, .client = "a", .prompt_tokens = 3 * kChunk});
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 1u);
  scheduler.Push({.id = 2, .client = "big", .prompt_tokens = 9000});
  scheduler.Push({.id = 3, .client = "big", .priority = 1, .prompt_tokens = 10});
  scheduler.Push({.id = 4, .client = "big", .prompt_tokens = 9001});
  scheduler.Push({.id = 5, .client = "late", .prompt_tokens = 10});
  scheduler.ChargePrompt(1, kChunk);  // so the others come before it
  std::set<uint64_t> full = {2, 3, 4, 5};
  std::vector<uint64_t> asked;
  const auto room = [&](uint64_t id) {
    asked.push_back(id);
    return full.contains(id) ? Room::kNotNow : Room::kYes;
  };
  EXPECT_EQ(scheduler.Next(At(0), room)->id, 1u);
  EXPECT_EQ(asked.size(), 4u);
  scheduler.ChargePrompt(1, kChunk);
  // Once a higher priority of its own fits, it goes first; then the old one blocks.
  full = {2};
  asked.clear();
  EXPECT_EQ(scheduler.Next(At(1), room)->id, 3u);
  scheduler.ChargePrompt(3, 10);
  EXPECT_EQ(scheduler.Next(At(1), room)->id, 5u);  // its client has had less
  scheduler.ChargePrompt(5, 10);
  asked.clear();
  scheduler.Push({.id = 6, .client = "late", .prompt_tokens = 10});
  // "big" and "late" are equal, and "big" was chosen before: it blocks, and 1 goes on.
  EXPECT_EQ(scheduler.Next(At(1), room)->id, 1u);
  EXPECT_EQ(asked, (std::vector<uint64_t>{2}));
  full.clear();
  EXPECT_EQ(scheduler.Next(At(1), room)->id, 2u);
}

TEST(Scheduler, AsksNoMoreThanItHasTo) {
  Scheduler scheduler({.max_waiting = 5000, .max_waiting_of_client = 5000});
  for (uint64_t id = 0; id < 3000; ++id) {
    scheduler.Push({.id = id, .client = std::to_string(id % 100), .prompt_tokens = 10});
  }
  int asked = 0;
  Room answer = Room::kNothing;
  const auto room = [&](uint64_t) {
    ++asked;
    return answer;
  };
  EXPECT_FALSE(scheduler.Next(At(0), room));
  EXPECT_EQ(asked, 1);
  asked = 0;
  answer = Room::kNotNow;
  EXPECT_FALSE(scheduler.Next(At(0), room));
  EXPECT_EQ(asked, Scheduler::kMaxQuestions);
  std::set<uint64_t> seen;
  while (const auto choice = scheduler.Next(At(0), Always)) {
    EXPECT_TRUE(seen.insert(choice->id).second);
    scheduler.ChargePrompt(choice->id, 10);
  }
  EXPECT_EQ(seen.size(), 3000u);
}

TEST(Scheduler, AFullQueueRefuses) {
  Scheduler scheduler({.max_waiting = 3, .max_waiting_of_client = 2});
  const auto push = [&](uint64_t id, const char* client) {
    scheduler.Push({.id = id, .client = client, .prompt_tokens = 100, .max_new_tokens = 50});
  };
  push(1, "a");
  push(2, "a");
  EXPECT_EQ(ErrorOf([&] { push(3, "a"); }),
            "[queue] waiting requests of one client: got 3, want at most 2; about 300 tokens come "
            "first");
  push(3, "b");
  EXPECT_EQ(ErrorOf([&] { push(4, "c"); }),
            "[queue] waiting requests: got 4, want at most 3; about 450 tokens come first");
  try {
    push(4, "c");
    ADD_FAILURE();
  } catch (const QueueFullError& error) {
    EXPECT_EQ(error.tokens_ahead(), 450);
  }
  EXPECT_EQ(scheduler.figures().waiting, 3);
  // An admitted request waits no longer.
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 1u);
  push(4, "a");
  EXPECT_TRUE(scheduler.Remove(2));
  EXPECT_FALSE(scheduler.Remove(2));
  push(5, "c");
  EXPECT_EQ(scheduler.figures().waiting, 3);
  EXPECT_EQ(scheduler.figures().admitted, 1);
  EXPECT_EQ(scheduler.figures().tokens, 600);
}

TEST(Scheduler, EstimatesTheTokensAhead) {
  Scheduler scheduler;
  scheduler.Push({.id = 1, .client = "a", .prompt_tokens = 1000, .max_new_tokens = 100});
  scheduler.Push({.id = 2, .client = "a", .prompt_tokens = 2000, .max_new_tokens = 100});
  scheduler.Push({.id = 3, .client = "a", .prompt_tokens = 1, .max_new_tokens = 7});
  EXPECT_EQ(scheduler.TokensAhead(3), 0);
  EXPECT_EQ(scheduler.TokensAhead(1), 8);
  EXPECT_EQ(scheduler.TokensAhead(2), 1108);
  for (uint64_t id = 10; id < 20; ++id) {
    scheduler.Push({.id = id, .client = "b", .prompt_tokens = 5000});
  }
  // In the meantime b gets as much as a, and at least a chunk.
  EXPECT_EQ(scheduler.TokensAhead(2), 1108 + 3108);
  EXPECT_EQ(scheduler.TokensAhead(3), 512);
  EXPECT_EQ(scheduler.TokensAheadOfNew("a"), 3208 + 3208);
  EXPECT_EQ(scheduler.TokensAheadOfNew("c"), 512 + 512);
  // What has run is not ahead any more; what is admitted is, whatever its length.
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 3u);
  scheduler.ChargePrompt(3, 1);
  scheduler.ChargeGenerated(3, 5);
  EXPECT_EQ(scheduler.TokensAhead(1), 2 + 1002);
}

TEST(Scheduler, RemainingPromptsChange) {
  Scheduler scheduler;
  scheduler.Push({.id = 1, .client = "a", .prompt_tokens = 0});
  EXPECT_TRUE(scheduler.Next(At(0), Always)->admitted);
  EXPECT_FALSE(scheduler.Next(At(0), Always));
  scheduler.SetRemainingPrompt(1, 700);  // a lost device
  EXPECT_FALSE(scheduler.Next(At(0), Always)->admitted);
  scheduler.ChargePrompt(1, 512);
  EXPECT_TRUE(scheduler.Next(At(0), Always));
  scheduler.ChargePrompt(1, 512);  // more than there was
  EXPECT_FALSE(scheduler.Next(At(0), Always));
  EXPECT_EQ(scheduler.figures().tokens, 0);
  // A prefix that was found makes the longer prompt the shorter one.
  scheduler.Push({.id = 2, .client = "a", .prompt_tokens = 100});
  scheduler.Push({.id = 3, .client = "a", .prompt_tokens = 5000});
  scheduler.SetRemainingPrompt(3, 40);
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 3u);
}

TEST(Scheduler, KeepsFewClients) {
  Scheduler scheduler;
  scheduler.Push({.id = 0, .client = "stays", .prompt_tokens = 1, .max_new_tokens = 1});
  scheduler.Next(At(0), Always);
  scheduler.ChargePrompt(0, 1);
  for (uint64_t id = 1; id < 3000; ++id) {
    scheduler.Push({.id = id, .client = std::to_string(id), .prompt_tokens = 10});
    EXPECT_EQ(scheduler.Next(At(0), Always)->id, id);
    scheduler.ChargePrompt(id, 10);
    scheduler.Remove(id);
    ASSERT_LE(scheduler.figures().clients, Scheduler::kMaxIdleClients + 2);
  }
  // Those that the others have caught up with are not kept.
  scheduler.ChargeGenerated(0, 1000);
  scheduler.Push({.id = 1, .client = "new", .prompt_tokens = 10});
  EXPECT_EQ(scheduler.figures().clients, 2);
  scheduler.Remove(1);
  scheduler.Remove(0);
  EXPECT_EQ(scheduler.figures().clients, 0);
}

TEST(Scheduler, TakesAnyNumbers) {
  Scheduler scheduler({.aging_tokens_per_second = Scheduler::kMaxAging});
  const std::vector<Time> times = {Time::min(), Time(), Time::max()};
  for (uint64_t id = 0; id < 9; ++id) {
    scheduler.Push({.id = id,
                    .client = id < 6 ? "a" : "",
                    .prompt_tokens = kMost,
                    .max_new_tokens = kMost,
                    .submitted = times[id % 3]});
  }
  EXPECT_EQ(scheduler.figures().tokens, 18 * Scheduler::kMaxTokens);
  EXPECT_EQ(scheduler.TokensAhead(5), 10 * Scheduler::kMaxTokens + 6 * Scheduler::kMaxTokens);
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 0u);
  for (int i = 0; i < 100; ++i) {
    scheduler.ChargePrompt(0, kMost);
    scheduler.ChargeGenerated(0, kMost);
  }
  EXPECT_EQ(scheduler.Next(At(0), Always)->id, 6u);
  EXPECT_THROW(scheduler.ChargePrompt(0, -1), BugError);
  EXPECT_THROW(scheduler.ChargeGenerated(99, 1), BugError);
  EXPECT_THROW(scheduler.SetRemainingPrompt(0, -1), BugError);
  EXPECT_THROW(scheduler.TokensAhead(99), BugError);
  EXPECT_THROW(scheduler.Push({.id = 1}), BugError);
  EXPECT_THROW(scheduler.Push({.id = 99, .prompt_tokens = -1}), BugError);
  EXPECT_THROW(scheduler.Push({.id = 99, .max_new_tokens = -1}), BugError);
  EXPECT_EQ(scheduler.figures().waiting, 7);

  EXPECT_EQ(ErrorOf([] { Scheduler bad({.max_waiting = 0}); }),
            "[queue] waiting requests at most: got 0, want at least 1");
  EXPECT_EQ(ErrorOf([] { Scheduler bad({.max_waiting_of_client = -2}); }),
            "[queue] waiting requests of one client at most: got -2, want at least 1");
  EXPECT_EQ(ErrorOf([] { Scheduler bad({.aging_tokens_per_second = 0}); }),
            "[queue] aging in tokens per second: got 0, want at least 1");
  EXPECT_EQ(ErrorOf([] { Scheduler bad({.aging_tokens_per_second = kMost}); }),
            "[queue] aging in tokens per second: got 9223372036854775807, want at most 1000000000");
  EXPECT_EQ(ErrorOf([] { Scheduler bad({.passing = milliseconds(-1)}); }),
            "[queue] milliseconds of passing: got -1, want at least 0");
}

}  // namespace
}  // namespace sinter::schedule
