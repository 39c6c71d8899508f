/**
 * The same random requests and administrative acts against the embedded Kafka and a real broker, whose answers must be the
 * same once ids and names are taken out of them, and what a client sees of its quotas. What the embedded Kafka answers is believed only where this test, the
 * contract suite or `cleaner.test.ts` compares it. `CASES` and `SEED` make it longer, or repeat one case.
 */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { KafkaClientContract, TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Clock, Effect, Exit, Layer, Option } from "effect"
import { KafkaClient, type Isolation, type ProducerIdentity } from "effect-ktables/KafkaClient"
import { BrokerError } from "effect-ktables/KafkaError"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import type { ContractTransaction } from "../../src/ContractAdmin.ts"
import {
  awaitTopic,
  createTopicRequest,
  eventually,
  fetchOne,
  freshTopic,
  listOffset,
  newProducer,
  produceBytes,
  type TestTopic
} from "../../src/internal/contract/support.ts"
import { type ContractRecord, encodeBatch, readBatches } from "../../src/internal/recordBatch.ts"

const { ContractAdmin } = KafkaClientContract

const broker = Layer.unwrap(Effect.map(TestKafka.TestKafka, ({ brokers }) => KafkaJsClient.layer({ brokers }))).pipe(
  Layer.merge(KafkaClientContract.brokerAdmin),
  Layer.provide(TestKafka.layer)
)

const embedded = () => KafkaClientContract.memoryAdmin.pipe(Layer.provideMerge(Layer.fresh(MemoryKafka.layer)))

/** mulberry32, so that a seed names a case. */
const randomOf = (seed: number) => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
  const between = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1))
  return { next, between, pick: <A>(of: ReadonlyArray<A>): A => of[between(0, of.length - 1)]! }
}

const STEPS = 40
const wide = { "max.message.bytes": "1048588" }
const PARTITIONS = 2
const epochs = [-1, -1, -1, 0, 0, 1, 7]

interface State {
  topic: TestTopic
  /** The topic as it was before it was recreated. */
  former: TestTopic | undefined
  readonly producers: Array<ProducerIdentity>
  /** By producer and partition; what the broker knows may be otherwise, which is the point. */
  readonly sequences: Map<string, number>
  readonly transactions: Map<number, ContractTransaction>
  now: number
}

/** An answer, or how the call failed. */
const outcome = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<unknown, never, R> =>
  Effect.map(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) return exit.value
    const error = Option.getOrUndefined(Exit.findErrorOption(exit))
    return error instanceof BrokerError ? { code: error.code } : { failed: String(error ?? exit) }
  })

