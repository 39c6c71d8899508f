import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { format, type Name, names, oneLine, plain, shown } from "../src/internal/formats.ts"

const bytes = (name: Name, text: string) => Result.getOrThrow(format(name).encode(text))

describe("formats", () => {
  it("write what was typed, and show it as it was typed", () => {
    for (const [name, text] of [
      ["json", '{"id": 12345678901234567890, "a": [1e400]}'],
      ["string", 'ä: no "JSON"'],
      ["string", ""],
      ["bytes", "AP8="],
      ["hex", "00ff"],
      ["hex", ""]
    ] as const) {
      assert.strictEqual(shown(name, bytes(name, text)).text, text)
    }
    assert.strictEqual(Buffer.from(bytes("hex", "00FF")).toString("hex"), "00ff")
  })

  it("refuse what is not of them, and say what would be", () => {
    for (const [name, text, expected] of [
      ["json", "dark", 'text goes into quotes: "dark"'],
      ["json", "", "not JSON"],
      ["bytes", "AP8", "with its padding"],
      ["bytes", "ä", "not base64"],
      ["hex", "0", "two digits"],
      ["hex", "0g", "two digits"]
    ] as const) {
      const refused = format(name).encode(text)
      assert.isTrue(Result.isFailure(refused), text)
      if (Result.isFailure(refused)) assert.include(refused.failure, expected)
    }
  })

  it("show bytes of another one in hexadecimal, and say that they are", () => {
    const strange = Uint8Array.of(0xff, 0x7b)
    assert.deepStrictEqual(shown("json", strange), { text: "ff7b", json: '"ff7b"', isForeign: true })
    assert.deepStrictEqual(shown("string", strange), { text: "ff7b", json: '"ff7b"', isForeign: true })
    assert.deepStrictEqual(shown("json", Buffer.from("{")), { text: "7b", json: '"7b"', isForeign: true })
    for (const name of names) assert.strictEqual(shown(name, Buffer.from("1")).isForeign, false)
  })

  it("give JSON on one line that means the same", () => {
    const json = '{\r\n "a": "\u202e\u2066\u2028\u009b\u007f",\n "b": 1 }'
    const line = oneLine(json)
    assert.notMatch(line, /[\n\r\u2028\u202e\u2066\u007f-\u009f]/)
    assert.deepStrictEqual(JSON.parse(line), JSON.parse(json))
  })

  it("leave a terminal nothing to obey", () => {
    assert.strictEqual(plain("a\u001b[2J\u009bb\n"), String.raw`a\u001b[2J\u009bb\u000a`)
  })
})
