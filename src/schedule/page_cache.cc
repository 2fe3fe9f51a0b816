#include "schedule/page_cache.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"

namespace sinter::schedule {

namespace {

std::span<const int32_t> PageOf(std::span<const int32_t> tokens, size_t index) {
  return tokens.subspan(index * kPageTokens, kPageTokens);
}

// Returns the whole pages of `tokens` that a sequence can share: one token has to run.
int64_t SharablePages(std::span<const int32_t> tokens) {
  return tokens.empty() ? 0 : static_cast<int64_t>(tokens.size() - 1) / kPageTokens;
}

}  // namespace

Lease::Lease(Lease&& other) noexcept { *this = std::move(other); }

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  Release();
  cache_ = std::exchange(other.cache_, nullptr);
  family_ = other.family_;
  generation_ = other.generation_;
  pages_ = std::exchange(other.pages_, {});
  known_ = std::exchange(other.known_, {});
  shared_tokens_ = std::exchange(other.shared_tokens_, 0);
  return *this;
}

int64_t Lease::covered_tokens() const {
  if (!cache_ || generation_ != cache_->generation_) return 0;
  return static_cast<int64_t>(known_.size()) * kPageTokens;
}

void Lease::Release() {
  if (cache_) std::exchange(cache_, nullptr)->Release(*this);
}

bool PageCache::KeyLess::operator()(const Key& a, const Key& b) const {
  if (a.parent != b.parent) return a.parent < b.parent;
  if (a.family != b.family) return a.family < b.family;
  return std::lexicographical_compare(a.tokens, a.tokens + kPageTokens, b.tokens,
                                      b.tokens + kPageTokens);
}

PageCache::PageCache(int64_t pages) : total_(pages), pages_(1) {
  if (pages < 0 || pages > kMaxPages) {
    throw Error("kv cache", "pages of the pool: got {}, want 0 to {}", pages, kMaxPages);
  }
}

bool PageCache::CanEverFit(int64_t max_tokens) const {
  return max_tokens >= 0 && PagesOf(max_tokens) <= total_;
}

std::optional<Lease> PageCache::Reserve(std::span<const int32_t> tokens, int64_t max_tokens,
                                        uint64_t family) {
  SINTER_CHECK(max_tokens >= 0 && tokens.size() <= static_cast<uint64_t>(max_tokens),
               "{} tokens of at most {}", tokens.size(), max_tokens);
  const int64_t wanted = PagesOf(max_tokens);
  if (wanted > total_) return std::nullopt;
  std::vector<int32_t> shared = FindPages(tokens, SharablePages(tokens), family);
  const int64_t own = wanted - static_cast<int64_t>(shared.size());
  // Shared pages leave the list of pages that can be evicted.
  const int64_t evictable =
      cached_ - std::count_if(shared.begin(), shared.end(),
                              [&](int32_t number) { return pages_[number].holders == 0; });
  const PageFigures now = figures();
  if (own > now.unused + evictable) return std::nullopt;

  Lease lease;
  lease.cache_ = this;
  lease.family_ = family;
  lease.generation_ = generation_;
  lease.pages_.reserve(wanted);
  for (int32_t number : shared) {
    Hold(number);
    lease.pages_.push_back(number);
  }
  for (int64_t i = 0; i < own; ++i) lease.pages_.push_back(Take());
  lease.shared_tokens_ = static_cast<int64_t>(shared.size()) * kPageTokens;
  lease.known_ = std::move(shared);
  hit_tokens_ += lease.shared_tokens_;
  asked_tokens_ += static_cast<int64_t>(tokens.size());
  return lease;
}

int64_t PageCache::FindPrefix(std::span<const int32_t> tokens, uint64_t family) const {
  return static_cast<int64_t>(FindPages(tokens, SharablePages(tokens), family).size()) *
         kPageTokens;
}

int64_t PageCache::ShareMore(Lease& lease, std::span<const int32_t> tokens) {
  SINTER_CHECK(lease.cache_ == this);
  ForgetIfStale(lease);
  const size_t end = std::min<size_t>(SharablePages(tokens), lease.pages_.size());
  for (size_t i = lease.known_.size(); i < end; ++i) {
    const uint64_t parent = i == 0 ? 0 : pages_[lease.known_[i - 1]].serial;
    const int32_t found = Find(lease.family_, parent, PageOf(tokens, i));
    if (found == 0) break;
    if (found != lease.pages_[i]) {
      Hold(found);
      LetGo(std::exchange(lease.pages_[i], found));
    }
    lease.known_.push_back(found);
    lease.shared_tokens_ += kPageTokens;
    hit_tokens_ += kPageTokens;
  }
  return lease.covered_tokens();
}

void PageCache::Publish(Lease& lease, std::span<const int32_t> tokens) {
  SINTER_CHECK(lease.cache_ == this);
  const size_t end = tokens.size() / kPageTokens;
  SINTER_CHECK(end <= lease.pages_.size(), "{} tokens in {} pages", tokens.size(),
               lease.pages_.size());
  ForgetIfStale(lease);
  for (size_t i = lease.known_.size(); i < end; ++i) {
    const uint64_t parent = i == 0 ? 0 : pages_[lease.known_[i - 1]].serial;
    const std::span<const int32_t> page = PageOf(tokens, i);
    int32_t known = Find(lease.family_, parent, page);
    if (known == 0) {
      known = lease.pages_[i];
      MakeFindable(known, lease.family_, parent, page);
    } else if (known != lease.pages_[i]) {
      // The pages that follow become its children, so it must stay as long as they do.
      Hold(known);
    }
    lease.known_.push_back(known);
  }
}

