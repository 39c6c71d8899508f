/** Tombstones that expire before they are read, in every way: no deleted key stays in a table that says it is caught up. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Logger } from "effect"
import { KafkaClient, type KafkaTable } from "effect-ktables"
import type * as MemoryKafka from "effect-ktables/MemoryKafka"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { keys, memory, onCluster, write } from "../support/kafka.ts"
import { onScript } from "../support/script.ts"
import { requestsWhile } from "../support/subject.ts"
import { cut, observeNumbers, scriptedTopic, withTopic, writeBatches } from "./fixtures.ts"

const MINUTE = 60_000

const keeping = (millis: number, partitions = 1): MemoryKafka.TopicOptions => ({
  partitions,
  config: { "delete.retention.ms": String(millis) }
})

/** An answer of a leader that knows of nothing new. */
const nothingNew = (end: number): KafkaClient.FetchAnswer => ({
  throttle: 0,
  errorCode: 0,
  partitions: [
    {
      partition: 0,
      errorCode: 0,
      highWatermark: end,
      lastStableOffset: end,
      logStartOffset: 0,
      diverging: undefined,
      currentLeader: undefined,
      preferredReadReplica: -1,
      abortedTransactions: [],
      records: Buffer.alloc(0)
    }
  ],
  version: 17
})

/** Cut off for `away` milliseconds, in which `k1` is deleted and its tombstone expires. */
const missTombstone = Effect.fnUntraced(function* (
  kafka: MemoryKafka.Service,
  subject: { readonly pass: (millis: number) => Effect.Effect<void> },
  away: number
) {
  yield* kafka.disconnect()
  yield* subject.pass(away / 2)
  yield* write("numbers", [["k1", null], "k2"])
  yield* kafka.compact("numbers", { dropTombstones: true })
  yield* subject.pass(away / 2)
  yield* kafka.reconnect()
})

/** A deletion that was missed while the table could not read is found by reading the topic again. */
const rebuildsAfter = (
  title: string,
  away: number,
  options: {
    readonly topic?: MemoryKafka.TopicOptions
    readonly table?: KafkaTable.Options
    readonly before?: Effect.Effect<unknown, unknown, MemoryKafka.MemoryKafka>
    readonly live?: Effect.Effect<unknown, unknown, KafkaClient.KafkaClient | MemoryKafka.MemoryKafka>
  }
): void =>
  it.effect(title, () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic(options.topic)
        yield* Effect.orDie(options.before ?? Effect.void)
        yield* write("numbers", keys(10))
        const subject = yield* observeNumbers({ table: options.table })
        yield* Effect.orDie(options.live ?? Effect.void)
        yield* subject.pass(31_000)
        yield* missTombstone(kafka, subject, away)
        const { reason } = yield* subject.saw("Rebuilding", 30_000)
        assert.strictEqual(reason._tag, "DataLoss")
        yield* subject.become("CaughtUp")
        assert.isFalse(subject.contents().has("k1"))
        yield* subject.verify()
      })
    )
  )

const lowerRetention = Effect.gen(function* () {
  const client = yield* KafkaClient.KafkaClient
  yield* client.alterConfig("numbers", { "delete.retention.ms": String(MINUTE) })
})

const denyConfig = Effect.flatMap(memory, (kafka) =>
  kafka.fail({ request: "describeConfig" }, ErrorCode.TOPIC_AUTHORIZATION_FAILED, { times: Infinity })
)

