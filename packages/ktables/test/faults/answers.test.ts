/** Answers that no healthy broker gives, scripted in front of the embedded Kafka. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Option } from "effect"
import { KafkaError } from "effect-ktables"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { keys, write } from "../support/kafka.ts"
import { altered, fetched, onScript, type Script } from "../support/script.ts"
import { requestsWhile, type Subject } from "../support/subject.ts"
import { observeNumbers, scriptedTable, scriptedTopic } from "./fixtures.ts"

/** Changes the records of the next answers that have some. */
const withRecords = (change: (records: Buffer) => Buffer, times = Number.POSITIVE_INFINITY) => {
  let left = times
  return fetched((partition) =>
    partition.records.length === 0 || left-- <= 0 ? {} : { records: change(Buffer.from(partition.records)) }
  )
}

/** What a broker answers whose quota is used up: a throttle time, and no topics (KIP-219). */
const heldBack = (throttle: number) =>
  altered<"fetch">((answer) => ({ ...answer, throttle, errorCode: 0, partitions: [] }))

/** Lets time pass under answers that are held back: the health says so all along, and nothing else is asked for. */
const passHeldBack = Effect.fnUntraced(function* (
  { requests }: Script,
  { pass, table }: Subject<string, number>,
  millis: number
) {
  const before = { described: requests.describeTopic.length, asked: requests.fetch.length }
  let throttled = 0
  for (let passed = 0; passed < millis; passed += 500) {
    yield* pass(500)
    const now = yield* Clock.currentTimeMillis
    for (const { connected, throttledUntil } of (yield* table.health).partitions) {
      assert.isTrue(connected)
      if (Option.isNone(throttledUntil)) continue
      throttled++
      assert.isAbove(throttledUntil.value, now)
    }
  }
  assert.isAbove(throttled, 0, "the health says so")
  assert.strictEqual(requests.describeTopic.length, before.described, "nothing is asked for beside")
  assert.isAtMost(requests.fetch.length - before.asked, (millis / 2000) * 2 + 2)
})