/** Plays one case and gives each step with what was answered. */
const play = Effect.fnUntraced(function* (seed: number, since: number) {
  const random = randomOf(seed)
  const client = yield* KafkaClient
  const admin = yield* ContractAdmin
  const policy = random.pick(["compact,delete", "delete", "compact"])
  const config = { "cleanup.policy": policy }
  const state: State = {
    topic: yield* freshTopic({ partitions: PARTITIONS, config }),
    former: undefined,
    producers: [],
    sequences: new Map(),
    transactions: new Map(),
    now: since
  }
  const known = new Map<number, number>()
  /** A producer's id by the order in which ids are seen. */
  const producerOf = (id: number): number => {
    if (id < 0) return id
    if (!known.has(id)) known.set(id, known.size)
    return known.get(id)!
  }
  const ends = (partition: number) =>
    Effect.map(listOffset(state.topic, "latest", "read_uncommitted", { partition }), ({ offset }) => offset)
  const records = (): ReadonlyArray<ContractRecord> =>
    Array.from({ length: random.between(1, 3) }, () => ({
      key: `k${random.between(0, 4)}`,
      value: random.next() < 0.25 ? null : `v${random.between(0, 99)}`,
      timestamp: (state.now += random.between(0, 2))
    }))

  const steps: Readonly<Record<string, (partition: number) => Effect.Effect<unknown, unknown, KafkaClient>>> = {
    plain: (partition) =>
      produceBytes(state.topic, encodeBatch(records(), { compression: random.pick(["none", "gzip", "zstd"]) }), {
        partition,
        acks: random.pick([-1, 1, 1])
      }),
    sequenced: Effect.fnUntraced(function* (partition) {
      if (state.producers.length < 2) state.producers.push(yield* newProducer)
      const index = random.between(0, state.producers.length - 1)
      const { producerEpoch, producerId } = state.producers[index]!
      producerOf(producerId)
      const place = `${index}-${partition}-${state.topic.topicId}`
      const expected = state.sequences.get(place) ?? 0
      const baseSequence = Math.max(0, expected + random.pick([0, 0, 0, 0, -1, -2, 1, 5]))
      const epoch = producerEpoch + random.pick([0, 0, 0, 0, 0, 1])
      const batch = records()
      const answer = yield* produceBytes(
        state.topic,
        encodeBatch(batch, { producerId, producerEpoch: epoch, baseSequence }),
        { partition }
      )
      if (answer.errorCode === 0 && baseSequence === expected) state.sequences.set(place, expected + batch.length)
      return answer
    }),
    refused: (partition) => {
      const batch = encodeBatch(random.next() < 0.3 ? [{ key: null, value: "v", timestamp: state.now }] : records(), {
        baseOffset: random.pick([0, 0, 3]),
        isControl: random.next() < 0.2,
        isTransactional: random.next() < 0.2
      })
      if (random.next() < 0.3) batch[batch.length - 1]! ^= 0xff
      return Effect.map(produceBytes(state.topic, batch, { partition }), (answer) => ({
        ...answer,
        // A broker's words are its own.
        errorMessage: undefined
      }))
    },
    fetch: Effect.fnUntraced(function* (partition) {
      const end = yield* ends(partition)
      const offset = random.pick([0, random.between(0, Math.max(0, end)), end, end - 1, end + 1, -1])
      const isolation = random.pick<Isolation>(["read_committed", "read_uncommitted"])
      const former = random.next() < 0.2 ? state.former : undefined
      const fetched = yield* fetchOne(former ?? state.topic, offset, {
        partition,
        isolation,
        maxBytes: random.pick([1, 100, 10_000_000]),
        currentLeaderEpoch: random.pick(epochs),
        lastFetchedEpoch: random.pick(epochs)
      })
      const { abortedTransactions, records: bytes, ...rest } = fetched
      return {
        ...rest,
        // Another read of the same log may find the index's entries in another order.
        aborted: abortedTransactions.map(({ firstOffset, producerId }) => [producerOf(producerId), firstOffset]),
        bytes: bytes.length,
        batches: readBatches(bytes).map((batch) => ({
          ...batch,
          producerId: producerOf(batch.producerId),
          // A coordinator's time is its own.
          records: batch.isControl ? [] : batch.records
        }))
      }
    }),
    listOffsets: (partition) =>
      Effect.suspend(() =>
        client.listOffsets(state.topic.partitions[0]!.leader, {
          topic: state.topic.topic,
          at: random.pick(["earliest", "latest"]),
          isolation: random.pick<Isolation>(["read_committed", "read_uncommitted"]),
          partitions: [{ partition: random.pick([partition, partition, 99]), leaderEpoch: random.pick(epochs) }]
        })
      ),
    epochEnd: (partition) =>
      client.endOffsetForEpoch(state.topic.partitions[0]!.leader, {
        topic: state.topic.topic,
        partitions: [
          {
            partition: random.pick([partition, partition, 99]),
            currentLeaderEpoch: random.pick(epochs),
            leaderEpoch: random.pick(epochs)
          }
        ]
      }),
    append: Effect.fnUntraced(function* (partition) {
      // The embedded Kafka's transactions are not measured.
      yield* client.alterConfig(state.topic.topic, wide)
      yield* eventually(
        client.describeConfig(state.topic.topic),
        (shown) => shown.get("max.message.bytes") === wide["max.message.bytes"]
      )
      const which = random.between(0, 1)
      const open = state.transactions.get(which) ?? (yield* admin.beginTransaction)
      state.transactions.set(which, open)
      yield* open.append(state.topic.topic, partition, records())
    }),
    end: Effect.fnUntraced(function* () {
      const which = random.between(0, 1)
      const kind = random.pick(["commit", "abort"] as const)
      yield* finish(which, kind)
    }),
    deleteRecords: Effect.fnUntraced(function* (partition) {
      const end = yield* ends(partition)
      const before = random.pick([random.between(0, end), -1])
      if (policy === "compact") return
      // An open transaction whose first record is deleted is a case of its own.
      for (const which of [0, 1]) yield* finish(which, "commit")
      yield* admin.deleteRecords(state.topic.topic, partition, before === -1 ? yield* ends(partition) : before)
    }),
    grow: Effect.fnUntraced(function* () {
      const partitions = state.topic.partitions.length + 1
      if (partitions > PARTITIONS + 2) return
      yield* admin.createPartitions(state.topic.topic, partitions)
      state.topic = yield* awaitTopic(state.topic.topic, partitions)
    }),
    recreate: Effect.fnUntraced(function* () {
      for (const which of [0, 1]) yield* finish(which, "abort")
      const { partitions, topic } = state.topic
      yield* admin.deleteTopic(topic)
      state.former = state.topic
      yield* eventually(
        outcome(client.createTopic(createTopicRequest(topic, { partitions: partitions.length, config }))),
        (answer) => answer === undefined
      )
      state.topic = yield* awaitTopic(topic, partitions.length)
      state.sequences.clear()
    }),
    createTopic: () =>
      Effect.suspend(() =>
        client.createTopic(
          createTopicRequest(random.pick([state.topic.topic, "a b", "..", "x".repeat(250)]), {
            partitions: random.pick([1, 0, -2]),
            replicationFactor: random.pick([1, 1, 0, 9]),
            config: random.pick([{}, { "no.such.setting": "1" }, { "delete.retention.ms": "soon" }])
          })
        )
      ),
    alterConfig: () =>
      Effect.suspend(() => {
        const set = random.pick<Readonly<Record<string, string>>>([
          { "max.message.bytes": "90" },
          wide,
          { "delete.retention.ms": String(random.between(1000, 100_000)) },
          { "min.cleanable.dirty.ratio": "2" },
          { "no.such.setting": "1" },
          { "segment.ms": "0" }
        ])
        return Effect.andThen(
          client.alterConfig(state.topic.topic, set),
          // A broker takes a moment to follow what its controller has decided.
          eventually(client.describeConfig(state.topic.topic), (shown) =>
            Object.entries(set).every(([name, value]) => shown.get(name) === value)
          )
        ).pipe(Effect.asVoid)
      }),
    describe: () =>
      Effect.map(
        Effect.all([client.describeTopic(state.topic.topic), client.describeConfig(state.topic.topic)]),
        ([{ partitions }, settings]) => ({
          partitions,
          settings: [...settings].filter(([name]) => !ofTestBroker.includes(name)).sort()
        })
      )
  }

  const finish = Effect.fnUntraced(function* (which: number, kind: "abort" | "commit") {
    const open = state.transactions.get(which)
    if (open === undefined) return
    state.transactions.delete(which)
    const before = yield* Effect.forEach(state.topic.partitions, ({ partition }) => ends(partition))
    const isElsewhere = state.transactions.size > 0
    yield* open[kind]
    // Markers are written after the answer.
    const stable = Effect.forEach(state.topic.partitions, ({ partition }) =>
      Effect.all([
        ends(partition),
        Effect.map(listOffset(state.topic, "latest", "read_committed", { partition }), ({ offset }) => offset)
      ])
    )
    yield* eventually(stable, (all) =>
      isElsewhere
        ? all.some(([end], i) => end > before[i]!)
        : all.every(([end, committed]) => end === committed) && all.some(([end], i) => end > before[i]!)
    )
    // With another transaction open the markers of the partitions come one by one: their number stands still.
    if (isElsewhere) yield* settled(stable)
  })

  const shares: Readonly<Record<string, number>> = {
    fetch: 4,
    sequenced: 3,
    plain: 2,
    append: 2,
    end: 2,
    refused: 1,
    listOffsets: 1,
    epochEnd: 1,
    deleteRecords: 1,
    describe: 1,
    createTopic: 1,
    alterConfig: 1,
    grow: 1,
    recreate: 1
  }
  const names = Object.entries(shares).flatMap(([name, share]) => Array.from({ length: share }, () => name))
  const answers: Array<readonly [step: string, answer: unknown]> = []
  for (let step = 0; step < STEPS; step++) {
    const name = random.pick(names)
    const partition = random.between(0, PARTITIONS - 1)
    answers.push([`${step} ${name}[${partition}]`, yield* outcome(steps[name]!(partition))])
  }
  for (const which of [0, 1]) yield* finish(which, "abort")
  yield* admin.deleteTopic(state.topic.topic)
  return answers
})

