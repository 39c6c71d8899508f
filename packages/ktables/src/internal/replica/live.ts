/**
 * Applies the records of a log that is followed, in slices. A slice is one synchronous loop inside one mutation of the map:
 * one version, one publication. A codec that needs an effect interrupts the slice; what came before it is committed, and the
 * loop goes on behind its result.
 */
import { Effect } from "effect"
import { KeysMoved, type TableError } from "../../TableError.ts"
import type { Cell } from "../table/cell.ts"
import type { LogContents } from "./logContents.ts"
import type { ReaderMetrics } from "../log/metrics.ts"
import type { Partition } from "../log/partition.ts"
import type { Consume, Session } from "../log/session.ts"
import { SLICE, STRIDE } from "../slice.ts"
import type { Application, Interruption } from "./application.ts"
import type { Ownership, Rank } from "./ownership.ts"
import { CursorSource } from "./source.ts"

/** After so many looks at the topic that found no added partitions, foreign keys are taken for what they are. */
const UNFOUNDED = 8
/** Milliseconds until another look is due then. */
const HOLD_OFF = 1000

/** Takes live records up to the cursor's end. `reached` is called within each commit, and `check` is run after it. */
export type Live = (
  session: Session,
  reached: (partition: Partition, position: number) => void,
  check: Effect.Effect<void, TableError>
) => Consume

export const make = <K, V>(options: {
  readonly topic: string
  readonly application: Application<K, V>
  readonly ownership: Ownership
  readonly metrics: ReaderMetrics
  readonly cell: Cell<K, V, TableError, LogContents<K, V>>
}): Live => {
  const { application, cell, metrics, ownership, topic } = options
  const { counts } = metrics
  /** Doubts in a row that were unfounded, and when, by `performance.now()`, the next is due. */
  let unfounded = 0
  let doubtAgain = 0

  const forgotten = Effect.suspend(() => {
    ownership.isIgnorant = false
    const detail = "one was written where it does not belong, and may have been deleted"
    return new KeysMoved({ topic, detail })
  })

  /** With one partition, the log's order is the order of arrival; another may be added between two slices. */
  const rankNow = (): Rank => (ownership.partitions === 1 ? "newest" : "any")

  return (session, reached, check) =>
    Effect.fnUntraced(function* (partition, cursor): Effect.fn.Return<void, TableError> {
      ownership.partitions = session.partitionCount()
      const source = new CursorSource(partition.partition, cursor)
      let ended = false
      let interruption: Interruption<K, V> | undefined
      let problem: { readonly defect: unknown } | undefined
      /** One look at the topic tells of all records of an answer, since they were written before it. */
      let hasLooked = performance.now() < doubtAgain

      const look = Effect.gen(function* () {
        hasLooked = true
        const before = session.partitionCount()
        yield* session.look
        ownership.partitions = session.partitionCount()
        unfounded = ownership.partitions > before ? 0 : unfounded + 1
        if (unfounded >= UNFOUNDED) doubtAgain = performance.now() + HOLD_OFF
      })

      const slice = (): void => {
        ownership.isIgnorant = false
        ownership.isWary = !hasLooked
        ownership.isDoubtful = false
        applySome(cell.contents)
        ownership.isWary = false
      }
      const applySome = (target: LogContents<K, V>): void => {
        const started = performance.now()
        const rank = rankNow()
        let n = 0
        while (true) {
          if (!cursor.next()) {
            ended = true
            break
          }
          counts.records++
          if (cursor.keyLength < 0) counts.keyless++
          else {
            if (cursor.valueLength < 0) counts.tombstones++
            try {
              interruption = application.now(target, source, rank)
              if (interruption !== undefined) return
            } catch (defect) {
              problem = { defect }
              return
            }
          }
          if (++n % STRIDE === 0 && performance.now() - started > SLICE) break
        }
        metrics.slice(performance.now() - started)
      }

      while (!ended) {
        cell.commit(slice, () => {
          if (ownership.isIgnorant) return
          // What interrupted the slice is not applied yet.
          const open = interruption !== undefined || problem !== undefined
          reached(partition, ended ? cursor.nextOffset : open ? cursor.offset : cursor.offset + 1)
        })
        if (ownership.isIgnorant) return yield* forgotten
        if (problem !== undefined) return yield* Effect.die((problem as { readonly defect: unknown }).defect)
        if (interruption !== undefined) {
          const late: Interruption<K, V> = interruption
          interruption = undefined
          if (ownership.isDoubtful) {
            ownership.isDoubtful = false
            yield* look
          }
          /** Asked in the step that applies, whatever others have set meanwhile. */
          const rank = (): Rank => {
            ownership.isWary = !hasLooked
            ownership.isDoubtful = false
            return rankNow()
          }
          const done = () => reached(partition, cursor.offset + 1)
          const commit = (write: () => void): void =>
            cell.commit(write, () => {
              if (!ownership.isDoubtful && !ownership.isIgnorant) done()
            })
          yield* application.late(cell.contents, source, late, rank, commit)
          if (ownership.isDoubtful) {
            yield* look
            yield* application.late(cell.contents, source, late, rank, commit)
          }
          ownership.isWary = false
          ownership.isDoubtful = false
          if (ownership.isIgnorant) return yield* forgotten
          // What was refused wrote nothing, and is done.
          done()
        }
        yield* check
        if (!ended) yield* Effect.yieldNow
      }
    })
}
