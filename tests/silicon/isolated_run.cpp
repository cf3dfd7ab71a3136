#include "silicon/isolated_run.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>

#include "device/place.hpp"
#include "spec/error.hpp"

namespace moesaic::silicon {
namespace {

constexpr std::size_t kCasesAtOnce = 16;

/// An answer on its way through a pipe: the lengths of both parts, then the parts.
struct Header {
  std::uint64_t words;
  std::uint64_t error_bytes;
};

void send(std::FILE* to, const isa::Answer& answer) {
  const Header header{answer.words.size(), answer.error.size()};
  std::fwrite(&header, sizeof header, 1, to);
  std::fwrite(answer.words.data(), 4, answer.words.size(), to);
  std::fwrite(answer.error.data(), 1, answer.error.size(), to);
  std::fflush(to);
}

bool receive(std::FILE* from, isa::Answer& answer) {
  Header header{};
  if (std::fread(&header, sizeof header, 1, from) != 1) return false;
  answer.words.resize(header.words);
  answer.error.resize(header.error_bytes);
  return std::fread(answer.words.data(), 4, header.words, from) == header.words &&
         std::fread(answer.error.data(), 1, header.error_bytes, from) == header.error_bytes;
}

/// What a child does: groups of cases while all goes well; after a failure in a group it ends.
void answer_cases(std::FILE* to, const std::string& place, const std::string& target,
                  const std::vector<isa::Case>& cases, std::size_t first, std::size_t group) {
  const device::Driver driver = device::open_driver(device::parse_place(place));
  while (first < cases.size()) {
    const std::size_t end = std::min(first + group, cases.size());
    const std::vector<isa::Case> some(cases.begin() + static_cast<std::ptrdiff_t>(first),
                                      cases.begin() + static_cast<std::ptrdiff_t>(end));
    const std::vector<isa::Answer> answers = isa::run_cases(driver, target, some);
    const bool failed =
        std::any_of(answers.begin(), answers.end(), [](const isa::Answer& a) { return !a.error.empty(); });
    if (failed && group > 1) return;
    for (const isa::Answer& answer : answers) send(to, answer);
    if (failed) return;
    first = end;
  }
}

/// Runs a child from case `first` on, in groups of so many; returns its answers, all from case `first` on.
std::vector<isa::Answer> from_child(const std::string& place, const std::string& target,
                                    const std::vector<isa::Case>& cases, std::size_t first, std::size_t group) {
  int ends[2];
  if (pipe(ends) != 0) throw Error("cannot make a pipe");
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) throw Error("cannot make a process");
  if (child == 0) {
    close(ends[0]);
    std::FILE* to = fdopen(ends[1], "wb");
    try {
      answer_cases(to, place, target, cases, first, group);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s: %s\n", cases[first].name.c_str(), error.what());
    }
    std::fclose(to);
    _exit(0);
  }
  close(ends[1]);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> from(fdopen(ends[0], "rb"), std::fclose);
  std::vector<isa::Answer> answers;
  isa::Answer answer;
  while (first + answers.size() < cases.size() && receive(from.get(), answer)) {
    answer.of = &cases[first + answers.size()];
    answers.push_back(answer);
  }
  waitpid(child, nullptr, 0);
  return answers;
}

}  // namespace

std::vector<isa::Answer> run_isolated(const std::string& place, const std::string& target,
                                      const std::vector<isa::Case>& cases) {
  std::vector<isa::Answer> answers;
  while (answers.size() < cases.size()) {
    // In groups until one holds a failure; then that group case by case.
    std::vector<isa::Answer> some = from_child(place, target, cases, answers.size(), kCasesAtOnce);
    answers.insert(answers.end(), some.begin(), some.end());
    const std::size_t end = std::min(answers.size() + kCasesAtOnce, cases.size());
    while (answers.size() < end) {
      some = from_child(place, target, {cases.begin(), cases.begin() + static_cast<std::ptrdiff_t>(end)},
                        answers.size(), 1);
      if (some.empty()) throw Error(cases[answers.size()].name + ": the process that ran it gave no answer");
      for (isa::Answer& answer : some) {
        answer.of = &cases[answers.size()];
        answers.push_back(std::move(answer));
      }
    }
  }
  return answers;
}

}  // namespace moesaic::silicon
