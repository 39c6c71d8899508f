/**
 * The engine's writer: encoded records in, acknowledgements out. Partitions write independently of each other; within
 * one, records keep the order in which they were handed in.
 */
import { momentOf } from "../moment.ts"
import { Clock, Effect, Exit, Fiber, Scope } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import { CompressionUnavailable, type NotAuthorized, WriterClosed, WriteRejected } from "../../TableError.ts"
import { BATCH_OVERHEAD, estimateRecordSize } from "../records/batchWriter.ts"
import { type Compression, unavailable } from "../records/compression.ts"
import type * as Patience from "../topic/patience.ts"
import * as Sightings from "../topic/sightings.ts"
import { WriteBuffer } from "./buffer.ts"
import * as Identities from "./identities.ts"
import * as Metrics from "./metrics.ts"
import { Outage } from "./outage.ts"
import type { Partitioner } from "./partitioner.ts"
import { PendingRecord, type Settle } from "./pendingRecord.ts"
import * as Sender from "./sender.ts"
import * as TopicMetadata from "./topicMetadata.ts"

/** Durations are in milliseconds. */
export interface Options {
  readonly acks: -1 | 0 | 1
  readonly idempotence: Identities.Idempotence
  readonly deliveryTimeout: number
  readonly producerIdExpiration: number
  readonly closeTimeout: number
  readonly linger: number
  readonly metadataMaxAge: number
  readonly maxBatchBytes: number
  /** The topic's `max.message.bytes` where it is known: batches are kept below it. */
  readonly maxMessageBytes: number | undefined
  readonly maxBufferedBytes: number
  readonly compression: Compression
  readonly partitioner: Partitioner
}

export interface TableAppender {
  /**
   * Takes a record; `settle` is called once, possibly at once, unless the record is withdrawn before. Undefined when it
   * was settled at once.
   */
  readonly append: (key: Uint8Array, value: Uint8Array | null, settle: Settle) => PendingRecord | undefined
  /** Takes back a record that is in no batch yet. */
  readonly withdraw: (record: PendingRecord) => void
  /** True when the next record need not wait for room in the buffer. */
  readonly hasRoom: () => boolean
  /** Waits until it does. */
  readonly room: Effect.Effect<void>
}

/** Milliseconds between two refreshes at least, whatever others see: brokers may say different things of a topic. */
const REFRESH_PACE = 100

const tooLarge = (topic: string, partition: number, size: number, limit: number): WriteRejected =>
  new WriteRejected({
    topic,
    partition,
    reason: "MESSAGE_TOO_LARGE",
    detail: `the record takes up to ${size} bytes, maxBatchBytes is ${limit}`
  })

