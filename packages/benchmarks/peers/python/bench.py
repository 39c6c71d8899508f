"""The `ktables` table and writer, measured as the benchmarks measure their own: one JSON object per line.

Usage: bench.py catchup|propagation|barrier|write --brokers B --topic T [--decode raw|json] [--count N] [--seconds S]
"""

import argparse
import asyncio
import json
import logging
import os
import time

from ktables import KafkaTable, KafkaTableWriter

CLIENT = "ktables 2.0.0 (Python)"
IN_FLIGHT = (1, 8, 64, 256)


def rss_mib():
    with open("/proc/self/statm") as statm:
        return round(int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)


def emit(**row):
    print(json.dumps({"client": CLIENT, **row}), flush=True)


def percentile(sorted_values, p):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * p))]


def latencies(metric, topic, seconds):
    values = sorted(s * 1000 for s in seconds)
    emit(metric=metric, topic=topic, detail="closed loop", p50=percentile(values, 0.5), p99=percentile(values, 0.99))


def table_of(args, **options):
    return KafkaTable(
        connection=args.brokers,
        topic=args.topic,
        value_decoder=json.loads if args.decode == "json" else bytes,
        # The default of 30 s would degrade long replays instead of measuring them.
        catchup_timeout=600,
        ensure_topic=False,
        **options,
    )


def value_of(sequence, size=1024):
    head = f'{{"version":{sequence},"description":"'
    return (head + "x" * (size - len(head) - 2) + '"}').encode()


async def catchup(args):
    table = table_of(args)
    started = time.perf_counter()
    cpu = time.process_time()
    async with table:
        ms = (time.perf_counter() - started) * 1000
        cpu_ms = (time.process_time() - cpu) * 1000
        records = table.stats.replayed_at_catch_up
        emit(
            metric="catchup",
            topic=args.topic,
            decode=args.decode,
            detail="fresh process",
            ms=ms,
            cpuMs=cpu_ms,
            records=records,
            rps=records / ms * 1000,
            keys=len(table),
            rssMiB=rss_mib(),
        )


async def propagation(args):
    loop = asyncio.get_running_loop()
    waiting = {}

    def on_set(key, value):
        future = waiting.pop(value, None)
        if future is not None:
            future.set_result(None)

    # Values are told apart by their bytes, so the decoder stays out of the measured path.
    args.decode = "raw"
    table = table_of(args, on_set=on_set)
    writer = KafkaTableWriter(connection=args.brokers, topic=args.topic, value_encoder=bytes, ensure_topic=False)
    measured = []
    async with table, writer:
        for sequence in range(args.count + args.warmup):
            value = value_of(sequence)
            waiting[value] = loop.create_future()
            visible = waiting[value]
            started = time.perf_counter()
            await writer.set(f"key-{sequence % 100}", value)
            await visible
            if sequence >= args.warmup:
                measured.append(time.perf_counter() - started)
    latencies("propagation", args.topic, measured)


async def barrier(args):
    measured = []
    async with table_of(args) as table:
        for turn in range(args.warmup + args.count):
            started = time.perf_counter()
            if not await table.barrier():
                raise RuntimeError("the barrier could not be proven")
            if turn >= args.warmup:
                measured.append(time.perf_counter() - started)
    latencies("barrier", args.topic, measured)


async def write(args):
    async with KafkaTableWriter(
        connection=args.brokers, topic=args.topic, value_encoder=bytes, ensure_topic=False
    ) as writer:
        for in_flight in IN_FLIGHT:
            counting = False
            written = 0
            stopped = False

            async def lane(number):
                nonlocal written
                sequence = number
                while not stopped:
                    await writer.set(f"key-{sequence % 10000}", value_of(sequence))
                    sequence += in_flight
                    written += counting

            lanes = [asyncio.create_task(lane(number)) for number in range(in_flight)]
            await asyncio.sleep(args.seconds / 3)
            counting = True
            started = time.perf_counter()
            await asyncio.sleep(args.seconds)
            ms = (time.perf_counter() - started) * 1000
            done = written
            stopped = True
            await asyncio.gather(*lanes)
            emit(metric="write", topic=args.topic, detail=f"{in_flight} in flight", records=done, rps=done / ms * 1000)


def main():
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=("catchup", "propagation", "barrier", "write"))
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--decode", default="raw", choices=("raw", "json"))
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3)
    args = parser.parse_args()
    asyncio.run(globals()[args.mode](args))


main()