describe("a tombstone that expires while a table cannot read", () => {
  rebuildsAfter("is found without ensureTopic", 2 * MINUTE, {
    topic: keeping(MINUTE),
    table: { ensureTopic: false }
  })

  rebuildsAfter("is found where a policy is ignored", 2 * MINUTE, {
    topic: keeping(MINUTE),
    table: { ensureTopic: { onPolicyMismatch: "ignore" } }
  })

  rebuildsAfter("is found where the retention may not be read, and no option gives it", 2 * MINUTE, {
    topic: keeping(MINUTE),
    before: denyConfig
  })

  rebuildsAfter("is found where the retention was lowered while the table was live", 2 * MINUTE, {
    topic: keeping(24 * 60 * MINUTE),
    live: lowerRetention
  })

  rebuildsAfter("is found where the retention was read once, and may not be read any more", 15_000, {
    topic: keeping(10_000),
    live: denyConfig
  })

  rebuildsAfter("is found where it may not be read any more, though an option gives a longer one", 15_000, {
    topic: keeping(10_000),
    table: { deleteRetention: "1 day" },
    live: denyConfig
  })

  rebuildsAfter("is found when it was away for no longer than two long polls", 8000, { topic: keeping(6000) })

  it.effect("is found of a topic that the table created with a retention of its own", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        const subject = yield* observeNumbers({
          table: { ensureTopic: { config: { "delete.retention.ms": "60000" } } }
        })
        yield* write("numbers", keys(10))
        yield* subject.agrees()
        yield* missTombstone(kafka, subject, 2 * MINUTE)
        yield* subject.saw("Rebuilding", 30_000)
        yield* subject.become("CaughtUp")
        assert.isFalse(subject.contents().has("k1"))
        yield* subject.verify()
      })
    )
  )

  it.effect("costs nothing where an option says that the topic keeps it for longer", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* denyConfig
        yield* write("numbers", keys(10))
        const subject = yield* observeNumbers({ table: { deleteRetention: "1 day" } })
        yield* kafka.disconnect()
        yield* subject.pass(10 * MINUTE)
        yield* write("numbers", [["k1", null]])
        yield* kafka.reconnect()
        yield* subject.until("the deletion", 30_000, () => !subject.contents().has("k1"))
        assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
        yield* subject.verify()
      })
    )
  )

  it.effect("is found although the wall clock was set back meanwhile", () =>
    onCluster(
      Effect.gen(function* () {
        const clock = yield* Clock.Clock
        let shift = 0
        /** The wall clock is set, and the monotonic one goes on. */
        const shifted = { ...clock, currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + shift }
        yield* Effect.gen(function* () {
          const kafka = yield* withTopic(keeping(MINUTE))
          yield* write("numbers", keys(10))
          const subject = yield* observeNumbers()
          yield* kafka.disconnect()
          yield* subject.pass(MINUTE)
          shift = -60 * MINUTE
          yield* write("numbers", [["k1", null]])
          yield* kafka.compact("numbers", { dropTombstones: true })
          yield* subject.pass(MINUTE)
          yield* kafka.reconnect()
          yield* subject.saw("Rebuilding")
          yield* subject.become("CaughtUp")
          assert.isFalse(subject.contents().has("k1"))
        }).pipe(Effect.provideService(Clock.Clock, shifted))
      })
    )
  )

  it.effect(
    "is found although the monotonic clock stood still meanwhile, as it does while a machine is suspended",
    () =>
      onCluster(
        Effect.gen(function* () {
          const clock = yield* Clock.Clock
          let shift = 0
          const shifted = { ...clock, currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + shift }
          yield* Effect.gen(function* () {
            const kafka = yield* withTopic(keeping(MINUTE))
            yield* write("numbers", keys(10))
            const subject = yield* observeNumbers()
            yield* subject.pass(1000)
            yield* kafka.disconnect()
            shift = 2 * MINUTE
            yield* write("numbers", [["k1", null], "k2"])
            yield* kafka.compact("numbers", { dropTombstones: true })
            yield* subject.pass(1000)
            yield* kafka.reconnect()
            yield* subject.saw("Rebuilding")
            yield* subject.become("CaughtUp")
            assert.isFalse(subject.contents().has("k1"))
          }).pipe(Effect.provideService(Clock.Clock, shifted))
        })
      )
  )

  it.effect("is found where the last answer was a minute on its way: what it says is of when it was asked for", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic(keeping(2 * MINUTE))
        yield* write("numbers", keys(10))
        const subject = yield* observeNumbers()
        script.on(
          "fetch",
          (_asks, next) => Effect.flatMap(next, (answer) => Effect.as(Effect.sleep(MINUTE), answer)),
          1
        )
        yield* subject.pass(10_000)
        yield* write("numbers", [["k1", null], "k2"])
        yield* kafka.compact("numbers")
        yield* kafka.disconnect()
        // Within the retention of the moment at which the answer came, and behind that of the one at which it was asked for.
        yield* subject.pass(2 * MINUTE + 5000)
        yield* kafka.compact("numbers", { dropTombstones: true })
        yield* kafka.reconnect()
        yield* subject.saw("Rebuilding", 30_000)
        yield* subject.become("CaughtUp")
        assert.isFalse(subject.contents().has("k1"))
        yield* subject.verify()
      })
    )
  )
})

