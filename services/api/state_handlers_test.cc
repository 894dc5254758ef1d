// Text tests of what the handlers of keys and of the catalog answer, each call on the real state.
//
//   put KEY [VALUE] [flags=N] [cas=N]    delete KEY [cas=N]    delete-tree PREFIX
//   get KEY    list PREFIX    keys PREFIX [SEPARATOR]
//   register NODE [id=] [address=] [meta=K:V]... [service=ID:NAME] [tags=a,b] [check=ID]
//   nodes [meta=K:V]...    node NAME    services [meta=K:V]...    checks NODE
//   place NODE [NUMBERS] [segment=S]     places    place-of NODE
// "~" is the empty text, "*N" N letters x. A read prints its index behind @.
#include <google/protobuf/arena.h>

#include <memory>
#include <sstream>

#include "consul/catalog/v1/catalog.pb.h"
#include "consul/coordinate/v1/coordinate.pb.h"
#include "consul/health/v1/health.pb.h"
#include "consul/kv/v1/kv.pb.h"
#include "consul/status/v1/status.pb.h"
#include "gtest/gtest.h"
#include "services/api/catalog_handlers.h"
#include "services/api/coordinate_handlers.h"
#include "services/api/kv_handlers.h"
#include "services/api/status_handlers.h"
#include "services/base/strings.h"
#include "services/base/text_test.h"
#include "services/rpc/errors.h"
#include "services/server/test_consensus.h"

namespace consul::api {
namespace {

using base::StrCat;
using google::protobuf::Arena;

std::string Text(const std::string& word) {
  if (word == "~") return "";
  if (word.starts_with("*")) return std::string(std::stoul(word.substr(1)), 'x');
  return word;
}

struct Words {
  explicit Words(const std::string& line) {
    std::istringstream in(line);
    in >> verb;
    for (std::string word; in >> word;) {
      const size_t equals = word.find('=');
      if (equals == std::string::npos) {
        plain.push_back(Text(word));
      } else {
        options.emplace_back(word.substr(0, equals), word.substr(equals + 1));
      }
    }
  }
  std::string at(size_t i) const { return i < plain.size() ? plain[i] : ""; }
  std::vector<std::string> All(const std::string& name) const {
    std::vector<std::string> values;
    for (const auto& [key, value] : options) {
      if (key == name) values.push_back(value);
    }
    return values;
  }
  std::string Option(const std::string& name) const {
    const auto values = All(name);
    return values.empty() ? "" : values[0];
  }
  std::string verb;
  std::vector<std::string> plain;
  std::vector<std::pair<std::string, std::string>> options;
};

std::string ErrorText(const absl::Status& status) {
  const auto detail = rpc::Detail(status);
  return StrCat(errors::v1::Reason_Name(detail.reason()), " ", detail.subject(), ": ",
                base::ToStd(status.message()), "\n");
}

std::string NodeText(const catalog::v1::Node& node) {
  std::string text = StrCat("node ", node.node(), " id=", node.id(), " address=", node.address());
  for (const auto& pair : node.meta()) text += StrCat(" ", pair.key(), ":", pair.value());
  return text + "\n";
}

std::string EntryText(const kv::v1::KeyValue& entry) {
  return StrCat(entry.key(), "=", entry.value(), " flags=", entry.flags(),
                " modified=", entry.modify_index(), "\n");
}

class Script {
 public:
  Script() {
    KvLimits limits;
    limits.value_bytes_max = 8;
    RegisterKv(limits, consensus_.state(), &handlers_);
    RegisterCatalog("dc1", consensus_.state(), &handlers_);
    RegisterHealth(consensus_.state(), &handlers_);
    RegisterCoordinates("dc1", nullptr, consensus_.state(), &handlers_);
  }

  std::string Run(const std::string& input) {
    std::istringstream in(input);
    for (std::string line; std::getline(in, line);) {
      const Words words(line);
      if (!RunWrite(words) && !RunKvRead(words)) RunCatalogRead(words);
    }
    return out_;
  }

