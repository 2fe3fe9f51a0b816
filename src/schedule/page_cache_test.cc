#include "schedule/page_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/check.h"
#include "base/error.h"

namespace sinter::schedule {
namespace {

// Returns tokens: for each letter one page, which differs from other letters' in its last token
// only, then `rest` tokens.
std::vector<int32_t> Text(std::string_view letters, int64_t rest = 0) {
  std::vector<int32_t> tokens;
  for (char letter : letters) {
    tokens.insert(tokens.end(), kPageTokens - 1, 7);
    tokens.push_back(letter);
  }
  tokens.insert(tokens.end(), rest, 9);
  return tokens;
}

std::vector<int32_t> TableOf(const Lease& lease) {
  return {lease.pages().begin(), lease.pages().end()};
}

// Reserves, declares all tokens to have run, and releases.
void RunAndEnd(PageCache& cache, std::string_view letters, uint64_t family = 0) {
  const std::vector<int32_t> tokens = Text(letters);
  auto lease = cache.Reserve(tokens, static_cast<int64_t>(tokens.size()), family);
  ASSERT_TRUE(lease);
  cache.Publish(*lease, tokens);
}

TEST(PageCache, GivesPagesForMaxTokensAndTakesThemBack) {
  PageCache cache(4);
  auto a = cache.Reserve(Text("", 10), 65, 0);
  ASSERT_TRUE(a);
  EXPECT_EQ(TableOf(*a), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(a->shared_tokens(), 0);
  EXPECT_FALSE(cache.Reserve(Text("", 10), 129, 0));
  auto b = cache.Reserve(Text("", 10), 128, 0);
  ASSERT_TRUE(b);
  EXPECT_EQ(cache.figures().in_use, 4);
  a->Release();
  EXPECT_FALSE(*a);
  EXPECT_TRUE(a->pages().empty());
  EXPECT_EQ(cache.figures().unused, 2);
  *b = Lease();
  EXPECT_EQ(cache.figures().unused, 4);
}

TEST(PageCache, SharesWholePagesButLeavesOneTokenToRun) {
  PageCache cache(8);
  RunAndEnd(cache, "abc");
  EXPECT_EQ(cache.figures().cached, 3);
  EXPECT_EQ(cache.FindPrefix(Text("abc", 1), 0), 192);
  EXPECT_EQ(cache.FindPrefix(Text("abc"), 0), 128);
  EXPECT_EQ(cache.FindPrefix(Text("abd", 1), 0), 128);
  EXPECT_EQ(cache.FindPrefix(Text("bc", 1), 0), 0);  // a page is known by all that precedes it
  EXPECT_EQ(cache.FindPrefix(Text("abc", 1), 1), 0);
  EXPECT_EQ(cache.FindPrefix({}, 0), 0);
  auto lease = cache.Reserve(Text("abd", 5), 300, 0);
  ASSERT_TRUE(lease);
  EXPECT_EQ(lease->shared_tokens(), 128);
  EXPECT_EQ(lease->covered_tokens(), 128);
  EXPECT_EQ(TableOf(*lease), (std::vector<int32_t>{1, 2, 4, 5, 6}));
  EXPECT_EQ(cache.figures().hit_tokens, 128);
}

TEST(PageCache, EvictsLeastRecentlyUsedAndLeavesBeforeParents) {
  PageCache cache(5);
  RunAndEnd(cache, "ab");
  RunAndEnd(cache, "c");
  RunAndEnd(cache, "d");
  const auto take = [&] { return cache.Reserve(Text("", 1), 64, 0); };
  auto unused = take();
  EXPECT_EQ(cache.figures().evictions, 0);
  auto one = take();
  EXPECT_EQ(cache.FindPrefix(Text("ab", 1), 0), 64);
  auto two = take();
  EXPECT_EQ(cache.FindPrefix(Text("a", 1), 0), 0);
  unused->Release();
  cache.Reserve(Text("c", 1), 65, 0);  // uses c and ends, so d goes next
  unused = take();
  auto three = take();
  EXPECT_EQ(cache.FindPrefix(Text("c", 1), 0), 64);
  EXPECT_EQ(cache.FindPrefix(Text("d", 1), 0), 0);
  EXPECT_EQ(cache.figures().evictions, 3);
}

TEST(PageCache, APageInUsePinsItsAncestors) {
  PageCache cache(4);
  RunAndEnd(cache, "ab");
  auto lease = cache.Reserve(Text("ab", 1), 129, 0);
  ASSERT_TRUE(lease);
  EXPECT_FALSE(cache.Reserve(Text("", 1), 128, 0));
  EXPECT_TRUE(cache.Reserve(Text("", 1), 64, 0));
  EXPECT_EQ(cache.FindPrefix(Text("ab", 1), 0), 128);
}

TEST(PageCache, ARefusedReservationChangesNothing) {
  PageCache cache(3);
  RunAndEnd(cache, "ab");
  RunAndEnd(cache, "c");
  EXPECT_FALSE(cache.Reserve(Text("ab", 1), 300, 0));
  auto holder = cache.Reserve(Text("", 1), 64, 0);
  // "ab" was least recently used, and is still so.
  EXPECT_EQ(cache.FindPrefix(Text("ab", 1), 0), 64);
  // Two pages are unheld, but "a" is one of them and would be shared.
  EXPECT_FALSE(cache.Reserve(Text("a", 1), 192, 0));
  EXPECT_EQ(cache.figures().cached, 2);
}

TEST(PageCache, ShareMoreSwapsPagesThatAnotherHasRunSince) {
  PageCache cache(8);
  const std::vector<int32_t> prompt = Text("abc", 3);
  auto first = cache.Reserve(prompt, 256, 0);
  auto second = cache.Reserve(prompt, 256, 0);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(cache.ShareMore(*second, prompt), 0);
  cache.Publish(*first, std::span(prompt).first(130));
  EXPECT_EQ(cache.ShareMore(*second, prompt), 128);
  EXPECT_EQ(second->shared_tokens(), 128);
  EXPECT_EQ(second->pages()[1], first->pages()[1]);
  EXPECT_NE(second->pages()[2], first->pages()[2]);
  EXPECT_EQ(cache.figures().in_use, 6);
  EXPECT_EQ(cache.figures().unused, 2);
  // They take turns: the second runs the third page, the first shares it.
  cache.Publish(*second, prompt);
  EXPECT_EQ(cache.ShareMore(*first, prompt), 192);
  EXPECT_EQ(first->shared_tokens(), 64);
  EXPECT_EQ(second->pages()[2], first->pages()[2]);
}

TEST(PageCache, ShareMoreLeavesOneTokenToRun) {
  PageCache cache(4);
  auto lease = cache.Reserve(Text("ab"), 128, 0);
  RunAndEnd(cache, "ab");
  EXPECT_EQ(cache.ShareMore(*lease, Text("ab")), 64);
  EXPECT_EQ(cache.ShareMore(*lease, {}), 64);
}

TEST(PageCache, AnEqualPageStaysItsLeasesOwn) {
  PageCache cache(6);
  auto first = cache.Reserve(Text("ab"), 128, 0);
  auto second = cache.Reserve(Text("abc"), 192, 0);
  ASSERT_TRUE(first && second);
  const std::vector<int32_t> table = TableOf(*second);
  cache.Publish(*first, Text("ab"));
  cache.Publish(*second, Text("abc"));
  EXPECT_EQ(TableOf(*second), table);
  EXPECT_EQ(second->covered_tokens(), 192);
  EXPECT_EQ(second->shared_tokens(), 0);
  const std::vector<int32_t> known = {first->pages()[0], first->pages()[1], table[2]};
  first->Release();
  // "c" lies below the first lease's pages, which stay until the second ends.
  EXPECT_EQ(cache.figures().in_use, 5);
  EXPECT_FALSE(cache.Reserve(Text("", 1), 128, 0));
  EXPECT_EQ(cache.FindPrefix(Text("abc", 1), 0), 192);
  second->Release();
  EXPECT_EQ(cache.figures().cached, 3);
  EXPECT_EQ(cache.figures().unused, 3);
  auto third = cache.Reserve(Text("abc", 1), 193, 0);
  ASSERT_TRUE(third);
  EXPECT_TRUE(std::equal(known.begin(), known.end(), third->pages().begin()));
}

TEST(PageCache, ForgetKeepsLeasesButNoPrefix) {
  PageCache cache(6);
  RunAndEnd(cache, "abc");
  RunAndEnd(cache, "z");
  auto first = cache.Reserve(Text("abc", 1), 193, 0);
  auto second = cache.Reserve(Text("abc", 1), 193, 0);
  ASSERT_TRUE(first && second);
  const std::vector<int32_t> table = TableOf(*second);
  cache.Forget();
  EXPECT_EQ(first->covered_tokens(), 0);
  EXPECT_EQ(cache.FindPrefix(Text("abc", 1), 0), 0);
  EXPECT_EQ(cache.FindPrefix(Text("z", 1), 0), 0);
  EXPECT_EQ(cache.figures().in_use, 5);
  EXPECT_EQ(cache.figures().unused, 1);
  // One of them runs the tokens again, the other finds them.
  EXPECT_EQ(cache.ShareMore(*first, Text("abc", 1)), 0);
  cache.Publish(*first, Text("ab"));
  EXPECT_EQ(cache.ShareMore(*second, Text("abc", 1)), 128);
  EXPECT_EQ(TableOf(*second), table);
  first->Release();
  second->Release();
  EXPECT_EQ(cache.figures().cached, 2);
  EXPECT_EQ(cache.figures().unused, 4);
}

// After Forget() a lease may hold a page whose findable parent it does not hold.
TEST(PageCache, AnEvictedParentsNumberGivesNoWrongPrefix) {
  PageCache cache(6);
  auto first = cache.Reserve(Text("ab", 1), 129, 0);
  auto second = cache.Reserve(Text("ab", 1), 129, 0);
  ASSERT_TRUE(first && second);
  cache.Publish(*first, Text("a"));
  cache.Publish(*second, Text("a"));
  cache.Publish(*first, Text("ab"));
  EXPECT_EQ(cache.ShareMore(*second, Text("ab", 1)), 128);
  const int32_t parent = first->pages()[0];
  const int32_t child = first->pages()[1];
  EXPECT_NE(second->pages()[0], parent);
  EXPECT_EQ(second->pages()[1], child);
  cache.Forget();
  EXPECT_EQ(cache.ShareMore(*second, Text("ab", 1)), 0);
  cache.Publish(*first, Text("ab"));
  first->Release();
  EXPECT_EQ(cache.figures().in_use, 3);
  auto other = cache.Reserve(Text("", 1), 128, 0);
  // The page that was the parent begins another sequence.
  auto last = cache.Reserve(Text("x"), 64, 0);
  ASSERT_TRUE(other && last);
  cache.Publish(*last, Text("x"));
  EXPECT_EQ(last->pages()[0], parent);
  EXPECT_EQ(cache.FindPrefix(Text("xb", 1), 0), 64);
  EXPECT_EQ(cache.FindPrefix(Text("ab", 1), 0), 0);
  // The child becomes findable again below the second lease's own page.
  cache.Publish(*second, Text("ab"));
  EXPECT_EQ(cache.FindPrefix(Text("ab", 1), 0), 128);
  EXPECT_EQ(cache.FindPrefix(Text("xb", 1), 0), 64);
  second->Release();
  last->Release();
  EXPECT_EQ(cache.figures().cached, 3);
}

TEST(PageCache, MovedLeasesReleaseOnce) {
  PageCache cache(2);
  auto lease = cache.Reserve(Text("", 1), 64, 0);
  Lease moved = std::move(*lease);
  EXPECT_FALSE(*lease);
  EXPECT_EQ(lease->covered_tokens(), 0);
  lease->Release();
  EXPECT_EQ(cache.figures().in_use, 1);
  Lease& self = moved;
  moved = std::move(self);
  EXPECT_EQ(cache.figures().in_use, 1);
  moved = *cache.Reserve(Text("", 1), 64, 0);
  EXPECT_EQ(cache.figures().in_use, 1);
}

TEST(PageCache, TakesAnyNumbers) {
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  PageCache none(0);
  EXPECT_TRUE(none.CanEverFit(0));
  EXPECT_FALSE(none.CanEverFit(1));
  EXPECT_FALSE(none.CanEverFit(-1));
  EXPECT_FALSE(none.CanEverFit(kHuge));
  EXPECT_FALSE(none.Reserve(Text("", 1), 1, 0));
  auto empty = none.Reserve({}, 0, 0);
  ASSERT_TRUE(empty);
  EXPECT_TRUE(*empty);
  EXPECT_TRUE(empty->pages().empty());
  none.Publish(*empty, {});
  EXPECT_EQ(none.ShareMore(*empty, Text("ab")), 0);
  EXPECT_THROW(none.Publish(*empty, Text("a")), BugError);
  EXPECT_THROW(none.Reserve(Text("", 2), 1, 0), BugError);
  EXPECT_THROW(none.Reserve({}, -1, 0), BugError);

  PageCache most(kMaxPages);  // takes memory for the pages in use only
  EXPECT_TRUE(most.CanEverFit(kMaxPages * kPageTokens));
  EXPECT_FALSE(most.CanEverFit(kMaxPages * kPageTokens + 1));
  EXPECT_FALSE(most.Reserve({}, kHuge, 0));
  auto lease = most.Reserve(Text("a", 1), 65, ~uint64_t{0});
  ASSERT_TRUE(lease);
  most.Publish(*lease, Text("a"));
  EXPECT_EQ(most.FindPrefix(Text("a", 1), ~uint64_t{0}), 64);
  EXPECT_THROW(none.Publish(*lease, {}), BugError);  // another cache's lease
  for (int64_t pages : {int64_t{-1}, kMaxPages + 1, kHuge}) {
    try {
      PageCache cache(pages);
      ADD_FAILURE() << pages;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()), "[kv cache] pages of the pool: got " +
                                               std::to_string(pages) + ", want 0 to 33554431");
    }
  }
}

// What PageCache promises, written down naively: nodes in a list, searched from the front.
class Model {
 public:
  struct Node {
    int parent;
    uint64_t family;
    std::vector<int32_t> tokens;
    int32_t page;
    int64_t let_go = 0;  // time at which its last holder left
    int depth = 0;
  };
  struct Holder {
    std::vector<int32_t> pages;
    std::vector<int> known;  // nodes
    std::vector<int32_t> known_pages;
    uint64_t family = 0;
    bool stale = false;
  };

