#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cli/activity.hpp"
#include "cli/emulate_argument.hpp"
#include "cli/emulate_card.hpp"
#include "cli/emulate_report.hpp"
#include "cli/exit_code.hpp"
#include "cli/gpu_model.hpp"
#include "cli/nearest.hpp"
#include "cli/verbs.hpp"
#include "cli/whole_number.hpp"
#include "emulator/cubin.hpp"
#include "emulator/fat_binary.hpp"
#include "emulator/isa.hpp"
#include "emulator/machine.hpp"
#include "emulator/ptx.hpp"

namespace moesaic::cli {
namespace {

struct EmulateOptions : EmulateCardOptions {
  std::string file;
  std::string kernel;
  std::string grid = "1";
  std::string block = "32";
  std::uint32_t shared_bytes = 0;
  bool in_clusters = false;
  bool cooperative = false;
  std::vector<std::string> arguments;
  std::vector<std::string> prints;
  std::uint64_t seeds = 1;
  std::string cubin;
  bool list = false;
  bool isa = false;
  bool json = false;
};

constexpr std::uint64_t kValuesPrinted = 8;

/// "X", "X,Y" or "X,Y,Z".
emulator::Extent parse_extent(const std::string& text, std::string_view option) {
  std::array<std::uint32_t, 3> numbers{1, 1, 1};
  const char* at = text.data();
  const char* const last = at + text.size();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto [end, error] = std::from_chars(at, last, numbers[i]);
    if (error != std::errc{}) break;
    if (end == last) return {numbers[0], numbers[1], numbers[2]};
    if (*end != ',') break;
    at = end + 1;
  }
  throw Error(fmt::format("{} {}: one to three numbers with commas between are wanted, as in 16,2", option, text));
}

/// What is in the files.
struct Code {
  std::string ptx;
  std::vector<std::pair<std::string, std::uint32_t>> registers;  ///< of the kernels' threads, from machine code
};

std::string read_text(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) throw Error(fmt::format("{}: the file cannot be read", file));
  return text;
}

/// Throws Error when PTX is for other cards.
void check_target(const std::string& file, std::string_view ptx, const Device& card) {
  const std::string_view target = emulator::ptx::parse(ptx).target;  // "sm_120f"
  emulator::FatBinaryEntry entry;
  const char* const last = target.data() + target.size();
  const char* end = std::from_chars(target.data() + std::min<std::size_t>(3, target.size()), last, entry.arch).ptr;
  if (end != last) entry.suffix = *end;
  if (entry.runs_on(card.capability())) return;
  throw Error(fmt::format("{}: its PTX is for {}, and {} has compute capability {}.{}", file, target, card.full_name,
                          card.major, card.minor));
}

/// Reads PTX, or a fat binary, of which a card takes one PTX and looks into the machine code beside it.
Code read_code(const EmulateOptions& options, const Device& card) {
  Code code{.ptx = read_text(options.file), .registers = {}};
  const auto bytes = std::as_bytes(std::span(code.ptx));
  std::string cubin = options.cubin.empty() ? "" : read_text(options.cubin);
  if (bytes.size() >= 16 && emulator::fat_binary_bytes(bytes.data()) != 0) {
    if (cubin.empty()) cubin = emulator::cubin_for(bytes, card.capability());
    code.ptx = emulator::ptx_for(bytes, card.capability());
  } else if (code.ptx.starts_with("\x7f"
                                  "ELF")) {
    throw Error(
        fmt::format("{}: machine code cannot be emulated; give the PTX, or a fat binary that has some", options.file));
  }
  if (!cubin.empty()) code.registers = emulator::read_registers(std::as_bytes(std::span(cubin)));
  check_target(options.file, code.ptx, card);
  return code;
}

std::string describe_registers(const emulator::Kernel& kernel) {
  using From = emulator::RegistersFrom;
  const char* from =
      kernel.registers_from == From::cubin ? "as the machine code has them" : "as a directive bounds them";
  return kernel.registers == 0 ? "not known, so they limit nothing (--cubin FILE tells them)"
                               : fmt::format("{} a thread, {}", kernel.registers, from);
}

