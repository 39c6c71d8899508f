/** When a table goes on from its checkpoint, and when it reads its topic from the start: each rule by itself. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { CheckpointStore, KafkaClient, KafkaError, KafkaTable } from "effect-ktables"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"
import { poison, scriptedTopic, transact, withTopic } from "../faults/fixtures.ts"
import { keys, onCluster, write } from "../support/kafka.ts"
import { onScript } from "../support/script.ts"
import type { SubjectOptions } from "../support/subject.ts"
import { pass, within } from "../support/time.ts"
import { numbers } from "../table/fixtures.ts"
import { checkpointOf, type Files, observeKept } from "./fixtures.ts"

const SECOND = 1000
const MINUTE = 60 * SECOND

type Given = Omit<SubjectOptions<string, number>, "decoding">

/** A table is filled, agrees with its log, and is closed; what is there then. */
const left = Effect.fnUntraced(function* (given?: Given) {
  const files: Files = new Map()
  const before = yield* observeKept(files, given)
  yield* before.agrees()
  yield* before.close
  return files
})

/** A table that starts with what was left. */
const started = Effect.fnUntraced(function* (files: Files, given?: Given) {
  const subject = yield* observeKept(files, given)
  const { discarded, resumed } = yield* checkpointOf(subject.table)
  return { subject, resumed, reasons: discarded.map(({ reason }) => reason) }
})

/** It reads everything, for a reason, and is as good as any other; what it leaves is of use again. */
const readsAll = Effect.fnUntraced(function* (files: Files, reason: RegExp, given?: Given) {
  const { reasons, resumed, subject } = yield* started(files, given)
  assert.deepStrictEqual(resumed, [])
  assert.match(reasons.join("; "), reason)
  yield* subject.verify()
  const again = yield* started(files, given)
  assert.isAbove(again.resumed.length, 0)
  yield* again.subject.verify()
})

const goesOn = Effect.fnUntraced(function* (files: Files, given?: Given) {
  const { reasons, resumed, subject } = yield* started(files, given)
  assert.deepStrictEqual({ reasons, resumed }, { reasons: [], resumed: [0] })
  yield* subject.verify()
})

/** Ten keys that belong to a partition. */
const keysOf = (partition: number, partitions: number): ReadonlyArray<string> =>
  keys(100)
    .filter((key) => javaPartitioner(Buffer.from(key), partitions) === partition)
    .slice(0, 10)

const topicThatKeeps = (retention: number) => withTopic({ config: { "delete.retention.ms": String(retention) } })

