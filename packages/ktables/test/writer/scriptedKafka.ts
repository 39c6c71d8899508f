import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import type * as KafkaClient from "effect-ktables/KafkaClient"
import { BrokerError, ConnectionFailed, type KafkaError, UnsupportedRequest } from "effect-ktables/KafkaError"
import { RecordCursor } from "../../src/internal/records/batchReader.ts"

export const TOPIC = "prices"
/**
 * What the first producers are named, beyond what numbers hold exactly: as numbers they would be the same. Acknowledgements
 * name them by their digits.
 */
export const firstId = 2n ** 62n + 1000n
export const secondId = firstId + 1n

export const TOPIC_ID = "0123456789abcdef0123456789abcdef"

/** A produce as the broker saw it, with its batch's header and records read. */
export interface Produced {
  readonly broker: number
  readonly request: KafkaClient.ProduceRequest
  readonly partition: number
  readonly bytes: Buffer
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly sequence: number
  readonly keys: ReadonlyArray<string>
}

export type ProduceAnswer = (
  produced: Produced,
  kafka: ScriptedKafka
) => Effect.Effect<ReadonlyArray<KafkaClient.ProducedPartition>, KafkaError>

const readProduced = (broker: number, request: KafkaClient.ProduceRequest): Produced => {
  const { partition, records } = request.partitions[0]!
  const bytes = Buffer.from(records)
  const cursor = new RecordCursor({ records: bytes, fromOffset: 0, abortedTransactions: undefined })
  const keys: Array<string> = []
  while (cursor.next()) keys.push(cursor.buffer.toString("utf8", cursor.keyStart, cursor.keyStart + cursor.keyLength))
  return {
    broker,
    request,
    partition,
    bytes,
    producerId: bytes.readBigInt64BE(43),
    producerEpoch: bytes.readInt16BE(51),
    sequence: bytes.readInt32BE(53),
    keys
  }
}

export const answered = (
  partition: number,
  answer: { readonly errorCode?: number; readonly baseOffset?: number; readonly errorMessage?: string }
): KafkaClient.ProducedPartition => ({
  partition,
  errorCode: answer.errorCode ?? 0,
  errorMessage: answer.errorMessage,
  baseOffset: answer.baseOffset ?? -1,
  logAppendTime: -1,
  logStartOffset: 0
})

/** Answers with an error code and appends nothing. */
export const refuse =
  (errorCode: number, errorMessage?: string): ProduceAnswer =>
  ({ partition }) =>
    Effect.succeed([answered(partition, errorMessage === undefined ? { errorCode } : { errorCode, errorMessage })])

/** Appends, then answers with an error code. */
export const appendAndRefuse =
  (errorCode: number): ProduceAnswer =>
  (produced, kafka) =>
    Effect.andThen(accept(produced, kafka), refuse(errorCode)(produced, kafka))

/** Appends as a leader does: an idempotent batch that is already there is not appended again. */
export const accept: ProduceAnswer = (produced, kafka) =>
  Effect.sync(() => {
    const known = kafka.appended.find((other) => produced.producerId >= 0n && other.bytes.equals(produced.bytes))
    const baseOffset = known === undefined ? kafka.end(produced.partition) : known.baseOffset
    if (known === undefined) {
      kafka.appended.push({ bytes: produced.bytes, baseOffset, partition: produced.partition, keys: produced.keys })
    }
    return [answered(produced.partition, { baseOffset })]
  })

export const lost = (request: string): ConnectionFailed =>
  new ConnectionFailed({ broker: "broker:9092", request, detail: "ECONNRESET" })

/** The connection breaks; nothing was appended. */
export const cut: ProduceAnswer = () => Effect.fail(lost("Produce"))

/** The connection breaks behind the append. */
export const appendAndCut: ProduceAnswer = (produced, kafka) =>
  Effect.andThen(accept(produced, kafka), cut(produced, kafka))

export const brokerError = (code: number, request = "Request"): BrokerError =>
  new BrokerError({ broker: "broker:9092", request, code, topic: TOPIC })

const unscripted = (request: string) =>
  Effect.fail(new UnsupportedRequest({ broker: "broker:9092", request, detail: "not in the script" }))