describe("how long a topic keeps tombstones", () => {
  it.effect("is asked for with the regular descriptions, not whenever a broker is back", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic(keeping(24 * 60 * MINUTE))
        yield* write("numbers", keys(10))
        const subject = yield* observeNumbers({ table: { metadataRefresh: "1 minute" } })
        const flaps = Effect.gen(function* () {
          for (let n = 0; n < 40; n++) {
            yield* kafka.disconnect()
            yield* subject.pass(500)
            yield* kafka.reconnect()
            yield* subject.pass(1000)
          }
        })
        const { of } = yield* requestsWhile(flaps)
        assert.isAtLeast(of("describeTopic"), 40, "each return is noticed by a description")
        assert.isAtMost(of("describeConfig"), 2)
        yield* subject.verify()
      })
    )
  )
})

describe("a tombstone that expires while a table loads", () => {
  it.effect("has a partition read again that took longer than it is kept, though answers kept coming", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic(keeping(10_000))
        yield* writeBatches(20, 1)
        script.on("fetch", (_asks, next) => Effect.delay(next, 1000), 20)
        const subject = yield* observeNumbers({
          table: { catchUp: { mode: "background" }, fetch: { maxPartitionBytes: 1 } }
        })
        yield* subject.until("a part of the load", 30_000, () => script.requests.fetch.length >= 3)
        // Deleted after it was read, and expired before the load has come to it.
        yield* write("numbers", [["0-0", null], "other"])
        yield* kafka.compact("numbers")
        yield* subject.pass(10_000)
        yield* kafka.compact("numbers", { dropTombstones: true })
        yield* subject.become("CaughtUp", 2 * MINUTE)
        assert.isFalse(subject.contents().has("0-0"))
        yield* subject.verify()
      })
    )
  )

  it.effect("is read in time in a partition that is complete while another broker is away", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic(keeping(MINUTE, 2))
        yield* write("numbers", keys(10), { partition: 0 })
        yield* write("numbers", keys(10, "other-"), { partition: 1 })
        yield* kafka.disconnect(2)
        const subject = yield* observeNumbers({ table: { catchUp: { mode: "background" } } })
        yield* subject.pass(90_000)
        yield* write("numbers", [["k1", null], "k2"], { partition: 0 })
        yield* subject.pass(MINUTE)
        yield* kafka.compact("numbers", { dropTombstones: true })
        yield* subject.pass(10_000)
        yield* kafka.reconnect(2)
        yield* subject.become("CaughtUp")
        assert.isFalse(subject.contents().has("k1"))
        assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )
})

describe("a tombstone that expires while a table follows", () => {
  it.effect("has the topic read again by a table that lags for longer than it is kept", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic(keeping(MINUTE))
        yield* write("numbers", keys(10))
        const subject = yield* observeNumbers({ table: { fetch: { maxPartitionBytes: 1 } } })
        script.on("fetch", (_asks, next) => Effect.delay(next, 5000), 20)
        yield* writeBatches(30, 1)
        yield* write("numbers", [["k1", null]])
        yield* write("numbers", ["k2"])
        yield* kafka.compact("numbers")
        yield* subject.pass(MINUTE)
        yield* kafka.compact("numbers", { dropTombstones: true })
        yield* subject.saw("Rebuilding", 3 * MINUTE)
        yield* subject.become("CaughtUp")
        assert.isFalse(subject.contents().has("k1"))
        yield* subject.verify()
      })
    )
  )

  it.effect("rebuilds no table that is read in time, for hours and through elections", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic(keeping(MINUTE))
        yield* write("numbers", keys(10))
        const subject = yield* observeNumbers()
        for (let i = 0; i < 40; i++) {
          yield* subject.pass(MINUTE, 500)
          yield* write("numbers", [`new-${i}`, [`k${i % 10}`, null]])
          if (i % 5 === 0) yield* kafka.moveLeader("numbers", 0, 1 + (i % 3))
        }
        yield* subject.agrees()
        assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect("is found by a table that an old leader kept telling that nothing is new", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic(keeping(MINUTE))
        yield* write("numbers", keys(10))
        const subject = yield* observeNumbers({ table: { metadataRefresh: "10 minutes" } })
        yield* subject.pass(20_000)
        // Cut off from its peers, the leader answers as before: to metadata nobody does, and to fetches with nothing.
        script.on("describeTopic", () => cut("Metadata"))
        script.on("fetch", (asks, _next) =>
          Effect.delay(Effect.succeed(nothingNew(asks.partitions[0]!.fetchOffset)), asks.maxWait)
        )
        yield* subject.pass(MINUTE)
        yield* write("numbers", [["k1", null], "k2"])
        yield* kafka.compact("numbers", { dropTombstones: true })
        yield* kafka.moveLeader("numbers", 0, 2)
        yield* subject.pass(MINUTE)
        script.clear("describeTopic")
        script.clear("fetch")
        yield* subject.saw("Rebuilding", 5 * MINUTE)
        yield* subject.become("CaughtUp")
        assert.isFalse(subject.contents().has("k1"))
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )
})

