#include <ostream>

#include "cli/commands.h"
#include "consul/kv/v1/kv.pb.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

class KvDeleteCommand final : public Command {
 public:
  explicit KvDeleteCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kServerToo);
    flags().AddBool("cas", &cas_,
                    "Removes the key only if its ModifyIndex is that of -modify-index, which must "
                    "be given. The default is false.");
    flags().AddUint("modify-index", &modify_index_, "The ModifyIndex that -cas compares with.");
    flags().AddBool("recurse", &recurse_,
                    "Removes every key that starts with the given prefix. The default is false.");
  }

 private:
  std::string Usage() const override { return "consul kv delete [options] KEY_OR_PREFIX"; }
  std::string Description() const override {
    return "  Removes a key and its value. A key that does not exist is no error.\n\n"
           "      $ consul kv delete foo\n\n"
           "  With -recurse every key that starts with the text is removed, here \"foo\",\n"
           "  \"food\" and \"foo/bar/zip\":\n\n"
           "      $ consul kv delete -recurse foo";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (args.size() > 1) {
      return Fail(base::StrCat("Too many arguments (expected 1, got ", args.size(), ")"));
    }
    std::string key = args.empty() ? "" : args[0];
    if (!key.empty() && key[0] == '/') key.erase(0, 1);
    if (key.empty() && !recurse_) return Fail("Error! Missing KEY argument");
    // An index of 0 would remove nothing: it is the one of a key that does not exist.
    if (cas_ && modify_index_ == 0) return Fail("Must specify -modify-index with -cas!");
    if (!cas_ && modify_index_ != 0) return Fail("Cannot specify -modify-index without -cas!");
    if (cas_ && recurse_) return Fail("Cannot specify both -cas and -recurse!");
    return recurse_ ? DeleteTree(key) : Delete(key);
  }

  int Delete(const std::string& key) {
    kv::v1::DeleteRequest request;
    if (!api_.datacenter().empty()) request.mutable_options()->set_datacenter(api_.datacenter());
    request.set_key(key);
    if (cas_) request.set_cas(modify_index_);
    kv::v1::DeleteResponse response;
    const absl::Status called =
        api_.Connect(context())->Call("consul.kv.v1.KvService/Delete", request, &response);
    if (!called.ok()) return Fail(base::StrCat("Error! Did not delete key ", key), called);
    if (!response.applied()) {
      return Fail(base::StrCat("Error! Did not delete key ", key, ": CAS failed"));
    }
    out() << "Success! Deleted key: " << key << "\n";
    return kExitOk;
  }

  int DeleteTree(const std::string& prefix) {
    kv::v1::DeleteTreeRequest request;
    if (!api_.datacenter().empty()) request.mutable_options()->set_datacenter(api_.datacenter());
    request.set_prefix(prefix);
    kv::v1::DeleteTreeResponse response;
    const absl::Status called =
        api_.Connect(context())->Call("consul.kv.v1.KvService/DeleteTree", request, &response);
    if (!called.ok()) return Fail(base::StrCat("Error! Did not delete prefix ", prefix), called);
    out() << "Success! Deleted keys with prefix: " << prefix << "\n";
    return kExitOk;
  }

  ApiFlags api_;
  bool cas_ = false;
  uint64_t modify_index_ = 0;
  bool recurse_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeKvDeleteCommand(const Context& context) {
  return std::make_unique<KvDeleteCommand>(context);
}

}  // namespace consul::cli
