/**
 * A `KafkaClient` whose answers are data: what is scripted for a kind of request is answered in that order, and then the
 * embedded Kafka behind it answers again. Every request is recorded.
 */
import { Context, Effect, Layer } from "effect"
import { KafkaClient, type KafkaError } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"

type Client = KafkaClient.Service

/** What each kind of request asks, and what it answers. */
interface Kinds {
  readonly describeTopic: { readonly asks: string; readonly answers: KafkaClient.TopicDescription }
  readonly listOffsets: {
    readonly asks: KafkaClient.ListOffsetsRequest & { readonly broker: number }
    readonly answers: ReadonlyArray<KafkaClient.ListedOffset>
  }
  readonly endOffsetForEpoch: {
    readonly asks: KafkaClient.EpochEndOffsetRequest & { readonly broker: number }
    readonly answers: ReadonlyArray<KafkaClient.EpochEndOffset>
  }
  readonly fetch: {
    readonly asks: KafkaClient.FetchRequest & { readonly broker: number }
    readonly answers: KafkaClient.FetchAnswer
  }
}

export type Kind = keyof Kinds

/** Answers a request, perhaps by what the embedded Kafka answers to it. */
export type Answer<K extends Kind> = (
  asks: Kinds[K]["asks"],
  next: Effect.Effect<Kinds[K]["answers"], KafkaError.KafkaError>
) => Effect.Effect<Kinds[K]["answers"], KafkaError.KafkaError>

interface Line<K extends Kind> {
  readonly answer: Answer<K>
  left: number
}

export class Recording {
  readonly describeTopic: Array<Kinds["describeTopic"]["asks"]> = []
  readonly listOffsets: Array<Kinds["listOffsets"]["asks"]> = []
  readonly endOffsetForEpoch: Array<Kinds["endOffsetForEpoch"]["asks"]> = []
  readonly fetch: Array<Kinds["fetch"]["asks"]> = []
  /** Brokers that fetchers were opened for, in order. */
  readonly opened: Array<number> = []
}

export interface Script {
  readonly requests: Recording
  /** Answers the next `times` requests of a kind so; without `times` all of them, until `clear`. */
  readonly on: <K extends Kind>(kind: K, answer: Answer<K>, times?: number) => void
  readonly clear: (kind: Kind) => void
}

export const Script = Context.Service<Script>("test/Script")

const make = Effect.gen(function* () {
  const base: Client = yield* KafkaClient.KafkaClient
  const requests = new Recording()
  const lines: { readonly [K in Kind]: Array<Line<K>> } = {
    describeTopic: [],
    listOffsets: [],
    endOffsetForEpoch: [],
    fetch: []
  }
  const play = <K extends Kind>(
    kind: K,
    asks: Kinds[K]["asks"],
    next: Effect.Effect<Kinds[K]["answers"], KafkaError.KafkaError>
  ): Effect.Effect<Kinds[K]["answers"], KafkaError.KafkaError> =>
    Effect.suspend(() => {
      ;(requests[kind] as Array<Kinds[K]["asks"]>).push(asks)
      const queue = lines[kind] as Array<Line<K>>
      const take = (): Line<K> | undefined => {
        const line = queue[0]
        if (line !== undefined && --line.left <= 0) queue.shift()
        return line
      }
      const line = take()
      if (line !== undefined) return line.answer(asks, next)
      // A long poll that was asked before is answered by what was scripted since.
      return kind !== "fetch"
        ? next
        : Effect.flatMap(next, (answer) => {
            const late = take()
            return late === undefined ? Effect.succeed(answer) : late.answer(asks, Effect.succeed(answer))
          })
    })
  const client: Client = {
    ...base,
    describeTopic: (topic) => play("describeTopic", topic, base.describeTopic(topic)),
    listOffsets: (broker, request) => play("listOffsets", { ...request, broker }, base.listOffsets(broker, request)),
    endOffsetForEpoch: (broker, request) =>
      play("endOffsetForEpoch", { ...request, broker }, base.endOffsetForEpoch(broker, request)),
    openFetcher: (broker) =>
      Effect.map(base.openFetcher(broker), (fetcher) => {
        requests.opened.push(broker)
        return { fetch: (request) => play("fetch", { ...request, broker }, fetcher.fetch(request)) }
      })
  }
  const script: Script = {
    requests,
    on: (kind, answer, times = Number.POSITIVE_INFINITY) => {
      ;(lines[kind] as Array<Line<typeof kind>>).push({ answer, left: times })
    },
    clear: (kind) => {
      lines[kind].length = 0
    }
  }
  return Context.make(KafkaClient.KafkaClient, client).pipe(Context.add(Script, script))
})

/** Runs a test's effect on an embedded cluster behind a script. */
export const onScript = <A, E, R>(effect: Effect.Effect<A, E, R>, options: MemoryKafka.Options = {}) =>
  effect.pipe(
    Effect.scoped,
    Effect.provide(Layer.effectContext(make).pipe(Layer.provideMerge(MemoryKafka.layerWith(options)), Layer.fresh))
  )

/** Changes what the embedded Kafka answers. */
export const altered =
  <K extends Kind>(alter: (answer: Kinds[K]["answers"], asks: Kinds[K]["asks"]) => Kinds[K]["answers"]): Answer<K> =>
  (asks, next) =>
    Effect.map(next, (answer) => alter(answer, asks))

/** Changes every partition of a fetch answer. */
export const fetched = (
  alter: (
    partition: KafkaClient.FetchedPartition,
    asks: Kinds["fetch"]["asks"]
  ) => Partial<KafkaClient.FetchedPartition>
): Answer<"fetch"> =>
  altered<"fetch">((answer, asks) => ({
    ...answer,
    partitions: answer.partitions.map((partition) => ({ ...partition, ...alter(partition, asks) }))
  }))

/** A partition of a fetch answer with an error. */
export const refused = (errorCode: number): Partial<KafkaClient.FetchedPartition> => ({
  errorCode,
  highWatermark: -1,
  lastStableOffset: -1,
  logStartOffset: -1,
  diverging: undefined,
  abortedTransactions: [],
  records: Buffer.alloc(0)
})