  explicit Model(int64_t total) : total_(total) {}

  std::vector<int> Find(const std::vector<int32_t>& tokens, uint64_t family, int parent = -1,
                        size_t from = 0) const {
    std::vector<int> path;
    for (size_t i = from; (i + 1) * kPageTokens < tokens.size(); ++i) {
      parent = Child(parent, family, tokens, i);
      if (parent < 0) break;
      path.push_back(parent);
    }
    return path;
  }

  int Child(int parent, uint64_t family, const std::vector<int32_t>& tokens, size_t i) const {
    const std::vector<int32_t> page(tokens.begin() + static_cast<int64_t>(i) * kPageTokens,
                                    tokens.begin() + static_cast<int64_t>(i + 1) * kPageTokens);
    for (const auto& [number, node] : nodes) {
      if (node.parent == parent && node.family == family && node.tokens == page) return number;
    }
    return -1;
  }

  std::set<int32_t> Held() const {
    std::set<int32_t> held;
    for (const auto& [id, holder] : holders) {
      held.insert(holder.pages.begin(), holder.pages.end());
      held.insert(holder.known_pages.begin(), holder.known_pages.end());
    }
    return held;
  }

  // Removes the `count` unheld nodes that go first.
  void Evict(int64_t count, bool forgotten) {
    const std::set<int32_t> held = Held();
    for (; count > 0; --count) {
      auto first = nodes.end();
      for (auto node = nodes.begin(); node != nodes.end(); ++node) {
        if (held.contains(node->second.page)) continue;
        const auto key = [](const Node& n) { return std::pair(n.let_go, -n.depth); };
        if (first == nodes.end() || key(node->second) < key(first->second)) first = node;
      }
      ASSERT_NE(first, nodes.end());
      for (const auto& [number, node] : nodes) {
        if (!forgotten) EXPECT_NE(node.parent, first->first) << "a parent before its child";
      }
      nodes.erase(first);
    }
  }

