/** Stays connected: asks again after every end, sooner at first, and at once when somebody knows better. */
import { EventParser } from "./events.ts"
import { yieldToPage } from "./turns.ts"
import { type Message, messageOf, type ServedTable } from "./wire.ts"

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
const LISTING = 1000
/** Work between two chances for the page to draw. */
const SLICE = 8

const reasonOf = (cause: unknown): string => (cause instanceof Refused ? cause.message : "The server does not answer.")

/** The server answered, and not with what was asked for. */
class Refused extends Error {}

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
      try {
        await attempt(end.signal, () => {
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
  throw new Refused(
    response.status === 404
      ? "The server does not serve this table any more."
      : `The server answers ${response.status}${response.statusText === "" ? "" : ` ${response.statusText}`}.`
  )
}

/** Asks for the list of tables every second. */
export const listTables = (options: {
  readonly onTables: (tables: ReadonlyArray<ServedTable>) => void
  readonly onConnection: (connection: Connection) => void
}): Following =>
  keepTrying(async (end, alive) => {
    while (!end.aborted) {
      const response = await get("tables", AbortSignal.any([end, AbortSignal.timeout(PATIENCE)]), {
        accept: "application/json"
      })
      options.onTables(((await response.json()) as { readonly tables: ReadonlyArray<ServedTable> }).tables)
      alive()
      await new Promise((resolve) => setTimeout(resolve, LISTING))
    }
  }, options.onConnection)

/** Follows the changes of a table. */
export const follow = (
  table: string,
  options: {
    readonly onMessage: (message: Message) => void
    readonly onConnection: (connection: Connection) => void
  }
): Following => {
  /** The event from which the server may go on. */
  let last: string | undefined
  return keepTrying(async (end, alive) => {
    const silence = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    let patience = PATIENCE
    const heard = () => {
      clearTimeout(timer)
      timer = setTimeout(() => silence.abort(), patience)
    }
    try {
      heard()
      const response = await get(
        `tables/${encodeURIComponent(table)}/changes`,
        AbortSignal.any([end, silence.signal]),
        last === undefined ? { accept: "text/event-stream" } : { accept: "text/event-stream", "last-event-id": last }
      )
      alive()
      const parser = new EventParser()
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
      let since = performance.now()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return
        heard()
        for (const event of parser.push(value)) {
          const message = messageOf(event)
          if (message === undefined) continue
          if (message._tag === "Snapshot" || message._tag === "Resumed") patience = message.silence
          options.onMessage(message)
          // What is cut within a snapshot begins again: nothing in it has an id.
          if (event.id !== undefined) last = event.id
          else if (message._tag === "Snapshot") last = undefined
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
