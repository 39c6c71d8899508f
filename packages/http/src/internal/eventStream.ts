/** Takes a stream of server-sent events apart, as it comes in pieces. */

export interface ServerEvent {
  readonly event: string
  readonly id: string | undefined
  readonly data: string
}

/** Characters that an event may have. */
const LONGEST = 256 * 1024 * 1024

export class EventParser {
  readonly #decoder = new TextDecoder()
  #rest = ""

  /** The events that end in a piece. */
  push(bytes: Uint8Array): ReadonlyArray<ServerEvent> {
    const text = this.#decoder.decode(bytes, { stream: true })
    // Proxies may write lines their own way.
    const parts = (this.#rest + text.replaceAll("\r", "")).split("\n\n")
    this.#rest = parts.pop()!
    if (this.#rest.length > LONGEST) throw new Error("an event has no end")
    return parts.flatMap((part) => {
      let event = ""
      let id: string | undefined
      let data = ""
      for (const line of part.split("\n")) {
        if (line.startsWith("data: ")) data = line.slice(6)
        else if (line.startsWith("event: ")) event = line.slice(7)
        else if (line.startsWith("id: ")) id = line.slice(4)
      }
      return event === "" ? [] : [{ event, id, data }]
    })
  }
}
