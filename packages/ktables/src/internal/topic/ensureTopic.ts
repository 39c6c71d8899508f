/**
 * Makes sure that a table's topic is there and compacted, without leaning on the broker's auto-creation, which makes
 * topics that delete.
 */
import { Data, type Duration, Effect, Result, type Scope } from "effect"
import { KafkaClient } from "../../KafkaClient.ts"
import {
  type AuthenticationRefused,
  ClusterRefused,
  type InvalidOption,
  type InvalidTopic,
  NotAuthorized,
  type PolicyMismatch,
  type TopicNotFound,
  type Unreachable
} from "../../TableError.ts"
import type { TableTopic } from "../../TableTopic.ts"
import * as Check from "../options.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { describeWith } from "./describe.ts"
import { clusterRefused, isNotAuthorized, refused } from "./refusal.ts"
import { judge, type Settings } from "./settings.ts"
import * as StartRetry from "./startRetry.ts"
import { settingOf } from "./topicSettings.ts"
import * as TopicView from "./topicView.ts"
import { checkTopic, invalidTopic, MAX_REPLICAS } from "./validate.ts"

/**
 * What to do with an existing topic whose settings are not as its definition declares them, to a table's harm: another
 * `cleanup.policy` than the declared one (`compact` by default), or, where they are declared, a shorter
 * `delete.retention.ms`, or a shorter `retention.ms` or `retention.bytes` beside a policy that deletes.
 *
 * - `ignore`: not even look.
 * - `warn`: log a warning.
 * - `fail`: fail with `PolicyMismatch`, or with the reason why the settings cannot be read.
 * - `reconcile`: set those settings as declared.
 *
 * @category models
 * @since 0.1.0
 */
export type OnPolicyMismatch = "ignore" | "warn" | "fail" | "reconcile"

/**
 * How a missing topic is created and an existing one is judged.
 *
 * @category models
 * @since 0.1.0
 */
export interface EnsureOptions {
  /**
   * Whether a missing topic is created; else it is `TopicNotFound`. Default: true. A table that was not asked for it
   * creates the topic too, and warns that it did.
   */
  readonly create?: boolean | undefined
  /** Default: `warn`. */
  readonly onPolicyMismatch?: OnPolicyMismatch | undefined
  /** Default: the definition's. */
  readonly partitions?: number | undefined
  /** Default: the definition's. */
  readonly replicationFactor?: number | undefined
  /** Merged over the definition's. */
  readonly config?: Readonly<Record<string, string>> | undefined
}

/**
 * What ensuring a topic found and did. `cautions` are sentences about settings that nobody declared and that harm a table;
 * they are logged as warnings, too.
 *
 * - `Created`: it was missing.
 * - `Verified`: it is as declared.
 * - `Reconciled`: settings were altered; `previous` holds what they were.
 * - `Mismatch`: settings are not as declared, and were left so.
 * - `Unreadable`: it exists, and its settings cannot be read.
 * - `Skipped`: it exists, and `ignore` looked no further.
 *
 * @category models
 * @since 0.1.0
 */
export type EnsureOutcome = Data.TaggedEnum<{
  Created: { readonly partitions: number }
  Verified: { readonly cautions: ReadonlyArray<string> }
  Reconciled: { readonly previous: Readonly<Record<string, string>>; readonly cautions: ReadonlyArray<string> }
  Mismatch: { readonly mismatches: ReadonlyArray<PolicyMismatch>; readonly cautions: ReadonlyArray<string> }
  Unreadable: { readonly reason: string }
  Skipped: {}
}>

/**
 * Constructors and matchers.
 *
 * @category constructors
 * @since 0.1.0
 */
export const EnsureOutcome = Data.taggedEnum<EnsureOutcome>()

/** How long `ensureTopic` goes on trying. */
interface StartOptions {
  /** How long to look for a broker that answers. Default: 30 seconds. */
  readonly startTimeout?: Duration.Input | undefined
}

const ensureChecks: Parameters<typeof Check.record<EnsureOptions>>[0] = {
  create: Check.boolean,
  onPolicyMismatch: Check.oneOf("ignore", "warn", "fail", "reconcile"),
  partitions: Check.integer({ min: 1, max: Check.MAX_INT32 }),
  replicationFactor: Check.either(Check.integer({ min: 1, max: MAX_REPLICAS }), Check.oneOf(-1)),
  config: Check.settings
}

/** Judges options that a table or a writer hands on. */
export const checkEnsureOptions: Check.Check = Check.record<EnsureOptions>(ensureChecks)

const checkOptions = Check.record<EnsureOptions & StartOptions>({
  ...ensureChecks,
  startTimeout: Check.duration({ min: 1 })
})

