#include "emulator/grid_run.hpp"

#include <algorithm>
#include <limits>
#include <new>
#include <span>
#include <thread>

#include "emulator/card_observer.hpp"

namespace moesaic::emulator {
namespace {

constexpr std::uint64_t kTurnSteps = 100'000;  // of a block, before its host thread looks at its other blocks
constexpr std::uint32_t kMixedTurnBits = 13;   // a turn has up to 2^12 steps when several grids may run
constexpr std::size_t kWindow = 32;            // launches that are looked at when a block may start

constexpr std::pair<std::uint64_t, std::uint64_t> kNoFault{std::numeric_limits<std::uint64_t>::max(), 0};

/// Short turns are as likely as long ones: what grids do to each other may hang on a few instructions.
std::uint64_t mixed_turn(Random& random) {
  return 1 + random.below(1U << random.below(kMixedTurnBits));
}

Launch with_parameters(Launch launch, const std::vector<std::uint64_t>& words) {
  launch.parameters = std::as_bytes(std::span(words)).first(launch.parameters.size());
  return launch;
}

/// The parameters, aligned as kernels may read them.
std::vector<std::uint64_t> aligned_copy(std::span<const std::byte> bytes) {
  std::vector<std::uint64_t> words((bytes.size() + 7) / 8);
  std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(std::span(words)).begin());
  return words;
}

}  // namespace

Flight::Flight(const Kernel& kernel, const Options& options, GlobalMemory& memory, const Launch& launch,
               std::uint64_t number, GridControl& control)
    : program(kernel.program),
      parameters(aligned_copy(launch.parameters)),
      grid{.program = *program,
           .options = options,
           .memory = memory,
           .launch = with_parameters(launch, parameters),
           .number = number,
           .observer = nullptr,
           .before = {},
           .registers = kernel.registers,
           .control = &control},
      footprint(footprint_of(kernel, launch, options.card)),
      on_sm(static_cast<std::size_t>(options.card.sms), 0) {}

Flights::Flights(const Options& options, CardObserver* observer)
    : options_(options), observer_(observer), sms_(static_cast<std::size_t>(options.card.sms)), faulting_(kNoFault) {}

void Flights::add(std::unique_ptr<Flight> flight) {
  flights_.push_back(std::move(flight));
}

Flight* Flights::find(std::uint64_t number) const {
  const auto at =
      std::find_if(flights_.begin(), flights_.end(), [&](const auto& flight) { return flight->grid.number == number; });
  return at == flights_.end() ? nullptr : at->get();
}

Statistics Flights::statistics(std::uint64_t number) const {
  const auto at = statistics_.find(number);
  return at == statistics_.end() ? Statistics{} : at->second;
}

std::optional<std::chrono::steady_clock::time_point> Flights::end_of(std::uint64_t number) const {
  if (!completed_.contains(number) || number >= ends_.size()) return std::nullopt;
  return ends_[number];
}

void Flights::run() {
  if (flights_.empty()) return;
  statistics_.clear();
  fault_ = nullptr;
  faulting_ = kNoFault;
  std::uint64_t blocks = 0;
  for (const auto& flight : flights_) blocks += flight->grid.launch.grid.count();
  const auto host = static_cast<std::uint64_t>(options_.host_threads);
  const std::uint64_t threads =
      std::min(blocks, host > 0 ? host : std::max<std::uint64_t>(1, std::thread::hardware_concurrency()));
  alone_ = flights_.size() == 1;
  ++runs_;
  {
    std::vector<std::jthread> helpers;
    for (std::uint64_t i = 1; i < threads; ++i) helpers.emplace_back([this, i] { work(i); });
    work(0);
  }
  const bool all_ended = std::all_of(flights_.begin(), flights_.end(),
                                     [&](const auto& flight) { return completed_.contains(flight->grid.number); });
  for (const auto& flight : flights_) completed_.add(flight->grid.number);  // nobody is to wait for what has faulted
  flights_.clear();
  std::fill(sms_.begin(), sms_.end(), SmLoad{});
  if (fault_) std::rethrow_exception(fault_);
  if (!all_ended) throw Error("a launch comes after one that does not exist");
}