describe("tombstones and who is asked for them", () => {
  for (const [retention, isFollowed] of [
    [30_000, false],
    [2 * MINUTE, true]
  ] as const) {
    it.effect(
      `a follower is ${isFollowed ? "" : "not "}read from where they are kept for ${retention} ms, and its table is never read again`,
      () =>
        onScript(
          Effect.gen(function* () {
            const { script } = yield* scriptedTopic(keeping(retention))
            yield* write("numbers", keys(10))
            const subject = yield* observeNumbers({ table: { rack: "b" } })
            yield* subject.pass(20_000)
            script.requests.fetch.length = 0
            for (let i = 0; i < 10; i++) {
              yield* subject.pass(MINUTE, 500)
              yield* write("numbers", [`new-${i}`, [`k${i}`, null]])
            }
            yield* subject.agrees()
            const asked = new Set(script.requests.fetch.map(({ broker }) => broker))
            assert.deepStrictEqual([...asked], [isFollowed ? 2 : 1])
            assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
            yield* subject.verify()
          }),
          { brokers: 2, racks: ["a", "b"] }
        )
    )
  }

  for (const [what, version, isReadAgain] of [
    ["before Kafka 3.1, where they age in a transaction that is open,", 12, true],
    ["from Kafka 3.1 on", 17, false]
  ] as const) {
    it.effect(`${what} a transaction that outlasts them has the topic ${isReadAgain ? "" : "not "}read again`, () =>
      onScript(
        Effect.gen(function* () {
          const { kafka, script } = yield* scriptedTopic(keeping(MINUTE))
          script.on("fetch", (_asks, next) => Effect.map(next, (answer) => ({ ...answer, version })))
          yield* write("numbers", keys(10))
          const subject = yield* observeNumbers()
          const transaction = yield* kafka.beginTransaction()
          yield* transaction.append("numbers", [{ key: "k1", value: null }])
          yield* subject.pass(2 * MINUTE)
          assert.strictEqual((yield* subject.table.health).stats.rebuilds > 0, isReadAgain)
          yield* transaction.commit
          yield* subject.become("CaughtUp")
          yield* subject.agrees()
          assert.isFalse(subject.contents().has("k1"))
          yield* subject.verify()
        })
      )
    )
  }

  for (const [what, prepare, line] of [
    ["that brokers keep them for a second", Effect.void, "delete.retention.ms is 1000"],
    ["that nobody may know how long they are kept", denyConfig, "delete.retention.ms cannot be read"]
  ] as const) {
    it.effect(`${what} is said once, however many tables there are and however often they are read again`, () => {
      const lines: Array<string> = []
      const logger = Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])
      return onCluster(
        Effect.gen(function* () {
          const kafka = yield* withTopic(keeping(1000))
          yield* prepare
          yield* write("numbers", keys(10))
          const options = { isAlone: false, table: { ensureTopic: false } } as const
          const first = yield* observeNumbers(options)
          const second = yield* observeNumbers(options)
          for (let round = 1; round <= 3; round++) {
            yield* kafka.truncate("numbers", 0, 0)
            yield* write("numbers", keys(3))
            yield* first.pass(6000)
            yield* first.agrees()
            yield* second.agrees()
          }
          assert.isAtLeast((yield* first.table.health).stats.rebuilds, 3)
          assert.lengthOf(
            lines.filter((said) => said.includes(line)),
            1
          )
        })
      ).pipe(Effect.provide(logger))
    })
  }
})
