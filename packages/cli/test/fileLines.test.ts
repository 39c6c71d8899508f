import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { entryOf, type FileEntry, lineOf } from "../src/internal/fileLines.ts"
import { names } from "../src/internal/formats.ts"

/** Numbers below a bound, the same for the same seed. */
const random = (seed: number) => (bound: number) => {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff
  return (seed >>> 8) % bound
}

const texts = [
  "",
  "a",
  '"',
  "\\",
  "\n",
  "null",
  " 1",
  "1 ",
  '{"id": 12345678901234567890, "a":[1e400,"]}"]}',
  "漢\u2028",
  "\ufeff1",
  "[1,\n2]"
]

describe("lines of a file", () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    it(`give back any bytes, in any formats, on one line (seed ${seed})`, () => {
      const next = random(seed)
      const bytes = (): Buffer =>
        next(2) === 0
          ? Buffer.from(texts[next(texts.length)]!)
          : Buffer.from(Array.from({ length: next(6) }, () => next(256)))
      for (let i = 0; i < 500; i++) {
        const headers = Array.from({ length: next(3) }, () => ({
          key: texts[next(texts.length)]!,
          value: next(4) === 0 ? null : bytes()
        }))
        const entry: FileEntry = { key: bytes(), value: bytes(), headers }
        const formats = { key: names[next(4)]!, value: names[next(4)]! }
        const line = lineOf(formats, entry)
        assert.notMatch(line, /[\n\r]/)
        assert.deepStrictEqual(entryOf(formats, line), Result.succeed(entry))
        JSON.parse(line)
      }
    })
  }

  it("are taken as people write them, and as `ls` prints them", () => {
    const line = ' { "value" : {"a": 1.0} , "key":"k", "partition":0,"offset":1,"timestamp":null,"headers":[] } '
    assert.deepStrictEqual(
      entryOf({ key: "string", value: "json" }, line),
      Result.succeed({ key: Buffer.from("k"), value: Buffer.from('{"a": 1.0}'), headers: [] })
    )
  })

  it("say what is wrong with them", () => {
    for (const [line, why] of [
      ["{", "not JSON"],
      ["[]", "no object"],
      ["null", "no object"],
      ['{"key":"k"}', "no value"],
      ['{"value":1}', "no key"],
      ['{"key":1,"value":1}', "its key, as --key string: it is no string of UTF-8 text"],
      ['{"key":"\\ud800","value":1}', "no string of UTF-8"],
      ['{"key":"k","keyHex":"00","value":1}', "both key and keyHex"],
      ['{"keyHex":"0","value":1}', "its keyHex: it is not hexadecimal"],
      ['{"key":"k","value":1,"value":2}', 'it has "value" twice'],
      ['{"key":"k","value":1,"vlaue":2}', '"vlaue", which nothing is known of'],
      ['{"key":"k","value":1,"headers":{}}', "its headers are not"],
      ['{"key":"k","value":1,"headers":[{"key":"h"}]}', "its headers are not"],
      ['{"key":"k","value":1,"headers":[{"key":"h","value":"","valueHex":""}]}', "its headers are not"]
    ] as const) {
      const read = entryOf({ key: "string", value: "json" }, line)
      assert.isTrue(Result.isFailure(read), line)
      if (Result.isFailure(read)) assert.include(read.failure, why)
    }
  })
})
