import { TestKafka } from "@effect-ktables/testing"
import { NodeFileSystem } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import type { CellInputs, CellName } from "../../src/harness/cells.ts"
import { runCell } from "../../src/harness/runCell.ts"
import { createCompacted, filledTopic, remove, topicName } from "../../src/topics/provision.ts"
import type { Source } from "../../src/topics/source.ts"

const run = <Name extends CellName>(cell: Name, input: CellInputs[Name]) => runCell(cell, input, { profile: undefined })

const log = { distribution: "rounds", records: 2_000, keys: 200 } as const

layer(TestKafka.layer, { timeout: "5 minutes" })("the cells of the suite", (it) => {
  const emptySource = Effect.fnUntraced(function* (name: string) {
    const { brokers } = yield* TestKafka.TestKafka
    const topic = `bench-cells-${name}-${process.pid}`
    yield* Effect.acquireRelease(
      Effect.promise(() => createCompacted(brokers, topic, 1)),
      () => Effect.promise(() => remove(brokers, topic))
    )
    const source: Source = { client: "kafkajs", brokers, topic }
    return source
  })

  it.effect("replay a log into a table with all of its keys, on a broker and on the embedded Kafka", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const { topic } = yield* Effect.promise(() => filledTopic(brokers, log, 2))
      const sources: ReadonlyArray<Source> = [
        { client: "kafkajs", brokers, topic },
        { client: "platformatic", brokers, topic },
        { client: "memory", partitions: 2, log }
      ]
      for (const source of sources) {
        for (const decode of ["raw", "json", "schema", "schema-jit"] as const) {
          const [row] = yield* run("catchUp", { source, topic: topicName(log, 2), keys: 200, decode })
          assert.strictEqual(row?.keys, 200)
          assert.strictEqual(row?.records, 2_000)
          assert.strictEqual(row?.decode, decode)
        }
      }
    })
  )

  it.effect("follow a topic with a checkpoint and without, and start again from what was kept", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const { topic } = yield* Effect.promise(() => filledTopic(brokers, log, 2))
      const source: Source = { client: "kafkajs", brokers, topic }
      for (const isKept of [false, true]) {
        const rows = yield* run("checkpoint", { source, isKept, perSecond: 0, seconds: 0.2 })
        assert.strictEqual(rows.length, 3)
        assert.strictEqual((rows[0]?.mib ?? 0) > 0, isKept)
        assert.isAbove(rows[0]?.cpuMs ?? 0, 0)
        assert.isAbove(rows[2]?.cpuPercent ?? 0, 0)
      }
      const directory = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      const input = { source, topic, keys: 200, decode: "raw", link: "", directory } as const
      yield* run("restart", { ...input, leaves: true })
      const [row] = yield* run("restart", { ...input, leaves: false })
      assert.strictEqual(row?.records, 0)
      assert.isAtLeast(row?.iteratedMs ?? 0, row?.ms ?? 0)
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
  )

  it.effect("fail where the table does not hold what it should", () =>
    Effect.gen(function* () {
      const source: Source = { client: "memory", partitions: 2, log }
      const failure = yield* Effect.flip(run("catchUp", { source, topic: "log", keys: 201, decode: "raw" }))
      assert.include(failure.message, "log holds 201 keys, the table 200")
    })
  )

  it.effect("time first and later tables on an empty topic", () =>
    Effect.gen(function* () {
      const source = yield* emptySource("cold")
      const rows = yield* run("cold", { source, ensureTopic: "create", later: 2 })
      assert.deepStrictEqual(
        rows.map(({ detail }) => detail),
        ["first, ensureTopic create", "later, ensureTopic create", "later, ensureTopic create"]
      )
      assert.isTrue(rows.every(({ ms }) => ms !== undefined && ms > 0))
    })
  )

  it.effect("time writes until they show, in a closed and in an open loop", () =>
    Effect.gen(function* () {
      const source = yield* emptySource("propagation")
      const [closed] = yield* run("propagation", { source, loop: "closed", warmup: 5, count: 20 })
      const [open] = yield* run("propagation", { source, loop: "open", perSecond: 100, seconds: 0.3 })
      for (const row of [closed, open]) {
        assert.isAbove(row?.p50 ?? 0, 0)
        assert.isAtLeast(row?.p99 ?? 0, row?.p50 ?? 0)
      }
    })
  )

  it.effect("time barriers and writes", () =>
    Effect.gen(function* () {
      const source = yield* emptySource("barrier")
      for (const what of ["idle barrier", "barrier beside writers", "own write and awaitOffset"] as const) {
        const [row] = yield* run("barrier", { source, what, warmup: 2, count: 10 })
        assert.isAbove(row?.p50 ?? 0, 0)
      }
      const [written] = yield* run("write", { source, inFlight: 8, seconds: 0.3 })
      assert.isAbove(written?.records ?? 0, 0)
    })
  )

  it.effect("find idle tables at rest", () =>
    Effect.gen(function* () {
      const source = yield* emptySource("idle")
      // Longer than one long poll, at whose end an idle table asks again.
      const [row] = yield* run("idle", { source, tables: 2, seconds: 6 })
      assert.isBelow(row?.requestsPerSecond ?? 1_000, 20)
    })
  )

  it.effect("time reads, weigh contents and count subscribers without a broker", () =>
    Effect.gen(function* () {
      const reads = yield* run("reads", { size: 500, rounds: 3 })
      assert.isTrue(reads.every(({ nsPerOp }) => nsPerOp !== undefined && nsPerOp > 0))
      const unique = { distribution: "unique", records: 5_000, keys: 5_000 } as const
      const source: Source = { client: "memory", partitions: 1, log: unique }
      const [weighed] = yield* run("memory", { source, topic: "log", log: unique, decode: "schema" })
      assert.isAbove(weighed?.bytesPerKey ?? 0, 100)
      assert.isAbove(weighed?.dataBytesPerKey ?? 0, 180)
      const [heard] = yield* run("fanOut", { subscribers: 3, watchers: 2, stuck: true, keys: 100, updates: 1_000 })
      assert.strictEqual(heard?.records, 1_000)
    })
  )
})
