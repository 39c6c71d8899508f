import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Schema } from "effect"
import { TestClock } from "effect/testing"
import { KafkaClient } from "effect-ktables/KafkaClient"
import {
  AuthenticationFailed,
  BrokersUnreachable,
  ConnectionFailed,
  UnsupportedRequest
} from "effect-ktables/KafkaError"
import * as KafkaTopic from "effect-ktables/KafkaTopic"
import * as TableTopic from "effect-ktables/TableTopic"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { backoffMillis } from "../../src/internal/backoff.ts"
import { describeWithin } from "../../src/internal/topic/describe.ts"
import {
  brokerError,
  describe as describeTopic,
  eventually,
  lost,
  ScriptedKafka,
  TOPIC
} from "../writer/scriptedKafka.ts"

const prices = TableTopic.make({ name: TOPIC, key: Schema.String, value: Schema.Finite })

const missing = Effect.fail(brokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "Metadata"))

/** Runs the effect and returns what it logged at the level. */
const logged = Effect.fnUntraced(function* <A, E>(level: "Info" | "Warn", effect: Effect.Effect<A, E>) {
  const lines: Array<string> = []
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    if (logLevel === level) lines.push(String(message))
  })
  yield* Effect.provide(effect, Logger.layer([logger]))
  return lines
})

const warnings = <A, E>(effect: Effect.Effect<A, E>) => logged("Warn", effect)

const ensure = (
  kafka: ScriptedKafka,
  options?: Parameters<typeof KafkaTopic.ensure>[1],
  topic: TableTopic.TableTopic<string, number> = prices
) => eventually(Effect.provideService(KafkaTopic.ensure(topic, options), KafkaClient, kafka.client))

describe("a definition that no broker takes", () => {
  const invalid: ReadonlyArray<readonly [string, { name?: string; partitions?: number; replicationFactor?: number }]> =
    [
      ["an empty name", { name: "" }],
      ["the name .", { name: "." }],
      ["the name ..", { name: ".." }],
      ["a name of 250 characters", { name: "x".repeat(250) }],
      ["a name with a slash", { name: "a/b" }],
      ["no partitions", { partitions: 0 }],
      ["half a partition", { partitions: 1.5 }],
      ["no replicas", { replicationFactor: 0 }],
      ["minus two replicas", { replicationFactor: -2 }]
    ]
  for (const [what, definition] of invalid) {
    it.effect(`${what} is InvalidTopic before anything is asked`, () =>
      Effect.gen(function* () {
        const kafka = new ScriptedKafka()
        const topic = TableTopic.make({ name: TOPIC, key: Schema.String, value: Schema.Finite, ...definition })
        const error = yield* Effect.flip(ensure(kafka, {}, topic))
        assert.strictEqual(error._tag, "InvalidTopic")
        assert.deepStrictEqual(kafka.calls, [])
      })
    )
  }

  it.effect("a name of 249 legal characters is taken", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const name = "aZ0._-".padEnd(249, "x")
      yield* ensure(kafka, {}, TableTopic.make({ name, key: Schema.String, value: Schema.Finite }))
      assert.include(kafka.calls, "describeTopic")
    })
  )
})

const created = (kafka: ScriptedKafka) =>
  kafka.created.map(({ topic, partitions, replicationFactor, config }) => ({
    topic,
    partitions,
    replicationFactor,
    config
  }))

