import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Tracer } from "effect"
import type { FetchRequest, ProduceRequest, Service } from "effect-ktables/KafkaClient"
import { RequestTimedOut } from "effect-ktables/KafkaError"
import type { RawRequest } from "effect-ktables/KafkaTransport"
import { TestClock } from "effect/testing"
import { makeProtocolClient } from "../../src/internal/cluster/protocolClient.ts"
import { Writer } from "../../src/internal/protocol/primitives.ts"
import { topicOf } from "../protocol/support/exchanges.ts"
import { placeOf } from "../protocol/support/decodable.ts"
import { type BrokerFixture, bytesOf, readFixture } from "../protocol/support/fixtures.ts"
import {
  always,
  answering,
  type Door,
  type FakeCluster,
  type Handler,
  makeFakeCluster,
  metadataAnswer
} from "./support/fakeCluster.ts"

const fixture = readFixture<BrokerFixture>("kafka-4.3.1")
const place = placeOf(fixture)
const topic = topicOf(place)
const captured = (name: string): Handler => always(bytesOf(fixture, name))

const a = "a:1"
const b = "b:1"
const c = "c:1"

const partition = (index: number, leader: number) => ({
  partition: index,
  errorCode: 0,
  leader,
  leaderEpoch: 0,
  replicas: [leader],
  inSync: [leader]
})

const aboutTopic =
  (brokers: Readonly<Record<number, string>>, controller?: number): Handler =>
  (request) =>
    Effect.sync(() => {
      const aboutBrokersAlone = request.body.length < 8
      return metadataAnswer({
        brokers,
        ...(controller === undefined ? {} : { controller }),
        ...(aboutBrokersAlone ? {} : { topic: { name: topic, partitions: [partition(1, 2), partition(0, 1)] } })
      })
    })

const settings = { requestTimeout: 30_000, connectTimeout: 10_000, versionCaps: {} }

const withClient = <A, E>(
  bootstrap: ReadonlyArray<string>,
  doors: Readonly<Record<string, Door>>,
  use: (client: Service, cluster: FakeCluster) => Effect.Effect<A, E, Scope.Scope>,
  versionCaps: Readonly<Record<string, number>> = {}
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const cluster = makeFakeCluster(bootstrap, doors)
      const client = yield* makeProtocolClient(cluster.transport, { ...settings, versionCaps })
      return yield* use(client, cluster)
    })
  )

const listRequest = {
  topic,
  at: "earliest" as const,
  isolation: "read_committed" as const,
  partitions: [
    { partition: 0, leaderEpoch: 0 },
    { partition: 1, leaderEpoch: -1 }
  ]
}

const fetchRequest = (changes: Partial<FetchRequest["partitions"][number]> = {}): FetchRequest => ({
  topic,
  topicId: place.topicId,
  isolation: "read_committed",
  maxWait: 500,
  minBytes: 1,
  maxBytes: 1 << 20,
  rack: undefined,
  partitions: [
    { partition: 0, fetchOffset: 1, currentLeaderEpoch: 0, lastFetchedEpoch: -1, maxBytes: 1 << 20, ...changes }
  ]
})

const produceRequest = (acks: -1 | 0): ProduceRequest => ({
  topic,
  topicId: place.topicId,
  acks,
  timeout: 1000,
  partitions: [{ partition: 0, records: new Uint8Array(3) }]
})

const one = answering({
  Metadata: aboutTopic({ 1: a }),
  ListOffsets: captured("ListOffsets 7: the start"),
  Fetch: captured("Fetch 17: records"),
  Produce: captured("Produce 13: a batch, acknowledged by all")
})

