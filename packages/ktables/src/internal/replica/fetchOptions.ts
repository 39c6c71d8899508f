/** How a topic is fetched: what may be given, and what it comes to. */
import { Duration } from "effect"
import type { FetchSettings } from "../log/session.ts"
import * as Check from "../options.ts"

/**
 * How the topic is fetched.
 *
 * @category options
 * @since 0.1.0
 */
export interface FetchOptions {
  /** How long a broker holds an answer back while there is nothing new. Default: 5 seconds. */
  readonly maxWait?: Duration.Input | undefined
  /** Bytes that end that wait. Default: 1. */
  readonly minBytes?: number | undefined
  /** Bytes per answer. Default: 16 MiB. */
  readonly maxBytes?: number | undefined
  /** Bytes per partition and answer; a larger single batch still comes whole. Default: 1 MiB. */
  readonly maxPartitionBytes?: number | undefined
}

export const checkFetch = Check.record<FetchOptions>({
  maxWait: Check.duration({ min: 1 }),
  minBytes: Check.integer({ min: 1, max: Check.MAX_INT32 }),
  maxBytes: Check.integer({ min: 1, max: Check.MAX_INT32 }),
  maxPartitionBytes: Check.integer({ min: 1, max: Check.MAX_INT32 })
})

export const fetchSettingsOf = (
  fetch: FetchOptions = {}
): Pick<FetchSettings, "maxWait" | "minBytes" | "maxBytes" | "maxPartitionBytes"> => ({
  maxWait: Duration.toMillis(fetch.maxWait ?? "5 seconds"),
  minBytes: fetch.minBytes ?? 1,
  maxBytes: fetch.maxBytes ?? 16 * 1024 * 1024,
  maxPartitionBytes: fetch.maxPartitionBytes ?? 1024 * 1024
})
