/** Java's transactional producer beside our writers: it commits and aborts by turns, and begins again when it fails. */
import { Effect } from "effect"
import type { JavaPeer } from "@effect-ktables/testing/interop"
import type { Random } from "./random.ts"

export interface Transactions {
  committed: number
  aborted: number
  failed: number
}

/** Writes until `isOver`; each key stays in one partition, since Java learns of added partitions late. */
export const transact = Effect.fnUntraced(function* (options: {
  readonly java: JavaPeer.Service
  readonly topic: string
  readonly random: Random
  readonly isOver: () => boolean
  readonly counts: Transactions
}) {
  const { counts, isOver, java, random, topic } = options
  let life = 0
  let number = 0
  while (!isOver()) {
    const transactionalId = `${topic}-${life}`
    const commit = random.next() < 0.6
    const records = Array.from({ length: random.between(1, 6) }, () => {
      const key = random.between(0, 11)
      return { key: `java-${key}`, value: key === 0 ? null : String(++number), partition: key % 2 }
    })
    const transaction = java
      .beginTransaction({ transactionalId })
      .pipe(
        Effect.andThen(java.produce({ topic, records, transactionalId })),
        Effect.andThen(commit ? java.commitTransaction(transactionalId) : java.abortTransaction(transactionalId))
      )
    const outcome = yield* Effect.result(transaction)
    if (outcome._tag === "Failure") {
      counts.failed++
      life++
    } else if (commit) counts.committed++
    else counts.aborted++
    yield* Effect.sleep(random.between(50, 400))
  }
})