describe("answers", () => {
  for (const [what, change] of [
    ["an unknown record format", (records: Buffer) => (records.writeUInt8(9, 16), records)],
    [
      "a checksum that does not match",
      (records: Buffer) => (records.writeUInt8(records[records.length - 1]! ^ 1, records.length - 1), records)
    ],
    ["a length below a header's", (records: Buffer) => (records.writeInt32BE(10, 8), records)],
    ["a length beyond what was sent", (records: Buffer) => records.subarray(0, records.length - 1)],
    ["a length beyond every answer", (records: Buffer) => (records.writeInt32BE(0x7ffffff0, 8), records)],
    ["an offset below zero", (records: Buffer) => (records.writeBigInt64BE(-5n, 0), records)],
    ["an offset above 2^53-1", (records: Buffer) => (records.writeBigInt64BE(1n << 60n, 0), records)],
    ["a header that is cut short", (records: Buffer) => records.subarray(0, 20)],
    ["noise", (records: Buffer) => records.fill(0xff)],
    ["zeros", (records: Buffer) => records.fill(0)]
  ] as const) {
    it.effect(`row 34: ${what} is fetched again once and then read`, () =>
      onScript(
        Effect.gen(function* () {
          const { script, subject } = yield* scriptedTable()
          script.on("fetch", withRecords(change, 1))
          yield* write("numbers", ["x"])
          const { of } = yield* requestsWhile(subject.until("the record", 5000, () => subject.contents().has("x")))
          assert.isBelow(of("fetch"), 12)
          assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
          yield* subject.verify()
        })
      )
    )

    it.effect(`row 34: ${what} that stays is a typed failure with partition and offset, and no busy loop`, () =>
      onScript(
        Effect.gen(function* () {
          const { script, subject } = yield* scriptedTable()
          const before = subject.contents()
          script.on("fetch", withRecords(change))
          yield* write("numbers", ["x"])
          const { of } = yield* requestsWhile(subject.pass(20_000))
          assert.isBelow(of("fetch"), 30)
          const status = yield* subject.table.status
          if (status._tag !== "Failed") return assert.fail(`the status is ${status._tag}`)
          assert.deepInclude(status.error, { _tag: "UnreadableRecords", topic: "numbers", partition: 0, offset: 10 })
          assert.deepStrictEqual(subject.contents(), before)
          yield* subject.verifyFailed("UnreadableRecords")
        })
      )
    )
  }

  it.effect("row 34: a first batch larger than the fetch size makes progress", () =>
    onScript(
      Effect.gen(function* () {
        const { script } = yield* scriptedTopic()
        yield* write("numbers", keys(500))
        yield* write("numbers", keys(500, "more"))
        // As brokers did before KIP-74: whatever the size, an answer is cut at what was asked for.
        script.on(
          "fetch",
          fetched((partition, asks) => ({ records: partition.records.subarray(0, asks.partitions[0]!.maxBytes) }))
        )
        const subject = yield* observeNumbers({ table: { fetch: { maxPartitionBytes: 1000, maxBytes: 1000 } } })
        assert.strictEqual(subject.contents().size, 1000)
        assert.isBelow(script.requests.fetch.length, 12)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 28: an answer from below the position is not obeyed, and not asked for in a busy loop", () =>
    onScript(
      Effect.gen(function* () {
        const { script, subject } = yield* scriptedTable()
        const old = encodeBatch(
          [{ offsetDelta: 0, timestamp: 0, key: Buffer.from("p0-0"), value: Buffer.from("666") }],
          {
            baseOffset: 0,
            leaderEpoch: 0
          }
        )
        script.on(
          "fetch",
          fetched(() => ({ records: old, highWatermark: 11, lastStableOffset: 11 })),
          40
        )
        yield* write("numbers", ["x"])
        const { of } = yield* requestsWhile(subject.pass(10_000))
        assert.isBelow(of("fetch") + script.requests.fetch.length, 60)
        yield* subject.until("the record", 60_000, () => subject.contents().has("x"))
        yield* subject.verify()
      })
    )
  )

  for (const [what, offsets] of [
    ["negative offsets", { earliest: -1, latest: -1 }],
    ["an end of zero below the start", { earliest: 5, latest: 0 }],
    ["a negative end", { earliest: 0, latest: -1 }]
  ] as const) {
    it.effect(`row 28: ${what} in an answer are refused and asked for again`, () =>
      onScript(
        Effect.gen(function* () {
          const { script } = yield* scriptedTopic()
          yield* write("numbers", keys(10))
          script.on(
            "listOffsets",
            altered<"listOffsets">((answer, asks) =>
              answer.map((listed) => ({ ...listed, offset: offsets[asks.at as "earliest" | "latest"] }))
            ),
            4
          )
          const subject = yield* observeNumbers()
          assert.strictEqual(subject.contents().size, 10)
          for (const asked of script.requests.fetch) {
            for (const { fetchOffset } of asked.partitions) assert.isAtLeast(fetchOffset, 0)
          }
          yield* subject.verify()
        })
      )
    )
  }

  it.effect("row 28: watermarks that go backwards move no position and no barrier", () =>
    onScript(
      Effect.gen(function* () {
        const { script, subject } = yield* scriptedTable()
        const health = Effect.map(subject.table.health, ({ partitions }) => partitions[0]!)
        let isHeld = false
        const down = fetched(() => ({ highWatermark: 0, lastStableOffset: 0 }))
        script.on("fetch", (asks, next) =>
          Effect.tap(down(asks, next), () => (isHeld ? Effect.sleep(2000) : Effect.void))
        )
        yield* write("numbers", ["x"])
        yield* subject.until("the record", 5000, () => subject.contents().has("x"))
        // Answers without records come, too.
        yield* subject.pass(5000)
        const { highWatermark, lastStableOffset, position } = yield* health
        assert.deepStrictEqual(
          { highWatermark, lastStableOffset, position },
          {
            highWatermark: 0,
            lastStableOffset: 0,
            position: 11
          }
        )
        yield* subject.within("a barrier behind what was read", 1000, subject.table.barrier())

        isHeld = true
        yield* write("numbers", ["y"])
        const barrier = yield* Effect.forkScoped(
          Effect.andThen(
            subject.table.barrier(),
            Effect.sync(() => subject.contents().has("y"))
          )
        )
        yield* subject.pass(1000)
        assert.isUndefined(barrier.pollUnsafe(), "the record is on its way")
        assert.isTrue(yield* subject.within("the barrier", 5000, Fiber.join(barrier)), "it waited for the record")
        assert.strictEqual((yield* health).position, 12)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 27: a throttled answer is shown at once, the next request waits, and it is no disconnect", () =>
    onScript(
      Effect.gen(function* () {
        const { script, subject } = yield* scriptedTable()
        script.on(
          "fetch",
          altered<"fetch">((answer) => ({ ...answer, throttle: 5000 })),
          3
        )
        yield* write("numbers", ["x"])
        yield* subject.until("the record", 100, () => subject.contents().has("x"))
        const before = script.requests.fetch.length
        yield* subject.pass(4500)
        assert.strictEqual(script.requests.fetch.length, before, "it waits")
        assert.isTrue((yield* subject.table.health).partitions[0]!.connected)
        yield* subject.pass(15_000)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 51: answers that a quota holds back delay a live table, and are no disconnect and no failure", () =>
    onScript(
      Effect.gen(function* () {
        const { script, subject } = yield* scriptedTable(2, { metadataRefresh: "10 minutes" })
        script.on("fetch", heldBack(5000))
        yield* write("numbers", ["x"])
        yield* subject.until("it is throttled", 6000, () => script.requests.fetch.length > 2)
        yield* passHeldBack(script, subject, 60_000)
        script.clear("fetch")
        yield* subject.until("the record", 10_000, () => subject.contents().has("x"))
        yield* subject.pass(6000)
        assert.isTrue((yield* subject.table.health).partitions.every((p) => Option.isNone(p.throttledUntil)))
        assert.deepStrictEqual(
          subject.statuses.map(({ _tag }) => _tag),
          ["CaughtUp"]
        )
        yield* subject.verify()
      })
    )
  )

  it.effect("row 51: a load that a quota holds back ends when the quota lets it, and is connected meanwhile", () =>
    onScript(
      Effect.gen(function* () {
        const { script } = yield* scriptedTopic()
        yield* write("numbers", keys(50))
        script.on("fetch", heldBack(2000), 30)
        const subject = yield* observeNumbers({
          table: { catchUp: { mode: "background" }, metadataRefresh: "10 minutes" }
        })
        yield* subject.pass(1000)
        yield* passHeldBack(script, subject, 50_000)
        assert.strictEqual((yield* subject.table.status)._tag, "Loading")
        yield* subject.become("CaughtUp", 20_000)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 13: an answer that leaves a partition out makes it asked again", () =>
    onScript(
      Effect.gen(function* () {
        const { script, subject } = yield* scriptedTable(2)
        script.on(
          "fetch",
          altered<"fetch">((answer) => ({ ...answer, partitions: answer.partitions.filter((p) => p.partition !== 0) })),
          5
        )
        yield* write("numbers", ["left out"], { partition: 0 })
        yield* subject.until("the record", 10_000, () => subject.contents().has("left out"))
        yield* subject.verify()
      })
    )
  )

  it.effect("row 13: answers that do not follow the protocol end the reader after some, not after one", () =>
    onScript(
      Effect.gen(function* () {
        const { script, subject } = yield* scriptedTable()
        const malformed = Effect.fail(
          new KafkaError.MalformedAnswer({ broker: "memory-1:9092", request: "Fetch", detail: "cut short" })
        )
        script.on("fetch", () => malformed, 2)
        yield* write("numbers", ["x"])
        yield* subject.until("the record", 10_000, () => subject.contents().has("x"))
        script.on("fetch", () => malformed)
        yield* write("numbers", ["y"])
        yield* subject.become("Failed", 30_000)
        yield* subject.verifyFailed("ClusterRefused")
      })
    )
  )
})
