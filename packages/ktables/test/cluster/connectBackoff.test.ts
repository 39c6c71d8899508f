/** How often an address is connected to that does not answer: the rate must not grow with the number of tables. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Logger, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { FetchRequest } from "effect-ktables/KafkaClient"
import { makeProtocolClient } from "../../src/internal/cluster/protocolClient.ts"
import { backoff } from "../../src/internal/backoff.ts"
import { settle } from "../support/time.ts"
import { answering, type Door, type Handler, makeFakeCluster, metadataAnswer } from "./support/fakeCluster.ts"

const a = "a:1"
const b = "b:1"
const TABLES = 100

const settings = { requestTimeout: 30_000, connectTimeout: 10_000, versionCaps: {} }

const partitions = [{ partition: 0, errorCode: 0, leader: 2, leaderEpoch: 0 }]

/** Lists both brokers, and the topic where it is asked for. */
const lists: Handler = ({ body }) =>
  Effect.succeed(
    metadataAnswer({
      brokers: { 1: a, 2: b },
      ...(body.length < 8 ? {} : { topic: { name: "numbers", partitions } })
    })
  )
const dead: Handler = () => Effect.never

const fetchRequest: FetchRequest = {
  topic: "numbers",
  topicId: "00112233445566778899aabbccddeeff",
  isolation: "read_committed",
  maxWait: 500,
  minBytes: 1,
  maxBytes: 1 << 20,
  rack: undefined,
  partitions: [{ partition: 0, fetchOffset: 0, currentLeaderEpoch: 0, lastFetchedEpoch: -1, maxBytes: 1 << 20 }]
}

const listRequest = { topic: "numbers", at: "latest", isolation: "read_committed", partitions: [] } as const

/** A client of a cluster whose broker 1 answers questions about brokers, and whose broker 2 is behind `door`. */
const setUp = Effect.fnUntraced(function* (door: Door) {
  const cluster = makeFakeCluster([a], { [a]: answering({ Metadata: lists }), [b]: door })
  const client = yield* makeProtocolClient(cluster.transport, settings)
  yield* client.describeTopic("numbers")
  const attempts = () => cluster.attempts.filter((address) => address === b).length
  /** Fetches from broker 2 as a table does: over a fetcher of its own, after a back-off of its own. */
  const table = Effect.gen(function* () {
    for (let failures = 1; ; failures++) {
      yield* Effect.exit(Effect.scoped(Effect.flatMap(client.openFetcher(2), ({ fetch }) => fetch(fetchRequest))))
      yield* backoff(failures)
    }
  })
  return { attempts, client, cluster, table }
})

describe("connecting to a broker that is away", () => {
  it.effect("a hundred tables and a dead broker make a bounded number of attempts, one at a time", () =>
    Effect.gen(function* () {
      const { attempts, table } = yield* setUp("refused")
      for (let i = 0; i < TABLES; i++) yield* Effect.forkScoped(table)
      yield* TestClock.adjust("10 seconds")
      assert.isAtLeast(attempts(), 10)
      assert.isAtMost(attempts(), 25)
      const before = attempts()
      yield* TestClock.adjust("1 minute")
      assert.isAtLeast(attempts() - before, 55)
      assert.isAtMost(attempts() - before, 125)
    }).pipe(Effect.scoped)
  )

  it.effect("when it is back, everybody who waited is connected by the next attempt", () =>
    Effect.gen(function* () {
      const { attempts, cluster, table } = yield* setUp("refused")
      for (let i = 0; i < TABLES; i++) yield* Effect.forkScoped(table)
      yield* TestClock.adjust("10 seconds")
      cluster.doors.set(b, dead)
      const before = attempts()
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(cluster.open().filter((address) => address === b).length, TABLES)
      assert.isAtMost(attempts() - before, TABLES)
    }).pipe(Effect.scoped)
  )

  it.effect("connections that are lost together are replaced after one attempt that succeeds", () =>
    Effect.gen(function* () {
      const { attempts, cluster, table } = yield* setUp(dead)
      for (let i = 0; i < TABLES; i++) yield* Effect.forkScoped(table)
      yield* TestClock.adjust("1 second")
      cluster.doors.set(b, "refused")
      const before = attempts()
      cluster.cut(b)
      yield* TestClock.adjust("1 second")
      assert.isAtMost(attempts() - before, 10)
      cluster.doors.set(b, dead)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(cluster.open().filter((address) => address === b).length, TABLES)
    }).pipe(Effect.scoped)
  )

  it.effect("who makes the attempt may give up: another of those who wait for it goes on", () =>
    Effect.gen(function* () {
      const { client, cluster } = yield* setUp("silent")
      const fetching = (scope: Scope.Scope) =>
        Effect.flatMap(Scope.provide(client.openFetcher(2), scope), ({ fetch }) => fetch(fetchRequest))
      const scope = yield* Scope.make()
      yield* Effect.forkChild(fetching(scope), { startImmediately: true })
      const other = yield* Effect.forkChild(Effect.exit(fetching(yield* Effect.scope)), { startImmediately: true })
      cluster.doors.set(b, dead)
      yield* Scope.close(scope, Exit.void)
      yield* settle
      assert.include(cluster.open(), b)
      yield* Fiber.interrupt(other)
    }).pipe(Effect.scoped)
  )

  it.effect("other brokers are asked meanwhile, without waiting for it", () =>
    Effect.gen(function* () {
      const { client, cluster } = yield* setUp("refused")
      cluster.doors.set(a, "refused")
      cluster.cut(a)
      yield* Effect.flip(client.describeTopic("numbers"))
      cluster.doors.set(b, answering({ Metadata: lists }))
      yield* TestClock.adjust("2 seconds")
      yield* client.describeTopic("numbers")
      // Another failure of the first address has it rest, which holds up nobody.
      yield* Effect.forkChild(Effect.exit(client.listOffsets(1, listRequest)), { startImmediately: true })
      yield* client.describeTopic("numbers")
      cluster.cut(b)
      yield* client.describeTopic("numbers")
    }).pipe(Effect.scoped)
  )

  it.effect("a silent advertised address is named in the log within three seconds, once", () => {
    const lines: Array<string> = []
    return Effect.gen(function* () {
      const { cluster, table } = yield* setUp("mute")
      for (let i = 0; i < TABLES; i++) yield* Effect.forkScoped(table)
      yield* TestClock.adjust("3 seconds")
      assert.lengthOf(lines, 1)
      assert.include(lines[0], `${b}: it accepted the connection and has not answered for 3 s`)
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(lines, 1)
      // Once it has answered, its next silence is news again.
      cluster.doors.set(b, dead)
      yield* TestClock.adjust("30 seconds")
      assert.include(cluster.open(), b)
    }).pipe(
      Effect.scoped,
      Effect.provide(Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))]))
    )
  })
})