describe("finding the cluster", () => {
  it.effect("fails with every address and its cause when none can be reached", () =>
    withClient([a, b], { [a]: "refused", [b]: "locked" }, (client) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(client.addresses, [a, b])
        const error = yield* Effect.flip(client.describeTopic(topic))
        assert.deepStrictEqual(
          error.message,
          "no broker could be reached: a:1 (connect on a:1: ECONNREFUSED), b:1 (b:1 refused the connection: is the password right?)"
        )
        assert.strictEqual(error._tag, "BrokersUnreachable")
        assert.isTrue(error.isRetriable)
      })
    )
  )

  it.effect("fails for good when every address refuses the credentials", () =>
    withClient([a, b], { [a]: "locked", [b]: "locked" }, (client) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(client.describeTopic(topic))
        assert.strictEqual(error._tag, "AuthenticationFailed")
        assert.isFalse(error.isRetriable)
      })
    )
  )

  it.effect("says of a server that is silent that it accepted the connection and did not answer", () =>
    withClient([a], { [a]: "mute" }, (client, cluster) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(Effect.flip(client.describeTopic(topic)), { startImmediately: true })
        yield* TestClock.adjust(settings.connectTimeout)
        const error = yield* Fiber.join(fiber)
        assert.include(
          error.message,
          "a:1 (connect on a:1: it accepted the connection and did not answer within 10000 ms"
        )
        assert.deepStrictEqual(cluster.open(), [])
      })
    )
  )

  it.effect("gives up a server that is silent when its first answer takes longer than any may", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const cluster = makeFakeCluster([a], { [a]: "mute" })
        const client = yield* makeProtocolClient(cluster.transport, { ...settings, requestTimeout: 1000 })
        const fiber = yield* Effect.forkChild(Effect.flip(client.describeTopic(topic)), { startImmediately: true })
        yield* TestClock.adjust(1000)
        assert.include((yield* Fiber.join(fiber)).message, "accepted the connection and did not answer within 1000 ms")
      })
    )
  )

  it.effect("waits for a dead first address once, and remembers which one answered", () =>
    withClient([a, b], { [a]: "silent", [b]: answering({ Metadata: aboutTopic({ 2: b }) }) }, (client, cluster) =>
      Effect.gen(function* () {
        const first = yield* Effect.forkChild(client.describeTopic(topic), { startImmediately: true })
        yield* TestClock.adjust("9 seconds")
        assert.deepStrictEqual(cluster.attempts, [a])
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(first)
        assert.deepStrictEqual(cluster.attempts, [a, b])
        cluster.cut(b)
        yield* client.describeTopic(topic)
        assert.deepStrictEqual(cluster.attempts, [a, b, b])
      })
    )
  )

  it.effect("goes on with discovered brokers when the bootstrap address is gone", () =>
    withClient([a], { [a]: answering({ Metadata: aboutTopic({ 1: b, 2: c }) }) }, (client, cluster) =>
      Effect.gen(function* () {
        yield* client.describeTopic(topic)
        cluster.doors.set(a, "refused")
        cluster.doors.set(c, answering({ Metadata: aboutTopic({ 2: c }) }))
        cluster.cut(a)
        yield* client.describeTopic(topic)
        assert.deepStrictEqual(cluster.attempts, [a, a, b, c])
      })
    )
  )

  it.effect("goes on with the bootstrap address when the discovered brokers are gone", () =>
    withClient([a], { [a]: answering({ Metadata: aboutTopic({ 1: b }) }), [b]: answering({}) }, (client, cluster) =>
      Effect.gen(function* () {
        yield* client.describeTopic(topic)
        yield* Effect.exit(client.listOffsets(1, listRequest))
        cluster.doors.set(b, "refused")
        cluster.cut(b)
        cluster.cut(a)
        yield* client.describeTopic(topic)
        assert.deepStrictEqual(cluster.attempts, [a, b, a])
      })
    )
  )

  it.effect("asks a broker last that has just left a fetch unanswered", () =>
    withClient([a, b], { [a]: one, [b]: answering({ Metadata: aboutTopic({ 1: a, 2: b }) }) }, (client, cluster) =>
      Effect.gen(function* () {
        yield* client.describeTopic(topic)
        const late = (request: RawRequest) =>
          Effect.fail(new RequestTimedOut({ broker: a, request: request.apiName, timeout: request.timeout }))
        cluster.doors.set(a, late)
        const fetcher = yield* client.openFetcher(1)
        assert.strictEqual((yield* Effect.flip(fetcher.fetch(fetchRequest())))._tag, "RequestTimedOut")
        yield* client.describeTopic(topic)
        assert.deepStrictEqual(
          cluster.requests.map(({ address, name }) => [address, name]),
          [
            [a, "Metadata"],
            [a, "Fetch"],
            [b, "Metadata"]
          ]
        )
      })
    )
  )

  it.effect("asks another broker when the answer of one is lost or unreadable", () =>
    withClient(
      [a, b, c],
      {
        [a]: answering({
          Metadata: () => Effect.fail(new RequestTimedOut({ broker: a, request: "Metadata", timeout: 1 }))
        }),
        [b]: answering({ Metadata: always(Buffer.from("HTTP/1.1 400 Bad Request")) }),
        [c]: answering({ Metadata: aboutTopic({ 3: c }) })
      },
      (client, cluster) =>
        Effect.gen(function* () {
          yield* client.describeTopic(topic)
          assert.deepStrictEqual(cluster.open(), [c])
        })
    )
  )

  it.effect("asks for a broker it does not know, and says so when the cluster does not either", () =>
    withClient([a], { [a]: one }, (client, cluster) =>
      Effect.gen(function* () {
        const offsets = yield* client.listOffsets(1, listRequest)
        assert.deepStrictEqual(
          offsets.map(({ offset }) => offset),
          [0, 0]
        )
        const error = yield* Effect.flip(client.listOffsets(9, listRequest))
        assert.strictEqual(error._tag, "ConnectionFailed")
        assert.include(error.message, "broker 9: the cluster lists no broker of this id")
        assert.deepStrictEqual(
          cluster.requests.map(({ name }) => name),
          ["Metadata", "ListOffsets", "Metadata"]
        )
      })
    )
  )
})