  // Calls a read; prints its error. Null: it failed.
  template <typename Response, typename Request>
  const Response* Read(const std::string& path, const Request& request) {
    const auto& handler =
        std::get<rpc::ReadHandler>(handlers_.Of(rpc::PublicApi().Get("/consul." + path)));
    version_ = consensus_.version();
    auto* const response = Arena::CreateMessage<Response>(&arena_);
    state::WatchSet watched;
    const absl::Status status = handler.read(*version_, request, response, &watched);
    if (!status.ok()) {
      out_ += ErrorText(status);
      return nullptr;
    }
    index_ = StrCat("@", version_->IndexOf(watched), "\n");
    return response;
  }

  // Whether a read ends before its end where it may come to `rows_max` rows.
  template <typename Response, typename Request>
  bool Cut(const std::string& path, const Request& request, size_t rows_max) {
    const auto& handler =
        std::get<rpc::ReadHandler>(handlers_.Of(rpc::PublicApi().Get("/consul." + path)));
    state::WatchSet watched;
    watched.LimitRows(rows_max);
    EXPECT_TRUE(handler.read(*consensus_.version(), request,
                             Arena::CreateMessage<Response>(&arena_), &watched).ok());
    return watched.cut();
  }

  server::TestConsensus& consensus() { return consensus_; }

 private:
  const rpc::WriteHandler& WriterOf(const std::string& path) {
    return std::get<rpc::WriteHandler>(handlers_.Of(rpc::PublicApi().Get("/consul." + path)));
  }
  // Prints what is wrong with the request, if so.
  bool Prepare(const rpc::WriteHandler& handler, const google::protobuf::Message& request,
               state::SealedCommand* command) {
    const absl::Status status = handler.prepare(request, command);
    if (!status.ok()) out_ += ErrorText(status);
    return status.ok();
  }

  template <typename Response, typename Request>
  void Write(const std::string& method, const Request& request) {
    const auto& handler = WriterOf("kv.v1.KvService/" + method);
    state::SealedCommand command;
    if (!Prepare(handler, request, &command)) return;
    consensus_.Propose(command, [&](absl::StatusOr<rpc::Applied> applied) {
      Response response;
      handler.finish(*applied, &response);
      out_ += StrCat(response.index(), response.applied() ? ": applied\n" : ": not applied\n");
    });
  }

  bool RunWrite(const Words& words) {
    if (words.verb == "put") {
      kv::v1::PutRequest request;
      request.set_key(words.at(0));
      request.set_value(words.at(1));
      if (!words.Option("flags").empty()) request.set_flags(std::stoull(words.Option("flags")));
      if (!words.Option("cas").empty()) request.set_cas(std::stoull(words.Option("cas")));
      Write<kv::v1::PutResponse>("Put", request);
    } else if (words.verb == "delete") {
      kv::v1::DeleteRequest request;
      request.set_key(words.at(0));
      if (!words.Option("cas").empty()) request.set_cas(std::stoull(words.Option("cas")));
      Write<kv::v1::DeleteResponse>("Delete", request);
    } else if (words.verb == "delete-tree") {
      kv::v1::DeleteTreeRequest request;
      request.set_prefix(words.at(0));
      Write<kv::v1::DeleteTreeResponse>("DeleteTree", request);
    } else if (words.verb == "register") {
      Register(words);
    } else if (words.verb == "place") {
      Place(words);
    } else {
      return false;
    }
    return true;
  }

  void Register(const Words& words) {
    server::TestConsensus::Command command;
    auto* const registration = command.mutable_catalog_register();
    auto* const node = registration->mutable_node();
    node->set_node(words.at(0));
    node->set_id(words.Option("id"));
    node->set_address(words.Option("address"));
    for (const std::string& meta : words.All("meta")) {
      auto* const pair = node->add_meta();
      pair->set_key(meta.substr(0, meta.find(':')));
      pair->set_value(meta.substr(meta.find(':') + 1));
    }
    if (const std::string service = words.Option("service"); !service.empty()) {
      registration->mutable_service()->set_id(service.substr(0, service.find(':')));
      registration->mutable_service()->set_service(service.substr(service.find(':') + 1));
      std::istringstream tags(words.Option("tags"));
      for (std::string tag; std::getline(tags, tag, ',');) {
        registration->mutable_service()->add_tags(tag);
      }
    }
    for (const std::string& check : words.All("check")) {
      registration->add_checks()->set_check_id(check);
    }
    consensus_.Apply(command);
  }