describe("a start from a checkpoint", () => {
  it.effect("reads only what was written since, and counts nothing else", () =>
    onScript(
      Effect.gen(function* () {
        const { script } = yield* scriptedTopic()
        yield* write("numbers", keys(100))
        const files: Files = new Map()
        const before = yield* observeKept(files)
        yield* write("numbers", [...keys(10, "live"), ["k1", null]])
        yield* before.agrees()
        yield* before.close
        yield* write("numbers", [...keys(3), "new", ["k5", null]])
        script.requests.fetch.length = 0
        const { reasons, resumed, subject } = yield* started(files)
        assert.deepStrictEqual({ reasons, resumed }, { reasons: [], resumed: [0] })
        assert.strictEqual(script.requests.fetch[0]?.partitions[0]?.fetchOffset, 111)
        const { stats } = yield* subject.table.health
        assert.strictEqual(stats.records, 5)
        assert.strictEqual(Option.getOrThrow(stats.catchUp).replayed, 5)
        yield* subject.verify()
      })
    )
  )

  it.effect("goes on with what was saved before the process was killed", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", keys(10))
        const files: Files = new Map()
        const before = yield* observeKept(files)
        yield* write("numbers", ["saved"])
        yield* before.pass(2 * SECOND)
        const killed: Files = new Map(Array.from(files, ([name, bytes]) => [name, bytes.slice()]))
        yield* write("numbers", ["lost", ["saved", null]])
        yield* before.verify()
        yield* goesOn(killed)
      })
    )
  )

  it.effect("shows undecodable newest records to a codec that was repaired, and older values to one that was not", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", keys(5))
        yield* poison(["k1"])
        const files = yield* left()
        yield* poison(["k2"])
        yield* goesOn(files)
      })
    )
  )

  it.effect("takes what a transaction wrote that was open when it was saved", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", keys(3))
        const transaction = yield* kafka.beginTransaction()
        yield* transaction.append("numbers", [{ key: "open", value: "1" }])
        const files: Files = new Map()
        const before = yield* observeKept(files)
        yield* before.close
        yield* transact(kafka, [{ key: "aborted", value: "2" }], "abort")
        yield* transaction.commit
        yield* goesOn(files)
      })
    )
  )

  it.effect("takes out what lies below a log's start that moved meanwhile", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", keys(10))
        const files = yield* left()
        yield* kafka.deleteRecords("numbers", 0, 4)
        yield* goesOn(files)
      })
    )
  )

  it.effect("of a quiet table goes on after any time in which nothing was written", () =>
    onCluster(
      Effect.gen(function* () {
        yield* topicThatKeeps(MINUTE)
        yield* write("numbers", keys(10))
        const files = yield* left()
        yield* pass(60 * MINUTE, Effect.void, MINUTE)
        yield* goesOn(files)
      })
    )
  )

  it.effect("of a table that lived long without news reckons from when it was seen last", () =>
    onCluster(
      Effect.gen(function* () {
        yield* topicThatKeeps(MINUTE)
        yield* write("numbers", keys(10))
        const files: Files = new Map()
        const before = yield* observeKept(files, { isAlone: false })
        yield* before.pass(10 * MINUTE, SECOND)
        const killed: Files = new Map(Array.from(files, ([name, bytes]) => [name, bytes.slice()]))
        yield* before.close
        yield* pass(40 * SECOND, Effect.void, SECOND)
        yield* write("numbers", ["news"])
        yield* goesOn(killed)
      })
    )
  )

  it.effect("that is closed before it is known how long the topic keeps tombstones leaves what was proven", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", keys(5))
        const files = yield* left()
        yield* kafka.fail({ request: "describeConfig" }, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, { times: 1 })
        const brief = yield* observeKept(files, { table: { ensureTopic: false } })
        yield* brief.close
        yield* goesOn(files)
      })
    )
  )

  it.effect("of some partitions goes on in those that a table of others has in common with it", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic({ partitions: 3 })
        const of = [0, 1, 2].map((partition) => [...keysOf(partition, 3)])
        for (const [partition, keys] of of.entries()) yield* write("numbers", keys, { partition })
        const files: Files = new Map()
        const life = Effect.fnUntraced(function* (partitions: ReadonlyArray<number>) {
          const given = { checkpoint: {}, partitions }
          const making = KafkaTable.make(numbers, given).pipe(
            Effect.provide(Layer.fresh(CheckpointStore.layerMemory(files)))
          )
          const table = yield* within("a table", 30 * SECOND, making)
          const expected = partitions.flatMap((partition) => of[partition]!)
          assert.sameMembers([...table.view.keys()], expected)
          return (yield* checkpointOf(table)).resumed
        }, Effect.scoped)
        assert.deepStrictEqual(yield* life([0, 1]), [])
        // Of what is not read nothing is kept.
        yield* write("numbers", [[of[1]!.pop()!, null]], { partition: 1 })
        assert.deepStrictEqual(yield* life([1, 2]), [1])
        assert.deepStrictEqual(yield* life([1]), [1])
        assert.deepStrictEqual(yield* life([2]), [])
        assert.deepStrictEqual(yield* life([0, 1, 2]), [2])
        assert.deepStrictEqual(yield* life([2, 0, 1]), [0, 1, 2])
      })
    )
  )

  it.effect("is complete only once it is known how long the topic keeps tombstones", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* topicThatKeeps(60 * MINUTE)
        const client = yield* KafkaClient.KafkaClient
        yield* write("numbers", ["gone", ...keys(5)])
        const files = yield* left()
        yield* write("numbers", [["gone", null], "last"])
        yield* client.alterConfig("numbers", { "delete.retention.ms": "10000" })
        yield* kafka.compact("numbers")
        yield* pass(30 * SECOND, Effect.void, SECOND)
        yield* kafka.compact("numbers")
        yield* kafka.fail({ request: "describeConfig" }, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, { times: 1 })
        const subject = yield* observeKept(files, { table: { catchUp: { mode: "background" }, ensureTopic: false } })
        yield* subject.until("contents", MINUTE, () => subject.contents().size > 0)
        assert.isFalse(subject.contents().has("gone"))
        yield* subject.verify()
        assert.match(
          JSON.stringify((yield* checkpointOf(subject.table)).discarded),
          /deletions may have expired unread/
        )
      })
    )
  )
})