const describing = (answer: Buffer) =>
  withClient([a], { [a]: answering({ Metadata: always(answer) }) }, (client) => client.describeTopic(topic))

describe("describing a topic", () => {
  it.effect("gives its partitions in order, with their errors", () =>
    Effect.gen(function* () {
      const lost = { partition: 0, errorCode: 5, leader: -1, leaderEpoch: 3, replicas: [2], inSync: [] }
      const answer = metadataAnswer({ brokers: { 1: a }, topic: { name: topic, partitions: [partition(1, 1), lost] } })
      assert.deepStrictEqual(yield* describing(answer), {
        clusterId: "cluster",
        topic,
        topicId: "00112233445566778899aabbccddeeff",
        partitions: [lost, partition(1, 1)],
        brokers: [{ id: 1, host: "a", port: 1, rack: undefined }]
      })
    })
  )

  it.effect("fails with the topic's error", () =>
    Effect.gen(function* () {
      const answer = metadataAnswer({ brokers: { 1: a }, topic: { name: topic, errorCode: 29, partitions: [] } })
      const error = yield* Effect.flip(describing(answer))
      assert.strictEqual(error.message, `Metadata on a:1 answered TOPIC_AUTHORIZATION_FAILED for ${topic}`)
    })
  )

  it.effect("can be tried again while the broker does not know all partitions", () =>
    Effect.gen(function* () {
      for (const partitions of [[], [partition(0, 1), partition(2, 1)]]) {
        const answer = metadataAnswer({ brokers: { 1: a }, topic: { name: topic, partitions } })
        const error = yield* Effect.flip(describing(answer))
        assert.isTrue(error.isRetriable)
        assert.include(error.message, "LEADER_NOT_AVAILABLE")
      }
    })
  )

  it.effect("refuses an answer about another topic", () =>
    Effect.gen(function* () {
      const answer = metadataAnswer({ brokers: { 1: a }, topic: { name: "other", partitions: [partition(0, 1)] } })
      const error = yield* Effect.flip(describing(answer))
      assert.strictEqual(error._tag, "MalformedAnswer")
      assert.include(error.message, `it is about [other], not about ${topic}`)
    })
  )
})