  void Place(const Words& words) {
    coordinate::v1::UpdateRequest request;
    request.set_node(words.at(0));
    request.set_segment(words.Option("segment"));
    for (size_t i = 1; i < words.plain.size(); ++i) {
      request.mutable_coord()->add_vec(std::stod(words.at(i)));
    }
    const auto& handler = WriterOf("coordinate.v1.CoordinateService/Update");
    state::SealedCommand command;
    if (!Prepare(handler, request, &command)) return;
    consensus_.Propose(command, [&](absl::StatusOr<rpc::Applied> applied) {
      coordinate::v1::UpdateResponse response;
      handler.finish(*applied, &response);
      out_ += StrCat(applied->index, response.applied() ? ": applied\n" : ": not applied\n");
    });
  }

  void RunPlaceRead(const Words& words) {
    const auto print = [this](const auto& places) {
      for (const coordinate::v1::NodeCoordinate& each : places) {
        out_ += StrCat("place ", each.node(), " ", each.coord().vec(0), "\n");
      }
    };
    const std::string service = "coordinate.v1.CoordinateService/";
    if (words.verb == "places") {
      coordinate::v1::ListNodesRequest request;
      print(Read<coordinate::v1::ListNodesResponse>(service + "ListNodes", request)->nodes());
    } else if (words.verb == "place-of") {
      coordinate::v1::GetNodeRequest request;
      request.set_node(words.at(0));
      print(Read<coordinate::v1::GetNodeResponse>(service + "GetNode", request)->nodes());
    } else {
      out_ += "no such verb\n";
      return;
    }
    out_ += index_;
  }

  bool RunKvRead(const Words& words) {
    if (words.verb == "get") {
      kv::v1::GetRequest request;
      request.set_key(words.at(0));
      const auto* got = Read<kv::v1::GetResponse>("kv.v1.KvService/Get", request);
      if (got == nullptr) return true;
      out_ += (got->has_entry() ? EntryText(got->entry()) : "absent\n") + index_;
    } else if (words.verb == "list") {
      kv::v1::ListRequest request;
      request.set_prefix(words.at(0));
      const auto* got = Read<kv::v1::ListResponse>("kv.v1.KvService/List", request);
      for (const auto& entry : got->entries()) out_ += EntryText(entry);
      out_ += index_;
    } else if (words.verb == "keys") {
      kv::v1::ListKeysRequest request;
      request.set_prefix(words.at(0));
      request.set_separator(words.at(1));
      const auto* got = Read<kv::v1::ListKeysResponse>("kv.v1.KvService/ListKeys", request);
      for (const std::string& key : got->keys()) out_ += key + "\n";
      out_ += index_;
    } else {
      return false;
    }
    return true;
  }

