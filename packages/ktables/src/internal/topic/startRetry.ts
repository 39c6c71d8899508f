/**
 * How long a start waits for a cluster: attempts repeat while brokers are away or busy, and end with an error that
 * names every address and its last cause.
 */
import { monotonic } from "../moment.ts"
import { Duration, Effect, Option, Result } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { BrokerError, KafkaError, UnsupportedRequest } from "../../KafkaError.ts"
import { type AuthenticationRefused, ClusterRefused, Unreachable } from "../../TableError.ts"
import { backoff } from "../backoff.ts"
import { authenticationRefused, clusterRefused } from "./refusal.ts"
import type { TopicView } from "./topicView.ts"

/** Milliseconds without an answer before it is said in the log. */
const SILENCE = 3000

/** What ends a start whatever it was doing. */
export type GivenUp = Unreachable | AuthenticationRefused | ClusterRefused

export interface StartRetry {
  readonly client: KafkaClient.Service
  readonly topic: string
  readonly view: TopicView
  /**
   * Runs `attempt` until it succeeds. Answers that retrying does not cure, and those that `isFinal` names, are the
   * caller's to judge. Each answer for the caller starts the time again, so a cluster that came late still gets the whole of it.
   */
  readonly until: <A>(
    attempt: Effect.Effect<A, KafkaError>,
    isFinal?: (error: BrokerError) => boolean
  ) => Effect.Effect<A, BrokerError | UnsupportedRequest | GivenUp>
}

export const make = Effect.fnUntraced(function* (
  view: TopicView,
  startTimeout: Duration.Input
): Effect.fn.Return<StartRetry> {
  const { client, topic } = view
  const timeout = Duration.toMillis(startTimeout)
  const causes = new Map(client.addresses.map((address) => [address, "no answer"]))
  /** Whether a warning was logged that nobody answers: once is enough. */
  let isSaid = false
  /** Whether a broker has answered at all, if only that it is not ready. */
  let isHeard = false
  let since = yield* monotonic

  const note = (error: KafkaError): void => {
    if (error._tag === "BrokersUnreachable")
      for (const broker of error.brokers) causes.set(broker.address, broker.cause)
    else if (error._tag === "ConnectionFailed") causes.set(error.broker, error.detail)
    else causes.set(error.broker, error.message)
  }

  const silence = Effect.gen(function* () {
    yield* Effect.sleep(Math.max(0, since + SILENCE - (yield* monotonic)))
    const addresses = Array.from(causes, ([address, cause]) => `${address} (${cause})`).join(", ")
    const what = isHeard ? "brokers have answered nothing of use" : "no broker has answered"
    yield* Effect.logWarning(
      `${topic}: ${what} for ${SILENCE / 1000} s: ${addresses}; trying for ${timeout / 1000} s in all`
    )
    isSaid = true
    return yield* Effect.never
  })

  const attemptUntil: StartRetry["until"] = Effect.fnUntraced(function* (attempt, isFinal) {
    let answer: BrokerError | undefined
    for (let failures = 1; ; failures++) {
      const left = since + timeout - (yield* monotonic)
      if (left > 0) {
        const result = yield* Effect.result(Effect.timeoutOption(attempt, left))
        if (Result.isSuccess(result)) {
          if (Option.isSome(result.success)) {
            since = yield* monotonic
            return result.success.value
          }
        } else {
          const error = result.failure
          answer = undefined
          switch (error._tag) {
            case "AuthenticationFailed":
              return yield* authenticationRefused(topic, error)
            case "MalformedAnswer":
              return yield* clusterRefused(topic, error)
            case "UnsupportedRequest":
              return yield* error
            case "BrokerError":
              if (isFinal?.(error) === true || !error.isRetriable) {
                since = yield* monotonic
                return yield* error
              }
              answer = error
              isHeard = true
          }
          note(error)
          const wait = since + timeout - (yield* monotonic)
          if (wait > 0) {
            yield* Effect.timeoutOption(backoff(failures), wait)
            continue
          }
        }
      }
      const waited = Math.round((yield* monotonic) - since)
      if (answer !== undefined) {
        const detail = `not ready after ${waited} ms: ${answer.message}`
        return yield* new ClusterRefused({ topic, detail, cause: answer })
      }
      const brokers = Array.from(causes, ([address, cause]) => ({ address, cause }))
      return yield* new Unreachable({ topic, waited, brokers })
    }
  })

  const until: StartRetry["until"] = (attempt, isFinal) =>
    Effect.suspend(() =>
      isSaid ? attemptUntil(attempt, isFinal) : Effect.raceFirst(attemptUntil(attempt, isFinal), silence)
    )

  return { client, topic, view, until }
})
