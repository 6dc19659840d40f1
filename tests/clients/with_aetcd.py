"""What programs do with the client `aetcd` of PyPI: HOST PORT"""

import asyncio
import sys

import aetcd


async def main(host, port):
    async with aetcd.Client(host=host, port=port) as client:
        lease = await client.lease(60)
        await client.put(b"kv/leased", b"1", lease=lease)
        await client.put(b"kv/a", b"x")
        assert (await client.get(b"kv/a")).value == b"x"
        keys = [kv.key for kv in await client.get_prefix(b"kv/")]
        assert keys == [b"kv/a", b"kv/leased"], keys

        is_x = client.transactions.value(b"kv/a") == b"x"
        put = client.transactions.put(b"kv/a", b"y")
        for expected in [True, False]:
            done, _ = await client.transaction(compare=[is_x], success=[put], failure=[])
            assert done == expected

        watch = await client.watch_prefix(b"kv/")
        await lease.revoke()
        async for event in watch:
            assert event.kind == aetcd.rtypes.EventKind.DELETE, event
            assert event.kv.key == b"kv/leased", event
            break
        await watch.cancel()

        async with client.lock(b"locks/a"):
            pass
    print("all held")


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