describe("a missing topic", () => {
  it.effect("is created compacted, with one partition and the broker's default replication", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [missing]
      yield* ensure(kafka)
      assert.deepStrictEqual(created(kafka), [
        { topic: TOPIC, partitions: 1, replicationFactor: -1, config: { "cleanup.policy": "compact" } }
      ])
      assert.notInclude(kafka.calls, "describeConfig")
    })
  )

  it.effect("is created with the definition's settings, and the options' over them", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [missing]
      const topic = TableTopic.make({
        name: TOPIC,
        key: Schema.String,
        value: Schema.Finite,
        partitions: 3,
        replicationFactor: 2,
        config: { "segment.bytes": "1000", "retention.ms": "1" }
      })
      yield* ensure(kafka, { partitions: 4, config: { "segment.bytes": "2000" } }, topic)
      assert.deepStrictEqual(created(kafka), [
        {
          topic: TOPIC,
          partitions: 4,
          replicationFactor: 2,
          config: { "cleanup.policy": "compact", "segment.bytes": "2000", "retention.ms": "1" }
        }
      ])
    })
  )

  it.effect("that another process creates at the same moment is a success, and its policy is checked", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [missing]
      kafka.creates = [Effect.fail(brokerError(ErrorCode.TOPIC_ALREADY_EXISTS))]
      kafka.configs = [missing, missing]
      kafka.config = new Map([["cleanup.policy", "delete"]])
      const error = yield* Effect.flip(ensure(kafka, { onPolicyMismatch: "fail" }))
      assert.strictEqual(error._tag, "PolicyMismatch")
    })
  )

  it.effect("is created in a further attempt when the controller is moving", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [missing]
      kafka.creates = [Effect.fail(brokerError(ErrorCode.NOT_CONTROLLER)), Effect.fail(lost("CreateTopics"))]
      yield* ensure(kafka)
      assert.strictEqual(kafka.created.length, 3)
    })
  )

  it.effect("without permission to create it is NotAuthorized for Create", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [missing]
      kafka.creates = [Effect.fail(brokerError(ErrorCode.TOPIC_AUTHORIZATION_FAILED))]
      const error = yield* Effect.flip(ensure(kafka))
      assert.strictEqual(error._tag, "NotAuthorized")
      assert.include(error.message, "not allowed to Create prices")
    })
  )

  it.effect("that the cluster does not want is ClusterRefused with the broker's answer", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [missing]
      kafka.creates = [Effect.fail(brokerError(ErrorCode.POLICY_VIOLATION, "CreateTopics"))]
      const error = yield* Effect.flip(ensure(kafka))
      assert.strictEqual(error._tag, "ClusterRefused")
      assert.include(error.message, "POLICY_VIOLATION")
    })
  )
})

describe("an existing topic", () => {
  for (const policy of ["delete", "compact,delete", "delete,compact"]) {
    it.effect(`with cleanup.policy ${policy} is warned of once`, () =>
      Effect.gen(function* () {
        const kafka = new ScriptedKafka()
        kafka.config = new Map([["cleanup.policy", policy]])
        const lines = yield* warnings(ensure(kafka))
        assert.strictEqual(lines.length, 1)
        assert.include(lines[0], `cleanup.policy=${policy}`)
        assert.deepStrictEqual(kafka.altered, [])
      })
    )
  }

  it.effect("that is compacted is not warned of", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* warnings(ensure(new ScriptedKafka())), [])
    })
  )

  it.effect("under fail is PolicyMismatch", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.config = new Map([["cleanup.policy", "delete"]])
      const error = yield* Effect.flip(ensure(kafka, { onPolicyMismatch: "fail" }))
      assert.strictEqual(error._tag, "PolicyMismatch")
      assert.include(error.message, "cleanup.policy=delete")
    })
  )

  it.effect("under reconcile gets that one setting changed", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.config = new Map([
        ["cleanup.policy", "delete"],
        ["retention.ms", "1"]
      ])
      kafka.alters = [Effect.fail(lost("IncrementalAlterConfigs"))]
      yield* ensure(kafka, { onPolicyMismatch: "reconcile" })
      assert.deepStrictEqual(kafka.altered, [{ "cleanup.policy": "compact" }, { "cleanup.policy": "compact" }])
    })
  )

  it.effect("under reconcile without permission is NotAuthorized for AlterConfigs", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.config = new Map([["cleanup.policy", "delete"]])
      kafka.alters = [Effect.fail(brokerError(ErrorCode.TOPIC_AUTHORIZATION_FAILED))]
      const error = yield* Effect.flip(ensure(kafka, { onPolicyMismatch: "reconcile" }))
      assert.include(error.message, "AlterConfigs")
    })
  )

  it.effect("under ignore is not looked at", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      yield* ensure(kafka, { onPolicyMismatch: "ignore" })
      assert.deepStrictEqual(kafka.calls, ["describeTopic"])
    })
  )

  const unreadable = [
    ["may not be described", Effect.fail(brokerError(ErrorCode.TOPIC_AUTHORIZATION_FAILED))],
    [
      "cannot be described by this broker",
      Effect.fail(new UnsupportedRequest({ broker: "one:9092", request: "DescribeConfigs", detail: "no version" }))
    ],
    ["do not show the policy", Effect.succeed(new Map())]
  ] as const
  for (const [what, answer] of unreadable) {
    it.effect(`whose settings ${what} is taken as it is, which is said once`, () =>
      Effect.gen(function* () {
        const kafka = new ScriptedKafka()
        kafka.configs = [answer]
        const lines = yield* warnings(
          Effect.map(ensure(kafka), (outcome) => assert.strictEqual(outcome._tag, "Unreadable"))
        )
        assert.strictEqual(lines.length, 1)
        assert.include(lines[0], "not verified")
      })
    )

    it.effect(`whose settings ${what} fails under fail`, () =>
      Effect.gen(function* () {
        const kafka = new ScriptedKafka()
        kafka.configs = [answer]
        const error = yield* Effect.flip(ensure(kafka, { onPolicyMismatch: "fail" }))
        assert.strictEqual(error._tag, what === "may not be described" ? "NotAuthorized" : "ClusterRefused")
        assert.include(error.message, what === "may not be described" ? "DescribeConfigs" : "not verified")
      })
    )
  }
})

