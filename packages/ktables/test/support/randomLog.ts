/**
 * Random logs on the embedded Kafka, written as producers would and changed as brokers do, with an account of everything
 * that was ever in them.
 */
import { Effect, Schema } from "effect"
import { Codec, type KafkaTable, type TableEntry, TableTopic } from "effect-ktables"
import type * as MemoryKafka from "effect-ktables/MemoryKafka"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"
import type { Chance } from "./chance.ts"
import { memory } from "./kafka.ts"
import { contentsOf, type Decoding, numberDecoding } from "./oracle.ts"

/** Numbers by number, whose keys `1` and `01` are the same; other keys do not decode. */
export const byNumber = TableTopic.make({ name: "log", key: Schema.FiniteFromString, value: Schema.Int })
export const byName = TableTopic.make({ name: "log", key: Codec.string, value: Schema.Int })

export const byNumberDecoding: Decoding<number, number> = {
  key: (bytes) => (/^\d+$/.test(bytes.toString()) ? Number(bytes.toString()) : undefined),
  value: numberDecoding.value
}

export interface Options {
  readonly keys: "names" | "numbers"
  readonly partitions: number
  readonly brokers: number
  readonly onDecodeError: "skip" | "remove"
  readonly isolation: "read_committed" | "read_uncommitted"
  /** Whether values that do not decode are written. */
  readonly poison: boolean
  /** Whether `truncate` will be called. */
  readonly truncates: boolean
}

export const randomOptions = (chance: Chance): Options => ({
  keys: chance.happens(0.7) ? "names" : "numbers",
  partitions: 1 + chance.below(3),
  brokers: 1 + chance.below(3),
  onDecodeError: chance.pick(["skip", "remove"]),
  isolation: chance.happens(0.85) ? "read_committed" : "read_uncommitted",
  poison: chance.happens(0.5),
  truncates: true
})

export interface RandomLog {
  readonly options: Options
  /** Appends, runs transactions or compacts: what producers and cleaners do. */
  readonly write: Effect.Effect<void>
  /** A table reads from here on. */
  readonly beginReading: () => void
  /** Ends every open transaction. */
  readonly settleTransactions: Effect.Effect<void>
  readonly hasOpenTransactions: () => boolean
  /** Compacts and lets tombstones go: only for logs whose every reader is up to date. */
  readonly compactAway: Effect.Effect<void>
  /** Has one broker clean its own copy, by the clock. */
  readonly compactOn: (broker: number) => Effect.Effect<void>
  readonly grow: Effect.Effect<void>
  readonly truncate: Effect.Effect<void>
  readonly deleteRecords: Effect.Effect<void>
  readonly recreate: Effect.Effect<void>
  readonly partitions: () => number
  /** What a table may hold that was live while records went away by themselves; undefined when none did. */
  readonly remembered: Effect.Effect<ReadonlyMap<string | number, number> | undefined>
}

/** The headers that a value is written with: none, some of one key, without a value, and more than fit into a byte's length. */
export const headersOf = (value: number): ReadonlyArray<TableEntry.Header> =>
  Array.from({ length: value % 4 }, (_, i) => ({
    key: `header ${(value + i) % 3}`,
    value: (value + i) % 5 === 0 ? null : Buffer.alloc((value * 37 * i) % 300, `${value},`)
  }))

const names = ["a", "b", "c", "d", "e", "\u0000\u0000\u0000\u0000", ""]
const numbers = ["1", "01", "2", "02", "002", "3", "none"]

