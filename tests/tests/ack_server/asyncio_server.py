"""The server of the asyncio tutorials, with an `ACK` for each read of at most 1024 bytes."""
import asyncio


async def handle(reader, writer):
    try:
        while await reader.read(1024):
            writer.write(b"ACK\n")
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
