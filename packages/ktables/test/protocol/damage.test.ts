import { assert, describe, it } from "@effect/vitest"
import { ProtocolViolation } from "../../src/internal/protocol/primitives.ts"
import { type Decodable, fromBrokers, fromClients } from "./support/decodable.ts"

const answers: ReadonlyArray<Decodable> = [...fromBrokers(), ...fromClients()]

/** A value, or undefined for a violation; anything else that is thrown fails the test. */
const decoded = ({ decode, name }: Decodable, bytes: Buffer, damage: string): unknown => {
  try {
    return decode(bytes)
  } catch (cause) {
    if (cause instanceof ProtocolViolation) return undefined
    throw new Error(`${name}, ${damage}`, { cause })
  }
}

describe("a damaged answer", () => {
  it("is refused when it is cut anywhere", () => {
    assert.isAbove(answers.length, 250)
    for (const answer of answers) {
      // An answer in another version than asked is read as far as its error code.
      if (answer.name.endsWith("refused, in version 0")) continue
      for (let length = 0; length < answer.bytes.length; length++) {
        assert.isUndefined(decoded(answer, answer.bytes.subarray(0, length), `cut to ${length} bytes`), answer.name)
      }
    }
  })

  it("is refused when bytes follow it", () => {
    for (const answer of answers) {
      if (answer.name.endsWith("refused, in version 0")) continue
      const longer = Buffer.concat([answer.bytes, Buffer.from([0])])
      assert.isUndefined(decoded(answer, longer, "with a byte more"), answer.name)
    }
  })

  it("is refused or read when any byte of it is wrong", () => {
    let refused = 0
    let read = 0
    for (const answer of answers) {
      const bytes = Buffer.from(answer.bytes)
      for (let at = 0; at < bytes.length; at++) {
        const right = bytes.readUInt8(at)
        for (const wrong of [right ^ 1, right ^ 0x80, 0, 0x7f, 0xff]) {
          bytes[at] = wrong
          if (decoded(answer, bytes, `byte ${at} is ${wrong}`) === undefined) refused++
          else read++
        }
        bytes[at] = right
      }
    }
    assert.isAbove(refused, 1000)
    assert.isAbove(read, 1000)
  })
})
