/** A random log that is recorded to a checkpoint, and beside it, plainly, what the checkpoint holds at each of its marks. */
import { Effect, type Scope } from "effect"
import type { CheckpointStore } from "effect-ktables"
import * as CheckpointFile from "../../src/internal/checkpoint/checkpointFile.ts"
import { EntriesCursor } from "../../src/internal/checkpoint/entries.ts"
import * as MemoryStore from "../../src/internal/checkpoint/memoryStore.ts"
import { AnswerMemory } from "../../src/internal/records/answerMemory.ts"
import { RecordCursor } from "../../src/internal/records/batchReader.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { Survivors } from "../../src/internal/records/survivors.ts"
import { type Chance, chance } from "../support/chance.ts"

export const identity: CheckpointFile.Identity = {
  clusterId: "cluster",
  topic: "prices",
  partitions: 3,
  topicId: "00112233445566778899aabbccddeeff",
  isolation: "read_committed",
  headers: false
}

/** What is known of a raw key, as a line: offset, timestamp, value and headers. */
export type State = ReadonlyMap<string, string>

/** What a mark says, and all that was recorded by then. */
export interface Marked {
  readonly marks: CheckpointFile.Marks
  readonly state: State
}

const keyOf = (partition: number, key: Buffer): string => `${partition} ${key.toString("hex")}`

const lineOf = (offset: number, timestamp: number, value: Buffer): string =>
  `${offset} ${timestamp} ${value.toString("hex")}`

/** Takes all records of a checkpoint's partitions, as a load does. */
export const survivorsOf = (saved: CheckpointFile.Saved): ReadonlyArray<Survivors> => {
  const memory = new AnswerMemory(0, saved.marks.length)
  return saved.marks.map(({ partition }) => {
    const survivors = new Survivors(partition, memory, saved.identity.headers)
    const { answers, base } = saved.recordedOf(partition, memory)
    for (const walk of [new EntriesCursor(base), ...answers]) {
      survivors.take(walk, Number.POSITIVE_INFINITY)
      if (walk.problem !== undefined) throw new Error(walk.problem.detail)
    }
    return survivors
  })
}

/** What survived, without tombstones; with their headers behind the values, where these are kept. */
export const stateOf = (all: ReadonlyArray<Survivors>): State => {
  const state = new Map<string, string>()
  for (const survivors of all) {
    for (let entry = 0; entry < survivors.size; entry++) {
      if (survivors.valueLength(entry) < 0) continue
      const keyStart = survivors.keyStart(entry)
      const key = survivors.keyBuffer(entry).subarray(keyStart, keyStart + survivors.keyLength(entry))
      const value = survivors.valueBuffer(entry).subarray(survivors.valueStart(entry), survivors.headersEnd(entry))
      const line = lineOf(survivors.offsetOf(entry), survivors.timestampOf(entry), value)
      state.set(keyOf(survivors.partition, key), line)
    }
  }
  return state
}

/** The survivors of a load of these answers. */
const loaded = (
  partitions: number,
  answers: ReadonlyArray<readonly [number, CheckpointFile.Answer]>
): ReadonlyArray<Survivors> => {
  const memory = new AnswerMemory(0, partitions)
  const all = Array.from({ length: partitions }, (_, partition) => new Survivors(partition, memory))
  for (const [partition, { aborted, fromOffset, records }] of answers) {
    const cursor = new RecordCursor({ records, fromOffset, abortedTransactions: aborted })
    all[partition]!.take(cursor, Number.POSITIVE_INFINITY)
  }
  return all
}

/** The log of some partitions, which grows by chance. */
export class RandomLog {
  readonly partitions: number
  readonly #random: Chance
  readonly #keys: number
  readonly #valueSize: number
  readonly #ends: Array<number>
  readonly #state = new Map<string, string>()
  #answers: Array<readonly [number, CheckpointFile.Answer]> = []
  #now = 1_000_000

  constructor(options: {
    readonly seed: number
    readonly partitions: number
    readonly keys: number
    readonly valueSize: number
  }) {
    this.#random = chance(options.seed)
    this.partitions = options.partitions
    this.#keys = options.keys
    this.#valueSize = options.valueSize
    this.#ends = Array.from({ length: options.partitions }, () => 0)
  }

