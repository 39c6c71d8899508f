/** Server-sent events, cut in pieces. */
import { assert, it } from "@effect/vitest"
import { EventParser } from "../src/events.ts"

const text =
  ": hello\n\nevent: snapshot\ndata: {}\n\nid: a.1\r\ndata: one\r\ndata: two\r\n\r\nevent: none\n\ndata:three\n\n"

it("gives the same events however the text is cut", () => {
  const expected = [
    { event: "snapshot", data: "{}", id: undefined },
    { event: "message", data: "one\ntwo", id: "a.1" },
    { event: "message", data: "three", id: undefined }
  ]
  for (let size = 1; size <= text.length; size++) {
    const parser = new EventParser()
    const events = []
    for (let i = 0; i < text.length; i += size) events.push(...parser.push(text.slice(i, i + size)))
    assert.deepStrictEqual(events, expected, `in pieces of ${size}`)
  }
})
