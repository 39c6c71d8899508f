/**
 * The checkpoint of a table: what brokers answered, recorded as it came, so that a start from it is a load whose first
 * answers are read here.
 *
 * It begins with a base, the last record of each raw key, and what follows is appended. When that outweighs the base, it is
 * merged into a new one, a partition after another, beside what is there.
 */
import { randomUUID } from "node:crypto"
import { Data, Effect, Fiber, Latch, Result, type Scope, Semaphore } from "effect"
import { AnswerMemory } from "../records/answerMemory.ts"
import { Survivors } from "../records/survivors.ts"
import { SLICE } from "../slice.ts"
import { answering } from "./answering.ts"
import { entriesFrame } from "./entries.ts"
import {
  type Answer,
  checksum,
  headerFrame,
  type Identity,
  isReplaceable,
  Kind,
  type Marks,
  marksFrame,
  PREAMBLE,
  preamble,
  readHead,
  seal,
  seedOf
} from "./format.ts"
import { Recorder } from "./recorder.ts"
import { enterPlace, type Places, type Saved, scan, walkFrame } from "./scan.ts"
import { type Checkpoint, CheckpointError, type Service } from "./store.ts"

export type { Answer, Identity, Mark, Marks } from "./format.ts"
export type { Recorded, Saved } from "./scan.ts"

/** Bytes of what was appended below which a merge is not worth its work. */
const LEAST_MERGED = 1 << 22
/** Bytes of answers from which on they are not kept until the next save: as much as is framed and checked within a slice. */
const MOST_UNWRITTEN = 1 << 22
/** Bytes of answers that are kept for a store that does not take them; with more, the rest is lost. */
const MOST_KEPT = 1 << 26

/** What was written is not there any more as it was: nothing that is written behind it would be read. */
class Damaged extends Data.TaggedError("Damaged")<{ readonly detail: string }> {}

/** What was found when it was read. */
export interface Found {
  readonly saved: Saved | undefined
  /** Why there is nothing to start from; undefined where there is, and where there was none. */
  readonly unusable: string | undefined
}

export interface CheckpointFile {
  /** Reads what is there, up to its last whole marks. To be done once, before all else. */
  readonly read: Effect.Effect<Found>
  /** Why it is not written by this table; undefined where it is. Succeeds once that is known. */
  readonly refusal: Effect.Effect<string | undefined>
  /**
   * Whether what is recorded has something to follow: a checkpoint that was read, or rewritten. Otherwise nothing is
   * recorded, and a save fails, until it is rewritten.
   */
  readonly isGoingOn: () => boolean
  /** Whether what is recorded is kept, also for a rewriting that has failed and may be run again. */
  readonly isRecording: () => boolean
  /** Copies what a broker answered. It counts with the next save, or with what is rewritten next. */
  readonly record: (partition: number, answer: Answer) => void
  /** Has succeeded once everything that was recorded before is stored, with these marks. Failed, the next one does it. */
  readonly save: (marks: Marks) => Effect.Effect<void, CheckpointError>
  /**
   * Puts a new base in the place of what is there. What was recorded before is no part of it, and what is recorded from when it
   * is first run on follows: where it fails it can be run again while that `isRecording`. The survivors must stay as they are
   * meanwhile.
   */
  readonly rewrite: (
    identity: Identity,
    survivors: ReadonlyArray<Survivors>,
    marks: Marks
  ) => Effect.Effect<void, CheckpointError>
  /** It is of no use any more: what is there is removed. */
  readonly forget: Effect.Effect<void, CheckpointError>
  /** Bytes that are stored. */
  readonly bytes: () => number
}

/** Frames that are written one after another, each with the checksum of the one before it. */
class Chain {
  readonly places: Places
  /** Where it ends. */
  at: number
  crc: number
  readonly #write: Checkpoint["write"]

  constructor(write: Checkpoint["write"], at: number, crc: number, places: Places) {
    this.#write = write
    this.at = at
    this.crc = crc
    this.places = places
  }

