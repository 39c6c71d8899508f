/** What a client sees of its quotas. */
import { Clock, Effect, Exit } from "effect"
import { type Fetcher, KafkaClient } from "effect-ktables/KafkaClient"
import {
  createTopicRequest,
  eventually,
  fetchRequest,
  freshTopic,
  listOffset,
  newProducer,
  produceBytes
} from "../../../src/internal/contract/support.ts"
import { encodeBatch, readBatches } from "../../../src/internal/recordBatch.ts"
import { randomOf } from "./random.ts"

const RATE = 20_000
/** A broker lets through what ten seconds of the rate allow, at once. */
const WINDOW = 10 * RATE
/** Longer than anything takes that waits for nothing, and shorter than the throttle times below. */
const SLOW = 1_500

/** What a client sees of its quotas: which answers are held back, and which requests wait. The times are each cluster's own. */
export const playQuotas = Effect.fnUntraced(
  function* <E>(
    seed: number,
    setQuotas: (quotas: {
      readonly consumer_byte_rate?: number
      readonly producer_byte_rate?: number
    }) => Effect.Effect<void, E>
  ) {
    const random = randomOf(seed)
    const client = yield* KafkaClient
    /** So many batches go through, and the one after them is over the quota by seconds. */
    const passing = random.pick([2, 3])
    const value = "v".repeat((WINDOW * 0.95) / passing)
    // A broker deletes what is older than a week, half a minute after it has started.
    const timestamp = yield* Clock.currentTimeMillis
    const batch = () => encodeBatch([{ key: "k", value, timestamp }])
    const topic = yield* freshTopic()
    for (let i = 0; i <= passing; i++) yield* produceBytes(topic, batch())

    yield* setQuotas({ consumer_byte_rate: RATE })
    const fetched: Array<unknown> = []
    const fetcher = yield* client.openFetcher(topic.partitions[0]!.leader)
    for (let offset = 0; offset <= passing;) {
      const { partitions, throttle } = yield* fetcher.fetch({
        topic: topic.topic,
        topicId: topic.topicId,
        isolation: "read_committed",
        maxWait: 0,
        minBytes: 1,
        maxBytes: 1,
        rack: undefined,
        partitions: [{ partition: 0, fetchOffset: offset, currentLeaderEpoch: -1, lastFetchedEpoch: -1, maxBytes: 1 }]
      })
      const answer = {
        isThrottled: throttle > 0,
        partitions: partitions.map(({ errorCode, highWatermark, records }) => ({
          errorCode,
          highWatermark,
          offsets: readBatches(records).map(({ baseOffset }) => baseOffset)
        }))
      }
      if (answer.partitions.some(({ offsets }) => offsets.length > 0)) offset++
      // A broker may have to hold the same back twice, by some milliseconds.
      if (JSON.stringify(fetched.at(-1)) !== JSON.stringify(answer)) fetched.push(answer)
    }

    yield* setQuotas({ producer_byte_rate: RATE })
    const produced: Array<unknown> = []
    for (let i = 0; i <= passing + 1; i++) {
      const before = yield* Clock.currentTimeMillis
      const { baseOffset, errorCode } = yield* produceBytes(topic, batch())
      produced.push({ baseOffset, errorCode, hasWaited: (yield* Clock.currentTimeMillis) - before > SLOW })
    }
    return { fetched, produced }
  },
  Effect.scoped,
  Effect.orDie
)

/** No request is so short that it keeps to it: each is throttled for a second, which is the most. */
const NOTHING_GOES = 0.0001
/** Longer than what waits for nothing takes, and shorter than a second. */
const PAUSE = 600

/**
 * What a client sees of a quota on requests: what is answered all the same, which of the next requests wait for it, and
 * what a connection begins with.
 */
export const playRequestQuotas = Effect.fnUntraced(
  function* <E>(seed: number, setQuotas: (quotas: { readonly request_percentage?: number }) => Effect.Effect<void, E>) {
    const random = randomOf(seed)
    const client = yield* KafkaClient
    const topic = yield* freshTopic()
    const leader = topic.partitions[0]!.leader
    const name = topic.topic
    const timestamp = yield* Clock.currentTimeMillis
    const batch = encodeBatch([{ key: "k", value: "v", timestamp }])
    const fetch = (fetcher: Fetcher) =>
      Effect.map(fetcher.fetch(fetchRequest(topic, 0)), ({ errorCode, partitions, throttle }) => ({
        isThrottled: throttle > 0,
        errorCode,
        partitions: partitions.length
      }))
    const fetcher = yield* client.openFetcher(leader)
    const acts: Readonly<Record<string, Effect.Effect<unknown, unknown, KafkaClient>>> = {
      describeTopic: client.describeTopic(name),
      listOffsets: listOffset(topic, "latest"),
      endOffsetForEpoch: client.endOffsetForEpoch(leader, {
        topic: name,
        partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0 }]
      }),
      initProducerId: client.initProducerId,
      produce: produceBytes(topic, batch),
      produceUnanswered: produceBytes(topic, batch, { acks: 0 }),
      describeConfig: client.describeConfig(name),
      alterConfig: client.alterConfig(name, { "retention.ms": "1000000000" }),
      createTopic: client.createTopic(createTopicRequest(name)),
      fetch: fetch(fetcher)
    }
    yield* newProducer
    // Connections are open, and coordinators are loaded.
    for (const act of Object.values(acts)) yield* Effect.ignore(act)
    yield* setQuotas({ request_percentage: NOTHING_GOES })
    // A quota takes a moment to be in force.
    yield* eventually(fetch(fetcher), ({ isThrottled }) => isThrottled)
    const timed = Effect.fnUntraced(function* (effect: Effect.Effect<unknown, unknown, KafkaClient>) {
      const before = yield* Clock.currentTimeMillis
      const exit = yield* Effect.exit(effect)
      return { exit, hasWaited: (yield* Clock.currentTimeMillis) - before > PAUSE }
    })
    // A controller, which is asked by the broker, has its own.
    yield* eventually(
      Effect.andThen(Effect.ignore(acts["alterConfig"]!), timed(acts["describeTopic"]!)),
      ({ hasWaited }) => hasWaited
    )
    const seen: Array<unknown> = []
    const play = Effect.fnUntraced(function* (act: string, effect: Effect.Effect<unknown, unknown, KafkaClient>) {
      const { exit, hasWaited } = yield* timed(effect)
      seen.push({
        act,
        isAnswered: Exit.isSuccess(exit),
        hasWaited,
        ...(act === "fetch" && Exit.isSuccess(exit) ? { answer: exit.value } : {})
      })
    })
    const order = Object.keys(acts).sort(() => random.next() - 0.5)
    for (const act of [...order, "describeTopic", "fetch"]) yield* play(act, acts[act]!)
    const another = yield* client.openFetcher(leader)
    for (let i = 0; i < 2; i++) yield* play("fetch", fetch(another))
    return seen
  },
  Effect.scoped,
  Effect.orDie
)
