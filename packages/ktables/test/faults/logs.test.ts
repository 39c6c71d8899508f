/** FAULTS "What is in the log": records of every kind and format. */
import { crc32 } from "node:zlib"
import { assert, describe, it, vi } from "@effect/vitest"
import { Effect, Logger, Option } from "effect"
import { Codec, TableTopic } from "effect-ktables"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { keys, memory, onCluster, write } from "../support/kafka.ts"
import { numberDecoding } from "../support/oracle.ts"
import { byNumber, byNumberDecoding } from "../support/randomLog.ts"
import { onScript } from "../support/script.ts"
import { observe, requestsWhile } from "../support/subject.ts"
import {
  failureOfStart,
  loadedAndLive,
  numbersDecodedBy,
  observeNumbers,
  poison,
  record,
  scriptedTopic,
  withTopic
} from "./fixtures.ts"

/** A message of format 1 (https://kafka.apache.org/documentation/#messageset), as an upgraded broker may hold it. */
const legacy = (offset: number, key: string, value: string): Buffer => {
  const message = Buffer.alloc(34 + key.length + value.length)
  message.writeBigInt64BE(BigInt(offset), 0)
  message.writeInt32BE(message.length - 12, 8)
  message.writeUInt8(1, 16)
  message.writeInt32BE(key.length, 26)
  message.write(key, 30)
  message.writeInt32BE(value.length, 30 + key.length)
  message.write(value, 34 + key.length)
  message.writeUInt32BE(crc32(message.subarray(16)), 12)
  return message
}

const raw = TableTopic.make({ name: "numbers", key: Codec.string, value: Codec.bytes })
const rawDecoding = { key: numberDecoding.key, value: (bytes: Buffer) => new Uint8Array(bytes) }

