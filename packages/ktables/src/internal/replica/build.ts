/** Builds contents from the survivors of a load, beside the ones that are read meanwhile. */
import type { LogError } from "../log/logError.ts"
import { Effect, Exit, Fiber } from "effect"
import type { LogContents } from "./logContents.ts"
import type { ReaderMetrics } from "../log/metrics.ts"
import type { Session } from "../log/session.ts"
import { EntriesCursor } from "../checkpoint/entries.ts"
import { KeysMoved } from "../../TableError.ts"
import { inSlices, type Step } from "../slice.ts"
import type { Survivors } from "../records/survivors.ts"
import type { Application, Interruption } from "./application.ts"
import { type Decoding, isFiber } from "./decoding.ts"
import { join } from "./gather.ts"
import { ForeignKeys } from "./foreignKeys.ts"
import { hashOf } from "../records/partitioner.ts"
import { readHeaders } from "../records/recordHeaders.ts"
import { findMerge, isOpaque } from "./merges.ts"
import type { Ownership, Rank } from "./ownership.ts"
import { CursorSource, type Source, SurvivorSource } from "./source.ts"

/** Frames of entries of a partition: the last records of raw keys as of an earlier reader. */
export type Base = ReadonlyArray<Buffer>

/**
 * @param bases by partition; survivors of their partition count for more. What survivors hold lies in its keys' partitions, or
 *   the contents are of no use, as `Applier.spread` tells.
 */
export type Build<K, V> = (
  survivors: ReadonlyArray<Survivors>,
  bases: ReadonlyMap<number, Base>,
  session: Session
) => Effect.Effect<LogContents<K, V>, LogError>

/**
 * So many older values are looked at, or as many as there are keys whose newest does not decode where these are more, before
 * a topic of which none decodes is given up: its schema is another, and each value would take its time.
 */
const FUTILE = 10_000

/** An older record of a key whose newest has no value that decodes. */
interface Found<V> {
  readonly offset: number
  readonly timestamp: number
  /** Undefined for a tombstone. */
  readonly value: { readonly it: V; readonly length: number; readonly headers: Buffer } | undefined
}

const noBytes = Buffer.alloc(0)

/**
 * The record that was found, in place of the surviving one. Its value is decoded, and the bytes of it are gone; those of its
 * headers are there where they are kept.
 */
const inPlaceOf = (survivor: Source, { offset, timestamp, value }: Found<unknown>): Source => ({
  partition: survivor.partition,
  offset,
  timestamp,
  keyBuffer: survivor.keyBuffer,
  keyStart: survivor.keyStart,
  keyLength: survivor.keyLength,
  valueBuffer: value === undefined ? noBytes : value.headers,
  valueStart: 0,
  valueLength: value === undefined ? -1 : value.length,
  headersStart: 0,
  headersEnd: value === undefined ? 0 : value.headers.length
})

const sumOf = (all: ReadonlyArray<Survivors>, of: (survivors: Survivors) => number): number =>
  all.reduce((sum, survivors) => sum + of(survivors), 0)

function* range(end: number): Iterable<number> {
  for (let n = 0; n < end; n++) yield n
}

/** From the number itself down to 1. */
const divisorsOf = (number: number): ReadonlyArray<number> =>
  Array.from({ length: number }, (_, i) => number - i).filter((one) => number % one === 0)

const never = (): boolean => false

