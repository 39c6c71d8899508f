import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { AbortedTransaction } from "effect-ktables/KafkaClient"
import { encodeBatch, encodeControlBatch } from "../../src/internal/records/batchWriter.ts"
import { chance } from "../support/chance.ts"
import { cursorOf, offsets, walk } from "./walk.ts"

/** Ids next to each other that are the same number: what takes them for numbers mistakes one producer for another. */
const idOf = (producer: number): bigint => (producer < 0 ? -1n : 2n ** 62n + BigInt(producer))

/** A batch of transactional records at these offsets. */
const data = (producerId: number, ...at: ReadonlyArray<number>): Buffer =>
  encodeBatch(
    at.map((offset) => ({
      offsetDelta: offset - at[0]!,
      timestamp: 1,
      key: Buffer.from(`k${offset}`),
      value: Buffer.from(`${producerId}`)
    })),
    {
      baseOffset: at[0]!,
      producerId: idOf(producerId),
      producerEpoch: 0,
      baseSequence: 0,
      isTransactional: producerId >= 0
    }
  )

/** A batch whose records compaction took. */
const emptied = (producerId: number, baseOffset: number, lastOffsetDelta: number): Buffer =>
  encodeBatch([], {
    baseOffset,
    producerId: idOf(producerId),
    producerEpoch: 0,
    baseSequence: 0,
    isTransactional: true,
    lastOffsetDelta
  })

const marker = (type: "abort" | "commit", producerId: number, baseOffset: number): Buffer =>
  encodeControlBatch({ baseOffset, leaderEpoch: 0, producerId: idOf(producerId), producerEpoch: 0, type, timestamp: 1 })

const abort = (producerId: number, offset: number) => marker("abort", producerId, offset)
const commit = (producerId: number, offset: number) => marker("commit", producerId, offset)

const cases: ReadonlyArray<
  readonly [
    name: string,
    batches: ReadonlyArray<Buffer>,
    aborted: ReadonlyArray<AbortedTransaction>,
    visible: ReadonlyArray<number>
  ]
> = [
  [
    "one aborted transaction",
    [data(1, 0, 1), abort(1, 2), data(-1, 3)],
    [{ producerId: idOf(1), firstOffset: 0 }],
    [3]
  ],
  [
    "two by one producer in one answer, with a committed one between them",
    [data(1, 0), abort(1, 1), data(1, 2), commit(1, 3), data(1, 4), abort(1, 5), data(1, 6), commit(1, 7)],
    [
      { producerId: idOf(1), firstOffset: 0 },
      { producerId: idOf(1), firstOffset: 4 }
    ],
    [2, 6]
  ],
  [
    "the marker in a later answer",
    [data(1, 0), data(-1, 1), data(1, 2)],
    [{ producerId: idOf(1), firstOffset: 0 }],
    [1]
  ],
  ["a marker with no entry", [data(-1, 0), abort(9, 1), data(1, 2), commit(1, 3)], [], [0, 2]],
  [
    "aborted then committed by the same producer",
    [data(1, 0), abort(1, 1), data(1, 2, 3), commit(1, 4)],
    [{ producerId: idOf(1), firstOffset: 0 }],
    [2, 3]
  ],
  [
    "two producers interleaved, one aborting",
    [data(1, 0), data(2, 1), data(1, 2), data(2, 3), abort(1, 4), data(2, 5), commit(2, 6)],
    [{ producerId: idOf(1), firstOffset: 0 }],
    [1, 3, 5]
  ],
  [
    "two producers interleaved, both aborting, listed out of order",
    [data(1, 0), data(2, 1), abort(1, 2), data(2, 3), data(1, 4), commit(1, 5), abort(2, 6), data(2, 7), commit(2, 8)],
    [
      { producerId: idOf(2), firstOffset: 1 },
      { producerId: idOf(1), firstOffset: 0 }
    ],
    [4, 7]
  ],
  [
    "markers whose data compaction took, as empty batches",
    [emptied(1, 0, 2), abort(1, 3), data(1, 4), commit(1, 5)],
    [{ producerId: idOf(1), firstOffset: 0 }],
    [4]
  ],
  [
    "data of which compaction took the first batch",
    [data(1, 4), abort(1, 6), data(1, 7), commit(1, 8)],
    [{ producerId: idOf(1), firstOffset: 0 }],
    [7]
  ],
  [
    "a marker that compaction emptied ends nothing, as in Java's consumer",
    [
      data(1, 0),
      encodeBatch([], {
        baseOffset: 1,
        producerId: idOf(1),
        producerEpoch: 0,
        isTransactional: true,
        isControl: true
      }),
      data(1, 2),
      abort(1, 3),
      data(1, 4),
      commit(1, 5)
    ],
    [{ producerId: idOf(1), firstOffset: 0 }],
    [4]
  ],
  [
    "records of no transaction by a producer that is aborting one",
    [
      data(1, 0),
      encodeBatch([{ offsetDelta: 0, timestamp: 1, key: null, value: null }], {
        baseOffset: 1,
        producerId: idOf(1),
        producerEpoch: 0,
        baseSequence: 0
      }),
      abort(1, 2)
    ],
    [{ producerId: idOf(1), firstOffset: 0 }],
    [1]
  ]
]

