import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { KafkaTable } from "effect-ktables"
import { write } from "../support/kafka.ts"
import { onScript } from "../support/script.ts"
import { numbers, toRecord } from "../table/fixtures.ts"
import { failureOfStart, poison, scriptedTopic } from "./fixtures.ts"

/** One past the last byte of the batch at `start`. */
const endOfBatch = (records: Buffer, start: number): number => start + 12 + records.readInt32BE(start + 8)

const damage = (records: Buffer, batch: number): void => {
  const last = endOfBatch(records, batch) - 1
  records.writeUInt8(records[last]! ^ 1, last)
}

/**
 * A log whose newest record of a key does not decode, so that a load reads it again for an older one; the second of its
 * batches comes damaged as often as told, but not to the load itself.
 */
const damagedWhenReadAgain = Effect.fnUntraced(function* (times: number) {
  const { script } = yield* scriptedTopic()
  yield* write("numbers", ["a", "b"])
  yield* poison(["a"])
  let loads = 1
  let damages = 0
  script.on("fetch", (asks, next) =>
    Effect.map(next, (answer) => {
      if (loads-- > 0 || damages >= times) return answer
      const partitions = answer.partitions.map((partition) => {
        if (partition.records.length === 0) return partition
        damages++
        const records = Buffer.from(partition.records)
        damage(records, asks.partitions[0]!.fetchOffset < 2 ? endOfBatch(records, 0) : 0)
        return { ...partition, records }
      })
      return { ...answer, partitions }
    })
  )
  return { damages: () => damages }
})

describe("a log that is read again", () => {
  it.effect("row 34: a batch that comes damaged once is fetched again", () =>
    onScript(
      Effect.gen(function* () {
        const { damages } = yield* damagedWhenReadAgain(1)
        const table = yield* KafkaTable.make(numbers)
        assert.strictEqual(damages(), 1)
        const snapshot = toRecord(yield* table.snapshot)
        assert.deepStrictEqual(Object.keys(snapshot).sort(), ["a", "b"])
      })
    )
  )

  it.effect("row 34: a batch that stays damaged fails the load with partition and offset", () =>
    onScript(
      Effect.gen(function* () {
        const { damages } = yield* damagedWhenReadAgain(Number.POSITIVE_INFINITY)
        const error = yield* failureOfStart(5000)
        assert.deepInclude(error, { _tag: "UnreadableRecords", partition: 0, offset: 2, kind: "Corrupt" })
        assert.strictEqual(damages(), 2)
      })
    )
  )
})
