// The queue of waiting requests, and the choice of the prompt that runs a chunk next.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/error.h"

namespace sinter::schedule {

using Time = std::chrono::steady_clock::time_point;

// Error of Scheduler::Push() on a full queue. The request may be submitted again later.
class QueueFullError : public Error {
 public:
  QueueFullError(const std::string& message, int64_t tokens_ahead)
      : Error(Raw{}, "queue", message), tokens_ahead_(tokens_ahead) {}

  // Estimate of the tokens that run before the refused request could.
  int64_t tokens_ahead() const { return tokens_ahead_; }

 private:
  int64_t tokens_ahead_;
};

struct SchedulerOptions {
  // Most requests that wait for admission, of all clients and of one.
  int64_t max_waiting = 1024;
  int64_t max_waiting_of_client = 1024;
  // Tokens that a prompt seems shorter by for each second that its request has waited. A request
  // with a prompt of L tokens is passed only by requests of its client and priority that were
  // submitted less than L / aging_tokens_per_second seconds after it.
  int64_t aging_tokens_per_second = 2048;
  // A request that does not fit lets others pass for this long after it was first refused.
  std::chrono::milliseconds passing = std::chrono::seconds(2);
};

// One request, as the scheduler sees it.
struct Request {
  uint64_t id = 0;     // unique among those in the scheduler
  std::string client;  // key of the client that submitted it
  int priority = 0;    // among the client's own requests; higher runs first
  int64_t prompt_tokens = 0;
  int64_t max_new_tokens = 0;
  Time submitted;
};

// Answer of the engine to the question whether a waiting request can be admitted now.
enum class Room {
  kYes,      // Row and pages are there. If the request is chosen, it is admitted.
  kNotNow,   // This request does not fit; a smaller one may.
  kNothing,  // No request can be admitted, for lack of a row, say.
};

struct Choice {
  uint64_t id = 0;
  bool admitted = false;  // by this choice
};

struct QueueFigures {
  int64_t waiting = 0;   // requests to be admitted
  int64_t admitted = 0;  // requests that have been, until Remove()
  int64_t clients = 0;   // with requests, or ahead of the others
  int64_t tokens = 0;    // tokens of prompts to run and of answers to generate, at most
};

// Holds the requests from submission to their end, and chooses whose prompt runs next.
//
// Between clients: every client has a count of the tokens that ran for it, prompts and answers
// alike, and the client with the least count is served. A client that comes starts at the least
// count of those that are there, and nobody falls back by more than kCreditTokens while it has
// nothing that could run; so service is not saved up, and having had the engine alone is not
// punished. This is deficit round robin whose quantum has gone to zero, the virtual token counter
// of Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024: the counts of two
// clients that always have prompts to run differ by at most one chunk and what was generated since.
//
// Within a client: higher priorities first, then the least remaining prompt with aging.
//
// A waiting request that does not fit is passed by others until SchedulerOptions::passing is over.
// From then on nothing behind it in this order is admitted, so the memory that it waits for
// collects as running requests end. Used by one thread.
class Scheduler {
 public:
  // Throws Error if an option is out of its range.
  explicit Scheduler(SchedulerOptions options = {});

  // Adds a waiting request. Throws QueueFullError if the queue, or the client's part of it, is
  // full. Negative counts of tokens and an id that is in use are bugs of the caller.
  void Push(Request request);

  // Removes a request, waiting or admitted, that has ended or was cancelled. Returns whether it was
  // there.
  bool Remove(uint64_t id);

  // Chooses the request whose chunk runs next: one that is admitted and has prompt left, or one
  // that waits and for which `room` says kYes; it then counts as admitted. Returns nullopt if there
  // is none. Asks `room` about at most kMaxQuestions requests, in order. A request without any
  // prompt left is chosen once, to be admitted.
  std::optional<Choice> Next(Time now, const std::function<Room(uint64_t id)>& room);

  // Charges the request's client with `tokens` tokens of its prompt, which have run.
  void ChargePrompt(uint64_t id, int64_t tokens);
  // Charges the request's client with `tokens` generated tokens.
  void ChargeGenerated(uint64_t id, int64_t tokens);
  // Sets the tokens of the prompt that remain to run: fewer if a prefix was found, more if they run
  // again on a new device. Charges nothing.
  void SetRemainingPrompt(uint64_t id, int64_t tokens);

  // Estimates the tokens that run before the request's prompt does: what comes first in its own
  // client's order, and of each other client as much as fair shares let pass in the meantime.
  int64_t TokensAhead(uint64_t id) const;
  // The same for a request that `client` would push now, behind all its others.
  int64_t TokensAheadOfNew(const std::string& client) const;

  QueueFigures figures() const;

  // Upper bound on the clients without requests that are kept, because they are ahead of the
  // others: without a record a client could drop its count by pausing.
  static constexpr int64_t kMaxIdleClients = 1024;
  // Upper bound on SchedulerOptions::aging_tokens_per_second.
  static constexpr int64_t kMaxAging = 1'000'000'000;
  // Upper bound on the calls of `room` in one Next().
  static constexpr int kMaxQuestions = 64;
  // Tokens by which a client that had nothing to run may be behind the others: one chunk.
  static constexpr int64_t kCreditTokens = 512;
  // Upper bound on the counts of one request; more counts as this many.
  static constexpr int64_t kMaxTokens = int64_t{1} << 40;

 private:
  struct Client;

  // Order within a client: least first.
  struct Rank {
    int64_t minus_priority = 0;
    int64_t aged_tokens = 0;  // remaining prompt + aging * time of submission
    uint64_t arrival = 0;
    auto operator<=>(const Rank&) const = default;
  };

  struct Item {
    Request request;  // prompt_tokens and max_new_tokens are what remains
    Client* client = nullptr;
    uint64_t arrival = 0;
    bool admitted = false;
    Rank rank;
    std::optional<Time> refused;  // first time that it did not fit
  };

  using Ranked = std::map<Rank, Item*>;

  struct Client {
    int64_t served_tokens = 0;
    int64_t items = 0;
    int64_t tokens = 0;        // that remain, of all items
    uint64_t last_chosen = 0;  // number of the choice, or of the client's coming
    Ranked waiting;
    Ranked running;  // admitted, with prompt left
  };

  Item& Get(uint64_t id);
  void Enqueue(Item& item);
  void Dequeue(Item& item);
  void SetRemaining(Item& item, int64_t prompt_tokens, int64_t new_tokens);
  void Charge(Client& client, int64_t tokens);
  Client& Join(const std::string& key);
  int64_t Floor() const;
  Item* Pick(Client& client, Time now, const std::function<Room(uint64_t id)>& room,
             int& questions);
  int64_t InShares(const Client* own, int64_t own_ahead, int64_t own_prompt) const;

  SchedulerOptions options_;
  std::unordered_map<uint64_t, Item> items_;
  std::unordered_map<std::string, Client> clients_;
  int64_t waiting_ = 0;
  int64_t reached_ = 0;  // highest served_tokens at which a client was chosen
  uint64_t arrivals_ = 0;
  uint64_t turns_ = 0;  // choices and comings of clients
};

}  // namespace sinter::schedule
