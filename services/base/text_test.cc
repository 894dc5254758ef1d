#include "services/base/text_test.h"

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <utility>

#include "gtest/gtest.h"

namespace consul::base {
namespace {

constexpr const char* kSeparator = "----";

struct Case {
  std::string preamble;  // comments and blank lines before the input
  std::string name;
  std::string input;
  std::string output;
  int line = 0;
};

struct File {
  std::string path;
  std::vector<Case> cases;
  std::string tail;

  void Write() const {
    std::ofstream out(path);
    for (const Case& each : cases) {
      out << each.preamble << each.input << kSeparator << "\n" << each.output << "\n";
    }
    out << tail;
  }
};

[[noreturn]] void Die(const std::string& path, int line, const char* what) {
  std::fprintf(stderr, "text test %s:%d: %s\n", path.c_str(), line, what);
  std::abort();
}

// "A later file wins" -> "ALaterFileWins": what googletest and its filters take for a name.
std::string NameFrom(const std::string& comment) {
  std::string name;
  bool start = true;
  for (const char c : comment) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) {
      start = true;
      continue;
    }
    name.push_back(start ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c);
    start = false;
  }
  return name;
}

File ReadFile(const std::string& path) {
  File file{path, {}, ""};
  std::ifstream in(path);
  if (!in) Die(path, 0, "cannot be opened");
  enum class Part { kPreamble, kInput, kOutput } part = Part::kPreamble;
  Case current;
  std::string line;
  int number = 0;
  const auto finish = [&] {
    file.cases.push_back(std::exchange(current, Case()));
    part = Part::kPreamble;
  };
  while (std::getline(in, line)) {
    ++number;
    if (part == Part::kPreamble && (line.empty() || line[0] == '#')) {
      if (current.name.empty() && !line.empty()) current.name = NameFrom(line);
      current.preamble += line + "\n";
      // A comment that a blank line cuts off belongs to the file, not to the next case.
      if (line.empty()) current.name.clear();
    } else if (part == Part::kOutput) {
      if (line.empty()) {
        finish();
      } else {
        current.output += line + "\n";
      }
    } else if (line == kSeparator) {
      part = Part::kOutput;
      current.line = number;
      if (current.name.empty()) Die(path, number, "a case without a name");
    } else {
      part = Part::kInput;
      current.input += line + "\n";
    }
  }
  if (part == Part::kInput) Die(path, number, "a case without ----");
  if (part == Part::kOutput) finish();
  file.tail = current.preamble;
  if (file.cases.empty()) Die(path, number, "no case");
  return file;
}

class TextTest : public testing::Test {
 public:
  TextTest(std::shared_ptr<File> file, size_t index,
           std::function<std::string(const std::string&)> run)
      : file_(std::move(file)), index_(index), run_(std::move(run)) {}

  void TestBody() override {
    Case& test = file_->cases[index_];
    const std::string output = run_(test.input);
    if (std::getenv("REWRITE") != nullptr) {
      test.output = output;
      file_->Write();
      return;
    }
    EXPECT_EQ(output, test.output) << file_->path << ":" << test.line << "\n" << test.input;
  }

 private:
  const std::shared_ptr<File> file_;
  const size_t index_;
  const std::function<std::string(const std::string&)> run_;
};

}  // namespace

bool RegisterTextTests(const std::string& suite, const std::vector<std::string>& paths,
                       const std::function<std::string(const std::string& input)>& run) {
  std::set<std::string> names;
  for (const std::string& path : paths) {
    const auto file = std::make_shared<File>(ReadFile(path));
    for (size_t i = 0; i < file->cases.size(); ++i) {
      const Case& test = file->cases[i];
      if (!names.insert(test.name).second) Die(path, test.line, "two cases of one name");
      testing::RegisterTest(suite.c_str(), test.name.c_str(), nullptr, nullptr, path.c_str(),
                            test.line,
                            [file, i, run]() -> TextTest* { return new TextTest(file, i, run); });
    }
  }
  return true;
}

std::string PrefixLines(const std::string& prefix, const std::string& text) {
  std::istringstream in(text);
  std::string out;
  std::string line;
  while (std::getline(in, line)) {
    out += prefix;
    if (!line.empty()) out += " " + line;
    out += "\n";
  }
  if (!text.empty() && text.back() != '\n') out += "\\ no newline\n";
  return out;
}

}  // namespace consul::base
