import { assert, describe, it } from "@effect/vitest"
import { Effect, Latch } from "effect"
import type { CheckpointStore } from "effect-ktables"
import * as CheckpointFile from "../../src/internal/checkpoint/checkpointFile.ts"
import { chance } from "../support/chance.ts"
import { foundIn, identity, type Marked, markedOf, RandomLog, reopened, storeOf } from "./recording.ts"

/** The bytes of a checkpoint, and where each of its marks ends. */
interface Written {
  readonly bytes: Uint8Array
  readonly ends: ReadonlyArray<readonly [end: number, marked: Marked]>
}

/** @param files where it lies, or is gone on with. */
const write = (options: {
  readonly seed: number
  readonly saves: number
  readonly valueSize: number
  readonly files?: Map<string, Uint8Array>
}) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { files = new Map<string, Uint8Array>(), saves, seed, valueSize } = options
      const log = new RandomLog({ seed, partitions: 2, keys: 12, valueSize })
      const ends: Array<readonly [number, Marked]> = []
      const { file, found } = yield* reopened(storeOf(files))
      const before = markedOf(found)
      if (before !== undefined) {
        log.restore(before)
        ends.push([file.bytes(), before])
      } else {
        for (let i = 0; i < 5; i++) log.answer()
        yield* file.rewrite(identity, log.survivors, log.marked.marks)
        ends.push([file.bytes(), log.marked])
      }
      for (let save = 0; save < saves; save++) {
        for (let i = 0; i < 3; i++) file.record(...log.answer())
        const marked = log.marked
        yield* file.save(marked.marks)
        ends.push([file.bytes(), marked])
      }
      return { bytes: files.get("prices")!.slice(), ends } satisfies Written
    })
  )

const firstDifference = (a: Uint8Array, b: Uint8Array): number => {
  let at = 0
  while (at < a.length && at < b.length && a[at] === b[at]) at++
  return at
}

/** What is read of bytes that were changed is what was marked last before the change. */
const assertMarked = ({ bytes, ends }: Written, changed: Uint8Array) =>
  Effect.gen(function* () {
    const until = firstDifference(bytes, changed)
    const expected = ends.findLast(([end]) => end <= until)?.[1]
    const found = yield* foundIn(changed)
    assert.deepStrictEqual(markedOf(found), expected, `changed at ${until} of ${bytes.length}`)
    assert.strictEqual(found.unusable === undefined, expected !== undefined || changed.length === 0)
    return expected !== undefined
  })

describe("a checkpoint that is damaged", () => {
  it.effect("is read up to its last marks before the end, wherever it is cut off", () =>
    Effect.gen(function* () {
      const written = yield* write({ seed: 1, saves: 8, valueSize: 20 })
      let used = 0
      for (let cut = 0; cut <= written.bytes.length; cut++) {
        if (yield* assertMarked(written, written.bytes.slice(0, cut))) used++
      }
      assert.isAbove(used, written.bytes.length / 2)
    })
  )

  it.effect("is read up to its last marks before a bit that has changed, whichever it is", () =>
    Effect.gen(function* () {
      const written = yield* write({ seed: 2, saves: 8, valueSize: 20 })
      for (let at = 0; at < written.bytes.length; at++) {
        const changed = written.bytes.slice()
        changed[at]! ^= 1 << (at % 8)
        yield* assertMarked(written, changed)
      }
    })
  )

  it.effect("is read up to its last marks before pages that are lost, left out, old or doubled", () =>
    Effect.gen(function* () {
      const page = 4096
      const written = yield* write({ seed: 3, saves: 40, valueSize: 600 })
      const { bytes } = written
      const older = (yield* write({ seed: 4, saves: 40, valueSize: 600 })).bytes
      assert.isAbove(bytes.length, 20 * page)
      for (let at = 0; at < bytes.length; at += page) {
        const [before, lost, rest] = [bytes.subarray(0, at), bytes.subarray(at, at + page), bytes.subarray(at + page)]
        const cases = {
          empty: [before, new Uint8Array(lost.length), rest],
          leftOut: [before, rest],
          old: [before, older.subarray(at, at + page), rest],
          twice: [before, lost, lost, rest]
        }
        for (const parts of Object.values(cases)) yield* assertMarked(written, Buffer.concat(parts))
      }
    })
  )

  it.effect("is read to its end, and no further, with a part of it once more behind it", () =>
    Effect.gen(function* () {
      const written = yield* write({ seed: 5, saves: 10, valueSize: 50 })
      const starts = [0, ...written.ends.map(([end]) => end)]
      for (const start of starts) {
        assert.isTrue(yield* assertMarked(written, Buffer.concat([written.bytes, written.bytes.subarray(start)])))
      }
    })
  )

  it.effect("by two writers at once holds what one of them marked, whichever of their sectors are there", () =>
    Effect.gen(function* () {
      let mixed = 0
      for (let seed = 1; seed <= 30; seed++) {
        const { bytes } = yield* write({ seed, saves: 2, valueSize: 100 })
        const [one, other] = yield* Effect.forEach([1, 2], (writer) =>
          write({ seed: 1000 * writer + seed, saves: 10, valueSize: 100, files: new Map([["prices", bytes.slice()]]) })
        )
        const marked = [...one!.ends, ...other!.ends].map(([, marked]) => marked)
        const random = chance(seed)
        for (let i = 0; i < 50; i++) {
          const sector = random.pick([8, 64, 512])
          const length = Math.max(one!.bytes.length, other!.bytes.length)
          const changed = new Uint8Array(length)
          let from = one!
          for (let at = 0; at < length; at += sector) {
            if (random.happens(0.02)) from = from === one ? other! : one!
            changed.set(from.bytes.subarray(at, at + sector), at)
          }
          const found = markedOf(yield* foundIn(changed))
          assert.deepInclude(marked, found)
          if (found!.marks.savedAt > one!.ends[0]![1].marks.savedAt) mixed++
        }
      }
      // Sectors of one writer up to some of its marks are not rare.
      assert.isAbove(mixed, 100)
    })
  )

  it.effect("after its last merge began is not merged, and nothing is written behind the damage", () =>
    Effect.gen(function* () {
      const files = new Map<string, Uint8Array>()
      const gate = Latch.makeUnsafe(true)
      const { open } = storeOf(files)
      const store: CheckpointStore.Service = {
        open: (name) =>
          Effect.map(open(name), (checkpoint) => ({
            ...checkpoint,
            replacement: Effect.andThen(gate.await, checkpoint.replacement)
          }))
      }
      const file = yield* CheckpointFile.open(store, "prices", 500)
      yield* file.read
      const log = new RandomLog({ seed: 6, partitions: 2, keys: 12, valueSize: 40 })
      yield* file.rewrite(identity, log.survivors, log.marked.marks)
      yield* gate.close
      const save = Effect.suspend(() => {
        for (let i = 0; i < 5; i++) file.record(...log.answer())
        const { marked } = log
        return Effect.as(file.save(marked.marks), marked)
      })
      // So much that a merge waits for the gate.
      yield* save
      const last = yield* save
      const at = file.bytes() + 50
      yield* save
      files.get("prices")![at]! ^= 1
      yield* gate.open
      while (file.isGoingOn()) yield* Effect.yieldNow
      assert.include((yield* Effect.flip(save)).message, "is not there any more as it was")
      assert.deepStrictEqual(markedOf(yield* foundIn(files.get("prices")!)), last)
    })
  )
})
