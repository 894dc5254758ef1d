// tests/fuzz/driver.cc
//
// Runs a fuzz target without libFuzzer, so that every test run gives each parser a thousand hostile
// inputs or more. The inputs are the files of the corpus folder and mutations of them; these come
// from a seed that is printed and taken back:
//   TARGET [CORPUS_DIR]    environment: FUZZ_SEED (default: fixed), FUZZ_MS (default 250)
// The target file itself is what libFuzzer links as well. A crash prints the seed and the number of
// the input, and leaves the input in $TEST_TMPDIR/crash.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr uint64_t kSeedDefault = 20260101;
constexpr int kMillisecondsDefault = 250;
constexpr uint64_t kInputsMin = 1000;
constexpr size_t kInputBytesMax = 4096;
constexpr int kMutationsMax = 8;

// What a signal handler can reach: the input at work.
std::string current;
uint64_t current_number = 0;
uint64_t current_seed = 0;

void OnCrash(int number) {
  char text[128];
  const int size = std::snprintf(text, sizeof text,
                                 "signal %d at input %llu, FUZZ_SEED=%llu\n", number,
                                 static_cast<unsigned long long>(current_number),
                                 static_cast<unsigned long long>(current_seed));
  if (write(STDERR_FILENO, text, static_cast<size_t>(size)) < 0) _exit(3);
  const char* folder = std::getenv("TEST_TMPDIR");
  std::ofstream(std::string(folder == nullptr ? "." : folder) + "/crash") << current;
  std::signal(number, SIG_DFL);
  raise(number);
}

uint64_t FromEnvironment(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

std::vector<std::string> ReadCorpus(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());  // the same inputs in the same order, whatever the disk
  std::vector<std::string> inputs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

class Mutator {
 public:
  Mutator(std::vector<std::string> corpus, uint64_t seed)
      : corpus_(std::move(corpus)), random_(seed) {}

  std::string Next() {
    std::string input = Pick();
    for (uint64_t n = 1 + Below(kMutationsMax); n > 0; --n) Mutate(&input);
    if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
    return input;
  }

 private:
  size_t Below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }
  const std::string& Pick() { return corpus_[Below(corpus_.size())]; }

  void Mutate(std::string* input) {
    const size_t at = Below(input->size() + 1);
    const size_t size = Below(std::min<size_t>(input->size() - at, 32) + 1);
    switch (random_() % 8) {
      case 0: input->erase(at, size); break;
      case 1: input->insert(at, 1, static_cast<char>(random_())); break;
      case 2: input->insert(at, input->substr(at, size)); break;
      case 3: {  // a piece of another input
        const std::string& other = Pick();
        const size_t from = Below(other.size() + 1);
        input->insert(at, other.substr(from, Below(64)));
        break;
      }
      case 4: input->resize(at); break;
      case 5: {  // the same piece many times: depth and length
        const std::string piece = input->substr(at, std::min<size_t>(size, 4));
        for (size_t n = Below(200); n > 0; --n) input->insert(at, piece);
        break;
      }
      default:
        if (at < input->size()) {
          (*input)[at] = static_cast<char>((*input)[at] ^ (1 << (random_() % 8)));
        }
        break;
    }
  }

  const std::vector<std::string> corpus_;
  std::mt19937_64 random_;
};

void Run(const std::string& input) {
  current = input;
  ++current_number;
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> corpus = {""};
  if (argc > 1) {
    for (std::string& input : ReadCorpus(argv[1])) corpus.push_back(std::move(input));
    if (corpus.size() == 1) {
      std::fprintf(stderr, "no corpus in %s\n", argv[1]);
      return 1;
    }
  }
  current_seed = FromEnvironment("FUZZ_SEED", kSeedDefault);
  const std::chrono::milliseconds duration(FromEnvironment("FUZZ_MS", kMillisecondsDefault));
  for (const int number : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}) std::signal(number, OnCrash);
  for (const std::string& input : corpus) Run(input);
  Mutator mutator(corpus, current_seed);
  const auto end = std::chrono::steady_clock::now() + duration;
  while (std::chrono::steady_clock::now() < end || current_number < kInputsMin) {
    for (int i = 0; i < 100; ++i) Run(mutator.Next());
  }
  std::printf("%llu inputs, FUZZ_SEED=%llu, none crashed\n",
              static_cast<unsigned long long>(current_number),
              static_cast<unsigned long long>(current_seed));
  return 0;
}