/** A topic's definition with settings of its own. */
const declaring = (config: Readonly<Record<string, string>>) =>
  TableTopic.make({ name: TOPIC, key: Schema.String, value: Schema.Finite, config })

const topicWith = (settings: Readonly<Record<string, string>>) => {
  const kafka = new ScriptedKafka()
  kafka.config = new Map(Object.entries({ "cleanup.policy": "compact", ...settings }))
  return kafka
}

describe("a declared setting", () => {
  for (const policy of ["compact,delete", "delete,compact", "delete, compact"]) {
    it.effect(`cleanup.policy=compact,delete is no mismatch to ${policy}, and reconcile leaves it alone`, () =>
      Effect.gen(function* () {
        const kafka = topicWith({ "cleanup.policy": policy, "retention.ms": "1000" })
        const topic = declaring({ "cleanup.policy": "compact,delete", "retention.ms": "1000" })
        for (const onPolicyMismatch of ["warn", "fail", "reconcile"] as const) {
          const outcome = yield* ensure(kafka, { onPolicyMismatch }, topic)
          assert.deepStrictEqual(outcome, KafkaTopic.EnsureOutcome.Verified({ cautions: [] }))
        }
        assert.deepStrictEqual(kafka.altered, [])
      })
    )
  }

  it.effect("cleanup.policy that the topic does not have is set by reconcile as declared", () =>
    Effect.gen(function* () {
      const kafka = topicWith({ "retention.ms": "500" })
      const topic = declaring({ "cleanup.policy": "compact,delete", "retention.ms": "1000" })
      const outcome = yield* ensure(kafka, { onPolicyMismatch: "reconcile" }, topic)
      assert.deepStrictEqual(kafka.altered, [{ "cleanup.policy": "compact,delete", "retention.ms": "1000" }])
      assert.deepStrictEqual(
        outcome,
        KafkaTopic.EnsureOutcome.Reconciled({
          previous: { "cleanup.policy": "compact", "retention.ms": "500" },
          cautions: []
        })
      )
    })
  )

  const eaten: ReadonlyArray<
    readonly [setting: string, declared: Record<string, string>, actual: Record<string, string>, words: string]
  > = [
    [
      "retention.ms",
      { "cleanup.policy": "compact,delete", "retention.ms": "86400000" },
      { "cleanup.policy": "compact,delete", "retention.ms": "1000" },
      "retention.ms=1000, declared is 86400000"
    ],
    [
      "retention.bytes",
      { "cleanup.policy": "compact,delete", "retention.ms": "1", "retention.bytes": "-1" },
      { "cleanup.policy": "compact,delete", "retention.ms": "1", "retention.bytes": "1000" },
      "retention.bytes=1000, declared is -1"
    ],
    [
      "delete.retention.ms",
      { "delete.retention.ms": "86400000" },
      { "delete.retention.ms": "100000" },
      "delete.retention.ms=100000, declared is 86400000"
    ]
  ]
  for (const [setting, declared, actual, words] of eaten) {
    it.effect(`${setting} that is shorter on the topic is a mismatch`, () =>
      Effect.gen(function* () {
        const lines = yield* warnings(
          Effect.map(ensure(topicWith(actual), {}, declaring(declared)), (outcome) => {
            assert.deepInclude(outcome, { _tag: "Mismatch" })
          })
        )
        assert.strictEqual(lines.length, 1)
        assert.include(lines[0], words)
        const error = yield* Effect.flip(ensure(topicWith(actual), { onPolicyMismatch: "fail" }, declaring(declared)))
        assert.deepInclude(error, { _tag: "PolicyMismatch", setting })
        const kafka = topicWith(actual)
        yield* ensure(kafka, { onPolicyMismatch: "reconcile" }, declaring(declared))
        assert.deepStrictEqual(kafka.altered, [{ [setting]: declared[setting]! }])
      })
    )
  }

  it.effect("of the options counts as one of the definition does", () =>
    Effect.gen(function* () {
      const kafka = topicWith({ "cleanup.policy": "compact,delete", "retention.ms": "5" })
      const config = { "cleanup.policy": "compact,delete", "retention.ms": "5" }
      assert.strictEqual((yield* ensure(kafka, { config, onPolicyMismatch: "fail" }))._tag, "Verified")
    })
  )

  it.effect("retention.ms does not matter to a topic that only compacts", () =>
    Effect.gen(function* () {
      const kafka = topicWith({ "retention.ms": "5" })
      const outcome = yield* ensure(kafka, { onPolicyMismatch: "fail" }, declaring({ "retention.ms": "1000" }))
      assert.deepStrictEqual(outcome, KafkaTopic.EnsureOutcome.Verified({ cautions: [] }))
    })
  )
})