describe("aborted transactions", () => {
  for (const [name, batches, aborted, visible] of cases) {
    it.effect(`${name}: only what is committed is visible`, () =>
      Effect.sync(() => {
        const cursor = cursorOf(Buffer.concat(batches), 0, aborted)
        assert.deepStrictEqual(offsets(cursor), visible)
        assert.isUndefined(cursor.problem)
      })
    )
  }

  it.effect("everything but the markers is visible to a reader of uncommitted records", () =>
    Effect.sync(() => {
      const records = Buffer.concat([data(1, 0), abort(1, 1), data(1, 2)])
      const cursor = cursorOf(records, 0, "uncommitted")
      assert.deepStrictEqual(offsets(cursor), [0, 2])
      assert.strictEqual(cursor.nextOffset, 3)
    })
  )

  it.effect("a data record whose key is four zero bytes ends no transaction", () =>
    Effect.sync(() => {
      const zeros = encodeBatch([{ offsetDelta: 0, timestamp: 1, key: Buffer.alloc(4), value: Buffer.alloc(6) }], {
        baseOffset: 1,
        producerId: idOf(1),
        producerEpoch: 0,
        baseSequence: 1,
        isTransactional: true
      })
      const records = Buffer.concat([data(1, 0), zeros, data(1, 2), abort(1, 3)])
      assert.deepStrictEqual(offsets(cursorOf(records, 0, [{ producerId: idOf(1), firstOffset: 0 }])), [])
      const committed = Buffer.concat([data(1, 0), zeros, data(1, 2), commit(1, 3)])
      assert.deepStrictEqual(
        walk(cursorOf(committed)).map((record) => record.key),
        ["k0", "\0\0\0\0", "k2"]
      )
    })
  )

  it.effect("a control record without a type is corrupt", () =>
    Effect.sync(() => {
      for (const key of [null, Buffer.alloc(0), Buffer.alloc(3)]) {
        const cursor = cursorOf(
          encodeBatch([{ offsetDelta: 0, timestamp: 1, key, value: null }], {
            baseOffset: 5,
            producerId: idOf(1),
            producerEpoch: 0,
            isTransactional: true,
            isControl: true
          })
        )
        assert.isFalse(cursor.next())
        assert.deepStrictEqual(cursor.problem, {
          kind: "Corrupt",
          offset: 5,
          detail: "a control record has no type"
        })
      }
    })
  )

  // A broker lists the aborted transactions that overlap the answer; the cleaner keeps a marker while data of its
  // transaction is left, and forgets the transaction with its last batch.
  it.effect("random interleaved, compacted logs in random answers show exactly what was committed", () =>
    Effect.sync(() => {
      const start = Date.now() % 1_000_000
      for (let seed = start; seed < start + 2000; seed++) checkRandomLog(seed)
    })
  )
})

