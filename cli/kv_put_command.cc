#include <errno.h>

#include <cstring>
#include <fstream>
#include <istream>
#include <iterator>
#include <ostream>

#include "cli/commands.h"
#include "consul/kv/v1/kv.pb.h"
#include "services/base/base64.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

// What is read of a file or of standard input: far above any value that a server takes (512 KiB
// unless it is configured), so that the server's own limit is what a user meets.
constexpr size_t kDataBytesMax = size_t{64} << 20;

class KvPutCommand final : public Command {
 public:
  explicit KvPutCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kServerToo);
    flags().AddBool("acquire", &acquire_,
                    "Takes the lock of the key for the session of -session. Sessions are not "
                    "supported yet.");
    flags().AddBool("base64", &base64_,
                    "The data is base64 and is decoded before it is written. The default is "
                    "false.");
    flags().AddBool("cas", &cas_,
                    "Writes only if the key's ModifyIndex is that of -modify-index, which must be "
                    "given; 0 is for a key that does not exist. The default is false.");
    flags().AddUint("flags", &flag_bits_,
                    "A number to keep with the key, for the use of clients alone. The default is "
                    "0.");
    flags().AddUint("modify-index", &modify_index_, "The ModifyIndex that -cas compares with.");
    flags().AddBool("release", &release_,
                    "Gives the lock of the key back. Sessions are not supported yet.");
    flags().AddText("session", "string", &session_,
                    "The session that -acquire and -release are for. Sessions are not supported "
                    "yet.");
  }

 private:
  std::string Usage() const override { return "consul kv put [options] KEY [DATA]"; }
  std::string Description() const override {
    return "  Writes data to a key, which is made if it does not exist.\n\n"
           "      $ consul kv put config/redis/maxconns 5\n\n"
           "  The data can come from a file, or from standard input; without data the value\n"
           "  is empty:\n\n"
           "      $ consul kv put config/program/license @license.lic\n"
           "      $ echo \"abcd1234\" | consul kv put config/program/license -\n"
           "      $ consul kv put webapp/beta/active\n\n"
           "  To write only if nobody else has written since it was read:\n\n"
           "      $ consul kv put -cas -modify-index=844 config/redis/maxconns 5";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (args.empty() || args[0].empty()) return Fail("Error! Missing KEY argument");
    if (args.size() > 2) {
      return Fail(
          base::StrCat("Error! Too many arguments (expected 1 or 2, got ", args.size(), ")"));
    }
    if (const std::string fault = FlagFault(); !fault.empty()) return Fail(fault);
    const std::string& key = args[0];
    if (key[0] == '/') {
      return Fail(base::StrCat(
          "Error! Failed writing data: Invalid key. Key must not begin with a '/': ", key));
    }
    absl::StatusOr<std::string> data = ReadData(args.size() > 1 ? args[1] : "");
    if (!data.ok()) return Fail(base::StrCat("Error! ", base::ToStd(data.status().message())));
    return Put(key, *std::move(data));
  }

  // What is wrong with the flags taken together; empty when nothing is.
  std::string FlagFault() {
    if (session_.empty() && (acquire_ || release_)) {
      return "Error! Missing -session (required with -acquire and -release)";
    }
    if (!session_.empty()) {
      return "Error! -session is not supported yet: there are no sessions to lock a key with";
    }
    if (cas_ && !flags().WasSet("modify-index")) return "Must specify -modify-index with -cas!";
    if (!cas_ && modify_index_ != 0) return "Cannot specify -modify-index without -cas!";
    return "";
  }

  absl::StatusOr<std::string> ReadData(const std::string& argument) {
    std::string data = argument;
    if (argument == "-") {
      data = ReadAll(*context().in);
    } else if (!argument.empty() && argument[0] == '@') {
      const std::string path = argument.substr(1);
      errno = 0;
      std::ifstream file(path, std::ios::binary);
      if (!file || file.peek() == std::ifstream::traits_type::eof()) {
        // A directory opens and does not read; an empty file neither, without an error.
        if (errno != 0) {
          return absl::NotFoundError(base::StrCat("Failed to read file: open ", path, ": ",
                                                  std::strerror(errno)));
        }
      }
      data = ReadAll(file);
    }
    if (data.size() > kDataBytesMax) {
      return absl::InvalidArgumentError(
          base::StrCat("Failed to read data: more than the limit of ", kDataBytesMax, " bytes"));
    }
    if (!base64_) return data;
    absl::StatusOr<std::string> decoded = base::DecodeBase64(data);
    if (decoded.ok()) return decoded;
    return absl::InvalidArgumentError(
        base::StrCat("Cannot base 64 decode data: ", base::ToStd(decoded.status().message())));
  }

  static std::string ReadAll(std::istream& in) {
    std::string data(kDataBytesMax + 1, '\0');
    in.read(data.data(), static_cast<std::streamsize>(data.size()));
    data.resize(static_cast<size_t>(in.gcount()));
    return data;
  }

  int Put(const std::string& key, std::string data) {
    kv::v1::PutRequest request;
    if (!api_.datacenter().empty()) request.mutable_options()->set_datacenter(api_.datacenter());
    request.set_key(key);
    request.set_value(std::move(data));
    request.set_flags(flag_bits_);
    if (cas_) request.set_cas(modify_index_);
    kv::v1::PutResponse response;
    const absl::Status called =
        api_.Connect(context())->Call("consul.kv.v1.KvService/Put", request, &response);
    if (!called.ok()) return Fail("Error! Failed writing data", called);
    if (!response.applied()) {
      return Fail(base::StrCat("Error! Did not write to ", key, ": CAS failed"));
    }
    out() << "Success! Data written to: " << key << "\n";
    return kExitOk;
  }

  ApiFlags api_;
  bool acquire_ = false;
  bool base64_ = false;
  bool cas_ = false;
  uint64_t flag_bits_ = 0;
  uint64_t modify_index_ = 0;
  bool release_ = false;
  std::string session_;
};

}  // namespace

std::unique_ptr<Command> MakeKvPutCommand(const Context& context) {
  return std::make_unique<KvPutCommand>(context);
}

}  // namespace consul::cli
