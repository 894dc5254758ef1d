// Requests and exact answers, from testdata/*.txt. Each file speaks to a server of its own over the
// fake backend. A case is a request line, its body behind two spaces, and lines `header NAME:
// VALUE` or `body-repeat CHARACTER COUNT`; the answer is its status, its headers without Date and
// Content-Length, and the lines of its body behind "| ". REWRITE=FOLDER writes what came there.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gateway/http/fake_backend.h"
#include "gateway/http/http_server.h"
#include "gateway/http/test_client.h"

namespace consul::gateway::http {
namespace {

struct Case {
  std::string comment;
  std::string request;
  std::string answer;
  int line = 0;
};

std::vector<Case> ReadCases(const std::string& path) {
  std::ifstream file(path);
  std::vector<Case> cases;
  Case current;
  bool in_answer = false;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.empty()) {
      if (in_answer) cases.push_back(std::exchange(current, Case()));
      in_answer = false;
    } else if (line == "----") {
      in_answer = true;
      current.line = number;
    } else if (!in_answer && line[0] == '#') {
      current.comment += line + "\n";
    } else {
      (in_answer ? current.answer : current.request) += line + "\n";
    }
  }
  if (in_answer) cases.push_back(current);
  return cases;
}

std::string Render(const Answer& answer) {
  std::string text = std::to_string(answer.status) + "\n";
  for (const std::string& header : answer.headers) text += header + "\n";
  if (answer.body.empty()) return text;
  std::string body = answer.body;
  for (size_t at = 0; (at = body.find('\n', at)) != std::string::npos; at += 3) {
    body.insert(at + 1, "| ");
  }
  body = "| " + body;
  // A line without anything keeps no space at its end.
  std::istringstream lines(body);
  for (std::string line; std::getline(lines, line);) text += (line == "| " ? "|" : line) + "\n";
  return text;
}

std::string Play(TestClient* client, const std::string& request) {
  std::istringstream lines(request);
  std::string line;
  std::getline(lines, line);
  const size_t space = line.find(' ');
  const size_t end = std::min(line.find("  ", space + 1), line.size());
  const std::string verb = line.substr(0, space);
  const std::string target = line.substr(space + 1, end - space - 1);
  std::string body = end + 2 <= line.size() ? line.substr(end + 2) : "";
  std::string headers;
  while (std::getline(lines, line)) {
    if (line.starts_with("header ")) {
      headers += line.substr(7) + "\r\n";
    } else if (line.starts_with("body-repeat ")) {
      body.assign(std::stoul(line.substr(14)), line[12]);
    } else {
      return "cannot read: " + line + "\n";
    }
  }
  client->Request(verb, target, body, headers);
  const std::optional<Answer> answer = client->Read(verb == "HEAD");
  return answer.has_value() ? Render(*answer) : "the connection ended\n";
}

void RunFile(const std::string& name) {
  const std::string path = "gateway/http/testdata/" + name;
  const std::vector<Case> cases = ReadCases(path);
  ASSERT_FALSE(cases.empty()) << path;
  FakeBackend backend;
  HttpOptions options;
  options.addresses = {{"127.0.0.1", 0}};
  options.threads = 1;
  HttpServer server(options, &backend);
  ASSERT_TRUE(server.Start().ok());
  std::string rewritten;
  auto client = std::make_unique<TestClient>(server.ports()[0]);
  for (const Case& test : cases) {
    SCOPED_TRACE(path + ":" + std::to_string(test.line) + "\n" + test.request);
    const std::string answer = Play(client.get(), test.request);
    ASSERT_NE(answer, "the connection ended\n");
    rewritten += test.comment + test.request + "----\n" + answer + "\n";
    if (std::getenv("REWRITE") == nullptr) {
      EXPECT_EQ(answer, test.answer);
    }
    if (answer.find("Connection: close") != std::string::npos) {
      client = std::make_unique<TestClient>(server.ports()[0]);
    }
  }
  if (const char* folder = std::getenv("REWRITE")) {
    rewritten.pop_back();
    std::ofstream(std::string(folder) + "/" + name) << rewritten;
  }
}

TEST(HttpText, KeyValues) { RunFile("kv.txt"); }
TEST(HttpText, RefusedRequests) { RunFile("errors.txt"); }
TEST(HttpText, Paths) { RunFile("paths.txt"); }
TEST(HttpText, CatalogAndAgent) { RunFile("catalog.txt"); }
TEST(HttpText, Snapshot) { RunFile("snapshot.txt"); }

// What the server says to `request` until it closes.
std::string ToEnd(std::string_view request) {
  FakeBackend backend;
  HttpOptions options;
  options.addresses = {{"127.0.0.1", 0}};
  options.threads = 1;
  HttpServer server(options, &backend);
  EXPECT_TRUE(server.Start().ok());
  TestClient client(server.ports()[0]);
  client.Send(request);
  return client.ReadToEnd();
}

TEST(HttpStream, EndsWithTheConnectionInHttp10) {
  const std::string all = ToEnd("GET /v1/snapshot HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(all.find("Transfer-Encoding"), std::string::npos);
  EXPECT_EQ(all.find("Content-Length"), std::string::npos);
  EXPECT_TRUE(all.ends_with("\r\n\r\none, two, three")) << all;
}

TEST(HttpStream, OneThatFailsIsCutOff) {
  const std::string all = ToEnd("GET /v1/snapshot?dc=broken HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(all.starts_with("HTTP/1.1 200 OK\r\n")) << all;
  EXPECT_TRUE(all.ends_with("\r\n5\r\none, \r\n")) << "no last chunk: " << all;
}

TEST(HttpStream, AnotherRequestMayFollow) {
  const std::string all =
      ToEnd("GET /v1/snapshot HTTP/1.1\r\nHost: h\r\n\r\n"
            "GET /v1/snapshot HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  const size_t end = all.find("5\r\nthree\r\n0\r\n\r\n");
  ASSERT_NE(end, std::string::npos) << all;
  EXPECT_NE(all.find("5\r\nthree\r\n0\r\n\r\n", end + 1), std::string::npos) << all;
}

}  // namespace
}  // namespace consul::gateway::http
