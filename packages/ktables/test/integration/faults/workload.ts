/** Writers that never rest, each the only one of its keys, so that what was acknowledged says what a log must hold. */
import assert from "node:assert/strict"
import { Effect, Exit, Fiber, Option, type Scope } from "effect"
import type { KafkaTable } from "effect-ktables/KafkaTable"
import type { KafkaTableWriter } from "effect-ktables/KafkaTableWriter"
import type { WriteError } from "effect-ktables/TableError"
import type { WriteAck } from "effect-ktables/WriteAck"

export interface Attempt {
  readonly key: string
  /** Rises from write to write of one key; tombstones are numbered, too. */
  readonly number: number
  readonly isTombstone: boolean
  readonly exit: Exit.Exit<WriteAck, WriteError>
}

export interface Workload {
  readonly attempts: ReadonlyArray<Attempt>
  readonly acknowledged: () => number
  /** Ends only by the defect of a writer that read what it must not. */
  readonly died: Effect.Effect<never>
  /** Ends the writers behind the write they are at. */
  readonly stop: Effect.Effect<void>
}

const FIBERS = 4
const KEYS_PER_FIBER = 5
/** Milliseconds between two writes of a fiber: the load leaves room for the brokers on a small machine. */
export const PACE = 5

/**
 * Half of the fibers read each of their writes through `awaitOffset` before the next one. With `isLossy` a write may be
 * lost to an election, and a wait for it may fail.
 */
export const startWorkload = Effect.fnUntraced(function* (options: {
  readonly name: string
  readonly table: KafkaTable<string, number>
  readonly writer: KafkaTableWriter<string, number>
  readonly isLossy: boolean
  /** Milliseconds between two writes of a fiber. */
  readonly pace: number
}): Effect.fn.Return<Workload, never, Scope.Scope> {
  const { isLossy, name, pace, table, writer } = options
  const attempts: Array<Attempt> = []
  let acknowledged = 0
  let isOver = false

  const write = Effect.fnUntraced(function* (fiber: number, number: number) {
    const key = `${name}-${fiber}-${number % KEYS_PER_FIBER}`
    const isTombstone = number % 7 === 6
    const exit = yield* Effect.exit(isTombstone ? writer.delete(key) : writer.set(key, number))
    attempts.push({ key, number, isTombstone, exit })
    if (Exit.isFailure(exit)) return
    acknowledged++
    if (fiber % 2 === 1) return
    const seen = yield* Effect.exit(table.awaitOffset(exit.value))
    if (isLossy) return
    assert.ok(Exit.isSuccess(seen), `${name}: a wait for an acknowledged write failed: ${String(seen)}`)
    const read = yield* table.get(key)
    if (isTombstone) assert.ok(Option.isNone(read), `${name}: ${key} is read after its acknowledged deletion`)
    else assert.deepEqual(read, Option.some(number), `${name}: ${key} is not what its only writer wrote last`)
  })

  const fibers = yield* Effect.forkScoped(
    Effect.forEach(
      Array.from({ length: FIBERS }, (_, fiber) => fiber),
      Effect.fnUntraced(function* (fiber) {
        for (let number = 0; !isOver; number++) {
          yield* write(fiber, number)
          yield* Effect.sleep(pace)
        }
      }),
      { concurrency: "unbounded", discard: true }
    )
  )

  return {
    attempts,
    acknowledged: () => acknowledged,
    died: Effect.andThen(Fiber.join(fibers), Effect.never),
    stop: Effect.suspend(() => {
      isOver = true
      return Effect.timeoutOrElse(Fiber.join(fibers), {
        duration: "150 seconds",
        orElse: () => Effect.die(new Error(`${name}: the writers did not come to their end`))
      })
    })
  }
})