/**
 * What `ensureTopic` can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type EnsureTopicError =
  | InvalidOption
  | InvalidTopic
  | TopicNotFound
  | NotAuthorized
  | Unreachable
  | AuthenticationRefused
  | ClusterRefused
  | PolicyMismatch

export const DEFAULT_START_TIMEOUT: Duration.Input = "30 seconds"

/** Milliseconds that the controller gets to create a topic. */
const CREATE_TIMEOUT = 15_000

/** The outcome, and the settings of an existing topic where they could be read. */
export interface Ensured {
  readonly outcome: EnsureOutcome
  readonly config: Settings | undefined
}

/** This call made the topic, so that brokers may not know it yet. */
export const isCreated = (ensured: Ensured | undefined): boolean => ensured?.outcome._tag === "Created"

// oxlint-disable-next-line typescript/no-explicit-any
type AnyTopic = TableTopic<any, any, any, any>

const definitionOf = (topic: AnyTopic, options: EnsureOptions) => ({
  name: topic.name,
  partitions: options.partitions ?? topic.partitions,
  replicationFactor: options.replicationFactor ?? topic.replicationFactor,
  config: { ...topic.config, ...options.config }
})

type Definition = ReturnType<typeof definitionOf>

const isUnknown = (error: { readonly code: number }): boolean => error.code === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

const exists = Effect.fnUntraced(function* (
  retry: StartRetry.StartRetry
): Effect.fn.Return<boolean, NotAuthorized | StartRetry.GivenUp> {
  const { topic, view } = retry
  const result = yield* Effect.result(retry.until(view.describe, isUnknown))
  if (Result.isSuccess(result)) return true
  const error = result.failure
  if (error._tag === "BrokerError" && isUnknown(error)) return false
  if (error._tag === "BrokerError" || error._tag === "UnsupportedRequest") {
    return yield* refused(topic, "Describe", error)
  }
  return yield* error
})

/** True when this call created the topic, false when another one had. */
const create = Effect.fnUntraced(function* (
  retry: StartRetry.StartRetry,
  definition: Definition
): Effect.fn.Return<boolean, NotAuthorized | StartRetry.GivenUp> {
  const { client, topic } = retry
  const { partitions, replicationFactor, config } = definition
  const result = yield* Effect.result(
    retry.until(client.createTopic({ topic, partitions, replicationFactor, config, timeout: CREATE_TIMEOUT }))
  )
  retry.view.created()
  if (Result.isSuccess(result)) return true
  const error = result.failure
  if (error._tag === "BrokerError" && error.code === ErrorCode.TOPIC_ALREADY_EXISTS) return false
  if (error._tag === "BrokerError" || error._tag === "UnsupportedRequest") {
    return yield* refused(topic, "Create", error)
  }
  return yield* error
})

const reconcile = Effect.fnUntraced(function* (
  retry: StartRetry.StartRetry,
  mismatches: ReadonlyArray<PolicyMismatch>
): Effect.fn.Return<void, NotAuthorized | StartRetry.GivenUp> {
  const { client, topic } = retry
  const declared = Object.fromEntries(mismatches.map(({ expected, setting }) => [setting, expected]))
  const result = yield* Effect.result(retry.until(client.alterConfig(topic, declared)))
  if (Result.isSuccess(result)) {
    const changes = mismatches.map(({ actual, expected, setting }) => `${setting} from ${actual} to ${expected}`)
    return yield* Effect.logInfo(`${topic}: changed ${changes.join(", ")}`)
  }
  const error = result.failure
  if (error._tag === "BrokerError" || error._tag === "UnsupportedRequest") {
    return yield* refused(topic, "AlterConfigs", error)
  }
  return yield* error
})

const unverified = (why: string): string => `its settings are not verified (${why})`

/** The settings of an existing topic, or why they cannot be read. */
const readSettings = Effect.fnUntraced(function* (
  retry: StartRetry.StartRetry
): Effect.fn.Return<
  { readonly config: Settings; readonly policy: string } | NotAuthorized | ClusterRefused,
  StartRetry.GivenUp
> {
  const { topic, view } = retry
  const result = yield* Effect.result(retry.until(view.settings.read))
  if (Result.isFailure(result)) {
    const error = result.failure
    if (error._tag === "UnsupportedRequest") {
      return new ClusterRefused({ topic, detail: unverified(error.message), cause: error })
    }
    if (error._tag !== "BrokerError") return yield* error
    return isNotAuthorized(error.code)
      ? new NotAuthorized({ topic, operation: "DescribeConfigs", detail: unverified(error.message) })
      : yield* clusterRefused(topic, error)
  }
  const policy = settingOf(result.success, "cleanup.policy")
  return "why" in policy
    ? new ClusterRefused({ topic, detail: unverified(policy.why) })
    : { config: result.success, policy: policy.value }
})

