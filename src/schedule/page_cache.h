// Pages of the KV cache's pool: which sequence has which, and which hold a prefix that another
// sequence can share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace sinter::schedule {

// Tokens of one page: consecutive rows of the pool in every layer and head.
inline constexpr int64_t kPageTokens = 64;
// Upper bound on the pages of a pool. The pool's rows, page 0 included, are counted in an i32.
inline constexpr int64_t kMaxPages = (int64_t{1} << 31) / kPageTokens - 1;

// Returns the pages that `tokens` tokens take. `tokens` must not be negative.
constexpr int64_t PagesOf(int64_t tokens) {
  return tokens / kPageTokens + (tokens % kPageTokens != 0 ? 1 : 0);
}

class PageCache;

// The pages of one sequence. A lease gives its pages back when it is destroyed or released, and
// must not outlive its PageCache. Published pages then stay findable until others need the memory.
class Lease {
 public:
  Lease() = default;
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease() { Release(); }

  // Page table: page i holds tokens [i * kPageTokens, (i + 1) * kPageTokens).
  std::span<const int32_t> pages() const { return pages_; }
  // Number of first tokens whose keys are in the pages: shared or published. A multiple of
  // kPageTokens. PageCache::Forget() sets it to 0.
  int64_t covered_tokens() const;
  // Number of tokens whose keys another sequence has computed. Equals covered_tokens() until the
  // first Publish(). Counts anew after PageCache::Forget().
  int64_t shared_tokens() const { return shared_tokens_; }
  // Whether the lease has a cache, that is, has been reserved and not released.
  explicit operator bool() const { return cache_ != nullptr; }

  // Gives the pages back. Does nothing on an empty lease.
  void Release();

 private:
  friend class PageCache;

  PageCache* cache_ = nullptr;
  uint64_t family_ = 0;
  uint64_t generation_ = 0;  // the cache's when known_ was filled
  std::vector<int32_t> pages_;
  // Findable page of each covered page of tokens. Differs from pages_ where an equal page was
  // already findable when this lease published its own; the lease then holds both.
  std::vector<int32_t> known_;
  int64_t shared_tokens_ = 0;
};

// Counts of a PageCache. total = in_use + cached + unused.
struct PageFigures {
  int64_t total = 0;
  int64_t in_use = 0;        // held by a lease
  int64_t cached = 0;        // hold a findable prefix that no lease holds
  int64_t unused = 0;        // hold nothing
  int64_t hit_tokens = 0;    // tokens that leases have shared, since the start
  int64_t asked_tokens = 0;  // tokens of the prompts that leases were reserved for
  int64_t evictions = 0;     // findable pages that were taken for others
};

// Gives the pages of a pool to sequences and finds prefixes that are in the pool already.
//
// A findable page is a node of a tree: its key is its parent and its 64 tokens. Keys are ordered
// and compared in full, so a page is found for equal tokens only, and no choice of tokens makes a
// search slower than a logarithm of the number of pages. Used by one thread.
class PageCache {
 public:
  // Makes a cache over pages 1 to `pages`. Throws Error unless 0 <= pages <= kMaxPages.
  explicit PageCache(int64_t pages);
  PageCache(const PageCache&) = delete;
  PageCache& operator=(const PageCache&) = delete;

  // Returns whether a sequence of up to `max_tokens` tokens fits into an empty pool.
  bool CanEverFit(int64_t max_tokens) const;

  // Returns the pages for a sequence that begins with `tokens` and has at most `max_tokens` tokens.
  // The whole pages of the longest findable prefix are shared, at most tokens.size() - 1 tokens,
  // because at least one token must run. Prefixes of different families are never shared. Findable
  // pages that no lease holds are evicted where needed: least recently used first, a page before
  // its parent. Returns nullopt, without any effect, if the pages are not there now. Needs
  // tokens.size() <= max_tokens.
  std::optional<Lease> Reserve(std::span<const int32_t> tokens, int64_t max_tokens,
                               uint64_t family);

  // Returns the number of first tokens of `tokens` that Reserve() would share now.
  int64_t FindPrefix(std::span<const int32_t> tokens, uint64_t family) const;

  // Extends the covered prefix by pages that have become findable since, in place of the lease's
  // own, and returns covered_tokens(). `tokens` begin with those that were reserved or published;
  // at most tokens.size() - 1 are covered. The page table may change from the page of
  // covered_tokens() on, so call it between chunks, before the work that reads the table is
  // recorded. A page that is swapped out may go to another lease at once.
  int64_t ShareMore(Lease& lease, std::span<const int32_t> tokens);

  // Declares that the keys of the sequence's first tokens, `tokens`, are in its pages. Their whole
  // pages become findable. Where an equal page is findable already, that page stays so and the
  // lease keeps its own, which others do not find. The page table does not change. The keys may
  // still be computed by work in the queue if every reader is queued behind it.
  void Publish(Lease& lease, std::span<const int32_t> tokens);

  // Makes all pages unfindable, because the device that held their keys is lost. Leases keep their
  // pages, and those that shared pages go on sharing them, so all that fitted still fits. Their
  // covered_tokens() become 0: run their tokens again, with ShareMore() before and Publish() after
  // each chunk as for a new prompt.
  void Forget();

  PageFigures figures() const;

 private:
  friend class Lease;

  using Tokens = std::array<int32_t, kPageTokens>;

  // Names a findable page. Serial numbers are never used twice, so that an evicted page's number
  // cannot give its children a wrong parent.
  struct Key {
    uint64_t family;
    uint64_t parent;  // serial number, 0 at the beginning of a sequence
    const int32_t* tokens;
  };
  struct KeyLess {
    bool operator()(const Key& a, const Key& b) const;
  };

  struct Page {
    int32_t holders = 0;  // leases
    // Neighbours in the list of findable pages without holders; 0 at the ends.
    int32_t older = 0;
    int32_t newer = 0;
    uint64_t serial = 0;  // 0: not findable
    uint64_t family = 0;
    uint64_t parent = 0;
    std::unique_ptr<Tokens> tokens;  // of a findable page
  };

  int32_t Find(uint64_t family, uint64_t parent, std::span<const int32_t> tokens) const;
  // Returns the findable pages of the prefix of `tokens`, at most `limit`.
  std::vector<int32_t> FindPages(std::span<const int32_t> tokens, int64_t limit,
                                 uint64_t family) const;
  void MakeFindable(int32_t number, uint64_t family, uint64_t parent,
                    std::span<const int32_t> tokens);
  void MakeUnfindable(int32_t number);
  void Hold(int32_t number);
  void LetGo(int32_t number);
  int32_t Take();
  void Unlink(int32_t number);
  void ForgetIfStale(Lease& lease);
  void LetGoOfKnown(Lease& lease, size_t index);
  void Release(Lease& lease);

  int64_t total_;
  std::vector<Page> pages_;      // by number; grows to the highest number that was ever taken
  std::vector<int32_t> unused_;  // numbers that were given back
  std::map<Key, int32_t, KeyLess> findable_;
  int32_t oldest_ = 0;
  int32_t newest_ = 0;
  int64_t cached_ = 0;  // length of the list
  uint64_t serials_ = 0;
  uint64_t generation_ = 0;
  int64_t hit_tokens_ = 0;
  int64_t asked_tokens_ = 0;
  int64_t evictions_ = 0;
};

}  // namespace sinter::schedule
