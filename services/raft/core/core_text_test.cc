// Text tests of the core: each case of testdata/*.txt is a cluster of its own, commands, and
// everything that the servers said and did, line by line. services/raft/README.md has the commands.
#include <cstdlib>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "services/base/strings.h"
#include "services/base/text_test.h"
#include "services/raft/core/test_cluster.h"
#include "services/raft/core/text.h"

namespace consul::raft {
namespace {

using base::StrCat;

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

class Interpreter {
 public:
  // One command; what happened, and what it answers.
  std::string Run(const std::string& line) {
    std::vector<std::string> words = Split(line, ' ');
    const std::string name = words.front();
    words.erase(words.begin());
    words_ = words;
    const auto found = Commands().find(name);
    if (found == Commands().end()) return StrCat("unknown command ", name, "\n");
    if (cluster_ == nullptr && name != "cluster") return "no cluster\n";
    const std::string answer = found->second(*this);
    std::string out = cluster_->TakeTrace();
    if (!answer.empty()) out += answer + "\n";
    if (!cluster_->Broken().empty()) out += "BROKEN " + cluster_->Broken() + "\n";
    return out;
  }

 private:
  using Command = std::function<std::string(Interpreter&)>;

  std::string Word(size_t at) const { return at < words_.size() ? words_[at] : ""; }
  uint64_t Number(size_t at) const { return std::strtoull(Word(at).c_str(), nullptr, 10); }
  std::string Option(const std::string& name) const {
    for (const std::string& word : words_) {
      if (word.rfind(name + "=", 0) == 0) return word.substr(name.size() + 1);
    }
    return "";
  }
  TestCluster& cluster() { return *cluster_; }
  TestCluster::Server& server() { return cluster_->at(Word(0)); }

  std::string Cluster() {
    Options base = TestCluster::TellsAtOnce();
    if (!Option("spare_delay").empty()) {
      base.spare_delay = Ms(std::stoll(Option("spare_delay")));
    }
    if (!Option("tail_bytes").empty()) base.tail_bytes_max = std::stoull(Option("tail_bytes"));
    if (!Option("append_bytes").empty()) {
      base.append_bytes_max = std::stoull(Option("append_bytes"));
    }
    if (!Option("in_flight").empty()) {
      base.in_flight_requests_max = std::stoull(Option("in_flight"));
    }
    if (!Option("chunk").empty()) base.snapshot_chunk_bytes_max = std::stoull(Option("chunk"));
    cluster_ = std::make_unique<TestCluster>(TestCluster::Members{Split(Option("voters"), ','),
                                                                  Split(Option("learners"), ','),
                                                                  Split(Option("spares"), ',')},
                                             1, base);
    return "";
  }

  std::string Propose() {
    std::vector<Proposal> batch;
    for (size_t i = 1; i < words_.size(); ++i) {
      batch.push_back({EntryKind::kCommand, MakeBuffer(words_[i])});
    }
    const ProposeResult result = server().core->Propose(cluster().now(), std::move(batch));
    cluster().Pump(server());
    switch (result.status) {
      case ProposeStatus::kAccepted: return "";
      case ProposeStatus::kNotLeader: return "not leader";
      case ProposeStatus::kTransferring: return "transferring";
      case ProposeStatus::kBusy: return "busy";
      case ProposeStatus::kTooLarge: return "too large";
      case ProposeStatus::kNoMajority: return "no majority";
    }
    return "";
  }

  std::string Change() {
    static const std::map<std::string, MembershipChange::Kind> kKinds = {
        {"add_learner", MembershipChange::Kind::kAddLearner},
        {"add_voter", MembershipChange::Kind::kAddVoter},
        {"demote", MembershipChange::Kind::kDemote},
        {"remove", MembershipChange::Kind::kRemove}};
    const MembershipResult result =
        cluster().Change(Word(0), kKinds.at(Word(1)), Word(2));
    switch (result.status) {
      case MembershipStatus::kAccepted: return "";
      case MembershipStatus::kNotLeader: return "not leader";
      case MembershipStatus::kTransferring: return "transferring";
      case MembershipStatus::kChangePending: return "change pending";
      case MembershipStatus::kTermNotCommitted: return "term not committed";
      case MembershipStatus::kNoChange: return "no change";
      case MembershipStatus::kLastVoter: return "last voter";
      case MembershipStatus::kTooMany: return "too many";
      case MembershipStatus::kBadId: return "bad id";
    }
    return "";
  }

  std::string Read() {
    const ReadMode mode = Word(2) == "lease" ? ReadMode::kLease : ReadMode::kReadIndex;
    switch (cluster().Read(Word(0), Number(1), mode)) {
      case ReadRequestStatus::kWaiting: return "";
      case ReadRequestStatus::kNotLeader: return "not leader";
      case ReadRequestStatus::kBusy: return "busy";
    }
    return "";
  }

  std::string Transfer() {
    const TransferStatus status =
        server().core->TransferLeadership(cluster().now(), Id(Word(1)));
    cluster().Pump(server());
    switch (status) {
      case TransferStatus::kStarted: return "";
      case TransferStatus::kNotLeader: return "not leader";
      case TransferStatus::kNoTarget: return "no target";
      case TransferStatus::kInProgress: return "in progress";
    }
    return "";
  }

