// SPDX-License-Identifier: GPL-3.0-or-later
// The program `run_corpus`: gives each target its seeds and what is kept for it in DIRECTORY, once.
//
//   run_corpus DIRECTORY
//
// It ends with what an input does to it, after a line that names the input. A directory that belongs to no target is an
// error, and so is a target without one.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "tests/fuzz/fuzz.h"

namespace {

namespace fs = std::filesystem;
using namespace s3crate;
using fuzz::Target;

// The one under way, for who looks at the output of a crash.
void say(const Target& target, const std::string& input) {
  std::printf("%s %s\n", std::string(target.name).c_str(), input.c_str());
  std::fflush(stdout);
}

std::size_t run(const Target& target, const fs::path& directory) {
  std::size_t n = 0;
  const std::vector<Bytes> seeds = target.seeds();
  for (std::size_t i = 0; i < seeds.size(); ++i, ++n) {
    say(target, "seed " + std::to_string(i));
    target.run(seeds[i]);
  }
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory)) files.insert(entry.path());
  for (const fs::path& file : files) {
    say(target, file.filename());
    std::ifstream stream(file, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    CHECK(stream.good() || stream.eof());
    target.run(as_bytes(text));
    ++n;
  }
  return n;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: run_corpus DIRECTORY\n");
    return 2;
  }
  CHECK(crypto::initialise());
  std::size_t n = 0;
  std::set<fs::path> ours;
  for (const Target* target : Target::all()) {
    const fs::path directory = fs::path(argv[1]) / target->name;
    if (!fs::is_directory(directory)) {
      std::printf("no corpus: %s\n", directory.c_str());
      return 1;
    }
    ours.insert(directory);
    n += run(*target, directory);
  }
  for (const auto& entry : fs::directory_iterator(argv[1])) {
    if (ours.contains(entry.path())) continue;
    std::printf("a corpus of no target: %s\n", entry.path().c_str());
    return 1;
  }
  std::printf("%zu inputs of %zu targets\n", n, ours.size());
  return 0;
}
