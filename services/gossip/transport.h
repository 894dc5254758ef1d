// services/gossip/transport.h
//
// The sockets of one pool: a UDP socket and a TCP listener on one port, and the streams of both
// directions. Everything that leaves is sealed here, and everything that comes is opened here; what
// cannot be opened is counted, named now and then, and goes no further; who opened a stream that is
// refused is told why. Knows nothing of members.
//
// Threads: the one that runs the io_context.
// Background: services/gossip/README.md (The driver).
#ifndef CONSUL_SERVICES_GOSSIP_TRANSPORT_H_
#define CONSUL_SERVICES_GOSSIP_TRANSPORT_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "services/gossip/types.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace consul::gossip {

class Codec;

class Transport {
 public:
  // Who takes what comes. None of these may destroy the transport.
  class Receiver {
   public:
    virtual void OnPacket(const Endpoint& from, std::string_view plain) = 0;
    virtual void OnUndeliverable(const Endpoint& to) = 0;
    virtual void OnAccepted(StreamId stream, const Endpoint& from) = 0;
    virtual void OnOpened(StreamId stream) = 0;
    virtual void OnMessage(StreamId stream, std::string_view plain) = 0;
    // Once for each stream that Close was not called for. `why` is words for a log.
    virtual void OnClosed(StreamId stream, std::string_view why) = 0;
    // Something came that is not for us: `why` is words for a log. Said of the 1st, 2nd, 4th, ...
    // of them from one address.
    virtual void OnRefused(const Endpoint& from, std::string_view why) = 0;

   protected:
    ~Receiver() = default;
  };

  // Streams at once that others have opened. One more is closed at once; its peer tries again.
  static constexpr size_t kAcceptedMax = 256;
  // Who was refused has so long to read why and to go. Meanwhile it counts as a stream.
  static constexpr std::chrono::seconds kLinger{2};
  // Of one stream, bytes that wait for a peer that does not read. More, and it is closed.
  static constexpr size_t kUnsentBytesMax = 8 << 20;

  // All outlive it.
  Transport(boost::asio::io_context* io, Codec* codec, Receiver* receiver);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Takes the port, for packets and streams both, or neither. ALREADY_EXISTS: another process has
  // it. Other codes: the address is not ours. Nothing is received before Start.
  absl::Status Bind(const Endpoint& listen);
  void Start();
  // Closes everything; nothing is told of it. Idempotent.
  void Stop();

  // Seals and sends, once. A packet that the kernel does not take is lost, as packets may be.
  void SendPacket(const Endpoint& to, std::string_view plain);
  // Followed by OnOpened or OnClosed.
  void Open(StreamId stream, const Endpoint& to);
  // A stream that is closed by now is left alone.
  void Send(StreamId stream, std::string_view plain);
  // Closes once everything sent before has been handed to the kernel.
  void Close(StreamId stream);

 private:
  class Impl;
  const std::shared_ptr<Impl> impl_;
};

}  // namespace consul::gossip

#endif  // CONSUL_SERVICES_GOSSIP_TRANSPORT_H_
