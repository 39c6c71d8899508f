/**
 * Decodes records and applies them to a table's contents: survivors of a load all at once, live records in slices.
 *
 * A slice is one synchronous loop inside one mutation of the map: one version, one publication. A codec that needs an
 * effect interrupts the slice; what came before it is committed, and the loop goes on behind its result.
 */
import { Cause, type Context, Effect, Exit, Fiber, Option } from "effect"
import type * as Codec from "../../Codec.ts"
import { DecodeError, KeysMoved, type TableError } from "../../TableError.ts"
import type { TableTopic } from "../../TableTopic.ts"
import type { RecordCursor } from "../records/batchReader.ts"
import { backoff } from "../topic/backoff.ts"
import { partitionOf } from "../writer/partitioner.ts"
import { type Change, Contents } from "./contents.ts"
import type { ReaderMetrics } from "./metrics.ts"
import type { Partition } from "./partition.ts"
import type { Consume, Session } from "./session.ts"
import type { Survivors } from "./survivors.ts"
import type { OnDecodeError, RawRecord } from "../../KafkaTable.ts"

/** Milliseconds a slice may keep the event loop. */
const SLICE = 4
/** Records between two looks at the clock. */
const STRIDE = 64
/** After so many looks at the topic that found no added partitions, foreign keys are taken for what they are. */
const UNFOUNDED = 8
/** Milliseconds until another look is due then. */
const HOLD_OFF = 1000

/** Bytes in place: what a record, live or surviving, is decoded from. */
interface Source {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly keyBuffer: Buffer
  readonly keyStart: number
  readonly keyLength: number
  readonly valueBuffer: Buffer
  readonly valueStart: number
  /** -1 for a tombstone. */
  readonly valueLength: number
}

/**
 * What is known of a record beside the others of its key: that there is no other, that none of those applied is newer, or
 * nothing, so that their places have to be compared.
 */
type Rank = "only" | "newest" | "any"

/** What decoding one half of a record came to: its value, its refusal, or the effect that will tell. */
type Decoded<A> = Exit.Exit<A, Codec.CodecError> | Fiber.Fiber<A, Codec.CodecError>

const isFiber = <A>(decoded: Decoded<A>): decoded is Fiber.Fiber<A, Codec.CodecError> => Fiber.isFiber(decoded)

const refusalOf = (exit: Exit.Exit<unknown, Codec.CodecError>): Codec.CodecError | undefined =>
  Exit.isSuccess(exit) ? undefined : Option.getOrUndefined(Cause.findErrorOption(exit.cause))
const isTransient = (exit: Exit.Exit<unknown, Codec.CodecError>): boolean => refusalOf(exit)?.isTransient === true

export interface Applier<K, V> {
  readonly contents: () => Contents<K, V>
  /** Takes live records up to the cursor's end. `committed` is called after each slice, before subscribers hear of it. */
  readonly live: (
    session: Session,
    committed: (partition: Partition, position: number) => void,
    publish: (changes: ReadonlyArray<Change<K, V>>) => void
  ) => Consume
  /** Builds new contents from survivors, beside the ones that are read. */
  readonly build: (survivors: ReadonlyArray<Survivors>, session: Session) => Effect.Effect<Contents<K, V>, TableError>
  /** Whether the contents hold, or were denied, a record outside its key's partition. */
  readonly hasForeign: () => boolean
  /** Partitions were added: keys belong elsewhere from here on. */
  readonly grown: (partitions: number) => void
  /** Puts new contents in place of the old ones. */
  readonly swap: (next: Contents<K, V>) => void
}

/** What has to change in `from` to become `to`, by value. */
export const difference = Effect.fnUntraced(function* <K, V>(
  from: Contents<K, V>,
  to: Contents<K, V>,
  same: (a: V, b: V) => boolean
): Effect.fn.Return<ReadonlyArray<Change<K, V>>> {
  const changes: Array<Change<K, V>> = []
  let deadline = performance.now() + SLICE
  let n = 0
  for (const [key, value] of to) {
    const previous = from.get(key)
    if (Option.isNone(previous) || !same(previous.value, value)) changes.push({ _tag: "Set", key, value, previous })
    if (++n % STRIDE === 0 && performance.now() > deadline) {
      yield* Effect.yieldNow
      deadline = performance.now() + SLICE
    }
  }
  for (const [key, value] of from) {
    if (!to.has(key)) changes.push({ _tag: "Deleted", key, previous: value })
    if (++n % STRIDE === 0 && performance.now() > deadline) {
      yield* Effect.yieldNow
      deadline = performance.now() + SLICE
    }
  }
  return changes
})

