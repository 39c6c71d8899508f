/** Stays connected: asks again after every end, sooner at first, and at once when somebody knows better. */
import * as Copy from "../../http/src/internal/copy.ts"
import { EventParser } from "../../http/src/internal/eventStream.ts"
import type { WireTable } from "../../http/src/internal/wire.ts"
import { yieldToPage } from "./turns.ts"

export type Connection =
  | { readonly _tag: "Connecting" }
  | { readonly _tag: "Live" }
  | { readonly _tag: "Lost"; readonly since: number; readonly retryAt: number; readonly reason: string }

export interface Following {
  /** Does not wait for the next attempt. */
  readonly retry: () => void
  readonly close: () => void
}

const FIRST_WAIT = 400
const LONGEST_WAIT = 5000
/** Milliseconds without an answer after which a server is taken for gone. */
const PATIENCE = 10_000
/** How long a server may take to come as far as this page. */
const SERVER_WAIT = "2s"
const LISTING = 1000
/** Work between two chances for the page to draw. */
const SLICE = 8

const reasonOf = (cause: unknown): string => (cause instanceof Refused ? cause.message : "The server does not answer.")

/** The server answered, and not with what was asked for. */
class Refused extends Error {}

const OLDER = "The server has not come as far as this page."

/** Runs an attempt after every end of the one before it. */
const keepTrying = (
  attempt: (signal: AbortSignal, alive: () => void) => Promise<void>,
  onConnection: (connection: Connection) => void
): Following => {
  const end = new AbortController()
  let wake: (() => void) | undefined
  const pause = (millis: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, millis)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  const run = async () => {
    let wait = FIRST_WAIT
    let since: number | undefined
    while (!end.signal.aborted) {
      let reason = "The server ended the connection."
      let isLive = false
      try {
        await attempt(end.signal, () => {
          if (isLive) return
          isLive = true
          wait = FIRST_WAIT
          since = undefined
          onConnection({ _tag: "Live" })
        })
      } catch (cause) {
        reason = reasonOf(cause)
      }
      if (end.signal.aborted) return
      since ??= Date.now()
      onConnection({ _tag: "Lost", since, retryAt: Date.now() + wait, reason })
      await pause(wait)
      wait = Math.min(wait * 2, LONGEST_WAIT)
    }
  }
  void run()
  return {
    retry: () => wake?.(),
    close: () => {
      end.abort()
      wake?.()
    }
  }
}

const get = async (path: string, signal: AbortSignal, headers: Record<string, string>): Promise<Response> => {
  const response = await fetch(path, { signal, headers, cache: "no-store" })
  if (response.ok) return response
  const { error }: { readonly error?: string } = await response.json().catch(() => ({}))
  throw new Refused(
    error === "NotYet"
      ? OLDER
      : response.status === 404
        ? "The server does not serve this table any more."
        : `The server answers ${response.status}${response.statusText === "" ? "" : ` ${response.statusText}`}.`
  )
}

/** Asks for the list of tables every second. */
export const listTables = (options: {
  readonly onTables: (tables: ReadonlyArray<WireTable>) => void
  readonly onConnection: (connection: Connection) => void
}): Following =>
  keepTrying(async (end, alive) => {
    while (!end.aborted) {
      const response = await get("tables", AbortSignal.any([end, AbortSignal.timeout(PATIENCE)]), {
        accept: "application/json"
      })
      options.onTables(((await response.json()) as { readonly tables: ReadonlyArray<WireTable> }).tables)
      alive()
      await new Promise((resolve) => setTimeout(resolve, LISTING))
    }
  }, options.onConnection)

/** Follows the changes of a table. A server that has less than what is shown is asked again. */
export const follow = (
  table: string,
  options: {
    /** What it does with a message is done when the promise is. */
    readonly onMessage: (message: Copy.Message) => Promise<void> | void
    readonly onConnection: (connection: Connection) => void
  }
): Following => {
  let place = Copy.nowhere
  return keepTrying(async (end, alive) => {
    const silence = new AbortController()
    const ended = AbortSignal.any([end, silence.signal])
    const events = new Copy.Connection()
    let timer: ReturnType<typeof setTimeout> | undefined
    const heard = (patience: number) => {
      clearTimeout(timer)
      timer = setTimeout(() => silence.abort(), patience)
    }
    try {
      heard(PATIENCE)
      const { headers, query } = Copy.requestOf(place, SERVER_WAIT)
      const response = await get(`tables/${encodeURIComponent(table)}/changes?${query}`, ended, headers)
      const parser = new EventParser()
      const reader = response.body!.getReader()
      let since = performance.now()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return
        heard(events.silence)
        for (const event of parser.push(value)) {
          const message = events.read(place, event)
          if (message === undefined) continue
          if (message._tag === "Older") throw new Refused(OLDER)
          await options.onMessage(message)
          if (ended.aborted) return
          if ("place" in message) place = message.place
          // The first snapshot is shown as it comes, and any other once it is known to be no older.
          if (place.event !== undefined || message._tag === "Begun") alive()
          heard(events.silence)
          if (performance.now() - since < SLICE) continue
          await yieldToPage()
          since = performance.now()
        }
      }
    } finally {
      clearTimeout(timer)
      silence.abort()
    }
  }, options.onConnection)
}