void PageCache::Forget() {
  ++generation_;
  while (oldest_ != 0) {
    const int32_t number = oldest_;
    Unlink(number);
    unused_.push_back(number);
  }
  for (const auto& [key, number] : std::exchange(findable_, {})) pages_[number].serial = 0;
  for (Page& page : pages_) page.tokens.reset();
}

PageFigures PageCache::figures() const {
  PageFigures figures;
  figures.total = total_;
  figures.cached = cached_;
  const int64_t never_taken = total_ - (static_cast<int64_t>(pages_.size()) - 1);
  figures.unused = never_taken + static_cast<int64_t>(unused_.size());
  figures.in_use = total_ - figures.cached - figures.unused;
  figures.hit_tokens = hit_tokens_;
  figures.asked_tokens = asked_tokens_;
  figures.evictions = evictions_;
  return figures;
}

int32_t PageCache::Find(uint64_t family, uint64_t parent, std::span<const int32_t> tokens) const {
  const auto found = findable_.find(Key{family, parent, tokens.data()});
  return found == findable_.end() ? 0 : found->second;
}

std::vector<int32_t> PageCache::FindPages(std::span<const int32_t> tokens, int64_t limit,
                                          uint64_t family) const {
  std::vector<int32_t> pages;
  uint64_t parent = 0;
  for (int64_t i = 0; i < limit; ++i) {
    const int32_t found = Find(family, parent, PageOf(tokens, i));
    if (found == 0) break;
    pages.push_back(found);
    parent = pages_[found].serial;
  }
  return pages;
}

void PageCache::MakeFindable(int32_t number, uint64_t family, uint64_t parent,
                             std::span<const int32_t> tokens) {
  Page& page = pages_[number];
  // After Forget() two leases may share a page whose new parent one of them has let go of. The page
  // is then findable below a parent that is not, and moves.
  if (page.serial != 0) MakeUnfindable(number);
  auto copy = std::make_unique<Tokens>();
  std::copy(tokens.begin(), tokens.end(), copy->begin());
  findable_.emplace(Key{family, parent, copy->data()}, number);
  page.family = family;
  page.parent = parent;
  page.serial = ++serials_;
  page.tokens = std::move(copy);
}

void PageCache::MakeUnfindable(int32_t number) {
  Page& page = pages_[number];
  findable_.erase(Key{page.family, page.parent, page.tokens->data()});
  page.serial = 0;
  page.tokens.reset();
}

void PageCache::Hold(int32_t number) {
  if (pages_[number].holders++ == 0) Unlink(number);
}

void PageCache::LetGo(int32_t number) {
  Page& page = pages_[number];
  SINTER_CHECK(page.holders > 0);
  if (--page.holders > 0) return;
  if (page.serial == 0) {
    unused_.push_back(number);
    return;
  }
  page.older = newest_;
  page.newer = 0;
  (newest_ == 0 ? oldest_ : pages_[newest_].newer) = number;
  newest_ = number;
  ++cached_;
}

int32_t PageCache::Take() {
  int32_t number = 0;
  if (!unused_.empty()) {
    number = unused_.back();
    unused_.pop_back();
  } else if (static_cast<int64_t>(pages_.size()) <= total_) {
    number = static_cast<int32_t>(pages_.size());
    pages_.emplace_back();
    unused_.reserve(pages_.capacity());  // LetGo(), which destructors call, then allocates nothing
  } else {
    // Release() lets go of a sequence's last page first, and whoever holds a page holds its
    // ancestors. The oldest page therefore has no children.
    number = oldest_;
    SINTER_CHECK(number != 0);
    Unlink(number);
    MakeUnfindable(number);
    ++evictions_;
  }
  pages_[number].holders = 1;
  return number;
}

void PageCache::Unlink(int32_t number) {
  Page& page = pages_[number];
  (page.older == 0 ? oldest_ : pages_[page.older].newer) = page.newer;
  (page.newer == 0 ? newest_ : pages_[page.newer].older) = page.older;
  page.older = page.newer = 0;
  --cached_;
}

void PageCache::ForgetIfStale(Lease& lease) {
  if (lease.generation_ == generation_) return;
  lease.generation_ = generation_;
  lease.shared_tokens_ = 0;
  for (size_t i = lease.known_.size(); i > 0; --i) LetGoOfKnown(lease, i - 1);
  lease.known_.clear();
}

// Lets go of a page that the lease holds beside its own, as the parent of those that follow.
void PageCache::LetGoOfKnown(Lease& lease, size_t index) {
  if (index >= lease.known_.size()) return;
  if (lease.known_[index] != lease.pages_[index]) LetGo(lease.known_[index]);
}

void PageCache::Release(Lease& lease) {
  // From the last page to the first, so that a page becomes the oldest before its parent does.
  for (size_t i = lease.pages_.size(); i > 0; --i) {
    LetGo(lease.pages_[i - 1]);
    LetGoOfKnown(lease, i - 1);
  }
  lease.pages_.clear();
  lease.known_.clear();
  lease.shared_tokens_ = 0;
}

}  // namespace sinter::schedule
