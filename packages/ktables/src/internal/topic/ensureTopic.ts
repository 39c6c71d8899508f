/**
 * Makes sure that a table's topic is there and compacted, without leaning on the broker's auto-creation, which makes
 * topics that delete.
 */
import { type Duration, Effect, Result } from "effect"
import { KafkaClient } from "../../KafkaClient.ts"
import {
  type AuthenticationRefused,
  type ClusterRefused,
  type InvalidOption,
  type InvalidTopic,
  type NotAuthorized,
  PolicyMismatch,
  type Unreachable
} from "../../TableError.ts"
import type { TableTopic } from "../../TableTopic.ts"
import * as Check from "../options.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import * as Patience from "./patience.ts"
import { clusterRefused, isNotAuthorized, refused } from "./refusal.ts"
import { invalidTopic, MAX_REPLICAS } from "./validate.ts"

/**
 * What to do with an existing topic whose `cleanup.policy` is not exactly `compact`: nothing, not even look; log a
 * warning; fail with `PolicyMismatch`; or change that one setting.
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
  /** Default: `warn`. */
  readonly onPolicyMismatch?: OnPolicyMismatch | undefined
  /** Default: the definition's. */
  readonly partitions?: number | undefined
  /** Default: the definition's. */
  readonly replicationFactor?: number | undefined
  /** Merged over the definition's. */
  readonly config?: Readonly<Record<string, string>> | undefined
}

/** How long `ensureTopic` is patient. */
interface StartOptions {
  /** How long to look for a broker that answers. Default: 30 seconds. */
  readonly startTimeout?: Duration.Input | undefined
}

const ensureChecks: Parameters<typeof Check.record<EnsureOptions>>[0] = {
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
  | NotAuthorized
  | Unreachable
  | AuthenticationRefused
  | ClusterRefused
  | PolicyMismatch

export const DEFAULT_START_TIMEOUT: Duration.Input = "30 seconds"

/** Milliseconds that the controller gets to create a topic. */
const CREATE_TIMEOUT = 15_000

/** What ensuring found out: whether this call made the topic, and the settings of an existing one where they could be read. */
export interface Ensured {
  readonly created: boolean
  readonly config: ReadonlyMap<string, string | undefined> | undefined
}

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
  patience: Patience.Patience
): Effect.fn.Return<boolean, NotAuthorized | Patience.Impatience> {
  const { client, topic } = patience
  const result = yield* Effect.result(patience.until(client.describeTopic(topic), isUnknown))
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
  patience: Patience.Patience,
  definition: Definition
): Effect.fn.Return<boolean, NotAuthorized | Patience.Impatience> {
  const { client, topic } = patience
  const { partitions, replicationFactor, config } = definition
  const result = yield* Effect.result(
    patience.until(client.createTopic({ topic, partitions, replicationFactor, config, timeout: CREATE_TIMEOUT }))
  )
  if (Result.isSuccess(result)) return true
  const error = result.failure
  if (error._tag === "BrokerError" && error.code === ErrorCode.TOPIC_ALREADY_EXISTS) return false
  if (error._tag === "BrokerError" || error._tag === "UnsupportedRequest") {
    return yield* refused(topic, "Create", error)
  }
  return yield* error
})

const isCompact = (policy: string): boolean => policy.trim() === "compact"

const reconcile = Effect.fnUntraced(function* (
  patience: Patience.Patience,
  actual: string
): Effect.fn.Return<void, NotAuthorized | Patience.Impatience> {
  const { client, topic } = patience
  const result = yield* Effect.result(patience.until(client.alterConfig(topic, { "cleanup.policy": "compact" })))
  if (Result.isSuccess(result)) {
    return yield* Effect.logInfo(`${topic}: changed cleanup.policy from ${actual} to compact`)
  }
  const error = result.failure
  if (error._tag === "BrokerError" || error._tag === "UnsupportedRequest") {
    return yield* refused(topic, "AlterConfigs", error)
  }
  return yield* error
})