const emulator::Kernel& choose_kernel(const EmulateOptions& options, const emulator::Module& module) {
  std::vector<std::string> names;
  for (const emulator::Kernel& kernel : module.kernels) names.push_back(kernel.name);
  if (names.empty()) throw Error(fmt::format("{}: there is no kernel (.entry) in it", options.file));
  if (options.kernel.empty() && names.size() == 1) return module.kernels.front();
  if (options.kernel.empty()) {
    throw Error(fmt::format("{} has {} kernels: choose one with --kernel; they are {}", options.file, names.size(),
                            fmt::join(names, ", ")));
  }
  if (const emulator::Kernel* kernel = module.find_kernel(options.kernel)) return *kernel;
  throw Error(fmt::format("--kernel {}: no such kernel in {}{}; --list shows them", options.kernel, options.file,
                          did_you_mean(options.kernel, names)));
}

/// A run of the kernel with one seed.
class Run {
 public:
  Run(const EmulateOptions& options, const Device& card, const Code& code, const std::vector<Argument>& arguments,
      std::uint64_t seed)
      : machine_({.card = card,
                  .seed = seed,
                  .host_threads = options.host_threads,
                  .spin_limit = options.spin_limit,
                  .checks = read_checks(options.checks)}),
        kernel_(choose_kernel(options, machine_.load(code.ptx, code.registers))),
        placed_(arguments, kernel_, machine_),
        launch_{.grid = parse_extent(options.grid, "--grid"),
                .block = parse_extent(options.block, "--block"),
                .dynamic_shared_bytes = options.shared_bytes,
                .in_clusters = options.in_clusters,
                .cooperative = options.cooperative,
                .parameters = placed_.parameters()} {}

  /// Launches the kernel and fills in what came of it.
  void fill(EmulateReport& report) {
    report.kernel = kernel_.name;
    report.launch = launch_;
    report.registers = describe_registers(kernel_);
    report.seed = machine_.options().seed;
    try {
      report.statistics = machine_.launch(kernel_, launch_);
    } catch (const emulator::Fault& fault) {
      using Kind = emulator::Fault::Kind;
      if (fault.kind == Kind::launch || fault.kind == Kind::resources || fault.kind == Kind::unsupported)
        throw DeviceError(fault.what());
      report.fault = fault.what();
      report.fault_kind = name_of(fault.kind);
    }
    report.findings = machine_.take_findings();
  }

  /// Prints a buffer as --print says: "BUFFER", "BUFFER:TYPE" or "BUFFER:TYPE[COUNT]".
  EmulateReport::Printed print(const std::string& text) {
    const auto wrong = [&](const std::string& what) { return Error(fmt::format("--print {}: {}", text, what)); };
    EmulateReport::Printed printed;
    const std::size_t colon = std::min(text.find(':'), text.size());
    const auto [end, error] = std::from_chars(text.data(), text.data() + colon, printed.buffer);
    if (error != std::errc{} || end != text.data() + colon) throw wrong("it begins with the number of a buffer");
    if (printed.buffer >= placed_.buffers().size()) {
      throw wrong(fmt::format("there are {} buffers, counted from 0", placed_.buffers().size()));
    }
    const PlacedBuffer& buffer = placed_.buffers()[printed.buffer];
    const ValueType* type = buffer.argument->type;
    std::uint64_t wanted = kValuesPrinted;
    if (colon != text.size()) {
      const std::size_t open = std::min(text.find('[', colon), text.size());
      type = &find_value_type(text.substr(colon + 1, open - colon - 1), fmt::format("--print {}", text));
      if (open != text.size()) {
        const auto [close, failed] = std::from_chars(text.data() + open + 1, text.data() + text.size(), wanted);
        if (failed != std::errc{} || std::string_view(close) != "]") throw wrong("a COUNT in brackets ends it");
      }
    }
    printed.type = type->name;
    printed.count = buffer.argument->size_bytes / type->bytes;
    const std::vector<std::byte> bytes = download(buffer);
    for (std::uint64_t i = 0; i < std::min(wanted, printed.count); ++i) {
      std::uint64_t bits = 0;
      std::memcpy(&bits, bytes.data() + i * type->bytes, type->bytes);
      printed.values.push_back(show_value(*type, bits));
    }
    return printed;
  }

