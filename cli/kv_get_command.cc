#include <ostream>

#include "cli/commands.h"
#include "consul/kv/v1/kv.pb.h"
#include "services/base/base64.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

class KvGetCommand final : public Command {
 public:
  explicit KvGetCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kServerToo);
    flags().AddBool("base64", &base64_, "Prints values encoded as base64. The default is false.");
    flags().AddBool("detailed", &detailed_,
                    "Prints all that is known of a key: its flags, its lock, and the indexes of "
                    "its making and its last change. The default is false.");
    flags().AddBool("keys", &keys_,
                    "Lists the keys that start with the given prefix, without their values, cut at "
                    "the separator. The default is false.");
    flags().AddBool("recurse", &recurse_,
                    "Prints every key that starts with the given prefix, with its value. The "
                    "default is false.");
    flags().AddText("separator", "string", &separator_,
                    "Where -keys cuts: each part up to the first separator behind the prefix is "
                    "listed once. The default is \"/\"; empty lists keys whole.");
  }

 private:
  std::string Usage() const override { return "consul kv get [options] [KEY_OR_PREFIX]"; }
  std::string Description() const override {
    return "  Prints the value of a key. It is an error if there is no such key; a key\n"
           "  without a value prints an empty line.\n\n"
           "      $ consul kv get foo\n\n"
           "  All that is known of the key:\n\n"
           "      $ consul kv get -detailed foo\n\n"
           "  Every key that starts with \"foo\", with its value, or the keys alone:\n\n"
           "      $ consul kv get -recurse foo\n"
           "      $ consul kv get -keys foo\n\n"
           "  With -recurse and -keys the prefix may be left out for the whole store.";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (args.size() > 1) {
      return Fail(base::StrCat("Too many arguments (expected 1, got ", args.size(), ")"));
    }
    std::string key = args.empty() ? "" : args[0];
    // A leading slash is a habit of paths; no key begins with one.
    if (!key.empty() && key[0] == '/') key.erase(0, 1);
    if (key.empty() && !keys_ && !recurse_) return Fail("Error! Missing KEY argument");
    if (keys_) return ListKeys(key);
    return recurse_ ? List(key) : Get(key);
  }

  void SetOptions(query::v1::QueryOptions* options) const {
    options->set_datacenter(api_.datacenter());
    if (api_.stale()) options->set_consistency(query::v1::CONSISTENCY_STALE);
  }

  int Get(const std::string& key) {
    kv::v1::GetRequest request;
    SetOptions(request.mutable_options());
    request.set_key(key);
    kv::v1::GetResponse response;
    const absl::Status called =
        api_.Connect(context())->Call("consul.kv.v1.KvService/Get", request, &response);
    if (!called.ok()) return Fail("Error querying Consul agent", called);
    if (!response.has_entry()) return Fail(base::StrCat("Error! No key exists at: ", key));
    out() << (detailed_ ? Detailed(response.entry()) : Value(response.entry()) + "\n");
    return kExitOk;
  }

  int List(const std::string& prefix) {
    kv::v1::ListRequest request;
    SetOptions(request.mutable_options());
    request.set_prefix(prefix);
    kv::v1::ListResponse response;
    const absl::Status called =
        api_.Connect(context())->Call("consul.kv.v1.KvService/List", request, &response);
    if (!called.ok()) return Fail("Error querying Consul agent", called);
    const char* separator = "";
    for (const kv::v1::KeyValue& entry : response.entries()) {
      if (detailed_) {
        out() << separator << Detailed(entry);
        separator = "\n";
      } else {
        out() << entry.key() << ":" << Value(entry) << "\n";
      }
    }
    return kExitOk;
  }

  int ListKeys(const std::string& prefix) {
    kv::v1::ListKeysRequest request;
    SetOptions(request.mutable_options());
    request.set_prefix(prefix);
    request.set_separator(separator_);
    kv::v1::ListKeysResponse response;
    const absl::Status called =
        api_.Connect(context())->Call("consul.kv.v1.KvService/ListKeys", request, &response);
    if (!called.ok()) return Fail("Error querying Consul agent", called);
    for (const std::string& key : response.keys()) out() << key << "\n";
    return kExitOk;
  }

  std::string Value(const kv::v1::KeyValue& entry) const {
    return base64_ ? base::EncodeBase64(entry.value()) : entry.value();
  }

  // Aligned for the longest name; the value comes last, for it may have lines of its own.
  std::string Detailed(const kv::v1::KeyValue& entry) const {
    constexpr size_t kNameColumns = 17;
    std::string text;
    const auto add = [&text](std::string name, const std::string& value) {
      if (!value.empty()) name.append(kNameColumns - name.size(), ' ');
      base::StrAppend(&text, name, value, "\n");
    };
    add("CreateIndex", base::StrCat(entry.create_index()));
    add("Flags", base::StrCat(entry.flags()));
    add("Key", entry.key());
    add("LockIndex", base::StrCat(entry.lock_index()));
    add("ModifyIndex", base::StrCat(entry.modify_index()));
    add("Session", entry.session().empty() ? "-" : entry.session());
    add("Value", Value(entry));
    return text;
  }

  ApiFlags api_;
  bool base64_ = false;
  bool detailed_ = false;
  bool keys_ = false;
  bool recurse_ = false;
  std::string separator_ = "/";
};

}  // namespace

std::unique_ptr<Command> MakeKvGetCommand(const Context& context) {
  return std::make_unique<KvGetCommand>(context);
}

}  // namespace consul::cli
