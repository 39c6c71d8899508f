/** Random requests and administrative acts, played on one cluster; what is answered no longer has ids and names in it. */
import { KafkaClientContract } from "@effect-ktables/testing"
import { Effect, Exit, Option } from "effect"
import { type FetchedPartition, type Isolation, KafkaClient, type ProducerIdentity } from "effect-ktables/KafkaClient"
import { BrokerError } from "effect-ktables/KafkaError"
import type { ContractTransaction } from "../../../src/ContractAdmin.ts"
import {
  awaitTopic,
  createTopicRequest,
  eventually,
  type FetchOptions,
  fetchRequest,
  freshTopic,
  leaderOf,
  listOffset,
  newProducer,
  onePartition,
  produce,
  produceBytes,
  type TestTopic
} from "../../../src/internal/contract/support.ts"
import { type ContractRecord, encodeBatch, type ReadBatch, readBatches } from "../../../src/internal/recordBatch.ts"
import { randomOf } from "./random.ts"

const { ContractAdmin } = KafkaClientContract

/** What is done to a cluster that neither a client nor `ContractAdmin` does, in each cluster's own way. */
export interface Hands {
  /** Runs `look` with a client of each broker, which asks that one first. */
  readonly everywhere: <E>(
    client: KafkaClient["Service"],
    look: (one: KafkaClient["Service"]) => Effect.Effect<unknown, E>
  ) => Effect.Effect<void, E>
  readonly brokers: number
  /** Whether segments go by `retention.bytes` within seconds on topics that are not compacted, too. */
  readonly expires: boolean
  /** Begins a segment with the next record, whose time is later than a segment lasts. */
  readonly roll: (topic: string, partition: number) => Effect.Effect<void>
  /** Has each copy cleaned once below an offset, where a segment begins; each is clean once `isClean`. */
  readonly clean: (
    topic: string,
    partition: number,
    below: number,
    isClean: Effect.Effect<boolean, unknown, KafkaClient>
  ) => Effect.Effect<void, unknown, KafkaClient>
  /** Drops the segments below an offset, as `retention.bytes` wants it; they are gone once `isGone`. */
  readonly expire: (
    topic: string,
    partition: number,
    before: number,
    isGone: Effect.Effect<boolean, unknown, KafkaClient>
  ) => Effect.Effect<void, unknown, KafkaClient>
  readonly moveLeader: (topic: string, partition: number, broker: number) => Effect.Effect<void>
}

const STEPS = 40
const policies = ["compact,delete", "delete", "compact"] as const
const wide = { "max.message.bytes": "1048588" }
const PARTITIONS = 2
/** Milliseconds of records' time, longer than a case takes: no marker, which has the broker's time, begins a segment. */
const SEGMENT = 3_600_000

interface State {
  topic: TestTopic
  /** The topic as it was before it was recreated. */
  former: TestTopic | undefined
  readonly producers: Array<ProducerIdentity>
  /** By producer and partition; what the broker knows may be otherwise, which is the point. */
  readonly sequences: Map<string, number>
  readonly transactions: Map<number, ContractTransaction>
  /** By partition. */
  readonly segments: Map<number, Segments>
  pulses: number
  readonly now: number
}

interface Segments {
  /** Where they begin. */
  bases: ReadonlyArray<number>
  cleanedTo: number
  /** How far the records' time is ahead of `now`. */
  ahead: number
}

/** An answer, or how the call failed. */
const outcome = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<unknown, never, R> =>
  Effect.map(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) return exit.value
    const error = Option.getOrUndefined(Exit.findErrorOption(exit))
    return error instanceof BrokerError ? { code: error.code } : { failed: String(error ?? exit) }
  })

/** The answer to an act that the topic or the cluster has no use for. */
export const NOTHING = "nothing done"

