#include "checkpoint/checkpoint.hpp"

#include <fmt/format.h>

#include <set>

#include "checkpoint/json.hpp"
#include "checkpoint/layer_plan.hpp"
#include "spec/error.hpp"

namespace moesaic::checkpoint {
namespace {

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

/// A file of the directory itself: nothing that an index names may lead elsewhere.
std::filesystem::path file_in(const std::filesystem::path& directory, const std::string& index, const Json& name) {
  const std::string text = name.is_string() ? name.get<std::string>() : std::string();
  const std::filesystem::path path(text);
  if (text.empty() || !is_printable(text) || path.filename() != path || path == "." || path == "..") {
    throw Error(
        fmt::format("{}: weight_map names {}; must be the name of a file in the same directory", index, shown(name)));
  }
  return directory / path;
}

void add_file(Model& model, const std::filesystem::path& file) {
  for (Tensor& tensor : read_header(file)) {
    const std::string name = tensor.name;
    const auto [at, added] = model.tensors.try_emplace(name, StoredTensor{file, std::move(tensor)});
    if (!added) {
      throw Error(fmt::format("{}: {} is also in {}; each tensor may be in one file only", file.string(), name,
                              at->second.file.filename().string()));
    }
  }
}

void add_sharded(Model& model, const std::filesystem::path& index_file) {
  const std::string where = index_file.string();
  const Json index = read_object(index_file, kMaxHeaderBytes);
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object()) {
    throw Error(fmt::format("{}: weight_map must be an object of tensor names and file names", where));
  }
  std::set<std::filesystem::path> files;
  for (const auto& [name, file] : map->items()) files.insert(file_in(model.directory, where, file));
  for (const auto& file : files) add_file(model, file);
  for (const auto& [name, file] : map->items()) {
    const auto found = model.tensors.find(name);
    if (found == model.tensors.end() || found->second.file != file_in(model.directory, where, file)) {
      throw Error(fmt::format("{}: says that {} is in {}, but it is not", where, name, file.get<std::string>()));
    }
  }
}

}  // namespace

Model open(const std::filesystem::path& directory) {
  if (!std::filesystem::is_directory(directory)) {
    throw Error(fmt::format("{}: {}; a model is a directory with config.json and *.safetensors", directory.string(),
                            std::filesystem::exists(directory) ? "not a directory" : "no such directory"));
  }
  Model model{directory, read_config(directory / "config.json"), {}};
  const std::filesystem::path single = directory / kSingleFile;
  const std::filesystem::path index = directory / kIndexFile;
  // A link that leads nowhere is there, too: what it should lead to is missing then.
  const auto is_there = [](const std::filesystem::path& file) {
    return std::filesystem::symlink_status(file).type() != std::filesystem::file_type::not_found;
  };
  // transformers looks for them in this order.
  if (is_there(single)) {
    add_file(model, single);
  } else if (is_there(index)) {
    add_sharded(model, index);
  } else {
    throw Error(fmt::format("{}: holds neither {} nor {}", directory.string(), kSingleFile, kIndexFile));
  }
  return model;
}

Layer load_layer(const Model& model, int index, const Progress& progress) {
  return load_layer(plan_layer(model, index), progress);
}

}  // namespace moesaic::checkpoint
