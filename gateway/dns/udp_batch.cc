#include "gateway/dns/udp_batch.h"

#include <cerrno>
#include <cstring>

namespace consul::gateway::dns {
namespace {

// Turns the control message that came with a packet into the one for its reply.
void SetReplyControl(msghdr* received, Client* client) {
  client->control_bytes = 0;
  for (cmsghdr* it = CMSG_FIRSTHDR(received); it != nullptr; it = CMSG_NXTHDR(received, it)) {
    auto* const reply = reinterpret_cast<cmsghdr*>(client->control);
    if (it->cmsg_level == IPPROTO_IP && it->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(it), sizeof(info));
      // The way back is the routing table's to choose.
      info.ipi_ifindex = 0;
      client->control_bytes = CMSG_SPACE(sizeof(info));
      *reply = {.cmsg_len = CMSG_LEN(sizeof(info)),
                .cmsg_level = IPPROTO_IP,
                .cmsg_type = IP_PKTINFO};
      std::memcpy(CMSG_DATA(reply), &info, sizeof(info));
      return;
    }
    if (it->cmsg_level == IPPROTO_IPV6 && it->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(it), sizeof(info));
      // A link-local address means nothing without its link.
      if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
      client->control_bytes = CMSG_SPACE(sizeof(info));
      *reply = {.cmsg_len = CMSG_LEN(sizeof(info)),
                .cmsg_level = IPPROTO_IPV6,
                .cmsg_type = IPV6_PKTINFO};
      std::memcpy(CMSG_DATA(reply), &info, sizeof(info));
      return;
    }
  }
}

msghdr HeaderTo(const Client& client, iovec* part) {
  msghdr header{};
  header.msg_name = const_cast<sockaddr_in6*>(&client.peer);
  header.msg_namelen = client.peer_bytes;
  header.msg_iov = part;
  header.msg_iovlen = 1;
  if (client.control_bytes != 0) {
    header.msg_control = const_cast<uint8_t*>(client.control);
    header.msg_controllen = client.control_bytes;
  }
  return header;
}

}  // namespace

UdpBatch::UdpBatch() : buffers_(std::make_unique_for_overwrite<Buffers>()) {
  for (size_t i = 0; i < kUdpBatchMax; ++i) {
    buffers_->receive_parts[i] = {buffers_->queries[i].data(), kUdpQueryBytesMax};
  }
}

size_t UdpBatch::Receive(int fd, uint64_t number, bool wildcard) {
  Buffers& b = *buffers_;
  for (size_t i = 0; i < kUdpBatchMax; ++i) {
    msghdr& header = b.receive_headers[i].msg_hdr;
    header = {};
    header.msg_name = &b.clients[i].peer;
    header.msg_namelen = sizeof(b.clients[i].peer);
    header.msg_iov = &b.receive_parts[i];
    header.msg_iovlen = 1;
    if (wildcard) {
      header.msg_control = b.controls[i].data();
      header.msg_controllen = b.controls[i].size();
    }
  }
  int count = -1;
  do {
    count = recvmmsg(fd, b.receive_headers.data(), kUdpBatchMax, MSG_DONTWAIT, nullptr);
  } while (count < 0 && errno == EINTR);
  replies_count_ = 0;
  if (count <= 0) return 0;
  for (int i = 0; i < count; ++i) {
    Client& client = b.clients[i];
    client.transport = Transport::kUdp;
    client.number = number;
    client.peer_bytes = b.receive_headers[i].msg_hdr.msg_namelen;
    client.control_bytes = 0;
    if (wildcard) SetReplyControl(&b.receive_headers[i].msg_hdr, &client);
  }
  return static_cast<size_t>(count);
}

std::span<const uint8_t> UdpBatch::message(size_t i) const {
  const mmsghdr& header = buffers_->receive_headers[i];
  if ((header.msg_hdr.msg_flags & MSG_TRUNC) != 0) return {};
  return {buffers_->queries[i].data(), header.msg_len};
}

void UdpBatch::Reply(size_t i, size_t bytes) {
  Buffers& b = *buffers_;
  b.send_parts[replies_count_] = {b.replies[i].data(), bytes};
  b.send_headers[replies_count_].msg_hdr = HeaderTo(b.clients[i], &b.send_parts[replies_count_]);
  ++replies_count_;
}

size_t UdpBatch::Send(int fd) {
  size_t lost = 0;
  size_t at = 0;
  while (at < replies_count_) {
    const int sent = sendmmsg(fd, buffers_->send_headers.data() + at,
                              static_cast<unsigned>(replies_count_ - at), MSG_DONTWAIT);
    if (sent > 0) {
      at += static_cast<size_t>(sent);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      lost += replies_count_ - at;
      break;
    } else if (errno != EINTR) {
      // The first one was refused (no route, a firewall); the others have other ways.
      ++lost;
      ++at;
    }
  }
  replies_count_ = 0;
  return lost;
}

bool SendTo(int fd, const Client& client, std::span<const uint8_t> message) {
  iovec part = {const_cast<uint8_t*>(message.data()), message.size()};
  const msghdr header = HeaderTo(client, &part);
  ssize_t sent = -1;
  do {
    sent = sendmsg(fd, &header, MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

}  // namespace consul::gateway::dns