  int64_t total_;
  int64_t time = 0;
  int next_node = 0;
  std::map<int, Node> nodes;
  std::map<int, Holder> holders;
};

// Random reservations, chunks, swaps and ends, beside the model and beside what a pool would hold.
class PageCacheFuzz {
 public:
  PageCacheFuzz(uint32_t seed, bool forget)
      : random_(seed), forget_(forget), total_(Up(12)), cache_(total_), model_(total_) {
    pool_.resize(total_ + 1);
  }

  void Step() {
    ++model_.time;
    const int64_t what = Up(forget_ ? 40 : 39);
    if (what < 12) Reserve();
    if (what >= 12 && what < 24) WithOne([this](int id) { RunSome(id); });
    if (what >= 24 && what < 32) WithOne([this](int id) { ShareMore(id); });
    if (what >= 32 && what < 40) WithOne([this](int id) { Release(id); });
    if (what == 40) Forget();
    Check();
  }

  void Finish() {
    while (!sequences_.empty()) Release(sequences_.begin()->first);
    Check();
    EXPECT_EQ(cache_.figures().in_use, 0);
  }

 private:
  struct Sequence {
    std::vector<int32_t> tokens;  // of prompt and answer
    int64_t prompt = 0;
    int64_t written = 0;
    Lease lease;
  };