describe("a setting that nobody declared and that eats records", () => {
  const cautions: ReadonlyArray<
    readonly [setting: string, declared: Record<string, string>, actual: Record<string, string>]
  > = [
    ["retention.ms=604800000", { "cleanup.policy": "compact,delete" }, { "retention.ms": "604800000" }],
    ["retention.bytes=5", { "cleanup.policy": "compact,delete" }, { "retention.bytes": "5", "retention.ms": "-1" }],
    ["delete.retention.ms=100", {}, { "delete.retention.ms": "100" }],
    ["unclean.leader.election.enable=true", {}, { "unclean.leader.election.enable": "true" }]
  ]
  for (const [setting, declared, actual] of cautions) {
    it.effect(`${setting} is warned of, and fails nothing`, () =>
      Effect.gen(function* () {
        const kafka = topicWith({ ...declared, ...actual })
        const lines = yield* warnings(
          Effect.map(ensure(kafka, { onPolicyMismatch: "fail" }, declaring(declared)), (outcome) => {
            assert.strictEqual(outcome._tag, "Verified")
            assert.strictEqual(outcome._tag === "Verified" ? outcome.cautions.length : 0, 1)
          })
        )
        assert.strictEqual(lines.length, 1)
        assert.include(lines[0], setting)
      })
    )
  }
})

describe("the outcome", () => {
  it.effect("of a missing topic is Created, which is logged", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [missing]
      const lines = yield* logged(
        "Info",
        Effect.map(ensure(kafka), (outcome) =>
          assert.deepStrictEqual(outcome, KafkaTopic.EnsureOutcome.Created({ partitions: 1 }))
        )
      )
      assert.deepStrictEqual(lines, [`${TOPIC}: created with 1 partition, cleanup.policy=compact`])
    })
  )

  it.effect("of a topic that is as it should be is Verified", () =>
    Effect.gen(function* () {
      const outcome = yield* ensure(new ScriptedKafka())
      assert.deepStrictEqual(outcome, KafkaTopic.EnsureOutcome.Verified({ cautions: [] }))
    })
  )

  it.effect("under ignore is Skipped", () =>
    Effect.gen(function* () {
      const outcome = yield* ensure(new ScriptedKafka(), { onPolicyMismatch: "ignore" })
      assert.strictEqual(outcome._tag, "Skipped")
    })
  )

  it.effect("of a topic with another policy holds the mismatch", () =>
    Effect.gen(function* () {
      const outcome = yield* ensure(topicWith({ "cleanup.policy": "delete" }))
      assert.strictEqual(outcome._tag, "Mismatch")
      if (outcome._tag !== "Mismatch") return
      assert.deepStrictEqual(
        outcome.mismatches.map(({ actual, expected, setting }) => [setting, actual, expected]),
        [["cleanup.policy", "delete", "compact"]]
      )
    })
  )
})

describe("a missing topic that is not to be created", () => {
  it.effect("is TopicNotFound, once three brokers in a row have said so", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [missing, missing, missing]
      const error = yield* Effect.flip(ensure(kafka, { create: false }))
      assert.strictEqual(error._tag, "TopicNotFound")
      assert.deepStrictEqual(kafka.created, [])
    })
  )

  it.effect("and that one broker only does not know yet is judged as it is", () =>
    Effect.gen(function* () {
      const kafka = topicWith({ "cleanup.policy": "delete" })
      kafka.describes = [missing, missing]
      assert.strictEqual((yield* ensure(kafka, { create: false }))._tag, "Mismatch")
    })
  )
})

