#include <ostream>

#include "cli/commands.h"
#include "consul/event/v1/event.pb.h"
#include "services/base/pattern.h"
#include "services/base/strings.h"

namespace consul::cli {
namespace {

class EventCommand final : public Command {
 public:
  explicit EventCommand(const Context& context) : Command(context) {
    api_.AddTo(&flags(), ApiFlags::kAgentOnly);
    flags().AddText("name", "string", &name_, "Name of the event.");
    flags().AddText("node", "regexp", &node_, "Only for nodes whose name the expression matches.");
    flags().AddText("service", "regexp", &service_,
                    "Only for nodes with a service whose name the expression matches.");
    flags().AddText("tag", "regexp", &tag_,
                    "Only for nodes with such a service that has a tag which the expression "
                    "matches. Must be used with -service.");
  }

 private:
  std::string Usage() const override { return "consul event [options] [payload]"; }
  std::string Description() const override {
    return "  Tells a user event to all agents of a datacenter. An event has a name; a\n"
           "  payload may go with it.";
  }

  int Execute(const std::vector<std::string>& args) override {
    if (name_.empty()) return Fail("Event name must be specified");
    if (args.size() > 1) return Fail("Too many command line arguments.");
    if (!tag_.empty() && service_.empty()) {
      return Fail("Cannot provide tag filter without service filter.");
    }
    const std::pair<const char*, const std::string*> filters[] = {
        {"node", &node_}, {"service", &service_}, {"tag", &tag_}};
    for (const auto& [what, text] : filters) {
      const absl::Status compiled = base::Pattern::Compile(*text).status();
      if (!compiled.ok()) {
        return Fail(base::StrCat("Failed to compile ", what, " filter regexp"), compiled);
      }
    }
    if (!IsText("name of the event", name_)) return kExitError;
    event::v1::FireRequest request;
    request.set_name(name_);
    if (!args.empty()) request.set_payload(args.front());
    request.set_node_filter(node_);
    request.set_service_filter(service_);
    request.set_tag_filter(tag_);
    event::v1::FireResponse response;
    const absl::Status called =
        api_.Connect(context())->Call("consul.event.v1.EventService/Fire", request, &response);
    if (!called.ok()) return Fail("Error firing event", called);
    out() << "Event ID: " << response.event().id() << "\n";
    return kExitOk;
  }

  ApiFlags api_;
  std::string name_;
  std::string node_;
  std::string service_;
  std::string tag_;
};

}  // namespace

std::unique_ptr<Command> MakeEventCommand(const Context& context) {
  return std::make_unique<EventCommand>(context);
}

}  // namespace consul::cli
