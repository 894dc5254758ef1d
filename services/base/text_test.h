// services/base/text_test.h
//
// Text tests: files of cases, each an input, a line "----" and the exact output, ended by a blank
// line. Every case is a test of its own, named by the comment line before it:
//
//   # A later file wins
//   file a.json {"node_name": "a"}
//   ----
//   node_name: a
//
// REWRITE=1 writes the outputs that came back into the files instead of comparing (run the binary
// from the workspace's root); read the diff before it is committed.
//
// Threads: test code, one thread.
#ifndef CONSUL_SERVICES_BASE_TEXT_TEST_H_
#define CONSUL_SERVICES_BASE_TEXT_TEST_H_

#include <functional>
#include <string>
#include <vector>

namespace consul::base {

// Makes every case of every file (paths from the workspace's root) a test of suite `suite`, which
// expects `run` of its input to be its output. A file without a case, a case without a name, and
// two of one name end the process: a test that is not run must not pass.
//
//   const bool registered = RegisterTextTests("ConfigTest", {"services/.../merge.txt"}, &RunCase);
bool RegisterTextTests(const std::string& suite, const std::vector<std::string>& paths,
                       const std::function<std::string(const std::string& input)>& run);

// `text` with `prefix` before each of its lines. A last line without its end is marked: "\ no
// newline" follows. Empty text is empty.
std::string PrefixLines(const std::string& prefix, const std::string& text);

}  // namespace consul::base

#endif  // CONSUL_SERVICES_BASE_TEXT_TEST_H_
