"""A process that keeps tables with Python's ktables and writes with Python's clients, for comparison.

Each line on stdin is a request {"id", "op", "args"}, each line on stdout its answer {"id", "ok"} or
{"id", "error": {"type", "message"}}; requests run side by side. The process ends with its stdin.
"""

import asyncio
import base64
import json
import os
import sys

import confluent_kafka
from aiokafka import AIOKafkaProducer
from ktables import (
    GroupedKafkaTable,
    GroupedKafkaTableWriter,
    KafkaConnectionConfig,
    KafkaTable,
    KafkaTableWriter,
    ensure_topic,
)

brokers = sys.argv[1]
tables = {}


def encode_json(value):
    """The text that pydantic's model_dump_json writes: compact, and not escaped beyond what JSON asks for."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def base64_bytes(text):
    return None if text is None else base64.b64decode(text)


async def open_table(args):
    topic = args["topic"]
    config = KafkaConnectionConfig(
        bootstrap_servers=brokers,
        consumer_opts={"isolation_level": args.get("isolation", "read_uncommitted"), "metadata_max_age_ms": 1000},
    )
    created = await ensure_topic(config, topic, num_partitions=args.get("partitions", 1))
    grouped = args.get("grouped", False)
    table = (GroupedKafkaTable if grouped else KafkaTable)(
        connection=config,
        topic=topic,
        value_decoder=json.loads,
        poll_timeout_ms=20,
        fetch_max_wait_ms=20,
    )
    writer = (GroupedKafkaTableWriter if grouped else KafkaTableWriter)(
        connection=config,
        topic=topic,
        value_encoder=encode_json,
        enable_idempotence=True,
    )
    await table.start()
    try:
        await writer.start()
    except BaseException:
        await table.stop()
        raise
    tables[args["table"]] = (table, writer)
    return {"outcome": created.outcome, "status": table.status}


async def close_table(args):
    table, writer = tables.pop(args["table"])
    await writer.stop()
    await table.stop()


async def set_value(args):
    await tables[args["table"]][1].set(*args["key"], args["value"])


async def delete(args):
    await tables[args["table"]][1].delete(*args["key"])


async def dump(args):
    return tables[args["table"]][0].snapshot()


async def barrier(args):
    return await tables[args["table"]][0].barrier(timeout=args["seconds"])


async def wait_caught_up(args):
    return await tables[args["table"]][0].wait_until_caught_up(timeout=args["seconds"])


async def describe(args):
    table = tables[args["table"]][0]
    stats = table.stats
    return {
        "status": table.status,
        "records": stats.records_applied,
        "tombstones": stats.tombstones_applied,
        "keyless": stats.keyless_records,
        "keyDecodeErrors": stats.key_decode_errors,
        "valueDecodeErrors": stats.value_decode_errors,
        "foreignKeys": getattr(table, "foreign_key_count", 0),
    }


async def produce_aiokafka(args):
    compression = args.get("compression", "none")
    producer = AIOKafkaProducer(
        bootstrap_servers=brokers,
        compression_type=None if compression == "none" else compression,
        enable_idempotence=args.get("idempotent", False),
        linger_ms=50,
    )
    await producer.start()
    try:
        sent = [
            await producer.send(
                args["topic"],
                key=base64_bytes(record["key"]),
                value=base64_bytes(record["value"]),
                partition=record.get("partition"),
                timestamp_ms=record.get("timestamp"),
                headers=[(header["key"], base64_bytes(header["value"])) for header in record.get("headers", [])],
            )
            for record in args["records"]
        ]
        acks = [await one for one in sent]
        return [{"partition": ack.partition, "offset": ack.offset, "timestamp": ack.timestamp} for ack in acks]
    finally:
        await producer.stop()


def produce_librdkafka(args):
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": brokers,
            "compression.type": args.get("compression", "none"),
            "enable.idempotence": args.get("idempotent", False),
            "linger.ms": 50,
            # Java's choice for a key; librdkafka's own default is another one.
            "partitioner": "murmur2_random",
        }
    )
    acks = [None] * len(args["records"])

    def keep(index):
        def on_delivery(error, message):
            acks[index] = (error, message)

        return on_delivery

    for index, record in enumerate(args["records"]):
        optional = {}
        if record.get("partition") is not None:
            optional["partition"] = record["partition"]
        if record.get("timestamp") is not None:
            optional["timestamp"] = record["timestamp"]
        producer.produce(
            args["topic"],
            key=base64_bytes(record["key"]),
            value=base64_bytes(record["value"]),
            headers=[(header["key"], base64_bytes(header["value"])) for header in record.get("headers", [])],
            on_delivery=keep(index),
            **optional,
        )
    left = producer.flush(30)
    if left:
        raise TimeoutError(f"{left} records were not delivered within 30 s")
    for error, _ in acks:
        if error is not None:
            raise confluent_kafka.KafkaException(error)
    return [
        {"partition": message.partition(), "offset": message.offset(), "timestamp": message.timestamp()[1]}
        for _, message in acks
    ]


async def produce(args):
    if args["client"] == "librdkafka":
        return await asyncio.to_thread(produce_librdkafka, args)
    return await produce_aiokafka(args)


operations = {
    "open": open_table,
    "close": close_table,
    "set": set_value,
    "delete": delete,
    "dump": dump,
    "barrier": barrier,
    "waitCaughtUp": wait_caught_up,
    "describe": describe,
    "produce": produce,
}


def answer(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def run(request):
    try:
        answer({"id": request["id"], "ok": await operations[request["op"]](request["args"])})
    except Exception as error:
        answer({"id": request["id"], "error": {"type": type(error).__name__, "message": str(error)}})


async def main():
    answer({"ready": True})
    running = set()
    while line := await asyncio.to_thread(sys.stdin.readline):
        task = asyncio.create_task(run(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)
    # Nothing that still waits for a broker may hold the end up.
    os._exit(0)


asyncio.run(main())
