import { assert, describe, it } from "@effect/vitest"
import { Equal } from "effect"
import { keyText } from "../../src/internal/table/keyText.ts"
import { type Chance, chance } from "../support/chance.ts"

/** Bytes and texts of what texts are made of, so that parts could run into one another. */
const marks = ',[]{}:="B1V'

const randomKey = (random: Chance, depth: number): unknown => {
  const text = () => Array.from({ length: random.below(3) }, () => marks[random.below(marks.length)]).join("")
  switch (random.below(depth > 0 ? 8 : 6)) {
    case 0:
      return text()
    case 1:
      return random.below(2)
    case 2:
      return random.pick([null, true, undefined])
    case 3:
      return Uint8Array.from(Buffer.from(text()))
    case 4:
      return Float64Array.from(Array.from({ length: random.below(3) }, () => random.below(2)))
    case 5:
      return BigInt(random.below(2))
    case 6:
      return Array.from({ length: random.below(3) }, () => randomKey(random, depth - 1))
    default:
      return Object.fromEntries(
        Array.from({ length: random.below(3) }, () => [random.pick(["a", "b", "="]), randomKey(random, depth - 1)])
      )
  }
}

describe("the text of a key that is an object", () => {
  it("is the same for two keys exactly when Equal calls them equal", () => {
    const random = chance(1)
    const keys = Array.from({ length: 1500 }, () => [randomKey(random, 3)])
    for (const a of keys) {
      for (const b of keys) {
        if ((keyText(a) === keyText(b)) !== Equal.equals(a, b)) {
          assert.fail(`${JSON.stringify(keyText(a))} and ${JSON.stringify(keyText(b))}`)
        }
      }
    }
  })

  it("says of bytes how many there are, so that those of one part are not taken for the next", () => {
    const bytes = (text: string) => Uint8Array.from(Buffer.from(text))
    assert.notStrictEqual(keyText([bytes("a,Bb"), bytes("c")]), keyText([bytes("a"), bytes("b,Bc")]))
    assert.notStrictEqual(keyText([Float64Array.of(1, 2), 3, 4]), keyText([Int32Array.of(1, 2, 3, 4)]))
  })
})