const unverified = (topic: string, why: string): Effect.Effect<undefined> =>
  Effect.as(
    Effect.logWarning(
      `${topic}: its cleanup.policy is not verified (${why}); if it is not compact, the broker deletes entries that are still wanted`
    ),
    undefined
  )

/** The settings of an existing topic, judged; undefined where they cannot be read. */
const checkPolicy = Effect.fnUntraced(function* (
  patience: Patience.Patience,
  onMismatch: Exclude<OnPolicyMismatch, "ignore">
): Effect.fn.Return<
  ReadonlyMap<string, string | undefined> | undefined,
  NotAuthorized | PolicyMismatch | Patience.Impatience
> {
  const { client, topic } = patience
  const result = yield* Effect.result(patience.until(client.describeConfig(topic)))
  if (Result.isFailure(result)) {
    const error = result.failure
    if (error._tag === "UnsupportedRequest") return yield* unverified(topic, error.message)
    if (error._tag !== "BrokerError") return yield* error
    if (isNotAuthorized(error.code)) return yield* unverified(topic, "not allowed to DescribeConfigs")
    return yield* clusterRefused(topic, error)
  }
  const config = result.success
  const actual = config.get("cleanup.policy")
  if (actual === undefined) return yield* unverified(topic, "the broker does not show it")
  if (isCompact(actual)) return config
  if (onMismatch === "reconcile") {
    yield* reconcile(patience, actual)
    return config
  }
  const mismatch = new PolicyMismatch({ topic, setting: "cleanup.policy", expected: "compact", actual })
  if (onMismatch === "fail") return yield* mismatch
  yield* Effect.logWarning(mismatch.message)
  return config
})

/** Creates the topic when it is missing, else judges its policy. */
export const ensureWith = Effect.fnUntraced(function* (
  client: KafkaClient["Service"],
  topic: AnyTopic,
  options: EnsureOptions,
  startTimeout: Duration.Input
): Effect.fn.Return<Ensured, Exclude<EnsureTopicError, InvalidOption>> {
  const definition = definitionOf(topic, options)
  const invalid = invalidTopic(definition)
  if (invalid !== undefined) return yield* invalid
  const patience = yield* Patience.make(client, topic.name, startTimeout)
  if (!(yield* exists(patience)) && (yield* create(patience, definition))) return { created: true, config: undefined }
  const onMismatch = options.onPolicyMismatch ?? "warn"
  return {
    created: false,
    config: onMismatch === "ignore" ? undefined : yield* checkPolicy(patience, onMismatch)
  }
})

/**
 * Creates the topic when it is missing (compacted, with the definition's partitions, replicas and settings), and checks
 * that an existing one is compacted.
 *
 * **When to use**
 *
 * Use at deploy time, with a principal that may create topics, where the processes that read and write may not; they
 * then start with `ensureTopic: false`. Elsewhere tables and writers do this by themselves.
 *
 * **Details**
 *
 * A topic that another process creates at the same moment is a success. Where the settings may not be read, that is
 * logged and the topic is taken as it is.
 *
 * **Example** (Ensure a topic at deploy time)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 *
 * export const deploy = TableTopic.ensureTopic(prices, { onPolicyMismatch: "fail" })
 * ```
 *
 * @category topics
 * @since 0.1.0
 */
export const ensureTopic: <K, V, RD, RE>(
  topic: TableTopic<K, V, RD, RE>,
  options?: EnsureOptions & StartOptions
) => Effect.Effect<void, EnsureTopicError, KafkaClient> = Effect.fn("TableTopic.ensureTopic")(function* (
  topic: AnyTopic,
  options: EnsureOptions & StartOptions = {}
) {
  yield* Check.checked(checkOptions, options, topic.name)
  const client = yield* KafkaClient
  yield* ensureWith(client, topic, options, options.startTimeout ?? DEFAULT_START_TIMEOUT)
})
