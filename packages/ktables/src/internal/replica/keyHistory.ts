/** The records of one key that are left in a topic's log, answer by answer, and whether any may be missing. */
import { type Clock, Effect, Exit, type Scope } from "effect"
import { DecodeError } from "../../TableError.ts"
import type { Header } from "../../TableEntry.ts"
import type { Connectivity } from "../log/connectivity.ts"
import { Continuity } from "../log/continuity.ts"
import type { LogError } from "../log/logError.ts"
import type { ReaderMetrics } from "../log/metrics.ts"
import type { OffsetWaiters } from "../log/offsetWaiters.ts"
import * as Session from "../log/session.ts"
import { readHeaders } from "../records/recordHeaders.ts"
import { SLICE } from "../slice.ts"
import type { SeenTopic, TopicView } from "../topic/topicView.ts"
import { type Decoding, refusalOf } from "./decoding.ts"
import { CursorSource } from "./source.ts"

interface Place {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly headers: ReadonlyArray<Header>
}

export type Item<V> =
  | ({ readonly _tag: "Set"; readonly value: V } & Place)
  | ({ readonly _tag: "Deleted" } & Place)
  | ({ readonly _tag: "Undecodable"; readonly error: DecodeError; readonly raw: Uint8Array } & Place)
  | {
      readonly _tag: "End"
      readonly partition: number
      readonly logStart: number
      readonly offset: number
      readonly completeFrom: number
    }

/** The reading of a key's records. */
export interface Reading<V> {
  /** Reads one answer at each run; undefined once the end of all partitions was told. */
  readonly next: Effect.Effect<ReadonlyArray<Item<V>> | undefined, LogError>
  /** Offsets read so far, and in all. */
  readonly progress: () => { readonly replayed: number; readonly target: number }
}

/** Records between two looks at the clock. */
const STRIDE = 256

export const make = <K, V>(options: {
  readonly view: TopicView
  readonly topic: string
  readonly clock: Clock.Clock
  readonly settings: Session.FetchSettings
  readonly decoding: Decoding<K, V>
  readonly metrics: ReaderMetrics
  readonly connectivity: Connectivity
  readonly waiters: OffsetWaiters
  readonly onSession: (session: Session.Session) => void
}) => {
  const { decoding, topic } = options
  const { decodeValue, settled } = decoding

  const itemOf = Effect.fnUntraced(function* (source: CursorSource): Effect.fn.Return<Item<V>> {
    const { headersEnd, headersStart, offset, partition, timestamp, valueBuffer, valueLength, valueStart } = source
    const headers = readHeaders(valueBuffer, headersStart, headersEnd)
    const place = { partition, offset, timestamp, headers: headers ?? [] }
    const undecodable = (detail: string): Item<V> => ({
      _tag: "Undecodable",
      error: new DecodeError({ topic, partition, offset, part: "value", detail }),
      raw: new Uint8Array(valueBuffer.subarray(valueStart, valueStart + Math.max(0, valueLength))),
      ...place
    })
    if (headers === undefined) return undecodable("the record's headers are damaged")
    if (valueLength < 0) return { _tag: "Deleted", ...place }
    const value = yield* settled(decodeValue, source)
    if (Exit.isSuccess(value)) return { _tag: "Set", value: value.value, ...place }
    const refusal = refusalOf(value)
    return refusal === undefined ? yield* Effect.die(value) : undecodable(refusal.detail)
  })

  return Effect.fnUntraced(function* (
    seen: SeenTopic,
    key: Uint8Array,
    wanted: ReadonlyArray<number>
  ): Effect.fn.Return<Reading<V>, LogError, Scope.Scope> {
    const session = yield* Session.make({
      ...options,
      range: { partitions: new Set(wanted), from: undefined, to: undefined },
      seen,
      recorder: undefined,
      resumable: undefined,
      onProgress: () => {},
      onRestart: () => {},
      onGrown: () => undefined
    })
    options.onSession(session)
    const starts = yield* session.list("earliest", "read_committed")
    const ends = yield* session.list("latest", "read_committed")
    let target = 0
    let replayed = 0
    const reading = wanted.map((partition) => {
      const logStart = starts.get(partition)!
      const end = Math.max(logStart, ends.get(partition)!)
      const continuity = new Continuity(logStart, end)
      target += end - logStart
      return { partition, logStart, end, continuity, next: session.walk(partition, logStart, end) }
    })
    const isKey = (source: CursorSource): boolean =>
      source.keyLength === key.length &&
      source.keyBuffer.compare(key, 0, key.length, source.keyStart, source.keyStart + source.keyLength) === 0

    /** The last one that was handed on: a set that was damaged on its way is read a second time. */
    let last = -1
    /** Where the reading of the first partition stands. */
    let position = reading[0]?.logStart ?? 0
    const moveTo = (offset: number): void => {
      replayed += offset - position
      position = offset
    }
    const next: Reading<V>["next"] = Effect.gen(function* () {
      const of = reading[0]
      if (of === undefined) return undefined
      const cursor = yield* of.next
      if (cursor === undefined) {
        moveTo(of.end)
        reading.shift()
        position = reading[0]?.logStart ?? 0
        last = -1
        const { continuity, end, logStart, partition } = of
        return [{ _tag: "End", partition, logStart, offset: end, completeFrom: continuity.unbrokenFrom } as const]
      }
      cursor.report(of.continuity)
      const source = new CursorSource(of.partition, cursor)
      const items: Array<Item<V>> = []
      let started = performance.now()
      for (let n = 1; cursor.next(); n++) {
        if (cursor.offset > last && isKey(source)) {
          last = cursor.offset
          items.push(yield* itemOf(source))
        }
        if (n % STRIDE !== 0 || performance.now() - started <= SLICE) continue
        yield* Effect.yieldNow
        started = performance.now()
      }
      moveTo(Math.min(cursor.nextOffset, of.end))
      return items
    })
    return { next, progress: () => ({ replayed, target }) }
  })
}
