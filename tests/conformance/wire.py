"""A plain HTTP/1.1 client that sends what it is told, byte for byte.

Libraries clean a target up, follow redirects and add headers; here the odd request is the point.
"""

import collections
import gzip
import socket

Response = collections.namedtuple("Response", "status headers body")


class ClosedEarly(Exception):
    """The server closed the connection before the reply was whole."""


# What a request is sent as, unless it says otherwise.
VERSION = "HTTP/1.1"
CHUNK_BYTES = 3


def request(
    address, method, target, body=None, headers=(), version=VERSION, chunked=False, timeout_s=30
):
    """Sends one request on a connection of its own; returns the Response, unzipped.

    `headers` of the result is a list of (name, value) as sent, spelling and order kept.
    """
    lines = [f"{method} {target} {version}", "Host: consul.test"]
    lines += [f"{name}: {value}" for name, value in headers]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        body = in_chunks(body or b"")
    elif body is not None:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    with socket.create_connection(address, timeout=timeout_s) as connection:
        try:
            connection.sendall(head + (body or b""))
        except (BrokenPipeError, ConnectionResetError):
            pass  # Refused before it was read whole; the answer may be there all the same.
        with connection.makefile("rb") as stream:
            return read_response(stream, method)


def in_chunks(body):
    parts = [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts + [b""])


def read_response(stream, method):
    status = 100
    while status == 100:  # "Continue" comes before the answer.
        status = int(read_line(stream).split()[1])
        headers = []
        while line := read_line(stream):
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
    fields = {name.lower(): value for name, value in headers}
    body = b""
    if method != "HEAD" and status not in (204, 304):
        body = read_body(stream, fields)
    if fields.get("content-encoding") == "gzip" and body:
        body = gzip.decompress(body)
    return Response(status, headers, body)


def read_line(stream):
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ClosedEarly(f"in the middle of {line!r}")
    return line[:-2].decode("utf-8", "backslashreplace")


def read_body(stream, fields):
    if fields.get("transfer-encoding") == "chunked":
        chunks = []
        while size := int(read_line(stream), 16):
            chunks.append(read_exactly(stream, size))
            read_line(stream)
        read_line(stream)
        return b"".join(chunks)
    if "content-length" in fields:
        return read_exactly(stream, int(fields["content-length"]))
    return stream.read()


def read_exactly(stream, size):
    data = stream.read(size)
    if len(data) != size:
        raise ClosedEarly(f"after {len(data)} of {size} bytes of the body")
    return data