  int64_t Up(int64_t most) { return std::uniform_int_distribution<int64_t>(0, most)(random_); }

  template <typename F>
  void WithOne(F f) {
    if (sequences_.empty()) return;
    f(std::next(sequences_.begin(), Up(static_cast<int64_t>(sequences_.size()) - 1))->first);
  }

  // What the keys of page i depend on.
  static std::string Keys(const Sequence& sequence, uint64_t family, size_t i) {
    std::string keys = std::to_string(family);
    for (size_t t = 0; t < (i + 1) * kPageTokens && t < sequence.tokens.size(); ++t) {
      keys += static_cast<char>(sequence.tokens[t]);
    }
    return keys;
  }

  void Reserve() {
    Sequence sequence;
    std::string letters;
    for (int64_t i = Up(5); i > 0; --i) letters += static_cast<char>('a' + Up(1));
    sequence.tokens = Text(letters, Up(3) * 21);
    const auto size = static_cast<int64_t>(sequence.tokens.size());
    sequence.prompt = Up(size);
    const uint64_t family = Up(4) == 0;
    const std::vector<int32_t> prompt(sequence.tokens.begin(),
                                      sequence.tokens.begin() + sequence.prompt);
    const std::vector<int> path = model_.Find(prompt, family);
    const auto shared = static_cast<int64_t>(path.size());
    EXPECT_EQ(cache_.FindPrefix(prompt, family), shared * kPageTokens);
    auto lease = cache_.Reserve(prompt, size, family);

    std::set<int32_t> held = model_.Held();
    for (int node : path) held.insert(model_.nodes[node].page);
    const int64_t own = PagesOf(size) - shared;
    ASSERT_EQ(lease.has_value(), own <= total_ - static_cast<int64_t>(held.size()));
    if (!lease) return;
    ASSERT_EQ(static_cast<int64_t>(lease->pages().size()), PagesOf(size));
    ASSERT_EQ(lease->shared_tokens(), shared * kPageTokens);
    Model::Holder holder{.family = family};
    for (size_t i = 0; i < lease->pages().size(); ++i) {
      const int32_t page = lease->pages()[i];
      holder.pages.push_back(page);
      if (i < path.size()) {
        ASSERT_EQ(page, model_.nodes[path[i]].page);
        ASSERT_EQ(pool_[page], Keys(sequence, family, i));
        holder.known.push_back(path[i]);
        holder.known_pages.push_back(page);
      } else {
        ASSERT_TRUE(page >= 1 && page <= total_);
        ASSERT_TRUE(held.insert(page).second) << page << " is in use";
      }
    }
    // Pages that hold nothing are taken first.
    std::set<int32_t> before = model_.Held();
    for (const auto& [number, node] : model_.nodes) before.insert(node.page);
    const int64_t evicted = own - (total_ - static_cast<int64_t>(before.size()));
    model_.holders[next_] = holder;
    if (evicted > 0) {
      model_.holders[next_].pages.resize(path.size());
      model_.Evict(evicted, forget_);
      model_.holders[next_] = holder;
    }
    sequence.written = shared * kPageTokens;
    sequence.lease = std::move(*lease);
    sequences_[next_++] = std::move(sequence);
  }

