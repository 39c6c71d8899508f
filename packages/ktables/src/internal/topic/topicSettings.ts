/**
 * A topic's settings as DescribeConfigs tells them, and what it means that it does not; and how long the topic keeps
 * tombstones (`delete.retention.ms`), one value for all tables of a client.
 */
import { Effect, Result, type Scope, Semaphore } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { BrokerError, KafkaError, UnsupportedRequest } from "../../KafkaError.ts"
import { Listeners } from "./listeners.ts"
import { isNotAuthorized } from "./refusal.ts"
import type { Settings } from "./settings.ts"

/** Answers in a row that may fail by what passes, before the settings count as unreadable. */
const PATIENT = 4
/** Milliseconds until refused settings are asked for again. */
const REFUSED = 600_000
/** Milliseconds between two attempts at least: all tables of the client ask here. */
const PACE = 1000

/** A refusal that lasts: this principal may not read the settings, or the cluster does not tell them. */
export type Refusal = BrokerError | UnsupportedRequest

/** Why the settings cannot be read and will not be; undefined for what passes by itself. */
export const refusalOf = (error: KafkaError): Refusal | undefined =>
  error._tag === "UnsupportedRequest" || (error._tag === "BrokerError" && !error.isRetriable) ? error : undefined

/** The setting of a name, or a sentence on why there is none. */
export const settingOf = (settings: Settings, name: string): { readonly value: string } | { readonly why: string } => {
  const value = settings.get(name)
  return value === undefined ? { why: `the broker does not show ${name}` } : { value }
}

export interface TopicSettings {
  /** Reads all settings. */
  readonly read: Effect.Effect<Settings, KafkaError>
  /** Milliseconds for which tombstones are kept, as the topic said last; undefined before it did. */
  readonly retention: () => number | undefined
  /** Why the retention cannot be read; undefined as long as there may be an answer. */
  readonly refusal: () => string | undefined
  /** What was logged of the retention and of a refusal, by whichever table of the client: each is logged once. */
  readonly said: { retention: number | undefined; refusal: string | undefined }
  /** Reads the retention, unless that happened in the last `maxAge` milliseconds, or was refused a while ago. */
  readonly learn: (maxAge: number) => Effect.Effect<void>
  /** Calls `listener` with each answer about the retention, in the step in which it counts, until the scope closes. */
  readonly subscribe: (listener: () => void) => Effect.Effect<void, never, Scope.Scope>
  /** The name is another topic's: nothing is known of it. */
  readonly forget: () => void
}

export const make = (client: KafkaClient.Service, topic: string, now: () => number): TopicSettings => {
  const listeners = new Listeners()
  const one = Semaphore.makeUnsafe(1)
  let retention: number | undefined
  let refusal: string | undefined
  /** When the last answer about it came, in milliseconds of the monotonic clock. */
  let learnedAt = Number.NEGATIVE_INFINITY
  const said: TopicSettings["said"] = { retention: undefined, refusal: undefined }
  let failures = 0
  let triedAt = Number.NEGATIVE_INFINITY

  const tell = (): void => {
    failures = 0
    learnedAt = now()
    listeners.call()
  }
  const refused = (why: string): void => {
    refusal = why
    tell()
  }

  const learned = (settings: Settings): void => {
    const setting = settingOf(settings, "delete.retention.ms")
    const millis = "value" in setting ? Number(setting.value) : Number.NaN
    if (!Number.isFinite(millis)) return refused("why" in setting ? setting.why : `it is ${setting.value}`)
    retention = millis
    refusal = undefined
    tell()
  }

  const failed = (error: KafkaError): void => {
    const lasting = refusalOf(error)
    if (lasting?._tag === "BrokerError" && isNotAuthorized(lasting.code))
      return refused("not allowed to DescribeConfigs")
    // A broker that never says is as one that refuses; what was said once is asked for again.
    if (lasting === undefined && (retention !== undefined || ++failures < PATIENT)) return
    refused(error.message)
  }

  const read = Effect.tap(client.describeConfig(topic), (settings) => Effect.sync(() => learned(settings)))

  return {
    read,
    retention: () => retention,
    refusal: () => refusal,
    said,
    learn: (maxAge) =>
      one.withPermit(
        Effect.suspend(() => {
          const isRecent = now() - learnedAt < (refusal === undefined ? maxAge : REFUSED)
          if (isRecent || now() - triedAt < PACE) return Effect.void
          triedAt = now()
          return Effect.map(Effect.result(read), (result) => {
            if (Result.isFailure(result)) failed(result.failure)
          })
        })
      ),
    subscribe: listeners.subscribe,
    forget: () => {
      retention = undefined
      refusal = undefined
      said.retention = said.refusal = undefined
      failures = 0
      learnedAt = triedAt = Number.NEGATIVE_INFINITY
    }
  }
}
