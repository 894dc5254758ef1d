#include <ostream>

#include "cli/commands.h"
#include "services/base/strings.h"
#include "services/base/version.h"

namespace consul::cli {
namespace {

class VersionCommand final : public Command {
 public:
  explicit VersionCommand(const Context& context) : Command(context) {
    flags().AddText("format", "string", &format_, "How to print it: pretty or json.");
  }

 private:
  std::string Usage() const override { return "consul version [options]"; }
  std::string Description() const override {
    return "  Prints the version of this program, and which versions of the protocol among\n"
           "  agents it speaks.";
  }

  int Execute(const std::vector<std::string>&) override {
    if (format_ == "pretty") {
      out() << "Consul v" << base::kVersion << "\nProtocol " << base::kProtocolDefault
            << " spoken by default, understands " << base::kProtocolMin << " to "
            << base::kProtocolMax << "\n";
      return kExitOk;
    }
    if (format_ != "json") return Fail(base::StrCat("Unknown format: ", format_));
    out() << "{\n"
          << "   \"Version\": \"" << base::kVersion << "\",\n"
          << "   \"Revision\": \"\",\n"
          << "   \"Prerelease\": \"\",\n"
          << "   \"RPC\": {\n"
          << "      \"Default\": " << base::kProtocolDefault << ",\n"
          << "      \"Min\": " << base::kProtocolMin << ",\n"
          << "      \"Max\": " << base::kProtocolMax << "\n"
          << "   }\n}\n";
    return kExitOk;
  }

  std::string format_ = "pretty";
};

}  // namespace

std::unique_ptr<Command> MakeVersionCommand(const Context& context) {
  return std::make_unique<VersionCommand>(context);
}

}  // namespace consul::cli
