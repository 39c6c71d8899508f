/** What a table does about its checkpoint while it lives and when it ends, and what a store that fails does to it: nothing. */
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Logger, Option, Schema } from "effect"
import {
  CheckpointStore,
  Codec,
  GroupedKafkaTable,
  type KafkaClient,
  KafkaTable,
  KafkaTables,
  TableTopic
} from "effect-ktables"
import * as CheckpointFile from "../../src/internal/checkpoint/checkpointFile.ts"
import { RecordCursor } from "../../src/internal/records/batchReader.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"
import { observeNumbers, withTopic } from "../faults/fixtures.ts"
import { keys, memory, onCluster, write } from "../support/kafka.ts"
import { pass, until, within } from "../support/time.ts"
import { numbers } from "../table/fixtures.ts"
import { checkpointOf, type Files, observeKept } from "./fixtures.ts"
import { storeOf, survivorsOf } from "./recording.ts"

const SECOND = 1000

const kept = <A, E, R>(make: Effect.Effect<A, E, R>, files: Files = new Map()) =>
  Effect.provide(make, Layer.fresh(CheckpointStore.layerMemory(files)))

type Open = CheckpointStore.Service["open"]

/** The store of a map, which opens otherwise. */
const storeOpening = (files: Files, change: (open: Open) => Open) =>
  Layer.effect(
    CheckpointStore.CheckpointStore,
    Effect.map(CheckpointStore.CheckpointStore, ({ open }) => ({ open: change(open) }))
  ).pipe(Layer.provide(CheckpointStore.layerMemory(files)), Layer.fresh)

/** The store of a map, in which some of what a checkpoint can be asked for is done otherwise. */
const storeThat = (
  files: Files,
  change: (checkpoint: CheckpointStore.Checkpoint) => Partial<CheckpointStore.Checkpoint>
) =>
  storeOpening(
    files,
    (open) => (name) => Effect.map(open(name), (checkpoint) => ({ ...checkpoint, ...change(checkpoint) }))
  )

/** What is logged while the logger is provided. */
const recordedLines = () => {
  const lines: Array<string> = []
  return { lines, logger: Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))]) }
}

const fails = Effect.fail(
  new CheckpointStore.CheckpointError({ checkpoint: "numbers", operation: "write", detail: "the disk is full" })
)

/** A table in the scope of its own effect, which is given the time that it needs. */
const living = <E, R>(
  use: (table: KafkaTable.KafkaTable<string, number>) => Effect.Effect<void, E, R>,
  store: Layer.Layer<CheckpointStore.CheckpointStore>,
  options: KafkaTable.Options = {}
) =>
  within(
    "a life of a table",
    120 * SECOND,
    Effect.scoped(Effect.flatMap(KafkaTable.make(numbers, { ...options, checkpoint: { every: SECOND } }), use)).pipe(
      Effect.provide(store)
    )
  )

const resumes = Effect.fnUntraced(function* (files: Files) {
  const after = yield* observeKept(files)
  assert.deepStrictEqual((yield* checkpointOf(after.table)).resumed, [0])
  yield* after.verify()
})

