/**
 * Fetch answers that a broker gave, of logs that other clients wrote and the broker partly compacted; `fixtures/` holds
 * their bytes beside what Java's consumer under `read_committed` read from the same logs.
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Struct } from "effect"
import { cursorOf } from "./walk.ts"

interface Fixture {
  readonly writtenBy: string
  readonly broker: string
  readonly sets: ReadonlyArray<{
    readonly name: string
    /** The last stable offset. */
    readonly end: number
    /** From the start of the log to its end; an answer holds one segment at most. */
    readonly answers: ReadonlyArray<{
      readonly fetchOffset: number
      readonly abortedTransactions: ReadonlyArray<{ readonly producerId: number; readonly firstOffset: number }>
      /** Base 64. */
      readonly records: string
    }>
    readonly expected: ReadonlyArray<Expected & { readonly headers: ReadonlyArray<unknown> }>
  }>
}

/** The cursor passes headers over. */
interface Expected {
  readonly offset: number
  readonly timestamp: number
  /** Base 64. */
  readonly key: string | null
  /** Base 64; left out for a large value. */
  readonly value?: string | null
  /** Hex, of a large value. */
  readonly valueSha256?: string
}

const load = (file: string): Fixture =>
  JSON.parse(readFileSync(new URL(`fixtures/${file}.json`, import.meta.url), "utf8")) as Fixture

const slice = (buffer: Buffer, start: number, length: number): Buffer | null =>
  length < 0 ? null : Buffer.from(buffer.subarray(start, start + length))

const sha256 = (bytes: Buffer | null): string =>
  createHash("sha256")
    .update(bytes ?? "")
    .digest("hex")

for (const file of ["java", "javaTransactions", "aiokafka", "librdkafka"]) {
  const { broker, sets, writtenBy } = load(file)
  describe(`${file}.json: logs of ${broker} written by ${writtenBy}`, () => {
    for (const { answers, end, expected, name } of sets) {
      it(`reads what Java's consumer reads: ${name}`, () => {
        const seen: Array<Expected> = []
        let position = 0
        for (const { abortedTransactions, fetchOffset, records } of answers) {
          assert.strictEqual(fetchOffset, position)
          const cursor = cursorOf(
            Buffer.from(records, "base64"),
            fetchOffset,
            abortedTransactions.map(({ firstOffset, producerId }) => ({ producerId: BigInt(producerId), firstOffset }))
          )
          while (cursor.next()) {
            const { keyLength, keyStart, offset, timestamp, valueLength, valueStart } = cursor
            const key = slice(cursor.buffer, keyStart, keyLength)?.toString("base64") ?? null
            const value = slice(cursor.buffer, valueStart, valueLength)
            const isLarge = expected[seen.length]?.valueSha256 !== undefined
            seen.push({
              offset,
              timestamp,
              key,
              ...(isLarge ? { valueSha256: sha256(value) } : { value: value?.toString("base64") ?? null })
            })
          }
          assert.isUndefined(cursor.problem)
          position = cursor.nextOffset
        }
        assert.deepStrictEqual(
          seen,
          expected.map((record) => Struct.omit(record, ["headers"]))
        )
        assert.strictEqual(position, end)
      })
    }
  })
}