  void Refresh(Model::Holder& holder) {
    if (!holder.stale) return;
    const std::set<int32_t> before = model_.Held();
    holder.stale = false;
    holder.known.clear();
    holder.known_pages.clear();
    Stamp(before);
  }

  // Notes the time for nodes that nobody holds any more.
  void Stamp(const std::set<int32_t>& before) {
    const std::set<int32_t> held = model_.Held();
    for (auto& [number, node] : model_.nodes) {
      if (before.contains(node.page) && !held.contains(node.page)) node.let_go = model_.time;
    }
  }

  void RunSome(int id) {
    Sequence& sequence = sequences_[id];
    Model::Holder& holder = model_.holders[id];
    Refresh(holder);
    const auto size = static_cast<int64_t>(sequence.tokens.size());
    const int64_t to = sequence.written + Up(size - sequence.written);
    for (int64_t i = sequence.written / kPageTokens; i < PagesOf(to); ++i) {
      const int32_t page = sequence.lease.pages()[i];
      for (const auto& [other, other_holder] : model_.holders) {
        if (other == id || forget_) continue;
        ASSERT_EQ(std::count(other_holder.pages.begin(), other_holder.pages.end(), page), 0)
            << "writes into a page that others read";
      }
      pool_[page] = Keys(sequence, holder.family, i);
    }
    sequence.written = to;
    const std::vector<int32_t> done(sequence.tokens.begin(), sequence.tokens.begin() + to);
    cache_.Publish(sequence.lease, done);
    for (size_t i = holder.known.size(); i < done.size() / kPageTokens; ++i) {
      const int parent = i == 0 ? -1 : holder.known[i - 1];
      int node = model_.Child(parent, holder.family, done, i);
      if (node < 0) {
        node = model_.next_node++;
        const int32_t page = holder.pages[i];
        std::erase_if(model_.nodes, [&](const auto& one) { return one.second.page == page; });
        model_.nodes[node] = {.parent = parent,
                              .family = holder.family,
                              .tokens = {done.begin() + static_cast<int64_t>(i) * kPageTokens,
                                         done.begin() + static_cast<int64_t>(i + 1) * kPageTokens},
                              .page = page,
                              .depth = static_cast<int>(i)};
      }
      holder.known.push_back(node);
      holder.known_pages.push_back(model_.nodes[node].page);
    }
    ASSERT_EQ(sequence.lease.covered_tokens(), to / kPageTokens * kPageTokens);
  }