/** Plays one case and gives each step with what was answered. */
export const play = Effect.fnUntraced(function* (seed: number, since: number, hands: Hands) {
  const random = randomOf(seed)
  const client = yield* KafkaClient
  const admin = yield* ContractAdmin
  const policy = policies[seed % policies.length]!
  const isCompacted = policy.includes("compact")
  const config = {
    "cleanup.policy": policy,
    "segment.ms": String(SEGMENT),
    "message.timestamp.after.max.ms": "9223372036854775807",
    "min.cleanable.dirty.ratio": "0.0",
    // Tombstones stay for ever, or go in the round after the one that finds them.
    "delete.retention.ms": random.pick(["86400000", "0"])
  }
  const state: State = {
    topic: yield* freshTopic({ partitions: PARTITIONS, config }),
    former: undefined,
    producers: [],
    sequences: new Map(),
    transactions: new Map(),
    segments: new Map(),
    pulses: 0,
    now: since
  }
  const known = new Map<bigint, number>()
  /** A producer's id by the order in which ids are seen. */
  const producerOf = (id: bigint): number => {
    if (id < 0n) return -1
    if (!known.has(id)) known.set(id, known.size)
    return known.get(id)!
  }
  const ends = (partition: number) =>
    Effect.map(listOffset(state.topic, "latest", "read_uncommitted", { partition }), ({ offset }) => offset)
  const stable = (partition: number) =>
    Effect.map(listOffset(state.topic, "latest", "read_committed", { partition }), ({ offset }) => offset)
  const starts = (partition: number) =>
    Effect.map(listOffset(state.topic, "earliest", "read_uncommitted", { partition }), ({ offset }) => offset)
  const leader = (partition: number) => leaderOf(state.topic, partition)
  const epochs = (partition: number) => {
    const epoch = state.topic.partitions[partition]!.leaderEpoch
    return [-1, -1, -1, 0, epoch, epoch, epoch - 1, epoch + 1, 7]
  }
  const copies = (partition: number) => [
    leader(partition),
    ...state.topic.brokers.map(({ id }) => id).filter((id) => id !== leader(partition))
  ]
  const fetchAt = Effect.fnUntraced(function* (
    broker: number,
    topic: TestTopic,
    offset: number,
    options: FetchOptions & { readonly partition: number }
  ) {
    const fetcher = yield* client.openFetcher(broker)
    return onePartition(yield* fetcher.fetch(fetchRequest(topic, offset, options)))
  }, Effect.scoped)
  /** Waits until the other brokers know as much of a log as its leader. */
  const inStep = Effect.fnUntraced(function* (partition: number) {
    if (hands.brokers === 1) return
    const seen = (...offsets: ReadonlyArray<number>) => JSON.stringify(offsets)
    for (const broker of copies(partition)) {
      yield* eventually(
        Effect.gen(function* () {
          const at = yield* starts(partition)
          const wanted = seen(at, yield* ends(partition), yield* stable(partition))
          const { highWatermark, lastStableOffset, logStartOffset } = yield* fetchAt(broker, state.topic, at, {
            partition
          })
          return { found: seen(logStartOffset, highWatermark, lastStableOffset), wanted }
        }),
        ({ found, wanted }) => found === wanted
      )
    }
  })
  /** Waits until what was written is below the high watermark, as all is at once on the embedded Kafka. */
  const replicated = Effect.fnUntraced(function* (partition: number, end: number) {
    if (hands.brokers > 1) yield* eventually(ends(partition), (found) => found >= end)
  })
  const segmentsOf = (partition: number): Segments => {
    let segments = state.segments.get(partition)
    if (segments === undefined) {
      segments = { bases: [0], cleanedTo: 0, ahead: 0 }
      state.segments.set(partition, segments)
    }
    return segments
  }
  const shown = ({ abortedTransactions, currentLeader, records: bytes, ...rest }: FetchedPartition) => ({
    ...rest,
    currentLeader:
      currentLeader === undefined
        ? undefined
        : { isLeader: currentLeader.id === leader(rest.partition), epoch: currentLeader.epoch },
    // Another read of the same log may find the index's entries in another order.
    aborted: abortedTransactions.map(({ firstOffset, producerId }) => [producerOf(producerId), firstOffset]),
    // The time of a tombstone's end is each cleaner's own, and records' times are written as differences from it.
    bytes: readBatches(bytes).some(({ hasDeleteHorizon }) => hasDeleteHorizon) ? undefined : bytes.length,
    batches: readBatches(bytes).map((batch) => ({
      ...batch,
      producerId: producerOf(batch.producerId),
      // A coordinator's time is its own.
      records: batch.isControl ? [] : batch.records
    }))
  })
  /** All that is read of a copy, answer by answer. */
  const contents = Effect.fnUntraced(function* (broker: number, partition: number) {
    const answers: Array<FetchedPartition> = []
    for (let at = yield* starts(partition); ;) {
      const answer = yield* fetchAt(broker, state.topic, at, { partition, isolation: "read_uncommitted" })
      answers.push(answer)
      const last = readBatches(answer.records).at(-1)?.lastOffset
      if (last === undefined || last + 1 >= answer.highWatermark) return answers
      at = last + 1
    }
  })
  /** Has all cleaned that became cleanable: the segments below the one that holds the last stable offset. */
  const clean = Effect.fnUntraced(function* (partition: number) {
    if (!isCompacted) return
    yield* inStep(partition)
    const segments = segmentsOf(partition)
    const end = yield* stable(partition)
    const below = segments.bases.filter((base) => base <= end).at(-1) ?? 0
    if (below <= segments.cleanedTo) return
    segments.cleanedTo = below
    const isWaiting = (batch: ReadBatch) =>
      batch.baseOffset < below && batch.records.some(({ key, value }) => key?.startsWith("pulse") && value === "first")
    const isClean = Effect.map(
      Effect.forEach(copies(partition), (broker) => contents(broker, partition)),
      (all) => !all.flat().some(({ records: bytes }) => readBatches(bytes).some(isWaiting))
    )
    yield* hands.clean(state.topic.topic, partition, below, isClean)
  })
  /** Lets batches of any size in; the embedded Kafka does not measure what is done by its controls. */
  const widen = Effect.suspend(() => setConfig(wide))
  const setConfig = (set: Readonly<Record<string, string>>) =>
    Effect.andThen(
      client.alterConfig(state.topic.topic, set),
      // A broker takes a moment to follow what its controller has decided, and each its own.
      hands.everywhere(client, (one) =>
        eventually(one.describeConfig(state.topic.topic), (found) =>
          Object.entries(set).every(([name, value]) => found.get(name) === value)
        )
      )
    ).pipe(Effect.asVoid)
  const place = (partition: number, key: string, value: string) =>
    Effect.map(
      produce(state.topic, [{ key, value, timestamp: timeOf(partition) }], { partition }),
      ({ baseOffset }) => baseOffset
    )
  const timeOf = (partition: number): number => state.now + segmentsOf(partition).ahead
  const records = (partition: number): ReadonlyArray<ContractRecord> =>
    Array.from({ length: random.between(1, 3) }, () => ({
      key: `k${random.between(0, 4)}`,
      value: random.next() < 0.25 ? null : `v${random.between(0, 99)}`,
      timestamp: timeOf(partition) + random.between(0, 2)
    }))

  const steps: Readonly<Record<string, (partition: number) => Effect.Effect<unknown, unknown, KafkaClient>>> = {
    plain: Effect.fnUntraced(function* (partition) {
      const batch = records(partition)
      // What a cleaner leaves of a compressed batch has a size of its own.
      const compression = isCompacted ? "none" : random.pick(["none", "gzip", "zstd"] as const)
      const acks = random.pick([-1, 1, 1] as const)
      const answer = yield* produceBytes(state.topic, encodeBatch(batch, { compression }), { partition, acks })
      if (answer.errorCode === 0) yield* replicated(partition, answer.baseOffset + batch.length)
      return answer
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
      const batch = records(partition)
      const answer = yield* produceBytes(
        state.topic,
        encodeBatch(batch, { producerId, producerEpoch: epoch, baseSequence }),
        { partition }
      )
      if (answer.errorCode === 0 && baseSequence === expected) state.sequences.set(place, expected + batch.length)
      return answer
    }),
    refused: (partition) => {
      const batch = encodeBatch(
        random.next() < 0.3 ? [{ key: null, value: "v", timestamp: timeOf(partition) }] : records(partition),
        {
          baseOffset: random.pick([0, 0, 3]),
          isControl: random.next() < 0.2,
          isTransactional: random.next() < 0.2
        }
      )
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
      const former = random.next() < 0.2 ? state.former : undefined
      const isElsewhere = random.next() < 0.3 && hands.brokers > 1 && former === undefined
      if (isElsewhere) yield* inStep(partition)
      const known = epochs(partition)
      return shown(
        yield* fetchAt(copies(partition)[isElsewhere ? 1 : 0]!, former ?? state.topic, offset, {
          partition,
          isolation: random.pick<Isolation>(["read_committed", "read_uncommitted"]),
          maxBytes: random.pick([1, isCompacted ? 1 : 100, 10_000_000]),
          currentLeaderEpoch: random.pick(known),
          lastFetchedEpoch: random.pick(known)
        })
      )
    }),
    listOffsets: (partition) =>
      Effect.suspend(() =>
        client.listOffsets(random.pick(copies(partition)), {
          topic: state.topic.topic,
          at: random.pick(["earliest", "latest", timeOf(partition) - random.between(0, 3)]),
          isolation: random.pick<Isolation>(["read_committed", "read_uncommitted"]),
          partitions: [
            { partition: random.pick([partition, partition, 99]), leaderEpoch: random.pick(epochs(partition)) }
          ]
        })
      ),
    epochEnd: (partition) =>
      Effect.suspend(() =>
        client.endOffsetForEpoch(random.pick(copies(partition)), {
          topic: state.topic.topic,
          partitions: [
            {
              partition: random.pick([partition, partition, 99]),
              currentLeaderEpoch: random.pick(epochs(partition)),
              leaderEpoch: random.pick(epochs(partition))
            }
          ]
        })
      ),
    append: Effect.fnUntraced(function* (partition) {
      yield* widen
      const which = random.between(0, 1)
      const open = state.transactions.get(which) ?? (yield* admin.beginTransaction)
      state.transactions.set(which, open)
      yield* open.append(state.topic.topic, partition, records(partition))
    }),
    end: Effect.fnUntraced(function* () {
      const which = random.between(0, 1)
      const kind = random.pick(["commit", "abort"] as const)
      return (yield* finish(which, kind)) ? kind : NOTHING
    }),
    deleteRecords: Effect.fnUntraced(function* (partition) {
      const end = yield* ends(partition)
      const before = random.pick([random.between(0, end), -1])
      if (policy === "compact") return NOTHING
      // An open transaction whose first record is deleted is a case of its own.
      for (const which of [0, 1]) yield* finish(which, "commit")
      yield* admin.deleteRecords(state.topic.topic, partition, before === -1 ? yield* ends(partition) : before)
      return yield* starts(partition)
    }),
    clean: Effect.fnUntraced(function* (partition) {
      yield* widen
      const pulse = `pulse-${state.pulses++}`
      yield* place(partition, pulse, "first")
      yield* place(partition, pulse, "second")
      segmentsOf(partition).ahead += 2 * SEGMENT
      yield* inStep(partition)
      yield* hands.roll(state.topic.topic, partition)
      const base = yield* place(partition, "roll", String(state.pulses))
      const segments = segmentsOf(partition)
      segments.bases = [...segments.bases, base]
      yield* clean(partition)
      yield* inStep(partition)
      const found: Array<unknown> = []
      for (const broker of copies(partition)) found.push((yield* contents(broker, partition)).map(shown))
      return found
    }),
    expire: Effect.fnUntraced(function* () {
      const bytes = random.pick(["0", "1"])
      if (policy === "compact" || (policy === "delete" && !hands.expires)) return NOTHING
      for (const which of [0, 1]) yield* finish(which, "commit")
      const found = yield* Effect.forEach(state.topic.partitions, ({ partition }) =>
        Effect.gen(function* () {
          yield* inStep(partition)
          const start = yield* starts(partition)
          const end = yield* ends(partition)
          // More than nothing leaves the segment that is written to, unless that is empty.
          const to = Math.max(start, bytes === "0" ? end : segmentsOf(partition).bases.at(-1)!)
          return { partition, start, to, end }
        })
      )
      yield* setConfig({ "retention.bytes": bytes })
      for (const { partition, to } of found) {
        const isGone = Effect.map(starts(partition), (now) => now === to)
        yield* hands.expire(state.topic.topic, partition, to, isGone)
        yield* inStep(partition)
        const segments = segmentsOf(partition)
        segments.bases = [...segments.bases.filter((base) => base < to), to]
        segments.cleanedTo = Math.max(segments.cleanedTo, isCompacted ? to : 0)
      }
      yield* setConfig({ "retention.bytes": "-1" })
      return found
    }),
    elect: Effect.fnUntraced(function* (partition) {
      const [, other] = copies(partition)
      if (other === undefined) return NOTHING
      yield* inStep(partition)
      const known = JSON.stringify([yield* starts(partition), yield* ends(partition), yield* stable(partition)])
      yield* hands.moveLeader(state.topic.topic, partition, other)
      state.topic = yield* eventually(
        client.describeTopic(state.topic.topic),
        ({ partitions }) => partitions[partition]!.leader === other
      )
      // A new leader finds out how far the others are.
      yield* eventually(
        Effect.all([starts(partition), ends(partition), stable(partition)]),
        (found) => JSON.stringify(found) === known
      )
      return state.topic.partitions[partition]!.leaderEpoch
    }),
    grow: Effect.fnUntraced(function* () {
      const partitions = state.topic.partitions.length + 1
      if (partitions > PARTITIONS + 2) return NOTHING
      yield* admin.createPartitions(state.topic.topic, partitions)
      state.topic = yield* awaitTopic(state.topic.topic, partitions)
      return partitions
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
      state.segments.clear()
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
          { "delete.retention.ms": String(random.between(3_600_000, 7_200_000)) },
          { "min.cleanable.dirty.ratio": "2" },
          { "no.such.setting": "1" },
          { "segment.ms": "0" }
        ])
        return setConfig(set)
      }),
    describe: () =>
      Effect.map(
        Effect.all([client.describeTopic(state.topic.topic), client.describeConfig(state.topic.topic)]),
        ([{ partitions }, settings]) => ({
          // Which broker leads at first, and where copies lie, is each cluster's own choice; the embedded one does not say.
          partitions: partitions.map(({ inSync: _inSync, leader: id, replicas: _replicas, ...rest }) => ({
            ...rest,
            leader: hands.brokers === 1 ? id : 0
          })),
          settings: [...settings].filter(([name]) => !ofTestBroker.includes(name)).sort()
        })
      )
  }

  const finish = Effect.fnUntraced(function* (which: number, kind: "abort" | "commit") {
    const open = state.transactions.get(which)
    if (open === undefined) return false
    state.transactions.delete(which)
    const before = yield* Effect.forEach(state.topic.partitions, ({ partition }) => ends(partition))
    const isElsewhere = state.transactions.size > 0
    yield* open[kind]
    // Markers are written after the answer.
    const found = Effect.forEach(state.topic.partitions, ({ partition }) =>
      Effect.all([ends(partition), stable(partition)])
    )
    yield* eventually(found, (all) =>
      isElsewhere
        ? all.some(([end], i) => end > before[i]!)
        : all.every(([end, committed]) => end === committed) && all.some(([end], i) => end > before[i]!)
    )
    // With another transaction open the markers of the partitions come one by one: their number stands still.
    if (isElsewhere) yield* settled(found)
    for (const { partition } of state.topic.partitions) yield* clean(partition)
    return true
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
    recreate: 1,
    clean: 2,
    expire: 1,
    elect: hands.brokers === 1 ? 0 : 2
  }
  const names = Object.entries(shares).flatMap(([name, share]) => Array.from({ length: share }, () => name))
  const chosen = Array.from({ length: STEPS }, () => random.pick(names))
  // Each is in each case.
  for (const [i, name] of [...new Set(names)].entries()) {
    if (!chosen.includes(name)) chosen[random.between(i, STEPS - 1)] = name
  }
  const answers: Array<readonly [step: string, answer: unknown]> = []
  for (const [step, name] of chosen.entries()) {
    const partition = random.between(0, state.topic.partitions.length - 1)
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
