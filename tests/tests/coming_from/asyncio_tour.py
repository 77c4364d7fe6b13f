"""What asyncio programs do, one thing after the other. The example asyncio_tour prints the same."""
import asyncio
import signal

STEP = 0.1


async def create_task():
    async def work():
        print("create_task: the task runs")
        return "its result"

    task = asyncio.create_task(work())
    print("create_task: it has not begun")
    print("create_task:", await task)


async def sleep_with_result():
    print("sleep:", await asyncio.sleep(STEP, result="awake"))


def words():
    return [asyncio.sleep(STEP * steps, word) for steps, word in [(2, "second"), (1, "first"), (3, "third")]]


async def gather():
    print("gather:", ", ".join(await asyncio.gather(*words())))


async def as_completed():
    for completed in asyncio.as_completed(words()):
        print("as_completed:", await completed)


async def wait_for():
    for limit, delay, word in [(STEP, 100 * STEP, "too late"), (100 * STEP, STEP, "in time")]:
        try:
            print("wait_for:", await asyncio.wait_for(asyncio.sleep(delay, word), limit))
        except asyncio.TimeoutError:
            print("wait_for: gave up")


async def cancel():
    async def work():
        try:
            print("cancel: the task waits")
            await asyncio.sleep(100 * STEP)
        finally:
            print("cancel: the task tidies up")

    task = asyncio.create_task(work())
    await asyncio.sleep(STEP)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancel: the task was cancelled")


async def to_thread():
    print("to_thread:", await asyncio.to_thread(sum, range(1, 1001)))


async def echo(reader, writer):
    while read := await reader.read(1024):
        writer.write(read)
        await writer.drain()
    writer.close()
    print("a client left", flush=True)


async def start_server():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


async def heartbeat():
    # Python handles a signal between two events. One that comes just before the loop waits is handled at the next.
    while True:
        await asyncio.sleep(STEP)


async def main():
    beat = asyncio.create_task(heartbeat())  # kept: the loop forgets tasks that nobody has
    await create_task()
    await sleep_with_result()
    await gather()
    await as_completed()
    await wait_for()
    await cancel()
    await to_thread()
    await start_server()


# A parent that ignores Ctrl-C, as a shell does for what it runs in the background, passes that on.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
