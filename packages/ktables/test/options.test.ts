import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, Result, Schema } from "effect"
import { Codec, KafkaTable, KafkaTableWriter, KafkaTopic, TableError, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import * as TransportSupport from "effect-ktables/TransportSupport"
import * as Options from "../src/internal/options.ts"
import { onMemory, services } from "./table/fixtures.ts"

/** Options as plain JavaScript may give them: no type has looked at them. */
const untyped = (options: unknown) => options as never

const problem = (check: Options.Check, value: unknown) => Result.getOrUndefined(Result.flip(check(value, "x")))

describe("a duration", () => {
  const check = Options.duration({ min: 1 })
  const refused: ReadonlyArray<unknown> = [
    0,
    NaN,
    -1,
    0.5,
    Infinity,
    -Infinity,
    2 ** 31,
    "5 secs",
    "5",
    "Infinity",
    "NaN seconds",
    "25 days",
    "",
    null,
    true,
    {},
    { secs: 5 },
    { seconds: NaN },
    [NaN, 1],
    [],
    () => 1,
    Duration.zero,
    Duration.infinity,
    -5n
  ]
  it("is refused where it is none, or nothing that a timer can wait", () => {
    assert.deepStrictEqual(
      refused.filter((value) => problem(check, value) === undefined),
      []
    )
  })

  it("is taken in every form that Effect knows, up to 24 days", () => {
    const taken = [1, 1.5, 2 ** 31 - 1, "5 seconds", "24 days", Duration.minutes(2), { seconds: 5 }, [1, 0], 2_000_000n]
    assert.deepStrictEqual(
      taken.filter((value) => problem(check, value) !== undefined),
      []
    )
  })

  it("of nothing is taken where nothing has a meaning", () => {
    assert.isUndefined(problem(Options.duration({ min: 0 }), 0))
    assert.isDefined(problem(Options.duration({ min: 0 }), NaN))
  })
})

it("what was given is shown shortened, and objects and secrets are not shown", () => {
  const given = (check: Options.Check, value: unknown) => problem(check, value)?.given
  assert.strictEqual(given(Options.boolean, "yes"), '"yes"')
  assert.isBelow(given(Options.boolean, "y".repeat(10_000))!.length, 100)
  assert.strictEqual(given(Options.boolean, Duration.seconds(5)), "5s")
  assert.strictEqual(given(Options.boolean, { password: "p" }), "an object")
  assert.strictEqual(given(Options.secret("a number", Number.isFinite), "p"), "string")
})

const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

const withGetter = (name: string): object =>
  Object.defineProperty({}, name, {
    enumerable: true,
    get: () => {
      throw new Error("not for you")
    }
  })

const refusedOptions: ReadonlyArray<readonly [option: string, options: unknown, given: string]> = [
  ["options", 5, "5"],
  ["metadatRefresh", { metadatRefresh: 5 }, "5"],
  ["catchUp", { catchUp: "await" }, '"await"'],
  ["catchUp.mode", { catchUp: {} }, "undefined"],
  ["catchUp.mode", { catchUp: { mode: "backgroud" } }, '"backgroud"'],
  ["catchUp.timeout", { catchUp: { mode: "await", timeout: NaN } }, "NaN"],
  ["catchUp.timeout", { catchUp: { mode: "background", timeout: 5 } }, "5"],
  ["catchUp.onTimeout", { catchUp: { mode: "await", onTimeout: "wait" } }, '"wait"'],
  ["startTimeout", { startTimeout: 0 }, "0"],
  ["ensureTopic", { ensureTopic: true }, "true"],
  ["ensureTopic.onPolicyMismatch", { ensureTopic: { onPolicyMismatch: "fial" } }, '"fial"'],
  ["ensureTopic.partitions", { ensureTopic: { partitions: 1.5 } }, "1.5"],
  ["ensureTopic.replicationFactor", { ensureTopic: { replicationFactor: 0 } }, "0"],
  ["ensureTopic.config", { ensureTopic: { config: { "retention.ms": 5 } } }, "an object"],
  ["ensureTopic.partition", { ensureTopic: { partition: 5 } }, "5"],
  ["isolation", { isolation: "read_comitted" }, '"read_comitted"'],
  ["onDecodeError", { onDecodeError: "ignore" }, '"ignore"'],
  ["onDataLoss", { onDataLoss: "skip" }, '"skip"'],
  ["onTopicRecreated", { onTopicRecreated: null }, "null"],
  ["restart", { restart: "5 seconds" }, '"5 seconds"'],
  ["rack", { rack: 5 }, "5"],
  ["fetch", { fetch: [] }, "an array"],
  ["fetch.maxWait", { fetch: { maxWait: 0 } }, "0"],
  ["fetch.maxWait", { fetch: { maxWait: "5 secs" } }, '"5 secs"'],
  ["fetch.maxWait", { fetch: { maxWait: 2 ** 31 } }, "2147483648"],
  ["fetch.minBytes", { fetch: { minBytes: 0 } }, "0"],
  ["fetch.maxBytes", { fetch: { maxBytes: NaN } }, "NaN"],
  ["fetch.maxBytes", { fetch: { maxBytes: "16 MiB" } }, '"16 MiB"'],
  ["fetch.maxPartitionBytes", { fetch: { maxPartitionBytes: -1 } }, "-1"],
  ["fetch.maxByte", { fetch: { maxByte: 1 } }, "1"],
  ["metadataRefresh", { metadataRefresh: 0 }, "0"],
  ["metadataRefresh", { metadataRefresh: Infinity }, "Infinity"],
  ["maxEntries", { maxEntries: 0 }, "0"],
  ["maxEntries", { maxEntries: "1000" }, '"1000"'],
  ["maxBytes", { maxBytes: 1.5 }, "1.5"],
  ["maxBytes", { maxBytes: NaN }, "NaN"],
  ["changesCapacity", { changesCapacity: 0 }, "0"],
  ["changesCapacity", { changesCapacity: Infinity }, "Infinity"],
  ["options", null, "null"],
  ["options", new Map([["maxEntries", 5]]), "a Map"],
  ["options", new Date(0), "a Date"],
  ["options", Promise.resolve({}), "a Promise"],
  ["options", new Set(), "a Set"],
  ["options", revoked(), "what throws when it is looked at"],
  ["rack", { rack: revoked() }, "what throws when it is looked at"],
  ["fetch", { fetch: new Map() }, "a Map"],
  ["fetch", { fetch: revoked() }, "what throws when it is looked at"],
  ["catchUp", { catchUp: new Map([["mode", "await"]]) }, "a Map"],
  ["catchUp", { catchUp: revoked() }, "what throws when it is looked at"],
  ["ensureTopic", { ensureTopic: new Map() }, "a Map"],
  ["ensureTopic.config", { ensureTopic: { config: new Map() } }, "a Map"],
  ["fetch.maxWait", { fetch: { maxWait: revoked() } }, "what throws when it is looked at"],
  ["restart", { restart: revoked() }, "what throws when it is looked at"],
  ["rack", withGetter("rack"), "what throws when it is looked at"],
  ["fetch.maxWait", { fetch: withGetter("maxWait") }, "what throws when it is looked at"],
  ["catchUp.mode", { catchUp: withGetter("mode") }, "what throws when it is looked at"],
  ["metadatRefresh", withGetter("metadatRefresh"), "what throws when it is looked at"]
]

describe("an option of a table", () => {
  for (const [option, options, given] of refusedOptions) {
    it.effect(`${option} of ${given} is InvalidOption, before anything is asked`, () =>
      onMemory(
        Effect.gen(function* () {
          const error = yield* Effect.flip(KafkaTable.make(services, untyped(options)))
          assert.instanceOf(error, TableError.InvalidOption)
          assert.deepInclude(error, { topic: "services", option, given })
          assert.isTrue(error.message.startsWith(`option ${option} of services is ${given}: expected `))
          assert.strictEqual((yield* (yield* MemoryKafka.MemoryKafka).requests).size, 0)
        })
      )
    )
  }

  it.effect("that is unknown is refused with the names that are known", () =>
    onMemory(
      Effect.gen(function* () {
        const error = yield* Effect.flip(KafkaTable.make(services, untyped({ fetch: { maxwait: 5 } })))
        assert.include(error.message, "no such option, but one of maxWait, minBytes, maxBytes, maxPartitionBytes")
      })
    )
  )

  it.effect("may be of a class, of a module, or of no prototype", () =>
    onMemory(
      Effect.gen(function* () {
        class Tuned {
          readonly rack = "a"
          get changesCapacity(): number {
            return 5
          }
        }
        for (const options of [new Tuned(), Object.assign(Object.create(null), { rack: "a" })]) {
          const table = yield* KafkaTable.make(services, options)
          assert.strictEqual((yield* table.status)._tag, "CaughtUp")
        }
      })
    )
  )

  it.effect("that is undefined is as one left out", () =>
    onMemory(
      Effect.gen(function* () {
        const table = yield* KafkaTable.make(services, {
          catchUp: undefined,
          ensureTopic: { partitions: undefined },
          fetch: { maxWait: undefined },
          metadataRefresh: undefined
        })
        assert.strictEqual((yield* table.status)._tag, "CaughtUp")
      })
    )
  )

  it.effect("timeout of a barrier is refused likewise", () =>
    onMemory(
      Effect.gen(function* () {
        const table = yield* KafkaTable.make(services)
        for (const options of [{ timeout: NaN }, { timeout: "soon" }, { timeOut: 5 }, 5, null, withGetter("timeout")]) {
          const error = yield* Effect.flip(table.barrier(untyped(options)))
          assert.strictEqual(error._tag, "InvalidOption")
        }
      })
    )
  )
})

/** An object whose properties are other values the second time that they are read. */
const changing = (first: Record<string, unknown>, then: Record<string, unknown>): object => {
  const read = new Set<string>()
  return Object.defineProperties(
    {},
    Object.fromEntries(
      Object.keys(first).map((name) => [
        name,
        {
          enumerable: true,
          get: () => {
            if (read.has(name)) return then[name]
            read.add(name)
            return first[name]
          }
        }
      ])
    )
  )
}

describe("what is given", () => {
  it.effect("is looked at once, so that nothing is used that was not checked", () =>
    onMemory(
      Effect.gen(function* () {
        const fetch = changing({ maxWait: changing({ seconds: 5 }, { seconds: NaN }) }, { maxWait: "soon" })
        const ensureTopic = changing(
          { config: changing({ "segment.ms": "600000" }, { "segment.ms": 5 }) },
          { config: 5 }
        )
        const options = changing(
          { fetch, ensureTopic, isolation: "read_committed", metadataRefresh: "1 second" },
          { fetch: 5, ensureTopic: 5, isolation: "read_comitted", metadataRefresh: NaN }
        )
        const table = yield* KafkaTable.make(services, options as KafkaTable.Options)
        assert.strictEqual(Option.getOrThrow((yield* table.health).ensured)._tag, "Created")
        yield* table.barrier(untyped(changing({ timeout: "10 seconds" }, { timeout: "soon" })))
        const writing = changing({ compression: "gzip", acks: "all" }, { compression: "brotli", acks: 5 })
        const writer = yield* KafkaTableWriter.make(services, writing as KafkaTableWriter.Options)
        const ack = yield* writer.set("a", { host: "h", port: 1 })
        yield* table.awaitOffset(untyped(changing({ ...ack }, { topic: 5, partition: "none", offset: NaN })))
      })
    )
  )

  it("to a client is looked at once, too", () => {
    const options = changing({ requestTimeout: "5 seconds" }, { requestTimeout: "soon" })
    assert.doesNotThrow(() => MemoryKafka.layerWith(untyped(options)))
    const given = changing({ brokers: ["a:1"], connectionTimeout: 5 }, { brokers: 5, connectionTimeout: "soon" })
    const { protocol, transport } = TransportSupport.clientOptions(given as TransportSupport.TransportOptions<never>, [
      "plain"
    ])
    assert.strictEqual(protocol.connectTimeout, 10)
    assert.deepStrictEqual(transport.brokers, ["a:1"])
  })

  it("may be changed later, without effect", () => {
    const brokers = ["a:1"]
    const { transport } = TransportSupport.clientOptions({ brokers }, ["plain"])
    brokers[0] = "b:1"
    assert.deepStrictEqual(transport.brokers, ["a:1"])
  })
})

describe("an acknowledgement", () => {
  const ack = { topic: "services", partition: 0, offset: 0 }
  for (const [option, given] of [
    ["ack", null],
    ["ack", undefined],
    ["ack", 5],
    ["ack", new Map()],
    ["ack", revoked()],
    ["ack.topic", {}],
    ["ack.topic", withGetter("topic")],
    ["ack.partition", { ...ack, partition: "0" }],
    ["ack.partition", { ...ack, partition: -1 }],
    ["ack.offset", { ...ack, offset: "0" }],
    ["ack.offset", { ...ack, offset: NaN }],
    ["ack.topicId", { ...ack, topicId: 5 }],
    ["ack.producerId", { ...ack, producerId: 5 }],
    ["ack.producerId", { ...ack, producerId: "five" }],
    ["ack.timestamp", { ...ack, timestamp: "5" }],
    ["ack.sequence", { ...ack, sequence: 0.5 }],
    ["ack.producerEpoch", { ...ack, producerEpoch: null }]
  ] as const) {
    it.effect(`whose ${option} no writer gave is InvalidOption, and not waited for`, () =>
      onMemory(
        Effect.gen(function* () {
          const table = yield* KafkaTable.make(services)
          const error = yield* Effect.flip(table.awaitOffset(untyped(given)))
          assert.strictEqual(error._tag, "InvalidOption")
          assert.deepInclude(error, { topic: "services", option })
        })
      )
    )
  }
})

describe("a topic", () => {
  for (const topic of [
    null,
    undefined,
    "services",
    {},
    { name: "services" },
    new Map(),
    revoked(),
    withGetter("name")
  ]) {
    it.effect("that TableTopic did not make is InvalidOption, wherever one is handed over", () =>
      onMemory(
        Effect.gen(function* () {
          const errors = [
            yield* Effect.flip(KafkaTable.make(topic as typeof services)),
            yield* Effect.flip(KafkaTableWriter.make(topic as typeof services)),
            yield* Effect.flip(KafkaTopic.ensure(topic as typeof services))
          ]
          for (const error of errors) {
            assert.instanceOf(error, TableError.InvalidOption)
            assert.include(error, { option: "topic" })
          }
          assert.strictEqual((yield* (yield* MemoryKafka.MemoryKafka).requests).size, 0)
        })
      )
    )
  }
})

describe("an option of KafkaTopic.ensure", () => {
  for (const [option, options] of [
    ["onPolicyMismatch", { onPolicyMismatch: "warm" }],
    ["partitions", { partitions: 2 ** 31 }],
    ["startTimeout", { startTimeout: 0 }],
    ["timeout", { timeout: 5 }]
  ] as const) {
    it.effect(`${option} that cannot be meant is InvalidOption, before anything is asked`, () =>
      onMemory(
        Effect.gen(function* () {
          const error = yield* Effect.flip(KafkaTopic.ensure(services, untyped(options)))
          assert.instanceOf(error, TableError.InvalidOption)
          assert.strictEqual(error.option, option)
          assert.strictEqual((yield* (yield* MemoryKafka.MemoryKafka).requests).size, 0)
        })
      )
    )
  }
})

describe("a definition of a topic", () => {
  const key = Schema.String
  const value = Schema.Int
  const wrong: ReadonlyArray<readonly [option: string, definition: unknown]> = [
    ["options", undefined],
    ["name", { key, value }],
    ["name", { name: 5, key, value }],
    ["key", { name: "n", value }],
    ["key", { name: "n", key: "string", value }],
    ["value", { name: "n", key }],
    ["value", { name: "n", key, value: String }],
    ["partitions", { name: "n", key, value, partitions: "3" }],
    ["replicationFactor", { name: "n", key, value, replicationFactor: null }],
    ["config", { name: "n", key, value, config: { "retention.ms": 5 } }],
    ["keys", { name: "n", key, value, keys: 5 }]
  ]
  for (const [option, definition] of wrong) {
    it(`whose ${option} no type would let pass throws InvalidOption (${JSON.stringify(definition)})`, () => {
      try {
        TableTopic.make(untyped(definition))
      } catch (error) {
        assert.instanceOf(error, TableError.InvalidOption)
        return assert.strictEqual(error.option, option)
      }
      assert.fail("it was taken")
    })
  }

  it("takes schemas and codecs", () => {
    const topics = [
      TableTopic.make({ name: "n", key: Codec.string, value: Codec.json(Schema.Int) }),
      TableTopic.make({ name: "n", key: Schema.NonEmptyString, value: Schema.Struct({}) })
    ]
    for (const topic of topics) assert.isTrue(Codec.isCodec(topic.key) && Codec.isCodec(topic.value))
  })

  it.effect("with a number of partitions or replicas that the protocol cannot carry is InvalidTopic", () =>
    onMemory(
      Effect.gen(function* () {
        for (const sizes of [{ partitions: 2 ** 31 }, { replicationFactor: 2 ** 15 }]) {
          const topic = TableTopic.make({ name: "n", key, value, ...sizes })
          assert.strictEqual((yield* Effect.flip(KafkaTable.make(topic)))._tag, "InvalidTopic")
        }
      })
    )
  )
})

describe("an option of MemoryKafka", () => {
  for (const options of [{ brokers: 0 }, { brokers: NaN }, { requestTimeout: "soon" }, { broker: 2 }]) {
    it(`that cannot be meant throws InvalidOption (${JSON.stringify(options)})`, () => {
      assert.throws(() => MemoryKafka.layerWith(untyped(options)), /option brokers? is|option requestTimeout is/)
    })
  }
})