  /// Writes the files that out: arguments name; gives back their names.
  std::vector<std::string> write_files() {
    std::vector<std::string> written;
    for (const PlacedBuffer& buffer : placed_.buffers()) {
      const std::string& file = buffer.argument->out;
      if (file.empty()) continue;
      const std::vector<std::byte> bytes = download(buffer);
      std::ofstream stream(file, std::ios::binary | std::ios::trunc);
      stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
      if (!stream.flush()) throw Error(fmt::format("{}: the file cannot be written", file));
      written.push_back(file);
    }
    return written;
  }

 private:
  std::vector<std::byte> download(const PlacedBuffer& buffer) const {
    std::vector<std::byte> bytes(buffer.argument->size_bytes);
    machine_.memory().read(bytes.data(), buffer.address, bytes.size());
    return bytes;
  }

  emulator::Machine machine_;
  const emulator::Kernel& kernel_;
  PlacedArguments placed_;
  emulator::Launch launch_;
};

/// Prints what the file's kernels want.
int list_kernels(const Device& card, const Code& code, bool json) {
  emulator::Machine machine({.card = card});
  nlohmann::json list = nlohmann::json::array();
  for (const emulator::Kernel& kernel : machine.load(code.ptx, code.registers).kernels) {
    std::vector<std::uint32_t> sizes;
    for (const emulator::Parameter& parameter : kernel.parameters) sizes.push_back(parameter.bytes);
    if (json) {
      list.push_back({{"name", kernel.name},
                      {"argument_bytes", sizes},
                      {"static_shared_bytes", kernel.static_shared_bytes},
                      {"registers", kernel.registers == 0 ? nlohmann::json() : nlohmann::json(kernel.registers)}});
      continue;
    }
    fmt::print("{}: arguments of [{}] bytes, {} bytes of static shared memory, registers: {}\n", kernel.name,
               fmt::join(sizes, ", "), kernel.static_shared_bytes, describe_registers(kernel));
  }
  if (json) fmt::print("{}\n", nlohmann::json{{"kernels", list}}.dump(2));
  return kOk;
}

/// Prints the table of instructions; when an opcode is given, its rows alone.
int print_isa(const std::string& opcode, bool json) {
  const auto wanted = [&](std::string_view name) {
    return opcode.empty() || (name.starts_with(opcode) && (name.size() == opcode.size() || name[opcode.size()] == '.'));
  };
  using emulator::InstructionTable;
  if (std::ranges::none_of(InstructionTable::get().rows(),
                           [&](const emulator::Row& row) { return wanted(row.name); })) {
    std::vector<std::string> opcodes;
    for (const emulator::Row& row : InstructionTable::get().rows()) {
      opcodes.push_back(row.name.substr(0, row.name.find('.')));
    }
    throw Error(fmt::format("--isa {}: no row begins with it{}", opcode, did_you_mean(opcode, opcodes)));
  }
  if (json) {
    nlohmann::json table = nlohmann::json::parse(emulator::isa_json());
    nlohmann::json rows = nlohmann::json::array();
    for (nlohmann::json& row : table["rows"]) {
      if (wanted(row["name"].get<std::string>())) rows.push_back(std::move(row));
    }
    fmt::print("{}\n", nlohmann::json{{"rows", std::move(rows)}}.dump(1));
    return kOk;
  }
  std::istringstream lines(emulator::isa_text());
  bool in_heading = true;
  for (std::string line; std::getline(lines, line); in_heading = in_heading && !line.empty()) {
    if (in_heading || wanted(line.substr(0, line.find(' ')))) fmt::print("{}\n", line);
  }
  return kOk;
}