describe("connections", () => {
  it.effect("are one for control, one for batches, and one for each fetcher", () =>
    withClient([a], { [a]: one }, (client, cluster) =>
      Effect.gen(function* () {
        yield* Effect.all([client.describeTopic(topic), client.describeTopic(topic)], { concurrency: 2 })
        yield* Effect.all([client.listOffsets(1, listRequest), client.listOffsets(1, listRequest)], { concurrency: 2 })
        assert.strictEqual(cluster.attempts.length, 1)
        yield* Effect.all([client.produce(1, produceRequest(-1)), client.produce(1, produceRequest(-1))], {
          concurrency: 2
        })
        assert.strictEqual(cluster.attempts.length, 2)
        const scope = yield* Scope.make()
        const fetchers = [
          yield* Scope.provide(client.openFetcher(1), scope),
          yield* Scope.provide(client.openFetcher(1), scope)
        ]
        assert.strictEqual(cluster.attempts.length, 2)
        for (const fetcher of fetchers)
          yield* Effect.all([fetcher.fetch(fetchRequest()), fetcher.fetch(fetchRequest())])
        assert.strictEqual(cluster.attempts.length, 4)
        assert.strictEqual(cluster.open().length, 4)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(cluster.open().length, 2)
      })
    )
  )

  it.effect("are all closed with the client", () =>
    Effect.gen(function* () {
      const cluster = yield* withClient([a], { [a]: one }, (client, cluster) =>
        Effect.gen(function* () {
          yield* client.produce(1, produceRequest(-1))
          const fetcher = yield* client.openFetcher(1)
          yield* fetcher.fetch(fetchRequest())
          assert.strictEqual(cluster.open().length, 3)
          return cluster
        })
      )
      assert.deepStrictEqual(cluster.open(), [])
    })
  )

  it.effect("of a fetcher are opened again by the fetch after a loss", () =>
    withClient([a], { [a]: one }, (client, cluster) =>
      Effect.gen(function* () {
        const fetcher = yield* client.openFetcher(1)
        yield* fetcher.fetch(fetchRequest())
        cluster.doors.set(a, answering({ Metadata: aboutTopic({ 1: a }), Fetch: () => Effect.never }))
        const polling = yield* Effect.forkChild(fetcher.fetch(fetchRequest()), { startImmediately: true })
        cluster.cut(a)
        const error = yield* Effect.flip(Fiber.join(polling))
        assert.strictEqual(error._tag, "ConnectionFailed")
        cluster.doors.set(a, one)
        const answer = yield* fetcher.fetch(fetchRequest())
        assert.strictEqual(answer.partitions[0]?.highWatermark, 12)
      })
    )
  )

  it.effect("of a fetcher follow a broker to its new address", () =>
    withClient([a], { [a]: one, [b]: answering({ Fetch: captured("Fetch 17: records") }) }, (client, cluster) =>
      Effect.gen(function* () {
        const fetcher = yield* client.openFetcher(1)
        yield* fetcher.fetch(fetchRequest())
        cluster.doors.set(a, answering({ Metadata: aboutTopic({ 1: b }) }))
        yield* client.describeTopic(topic)
        yield* fetcher.fetch(fetchRequest())
        assert.deepStrictEqual(cluster.attempts, [a, a, b])
        assert.deepStrictEqual(cluster.open(), [a, b])
      })
    )
  )

  it.effect("are given up when an answer is late, for all who wait on them", () =>
    withClient([a], { [a]: one }, (client, cluster) =>
      Effect.gen(function* () {
        yield* client.describeTopic(topic)
        const timeouts: Array<number> = []
        cluster.doors.set(
          a,
          answering({
            ListOffsets: (request) => {
              timeouts.push(request.timeout)
              return Effect.delay(
                Effect.fail(new RequestTimedOut({ broker: a, request: "ListOffsets", timeout: request.timeout })),
                request.timeout
              )
            },
            OffsetForLeaderEpoch: () => Effect.never
          })
        )
        const late = yield* Effect.forkChild(client.listOffsets(1, listRequest), { startImmediately: true })
        const other = yield* Effect.forkChild(
          client.endOffsetForEpoch(1, {
            topic,
            partitions: [{ partition: 0, currentLeaderEpoch: 0, leaderEpoch: 0 }]
          }),
          { startImmediately: true }
        )
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual((yield* Effect.flip(Fiber.join(late)))._tag, "RequestTimedOut")
        assert.strictEqual((yield* Effect.flip(Fiber.join(other)))._tag, "ConnectionFailed")
        assert.deepStrictEqual(timeouts, [30_000])
        assert.deepStrictEqual(cluster.open(), [])
        cluster.doors.set(a, one)
        assert.strictEqual((yield* client.listOffsets(1, listRequest)).length, 2)
        assert.strictEqual(cluster.attempts.length, 2)
      })
    )
  )

  it.effect("are given up when an answer cannot be read", () =>
    withClient([a], { [a]: one }, (client, cluster) =>
      Effect.gen(function* () {
        yield* client.describeTopic(topic)
        cluster.doors.set(a, answering({ ListOffsets: captured("ListOffsets 5: the start") }))
        const error = yield* Effect.flip(client.listOffsets(1, listRequest))
        assert.strictEqual(error._tag, "MalformedAnswer")
        assert.match(error.message, /^ListOffsets on a:1: the answer cannot be read: .* \(version 7\)$/)
        assert.deepStrictEqual(cluster.open(), [])
      })
    )
  )

  it.effect("leave the broker the time that a request allows it", () =>
    withClient([a], { [a]: one }, (client, cluster) =>
      Effect.gen(function* () {
        yield* client.describeTopic(topic)
        const timeouts: Record<string, number> = {}
        cluster.doors.set(a, (request) => {
          timeouts[request.apiName] = request.timeout
          return one(request)
        })
        yield* Effect.flatMap(client.openFetcher(1), ({ fetch }) => fetch(fetchRequest()))
        yield* client.produce(1, produceRequest(-1))
        assert.deepStrictEqual(timeouts, { Fetch: 30_500, Produce: 31_000 })
      })
    )
  )
})

