#include <memory>
#include <ostream>

#include "cli/archive_file.h"
#include "cli/commands.h"
#include "consul/snapshot/v1/snapshot.pb.h"
#include "services/archive/upload.h"
#include "services/base/strings.h"
#include "services/base/uuid.h"

namespace consul::cli {
namespace {

using base::StrCat;
using base::ToStd;

class SnapshotRestoreCommand final : public Command {
 public:
  explicit SnapshotRestoreCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kServerToo);
  }

 private:
  std::string Usage() const override { return "consul snapshot restore [options] FILE"; }
  std::string Description() const override {
    return "  Puts the state of a file in the place of that of the servers, all of it:\n\n"
           "      $ consul snapshot restore backup.snap\n\n"
           "  The file is checked before anything is sent, and all servers switch at one\n"
           "  moment, or none. What was written since it was saved is gone.";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (args.empty()) return Fail("Missing FILE argument");
    if (args.size() > 1) {
      return Fail(StrCat("Too many arguments (expected 1, got ", args.size(), ")"));
    }
    if (api_.stale()) return Fail("-stale means nothing here: a restore goes to the leader");
    const std::string& path = args[0];
    if (const auto file = OpenArchive(path); !file.ok()) {
      return Fail(StrCat("Error opening snapshot file: ", ToStd(file.status().message())));
    }
    client_ = api_.Connect(context());
    archive::UploadCalls calls;
    calls.stage = [this](const snapshot::v1::StageRestoreRequest& request) {
      snapshot::v1::StageRestoreResponse response;
      return Call("StageRestore", request, &response);
    };
    calls.commit =
        [this](const snapshot::v1::CommitRestoreRequest& request) -> absl::StatusOr<uint64_t> {
      snapshot::v1::CommitRestoreResponse response;
      absl::Status called = Call("CommitRestore", request, &response);
      if (!called.ok()) return called;
      return response.index();
    };
    calls.drop = [this](const snapshot::v1::DropRestoreRequest& request) {
      snapshot::v1::DropRestoreResponse response;
      Call("DropRestore", request, &response).IgnoreError();  // the first error is the one to tell
    };
    const auto restored = archive::Upload([&path] { return OpenArchive(path); },
                                          base::MakeUuid(), api_.datacenter(), calls);
    if (!restored.ok()) return Fail("Error restoring snapshot", restored.status());
    out() << "Restored snapshot\n";
    return kExitOk;
  }

  absl::Status Call(std::string_view method, const google::protobuf::Message& request,
                    google::protobuf::Message* response) {
    return client_->Call(StrCat("consul.snapshot.v1.SnapshotService/", method), request, response);
  }

  ApiFlags api_;
  std::unique_ptr<Client> client_;
};

}  // namespace

std::unique_ptr<Command> MakeSnapshotRestoreCommand(const Context& context) {
  return std::make_unique<SnapshotRestoreCommand>(context);
}

}  // namespace consul::cli
