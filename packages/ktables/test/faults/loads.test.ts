/** How a load ends, whatever the log holds and brokers answer meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { KafkaTable } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { keys, onCluster, write } from "../support/kafka.ts"
import { numberDecoding } from "../support/oracle.ts"
import { altered, fetched, onScript, refused } from "../support/script.ts"
import { failureOf, observe } from "../support/subject.ts"
import { within } from "../support/time.ts"
import {
  cut,
  failureOfStart,
  numbersDecodedBy,
  observeNumbers,
  poison,
  record,
  scriptedTopic,
  transact,
  withTopic,
  writeBatches
} from "./fixtures.ts"

describe("how a load ends", () => {
  it.effect("row 8: empty topics, empty partitions and partitions emptied by deletion are caught up at once", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ partitions: 4 })
        yield* write("numbers", keys(5), { partition: 1 })
        yield* kafka.deleteRecords("numbers", 1, 5)
        yield* write("numbers", ["x"], { partition: 2 })
        const subject = yield* observeNumbers({ build: 0 })
        assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
        assert.strictEqual(subject.contents().size, 1)
        yield* subject.verify()
      })
    )
  )

  for (const [what, prepare] of [
    ["an abort marker", (kafka: MemoryKafka.Service) => transact(kafka, [record("x", 1)], "abort")],
    ["a commit marker", (kafka: MemoryKafka.Service) => transact(kafka, [record("x", 1)], "commit")],
    [
      "markers alone",
      (kafka: MemoryKafka.Service) =>
        Effect.gen(function* () {
          const transaction = yield* kafka.beginTransaction()
          yield* transaction.enlist("numbers", 0)
          yield* transaction.abort
        })
    ],
    [
      "a hole",
      (kafka: MemoryKafka.Service) =>
        Effect.gen(function* () {
          yield* transact(kafka, [record("x", 1), record("x", null)], "commit")
          yield* kafka.compact("numbers")
          yield* kafka.compact("numbers", { dropTombstones: true })
        })
    ]
  ] as const) {
    it.effect(`row 9: the gate opens on position when the log ends in ${what}`, () =>
      onCluster(
        Effect.gen(function* () {
          const kafka = yield* withTopic()
          yield* write("numbers", ["a"])
          yield* prepare(kafka)
          const subject = yield* observeNumbers({ build: 200 })
          assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
          const { replayed, target } = (yield* subject.table.health).progress
          assert.strictEqual(replayed, target)
          yield* prepare(kafka)
          yield* subject.within("a barrier over more of it", 10_000, subject.table.barrier())
          yield* subject.verify()
        })
      )
    )
  }

  it.effect(
    "row 10: records below the offset that was asked for are dropped, and an emptied batch moves the position",
    () =>
      onScript(
        Effect.gen(function* () {
          const { kafka, script } = yield* scriptedTopic()
          yield* write("numbers", keys(10))
          yield* kafka.deleteRecords("numbers", 0, 4)
          const subject = yield* observeNumbers()
          assert.deepStrictEqual([...subject.contents().keys()].sort(), keys(10).slice(4))
          const empty = encodeBatch([], { lastOffsetDelta: 4, leaderEpoch: 0 })
          yield* kafka.appendBatch("numbers", empty)
          yield* subject.until(
            "the position",
            10_000,
            () => script.requests.fetch.at(-1)!.partitions[0]!.fetchOffset === 15
          )
          yield* subject.verify()
        })
      )
  )

  it.effect("row 11: a load ends although producers write faster than it replays", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic()
        yield* write("numbers", keys(20))
        yield* write("numbers", keys(20))
        // Two batches arrive for each one that is fetched.
        script.on("fetch", (_asks, next) =>
          Effect.andThen(
            Effect.andThen(write("numbers", keys(3, "new-")), write("numbers", keys(3, "new-"))).pipe(
              Effect.provideService(MemoryKafka.MemoryKafka, kafka),
              Effect.orDie
            ),
            next
          )
        )
        const subject = yield* observeNumbers({ build: 1000, table: { fetch: { maxPartitionBytes: 1 } } })
        assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
        const { partitions, progress } = yield* subject.table.health
        assert.strictEqual(progress.target, 40)
        assert.isAbove(partitions[0]!.lag, 0, "the lag is visible")
        script.clear("fetch")
        yield* subject.verify()
      })
    )
  )

  it.effect("row 17: a load does not end where a leader says that was deposed before it answered", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic({ partitions: 2 })
        for (const key of keys(10)) yield* write("numbers", [key], { partition: 0 })
        yield* write("numbers", ["other"], { partition: 1 })
        // The deposed leader has five of the ten. The other partition's error has the topic described before it answers.
        const election = yield* Effect.cached(kafka.moveLeader("numbers", 0, 2))
        script.on("listOffsets", (asks, next) =>
          asks.broker === 2
            ? next
            : Effect.as(Effect.andThen(election, Effect.sleep("2 seconds")), [
                { partition: 0, errorCode: 0, offset: asks.at === "latest" ? 5 : 0, leaderEpoch: 0 }
              ])
        )
        script.on(
          "fetch",
          fetched(() => refused(ErrorCode.NOT_LEADER_OR_FOLLOWER)),
          1
        )
        // Nothing that is read after the load is there at its end.
        script.on("fetch", ({ partitions }, next) =>
          partitions.some(({ fetchOffset, partition }) => partition === 0 && fetchOffset >= 5)
            ? Effect.delay(next, "1 second")
            : next
        )
        const subject = yield* observeNumbers({ build: 20_000, table: { fetch: { maxPartitionBytes: 1 } } })
        assert.deepStrictEqual([...subject.contents().keys()].sort(), [...keys(10), "other"])
        assert.strictEqual((yield* subject.table.health).progress.target, 11)
        script.clear("fetch")
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect(
    "row 12: at the catch-up time-out a table serves what it has, degraded, and becomes caught up by itself",
    () =>
      onScript(
        Effect.gen(function* () {
          const { kafka, script } = yield* scriptedTopic({ partitions: 2 })
          yield* write("numbers", keys(10))
          for (let i = 0; i < 5; i++) yield* write("numbers", keys(2, `slow${i}-`), { partition: 1 })
          let fetches = 0
          script.on("fetch", (asks, next) => (asks.broker === 2 && fetches++ > 0 ? Effect.delay(next, 4000) : next))
          const subject = yield* observeNumbers({
            build: 2100,
            table: { fetch: { maxPartitionBytes: 1 }, catchUp: { mode: "await", timeout: "2 seconds" } }
          })
          const status = yield* subject.table.status
          if (status._tag !== "Degraded") return assert.fail(status._tag)
          assert.isBelow(status.replayed, status.target)
          assert.strictEqual(subject.contents().size, 12)
          yield* kafka.append("numbers", [record("live", 0)])
          yield* subject.until("live although degraded", 1000, () => subject.contents().has("live"))
          yield* subject.become("CaughtUp", 60_000)
          yield* subject.verify()
        }),
        { brokers: 2 }
      )
  )

  it.effect("row 12: or fails, saying how far it came", () =>
    onScript(
      Effect.gen(function* () {
        const { script } = yield* scriptedTopic()
        yield* write("numbers", keys(10))
        script.on("fetch", (_asks, next) => Effect.delay(next, 10_000))
        const error = yield* failureOfStart(2500, {
          catchUp: { mode: "await", timeout: "2 seconds", onTimeout: "fail" }
        })
        if (error._tag !== "CatchUpTimeout") return assert.fail(error._tag)
        assert.deepInclude(error, { waited: 2000, replayed: 0, target: 10 })
      })
    )
  )

  it.effect("row 12: a degraded table that loses its log is not seen empty while it is read again", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic({ partitions: 2 })
        yield* write("numbers", keys(10))
        yield* write("numbers", keys(10, "other-"), { partition: 1 })
        script.on(
          "fetch",
          fetched(({ partition }) => (partition === 1 ? refused(ErrorCode.REPLICA_NOT_AVAILABLE) : {}))
        )
        const subject = yield* observeNumbers({ table: { catchUp: { mode: "await", timeout: "5 seconds" } } })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        assert.strictEqual(subject.contents().size, 10)
        const sizes = new Set<number>()
        const watching = yield* Effect.forkScoped(
          Effect.forever(
            Effect.andThen(
              Effect.sync(() => sizes.add(subject.contents().size)),
              Effect.yieldNow
            )
          )
        )
        yield* kafka.truncate("numbers", 0, 0)
        yield* write("numbers", keys(4))
        yield* subject.saw("Rebuilding", 10_000)
        // For several times as long as the catch-up may take: a rebuild has no time-out.
        yield* subject.pass(30_000)
        assert.strictEqual((yield* subject.table.status)._tag, "Rebuilding")
        script.clear("fetch")
        yield* subject.become("CaughtUp")
        yield* Fiber.interrupt(watching)
        assert.deepStrictEqual(
          [...sizes].sort((a, b) => a - b),
          [10, 14]
        )
        yield* subject.verify()
      })
    )
  )

  it.effect("row 27: a throttled load still ends at its time-out", () =>
    onScript(
      Effect.gen(function* () {
        const { script } = yield* scriptedTopic()
        yield* writeBatches(10, 10)
        script.on(
          "fetch",
          altered<"fetch">((answer) => ({ ...answer, throttle: 600_000 })),
          1
        )
        const subject = yield* observeNumbers({
          build: 5500,
          table: { fetch: { maxPartitionBytes: 200 }, catchUp: { mode: "await", timeout: "5 seconds" } }
        })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        assert.isAbove(subject.contents().size, 0)
        yield* subject.pass(60_000)
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded", "the broker's wish outlives the load")
        yield* subject.become("CaughtUp", 600_000)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 12: a catch-up time-out ends the start although a codec waits for its surroundings", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", ["a"])
        const there = yield* Deferred.make<void>()
        const topic = numbersDecodedBy((value) => Effect.as(Deferred.await(there), value))
        const subject = yield* observe(topic, {
          decoding: numberDecoding,
          build: 11_000,
          table: { catchUp: { mode: "await", timeout: "5 seconds" } }
        })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        yield* Deferred.succeed(there, undefined)
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      })
    )
  )
})

describe("a load whose codec waits", () => {
  it.effect("row 12: is said to be decoding, and not to be short of time, when it fails for that", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", keys(3))
        const topic = numbersDecodedBy(() => Effect.never)
        const start = KafkaTable.make(topic, { catchUp: { mode: "await", timeout: "2 seconds", onTimeout: "fail" } })
        const error = yield* within("the failure", 4000, failureOf(Effect.scoped(start)))
        assert.strictEqual(error._tag, "CatchUpTimeout")
        assert.include(error.message, "3 of 3 offsets replayed; what was read is still being decoded")
      })
    )
  )
})

describe("reading again for older values", () => {
  it.effect("row 12: a catch-up time-out ends the start although reading again for older values gets no answer", () =>
    onScript(
      Effect.gen(function* () {
        const { script } = yield* scriptedTopic()
        yield* write("numbers", ["a"])
        yield* poison(["a"])
        script.on("fetch", (_asks, next) => next, 1)
        script.on("fetch", () => cut("Fetch"))
        const subject = yield* observeNumbers({
          build: 12_000,
          table: { catchUp: { mode: "await", timeout: "5 seconds" } }
        })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        script.clear("fetch")
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      })
    )
  )

  it.effect("row 26: an authorization revoked between a load and reading again fails the start", () =>
    onScript(
      Effect.gen(function* () {
        const { script } = yield* scriptedTopic()
        yield* write("numbers", ["a"])
        yield* poison(["a"])
        script.on("fetch", (_asks, next) => next, 1)
        script.on(
          "fetch",
          fetched(() => refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED))
        )
        const error = yield* failureOfStart(5000)
        assert.strictEqual(error._tag, "NotAuthorized")
      })
    )
  )

  it.effect("row 33: reading again for older values goes through elections and cut connections", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic()
        yield* write("numbers", keys(10))
        yield* poison(keys(10))
        let phase = 0
        script.on("fetch", (asks, next) =>
          Effect.suspend(() => {
            if (asks.partitions[0]!.fetchOffset !== 0 || ++phase === 1) return next
            // The second time from the start is the one beside the load.
            return phase === 2
              ? Effect.andThen(Effect.orDie(kafka.moveLeader("numbers", 0, 2)), next)
              : phase < 5
                ? cut("Fetch", 2)
                : next
          })
        )
        const subject = yield* observeNumbers({ build: 10_000 })
        assert.strictEqual(subject.contents().size, 10)
        assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )
})
