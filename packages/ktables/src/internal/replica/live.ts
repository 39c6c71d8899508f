/**
 * Applies the records of a log that is followed, in slices. A slice is one synchronous loop inside one mutation of the map:
 * one version, one publication. A codec that needs an effect interrupts the slice; what came before it is committed, and the
 * loop goes on after its result.
 */
import type { LogError } from "../log/logError.ts"
import { Effect } from "effect"
import { KeysMoved, type ReaderError } from "../../TableError.ts"
import type { Cell } from "../table/cell.ts"
import type { LogContents } from "./logContents.ts"
import type { ReaderMetrics } from "../log/metrics.ts"
import type { Partition } from "../log/partition.ts"
import type { Consume, Session } from "../log/session.ts"
import { inSlices, type Step, unhurried } from "../slice.ts"
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
  check: Effect.Effect<void, LogError>
) => Consume

export const make = <K, V>(options: {
  readonly topic: string
  readonly application: Application<K, V>
  readonly ownership: Ownership
  readonly metrics: ReaderMetrics
  readonly cell: Cell<K, V, ReaderError, LogContents<K, V>>
}): Live => {
  const { application, cell, metrics, ownership, topic } = options
  const { counts } = metrics
  /** Doubts in a row that were unfounded, and when, by `performance.now()`, the next is due. */
  let unfounded = 0
  let doubtAgain = 0
  /** A slice is propagated to everything that is derived from the table. */
  const pace = unhurried()

  const forgotten = Effect.suspend(
    () => new KeysMoved({ topic, detail: "one was written where it does not belong, and may have been deleted" })
  )

  /** With one partition, the log's order is the order of arrival; another may be added between two slices. */
  const rankNow = (): Rank => (ownership.partitions === 1 ? "newest" : "any")

  return (session, reached, check) =>
    Effect.fnUntraced(function* (partition, cursor): Effect.fn.Return<void, LogError> {
      ownership.partitions = session.partitionCount()
      const source = new CursorSource(partition.partition, cursor)
      /** One look at the topic tells of all records of an answer, since they were written before it. */
      let hasLooked = performance.now() < doubtAgain
      /** One past the last record that is applied. */
      let done = cursor.nextOffset

      const look = Effect.gen(function* () {
        hasLooked = true
        const before = session.partitionCount()
        yield* session.look
        ownership.partitions = session.partitionCount()
        unfounded = ownership.partitions > before ? 0 : unfounded + 1
        if (unfounded >= UNFOUNDED) doubtAgain = performance.now() + HOLD_OFF
      })

      /** What became of the last commit: loops of other partitions have theirs while this one waits. */
      let isDoubtful = false
      let isIgnorant = false
      let target = cell.contents
      let rank = rankNow()
      /** When all contents stood; what whoever is woken does then, no smaller slice makes less. */
      let stood = 0
      const commit = (write: () => void): number => {
        cell.commit(
          () => {
            ownership.begin(!hasLooked)
            target = cell.contents
            rank = rankNow()
            write()
            ;({ isDoubtful, isIgnorant } = ownership)
            ownership.begin(false)
          },
          () => {
            stood = performance.now()
            if (!isDoubtful && !isIgnorant) reached(partition, done)
          }
        )
        return stood
      }

      // Made only where it is needed: most answers have no such record.
      const late = (interruption: Interruption<K, V>) =>
        Effect.gen(function* () {
          if (isDoubtful) yield* look
          const apply = Effect.suspend(() => {
            isDoubtful = false
            return application.late(cell.contents, source, interruption, rankNow, (write) =>
              commit(() => {
                done = cursor.offset + 1
                write()
              })
            )
          })
          yield* apply
          if (isDoubtful) yield* Effect.andThen(look, apply)
          if (isIgnorant) return yield* forgotten
          // What was refused wrote nothing, and is done.
          reached(partition, cursor.offset + 1)
        })

      const step = (): Step<LogError> => {
        if (!cursor.next()) {
          done = cursor.nextOffset
          return false
        }
        counts.records++
        if (cursor.keyLength < 0) counts.keyless++
        else {
          if (cursor.valueLength < 0) counts.tombstones++
          done = cursor.offset
          const interruption = application.now(target, source, rank)
          if (interruption !== undefined) return late(interruption)
          if (ownership.isIgnorant) return forgotten
        }
        done = cursor.offset + 1
        return true
      }
      // Where nothing stands on it, a slice that took long was held up by something else than its size.
      yield* inSlices(step, { commit, took: metrics.slice, pace: cell.hasDependents ? pace : undefined, check })
    })
}
