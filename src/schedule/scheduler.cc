#include "schedule/scheduler.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"

namespace sinter::schedule {

namespace {

int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return a < 0 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
}

// Returns the tokens that aging_tokens_per_second makes of a time, saturated.
int64_t AgingTokens(Time time, int64_t per_second) {
  const auto nanoseconds =
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  // Seconds and the rest apart: their products fit where that of nanoseconds would not.
  constexpr int64_t kSecond = 1'000'000'000;
  int64_t whole = 0;
  if (__builtin_mul_overflow(nanoseconds / kSecond, per_second, &whole)) {
    whole =
        nanoseconds < 0 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
  }
  return SaturatingAdd(whole, nanoseconds % kSecond * per_second / kSecond);
}

int64_t TokensOf(const Request& request) { return request.prompt_tokens + request.max_new_tokens; }

int64_t CheckedTokens(int64_t tokens) {
  SINTER_CHECK(tokens >= 0, "{} tokens", tokens);
  return std::min(tokens, Scheduler::kMaxTokens);
}

void WantPositive(std::string_view what, int64_t value) {
  if (value < 1) throw Error("queue", "{}: got {}, want at least 1", what, value);
}

}  // namespace

Scheduler::Scheduler(SchedulerOptions options) : options_(options) {
  WantPositive("waiting requests at most", options_.max_waiting);
  WantPositive("waiting requests of one client at most", options_.max_waiting_of_client);
  WantPositive("aging in tokens per second", options_.aging_tokens_per_second);
  if (options_.aging_tokens_per_second > kMaxAging) {
    throw Error("queue", "aging in tokens per second: got {}, want at most {}",
                options_.aging_tokens_per_second, kMaxAging);
  }
  if (options_.passing.count() < 0) {
    throw Error("queue", "milliseconds of passing: got {}, want at least 0",
                options_.passing.count());
  }
}

void Scheduler::Push(Request request) {
  SINTER_CHECK(!items_.contains(request.id), "id {}", request.id);
  request.prompt_tokens = CheckedTokens(request.prompt_tokens);
  request.max_new_tokens = CheckedTokens(request.max_new_tokens);
  const auto known = clients_.find(request.client);
  const int64_t of_client =
      known == clients_.end() ? 0 : static_cast<int64_t>(known->second.waiting.size());
  const auto refuse = [&](std::string_view what, int64_t limit) {
    const int64_t ahead = TokensAheadOfNew(request.client);
    throw QueueFullError(fmt::format("{}: got {}, want at most {}; about {} tokens come first",
                                     what, limit + 1, limit, ahead),
                         ahead);
  };
  if (waiting_ >= options_.max_waiting) refuse("waiting requests", options_.max_waiting);
  if (of_client >= options_.max_waiting_of_client) {
    refuse("waiting requests of one client", options_.max_waiting_of_client);
  }

  Client& client = Join(request.client);
  Item& item = items_[request.id];
  item.request = std::move(request);
  item.client = &client;
  item.arrival = ++arrivals_;
  ++client.items;
  ++waiting_;
  client.tokens += TokensOf(item.request);
  Enqueue(item);
}

bool Scheduler::Remove(uint64_t id) {
  const auto found = items_.find(id);
  if (found == items_.end()) return false;
  Item& item = found->second;
  Dequeue(item);
  if (!item.admitted) --waiting_;
  item.client->tokens -= TokensOf(item.request);
  --item.client->items;
  items_.erase(found);
  if (items_.empty()) {
    // Nobody is there to be fair to.
    clients_.clear();
    reached_ = 0;
  }
  return true;
}

std::optional<Choice> Scheduler::Next(Time now, const std::function<Room(uint64_t id)>& room) {
  std::vector<Client*> clients;
  for (auto& [key, client] : clients_) {
    if (client.waiting.empty() && client.running.empty()) continue;
    client.served_tokens = std::max(client.served_tokens, reached_ - kCreditTokens);
    clients.push_back(&client);
  }
  // A heap, because the first one usually has something to run.
  const auto later = [](const Client* a, const Client* b) {
    return std::pair(a->served_tokens, a->last_chosen) >
           std::pair(b->served_tokens, b->last_chosen);
  };
  std::make_heap(clients.begin(), clients.end(), later);
  int questions = kMaxQuestions;
  while (!clients.empty()) {
    std::pop_heap(clients.begin(), clients.end(), later);
    Client& client = *clients.back();
    clients.pop_back();
    Item* item = Pick(client, now, room, questions);
    if (!item) continue;
    client.last_chosen = ++turns_;
    reached_ = std::max(reached_, client.served_tokens);
    const Choice choice{.id = item->request.id, .admitted = !item->admitted};
    if (choice.admitted) {
      Dequeue(*item);
      item->admitted = true;
      --waiting_;
      Enqueue(*item);
    }
    return choice;
  }
  return std::nullopt;
}

// Returns the client's request whose prompt runs next, or null. `questions` is what is left of the
// calls of `room`; 0 ends all admissions.
Scheduler::Item* Scheduler::Pick(Client& client, Time now,
                                 const std::function<Room(uint64_t id)>& room, int& questions) {
  const auto running = client.running.begin();
  const bool has_running = running != client.running.end();
  for (auto& [rank, item] : client.waiting) {
    if (questions == 0 || (has_running && running->first < rank)) break;
    --questions;
    const Room answer = room(item->request.id);
    if (answer == Room::kYes) return item;
    if (answer == Room::kNotNow && !item->refused) item->refused = now;
    if (answer == Room::kNothing || now - *item->refused >= options_.passing) questions = 0;
  }
  return has_running ? running->second : nullptr;
}