describe("requests", () => {
  it.effect(
    "to produce by name go to no other cluster and to no other topic, which each connection is asked once",
    () =>
      withClient(
        [a],
        { [a]: one },
        (client, cluster) =>
          Effect.gen(function* () {
            const byName = answering({
              Metadata: aboutTopic({ 1: a }),
              Produce: captured("Produce 12: a batch, acknowledged by all")
            })
            cluster.doors.set(a, byName)
            const topicId = "00112233445566778899aabbccddeeff"
            const known = { ...produceRequest(-1), topicId, clusterId: "cluster" }
            for (const { request, expected } of [
              { request: { ...known, clusterId: "other" }, expected: "INCONSISTENT_CLUSTER_ID" },
              { request: { ...known, topicId: "ff".repeat(16) }, expected: "INCONSISTENT_TOPIC_ID" }
            ]) {
              const error = yield* Effect.flip(client.produce(1, request))
              assert.include(error.message, expected)
            }
            const asked = cluster.requests.length
            yield* Effect.forEach([1, 2, 3], () => client.produce(1, known), { concurrency: "unbounded" })
            assert.deepStrictEqual(
              cluster.requests.slice(asked).map(({ name }) => name),
              ["Produce", "Produce", "Produce"]
            )
            cluster.cut(a)
            yield* client.produce(1, known)
            assert.deepStrictEqual(
              cluster.requests.slice(asked + 3).map(({ name }) => name),
              ["Metadata", "Produce"]
            )
          }),
        { Produce: 12 }
      )
  )

  it.effect("without a topic id name the topic", () =>
    withClient([a], { [a]: one }, (client, cluster) =>
      Effect.gen(function* () {
        const byName = answering({
          Metadata: aboutTopic({ 1: a }),
          Fetch: captured("Fetch 12: records"),
          Produce: captured("Produce 12: a batch, acknowledged by all")
        })
        cluster.doors.set(a, byName)
        const fetcher = yield* client.openFetcher(1)
        const answer = yield* fetcher.fetch({ ...fetchRequest(), topicId: undefined })
        assert.strictEqual(answer.partitions[0]?.highWatermark, 12)
        const [produced] = yield* client.produce(1, { ...produceRequest(-1), topicId: undefined })
        assert.strictEqual(produced?.baseOffset, 8)
        assert.deepStrictEqual(
          cluster.requests.map(({ name, version }) => [name, version]),
          [
            ["Metadata", 12],
            ["Fetch", 12],
            ["Produce", 12]
          ]
        )
      })
    )
  )

  it.effect("to produce without acknowledgement do not wait for one", () =>
    withClient([a], { [a]: one }, (client, cluster) =>
      Effect.gen(function* () {
        const asked: Array<boolean> = []
        cluster.doors.set(a, (request) => {
          asked.push(request.expectsAnswer)
          return request.expectsAnswer ? one(request) : Effect.succeed(Buffer.alloc(0))
        })
        assert.deepStrictEqual(yield* client.produce(1, produceRequest(0)), [
          {
            partition: 0,
            errorCode: 0,
            errorMessage: undefined,
            baseOffset: -1,
            logAppendTime: -1,
            logStartOffset: -1
          }
        ])
        assert.deepStrictEqual(asked, [true, false])
      })
    )
  )

  it.effect("that the broker throttles hold off the next one on that connection", () =>
    withClient([a], { [a]: one }, (client, cluster) =>
      Effect.gen(function* () {
        yield* client.describeTopic(topic)
        const throttled = Buffer.from(bytesOf(fixture, "ListOffsets 7: the start"))
        throttled.writeInt32BE(1500, 0)
        cluster.doors.set(a, answering({ ListOffsets: always(throttled) }))
        yield* client.listOffsets(1, listRequest)
        const next = yield* Effect.forkChild(client.listOffsets(1, listRequest), { startImmediately: true })
        yield* TestClock.adjust(1499)
        assert.strictEqual(cluster.requests.length, 2)
        yield* TestClock.adjust(1)
        yield* Fiber.join(next)
        assert.strictEqual(cluster.requests.length, 3)
      })
    )
  )

  it.effect("that are sent one after another on a throttled connection wait for all the time it was given", () =>
    withClient([a], { [a]: one }, (client, cluster) =>
      Effect.gen(function* () {
        yield* client.describeTopic(topic)
        const throttledFor = (millis: number) => {
          const answer = Buffer.from(bytesOf(fixture, "ListOffsets 7: the start"))
          answer.writeInt32BE(millis, 0)
          return answer
        }
        const answers = [throttledFor(1000), throttledFor(3000), throttledFor(0)]
        let late = 0
        // The second is on its way when the first is answered.
        cluster.doors.set(
          a,
          answering({
            ListOffsets: () =>
              Effect.delay(
                Effect.sync(() => answers.shift()!),
                late++ === 0 ? 100 : 500
              )
          })
        )
        yield* Effect.all([client.listOffsets(1, listRequest), client.listOffsets(1, listRequest)], {
          concurrency: "unbounded"
        }).pipe(Effect.forkChild({ startImmediately: true }))
        yield* TestClock.adjust(500)
        const next = yield* Effect.forkChild(client.listOffsets(1, listRequest), { startImmediately: true })
        assert.deepStrictEqual(cluster.heldTimeouts, [1000, 3000], "outstanding requests are given that time, too")
        yield* TestClock.adjust(2999)
        assert.strictEqual(cluster.requests.length, 3)
        yield* TestClock.adjust(1 + 500)
        yield* Fiber.join(next)
        assert.strictEqual(cluster.requests.length, 4)
      })
    )
  )

  it.effect("to fetch that a quota holds back are answered with a throttle time and nothing else", () =>
    withClient([a], { [a]: one }, (client, cluster) =>
      Effect.gen(function* () {
        yield* client.describeTopic(topic)
        const throttled = readFixture<BrokerFixture>("throttled-4.3.1")
        const fetcher = yield* client.openFetcher(1)
        cluster.doors.set(a, answering({ Fetch: always(bytesOf(throttled, "Fetch 17: records")) }))
        const answer = yield* fetcher.fetch(fetchRequest())
        assert.deepStrictEqual(answer, { throttle: answer.throttle, errorCode: 0, partitions: [], version: 17 })
        cluster.doors.set(a, one)
        const next = yield* Effect.forkChild(fetcher.fetch(fetchRequest()), { startImmediately: true })
        yield* TestClock.adjust(answer.throttle)
        assert.strictEqual((yield* Fiber.join(next)).partitions.length, 1)
        assert.strictEqual(cluster.open().length, 2, "over the same connection")
      })
    )
  )

  it.effect("that no version carries are refused with the versions of both sides", () =>
    withClient(
      [a],
      { [a]: one },
      (client) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(client.listOffsets(1, listRequest))
          assert.strictEqual(error._tag, "UnsupportedRequest")
          assert.strictEqual(
            error.message,
            "a:1 cannot answer ListOffsets: it speaks versions 1 to 11, wanted is one of 5 to 4"
          )
        }),
      { ListOffsets: 4 }
    )
  )

  it.effect("that do not fit the protocol are refused before they are sent", () =>
    withClient([a], { [a]: one }, (client) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(
          client.createTopic({ topic, partitions: 2 ** 40, replicationFactor: 1, config: {}, timeout: 1 })
        )
        assert.strictEqual(error._tag, "UnsupportedRequest")
        assert.include(error.message, "CreateTopics")
      })
    )
  )
})