  void RunCatalogRead(const Words& words) {
    const std::vector<std::string> meta = words.All("meta");
    if (words.verb == "nodes") {
      catalog::v1::ListNodesRequest request;
      request.mutable_node_meta()->Assign(meta.begin(), meta.end());
      const auto* got =
          Read<catalog::v1::ListNodesResponse>("catalog.v1.CatalogService/ListNodes", request);
      for (const auto& node : got->nodes()) out_ += NodeText(node);
    } else if (words.verb == "services") {
      catalog::v1::ListServicesRequest request;
      request.mutable_node_meta()->Assign(meta.begin(), meta.end());
      const auto* got = Read<catalog::v1::ListServicesResponse>(
          "catalog.v1.CatalogService/ListServices", request);
      for (const auto& service : got->services()) {
        out_ += StrCat("service ", service.key());
        for (const std::string& tag : service.value()) out_ += StrCat(" #", tag);
        out_ += '\n';
      }
    } else if (words.verb == "node") {
      catalog::v1::GetNodeRequest request;
      request.set_node(words.at(0));
      const auto* got =
          Read<catalog::v1::GetNodeResponse>("catalog.v1.CatalogService/GetNode", request);
      if (got == nullptr) return;
      out_ += got->has_entry() ? NodeText(got->entry().node()) : "absent\n";
      for (const auto& service : got->entry().services()) {
        out_ += StrCat("  ", service.key(), ":", service.value().service(), "\n");
      }
    } else if (words.verb == "checks") {
      health::v1::ListNodeChecksRequest request;
      request.set_node(words.at(0));
      const auto* got = Read<health::v1::ListNodeChecksResponse>(
          "health.v1.HealthService/ListNodeChecks", request);
      if (got == nullptr) return;
      for (const auto& check : got->checks()) {
        out_ += StrCat("check ", check.node(), " ", check.check_id(), "\n");
      }
    } else {
      return RunPlaceRead(words);
    }
    out_ += index_;
  }

