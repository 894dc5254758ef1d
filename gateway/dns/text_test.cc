#include "gateway/dns/text_test.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace consul::gateway::dns {
namespace {

constexpr std::string_view kSeparator = "----";

struct Case {
  int line = 0;
  std::string comment;  // lines before the input, written back by REWRITE
  std::string input;
  std::string expected;
};

std::vector<Case> ReadCases(const std::string& path) {
  std::ifstream file(path);
  std::vector<Case> cases;
  Case current;
  bool in_expected = false;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.empty()) {
      if (in_expected) {
        cases.push_back(std::move(current));
        current = Case();
      } else {
        current.comment += "\n";
      }
      in_expected = false;
    } else if (line == kSeparator) {
      in_expected = true;
      current.line = number;
    } else if (in_expected) {
      current.expected += line + "\n";
    } else if (line[0] == '#') {
      (current.input.empty() ? current.comment : current.input) += line + "\n";
    } else {
      current.input += line + "\n";
    }
  }
  if (in_expected) cases.push_back(std::move(current));
  return cases;
}

std::string WithoutComments(const std::string& input) {
  std::string out;
  for (const std::string& line : SplitLines(input)) {
    std::string text = line.substr(0, line.find('#'));
    while (!text.empty() && text.back() == ' ') text.pop_back();
    if (!text.empty()) out += text + "\n";
  }
  return out;
}

}  // namespace

void RunTextTest(const std::string& path, const std::function<std::string(std::string)>& run) {
  const std::vector<Case> cases = ReadCases(path);
  EXPECT_FALSE(cases.empty()) << path << " has no case";
  std::string rewritten;
  for (const Case& test : cases) {
    SCOPED_TRACE(path + ":" + std::to_string(test.line));
    const std::string output = run(WithoutComments(test.input));
    rewritten += test.comment + test.input + std::string(kSeparator) + "\n" + output + "\n";
    if (std::getenv("REWRITE") == nullptr) {
      EXPECT_EQ(output, test.expected) << test.input;
    }
  }
  if (const char* folder = std::getenv("REWRITE")) {
    std::ofstream(std::string(folder) + "/" + path) << rewritten.substr(0, rewritten.size() - 1);
  }
}

std::vector<std::string> SplitWords(std::string_view line) {
  std::istringstream in{std::string(line)};
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

std::vector<std::string> SplitLines(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

std::optional<std::vector<uint8_t>> BytesFromHex(std::string_view hex) {
  std::string digits;
  for (const char c : hex) {
    if (std::isspace(static_cast<unsigned char>(c))) continue;
    if (!std::isxdigit(static_cast<unsigned char>(c))) return std::nullopt;
    digits.push_back(c);
  }
  if (digits.size() % 2 != 0) return std::nullopt;
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < digits.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

}  // namespace consul::gateway::dns
