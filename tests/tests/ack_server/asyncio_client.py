"""A hundred asyncio clients at once; each says something ten times and leaves. Prints the answers."""
import asyncio
import sys


async def client(port, number):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = b""
    for message in range(10):
        writer.write(b"client %d, message %d\n" % (number, message))
        await writer.drain()
        answers += await reader.readline()
    writer.write_eof()
    answers += await reader.read()
    writer.close()
    await writer.wait_closed()
    return answers


async def main():
    port = int(sys.argv[1])
    answers = await asyncio.gather(*(client(port, number) for number in range(100)))
    sys.stdout.write(b"".join(answers).decode())


asyncio.run(main())