/// Whether a grid's blocks may start, as far as other grids are concerned.
bool Flights::may_start(const Flight& flight) const {
  if (flight.started) return true;
  if (!flight.order.after.within(completed_)) return false;
  return std::all_of(flight.order.programmatic.begin(), flight.order.programmatic.end(), [&](std::uint64_t number) {
    if (completed_.contains(number)) return true;
    const Flight* primary = find(number);
    return primary == nullptr || primary->released == primary->grid.launch.grid.count();
  });
}

/// What is known to have ended when the first block starts: what the stream says, and what the prerequisites knew; of
/// one that released its dependents after its own wait, also what it waited for.
void Flights::begin(Flight& flight) {
  flight.started = true;
  if (observer_ != nullptr) flight.grid.observer = observer_->begin(flight.grid);
  flight.grid.before.add(flight.order.after);
  flight.prerequisites_done = true;
  for (const std::uint64_t number : flight.order.programmatic) {
    flight.prerequisites.add(number);
    const Flight* primary = find(number);
    if (primary == nullptr) continue;
    flight.grid.before.add(primary->grid.before);
    (primary->released_after_wait ? flight.grid.before : flight.prerequisites).add(primary->prerequisites);
    if (!completed_.contains(number)) flight.prerequisites_done = false;
  }
}

/// The SM with room that comes next in turn, or -1.
int Flights::find_sm(const Flight& flight) const {
  const auto count = static_cast<std::uint64_t>(sms_.size());
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto sm = static_cast<std::size_t>((flight.next + i) % count);
    if (flight.on_sm[sm] < flight.per_sm && sms_[sm].has_room(flight.footprint, options_.card)) {
      return static_cast<int>(sm);
    }
  }
  return -1;
}

/// A grid one of whose blocks may start, and the SM for it. The seed decides among several.
Flight* Flights::choose(Random& random, int& sm) {
  std::vector<std::pair<Flight*, int>> candidates;
  std::size_t seen = 0;
  std::size_t active = 0;
  alone_ = true;
  for (const auto& flight : flights_) {
    if (flight->ended == flight->grid.launch.grid.count()) continue;
    if (++seen > kWindow) break;
    const bool may_run = may_start(*flight);
    active += may_run ? 1 : 0;
    alone_ = alone_ && active <= 1 && (may_run || flight->order.programmatic.empty());
    if (flight->next == flight->grid.launch.grid.count() || !may_run) continue;
    const int place = find_sm(*flight);
    if (place >= 0) candidates.emplace_back(flight.get(), place);
  }
  if (candidates.empty()) return nullptr;
  const auto& chosen = candidates[random.below(static_cast<std::uint32_t>(candidates.size()))];
  sm = chosen.second;
  return chosen.first;
}

/// The next block; none when no block may start now or, with `wait`, ever. Where the host has no room for one, that is
/// the block's fault.
std::optional<Flights::Running> Flights::start(Random& random, bool wait) {
  Running running;
  std::uint64_t index = 0;
  {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (fault_) return std::nullopt;
      running.flight = choose(random, running.sm);
      if (running.flight != nullptr) break;
      if (!wait || under_way_ == 0) return std::nullopt;
      changed_.wait(lock);
    }
    Flight& flight = *running.flight;
    if (!flight.started) begin(flight);
    index = flight.next++;
    ++under_way_;
    sms_[static_cast<std::size_t>(running.sm)].add(flight.footprint);
    ++flight.on_sm[static_cast<std::size_t>(running.sm)];
  }
  try {
    running.block = std::make_unique<Block>(running.flight->grid, index, running.sm);
    if (running.flight->order.release_at_start) running.block->release_dependents();
    return running;
  } catch (const std::bad_alloc&) {
    note_fault({running.flight->grid.number, index}, std::current_exception());
  }
  const std::lock_guard lock(mutex_);
  --under_way_;
  changed_.notify_all();
  return std::nullopt;
}

void Flights::block_released(Flight& flight) {
  if (++flight.released == flight.grid.launch.grid.count()) changed_.notify_all();
}

/// Takes a block away that has ended, or whose grid is to end.
void Flights::retire(Running& running, bool faulted) {
  const Statistics executed = running.block->statistics();
  const bool had_released = running.block->has_released_dependents();
  running.block.reset();  // before its grid's observer may go
  const std::lock_guard lock(mutex_);
  Flight& flight = *running.flight;
  flight.statistics += executed;
  sms_[static_cast<std::size_t>(running.sm)].remove(flight.footprint);
  --flight.on_sm[static_cast<std::size_t>(running.sm)];
  --under_way_;
  if (!faulted) {
    if (!had_released) block_released(flight);
    if (++flight.ended == flight.grid.launch.grid.count()) end(flight);
  }
  changed_.notify_all();
}