export const make = Effect.fnUntraced(function* (
  patience: Patience.Patience,
  description: KafkaClient.TopicDescription,
  options: Options
): Effect.fn.Return<TableAppender, NotAuthorized | CompressionUnavailable | Patience.Impatience, Scope.Scope> {
  const { client, topic } = patience
  const missing = unavailable(options.compression)
  if (missing !== undefined) {
    return yield* new CompressionUnavailable({ topic, compression: options.compression, detail: missing.detail })
  }
  const clock = yield* Clock.Clock
  const metadata = TopicMetadata.make(client, description, () => grow)
  const identity = yield* Identities.first(patience, metadata.home(), options.idempotence)
  const senders: Array<Sender.Sender> = []
  const fibers = yield* Scope.make()
  let closed = false

  const buffer = new WriteBuffer({
    maxBytes: options.maxBufferedBytes,
    admit: (record) => senders[record.partition]!.append(record),
    retract: (record) => senders[record.partition]!.retract(record)
  })

  const partitionOf = (key: Uint8Array): number => {
    const count = metadata.current().partitions.length
    const partition = options.partitioner(key, count)
    if (Number.isInteger(partition) && partition >= 0 && partition < count) return partition
    throw new RangeError(`the partitioner of ${topic} returned ${partition}, there are ${count} partitions`)
  }

  const grow: Effect.Effect<void> = Effect.suspend(() =>
    Effect.whileLoop({
      while: () => senders.length < metadata.current().partitions.length,
      body: () => {
        const sender = Sender.make(shared, senders.length)
        senders.push(sender)
        return Effect.forkIn(sender.run, fibers)
      },
      step: () => undefined
    })
  )

  const metrics = Metrics.make(topic, yield* Effect.context<never>())
  const shared: Sender.Shared = {
    client,
    clock,
    topic,
    acks: options.acks,
    idempotence: options.idempotence,
    deliveryTimeout: options.deliveryTimeout,
    producerIdExpiration: options.producerIdExpiration,
    linger: options.linger,
    // What compression leaves of a batch is not known before, so the topic's own limit is left to the broker.
    maxBatchBytes:
      options.compression === "none"
        ? Math.min(options.maxBatchBytes, options.maxMessageBytes ?? Infinity)
        : options.maxBatchBytes,
    compression: options.compression,
    buffer,
    metadata,
    metrics,
    outage: new Outage(topic, clock, metrics),
    reroute: (record) => {
      record.state = "queued"
      record.partition = partitionOf(record.key)
      senders[record.partition]!.append(record)
    },
    identity
  }

  /** Looks again whenever a record has left. */
  const until = (holds: () => boolean): Effect.Effect<void> => {
    const left = Effect.callback<void>((resume) => {
      // Looked at in the same step: the fiber may have had to yield since it last did.
      if (holds()) return resume(Effect.void)
      buffer.onceLeft(() => resume(Effect.void))
    })
    return Effect.whileLoop({ while: () => !holds(), body: () => left, step: () => undefined })
  }

  const idle = until(() => buffer.isIdle)

  const close = Effect.gen(function* () {
    closed = true
    // In a fiber of its own: the one that closes may have been interrupted, and nothing below may be skipped then.
    const last = yield* Effect.forkDetach(Effect.interruptible(Effect.timeoutOption(idle, options.closeTimeout)))
    yield* Fiber.await(last)
    yield* Scope.close(fibers, Exit.void)
    // Taken out first: room that comes free must not admit them to a partition that is already abandoned.
    const waiting = buffer.takeWaiting()
    for (const sender of senders) sender.abandon()
    for (const record of waiting) buffer.fail(record, new WriterClosed({ topic }))
  })

  yield* Effect.addFinalizer(() => close)
  yield* grow
  let isOutdated = false
  let learn: (() => void) | undefined
  yield* Sightings.listen(client, topic, (seen) => {
    if (!metadata.isOutdatedBy(seen)) return
    isOutdated = true
    learn?.()
  })
  const outdated = Effect.callback<void>((resume) => {
    if (isOutdated) return resume(Effect.void)
    learn = () => resume(Effect.void)
    return Effect.sync(() => {
      learn = undefined
    })
  })
  yield* Effect.sleep(REFRESH_PACE).pipe(
    Effect.andThen(Effect.raceFirst(outdated, Effect.sleep(options.metadataMaxAge - REFRESH_PACE))),
    Effect.andThen(
      Effect.suspend(() => {
        isOutdated = false
        return metadata.refresh(metadata.version())
      })
    ),
    Effect.forever,
    Effect.forkIn(fibers)
  )

  return {
    append: (key, value, settle) => {
      if (closed) {
        settle(Exit.fail(new WriterClosed({ topic })))
        return undefined
      }
      const partition = partitionOf(key)
      const size = estimateRecordSize(key.length, value === null ? 0 : value.length)
      if (BATCH_OVERHEAD + size > options.maxBatchBytes) {
        settle(Exit.fail(tooLarge(topic, partition, size, options.maxBatchBytes)))
        return undefined
      }
      const record = new PendingRecord(partition, momentOf(clock), key, value, size, settle)
      buffer.offer(record)
      return record
    },
    withdraw: (record) => buffer.withdraw(record),
    hasRoom: () => buffer.hasRoom,
    room: until(() => closed || buffer.hasRoom)
  }
})