export const make = <K, V>(options: {
  readonly topic: string
  /** Whether different bytes are always different keys. */
  readonly isInjective: boolean
  /** Whether keys that compare equal encode to the same bytes, too. */
  readonly sameKey: (a: K, b: K) => boolean
  readonly decoding: Decoding<K, V>
  readonly application: Application<K, V>
  readonly ownership: Ownership
  readonly metrics: ReaderMetrics
  readonly keepsHeaders: boolean
  readonly empty: () => LogContents<K, V>
}): Build<K, V> => {
  const { application, empty, isInjective, keepsHeaders, metrics, ownership, topic } = options
  const { decodeKey, decodeValue, examples, settled, used } = options.decoding
  const { counts } = metrics

  const misplaced = Effect.fail(new KeysMoved({ topic, detail: "keys of its checkpoint lie outside their partitions" }))

  /** Whether headers can be read, where they are kept. */
  const isWhole = (bytes: Buffer, start: number, end: number): boolean =>
    !keepsHeaders || readHeaders(bytes, start, end) !== undefined

  /** One build: what it makes, and of what. */
  interface Building {
    readonly next: LogContents<K, V>
    /** Nobody follows contents that are being built. */
    readonly commit: (write: () => void) => void
    readonly session: Session
    readonly loaded: ReadonlyMap<number, Survivors>
    /** The numbers of partitions that growth by multiples may have had, the present one first. */
    readonly sizes: ReadonlyArray<number>
    readonly foreign: ForeignKeys
    /** Per partition, what was deleted there where it belongs, and has a record elsewhere. */
    readonly deleted: Map<number, Set<number>>
    /** Among those that have been applied, some lie outside their key's partition. */
    readonly hasForeign: () => boolean
  }

  /** A raw key has one survivor; only several raw keys that decode to one have to be told apart. */
  const rankIn =
    ({ hasForeign }: Building): (() => Rank) =>
    () =>
      !isInjective ? "any" : hasForeign() ? "newest" : "only"

  /**
   * Where the record lies that counts instead of this one, which is not in its key's partition: there; or where the topic has
   * grown by multiples more than once, in the partition that the key had after this record's. Entries for which `isNothing`
   * holds do not count.
   */
  const outdoneBy = (
    source: Source,
    { loaded, sizes }: Building,
    isNothing: (partition: number, entry: number) => boolean
  ): { readonly survivors: Survivors; readonly entry: number } | undefined => {
    const { keyBuffer, keyLength, keyStart } = source
    const hash = hashOf(keyBuffer, keyStart, keyStart + keyLength)
    const at = sizes.findIndex((size) => hash % size === source.partition)
    // Of a record that no such number of partitions explains nobody knows what came after it.
    const last = at < 0 ? 1 : at
    for (let i = 0; i < last; i++) {
      const survivors = loaded.get(hash % sizes[i]!)
      const entry = survivors?.find(keyBuffer, keyStart, keyLength) ?? -1
      if (entry >= 0 && !isNothing(survivors!.partition, entry)) return { survivors: survivors!, entry }
    }
    return undefined
  }

  /** Whether the record lies outside its key's partition, and another one counts. */
  const isDisowned = (source: Source, building: Building): boolean => {
    const { deleted, foreign } = building
    if (ownership.ownerOf(source) === source.partition) return false
    counts.foreign++
    if (ownership.spread === "none") ownership.spread = "foreign"
    foreign.add(source)
    const other = outdoneBy(source, building, never)
    if (other === undefined) return false
    const { partition } = other.survivors
    ownership.spread = "shared"
    ownership.outdone.add(source.partition, source.offset, partition)
    if (other.survivors.valueLength(other.entry) < 0) {
      let entries = deleted.get(partition)
      if (entries === undefined) deleted.set(partition, (entries = new Set()))
      entries.add(other.entry)
    }
    return true
  }

  /**
   * Applies what the survivors of its partition do not replace, for as long as plain code is enough. The rest joins the
   * survivors. A key outside its partition may have come live, and into the base by a merge: then the topic is loaded whole.
   */
  const applyBase = Effect.fnUntraced(function* (
    { commit, next }: Building,
    base: Base,
    survivors: Survivors
  ): Effect.fn.Return<void, LogError> {
    const cursor = new EntriesCursor(base, survivors.size === 0 ? undefined : survivors)
    const source = new CursorSource(survivors.partition, cursor)
    const isAlone = ownership.partitions === 1
    let isPlain = true
    yield* inSlices(
      (): Step<LogError> => {
        if (!isPlain || !cursor.next()) return false
        if (!isAlone && ownership.ownerOf(source) !== source.partition) return misplaced
        const interruption = application.now(next, source, "only")
        if (interruption === undefined) return true
        isPlain = false
        cursor.back()
        const { key, value } = interruption
        const started = [key, value].filter((decoded) => decoded !== undefined && isFiber<unknown>(decoded))
        return Fiber.interruptAll(started)
      },
      { commit, took: metrics.slice }
    )
    if (!isPlain) yield* join(survivors, cursor, metrics)
  })

  /** Applies those survivors of a partition that `isWanted` names; hands back the entries whose value was refused. */
  const applySurvivors = Effect.fnUntraced(function* (
    building: Building,
    survivors: Survivors,
    isWanted: (source: Source) => boolean
  ): Effect.fn.Return<ReadonlySet<number>, LogError> {
    const { commit, next } = building
    const rank = rankIn(building)
    const source = new SurvivorSource(survivors)
    const { size } = survivors
    const refused = new Set<number>()
    let at = 0
    const step = (): Step<LogError> => {
      if (at >= size) return false
      const entry = at++
      source.moveTo(entry)
      if (!isWanted(source)) return true
      const interruption = application.now(next, source, rank())
      if (interruption === undefined) return true
      return Effect.map(application.late(next, source, interruption, rank, commit), (outcome) => {
        if (outcome === "refused") refused.add(entry)
      })
    }
    yield* inSlices(step, { commit, took: metrics.slice })
    return refused
  })

  /** The newest older records of these entries, as far as they are in the log and decode. */
  const findOlder = Effect.fnUntraced(function* (
    { session }: Building,
    survivors: Survivors,
    entries: ReadonlySet<number>
  ): Effect.fn.Return<ReadonlyMap<number, Found<V>>, LogError> {
    const found = new Map<number, Found<V>>()
    /** Values that were looked at until one decoded. */
    let futile = 0
    const most = Math.max(FUTILE, entries.size)
    const isOver = () => futile >= most
    yield* session.reread(
      Effect.fnUntraced(function* (partition, cursor) {
        const source = new CursorSource(partition.partition, cursor)
        yield* inSlices(() => {
          if (isOver() || !cursor.next()) return false
          if (cursor.keyLength < 0) return true
          const entry = survivors.find(cursor.buffer, cursor.keyStart, cursor.keyLength)
          if (entry < 0 || !entries.has(entry) || cursor.offset > survivors.offsetOf(entry)) return true
          const { offset, timestamp, valueLength } = cursor
          if (valueLength < 0) {
            found.set(entry, { offset, timestamp, value: undefined })
            return true
          }
          return used(decodeValue, source, (decoded) => {
            const { headersEnd, headersStart, valueBuffer } = source
            if (Exit.isFailure(decoded) || !isWhole(valueBuffer, headersStart, headersEnd)) {
              futile++
              return
            }
            futile = Number.NEGATIVE_INFINITY
            // Copied: the memory of the answer is filled again.
            const headers = keepsHeaders ? Buffer.from(valueBuffer.subarray(headersStart, headersEnd)) : noBytes
            found.set(entry, { offset, timestamp, value: { it: decoded.value, length: valueLength, headers } })
          })
        })
      }),
      new Set([survivors.partition]),
      isOver
    )
    if (isOver()) {
      yield* Effect.logWarning(
        `${topic}[${survivors.partition}]: none of ${most} older values decodes, and no more of them are looked for: is the schema that of the topic?`
      )
    }
    return found
  })

  /** Applies survivors, or where their values are refused what is found below them; hands back entries without either. */
  const applyPartition = Effect.fnUntraced(function* (
    building: Building,
    survivors: Survivors,
    isWanted: (source: Source) => boolean
  ): Effect.fn.Return<ReadonlySet<number>, LogError> {
    const refused = yield* applySurvivors(building, survivors, isWanted)
    if (refused.size === 0) return refused
    const { commit, next } = building
    const rank = rankIn(building)
    const source = new SurvivorSource(survivors)
    const left = new Set(refused)
    for (const [entry, found] of yield* findOlder(building, survivors, refused)) {
      source.moveTo(entry)
      const k = yield* settled(decodeKey, source)
      left.delete(entry)
      if (Exit.isFailure(k)) continue
      const older: Interruption<K, V> = {
        key: k,
        value: found.value === undefined ? undefined : Exit.succeed(found.value.it)
      }
      yield* application.late(next, inPlaceOf(source, found), older, rank, commit)
    }
    return left
  })

  /** Remembers what was deleted where it belongs: of these entries, or of all. */
  const bury = Effect.fnUntraced(function* (
    next: LogContents<K, V>,
    survivors: Survivors,
    entries: Iterable<number>
  ): Effect.fn.Return<void> {
    const source = new SurvivorSource(survivors)
    const left = entries[Symbol.iterator]()
    yield* inSlices(() => {
      const entry = left.next()
      if (entry.done === true) return false
      source.moveTo(entry.value)
      if (source.valueLength >= 0 || ownership.ownerOf(source) !== source.partition) return true
      return used(decodeKey, source, (k) => {
        if (Exit.isSuccess(k) && !next.has(k.value)) {
          next.bury(k.value, source.partition, source.offset, source.timestamp)
        }
      })
    })
  })

  /** Says how much of a load is not in the table: louder where nothing else was in it. */
  const summarize = (
    next: LogContents<K, V>,
    all: ReadonlyArray<Survivors>,
    ofBases: number,
    keys: number,
    values: number
  ) =>
    Effect.suspend(() => {
      const { first, last } = examples
      examples.first = examples.last = undefined
      const keyless = sumOf(all, (survivors) => survivors.keyless)
      const size = ofBases + sumOf(all, ({ size }) => size)
      const isNothing = next.size === 0 && keys + values + keyless > 0
      if (keys + values < 2 && keyless < 2 && !isNothing) return Effect.void
      const parts: Array<string> = []
      if (keyless > 0) parts.push(`${keyless} of ${sumOf(all, (survivors) => survivors.records)} records have no key`)
      if (keys > 0) parts.push(`${keys} of ${size} keys do not decode`)
      if (values > 0) parts.push(`the values of ${values} of ${size} keys do not decode`)
      if (first !== undefined) parts.push(`the first: ${first}`)
      if (last !== undefined && last !== first) parts.push(`the last: ${last}`)
      const message = `${topic}: ${isNothing ? "nothing in it can be shown; " : ""}${parts.join("; ")}`
      return isNothing ? Effect.logError(message) : Effect.logWarning(message)
    })

  let hasWarned = false
  /** Warns once, where entries are missing that nothing else explains. */
  const warnOfMerges = Effect.fnUntraced(function* (
    next: LogContents<K, V>,
    all: ReadonlyArray<Survivors>,
    explained: number
  ): Effect.fn.Return<void> {
    const raw = sumOf(all, ({ extent }) => extent.entries)
    if (isInjective || hasWarned || next.size + explained >= raw || (next.size > 0 && !isOpaque(next))) return
    const merged = yield* findMerge(all, options.decoding, options.sameKey)
    if (merged === undefined) return
    hasWarned = true
    yield* Effect.logWarning(
      `${topic}: different keys are one in this table, since what they decode to compares equal: ${merged}. The last record of either counts; decode keys to plain data, or give their class an Equal and a Hash`
    )
  })

  return Effect.fnUntraced(function* (all, bases, session) {
    ownership.partitions = session.partitionCount()
    ownership.isDoubtful = false
    ownership.isIgnorant = false
    ownership.spread = "none"
    ownership.outdone.clear()
    for (const survivors of all) {
      counts.records += survivors.records
      counts.tombstones += survivors.tombstones
      counts.keyless += survivors.keyless
    }
    const next = empty()
    const loaded = new Map(all.map((survivors) => [survivors.partition, survivors]))
    const foreignBefore = counts.foreign
    const { keyErrors, valueErrors } = counts
    const foreign = new ForeignKeys(ownership.partitions)
    const building: Building = {
      next,
      commit: (write) => void next.mutate(write, false),
      session,
      loaded,
      sizes: divisorsOf(ownership.partitions),
      foreign,
      deleted: new Map(),
      hasForeign: () => counts.foreign !== foreignBefore
    }
    // Entries come in no order: where several raw keys may decode to one, deletions have to be remembered.
    if (!isInjective) next.keepAllGraves()
    /** Per partition, the keys that it has records of and no value that decodes. */
    const valueless = new Map<number, ReadonlySet<number>>()
    const isAlone = ownership.partitions === 1
    for (const survivors of all) {
      const base = bases.get(survivors.partition)
      if (base !== undefined) yield* applyBase(building, base, survivors)
    }
    const ofBases = next.size
    for (const survivors of all) {
      const left = yield* applyPartition(building, survivors, (source) => isAlone || !isDisowned(source, building))
      if (left.size > 0) valueless.set(survivors.partition, left)
    }
    // What is skipped in the partition whose record would count does not disown the key's records elsewhere.
    if (!isAlone && valueless.size > 0) {
      const isValueless = (partition: number, entry: number) => valueless.get(partition)?.has(entry) === true
      for (const survivors of all) {
        yield* applyPartition(building, survivors, (source) => {
          if (ownership.ownerOf(source) === source.partition) return false
          if (outdoneBy(source, building, never) === undefined) return false
          if (outdoneBy(source, building, isValueless) !== undefined) return false
          ownership.outdone.remove(source.partition, source.offset)
          return true
        })
      }
    }
    next.dropGraves()
    ownership.isForeign = foreign.areMany(sumOf(all, ({ size }) => size))
    if (building.hasForeign() && (!ownership.isForeign || building.deleted.size > 0)) {
      next.keepGraves()
      for (const survivors of all) {
        const entries = ownership.isForeign ? building.deleted.get(survivors.partition) : range(survivors.size)
        if (entries !== undefined) yield* bury(next, survivors, entries)
      }
      next.hasForgotten = false
    }
    const errors = counts.keyErrors - keyErrors + counts.valueErrors - valueErrors
    yield* warnOfMerges(next, all, errors + counts.foreign - foreignBefore)
    yield* summarize(next, all, ofBases, counts.keyErrors - keyErrors, counts.valueErrors - valueErrors)
    return next
  })
}
