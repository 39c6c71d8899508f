import { assert, describe, it } from "@effect/vitest"
import { type PlacedAck, RecentBatches } from "../../src/internal/log/recentBatches.ts"
import { chance as makeChance } from "../support/chance.ts"

interface Batch {
  readonly first: number
  readonly last: number
  readonly producerId: number
  readonly producerEpoch: number
  readonly sequence: number
  readonly earliest: number
  readonly latest: number
}

/** Ids that are the same number, so that all 64 bits have to be looked at. */
const idOf = (producer: number): bigint => (producer < 0 ? -1n : 2n ** 62n + BigInt(producer))

const digitsOf = (producer: number): string | undefined => (producer < 0 ? undefined : String(idOf(producer)))

const add = (batches: RecentBatches, batch: Batch): void =>
  batches.add(
    batch.first,
    batch.last,
    Number(idOf(batch.producerId) >> 32n),
    Number(BigInt.asIntN(32, idOf(batch.producerId))),
    batch.producerEpoch,
    batch.sequence,
    batch.earliest,
    batch.latest
  )

/** The acknowledgement of a batch's record. */
const ackOf = (batch: Batch, offset: number): PlacedAck => ({
  topic: "numbers",
  topicId: undefined,
  partition: 0,
  offset,
  timestamp: batch.earliest,
  producerId: digitsOf(batch.producerId),
  producerEpoch: batch.producerId < 0 ? -1 : batch.producerEpoch,
  sequence: batch.producerId < 0 ? -1 : (batch.sequence + offset - batch.first) % 2147483648
})

describe("the batches that a partition remembers", () => {
  it("tell an acknowledged record from another at its offset, for as long as they are remembered", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const chance = makeChance(seed)
      const batches = new RecentBatches()
      const added: Array<Batch> = []
      const next = new Map<number, number>()
      let offset = chance.below(100)
      for (let i = 0; i < 600; i++) {
        // A hole, where compaction took what was there.
        if (chance.below(10) === 0) offset += 1 + chance.below(5)
        const producerId = chance.below(4) - 1
        const size = 1 + chance.below(4)
        // Near the end of the numbering, so that it goes round.
        const sequence = producerId < 0 ? -1 : (next.get(producerId) ?? 2147483648 - 100)
        next.set(producerId, (sequence + size) % 2147483648)
        const batch = {
          first: offset,
          last: offset + size - 1,
          producerId,
          producerEpoch: 0,
          sequence,
          earliest: 1000 * i,
          latest: 1000 * i + 10
        }
        added.push(batch)
        add(batches, batch)
        offset += size
      }
      for (const [i, batch] of added.entries()) {
        for (let at = batch.first; at <= batch.last; at++) {
          const ack = ackOf(batch, at)
          const holds = batches.holds(ack)
          const isRecent = i >= added.length - 200
          assert.isTrue(holds === true || (holds === undefined && !isRecent))
          const other = batches.holds({ ...ack, producerId: digitsOf(batch.producerId + 5) })
          assert.isTrue(other === false || (other === undefined && !isRecent))
          const later = batches.holds({ ...ack, sequence: ack.sequence + 1, timestamp: ack.timestamp + 20 })
          assert.isTrue(later === false || (later === undefined && !isRecent))
        }
      }
      assert.strictEqual(batches.holds(ackOf(added.at(-1)!, offset)), undefined)
    }
  })

  it("take little memory where there are few, however many partitions there are", () => {
    const before = process.memoryUsage().arrayBuffers
    const partitions = Array.from({ length: 40_000 }, () => new RecentBatches())
    const batch = { first: 0, last: 9, producerId: 1, producerEpoch: 0, sequence: 0, earliest: 0, latest: 0 }
    for (const partition of partitions) add(partition, batch)
    const each = (process.memoryUsage().arrayBuffers - before) / partitions.length
    assert.isAbove(each, 0)
    // Room for all that may be remembered would be 12 KiB.
    assert.isBelow(each, 512)
    for (const partition of partitions) assert.isTrue(partition.holds(ackOf(batch, 9)))
  })

  it("of one producer are remembered whole, however many they are", () => {
    const batches = new RecentBatches()
    const batchAt = (first: number): Batch => ({
      first,
      last: first,
      producerId: 7,
      producerEpoch: 1,
      sequence: first,
      earliest: 0,
      latest: 0
    })
    for (let offset = 0; offset < 100_000; offset++) add(batches, batchAt(offset))
    assert.isTrue(batches.holds(ackOf(batchAt(0), 0)))
    assert.isFalse(batches.holds({ ...ackOf(batchAt(0), 0), sequence: 1 }))
  })

  it("are forgotten from where the log is read again", () => {
    const batches = new RecentBatches()
    const batch = { producerId: 7, producerEpoch: 1, earliest: 0, latest: 0 }
    add(batches, { ...batch, first: 0, last: 9, sequence: 0 })
    add(batches, { ...batch, first: 10, last: 19, sequence: 50 })
    const other = { ...batch, producerId: 8, first: 5, last: 6, sequence: 0 }
    add(batches, other)
    assert.isTrue(batches.holds(ackOf(other, 5)))
    assert.isTrue(batches.holds(ackOf({ ...batch, first: 0, last: 9, sequence: 0 }, 4)))
    assert.strictEqual(batches.holds(ackOf({ ...batch, first: 10, last: 19, sequence: 50 }, 10)), undefined)
  })
})
