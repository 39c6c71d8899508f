/** Writers that hammer a topic, and what guarantee 10 says of its log afterwards. */
import { assert } from "@effect/vitest"
import { Effect, Exit } from "effect"
import type { KafkaTableWriter } from "effect-ktables/KafkaTableWriter"
import type { WriteError } from "effect-ktables/TableError"
import type { WriteAck } from "effect-ktables/WriteAck"

export interface Logged {
  readonly partition: number
  readonly offset: number
  readonly key: string
  readonly value: number
}

export interface Attempted {
  readonly key: string
  readonly value: number
  readonly exit: Exit.Exit<WriteAck, WriteError>
}

/** Each of `writers` fibers writes its own key one value after another, until `isOver` holds for that fiber's count. */
export const hammer = (
  writer: KafkaTableWriter<string, number>,
  writers: number,
  isOver: (writes: number) => boolean,
  onWrite: (total: number) => void = () => {}
) =>
  Effect.gen(function* () {
    const attempted: Array<Attempted> = []
    yield* Effect.forEach(
      Array.from({ length: writers }, (_, i) => `key-${i}`),
      Effect.fnUntraced(function* (key: string) {
        for (let value = 0; !isOver(value); value++) {
          const exit = yield* Effect.exit(writer.set(key, value))
          attempted.push({ key, value, exit })
          onWrite(attempted.length)
        }
      }),
      { concurrency: "unbounded", discard: true }
    )
    return attempted
  })

/**
 * Each acknowledged write is in the log exactly once and where its acknowledgement says, nothing is in the log twice or
 * without having been written, and each key's values are in the order of their writes.
 */
export const assertExactlyOnceInOrder = (attempted: ReadonlyArray<Attempted>, log: ReadonlyArray<Logged>): void => {
  const at = new Map<string, Logged>()
  const last = new Map<string, number>()
  for (const record of log) {
    const name = `${record.key}=${record.value}`
    assert.isFalse(at.has(name), `${name} is in the log twice`)
    at.set(name, record)
    assert.isAbove(record.value, last.get(record.key) ?? -1, `${name} is behind a newer value`)
    last.set(record.key, record.value)
  }
  for (const { key, value, exit } of attempted) {
    if (!Exit.isSuccess(exit)) continue
    const record = at.get(`${key}=${value}`)
    assert.isDefined(record, `${key}=${value} was acknowledged and is not in the log`)
    assert.strictEqual(record!.partition, exit.value.partition)
    if (exit.value.offset !== undefined) assert.strictEqual(record!.offset, exit.value.offset)
  }
  const names = new Set(attempted.map(({ key, value }) => `${key}=${value}`))
  for (const name of at.keys()) assert.isTrue(names.has(name), `${name} was never written`)
}