/** Waits until two looks in a row find the same. */
const settled = Effect.fnUntraced(function* <E, R>(look: Effect.Effect<unknown, E, R>) {
  let before = JSON.stringify(yield* look)
  yield* eventually(
    Effect.map(look, (now) => {
      const found = JSON.stringify(now)
      const isSame = found === before
      before = found
      return isSame
    }),
    (isSame) => isSame
  )
})

/** Settings that brokers of tests have otherwise than brokers by default, or that name brokers. */
const ofTestBroker: ReadonlyArray<string> = ["min.insync.replicas"]

const RATE = 20_000
/** A broker lets through what ten seconds of the rate allow, at once. */
const WINDOW = 10 * RATE
/** Longer than anything takes that waits for nothing, and shorter than the throttle times below. */
const SLOW = 1_500

/** What a client sees of its quotas: which answers are held back, and which requests wait. The times are each cluster's own. */
const playQuotas = Effect.fnUntraced(function* <E>(
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
}, Effect.scoped)

const given = process.env["SEED"]
const cases = Number(process.env["CASES"] ?? (given === undefined ? 12 : 1))
const first = given === undefined ? Math.floor(Math.random() * 1e9) : Number(given)

layer(broker, { excludeTestServices: true })("the embedded Kafka answers as a broker does", (it) => {
  for (let seed = first; seed < first + cases; seed++) {
    it.effect(
      given === undefined ? `in a random case (${seed - first + 1} of ${cases})` : `in the case of seed ${seed}`,
      () =>
        Effect.gen(function* () {
          const since = Date.now()
          const expected = yield* play(seed, since)
          const actual = yield* play(seed, since).pipe(Effect.provide(embedded()))
          for (const [i, answer] of expected.entries()) {
            assert.deepStrictEqual(actual[i], answer, `SEED=${seed}: the embedded Kafka beside the broker`)
          }
        }),
      120_000
    )
  }
})