describe("changes", () => {
  const creation = { topic, partitions: 1, replicationFactor: 1, config: {}, timeout: 1 }

  const created = (errorCode: number): Buffer => {
    const writer = new Writer(true)
    writer.int32(0)
    writer.array([topic], (name) => {
      writer.string(name)
      writer.uuid(undefined)
      writer.int16(errorCode)
      writer.nullString()
      writer.int32(1)
      writer.int16(1)
      writer.nullArray()
      writer.noTaggedFields()
    })
    writer.noTaggedFields()
    return writer.bytes()
  }

  it.effect("go to the controller when a broker is not it", () =>
    withClient(
      [a],
      {
        [a]: answering({ Metadata: aboutTopic({ 1: a, 2: b }, 2), CreateTopics: always(created(41)) }),
        [b]: answering({ CreateTopics: always(created(0)) })
      },
      (client, cluster) =>
        Effect.gen(function* () {
          yield* client.createTopic(creation)
          assert.deepStrictEqual(
            cluster.requests.map(({ address, name }) => [address, name]),
            [
              [a, "CreateTopics"],
              [a, "Metadata"],
              [b, "CreateTopics"]
            ]
          )
        })
    )
  )

  it.effect("and questions have spans that say of which topic they are, and which broker was asked", () => {
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    const door = answering({
      Metadata: aboutTopic({ 1: a }, 1),
      ListOffsets: captured("ListOffsets 7: the start"),
      OffsetForLeaderEpoch: captured("OffsetForLeaderEpoch 4: the end of an epoch"),
      InitProducerId: captured("InitProducerId 4: a producer without transactions"),
      CreateTopics: always(created(0)),
      DescribeConfigs: captured("DescribeConfigs 4: a topic"),
      IncrementalAlterConfigs: captured("IncrementalAlterConfigs 1: a setting")
    })
    return withClient([a], { [a]: door }, (client) =>
      Effect.gen(function* () {
        yield* client.describeTopic(topic)
        yield* client.listOffsets(1, listRequest)
        yield* client.endOffsetForEpoch(1, {
          topic,
          partitions: [{ partition: 0, currentLeaderEpoch: 0, leaderEpoch: 0 }]
        })
        yield* client.initProducerId
        yield* client.createTopic(creation)
        yield* client.describeConfig(topic)
        yield* client.alterConfig(topic, { "max.message.bytes": "5000" })
        assert.deepStrictEqual(
          spans.map(({ attributes, name }) => [name, attributes.get("topic"), attributes.get("broker")]),
          [
            ["KafkaClient.describeTopic", topic, a],
            ["KafkaClient.listOffsets", topic, a],
            ["KafkaClient.endOffsetForEpoch", topic, a],
            ["KafkaClient.initProducerId", undefined, a],
            ["KafkaClient.createTopic", topic, a],
            ["KafkaClient.describeConfig", topic, a],
            ["KafkaClient.alterConfig", topic, a]
          ]
        )
        assert.deepStrictEqual(
          spans.filter(({ status }) => status._tag === "Started"),
          []
        )
      })
    ).pipe(Effect.withTracer(tracer))
  })

  it.effect("are not sent twice when their outcome is unknown", () =>
    withClient([a, b], { [a]: answering({ CreateTopics: () => Effect.never }), [b]: one }, (client, cluster) =>
      Effect.gen(function* () {
        const creating = yield* Effect.forkChild(client.createTopic(creation), { startImmediately: true })
        cluster.cut(a)
        assert.strictEqual((yield* Effect.flip(Fiber.join(creating)))._tag, "ConnectionFailed")
        assert.deepStrictEqual(
          cluster.requests.map(({ name }) => name),
          ["CreateTopics"]
        )
      })
    )
  )

  it.effect("fail with the broker's code and words", () =>
    withClient(
      [a],
      {
        [a]: answering({ IncrementalAlterConfigs: captured("IncrementalAlterConfigs 1: a value that is refused") })
      },
      (client) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(client.alterConfig(topic, { "max.message.bytes": "many" }))
          assert.strictEqual(error._tag, "BrokerError")
          assert.match(error.message, /^IncrementalAlterConfigs on a:1 answered INVALID_CONFIG for .*: .*many/)
        })
    )
  )
})