int emulate(const EmulateOptions& options) {
  if (options.isa) return print_isa(options.file, options.json);
  if (options.file.empty()) throw Error("emulate: a FILE is wanted, or --isa; see moesaic emulate --help");
  const GpuModel model(options.gpu);
  Device card = model.device();
  if (options.sms > 0) card.sms = options.sms;
  const Code code = read_code(options, card);
  if (options.list) return list_kernels(card, code, options.json);
  std::vector<Argument> arguments;
  for (const std::string& text : options.arguments) arguments.push_back(parse_argument(text));
  EmulateReport report;
  report.file = options.file;
  report.card = options.gpu;
  report.card_name = card.full_name;
  report.checks = options.checks;
  report.host_threads = options.host_threads;
  std::unique_ptr<Run> run;
  {
    Activity activity(fmt::format("running on an emulated {}", options.gpu));
    for (std::uint64_t i = 0; i < options.seeds && report.clean(); ++i) {
      run = std::make_unique<Run>(options, card, code, arguments, options.seed + i);
      run->fill(report);
      report.runs = i + 1;
    }
  }
  for (const std::string& print : options.prints) report.printed.push_back(run->print(print));
  report.written = run->write_files();
  fmt::print("{}", options.json ? as_json(report) + "\n" : as_text(report, wants_colour()));
  return report.clean() ? kOk : kFindings;
}

}  // namespace

void add_emulate(CLI::App& program, int& exit_code) {
  const auto options = std::make_shared<EmulateOptions>();
  CLI::App* verb = program.add_subcommand(
      "emulate", "run a kernel of a PTX file, or a CUDA program, on an emulated card and say what is wrong");
  verb->add_option("FILE", options->file,
                   "PTX, or a fat binary with PTX (nvcc -ptx, nvcc -fatbin); with --isa an opcode to show alone");
  verb->add_option("--kernel", options->kernel, "its name; may be left out when the file has one");
  verb->add_option("--grid", options->grid, "blocks: X or X,Y or X,Y,Z")->capture_default_str();
  verb->add_option("--block", options->block, "threads of a block, likewise")->capture_default_str();
  verb->add_option("--smem", options->shared_bytes, "bytes of dynamic shared memory")
      ->capture_default_str()
      ->check(whole_number(0));
  verb->add_flag("--clusters", options->in_clusters, "launch in clusters, which are of one block");
  verb->add_flag("--cooperative", options->cooperative, "launch blocks that may wait for one another: all must fit");
  verb->add_option("--arg", options->arguments, "an argument, in order; see below")->allow_extra_args(false);
  verb->add_option("--print", options->prints, "a buffer to print: NUMBER, NUMBER:TYPE or NUMBER:TYPE[COUNT]")
      ->allow_extra_args(false);
  add_card_options(*verb, *options);
  verb->add_option("--seeds", options->seeds, "run with so many seeds, from --seed on, until something is found")
      ->check(whole_number(1))
      ->capture_default_str();
  verb->add_option("--cubin", options->cubin, "machine code (nvcc -cubin) that tells how many registers a thread has");
  verb->add_flag("--list", options->list, "list the kernels of the file");
  verb->add_flag("--isa", options->isa, "list what can be emulated: instructions, least target, proof");
  verb->add_flag("--json", options->json, "report as one JSON object");
  verb->footer(std::string(kArgumentHelp) + "\n" + kGpuFileHelp +
               "\nExamples:\n"
               "  moesaic emulate saxpy.ptx --grid 4 --block 256 --arg f32:2 --arg 'buffer:f32[1024]=uniform(1)' \\\n"
               "      --arg 'buffer:f32[1024]=zeros' --print 1\n"
               "  moesaic emulate kernels.fatbin --kernel scan --gpu h200 --seeds 100 --arg in:data.bin --arg "
               "out:sums.bin:4096\n"
               "  moesaic emulate kernels.ptx --list\n"
               "  moesaic emulate --gpu rtx5090 --sms 4 --json report.json -- ./program its arguments\n"
               "  moesaic emulate --isa mma\n\n" +
               std::string(kExitCodesHelp));
  verb->callback([options, &exit_code] { exit_code = emulate(*options); });
}

}  // namespace moesaic::cli