describe("a table with a checkpoint", () => {
  it.live("leaves one on disk, though it is closed as soon as it is made", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", keys(10))
        const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
        const table = KafkaTable.make(numbers, { checkpoint: {} })
        const life = Effect.scoped(Effect.flatMap(table, checkpointOf)).pipe(
          Effect.provide(CheckpointStore.layerFileSystem(folder))
        )
        assert.deepStrictEqual((yield* life).resumed, [])
        assert.deepStrictEqual((yield* life).resumed, [0])
      }).pipe(Effect.provide(NodeFileSystem.layer))
    )
  )

  it.effect("saves what was built again after its log had lost what was read", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        for (const key of keys(10)) yield* write("numbers", [key])
        const files: Files = new Map()
        const before = yield* observeKept(files)
        yield* kafka.truncate("numbers", 0, 5)
        yield* write("numbers", ["other"])
        yield* before.saw("Rebuilding")
        yield* before.become("CaughtUp")
        yield* before.verify()
        yield* resumes(files)
      })
    )
  )

  it.effect("goes on writing when its store takes writes again, and says meanwhile that it does not", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", keys(10))
        const files: Files = new Map()
        let isFull = false
        const store = storeThat(files, ({ write }) => ({ write: (...of) => (isFull ? fails : write(...of)) }))
        yield* living(
          (table) =>
            Effect.gen(function* () {
              const problem = Effect.map(checkpointOf(table), ({ problem }) => Option.getOrElse(problem, () => ""))
              isFull = true
              yield* write("numbers", ["late"])
              yield* until(
                "the problem",
                30 * SECOND,
                Effect.map(problem, (said) => said.includes("the disk is full"))
              )
              assert.isTrue(yield* table.has("late"))
              isFull = false
              yield* write("numbers", ["later"])
              yield* until(
                "no problem",
                30 * SECOND,
                Effect.map(problem, (said) => said === "")
              )
            }),
          store
        )
        yield* resumes(files)
      })
    )
  )

  for (const [what, change] of [
    ["cannot be opened", () => ({ size: fails })],
    ["takes nothing", () => ({ replacement: fails, write: () => fails })],
    ["dies", () => ({ size: Effect.die(new Error("no store")), replacement: Effect.die(new Error("no store")) })],
    ["never writes", () => ({ write: () => Effect.never, replacement: Effect.never })]
  ] as const) {
    it.effect(`is complete and live with a store that ${what}, and ends in bounded time`, () =>
      onCluster(
        Effect.gen(function* () {
          yield* withTopic()
          yield* write("numbers", keys(10))
          yield* living(
            (table) =>
              Effect.gen(function* () {
                assert.strictEqual((yield* table.status)._tag, "CaughtUp")
                yield* write("numbers", ["late"])
                yield* until("the change", 30 * SECOND, table.has("late"))
              }),
            storeThat(new Map(), change)
          )
        })
      )
    )
  }

  it.effect("starts without one that its store never reads, once the time to catch up is over", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", keys(10))
        yield* living(
          (table) =>
            Effect.gen(function* () {
              yield* until(
                "all",
                30 * SECOND,
                Effect.map(table.size, (size) => size === 10)
              )
              assert.match((yield* checkpointOf(table)).discarded[0]!.reason, /not read in time/)
            }),
          storeThat(new Map(), () => ({ size: Effect.never })),
          { catchUp: { mode: "await", timeout: 5 * SECOND } }
        )
      })
    )
  )

  it.effect("starts without one that its store does not read, also where nothing else ends the wait", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", keys(10))
        for (const [operation, change] of [
          ["open", () => () => Effect.never],
          ["read", (open: Open) => (name: string) => Effect.map(open(name), (of) => ({ ...of, size: Effect.never }))],
          [
            "read",
            (open: Open) => (name: string) => Effect.map(open(name), (of) => ({ ...of, read: () => Effect.never }))
          ]
        ] as ReadonlyArray<readonly [string, (open: Open) => Open]>) {
          const { lines, logger } = recordedLines()
          yield* living(
            (table) =>
              Effect.gen(function* () {
                yield* until(
                  "all",
                  20 * SECOND,
                  Effect.map(table.size, (size) => size === 10)
                )
                const { discarded, resumed } = yield* checkpointOf(table)
                assert.deepStrictEqual(resumed, [])
                const said = new RegExp(`${operation}: the store did not answer within 10 seconds`)
                assert.match(discarded[0]!.reason, said)
                assert.match(lines.join("\n"), said)
              }),
            storeOpening(new Map([["numbers", new Uint8Array(8)]]), change),
            { catchUp: { mode: "background" } }
          ).pipe(Effect.provide(logger))
        }
      })
    )
  )

  it.effect(
    "writes its base once its store takes it, with what was read meanwhile, and says until then that it does not",
    () =>
      onCluster(
        Effect.gen(function* () {
          yield* withTopic()
          yield* write("numbers", keys(10))
          const files: Files = new Map()
          let isFull = true
          const { lines, logger } = recordedLines()
          yield* living(
            (table) =>
              Effect.gen(function* () {
                const problem = Effect.map(checkpointOf(table), ({ problem }) => Option.getOrElse(problem, () => ""))
                yield* write("numbers", ["late", ["k3", null]])
                yield* until(
                  "the problem",
                  30 * SECOND,
                  Effect.map(problem, (said) => said.includes("the disk is full"))
                )
                yield* pass(10 * SECOND, Effect.void, SECOND)
                assert.strictEqual(files.size, 0)
                isFull = false
                yield* until(
                  "no problem",
                  30 * SECOND,
                  Effect.map(problem, (said) => said === "")
                )
                yield* write("numbers", ["last"])
                yield* until("the last", 30 * SECOND, table.has("last"))
              }),
            storeThat(files, ({ replacement }) => ({
              replacement: Effect.suspend(() => (isFull ? fails : replacement))
            }))
          ).pipe(Effect.provide(logger))
          assert.strictEqual(lines.filter((line) => line.includes("the disk is full")).length, 1)
          yield* resumes(files)
        })
      )
  )

  it.effect("says that its store does not answer to what it writes", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", keys(10))
        const { lines, logger } = recordedLines()
        yield* living(
          (table) =>
            Effect.gen(function* () {
              yield* pass(40 * SECOND, Effect.void, SECOND)
              assert.match(Option.getOrThrow((yield* checkpointOf(table)).problem), /not answered for 30 seconds/)
              assert.match(lines.join("\n"), /not answered for 30 seconds/)
            }),
          storeThat(new Map(), () => ({ replacement: Effect.never }))
        ).pipe(Effect.provide(logger))
      })
    )
  )

  it.effect("writes none that another one writes, and starts from it", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", keys(10))
        const store = CheckpointStore.layerMemory(new Map())
        yield* Effect.gen(function* () {
          const making = within("a table", 30 * SECOND, KafkaTable.make(numbers, { checkpoint: { every: SECOND } }))
          const first = yield* making
          yield* until(
            "a save",
            30 * SECOND,
            Effect.map(checkpointOf(first), ({ savedAt }) => Option.isSome(savedAt))
          )
          yield* write("numbers", ["late"])
          const second = yield* making
          assert.deepStrictEqual((yield* checkpointOf(second)).resumed, [0])
          const problem = Effect.map(checkpointOf(second), ({ problem }) => Option.getOrElse(problem, () => ""))
          yield* until(
            "the refusal",
            30 * SECOND,
            Effect.map(problem, (said) => said.includes("another table"))
          )
          yield* until("the change", 30 * SECOND, second.has("late"))
        }).pipe(Effect.scoped, Effect.provide(store))
      })
    )
  )

  for (const [what, options, topic] of [
    ["under read_uncommitted", { isolation: "read_uncommitted" }, numbers],
    [
      "of keys for which different bytes may be one",
      {},
      TableTopic.make({ name: "numbers", key: Schema.NumberFromString, value: Schema.Int })
    ]
  ] as ReadonlyArray<readonly [string, KafkaTable.Options, TableTopic.TableTopic<unknown, number>]>) {
    it.effect(`gets none ${what}, which its health says`, () =>
      onCluster(
        Effect.gen(function* () {
          yield* withTopic()
          yield* write("numbers", ["1", "2"])
          const files: Files = new Map()
          const table = yield* kept(
            within("a table", 30 * SECOND, KafkaTable.make(topic, { ...options, checkpoint: {} })),
            files
          )
          assert.isTrue(Option.isSome((yield* checkpointOf(table)).problem))
          assert.strictEqual(files.size, 0)
        })
      )
    )
  }

  it.effect("gets none of keys outside their partitions, also if these turn up after it was saved", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic({ partitions: 2 })
        const [here, there] = [0, 1].map((p) => keys(50).filter((key) => javaPartitioner(Buffer.from(key), 2) === p))
        yield* write("numbers", here!, { partition: 0 })
        yield* write("numbers", [there![0]!, [there![0]!, null]], { partition: 1 })
        const files: Files = new Map()
        const before = yield* observeKept(files)
        yield* before.pass(2 * SECOND)
        yield* before.close
        assert.strictEqual(files.size, 1)
        // What was deleted in its own partition is written in another: only a whole load knows that it stays deleted.
        yield* write("numbers", [there![0]!], { partition: 0 })
        const after = yield* observeNumbers({ checkpoints: files, alsoAllowed: () => new Map() })
        assert.isFalse(after.contents().has(there![0]!))
        const { problem, resumed } = yield* checkpointOf(after.table)
        assert.deepStrictEqual(resumed, [])
        assert.match(Option.getOrThrow(problem), /outside their partitions/)
        assert.strictEqual(files.size, 0)
        yield* after.close
      })
    )
  )

  it.effect("is read whole where a key outside its partition has become part of the base", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic({ partitions: 2 })
        const [here, there] = [0, 1].map((p) => keys(50).filter((key) => javaPartitioner(Buffer.from(key), 2) === p))
        yield* write("numbers", here!, { partition: 0 })
        const files: Files = new Map()
        const before = yield* observeKept(files)
        yield* before.agrees()
        yield* before.close
        // As a merge leaves it, where the record was followed live.
        yield* write("numbers", [there![0]!], { partition: 0 })
        const records = encodeBatch([
          { offsetDelta: here!.length, timestamp: 0, key: Buffer.from(there![0]!), value: Buffer.from("1") }
        ])
        yield* Effect.scoped(
          Effect.gen(function* () {
            const file = yield* CheckpointFile.open(storeOf(files), "numbers")
            const saved = (yield* file.read).saved!
            const survivors = survivorsOf(saved)
            const cursor = new RecordCursor({ records, fromOffset: 0, abortedTransactions: [] })
            survivors[0]!.take(cursor, Number.POSITIVE_INFINITY)
            const marks = saved.marks.map((mark) =>
              mark.partition === 0 ? { ...mark, position: mark.position + 1 } : mark
            )
            yield* file.rewrite(saved.identity, survivors, { savedAt: saved.savedAt, marks })
          })
        )
        // Its own partition gets a record while nobody reads.
        yield* write("numbers", [there![0]!], { partition: 1 })
        const after = yield* observeKept(files)
        assert.strictEqual((yield* after.table.health).stats.entries, here!.length + 1)
        assert.deepStrictEqual((yield* checkpointOf(after.table)).resumed, [])
        yield* after.verify()
      })
    )
  )

  it.effect("ends it when partitions are added", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", keys(10))
        const files: Files = new Map()
        const before = yield* observeKept(files)
        yield* kafka.addPartitions("numbers", 2)
        yield* before.agrees()
        assert.match(Option.getOrThrow((yield* checkpointOf(before.table)).problem), /partitions were added/)
        yield* before.verify()
        const after = yield* observeKept(files)
        assert.deepStrictEqual((yield* checkpointOf(after.table)).resumed, [])
        yield* after.verify()
      })
    )
  )

  it.effect("of groups goes on from its checkpoint, and so do tables by name", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        const hosts = TableTopic.grouped({
          name: "hosts",
          group: Schema.String,
          member: Schema.String,
          value: Schema.Finite
        })
        for (const name of ["hosts", "prices.eu"]) yield* kafka.createTopic(name)
        yield* kafka.append("hosts", [{ key: "1:ab", value: "1" }])
        yield* kafka.append("prices.eu", [{ key: "apple", value: "2" }])
        const life = Effect.gen(function* () {
          const grouped = yield* GroupedKafkaTable.make(hosts, { checkpoint: {} })
          const tables = yield* KafkaTables.make(
            (region: string) => TableTopic.make({ name: `prices.${region}`, key: Codec.string, value: Schema.Finite }),
            { checkpoint: { every: "1 second" } }
          )
          const prices = yield* tables.get("eu")
          assert.strictEqual(yield* grouped.memberCount("a"), 1)
          assert.strictEqual(prices.view.get("apple"), 2)
          return [yield* checkpointOf(grouped), yield* checkpointOf(prices)].map(({ resumed }) => resumed)
        })
        const files: Files = new Map()
        const once = within("a life", 30 * SECOND, kept(Effect.scoped(life), files))
        assert.deepStrictEqual(yield* once, [[], []])
        assert.sameMembers([...files.keys()], ["hosts", "prices.eu"])
        assert.deepStrictEqual(yield* once, [[0], [0]])
        // @ts-expect-error Tables of several topics would share what has one name.
        void KafkaTables.make(() => numbers, { checkpoint: { name: "all" } })
      })
    )
  )

  it("needs a store by its type, and one without the option does not", () => {
    type Needed<A> = A extends Effect.Effect<unknown, unknown, infer R> ? R : never
    const without = KafkaTable.make(numbers, { headers: true })
    const withOne = KafkaTable.make(numbers, { checkpoint: { every: "1 second" } })
    const isNeeded: CheckpointStore.CheckpointStore extends Needed<typeof withOne> ? true : false = true
    const isNotNeeded: CheckpointStore.CheckpointStore extends Needed<typeof without> ? false : true = true
    class Numbers extends KafkaTable.Service<Numbers>()("test/Numbers", numbers) {}
    const kept: Layer.Layer<Numbers, KafkaTable.StartError, KafkaClient.KafkaClient | CheckpointStore.CheckpointStore> =
      Numbers.layerWith({ checkpoint: {} })
    const plain: Layer.Layer<Numbers, KafkaTable.StartError, KafkaClient.KafkaClient> = Numbers.layerWith({})
    assert.isTrue(isNeeded && isNotNeeded && Layer.isLayer(kept) && Layer.isLayer(plain))
  })
})
