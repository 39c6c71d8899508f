/**
 * A copy's side of the events: where it is, what it asks for, and what each event makes of that. It holds no entries: what
 * they are kept in is the copy's own. It runs in browsers, and is all that `RemoteTable` and the page know of the protocol.
 */
import * as TablePosition from "effect-ktables/TablePosition"
import type { ServerEvent } from "./eventStream.ts"
import * as Wire from "./wire.ts"

/** Where a copy is: the position of what it shows, and the event that brought it there. */
export interface Place {
  readonly position: TablePosition.TablePosition
  /** Undefined before the first snapshot is complete. */
  readonly event: string | undefined
}

export const nowhere: Place = { position: [], event: undefined }

/** The longest tokens that go into a URL and into a header. */
const LONGEST_QUERY = 4096
const LONGEST_HEADER = 12_288
/** Keep-alives after which a server that says nothing counts as gone. */
const PATIENCE = 2.5

/**
 * What a copy asks for, so that it goes on where it is, on a server that has come as far.
 *
 * @param wait how long the server may take to come there
 */
export const requestOf = (
  { event, position }: Place,
  wait: string
): { readonly query: URLSearchParams; readonly headers: Record<string, string> } => {
  const query = new URLSearchParams()
  const headers: Record<string, string> = { accept: "text/event-stream" }
  if (event !== undefined) {
    query.set("since", event)
    query.set("wait", wait)
    const token = Wire.positionToken(position)
    if (token.length <= LONGEST_QUERY) query.set("at", token)
    else if (token.length <= LONGEST_HEADER) headers["ktables-at"] = token
  }
  return { query, headers }
}

/** What a copy is to do. */
export type Message =
  /** To forget what it has gathered, and to gather. */
  | { readonly _tag: "Begun"; readonly size: number }
  /** To gather these. */
  | { readonly _tag: "Entries"; readonly entries: ReadonlyArray<Wire.WireEntry> }
  /** To show what it has gathered, and nothing else. */
  | { readonly _tag: "Replaced"; readonly place: Place; readonly isReset: boolean; readonly status: Wire.WireStatus }
  /** To apply what it has gathered and then these, in one step. */
  | {
      readonly _tag: "Changed"
      readonly place: Place
      readonly isReset: boolean
      readonly entries: ReadonlyArray<Wire.WireEntry>
    }
  | { readonly _tag: "Status"; readonly place: Place; readonly status: Wire.WireStatus }
  /** It goes on where it was. */
  | { readonly _tag: "Resumed"; readonly status: Wire.WireStatus }
  /** To show nothing of this server, which has less than the copy shows. */
  | { readonly _tag: "Older" }

/** The events of one connection. */
export class Connection {
  #keepAlive = 15_000
  #isReset = false

  /** Milliseconds without a byte after which the server counts as gone. */
  get silence(): number {
    return Math.max(PATIENCE * this.#keepAlive, 1000)
  }

  /** What an event means to a copy that is at `place`; undefined where it means nothing. Throws where it is not JSON. */
  read({ position, event: at }: Place, { data, event, id = at }: ServerEvent): Message | undefined {
    const json: unknown = JSON.parse(data)
    switch (event) {
      case "snapshot": {
        const { keepAlive, reset, size } = json as Wire.SnapshotBegin
        this.#keepAlive = keepAlive
        this.#isReset = reset
        return { _tag: "Begun", size }
      }
      case "entries":
        return { _tag: "Entries", entries: json as ReadonlyArray<Wire.WireEntry> }
      case "caughtup": {
        const { at, status } = json as Wire.CaughtUp
        const next = Wire.fromWire(at)
        const isReset = this.#isReset
        return isReset || TablePosition.relation(next, position) === "has"
          ? { _tag: "Replaced", place: { position: next, event: id }, isReset, status }
          : { _tag: "Older" }
      }
      case "changes": {
        const { at, changes, reset: isReset = false } = json as Wire.Changes
        const next = Wire.movedBy(position, Wire.fromWire(at))
        return isReset || TablePosition.relation(next, position) === "has"
          ? { _tag: "Changed", place: { position: next, event: id }, isReset, entries: changes }
          : { _tag: "Older" }
      }
      case "status":
        return { _tag: "Status", place: { position, event: id }, status: json as Wire.WireStatus }
      case "resumed": {
        const { keepAlive, status } = json as Wire.Resumed
        this.#keepAlive = keepAlive
        return { _tag: "Resumed", status }
      }
      default:
        return undefined
    }
  }
}