const epochEnd = (errorCode: number, leaderEpoch: number, endOffset: number): Buffer => {
  const writer = new Writer(true)
  writer.int32(0)
  writer.array([topic], (name) => {
    writer.string(name)
    writer.array([0], (index) => {
      writer.int16(errorCode)
      writer.int32(index)
      writer.int32(leaderEpoch)
      writer.int64(endOffset)
      writer.noTaggedFields()
    })
    writer.noTaggedFields()
  })
  writer.noTaggedFields()
  return writer.bytes()
}
describe("a fetcher on a broker older than Kafka 2.7", () => {
  const old = { Fetch: 11 }
  const fetching = (end: Buffer, position: Partial<FetchRequest["partitions"][number]>) =>
    withClient(
      [a],
      {
        [a]: answering({
          Metadata: aboutTopic({ 1: a }),
          OffsetForLeaderEpoch: always(end),
          Fetch: captured("Fetch 11: records")
        })
      },
      (client, cluster) =>
        Effect.gen(function* () {
          const fetcher = yield* client.openFetcher(1)
          const answer = yield* fetcher.fetch(fetchRequest(position))
          return { answer, cluster, fetcher }
        }),
      old
    )

  it.effect("asks where the last epoch ended, once per leader epoch", () =>
    withClient(
      [a],
      {
        [a]: answering({
          Metadata: aboutTopic({ 1: a }),
          OffsetForLeaderEpoch: captured("OffsetForLeaderEpoch 4: the end of an epoch"),
          Fetch: captured("Fetch 11: records")
        })
      },
      (client, cluster) =>
        Effect.gen(function* () {
          const fetcher = yield* client.openFetcher(1)
          yield* fetcher.fetch(fetchRequest())
          yield* fetcher.fetch(fetchRequest({ lastFetchedEpoch: 0 }))
          yield* fetcher.fetch(fetchRequest({ lastFetchedEpoch: 0 }))
          yield* fetcher.fetch(fetchRequest({ lastFetchedEpoch: 0, currentLeaderEpoch: 1 }))
          cluster.cut(a)
          yield* fetcher.fetch(fetchRequest({ lastFetchedEpoch: 0, currentLeaderEpoch: 1 }))
          const names = cluster.requests.map(({ name }) => name).filter((name) => name !== "Metadata")
          const check = "OffsetForLeaderEpoch"
          assert.deepStrictEqual(names, ["Fetch", check, "Fetch", "Fetch", check, "Fetch", check, "Fetch"])
        }),
      old
    )
  )

  it.effect("tells of a log that ends below the position, or holds an older epoch there", () =>
    Effect.gen(function* () {
      for (const [epoch, endOffset] of [
        [3, 4],
        [2, 9]
      ] as const) {
        const { answer, cluster } = yield* fetching(epochEnd(0, epoch, endOffset), {
          lastFetchedEpoch: 3,
          fetchOffset: 5
        })
        assert.deepStrictEqual(answer.partitions[0]?.diverging, { epoch, endOffset })
        assert.strictEqual(answer.partitions[0]?.errorCode, 0)
        assert.isFalse(cluster.requests.some(({ name }) => name === "Fetch"))
      }
    })
  )

  it.effect("tells of an epoch that the broker does not know, or of its refusal to say", () =>
    Effect.gen(function* () {
      const unknown = yield* fetching(epochEnd(0, -1, -1), { lastFetchedEpoch: 3 })
      assert.strictEqual(unknown.answer.partitions[0]?.errorCode, 1)
      const fenced = yield* fetching(epochEnd(74, -1, -1), { lastFetchedEpoch: 3 })
      assert.strictEqual(fenced.answer.partitions[0]?.errorCode, 74)
    })
  )
})
