#include "cli/emulate_card.hpp"

#include <fmt/format.h>

#include "cli/nearest.hpp"
#include "cli/whole_number.hpp"
#include "spec/error.hpp"

namespace moesaic::cli {

void add_card_options(CLI::App& verb, EmulateCardOptions& options) {
  verb.add_option("--gpu", options.gpu, "gb10, rtx5090, rtxpro6000, h200, or a file; see below")->capture_default_str();
  verb.add_option("--sms", options.sms, "cut the card to so many SMs")->check(whole_number(1));
  verb.add_option("--seed", options.seed, "of the order of things; equal seeds repeat a run on one host thread")
      ->capture_default_str()
      ->check(any_seed());
  verb.add_option("--host-threads", options.host_threads, "threads of this machine; 0: all")
      ->check(whole_number(0))
      ->capture_default_str();
  verb.add_option("--spin-limit", options.spin_limit,
                  "instructions of a block's warps that change nothing, after which it is said to be livelocked")
      ->check(whole_number(1))
      ->capture_default_str();
  verb.add_option("--check", options.checks,
                  "what to look for: all, none, or undefined, races, proxies, early_reads, bank_conflicts, counts")
      ->capture_default_str();
}

emulator::Checks read_checks(const std::string& option) {
  try {
    return emulator::parse_checks(option);
  } catch (const Error& e) {
    const std::string last = option.substr(option.rfind(',') + 1);  // npos + 1 is 0
    throw Error(fmt::format("--check {}: {}{}", option, e.what(), did_you_mean(last, emulator::check_names())));
  }
}

}  // namespace moesaic::cli
