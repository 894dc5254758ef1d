#include "services/rpc/grpc_reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/codegen/service_type.h>

#include <algorithm>
#include <climits>
#include <set>
#include <utility>

#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "services/rpc/grpc_bytes.h"

namespace consul::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using grpc::ByteBuffer;
using grpc::reflection::v1alpha::ServerReflectionRequest;
using grpc::reflection::v1alpha::ServerReflectionResponse;

constexpr char kService[] = "grpc.reflection.v1alpha.ServerReflection";
constexpr char kPath[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

const DescriptorPool& Pool() { return *DescriptorPool::generated_pool(); }

void SetError(grpc::StatusCode code, const char* text, ServerReflectionResponse* response) {
  response->mutable_error_response()->set_error_code(code);
  response->mutable_error_response()->set_error_message(text);
}

// The file and what it imports, each once.
void AddFiles(const FileDescriptor* file, std::set<const FileDescriptor*>* added,
              ServerReflectionResponse* response) {
  if (!added->insert(file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file->CopyTo(&proto);
  proto.SerializeToString(
      response->mutable_file_descriptor_response()->add_file_descriptor_proto());
  for (int i = 0; i < file->dependency_count(); ++i) {
    AddFiles(file->dependency(i), added, response);
  }
}

void SetFile(const FileDescriptor* file, const char* none, ServerReflectionResponse* response) {
  if (file == nullptr) return SetError(grpc::StatusCode::NOT_FOUND, none, response);
  std::set<const FileDescriptor*> added;
  AddFiles(file, &added, response);
}

void SetExtensionNumbers(const std::string& type_name, ServerReflectionResponse* response) {
  const Descriptor* const type = Pool().FindMessageTypeByName(type_name);
  if (type == nullptr) return SetError(grpc::StatusCode::NOT_FOUND, "Type not found.", response);
  std::vector<const FieldDescriptor*> extensions;
  Pool().FindAllExtensions(type, &extensions);
  auto* const numbers = response->mutable_all_extension_numbers_response();
  numbers->set_base_type_name(type_name);
  for (const FieldDescriptor* const extension : extensions) {
    numbers->add_extension_number(extension->number());
  }
}

void Answer(const ServerReflectionRequest& request, const std::vector<std::string>& names,
            ServerReflectionResponse* response) {
  response->set_valid_host(request.host());
  *response->mutable_original_request() = request;
  switch (request.message_request_case()) {
    case ServerReflectionRequest::kFileByFilename:
      return SetFile(Pool().FindFileByName(request.file_by_filename()), "File not found.",
                     response);
    case ServerReflectionRequest::kFileContainingSymbol:
      return SetFile(Pool().FindFileContainingSymbol(request.file_containing_symbol()),
                     "Symbol not found.", response);
    case ServerReflectionRequest::kFileContainingExtension: {
      const auto& asked = request.file_containing_extension();
      const Descriptor* const type = Pool().FindMessageTypeByName(asked.containing_type());
      const FieldDescriptor* const extension =
          type == nullptr ? nullptr
                          : Pool().FindExtensionByNumber(type, asked.extension_number());
      return SetFile(extension == nullptr ? nullptr : extension->file(), "Extension not found.",
                     response);
    }
    case ServerReflectionRequest::kAllExtensionNumbersOfType:
      return SetExtensionNumbers(request.all_extension_numbers_of_type(), response);
    case ServerReflectionRequest::kListServices:
      for (const std::string& name : names) {
        response->mutable_list_services_response()->add_service()->set_name(name);
      }
      return;
    case ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      return SetError(grpc::StatusCode::INVALID_ARGUMENT, "No request is set.", response);
  }
}

// A call: one request is read when the answer to the last one is written.
class Session final : public grpc::ServerBidiReactor<ByteBuffer, ByteBuffer> {
 public:
  explicit Session(const std::vector<std::string>* names) : names_(names) { StartRead(&request_); }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    ServerReflectionRequest request;
    if (!Decode(request_, &request)) {
      return Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                                 "request is not a ServerReflectionRequest"));
    }
    request_.Clear();
    ServerReflectionResponse response;
    Answer(request, *names_, &response);
    size_t size = 0;
    Encode(response, INT_MAX, &reply_, &size);
    StartWrite(&reply_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    StartRead(&request_);
  }
  void OnDone() override { delete this; }

  const std::vector<std::string>* const names_;  // the service's
  ByteBuffer request_;
  ByteBuffer reply_;
};

class ReflectionService final : public grpc::Service {
 public:
  explicit ReflectionService(std::vector<std::string> names) : names_(std::move(names)) {
    using grpc::internal::RpcMethod;
    names_.push_back(kService);
    std::sort(names_.begin(), names_.end());
    AddMethod(new grpc::internal::RpcServiceMethod(kPath, RpcMethod::BIDI_STREAMING, nullptr));
    MarkMethodRawCallback(0, new grpc::internal::CallbackBidiHandler<ByteBuffer, ByteBuffer>(
                                 [this](grpc::CallbackServerContext*) {
                                   return new Session(&names_);
                                 }));
  }

 private:
  std::vector<std::string> names_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeReflectionService(std::vector<std::string> names) {
  return std::make_unique<ReflectionService>(std::move(names));
}

}  // namespace consul::rpc
