/** Server-sent events as `fetch` gives them: https://html.spec.whatwg.org/multipage/server-sent-events.html. */

export interface ServerEvent {
  /** `message` where the server names none. */
  readonly event: string
  readonly data: string
  /** Of this event alone: a later one without an id has none. */
  readonly id: string | undefined
}

/** Takes text in pieces of any size, and gives the events that it completes. */
export class EventParser {
  private rest = ""
  private event = ""
  private data: Array<string> = []
  private id: string | undefined

  push(text: string): ReadonlyArray<ServerEvent> {
    const events: Array<ServerEvent> = []
    const lines = (this.rest + text).split("\n")
    this.rest = lines.pop()!
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw
      if (line === "") {
        if (this.data.length > 0) {
          events.push({ event: this.event === "" ? "message" : this.event, data: this.data.join("\n"), id: this.id })
        }
        this.event = ""
        this.data = []
        this.id = undefined
        continue
      }
      const colon = line.indexOf(":")
      const field = colon < 0 ? line : line.slice(0, colon)
      const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1)
      if (field === "event") this.event = value
      else if (field === "data") this.data.push(value)
      else if (field === "id") this.id = value
    }
    return events
  }
}