interface Transaction {
  readonly producerId: number
  readonly firstOffset: number
  lastOffset: number
  aborted: boolean
}

interface Entry {
  readonly bytes: Buffer
  readonly last: number
  readonly visible: ReadonlyArray<number>
  readonly transaction: Transaction | undefined
  readonly isMarker: boolean
}

const checkRandomLog = (seed: number): void => {
  const random = chance(seed).below
  const open = new Map<number, Transaction>()
  const log: Array<{
    readonly at: ReadonlyArray<number>
    readonly producerId: number
    readonly transaction: Transaction | undefined
    readonly marker: "abort" | "commit" | undefined
  }> = []
  let next = random(3)
  const end = (transaction: Transaction, type: "abort" | "commit") => {
    transaction.aborted = type === "abort"
    transaction.lastOffset = next
    log.push({ at: [next++], producerId: transaction.producerId, transaction, marker: type })
    open.delete(transaction.producerId)
  }
  for (let step = random(40); step > 0; step--) {
    const producerId = random(4) - 1
    const running = open.get(producerId)
    if (running !== undefined && random(3) === 0) {
      end(running, random(2) === 0 ? "abort" : "commit")
      continue
    }
    const at = Array.from({ length: 1 + random(3) }, () => next++)
    const transaction =
      producerId < 0 ? undefined : (running ?? { producerId, firstOffset: at[0]!, lastOffset: -1, aborted: false })
    if (transaction !== undefined) open.set(producerId, transaction)
    log.push({ at, producerId, transaction, marker: undefined })
  }
  for (const transaction of open.values()) end(transaction, random(2) === 0 ? "abort" : "commit")

  const isCompacted = random(2) === 0
  const entries: Array<Entry> = []
  for (const { at, marker: type, producerId, transaction } of log) {
    const last = at.at(-1)!
    if (type !== undefined) {
      const isNeeded = entries.some((entry) => entry.transaction === transaction)
      if (isCompacted && !isNeeded && random(2) === 0) continue
      entries.push({ bytes: marker(type, producerId, last), last, visible: [], transaction, isMarker: true })
      continue
    }
    const kept = isCompacted ? at.filter(() => random(2) === 0) : at
    if (kept.length === 0 && random(2) === 0) continue
    const bytes =
      kept.length === 0
        ? emptied(producerId, at[0]!, last - at[0]!)
        : encodeBatch(
            kept.map((offset) => ({
              offsetDelta: offset - at[0]!,
              timestamp: 1,
              key: random(4) === 0 ? Buffer.alloc(4) : null,
              value: null
            })),
            {
              baseOffset: at[0]!,
              lastOffsetDelta: last - at[0]!,
              producerId: idOf(producerId),
              isTransactional: transaction !== undefined,
              compression: random(5) === 0 ? "gzip" : "none"
            }
          )
    entries.push({ bytes, last, visible: transaction?.aborted === true ? [] : kept, transaction, isMarker: false })
  }

  const expected: Array<number> = []
  const seen: Array<number> = []
  let position = 0
  for (let i = 0; i < entries.length;) {
    const answer = entries.slice(i, i + 1 + random(6))
    i += answer.length
    const upper = answer.at(-1)!.last + 1
    const aborted = [...new Set(entries.map((entry) => entry.transaction))].filter(
      (transaction) =>
        transaction?.aborted === true && transaction.lastOffset >= position && transaction.firstOffset < upper
    )
    const cursor = cursorOf(
      Buffer.concat(answer.map((entry) => entry.bytes)),
      position,
      aborted.map((transaction) => ({
        producerId: idOf(transaction!.producerId),
        firstOffset: transaction!.firstOffset
      }))
    )
    seen.push(...offsets(cursor))
    assert.isUndefined(cursor.problem, `seed ${seed}`)
    assert.strictEqual(cursor.nextOffset, upper, `seed ${seed}`)
    position = cursor.nextOffset
    for (const entry of answer) expected.push(...entry.visible)
  }
  assert.deepStrictEqual(seen, expected, `seed ${seed}`)
}