/** The settings of an existing topic, judged and where asked for altered. */
const checkSettings = Effect.fnUntraced(function* (
  retry: StartRetry.StartRetry,
  declared: Readonly<Record<string, string>>,
  onMismatch: Exclude<OnPolicyMismatch, "ignore">
): Effect.fn.Return<Ensured, NotAuthorized | PolicyMismatch | StartRetry.GivenUp> {
  const read = yield* readSettings(retry)
  if ("_tag" in read) {
    if (onMismatch === "fail") return yield* read
    yield* Effect.logWarning(
      `${read.message}; where its cleanup.policy is not compact, the broker deletes entries that are still wanted`
    )
    return { outcome: EnsureOutcome.Unreadable({ reason: read.message }), config: undefined }
  }
  const { config, policy } = read
  const { cautions, mismatches } = judge(retry.topic, declared, config, policy)
  if (mismatches.length > 0 && onMismatch === "fail") return yield* mismatches[0]!
  yield* Effect.forEach(cautions, (caution) => Effect.logWarning(caution))
  if (mismatches.length === 0) return { outcome: EnsureOutcome.Verified({ cautions }), config }
  if (onMismatch === "reconcile") {
    yield* reconcile(retry, mismatches)
    const previous = Object.fromEntries(mismatches.map(({ actual, setting }) => [setting, actual]))
    return { outcome: EnsureOutcome.Reconciled({ previous, cautions }), config }
  }
  yield* Effect.forEach(mismatches, (mismatch) => Effect.logWarning(mismatch.message))
  return { outcome: EnsureOutcome.Mismatch({ mismatches, cautions }), config }
})

/** Creates the topic when it is missing, else judges its settings. */
export const ensureWith = Effect.fnUntraced(function* (
  client: KafkaClient["Service"],
  topic: AnyTopic,
  options: EnsureOptions,
  startTimeout: Duration.Input
): Effect.fn.Return<Ensured, Exclude<EnsureTopicError, InvalidOption>, Scope.Scope> {
  const definition = definitionOf(topic, options)
  const invalid = invalidTopic(definition)
  if (invalid !== undefined) return yield* invalid
  const retry = yield* StartRetry.make(yield* TopicView.acquire(client, topic.name), startTimeout)
  if (options.create === false) yield* describeWith(retry, false)
  else if (!(yield* exists(retry)) && (yield* create(retry, definition))) {
    const { config, partitions } = definition
    yield* Effect.logInfo(
      `${topic.name}: created with ${partitions} partition${partitions === 1 ? "" : "s"}, cleanup.policy=${config["cleanup.policy"]}`
    )
    return { outcome: EnsureOutcome.Created({ partitions }), config: undefined }
  }
  const onMismatch = options.onPolicyMismatch ?? "warn"
  return onMismatch === "ignore"
    ? { outcome: EnsureOutcome.Skipped(), config: undefined }
    : yield* checkSettings(retry, definition.config, onMismatch)
})

/**
 * Creates the topic when it is missing (compacted, with the definition's partitions, replicas and settings), and checks
 * that an existing one is as declared, as far as that matters to a table; says which of it was the case.
 *
 * **When to use**
 *
 * Use at deploy time, with a principal that may create topics, where the processes that read and write may not; they
 * then start with `ensureTopic: false`. Elsewhere tables and writers do this by themselves.
 *
 * **Details**
 *
 * A topic that another process creates at the same moment is a success. Where the settings may not be read, that is
 * logged and the topic is taken as it is, unless `onPolicyMismatch` is `fail`.
 *
 * @category topics
 * @since 0.1.0
 */
export const ensureTopic: <K, V, RD, RE>(
  topic: TableTopic<K, V, RD, RE>,
  options?: EnsureOptions & StartOptions
) => Effect.Effect<EnsureOutcome, EnsureTopicError, KafkaClient> = Effect.fn("KafkaTopic.ensure")(function* (
  topic: AnyTopic,
  given: EnsureOptions & StartOptions = {}
) {
  yield* Check.taken(checkTopic, topic, undefined, "topic")
  const options = yield* Check.taken(checkOptions, given, topic.name)
  const client = yield* KafkaClient
  const startTimeout = options.startTimeout ?? DEFAULT_START_TIMEOUT
  return (yield* Effect.scoped(ensureWith(client, topic, options, startTimeout))).outcome
})