export const make = <K, V, RD, RE>(options: {
  readonly topic: TableTopic<K, V, RD, RE>
  readonly context: Context.Context<RD>
  readonly onDecodeError: OnDecodeError
  readonly metrics: ReaderMetrics
  readonly wantsChanges: () => boolean
  /** Says so, once in a while, without flooding the log. */
  readonly report: (kind: string, message: string) => Effect.Effect<void>
}): Applier<K, V> => {
  const { context, metrics, report, topic } = options
  const { counts } = metrics
  const onDecodeError = options.onDecodeError
  const key = topic.key
  const value = topic.value
  let contents = new Contents<K, V>()

  /** Settles what can be settled without leaving the loop. */
  const settle = <A>(effect: Effect.Effect<A, Codec.CodecError, RD>): Decoded<A> => {
    if (Exit.isExit(effect)) return effect as Exit.Exit<A, Codec.CodecError>
    const exit = Effect.runSyncExitWith(context)(effect)
    if (Exit.isSuccess(exit)) return exit
    const defect = Cause.squash(exit.cause)
    return Cause.isAsyncFiberError(defect) ? (defect.fiber as Fiber.Fiber<A, Codec.CodecError>) : exit
  }
  const decodeKey = (source: Source): Decoded<K> =>
    settle(key.decodeSlice(source.keyBuffer, source.keyStart, source.keyStart + source.keyLength))
  const decodeValue = (source: Source): Decoded<V> =>
    settle(value.decodeSlice(source.valueBuffer, source.valueStart, source.valueStart + source.valueLength))

  /** Waits for a codec's effect; failures of its surroundings are retried for as long as they last. */
  const awaitDecoded = <A>(
    first: Decoded<A>,
    again: () => Decoded<A>
  ): Effect.Effect<Exit.Exit<A, Codec.CodecError>> => {
    const attempt = (decoded: Decoded<A>, failures: number): Effect.Effect<Exit.Exit<A, Codec.CodecError>> => {
      const done: Effect.Effect<Exit.Exit<A, Codec.CodecError>> = isFiber(decoded)
        ? Effect.onInterrupt(Fiber.await(decoded), () => Fiber.interrupt(decoded))
        : Effect.succeed(decoded)
      return Effect.flatMap(done, (exit) =>
        !isTransient(exit)
          ? Effect.succeed(exit)
          : Effect.andThen(
              Effect.andThen(
                report(
                  "codec unavailable",
                  `a codec of ${topic.name} is unavailable and is tried again: ${refusalOf(exit)?.detail}`
                ),
                backoff(failures)
              ),
              Effect.suspend(() => attempt(again(), failures + 1))
            )
      )
    }
    return attempt(first, 1)
  }

  const decodeError = (source: Source, part: "key" | "value", detail: string): DecodeError =>
    new DecodeError({ topic: topic.name, partition: source.partition, offset: source.offset, part, detail })

  const rawOf = (source: Source): RawRecord => ({
    topic: topic.name,
    partition: source.partition,
    offset: source.offset,
    timestamp: source.timestamp,
    key: Buffer.from(source.keyBuffer.subarray(source.keyStart, source.keyStart + source.keyLength)),
    value:
      source.valueLength < 0
        ? null
        : Buffer.from(source.valueBuffer.subarray(source.valueStart, source.valueStart + source.valueLength))
  })

  /** Counts and reports a record that does not decode, and says what becomes of it. */
  const onPoison = Effect.fnUntraced(function* (
    source: Source,
    part: "key" | "value",
    refusal: Codec.CodecError
  ): Effect.fn.Return<"skip" | "remove", TableError> {
    if (part === "key") counts.keyErrors++
    else counts.valueErrors++
    const error = decodeError(source, part, refusal.detail)
    yield* metrics.failed(`${part} decode`)
    const choice = typeof onDecodeError === "string" ? onDecodeError : yield* onDecodeError(error, rawOf(source))
    if (choice === "fail") return yield* error
    yield* report(`${part} decode`, `${error.message} (${choice === "skip" ? "skipped" : "removed"})`)
    return choice
  })

  // ------------------------------------------------------------------------------------------------ ownership

  let partitionCount = 1
  let foreignAtBuild = 0

  const ownerOf = (source: Source): number =>
    partitionOf(source.keyBuffer, source.keyStart, source.keyStart + source.keyLength, partitionCount)

  /**
   * Whether a record may replace what is known of its key. Within a partition the later offset wins. Across partitions
   * (partitions were added, or somebody uses another partitioner) the key's owner wins over the others, and among the
   * others the one seen last.
   */
  const admits = (target: Contents<K, V>, source: Source, k: K): boolean => {
    const previous = target.previous(k)
    if (previous === undefined || previous.partition === source.partition) {
      if (partitionCount > 1 && ownerOf(source) !== source.partition) {
        if (previous === undefined && target.hasForgotten && source.valueLength >= 0) {
          isIgnorant = true
          return false
        }
        target.keepGraves()
      }
      return previous === undefined || previous.offset <= source.offset
    }
    const isDisowned = previous.partition === ownerOf(source)
    if (isDisowned && isWary) {
      isDoubtful = true
      return false
    }
    counts.foreign++
    target.keepGraves()
    return !isDisowned
  }
  /**
   * While it is set, a record that its key's owner outdoes is not passed over but doubted: partitions may have been added
   * that whoever wrote it knew of, and then it is the owner's.
   */
  let isWary = false
  let isDoubtful = false
  /** Set by a record outside its key's partition, where nobody remembers whether the key was deleted in its own. */
  let isIgnorant = false
  /** Doubts in a row that were unfounded, and when, by `performance.now()`, the next is due. */
  let unfounded = 0
  let doubtAgain = 0

  const put = (target: Contents<K, V>, source: Source, k: K, v: V, rank: Rank): void => {
    if (rank === "only") target.insert(k, v, source.partition, source.offset, source.timestamp)
    else if (rank === "newest" || admits(target, source, k)) {
      target.set(k, v, source.partition, source.offset, source.timestamp)
    }
  }
  const remove = (target: Contents<K, V>, source: Source, k: K, rank: Rank): void => {
    if (rank !== "any" || admits(target, source, k)) target.delete(k, source.partition, source.offset, source.timestamp)
  }

  // ------------------------------------------------------------------------------------------------ live

  const forgotten = Effect.suspend(() => {
    isIgnorant = false
    return new KeysMoved({
      topic: topic.name,
      detail: "one was written where it does not belong, and may have been deleted"
    })
  })

  /** What interrupted a slice: a record that does not decode, needs an effect to, or is doubtful. */
  interface Interruption {
    readonly key: Decoded<K>
    /** Undefined while not looked at. */
    readonly value: Decoded<V> | undefined
  }

  /** Decodes and applies one record, unless that takes more than plain code. */
  const applyOne = (target: Contents<K, V>, source: Source, rank: Rank): Interruption | undefined => {
    const keyEnd = source.keyStart + source.keyLength
    let k = key.decodePlain?.(source.keyBuffer, source.keyStart, keyEnd)
    if (k === undefined) {
      const decoded = decodeKey(source)
      if (isFiber(decoded) || Exit.isFailure(decoded)) return { key: decoded, value: undefined }
      k = decoded.value
    }
    if (source.valueLength < 0) {
      remove(target, source, k, rank)
      return isDoubtful ? { key: Exit.succeed(k), value: undefined } : undefined
    }
    const valueEnd = source.valueStart + source.valueLength
    let v = value.decodePlain?.(source.valueBuffer, source.valueStart, valueEnd)
    if (v === undefined) {
      const decoded = decodeValue(source)
      if (isFiber(decoded) || Exit.isFailure(decoded)) return { key: Exit.succeed(k), value: decoded }
      v = decoded.value
    }
    put(target, source, k, v, rank)
    return isDoubtful ? { key: Exit.succeed(k), value: Exit.succeed(v) } : undefined
  }

  /** Does what `applyOne` could not: waits for codecs and asks what becomes of a bad record. */
  const applyLate = Effect.fnUntraced(function* (
    target: Contents<K, V>,
    source: Source,
    late: Interruption,
    /** Asked once the codecs have answered. */
    rankNow: () => Rank,
    collect: boolean
  ): Effect.fn.Return<ReadonlyArray<Change<K, V>> | "refused", TableError> {
    const k = yield* awaitDecoded(late.key, () => decodeKey(source))
    if (Exit.isFailure(k)) {
      const refusal = refusalOf(k)
      if (refusal === undefined) return yield* Effect.die(Cause.squash(k.cause))
      yield* onPoison(source, "key", refusal)
      return []
    }
    if (source.valueLength < 0) return target.mutate(() => remove(target, source, k.value, rankNow()), collect)
    const v = yield* awaitDecoded(late.value ?? decodeValue(source), () => decodeValue(source))
    if (Exit.isSuccess(v)) return target.mutate(() => put(target, source, k.value, v.value, rankNow()), collect)
    const refusal = refusalOf(v)
    if (refusal === undefined) return yield* Effect.die(Cause.squash(v.cause))
    const choice = yield* onPoison(source, "value", refusal)
    return choice === "skip" ? "refused" : target.mutate(() => remove(target, source, k.value, rankNow()), collect)
  })

  const live: Applier<K, V>["live"] = (session, committed, publish) => {
    /** The cursor as a source, without an object per record. */
    class CursorSource implements Source {
      readonly partition: number
      readonly cursor: RecordCursor
      constructor(partition: number, cursor: RecordCursor) {
        this.partition = partition
        this.cursor = cursor
      }
      get offset() {
        return this.cursor.offset
      }
      get timestamp() {
        return this.cursor.timestamp
      }
      get keyBuffer() {
        return this.cursor.buffer
      }
      get keyStart() {
        return this.cursor.keyStart
      }
      get keyLength() {
        return this.cursor.keyLength
      }
      get valueBuffer() {
        return this.cursor.buffer
      }
      get valueStart() {
        return this.cursor.valueStart
      }
      get valueLength() {
        return this.cursor.valueLength
      }
    }

    return Effect.fnUntraced(function* (partition, cursor) {
      partitionCount = session.partitions.size
      const source = new CursorSource(partition.partition, cursor)
      // With one partition, the log's order is the order of arrival; another may be added between two slices.
      const rankNow = (): Rank => (partitionCount === 1 ? "newest" : "any")
      let ended = false
      let interruption: Interruption | undefined
      let problem: { readonly defect: unknown } | undefined
      /** One look at the topic tells of all records of an answer, since they were written before it. */
      let hasLooked = performance.now() < doubtAgain

      const look = Effect.gen(function* () {
        hasLooked = true
        const before = session.partitions.size
        yield* session.look
        partitionCount = session.partitions.size
        unfounded = partitionCount > before ? 0 : unfounded + 1
        if (unfounded >= UNFOUNDED) doubtAgain = performance.now() + HOLD_OFF
      })

      const slice = (): void => {
        isIgnorant = false
        isWary = !hasLooked
        isDoubtful = false
        applySome()
        isWary = false
      }
      const applySome = (): void => {
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
              interruption = applyOne(contents, source, rank)
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
        const changes = contents.mutate(slice, options.wantsChanges())
        if (isIgnorant) {
          publish(changes)
          return yield* forgotten
        }
        // What interrupted the slice is not applied yet.
        const open = interruption !== undefined || problem !== undefined
        committed(partition, ended ? cursor.nextOffset : open ? cursor.offset : cursor.offset + 1)
        publish(changes)
        if (problem !== undefined) return yield* Effect.die((problem as { readonly defect: unknown }).defect)
        if (interruption !== undefined) {
          const late: Interruption = interruption
          interruption = undefined
          if (isDoubtful) {
            isDoubtful = false
            yield* look
          }
          const more = yield* applyLate(contents, source, late, rankNow, options.wantsChanges())
          if (isIgnorant) return yield* forgotten
          committed(partition, cursor.offset + 1)
          if (more !== "refused") publish(more)
        }
        if (!ended) yield* Effect.yieldNow
      }
    })
  }

  // ------------------------------------------------------------------------------------------------ load

  /** A surviving record as a source; moved from entry to entry. */
  class SurvivorSource implements Source {
    entry = 0
    readonly survivors: Survivors
    constructor(survivors: Survivors) {
      this.survivors = survivors
    }
    get partition() {
      return this.survivors.partition
    }
    get offset() {
      return this.survivors.offsetOf(this.entry)
    }
    get timestamp() {
      return this.survivors.timestampOf(this.entry)
    }
    get keyBuffer() {
      return this.survivors.keyBuffer
    }
    get keyStart() {
      return this.survivors.keyStart(this.entry)
    }
    get keyLength() {
      return this.survivors.keyLength(this.entry)
    }
    get valueBuffer() {
      return this.survivors.valueBuffer(this.entry)
    }
    get valueStart() {
      return this.survivors.valueStart(this.entry)
    }
    get valueLength() {
      return this.survivors.valueLength(this.entry)
    }
  }

  const build: Applier<K, V>["build"] = Effect.fnUntraced(function* (loaded, session) {
    partitionCount = session.partitions.size
    foreignAtBuild = counts.foreign
    isDoubtful = false
    isIgnorant = false
    for (const survivors of loaded) {
      counts.records += survivors.records
      counts.tombstones += survivors.tombstones
      counts.keyless += survivors.keyless
    }
    const next = new Contents<K, V>()
    const foreignBefore = counts.foreign
    // Entries come in no order: where several raw keys may decode to one, deletions have to be remembered.
    if (!key.isInjective) next.keepGraves()
    const byPartition = new Map(loaded.map((survivors) => [survivors.partition, survivors]))
    /** Per partition, the keys that it has records of and no value that decodes. */
    const valueless = new Map<number, ReadonlySet<number>>()
    for (const survivors of loaded) {
      const left = yield* buildPartition(next, survivors, session, foreignBefore, (source) =>
        partitionCount === 1 ? true : !isDisowned(source, byPartition)
      )
      if (left.size > 0) valueless.set(survivors.partition, left)
    }
    // What is skipped in a key's own partition does not disown the key's records elsewhere.
    if (partitionCount > 1 && valueless.size > 0) {
      for (const survivors of loaded) {
        yield* buildPartition(next, survivors, session, foreignBefore, (source) => {
          const owner = ownerOf(source)
          const left = owner === source.partition ? undefined : valueless.get(owner)
          if (left === undefined) return false
          return left.has(byPartition.get(owner)!.find(source.keyBuffer, source.keyStart, source.keyLength))
        })
      }
    }
    if (counts.foreign === foreignBefore) next.dropGraves()
    else {
      for (const survivors of loaded) yield* bury(next, survivors)
      next.hasForgotten = false
    }
    return next
  })

  /** Whether the record lies outside its key's partition, and that partition has a record of the key. */
  const isDisowned = (source: Source, byPartition: ReadonlyMap<number, Survivors>): boolean => {
    const owner = ownerOf(source)
    if (owner === source.partition) return false
    counts.foreign++
    const there = byPartition.get(owner)
    return there !== undefined && there.find(source.keyBuffer, source.keyStart, source.keyLength) >= 0
  }

  /** Remembers what was deleted where it belongs, once keys were seen where they do not. */
  const bury = Effect.fnUntraced(function* (next: Contents<K, V>, survivors: Survivors): Effect.fn.Return<void> {
    next.keepGraves()
    const source = new SurvivorSource(survivors)
    for (let entry = 0; entry < survivors.size; entry++) {
      source.entry = entry
      if (source.valueLength >= 0 || ownerOf(source) !== source.partition) continue
      const k = yield* awaitDecoded(decodeKey(source), () => decodeKey(source))
      if (Exit.isSuccess(k) && !next.has(k.value)) {
        next.mutate(() => next.delete(k.value, source.partition, source.offset, source.timestamp), false)
      }
    }
  })

  /** Applies those survivors of a partition that `isWanted` names; hands back the entries that came to no value. */
  const buildPartition = Effect.fnUntraced(function* (
    next: Contents<K, V>,
    survivors: Survivors,
    session: Session,
    foreignBefore: number,
    isWanted: (source: Source) => boolean
  ): Effect.fn.Return<ReadonlySet<number>, TableError> {
    const source = new SurvivorSource(survivors)
    // A raw key has one survivor; only several raw keys that decode to one have to be told apart.
    const rankOf = (): Rank => (!key.isInjective ? "any" : counts.foreign === foreignBefore ? "only" : "newest")
    const distinct = survivors.size
    /** Entries whose value does not decode and may have an older one that does. */
    const refused: Array<number> = []
    let at = 0
    let problem: { readonly defect: unknown } | undefined
    let interruption: Interruption | undefined
    const slice = (): void => {
      const started = performance.now()
      let n = 0
      while (at < distinct) {
        source.entry = at++
        if (!isWanted(source)) continue
        try {
          interruption = applyOne(next, source, rankOf())
          if (interruption !== undefined) return
        } catch (defect) {
          problem = { defect }
          return
        }
        if (++n % STRIDE === 0 && performance.now() - started > SLICE) break
      }
      metrics.slice(performance.now() - started)
    }
    while (at < distinct) {
      next.mutate(slice, false)
      if (problem !== undefined) return yield* Effect.die((problem as { readonly defect: unknown }).defect)
      if (interruption !== undefined) {
        const late: Interruption = interruption
        interruption = undefined
        if ((yield* applyLate(next, source, late, rankOf, false)) === "refused") refused.push(source.entry)
      }
      if (at < distinct) yield* Effect.yieldNow
    }
    if (refused.length === 0) return noEntries

    // Their newest value that decodes is somewhere below them in the log.
    const lookedFor = new Set(refused)
    const found = new Map<number, Found<V>>()
    yield* session.reread(
      Effect.fnUntraced(function* (_partition, cursor) {
        let deadline = performance.now() + SLICE
        let n = 0
        while (cursor.next()) {
          if (++n % STRIDE === 0 && performance.now() > deadline) {
            yield* Effect.yieldNow
            deadline = performance.now() + SLICE
          }
          if (cursor.keyLength < 0) continue
          const entry = survivors.find(cursor.buffer, cursor.keyStart, cursor.keyLength)
          if (entry < 0 || !lookedFor.has(entry) || cursor.offset > survivors.offsetOf(entry)) continue
          const { offset, timestamp } = cursor
          if (cursor.valueLength < 0) {
            found.set(entry, { offset, timestamp, value: undefined })
            continue
          }
          const again = () =>
            settle(value.decodeSlice(cursor.buffer, cursor.valueStart, cursor.valueStart + cursor.valueLength))
          const decoded = yield* awaitDecoded(again(), again)
          if (Exit.isSuccess(decoded)) found.set(entry, { offset, timestamp, value: { it: decoded.value } })
        }
      }),
      new Set([survivors.partition])
    )
    for (const [entry, { offset, timestamp, value }] of found) {
      source.entry = entry
      const k = yield* awaitDecoded(decodeKey(source), () => decodeKey(source))
      lookedFor.delete(entry)
      if (Exit.isFailure(k)) continue
      const older: Source = {
        partition: source.partition,
        offset,
        timestamp,
        keyBuffer: source.keyBuffer,
        keyStart: source.keyStart,
        keyLength: source.keyLength,
        valueBuffer: source.keyBuffer,
        valueStart: 0,
        valueLength: value === undefined ? -1 : 0
      }
      next.mutate(
        () =>
          value === undefined ? remove(next, older, k.value, rankOf()) : put(next, older, k.value, value.it, rankOf()),
        false
      )
    }
    return lookedFor
  })

  return {
    contents: () => contents,
    live,
    build,
    hasForeign: () => counts.foreign > foreignAtBuild,
    grown: (partitions) => {
      partitionCount = partitions
    },
    swap: (next) => {
      next.version = contents.version + 1
      contents = next
    }
  }
}

const noEntries: ReadonlySet<number> = new Set()

interface Found<V> {
  readonly offset: number
  readonly timestamp: number
  /** Undefined for a tombstone. */
  readonly value: { readonly it: V } | undefined
}
