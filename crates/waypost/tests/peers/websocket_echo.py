"""A service and a client of WebSocket by websockets, with the gateway between them. The port of the service is the first
line of output; then the ports of the gateway, in clear and under TLS, and the certificate to trust come in."""

import asyncio
import ssl
import sys

import websockets


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def check(url, context):
    async with websockets.connect(url, ssl=context, max_size=None) as socket:
        for message in ["", "text", b"\x00\xff", "x" * 70_000, b"y" * 2_000_000]:
            await socket.send(message)
            assert await asyncio.wait_for(socket.recv(), 20) == message
        waiter = await socket.ping()
        await asyncio.wait_for(waiter, 20)
    assert socket.close_code == 1000, socket.close_code


async def main():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        clear, secure, certificate = line.split()
        await check(f"ws://127.0.0.1:{clear}/ws", None)
        await check(f"wss://localhost:{secure}/ws", ssl.create_default_context(cafile=certificate))
        print("all messages came back", flush=True)


asyncio.run(main())
