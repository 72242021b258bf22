"""A service and a client of gRPC by grpcio, with the gateway between them. The port of the service is the first line of
output; then the ports of the gateway, in clear and under TLS, and the certificate to trust come in."""

import concurrent.futures
import sys
import threading

import grpc

KINDS = {
    "Get": lambda request, context: reply(context, request.upper()),
    "Watch": lambda request, context: iter([request] * 5),
    "Put": lambda requests, context: reply(context, b"".join(requests)),
    "Chat": lambda requests, context: (request[::-1] for request in requests),
    "Fail": lambda request, context: context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no way: 100% \u00fc"),
    "Slow": lambda request, context: until_cancelled(context),
}


def until_cancelled(context):
    cancelled = threading.Event()
    context.add_callback(cancelled.set)
    cancelled.wait()
    return b""


def reply(context, message):
    context.send_initial_metadata((("x-initial", "i"),))
    context.set_trailing_metadata((("x-trailing", "t"), ("x-bytes-bin", b"\x00\xff")))
    return message


class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        kind = details.method.rsplit("/", 1)[1]
        make = {
            "Watch": grpc.unary_stream_rpc_method_handler,
            "Put": grpc.stream_unary_rpc_method_handler,
            "Chat": grpc.stream_stream_rpc_method_handler,
        }.get(kind, grpc.unary_unary_rpc_method_handler)
        return make(KINDS[kind])


def check(channel):
    path = "/shop.Orders/"
    answer, call = channel.unary_unary(path + "Get").with_call(b"get", timeout=20)
    assert answer == b"GET", answer
    assert ("x-initial", "i") in [tuple(pair) for pair in call.initial_metadata()]
    trailing = [tuple(pair) for pair in call.trailing_metadata()]
    assert ("x-trailing", "t") in trailing and ("x-bytes-bin", b"\x00\xff") in trailing, trailing
    large = b"x" * 3_000_000
    assert channel.unary_unary(path + "Get")(large, timeout=20) == large.upper()
    assert list(channel.unary_stream(path + "Watch")(b"w", timeout=20)) == [b"w"] * 5
    assert channel.stream_unary(path + "Put")(iter([b"a", b"b", large]), timeout=20) == b"ab" + large
    assert list(channel.stream_stream(path + "Chat")(iter([b"ab", b"cd"]), timeout=20)) == [b"ba", b"dc"]
    for method, timeout, code in [
        (path + "Fail", 20, grpc.StatusCode.FAILED_PRECONDITION),
        (path + "Slow", 0.3, grpc.StatusCode.DEADLINE_EXCEEDED),
        ("/none.Such/Call", 20, grpc.StatusCode.UNIMPLEMENTED),
        ("/down.S/Call", 20, grpc.StatusCode.UNAVAILABLE),
    ]:
        try:
            channel.unary_unary(method)(b"", timeout=timeout)
            raise AssertionError(method)
        except grpc.RpcError as error:
            assert error.code() == code, (method, error)
            if code == grpc.StatusCode.FAILED_PRECONDITION:
                assert error.details() == "no way: 100% \u00fc", error


server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
server.add_generic_rpc_handlers((Handler(),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
clear, secure, certificate = sys.stdin.readline().split()
size = [("grpc.max_receive_message_length", -1)]
check(grpc.insecure_channel("127.0.0.1:" + clear, size))
credentials = grpc.ssl_channel_credentials(open(certificate, "rb").read())
check(grpc.secure_channel("localhost:" + secure, credentials, size))
server.stop(None)
print("all calls are right", flush=True)
