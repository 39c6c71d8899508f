/**
 * The one fiber that writes a partition: takes what is queued as a batch, and has one batch on its way at a time, so
 * that an unresolved one is always sent again before anything newer.
 */
import { Cause, type Clock, Effect, Exit, Option, Result } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { ProducedPartition } from "../../KafkaClient.ts"
import { type WriteError, WriteOutcomeUnknown, WriterClosed, WriteTimeout } from "../../TableError.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import type { Compression } from "../records/compression.ts"
import { encodeBatch } from "../records/batchWriter.ts"
import { backoff } from "../backoff.ts"
import { type Batch, halves, latest, take } from "./batch.ts"
import type { WriteBuffer } from "./buffer.ts"
import { granted, type Idempotence, mayGoWithout, notAuthorized, notGranted, warnNotIdempotent } from "./identities.ts"
import type { WriterMetrics } from "./metrics.ts"
import { elapsed, momentOf, monotonicMillis } from "../moment.ts"
import type { SeenTopic } from "../topic/topicView.ts"
import type { Outage } from "./outage.ts"
import type { PendingRecord } from "./pendingRecord.ts"
import { RecordQueue } from "./recordQueue.ts"
import { advance, type Identity, isIdempotent, nextEpoch, plain } from "./sequence.ts"
import type { TopicAccess } from "./topicAccess.ts"
import * as ProduceOutcome from "./produceOutcome.ts"

/** Milliseconds that a broker gets for one produce, its replicas included. */
const PRODUCE_TIMEOUT = 10_000

/** The part of an idle producer id's life for which it is relied on: clocks of clients and brokers differ. */
const RELIABLE = 0.9

const moved = "another cluster, or another topic of the name, answers than the one it was sent to"

/** What the senders of one writer share. */
export interface Shared {
  readonly client: KafkaClient.Service
  readonly clock: Clock.Clock
  readonly topic: string
  readonly acks: -1 | 0 | 1
  readonly idempotence: Idempotence
  /** Milliseconds. */
  readonly deliveryTimeout: number
  /** Milliseconds. */
  readonly producerIdExpiration: number
  /** Milliseconds. */
  readonly linger: number
  readonly maxBatchBytes: number
  readonly compression: Compression
  readonly buffer: WriteBuffer
  readonly access: TopicAccess
  readonly metrics: WriterMetrics
  readonly outage: Outage
  /** Takes back a record whose partition is gone, for another one. */
  readonly reroute: (record: PendingRecord) => void
  /** The identity that partitions start with; without idempotence once the cluster was found not to grant it. */
  identity: Identity
}

export interface Sender {
  readonly append: (record: PendingRecord) => void
  readonly retract: (record: PendingRecord) => void
  /** Writes until it is interrupted. */
  readonly run: Effect.Effect<void>
  /** Tells the writers of everything left; to be called once `run` has ended. */
  readonly abandon: () => void
}