describe("what is in the log", () => {
  loadedAndLive(
    "row 32: tombstones of unknown keys, repeated ones, and empty keys",
    (kafka) =>
      kafka.append("numbers", [
        record("never", null),
        record("a", 1),
        record("a", null),
        record("a", null),
        record("", 2),
        record("b", 3)
      ]),
    { "": 2, b: 3 }
  )

  it.effect(
    "row 32: keys that do not decode are counted and skipped, and of two that decode equal the later record wins",
    () =>
      onCluster(
        Effect.gen(function* () {
          const kafka = yield* memory
          yield* kafka.createTopic("log")
          const batch = (records: ReadonlyArray<readonly [string, string | null]>) =>
            kafka.append(
              "log",
              records.map(([key, value]) => ({ key, value }))
            )
          yield* batch([
            ["1", "1"],
            ["01", "2"],
            ["none", "3"],
            ["2", "4"],
            ["02", null]
          ])
          const subject = yield* observe(byNumber, { decoding: byNumberDecoding })
          assert.deepStrictEqual([...subject.contents()], [[1, 2]])
          yield* batch([
            ["001", "5"],
            ["also none", "6"],
            ["2", "7"]
          ])
          yield* subject.within("a barrier", 5000, subject.table.barrier())
          assert.deepStrictEqual(
            subject.contents(),
            new Map([
              [1, 5],
              [2, 7]
            ])
          )
          assert.strictEqual((yield* subject.table.health).stats.keyDecodeErrors, 2)
          yield* subject.verify()
        })
      )
  )

  it.effect("row 32: empty bytes are data", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* kafka.append("numbers", [{ key: "a", value: "" }])
        const subject = yield* observe(raw, { decoding: rawDecoding })
        assert.deepStrictEqual(yield* subject.table.get("a"), Option.some(new Uint8Array(0)))
        yield* kafka.append("numbers", [{ key: "b", value: "" }])
        yield* subject.within("a barrier", 6000, subject.table.barrier())
        assert.deepStrictEqual(yield* subject.table.get("b"), Option.some(new Uint8Array(0)))
        yield* subject.verify()
      })
    )
  )

  loadedAndLive(
    "row 33: a value that does not decode is skipped, and the newest that does stays",
    (kafka) =>
      kafka.append("numbers", [
        record("a", 1),
        { key: "a", value: "poison" },
        { key: "b", value: "poison" },
        record("c", 2),
        record("c", null),
        { key: "c", value: "poison" }
      ]),
    { a: 1 }
  )

  it.effect("row 33: a codec that interrupts itself refuses one record instead of being asked for ever", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", ["a"])
        const topic = numbersDecodedBy((value) => (value === 666 ? Effect.interrupt : Effect.succeed(value)))
        const subject = yield* observe(topic, { decoding: numberDecoding })
        yield* kafka.append("numbers", [record("b", 666)])
        const { all } = yield* requestsWhile(subject.within("a barrier", 5000, subject.table.barrier()))
        assert.isBelow(all, 20)
        assert.deepStrictEqual([...subject.contents().keys()], ["a"])
        assert.strictEqual((yield* subject.table.health).stats.valueDecodeErrors, 1)
      })
    )
  )

  it.effect("row 33: a thousand poison records are counted, and the log is told of them once", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        const lines: Array<string> = []
        const logger = Logger.make(({ message }) => {
          lines.push(String(message))
        })
        const subject = yield* observeNumbers().pipe(Effect.provide(Logger.layer([logger])))
        yield* poison(keys(1000))
        yield* subject.within("a barrier", 30_000, subject.table.barrier())
        assert.strictEqual((yield* subject.table.health).stats.valueDecodeErrors, 1000)
        assert.strictEqual(lines.filter((line) => line.includes("does not decode")).length, 1)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 34: records that were stored damaged fail a load with partition and offset", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", keys(3))
        const damaged = encodeBatch([{ offsetDelta: 0, timestamp: 0, key: Buffer.from("x"), value: Buffer.from("1") }])
        damaged.writeUInt8(damaged[damaged.length - 2]! ^ 1, damaged.length - 2)
        yield* kafka.appendBatch("numbers", damaged)
        const error = yield* failureOfStart(5000)
        assert.deepInclude(error, { _tag: "UnreadableRecords", partition: 0, offset: 3, kind: "Corrupt" })
      })
    )
  )

  for (const compression of ["none", "gzip", "snappy", "lz4", "zstd"] as const) {
    loadedAndLive(
      `row 35: batches compressed by ${compression} are read`,
      (kafka) => kafka.append("numbers", [record("a", 1), record("b", 2), record("a", 3)], { compression }),
      { a: 3, b: 2 }
    )
  }

  it.effect("row 36: messages of the old formats are read", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic()
        const old = new Map<number, readonly [key: string, value: string]>([
          [0, ["old", "7"]],
          [2, ["older", "8"]]
        ])
        // Such a message stands in the log where an answer has it in place of the record that the embedded Kafka holds.
        const log = Effect.map(kafka.log("numbers"), (records) =>
          records.map((record) => {
            const [key, value] = old.get(record.offset) ?? [record.key!, record.value!]
            return { ...record, key: Buffer.from(key), value: Buffer.from(value) }
          })
        )
        script.on("fetch", (asks, next) =>
          Effect.map(next, (answer) => {
            const { fetchOffset } = asks.partitions[0]!
            const message = old.get(fetchOffset)
            if (message === undefined) return answer
            return {
              ...answer,
              partitions: answer.partitions.map((partition) =>
                partition.records.length === 0 ? partition : { ...partition, records: legacy(fetchOffset, ...message) }
              )
            }
          })
        )
        yield* write("numbers", ["hidden"])
        yield* write("numbers", ["loaded"])
        const subject = yield* observeNumbers({ log })
        assert.deepStrictEqual([...subject.contents().keys()].sort(), ["loaded", "old"])
        yield* write("numbers", ["hidden"])
        yield* write("numbers", ["followed"])
        yield* subject.within("a barrier", 10_000, subject.table.barrier())
        assert.deepStrictEqual([...subject.contents().keys()].sort(), ["followed", "loaded", "old", "older"])
        assert.deepStrictEqual([subject.table.view.get("old"), subject.table.view.get("older")], [7, 8])
        yield* subject.verify()
      })
    )
  )

  for (const how of ["loaded", "followed"] as const) {
    it.effect(`row 37: a batch of many megabytes is applied in slices, ${how}`, () =>
      onCluster(
        Effect.gen(function* () {
          const kafka = yield* withTopic()
          // Every look at the clock finds it three milliseconds on: a slice is over by the looks, not by the machine.
          let now = performance.now()
          const clock = vi.spyOn(performance, "now").mockImplementation(() => (now += 3))
          yield* Effect.addFinalizer(() => Effect.sync(() => clock.mockRestore()))
          let decoded = 0
          const topic = numbersDecodedBy((value) => {
            decoded++
            return Effect.succeed(value)
          })
          const batch = kafka.append(
            "numbers",
            keys(20_000).map((key, i) => ({ key, value: String(i).padEnd(1000) }))
          )
          // Another fiber, which only wants its turn.
          const turns: Array<number> = []
          yield* Effect.forkScoped(
            Effect.forever(
              Effect.andThen(
                Effect.sync(() => turns.push(decoded)),
                Effect.yieldNow
              )
            ),
            { startImmediately: true }
          )
          if (how === "loaded") yield* batch
          const subject = yield* observe(topic, {
            decoding: { ...numberDecoding, value: (bytes) => Number(bytes.toString()) }
          })
          if (how === "followed") {
            yield* batch
            yield* subject.within("a barrier", 60_000, subject.table.barrier())
          }
          turns.push(decoded)
          assert.strictEqual(decoded, 20_000)
          assert.isAbove((yield* subject.table.health).stats.bytes, 20_000_000)
          const most = turns.reduce((most, at, i) => Math.max(most, at - (turns[i - 1] ?? 0)), 0)
          assert.isAtMost(most, 500, "records that were applied while another fiber waited for its turn")
          if (how === "loaded") {
            // What a load reads is taken before anything of it is decoded.
            assert.isAbove(turns.filter((at) => at === 0).length, 20, "turns while the batch was taken")
          }
          clock.mockRestore()
          yield* subject.until("the subscriber", 1000, () => subject.fold.model?.size === 20_000)
          yield* subject.verify()
        })
      )
    )
  }

  loadedAndLive(
    "row 38: order is by offset alone, whatever the timestamps say",
    (kafka) =>
      Effect.gen(function* () {
        yield* kafka.append("numbers", [{ ...record("a", 1), timestamp: 4_000_000_000_000 }])
        yield* kafka.append("numbers", [
          { ...record("a", 2), timestamp: 1 },
          { ...record("b", 3), timestamp: -1 }
        ])
      }),
    { a: 2, b: 3 }
  )
})
