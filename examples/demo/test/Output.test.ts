import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Writable } from "node:stream"
import * as Output from "../src/terminal/Output.ts"

/** A pipe whose reader takes a piece whenever it is told to. */
const pipe = () => {
  const taken: Array<string> = []
  const waiting: Array<() => void> = []
  const stream = new Writable({
    decodeStrings: false,
    write: (text: string, _encoding, callback) => {
      waiting.push(() => {
        taken.push(text)
        callback()
      })
    }
  })
  return { stream: stream as unknown as NodeJS.WriteStream, taken, waiting }
}

const turn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

describe("the output of the demo", () => {
  it.effect("is flushed when a slow reader has taken its last line, not before", () =>
    Effect.gen(function* () {
      const { stream, taken, waiting } = pipe()
      const output = Output.open(stream)
      output.line("first")
      output.line("second")
      output.close("last words")
      const flushing = yield* Effect.forkChild(Effect.promise(output.flushed))
      for (const line of ["first\n", "second\n", "last words\n"]) {
        yield* turn
        assert.isUndefined(flushing.pollUnsafe(), line)
        waiting.shift()!()
        assert.strictEqual(taken.at(-1), line)
      }
      for (let n = 0; n < 100 && flushing.pollUnsafe() === undefined; n++) {
        waiting.shift()?.()
        yield* turn
      }
      assert.isDefined(flushing.pollUnsafe())
      assert.deepStrictEqual(taken, ["first\n", "second\n", "last words\n", ""])
    })
  )
})
