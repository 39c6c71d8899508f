/** What the server says: `GET tables`, and the events of `GET tables/:name/changes`. */
import type { ServerEvent } from "./events.ts"
import { Raw } from "./json.ts"

/** Where a table stands on the server. */
export interface ServerStatus {
  readonly _tag: "Loading" | "CaughtUp" | "Degraded" | "Rebuilding" | "Failed" | "Closed"
  readonly replayed?: number
  readonly target?: number
  /** Why it is rebuilt, or has failed. */
  readonly reason?: string
}

export interface ServedTable {
  readonly name: string
  readonly size: number
  readonly status: ServerStatus
  /** Records that are still to be read; null where the table is of no topic. */
  readonly lag: number | null
  /** How far it has come, as a token. */
  readonly at: string
}

/** Where a position stands, as the sum of its offsets: what it grows by is the number of records that were read. */
export const offsetsOf = (token: string): number => {
  const json = atob(token.replaceAll("-", "+").replaceAll("_", "/"))
  const topics = JSON.parse(json) as ReadonlyArray<
    readonly [topic: string, topicId: string | null, partitions: ReadonlyArray<readonly [id: number, offset: number]>]
  >
  return topics.reduce((sum, [, , partitions]) => partitions.reduce((sum, [, offset]) => sum + offset, sum), 0)
}

/** A key and its value; no value where the key was deleted. */
export type Entry = readonly [key: string] | readonly [key: string, value: unknown]

export type Message =
  /** A snapshot begins; `size` entries are to come. */
  | { readonly _tag: "Snapshot"; readonly size: number; readonly silence: number }
  /** Nothing was missed since the last message. */
  | { readonly _tag: "Resumed"; readonly status: ServerStatus; readonly silence: number }
  /** Entries of the snapshot that is being read, or changes of which the rest is to come. */
  | { readonly _tag: "Entries"; readonly entries: ReadonlyArray<Entry> }
  | { readonly _tag: "CaughtUp"; readonly status: ServerStatus }
  | { readonly _tag: "Changes"; readonly entries: ReadonlyArray<Entry> }
  | { readonly _tag: "Status"; readonly status: ServerStatus }

type WireEntry = readonly [key: string] | readonly [key: string, value: unknown, form?: "text" | "base64"]

const entryOf = (entry: WireEntry): Entry =>
  entry.length === 1 ? entry : [entry[0], entry[2] === undefined ? entry[1] : new Raw(String(entry[1]), entry[2])]

/** Keep-alives that may fail to come before the server is taken for gone. */
const MISSED = 3

export const messageOf = ({ data, event }: ServerEvent): Message | undefined => {
  const body = () => JSON.parse(data) as never
  switch (event) {
    case "snapshot": {
      const { keepAlive, size }: { readonly size: number; readonly keepAlive: number } = body()
      return { _tag: "Snapshot", size, silence: keepAlive * MISSED }
    }
    case "resumed": {
      const { keepAlive, status }: { readonly status: ServerStatus; readonly keepAlive: number } = body()
      return { _tag: "Resumed", status, silence: keepAlive * MISSED }
    }
    case "entries":
      return { _tag: "Entries", entries: (body() as ReadonlyArray<WireEntry>).map(entryOf) }
    case "caughtup":
      return { _tag: "CaughtUp", status: (body() as { readonly status: ServerStatus }).status }
    case "changes":
      return {
        _tag: "Changes",
        entries: (body() as { readonly changes: ReadonlyArray<WireEntry> }).changes.map(entryOf)
      }
    case "status":
      return { _tag: "Status", status: body() }
    default:
      return undefined
  }
}
