#include "runtime/journal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <mutex>
#include <nlohmann/json.hpp>

#include "runtime/options.hpp"

namespace moesaic::runtime {
namespace {

using emulator::Finding;
using Json = nlohmann::json;

constexpr std::string_view kKindNames[] = {"started", "finding", "fault", "missing", "refused", "static_runtime"};

Json party_json(const Finding::Party& party) {
  return {{"line", party.line},     {"instruction", party.instruction},
          {"source", party.source}, {"kernel", party.kernel},
          {"grid", party.grid},     {"block", party.block},
          {"warp", party.warp},     {"lanes", party.lanes},
          {"access", party.access}};
}

Finding::Party party_of(const Json& json) {
  return {.line = json.at("line"),
          .instruction = json.at("instruction"),
          .source = json.at("source"),
          .kernel = json.at("kernel"),
          .grid = json.at("grid"),
          .block = json.at("block"),
          .warp = json.at("warp"),
          .lanes = json.at("lanes"),
          .access = json.at("access")};
}

Event event_of(const Json& json) {
  Event event;
  const auto& kind = json.at("kind").get_ref<const std::string&>();
  const auto* const named = std::ranges::find(kKindNames, kind);
  event.kind = static_cast<Event::Kind>(named - std::begin(kKindNames));
  event.text = json.at("text");
  if (event.kind != Event::Kind::finding) return event;
  const Json& finding = json.at("finding");
  event.finding = {.kind = static_cast<Finding::Kind>(finding.at("kind").get<int>()),
                   .where = party_of(finding.at("where")),
                   .other = party_of(finding.at("other")),
                   .what = finding.at("what"),
                   .seed = finding.at("seed"),
                   .count = finding.at("count")};
  return event;
}

bool same_place(const Event& a, const Event& b) {
  const Finding& f = a.finding;
  const Finding& g = b.finding;
  return a.kind == Event::Kind::finding && b.kind == Event::Kind::finding && f.kind == g.kind &&
         f.where.line == g.where.line && f.other.line == g.other.line && f.where.kernel == g.where.kernel &&
         f.other.kernel == g.other.kernel;
}

void add(std::vector<Event>& events, Event event) {
  const auto known = std::ranges::find_if(events, [&](const Event& other) { return same_place(other, event); });
  if (known != events.end()) {
    known->finding.count += event.finding.count;
  } else {
    events.push_back(std::move(event));
  }
}

struct Noted {
  std::mutex mutex;
  std::vector<Event> events;
};

/// Never destroyed: threads and destructors of the program may note until its very end.
Noted& noted() {
  static auto* const all = new Noted;
  return *all;
}

}  // namespace

std::string to_line(const Event& event) {
  Json json = {{"kind", kKindNames[static_cast<std::size_t>(event.kind)]}, {"text", event.text}};
  if (event.kind == Event::Kind::finding) {
    json["finding"] = {{"kind", static_cast<int>(event.finding.kind)},
                       {"where", party_json(event.finding.where)},
                       {"other", party_json(event.finding.other)},
                       {"what", event.finding.what},
                       {"seed", event.finding.seed},
                       {"count", event.finding.count}};
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<Event> read_journal(std::string_view text) {
  std::vector<Event> events;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const Json json = Json::parse(text.substr(0, end), nullptr, false);
    if (json.is_object()) add(events, event_of(json));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return events;
}

void note(const Event& event) {
  Noted& all = noted();
  const std::lock_guard lock(all.mutex);
  const char* file = std::getenv(kJournalVariable);
  if (file == nullptr) {
    add(all.events, event);
    return;
  }
  // One write of a file that is only appended to: lines of several processes do not mix.
  const std::string line = to_line(event) + '\n';
  const int journal = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const bool written = journal >= 0 && write(journal, line.data(), line.size()) == std::ssize(line);
  if (journal >= 0) close(journal);
  if (!written) add(all.events, event);  // said on stderr, then
}

void print_noted() {
  Noted& all = noted();
  const std::lock_guard lock(all.mutex);
  for (const Event& event : all.events) {
    if (event.kind != Event::Kind::finding && event.kind != Event::Kind::fault) continue;
    fmt::print(stderr, "moesaic: {}\n", sentence_of(event));
  }
  all.events.clear();
}

std::string sentence_of(const Event& event) {
  return event.kind == Event::Kind::finding ? event.finding.sentence() : event.text;
}

}  // namespace moesaic::runtime