layer(TestKafka.layer, { excludeTestServices: true })("the embedded Kafka throttles as a broker does", (it) => {
  it.effect(
    "fetches are held back without topics, and produces are answered and followed by silence",
    () =>
      Effect.gen(function* () {
        const { admin, brokers } = yield* TestKafka.TestKafka
        const clientId = yield* TestKafka.uniqueName("throttled")
        const [expected, actual] = yield* Effect.all(
          [
            playQuotas(first, (quotas) =>
              admin.setClientQuotas({ consumer_byte_rate: null, producer_byte_rate: null, ...quotas }, clientId)
            ).pipe(Effect.provide(KafkaJsClient.layer({ brokers, clientId }))),
            Effect.flatMap(MemoryKafka.MemoryKafka, ({ setQuotas }) => playQuotas(first, setQuotas)).pipe(
              Effect.provide(Layer.fresh(MemoryKafka.layer))
            )
          ],
          { concurrency: 2 }
        )
        assert.deepStrictEqual(actual, expected, `SEED=${first}: the embedded Kafka beside the broker`)
        assert.isTrue(
          JSON.stringify(expected).includes('{"isThrottled":true,"partitions":[]}'),
          "a fetch was held back"
        )
        assert.isTrue(JSON.stringify(expected).includes('"hasWaited":true'), "a produce waited")
      }),
    120_000
  )
})
