#include <unistd.h>

#include <memory>
#include <ostream>

#include "cli/archive_file.h"
#include "cli/commands.h"
#include "consul/snapshot/v1/snapshot.pb.h"
#include "services/archive/archive.h"
#include "services/base/file.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

using base::StrCat;
using base::ToStd;

// A file that is there under its name only once it is whole.
class UnverifiedFile {
 public:
  explicit UnverifiedFile(const std::string& path)
      : path_(path), unverified_(StrCat(path, ".unverified.tmp", ::getpid())) {}
  ~UnverifiedFile() {
    if (file_ != nullptr) files_->Remove(unverified_).IgnoreError();
  }

  absl::Status Create() {
    auto file = files_->Create(unverified_);
    if (!file.ok()) return file.status();
    file_ = *std::move(file);
    return absl::OkStatus();
  }
  absl::Status Append(std::string_view bytes) {
    absl::Status status = file_->WriteAt(size_, bytes);
    size_ += bytes.size();
    return status;
  }
  absl::Status Sync() { return file_->SyncData(); }
  const std::string& unverified() const { return unverified_; }
  absl::Status Rename() {
    absl::Status status = files_->Rename(unverified_, path_);
    if (status.ok()) file_.reset();
    return status;
  }

 private:
  base::FileSystem* const files_ = base::FileSystem::Posix();
  const std::string path_;
  const std::string unverified_;
  std::unique_ptr<base::File> file_;
  uint64_t size_ = 0;
};

class SnapshotSaveCommand final : public Command {
 public:
  explicit SnapshotSaveCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kServerToo);
  }

 private:
  std::string Usage() const override { return "consul snapshot save [options] FILE"; }
  std::string Description() const override {
    return "  Saves the state of the servers to a file. With -stale any server gives what it\n"
           "  has, also when nobody leads:\n\n"
           "      $ consul snapshot save -stale backup.snap\n\n"
           "  What came is read again before it gets the name that was asked for: where\n"
           "  there is such a file, it can be restored.";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (args.empty()) return Fail("Missing FILE argument");
    if (args.size() > 1) {
      return Fail(StrCat("Too many arguments (expected 1, got ", args.size(), ")"));
    }
    // The first question begins the watch: an interrupt leaves no file that is half written.
    if (context().interrupted()) return kExitError;
    UnverifiedFile file(args[0]);
    if (absl::Status status = file.Create(); !status.ok()) {
      return Fail(StrCat("Error writing unverified snapshot file: ", ToStd(status.message())));
    }
    absl::Status written;
    if (absl::Status called = Receive(&file, &written); !called.ok()) {
      return Fail("Error saving snapshot", called);
    }
    if (written.ok()) written = file.Sync();
    if (!written.ok()) {
      return Fail(StrCat("Error writing unverified snapshot file: ", ToStd(written.message())));
    }
    const auto meta = Verify(file.unverified());
    if (!meta.ok()) {
      return Fail(StrCat("Error verifying snapshot file: ", ToStd(meta.status().message())));
    }
    if (absl::Status status = file.Rename(); !status.ok()) {
      return Fail(StrCat("Error renaming snapshot file: ", ToStd(status.message())));
    }
    out() << "Saved and verified snapshot to index " << meta->index << "\n";
    return kExitOk;
  }

  // `written` says whether what came could be kept.
  absl::Status Receive(UnverifiedFile* file, absl::Status* written) {
    snapshot::v1::SaveRequest request;
    if (!api_.datacenter().empty()) request.mutable_options()->set_datacenter(api_.datacenter());
    if (api_.stale()) {
      request.mutable_options()->set_consistency(query::v1::CONSISTENCY_STALE);
    }
    snapshot::v1::SaveResponse response;
    bool interrupted = false;
    const absl::Status called = api_.Connect(context())->Stream(
        "consul.snapshot.v1.SnapshotService/Save", request, &response,
        [&] {
          if (written->ok()) *written = file->Append(response.part().bytes());
        },
        [&] {
          interrupted = context().interrupted();
          return interrupted || !written->ok();
        });
    if (interrupted) return absl::CancelledError("interrupted");
    return written->ok() ? called : absl::OkStatus();
  }

  static absl::StatusOr<archive::ArchiveMeta> Verify(const std::string& path) {
    const auto source = OpenArchive(path);
    if (!source.ok()) return source.status();
    return archive::ReadArchive(*source, [](std::string_view) { return absl::OkStatus(); });
  }

  ApiFlags api_;
};

}  // namespace

std::unique_ptr<Command> MakeSnapshotSaveCommand(const Context& context) {
  return std::make_unique<SnapshotSaveCommand>(context);
}

}  // namespace consul::cli
