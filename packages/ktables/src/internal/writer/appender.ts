/**
 * The engine's writer: encoded records in, acknowledgements out. Partitions write independently of each other; within
 * one, records keep the order in which they were handed in.
 */
import { isStrayPromise, printed } from "../defects.ts"
import { momentOf, monotonicMillis } from "../moment.ts"
import { Clock, Effect, Exit, Fiber, Latch, Scope } from "effect"
import { CompressionUnavailable, type NotAuthorized, WriterClosed, WriteRejected } from "../../TableError.ts"
import { BATCH_OVERHEAD, estimateRecordSize } from "../records/batchWriter.ts"
import { type Compression, unavailable } from "../records/compression.ts"
import type * as StartRetry from "../topic/startRetry.ts"
import type { SeenTopic } from "../topic/topicView.ts"
import { WriteBuffer } from "./buffer.ts"
import * as Identities from "./identities.ts"
import * as Metrics from "./metrics.ts"
import { Outage } from "./outage.ts"
import type { Partitioner } from "../records/partitioner.ts"
import { type Metadata, PendingRecord, type Settle } from "./pendingRecord.ts"
import * as Sender from "./sender.ts"
import * as TopicAccess from "./topicAccess.ts"

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
  readonly append: (
    key: Uint8Array,
    value: Uint8Array | null,
    settle: Settle,
    metadata?: Metadata
  ) => PendingRecord | undefined
  /** Takes back a record that is in no batch yet. */
  readonly withdraw: (record: PendingRecord) => void
  /** True when the next record need not wait for room in the buffer. */
  readonly hasRoom: () => boolean
  /** Waits until it does. */
  readonly room: Effect.Effect<void>
}

const tooLarge = (topic: string, partition: number, size: number, limit: number): WriteRejected =>
  new WriteRejected({
    topic,
    partition,
    reason: "MESSAGE_TOO_LARGE",
    detail: `the record takes up to ${size} bytes, maxBatchBytes is ${limit}`
  })

export const make = Effect.fnUntraced(function* (
  retry: StartRetry.StartRetry,
  seen: SeenTopic,
  options: Options
): Effect.fn.Return<TableAppender, NotAuthorized | CompressionUnavailable | StartRetry.GivenUp, Scope.Scope> {
  const { client, topic, view } = retry
  const missing = unavailable(options.compression)
  if (missing !== undefined) {
    return yield* new CompressionUnavailable({ topic, compression: options.compression, detail: missing.detail })
  }
  const clock = yield* Clock.Clock
  const access = TopicAccess.make(view, seen)
  const identity = yield* Identities.first(retry, access.current(), options.idempotence)
  const senders: Array<Sender.Sender> = []
  const fibers = yield* Scope.make()
  let closed = false

  const buffer = new WriteBuffer({
    maxBytes: options.maxBufferedBytes,
    admit: (record) => senders[record.partition]!.append(record),
    retract: (record) => senders[record.partition]!.retract(record)
  })

  const partitionOf = (key: Uint8Array): number => {
    const count = access.current().partitions.length
    const partition: unknown = options.partitioner(key, count)
    if (Number.isInteger(partition) && (partition as number) >= 0 && (partition as number) < count) {
      return partition as number
    }
    const given = isStrayPromise(partition) ? "a Promise" : printed(partition)
    throw new RangeError(`the partitioner of ${topic} returned ${given}, there are ${count} partitions`)
  }

  /** What the view saw is followed in the same step, so that no record can be given to a partition without a sender. */
  const grow = (): void => {
    while (senders.length < access.current().partitions.length) senders.push(Sender.make(shared, senders.length))
  }

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
    access,
    metrics,
    outage: new Outage(topic, clock, metrics),
    reroute: (record) => {
      record.state = "queued"
      try {
        record.partition = partitionOf(record.key)
      } catch (thrown) {
        // The partitioner is the caller's code: it is this record's defect, and no other's.
        return buffer.settle(record, Exit.die(thrown))
      }
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
  let running = 0
  let { generation } = access.current()
  const changed = Latch.makeUnsafe(false)
  yield* view.subscribe((sighting) => {
    if (sighting._tag !== "Described") return
    grow()
    if (running < senders.length || sighting.topic.generation !== generation) changed.openUnsafe()
  })
  grow()
  const run = Effect.suspend(() =>
    Effect.whileLoop({
      while: () => running < senders.length,
      body: () => Effect.forkIn(senders[running++]!.run, fibers),
      step: () => undefined
    })
  )
  yield* run
  const warn = Effect.suspend(() => {
    const change = view.change()
    if (access.current().generation === generation || change === undefined) return Effect.void
    generation = access.current().generation
    return Effect.logWarning(
      `${topic}: another topic answers than before (${change.previous} became ${change.current}); writes go to the new one`
    )
  })
  yield* changed.await.pipe(
    Effect.tap(() => Effect.sync(() => changed.closeUnsafe())),
    Effect.andThen(run),
    Effect.andThen(warn),
    Effect.forever,
    Effect.forkIn(fibers)
  )
  const { metadataMaxAge } = options
  yield* Effect.suspend(() => {
    const left = view.askedAt() + metadataMaxAge - monotonicMillis(clock)
    return left > 0 ? Effect.sleep(left) : Effect.asVoid(view.look)
  }).pipe(Effect.forever, Effect.forkIn(fibers))

  return {
    append: (key, value, settle, metadata) => {
      if (closed) {
        settle(Exit.fail(new WriterClosed({ topic })))
        return undefined
      }
      let partition: number
      try {
        partition = partitionOf(key)
      } catch (thrown) {
        settle(Exit.die(thrown))
        return undefined
      }
      const size = estimateRecordSize(key.length, value === null ? 0 : value.length, metadata?.headers)
      if (BATCH_OVERHEAD + size > options.maxBatchBytes) {
        settle(Exit.fail(tooLarge(topic, partition, size, options.maxBatchBytes)))
        return undefined
      }
      const record = new PendingRecord(partition, momentOf(clock), key, value, size, settle, metadata)
      buffer.offer(record)
      return record
    },
    withdraw: (record) => buffer.withdraw(record),
    hasRoom: () => buffer.hasRoom,
    room: until(() => closed || buffer.hasRoom)
  }
})