describe("a checkpoint is not used", () => {
  it.effect("where it was saved before it was known how long the topic keeps tombstones", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", keys(5))
        yield* kafka.fail({ request: "describeConfig" }, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, { times: 1 })
        const files: Files = new Map()
        const before = yield* observeKept(files, { table: { ensureTopic: false } })
        yield* before.close
        yield* readsAll(files, /it was not known of any partition/)
      })
    )
  )

  it.effect("where deletions may have expired unread", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* topicThatKeeps(MINUTE)
        yield* write("numbers", ["gone", ...keys(5)])
        const files = yield* left()
        yield* write("numbers", [["gone", null], "last"])
        yield* kafka.compact("numbers")
        yield* pass(2 * MINUTE, Effect.void, SECOND)
        yield* kafka.compact("numbers")
        yield* readsAll(files, /deletions may have expired unread/)
      })
    )
  )

  it.effect("where they may have, for all that may be known of a topic whose settings are refused", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* topicThatKeeps(60 * MINUTE)
        yield* write("numbers", ["gone", ...keys(5)])
        const files = yield* left()
        yield* write("numbers", [["gone", null], "last"])
        yield* pass(2 * MINUTE, Effect.void, SECOND)
        yield* kafka.fail({ request: "describeConfig" }, ErrorCode.TOPIC_AUTHORIZATION_FAILED, { times: 1000 })
        yield* readsAll(files, /deletions may have expired unread/, { table: { ensureTopic: false } })
      })
    )
  )

  it.effect("where the clock was set back", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* TestClock.setTime(60 * MINUTE)
        yield* write("numbers", keys(5))
        const files = yield* left()
        yield* TestClock.setTime(30 * MINUTE)
        yield* write("numbers", ["more"])
        yield* readsAll(files, /clock was set back/)
      })
    )
  )

  it.effect("of a log that lost what was read", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        for (const key of keys(10)) yield* write("numbers", [key])
        const files = yield* left()
        yield* kafka.truncate("numbers", 0, 5)
        yield* readsAll(files, /it ends at 10, and the log at 5/)
      })
    )
  )

  it.effect("of a log that lost what was read, and has grown past it", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        for (const key of keys(10)) yield* write("numbers", [key])
        const files = yield* left()
        yield* kafka.truncate("numbers", 0, 5)
        yield* write("numbers", keys(10, "other"))
        yield* readsAll(files, /of leader epoch \d+, which was read last, the log holds nothing after 5/)
      })
    )
  )

  it.effect("of a log that begins after it", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", keys(10))
        const files = yield* left()
        yield* write("numbers", keys(10))
        yield* kafka.deleteRecords("numbers", 0, 12)
        yield* readsAll(files, /the log begins at 12 now/)
      })
    )
  )

  it.effect("of a topic that was made again under its name", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", keys(10))
        const files = yield* left()
        yield* kafka.recreateTopic("numbers")
        yield* write("numbers", keys(12, "other"))
        yield* readsAll(files, /its topicId is/)
      })
    )
  )

  it.effect("where partitions were added", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", keys(10))
        const files = yield* left()
        yield* kafka.addPartitions("numbers", 2)
        const { reasons, subject } = yield* started(files)
        assert.match(reasons.join(), /its partitions is 1, and not 2/)
        yield* subject.verify()
      })
    )
  )

  it.effect("of a table that keeps headers, where it holds none", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", keys(10))
        const files = yield* left()
        yield* readsAll(files, /its headers is false/, { table: { headers: true } })
      })
    )
  )

  it.effect("where brokers cannot say where a leader epoch ends", () =>
    onScript(
      Effect.gen(function* () {
        const { script } = yield* scriptedTopic()
        yield* write("numbers", keys(10))
        const files = yield* left()
        script.on(
          "endOffsetForEpoch",
          () =>
            Effect.fail(
              new KafkaError.UnsupportedRequest({
                broker: "memory-1:9092",
                request: "OffsetForLeaderEpoch",
                detail: ""
              })
            ),
          1
        )
        yield* readsAll(files, /cannot say where the leader epoch ends/)
      })
    )
  )

  it.effect("in those partitions only of which that is so", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ partitions: 2 })
        const [first, second] = [keysOf(0, 2), keysOf(1, 2)]
        yield* write("numbers", first, { partition: 0 })
        yield* write("numbers", second, { partition: 1 })
        const files = yield* left()
        yield* kafka.truncate("numbers", 1, 1)
        yield* write("numbers", first.slice(0, 1), { partition: 0 })
        const { resumed, subject } = yield* started(files)
        assert.deepStrictEqual(resumed, [0])
        yield* subject.verify()
      })
    )
  )
})