  /** They count once they are written. */
  write(frames: ReadonlyArray<Buffer>): Effect.Effect<void, CheckpointError> {
    return Effect.suspend(() => {
      const checksums = [this.crc]
      for (const frame of frames) checksums.push(seal(frame, checksums.at(-1)!))
      return Effect.map(this.#write(this.at, frames), () => {
        for (const [i, frame] of frames.entries()) {
          const { kind, partition } = readHead(frame, 0)
          if (kind === Kind.entries || kind === Kind.answers) {
            enterPlace(this.places, partition, this.at, frame.length, checksums[i]!)
          }
          this.at += frame.length
        }
        this.crc = checksums.at(-1)!
      })
    })
  }
}

/** What is stored. */
interface Body {
  readonly identity: Identity
  readonly chain: Chain
  /** Where the base ends. */
  readonly baseEnd: number
  /** The last marks, and where they end. */
  marks: Marks
  marked: number
  /** With more bytes than these behind the base it is merged. */
  mergeFrom: number
}

/** @param leastMerged bytes of what was appended below which it is not merged. */
export const open = Effect.fnUntraced(function* (
  store: Service,
  name: string,
  leastMerged = LEAST_MERGED
): Effect.fn.Return<CheckpointFile, CheckpointError, Scope.Scope> {
  const checkpoint = yield* answering(store).open(name)
  const scope = yield* Effect.scope
  const oneAtATime = Semaphore.makeUnsafe(1)
  const refused = (operation: CheckpointError["operation"], detail: string): CheckpointError =>
    new CheckpointError({ checkpoint: name, operation, detail })

  /** Undefined where there is nothing that could be gone on with. */
  let body: Body | undefined
  /** What is recorded; undefined where it would have nothing to follow. */
  let recorder: Recorder | undefined
  /** What is recorded, where the base that it follows could not be written. */
  let waiting: Recorder | undefined
  /** Why there is nothing. */
  let ended = "it was not read, and not written"
  let merging: Fiber.Fiber<void> | undefined
  /** Bytes that are recorded with which they are written at once. */
  let flushFrom = MOST_UNWRITTEN
  const isFull = Latch.makeUnsafe(false)
  /** It was read before the right to write it was had: somebody else may have written since. */
  let isDoubtful = false

  const end = (because: string): void => {
    body = recorder = undefined
    ended = because
  }

  const claim = Effect.forkIn(Effect.result(checkpoint.claim), scope, { startImmediately: true })
  let claiming = yield* claim
  const refusal = Effect.map(
    Effect.suspend(() => Fiber.join(claiming)),
    (claimed) => (Result.isFailure(claimed) ? claimed.failure.message : claimed.success)
  )

  /** Fails unless this table may write. */
  const owned = Effect.gen(function* () {
    if (Result.isFailure(yield* Fiber.join(claiming))) {
      // A disk may have been full.
      isDoubtful = true
      claiming = yield* claim
    }
    const reason = yield* Effect.fromResult(yield* Fiber.join(claiming))
    if (reason !== undefined) {
      end(reason)
      return yield* refused("claim", reason)
    }
    if (!isDoubtful || body === undefined) return
    const now = yield* scan(checkpoint, false)
    isDoubtful = false
    if (now !== undefined && !("unusable" in now) && now.crc === body.chain.crc) return
    end("another process has written it meanwhile")
    return yield* refused("claim", ended)
  })

  const read: CheckpointFile["read"] = Effect.gen(function* () {
    isDoubtful = claiming.pollUnsafe() === undefined
    const scanned = yield* scan(checkpoint, true)
    if (scanned === undefined) return { saved: undefined, unusable: undefined }
    if ("unusable" in scanned) return { saved: undefined, unusable: scanned.unusable }
    const { baseEnd, crc, places, saved } = scanned
    const { bytes, identity, marks, savedAt } = saved
    body = {
      identity,
      chain: new Chain(checkpoint.write, bytes, crc, places),
      baseEnd,
      marks: { marks, savedAt },
      marked: bytes,
      mergeFrom: Math.max(leastMerged, baseEnd)
    }
    recorder = new Recorder()
    return { saved, unusable: undefined }
  }).pipe(Effect.catch((error) => Effect.succeed({ saved: undefined, unusable: error.message })))

  /** Writes what was recorded. */
  const drain: Effect.Effect<void, CheckpointError> = Effect.gen(function* () {
    yield* owned
    const [to, from] = [body, recorder]
    if (to === undefined || from === undefined) return yield* refused("write", ended)
    const outgoing = from.take()
    if (outgoing.length === 0) return
    let at = to.chain.at
    yield* Effect.tapError(to.chain.write(outgoing.map(({ frame }) => frame)), (error) =>
      Effect.sync(() => {
        if (error.operation === "claim") end(error.detail)
        else from.giveBack(outgoing)
      })
    )
    flushFrom = MOST_UNWRITTEN
    for (const { frame, marks } of outgoing) {
      at += frame.length
      if (marks === undefined) continue
      to.marks = marks
      to.marked = at
    }
    if (merging === undefined && to.marked - to.baseEnd > to.mergeFrom) {
      merging = yield* Effect.forkIn(merge(to), scope)
    }
  }).pipe(Effect.uninterruptible, oneAtATime.withPermit)

  /** A frame that was written before, checked. */
  const readBack = Effect.fnUntraced(function* (at: number, length: number, before: number) {
    const bytes = Buffer.allocUnsafeSlow(length)
    const got = yield* checkpoint.read(at, bytes)
    if (got === length && checksum(bytes, before) === readHead(bytes, 0).crc) return bytes
    return yield* new Damaged({ detail: `what was written at ${at} is not there any more as it was` })
  })

  const writeEntries = Effect.fnUntraced(function* (chain: Chain, survivors: Survivors) {
    let room: Buffer | undefined
    for (let entry = 0; entry < survivors.size;) {
      const { count, frame, to } = entriesFrame(survivors, entry, room)
      if (count > 0) yield* chain.write([frame])
      // It is written: its memory is filled again, or that of a larger one.
      if (room === undefined || room.length < frame.length) room = frame
      yield* Effect.yieldNow
      entry = to
    }
  })

  /** Writes a checkpoint from scratch, which `commit` puts in the place of what is there. */
  const begin = Effect.fnUntraced(function* <E>(
    identity: Identity,
    marks: Marks,
    writeBase: (chain: Chain) => Effect.Effect<void, E>
  ) {
    const replacement = yield* checkpoint.replacement
    const start = preamble()
    yield* replacement.write(0, [start])
    const chain = new Chain(replacement.write, start.length, seedOf(start), new Map())
    yield* chain.write([headerFrame(identity, randomUUID())])
    yield* writeBase(chain)
    yield* chain.write([marksFrame(marks)])
    const baseEnd = chain.at
    const commit = Effect.map(replacement.commit, (): Body => ({
      identity,
      chain: new Chain(checkpoint.write, chain.at, chain.crc, chain.places),
      baseEnd,
      marks,
      marked: baseEnd,
      mergeFrom: Math.max(leastMerged, baseEnd)
    }))
    return { chain, baseEnd, commit }
  })

  /** A partition's records of so many places, taken together. */
  const gather = Effect.fnUntraced(function* (identity: Identity, partition: number, places: ReadonlyArray<number>) {
    const memory = new AnswerMemory(0, 1)
    const survivors = new Survivors(partition, memory, identity.headers)
    let deadline = performance.now() + SLICE
    for (let i = 0; i < places.length; i += 3) {
      const bytes = yield* readBack(places[i]!, places[i + 1]!, places[i + 2]!)
      memory.divide(bytes)
      for (const walk of walkFrame(bytes)) {
        for (let isOver = false; !isOver;) {
          isOver = survivors.take(walk, deadline)
          if (performance.now() <= deadline) continue
          yield* Effect.yieldNow
          deadline = performance.now() + SLICE
        }
        if (walk.problem !== undefined) return yield* refused("read", walk.problem.detail)
      }
    }
    return survivors
  })

  /** Writes the answers again that were written between two places, checked. */
  const copyAnswers = Effect.fnUntraced(function* (chain: Chain, places: Places, from: number, to: number) {
    const frames: Array<readonly [at: number, length: number, before: number]> = []
    for (const of of places.values()) {
      for (let i = 0; i < of.length; i += 3) {
        if (of[i]! >= from && of[i]! < to) frames.push([of[i]!, of[i + 1]!, of[i + 2]!])
      }
    }
    for (const frame of frames.sort(([a], [b]) => a - b)) yield* chain.write([yield* readBack(...frame)])
  })

  const merge = (from: Body): Effect.Effect<void> => {
    const { identity, marked, marks } = from
    const places = Array.from(
      from.chain.places,
      ([partition, all]) => [partition, all.filter((_, i) => all[i - (i % 3)]! < marked)] as const
    )
    return Effect.gen(function* () {
      const { chain, commit } = yield* begin(identity, marks, (chain) =>
        Effect.forEach(
          places,
          ([partition, of]) =>
            Effect.flatMap(gather(identity, partition, of), (survivors) => writeEntries(chain, survivors)),
          { discard: true }
        )
      )
      yield* Effect.gen(function* () {
        if (body !== from) return
        yield* copyAnswers(chain, from.chain.places, marked, from.marked)
        if (from.marked > marked) yield* chain.write([marksFrame(from.marks)])
        const markedNow = chain.at
        yield* copyAnswers(chain, from.chain.places, from.marked, Number.POSITIVE_INFINITY)
        const next = yield* commit
        if (body !== from) return
        body = { ...next, marks: from.marks, marked: markedNow }
      }).pipe(Effect.uninterruptible, oneAtATime.withPermit)
    }).pipe(
      Effect.scoped,
      Effect.catchTags({
        Damaged: ({ detail }) => Effect.sync(() => body === from && end(detail)),
        CheckpointError: ({ message }) => {
          from.mergeFrom *= 2
          return Effect.logWarning(`${message}; it grows until it is merged`)
        }
      }),
      Effect.ensuring(Effect.sync(() => (merging = undefined)))
    )
  }

  const stopMerging = Effect.suspend(() => (merging === undefined ? Effect.void : Fiber.interrupt(merging)))

  const rewrite: CheckpointFile["rewrite"] = (identity, survivors, marks) => {
    let mine: Recorder | undefined
    return Effect.suspend(() => {
      if (mine === undefined) {
        end("it is not written yet")
        recorder = mine = new Recorder()
      } else if (waiting !== mine || recorder !== mine) return Effect.fail(refused("replace", ended))
      waiting = undefined
      return Effect.gen(function* () {
        yield* stopMerging
        yield* owned
        if (recorder !== mine) return yield* refused("replace", ended)
        const head = Buffer.alloc(PREAMBLE)
        const isOurs = isReplaceable(head.subarray(0, yield* checkpoint.read(0, head)))
        if (!isOurs) {
          end("the file is no checkpoint: it is left as it is, remove it yourself")
          return yield* refused("replace", ended)
        }
        const { commit } = yield* begin(identity, marks, (chain) =>
          Effect.forEach(survivors, (of) => writeEntries(chain, of), { discard: true })
        )
        const next = yield* commit
        // Nothing of what was read is left.
        isDoubtful = false
        if (recorder === mine) body = next
      }).pipe(
        Effect.scoped,
        oneAtATime.withPermit,
        Effect.onInterrupt(() => Effect.sync(() => recorder === mine && end("it could not be written to its end"))),
        Effect.tapError(() => Effect.sync(() => (waiting = mine)))
      )
    })
  }

  yield* isFull.await.pipe(
    Effect.andThen(isFull.close),
    Effect.andThen(Effect.ignore(drain)),
    Effect.forever,
    Effect.forkIn(scope)
  )

  return {
    read,
    refusal,
    isGoingOn: () => recorder !== undefined && recorder !== waiting,
    isRecording: () => recorder !== undefined,
    record: (partition, answer) => {
      if (recorder === undefined) return
      recorder.add(partition, answer)
      if (recorder.bytes > MOST_KEPT) end("more was to be recorded than its store took")
      else if (recorder.bytes > flushFrom && body !== undefined) {
        flushFrom = recorder.bytes + MOST_UNWRITTEN
        isFull.openUnsafe()
      }
    },
    save: (marks) =>
      Effect.suspend(() => {
        recorder?.mark(marks)
        return drain
      }),
    rewrite,
    forget: Effect.suspend(() => {
      end("it was removed")
      return Effect.andThen(stopMerging, Effect.andThen(owned, checkpoint.remove)).pipe(oneAtATime.withPermit)
    }),
    bytes: () => body?.chain.at ?? 0
  }
})