  void ShareMore(int id) {
    Sequence& sequence = sequences_[id];
    Model::Holder& holder = model_.holders[id];
    Refresh(holder);
    const std::set<int32_t> before = model_.Held();
    const std::vector<int> more =
        model_.Find(sequence.tokens, holder.family, holder.known.empty() ? -1 : holder.known.back(),
                    holder.known.size());
    const int64_t covered = cache_.ShareMore(sequence.lease, sequence.tokens);
    for (int node : more) {
      const int32_t page = model_.nodes[node].page;
      holder.pages[holder.known.size()] = page;
      ASSERT_EQ(pool_[page], Keys(sequence, holder.family, holder.known.size()));
      holder.known.push_back(node);
      holder.known_pages.push_back(page);
    }
    Stamp(before);
    ASSERT_EQ(covered, static_cast<int64_t>(holder.known.size()) * kPageTokens);
    ASSERT_EQ(TableOf(sequence.lease), holder.pages);
    sequence.written = std::max(sequence.written, covered);
  }

  void Release(int id) {
    const std::set<int32_t> before = model_.Held();
    sequences_.erase(id);
    model_.holders.erase(id);
    Stamp(before);
  }

  void Forget() {
    cache_.Forget();
    model_.nodes.clear();
    for (auto& [id, holder] : model_.holders) holder.stale = true;
    for (auto& [id, sequence] : sequences_) {
      sequence.written = 0;
      EXPECT_EQ(sequence.lease.covered_tokens(), 0);
    }
    std::fill(pool_.begin(), pool_.end(), "lost");
  }