describe("a cluster that does not answer", () => {
  it.effect("is Unreachable after startTimeout, naming every address and its last cause", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const unreachable = new BrokersUnreachable({ brokers: [{ address: "one:9092", cause: "ECONNREFUSED" }] })
      const reset = new ConnectionFailed({ broker: "three:9092", request: "Metadata", detail: "ECONNRESET" })
      kafka.describes = Array.from({ length: 1000 }, (_, i) => Effect.fail(i % 2 === 0 ? unreachable : reset))
      const fiber = yield* Effect.forkChild(
        Effect.flip(Effect.provideService(KafkaTopic.ensure(prices), KafkaClient, kafka.client))
      )
      yield* TestClock.adjust("29 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      // Jittered back-off up to a second: no busy loop.
      assert.isBelow(kafka.calls.length, 80)
      yield* TestClock.adjust("2 seconds")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "Unreachable")
      assert.include(error.message, "one:9092 (ECONNREFUSED), two:9092 (no answer), three:9092 (ECONNRESET)")
    })
  )

  it.effect("and holds the request forever is Unreachable too", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [Effect.never]
      const error = yield* Effect.flip(ensure(kafka, { startTimeout: "3 seconds" }))
      assert.strictEqual(error._tag, "Unreachable")
    })
  )

  it.effect("but comes up in time is waited for, and gets the whole time for the rest", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [Effect.andThen(Effect.sleep("2900 millis"), missing)]
      kafka.creates = [Effect.andThen(Effect.sleep("2 seconds"), Effect.void)]
      yield* ensure(kafka, { startTimeout: "3 seconds" })
      assert.strictEqual(kafka.created.length, 1)
    })
  )

  it.effect("and refuses the credentials fails at once, with its words", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [Effect.fail(new AuthenticationFailed({ broker: "one:9092", detail: "is TLS misconfigured?" }))]
      const error = yield* Effect.flip(ensure(kafka))
      assert.strictEqual(error._tag, "AuthenticationRefused")
      assert.include(error.message, "is TLS misconfigured?")
      assert.strictEqual(kafka.calls.length, 1)
    })
  )

  it.effect("and stays busy is ClusterRefused with its last answer", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = Array.from({ length: 1000 }, () => Effect.fail(brokerError(ErrorCode.LEADER_NOT_AVAILABLE)))
      const error = yield* Effect.flip(ensure(kafka, { startTimeout: "3 seconds" }))
      assert.strictEqual(error._tag, "ClusterRefused")
      assert.include(error.message, "LEADER_NOT_AVAILABLE")
    })
  )
})

describe("describing a topic at start", () => {
  it.effect("believes an absence that three brokers in a row report", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [missing, missing]
      assert.strictEqual((yield* eventually(describeWithin(kafka.client, TOPIC, "30 seconds"))).topic, TOPIC)
      kafka.describes = [missing, missing, missing]
      const error = yield* eventually(Effect.flip(describeWithin(kafka.client, TOPIC, "30 seconds")))
      assert.strictEqual(error._tag, "TopicNotFound")
    })
  )

  it.effect("gives a topic just created some seconds to show up", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = Array.from({ length: 6 }, () => missing)
      yield* eventually(describeWithin(kafka.client, TOPIC, "30 seconds", { justCreated: true }))
      kafka.describes = Array.from({ length: 100 }, () => missing)
      const error = yield* eventually(
        Effect.flip(describeWithin(kafka.client, TOPIC, "30 seconds", { justCreated: true }))
      )
      assert.strictEqual(error._tag, "TopicNotFound")
    })
  )

  it.effect("waits for an election, but not forever", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [Effect.succeed(describeTopic({ partitions: 1, leader: -1 }))]
      const elected = yield* eventually(describeWithin(kafka.client, TOPIC, "30 seconds"))
      assert.strictEqual(elected.partitions[0]!.leader, 1)
      kafka.description = describeTopic({ partitions: 1, leader: -1 })
      const leaderless = yield* eventually(describeWithin(kafka.client, TOPIC, "30 seconds"))
      assert.strictEqual(leaderless.partitions[0]!.leader, -1)
    })
  )

  it.effect("without permission is NotAuthorized for Describe", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [Effect.fail(brokerError(ErrorCode.TOPIC_AUTHORIZATION_FAILED))]
      const error = yield* eventually(Effect.flip(describeWithin(kafka.client, TOPIC, "30 seconds")))
      assert.include(error.message, "not allowed to Describe")
    })
  )
})

describe("the back-off", () => {
  it.effect("doubles up to a second and is never shorter than half its step", () =>
    Effect.sync(() => {
      assert.deepStrictEqual(
        [1, 2, 3, 6, 7, 1000].map((failures) => backoffMillis(failures, 0)),
        [10, 20, 40, 320, 500, 500]
      )
      assert.strictEqual(backoffMillis(7, 1), 1000)
    })
  )
})