  std::string Wants() {
    server().core->WantsCommit(Id(Word(1)), Index{Number(2)});
    cluster().Pump(server());
    return "";
  }

  std::string Break() {
    server().core->StreamBroken(cluster().now(), Id(Word(1)));
    cluster().Pump(server());
    return "";
  }

  std::string Status() {
    std::string text;
    for (const auto& [id, server] : cluster().servers()) {
      if (!text.empty()) text += "\n";
      if (!server.up()) {
        base::StrAppend(&text, id.value, " down");
        continue;
      }
      const Core& core = *server.core;
      base::StrAppend(&text, id.value, " ", ToText(core.role()), " term=", core.term().value,
                      " commit=", core.commit_index().value, " applied=",
                      core.applied_index().value, " last=", core.last_index().value, " (",
                      ToText(core.configuration().configuration), ")");
    }
    return text;
  }

  std::string Lease() {
    const Time until = server().core->LeaseUntil();
    if (until == Time::max()) return "for ever";
    if (until == Time::min() || until <= cluster().now()) return "none";
    return StrCat((until - cluster().now()) / std::chrono::milliseconds(1), "ms");
  }

  std::string Wire() {
    std::string text;
    for (size_t i = 0; i < cluster().wire().size(); ++i) {
      base::StrAppend(&text, i == 0 ? "" : "\n", i, " ", ToText(cluster().wire()[i]));
    }
    return text.empty() ? "nothing" : text;
  }

  template <typename Action>
  static Command Do(Action action) {
    return [action](Interpreter& i) {
      action(i);
      return std::string();
    };
  }

  static const std::map<std::string, Command>& Commands() {
    using I = Interpreter;
    static const std::map<std::string, Command> kCommands = {
        {"cluster", [](I& i) { return i.Cluster(); }},
        {"propose", [](I& i) { return i.Propose(); }},
        {"change", [](I& i) { return i.Change(); }},
        {"read", [](I& i) { return i.Read(); }},
        {"transfer", [](I& i) { return i.Transfer(); }},
        {"wants", [](I& i) { return i.Wants(); }},
        {"break", [](I& i) { return i.Break(); }},
        {"status", [](I& i) { return i.Status(); }},
        {"lease", [](I& i) { return i.Lease(); }},
        {"wire", [](I& i) { return i.Wire(); }},
        {"log", [](I& i) { return i.cluster().Log(i.Word(0)); }},
        {"elect", Do([](I& i) { i.cluster().Elect(i.Word(0)); })},
        {"expire", Do([](I& i) { i.cluster().Expire(i.Word(0)); })},
        {"advance", Do([](I& i) { i.cluster().Advance(Ms(i.Number(0))); })},
        {"run", Do([](I& i) { i.cluster().Run(Ms(i.Number(0))); })},
        {"settle", Do([](I& i) { i.cluster().Settle(); })},
        {"deliver", Do([](I& i) { i.cluster().Deliver(i.Number(0)); })},
        {"repeat", Do([](I& i) { i.cluster().Deliver(i.Number(0), true); })},
        {"lose", Do([](I& i) { i.cluster().Lose(i.Number(0)); })},
        {"lose_all", Do([](I& i) { i.cluster().wire().clear(); })},
        {"crash", Do([](I& i) { i.cluster().Crash(i.Word(0)); })},
        {"restart", Do([](I& i) { i.cluster().Restart(i.Word(0)); })},
        {"cut", Do([](I& i) { i.cluster().Cut(i.Word(0), i.Word(1)); })},
        {"cut_off", Do([](I& i) { i.cluster().CutOff(i.Word(0)); })},
        {"heal", Do([](I& i) { i.cluster().Heal(); })},
        {"hold_writes", Do([](I& i) { i.server().hold_writes = true; })},
        {"release_writes", Do([](I& i) { i.cluster().ReleaseWrites(i.Word(0)); })},
        {"hold_apply", Do([](I& i) { i.server().hold_apply = true; })},
        {"apply", Do([](I& i) {
           i.server().hold_apply = false;
           i.cluster().ApplyAll(i.server());
           i.cluster().Pump(i.server());
         })},
        {"snapshot", Do([](I& i) { i.cluster().TakeSnapshot(i.Word(0), i.Number(1)); })},
    };
    return kCommands;
  }

  std::unique_ptr<TestCluster> cluster_;
  std::vector<std::string> words_;
};

// A command after "-" is run in silence; others are repeated with what they did.
std::string RunCase(const std::string& input) {
  Interpreter interpreter;
  std::string out;
  for (const std::string& line : Split(input, '\n')) {
    if (line.rfind("- ", 0) == 0) {
      const std::string said = interpreter.Run(line.substr(2));
      if (said.find("BROKEN") != std::string::npos) out += said;
      continue;
    }
    out += "> " + line + "\n" + interpreter.Run(line);
  }
  return out;
}

const bool kRegistered = base::RegisterTextTests(
    "CoreTextTest",
    {"services/raft/core/testdata/election.txt", "services/raft/core/testdata/replication.txt",
     "services/raft/core/testdata/reads.txt", "services/raft/core/testdata/membership.txt",
     "services/raft/core/testdata/transfer.txt", "services/raft/core/testdata/snapshot.txt"},
    &RunCase);

}  // namespace
}  // namespace consul::raft