  void Check() {
    const std::set<int32_t> held = model_.Held();
    std::set<int32_t> cached;
    for (const auto& [number, node] : model_.nodes) {
      if (!held.contains(node.page)) cached.insert(node.page);
    }
    const PageFigures figures = cache_.figures();
    ASSERT_EQ(figures.total, total_);
    ASSERT_EQ(figures.in_use, static_cast<int64_t>(held.size()));
    ASSERT_EQ(figures.cached, static_cast<int64_t>(cached.size()));
    ASSERT_EQ(figures.unused, total_ - figures.in_use - figures.cached);
    for (const auto& [id, sequence] : sequences_) {
      ASSERT_EQ(TableOf(sequence.lease), model_.holders[id].pages);
      const std::set<int32_t> distinct(sequence.lease.pages().begin(),
                                       sequence.lease.pages().end());
      ASSERT_EQ(distinct.size(), sequence.lease.pages().size());
      for (int64_t i = 0; i < sequence.written / kPageTokens; ++i) {
        ASSERT_EQ(pool_[sequence.lease.pages()[i]], Keys(sequence, model_.holders[id].family, i));
      }
    }
  }

  std::mt19937 random_;
  bool forget_;
  int64_t total_;
  PageCache cache_;
  Model model_;
  std::vector<std::string> pool_;  // what the keys in each page depend on
  std::map<int, Sequence> sequences_;
  int next_ = 0;
};

TEST(PageCache, RandomUseEqualsTheModel) {
  for (uint32_t seed = 0; seed < 60 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    PageCacheFuzz fuzz(seed, seed % 2 == 1);
    for (int step = 0; step < 150 && !testing::Test::HasFailure(); ++step) fuzz.Step();
    if (!testing::Test::HasFailure()) fuzz.Finish();
  }
}

}  // namespace
}  // namespace sinter::schedule
