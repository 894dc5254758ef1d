#include "services/rpc/open_channel.h"

#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>
#include <climits>

namespace consul::rpc {

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address,
                                           const ChannelSettings& settings) {
  const auto number = [](std::chrono::milliseconds duration) {
    return static_cast<int>(std::min<int64_t>(duration.count(), INT_MAX));
  };
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, settings.retries ? 1 : 0);
  arguments.SetMaxReceiveMessageSize(
      static_cast<int>(std::min<size_t>(settings.reply_bytes_max, INT_MAX)));
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, number(settings.reconnect_min));
  // So gRPC calls the time that an attempt has.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, number(settings.reconnect_max));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, number(settings.reconnect_max));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, number(settings.keepalive));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, number(settings.keepalive_timeout));
  // A blocked read sends nothing for minutes; its pings do not count as abuse.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Our own connection and our own settings, whatever else in the process speaks to that address.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace consul::rpc
