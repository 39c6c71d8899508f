/** A client of server-sent events as others than ours are: it reads a response, and gathers what it says. */
import { Effect, type Scope } from "effect"

export interface ServerEvent {
  readonly event: string
  readonly id: string | undefined
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly data: any
}

export interface EventReader {
  readonly events: ReadonlyArray<ServerEvent>
  readonly status: number
  readonly headers: Headers
  /** Whether the server has ended it. */
  readonly isOver: () => boolean
  /** Waits until what was read satisfies something. */
  readonly until: <A>(find: (events: ReadonlyArray<ServerEvent>) => A | undefined) => Effect.Effect<A>
  /** The entries as of what was read. */
  readonly entries: () => Record<string, unknown>
  readonly close: () => void
}

export const parse = (text: string): ServerEvent => {
  const field = (name: string) =>
    text
      .split("\n")
      .filter((line) => line.startsWith(`${name}: `))
      .map((line) => line.slice(name.length + 2))
      .join("\n")
  return { event: field("event"), id: field("id") || undefined, data: JSON.parse(field("data")) }
}

/** Applies events as the page on HTTP says. */
export const applied = (events: ReadonlyArray<ServerEvent>): Record<string, unknown> => {
  let entries = new Map<string, unknown>()
  let gathered: Array<readonly [string, unknown?]> = []
  const apply = (changes: ReadonlyArray<readonly [string, unknown?]>) => {
    for (const change of changes) {
      if (change.length === 1) entries.delete(change[0])
      else entries.set(change[0], change[1])
    }
  }
  for (const { data, event } of events) {
    if (event === "snapshot") gathered = []
    if (event === "entries") gathered.push(...data)
    if (event === "caughtup") {
      entries = new Map()
      apply(gathered)
      gathered = []
    }
    if (event === "changes") {
      apply([...gathered, ...data.changes])
      gathered = []
    }
  }
  return Object.fromEntries(entries)
}

export const open = (
  url: string,
  headers: Record<string, string> = {}
): Effect.Effect<EventReader, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const abort = new AbortController()
      const response = await fetch(url, { headers, signal: abort.signal })
      const events: Array<ServerEvent> = []
      const looks = new Set<() => void>()
      let over = false
      const read = async () => {
        let rest = ""
        const decoder = new TextDecoder()
        for await (const chunk of response.body!) {
          const parts = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split("\n\n")
          rest = parts.pop()!
          for (const part of parts) events.push(parse(part))
          for (const look of looks) look()
        }
      }
      read()
        .catch(() => {})
        .finally(() => {
          over = true
          for (const look of looks) look()
        })
      const reader: EventReader = {
        events,
        status: response.status,
        headers: response.headers,
        isOver: () => over,
        until: (find) =>
          Effect.callback((resume) => {
            const look = () => {
              const found = find(events)
              if (found === undefined) return
              looks.delete(look)
              resume(Effect.succeed(found))
            }
            looks.add(look)
            look()
            return Effect.sync(() => looks.delete(look))
          }),
        entries: () => applied(events),
        close: () => abort.abort()
      }
      return reader
    }),
    (reader) => Effect.sync(() => reader.close())
  )

/** The last event of a kind that satisfies something. */
export const last =
  (event: string, isIt: (one: ServerEvent) => boolean = () => true) =>
  (events: ReadonlyArray<ServerEvent>): ServerEvent | undefined =>
    events.findLast((one) => one.event === event && isIt(one))