  /** What a broker answers to a fetch of what was just written to a partition: some batches, one of them aborted at times. */
  answer(partition: number = this.#random.below(this.partitions)): readonly [number, CheckpointFile.Answer] {
    const random = this.#random
    const fromOffset = this.#ends[partition]!
    const sets: Array<Buffer> = []
    const aborted: Array<CheckpointFile.Answer["aborted"][number]> = []
    for (let b = 0; b <= random.below(3); b++) {
      const baseOffset = this.#ends[partition]!
      const isAborted = random.happens(0.1)
      const records = Array.from({ length: 1 + random.below(8) }, (_, offsetDelta) => ({
        offsetDelta,
        timestamp: this.#now + random.below(1000),
        key: random.happens(0.02) ? null : Buffer.from(`key ${random.below(this.#keys)}`),
        value: random.happens(0.2) ? null : Buffer.alloc(random.below(this.#valueSize), random.below(256))
      }))
      const producer = isAborted ? { producerId: BigInt(baseOffset), producerEpoch: 0, baseSequence: 0 } : {}
      sets.push(
        encodeBatch(records, {
          baseOffset,
          isTransactional: isAborted,
          ...producer,
          ...(random.happens(0.2) ? { compression: "gzip" as const } : {})
        })
      )
      this.#ends[partition] = baseOffset + records.length
      if (isAborted) aborted.push({ producerId: BigInt(baseOffset), firstOffset: baseOffset })
      else {
        for (const { key, offsetDelta, timestamp, value } of records) {
          if (key === null) continue
          const name = keyOf(partition, key)
          if (value === null) this.#state.delete(name)
          else this.#state.set(name, lineOf(baseOffset + offsetDelta, timestamp, value))
        }
      }
    }
    this.#now += random.below(5000)
    const answer = [partition, { fromOffset, records: Buffer.concat(sets), aborted }] as const
    this.#answers.push(answer)
    return answer
  }

  /** It ends again where it ended then; undefined: it is empty. */
  restore(marked: Marked | undefined): void {
    this.#ends.fill(0)
    for (const { partition, position } of marked?.marks.marks ?? []) this.#ends[partition] = position
    this.#state.clear()
    for (const [key, line] of marked?.state ?? []) this.#state.set(key, line)
    this.#answers = this.#answers.filter(([partition, { fromOffset }]) => fromOffset < this.#ends[partition]!)
  }

  /** What a load of it would have. */
  get survivors(): ReadonlyArray<Survivors> {
    return loaded(this.partitions, this.#answers)
  }

  /** All that was written until now. */
  get marked(): Marked {
    const marks = this.#ends.map((position, partition) => ({
      partition,
      position,
      epoch: position === 0 ? -1 : 3,
      seen: this.#now - partition,
      retention: partition === 0 ? Number.POSITIVE_INFINITY : 86_400_000
    }))
    return { marks: { savedAt: this.#now, marks }, state: new Map(this.#state) }
  }
}

/** A store over these bytes, from which a checkpoint can be opened as by another process. */
export const storeOf = (files: Map<string, Uint8Array>): CheckpointStore.Service => MemoryStore.make(files)

/** What a start would find in these bytes. */
export const foundIn = (bytes: Uint8Array): Effect.Effect<CheckpointFile.Found, CheckpointStore.CheckpointError> =>
  Effect.scoped(Effect.map(reopened(storeOf(new Map([["prices", bytes]]))), ({ found }) => found))

/** What was found, as it was marked. */
export const markedOf = ({ saved }: CheckpointFile.Found): Marked | undefined =>
  saved === undefined
    ? undefined
    : { marks: { savedAt: saved.savedAt, marks: saved.marks }, state: stateOf(survivorsOf(saved)) }

/** Opens a checkpoint and reads it. */
export const reopened = (
  store: CheckpointStore.Service,
  name = "prices"
): Effect.Effect<
  { readonly file: CheckpointFile.CheckpointFile; readonly found: CheckpointFile.Found },
  CheckpointStore.CheckpointError,
  Scope.Scope
> =>
  Effect.gen(function* () {
    const file = yield* CheckpointFile.open(store, name)
    return { file, found: yield* file.read }
  })