/** A cluster whose answers are data: each list is worked off in order, then the default answer is given. */
export class ScriptedKafka {
  /** What was called, by name, in order. */
  readonly calls: Array<string> = []
  readonly produced: Array<Produced> = []
  readonly appended: Array<{
    readonly bytes: Buffer
    readonly baseOffset: number
    readonly partition: number
    readonly keys: ReadonlyArray<string>
  }> = []
  readonly created: Array<KafkaClient.CreateTopicRequest> = []
  readonly altered: Array<Readonly<Record<string, string>>> = []
  description: KafkaClient.TopicDescription
  config: ReadonlyMap<string, string | undefined> = new Map([["cleanup.policy", "compact"]])
  produces: Array<ProduceAnswer> = []
  describes: Array<Effect.Effect<KafkaClient.TopicDescription, KafkaError>> = []
  inits: Array<Effect.Effect<KafkaClient.GrantedIdentity, KafkaError>> = []
  creates: Array<Effect.Effect<void, KafkaError>> = []
  configs: Array<Effect.Effect<ReadonlyMap<string, string | undefined>, KafkaError>> = []
  alters: Array<Effect.Effect<void, KafkaError>> = []
  /** What a produce answers when the list is empty. */
  otherwise: ProduceAnswer = accept
  private ids = firstId

  constructor(partitions = 1) {
    this.description = describe({ partitions })
  }

  end(partition: number): number {
    return this.appended
      .filter((batch) => batch.partition === partition)
      .reduce((sum, batch) => sum + batch.keys.length, 0)
  }

  /** The keys of a partition in log order. */
  log(partition = 0): ReadonlyArray<string> {
    return this.appended.filter((batch) => batch.partition === partition).flatMap((batch) => batch.keys)
  }

  readonly client: KafkaClient.Service = {
    addresses: ["one:9092", "two:9092"],
    describeTopic: () =>
      Effect.suspend(() => {
        this.calls.push("describeTopic")
        return this.describes.shift() ?? Effect.succeed(this.description)
      }),
    listTopics: Effect.sync(() => [this.description.topic]),
    initProducerId: Effect.suspend(() => {
      this.calls.push("initProducerId")
      return (
        this.inits.shift() ??
        Effect.sync(() => ({
          producerId: this.ids++,
          producerEpoch: 0,
          clusterId: this.description.clusterId
        }))
      )
    }),
    produce: (broker, request) =>
      Effect.suspend(() => {
        const produced = readProduced(broker, request)
        this.produced.push(produced)
        return (this.produces.shift() ?? this.otherwise)(produced, this)
      }),
    createTopic: (request) =>
      Effect.suspend(() => {
        this.calls.push("createTopic")
        this.created.push(request)
        return this.creates.shift() ?? Effect.void
      }),
    describeConfig: () =>
      Effect.suspend(() => {
        this.calls.push("describeConfig")
        return this.configs.shift() ?? Effect.succeed(this.config)
      }),
    alterConfig: (_topic, set) =>
      Effect.suspend(() => {
        this.calls.push("alterConfig")
        this.altered.push(set)
        return this.alters.shift() ?? Effect.void
      }),
    listOffsets: () => unscripted("ListOffsets"),
    endOffsetForEpoch: () => unscripted("OffsetForLeaderEpoch"),
    openFetcher: () => Effect.succeed({ fetch: () => unscripted("Fetch") })
  }
}

export const describe = (options: {
  readonly partitions: number
  readonly leader?: number
  readonly topicId?: string
  readonly clusterId?: string | undefined
}): KafkaClient.TopicDescription => ({
  clusterId: "clusterId" in options ? options.clusterId : "cluster",
  topic: TOPIC,
  topicId: options.topicId ?? TOPIC_ID,
  partitions: Array.from({ length: options.partitions }, (_, partition) => ({
    partition,
    errorCode: 0,
    leader: options.leader ?? 1,
    leaderEpoch: 0
  })),
  brokers: [{ id: 1, host: "one", port: 9092, rack: undefined }]
})

/** Lets the test clock run until the effect has ended, for at most `limit` steps of 50 ms. */
export const eventually = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>, limit = 4000) {
  const fiber = yield* Effect.forkChild(effect)
  yield* Effect.yieldNow
  for (let i = 0; i < limit && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust(50)
  if (fiber.pollUnsafe() === undefined) {
    yield* Fiber.interrupt(fiber)
    return yield* Effect.die(new Error(`still running after ${limit * 50} ms of test time`))
  }
  return yield* Fiber.join(fiber)
})

/** Waits, in real turns of the event loop and without moving the clock, until the condition holds. */
export const until = Effect.fnUntraced(function* (condition: () => boolean) {
  for (let i = 0; i < 10_000; i++) {
    if (condition()) return
    yield* Effect.yieldNow
  }
  return yield* Effect.die(new Error("the condition did not come true"))
})
