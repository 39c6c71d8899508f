/** Where producer identities come from, and what a writer does where it may not have one. */
import { Effect, Result } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { BrokerError, UnsupportedRequest } from "../../KafkaError.ts"
import { ClusterRefused, NotAuthorized } from "../../TableError.ts"
import { differs } from "../differs.ts"
import { isUnspecific } from "../protocol/errorCodes.ts"
import { backoff } from "../backoff.ts"
import { clusterRefused, isNotAuthorized } from "../topic/refusal.ts"
import type * as StartRetry from "../topic/startRetry.ts"
import type { SeenTopic } from "../topic/topicView.ts"
import { type Identity, NOWHERE, plain } from "./sequence.ts"

/** `auto` falls back to writing without where the cluster does not grant it; `required` fails there; `off` never asks. */
export type Idempotence = "auto" | "required" | "off"

/** A cluster that does not grant idempotence, said once and loudly. */
export const warnNotIdempotent = (topic: string, why: string): Effect.Effect<void> =>
  Effect.logWarning(
    `${topic}: writing without idempotence (${why}): guarantee 10 does not hold, a write that is retried after a lost answer may be in the log twice; grant IdempotentWrite on the cluster, or say idempotence "off"`
  )

/** The typed refusal where idempotence is required. */
export const notGranted = (topic: string, error: BrokerError | UnsupportedRequest): NotAuthorized | ClusterRefused =>
  error._tag === "BrokerError" && isNotAuthorized(error.code)
    ? notAuthorized(topic, error.message, "required")
    : new ClusterRefused({ topic, detail: `${error.message}; ${insists}`, cause: error })

/** The ACL that is missing, and why it matters. */
export const notAuthorized = (topic: string, detail: string, idempotence: Idempotence): NotAuthorized =>
  new NotAuthorized({
    topic,
    operation: "IdempotentWrite",
    detail: idempotence === "required" ? `${detail}; ${insists}` : detail
  })

const insists = 'the writer was made with idempotence "required"'

/** True where a writer that does not insist goes on without idempotence. */
export const mayGoWithout = (error: BrokerError | UnsupportedRequest): boolean =>
  error._tag === "UnsupportedRequest" || isNotAuthorized(error.code)

/** An identity that numbers batches of the topic, unless it is of another cluster than the one that described the topic. */
export const granted = (
  { clusterId, producerEpoch, producerId }: KafkaClient.GrantedIdentity,
  seen: SeenTopic
): Identity => ({
  producerId,
  producerEpoch,
  sequence: 0,
  generation: differs(clusterId, seen.clusterId) ? NOWHERE : seen.generation
})

/** How often an answer that says nothing of its reason is given before it is taken for "no such thing" (Tansu's, for one). */
const REPETITIONS = 3

const isUnspecificAnswer = (error: BrokerError | UnsupportedRequest | StartRetry.GivenUp): boolean =>
  error._tag === "BrokerError" && isUnspecific(error.code)

/** The identity that a writer starts with. */
export const first = Effect.fnUntraced(function* (
  retry: StartRetry.StartRetry,
  seen: SeenTopic,
  idempotence: Idempotence
): Effect.fn.Return<Identity, NotAuthorized | StartRetry.GivenUp> {
  if (idempotence === "off") return plain()
  const { client, topic } = retry
  const ask = Effect.result(retry.until(client.initProducerId))
  let result = yield* ask
  for (let answers = 1; answers < REPETITIONS; answers++) {
    if (Result.isSuccess(result) || !isUnspecificAnswer(result.failure)) break
    yield* backoff(answers)
    result = yield* ask
  }
  if (Result.isSuccess(result)) return granted(result.success, seen)
  const error = result.failure
  if (error._tag !== "BrokerError" && error._tag !== "UnsupportedRequest") return yield* error
  if (!mayGoWithout(error) && !isUnspecificAnswer(error)) return yield* clusterRefused(topic, error)
  if (idempotence === "required") return yield* notGranted(topic, error)
  yield* warnNotIdempotent(topic, error.message)
  return plain()
})
