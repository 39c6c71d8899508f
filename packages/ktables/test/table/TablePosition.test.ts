/** How much of which logs a table has, and tables that carry it elsewhere. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, HashMap, Option, Schema, Stream } from "effect"
import { KafkaTable, KafkaTableWriter, Table, TablePosition, TableReplication, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"

type Part = readonly [offset: number, epoch?: number, epochAt?: number]

const at = (parts: ReadonlyArray<Part>, topicId: string | undefined = "a"): TablePosition.TablePosition => [
  {
    topic: "t",
    topicId,
    partitions: parts.map(([offset, epoch = -1, epochAt = 0], partition) => ({ partition, offset, epoch, epochAt }))
  }
]

describe("a position", () => {
  it("has another one, lacks some of it, or is of another log", () => {
    const cases: ReadonlyArray<
      readonly [TablePosition.Relation, TablePosition.TablePosition, TablePosition.TablePosition]
    > = [
      ["has", at([[3]]), at([[3]])],
      ["has", at([[3], [5]]), at([[2]])],
      ["lacks", at([[3]]), at([[2], [1]])],
      ["has", at([[3]]), at([[2], [0]])],
      ["lacks", at([[3], [9]]), at([[4], [0]])],
      ["differs", at([[3]]), at([[3]], "b")],
      ["has", at([[3]]), at([[3]], undefined)],
      ["differs", [], at([[0]])],
      ["has", [], []],
      ["lacks", at([]), at([[0]], "b")],
      // An election between them, of a leader that has all.
      ["has", at([[9, 2, 9]]), at([[5, 1, 5]])],
      ["lacks", at([[5, 1, 5]]), at([[9, 2, 9]])],
      // One that had less: what was read in the older epoch lies where the newer one is.
      ["differs", at([[4, 2, 4]]), at([[5, 1, 5]])],
      ["differs", at([[5, 1, 5]]), at([[4, 2, 4]])],
      ["differs", at([[9, 1, 5]]), at([[5, 2, 5]])],
      // Within an answer the epoch is that of an older batch.
      ["lacks", at([[4, 2, 4]]), at([[5, 1, 3]])]
    ]
    for (const [relation, self, that] of cases) {
      assert.strictEqual(TablePosition.relation(self, that), relation, JSON.stringify([self, that]))
    }
  })

  it("of several tables is what all of them have", () => {
    assert.deepStrictEqual(TablePosition.all([at([[3], [5]]), at([[4], [2], [1]])]), at([[3], [2]]))
    assert.deepStrictEqual(TablePosition.all([at([[3]]), at([[4]], "b")]), at([]))
    const other = at([[1]]).map((one) => ({ ...one, topic: "u" }))
    assert.deepStrictEqual(TablePosition.all([at([[3]]), other]), [...at([[3]]), ...other])
  })
})

const topic = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite, partitions: 2 })

describe("the position of a table", () => {
  it.live("is what its contents have, also of what is derived from it, and while it is read again", () =>
    Effect.gen(function* () {
      const kafka = yield* MemoryKafka.MemoryKafka
      const table = yield* KafkaTable.make(topic, { ensureTopic: { create: true } })
      const writer = yield* KafkaTableWriter.make(topic)
      const gross = yield* Table.map(table, (price) => 2 * price)
      const both = yield* Table.join(table, gross, (a, b) => a + b)
      const acks = yield* writer.setAll([["a", 1], ["b", 2], ["c", 3], ["d", 4]]) // prettier-ignore
      yield* table.barrier()
      yield* Effect.yieldNow
      const read = Table.position(table)
      const counts = [0, 1].map((partition) => acks.filter((ack) => ack.partition === partition).length)
      assert.deepStrictEqual(
        read[0]!.partitions.map(({ offset }) => offset),
        counts
      )
      assert.strictEqual(read[0]!.topicId, acks[0]!.topicId)
      assert.deepStrictEqual(Table.position(both), read)

      // The log is cut, and the table is read again: what it shows meanwhile is what it had.
      yield* kafka.deleteTopic("prices")
      yield* kafka.createTopic("prices", { partitions: 2 })
      const statuses = yield* table.statusChanges.pipe(
        Stream.mapEffect((status) =>
          Effect.map(table.size, (size) => [status._tag, size, Table.position(table)] as const)
        ),
        Stream.takeUntil(([tag]) => tag === "Rebuilding"),
        Stream.runLast
      )
      assert.deepStrictEqual(Option.getOrThrow(statuses).slice(1), [4, read])
      yield* table.awaitCaughtUp
      yield* Effect.yieldNow
      const now = Table.position(gross)
      assert.strictEqual(TablePosition.relation(now, read), "differs")
      assert.deepStrictEqual([yield* table.size, now[0]!.partitions.map(({ offset }) => offset)], [0, [0, 0]])
    }).pipe(Effect.scoped, Effect.provide(MemoryKafka.layer))
  )
})

describe("a table that is followed", () => {
  it.effect("hands over each commit, and together with its entries they are what it has", () =>
    Effect.gen(function* () {
      const source = TableReplication.makeReplica<string, number>("prices")
      const copy = TableReplication.makeReplica<string, number>("copy")
      source.commit([["a", 1], ["b", 2]], at([[2]])) // prettier-ignore
      const batches: Array<ReadonlyArray<TableReplication.Change<string, number>>> = []
      const followed = yield* TableReplication.follow(source.table, (changes) => batches.push(changes))
      yield* copy.replace(followed.entries(), followed.position())
      source.commit([["a", 3], ["b"], ["c", 4]], at([[5]])) // prettier-ignore
      yield* source.replace([["c", 4], ["d", 5]], at([[9]])) // prettier-ignore
      for (const changes of batches) {
        copy.commit(
          changes.map((change) => (change._tag === "Set" ? [change.key, change.value] : [change.key])),
          followed.position()
        )
      }
      assert.isTrue(Equal.equals(yield* copy.table.snapshot, HashMap.fromIterable([["c", 4], ["d", 5]]))) // prettier-ignore
      assert.isTrue(Equal.equals(followed.entries(), yield* copy.table.snapshot))
      assert.deepStrictEqual(Table.position(copy.table), at([[9]]))
      // What has not changed is no part of a difference.
      assert.deepStrictEqual(
        batches
          .at(-1)!
          .map(({ key }) => key)
          .toSorted(),
        ["a", "d"]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("costs nothing when nobody follows it any more", () =>
    Effect.gen(function* () {
      const source = TableReplication.makeReplica<string, number>("prices")
      let received = 0
      yield* Effect.scoped(TableReplication.follow(source.table, () => received++))
      source.commit([["a", 1]], [])
      assert.strictEqual(received, 0)
    })
  )
})
