#include <sys/random.h>

#include <ostream>

#include "cli/commands.h"
#include "services/base/base64.h"

namespace consul::cli {
namespace {

// AES-256, the strongest that a keyring takes.
constexpr size_t kKeyBytes = 32;

class KeygenCommand final : public Command {
 public:
  explicit KeygenCommand(const Context& context) : Command(context) {}

 private:
  std::string Usage() const override { return "consul keygen"; }
  std::string Description() const override {
    return "  Makes a new encryption key of 32 random bytes and prints it, in the form in\n"
           "  which an agent takes it.";
  }

  int Execute(const std::vector<std::string>&) override {
    std::string key(kKeyBytes, '\0');
    if (getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size())) {
      return Fail("Error reading random data");
    }
    out() << base::EncodeBase64(key) << "\n";
    return kExitOk;
  }
};

}  // namespace

std::unique_ptr<Command> MakeKeygenCommand(const Context& context) {
  return std::make_unique<KeygenCommand>(context);
}

}  // namespace consul::cli