export const make = (shared: Shared, partition: number): Sender => {
  const { access, acks, buffer, client, clock, metrics, topic } = shared
  const where = { topic, partition }
  const queue = new RecordQueue()
  /** What goes before the queue: the batch on its way, and the halves of a split one. */
  let batches: ReadonlyArray<Batch> = []
  /** Undefined when a fresh one has to be asked for. */
  let identity: Identity | undefined
  /** The shared identity this partition last began with. */
  let began: Identity | undefined
  /** One past the last offset acknowledged. */
  let end = 0
  let wake: (() => void) | undefined

  const parked = (isReady: () => boolean): Effect.Effect<void> =>
    Effect.callback((resume) => {
      if (isReady()) return resume(Effect.void)
      wake = () => {
        if (!isReady()) return
        wake = undefined
        resume(Effect.void)
      }
      return Effect.sync(() => {
        wake = undefined
      })
    })

  const hasRecords = (): boolean => !queue.isEmpty
  const isFull = (): boolean => queue.size >= shared.maxBatchBytes

  const begin = (): void => {
    if (began === shared.identity) return
    began = shared.identity
    identity = { ...shared.identity, sequence: isIdempotent(shared.identity) ? 0 : -1 }
  }

  /** Its producer id may be somebody else's in the log that is written to now. */
  const isForeign = (by: Identity): boolean => isIdempotent(by) && by.generation !== access.current().generation

  /** Makes sure that what was numbered so far can neither be taken for what comes nor land behind it. */
  const renumber = (freshIdentity: boolean): void => {
    if (identity === undefined || !isIdempotent(identity)) return
    identity = freshIdentity ? undefined : nextEpoch(identity)
  }

  const settled = (batch: Batch): void => {
    batches = batches.filter((other) => other !== batch)
  }

  const fail = (batch: Batch, error: (record: PendingRecord) => WriteError): void => {
    settled(batch)
    metrics.failed(error(batch.records[0]!)._tag, batch.records.length)
    for (const record of batch.records) buffer.fail(record, error(record))
  }

  const unknown = (batch: Batch, detail: string): void => {
    renumber(false)
    fail(batch, () => new WriteOutcomeUnknown({ ...where, detail }))
  }

  /** Ends a batch that no broker will take, unless an earlier attempt may have written it. */
  const refuse = (batch: Batch, error: WriteError): void =>
    batch.mayBeWritten
      ? unknown(batch, `${error.message}, after an attempt without an answer`)
      : fail(batch, () => error)

  const timedOut = (record: PendingRecord, now: number, detail: string): WriteTimeout =>
    new WriteTimeout({ ...where, waited: Math.round(now - record.offeredAt), detail })

  const expire = (batch: Batch, now: number, detail: string): void =>
    batch.mayBeWritten
      ? unknown(batch, `no acknowledgement within ${shared.deliveryTimeout} ms: ${detail}`)
      : fail(batch, (record) => timedOut(record, now, detail))

  /**
   * Brokers may have forgotten the producer id, and with it that they hold the batch: they take any sequence for the first
   * then. They go by the latest time of a batch's records, which may be what their writers said.
   */
  const isForgotten = (batch: Batch): boolean => {
    if (batch.openSince === undefined || batch.encoded === undefined || !isIdempotent(batch.encoded.identity))
      return false
    const now = momentOf(clock)
    const age = Math.max(now.wall - latest(batch), elapsed(batch.openSince, now))
    return age >= shared.producerIdExpiration * RELIABLE
  }

  const acknowledge = (
    batch: Batch,
    by: Identity,
    topicId: string | undefined,
    answer: ProducedPartition | undefined
  ): void => {
    settled(batch)
    const { records } = batch
    const base = answer?.baseOffset ?? -1
    const appendTime = answer?.logAppendTime ?? -1
    const numbered = isIdempotent(by)
    const first = by.sequence
    const producerId = numbered ? String(by.producerId) : undefined
    if (numbered) by.sequence = advance(first, records.length)
    if (base >= 0) end = base + records.length
    for (let i = 0; i < records.length; i++) {
      const record = records[i]!
      buffer.settle(
        record,
        Exit.succeed({
          topic,
          topicId,
          partition,
          offset: base < 0 ? undefined : base + i,
          timestamp: appendTime < 0 ? record.timestamp : appendTime,
          producerId,
          producerEpoch: by.producerEpoch,
          sequence: numbered ? advance(first, i) : -1
        })
      )
    }
  }

  const encode = (batch: Batch, by: Identity): NonNullable<Batch["encoded"]> => {
    if (batch.encoded !== undefined) return batch.encoded
    const bytes = encodeBatch(batch.records, {
      compression: shared.compression,
      producerId: by.producerId,
      producerEpoch: by.producerEpoch,
      baseSequence: by.sequence
    })
    batch.encoded = { bytes, identity: by }
    return batch.encoded
  }

  const goWithout = (why: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      const isFirst = isIdempotent(shared.identity)
      if (isFirst) shared.identity = plain()
      begin()
      return isFirst ? warnNotIdempotent(topic, why) : Effect.void
    })

  /** Asks for a fresh identity; an outcome when there is none. */
  const identify = Effect.fnUntraced(function* (
    seen: SeenTopic,
    left: number
  ): Effect.fn.Return<ProduceOutcome.ProduceOutcome | undefined> {
    const result = yield* Effect.result(Effect.timeoutOption(client.initProducerId, left))
    if (Result.isSuccess(result)) {
      if (Option.isNone(result.success)) {
        return { _tag: "Again", mayBeWritten: false, detail: "no answer to InitProducerId" }
      }
      identity = granted(result.success.value, seen)
      return isForeign(identity)
        ? { _tag: "Again", mayBeWritten: false, detail: "another cluster gives out producer ids than the topic is in" }
        : undefined
    }
    const error = result.failure
    if (error._tag === "BrokerError" || error._tag === "UnsupportedRequest") {
      if (mayGoWithout(error)) {
        if (shared.idempotence === "required") return { _tag: "Refused", error: notGranted(topic, error) }
        yield* goWithout(error.message)
        return undefined
      }
    }
    const outcome = ProduceOutcome.ofError(where, error)
    // Nothing of the batch was sent.
    if (outcome._tag === "Again") return { ...outcome, mayBeWritten: false }
    if (outcome._tag === "Refused") return outcome
    return { _tag: "Again", mayBeWritten: false, detail: error.message }
  })

  /** One produce; undefined when it acknowledged the batch. */
  const attempt = Effect.fnUntraced(function* (
    batch: Batch,
    leader: number,
    left: number
  ): Effect.fn.Return<ProduceOutcome.ProduceOutcome | undefined> {
    const seen = access.current()
    const { clusterId } = seen
    let { topicId } = seen
    if (identity === undefined) {
      const outcome = yield* identify(seen, left)
      if (outcome !== undefined) return outcome
    }
    const doubt = access.doubt()
    if (doubt !== undefined) return { _tag: "Again", mayBeWritten: false, detail: doubt }
    const encoded = encode(batch, identity!)
    batch.inFlight = true
    const result = yield* Effect.result(
      Effect.timeoutOption(
        client.produce(leader, {
          topic,
          topicId,
          clusterId,
          acks,
          timeout: PRODUCE_TIMEOUT,
          partitions: [{ partition, records: encoded.bytes }]
        }),
        left
      )
    )
    batch.inFlight = false
    if (Result.isFailure(result)) return ProduceOutcome.ofError(where, result.failure)
    if (Option.isNone(result.success)) {
      return { _tag: "Again", mayBeWritten: true, detail: `broker ${leader} did not answer` }
    }
    const answer = result.success.value.find((answered) => answered.partition === partition)
    if (acks !== 0) {
      if (answer === undefined) {
        return { _tag: "Again", mayBeWritten: true, detail: `broker ${leader} answered without the partition` }
      }
      const isWritten = answer.errorCode === ErrorCode.NONE || answer.errorCode === ErrorCode.DUPLICATE_SEQUENCE_NUMBER
      if (!isWritten) return ProduceOutcome.ofCode(where, answer.errorCode, answer.errorMessage)
    }
    // An offset that was given before belongs to another topic of the same name, or to a truncated log.
    const isGivenBefore = answer !== undefined && answer.baseOffset >= 0 && answer.baseOffset < end
    if (isGivenBefore) {
      batch.mayBeWritten = true
      yield* withinDeadline(batch, access.refresh(access.version()))
    }
    if (access.doubt() !== undefined) {
      batch.mayBeWritten = true
      yield* withinDeadline(batch, access.settled)
      const left = access.doubt()
      if (left !== undefined) return { _tag: "Again", mayBeWritten: true, detail: left }
    }
    const now = access.current()
    if (now.generation !== seen.generation) {
      // Within one cluster the producer id is this writer's alone, so that the record is in the topic of today.
      if (!isGivenBefore || clusterId === undefined || clusterId !== now.clusterId)
        return { _tag: "Unknown", detail: moved }
      topicId = now.topicId
    }
    metrics.written(batch.records.length, encoded.bytes.length)
    acknowledge(batch, encoded.identity, topicId, answer)
    return undefined
  })

  /** Judges what ended an attempt: true when the batch is done with. */
  const judge = (batch: Batch, outcome: ProduceOutcome.ProduceOutcome): Effect.Effect<boolean> => {
    switch (outcome._tag) {
      case "Again":
        if (outcome.mayBeWritten) {
          batch.mayBeWritten = true
          batch.openSince ??= momentOf(clock)
        }
        return Effect.succeed(false)
      case "Renumber": {
        const lost = Effect.logWarning(
          `${topic}[${partition}]: the broker does not know this writer's numbering (${outcome.detail}); records that it acknowledged before may be lost`
        )
        renumber(outcome.freshIdentity)
        if (batch.mayBeWritten) {
          fail(batch, () => new WriteOutcomeUnknown({ ...where, detail: outcome.detail }))
          return Effect.as(lost, true)
        }
        batch.encoded = undefined
        return Effect.as(lost, false)
      }
      case "Split":
        if (batch.records.length === 1 || batch.mayBeWritten) {
          refuse(batch, outcome.error)
        } else {
          batches = batches.flatMap((other) => (other === batch ? halves(batch) : [other]))
        }
        return Effect.succeed(true)
      case "NotIdempotent": {
        const denied = notAuthorized(topic, outcome.detail, shared.idempotence)
        const by = batch.encoded?.identity
        if (shared.idempotence !== "auto" || by === undefined || !isIdempotent(by)) {
          refuse(batch, denied)
          return Effect.succeed(true)
        }
        if (batch.mayBeWritten) unknown(batch, denied.message)
        else batch.encoded = undefined
        return Effect.as(goWithout(outcome.detail), batch.mayBeWritten)
      }
      case "Refused":
        refuse(batch, outcome.error)
        return Effect.succeed(true)
      case "Unknown":
        unknown(batch, outcome.detail)
        return Effect.succeed(true)
    }
  }

  const deliver = Effect.fnUntraced(function* (batch: Batch): Effect.fn.Return<void> {
    let detail = "its turn did not come"
    for (let failures = 1; ; failures++) {
      const doubt = access.doubt()
      if (doubt !== undefined) {
        detail = doubt
        yield* withinDeadline(batch, access.settled)
      }
      const now = monotonicMillis(clock)
      if (now >= batch.deadline) return expire(batch, now, detail)
      if (isForgotten(batch)) {
        return unknown(batch, `the brokers may have forgotten its producer id, so it is not sent again: ${detail}`)
      }
      begin()
      if (identity !== undefined && isForeign(identity)) identity = undefined
      if (batch.encoded !== undefined && isForeign(batch.encoded.identity)) {
        if (batch.mayBeWritten) {
          return fail(batch, () => new WriteOutcomeUnknown({ ...where, detail: `${moved}; ${detail}` }))
        }
        batch.encoded = undefined
      }
      const seen = access.version()
      const leader = access.leaderOf(partition)
      if (leader === undefined) {
        moveAway(batch)
        return yield* shared.outage.written(partition)
      }
      const outcome: ProduceOutcome.ProduceOutcome | undefined =
        leader < 0
          ? { _tag: "Again", mayBeWritten: false, detail: "the partition has no leader" }
          : yield* attempt(batch, leader, batch.deadline - now)
      if (outcome === undefined) return yield* shared.outage.written(partition)
      if (yield* judge(batch, outcome)) return
      metrics.retried()
      if ("detail" in outcome) detail = outcome.detail
      yield* shared.outage.failed(partition, failures, detail)
      yield* withinDeadline(batch, access.refresh(seen))
      const refusal = access.refusal()
      if (refusal !== undefined) return refuse(batch, refusal)
      // A new leader is tried at once, but only once.
      if (failures > 1 || access.leaderOf(partition) === leader) yield* withinDeadline(batch, backoff(failures))
    }
  })

  const withinDeadline = (batch: Batch, effect: Effect.Effect<void>): Effect.Effect<unknown> =>
    Effect.timeoutOption(effect, Math.max(1, batch.deadline - monotonicMillis(clock)))

  /** The topic was made again with fewer partitions. */
  const moveAway = (batch: Batch): void => {
    if (batch.mayBeWritten) {
      unknown(batch, "the partition is gone")
    } else {
      settled(batch)
      for (const record of batch.records) shared.reroute(record)
    }
    for (let record = queue.shift(); record !== undefined; record = queue.shift()) shared.reroute(record)
  }

  const next = Effect.gen(function* () {
    if (batches.length === 0) {
      if (!hasRecords()) yield* parked(hasRecords)
      // Writes of the same moment come along.
      yield* Effect.yieldNow
      if (shared.linger > 0 && !isFull()) yield* Effect.timeoutOption(parked(isFull), shared.linger)
      const now = monotonicMillis(clock)
      for (let late = queue.peek(); late !== undefined; late = queue.peek()) {
        if (now - late.offeredAt < shared.deliveryTimeout) break
        queue.shift()
        metrics.failed("WriteTimeout", 1)
        buffer.fail(late, timedOut(late, now, "its turn did not come"))
      }
      const batch = take(queue, { maxBytes: shared.maxBatchBytes, deliveryTimeout: shared.deliveryTimeout })
      if (batch === undefined) return
      batches = [batch]
    }
    const batch = batches[0]!
    yield* Effect.catchCause(deliver(batch), (cause) => {
      // A fault of the client's or this library's code: its writers are told, and later writes are tried.
      if (Cause.hasInterrupts(cause)) return Effect.failCause(cause)
      if (batch.inFlight) renumber(false)
      settled(batch)
      for (const record of batch.records) buffer.settle(record, Exit.failCause(cause))
      return Effect.void
    })
  })

  return {
    append: (record) => {
      queue.push(record)
      wake?.()
    },
    retract: (record) => queue.withdrawn(record),
    run: Effect.forever(next, { disableYield: true }),
    abandon: () => {
      for (const batch of batches) {
        if (batch.inFlight || batch.mayBeWritten) unknown(batch, "the writer was closed before the answer came")
        else fail(batch, () => new WriterClosed({ topic }))
      }
      for (let record = queue.shift(); record !== undefined; record = queue.shift()) {
        buffer.fail(record, new WriterClosed({ topic }))
      }
    }
  }
}
