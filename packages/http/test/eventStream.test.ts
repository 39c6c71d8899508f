/** Server-sent events, cut in pieces. */
import { assert, it } from "@effect/vitest"
import { EventParser } from "../src/internal/eventStream.ts"

const bytes = new TextEncoder().encode(
  ': hello\n\nevent: snapshot\ndata: {}\n\nevent: entries\r\nid: a.1\r\ndata: ["ü 😀"]\r\n\r\ndata: of no kind\n\n'
)

it("gives the same events however the bytes are cut", () => {
  const expected = [
    { event: "snapshot", data: "{}", id: undefined },
    { event: "entries", data: '["ü 😀"]', id: "a.1" }
  ]
  for (let size = 1; size <= bytes.length; size++) {
    const parser = new EventParser()
    const events = []
    for (let i = 0; i < bytes.length; i += size) events.push(...parser.push(bytes.subarray(i, i + size)))
    assert.deepStrictEqual(events, expected, `in pieces of ${size}`)
  }
})
