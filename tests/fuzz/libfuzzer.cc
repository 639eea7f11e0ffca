// SPDX-License-Identifier: GPL-3.0-or-later
// The program `fuzz`: one target of them all under libFuzzer.
//
//   fuzz --list                       each target, and how many runs a change is worth
//   fuzz --target=NAME [ARGUMENT...]  as libFuzzer takes them, which passes over what begins with two dashes
#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/fuzz.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

using s3crate::fuzz::Target;

const Target* chosen = nullptr;

void choose(std::string_view argument) {
  constexpr std::string_view kTarget = "--target=";
  if (argument == "--list") {
    for (const Target* target : Target::all())
      std::printf("%s %d\n", std::string(target->name).c_str(), static_cast<int>(target->pace));
    std::exit(0);
  }
  if (!argument.starts_with(kTarget)) return;
  argument.remove_prefix(kTarget.size());
  for (const Target* target : Target::all())
    if (target->name == argument) chosen = target;
}

}  // namespace

extern "C" {

int LLVMFuzzerInitialize(int* argc, char*** argv) {
  CHECK(s3crate::crypto::initialise());
  for (int i = 1; i < *argc; ++i) choose((*argv)[i]);
  if (chosen == nullptr) {
    std::fprintf(stderr, "usage: fuzz --list | --target=NAME [ARGUMENT...]\n");
    std::exit(2);
  }
  // Seeds are of full length from the beginning.
  static char len_control[] = "-len_control=0";
  static std::vector<char*> arguments(*argv, *argv + *argc);
  arguments.insert(arguments.begin() + 1, len_control);
  *argc = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  *argv = arguments.data();
  return 0;
}

std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                    unsigned seed) {
  static const std::vector<s3crate::Bytes> starts = chosen->seeds();
  constexpr unsigned kFreshStartOneIn = 100;
  const s3crate::Bytes& start = starts[seed / kFreshStartOneIn % starts.size()];
  if ((size <= 1 || seed % kFreshStartOneIn == 0) && start.size() <= max_size) {
    std::ranges::copy(start, data);
    size = start.size();
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  chosen->run({data, size});
  return 0;
}

}  // extern "C"