  Arena arena_;
  server::TestConsensus consensus_;
  rpc::Handlers handlers_{rpc::PublicApi()};
  std::shared_ptr<const state::Version> version_;  // of the last read
  std::string index_;
  std::string out_;
};

[[maybe_unused]] const bool kRegistered = base::RegisterTextTests(
    "StateHandlersTest",
    {"services/api/testdata/kv.txt", "services/api/testdata/catalog.txt",
     "services/api/testdata/coordinate.txt"},
    [](const std::string& input) { return Script().Run(input); });

// A reply refers to the rows of its version.
TEST(LentRowsTest, AReplyHoldsTheRowsThemselves) {
  Script script;
  script.Run("put a 1\nregister n service=w:web check=c\n");
  const auto version = script.consensus().version();
  kv::v1::ListRequest list;
  EXPECT_EQ(&script.Read<kv::v1::ListResponse>("kv.v1.KvService/List", list)->entries(0),
            version->kv().Find("a", nullptr));
  kv::v1::GetRequest get;
  get.set_key("a");
  EXPECT_EQ(&script.Read<kv::v1::GetResponse>("kv.v1.KvService/Get", get)->entry(),
            version->kv().Find("a", nullptr));
  catalog::v1::GetNodeRequest node;
  node.set_node("N");
  const auto* got =
      script.Read<catalog::v1::GetNodeResponse>("catalog.v1.CatalogService/GetNode", node);
  EXPECT_EQ(&got->entry().node(), version->nodes().Find("n", nullptr));
  EXPECT_EQ(&got->entry().services(0).value(),
            version->services().Find(state::OfNodeKey("n", "w"), nullptr));
}

TEST(RowsLimitTest, EachListEndsAtItsLimit) {
  Script script;
  script.Run(
      "put a 1\nput b 2\nput c 3\n"
      "register n service=w:web check=c1 check=c2 check=c3\n"
      "register n service=v:web\nregister n service=u:api\n"
      "register m\nregister o\n"
      "place n 0 0 0 0 0 0 0 0\nplace m 0 0 0 0 0 0 0 0\nplace o 0 0 0 0 0 0 0 0\n");
  for (const size_t rows_max : {0, 1, 2, 3, 4}) {
    const bool cut = rows_max < 3;
    kv::v1::ListKeysRequest folded;
    folded.set_separator("/");
    catalog::v1::GetNodeRequest node;
    node.set_node("n");
    health::v1::ListNodeChecksRequest checks;
    checks.set_node("n");
    EXPECT_EQ(cut, script.Cut<kv::v1::ListResponse>("kv.v1.KvService/List",
                                                    kv::v1::ListRequest(), rows_max));
    EXPECT_EQ(cut, script.Cut<kv::v1::ListKeysResponse>("kv.v1.KvService/ListKeys", folded,
                                                        rows_max));
    EXPECT_EQ(cut, script.Cut<catalog::v1::ListNodesResponse>(
                       "catalog.v1.CatalogService/ListNodes", catalog::v1::ListNodesRequest(),
                       rows_max));
    EXPECT_EQ(cut, script.Cut<catalog::v1::ListServicesResponse>(
                       "catalog.v1.CatalogService/ListServices",
                       catalog::v1::ListServicesRequest(), rows_max));
    EXPECT_EQ(cut, script.Cut<catalog::v1::GetNodeResponse>("catalog.v1.CatalogService/GetNode",
                                                            node, rows_max));
    EXPECT_EQ(cut, script.Cut<health::v1::ListNodeChecksResponse>(
                       "health.v1.HealthService/ListNodeChecks", checks, rows_max));
    EXPECT_EQ(cut, script.Cut<coordinate::v1::ListNodesResponse>(
                       "coordinate.v1.CoordinateService/ListNodes",
                       coordinate::v1::ListNodesRequest(), rows_max));
  }
}

// The arena of a reply goes before or after its version; neither frees a row of the other.
TEST(LentRowsTest, RowsOutliveTheReplyAndTheReplysArena) {
  auto script = std::make_unique<Script>();
  script->Run("put a 1\nput b 2\nregister n service=w:web check=c\n");
  for (int i = 0; i < 3; ++i) {
    Arena arena;
    auto* const response = Arena::CreateMessage<kv::v1::ListResponse>(&arena);
    const auto version = script->consensus().version();
    version->kv().ForEach("", nullptr, [response](const kv::v1::KeyValue& entry) {
      response->mutable_entries()->UnsafeArenaAddAllocated(const_cast<kv::v1::KeyValue*>(&entry));
      return true;
    });
  }
  EXPECT_EQ(script->consensus().version()->kv().Find("b", nullptr)->value(), "2");
}

TEST(StatusHandlersTest, LeaderAndPeersAreAskedEachTime) {
  rpc::Handlers handlers(rpc::PublicApi());
  std::string leader;
  std::vector<std::string> peers;
  RegisterStatus({.leader = [&] { return leader; }, .peers = [&] { return peers; }}, &handlers);
  const auto answer = [&](const std::string& method, const auto& request, auto* response) {
    response->Clear();
    ASSERT_TRUE(std::get<rpc::LocalHandler>(
                    handlers.Of(rpc::PublicApi().Get("/consul.status.v1.StatusService/" + method)))
                    .answer(request, response)
                    .ok());
  };
  status::v1::GetLeaderResponse led;
  status::v1::ListPeersResponse listed;
  answer("GetLeader", status::v1::GetLeaderRequest(), &led);
  EXPECT_EQ(led.leader(), "");
  answer("ListPeers", status::v1::ListPeersRequest(), &listed);
  EXPECT_EQ(listed.peers_size(), 0);
  leader = "10.0.0.1:8300";
  peers = {"10.0.0.1:8300", "10.0.0.2:8300"};
  answer("GetLeader", status::v1::GetLeaderRequest(), &led);
  EXPECT_EQ(led.leader(), "10.0.0.1:8300");
  answer("ListPeers", status::v1::ListPeersRequest(), &listed);
  EXPECT_EQ(listed.peers(1), "10.0.0.2:8300");
}

TEST(CatalogHandlersTest, TheDatacenterIsTheOwn) {
  server::TestConsensus consensus;
  rpc::Handlers handlers(rpc::PublicApi());
  RegisterCatalog("lab", consensus.state(), &handlers);
  catalog::v1::ListDatacentersResponse response;
  ASSERT_TRUE(std::get<rpc::LocalHandler>(handlers.Of(rpc::PublicApi().Get(
                  "/consul.catalog.v1.CatalogService/ListDatacenters")))
                  .answer(catalog::v1::ListDatacentersRequest(), &response)
                  .ok());
  ASSERT_EQ(response.datacenters_size(), 1);
  EXPECT_EQ(response.datacenters(0), "lab");
}

}  // namespace
}  // namespace consul::api
