// gateway/dns/text_test.h
//
// Text tests: a file of cases, each a few lines of input, a line "----" and the exact output, with
// a blank line between cases and comments from '#' to the line's end. REWRITE=ROOT writes the file
// under ROOT with the output that came instead of comparing; read the diff before it is committed.
//
// Threads: test code, one thread.
#ifndef CONSUL_GATEWAY_DNS_TEXT_TEST_H_
#define CONSUL_GATEWAY_DNS_TEXT_TEST_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace consul::gateway::dns {

// Runs every case of `path` (from the workspace's root) through `run` and expects its output.
// Fails the test when the file has no case.
void RunTextTest(const std::string& path, const std::function<std::string(std::string)>& run);

// The words of a line, split at spaces.
std::vector<std::string> SplitWords(std::string_view line);
// The lines of a text, without empty ones at its end.
std::vector<std::string> SplitLines(std::string_view text);

// The bytes of hex digits; spaces between them are passed over. Nothing for other characters.
std::optional<std::vector<uint8_t>> BytesFromHex(std::string_view hex);

}  // namespace consul::gateway::dns

#endif  // CONSUL_GATEWAY_DNS_TEXT_TEST_H_