export const makeRandomLog = Effect.fnUntraced(function* (chance: Chance, options: Options, trace: Array<string>) {
  const kafka = yield* memory
  let partitions = options.partitions
  let hasGrown = false
  let isForgetful = false
  let isRead = false
  /** Up to where each partition was compacted: what was lost below it could have been what others were compacted for. */
  let cleaned = new Map<number, number>()
  /** Whether a truncation may have taken a marker away. */
  let mayHang = false
  let value = 0
  yield* Effect.orDie(kafka.createTopic("log", { partitions }))
  let open: Array<MemoryKafka.Transaction> = []
  const producers: Array<MemoryKafka.Transaction["producer"]> = []
  /** Everything that was in the log of this generation and was not truncated, by partition and offset. */
  let seen = new Map<number, Map<number, MemoryKafka.LoggedRecord>>()

  const remember = Effect.gen(function* () {
    const log = yield* Effect.orDie(kafka.log("log"))
    for (const record of log) {
      let of = seen.get(record.partition)
      if (of === undefined) seen.set(record.partition, (of = new Map()))
      of.set(record.offset, record)
    }
    return log
  })

  const homeOf = (key: string): number =>
    options.keys === "names" ? javaPartitioner(Buffer.from(key), partitions) : (Number(key) || 0) % partitions

  const record = (): { readonly partition: number; readonly record: MemoryKafka.MemoryRecord } => {
    const key = chance.pick(options.keys === "names" ? names : numbers)
    const partition = homeOf(key)
    if (chance.happens(0.03)) return { partition, record: { key: null, value: "keyless" } }
    if (chance.happens(0.25)) return { partition, record: { key, value: null } }
    if (options.poison && chance.happens(0.2)) return { partition, record: { key, value: "poison" } }
    return { partition, record: { key, value: String(++value), headers: headersOf(value) } }
  }

  const batch = (): { readonly partition: number; readonly records: ReadonlyArray<MemoryKafka.MemoryRecord> } => {
    const first = record()
    const records = [first.record]
    for (let i = chance.below(5); i > 0; i--) {
      const more = record()
      if (more.partition === first.partition) records.push(more.record)
    }
    return { partition: first.partition, records }
  }
  const described = (records: ReadonlyArray<MemoryKafka.MemoryRecord>): string =>
    records.map(({ key, value }) => `${JSON.stringify(key)}=${String(value)}`).join(" ")

  const append = Effect.suspend(() => {
    const { partition, records } = batch()
    const compression = chance.pick(["none", "none", "gzip", "snappy", "lz4", "zstd"] as const)
    trace.push(`append [${partition}] ${described(records)}`)
    return kafka.append("log", records, { partition, compression })
  })

  const begin = Effect.suspend(() => {
    const producer = producers.length > 0 && chance.happens(0.5) ? chance.pick(producers) : undefined
    // A producer has one transaction at a time.
    const isBusy = open.some((one) => one.producer.producerId === producer?.producerId)
    return Effect.map(kafka.beginTransaction(isBusy ? undefined : { producer }), (transaction) => {
      trace.push(`begin ${transaction.producer.producerId}`)
      if (!producers.includes(transaction.producer)) producers.push(transaction.producer)
      open.push(transaction)
    })
  })
  const appendIn = (transaction: MemoryKafka.Transaction) =>
    Effect.suspend(() => {
      const { partition, records } = batch()
      trace.push(`in ${transaction.producer.producerId} [${partition}] ${described(records)}`)
      return transaction.append("log", records, { partition })
    })
  /**
   * Whether a transaction is committed. Where markers may be truncated a producer's transactions all end the same way: a
   * reader that has seen one committed cannot know that its marker was lost and it was aborted then.
   */
  const outcomeOf = (producerId: bigint): boolean => (options.truncates ? producerId % 2n === 0n : chance.happens(0.5))
  const end = (transaction: MemoryKafka.Transaction) =>
    Effect.suspend(() => {
      open = open.filter((one) => one !== transaction)
      const isCommitted = outcomeOf(transaction.producer.producerId)
      trace.push(`${isCommitted ? "commit" : "abort"} ${transaction.producer.producerId}`)
      return isCommitted ? transaction.commit : transaction.abort
    })

  /** Ends what a truncation opened again by taking its marker away, even if compaction has left none of its records. */
  const endHanging = Effect.gen(function* () {
    if (!mayHang) return
    for (const producer of producers) {
      trace.push(`end what hangs of ${producer.producerId}`)
      const transaction = yield* kafka.beginTransaction({ producer })
      for (let partition = 0; partition < partitions; partition++) yield* transaction.enlist("log", partition)
      yield* outcomeOf(producer.producerId) ? transaction.commit : transaction.abort
    }
  })

  const compact = (dropTombstones: boolean, broker?: number) =>
    Effect.gen(function* () {
      const log = yield* remember
      trace.push(`compact${dropTombstones ? " away" : ""}${broker === undefined ? "" : ` at ${broker}`}`)
      yield* kafka.compact("log", { dropTombstones, broker })
      for (const { offset, partition } of log) cleaned.set(partition, offset + 1)
      // A live table keeps what it has read: values under ones that do not decode, and aborted ones if it saw them.
      if (options.poison || options.isolation === "read_uncommitted" || options.keys === "numbers") isForgetful = true
    })

  /**
   * Whether a reader would show more than the log from the next compaction on: under skip the values that it saw before
   * they went, under read_uncommitted the aborted ones that are cleaned away.
   */
  const isTelling = (): boolean =>
    isRead && ((options.poison && options.onDecodeError === "skip") || options.isolation === "read_uncommitted")

  const write = Effect.suspend((): Effect.Effect<unknown, unknown> => {
    const roll = chance.next()
    if (roll < 0.45) return append
    if (roll < 0.55 && open.length < 3) return begin
    if (roll < 0.8 && open.length > 0) return appendIn(chance.pick(open))
    if (roll < 0.92 && open.length > 0) return end(chance.pick(open))
    if (roll > 0.95 && !isTelling()) return compact(false)
    return append
  })

  const quiet = (effect: Effect.Effect<unknown, unknown>): Effect.Effect<void> => Effect.asVoid(Effect.orDie(effect))

  const log: RandomLog = {
    options,
    write: quiet(write),
    beginReading: () => {
      isRead = true
    },
    settleTransactions: Effect.suspend(() => quiet(Effect.andThen(Effect.forEach(open.slice(), end), endHanging))),
    hasOpenTransactions: () => open.length > 0 || mayHang,
    compactAway: Effect.suspend(() =>
      hasGrown || (isRead && options.isolation === "read_uncommitted") ? Effect.void : quiet(compact(true))
    ),
    compactOn: (broker) => quiet(compact(false, broker)),
    grow: Effect.suspend(() => {
      // Numbers are not put where their owner is, so that growth would leave it open who wins.
      if (hasGrown || options.keys === "numbers") return Effect.void
      hasGrown = true
      partitions += 1 + chance.below(2)
      trace.push(`grow to ${partitions}`)
      return quiet(kafka.addPartitions("log", partitions))
    }),
    truncate: quiet(
      Effect.gen(function* () {
        const partition = chance.below(partitions)
        const before = (yield* remember).filter((one) => one.partition === partition)
        const to = Math.max(chance.below((before.at(-1)?.offset ?? 0) + 2), cleaned.get(partition) ?? 0)
        trace.push(`truncate [${partition}] to ${to}`)
        yield* kafka.truncate("log", partition, to)
        mayHang = true
        const after = new Set(
          (yield* kafka.log("log")).filter((one) => one.partition === partition).map(({ offset }) => offset)
        )
        const of = seen.get(partition)
        if (of === undefined) return
        for (const { offset } of before) if (!after.has(offset)) of.delete(offset)
        for (const offset of of.keys()) if (offset >= to) of.delete(offset)
      })
    ),
    deleteRecords: quiet(
      Effect.gen(function* () {
        const partition = chance.below(partitions)
        const of = (yield* remember).filter((one) => one.partition === partition)
        if (of.length === 0) return
        const before = of[chance.below(of.length)]!.offset
        trace.push(`delete [${partition}] before ${before}`)
        yield* kafka.deleteRecords("log", partition, before)
        isForgetful = true
      })
    ),
    recreate: quiet(
      Effect.gen(function* () {
        partitions = 1 + chance.below(3)
        hasGrown = false
        trace.push(`recreate with ${partitions}`)
        yield* kafka.recreateTopic("log", { partitions })
        seen = new Map()
        cleaned = new Map()
        isForgetful = false
        mayHang = false
      })
    ),
    partitions: () => partitions,
    remembered: Effect.gen(function* () {
      if (!isForgetful) return undefined
      yield* remember
      const all = [...seen.values()].flatMap((of) => [...of.values()].sort((a, b) => a.offset - b.offset))
      return contentsOf<string | number, number>(all, partitions, {
        ...(options.keys === "names" ? numberDecoding : byNumberDecoding),
        onDecodeError: options.onDecodeError,
        isolation: options.isolation
      } as Decoding<string | number, number>)
    })
  }
  return log
})

export const topicOf = (options: Options) =>
  (options.keys === "names" ? byName : byNumber) as unknown as TableTopic.TableTopic<string | number, number>

export const decodingOf = (options: Options): Decoding<string | number, number> => ({
  ...((options.keys === "names" ? numberDecoding : byNumberDecoding) as unknown as Decoding<string | number, number>),
  onDecodeError: options.onDecodeError,
  isolation: options.isolation
})

export const tableOptionsOf = (options: Options): KafkaTable.Options => ({
  onDecodeError: options.onDecodeError,
  isolation: options.isolation
})