void Scheduler::ChargePrompt(uint64_t id, int64_t tokens) {
  Item& item = Get(id);
  tokens = CheckedTokens(tokens);
  Charge(*item.client, tokens);
  SetRemaining(item, std::max<int64_t>(0, item.request.prompt_tokens - tokens),
               item.request.max_new_tokens);
}

void Scheduler::ChargeGenerated(uint64_t id, int64_t tokens) {
  Item& item = Get(id);
  tokens = CheckedTokens(tokens);
  Charge(*item.client, tokens);
  SetRemaining(item, item.request.prompt_tokens,
               std::max<int64_t>(0, item.request.max_new_tokens - tokens));
}

void Scheduler::SetRemainingPrompt(uint64_t id, int64_t tokens) {
  Item& item = Get(id);
  SetRemaining(item, CheckedTokens(tokens), item.request.max_new_tokens);
}

int64_t Scheduler::TokensAhead(uint64_t id) const {
  const auto found = items_.find(id);
  SINTER_CHECK(found != items_.end(), "id {}", id);
  const Item& self = found->second;
  int64_t behind = TokensOf(self.request);
  const Client& client = *self.client;
  for (auto other = client.waiting.rbegin(); other != client.waiting.rend(); ++other) {
    if (other->second == &self || other->first < self.rank) break;
    behind += TokensOf(other->second->request);
  }
  return InShares(&client, client.tokens - behind, self.request.prompt_tokens);
}

int64_t Scheduler::TokensAheadOfNew(const std::string& client) const {
  const auto found = clients_.find(client);
  if (found == clients_.end()) return InShares(nullptr, 0, 0);
  return InShares(&found->second, found->second.tokens, 0);
}

// Returns the tokens ahead of a request whose own client has `own_ahead` before it: other clients
// get as many as this one in the meantime, if they ask for them.
int64_t Scheduler::InShares(const Client* own, int64_t own_ahead, int64_t own_prompt) const {
  int64_t tokens = own_ahead;
  for (const auto& [key, client] : clients_) {
    if (&client == own) continue;
    const int64_t share = std::max(own_ahead + own_prompt, kCreditTokens);
    tokens = SaturatingAdd(tokens, std::min(client.tokens, share));
  }
  return tokens;
}

QueueFigures Scheduler::figures() const {
  QueueFigures figures;
  figures.waiting = waiting_;
  figures.admitted = static_cast<int64_t>(items_.size()) - waiting_;
  figures.clients = static_cast<int64_t>(clients_.size());
  for (const auto& [key, client] : clients_) {
    figures.tokens = SaturatingAdd(figures.tokens, client.tokens);
  }
  return figures;
}

Scheduler::Item& Scheduler::Get(uint64_t id) {
  const auto found = items_.find(id);
  SINTER_CHECK(found != items_.end(), "id {}", id);
  return found->second;
}

void Scheduler::Enqueue(Item& item) {
  const int64_t aging = AgingTokens(item.request.submitted, options_.aging_tokens_per_second);
  item.rank = {.minus_priority = -int64_t{item.request.priority},
               .aged_tokens = SaturatingAdd(aging, item.request.prompt_tokens),
               .arrival = item.arrival};
  if (!item.admitted) {
    item.client->waiting.emplace(item.rank, &item);
  } else if (item.request.prompt_tokens > 0) {
    item.client->running.emplace(item.rank, &item);
  }
}

void Scheduler::Dequeue(Item& item) {
  (item.admitted ? item.client->running : item.client->waiting).erase(item.rank);
}

void Scheduler::SetRemaining(Item& item, int64_t prompt_tokens, int64_t new_tokens) {
  Client& client = *item.client;
  client.tokens -= TokensOf(item.request);
  item.request.max_new_tokens = new_tokens;
  if (prompt_tokens != item.request.prompt_tokens) {
    Dequeue(item);
    item.request.prompt_tokens = prompt_tokens;
    Enqueue(item);
  }
  client.tokens += TokensOf(item.request);
}

void Scheduler::Charge(Client& client, int64_t tokens) {
  client.served_tokens = SaturatingAdd(client.served_tokens, tokens);
}

// Returns the client of a new request. One that has no other request starts at the others' count.
Scheduler::Client& Scheduler::Join(const std::string& key) {
  Client& client = clients_[key];
  if (client.items > 0) return client;
  const int64_t floor = Floor();
  client.served_tokens = std::max(client.served_tokens, floor);
  client.last_chosen = ++turns_;

  int64_t idle = 0;
  auto oldest = clients_.end();
  for (auto other = clients_.begin(); other != clients_.end();) {
    const Client& one = other->second;
    if (&one == &client || one.items > 0) {
      ++other;
    } else if (one.served_tokens <= floor) {
      other = clients_.erase(other);
    } else {
      ++idle;
      if (oldest == clients_.end() || one.last_chosen < oldest->second.last_chosen) oldest = other;
      ++other;
    }
  }
  if (idle > kMaxIdleClients) clients_.erase(oldest);
  return client;
}

// Returns the count that a client that comes now starts at: the least of those that have requests,
// but no less than where the choice has got to.
int64_t Scheduler::Floor() const {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const auto& [key, client] : clients_) {
    if (client.items > 0) least = std::min(least, client.served_tokens);
  }
  return least == std::numeric_limits<int64_t>::max() ? reached_ : std::max(reached_, least);
}

}  // namespace sinter::schedule
