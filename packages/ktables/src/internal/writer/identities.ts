/** Where producer identities come from, and what a writer does where it may not have one. */
import { Effect, Result } from "effect"
import type { BrokerError, UnsupportedRequest } from "../../KafkaError.ts"
import { type ClusterRefused, NotAuthorized } from "../../TableError.ts"
import type * as Patience from "../topic/patience.ts"
import { clusterRefused, isNotAuthorized } from "../topic/refusal.ts"
import { type Identity, plain } from "./sequence.ts"

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
    ? new NotAuthorized({ topic, operation: "IdempotentWrite", detail: error.message })
    : clusterRefused(topic, error)

/** True where a writer that does not insist goes on without idempotence. */
export const mayGoWithout = (error: BrokerError | UnsupportedRequest): boolean =>
  error._tag === "UnsupportedRequest" || isNotAuthorized(error.code)

/** The identity that a writer starts with. */
export const first = Effect.fnUntraced(function* (
  patience: Patience.Patience,
  idempotence: Idempotence
): Effect.fn.Return<Identity, NotAuthorized | Patience.Impatience> {
  if (idempotence === "off") return plain()
  const { client, topic } = patience
  const result = yield* Effect.result(patience.until(client.initProducerId))
  if (Result.isSuccess(result)) return { ...result.success, sequence: 0 }
  const error = result.failure
  if (error._tag !== "BrokerError" && error._tag !== "UnsupportedRequest") return yield* error
  if (idempotence === "required" || !mayGoWithout(error)) return yield* notGranted(topic, error)
  yield* warnNotIdempotent(topic, error.message)
  return plain()
})
