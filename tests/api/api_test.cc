// The public API against its checked-in dump, proto/api.txt: a line for each service, method,
// route, field and enum value. What the dump has of methods, fields and values is promised: `v1`
// never breaks, so such a line may be added but never changed or taken away, not even by REWRITE=1,
// which writes the dump anew:
//
//   REWRITE=1 bazel run //tests/api:api_test
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "consul/errors/v1/errors.pb.h"
#include "consul/options/v1/options.pb.h"
#include "services/base/strings.h"
#include "services/rpc/method.h"

namespace consul {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;

constexpr char kDump[] = "proto/api.txt";

std::string TypeOf(const FieldDescriptor& field) {
  std::string type = field.is_repeated() ? "repeated " : field.has_presence() ? "optional " : "";
  if (field.message_type() != nullptr) return type + field.message_type()->full_name();
  if (field.enum_type() != nullptr) return type + field.enum_type()->full_name();
  return type + field.type_name();
}

// Collects the lines of what services refer to, each type once, in the order it is met.
class Dump {
 public:
  void Add(const google::protobuf::ServiceDescriptor& service) {
    Line(base::StrCat("service ", service.full_name()));
    for (int i = 0; i < service.method_count(); ++i) Add(*service.method(i));
    for (int i = 0; i < service.method_count(); ++i) {
      Add(service.method(i)->input_type());
      Add(service.method(i)->output_type());
    }
  }

  // A message, with all that it refers to.
  void Add(const Descriptor* type) {
    if (!seen_.insert(type->full_name()).second) return;
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor& field = *type->field(i);
      Line(base::StrCat("field ", field.full_name(), " = ", field.number(), " ", TypeOf(field),
                        " json ", field.json_name()));
    }
    for (int i = 0; i < type->field_count(); ++i) {
      if (type->field(i)->message_type() != nullptr) Add(type->field(i)->message_type());
      if (type->field(i)->enum_type() != nullptr) Add(type->field(i)->enum_type());
    }
  }

  const std::vector<std::string>& lines() const { return lines_; }

 private:
  void Line(std::string line) { lines_.push_back(std::move(line)); }

  void Add(const MethodDescriptor& method) {
    Line(base::StrCat("method ", method.full_name(), " ",
                      options::v1::Kind_Name(method.options().GetExtension(options::v1::kind)),
                      " ", method.input_type()->full_name(), " -> ",
                      method.server_streaming() ? "stream " : "",
                      method.output_type()->full_name()));
    for (int i = 0; i < method.options().ExtensionSize(options::v1::route); ++i) {
      Line(base::StrCat(
          "route ", method.full_name(), " ",
          method.options().GetExtension(options::v1::route, i).ShortDebugString()));
    }
  }

  void Add(const EnumDescriptor* type) {
    if (!seen_.insert(type->full_name()).second) return;
    for (int i = 0; i < type->value_count(); ++i) {
      Line(base::StrCat("value ", type->full_name(), ".", type->value(i)->name(), " = ",
                        type->value(i)->number()));
    }
  }

  std::set<std::string> seen_;
  std::vector<std::string> lines_;
};

std::vector<std::string> Actual() {
  Dump dump;
  for (const auto* service : rpc::PublicApi().services()) dump.Add(*service);
  // In the details of a status rather than in a method.
  dump.Add(errors::v1::RpcStatus::descriptor());
  dump.Add(errors::v1::ErrorDetail::descriptor());
  return dump.lines();
}

std::vector<std::string> CheckedIn() {
  std::ifstream in(kDump);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Lines of `dump` that are promised and not among `actual`.
std::vector<std::string> Broken(const std::vector<std::string>& dump,
                                const std::vector<std::string>& actual) {
  const std::set<std::string> now(actual.begin(), actual.end());
  std::vector<std::string> broken;
  for (const std::string& line : dump) {
    if (!line.starts_with("route ") && !now.contains(line)) broken.push_back(line);
  }
  return broken;
}

TEST(ApiTest, NothingPromisedIsTakenAwayOrChanged) {
  EXPECT_EQ(Broken(CheckedIn(), Actual()), std::vector<std::string>());
}

TEST(ApiTest, TheDumpIsUpToDate) {
  const std::vector<std::string> actual = Actual();
  const char* const root = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  if (std::getenv("REWRITE") != nullptr && root != nullptr && Broken(CheckedIn(), actual).empty()) {
    std::ofstream out(base::StrCat(root, "/", kDump));
    for (const std::string& line : actual) out << line << "\n";
    return;
  }
  EXPECT_EQ(CheckedIn(), actual) << "REWRITE=1 bazel run //tests/api:api_test";
}

TEST(ApiTest, ARenumberedFieldIsFound) {
  EXPECT_EQ(Broken({"field a.B.c = 1 string json c"}, {"field a.B.c = 2 string json c"}),
            std::vector<std::string>{"field a.B.c = 1 string json c"});
}

TEST(ApiTest, ARemovedMethodIsFoundAndAnAddedFieldIsNot) {
  EXPECT_EQ(Broken({"method a.S.M"}, {"field a.B.c"}), std::vector<std::string>{"method a.S.M"});
}

TEST(ApiTest, ARouteMayChange) { EXPECT_TRUE(Broken({"route a.S.M x"}, {}).empty()); }

}  // namespace
}  // namespace consul