void Flights::end(Flight& flight) {
  const std::uint64_t number = flight.grid.number;
  if (alone_) flight.grid.observer.reset();  // else the observers of others may look at it
  completed_.add(number);
  statistics_[number] = flight.statistics;
  if (ends_.size() <= number) ends_.resize(number + 1);
  ends_[number] = std::chrono::steady_clock::now();
  for (const auto& other : flights_) {
    const auto& awaited = other->order.programmatic;
    if (!other->started || std::find(awaited.begin(), awaited.end(), number) == awaited.end()) continue;
    // Without its own wait the end of a grid says nothing of those that it could have waited for.
    if (!flight.waited && !flight.released_after_wait) {
      GridSet known;
      for (const std::uint64_t one : awaited) known.add(one);
      other->prerequisites = known;
    }
    other->prerequisites_done =
        std::all_of(awaited.begin(), awaited.end(), [&](std::uint64_t one) { return completed_.contains(one); });
  }
}

void Flights::note_fault(Place place, std::exception_ptr fault) {
  const std::lock_guard lock(mutex_);
  if (place >= faulting_) return;
  faulting_ = place;
  fault_ = std::move(fault);
  changed_.notify_all();
}

/// A block behind a faulting one does not matter any more; one before it may have an earlier fault to show.
bool Flights::matters(Place place) {
  const std::lock_guard lock(mutex_);
  return place < faulting_;
}

bool Flights::has_faulted() const {
  const std::lock_guard lock(mutex_);
  return fault_ != nullptr;
}

bool Flights::is_mixed() const {
  const std::lock_guard lock(mutex_);
  return !alone_;
}

void Flights::work(std::uint64_t worker) {
  Random random(options_.seed ^ (runs_ << 20) ^ (worker << 52));
  std::vector<Running> mine;
  for (std::size_t turn = 0;;) {
    if (mine.empty()) {
      if (auto next = start(random, true)) mine.push_back(std::move(*next));
      if (mine.empty()) return;
    }
    const bool mixed = is_mixed();
    turn = mixed ? random.below(static_cast<std::uint32_t>(mine.size())) : turn % mine.size();
    Running& running = mine[turn];
    const Place place{running.flight->grid.number, running.block->index};
    Block::State state = Block::State::done;
    bool faulted = !matters(place);
    if (!faulted) {
      try {
        state = running.block->run(mixed ? mixed_turn(random) : kTurnSteps);
      } catch (...) {
        note_fault(place, std::current_exception());
        faulted = true;
      }
    }
    // A block that gets nowhere may be waiting for the one that faulted.
    if (state == Block::State::stalled && has_faulted()) faulted = true;
    if (state == Block::State::done || faulted) {
      retire(running, faulted);
      mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(turn));
      continue;
    }
    const bool stalled = state == Block::State::stalled;
    if (stalled || (mixed && random.below(2) == 0)) {
      if (auto other = start(random, false)) mine.push_back(std::move(*other));
    }
    if (stalled) {
      ++turn;
      std::this_thread::yield();
    }
  }
}

void Flights::release_dependents(const Grid& grid, bool after_wait) {
  const std::lock_guard lock(mutex_);
  Flight* flight = find(grid.number);
  flight->released_after_wait = flight->released_after_wait || after_wait;
  block_released(*flight);
}

bool Flights::prerequisites_completed(const Grid& grid) {
  const std::lock_guard lock(mutex_);
  return find(grid.number)->prerequisites_done;
}

void Flights::note_waited(const Grid& grid) {
  const std::lock_guard lock(mutex_);
  find(grid.number)->waited = true;
}

bool Flights::is_prerequisite(const Grid& grid, std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  return find(grid.number)->prerequisites.contains(number);
}

std::optional<std::uint64_t> Flights::cancel_block(const Grid& grid) {
  const std::lock_guard lock(mutex_);
  Flight& flight = *find(grid.number);
  if (flight.next == grid.launch.grid.count()) return std::nullopt;
  const std::uint64_t index = flight.next++;
  block_released(flight);
  ++flight.ended;  // not the last: the block that asks is under way
  return index;
}

}  // namespace moesaic::emulator
